//! What the checker says of an honest bundle, and of each lie in one.

use sceau_proof::attestation::trust::Sources;
use sceau_proof::evidence::{self, *};
use sceau_proof::log::entry::Entry;
use sceau_proof::log::note::{KeyKind, SigningKey};
use serde_json::{Value, json};

use super::{NOW, Scene, action, canonical, failed, judge, scene};

#[test]
fn accepts_a_four_eyes_action_by_a_key_and_a_card_and_names_every_check() {
    let scene = scene();
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    assert!(
        report
            .checks()
            .iter()
            .all(|check| check.result == Outcome::Passed),
        "{:#?}",
        report.checks()
    );
    let names: Vec<_> = report
        .checks()
        .iter()
        .map(|check| check.check.as_str())
        .collect();
    let mut expected = vec![
        "bundle",
        "action",
        "checkpoint",
        "witness witness.example/w1",
    ];
    let entries: Vec<_> = (0..8).map(|i| format!("entry {i}")).collect();
    expected.extend(entries.iter().map(String::as_str));
    expected.extend(["order", "policy", "requester", "approvals"]);
    let approvals: Vec<_> = (0..2)
        .flat_map(|i| {
            [
                "entry",
                "person",
                "registration",
                "attestation",
                "metadata",
                "enrolment",
                "response",
            ]
            .map(|it| format!("approval {i} {it}"))
        })
        // Metadata says nothing of cards.
        .filter(|name| name != "approval 1 metadata")
        .collect();
    expected.extend(approvals.iter().map(String::as_str));
    expected.extend(["requirement", "state", "permit"]);
    assert_eq!(names, expected);
}

/// Every text in the bundle, with the path that leads to it.
fn texts(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, item)| texts(item, &format!("{path}/{i}"), out)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| texts(member, &format!("{path}/{name}"), out)),
        _ => {}
    }
}

#[test]
fn every_text_and_number_of_the_bundle_matters() {
    let scene = scene();
    let good: Value = serde_json::from_slice(&scene.bundle.to_json().unwrap()).unwrap();
    let mut paths = Vec::new();
    texts(&good, "", &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    for path in &paths {
        let text = good.pointer(path).unwrap().as_str().unwrap().to_owned();
        // A few places of each text: its first, middle and last characters, and one near each end.
        for at in [
            0,
            1,
            text.len() / 2,
            text.len().saturating_sub(2),
            text.len() - 1,
        ] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = Value::String(changed);
            // Members of a public key that name its use do not matter to the signature.
            if path.starts_with("/permit/jwks/keys/0/")
                && matches!(path.rsplit('/').next(), Some("alg" | "use"))
            {
                continue;
            }
            let report = judge(&scene, &canonical(&bad));
            assert!(!report.accepted(), "{path} at {at}: {text}");
        }
    }
    for i in 0..8 {
        let mut bad = good.clone();
        let index = bad.pointer_mut(&format!("/log/entries/{i}/index")).unwrap();
        *index = json!(index.as_u64().unwrap() + 1);
        assert_eq!(
            failed(&judge(&scene, &canonical(&bad))),
            [format!("entry {i}")]
        );
    }
}

#[test]
fn each_lie_is_caught_by_the_check_that_is_there_for_it() {
    let scene = scene();
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = scene.bundle.clone();
        change(&mut bundle);
        let report = judge(&scene, &bundle.to_json().unwrap());
        assert!(!report.accepted());
        failed(&report).join(", ")
    };
    assert_eq!(with(&|it| it.v = 2), "bundle");
    assert_eq!(
        with(&|it| it.action = action("account.create", "amartin", "attacker", 9, NOW)),
        "order"
    );
    assert_eq!(with(&|it| it.action.push(b' ')), "action");
    assert_eq!(with(&|it| it.state = State::Approved), "state");
    assert_eq!(with(&|it| it.state = State::Consumed), "state");
    assert_eq!(
        with(&|it| it.policy.decision["requirement"]["approvals"] = json!(1)),
        "policy"
    );
    assert_eq!(with(&|it| it.policy.text = Some("forbid".into())), "policy");
    assert_eq!(
        with(&|it| drop(it.approvals.pop())),
        "approvals, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[1] = it.approvals[0].clone()),
        "approval 1 entry, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[0].person = "amartin".into()),
        "approval 0 person, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[0].key["origins"] = json!(["https://evil.example"])),
        "approval 0 entry"
    );
    assert_eq!(with(&|it| drop(it.log.entries.remove(7))), "state");
    assert_eq!(with(&|it| it.state = State::Executing), "state");
    let unused = |it: &mut Bundle| {
        it.log.entries.truncate(6);
        it.state = State::Executing;
    };
    assert_eq!(with(&unused), "state");
    assert_eq!(
        with(&|it| drop(it.log.entries.remove(3))),
        "approvals, approval 0 entry"
    );
    assert_eq!(with(&|it| drop(it.log.entries.remove(2))), "order");
    assert_eq!(with(&|it| it.log.entries.swap(3, 4)), "order");
    assert_eq!(
        with(&|it| it.permit.as_mut().unwrap().issuer = "https://evil.example".into()),
        "permit"
    );
    assert_eq!(
        with(&|it| it.timestamps = vec!["MAA".into()]),
        "timestamp 0"
    );
    let opening = |it: &mut Bundle, i: usize, value: &str| {
        it.log.entries[i].openings.get_mut("person").unwrap().value = value.into()
    };
    assert_eq!(with(&|it| opening(it, 2, "bmartin")), "entry 2");
}

/// Exported between the gate's taking of the one use and its report: the log's last word is `permit.consumed`.
#[test]
fn what_is_being_executed_is_told_as_such_and_as_nothing_else() {
    let mut scene = scene();
    let last = scene.bundle.log.entries.pop().unwrap();
    let kind = |entry: &LoggedEntry| Entry::parse(&entry.leaf).unwrap().kind().to_owned();
    assert_eq!(kind(&last), "action.executed");
    assert_eq!(
        kind(scene.bundle.log.entries.last().unwrap()),
        "permit.consumed"
    );
    for (state, holds) in [
        (State::Executing, true),
        (State::Consumed, true),
        (State::Approved, false),
        (State::Executed, false),
        (State::Pending, false),
    ] {
        scene.bundle.state = state;
        let report = judge(&scene, &scene.bundle.to_json().unwrap());
        assert_eq!(report.accepted(), holds, "{state:?}: {:?}", failed(&report));
    }
    scene.bundle.state = State::Executing;
    assert!(
        scene
            .bundle
            .to_json()
            .is_ok_and(|json| String::from_utf8_lossy(&json).contains(r#""state":"executing""#))
    );
    scene.bundle.approvals.pop();
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert_eq!(failed(&report), ["approvals", "requirement"]);
}

#[test]
fn erased_openings_leave_everything_else_checkable() {
    let mut bundle = scene();
    bundle
        .bundle
        .log
        .entries
        .iter_mut()
        .for_each(|entry| entry.openings.clear());
    let report = judge(&bundle, &bundle.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    let requester = report
        .checks()
        .iter()
        .find(|check| check.check == "requester")
        .unwrap();
    assert_eq!(requester.result, Outcome::NotEvaluated);
}

#[test]
fn rejects_other_log_keys_missing_witnesses_and_foreign_roots() {
    let scene = scene();
    let bytes = scene.bundle.to_json().unwrap();
    let other = SigningKey::from_seed("sceau.example/log", KeyKind::Log, &[9; 32])
        .unwrap()
        .verifying_key()
        .clone();
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &other,
            witnesses: &[],
            sources: Sources::default(),
            at: None,
        },
    );
    assert_eq!(failed(&report), ["checkpoint"]);
    let witness = [SigningKey::from_seed("w2", KeyKind::Witness, &[9; 32])
        .unwrap()
        .verifying_key()
        .clone()];
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &witness,
            sources: Sources::default(),
            at: None,
        },
    );
    assert_eq!(failed(&report), ["witness w2"]);
    let foreign = Scene {
        anchors: self::scene().anchors,
        ..self::scene()
    };
    let sources = Sources {
        anchors: Some(&foreign.anchors),
        metadata: None,
    };
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &[],
            sources,
            at: Some(NOW),
        },
    );
    assert_eq!(
        failed(&report),
        ["approval 0 attestation", "approval 1 attestation"]
    );
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &[],
            sources: Sources::default(),
            at: None,
        },
    );
    assert!(report.accepted());
}
