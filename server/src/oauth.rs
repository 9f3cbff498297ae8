//! OAuth for services that stand behind no gate: a service shows who it is by its own key, says what it wants, and gets the permit once persons have
//! sealed it with theirs.
//!
//! RFC 8414 (metadata), RFC 7523 (`private_key_jwt`), RFC 6749 §4.4 (client credentials, for the API), RFC 9126 and RFC 9396 (the action is pushed, as
//! `authorization_details` of type `sceau_action`), RFC 7636 and RFC 9207 (back by redirect), CIBA Core (poll mode, without an id_token: the permit says
//! who), RFC 7662 (introspection), RFC 9470 (`acr_values`), RFC 9449 (a permit for one key, `dpop`). The access token is the permit itself.
//!
//! The action is written down when it is *pushed*, not when the browser comes: nothing that a browser carries can change it, a refusal by policy is told
//! to the service alone, and the agent asks at once. Here: what is shared, and the description. Who calls is `client`, what they ask is `request`, what
//! becomes of it is `desk`'s alone.

mod authorize;
pub mod client;
mod dpop;
mod page;
mod request;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use client::{Client, Registration, RegistrationError};
use request::Form;

use crate::api::Peer;
use crate::desk::{Desk, DeskError};
use crate::gate::session::CookieRule;
use crate::port::{NoRandomness, Ports};
use crate::rate::Burst;

/// Where all of it lives, under the server's origin, which is the issuer: permits say so.
pub const PATH: &str = "/oauth";
/// Where the description is (RFC 8414 §3).
pub const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Where libraries look that know OpenID Connect's place alone; the same description (RFC 8414 §3).
pub const METADATA_TOO: &str = "/.well-known/openid-configuration";
/// Where services show who they are, under [`PATH`].
const ENDPOINTS: [&str; 4] = ["/par", "/backchannel", "/token", "/introspect"];
/// How `request_uri`s begin (RFC 9126 §2.2).
const HANDLE: &str = "urn:ietf:params:oauth:request_uri:";
/// The type of `authorization_details` that is known here.
const DETAIL: &str = "sceau_action";
/// The one scope: speaking at the API.
const SCOPE: &str = "actions";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Inner {
    desk: Desk,
    ports: Ports,
    clients: Vec<Client>,
    cookies: CookieRule,
    strangers: Mutex<Burst<IpAddr>>,
}

/// The authorization server. Cheap to clone.
#[derive(Clone)]
pub struct OAuth {
    inner: Arc<Inner>,
}

/// An OAuth error (RFC 6749 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: Option<String>,
    retry_after: Option<u64>,
    /// The scheme by which the client tried to show who it is, in a header.
    scheme: Option<&'static str>,
}

impl Refusal {
    fn of(error: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: None,
            retry_after: None,
            scheme: None,
        }
    }

    fn because(self, description: impl Into<String>) -> Self {
        Self {
            description: Some(description.into()),
            ..self
        }
    }

    fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn later(status: StatusCode, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds.max(1)),
            ..Self::of("temporarily_unavailable").status(status)
        }
    }

    fn client() -> Self {
        Self::of("invalid_client").status(StatusCode::UNAUTHORIZED)
    }

    /// RFC 6749 §5.2: a client that tried by a header hears by the same scheme.
    fn answering(self, headers: &HeaderMap) -> Self {
        let scheme = challenge(headers).filter(|_| self.error == "invalid_client");
        Self { scheme, ..self }
    }
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Malformed(what) => Self::of("invalid_authorization_details").because(what),
            DeskError::Forbidden => Self::of("invalid_authorization_details").because("forbidden"),
            DeskError::LevelUnreachable => Self::of("unmet_authentication_requirements")
                .because("policy asks for less than acr_values"),
            DeskError::Limited { retry_after } => {
                Self::later(StatusCode::TOO_MANY_REQUESTS, retry_after.as_secs())
            }
            DeskError::NotFound => Self::of("invalid_grant"),
            DeskError::Unwitnessed { .. } => Self::later(StatusCode::SERVICE_UNAVAILABLE, 1),
            DeskError::Misuse(what) => {
                tracing::error!(what, "our own mistake");
                Self::of("server_error").status(StatusCode::INTERNAL_SERVER_ERROR)
            }
            _ => Self::later(StatusCode::SERVICE_UNAVAILABLE, 1),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        if let (Some(description), Some(body)) = (self.description, body.as_object_mut()) {
            // RFC 6749 §5.2: printable ASCII without quotes.
            let plain: String = description
                .chars()
                .map(|c| {
                    if matches!(c, ' '..='~') && c != '"' && c != '\\' {
                        c
                    } else {
                        '?'
                    }
                })
                .collect();
            body.insert("error_description".to_owned(), Value::String(plain));
        }
        let mut response = answer(self.status, &body);
        if let Some(scheme) = self.scheme {
            let value = HeaderValue::from_static(scheme);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `WWW-Authenticate` for a client that sent an `Authorization` header and is not known by it.
pub(crate) fn challenge(headers: &HeaderMap) -> Option<&'static str> {
    let sent = headers.get(header::AUTHORIZATION)?.as_bytes();
    let basic = sent
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
    Some(if basic {
        "Basic realm=\"sceau\", charset=\"UTF-8\""
    } else {
        "Bearer"
    })
}

/// JSON that nobody keeps.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, axum::Json(body)).into_response()
}

impl OAuth {
    /// `strangers`: what one address may do without being known.
    #[must_use]
    pub fn new(desk: Desk, ports: Ports, clients: Vec<Client>, strangers: Burst<IpAddr>) -> Self {
        let secure = desk.public_url().starts_with("https://");
        Self {
            inner: Arc::new(Inner {
                desk,
                ports,
                clients,
                cookies: CookieRule::named(secure, ["__Host-sceau-oauth", "sceau-oauth"]),
                strangers: Mutex::new(strangers),
            }),
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let at = |path: &str| format!("{PATH}{path}");
        Router::new()
            .route(METADATA, get(metadata))
            .route(METADATA_TOO, get(metadata))
            .route(&at("/par"), post(request::push))
            .route(&at("/backchannel"), post(request::backchannel))
            .route(&at("/token"), post(token::token))
            .route(&at("/introspect"), post(token::introspect))
            .route(&at("/authorize"), get(authorize::begin))
            .route(&at("/authorize/{id}"), get(authorize::show))
            .route(&at("/authorize/{id}/continue"), get(authorize::finish))
            .route(&at("/page.js"), get(page::script))
            .with_state(self)
    }

    fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    fn issuer(&self) -> &str {
        self.inner.desk.public_url()
    }

    /// Whether an address that nobody knows may go on.
    fn stranger(&self, peer: &Peer) -> Result<(), std::time::Duration> {
        let now = self.desk().now();
        let mut strangers = self
            .inner
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        strangers
            .take(peer.0, now)
            .map_err(|wait| wait.unsigned_abs())
    }

    /// The browser's own token, as it sent it; a new one otherwise.
    fn browser(&self, headers: &HeaderMap) -> Result<Zeroizing<String>, NoRandomness> {
        if let Some(known) = self.inner.cookies.token(headers) {
            return Ok(known);
        }
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(self.inner.ports.bytes()?);
        Ok(Zeroizing::new(sceau_proof::base64url::encode(*bytes)))
    }

    /// The service that signed this form's assertion, whose one use is taken here.
    async fn client(&self, peer: &Peer, form: &Form) -> Result<&Client, Refusal> {
        let assertion = form
            .one("client_assertion")
            .filter(|_| form.one("client_assertion_type") == Some(ASSERTION));
        let Some(assertion) = assertion else {
            return Err(Refusal::client().because("private_key_jwt is needed"));
        };
        let now = self.desk().now();
        let verified = client::verify(assertion, &self.inner.clients, self.issuer(), now);
        let found = match verified {
            Ok(found) => found,
            Err(reason) => {
                tracing::info!(%reason, peer = %peer.0, "a service is not believed");
                if let Err(wait) = self.stranger(peer) {
                    return Err(Refusal::later(
                        StatusCode::TOO_MANY_REQUESTS,
                        wait.as_secs(),
                    ));
                }
                return Err(Refusal::client());
            }
        };
        let client = found.client();
        if form
            .one("client_id")
            .is_some_and(|named| named != client.id().as_str())
        {
            return Err(Refusal::client());
        }
        let fresh = self
            .desk()
            .take_assertion(client.id(), found.jti(), found.until())
            .await?;
        if fresh {
            Ok(client)
        } else {
            Err(Refusal::client())
        }
    }
}

impl OAuth {
    /// The key that a service shows beside its own at this endpoint (RFC 9449), by its thumbprint; its proof's one use is taken here.
    async fn bound(
        &self,
        client: &Client,
        headers: &HeaderMap,
        endpoint: &str,
    ) -> Result<Option<String>, Refusal> {
        let address = format!("{}{PATH}{endpoint}", self.issuer());
        let now = self.desk().now();
        let refused = || Refusal::of("invalid_dpop_proof");
        let shown = dpop::read(headers, "POST", &address, now).map_err(|reason| {
            tracing::info!(%reason, client = %client.id(), "a proof of possession is not believed");
            refused()
        })?;
        let Some(proven) = shown else {
            return Ok(None);
        };
        let fresh = self
            .desk()
            .take_assertion(client.id(), &proven.once(), proven.until())
            .await?;
        if fresh {
            Ok(Some(proven.thumbprint().to_owned()))
        } else {
            Err(refused())
        }
    }
}

/// Who calls and what they sent, at an endpoint for services.
async fn called<'o>(
    oauth: &'o OAuth,
    peer: &Peer,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(&'o Client, Form), Refusal> {
    let form = Form::read(headers, body).await?;
    let client = oauth.client(peer, &form).await;
    let client = client.map_err(|refusal| refusal.answering(headers))?;
    Ok((client, form))
}

/// The description of this authorization server (RFC 8414).
async fn metadata(State(oauth): State<OAuth>) -> Response {
    let issuer = oauth.issuer();
    let at = |path: &str| format!("{issuer}{PATH}{path}");
    let algorithms: Vec<&str> = client::Signature::ALL
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let body = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "authorization_endpoint": at("/authorize"),
        "pushed_authorization_request_endpoint": at("/par"),
        "require_pushed_authorization_requests": true,
        "backchannel_authentication_endpoint": at("/backchannel"),
        "backchannel_token_delivery_modes_supported": ["poll"],
        "backchannel_user_code_parameter_supported": false,
        "token_endpoint": at("/token"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": at("/introspect"),
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "grant_types_supported": ["authorization_code", "client_credentials", CIBA],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS.map(|(name, _)| name),
        "authorization_response_iss_parameter_supported": true,
        "authorization_details_types_supported": [DETAIL],
        "scopes_supported": [SCOPE],
        "acr_values_supported": ["eidas1", "eidas2", "eidas3"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        axum::Json(body),
    )
        .into_response()
}
