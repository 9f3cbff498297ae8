//! Rows of enrolled keys, with their attestation kept verbatim for evidence and for being judged again.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_json, to_ms};
use crate::id::{ActionId, KeyId, PersonId};
use crate::key::{Credential, KeyRecord, KeyState, KeyType};

/// What enrolment verified, kept verbatim.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The key record of docs/evidence.md, canonical JSON: public key, origins, and the registration verbatim.
    pub record: Vec<u8>,
    /// The verdicts at enrolment, as JSON: format, type, anchor, model.
    pub attestation: serde_json::Value,
}

fn read(row: &AnyRow) -> Result<KeyRecord, StoreError> {
    let public_key: Vec<u8> = row.try_get("public_key")?;
    let credential = match row.try_get::<&str, _>("kind")? {
        "fido2" => Credential::Fido2 {
            credential_id: row.try_get("handle")?,
            public_key_cose: public_key,
            aaguid: row.try_get("aaguid")?,
            verifies_user: row.try_get::<i64, _>("verifies_user")? != 0,
        },
        "piv" => Credential::Piv {
            public_key_spki: public_key,
            attested: row.try_get::<i64, _>("attested")? != 0,
            pin_each_time: row.try_get::<i64, _>("pin_each_time")? != 0,
        },
        _ => return Err(StoreError::Corrupt("key kind")),
    };
    Ok(KeyRecord {
        id: parse(row.try_get("id")?, "key id")?,
        person: parse(row.try_get("person")?, "key person")?,
        credential,
        label: row.try_get("label")?,
        transports: serde_json::from_str(row.try_get("transports")?)
            .map_err(|_| StoreError::Corrupt("transports"))?,
        sign_count: u32::try_from(row.try_get::<i64, _>("sign_count")?)
            .map_err(|_| StoreError::Corrupt("counter"))?,
        backup_eligible: row.try_get::<i64, _>("backup_eligible")? != 0,
        record_sha256: row
            .try_get::<Vec<u8>, _>("record_sha256")?
            .try_into()
            .map_err(|_| StoreError::Corrupt("key record digest"))?,
        state: KeyState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("key state"))?,
    })
}

/// One key; `None` when there is none.
pub async fn load(
    connection: &mut AnyConnection,
    id: KeyId,
) -> Result<Option<KeyRecord>, StoreError> {
    sqlx::query(
        "SELECT id, person, kind, handle, public_key, aaguid, attested, pin_each_time, verifies_user, label, transports, sign_count,
             backup_eligible, record_sha256, state
         FROM enrolled_key WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

/// All keys of a person, oldest first.
pub async fn of_person(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Vec<KeyRecord>, StoreError> {
    sqlx::query(
        "SELECT id, person, kind, handle, public_key, aaguid, attested, pin_each_time, verifies_user, label, transports, sign_count,
             backup_eligible, record_sha256, state
         FROM enrolled_key WHERE person = $1 ORDER BY created_ms, id",
    )
    .bind(person.as_str().to_owned())
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

/// A key as a help desk sees it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The key.
    pub key: KeyRecord,
    /// Why it does not count, when it does not.
    pub state_reason: Option<String>,
    /// Its model in words, as its enrolment found it, where that is known.
    pub model: Option<String>,
    /// Enrolment.
    pub created_at: OffsetDateTime,
    /// Last use.
    pub used_at: Option<OffsetDateTime>,
}

/// All keys of a person with what a help desk wants to know of them, oldest first.
pub async fn held(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Vec<Held>, StoreError> {
    sqlx::query(
        "SELECT id, person, kind, handle, public_key, aaguid, attested, pin_each_time, verifies_user, label, transports, sign_count,
             backup_eligible, record_sha256, state, state_reason, attestation, created_ms, used_ms
         FROM enrolled_key WHERE person = $1 ORDER BY created_ms, id",
    )
    .bind(person.as_str().to_owned())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let attestation: serde_json::Value = serde_json::from_str(row.try_get("attestation")?)
            .map_err(|_| StoreError::Corrupt("attestation"))?;
        Ok(Held {
            key: read(row)?,
            state_reason: row.try_get("state_reason")?,
            model: attestation["model"].as_str().map(str::to_owned),
            created_at: from_ms(row.try_get("created_ms")?)?,
            used_at: row
                .try_get::<Option<i64>, _>("used_ms")?
                .map(from_ms)
                .transpose()?,
        })
    })
    .collect()
}

/// The handles of FIDO2 credentials that this person's enrolments have handed out to others since then, newest first, at most `limit`.
pub async fn handed_out(
    connection: &mut AnyConnection,
    by: &PersonId,
    since: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query(
        "SELECT handle FROM enrolled_key WHERE kind = 'fido2' AND state <> 'revoked' AND created_ms >= $2 AND person IN
             (SELECT invitation.person FROM invitation JOIN action ON action.id = invitation.enroll_action
              WHERE action.requester = $1 AND invitation.state = 'used')
         ORDER BY created_ms DESC, id DESC LIMIT $3",
    )
    .bind(by.as_str().to_owned())
    .bind(to_ms(since))
    .bind(limit)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| Ok(row.try_get("handle")?))
    .collect()
}

/// The handles of FIDO2 credentials of one model (AAGUID) that are somebody's and not revoked, newest first, at most `limit`.
pub async fn held_of_model(
    connection: &mut AnyConnection,
    aaguid: &str,
    limit: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query(
        "SELECT handle FROM enrolled_key WHERE kind = 'fido2' AND state <> 'revoked' AND aaguid = $1
         ORDER BY created_ms DESC, id DESC LIMIT $2",
    )
    .bind(aaguid.to_owned())
    .bind(limit)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| Ok(row.try_get("handle")?))
    .collect()
}

/// Whether a key is enrolled already, for anyone.
pub async fn known(
    connection: &mut AnyConnection,
    credential: &Credential,
) -> Result<bool, StoreError> {
    Ok(sqlx::query("SELECT id FROM enrolled_key WHERE handle = $1")
        .bind(credential.handle())
        .fetch_optional(connection)
        .await?
        .is_some())
}

/// What enrolment kept of a key.
pub async fn registration(
    connection: &mut AnyConnection,
    id: KeyId,
) -> Result<Option<Registration>, StoreError> {
    let Some(row) = sqlx::query("SELECT record, attestation FROM enrolled_key WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?
    else {
        return Ok(None);
    };
    Ok(Some(Registration {
        record: row.try_get("record")?,
        attestation: serde_json::from_str(row.try_get("attestation")?)
            .map_err(|_| StoreError::Corrupt("attestation"))?,
    }))
}

/// Writes a new key.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    key: &KeyRecord,
    registration: &Registration,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (public_key, aaguid, attested, pin_each_time, verifies_user) = match key.credential.clone()
    {
        Credential::Fido2 {
            public_key_cose,
            aaguid,
            verifies_user,
            ..
        } => (public_key_cose, aaguid, true, false, verifies_user),
        Credential::Piv {
            public_key_spki,
            attested,
            pin_each_time,
        } => (
            public_key_spki,
            String::new(),
            attested,
            pin_each_time,
            pin_each_time,
        ),
    };
    sqlx::query(
        "INSERT INTO enrolled_key (id, person, kind, handle, public_key, aaguid, label, transports, sign_count,
             backup_eligible, state, record, record_sha256, attestation, created_ms, attested, pin_each_time,
             verifies_user)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(key.id.to_string())
    .bind(key.person.as_str().to_owned())
    .bind(match key.credential.kind() {
        KeyType::Fido2 => "fido2",
        KeyType::Piv => "piv",
    })
    .bind(key.credential.handle())
    .bind(public_key)
    .bind(aaguid)
    .bind(key.label.clone())
    .bind(to_json(&key.transports)?)
    .bind(i64::from(key.sign_count))
    .bind(i64::from(key.backup_eligible))
    .bind(key.state.as_str())
    .bind(registration.record.clone())
    .bind(key.record_sha256.to_vec())
    .bind(to_json(&registration.attestation)?)
    .bind(to_ms(now))
    .bind(i64::from(attested))
    .bind(i64::from(pin_each_time))
    .bind(i64::from(verifies_user))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps a genuine response that was refused, beside the entry that tells of it.
pub(crate) async fn flag(
    connection: &mut AnyConnection,
    entry: u64,
    action: ActionId,
    key: KeyId,
    response: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO flagged (entry, action, enrolled_key, response) VALUES ($1, $2, $3, $4)",
    )
    .bind(i64::try_from(entry).unwrap_or(i64::MAX))
    .bind(action.to_string())
    .bind(key.to_string())
    .bind(response.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// A use: the counter moves and the time is kept.
pub(crate) async fn used(
    connection: &mut AnyConnection,
    id: KeyId,
    sign_count: u32,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE enrolled_key SET sign_count = $2, used_ms = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(i64::from(sign_count))
        .bind(to_ms(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes whether a key counts; a revoked key never comes back.
pub(crate) async fn set_state(
    connection: &mut AnyConnection,
    id: KeyId,
    state: KeyState,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE enrolled_key SET state = $2, state_reason = $3 WHERE id = $1 AND state <> 'revoked'")
        .bind(id.to_string())
        .bind(state.as_str())
        .bind(reason.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}
