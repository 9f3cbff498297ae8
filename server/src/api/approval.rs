//! `POST /v1/actions/{id}/approvals`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Api, Caller, Json, Path, Problem, action, binary};
use crate::desk::ApprovalClaim;
use crate::id::{ActionId, KeyId};
use crate::session::SessionState;

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalBody {
    #[schema(value_type = String)]
    key_id: KeyId,
    response: AssertionBody,
}

/// What the key answered, base64url.
#[derive(Deserialize, ToSchema)]
struct AssertionBody {
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    credential_id: Option<String>,
}

/// Approves with a key. A sign-in's own token approves that sign-in and nothing else.
#[utoipa::path(post, path = "/v1/actions/{id}/approvals", params(("id" = String, Path)), request_body = ApprovalBody,
    responses((status = 200, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn approve(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ActionId>,
    Json(approval): Json<ApprovalBody>,
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
    let response = approval.response;
    let claim = ApprovalClaim {
        person: session.person.clone(),
        key: approval.key_id,
        client_data_json: binary(&response.client_data_json, "client_data_json")?,
        authenticator_data: binary(&response.authenticator_data, "authenticator_data")?,
        signature: binary(&response.signature, "signature")?,
        credential_id: response
            .credential_id
            .map(|id| binary(&id, "credential_id"))
            .transpose()?,
    };
    let record = api.desk.approve(id, claim).await;
    api.metrics.approval(record.is_ok());
    Ok(axum::Json(
        action::shown(&api.desk, &caller, &record?).await?,
    ))
}
