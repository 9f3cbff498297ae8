//! Rows of what services ask for by OAuth: requests, the assertions that were shown, and services' own tokens. Secrets are kept as SHA-256
//! alone.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::{Duration, OffsetDateTime};

use super::{StoreError, from_ms, json, parse, to_json, to_ms};
use crate::id::{ActionId, AuthorizationId, ServiceId};

/// How the answer reaches the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Way {
    /// By the person's browser, with a code (RFC 9126, RFC 6749 §4.1).
    Redirect {
        /// Exactly one of the service's addresses.
        redirect_uri: String,
        /// Sent back as it came.
        state: Option<String>,
        /// PKCE, S256.
        code_challenge: String,
        /// The key that the code is for (RFC 9449 §10): its thumbprint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<String>,
    },
    /// The service asks for it (CIBA, poll mode).
    Backchannel,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationState {
    /// The service has its handle, and nobody has used it.
    Pushed,
    /// A browser brought the handle, once.
    Begun,
    /// A code was given to that browser.
    Issued,
    /// The service has its permit, once.
    Redeemed,
    /// Over: told to be refused, or its code was shown twice.
    Ended,
}

impl AuthorizationState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Begun => "begun",
            Self::Issued => "issued",
            Self::Redeemed => "redeemed",
            Self::Ended => "ended",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [
            Self::Pushed,
            Self::Begun,
            Self::Issued,
            Self::Redeemed,
            Self::Ended,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// A request as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Its name.
    pub id: AuthorizationId,
    /// Who asked.
    pub client: ServiceId,
    /// For what: written down when it was asked, and never changed.
    pub action: ActionId,
    /// How the answer goes back.
    pub way: Way,
    /// Where it stands.
    pub state: AuthorizationState,
    /// SHA-256 of the token of the browser that brought it.
    pub browser: Option<[u8; 32]>,
    /// Least time between two polls.
    pub pace: Duration,
    /// The last poll.
    pub polled_at: Option<OffsetDateTime>,
    /// When this state is over.
    pub until: OffsetDateTime,
}

const COLUMNS: &str = "SELECT id, client, action, way, state, browser, pace_ms, polled_ms, until_ms FROM oauth_request";

fn read(row: &AnyRow) -> Result<Authorization, StoreError> {
    let way: Option<String> = row.try_get("way")?;
    let browser: Option<Vec<u8>> = row.try_get("browser")?;
    Ok(Authorization {
        id: parse(row.try_get("id")?, "authorization id")?,
        client: parse(row.try_get("client")?, "authorization client")?,
        action: parse(row.try_get("action")?, "authorization action")?,
        way: json(way, "authorization way")?.ok_or(StoreError::Corrupt("authorization way"))?,
        state: AuthorizationState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("authorization state"))?,
        browser: browser
            .map(|bytes| {
                bytes
                    .try_into()
                    .map_err(|_| StoreError::Corrupt("authorization browser"))
            })
            .transpose()?,
        pace: Duration::milliseconds(row.try_get("pace_ms")?),
        polled_at: row
            .try_get::<Option<i64>, _>("polled_ms")?
            .map(from_ms)
            .transpose()?,
        until: from_ms(row.try_get("until_ms")?)?,
    })
}

async fn one(
    connection: &mut AnyConnection,
    condition: &'static str,
    value: impl for<'q> sqlx::Encode<'q, sqlx::Any> + sqlx::Type<sqlx::Any> + Send + 'static,
) -> Result<Option<Authorization>, StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE {condition} = $1"
    )))
    .bind(value)
    .fetch_optional(connection)
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

/// The request of that name.
pub async fn load(
    connection: &mut AnyConnection,
    id: AuthorizationId,
) -> Result<Option<Authorization>, StoreError> {
    one(connection, "id", id.to_string()).await
}

/// The request whose handle (`request_uri`, `auth_req_id`) has this digest.
pub async fn by_handle(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
) -> Result<Option<Authorization>, StoreError> {
    one(connection, "handle_sha256", sha256.to_vec()).await
}

/// The request whose code has this digest, used or not.
pub async fn by_code(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
) -> Result<Option<Authorization>, StoreError> {
    one(connection, "code_sha256", sha256.to_vec()).await
}

/// Writes a new one, and forgets those that were over before `forgotten`.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    asked: &Authorization,
    handle: &[u8; 32],
    forgotten: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM oauth_request WHERE until_ms < $1")
        .bind(to_ms(forgotten))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO oauth_request (id, client, action, way, state, handle_sha256, pace_ms, until_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(asked.id.to_string())
    .bind(asked.client.as_str().to_owned())
    .bind(asked.action.to_string())
    .bind(to_json(&asked.way)?)
    .bind(asked.state.as_str())
    .bind(handle.to_vec())
    .bind(milliseconds(asked.pace))
    .bind(to_ms(asked.until))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves it on, with the digest of the code that it now has.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    asked: &Authorization,
    code: Option<&[u8; 32]>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE oauth_request SET state = $2, browser = $3, code_sha256 = COALESCE($4, code_sha256), pace_ms = $5, polled_ms = $6,
             until_ms = $7 WHERE id = $1",
    )
    .bind(asked.id.to_string())
    .bind(asked.state.as_str())
    .bind(asked.browser.map(|digest| digest.to_vec()))
    .bind(code.map(|digest| digest.to_vec()))
    .bind(milliseconds(asked.pace))
    .bind(asked.polled_at.map(to_ms))
    .bind(to_ms(asked.until))
    .execute(connection)
    .await?;
    Ok(())
}

fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.whole_milliseconds()).unwrap_or(i64::MAX)
}

/// Takes an assertion's one use; whether nobody had. Forgets those that are over.
pub(crate) async fn take_assertion(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
    until: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM oauth_assertion WHERE until_ms < $1")
        .bind(to_ms(now))
        .execute(&mut *connection)
        .await?;
    let written = sqlx::query(
        "INSERT INTO oauth_assertion (sha256, until_ms) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING",
    )
    .bind(sha256.to_vec())
    .bind(to_ms(until))
    .execute(connection)
    .await?;
    Ok(written.rows_affected() > 0)
}

/// Writes a service's token; forgets those that are over.
pub(crate) async fn insert_token(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
    service: &ServiceId,
    until: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM oauth_token WHERE until_ms < $1")
        .bind(to_ms(now))
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO oauth_token (sha256, service, until_ms) VALUES ($1, $2, $3)")
        .bind(sha256.to_vec())
        .bind(service.as_str().to_owned())
        .bind(to_ms(until))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whose token this is, if its time is not over.
pub async fn token(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<ServiceId>, StoreError> {
    let row = sqlx::query("SELECT service FROM oauth_token WHERE sha256 = $1 AND until_ms > $2")
        .bind(sha256.to_vec())
        .bind(to_ms(now))
        .fetch_optional(connection)
        .await?;
    row.map(|row| parse(row.try_get("service")?, "token service"))
        .transpose()
}
