//! Shared Signals (OpenID SSF 1.0 §7, §8): what we transmit, a receiver's stream, and RFC 8936's polling. docs/signals.md.
//!
//! A receiver is a service with its token, configured under `[[signal.receiver]]`; it sees its own stream and no other. An address to push to, and what is
//! sent as `Authorization` there, are the configuration's: a receiver may choose between that address and polling, and names none of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Api, Json, Path, Problem, Query, ServiceCaller};
use crate::desk::StreamChange;
use crate::id::ServiceId;
use crate::lineage::Node;
use crate::signal::{
    Delivery, Event, Poll, Polled, Receiver, SignalStream, Signals, Status, VERIFICATION,
};

const STREAMS: &str = "/v1/signals/streams";
const STATUS: &str = "/v1/signals/status";
const ADD: &str = "/v1/signals/subjects/add";
const REMOVE: &str = "/v1/signals/subjects/remove";
const VERIFY: &str = "/v1/signals/verify";
const POLL: &str = "/v1/signals/poll";
const KEYS: &str = "/v1/signals/jwks.json";

/// Longest words of a receiver: a description, a reason, a state.
const LONGEST_WORDS: usize = 256;
/// Event types that one stream may ask for.
const MOST_EVENTS: usize = 64;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/.well-known/ssf-configuration", get(configuration))
        .route(KEYS, get(keys))
        .route(
            STREAMS,
            get(read)
                .post(open)
                .patch(change)
                .put(replace)
                .delete(close),
        )
        .route(STATUS, get(status).post(set_status))
        .route(ADD, post(add))
        .route(REMOVE, post(remove))
        .route(VERIFY, post(verify))
        .route(&format!("{POLL}/{{stream}}"), post(poll))
}

/// The receiver that calls, and what is configured of it.
struct Caller {
    signals: Arc<Signals>,
    service: ServiceId,
}

impl Caller {
    fn of(api: &Api, service: ServiceId) -> Result<Self, Problem> {
        let signals = api.signals.clone().ok_or(Problem::not_found())?;
        signals.receiver(&service).ok_or(
            Problem::of(StatusCode::FORBIDDEN, "forbidden").because("no receiver of signals"),
        )?;
        Ok(Self { signals, service })
    }

    fn receiver(&self) -> Result<&Receiver, Problem> {
        self.signals
            .receiver(&self.service)
            .ok_or(Problem::not_found())
    }

    /// The caller's stream, if it has this name.
    async fn stream(&self, api: &Api, id: &str) -> Result<SignalStream, Problem> {
        let stream = api.desk.signal_stream(&self.service).await?;
        stream
            .filter(|stream| stream.id.to_string() == id)
            .ok_or(Problem::not_found())
    }

    /// SSF §8.1.1.
    fn view(&self, stream: &SignalStream) -> Result<Value, Problem> {
        let receiver = self.receiver()?;
        let delivered: Vec<&str> = receiver
            .events
            .iter()
            .map(|event| event.uri())
            .filter(|uri| stream.events.iter().any(|asked| asked == uri))
            .collect();
        let endpoint = match stream.delivery {
            Delivery::Push => receiver.push.clone().unwrap_or_default(),
            Delivery::Poll => format!("{}{POLL}/{}", self.signals.issuer(), stream.id),
        };
        let mut view = json!({
            "stream_id": stream.id,
            "iss": self.signals.issuer(),
            "aud": receiver.audience(),
            "events_supported": receiver.events.iter().map(|it| it.uri()).collect::<Vec<_>>(),
            "events_requested": stream.events,
            "events_delivered": delivered,
            "delivery": { "method": stream.delivery.urn(), "endpoint_url": endpoint },
            "min_verification_interval": VERIFICATION.whole_seconds(),
        });
        if let (Some(description), Some(view)) = (&stream.description, view.as_object_mut()) {
            view.insert("description".to_owned(), json!(description));
        }
        Ok(view)
    }

    /// The way that a receiver asks for, if it may have it; polling when it asks for none.
    fn delivery(&self, asked: Option<&DeliveryBody>) -> Result<Delivery, Problem> {
        let Some(asked) = asked else {
            return Ok(Delivery::Poll);
        };
        let unfit =
            |why: &'static str| Problem::of(StatusCode::BAD_REQUEST, "malformed").because(why);
        let delivery = Delivery::from_urn(&asked.method).ok_or(unfit("delivery.method"))?;
        let push = self.receiver()?.push.as_deref();
        match delivery {
            Delivery::Poll => Ok(delivery),
            Delivery::Push if asked.authorization_header.is_some() => Err(unfit(
                "delivery.authorization_header is the configuration's",
            )),
            Delivery::Push if push.is_some() && push == asked.endpoint_url.as_deref() => {
                Ok(delivery)
            }
            Delivery::Push => Err(unfit("delivery.endpoint_url is the configuration's")),
        }
    }
}

/// SSF §7.1.
#[utoipa::path(get, path = "/.well-known/ssf-configuration", responses((status = 200, description = "Transmitter configuration metadata", body = Object)))]
pub(super) async fn configuration(State(api): State<Api>) -> Result<axum::Json<Value>, Problem> {
    let signals = api.signals.as_ref().ok_or(Problem::not_found())?;
    let at = |path: &str| format!("{}{path}", signals.issuer());
    Ok(axum::Json(json!({
        "spec_version": "1_0",
        "issuer": signals.issuer(),
        "jwks_uri": at(KEYS),
        "delivery_methods_supported": [Delivery::Push.urn(), Delivery::Poll.urn()],
        "configuration_endpoint": at(STREAMS),
        "status_endpoint": at(STATUS),
        "add_subject_endpoint": at(ADD),
        "remove_subject_endpoint": at(REMOVE),
        "verification_endpoint": at(VERIFY),
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6750" }],
        "default_subjects": "ALL",
    })))
}

/// The keys that signals are signed with (RFC 7517).
#[utoipa::path(get, path = "/v1/signals/jwks.json", responses((status = 200, description = "a JWK set", body = Object)))]
pub(super) async fn keys(State(api): State<Api>) -> Result<Response, Problem> {
    let signals = api.signals.as_ref().ok_or(Problem::not_found())?;
    let cache = [(header::CACHE_CONTROL, "public, max-age=300")];
    Ok((cache, axum::Json(signals.keys())).into_response())
}

/// `delivery` of a stream.
#[derive(Deserialize, ToSchema)]
pub(super) struct DeliveryBody {
    method: String,
    #[serde(default)]
    endpoint_url: Option<String>,
    #[serde(default)]
    authorization_header: Option<String>,
}

/// A stream as its receiver wants it. What else the transmitter's answers hold may come back with it, unchanged.
#[derive(Deserialize, ToSchema)]
pub(super) struct StreamBody {
    #[serde(default)]
    stream_id: Option<String>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    aud: Option<String>,
    #[serde(default)]
    delivery: Option<DeliveryBody>,
    #[serde(default)]
    events_requested: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
}

/// `null` is something given.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn short(text: Option<&str>, what: &'static str) -> Result<(), Problem> {
    match text {
        Some(text) if text.len() > LONGEST_WORDS || text.contains(char::is_control) => {
            Err(Problem::of(StatusCode::BAD_REQUEST, "malformed").because(what))
        }
        _ => Ok(()),
    }
}

impl StreamBody {
    fn check(&self) -> Result<(), Problem> {
        short(
            self.description.iter().flatten().next().map(String::as_str),
            "description",
        )?;
        let events = self.events_requested.iter().flatten();
        for event in events.clone() {
            short(Some(event), "events_requested")?;
        }
        if events.count() > MOST_EVENTS {
            return Err(
                Problem::of(StatusCode::BAD_REQUEST, "malformed").because("events_requested")
            );
        }
        Ok(())
    }

    fn events(&self) -> Vec<String> {
        let all = || Event::all().iter().map(|it| it.uri().to_owned()).collect();
        self.events_requested.clone().unwrap_or_else(all)
    }

    /// SSF §8.1.1.3: what is the transmitter's must be as it is.
    fn same(&self, caller: &Caller) -> Result<(), Problem> {
        let audience = caller.receiver()?.audience();
        let other =
            |given: &Option<String>, ours: &str| given.as_deref().is_some_and(|it| it != ours);
        if other(&self.iss, caller.signals.issuer()) || other(&self.aud, audience) {
            return Err(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("iss, aud"));
        }
        Ok(())
    }

    fn id(&self) -> Result<&str, Problem> {
        self.stream_id
            .as_deref()
            .ok_or(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("stream_id"))
    }
}

/// Which stream is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    stream_id: Option<String>,
}

impl Which {
    fn id(&self) -> Result<&str, Problem> {
        self.stream_id
            .as_deref()
            .ok_or(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("stream_id"))
    }
}

/// SSF §8.1.1.2.
#[utoipa::path(get, path = "/v1/signals/streams", params(("stream_id" = Option<String>, Query)),
    responses((status = 200, description = "the stream, or a list of the caller's streams", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn read(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = Caller::of(&api, service)?;
    let view = match &which.stream_id {
        Some(id) => caller.view(&caller.stream(&api, id).await?)?,
        None => {
            let stream = api.desk.signal_stream(&caller.service).await?;
            let views = stream.iter().map(|stream| caller.view(stream));
            Value::Array(views.collect::<Result<_, _>>()?)
        }
    };
    Ok(axum::Json(view))
}

/// SSF §8.1.1.1. A receiver has one stream: `409` when it is there.
#[utoipa::path(post, path = "/v1/signals/streams", request_body = StreamBody,
    responses((status = 201, description = "the stream", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn open(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<StreamBody>,
) -> Result<Response, Problem> {
    let caller = Caller::of(&api, service)?;
    asked.check()?;
    let delivery = caller.delivery(asked.delivery.as_ref())?;
    let (events, description) = (asked.events(), asked.description.flatten());
    let stream = api
        .desk
        .open_signal_stream(caller.service.clone(), delivery, events, description)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(caller.view(&stream)?)).into_response())
}

/// SSF §8.1.1.3: what is not given stays.
#[utoipa::path(patch, path = "/v1/signals/streams", request_body = StreamBody,
    responses((status = 200, description = "the stream", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn change(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<StreamBody>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = Caller::of(&api, service)?;
    asked.check()?;
    asked.same(&caller)?;
    caller.stream(&api, asked.id()?).await?;
    let delivery = asked.delivery.as_ref();
    let delivery = delivery.map(|asked| caller.delivery(Some(asked)));
    let change = StreamChange {
        events: asked.events_requested,
        description: asked.description,
        delivery: delivery.transpose()?,
        status: None,
    };
    altered(&api, caller, change).await
}

/// SSF §8.1.1.4: what is not given is as for a new stream.
#[utoipa::path(put, path = "/v1/signals/streams", request_body = StreamBody,
    responses((status = 200, description = "the stream", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn replace(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<StreamBody>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = Caller::of(&api, service)?;
    asked.check()?;
    asked.same(&caller)?;
    caller.stream(&api, asked.id()?).await?;
    let change = StreamChange {
        events: Some(asked.events()),
        delivery: Some(caller.delivery(asked.delivery.as_ref())?),
        description: Some(asked.description.flatten()),
        status: None,
    };
    altered(&api, caller, change).await
}

async fn altered(
    api: &Api,
    caller: Caller,
    change: StreamChange,
) -> Result<axum::Json<Value>, Problem> {
    let service = caller.service.clone();
    let stream = api.desk.change_signal_stream(service, change).await?;
    Ok(axum::Json(caller.view(&stream)?))
}

/// SSF §8.1.1.5.
#[utoipa::path(delete, path = "/v1/signals/streams", params(("stream_id" = String, Query)),
    responses((status = 204), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn close(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Query(which): Query<Which>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::of(&api, service)?;
    caller.stream(&api, which.id()?).await?;
    api.desk.close_signal_stream(caller.service).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn standing(stream: &SignalStream) -> axum::Json<Value> {
    let mut view = json!({ "stream_id": stream.id, "status": stream.status.as_str() });
    if let (Some(reason), Some(view)) = (&stream.reason, view.as_object_mut()) {
        view.insert("reason".to_owned(), json!(reason));
    }
    axum::Json(view)
}

/// SSF §8.1.2.1.
#[utoipa::path(get, path = "/v1/signals/status", params(("stream_id" = String, Query)),
    responses((status = 200, description = "{\"stream_id\",\"status\",\"reason\"?}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn status(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = Caller::of(&api, service)?;
    Ok(standing(&caller.stream(&api, which.id()?).await?))
}

/// What a stream shall be.
#[derive(Deserialize, ToSchema)]
pub(super) struct StatusBody {
    stream_id: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
}

/// SSF §8.1.2.2.
#[utoipa::path(post, path = "/v1/signals/status", request_body = StatusBody,
    responses((status = 200, description = "{\"stream_id\",\"status\",\"reason\"?}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn set_status(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<StatusBody>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = Caller::of(&api, service)?;
    short(asked.reason.as_deref(), "reason")?;
    let status = Status::from_word(&asked.status)
        .ok_or(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("status"))?;
    caller.stream(&api, &asked.stream_id).await?;
    let change = StreamChange {
        status: Some((status, asked.reason)),
        ..StreamChange::default()
    };
    let stream = api
        .desk
        .change_signal_stream(caller.service, change)
        .await?;
    Ok(standing(&stream))
}

/// Whom a receiver speaks of.
#[derive(Deserialize, ToSchema)]
pub(super) struct SubjectBody {
    stream_id: String,
    #[schema(value_type = Object)]
    subject: Value,
}

/// SSF §8.1.3.2. Everybody is told of unless removed; whom we do not know is added in silence.
#[utoipa::path(post, path = "/v1/signals/subjects/add", request_body = SubjectBody,
    responses((status = 200), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn add(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<SubjectBody>,
) -> Result<StatusCode, Problem> {
    exclude(&api, service, asked, false).await?;
    Ok(StatusCode::OK)
}

/// SSF §8.1.3.3.
#[utoipa::path(post, path = "/v1/signals/subjects/remove", request_body = SubjectBody,
    responses((status = 204), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn remove(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<SubjectBody>,
) -> Result<StatusCode, Problem> {
    exclude(&api, service, asked, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn exclude(
    api: &Api,
    service: ServiceId,
    asked: SubjectBody,
    out: bool,
) -> Result<(), Problem> {
    let caller = Caller::of(api, service)?;
    caller.stream(api, &asked.stream_id).await?;
    if let Some(node) = subject(api, &caller, &asked.subject).await? {
        api.desk.exclude_subject(caller.service, node, out).await?;
    }
    Ok(())
}

/// Whom a subject identifier (RFC 9493) means; `None`: nobody of ours.
async fn subject(api: &Api, caller: &Caller, subject: &Value) -> Result<Option<Node>, Problem> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    match text("format") {
        Some("iss_sub") => {
            let (Some(iss), Some(sub)) = (text("iss"), text("sub")) else {
                return Err(Problem::of(StatusCode::BAD_REQUEST, "malformed").because("subject"));
            };
            let person = if iss == caller.signals.issuer() {
                sub.parse().ok()
            } else {
                api.desk.person_of_identity(iss, sub).await?
            };
            Ok(person.map(Node::Person))
        }
        Some("opaque") => Ok(text("id")
            .filter(|id| id.len() <= LONGEST_WORDS)
            .and_then(|id| Node::account(caller.service.clone(), id))),
        _ => Err(Problem::of(StatusCode::BAD_REQUEST, "malformed")
            .because("subject.format: iss_sub or opaque")),
    }
}

/// A receiver wants to see its stream flow.
#[derive(Deserialize, ToSchema)]
pub(super) struct VerifyBody {
    stream_id: String,
    #[serde(default)]
    state: Option<String>,
}

/// SSF §8.1.4.2.
#[utoipa::path(post, path = "/v1/signals/verify", request_body = VerifyBody,
    responses((status = 204), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn verify(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Json(asked): Json<VerifyBody>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::of(&api, service)?;
    short(asked.state.as_deref(), "state")?;
    caller.stream(&api, &asked.stream_id).await?;
    api.desk
        .verify_signal_stream(caller.service, asked.state)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// RFC 8936 §2.
#[utoipa::path(post, path = "/v1/signals/poll/{stream}", params(("stream" = String, Path)), request_body = Object,
    responses((status = 200, description = "{\"sets\",\"moreAvailable\"}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn poll(
    State(api): State<Api>,
    ServiceCaller(service): ServiceCaller,
    Path(id): Path<Uuid>,
    Json(asked): Json<Poll>,
) -> Result<axum::Json<Polled>, Problem> {
    let caller = Caller::of(&api, service)?;
    let stream = caller.stream(&api, &id.to_string()).await?;
    if stream.delivery != Delivery::Poll {
        return Err(Problem::not_found());
    }
    Ok(axum::Json(caller.signals.poll(&stream, asked).await?))
}
