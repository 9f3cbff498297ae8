//! The checks of one approval: its log entry, its person, how its key was enrolled, and what the key signed.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{Established, Logged, Outcome, Report, Trust};
use crate::action::Action;
use crate::assertion;
use crate::attestation::trust::{self, Anchor, Binding, Sources};
use crate::attestation::{self, RegistrationExpectation, RegistrationResponse};
use crate::base64url;
use crate::certificate::{Certificate, PublicKeyInfo, path};
use crate::cose::PublicKey;
use crate::evidence::{
    Approval, EnrolledKey, Fido2Registration, KeyRecord, MetadataRecord, PivRegistration, Response,
    json_sha256,
};
use crate::metadata::Entry;
use crate::piv;

/// Checks every approval; the persons who approved.
pub(super) fn check_all<'a>(
    established: &'a Established<'_>,
    auditor: &Trust<'_>,
    report: &mut Report,
) -> BTreeSet<&'a str> {
    let entries = established.of_kind("action.approved").count();
    let approvals = &established.bundle.approvals;
    let counted = format!("{} in the bundle, {entries} in the log", approvals.len());
    let found = if entries == approvals.len() {
        Ok(((), counted))
    } else {
        Err(counted)
    };
    report.require("approvals", found);
    let mut seen = BTreeSet::new();
    for (i, approval) in approvals.iter().enumerate() {
        let entry = check_one(established, auditor, i, approval, report);
        if entry.is_some_and(|index| !seen.insert(index)) {
            let name = format!("approval {i} entry");
            report.push(
                name,
                Outcome::Failed,
                "the same entry as another approval's",
            );
        }
    }
    approvals
        .iter()
        .map(|approval| approval.person.as_str())
        .collect()
}

/// The index of the approval's entry.
fn check_one(
    established: &Established<'_>,
    auditor: &Trust<'_>,
    i: usize,
    approval: &Approval,
    report: &mut Report,
) -> Option<u64> {
    let name = |check: &str| format!("approval {i} {check}");
    let key = KeyRecord::parse(&approval.key);
    let found = key
        .as_ref()
        .ok_or("the key record is not of its form".to_owned());
    let found = found.and_then(|key| find_entry(established, approval, key));
    let entry = report.require(name("entry"), found)?;
    let key = key?;
    report.require(name("person"), check_person(approval, &key, entry));
    let ceremony = read_ceremony(&key);
    let attested = report.require(name("registration"), ceremony);
    match &attested {
        Some(attested) => check_attestation(attested, &key, auditor, name("attestation"), report),
        None => report.unknown(name("attestation"), "the registration did not verify"),
    }
    if let (Some(Attested::Fido2(verified)), EnrolledKey::Fido2 { registration, .. }) =
        (&attested, &key.key)
        && let Some(metadata) = &registration.metadata
    {
        let found = check_metadata(verified, metadata, key.enrolled_at);
        report.require(name("metadata"), found);
    }
    check_enrolment(
        established,
        approval,
        &key,
        entry,
        name("enrolment"),
        report,
    );
    report.require(
        name("response"),
        check_response(established, approval, &key),
    );
    Some(entry.index)
}

fn find_entry<'b, 'a>(
    established: &'b Established<'a>,
    approval: &Approval,
    key: &KeyRecord,
) -> Result<(&'b Logged<'a>, String), String> {
    let response = json_sha256(&approval.response).map_err(|error| error.to_string())?;
    let mut found = established
        .of_kind("action.approved")
        .filter(|it| it.entry.sha256_of("approval") == Some(&response));
    let entry = found
        .next()
        .ok_or("no entry of the log has this response")?;
    if found.next().is_some() {
        return Err("two entries of the log have this response".to_owned());
    }
    let digest = json_sha256(&approval.key).map_err(|error| error.to_string())?;
    if entry.entry.sha256_of("key") != Some(&digest) {
        return Err("another key record than the log's".to_owned());
    }
    if entry.entry.subject_id("key") != Some(&key.key_id) {
        return Err("another key than the log's".to_owned());
    }
    let at = entry.entry.at();
    if at < established.action.created_at() || at > established.action.expires_at() {
        return Err("approved outside the action's life".to_owned());
    }
    Ok((entry, format!("index {}, key {}", entry.index, key.key_id)))
}

fn check_person(
    approval: &Approval,
    key: &KeyRecord,
    entry: &Logged<'_>,
) -> Result<((), String), String> {
    if key.person != approval.person {
        return Err(format!("the key is {}'s", key.person));
    }
    match entry.opening("person") {
        Some(person) if person != approval.person => Err(format!("the log says {person}")),
        Some(_) => Ok(((), approval.person.clone())),
        None => Ok((
            (),
            format!(
                "{}, by the key record; the log's commitment is not opened",
                approval.person
            ),
        )),
    }
}

/// What a registration claims about where the key lives, with the key itself verified.
enum Attested {
    Fido2(Box<attestation::VerifiedRegistration>),
    Piv {
        leaf: Box<Certificate>,
        intermediates: Vec<Certificate>,
        key: PublicKeyInfo,
    },
    Issued {
        leaf: Box<Certificate>,
        intermediates: Vec<Certificate>,
    },
}

fn read_ceremony(key: &KeyRecord) -> Result<(Attested, String), String> {
    match &key.key {
        EnrolledKey::Fido2 {
            credential_id,
            public_key_cose,
            registration,
        } => read_fido2(key, credential_id, public_key_cose, registration),
        EnrolledKey::Piv {
            public_key_spki,
            registration,
        } => read_piv(key, public_key_spki, registration),
    }
}

/// The challenge of the `key.register` action of this person.
fn register_challenge(key: &KeyRecord, action: &[u8]) -> Result<[u8; 32], String> {
    let action_parsed =
        Action::parse(action).map_err(|error| format!("key.register: {}", error.reason()))?;
    if action_parsed.canonical() != action {
        return Err("key.register: not-canonical".to_owned());
    }
    if action_parsed.kind() != "key.register" || action_parsed.target().id != key.person {
        return Err("not a key.register action of this person".to_owned());
    }
    Ok(*action_parsed.challenge().as_bytes())
}

fn read_fido2(
    key: &KeyRecord,
    credential_id: &[u8],
    public_key_cose: &[u8],
    registration: &Fido2Registration,
) -> Result<(Attested, String), String> {
    let expectation = RegistrationExpectation {
        rp_id: key.rp_id.clone(),
        origins: key.origins.clone(),
        challenge: register_challenge(key, &registration.action)?.to_vec(),
        require_uv: false,
        allow_cross_origin: false,
        top_origins: None,
    };
    let response = RegistrationResponse {
        client_data_json: &registration.client_data_json,
        attestation_object: &registration.attestation_object,
    };
    let verified = attestation::verify_statement(&response, &expectation)
        .map_err(|error| error.reason().to_owned())?;
    if verified.credential_id().as_bytes() != credential_id {
        return Err("the registration made another credential".to_owned());
    }
    if verified.public_key_cose() != public_key_cose {
        return Err("the registration made another public key".to_owned());
    }
    let detail = format!(
        "{} {} by model {}",
        verified.format().name(),
        verified.attestation_type().word(),
        verified.aaguid()
    );
    Ok((Attested::Fido2(Box::new(verified)), detail))
}

fn certificate(text: &str) -> Result<Certificate, String> {
    let der = base64url::decode(text).map_err(|error| error.to_string())?;
    Certificate::from_der(&der).map_err(|error| error.to_string())
}

fn read_piv(
    key: &KeyRecord,
    spki: &[u8],
    registration: &PivRegistration,
) -> Result<(Attested, String), String> {
    let challenge = register_challenge(key, &registration.action)?;
    let public_key = PublicKeyInfo::from_der(spki).map_err(|error| error.to_string())?;
    let response = piv::SignatureResponse {
        origin: registration.origin.clone(),
        signature: registration.signature.clone(),
    };
    let expectation = piv::Expectation {
        challenge: &challenge,
        origins: &key.origins,
    };
    piv::verify_signature(&response, &public_key, &expectation)
        .map_err(|error| error.reason().to_owned())?;
    if registration.intermediates.len() > path::MAX_CHAIN {
        return Err("chain-too-long".to_owned());
    }
    let intermediates = registration
        .intermediates
        .iter()
        .map(|it| certificate(it))
        .collect::<Result<Vec<_>, _>>()?;
    let (leaf, attested) = match (&registration.attestation, &registration.certificate) {
        (Some(leaf), None) => (Box::new(certificate(leaf)?), true),
        (None, Some(leaf)) => (Box::new(certificate(leaf)?), false),
        _ => return Err("neither or both of attestation and certificate".to_owned()),
    };
    if leaf.public_key() != &public_key {
        return Err("the certificate is of another key".to_owned());
    }
    let detail = format!(
        "{} by {}",
        if attested { "attested" } else { "certified" },
        leaf.issuer()
    );
    let attested = if attested {
        Attested::Piv {
            leaf,
            intermediates,
            key: public_key,
        }
    } else {
        Attested::Issued {
            leaf,
            intermediates,
        }
    };
    Ok((attested, detail))
}

fn check_attestation(
    attested: &Attested,
    key: &KeyRecord,
    auditor: &Trust<'_>,
    name: String,
    report: &mut Report,
) {
    let at = auditor.at.unwrap_or(key.enrolled_at);
    let anchors: Option<Vec<&Certificate>> = auditor
        .sources
        .anchors
        .map(|anchors| anchors.iter().map(|anchor| &anchor.certificate).collect());
    let found = match (attested, anchors) {
        (Attested::Fido2(registration), _) => {
            let verdict = trust::judge(registration, auditor.sources, Some(at));
            let anchor = verdict
                .anchor()
                .map(|anchor| anchor.name.clone())
                .unwrap_or_default();
            match verdict.trust() {
                trust::Trust::Trusted => Ok(((), format!("{} {anchor}", verdict.reason()))),
                trust::Trust::Untrusted => Err(verdict.reason().to_owned()),
                trust::Trust::NotEvaluated => return report.unknown(name, "no roots given"),
            }
        }
        (_, None) => return report.unknown(name, "no roots given"),
        (
            Attested::Piv {
                leaf,
                intermediates,
                key,
            },
            Some(anchors),
        ) => {
            let claim = piv::attestation::Claim {
                leaf,
                intermediates,
                public_key: Some(key),
            };
            let verified = piv::attestation::verify(&claim, &anchors, Some(at));
            verified
                .map(|it| ((), format!("leads to {}", it.anchor())))
                .map_err(|error| error.reason().to_owned())
        }
        (
            Attested::Issued {
                leaf,
                intermediates,
            },
            Some(anchors),
        ) => {
            let anchor = piv::issuer::verify_path(leaf, intermediates, &anchors, at);
            let detail = |anchor| {
                format!("certified by an issuer, leads to {anchor}; revocation is not judged here")
            };
            anchor
                .map(|anchor| ((), detail(anchor)))
                .map_err(|error| error.reason().to_owned())
        }
    };
    report.require(name, found);
}

/// Whether the entry is this model's, its roots vouch for this key, and nothing spoke against the model when the key was enrolled.
fn check_metadata(
    verified: &attestation::VerifiedRegistration,
    metadata: &MetadataRecord,
    enrolled_at: OffsetDateTime,
) -> Result<((), String), String> {
    let entry = Entry::parse(&metadata.entry).map_err(|error| error.to_string())?;
    let anchors: Vec<Anchor> = entry
        .roots()
        .map(|root| Anchor {
            certificate: root.clone(),
            name: entry.description().to_owned(),
            binding: Binding::Models {
                aaguids: entry.aaguid().into_iter().collect(),
                key_identifiers: entry.key_identifiers().to_vec(),
            },
        })
        .collect();
    let sources = Sources {
        anchors: Some(&anchors),
        metadata: None,
    };
    let verdict = trust::judge(verified, sources, Some(enrolled_at));
    if verdict.trust() != trust::Trust::Trusted {
        return Err(verdict.reason().to_owned());
    }
    let standing = entry.standing(enrolled_at, verified.chain());
    let detail = format!(
        "{} in list {}, {}",
        standing.reason(),
        metadata.no,
        entry.description()
    );
    if standing.is_acceptable() {
        Ok(((), detail))
    } else {
        Err(detail)
    }
}

fn check_enrolment(
    established: &Established<'_>,
    approval: &Approval,
    key: &KeyRecord,
    entry: &Logged<'_>,
    name: String,
    report: &mut Report,
) {
    let mut enrolled = established
        .of_kind("key.enrolled")
        .filter(|it| it.entry.subject_id("key") == Some(&key.key_id));
    let Some(first) = enrolled.next() else {
        return report.unknown(name, "the bundle has no key.enrolled entry for this key");
    };
    let digest = json_sha256(&approval.key).ok();
    let found = if first.index >= entry.index {
        Err("enrolled after the approval".to_owned())
    } else if first.entry.sha256_of("key").copied() != digest || digest.is_none() {
        Err("another key record than the enrolment's".to_owned())
    } else {
        Ok(((), format!("index {}", first.index)))
    };
    report.require(name, found);
}

fn check_response(
    established: &Established<'_>,
    approval: &Approval,
    key: &KeyRecord,
) -> Result<((), String), String> {
    let response = Response::parse(&approval.response).ok_or("the response is not of its form")?;
    let challenge = established.action.challenge();
    // Only the word `touch` waives user verification.
    let require_uv = established
        .requirement()
        .is_none_or(|requirement| requirement.verification != "touch");
    match (&response, &key.key) {
        (
            Response::Fido2(response),
            EnrolledKey::Fido2 {
                credential_id,
                public_key_cose,
                ..
            },
        ) => {
            let public_key =
                PublicKey::from_cose(public_key_cose).map_err(|error| error.to_string())?;
            if response
                .credential_id
                .as_ref()
                .is_some_and(|id| id.as_bytes() != credential_id)
            {
                return Err("credential-mismatch".to_owned());
            }
            let mut expectation =
                assertion::Expectation::new(&key.rp_id, &key.origins, challenge.as_bytes());
            expectation.require_uv = require_uv;
            let verified = assertion::verify(response, &public_key, &expectation)
                .map_err(|error| error.reason().to_owned())?;
            let flags = verified.flags();
            Ok((
                (),
                format!(
                    "up {} uv {} from {}",
                    flags.up(),
                    flags.uv(),
                    verified.origin()
                ),
            ))
        }
        (
            Response::Piv(response),
            EnrolledKey::Piv {
                public_key_spki, ..
            },
        ) => {
            let public_key =
                PublicKeyInfo::from_der(public_key_spki).map_err(|error| error.to_string())?;
            let expectation = piv::Expectation {
                challenge: challenge.as_bytes(),
                origins: &key.origins,
            };
            let verified = piv::verify_signature(response, &public_key, &expectation)
                .map_err(|error| error.reason().to_owned())?;
            Ok(((), format!("card signature from {}", verified.origin())))
        }
        _ => Err("a response of another kind of key".to_owned()),
    }
}
