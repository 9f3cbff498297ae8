//! What nobody has used for as long as `[dormancy]` says is suspended, in one transaction, each with its entry.
//!
//! The rule never locks a house: of the administrators, two stay, the ones who were here last.

use time::OffsetDateTime;

use super::{Desk, DeskError};
use crate::dormancy::Dormancy;
use crate::id::{PersonId, Role};
use crate::key::KeyState;
use crate::person::PersonState;
use crate::store::{fact, judgement, key, person, signal};
use crate::writer::{Command, Fault, Tx};

/// Administrators who stay: restoring takes two.
const STAY: usize = 2;
const REASON: &str = "dormant";

impl Desk {
    /// Suspends active persons and live keys that were not used for as long as the rule says; how many of each.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspend_dormant(&self, rule: Dormancy) -> Result<(usize, usize), DeskError> {
        // Nothing is written where nothing sleeps.
        let now = self.now();
        let mut connection = self.reader().await?;
        let mut asleep = false;
        for span in [rule.key, rule.person].into_iter().flatten() {
            let found = self.stored(fact::dormant(&mut connection, now - span.0).await)?;
            asleep |= !found.is_empty();
        }
        drop(connection);
        if !asleep {
            return Ok((0, 0));
        }
        self.run(Suspend { rule }).await
    }
}

struct Suspend {
    rule: Dormancy,
}

impl Command for Suspend {
    type Output = (usize, usize);

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(usize, usize), Fault> {
        let (mut persons, mut keys) = (0, 0);
        if let Some(span) = self.rule.person {
            let dormant = fact::dormant(tx.connection, tx.now - span.0).await?;
            let mut asleep: Vec<(PersonId, Option<OffsetDateTime>)> = dormant
                .into_iter()
                .filter_map(|(id, what, last)| (what == "person").then_some((id, last)))
                .collect();
            asleep.sort_by_key(|(_, last)| *last);
            let mut administrators = administrators(tx).await?;
            for (id, _) in asleep {
                if administrators.contains(&id) && administrators.len() <= STAY {
                    continue;
                }
                administrators.retain(|other| *other != id);
                self.suspend_person(tx, &id).await?;
                persons += 1;
            }
        }
        if let Some(span) = self.rule.key {
            let administrators = administrators(tx).await?;
            for (owner, what, _) in fact::dormant(tx.connection, tx.now - span.0).await? {
                let Some(id) = what.strip_prefix("key:").and_then(|id| id.parse().ok()) else {
                    continue;
                };
                // The last keys of the last two administrators stay with them.
                let kept = administrators.len() <= STAY && administrators.contains(&owner);
                let live = key::of_person(tx.connection, &owner).await?;
                let live = live.iter().filter(|key| key.state == KeyState::Live);
                if kept && live.count() <= 1 {
                    continue;
                }
                key::set_state(tx.connection, id, KeyState::Suspended, REASON).await?;
                let record = judgement::one(tx.connection, id)
                    .await?
                    .ok_or(DeskError::Misuse("a key that was just found"))?;
                let entry = tx
                    .entry("key.suspended")
                    .subject("key", id)
                    .digest("key", record.record_sha256)
                    .datum("reason", REASON);
                tx.append(entry, None, &[("person", owner.as_str())])
                    .await?;
                keys += 1;
            }
        }
        Ok((persons, keys))
    }
}

/// Administrators who can act.
async fn administrators(tx: &mut Tx<'_>) -> Result<Vec<PersonId>, Fault> {
    let role: Role = "administrator"
        .parse()
        .map_err(|_| DeskError::Misuse("role"))?;
    let mut active = Vec::new();
    for (id, _) in fact::holders(tx.connection, &role).await? {
        let found = person::load(tx.connection, &id).await?;
        if found.is_some_and(|person| person.state == PersonState::Active) {
            active.push(id);
        }
    }
    Ok(active)
}

impl Suspend {
    /// The person's keys sleep with them, and come back with them.
    async fn suspend_person(&self, tx: &mut Tx<'_>, id: &PersonId) -> Result<(), Fault> {
        person::set_state(tx.connection, id, PersonState::Suspended).await?;
        for key in key::of_person(tx.connection, id).await? {
            if key.state == KeyState::Live {
                key::set_state(
                    tx.connection,
                    key.id,
                    KeyState::Suspended,
                    "person-suspended",
                )
                .await?;
            }
        }
        let entry = tx.entry("person.suspended").datum("reason", REASON);
        let index = tx.append(entry, None, &[("person", id.as_str())]).await?;
        let fell = [crate::lineage::Node::Person(id.clone())].into();
        signal::about(tx.connection, index, &fell).await?;
        tx.ended().await
    }
}
