//! Rows of sign-ins for the federation, and of browsers that signed in with a key. Secrets are kept as SHA-256 alone.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, json, parse, to_json, to_ms};
use crate::id::{ActionId, KeyId, LoginId, PersonId};
use crate::provider::level::{Authentication, Level};
use crate::provider::request::AuthorizationRequest;

/// Where a sign-in stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginState {
    /// Waits for the person.
    Open,
    /// A code was given to the browser.
    Issued,
    /// The client has used the code, once.
    Redeemed,
    /// The code was shown a second time: nothing of it counts any more.
    Revoked,
}

impl LoginState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Issued => "issued",
            Self::Redeemed => "redeemed",
            Self::Revoked => "revoked",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Issued, Self::Redeemed, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What a sign-in came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginOutcome {
    /// The level that is said, and true.
    pub acr: Level,
    /// What it rests on.
    pub authentication: Authentication,
    /// When the person authenticated.
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
    /// The action that was sealed for this request, with its digest.
    pub sealed: Option<Sealed>,
}

/// The action that was sealed for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Its name.
    pub action: ActionId,
    /// SHA-256 of its document.
    #[serde(with = "sceau_proof::base64url::array")]
    pub sha256: [u8; 32],
}

/// A sign-in as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub id: LoginId,
    /// SHA-256 of the token of the browser that began it.
    pub browser: [u8; 32],
    /// Who it would be; `None` when the name was nobody's.
    pub person: Option<PersonId>,
    /// The action that waits for the person's key.
    pub action: Option<ActionId>,
    /// What was asked.
    pub request: AuthorizationRequest,
    /// Where it stands.
    pub state: LoginState,
    /// What it came to.
    pub outcome: Option<LoginOutcome>,
    /// When this state is over.
    pub until: OffsetDateTime,
}

/// A browser that signed in with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBrowser {
    /// Who it was.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// The key verified its user.
    pub pin: bool,
    /// When.
    pub signed_at: OffsetDateTime,
    /// Until when that will do.
    pub until: OffsetDateTime,
}

const COLUMNS: &str =
    "SELECT id, browser, person, action, request, state, outcome, until_ms FROM provider_login";

fn read(row: &AnyRow) -> Result<Login, StoreError> {
    let request: Option<String> = row.try_get("request")?;
    Ok(Login {
        id: parse(row.try_get("id")?, "login id")?,
        browser: row
            .try_get::<Vec<u8>, _>("browser")?
            .try_into()
            .map_err(|_| StoreError::Corrupt("login browser"))?,
        person: row
            .try_get::<Option<String>, _>("person")?
            .map(|person| parse(&person, "login person"))
            .transpose()?,
        action: row
            .try_get::<Option<String>, _>("action")?
            .map(|action| parse(&action, "login action"))
            .transpose()?,
        request: json(request, "login request")?.ok_or(StoreError::Corrupt("login request"))?,
        state: LoginState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("login state"))?,
        outcome: json(row.try_get("outcome")?, "login outcome")?,
        until: from_ms(row.try_get("until_ms")?)?,
    })
}

async fn one(
    connection: &mut AnyConnection,
    condition: &'static str,
    value: impl for<'q> sqlx::Encode<'q, sqlx::Any> + sqlx::Type<sqlx::Any> + Send + 'static,
) -> Result<Option<Login>, StoreError> {
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

/// The sign-in of that name.
pub async fn load(
    connection: &mut AnyConnection,
    id: LoginId,
) -> Result<Option<Login>, StoreError> {
    one(connection, "id", id.to_string()).await
}

/// The sign-in whose code has this digest, used or not.
pub async fn by_code(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
) -> Result<Option<Login>, StoreError> {
    one(connection, "code_sha256", sha256.to_vec()).await
}

/// The sign-in whose access token has this digest.
pub async fn by_access(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
) -> Result<Option<Login>, StoreError> {
    one(connection, "access_sha256", sha256.to_vec()).await
}

/// Writes a new one, and forgets those that were over before `forgotten`.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    login: &Login,
    now: OffsetDateTime,
    forgotten: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM provider_login WHERE until_ms < $1")
        .bind(to_ms(forgotten))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO provider_login (id, browser, client, person, action, request, state, created_ms, until_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(login.id.to_string())
    .bind(login.browser.to_vec())
    .bind(login.request.client_id.clone())
    .bind(login.person.as_ref().map(|person| person.as_str().to_owned()))
    .bind(login.action.map(|action| action.to_string()))
    .bind(to_json(&login.request)?)
    .bind(login.state.as_str())
    .bind(to_ms(now))
    .bind(to_ms(login.until))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves it on, with the digests of the secrets that it now has.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    login: &Login,
    code: Option<&[u8; 32]>,
    access: Option<&[u8; 32]>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_login SET state = $2, outcome = $3, until_ms = $4, code_sha256 = COALESCE($5, code_sha256),
             access_sha256 = COALESCE($6, access_sha256) WHERE id = $1",
    )
    .bind(login.id.to_string())
    .bind(login.state.as_str())
    .bind(login.outcome.as_ref().map(to_json).transpose()?)
    .bind(to_ms(login.until))
    .bind(code.map(|digest| digest.to_vec()))
    .bind(access.map(|digest| digest.to_vec()))
    .execute(connection)
    .await?;
    Ok(())
}

/// The browser of that token's digest, if its time is not over.
pub async fn browser(
    connection: &mut AnyConnection,
    browser: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<KnownBrowser>, StoreError> {
    let Some(row) = sqlx::query(
        "SELECT person, enrolled_key, pin, signed_ms, until_ms FROM provider_browser WHERE browser = $1 AND until_ms > $2",
    )
    .bind(browser.to_vec())
    .bind(to_ms(now))
    .fetch_optional(connection)
    .await?
    else {
        return Ok(None);
    };
    Ok(Some(KnownBrowser {
        person: parse(row.try_get("person")?, "browser person")?,
        key: parse(row.try_get("enrolled_key")?, "browser key")?,
        pin: row.try_get::<i64, _>("pin")? != 0,
        signed_at: from_ms(row.try_get("signed_ms")?)?,
        until: from_ms(row.try_get("until_ms")?)?,
    }))
}

/// Remembers a browser, in the place of whoever it was before; forgets those whose time is over.
pub(crate) async fn remember(
    connection: &mut AnyConnection,
    browser: &[u8; 32],
    known: &KnownBrowser,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM provider_browser WHERE browser = $1 OR until_ms <= $2")
        .bind(browser.to_vec())
        .bind(to_ms(now))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO provider_browser (browser, person, enrolled_key, pin, signed_ms, until_ms) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(browser.to_vec())
    .bind(known.person.as_str().to_owned())
    .bind(known.key.to_string())
    .bind(i64::from(known.pin))
    .bind(to_ms(known.signed_at))
    .bind(to_ms(known.until))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a browser; whether it was known.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    browser: &[u8; 32],
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM provider_browser WHERE browser = $1")
        .bind(browser.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
