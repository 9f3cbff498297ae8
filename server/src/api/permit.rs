//! `POST /v1/actions/{id}/permits` and `POST /v1/permits/introspect` (RFC 7662).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sceau_proof::permit::Claims;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Form, Path, Problem, ServiceCaller};
use crate::desk::Desk;
use crate::id::ActionId;

/// A fresh permit, while the action is approved and its use not taken.
#[utoipa::path(post, path = "/v1/actions/{id}/permits", params(("id" = String, Path)),
    responses((status = 201, description = "{\"permit\"}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn issue(
    State(desk): State<Desk>,
    ServiceCaller(service): ServiceCaller,
    Path(id): Path<ActionId>,
) -> Result<Response, Problem> {
    let permit = desk.issue_permit(id, service).await?;
    Ok((StatusCode::CREATED, axum::Json(json!({ "permit": permit }))).into_response())
}

/// What RFC 7662 sends.
#[derive(Deserialize, ToSchema)]
pub(super) struct IntrospectionForm {
    token: String,
    #[serde(default)]
    consume: bool,
    #[serde(default, rename = "token_type_hint")]
    _token_type_hint: Option<String>,
}

/// Whether a permit is active; `consume=true` uses it up, once.
#[utoipa::path(post, path = "/v1/permits/introspect",
    request_body(content = IntrospectionForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "{\"active\", …claims}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn introspect(
    State(desk): State<Desk>,
    ServiceCaller(service): ServiceCaller,
    Form(form): Form<IntrospectionForm>,
) -> Result<axum::Json<Value>, Problem> {
    let claims = desk.introspect(&form.token, &service, form.consume).await?;
    Ok(axum::Json(introspected(claims)))
}

/// What introspection says (RFC 7662 §2.2; `acr` and `auth_time`: RFC 9470 §6.2).
pub(crate) fn introspected(claims: Option<Claims>) -> Value {
    let touched = claims
        .as_ref()
        .and_then(|claims| claims.approvals.iter().map(|approval| approval.at).max());
    // RFC 9449 §6.2.
    let is_bound = claims.as_ref().is_some_and(|claims| claims.cnf.is_some());
    let kind = if is_bound { "DPoP" } else { "permit+jwt" };
    match claims.map(serde_json::to_value) {
        Some(Ok(Value::Object(mut answer))) => {
            answer.insert("active".to_owned(), Value::Bool(true));
            answer.insert("token_type".to_owned(), Value::from(kind));
            if let Some(touched) = touched {
                answer.insert("auth_time".to_owned(), touched.unix_timestamp().into());
            }
            Value::Object(answer)
        }
        _ => json!({ "active": false }),
    }
}
