//! The HTTP API of docs/api.md: one file per endpoint, with its errors and tests. Handlers parse and authenticate; `desk` decides.
//!
//! Trusts nothing that arrives. Bodies are bounded, JSON is read strictly (duplicate members are refused), errors are problem+json.
//! The listener itself (TLS, connections, time-outs) is `listen`.

mod action;
mod approval;
mod enrolment;
mod fact;
mod inbox;
mod inclusion;
mod key;
mod lineage;
mod log;
mod me;
mod permit;
mod presence;
mod problem;
mod refusal;
mod report;
mod service;
mod session;
mod signal;
mod view;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRef, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use utoipa::OpenApi;

use crate::desk::Desk;
use crate::id::ServiceId;
use crate::metrics::Metrics;
use crate::rate::Burst;
use crate::session::Session;
use crate::signal::Signals;

pub(crate) use approval::ApprovalBody;
pub(crate) use permit::introspected;
pub use problem::Problem;

/// Longest request body.
pub const MAX_BODY: usize = 192 * 1024;

/// Longest `wait`.
const MAX_WAIT: u64 = 60;

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    desk: Desk,
    services: Arc<Vec<(ServiceId, [u8; 32])>>,
    speaking: Arc<Vec<ServiceId>>,
    rp_name: Arc<str>,
    strangers: Arc<Mutex<Burst<IpAddr>>>,
    metrics: Arc<Metrics>,
    signals: Option<Arc<Signals>>,
}

impl Api {
    /// `services`: each with the SHA-256 of its token. `strangers`: what callers without a token may do.
    #[must_use]
    pub fn new(
        desk: Desk,
        services: Vec<(ServiceId, [u8; 32])>,
        rp_name: &str,
        strangers: Burst<IpAddr>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            desk,
            services: Arc::new(services),
            speaking: Arc::default(),
            rp_name: Arc::from(rp_name),
            strangers: Arc::new(Mutex::new(strangers)),
            metrics,
            signals: None,
        }
    }

    /// With what is told to services (docs/signals.md).
    #[must_use]
    pub fn with_signals(self, signals: Arc<Signals>) -> Self {
        Self {
            signals: Some(signals),
            ..self
        }
    }

    /// Services whose own OAuth tokens are taken in the place of a configured one.
    #[must_use]
    pub fn speaking_oauth(self, services: Vec<ServiceId>) -> Self {
        Self {
            speaking: Arc::new(services),
            ..self
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/actions", post(action::open))
            .route("/v1/actions/{id}", get(action::show))
            .route("/v1/actions/{id}/approvals", post(approval::approve))
            .route("/v1/actions/{id}/refusals", post(refusal::refuse))
            .route("/v1/agent/reports", post(report::report))
            .route("/v1/actions/{id}/permits", post(permit::issue))
            .route("/v1/actions/{id}/evidence", get(action::evidence))
            .route("/v1/actions/{id}/inclusion", get(inclusion::show))
            .route("/v1/permits/introspect", post(permit::introspect))
            .route("/v1/inbox", get(inbox::stream))
            .route("/v1/sessions", post(session::open))
            .route("/v1/sessions/{id}", get(session::show).delete(session::end))
            .route("/v1/me", get(me::show))
            .route("/v1/presence/proofs", post(presence::prove))
            .route("/v1/presence/goodbyes", post(presence::leave))
            .route("/v1/presence/delays", post(presence::delay))
            .route("/v1/presence/inabilities", post(presence::disclaim))
            .route("/v1/keys/{id}/review", get(key::review))
            .route("/v1/keys", get(key::of_model))
            .route("/v1/persons/{id}/keys", get(key::of_person))
            .route("/v1/persons/{id}/lineage", get(lineage::show))
            .route("/v1/actions/{id}/begotten", post(lineage::report))
            .route("/v1/facts", post(fact::record))
            .route("/v1/persons/{id}/facts", get(fact::show))
            .route("/v1/recertifications", get(fact::campaigns))
            .route("/v1/enrolments", post(enrolment::invite))
            .route("/v1/enrolments/open", post(enrolment::open))
            .route(
                "/v1/enrolments/{id}/registration",
                post(enrolment::register),
            )
            .route("/v1/openapi.json", get(service::openapi))
            .route("/jwks.json", get(service::jwks))
            .route("/healthz", get(service::healthz))
            .route("/readyz", get(service::readyz))
            .route("/metrics", get(service::metrics))
            .route("/log/checkpoint", get(log::checkpoint))
            .route("/log/vkey", get(log::vkey))
            .route("/log/tile/{*path}", get(log::tile))
            .merge(signal::routes())
            .fallback(service::not_found)
            .method_not_allowed_fallback(service::method_not_allowed)
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(self.clone(), observe))
            .with_state(self)
    }

    /// Whether a caller without a token may go on.
    fn stranger(&self, peer: &Peer) -> Result<(), Problem> {
        let now = self.desk.now();
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        strangers
            .take(peer.0, now)
            .map_err(|wait| Problem::limited(wait.unsigned_abs()))
    }
}

impl FromRef<Api> for Desk {
    fn from_ref(api: &Api) -> Self {
        api.desk.clone()
    }
}

/// The description of the API, at `/v1/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sceau",
        description = "Privileged actions sealed by a physical, genuine key. docs/api.md says how to read this."
    ),
    paths(
        action::open,
        action::show,
        action::evidence,
        approval::approve,
        refusal::refuse,
        report::report,
        permit::issue,
        permit::introspect,
        inbox::stream,
        session::open,
        session::show,
        session::end,
        me::show,
        presence::prove,
        presence::leave,
        presence::delay,
        presence::disclaim,
        key::review,
        key::of_model,
        key::of_person,
        lineage::show,
        lineage::report,
        fact::record,
        fact::show,
        fact::campaigns,
        enrolment::invite,
        enrolment::open,
        enrolment::register,
        service::jwks,
        service::healthz,
        service::readyz,
        service::metrics,
        inclusion::show,
        signal::configuration,
        signal::keys,
        signal::read,
        signal::open,
        signal::change,
        signal::replace,
        signal::close,
        signal::status,
        signal::set_status,
        signal::add,
        signal::remove,
        signal::verify,
        signal::poll,
        log::checkpoint,
        log::vkey,
        log::tile
    ),
    components(schemas(problem::ProblemBody))
)]
pub struct Description;

/// Counts requests, and keeps answers out of caches and frames.
async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    api.metrics.answered(response.status());
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(header::HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    response
}

/// The address that the connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or(Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "internal"))
    }
}

/// Who calls, by bearer token.
enum Caller {
    /// A relying application.
    Service(ServiceId),
    /// A person's session, in whatever state.
    Session(Session),
}

/// A relying application.
struct ServiceCaller(ServiceId);

/// A person, by an active session.
struct PersonCaller(Session);

/// The bearer token; `None` without an `Authorization` header of that kind.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && (16..=256).contains(&token.len())).then_some(token)
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or(Problem::unauthenticated())?;
        let digest = sceau_proof::log::entry::sha256(token.as_bytes());
        let service = api
            .services
            .iter()
            .find(|(_, known)| bool::from(known.ct_eq(&digest)));
        if let Some((service, _)) = service {
            return Ok(Self::Service(service.clone()));
        }
        if let Some(session) = api.desk.session(token).await? {
            return Ok(Self::Session(session));
        }
        if !api.speaking.is_empty() {
            // One that is configured no more speaks no more.
            let service = api.desk.service_of(token).await?;
            if let Some(service) = service.filter(|it| api.speaking.contains(it)) {
                return Ok(Self::Service(service));
            }
        }
        Err(Problem::unauthenticated())
    }
}

impl FromRequestParts<Api> for ServiceCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, api).await? {
            Caller::Service(service) => Ok(Self(service)),
            Caller::Session(_) => Err(Problem::of(StatusCode::FORBIDDEN, "forbidden")
                .because("a service's token is needed")),
        }
    }
}

impl FromRequestParts<Api> for PersonCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, api).await? {
            Caller::Session(session) if session.is_active() => Ok(Self(session)),
            Caller::Session(session) => Err(Problem::session(session.state)),
            Caller::Service(_) => Err(Problem::of(StatusCode::FORBIDDEN, "forbidden")
                .because("a person's session is needed")),
        }
    }
}

/// A strict JSON body: its content type says so, it is bounded, and no object has a member twice.
pub(crate) struct Json<T>(pub(crate) T);

const RULES: sceau_proof::json::Rules = sceau_proof::json::Rules {
    length: MAX_BODY,
    depth: 24,
    integers: false,
    nfc: false,
};

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        content_type(request.headers(), "application/json")?;
        let bytes = body(request.into_body()).await?;
        let malformed =
            |detail: String| Problem::of(StatusCode::BAD_REQUEST, "malformed").because(detail);
        let value = sceau_proof::json::parse(&bytes, RULES)
            .map_err(|error| malformed(error.to_string()))?;
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| malformed(error.to_string()))
    }
}

/// A form-encoded body.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        content_type(request.headers(), "application/x-www-form-urlencoded")?;
        let bytes = body(request.into_body()).await?;
        let malformed = || {
            Problem::of(StatusCode::BAD_REQUEST, "malformed")
                .because("not the form that is expected")
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
        let uri = format!("/?{text}").parse().map_err(|_| malformed())?;
        let query = axum::extract::Query::<T>::try_from_uri(&uri).map_err(|_| malformed())?;
        Ok(Self(query.0))
    }
}

fn content_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        Ok(())
    } else {
        Err(
            Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")
                .because(wanted),
        )
    }
}

async fn body(body: Body) -> Result<Bytes, Problem> {
    use http_body_util::{BodyExt as _, LengthLimitError, Limited};
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(Problem::of(StatusCode::PAYLOAD_TOO_LARGE, "too-large")
                .because(format!("at most {MAX_BODY} bytes")))
        }
        Err(_) => {
            Err(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("the body was cut off"))
        }
    }
}

/// `?wait=30`, bounded.
#[derive(serde::Deserialize)]
struct Wait {
    #[serde(default)]
    wait: u64,
}

impl Wait {
    fn span(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.wait.min(MAX_WAIT))
    }
}

/// A query string that parses.
struct Query<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::of(StatusCode::BAD_REQUEST, "malformed").because("query"))?;
        Ok(Self(query.0))
    }
}

/// An identifier in the path; one that does not parse names nothing.
struct Path<T>(T);

impl<T: std::str::FromStr, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        found
            .ok()
            .and_then(|path| path.0.parse().ok())
            .map(Self)
            .ok_or(Problem::not_found())
    }
}

/// base64url, of a bounded value.
fn binary(text: &str, what: &'static str) -> Result<Vec<u8>, Problem> {
    sceau_proof::base64url::decode(text)
        .map_err(|_| Problem::of(StatusCode::BAD_REQUEST, "malformed").because(what))
}
