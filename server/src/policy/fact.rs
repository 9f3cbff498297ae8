//! The verified facts that a decision is made from, as they are kept with the action, and their form as Cedar's entities and context.
//!
//! Everything here was loaded by the server from its own store or measured by it; nothing is what a caller merely says, but for the kind
//! and identifier of a service's target, which the service is trusted to name (it would be the one to do the action).

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::OffsetDateTime;

use crate::id::{KeyId, PersonId, Role, ServiceId};
use crate::person::{Person, PersonState};

/// Somebody, as far as a policy may look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonFacts {
    /// Who.
    pub id: PersonId,
    /// Roles; of somebody who is only about to be enrolled, those that they would get.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// Whether they may act.
    pub state: PersonState,
    /// SIRET of their structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl From<&Person> for PersonFacts {
    fn from(person: &Person) -> Self {
        Self {
            id: person.id.clone(),
            roles: person.roles.clone(),
            state: person.state,
            organisation: None,
        }
    }
}

/// What the action is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetFacts {
    /// A person of ours.
    Person(PersonFacts),
    /// A key of ours, and its owner.
    Key {
        /// Which.
        id: KeyId,
        /// Whose.
        owner: PersonFacts,
    },
    /// Something of the service's.
    Thing {
        /// The target's kind, such as `account`.
        kind: String,
        /// Its identifier there.
        id: String,
    },
}

/// The session that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// `agent`, `browser`, `gate`.
    pub kind: String,
    /// Assurance of its sign-in, ProConnect's word.
    pub acr: String,
    /// Seconds since it was opened.
    pub age: i64,
}

/// How often within the last minute, hour and day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Last minute.
    #[serde(default)]
    pub minute: i64,
    /// Last hour.
    #[serde(default)]
    pub hour: i64,
    /// Last day.
    #[serde(default)]
    pub day: i64,
}

/// The requester's keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAtHand {
    /// Live, FIDO2.
    #[serde(default)]
    pub fido2: i64,
    /// Live, cards.
    #[serde(default)]
    pub piv: i64,
    /// Handed out, and not used yet.
    #[serde(default)]
    pub waiting: i64,
    /// All that they were ever given, revoked ones too.
    #[serde(default)]
    pub given: i64,
    /// How many their roles want them to be given.
    #[serde(default)]
    pub wanted: i64,
}

/// Training that the requester has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Until when it holds; `None`: it does not end by itself.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

/// Everything that a decision is made from. Kept with the action, so that `policy explain` and `policy diff` see what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Action type.
    pub action: String,
    /// Where it is done.
    pub service: ServiceId,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who wants it.
    pub requester: PersonFacts,
    /// To what.
    pub target: TargetFacts,
    /// By which session, unless a service asks by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionFacts>,
    /// What the requester asked for before.
    #[serde(default)]
    pub asked: Window,
    /// What of it was done.
    #[serde(default)]
    pub executed: Window,
    /// What of it was refused.
    #[serde(default)]
    pub refused: Window,
    /// Their keys.
    #[serde(default)]
    pub keys: KeysAtHand,
    /// Their workstation listens.
    #[serde(default)]
    pub present: bool,
    /// Their training, when somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Names of the facts about them that hold now (`sceau-server fact`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub facts: BTreeSet<String>,
    /// Approvals that count so far.
    #[serde(default)]
    pub approvals: u32,
}

impl Facts {
    /// The facts that nobody measures: an action asked for now, and nothing known beside it.
    #[must_use]
    pub fn bare(
        action: &str,
        service: ServiceId,
        requester: PersonFacts,
        target: TargetFacts,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            action: action.to_owned(),
            service,
            at,
            requester,
            target,
            session: None,
            asked: Window::default(),
            executed: Window::default(),
            refused: Window::default(),
            keys: KeysAtHand::default(),
            present: false,
            training: None,
            facts: BTreeSet::new(),
            approvals: 0,
        }
    }
}
