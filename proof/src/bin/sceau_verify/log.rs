//! `sceau-verify log`: the whole log is what its checkpoint says, or the first entry that is not.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use sceau_proof::log::audit::{self, Audit, AuditError};
use sceau_proof::log::checkpoint::{self, CheckpointError};
use sceau_proof::log::note::{KeyKind, NoteError, VerifyingKey};
use sceau_proof::log::tile::{self, Row, Tile, TileSet};
use sceau_proof::log::{Frontier, Hash, Node, VerifiedCheckpoint};
use serde_json::json;

use crate::source::Source;
use crate::{Failure, Outcome, evidence, read_input};

/// Checks a whole log (docs/log.md).
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Folder or URL of the log's static files (`checkpoint`, `tile/…`).
    #[arg(value_name = "DIR|URL")]
    log: String,
    /// The log's verifier key (`name+hash+base64`), or a file that holds it.
    #[arg(long, value_name = "VKEY")]
    log_key: String,
    /// An earlier checkpoint of this log that was verified then: only what came since is read, and what came before must not have changed.
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
}

const HELP: &str = r#"Out: {"verdict":"consistent"|"inconsistent","reason","detail","origin","size","root","index"}; index is that of the first entry that does not belong.
docs/log.md lists the reasons. Keep the log's `checkpoint` file after a good verdict: it is the next run's --from.

Example:
  sceau-verify log /srv/sceau-log --log-key log.vkey --from last-checkpoint
  sceau-verify log https://sceau.example/log --log-key log.vkey"#;

/// What was found wrong, in the words of docs/log.md.
struct Fault {
    reason: &'static str,
    detail: String,
    index: Option<u64>,
}

enum Stop {
    Fault(Fault),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

fn fault(reason: &'static str, detail: impl ToString, index: Option<u64>) -> Stop {
    Stop::Fault(Fault {
        reason,
        detail: detail.to_string(),
        index,
    })
}

impl From<AuditError> for Stop {
    fn from(error: AuditError) -> Self {
        let (reason, index) = match &error {
            AuditError::Entry { index, .. } => ("entry-malformed", Some(*index)),
            AuditError::Leaf { index } => ("entry-not-in-tree", Some(*index)),
            AuditError::Node(node) => (
                "tile-inconsistent",
                node.index.checked_shl(node.level.into()),
            ),
            AuditError::TooMany(size) => ("file-malformed", Some(*size)),
            AuditError::Missing(index) => ("entry-missing", Some(*index)),
            AuditError::Rewritten { .. } => ("rewritten", None),
            AuditError::Root => ("root-mismatch", None),
        };
        fault(reason, error, index)
    }
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    run_with(args, &mut |_| ())
}

/// Checks a whole log and shows each entry on the way.
pub(crate) fn audit(
    log: &str,
    log_key: &str,
    entry: &mut dyn FnMut(&[u8]),
) -> Result<Outcome, Failure> {
    let args = Args {
        log: log.to_owned(),
        log_key: log_key.to_owned(),
        from: None,
    };
    run_with(&args, entry)
}

fn run_with(args: &Args, entry: &mut dyn FnMut(&[u8])) -> Result<Outcome, Failure> {
    let key = evidence::key(&args.log_key, KeyKind::Log)?;
    let mut opened = None;
    let result = check(args, &key, &mut opened, entry);
    let (origin, size, root) =
        opened.map_or((None, None, None), |checkpoint: VerifiedCheckpoint| {
            (
                Some(checkpoint.origin().to_owned()),
                Some(checkpoint.size()),
                Some(*checkpoint.root()),
            )
        });
    let (verdict, fault) = match result {
        Ok(detail) => (
            "consistent",
            Fault {
                reason: "consistent",
                detail,
                index: None,
            },
        ),
        Err(Stop::Fault(fault)) => ("inconsistent", fault),
        Err(Stop::Failure(failure)) => return Err(failure),
    };
    let object = json!({"verdict": verdict, "reason": fault.reason, "detail": fault.detail, "origin": origin, "size": size, "root": root,
        "index": fault.index});
    Ok(Outcome {
        yes: verdict == "consistent",
        object,
    })
}

fn check(
    args: &Args,
    key: &VerifyingKey,
    opened: &mut Option<VerifiedCheckpoint>,
    shown: &mut dyn FnMut(&[u8]),
) -> Result<String, Stop> {
    let mut files = Files {
        source: Source::new(&args.log)?,
        size: 0,
        hashes: BTreeMap::new(),
    };
    let newest = files
        .source
        .read("checkpoint")?
        .ok_or_else(|| Failure::Malformed("the log has no file `checkpoint`".to_owned()))?;
    let target = open(&newest, key)?;
    *opened = Some(target.clone());
    files.size = target.size();
    let (size, mut from) = (target.size(), 0);
    let mut audit = match &args.from {
        None => Audit::new(target, None)?,
        Some(path) => {
            let earlier = open(&read_input(path)?, key)?;
            from = earlier.size();
            if from > size {
                return Err(AuditError::Rewritten { size: from }.into());
            }
            let edge = files.edge(from)?;
            Audit::resume(target, &earlier, edge)?
        }
    };
    for bundle in audit::bundles(from, size) {
        let bytes = files.read_tile(bundle)?;
        let entries =
            tile::entries(&bytes, bundle.width).or_else(|error| match longest(&bytes, bundle) {
                Some(entries) => Ok(entries),
                None => Err(fault(
                    "file-malformed",
                    format!("{}: {error}", bundle.path()),
                    Some(audit.position()),
                )),
            })?;
        let first = bundle.index.saturating_mul(tile::WIDTH.into());
        let skip = usize::try_from(audit.position().saturating_sub(first)).unwrap_or(usize::MAX);
        for entry in entries.into_iter().skip(skip) {
            let mut missing = None;
            let result = audit.entry(entry, |node| {
                files.stored(node).unwrap_or_else(|stop| {
                    missing.get_or_insert(stop);
                    None
                })
            });
            if let Some(stop) = missing {
                return Err(stop);
            }
            result?;
            shown(entry);
        }
        progress(audit.position(), size);
    }
    audit.finish()?;
    Ok(format!(
        "{} entries from {from} on lead to the signed root",
        size.saturating_sub(from)
    ))
}

/// A full bundle standing in for the partial one that was asked for: its first entries.
fn longest(bytes: &[u8], bundle: Tile) -> Option<Vec<&[u8]>> {
    let mut entries = tile::entries(bytes, tile::WIDTH).ok()?;
    entries.truncate(bundle.width.into());
    Some(entries)
}

fn open(note: &[u8], key: &VerifyingKey) -> Result<VerifiedCheckpoint, Stop> {
    checkpoint::open(note, key, &[]).map_err(|error| {
        let reason = match &error {
            CheckpointError::Note(NoteError::Unsigned) => "checkpoint-unsigned",
            CheckpointError::Note(NoteError::BadSignature) => "checkpoint-signature",
            CheckpointError::Origin => "checkpoint-origin",
            _ => "checkpoint-malformed",
        };
        fault(reason, error, None)
    })
}

/// The log's files. Not trusted.
struct Files {
    source: Source,
    size: u64,
    /// The tile of each level that was read last.
    hashes: BTreeMap<u8, (u64, Vec<u8>)>,
}

impl Files {
    /// The file of a tile, or the full one that replaced a partial one.
    fn read_tile(&self, tile: Tile) -> Result<Vec<u8>, Stop> {
        if let Some(bytes) = self.source.read(&tile.path())? {
            return Ok(bytes);
        }
        let full = Tile {
            width: tile::WIDTH,
            ..tile
        };
        if let Some(bytes) = self.source.read(&full.path())? {
            return Ok(bytes);
        }
        let index =
            (tile.row == Row::Entries).then(|| tile.index.saturating_mul(tile::WIDTH.into()));
        Err(fault(
            "entry-missing",
            format!("no file {}", tile.path()),
            index,
        ))
    }

    /// The bytes of a hash tile, as many as the tree of this size has.
    fn read_hashes(&self, tile: Tile) -> Result<Vec<u8>, Stop> {
        let mut bytes = self.read_tile(tile)?;
        let length = usize::from(tile.width).saturating_mul(32);
        if bytes.len() != length && bytes.len() != usize::from(tile::WIDTH).saturating_mul(32) {
            return Err(fault(
                "file-malformed",
                format!("{}: wrong length", tile.path()),
                None,
            ));
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The published hash of a complete subtree at a tile level.
    fn stored(&mut self, node: Node) -> Result<Option<Hash>, Stop> {
        let level = node.level / 8;
        let (index, offset) = tile::position(node.index);
        if self
            .hashes
            .get(&level)
            .is_none_or(|(current, _)| *current != index)
        {
            let Some(tile) = tile::tile_at(Row::Hashes(level), index, self.size) else {
                return Ok(None);
            };
            let bytes = self.read_hashes(tile)?;
            self.hashes.insert(level, (index, bytes));
        }
        let bytes = self
            .hashes
            .get(&level)
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default();
        let (hashes, _) = bytes.as_chunks::<32>();
        Ok(hashes.get(usize::from(offset)).map(|hash| Hash(*hash)))
    }

    /// The right edge of the tree of the first `size` entries.
    fn edge(&self, size: u64) -> Result<Frontier, Stop> {
        let mut set = TileSet::new();
        for tile in tile::tiles_of(&Frontier::nodes(size), self.size) {
            let bytes = self.read_hashes(tile)?;
            set.insert(&tile, &bytes)
                .map_err(|error| fault("file-malformed", error, None))?;
        }
        Frontier::from_reader(&set, size).map_err(|error| fault("file-malformed", error, None))
    }
}

fn progress(position: u64, size: u64) {
    if size >= 100_000 && position.is_multiple_of(1 << 16) && std::io::stderr().is_terminal() {
        eprint!("\r{position} of {size} entries");
    }
}
