//! Attestation statements (WebAuthn L3 §7.1, §8): is what the authenticator says of itself genuine?
//!
//! [`verify_statement`] judges bytes, ceremony and attestation signature, and nothing else: whether the certificates lead to
//! an anchor is [`trust`]'s, whether the model is wanted is `crate::model`'s. Two verdicts, never mixed; both take only the
//! [`VerifiedRegistration`] that this one builds. No clock is asked here.
//!
//! DESIGN.md would leave tpm, android-key and apple to webauthn-rs alone. Measured on recorded attestations, it cannot judge
//! them: it refuses SHA-1 TPM signatures, StrongBox keys and the W3C vectors, ignores `alg` beside `x5c`, does not look at the curve of
//! a U2F attestation key, and knows neither EdDSA nor ES512 credentials. So every format that we name has its own verifier
//! here, after the text of §8, and webauthn-rs is the independent [`second_opinion`] wherever it has one.
//!
//! Not supported, by name: `android-safetynet` (its service ended in January 2025; its statements prove a phone's state at
//! a moment, not a key's home) and `compound` (no authenticator of ours makes one).

pub mod anchors;
mod android_key;
mod apple;
mod fido_u2f;
mod packed;
mod reason;
pub mod second_opinion;
mod statement;
mod tpm;
pub mod trust;
mod words;

use aws_lc_rs::digest::{SHA256, digest};

use crate::authenticator_data::{Aaguid, AuthenticatorData, CredentialId, Flags};
use crate::cbor::{self, CborError, Map, Rules, Value};
use crate::certificate::Certificate;
use crate::client_data::CollectedClientData;
use crate::cose::{KeyError, PublicKey};

pub use reason::{REASONS, RegistrationError};
use statement::Statement;
pub use statement::StatementError;
pub use words::words;

/// What a client sent at a registration. A claim: nothing of it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationResponse<'a> {
    /// The exact bytes of clientDataJSON.
    pub client_data_json: &'a [u8],
    /// The exact bytes of attestationObject.
    pub attestation_object: &'a [u8],
}

/// What the relying party asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationExpectation {
    /// The relying party's identifier.
    pub rp_id: String,
    /// The origins that may have made the call, compared exactly.
    pub origins: Vec<String>,
    /// The challenge's bytes.
    pub challenge: Vec<u8>,
    /// Whether the flag UV must be set.
    pub require_uv: bool,
    /// Whether the ceremony may run in a frame of another origin.
    pub allow_cross_origin: bool,
    /// With `allow_cross_origin`: the top-level origins that may frame us; `None` for any.
    pub top_origins: Option<Vec<String>>,
}

/// A statement format that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// §8.2, what FIDO2 keys send.
    Packed,
    /// §8.3.
    Tpm,
    /// §8.4.
    AndroidKey,
    /// §8.6, what U2F keys send.
    FidoU2f,
    /// §8.7.
    None,
    /// §8.8.
    Apple,
}

impl Format {
    fn of(name: &str) -> Option<Self> {
        [
            Self::Packed,
            Self::Tpm,
            Self::AndroidKey,
            Self::FidoU2f,
            Self::None,
            Self::Apple,
        ]
        .into_iter()
        .find(|format| format.name() == name)
    }

    /// The name in the IANA registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Tpm => "tpm",
            Self::AndroidKey => "android-key",
            Self::FidoU2f => "fido-u2f",
            Self::None => "none",
            Self::Apple => "apple",
        }
    }
}

/// What kind of proof a statement is (§6.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttestationType {
    /// Signed by a key that many authenticators of a model share (or by a CA's leaf that cannot be told from it).
    Basic,
    /// Signed by a key that a privacy CA certified for one authenticator.
    AttCa,
    /// A fresh certificate for every credential.
    AnonCa,
    /// Signed by the credential itself: proves nothing about the authenticator.
    SelfSigned,
    /// No proof.
    None,
}

impl AttestationType {
    /// The word of CONTRACT.md.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::AttCa => "attca",
            Self::AnonCa => "anonca",
            Self::SelfSigned => "self",
            Self::None => "none",
        }
    }
}

/// The key of a new credential.
#[derive(Clone, Debug)]
pub enum CredentialKey {
    /// One that our assertion verifier can use.
    Verifiable(PublicKey),
    /// Well-formed, of an algorithm that we do not verify (its COSE number): Ed448, RS1. Policy refuses it.
    Unverifiable(i64),
}

impl CredentialKey {
    fn read(map: &Map<'_>) -> Result<Self, KeyError> {
        match PublicKey::from_cose_map(map) {
            Ok(key) => Ok(Self::Verifiable(key)),
            Err(KeyError::UnsupportedAlgorithm(algorithm)) if is_well_formed(algorithm, map) => {
                Ok(Self::Unverifiable(algorithm))
            }
            Err(error) => Err(error),
        }
    }

    /// Its COSE algorithm number.
    #[must_use]
    pub fn algorithm(&self) -> i64 {
        match self {
            Self::Verifiable(key) => key.algorithm().cose_id(),
            Self::Unverifiable(algorithm) => *algorithm,
        }
    }

    /// The key, when assertions can be verified with it.
    #[must_use]
    pub fn public_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Verifiable(key) => Some(key),
            Self::Unverifiable(_) => None,
        }
    }
}

/// Whether a key of a registered algorithm that we do not verify has the members of its definition.
fn is_well_formed(algorithm: i64, map: &Map<'_>) -> bool {
    let kty = map.int(1).and_then(Value::as_int);
    let crv = map.int(-1).and_then(Value::as_int);
    let length = |label| map.int(label).and_then(Value::as_bytes).map(<[u8]>::len);
    match algorithm {
        // Ed448: RFC 9053, RFC 9864.
        -53 | -8 => kty == Some(1) && crv == Some(7) && length(-2) == Some(57),
        // RS1: RFC 8812.
        -65535 => {
            kty == Some(3)
                && length(-1).is_some_and(|n| (256..=1024).contains(&n))
                && length(-2).is_some_and(|e| (1..=4).contains(&e))
        }
        _ => false,
    }
}

/// A registration whose bytes, ceremony and attestation signature were verified. Whether its maker is trusted is another
/// question ([`trust::judge`]). Only [`verify_statement`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedRegistration {
    format: Format,
    attestation_type: AttestationType,
    aaguid: Aaguid,
    credential_id: CredentialId,
    public_key_cose: Vec<u8>,
    key: CredentialKey,
    flags: Flags,
    sign_count: u32,
    origin: String,
    chain: Vec<Certificate>,
    weak: bool,
}

impl VerifiedRegistration {
    /// The statement's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What kind of proof the statement is.
    #[must_use]
    pub fn attestation_type(&self) -> AttestationType {
        self.attestation_type
    }

    /// The model that the authenticator claims to be; as good as the trust in its chain.
    #[must_use]
    pub fn aaguid(&self) -> Aaguid {
        self.aaguid
    }

    /// The model as far as the statement proves one. A U2F statement signs no authenticator data: whatever AAGUID stands there, its model is the
    /// one in its certificate, or none (zero).
    #[must_use]
    pub fn proved_model(&self) -> Aaguid {
        if self.format != Format::FidoU2f {
            return self.aaguid;
        }
        let leaf = self.chain.first().and_then(|leaf| leaf.fido_aaguid().ok());
        leaf.flatten().map_or(Aaguid::ZERO, Aaguid::new)
    }

    /// Whether the user was verified, as far as the statement proves it: a U2F statement does not sign the flags, and U2F knows no PIN.
    #[must_use]
    pub fn proves_user_verification(&self) -> bool {
        self.flags.uv() && self.format != Format::FidoU2f
    }

    /// The new credential's identifier.
    #[must_use]
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }

    /// The COSE_Key, verbatim.
    #[must_use]
    pub fn public_key_cose(&self) -> &[u8] {
        &self.public_key_cose
    }

    /// The credential's key.
    #[must_use]
    pub fn key(&self) -> &CredentialKey {
        &self.key
    }

    /// The authenticator's flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The signature counter at registration.
    #[must_use]
    pub fn sign_count(&self) -> u32 {
        self.sign_count
    }

    /// The origin that made the call; one of those expected.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The attestation certificates, leaf first; empty for self and none. Their path is not verified yet.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Whether the attestation signature rests on SHA-1.
    #[must_use]
    pub fn is_weakly_signed(&self) -> bool {
        self.weak
    }
}

/// What a statement's verifier found, besides "genuine".
struct Finding {
    attestation_type: AttestationType,
    chain: Vec<Certificate>,
    weak: bool,
}

/// Verifies a registration ceremony and its attestation statement (§7.1 steps 5 to 22).
///
/// Steps 1 to 4 are the client's, 23 and 24 are [`trust::judge`]'s, 25 to 27 (is this credential already someone's?) the server's.
///
/// # Errors
/// The first check that fails, in the order of the specification.
pub fn verify_statement(
    response: &RegistrationResponse<'_>,
    expectation: &RegistrationExpectation,
) -> Result<VerifiedRegistration, RegistrationError> {
    let origin = verify_client_data(response, expectation)?;
    // §7.1 step 12
    let client_data_hash = digest(&SHA256, response.client_data_json);
    // §7.1 step 13
    let object = cbor::parse(response.attestation_object, Rules::TOLERANT)
        .map_err(RegistrationError::AttestationObject)?;
    let members = AttestationObject::read(&object)?;
    let data = AuthenticatorData::parse(members.authenticator_data)
        .map_err(RegistrationError::AuthenticatorData)?;
    verify_authenticator_data(&data, expectation)?;
    let credential = data
        .attested_credential()
        .ok_or(RegistrationError::NoCredential)?;
    // §7.1 step 20; which algorithms were asked for is policy (`crate::model`).
    let key = CredentialKey::read(&credential.public_key_map)
        .map_err(RegistrationError::CredentialKey)?;
    // §7.1 step 21
    let format = Format::of(members.format).ok_or(match members.format {
        "android-safetynet" => RegistrationError::UnsupportedFormat("android-safetynet"),
        "compound" => RegistrationError::UnsupportedFormat("compound"),
        _ => RegistrationError::UnknownFormat,
    })?;
    // §7.1 step 22
    let statement = Statement {
        members: members.statement,
        data: &data,
        credential,
        key: &key,
        client_data_hash: client_data_hash.as_ref(),
    };
    let finding = match format {
        Format::Packed => packed::verify(&statement),
        Format::Tpm => tpm::verify(&statement),
        Format::AndroidKey => android_key::verify(&statement),
        Format::FidoU2f => fido_u2f::verify(&statement),
        Format::Apple => apple::verify(&statement),
        Format::None => statement.none(),
    }
    .map_err(RegistrationError::Statement)?;
    let credential_id =
        CredentialId::new(credential.credential_id).ok_or(RegistrationError::NoCredential)?;
    Ok(VerifiedRegistration {
        format,
        attestation_type: finding.attestation_type,
        aaguid: credential.aaguid,
        credential_id,
        public_key_cose: credential.public_key.to_vec(),
        flags: data.flags(),
        sign_count: data.sign_count(),
        origin,
        chain: finding.chain,
        weak: finding.weak,
        key,
    })
}

fn verify_client_data(
    response: &RegistrationResponse<'_>,
    expectation: &RegistrationExpectation,
) -> Result<String, RegistrationError> {
    // §7.1 steps 5 and 6
    let client_data = CollectedClientData::parse(response.client_data_json)
        .map_err(RegistrationError::ClientData)?;
    // §7.1 step 7
    if client_data.type_() != "webauthn.create" {
        return Err(RegistrationError::TypeMismatch);
    }
    // §7.1 step 8
    if client_data.challenge() != crate::base64url::encode(&expectation.challenge) {
        return Err(RegistrationError::ChallengeMismatch);
    }
    // §7.1 step 9
    let origin = client_data.origin();
    if !expectation.origins.iter().any(|ours| ours == origin) {
        return Err(RegistrationError::OriginMismatch);
    }
    // §7.1 steps 10 and 11
    if !expectation.allow_cross_origin
        && (client_data.cross_origin() == Some(true) || client_data.top_origin().is_some())
    {
        return Err(RegistrationError::CrossOrigin);
    }
    if let (Some(top), Some(allowed)) = (client_data.top_origin(), &expectation.top_origins)
        && !allowed.iter().any(|ours| ours == top)
    {
        return Err(RegistrationError::TopOriginMismatch);
    }
    Ok(origin.to_owned())
}

fn verify_authenticator_data(
    data: &AuthenticatorData<'_>,
    expectation: &RegistrationExpectation,
) -> Result<(), RegistrationError> {
    // §7.1 step 14
    if data.rp_id_hash() != digest(&SHA256, expectation.rp_id.as_bytes()).as_ref() {
        return Err(RegistrationError::RpIdMismatch);
    }
    // §7.1 step 15; we never ask for conditional mediation.
    if !data.flags().up() {
        return Err(RegistrationError::UserNotPresent);
    }
    // §7.1 step 16
    if expectation.require_uv && !data.flags().uv() {
        return Err(RegistrationError::UserNotVerified);
    }
    // §7.1 steps 17 to 19; whether a credential may be backed up is policy.
    if !data.flags().backup_is_consistent() {
        return Err(RegistrationError::BackupInconsistent);
    }
    Ok(())
}

/// The three members of an attestation object (§6.5.4). Not trusted.
struct AttestationObject<'v, 'b> {
    format: &'v str,
    statement: &'v Map<'b>,
    authenticator_data: &'v [u8],
}

impl<'v, 'b> AttestationObject<'v, 'b> {
    fn read(object: &'v Value<'b>) -> Result<Self, RegistrationError> {
        let map = object
            .as_map()
            .ok_or(RegistrationError::AttestationObject(CborError::IllFormed))?;
        Ok(Self {
            format: map
                .text("fmt")
                .and_then(Value::as_text)
                .ok_or(RegistrationError::Member("fmt"))?,
            statement: map
                .text("attStmt")
                .and_then(Value::as_map)
                .ok_or(RegistrationError::Member("attStmt"))?,
            authenticator_data: map
                .text("authData")
                .and_then(Value::as_bytes)
                .ok_or(RegistrationError::Member("authData"))?,
        })
    }
}

/// What a registration claims, read for a report on one that was refused. Never a ground for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The format's name, when it is one of ours or one that we name as unsupported.
    pub format: Option<&'static str>,
    /// The model.
    pub aaguid: Option<Aaguid>,
    /// The key's COSE algorithm.
    pub algorithm: Option<i64>,
    /// The flags.
    pub flags: Option<Flags>,
    /// The credential's identifier.
    pub credential_id: Option<CredentialId>,
    /// The COSE_Key.
    pub public_key_cose: Option<Vec<u8>>,
}

/// Reads what it can of an attestation object, verifying nothing.
#[must_use]
pub fn claims(attestation_object: &[u8]) -> Claims {
    let mut claims = Claims::default();
    let Ok(object) = cbor::parse(attestation_object, Rules::TOLERANT) else {
        return claims;
    };
    let Ok(members) = AttestationObject::read(&object) else {
        return claims;
    };
    claims.format = Format::of(members.format).map(Format::name).or_else(|| {
        ["android-safetynet", "compound"]
            .into_iter()
            .find(|name| *name == members.format)
    });
    if let Ok(data) = AuthenticatorData::parse(members.authenticator_data) {
        claims.flags = Some(data.flags());
        if let Some(credential) = data.attested_credential() {
            claims.aaguid = Some(credential.aaguid);
            claims.algorithm = credential.public_key_map.int(3).and_then(Value::as_int);
            claims.credential_id = CredentialId::new(credential.credential_id);
            claims.public_key_cose = Some(credential.public_key.to_vec());
        }
    }
    claims
}
