//! Steps of actions.

use std::sync::atomic::Ordering;

use sceau_server::action::{Caller, Outcome, State};
use sceau_server::desk::{CancelReason, DeskError, RefusalReason};
use sceau_server::lineage::{Begotten, Relation};
use sceau_server::session::SessionKind;
use sceau_server::workstation::Workstation;

use super::{Saboteur, founded, start, store};
use crate::conformance::{count, log};
use crate::fixture::Place;

/// Asked, sealed, used, in each of the ways that there are.
pub(super) async fn actions(place: &Place) -> Saboteur {
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let portal = || "portal".parse().unwrap();

    // At the gate: consumed, then reported.
    let record = it
        .step("asked", async || alice.ask(&desk, "account.create").await)
        .await;
    let session = desk.session(&alice.token).await.unwrap().unwrap().id;
    let at = Workstation {
        session,
        address: "192.0.2.1".parse().unwrap(),
        device: Some("desk-1".to_owned()),
    };
    it.step("approved", async || {
        desk.approve_at(record.id, alice.claim(&record), Some(at.clone()))
            .await
    })
    .await;
    it.step("consumed", async || desk.consume(record.id).await)
        .await;
    let begotten = vec![Begotten {
        relation: Relation::Created,
        id: Some("7".to_owned()),
        display: "Jean".to_owned(),
    }];
    it.step("executed", async || {
        let outcome = Outcome::Answered {
            upstream_status: 201,
        };
        desk.record_execution_of(record.id, outcome, begotten.clone())
            .await
    })
    .await;

    // At a service: introspected, then reported.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let permit = it
        .step("permit", async || {
            desk.issue_permit(record.id, portal()).await
        })
        .await;
    let claims = it
        .step("introspected", async || {
            desk.introspect(&permit, &portal(), true).await
        })
        .await;
    assert!(claims.is_some());
    it.step("reported", async || {
        desk.report_begotten(record.id, portal(), begotten.clone())
            .await
    })
    .await;

    // Refused with the session that asked; cancelled; of a copied key.
    let token = alice.sign_in(&desk, SessionKind::Gate).await;
    let session = desk.session(&token).await.unwrap().unwrap().id;
    let caller = Caller::Gate {
        service: portal(),
        session,
    };
    let record = alice.ask_by(&desk, "account.create", caller).await.unwrap();
    it.step("refused", async || {
        let text = Some("not I".to_owned());
        desk.refuse(record.id, alice.id.clone(), RefusalReason::NotMe, text)
            .await
    })
    .await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    it.step("cancelled", async || {
        desk.cancel(record.id, CancelReason::ClientGone).await
    })
    .await;
    let denied = it
        .step("denied", async || alice.ask(&desk, "unheard.of").await)
        .await;
    assert_eq!(denied.state, State::Denied);

    // Signed in, out, suspended.
    let opened = it
        .step("sign-in", async || {
            let place = Some(("192.0.2.1".parse().unwrap(), Some("desk-1".to_owned())));
            desk.open_session_at(alice.id.clone(), SessionKind::Agent, place)
                .await
        })
        .await;
    it.step("signed in", async || {
        alice.approve(&desk, &opened.action).await
    })
    .await;
    let session = desk.session(&opened.token).await.unwrap().unwrap().id;
    it.step("signed out", async || desk.end_session(session).await)
        .await;
    let token = bob.sign_in(&desk, SessionKind::Agent).await;
    let session = desk.session(&token).await.unwrap().unwrap().id;
    it.step("session suspended", async || {
        desk.suspend_session(session, "test").await
    })
    .await;

    // Alerts are said once: also when the first time failed.
    it.step("blocked", async || {
        desk.report_blocked(alice.id.clone(), alice.key).await
    })
    .await;
    it.step("note", async || {
        desk.note("gate.refused", None, Default::default()).await
    })
    .await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.credential.counter.store(1, Ordering::SeqCst);
    let copied = it
        .step_of(1, "copied", async || {
            alice.credential.counter.store(1, Ordering::SeqCst);
            alice.approve(&desk, &record).await
        })
        .await;
    assert_eq!(copied, Err(DeskError::NotVerified));
    it.step("stopping", async || desk.stopping().await).await;
    let entries = log(&desk).await;
    for (kind, times) in [
        ("alert.pin-blocked", 1),
        ("alert.cloned-key", 1),
        ("action.executed", 6),
        ("permit.consumed", 2),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
    it
}
