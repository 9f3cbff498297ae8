//! The desk: the one place where decisions become state. Everything that HTTP handlers and the gate do to actions,
//! sessions and keys goes through here: parse → load → decide (pure) → save state *and* log entry in one
//! transaction → respond.
//!
//! What a method promises: when it returns `Ok`, what it says is durable and logged. When it returns
//! [`DeskError::Unavailable`], it may or may not have happened; ask again with the same identifier.
//!
//! Trusts: the store's rows (this server wrote them) and the ports. Does not trust: anything in a [`NewAction`],
//! [`ApprovalClaim`] or token.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::action::{ActionRecord, Caller, NewAction, Outcome};
use crate::id::{ActionId, KeyId, PersonId, ServiceId, SessionId};
use crate::key::KeySummary;
use crate::person::Person;
use crate::session::{OpenedSession, Session, SessionKind};

/// An approval as it arrives. A claim: nothing is checked yet.
#[derive(Debug, Clone)]
pub struct ApprovalClaim {
    /// Who says that they approve; authenticated by their session.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// `clientDataJSON`, verbatim.
    pub client_data_json: Vec<u8>,
    /// `authenticatorData`, verbatim.
    pub authenticator_data: Vec<u8>,
    /// The signature over both.
    pub signature: Vec<u8>,
    /// The credential id that the client used, if it said.
    pub credential_id: Option<Vec<u8>>,
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

/// The desk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {}

impl Desk {
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
        let _ = (asked, caller);
        Err(DeskError::Unavailable)
    }

    /// The action as it stands now; `None` when there is none. No access check: callers check against the record.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn action(&self, id: ActionId) -> Result<Option<ActionRecord>, DeskError> {
        let _ = id;
        Err(DeskError::Unavailable)
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
        let _ = (id, timeout);
        Err(DeskError::Unavailable)
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
        let _ = (id, claim);
        Err(DeskError::Unavailable)
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
        let _ = (id, person, reason, text);
        Err(DeskError::Unavailable)
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
        let _ = (id, reason);
        Err(DeskError::Unavailable)
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
        let _ = (id, service);
        Err(DeskError::Unavailable)
    }

    /// Takes the one use of an approved action, durably, *before* the gate forwards the request. Of any number of
    /// calls for one action, over all instances and restarts, at most one returns `Ok`. The state stays `approved`
    /// with `execution.started_at` set until [`Desk::record_execution`].
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable` (then do not forward:
    /// the use may be taken).
    pub async fn consume(&self, id: ActionId) -> Result<Consumed, DeskError> {
        let _ = id;
        Err(DeskError::Unavailable)
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
        let _ = (id, outcome);
        Err(DeskError::Unavailable)
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
        let _ = (person, kind);
        Err(DeskError::Unavailable)
    }

    /// The session of a token, whatever its state; `None` when there is none. Only an active one speaks for its
    /// person. A suspension shows at the next call.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, DeskError> {
        let _ = token;
        Err(DeskError::Unavailable)
    }

    /// As [`Desk::session`] by name; while it is pending waits up to `timeout`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wait_session(
        &self,
        id: SessionId,
        timeout: Duration,
    ) -> Result<Option<Session>, DeskError> {
        let _ = (id, timeout);
        Err(DeskError::Unavailable)
    }

    /// Signs out.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn end_session(&self, id: SessionId) -> Result<(), DeskError> {
        let _ = id;
        Err(DeskError::Unavailable)
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
        let _ = (id, reason);
        Err(DeskError::Unavailable)
    }

    /// A person of ours.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn person(&self, id: &PersonId) -> Result<Option<Person>, DeskError> {
        let _ = id;
        Err(DeskError::Unavailable)
    }

    /// A person's live keys.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys(&self, person: &PersonId) -> Result<Vec<KeySummary>, DeskError> {
        let _ = person;
        Err(DeskError::Unavailable)
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
        let _ = (kind, person, data);
        Err(DeskError::Unavailable)
    }
}
