//! C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>): the tree cut into static files of up to 256 hashes, and entry bundles.
//!
//! Tile (L, N) holds the hashes of the complete subtrees `N·256 ..` at tree level `8·L`. Paths: `tile/<L>/<N>[.p/<W>]` and
//! `tile/entries/<N>[.p/<W>]`, N in groups of three digits, all but the last prefixed with `x` (1234067 → `x001/x234/067`).
//! Contents are not trusted: their hashes must lead to a signed root.

use std::collections::BTreeMap;

use super::tree::{self, HASH_LEN, Hash, HashReader, Node, TreeError};

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u16 = 256;
const WIDTH_U64: u64 = 256;

/// The highest tile level of the specification.
pub const MAX_LEVEL: u8 = 63;

/// The longest entry that a bundle can hold.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// Content type of tiles and bundles over HTTP.
pub const CONTENT_TYPE: &str = "application/octet-stream";

/// What is wrong with a tile, a bundle or a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Malformed: not a tile path of the specification.
    #[error("not a tile path")]
    Path,
    /// Malformed: the tile is not as many hashes as its path says.
    #[error("tile has the wrong length")]
    Length,
    /// Malformed: the bundle ends inside an entry, or has more or fewer entries than its path says.
    #[error("bundle has the wrong length or number of entries")]
    Bundle,
    /// Misuse: an entry longer than 65,535 bytes.
    #[error("entry too long")]
    EntryTooLong,
}

/// Which rows of files: hashes of a tile level, or the entries themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// Hashes at tree level `8·L`, L ≤ 63.
    Hashes(u8),
    /// Entries, verbatim.
    Entries,
}

/// One file: row, position, and how many hashes or entries it holds (1 ..= 256; fewer than 256 is a partial tile).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Hashes of a level, or entries.
    pub row: Row,
    /// Position from the left.
    pub index: u64,
    /// 1 ..= 256.
    pub width: u16,
}

impl Tile {
    /// The path below the log's prefix.
    pub fn path(&self) -> String {
        let mut digits = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            digits.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        digits.reverse();
        let row = match self.row {
            Row::Hashes(level) => level.to_string(),
            Row::Entries => "entries".to_owned(),
        };
        let partial = if self.width < WIDTH {
            format!(".p/{}", self.width)
        } else {
            String::new()
        };
        format!("tile/{row}/{}{partial}", digits.join("/"))
    }

    /// Reads a path written by [`Self::path`]; every other spelling is refused.
    ///
    /// # Errors
    /// [`TileError::Path`].
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (row, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let row = match row {
            "entries" => Row::Entries,
            level => Row::Hashes(
                level
                    .parse()
                    .ok()
                    .filter(|l| *l <= MAX_LEVEL)
                    .ok_or(TileError::Path)?,
            ),
        };
        let (digits, width) = match rest.split_once(".p/") {
            Some((digits, width)) => (digits, width.parse().map_err(|_| TileError::Path)?),
            None => (rest, WIDTH),
        };
        let mut index = 0_u64;
        for group in digits.split('/') {
            let group: u64 = group
                .strip_prefix('x')
                .unwrap_or(group)
                .parse()
                .map_err(|_| TileError::Path)?;
            index = index
                .checked_mul(1000)
                .and_then(|i| i.checked_add(group))
                .ok_or(TileError::Path)?;
        }
        let tile = Self { row, index, width };
        // One spelling only: what does not write itself the same way was not ours.
        if (1..=WIDTH).contains(&width) && tile.path() == path {
            Ok(tile)
        } else {
            Err(TileError::Path)
        }
    }
}

/// Which tile or bundle holds the hash or entry at `index`, and where in it (0 ..= 255).
pub fn position(index: u64) -> (u64, u8) {
    let offset = u8::try_from(index % WIDTH_U64).unwrap_or_default();
    (index / WIDTH_U64, offset)
}

/// How many hashes a tree of `size` entries has at tile level `level`.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    u32::from(level)
        .checked_mul(8)
        .and_then(|shift| size.checked_shr(shift))
        .unwrap_or(0)
}

/// The tile of `row` at `index` in a tree of `size` entries, or `None` when that tree has none there.
pub fn tile_at(row: Row, index: u64, size: u64) -> Option<Tile> {
    let count = match row {
        Row::Hashes(level) => hashes_at(level, size),
        Row::Entries => size,
    };
    let rest = count.checked_sub(index.checked_mul(WIDTH_U64)?)?;
    let width = u16::try_from(rest.min(WIDTH_U64))
        .ok()
        .filter(|width| *width > 0)?;
    Some(Tile { row, index, width })
}

/// Every file that a log has at size `new` and did not have, or had narrower, at size `old`: hash tiles by level, then bundles.
pub fn changed_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..=MAX_LEVEL)
        .map(Row::Hashes)
        .chain([Row::Entries])
        .flat_map(move |row| {
            let before = match row {
                Row::Hashes(level) => hashes_at(level, old),
                Row::Entries => old,
            };
            let first = before / WIDTH_U64;
            (first..)
                .map_while(move |index| tile_at(row, index, new))
                .filter(move |tile| {
                    let end = tile
                        .index
                        .saturating_mul(WIDTH_U64)
                        .saturating_add(u64::from(tile.width));
                    end > before
                })
        })
}

/// The hash tiles that hold (or yield, by hashing within the tile) these nodes of a tree of `size` entries.
pub fn tiles_of(nodes: &[Node], size: u64) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = nodes
        .iter()
        .filter_map(|node| {
            let start = node.index.checked_shl(u32::from(node.level % 8))?;
            tile_at(Row::Hashes(node.level / 8), start / WIDTH_U64, size)
        })
        .collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// The hash tiles that an inclusion proof needs: fetch them, put them into a [`TileSet`], give that to [`tree::inclusion_proof`].
///
/// # Errors
/// [`TreeError::OutOfRange`] when `index >= size`.
pub fn inclusion_tiles(index: u64, size: u64) -> Result<Vec<Tile>, TreeError> {
    Ok(tiles_of(&tree::inclusion_nodes(index, size)?, size))
}

/// The hash tiles that a consistency proof needs.
///
/// # Errors
/// [`TreeError::OutOfRange`] when `old > new`.
pub fn consistency_tiles(old: u64, new: u64) -> Result<Vec<Tile>, TreeError> {
    Ok(tiles_of(&tree::consistency_nodes(old, new)?, new))
}

/// Fetched hash tiles as a [`HashReader`]. Not trusted.
#[derive(Clone, Debug, Default)]
pub struct TileSet {
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl TileSet {
    /// Without tiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes of one hash tile. Of two tiles at one place the wider stays.
    ///
    /// # Errors
    /// [`TileError::Length`] unless there are exactly `width` hashes; [`TileError::Path`] for an entry bundle.
    pub fn insert(&mut self, tile: &Tile, bytes: &[u8]) -> Result<(), TileError> {
        let Row::Hashes(level) = tile.row else {
            return Err(TileError::Path);
        };
        let (hashes, []) = bytes.as_chunks::<HASH_LEN>() else {
            return Err(TileError::Length);
        };
        if hashes.len() != usize::from(tile.width) {
            return Err(TileError::Length);
        }
        let stored = self.tiles.entry((level, tile.index)).or_default();
        if stored.len() < hashes.len() {
            *stored = hashes.iter().map(|hash| Hash(*hash)).collect();
        }
        Ok(())
    }
}

impl HashReader for TileSet {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        if !level.is_multiple_of(8) {
            return None;
        }
        let tile = self.tiles.get(&(level / 8, index / WIDTH_U64))?;
        tile.get(usize::try_from(index % WIDTH_U64).ok()?).copied()
    }
}

/// The bytes of a hash tile, from stored hashes.
///
/// # Errors
/// [`TreeError::Missing`] when the reader lacks a hash; [`TreeError::OutOfRange`] for an entry bundle or a level beyond 7.
pub fn tile_bytes<R: HashReader + ?Sized>(reader: &R, tile: &Tile) -> Result<Vec<u8>, TreeError> {
    let Row::Hashes(level) = tile.row else {
        return Err(TreeError::OutOfRange);
    };
    let level = level
        .checked_mul(8)
        .filter(|l| *l < 64)
        .ok_or(TreeError::OutOfRange)?;
    let first = tile
        .index
        .checked_mul(WIDTH_U64)
        .ok_or(TreeError::OutOfRange)?;
    let mut bytes = Vec::new();
    for offset in 0..u64::from(tile.width) {
        let index = first.checked_add(offset).ok_or(TreeError::OutOfRange)?;
        bytes.extend(tree::subtree_root(reader, Node { level, index })?.0);
    }
    Ok(bytes)
}

/// A bundle: each entry after its length as two bytes, big-endian.
///
/// # Errors
/// [`TileError::EntryTooLong`].
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// The `width` entries of a bundle, verbatim.
///
/// # Errors
/// [`TileError::Bundle`].
pub fn entries(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after
            .split_at_checked(u16::from_be_bytes(*length).into())
            .ok_or(TileError::Bundle)?;
        entries.push(entry);
        rest = after;
        if entries.len() > usize::from(width) {
            return Err(TileError::Bundle);
        }
    }
    if rest.is_empty() && entries.len() == usize::from(width) {
        Ok(entries)
    } else {
        Err(TileError::Bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tree::{consistency_proof, inclusion_proof, leaf_hash};

    fn tile(row: Row, index: u64, width: u16) -> Tile {
        Tile { row, index, width }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        for (tile, path) in [
            (tile(Row::Hashes(0), 0, 256), "tile/0/000"),
            (tile(Row::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067"),
            (tile(Row::Hashes(1), 273, 112), "tile/1/273.p/112"),
            (
                tile(Row::Hashes(63), u64::MAX, 1),
                "tile/63/x018/x446/x744/x073/x709/x551/615.p/1",
            ),
            (tile(Row::Entries, 1000, 255), "tile/entries/x001/000.p/255"),
        ] {
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path), Ok(tile));
        }
        for bad in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/64/000",
            "tile/00/000",
            "tile/+1/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/007",
            "tile/0/000.p/",
            "tile/data/000",
            "tile/0/../000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/entries/+01",
        ] {
            assert_eq!(Tile::parse(bad), Err(TileError::Path), "{bad}");
        }
    }

    #[test]
    fn a_tree_of_70000_entries_has_the_files_of_the_specification() {
        // The specification's own example.
        let paths: Vec<_> = changed_tiles(0, 70_000).map(|tile| tile.path()).collect();
        for path in [
            "tile/0/272",
            "tile/0/273.p/112",
            "tile/1/000",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
            "tile/entries/273.p/112",
        ] {
            assert!(paths.iter().any(|p| p == path), "{path}");
        }
        assert_eq!(paths.len(), 274 + 2 + 1 + 274);
        let next: Vec<_> = changed_tiles(70_000, 70_001)
            .map(|tile| tile.path())
            .collect();
        assert_eq!(next, ["tile/0/273.p/113", "tile/entries/273.p/113"]);
        assert_eq!(changed_tiles(70_000, 70_000).count(), 0);
    }

    #[test]
    fn proofs_come_from_exactly_the_tiles_that_are_named() {
        let all: Vec<_> = (0..66_000_u64)
            .map(|i| leaf_hash(&i.to_be_bytes()))
            .collect();
        let size = all.len() as u64;
        let fetch = |tiles: Vec<Tile>| {
            let mut set = TileSet::new();
            for tile in tiles {
                set.insert(&tile, &tile_bytes(&all, &tile).unwrap())
                    .unwrap();
            }
            set
        };
        for index in [0, 255, 256, 65_535, 65_536, size - 1] {
            let set = fetch(inclusion_tiles(index, size).unwrap());
            assert_eq!(
                inclusion_proof(&set, index, size),
                inclusion_proof(&all, index, size)
            );
        }
        for old in [1, 255, 256, 257, 65_536, 65_537, size - 1] {
            let set = fetch(consistency_tiles(old, size).unwrap());
            assert_eq!(
                consistency_proof(&set, old, size),
                consistency_proof(&all, old, size)
            );
        }
    }

    #[test]
    fn tiles_of_another_length_are_refused() {
        let mut set = TileSet::new();
        assert_eq!(
            set.insert(&tile(Row::Hashes(0), 0, 2), &[0; 32]),
            Err(TileError::Length)
        );
        assert_eq!(
            set.insert(&tile(Row::Hashes(0), 0, 1), &[0; 33]),
            Err(TileError::Length)
        );
        assert_eq!(
            set.insert(&tile(Row::Entries, 0, 1), &[0; 32]),
            Err(TileError::Path)
        );
    }

    #[test]
    fn bundles_round_trip_and_refuse_leftovers() {
        let bytes = bundle([&b"a"[..], b"", b"ccc"]).unwrap();
        assert_eq!(bytes, b"\0\x01a\0\0\0\x03ccc");
        assert_eq!(entries(&bytes, 3), Ok(vec![&b"a"[..], b"", b"ccc"]));
        for (bytes, width) in [
            (&bytes[..], 2),
            (&bytes[..], 4),
            (&bytes[..8], 3),
            (&[&bytes[..], &[0]].concat()[..], 3),
        ] {
            assert_eq!(entries(bytes, width), Err(TileError::Bundle));
        }
        assert_eq!(bundle([&vec![0; 65_536][..]]), Err(TileError::EntryTooLong));
    }
}
