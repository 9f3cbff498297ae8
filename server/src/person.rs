//! Persons, their roles, and who begot whom (lineage).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{PersonId, Role};

/// Whether a person may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonState {
    /// Created; nothing works until a key was enrolled in person.
    Inert,
    /// Has had a key enrolled.
    Active,
    /// Nothing works until an action restores them.
    Suspended,
}

impl PersonState {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inert => "inert",
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Reads [`PersonState::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Inert, Self::Active, Self::Suspended]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A person as the store holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Identifier.
    pub id: PersonId,
    /// How people call them. Received text: shown quoted.
    pub display: String,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// Whether they may act.
    pub state: PersonState,
    /// Who asked for their enrolment; `None` for the first administrators.
    pub parent: Option<PersonId>,
}
