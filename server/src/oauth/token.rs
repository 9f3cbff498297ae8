//! Tokens: a permit for a code or for a handle that is polled, a service's own token for the API (RFC 6749 §4.4), and what a token says (RFC 7662).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::request::Form;
use super::{CIBA, Client, DETAIL, OAuth, Refusal, SCOPE, answer, called};
use crate::api::{Peer, introspected};
use crate::desk::{Polled, SERVICE_TOKEN};

/// `POST /oauth/token`.
pub(super) async fn token(
    State(oauth): State<OAuth>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (client, form) = called(&oauth, &peer, &headers, body).await?;
    let bound = oauth.bound(client, &headers, "/token").await?;
    let bound = bound.as_deref();
    match form.one("grant_type") {
        // A service's own token is for our API, which takes bearers.
        Some("client_credentials") if bound.is_some() => {
            Err(Refusal::of("invalid_request").because("only permits are bound to a key"))
        }
        Some("client_credentials") => credentials(&oauth, client, &form).await,
        Some("authorization_code") => code(&oauth, client, &form, bound).await,
        Some(CIBA) => poll(&oauth, client, &form, bound).await,
        Some(_) => Err(Refusal::of("unsupported_grant_type")),
        None => Err(Refusal::of("invalid_request").because("grant_type")),
    }
}

async fn credentials(oauth: &OAuth, client: &Client, form: &Form) -> Result<Response, Refusal> {
    if form.one("authorization_details").is_some() {
        return Err(Refusal::of("invalid_authorization_details")
            .because("persons seal actions: push it, or use the backchannel"));
    }
    if form.one("scope").is_some_and(|scope| scope != SCOPE) {
        return Err(Refusal::of("invalid_scope"));
    }
    let token = oauth.desk().service_token(client.id()).await?;
    Ok(answer(
        StatusCode::OK,
        &json!({
            "access_token": *token,
            "token_type": "Bearer",
            "expires_in": SERVICE_TOKEN.whole_seconds(),
            "scope": SCOPE,
        }),
    ))
}

async fn code(
    oauth: &OAuth,
    client: &Client,
    form: &Form,
    bound: Option<&str>,
) -> Result<Response, Refusal> {
    if form.one("authorization_details").is_some() {
        // RFC 9396 §6: what persons have sealed is what is granted, neither more nor less.
        return Err(Refusal::of("invalid_authorization_details")
            .because("what was pushed is what is granted"));
    }
    let needed = |name: &'static str| {
        form.one(name)
            .ok_or(Refusal::of("invalid_request").because(name))
    };
    let (code, redirect_uri) = (needed("code")?, needed("redirect_uri")?);
    // RFC 7636 §4.1.
    let verifier = needed("code_verifier")?;
    if !(43..=128).contains(&verifier.len()) {
        return Err(Refusal::of("invalid_grant"));
    }
    let permit = oauth
        .desk()
        .redeem_code(code, client.id(), redirect_uri, verifier, bound)
        .await?;
    granted(oauth, client, &permit)
}

/// CIBA Core §11.
async fn poll(
    oauth: &OAuth,
    client: &Client,
    form: &Form,
    bound: Option<&str>,
) -> Result<Response, Refusal> {
    let handle = form
        .one("auth_req_id")
        .ok_or(Refusal::of("invalid_request").because("auth_req_id"))?;
    match oauth.desk().poll(handle, client.id(), bound).await? {
        Polled::Granted(permit) => granted(oauth, client, &permit),
        Polled::Pending => Err(Refusal::of("authorization_pending")),
        Polled::SlowDown => Err(Refusal::of("slow_down")),
        Polled::Denied(reason) => Err(Refusal::of("access_denied").because(reason)),
        Polled::Expired => Err(Refusal::of("expired_token")),
        Polled::Unknown => Err(Refusal::of("invalid_grant")),
    }
}

/// The permit as an access token (RFC 6749 §5.1, RFC 9396 §7). What is said of it is read from it, as whoever gets it will.
fn granted(oauth: &OAuth, client: &Client, permit: &str) -> Result<Response, Refusal> {
    let desk = oauth.desk();
    let own = Refusal::of("server_error").status(StatusCode::INTERNAL_SERVER_ERROR);
    let (service, now) = (client.id().as_str(), desk.now());
    let keys = desk.jwks();
    let verified = sceau_proof::permit::verify(permit, &keys, oauth.issuer(), service, now);
    let verified = verified.map_err(|_| own)?;
    let claims = verified.claims();
    let details: Vec<Value> = claims
        .authorization_details
        .iter()
        .filter_map(Value::as_object)
        .map(|detail| granted_detail(detail, &claims.sub))
        .collect();
    Ok(answer(
        StatusCode::OK,
        &json!({
            "access_token": permit,
            "token_type": if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": (claims.exp - now).whole_seconds(),
            "authorization_details": details,
            "acr": claims.acr,
        }),
    ))
}

/// A permit's detail in the words of the request.
fn granted_detail(detail: &Map<String, Value>, requester: &str) -> Value {
    let mut granted = detail.clone();
    let kind = granted.insert("type".to_owned(), json!(DETAIL));
    granted.insert("action".to_owned(), kind.unwrap_or_default());
    granted.insert("requester".to_owned(), json!(requester));
    Value::Object(granted)
}

/// `POST /oauth/introspect`: as `POST /v1/permits/introspect`, for who shows a key.
pub(super) async fn introspect(
    State(oauth): State<OAuth>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (client, form) = called(&oauth, &peer, &headers, body).await?;
    let token = form
        .one("token")
        .ok_or(Refusal::of("invalid_request").because("token"))?;
    let consume = match form.one("consume") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::of("invalid_request").because("consume")),
    };
    let claims = oauth.desk().introspect(token, client.id(), consume).await?;
    Ok(answer(StatusCode::OK, &introspected(claims)))
}
