//! Trust: anchors, metadata entries, their models and their status, each refusal with its reason.

use sceau_proof::attestation::VerifiedRegistration;
use sceau_proof::attestation::trust::{Anchor, Binding, REASONS, Sources, Trust, judge};
use sceau_proof::authenticator_data::Aaguid;
use sceau_proof::certificate::oid;
use sceau_proof::metadata::Metadata;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::maker::{AAGUID, Ceremony, Draft, Identity, NOW, Publisher, Statement, entry, report};

fn registration(leaf: &Identity, above: &[&Identity]) -> VerifiedRegistration {
    let ceremony = Ceremony::new();
    ceremony.verify(&ceremony.packed(leaf, above)).unwrap()
}

fn u2f(leaf: &Identity) -> VerifiedRegistration {
    let ceremony = Ceremony::new();
    let statement = Statement::default()
        .bytes("sig", leaf.key.sign(&ceremony.signed_u2f()))
        .chain(vec![leaf.der.clone()]);
    ceremony
        .verify(&ceremony.object("fido-u2f", &statement))
        .unwrap()
}

fn anchor(identity: &Identity, binding: Binding) -> Anchor {
    Anchor {
        certificate: identity.certificate(),
        name: "anchor.pem".to_owned(),
        binding,
    }
}

fn only(aaguid: [u8; 16]) -> Binding {
    Binding::Models {
        aaguids: vec![Aaguid::new(aaguid)],
        key_identifiers: Vec::new(),
    }
}

fn judged(
    registration: &VerifiedRegistration,
    anchors: Option<&[Anchor]>,
    metadata: Option<&Metadata>,
    at: Option<OffsetDateTime>,
) -> &'static str {
    let verdict = judge(registration, Sources { anchors, metadata }, at);
    let reason = verdict.reason();
    assert!(
        REASONS.iter().any(|(word, _)| *word == reason),
        "{reason} is not documented"
    );
    assert_eq!(
        verdict.trust() == Trust::Trusted,
        reason.starts_with("path-to-")
    );
    assert_eq!(
        verdict.trust() == Trust::Trusted,
        verdict.anchor().is_some()
    );
    reason
}

fn by_anchors(registration: &VerifiedRegistration, anchors: &[Anchor]) -> &'static str {
    judged(registration, Some(anchors), None, Some(NOW))
}

fn by_metadata(registration: &VerifiedRegistration, metadata: &Metadata) -> &'static str {
    judged(registration, None, Some(metadata), Some(NOW))
}

#[test]
fn an_anchor_vouches_for_the_models_that_it_is_bound_to() {
    let root = Identity::root(Draft::authority("Racine"));
    let registration = registration(&root.issue(Draft::leaf()), &[]);
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, Binding::Any)]),
        "path-to-anchor"
    );
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, only(AAGUID))]),
        "path-to-anchor"
    );
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, only([9; 16]))]),
        "aaguid-not-of-anchor"
    );
    let stranger = Identity::root(Draft::authority("Racine"));
    assert_eq!(
        by_anchors(&registration, &[anchor(&stranger, Binding::Any)]),
        "chain-signature-invalid"
    );
    let other = Identity::root(Draft::authority("Autre"));
    assert_eq!(
        by_anchors(&registration, &[anchor(&other, Binding::Any)]),
        "unknown-root"
    );
    assert_eq!(
        by_anchors(
            &registration,
            &[anchor(&stranger, Binding::Any), anchor(&root, only(AAGUID))]
        ),
        "path-to-anchor"
    );
}

#[test]
fn nothing_is_trusted_without_sources_or_a_clock() {
    let root = Identity::root(Draft::authority("Racine"));
    let registration = registration(&root.issue(Draft::leaf()), &[]);
    assert_eq!(
        judged(&registration, None, None, Some(NOW)),
        "no-trust-source"
    );
    assert_eq!(
        judged(
            &registration,
            Some(&[anchor(&root, Binding::Any)]),
            None,
            None
        ),
        "time-not-given"
    );
    assert_eq!(
        judged(&registration, Some(&[]), None, Some(NOW)),
        "unknown-root"
    );
}

#[test]
fn a_clock_outside_the_chain_refuses() {
    let root = Identity::root(Draft::authority("Racine"));
    let mut expired = Draft::leaf();
    expired.not_after = "20250101000000Z";
    let registration = registration(&root.issue(expired), &[]);
    let anchors = [anchor(&root, Binding::Any)];
    assert_eq!(by_anchors(&registration, &anchors), "certificate-expired");
    assert_eq!(
        judged(
            &registration,
            Some(&anchors),
            None,
            Some(datetime!(2024-01-01 00:00:00 UTC))
        ),
        "path-to-anchor"
    );
    assert_eq!(
        judged(
            &registration,
            Some(&anchors),
            None,
            Some(datetime!(2019-01-01 00:00:00 UTC))
        ),
        "certificate-not-yet-valid"
    );
    let mut timeless = Draft::leaf();
    timeless.not_before = "sometime ago...";
    let registration = self::registration(&root.issue(timeless), &[]);
    assert_eq!(
        by_anchors(&registration, &anchors),
        "certificate-validity-malformed"
    );
}

#[test]
fn self_and_none_are_never_trusted() {
    let root = Identity::root(Draft::authority("Racine"));
    let ceremony = Ceremony::new();
    let own = Statement::default()
        .int("alg", -7)
        .bytes("sig", ceremony.credential.sign(&ceremony.signed()));
    let by_itself = ceremony.verify(&ceremony.object("packed", &own)).unwrap();
    let nothing = ceremony
        .verify(&ceremony.object("none", &Statement::default()))
        .unwrap();
    let metadata = Publisher::new().publish(&[entry(&root, &json!([report("FIDO_CERTIFIED_L1")]))]);
    for at in [Some(NOW), None] {
        for anchors in [Some(&[anchor(&root, Binding::Any)][..]), None] {
            assert_eq!(
                judged(&by_itself, anchors, Some(&metadata), at),
                "self-attestation"
            );
            assert_eq!(
                judged(&nothing, anchors, Some(&metadata), at),
                "no-attestation"
            );
        }
    }
}

#[test]
fn a_metadata_entry_vouches_for_its_own_model_only() {
    let (root, other) = (
        Identity::root(Draft::authority("Racine")),
        Identity::root(Draft::authority("Autre")),
    );
    let registration = registration(&root.issue(Draft::leaf()), &[]);
    let certified = json!([report("FIDO_CERTIFIED_L1")]);
    let publisher = Publisher::new();
    assert_eq!(
        by_metadata(
            &registration,
            &publisher.publish(&[entry(&root, &certified)])
        ),
        "path-to-metadata-root"
    );
    assert_eq!(
        by_metadata(
            &registration,
            &publisher.publish(&[entry(&other, &certified)])
        ),
        "unknown-root"
    );
    // Another model with the right root vouches for nothing.
    let mut moved = entry(&root, &certified);
    moved["aaguid"] = json!("09090909-0909-0909-0909-090909090909");
    assert_eq!(
        by_metadata(&registration, &publisher.publish(&[moved])),
        "model-unknown"
    );
    let mut surrogate = entry(&root, &certified);
    surrogate["metadataStatement"]["attestationTypes"] = json!(["basic_surrogate"]);
    assert_eq!(
        by_metadata(&registration, &publisher.publish(&[surrogate])),
        "attestation-type-not-of-model"
    );
}

#[test]
fn an_anchor_overrides_metadata_only_for_its_own_model_and_never_a_fatal_status() {
    let (root, other) = (
        Identity::root(Draft::authority("Racine")),
        Identity::root(Draft::authority("Autre")),
    );
    let registration = registration(&root.issue(Draft::leaf()), &[]);
    let publisher = Publisher::new();
    let known = publisher.publish(&[entry(&other, &json!([report("FIDO_CERTIFIED_L1")]))]);
    let both = |binding, metadata: &Metadata| {
        judged(
            &registration,
            Some(&[anchor(&root, binding)]),
            Some(metadata),
            Some(NOW),
        )
    };
    assert_eq!(both(Binding::Any, &known), "unknown-root");
    assert_eq!(both(only(AAGUID), &known), "path-to-anchor");
    let revoked = publisher.publish(&[entry(&root, &json!([report("REVOKED")]))]);
    assert_eq!(both(only(AAGUID), &revoked), "revoked");
    let unknown = publisher.publish(&[entry(&root, &json!([report("SOMETHING_NEW")]))]);
    assert_eq!(both(only(AAGUID), &unknown), "status-unknown");
    let empty = publisher.publish(&[]);
    assert_eq!(both(Binding::Any, &empty), "path-to-anchor");
}

#[test]
fn u2f_keys_are_found_by_their_attestation_key() {
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = root.issue(Draft::authority("U2F").without(oid::BASIC_CONSTRAINTS));
    let registration = u2f(&leaf);
    let id = leaf.certificate().public_key().key_identifier();
    let publisher = Publisher::new();
    let mut found = entry(&root, &json!([report("FIDO_CERTIFIED")]));
    found.as_object_mut().unwrap().remove("aaguid");
    found["attestationCertificateKeyIdentifiers"] = json!([hex::encode(id)]);
    assert_eq!(
        by_metadata(&registration, &publisher.publish(&[found.clone()])),
        "path-to-metadata-root"
    );
    found["statusReports"] = json!([report("ATTESTATION_KEY_COMPROMISE")]);
    assert_eq!(
        by_metadata(&registration, &publisher.publish(&[found])),
        "attestation-key-compromise"
    );
    // By AAGUID, which a U2F statement does not prove, nothing is found.
    let by_aaguid = publisher.publish(&[entry(&root, &json!([report("FIDO_CERTIFIED")]))]);
    assert_eq!(by_metadata(&registration, &by_aaguid), "model-unknown");
    let bound = |key_identifiers| Binding::Models {
        aaguids: Vec::new(),
        key_identifiers,
    };
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, bound(vec![id]))]),
        "path-to-anchor"
    );
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, bound(vec![[9; 20]]))]),
        "aaguid-not-of-anchor"
    );
    assert_eq!(
        by_anchors(&registration, &[anchor(&root, only(AAGUID))]),
        "aaguid-not-of-anchor"
    );
    // The leaf may say which model it is, as Yubico's do.
    let telling = u2f(&root.issue(Draft::leaf()));
    assert_eq!(
        by_anchors(&telling, &[anchor(&root, only(AAGUID))]),
        "path-to-anchor"
    );
}

#[test]
fn a_path_through_an_intermediate_and_a_leaf_as_anchor() {
    let root = Identity::root(Draft::authority("Racine"));
    let middle = root.issue(Draft::authority("Usine 3"));
    let leaf = middle.issue(Draft::leaf());
    assert_eq!(
        by_anchors(
            &registration(&leaf, &[&middle]),
            &[anchor(&root, Binding::Any)]
        ),
        "path-to-anchor"
    );
    assert_eq!(
        by_anchors(&registration(&leaf, &[]), &[anchor(&leaf, Binding::Any)]),
        "path-to-anchor"
    );
    assert_eq!(
        by_anchors(&registration(&leaf, &[]), &[anchor(&root, Binding::Any)]),
        "unknown-root"
    );
    // A leaf that issues another leaf is no authority.
    let forged = leaf.issue(Draft::leaf());
    assert_eq!(
        by_anchors(
            &registration(&forged, &[&leaf, &middle]),
            &[anchor(&root, Binding::Any)]
        ),
        "issuer-not-authority"
    );
}
