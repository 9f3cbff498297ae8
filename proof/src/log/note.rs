//! C2SP signed-note (<https://c2sp.org/signed-note>) with Ed25519, and the key type of cosignatures.
//!
//! A note is UTF-8 text that ends in a newline, an empty line, and lines `— <name> <base64(key id ‖ signature)>`.
//! A verifier key ("vkey") is `<name>+<8 hex digits of key id>+<base64(type ‖ 32 bytes)>`, where the key id is the first four bytes of
//! `SHA-256(name ‖ "\n" ‖ type ‖ key)`. Trusts only the keys that the caller gives; signatures of others are carried along.
//! Deliberately elsewhere: what the text says ([`super::checkpoint`]).

use std::fmt;

use aws_lc_rs::{digest, signature};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest note that is read.
pub const MAX_NOTE: usize = 1 << 20;

/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 100;

const ED25519_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
const DASH: &str = "\u{2014} ";

/// What is wrong with a note or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Malformed: not a note of the specification, or over its limits.
    #[error("malformed note")]
    Malformed,
    /// Malformed: not a verifier key, or its key id is not the hash of the rest.
    #[error("malformed verifier key")]
    MalformedKey,
    /// Unsupported: a verifier key of another signature type.
    #[error("unsupported key type {0:#04x}")]
    UnsupportedKey(u8),
    /// Rejected: no signature by this key.
    #[error("not signed by this key")]
    Unsigned,
    /// Rejected: a signature line that names this key does not verify.
    #[error("signature does not verify")]
    BadSignature,
    /// Misuse: a key name that is empty or has white space or `+`, or a text that cannot be signed.
    #[error("name or text cannot be used in a note")]
    Misuse,
}

/// What a key signs, by the type byte in its verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: the text of the note.
    Log,
    /// 0x04 (tlog-cosignature): a checkpoint and the time at which it was seen to be consistent.
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn valid_text(text: &str) -> bool {
    text.ends_with('\n') && !text.chars().any(|c| c < ' ' && c != '\n')
}

fn key_id(name: &str, kind: KeyKind, key: &[u8; ED25519_LEN]) -> [u8; 4] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(name.as_bytes());
    context.update(b"\n");
    context.update(&[kind.byte()]);
    context.update(key);
    context
        .finish()
        .as_ref()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

/// A key that the caller trusts to sign notes.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: [u8; 4],
    kind: KeyKind,
    key: [u8; ED25519_LEN],
}

impl VerifyingKey {
    /// A key by its name and public bytes.
    ///
    /// # Errors
    /// [`NoteError::Misuse`] for a name that cannot be written in a note.
    pub fn new(name: &str, kind: KeyKind, key: [u8; ED25519_LEN]) -> Result<Self, NoteError> {
        if !valid_name(name) {
            return Err(NoteError::Misuse);
        }
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, kind, &key),
            kind,
            key,
        })
    }

    /// Reads a vkey (its `Display` form; a final newline is tolerated, since it usually comes from a file).
    ///
    /// # Errors
    /// `MalformedKey` or `UnsupportedKey`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let vkey = vkey.strip_suffix('\n').unwrap_or(vkey);
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::MalformedKey);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::MalformedKey)?;
        let (kind, key) = key.split_first().ok_or(NoteError::MalformedKey)?;
        let kind = match kind {
            0x01 => KeyKind::Log,
            0x04 => KeyKind::Witness,
            other => return Err(NoteError::UnsupportedKey(*other)),
        };
        let key = key.try_into().map_err(|_| NoteError::MalformedKey)?;
        let parsed = Self::new(name, kind, key).map_err(|_| NoteError::MalformedKey)?;
        if hex::encode(parsed.id) == id {
            Ok(parsed)
        } else {
            Err(NoteError::MalformedKey)
        }
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        signature::UnparsedPublicKey::new(&signature::ED25519, self.key)
            .verify(message, signature)
            .map_err(|_| NoteError::BadSignature)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend(self.key);
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.id),
            STANDARD.encode(key)
        )
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

/// A named Ed25519 key that signs notes. No `Debug`: it holds a secret.
pub struct SigningKey {
    public: VerifyingKey,
    pair: signature::Ed25519KeyPair,
}

impl SigningKey {
    /// Names a key pair.
    ///
    /// # Errors
    /// [`NoteError::Misuse`] for a name that cannot be written in a note.
    pub fn new(
        name: &str,
        kind: KeyKind,
        pair: signature::Ed25519KeyPair,
    ) -> Result<Self, NoteError> {
        use signature::KeyPair;
        let key = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| NoteError::Misuse)?;
        Ok(Self {
            public: VerifyingKey::new(name, kind, key)?,
            pair,
        })
    }

    /// From the 32 secret bytes of RFC 8032, which the caller keeps and erases.
    ///
    /// # Errors
    /// [`NoteError::Misuse`] for a name that cannot be written in a note.
    pub fn from_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair =
            signature::Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Misuse)?;
        Self::new(name, kind, pair)
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }
}

/// One line of a note: who claims to have signed, and the bytes. Not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A text and the signatures that are claimed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// A text without signatures yet.
    ///
    /// # Errors
    /// [`NoteError::Misuse`] unless it ends in a newline and has no control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !valid_text(&text) {
            return Err(NoteError::Misuse);
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Malformed);
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
        // The last empty line parts text and signatures; the text keeps its own final newline.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if !valid_text(&text) {
            return Err(NoteError::Malformed);
        }
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() >= MAX_SIGNATURES {
                return Err(NoteError::Malformed);
            }
            signatures.push(SignatureLine::parse(line).ok_or(NoteError::Malformed)?);
        }
        Ok(Self { text, signatures })
    }

    /// What was signed. Trusted only after [`Self::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The claimed signatures.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a log's signature over the text. A witness's needs a time: [`super::checkpoint::cosign`].
    ///
    /// # Errors
    /// [`NoteError::Misuse`] when the key is a witness's.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        if key.public.kind != KeyKind::Log {
            return Err(NoteError::Misuse);
        }
        self.push(key, Vec::new(), self.text.clone().into_bytes());
        Ok(())
    }

    /// Adds `prefix ‖ signature over message`.
    pub(super) fn push(&mut self, key: &SigningKey, mut prefix: Vec<u8>, message: Vec<u8>) {
        prefix.extend(key.pair.sign(&message).as_ref());
        self.signatures.push(SignatureLine {
            name: key.public.name.clone(),
            id: key.public.id,
            bytes: prefix,
        });
    }

    /// Adds a signature line that came by itself (a witness's answer), unless this note has it already.
    pub fn attach(&mut self, line: SignatureLine) {
        if !self.signatures.contains(&line) {
            self.signatures.push(line);
        }
    }

    /// Checks that `key` signed the text. Every line that names the key must verify, so that none can hide behind another.
    ///
    /// # Errors
    /// `Unsigned` or `BadSignature`; `Misuse` when the key is a witness's.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), NoteError> {
        if key.kind != KeyKind::Log {
            return Err(NoteError::Misuse);
        }
        self.lines_of(key, |bytes| key.verify(self.text.as_bytes(), bytes))
            .map(|_| ())
    }

    /// Runs `check` on each signature by `key`; the first result, and an error if there is none or one fails.
    pub(super) fn lines_of<T>(
        &self,
        key: &VerifyingKey,
        mut check: impl FnMut(&[u8]) -> Result<T, NoteError>,
    ) -> Result<T, NoteError> {
        let mut first = Err(NoteError::Unsigned);
        for line in self
            .signatures
            .iter()
            .filter(|line| line.name == key.name && line.id == key.id)
        {
            let checked = check(&line.bytes)?;
            if first.is_err() {
                first = Ok(checked);
            }
        }
        first
    }
}

/// `signature` with an 8-byte big-endian time before it.
pub(super) fn split_timestamped(bytes: &[u8]) -> Result<(u64, &[u8]), NoteError> {
    let (time, signature) = bytes
        .split_first_chunk::<8>()
        .ok_or(NoteError::BadSignature)?;
    if signature.len() != SIGNATURE_LEN {
        return Err(NoteError::BadSignature);
    }
    Ok((u64::from_be_bytes(*time), signature))
}

/// Ed25519 over any message, for cosignatures.
pub(super) fn verify_message(
    key: &VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), NoteError> {
    key.verify(message, signature)
}

impl SignatureLine {
    /// Reads one line, without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = STANDARD.decode(bytes).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        if !valid_name(name) || bytes.is_empty() {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }

    /// Who claims to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Go package golang.org/x/mod/sumdb/note, whose format C2SP took over.
    const PETER_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn verifies_the_example_of_the_go_package() {
        let key = VerifyingKey::parse(PETER_VKEY).unwrap();
        assert_eq!(key.to_string(), PETER_VKEY);
        let note = Note::parse(PETER_NOTE.as_bytes()).unwrap();
        assert_eq!(note.to_string(), PETER_NOTE);
        assert_eq!(note.verify(&key), Ok(()));
        let changed = Note::parse(
            PETER_NOTE
                .replace("your problem is", "your problem iz")
                .as_bytes(),
        )
        .unwrap();
        assert_eq!(changed.verify(&key), Err(NoteError::BadSignature));
    }

    #[test]
    fn signs_what_it_verifies_and_ignores_strangers() {
        let log = SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[7; 32]).unwrap();
        let other = SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[8; 32]).unwrap();
        let mut note = Note::new("text\n".to_owned()).unwrap();
        note.sign(&other).unwrap();
        assert_eq!(note.verify(log.verifying_key()), Err(NoteError::Unsigned));
        note.sign(&log).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(read, note);
        assert_eq!(read.verify(log.verifying_key()), Ok(()));
        let parsed = VerifyingKey::parse(&log.verifying_key().to_string()).unwrap();
        assert_eq!(&parsed, log.verifying_key());
    }

    #[test]
    fn a_false_line_beside_a_true_one_is_rejected() {
        let log = SigningKey::from_seed("l", KeyKind::Log, &[7; 32]).unwrap();
        let mut note = Note::new("text\n".to_owned()).unwrap();
        note.sign(&log).unwrap();
        let mut false_line = note.signatures()[0].clone();
        false_line.bytes[9] ^= 1;
        note.attach(false_line);
        assert_eq!(
            note.verify(log.verifying_key()),
            Err(NoteError::BadSignature)
        );
    }

    #[test]
    fn malformed_notes_and_keys_are_refused() {
        let line = "\u{2014} a AAAAAAA=";
        let good = format!("t\n\n{line}\n");
        assert!(Note::parse(good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            "t\n".to_owned(),
            format!("t\n\n{line}"),
            format!("t\n{line}\n"),
            format!("t\r\n\n{line}\n"),
            "t\n\n\n".to_owned(),
            format!("t\n\n{line} \n"),
            "t\n\n- a AAAAAAA=\n".to_owned(),
            "t\n\n\u{2014}  AAAAAAA=\n".to_owned(),
            "t\n\n\u{2014} a+b AAAAAAA=\n".to_owned(),
            "t\n\n\u{2014} a AAAAAA==\n".to_owned(),
            "t\n\n\u{2014} a AAAAAAA\n".to_owned(),
            format!("t\n\n{}", format!("{line}\n").repeat(101)),
        ] {
            assert_eq!(
                Note::parse(bad.as_bytes()),
                Err(NoteError::Malformed),
                "{bad:?}"
            );
        }
        assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Malformed));
        for bad in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(
                VerifyingKey::parse(bad),
                Err(NoteError::MalformedKey),
                "{bad}"
            );
        }
        assert_eq!(
            VerifyingKey::parse(
                "PeterNeumann+c74f20a3+AhpcAQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            ),
            Err(NoteError::UnsupportedKey(2))
        );
    }
}
