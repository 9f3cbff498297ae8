//! Verifying a FIDO2 assertion: every check of WebAuthn L3 §7.2, in its order, from step 5 to step 22.
//!
//! An [`AssertionResponse`] is a claim; a [`VerifiedAssertion`] is built only here. Trusted: the [`PublicKey`] (of the enrolled key that the
//! caller looked up) and the [`Expectation`]. Everything compared is compared exactly: an origin is one of the expected texts, never a suffix, a
//! pattern or a parsed URL. Deliberately elsewhere: which key belongs to whom and whether it is suspended (the caller, steps 1 to 4 and 6), policy
//! about backed-up credentials (step 19.3), client extensions (step 23: we ask for none), and the update of the record (step 24).

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::authenticator_data::{AuthenticatorData, AuthenticatorDataError, CredentialId, Flags};
use crate::base64url;
use crate::client_data::{ClientDataError, CollectedClientData};
use crate::cose::{Algorithm, PublicKey};

/// Longest response document that is read.
pub const MAX_RESPONSE: usize = 131_072;

/// What an authenticator's client sent. Not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionResponse {
    /// The client data, exactly the bytes that were hashed.
    #[serde(with = "base64url")]
    pub client_data_json: Vec<u8>,
    /// The authenticator data, exactly the bytes that were signed.
    #[serde(with = "base64url")]
    pub authenticator_data: Vec<u8>,
    /// The signature, in the form of its algorithm.
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
    /// The credential that signed, when the client says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
}

impl AssertionResponse {
    /// Reads the JSON form: `{"client_data_json","authenticator_data","signature","credential_id"?}`, values base64url.
    pub fn from_json(json: &[u8]) -> Result<AssertionResponse, AssertionError> {
        if json.len() > MAX_RESPONSE {
            return Err(AssertionError::MalformedResponse);
        }
        serde_json::from_slice(json).map_err(|_| AssertionError::MalformedResponse)
    }
}

/// What the relying party expects of one assertion. Trusted.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The relying party's identifier, whose SHA-256 the authenticator signs.
    pub rp_id: &'a str,
    /// The origins that the client may report, each exact.
    pub origins: &'a [String],
    /// The challenge, raw bytes.
    pub challenge: &'a [u8],
    /// Whether user verification (PIN, biometrics) is demanded.
    pub require_uv: bool,
    /// The credentials that may answer; empty when the caller does not narrow it.
    pub credential_ids: &'a [CredentialId],
    /// The counter of the last assertion of this key; None to leave counters unjudged.
    pub stored_sign_count: Option<u32>,
    /// Backup eligibility at registration; None to leave it unjudged.
    pub stored_backup_eligible: Option<bool>,
    /// Weakens step 13 and 14: the ceremony may run in a frame of another origin.
    pub allow_cross_origin: bool,
    /// With `allow_cross_origin`: the top-level origins that may embed us; None for any.
    pub top_origins: Option<&'a [String]>,
    /// Weakens step 16: an authenticator need not have been touched.
    pub allow_up_false: bool,
}

impl<'a> Expectation<'a> {
    /// The strict expectation: user verification demanded, nothing weakened, counters and backup eligibility unjudged until set.
    #[must_use]
    pub fn new(rp_id: &'a str, origins: &'a [String], challenge: &'a [u8]) -> Expectation<'a> {
        Expectation {
            rp_id,
            origins,
            challenge,
            require_uv: true,
            credential_ids: &[],
            stored_sign_count: None,
            stored_backup_eligible: None,
            allow_cross_origin: false,
            top_origins: None,
            allow_up_false: false,
        }
    }
}

/// A check of §7.2 that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Step 5: the credential is not one that may answer.
    #[error("the credential is not one that was asked for")]
    Credential,
    /// Step 10: the client data's type is not `webauthn.get`.
    #[error("the client data is not that of an assertion")]
    Type,
    /// Step 11.
    #[error("the challenge is another one")]
    Challenge,
    /// Step 12.
    #[error("the origin is not one that was expected")]
    Origin,
    /// Step 13.
    #[error("the ceremony ran in a frame of another origin")]
    CrossOrigin,
    /// Step 14.
    #[error("the top-level origin is not one that was expected")]
    TopOrigin,
    /// Step 15.
    #[error("the authenticator signed for another relying party")]
    RpId,
    /// Step 16.
    #[error("the authenticator was not touched")]
    UserPresence,
    /// Step 17.
    #[error("the user was not verified")]
    UserVerification,
    /// Step 18.
    #[error("backed up without being eligible for backup")]
    BackupState,
    /// Step 19: backup eligibility is not that of the registration.
    #[error("backup eligibility changed since registration")]
    BackupEligibility,
    /// Step 21.
    #[error("the signature does not verify")]
    Signature,
    /// Step 22: genuine, but the counter did not go up. The authenticator may be cloned.
    #[error("the signature counter went from {stored} to {received}")]
    SignCount {
        /// The counter on record.
        stored: u32,
        /// The counter in this, correctly signed, assertion.
        received: u32,
    },
}

/// Why an assertion is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The response does not parse.
    #[error("the response is not of its form")]
    MalformedResponse,
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

/// Every reason word with what it means, in the order of the checks.
pub const REASONS: [(&str, &str); 26] = [
    ("response-malformed", "the response is not of its form"),
    (
        "credential-mismatch",
        "step 5: the credential is not one that may answer",
    ),
    (
        "client-data-too-long",
        "step 8: the client data exceeds our budget",
    ),
    (
        "client-data-not-utf8",
        "step 8: the client data is not UTF-8",
    ),
    (
        "client-data-not-json",
        "step 9: the client data is not a JSON object",
    ),
    (
        "client-data-duplicate-member",
        "step 9: a member of the client data occurs twice",
    ),
    (
        "client-data-member",
        "step 9: a member is missing or of the wrong type",
    ),
    ("type-mismatch", "step 10: the type is not webauthn.get"),
    ("challenge-mismatch", "step 11"),
    ("origin-mismatch", "step 12"),
    (
        "cross-origin",
        "step 13: crossOrigin is true and not allowed",
    ),
    (
        "top-origin",
        "step 14: topOrigin is present and not allowed",
    ),
    (
        "authenticator-data-truncated",
        "authenticator data shorter than its flags announce",
    ),
    (
        "authenticator-data-trailing-bytes",
        "authenticator data longer than its flags announce",
    ),
    (
        "credential-id-length",
        "attested credential ID not of 1 to 1023 bytes",
    ),
    (
        "credential-public-key-malformed",
        "attested public key is not a CBOR map",
    ),
    (
        "extensions-malformed",
        "extension outputs are not a CBOR map",
    ),
    (
        "rp-id-mismatch",
        "step 15: rpIdHash is not that of the relying party",
    ),
    ("user-not-present", "step 16: UP is not set"),
    ("user-not-verified", "step 17: UV is demanded and not set"),
    ("backup-state-inconsistent", "step 18: BS without BE"),
    (
        "backup-eligibility-changed",
        "step 19: BE is not that of the registration",
    ),
    (
        "unsupported-algorithm",
        "the public key is of an algorithm that we do not verify",
    ),
    (
        "public-key-malformed",
        "the public key is not a valid COSE_Key",
    ),
    ("signature-invalid", "step 21"),
    (
        "sign-count-regression",
        "step 22: genuine, but the counter did not go up",
    ),
];

impl AssertionError {
    /// One stable kebab-case word per check; [`REASONS`] lists them.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        use AuthenticatorDataError as A;
        use ClientDataError as C;
        match self {
            AssertionError::MalformedResponse => "response-malformed",
            AssertionError::MalformedClientData(C::TooLong) => "client-data-too-long",
            AssertionError::MalformedClientData(C::InvalidUtf8) => "client-data-not-utf8",
            AssertionError::MalformedClientData(C::NotJson) => "client-data-not-json",
            AssertionError::MalformedClientData(C::DuplicateMember) => {
                "client-data-duplicate-member"
            }
            AssertionError::MalformedClientData(C::Member(_)) => "client-data-member",
            AssertionError::MalformedAuthenticatorData(A::Truncated) => {
                "authenticator-data-truncated"
            }
            AssertionError::MalformedAuthenticatorData(A::TrailingBytes) => {
                "authenticator-data-trailing-bytes"
            }
            AssertionError::MalformedAuthenticatorData(A::CredentialIdLength) => {
                "credential-id-length"
            }
            AssertionError::MalformedAuthenticatorData(A::PublicKey(_)) => {
                "credential-public-key-malformed"
            }
            AssertionError::MalformedAuthenticatorData(A::Extensions(_)) => "extensions-malformed",
            AssertionError::Rejected(rejection) => rejection.reason(),
        }
    }
}

impl Rejection {
    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Rejection::Credential => "credential-mismatch",
            Rejection::Type => "type-mismatch",
            Rejection::Challenge => "challenge-mismatch",
            Rejection::Origin => "origin-mismatch",
            Rejection::CrossOrigin => "cross-origin",
            Rejection::TopOrigin => "top-origin",
            Rejection::RpId => "rp-id-mismatch",
            Rejection::UserPresence => "user-not-present",
            Rejection::UserVerification => "user-not-verified",
            Rejection::BackupState => "backup-state-inconsistent",
            Rejection::BackupEligibility => "backup-eligibility-changed",
            Rejection::Signature => "signature-invalid",
            Rejection::SignCount { .. } => "sign-count-regression",
        }
    }
}

/// An assertion that passed every check. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAssertion {
    flags: Flags,
    sign_count: u32,
    origin: String,
    cross_origin: bool,
    algorithm: Algorithm,
}

impl VerifiedAssertion {
    /// The signed flags: `up`, `uv`, `be`, `bs`.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The signed counter, to be stored as the next `stored_sign_count`.
    #[must_use]
    pub fn sign_count(&self) -> u32 {
        self.sign_count
    }

    /// The expected origin that the client reported: agent or browser.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the ceremony ran in a frame of another origin; true only where that was allowed.
    #[must_use]
    pub fn cross_origin(&self) -> bool {
        self.cross_origin
    }

    /// The algorithm of the key that verified it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Verifies an assertion against the public key of an enrolled credential.
pub fn verify(
    response: &AssertionResponse,
    key: &PublicKey,
    expected: &Expectation<'_>,
) -> Result<VerifiedAssertion, AssertionError> {
    // §7.2 step 5: the credential is one of those that may answer.
    if let Some(id) = &response.credential_id
        && !expected.credential_ids.is_empty()
        && !expected.credential_ids.contains(id)
    {
        return Err(Rejection::Credential.into());
    }
    // §7.2 step 8 and 9: UTF-8 decode, then parse as JSON. The bytes are kept as they came.
    let client_data = CollectedClientData::parse(&response.client_data_json)?;
    check_client_data(&client_data, expected)?;
    let authenticator_data = AuthenticatorData::parse(&response.authenticator_data)?;
    check_authenticator_data(&authenticator_data, expected)?;
    // §7.2 step 20: hash is SHA-256 over the client data as it came.
    let hash = digest(&SHA256, client_data.bytes());
    // §7.2 step 21: the signature is over authData ‖ hash.
    let message = [authenticator_data.bytes(), hash.as_ref()].concat();
    key.verify(&message, &response.signature)
        .map_err(|_| Rejection::Signature)?;
    // §7.2 step 22: where either counter is not zero, it goes up. Judged last, since only a genuine signature says anything of clones.
    let received = authenticator_data.sign_count();
    if let Some(stored) = expected.stored_sign_count
        && (stored != 0 || received != 0)
        && received <= stored
    {
        return Err(Rejection::SignCount { stored, received }.into());
    }
    Ok(VerifiedAssertion {
        flags: authenticator_data.flags(),
        sign_count: received,
        origin: client_data.origin().to_owned(),
        cross_origin: client_data.cross_origin() == Some(true)
            || client_data.top_origin().is_some(),
        algorithm: key.algorithm(),
    })
}

fn check_client_data(
    client_data: &CollectedClientData<'_>,
    expected: &Expectation<'_>,
) -> Result<(), Rejection> {
    // §7.2 step 10: type.
    require(client_data.type_() == "webauthn.get", Rejection::Type)?;
    // §7.2 step 11: challenge, compared as the base64url that the client must have written.
    require(
        client_data.challenge() == base64url::encode(expected.challenge),
        Rejection::Challenge,
    )?;
    // §7.2 step 12: origin.
    require(
        expected
            .origins
            .iter()
            .any(|origin| origin == client_data.origin()),
        Rejection::Origin,
    )?;
    // §7.2 step 13: crossOrigin.
    require(
        expected.allow_cross_origin || client_data.cross_origin() != Some(true),
        Rejection::CrossOrigin,
    )?;
    // §7.2 step 14: topOrigin.
    if let Some(top_origin) = client_data.top_origin() {
        require(expected.allow_cross_origin, Rejection::TopOrigin)?;
        require(
            expected
                .top_origins
                .is_none_or(|known| known.iter().any(|origin| origin == top_origin)),
            Rejection::TopOrigin,
        )?;
    }
    Ok(())
}

fn check_authenticator_data(
    authenticator_data: &AuthenticatorData<'_>,
    expected: &Expectation<'_>,
) -> Result<(), Rejection> {
    let flags = authenticator_data.flags();
    // §7.2 step 15: rpIdHash.
    require(
        authenticator_data.rp_id_hash()[..] == *digest(&SHA256, expected.rp_id.as_bytes()).as_ref(),
        Rejection::RpId,
    )?;
    // §7.2 step 16: user presence.
    require(
        flags.up() || expected.allow_up_false,
        Rejection::UserPresence,
    )?;
    // §7.2 step 17: user verification.
    require(
        flags.uv() || !expected.require_uv,
        Rejection::UserVerification,
    )?;
    // §7.2 step 18: backup state.
    require(flags.backup_is_consistent(), Rejection::BackupState)?;
    // §7.2 step 19.1 and 19.2: backup eligibility never changes.
    require(
        expected
            .stored_backup_eligible
            .is_none_or(|stored| stored == flags.be()),
        Rejection::BackupEligibility,
    )
}

fn require(holds: bool, otherwise: Rejection) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(otherwise) }
}
