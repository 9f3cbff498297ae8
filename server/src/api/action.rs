//! `POST /v1/actions`, `GET /v1/actions/{id}?wait=`, `GET /v1/actions/{id}/evidence`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::view::{self, Eyes};
use super::{Caller, Json, Path, Problem, Query, Wait};
use crate::action::{
    self, ActionRecord, NewAction, RequestDigest, State as ActionState, Target, Words,
};
use crate::desk::Desk;
use crate::id::{ActionId, PersonId};
use crate::policy::OWN_SERVICE;

/// What is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewActionBody {
    r#type: String,
    #[schema(value_type = String)]
    requester: PersonId,
    #[schema(value_type = Object)]
    target: Target,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    request: Option<RequestDigest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    words: Option<Words>,
}

/// Asks for an action: a service at itself, a person at the server's own service.
#[utoipa::path(post, path = "/v1/actions", request_body = NewActionBody,
    responses((status = 201, description = "the action object, pending or denied", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn open(
    State(desk): State<Desk>,
    caller: Caller,
    Json(asked): Json<NewActionBody>,
) -> Result<Response, Problem> {
    let (service, caller, eyes) = match &caller {
        Caller::Service(service) => (
            service.clone(),
            action::Caller::Service(service.clone()),
            Eyes::Service,
        ),
        Caller::Session(session) if session.is_active() => {
            let own = OWN_SERVICE.parse().map_err(|_| Problem::not_found())?;
            let who = action::Caller::Person {
                person: session.person.clone(),
                session: session.id,
            };
            (own, who, Eyes::Person(&session.person))
        }
        Caller::Session(session) => return Err(Problem::session(session.state)),
    };
    let asked = NewAction {
        kind: asked.r#type,
        service,
        requester: asked.requester,
        target: asked.target,
        params: asked.params,
        request: asked.request,
        words: asked.words,
    };
    let record = desk.open_action(asked, caller).await?;
    created(&desk, &record, &eyes)
}

/// `201` and the action object.
pub(super) fn created(
    desk: &Desk,
    record: &ActionRecord,
    eyes: &Eyes<'_>,
) -> Result<Response, Problem> {
    let body = view::action(desk, record, eyes)?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, format!("/v1/actions/{}", record.id))],
        axum::Json(body),
    )
        .into_response())
}

/// Finds an action for this caller: the service that asked, the requester, whoever may approve, or the sign-in that it seals.
pub(super) async fn readable(
    desk: &Desk,
    caller: &Caller,
    record: &ActionRecord,
) -> Result<bool, Problem> {
    Ok(match caller {
        Caller::Service(service) => *service == record.service,
        Caller::Session(session) if session.is_active() => {
            session.person == record.requester || desk.may_approve(record, &session.person).await?
        }
        Caller::Session(session) => session.action == record.id,
    })
}

/// The action object as this caller sees it. An executed `key.enroll` shows its requester the invitation, once.
pub(super) async fn shown(
    desk: &Desk,
    caller: &Caller,
    record: &ActionRecord,
) -> Result<Value, Problem> {
    match caller {
        Caller::Service(_) => view::action(desk, record, &Eyes::Service),
        Caller::Session(session) => {
            let awaited = desk.awaited(record).await?;
            let mut object = view::action(desk, record, &Eyes::Person(&session.person))?;
            if let Some(object) = object.as_object_mut() {
                object.insert("awaited".to_owned(), json!(awaited));
            }
            let invites = record.kind == "key.enroll" && record.state == ActionState::Executed;
            if invites
                && session.is_active()
                && session.person == record.requester
                && let Some((id, secret, expires_at)) = desk.reveal_invitation(record.id).await?
            {
                let expires_at = expires_at
                    .format(&time::format_description::well_known::Rfc3339)
                    .map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
                let result =
                    json!({ "enrolment_id": id, "invitation": *secret, "expires_at": expires_at });
                if let Some(object) = object.as_object_mut() {
                    object.insert("result".to_owned(), result);
                }
            }
            Ok(object)
        }
    }
}

/// The action as it stands, waiting up to `wait` seconds while it is pending.
#[utoipa::path(get, path = "/v1/actions/{id}", params(("id" = String, Path), ("wait" = Option<u64>, Query)),
    responses((status = 200, description = "the action object", body = Object), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<ActionId>,
    Query(wait): Query<Wait>,
) -> Result<axum::Json<Value>, Problem> {
    let record = desk.action(id).await?.ok_or(Problem::not_found())?;
    if !readable(&desk, &caller, &record).await? {
        return Err(Problem::not_found());
    }
    let record = if record.state == ActionState::Pending && wait.wait > 0 {
        desk.wait(id, wait.span())
            .await?
            .ok_or(Problem::not_found())?
    } else {
        record
    };
    Ok(axum::Json(shown(&desk, &caller, &record).await?))
}

/// Everything that the action left behind, checkable offline (docs/evidence.md).
#[utoipa::path(get, path = "/v1/actions/{id}/evidence", params(("id" = String, Path)),
    responses((status = 200, description = "the evidence bundle", body = Object), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn evidence(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<ActionId>,
) -> Result<Response, Problem> {
    let record = desk.action(id).await?.ok_or(Problem::not_found())?;
    if !readable(&desk, &caller, &record).await? {
        return Err(Problem::not_found());
    }
    let mut bundle = desk.evidence(id).await?;
    if matches!(caller, Caller::Session(_)) {
        // A permit is for its service alone while it can be used.
        bundle.permit = bundle.permit.filter(|_| record.state.is_final());
    }
    let body = bundle
        .to_json()
        .map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
