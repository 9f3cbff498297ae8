//! Facts that expire become state: recorded by a sealed `facts.record` or by an administrator's file, each change with its entry; roles whose
//! end has come are taken away in the first transaction after it, before anything in it is decided.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Desk, DeskError};
use crate::action::ActionRecord;
use crate::fact::{Campaign, Change, Facts, Fate, What};
use crate::id::{ActionId, PersonId, Role};
use crate::store::fact::{self, Ending};
use crate::store::{campaign, person};
use crate::writer::{Command, Fault, Tx};

/// The most changes that one action seals: a person reads them.
const MAX_SEALED: usize = 50;

impl Desk {
    /// What is recorded of a person, whether it still holds or not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn facts(&self, person: &PersonId) -> Result<Facts, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(fact::of_person(&mut connection, person).await)
    }

    /// Records changes from outside Sceau, all or none; `source` says where they come from, kebab-case.
    ///
    /// # Errors
    /// `UnknownPerson`, `Malformed` when a role is not held, `Unavailable`.
    pub async fn record_facts(
        &self,
        changes: Vec<Change>,
        source: &'static str,
    ) -> Result<(), DeskError> {
        self.run(Record { changes, source }).await
    }

    /// Opens a recertification: whoever holds this role holds it until `due` and no longer, unless a sealed `facts.record` says otherwise. Who
    /// has an earlier end keeps it. Gives how many hold the role.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn recertify(&self, role: Role, due: OffsetDateTime) -> Result<usize, DeskError> {
        self.run(Recertify { role, due }).await
    }

    /// The recertifications that were opened since then, oldest first, with what became of everyone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn campaigns(&self, since: OffsetDateTime) -> Result<Vec<Campaign>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(campaign::page(&mut connection, since).await)
    }

    /// The roles that a person holds, each with its end, if it has one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn role_ends(
        &self,
        person: &PersonId,
    ) -> Result<Vec<(Role, Option<OffsetDateTime>)>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(fact::role_ends(&mut connection, person).await)
    }

    /// What ends before then, soonest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn facts_ending(&self, before: OffsetDateTime) -> Result<Vec<Ending>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(fact::endings(&mut connection, before).await)
    }

    /// Active persons and live keys that were not used since then.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn dormant(
        &self,
        since: OffsetDateTime,
    ) -> Result<Vec<(PersonId, String, Option<OffsetDateTime>)>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(fact::dormant(&mut connection, since).await)
    }
}

struct Record {
    changes: Vec<Change>,
    source: &'static str,
}

impl Command for Record {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        possible(tx, &self.changes).await?;
        record(tx, &self.changes, self.source, None).await
    }
}

struct Recertify {
    role: Role,
    due: OffsetDateTime,
}

impl Command for Recertify {
    type Output = usize;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<usize, Fault> {
        let holders = fact::holders(tx.connection, &self.role).await?;
        for (person, until) in &holders {
            let due = until.map_or(self.due, |until| until.min(self.due));
            fact::limit_role(tx.connection, person, &self.role, Some(due)).await?;
        }
        let persons: Vec<PersonId> = holders.iter().map(|(person, _)| person.clone()).collect();
        let id = tx.ports.uuid(tx.now)?.to_string();
        let span = (tx.now, self.due);
        campaign::open(tx.connection, &id, &self.role, &persons, span).await?;
        let entry = tx
            .entry("recertification.opened")
            .datum("campaign", id)
            .datum("role", self.role.as_str())
            .datum("holders", holders.len())
            .datum("due", instant(self.due)?);
        tx.append(entry, None, &[]).await?;
        Ok(holders.len())
    }
}

fn instant(at: OffsetDateTime) -> Result<String, DeskError> {
    at.format(&Rfc3339).map_err(|_| DeskError::Misuse("time"))
}

/// Reads `params.facts` of a `facts.record`.
pub(super) fn read(params: &Map<String, Value>) -> Result<Vec<Change>, DeskError> {
    let listed = params
        .get("facts")
        .and_then(Value::as_array)
        .filter(|listed| (1..=MAX_SEALED).contains(&listed.len()))
        .ok_or(DeskError::Malformed("params.facts"))?;
    listed
        .iter()
        .map(|one| {
            let part = |name: &str| one.get(name).and_then(Value::as_str);
            let (Some(person), Some(fact)) = (part("person"), part("fact")) else {
                return Err(DeskError::Malformed("params.facts"));
            };
            Change::read(person, fact, part("until").unwrap_or_default())
                .map_err(DeskError::Malformed)
        })
        .collect()
}

/// Checks that every change is about somebody, and about a role that they hold.
pub(super) async fn possible(tx: &mut Tx<'_>, changes: &[Change]) -> Result<(), Fault> {
    for change in changes {
        let person = person::load(tx.connection, &change.person)
            .await?
            .ok_or(DeskError::UnknownPerson)?;
        if let What::Role(role) = &change.what
            && !person.roles.contains(role)
        {
            return Err(DeskError::Malformed("facts: a role that is not held").into());
        }
    }
    Ok(())
}

async fn record(
    tx: &mut Tx<'_>,
    changes: &[Change],
    source: &str,
    action: Option<ActionId>,
) -> Result<(), Fault> {
    for change in changes {
        match &change.what {
            What::Fact(name) => {
                let until = change.until;
                fact::record(tx.connection, &change.person, name, until, source, tx.now).await?;
            }
            What::Role(role) => {
                fact::limit_role(tx.connection, &change.person, role, change.until).await?;
                // A file says until when a role is held; vouching for somebody takes a seal.
                if action.is_some() {
                    let fate = match change.until {
                        Some(until) if until <= tx.now => Fate::Withdrawn,
                        _ => Fate::Kept,
                    };
                    let person = &change.person;
                    campaign::settle(tx.connection, person, role, fate, action, tx.now).await?;
                }
            }
        }
        let mut entry = tx
            .entry("fact.recorded")
            .datum("fact", change.what.text())
            .datum("source", source);
        if let Some(until) = change.until {
            entry = entry.datum("until", instant(until)?);
        }
        if let Some(action) = action {
            entry = entry.subject("action", action);
        }
        tx.append(entry, action, &[("person", change.person.as_str())])
            .await?;
    }
    Ok(())
}

/// Does a sealed `facts.record`.
pub(super) async fn seal(
    tx: &mut Tx<'_>,
    action: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let changes = read(params)?;
    // A role may have ended since it was asked: then there is nothing to prolong, and the rest is recorded.
    record(tx, &changes, "sealed", Some(action.id)).await?;
    Ok(json!({ "recorded": changes.len() }))
}

/// Writes down how the campaigns ended whose time is over.
pub(super) async fn close_campaigns(tx: &mut Tx<'_>) -> Result<usize, Fault> {
    let closed = campaign::close(tx.connection, tx.now).await?;
    for campaign in &closed {
        let entry = tx
            .entry("recertification.closed")
            .datum("campaign", campaign.id.as_str())
            .datum("role", campaign.role.as_str())
            .datum("kept", campaign.count(Fate::Kept))
            .datum("withdrawn", campaign.count(Fate::Withdrawn))
            .datum("lapsed", campaign.count(Fate::Lapsed));
        tx.append(entry, None, &[]).await?;
    }
    Ok(closed.len())
}

/// The first thing in every transaction: roles whose end has come are not held any more.
pub(crate) async fn expire(tx: &mut Tx<'_>) -> Result<(), Fault> {
    for (person, role) in fact::expire_roles(tx.connection, tx.now).await? {
        campaign::settle(tx.connection, &person, &role, Fate::Lapsed, None, tx.now).await?;
        let entry = tx.entry("right.expired").datum("role", role.as_str());
        tx.append(entry, None, &[("person", person.as_str())])
            .await?;
    }
    Ok(())
}
