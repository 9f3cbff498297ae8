//! Four eyes on the real desk over a real store: whatever is asked, approved, refused, waited for, restarted, suspended, restored and revoked,
//! in whatever order, an action is done only when its requirement is met by distinct persons who are active, hold live keys, do not
//! descend from the requester and are not the requester. An oracle that shares no code with the server predicts every answer.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sceau_server::action::Caller;
use sceau_server::action::{ActionRecord, NewAction, Outcome, State, Target};
use sceau_server::desk::{Desk, DeskError, RefusalReason};
use sceau_server::id::{ActionId, SessionId};
use sceau_server::session::SessionKind;
use sceau_server::workstation::Workstation;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::fixture::{Owner, Place, policy_of};

const SCHEMA: &str = r#"
action "solo", "pair", "two", "split", "apart", "allowed" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
"#;

const POLICY: &str = r#"
@id("own")
permit (principal, action in [Action::"session.open", Action::"key.register"], resource);
@id("administrators")
permit (
  principal in Role::"administrator",
  action in [Action::"key.enroll", Action::"person.suspend", Action::"person.restore", Action::"key.revoke"],
  resource
);
@id("solo")
permit (principal, action == Action::"solo", resource);
@id("pair")
@approver_role("requester,administrator")
permit (principal, action == Action::"pair", resource);
@id("two")
@approver_role("administrator:2")
permit (principal, action == Action::"two", resource);
@id("split")
@approver_role("security,legal")
@fresh("60s")
permit (principal, action == Action::"split", resource);
@id("apart")
@approver_role("requester,administrator")
@other_workstation("true")
permit (principal, action == Action::"apart", resource);
@id("allowed")
@approvals("0")
permit (principal, action == Action::"allowed", resource);
"#;

/// Who enrolled whom: founders, then each with their parent and roles.
const PERSONS: [(&str, Option<usize>, &str); 7] = [
    ("alice", None, "administrator"),
    ("bob", None, "administrator"),
    ("carol", Some(0), "administrator"),
    ("dave", Some(1), "manager"),
    ("erin", Some(1), "security legal"),
    ("gail", Some(1), "legal"),
    ("hank", Some(2), "security"),
];

const KINDS: [&str; 4] = ["solo", "pair", "two", "split"];

/// Actions of a sequence; steps name them by number.
const SLOTS: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Ask(usize, usize, usize),
    Approve(usize, usize),
    /// With somebody else's key.
    ApproveWith(usize, usize, usize),
    Refuse(usize, usize),
    Use(usize, bool),
    Wait(i64),
    Restart,
    Suspend(usize),
    Restore(usize),
    Revoke(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let person = 0..PERSONS.len();
    let step = prop_oneof![
        4 => (0..SLOTS, 0..KINDS.len(), person.clone()).prop_map(|(slot, kind, who)| Step::Ask(slot, kind, who)),
        14 => (0..SLOTS, person.clone()).prop_map(|(slot, who)| Step::Approve(slot, who)),
        1 => (0..SLOTS, person.clone(), person.clone()).prop_map(|(slot, who, key)| Step::ApproveWith(slot, who, key)),
        1 => (0..SLOTS, person.clone()).prop_map(|(slot, who)| Step::Refuse(slot, who)),
        5 => (0..SLOTS, any::<bool>()).prop_map(|(slot, report)| Step::Use(slot, report)),
        2 => (1_i64..100).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => person.clone().prop_map(Step::Suspend),
        2 => person.clone().prop_map(Step::Restore),
        1 => (4..PERSONS.len()).prop_map(Step::Revoke),
    ];
    prop::collection::vec(step, 60..120)
}

/// What the oracle knows of an action.
#[derive(Debug, Clone)]
struct Known {
    id: ActionId,
    kind: usize,
    requester: usize,
    approvals: Vec<usize>,
    last: OffsetDateTime,
    ends: OffsetDateTime,
    /// `pending`, `approved`, or anything else: over.
    state: &'static str,
}

/// What the oracle knows of the world.
struct World {
    active: Vec<bool>,
    live: Vec<bool>,
    actions: Vec<Option<Known>>,
}

fn holds(person: usize, role: &str) -> bool {
    PERSONS[person].2.split(' ').any(|held| held == role)
}

fn descends(person: usize, from: usize) -> bool {
    PERSONS[person]
        .1
        .is_some_and(|parent| parent == from || descends(parent, from))
}

impl World {
    /// Whether this person's approval is one that may count for this action.
    fn eligible(&self, known: &Known, person: usize) -> bool {
        let own = person == known.requester;
        let other = |roles: &[&str]| {
            !own && !descends(person, known.requester)
                && roles.iter().any(|role| holds(person, role))
        };
        self.active[person]
            && self.live[person]
            && match KINDS[known.kind] {
                "solo" => own,
                "pair" => own || other(&["administrator"]),
                "two" => other(&["administrator"]),
                _ => other(&["security", "legal"]),
            }
    }

    fn met(&self, known: &Known) -> bool {
        let counting: BTreeSet<usize> = known
            .approvals
            .iter()
            .copied()
            .filter(|person| self.eligible(known, *person))
            .collect();
        let others: Vec<usize> = counting
            .iter()
            .copied()
            .filter(|person| *person != known.requester)
            .collect();
        let own = counting.contains(&known.requester);
        match KINDS[known.kind] {
            "solo" => own,
            "pair" => own && !others.is_empty(),
            "two" => others.len() >= 2,
            // One of each, and not the same person for both.
            _ => others.iter().any(|a| {
                holds(*a, "security") && others.iter().any(|b| b != a && holds(*b, "legal"))
            }),
        }
    }

    fn over(known: &Known, now: OffsetDateTime) -> bool {
        let fresh = KINDS[known.kind] == "split" && known.state == "approved";
        now >= known.ends || (fresh && now >= known.last + Duration::seconds(60))
    }
}

struct Office {
    place: Place,
    desk: Desk,
    owners: Vec<Owner>,
    world: World,
    _folder: tempfile::TempDir,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place::within(folder.path());
        place.policy = policy_of(SCHEMA, POLICY);
        let desk = place.desk("main").await.unwrap();
        let (alice, bob) = place.found(&desk).await;
        let mut owners = vec![alice, bob];
        for (name, parent, roles) in &PERSONS[2..] {
            let roles: Vec<&str> = roles.split(' ').collect();
            let asked = wants(
                "key.enroll",
                "sceau",
                &owners[parent.unwrap()],
                json!({"person": {"id": name, "display": name, "roles": roles}}),
            );
            let asker = &owners[parent.unwrap()];
            let record = desk
                .open_action(asked, asker.caller(&desk).await)
                .await
                .unwrap();
            asker.approve(&desk, &record).await.unwrap();
            let (_, secret, _) = desk.reveal_invitation(record.id).await.unwrap().unwrap();
            owners.push(place.enrol(&desk, &secret).await);
        }
        Self {
            place,
            desk,
            owners,
            world: World {
                active: vec![true; PERSONS.len()],
                live: vec![true; PERSONS.len()],
                actions: vec![None; SLOTS],
            },
            _folder: folder,
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.desk.now()
    }

    /// A founder who can act, for the server's own actions.
    fn founder(&self) -> Option<usize> {
        (0..2).find(|who| self.world.active[*who] && self.world.live[*who])
    }

    async fn session(&self, who: usize) -> SessionId {
        let token = self.owners[who]
            .sign_in(&self.desk, SessionKind::Agent)
            .await;
        self.desk.session(&token).await.unwrap().unwrap().id
    }

    /// One of the server's own actions, asked and sealed by a founder; whether it was done.
    async fn own(&self, kind: &str, params: serde_json::Value) -> bool {
        let Some(founder) = self.founder() else {
            return false;
        };
        let caller = Caller::Person {
            person: self.owners[founder].id.clone(),
            session: self.session(founder).await,
        };
        let asked = wants(kind, "sceau", &self.owners[founder], params);
        let record = self.desk.open_action(asked, caller).await.unwrap();
        self.owners[founder]
            .approve(&self.desk, &record)
            .await
            .unwrap()
            .state
            == State::Executed
    }

    async fn state(&self, id: ActionId) -> State {
        self.desk.action(id).await.unwrap().unwrap().state
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Ask(slot, kind, who) => self.ask(slot, kind, who).await,
            Step::Approve(slot, who) => self.approve(slot, who, who).await,
            Step::ApproveWith(slot, who, key) => self.approve(slot, who, key).await,
            Step::Refuse(slot, who) => self.refuse(slot, who).await,
            Step::Use(slot, report) => self.take(slot, report).await,
            Step::Wait(seconds) => {
                self.place.clock.shift(Duration::seconds(seconds));
                Ok(())
            }
            Step::Restart => {
                self.desk = self.place.desk("main").await.unwrap();
                Ok(())
            }
            Step::Suspend(who) => {
                // Founders would lock everybody out: one of them stays.
                let last = who < 2 && !self.world.active[1 - who];
                if self.world.active[who] && !last && self.founder() != Some(who) {
                    let done = self
                        .own("person.suspend", json!({"person": PERSONS[who].0}))
                        .await;
                    prop_assert!(done);
                    self.world.active[who] = false;
                    // What they asked for, or sealed, ends with them, and does not come back.
                    for known in self.world.actions.iter_mut().flatten() {
                        if known.requester == who || known.approvals.contains(&who) {
                            known.state = "over";
                        }
                    }
                }
                Ok(())
            }
            Step::Restore(who) => {
                if !self.world.active[who] && self.world.live[who] && self.founder().is_some() {
                    let done = self
                        .own("person.restore", json!({"person": PERSONS[who].0}))
                        .await;
                    prop_assert!(done);
                    self.world.active[who] = true;
                }
                Ok(())
            }
            Step::Revoke(who) => {
                if self.world.live[who] && self.founder().is_some() {
                    let done = self
                        .own("key.revoke", json!({"key_id": self.owners[who].key}))
                        .await;
                    prop_assert!(done);
                    self.world.live[who] = false;
                }
                Ok(())
            }
        }
    }

    async fn ask(&mut self, slot: usize, kind: usize, who: usize) -> Result<(), TestCaseError> {
        let record = self.owners[who].ask(&self.desk, KINDS[kind]).await.unwrap();
        prop_assert_eq!(record.state == State::Pending, self.world.active[who]);
        self.world.actions[slot] = (record.state == State::Pending).then(|| Known {
            id: record.id,
            kind,
            requester: who,
            approvals: Vec::new(),
            last: record.created_at,
            ends: record.expires_at,
            state: "pending",
        });
        Ok(())
    }

    async fn approve(&mut self, slot: usize, who: usize, key: usize) -> Result<(), TestCaseError> {
        let Some(mut known) = self.world.actions[slot].clone() else {
            return Ok(());
        };
        let record = self.desk.action(known.id).await.unwrap().unwrap();
        let mut claim = self.owners[key].claim(&record);
        claim.person = self.owners[who].id.clone();
        let answer = self.desk.approve(known.id, claim).await;
        let now = self.now();
        let expected = known.state == "pending"
            && now < known.ends
            && who == key
            && self.world.eligible(&known, who)
            && !known.approvals.contains(&who);
        if expected && !self.world.active[known.requester] {
            // Whoever asked is suspended: the approval ends the action.
            prop_assert_eq!(
                answer.map(|record| record.state),
                Err(DeskError::AlreadySettled(State::Refused))
            );
            known.state = "over";
        } else if expected {
            known.approvals.push(who);
            known.last = now;
            if self.world.met(&known) {
                known.state = "approved";
            }
            let told = answer.map(|record| record.state.as_str());
            if told != Ok(known.state) {
                let log = crate::conformance::log(&self.desk).await;
                let tail: Vec<String> = log
                    .iter()
                    .rev()
                    .take(4)
                    .map(|entry| format!("{} {:?}", entry.kind(), entry.data()))
                    .collect();
                prop_assert_eq!(
                    told,
                    Ok(known.state),
                    "{:?} by {}; {:#?}",
                    known,
                    PERSONS[who].0,
                    tail
                );
            }
        } else {
            prop_assert!(
                answer.is_err(),
                "{known:?} by {}: {answer:?}",
                PERSONS[who].0
            );
        }
        self.world.actions[slot] = Some(known);
        Ok(())
    }

    async fn refuse(&mut self, slot: usize, who: usize) -> Result<(), TestCaseError> {
        let Some(known) = self.world.actions[slot].clone() else {
            return Ok(());
        };
        let id = self.owners[who].id.clone();
        let answer = self
            .desk
            .refuse(known.id, id, RefusalReason::Other, None)
            .await;
        if answer.is_ok() {
            prop_assert!(
                matches!(known.state, "pending" | "approved") && !World::over(&known, self.now())
            );
            self.world.actions[slot] = None;
            // One refusal ends it for everybody.
            prop_assert_eq!(self.state(known.id).await, State::Refused);
        }
        Ok(())
    }

    /// The heart of it: an action is done if, and only if, the oracle would do it now.
    async fn take(&mut self, slot: usize, report: bool) -> Result<(), TestCaseError> {
        let Some(mut known) = self.world.actions[slot].clone() else {
            return Ok(());
        };
        let usable = known.state == "approved"
            && !World::over(&known, self.now())
            && self.world.active[known.requester]
            && self.world.met(&known);
        let answer = self.desk.consume(known.id).await;
        prop_assert_eq!(answer.is_ok(), usable, "{:?}: {:?}", known, answer.err());
        if usable {
            known.state = "over";
            if report {
                let done = Outcome::Answered {
                    upstream_status: 201,
                };
                let record = self.desk.record_execution(known.id, done).await.unwrap();
                prop_assert_eq!(record.state, State::Executed);
            }
        } else if known.state == "approved" && !World::over(&known, self.now()) {
            // It had lost an approver: refused for good.
            prop_assert_eq!(self.state(known.id).await, State::Refused);
            known.state = "over";
        }
        // Never twice.
        prop_assert!(self.desk.consume(known.id).await.is_err());
        self.world.actions[slot] = Some(known);
        Ok(())
    }
}

fn wants(kind: &str, service: &str, requester: &Owner, params: serde_json::Value) -> NewAction {
    NewAction {
        kind: kind.to_owned(),
        service: service.parse().unwrap(),
        requester: requester.id.clone(),
        target: Target {
            kind: "account".to_owned(),
            id: "x".to_owned(),
            display: "X".to_owned(),
        },
        params: params.as_object().unwrap().clone(),
        request: None,
        words: None,
    }
}

#[test]
fn no_sequence_does_an_action_whose_requirement_is_not_met() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .unwrap();
    let cases = std::env::var("SCEAU_SEQUENCES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in steps())| {
        runtime.block_on(async {
            let mut office = Office::open().await;
            for step in &steps {
                office.step(step).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    });
}

async fn asked(office: &Office, who: usize, kind: &str) -> ActionRecord {
    office.owners[who].ask(&office.desk, kind).await.unwrap()
}

#[tokio::test]
async fn the_requester_sees_who_is_awaited() {
    let office = Office::open().await;
    let record = asked(&office, 0, "pair").await;
    let awaited = office.desk.awaited(&record).await.unwrap();
    let groups: Vec<&str> = awaited.iter().map(|it| it.awaited.group.as_str()).collect();
    assert_eq!(groups, ["requester", "administrator"]);
    // Carol is an administrator too, and was enrolled by Alice.
    let named: Vec<&str> = awaited[1].persons.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(named, ["bob"]);
    let record = office.owners[1]
        .approve(&office.desk, &record)
        .await
        .unwrap();
    let awaited = office.desk.awaited(&record).await.unwrap();
    assert_eq!(awaited.len(), 1);
    assert_eq!(
        (
            awaited[0].awaited.group.as_str(),
            awaited[0].awaited.missing
        ),
        ("requester", 1)
    );
}

#[tokio::test]
async fn whoever_had_a_key_enrolled_by_the_requester_is_no_second_person_of_theirs() {
    let mut office = Office::open().await;
    // Alice has another key enrolled for Bob: she may have kept the invitation, and hold "Bob's" key herself.
    let wanted = wants(
        "key.enroll",
        "sceau",
        &office.owners[0],
        json!({"person": {"id": "bob"}}),
    );
    let caller = office.owners[0].caller(&office.desk).await;
    let record = office.desk.open_action(wanted, caller).await.unwrap();
    office.owners[0]
        .approve(&office.desk, &record)
        .await
        .unwrap();
    let (_, secret, _) = office
        .desk
        .reveal_invitation(record.id)
        .await
        .unwrap()
        .unwrap();
    let second = office.place.enrol(&office.desk, &secret).await;
    let record = asked(&office, 0, "pair").await;
    for owner in [&second, &office.owners[1]] {
        let answer = owner.approve(&office.desk, &record).await;
        assert_eq!(answer, Err(DeskError::NotAnApprover("descendant")));
    }
    office.owners.push(second);
    let elsewhere = asked(&office, 6, "pair").await;
    assert!(
        office.owners[7]
            .approve(&office.desk, &elsewhere)
            .await
            .is_ok(),
        "for others' actions it counts"
    );
}

#[tokio::test]
async fn what_the_policy_allows_without_a_key_is_approved_at_once_and_says_so() {
    let office = Office::open().await;
    let record = asked(&office, 3, "allowed").await;
    assert_eq!(record.state, State::Approved);
    let permit = record.permit.clone().unwrap();
    let claims = office
        .desk
        .introspect(&permit, &"portal".parse().unwrap(), true)
        .await
        .unwrap()
        .unwrap();
    assert!(claims.amr.is_empty() && claims.approvals.is_empty());
    assert_eq!(office.state(record.id).await, State::Consumed);
}

fn at(address: &str, device: &str, session: u128) -> Option<Workstation> {
    Some(Workstation {
        session: SessionId(uuid::Uuid::from_u128(session)),
        address: address.parse().unwrap(),
        device: Some(device.to_owned()),
    })
}

#[tokio::test]
async fn approvers_sit_at_different_workstations_where_that_is_asked() {
    let office = Office::open().await;
    let (desk, alice, bob) = (&office.desk, &office.owners[0], &office.owners[1]);
    let record = asked(&office, 0, "apart").await;
    let claim = |owner: &Owner| owner.claim(&record);
    desk.approve_at(record.id, claim(alice), at("10.0.0.1", "pc-1", 1))
        .await
        .unwrap();
    for (from, reason) in [
        (at("10.0.0.1", "pc-1", 2), "same-workstation"),
        (at("10.0.0.2", "pc-2", 1), "same-workstation"),
        (None, "workstation-unknown"),
    ] {
        let answer = desk.approve_at(record.id, claim(bob), from).await;
        assert_eq!(answer, Err(DeskError::NotAnApprover(reason)));
    }
    let record = desk
        .approve_at(record.id, claim(bob), at("10.0.0.1", "pc-2", 2))
        .await
        .unwrap();
    assert_eq!(record.state, State::Approved);
}
