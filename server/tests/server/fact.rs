use sceau_server::action::{Outcome, State};
use sceau_server::config::Span;
use sceau_server::desk::DeskError;
use sceau_server::dormancy::Dormancy;
use sceau_server::fact::{Change, Fate};
use sceau_server::person::PersonState;
use sceau_server::session::SessionKind;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::conformance::{count, log};
use crate::fixture::{Owner, POLICY, Place, SCHEMA, policy_of};

fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap()
}

/// What ends, ends by the clock, at the next decision; a sealed action or a file prolongs it.
pub(crate) async fn facts_and_roles_end_by_the_clock(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let manager = place.invite(&desk, &alice, "manon", "manager").await;
    let until = desk.now() + Duration::minutes(10);
    let change = |what: &str, until: &str| Change::read("manon", what, until).unwrap();
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
    let record = alice
        .ask_own(&desk, "facts.record", prolonged)
        .await
        .unwrap();
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
    let record = alice.ask_own(&desk, "facts.record", keep).await.unwrap();
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

/// A campaign from its opening to its report: one is kept, one withdrawn by a seal, one lapses in silence.
pub(crate) async fn a_recertification_is_decided_by_seals_and_reported(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    for id in ["kim", "lou", "max"] {
        place.invite(&desk, &alice, id, "manager").await;
    }
    let due = desk.now() + Duration::minutes(30);
    assert_eq!(desk.recertify("manager".parse().unwrap(), due).await, Ok(3));
    // A file prolongs, and vouches for nobody.
    desk.record_facts(
        vec![Change::read("max", "role:manager", &instant(due)).unwrap()],
        "import",
    )
    .await
    .unwrap();
    let kept = json!({"facts": [{"person": "kim", "fact": "role:manager", "until": "2030-01-01"}]});
    let gone =
        json!({"facts": [{"person": "lou", "fact": "role:manager", "until": instant(desk.now())}]});
    let mut seals = Vec::new();
    for params in [kept, gone] {
        let record = alice.ask_own(&desk, "facts.record", params).await.unwrap();
        alice.approve(&desk, &record).await.unwrap();
        seals.push(record.id);
    }
    let open = desk.campaigns(due - Duration::days(1)).await.unwrap();
    assert_eq!((open.len(), open[0].count(Fate::Open)), (1, 1));
    assert_eq!(open[0].closed_at, None);

    place.clock.shift(Duration::minutes(31));
    // The sweep that a start makes is the one that runs when the campaign is due.
    let desk = place.desk("a").await.unwrap();
    let report = desk.campaigns(due - Duration::days(1)).await.unwrap();
    let fates: Vec<_> = report[0]
        .holders
        .iter()
        .map(|holder| (holder.person.as_str(), holder.fate, holder.action))
        .collect();
    assert_eq!(
        fates,
        [
            ("kim", Fate::Kept, Some(seals[0])),
            ("lou", Fate::Withdrawn, Some(seals[1])),
            ("max", Fate::Lapsed, None),
        ]
    );
    assert!(report[0].closed_at.is_some());
    let log = log(&desk).await;
    let closed = log
        .iter()
        .find(|entry| entry.kind() == "recertification.closed")
        .unwrap();
    for fate in ["kept", "withdrawn", "lapsed"] {
        assert_eq!(closed.data()[fate], 1, "{fate}");
    }
    assert!(
        desk.role_ends(&"lou".parse().unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}

/// What nobody uses is suspended by the rule, but never the last two who could bring it back.
pub(crate) async fn what_nobody_uses_is_suspended(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let asleep = place.invite(&desk, &alice, "kim", "manager").await;
    let awake = place.invite(&desk, &alice, "lou", "manager").await;
    let rule = Dormancy {
        key: Some(Span(Duration::days(90))),
        person: Some(Span(Duration::days(180))),
    };
    assert_eq!(desk.suspend_dormant(rule).await, Ok((0, 0)));
    place.clock.shift(Duration::days(170));
    awake.sign_in(&desk, SessionKind::Agent).await;
    place.clock.shift(Duration::days(20));
    // Kim slept 190 days; so did Alice and Bob, who stay. Nobody's key but Lou's was used within 90 days.
    assert_eq!(desk.suspend_dormant(rule).await, Ok((1, 0)));
    assert_eq!(desk.suspend_dormant(rule).await, Ok((0, 0)));
    let state = async |owner: &Owner| desk.person(&owner.id).await.unwrap().unwrap().state;
    assert_eq!(state(&asleep).await, PersonState::Suspended);
    for owner in [&alice, &bob, &awake] {
        assert_eq!(state(owner).await, PersonState::Active, "{}", owner.id);
        assert_eq!(desk.keys(&owner.id).await.unwrap().len(), 1);
    }
    // Lou goes on signing in, but not with this key: it falls, and Lou stays.
    place.clock.shift(Duration::days(91));
    let rule = Dormancy {
        person: None,
        ..rule
    };
    assert_eq!(desk.suspend_dormant(rule).await, Ok((0, 1)));
    assert!(desk.keys(&awake.id).await.unwrap().is_empty());
    assert_eq!(state(&awake).await, PersonState::Active);

    // Brought back by the usual way, with the key that slept along.
    let mut alice = alice;
    alice.token = alice.sign_in(&desk, SessionKind::Agent).await;
    let restored = alice
        .ask_own(&desk, "person.restore", json!({"person": "kim"}))
        .await
        .unwrap();
    alice.approve(&desk, &restored).await.unwrap();
    assert_eq!(state(&asleep).await, PersonState::Active);
    assert_eq!(desk.keys(&asleep.id).await.unwrap().len(), 1);
    let log = log(&desk).await;
    let dormant = |kind: &str| {
        let such = log
            .iter()
            .filter(|entry| entry.kind() == kind && entry.data()["reason"] == "dormant");
        such.count()
    };
    assert_eq!(
        (dormant("person.suspended"), dormant("key.suspended")),
        (1, 1)
    );
}

/// What is recorded meanwhile counts at the approval and at the use, not only when it was asked for.
pub(crate) async fn facts_are_looked_at_again_before_anything_is_done(mut place: Place) {
    let schema = format!(
        "{SCHEMA}\naction \"file.open\" appliesTo {{ principal: Person, resource: [Account, Thing], context: Facts }};"
    );
    let policy = format!(
        "{POLICY}\n@id(\"open-trained\") permit (principal, action == Action::\"file.open\", resource) when {{ context.training.valid && context.facts.contains(\"cleared\") }};\n\
         @id(\"one-a-day\") forbid (principal, action == Action::\"file.open\", resource) when {{ context.executed.day >= 1 }};"
    );
    place.policy = policy_of(&schema, &policy);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = |until: OffsetDateTime| {
        let until = instant(until);
        let both = ["training", "cleared"].map(|fact| Change::read("alice", fact, &until).unwrap());
        desk.record_facts(both.to_vec(), "import")
    };
    let ask = || alice.ask(&desk, "file.open");
    assert_eq!(
        ask().await.unwrap().denial.unwrap().reason,
        "condition-not-met"
    );
    let end = desk.now() + Duration::minutes(2);
    record(end).await.unwrap();

    // The training is taken back between request and approval.
    let asked = ask().await.unwrap();
    record(desk.now()).await.unwrap();
    assert_eq!(
        alice.approve(&desk, &asked).await,
        Err(DeskError::AlreadySettled(State::Refused))
    );
    let ended = desk.action(asked.id).await.unwrap().unwrap();
    assert_eq!(ended.refusal.unwrap().reason, "condition-not-met");

    // It ends between approval and use: the permit opens nothing.
    record(end).await.unwrap();
    let asked = ask().await.unwrap();
    let approved = alice.approve(&desk, &asked).await.unwrap();
    place.clock.shift(Duration::minutes(3));
    let portal = "portal".parse().unwrap();
    let permit = approved.permit.unwrap();
    assert_eq!(desk.introspect(&permit, &portal, true).await, Ok(None));
    assert!(desk.consume(asked.id).await.is_err());
    let ended = desk.action(asked.id).await.unwrap().unwrap();
    assert_eq!(ended.refusal.unwrap().reason, "condition-not-met");

    // Two were approved side by side, and one is allowed a day: the second is not done.
    record(desk.now() + Duration::days(1)).await.unwrap();
    let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
    for asked in [&first, &second] {
        alice.approve(&desk, asked).await.unwrap();
    }
    desk.consume(first.id).await.unwrap();
    let done = Outcome::Answered {
        upstream_status: 200,
    };
    desk.record_execution(first.id, done).await.unwrap();
    assert!(desk.consume(second.id).await.is_err());
    let ended = desk.action(second.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.refusal.unwrap().reason.as_str()),
        (State::Refused, "one-a-day")
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
                manager.ask_own(&desk, "break-glass.open", params).await,
                Err(DeskError::Malformed(_))
            ),
            "{name}"
        );
    }
    let first = manager
        .ask_own(&desk, "break-glass.open", open.clone())
        .await
        .unwrap();
    let second = manager
        .ask_own(&desk, "break-glass.open", open.clone())
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
        manager
            .ask_own(&desk, "break-glass.open", open.clone())
            .await
            .err(),
        Some(DeskError::ReviewFirst)
    );
    alice.approve(&desk, &second).await.unwrap();
    let second = bob.approve(&desk, &second).await.unwrap();
    assert_eq!(second.result.unwrap(), json!({"refused": "review-first"}));
    // Two reviews of one opening: the second finds nothing to do, and ends so.
    let again = json!({"opening": first.id});
    let again = alice
        .ask_own(&desk, "break-glass.review", again)
        .await
        .unwrap();
    bob.approve(&desk, &review).await.unwrap();
    let again = bob.approve(&desk, &again).await.unwrap();
    assert_eq!(
        (again.state, again.refusal.unwrap().reason.as_str()),
        (State::Refused, "cannot-be-done")
    );
    place.clock.shift(Duration::minutes(16));
    manager
        .ask_own(&desk, "break-glass.open", open)
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
