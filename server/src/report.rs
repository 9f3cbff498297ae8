//! What an incident report is made from: everything that one person, and the accounts begotten by them, did since a moment, with the proof of each
//! line. Reads the store; changes nothing. The page for people is `page`.
//!
//! Who is meant is found by the openings beside the entries: what was erased is not found, and the report says how many entries of its time were
//! read. Counts are of what the log holds; what an application did without asking Sceau is not in it.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use sceau_proof::evidence::{LogRecord, LoggedEntry, Opening};
use sceau_proof::log::note::SigningKey;
use sceau_proof::log::{Checkpoint, Entry, inclusion_proof, tree};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::action::State;
use crate::id::{ActionId, PersonId};
use crate::store::log::{self, Hashes, StoredEntry};
use crate::store::{self, Store, StoreError};

pub use page::{Language, page};

/// Entries read from the store at one time.
const PAGE: u64 = 512;
/// Actions of one report, at most.
const MOST_ACTIONS: i64 = 5_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whom it is about.
    pub person: PersonId,
    /// From when on.
    pub since: OffsetDateTime,
    /// Until when.
    pub until: OffsetDateTime,
    /// Who runs the server, as people know it.
    pub house: String,
}

/// One account: the person, or somebody whom they begot.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Identifier.
    pub id: String,
    /// Name.
    pub display: String,
    /// `active`, `inert`, `suspended`.
    pub state: String,
    /// Who made it.
    pub parent: Option<String>,
    /// When.
    pub created_at: String,
    /// Keys: identifier, kind, state, reason.
    pub keys: Vec<Value>,
}

/// One line of the time line.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// When.
    pub at: String,
    /// Position in the log.
    pub index: u64,
    /// The entry's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who, where it was not erased.
    pub persons: BTreeMap<String, String>,
    /// The action that it is about.
    pub action: Option<String>,
    /// The entry's data.
    pub data: Map<String, Value>,
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// 1.
    pub v: u8,
    /// Who runs the server.
    pub house: String,
    /// Whom it is about.
    pub person: String,
    /// From when on, RFC 3339.
    pub since: String,
    /// Until when.
    pub until: String,
    /// When it was made.
    pub generated_at: String,
    /// The person, and all whom they begot.
    pub accounts: Vec<Account>,
    /// What they asked for.
    pub actions: Vec<Value>,
    /// What they approved of others.
    pub approvals: Vec<Value>,
    /// Records read, by entry type, where a gate counted them.
    pub records_read: BTreeMap<String, u64>,
    /// Entries of suspensions and revocations.
    pub suspensions: Vec<u64>,
    /// Entries that were alerts.
    pub alerts: Vec<u64>,
    /// Everything, in order.
    pub timeline: Vec<Moment>,
    /// Entries of that time in all, of anybody.
    pub entries_read: u64,
    /// Each line's entry, proven to be in the log.
    pub log: LogRecord,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody of that name.
    #[error("there is no person {0}")]
    UnknownPerson(PersonId),
    /// The checkpoint was not signed, or the log lacks a hash.
    #[error("the log cannot be proven: {0}")]
    Unproven(&'static str),
}

impl From<sqlx::Error> for ReportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// Makes the report.
///
/// # Errors
/// [`ReportError`].
pub async fn incident(
    store: &Store,
    key: &SigningKey,
    question: &Question,
    now: OffsetDateTime,
) -> Result<Incident, ReportError> {
    let mut connection = store.reader().await?;
    let head = log::head(&mut connection).await?;
    let size = head.frontier.size();
    let accounts = accounts(&mut connection, &question.person).await?;
    if accounts.is_empty() {
        return Err(ReportError::UnknownPerson(question.person.clone()));
    }
    let scope: BTreeSet<String> = accounts.iter().map(|account| account.id.clone()).collect();
    let (actions, ids) = actions(&mut connection, &scope, question).await?;
    let approvals = approvals(&mut connection, &scope, question).await?;
    let mut incident = Incident {
        v: 1,
        house: question.house.clone(),
        person: question.person.to_string(),
        since: instant(question.since),
        until: instant(question.until),
        generated_at: instant(now),
        accounts,
        actions,
        approvals,
        records_read: BTreeMap::new(),
        suspensions: Vec::new(),
        alerts: Vec::new(),
        timeline: Vec::new(),
        entries_read: 0,
        log: LogRecord {
            checkpoint: String::new(),
            entries: Vec::new(),
        },
    };
    let mut at = first_since(&mut connection, size, question.since).await?;
    'pages: while at < size {
        let page = log::entries_with_actions(&mut connection, at, (at + PAGE).min(size)).await?;
        let Some((last, _)) = page.last() else { break };
        at = last.index + 1;
        for (stored, action) in page {
            let entry = Entry::parse(&stored.body).map_err(|_| StoreError::Corrupt("entry"))?;
            if entry.at() > question.until {
                break 'pages;
            }
            incident.entries_read += 1;
            let openings = openings(&stored)?;
            let is_theirs = openings
                .values()
                .any(|opening| scope.contains(&opening.value))
                || action.is_some_and(|action| ids.contains(&action));
            if is_theirs {
                incident
                    .take(&mut connection, stored, &entry, openings, size)
                    .await?;
            }
        }
    }
    incident.log.checkpoint =
        Checkpoint::new(key.verifying_key().name(), size, head.frontier.root())
            .sign(key)
            .map_err(|_| ReportError::Unproven("checkpoint"))?
            .to_string();
    Ok(incident)
}

impl Incident {
    async fn take(
        &mut self,
        connection: &mut AnyConnection,
        stored: StoredEntry,
        entry: &Entry,
        openings: BTreeMap<String, Opening>,
        size: u64,
    ) -> Result<(), ReportError> {
        let kind = entry.kind();
        if kind.ends_with(".suspended") || kind == "key.revoked" {
            self.suspensions.push(stored.index);
        }
        if kind.starts_with("alert.") {
            self.alerts.push(stored.index);
        }
        if let Some(records) = entry.data().get("records").and_then(Value::as_u64) {
            *self.records_read.entry(kind.to_owned()).or_default() += records;
        }
        self.timeline.push(Moment {
            at: instant(entry.at()),
            index: stored.index,
            kind: kind.to_owned(),
            persons: openings
                .iter()
                .map(|(field, opening)| (field.clone(), opening.value.clone()))
                .collect(),
            action: entry.subject_id("action").map(str::to_owned),
            data: entry.data().clone(),
        });
        let nodes = tree::inclusion_nodes(stored.index, size)
            .map_err(|_| ReportError::Unproven("entry"))?;
        let mut hashes = Hashes::default();
        hashes.fetch(connection, &nodes).await?;
        self.log.entries.push(LoggedEntry {
            index: stored.index,
            leaf: stored.body,
            inclusion: inclusion_proof(&hashes, stored.index, size)
                .map_err(|_| ReportError::Unproven("hash"))?,
            openings,
        });
        Ok(())
    }
}

fn openings(stored: &StoredEntry) -> Result<BTreeMap<String, Opening>, StoreError> {
    match &stored.openings {
        Some(text) => serde_json::from_str(text).map_err(|_| StoreError::Corrupt("openings")),
        None => Ok(BTreeMap::new()),
    }
}

/// The first entry that is not before `since`: times never fall in the log.
async fn first_since(
    connection: &mut AnyConnection,
    size: u64,
    since: OffsetDateTime,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let entries = log::entries(connection, middle, middle + 1).await?;
        let entry = entries
            .first()
            .and_then(|stored| Entry::parse(&stored.body).ok())
            .ok_or(StoreError::Corrupt("entry"))?;
        if entry.at() < since {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The person and everyone whom they begot, nearest first.
async fn accounts(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE lineage (id, depth) AS (
             SELECT id, 0 FROM person WHERE id = $1
             UNION ALL
             SELECT person.id, lineage.depth + 1 FROM person JOIN lineage ON person.parent = lineage.id WHERE lineage.depth < 1000
         ) SELECT person.id, person.display, person.state, person.parent, person.created_ms
           FROM lineage JOIN person ON person.id = lineage.id ORDER BY lineage.depth, person.id",
    )
    .bind(person.as_str().to_owned())
    .fetch_all(&mut *connection)
    .await?;
    let mut accounts = Vec::with_capacity(rows.len());
    for row in rows {
        let id: String = row.try_get("id")?;
        let keys = sqlx::query(
            "SELECT id, kind, label, state, state_reason, created_ms FROM enrolled_key WHERE person = $1 ORDER BY created_ms",
        )
        .bind(id.clone())
        .fetch_all(&mut *connection)
        .await?;
        let keys = keys
            .iter()
            .map(|key| {
                Ok(json!({
                    "id": key.try_get::<String, _>("id")?,
                    "kind": key.try_get::<String, _>("kind")?,
                    "label": key.try_get::<String, _>("label")?,
                    "state": key.try_get::<String, _>("state")?,
                    "reason": key.try_get::<Option<String>, _>("state_reason")?,
                    "enrolled_at": instant(store::from_ms(key.try_get("created_ms")?)?),
                }))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        accounts.push(Account {
            display: row.try_get("display")?,
            state: row.try_get("state")?,
            parent: row.try_get("parent")?,
            created_at: instant(store::from_ms(row.try_get("created_ms")?)?),
            keys,
            id,
        });
    }
    Ok(accounts)
}

/// What they asked for in that time; and its names.
async fn actions(
    connection: &mut AnyConnection,
    scope: &BTreeSet<String>,
    question: &Question,
) -> Result<(Vec<Value>, BTreeSet<ActionId>), StoreError> {
    let (mut told, mut ids) = (Vec::new(), BTreeSet::new());
    for person in scope {
        let rows = sqlx::query(
            "SELECT id FROM action WHERE requester = $1 AND created_ms >= $2 AND created_ms <= $3 ORDER BY created_ms, id LIMIT $4",
        )
        .bind(person.clone())
        .bind(store::to_ms(question.since))
        .bind(store::to_ms(question.until))
        .bind(MOST_ACTIONS)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let id: ActionId = store::parse(&row.try_get::<String, _>("id")?, "action")?;
            let Some((record, _)) = store::action::load(&mut *connection, id).await? else {
                continue;
            };
            ids.insert(id);
            let document: Value = serde_json::from_str(&record.document).unwrap_or_default();
            let ended = record.refusal.as_ref().or(record.denial.as_ref());
            told.push(json!({
                "id": id, "type": record.kind, "service": record.service, "requester": record.requester,
                "target": document.get("target"), "params": document.get("params"),
                "state": record.state.as_str(), "is_done": matches!(record.state, State::Executed | State::Consumed),
                "asked_at": instant(record.created_at),
                "approvals": record.approvals.iter().map(|it| json!({"person": it.person, "key_id": it.key_id, "at": instant(it.at)})).collect::<Vec<_>>(),
                "reason": ended.map(|it| it.reason.clone()),
                "upstream_status": record.execution.as_ref().and_then(|it| it.upstream_status),
            }));
        }
    }
    told.sort_by(|a, b| a["asked_at"].as_str().cmp(&b["asked_at"].as_str()));
    Ok((told, ids))
}

/// What they approved of others in that time.
async fn approvals(
    connection: &mut AnyConnection,
    scope: &BTreeSet<String>,
    question: &Question,
) -> Result<Vec<Value>, StoreError> {
    let mut told = Vec::new();
    for person in scope {
        let rows = sqlx::query(
            "SELECT approval.action, approval.at_ms, approval.enrolled_key, action.kind, action.requester, action.state
             FROM approval JOIN action ON action.id = approval.action
             WHERE approval.person = $1 AND action.requester <> $1 AND approval.at_ms >= $2 AND approval.at_ms <= $3
             ORDER BY approval.at_ms LIMIT $4",
        )
        .bind(person.clone())
        .bind(store::to_ms(question.since))
        .bind(store::to_ms(question.until))
        .bind(MOST_ACTIONS)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            told.push(json!({
                "person": person, "action": row.try_get::<String, _>("action")?, "type": row.try_get::<String, _>("kind")?,
                "requester": row.try_get::<String, _>("requester")?, "state": row.try_get::<String, _>("state")?,
                "key_id": row.try_get::<String, _>("enrolled_key")?, "at": instant(store::from_ms(row.try_get("at_ms")?)?),
            }));
        }
    }
    Ok(told)
}
