//! The public keys that signed permits and checkpoints here, and the configurations that instances started with.

use sceau_proof::permit::Jwk;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, json, to_ms};

/// Remembers a key; returns whether it is new.
pub(crate) async fn remember(
    connection: &mut AnyConnection,
    kind: &str,
    name: &str,
    body: &str,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let written = sqlx::query(
        "INSERT INTO signing_key (name, kind, body, since_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(kind)
    .bind(body)
    .bind(to_ms(now))
    .execute(connection)
    .await?
    .rows_affected();
    Ok(written > 0)
}

/// The permit key of this name; `None` when none was remembered.
pub async fn permit_key(
    connection: &mut AnyConnection,
    kid: &str,
) -> Result<Option<Jwk>, StoreError> {
    let row = sqlx::query("SELECT body FROM signing_key WHERE name = $1 AND kind = 'permit'")
        .bind(kid)
        .fetch_optional(connection)
        .await?;
    match row {
        Some(row) => json(Some(row.try_get("body")?), "permit key"),
        None => Ok(None),
    }
}

/// Remembers what an instance started with; returns whether it is another configuration than the last time.
pub(crate) async fn configured(
    connection: &mut AnyConnection,
    instance: &str,
    sha256: &[u8; 32],
) -> Result<bool, StoreError> {
    let before = sqlx::query("SELECT sha256 FROM configuration WHERE instance = $1")
        .bind(instance)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(before) = before
        && before.try_get::<Vec<u8>, _>("sha256")? == sha256
    {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO configuration (instance, sha256) VALUES ($1, $2) ON CONFLICT (instance) DO UPDATE SET sha256 = excluded.sha256",
    )
    .bind(instance)
    .bind(sha256.to_vec())
    .execute(connection)
    .await?;
    Ok(true)
}
