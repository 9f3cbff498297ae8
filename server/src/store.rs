//! Where state is kept: SQLite (embedded, WAL, `synchronous=FULL`) or PostgreSQL (several instances), the same SQL text on
//! both, through sqlx' `Any` driver. Here are connections and migrations; rows of each kind are read and written in the
//! modules below. Only `writer` gets a connection that may write.
//!
//! Trusts the database to be ours alone; a row that does not read back is [`StoreError::Corrupt`], never guessed.

pub mod action;
pub mod campaign;
pub mod checkpoint;
pub mod console;
pub mod cursor;
pub mod fact;
pub mod identity;
pub mod judgement;
pub mod key;
pub mod lineage;
pub mod log;
pub mod login;
pub mod metadata;
pub mod oauth;
pub mod person;
pub mod policy;
pub mod presence;
pub mod reading;
pub mod session;
pub mod signal;
pub mod signing_key;

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Executor as _, Row as _};
use time::OffsetDateTime;

/// The store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is gone or refused; may retry.
    #[error("store unavailable: {0}")]
    Unavailable(#[from] sqlx::Error),
    /// A row is not what this server writes.
    #[error("store corrupt: {0}")]
    Corrupt(&'static str),
    /// The store was made by a newer server, or is not ours.
    #[error(
        "store has schema change {found}, which this server does not know (its newest is {known})"
    )]
    Schema {
        /// A change that was applied to it.
        found: i64,
        /// Our newest.
        known: i64,
    },
    /// The URL names no store that we have.
    #[error("store URL must begin with sqlite: or postgres:")]
    Url,
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// One file, one machine.
    Sqlite,
    /// A server, several instances.
    Postgres,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Yes: what was answered survives a power cut.
    Full,
    /// No. For measuring what durability costs, never for use.
    DangerOff,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// Whether a commit waits for the disk.
    pub durability: Durability,
    /// Connections for reading.
    pub readers: u32,
}

/// Schema changes by number, in the order in which they are applied. Each area numbers its own (0010 policy, 0020 lineage, 0030 log, …), so
/// what counts is which were applied, not how many. `BYTEA` becomes `BLOB` on SQLite; nothing else differs.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_start.sql")),
    (2, include_str!("../migrations/0002_metadata.sql")),
    (3, include_str!("../migrations/0003_piv.sql")),
    (10, include_str!("../migrations/0010_policy.sql")),
    (20, include_str!("../migrations/0020_lineage.sql")),
    (21, include_str!("../migrations/0021_fact.sql")),
    (24, include_str!("../migrations/0024_campaign.sql")),
    (80, include_str!("../migrations/0080_touch.sql")),
    (50, include_str!("../migrations/0050_identity.sql")),
    (55, include_str!("../migrations/0055_signal.sql")),
    (65, include_str!("../migrations/0065_provider.sql")),
    (66, include_str!("../migrations/0066_oauth.sql")),
    (70, include_str!("../migrations/0070_presence.sql")),
    (22, include_str!("../migrations/0022_reading.sql")),
    (23, include_str!("../migrations/0023_break_glass.sql")),
    (30, include_str!("../migrations/0030_log_checkpoint.sql")),
    (31, include_str!("../migrations/0031_stream.sql")),
    (32, include_str!("../migrations/0032_keys.sql")),
];

/// An open store.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    readers: AnyPool,
    writer: AnyPool,
}

impl Store {
    /// Opens the store and brings its schema up to date. SQLite's file is created when `create`.
    ///
    /// # Errors
    /// `Url`, `Schema`, `Unavailable`.
    pub async fn open(options: &StoreOptions, create: bool) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (backend, url) = match options.url.split_once(':') {
            Some(("sqlite", _)) => {
                let mode = if create { "rwc" } else { "rw" };
                let mark = if options.url.contains('?') { '&' } else { '?' };
                (Backend::Sqlite, format!("{}{mark}mode={mode}", options.url))
            }
            Some(("postgres" | "postgresql", _)) => (Backend::Postgres, options.url.clone()),
            _ => return Err(StoreError::Url),
        };
        let connect = |count: u32, read_only: bool| {
            let pragmas = session_set_up(backend, options.durability, read_only);
            AnyPoolOptions::new()
                .max_connections(count)
                .acquire_timeout(Duration::from_secs(10))
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(backend == Backend::Postgres)
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        for statement in pragmas {
                            connection.execute(*statement).await?;
                        }
                        Ok(())
                    })
                })
                .connect(&url)
        };
        let writer = connect(1, false).await?;
        migrate(&mut *writer.acquire().await?, backend).await?;
        let readers = connect(options.readers.max(1), true).await?;
        Ok(Self {
            backend,
            readers,
            writer,
        })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// A connection for reading; SQLite enforces it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// The one connection that writes; `writer` holds it.
    pub(crate) async fn writing(
        &self,
    ) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, StoreError> {
        Ok(self.writer.acquire().await?)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT size FROM log_head WHERE id = 1")
            .fetch_one(&mut *self.reader().await?)
            .await?;
        Ok(())
    }

    /// Closes all connections; what was committed is on the disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn session_set_up(
    backend: Backend,
    durability: Durability,
    read_only: bool,
) -> &'static [&'static str] {
    match (backend, durability, read_only) {
        (Backend::Sqlite, _, true) => &[
            "PRAGMA busy_timeout = 10000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA query_only = ON",
        ],
        (Backend::Sqlite, Durability::Full, false) => &[
            "PRAGMA busy_timeout = 10000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
        ],
        (Backend::Sqlite, Durability::DangerOff, false) => &[
            "PRAGMA busy_timeout = 10000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
            "PRAGMA foreign_keys = ON",
        ],
        (Backend::Postgres, _, true) => &["SET default_transaction_read_only = on"],
        (Backend::Postgres, Durability::Full, false) => &[
            "SET synchronous_commit = on",
            "SET lock_timeout = '10s'",
            "SET idle_in_transaction_session_timeout = '30s'",
        ],
        (Backend::Postgres, Durability::DangerOff, false) => &["SET synchronous_commit = off"],
    }
}

async fn migrate(connection: &mut AnyConnection, backend: Backend) -> Result<(), StoreError> {
    use sqlx::Connection as _;

    connection
        .execute("CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY)")
        .await?;
    // Two instances that start together migrate one after the other. SQLite waits for its one writer only where a transaction begins as a writer's:
    // one that has read before is refused at once.
    let mut transaction = match backend {
        Backend::Sqlite => connection.begin_with("BEGIN IMMEDIATE").await?,
        Backend::Postgres => connection.begin().await?,
    };
    if backend == Backend::Postgres {
        transaction
            .execute("LOCK TABLE migration IN EXCLUSIVE MODE")
            .await?;
    }
    let mut applied = std::collections::BTreeSet::new();
    for row in sqlx::query("SELECT version FROM migration")
        .fetch_all(&mut *transaction)
        .await?
    {
        applied.insert(row.try_get::<i64, _>("version")?);
    }
    let known = |version: &i64| MIGRATIONS.iter().any(|(ours, _)| ours == version);
    if let Some(found) = applied.iter().copied().find(|version| !known(version)) {
        let known = MIGRATIONS
            .iter()
            .map(|(ours, _)| *ours)
            .max()
            .unwrap_or_default();
        return Err(StoreError::Schema { found, known });
    }
    for (version, sql) in MIGRATIONS
        .iter()
        .filter(|(version, _)| !applied.contains(version))
    {
        let sql = match backend {
            Backend::Sqlite => sql.replace("BYTEA", "BLOB"),
            Backend::Postgres => (*sql).to_owned(),
        };
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO migration (version) VALUES ($1)")
            .bind(*version)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query("INSERT INTO log_head (id, batch, size, edge, last_ms) VALUES (1, 0, 0, $1, 0) ON CONFLICT (id) DO NOTHING")
        .bind(sceau_proof::log::Frontier::new().to_bytes())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Milliseconds since 1970, as stored.
pub(crate) fn to_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Reads [`to_ms`] back.
pub(crate) fn from_ms(ms: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .map_err(|_| StoreError::Corrupt("time"))
}

/// A stored identifier or word, read back.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(what))
}

/// Stored JSON, read back.
pub(crate) fn json<T: serde::de::DeserializeOwned>(
    text: Option<String>,
    what: &'static str,
) -> Result<Option<T>, StoreError> {
    text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt(what)))
        .transpose()
}

/// JSON to be stored.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt("unserialisable value"))
}
