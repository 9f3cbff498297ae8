//! What the client's server asks: the token (OpenID Connect Core §3.1.3), the user's information (§5.3), the keys, the description
//! (Discovery §4), and sign-out (RP-Initiated Logout).

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::level::LEVELS;
use super::people::Profile;
use super::request::pairs;
use super::{Provider, page};
use crate::api::Problem;
use crate::desk::DeskError;
use crate::store::login::{Login, LoginOutcome};

/// How long an id_token is good.
const ID_TOKEN: Duration = Duration::minutes(5);
/// Longest form.
const MAX_FORM: usize = 8 * 1024;

/// An OAuth error (RFC 6749 §5.2).
fn refuse(status: StatusCode, error: &'static str) -> Response {
    let mut response = (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(json!({ "error": error })),
    )
        .into_response();
    if error == "invalid_token" {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            header::HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
    }
    response
}

/// `GET /provider/.well-known/openid-configuration`.
pub(super) async fn discovery(State(provider): State<Provider>) -> axum::Json<Value> {
    let at = |path: &str| format!("{}{path}", provider.issuer());
    let levels: Vec<&str> = LEVELS.iter().map(|level| level.as_str()).collect();
    axum::Json(json!({
        "issuer": provider.issuer(),
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "jwks_uri": at("/jwks.json"),
        "end_session_endpoint": at("/logout"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "userinfo_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "given_name", "usual_name", "email", "uid", "siret", "organizational_unit", "belonging_population", "phone"],
        "claims_supported": ["sub", "given_name", "usual_name", "email", "uid", "siret", "organizational_unit", "belonging_population",
            "phone_number", "acr", "amr", "auth_time", "sceau_evidence"],
        "acr_values_supported": levels,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    }))
}

/// `GET /provider/jwks.json`.
pub(super) async fn jwks(State(provider): State<Provider>) -> Response {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        axum::Json(provider.keys()),
    )
        .into_response()
}

/// `POST /provider/token`.
pub(super) async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let form = std::str::from_utf8(&body)
        .ok()
        .filter(|text| text.len() <= MAX_FORM)
        .and_then(pairs);
    let Some(form) = form else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_request"));
    };
    let field = |name: &str| {
        let mut found = form.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        value.filter(|_| found.next().is_none())
    };
    let client = field("client_id").and_then(|id| provider.settings().client(id));
    let secret = field("client_secret").unwrap_or_default();
    let Some(client) = client.filter(|client| provider.knows(client, secret)) else {
        let mut refused = refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        if let Some(scheme) = crate::oauth::challenge(&headers) {
            let value = header::HeaderValue::from_static(scheme);
            refused
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        return Ok(refused);
    };
    match field("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Ok(refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        None => return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_request")),
    }
    let (Some(code), Some(redirect_uri)) = (field("code"), field("redirect_uri")) else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_request"));
    };
    let redeemed = provider
        .desk()
        .redeem(code, &client.id, redirect_uri, field("code_verifier"))
        .await;
    let redeemed = match redeemed {
        Ok(redeemed) => redeemed,
        Err(DeskError::NotFound) => {
            return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant"));
        }
        Err(error) => return Err(error.into()),
    };
    let Some((profile, outcome)) = person(&provider, &redeemed.login) else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant"));
    };
    let claims = id_token(
        provider.issuer(),
        &redeemed.login,
        profile,
        outcome,
        &redeemed.access_token,
        redeemed.at,
    );
    let Some(id_token) = provider.signed(&claims) else {
        return Err(DeskError::Unavailable.into());
    };
    let body = json!({
        "access_token": *redeemed.access_token,
        "token_type": "Bearer",
        "expires_in": (redeemed.login.until - redeemed.at).whole_seconds(),
        "scope": redeemed.login.request.scope.join(" "),
        "id_token": id_token,
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

fn person<'p>(provider: &'p Provider, login: &'p Login) -> Option<(&'p Profile, &'p LoginOutcome)> {
    let profile = provider.people().of(login.person.as_ref()?)?;
    Some((profile, login.outcome.as_ref()?))
}

fn id_token(
    issuer: &str,
    login: &Login,
    profile: &Profile,
    outcome: &LoginOutcome,
    access_token: &str,
    now: OffsetDateTime,
) -> Value {
    let digest = sha256(access_token.as_bytes());
    let (half, _) = digest.split_at(16);
    let mut claims = json!({
        "iss": issuer,
        "sub": profile.sub(),
        "aud": login.request.client_id,
        "iat": now.unix_timestamp(),
        "exp": (now + ID_TOKEN).unix_timestamp(),
        "auth_time": outcome.at.unix_timestamp(),
        "acr": outcome.acr,
        "amr": outcome.authentication.methods(),
        "at_hash": base64url::encode(half),
    });
    if let (Some(nonce), Some(claims)) = (&login.request.nonce, claims.as_object_mut()) {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    claims
}

/// What the federation is told of a person, and where the proof of their gesture is.
fn information(
    public_url: &str,
    login: &Login,
    profile: &Profile,
    outcome: &LoginOutcome,
) -> Map<String, Value> {
    let mut claims = json!({
        "sub": profile.sub(),
        "given_name": profile.given_name,
        "usual_name": profile.usual_name,
        "email": profile.email,
        "uid": profile.uid.as_deref().unwrap_or(profile.id.as_str()),
        "siret": profile.siret,
    });
    let asked = |scope: &str| login.request.scope.iter().any(|word| word == scope);
    let optional = [
        (
            "organizational_unit",
            "organizational_unit",
            &profile.organizational_unit,
        ),
        (
            "belonging_population",
            "belonging_population",
            &profile.belonging_population,
        ),
        ("phone", "phone_number", &profile.phone_number),
    ];
    let Some(object) = claims.as_object_mut() else {
        return Map::new();
    };
    for (scope, claim, value) in optional {
        if let (true, Some(value)) = (asked(scope), value) {
            object.insert(claim.to_owned(), json!(value));
        }
    }
    if let Some(sealed) = &outcome.sealed {
        object.insert(
            "sceau_evidence".to_owned(),
            json!({
                "action": sealed.action,
                "action_sha256": base64url::encode(sealed.sha256),
                "url": format!("{public_url}/v1/actions/{}/evidence", sealed.action),
            }),
        );
    }
    std::mem::take(object)
}

/// `GET` or `POST /provider/userinfo`.
pub(super) async fn userinfo(
    State(provider): State<Provider>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Ok(refuse(StatusCode::UNAUTHORIZED, "invalid_token"));
    let Some(token) = crate::api::bearer(&headers) else {
        return unknown();
    };
    let Some(login) = provider.desk().redeemed(token).await? else {
        return unknown();
    };
    let Some((profile, outcome)) = person(&provider, &login) else {
        return unknown();
    };
    let mut claims = information(provider.desk().public_url(), &login, profile, outcome);
    let signed = provider
        .settings()
        .client(&login.request.client_id)
        .is_some_and(|client| client.signed_userinfo);
    let no_store = (header::CACHE_CONTROL, "no-store");
    if !signed {
        return Ok(([no_store], axum::Json(Value::Object(claims))).into_response());
    }
    let now = provider.desk().now();
    claims.insert("iss".to_owned(), json!(provider.issuer()));
    claims.insert("aud".to_owned(), json!(login.request.client_id));
    claims.insert("iat".to_owned(), json!(now.unix_timestamp()));
    claims.insert("exp".to_owned(), json!((now + ID_TOKEN).unix_timestamp()));
    let Some(jwt) = provider.signed(&Value::Object(claims)) else {
        return Err(DeskError::Unavailable.into());
    };
    Ok(([no_store, (header::CONTENT_TYPE, "application/jwt")], jwt).into_response())
}

/// `GET /provider/logout`: this browser is known no more.
pub(super) async fn logout(
    State(provider): State<Provider>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    sign_out(&provider, &headers, &query.unwrap_or_default()).await
}

/// The same by `POST`, with the parameters as a form (RP-Initiated Logout 1.0 §2).
pub(super) async fn logout_by_form(
    State(provider): State<Provider>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let form = std::str::from_utf8(&body).ok();
    let form = form.filter(|text| text.len() <= MAX_FORM);
    sign_out(&provider, &headers, form.unwrap_or_default()).await
}

async fn sign_out(
    provider: &Provider,
    headers: &HeaderMap,
    asked: &str,
) -> Result<Response, Problem> {
    if let Some(browser) = provider.browser(headers) {
        provider.desk().forget_browser(&browser).await?;
    }
    let asked = pairs(asked).unwrap_or_default();
    let field = |name: &str| {
        asked
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    };
    let back = field("post_logout_redirect_uri").filter(|uri| {
        // A client that is named leads to its own addresses alone.
        let named = field("client_id");
        let clients = provider.settings().client.iter();
        let mut clients = clients.filter(|client| named.is_none_or(|named| named == client.id));
        clients.any(|client| {
            client
                .post_logout_redirect_uris
                .iter()
                .any(|own| own == uri)
        })
    });
    let mut response = match back {
        Some(uri) => {
            let state: Vec<(&str, &str)> = field("state")
                .map(|state| ("state", state))
                .into_iter()
                .collect();
            super::authorize::redirect(uri, &state)
        }
        None => page::signed_out(page::language(headers)),
    };
    if let Some(cookie) = provider.inner.cookies.clear() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
