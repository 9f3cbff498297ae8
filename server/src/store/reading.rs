//! Rows of what was read: marks of counted records, and the keys of these marks.

use std::collections::HashSet;

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, to_ms};
use crate::id::{PersonId, ServiceId, SessionId};

/// When this person last touched a key for reading here: the sign-in of this session, or the last use of an action of type `action`.
pub async fn touched_at(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    session: SessionId,
    action: &str,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let signed_in = sqlx::query("SELECT created_ms FROM session WHERE id = $1 AND person = $2")
        .bind(session.to_string())
        .bind(person.as_str().to_owned())
        .fetch_optional(&mut *connection)
        .await?
        .map(|row| row.try_get::<i64, _>("created_ms"))
        .transpose()?;
    let opened: Option<i64> = sqlx::query(
        "SELECT MAX(started_ms) AS at_ms FROM action WHERE requester = $1 AND service = $2 AND kind = $3
             AND started_ms IS NOT NULL",
    )
    .bind(person.as_str().to_owned())
    .bind(service.as_str().to_owned())
    .bind(action.to_owned())
    .fetch_one(connection)
    .await?
    .try_get("at_ms")?;
    signed_in.max(opened).map(from_ms).transpose()
}

/// Records counted at or after `since`.
pub async fn used(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    since: OffsetDateTime,
) -> Result<u64, StoreError> {
    let used: i64 = sqlx::query(
        "SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) AS used FROM reading
         WHERE service = $1 AND person = $2 AND at_ms >= $3",
    )
    .bind(service.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(to_ms(since))
    .fetch_one(connection)
    .await?
    .try_get("used")?;
    u64::try_from(used).map_err(|_| StoreError::Corrupt("records read"))
}

/// Marks of what was counted after `since`.
pub async fn marks(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    since: OffsetDateTime,
) -> Result<HashSet<Vec<u8>>, StoreError> {
    sqlx::query("SELECT mark FROM reading WHERE service = $1 AND person = $2 AND at_ms > $3")
        .bind(service.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(to_ms(since))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok(row.try_get("mark")?))
        .collect()
}

/// Counts a record, or notes something once (`records` 0); whether it was not there yet.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    mark: &[u8],
    records: u64,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    Ok(sqlx::query(
        "INSERT INTO reading (service, person, mark, records, at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (service, person, mark) DO NOTHING",
    )
    .bind(service.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(mark.to_vec())
    .bind(i64::try_from(records).unwrap_or(i64::MAX))
    .bind(to_ms(now))
    .execute(connection)
    .await?
    .rows_affected()
        > 0)
}

/// Forgets what was counted at or before `before`: it may be counted again.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    before: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM reading WHERE service = $1 AND person = $2 AND at_ms <= $3")
        .bind(service.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(to_ms(before))
        .execute(connection)
        .await?;
    Ok(())
}

/// The key of this person's marks here; `fresh` becomes it when there is none.
pub(crate) async fn secret(
    connection: &mut AnyConnection,
    service: &ServiceId,
    person: &PersonId,
    fresh: [u8; 32],
) -> Result<Vec<u8>, StoreError> {
    sqlx::query(
        "INSERT INTO reading_key (service, person, secret) VALUES ($1, $2, $3)
         ON CONFLICT (service, person) DO NOTHING",
    )
    .bind(service.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(fresh.to_vec())
    .execute(&mut *connection)
    .await?;
    Ok(
        sqlx::query("SELECT secret FROM reading_key WHERE service = $1 AND person = $2")
            .bind(service.as_str().to_owned())
            .bind(person.as_str().to_owned())
            .fetch_one(connection)
            .await?
            .try_get("secret")?,
    )
}
