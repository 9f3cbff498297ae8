//! Cards without key attestation, accepted by certificate from a configured issuer: an administration's own card PKI.
//!
//! Such a certificate says who holds the card, not that the key cannot leave it; the evidence says which of the two it was. Checked (RFC 5280 §6): path
//! to a configured root, validity, the leaf is no authority, keyUsage allows signatures, one of the demanded policies, and revocation by CRL
//! (§5, §6.3): signed by the certificate's own issuer, fresh, complete; or by OCSP ([`super::ocsp`]). Fail-closed: nothing fresh, no acceptance.
//! Deliberately elsewhere: fetching and keeping either (the caller), indirect and delta CRLs (refused by name).

use time::{Duration, OffsetDateTime};

use super::ocsp::{Answer, Doubt, Question};
use super::path::{self, PathError, Rules};
use crate::asn1::{Asn1Error, Element, Reader, Tag};
use crate::certificate::name::Name;
use crate::certificate::signature::{Digest, Scheme};
use crate::certificate::{Certificate, PublicKeyInfo, oid};

/// Longest CRL that is read.
pub const MAX_CRL: usize = 8 << 20;

/// What a card's certificate must be like.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Certificate policies (dotted identifiers) of which it must assert one; empty when none is demanded.
    pub policies: Vec<String>,
    /// Whether revocation is judged. Turning it off is the operator's explicit word.
    pub revocation: Revocation,
}

/// How revocation is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// By CRL, issued at most this long ago and not past its nextUpdate.
    Crl {
        /// The oldest thisUpdate that still counts.
        max_age: Duration,
    },
    /// The card's certificate by OCSP: a good answer not past its nextUpdate. Authorities above it by OCSP or, where there is no answer, by CRL.
    Ocsp {
        /// The oldest answer (thisUpdate) that still counts.
        max_age: Duration,
        /// The oldest list that still counts for an authority.
        crl_max_age: Duration,
    },
    /// Weakens acceptance: revoked cards pass.
    DangerNotJudged,
}

/// What the caller has on revocation, from wherever: not trusted. The right ones are found by issuer and signature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statements<'a> {
    /// Lists of revoked certificates.
    pub lists: &'a [Crl],
    /// Answers of OCSP responders.
    pub answers: &'a [Answer],
}

/// Why a card's certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Rejected: no path to a configured root.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Rejected: an authority's certificate.
    #[error("the certificate is an authority's")]
    LeafIsAuthority,
    /// Rejected: keyUsage does not allow digital signatures, or is missing.
    #[error("the certificate's key may not sign")]
    KeyUsage,
    /// Rejected: none of the demanded policies.
    #[error("the certificate has none of the demanded policies")]
    Policy,
    /// Malformed: an extension that does not parse.
    #[error("an extension of the certificate is not of its form")]
    Extensions,
    /// Unavailable: no CRL by the issuer of a certificate on the path.
    #[error("no list of revoked certificates by this issuer")]
    NoCrl,
    /// Unavailable: the CRL is too old, or not yet of this time.
    #[error("the list of revoked certificates is not of this time")]
    CrlNotFresh,
    /// Rejected: the CRL is not signed by the issuer.
    #[error("the list of revoked certificates is not signed by the issuer")]
    CrlSignature,
    /// Rejected: on the list.
    #[error("the certificate was revoked")]
    Revoked,
    /// Unavailable: no responder said anything of a certificate on the path.
    #[error("no answer of an OCSP responder about this certificate")]
    NoOcsp,
    /// Unavailable: the answer is too old, or not yet of this time.
    #[error("the OCSP responder's answer is not of this time")]
    OcspNotFresh,
    /// Rejected: neither the issuer nor anybody that it appointed answered.
    #[error("the OCSP responder may not speak for the issuer")]
    OcspResponder,
    /// Rejected: the answer is not signed by the responder that it names.
    #[error("the OCSP responder's answer is not signed by it")]
    OcspSignature,
    /// Rejected: the responder does not know the certificate.
    #[error("the OCSP responder does not know the certificate")]
    OcspUnknown,
}

impl From<Doubt> for IssuerError {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Missing => Self::NoOcsp,
            Doubt::Responder => Self::OcspResponder,
            Doubt::Signature => Self::OcspSignature,
            Doubt::NotFresh => Self::OcspNotFresh,
            Doubt::Unknown => Self::OcspUnknown,
            Doubt::Revoked => Self::Revoked,
        }
    }
}

impl IssuerError {
    /// Whether it says nothing of the certificate, only that its standing cannot be known now: refuse the approval, and do not condemn the key.
    #[must_use]
    pub fn is_unavailable(self) -> bool {
        matches!(
            self,
            Self::NoCrl
                | Self::CrlNotFresh
                | Self::CrlSignature
                | Self::NoOcsp
                | Self::OcspNotFresh
                | Self::OcspResponder
                | Self::OcspSignature
                | Self::OcspUnknown
        )
    }

    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Path(error) => error.reason(),
            Self::LeafIsAuthority => "leaf-is-authority",
            Self::KeyUsage => "key-usage",
            Self::Policy => "policy-missing",
            Self::Extensions => "extensions-malformed",
            Self::NoCrl => "crl-missing",
            Self::CrlNotFresh => "crl-not-fresh",
            Self::CrlSignature => "crl-signature-invalid",
            Self::Revoked => "certificate-revoked",
            Self::NoOcsp => "ocsp-missing",
            Self::OcspNotFresh => "ocsp-not-fresh",
            Self::OcspResponder => "ocsp-responder-not-authorized",
            Self::OcspSignature => "ocsp-signature-invalid",
            Self::OcspUnknown => "certificate-unknown",
        }
    }
}

/// A card's certificate that a configured issuer vouches for. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIssued {
    public_key: PublicKeyInfo,
    subject: String,
    anchor: String,
    policies: Vec<String>,
    revocation_judged: bool,
}

impl VerifiedIssued {
    /// The certified key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKeyInfo {
        &self.public_key
    }

    /// The holder's name.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The root's subject.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The policies that the certificate asserts, dotted.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Whether its revocation was judged.
    #[must_use]
    pub fn revocation_judged(&self) -> bool {
        self.revocation_judged
    }
}

/// Whether a certificate leads to one of `roots`, valid at `at`; the root's subject. For evidence, where lists of that time are gone.
///
/// # Errors
/// [`PathError`].
pub fn verify_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[&Certificate],
    at: OffsetDateTime,
) -> Result<String, PathError> {
    let found = path::find(leaf, intermediates, roots, rules(at))?;
    Ok(found
        .anchor()
        .ok_or(PathError::UnknownRoot)?
        .subject()
        .to_string())
}

fn rules(at: OffsetDateTime) -> Rules {
    Rules {
        at: Some(at),
        bare_attestation_issuer: false,
    }
}

/// What responders are to be asked for this certificate's path: about the certificate itself, then about the authorities above.
///
/// # Errors
/// [`PathError`].
pub fn questions(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[&Certificate],
    at: OffsetDateTime,
) -> Result<Vec<Question>, PathError> {
    let path = path::find(leaf, intermediates, roots, rules(at))?;
    let links = path.0.iter().zip(path.0.iter().skip(1));
    Ok(links
        .map(|(certificate, issuer)| Question::about(certificate, issuer))
        .collect())
}

/// Checks a card's certificate.
///
/// # Errors
/// [`IssuerError`].
pub fn verify(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[&Certificate],
    statements: Statements<'_>,
    rule: &Rule,
    at: OffsetDateTime,
) -> Result<VerifiedIssued, IssuerError> {
    let path = path::find(leaf, intermediates, roots, rules(at))?;
    let constraints = leaf
        .basic_constraints()
        .map_err(|_| IssuerError::Extensions)?;
    if constraints.is_some_and(|constraints| constraints.ca) {
        return Err(IssuerError::LeafIsAuthority);
    }
    if !allows_signatures(leaf)? {
        return Err(IssuerError::KeyUsage);
    }
    let policies = policies(leaf).map_err(|_| IssuerError::Extensions)?;
    if !rule.policies.is_empty() && !policies.iter().any(|policy| rule.policies.contains(policy)) {
        return Err(IssuerError::Policy);
    }
    let links = path.0.iter().zip(path.0.iter().skip(1));
    for (depth, (certificate, issuer)) in links.enumerate() {
        match rule.revocation {
            Revocation::DangerNotJudged => {}
            Revocation::Crl { max_age } => {
                check_lists(certificate, issuer, statements.lists, max_age, at)?;
            }
            Revocation::Ocsp {
                max_age,
                crl_max_age,
            } => {
                refuse_listed(certificate, issuer, statements.lists)?;
                let answered = check_answers(certificate, issuer, statements, max_age, at);
                match answered {
                    Err(error) if depth > 0 && error != IssuerError::Revoked => {
                        let listed =
                            check_lists(certificate, issuer, statements.lists, crl_max_age, at);
                        listed.map_err(|other| match other {
                            IssuerError::NoCrl => error,
                            other => other,
                        })?;
                    }
                    answered => answered?,
                }
            }
        }
    }
    Ok(VerifiedIssued {
        public_key: leaf.public_key().clone(),
        subject: leaf.subject().to_string(),
        anchor: path
            .anchor()
            .map(|anchor| anchor.subject().to_string())
            .unwrap_or_default(),
        policies,
        revocation_judged: rule.revocation != Revocation::DangerNotJudged,
    })
}

/// keyUsage is there and has digitalSignature (bit 0) or nonRepudiation (bit 1).
fn allows_signatures(leaf: &Certificate) -> Result<bool, IssuerError> {
    let Some(extension) = leaf.extension(oid::KEY_USAGE) else {
        return Ok(false);
    };
    let mut reader = Reader::new(&extension.value);
    let bits = reader
        .expect(Tag::BIT_STRING)
        .map_err(|_| IssuerError::Extensions)?;
    reader.finish().map_err(|_| IssuerError::Extensions)?;
    Ok(bits.value.get(1).is_some_and(|octet| octet & 0xc0 != 0))
}

/// certificatePolicies (§4.2.1.4), dotted; qualifiers are not looked at.
fn policies(leaf: &Certificate) -> Result<Vec<String>, Asn1Error> {
    let Some(extension) = leaf.extension(oid::CERTIFICATE_POLICIES) else {
        return Ok(Vec::new());
    };
    let mut outer = Reader::new(&extension.value);
    let mut list = outer.sequence()?;
    outer.finish()?;
    let mut policies = Vec::new();
    while !list.is_empty() {
        policies.push(crate::asn1::dotted(
            list.sequence()?.expect(Tag::OID)?.value,
        ));
    }
    Ok(policies)
}

/// One answer shows that the certificate is good, and none that it is revoked.
fn check_answers(
    certificate: &Certificate,
    issuer: &Certificate,
    statements: Statements<'_>,
    max_age: Duration,
    at: OffsetDateTime,
) -> Result<(), IssuerError> {
    let mut good = false;
    let mut closest = Doubt::Missing;
    for answer in statements.answers {
        match answer.judge(certificate, issuer, max_age, at) {
            // A delegate may itself be revoked.
            Ok(()) => match answer
                .delegates()
                .iter()
                .all(|delegate| refuse_listed(delegate, issuer, statements.lists).is_ok())
            {
                true => good = true,
                false => closest = closest.max(Doubt::Responder),
            },
            Err(doubt) => closest = closest.max(doubt),
        }
    }
    match closest {
        Doubt::Revoked => Err(IssuerError::Revoked),
        _ if good => Ok(()),
        doubt => Err(doubt.into()),
    }
}

fn check_lists(
    certificate: &Certificate,
    issuer: &Certificate,
    crls: &[Crl],
    max_age: Duration,
    at: OffsetDateTime,
) -> Result<(), IssuerError> {
    let mut closest = IssuerError::NoCrl;
    for crl in crls
        .iter()
        .filter(|crl| crl.issuer.matches(certificate.issuer()))
    {
        if !crl
            .scheme
            .verifies(issuer.public_key(), &crl.to_be_signed, &crl.signature)
        {
            closest = IssuerError::CrlSignature;
            continue;
        }
        // A revocation on any list that the issuer signed counts, however old the list.
        if crl
            .serials
            .binary_search_by(|serial| serial.as_slice().cmp(certificate.serial()))
            .is_ok()
        {
            return Err(IssuerError::Revoked);
        }
        let oldest = at.checked_sub(max_age);
        if crl.this_update > at
            || oldest.is_none_or(|oldest| crl.this_update < oldest)
            || crl.next_update < at
        {
            closest = IssuerError::CrlNotFresh;
            continue;
        }
        return refuse_listed(certificate, issuer, crls);
    }
    Err(closest)
}

/// Whatever their age: for revocations only.
fn refuse_listed(
    certificate: &Certificate,
    issuer: &Certificate,
    crls: &[Crl],
) -> Result<(), IssuerError> {
    let listed = crls.iter().any(|crl| {
        crl.issuer.matches(certificate.issuer())
            && crl
                .serials
                .binary_search_by(|serial| serial.as_slice().cmp(certificate.serial()))
                .is_ok()
            && crl
                .scheme
                .verifies(issuer.public_key(), &crl.to_be_signed, &crl.signature)
    });
    if listed {
        Err(IssuerError::Revoked)
    } else {
        Ok(())
    }
}

/// Why bytes are not a CRL that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Malformed: not DER of this form.
    #[error("not a certificate revocation list: {0}")]
    Malformed(#[from] Asn1Error),
    /// Malformed: not PEM, or over the budget.
    #[error("not PEM, or longer than the budget")]
    NotPem,
    /// Unsupported: an indirect or delta list, one without nextUpdate, another critical extension, or another algorithm.
    #[error("a kind of list that is not judged")]
    Unsupported,
}

/// A list of revoked certificates (§5.1), read but not trusted: its signature is checked where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    to_be_signed: Vec<u8>,
    issuer: Name,
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
    /// Contents octets of the serial numbers, sorted.
    serials: Vec<Vec<u8>>,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl Crl {
    /// Reads a list in DER or PEM.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn read(bytes: &[u8]) -> Result<Self, CrlError> {
        use rustls_pki_types::{CertificateRevocationListDer, pem::PemObject as _};
        if bytes.len() > MAX_CRL {
            return Err(CrlError::NotPem);
        }
        if bytes.first() == Some(&0x30) {
            return Self::from_der(bytes);
        }
        let der =
            CertificateRevocationListDer::from_pem_slice(bytes).map_err(|_| CrlError::NotPem)?;
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let mut outer = Reader::new(der);
        let mut list = outer.sequence()?;
        outer.finish()?;
        let to_be_signed = list.expect(Tag::SEQUENCE)?;
        let algorithm = list.expect(Tag::SEQUENCE)?;
        let signature = list.expect(Tag::BIT_STRING)?.whole_bits()?.to_vec();
        list.finish()?;

        let mut fields = to_be_signed.contents();
        // version: v2 is 1; v1 lists have none.
        fields.optional(Tag::INTEGER)?;
        if fields.expect(Tag::SEQUENCE)?.raw != algorithm.raw {
            return Err(CrlError::Malformed(Asn1Error::InvalidValue));
        }
        let issuer = Name::read(&fields.expect(Tag::SEQUENCE)?)
            .map_err(|_| CrlError::Malformed(Asn1Error::InvalidValue))?;
        let this_update = crate::certificate::instant(&fields.element()?)?;
        let mut next = fields.element().map_err(|_| CrlError::Unsupported)?;
        let next_update = crate::certificate::instant(&next).map_err(|_| CrlError::Unsupported)?;
        let mut serials = Vec::new();
        while !fields.is_empty() {
            next = fields.element()?;
            if next.tag == Tag::SEQUENCE {
                serials = revoked(&next)?;
            } else if next.tag == Tag::context(0) {
                check_extensions(&next)?;
            } else {
                return Err(CrlError::Malformed(Asn1Error::UnexpectedTag));
            }
        }
        serials.sort_unstable();
        let scheme = crate::certificate::scheme_of(&algorithm)?.ok_or(CrlError::Unsupported)?;
        if scheme.digest() == Some(Digest::Sha1) {
            return Err(CrlError::Unsupported);
        }
        Ok(Self {
            to_be_signed: to_be_signed.raw.to_vec(),
            issuer,
            this_update,
            next_update,
            serials,
            scheme,
            signature,
        })
    }

    /// When it was made, by its own word.
    #[must_use]
    pub fn this_update(&self) -> OffsetDateTime {
        self.this_update
    }

    /// By when the next is promised.
    #[must_use]
    pub fn next_update(&self) -> OffsetDateTime {
        self.next_update
    }
}

/// Serial numbers of revokedCertificates. An entry's critical extension (certificateIssuer of indirect lists) is not understood.
fn revoked(list: &Element<'_>) -> Result<Vec<Vec<u8>>, CrlError> {
    let mut entries = list.contents();
    let mut serials = Vec::new();
    while !entries.is_empty() {
        let mut entry = entries.sequence()?;
        serials.push(entry.expect(Tag::INTEGER)?.value.to_vec());
        entry.element()?;
        if let Some(extensions) = entry.optional(Tag::SEQUENCE)? {
            refuse_critical(extensions.contents(), &[])?;
        }
        entry.finish()?;
    }
    Ok(serials)
}

/// 2.5.29.20 cRLNumber and 2.5.29.35 authorityKeyIdentifier may be critical; nothing else, in particular neither a delta nor an issuing distribution point.
fn check_extensions(explicit: &Element<'_>) -> Result<(), CrlError> {
    let mut outer = explicit.contents();
    let list = outer.sequence()?;
    outer.finish()?;
    refuse_critical(list, &[&[0x55, 0x1d, 0x14], oid::AUTHORITY_KEY_IDENTIFIER])
}

fn refuse_critical(mut list: Reader<'_>, understood: &[&[u8]]) -> Result<(), CrlError> {
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        let id = extension.expect(Tag::OID)?.value;
        let critical = match extension.optional(Tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        if critical && !understood.contains(&id) {
            return Err(CrlError::Unsupported);
        }
    }
    Ok(())
}
