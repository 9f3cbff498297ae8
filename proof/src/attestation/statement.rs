//! What the statement formats have in common: their inputs, their errors, and how their members are read.
//!
//! A statement is a claim until its format's verifier has returned; certificates in it are parsed here, never trusted.

use super::{AttestationType, CredentialKey, Finding};
use crate::asn1::Asn1Error;
use crate::authenticator_data::{AttestedCredential, AuthenticatorData};
use crate::cbor::{Map, Value};
use crate::certificate::path::MAX_CHAIN;
use crate::certificate::signature::{KeyKind, Scheme};
use crate::certificate::{Certificate, CertificateError, PublicKeyInfo, unpadded};

/// Why a statement is not genuine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// A member is absent, of another type, or not allowed.
    #[error("attestation statement: `{0}` is missing, of the wrong type or not allowed")]
    Malformed(&'static str),
    /// An algorithm that we do not verify (its COSE number).
    #[error("attestation statement: algorithm {0} is not supported")]
    UnsupportedAlgorithm(i64),
    /// The statement's algorithm is not that of the key it is said to be made with.
    #[error("attestation statement: algorithm is not that of the key")]
    AlgorithmMismatch,
    /// Removed from WebAuthn in Level 2.
    #[error("attestation statement: ECDAA is not supported")]
    Ecdaa,
    /// A certificate does not parse.
    #[error("{0}")]
    Certificate(CertificateError),
    /// The leaf does not meet the rules of its format; which one.
    #[error("attestation certificate: {0}")]
    Requirement(Requirement),
    /// id-fido-gen-ce-aaguid is not the AAGUID in the authenticator data.
    #[error("attestation certificate is for another model")]
    AaguidMismatch,
    /// The certificate's key is not the credential's.
    #[error("attestation certificate is for another key")]
    KeyMismatch,
    /// The signature does not verify.
    #[error("attestation signature does not verify")]
    SignatureInvalid,
    /// Apple's nonce is not that of this ceremony.
    #[error("nonce in the certificate is not that of this ceremony")]
    NonceMismatch,
    /// certInfo or pubArea does not parse, or is not of a certification.
    #[error("TPM structure: {0}")]
    TpmStructure(&'static str),
    /// pubArea is not the credential's key.
    #[error("TPM public area is not the credential's key")]
    TpmKeyMismatch,
    /// certInfo names another object than pubArea.
    #[error("TPM certified another object")]
    TpmNameMismatch,
    /// certInfo is of another ceremony.
    #[error("TPM certified for another ceremony")]
    TpmExtraDataMismatch,
    /// The key description does not parse.
    #[error("Android key description is missing or malformed")]
    AndroidDescription,
    /// The key description is of another ceremony.
    #[error("Android key description is of another ceremony")]
    AndroidChallengeMismatch,
    /// The key is for any application.
    #[error("Android key may be used by all applications")]
    AndroidAllApplications,
    /// The key was not generated in the keystore for signing.
    #[error("Android key was not generated in place for signing")]
    AndroidAuthorization,
}

/// A rule for the leaf of a packed or TPM statement (§8.2.1, §8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Requirement {
    /// X.509 version 3.
    #[error("is not of version 3")]
    Version,
    /// Subject-C, two letters.
    #[error("subject has no country")]
    Country,
    /// Subject-O.
    #[error("subject has no organization")]
    Organization,
    /// Subject-OU "Authenticator Attestation", and no other.
    #[error("subject's organizational unit is not \"Authenticator Attestation\"")]
    OrganizationalUnit,
    /// Subject-CN.
    #[error("subject has no common name")]
    CommonName,
    /// basicConstraints present, CA false.
    #[error("basicConstraints is missing or says CA")]
    BasicConstraints,
    /// id-fido-gen-ce-aaguid must not be critical, and be 16 bytes.
    #[error("AAGUID extension is critical or malformed")]
    AaguidExtension,
    /// U2F: an EC key on P-256. Others: a key of the statement's algorithm.
    #[error("key is not of the required kind")]
    Key,
    /// TPM: the subject is empty.
    #[error("subject is not empty")]
    SubjectNotEmpty,
    /// TPM: subjectAltName with manufacturer, model and version.
    #[error("subjectAltName does not name the TPM's manufacturer, model and version")]
    SubjectAltName,
    /// TPM: tcg-kp-AIKCertificate.
    #[error("extKeyUsage is not that of an attestation identity key")]
    ExtendedKeyUsage,
}

impl StatementError {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "statement-malformed",
            Self::UnsupportedAlgorithm(_) => "statement-algorithm-unsupported",
            Self::AlgorithmMismatch => "statement-algorithm-mismatch",
            Self::Ecdaa => "ecdaa-unsupported",
            Self::Certificate(_) => "certificate-malformed",
            Self::Requirement(_) => "certificate-requirements",
            Self::AaguidMismatch => "certificate-aaguid-mismatch",
            Self::KeyMismatch => "certificate-key-mismatch",
            Self::SignatureInvalid => "signature-invalid",
            Self::NonceMismatch => "nonce-mismatch",
            Self::TpmStructure(_) => "tpm-structure-invalid",
            Self::TpmKeyMismatch => "tpm-key-mismatch",
            Self::TpmNameMismatch => "tpm-name-mismatch",
            Self::TpmExtraDataMismatch => "tpm-extra-data-mismatch",
            Self::AndroidDescription => "android-key-description-invalid",
            Self::AndroidChallengeMismatch => "android-challenge-mismatch",
            Self::AndroidAllApplications => "android-all-applications",
            Self::AndroidAuthorization => "android-authorization-invalid",
        }
    }
}

/// Everything that a format's verifier looks at.
pub(super) struct Statement<'s, 'b> {
    pub(super) members: &'s Map<'b>,
    pub(super) data: &'s AuthenticatorData<'s>,
    pub(super) credential: &'s AttestedCredential<'s>,
    pub(super) key: &'s CredentialKey,
    pub(super) client_data_hash: &'s [u8],
}

impl Statement<'_, '_> {
    /// `authenticatorData ‖ clientDataHash`, what most formats sign.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        [self.data.bytes(), self.client_data_hash].concat()
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<&[u8], StatementError> {
        self.members
            .text(name)
            .and_then(Value::as_bytes)
            .ok_or(StatementError::Malformed(name))
    }

    /// `alg`, a COSE number.
    pub(super) fn algorithm(&self) -> Result<i64, StatementError> {
        self.members
            .text("alg")
            .and_then(Value::as_int)
            .ok_or(StatementError::Malformed("alg"))
    }

    /// The scheme of `alg`, for a certified key.
    pub(super) fn scheme(&self) -> Result<Scheme, StatementError> {
        let number = self.algorithm()?;
        Scheme::of_cose(number).ok_or(StatementError::UnsupportedAlgorithm(number))
    }

    /// `x5c`: one to [`MAX_CHAIN`] certificates, leaf first.
    pub(super) fn chain(&self) -> Result<Vec<Certificate>, StatementError> {
        let malformed = || StatementError::Malformed("x5c");
        let items = self
            .members
            .text("x5c")
            .and_then(Value::as_array)
            .ok_or_else(malformed)?;
        if items.is_empty() {
            return Err(malformed());
        }
        if items.len() > MAX_CHAIN {
            return Err(StatementError::Certificate(CertificateError::TooLarge));
        }
        items
            .iter()
            .map(|item| {
                Certificate::from_der(item.as_bytes().ok_or_else(malformed)?)
                    .map_err(StatementError::Certificate)
            })
            .collect()
    }

    /// §8.7: nothing is claimed, so nothing may be there.
    pub(super) fn none(&self) -> Result<Finding, StatementError> {
        if !self.members.is_empty() {
            return Err(StatementError::Malformed("attStmt"));
        }
        Ok(Finding {
            attestation_type: AttestationType::None,
            chain: Vec::new(),
            weak: false,
        })
    }

    /// When the leaf says which model it is for, that must be the model in the authenticator data.
    pub(super) fn check_aaguid(&self, leaf: &Certificate) -> Result<(), StatementError> {
        match leaf.fido_aaguid() {
            Ok(Some(aaguid)) if aaguid != *self.credential.aaguid.as_bytes() => {
                Err(StatementError::AaguidMismatch)
            }
            Ok(_) => Ok(()),
            Err(_) => Err(StatementError::Requirement(Requirement::AaguidExtension)),
        }
    }

    /// Whether the leaf certifies the credential's own key (android-key, apple).
    pub(super) fn check_same_key(&self, leaf: &Certificate) -> Result<(), StatementError> {
        let spki = self
            .key
            .public_key()
            .and_then(crate::cose::PublicKey::spki)
            .ok_or(StatementError::UnsupportedAlgorithm(self.key.algorithm()))?;
        let ours = PublicKeyInfo::from_der(&spki).map_err(|_| StatementError::KeyMismatch)?;
        if is_same_key(&ours, leaf.public_key()) {
            Ok(())
        } else {
            Err(StatementError::KeyMismatch)
        }
    }
}

fn is_same_key(ours: &PublicKeyInfo, theirs: &PublicKeyInfo) -> bool {
    match (ours.rsa_numbers(), theirs.rsa_numbers()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, None) => {
            ours.kind() == theirs.kind()
                && ours.kind() != KeyKind::Other
                && unpadded(ours.key_bytes()) == unpadded(theirs.key_bytes())
        }
        _ => false,
    }
}

/// basicConstraints present and CA false.
pub(super) fn check_not_authority(leaf: &Certificate) -> Result<(), StatementError> {
    match leaf.basic_constraints() {
        Ok(Some(constraints)) if !constraints.ca => Ok(()),
        _ => Err(StatementError::Requirement(Requirement::BasicConstraints)),
    }
}

impl From<Asn1Error> for StatementError {
    fn from(error: Asn1Error) -> Self {
        Self::Certificate(CertificateError::Malformed(error))
    }
}
