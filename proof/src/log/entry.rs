//! One entry of the log: a change of state, as canonical JSON (RFC 8785), from which personal data stays out.
//!
//! `{"at","commitments":{…},"data":{…},"sha256":{…},"subjects":{…},"type","v":1}`: *subjects* are random identifiers, *sha256* digests of documents
//! kept beside the log, *data* what is nobody's personal data (states, reasons, counts). What could be asked to be erased goes into
//! *commitments*, `HMAC-SHA256(salt, field ‖ 0x00 ‖ value)`: the store keeps salt and value beside the entry, and erasing them leaves a random
//! number and every proof valid. docs/log.md lists the entry types.
//! Deliberately elsewhere: salts (32 random bytes per field, from the caller) and storage.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::tile::MAX_ENTRY;
use super::tree::{self, Hash};

/// The version that this module writes and reads.
pub const VERSION: u64 = 1;

/// Bytes of salt per committed field.
pub const SALT_LEN: usize = 32;

const MAX_MEMBERS: usize = 64;
const MAX_NAME: usize = 64;
const MAX_SUBJECT: usize = 256;
const MAX_INTEGER: u64 = 1 << 53;
const MAX_DEPTH: u8 = 8;

/// Why an entry is not read or not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Malformed: not an entry, an unknown member, or a value of the wrong shape.
    #[error("malformed entry")]
    Malformed,
    /// Malformed: an entry, but not in its one canonical spelling.
    #[error("entry is not canonical")]
    NotCanonical,
    /// Unsupported: another version.
    #[error("unknown entry version")]
    UnknownVersion,
    /// Malformed or misuse: over the limits of length, depth or number.
    #[error("entry over its limits")]
    OverLimit,
}

/// A change of state. Built with [`Entry::new`] and the methods that add members; read with [`Entry::parse`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    at: OffsetDateTime,
    kind: String,
    subjects: BTreeMap<String, String>,
    sha256: BTreeMap<String, [u8; 32]>,
    commitments: BTreeMap<String, [u8; 32]>,
    data: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson {
    v: u64,
    at: String,
    #[serde(rename = "type")]
    kind: String,
    subjects: BTreeMap<String, String>,
    sha256: BTreeMap<String, String>,
    commitments: BTreeMap<String, String>,
    data: Map<String, Value>,
}

/// `HMAC-SHA256(salt, field ‖ 0x00 ‖ value)`: says nothing about `value` once `salt` is erased.
pub fn commitment(salt: &[u8; SALT_LEN], field: &str, value: &str) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    context.update(field.as_bytes());
    context.update(&[0]);
    context.update(value.as_bytes());
    context.sign().as_ref().try_into().unwrap_or_default()
}

impl Entry {
    /// An entry of this type at this time (kept to the microsecond, in UTC).
    pub fn new(at: OffsetDateTime, kind: &str) -> Self {
        let at = at.to_offset(UtcOffset::UTC);
        let at = at.replace_microsecond(at.microsecond()).unwrap_or(at);
        Self {
            at,
            kind: kind.to_owned(),
            subjects: BTreeMap::new(),
            sha256: BTreeMap::new(),
            commitments: BTreeMap::new(),
            data: Map::new(),
        }
    }

    /// Names what the entry is about by a random identifier (`action`, `key`, `session`, `permit` …), never by a person's name.
    #[must_use]
    pub fn subject(mut self, name: &str, id: impl ToString) -> Self {
        self.subjects.insert(name.to_owned(), id.to_string());
        self
    }

    /// Binds a document that is kept beside the log.
    #[must_use]
    pub fn digest(mut self, name: &str, sha256: [u8; 32]) -> Self {
        self.sha256.insert(name.to_owned(), sha256);
        self
    }

    /// Binds a value that may have to be erased one day. `salt`: 32 fresh random bytes, kept beside the value.
    #[must_use]
    pub fn commit(mut self, field: &str, salt: &[u8; SALT_LEN], value: &str) -> Self {
        self.commitments
            .insert(field.to_owned(), commitment(salt, field, value));
        self
    }

    /// Adds a readable value that is nobody's personal data: text, boolean, integer within ±2^53, or lists and objects of these.
    #[must_use]
    pub fn datum(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// When it happened, by the server's clock.
    pub fn at(&self) -> OffsetDateTime {
        self.at
    }

    /// What happened: `action.approved`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The identifier of this subject.
    pub fn subject_id(&self, name: &str) -> Option<&str> {
        self.subjects.get(name).map(String::as_str)
    }

    /// The digest of this document.
    pub fn sha256_of(&self, name: &str) -> Option<&[u8; 32]> {
        self.sha256.get(name)
    }

    /// The commitment to this field.
    pub fn commitment_to(&self, field: &str) -> Option<&[u8; 32]> {
        self.commitments.get(field)
    }

    /// The readable values.
    pub fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// Whether this entry commits to `value` for `field`, under the salt kept beside it.
    pub fn opens(&self, field: &str, salt: &[u8; SALT_LEN], value: &str) -> bool {
        self.commitments.get(field) == Some(&commitment(salt, field, value))
    }

    /// The canonical bytes: the leaf's content.
    ///
    /// # Errors
    /// `OverLimit` beyond 65,535 bytes or other limits; `Malformed` for names or numbers that an entry cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let at = self
            .at
            .format(&Rfc3339)
            .map_err(|_| EntryError::Malformed)?;
        // RFC 8785 by hand, ten times faster than by a general canonicaliser: names are ASCII, members are written in their sorted order, numbers
        // are integers, and serde_json escapes texts as JCS does. A test compares with the general one.
        let mut out = Vec::with_capacity(512);
        out.extend(b"{\"at\":");
        write_text(&mut out, &at);
        out.extend(b",\"commitments\":");
        write_members(&mut out, &self.commitments, |out, bytes| {
            write_text(out, &URL_SAFE_NO_PAD.encode(bytes))
        });
        out.extend(b",\"data\":");
        write_object(&mut out, &self.data);
        out.extend(b",\"sha256\":");
        write_members(&mut out, &self.sha256, |out, bytes| {
            write_text(out, &URL_SAFE_NO_PAD.encode(bytes))
        });
        out.extend(b",\"subjects\":");
        write_members(&mut out, &self.subjects, |out, id| write_text(out, id));
        out.extend(b",\"type\":");
        write_text(&mut out, &self.kind);
        out.extend(b",\"v\":1}");
        if out.len() > MAX_ENTRY {
            Err(EntryError::OverLimit)
        } else {
            Ok(out)
        }
    }

    /// Reads exactly what [`Self::to_bytes`] writes.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::OverLimit);
        }
        let json: EntryJson = match serde_json::from_slice(bytes) {
            Ok(json) => json,
            Err(_) => return Err(Self::reject(bytes)),
        };
        if json.v != VERSION {
            return Err(EntryError::UnknownVersion);
        }
        let decode =
            |map: BTreeMap<String, String>| -> Result<BTreeMap<String, [u8; 32]>, EntryError> {
                map.into_iter()
                    .map(|(name, text)| {
                        let bytes = URL_SAFE_NO_PAD
                            .decode(text)
                            .ok()
                            .and_then(|bytes| bytes.try_into().ok());
                        Ok((name, bytes.ok_or(EntryError::Malformed)?))
                    })
                    .collect()
            };
        let entry = Self {
            at: OffsetDateTime::parse(&json.at, &Rfc3339).map_err(|_| EntryError::Malformed)?,
            kind: json.kind,
            subjects: json.subjects,
            sha256: decode(json.sha256)?,
            commitments: decode(json.commitments)?,
            data: json.data,
        };
        // One spelling only: duplicates, spaces, other orders, offsets and escapes all end here.
        if entry.to_bytes()? == bytes {
            Ok(entry)
        } else {
            Err(EntryError::NotCanonical)
        }
    }

    /// The RFC 6962 hash of the canonical bytes.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn leaf_hash(&self) -> Result<Hash, EntryError> {
        Ok(tree::leaf_hash(&self.to_bytes()?))
    }

    /// Tells an unknown version from bytes that are no entry at all.
    fn reject(bytes: &[u8]) -> EntryError {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { v }) if v != VERSION => EntryError::UnknownVersion,
            _ => EntryError::Malformed,
        }
    }

    fn check(&self) -> Result<(), EntryError> {
        let names = self
            .subjects
            .keys()
            .chain(self.sha256.keys())
            .chain(self.commitments.keys())
            .chain(self.data.keys());
        if names.clone().count() > MAX_MEMBERS
            || self.subjects.values().any(|id| id.len() > MAX_SUBJECT)
        {
            return Err(EntryError::OverLimit);
        }
        if !names.chain([&self.kind]).all(|name| valid_name(name))
            || self.at.offset() != UtcOffset::UTC
        {
            return Err(EntryError::Malformed);
        }
        self.data
            .values()
            .try_for_each(|value| check_value(value, MAX_DEPTH))
    }
}

/// Names of types and members: ASCII lower case, digits, `.`, `-`, `_`.
fn valid_name(name: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

fn check_value(value: &Value, depth: u8) -> Result<(), EntryError> {
    let depth = depth.checked_sub(1).ok_or(EntryError::OverLimit)?;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            magnitude
                .filter(|n| *n <= MAX_INTEGER)
                .map(|_| ())
                .ok_or(EntryError::Malformed)
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth)),
        Value::Object(members) if members.keys().all(|name| valid_name(name)) => members
            .values()
            .try_for_each(|member| check_value(member, depth)),
        Value::Object(_) => Err(EntryError::Malformed),
    }
}

/// A JSON text. Writing into memory does not fail, and a text always has a form.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// An object whose members come in the order of their names.
fn write_members<'a, T: 'a>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'a String, &'a T)>,
    mut write: impl FnMut(&mut Vec<u8>, &T),
) {
    let mut open = b'{';
    for (name, value) in members {
        out.push(open);
        write_text(out, name);
        out.push(b':');
        write(out, value);
        open = b',';
    }
    out.extend(if open == b'{' { &b"{}"[..] } else { b"}" });
}

/// An object in whatever order its map has: sorted here.
fn write_object(out: &mut Vec<u8>, object: &Map<String, Value>) {
    let sorted: BTreeMap<&String, &Value> = object.iter().collect();
    write_members(out, sorted, write_value);
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(object) => write_object(out, object),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::String(text) => write_text(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = serde_json::to_writer(out, value);
        }
    }
}

/// SHA-256 of a document that an entry binds with [`Entry::digest`].
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    fn entry() -> Entry {
        Entry::new(datetime!(2026-11-21 21:00:00.1234567 +1), "action.approved")
            .subject("action", "01977000-0000-7000-8000-000000000001")
            .digest("action", [1; 32])
            .commit("person", &[9; 32], "amartin")
            .datum("approvals", 1)
            .datum("way", "gate")
    }

    #[test]
    fn canonical_bytes_are_as_documented() {
        let commitment = URL_SAFE_NO_PAD.encode(commitment(&[9; 32], "person", "amartin"));
        let digest = URL_SAFE_NO_PAD.encode([1; 32]);
        let expected = format!(
            r#"{{"at":"2026-11-21T20:00:00.123456Z","commitments":{{"person":"{commitment}"}},"data":{{"approvals":1,"way":"gate"}},"sha256":{{"action":"{digest}"}},"subjects":{{"action":"01977000-0000-7000-8000-000000000001"}},"type":"action.approved","v":1}}"#
        );
        let bytes = entry().to_bytes().unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(Entry::parse(&bytes), Ok(entry()));
    }

    #[test]
    fn a_commitment_is_hmac_over_field_and_value_and_opens_only_with_its_salt() {
        // openssl: printf 'person\0amartin' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0909…09
        let expected = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &[9; 32]),
            b"person\0amartin",
        );
        assert_eq!(commitment(&[9; 32], "person", "amartin"), expected.as_ref());
        assert!(entry().opens("person", &[9; 32], "amartin"));
        assert!(!entry().opens("person", &[8; 32], "amartin"));
        assert!(!entry().opens("person", &[9; 32], "bmartin"));
        assert!(!entry().opens("display", &[9; 32], "amartin"));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let good = String::from_utf8(entry().to_bytes().unwrap()).unwrap();
        for (bad, error) in [
            (
                good.replace("\"v\":1", "\"v\":2"),
                EntryError::UnknownVersion,
            ),
            (
                good.replace("\"v\":1", "\"v\":2,\"w\":0"),
                EntryError::UnknownVersion,
            ),
            (
                good.replace("\"v\":1", "\"v\": 1"),
                EntryError::NotCanonical,
            ),
            (
                good.replace("\"v\":1", "\"v\":1,\"x\":1"),
                EntryError::Malformed,
            ),
            (
                good.replace("\"approvals\":1", "\"approvals\":1,\"approvals\":1"),
                EntryError::NotCanonical,
            ),
            (
                good.replace("\"approvals\":1", "\"approvals\":1.5"),
                EntryError::Malformed,
            ),
            (
                good.replace("\"approvals\":1", "\"approvals\":9007199254740993"),
                EntryError::Malformed,
            ),
            (
                good.replace("\"approvals\":1", "\"Approvals\":1"),
                EntryError::Malformed,
            ),
            (
                good.replace("20:00:00.123456Z", "21:00:00.123456+01:00"),
                EntryError::Malformed,
            ),
            (
                good.replace(".123456Z", ".1234560Z"),
                EntryError::NotCanonical,
            ),
            (good.replace("gate", "\\u0067ate"), EntryError::NotCanonical),
            (format!("{good} "), EntryError::NotCanonical),
            (
                good.replace("\"sha256\":{\"action\":\"AQ", "\"sha256\":{\"action\":\""),
                EntryError::Malformed,
            ),
            (String::new(), EntryError::Malformed),
        ] {
            assert_eq!(Entry::parse(bad.as_bytes()), Err(error), "{bad}");
        }
    }

    fn data() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53)..=(1 << 53)).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z0-9._-]{1,6}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_a_general_canonicaliser(value in data(), id in any::<String>()) {
            prop_assume!(id.len() <= MAX_SUBJECT);
            let entry = entry().subject("z", &id).datum("value", value.clone());
            let digest = URL_SAFE_NO_PAD.encode([1; 32]);
            let general = json!({
                "v": 1, "at": "2026-11-21T20:00:00.123456Z", "type": "action.approved",
                "subjects": {"z": id, "action": "01977000-0000-7000-8000-000000000001"},
                "sha256": {"action": digest},
                "commitments": {"person": URL_SAFE_NO_PAD.encode(commitment(&[9; 32], "person", "amartin"))},
                "data": {"way": "gate", "value": value, "approvals": 1},
            });
            let bytes = entry.to_bytes().unwrap();
            prop_assert_eq!(&bytes, &serde_json_canonicalizer::to_vec(&general).unwrap());
            prop_assert_eq!(Entry::parse(&bytes), Ok(entry));
        }
    }

    #[test]
    fn limits_hold_for_length_depth_and_number() {
        let deep = (0..9).fold(json!(1), |value, _| json!([value]));
        assert_eq!(
            Entry::new(entry().at(), "x").datum("deep", deep).to_bytes(),
            Err(EntryError::OverLimit)
        );
        let long = "x".repeat(MAX_ENTRY);
        assert_eq!(
            Entry::new(entry().at(), "x").datum("long", long).to_bytes(),
            Err(EntryError::OverLimit)
        );
        let many = (0..65).fold(Entry::new(entry().at(), "x"), |entry, i| {
            entry.datum(&format!("n{i}"), i)
        });
        assert_eq!(many.to_bytes(), Err(EntryError::OverLimit));
        assert_eq!(Entry::parse(&[b'['; 70_000]), Err(EntryError::OverLimit));
        assert_eq!(Entry::parse(&[b'['; 60_000]), Err(EntryError::Malformed));
    }
}
