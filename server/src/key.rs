//! Enrolled keys: credentials on attested authenticators, and cards.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::action::Verification;
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
    /// Handed out by a help desk: it seals its person's first sign-in, which makes it live, and nothing else.
    Waiting,
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
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`KeyState::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Live, Self::Waiting, Self::Suspended, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// `KEY` of docs/api.md: what an agent needs to find the credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySummary {
    /// The server's name for it.
    pub key_id: KeyId,
    /// The authenticator's name for it, base64url; `null` for a card.
    pub credential_id: Option<String>,
    /// FIDO2 or PIV.
    pub kind: KeyType,
    /// How its owner calls it.
    pub label: String,
    /// Transports that its registration named.
    pub transports: Vec<String>,
    /// Model, from its attestation; `null` for a card.
    pub aaguid: Option<String>,
    /// The most that its approvals can show.
    pub verification: Verification,
    /// A card's public key (SubjectPublicKeyInfo, base64url), by which the agent finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_spki: Option<String>,
}

/// What a key is and proves; verified at enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A FIDO2 credential. Each of its signatures says itself whether it was verified.
    Fido2 {
        /// The authenticator's name for it.
        credential_id: Vec<u8>,
        /// COSE_Key, verbatim from the attested credential data.
        public_key_cose: Vec<u8>,
        /// Model.
        aaguid: String,
        /// Its enrolment proved that it verifies its user. A key that does not (U2F) counts where touch is enough, whatever its signatures say.
        verifies_user: bool,
    },
    /// A card's slot 9C. Its signatures say nothing of PIN and touch: what was shown at enrolment does.
    Piv {
        /// SubjectPublicKeyInfo, DER.
        public_key_spki: Vec<u8>,
        /// The card attested the key; otherwise a configured issuer certified it.
        attested: bool,
        /// Each signature takes a PIN.
        pin_each_time: bool,
    },
}

impl Credential {
    /// FIDO2 or PIV.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        match self {
            Self::Fido2 { .. } => KeyType::Fido2,
            Self::Piv { .. } => KeyType::Piv,
        }
    }

    /// The most that its approvals can show of its user.
    #[must_use]
    pub fn verification(&self) -> Verification {
        let (Self::Fido2 {
            verifies_user: pin, ..
        }
        | Self::Piv {
            pin_each_time: pin, ..
        }) = self;
        if *pin {
            Verification::Pin
        } else {
            Verification::Touch
        }
    }

    /// What no two keys share: the credential id, or the SHA-256 of a card's public key.
    #[must_use]
    pub fn handle(&self) -> Vec<u8> {
        match self {
            Self::Fido2 { credential_id, .. } => credential_id.clone(),
            Self::Piv {
                public_key_spki, ..
            } => sceau_proof::log::entry::sha256(public_key_spki).to_vec(),
        }
    }
}

/// A key as the store holds it; its public key and attestation were verified at enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The server's name for it.
    pub id: KeyId,
    /// Whose it is.
    pub person: PersonId,
    /// What it is.
    pub credential: Credential,
    /// How its owner calls it.
    pub label: String,
    /// Transports.
    pub transports: Vec<String>,
    /// Highest signature counter seen; cards have none.
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
        let (credential_id, aaguid, public_key_spki) = match &self.credential {
            Credential::Fido2 {
                credential_id,
                aaguid,
                ..
            } => (
                Some(URL_SAFE_NO_PAD.encode(credential_id)),
                Some(aaguid.clone()),
                None,
            ),
            Credential::Piv {
                public_key_spki, ..
            } => (None, None, Some(URL_SAFE_NO_PAD.encode(public_key_spki))),
        };
        KeySummary {
            key_id: self.id,
            credential_id,
            kind: self.credential.kind(),
            label: self.label.clone(),
            transports: self.transports.clone(),
            aaguid,
            verification: self.credential.verification(),
            public_key_spki,
        }
    }
}
