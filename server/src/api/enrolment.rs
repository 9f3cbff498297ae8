//! Enrolment: `POST /v1/enrolments`, `/v1/enrolments/open`, `/v1/enrolments/{id}/registration`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sceau_proof::piv::SignatureResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::view::{self, Eyes};
use super::{Api, Json, Path, Peer, PersonCaller, Problem, action, binary};
use crate::desk::{Desk, DeskError, RegistrationClaim};
use crate::id::{EnrolmentId, KeyId, PersonId};
use crate::key::{Credential, KeyType};
use crate::piv::CardClaim;
use crate::workstation::is_device;

/// Who shall be enrolled: the parameters of `key.enroll`, as they are sealed. Members that nobody gave are not there.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteBody {
    person: InvitedBody,
    /// SHA-256, base64url, of the secret for which alone the invitation is shown, at the desk's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handover: Option<String>,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitedBody {
    #[schema(value_type = String)]
    id: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// Accounts at services that are this person's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<AccountBody>,
    /// SIRET of who employs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    /// The kind of document that the person showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity_document: Option<String>,
    /// The key counts once its person has signed in with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first_use: bool,
    /// A key of theirs, which is revoked once the new one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    replaces: Option<KeyId>,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    service: String,
    id: String,
}

/// Asks for the action `key.enroll`.
#[utoipa::path(post, path = "/v1/enrolments", request_body = InviteBody,
    responses((status = 201, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn invite(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Json(invite): Json<InviteBody>,
) -> Result<Response, Problem> {
    let params = match serde_json::to_value(invite) {
        Ok(Value::Object(params)) => params,
        _ => return Err(DeskError::Misuse("an invitation is an object").into()),
    };
    let record = desk.ask_enrolment(&session, params).await?;
    action::created(&desk, &record, &Eyes::Person(&session.person))
}

/// An invitation's secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenBody {
    #[schema(value_type = String)]
    invitation: Zeroizing<String>,
}

/// Opens an invitation: what the authenticator must be asked.
#[utoipa::path(post, path = "/v1/enrolments/open", request_body = OpenBody,
    responses((status = 201, description = "the ceremony's options", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn open(
    State(api): State<Api>,
    peer: Peer,
    Json(asked): Json<OpenBody>,
) -> Result<Response, Problem> {
    api.stranger(&peer)?;
    let opened = api.desk.open_enrolment(&asked.invitation).await?;
    // The authenticator's user handle: stable for the person, and says nothing of them.
    let handle = sceau_proof::log::entry::sha256(
        format!("sceau/user/v1\0{}\0{}", api.desk.rp_id(), opened.person.id).as_bytes(),
    );
    let body = json!({
        "enrolment_id": opened.id,
        "action": view::document(&opened.action)?,
        "rp": { "id": api.desk.rp_id(), "name": *api.rp_name },
        "origins": api.desk.origins(),
        "user": {
            "id": sceau_proof::base64url::encode(handle),
            "name": opened.person.id,
            "display": opened.person.display,
        },
        "algorithms": [-7, -8, -35, -257],
        "exclude": opened.exclude,
        "user_verification": if opened.verifies_user { "required" } else { "preferred" },
        "attestation": "direct",
        "piv": piv(&api.desk),
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// Which cards may be enrolled; `null` when none.
fn piv(desk: &Desk) -> Option<Value> {
    let cards = desk.cards()?;
    Some(json!({
        "algorithms": ["ES256", "ES384", "RS256"],
        "attested": cards.attested(),
        "issuers": cards.issuers().collect::<Vec<_>>(),
    }))
}

/// A registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationBody {
    #[schema(value_type = String)]
    invitation: Zeroizing<String>,
    #[serde(default = "fido2")]
    #[schema(value_type = String)]
    kind: KeyType,
    response: RegistrationResponseBody,
    #[serde(default)]
    transports: Vec<String>,
    #[serde(default)]
    label: Option<String>,
    /// How the device calls itself, as in a sign-in: the session that comes with the key is there.
    #[serde(default)]
    device: Option<String>,
}

fn fido2() -> KeyType {
    KeyType::Fido2
}

/// What a new key answered, base64url: `client_data_json` and `attestation_object`, or, of a card, the others.
#[derive(Deserialize, ToSchema)]
struct RegistrationResponseBody {
    #[serde(default)]
    client_data_json: Option<String>,
    #[serde(default)]
    attestation_object: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    attestation: Option<String>,
    #[serde(default)]
    certificate: Option<String>,
    #[serde(default)]
    intermediates: Vec<String>,
}

/// What a reason means, for who reads French and who reads English.
fn words(reason: &str) -> Value {
    let meaning = |lang| crate::piv::words(reason, lang);
    json!({ "fr": meaning("fr"), "en": meaning("en") })
}

fn malformed(what: &'static str) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST, "malformed").because(what)
}

/// Enrols the key, or says exactly why not: it happens under the eyes of a help-desk operator, who needs the reason.
#[utoipa::path(post, path = "/v1/enrolments/{id}/registration", params(("id" = String, Path)), request_body = RegistrationBody,
    responses((status = 201, description = "{\"key_id\",\"person\",\"aaguid\",\"model\",\"session\"}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn register(
    State(desk): State<Desk>,
    peer: Peer,
    Path(id): Path<EnrolmentId>,
    Json(asked): Json<RegistrationBody>,
) -> Result<Response, Problem> {
    let plain = |text: &String| {
        !text.is_empty()
            && text.len() <= 16
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    if asked.transports.len() > 8 || !asked.transports.iter().all(plain) {
        return Err(malformed("transports"));
    }
    if asked
        .label
        .as_ref()
        .is_some_and(|label| label.len() > 100 || label.chars().any(char::is_control))
    {
        return Err(malformed("label"));
    }
    if asked.device.as_deref().is_some_and(|name| !is_device(name)) {
        return Err(malformed("device"));
    }
    let registered = match asked.kind {
        KeyType::Fido2 => {
            let response = asked.response;
            let claim = RegistrationClaim {
                client_data_json: required(response.client_data_json, "client_data_json")?,
                attestation_object: required(response.attestation_object, "attestation_object")?,
                transports: asked.transports,
                label: asked.label,
            };
            desk.register(id, &asked.invitation, claim).await?
        }
        KeyType::Piv => {
            let claim = card(asked.response, asked.transports, asked.label)?;
            desk.register_card(id, &asked.invitation, claim).await?
        }
    };
    let registered = registered.map_err(|refused| {
        Problem::of(StatusCode::UNPROCESSABLE_ENTITY, "registration-refused")
            .because(refused.detail)
            .with("words", words(&refused.reason))
            .with("reason", refused.reason)
    })?;
    if let Some((session, _)) = &registered.session {
        desk.place_session(*session, peer.0, asked.device).await?;
    }
    let aaguid = match &registered.key.credential {
        Credential::Fido2 { aaguid, .. } => Some(aaguid.as_str()),
        Credential::Piv { .. } => None,
    };
    let body = json!({
        "key_id": registered.key.id,
        "person": registered.key.person,
        "kind": registered.key.credential.kind(),
        "aaguid": aaguid,
        "model": registered.model,
        "state": registered.key.state,
        "session": registered.session.map(|(id, token)| json!({ "session_id": id, "token": *token })),
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

fn required(text: Option<String>, what: &'static str) -> Result<Vec<u8>, Problem> {
    binary(&text.ok_or(DeskError::Malformed(what))?, what)
}

fn card(
    response: RegistrationResponseBody,
    transports: Vec<String>,
    label: Option<String>,
) -> Result<CardClaim, Problem> {
    let origin = response
        .origin
        .filter(|origin| origin.len() <= 300)
        .ok_or(DeskError::Malformed("origin"))?;
    let optional = |text: Option<String>, what| text.map(|text| binary(&text, what)).transpose();
    Ok(CardClaim {
        signature: SignatureResponse {
            origin,
            signature: required(response.signature, "signature")?,
        },
        attestation: optional(response.attestation, "attestation")?,
        certificate: optional(response.certificate, "certificate")?,
        intermediates: response
            .intermediates
            .iter()
            .map(|text| binary(text, "intermediates"))
            .collect::<Result<_, _>>()?,
        transports,
        label,
    })
}
