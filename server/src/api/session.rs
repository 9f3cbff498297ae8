//! Sign-in by key: `POST /v1/sessions`, `GET` and `DELETE /v1/sessions/{id}`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Api, Caller, Json, Path, Peer, Problem, Query, Wait, view};
use crate::desk::{Desk, DeskError};
use crate::id::{PersonId, SessionId};
use crate::session::{Session, SessionKind};
use crate::workstation::is_device;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSessionBody {
    #[schema(value_type = String)]
    person: PersonId,
    kind: Kind,
    /// How the device calls itself; tells workstations apart behind one address.
    #[serde(default)]
    device: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Agent,
    Browser,
}

/// Starts a sign-in. The token is dead until that person's key has sealed the action.
#[utoipa::path(post, path = "/v1/sessions", request_body = NewSessionBody,
    responses((status = 201, description = "{\"session_id\",\"token\",\"action\",\"keys\"}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn open(
    State(api): State<Api>,
    peer: Peer,
    Json(asked): Json<NewSessionBody>,
) -> Result<Response, Problem> {
    api.stranger(&peer)?;
    let kind = match asked.kind {
        Kind::Agent => SessionKind::Agent,
        Kind::Browser => SessionKind::Browser,
    };
    if asked.device.as_deref().is_some_and(|name| !is_device(name)) {
        return Err(DeskError::Malformed("device").into());
    }
    let place = Some((peer.0, asked.device));
    let opened = api.desk.open_session_at(asked.person, kind, place).await?;
    let body = json!({
        "session_id": opened.id,
        "token": *opened.token,
        "action": view::document(&opened.action)?,
        "keys": opened.keys,
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// The caller's own session of that name, in whatever state.
fn own(caller: Caller, id: SessionId) -> Result<Session, Problem> {
    match caller {
        Caller::Session(session) if session.id == id => Ok(session),
        _ => Err(Problem::not_found()),
    }
}

/// Where a sign-in stands, waiting while it is pending.
#[utoipa::path(get, path = "/v1/sessions/{id}", params(("id" = String, Path), ("wait" = Option<u64>, Query)),
    responses((status = 200, description = "{\"state\"}", body = Object), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(wait): Query<Wait>,
) -> Result<axum::Json<Value>, Problem> {
    let session = own(caller, id)?;
    let session = desk
        .wait_session(session.id, wait.span())
        .await?
        .ok_or(Problem::not_found())?;
    Ok(axum::Json(json!({ "state": session.state })))
}

/// Signs out.
#[utoipa::path(delete, path = "/v1/sessions/{id}", params(("id" = String, Path)),
    responses((status = 204, description = "ended"), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn end(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    desk.end_session(own(caller, id)?.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
