//! Rows of the log: entries with their leaf hashes, every eighth level of complete subtrees (the hash tiles' own levels), and
//! one head row that every writing transaction locks first.

use std::collections::HashMap;

use sceau_proof::log::tile::{self, Row, Tile};
use sceau_proof::log::{Frontier, Hash, HashReader, Node};
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_ms};
use crate::id::ActionId;

/// The right edge of the log, and the latest time that any instance has written.
#[derive(Debug, Clone)]
pub struct Head {
    /// Right edge.
    pub frontier: Frontier,
    /// Latest time seen by any writer.
    pub last: OffsetDateTime,
}

fn read_head(row: &sqlx::any::AnyRow) -> Result<Head, StoreError> {
    let edge: Vec<u8> = row.try_get("edge")?;
    let frontier = Frontier::from_bytes(&edge).map_err(|_| StoreError::Corrupt("log edge"))?;
    if row.try_get::<i64, _>("size")? != i64::try_from(frontier.size()).unwrap_or(-1) {
        return Err(StoreError::Corrupt("log size"));
    }
    Ok(Head {
        frontier,
        last: from_ms(row.try_get("last_ms")?)?,
    })
}

/// The head as committed.
pub async fn head(connection: &mut AnyConnection) -> Result<Head, StoreError> {
    read_head(
        &sqlx::query("SELECT size, edge, last_ms FROM log_head WHERE id = 1")
            .fetch_one(connection)
            .await?,
    )
}

/// The first statement of every writing transaction: takes the one lock that orders all writers, on SQLite and
/// PostgreSQL alike, and reads the head under it. Two instances never extend the same head.
pub(crate) async fn lock(connection: &mut AnyConnection) -> Result<Head, StoreError> {
    read_head(
        &sqlx::query(
            "UPDATE log_head SET batch = batch + 1 WHERE id = 1 RETURNING size, edge, last_ms",
        )
        .fetch_one(connection)
        .await?,
    )
}

/// The last statement of every writing transaction.
pub(crate) async fn save_head(
    connection: &mut AnyConnection,
    head: &Head,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE log_head SET size = $1, edge = $2, last_ms = $3 WHERE id = 1")
        .bind(as_i64(head.frontier.size()))
        .bind(head.frontier.to_bytes())
        .bind(to_ms(head.last))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes one entry and the complete subtrees, of the levels that are kept, which it finishes.
pub(crate) async fn append(
    connection: &mut AnyConnection,
    frontier: &mut Frontier,
    body: Vec<u8>,
    action: Option<ActionId>,
    openings: Option<String>,
) -> Result<u64, StoreError> {
    let leaf = sceau_proof::log::leaf_hash(&body);
    let mut finished = Vec::new();
    let index = frontier
        .append_with(leaf, |node, hash| {
            if node.level > 0 && node.level % 8 == 0 {
                finished.push((node, hash));
            }
        })
        .map_err(|_| StoreError::Corrupt("log full"))?;
    sqlx::query(
        "INSERT INTO log_entry (idx, action, body, leaf, openings) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(as_i64(index))
    .bind(action.map(|id| id.to_string()))
    .bind(body)
    .bind(leaf.0.to_vec())
    .bind(openings)
    .execute(&mut *connection)
    .await?;
    for (node, hash) in finished {
        sqlx::query("INSERT INTO log_node (level, idx, hash) VALUES ($1, $2, $3)")
            .bind(i64::from(node.level))
            .bind(as_i64(node.index))
            .bind(hash.0.to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(index)
}

/// Names of the actions that entries `from ..` are about, and the index after the last one read (at most 500).
pub async fn actions_since(
    connection: &mut AnyConnection,
    from: u64,
) -> Result<(Vec<ActionId>, u64), StoreError> {
    let rows =
        sqlx::query("SELECT idx, action FROM log_entry WHERE idx >= $1 ORDER BY idx LIMIT 500")
            .bind(as_i64(from))
            .fetch_all(connection)
            .await?;
    let mut actions = Vec::new();
    let mut next = from;
    for row in &rows {
        next = u64::try_from(row.try_get::<i64, _>("idx")?)
            .unwrap_or(from)
            .saturating_add(1);
        if let Some(id) = row.try_get::<Option<String>, _>("action")? {
            let id = parse(&id, "entry action")?;
            if !actions.contains(&id) {
                actions.push(id);
            }
        }
    }
    Ok((actions, next))
}

/// An entry as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Position.
    pub index: u64,
    /// Canonical bytes, exactly those that are hashed.
    pub body: Vec<u8>,
    /// Salts and values of its commitments, JSON, unless erased.
    pub openings: Option<String>,
}

fn read_entry(row: &sqlx::any::AnyRow) -> Result<StoredEntry, StoreError> {
    Ok(StoredEntry {
        index: u64::try_from(row.try_get::<i64, _>("idx")?)
            .map_err(|_| StoreError::Corrupt("entry index"))?,
        body: row.try_get("body")?,
        openings: row.try_get("openings")?,
    })
}

/// All entries about one action, in order.
pub async fn entries_of(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Vec<StoredEntry>, StoreError> {
    sqlx::query("SELECT idx, body, openings FROM log_entry WHERE action = $1 ORDER BY idx")
        .bind(action.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(read_entry)
        .collect()
}

/// Entries `from .. to`, each with the action whose row it stands beside.
pub async fn entries_with_actions(
    connection: &mut AnyConnection,
    from: u64,
    to: u64,
) -> Result<Vec<(StoredEntry, Option<ActionId>)>, StoreError> {
    sqlx::query(
        "SELECT idx, action, body, openings FROM log_entry WHERE idx >= $1 AND idx < $2 ORDER BY idx",
    )
    .bind(as_i64(from))
    .bind(as_i64(to))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let action = row
            .try_get::<Option<String>, _>("action")?
            .map(|id| parse(&id, "entry action"))
            .transpose()?;
        Ok((read_entry(row)?, action))
    })
    .collect()
}

/// Entries `from .. to`.
pub async fn entries(
    connection: &mut AnyConnection,
    from: u64,
    to: u64,
) -> Result<Vec<StoredEntry>, StoreError> {
    sqlx::query(
        "SELECT idx, body, openings FROM log_entry WHERE idx >= $1 AND idx < $2 ORDER BY idx",
    )
    .bind(as_i64(from))
    .bind(as_i64(to))
    .fetch_all(connection)
    .await?
    .iter()
    .map(read_entry)
    .collect()
}

/// Deletes every opening whose value is one of these; returns how many. The entries, and every proof, stay as they are.
pub(crate) async fn close(
    connection: &mut AnyConnection,
    values: &[&str],
) -> Result<u64, StoreError> {
    let mut closed = 0;
    for value in values {
        let quoted = serde_json::Value::from(*value).to_string();
        // As text first, to find few; then as what it is.
        let pattern = format!("%{}%", quoted.replace('\\', "_"));
        let rows = sqlx::query("SELECT idx, openings FROM log_entry WHERE openings LIKE $1")
            .bind(pattern)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let mut openings: serde_json::Map<String, serde_json::Value> =
                super::json(row.try_get("openings")?, "openings")?.unwrap_or_default();
            let before = openings.len();
            openings.retain(|_, opening| {
                opening.get("value").and_then(serde_json::Value::as_str) != Some(*value)
            });
            if openings.len() == before {
                continue;
            }
            closed += u64::try_from(before - openings.len()).unwrap_or_default();
            let left = (!openings.is_empty())
                .then(|| super::to_json(&openings))
                .transpose()?;
            sqlx::query("UPDATE log_entry SET openings = $2 WHERE idx = $1")
                .bind(row.try_get::<i64, _>("idx")?)
                .bind(left)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(closed)
}

/// One file of the log (docs/log.md) at `size` entries; `None` when the log does not reach so far.
pub async fn tile(
    connection: &mut AnyConnection,
    tile: &Tile,
    size: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let first = tile.index.saturating_mul(tile::WIDTH.into());
    let end = first.saturating_add(u64::from(tile.width));
    match tile.row {
        Row::Entries if end > size => Ok(None),
        Row::Entries => {
            let entries = entries(connection, first, end).await?;
            if entries.len() != usize::from(tile.width) {
                return Err(StoreError::Corrupt("log lacks an entry"));
            }
            tile::bundle(entries.iter().map(|entry| entry.body.as_slice()))
                .map(Some)
                .map_err(|_| StoreError::Corrupt("log entry"))
        }
        Row::Hashes(level) if end > tile::hashes_at(level, size) => Ok(None),
        Row::Hashes(level) => {
            let mut hashes = Hashes::default();
            let level = level.saturating_mul(8);
            hashes.fetch_range(connection, level, first, end).await?;
            tile::tile_bytes(&hashes, tile)
                .map(Some)
                .map_err(|_| StoreError::Corrupt("log lacks a hash"))
        }
    }
}

/// Hashes fetched for one proof or tile.
#[derive(Debug, Default)]
pub struct Hashes(HashMap<(u8, u64), Hash>);

impl HashReader for Hashes {
    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

impl Hashes {
    /// Fetches what these nodes are computed from: the nearest kept level (a multiple of eight) below each.
    pub async fn fetch(
        &mut self,
        connection: &mut AnyConnection,
        nodes: &[Node],
    ) -> Result<(), StoreError> {
        for node in nodes {
            let kept = node.level - node.level % 8;
            let width = 1_u64 << (node.level - kept);
            self.fetch_range(
                &mut *connection,
                kept,
                node.index * width,
                (node.index + 1) * width,
            )
            .await?;
        }
        Ok(())
    }

    /// Fetches hashes `from .. to` of one kept level.
    pub async fn fetch_range(
        &mut self,
        connection: &mut AnyConnection,
        level: u8,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError> {
        let rows = if level == 0 {
            sqlx::query("SELECT idx, leaf AS hash FROM log_entry WHERE idx >= $1 AND idx < $2")
                .bind(as_i64(from))
                .bind(as_i64(to))
                .fetch_all(connection)
                .await?
        } else {
            sqlx::query(
                "SELECT idx, hash FROM log_node WHERE level = $1 AND idx >= $2 AND idx < $3",
            )
            .bind(i64::from(level))
            .bind(as_i64(from))
            .bind(as_i64(to))
            .fetch_all(connection)
            .await?
        };
        for row in rows {
            let index = u64::try_from(row.try_get::<i64, _>("idx")?)
                .map_err(|_| StoreError::Corrupt("node index"))?;
            let hash: Vec<u8> = row.try_get("hash")?;
            self.0.insert(
                (level, index),
                Hash(
                    hash.try_into()
                        .map_err(|_| StoreError::Corrupt("node hash"))?,
                ),
            );
        }
        Ok(())
    }
}

fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
