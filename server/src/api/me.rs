//! `GET /v1/me`.

use axum::extract::State;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{PersonCaller, Problem};
use crate::desk::{Desk, DeskError};

/// Who the caller is.
#[utoipa::path(get, path = "/v1/me",
    responses((status = 200, description = "{\"person\",\"session\",\"keys\"}", body = Object), (status = 401, body = super::problem::ProblemBody)))]
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
    Ok(axum::Json(json!({
        "person": { "id": person.id, "display": person.display, "roles": person.roles },
        "session": { "id": session.id, "kind": session.kind, "state": session.state, "expires_at": expires_at },
        "keys": desk.keys(&session.person).await?,
        "suspended_keys": suspended,
    })))
}
