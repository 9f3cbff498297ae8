//! One sign-in: the person names themselves, their key seals an action that names this very request, and the browser that began it goes on.
//!
//! The browser is bound by a token of its own in a cookie; the key's owner compares a number that the browser shows with the one in the
//! words that they seal, so that nobody seals someone else's sign-in unawares. What the key proves is checked where approvals are (`desk`).

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authorize::{known, send_back};
use super::people::Profile;
use super::request::{AuthorizationRequest, MAX_QUERY, pairs};
use super::{Provider, page};
use crate::action::{ActionRecord, NewAction, State as Standing, Target, Words};
use crate::api::{ApprovalBody, Json, Peer, Problem};
use crate::desk::{ApprovalClaim, CancelReason, DeskError, NewLogin};
use crate::gate::session::is_cross_site;
use crate::id::{LoginId, PersonId};
use crate::store::login::{Login, LoginState};

/// Longest name of a service that is shown.
const MAX_NAME: usize = 200;
/// Longest wait that can be asked for, in seconds.
const MAX_WAIT: u64 = 30;

/// Only pages of our own may change something.
fn own_page(provider: &Provider, headers: &HeaderMap) -> Result<(), Problem> {
    if is_cross_site(headers, provider.desk().public_url()) {
        return Err(Problem::of(StatusCode::FORBIDDEN, "cross-site"));
    }
    Ok(())
}

/// `POST /provider/login`: who the person says they are.
pub(super) async fn begin(
    State(provider): State<Provider>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    provider.stranger(&peer)?;
    own_page(&provider, &headers)?;
    let malformed = || Problem::of(StatusCode::BAD_REQUEST, "malformed");
    if body.len() > 2 * MAX_QUERY {
        return Err(Problem::of(StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    }
    let text = std::str::from_utf8(&body).map_err(|_| malformed())?;
    let form = pairs(text).ok_or_else(malformed)?;
    let field = |name: &str| {
        form.iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    };
    let (query, name) = (
        field("request").ok_or_else(malformed)?,
        field("person").ok_or_else(malformed)?,
    );
    let language = page::language(&headers);
    let request =
        AuthorizationRequest::parse(query, provider.settings()).map_err(|_| malformed())?;
    let profile = provider.people().named(name);
    if let Some(profile) = profile
        && !provider.allowed(profile, request.sp_id.as_deref()).await?
    {
        let data = json!({ "reason": "role", "sp_id": request.sp_id });
        let data = data.as_object().cloned().unwrap_or_default();
        provider
            .desk()
            .note("provider.refused", Some(profile.id.clone()), data)
            .await?;
        return Ok(page::not_allowed(language));
    }
    let browser = match provider.browser(&headers) {
        Some(browser) => browser,
        None => provider.new_browser().map_err(DeskError::from)?,
    };
    let asked = NewLogin {
        browser: browser.clone(),
        request: request.clone(),
        person: profile.map(|profile| profile.id.clone()),
        action: match profile {
            Some(profile) => Some(action(&provider, profile, &request)?),
            None => None,
        },
    };
    let service = provider.settings().service.clone();
    let opened = match provider
        .desk()
        .open_login(asked.clone(), service.clone())
        .await
    {
        // Inert or suspended: told like a name that is nobody's.
        Err(DeskError::UnknownPerson) => {
            let nobody = NewLogin {
                person: None,
                action: None,
                ..asked
            };
            provider.desk().open_login(nobody, service).await?
        }
        other => other?,
    };
    let mut response = (
        StatusCode::SEE_OTHER,
        [(
            header::LOCATION,
            format!("{}/login/{}", super::PATH, opened.id),
        )],
    )
        .into_response();
    if let Some(cookie) = provider.inner.cookies.set(&browser) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What the person's key is asked to seal.
fn action(
    provider: &Provider,
    profile: &Profile,
    request: &AuthorizationRequest,
) -> Result<NewAction, DeskError> {
    let number = provider.number()?;
    let id = request.sp_id.as_deref().unwrap_or(&request.client_id);
    let name: String = request
        .sp_name
        .as_deref()
        .unwrap_or(id)
        .chars()
        .take(MAX_NAME)
        .collect();
    let mut params = Map::new();
    params.insert("client".to_owned(), json!(request.client_id));
    params.insert("number".to_owned(), json!(number));
    params.insert(
        "request_sha256".to_owned(),
        json!(sceau_proof::base64url::encode(request.sha256)),
    );
    if let Some(sp_id) = &request.sp_id {
        params.insert("sp_id".to_owned(), json!(sp_id));
    }
    Ok(NewAction {
        kind: "login.seal".to_owned(),
        service: provider.settings().service.clone(),
        requester: profile.id.clone(),
        target: Target {
            kind: "service".to_owned(),
            id: id.chars().take(MAX_NAME).collect(),
            display: name.clone(),
        },
        params,
        request: None,
        words: Some(Words::of(
            "page-provider-action",
            &[
                ("service", name.as_str().into()),
                ("number", number.to_string().into()),
            ],
        )),
    })
}

/// The sign-in of this browser, and the action that waits for the key.
async fn load(
    provider: &Provider,
    headers: &HeaderMap,
    id: &str,
) -> Result<(Login, Option<ActionRecord>), Problem> {
    let id: LoginId = id.parse().map_err(|_| Problem::not_found())?;
    let browser = provider.browser(headers).ok_or(Problem::not_found())?;
    let login = provider
        .desk()
        .login(id, &browser)
        .await?
        .ok_or(Problem::not_found())?;
    let record = match login.action {
        Some(action) => provider.desk().action(action).await?,
        None => None,
    };
    Ok((login, record))
}

/// Where it stands, in one word. A name that is nobody's waits like any other.
fn standing(login: &Login, record: Option<&ActionRecord>, late: bool) -> &'static str {
    match (login.state, record.map(|record| record.state)) {
        (LoginState::Issued | LoginState::Redeemed | LoginState::Revoked, _) => "used",
        (LoginState::Open, _) if late => "expired",
        (LoginState::Open, Some(state)) => state.as_str(),
        (LoginState::Open, None) => Standing::Pending.as_str(),
    }
}

/// `?wait=30`.
#[derive(Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: u64,
}

/// `GET /provider/login/{id}`: the page, or its state for the page's own script.
pub(super) async fn show(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let (login, mut record) = load(&provider, &headers, &id).await?;
    let json_wanted = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    if !json_wanted {
        let lower = match known(&provider, &headers, &login.request).await? {
            Some((profile, _)) => login.person.as_ref() == Some(&profile.id),
            None => false,
        };
        let state = standing(
            &login,
            record.as_ref(),
            provider.desk().now() >= login.until,
        );
        let language = page::language(&headers);
        return Ok(page::waiting(
            language,
            &login,
            state,
            number(record.as_ref()).as_deref(),
            lower,
        ));
    }
    let span = std::time::Duration::from_secs(wait.wait.min(MAX_WAIT));
    if let Some(pending) = record
        .as_ref()
        .filter(|record| record.state == Standing::Pending)
    {
        record = provider.desk().wait(pending.id, span).await?;
    } else if record.is_none() && login.state == LoginState::Open {
        tokio::time::sleep(span.min(std::time::Duration::from_secs(20))).await;
    }
    let state = standing(
        &login,
        record.as_ref(),
        provider.desk().now() >= login.until,
    );
    let mut body = json!({ "state": state });
    if let (Some(record), Some(body)) = (&record, body.as_object_mut()) {
        let document: Value = serde_json::from_str(&record.document)
            .map_err(|_| Problem::from(DeskError::Misuse("stored action does not parse")))?;
        let keys = provider.desk().keys(&record.requester).await?;
        body.insert("action".to_owned(), document);
        body.insert("keys".to_owned(), json!(keys));
        body.insert("rp_id".to_owned(), json!(provider.desk().rp_id()));
    }
    Ok(axum::Json(body).into_response())
}

/// The number that the browser shows: the action's own.
fn number(record: Option<&ActionRecord>) -> Option<String> {
    let document: Value = serde_json::from_str(&record?.document).ok()?;
    document
        .pointer("/params/number")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// `POST /provider/login/{id}/approval`: the key answered in this browser.
pub(super) async fn approve(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(approval): Json<ApprovalBody>,
) -> Result<Response, Problem> {
    own_page(&provider, &headers)?;
    let (_, record) = load(&provider, &headers, &id).await?;
    let record = record.ok_or(Problem::not_found())?;
    let (key, response) = approval.read()?;
    let person: PersonId = record.requester.clone();
    let claim = ApprovalClaim {
        person,
        key,
        response,
    };
    let approved = provider.desk().approve(record.id, claim).await?;
    Ok(axum::Json(json!({ "state": approved.state.as_str() })).into_response())
}

/// `GET /provider/login/{id}/continue`: back to the client, with a code.
pub(super) async fn finish(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    settle(&provider, &headers, &id, false).await
}

/// `POST /provider/login/{id}/lower`: back to the client without a gesture, at the lower level that is true.
pub(super) async fn lower(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    own_page(&provider, &headers)?;
    settle(&provider, &headers, &id, true).await
}

async fn settle(
    provider: &Provider,
    headers: &HeaderMap,
    id: &str,
    by_browser: bool,
) -> Result<Response, Problem> {
    let (login, _) = load(provider, headers, id).await?;
    let browser = provider.browser(headers).ok_or(Problem::not_found())?;
    let profile = login
        .person
        .as_ref()
        .and_then(|person| provider.people().of(person))
        .ok_or(DeskError::StillPending)?;
    let lifetime = provider.settings().session_lifetime.0;
    let signed = provider
        .desk()
        .sign_in(login.id, &browser, by_browser, profile.others(), lifetime)
        .await?;
    if let (true, Some(action)) = (by_browser, login.action) {
        // Nobody waits for that gesture any more. Settled already, or not to be reached: it ends by its own time.
        let _ = provider
            .desk()
            .cancel(action, CancelReason::ClientGone)
            .await;
    }
    Ok(send_back(&signed, provider.issuer()))
}
