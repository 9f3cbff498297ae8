//! Evidence bundles: everything that one action left behind, checkable offline (docs/evidence.md, to the byte).
//!
//! This file has the bundle's shape and the digests that tie it to the log; the server builds and hashes with these same types.
//! [`check()`] judges a bundle. Trusts nothing in a bundle: all of it hangs on the log's checkpoint, whose key the auditor has.
//! Deliberately elsewhere: the parts' own verifiers (`action`, `assertion`, `attestation`, `piv`, `permit`, `log`).

pub mod check;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base64url;
use crate::json::{self, JsonError};
use crate::log::Hash;
use crate::log::entry::sha256;
use crate::permit::Jwks;

pub use check::{Check, Outcome, Report, Trust, check};

/// The version that is written and read.
pub const VERSION: u64 = 1;
/// Longest bundle that is read.
pub const MAX_LENGTH: usize = 4 << 20;
/// The most approvals of one action.
pub const MAX_APPROVALS: usize = 64;
/// The most log entries in one bundle.
pub const MAX_ENTRIES: usize = 256;

const RULES: json::Rules = json::Rules {
    length: MAX_LENGTH,
    depth: 16,
    integers: true,
    nfc: false,
};

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not strict JSON.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// `v` is not 1.
    #[error("unknown version of the bundle format")]
    UnknownVersion,
    /// A member is missing or not of its form.
    #[error("a member is missing or not of its form: {0}")]
    Member(String),
    /// More approvals or entries than the budget.
    #[error("bundle is larger than its budget")]
    TooLarge,
}

/// The bundle, as it came. Not trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`VERSION`].
    pub v: u64,
    /// The action's canonical bytes.
    #[serde(with = "base64url")]
    pub action: Vec<u8>,
    /// Where the action stands, in CONTRACT.md's words.
    pub state: State,
    /// Which rule decided, and what.
    pub policy: PolicyRecord,
    /// In the order of their log entries.
    pub approvals: Vec<Approval>,
    /// A permit that was issued for the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<PermitRecord>,
    /// The log's word for all of it.
    pub log: LogRecord,
    /// RFC 3161 time-stamp tokens over the checkpoint's text, DER, base64url.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timestamps: Vec<String>,
}

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for approvals.
    Pending,
    /// Its requirement is met.
    Approved,
    /// Its one use was taken, and the log does not say yet how that ended: the gate sends it, or was cut off while it did.
    Executing,
    /// The gate or the server has done it.
    Executed,
    /// A service has used its permit up.
    Consumed,
    /// A person said no.
    Refused,
    /// The policy said no.
    Denied,
    /// Nobody answered in time.
    Expired,
}

/// A permit, and what it verifies with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRecord {
    /// The permit, compact.
    pub jws: String,
    /// The server's name in it.
    pub issuer: String,
    /// The keys that permits are signed with, as published.
    pub jwks: Jwks,
}

/// Which policy decided, and what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Of the policy text, base64url.
    #[serde(with = "digest_text")]
    pub sha256: [u8; 32],
    /// The text itself, when it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `{"requirement":{…}}` or `{"denial":{"reason":…}}`, verbatim; its digest is in the log. Read with [`Decision::parse`].
    pub decision: Value,
}

/// The decision, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// What the action needs.
    Requirement(Requirement),
    /// It may not be done.
    Denial(Denial),
}

impl Decision {
    /// Reads the JSON value. Unknown members are ignored: they are in the digest all the same.
    pub fn parse(value: &Value) -> Option<Decision> {
        serde_json::from_value(value.clone()).ok()
    }
}

/// What an action needs before it may be done (docs/api.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// How many approvals; 0: the policy allowed it without any.
    pub approvals: u32,
    /// `requester` or `roles`.
    pub approvers: Approvers,
    /// The roles, when `approvers` is `roles`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// With `roles`: the requester's own approval besides.
    #[serde(default)]
    pub requester_also: bool,
    /// `pin` or `touch`; any other word counts as `pin`.
    pub verification: String,
    /// Seconds after the last approval within which it is used.
    #[serde(default)]
    pub fresh: Option<u32>,
    /// So many witnesses saw the approvals before it was permitted.
    #[serde(default)]
    pub cosignatures: u32,
}

/// Who must approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approvers {
    /// The requester, with their own key.
    Requester,
    /// Others.
    Roles,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Kebab-case.
    pub reason: String,
}

/// One approval: who, with which key, and what the key answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The person's identifier.
    pub person: String,
    /// The key record, verbatim: its digest is in the log. Read with [`KeyRecord::parse`].
    pub key: Value,
    /// The response, verbatim: its digest is in the log. Read with [`Response::parse`].
    pub response: Value,
}

/// What the server wrote down when a key was enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// [`VERSION`].
    pub v: u64,
    /// The server's name for the key.
    pub key_id: String,
    /// Whose it is.
    pub person: String,
    /// The relying party's identifier.
    pub rp_id: String,
    /// The origins from which it may be used, each exact.
    pub origins: Vec<String>,
    /// When, RFC 3339.
    #[serde(with = "time::serde::rfc3339")]
    pub enrolled_at: time::OffsetDateTime,
    /// FIDO2 credential or PIV key, and how it was registered.
    #[serde(flatten)]
    pub key: EnrolledKey,
}

/// What differs between the two kinds of key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EnrolledKey {
    /// A FIDO2 credential.
    Fido2 {
        /// The authenticator's name for it.
        #[serde(with = "base64url")]
        credential_id: Vec<u8>,
        /// COSE_Key.
        #[serde(with = "base64url")]
        public_key_cose: Vec<u8>,
        /// Its registration.
        registration: Fido2Registration,
    },
    /// A PIV card's slot 9C.
    Piv {
        /// SubjectPublicKeyInfo, DER.
        #[serde(with = "base64url")]
        public_key_spki: Vec<u8>,
        /// Its registration.
        registration: PivRegistration,
    },
}

/// A FIDO2 registration ceremony, verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fido2Registration {
    /// Canonical bytes of the `key.register` action whose challenge it answered.
    #[serde(with = "base64url")]
    pub action: Vec<u8>,
    /// clientDataJSON.
    #[serde(with = "base64url")]
    pub client_data_json: Vec<u8>,
    /// attestationObject.
    #[serde(with = "base64url")]
    pub attestation_object: Vec<u8>,
    /// What the metadata list said of the model, where trust rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataRecord>,
}

/// The metadata entry that a key was judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRecord {
    /// The list's number.
    pub no: u64,
    /// The entry, verbatim JSON of the list.
    #[serde(with = "base64url")]
    pub entry: Vec<u8>,
}

/// A PIV registration, verbatim. One of `attestation` and `certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PivRegistration {
    /// Canonical bytes of the `key.register` action whose challenge the card signed.
    #[serde(with = "base64url")]
    pub action: Vec<u8>,
    /// Where the card was used.
    pub origin: String,
    /// The card's signature over that challenge.
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
    /// The card's attestation certificate for the key, DER, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
    /// The key's certificate by a configured issuer, DER, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The other certificates of the chain, DER, base64url, in any order.
    #[serde(default)]
    pub intermediates: Vec<String>,
}

impl KeyRecord {
    /// Reads the JSON value.
    pub fn parse(value: &Value) -> Option<KeyRecord> {
        serde_json::from_value(value.clone())
            .ok()
            .filter(|record: &KeyRecord| record.v == VERSION)
    }

    /// The JSON value, for a bundle.
    ///
    /// # Errors
    /// [`BundleError::Member`] for a time that RFC 3339 cannot write.
    pub fn to_value(&self) -> Result<Value, BundleError> {
        serde_json::to_value(self).map_err(|error| BundleError::Member(error.to_string()))
    }
}

/// What the key answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Response {
    /// A FIDO2 assertion.
    Fido2(crate::assertion::AssertionResponse),
    /// A PIV signature.
    Piv(crate::piv::SignatureResponse),
}

impl Response {
    /// Reads the JSON value.
    pub fn parse(value: &Value) -> Option<Response> {
        serde_json::from_value(value.clone()).ok()
    }

    /// The JSON value, for a bundle.
    ///
    /// # Errors
    /// [`BundleError::Member`]; does not happen with what was read from JSON.
    pub fn to_value(&self) -> Result<Value, BundleError> {
        serde_json::to_value(self).map_err(|error| BundleError::Member(error.to_string()))
    }
}

/// The log's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// The signed note, cosignatures included.
    pub checkpoint: String,
    /// By rising index.
    pub entries: Vec<LoggedEntry>,
}

/// One entry of the log and the proof that it is in the checkpoint's tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEntry {
    /// Its position.
    pub index: u64,
    /// Its bytes, verbatim.
    #[serde(with = "base64url")]
    pub leaf: Vec<u8>,
    /// RFC 6962 audit path, from the leaf upward.
    pub inclusion: Vec<Hash>,
    /// Values of committed fields that were not erased.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub openings: BTreeMap<String, Opening>,
}

/// What a commitment hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// 32 bytes.
    #[serde(with = "digest_text")]
    pub salt: [u8; 32],
    /// The value.
    pub value: String,
}

impl Bundle {
    /// Reads a bundle strictly; unknown members are ignored.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Bundle, BundleError> {
        let value = json::parse(bytes, RULES)?;
        if value.get("v") != Some(&Value::from(VERSION)) {
            return Err(BundleError::UnknownVersion);
        }
        let bundle: Bundle = serde_json::from_value(value)
            .map_err(|error| BundleError::Member(error.to_string()))?;
        if bundle.approvals.len() > MAX_APPROVALS || bundle.log.entries.len() > MAX_ENTRIES {
            return Err(BundleError::TooLarge);
        }
        Ok(bundle)
    }

    /// The bundle as JSON.
    ///
    /// # Errors
    /// [`BundleError::Member`]; does not happen with what was read from JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, BundleError> {
        serde_json::to_vec(self).map_err(|error| BundleError::Member(error.to_string()))
    }
}

/// `SHA-256(J)` of docs/evidence.md: the digest of a JSON value's canonical bytes (RFC 8785). What log entries hold for `key`, `approval` and
/// `decision`.
///
/// # Errors
/// [`BundleError::Member`] for a value that has no canonical form.
pub fn json_sha256(value: &Value) -> Result<[u8; 32], BundleError> {
    let bytes = serde_json_canonicalizer::to_vec(value)
        .map_err(|error| BundleError::Member(error.to_string()))?;
    Ok(sha256(&bytes))
}

/// 32 bytes as base64url.
mod digest_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::base64url;

    pub(super) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        base64url::decode_array(text).map_err(de::Error::custom)
    }
}
