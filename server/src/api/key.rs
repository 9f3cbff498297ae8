//! `GET /v1/keys/{id}/review`: what a key approved of late, for administrators (and its own person) when it fell; `GET /v1/persons/{id}/keys`: the keys
//! that a help desk has to do with.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::{Path, PersonCaller, Problem, Query};
use crate::desk::{Desk, DeskError};
use crate::id::{KeyId, PersonId};
use crate::key::Credential;

/// A key and its approvals, newest first.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer")]
pub(super) struct ReviewBody {
    key_id: String,
    person: String,
    label: String,
    aaguid: String,
    state: String,
    state_reason: Option<String>,
    since: String,
    approvals: Vec<Object>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer")]
struct Object {
    action_id: String,
    r#type: String,
    service: String,
    requester: String,
    state: String,
    at: String,
}

/// The approvals of the last 90 days; administrators see any key's, others their own keys'.
#[utoipa::path(get, path = "/v1/keys/{id}/review", params(("id" = String, Path)),
    responses((status = 200, description = "the key and its approvals of the last 90 days", body = ReviewBody), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn review(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Path(id): Path<KeyId>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = desk
        .person(&session.person)
        .await?
        .ok_or(Problem::not_found())?;
    let administers = caller
        .roles
        .iter()
        .any(|role| role.as_str() == "administrator");
    let found = desk.review(id).await?;
    let review = found
        .filter(|review| administers || review.key.person == caller.id)
        .ok_or(Problem::not_found())?;
    let since = review
        .since
        .format(&Rfc3339)
        .map_err(|_| Problem::from(DeskError::Misuse("time")))?;
    let key = &review.key;
    Ok(axum::Json(json!({
        "key_id": key.id, "person": key.person, "label": key.label, "aaguid": key.aaguid, "state": key.state,
        "state_reason": key.state_reason, "since": since, "approvals": review.approvals,
    })))
}

/// Most credentials that one answer names: an authenticator that was just plugged in can be asked for these before its time for a reset is over.
const MAX_NAMED: usize = 1000;

/// Which model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfModel {
    aaguid: String,
}

/// Credentials of one model that are somebody's, whoever's: for administrators and operators, who erase no authenticator that holds one.
#[utoipa::path(get, path = "/v1/keys", params(("aaguid" = String, Query)),
    responses((status = 200, description = "{\"credentials\":[\"<credential id>\"],\"whole\":bool}: newest first; not whole when there are more", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn of_model(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Query(model): Query<OfModel>,
) -> Result<axum::Json<Value>, Problem> {
    if !oversees(&desk, &session.person).await? {
        return Err(DeskError::Forbidden.into());
    }
    let limit = i64::try_from(MAX_NAMED + 1).unwrap_or(i64::MAX);
    let held = desk.held_of_model(&model.aaguid, limit).await?;
    let named: Vec<String> = held
        .iter()
        .take(MAX_NAMED)
        .map(sceau_proof::base64url::encode)
        .collect();
    Ok(axum::Json(
        json!({ "credentials": named, "whole": held.len() <= MAX_NAMED }),
    ))
}

/// Whether this person looks after others' keys.
async fn oversees(desk: &Desk, person: &PersonId) -> Result<bool, Problem> {
    let caller = desk.person(person).await?.ok_or(Problem::not_found())?;
    Ok(caller
        .roles
        .iter()
        .any(|role| matches!(role.as_str(), "administrator" | "operator")))
}

/// All keys of a person, revoked ones too, oldest first; for administrators, operators, and the person.
#[utoipa::path(get, path = "/v1/persons/{id}/keys", params(("id" = String, Path)),
    responses((status = 200, description = "{\"person\":{\"id\",\"display\",\"state\",\"roles\"},\"keys_wanted\",\"keys\":[{\"key_id\",\"kind\",\"label\",\"model\",\"aaguid\",\"state\",\"state_reason\",\"enrolled_at\",\"used_at\"}]}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn of_person(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Path(id): Path<PersonId>,
) -> Result<axum::Json<Value>, Problem> {
    if session.person != id && !oversees(&desk, &session.person).await? {
        return Err(Problem::not_found());
    }
    let person = desk.person(&id).await?.ok_or(Problem::not_found())?;
    let instant = |at: time::OffsetDateTime| {
        at.format(&Rfc3339)
            .map_err(|_| Problem::from(DeskError::Misuse("time")))
    };
    let mut keys = Vec::new();
    for held in desk.held(&id).await? {
        let aaguid = match &held.key.credential {
            Credential::Fido2 { aaguid, .. } => Some(aaguid.as_str()),
            Credential::Piv { .. } => None,
        };
        keys.push(json!({
            "key_id": held.key.id, "kind": held.key.credential.kind(), "label": held.key.label, "model": held.model, "aaguid": aaguid,
            "state": held.key.state, "state_reason": held.state_reason, "enrolled_at": instant(held.created_at)?,
            "used_at": held.used_at.map(instant).transpose()?,
        }));
    }
    let wanted = desk.keys_wanted(&person.roles);
    Ok(axum::Json(json!({
        "keys_wanted": wanted,
        "person": { "id": person.id, "display": person.display, "state": person.state, "roles": person.roles },
        "keys": keys,
    })))
}
