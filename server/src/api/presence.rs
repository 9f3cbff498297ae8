//! `POST /v1/presence/…`: what an agent says of its keys' presence (docs/presence.md).

use axum::extract::State;
use axum::http::StatusCode;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::piv::SignatureResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::{Api, Json, PersonCaller, Problem, binary};
use crate::desk::{Asked, BeatAnswer, DeskError, ProofClaim};
use crate::id::{ActionId, KeyId};
use crate::piv::BeatClaim;
use crate::presence::{Goodbye, Why};
use crate::session::{Session, SessionKind};

/// The event `presence` of the inbox; `None` when the time cannot be written.
pub(super) fn asked(asked: &Asked) -> Option<Value> {
    Some(json!({
        "nonce": sceau_proof::base64url::encode(asked.nonce),
        "key_id": asked.key,
        "sessions": asked.sessions,
        "expires_at": asked.expires_at.format(&Rfc3339).ok()?,
        "window_ms": u64::try_from(asked.window.as_millis()).ok()?,
    }))
}

/// An agent's session: no other can prove anything.
fn agent(caller: &Session) -> Result<&Session, Problem> {
    if caller.kind == SessionKind::Agent {
        Ok(caller)
    } else {
        Err(Problem::of(StatusCode::FORBIDDEN, "forbidden").because("an agent's session is needed"))
    }
}

fn nonce(text: &str) -> Result<[u8; 32], Problem> {
    binary(text, "nonce")?
        .try_into()
        .map_err(|_| Problem::of(StatusCode::BAD_REQUEST, "malformed").because("nonce"))
}

/// What a key answered to a nonce: `response`, a FIDO2 key's silent assertion, or `card`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofBody {
    nonce: String,
    #[schema(value_type = Option<Object>)]
    response: Option<AssertionResponse>,
    card: Option<CardBeat>,
}

/// A card's beat by slot 9E. Binary values are base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CardBeat {
    attestation: String,
    intermediates: Vec<String>,
    origin: String,
    signature: String,
}

fn answer(body: ProofBody) -> Result<BeatAnswer, Problem> {
    match (body.response, body.card) {
        (Some(response), None) => Ok(BeatAnswer::Assertion(response)),
        (None, Some(card)) => Ok(BeatAnswer::Card(BeatClaim {
            attestation: binary(&card.attestation, "attestation")?,
            intermediates: card
                .intermediates
                .iter()
                .map(|der| binary(der, "intermediates"))
                .collect::<Result<_, _>>()?,
            signature: SignatureResponse {
                origin: card.origin,
                signature: binary(&card.signature, "signature")?,
            },
        })),
        _ => Err(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("response or card")),
    }
}

/// Takes a proof of presence.
#[utoipa::path(post, path = "/v1/presence/proofs", request_body = ProofBody,
    responses((status = 200, description = "{\"sessions\"}: those that it keeps alive", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn prove(
    State(api): State<Api>,
    PersonCaller(session): PersonCaller,
    Json(body): Json<ProofBody>,
) -> Result<axum::Json<Value>, Problem> {
    let claim = ProofClaim {
        nonce: nonce(&body.nonce)?,
        answer: answer(body)?,
    };
    let proven = api.desk.prove_presence(agent(&session)?, claim).await;
    api.metrics.proof(match &proven {
        Ok(_) => "taken",
        Err(DeskError::Expired) => "late",
        Err(DeskError::NotVerified) => "rejected",
        Err(DeskError::NotFound) => "unknown",
        Err(_) => "failed",
    });
    Ok(axum::Json(json!({ "sessions": proven? })))
}

/// A key is proven no more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GoodbyeBody {
    #[schema(value_type = String)]
    key_id: KeyId,
    #[schema(value_type = String)]
    reason: Goodbye,
}

/// The key that this agent proved was pulled, or is proven no more for another reason.
#[utoipa::path(post, path = "/v1/presence/goodbyes", request_body = GoodbyeBody,
    responses((status = 200, description = "{\"sessions\"}: those that ended or are absent", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn leave(
    State(api): State<Api>,
    PersonCaller(session): PersonCaller,
    Json(body): Json<GoodbyeBody>,
) -> Result<axum::Json<Value>, Problem> {
    let gone = api
        .desk
        .end_presence(agent(&session)?, body.key_id, body.reason)
        .await?;
    api.metrics.proof("goodbye");
    Ok(axum::Json(json!({ "sessions": gone })))
}

/// The key is busy with a touch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DelayBody {
    nonce: String,
    #[schema(value_type = String)]
    action: ActionId,
}

/// The key waits for the touch of this action: the last proof holds longer, once.
#[utoipa::path(post, path = "/v1/presence/delays", request_body = DelayBody,
    responses((status = 200, description = "{\"delayed\":true}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn delay(
    State(api): State<Api>,
    PersonCaller(session): PersonCaller,
    Json(body): Json<DelayBody>,
) -> Result<axum::Json<Value>, Problem> {
    let nonce = nonce(&body.nonce)?;
    api.desk
        .delay_presence(agent(&session)?, nonce, body.action)
        .await?;
    Ok(axum::Json(json!({ "delayed": true })))
}

/// The key cannot prove presence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InabilityBody {
    nonce: String,
    #[schema(value_type = String)]
    reason: Why,
}

/// The key that a nonce asks cannot prove presence.
#[utoipa::path(post, path = "/v1/presence/inabilities", request_body = InabilityBody,
    responses((status = 200, description = "{\"logged\":true}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn disclaim(
    State(api): State<Api>,
    PersonCaller(session): PersonCaller,
    Json(body): Json<InabilityBody>,
) -> Result<axum::Json<Value>, Problem> {
    let nonce = nonce(&body.nonce)?;
    api.desk
        .presence_unable(agent(&session)?, nonce, body.reason)
        .await?;
    Ok(axum::Json(json!({ "logged": true })))
}
