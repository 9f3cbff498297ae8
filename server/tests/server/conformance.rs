use std::time::Duration as Span;

use sceau_proof::attestation::trust::Sources;
use sceau_proof::log::tile::{Row, Tile, entries};
use sceau_proof::log::{Entry, checkpoint};
use sceau_server::action::{Caller, Outcome, State};
use sceau_server::desk::{Desk, DeskError, InboxEvent, RefusalReason};
use sceau_server::rate::Limits;
use sceau_server::session::{SessionKind, SessionState};
use time::Duration;

use crate::fixture::Place;
use crate::postgres::Postgres;

/// Where a fresh store comes from.
enum Stores {
    Sqlite(tempfile::TempDir, u32),
    Postgres(Postgres),
}

impl Stores {
    async fn place(&mut self) -> Place {
        Place::new(match self {
            Self::Sqlite(folder, count) => {
                *count += 1;
                format!(
                    "sqlite:{}",
                    folder.path().join(format!("{count}.db")).display()
                )
            }
            Self::Postgres(postgres) => postgres.database().await,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise() {
    all(&mut Stores::Sqlite(tempfile::tempdir().unwrap(), 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise() {
    if let Some(postgres) = Postgres::start() {
        let mut stores = Stores::Postgres(postgres);
        all(&mut stores).await;
        let Stores::Postgres(postgres) = &stores else {
            return;
        };
        // Whatever the store can say was said to PostgreSQL, and it took it.
        let said = postgres.statements();
        let silent: Vec<_> = crate::asked::statements()
            .into_iter()
            .filter(|(_, pieces)| {
                !UNSAID
                    .iter()
                    .any(|(begins, _)| pieces.concat().starts_with(begins))
            })
            .filter(|(_, pieces)| {
                !said
                    .iter()
                    .any(|statement| pieces.iter().all(|piece| statement.contains(piece)))
            })
            .collect();
        assert!(silent.is_empty(), "never run: {silent:#?}");
    }
}

/// What the suite does not say to PostgreSQL, by how it begins, and why.
const UNSAID: [(&str, &str); 2] = [
    (
        "INSERT INTO metadata_list",
        "a list is believed only with the signature of whoever makes them",
    ),
    (
        "SELECT id FROM enrolled_key WHERE state IN ('live', 'waiting') ORDER BY id",
        "asked while a list comes into force",
    ),
];

async fn all(stores: &mut Stores) {
    an_approval_gives_one_use(stores).await;
    an_approval_counts_once_and_for_its_action_alone(stores).await;
    many_takers_one_use_over_two_instances(stores).await;
    what_was_answered_survives_a_restart(stores).await;
    an_execution_cut_off_is_never_repeated(stores).await;
    two_instances_write_one_log(stores).await;
    waiters_and_inboxes_hear_of_other_instances(stores).await;
    a_counter_that_goes_back_suspends_the_key(stores).await;
    the_second_person_is_another(stores).await;
    not_me_suspends_the_session_that_asked(stores).await;
    suspension_ends_sessions_at_once(stores).await;
    an_identity_is_whose_key_sealed_it(stores).await;
    time_settles_what_nobody_did(stores).await;
    a_clock_that_goes_back_decides_nothing(stores).await;
    too_many_prompts_are_not_asked(stores).await;
    a_new_person_is_inert_until_enrolled(stores).await;
    evidence_convinces_an_auditor(stores).await;
    crate::lineage::what_was_begotten_falls_with_its_parent(stores.place().await).await;
    crate::lineage::other_instances_hear_of_endings(stores.place().await).await;
    crate::fact::facts_and_roles_end_by_the_clock(stores.place().await).await;
    crate::fact::silence_ends_a_recertified_role(stores.place().await).await;
    crate::fact::a_recertification_is_decided_by_seals_and_reported(stores.place().await).await;
    crate::fact::what_nobody_uses_is_suspended(stores.place().await).await;
    crate::fact::facts_are_looked_at_again_before_anything_is_done(stores.place().await).await;
    crate::fact::the_glass_is_broken_by_a_quorum_and_reviewed(stores.place().await).await;
    crate::lineage::a_service_reports_what_it_made(stores.place().await).await;
    crate::console::lists_go_on_where_they_stopped(stores.place().await).await;
    crate::lacking::whoever_lacks_a_key_is_listed_alone(stores.place().await).await;
    crate::reading::a_budget_is_exact_over_restarts_and_instances(stores.place().await).await;
    for case in crate::presence::ALL {
        crate::presence::run(case, stores.place().await).await;
    }
    crate::signal::a_polling_receiver_misses_nothing(stores.place().await).await;
    crate::kept::what_is_known_of_keys_and_seats(stores.place().await).await;
    crate::kept::what_is_erased_is_nowhere(stores.place().await).await;
    crate::log::witnessed::a_permit_waits_for_its_witnesses(stores.place().await).await;
    crate::asked::what_a_service_asks_for_is_answered_once(stores.place().await).await;
    crate::asked::a_sign_in_for_the_federation_is_redeemed_once(stores.place().await).await;
    crate::asked::a_receivers_stream_is_one_for_all_instances(stores.place().await).await;
    crate::piv::a_card_is_kept_with_its_approval(stores.place().await).await;
    crate::touch::a_key_by_touch_alone_counts_where_touch_is_enough(stores.place().await).await;
}

/// Everything that the log says, checked as an auditor would, from its files.
pub(crate) async fn log(desk: &Desk) -> Vec<Entry> {
    let note = desk.checkpoint().await.unwrap();
    let verified = checkpoint::open(note.as_bytes(), &Place::log_vkey(), &[]).unwrap();
    let mut audit = sceau_proof::log::audit::Audit::new(verified.clone(), None).unwrap();
    let mut found = Vec::new();
    for tile in sceau_proof::log::audit::bundles(0, verified.size()) {
        let bytes = desk.log_tile(&tile).await.unwrap().unwrap();
        let hashes = Tile {
            row: Row::Hashes(0),
            ..tile
        };
        let hashes = desk.log_tile(&hashes).await.unwrap().unwrap();
        let above = Tile {
            row: Row::Hashes(1),
            index: 0,
            width: 1,
        };
        let above = match tile.index {
            0 if tile.width == 256 => desk.log_tile(&above).await.unwrap(),
            _ => None,
        };
        let above = above.map(|bytes| sceau_proof::log::Hash(bytes.try_into().unwrap()));
        for (position, entry) in entries(&bytes, tile.width).unwrap().into_iter().enumerate() {
            let leaf = sceau_proof::log::Hash(hashes[position * 32..][..32].try_into().unwrap());
            audit
                .entry(entry, |node| {
                    (node.level == 0)
                        .then_some(leaf)
                        .or(above.filter(|_| node.level == 8))
                })
                .unwrap();
            found.push(Entry::parse(entry).unwrap());
        }
    }
    audit.finish().unwrap();
    found
}

pub(crate) fn count(log: &[Entry], kind: &str) -> usize {
    log.iter().filter(|entry| entry.kind() == kind).count()
}

async fn an_approval_gives_one_use(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    assert_eq!(record.state, State::Pending);
    let portal = "portal".parse().unwrap();
    assert_eq!(
        desk.issue_permit(record.id, "portal".parse().unwrap())
            .await,
        Err(DeskError::StillPending)
    );
    let record = alice.approve(&desk, &record).await.unwrap();
    assert_eq!(record.state, State::Approved);
    let permit = record.permit.unwrap();
    assert!(
        desk.introspect(&permit, &"other".parse().unwrap(), true)
            .await
            .unwrap()
            .is_none()
    );
    let claims = desk
        .introspect(&permit, &portal, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claims.amr, ["pop", "hwk", "pin", "mfa"]);
    assert!(
        desk.introspect(&permit, &portal, true)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        desk.introspect(&permit, &portal, true)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        desk.introspect(&permit, &portal, false)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        desk.issue_permit(record.id, portal).await,
        Err(DeskError::AlreadySettled(State::Consumed))
    );
    let log = log(&desk).await;
    for (kind, times) in [
        ("action.approved", 1),
        ("permit.issued", 1),
        ("permit.consumed", 1),
        ("key.enrolled", 2),
    ] {
        assert_eq!(count(&log, kind), times, "{kind}");
    }
}

async fn an_approval_counts_once_and_for_its_action_alone(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let first = alice.ask(&desk, "account.create").await.unwrap();
    let second = alice.ask(&desk, "account.create").await.unwrap();
    // Attack 4: signed for another action.
    assert_eq!(
        desk.approve(second.id, alice.claim(&first)).await,
        Err(DeskError::NotVerified)
    );
    // Somebody else's key, and somebody else.
    let mut stolen = alice.claim(&first);
    stolen.person = bob.id.clone();
    assert_eq!(
        desk.approve(first.id, stolen).await,
        Err(DeskError::NotAnApprover("not-requester"))
    );
    let mut lent = bob.claim(&first);
    lent.person = alice.id.clone();
    assert_eq!(
        desk.approve(first.id, lent).await,
        Err(DeskError::NotVerified)
    );
    // Attack 5: the same approval again.
    let claim = alice.claim(&first);
    desk.approve(first.id, claim.clone()).await.unwrap();
    assert_eq!(
        desk.approve(first.id, claim).await,
        Err(DeskError::AlreadySettled(State::Approved))
    );
    let reasons: Vec<String> = log(&desk)
        .await
        .iter()
        .filter(|entry| entry.kind() == "approval.rejected")
        .map(|entry| entry.data()["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        reasons,
        ["challenge-mismatch", "not-requester", "key-of-another"]
    );
}

async fn many_takers_one_use_over_two_instances(stores: &mut Stores) {
    let place = stores.place().await;
    let (here, there) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, _) = place.found(&here).await;
    let record = alice.ask(&here, "account.create").await.unwrap();
    alice.approve(&there, &record).await.unwrap();
    let takers = (0..40).map(|n| {
        let desk = if n % 2 == 0 {
            here.clone()
        } else {
            there.clone()
        };
        tokio::spawn(async move { desk.consume(record.id).await })
    });
    let mut taken = 0;
    for taker in takers.collect::<Vec<_>>() {
        match taker.await.unwrap() {
            Ok(consumed) => {
                assert!(consumed.record().execution.is_some());
                taken += 1;
            }
            Err(error) => assert_eq!(error, DeskError::AlreadyUsed),
        }
    }
    assert_eq!(taken, 1);
    let done = there
        .record_execution(
            record.id,
            Outcome::Answered {
                upstream_status: 201,
            },
        )
        .await
        .unwrap();
    assert_eq!(done.state, State::Executed);
    let again = here
        .record_execution(
            record.id,
            Outcome::Answered {
                upstream_status: 201,
            },
        )
        .await;
    assert_eq!(again, Err(DeskError::AlreadySettled(State::Executed)));
}

async fn what_was_answered_survives_a_restart(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let approved = alice.approve(&desk, &record).await.unwrap();
    let permit = approved.permit.clone().unwrap();
    let portal = "portal".parse().unwrap();
    assert!(
        desk.introspect(&permit, &portal, true)
            .await
            .unwrap()
            .is_some()
    );
    drop(desk);
    let desk = place.desk("a").await.unwrap();
    assert_eq!(
        desk.action(record.id).await.unwrap().unwrap().state,
        State::Consumed
    );
    assert!(
        desk.introspect(&permit, &portal, true)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        desk.session(&alice.token)
            .await
            .unwrap()
            .unwrap()
            .is_active()
    );
    assert_eq!(count(&log(&desk).await, "server.started"), 2);
}

async fn an_execution_cut_off_is_never_repeated(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    drop(desk);
    let other = place.desk("b").await.unwrap();
    assert_eq!(
        other.action(record.id).await.unwrap().unwrap().state,
        State::Approved,
        "another instance may report"
    );
    let desk = place.desk("a").await.unwrap();
    let found = desk.action(record.id).await.unwrap().unwrap();
    assert_eq!(found.state, State::Consumed);
    assert_eq!(
        found.execution.unwrap().failure.as_deref(),
        Some("not-reported")
    );
    assert_eq!(
        desk.consume(record.id).await.err(),
        Some(DeskError::AlreadySettled(State::Consumed))
    );
}

async fn two_instances_write_one_log(stores: &mut Stores) {
    let place = stores.place().await;
    let (here, there) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, bob) = place.found(&here).await;
    let (alice, bob) = (std::sync::Arc::new(alice), std::sync::Arc::new(bob));
    let mut tasks = Vec::new();
    for (desk, owner) in [(&here, &alice), (&there, &bob)] {
        let (desk, owner) = (desk.clone(), owner.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..75 {
                let record = owner.ask(&desk, "account.create").await.unwrap();
                owner.approve(&desk, &record).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let entries = log(&there).await;
    assert_eq!(count(&entries, "action.approved"), 150);
    assert!(
        entries.len() > 256,
        "a full tile was crossed: {}",
        entries.len()
    );
    assert!(entries.windows(2).all(|pair| pair[0].at() <= pair[1].at()));
    assert_eq!(log(&here).await.len(), entries.len());
}

async fn waiters_and_inboxes_hear_of_other_instances(stores: &mut Stores) {
    let place = stores.place().await;
    let (here, there) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, _) = place.found(&here).await;
    let mut inbox = there.subscribe(alice.id.clone()).await.unwrap();
    let record = alice.ask(&here, "account.create").await.unwrap();
    let told = tokio::time::timeout(Span::from_secs(5), inbox.next())
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(told, InboxEvent::Action(told) if told.id == record.id));
    let waiting = {
        let there = there.clone();
        tokio::spawn(async move { there.wait(record.id, Span::from_secs(20)).await })
    };
    tokio::time::sleep(Span::from_millis(100)).await;
    assert!(!waiting.is_finished());
    alice.approve(&here, &record).await.unwrap();
    let woken = tokio::time::timeout(Span::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(woken.state, State::Approved);
    let told = tokio::time::timeout(Span::from_secs(5), inbox.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told, InboxEvent::Settled(record.id, State::Approved));
    // In one instance nobody waits for the log to be read.
    let record = alice.ask(&here, "account.create").await.unwrap();
    let mut inbox = here.subscribe(alice.id.clone()).await.unwrap();
    assert!(
        matches!(inbox.next().await.unwrap(), InboxEvent::Action(told) if told.id == record.id)
    );
    drop(inbox);
    assert_eq!(here.waiting(), (0, 0));
}

async fn a_counter_that_goes_back_suspends_the_key(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let first = alice.ask(&desk, "account.create").await.unwrap();
    let second = alice.ask(&desk, "account.create").await.unwrap();
    let (older, newer) = (alice.claim(&first), alice.claim(&second));
    desk.approve(second.id, newer).await.unwrap();
    assert_eq!(
        desk.approve(first.id, older).await,
        Err(DeskError::NotVerified)
    );
    assert_eq!(desk.keys(&alice.id).await.unwrap(), []);
    let third = alice.ask(&desk, "account.create").await.unwrap();
    assert_eq!(
        alice.approve(&desk, &third).await,
        Err(DeskError::NotVerified)
    );
    let log = log(&desk).await;
    assert_eq!(
        (
            count(&log, "key.suspended"),
            count(&log, "alert.cloned-key")
        ),
        (1, 1)
    );
    let last = log
        .iter()
        .rfind(|entry| entry.kind() == "approval.rejected")
        .unwrap();
    assert_eq!(last.data()["reason"], "key-suspended");
}

async fn the_second_person_is_another(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let dora = place.invite(&desk, &bob, "dora", "manager").await;
    let record = alice.ask(&desk, "right.grant").await.unwrap();
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::NotAnApprover("self-approval"))
    );
    assert_eq!(
        carl.approve(&desk, &record).await,
        Err(DeskError::NotAnApprover("descendant"))
    );
    assert_eq!(
        dora.approve(&desk, &record).await,
        Err(DeskError::NotAnApprover("role"))
    );
    assert_eq!(
        bob.approve(&desk, &record).await.unwrap().state,
        State::Approved
    );
    // Two others, and the requester besides.
    let record = alice.ask(&desk, "vault.open").await.unwrap();
    assert_eq!(
        alice.approve(&desk, &record).await.unwrap().state,
        State::Pending
    );
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::NotAnApprover("already-approved"))
    );
    assert_eq!(
        carl.approve(&desk, &record).await,
        Err(DeskError::NotAnApprover("descendant"))
    );
    assert_eq!(
        dora.approve(&desk, &record).await.unwrap().state,
        State::Pending
    );
    let done = bob.approve(&desk, &record).await.unwrap();
    assert_eq!(done.state, State::Approved);
    assert_eq!(done.approvals.len(), 3);
    // A privileged person is not enrolled by one operator alone.
    let eve =
        serde_json::json!({"person": {"id": "eve", "display": "Eve", "roles": ["administrator"]}});
    let record = alice.ask_own(&desk, "key.enroll", eve).await.unwrap();
    assert_eq!(
        alice.approve(&desk, &record).await.unwrap().state,
        State::Pending
    );
    assert!(
        desk.person(&"eve".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        bob.approve(&desk, &record).await.unwrap().state,
        State::Executed
    );
    assert!(desk.reveal_invitation(record.id).await.unwrap().is_some());
    assert!(
        desk.reveal_invitation(record.id).await.unwrap().is_none(),
        "shown once"
    );
}

async fn not_me_suspends_the_session_that_asked(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let token = alice.sign_in(&desk, SessionKind::Gate).await;
    let session = desk.session(&token).await.unwrap().unwrap();
    let caller = Caller::Gate {
        service: "portal".parse().unwrap(),
        session: session.id,
    };
    let another = alice.wants("account.rename");
    let another = desk.open_action(another, caller.clone()).await.unwrap();
    let of_the_service = alice.ask(&desk, "account.rename").await.unwrap();
    let record = alice
        .ask_by(&desk, "account.create", caller.clone())
        .await
        .unwrap();
    assert_eq!(
        desk.refuse(record.id, bob.id.clone(), RefusalReason::NotMe, None)
            .await,
        Err(DeskError::NotAnApprover("not-requester"))
    );
    let refused = desk
        .refuse(
            record.id,
            alice.id.clone(),
            RefusalReason::NotMe,
            Some("no!".into()),
        )
        .await
        .unwrap();
    assert_eq!(refused.state, State::Refused);
    assert_eq!(refused.refusal.unwrap().reason, "not-me");
    assert_eq!(
        desk.session(&token).await.unwrap().unwrap().state,
        SessionState::Suspended
    );
    assert!(
        desk.session(&alice.token)
            .await
            .unwrap()
            .unwrap()
            .is_active(),
        "her own agent goes on"
    );
    let ended = desk.action(another.id).await.unwrap().unwrap();
    assert_eq!(
        ended.refusal.unwrap().reason,
        "session-suspended",
        "one no ends all that the session asked for"
    );
    let other = desk.action(of_the_service.id).await.unwrap().unwrap();
    assert_eq!(other.state, State::Pending, "and nothing else");
    assert_eq!(
        alice.ask_by(&desk, "account.create", caller).await.err(),
        Some(DeskError::Forbidden),
        "nor does it ask again"
    );
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::AlreadySettled(State::Refused))
    );
    let log = log(&desk).await;
    assert_eq!(
        (
            count(&log, "session.suspended"),
            count(&log, "alert.refused")
        ),
        (1, 1)
    );
}

async fn suspension_ends_sessions_at_once(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let bobs = || serde_json::json!({"person": "bob"});
    let waiting = bob.ask(&desk, "account.create").await.unwrap();
    let record = alice
        .ask_own(&desk, "person.suspend", bobs())
        .await
        .unwrap();
    alice.approve(&desk, &record).await.unwrap();
    assert_eq!(
        desk.session(&bob.token).await.unwrap().unwrap().state,
        SessionState::Suspended
    );
    assert_eq!(
        bob.approve(&desk, &waiting).await,
        Err(DeskError::NotAnApprover("not-active"))
    );
    let denied = bob.ask(&desk, "account.create").await.unwrap();
    assert_eq!(denied.denial.unwrap().reason, "requester-suspended");
    assert_eq!(
        desk.open_session(bob.id.clone(), SessionKind::Agent)
            .await
            .err(),
        Some(DeskError::UnknownPerson)
    );
    let record = alice
        .ask_own(&desk, "person.restore", bobs())
        .await
        .unwrap();
    alice.approve(&desk, &record).await.unwrap();
    bob.sign_in(&desk, SessionKind::Agent).await;
    assert_eq!(
        desk.session(&bob.token).await.unwrap().unwrap().state,
        SessionState::Suspended,
        "old ones stay so"
    );
}

async fn an_identity_is_whose_key_sealed_it(stores: &mut Stores) {
    use sceau_server::desk::LoginClaim;
    use sceau_server::gate::login::token::Identity;
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let claim = LoginClaim {
        issuer: "https://auth.example".to_owned(),
        idp_id: "idp".to_owned(),
        sub: "s-1".to_owned(),
        acr: "eidas3".to_owned(),
        email: Some("alice@ml.example".to_owned()),
    };
    let identity = Identity {
        issuer: claim.issuer.clone(),
        idp_id: claim.idp_id.clone(),
        sub: claim.sub.clone(),
    };
    let open = async |owner: &crate::fixture::Owner| {
        desk.open_session_after(owner.id.clone(), SessionKind::Gate, Some(claim.clone()))
            .await
    };
    // Both say that it is theirs; asking binds nothing.
    let hers = open(&alice).await.unwrap();
    let his = open(&bob).await.unwrap();
    assert_eq!(desk.person_of(&identity).await, Ok(None));
    alice.approve(&desk, &hers.action).await.unwrap();
    assert_eq!(desk.person_of(&identity).await, Ok(Some(alice.id.clone())));
    assert_eq!(count(&log(&desk).await, "identity.bound"), 1);
    // What was asked before cannot take it away, and nobody else can ask any more.
    let withdrawn = bob.approve(&desk, &his.action).await.unwrap();
    assert_eq!(withdrawn.state, State::Refused);
    assert_eq!(desk.person_of(&identity).await, Ok(Some(alice.id.clone())));
    let theirs = desk.session(&his.token).await.unwrap().unwrap();
    assert_ne!(theirs.state, SessionState::Active);
    assert_eq!(open(&bob).await.err(), Some(DeskError::UnknownPerson));
    let again = open(&alice).await.unwrap();
    alice.approve(&desk, &again.action).await.unwrap();
    assert_eq!(count(&log(&desk).await, "identity.bound"), 1);
    let other = Identity {
        idp_id: "another".to_owned(),
        ..identity
    };
    assert_eq!(desk.person_of(&other).await, Ok(None));
}

async fn time_settles_what_nobody_did(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let opened = desk
        .open_session(alice.id.clone(), SessionKind::Browser)
        .await
        .unwrap();
    let mut inbox = desk.subscribe(alice.id.clone()).await.unwrap();
    let claim = alice.claim(&record);
    place.clock.shift(Duration::minutes(6));
    assert_eq!(
        desk.action(record.id).await.unwrap().unwrap().state,
        State::Expired
    );
    assert_eq!(
        desk.approve(record.id, claim).await,
        Err(DeskError::Expired)
    );
    assert_eq!(
        desk.wait_session(opened.id, Span::ZERO)
            .await
            .unwrap()
            .unwrap()
            .state,
        SessionState::Ended
    );
    drop(desk);
    // The sweep writes it down, whoever looks.
    let desk = place.desk("a").await.unwrap();
    let log = log(&desk).await;
    assert_eq!(count(&log, "action.expired"), 2);
    let mut settled = 0;
    while let Ok(Ok(event)) = tokio::time::timeout(Span::from_millis(1500), inbox.next()).await {
        settled += usize::from(matches!(event, InboxEvent::Settled(_, State::Expired)));
    }
    assert_eq!(settled, 2);
}

async fn a_clock_that_goes_back_decides_nothing(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    place.clock.shift(-Duration::minutes(1));
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::ClockWentBack)
    );
    assert_eq!(
        alice.ask(&desk, "account.create").await,
        Err(DeskError::ClockWentBack)
    );
    assert_eq!(place.desk("b").await.err(), Some(DeskError::ClockWentBack));
    // A little behind is a slewed clock: time stands still.
    place.clock.shift(Duration::seconds(57));
    alice.approve(&desk, &record).await.unwrap();
    let entries = log(&desk).await;
    assert!(entries.windows(2).all(|pair| pair[0].at() <= pair[1].at()));
}

async fn too_many_prompts_are_not_asked(stores: &mut Stores) {
    let mut place = stores.place().await;
    place.limits = Limits {
        refused: 3,
        ..Limits::default()
    };
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let mut asked = Vec::new();
    let mut limited = 0;
    for _ in 0..50 {
        match alice.ask(&desk, "account.create").await {
            Ok(record) => asked.push(record),
            Err(DeskError::Limited { .. }) => limited += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    // Her own registration is one of the five that may wait or be asked: it is settled, so five wait.
    assert_eq!((asked.len(), limited), (5, 45));
    for record in asked.iter().take(3) {
        desk.refuse(record.id, alice.id.clone(), RefusalReason::Mistake, None)
            .await
            .unwrap();
    }
    assert!(matches!(
        alice.ask(&desk, "account.create").await,
        Err(DeskError::Limited { .. })
    ));
    let log = log(&desk).await;
    assert_eq!(count(&log, "alert.limited"), 1, "one alert for a window");
    assert_eq!(count(&log, "alert.refused"), 1);
    place.clock.shift(Duration::minutes(2));
    alice.ask(&desk, "account.create").await.unwrap();
}

async fn a_new_person_is_inert_until_enrolled(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let carl =
        serde_json::json!({"person": {"id": "carl", "display": "Carl", "roles": ["manager"]}});
    // Attack 7: the operator's session alone does nothing.
    let record = alice.ask_own(&desk, "key.enroll", carl).await.unwrap();
    assert!(desk.reveal_invitation(record.id).await.unwrap().is_none());
    alice.approve(&desk, &record).await.unwrap();
    // Attack 13.
    let carl = "carl".parse().unwrap();
    assert_eq!(
        desk.open_session(carl, SessionKind::Agent).await.err(),
        Some(DeskError::UnknownPerson)
    );
    let (_, secret, _) = desk.reveal_invitation(record.id).await.unwrap().unwrap();
    let carl = place.enrol(&desk, &secret).await;
    assert_eq!(
        desk.open_enrolment(&secret).await.err(),
        Some(DeskError::AlreadySettled(State::Executed))
    );
    carl.sign_in(&desk, SessionKind::Agent).await;
    assert_eq!(count(&log(&desk).await, "session.refused"), 1);
}

async fn evidence_convinces_an_auditor(stores: &mut Stores) {
    let place = stores.place().await;
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let record = alice.ask(&desk, "vault.open").await.unwrap();
    for owner in [&alice, &bob] {
        owner.approve(&desk, &record).await.unwrap();
    }
    let carl = place.invite(&desk, &bob, "carl", "manager").await;
    carl.approve(&desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    // Sent, and not reported yet: the bundle says what the log says, and no more.
    let under_way = desk.evidence(record.id).await.unwrap();
    assert_eq!(
        under_way.state,
        sceau_proof::evidence::State::Executing,
        "{under_way:?}"
    );
    desk.record_execution(
        record.id,
        Outcome::Answered {
            upstream_status: 201,
        },
    )
    .await
    .unwrap();
    let denied = alice.ask(&desk, "nobody.knows").await.unwrap();
    let refused = alice.ask(&desk, "account.create").await.unwrap();
    desk.refuse(refused.id, alice.id.clone(), RefusalReason::Other, None)
        .await
        .unwrap();
    let vkey = Place::log_vkey();
    let mut bundles = vec![under_way.to_json().unwrap()];
    for id in [record.id, denied.id, refused.id] {
        bundles.push(desk.evidence(id).await.unwrap().to_json().unwrap());
    }
    for bundle in bundles {
        let trust = sceau_proof::evidence::Trust {
            log: &vkey,
            witnesses: &[],
            sources: Sources {
                anchors: None,
                metadata: None,
            },
            at: None,
        };
        let report = sceau_proof::evidence::check(&bundle, &trust);
        assert!(report.accepted(), "{:#?}", report.checks());
        // One byte of the action changed convinces nobody.
        let text = String::from_utf8(bundle).unwrap();
        let mut forged: serde_json::Value = serde_json::from_str(&text).unwrap();
        forged["state"] = serde_json::json!("pending");
        assert!(!sceau_proof::evidence::check(forged.to_string().as_bytes(), &trust).accepted());
    }
}
