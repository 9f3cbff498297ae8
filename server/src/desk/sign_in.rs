//! Sign-in by key: a pending session and the `session.open` action that seals it; suspension and end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::identity::{self, LoginClaim};
use super::known::{facts, known};
use super::open::birth;
use super::{Desk, DeskError, Shared, live};
use crate::action::{ActionRecord, NewAction, Target};
use crate::id::{PersonId, SessionId};
use crate::key::KeySummary;
use crate::person::{Person, PersonState};
use crate::policy::{OWN_SERVICE, TargetFacts};
use crate::session::{OpenedSession, Session, SessionKind, SessionState};
use crate::store::{self, key, person, session};
use crate::workstation::Workstation;
use crate::writer::{Command, Fault, Tx};

impl Desk {
    /// Starts a sign-in: a pending session, and the action `session.open` that its person's key must seal.
    ///
    /// # Errors
    /// `UnknownPerson` (also for persons who are inert or suspended), `Limited`, `Unavailable`.
    pub async fn open_session(
        &self,
        person: PersonId,
        kind: SessionKind,
    ) -> Result<OpenedSession, DeskError> {
        self.open_session_at(person, kind, None).await
    }

    /// As [`Desk::open_session`], from an address that the caller has observed, and a device as it calls itself.
    ///
    /// # Errors
    /// As [`Desk::open_session`].
    pub async fn open_session_at(
        &self,
        person: PersonId,
        kind: SessionKind,
        place: Option<(IpAddr, Option<String>)>,
    ) -> Result<OpenedSession, DeskError> {
        self.run(OpenSession {
            shared: Arc::clone(&self.inner.shared),
            person,
            kind,
            place,
            login: None,
        })
        .await?
    }

    /// As [`Desk::open_session`], after a log-in that the gate has verified: the key seals it, too.
    ///
    /// # Errors
    /// As [`Desk::open_session`]; `UnknownPerson` also when the identity is somebody else's.
    pub async fn open_session_after(
        &self,
        person: PersonId,
        kind: SessionKind,
        login: Option<LoginClaim>,
    ) -> Result<OpenedSession, DeskError> {
        self.run(OpenSession {
            shared: Arc::clone(&self.inner.shared),
            person,
            kind,
            place: None,
            login,
        })
        .await?
    }

    /// Says where a session was opened that came with its key: at that address, on a device as it calls itself.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn place_session(
        &self,
        session: SessionId,
        address: IpAddr,
        device: Option<String>,
    ) -> Result<(), DeskError> {
        let at = Workstation {
            session,
            address,
            device,
        };
        self.run(PlaceSession { at }).await
    }

    /// The workstation that speaks now by this session: from that address, with the device's name of its sign-in.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn workstation(
        &self,
        session: SessionId,
        address: IpAddr,
    ) -> Result<Workstation, DeskError> {
        let mut connection = self.reader().await?;
        let opened = self.stored(session::workstation(&mut connection, session).await)?;
        Ok(Workstation {
            session,
            address,
            device: opened.and_then(|at| at.device),
        })
    }

    /// The session of a token, whatever its state; `None` when there is none. Only an active one speaks for its
    /// person. A suspension shows at the next call.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(store::session::by_token(&mut connection, &token_digest(token), now).await)
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
        self.run(CloseSession {
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
        self.run(CloseSession {
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
}

/// SHA-256 of a token's or invitation's text, under which it is kept. The text has 256 random bits: no salt is needed.
pub(super) fn token_digest(token: &str) -> [u8; 32] {
    sceau_proof::log::entry::sha256(token.as_bytes())
}

/// `Desk::open_session`. A refusal is an output: it may leave an entry.
pub(super) struct OpenSession {
    pub(super) shared: Arc<Shared>,
    pub(super) person: PersonId,
    pub(super) kind: SessionKind,
    pub(super) place: Option<(IpAddr, Option<String>)>,
    pub(super) login: Option<LoginClaim>,
}

impl Command for OpenSession {
    type Output = Result<OpenedSession, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let person = person::load(tx.connection, &self.person)
            .await?
            .ok_or(DeskError::UnknownPerson)?;
        if let Err(limited) = self.shared.limited(tx, &person.id, true).await? {
            return Ok(Err(limited));
        }
        if person.state != PersonState::Active {
            let entry = tx
                .entry("session.refused")
                .datum("reason", format!("person-{}", person.state.as_str()));
            tx.append(entry, None, &[("person", person.id.as_str())])
                .await?;
            return Ok(Err(DeskError::UnknownPerson));
        }
        let words = match &self.login {
            None => None,
            Some(claim) => match identity::may_claim(tx, claim, &person.id).await? {
                Some(words) => Some(words),
                None => {
                    let entry = tx
                        .entry("session.refused")
                        .datum("reason", "identity-of-another");
                    tx.append(entry, None, &[("person", person.id.as_str())])
                        .await?;
                    return Ok(Err(DeskError::UnknownPerson));
                }
            },
        };
        let mut params = Map::new();
        params.insert("kind".to_owned(), json!(self.kind));
        if let Some(claim) = &self.login {
            params.insert("login".to_owned(), claim.to_json());
        }
        let id = SessionId(tx.ports.uuid(tx.now)?);
        let service = OWN_SERVICE
            .parse()
            .map_err(|_| DeskError::Misuse("own service"))?;
        let asked = NewAction {
            kind: "session.open".to_owned(),
            service,
            requester: person.id.clone(),
            target: Target {
                kind: "session".to_owned(),
                id: id.to_string(),
                display: self.kind.as_str().to_owned(),
            },
            params,
            request: None,
            words,
        };
        let target = TargetFacts::Person(known(tx, &person).await?);
        let facts = facts(tx, &self.shared, &asked, &person, target, None).await?;
        let action = birth(tx, &self.shared, &asked, &person, None, facts).await?;
        if action.denial.is_some() {
            return Ok(Err(DeskError::Forbidden));
        }
        let (opened, keys) = self.insert(tx, id, &action).await?;
        Ok(Ok(OpenedSession {
            id,
            token: opened,
            action,
            keys,
        }))
    }
}

impl OpenSession {
    async fn insert(
        &self,
        tx: &mut Tx<'_>,
        id: SessionId,
        action: &ActionRecord,
    ) -> Result<(Zeroizing<String>, Vec<crate::key::KeySummary>), Fault> {
        let token = super::secret(tx.ports)?;
        let opened = Session {
            id,
            person: self.person.clone(),
            kind: self.kind,
            state: SessionState::Pending,
            action: action.id,
            expires_at: action.expires_at,
            present_until: None,
        };
        session::insert(tx.connection, &opened, &token_digest(&token), tx.now).await?;
        if let Some((address, device)) = &self.place {
            let at = Workstation {
                session: id,
                address: *address,
                device: device.clone(),
            };
            session::set_workstation(tx.connection, &at).await?;
        }
        let keys = key::of_person(tx.connection, &self.person).await?;
        Ok((token, super::for_sign_in(&keys)))
    }
}

struct PlaceSession {
    at: Workstation,
}

impl Command for PlaceSession {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        Ok(session::set_workstation(tx.connection, &self.at).await?)
    }
}

/// Ends or suspends one session.
pub(super) struct CloseSession {
    pub(super) session: SessionId,
    pub(super) state: SessionState,
    pub(super) reason: &'static str,
}

impl Command for CloseSession {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let found = session::load(tx.connection, self.session, tx.now)
            .await?
            .ok_or(DeskError::NotFound)?;
        if !matches!(
            found.state,
            SessionState::Pending | SessionState::Active | SessionState::Absent
        ) {
            return Ok(());
        }
        session::set_state(tx.connection, found.id, self.state, None).await?;
        let kind = if self.state == SessionState::Suspended {
            "session.suspended"
        } else {
            "session.ended"
        };
        let entry = tx
            .entry(kind)
            .subject("session", found.id)
            .datum("reason", self.reason);
        tx.append(entry, None, &[("person", found.person.as_str())])
            .await?;
        if self.state == SessionState::Suspended {
            tx.ended().await?;
        }
        Ok(())
    }
}

/// The session that a `session.end` is about, while it lives; of those, a person reads where it is open.
pub(super) async fn to_end(tx: &mut Tx<'_>, params: &Map<String, Value>) -> Result<Session, Fault> {
    let id = super::own::text(params, "session")?
        .parse()
        .map_err(|_| DeskError::Malformed("params.session"))?;
    let found = session::load(tx.connection, id, tx.now).await?;
    let lives =
        |session: &Session| matches!(session.state, SessionState::Active | SessionState::Absent);
    Ok(found.filter(lives).ok_or(DeskError::NotFound)?)
}

/// Does a sealed `session.end`: whoever speaks by it is refused at the next request, and streams that are open end.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let found = to_end(tx, params).await?;
    session::set_state(tx.connection, found.id, SessionState::Ended, None).await?;
    let entry = tx
        .entry("session.ended")
        .subject("session", found.id)
        .subject("action", record.id)
        .datum("reason", "by-action");
    tx.append(entry, None, &[("person", found.person.as_str())])
        .await?;
    tx.ended().await?;
    Ok(json!({ "session": found.id }))
}

/// Opens an active session at once: after a registration, whose new key has just shown itself.
pub(super) async fn open_sealed(
    tx: &mut Tx<'_>,
    shared: &Shared,
    person: &PersonId,
    action: crate::id::ActionId,
) -> Result<(SessionId, Zeroizing<String>), Fault> {
    let token = super::secret(tx.ports)?;
    let id = SessionId(tx.ports.uuid(tx.now)?);
    let opened = Session {
        id,
        person: person.clone(),
        kind: SessionKind::Agent,
        state: SessionState::Active,
        action,
        expires_at: tx.now + shared.session_lifetime.0,
        present_until: None,
    };
    session::insert(tx.connection, &opened, &token_digest(&token), tx.now).await?;
    let entry = tx
        .entry("session.opened")
        .subject("session", id)
        .subject("action", action);
    tx.append(entry, None, &[("person", person.as_str())])
        .await?;
    Ok((id, token))
}
