//! RFC 6962 §2.1: hashes of leaves and nodes, the right edge that appends in O(log n), inclusion and consistency proofs.
//!
//! Verification follows the iterative algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2 (same trees, clearer text).
//! Pure: stored hashes come through [`HashReader`]; what a reader returns is not trusted by verifiers, which need none.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length in bytes of every hash of the tree (SHA-256).
pub const HASH_LEN: usize = 32;

/// A proof of a tree of at most 2^64 entries never has more hashes than this.
pub const MAX_PROOF: usize = 64;

/// A node of the tree: SHA-256 of a leaf or of two nodes. In JSON, standard base64 with padding, as in checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; HASH_LEN]);

impl Hash {
    /// The root of the tree without entries: SHA-256 of nothing.
    pub fn empty_root() -> Self {
        sha256(&[])
    }

    /// Reads standard base64 with padding, exactly 32 bytes; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Standard base64 with padding.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_LEN] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", hex::encode(self.0))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_base64(&text)
            .ok_or_else(|| serde::de::Error::custom("not 32 bytes of padded base64"))
    }
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; HASH_LEN];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Hash(out)
}

/// RFC 6962 §2.1: `SHA-256(0x00 ‖ entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0x00], entry])
}

/// RFC 6962 §2.1: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], &left.0, &right.0])
}

/// A complete subtree: `level` 0 is the leaves, and index `i` of level `l` covers the entries `i·2^l .. (i+1)·2^l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height above the leaves, 0 ..= 63.
    pub level: u8,
    /// Position from the left within the level.
    pub index: u64,
}

/// What cannot be proved, and whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Misuse: the index or the older size lies beyond the tree.
    #[error("index or size beyond the tree")]
    OutOfRange,
    /// Misuse: the tree has reached 2^64 − 1 entries.
    #[error("tree is full")]
    Full,
    /// Unavailable: the store has no hash for this node.
    #[error("no stored hash at level {} index {}", .0.level, .0.index)]
    Missing(Node),
    /// Malformed: a serialised frontier has the wrong length or number of hashes for its size.
    #[error("malformed frontier")]
    MalformedFrontier,
    /// Rejected: the proof has more or fewer hashes than the sizes call for.
    #[error("proof has the wrong length")]
    ProofLength,
    /// Rejected: the proof leads to another root.
    #[error("proof leads to another root")]
    RootMismatch,
}

/// Stored hashes of complete subtrees. A reader needs level 0; any higher level that it lacks (`None`) is computed from the
/// level below, so that a store of leaf hashes alone, of tiles (every eighth level) or of all nodes each serves.
/// [`super::tile::TileSet`] is the implementation over tiles.
pub trait HashReader {
    /// The hash of this complete subtree, or `None` when it is not stored.
    fn read(&self, level: u8, index: u64) -> Option<Hash>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        (**self).read(level, index)
    }
}

/// Level 0 as a slice: for small trees and tests.
impl HashReader for [Hash] {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        if level != 0 {
            return None;
        }
        self.get(usize::try_from(index).ok()?).copied()
    }
}

impl HashReader for Vec<Hash> {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        self.as_slice().read(level, index)
    }
}

/// The hash of one complete subtree, stored or computed from below.
///
/// # Errors
/// [`TreeError::Missing`] when the reader lacks a hash.
pub fn subtree_root<R: HashReader + ?Sized>(reader: &R, node: Node) -> Result<Hash, TreeError> {
    if let Some(hash) = reader.read(node.level, node.index) {
        return Ok(hash);
    }
    let level = node.level.checked_sub(1).ok_or(TreeError::Missing(node))?;
    let left = node.index.checked_mul(2).ok_or(TreeError::OutOfRange)?;
    let right = left.checked_add(1).ok_or(TreeError::OutOfRange)?;
    let left = subtree_root(reader, Node { level, index: left })?;
    let right = subtree_root(
        reader,
        Node {
            level,
            index: right,
        },
    )?;
    Ok(node_hash(&left, &right))
}

/// Entries `lo .. hi` that form one subtree of the RFC's recursion: `lo` is a multiple of the next power of two ≥ `hi - lo`.
#[derive(Clone, Copy)]
struct Span {
    lo: u64,
    hi: u64,
}

impl Span {
    fn len(self) -> u64 {
        self.hi.saturating_sub(self.lo)
    }

    /// The largest power of two smaller than the length (RFC 6962's `k`), for spans of two entries or more.
    fn split(self) -> u64 {
        let level = self.len().saturating_sub(1).checked_ilog2().unwrap_or(0);
        1_u64.checked_shl(level).unwrap_or(0)
    }

    /// Its complete subtrees from left to right, largest first.
    fn nodes(self) -> Vec<Node> {
        let (mut at, mut rest) = (self.lo, self.len());
        let mut nodes = Vec::new();
        while let Some(level) = rest.checked_ilog2() {
            let width = 1_u64.checked_shl(level).unwrap_or(0);
            nodes.push(Node {
                level: u8::try_from(level).unwrap_or(u8::MAX),
                index: at.checked_shr(level).unwrap_or(0),
            });
            at = at.saturating_add(width);
            rest = rest.saturating_sub(width);
        }
        nodes
    }

    fn root<R: HashReader + ?Sized>(self, reader: &R) -> Result<Hash, TreeError> {
        let mut root: Option<Hash> = None;
        for node in self.nodes().into_iter().rev() {
            let left = subtree_root(reader, node)?;
            root = Some(match root {
                None => left,
                Some(right) => node_hash(&left, &right),
            });
        }
        Ok(root.unwrap_or_else(Hash::empty_root))
    }
}

/// RFC 6962 §2.1.1 PATH(m, D[n]), as spans from the leaf upward.
fn inclusion_spans(index: u64, size: u64) -> Result<Vec<Span>, TreeError> {
    if index >= size {
        return Err(TreeError::OutOfRange);
    }
    let mut within = Span { lo: 0, hi: size };
    let mut spans = Vec::new();
    while within.len() > 1 {
        let middle = within.lo.saturating_add(within.split());
        if index < middle {
            spans.push(Span {
                lo: middle,
                hi: within.hi,
            });
            within.hi = middle;
        } else {
            spans.push(Span {
                lo: within.lo,
                hi: middle,
            });
            within.lo = middle;
        }
    }
    spans.reverse();
    Ok(spans)
}

/// RFC 6962 §2.1.2 PROOF(m, D[n]), as spans in the order of the proof.
fn consistency_spans(old: u64, new: u64) -> Result<Vec<Span>, TreeError> {
    if old > new {
        return Err(TreeError::OutOfRange);
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut within = Span { lo: 0, hi: new };
    let mut spans = Vec::new();
    while old != within.hi {
        let middle = within.lo.saturating_add(within.split());
        if old <= middle {
            spans.push(Span {
                lo: middle,
                hi: within.hi,
            });
            within.hi = middle;
        } else {
            spans.push(Span {
                lo: within.lo,
                hi: middle,
            });
            within.lo = middle;
        }
    }
    // SUBPROOF(m, D[m], true) is empty: the verifier has that root already.
    if within.lo != 0 {
        spans.push(within);
    }
    spans.reverse();
    Ok(spans)
}

/// The complete subtrees whose hashes an inclusion proof of `index` in a tree of `size` is made from: what a store must fetch.
///
/// # Errors
/// [`TreeError::OutOfRange`] when `index >= size`.
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Vec<Node>, TreeError> {
    Ok(inclusion_spans(index, size)?
        .into_iter()
        .flat_map(Span::nodes)
        .collect())
}

/// The complete subtrees whose hashes a consistency proof from `old` to `new` is made from.
///
/// # Errors
/// [`TreeError::OutOfRange`] when `old > new`.
pub fn consistency_nodes(old: u64, new: u64) -> Result<Vec<Node>, TreeError> {
    Ok(consistency_spans(old, new)?
        .into_iter()
        .flat_map(Span::nodes)
        .collect())
}

/// RFC 6962 §2.1.1: the audit path of the entry at `index` in the tree of the first `size` entries, from the leaf upward.
///
/// # Errors
/// [`TreeError::OutOfRange`] when `index >= size`; [`TreeError::Missing`] when the reader lacks a hash.
pub fn inclusion_proof<R: HashReader + ?Sized>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError> {
    inclusion_spans(index, size)?
        .into_iter()
        .map(|span| span.root(reader))
        .collect()
}

/// RFC 6962 §2.1.2: the proof that the tree of `old` entries is a prefix of the tree of `new`. Empty when `old` is 0 or `new`.
///
/// # Errors
/// [`TreeError::OutOfRange`] when `old > new`; [`TreeError::Missing`] when the reader lacks a hash.
pub fn consistency_proof<R: HashReader + ?Sized>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError> {
    consistency_spans(old, new)?
        .into_iter()
        .map(|span| span.root(reader))
        .collect()
}

/// The root of the tree of the first `size` entries.
///
/// # Errors
/// [`TreeError::Missing`] when the reader lacks a hash.
pub fn tree_root<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Hash, TreeError> {
    Span { lo: 0, hi: size }.root(reader)
}

/// Checks that `leaf` is the entry at `index` of the tree with this `size` and `root` (RFC 9162 §2.1.3.2).
///
/// # Errors
/// `OutOfRange`, `ProofLength` or `RootMismatch`. The caller must have checked the root's signature.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), TreeError> {
    // step 1
    if index >= size {
        return Err(TreeError::OutOfRange);
    }
    // steps 2, 3
    let (mut f, mut s) = (index, size.saturating_sub(1));
    let mut r = *leaf;
    // step 4
    for p in proof {
        if s == 0 {
            return Err(TreeError::ProofLength);
        }
        if f & 1 == 1 || f == s {
            r = node_hash(p, &r);
            while f & 1 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            r = node_hash(&r, p);
        }
        f >>= 1;
        s >>= 1;
    }
    // step 5
    if s != 0 {
        return Err(TreeError::ProofLength);
    }
    if r == *root {
        Ok(())
    } else {
        Err(TreeError::RootMismatch)
    }
}

/// Checks that the tree (`old`, `old_root`) is a prefix of the tree (`new`, `new_root`) (RFC 9162 §2.1.4.2).
/// Every tree extends the empty one: `old == 0` needs an empty proof and the empty root.
///
/// # Errors
/// `OutOfRange`, `ProofLength` or `RootMismatch`. The caller must have checked both roots' signatures.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), TreeError> {
    if old > new {
        return Err(TreeError::OutOfRange);
    }
    if old == 0 || old == new {
        let expected = if old == 0 {
            Hash::empty_root()
        } else {
            *new_root
        };
        return match (proof.is_empty(), *old_root == expected) {
            (false, _) => Err(TreeError::ProofLength),
            (true, false) => Err(TreeError::RootMismatch),
            (true, true) => Ok(()),
        };
    }
    // step 2: a complete old tree is its own first node.
    let mut path = proof.iter();
    let first = if old.is_power_of_two() {
        old_root
    } else {
        path.next().ok_or(TreeError::ProofLength)?
    };
    // steps 3, 4
    let (mut f, mut s) = (old.saturating_sub(1), new.saturating_sub(1));
    while f & 1 == 1 {
        f >>= 1;
        s >>= 1;
    }
    // step 5
    let (mut fr, mut sr) = (*first, *first);
    // step 6
    for c in path {
        if s == 0 {
            return Err(TreeError::ProofLength);
        }
        if f & 1 == 1 || f == s {
            fr = node_hash(c, &fr);
            sr = node_hash(c, &sr);
            while f & 1 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            sr = node_hash(&sr, c);
        }
        f >>= 1;
        s >>= 1;
    }
    // step 7
    if s != 0 {
        return Err(TreeError::ProofLength);
    }
    if fr == *old_root && sr == *new_root {
        Ok(())
    } else {
        Err(TreeError::RootMismatch)
    }
}

/// The right edge of the tree: the roots of its complete subtrees, largest first. All that appending needs; one small database
/// row. JSON `{"size":N,"edge":["<base64>",…]}`, or bytes (`to_bytes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FrontierJson", into = "FrontierJson")]
pub struct Frontier {
    size: u64,
    edge: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontierJson {
    size: u64,
    edge: Vec<Hash>,
}

impl TryFrom<FrontierJson> for Frontier {
    type Error = TreeError;

    fn try_from(json: FrontierJson) -> Result<Self, TreeError> {
        Self::from_parts(json.size, json.edge)
    }
}

impl From<Frontier> for FrontierJson {
    fn from(frontier: Frontier) -> Self {
        Self {
            size: frontier.size,
            edge: frontier.edge,
        }
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontier {
    /// The tree without entries.
    pub fn new() -> Self {
        Self {
            size: 0,
            edge: Vec::new(),
        }
    }

    /// From its size and the roots of its complete subtrees, largest first.
    ///
    /// # Errors
    /// [`TreeError::MalformedFrontier`] unless there is one hash for each bit set in `size`.
    pub fn from_parts(size: u64, edge: Vec<Hash>) -> Result<Self, TreeError> {
        if u32::try_from(edge.len()) != Ok(size.count_ones()) {
            return Err(TreeError::MalformedFrontier);
        }
        Ok(Self { size, edge })
    }

    /// The right edge of the tree of the first `size` entries, from stored hashes (not yet checked against any root).
    ///
    /// # Errors
    /// [`TreeError::Missing`] when the reader lacks a hash.
    pub fn from_reader<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Self, TreeError> {
        let nodes = Span { lo: 0, hi: size }.nodes();
        let edge = nodes
            .into_iter()
            .map(|node| subtree_root(reader, node))
            .collect::<Result<_, _>>()?;
        Self::from_parts(size, edge)
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees at the right edge, largest first: which hashes [`Self::from_reader`] reads.
    pub fn nodes(size: u64) -> Vec<Node> {
        Span { lo: 0, hi: size }.nodes()
    }

    /// Appends the hash of one leaf; the entry's index is the size before. O(1) on average, O(log n) at most.
    ///
    /// # Errors
    /// [`TreeError::Full`] at 2^64 − 1 entries.
    pub fn append(&mut self, leaf: Hash) -> Result<u64, TreeError> {
        self.append_with(leaf, |_, _| {})
    }

    /// [`Self::append`], telling `completed` each complete subtree that this leaf finishes, from the leaf itself upward: what a
    /// store of nodes or tiles has to write.
    ///
    /// # Errors
    /// [`TreeError::Full`] at 2^64 − 1 entries.
    pub fn append_with(
        &mut self,
        leaf: Hash,
        mut completed: impl FnMut(Node, Hash),
    ) -> Result<u64, TreeError> {
        let index = self.size;
        let size = index.checked_add(1).ok_or(TreeError::Full)?;
        let (mut hash, mut node) = (leaf, Node { level: 0, index });
        completed(node, hash);
        while node.index & 1 == 1 {
            let left = self.edge.pop().ok_or(TreeError::MalformedFrontier)?;
            hash = node_hash(&left, &hash);
            node = Node {
                level: node.level.saturating_add(1),
                index: node.index >> 1,
            };
            completed(node, hash);
        }
        self.edge.push(hash);
        self.size = size;
        Ok(index)
    }

    /// The root (RFC 6962 MTH) of the tree as it is now.
    pub fn root(&self) -> Hash {
        let mut nodes = self.edge.iter().rev();
        let Some(last) = nodes.next() else {
            return Hash::empty_root();
        };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Eight bytes of size, big-endian, then the hashes, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        bytes.extend(self.edge.iter().flat_map(|hash| hash.0));
        bytes
    }

    /// Reads [`Self::to_bytes`]; nothing more, nothing less.
    ///
    /// # Errors
    /// [`TreeError::MalformedFrontier`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        let (size, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(TreeError::MalformedFrontier)?;
        let (hashes, []) = rest.as_chunks::<HASH_LEN>() else {
            return Err(TreeError::MalformedFrontier);
        };
        Self::from_parts(
            u64::from_be_bytes(*size),
            hashes.iter().map(|hash| Hash(*hash)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// RFC 6962 §2.1 written as it stands, for comparison.
    fn mth(d: &[Hash]) -> Hash {
        match d {
            [] => Hash::empty_root(),
            [one] => *one,
            _ => {
                let k = d.len().next_power_of_two() / 2;
                node_hash(&mth(&d[..k]), &mth(&d[k..]))
            }
        }
    }

    fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() == 1 {
            return vec![];
        }
        let k = d.len().next_power_of_two() / 2;
        let (mut proof, last) = if m < k {
            (path(m, &d[..k]), mth(&d[k..]))
        } else {
            (path(m - k, &d[k..]), mth(&d[..k]))
        };
        proof.push(last);
        proof
    }

    fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
        if m == d.len() {
            return if b { vec![] } else { vec![mth(d)] };
        }
        let k = d.len().next_power_of_two() / 2;
        let (mut proof, last) = if m <= k {
            (subproof(m, &d[..k], b), mth(&d[k..]))
        } else {
            (subproof(m - k, &d[k..], false), mth(&d[..k]))
        };
        proof.push(last);
        proof
    }

    #[test]
    fn hashes_are_those_of_rfc_6962() {
        let hex = |h: Hash| hex::encode(h.0);
        assert_eq!(
            hex(Hash::empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(leaf_hash(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        // The reference tree of the certificate-transparency project's own tests.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::new();
        for input in inputs {
            frontier.append(leaf_hash(input)).unwrap();
        }
        assert_eq!(
            hex(frontier.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn frontier_and_proofs_equal_the_recursive_definition_for_all_small_trees() {
        let all = leaves(70);
        let mut frontier = Frontier::new();
        for n in 0..=all.len() {
            let d = &all[..n];
            let root = mth(d);
            assert_eq!(frontier.root(), root);
            assert_eq!(tree_root(&all, n as u64), Ok(root));
            assert_eq!(Frontier::from_reader(&all, n as u64), Ok(frontier.clone()));
            for m in 0..n {
                let proof = inclusion_proof(&all, m as u64, n as u64).unwrap();
                assert_eq!(proof, path(m, d));
                assert_eq!(
                    verify_inclusion(&all[m], m as u64, n as u64, &proof, &root),
                    Ok(())
                );
            }
            for m in 1..=n {
                let proof = consistency_proof(&all, m as u64, n as u64).unwrap();
                assert_eq!(proof, subproof(m, d, true));
                assert_eq!(
                    verify_consistency(m as u64, &mth(&d[..m]), n as u64, &root, &proof),
                    Ok(())
                );
            }
            if let Some(leaf) = all.get(n) {
                assert_eq!(frontier.append(*leaf), Ok(n as u64));
            }
        }
    }

    #[test]
    fn append_reports_each_completed_subtree_once() {
        let all = leaves(37);
        let mut frontier = Frontier::new();
        let mut stored = std::collections::BTreeMap::new();
        for leaf in &all {
            frontier
                .append_with(*leaf, |node, hash| {
                    assert!(stored.insert(node, hash).is_none())
                })
                .unwrap();
        }
        for (node, hash) in stored {
            let lo = (node.index << node.level) as usize;
            assert_eq!(hash, mth(&all[lo..lo + (1 << node.level)]));
        }
    }

    #[test]
    fn frontier_round_trips_and_refuses_any_other_length() {
        for n in [0, 1, 5, 64, 1000] {
            let frontier = Frontier::from_reader(&leaves(n), n).unwrap();
            let bytes = frontier.to_bytes();
            assert_eq!(Frontier::from_bytes(&bytes), Ok(frontier.clone()));
            let json = serde_json::to_string(&frontier).unwrap();
            assert_eq!(serde_json::from_str::<Frontier>(&json).unwrap(), frontier);
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(
                Frontier::from_bytes(&longer),
                Err(TreeError::MalformedFrontier)
            );
            assert_eq!(
                Frontier::from_bytes(&bytes[1..]),
                Err(TreeError::MalformedFrontier)
            );
            assert_eq!(
                Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()),
                Err(TreeError::MalformedFrontier)
            );
        }
        assert!(serde_json::from_str::<Frontier>(r#"{"size":1,"edge":[]}"#).is_err());
        assert!(serde_json::from_str::<Frontier>(r#"{"size":0,"edge":[],"x":1}"#).is_err());
    }

    #[test]
    fn missing_hashes_are_named() {
        let all = leaves(8);
        let short = all[..7].to_vec();
        assert_eq!(
            inclusion_proof(&short, 0, 8),
            Err(TreeError::Missing(Node { level: 0, index: 7 }))
        );
        assert_eq!(inclusion_proof(&all, 8, 8), Err(TreeError::OutOfRange));
        assert_eq!(consistency_proof(&all, 8, 7), Err(TreeError::OutOfRange));
    }

    #[test]
    fn the_empty_tree_is_a_prefix_of_every_tree_only_with_its_own_root() {
        let root = mth(&leaves(3));
        assert_eq!(
            verify_consistency(0, &Hash::empty_root(), 3, &root, &[]),
            Ok(())
        );
        assert_eq!(
            verify_consistency(0, &root, 3, &root, &[]),
            Err(TreeError::RootMismatch)
        );
        assert_eq!(
            verify_consistency(0, &Hash::empty_root(), 3, &root, &[root]),
            Err(TreeError::ProofLength)
        );
        assert_eq!(
            verify_consistency(3, &Hash::empty_root(), 3, &root, &[]),
            Err(TreeError::RootMismatch)
        );
    }

    #[test]
    fn the_largest_tree_neither_overflows_nor_panics() {
        let proof = [Hash::default(); 65];
        let _ = verify_inclusion(&proof[0], u64::MAX - 1, u64::MAX, &proof, &proof[0]);
        let _ = verify_consistency(u64::MAX - 1, &proof[0], u64::MAX, &proof[0], &proof);
        assert!(inclusion_nodes(u64::MAX - 1, u64::MAX).unwrap().len() <= MAX_PROOF * 2);
        assert!(consistency_nodes(1, u64::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn a_changed_proof_is_rejected(n in 2_u64..200, seed: u64, byte in 0_usize..32, bit in 0_u8..8, extra: bool) {
            let all = leaves(n);
            let root = mth(&all);
            let m = seed % n;
            let mut proof = inclusion_proof(&all, m, n).unwrap();
            let which = (seed / 7) as usize % proof.len();
            if extra { proof.push(root) } else { proof[which].0[byte] ^= 1 << bit }
            prop_assert!(verify_inclusion(&all[m as usize], m, n, &proof, &root).is_err());
            let m = m.max(1);
            let old = mth(&all[..m as usize]);
            let mut proof = consistency_proof(&all, m, n).unwrap();
            let which = (seed / 7) as usize % proof.len();
            if extra { proof.push(root) } else { proof[which].0[byte] ^= 1 << bit }
            prop_assert!(verify_consistency(m, &old, n, &root, &proof).is_err());
        }

        #[test]
        fn an_inclusion_proof_holds_for_one_index_only(n in 2_u64..100, a: u64, b: u64) {
            let (all, a, b) = (leaves(n), a % n, b % n);
            prop_assume!(a != b);
            let proof = inclusion_proof(&all, a, n).unwrap();
            prop_assert!(verify_inclusion(&all[a as usize], b, n, &proof, &mth(&all)).is_err());
        }
    }
}
