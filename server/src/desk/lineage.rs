//! Lineage: what an execution begot is written with it, and `person.suspend` with `cascade` stops a person and all who descend from them
//! in one transaction: persons, accounts, keys, sessions, open actions with their permits.
//!
//! What is sealed is what was shown: the action's parameters hold the digest of the set ([`crate::lineage::set_sha256`]), and an action
//! whose digest is not the lineage's at that moment is not opened. Whoever was begotten *between* opening and the touch is stopped too,
//! and the entry says how many those were: stopping is the safe side, and nobody escapes by begetting faster than keys are touched.

use sceau_proof::action::Action;
use serde_json::{Map, Value, json};

use super::eligible::end;
use super::open::about;
use super::{Desk, DeskError, Shared, own, revocation};
use crate::action::ActionRecord;
use crate::id::{ActionId, PersonId, ServiceId};
use crate::lineage::{
    Begotten, Edge, Lineage, MAX_BEGOTTEN, Node, Relation, Totals, draw, set_sha256,
};
use crate::policy::OWN_SERVICE;
use crate::store::{self, action, lineage, person, signal};
use crate::writer::{Command, Fault, Tx};

impl Desk {
    /// A person with everything that descends from them, at most `limit` lines of it; `None` when there is no such person.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn lineage(&self, id: &PersonId, limit: usize) -> Result<Option<Lineage>, DeskError> {
        let mut connection = self.reader().await?;
        if self
            .stored(person::load(&mut connection, id).await)?
            .is_none()
        {
            return Ok(None);
        }
        let root = Node::Person(id.clone());
        let (edges, known) = self.stored(lineage::walk(&mut connection, &root).await)?;
        let now = self.now();
        let totals = self.stored(lineage::totals(&mut connection, &root, true, now).await)?;
        let begotten = edges
            .iter()
            .filter(|edge| edge.relation != Relation::Granted)
            .map(|edge| &edge.child);
        let sha256 = set_sha256(begotten.chain([&root]));
        let (nodes, left_out) = draw(&root, &edges, &known, limit);
        Ok(Some(Lineage {
            sha256: hex::encode(sha256),
            totals,
            nodes,
            left_out,
        }))
    }

    /// What a `person.suspend` would stop as things stand; `None` for any other action, and for a person who is not there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn would_fall(&self, action: &Action) -> Result<Option<Fall>, DeskError> {
        if action.kind() != "person.suspend" || action.service() != OWN_SERVICE {
            return Ok(None);
        }
        let Ok(scope) = Scope::read(action.params(), "cascade") else {
            return Ok(None);
        };
        let (totals, grown) = if scope.whole {
            let Some(lineage) = self.lineage(&scope.person, 0).await? else {
                return Ok(None);
            };
            (lineage.totals, scope.set != Some(lineage.sha256))
        } else {
            let mut connection = self.reader().await?;
            let root = Node::Person(scope.person);
            let now = self.now();
            let totals = lineage::totals(&mut connection, &root, false, now).await;
            (self.stored(totals)?, false)
        };
        Ok(Some(Fall {
            totals,
            whole: scope.whole,
            leaves: scope.leaves,
            grown,
        }))
    }

    /// A service says what the use of an action begot there, once; the gate says it with the outcome.
    ///
    /// # Errors
    /// `NotFound`, `StillPending` when nothing was used yet, `AlreadyUsed` when it was said before, `Malformed`, `Unavailable`.
    pub async fn report_begotten(
        &self,
        action: ActionId,
        service: ServiceId,
        begotten: Vec<Begotten>,
    ) -> Result<(), DeskError> {
        self.run(Report {
            action,
            service,
            begotten,
        })
        .await
    }

    /// Whether any account of this service is suspended: then the gate asks who the application takes its callers for.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspends_accounts(&self, service: &ServiceId) -> Result<bool, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(lineage::any_suspended(&mut connection, service).await)
    }

    /// Whether this account of a service is suspended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_account_suspended(
        &self,
        service: &ServiceId,
        id: &str,
    ) -> Result<bool, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(lineage::is_suspended(&mut connection, service, id).await)
    }

    /// Told whenever sessions or persons were suspended, here or by another instance within a second.
    #[must_use]
    pub fn endings(&self) -> tokio::sync::watch::Receiver<()> {
        self.inner.hub.endings()
    }

    /// Looks whether another instance ended something.
    pub(super) async fn look_for_endings(&self) -> Result<(), DeskError> {
        let mut connection = self.reader().await?;
        let times = self.stored(lineage::times_ended(&mut connection).await)?;
        self.inner.hub.ended_so_often(times);
        Ok(())
    }
}

/// What one seal would stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// How much of each.
    pub totals: Totals,
    /// The whole lineage, or one person alone.
    pub whole: bool,
    /// The person's keys are revoked besides.
    pub leaves: bool,
    /// Since it was asked for, somebody was begotten, who falls too.
    pub grown: bool,
}

/// Writes what an execution begot, with the entry that tells of it.
pub(super) async fn begot(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    begotten: &[Begotten],
) -> Result<(), Fault> {
    let parent = Node::Person(record.requester.clone());
    for one in begotten.iter().take(MAX_BEGOTTEN) {
        let named = one
            .id
            .as_deref()
            .and_then(|id| Node::account(record.service.clone(), id));
        // Nobody said who it is: it is known by its action, so that a preview shows that there is someone more.
        let unnamed = named.is_none();
        let id = match (&named, &one.id) {
            (Some(_), Some(id)) => id.clone(),
            _ => format!("action:{}", record.id),
        };
        let child = named.unwrap_or_else(|| Node::Account(record.service.clone(), id.clone()));
        lineage::insert_account(tx.connection, &record.service, &id, &one.display, tx.now).await?;
        lineage::link(
            tx.connection,
            &Edge {
                parent: parent.clone(),
                child: child.clone(),
                relation: one.relation,
                action: Some(record.id),
                at: tx.now,
            },
        )
        .await?;
        let kind = match one.relation {
            Relation::Granted => "lineage.granted",
            _ => "lineage.created",
        };
        let entry = about(tx, kind, record).datum("named", !unnamed);
        let child = child.to_string();
        let personal = [
            ("person", record.requester.as_str()),
            ("account", child.as_str()),
        ];
        tx.append(entry, Some(record.id), &personal).await?;
    }
    if begotten.len() > MAX_BEGOTTEN {
        let entry = about(tx, "alert.lineage", record)
            .datum("reason", "too-many-begotten")
            .datum("begotten", begotten.len());
        tx.append(entry, Some(record.id), &[]).await?;
    }
    Ok(())
}

struct Report {
    action: ActionId,
    service: ServiceId,
    begotten: Vec<Begotten>,
}

impl Command for Report {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let (record, standing) = action::load(tx.connection, self.action)
            .await?
            .filter(|(record, _)| record.service == self.service)
            .ok_or(DeskError::NotFound)?;
        if standing.started_at().is_none() {
            return Err(DeskError::StillPending.into());
        }
        if self.begotten.len() > MAX_BEGOTTEN {
            return Err(DeskError::Malformed("created").into());
        }
        if lineage::is_said(tx.connection, record.id).await? {
            return Err(DeskError::AlreadyUsed.into());
        }
        begot(tx, &record, &self.begotten).await
    }
}

/// Writes that one person had another enrolled: who is new was created, who existed got a key.
pub(super) async fn enrolled(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    invited: &PersonId,
    is_new: bool,
) -> Result<(), Fault> {
    if record.requester == *invited {
        return Ok(());
    }
    let edge = Edge {
        parent: Node::Person(record.requester.clone()),
        child: Node::Person(invited.clone()),
        relation: if is_new {
            Relation::Created
        } else {
            Relation::Enrolled
        },
        action: Some(record.id),
        at: tx.now,
    };
    Ok(lineage::link(tx.connection, &edge).await?)
}

/// Writes which accounts at services belong to a person, as their sealed enrolment says: an account's lineage is then the person's too.
pub(super) async fn belongs(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    person: &PersonId,
    accounts: &[Node],
) -> Result<(), Fault> {
    let person = Node::Person(person.clone());
    for account in accounts {
        let Node::Account(service, id) = account else {
            continue;
        };
        lineage::insert_account(tx.connection, service, id, id, tx.now).await?;
        for (parent, child) in [(&person, account), (account, &person)] {
            let edge = Edge {
                parent: parent.clone(),
                child: child.clone(),
                relation: Relation::Is,
                action: Some(record.id),
                at: tx.now,
            };
            lineage::link(tx.connection, &edge).await?;
        }
    }
    Ok(())
}

/// What `person.suspend` and `person.restore` say that they are about.
struct Scope {
    person: PersonId,
    whole: bool,
    set: Option<String>,
    /// The person does not come back: their keys are revoked besides.
    leaves: bool,
}

impl Scope {
    fn read(params: &Map<String, Value>, whole: &'static str) -> Result<Self, DeskError> {
        let person = own::text(params, "person")?
            .parse()
            .map_err(|_| DeskError::Malformed("params.person"))?;
        let flag = match params.get(whole) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => return Err(DeskError::Malformed("params.cascade")),
        };
        let leaves = match params.get("leaves") {
            None => false,
            Some(Value::Bool(leaves)) => *leaves,
            Some(_) => return Err(DeskError::Malformed("params.leaves")),
        };
        let set = match params.get("set").map(|set| set.get("sha256")) {
            None => None,
            Some(Some(Value::String(digest))) => Some(digest.clone()),
            Some(_) => return Err(DeskError::Malformed("params.set.sha256")),
        };
        Ok(Self {
            person,
            whole: flag,
            set,
            leaves,
        })
    }
}

/// Checks a `person.suspend` or `person.restore` before it is opened: who cascades seals the set as it is now, and is not in it.
pub(super) async fn check(
    tx: &mut Tx<'_>,
    kind: &str,
    params: &Map<String, Value>,
    requester: &PersonId,
) -> Result<PersonId, Fault> {
    if kind == "person.restore" {
        return Ok(Scope::read(params, "subtree")?.person);
    }
    let scope = Scope::read(params, "cascade")?;
    if scope.whole {
        let descent = lineage::descent(tx.connection, &Node::Person(scope.person.clone())).await?;
        if descent.contains(&Node::Person(requester.clone())) {
            return Err(DeskError::Malformed(
                "params.person begot the requester: another must ask",
            )
            .into());
        }
        if scope.set != Some(hex::encode(set_sha256(&descent))) {
            return Err(DeskError::LineageChanged.into());
        }
    }
    Ok(scope.person)
}

/// Does a sealed `person.suspend`.
pub(super) async fn suspend(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let scope = Scope::read(params, "cascade")?;
    let root = Node::Person(scope.person.clone());
    let descent = if scope.whole {
        lineage::descent(tx.connection, &root).await?
    } else {
        [root.clone()].into()
    };
    lineage::stop(tx.connection, &root, scope.whole, record.id, tx.now).await?;
    let mut totals = lineage::suspend(tx.connection, record.id).await?;
    for open in lineage::open_actions(tx.connection, record.id).await? {
        totals.actions += u64::from(end(tx, shared, open, "person-suspended").await?);
    }
    if scope.leaves {
        revocation::revoke_all(tx, &scope.person, record.id).await?;
    }
    tx.ended().await?;
    let sha256 = set_sha256(&descent);
    let grown = scope
        .set
        .as_ref()
        .is_some_and(|sealed| *sealed != hex::encode(sha256));
    let entry = about(tx, "person.suspended", record)
        .digest("lineage", sha256)
        .datum("cascade", scope.whole)
        .datum("persons", totals.persons)
        .datum("accounts", totals.accounts)
        .datum("sessions", totals.sessions)
        .datum("actions", totals.actions)
        .datum("keys", totals.keys)
        .datum("leaves", scope.leaves)
        .datum("grown", grown);
    let index = tx
        .append(entry, None, &[("person", scope.person.as_str())])
        .await?;
    signal::stopped(tx.connection, index, &root, record.id).await?;
    Ok(json!({
        "person": scope.person, "cascade": scope.whole, "leaves": scope.leaves, "grown": grown, "sha256": hex::encode(sha256),
        "persons": totals.persons, "accounts": totals.accounts, "sessions": totals.sessions,
        "actions": totals.actions, "keys": totals.keys,
    }))
}

/// Does a sealed `person.restore`.
pub(super) async fn restore(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let scope = Scope::read(params, "subtree")?;
    let root = Node::Person(scope.person.clone());
    let stopped_by = lineage::stopped_by(tx.connection, &root).await?;
    // One whom no recorded action stopped is brought back alone.
    let by = stopped_by.unwrap_or(record.id);
    let subtree = scope.whole && stopped_by.is_some();
    let (totals, nodes) = lineage::restore(tx.connection, &root, subtree, by).await?;
    let state = store::person::load(tx.connection, &scope.person)
        .await?
        .ok_or(DeskError::UnknownPerson)?
        .state;
    let entry = tx
        .entry("person.restored")
        .subject("action", record.id)
        .datum("state", state.as_str())
        .datum("subtree", subtree)
        .datum("persons", totals.persons)
        .datum("accounts", totals.accounts)
        .datum("keys", totals.keys);
    let index = tx
        .append(entry, None, &[("person", scope.person.as_str())])
        .await?;
    signal::about(tx.connection, index, &nodes).await?;
    Ok(json!({
        "person": scope.person, "state": state.as_str(), "subtree": subtree,
        "persons": totals.persons, "accounts": totals.accounts, "keys": totals.keys,
    }))
}
