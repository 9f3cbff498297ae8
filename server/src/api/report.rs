//! `POST /v1/agent/reports`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Json, PersonCaller, Problem};
use crate::desk::Desk;
use crate::id::KeyId;

/// What an agent saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportBody {
    #[serde(rename = "kind")]
    _kind: Kind,
    #[schema(value_type = String)]
    key_id: KeyId,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    PinBlocked,
}

/// Leaves an alert in the log: the PIN of one of the caller's keys is locked or blocked.
#[utoipa::path(post, path = "/v1/agent/reports", request_body = ReportBody,
    responses((status = 200, description = "{\"logged\":true}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn report(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Json(report): Json<ReportBody>,
) -> Result<axum::Json<Value>, Problem> {
    desk.report_blocked(session.person.clone(), report.key_id)
        .await?;
    Ok(axum::Json(json!({ "logged": true })))
}
