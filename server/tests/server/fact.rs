use sceau_server::action::{ActionRecord, NewAction, State, Target};
use sceau_server::desk::{Desk, DeskError};
use sceau_server::fact::Change;
use serde_json::{Value, json};
use time::Duration;

use crate::conformance::{count, log};
use crate::fixture::{Owner, Place};

async fn ask(
    desk: &Desk,
    owner: &Owner,
    kind: &str,
    params: Value,
) -> Result<ActionRecord, DeskError> {
    let asked = NewAction {
        kind: kind.to_owned(),
        service: "sceau".parse().unwrap(),
        requester: owner.id.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: "x".to_owned(),
            display: "X".to_owned(),
        },
        params: params.as_object().unwrap().clone(),
        request: None,
        words: None,
    };
    desk.open_action(asked, owner.caller(desk).await).await
}

/// What ends, ends by the clock, at the next decision; a sealed action or a file prolongs it.
pub(crate) async fn facts_and_roles_end_by_the_clock(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let manager = place.invite(&desk, &alice, "manon", "manager").await;
    let until = desk.now() + Duration::minutes(10);
    let change = |what: &str, until: &str| Change::read("manon", what, until).unwrap();
    let instant = |at: time::OffsetDateTime| {
        at.format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    };
    let changes = vec![
        change("training", &instant(until)),
        change("role:manager", &instant(until)),
    ];
    desk.record_facts(changes, "import").await.unwrap();
    let facts = desk.facts(&manager.id).await.unwrap();
    assert!(facts.training_valid(desk.now()) && !facts.training_valid(until));
    assert_eq!(
        desk.facts_ending(until + Duration::SECOND)
            .await
            .unwrap()
            .len(),
        2
    );
    // All or none.
    for (changes, expected) in [
        (
            vec![
                change("cleared", ""),
                Change::read("nobody", "cleared", "").unwrap(),
            ],
            DeskError::UnknownPerson,
        ),
        (
            vec![change("cleared", ""), change("role:administrator", "")],
            DeskError::Malformed("facts: a role that is not held"),
        ),
    ] {
        assert_eq!(desk.record_facts(changes, "import").await, Err(expected));
    }
    assert!(
        !desk
            .facts(&manager.id)
            .await
            .unwrap()
            .holds("cleared", desk.now())
    );
    place.clock.shift(Duration::minutes(9));
    assert!(
        manager
            .ask(&desk, "account.create")
            .await
            .unwrap()
            .denial
            .is_none()
    );
    // Prolonged by a seal: five minutes more than the file said.
    let prolonged = json!({"facts": [{"person": "manon", "fact": "role:manager", "until": instant(until + Duration::minutes(5))}]});
    let record = ask(&desk, &alice, "facts.record", prolonged).await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    place.clock.shift(Duration::minutes(2));
    assert!(
        manager
            .ask(&desk, "account.create")
            .await
            .unwrap()
            .denial
            .is_none()
    );
    place.clock.shift(Duration::minutes(5));
    let denied = manager.ask(&desk, "account.create").await.unwrap();
    assert_eq!(denied.denial.unwrap().reason, "requester-role");
    assert!(
        desk.person(&manager.id)
            .await
            .unwrap()
            .unwrap()
            .roles
            .is_empty()
    );
    let log = log(&desk).await;
    assert_eq!(
        (count(&log, "fact.recorded"), count(&log, "right.expired")),
        (3, 1)
    );
}

/// Whom nobody vouches for until a recertification is due, falls.
pub(crate) async fn silence_ends_a_recertified_role(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let kept = place.invite(&desk, &alice, "kim", "manager").await;
    let dropped = place.invite(&desk, &alice, "lou", "manager").await;
    let due = desk.now() + Duration::minutes(30);
    assert_eq!(desk.recertify("manager".parse().unwrap(), due).await, Ok(2));
    let keep = json!({"facts": [{"person": "kim", "fact": "role:manager"}]});
    let record = ask(&desk, &alice, "facts.record", keep).await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    place.clock.shift(Duration::minutes(31));
    assert!(
        kept.ask(&desk, "account.create")
            .await
            .unwrap()
            .denial
            .is_none()
    );
    assert!(
        dropped
            .ask(&desk, "account.create")
            .await
            .unwrap()
            .denial
            .is_some()
    );
    let dormant = desk.dormant(desk.now() + Duration::SECOND).await.unwrap();
    assert!(
        dormant
            .iter()
            .any(|(person, what, _)| *person == dropped.id && what == "person")
    );
    assert!(
        desk.dormant(due - Duration::days(1))
            .await
            .unwrap()
            .is_empty()
    );
}

/// Attack 22: a quorum lends a role for minutes, everyone is told, and the next opening waits for the review.
pub(crate) async fn the_glass_is_broken_by_a_quorum_and_reviewed(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let manager = place.invite(&desk, &alice, "manon", "manager").await;
    let open = json!({"reason": "both managers are ill, accounts must be closed", "role": "emergency", "minutes": 15});
    for (name, odd) in [
        ("reason", json!("help")),
        ("minutes", json!(241)),
        ("role", json!("a b")),
    ] {
        let mut params = open.clone();
        params[name] = odd;
        assert!(
            matches!(
                ask(&desk, &manager, "break-glass.open", params).await,
                Err(DeskError::Malformed(_))
            ),
            "{name}"
        );
    }
    let first = ask(&desk, &manager, "break-glass.open", open.clone())
        .await
        .unwrap();
    let second = ask(&desk, &manager, "break-glass.open", open.clone())
        .await
        .unwrap();
    for (record, last) in [(&first, false), (&first, true)] {
        let who = if last { &bob } else { &alice };
        let after = who.approve(&desk, record).await.unwrap();
        assert_eq!(
            after.state == State::Executed,
            last,
            "one of the quorum is not enough"
        );
    }
    let holds = async || {
        let person = desk.person(&manager.id).await.unwrap().unwrap();
        person.roles.contains(&"emergency".parse().unwrap())
    };
    assert!(holds().await);
    // The review is before the others at once, and nothing more is opened until it is sealed.
    let review = desk
        .action(first.id)
        .await
        .unwrap()
        .unwrap()
        .result
        .unwrap()["review"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let review = desk.action(review).await.unwrap().unwrap();
    assert!(desk.awaits(&review, &bob.id).await.unwrap());
    assert_eq!(
        manager.approve(&desk, &review).await,
        Err(DeskError::NotAnApprover("self-approval"))
    );
    assert_eq!(
        ask(&desk, &manager, "break-glass.open", open.clone())
            .await
            .err(),
        Some(DeskError::ReviewFirst)
    );
    alice.approve(&desk, &second).await.unwrap();
    let second = bob.approve(&desk, &second).await.unwrap();
    assert_eq!(second.result.unwrap(), json!({"refused": "review-first"}));
    bob.approve(&desk, &review).await.unwrap();
    place.clock.shift(Duration::minutes(16));
    ask(&desk, &manager, "break-glass.open", open)
        .await
        .unwrap();
    assert!(!holds().await, "the time is over");
    let log = log(&desk).await;
    for (kind, times) in [
        ("alert.break-glass", 1),
        ("break-glass.reviewed", 1),
        ("right.expired", 1),
    ] {
        assert_eq!(count(&log, kind), times, "{kind}");
    }
}
