//! Presence: a key shows that it is there *now*, without a touch (docs/presence.md).
//!
//! While a session needs its key to stay, the server gives out nonces and the agent has the key sign, in silence, a challenge of a domain of its own:
//! `SHA-256("sceau/presence/v1\0" ‖ nonce ‖ key ‖ session …)`, in client data of a type of its own (`sceau.presence`, which no browser writes). A
//! [`VerifiedPresence`] keeps a session alive; it approves nothing, and nothing that approves is one: an approval's verifier refuses this type, and
//! this one refuses any other, a touch (UP) and a PIN (UV).
//!
//! Trusted: the enrolled key and the [`Expectation`]. Deliberately elsewhere: that a nonce is fresh, used once, and answered in time by the session that
//! it was sent to (the server), and which sessions need any of this (configuration).

use aws_lc_rs::digest::{Context, SHA256, digest};
use uuid::Uuid;

use crate::assertion::{AssertionError, AssertionResponse};
use crate::authenticator_data::{AuthenticatorData, AuthenticatorDataError, CredentialId};
use crate::base64url;
use crate::client_data::{ClientDataError, CollectedClientData};
use crate::cose::PublicKey;

/// The type in the client data: neither of WebAuthn's.
pub const TYPE: &str = "sceau.presence";

/// Most sessions that one beat speaks for.
pub const MAX_SESSIONS: usize = 32;

const PREFIX: &[u8] = b"sceau/presence/v1\0";

/// What a key is asked to show: that it is there, for these sessions, in answer to this nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    nonce: [u8; 32],
    key: Uuid,
    sessions: Vec<Uuid>,
}

impl Beat {
    /// A beat of `key` for `sessions`, whose order does not matter; none at all is a probe, which keeps nothing alive. `None` for more than
    /// [`MAX_SESSIONS`], or a session named twice.
    #[must_use]
    pub fn new(nonce: [u8; 32], key: Uuid, mut sessions: Vec<Uuid>) -> Option<Beat> {
        sessions.sort_unstable();
        let named = sessions.len();
        sessions.dedup();
        (named <= MAX_SESSIONS && named == sessions.len()).then_some(Beat {
            nonce,
            key,
            sessions,
        })
    }

    /// The sessions, in the order in which they are signed.
    #[must_use]
    pub fn sessions(&self) -> &[Uuid] {
        &self.sessions
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Uuid {
        self.key
    }

    /// `SHA-256("sceau/presence/v1\0" ‖ nonce, 32 bytes ‖ key, 16 bytes ‖ each session, 16 bytes, ascending)`.
    #[must_use]
    pub fn challenge(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        hash.update(PREFIX);
        hash.update(&self.nonce);
        hash.update(self.key.as_bytes());
        for session in &self.sessions {
            hash.update(session.as_bytes());
        }
        let mut challenge = [0; 32];
        challenge.copy_from_slice(hash.finish().as_ref());
        challenge
    }

    /// The client data that the agent of this origin has signed. `origin` needs no escaping: it is of a configured domain name.
    #[must_use]
    pub fn client_data(&self, origin: &str) -> Vec<u8> {
        let challenge = base64url::encode(self.challenge());
        format!(
            r#"{{"type":"{TYPE}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#
        )
        .into_bytes()
    }
}

/// What the server expects of one beat. Trusted.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The relying party's identifier.
    pub rp_id: &'a str,
    /// The agent's origin, exact; no browser's.
    pub origin: &'a str,
    /// The beat that was asked for.
    pub beat: &'a Beat,
    /// The credential that must answer.
    pub credential_id: &'a CredentialId,
    /// The counter on record *when the nonce was given out*. A silent assertion made since then shows at least that: what was recorded later may have
    /// been made before or after it.
    pub sign_count_floor: u32,
    /// Whether a zero is taken for "not counted in silence" instead of a counter that went back: only for a key that was never seen to count a beat.
    pub zero_says_nothing: bool,
    /// Backup eligibility at registration.
    pub stored_backup_eligible: bool,
}

/// A check that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Another credential than the one asked.
    #[error("the credential is not the one that was asked for")]
    Credential,
    /// The client data is not a beat's.
    #[error("the client data is not that of a beat")]
    Type,
    /// Another nonce, key or list of sessions.
    #[error("the challenge is another one")]
    Challenge,
    /// Not the agent's origin.
    #[error("the origin is not the agent's")]
    Origin,
    /// Made in a frame of another origin.
    #[error("the client data speaks of another origin")]
    CrossOrigin,
    /// Another relying party.
    #[error("the authenticator signed for another relying party")]
    RpId,
    /// UP is set: that was a ceremony, or a key that cannot be silent.
    #[error("the authenticator says that it was touched")]
    UserPresent,
    /// UV is set: the same.
    #[error("the authenticator says that the user was verified")]
    UserVerified,
    /// BS without BE.
    #[error("backed up without being eligible for backup")]
    BackupState,
    /// BE is not that of the registration.
    #[error("backup eligibility changed since registration")]
    BackupEligibility,
    /// The signature.
    #[error("the signature does not verify")]
    Signature,
    /// Genuine, but the counter is below what was on record when the nonce was given out. The authenticator may be cloned.
    #[error("the signature counter went from {stored} to {received}")]
    SignCount {
        /// The counter on record.
        stored: u32,
        /// The counter in this, correctly signed, beat.
        received: u32,
    },
}

/// Why a beat is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// The client data does not parse.
    #[error("{0}")]
    MalformedClientData(#[from] ClientDataError),
    /// The authenticator data does not parse.
    #[error("{0}")]
    MalformedAuthenticatorData(#[from] AuthenticatorDataError),
    /// Everything parses and a check does not hold.
    #[error("{0}")]
    Rejected(#[from] Rejection),
}

impl PresenceError {
    /// One stable kebab-case word per check; those of malformed bytes are an assertion's.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match *self {
            PresenceError::MalformedClientData(error) => AssertionError::from(error).reason(),
            PresenceError::MalformedAuthenticatorData(error) => {
                AssertionError::from(error).reason()
            }
            PresenceError::Rejected(rejection) => rejection.reason(),
        }
    }
}

impl Rejection {
    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Rejection::Credential => "credential-mismatch",
            Rejection::Type => "type-mismatch",
            Rejection::Challenge => "challenge-mismatch",
            Rejection::Origin => "origin-mismatch",
            Rejection::CrossOrigin => "cross-origin",
            Rejection::RpId => "rp-id-mismatch",
            Rejection::UserPresent => "user-present",
            Rejection::UserVerified => "user-verified",
            Rejection::BackupState => "backup-state-inconsistent",
            Rejection::BackupEligibility => "backup-eligibility-changed",
            Rejection::Signature => "signature-invalid",
            Rejection::SignCount { .. } => "sign-count-regression",
        }
    }
}

/// A beat that passed every check. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPresence {
    sign_count: u32,
}

impl VerifiedPresence {
    /// The signed counter. The record becomes the larger of it and what is there by now.
    #[must_use]
    pub fn sign_count(&self) -> u32 {
        self.sign_count
    }
}

/// Verifies a silent assertion against the public key of an enrolled credential: presence, and nothing else.
///
/// # Errors
/// [`PresenceError`]: the first check, in this order, that does not hold.
pub fn verify(
    response: &AssertionResponse,
    key: &PublicKey,
    expected: &Expectation<'_>,
) -> Result<VerifiedPresence, PresenceError> {
    if let Some(id) = &response.credential_id {
        require(id == expected.credential_id, Rejection::Credential)?;
    }
    let client_data = CollectedClientData::parse(&response.client_data_json)?;
    require(client_data.type_() == TYPE, Rejection::Type)?;
    require(
        client_data.challenge() == base64url::encode(expected.beat.challenge()),
        Rejection::Challenge,
    )?;
    require(client_data.origin() == expected.origin, Rejection::Origin)?;
    require(
        client_data.cross_origin() != Some(true) && client_data.top_origin().is_none(),
        Rejection::CrossOrigin,
    )?;
    let data = AuthenticatorData::parse(&response.authenticator_data)?;
    require(
        data.rp_id_hash()[..] == *digest(&SHA256, expected.rp_id.as_bytes()).as_ref(),
        Rejection::RpId,
    )?;
    let flags = data.flags();
    require(!flags.up(), Rejection::UserPresent)?;
    require(!flags.uv(), Rejection::UserVerified)?;
    require(flags.backup_is_consistent(), Rejection::BackupState)?;
    require(
        flags.be() == expected.stored_backup_eligible,
        Rejection::BackupEligibility,
    )?;
    let hash = digest(&SHA256, client_data.bytes());
    let message = [data.bytes(), hash.as_ref()].concat();
    key.verify(&message, &response.signature)
        .map_err(|_| Rejection::Signature)?;
    // Judged last, since only a genuine signature says anything of clones. Authenticators need not count what is silent: equal is no step back.
    let (stored, received) = (expected.sign_count_floor, data.sign_count());
    let says_nothing = received == 0 && expected.zero_says_nothing;
    require(
        received >= stored || says_nothing,
        Rejection::SignCount { stored, received },
    )?;
    Ok(VerifiedPresence {
        sign_count: received,
    })
}

fn require(holds: bool, otherwise: Rejection) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(nonce: u8, key: u128, sessions: &[u128]) -> Option<Beat> {
        let sessions = sessions.iter().map(|n| Uuid::from_u128(*n)).collect();
        Beat::new([nonce; 32], Uuid::from_u128(key), sessions)
    }

    #[test]
    fn challenge_is_that_of_the_documentation() {
        // Computed independently: (printf 'sceau/presence/v1\0'; printf '\7%.0s' {1..32}; printf '\0%.0s' {1..15}; printf '\1';
        // printf '\0%.0s' {1..15}; printf '\2'; printf '\0%.0s' {1..15}; printf '\3') | sha256sum
        assert_eq!(
            hex::encode(beat(7, 1, &[3, 2]).unwrap().challenge()),
            "a30c83412aff51ace8d8d9a5ab3adfe0e1cdd4232d2ad737177584939face4d8"
        );
    }

    #[test]
    fn every_part_of_a_beat_is_in_its_challenge() {
        let challenges = [
            beat(7, 1, &[2, 3]),
            beat(8, 1, &[2, 3]),
            beat(7, 2, &[2, 3]),
            beat(7, 1, &[2]),
            beat(7, 1, &[]),
            beat(7, 1, &[2, 3, 4]),
        ]
        .map(|beat| beat.unwrap().challenge());
        for (index, one) in challenges.iter().enumerate() {
            assert!(challenges.iter().skip(index + 1).all(|other| one != other));
        }
        assert_eq!(
            beat(7, 1, &[3, 2]).unwrap().challenge(),
            beat(7, 1, &[2, 3]).unwrap().challenge()
        );
    }

    #[test]
    fn sessions_are_bounded_and_named_once() {
        assert_eq!(beat(7, 1, &[2, 2]), None);
        assert!(beat(7, 1, &(0..32).collect::<Vec<_>>()).is_some());
        assert_eq!(beat(7, 1, &(0..33).collect::<Vec<_>>()), None);
    }
}
