//! The log as static files (docs/log.md): tiles, entries and checkpoint, for any web server. No personal data: openings stay in the store.
//!
//! The folder is a whole, verifiable log at every moment: files of the next step are written and settled, then the checkpoint of that step
//! replaces the last one. An export that was cut off goes on from there. A folder whose checkpoint this store's log does not extend is left alone:
//! the store went back, or the log forked, and the folder is the evidence.

use std::path::{Path, PathBuf};

use sceau_proof::log::note::{Note, SigningKey};
use sceau_proof::log::tile::{self, Tile};
use sceau_proof::log::{Checkpoint, Frontier, Hash, VerifiedCheckpoint, checkpoint};
use sqlx::AnyConnection;

use crate::file;
use crate::store::log::{self, Hashes};
use crate::store::{Store, StoreError};

/// Entries between two checkpoints of one export: one whole subtree of two tile levels.
const STEP: u64 = 65_536;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Entries that the folder held already.
    pub from: u64,
    /// Entries that it holds now.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// Files written.
    pub files: u64,
}

/// Why a log was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The folder's checkpoint is not one of this log's key.
    #[error("{0} is not a checkpoint of this log")]
    Stranger(PathBuf),
    /// The folder holds a longer log: the store went back (a restored backup, deleted entries). Nothing was changed.
    #[error(
        "the folder holds {held} entries and the store {stored}: the store went back; the folder was left as it is"
    )]
    RolledBack {
        /// In the folder.
        held: u64,
        /// In the store.
        stored: u64,
    },
    /// The folder holds another history of this log. Nothing was changed.
    #[error(
        "the store's first {0} entries are not those that were exported: the log forked; the folder was left as it is"
    )]
    Forked(u64),
    /// The checkpoint could not be signed.
    #[error("the checkpoint was not signed")]
    Unsigned,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError + '_ {
    move |error| ExportError::File {
        path: path.to_owned(),
        error,
    }
}

/// Brings `folder` up to the store's log. `told` hears how many entries of how many are there.
///
/// # Errors
/// [`ExportError`]; after one the folder is a whole log at its checkpoint still.
pub async fn export(
    store: &Store,
    key: &SigningKey,
    folder: &Path,
    mut told: impl FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    let mut connection = store.reader().await?;
    let head = log::head(&mut connection).await?;
    let (size, root) = (head.frontier.size(), head.frontier.root());
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let kept = kept(folder, key)?;
    let from = kept.as_ref().map_or(0, VerifiedCheckpoint::size);
    if let Some(kept) = &kept {
        if from > size {
            return Err(ExportError::RolledBack {
                held: from,
                stored: size,
            });
        }
        if root_at(&mut connection, from).await? != *kept.root() {
            return Err(ExportError::Forked(from));
        }
    }
    let (mut at, mut files) = (from, 0);
    while at < size || (at == 0 && kept.is_none()) {
        let next = (at / STEP + 1).saturating_mul(STEP).min(size);
        for tile in tile::changed_tiles(at, next) {
            let bytes = log::tile(&mut connection, &tile, size)
                .await?
                .ok_or(StoreError::Corrupt("log lacks a tile"))?;
            let path = folder.join(tile.path());
            file::place(&path, &bytes).map_err(failed(&path))?;
            files += 1;
        }
        let note = Checkpoint::new(
            key.verifying_key().name(),
            next,
            root_at(&mut connection, next).await?,
        )
        .sign(key)
        .map_err(|_| ExportError::Unsigned)?;
        file::settle(folder).map_err(failed(folder))?;
        let path = folder.join("checkpoint");
        file::replace(&path, note.to_string().as_bytes()).map_err(failed(&path))?;
        drop_narrow(folder, at, next)?;
        told(next, size);
        if next == size {
            break;
        }
        at = next;
    }
    Ok(Exported {
        from,
        size,
        root,
        files,
    })
}

/// The checkpoint that the folder ends at, verified.
fn kept(folder: &Path, key: &SigningKey) -> Result<Option<VerifiedCheckpoint>, ExportError> {
    let path = folder.join("checkpoint");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path)(error)),
    };
    Note::parse(&bytes)
        .ok()
        .and_then(|_| checkpoint::open(&bytes, key.verifying_key(), &[]).ok())
        .map(Some)
        .ok_or(ExportError::Stranger(path))
}

/// The root of the tree of the first `size` entries.
async fn root_at(connection: &mut AnyConnection, size: u64) -> Result<Hash, StoreError> {
    let mut hashes = Hashes::default();
    hashes.fetch(connection, &Frontier::nodes(size)).await?;
    Ok(Frontier::from_reader(&hashes, size)
        .map_err(|_| StoreError::Corrupt("log lacks a hash"))?
        .root())
}

/// Partial tiles whose full one is there now are of no use to anyone; narrower ones of the tile that still grows stay, for whoever has
/// an older checkpoint.
fn drop_narrow(folder: &Path, from: u64, to: u64) -> Result<(), ExportError> {
    for tile in tile::changed_tiles(from, to).filter(|tile| tile.width == tile::WIDTH) {
        let narrow = Tile { width: 1, ..tile }.path();
        let Some((narrow, _)) = narrow.rsplit_once('/') else {
            continue;
        };
        let path = folder.join(narrow);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path)(error)),
        }
    }
    Ok(())
}
