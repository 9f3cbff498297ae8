//! `POST /v1/actions/{id}/approvals`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Api, Caller, Json, Path, Peer, Problem, action, binary};
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::evidence::Response;
use sceau_proof::piv::SignatureResponse;

use crate::desk::{ApprovalClaim, DeskError};
use crate::id::{ActionId, KeyId};
use crate::session::SessionState;

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalBody {
    #[schema(value_type = String)]
    key_id: KeyId,
    response: AnswerBody,
}

/// What the key answered, base64url: an assertion, or a card's `origin` and `signature`.
#[derive(Deserialize, ToSchema)]
struct AnswerBody {
    #[serde(default)]
    client_data_json: Option<String>,
    #[serde(default)]
    authenticator_data: Option<String>,
    signature: String,
    #[serde(default)]
    credential_id: Option<String>,
    #[serde(default)]
    origin: Option<String>,
}

impl ApprovalBody {
    /// Which key answered, and what.
    pub(crate) fn read(self) -> Result<(KeyId, Response), Problem> {
        Ok((self.key_id, self.response.read()?))
    }
}

impl AnswerBody {
    fn read(self) -> Result<Response, Problem> {
        let signature = binary(&self.signature, "signature")?;
        match (self.client_data_json, self.authenticator_data, self.origin) {
            (Some(client_data_json), Some(authenticator_data), None) => {
                let credential_id = match self.credential_id {
                    Some(id) => Some(
                        CredentialId::new(binary(&id, "credential_id")?)
                            .ok_or(DeskError::Malformed("credential_id"))?,
                    ),
                    None => None,
                };
                Ok(Response::Fido2(AssertionResponse {
                    client_data_json: binary(&client_data_json, "client_data_json")?,
                    authenticator_data: binary(&authenticator_data, "authenticator_data")?,
                    signature,
                    credential_id,
                }))
            }
            (None, None, Some(origin)) if origin.len() <= 300 => {
                Ok(Response::Piv(SignatureResponse { origin, signature }))
            }
            _ => Err(DeskError::Malformed("response").into()),
        }
    }
}

/// Approves with a key. A sign-in's own token approves that sign-in and nothing else.
#[utoipa::path(post, path = "/v1/actions/{id}/approvals", params(("id" = String, Path)), request_body = ApprovalBody,
    responses((status = 200, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn approve(
    State(api): State<Api>,
    peer: Peer,
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
        Caller::Service(_) => return Err(DeskError::Forbidden.into()),
    };
    let (key, response) = approval.read()?;
    let claim = ApprovalClaim {
        person: session.person.clone(),
        key,
        response,
    };
    let at = api.desk.workstation(session.id, peer.0).await?;
    let record = api.desk.approve_at(id, claim, Some(at)).await;
    api.metrics.approval(record.is_ok());
    Ok(axum::Json(
        action::shown(&api.desk, &caller, &record?).await?,
    ))
}
