//! The authorization endpoint (OpenID Connect Core §3.1.2): what a browser is sent here with, and what it is shown.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::people::Profile;
use super::request::{AuthorizationRequest, RequestError};
use super::{Provider, page};
use crate::api::{Peer, Problem};
use crate::desk::{DeskError, NewLogin, SignedIn};

/// `GET`.
pub(super) async fn by_query(
    State(provider): State<Provider>,
    peer: Peer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    answer(&provider, &peer, &headers, &query.unwrap_or_default()).await
}

/// `POST`, with the same parameters as a form.
pub(super) async fn by_form(
    State(provider): State<Provider>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let query = std::str::from_utf8(&body)
        .map_err(|_| Problem::of(StatusCode::BAD_REQUEST, "malformed"))?;
    answer(&provider, &peer, &headers, query).await
}

async fn answer(
    provider: &Provider,
    peer: &Peer,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response, Problem> {
    provider.stranger(peer)?;
    let language = page::language(headers);
    let request = match AuthorizationRequest::parse(query, provider.settings()) {
        Ok(request) => request,
        Err(error) => return Ok(refused(error, provider.issuer(), language)),
    };
    let known = known(provider, headers, &request).await?;
    let enough = known.is_some() && !request.takes_gesture(provider.settings()) && !request.again;
    if let (true, Some((profile, browser))) = (enough, known.as_ref())
        && provider.allowed(profile, request.sp_id.as_deref()).await?
    {
        let opened = NewLogin {
            browser: browser.clone(),
            request: request.clone(),
            person: Some(profile.id.clone()),
            action: None,
        };
        let service = provider.settings().service.clone();
        let login = provider.desk().open_login(opened, service).await?;
        let lifetime = provider.settings().session_lifetime.0;
        let signed = provider
            .desk()
            .sign_in(login.id, browser, true, profile.others(), lifetime)
            .await;
        match signed {
            Ok(signed) => return Ok(send_back(&signed, provider.issuer())),
            // Too long ago for this request: the person is asked.
            Err(DeskError::Forbidden) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if request.silent {
        let error = RequestError::Redirect {
            redirect_uri: request.redirect_uri,
            state: request.state,
            error: "login_required",
            description: "the person has to be asked",
        };
        return Ok(refused(error, provider.issuer(), language));
    }
    let hint = known
        .map(|(profile, _)| profile.email.clone())
        .or_else(|| request.login_hint.clone())
        .unwrap_or_default();
    Ok(page::who(language, query, &request, &hint, None))
}

/// Who signed in with a key in this browser before, if they are still among the people.
pub(super) async fn known<'p>(
    provider: &'p Provider,
    headers: &HeaderMap,
    request: &AuthorizationRequest,
) -> Result<Option<(&'p Profile, Zeroizing<String>)>, DeskError> {
    let Some(browser) = provider.browser(headers) else {
        return Ok(None);
    };
    let Some(known) = provider.desk().known_browser(&browser).await? else {
        return Ok(None);
    };
    // The federation expects someone else: they are asked.
    let expected = request
        .login_hint
        .as_deref()
        .and_then(|hint| provider.people().named(hint));
    let profile = provider
        .people()
        .of(&known.person)
        .filter(|profile| expected.is_none_or(|expected| expected.id == profile.id));
    Ok(profile.map(|profile| (profile, browser)))
}

fn refused(error: RequestError, issuer: &str, language: page::Language) -> Response {
    match error {
        RequestError::Unanswerable(reason) => page::unanswerable(language, reason),
        RequestError::Redirect {
            redirect_uri,
            state,
            error,
            description,
        } => {
            let mut pairs = vec![("error", error), ("error_description", description)];
            if let Some(state) = &state {
                pairs.push(("state", state));
            }
            pairs.push(("iss", issuer));
            redirect(&redirect_uri, &pairs)
        }
    }
}

/// The browser carries the code to the client.
pub(super) fn send_back(signed: &SignedIn, issuer: &str) -> Response {
    let request = &signed.login.request;
    let mut pairs = vec![("code", signed.code.as_str())];
    if let Some(state) = &request.state {
        pairs.push(("state", state));
    }
    // RFC 9207.
    pairs.push(("iss", issuer));
    redirect(&request.redirect_uri, &pairs)
}

/// 303 to an address of a client's, with these parameters.
pub(crate) fn redirect(address: &str, pairs: &[(&str, &str)]) -> Response {
    let mut location = address.to_owned();
    let mut mark = if address.contains('?') { '&' } else { '?' };
    for (name, value) in pairs {
        location.push(mark);
        location.push_str(name);
        location.push('=');
        location.push_str(&encoded(value));
        mark = '&';
    }
    let Ok(location) = HeaderValue::from_str(&location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// A value in a query string.
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        let response = redirect(
            "https://a.example/cb?x=1",
            &[("state", "a&b=c#d\r\nLocation: x é")],
        );
        assert_eq!(
            response.headers()[header::LOCATION],
            "https://a.example/cb?x=1&state=a%26b%3Dc%23d%0D%0ALocation%3A%20x%20%C3%A9"
        );
    }
}
