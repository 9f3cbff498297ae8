//! OCSP (RFC 6960): one certificate's standing, by the word of its issuer or of a responder that the issuer appointed.
//!
//! A [`Question`] gives the request; an [`Answer`] is what came back, read but not trusted. `issuer` checks it where it is used: signed by the issuer
//! itself, or by a certificate that this very issuer signed for OCSP (§4.2.2.2: id-kp-OCSPSigning, valid now); of this certificate; of this time.
//! The signed bytes are kept as they came. (`x509-ocsp` gives the parsed value only, to be encoded again before its signature can be checked.)
//! CertID has SHA-1, as RFC 5019 asks and responders know: it names a certificate, and nothing rests on it but which answer is meant; the
//! serial number is compared too, and the signer is the issuer's.
//! Deliberately elsewhere: sending and keeping (the caller).

use time::{Duration, OffsetDateTime};

use crate::asn1::{Asn1Error, Element, Reader, Tag};
use crate::certificate::signature::{Digest, Scheme};
use crate::certificate::{Certificate, PublicKeyInfo, oid};

/// Longest response that is read.
pub const MAX_RESPONSE: usize = 64 << 10;
/// Bytes of a nonce (RFC 9654).
pub const NONCE: usize = 32;
/// How far a responder's clock may be ahead of ours.
pub const SKEW: Duration = Duration::minutes(2);

/// The most certificates and single responses in one response.
const MAX_CERTIFICATES: usize = 8;
const MAX_SINGLE: usize = 64;

/// 1.3.14.3.2.26 and 2.16.840.1.101.3.4.2.1.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// 1.3.6.1.5.5.7.48.1.1, id-pkix-ocsp-basic.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// 1.3.6.1.5.5.7.48.1.2, id-pkix-ocsp-nonce.
const NONCE_EXTENSION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// 1.3.6.1.5.5.7.3.9, id-kp-OCSPSigning.
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

/// Which certificate is asked about (CertID).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

/// DER of one element.
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend(contents);
    out
}

impl Question {
    /// About this certificate, whose issuer is that one.
    #[must_use]
    pub fn about(certificate: &Certificate, issuer: &Certificate) -> Self {
        Self {
            name_hash: Digest::Sha1.of(certificate.issuer().der()),
            key_hash: issuer.public_key().key_identifier().to_vec(),
            serial: certificate.serial().to_vec(),
        }
    }

    /// OCSPRequest (§4.1.1), DER, unsigned, with this nonce if there is one.
    #[must_use]
    pub fn request(&self, nonce: Option<&[u8; NONCE]>) -> Vec<u8> {
        let algorithm = element(0x30, &[&element(0x06, &[SHA1]), &[5, 0]]);
        let id = element(
            0x30,
            &[
                &algorithm,
                &element(0x04, &[&self.name_hash]),
                &element(0x04, &[&self.key_hash]),
                &element(0x02, &[&self.serial]),
            ],
        );
        let list = element(0x30, &[&element(0x30, &[&id])]);
        let extensions = nonce.map(|nonce| {
            let value = element(0x04, &[&element(0x04, &[nonce])]);
            let extension = element(0x30, &[&element(0x06, &[NONCE_EXTENSION]), &value]);
            element(0xa2, &[&element(0x30, &[&extension])])
        });
        element(
            0x30,
            &[&element(0x30, &[&list, &extensions.unwrap_or_default()])],
        )
    }

    /// CertID (§4.1.1) is this one.
    fn is(&self, id: &Element<'_>) -> Result<bool, Asn1Error> {
        let mut fields = id.contents();
        let algorithm = fields.sequence()?.expect(Tag::OID)?.value;
        let name = fields.expect(Tag::OCTET_STRING)?.value;
        let key = fields.expect(Tag::OCTET_STRING)?.value;
        let serial = fields.expect(Tag::INTEGER)?.value;
        fields.finish()?;
        Ok(algorithm == SHA1
            && (name, key, serial) == (&self.name_hash, &self.key_hash, &self.serial))
    }
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Malformed: not DER of this form, or over the budget.
    #[error("not an OCSP response: {0}")]
    Malformed(#[from] Asn1Error),
    /// Malformed: longer, or with more parts, than any honest one.
    #[error("an OCSP response over the budget")]
    TooLarge,
    /// Unavailable: the responder gives none, with this status (§4.2.1).
    #[error("the OCSP responder gives no answer (status {0})")]
    Status(u32),
    /// Unsupported: another type of response, algorithm, or a critical extension.
    #[error("a kind of OCSP response that is not judged")]
    Unsupported,
    /// Rejected: the answer is to another nonce, or to none where one is demanded.
    #[error("the OCSP response is to another question")]
    Nonce,
}

/// What a response says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    Revoked,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Single {
    id: Vec<u8>,
    standing: Standing,
    this_update: OffsetDateTime,
    next_update: Option<OffsetDateTime>,
}

/// A responder's answer, read but not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    to_be_signed: Vec<u8>,
    /// ResponderID: [1] byName or [2] byKey, as it came.
    responder: Vec<u8>,
    singles: Vec<Single>,
    nonce: Option<Vec<u8>>,
    scheme: Scheme,
    signature: Vec<u8>,
    certificates: Vec<Certificate>,
}

/// What an answer does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// Nothing of this certificate.
    Missing,
    /// Signed by nobody who may.
    Responder,
    /// Not by the key that it names.
    Signature,
    /// Not of this time.
    NotFresh,
    /// The responder does not know the certificate.
    Unknown,
    /// Revoked.
    Revoked,
}

impl Answer {
    /// Reads an OCSPResponse (§4.2.1), DER.
    ///
    /// # Errors
    /// [`OcspError`].
    pub fn read(bytes: &[u8]) -> Result<Self, OcspError> {
        if bytes.len() > MAX_RESPONSE {
            return Err(OcspError::TooLarge);
        }
        let mut outer = Reader::new(bytes);
        let mut response = outer.sequence()?;
        outer.finish()?;
        match response.expect(Tag::ENUMERATED)?.small_integer()? {
            0 => {}
            status => return Err(OcspError::Status(status)),
        }
        let mut wrapped = response.expect(Tag::context(0))?.contents();
        response.finish()?;
        let mut typed = wrapped.sequence()?;
        wrapped.finish()?;
        if typed.expect(Tag::OID)?.value != BASIC {
            return Err(OcspError::Unsupported);
        }
        let basic = typed.expect(Tag::OCTET_STRING)?.value;
        typed.finish()?;
        Self::read_basic(basic)
    }

    /// BasicOCSPResponse.
    fn read_basic(der: &[u8]) -> Result<Self, OcspError> {
        let mut outer = Reader::new(der);
        let mut basic = outer.sequence()?;
        outer.finish()?;
        let data = basic.expect(Tag::SEQUENCE)?;
        let algorithm = basic.expect(Tag::SEQUENCE)?;
        let signature = basic.expect(Tag::BIT_STRING)?.whole_bits()?.to_vec();
        let certificates = match basic.optional(Tag::context(0))? {
            Some(explicit) => certificates(&explicit)?,
            None => Vec::new(),
        };
        basic.finish()?;
        let scheme = crate::certificate::scheme_of(&algorithm)?.ok_or(OcspError::Unsupported)?;
        if scheme.is_weak() {
            return Err(OcspError::Unsupported);
        }

        let mut fields = data.contents();
        // version: v1 is the default, and left out; nothing else is known.
        if fields.optional(Tag::context(0))?.is_some() {
            return Err(OcspError::Unsupported);
        }
        let responder = fields.element()?;
        if responder.tag != Tag::context(1) && responder.tag != Tag::context(2) {
            return Err(Asn1Error::UnexpectedTag.into());
        }
        crate::certificate::instant(&fields.expect(Tag::GENERALIZED_TIME)?)?;
        let singles = singles(&fields.expect(Tag::SEQUENCE)?)?;
        let nonce = match fields.optional(Tag::context(1))? {
            Some(explicit) => nonce(&explicit)?,
            None => None,
        };
        fields.finish()?;
        Ok(Self {
            to_be_signed: data.raw.to_vec(),
            responder: responder.raw.to_vec(),
            singles,
            nonce,
            scheme,
            signature,
            certificates,
        })
    }

    /// Whether it is to the question with this nonce. Without a nonce in it that is not known; `demanded`: then it is not.
    ///
    /// # Errors
    /// [`OcspError::Nonce`].
    pub fn fits(&self, nonce: &[u8; NONCE], demanded: bool) -> Result<(), OcspError> {
        match &self.nonce {
            Some(theirs) if theirs == nonce => Ok(()),
            None if !demanded => Ok(()),
            _ => Err(OcspError::Nonce),
        }
    }

    /// When the responder promises the next answer about this certificate, if it does.
    #[must_use]
    pub fn next_update(&self, question: &Question) -> Option<OffsetDateTime> {
        self.single(question)?.next_update
    }

    fn single(&self, question: &Question) -> Option<&Single> {
        self.singles.iter().find(|single| {
            Reader::new(&single.id)
                .expect(Tag::SEQUENCE)
                .and_then(|id| question.is(&id))
                .unwrap_or(false)
        })
    }

    /// Whether it shows, at this time, that the certificate is good. A revocation counts however old, when it is signed by who may.
    pub(super) fn judge(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        max_age: Duration,
        at: OffsetDateTime,
    ) -> Result<(), Doubt> {
        let single = self
            .single(&Question::about(certificate, issuer))
            .ok_or(Doubt::Missing)?;
        let signer = self.signer(issuer, at).ok_or(Doubt::Responder)?;
        if !self
            .scheme
            .verifies(signer, &self.to_be_signed, &self.signature)
        {
            return Err(Doubt::Signature);
        }
        if single.standing == Standing::Revoked {
            return Err(Doubt::Revoked);
        }
        let oldest = at.checked_sub(max_age);
        let latest = at.checked_add(SKEW);
        if latest.is_none_or(|latest| single.this_update > latest)
            || oldest.is_none_or(|oldest| single.this_update < oldest)
            || single.next_update.is_some_and(|next| next < at)
        {
            return Err(Doubt::NotFresh);
        }
        match single.standing {
            Standing::Good => Ok(()),
            _ => Err(Doubt::Unknown),
        }
    }

    /// The key that the response names and that may sign it: the issuer's, or a delegate's (§4.2.2.2).
    fn signer<'a>(
        &'a self,
        issuer: &'a Certificate,
        at: OffsetDateTime,
    ) -> Option<&'a PublicKeyInfo> {
        if self.is_named(issuer) {
            return Some(issuer.public_key());
        }
        self.certificates
            .iter()
            .find(|delegate| self.is_named(delegate) && may_answer(delegate, issuer, at))
            .map(Certificate::public_key)
    }

    /// ResponderID is this certificate's subject, or the SHA-1 of its key.
    fn is_named(&self, certificate: &Certificate) -> bool {
        let mut reader = Reader::new(&self.responder);
        let Ok(choice) = reader.element() else {
            return false;
        };
        let mut contents = choice.contents();
        if choice.tag == Tag::context(1) {
            return choice.value == certificate.subject().der();
        }
        contents
            .expect(Tag::OCTET_STRING)
            .is_ok_and(|hash| hash.value == certificate.public_key().key_identifier())
    }

    /// The delegates' certificates, for lists on which they might be.
    pub(super) fn delegates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// Signed by that issuer for answering, valid now, and nothing critical that is not understood.
fn may_answer(delegate: &Certificate, issuer: &Certificate, at: OffsetDateTime) -> bool {
    let understood = [
        oid::KEY_USAGE,
        oid::EXTENDED_KEY_USAGE,
        oid::BASIC_CONSTRAINTS,
    ];
    delegate.issuer().matches(issuer.subject())
        && delegate.is_signed_by(issuer.public_key())
        && !delegate.is_weakly_signed()
        && delegate.is_valid_at(at)
        && delegate
            .extended_key_usage()
            .is_ok_and(|uses| uses.contains(&OCSP_SIGNING))
        && delegate
            .extensions()
            .iter()
            .all(|it| !it.critical || understood.contains(&it.oid.as_slice()))
}

fn certificates(explicit: &Element<'_>) -> Result<Vec<Certificate>, OcspError> {
    let mut outer = explicit.contents();
    let mut list = outer.sequence()?;
    outer.finish()?;
    let mut found = Vec::new();
    while !list.is_empty() {
        if found.len() == MAX_CERTIFICATES {
            return Err(OcspError::TooLarge);
        }
        let certificate = Certificate::from_der(list.expect(Tag::SEQUENCE)?.raw)
            .map_err(|_| Asn1Error::InvalidValue)?;
        found.push(certificate);
    }
    Ok(found)
}

fn singles(list: &Element<'_>) -> Result<Vec<Single>, OcspError> {
    let mut list = list.contents();
    let mut found = Vec::new();
    while !list.is_empty() {
        if found.len() == MAX_SINGLE {
            return Err(OcspError::TooLarge);
        }
        let mut fields = list.sequence()?;
        let id = fields.expect(Tag::SEQUENCE)?.raw.to_vec();
        let status = fields.element()?;
        let standing = match status.tag {
            tag if tag == Tag::context_primitive(0) => Standing::Good,
            tag if tag == Tag::context(1) => Standing::Revoked,
            tag if tag == Tag::context_primitive(2) => Standing::Unknown,
            _ => return Err(Asn1Error::UnexpectedTag.into()),
        };
        let time = |element: &Element<'_>| crate::certificate::instant(element);
        let this_update = time(&fields.expect(Tag::GENERALIZED_TIME)?)?;
        let next_update = match fields.optional(Tag::context(0))? {
            Some(explicit) => Some(time(&explicit.contents().expect(Tag::GENERALIZED_TIME)?)?),
            None => None,
        };
        if let Some(extensions) = fields.optional(Tag::context(1))? {
            nonce(&extensions)?;
        }
        fields.finish()?;
        found.push(Single {
            id,
            standing,
            this_update,
            next_update,
        });
    }
    Ok(found)
}

/// The nonce among extensions; another critical one is not understood.
fn nonce(explicit: &Element<'_>) -> Result<Option<Vec<u8>>, OcspError> {
    let mut outer = explicit.contents();
    let mut list = outer.sequence()?;
    outer.finish()?;
    let mut found = None;
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        let id = extension.expect(Tag::OID)?.value;
        let critical = match extension.optional(Tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let value = extension.expect(Tag::OCTET_STRING)?.value;
        if id == NONCE_EXTENSION {
            // RFC 9654: an OCTET STRING of its own inside.
            found = Some(Reader::new(value).expect(Tag::OCTET_STRING)?.value.to_vec());
        } else if critical {
            return Err(OcspError::Unsupported);
        }
    }
    Ok(found)
}
