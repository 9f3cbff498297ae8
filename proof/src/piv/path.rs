//! From a card's certificate to a configured root, through intermediates in any order (RFC 5280 §6.1, the part that card chains need).
//!
//! `certificate::path` judges a statement's chain in its order; cards' chains come unordered, from the card, from files and from the roots' own
//! directory, so here a path is searched for, with a budget. Two differences, each with its reason:
//! - Attestation certificates of YubiKey 4 (slot F9) lack basicConstraints. [`Rules::bare_attestation_issuer`] lets exactly such a one sign
//!   the leaf, if a configured certificate signed it. A slot's own certificate lacks them too: it must never pass for an issuer.
//! - A self-signed root is a name and a key (§6.1.1 d): its own pathLenConstraint does not count. Yubico's first PIV root says 0 above F9 authorities.
//!
//! Time is an argument. Without one, the path must at least have had an instant when all of it was valid.

use time::OffsetDateTime;

use crate::certificate::{Certificate, name, oid};

/// The most certificates between leaf and root.
const MAX_DEPTH: usize = 6;
/// The most certificates that a chain may bring, and the most that a roots directory may hold.
pub(super) const MAX_INTERMEDIATES: usize = 16;
const MAX_ANCHORS: usize = 1024;
/// The most signatures verified for one path.
const MAX_SIGNATURES: usize = 64;

/// 1.3.6.1.4.1.41482.3, Yubico's arc for PIV.
pub(super) const YUBICO_PIV: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xc4, 0x0a, 0x03];

/// Why no path was found; of several failures the one that came closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PathError {
    /// Nothing leads to a configured root.
    #[error("no configured root leads to this certificate")]
    UnknownRoot,
    /// A certificate has its issuer's name but not its issuer's signature.
    #[error("a certificate is not signed by the issuer of that name")]
    Signature,
    /// A signature that rests on SHA-1: no card maker's chain needs one.
    #[error("a certificate's signature rests on SHA-1")]
    WeakSignature,
    /// An issuer that is not a certificate authority, or may not sign so far down.
    #[error("an issuer is not a certificate authority")]
    NotAuthority,
    /// A critical extension that is not understood.
    #[error("a critical extension is not understood")]
    UnknownCritical,
    /// Before the validity of a certificate on the path.
    #[error("a certificate is not yet valid")]
    NotYetValid,
    /// After it.
    #[error("a certificate has expired")]
    Expired,
    /// No time was given, and there was never one when all certificates were valid.
    #[error("the certificates were never valid at one time")]
    NeverValid,
    /// More certificates or signatures than the budget.
    #[error("more certificates or signatures than the budget")]
    TooLarge,
}

impl PathError {
    /// The kebab-case word.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownRoot => "unknown-root",
            Self::Signature => "chain-signature-invalid",
            Self::WeakSignature => "chain-signature-weak",
            Self::NotAuthority => "issuer-not-authority",
            Self::UnknownCritical => "critical-extension-unknown",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::Expired => "certificate-expired",
            Self::NeverValid => "validity-disjoint",
            Self::TooLarge => "chain-too-long",
        }
    }
}

/// What a path must be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// When all certificates must be valid.
    pub(super) at: Option<OffsetDateTime>,
    /// Whether the leaf's issuer may lack basicConstraints as YubiKey 4's F9 certificates do.
    pub(super) bare_attestation_issuer: bool,
}

/// A path that was found: the leaf, its issuers in order, the configured root last.
#[derive(Debug)]
pub(super) struct Path<'a>(pub(super) Vec<&'a Certificate>);

impl<'a> Path<'a> {
    /// The certificate that signed the leaf.
    pub(super) fn issuer(&self) -> Option<&'a Certificate> {
        self.0.get(1).copied()
    }

    /// The configured root.
    pub(super) fn anchor(&self) -> Option<&'a Certificate> {
        self.0.last().copied()
    }
}

#[derive(Clone, Copy)]
struct Candidate<'a> {
    certificate: &'a Certificate,
    /// It comes from the configuration, not from the chain.
    configured: bool,
    /// A path may end here.
    anchor: bool,
}

struct Search<'a> {
    candidates: Vec<Candidate<'a>>,
    rules: Rules,
    budget: usize,
    closest: PathError,
}

/// Searches a path from `leaf` to one of `configured`. Configured certificates that another configured one issued are intermediates of it; the others
/// are roots.
///
/// # Errors
/// [`PathError`], the furthest that was reached.
pub(super) fn find<'a>(
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    configured: &[&'a Certificate],
    rules: Rules,
) -> Result<Path<'a>, PathError> {
    if intermediates.len() > MAX_INTERMEDIATES || configured.len() > MAX_ANCHORS {
        return Err(PathError::TooLarge);
    }
    let anchors = configured.iter().map(|certificate| Candidate {
        certificate,
        configured: true,
        anchor: is_root(certificate, configured),
    });
    // A root that the chain brings is nobody's intermediate.
    let brought = intermediates
        .iter()
        .filter(|certificate| !certificate.issuer().matches(certificate.subject()));
    let brought = brought.map(|certificate| Candidate {
        certificate,
        configured: false,
        anchor: false,
    });
    let mut search = Search {
        candidates: anchors.chain(brought).collect(),
        rules,
        budget: MAX_SIGNATURES,
        closest: PathError::UnknownRoot,
    };
    check_critical(leaf)?;
    let mut path = vec![leaf];
    if search.extend(&mut path)? {
        Ok(Path(path))
    } else {
        Err(search.closest)
    }
}

/// Self-issued, or without its issuer in the configuration.
fn is_root(certificate: &Certificate, configured: &[&Certificate]) -> bool {
    certificate.issuer().matches(certificate.subject())
        || !configured
            .iter()
            .any(|other| certificate.issuer().matches(other.subject()))
}

impl<'a> Search<'a> {
    /// Extends the path to a root. `Ok(false)` when there is none from here; only a spent budget is an error.
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Result<bool, PathError> {
        let Some(last) = path.last().copied() else {
            return Ok(false);
        };
        for candidate in self.candidates.clone() {
            let certificate = candidate.certificate;
            if !last.issuer().matches(certificate.subject())
                || path.iter().any(|seen| seen.der() == certificate.der())
            {
                continue;
            }
            self.budget = self.budget.checked_sub(1).ok_or(PathError::TooLarge)?;
            if let Err(error) = self.check_issuer(last, candidate, path.len()) {
                self.closest = self.closest.max(error);
                continue;
            }
            path.push(certificate);
            let ended = if candidate.anchor {
                match self.check_time(path) {
                    Ok(()) => true,
                    Err(error) => {
                        self.closest = self.closest.max(error);
                        false
                    }
                }
            } else {
                path.len() <= MAX_DEPTH && self.extend(path)?
            };
            if ended {
                return Ok(true);
            }
            path.pop();
        }
        Ok(false)
    }

    /// Whether `candidate` signed `certificate` and may have, as the issuer number `depth` (1 signs the leaf).
    fn check_issuer(
        &self,
        certificate: &Certificate,
        candidate: Candidate<'_>,
        depth: usize,
    ) -> Result<(), PathError> {
        let issuer = candidate.certificate;
        if !certificate.is_signed_by(issuer.public_key()) {
            return Err(PathError::Signature);
        }
        if certificate.is_weakly_signed() {
            return Err(PathError::WeakSignature);
        }
        check_critical(issuer)?;
        let constraints = issuer
            .basic_constraints()
            .map_err(|_| PathError::NotAuthority)?;
        let below = depth.saturating_sub(1);
        let authority = match constraints {
            Some(constraints) => {
                let room = constraints
                    .path_length
                    .is_none_or(|most| below <= most as usize);
                constraints.ca && (room || candidate.anchor)
            }
            // Version 1 roots have no extensions.
            None => candidate.anchor || (depth == 1 && self.is_bare_attestation_issuer(issuer)),
        };
        let signs = issuer
            .may_sign_certificates()
            .map_err(|_| PathError::NotAuthority)?;
        if !authority || !signs || (issuer.version() != 3 && !candidate.anchor) {
            return Err(PathError::NotAuthority);
        }
        Ok(())
    }

    /// A YubiKey 4's F9 certificate: named so, without basicConstraints, signed by a configured certificate.
    fn is_bare_attestation_issuer(&self, issuer: &Certificate) -> bool {
        self.rules.bare_attestation_issuer
            && issuer
                .subject()
                .texts(name::COMMON_NAME)
                .eq(["Yubico PIV Attestation"])
            && self.candidates.iter().any(|it| {
                it.configured
                    && issuer.issuer().matches(it.certificate.subject())
                    && issuer.is_signed_by(it.certificate.public_key())
            })
    }

    fn check_time(&self, path: &[&Certificate]) -> Result<(), PathError> {
        let from = path
            .iter()
            .map(|certificate| certificate.validity().0)
            .max();
        let to = path
            .iter()
            .map(|certificate| certificate.validity().1)
            .min();
        let (Some(from), Some(to)) = (from, to) else {
            return Err(PathError::UnknownRoot);
        };
        match self.rules.at {
            Some(at) if at < from => Err(PathError::NotYetValid),
            Some(at) if at > to => Err(PathError::Expired),
            None if from > to => Err(PathError::NeverValid),
            _ => Ok(()),
        }
    }
}

fn check_critical(certificate: &Certificate) -> Result<(), PathError> {
    let understood = |id: &[u8]| {
        let standard = [
            oid::BASIC_CONSTRAINTS,
            oid::KEY_USAGE,
            oid::EXTENDED_KEY_USAGE,
            oid::SUBJECT_KEY_IDENTIFIER,
            oid::AUTHORITY_KEY_IDENTIFIER,
            oid::SUBJECT_ALT_NAME,
            oid::CERTIFICATE_POLICIES,
        ];
        standard.contains(&id) || id.starts_with(YUBICO_PIV)
    };
    if certificate
        .extensions()
        .iter()
        .any(|extension| extension.critical && !understood(&extension.oid))
    {
        return Err(PathError::UnknownCritical);
    }
    Ok(())
}
