//! The append-only log: what happened, in an order that nobody can change afterwards without outsiders noticing.
//!
//! An RFC 6962 Merkle tree over [`entry::Entry`] documents, in C2SP's formats: signed-note checkpoints ([`note`], [`checkpoint`]),
//! witness cosignatures, and tlog-tiles ([`tile`]). docs/log.md describes every byte.
//!
//! Trusts nothing that it reads: roots count only when a signature over them was checked ([`checkpoint::open`] →
//! [`checkpoint::VerifiedCheckpoint`]), hashes only when they lead to such a root.
//! Deliberately elsewhere: storage, sequencing, clocks and randomness (the server), and what an entry means (its readers).

pub mod audit;
pub mod checkpoint;
pub mod entry;
pub mod note;
pub mod tile;
pub mod tree;
pub mod view;
pub mod witness;

pub use checkpoint::{Checkpoint, VerifiedCheckpoint};
pub use entry::Entry;
pub use tree::{
    Frontier, Hash, HashReader, Node, TreeError, consistency_proof, inclusion_proof, leaf_hash,
    verify_consistency, verify_inclusion,
};
