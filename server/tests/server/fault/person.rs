//! Steps of persons and their keys.

use sceau_server::desk::{LoginClaim, RefusalReason};
use sceau_server::fact::Change;
use sceau_server::session::SessionKind;
use serde_json::json;
use time::Duration;

use super::{Saboteur, enrol, founded, sealed, start, store, waiting};
use crate::conformance::{count, log};
use crate::fixture::Place;

/// Who may do what, given, ended, suspended, erased.
pub(super) async fn persons(place: &Place) -> Saboteur {
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let invited = json!({"person": {"id": "manon", "display": "Manon", "roles": ["manager"],
        "organisation": "73282932000074", "accounts": [{"service": "portal", "id": "8"}]}});
    let record = sealed(&mut it, &desk, &alice, &[&alice], "key.enroll", invited).await;
    let secret = it
        .step("invitation shown", async || {
            desk.reveal_invitation(record.id).await
        })
        .await
        .unwrap()
        .1;
    let manon = enrol(&mut it, place, &desk, &secret).await;
    let lou = place.invite(&desk, &alice, "lou", "manager").await;

    // A log-in at an identity provider becomes hers.
    let claim = LoginClaim {
        issuer: "https://auth.example".to_owned(),
        idp_id: "idp".to_owned(),
        sub: "s-1".to_owned(),
        acr: "eidas3".to_owned(),
        email: None,
    };
    let opened = it
        .step("log-in asked", async || {
            desk.open_session_after(lou.id.clone(), SessionKind::Gate, Some(claim.clone()))
                .await
        })
        .await;
    it.step("log-in sealed", async || {
        lou.approve(&desk, &opened.action).await
    })
    .await;

    // Facts and roles for a time.
    let until = |minutes: i64| {
        (desk.now() + Duration::minutes(minutes))
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    };
    it.step("imported", async || {
        let changes = vec![
            Change::read("manon", "training", &until(10)).unwrap(),
            Change::read("manon", "role:manager", &until(10)).unwrap(),
        ];
        desk.record_facts(changes, "import").await
    })
    .await;
    it.step("recertified", async || {
        desk.recertify(
            "manager".parse().unwrap(),
            desk.now() + Duration::minutes(20),
        )
        .await
    })
    .await;
    let facts = json!({"facts": [{"person": "manon", "fact": "cleared"}]});
    sealed(&mut it, &desk, &alice, &[&alice], "facts.record", facts).await;

    // The glass is broken, and reviewed.
    let open = json!({"reason": "both managers are ill, accounts must be closed", "role": "emergency", "minutes": 15});
    let broken = sealed(
        &mut it,
        &desk,
        &manon,
        &[&alice, &bob],
        "break-glass.open",
        open,
    )
    .await;
    let review = broken.result.unwrap()["review"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let review = desk.action(review).await.unwrap().unwrap();
    it.step("reviewed", async || alice.approve(&desk, &review).await)
        .await;

    // Whoever begot falls with what they begot, and comes back.
    let lineage = desk.lineage(&manon.id, 100).await.unwrap().unwrap();
    let set = json!({ "sha256": lineage.sha256, "persons": lineage.totals.persons });
    let params = json!({"person": "manon", "cascade": true, "set": set});
    lou.ask(&desk, "account.create").await.unwrap();
    manon.ask(&desk, "account.create").await.unwrap();
    sealed(&mut it, &desk, &alice, &[&alice], "person.suspend", params).await;
    let params = json!({"person": "manon", "subtree": true});
    sealed(&mut it, &desk, &alice, &[&alice], "person.restore", params).await;
    manon.sign_in(&desk, SessionKind::Agent).await;
    let revoked = json!({ "key_id": manon.key, "reason": "lost" });
    sealed(&mut it, &desk, &alice, &[&alice], "key.revoke", revoked).await;
    let record = lou.ask(&desk, "account.create").await.unwrap();
    let text = Some("I am Lou".to_owned());
    desk.refuse(record.id, lou.id.clone(), RefusalReason::Mistake, text)
        .await
        .unwrap();
    // Another key in the place of hers, which falls with the first use of the other; then she leaves.
    let person = json!({"id": "lou", "first_use": true, "replaces": lou.key});
    let record = sealed(
        &mut it,
        &desk,
        &alice,
        &[&alice],
        "key.enroll",
        json!({ "person": person }),
    )
    .await;
    let secret = desk.reveal_invitation(record.id).await.unwrap().unwrap().1;
    let lou = waiting(place, &desk, &secret).await;
    let opened = desk.open_session(lou.id.clone(), SessionKind::Agent).await;
    let opened = opened.unwrap();
    it.step("first use in the place of another", async || {
        lou.approve(&desk, &opened.action).await
    })
    .await;
    let params = json!({"person": "lou", "leaves": true});
    sealed(
        &mut it,
        &desk,
        &alice,
        &[&alice],
        "person.suspend",
        params.clone(),
    )
    .await;
    sealed(&mut it, &desk, &alice, &[&alice], "person.erase", params).await;

    // What ends by time ends in whatever transaction comes next.
    bob.ask(&desk, "account.create").await.unwrap();
    drop(desk);
    place.clock.shift(Duration::minutes(30));
    let desk = start(&mut it, place, "b").await;
    let entries = log(&desk).await;
    for (kind, times) in [
        ("person.suspended", 2),
        ("person.restored", 1),
        ("person.erased", 1),
        ("key.revoked", 3),
        ("right.expired", 3),
        ("alert.break-glass", 1),
        ("action.expired", 1),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
    it
}
