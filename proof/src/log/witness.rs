//! C2SP tlog-witness (<https://c2sp.org/tlog-witness>): the request `add-checkpoint`, and what a witness decides about it.
//!
//! The one rule of a witness: it never cosigns two checkpoints of one log that contradict each other. [`consider`] is that rule, pure; whoever
//! calls it must hold the log's lock from reading the last cosigned checkpoint until the new one is durable, and only then call
//! [`Extension::cosign`]. Trusts the log's verifier keys, which are configuration. Deliberately elsewhere: files, clocks, HTTP.

use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::note::{Note, NoteError, SignatureLine, SigningKey, VerifyingKey};
use super::tree::{self, Hash};
use super::{TreeError, VerifiedCheckpoint};

/// The longest request that is read: 63 hashes, and a checkpoint with a few signatures.
pub const MAX_REQUEST: usize = 64 * 1024;

/// The most lines that a consistency proof has.
pub const MAX_PROOF: usize = 63;

/// A request as it arrived. Nothing of it is trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the last checkpoint that the log believes this witness has cosigned.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint.
    pub note: Note,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// Malformed (400): not a request of the specification.
    #[error("malformed request")]
    Malformed,
    /// Rejected (403): none of the log's keys signed it, or a line that names one does not verify.
    #[error("not signed by the log")]
    Unsigned,
    /// Rejected (400): the old size is beyond the checkpoint's own.
    #[error("the old size is greater than the checkpoint's")]
    OldSize,
    /// Rejected (409): this witness cosigned another size last.
    #[error("last cosigned at size {size}")]
    Conflict {
        /// The size that it cosigned last.
        size: u64,
    },
    /// Rejected (409): the log signed two checkpoints of one size with different roots. The two notes prove it.
    #[error("the log signed two different trees of {size} entries")]
    Forked {
        /// Their size.
        size: u64,
    },
    /// Rejected (422): the consistency proof does not verify.
    #[error("the consistency proof does not verify")]
    Proof,
}

impl AddCheckpoint {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`WitnessError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, WitnessError> {
        let malformed = || WitnessError::Malformed;
        if body.len() > MAX_REQUEST {
            return Err(malformed());
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        let (head, note) = text.split_once("\n\n").ok_or_else(malformed)?;
        let mut lines = head.split('\n');
        let digits = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .ok_or_else(malformed)?;
        let old: u64 = digits.parse().map_err(|_| malformed())?;
        if old.to_string() != digits {
            return Err(malformed());
        }
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() >= MAX_PROOF {
                return Err(malformed());
            }
            proof.push(Hash::from_base64(line).ok_or_else(malformed)?);
        }
        let note = Note::parse(note.as_bytes()).map_err(|_| malformed())?;
        Checkpoint::parse(note.text()).map_err(|_| malformed())?;
        Ok(Self { old, proof, note })
    }

    /// The body of the request.
    #[must_use]
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&hash.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note.to_string());
        body
    }

    /// The log that the checkpoint says to be of. Not trusted.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.note.text().split('\n').next().unwrap_or_default()
    }
}

/// A checkpoint that extends everything that this witness has cosigned of its log. Built by [`consider`] and [`Extension::followed`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    note: Note,
    checkpoint: VerifiedCheckpoint,
}

impl Extension {
    /// A checkpoint that was found to extend `last` through the log's tiles.
    ///
    /// # Errors
    /// As [`super::view::extends`], and `Origin` when the note is not of the verified checkpoint.
    pub fn followed(
        last: Option<&VerifiedCheckpoint>,
        note: Note,
        checkpoint: VerifiedCheckpoint,
        tiles: &super::tile::TileSet,
    ) -> Result<Self, super::view::ViewError> {
        let same = Checkpoint::parse(note.text()).is_ok_and(|read| {
            read.origin == checkpoint.origin()
                && read.size == checkpoint.size()
                && read.root == *checkpoint.root()
        });
        if !same {
            return Err(super::view::ViewError::Origin);
        }
        if let Some(last) = last {
            super::view::extends(last, &checkpoint, tiles)?;
        }
        Ok(Self { note, checkpoint })
    }

    /// What is to be stored, durably, before anything is cosigned: the note as it came.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What it says.
    #[must_use]
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// The witness's line, at `time` (seconds since 1970). Only after this extension was made durable.
    ///
    /// # Errors
    /// `KeyKind` when the key is not a witness's.
    pub fn cosign(mut self, key: &SigningKey, time: u64) -> Result<SignatureLine, CheckpointError> {
        checkpoint::cosign(&mut self.note, key, time)
    }
}

/// Opens a checkpoint that any one of the log's keys has signed.
///
/// # Errors
/// [`WitnessError::Unsigned`] when none has, or a line that names one of them is false.
pub fn open(note: &Note, keys: &[VerifyingKey]) -> Result<VerifiedCheckpoint, WitnessError> {
    let bytes = note.to_string().into_bytes();
    let mut opened = None;
    for key in keys {
        match checkpoint::open(&bytes, key, &[]) {
            Ok(checkpoint) => opened = opened.or(Some(checkpoint)),
            Err(CheckpointError::Note(NoteError::Unsigned)) => {}
            Err(_) => return Err(WitnessError::Unsigned),
        }
    }
    opened.ok_or(WitnessError::Unsigned)
}

/// Whether a witness that cosigned `last` of this log may cosign what is asked. `keys`: the log's verifier keys.
///
/// # Errors
/// [`WitnessError`]; all but `Malformed` and `Unsigned` are about a checkpoint that the log did sign.
pub fn consider(
    request: AddCheckpoint,
    keys: &[VerifyingKey],
    last: Option<&VerifiedCheckpoint>,
) -> Result<Extension, WitnessError> {
    let checkpoint = open(&request.note, keys)?;
    let size = checkpoint.size();
    if request.old > size {
        return Err(WitnessError::OldSize);
    }
    let (seen, root) = last.map_or((0, Hash::empty_root()), |last| (last.size(), *last.root()));
    if request.old != seen {
        return Err(WitnessError::Conflict { size: seen });
    }
    match tree::verify_consistency(seen, &root, size, checkpoint.root(), &request.proof) {
        Ok(()) => {}
        Err(TreeError::RootMismatch) if seen == size => {
            return Err(WitnessError::Forked { size });
        }
        Err(_) => return Err(WitnessError::Proof),
    }
    // An empty tree has one root.
    if size == 0 && *checkpoint.root() != Hash::empty_root() {
        return Err(WitnessError::Proof);
    }
    Ok(Extension {
        note: request.note,
        checkpoint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::KeyKind;
    use crate::log::{consistency_proof, leaf_hash};

    fn log() -> SigningKey {
        SigningKey::from_seed("log.example", KeyKind::Log, &[1; 32]).unwrap()
    }

    fn leaves(mark: &str) -> Vec<Hash> {
        (0..20)
            .map(|i| leaf_hash(format!("{mark}{i}").as_bytes()))
            .collect()
    }

    fn note(leaves: &[Hash], size: u64) -> Note {
        let root = tree::tree_root(leaves, size).unwrap();
        Checkpoint::new("log.example", size, root)
            .sign(&log())
            .unwrap()
    }

    fn request(leaves: &[Hash], old: u64, size: u64) -> AddCheckpoint {
        AddCheckpoint {
            old,
            proof: consistency_proof(leaves, old, size).unwrap(),
            note: note(leaves, size),
        }
    }

    fn seen(leaves: &[Hash], size: u64) -> VerifiedCheckpoint {
        open(&note(leaves, size), &[log().verifying_key().clone()]).unwrap()
    }

    #[test]
    fn cosigns_what_extends_and_nothing_else() {
        let keys = [log().verifying_key().clone()];
        let (honest, forked) = (leaves("a"), leaves("b"));
        for (old, size) in [(0, 0), (0, 7), (5, 9), (8, 20), (9, 9)] {
            let last = (old > 0).then(|| seen(&honest, old));
            let extension = consider(request(&honest, old, size), &keys, last.as_ref()).unwrap();
            let witness = SigningKey::from_seed("w", KeyKind::Witness, &[2; 32]).unwrap();
            let mut signed = extension.note().clone();
            signed.attach(extension.cosign(&witness, 7).unwrap());
            let opened = checkpoint::open(
                signed.to_string().as_bytes(),
                &keys[0],
                &[witness.verifying_key().clone()],
            )
            .unwrap();
            assert_eq!(opened.cosignatures().len(), 1);
        }
        let last = seen(&honest, 9);
        let considered = |request| consider(request, &keys, Some(&last)).unwrap_err();
        assert_eq!(
            considered(request(&honest, 5, 12)),
            WitnessError::Conflict { size: 9 }
        );
        assert_eq!(
            considered(request(&honest, 0, 5)),
            WitnessError::Conflict { size: 9 }
        );
        assert_eq!(
            considered(AddCheckpoint {
                old: 9,
                ..request(&honest, 0, 8)
            }),
            WitnessError::OldSize
        );
        assert_eq!(considered(request(&forked, 9, 12)), WitnessError::Proof);
        assert_eq!(
            considered(request(&forked, 9, 9)),
            WitnessError::Forked { size: 9 }
        );
        let mut padded = request(&honest, 9, 9);
        padded.proof.push(Hash::default());
        assert_eq!(considered(padded), WitnessError::Proof);
        let other = SigningKey::from_seed("log.example", KeyKind::Log, &[9; 32]).unwrap();
        assert_eq!(
            consider(
                request(&honest, 9, 12),
                &[other.verifying_key().clone()],
                Some(&last)
            ),
            Err(WitnessError::Unsigned)
        );
        let both = [other.verifying_key().clone(), log().verifying_key().clone()];
        assert!(consider(request(&honest, 9, 12), &both, Some(&last)).is_ok());
    }

    #[test]
    fn one_spelling_of_a_request() {
        let good = request(&leaves("a"), 5, 9);
        let body = good.to_body();
        assert_eq!(AddCheckpoint::parse(body.as_bytes()), Ok(good.clone()));
        assert_eq!(good.origin(), "log.example");
        let many = format!("old 5\n{}", format!("{}\n", Hash::default()).repeat(64));
        for bad in [
            String::new(),
            body.replacen("old 5", "old 05", 1),
            body.replacen("old 5", "old +5", 1),
            body.replacen("old 5", "old  5", 1),
            body.replacen("old 5", "new 5", 1),
            body.replacen("\n\n", "\n", 1),
            body.replacen("log.example\n9\n", "log.example\n09\n", 1),
            format!("{many}\n{}", note(&leaves("a"), 9)),
            "old 5\n\n".to_owned(),
        ] {
            assert_eq!(
                AddCheckpoint::parse(bad.as_bytes()),
                Err(WitnessError::Malformed),
                "{bad}"
            );
        }
    }
}
