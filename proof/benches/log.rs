//! The log at size: how fast a whole log is verified, and what proofs cost in trees of ten million entries.
//!
//! `cargo bench -p sceau-proof --bench log [-- ENTRIES]`. One core. Verification is the work of `sceau-verify log` without the disk: every entry parsed and
//! compared with its one canonical spelling, hashed, put into the tree, and compared with the published tiles. Goals: 1 million entries in at most 10 s,
//! a proof at 10 million in at most 1 ms.

#![allow(clippy::disallowed_methods, reason = "a bench measures with the clock")]
#![allow(
    clippy::unwrap_used,
    reason = "a verification that fails must end the bench"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use sceau_proof::log::audit::Audit;
use sceau_proof::log::checkpoint;
use sceau_proof::log::entry::Entry;
use sceau_proof::log::note::{KeyKind, SigningKey, VerifyingKey};
use sceau_proof::log::tile::{self, Row, TileSet};
use sceau_proof::log::{
    Checkpoint, Frontier, Hash, HashReader, Node, consistency_proof, inclusion_proof, leaf_hash,
    verify_inclusion,
};
use time::macros::datetime;

/// Hashes at tile levels only, as a directory of tiles has them.
#[derive(Default)]
struct Tiles(BTreeMap<u8, Vec<Hash>>);

impl Tiles {
    fn store(&mut self, node: Node, hash: Hash) {
        if node.level.is_multiple_of(8) {
            self.0.entry(node.level).or_default().push(hash);
        }
    }
}

impl HashReader for Tiles {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        self.0
            .get(&level)?
            .get(usize::try_from(index).ok()?)
            .copied()
    }
}

fn entry(i: u64) -> Vec<u8> {
    let salt = [7; 32];
    Entry::new(
        datetime!(2026-11-21 20:00 UTC) + Duration::from_millis(i),
        "action.approved",
    )
    .subject("action", uuid::Uuid::from_u128(i.into()))
    .subject("key", uuid::Uuid::from_u128(1))
    .digest("action", leaf_hash(&i.to_be_bytes()).0)
    .digest("approval", leaf_hash(&i.to_le_bytes()).0)
    .digest("key", [3; 32])
    .commit("person", &salt, "amartin")
    .datum("approvals", 1)
    .to_bytes()
    .unwrap()
}

fn per_second(n: u64, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64()
}

fn main() {
    let entries = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(1_000_000);
    verify_whole_log(entries);
    prove_at_ten_million();
}

fn verify_whole_log(n: u64) {
    let started = Instant::now();
    let log: Vec<_> = (0..n).map(entry).collect();
    let bytes: usize = log.iter().map(Vec::len).sum();
    println!(
        "made {n} entries of {} bytes on average in {:.2?}",
        bytes / log.len(),
        started.elapsed()
    );

    let (mut frontier, mut tiles) = (Frontier::new(), Tiles::default());
    let started = Instant::now();
    for entry in &log {
        frontier
            .append_with(leaf_hash(entry), |node, hash| tiles.store(node, hash))
            .unwrap();
    }
    let took = started.elapsed();
    println!(
        "append (hash and frontier): {took:.2?}, {:.0} entries/s",
        per_second(n, took)
    );

    let key = SigningKey::from_seed("bench", KeyKind::Log, &[1; 32]).unwrap();
    let note = Checkpoint::new("bench", n, frontier.root())
        .sign(&key)
        .unwrap()
        .to_string();
    let target = checkpoint::open(note.as_bytes(), key.verifying_key(), &[]).unwrap();
    let started = Instant::now();
    let mut audit = Audit::new(target, None).unwrap();
    for entry in &log {
        audit
            .entry(entry, |node| tiles.read(node.level, node.index))
            .unwrap();
    }
    assert_eq!(audit.finish().unwrap().size(), n);
    let took = started.elapsed();
    let verdict = if took.as_secs_f64() * 1e6 / n as f64 <= 10.0 {
        "goal met"
    } else {
        "GOAL MISSED"
    };
    println!(
        "verify {n} entries: {took:.2?}, {:.0} entries/s (goal 1 million in 10 s: {verdict})",
        per_second(n, took)
    );
    verify_by_command(&log, &tiles, &note, key.verifying_key());
}

/// The same by the command, from files of a folder.
fn verify_by_command(log: &[Vec<u8>], tiles: &Tiles, note: &str, key: &VerifyingKey) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("checkpoint"), note).unwrap();
    for tile in tile::changed_tiles(0, log.len() as u64) {
        let bytes = match tile.row {
            Row::Hashes(_) => tile::tile_bytes(tiles, &tile).unwrap(),
            Row::Entries => {
                let first = usize::try_from(tile.index).unwrap() * usize::from(tile::WIDTH);
                let entries = &log[first..first + usize::from(tile.width)];
                tile::bundle(entries.iter().map(Vec::as_slice)).unwrap()
            }
        };
        let file = folder.path().join(tile.path());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .arg("log")
        .arg(folder.path())
        .args(["--log-key", &key.to_string()])
        .output()
        .unwrap();
    let took = started.elapsed();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    println!(
        "sceau-verify log, {} entries from files: {took:.2?}",
        log.len()
    );
}

fn prove_at_ten_million() {
    let size = 10_000_000_u64;
    let (mut frontier, mut tiles) = (Frontier::new(), Tiles::default());
    let started = Instant::now();
    for i in 0..size {
        frontier
            .append_with(leaf_hash(&i.to_be_bytes()), |node, hash| {
                tiles.store(node, hash)
            })
            .unwrap();
    }
    let root = frontier.root();
    println!("tree of {size}: built in {:.2?}", started.elapsed());
    let (mut proving, mut verifying, mut from_tiles) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..1_000_u64 {
        let index = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let started = Instant::now();
        let proof = black_box(inclusion_proof(&tiles, index, size).unwrap());
        proving.push(started.elapsed());
        let started = Instant::now();
        verify_inclusion(&leaf_hash(&index.to_be_bytes()), index, size, &proof, &root).unwrap();
        verifying.push(started.elapsed());
        let files: Vec<_> = tile::inclusion_tiles(index, size).unwrap();
        let files: Vec<_> = files
            .iter()
            .map(|tile| (*tile, tile::tile_bytes(&tiles, tile).unwrap()))
            .collect();
        let started = Instant::now();
        let mut set = TileSet::new();
        for (tile, bytes) in &files {
            set.insert(tile, bytes).unwrap();
        }
        assert_eq!(inclusion_proof(&set, index, size).unwrap(), proof);
        from_tiles.push(started.elapsed());
    }
    report("inclusion proof at 10 million, stored hashes", proving);
    report("inclusion proof at 10 million, from tile bytes", from_tiles);
    report("inclusion proof verified", verifying);
    let mut consistency = Vec::new();
    for i in 1..1_000_u64 {
        let old = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let started = Instant::now();
        black_box(consistency_proof(&tiles, old, size).unwrap());
        consistency.push(started.elapsed());
    }
    report("consistency proof at 10 million", consistency);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, last) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what}: median {median:.2?}, p99 {last:.2?}");
}
