//! Presence: while a session needs its key, the server asks over the inbox, and the key answers in silence (docs/presence.md). Nothing here runs
//! while nobody asks: no timer, no transaction.
//!
//! What is signed is derived here ([`sceau_proof::presence::Beat`]) from a nonce that the server chose, with a type that no approval has; the relying
//! party is configuration. Each answer is one short transaction, so other programs use the same key in between; a busy key is asked again until the
//! nonce has run out. A beat and an approval of one key are never under way at the same time: the server compares their counters.
//!
//! A key that goes away is looked for again after a short grace, since other programs make keys come and go; one that is really gone is told to the
//! server at once, and the desktop is locked where that is configured. Deliberately elsewhere: the seat ([`crate::seat`]).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sceau_ctap::assertion::Assertion;
use sceau_ctap::{Error, Status};
use sceau_proof::presence::Beat;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use crate::agent::Agent;
use crate::ceremony::{self, EnrolledKey};
use crate::piv::ReadyCard;
use crate::piv::presence::PresenceKey;
use crate::reader::{AuthenticatorError, Condition, Ready, Transport};
use crate::server::ServerError;

/// Questions that wait to be taken up; more are dropped, and asked again by the server.
const WAITING: usize = 16;
/// Questions that are answered at one time.
const AT_ONCE: usize = 4;
/// The longest that a question is worked on, whatever the server says.
const LONGEST_WINDOW: Duration = Duration::from_secs(120);
/// Between two tries of a key that another program uses.
const PAUSE_OF_A_BUSY_KEY: Duration = Duration::from_millis(150);
/// How long a pcscd that went away is waited for before its keys are given up: an upgrade restarts it.
const SERVICE_RETURNS: Duration = Duration::from_secs(20);
/// How long a key is waited for once its person sits there again, or the machine has woken up: its node, or its power, comes back after that.
const SEAT_RETURNS: Duration = Duration::from_secs(8);
/// How long authenticators that are being asked what they are may take.
const DESCRIBED: Duration = Duration::from_secs(3);
/// The longest that a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the server asks, as claimed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// base64url, 32 bytes.
    pub nonce: String,
    /// Which key.
    pub key_id: Uuid,
    /// The sessions that it keeps alive.
    pub sessions: Vec<Uuid>,
    /// For how long it may be answered.
    pub window_ms: u64,
}

/// Why a key is proven no more; the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// It was pulled.
    Removed,
    /// The screen was locked.
    Locked,
    /// Another person has the seat.
    Inactive,
    /// The workstation goes to sleep.
    Asleep,
    /// The daemon ends, or its person signs out.
    Ending,
}

impl Goodbye {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Locked => "locked",
            Self::Inactive => "inactive",
            Self::Asleep => "asleep",
            Self::Ending => "ending",
        }
    }
}

/// Why nothing is proven although the key may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unattended {
    /// The screen is locked.
    Locked,
    /// Another person has the seat.
    Inactive,
    /// The workstation sleeps.
    Asleep,
}

impl Unattended {
    fn goodbye(self) -> Goodbye {
        match self {
            Self::Locked => Goodbye::Locked,
            Self::Inactive => Goodbye::Inactive,
            Self::Asleep => Goodbye::Asleep,
        }
    }
}

/// What a key showed last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    /// Sessions that it keeps alive.
    sessions: Vec<Uuid>,
    /// `proven`, or why not.
    ability: &'static str,
    /// When it was proven last.
    proven_at: Option<OffsetDateTime>,
    /// Until when the server still counts on it.
    until: OffsetDateTime,
}

/// The presence side of the daemon's state.
pub struct Presence {
    /// Which of the person's keys an authenticator holds, where that was seen.
    homes: RefCell<BTreeMap<u64, Uuid>>,
    kept: RefCell<BTreeMap<Uuid, Kept>>,
    /// What cards said of their slot 9E, by authenticator: asking takes a real one a while.
    beside: RefCell<BTreeMap<u64, Rc<PresenceKey>>>,
    /// The key that signs an approval whose report is not done, and for which action.
    signing: Cell<Option<(Uuid, Uuid)>>,
    beating: Cell<usize>,
    unattended: Cell<Option<Unattended>>,
    questions: mpsc::Sender<Asked>,
    theirs: RefCell<Option<mpsc::Receiver<Asked>>>,
}

impl Default for Presence {
    fn default() -> Self {
        let (questions, theirs) = mpsc::channel(WAITING);
        Self {
            homes: RefCell::default(),
            kept: RefCell::default(),
            beside: RefCell::default(),
            signing: Cell::new(None),
            beating: Cell::new(0),
            unattended: Cell::new(None),
            questions,
            theirs: RefCell::new(Some(theirs)),
        }
    }
}

impl Presence {
    /// The server asks.
    pub fn ask(&self, asked: Asked) {
        if self.questions.try_send(asked).is_err() {
            tracing::warn!("too many questions of presence wait");
        }
    }

    /// Nobody sits at this session: nothing is proven and nobody is prompted.
    #[must_use]
    pub fn unattended(&self) -> Option<Unattended> {
        self.unattended.get()
    }

    /// Whether keys are out of this agent's reach without anybody having pulled them: another person's seat takes their nodes, sleep their power.
    fn is_withheld(&self) -> bool {
        matches!(
            self.unattended.get(),
            Some(Unattended::Inactive | Unattended::Asleep)
        )
    }

    /// This authenticator holds this key of the person's.
    pub fn lives_in(&self, authenticator: u64, key_id: &str) {
        if let Ok(key) = key_id.parse() {
            self.homes.borrow_mut().insert(authenticator, key);
        }
    }

    /// Another person signed in: what was known is not theirs.
    pub fn forget(&self) {
        self.homes.borrow_mut().clear();
        self.kept.borrow_mut().clear();
    }

    /// For `sceau status`.
    #[must_use]
    pub fn status(&self, now: OffsetDateTime) -> Value {
        let homes = self.homes.borrow();
        let one = |(key, kept): (&Uuid, &Kept)| {
            json!({
                "key_id": key,
                "presence": kept.ability,
                "here": homes.values().any(|home| home == key),
                "sessions": if kept.until > now { kept.sessions.as_slice() } else { &[] },
                "proven_at": kept.proven_at.and_then(|at| at.format(&Rfc3339).ok()),
            })
        };
        let keys: Vec<Value> = self.kept.borrow().iter().map(one).collect();
        let unattended = self.unattended.get().map(|why| why.goodbye().as_str());
        json!({ "unattended": unattended, "keys": keys })
    }

    fn note(&self, question: &Question, ability: &'static str, now: OffsetDateTime, proven: bool) {
        let mut kept = self.kept.borrow_mut();
        let before = kept.get(&question.key).and_then(|kept| kept.proven_at);
        kept.insert(
            question.key,
            Kept {
                sessions: question.beat.sessions().to_vec(),
                ability,
                proven_at: if proven { Some(now) } else { before },
                // A nonce is good for a third of the interval.
                until: now + question.window * 3,
            },
        );
    }

    /// Keys that the server counts on.
    fn counted_on(&self, now: OffsetDateTime) -> Vec<Uuid> {
        self.kept
            .borrow()
            .iter()
            .filter(|(_, kept)| kept.until > now && !kept.sessions.is_empty())
            .map(|(key, _)| *key)
            .collect()
    }
}

/// Says, when dropped, that an approval's signature has been reported, or given up.
pub struct Signing<'a>(&'a Agent);

impl Drop for Signing<'_> {
    fn drop(&mut self) {
        if self.0.presence.signing.take().is_some() {
            self.0.changed();
        }
    }
}

/// For whoever prompts for an action: from [`signs`] until this is dropped no beat of the key is under way.
#[must_use]
pub fn signing(agent: &Agent) -> Signing<'_> {
    Signing(agent)
}

/// The key is about to sign for an action; waits for a beat that is under way.
pub async fn signs(agent: &Agent, key_id: &str, action: Uuid) {
    let Ok(key) = key_id.parse() else { return };
    agent
        .until(|agent| (agent.presence.beating.get() == 0).then_some(()))
        .await;
    agent.presence.signing.set(Some((key, action)));
}

struct Beating<'a>(&'a Agent);

impl<'a> Beating<'a> {
    fn begin(agent: &'a Agent) -> Self {
        let beating = &agent.presence.beating;
        beating.set(beating.get() + 1);
        Self(agent)
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        let beating = &self.0.presence.beating;
        beating.set(beating.get().saturating_sub(1));
        self.0.changed();
    }
}

/// A question that may be answered.
struct Question {
    nonce: String,
    key: Uuid,
    beat: Beat,
    window: Duration,
    holder: Holder,
}

/// What answers.
enum Holder {
    /// A FIDO2 credential, with the client data that it signs.
    Credential {
        id: Vec<u8>,
        client_data_json: Vec<u8>,
    },
    /// The card with this key in slot 9C, subjectPublicKeyInfo; it signs with slot 9E.
    Card { public_key: Vec<u8>, origin: String },
}

impl Question {
    /// `None`: not of its form, or not for a key of this person.
    fn read(asked: Asked, keys: &[EnrolledKey], origin: &str) -> Option<Self> {
        let nonce: [u8; 32] = URL_SAFE_NO_PAD.decode(&asked.nonce).ok()?.try_into().ok()?;
        let beat = Beat::new(nonce, asked.key_id, asked.sessions)?;
        let name = asked.key_id.to_string();
        let key = keys.iter().find(|key| key.key_id == name)?;
        let holder = match (key.credential(), key.card_key()) {
            (Some(id), _) => Holder::Credential {
                id,
                client_data_json: beat.client_data(origin),
            },
            (None, Some(public_key)) => Holder::Card {
                public_key,
                origin: origin.to_owned(),
            },
            (None, None) => return None,
        };
        Some(Self {
            nonce: asked.nonce,
            key: asked.key_id,
            beat,
            window: Duration::from_millis(asked.window_ms).min(LONGEST_WINDOW),
            holder,
        })
    }
}

/// Answers questions as they come, for ever.
pub async fn follow(agent: Rc<Agent>) {
    let Some(mut questions) = agent.presence.theirs.borrow_mut().take() else {
        return;
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(asked) = questions.recv().await {
        let origin = agent.config.rp_id.origin();
        let Some(question) = Question::read(asked, &agent.keys(), &origin) else {
            tracing::debug!("a question of presence was not taken up");
            continue;
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let agent = Rc::clone(&agent);
        tokio::task::spawn_local(async move {
            let answered = tokio::time::timeout(question.window, answer(&agent, &question)).await;
            match answered {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "presence was not proven"),
                Err(_) => {
                    tracing::info!(key = %question.key, "presence: the key did not answer in time")
                }
            }
            drop(place);
        });
    }
}

/// What a key answered: its place, and the members of the proof beside the nonce.
enum Answer {
    Proof(u64, Value),
    Unable(&'static str),
}

async fn answer(agent: &Agent, question: &Question) -> Result<(), ServerError> {
    if agent.presence.unattended().is_some() {
        return Ok(());
    }
    let Ok(token) = agent.token() else {
        return Ok(());
    };
    let signing = |agent: &Agent| {
        let signing = agent.presence.signing.get();
        signing.filter(|(key, _)| *key == question.key)
    };
    let free = agent.until(|agent| signing(agent).is_none().then_some(()));
    if tokio::time::timeout(question.window / 2, free)
        .await
        .is_err()
        && let Some((_, action)) = signing(agent)
    {
        let body = json!({ "nonce": question.nonce, "action": action });
        agent
            .server
            .post::<Value>("/v1/presence/delays", Some(&token), &body)
            .await?;
        tracing::info!(%action, "presence waits for a touch");
        return Ok(());
    }
    let _beating = Beating::begin(agent);
    let answer = match &question.holder {
        Holder::Credential {
            id,
            client_data_json,
        } => ask(agent, question.key, id, client_data_json).await,
        Holder::Card { public_key, origin } => {
            ask_card(agent, public_key, origin, question.beat.challenge()).await
        }
    };
    match answer {
        Answer::Proof(home, mut body) => {
            body["nonce"] = question.nonce.as_str().into();
            agent
                .server
                .post::<Value>("/v1/presence/proofs", Some(&token), &body)
                .await?;
            agent.presence.homes.borrow_mut().insert(home, question.key);
            agent.presence.note(question, "proven", agent.now(), true);
        }
        Answer::Unable(reason) => {
            agent.presence.note(question, reason, agent.now(), false);
            let body = json!({ "nonce": question.nonce, "reason": reason });
            agent
                .server
                .post::<Value>("/v1/presence/inabilities", Some(&token), &body)
                .await?;
            tracing::warn!(key = %question.key, reason, "this key cannot prove presence");
        }
    }
    Ok(())
}

/// Has the card that holds a key sign with slot 9E, once it is there; the caller's patience is the limit.
async fn ask_card(agent: &Agent, key: &[u8], origin: &str, challenge: [u8; 32]) -> Answer {
    let keys = [key.to_vec()];
    loop {
        let holder = |agent: &Agent| agent.cards.borrow().holder(&keys).map(|(card, _)| card);
        let card = agent.until(holder).await;
        match beat_of(agent, &card, origin, challenge).await {
            Ok(Some(body)) => return Answer::Proof(card.id, body),
            Ok(None) | Err(AuthenticatorError::NoCardKey) => return Answer::Unable("card"),
            Err(error) => {
                tracing::debug!(card = %card.name, %error, "presence: asked again");
                tokio::time::sleep(PAUSE_OF_A_BUSY_KEY).await;
            }
        }
    }
}

/// One beat of this card; `None`: it has no key that signs in silence and whose place it attests.
async fn beat_of(
    agent: &Agent,
    card: &ReadyCard,
    origin: &str,
    challenge: [u8; 32],
) -> Result<Option<Value>, AuthenticatorError> {
    let known = agent.presence.beside.borrow().get(&card.id).cloned();
    let beside = match known {
        Some(known) => known,
        None => {
            let Some(told) = card.presence_key().await? else {
                return Ok(None);
            };
            let told = Rc::new(told);
            agent
                .presence
                .beside
                .borrow_mut()
                .insert(card.id, Rc::clone(&told));
            told
        }
    };
    let Some((leaf, above)) = &beside.attestation else {
        return Ok(None);
    };
    let signed = card
        .sign_presence(beside.public_key.clone(), challenge, origin.to_owned())
        .await?;
    let above: Vec<String> = above
        .iter()
        .map(|der| URL_SAFE_NO_PAD.encode(der))
        .collect();
    Ok(Some(json!({
        "card": {
            "attestation": URL_SAFE_NO_PAD.encode(leaf),
            "intermediates": above,
            "origin": signed.origin,
            "signature": URL_SAFE_NO_PAD.encode(signed.signature),
        },
    })))
}

/// Asks authenticators until the one that holds the key has answered; the caller's patience is the limit.
async fn ask(agent: &Agent, key: Uuid, credential: &[u8], client_data_json: &[u8]) -> Answer {
    let mut others: Vec<u64> = Vec::new();
    loop {
        let next = agent
            .until(|agent| {
                let homes = agent.presence.homes.borrow();
                let at_home = |one: &Ready| homes.get(&one.id) == Some(&key);
                let mut ready = agent.authenticators.borrow().ready();
                ready.retain(|one| !others.contains(&one.id));
                ready.sort_by_key(|one| !at_home(one));
                ready.into_iter().next()
            })
            .await;
        match ask_one(agent, &next, key, credential, client_data_json).await {
            Ok(Ok(assertion)) => {
                let body = json!({
                    "response": {
                        "client_data_json": URL_SAFE_NO_PAD.encode(client_data_json),
                        "authenticator_data": URL_SAFE_NO_PAD.encode(&assertion.authenticator_data),
                        "signature": URL_SAFE_NO_PAD.encode(&assertion.signature),
                    },
                });
                return Answer::Proof(next.id, body);
            }
            Ok(Err(reason)) => return Answer::Unable(reason),
            // Busy, or just gone: what is there is looked at anew.
            Err(Elsewhere::Later) => tokio::time::sleep(PAUSE_OF_A_BUSY_KEY).await,
            Err(Elsewhere::NotHere) => others.push(next.id),
        }
    }
}

enum Elsewhere {
    Later,
    NotHere,
}

/// The inner error: why the key cannot.
async fn ask_one(
    agent: &Agent,
    authenticator: &Ready,
    key: Uuid,
    credential: &[u8],
    client_data_json: &[u8],
) -> Result<Result<Assertion, &'static str>, Elsewhere> {
    let rp_id = agent.config.rp_id.as_str();
    if authenticator.is_u2f() {
        let held = authenticator.locate(rp_id, vec![credential.to_vec()]).await;
        return match held {
            Ok(Some(_)) => Ok(Err("u2f")),
            _ => Err(Elsewhere::NotHere),
        };
    }
    let hash = ceremony::sha256(client_data_json);
    match authenticator
        .assert_silently(rp_id, hash, credential.to_vec())
        .await
    {
        Ok(assertion) if assertion.user_present || assertion.user_verified => Ok(Err("not-silent")),
        Ok(assertion) => Ok(Ok(assertion)),
        Err(AuthenticatorError::NoCredential) => Err(Elsewhere::NotHere),
        Err(AuthenticatorError::Protocol(Error::Status(status))) if refuses(status) => {
            // Whose refusal it is can only be told where the key is known to be.
            let home = agent.presence.homes.borrow().get(&authenticator.id) == Some(&key);
            if home || agent.authenticators.borrow().ready().len() == 1 {
                Ok(Err("refused"))
            } else {
                Err(Elsewhere::NotHere)
            }
        }
        Err(error) => {
            tracing::debug!(authenticator = %authenticator.name, %error, "presence: asked again");
            Err(Elsewhere::Later)
        }
    }
}

/// Statuses by which an authenticator says that it does nothing in silence: unsupported or invalid option, touch or PIN required, denied.
fn refuses(status: Status) -> bool {
    matches!(status.0, 0x27 | 0x2b | 0x2c | 0x36 | 0x3b)
}

/// An authenticator went away. If it held a key of the person's, that key is looked for once more, and then told to be gone.
pub fn departed(agent: &Rc<Agent>, id: u64, transport: Transport) {
    agent.presence.beside.borrow_mut().remove(&id);
    let held = agent.presence.homes.borrow_mut().remove(&id);
    if let Some(key) = held {
        // pcscd takes its readers away before or after it is seen to go itself, and may be back at once.
        let (outages, down) = (agent.outages.get(), !agent.smart_cards.get());
        let agent = Rc::clone(agent);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(agent.config.presence.grace).await;
            let restarted = transport == Transport::SmartCard
                && (down || !agent.smart_cards.get() || agent.outages.get() != outages);
            leave(&agent, key, restarted).await;
        });
    }
}

async fn leave(agent: &Agent, key: Uuid, restarted: bool) {
    if restarted {
        let back = agent.until(|agent| agent.smart_cards.get().then_some(()));
        if tokio::time::timeout(SERVICE_RETURNS, back).await.is_err() {
            // Whether the key is there cannot be known: the server hears nothing, and draws its own conclusion.
            tracing::warn!(%key, "pcscd is gone, and with it a key's presence");
            return;
        }
    }
    let withheld = agent.presence.is_withheld();
    if withheld {
        // The server heard why nothing is proven. Whether the key is still there shows when its person is back.
        agent
            .until(|agent| (!agent.presence.is_withheld()).then_some(()))
            .await;
    }
    let patience = match (withheld, restarted) {
        (true, _) => Some(SEAT_RETURNS),
        (false, true) => Some(DESCRIBED),
        (false, false) => None,
    };
    if is_back(agent, key, patience).await {
        tracing::info!(%key, "a key went and came back");
        return;
    }
    tracing::info!(%key, "a key was pulled");
    // Also where the last proof has run out meanwhile (a daemon that could not run): the session may wait for this key to return.
    let kept = agent.presence.kept.borrow_mut().remove(&key);
    if kept.is_some_and(|kept| !kept.sessions.is_empty()) {
        goodbye(agent, key, Goodbye::Removed).await;
    }
    if agent.config.presence.lock {
        let seat = agent.seat.borrow().clone();
        match seat {
            Some(seat) => seat.lock().await,
            None => tracing::warn!("the desktop cannot be locked: no logind"),
        }
    }
}

/// Whether some authenticator holds the key (again), once all of them have said what they are; with `patience`, looked for all that time (after a
/// restart of pcscd, whose readers come one by one, or when the seat returns).
async fn is_back(agent: &Agent, key: Uuid, patience: Option<Duration>) -> bool {
    let name = key.to_string();
    let keys = agent.keys();
    let Some(enrolled) = keys.iter().find(|enrolled| enrolled.key_id == name) else {
        return false;
    };
    if let Some(public_key) = enrolled.card_key() {
        return is_card_back(agent, key, public_key, patience).await;
    }
    let Some(credential) = enrolled.credential() else {
        return false;
    };
    let rp_id = agent.config.rp_id.as_str();
    let mut asked: Vec<u64> = Vec::new();
    let look = async {
        loop {
            let next = agent
                .until(|agent| {
                    let there = agent.authenticators.borrow();
                    let fresh = there
                        .ready()
                        .into_iter()
                        .find(|one| !asked.contains(&one.id));
                    let unsettled = there.iter().any(|(_, one)| is_unsettled(&one.condition));
                    match fresh {
                        Some(fresh) => Some(Some(fresh)),
                        None if unsettled || patience.is_some() => None,
                        None => Some(None),
                    }
                })
                .await;
            let Some(next) = next else { return false };
            match next.locate(rp_id, vec![credential.clone()]).await {
                Ok(Some(_)) => {
                    agent.presence.homes.borrow_mut().insert(next.id, key);
                    return true;
                }
                Err(AuthenticatorError::Busy | AuthenticatorError::Silent) => {
                    tokio::time::sleep(PAUSE_OF_A_BUSY_KEY).await;
                }
                _ => asked.push(next.id),
            }
        }
    };
    let patience = patience.unwrap_or(DESCRIBED);
    tokio::time::timeout(patience, look).await.unwrap_or(false)
}

/// As [`is_back`], for a card.
async fn is_card_back(
    agent: &Agent,
    key: Uuid,
    public_key: Vec<u8>,
    patience: Option<Duration>,
) -> bool {
    let keys = [public_key];
    let found = agent.until(|agent| {
        let cards = agent.cards.borrow();
        match cards.holder(&keys) {
            Some((card, _)) => Some(Some(card.id)),
            None if patience.is_some() || cards.is_reading() => None,
            None => Some(None),
        }
    });
    match tokio::time::timeout(patience.unwrap_or(DESCRIBED), found).await {
        Ok(Some(home)) => {
            agent.presence.homes.borrow_mut().insert(home, key);
            true
        }
        _ => false,
    }
}

fn is_unsettled(condition: &Condition) -> bool {
    use AuthenticatorError as E;
    matches!(
        condition,
        Condition::Reading | Condition::Unusable(E::Silent | E::Busy | E::Gone | E::Reader(_))
    )
}

async fn goodbye(agent: &Agent, key: Uuid, why: Goodbye) {
    let Ok(token) = agent.token() else { return };
    let body = json!({ "key_id": key, "reason": why.as_str() });
    let told = agent
        .server
        .post::<Value>("/v1/presence/goodbyes", Some(&token), &body);
    match tokio::time::timeout(GOODBYE, told).await {
        Ok(Ok(_)) => tracing::info!(%key, reason = why.as_str(), "goodbye"),
        Ok(Err(error)) => tracing::warn!(%key, %error, "the server could not be told"),
        Err(_) => tracing::warn!(%key, "the server could not be told in time"),
    }
}

/// Says goodbye for every key that the server counts on.
pub async fn goodbyes(agent: &Agent, why: Goodbye) {
    for key in agent.presence.counted_on(agent.now()) {
        goodbye(agent, key, why).await;
        if let Some(kept) = agent.presence.kept.borrow_mut().get_mut(&key) {
            kept.until = agent.now();
        }
    }
}

/// The seat changed hands: who sits here now proves, or proves no more.
pub async fn attended(agent: &Agent, now: Option<Unattended>) {
    let before = agent.presence.unattended.replace(now);
    if before == now {
        return;
    }
    agent.changed();
    match now {
        Some(why) => {
            tracing::info!(reason = why.goodbye().as_str(), "nobody sits here");
            goodbyes(agent, why.goodbye()).await;
        }
        None => tracing::info!("somebody sits here again"),
    }
}

/// Learns, where their going must lock the desktop, which authenticators hold keys that the server has named since the last time, for ever.
pub async fn acquaint(agent: Rc<Agent>) {
    if !agent.config.presence.lock {
        return;
    }
    let mut known = Vec::new();
    loop {
        let named = |agent: &Agent| -> Option<Vec<String>> {
            let now = agent.keys().into_iter().map(|key| key.key_id);
            Some(now.collect()).filter(|now| *now != known)
        };
        known = agent.until(named).await;
        learn(&agent).await;
    }
}

/// Learns which authenticators hold the person's keys, where their going must lock the desktop: once for each arrival.
pub async fn learn(agent: &Agent) {
    if !agent.config.presence.lock {
        return;
    }
    for key in agent.keys() {
        if let (Some(public_key), Ok(id)) = (key.card_key(), key.key_id.parse())
            && let Some((card, _)) = agent.cards.borrow().holder(&[public_key])
        {
            agent.presence.homes.borrow_mut().insert(card.id, id);
        }
    }
    let ready = agent.authenticators.borrow().ready();
    for authenticator in ready {
        let is_known = |id| agent.presence.homes.borrow().contains_key(&id);
        if is_known(authenticator.id) {
            continue;
        }
        for key in agent.keys() {
            let (Some(credential), Ok(id)) = (key.credential(), key.key_id.parse::<Uuid>()) else {
                continue;
            };
            let rp_id = agent.config.rp_id.as_str();
            match authenticator.locate(rp_id, vec![credential]).await {
                Ok(Some(_)) => {
                    tracing::debug!(key = %id, "a key of this person is here");
                    let mut homes = agent.presence.homes.borrow_mut();
                    homes.insert(authenticator.id, id);
                    break;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(authenticator = %authenticator.name, %error, "whose key this is was not learned");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::key;

    fn asked(nonce: &str, key_id: u128, sessions: &[u128]) -> Asked {
        Asked {
            nonce: nonce.to_owned(),
            key_id: Uuid::from_u128(key_id),
            sessions: sessions.iter().map(|n| Uuid::from_u128(*n)).collect(),
            window_ms: 5_000,
        }
    }

    fn keys() -> Vec<EnrolledKey> {
        vec![EnrolledKey {
            key_id: Uuid::from_u128(1).to_string(),
            ..key()
        }]
    }

    #[test]
    fn only_the_persons_own_key_is_asked_and_for_a_whole_nonce() {
        let origin = "sceau-agent://sceau.example";
        let nonce = URL_SAFE_NO_PAD.encode([7; 32]);
        let read = |asked| Question::read(asked, &keys(), origin);
        let question = read(asked(&nonce, 1, &[2, 3])).unwrap();
        let Holder::Credential {
            client_data_json, ..
        } = question.holder
        else {
            panic!("a FIDO2 key");
        };
        let text = String::from_utf8(client_data_json).unwrap();
        assert!(text.contains(r#""type":"sceau.presence""#) && text.contains(origin));
        assert!(read(asked(&nonce, 2, &[])).is_none());
        assert!(read(asked("AAAA", 1, &[])).is_none());
        assert!(read(asked(&nonce, 1, &[2, 2])).is_none());
        let many: Vec<u128> = (0..33).collect();
        assert!(read(asked(&nonce, 1, &many)).is_none());
        let patient = Asked {
            window_ms: u64::MAX,
            ..asked(&nonce, 1, &[])
        };
        assert_eq!(read(patient).unwrap().window, LONGEST_WINDOW);
    }
}
