//! The desk: the one place where decisions become state. Everything that HTTP handlers and the gate do to actions,
//! sessions and keys goes through here: parse → load → decide (pure) → save state *and* log entry in one
//! transaction → respond.
//!
//! What a method promises: when it returns `Ok`, what it says is durable and logged. When it returns
//! [`DeskError::Unavailable`], it may or may not have happened; ask again with the same identifier.
//!
//! Trusts: the store's rows (this server wrote them) and the ports. Does not trust: anything in a [`NewAction`],
//! [`ApprovalClaim`] or token.

mod enrolment;
mod evidence;
mod execute;
mod inbox;
mod judgement;
mod new_key;
mod open;
mod own;
mod registration;
mod report;
mod settle;
mod sign_in;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sceau_proof::evidence::Response;
use sceau_proof::log::entry::sha256;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

use crate::action::{ActionRecord, Caller, NewAction, Outcome, State};
use crate::attestation::Judge;
use crate::hub::Hub;
use crate::id::{ActionId, EnrolmentId, KeyId, PersonId, ServiceId, SessionId};
use crate::key::{KeyRecord, KeyState, KeySummary};
use crate::person::Person;
use crate::piv::Cards;
use crate::policy::{self, Policy};
use crate::port::{NoRandomness, Ports};
use crate::rate::Limits;
use crate::session::{OpenedSession, Session, SessionKind, SessionState};
use crate::store::{self, Store, StoreError};
use crate::writer::{Command, Fault, Tx, Writer};

pub use enrolment::{OpenedEnrolment, Registered, RegistrationClaim, RegistrationRefused};
pub use inbox::{Inbox, InboxEvent};
pub use judgement::{Believed, Contradiction, REVIEW, Review};

use evidence::response;

/// An approval as it arrives. A claim: nothing is checked yet.
#[derive(Debug, Clone)]
pub struct ApprovalClaim {
    /// Who says that they approve; authenticated by their session.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// What the key answered.
    pub response: Response,
}

/// Why a person refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// They did not ask for it: the session that asked is suspended too.
    NotMe,
    /// They asked, and it is wrong.
    Mistake,
    /// Something else.
    Other,
}

/// Why an action ends without a person's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The client that held the connection went away.
    ClientGone,
    /// Holding serves no more and the request was not deferred.
    HoldTimeout,
}

/// The one use of an approved action, taken by whoever holds this. Built by [`Desk::consume`] alone.
#[derive(Debug)]
pub struct Consumed {
    permit: String,
    record: ActionRecord,
}

impl Consumed {
    /// A fresh permit for the upstream (`Sceau-Permit`).
    #[must_use]
    pub fn permit(&self) -> &str {
        &self.permit
    }

    /// The action, its execution begun.
    #[must_use]
    pub fn record(&self) -> &ActionRecord {
        &self.record
    }
}

/// What the desk may answer instead of doing it. The message is public; causes are in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// Does not parse; the words say which part.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No such action, session or key, or not for this caller's eyes.
    #[error("not found")]
    NotFound,
    /// The requester or approver is not a person of ours who may act.
    #[error("unknown person")]
    UnknownPerson,
    /// The caller may not do this.
    #[error("forbidden")]
    Forbidden,
    /// This person does not count for this action.
    #[error("not an approver: {0}")]
    NotAnApprover(&'static str),
    /// It is already settled, in this state.
    #[error("already settled: {}", .0.as_str())]
    AlreadySettled(crate::action::State),
    /// It waits for approvals still.
    #[error("still pending")]
    StillPending,
    /// Its one use was taken.
    #[error("already used")]
    AlreadyUsed,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// The assertion or signature failed a check; the reason is in the log entry.
    #[error("not verified")]
    NotVerified,
    /// Too many: try again after so long.
    #[error("limited")]
    Limited {
        /// When to try again.
        retry_after: Duration,
    },
    /// What is known of models is missing or too old to approve anything privileged by it; which of the two.
    #[error("nothing can be believed of keys: {0}")]
    Blind(&'static str),
    /// The server's clock is behind what the store has already seen; nothing is decided.
    #[error("clock went back")]
    ClockWentBack,
    /// Store or randomness gone; whether it happened is not known.
    #[error("unavailable")]
    Unavailable,
    /// Our own mistake.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

/// What the desk decides with; fixed while it runs.
pub struct Settings {
    /// The policy, and the text that it was read from.
    pub policy: Policy,
    /// Its text.
    pub policy_text: String,
    /// Prompt-fatigue limits.
    pub limits: Limits,
    /// WebAuthn's relying party id.
    pub rp_id: String,
    /// Origins that may have made an assertion or registration.
    pub origins: Vec<String>,
    /// The https origin of this server: issuer of permits.
    pub public_url: String,
    /// Name of this instance.
    pub instance: String,
    /// How long a sealed session lives.
    pub session_lifetime: time::Duration,
    /// How long an invitation is good.
    pub invitation_lifetime: time::Duration,
    /// Signs permits.
    pub permit_key: sceau_proof::permit::SigningKey,
    /// Signs checkpoints.
    pub log_key: sceau_proof::log::note::SigningKey,
    /// Judges registrations.
    pub judge: Judge,
    /// Judges those of cards; without it none is enrolled.
    pub cards: Option<Cards>,
}

/// What commands share.
pub(crate) struct Shared {
    policy: Policy,
    policy_sha256: [u8; 32],
    limits: Limits,
    rp_id: String,
    origins: Vec<String>,
    public_url: String,
    instance: String,
    session_lifetime: crate::config::Span,
    invitation_lifetime: crate::config::Span,
    permit_key: sceau_proof::permit::SigningKey,
    log_origin: String,
    judge: Judge,
    cards: Option<Cards>,
    alerts: Mutex<HashMap<PersonId, OffsetDateTime>>,
    blocked: Mutex<HashMap<crate::id::KeyId, OffsetDateTime>>,
}

struct Inner {
    ports: Ports,
    store: Store,
    hub: Arc<Hub>,
    writer: Writer,
    shared: Arc<Shared>,
    log_key: sceau_proof::log::note::SigningKey,
    _background: DropGuard,
}

/// The desk. Cheap to clone; its background tasks end with the last clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl From<NoRandomness> for DeskError {
    fn from(_: NoRandomness) -> Self {
        Self::Unavailable
    }
}

/// 32 random bytes, base64url: a token or an invitation.
fn secret(ports: &Ports) -> Result<Zeroizing<String>, NoRandomness> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(ports.bytes()?);
    Ok(Zeroizing::new(sceau_proof::base64url::encode(*bytes)))
}

/// What the owner's agent is told of live keys.
fn live(keys: &[KeyRecord]) -> Vec<KeySummary> {
    keys.iter()
        .filter(|key| key.state == KeyState::Live)
        .map(KeyRecord::summary)
        .collect()
}

/// Digest of a JSON value's canonical bytes (docs/evidence.md).
fn digest(value: &Value) -> Result<[u8; 32], DeskError> {
    sceau_proof::evidence::json_sha256(value)
        .map_err(|_| DeskError::Misuse("value without canonical form"))
}

/// How often the log is looked at for what other instances wrote, while somebody here waits.
const LOOK: Duration = Duration::from_millis(500);

impl Desk {
    /// Opens the desk on a store: what this instance had begun and not reported is settled, the policy in force is logged, and the
    /// background tasks start (writer, sweep, reader of other instances' entries).
    ///
    /// # Errors
    /// `Unavailable`, `ClockWentBack`.
    pub async fn start(store: Store, ports: Ports, settings: Settings) -> Result<Self, DeskError> {
        let hub = Arc::new(Hub::default());
        let writer = Writer::start(store.clone(), ports.clone(), Arc::clone(&hub));
        let shared = Arc::new(Shared {
            policy_sha256: sha256(settings.policy_text.as_bytes()),
            policy: settings.policy,
            limits: settings.limits,
            rp_id: settings.rp_id,
            origins: settings.origins,
            public_url: settings.public_url,
            instance: settings.instance,
            session_lifetime: crate::config::Span(settings.session_lifetime),
            invitation_lifetime: crate::config::Span(settings.invitation_lifetime),
            permit_key: settings.permit_key,
            log_origin: settings.log_key.verifying_key().name().to_owned(),
            judge: settings.judge,
            cards: settings.cards,
            alerts: Mutex::new(HashMap::new()),
            blocked: Mutex::new(HashMap::new()),
        });
        let stop = CancellationToken::new();
        let desk = Self {
            inner: Arc::new(Inner {
                ports,
                store,
                hub,
                writer,
                shared: Arc::clone(&shared),
                log_key: settings.log_key,
                _background: stop.clone().drop_guard(),
            }),
        };
        let size = desk
            .stored(store::log::head(&mut *desk.reader().await?).await)?
            .frontier
            .size();
        desk.inner.hub.read_to(size);
        desk.run(Started {
            shared: Arc::clone(&shared),
            policy_text: settings.policy_text,
        })
        .await?;
        desk.run(settle::Sweep {
            shared,
            restarted: true,
        })
        .await?;
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(sweep(Arc::downgrade(&desk.inner))),
        );
        tokio::spawn(stop.run_until_cancelled_owned(look(Arc::downgrade(&desk.inner))));
        Ok(desk)
    }

    async fn run<C: Command>(&self, command: C) -> Result<C::Output, DeskError> {
        self.inner.writer.run(command).await
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, DeskError> {
        self.stored(self.inner.store.reader().await)
    }

    /// The one place where a failing read is logged.
    fn stored<T>(&self, result: Result<T, StoreError>) -> Result<T, DeskError> {
        result.map_err(|error| {
            tracing::error!(%error, "reading the store failed");
            DeskError::Unavailable
        })
    }

    /// The time now, for readers.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.inner.ports.now()
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ready(&self) -> Result<(), DeskError> {
        self.stored(self.inner.store.ping().await)
    }

    /// How many connections wait for actions, and how many inboxes are open.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.inner.hub.waiting()
    }

    /// Writes down what is asked and what the policy says of it: a record in state `pending` or `denied`.
    /// Identical requests are *not* merged here; the gate does that by session and digest.
    ///
    /// # Errors
    /// `Malformed`, `UnknownPerson`, `Forbidden`, `Limited`, `ClockWentBack`, `Unavailable`.
    pub async fn open_action(
        &self,
        asked: NewAction,
        caller: Caller,
    ) -> Result<ActionRecord, DeskError> {
        self.run(open::OpenAction {
            shared: Arc::clone(&self.inner.shared),
            asked,
            caller,
        })
        .await?
    }

    /// The action as it stands now; `None` when there is none. No access check: callers check against the record.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn action(&self, id: ActionId) -> Result<Option<ActionRecord>, DeskError> {
        let mut connection = self.reader().await?;
        let found = self.stored(store::action::load(&mut connection, id).await)?;
        let now = self.now();
        Ok(found.map(|(record, standing)| store::action::told(record, standing, now)))
    }

    /// As [`Desk::action`], but while it is pending waits up to `timeout` for that to change. Returns at once when
    /// settled, and the pending record at the time-out. Dropping the future cancels nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wait(
        &self,
        id: ActionId,
        timeout: Duration,
    ) -> Result<Option<ActionRecord>, DeskError> {
        // Watched before the store is read: a change in between is seen.
        let mut watch = Watch {
            hub: &self.inner.hub,
            action: id,
            changes: Some(self.inner.hub.watch(id)),
        };
        let waiting = async {
            loop {
                match self.action(id).await? {
                    Some(record) if record.state == State::Pending => watch.change().await,
                    settled => return Ok(settled),
                }
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(settled) => settled,
            Err(_) => self.action(id).await,
        }
    }

    /// Verifies an approval against the stored action and counts it.
    ///
    /// # Errors
    /// `NotFound`, `NotAnApprover`, `AlreadySettled`, `Expired`, `NotVerified`, `ClockWentBack`, `Unavailable`.
    pub async fn approve(
        &self,
        id: ActionId,
        claim: ApprovalClaim,
    ) -> Result<ActionRecord, DeskError> {
        let mut connection = self.reader().await?;
        let (record, _) = self
            .stored(store::action::load(&mut connection, id).await)?
            .ok_or(DeskError::NotFound)?;
        let key = self
            .stored(store::key::load(&mut connection, claim.key).await)?
            .ok_or(DeskError::NotVerified)?;
        let uncertified = self.uncertified(&mut connection, &key).await?;
        drop(connection);
        let checked = match (
            settle::check(&self.inner.shared, &record, &key, &claim)?,
            uncertified,
        ) {
            (settle::Checked::Genuine { .. }, Some(reason)) => settle::Checked::Failed(reason),
            (checked, _) => checked,
        };
        self.run(settle::Approve {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            claim,
            checked,
        })
        .await?
    }

    /// A person (the requester or a possible approver) says no.
    ///
    /// # Errors
    /// `NotFound`, `NotAnApprover`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable`.
    pub async fn refuse(
        &self,
        id: ActionId,
        person: PersonId,
        reason: RefusalReason,
        text: Option<String>,
    ) -> Result<ActionRecord, DeskError> {
        let shared = Arc::clone(&self.inner.shared);
        self.run(settle::Refuse {
            shared,
            action: id,
            person,
            reason,
            text,
        })
        .await
    }

    /// A person's agent saw that the PIN of one of their keys is locked or blocked: an alert in the log, once for each key and window.
    ///
    /// # Errors
    /// `NotFound` when the key is not theirs, `Unavailable`.
    pub async fn report_blocked(
        &self,
        person: PersonId,
        key: crate::id::KeyId,
    ) -> Result<(), DeskError> {
        self.run(report::ReportBlocked {
            shared: Arc::clone(&self.inner.shared),
            person,
            key,
        })
        .await
    }

    /// The client went away or holding serves no more: the action ends as refused, without a person.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable`.
    pub async fn cancel(
        &self,
        id: ActionId,
        reason: CancelReason,
    ) -> Result<ActionRecord, DeskError> {
        self.run(settle::Cancel {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            reason,
        })
        .await
    }

    /// A fresh permit for the service that asked, while the action is approved and its use not taken.
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable`.
    pub async fn issue_permit(
        &self,
        id: ActionId,
        service: ServiceId,
    ) -> Result<String, DeskError> {
        self.run(execute::IssuePermit {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            service,
        })
        .await
    }

    /// Says whether a permit is active for this service (RFC 7662), and uses it up when `consume`: of any number of consuming calls
    /// for one action at most one gets its claims. `None`: not active, for whatever reason.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn introspect(
        &self,
        permit: &str,
        service: &ServiceId,
        consume: bool,
    ) -> Result<Option<sceau_proof::permit::Claims>, DeskError> {
        let shared = &self.inner.shared;
        let Ok(verified) = sceau_proof::permit::verify(
            permit,
            &self.jwks(),
            &shared.public_url,
            service.as_str(),
            self.now(),
        ) else {
            return Ok(None);
        };
        let action = ActionId(verified.claims().jti);
        if consume {
            let used = execute::UsePermit {
                shared: Arc::clone(shared),
                action,
                service: service.clone(),
                permit_sha256: sha256(permit.as_bytes()),
            };
            return match self.run(used).await {
                Ok(_) => Ok(Some(verified.claims().clone())),
                Err(DeskError::Unavailable) => Err(DeskError::Unavailable),
                Err(_) => Ok(None),
            };
        }
        let usable = self.action(action).await?.is_some_and(|record| {
            record.state == State::Approved
                && record.execution.is_none()
                && record.service == *service
        });
        Ok(usable.then(|| verified.claims().clone()))
    }

    /// Takes the one use of an approved action, durably, *before* the gate forwards the request. Of any number of
    /// calls for one action, over all instances and restarts, at most one returns `Ok`. The state stays `approved`
    /// with `execution.started_at` set until [`Desk::record_execution`].
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable` (then do not forward:
    /// the use may be taken).
    pub async fn consume(&self, id: ActionId) -> Result<Consumed, DeskError> {
        let (record, permit) = self
            .run(execute::Begin {
                shared: Arc::clone(&self.inner.shared),
                action: id,
            })
            .await?;
        Ok(Consumed { permit, record })
    }

    /// Reports how the execution ended: `executed` when the upstream answered, `consumed` when that is not known.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled` (reported before), `StillPending`, `Unavailable`.
    pub async fn record_execution(
        &self,
        id: ActionId,
        outcome: Outcome,
    ) -> Result<ActionRecord, DeskError> {
        self.run(execute::Finish {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            outcome,
        })
        .await
    }

    /// Starts a sign-in: a pending session, and the action `session.open` that its person's key must seal.
    ///
    /// # Errors
    /// `UnknownPerson` (also for persons who are inert or suspended), `Limited`, `Unavailable`.
    pub async fn open_session(
        &self,
        person: PersonId,
        kind: SessionKind,
    ) -> Result<OpenedSession, DeskError> {
        self.run(sign_in::OpenSession {
            shared: Arc::clone(&self.inner.shared),
            person,
            kind,
        })
        .await?
    }

    /// The session of a token, whatever its state; `None` when there is none. Only an active one speaks for its
    /// person. A suspension shows at the next call.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(
            store::session::by_token(&mut connection, &sign_in::token_digest(token), now).await,
        )
    }

    /// The session of that name, whatever its state.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session_named(&self, id: SessionId) -> Result<Option<Session>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(store::session::load(&mut connection, id, now).await)
    }

    /// As [`Desk::session_named`]; while it is pending waits up to `timeout`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wait_session(
        &self,
        id: SessionId,
        timeout: Duration,
    ) -> Result<Option<Session>, DeskError> {
        let found = self.session_named(id).await?;
        match found {
            Some(session) if session.state == SessionState::Pending => {
                self.wait(session.action, timeout).await?;
                self.session_named(id).await
            }
            other => Ok(other),
        }
    }

    /// Signs out.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn end_session(&self, id: SessionId) -> Result<(), DeskError> {
        self.run(sign_in::CloseSession {
            session: id,
            state: SessionState::Ended,
            reason: "signed-out",
        })
        .await
    }

    /// Suspends a session: its token is refused at the next request.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn suspend_session(
        &self,
        id: SessionId,
        reason: &'static str,
    ) -> Result<(), DeskError> {
        self.run(sign_in::CloseSession {
            session: id,
            state: SessionState::Suspended,
            reason,
        })
        .await
    }

    /// A person of ours.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn person(&self, id: &PersonId) -> Result<Option<Person>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(store::person::load(&mut connection, id).await)
    }

    /// A person's live keys.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys(&self, person: &PersonId) -> Result<Vec<KeySummary>, DeskError> {
        let mut connection = self.reader().await?;
        Ok(live(&self.stored(
            store::key::of_person(&mut connection, person).await,
        )?))
    }

    /// A person's live keys that count for this action.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys_for(
        &self,
        person: &PersonId,
        record: &ActionRecord,
    ) -> Result<Vec<KeySummary>, DeskError> {
        let mut connection = self.reader().await?;
        let mut keys = self.stored(store::key::of_person(&mut connection, person).await)?;
        if let Some(requirement) = &record.requirement {
            keys.retain(|key| policy::key_counts(requirement, &key.credential).is_ok());
        }
        Ok(live(&keys))
    }

    /// Whether a pending action awaits this person: they count, and have not approved it yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn awaits(
        &self,
        record: &ActionRecord,
        person: &PersonId,
    ) -> Result<bool, DeskError> {
        if record.state != State::Pending
            || record.kind == "key.register"
            || record
                .approvals
                .iter()
                .any(|approval| approval.person == *person)
        {
            return Ok(false);
        }
        self.may_approve(record, person).await
    }

    /// Whether this person counts for the action.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn may_approve(
        &self,
        record: &ActionRecord,
        person: &PersonId,
    ) -> Result<bool, DeskError> {
        let Some(requirement) = &record.requirement else {
            return Ok(false);
        };
        let mut connection = self.reader().await?;
        let Some(found) = self.stored(store::person::load(&mut connection, person).await)? else {
            return Ok(false);
        };
        let ancestors = self.stored(store::person::ancestors(&mut connection, person).await)?;
        Ok(policy::counts(requirement, &record.requester, &found, &ancestors).is_ok())
    }

    /// Names of the actions that may await this person.
    async fn awaiting(&self, person: &PersonId) -> Result<Vec<ActionId>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(store::action::awaiting(&mut connection, person, now).await)
    }

    /// Opens a person's inbox.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn subscribe(&self, person: PersonId) -> Result<Inbox, DeskError> {
        let mut inbox = Inbox::open(self.clone(), person);
        inbox.fill().await?;
        Ok(inbox)
    }

    /// Opens an invitation.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled` (used), `Expired`, `Forbidden` (the person is suspended), `Limited`, `Unavailable`.
    pub async fn open_enrolment(&self, invitation: &str) -> Result<OpenedEnrolment, DeskError> {
        let secret_sha256 = sign_in::token_digest(invitation);
        self.run(enrolment::OpenEnrolment {
            shared: Arc::clone(&self.inner.shared),
            secret_sha256,
        })
        .await?
    }

    /// The invitation that an executed `key.enroll` gave, once: its name, its secret, and when it ends. `None` when it was shown
    /// already. The caller has checked that it is the requester who looks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reveal_invitation(
        &self,
        action: ActionId,
    ) -> Result<Option<(EnrolmentId, Zeroizing<String>, OffsetDateTime)>, DeskError> {
        let shown = self.run(enrolment::Reveal { action }).await?;
        Ok(shown.map(|(invitation, secret)| (invitation.id, secret, invitation.expires_at)))
    }

    /// Writes the first administrators into an empty store.
    ///
    /// # Errors
    /// `Forbidden` when the store has persons; `Unavailable`.
    pub async fn found(
        &self,
        persons: Vec<Person>,
    ) -> Result<Vec<(PersonId, EnrolmentId, Zeroizing<String>)>, DeskError> {
        self.run(enrolment::Found {
            shared: Arc::clone(&self.inner.shared),
            persons,
        })
        .await
    }

    /// Writes an entry that is no action's: what the gate refused or counted. `kind` is kebab-case with a dot
    /// (`gate.refused`, `gate.metered`); `data` holds digests and counts, never bodies.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note(
        &self,
        kind: &'static str,
        person: Option<PersonId>,
        data: Map<String, Value>,
    ) -> Result<(), DeskError> {
        self.run(Note { kind, person, data }).await
    }

    /// WebAuthn's relying party id.
    #[must_use]
    pub fn rp_id(&self) -> &str {
        &self.inner.shared.rp_id
    }

    /// Origins that may make assertions: the agent's, then the browser's.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.inner.shared.origins
    }

    /// The https origin of this server.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.inner.shared.public_url
    }
}

/// One action being watched; forgotten when dropped.
struct Watch<'h> {
    hub: &'h Hub,
    action: ActionId,
    changes: Option<tokio::sync::watch::Receiver<()>>,
}

impl Watch<'_> {
    async fn change(&mut self) {
        if let Some(changes) = &mut self.changes
            && changes.changed().await.is_ok()
        {
            return;
        }
        // The board never closes a watched channel; if it did, waiting for the time-out is right.
        std::future::pending::<()>().await;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.changes = None;
        self.hub.unwatch(self.action);
    }
}

/// Logs the start and the policy in force, and keeps the policy's text.
struct Started {
    shared: Arc<Shared>,
    policy_text: String,
}

impl Command for Started {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let inserted = sqlx::query(
            "INSERT INTO policy_text (sha256, body) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING",
        )
        .bind(self.shared.policy_sha256.to_vec())
        .bind(self.policy_text.as_bytes().to_vec())
        .execute(&mut *tx.connection)
        .await?
        .rows_affected();
        let rules = self.shared.policy.rules().len();
        if inserted > 0 {
            let entry = tx
                .entry("policy.changed")
                .digest("policy", self.shared.policy_sha256)
                .datum("rules", rules);
            tx.append(entry, None, &[]).await?;
        }
        let entry = tx
            .entry("server.started")
            .digest("policy", self.shared.policy_sha256)
            .datum("instance", self.shared.instance.as_str())
            .datum("version", env!("CARGO_PKG_VERSION"));
        tx.append(entry, None, &[]).await?;
        Ok(())
    }
}

struct Note {
    kind: &'static str,
    person: Option<PersonId>,
    data: Map<String, Value>,
}

impl Command for Note {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let mut entry = tx.entry(self.kind);
        for (name, value) in &self.data {
            entry = entry.datum(name, value.clone());
        }
        let personal: Vec<(&str, &str)> = self
            .person
            .iter()
            .map(|person| ("person", person.as_str()))
            .collect();
        tx.append(entry, None, &personal).await?;
        Ok(())
    }
}

/// Writes down what time has done, when the next action ends and not before. Ends with the desk.
async fn sweep(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        let until = desk.sweep_once().await;
        drop(desk);
        tokio::time::sleep(until).await;
    }
}

/// Tells waiters what other instances committed: reads the log from where this one last looked.
async fn look(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let hub = Arc::clone(&strong.hub);
        drop(strong);
        hub.somebody().await;
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        if let Err(error) = desk.look_once().await {
            tracing::debug!(%error, "reading others' entries");
        }
        drop(desk);
        tokio::time::sleep(LOOK).await;
    }
}

impl Desk {
    async fn sweep_once(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(1);
        const LATE: Duration = Duration::from_secs(10);
        let next = async {
            let mut connection = self.reader().await?;
            self.stored(store::action::next_end(&mut connection).await)
        };
        match next.await {
            Ok(Some(end)) if end <= self.now() => {
                let sweep = settle::Sweep {
                    shared: Arc::clone(&self.inner.shared),
                    restarted: false,
                };
                if let Err(error) = self.run(sweep).await {
                    tracing::warn!(%error, "sweeping expired actions");
                }
                SOON
            }
            Ok(Some(end)) => Duration::try_from(end - self.now())
                .unwrap_or(SOON)
                .clamp(SOON, LATE),
            Ok(None) => LATE,
            Err(_) => LATE,
        }
    }

    async fn look_once(&self) -> Result<(), DeskError> {
        let hub = &self.inner.hub;
        let mut connection = self.reader().await?;
        let size = self
            .stored(store::log::head(&mut connection).await)?
            .frontier
            .size();
        let mut from = hub.seen();
        while from < size {
            let (actions, next) =
                self.stored(store::log::actions_since(&mut connection, from).await)?;
            if next == from {
                break;
            }
            for id in actions {
                let Some((record, _)) =
                    self.stored(store::action::load(&mut connection, id).await)?
                else {
                    continue;
                };
                let mut audience =
                    self.stored(store::person::role_holders(&mut connection, id).await)?;
                audience.push(record.requester);
                hub.tell(&[crate::hub::Notice {
                    action: id,
                    audience,
                }]);
            }
            hub.read_to(next);
            from = next;
        }
        Ok(())
    }
}
