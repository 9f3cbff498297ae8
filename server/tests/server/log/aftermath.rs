//! After the harm: a person erased, a permit of a stolen key, an incident reported.

use sceau_proof::log::{checkpoint, leaf_hash};
use sceau_server::export::export;

use super::{audited, log_key, open};
use crate::fixture::Place;

#[tokio::test]
async fn a_person_is_erased_and_every_proof_stays_valid() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let record = carl.ask(&desk, "account.create").await.unwrap();
    carl.approve(&desk, &record).await.unwrap();
    let check = async || {
        let bundle = desk.evidence(record.id).await.unwrap().to_json().unwrap();
        let report = sceau_proof::evidence::check(
            &bundle,
            &sceau_proof::evidence::Trust {
                log: log_key().verifying_key(),
                witnesses: &[],
                sources: sceau_proof::attestation::trust::Sources {
                    anchors: None,
                    metadata: None,
                },
                at: None,
            },
        );
        let requester = report
            .checks()
            .iter()
            .find(|check| check.check == "requester")
            .map(|check| check.result);
        (
            report.accepted(),
            requester,
            String::from_utf8(bundle).unwrap(),
        )
    };
    let (accepted, requester, _) = check().await;
    assert!(accepted);
    assert_eq!(requester, Some(sceau_proof::evidence::Outcome::Passed));
    let store = open(&place.url).await;
    let out = folder.path().join("before");
    export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    let before = std::fs::read(out.join("checkpoint")).unwrap();
    let before = checkpoint::open(&before, log_key().verifying_key(), &[]).unwrap();

    // Not while the person may act.
    let asked = alice
        .ask_own(&desk, "person.erase", serde_json::json!({"person": "carl"}))
        .await
        .unwrap();
    assert!(alice.approve(&desk, &asked).await.is_err());
    let suspension = alice
        .ask_own(
            &desk,
            "person.suspend",
            serde_json::json!({"person": "carl"}),
        )
        .await
        .unwrap();
    alice.approve(&desk, &suspension).await.unwrap();
    let asked = alice
        .ask_own(&desk, "person.erase", serde_json::json!({"person": "carl"}))
        .await
        .unwrap();
    let done = alice.approve(&desk, &asked).await.unwrap();
    assert_eq!(done.state.as_str(), "executed");
    assert!(done.result.unwrap()["openings"].as_u64().unwrap() >= 5);

    // Nothing readable is left beside the log, and everything that was proven is.
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let held: Vec<&String> = entries
        .iter()
        .filter_map(|entry| entry.openings.as_ref())
        .filter(|openings| openings.contains("\"carl\""))
        .collect();
    assert_eq!(held, Vec::<&String>::new());
    drop(connection);
    assert_eq!(
        desk.person(&"carl".parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .display,
        "(erased)"
    );
    let (accepted, requester, _) = check().await;
    assert!(accepted);
    assert_ne!(requester, Some(sceau_proof::evidence::Outcome::Failed));
    assert_ne!(requester, Some(sceau_proof::evidence::Outcome::Passed));
    let out = folder.path().join("after");
    let after = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!(audited(&out), after.size);
    // What was there before is a prefix of what is there now.
    let edge = std::fs::read(
        folder
            .path()
            .join("before/tile/entries/000.p")
            .join(before.size().to_string()),
    );
    let now = std::fs::read_dir(out.join("tile/entries/000.p"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(
        std::fs::read(now.path())
            .unwrap()
            .starts_with(&edge.unwrap())
    );
}

#[tokio::test]
async fn a_permit_of_a_stolen_key_is_not_active_and_said() {
    use sceau_proof::permit::{self, SigningKey as PermitKey};

    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let approved = alice.approve(&desk, &record).await.unwrap();
    let genuine = approved.permit.unwrap();
    let portal = "portal".parse().unwrap();
    let now = desk.now();
    let claims = permit::verify(&genuine, &desk.jwks(), crate::fixture::URL, "portal", now)
        .unwrap()
        .claims()
        .clone();
    // The thief has the key: the same action, another text; and an action that nobody asked for.
    let stolen = PermitKey::from_pkcs8(place.permit_key()).unwrap();
    let mut other = claims.clone();
    other.authorization_details = vec![serde_json::json!({"type": "right.grant"})];
    let mut unknown = claims.clone();
    unknown.jti = uuid::Uuid::from_u128(7);
    let random = aws_lc_rs::rand::SystemRandom::new();
    for forged in [&other, &unknown] {
        let forged = permit::sign(&stolen, forged, &random).unwrap();
        for consume in [false, true] {
            assert_eq!(
                desk.introspect(&forged, &portal, consume).await.unwrap(),
                None
            );
        }
    }
    let store = open(&place.url).await;
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let alerts = entries
        .iter()
        .filter(|entry| String::from_utf8_lossy(&entry.body).contains("alert.permit-unlogged"))
        .count();
    assert_eq!(alerts, 1, "said once a minute, not each time");
    drop(connection);
    // The genuine one serves still.
    assert!(
        desk.introspect(&genuine, &portal, true)
            .await
            .unwrap()
            .is_some()
    );
    // After a rotation the bundle has the key that signed then; the new key's name is in the log.
    let bundle = desk.evidence(record.id).await.unwrap();
    let signed_by = bundle.permit.unwrap().jwks.keys[0].kid.clone();
    drop(desk);
    let mut place = place;
    place.rotate_permit_key();
    let desk = place.desk("one").await.unwrap();
    assert_ne!(desk.jwks().keys[0].kid, signed_by);
    let bundle = desk.evidence(record.id).await.unwrap();
    assert_eq!(bundle.permit.as_ref().unwrap().jwks.keys[0].kid, signed_by);
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let changes = entries
        .iter()
        .filter(|entry| String::from_utf8_lossy(&entry.body).contains("permit-key.changed"))
        .count();
    assert_eq!(changes, 2);
}

#[tokio::test]
async fn an_incident_report_holds_what_they_did_with_its_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    place.clock.shift(time::Duration::minutes(30));
    let since = desk.now();
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let record = carl.ask(&desk, "account.create").await.unwrap();
    carl.approve(&desk, &record).await.unwrap();
    let refused = carl.ask(&desk, "account.create").await.unwrap();
    desk.refuse(
        refused.id,
        carl.id.clone(),
        sceau_server::desk::RefusalReason::NotMe,
        None,
    )
    .await
    .unwrap();
    let store = open(&place.url).await;
    let question = sceau_server::report::Question {
        person: "alice".parse().unwrap(),
        since,
        until: desk.now(),
        house: "Sceau".to_owned(),
    };
    let incident = sceau_server::report::incident(&store, &log_key(), &question, desk.now())
        .await
        .unwrap();
    // Whom alice begot is hers; what bob did is not.
    let accounts: Vec<&str> = incident.accounts.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(accounts, ["alice", "carl"]);
    assert!(
        incident
            .actions
            .iter()
            .any(|it| it["id"] == serde_json::json!(record.id))
    );
    assert!(incident.actions.iter().any(|it| it["reason"] == "not-me"));
    assert!(
        incident
            .timeline
            .iter()
            .all(|it| !it.persons.values().any(|person| person == "bob"))
    );
    assert!(
        incident
            .timeline
            .iter()
            .any(|it| it.kind == "action.approved")
    );
    let target = checkpoint::open(
        incident.log.checkpoint.as_bytes(),
        log_key().verifying_key(),
        &[],
    )
    .unwrap();
    assert_eq!(incident.timeline.len(), incident.log.entries.len());
    for (moment, entry) in incident.timeline.iter().zip(&incident.log.entries) {
        assert_eq!(moment.index, entry.index);
        sceau_proof::log::verify_inclusion(
            &leaf_hash(&entry.leaf),
            entry.index,
            target.size(),
            &entry.inclusion,
            target.root(),
        )
        .unwrap();
    }
    for language in [
        sceau_server::report::Language::Fr,
        sceau_server::report::Language::En,
    ] {
        let page = sceau_server::report::page(&incident, language);
        assert!(
            page.contains("action.refused") && page.contains("carl"),
            "{page}"
        );
        assert!(!page.contains("<script"));
    }
}
