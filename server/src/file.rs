//! Files that others read while we write: replaced as a whole, so that a reader, or a start after a power cut, finds the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file, and returns when it is on the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes, true)?;
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Replaces a file without waiting for the disk: for many, before one [`settle`].
pub(crate) fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    put(path, bytes, false)
}

fn put(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&beside, path)
}

/// Returns when everything that was placed on this folder's file system is on the disk.
pub(crate) fn settle(folder: &Path) -> io::Result<()> {
    let opened = File::open(folder)?;
    rustix::fs::syncfs(&opened)?;
    Ok(())
}
