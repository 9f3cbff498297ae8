//! `POST /v1/actions/{id}/refusals`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Caller, Json, Path, Problem, action};
use crate::desk::{Desk, RefusalReason};
use crate::id::ActionId;
use crate::session::SessionState;

/// A refusal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusalBody {
    reason: Why,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Why {
    NotMe,
    Mistake,
    Other,
}

/// Refuses; `not-me` also suspends the session that asked.
#[utoipa::path(post, path = "/v1/actions/{id}/refusals", params(("id" = String, Path)), request_body = RefusalBody,
    responses((status = 200, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn refuse(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<ActionId>,
    Json(refusal): Json<RefusalBody>,
) -> Result<axum::Json<Value>, Problem> {
    let session = match &caller {
        Caller::Session(session) if session.is_active() => session,
        Caller::Session(session)
            if session.state == SessionState::Pending && session.action == id =>
        {
            session
        }
        Caller::Session(session) => return Err(Problem::session(session.state)),
        Caller::Service(_) => return Err(crate::desk::DeskError::Forbidden.into()),
    };
    let reason = match refusal.reason {
        Why::NotMe => RefusalReason::NotMe,
        Why::Mistake => RefusalReason::Mistake,
        Why::Other => RefusalReason::Other,
    };
    let record = desk
        .refuse(id, session.person.clone(), reason, refusal.text)
        .await?;
    Ok(axum::Json(action::shown(&desk, &caller, &record).await?))
}
