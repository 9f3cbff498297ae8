//! `GET /v1/me`.

use axum::extract::State;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{PersonCaller, Problem};
use crate::desk::{Desk, DeskError, Standing};

/// Who the caller is.
#[utoipa::path(get, path = "/v1/me",
    responses((status = 200, description = "{\"person\",\"session\",\"keys\",\"keys_wanted\",\"suspended_keys\",\"presence\"}", body = Object), (status = 401, body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
) -> Result<axum::Json<Value>, Problem> {
    let person = desk
        .person(&session.person)
        .await?
        .ok_or(Problem::not_found())?;
    let expires_at = session
        .expires_at
        .format(&Rfc3339)
        .map_err(|_| Problem::from(DeskError::Misuse("time")))?;
    let suspended: Vec<Value> = desk
        .suspended_keys(&session.person)
        .await?
        .iter()
        .map(|key| {
            let reason = key.state_reason.as_deref().unwrap_or_default();
            let meaning = |lang| sceau_proof::attestation::words(reason, lang);
            json!({
                "key_id": key.id, "label": key.label, "aaguid": key.aaguid, "reason": reason,
                "words": { "fr": meaning("fr"), "en": meaning("en") },
            })
        })
        .collect();
    let (sessions, abilities) = desk.presence_of(&session.person).await?;
    let sessions: Vec<Value> = sessions.iter().map(standing).collect();
    let abilities: Vec<Value> = abilities
        .iter()
        .map(|(key, ability)| json!({ "key_id": key, "presence": ability }))
        .collect();
    Ok(axum::Json(json!({
        "person": { "id": person.id, "display": person.display, "roles": person.roles },
        "session": { "id": session.id, "kind": session.kind, "state": session.state, "expires_at": expires_at },
        "keys": desk.keys(&session.person).await?,
        "keys_wanted": desk.keys_wanted(&person.roles),
        "suspended_keys": suspended,
        "presence": { "asked": desk.presence().is_some(), "sessions": sessions, "keys": abilities },
    })))
}

/// A session of the person that needs its key.
fn standing(one: &Standing) -> Value {
    let watched = &one.watched;
    let state = match (&watched.waived, one.is_there) {
        (Some(_), _) => "waived",
        (None, true) => "present",
        (None, false) => "absent",
    };
    json!({
        "session_id": watched.session, "kind": watched.kind, "key_id": watched.key, "state": state,
        "waived": watched.waived, "until": watched.until.format(&Rfc3339).ok(),
    })
}
