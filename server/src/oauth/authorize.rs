//! What a browser does here (RFC 6749 §4.1, RFC 9126 §4): it brings the handle of what its service has pushed, once, waits while keys seal the action, and is
//! led back with a code, or with why there is none.
//!
//! The browser is not asked who it is: the action says who has to seal it, and only they can. It is bound by a token of its own in a cookie; the code that it
//! carries is of use to the service alone, which has to show its key and PKCE's verifier. Nothing of the action is shown on the page: who has to read it reads
//! it in their agent, or signs in at `/actions/{id}`. What is not as the service left it is told to the person, and leads nowhere.

use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::request::Form;
use super::{HANDLE, OAuth, PATH, page};
use crate::action::{ActionRecord, State as Standing};
use crate::api::{Peer, Problem};
use crate::desk::{DeskError, Returned};
use crate::id::{AuthorizationId, ServiceId};
use crate::provider::redirect;
use crate::store::oauth::{Authorization, AuthorizationState, Way};

/// Longest wait that can be asked for, in seconds.
const MAX_WAIT: u64 = 30;

/// `GET /oauth/authorize?client_id=…&request_uri=…`.
pub(super) async fn begin(
    State(oauth): State<OAuth>,
    peer: Peer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    oauth.stranger(&peer).map_err(Problem::limited)?;
    let form = Form::parse(&query.unwrap_or_default());
    let brought = form.as_ref().and_then(|form| {
        let client: ServiceId = form.one("client_id")?.parse().ok()?;
        let handle = form.one("request_uri")?.strip_prefix(HANDLE)?;
        Some((client, handle))
    });
    let Some((client, handle)) = brought else {
        return Ok(page::unanswerable(&headers));
    };
    let browser = oauth.browser(&headers).map_err(DeskError::from)?;
    let begun = oauth
        .desk()
        .begin_authorization(handle, &client, &browser)
        .await;
    let begun = match begun {
        Ok(begun) => begun,
        Err(DeskError::NotFound) => return Ok(page::unanswerable(&headers)),
        Err(error) => return Err(error.into()),
    };
    let location = format!("{PATH}/authorize/{}", begun.id);
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    if let Some(cookie) = oauth.inner.cookies.set(&browser) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What this browser brought, and its action.
async fn load(
    oauth: &OAuth,
    headers: &HeaderMap,
    id: &str,
) -> Result<(Authorization, ActionRecord), Problem> {
    let id: AuthorizationId = id.parse().map_err(|_| Problem::not_found())?;
    let browser = oauth.inner.cookies.token(headers);
    let browser = browser.ok_or(Problem::not_found())?;
    let found = oauth.desk().authorization(id, &browser).await?;
    found.ok_or(Problem::not_found())
}

/// Where it stands, in one word.
fn standing(found: &Authorization, record: &ActionRecord) -> &'static str {
    match found.state {
        AuthorizationState::Begun => record.state.as_str(),
        _ => "used",
    }
}

/// `?wait=30`.
#[derive(Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: u64,
}

/// `GET /oauth/authorize/{id}`: the page, or its state for the page's own script.
pub(super) async fn show(
    State(oauth): State<OAuth>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let (found, mut record) = load(&oauth, &headers, &id).await?;
    let json_wanted = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    if !json_wanted {
        let state = standing(&found, &record);
        return Ok(page::waiting(&headers, &found, state));
    }
    if record.state == Standing::Pending {
        let span = std::time::Duration::from_secs(wait.wait.min(MAX_WAIT));
        let waited = oauth.desk().wait(record.id, span).await?;
        record = waited.ok_or(Problem::not_found())?;
    }
    let body = json!({ "state": standing(&found, &record) });
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

/// `GET /oauth/authorize/{id}/continue`: back to the service.
pub(super) async fn finish(
    State(oauth): State<OAuth>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (found, _) = load(&oauth, &headers, &id).await?;
    let browser = oauth.inner.cookies.token(&headers);
    let browser = browser.ok_or(Problem::not_found())?;
    match oauth.desk().return_browser(found.id, &browser).await {
        Ok(Returned::Code(found, code)) => Ok(back(&oauth, &found, &[("code", &code)])),
        Ok(Returned::Refused(found, reason)) => {
            let pairs = [("error", "access_denied"), ("error_description", &reason)];
            Ok(back(&oauth, &found, &pairs))
        }
        // Too early, or gone back to: the page says where it stands.
        Err(DeskError::StillPending | DeskError::AlreadyUsed) => {
            let location = format!("{PATH}/authorize/{}", found.id);
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn back(oauth: &OAuth, found: &Authorization, pairs: &[(&str, &str)]) -> Response {
    let Way::Redirect {
        redirect_uri,
        state,
        ..
    } = &found.way
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut pairs = pairs.to_vec();
    if let Some(state) = state {
        pairs.push(("state", state));
    }
    // RFC 9207.
    pairs.push(("iss", oauth.issuer()));
    redirect(redirect_uri, &pairs)
}
