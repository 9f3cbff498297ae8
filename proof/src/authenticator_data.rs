//! Authenticator data (WebAuthn L3 §6.1): what the authenticator says, and signs, at every ceremony.
//!
//! [`AuthenticatorData::parse`] checks the layout only: lengths agree with the flags and nothing follows. It trusts nothing, and what it returns
//! is a claim until the signature over [`AuthenticatorData::bytes`] was verified (`assertion`, `attestation`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base64url::{self, NotBase64Url};
use crate::cbor::{self, CborError, Map, Rules, Value};

/// Why bytes are not authenticator data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorDataError {
    /// Shorter than what the flags announce.
    #[error("authenticator data is truncated")]
    Truncated,
    /// Longer than what the flags announce.
    #[error("bytes follow the authenticator data")]
    TrailingBytes,
    /// A credential ID of no bytes or more than 1023.
    #[error("credential ID is not of 1 to 1023 bytes")]
    CredentialIdLength,
    /// The credential public key is not a CBOR map.
    #[error("credential public key: {0}")]
    PublicKey(CborError),
    /// The extension outputs are not a CBOR map.
    #[error("extension outputs: {0}")]
    Extensions(CborError),
}

/// The flags byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// The byte as sent.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// User presence: someone touched the authenticator.
    #[must_use]
    pub fn up(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// User verification: by PIN or biometrics.
    #[must_use]
    pub fn uv(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Backup eligibility: the credential may leave the authenticator.
    #[must_use]
    pub fn be(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Backup state: the credential has left it.
    #[must_use]
    pub fn bs(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// Attested credential data is present.
    #[must_use]
    pub fn at(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Extension outputs are present.
    #[must_use]
    pub fn ed(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// §6.1.3: a credential that may not be backed up is not backed up. Both verifiers refuse the contrary, at their own step.
    #[must_use]
    pub fn backup_is_consistent(self) -> bool {
        self.be() || !self.bs()
    }
}

/// An authenticator model's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aaguid([u8; 16]);

impl Aaguid {
    /// All zeros: the authenticator says nothing about its model.
    pub const ZERO: Aaguid = Aaguid([0; 16]);

    /// The sixteen bytes in the order of the authenticator data.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Aaguid {
        Aaguid(bytes)
    }

    /// The sixteen bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl FromStr for Aaguid {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Aaguid, uuid::Error> {
        text.parse::<uuid::Uuid>().map(|u| Aaguid(u.into_bytes()))
    }
}

/// A credential's identifier, chosen by its authenticator: 1 to 1023 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// The longest that WebAuthn allows.
    pub const MAX: usize = 1023;

    /// None when empty or longer than [`Self::MAX`].
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<CredentialId> {
        let bytes = bytes.into();
        (1..=Self::MAX)
            .contains(&bytes.len())
            .then_some(CredentialId(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// base64url, as on the wire.
impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

impl FromStr for CredentialId {
    type Err = NotBase64Url;

    fn from_str(text: &str) -> Result<CredentialId, NotBase64Url> {
        CredentialId::new(base64url::decode(text)?).ok_or(NotBase64Url)
    }
}

impl Serialize for CredentialId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64url::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for CredentialId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<CredentialId, D::Error> {
        CredentialId::new(base64url::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("credential ID is not of 1 to 1023 bytes"))
    }
}

/// Attested credential data (§6.5.2). Not trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct AttestedCredential<'a> {
    /// The model that the authenticator claims to be.
    pub aaguid: Aaguid,
    /// The new credential's identifier, of 1 to 1023 bytes.
    pub credential_id: &'a [u8],
    /// The COSE_Key, verbatim.
    pub public_key: &'a [u8],
    /// The COSE_Key, parsed.
    pub public_key_map: Map<'a>,
}

/// Authenticator data: the exact bytes and the view of them. Not trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthenticatorData<'a> {
    bytes: &'a [u8],
    rp_id_hash: &'a [u8; 32],
    flags: Flags,
    sign_count: u32,
    attested_credential: Option<AttestedCredential<'a>>,
    extensions: Option<Map<'a>>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads authenticator data that is the whole of `bytes`. Extension outputs may be of indefinite length: recorded ones are, and what is signed is
    /// the bytes. The credential's key may not, as CTAP2 demands.
    pub fn parse(bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, AuthenticatorDataError> {
        let (rp_id_hash, rest) = bytes
            .split_first_chunk::<32>()
            .ok_or(AuthenticatorDataError::Truncated)?;
        let (flags, rest) = rest
            .split_first()
            .ok_or(AuthenticatorDataError::Truncated)?;
        let (sign_count, mut rest) = rest
            .split_first_chunk::<4>()
            .ok_or(AuthenticatorDataError::Truncated)?;
        let flags = Flags(*flags);
        let mut attested_credential = None;
        if flags.at() {
            let (attested, after) = attested(rest)?;
            (attested_credential, rest) = (Some(attested), after);
        }
        let mut extensions = None;
        if flags.ed() {
            let (map, _, after) =
                map(rest, Rules::TOLERANT).map_err(AuthenticatorDataError::Extensions)?;
            (extensions, rest) = (Some(map), after);
        }
        if !rest.is_empty() {
            return Err(AuthenticatorDataError::TrailingBytes);
        }
        let sign_count = u32::from_be_bytes(*sign_count);
        Ok(AuthenticatorData {
            bytes,
            rp_id_hash,
            flags,
            sign_count,
            attested_credential,
            extensions,
        })
    }

    /// The exact bytes, which are what is signed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// SHA-256 of the relying party's identifier.
    #[must_use]
    pub fn rp_id_hash(&self) -> &'a [u8; 32] {
        self.rp_id_hash
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The signature counter; 0 when the authenticator keeps none.
    #[must_use]
    pub fn sign_count(&self) -> u32 {
        self.sign_count
    }

    /// The attested credential data, when the flag AT is set.
    #[must_use]
    pub fn attested_credential(&self) -> Option<&AttestedCredential<'a>> {
        self.attested_credential.as_ref()
    }

    /// The extension outputs, when the flag ED is set.
    #[must_use]
    pub fn extensions(&self) -> Option<&Map<'a>> {
        self.extensions.as_ref()
    }
}

fn attested(bytes: &[u8]) -> Result<(AttestedCredential<'_>, &[u8]), AuthenticatorDataError> {
    let (aaguid, rest) = bytes
        .split_first_chunk::<16>()
        .ok_or(AuthenticatorDataError::Truncated)?;
    let (length, rest) = rest
        .split_first_chunk::<2>()
        .ok_or(AuthenticatorDataError::Truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if !(1..=CredentialId::MAX).contains(&length) {
        return Err(AuthenticatorDataError::CredentialIdLength);
    }
    let (credential_id, rest) = rest
        .split_at_checked(length)
        .ok_or(AuthenticatorDataError::Truncated)?;
    let (public_key_map, public_key, rest) =
        map(rest, Rules::STRICT).map_err(AuthenticatorDataError::PublicKey)?;
    Ok((
        AttestedCredential {
            aaguid: Aaguid(*aaguid),
            credential_id,
            public_key,
            public_key_map,
        },
        rest,
    ))
}

/// A map from the start of `bytes`, its bytes, and what follows.
fn map(bytes: &[u8], rules: Rules) -> Result<(Map<'_>, &[u8], &[u8]), CborError> {
    match cbor::parse_prefix(bytes, rules)? {
        (Value::Map(map), read, rest) => Ok((map, read, rest)),
        _ => Err(CborError::IllFormed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(flags: u8, tail: &[u8]) -> Vec<u8> {
        [&[7; 32][..], &[flags], &[0, 0, 1, 2], tail].concat()
    }

    fn refused(flags: u8, tail: &[u8]) -> AuthenticatorDataError {
        AuthenticatorData::parse(&data(flags, tail)).unwrap_err()
    }

    #[test]
    fn reads_what_the_flags_announce() {
        let bytes = data(
            0xc5,
            &[
                &[9; 16][..],
                &[0, 3, 1, 2, 3],
                &[0xa1, 1, 2],
                &[0xa1, 0x61, b'x', 0xf5],
            ]
            .concat(),
        );
        let parsed = AuthenticatorData::parse(&bytes).unwrap();
        assert_eq!(parsed.bytes(), bytes);
        assert_eq!((parsed.rp_id_hash(), parsed.sign_count()), (&[7; 32], 258));
        let f = parsed.flags();
        assert_eq!(
            (f.up(), f.uv(), f.be(), f.bs(), f.at(), f.ed()),
            (true, true, false, false, true, true)
        );
        let attested = parsed.attested_credential().unwrap();
        assert_eq!(
            attested.aaguid.to_string(),
            "09090909-0909-0909-0909-090909090909"
        );
        assert_eq!(
            (attested.credential_id, attested.public_key),
            (&[1, 2, 3][..], &[0xa1, 1, 2][..])
        );
        assert_eq!(
            parsed.extensions().unwrap().text("x"),
            Some(&Value::Bool(true))
        );
    }

    #[test]
    fn refuses_layouts_by_name() {
        use AuthenticatorDataError as E;
        assert_eq!(
            AuthenticatorData::parse(&data(1, &[])[..36]),
            Err(E::Truncated)
        );
        assert_eq!(refused(0x01, &[0]), E::TrailingBytes);
        assert_eq!(refused(0x41, &[]), E::Truncated);
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[0, 0]].concat()),
            E::CredentialIdLength
        );
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[4, 0], &[0; 1024], &[0xa0]].concat()),
            E::CredentialIdLength
        );
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[0, 9], &[1; 8]].concat()),
            E::Truncated
        );
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[0, 1, 1]].concat()),
            E::PublicKey(CborError::Truncated)
        );
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[0, 1, 1, 0x80]].concat()),
            E::PublicKey(CborError::IllFormed)
        );
        assert_eq!(
            refused(0x41, &[&[0; 16][..], &[0, 1, 1, 0xa0, 0xa0]].concat()),
            E::TrailingBytes
        );
        assert_eq!(refused(0x81, &[0x80]), E::Extensions(CborError::IllFormed));
        assert_eq!(refused(0x81, &[]), E::Extensions(CborError::Truncated));
        assert_eq!(refused(0x81, &[0xa0, 0xa0]), E::TrailingBytes);
    }

    #[test]
    fn backed_up_without_being_eligible_is_inconsistent() {
        for (bits, consistent) in [(0x00, true), (0x08, true), (0x18, true), (0x10, false)] {
            assert_eq!(Flags(bits).backup_is_consistent(), consistent);
        }
    }

    #[test]
    fn credential_ids_are_bounded() {
        assert_eq!(CredentialId::new([]), None);
        assert_eq!(CredentialId::new([0; 1024]), None);
        assert_eq!("AQI".parse::<CredentialId>().unwrap().as_bytes(), [1, 2]);
        assert_eq!(
            serde_json::from_str::<CredentialId>("\"AQI\"")
                .unwrap()
                .to_string(),
            "AQI"
        );
        assert!(serde_json::from_str::<CredentialId>("\"\"").is_err());
    }
}
