//! Rows of signals: streams of receivers, whom they do not want to hear of, what they took, and who an entry is about.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoreError, from_ms, parse, to_json, to_ms};
use crate::id::{ActionId, PersonId, ServiceId};
use crate::lineage::Node;
use crate::signal::{Delivery, Origin, SignalStream, Status};

const COLUMNS: &str = "SELECT id, service, origin, delivery, events, description, status, reason, asked_ms FROM signal_stream";

fn read(row: &sqlx::any::AnyRow) -> Result<SignalStream, StoreError> {
    Ok(SignalStream {
        id: parse(row.try_get("id")?, "signal stream")?,
        service: parse(row.try_get("service")?, "signal service")?,
        origin: Origin::from_word(row.try_get("origin")?)
            .ok_or(StoreError::Corrupt("signal origin"))?,
        delivery: Delivery::from_word(row.try_get("delivery")?)
            .ok_or(StoreError::Corrupt("signal delivery"))?,
        events: super::json(Some(row.try_get("events")?), "signal events")?.unwrap_or_default(),
        description: row.try_get("description")?,
        status: Status::from_word(row.try_get("status")?)
            .ok_or(StoreError::Corrupt("signal status"))?,
        reason: row.try_get("reason")?,
        asked_at: from_ms(row.try_get("asked_ms")?)?,
    })
}

/// Every stream.
pub async fn all(connection: &mut AnyConnection) -> Result<Vec<SignalStream>, StoreError> {
    let sql = format!("{COLUMNS} ORDER BY id");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?
        .iter()
        .map(read)
        .collect()
}

/// The stream of a receiver.
pub async fn of_service(
    connection: &mut AnyConnection,
    service: &ServiceId,
) -> Result<Option<SignalStream>, StoreError> {
    let sql = format!("{COLUMNS} WHERE service = $1");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(service.as_str().to_owned())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// Writes a stream, new or changed.
pub(crate) async fn save(
    connection: &mut AnyConnection,
    stream: &SignalStream,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO signal_stream (id, service, origin, delivery, events, description, status, reason, asked_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, delivery = excluded.delivery, events = excluded.events,
             description = excluded.description, status = excluded.status, reason = excluded.reason, asked_ms = excluded.asked_ms",
    )
    .bind(stream.id.to_string())
    .bind(stream.service.as_str().to_owned())
    .bind(stream.origin.as_str())
    .bind(stream.delivery.as_str())
    .bind(to_json(&stream.events)?)
    .bind(stream.description.clone())
    .bind(stream.status.as_str())
    .bind(stream.reason.clone())
    .bind(to_ms(stream.asked_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a stream with everything beside it but its place.
pub(crate) async fn delete(connection: &mut AnyConnection, id: Uuid) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM signal_ack WHERE stream = $1",
        "DELETE FROM signal_excluded WHERE stream = $1",
        "DELETE FROM signal_stream WHERE id = $1",
    ] {
        sqlx::query(sql)
            .bind(id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Whom a receiver does not want to hear of.
pub async fn excluded(
    connection: &mut AnyConnection,
    stream: Uuid,
) -> Result<BTreeSet<Node>, StoreError> {
    sqlx::query("SELECT node FROM signal_excluded WHERE stream = $1")
        .bind(stream.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("node")?, "signal subject"))
        .collect()
}

/// A receiver does not want to hear of somebody, or wants to again; whether that is a change.
pub(crate) async fn exclude(
    connection: &mut AnyConnection,
    stream: Uuid,
    node: &Node,
    out: bool,
) -> Result<bool, StoreError> {
    let sql = if out {
        "INSERT INTO signal_excluded (stream, node) VALUES ($1, $2) ON CONFLICT (stream, node) DO NOTHING"
    } else {
        "DELETE FROM signal_excluded WHERE stream = $1 AND node = $2"
    };
    let rows = sqlx::query(sql)
        .bind(stream.to_string())
        .bind(node.to_string())
        .execute(connection)
        .await?
        .rows_affected();
    Ok(rows > 0)
}

/// What was taken from entry `from` on, as entry and number within it.
pub async fn taken(
    connection: &mut AnyConnection,
    stream: Uuid,
    from: u64,
) -> Result<BTreeSet<(u64, u32)>, StoreError> {
    sqlx::query("SELECT idx, n FROM signal_ack WHERE stream = $1 AND idx >= $2")
        .bind(stream.to_string())
        .bind(i64::try_from(from).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let corrupt = StoreError::Corrupt("signal place");
            match (
                u64::try_from(row.try_get::<i64, _>("idx")?),
                u32::try_from(row.try_get::<i64, _>("n")?),
            ) {
                (Ok(index), Ok(n)) => Ok((index, n)),
                _ => Err(corrupt),
            }
        })
        .collect()
}

/// Notes what was taken.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    stream: Uuid,
    (index, n): (u64, u32),
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO signal_ack (stream, idx, n) VALUES ($1, $2, $3) ON CONFLICT (stream, idx, n) DO NOTHING")
        .bind(stream.to_string())
        .bind(i64::try_from(index).unwrap_or(i64::MAX))
        .bind(i64::from(n))
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what was taken before entry `before`: the stream's place says so now.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    stream: Uuid,
    before: u64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM signal_ack WHERE stream = $1 AND idx < $2")
        .bind(stream.to_string())
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

/// Entry `index` tells that this action stopped `root`, and all who are noted as stopped by it.
pub(crate) async fn stopped(
    connection: &mut AnyConnection,
    index: u64,
    root: &Node,
    action: ActionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO signal_subject (idx, node)
         SELECT CAST($1 AS BIGINT), node FROM suspension WHERE action = $2
         UNION SELECT CAST($1 AS BIGINT), CAST($3 AS TEXT)",
    )
    .bind(i64::try_from(index).unwrap_or(i64::MAX))
    .bind(action.to_string())
    .bind(root.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Entry `index` is about these.
pub(crate) async fn about(
    connection: &mut AnyConnection,
    index: u64,
    nodes: &BTreeSet<Node>,
) -> Result<(), StoreError> {
    for node in nodes {
        sqlx::query("INSERT INTO signal_subject (idx, node) VALUES ($1, $2)")
            .bind(i64::try_from(index).unwrap_or(i64::MAX))
            .bind(node.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Who entry `index` is about, in one order for ever.
pub async fn subjects(
    connection: &mut AnyConnection,
    index: u64,
) -> Result<BTreeSet<Node>, StoreError> {
    sqlx::query("SELECT node FROM signal_subject WHERE idx = $1")
        .bind(i64::try_from(index).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("node")?, "signal subject"))
        .collect()
}

/// The identities of a person at identity providers, as issuer and subject.
pub async fn identities(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<BTreeSet<(String, String)>, StoreError> {
    sqlx::query("SELECT issuer, sub FROM identity WHERE person = $1")
        .bind(person.as_str().to_owned())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("issuer")?, row.try_get("sub")?)))
        .collect()
}

/// Whose identity it is, whatever provider stood between; `None` when it is nobody's, or more than one person's.
pub async fn person_of(
    connection: &mut AnyConnection,
    issuer: &str,
    sub: &str,
) -> Result<Option<PersonId>, StoreError> {
    let rows =
        sqlx::query("SELECT DISTINCT person FROM identity WHERE issuer = $1 AND sub = $2 LIMIT 2")
            .bind(issuer.to_owned())
            .bind(sub.to_owned())
            .fetch_all(connection)
            .await?;
    match rows.as_slice() {
        [row] => Ok(Some(parse(row.try_get("person")?, "identity person")?)),
        _ => Ok(None),
    }
}

/// Never asked.
pub(crate) const NEVER: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
