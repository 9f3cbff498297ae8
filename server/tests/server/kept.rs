use std::collections::BTreeSet;

use sceau_server::action::State;
use sceau_server::desk::{Desk, DeskError, LoginClaim, RefusalReason};
use sceau_server::port::Clock as _;
use sceau_server::session::{SessionKind, SessionState};
use sceau_server::store;
use sceau_server::workstation::Workstation;
use serde_json::{Value, json};
use time::Duration;

use crate::conformance::{count, log};
use crate::fixture::{Owner, Place};

async fn sealed(desk: &Desk, by: &Owner, kind: &str, params: Value) {
    let record = by.ask_own(desk, kind, params).await.unwrap();
    by.approve(desk, &record).await.unwrap();
}

/// Where somebody sat, which key approved what, whose a key was and whose sessions it opened: on each store.
pub(crate) async fn what_is_known_of_keys_and_seats(mut place: Place) {
    place.configuration = Some([9; 32]);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let store = crate::log::open(&place.url).await;
    place.clock.shift(Duration::seconds(1));
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    // Of one model, newest first, and nobody's name.
    let held = desk.held(&carl.id).await.unwrap();
    let sceau_server::key::Credential::Fido2 { aaguid, .. } = &held[0].key.credential else {
        panic!("a FIDO2 key");
    };
    let newest = desk.held_of_model(aaguid, 1).await.unwrap();
    assert_eq!(newest.as_slice(), std::slice::from_ref(&carl.credential.id));
    let all = desk.held_of_model(aaguid, 9).await.unwrap();
    assert!(all.contains(&alice.credential.id));
    assert!(desk.held_of_model("x", 2).await.unwrap().is_empty());
    let agent = desk.session(&carl.token).await.unwrap().unwrap();
    let seat = Workstation {
        session: agent.id,
        address: "192.0.2.1".parse().unwrap(),
        device: Some("pc-1".to_owned()),
    };
    let record = carl.ask(&desk, "account.create").await.unwrap();
    desk.approve_at(record.id, carl.claim(&record), Some(seat.clone()))
        .await
        .unwrap();
    let gate = carl.sign_in(&desk, SessionKind::Gate).await;
    let mut connection = store.reader().await.unwrap();
    let seats = store::action::workstations(&mut connection, record.id)
        .await
        .unwrap();
    assert_eq!(seats.len(), 1);
    let place_of = |at: &Workstation| (at.session, at.device.clone());
    assert_eq!(
        desk.workstation(agent.id, seat.address)
            .await
            .unwrap()
            .device,
        None
    );
    desk.place_session(seat.session, seat.address, seat.device.clone())
        .await
        .unwrap();
    let now = desk.workstation(agent.id, seat.address).await.unwrap();
    assert_eq!(place_of(&now), place_of(&seat));

    // In the order of their asking, and no other.
    let early = place.clock.now() - Duration::hours(1);
    let all = store::action::page(&mut connection, early, "", 100)
        .await
        .unwrap();
    let names: Vec<_> = all.iter().map(|record| record.id).collect();
    assert!(names.contains(&record.id), "{names:?}");
    let first = &all[0];
    let rest = store::action::page(
        &mut connection,
        first.created_at,
        &first.id.to_string(),
        100,
    )
    .await
    .unwrap();
    assert_eq!(
        rest.iter().map(|record| record.id).collect::<Vec<_>>(),
        names[1..]
    );
    assert!(
        store::action::last_sealed(&mut connection, record.id)
            .await
            .unwrap()
            .is_some()
    );
    let permitted = store::action::approved_without_permit(&mut connection, place.clock.now())
        .await
        .unwrap();
    assert!(permitted.is_empty(), "{permitted:?}");
    let entries = store::log::entries_with_actions(&mut connection, 0, 100)
        .await
        .unwrap();
    assert!(entries.iter().any(|(_, action)| *action == Some(record.id)));

    // What a key did, and all keys, page after page.
    let review = desk.review(carl.key).await.unwrap().unwrap();
    assert!(!review.approvals.is_empty());
    assert_eq!(desk.judge_keys().await, Ok(0));
    let mut found = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = store::judgement::page(&mut connection, &after, false, 2)
            .await
            .unwrap();
        let Some(last) = page.last() else {
            break;
        };
        after = last.id.to_string();
        found.extend(page.iter().map(|kept| kept.person.to_string()));
    }
    assert_eq!(found, ["alice", "bob", "carl"].map(str::to_owned).into());
    assert_eq!(desk.suspended_keys(&carl.id).await.unwrap().len(), 0);
    let held = store::key::held(&mut connection, &carl.id).await.unwrap();
    assert_eq!((held.len(), held[0].key.id), (1, carl.key));
    assert!(held[0].used_at.is_some());
    drop(connection);

    // A key that is revoked ends what it opened.
    sealed(
        &desk,
        &alice,
        "key.revoke",
        json!({"key_id": carl.key, "reason": "lost"}),
    )
    .await;
    for token in [&gate, &carl.token] {
        let session = desk.session(token).await.unwrap();
        assert!(session.is_none_or(|session| session.state != SessionState::Active));
    }
    drop(desk);

    // Another configuration is said, once.
    assert_eq!(changes(&place).await, 1);
    place.configuration = Some([10; 32]);
    assert_eq!(changes(&place).await, 2);
    assert_eq!(changes(&place).await, 2);
}

async fn changes(place: &Place) -> usize {
    let desk = place.desk("a").await.unwrap();
    count(&log(&desk).await, "configuration.changed")
}

/// Who somebody is elsewhere, and that all of it can be erased: on each store.
pub(crate) async fn what_is_erased_is_nowhere(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let claim = |sub: &str| LoginClaim {
        issuer: "https://auth.example".to_owned(),
        idp_id: "idp".to_owned(),
        sub: sub.to_owned(),
        acr: "eidas3".to_owned(),
        email: None,
    };
    for (owner, sub) in [(&carl, "s-1"), (&alice, "s-2")] {
        let opened = desk
            .open_session_after(owner.id.clone(), SessionKind::Gate, Some(claim(sub)))
            .await;
        owner.approve(&desk, &opened.unwrap().action).await.unwrap();
    }
    let record = carl.ask(&desk, "account.create").await.unwrap();
    let word = "because Carl Petit says so".to_owned();
    desk.refuse(
        record.id,
        carl.id.clone(),
        RefusalReason::Other,
        Some(word.clone()),
    )
    .await
    .unwrap();
    let store = crate::log::open(&place.url).await;
    let known = async || {
        let mut connection = store.reader().await.unwrap();
        let identities = store::signal::identities(&mut connection, &carl.id)
            .await
            .unwrap();
        let person = store::signal::person_of(&mut connection, "https://auth.example", "s-1")
            .await
            .unwrap();
        (identities.len(), person)
    };
    assert_eq!(known().await, (1, Some(carl.id.clone())));
    let text = async || {
        desk.action(record.id)
            .await
            .unwrap()
            .unwrap()
            .refusal
            .unwrap()
            .text
    };
    assert_eq!(text().await, Some(word));
    let dora = json!({"id": "dora", "display": "Dora", "roles": ["manager"], "organisation": "13002526500013"});
    sealed(&desk, &alice, "key.enroll", json!({ "person": dora })).await;
    let organisation = desk.organisation(&"dora".parse().unwrap()).await;
    assert_eq!(organisation, Ok(Some("13002526500013".to_owned())));
    sealed(&desk, &alice, "person.suspend", json!({"person": "carl"})).await;
    sealed(&desk, &alice, "person.erase", json!({"person": "carl"})).await;
    assert_eq!(known().await, (0, None));
    assert_eq!(text().await, None);
    let refused = desk.action(record.id).await.unwrap().unwrap();
    assert_eq!(refused.state, State::Refused);
    let mut connection = store.reader().await.unwrap();
    let carl = store::person::load(&mut connection, &carl.id)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(carl.display, "carl");
    let other = store::signal::person_of(&mut connection, "https://auth.example", "s-2")
        .await
        .unwrap();
    assert_eq!(other, Some(alice.id.clone()), "nobody else's");
    drop(connection);
    assert_eq!(count(&log(&desk).await, "person.erased"), 1);
    assert_eq!(desk.person_of(&identity()).await, Ok::<_, DeskError>(None));
}

fn identity() -> sceau_server::gate::login::token::Identity {
    sceau_server::gate::login::token::Identity {
        issuer: "https://auth.example".to_owned(),
        idp_id: "idp".to_owned(),
        sub: "s-1".to_owned(),
    }
}
