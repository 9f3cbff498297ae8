//! What runs beside the API: health, metrics, keys, description, and answers for paths that are not there.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;

use super::{Api, Description, Problem};
use crate::desk::Desk;

/// The description of this API.
pub(super) async fn openapi() -> axum::Json<utoipa::openapi::OpenApi> {
    axum::Json(Description::openapi())
}

/// The keys that permits are signed with (RFC 7517).
#[utoipa::path(get, path = "/jwks.json", responses((status = 200, description = "a JWK set", body = Object)))]
pub(super) async fn jwks(State(desk): State<Desk>) -> Response {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        axum::Json(desk.jwks()),
    )
        .into_response()
}

/// The process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "ok")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The store answers.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "ready"), (status = 503, body = super::problem::ProblemBody)))]
pub(super) async fn readyz(State(desk): State<Desk>) -> Result<&'static str, Problem> {
    desk.ready().await?;
    Ok("ready\n")
}

/// Prometheus' text format. Counts alone: nothing about persons.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "metrics", content_type = "text/plain")))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let (actions, inboxes) = api.desk.waiting();
    let presence = api.desk.presence_counts().await?;
    let text = api
        .metrics
        .text(actions, inboxes, presence)
        .map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// No such path.
pub(super) async fn not_found() -> Problem {
    Problem::not_found()
}

/// The path is there, for other methods.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::of(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
}
