//! Rows for judging enrolled keys again, and for the review of what a fallen key approved.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_ms};
use crate::id::{ActionId, KeyId, PersonId, Role};
use crate::key::KeyState;

/// A key with what its enrolment kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name.
    pub id: KeyId,
    /// Whose it is.
    pub person: PersonId,
    /// Their roles.
    pub roles: BTreeSet<Role>,
    /// How they call it.
    pub label: String,
    /// Model.
    pub aaguid: String,
    /// Whether it counts.
    pub state: KeyState,
    /// Why not, when it does not.
    pub state_reason: Option<String>,
    /// The key record of docs/evidence.md, JSON.
    pub record: Vec<u8>,
    /// Its digest.
    pub record_sha256: [u8; 32],
    /// Enrolment.
    pub created_at: OffsetDateTime,
    /// Last use.
    pub used_at: Option<OffsetDateTime>,
}

/// An approval that a key gave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Given {
    /// To which action.
    pub action_id: ActionId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is done.
    pub service: String,
    /// Who asked.
    pub requester: PersonId,
    /// The action's state, as stored.
    pub state: String,
    /// When it was approved.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

fn read(row: &AnyRow) -> Result<Kept, StoreError> {
    Ok(Kept {
        id: parse(row.try_get("id")?, "key id")?,
        person: parse(row.try_get("person")?, "key person")?,
        roles: BTreeSet::new(),
        label: row.try_get("label")?,
        aaguid: row.try_get("aaguid")?,
        state: KeyState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("key state"))?,
        state_reason: row.try_get("state_reason")?,
        record: row.try_get("record")?,
        record_sha256: row
            .try_get::<Vec<u8>, _>("record_sha256")?
            .try_into()
            .map_err(|_| StoreError::Corrupt("key record digest"))?,
        created_at: from_ms(row.try_get("created_ms")?)?,
        used_at: row
            .try_get::<Option<i64>, _>("used_ms")?
            .map(from_ms)
            .transpose()?,
    })
}

async fn with_roles(connection: &mut AnyConnection, row: &AnyRow) -> Result<Kept, StoreError> {
    let mut key = read(row)?;
    for role in sqlx::query("SELECT role FROM person_role WHERE person = $1")
        .bind(key.person.as_str().to_owned())
        .fetch_all(connection)
        .await?
    {
        key.roles
            .insert(parse(role.try_get::<&str, _>("role")?, "role")?);
    }
    Ok(key)
}

/// Keys in the order of their names, at most `limit`, after `after` (empty: from the first).
pub async fn page(
    connection: &mut AnyConnection,
    after: &str,
    live_only: bool,
    limit: i64,
) -> Result<Vec<Kept>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, person, label, aaguid, state, state_reason, record, record_sha256, created_ms, used_ms
         FROM enrolled_key WHERE id > $1 AND ($2 = 0 OR state IN ('live', 'waiting')) ORDER BY id LIMIT $3",
    )
    .bind(after.to_owned())
    .bind(i64::from(live_only))
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let mut kept = Vec::with_capacity(rows.len());
    for row in &rows {
        kept.push(with_roles(connection, row).await?);
    }
    Ok(kept)
}

/// One key; `None` when there is none.
pub async fn one(connection: &mut AnyConnection, id: KeyId) -> Result<Option<Kept>, StoreError> {
    let row = sqlx::query(
        "SELECT id, person, label, aaguid, state, state_reason, record, record_sha256, created_ms, used_ms
         FROM enrolled_key WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    match row {
        Some(row) => Ok(Some(with_roles(connection, &row).await?)),
        None => Ok(None),
    }
}

/// A person's suspended keys.
pub async fn suspended(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Vec<Kept>, StoreError> {
    sqlx::query(
        "SELECT id, person, label, aaguid, state, state_reason, record, record_sha256, created_ms, used_ms
         FROM enrolled_key WHERE person = $1 AND state = 'suspended' ORDER BY created_ms, id",
    )
    .bind(person.as_str().to_owned())
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

/// Names of all live keys.
pub(crate) async fn live(connection: &mut AnyConnection) -> Result<Vec<KeyId>, StoreError> {
    sqlx::query("SELECT id FROM enrolled_key WHERE state IN ('live', 'waiting') ORDER BY id")
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("id")?, "key id"))
        .collect()
}

/// The approvals that a key gave since `since`, newest first.
pub async fn given(
    connection: &mut AnyConnection,
    key: KeyId,
    since: OffsetDateTime,
) -> Result<Vec<Given>, StoreError> {
    sqlx::query(
        "SELECT action.id, action.kind, action.service, action.requester, action.state, approval.at_ms
         FROM approval JOIN action ON action.id = approval.action
         WHERE approval.enrolled_key = $1 AND approval.at_ms >= $2 ORDER BY approval.at_ms DESC, action.id LIMIT 10000",
    )
    .bind(key.to_string())
    .bind(to_ms(since))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Given {
            action_id: parse(row.try_get("id")?, "action id")?,
            kind: row.try_get("kind")?,
            service: row.try_get("service")?,
            requester: parse(row.try_get("requester")?, "requester")?,
            state: row.try_get("state")?,
            at: from_ms(row.try_get("at_ms")?)?,
        })
    })
    .collect()
}
