//! Presence: nonces given out, proofs taken, sessions that lose their key (docs/presence.md).
//!
//! A session that needs presence is tied, in the transaction that seals it, to the key that sealed it. What its state means to a request is decided
//! where sessions are read (`store::session`): past the end of its last proof it is *absent*, whether or not anybody has written that down yet. Here it
//! is written down, with one entry when presence is lost and one when it is regained: a beat changes nothing that an entry would tell.
//!
//! Trusts the caller's session (an agent's, authenticated). Every proof is a claim until [`sceau_proof::presence::verify`] has judged it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sceau_proof::assertion::AssertionResponse;
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::cose::PublicKey;
use sceau_proof::log::entry::sha256;
use sceau_proof::presence::{self as proof, Beat, Expectation, PresenceError, Rejection};
use time::OffsetDateTime;

use super::{Desk, DeskError, Inner, Shared};
use crate::action::{ActionRecord, State};
use crate::hub::Notice;
use crate::id::{ActionId, KeyId, PersonId, SessionId};
use crate::key::{Credential, KeyRecord, KeyState};
use crate::piv::{BeatClaim, KeptCard};
use crate::presence::{Ability, Goodbye, Presence, Unable, Why};
use crate::session::{Session, SessionKind, SessionState};
use crate::store::presence::{self, Nonce, Watched};
use crate::store::{self, key, person, session};
use crate::writer::{Command, Fault, Tx};

/// What an agent is asked to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// 32 random bytes; only their SHA-256 is kept.
    pub nonce: [u8; 32],
    /// By which key.
    pub key: KeyId,
    /// For which sessions; none: a probe.
    pub sessions: Vec<SessionId>,
    /// Until when it may be answered.
    pub expires_at: OffsetDateTime,
    /// For how long.
    pub window: Duration,
}

/// A proof as it arrives: a claim.
#[derive(Debug, Clone)]
pub struct ProofClaim {
    /// The nonce that it answers.
    pub nonce: [u8; 32],
    /// What the key answered.
    pub answer: BeatAnswer,
}

/// What a key answered.
#[derive(Debug, Clone)]
pub enum BeatAnswer {
    /// A FIDO2 key: a silent assertion.
    Assertion(AssertionResponse),
    /// A card: slot 9E.
    Card(BeatClaim),
}

/// A session of a person that needs its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// As the store has it.
    pub watched: Watched,
    /// Whether it speaks for its person now.
    pub is_there: bool,
}

impl Desk {
    /// How presence is configured, when it is.
    #[must_use]
    pub fn presence(&self) -> Option<&Presence> {
        self.inner.shared.presence.as_ref()
    }

    /// Gives out what an agent is to have signed now for this person, and when to ask again; `None`: not until something changes. With `probe`, keys of
    /// which nothing is known are asked too.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn ask_presence(
        &self,
        person: &PersonId,
        agent: SessionId,
        probe: bool,
    ) -> Result<(Vec<Asked>, Option<Duration>), DeskError> {
        if self.presence().is_none() {
            return Ok((Vec::new(), None));
        }
        let (asked, pause) = self
            .run(Ask {
                shared: Arc::clone(&self.inner.shared),
                person: person.clone(),
                agent,
                probe,
            })
            .await?;
        self.inner.presence_news.notify_one();
        Ok((asked, pause))
    }

    /// Takes a proof of presence; the sessions that it keeps alive.
    ///
    /// # Errors
    /// `NotFound` (no such nonce, used up, or sent to another session), `Expired`, `NotVerified` (the reason is in the log), `Unavailable`.
    pub async fn prove_presence(
        &self,
        agent: &Session,
        claim: ProofClaim,
    ) -> Result<Vec<SessionId>, DeskError> {
        let nonce_sha256 = sha256(&claim.nonce);
        let mut connection = self.reader().await?;
        let nonce = self
            .stored(presence::nonce(&mut connection, &nonce_sha256, agent.id).await)?
            .ok_or(DeskError::NotFound)?;
        let key = self
            .stored(key::load(&mut connection, nonce.key).await)?
            .ok_or(DeskError::NotFound)?;
        let ability = self.stored(presence::ability(&mut connection, key.id).await)?;
        let kept = match &claim.answer {
            BeatAnswer::Card(_) => self
                .stored(key::registration(&mut connection, key.id).await)?
                .and_then(|kept| KeptCard::read(&kept.record)),
            BeatAnswer::Assertion(_) => None,
        };
        drop(connection);
        let shared = &self.inner.shared;
        let checked = match &claim.answer {
            BeatAnswer::Assertion(response) => check(
                shared,
                &key,
                ability.as_ref(),
                &nonce,
                claim.nonce,
                response,
            )?,
            BeatAnswer::Card(answer) => {
                let beat = beat(&nonce, claim.nonce)?;
                check_card(shared, kept.as_ref(), &beat, answer, self.now())
            }
        };
        let proven = self
            .run(Prove {
                shared: Arc::clone(&self.inner.shared),
                agent: agent.id,
                person: agent.person.clone(),
                nonce_sha256,
                checked,
            })
            .await?;
        self.inner.presence_news.notify_one();
        proven
    }

    /// The agent that proved a key's presence says that it does so no more. Sessions of a key that was pulled end; others are absent from now on.
    /// Sessions that another agent keeps alive are left alone. Returns those concerned.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_presence(
        &self,
        agent: &Session,
        key: KeyId,
        why: Goodbye,
    ) -> Result<Vec<SessionId>, DeskError> {
        let gone = self
            .run(Leave {
                agent: agent.id,
                person: agent.person.clone(),
                key,
                why,
            })
            .await?;
        self.inner.presence_news.notify_one();
        Ok(gone)
    }

    /// The key waits for the touch of an approval and can prove nothing until then: its last proof holds longer, once.
    ///
    /// # Errors
    /// `NotFound` (nonce), `Expired`, `Forbidden` (no such action waits for this person, or it was made to hold longer already), `Unavailable`.
    pub async fn delay_presence(
        &self,
        agent: &Session,
        nonce: [u8; 32],
        action: ActionId,
    ) -> Result<(), DeskError> {
        self.run(Delay {
            shared: Arc::clone(&self.inner.shared),
            agent: agent.id,
            person: agent.person.clone(),
            nonce_sha256: sha256(&nonce),
            action,
        })
        .await?
    }

    /// The agent says that a key cannot prove presence. Believed only of a key that never did.
    ///
    /// # Errors
    /// `NotFound` (nonce), `Expired`, `Forbidden` (it has proven it before), `Unavailable`.
    pub async fn presence_unable(
        &self,
        agent: &Session,
        nonce: [u8; 32],
        why: Why,
    ) -> Result<(), DeskError> {
        let done = self
            .run(Disclaim {
                shared: Arc::clone(&self.inner.shared),
                agent: agent.id,
                nonce_sha256: sha256(&nonce),
                why,
            })
            .await?;
        self.inner.presence_news.notify_one();
        done
    }

    /// A person's sessions that need their key, and what is known of the person's keys.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn presence_of(
        &self,
        person: &PersonId,
    ) -> Result<(Vec<Standing>, Vec<(KeyId, Option<Ability>)>), DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        let watched = self.stored(presence::of_person(&mut connection, person, now).await)?;
        let standing = watched
            .into_iter()
            .map(|watched| Standing {
                is_there: watched.waived.is_some()
                    || (watched.lost.is_none() && now < watched.until),
                watched,
            })
            .collect();
        let mut abilities = Vec::new();
        for key in self.stored(key::of_person(&mut connection, person).await)? {
            if key.state == KeyState::Live {
                let ability = self.stored(presence::ability(&mut connection, key.id).await)?;
                abilities.push((key.id, ability));
            }
        }
        Ok((standing, abilities))
    }

    /// How many live sessions that need presence have it, and how many lost it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn presence_counts(&self) -> Result<(u64, u64), DeskError> {
        if self.presence().is_none() {
            return Ok((0, 0));
        }
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(presence::counts(&mut connection, now).await)
    }

    /// Writes down which sessions lost their key and which have been without it for too long, and says when to look again; `None`: not until
    /// something changes. Runs in the background by itself.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn settle_presence(&self) -> Result<Option<Duration>, DeskError> {
        let Some(rule) = self.presence() else {
            return Ok(None);
        };
        let end = {
            let mut connection = self.reader().await?;
            self.stored(presence::next_end(&mut connection, rule.away.0).await)?
        };
        let now = self.now();
        match end {
            None => Ok(None),
            Some(end) if end > now => Ok(Some(
                Duration::try_from(end - now).unwrap_or_default() + TICK,
            )),
            Some(_) => {
                self.run(Lapse {
                    shared: Arc::clone(&self.inner.shared),
                })
                .await?;
                Ok(Some(TICK))
            }
        }
    }
}

/// The store counts milliseconds: what ends in one is over in the next.
const TICK: Duration = Duration::from_millis(2);

/// Runs [`Desk::settle_presence`] when it is due, and sleeps without a timer while no session needs presence. Ends with the desk.
pub(super) async fn keep(inner: Weak<Inner>) {
    const AFTER_A_FAULT: Duration = Duration::from_secs(1);
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let news = Arc::clone(&strong.presence_news);
        let desk = Desk { inner: strong };
        let next = desk.settle_presence().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "presence could not be settled");
            Some(AFTER_A_FAULT)
        });
        drop(desk);
        match next {
            Some(next) => {
                let _ = tokio::time::timeout(next, news.notified()).await;
            }
            None => news.notified().await,
        }
    }
}

/// Ties a session to the key that sealed it, where the configuration asks for presence.
pub(super) async fn begin(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    opened: SessionId,
) -> Result<(), Fault> {
    let Some((rule, seal)) = needed(tx, shared, record, opened).await? else {
        return Ok(());
    };
    let until = tx.now + rule.interval.0;
    presence::insert(tx.connection, opened, &record.requester, seal, until).await?;
    if let Some(Ability::Unable { reason }) = presence::ability(tx.connection, seal).await? {
        let watched = presence::of_person(tx.connection, &record.requester, tx.now).await?;
        for one in watched.iter().filter(|one| one.session == opened) {
            waive(tx, one, reason).await?;
        }
    }
    Ok(())
}

/// Whether a key may not seal this sign-in, since its session would need a presence that the key cannot prove.
pub(super) async fn forbids(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    sealing: KeyId,
) -> Result<bool, Fault> {
    if record.kind != "session.open" {
        return Ok(false);
    }
    let Some(opened) = session::of_action(tx.connection, record.id).await? else {
        return Ok(false);
    };
    let Some(rule) = shared.presence.as_ref() else {
        return Ok(false);
    };
    let unable = matches!(
        presence::ability(tx.connection, sealing).await?,
        Some(Ability::Unable { .. })
    );
    Ok(unable && rule.unable == Unable::Refuse && is_needed(tx, rule, record, opened).await?)
}

async fn needed<'s>(
    tx: &mut Tx<'_>,
    shared: &'s Shared,
    record: &ActionRecord,
    opened: SessionId,
) -> Result<Option<(&'s Presence, KeyId)>, Fault> {
    let Some(rule) = shared.presence.as_ref() else {
        return Ok(None);
    };
    let seal = record
        .approvals
        .iter()
        .rfind(|approval| approval.person == record.requester)
        .map(|approval| approval.key_id);
    let Some(seal) = seal else {
        return Ok(None);
    };
    let needed = is_needed(tx, rule, record, opened).await?;
    Ok(needed.then_some((rule, seal)))
}

async fn is_needed(
    tx: &mut Tx<'_>,
    rule: &Presence,
    record: &ActionRecord,
    opened: SessionId,
) -> Result<bool, Fault> {
    let found = session::load(tx.connection, opened, tx.now)
        .await?
        .ok_or(DeskError::NotFound)?;
    let person = person::load(tx.connection, &record.requester)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    Ok(rule.needed(found.kind, &person.roles))
}

/// What became of checking a proof before the transaction.
#[derive(Debug, Clone, Copy)]
enum Checked {
    Genuine { sign_count: u32 },
    Clone { stored: u32, received: u32 },
    Failed(&'static str),
}

/// What a nonce had to be answered with.
fn beat(nonce: &Nonce, bytes: [u8; 32]) -> Result<Beat, DeskError> {
    let sessions = nonce.sessions.iter().map(|id| id.0).collect();
    Beat::new(bytes, nonce.key.0, sessions).ok_or(DeskError::Misuse("stored beat is none"))
}

/// Verifies a card's proof. Pure.
fn check_card(
    shared: &Shared,
    kept: Option<&KeptCard>,
    beat: &Beat,
    answer: &BeatClaim,
    now: OffsetDateTime,
) -> Checked {
    let (Some(cards), Some(kept)) = (&shared.cards, kept) else {
        return Checked::Failed("key-kind");
    };
    match cards.beat(kept, answer, &beat.challenge(), now) {
        // A card counts nothing.
        Ok(()) => Checked::Genuine { sign_count: 0 },
        Err(reason) => Checked::Failed(reason),
    }
}

/// Verifies a proof against the nonce's own beat. Pure.
fn check(
    shared: &Shared,
    key: &KeyRecord,
    ability: Option<&Ability>,
    nonce: &Nonce,
    bytes: [u8; 32],
    response: &AssertionResponse,
) -> Result<Checked, DeskError> {
    let Credential::Fido2 {
        credential_id,
        public_key_cose,
        ..
    } = &key.credential
    else {
        return Ok(Checked::Failed("key-kind"));
    };
    let public_key = PublicKey::from_cose(public_key_cose)
        .map_err(|_| DeskError::Misuse("stored key does not parse"))?;
    let credential_id = CredentialId::new(credential_id.clone())
        .ok_or(DeskError::Misuse("stored credential id"))?;
    let beat = beat(nonce, bytes)?;
    let origin = format!("sceau-agent://{}", shared.rp_id);
    let expected = Expectation {
        rp_id: &shared.rp_id,
        origin: &origin,
        beat: &beat,
        credential_id: &credential_id,
        sign_count_floor: nonce.sign_count,
        zero_says_nothing: ability != Some(&Ability::Counted),
        stored_backup_eligible: key.backup_eligible,
    };
    Ok(match proof::verify(response, &public_key, &expected) {
        Ok(verified) => Checked::Genuine {
            sign_count: verified.sign_count(),
        },
        Err(PresenceError::Rejected(Rejection::SignCount { stored, received })) => {
            Checked::Clone { stored, received }
        }
        Err(error) => Checked::Failed(error.reason()),
    })
}

/// `Desk::ask_presence`.
struct Ask {
    shared: Arc<Shared>,
    person: PersonId,
    agent: SessionId,
    probe: bool,
}

impl Command for Ask {
    type Output = (Vec<Asked>, Option<Duration>);

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let Some(rule) = &self.shared.presence else {
            return Ok((Vec::new(), None));
        };
        let mut by_key: BTreeMap<KeyId, Vec<SessionId>> = BTreeMap::new();
        for watched in presence::of_person(tx.connection, &self.person, tx.now).await? {
            if watched.waived.is_none() {
                by_key.entry(watched.key).or_default().push(watched.session);
            }
        }
        let again = !by_key.is_empty();
        let keys = key::of_person(tx.connection, &self.person).await?;
        let mut asked = Vec::new();
        for key in keys.iter().filter(|key| key.state == KeyState::Live) {
            match by_key.get(&key.id) {
                Some(sessions) => {
                    for some in sessions.chunks(proof::MAX_SESSIONS) {
                        asked.push(self.give_out(tx, rule, key, some.to_vec()).await?);
                    }
                }
                None if self.probe && self.is_unproven(tx, key).await? => {
                    asked.push(self.give_out(tx, rule, key, Vec::new()).await?);
                }
                None => {}
            }
        }
        let [random] = tx.ports.bytes()?;
        let pause = again.then(|| Duration::try_from(rule.pause(random)).unwrap_or_default());
        Ok((asked, pause))
    }
}

impl Ask {
    async fn is_unproven(&self, tx: &mut Tx<'_>, key: &KeyRecord) -> Result<bool, Fault> {
        Ok(!matches!(
            presence::ability(tx.connection, key.id).await?,
            Some(Ability::Counted | Ability::Uncounted)
        ))
    }

    async fn give_out(
        &self,
        tx: &mut Tx<'_>,
        rule: &Presence,
        key: &KeyRecord,
        sessions: Vec<SessionId>,
    ) -> Result<Asked, Fault> {
        let nonce: [u8; 32] = tx.ports.bytes()?;
        let given = Nonce {
            agent: self.agent,
            key: key.id,
            sessions,
            sign_count: key.sign_count,
            issued_at: tx.now,
            expires_at: tx.now + rule.window(),
        };
        presence::insert_nonce(tx.connection, &sha256(&nonce), &given).await?;
        Ok(Asked {
            nonce,
            key: key.id,
            sessions: given.sessions,
            expires_at: given.expires_at,
            window: Duration::try_from(rule.window()).unwrap_or_default(),
        })
    }
}

/// The nonce, used up by this, if it was sent to this agent; with whether it is still good.
async fn take(
    tx: &mut Tx<'_>,
    nonce_sha256: &[u8; 32],
    agent: SessionId,
) -> Result<Option<(Nonce, bool)>, Fault> {
    let Some(nonce) = presence::nonce(tx.connection, nonce_sha256, agent).await? else {
        return Ok(None);
    };
    presence::use_nonce(tx.connection, nonce_sha256).await?;
    let in_time = tx.now < nonce.expires_at;
    Ok(Some((nonce, in_time)))
}

/// The live sessions that a nonce spoke for.
async fn spoken_for(
    tx: &mut Tx<'_>,
    person: &PersonId,
    nonce: &Nonce,
) -> Result<Vec<Watched>, Fault> {
    let mut watched = presence::of_person(tx.connection, person, tx.now).await?;
    watched.retain(|one| {
        one.key == nonce.key && one.waived.is_none() && nonce.sessions.contains(&one.session)
    });
    Ok(watched)
}

/// `Desk::prove_presence`. A refused proof is an output: it leaves an entry, and its nonce is used up.
struct Prove {
    shared: Arc<Shared>,
    agent: SessionId,
    person: PersonId,
    nonce_sha256: [u8; 32],
    checked: Checked,
}

impl Command for Prove {
    type Output = Result<Vec<SessionId>, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let Some((nonce, in_time)) = take(tx, &self.nonce_sha256, self.agent).await? else {
            return Ok(Err(DeskError::NotFound));
        };
        if !in_time {
            return Ok(Err(DeskError::Expired));
        }
        let key = key::load(tx.connection, nonce.key)
            .await?
            .ok_or(DeskError::NotFound)?;
        let failed = match self.checked {
            _ if key.person != self.person => Some("key-of-another"),
            _ if key.state == KeyState::Suspended => Some("key-suspended"),
            _ if key.state == KeyState::Revoked => Some("key-revoked"),
            Checked::Failed(reason) => Some(reason),
            Checked::Clone { stored, received } => {
                self.suspend_clone(tx, &key, stored, received).await?;
                return Ok(Err(DeskError::NotVerified));
            }
            Checked::Genuine { .. } => None,
        };
        if let Some(reason) = failed {
            self.reject(tx, &key, reason).await?;
            return Ok(Err(DeskError::NotVerified));
        }
        let Checked::Genuine { sign_count } = self.checked else {
            return Err(DeskError::Misuse("unchecked").into());
        };
        presence::raise_counter(tx.connection, key.id, sign_count).await?;
        let shown = if sign_count == 0 {
            Ability::Uncounted
        } else {
            Ability::Counted
        };
        let known = presence::ability(tx.connection, key.id).await?;
        if known.as_ref() != Some(&shown) && known != Some(Ability::Counted) {
            presence::set_ability(tx.connection, key.id, &shown).await?;
        }
        let Some(rule) = &self.shared.presence else {
            return Ok(Ok(Vec::new()));
        };
        let until = nonce.issued_at + rule.interval.0;
        let mut kept = Vec::new();
        for watched in spoken_for(tx, &self.person, &nonce).await? {
            presence::proven(tx.connection, watched.session, until, self.agent).await?;
            // What was over and nobody had written down yet is regained without ever having been told lost.
            if watched.lost.is_some() {
                tell(tx, "presence.regained", &watched, None).await?;
            }
            kept.push(watched.session);
        }
        Ok(Ok(kept))
    }
}

impl Prove {
    async fn reject(
        &self,
        tx: &mut Tx<'_>,
        key: &KeyRecord,
        reason: &'static str,
    ) -> Result<(), Fault> {
        let entry = tx
            .entry("presence.rejected")
            .subject("key", key.id)
            .subject("session", self.agent)
            .datum("reason", reason);
        tx.append(entry, None, &[("person", self.person.as_str())])
            .await?;
        Ok(())
    }

    /// As after an approval whose counter went back; the sessions that the key sealed end.
    async fn suspend_clone(
        &self,
        tx: &mut Tx<'_>,
        key: &KeyRecord,
        stored: u32,
        received: u32,
    ) -> Result<(), Fault> {
        self.reject(tx, key, "sign-count-regression").await?;
        key::set_state(tx.connection, key.id, KeyState::Suspended, "sign-count").await?;
        let personal = [("person", key.person.as_str())];
        let entry = tx
            .entry("key.suspended")
            .subject("key", key.id)
            .digest("key", key.record_sha256)
            .datum("reason", "sign-count")
            .datum("stored", stored)
            .datum("received", received);
        tx.append(entry, None, &personal).await?;
        let entry = tx.entry("alert.cloned-key").subject("key", key.id);
        tx.append(entry, None, &personal).await?;
        for watched in presence::of_person(tx.connection, &key.person, tx.now).await? {
            if watched.key == key.id {
                end(tx, &watched, "key-suspended").await?;
            }
        }
        Ok(())
    }
}

/// One entry about a session's presence.
async fn tell(
    tx: &mut Tx<'_>,
    kind: &str,
    watched: &Watched,
    reason: Option<&str>,
) -> Result<(), Fault> {
    let mut entry = tx
        .entry(kind)
        .subject("session", watched.session)
        .subject("key", watched.key);
    if let Some(reason) = reason {
        entry = entry.datum("reason", reason);
    }
    tx.append(entry, None, &[("person", watched.person.as_str())])
        .await?;
    tx.notice(Notice {
        action: watched.action,
        audience: Vec::new(),
    });
    Ok(())
}

/// Presence is lost: nothing passes until it is regained.
async fn lose(tx: &mut Tx<'_>, watched: &Watched, reason: &str) -> Result<(), Fault> {
    if watched.lost.is_none() {
        presence::lose(tx.connection, watched.session, tx.now).await?;
        tell(tx, "presence.lost", watched, Some(reason)).await?;
        // Open connections end, here and at other instances.
        tx.ended().await?;
    }
    Ok(())
}

/// The session is over, for want of its key.
async fn end(tx: &mut Tx<'_>, watched: &Watched, reason: &str) -> Result<(), Fault> {
    lose(tx, watched, reason).await?;
    session::set_state(tx.connection, watched.session, SessionState::Ended, None).await?;
    tx.ended().await?;
    tell(tx, "session.ended", watched, Some("presence")).await
}

/// The session lives without proofs, since its key cannot give any and policy lets it.
async fn waive(tx: &mut Tx<'_>, watched: &Watched, why: Why) -> Result<(), Fault> {
    presence::waive(tx.connection, watched.session, why.as_str()).await?;
    tell(tx, "presence.waived", watched, Some(why.as_str())).await
}

/// `Desk::end_presence`.
struct Leave {
    agent: SessionId,
    person: PersonId,
    key: KeyId,
    why: Goodbye,
}

impl Command for Leave {
    type Output = Vec<SessionId>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Vec<SessionId>, Fault> {
        let mut gone = Vec::new();
        for watched in presence::of_person(tx.connection, &self.person, tx.now).await? {
            // Before the first proof any agent of the person may say that the key which just sealed is gone.
            let ours = watched.prover.is_none_or(|prover| prover == self.agent);
            if watched.key != self.key || watched.waived.is_some() || !ours {
                continue;
            }
            match self.why {
                Goodbye::Removed => end(tx, &watched, self.why.as_str()).await?,
                _ => lose(tx, &watched, self.why.as_str()).await?,
            }
            gone.push(watched.session);
        }
        Ok(gone)
    }
}

/// `Desk::delay_presence`.
struct Delay {
    shared: Arc<Shared>,
    agent: SessionId,
    person: PersonId,
    nonce_sha256: [u8; 32],
    action: ActionId,
}

impl Command for Delay {
    type Output = Result<(), DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let Some((nonce, in_time)) = take(tx, &self.nonce_sha256, self.agent).await? else {
            return Ok(Err(DeskError::NotFound));
        };
        if !in_time {
            return Ok(Err(DeskError::Expired));
        }
        let Some(rule) = &self.shared.presence else {
            return Ok(Err(DeskError::NotFound));
        };
        let waits = match store::action::load(tx.connection, self.action).await? {
            Some((record, standing)) => {
                standing.at(tx.now).state() == State::Pending
                    && super::settle::approver(tx, &record, &self.person)
                        .await
                        .is_ok()
            }
            None => false,
        };
        let mut delayed = false;
        for watched in spoken_for(tx, &self.person, &nonce).await? {
            if waits && !watched.delayed && watched.lost.is_none() {
                let until = tx.now + rule.touch.0;
                presence::delay(tx.connection, watched.session, until).await?;
                delayed = true;
            }
        }
        Ok(if delayed {
            Ok(())
        } else {
            Err(DeskError::Forbidden)
        })
    }
}

/// `Desk::presence_unable`.
struct Disclaim {
    shared: Arc<Shared>,
    agent: SessionId,
    nonce_sha256: [u8; 32],
    why: Why,
}

impl Command for Disclaim {
    type Output = Result<(), DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let Some((nonce, in_time)) = take(tx, &self.nonce_sha256, self.agent).await? else {
            return Ok(Err(DeskError::NotFound));
        };
        if !in_time {
            return Ok(Err(DeskError::Expired));
        }
        let Some(rule) = &self.shared.presence else {
            return Ok(Err(DeskError::NotFound));
        };
        let key = key::load(tx.connection, nonce.key)
            .await?
            .ok_or(DeskError::NotFound)?;
        let known = presence::ability(tx.connection, key.id).await?;
        if matches!(known, Some(Ability::Counted | Ability::Uncounted)) {
            return Ok(Err(DeskError::Forbidden));
        }
        let unable = Ability::Unable { reason: self.why };
        if known.as_ref() != Some(&unable) {
            presence::set_ability(tx.connection, key.id, &unable).await?;
            let entry = tx
                .entry("presence.unable")
                .subject("key", key.id)
                .datum("reason", self.why.as_str());
            tx.append(entry, None, &[("person", key.person.as_str())])
                .await?;
        }
        for watched in presence::of_person(tx.connection, &key.person, tx.now).await? {
            if watched.key == key.id && watched.waived.is_none() {
                match rule.unable {
                    Unable::Refuse => end(tx, &watched, "key-unable").await?,
                    Unable::Allow => waive(tx, &watched, self.why).await?,
                }
            }
        }
        Ok(Ok(()))
    }
}

/// `Desk::settle_presence`.
struct Lapse {
    shared: Arc<Shared>,
}

impl Command for Lapse {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let Some(rule) = &self.shared.presence else {
            return Ok(());
        };
        for watched in presence::overdue(tx.connection, tx.now).await? {
            match watched.lost {
                Some(since) if since + rule.away.0 <= tx.now => end(tx, &watched, "away").await?,
                Some(_) => {}
                None if rule.away.0 == time::Duration::ZERO => end(tx, &watched, "missed").await?,
                None => lose(tx, &watched, "missed").await?,
            }
        }
        presence::forget(tx.connection, tx.now).await?;
        Ok(())
    }
}

/// At a start: what was there when no instance ran has one interval to show itself.
pub(super) struct Rearm {
    pub(super) shared: Arc<Shared>,
}

impl Command for Rearm {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        if let Some(rule) = &self.shared.presence {
            let until = tx.now + rule.interval.0;
            presence::rearm(tx.connection, tx.now, until).await?;
        }
        Ok(())
    }
}

/// Whether a session of this kind can carry proofs.
pub(super) fn may_prove(session: &Session) -> bool {
    session.kind == SessionKind::Agent && session.is_active()
}
