//! `GET /v1/actions/{id}/inclusion`: the caller's own approvals of an action, proven to be in the log. Agents ask after each seal.

use axum::extract::State;

use super::{Path, PersonCaller, Problem};
use crate::desk::Desk;
use crate::id::ActionId;

/// The caller's approvals of this action in the log.
#[utoipa::path(get, path = "/v1/actions/{id}/inclusion", params(("id" = String, Path)),
    responses((status = 200, description = "`checkpoint` and `entries` as in an evidence bundle", body = Object), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Path(id): Path<ActionId>,
) -> Result<axum::Json<sceau_proof::evidence::LogRecord>, Problem> {
    Ok(axum::Json(desk.inclusion(id, &session.person).await?))
}
