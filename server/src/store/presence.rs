//! Rows of sessions whose key must stay, and of the nonces that were given out for them.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::{Duration, OffsetDateTime};

use super::{StoreError, from_ms, parse, to_json, to_ms};
use crate::id::{ActionId, KeyId, PersonId, SessionId};
use crate::presence::Ability;
use crate::session::SessionKind;

/// A live session whose key must stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The session.
    pub session: SessionId,
    /// What it is used by.
    pub kind: SessionKind,
    /// Its `session.open` action.
    pub action: ActionId,
    /// Whose it is.
    pub person: PersonId,
    /// The key that sealed it.
    pub key: KeyId,
    /// Until when the last proof holds.
    pub until: OffsetDateTime,
    /// Since when there is none.
    pub lost: Option<OffsetDateTime>,
    /// The agent's session that gave the last one.
    pub prover: Option<SessionId>,
    /// Whether the proof was already made to hold longer for a touch.
    pub delayed: bool,
    /// Why it lives without proofs.
    pub waived: Option<String>,
}

fn read(row: &AnyRow) -> Result<Watched, StoreError> {
    Ok(Watched {
        session: parse(row.try_get("session")?, "presence session")?,
        kind: SessionKind::from_word(row.try_get("kind")?)
            .ok_or(StoreError::Corrupt("session kind"))?,
        action: parse(row.try_get("action")?, "session action")?,
        person: parse(row.try_get("person")?, "presence person")?,
        key: parse(row.try_get("enrolled_key")?, "presence key")?,
        until: from_ms(row.try_get("until_ms")?)?,
        lost: row
            .try_get::<Option<i64>, _>("lost_ms")?
            .map(from_ms)
            .transpose()?,
        prover: row
            .try_get::<Option<String>, _>("prover")?
            .map(|id| parse(&id, "presence prover"))
            .transpose()?,
        delayed: row.try_get::<i64, _>("delayed")? != 0,
        waived: row.try_get("waived")?,
    })
}

/// Writes that a session needs its key to stay; the seal counts as the first proof.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    session: SessionId,
    person: &PersonId,
    key: KeyId,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO presence (session, person, enrolled_key, until_ms) VALUES ($1, $2, $3, $4)",
    )
    .bind(session.to_string())
    .bind(person.as_str().to_owned())
    .bind(key.to_string())
    .bind(to_ms(until))
    .execute(connection)
    .await?;
    Ok(())
}

/// A person's live sessions whose key must stay, oldest first.
pub async fn of_person(
    connection: &mut AnyConnection,
    person: &PersonId,
    now: OffsetDateTime,
) -> Result<Vec<Watched>, StoreError> {
    sqlx::query(
        "SELECT presence.session, presence.person, presence.enrolled_key, presence.until_ms, presence.lost_ms, presence.prover,
             presence.delayed, presence.waived, session.kind, session.action
         FROM presence JOIN session ON session.id = presence.session
         WHERE presence.person = $1 AND session.state = 'active' AND session.expires_ms > $2 ORDER BY session.created_ms, session.id",
    )
    .bind(person.as_str().to_owned())
    .bind(to_ms(now))
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

/// Every live session that is lost, or whose last proof holds no longer than `until`; those that live without proofs apart.
pub async fn overdue(
    connection: &mut AnyConnection,
    until: OffsetDateTime,
) -> Result<Vec<Watched>, StoreError> {
    sqlx::query(
        "SELECT presence.session, presence.person, presence.enrolled_key, presence.until_ms, presence.lost_ms, presence.prover,
             presence.delayed, presence.waived, session.kind, session.action
         FROM presence JOIN session ON session.id = presence.session
         WHERE presence.waived IS NULL AND session.state = 'active' AND session.expires_ms > $1
             AND (presence.lost_ms IS NOT NULL OR presence.until_ms <= $1)",
    )
    .bind(to_ms(until))
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

/// When something has to be written next: the end of the earliest proof, or of the time for which a lost session may be taken up again.
pub async fn next_end(
    connection: &mut AnyConnection,
    away: Duration,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let away = i64::try_from(away.whole_milliseconds()).unwrap_or(i64::MAX / 2);
    let row = sqlx::query(
        "SELECT MIN(CASE WHEN presence.lost_ms IS NULL THEN presence.until_ms ELSE presence.lost_ms + $1 END) AS end_ms
         FROM presence JOIN session ON session.id = presence.session
         WHERE presence.waived IS NULL AND session.state = 'active'",
    )
    .bind(away)
    .fetch_one(connection)
    .await?;
    row.try_get::<Option<i64>, _>("end_ms")?
        .map(from_ms)
        .transpose()
}

/// How many live sessions need presence: those that have it, and those that lost it.
pub async fn counts(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
) -> Result<(u64, u64), StoreError> {
    let rows = sqlx::query(
        "SELECT presence.until_ms, presence.lost_ms FROM presence JOIN session ON session.id = presence.session
         WHERE presence.waived IS NULL AND session.state = 'active' AND session.expires_ms > $1",
    )
    .bind(to_ms(now))
    .fetch_all(connection)
    .await?;
    let (mut there, mut lost) = (0, 0);
    for row in &rows {
        if row.try_get::<Option<i64>, _>("lost_ms")?.is_some()
            || row.try_get::<i64, _>("until_ms")? <= to_ms(now)
        {
            lost += 1;
        } else {
            there += 1;
        }
    }
    Ok((there, lost))
}

/// A proof by the agent's session `prover`: there, until then at least.
pub(crate) async fn proven(
    connection: &mut AnyConnection,
    session: SessionId,
    until: OffsetDateTime,
    prover: SessionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE presence SET until_ms = CASE WHEN until_ms > $2 AND lost_ms IS NULL THEN until_ms ELSE $2 END, lost_ms = NULL, prover = $3, delayed = 0
         WHERE session = $1",
    )
    .bind(session.to_string())
    .bind(to_ms(until))
    .bind(prover.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// The key waits for a touch: the last proof holds until then at least.
pub(crate) async fn delay(
    connection: &mut AnyConnection,
    session: SessionId,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE presence SET until_ms = CASE WHEN until_ms > $2 THEN until_ms ELSE $2 END, delayed = 1
         WHERE session = $1 AND lost_ms IS NULL",
    )
    .bind(session.to_string())
    .bind(to_ms(until))
    .execute(connection)
    .await?;
    Ok(())
}

/// No proof since then.
pub(crate) async fn lose(
    connection: &mut AnyConnection,
    session: SessionId,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE presence SET lost_ms = $2 WHERE session = $1 AND lost_ms IS NULL")
        .bind(session.to_string())
        .bind(to_ms(at))
        .execute(connection)
        .await?;
    Ok(())
}

/// It lives without proofs, for this reason.
pub(crate) async fn waive(
    connection: &mut AnyConnection,
    session: SessionId,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE presence SET waived = $2, lost_ms = NULL WHERE session = $1")
        .bind(session.to_string())
        .bind(reason.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// After a time in which no instance ran, nobody could prove anything: what was there holds until then.
pub(crate) async fn rearm(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE presence SET until_ms = $2 WHERE lost_ms IS NULL AND until_ms <= $1")
        .bind(to_ms(now))
        .bind(to_ms(until))
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what serves no more: rows of sessions that are over, nonces that ran out.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM presence WHERE session IN (SELECT id FROM session WHERE state <> 'active' OR expires_ms <= $1)",
    )
    .bind(to_ms(now))
    .execute(&mut *connection)
    .await?;
    // A while longer than they were good for: who answers late is told so.
    sqlx::query("DELETE FROM presence_nonce WHERE expires_ms <= $1")
        .bind(to_ms(now - Duration::minutes(5)))
        .execute(connection)
        .await?;
    Ok(())
}

/// A nonce that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    /// The agent's session that it was sent to.
    pub agent: SessionId,
    /// The key that must answer.
    pub key: KeyId,
    /// The sessions that it speaks for; none: a probe.
    pub sessions: Vec<SessionId>,
    /// The key's counter when it was given out.
    pub sign_count: u32,
    /// When it was given out.
    pub issued_at: OffsetDateTime,
    /// Until when it may be answered.
    pub expires_at: OffsetDateTime,
}

/// Writes a nonce.
pub(crate) async fn insert_nonce(
    connection: &mut AnyConnection,
    sha256: &[u8],
    nonce: &Nonce,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO presence_nonce (nonce_sha256, agent, enrolled_key, sessions, sign_count, issued_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(sha256.to_vec())
    .bind(nonce.agent.to_string())
    .bind(nonce.key.to_string())
    .bind(to_json(&nonce.sessions)?)
    .bind(i64::from(nonce.sign_count))
    .bind(to_ms(nonce.issued_at))
    .bind(to_ms(nonce.expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The nonce of this digest, if it was given out to this agent and not used.
pub async fn nonce(
    connection: &mut AnyConnection,
    sha256: &[u8],
    agent: SessionId,
) -> Result<Option<Nonce>, StoreError> {
    sqlx::query(
        "SELECT agent, enrolled_key, sessions, sign_count, issued_ms, expires_ms FROM presence_nonce
         WHERE nonce_sha256 = $1 AND agent = $2",
    )
    .bind(sha256.to_vec())
    .bind(agent.to_string())
    .fetch_optional(connection)
    .await?
    .map(|row| {
        Ok(Nonce {
            agent: parse(row.try_get("agent")?, "nonce agent")?,
            key: parse(row.try_get("enrolled_key")?, "nonce key")?,
            sessions: serde_json::from_str(row.try_get("sessions")?)
                .map_err(|_| StoreError::Corrupt("nonce sessions"))?,
            sign_count: u32::try_from(row.try_get::<i64, _>("sign_count")?)
                .map_err(|_| StoreError::Corrupt("counter"))?,
            issued_at: from_ms(row.try_get("issued_ms")?)?,
            expires_at: from_ms(row.try_get("expires_ms")?)?,
        })
    })
    .transpose()
}

/// Uses a nonce up.
pub(crate) async fn use_nonce(
    connection: &mut AnyConnection,
    sha256: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM presence_nonce WHERE nonce_sha256 = $1")
        .bind(sha256.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// What is known of a key's silent proofs.
pub async fn ability(
    connection: &mut AnyConnection,
    key: KeyId,
) -> Result<Option<Ability>, StoreError> {
    let row = sqlx::query("SELECT presence FROM enrolled_key WHERE id = $1")
        .bind(key.to_string())
        .fetch_optional(connection)
        .await?;
    let word = match row {
        Some(row) => row.try_get::<Option<String>, _>("presence")?,
        None => None,
    };
    word.map(|word| Ability::from_word(&word).ok_or(StoreError::Corrupt("key presence")))
        .transpose()
}

/// Writes down what a key showed.
pub(crate) async fn set_ability(
    connection: &mut AnyConnection,
    key: KeyId,
    ability: &Ability,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE enrolled_key SET presence = $2 WHERE id = $1")
        .bind(key.to_string())
        .bind(ability.word())
        .execute(connection)
        .await?;
    Ok(())
}

/// A silent proof counted: the record never goes back.
pub(crate) async fn raise_counter(
    connection: &mut AnyConnection,
    key: KeyId,
    sign_count: u32,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE enrolled_key SET sign_count = $2 WHERE id = $1 AND sign_count < $2")
        .bind(key.to_string())
        .bind(i64::from(sign_count))
        .execute(connection)
        .await?;
    Ok(())
}
