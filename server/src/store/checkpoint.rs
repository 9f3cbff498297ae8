//! Checkpoints that were published with their cosignatures. Nothing here is trusted by being here: whoever counts cosignatures verifies them.

use sceau_proof::log::Hash;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, to_ms};

/// Published checkpoints that are kept: what is older than these serves nobody.
const KEPT: i64 = 256;

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Entries.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// Signature lines of witnesses, as they came.
    pub cosignatures: Vec<String>,
    /// When it was last cosigned or, without that, made.
    pub at: OffsetDateTime,
}

fn read(row: &sqlx::any::AnyRow) -> Result<Published, StoreError> {
    let root: Vec<u8> = row.try_get("root")?;
    Ok(Published {
        size: u64::try_from(row.try_get::<i64, _>("size")?)
            .map_err(|_| StoreError::Corrupt("checkpoint size"))?,
        root: Hash(
            root.try_into()
                .map_err(|_| StoreError::Corrupt("checkpoint root"))?,
        ),
        cosignatures: row
            .try_get::<String, _>("cosignatures")?
            .lines()
            .map(str::to_owned)
            .collect(),
        at: from_ms(row.try_get("made_ms")?)?,
    })
}

/// The newest ones of more than `beyond` entries, newest first, at most `most`.
pub async fn newest(
    connection: &mut AnyConnection,
    beyond: Option<u64>,
    most: u32,
) -> Result<Vec<Published>, StoreError> {
    let beyond = beyond.map_or(-1, |beyond| i64::try_from(beyond).unwrap_or(i64::MAX));
    sqlx::query(
        "SELECT size, root, cosignatures, made_ms FROM log_checkpoint WHERE size > $1 ORDER BY size DESC LIMIT $2",
    )
    .bind(beyond)
    .bind(i64::from(most))
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

/// The one of this size.
pub async fn of_size(
    connection: &mut AnyConnection,
    size: u64,
) -> Result<Option<Published>, StoreError> {
    sqlx::query("SELECT size, root, cosignatures, made_ms FROM log_checkpoint WHERE size = $1")
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// Writes one, over what was there of this size. The caller holds the log's lock.
pub(crate) async fn save(
    connection: &mut AnyConnection,
    published: &Published,
) -> Result<(), StoreError> {
    let size = i64::try_from(published.size).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO log_checkpoint (size, root, cosignatures, made_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (size) DO UPDATE SET cosignatures = excluded.cosignatures, made_ms = excluded.made_ms",
    )
    .bind(size)
    .bind(published.root.0.to_vec())
    .bind(published.cosignatures.join("\n"))
    .bind(to_ms(published.at))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM log_checkpoint WHERE size < (SELECT MIN(size) FROM (SELECT size FROM log_checkpoint ORDER BY size DESC LIMIT $1) AS kept)",
    )
    .bind(KEPT)
    .execute(connection)
    .await?;
    Ok(())
}
