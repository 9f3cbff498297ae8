//! One request's way through the gate: judged, then passed, held or refused.
//!
//! The order matters and is the argument for fail-safety: one meaning first (`canon`), then whose session, then the route;
//! only what a safe method asks, or a route frees, goes on without an action. Everything else is held.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use crate::action::{ActionRecord, NewAction, RequestDigest, State};
use crate::gate::body::Fields;
use crate::gate::canon::{self, NotCanonical, Target};
use crate::gate::client::{Client, ClientKind, Code, Notice, full};
use crate::gate::creation::Begets;
use crate::gate::display::look_up;
use crate::gate::forward::{Body, Origin, request_headers};
use crate::gate::hold::{Absence, Failure, FlightKey, Full, Held, MOMENT, Ride, Start, incoming};
use crate::gate::meaning::{MeaningError, Reading};
use crate::gate::notice::{
    absent, bad_body, desk_notice, query_escape, refused, session_gone, sign_in_first, suspended,
    told, too_many, upstream_notice,
};
use crate::gate::refusal::Attempt;
use crate::gate::route::{Hold, Met, Purpose};
use crate::gate::session::{Visitor, is_cross_site, visitor};
use crate::gate::{Gate, Site, envoy, meter, misdirected, own, refusal, verify, whose};
use crate::id::ActionId;
use crate::session::{Session, SessionState};

/// How long a held body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A request whose meaning is settled, and who sent it.
pub(super) struct Asked<'a> {
    pub(super) gate: &'a Arc<Gate>,
    pub(super) site: &'a Arc<Site>,
    pub(super) origin: Origin,
    /// `scheme://host`.
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) visitor: Visitor,
    pub(super) target: Target,
}

/// Answers a request. Never fails: what goes wrong is told to the client, and what was refused is in the log.
pub(super) async fn answer(
    gate: &Arc<Gate>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut attempt = Attempt {
        method: request.method().clone(),
        target: request.uri().clone(),
        person: None,
    };
    let response = judge(gate, peer, request, &mut attempt).await;
    let code = response.extensions().get::<Code>().cloned();
    refusal::note(&gate.desk, &gate.ration, attempt, code).await;
    response
}

async fn judge(
    gate: &Arc<Gate>,
    peer: SocketAddr,
    request: Request<Incoming>,
    attempt: &mut Attempt,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let host = match canon::host(&parts.uri, &parts.headers) {
        Ok(host) => host,
        Err(error) => return refused(error, &Client::read(&parts.headers, "")),
    };
    let base = format!("{}://{host}", gate.scheme);
    let client = Client::read(&parts.headers, &base);
    let Some(site) = gate.site(&host) else {
        let notice = Notice::new(misdirected(), "unknown-host", "gate-unknown-host");
        return notice.answer(&client);
    };
    let visitor = match visitor(&gate.desk, gate.cookies, &parts.headers).await {
        Ok(visitor) => visitor,
        Err(error) => return desk_notice(&error).answer(&client),
    };
    attempt.person = match &visitor {
        Visitor::Active(session) | Visitor::Absent(session) | Visitor::Suspended(session) => {
            Some(session.person.clone())
        }
        Visitor::Pending(_) | Visitor::Nobody => None,
    };
    // HTTP/1 targets are paths: an absolute form would let two names be said at once.
    let absolute = parts.version < Version::HTTP_2 && parts.uri.authority().is_some();
    let target = match Target::parse(&parts.uri) {
        Ok(target) if !absolute => target,
        Ok(_) => return refused(NotCanonical::Form, &client),
        Err(error) => return refused(error, &client),
    };
    let origin = Origin {
        peer: peer.ip().to_canonical(),
        scheme: gate.scheme,
        host,
    };
    let asked = Asked {
        gate,
        site,
        origin,
        base,
        client,
        visitor,
        target,
    };
    let first = asked.target.segments().first().map(String::as_str);
    if first == Some(".sceau") {
        return own::answer(&asked, &parts, body).await;
    }
    if let Some(refusal) = whose::refused(&asked, &parts.headers).await {
        return refusal;
    }
    // Whatever begins like it is a question, and never the application's.
    if site.app.forward_auth && asked.target.path().starts_with(verify::PATH) {
        if asked.target.path() == verify::PATH {
            return verify::answer(&asked, &parts).await;
        }
        let answering: BoxFuture<'_, _> = Box::pin(envoy::answer(asked, &parts, body));
        return answering.await;
    }
    match asked.visitor {
        Visitor::Suspended(_) => return suspended().answer(&asked.client),
        Visitor::Absent(_) => return absent().answer(&asked.client),
        Visitor::Nobody | Visitor::Pending(_) | Visitor::Active(_) => {}
    }
    match pass(&asked, parts, body).await {
        Ok(response) => response,
        Err(Refusal::Answered(response)) => *response,
        Err(Refusal::NotCanonical(error)) => refused(error, &asked.client),
    }
}

/// Why a request stops here.
pub(super) enum Refusal {
    NotCanonical(NotCanonical),
    Answered(Box<Response<Body>>),
}

impl From<NotCanonical> for Refusal {
    fn from(error: NotCanonical) -> Self {
        Self::NotCanonical(error)
    }
}

async fn pass(asked: &Asked<'_>, parts: Parts, body: Incoming) -> Result<Response<Body>, Refusal> {
    let app = &asked.site.app;
    let query = asked.target.query();
    let method = canon::effective_method(&parts.method, &parts.headers, query, &[], app.overrides)?;
    let met = app.find(&method, &asked.target)?;
    if canon::is_safe(&method) {
        if has_body(&parts.headers) {
            return Err(NotCanonical::SafeWithBody.into());
        }
        return match &met {
            Some(Met { route, .. }) if matches!(route.purpose, Purpose::Hold(_)) => {
                held(asked, parts, Zeroizing::default(), method, met).await
            }
            Some(Met { route, path }) if method != Method::OPTIONS => match &route.purpose {
                Purpose::Meter(metered) => {
                    let answering: BoxFuture<'_, _> =
                        Box::pin(meter::answer(asked, parts, metered, path));
                    answering.await
                }
                _ => ungated(asked, parts, body, met.as_ref()).await,
            },
            _ => ungated(asked, parts, body, met.as_ref()).await,
        };
    }
    let free = met
        .as_ref()
        .is_some_and(|met| matches!(met.route.purpose, Purpose::Free { .. }));
    if free && !app.overrides.body {
        return ungated(asked, parts, body, met.as_ref()).await;
    }
    if !free {
        may_ask(asked, &parts.headers)?;
    }
    // From here on the body decides: it may replace the method, and it is what will be executed.
    let bytes = read(asked, &parts.headers, body).await?;
    let texts = match Fields::read(&parts.headers, &bytes) {
        Ok(fields) => fields.texts(),
        Err(error) => {
            return Err(bad_body(&error.to_string(), "body")
                .answer(&asked.client)
                .into());
        }
    };
    let replaced =
        canon::effective_method(&parts.method, &parts.headers, query, &texts, app.overrides)?;
    let met = if replaced == method {
        met
    } else {
        app.find(&replaced, &asked.target)?
    };
    match &met {
        Some(Met { route, .. }) if matches!(route.purpose, Purpose::Free { .. }) => {
            stream(asked, parts, full(bytes::Bytes::from_owner(bytes))).await
        }
        _ => {
            may_ask(asked, &parts.headers)?;
            held(asked, parts, bytes, replaced, met).await
        }
    }
}

impl From<Response<Body>> for Refusal {
    fn from(response: Response<Body>) -> Self {
        Self::Answered(Box::new(response))
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    length || headers.contains_key(TRANSFER_ENCODING)
}

/// Before anybody is prompted: not from another site's page, and with a session that a key has sealed.
pub(super) fn may_ask(asked: &Asked<'_>, headers: &HeaderMap) -> Result<(), Refusal> {
    if is_cross_site(headers, &asked.base) {
        return Err(
            Notice::new(StatusCode::FORBIDDEN, "cross-site", "gate-cross-site")
                .answer(&asked.client)
                .into(),
        );
    }
    match &asked.visitor {
        Visitor::Active(_) => Ok(()),
        _ => Err(sign_in_first(asked, None).into()),
    }
}

/// The held body, bounded in size and time.
pub(super) async fn read(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let limit = asked.site.app.body_limit;
    let too_large = || {
        Notice::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "gate-body-too-large",
        )
        .with("limit", limit)
        .answer(&asked.client)
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large().into());
    }
    // What is being read counts before it is held; without an announced length, at its most.
    let most = announced.unwrap_or(limit as u64) / 1024 + 1;
    let Ok(_place) = asked
        .gate
        .reading
        .try_acquire_many(u32::try_from(most).unwrap_or(u32::MAX))
    else {
        return Err(too_many(None).answer(&asked.client).into());
    };
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(Zeroizing::new(collected.to_bytes().to_vec())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large().into()),
        Ok(Err(_)) => Err(bad_body("the body broke off", "body")
            .answer(&asked.client)
            .into()),
        Err(_) => Err(Notice::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            "gate-body-timeout",
        )
        .answer(&asked.client)
        .into()),
    }
}

/// Forwards without holding: bodies stream both ways.
async fn ungated(
    asked: &Asked<'_>,
    mut parts: Parts,
    body: Incoming,
    met: Option<&Met<'_>>,
) -> Result<Response<Body>, Refusal> {
    if asked.site.app.session_always && asked.visitor.active().is_none() {
        let free = met.is_some_and(|met| matches!(met.route.purpose, Purpose::Free { .. }));
        if !free {
            let here = (parts.method == Method::GET).then(|| asked.target.path_and_query());
            return Err(sign_in_first(asked, here).into());
        }
    }
    if parts.version <= Version::HTTP_11 && wants_websocket(&parts.headers) {
        let allowed =
            met.is_some_and(|met| matches!(met.route.purpose, Purpose::Free { upgrade: true }));
        if !allowed {
            return Err(Notice::new(
                StatusCode::FORBIDDEN,
                "upgrade-not-freed",
                "gate-upgrade-not-freed",
            )
            .answer(&asked.client)
            .into());
        }
        return upgrade(asked, parts).await;
    }
    parts.headers.remove(UPGRADE);
    stream(asked, parts, body.map_err(Into::into).boxed_unsync()).await
}

impl Asked<'_> {
    /// The person of an active session.
    pub(super) fn person(&self) -> Option<&str> {
        self.visitor.active().map(|session| session.person.as_str())
    }

    /// An answer that ends with the session that asked.
    pub(super) fn guarded(&self, response: Response<Body>) -> Response<Body> {
        match self.visitor.active() {
            Some(session) => self.gate.exchanges.guard(session.id, response),
            None => response,
        }
    }
}

async fn stream(asked: &Asked<'_>, parts: Parts, body: Body) -> Result<Response<Body>, Refusal> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = request_headers(&parts.headers, &asked.origin, asked.person());
    match asked.site.forwarder.stream(request).await {
        Ok(response) => Ok(asked.guarded(incoming(response))),
        Err(error) => Err(upstream_notice(error).answer(&asked.client).into()),
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Joins client and application when the latter agrees to switch; only ever a WebSocket, on a route that frees it.
async fn upgrade(asked: &Asked<'_>, mut parts: Parts) -> Result<Response<Body>, Refusal> {
    let Some(on_client) = parts.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
        return Err(NotCanonical::Headers.into());
    };
    let unreachable = |error| Refusal::from(upstream_notice(error).answer(&asked.client));
    let sender = asked.site.forwarder.connect().await.map_err(unreachable)?;
    let mut request = Request::new(full(bytes::Bytes::new()));
    *request.uri_mut() = origin_form(&parts.uri);
    *request.headers_mut() = request_headers(&parts.headers, &asked.origin, asked.person());
    request
        .headers_mut()
        .insert("connection", HeaderValue::from_static("upgrade"));
    request
        .headers_mut()
        .insert(UPGRADE, HeaderValue::from_static("websocket"));
    let mut response = sender.send(request).await.map_err(unreachable)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(incoming(response));
    }
    let on_upstream = hyper::upgrade::on(&mut response);
    let place = asked
        .visitor
        .active()
        .map(|session| asked.gate.exchanges.enter(session.id));
    tokio::spawn(async move {
        if let (Ok(client), Ok(upstream)) = tokio::join!(on_client, on_upstream) {
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            let joined = tokio::io::copy_bidirectional(&mut client, &mut upstream);
            match &place {
                Some(place) => tokio::select! {
                    _ = joined => {}
                    () = place.ended() => {}
                },
                None => drop(joined.await),
            }
        }
    });
    let mut switched = incoming(response);
    switched
        .headers_mut()
        .insert("connection", HeaderValue::from_static("upgrade"));
    switched
        .headers_mut()
        .insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(switched)
}

pub(super) fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .map_or_else(Uri::default, Uri::from)
}

/// Holds a request: describes it, asks, and tells the client in its own way.
async fn held(
    asked: &Asked<'_>,
    parts: Parts,
    body: Zeroizing<Vec<u8>>,
    method: Method,
    met: Option<Met<'_>>,
) -> Result<Response<Body>, Refusal> {
    may_ask(asked, &parts.headers)?;
    let Some(session) = asked.visitor.active() else {
        return Err(sign_in_first(asked, None).into());
    };
    let (hold, path) = match met {
        Some(Met { route, path }) => match &route.purpose {
            Purpose::Hold(hold) => (Some(hold.as_ref()), path),
            Purpose::Free { .. } | Purpose::Meter(_) => (None, path),
        },
        None => (None, BTreeMap::new()),
    };
    let sha256: [u8; 32] = digest(&body);
    let request = RequestDigest {
        method: method.as_str().to_owned(),
        path: asked.target.path_and_query(),
        body_sha256: hex::encode(sha256),
    };
    let key = FlightKey {
        session: session.id,
        service: asked.site.app.service.clone(),
        method: request.method.clone(),
        target: request.path.clone(),
        content_sha256: Fields::content_sha256(&parts.headers, &body),
    };
    let repeated = repeated(asked, &parts.headers, session, &request).await?;
    let (described, begets) = describe(asked, &parts, &body, session, hold, &path, request).await?;
    let start = match repeated {
        Some(record) => Start::Adopt(Box::new(record)),
        None => Start::Open(Box::new(described)),
    };
    let absence = match asked.client.kind {
        ClientKind::Htmx | ClientKind::Navigation => Absence::Defer,
        ClientKind::Script | ClientKind::Api => Absence::Park,
    };
    let make = || {
        let held = Held {
            session: session.id,
            service: asked.site.app.service.clone(),
            method: parts.method.clone(),
            target: origin_form(&parts.uri),
            headers: request_headers(&parts.headers, &asked.origin, asked.person()),
            body,
            from: asked.client.from.clone(),
            begets,
        };
        (held, start)
    };
    let seat = match asked.gate.holds.join(key, &asked.site.forwarder, make) {
        Ok(seat) => seat,
        Err(Full) => return Err(too_many(None).answer(&asked.client).into()),
    };
    // When the session loses its key the client is told, its seat is free, and what was held is cancelled.
    let place = asked.gate.exchanges.enter(session.id);
    let news = seat.news();
    tokio::select! {
        biased;
        ride = seat.ride(patience(asked, session), absence) => {
            // What the application answers ends with the session. What the gate says itself, why nothing was done above all, does not.
            let theirs = matches!(ride, Ride::Answer(_));
            let response = told(asked, ride);
            Ok(if theirs { asked.guarded(response) } else { response })
        }
        () = place.ended() => Err(gone(asked, session, news.action()).await.into()),
    }
}

/// Resolves when this client is held no longer. Those who can be led to a page are held only while somebody asks the person: without an agent a
/// browser would wait for the whole hold before an empty page. Scripts and programs are held all the same: their pages take nothing else for an answer.
pub(super) async fn patience(asked: &Asked<'_>, session: &Session) {
    if asked.client.impatient {
        return;
    }
    let (desk, person) = (&asked.gate.desk, &session.person);
    let led = match asked.client.kind {
        ClientKind::Navigation => true,
        // Being led costs a page its state: only when it is certain that no agent listens, at another instance either.
        ClientKind::Htmx => desk.hears_all(),
        ClientKind::Script | ClientKind::Api => false,
    };
    let unheard = async {
        loop {
            let was_heard = !led || desk.hears(person);
            tokio::time::sleep(MOMENT).await;
            if !was_heard && !desk.hears(person) {
                return;
            }
        }
    };
    tokio::select! {
        () = tokio::time::sleep(asked.site.app.hold) => {}
        () = unheard => {}
    }
}

/// What a client hears whose session ended while its request was held: what became of the request, where that is settled (what suspends a
/// session refuses what it asked for in the same transaction), and otherwise what became of the session.
pub(super) async fn gone(
    asked: &Asked<'_>,
    session: &Session,
    action: Option<ActionId>,
) -> Response<Body> {
    if let Some(action) = action
        && let Ok(Some(record)) = asked.gate.desk.action(action).await
        && record.state == State::Refused
    {
        return told(
            asked,
            Ride::Failed(Some(action), Failure::of_refusal(&record)),
        );
    }
    match asked.gate.desk.session_named(session.id).await {
        Ok(Some(session))
            if matches!(
                session.state,
                SessionState::Suspended | SessionState::Absent
            ) =>
        {
            session_gone(session.state).answer(&asked.client)
        }
        // Signed out elsewhere, or its time is over: signing in again is what helps.
        Ok(_) => sign_in_first(asked, None),
        Err(error) => desk_notice(&error).answer(&asked.client),
    }
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    sha256
}

/// The action that `Sceau-Action` names, when it is this session's and stands for these very bytes.
pub(super) async fn repeated(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    session: &Session,
    request: &RequestDigest,
) -> Result<Option<ActionRecord>, Refusal> {
    let Some(name) = headers.get("sceau-action") else {
        return Ok(None);
    };
    let unknown = || {
        Refusal::from(
            Notice::new(
                StatusCode::NOT_FOUND,
                "unknown-action",
                "gate-action-of-another-session",
            )
            .answer(&asked.client),
        )
    };
    let id: ActionId = name
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(unknown)?;
    let record = match asked.gate.desk.action(id).await {
        Ok(Some(record)) => record,
        Ok(None) => return Err(unknown()),
        Err(error) => return Err(desk_notice(&error).answer(&asked.client).into()),
    };
    if record.session != Some(session.id) || record.service != asked.site.app.service {
        return Err(unknown());
    }
    let document: serde_json::Value = serde_json::from_str(&record.document).unwrap_or_default();
    let same = document.get("request").is_some_and(|signed| {
        let member = |name: &str| signed.get(name).and_then(|value| value.as_str());
        member("method") == Some(&request.method)
            && member("path") == Some(&request.path)
            && member("body_sha256") == Some(&request.body_sha256)
    });
    if !same {
        return Err(Notice::new(
            StatusCode::CONFLICT,
            "different-request",
            "gate-different-request",
        )
        .answer(&asked.client)
        .into());
    }
    Ok(Some(record))
}

pub(super) async fn describe(
    asked: &Asked<'_>,
    parts: &Parts,
    body: &[u8],
    session: &Session,
    hold: Option<&Hold>,
    path: &BTreeMap<String, String>,
    request: RequestDigest,
) -> Result<(NewAction, Begets), Refusal> {
    let fields = match Fields::read(&parts.headers, body) {
        Ok(fields) => fields,
        Err(error) => {
            return Err(bad_body(&error.to_string(), "body")
                .answer(&asked.client)
                .into());
        }
    };
    let reading = match Reading::new(hold, path, &asked.target, &parts.headers, &fields) {
        Ok(reading) => reading,
        Err(MeaningError::NotCanonical(error)) => return Err(error.into()),
        Err(error @ MeaningError::Duplicate(_)) => {
            return Err(bad_body(&error.to_string(), "duplicate")
                .answer(&asked.client)
                .into());
        }
        Err(error @ MeaningError::Missing(_)) => {
            return Err(bad_body(&error.to_string(), "missing-parameter")
                .answer(&asked.client)
                .into());
        }
    };
    let mut displays = BTreeMap::new();
    for (name, display) in hold.iter().flat_map(|hold| &hold.display) {
        let page = display
            .get
            .fill(|name| query_escape(&reading.text(name)).replace('/', "%2F"));
        if let Some(text) = look_up(asked, &parts.headers, &page, display.json.as_deref()).await {
            displays.insert(name.clone(), text);
        }
    }
    let grants = hold
        .and_then(|hold| hold.grants.as_ref())
        .map(|id| id.fill(|name| reading.text(name)));
    let meaning = reading.describe(hold, &request.method, &asked.target, &displays);
    let begets = Begets {
        creates: hold.and_then(|hold| hold.creates.clone()),
        grants,
        display: meaning.target.display.clone(),
    };
    let action = NewAction {
        kind: meaning.kind,
        service: asked.site.app.service.clone(),
        requester: session.person.clone(),
        target: meaning.target,
        params: meaning.params,
        request: Some(request),
        words: Some(meaning.words),
    };
    Ok((action, begets))
}
