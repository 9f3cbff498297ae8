//! How far each stream of entries has been delivered.

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, to_ms};

/// A stream's place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The entry that is delivered next.
    pub next: u64,
    /// The instance that delivers.
    pub holder: String,
    /// Until when nobody else does.
    pub until: OffsetDateTime,
}

/// A stream's place; `None` before its first delivery.
pub async fn load(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<Option<Cursor>, StoreError> {
    let row = sqlx::query("SELECT next_idx, holder, until_ms FROM stream_cursor WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Cursor {
            next: u64::try_from(row.try_get::<i64, _>("next_idx")?)
                .map_err(|_| StoreError::Corrupt("stream cursor"))?,
            holder: row.try_get("holder")?,
            until: from_ms(row.try_get("until_ms")?)?,
        })
    })
    .transpose()
}

/// Writes a stream's place. The caller holds the log's lock.
pub(crate) async fn save(
    connection: &mut AnyConnection,
    name: &str,
    cursor: &Cursor,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO stream_cursor (name, next_idx, holder, until_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET next_idx = excluded.next_idx, holder = excluded.holder, until_ms = excluded.until_ms",
    )
    .bind(name)
    .bind(i64::try_from(cursor.next).unwrap_or(i64::MAX))
    .bind(&cursor.holder)
    .bind(to_ms(cursor.until))
    .execute(connection)
    .await?;
    Ok(())
}
