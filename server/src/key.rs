//! Enrolled keys: credentials on attested authenticators.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::id::{KeyId, PersonId};

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// A FIDO2 credential.
    Fido2,
    /// A PIV card's signature slot.
    Piv,
}

/// Whether a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It counts.
    Live,
    /// Its counter went back, or its model fell: it does not count until an action restores it.
    Suspended,
    /// For ever.
    Revoked,
}

impl KeyState {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`KeyState::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Live, Self::Suspended, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// `KEY` of docs/api.md: what an agent needs to find the credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySummary {
    /// The server's name for it.
    pub key_id: KeyId,
    /// The authenticator's name for it, base64url.
    pub credential_id: String,
    /// FIDO2 or PIV.
    pub kind: KeyType,
    /// How its owner calls it.
    pub label: String,
    /// Transports that its registration named.
    pub transports: Vec<String>,
    /// Model, from its attestation.
    pub aaguid: String,
}

/// A key as the store holds it; its public key and attestation were verified at enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The server's name for it.
    pub id: KeyId,
    /// Whose it is.
    pub person: PersonId,
    /// FIDO2 or PIV.
    pub kind: KeyType,
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// COSE_Key, verbatim from the attested credential data.
    pub public_key_cose: Vec<u8>,
    /// Model.
    pub aaguid: String,
    /// How its owner calls it.
    pub label: String,
    /// Transports.
    pub transports: Vec<String>,
    /// Highest signature counter seen.
    pub sign_count: u32,
    /// Backup eligibility at enrolment; always false while policy is what it is, and never changes.
    pub backup_eligible: bool,
    /// SHA-256 of the key record of docs/evidence.md.
    pub record_sha256: [u8; 32],
    /// Whether it counts.
    pub state: KeyState,
}

impl KeyRecord {
    /// What its owner's agent is told.
    #[must_use]
    pub fn summary(&self) -> KeySummary {
        KeySummary {
            key_id: self.id,
            credential_id: URL_SAFE_NO_PAD.encode(&self.credential_id),
            kind: self.kind,
            label: self.label.clone(),
            transports: self.transports.clone(),
            aaguid: self.aaguid.clone(),
        }
    }
}
