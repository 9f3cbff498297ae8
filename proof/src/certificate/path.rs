//! From a leaf to an anchor (RFC 5280 §6, the part that attestation chains need).
//!
//! rustls-webpki cannot judge these chains: vendor roots lack basicConstraints or are version 1, roots share one DN,
//! leaves have no usable extKeyUsage or are themselves the anchor. This is an explicit checker for short chains instead.
//! Every certificate on the path, the anchor included, must be valid at the given time. An issuer that came with the
//! statement must be a CA (version 3, basicConstraints); one that is an anchor may lack basicConstraints but not contradict
//! them. Unknown critical extensions, name constraints among them, end the path. Budgets: [`MAX_CHAIN`] certificates,
//! 64 verifications.

use time::OffsetDateTime;

use super::{Certificate, oid};

/// The most certificates that a statement may carry.
pub const MAX_CHAIN: usize = 8;
/// The most signatures verified for one path.
const MAX_SIGNATURES: usize = 64;

/// Why no path was found. Where several anchors were tried, the failure that came closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PathError {
    /// No certificate.
    #[error("no certificate to judge")]
    Empty,
    /// More certificates or signatures than the budget.
    #[error("chain is larger than the budget")]
    TooLarge,
    /// The chain does not end at any of the anchors.
    #[error("no known anchor signed this chain")]
    NoAnchor,
    /// A certificate is not signed by the next one, or by the anchor of that name.
    #[error("a certificate is not signed by its issuer")]
    BadSignature,
    /// An issuer that is not a certificate authority, or may not sign so far down.
    #[error("an issuer is not a certificate authority")]
    NotAuthority,
    /// An extension that must be understood and is not.
    #[error("a critical extension is not understood")]
    UnknownCritical,
    /// A certificate's validity does not consist of times.
    #[error("a certificate's validity is malformed")]
    NoValidity,
    /// A certificate on the path is not yet valid.
    #[error("a certificate is not yet valid")]
    NotYetValid,
    /// A certificate on the path has expired.
    #[error("a certificate has expired")]
    Expired,
}

impl PathError {
    /// The kebab-case word of CONTRACT.md.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "no-certificate",
            Self::TooLarge => "chain-too-long",
            Self::NoAnchor => "unknown-root",
            Self::BadSignature => "chain-signature-invalid",
            Self::NotAuthority => "issuer-not-authority",
            Self::UnknownCritical => "critical-extension-unknown",
            Self::NoValidity => "certificate-validity-malformed",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::Expired => "certificate-expired",
        }
    }
}

/// A path that was verified: which anchor ends it. Only [`find`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    anchor: usize,
    length: usize,
    weak: bool,
}

impl VerifiedPath {
    /// The anchor, as its position among those given.
    #[must_use]
    pub fn anchor(&self) -> usize {
        self.anchor
    }

    /// How many certificates of the chain lie on the path.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether a signature on the path rests on SHA-1.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }
}

/// Finds a path from `chain[0]` through `chain[1..]`, in order, to one of `anchors`, valid at `at`.
///
/// A certificate of the chain that *is* an anchor (same bytes) ends it, the leaf included. Certificates after the one
/// that an anchor signed are ignored.
///
/// # Errors
/// [`PathError`], the furthest that any anchor led to.
pub fn find(
    chain: &[Certificate],
    anchors: &[&Certificate],
    at: OffsetDateTime,
) -> Result<VerifiedPath, PathError> {
    if chain.len() > MAX_CHAIN {
        return Err(PathError::TooLarge);
    }
    let leaf = chain.first().ok_or(PathError::Empty)?;
    check_common(leaf, at)?;
    let mut budget = MAX_SIGNATURES;
    let mut closest = PathError::NoAnchor;
    let mut weak = false;
    for (position, certificate) in chain.iter().enumerate() {
        if let Some(anchor) = anchors
            .iter()
            .position(|anchor| anchor.der() == certificate.der())
        {
            return Ok(VerifiedPath {
                anchor,
                length: position.saturating_add(1),
                weak,
            });
        }
        for (index, anchor) in anchors.iter().enumerate() {
            if !certificate.issuer().matches(anchor.subject()) {
                continue;
            }
            match check_issuer(certificate, anchor, position, true, at, &mut budget) {
                Ok(()) => {
                    return Ok(VerifiedPath {
                        anchor: index,
                        length: position.saturating_add(1),
                        weak: weak || certificate.is_weakly_signed(),
                    });
                }
                Err(PathError::TooLarge) => return Err(PathError::TooLarge),
                Err(error) => closest = closest.max(error),
            }
        }
        let Some(next) = chain.get(position.saturating_add(1)) else {
            break;
        };
        if !certificate.issuer().matches(next.subject()) {
            break;
        }
        let is_anchor = anchors.iter().any(|anchor| anchor.der() == next.der());
        check_issuer(certificate, next, position, is_anchor, at, &mut budget)?;
        weak |= certificate.is_weakly_signed();
    }
    Err(closest)
}

/// Whether `issuer` may have signed `certificate`, which has `below` intermediates under it, and did.
fn check_issuer(
    certificate: &Certificate,
    issuer: &Certificate,
    below: usize,
    is_anchor: bool,
    at: OffsetDateTime,
    budget: &mut usize,
) -> Result<(), PathError> {
    *budget = budget.checked_sub(1).ok_or(PathError::TooLarge)?;
    if !certificate.is_signed_by(issuer.public_key()) {
        return Err(PathError::BadSignature);
    }
    match issuer
        .basic_constraints()
        .map_err(|_| PathError::NotAuthority)?
    {
        Some(constraints) => {
            let room = constraints
                .path_length
                .is_none_or(|most| below <= most as usize);
            if !constraints.ca || !room {
                return Err(PathError::NotAuthority);
            }
        }
        None if is_anchor => {}
        None => return Err(PathError::NotAuthority),
    }
    if !is_anchor && issuer.version() != 3 {
        return Err(PathError::NotAuthority);
    }
    if !issuer
        .may_sign_certificates()
        .map_err(|_| PathError::NotAuthority)?
    {
        return Err(PathError::NotAuthority);
    }
    check_common(issuer, at)
}

fn check_common(certificate: &Certificate, at: OffsetDateTime) -> Result<(), PathError> {
    let understood = |extension: &[u8]| {
        [
            oid::BASIC_CONSTRAINTS,
            oid::KEY_USAGE,
            oid::EXTENDED_KEY_USAGE,
            oid::SUBJECT_KEY_IDENTIFIER,
            oid::AUTHORITY_KEY_IDENTIFIER,
            oid::SUBJECT_ALT_NAME,
            oid::CERTIFICATE_POLICIES,
            oid::APPLE_NONCE,
            oid::ANDROID_KEY_DESCRIPTION,
        ]
        .contains(&extension)
    };
    if certificate
        .extensions()
        .iter()
        .any(|e| e.critical && !understood(&e.oid))
    {
        return Err(PathError::UnknownCritical);
    }
    let (not_before, not_after) = certificate.validity();
    if not_after < not_before {
        return Err(PathError::NoValidity);
    }
    if at < not_before {
        return Err(PathError::NotYetValid);
    }
    if at > not_after {
        return Err(PathError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    struct Authority {
        parameters: CertificateParams,
        key: KeyPair,
        certificate: Certificate,
    }

    fn named(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.not_before = datetime!(2020-01-01 00:00:00 UTC);
        parameters.not_after = datetime!(2030-01-01 00:00:00 UTC);
        parameters
    }

    fn authority(name: &str) -> CertificateParams {
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    fn root(parameters: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let der = parameters.self_signed(&key).unwrap();
        Authority {
            certificate: Certificate::from_der(der.der()).unwrap(),
            parameters,
            key,
        }
    }

    fn issue(by: &Authority, parameters: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&by.parameters, &by.key);
        let der = parameters.signed_by(&key, &issuer).unwrap();
        Authority {
            certificate: Certificate::from_der(der.der()).unwrap(),
            parameters,
            key,
        }
    }

    fn judge(chain: &[&Authority], anchors: &[&Authority]) -> Result<VerifiedPath, PathError> {
        let chain: Vec<_> = chain.iter().map(|it| it.certificate.clone()).collect();
        let anchors: Vec<_> = anchors.iter().map(|it| &it.certificate).collect();
        find(&chain, &anchors, NOW)
    }

    #[test]
    fn finds_the_anchor_that_signed_among_roots_of_one_name() {
        let (first, second) = (root(authority("Root")), root(authority("Root")));
        let middle = issue(&second, authority("Middle"));
        let leaf = issue(&middle, named("Leaf"));
        let path = judge(&[&leaf, &middle], &[&first, &second]).unwrap();
        assert_eq!(
            (path.anchor(), path.length(), path.is_weak()),
            (1, 2, false)
        );
        assert_eq!(
            judge(&[&leaf, &middle], &[&first]),
            Err(PathError::BadSignature)
        );
    }

    #[test]
    fn accepts_an_intermediate_or_the_leaf_as_anchor() {
        let top = root(authority("Root"));
        let middle = issue(&top, authority("Middle"));
        let leaf = issue(&middle, named("Leaf"));
        assert_eq!(judge(&[&leaf], &[&middle]).unwrap().length(), 1);
        assert_eq!(judge(&[&leaf, &middle, &top], &[&top]).unwrap().anchor(), 0);
        assert_eq!(judge(&[&leaf], &[&leaf]).unwrap().length(), 1);
    }

    #[test]
    fn refuses_an_unknown_root_and_a_gap() {
        let (top, other) = (root(authority("Root")), root(authority("Other")));
        let middle = issue(&top, authority("Middle"));
        let leaf = issue(&middle, named("Leaf"));
        assert_eq!(
            judge(&[&leaf, &middle], &[&other]),
            Err(PathError::NoAnchor)
        );
        assert_eq!(judge(&[&leaf], &[&top]), Err(PathError::NoAnchor));
        assert_eq!(judge(&[], &[&top]), Err(PathError::Empty));
    }

    #[test]
    fn refuses_a_leaf_that_issues() {
        let top = root(authority("Root"));
        let leaf = issue(&top, named("Leaf"));
        let below = issue(&leaf, named("Below"));
        assert_eq!(
            judge(&[&below, &leaf], &[&top]),
            Err(PathError::NotAuthority)
        );
    }

    #[test]
    fn refuses_an_issuer_whose_key_usage_or_path_length_forbids_it() {
        let top = root(authority("Root"));
        let mut parameters = authority("Middle");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let middle = issue(&top, parameters);
        let leaf = issue(&middle, named("Leaf"));
        assert_eq!(
            judge(&[&leaf, &middle], &[&top]),
            Err(PathError::NotAuthority)
        );

        let mut parameters = authority("Short");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let short = root(parameters);
        let middle = issue(&short, authority("Middle"));
        let leaf = issue(&middle, named("Leaf"));
        assert_eq!(
            judge(&[&leaf, &middle], &[&short]),
            Err(PathError::NotAuthority)
        );
    }

    #[test]
    fn tolerates_an_anchor_without_basic_constraints_only() {
        let top = root(named("Old root"));
        let leaf = issue(&top, named("Leaf"));
        assert!(judge(&[&leaf], &[&top]).is_ok());
        let mut parameters = named("Says no");
        parameters.is_ca = IsCa::ExplicitNoCa;
        let no = root(parameters);
        let leaf = issue(&no, named("Leaf"));
        assert_eq!(judge(&[&leaf], &[&no]), Err(PathError::NotAuthority));
    }

    #[test]
    fn refuses_outside_any_validity() {
        let mut old = authority("Root");
        old.not_after = datetime!(2025-01-01 00:00:00 UTC);
        let old = root(old);
        let leaf = issue(&old, named("Leaf"));
        assert_eq!(judge(&[&leaf], &[&old]), Err(PathError::Expired));

        let top = root(authority("Root"));
        let mut young = named("Leaf");
        young.not_before = datetime!(2028-01-01 00:00:00 UTC);
        assert_eq!(
            judge(&[&issue(&top, young)], &[&top]),
            Err(PathError::NotYetValid)
        );
        let mut expired = named("Leaf");
        expired.not_after = datetime!(2026-01-01 00:00:00 UTC);
        assert_eq!(
            judge(&[&issue(&top, expired)], &[&top]),
            Err(PathError::Expired)
        );
    }

    #[test]
    fn refuses_critical_extensions_that_it_does_not_understand() {
        let mut constrained = authority("Root");
        constrained.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
        let top = root(constrained);
        let leaf = issue(&top, named("Leaf"));
        assert_eq!(judge(&[&leaf], &[&top]), Err(PathError::UnknownCritical));
    }

    #[test]
    fn stops_at_the_budget() {
        let mut names = vec![root(authority("Root"))];
        while names.len() <= MAX_CHAIN {
            let next = issue(names.last().unwrap(), authority("Middle"));
            names.push(next);
        }
        let chain: Vec<_> = names.iter().rev().collect();
        assert_eq!(judge(&chain, &[&names[0]]), Err(PathError::TooLarge));

        let crowd: Vec<_> = (0..=MAX_SIGNATURES)
            .map(|_| root(authority("Root")))
            .collect();
        let leaf = issue(crowd.last().unwrap(), named("Leaf"));
        let anchors: Vec<_> = crowd.iter().collect();
        assert_eq!(judge(&[&leaf], &anchors), Err(PathError::TooLarge));
    }
}
