//! The metadata list in force: one row, which every instance obeys. The list itself is a file beside each instance (`metadata`).

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, to_ms};

/// The list that was last believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub no: u64,
    /// SHA-256 of its signed payload, as it stands in the JWS.
    pub payload_sha256: [u8; 32],
    /// The day by which a newer one was promised, `YYYY-MM-DD`.
    pub next_update: String,
    /// When it was first believed.
    pub at: OffsetDateTime,
}

/// What was last believed; `None` before the first list.
pub async fn load(connection: &mut AnyConnection) -> Result<Option<Seen>, StoreError> {
    let Some(row) = sqlx::query(
        "SELECT no, payload_sha256, next_update, believed_ms FROM metadata_list WHERE id = 1",
    )
    .fetch_optional(connection)
    .await?
    else {
        return Ok(None);
    };
    Ok(Some(Seen {
        no: u64::try_from(row.try_get::<i64, _>("no")?)
            .map_err(|_| StoreError::Corrupt("metadata number"))?,
        payload_sha256: row
            .try_get::<Vec<u8>, _>("payload_sha256")?
            .try_into()
            .map_err(|_| StoreError::Corrupt("metadata digest"))?,
        next_update: row.try_get("next_update")?,
        at: from_ms(row.try_get("believed_ms")?)?,
    }))
}

/// From now on this list is in force. The caller holds the log's lock and has compared the numbers.
pub(crate) async fn save(connection: &mut AnyConnection, seen: &Seen) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO metadata_list (id, no, payload_sha256, next_update, believed_ms) VALUES (1, $1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET no = excluded.no, payload_sha256 = excluded.payload_sha256,
             next_update = excluded.next_update, believed_ms = excluded.believed_ms",
    )
    .bind(i64::try_from(seen.no).map_err(|_| StoreError::Corrupt("metadata number"))?)
    .bind(seen.payload_sha256.to_vec())
    .bind(seen.next_update.clone())
    .bind(to_ms(seen.at))
    .execute(connection)
    .await?;
    Ok(())
}
