//! Why a registration is refused before trust is even asked, one stable word for each reason.
//!
//! The words are wire format (CONTRACT.md): auditors' scripts and the help-desk's page compare them. docs/attestation.md lists them, and a test compares.

use super::statement::StatementError;
use crate::authenticator_data::AuthenticatorDataError;
use crate::cbor::CborError;
use crate::client_data::ClientDataError;
use crate::cose::KeyError;

/// Why a registration is refused before trust is even asked. `reason` gives the stable word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// §7.1 steps 5–6.
    #[error("{0}")]
    ClientData(ClientDataError),
    /// §7.1 step 7.
    #[error("client data is not of a registration")]
    TypeMismatch,
    /// §7.1 step 8.
    #[error("challenge is not the one given")]
    ChallengeMismatch,
    /// §7.1 step 9.
    #[error("origin is not one of ours")]
    OriginMismatch,
    /// §7.1 step 10.
    #[error("ceremony ran in a frame of another origin")]
    CrossOrigin,
    /// §7.1 step 11.
    #[error("top-level origin is not one that may frame us")]
    TopOriginMismatch,
    /// §7.1 step 13: not CBOR.
    #[error("attestation object: {0}")]
    AttestationObject(CborError),
    /// §7.1 step 13: CBOR, but a member is absent or of another type.
    #[error("attestation object: `{0}` is missing or of the wrong type")]
    Member(&'static str),
    /// §7.1 step 13.
    #[error("{0}")]
    AuthenticatorData(AuthenticatorDataError),
    /// The flag AT is not set.
    #[error("authenticator data has no credential")]
    NoCredential,
    /// §7.1 step 14.
    #[error("authenticator data is for another relying party")]
    RpIdMismatch,
    /// §7.1 step 15.
    #[error("nobody touched the authenticator")]
    UserNotPresent,
    /// §7.1 step 16.
    #[error("nobody was verified by the authenticator")]
    UserNotVerified,
    /// §7.1 step 17.
    #[error("credential is backed up without being eligible")]
    BackupInconsistent,
    /// §7.1 step 20.
    #[error("{0}")]
    CredentialKey(KeyError),
    /// §7.1 step 21: a format that we know by name and do not judge.
    #[error("attestation format {0} is not supported")]
    UnsupportedFormat(&'static str),
    /// §7.1 step 21.
    #[error("attestation format is unknown")]
    UnknownFormat,
    /// §7.1 step 22.
    #[error("{0}")]
    Statement(StatementError),
}

impl RegistrationError {
    /// The kebab-case word of CONTRACT.md; docs/attestation.md lists them all.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ClientData(_) => "client-data-malformed",
            Self::TypeMismatch => "type-mismatch",
            Self::ChallengeMismatch => "challenge-mismatch",
            Self::OriginMismatch => "origin-mismatch",
            Self::CrossOrigin => "cross-origin",
            Self::TopOriginMismatch => "top-origin",
            Self::AttestationObject(_) | Self::Member(_) => "attestation-object-malformed",
            Self::AuthenticatorData(_) => "authenticator-data-malformed",
            Self::NoCredential => "no-credential",
            Self::RpIdMismatch => "rp-id-mismatch",
            Self::UserNotPresent => "user-not-present",
            Self::UserNotVerified => "user-not-verified",
            Self::BackupInconsistent => "backup-state-inconsistent",
            Self::CredentialKey(KeyError::UnsupportedAlgorithm(_)) => {
                "credential-algorithm-unsupported"
            }
            Self::CredentialKey(_) => "credential-key-malformed",
            Self::UnsupportedFormat("android-safetynet") => "unsupported-format-android-safetynet",
            Self::UnsupportedFormat("compound") => "unsupported-format-compound",
            Self::UnsupportedFormat(_) | Self::UnknownFormat => "unsupported-format",
            Self::Statement(error) => error.reason(),
        }
    }
}

/// Every word that [`RegistrationError::reason`] can give and what it means, in the order of the checks.
pub const REASONS: &[(&str, &str)] = &[
    (
        "client-data-malformed",
        "clientDataJSON is not UTF-8, not JSON, or a member is missing, doubled or of another type",
    ),
    ("type-mismatch", "client data is not of a registration"),
    ("challenge-mismatch", "challenge is not the one given"),
    (
        "origin-mismatch",
        "origin is not, exactly, one of those expected",
    ),
    (
        "cross-origin",
        "the ceremony ran in a frame of another origin",
    ),
    (
        "top-origin",
        "the top-level origin is not one that may frame us",
    ),
    (
        "attestation-object-malformed",
        "not CBOR within the budgets, or fmt, attStmt, authData missing or of another type",
    ),
    (
        "authenticator-data-malformed",
        "lengths disagree with the flags, or bytes are left over",
    ),
    ("rp-id-mismatch", "made for another relying party"),
    ("user-not-present", "nobody touched the authenticator"),
    (
        "user-not-verified",
        "user verification was required and not done",
    ),
    (
        "backup-state-inconsistent",
        "backed up without being eligible for it",
    ),
    ("no-credential", "no attested credential data"),
    (
        "credential-key-malformed",
        "the COSE key disagrees with itself or is not on its curve",
    ),
    (
        "credential-algorithm-unsupported",
        "a key of an algorithm that we do not know",
    ),
    (
        "unsupported-format",
        "an attestation format that we do not know",
    ),
    (
        "unsupported-format-android-safetynet",
        "SafetyNet, whose service has ended",
    ),
    ("unsupported-format-compound", "compound statements"),
    (
        "statement-malformed",
        "a member of the statement is missing, of another type or not allowed",
    ),
    (
        "statement-algorithm-unsupported",
        "alg is none that we verify",
    ),
    (
        "statement-algorithm-mismatch",
        "alg is not that of the key that signs",
    ),
    ("ecdaa-unsupported", "ECDAA, removed from WebAuthn"),
    (
        "certificate-malformed",
        "a certificate does not parse within the budgets",
    ),
    (
        "certificate-requirements",
        "the leaf does not meet the rules of its format (version, subject, extensions, CA)",
    ),
    (
        "certificate-aaguid-mismatch",
        "the leaf is for another model than the authenticator data",
    ),
    (
        "certificate-key-mismatch",
        "the leaf certifies another key than the credential's",
    ),
    (
        "signature-invalid",
        "the attestation signature does not verify",
    ),
    ("nonce-mismatch", "apple: the nonce is not of this ceremony"),
    (
        "tpm-structure-invalid",
        "tpm: certInfo or pubArea does not parse, or is not of a certification",
    ),
    (
        "tpm-key-mismatch",
        "tpm: pubArea is not the credential's key",
    ),
    ("tpm-name-mismatch", "tpm: another object was certified"),
    (
        "tpm-extra-data-mismatch",
        "tpm: certified for another ceremony",
    ),
    (
        "android-key-description-invalid",
        "android-key: the key description is missing or malformed",
    ),
    (
        "android-challenge-mismatch",
        "android-key: described for another ceremony",
    ),
    (
        "android-all-applications",
        "android-key: any application may use the key",
    ),
    (
        "android-authorization-invalid",
        "android-key: not generated in place, or not for signing only",
    ),
];
