//! What was demanded of an action, checked in its bundle: persons, freshness, cosignatures, models.

use sceau_proof::base64url;
use sceau_proof::evidence::*;
use sceau_proof::log::entry::Entry;
use sceau_proof::log::leaf_hash;
use sceau_proof::log::note::{KeyKind, SigningKey};
use serde_json::{Value, json};

use super::{Log, Scene, failed, judge, manufacturer, scene};

/// The requirement decides who counts; these bundles are otherwise perfect.
#[test]
fn an_action_without_its_second_person_is_not_approved() {
    let report = judge_requirement(
        json!({"approvals": 3, "approvers": "roles", "roles": [], "verification": "pin"}),
    );
    assert_eq!(report, ["requirement"]);
    let report = judge_requirement(
        json!({"approvals": 1, "approvers": "requester", "roles": [], "verification": "pin"}),
    );
    assert_eq!(report, ["requirement"]);
    let own = json!({"approvals": 1, "approvers": "roles", "roles": [], "requester_also": true, "verification": "pin"});
    assert_eq!(judge_requirement(own), ["requirement"]);
    let report = judge_requirement(
        json!({"approvals": 1, "approvers": "roles", "roles": [], "verification": "pin"}),
    );
    assert!(report.is_empty());
}

#[test]
fn what_is_fresh_and_cosigned_is_checked_where_it_is_demanded() {
    let four = |more: Value| {
        let mut requirement =
            json!({"approvals": 2, "approvers": "roles", "roles": [], "verification": "pin"});
        for (name, value) in more.as_object().unwrap() {
            requirement[name] = value.clone();
        }
        judge_requirement(requirement)
    };
    assert!(four(json!({"fresh": 2, "cosignatures": 1})).is_empty());
    // Used two seconds after the last approval; one witness is known, and has cosigned.
    assert_eq!(four(json!({"fresh": 1})), ["fresh"]);
    assert!(
        four(json!({"cosignatures": 2})).is_empty(),
        "the other is not known to this auditor"
    );
}

#[test]
fn what_the_policy_allows_without_a_key_needs_no_approval() {
    let allowed = || {
        let mut scene = scene();
        scene.bundle.approvals.clear();
        let kept = |leaf: &[u8]| {
            let entry = Entry::parse(leaf).unwrap();
            !matches!(entry.kind(), "action.approved" | "key.enrolled")
        };
        scene.bundle.log.entries.retain(|entry| kept(&entry.leaf));
        scene
    };
    let with = |approvals: u32| {
        relogged(
            allowed(),
            json!({"approvals": approvals, "approvers": "requester", "roles": [], "verification": "pin"}),
        )
    };
    assert!(with(0).is_empty());
    assert_eq!(with(1), ["requirement", "state"]);
}

#[test]
fn a_key_whose_model_metadata_knows_otherwise_is_found() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut scene = scene();
        let key = &mut scene.bundle.approvals[0].key;
        let at = "/registration/metadata/entry";
        let entry = key.pointer(at).unwrap().as_str().unwrap().to_owned();
        let mut entry: Value = serde_json::from_slice(&base64url::decode(&entry).unwrap()).unwrap();
        change(&mut entry);
        *key.pointer_mut(at).unwrap() = base64url::encode(entry.to_string()).into();
        // As if the server had written it down so: whatever hangs on the record's digest follows it.
        let digest = json_sha256(key).unwrap();
        for entry in &mut scene.bundle.log.entries {
            let parsed = Entry::parse(&entry.leaf).unwrap();
            if parsed.subject_id("key") == Some("key-b") {
                entry.leaf = parsed.digest("key", digest).to_bytes().unwrap();
            }
        }
        let decision = scene.bundle.policy.decision["requirement"].clone();
        relogged(scene, decision)
    };
    assert!(with(&|_| ()).is_empty());
    let metadata = ["approval 0 metadata"];
    assert_eq!(
        with(&|it| it["aaguid"] = json!("00000000-0000-4000-8000-000000000001")),
        metadata
    );
    assert_eq!(
        with(&|it| it["statusReports"][1]["effectiveDate"] = json!("2026-11-20")),
        metadata,
        "revoked on the day of the enrolment"
    );
    let foreign = manufacturer().entry();
    assert_eq!(
        with(&|it| it["metadataStatement"] = foreign["metadataStatement"].clone()),
        metadata
    );
    assert_eq!(with(&|it| *it = json!(7)), metadata);
}

/// The same scene under another decision, logged as such.
fn judge_requirement(requirement: Value) -> Vec<String> {
    relogged(scene(), requirement)
}

/// The scene's entries in a log of their own, under this decision; what fails.
fn relogged(mut scene: Scene, requirement: Value) -> Vec<String> {
    let decision = json!({"requirement": requirement});
    let digest = json_sha256(&decision).unwrap();
    scene.bundle.policy.decision = decision;
    let mut log = Log::default();
    for claim in &scene.bundle.log.entries {
        let entry = Entry::parse(&claim.leaf).unwrap();
        let leaf = if entry.kind() == "action.requested" {
            entry.digest("decision", digest).to_bytes().unwrap()
        } else {
            claim.leaf.clone()
        };
        log.ours.push((
            log.leaves.len() as u64,
            leaf.clone(),
            claim.openings.clone(),
        ));
        log.leaves.push(leaf_hash(&leaf));
    }
    let log_key = SigningKey::from_seed("sceau.example/log", KeyKind::Log, &[1; 32]).unwrap();
    let witness = SigningKey::from_seed("witness.example/w1", KeyKind::Witness, &[2; 32]).unwrap();
    scene.bundle.log = log.publish(&log_key, &witness);
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    failed(&report).into_iter().map(str::to_owned).collect()
}
