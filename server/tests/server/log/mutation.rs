//! What an attacker does to the database, and what finds it. Each mutation is made on a copy of the files that an auditor mirrors, or on the store
//! itself; nothing is found by luck: each kind names the checks that may catch it. And each byte of a bundle.

use std::collections::BTreeMap;

use sceau_proof::log::audit::Audit;
use sceau_proof::log::{Checkpoint, Hash, checkpoint, leaf_hash, tree};

use super::{log_key, open};
use crate::fixture::{ORIGIN, Place};

/// How often each check found something.
type Caught = BTreeMap<&'static str, usize>;

/// A small generator of numbers: the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

fn audit(
    checkpoint: &[u8],
    leaves: &[Vec<u8>],
    tiles: &BTreeMap<(u8, u64), Hash>,
    earlier: Option<&checkpoint::VerifiedCheckpoint>,
) -> Result<(), &'static str> {
    use sceau_proof::log::audit::AuditError;

    let target =
        checkpoint::open(checkpoint, log_key().verifying_key(), &[]).map_err(|_| "checkpoint")?;
    let word = |error: AuditError| match error {
        AuditError::Entry { .. } => "entry-malformed",
        AuditError::Leaf { .. } => "entry-not-in-tree",
        AuditError::Node(_) => "tile-inconsistent",
        AuditError::TooMany(_) => "file-malformed",
        AuditError::Missing(_) => "entry-missing",
        AuditError::Rewritten { .. } => "rewritten",
        AuditError::Root => "root-mismatch",
    };
    let mut audit = Audit::new(target, earlier.cloned()).map_err(word)?;
    for leaf in leaves {
        audit
            .entry(leaf, |node| tiles.get(&(node.level, node.index)).copied())
            .map_err(word)?;
    }
    audit.finish().map(drop).map_err(word)
}

#[tokio::test]
async fn every_one_of_a_thousand_mutations_is_found_and_by_what() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    while desk
        .checkpoint()
        .await
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        < 300
    {
        alice.ask(&desk, "account.create").await.unwrap();
    }
    let store = open(&place.url).await;
    let mut connection = store.reader().await.unwrap();
    let stored = sceau_server::store::log::entries(&mut connection, 0, 100_000)
        .await
        .unwrap();
    drop(connection);
    let honest: Vec<Vec<u8>> = stored.into_iter().map(|entry| entry.body).collect();
    let size = u64::try_from(honest.len()).unwrap();
    let hashes: Vec<Hash> = honest.iter().map(|leaf| leaf_hash(leaf)).collect();
    let mut tiles: BTreeMap<(u8, u64), Hash> = (0..size)
        .zip(&hashes)
        .map(|(index, hash)| ((0, index), *hash))
        .collect();
    let node = sceau_proof::log::Node { level: 8, index: 0 };
    tiles.insert((8, 0), tree::subtree_root(&hashes[..], node).unwrap());
    let signed = |leaves: &[Vec<u8>]| {
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let size = u64::try_from(leaves.len()).unwrap();
        let root = tree::tree_root(&hashes[..], size).unwrap();
        Checkpoint::new(ORIGIN, size, root)
            .sign(&log_key())
            .unwrap()
            .to_string()
            .into_bytes()
    };
    let checkpoint = signed(&honest);
    assert_eq!(audit(&checkpoint, &honest, &tiles, None), Ok(()));
    // What an auditor, a witness or an agent saw last week.
    let seen = signed(&honest[..250]);
    let seen = checkpoint::open(&seen, log_key().verifying_key(), &[]).unwrap();

    let mut dice = Dice(20_261_122);
    let mut caught = Caught::new();
    let mut total = 0;
    for round in 0..1_200 {
        let (mut leaves, mut tiles, mut checkpoint) =
            (honest.clone(), tiles.clone(), checkpoint.clone());
        let at = dice.below(leaves.len());
        // Whoever has the key signs again over what they changed: then only who saw the log before can tell.
        let mut by = None;
        let allowed: &[&str] = match round % 8 {
            0 => {
                let byte = dice.below(leaves[at].len());
                leaves[at][byte] ^= 1 << dice.below(8);
                &["entry-malformed", "entry-not-in-tree"]
            }
            1 => {
                leaves.remove(at);
                &["entry-not-in-tree", "entry-missing"]
            }
            2 => {
                leaves.truncate(at);
                &["entry-missing"]
            }
            3 => {
                let other = (at + 1 + dice.below(leaves.len() - 1)) % leaves.len();
                leaves.swap(at, other);
                &["entry-not-in-tree"]
            }
            4 => {
                let place = *tiles.keys().nth(dice.below(tiles.len())).unwrap();
                let hash = tiles.get_mut(&place).unwrap();
                hash.0[dice.below(32)] ^= 1 << dice.below(8);
                &["entry-not-in-tree", "tile-inconsistent"]
            }
            5 => {
                let byte = dice.below(checkpoint.len());
                checkpoint[byte] ^= 1 << dice.below(7);
                &["checkpoint"]
            }
            6 => {
                // Entries and tiles rewritten together, the old signature kept.
                leaves[at] = honest[(at + 7) % honest.len()].clone();
                tiles.clear();
                &["root-mismatch"]
            }
            _ => {
                // Rewritten, and signed anew with the stolen key.
                let at = dice.below(250);
                if dice.below(2) == 0 {
                    leaves.remove(at);
                } else {
                    leaves.truncate(at);
                }
                tiles.clear();
                checkpoint = signed(&leaves);
                by = Some(&seen);
                &["rewritten"]
            }
        };
        let found = audit(&checkpoint, &leaves, &tiles, by);
        // Two equal entries swapped, or an equal one put there, are no mutation.
        if leaves == honest && found.is_ok() && round % 8 != 4 && round % 8 != 5 {
            continue;
        }
        total += 1;
        let reason = found.expect_err(&format!("round {round} was not found"));
        assert!(
            allowed.contains(&reason),
            "round {round}: {reason}, not one of {allowed:?}"
        );
        *caught.entry(reason).or_default() += 1;
    }
    assert!(total >= 1_000, "{total}");
    eprintln!("{total} mutations, caught by {caught:?}");
}

/// What a bundle says, without what may be left out of it: `of` names the members that `changed` does not have any more.
fn without_what_is_missing(changed: &mut serde_json::Value, of: &mut serde_json::Value) {
    let entries = of["log"]["entries"].as_array().unwrap().len();
    let mut optional = vec![
        (String::new(), "permit"),
        ("/policy".to_owned(), "text"),
        ("/permit/jwks/keys/0".to_owned(), "alg"),
        ("/permit/jwks/keys/0".to_owned(), "use"),
    ];
    optional.extend((0..entries).map(|i| (format!("/log/entries/{i}"), "openings")));
    for (parent, name) in optional {
        let known = of.pointer_mut(&parent).and_then(|it| it.as_object_mut());
        let shown = changed
            .pointer_mut(&parent)
            .and_then(|it| it.as_object_mut());
        let (Some(known), Some(shown)) = (known, shown) else {
            continue;
        };
        // Of a public key these two are for libraries: the signature is checked as ES256 whatever they say.
        if !shown.contains_key(name) || parent.starts_with("/permit") {
            shown.retain(|it, _| known.contains_key(it) && it != name);
            known.remove(name);
        }
    }
}

/// A bundle as the server makes it, each byte of it changed in turn (every eleventh; `SCEAU_MUTATIONS=all` for all): refused, unless the change is in the
/// name of something that may be missing.
#[tokio::test]
async fn no_byte_of_a_bundle_that_matters_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    let outcome = sceau_server::action::Outcome::Answered {
        upstream_status: 201,
    };
    desk.record_execution(record.id, outcome).await.unwrap();
    let bundle = desk.evidence(record.id).await.unwrap().to_json().unwrap();
    let key = log_key();
    let accepted = |bytes: &[u8]| {
        let trust = sceau_proof::evidence::Trust {
            log: key.verifying_key(),
            witnesses: &[],
            sources: Default::default(),
            at: None,
        };
        sceau_proof::evidence::check(bytes, &trust).accepted()
    };
    assert!(accepted(&bundle));
    let step = if std::env::var("SCEAU_MUTATIONS").is_ok_and(|it| it == "all") {
        1
    } else {
        11
    };
    let (mut changed, mut unnoticed) = (0, 0);
    for at in (0..bundle.len()).step_by(step) {
        let mut bytes = bundle.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        changed += 1;
        if accepted(&bytes) {
            unnoticed += 1;
            let mut said = serde_json::from_slice(&bytes).unwrap();
            let mut genuine = serde_json::from_slice(&bundle).unwrap();
            without_what_is_missing(&mut said, &mut genuine);
            let around = String::from_utf8_lossy(&bundle[at.saturating_sub(40)..at + 1]);
            assert_eq!(said, genuine, "byte {at}, after {around}");
        }
    }
    assert!(
        changed >= 1_000 && unnoticed * 50 < changed,
        "{unnoticed} of {changed}"
    );
    eprintln!("{changed} changes, {unnoticed} in names of what may be missing");
}
