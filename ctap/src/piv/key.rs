//! Keys (SP 800-73-4 Part 2 §3.2.4, §3.3.2; SP 800-78-4 for the algorithms): signing, generating, attesting.
//!
//! The caller hands over a digest and says of which kind. Signatures and public keys come back as the card gave them, of the right shape and
//! length; whether they verify is `sceau-proof`'s business.

use super::{PivCard, structure};
use crate::error::{Error, ReplyError};
use crate::port::ApduPort;
use crate::tlv;

const GENERAL_AUTHENTICATE: u8 = 0x87;
const GENERATE: u8 = 0x47;
/// Yubico's ATTEST, also in others' applets.
const ATTEST: u8 = 0xf9;

/// Dynamic authentication template and its members (Part 2 table 7).
pub(super) const TEMPLATE: u32 = 0x7c;
pub(super) const WITNESS: u32 = 0x80;
pub(super) const CHALLENGE: u32 = 0x81;
pub(super) const RESPONSE: u32 = 0x82;

/// Object identifiers of keys, DER contents (RFC 3279 §2.3.1, RFC 5480 §2.1.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVE_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const CURVE_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// A key reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// 9A, PIV authentication: PIN once per selection.
    Authentication,
    /// 9C, digital signature: PIN every time. The one that approves.
    Signature,
    /// 9D, key management.
    KeyManagement,
    /// 9E, card authentication: no PIN. Proves presence only.
    CardAuthentication,
}

impl Slot {
    /// The key reference on the wire.
    #[must_use]
    pub fn reference(self) -> u8 {
        match self {
            Self::Authentication => 0x9a,
            Self::Signature => 0x9c,
            Self::KeyManagement => 0x9d,
            Self::CardAuthentication => 0x9e,
        }
    }

    pub(super) fn certificate_tag(self) -> u32 {
        match self {
            Self::Authentication => 0x5f_c105,
            Self::Signature => 0x5f_c10a,
            Self::KeyManagement => 0x5f_c10b,
            Self::CardAuthentication => 0x5f_c101,
        }
    }
}

/// A key's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits, PKCS #1 v1.5.
    Rsa2048,
    /// RSA of 3072 bits, PKCS #1 v1.5.
    Rsa3072,
    /// RSA of 4096 bits, PKCS #1 v1.5.
    Rsa4096,
}

impl KeyKind {
    /// The algorithm identifier (SP 800-78-4 table 6-2; 3072 and 4096 as SP 800-78-5 and Yubico number them).
    #[must_use]
    pub fn identifier(self) -> u8 {
        match self {
            Self::P256 => 0x11,
            Self::P384 => 0x14,
            Self::Rsa2048 => 0x07,
            Self::Rsa3072 => 0x05,
            Self::Rsa4096 => 0x16,
        }
    }

    /// The kind with this algorithm identifier.
    #[must_use]
    pub fn of_identifier(identifier: u8) -> Option<Self> {
        [
            Self::P256,
            Self::P384,
            Self::Rsa2048,
            Self::Rsa3072,
            Self::Rsa4096,
        ]
        .into_iter()
        .find(|kind| kind.identifier() == identifier)
    }

    /// Bytes of a field element or modulus.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::Rsa2048 => 256,
            Self::Rsa3072 => 384,
            Self::Rsa4096 => 512,
        }
    }

    /// The kind of the key in a certificate (DER, unverified): what a card's slot can do, as the card itself tells it.
    ///
    /// `None` for other algorithms and for what is not a certificate. Signatures are verified elsewhere, against a verified certificate.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        // Certificate → tbsCertificate → subjectPublicKeyInfo: the sixth member after the optional version (RFC 5280 §4.1).
        let certificate = tlv::element(der).ok()?.0.value;
        let fields = tlv::elements(tlv::element(certificate).ok()?.0.value).ok()?;
        let key = fields
            .iter()
            .filter(|field| field.tag != 0xa0)
            .nth(5)?
            .value;
        let (algorithm, rest) = tlv::element(key).ok()?;
        let bits = tlv::only(rest, 0x03).ok()?.strip_prefix(&[0])?;
        let algorithm = tlv::elements(algorithm.value).ok()?;
        let oid = algorithm.first().filter(|oid| oid.tag == 0x06)?.value;
        if oid == RSA_ENCRYPTION {
            let modulus = tlv::find(tlv::only(bits, 0x30).ok()?, 0x02).ok()??;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            return [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096]
                .into_iter()
                .find(|kind| kind.size() == modulus.len());
        }
        let curve = algorithm
            .get(1)
            .filter(|curve| oid == EC_PUBLIC_KEY && curve.tag == 0x06)?
            .value;
        match curve {
            CURVE_P256 => Some(Self::P256),
            CURVE_P384 => Some(Self::P384),
            _ => None,
        }
    }

    fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }
}

/// What is to be signed: a digest and the algorithm that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
}

/// DigestInfo up to the digest (RFC 8017 §9.2 note 1).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
const SHA384_INFO: [u8; 19] = [
    0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
    0x00, 0x04, 0x30,
];

impl Digest {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(digest) => digest,
            Self::Sha384(digest) => digest,
        }
    }

    /// The block that a key of `kind` signs: for RSA the padded DigestInfo (RFC 8017 §9.2), for ECDSA the digest in the field's length,
    /// leading zeros added or the right end cut (FIPS 186-5 §6.4.1).
    #[must_use]
    pub fn block(&self, kind: KeyKind) -> Vec<u8> {
        let digest = self.bytes();
        if kind.is_rsa() {
            let info: &[u8] = match self {
                Self::Sha256(_) => &SHA256_INFO,
                Self::Sha384(_) => &SHA384_INFO,
            };
            let filler = kind
                .size()
                .saturating_sub(info.len())
                .saturating_sub(digest.len())
                .saturating_sub(3);
            return [
                &[0x00, 0x01][..],
                &vec![0xff; filler],
                &[0x00],
                info,
                digest,
            ]
            .concat();
        }
        let zeros = kind.size().saturating_sub(digest.len());
        [&vec![0; zeros], digest]
            .concat()
            .into_iter()
            .take(kind.size())
            .collect()
    }
}

/// A public key as the card gave it, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An uncompressed point (04 ‖ x ‖ y).
    Point(Vec<u8>),
    /// An RSA key, big-endian.
    Rsa {
        /// Modulus, of the kind's exact length.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads the answer to GENERATE ASYMMETRIC KEY PAIR (Part 2 table 11).
    pub fn read(answer: &[u8], kind: KeyKind) -> Result<Self, Error> {
        let invalid = structure("public key");
        let content = tlv::only(answer, 0x7f49).map_err(|_| invalid)?;
        let find = |tag| tlv::find(content, tag).ok().flatten().ok_or(invalid);
        if kind.is_rsa() {
            let (modulus, exponent) = (find(0x81)?, find(0x82)?);
            // Some cards put a zero in front, as in DER.
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            if modulus.len() != kind.size() || exponent.is_empty() || exponent.len() > 8 {
                return Err(invalid);
            }
            return Ok(Self::Rsa {
                modulus: modulus.to_vec(),
                exponent: exponent.to_vec(),
            });
        }
        let point = find(0x86)?;
        let length = kind.size().saturating_mul(2).saturating_add(1);
        if point.len() == length && point.first() == Some(&4) {
            Ok(Self::Point(point.to_vec()))
        } else {
            Err(invalid)
        }
    }
}

/// When the card asks for the PIN or a touch; cards that know no policies ignore or refuse them (Yubico's extension of GENERATE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Never.
    Never = 1,
    /// PIN: once per selection. Touch: every time.
    Usual = 2,
    /// PIN: every time. Touch: cached for 15 seconds.
    Strict = 3,
}

impl<P: ApduPort> PivCard<P> {
    /// GENERAL AUTHENTICATE: the signature of `slot`'s key over `digest`. ECDSA: DER; RSA: as long as the modulus.
    ///
    /// Errors: [`crate::StatusWord::SECURITY_STATUS`] when the PIN is to be verified first.
    pub fn sign(&mut self, slot: Slot, kind: KeyKind, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        tlv::write(&mut content, RESPONSE, &[]);
        tlv::write(&mut content, CHALLENGE, &digest.block(kind));
        let answer = self.authenticate(kind.identifier(), slot.reference(), &content)?;
        let signature = tlv::find(&answer, RESPONSE)
            .ok()
            .flatten()
            .ok_or(structure("signature"))?;
        let fits = if kind.is_rsa() {
            signature.len() == kind.size()
        } else {
            // SEQUENCE of two INTEGERs, each with at most one leading zero.
            signature.first() == Some(&0x30)
                && signature.len() <= kind.size().saturating_mul(2).saturating_add(9)
        };
        if fits {
            Ok(signature.to_vec())
        } else {
            Err(ReplyError::Invalid("signature").into())
        }
    }

    /// GENERATE ASYMMETRIC KEY PAIR, after management-key authentication: replaces the key of `slot` for good.
    pub fn generate(
        &mut self,
        slot: Slot,
        kind: KeyKind,
        pin: Option<Policy>,
        touch: Option<Policy>,
    ) -> Result<PublicKey, Error> {
        let mut control = Vec::new();
        tlv::write(&mut control, 0x80, &[kind.identifier()]);
        for (tag, policy) in [(0xaa, pin), (0xab, touch)] {
            if let Some(policy) = policy {
                tlv::write(&mut control, tag, &[policy as u8]);
            }
        }
        let mut data = Vec::new();
        tlv::write(&mut data, 0xac, &control);
        let answer = self.send(GENERATE, 0x00, slot.reference(), &data)?.ok()?;
        PublicKey::read(&answer, kind)
    }

    /// ATTEST: a certificate by the card that `slot`'s key was generated on it, in DER, unverified. [`Error::Card`] on cards without it and
    /// for keys that were imported.
    pub fn attest(&mut self, slot: Slot) -> Result<Vec<u8>, Error> {
        let certificate = self.send(ATTEST, slot.reference(), 0x00, &[])?.ok()?;
        if certificate.len() > super::object::MAX_CERTIFICATE {
            return Err(ReplyError::TooLarge("attestation").into());
        }
        if certificate.first() == Some(&0x30) {
            Ok(certificate)
        } else {
            Err(structure("attestation"))
        }
    }

    /// GENERAL AUTHENTICATE with `content` inside the dynamic authentication template; the answer's content.
    pub(super) fn authenticate(
        &mut self,
        algorithm: u8,
        reference: u8,
        content: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut data = Vec::new();
        tlv::write(&mut data, TEMPLATE, content);
        let answer = self
            .send(GENERAL_AUTHENTICATE, algorithm, reference, &data)?
            .ok()?;
        Ok(tlv::only(&answer, TEMPLATE)
            .map_err(|_| structure("authentication template"))?
            .to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_length_that_the_key_signs() {
        let digest = Digest::Sha256([0xaa; 32]);
        assert_eq!(digest.block(KeyKind::P256), [0xaa; 32]);
        assert_eq!(
            digest.block(KeyKind::P384),
            [vec![0; 16], vec![0xaa; 32]].concat()
        );
        assert_eq!(Digest::Sha384([0xbb; 48]).block(KeyKind::P256), [0xbb; 32]);
        for (kind, size) in [
            (KeyKind::Rsa2048, 256),
            (KeyKind::Rsa3072, 384),
            (KeyKind::Rsa4096, 512),
        ] {
            let block = digest.block(kind);
            assert_eq!(block.len(), size);
            assert_eq!(block[..3], [0, 1, 0xff]);
            let end = size - 32 - 19 - 1;
            assert_eq!(block[end..end + 3], [0, 0x30, 0x31]);
            assert!(block[2..end].iter().all(|byte| *byte == 0xff));
        }
    }

    #[test]
    fn public_keys_of_a_wrong_length_are_refused() {
        let key = |tag, value: &[u8]| {
            let mut content = Vec::new();
            tlv::write(&mut content, tag, value);
            let mut answer = Vec::new();
            tlv::write(&mut answer, 0x7f49, &content);
            answer
        };
        let point = [&[4][..], &[1; 64]].concat();
        assert_eq!(
            PublicKey::read(&key(0x86, &point), KeyKind::P256),
            Ok(PublicKey::Point(point.clone()))
        );
        assert_eq!(
            PublicKey::read(&key(0x86, &point), KeyKind::P384),
            Err(structure("public key"))
        );
        assert_eq!(
            PublicKey::read(&key(0x86, &[2; 65]), KeyKind::P256),
            Err(structure("public key"))
        );
        assert_eq!(
            PublicKey::read(&key(0x81, &[1; 256]), KeyKind::Rsa2048),
            Err(structure("public key")),
            "no exponent"
        );
    }
}
