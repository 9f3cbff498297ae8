use std::sync::atomic::Ordering;
use std::time::Duration as Span;

use sceau_proof::action::Action;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::presence::Beat;
use sceau_server::desk::{Asked, BeatAnswer, Desk, DeskError, Inbox, InboxEvent, ProofClaim};
use sceau_server::id::SessionId;
use sceau_server::presence::{Ability, Goodbye, Presence, Unable, Why};
use sceau_server::session::{Session, SessionKind, SessionState};
use time::Duration;

use crate::conformance::{count, log};
use crate::fixture::{AGENT, Owner, Place};

/// The cases of the conformance suite, each on a fresh store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Case {
    KeptAliveLostRegainedAndOver,
    Lies,
    Counters,
    ATouchDelaysOnce,
    KeysThatCannot,
    RestartsAndInstances,
}

pub(crate) const ALL: [Case; 6] = [
    Case::KeptAliveLostRegainedAndOver,
    Case::Lies,
    Case::Counters,
    Case::ATouchDelaysOnce,
    Case::KeysThatCannot,
    Case::RestartsAndInstances,
];

pub(crate) async fn run(case: Case, mut place: Place) {
    place.presence = Some(rule());
    match case {
        Case::KeptAliveLostRegainedAndOver => kept_alive_lost_regained_and_over(place).await,
        Case::Lies => lies_keep_nothing_alive(place).await,
        Case::Counters => counters_are_judged_by_when_the_nonce_was_given_out(place).await,
        Case::ATouchDelaysOnce => a_touch_delays_once(place).await,
        Case::KeysThatCannot => keys_that_cannot_prove_are_refused_or_waived(place).await,
        Case::RestartsAndInstances => restarts_give_one_interval_and_instances_agree(place).await,
    }
}

fn rule() -> Presence {
    toml::from_str("interval = \"15s\"\naway = \"1m\"\ntouch = \"40s\"").unwrap()
}

/// One person, their agent's session, and a session at the gate that needs their key.
struct Scene {
    desk: Desk,
    place: Place,
    alice: Owner,
    agent: Session,
    gate: SessionId,
}

impl Scene {
    async fn set(place: Place) -> Self {
        let desk = place.desk("a").await.unwrap();
        let (alice, _) = place.found(&desk).await;
        let agent = desk.session(&alice.token).await.unwrap().unwrap();
        let token = alice.sign_in(&desk, SessionKind::Gate).await;
        let gate = desk.session(&token).await.unwrap().unwrap().id;
        Self {
            desk,
            place,
            alice,
            agent,
            gate,
        }
    }

    async fn state(&self) -> SessionState {
        state(&self.desk, self.gate).await
    }

    /// What the agent is asked when it connects.
    async fn asked(&self) -> Asked {
        let mut inbox = self.desk.subscribe_session(&self.agent).await.unwrap();
        beat(&mut inbox).await
    }

    /// The key's answer, with these flags and this counter.
    fn answer(&self, asked: &Asked, flags: u8, sign_count: u32) -> ProofClaim {
        let sessions = asked.sessions.iter().map(|id| id.0).collect();
        let beat = Beat::new(asked.nonce, asked.key.0, sessions).unwrap();
        self.signed(asked, beat.client_data(AGENT), flags, sign_count)
    }

    fn signed(
        &self,
        asked: &Asked,
        client_data_json: Vec<u8>,
        flags: u8,
        sign_count: u32,
    ) -> ProofClaim {
        let (authenticator_data, signature) =
            self.alice
                .credential
                .sign(&client_data_json, flags, sign_count);
        ProofClaim {
            nonce: asked.nonce,
            answer: BeatAnswer::Assertion(AssertionResponse {
                client_data_json,
                authenticator_data,
                signature,
                credential_id: None,
            }),
        }
    }

    async fn prove(&self, claim: ProofClaim) -> Result<Vec<SessionId>, DeskError> {
        self.desk.prove_presence(&self.agent, claim).await
    }

    /// An honest proof by a key that counts.
    async fn beat(&self) -> Result<Vec<SessionId>, DeskError> {
        let asked = self.asked().await;
        self.prove(self.answer(&asked, 0, self.next())).await
    }

    /// The key's counter moves on.
    fn next(&self) -> u32 {
        self.alice.credential.counter.fetch_add(1, Ordering::SeqCst)
    }

    async fn logged(&self, kind: &str) -> usize {
        self.desk.settle_presence().await.unwrap();
        count(&log(&self.desk).await, kind)
    }

    fn later(&self, seconds: i64) {
        self.place.clock.shift(Duration::seconds(seconds));
    }
}

async fn state(desk: &Desk, id: SessionId) -> SessionState {
    desk.session_named(id).await.unwrap().unwrap().state
}

async fn beat(inbox: &mut Inbox) -> Asked {
    let wait = async {
        loop {
            if let InboxEvent::Presence(asked) = inbox.next().await.unwrap() {
                return *asked;
            }
        }
    };
    tokio::time::timeout(Span::from_secs(20), wait)
        .await
        .expect("the agent is asked for a proof")
}

async fn kept_alive_lost_regained_and_over(place: Place) {
    let scene = Scene::set(place).await;
    for round in 0..6 {
        assert_eq!(scene.state().await, SessionState::Active, "round {round}");
        assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
        scene.later(10);
    }
    // Ten seconds ago was the last nonce: five more are good, and not a moment longer.
    scene.place.clock.shift(Duration::milliseconds(4_999));
    assert_eq!(scene.state().await, SessionState::Active);
    scene.place.clock.shift(Duration::milliseconds(1));
    assert_eq!(scene.state().await, SessionState::Absent);
    assert_eq!(scene.logged("presence.lost").await, 1);
    assert_eq!(scene.logged("presence.lost").await, 1);
    scene.later(30);
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    assert_eq!(scene.state().await, SessionState::Active);
    assert_eq!(scene.logged("presence.regained").await, 1);
    assert_eq!(scene.desk.presence_counts().await, Ok((1, 0)));

    let locked = scene
        .desk
        .end_presence(&scene.agent, scene.alice.key, Goodbye::Locked)
        .await;
    assert_eq!(locked, Ok(vec![scene.gate]));
    assert_eq!(scene.state().await, SessionState::Absent);
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    assert_eq!(scene.state().await, SessionState::Active);

    let mut endings = scene.desk.endings();
    let pulled = scene
        .desk
        .end_presence(&scene.agent, scene.alice.key, Goodbye::Removed);
    assert_eq!(pulled.await, Ok(vec![scene.gate]));
    tokio::time::timeout(Span::from_secs(5), endings.changed())
        .await
        .expect("open connections are told")
        .unwrap();
    assert_eq!(scene.state().await, SessionState::Ended);
    let entries = log(&scene.desk).await;
    assert_eq!(count(&entries, "presence.lost"), 3);
    assert_eq!(count(&entries, "presence.regained"), 2);
    assert_eq!(count(&entries, "session.ended"), 1);

    // Away for longer than it may be: over, without anybody's word.
    let token = scene.alice.sign_in(&scene.desk, SessionKind::Gate).await;
    let second = scene.desk.session(&token).await.unwrap().unwrap().id;
    scene.later(16);
    scene.desk.settle_presence().await.unwrap();
    assert_eq!(state(&scene.desk, second).await, SessionState::Absent);
    scene.later(61);
    scene.desk.settle_presence().await.unwrap();
    assert_eq!(state(&scene.desk, second).await, SessionState::Ended);
    // The agent's own session needs nothing of the kind.
    assert_eq!(
        state(&scene.desk, scene.agent.id).await,
        SessionState::Active
    );
}

async fn lies_keep_nothing_alive(place: Place) {
    let scene = Scene::set(place).await;
    let first = scene.asked().await;
    let proof = scene.answer(&first, 0, scene.next());
    assert_eq!(scene.prove(proof.clone()).await, Ok(vec![scene.gate]));
    // Replayed.
    assert_eq!(scene.prove(proof.clone()).await, Err(DeskError::NotFound));
    // The same signature for a new nonce; which is used up by it.
    let second = scene.asked().await;
    let old = ProofClaim {
        nonce: second.nonce,
        ..proof
    };
    assert_eq!(scene.prove(old).await, Err(DeskError::NotVerified));
    let honest = scene.answer(&second, 0, scene.next());
    assert_eq!(scene.prove(honest).await, Err(DeskError::NotFound));
    // With a touch, with a PIN, as an approval, for other sessions, for another key.
    for flags in [0x01, 0x04, 0x05] {
        let asked = scene.asked().await;
        let touched = scene.answer(&asked, flags, scene.next());
        assert_eq!(scene.prove(touched).await, Err(DeskError::NotVerified));
    }
    let asked = scene.asked().await;
    let beat = |sessions: Vec<uuid::Uuid>, key| Beat::new(asked.nonce, key, sessions).unwrap();
    let own = beat(vec![scene.gate.0], asked.key.0);
    let text = String::from_utf8(own.client_data(AGENT)).unwrap();
    let lies = [
        text.replace("sceau.presence", "webauthn.get"),
        text.replace(AGENT, "https://sceau.example"),
        String::from_utf8(beat(Vec::new(), asked.key.0).client_data(AGENT)).unwrap(),
        String::from_utf8(beat(vec![scene.gate.0], uuid::Uuid::nil()).client_data(AGENT)).unwrap(),
    ];
    for lie in lies {
        let asked = scene.asked().await;
        let claim = scene.signed(&asked, lie.into_bytes(), 0, scene.next());
        assert_eq!(scene.prove(claim).await, Err(DeskError::NotVerified));
    }
    // By a session that the nonce was not sent to.
    let asked = scene.asked().await;
    let token = scene.alice.sign_in(&scene.desk, SessionKind::Agent).await;
    let other = scene.desk.session(&token).await.unwrap().unwrap();
    let stolen = scene.answer(&asked, 0, scene.next());
    assert_eq!(
        scene.desk.prove_presence(&other, stolen.clone()).await,
        Err(DeskError::NotFound)
    );
    // And nobody else may say goodbye for the agent that proves.
    let goodbye = scene
        .desk
        .end_presence(&other, scene.alice.key, Goodbye::Removed)
        .await;
    assert_eq!(goodbye, Ok(Vec::new()));
    // Too late.
    scene.later(5);
    assert_eq!(scene.prove(stolen).await, Err(DeskError::Expired));
    assert_eq!(scene.logged("presence.rejected").await, 8);
    // None of it kept the session alive for longer than the one honest proof.
    scene.later(10);
    assert_eq!(scene.state().await, SessionState::Absent);

    // A beat approves nothing.
    let record = scene
        .alice
        .ask(&scene.desk, "account.create")
        .await
        .unwrap();
    let action = Action::parse(record.document.as_bytes()).unwrap();
    let asked = scene.asked().await;
    let beat = Beat::new(*action.challenge().as_bytes(), asked.key.0, Vec::new()).unwrap();
    let claim = scene.signed(&asked, beat.client_data(AGENT), 0, scene.next());
    let mut approval = scene.alice.claim(&record);
    let BeatAnswer::Assertion(response) = claim.answer else {
        panic!("an assertion");
    };
    approval.response = sceau_proof::evidence::Response::Fido2(response);
    assert_eq!(
        scene.desk.approve(record.id, approval).await.err(),
        Some(DeskError::NotVerified)
    );
}

async fn counters_are_judged_by_when_the_nonce_was_given_out(place: Place) {
    let scene = Scene::set(place).await;
    // An authenticator that does not count in silence says the same number again.
    let standing = scene.next() - 1;
    for _ in 0..2 {
        let asked = scene.asked().await;
        let uncounted = scene.answer(&asked, 0, standing);
        assert_eq!(scene.prove(uncounted).await, Ok(vec![scene.gate]));
    }
    // An approval that overtakes a beat on its way makes no clone of it, nor does a beat of an approval after it.
    let asked = scene.asked().await;
    let overtaken = scene.answer(&asked, 0, scene.next());
    let record = scene
        .alice
        .ask(&scene.desk, "account.create")
        .await
        .unwrap();
    scene.alice.approve(&scene.desk, &record).await.unwrap();
    assert_eq!(scene.prove(overtaken).await, Ok(vec![scene.gate]));
    assert_eq!(scene.logged("alert.cloned-key").await, 0);
    // The record follows beats: what is behind it when the nonce is given out is a clone, zero included.
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    let asked = scene.asked().await;
    let clone = scene.answer(&asked, 0, 0);
    assert_eq!(scene.prove(clone).await, Err(DeskError::NotVerified));
    assert_eq!(scene.logged("alert.cloned-key").await, 1);
    assert_eq!(scene.state().await, SessionState::Ended);
    assert!(scene.desk.keys(&scene.alice.id).await.unwrap().is_empty());
}

async fn a_touch_delays_once(place: Place) {
    let scene = Scene::set(place).await;
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    let unknown = sceau_server::id::ActionId(uuid::Uuid::nil());
    let nonce = scene.asked().await.nonce;
    let refused = scene.desk.delay_presence(&scene.agent, nonce, unknown);
    assert_eq!(refused.await, Err(DeskError::Forbidden));
    let record = scene
        .alice
        .ask(&scene.desk, "account.create")
        .await
        .unwrap();
    let delay = |nonce| scene.desk.delay_presence(&scene.agent, nonce, record.id);
    assert_eq!(delay(scene.asked().await.nonce).await, Ok(()));
    scene.later(39);
    assert_eq!(scene.state().await, SessionState::Active);
    // Not twice without a proof in between.
    let again = delay(scene.asked().await.nonce).await;
    assert_eq!(again, Err(DeskError::Forbidden));
    scene.later(1);
    assert_eq!(scene.state().await, SessionState::Absent);
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    assert_eq!(delay(scene.asked().await.nonce).await, Ok(()));
    // An action that is settled waits for no touch.
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    scene
        .desk
        .cancel(record.id, sceau_server::desk::CancelReason::ClientGone)
        .await
        .unwrap();
    let settled = delay(scene.asked().await.nonce).await;
    assert_eq!(settled, Err(DeskError::Forbidden));
}

async fn keys_that_cannot_prove_are_refused_or_waived(mut place: Place) {
    place.presence = Some(Presence {
        unable: Unable::Allow,
        ..rule()
    });
    let scene = Scene::set(place).await;
    let nonce = scene.asked().await.nonce;
    let unable = |desk: &Desk, nonce| {
        let (desk, agent) = (desk.clone(), scene.agent.clone());
        async move { desk.presence_unable(&agent, nonce, Why::Refused).await }
    };
    assert_eq!(unable(&scene.desk, nonce).await, Ok(()));
    assert_eq!(scene.logged("presence.unable").await, 1);
    assert_eq!(scene.logged("presence.waived").await, 1);
    scene.later(300);
    assert_eq!(scene.state().await, SessionState::Active);
    let (standing, abilities) = scene.desk.presence_of(&scene.alice.id).await.unwrap();
    assert_eq!(standing[0].watched.waived.as_deref(), Some("refused"));
    let refused = Ability::Unable {
        reason: Why::Refused,
    };
    assert_eq!(abilities, [(scene.alice.key, Some(refused))]);

    // The same store under a stricter configuration: such a key seals no sign-in that needs presence.
    let mut strict = scene.place.clone_for_another_desk();
    strict.presence = Some(rule());
    let desk = strict.desk("b").await.unwrap();
    let opened = desk
        .open_session(scene.alice.id.clone(), SessionKind::Gate)
        .await
        .unwrap();
    assert_eq!(
        scene.alice.approve(&desk, &opened.action).await.err(),
        Some(DeskError::NotAnApprover("key-without-presence"))
    );
    // An agent's sign-in needs none.
    scene.alice.sign_in(&desk, SessionKind::Agent).await;

    // It is asked again at the next connection; once it proves, nobody can take that back.
    let mut inbox = desk.subscribe_session(&scene.agent).await.unwrap();
    let probe = beat(&mut inbox).await;
    assert!(probe.sessions.is_empty());
    let claim = scene.answer(&probe, 0, 0);
    assert_eq!(
        desk.prove_presence(&scene.agent, claim).await,
        Ok(Vec::new())
    );
    let token = scene.alice.sign_in(&desk, SessionKind::Gate).await;
    let gate = desk.session(&token).await.unwrap().unwrap().id;
    let mut inbox = desk.subscribe_session(&scene.agent).await.unwrap();
    let asked = beat(&mut inbox).await;
    assert_eq!(unable(&desk, asked.nonce).await, Err(DeskError::Forbidden));
    assert_eq!(state(&desk, gate).await, SessionState::Active);
}

async fn restarts_give_one_interval_and_instances_agree(place: Place) {
    let scene = Scene::set(place).await;
    assert_eq!(scene.beat().await, Ok(vec![scene.gate]));
    let second = scene.place.clone_for_another_desk();
    let other = second.desk("b").await.unwrap();
    // A nonce of one instance is answered at another, and both see what comes of it.
    let asked = scene.asked().await;
    let claim = scene.answer(&asked, 0, scene.next());
    assert_eq!(
        other.prove_presence(&scene.agent, claim).await,
        Ok(vec![scene.gate])
    );
    scene.later(14);
    assert_eq!(state(&other, scene.gate).await, SessionState::Active);
    scene.later(1);
    assert_eq!(state(&other, scene.gate).await, SessionState::Absent);
    assert_eq!(scene.state().await, SessionState::Absent);
    // Nobody had written that down when the power went: the next start gives it one interval.
    let restarted = second.desk("a").await.unwrap();
    let after = state(&restarted, scene.gate).await;
    assert!(
        matches!(after, SessionState::Active | SessionState::Absent),
        "{after:?}: either was written down first"
    );
    scene.later(15);
    assert_eq!(state(&restarted, scene.gate).await, SessionState::Absent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_asks_while_a_session_needs_it_and_never_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sceau.db").display());
    let mut place = Place::new(url);
    place.presence = Some(toml::from_str("interval = \"900ms\"").unwrap());
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let agent = desk.session(&alice.token).await.unwrap().unwrap();
    let mut inbox = desk.subscribe_session(&agent).await.unwrap();
    let probe = beat(&mut inbox).await;
    assert!(
        probe.sessions.is_empty(),
        "what its key can do is not known"
    );
    let mut silent = async |millis| {
        let next = tokio::time::timeout(Span::from_millis(millis), beat(&mut inbox));
        next.await.ok()
    };
    assert_eq!(silent(1_500).await, None, "no session needs its key");
    let token = alice.sign_in(&desk, SessionKind::Gate).await;
    let gate = desk.session(&token).await.unwrap().unwrap().id;
    for round in 0..4 {
        let asked = silent(1_500).await.expect("asked, again and again");
        assert_eq!(asked.sessions, [gate], "round {round}");
    }
    desk.end_session(gate).await.unwrap();
    silent(1_000).await;
    assert_eq!(silent(1_500).await, None, "nothing needs its key any more");
    // A page's inbox is never asked.
    let token = alice.sign_in(&desk, SessionKind::Browser).await;
    let page = desk.session(&token).await.unwrap().unwrap();
    alice.sign_in(&desk, SessionKind::Gate).await;
    let mut inbox = desk.subscribe_session(&page).await.unwrap();
    let asked = tokio::time::timeout(Span::from_millis(1_000), beat(&mut inbox)).await;
    assert!(asked.is_err());
}
