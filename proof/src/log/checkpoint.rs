//! C2SP tlog-checkpoint and tlog-cosignature (<https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/tlog-cosignature>).
//!
//! A checkpoint is a signed note of the lines *origin*, *size* (decimal), *root* (base64), and optional extension lines. A witness that
//! saw it to be consistent with every earlier one adds a line whose signature covers `cosignature/v1`, a time, and the text.
//! Claim: [`Checkpoint`]. Proof: [`VerifiedCheckpoint`], built by [`open`] alone.

use super::note::{self, KeyKind, Note, NoteError, SignatureLine, SigningKey, VerifyingKey};
use super::tree::Hash;

/// Why a checkpoint is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Malformed, unsigned or badly signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Malformed: the text is not origin, size, root.
    #[error("malformed checkpoint")]
    Malformed,
    /// Rejected: signed by the log's key, for another log.
    #[error("checkpoint is of another origin")]
    Origin,
    /// Misuse: the key given for the log is a witness's, or the other way round.
    #[error("key of the wrong kind")]
    KeyKind,
}

/// What a log says of itself. Not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, the name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of these entries.
    pub root: Hash,
    /// Further lines of the text, not interpreted.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed);
        };
        let parsed = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| CheckpointError::Malformed)?,
            root: Hash::from_base64(root).ok_or(CheckpointError::Malformed)?,
            extensions: lines.map(str::to_owned).collect(),
        };
        // One spelling only: no signs, no leading zeros, no empty lines.
        let empty = parsed.origin.is_empty() || parsed.extensions.iter().any(String::is_empty);
        if empty || parsed.text() != text {
            return Err(CheckpointError::Malformed);
        }
        Ok(parsed)
    }

    /// The signed note.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] when the key has another name than the origin; `KeyKind` for a witness's key.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, CheckpointError> {
        if key.verifying_key().name() != self.origin {
            return Err(CheckpointError::Origin);
        }
        if key.verifying_key().kind() != KeyKind::Log {
            return Err(CheckpointError::KeyKind);
        }
        Self::parse(&self.text())?;
        let mut note = Note::new(self.text())?;
        note.sign(key)?;
        Ok(note)
    }
}

/// A witness's statement, checked: it saw this checkpoint at this time, and nothing that contradicts it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    witness: String,
    time: u64,
}

impl Cosignature {
    /// The witness's name.
    pub fn witness(&self) -> &str {
        &self.witness
    }

    /// Seconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }
}

/// A checkpoint that the log signed, with the cosignatures of the witnesses that were asked for. Built by [`open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    cosignatures: Vec<Cosignature>,
}

impl VerifiedCheckpoint {
    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Root of the tree.
    pub fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// Who among the given witnesses cosigned; absent ones are absent.
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }
}

fn cosigned_message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// Checks a checkpoint note: signed by `log`, for `log`'s origin, and every line that names one of `witnesses` verifies.
/// How many witnesses are enough is the caller's policy.
///
/// # Errors
/// [`CheckpointError`]; a witness that did not sign is no error, a false line of one is.
pub fn open(
    note: &[u8],
    log: &VerifyingKey,
    witnesses: &[VerifyingKey],
) -> Result<VerifiedCheckpoint, CheckpointError> {
    if log.kind() != KeyKind::Log || witnesses.iter().any(|key| key.kind() != KeyKind::Witness) {
        return Err(CheckpointError::KeyKind);
    }
    let note = Note::parse(note)?;
    note.verify(log)?;
    let checkpoint = Checkpoint::parse(note.text())?;
    if checkpoint.origin != log.name() {
        return Err(CheckpointError::Origin);
    }
    let mut cosignatures = Vec::new();
    for key in witnesses {
        match verify_cosignature(&note, key) {
            Ok(time) => cosignatures.push(Cosignature {
                witness: key.name().to_owned(),
                time,
            }),
            Err(NoteError::Unsigned) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(VerifiedCheckpoint {
        checkpoint,
        cosignatures,
    })
}

/// The cosignatures of a checkpoint note that verify, at most one for each of `witnesses`. Whether the log signed it is not asked here: that is
/// [`open`]'s.
pub fn cosignatures(note: &Note, witnesses: &[VerifyingKey]) -> Vec<Cosignature> {
    witnesses
        .iter()
        .filter(|key| key.kind() == KeyKind::Witness)
        .filter_map(|key| {
            Some(Cosignature {
                witness: key.name().to_owned(),
                time: verify_cosignature(note, key).ok()?,
            })
        })
        .collect()
}

fn verify_cosignature(note: &Note, key: &VerifyingKey) -> Result<u64, NoteError> {
    note.lines_of(key, |bytes| {
        let (time, signature) = note::split_timestamped(bytes)?;
        note::verify_message(key, &cosigned_message(time, note.text()), signature)?;
        Ok(time)
    })
}

/// A witness's line for a checkpoint that it has found consistent, at `time` (seconds since 1970). Also attached to `note`.
///
/// # Errors
/// `KeyKind` when the key is not a witness's; `Malformed` when the note is no checkpoint.
pub fn cosign(
    note: &mut Note,
    key: &SigningKey,
    time: u64,
) -> Result<SignatureLine, CheckpointError> {
    if key.verifying_key().kind() != KeyKind::Witness {
        return Err(CheckpointError::KeyKind);
    }
    Checkpoint::parse(note.text())?;
    let message = cosigned_message(time, note.text());
    note.push(key, time.to_be_bytes().to_vec(), message);
    note.signatures()
        .last()
        .cloned()
        .ok_or(CheckpointError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tree::leaf_hash;

    fn log_key() -> SigningKey {
        SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[1; 32]).unwrap()
    }

    fn witness() -> SigningKey {
        SigningKey::from_seed("witness.example/w1", KeyKind::Witness, &[2; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint::new("log.example/sceau", 42, leaf_hash(b"x"))
    }

    #[test]
    fn opens_what_was_signed_and_cosigned() {
        let mut note = checkpoint().sign(&log_key()).unwrap();
        let (log, witness_key) = (
            log_key().verifying_key().clone(),
            witness().verifying_key().clone(),
        );
        let before = open(
            note.to_string().as_bytes(),
            &log,
            std::slice::from_ref(&witness_key),
        )
        .unwrap();
        assert!(before.cosignatures().is_empty());
        let line = cosign(&mut note, &witness(), 1_700_000_000).unwrap();
        let text = note.to_string();
        assert!(text.ends_with(&format!("{line}\n")));
        let after = open(text.as_bytes(), &log, &[witness_key]).unwrap();
        assert_eq!(
            (after.size(), after.root(), after.origin()),
            (42, &leaf_hash(b"x"), "log.example/sceau")
        );
        assert_eq!(
            after.cosignatures(),
            [Cosignature {
                witness: "witness.example/w1".into(),
                time: 1_700_000_000
            }]
        );
    }

    #[test]
    fn every_changed_byte_of_text_or_known_signatures_is_noticed() {
        let mut note = checkpoint().sign(&log_key()).unwrap();
        cosign(&mut note, &witness(), 7).unwrap();
        let (log, witness_key) = (
            log_key().verifying_key().clone(),
            [witness().verifying_key().clone()],
        );
        let good = note.to_string().into_bytes();
        let expected = open(&good, &log, &witness_key).unwrap();
        for at in 0..good.len() {
            for flip in [0x01, 0x04, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                // A changed witness name makes that line a stranger's: then its cosignature is simply missing.
                assert_ne!(
                    open(&bad, &log, &witness_key),
                    Ok(expected.clone()),
                    "byte {at} ^ {flip:#x}"
                );
            }
        }
    }

    #[test]
    fn rejects_another_origin_and_keys_of_the_wrong_kind() {
        let mut note =
            Note::new(Checkpoint::new("other.example", 1, Hash::default()).text()).unwrap();
        note.sign(&log_key()).unwrap();
        let (log, witness_key) = (
            log_key().verifying_key().clone(),
            witness().verifying_key().clone(),
        );
        assert_eq!(
            open(note.to_string().as_bytes(), &log, &[]),
            Err(CheckpointError::Origin)
        );
        assert_eq!(
            checkpoint()
                .sign(&SigningKey::from_seed("o", KeyKind::Log, &[1; 32]).unwrap())
                .err(),
            Some(CheckpointError::Origin)
        );
        let mut note = checkpoint().sign(&log_key()).unwrap();
        let bytes = note.to_string().into_bytes();
        assert_eq!(
            open(&bytes, &witness_key, &[]),
            Err(CheckpointError::KeyKind)
        );
        assert_eq!(
            open(&bytes, &log, std::slice::from_ref(&log)),
            Err(CheckpointError::KeyKind)
        );
        assert_eq!(
            cosign(&mut note, &log_key(), 0).err(),
            Some(CheckpointError::KeyKind)
        );
    }

    #[test]
    fn one_spelling_of_a_checkpoint_only() {
        let root = Hash::default().to_base64();
        assert!(Checkpoint::parse(&format!("o\n0\n{root}\n")).is_ok());
        assert!(Checkpoint::parse(&format!("o\n0\n{root}\nextension\n")).is_ok());
        for bad in [
            format!("\n0\n{root}\n"),
            format!("o\n00\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{}\n", &root[1..]),
            "o\n1\n".to_owned(),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}\n\n"),
        ] {
            assert_eq!(
                Checkpoint::parse(&bad),
                Err(CheckpointError::Malformed),
                "{bad:?}"
            );
        }
    }
}
