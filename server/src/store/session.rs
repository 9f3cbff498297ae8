//! Rows of sessions and invitations. Secrets are kept as SHA-256 alone.

use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Encode, Row as _, Type};
use time::OffsetDateTime;

use super::{StoreError, from_ms, json, parse, to_json, to_ms};
use crate::id::{ActionId, EnrolmentId, KeyId, PersonId, SessionId};
use crate::person::PersonState;
use crate::session::{Session, SessionKind, SessionState};
use crate::workstation::Workstation;

fn read(row: &AnyRow, now: OffsetDateTime) -> Result<Session, StoreError> {
    let stored = SessionState::from_word(row.try_get("state")?)
        .ok_or(StoreError::Corrupt("session state"))?;
    let person_state = PersonState::from_word(row.try_get("person_state")?)
        .ok_or(StoreError::Corrupt("person state"))?;
    let expires_at = from_ms(row.try_get("expires_ms")?)?;
    let present_until = row
        .try_get::<Option<i64>, _>("until_ms")?
        .map(from_ms)
        .transpose()?;
    let waived = row.try_get::<Option<String>, _>("waived")?.is_some();
    let present_until = present_until.filter(|_| !waived);
    let lost = row.try_get::<Option<i64>, _>("lost_ms")?.is_some();
    let is_there = present_until.is_none_or(|until| !lost && now < until);
    let state = match stored {
        SessionState::Pending | SessionState::Active if now >= expires_at => SessionState::Ended,
        SessionState::Pending | SessionState::Active if person_state == PersonState::Suspended => {
            SessionState::Suspended
        }
        SessionState::Active if !is_there => SessionState::Absent,
        other => other,
    };
    Ok(Session {
        id: parse(row.try_get("id")?, "session id")?,
        person: parse(row.try_get("person")?, "session person")?,
        kind: SessionKind::from_word(row.try_get("kind")?)
            .ok_or(StoreError::Corrupt("session kind"))?,
        state,
        action: parse(row.try_get("action")?, "session action")?,
        expires_at,
        present_until,
    })
}

const SESSIONS: &str =
    "SELECT session.id, session.person, session.kind, session.state, session.action, session.expires_ms,
         person.state AS person_state, presence.until_ms, presence.lost_ms, presence.waived
     FROM session JOIN person ON person.id = session.person LEFT JOIN presence ON presence.session = session.id";

/// The session of which `column` is `$1`, time and its person's state counted in.
async fn one(
    connection: &mut AnyConnection,
    column: &'static str,
    value: impl for<'q> Encode<'q, Any> + Type<Any> + Send + 'static,
    now: OffsetDateTime,
) -> Result<Option<Session>, StoreError> {
    sqlx::query(AssertSqlSafe(format!(
        "{SESSIONS} WHERE session.{column} = $1"
    )))
    .bind(value)
    .fetch_optional(connection)
    .await?
    .map(|row| read(&row, now))
    .transpose()
}

/// The session of a token's digest, time and its person's state counted in.
pub async fn by_token(
    connection: &mut AnyConnection,
    token_sha256: &[u8],
    now: OffsetDateTime,
) -> Result<Option<Session>, StoreError> {
    one(connection, "token_sha256", token_sha256.to_vec(), now).await
}

/// The session of that name.
pub async fn load(
    connection: &mut AnyConnection,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<Option<Session>, StoreError> {
    one(connection, "id", id.to_string(), now).await
}

/// When a session was opened.
pub async fn created_at(
    connection: &mut AnyConnection,
    id: SessionId,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query("SELECT created_ms FROM session WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?
        .map(|row| from_ms(row.try_get("created_ms")?))
        .transpose()
}

/// Where a session was opened, when somebody could tell.
pub async fn workstation(
    connection: &mut AnyConnection,
    id: SessionId,
) -> Result<Option<Workstation>, StoreError> {
    let row = sqlx::query("SELECT workstation FROM session WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    match row {
        Some(row) => json(row.try_get("workstation")?, "session workstation"),
        None => Ok(None),
    }
}

/// Says where a session was opened.
pub(crate) async fn set_workstation(
    connection: &mut AnyConnection,
    at: &Workstation,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE session SET workstation = $2 WHERE id = $1")
        .bind(at.session.to_string())
        .bind(to_json(at)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes a new session.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    session: &Session,
    token_sha256: &[u8],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO session (id, token_sha256, person, kind, state, action, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id.to_string())
    .bind(token_sha256.to_vec())
    .bind(session.person.as_str().to_owned())
    .bind(session.kind.as_str())
    .bind(session.state.as_str())
    .bind(session.action.to_string())
    .bind(to_ms(now))
    .bind(to_ms(session.expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves a session that is pending or active; others stay as they are.
pub(crate) async fn set_state(
    connection: &mut AnyConnection,
    id: SessionId,
    state: SessionState,
    expires_at: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE session SET state = $2, expires_ms = COALESCE($3, expires_ms)
         WHERE id = $1 AND state IN ('pending', 'active')",
    )
    .bind(id.to_string())
    .bind(state.as_str())
    .bind(expires_at.map(to_ms))
    .execute(connection)
    .await?;
    Ok(())
}

/// The sign-in that an action seals.
pub(crate) async fn of_action(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Option<SessionId>, StoreError> {
    sqlx::query("SELECT id FROM session WHERE action = $1 AND state = 'pending'")
        .bind(action.to_string())
        .fetch_optional(connection)
        .await?
        .map(|row| parse(row.try_get("id")?, "session id"))
        .transpose()
}

/// Sessions that speak still, and whose sign-in this key sealed.
pub(crate) async fn opened_by(
    connection: &mut AnyConnection,
    key: KeyId,
) -> Result<Vec<SessionId>, StoreError> {
    sqlx::query(
        "SELECT session.id FROM session JOIN approval ON approval.action = session.action
         WHERE approval.enrolled_key = $1 AND session.state IN ('pending', 'active') ORDER BY session.id",
    )
    .bind(key.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "session id"))
    .collect()
}

/// The session that came with a registration, while it speaks still.
pub(crate) async fn of_registration(
    connection: &mut AnyConnection,
    registered: ActionId,
) -> Result<Vec<SessionId>, StoreError> {
    sqlx::query("SELECT id FROM session WHERE action = $1 AND state = 'active'")
        .bind(registered.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("id")?, "session id"))
        .collect()
}

/// The `key.enroll` action behind a `key.register`; `None` for the first administrators.
pub(crate) async fn enrolled_for(
    connection: &mut AnyConnection,
    registered: ActionId,
) -> Result<Option<ActionId>, StoreError> {
    let row = sqlx::query("SELECT enroll_action FROM invitation WHERE action = $1")
        .bind(registered.to_string())
        .fetch_optional(connection)
        .await?;
    row.and_then(|row| {
        row.try_get::<Option<String>, _>("enroll_action")
            .transpose()
    })
    .transpose()?
    .map(|id| parse(&id, "invitation action"))
    .transpose()
}

/// One enrolment, from invitation to registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its name.
    pub id: EnrolmentId,
    /// Who is invited.
    pub person: PersonId,
    /// `new`, `opened` or `used`.
    pub state: InvitationState,
    /// The `key.enroll` action that asked for it; `None` for the first administrators.
    pub enroll_action: Option<ActionId>,
    /// The `key.register` action, once opened.
    pub action: Option<ActionId>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationState {
    /// Not opened yet.
    New,
    /// A registration was begun; opening again begins another.
    Opened,
    /// A key was registered: never again.
    Used,
}

impl InvitationState {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Opened => "opened",
            Self::Used => "used",
        }
    }
}

fn read_invitation(row: &AnyRow) -> Result<Invitation, StoreError> {
    let state = match row.try_get::<&str, _>("state")? {
        "new" => InvitationState::New,
        "opened" => InvitationState::Opened,
        "used" => InvitationState::Used,
        _ => return Err(StoreError::Corrupt("invitation state")),
    };
    let action = |column| -> Result<Option<ActionId>, StoreError> {
        row.try_get::<Option<String>, _>(column)?
            .map(|id| parse(&id, "invitation action"))
            .transpose()
    };
    Ok(Invitation {
        id: parse(row.try_get("id")?, "invitation id")?,
        person: parse(row.try_get("person")?, "invitation person")?,
        state,
        enroll_action: action("enroll_action")?,
        action: action("action")?,
        expires_at: from_ms(row.try_get("expires_ms")?)?,
    })
}

const INVITATIONS: &str =
    "SELECT id, person, state, enroll_action, action, expires_ms FROM invitation";

/// The invitation for which `condition` holds of `$1`.
async fn one_invitation(
    connection: &mut AnyConnection,
    condition: &'static str,
    value: impl for<'q> Encode<'q, Any> + Type<Any> + Send + 'static,
) -> Result<Option<Invitation>, StoreError> {
    sqlx::query(AssertSqlSafe(format!("{INVITATIONS} WHERE {condition}")))
        .bind(value)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(read_invitation)
        .transpose()
}

/// The invitation of a secret's digest.
pub async fn invitation(
    connection: &mut AnyConnection,
    secret_sha256: &[u8],
) -> Result<Option<Invitation>, StoreError> {
    one_invitation(connection, "secret_sha256 = $1", secret_sha256.to_vec()).await
}

/// The invitation that an executed `key.enroll` gave, while its secret was never shown.
pub async fn unrevealed(
    connection: &mut AnyConnection,
    enroll_action: ActionId,
) -> Result<Option<Invitation>, StoreError> {
    let unseen = "enroll_action = $1 AND secret_sha256 IS NULL";
    one_invitation(connection, unseen, enroll_action.to_string()).await
}

/// The invitation that an executed `key.enroll` gave.
pub async fn invitation_of(
    connection: &mut AnyConnection,
    enroll_action: ActionId,
) -> Result<Option<Invitation>, StoreError> {
    one_invitation(connection, "enroll_action = $1", enroll_action.to_string()).await
}

/// Writes a new invitation; without a digest its secret is minted when it is first shown.
pub(crate) async fn insert_invitation(
    connection: &mut AnyConnection,
    invitation: &Invitation,
    secret_sha256: Option<&[u8]>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO invitation (id, person, secret_sha256, state, enroll_action, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(invitation.id.to_string())
    .bind(invitation.person.as_str().to_owned())
    .bind(secret_sha256.map(<[u8]>::to_vec))
    .bind(invitation.state.as_str())
    .bind(invitation.enroll_action.map(|id| id.to_string()))
    .bind(to_ms(now))
    .bind(to_ms(invitation.expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The secret was minted: only its digest is kept.
pub(crate) async fn reveal_invitation(
    connection: &mut AnyConnection,
    id: EnrolmentId,
    secret_sha256: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("UPDATE invitation SET secret_sha256 = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(secret_sha256.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves an invitation on.
pub(crate) async fn move_invitation(
    connection: &mut AnyConnection,
    id: EnrolmentId,
    state: InvitationState,
    action: ActionId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE invitation SET state = $2, action = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(state.as_str())
        .bind(action.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
