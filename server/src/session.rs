//! Sessions: who is calling, once a key has sealed the sign-in.
//!
//! A token is 32 random bytes, base64url; the store keeps its SHA-256 and the token itself exists only in the answer
//! that creates it. A session is dead until its `session.open` action is approved by that person's key.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::action::ActionRecord;
use crate::id::{ActionId, PersonId, SessionId};
use crate::key::KeySummary;

/// What a session is used by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    /// The workstation's agent.
    Agent,
    /// The server's own pages.
    Browser,
    /// A browser at the gate of a service.
    Gate,
}

impl SessionKind {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Browser => "browser",
            Self::Gate => "gate",
        }
    }

    /// Reads [`SessionKind::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Agent, Self::Browser, Self::Gate]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Waits for the key.
    Pending,
    /// Sealed; its token speaks for its person.
    Active,
    /// The sign-in was refused.
    Refused,
    /// It needs its key, which does not show itself. It speaks for nobody until it does.
    Absent,
    /// Someone said that it is not theirs, or its person was suspended.
    Suspended,
    /// Signed out, or its time is over.
    Ended,
}

impl SessionState {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Refused => "refused",
            Self::Absent => "absent",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
        }
    }

    /// Reads [`SessionState::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Active,
            Self::Refused,
            Self::Suspended,
            Self::Ended,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// A session that the store knows. Only an `Active` one speaks for its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name; not its token.
    pub id: SessionId,
    /// Whose it is, or would be.
    pub person: PersonId,
    /// What uses it.
    pub kind: SessionKind,
    /// Where it stands, its end and its person's state counted in.
    pub state: SessionState,
    /// The `session.open` action that seals it.
    pub action: ActionId,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
    /// Until when its key's last proof of presence holds; `None` when it needs none.
    pub present_until: Option<OffsetDateTime>,
}

impl Session {
    /// Whether it speaks for its person.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == SessionState::Active
    }
}

/// A session just asked for. No `Debug`: the token is a secret.
pub struct OpenedSession {
    /// Its name.
    pub id: SessionId,
    /// The token, shown once.
    pub token: Zeroizing<String>,
    /// The action that its person's key must seal.
    pub action: ActionRecord,
    /// The person's live keys.
    pub keys: Vec<KeySummary>,
}
