//! Rows of actions and approvals. The document is kept as the exact bytes that were hashed into the challenge.

use std::sync::Arc;

use sceau_proof::assertion::AssertionResponse;
use sceau_proof::evidence::Response;
use sceau_proof::piv::SignatureResponse;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::{Duration, OffsetDateTime};

use super::{StoreError, from_ms, json, parse, to_json, to_ms};
use crate::action::{ActionRecord, ApprovalSummary, Approvers, Requirement, Standing, State};
use crate::id::{ActionId, KeyId, PersonId, SessionId};
use crate::policy::Window;
use crate::rate::Counts;
use crate::workstation::Workstation;

/// One approval with its signature, verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// When.
    pub at: OffsetDateTime,
    /// What the key answered, verbatim; without a credential id, which is the key record's.
    pub response: Response,
    /// Index of its log entry.
    pub entry: u64,
}

/// The record without approvals, and where it stands as stored (time not counted in).
fn read(row: &AnyRow) -> Result<(ActionRecord, Standing), StoreError> {
    let state =
        State::from_word(row.try_get("state")?).ok_or(StoreError::Corrupt("action state"))?;
    let document: Vec<u8> = row.try_get("document")?;
    let document =
        String::from_utf8(document).map_err(|_| StoreError::Corrupt("action document"))?;
    let sha256: Vec<u8> = row.try_get("sha256")?;
    let expires_at = from_ms(row.try_get("expires_ms")?)?;
    let started_at = row
        .try_get::<Option<i64>, _>("started_ms")?
        .map(from_ms)
        .transpose()?;
    let record = ActionRecord {
        id: parse(row.try_get("id")?, "action id")?,
        kind: row.try_get("kind")?,
        service: parse(row.try_get("service")?, "action service")?,
        requester: parse(row.try_get("requester")?, "action requester")?,
        session: row
            .try_get::<Option<String>, _>("session")?
            .map(|id| parse(&id, "action session"))
            .transpose()?,
        document: Arc::from(document),
        sha256: sha256
            .try_into()
            .map_err(|_| StoreError::Corrupt("action digest"))?,
        state,
        requirement: json(row.try_get("requirement")?, "requirement")?,
        approvals: Vec::new(),
        refusal: json(row.try_get("refusal")?, "refusal")?,
        denial: json(row.try_get("denial")?, "denial")?,
        decided: json(row.try_get("decided")?, "decided")?,
        permit: row.try_get("permit")?,
        execution: json(row.try_get("execution")?, "execution")?,
        result: json(row.try_get("result")?, "result")?,
        created_at: from_ms(row.try_get("created_ms")?)?,
        expires_at,
    };
    Ok((record, Standing::stored(state, expires_at, started_at)))
}

/// The action as stored, its approvals, and its standing before time is counted in.
pub async fn load(
    connection: &mut AnyConnection,
    id: ActionId,
) -> Result<Option<(ActionRecord, Standing)>, StoreError> {
    let Some(row) = sqlx::query(
        "SELECT id, kind, service, requester, session, document, sha256, state, requirement, refusal, denial, decided, permit,
             execution, result, started_ms, created_ms, expires_ms
         FROM action WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(&mut *connection)
    .await?
    else {
        return Ok(None);
    };
    let (mut record, standing) = read(&row)?;
    for row in sqlx::query(
        "SELECT person, enrolled_key, at_ms FROM approval WHERE action = $1 ORDER BY seq",
    )
    .bind(id.to_string())
    .fetch_all(connection)
    .await?
    {
        record.approvals.push(ApprovalSummary {
            person: parse(row.try_get("person")?, "approval person")?,
            key_id: parse(row.try_get("enrolled_key")?, "approval key")?,
            at: from_ms(row.try_get("at_ms")?)?,
        });
    }
    let standing = fresh(&record, standing);
    Ok(Some((record, standing)))
}

/// An approved action that has to be done soon after its last approval ends then; one whose use was taken does not.
fn fresh(record: &ActionRecord, standing: Standing) -> Standing {
    let within = record.requirement.as_ref().and_then(Requirement::fresh_for);
    match (within, record.approvals.last()) {
        (Some(within), Some(last))
            if record.state == State::Approved && standing.started_at().is_none() =>
        {
            Standing::stored(
                State::Approved,
                record.expires_at.min(last.at.saturating_add(within)),
                None,
            )
        }
        _ => standing,
    }
}

/// Actions that were asked for after this one (by time, then name), oldest first; without their approvals.
pub async fn page(
    connection: &mut AnyConnection,
    after: OffsetDateTime,
    after_id: &str,
    count: i64,
) -> Result<Vec<ActionRecord>, StoreError> {
    sqlx::query(
        "SELECT id, kind, service, requester, session, document, sha256, state, requirement, refusal, denial, decided, permit,
             execution, result, started_ms, created_ms, expires_ms
         FROM action WHERE created_ms > $1 OR (created_ms = $1 AND id > $2) ORDER BY created_ms, id LIMIT $3",
    )
    .bind(to_ms(after))
    .bind(after_id.to_owned())
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| read(row).map(|(record, _)| record))
    .collect()
}

/// The record as it stands at `now`, the way everyone is told.
#[must_use]
pub fn told(record: ActionRecord, standing: Standing, now: OffsetDateTime) -> ActionRecord {
    ActionRecord {
        state: standing.at(now).state(),
        ..record
    }
}

/// The approvals of an action with their signatures.
pub async fn approvals(
    connection: &mut AnyConnection,
    id: ActionId,
) -> Result<Vec<Approval>, StoreError> {
    sqlx::query(
        "SELECT person, enrolled_key, at_ms, client_data_json, authenticator_data, signature, origin, entry
         FROM approval WHERE action = $1 ORDER BY seq",
    )
    .bind(id.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Approval {
            person: parse(row.try_get("person")?, "approval person")?,
            key: parse(row.try_get("enrolled_key")?, "approval key")?,
            at: from_ms(row.try_get("at_ms")?)?,
            response: match row.try_get::<Option<String>, _>("origin")? {
                None => Response::Fido2(AssertionResponse {
                    client_data_json: row.try_get("client_data_json")?,
                    authenticator_data: row.try_get("authenticator_data")?,
                    signature: row.try_get("signature")?,
                    credential_id: None,
                }),
                Some(origin) => Response::Piv(SignatureResponse {
                    origin,
                    signature: row.try_get("signature")?,
                }),
            },
            entry: u64::try_from(row.try_get::<i64, _>("entry")?)
                .map_err(|_| StoreError::Corrupt("entry index"))?,
        })
    })
    .collect()
}

/// Names of pending actions that this person might approve: their own, and those whose roles they hold.
pub async fn awaiting(
    connection: &mut AnyConnection,
    person: &PersonId,
    now: OffsetDateTime,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query(
        "SELECT id FROM action WHERE state = 'pending' AND expires_ms > $2 AND (requester = $1 OR id IN (
             SELECT action_role.action FROM action_role JOIN person_role ON person_role.role = action_role.role
             WHERE person_role.person = $1))
         ORDER BY created_ms, id LIMIT 200",
    )
    .bind(person.as_str().to_owned())
    .bind(to_ms(now))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "action id"))
    .collect()
}

/// What this person asked for within the last minute, hour and day, sign-ins and registrations left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Windows {
    /// All of it.
    pub asked: Window,
    /// What of it was done, or may have been.
    pub executed: Window,
    /// What of it was refused.
    pub refused: Window,
}

/// See [`Windows`].
pub async fn windows(
    connection: &mut AnyConnection,
    requester: &PersonId,
    now: OffsetDateTime,
) -> Result<Windows, StoreError> {
    let rows = sqlx::query(
        "SELECT CASE WHEN state IN ('executed', 'consumed') THEN 'done' WHEN state = 'refused' THEN 'refused' ELSE 'asked' END AS became,
             COUNT(CASE WHEN created_ms > $2 THEN 1 END) AS in_minute,
             COUNT(CASE WHEN created_ms > $3 THEN 1 END) AS in_hour,
             COUNT(*) AS in_day
         FROM action WHERE requester = $1 AND created_ms > $4 AND kind NOT IN ('session.open', 'key.register')
         GROUP BY 1",
    )
    .bind(requester.as_str().to_owned())
    .bind(to_ms(now - Duration::MINUTE))
    .bind(to_ms(now - Duration::HOUR))
    .bind(to_ms(now - Duration::DAY))
    .fetch_all(connection)
    .await?;
    let mut windows = Windows::default();
    for row in rows {
        let count = Window {
            minute: row.try_get("in_minute")?,
            hour: row.try_get("in_hour")?,
            day: row.try_get("in_day")?,
        };
        windows.asked = Window {
            minute: windows.asked.minute + count.minute,
            hour: windows.asked.hour + count.hour,
            day: windows.asked.day + count.day,
        };
        match row.try_get::<&str, _>("became")? {
            "done" => windows.executed = count,
            "refused" => windows.refused = count,
            _ => {}
        }
    }
    Ok(windows)
}

/// What this person asked for since `since`: sign-ins alone, or all but sign-ins.
pub async fn recent(
    connection: &mut AnyConnection,
    requester: &PersonId,
    sign_ins: bool,
    since: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Counts, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS asked,
             COUNT(CASE WHEN state = 'pending' AND expires_ms > $3 THEN 1 END) AS waiting,
             COUNT(CASE WHEN state = 'refused' THEN 1 END) AS refused
         FROM action WHERE requester = $1 AND created_ms > $2
             AND CASE WHEN kind = 'session.open' THEN 1 ELSE 0 END = $4",
    )
    .bind(requester.as_str().to_owned())
    .bind(to_ms(since))
    .bind(to_ms(now))
    .bind(i64::from(sign_ins))
    .fetch_one(connection)
    .await?;
    let count = |column| -> Result<u64, StoreError> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    Ok(Counts {
        asked: count("asked")?,
        pending: count("waiting")?,
        refused: count("refused")?,
    })
}

/// Names of actions whose time is over and whose row does not say so yet; begun executions only of this instance when
/// `restarted`, since nobody will report them.
pub(crate) async fn overdue(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
    grace_before: OffsetDateTime,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query(
        "SELECT id FROM action WHERE state IN ('pending', 'approved')
             AND ((started_ms IS NULL AND expires_ms <= $1) OR (started_ms IS NOT NULL AND expires_ms <= $2))
         ORDER BY expires_ms LIMIT 100",
    )
    .bind(to_ms(now))
    .bind(to_ms(grace_before))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "action id"))
    .collect()
}

/// Names of actions whose execution this instance began and did not report.
pub(crate) async fn begun_by(
    connection: &mut AnyConnection,
    instance: &str,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query("SELECT id FROM action WHERE state = 'approved' AND started_ms IS NOT NULL AND instance = $1")
        .bind(instance.to_owned())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("id")?, "action id"))
        .collect()
}

/// Names of the actions that this session asked for and that nobody has executed.
pub(crate) async fn open_of_session(
    connection: &mut AnyConnection,
    session: SessionId,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query(
        "SELECT id FROM action WHERE state IN ('pending', 'approved') AND started_ms IS NULL AND session = $1 ORDER BY id",
    )
    .bind(session.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "action id"))
    .collect()
}

/// When the next unsettled action ends, for the sweep.
pub(crate) async fn next_end(
    connection: &mut AnyConnection,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query("SELECT MIN(expires_ms) AS next FROM action WHERE state IN ('pending', 'approved') AND started_ms IS NULL")
        .fetch_one(connection)
        .await?
        .try_get::<Option<i64>, _>("next")?
        .map(from_ms)
        .transpose()
}

/// Writes a new action.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    record: &ActionRecord,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO action (id, kind, service, requester, session, document, sha256, state, requirement, denial,
             created_ms, expires_ms, decided)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(record.id.to_string())
    .bind(record.kind.clone())
    .bind(record.service.as_str().to_owned())
    .bind(record.requester.as_str().to_owned())
    .bind(record.session.map(|id| id.to_string()))
    .bind(record.document.as_bytes().to_vec())
    .bind(record.sha256.to_vec())
    .bind(record.state.as_str())
    .bind(record.requirement.as_ref().map(to_json).transpose()?)
    .bind(record.denial.as_ref().map(to_json).transpose()?)
    .bind(to_ms(record.created_at))
    .bind(to_ms(record.expires_at))
    .bind(record.decided.as_ref().map(to_json).transpose()?)
    .execute(&mut *connection)
    .await?;
    if let Some(requirement) = record
        .requirement
        .as_ref()
        .filter(|r| r.approvers == Approvers::Roles)
    {
        for role in &requirement.roles {
            sqlx::query("INSERT INTO action_role (action, role) VALUES ($1, $2)")
                .bind(record.id.to_string())
                .bind(role.as_str().to_owned())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Writes everything of an action that may change; its document and birth never do.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    record: &ActionRecord,
    started_at: Option<OffsetDateTime>,
    instance: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE action SET state = $2, refusal = $3, permit = $4, execution = $5, result = $6, started_ms = $7,
             instance = $8
         WHERE id = $1",
    )
    .bind(record.id.to_string())
    .bind(record.state.as_str())
    .bind(record.refusal.as_ref().map(to_json).transpose()?)
    .bind(record.permit.clone())
    .bind(record.execution.as_ref().map(to_json).transpose()?)
    .bind(record.result.as_ref().map(to_json).transpose()?)
    .bind(started_at.map(to_ms))
    .bind(started_at.map(|_| instance.to_owned()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Where each approval of an action was given, when somebody could tell.
pub async fn workstations(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Vec<(PersonId, Option<Workstation>)>, StoreError> {
    sqlx::query("SELECT person, workstation FROM approval WHERE action = $1 ORDER BY seq")
        .bind(action.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok((
                parse(row.try_get("person")?, "approval person")?,
                json(row.try_get("workstation")?, "approval workstation")?,
            ))
        })
        .collect()
}

/// Says where an approval was given.
pub(crate) async fn set_workstation(
    connection: &mut AnyConnection,
    action: ActionId,
    person: &PersonId,
    at: &Workstation,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE approval SET workstation = $3 WHERE action = $1 AND person = $2")
        .bind(action.to_string())
        .bind(person.as_str().to_owned())
        .bind(to_json(at)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes one approval.
pub(crate) async fn insert_approval(
    connection: &mut AnyConnection,
    action: ActionId,
    approval: &Approval,
    seq: usize,
) -> Result<(), StoreError> {
    let (client_data_json, authenticator_data, signature, origin) = match approval.response.clone()
    {
        Response::Fido2(it) => (
            it.client_data_json,
            it.authenticator_data,
            it.signature,
            None,
        ),
        Response::Piv(it) => (Vec::new(), Vec::new(), it.signature, Some(it.origin)),
    };
    sqlx::query(
        "INSERT INTO approval (action, person, enrolled_key, seq, at_ms, client_data_json, authenticator_data, signature,
             origin, entry)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(action.to_string())
    .bind(approval.person.as_str().to_owned())
    .bind(approval.key.to_string())
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .bind(to_ms(approval.at))
    .bind(client_data_json)
    .bind(authenticator_data)
    .bind(signature)
    .bind(origin)
    .bind(i64::try_from(approval.entry).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// The log entry that an action stands on: that of its last approval, or of its request when nobody had to approve.
pub async fn last_sealed(
    connection: &mut AnyConnection,
    id: ActionId,
) -> Result<Option<u64>, StoreError> {
    let row = sqlx::query(
        "SELECT COALESCE((SELECT MAX(entry) FROM approval WHERE action = $1), (SELECT MIN(idx) FROM log_entry WHERE action = $1)) AS entry",
    )
    .bind(id.to_string())
    .fetch_one(connection)
    .await?;
    row.try_get::<Option<i64>, _>("entry")?
        .map(|entry| u64::try_from(entry).map_err(|_| StoreError::Corrupt("approval entry")))
        .transpose()
}

/// Approved actions that live still and have no permit, at most 64.
pub async fn approved_without_permit(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query(
        "SELECT id FROM action WHERE state = 'approved' AND expires_ms > $1 AND permit IS NULL AND started_ms IS NULL LIMIT 64",
    )
    .bind(to_ms(now))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(&row.try_get::<String, _>("id")?, "action"))
    .collect()
}
