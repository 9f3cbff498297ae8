//! Whose approvals count, now. An approval was counted when it was given; whether it still counts is asked again at each further approval,
//! when the action's one use is taken, and whenever somebody asks who is awaited: persons are suspended, keys fall and roles are lost in
//! between. An action is never done on an approval that would not be accepted at that moment.

use serde::Serialize;
use sqlx::AnyConnection;

use super::known::refreshed;
use super::open::about;
use super::settle::save;
use super::{Desk, DeskError, Shared};
use crate::action::{ActionRecord, Requirement, Settlement, Standing, State};
use crate::id::{ActionId, PersonId, Role};
use crate::key::KeyState;
use crate::person::{Person, PersonState};
use crate::policy::{self, Awaited, Counted, Decision, Facts};
use crate::store::{StoreError, action, key, person, session};
use crate::workstation::Workstation;
use crate::writer::{Fault, Tx};

/// Most persons that are named to a requester for one group.
const NAMED: usize = 20;

/// Persons that are looked at for it.
const LOOKED_AT: usize = 200;

/// Why this person's approval does not count, kebab-case, if so. What the signature shows is checked elsewhere.
pub(super) async fn objection(
    connection: &mut AnyConnection,
    record: &ActionRecord,
    requirement: &Requirement,
    person: &Person,
) -> Result<Option<&'static str>, StoreError> {
    let ancestors = person::ancestors(connection, &person.id).await?;
    let counts = policy::counts(requirement, &record.requester, person, &ancestors);
    Ok(counts.err().map(|reason| reason.as_str()))
}

/// Why an approval from this workstation does not count beside those that are there, kebab-case, if so.
pub(super) async fn too_near(
    connection: &mut AnyConnection,
    record: &ActionRecord,
    requirement: &Requirement,
    person: &PersonId,
    at: Option<&Workstation>,
) -> Result<Option<&'static str>, StoreError> {
    if !requirement.other_workstation {
        return Ok(None);
    }
    let Some(at) = at else {
        return Ok(Some("workstation-unknown"));
    };
    let mut others: Vec<Workstation> = Vec::new();
    if *person != record.requester
        && let Some(asking) = record.session
    {
        others.extend(session::workstation(connection, asking).await?);
    }
    let approvals = action::workstations(connection, record.id).await?;
    others.extend(approvals.into_iter().filter_map(|(_, at)| at));
    Ok(others
        .iter()
        .any(|other| at.may_be(other))
        .then_some("same-workstation"))
}

/// The persons whose approvals count as things stand, in order.
pub(super) async fn counted(
    connection: &mut AnyConnection,
    record: &ActionRecord,
    requirement: &Requirement,
) -> Result<Vec<Person>, StoreError> {
    let mut persons = Vec::new();
    for approval in &record.approvals {
        let live = key::load(connection, approval.key_id)
            .await?
            .is_some_and(|key| key.state == KeyState::Live && key.person == approval.person);
        let Some(person) = person::load(connection, &approval.person).await? else {
            continue;
        };
        let objection = objection(connection, record, requirement, &person).await?;
        if live && objection.is_none() {
            persons.push(person);
        }
    }
    Ok(persons)
}

/// These persons, as the pure function takes them.
pub(super) fn as_counted(persons: &[Person]) -> Vec<Counted<'_>> {
    persons
        .iter()
        .map(|person| Counted {
            person: &person.id,
            roles: &person.roles,
        })
        .collect()
}

/// Ends an action that may not be done any more, with its entry. The requester is told why.
pub(super) async fn withdraw(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: ActionRecord,
    standing: Standing,
    reason: &str,
) -> Result<ActionRecord, Fault> {
    let refused = standing.refuse(tx.now)?;
    withdrawn(tx, shared, record, refused, reason).await
}

/// Ends an open action by its name, if it can be ended still: whoever asked for it may not ask any more. Its permit is worth nothing from here on.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    shared: &Shared,
    id: ActionId,
    reason: &str,
) -> Result<bool, Fault> {
    let Some((record, standing)) = action::load(tx.connection, id).await? else {
        return Ok(false);
    };
    // Its time was over: the sweep writes that down.
    let Ok(refused) = standing.refuse(tx.now) else {
        return Ok(false);
    };
    withdrawn(tx, shared, record, refused, reason).await?;
    Ok(true)
}

async fn withdrawn(
    tx: &mut Tx<'_>,
    shared: &Shared,
    mut record: ActionRecord,
    standing: Standing,
    reason: &str,
) -> Result<ActionRecord, Fault> {
    record.refusal = Some(Settlement {
        reason: reason.to_owned(),
        by: None,
        at: tx.now,
        text: None,
    });
    let entry = about(tx, "action.refused", &record).datum("reason", reason);
    tx.append(entry, Some(record.id), &[]).await?;
    save(tx, shared, record, standing).await
}

/// What the policy says now of an action that it let begin, if that is no: times, facts and approvals have moved on, and a `forbid` may apply.
pub(super) async fn denied_now(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    approvals: usize,
) -> Result<Option<String>, Fault> {
    let Some(decided) = &record.decided else {
        return Ok(None);
    };
    let requester = person::load(tx.connection, &record.requester)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    let facts = Facts {
        approvals: u32::try_from(approvals).unwrap_or(u32::MAX),
        ..refreshed(tx, shared, &decided.facts, &requester).await?
    };
    Ok(match shared.policy.decide(&facts).decision {
        Decision::Deny(reason) => Some(reason.as_str().to_owned()),
        Decision::Allow(..) | Decision::Require(..) => None,
    })
}

/// Why an approved action may not be done any more, if so.
pub(super) async fn lapsed(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
) -> Result<Option<&'static str>, Fault> {
    let Some(requirement) = &record.requirement else {
        return Ok(None);
    };
    let requester = person::load(tx.connection, &record.requester)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    if requester.state != PersonState::Active {
        return Ok(Some("requester-not-active"));
    }
    let persons = counted(tx.connection, record, requirement).await?;
    let met = policy::met(requirement, &record.requester, &as_counted(&persons));
    Ok((!met).then_some("approval-lapsed"))
}

/// A group that is awaited, and who could approve for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AwaitedGroup {
    /// The group, and how many are missing.
    #[serde(flatten)]
    pub awaited: Awaited,
    /// Who could: at most twenty are named.
    pub persons: Vec<AwaitedPerson>,
}

/// Somebody who could approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AwaitedPerson {
    /// Who.
    pub id: PersonId,
    /// How people call them.
    pub display: String,
}

impl Desk {
    /// Whom a pending action awaits still; empty when nobody.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn awaited(&self, record: &ActionRecord) -> Result<Vec<AwaitedGroup>, DeskError> {
        let Some(requirement) = record
            .requirement
            .as_ref()
            .filter(|_| record.state == State::Pending && record.kind != "key.register")
        else {
            return Ok(Vec::new());
        };
        let mut connection = self.reader().await?;
        let persons = self.stored(counted(&mut connection, record, requirement).await)?;
        let awaited = policy::awaited(requirement, &record.requester, &as_counted(&persons));
        let mut able: Vec<Person> = Vec::new();
        let holders = self.stored(person::role_holders(&mut connection, record.id).await)?;
        let others = holders.into_iter().filter(|id| *id != record.requester);
        for id in others.take(LOOKED_AT) {
            if record
                .approvals
                .iter()
                .any(|approval| approval.person == id)
            {
                continue;
            }
            let Some(person) = self.stored(person::load(&mut connection, &id).await)? else {
                continue;
            };
            let objection = objection(&mut connection, record, requirement, &person).await;
            if self.stored(objection)?.is_none() {
                able.push(person);
            }
        }
        let requester = self.stored(person::load(&mut connection, &record.requester).await)?;
        let named = |person: &Person| AwaitedPerson {
            id: person.id.clone(),
            display: person.display.clone(),
        };
        let of = |roles: &std::collections::BTreeSet<Role>| -> Vec<AwaitedPerson> {
            let holders = able
                .iter()
                .filter(|person| !person.roles.is_disjoint(roles));
            holders.take(NAMED).map(named).collect()
        };
        Ok(awaited
            .into_iter()
            .map(|awaited| AwaitedGroup {
                persons: if awaited.roles.is_empty() {
                    requester.iter().map(named).collect()
                } else {
                    of(&awaited.roles)
                },
                awaited,
            })
            .collect())
    }
}
