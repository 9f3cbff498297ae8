use sceau_server::action::{Outcome, State};
use sceau_server::desk::{Desk, DeskError};
use sceau_server::id::PersonId;
use sceau_server::lineage::{Begotten, Relation};
use sceau_server::session::{SessionKind, SessionState};
use serde_json::{Value, json};

use crate::conformance::{count, log};
use crate::fixture::{Owner, Place};

async fn set(desk: &Desk, person: &str) -> Value {
    let id: PersonId = person.parse().unwrap();
    let lineage = desk.lineage(&id, 100).await.unwrap().unwrap();
    json!({ "sha256": lineage.sha256, "persons": lineage.totals.persons })
}

/// An execution at the portal that begot accounts.
async fn beget(desk: &Desk, owner: &Owner, ids: &[&str]) {
    let record = owner.ask(desk, "account.create").await.unwrap();
    owner.approve(desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    let begotten = ids
        .iter()
        .map(|id| Begotten {
            relation: Relation::Created,
            id: Some((*id).to_owned()),
            display: format!("Account {id}"),
        })
        .collect();
    let outcome = Outcome::Answered {
        upstream_status: 201,
    };
    desk.record_execution_of(record.id, outcome, begotten)
        .await
        .unwrap();
}

/// Attack 14: all that a person begot falls with them, in one step, and comes back by subtree.
pub(crate) async fn what_was_begotten_falls_with_its_parent(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    // An administrator takes two: Bob asks, Alice seals too, and Carol descends from Bob alone.
    let params = json!({"person": {"id": "carol", "display": "Carol", "roles": ["administrator"]}});
    let record = bob.ask_own(&desk, "key.enroll", params).await.unwrap();
    bob.approve(&desk, &record).await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let secret = desk.reveal_invitation(record.id).await.unwrap().unwrap().1;
    let carol = place.enrol(&desk, &secret).await;
    let dave = place.invite(&desk, &carol, "dave", "manager").await;
    let erin = place.invite(&desk, &alice, "erin", "manager").await;
    beget(&desk, &carol, &["7", "8"]).await;
    // Frank was enrolled by somebody else, but one of Carol's accounts is his.
    let params = json!({"person": {"id": "frank", "display": "Frank", "roles": ["manager"],
        "accounts": [{"service": "portal", "id": "8"}]}});
    let record = alice.ask_own(&desk, "key.enroll", params).await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let secret = desk.reveal_invitation(record.id).await.unwrap().unwrap().1;
    let frank = place.enrol(&desk, &secret).await;

    // Descendants never count, also over an account.
    let asked = bob.ask(&desk, "right.grant").await.unwrap();
    assert_eq!(
        carol.approve(&desk, &asked).await,
        Err(DeskError::NotAnApprover("descendant"))
    );
    assert_eq!(
        frank.approve(&desk, &asked).await,
        Err(DeskError::NotAnApprover("descendant"))
    );

    let log_so_far = log(&desk).await;
    let turned_away: Vec<_> = log_so_far
        .iter()
        .filter(|entry| entry.kind() == "approval.rejected")
        .map(|entry| entry.data()["reason"].clone())
        .collect();
    assert_eq!(turned_away, ["descendant", "descendant"]);

    let open = dave.ask(&desk, "account.create").await.unwrap();
    let approved = frank.ask(&desk, "account.create").await.unwrap();
    let permit = frank
        .approve(&desk, &approved)
        .await
        .unwrap()
        .permit
        .unwrap();
    let portal = "portal".parse().unwrap();
    assert!(
        desk.introspect(&permit, &portal, false)
            .await
            .unwrap()
            .is_some()
    );
    let lineage = desk.lineage(&bob.id, 100).await.unwrap().unwrap();
    let t = lineage.totals;
    assert_eq!(
        (t.persons, t.accounts, t.sessions, t.actions, t.keys),
        (4, 2, 4, 3, 4),
        "{lineage:#?}"
    );
    let drawn: Vec<(&str, u32)> = lineage
        .nodes
        .iter()
        .map(|branch| (branch.node.as_str(), branch.depth))
        .collect();
    assert_eq!(
        drawn,
        [
            ("person/bob", 0),
            ("person/carol", 1),
            ("person/dave", 2),
            ("account/portal/7", 2),
            ("account/portal/8", 2),
            ("person/frank", 3),
        ]
    );

    // What is sealed is what was shown.
    let suspend = |set: Value| {
        let params = json!({"person": "bob", "cascade": true, "set": set});
        alice.wants_own("person.suspend", &params)
    };
    let stale = set(&desk, "carol").await;
    for (params, expected) in [
        (stale, DeskError::LineageChanged),
        (json!({}), DeskError::Malformed("params.set.sha256")),
    ] {
        let caller = alice.caller(&desk).await;
        assert_eq!(
            desk.open_action(suspend(params), caller).await.err(),
            Some(expected)
        );
    }
    // Nobody cascades over the branch that they sit on.
    let own = json!({"person": "bob", "cascade": true, "set": set(&desk, "bob").await});
    assert!(matches!(
        carol.ask_own(&desk, "person.suspend", own).await,
        Err(DeskError::Malformed(_))
    ));

    let caller = alice.caller(&desk).await;
    let record = desk
        .open_action(suspend(set(&desk, "bob").await), caller)
        .await
        .unwrap();
    // Someone more is begotten before the touch: they fall too, and it is said.
    beget(&desk, &dave, &["9"]).await;
    let record = alice.approve(&desk, &record).await.unwrap();
    assert_eq!(record.state, State::Executed);
    let result = record.result.unwrap();
    assert_eq!(
        (
            &result["persons"],
            &result["accounts"],
            &result["keys"],
            &result["actions"]
        ),
        (&json!(4), &json!(3), &json!(4), &json!(3)),
        "{result}"
    );
    assert_eq!(result["grown"], true);
    for owner in [&bob, &carol, &dave, &frank] {
        let session = desk.session(&owner.token).await.unwrap().unwrap();
        assert_eq!(session.state, SessionState::Suspended, "{}", owner.id);
        assert!(desk.keys(&owner.id).await.unwrap().is_empty());
        let denied = owner.ask(&desk, "account.create").await.unwrap();
        assert_eq!(denied.denial.unwrap().reason, "requester-suspended");
    }
    for id in [open.id, approved.id, asked.id] {
        let refused = desk.action(id).await.unwrap().unwrap();
        assert_eq!(refused.state, State::Refused);
        assert_eq!(refused.refusal.unwrap().reason, "person-suspended");
    }
    assert!(
        desk.introspect(&permit, &portal, true)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        desk.consume(approved.id).await.is_err(),
        "the permit is dead"
    );
    for (id, suspended) in [("7", true), ("8", true), ("9", true), ("10", false)] {
        assert_eq!(
            desk.is_account_suspended(&portal, id).await.unwrap(),
            suspended
        );
    }
    assert!(desk.suspends_accounts(&portal).await.unwrap());
    assert!(
        erin.ask(&desk, "account.create")
            .await
            .unwrap()
            .denial
            .is_none()
    );

    // One subtree comes back: Carol's, not Bob.
    let subtree = json!({"person": "carol", "subtree": true});
    let record = alice
        .ask_own(&desk, "person.restore", subtree)
        .await
        .unwrap();
    alice.approve(&desk, &record).await.unwrap();
    carol.sign_in(&desk, SessionKind::Agent).await;
    frank.sign_in(&desk, SessionKind::Agent).await;
    assert!(!desk.suspends_accounts(&portal).await.unwrap());
    assert_eq!(
        desk.open_session(bob.id.clone(), SessionKind::Agent)
            .await
            .err(),
        Some(DeskError::UnknownPerson)
    );
    let old = desk.session(&carol.token).await.unwrap().unwrap();
    assert_eq!(old.state, SessionState::Suspended, "old sessions stay so");
    let log = log(&desk).await;
    for (kind, times) in [
        ("person.suspended", 1),
        ("person.restored", 1),
        ("lineage.created", 3),
    ] {
        assert_eq!(count(&log, kind), times, "{kind}");
    }
    let stopped = log
        .iter()
        .find(|entry| entry.kind() == "person.suspended")
        .unwrap();
    assert!(stopped.sha256_of("lineage").is_some() && stopped.data()["persons"] == 4);
}

/// Streams at one instance hear of what another one ended.
pub(crate) async fn other_instances_hear_of_endings(place: Place) {
    let (a, b) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, bob) = place.found(&a).await;
    let mut endings = b.endings();
    endings.mark_unchanged();
    let record = alice
        .ask_own(&a, "person.suspend", json!({"person": "bob"}))
        .await
        .unwrap();
    alice.approve(&a, &record).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), endings.changed())
        .await
        .expect("told")
        .unwrap();
    assert!(!b.session(&bob.token).await.unwrap().unwrap().is_active());
}

/// A service that executes by itself says what came of it, once.
pub(crate) async fn a_service_reports_what_it_made(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let made = |id: &str| {
        vec![Begotten {
            relation: Relation::Created,
            id: Some(id.to_owned()),
            display: "Jean".to_owned(),
        }]
    };
    let portal = || "portal".parse().unwrap();
    assert_eq!(
        desk.report_begotten(record.id, portal(), made("1")).await,
        Err(DeskError::StillPending)
    );
    let permit = alice.approve(&desk, &record).await.unwrap().permit.unwrap();
    desk.introspect(&permit, &portal(), true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        desk.report_begotten(record.id, "other".parse().unwrap(), made("1"))
            .await,
        Err(DeskError::NotFound)
    );
    desk.report_begotten(record.id, portal(), made("1"))
        .await
        .unwrap();
    assert_eq!(
        desk.report_begotten(record.id, portal(), made("2")).await,
        Err(DeskError::AlreadyUsed)
    );
    let lineage = desk.lineage(&alice.id, 10).await.unwrap().unwrap();
    assert_eq!(lineage.nodes[1].node, "account/portal/1");
    assert_eq!(lineage.nodes[1].action, Some(record.id));
}
