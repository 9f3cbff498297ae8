//! Do we believe what a genuine statement says? A path to an anchor or to a metadata entry, at a time, for that model.
//!
//! The other verdict (`attestation.rs` has the first): here a clock is asked, and roots. The AAGUID must belong to what
//! vouches for it: a metadata entry vouches for its own model only, an anchor for the models that it is bound to (all of
//! them when the operator bound it to none). Where metadata knows the model, its roots and its status decide, and an anchor
//! overrides it only when bound to that very AAGUID, never a fatal status. U2F keys have no AAGUID: their entry is found by
//! the identifier of the attestation key. Without a clock nothing is trusted.

use time::OffsetDateTime;

use super::{AttestationType, Format, VerifiedRegistration};
use crate::authenticator_data::Aaguid;
use crate::certificate::Certificate;
use crate::certificate::path::{self, PathError};
use crate::metadata::status::Standing;
use crate::metadata::{Entry, Metadata};

/// A certificate that the operator trusts to vouch for authenticators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The certificate: a root, an intermediate, or one authenticator's leaf.
    pub certificate: Certificate,
    /// What people call it; the file's name where it came from a folder.
    pub name: String,
    /// The models that it may vouch for.
    pub binding: Binding,
}

/// Which models an anchor may vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Any, on the operator's word.
    Any,
    /// These AAGUIDs, and U2F keys whose attestation key has one of these identifiers.
    Models {
        /// Of FIDO2 authenticators.
        aaguids: Vec<Aaguid>,
        /// SHA-1 of the attestation key, as in metadata.
        key_identifiers: Vec<[u8; 20]>,
    },
}

/// Where trust comes from. Both may be absent: then it is not evaluated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The operator's own anchors.
    pub anchors: Option<&'a [Anchor]>,
    /// Verified metadata.
    pub metadata: Option<&'a Metadata>,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// A path was found, and the model belongs to it.
    Trusted,
    /// It was looked for and not found.
    Untrusted,
    /// Nothing to look with.
    NotEvaluated,
}

/// The verdict with its reason and what was found.
#[derive(Clone, Debug)]
pub struct TrustVerdict<'a> {
    trust: Trust,
    reason: &'static str,
    anchor: Option<FoundAnchor>,
    entry: Option<&'a Entry>,
    weak: bool,
}

/// The anchor that ended the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAnchor {
    /// Its subject, or the operator's name for it when the subject is empty.
    pub name: String,
    /// SHA-256 of its DER.
    pub sha256: [u8; 32],
}

impl<'a> TrustVerdict<'a> {
    fn no(trust: Trust, reason: &'static str, entry: Option<&'a Entry>) -> Self {
        Self {
            trust,
            reason,
            anchor: None,
            entry,
            weak: false,
        }
    }

    /// Trusted, or not, or not asked.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The kebab-case word; docs/attestation.md lists them.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The anchor that ended the path, when trusted.
    #[must_use]
    pub fn anchor(&self) -> Option<&FoundAnchor> {
        self.anchor.as_ref()
    }

    /// The metadata entry of the model, when there is one, trusted or not.
    #[must_use]
    pub fn entry(&self) -> Option<&'a Entry> {
        self.entry
    }

    /// Whether a signature on the path rests on SHA-1.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }
}

/// Every word of [`TrustVerdict::reason`] and what it means.
pub const REASONS: &[(&str, &str)] = &[
    (
        "path-to-anchor",
        "the chain ends at one of the anchors given",
    ),
    (
        "path-to-metadata-root",
        "the chain ends at a root that metadata has for that model",
    ),
    ("no-trust-source", "neither anchors nor metadata were given"),
    ("time-not-given", "no clock, hence no trust"),
    ("revoked", "metadata: the model is revoked"),
    (
        "attestation-key-compromise",
        "metadata: attestation keys of the model leaked",
    ),
    (
        "user-verification-bypass",
        "metadata: its user verification can be bypassed",
    ),
    (
        "user-key-remote-compromise",
        "metadata: its keys can be extracted from afar",
    ),
    (
        "user-key-physical-compromise",
        "metadata: its keys can be extracted by who holds it",
    ),
    (
        "status-unknown",
        "metadata: a status in effect that we do not know",
    ),
    ("status-missing", "metadata: no status in effect"),
    ("no-attestation", "the authenticator proves nothing"),
    ("self-attestation", "the credential vouches for itself"),
    (
        "model-unknown",
        "metadata does not know the model, and there are no anchors",
    ),
    (
        "attestation-type-not-of-model",
        "metadata: that model makes no such attestation",
    ),
    (
        "aaguid-not-of-anchor",
        "the anchor may not vouch for that model",
    ),
    ("unknown-root", "no known anchor signed the chain"),
    (
        "chain-signature-invalid",
        "a certificate is not signed by its issuer",
    ),
    (
        "issuer-not-authority",
        "an issuer may not sign certificates, or not so far down",
    ),
    (
        "critical-extension-unknown",
        "a critical extension that we do not understand",
    ),
    (
        "certificate-validity-malformed",
        "a certificate's validity does not consist of times",
    ),
    (
        "certificate-not-yet-valid",
        "a certificate on the path is not yet valid",
    ),
    (
        "certificate-expired",
        "a certificate on the path has expired",
    ),
    (
        "chain-too-long",
        "more certificates or signatures than the budget",
    ),
    ("no-certificate", "no chain"),
];

/// Judges trust at `at` (a time given by the caller; `None`: nothing is trusted).
#[must_use]
pub fn judge<'a>(
    registration: &VerifiedRegistration,
    sources: Sources<'a>,
    at: Option<OffsetDateTime>,
) -> TrustVerdict<'a> {
    if sources.anchors.is_none() && sources.metadata.is_none() {
        return TrustVerdict::no(Trust::NotEvaluated, "no-trust-source", None);
    }
    let entry = sources
        .metadata
        .and_then(|metadata| entry_of(registration, metadata));
    let untrusted = |reason| TrustVerdict::no(Trust::Untrusted, reason, entry);
    // What proves nothing needs no clock to be refused.
    let proves_nothing = match registration.attestation_type() {
        AttestationType::None => Some("no-attestation"),
        AttestationType::SelfSigned => Some("self-attestation"),
        AttestationType::Basic | AttestationType::AttCa | AttestationType::AnonCa => None,
    };
    let Some(at) = at else {
        return untrusted(proves_nothing.unwrap_or("time-not-given"));
    };
    // Bad news counts whatever the attestation.
    if let Some(entry) = entry
        && let Standing::Fatal(reason) | Standing::Unknown(reason) =
            entry.standing(at, registration.chain())
    {
        return untrusted(reason);
    }
    if let Some(reason) = proves_nothing {
        return untrusted(reason);
    }
    let mut failure = "model-unknown";
    if let Some(entry) = entry {
        match judge_by_entry(registration, entry, at) {
            Ok(verdict) => return verdict,
            Err(reason) => failure = reason,
        }
    }
    match sources
        .anchors
        .map(|anchors| judge_by_anchors(registration, anchors, entry.is_some(), at))
    {
        Some(Ok((anchor, weak))) => TrustVerdict {
            trust: Trust::Trusted,
            reason: "path-to-anchor",
            anchor: Some(anchor),
            entry,
            weak,
        },
        Some(Err(reason)) if entry.is_none() => untrusted(reason),
        _ => untrusted(failure),
    }
}

/// The entry that describes this authenticator's model: by attestation key for U2F, by AAGUID otherwise.
fn entry_of<'a>(registration: &VerifiedRegistration, metadata: &'a Metadata) -> Option<&'a Entry> {
    if registration.format() == Format::FidoU2f {
        let leaf = registration.chain().first()?;
        return metadata.by_key_identifier(&leaf.public_key().key_identifier());
    }
    metadata.by_aaguid(registration.aaguid())
}

fn judge_by_entry<'a>(
    registration: &VerifiedRegistration,
    entry: &'a Entry,
    at: OffsetDateTime,
) -> Result<TrustVerdict<'a>, &'static str> {
    if !entry.attests(registration.attestation_type()) {
        return Err("attestation-type-not-of-model");
    }
    let roots: Vec<&Certificate> = entry.roots().collect();
    let path = path::find(registration.chain(), &roots, at).map_err(PathError::reason)?;
    let root = roots.get(path.anchor()).ok_or("unknown-root")?;
    Ok(TrustVerdict {
        trust: Trust::Trusted,
        reason: "path-to-metadata-root",
        anchor: Some(found(root, entry.description())),
        entry: Some(entry),
        weak: path.is_weak(),
    })
}

/// `known`: metadata knows the model and did not confirm it, so that only an anchor bound to it may.
fn judge_by_anchors(
    registration: &VerifiedRegistration,
    anchors: &[Anchor],
    known: bool,
    at: OffsetDateTime,
) -> Result<(FoundAnchor, bool), &'static str> {
    let fitting: Vec<&Anchor> = anchors
        .iter()
        .filter(|anchor| fits(registration, &anchor.binding, known))
        .collect();
    let certificates: Vec<&Certificate> =
        fitting.iter().map(|anchor| &anchor.certificate).collect();
    match path::find(registration.chain(), &certificates, at) {
        Ok(path) => {
            let anchor = fitting.get(path.anchor()).ok_or("unknown-root")?;
            Ok((found(&anchor.certificate, &anchor.name), path.is_weak()))
        }
        Err(error) => {
            let all: Vec<&Certificate> = anchors.iter().map(|anchor| &anchor.certificate).collect();
            match path::find(registration.chain(), &all, at) {
                Ok(_) => Err("aaguid-not-of-anchor"),
                Err(_) => Err(error.reason()),
            }
        }
    }
}

fn fits(registration: &VerifiedRegistration, binding: &Binding, known: bool) -> bool {
    match binding {
        Binding::Any => !known,
        Binding::Models { aaguids, key_identifiers } if registration.format() == Format::FidoU2f => registration.chain().first().is_some_and(|leaf| {
            key_identifiers.contains(&leaf.public_key().key_identifier())
                || matches!(leaf.fido_aaguid(), Ok(Some(aaguid)) if aaguids.contains(&Aaguid::new(aaguid)))
        }),
        Binding::Models { aaguids, .. } => aaguids.contains(&registration.aaguid()),
    }
}

fn found(certificate: &Certificate, otherwise: &str) -> FoundAnchor {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der()).as_ref(),
    );
    let subject = certificate.subject().to_string();
    let name = if subject.is_empty() {
        otherwise.to_owned()
    } else {
        subject
    };
    FoundAnchor { name, sha256 }
}
