//! A certificate as attestation needs to see it (RFC 5280): verbatim bytes beside a parsed view.
//!
//! Nothing here is trusted until [`path::find`] has led it to an anchor. Budgets: 16 KiB a certificate, 32 extensions,
//! 32 name attributes; no recursion. Tolerated because vendors ship it: names that differ in string type only, serial
//! numbers of any length, roots without basicConstraints, times that are none
//! (such a certificate parses and is never valid). Not here: revocation lists (metadata carries the status of
//! models), names of hosts (only the metadata signer has one; see `metadata.rs`).

pub mod name;
pub mod oid;
pub mod path;
pub mod signature;

use time::OffsetDateTime;

use crate::asn1::{Asn1Error, Element, Reader, Tag, dotted};
use name::Name;
use signature::{Curve, Digest, KeyKind, Scheme};

/// The largest certificate that is looked at, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;
/// The validity of a certificate whose times do not parse: it ends before it begins.
pub const NEVER: (OffsetDateTime, OffsetDateTime) = (
    time::PrimitiveDateTime::MAX.assume_utc(),
    time::PrimitiveDateTime::MIN.assume_utc(),
);
/// The most extensions that a certificate may have.
const MAX_EXTENSIONS: usize = 32;

/// Why bytes are not a certificate that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Over [`MAX_LENGTH`], or more extensions or name attributes than their budgets.
    #[error("certificate is larger than the budget")]
    TooLarge,
    /// Not DER, or not the structure of RFC 5280.
    #[error("certificate is malformed: {0}")]
    Malformed(Asn1Error),
    /// The same extension twice.
    #[error("certificate has an extension twice")]
    DuplicateExtension,
    /// The two places that name the signature algorithm differ.
    #[error("certificate names two signature algorithms")]
    AlgorithmMismatch,
    /// Not PEM, or not a PEM certificate.
    #[error("not a PEM certificate")]
    NotPem,
}

impl From<Asn1Error> for CertificateError {
    fn from(error: Asn1Error) -> Self {
        Self::Malformed(error)
    }
}

/// A parsed certificate. Parsed is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    to_be_signed: Vec<u8>,
    version: u32,
    serial: Vec<u8>,
    issuer: Name,
    subject: Name,
    validity: (OffsetDateTime, OffsetDateTime),
    public_key: PublicKeyInfo,
    extensions: Vec<Extension>,
    scheme: Option<Scheme>,
    signature: Vec<u8>,
}

/// One extension, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Encoded object identifier.
    pub oid: Vec<u8>,
    /// Whether who does not understand it must refuse the certificate.
    pub critical: bool,
    /// The contents of its OCTET STRING.
    pub value: Vec<u8>,
}

/// basicConstraints, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the key may sign certificates.
    pub ca: bool,
    /// How many intermediates may follow.
    pub path_length: Option<u32>,
}

impl Certificate {
    /// Reads one DER certificate that fills `der` exactly.
    ///
    /// # Errors
    /// [`CertificateError`]; never panics, never allocates more than a few times the input.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_LENGTH {
            return Err(CertificateError::TooLarge);
        }
        let mut outer = Reader::new(der);
        let mut certificate = outer.sequence()?;
        outer.finish()?;
        let tbs = certificate.expect(Tag::SEQUENCE)?;
        let algorithm = certificate.expect(Tag::SEQUENCE)?;
        let signature = certificate.expect(Tag::BIT_STRING)?.whole_bits()?.to_vec();
        certificate.finish()?;

        let mut fields = tbs.contents();
        let version = match fields.optional(Tag::context(0))? {
            Some(explicit) => {
                let mut inner = explicit.contents();
                let version = inner.expect(Tag::INTEGER)?.small_integer()?;
                inner.finish()?;
                version.saturating_add(1)
            }
            None => 1,
        };
        let serial = fields.expect(Tag::INTEGER)?.value.to_vec();
        if !is_same_algorithm(&fields.expect(Tag::SEQUENCE)?, &algorithm) {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let issuer = Name::read(&fields.expect(Tag::SEQUENCE)?)?;
        let mut validity = fields.sequence()?;
        let (not_before, not_after) = (validity.element()?, validity.element()?);
        validity.finish()?;
        let subject = Name::read(&fields.expect(Tag::SEQUENCE)?)?;
        let public_key = PublicKeyInfo::read(&fields.expect(Tag::SEQUENCE)?)?;
        // issuerUniqueID, subjectUniqueID: long dead, skipped.
        fields.optional(Tag::context_primitive(1))?;
        fields.optional(Tag::context_primitive(2))?;
        let extensions = match fields.optional(Tag::context(3))? {
            Some(explicit) => read_extensions(&explicit)?,
            None => Vec::new(),
        };
        fields.finish()?;
        Ok(Self {
            der: der.to_vec(),
            to_be_signed: tbs.raw.to_vec(),
            version,
            serial,
            issuer,
            subject,
            validity: instant(&not_before)
                .ok()
                .zip(instant(&not_after).ok())
                .unwrap_or(NEVER),
            public_key,
            extensions,
            scheme: scheme_of(&algorithm)?,
            signature,
        })
    }

    /// Reads every certificate of a PEM text; other blocks are skipped.
    ///
    /// # Errors
    /// [`CertificateError::NotPem`] when there is none, or the error of the first that does not parse.
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        use rustls_pki_types::{CertificateDer, pem::PemObject as _};
        let mut all = Vec::new();
        // A byte order mark, which Windows editors write.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for block in CertificateDer::pem_slice_iter(text) {
            all.push(Self::from_der(
                &block.map_err(|_| CertificateError::NotPem)?,
            )?);
        }
        if all.is_empty() {
            return Err(CertificateError::NotPem);
        }
        Ok(all)
    }

    /// The bytes, as they came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// X.509 version: 1, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The serial number's contents octets.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Whom it is about.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Who claims to have signed it.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The first and last instant of its validity; when they are no times, an empty span ([`NEVER`]).
    #[must_use]
    pub fn validity(&self) -> (OffsetDateTime, OffsetDateTime) {
        self.validity
    }

    /// Whether `at` lies within its validity, both ends included (RFC 5280 §4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, at: OffsetDateTime) -> bool {
        self.validity.0 <= at && at <= self.validity.1
    }

    /// The certified key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKeyInfo {
        &self.public_key
    }

    /// The extension with that encoded identifier.
    #[must_use]
    pub fn extension(&self, oid: &[u8]) -> Option<&Extension> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid)
    }

    /// All extensions.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Whether its signature rests on SHA-1.
    #[must_use]
    pub fn is_weakly_signed(&self) -> bool {
        self.scheme.is_some_and(Scheme::is_weak)
    }

    /// Whether `issuer`'s key made this certificate's signature. Says nothing about names or validity.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKeyInfo) -> bool {
        self.scheme
            .is_some_and(|scheme| scheme.verifies(issuer, &self.to_be_signed, &self.signature))
    }

    /// basicConstraints; `None` when absent.
    ///
    /// # Errors
    /// [`Asn1Error`] when present and not decodable.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, Asn1Error> {
        let Some(extension) = self.extension(oid::BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let mut outer = Reader::new(&extension.value);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        let ca = match fields.optional(Tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let path_length = match fields.optional(Tag::INTEGER)? {
            Some(length) => Some(length.small_integer()?),
            None => None,
        };
        fields.finish()?;
        Ok(Some(BasicConstraints { ca, path_length }))
    }

    /// Whether keyUsage, when present, lets the key sign certificates.
    ///
    /// # Errors
    /// [`Asn1Error`] when present and not decodable.
    pub fn may_sign_certificates(&self) -> Result<bool, Asn1Error> {
        let Some(extension) = self.extension(oid::KEY_USAGE) else {
            return Ok(true);
        };
        let mut reader = Reader::new(&extension.value);
        let bits = reader.expect(Tag::BIT_STRING)?;
        reader.finish()?;
        // keyCertSign is bit 5, counted from the most significant of the first octet after "unused bits".
        Ok(bits.value.get(1).is_some_and(|octet| octet & 0x04 != 0))
    }

    /// The purposes of extKeyUsage, as encoded identifiers; empty when absent.
    ///
    /// # Errors
    /// [`Asn1Error`] when present and not decodable.
    pub fn extended_key_usage(&self) -> Result<Vec<&[u8]>, Asn1Error> {
        let Some(extension) = self.extension(oid::EXTENDED_KEY_USAGE) else {
            return Ok(Vec::new());
        };
        let mut outer = Reader::new(&extension.value);
        let mut list = outer.sequence()?;
        outer.finish()?;
        let mut purposes = Vec::new();
        while !list.is_empty() {
            purposes.push(list.expect(Tag::OID)?.value);
        }
        Ok(purposes)
    }

    /// The AAGUID of id-fido-gen-ce-aaguid: an OCTET STRING of 16 bytes inside the extension's own (WebAuthn §8.2.1).
    ///
    /// # Errors
    /// [`Asn1Error`] when present and not exactly that.
    pub fn fido_aaguid(&self) -> Result<Option<[u8; 16]>, Asn1Error> {
        let Some(extension) = self.extension(oid::FIDO_AAGUID) else {
            return Ok(None);
        };
        let mut reader = Reader::new(&extension.value);
        let inner = reader.expect(Tag::OCTET_STRING)?;
        reader.finish()?;
        inner
            .value
            .try_into()
            .map(Some)
            .map_err(|_| Asn1Error::InvalidValue)
    }

    /// The transports of id-fido-u2f-ce-transports, as bits: 0 Bluetooth Classic, 1 Bluetooth LE, 2 USB, 3 NFC, 4 internal USB.
    #[must_use]
    pub fn fido_transports(&self) -> Option<u8> {
        let mut reader = Reader::new(&self.extension(oid::FIDO_TRANSPORTS)?.value);
        let bits = reader.expect(Tag::BIT_STRING).ok()?;
        bits.value.get(1).map(|octet| octet.reverse_bits())
    }

    /// The subject key identifier that it carries, if any.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        let mut reader = Reader::new(&self.extension(oid::SUBJECT_KEY_IDENTIFIER)?.value);
        reader.expect(Tag::OCTET_STRING).ok().map(|id| id.value)
    }

    /// The DNS names of subjectAltName, as they stand.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.alternative_names(Tag::context_primitive(2))
            .iter()
            .filter_map(|name| String::from_utf8(name.value.to_vec()).ok())
            .collect()
    }

    /// The directory names of subjectAltName that decode.
    #[must_use]
    pub fn directory_names(&self) -> Vec<Name> {
        self.alternative_names(Tag::context(4))
            .iter()
            .filter_map(|name| Name::read(&name.contents().expect(Tag::SEQUENCE).ok()?).ok())
            .collect()
    }

    fn alternative_names(&self, tag: Tag) -> Vec<Element<'_>> {
        let Some(extension) = self.extension(oid::SUBJECT_ALT_NAME) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if let Ok(mut names) = Reader::new(&extension.value).sequence() {
            while let Ok(name) = names.element() {
                if name.tag == tag {
                    found.push(name);
                }
            }
        }
        found
    }
}

/// A subjectPublicKeyInfo: what kind of key, and its bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyInfo {
    kind: KeyKind,
    bits: Vec<u8>,
    der: Vec<u8>,
}

impl PublicKeyInfo {
    /// Reads a DER subjectPublicKeyInfo that fills `der` exactly.
    ///
    /// # Errors
    /// [`Asn1Error`].
    pub fn from_der(der: &[u8]) -> Result<Self, Asn1Error> {
        let mut reader = Reader::new(der);
        let info = Self::read(&reader.expect(Tag::SEQUENCE)?)?;
        reader.finish()?;
        Ok(info)
    }

    fn read(element: &Element<'_>) -> Result<Self, Asn1Error> {
        let mut fields = element.contents();
        let mut algorithm = fields.sequence()?;
        let bits = fields.expect(Tag::BIT_STRING)?.whole_bits()?.to_vec();
        fields.finish()?;
        let kind = match algorithm.expect(Tag::OID)?.value {
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => KeyKind::Rsa,
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => match algorithm.element() {
                Ok(curve) if curve.tag == Tag::OID => match curve.value {
                    [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => KeyKind::Ec(Curve::P256),
                    [0x2b, 0x81, 0x04, 0x00, 0x22] => KeyKind::Ec(Curve::P384),
                    [0x2b, 0x81, 0x04, 0x00, 0x23] => KeyKind::Ec(Curve::P521),
                    _ => KeyKind::Other,
                },
                _ => KeyKind::Other,
            },
            [0x2b, 0x65, 0x70] => KeyKind::Ed25519,
            _ => KeyKind::Other,
        };
        Ok(Self {
            kind,
            bits,
            der: element.raw.to_vec(),
        })
    }

    /// What the key is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The contents of its BIT STRING: an uncompressed point, a PKCS#1 RSAPublicKey, 32 bytes of Ed25519.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// All of it, as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-1 of the key bits: RFC 5280 §4.2.1.2 method 1, how metadata names U2F attestation keys.
    #[must_use]
    pub fn key_identifier(&self) -> [u8; 20] {
        let mut id = [0; 20];
        for (to, from) in id.iter_mut().zip(Digest::Sha1.of(&self.bits)) {
            *to = from;
        }
        id
    }

    /// Modulus and exponent of an RSA key, without leading zeros.
    #[must_use]
    pub fn rsa_numbers(&self) -> Option<(&[u8], &[u8])> {
        if self.kind != KeyKind::Rsa {
            return None;
        }
        let mut outer = Reader::new(&self.bits);
        let mut key = outer.sequence().ok()?;
        let modulus = key.expect(Tag::INTEGER).ok()?.value;
        let exponent = key.expect(Tag::INTEGER).ok()?.value;
        Some((unpadded(modulus), unpadded(exponent)))
    }
}

/// Bytes of a big-endian number without its leading zeros.
pub(crate) fn unpadded(number: &[u8]) -> &[u8] {
    let start = number
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

fn read_extensions(explicit: &Element<'_>) -> Result<Vec<Extension>, CertificateError> {
    let mut inner = explicit.contents();
    let mut list = inner.sequence()?;
    inner.finish()?;
    let mut extensions: Vec<Extension> = Vec::new();
    while !list.is_empty() {
        if extensions.len() == MAX_EXTENSIONS {
            return Err(CertificateError::TooLarge);
        }
        let mut fields = list.sequence()?;
        let oid = fields.expect(Tag::OID)?.value.to_vec();
        let critical = match fields.optional(Tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let value = fields.expect(Tag::OCTET_STRING)?.value.to_vec();
        fields.finish()?;
        if extensions.iter().any(|known| known.oid == oid) {
            return Err(CertificateError::DuplicateExtension);
        }
        extensions.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(extensions)
}

/// Whether a certificate names one algorithm in both places. Old YubiKeys leave RSA's NULL parameters out of one: still the same scheme.
fn is_same_algorithm(a: &Element<'_>, b: &Element<'_>) -> bool {
    a.raw == b.raw
        || matches!(scheme_of(a), Ok(scheme @ Some(Scheme::RsaPkcs1(_))) if scheme_of(b) == Ok(scheme))
}

/// The scheme of a signature's AlgorithmIdentifier; `None` for one that we do not verify.
pub(crate) fn scheme_of(algorithm: &Element<'_>) -> Result<Option<Scheme>, Asn1Error> {
    let mut fields = algorithm.contents();
    Ok(match fields.expect(Tag::OID)?.value {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
            0x05 => Some(Scheme::RsaPkcs1(Digest::Sha1)),
            0x0b => Some(Scheme::RsaPkcs1(Digest::Sha256)),
            0x0c => Some(Scheme::RsaPkcs1(Digest::Sha384)),
            0x0d => Some(Scheme::RsaPkcs1(Digest::Sha512)),
            0x0a => pss_digest(fields).map(Scheme::RsaPss),
            _ => None,
        },
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
            0x02 => Some(Scheme::Ecdsa(Digest::Sha256)),
            0x03 => Some(Scheme::Ecdsa(Digest::Sha384)),
            0x04 => Some(Scheme::Ecdsa(Digest::Sha512)),
            _ => None,
        },
        [0x2b, 0x65, 0x70] => Some(Scheme::Ed25519),
        _ => None,
    })
}

/// The hash of RSASSA-PSS parameters ([0] hashAlgorithm); the default, SHA-1, is not verified.
fn pss_digest(mut fields: Reader<'_>) -> Option<Digest> {
    let mut parameters = fields.sequence().ok()?;
    let hash = parameters.optional(Tag::context(0)).ok()??;
    match hash
        .contents()
        .sequence()
        .ok()?
        .expect(Tag::OID)
        .ok()?
        .value
    {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Digest::Sha256),
            2 => Some(Digest::Sha384),
            3 => Some(Digest::Sha512),
            _ => None,
        },
        _ => None,
    }
}

/// UTCTime `YYMMDDHHMMSSZ` or GeneralizedTime `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
pub(crate) fn instant(element: &Element<'_>) -> Result<OffsetDateTime, Asn1Error> {
    let digits = match element.value.split_last() {
        Some((b'Z', digits)) if digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return Err(Asn1Error::InvalidValue),
    };
    let number = |from: usize, to: usize| -> Option<u16> {
        let field = digits.get(from..to)?;
        std::str::from_utf8(field).ok()?.parse().ok()
    };
    let (year, rest) = match (element.tag, digits.len()) {
        (Tag::UTC_TIME, 12) => {
            let short = number(0, 2).ok_or(Asn1Error::InvalidValue)?;
            let century = if short < 50 { 2000 } else { 1900 };
            (short.saturating_add(century), 2)
        }
        (Tag::GENERALIZED_TIME, 14) => (number(0, 4).ok_or(Asn1Error::InvalidValue)?, 4),
        _ => return Err(Asn1Error::InvalidValue),
    };
    let part = |index: usize| -> Option<u8> {
        let from = index.checked_mul(2)?.checked_add(rest)?;
        u8::try_from(number(from, from.checked_add(2)?)?).ok()
    };
    let build = || -> Option<OffsetDateTime> {
        let month = time::Month::try_from(part(0)?).ok()?;
        let date = time::Date::from_calendar_date(i32::from(year), month, part(1)?).ok()?;
        let clock = time::Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?;
        Some(OffsetDateTime::new_utc(date, clock))
    };
    build().ok_or(Asn1Error::InvalidValue)
}

impl Extension {
    /// Its identifier in dotted form, for people.
    #[must_use]
    pub fn dotted(&self) -> String {
        dotted(&self.oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn element(bytes: &[u8]) -> Element<'_> {
        Reader::new(bytes).element().unwrap()
    }

    #[test]
    fn reads_both_kinds_of_time() {
        let utc = [&[0x17, 13][..], b"491231235959Z"].concat();
        assert_eq!(
            instant(&element(&utc)),
            Ok(datetime!(2049-12-31 23:59:59 UTC))
        );
        let utc = [&[0x17, 13][..], b"500101000000Z"].concat();
        assert_eq!(
            instant(&element(&utc)),
            Ok(datetime!(1950-01-01 00:00:00 UTC))
        );
        let general = [&[0x18, 15][..], b"99991231235959Z"].concat();
        assert_eq!(
            instant(&element(&general)),
            Ok(datetime!(9999-12-31 23:59:59 UTC))
        );
    }

    #[test]
    fn refuses_times_that_are_none() {
        for bytes in [
            &b"\x17\x0d4912312359590"[..],
            b"\x17\x0d491331235959Z",
            b"\x17\x0b4912312359Z",
            b"\x18\x0d491231235959Z",
        ] {
            assert_eq!(instant(&element(bytes)), Err(Asn1Error::InvalidValue));
        }
    }

    #[test]
    fn reads_what_rcgen_writes() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["mds.example".to_owned()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(2));
        parameters.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let der = parameters.self_signed(&key).unwrap();
        let certificate = Certificate::from_der(der.der()).unwrap();
        assert_eq!(certificate.version(), 3);
        assert_eq!(certificate.public_key().kind(), KeyKind::Ec(Curve::P384));
        assert_eq!(
            certificate.basic_constraints(),
            Ok(Some(BasicConstraints {
                ca: true,
                path_length: Some(2)
            }))
        );
        assert_eq!(certificate.may_sign_certificates(), Ok(true));
        assert_eq!(certificate.dns_names(), ["mds.example"]);
        assert!(certificate.is_signed_by(certificate.public_key()));
        assert_eq!(certificate.fido_aaguid(), Ok(None));
    }

    #[test]
    fn never_verifies_with_a_bit_flipped() {
        let key = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap()
            .der()
            .to_vec();
        let original = Certificate::from_der(&der).unwrap();
        for position in 0..der.len() {
            let mut flipped = der.clone();
            flipped[position] ^= 1;
            if let Ok(certificate) = Certificate::from_der(&flipped)
                && certificate.is_signed_by(original.public_key())
            {
                // The count of unused bits of the signature, which is ignored.
                assert_eq!(der[position], 0, "{position}");
                assert_eq!(der.len() - position - 1, original.signature.len());
            }
        }
    }

    #[test]
    fn refuses_more_than_the_budget() {
        assert_eq!(
            Certificate::from_der(&vec![0x30; MAX_LENGTH + 1]),
            Err(CertificateError::TooLarge)
        );
    }
}
