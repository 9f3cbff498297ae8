//! Two checkpoints of one log, compared: does the later one extend the earlier? For whoever follows a log from outside with its public tiles:
//! witnesses, agents, monitors.
//!
//! Trusts the two signatures (both are [`VerifiedCheckpoint`]s) and nothing else: tiles that do not lead to the later root prove nothing and
//! are reported as [`ViewError::Tiles`]; tiles that do lead there, over another history, are proof of a fork that anyone can check again.
//! Deliberately elsewhere: fetching the tiles, and what to do about a fork.

use super::VerifiedCheckpoint;
use super::tile::{self, Tile, TileSet};
use super::tree::{self, Frontier};

/// Why a later checkpoint does not count as an extension of the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Rejected: the log signed both, and the later one's history is another. The two notes are the proof.
    #[error(
        "the log shows two histories: its first {size} entries are not those that it signed before"
    )]
    Forked {
        /// Size of the earlier checkpoint.
        size: u64,
    },
    /// Rejected: what the log shows as newest is older than what it had signed already.
    #[error("the log went back from {seen} to {shown} entries")]
    RolledBack {
        /// Size of the earlier checkpoint.
        seen: u64,
        /// Size of what was shown after it.
        shown: u64,
    },
    /// Malformed: the tiles do not lead to the later checkpoint's root, so that nothing can be said.
    #[error("the log's tiles do not lead to its checkpoint")]
    Tiles,
    /// Misuse: two different logs.
    #[error("checkpoints of different logs")]
    Origin,
}

/// The hash tiles that [`extends`] needs, of the later tree. None when no proof is needed.
#[must_use]
pub fn tiles(earlier: u64, later: u64) -> Vec<Tile> {
    if earlier == 0 || earlier >= later {
        return Vec::new();
    }
    let mut nodes = tree::consistency_nodes(earlier, later).unwrap_or_default();
    nodes.extend(Frontier::nodes(earlier));
    tile::tiles_of(&nodes, later)
}

/// Checks that `later` extends `earlier`, with the tiles that [`tiles`] names.
///
/// # Errors
/// [`ViewError`].
pub fn extends(
    earlier: &VerifiedCheckpoint,
    later: &VerifiedCheckpoint,
    tiles: &TileSet,
) -> Result<(), ViewError> {
    if earlier.origin() != later.origin() {
        return Err(ViewError::Origin);
    }
    let (old, new) = (earlier.size(), later.size());
    if new < old {
        return Err(ViewError::RolledBack {
            seen: old,
            shown: new,
        });
    }
    let forked = Err(ViewError::Forked { size: old });
    if new == old {
        return if later.root() == earlier.root() {
            Ok(())
        } else {
            forked
        };
    }
    if old == 0 {
        return Ok(());
    }
    // What the later tree's first `old` entries hash to, by its own tiles; believed only with a proof that leads to the signed root.
    let shown = Frontier::from_reader(tiles, old)
        .map_err(|_| ViewError::Tiles)?
        .root();
    let proof = tree::consistency_proof(tiles, old, new).map_err(|_| ViewError::Tiles)?;
    tree::verify_consistency(old, &shown, new, later.root(), &proof)
        .map_err(|_| ViewError::Tiles)?;
    if shown == *earlier.root() {
        Ok(())
    } else {
        forked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::{self, Checkpoint};
    use crate::log::note::{KeyKind, SigningKey};
    use crate::log::tile::{hashes_at, tile_bytes};
    use crate::log::{Hash, leaf_hash};

    fn leaves(count: u64, fork_at: u64) -> Vec<Hash> {
        (0..count)
            .map(|i| leaf_hash(format!("{i}{}", if i >= fork_at { "'" } else { "" }).as_bytes()))
            .collect()
    }

    fn signed(leaves: &[Hash], size: u64) -> VerifiedCheckpoint {
        let key = SigningKey::from_seed("log.example", KeyKind::Log, &[1; 32]).unwrap();
        let root = tree::tree_root(leaves, size).unwrap();
        let note = Checkpoint::new("log.example", size, root)
            .sign(&key)
            .unwrap()
            .to_string();
        checkpoint::open(note.as_bytes(), key.verifying_key(), &[]).unwrap()
    }

    fn shown(leaves: &[Hash], earlier: u64, later: u64) -> TileSet {
        let mut set = TileSet::new();
        for tile in tiles(earlier, later) {
            assert!(
                u64::from(tile.width) + tile.index * 256
                    <= hashes_at(
                        match tile.row {
                            tile::Row::Hashes(level) => level,
                            tile::Row::Entries => unreachable!("only hashes are asked for"),
                        },
                        later
                    )
            );
            set.insert(&tile, &tile_bytes(leaves, &tile).unwrap())
                .unwrap();
        }
        set
    }

    #[test]
    fn an_extension_is_told_from_a_fork_at_every_size() {
        let later = 600;
        let honest = leaves(later, later);
        for earlier in [0, 1, 2, 3, 255, 256, 257, 512, 599, 600] {
            let first = signed(&honest, earlier);
            let second = signed(&honest, later);
            assert_eq!(
                extends(&first, &second, &shown(&honest, earlier, later)),
                Ok(()),
                "{earlier}"
            );
            if earlier == 0 {
                continue;
            }
            let forked = leaves(later, earlier - 1);
            let other = signed(&forked, later);
            assert_eq!(
                extends(&first, &other, &shown(&forked, earlier, later)),
                Err(ViewError::Forked { size: earlier }),
                "{earlier}"
            );
        }
    }

    #[test]
    fn false_tiles_are_not_taken_for_a_fork() {
        let honest = leaves(600, 600);
        let (first, second) = (signed(&honest, 300), signed(&honest, 600));
        let lie = leaves(600, 10);
        assert_eq!(
            extends(&first, &second, &shown(&lie, 300, 600)),
            Err(ViewError::Tiles)
        );
        assert_eq!(
            extends(&first, &second, &TileSet::new()),
            Err(ViewError::Tiles)
        );
    }

    #[test]
    fn a_log_that_goes_back_is_seen() {
        let honest = leaves(20, 20);
        assert_eq!(
            extends(&signed(&honest, 20), &signed(&honest, 19), &TileSet::new()),
            Err(ViewError::RolledBack {
                seen: 20,
                shown: 19
            })
        );
    }
}
