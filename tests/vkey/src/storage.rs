//! The key's flash: littlefs in a file, kept in memory and written through, so that it survives a replug or a kill.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use littlefs2::consts::{U1, U512};
use littlefs2::driver::Storage;
use littlefs2::io::{Error, Result};
use trussed::virt::StorageConfig;

const BLOCK: usize = 512;
const BLOCKS: usize = 512;

/// A flash of 256 KiB in a file.
pub struct Flash {
    file: File,
    cells: Vec<u8>,
}

/// Opens the flash in this file, or makes a blank one to be formatted.
pub fn open(path: &Path) -> anyhow::Result<StorageConfig<'static>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let mut cells = Vec::with_capacity(BLOCK * BLOCKS);
    file.read_to_end(&mut cells)?;
    let blank = cells.iter().all(|cell| *cell == 0xff);
    anyhow::ensure!(
        cells.is_empty() || cells.len() == BLOCK * BLOCKS,
        "{} is not a flash image",
        path.display()
    );
    cells.resize(BLOCK * BLOCKS, 0xff);
    if blank {
        file.write_all_at(&cells, 0)?;
    }
    Ok(StorageConfig {
        storage: Box::new(Flash { file, cells }),
        format: blank,
    })
}

impl Storage for Flash {
    const READ_SIZE: usize = 16;
    const WRITE_SIZE: usize = 16;
    const BLOCK_SIZE: usize = BLOCK;
    const BLOCK_COUNT: usize = BLOCKS;
    const BLOCK_CYCLES: isize = -1;
    type CACHE_SIZE = U512;
    type LOOKAHEAD_SIZE = U1;

    fn read(&mut self, offset: usize, buffer: &mut [u8]) -> Result<usize> {
        let cells = self
            .cells
            .get(offset..offset + buffer.len())
            .ok_or(Error::IO)?;
        buffer.copy_from_slice(cells);
        Ok(buffer.len())
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Result<usize> {
        let cells = self
            .cells
            .get_mut(offset..offset + data.len())
            .ok_or(Error::NO_SPACE)?;
        cells.copy_from_slice(data);
        self.file
            .write_all_at(data, offset as u64)
            .map_err(|_| Error::IO)?;
        Ok(data.len())
    }

    fn erase(&mut self, offset: usize, length: usize) -> Result<usize> {
        self.write(offset, &vec![0xff; length])
    }
}
