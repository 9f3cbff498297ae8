//! Enrolment: `POST /v1/enrolments`, `/v1/enrolments/open`, `/v1/enrolments/{id}/registration`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::view::{self, Eyes};
use super::{Api, Json, Path, Peer, PersonCaller, Problem, action, binary};
use crate::action::{Caller, NewAction, Target};
use crate::desk::{Desk, RegistrationClaim};
use crate::id::{EnrolmentId, PersonId};
use crate::policy::OWN_SERVICE;

/// Who shall be enrolled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteBody {
    person: InvitedBody,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitedBody {
    #[schema(value_type = String)]
    id: PersonId,
    #[serde(default)]
    display: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// Asks for the action `key.enroll`.
#[utoipa::path(post, path = "/v1/enrolments", request_body = InviteBody,
    responses((status = 201, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn invite(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Json(invite): Json<InviteBody>,
) -> Result<Response, Problem> {
    let invited = invite.person;
    let known = desk.person(&invited.id).await?;
    let display = invited
        .display
        .clone()
        .or(known.map(|person| person.display))
        .unwrap_or_default();
    let mut person = Map::new();
    person.insert("id".to_owned(), json!(invited.id));
    if let Some(display) = &invited.display {
        person.insert("display".to_owned(), json!(display));
    }
    if !invited.roles.is_empty() {
        person.insert("roles".to_owned(), json!(invited.roles));
    }
    let asked = NewAction {
        kind: "key.enroll".to_owned(),
        service: OWN_SERVICE.parse().map_err(|_| Problem::not_found())?,
        requester: session.person.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: invited.id.to_string(),
            display,
        },
        params: Map::from_iter([("person".to_owned(), Value::Object(person))]),
        request: None,
        words: None,
    };
    let caller = Caller::Person {
        person: session.person.clone(),
        session: session.id,
    };
    let record = desk.open_action(asked, caller).await?;
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
        "user_verification": "required",
        "attestation": "direct",
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// A registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationBody {
    #[schema(value_type = String)]
    invitation: Zeroizing<String>,
    response: RegistrationResponseBody,
    #[serde(default)]
    transports: Vec<String>,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct RegistrationResponseBody {
    client_data_json: String,
    attestation_object: String,
}

/// What a reason means, for who reads French and who reads English.
fn words(reason: &str) -> Value {
    let meaning = |lang| sceau_proof::attestation::words(reason, lang);
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
    let claim = RegistrationClaim {
        client_data_json: binary(&asked.response.client_data_json, "client_data_json")?,
        attestation_object: binary(&asked.response.attestation_object, "attestation_object")?,
        transports: asked.transports,
        label: asked.label,
    };
    let registered = desk
        .register(id, &asked.invitation, claim)
        .await?
        .map_err(|refused| {
            Problem::of(StatusCode::UNPROCESSABLE_ENTITY, "registration-refused")
                .because(refused.detail)
                .with("words", words(&refused.reason))
                .with("reason", refused.reason)
        })?;
    let body = json!({
        "key_id": registered.key.id,
        "person": registered.key.person,
        "aaguid": registered.key.aaguid,
        "model": registered.model,
        "session": { "session_id": registered.session, "token": *registered.token },
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}
