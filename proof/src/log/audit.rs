//! The whole log, read once from its first entry (or from a checkpoint that was verified before) to its checkpoint.
//!
//! Each entry is hashed into the tree and compared with the published tiles, so that the *first* entry that does not belong is named and not
//! only "another root". Trusts the opened checkpoint alone. Pure: the caller reads files and feeds entries in order.

use super::entry::{Entry, EntryError};
use super::tree::{self, Frontier, Hash, Node};
use super::{VerifiedCheckpoint, tile};

/// Where the log is not what its checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Rejected: this entry is not a canonical entry.
    #[error("entry {index}: {error}")]
    Entry {
        /// Position in the log.
        index: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// Rejected: the published tile holds another hash for this entry.
    #[error("entry {index} is not the one in the tree's tiles")]
    Leaf {
        /// Position in the log.
        index: u64,
    },
    /// Rejected: a published hash of a complete subtree is not the hash of its entries.
    #[error("hash at level {} index {} does not follow from the entries", .0.level, .0.index)]
    Node(Node),
    /// Rejected: more entries than the checkpoint has.
    #[error("more entries than the checkpoint's {0}")]
    TooMany(u64),
    /// Rejected: entries are missing.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// Rejected: the tree of the first `size` entries is not the one that the earlier checkpoint promised: history was rewritten.
    #[error("the first {size} entries are not those of the earlier checkpoint")]
    Rewritten {
        /// Size of the earlier checkpoint.
        size: u64,
    },
    /// Rejected: all entries were read and lead to another root than the checkpoint's.
    #[error("the entries lead to another root than the checkpoint's")]
    Root,
}

/// Reads a log in order. One value per reading.
#[derive(Clone, Debug)]
pub struct Audit {
    frontier: Frontier,
    target: VerifiedCheckpoint,
    earlier: Option<VerifiedCheckpoint>,
}

/// A log found consistent from where the audit began to its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLog {
    size: u64,
    root: Hash,
}

impl VerifiedLog {
    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> &Hash {
        &self.root
    }
}

impl Audit {
    /// From the first entry to `target`. With `earlier`, the log must also pass through that checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Rewritten`] when the log has become shorter.
    pub fn new(
        target: VerifiedCheckpoint,
        earlier: Option<VerifiedCheckpoint>,
    ) -> Result<Self, AuditError> {
        let audit = Self {
            frontier: Frontier::new(),
            target,
            earlier,
        };
        if let Some(earlier) = &audit.earlier
            && earlier.size() > audit.target.size()
        {
            return Err(AuditError::Rewritten {
                size: earlier.size(),
            });
        }
        audit.pass_earlier()?;
        Ok(audit)
    }

    /// From an earlier checkpoint whose entries were verified then: `edge`, read from the published tiles at that size, must have its root.
    ///
    /// # Errors
    /// [`AuditError::Rewritten`] when it has not, or when the log has become shorter.
    pub fn resume(
        target: VerifiedCheckpoint,
        earlier: &VerifiedCheckpoint,
        edge: Frontier,
    ) -> Result<Self, AuditError> {
        let size = earlier.size();
        if edge.size() != size || edge.root() != *earlier.root() || size > target.size() {
            return Err(AuditError::Rewritten { size });
        }
        Ok(Self {
            frontier: edge,
            target,
            earlier: None,
        })
    }

    /// The index of the entry that comes next.
    pub fn position(&self) -> u64 {
        self.frontier.size()
    }

    /// Whether all entries of the checkpoint were read.
    pub fn is_complete(&self) -> bool {
        self.position() >= self.target.size()
    }

    /// Takes the next entry. `stored` answers with the published hash of a complete subtree at tile levels, or `None` if there is none to
    /// compare with.
    ///
    /// # Errors
    /// [`AuditError`]; the audit cannot go on after one.
    pub fn entry(
        &mut self,
        bytes: &[u8],
        mut stored: impl FnMut(Node) -> Option<Hash>,
    ) -> Result<(), AuditError> {
        let index = self.position();
        if self.is_complete() {
            return Err(AuditError::TooMany(self.target.size()));
        }
        Entry::parse(bytes).map_err(|error| AuditError::Entry { index, error })?;
        let mut wrong: Option<Node> = None;
        let compare = |node: Node, hash: Hash| {
            if wrong.is_none()
                && node.level.is_multiple_of(8)
                && stored(node).is_some_and(|stored| stored != hash)
            {
                wrong = Some(node);
            }
        };
        self.frontier
            .append_with(tree::leaf_hash(bytes), compare)
            .map_err(|_| AuditError::TooMany(index))?;
        match wrong {
            Some(Node { level: 0, index }) => return Err(AuditError::Leaf { index }),
            Some(node) => return Err(AuditError::Node(node)),
            None => {}
        }
        self.pass_earlier()
    }

    fn pass_earlier(&self) -> Result<(), AuditError> {
        match &self.earlier {
            Some(earlier)
                if earlier.size() == self.position() && *earlier.root() != self.frontier.root() =>
            {
                Err(AuditError::Rewritten {
                    size: earlier.size(),
                })
            }
            _ => Ok(()),
        }
    }

    /// The verdict after the last entry.
    ///
    /// # Errors
    /// [`AuditError::Missing`] or [`AuditError::Root`].
    pub fn finish(self) -> Result<VerifiedLog, AuditError> {
        if !self.is_complete() {
            return Err(AuditError::Missing(self.position()));
        }
        let root = self.frontier.root();
        if root != *self.target.root() {
            return Err(AuditError::Root);
        }
        Ok(VerifiedLog {
            size: self.target.size(),
            root,
        })
    }
}

/// The bundles that hold the entries `from .. size`, in order.
pub fn bundles(from: u64, size: u64) -> impl Iterator<Item = tile::Tile> {
    let first = tile::position(from).0;
    (first..).map_while(move |index| tile::tile_at(tile::Row::Entries, index, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Checkpoint;
    use crate::log::checkpoint;
    use crate::log::note::{KeyKind, SigningKey};
    use crate::log::tree::HashReader;
    use time::macros::datetime;

    fn log(n: u64) -> Vec<Vec<u8>> {
        (0..n)
            .map(|i| {
                Entry::new(datetime!(2026-11-21 20:00 UTC), "test.entry")
                    .datum("n", i)
                    .to_bytes()
                    .unwrap()
            })
            .collect()
    }

    fn signed(entries: &[Vec<u8>]) -> VerifiedCheckpoint {
        let key = SigningKey::from_seed("log.example", KeyKind::Log, &[3; 32]).unwrap();
        let leaves: Vec<_> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        let root = tree::tree_root(&leaves, leaves.len() as u64).unwrap();
        let note = Checkpoint::new("log.example", leaves.len() as u64, root)
            .sign(&key)
            .unwrap();
        checkpoint::open(note.to_string().as_bytes(), key.verifying_key(), &[]).unwrap()
    }

    fn run(
        mut audit: Audit,
        entries: &[Vec<u8>],
        published: &[Hash],
    ) -> Result<VerifiedLog, AuditError> {
        for entry in entries {
            audit.entry(entry, |node| published.read(node.level, node.index))?;
        }
        audit.finish()
    }

    #[test]
    fn names_the_first_entry_that_is_not_consistent() {
        let good = log(300);
        let target = signed(&good);
        let published: Vec<_> = good.iter().map(|entry| tree::leaf_hash(entry)).collect();
        let audit = Audit::new(target.clone(), None).unwrap();
        assert_eq!(run(audit.clone(), &good, &published).unwrap().size(), 300);

        let mut edited = good.clone();
        edited[123] = log(1000).pop().unwrap();
        assert_eq!(
            run(audit.clone(), &edited, &published),
            Err(AuditError::Leaf { index: 123 })
        );
        assert_eq!(run(audit.clone(), &edited, &[]), Err(AuditError::Root));
        edited[123].push(b' ');
        assert_eq!(
            run(audit.clone(), &edited, &[]),
            Err(AuditError::Entry {
                index: 123,
                error: EntryError::NotCanonical
            })
        );

        assert_eq!(
            run(audit.clone(), &good[..299], &published),
            Err(AuditError::Missing(299))
        );
        assert_eq!(
            run(audit.clone(), &log(301), &published),
            Err(AuditError::TooMany(300))
        );
        let mut swapped = good.clone();
        swapped.swap(7, 8);
        assert_eq!(
            run(audit.clone(), &swapped, &published),
            Err(AuditError::Leaf { index: 7 })
        );
        let mut removed = good;
        removed.remove(50);
        assert_eq!(
            run(audit, &removed, &published),
            Err(AuditError::Leaf { index: 50 })
        );
    }

    #[test]
    fn an_earlier_checkpoint_must_lie_on_the_way() {
        let entries = log(300);
        let (target, earlier) = (signed(&entries), signed(&entries[..100]));
        assert!(
            run(
                Audit::new(target.clone(), Some(earlier.clone())).unwrap(),
                &entries,
                &[]
            )
            .is_ok()
        );
        let mut other = entries.clone();
        other[3] = log(1000).pop().unwrap();
        let forked = signed(&other);
        assert_eq!(
            run(
                Audit::new(forked, Some(earlier.clone())).unwrap(),
                &other,
                &[]
            ),
            Err(AuditError::Rewritten { size: 100 })
        );
        assert_eq!(
            Audit::new(earlier, Some(target)).err(),
            Some(AuditError::Rewritten { size: 300 })
        );
    }

    #[test]
    fn resumes_from_an_edge_that_has_the_earlier_root() {
        let entries = log(300);
        let (target, earlier) = (signed(&entries), signed(&entries[..100]));
        let leaves: Vec<_> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        let edge = Frontier::from_reader(&leaves, 100).unwrap();
        let audit = Audit::resume(target.clone(), &earlier, edge).unwrap();
        assert_eq!(run(audit, &entries[100..], &leaves).unwrap().size(), 300);
        let wrong = Frontier::from_reader(&leaves, 101).unwrap();
        assert_eq!(
            Audit::resume(target, &earlier, wrong).err(),
            Some(AuditError::Rewritten { size: 100 })
        );
    }

    #[test]
    fn bundles_cover_what_is_left() {
        let paths: Vec<_> = bundles(300, 600).map(|tile| tile.path()).collect();
        assert_eq!(paths, ["tile/entries/001", "tile/entries/002.p/88"]);
    }
}
