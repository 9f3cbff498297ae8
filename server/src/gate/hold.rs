//! Held requests: from the first byte kept to the one execution.
//!
//! A *flight* is one held request and its action. Clients attach to it: identical requests of one session (method, path,
//! query, body) join the flight that is in the air. A task of its own drives it, so that a client that goes away in the
//! middle can never stop an execution half-way. Invariants:
//! - `Desk::consume` returns before the first byte is sent, and what was consumed is sent at most once (attack 21);
//! - when the last client goes away and none was led elsewhere, the action is cancelled;
//! - held bytes live in memory only, and are erased with the flight.
//!
//! How each kind of client is told is in `client`; what is forwarded and how in `forward`.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::action::{ActionRecord, Approvers, Caller, NewAction, Outcome, State};
use crate::desk::{CancelReason, Desk, DeskError};
use crate::gate::client::full;
use crate::gate::creation::Begets;
use crate::gate::forward::{Body, ForwardError, Forwarder, response_headers, seal};
use crate::id::{ActionId, ServiceId, SessionId};
use crate::session::SessionState;

/// The most flights of one session.
const MAX_PER_SESSION: usize = 8;
/// The most flights, and the most bytes that they hold together.
const MAX_FLIGHTS: usize = 2_048;
const MAX_BYTES: usize = 256 << 20;
/// The largest answer that is shared among several clients of one flight.
const MAX_SHARED: usize = 1 << 20;
/// How many outcomes are kept for people who were led away.
const MAX_ENDINGS: usize = 4_096;
/// How long one who comes again waits for news when others approve, and an agent may take to come back.
pub(super) const MOMENT: Duration = Duration::from_millis(1_500);
/// How long one look at a pending action lasts.
const LOOK: Duration = Duration::from_secs(50);

/// Everything needed to execute a held request.
#[derive(Debug)]
pub struct Held {
    /// The session that asks.
    pub session: SessionId,
    /// The service behind the gate.
    pub service: ServiceId,
    /// The method on the wire.
    pub method: Method,
    /// Path and query, verbatim.
    pub target: Uri,
    /// Headers for the upstream, without the permit.
    pub headers: HeaderMap,
    /// The body, verbatim.
    pub body: Zeroizing<Vec<u8>>,
    /// The page that it came from.
    pub from: Option<String>,
    /// What it begets when it is executed.
    pub begets: Begets,
}

/// What makes two requests one action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlightKey {
    /// The session.
    pub session: SessionId,
    /// The service.
    pub service: ServiceId,
    /// The effective method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// SHA-256 of what the body says ([`crate::gate::body::Fields::content_sha256`]).
    pub content_sha256: [u8; 32],
}

/// How a flight begins.
#[derive(Debug)]
pub enum Start {
    /// A new action.
    Open(Box<NewAction>),
    /// An action that was opened before for the same bytes.
    Adopt(Box<ActionRecord>),
}

/// Why a flight ended without the application's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The desk did not take it.
    Desk(DeskError),
    /// The policy said no, for this reason.
    Denied(String),
    /// Someone said no, for this reason.
    Refused(String),
    /// Too late.
    Expired,
    /// Its one use was taken before.
    Used,
    /// The session was suspended or ended meanwhile: where it stands now.
    SessionGone(SessionState),
    /// No connection to the application: nothing was sent.
    Unreachable,
    /// It may or may not have happened.
    Unknown,
}

impl Failure {
    /// That of an action in state `refused`.
    #[must_use]
    pub fn of_refusal(record: &ActionRecord) -> Self {
        Self::Refused(reason(record.refusal.as_ref()))
    }
}

/// How a flight ended.
#[derive(Debug)]
enum Ending {
    /// The answer, for whoever takes it first.
    Stream(Mutex<Option<Response<Body>>>),
    /// The answer, for all.
    Shared(http::response::Parts, Bytes),
    /// No answer.
    Failed(Failure),
}

/// Where a flight is.
#[derive(Debug, Clone)]
enum Phase {
    Opening,
    Waiting {
        action: ActionId,
        not_here: bool,
    },
    Approved,
    Ended {
        action: Option<ActionId>,
        ending: Arc<Ending>,
    },
}

/// What becomes of a flight without clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absence {
    /// It is cancelled.
    Cancel,
    /// It waits for the same request to come again.
    Park,
    /// It is executed when approved.
    Defer,
}

#[derive(Debug)]
struct Attached {
    clients: usize,
    absence: Absence,
}

/// One held request in the air.
#[derive(Debug)]
struct Flight {
    phase: watch::Sender<Phase>,
    attached: Mutex<Attached>,
    changed: Notify,
}

/// How a ride on a flight ended.
#[derive(Debug)]
pub enum Ride {
    /// The application's answer.
    Answer(Response<Body>),
    /// Another client of the same flight got the answer.
    AnsweredElsewhere(ActionId),
    /// It waits still, and the client is to be led elsewhere.
    Waits(ActionId),
    /// It ended without an answer.
    Failed(Option<ActionId>, Failure),
}

/// What is known of a deferred execution, for the page that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Landing {
    /// Where the application's answer leads: its HX-Redirect, HX-Location or Location.
    pub location: Option<String>,
    /// The page that the request came from.
    pub from: Option<String>,
}

/// All flights of a gate.
#[derive(Debug)]
pub struct Holds {
    desk: Desk,
    state: Mutex<Inner>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Inner {
    flights: HashMap<FlightKey, Arc<Flight>>,
    bytes: usize,
    landings: HashMap<ActionId, Landing>,
    order: VecDeque<ActionId>,
}

/// Too much is held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client on a flight; when it is dropped the flight knows.
#[derive(Debug)]
pub struct Seat {
    flight: Arc<Flight>,
    /// Whether this client began the flight.
    first: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut attached = lock(&self.flight.attached);
        attached.clients = attached.clients.saturating_sub(1);
        drop(attached);
        self.flight.changed.notify_one();
    }
}

impl Flight {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Opening),
            attached: Mutex::new(Attached {
                clients: 0,
                absence: Absence::Cancel,
            }),
            changed: Notify::new(),
        })
    }

    fn board(self: &Arc<Self>, first: bool) -> Seat {
        lock(&self.attached).clients += 1;
        self.changed.notify_one();
        Seat {
            flight: Arc::clone(self),
            first,
        }
    }

    fn absence(&self) -> Option<Absence> {
        let attached = lock(&self.attached);
        (attached.clients == 0).then_some(attached.absence)
    }
}

/// What is known of a seat's flight, for whoever looks on while the seat is ridden.
#[derive(Debug)]
pub struct News(watch::Receiver<Phase>);

impl News {
    /// The action that the flight waits for, once it was opened.
    #[must_use]
    pub fn action(&self) -> Option<ActionId> {
        match &*self.0.borrow() {
            Phase::Waiting { action, .. } => Some(*action),
            Phase::Ended { action, .. } => *action,
            Phase::Opening | Phase::Approved => None,
        }
    }
}

impl Seat {
    /// What becomes of its flight.
    #[must_use]
    pub fn news(&self) -> News {
        News(self.flight.phase.subscribe())
    }

    /// Rides until the end, or until `patience` resolves; then `absence` says what becomes of it without this client.
    pub async fn ride(self, patience: impl Future<Output = ()>, absence: Absence) -> Ride {
        let mut phase = self.flight.phase.subscribe();
        let deadline = patience;
        // Someone who comes again for an action that others approve may be a moment ahead of the news.
        let moment = tokio::time::sleep(if self.first { Duration::ZERO } else { MOMENT });
        tokio::pin!(deadline, moment);
        loop {
            let now = phase.borrow_and_update().clone();
            let (waiting, not_here) = match now {
                Phase::Ended { action, ending } => return ending.ride(action),
                Phase::Waiting { action, not_here } => (Some(action), not_here),
                Phase::Opening | Phase::Approved => (None, false),
            };
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() {
                    return Ride::Failed(None, Failure::Unknown);
                },
                () = &mut moment, if not_here => if let Some(action) = waiting { return self.leave(action, absence) },
                () = &mut deadline, if waiting.is_some() => if let Some(action) = waiting { return self.leave(action, absence) },
            }
        }
    }

    fn leave(self, action: ActionId, absence: Absence) -> Ride {
        let mut attached = lock(&self.flight.attached);
        attached.absence = attached.absence.max(absence);
        Ride::Waits(action)
    }
}

impl Ending {
    fn ride(&self, action: Option<ActionId>) -> Ride {
        match self {
            Self::Stream(response) => match (lock(response).take(), action) {
                (Some(response), _) => Ride::Answer(response),
                (None, Some(action)) => Ride::AnsweredElsewhere(action),
                (None, None) => Ride::Failed(None, Failure::Unknown),
            },
            Self::Shared(parts, bytes) => {
                Ride::Answer(Response::from_parts(parts.clone(), full(bytes.clone())))
            }
            Self::Failed(failure) => Ride::Failed(action, failure.clone()),
        }
    }
}

impl Holds {
    /// None yet.
    #[must_use]
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            state: Mutex::new(Inner::default()),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits until no flight is being executed any more; call it after the last connection has ended.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What is known of a flight whose client was led away.
    #[must_use]
    pub fn landing(&self, action: ActionId) -> Option<Landing> {
        lock(&self.state).landings.get(&action).cloned()
    }

    /// A client was led to the page of this action: where it came from.
    pub(super) fn lead_back(&self, action: ActionId, from: Option<String>) {
        let location = None;
        lock(&self.state).remember(action, Landing { location, from });
    }

    /// The flight of these bytes: the one in the air, or a new one that `start` begins.
    ///
    /// # Errors
    /// `Full` when this session, or everybody together, holds too much.
    pub fn join(
        self: &Arc<Self>,
        key: FlightKey,
        forwarder: &Forwarder,
        make: impl FnOnce() -> (Held, Start),
    ) -> Result<Seat, Full> {
        let mut state = lock(&self.state);
        if let Some(flight) = state.flights.get(&key) {
            return Ok(flight.board(false));
        }
        let same = state
            .flights
            .keys()
            .filter(|other| other.session == key.session)
            .count();
        let (held, start) = make();
        let size = held.body.len();
        if same >= MAX_PER_SESSION
            || state.flights.len() >= MAX_FLIGHTS
            || state.bytes + size > MAX_BYTES
        {
            return Err(Full);
        }
        state.bytes += size;
        let flight = Flight::new();
        let seat = flight.board(true);
        state.flights.insert(key.clone(), Arc::clone(&flight));
        drop(state);
        let (holds, forwarder, driven) = (Arc::clone(self), forwarder.clone(), flight);
        self.tasks.spawn(async move {
            let from = held.from.clone();
            // A fault of ours must not leave clients waiting, nor the same bytes joined to a dead flight.
            let drive = AssertUnwindSafe(holds.drive(&driven, held, start, &forwarder));
            let (action, end) = drive
                .catch_unwind()
                .await
                .unwrap_or((None, Err(Failure::Unknown)));
            if let (Some(action), Err(_)) = (action, &end) {
                holds.lead_back(action, from);
            }
            let ending = share(end, || lock(&driven.attached).clients).await;
            let mut state = lock(&holds.state);
            state.flights.remove(&key);
            state.bytes = state.bytes.saturating_sub(size);
            drop(state);
            driven.phase.send_replace(Phase::Ended {
                action,
                ending: Arc::new(ending),
            });
        });
        Ok(seat)
    }

    /// From asking to the application's answer.
    async fn drive(
        &self,
        flight: &Flight,
        held: Held,
        start: Start,
        forwarder: &Forwarder,
    ) -> (Option<ActionId>, Result<Response<Body>, Failure>) {
        let opened = match start {
            Start::Open(asked) => {
                let caller = Caller::Gate {
                    service: held.service.clone(),
                    session: held.session,
                };
                self.desk.open_action(*asked, caller).await
            }
            Start::Adopt(record) => Ok(*record),
        };
        let record = match opened {
            Ok(record) => record,
            Err(error) => return (None, Err(Failure::Desk(error))),
        };
        let action = record.id;
        let end = match self.await_approval(flight, record).await {
            Ok(()) => self.execute(flight, action, held, forwarder).await,
            Err(failure) => Err(failure),
        };
        (Some(action), end)
    }

    /// Returns when the action is approved and somebody wants it executed.
    async fn await_approval(
        &self,
        flight: &Flight,
        mut record: ActionRecord,
    ) -> Result<(), Failure> {
        let action = record.id;
        let not_here = nobody_here(&record);
        if record.state == State::Pending {
            flight
                .phase
                .send_replace(Phase::Waiting { action, not_here });
        }
        loop {
            match record.state {
                State::Pending => {}
                State::Approved if record.execution.is_some() => return Err(Failure::Used),
                State::Approved => {
                    flight.phase.send_replace(Phase::Approved);
                }
                State::Denied => return Err(Failure::Denied(reason(record.denial.as_ref()))),
                State::Refused => return Err(Failure::of_refusal(&record)),
                State::Expired => return Err(Failure::Expired),
                State::Executed | State::Consumed => return Err(Failure::Used),
            }
            match (record.state, flight.absence()) {
                (_, Some(Absence::Cancel)) => {
                    return Err(
                        match self.desk.cancel(action, CancelReason::ClientGone).await {
                            Ok(_) => Failure::Refused("client-gone".to_owned()),
                            Err(error) => Failure::Desk(error),
                        },
                    );
                }
                (State::Approved, None | Some(Absence::Defer)) => return Ok(()),
                _ => {}
            }
            let look = if record.state == State::Pending {
                tokio::select! {
                    look = self.desk.wait(action, LOOK) => look,
                    () = flight.changed.notified() => continue,
                }
            } else {
                // Approved and parked: until the same request comes again, or its time is over.
                let _ =
                    tokio::time::timeout(Duration::from_secs(5), flight.changed.notified()).await;
                self.desk.action(action).await
            };
            record = match look {
                Ok(Some(record)) => record,
                Ok(None) => return Err(Failure::Desk(DeskError::NotFound)),
                Err(error) => return Err(Failure::Desk(error)),
            };
        }
    }

    /// The one execution: connect, take the use, send, report.
    async fn execute(
        &self,
        flight: &Flight,
        action: ActionId,
        held: Held,
        forwarder: &Forwarder,
    ) -> Result<Response<Body>, Failure> {
        // Suspended since it asked?
        let session = self
            .desk
            .wait_session(held.session, Duration::ZERO)
            .await
            .map_err(Failure::Desk)?;
        let state = session.map_or(SessionState::Ended, |session| session.state);
        if state != SessionState::Active {
            return Err(Failure::SessionGone(state));
        }
        let sender = forwarder
            .connect()
            .await
            .map_err(|_| Failure::Unreachable)?;
        let consumed = match self.desk.consume(action).await {
            Ok(consumed) => consumed,
            Err(DeskError::AlreadyUsed | DeskError::AlreadySettled(_)) => {
                return Err(Failure::Used);
            }
            Err(DeskError::Expired) => return Err(Failure::Expired),
            Err(error) => return Err(Failure::Desk(error)),
        };
        let (from, begets) = (held.from.clone(), held.begets.clone());
        let sent = sender.send(sealed(held, consumed.permit())).await;
        if let Ok(response) = &sent {
            self.remember(flight, action, location(response.headers()), from);
        }
        let outcome = match &sent {
            Ok(response) => Outcome::Answered {
                upstream_status: response.status().as_u16(),
            },
            Err(ForwardError::Late) => Outcome::Unknown {
                failure: "upstream-late",
            },
            Err(_) => Outcome::Unknown {
                failure: "upstream-lost",
            },
        };
        let (begotten, answer) = match sent {
            Ok(response) => {
                let leads_to = location(response.headers());
                let (begotten, response) =
                    begets.read(incoming(response), leads_to.as_deref()).await;
                (begotten, Ok(response))
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        let recorded = self.desk.record_execution_of(action, outcome, begotten);
        if let Err(error) = recorded.await {
            // The use is taken and stays so; the desk itself settles what is never reported.
            tracing::error!(%action, %error, "the outcome of an execution could not be recorded");
        }
        answer.map_err(|_| Failure::Unknown)
    }
}

impl Holds {
    /// Keeps what the waiting page needs, before the state that it polls says that all is done.
    fn remember(
        &self,
        flight: &Flight,
        action: ActionId,
        location: Option<String>,
        from: Option<String>,
    ) {
        if lock(&flight.attached).absence != Absence::Cancel {
            lock(&self.state).remember(action, Landing { location, from });
        }
    }
}

impl Inner {
    fn remember(&mut self, action: ActionId, landing: Landing) {
        if self.landings.insert(action, landing).is_none() {
            self.order.push_back(action);
        }
        while self.order.len() > MAX_ENDINGS {
            if let Some(oldest) = self.order.pop_front() {
                self.landings.remove(&oldest);
            }
        }
    }
}

/// Somebody else must approve: holding the connection does not serve.
pub(super) fn nobody_here(record: &ActionRecord) -> bool {
    record.requirement.as_ref().is_some_and(|requirement| {
        requirement.approvers == Approvers::Roles || requirement.approvals > 1
    })
}

pub(super) fn reason(settlement: Option<&crate::action::Settlement>) -> String {
    settlement.map_or_else(String::new, |settlement| settlement.reason.clone())
}

/// The stored request with its permit. The body's bytes are erased when the last of them was sent.
fn sealed(held: Held, permit: &str) -> Request<Body> {
    let mut request = Request::new(full(Bytes::new()));
    *request.method_mut() = held.method;
    *request.uri_mut() = held.target;
    *request.headers_mut() = held.headers;
    if held.begets.reads_body() {
        request.headers_mut().remove(http::header::ACCEPT_ENCODING);
    }
    seal(request.headers_mut(), permit, held.body.len());
    *request.body_mut() = full(Bytes::from_owner(held.body));
    request
}

/// The upstream's answer as the client gets it.
pub fn incoming(response: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers = response_headers(&parts.headers, true);
    parts.version = http::Version::default();
    parts.extensions.clear();
    Response::from_parts(parts, body.map_err(Into::into).boxed_unsync())
}

/// An answer for one client streams; for several it is collected, when it is small enough.
async fn share(end: Result<Response<Body>, Failure>, clients: impl Fn() -> usize) -> Ending {
    let response = match end {
        Ok(response) => response,
        Err(failure) => return Ending::Failed(failure),
    };
    match clients() {
        // Nobody: the answer, and the cookies in it, are dropped unread.
        0 => Ending::Stream(Mutex::new(None)),
        1 => Ending::Stream(Mutex::new(Some(response))),
        _ => {
            let small = response
                .headers()
                .get(http::header::CONTENT_LENGTH)
                .is_some_and(|length| {
                    length
                        .to_str()
                        .ok()
                        .and_then(|text| text.parse().ok())
                        .is_some_and(|n: usize| n <= MAX_SHARED)
                })
                || !response
                    .headers()
                    .contains_key(http::header::CONTENT_LENGTH);
            if !small {
                return Ending::Stream(Mutex::new(Some(response)));
            }
            let (mut parts, body) = response.into_parts();
            match collect(body).await {
                Some(bytes) => Ending::Shared(parts, bytes),
                None => {
                    parts.status = StatusCode::BAD_GATEWAY;
                    parts.headers.clear();
                    Ending::Shared(parts, Bytes::new())
                }
            }
        }
    }
}

/// The whole body, when it is whole and at most [`MAX_SHARED`] long.
async fn collect(mut body: Body) -> Option<Bytes> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_SHARED {
            return None;
        }
    }
    Some(bytes.into())
}

/// Where an answer leads.
fn location(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let htmx = text("hx-location").map(|value| {
        // HX-Location may be a JSON object with a path.
        let object = serde_json::from_str::<serde_json::Value>(&value).ok();
        let path = object.and_then(|object| {
            object
                .get("path")
                .and_then(|path| path.as_str())
                .map(str::to_owned)
        });
        path.unwrap_or(value)
    });
    text("hx-redirect").or(htmx).or_else(|| text("location"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_answer_leads_where_its_headers_say() {
        let mut headers = HeaderMap::new();
        assert_eq!(location(&headers), None);
        headers.insert("location", HeaderValue::from_static("/c"));
        assert_eq!(location(&headers).as_deref(), Some("/c"));
        headers.insert(
            "hx-location",
            HeaderValue::from_static("{\"path\":\"/b\",\"target\":\"#x\"}"),
        );
        assert_eq!(location(&headers).as_deref(), Some("/b"));
        headers.insert("hx-location", HeaderValue::from_static("/plain"));
        assert_eq!(location(&headers).as_deref(), Some("/plain"));
        headers.insert("hx-redirect", HeaderValue::from_static("/a"));
        assert_eq!(location(&headers).as_deref(), Some("/a"));
    }

    #[tokio::test]
    async fn an_answer_reaches_one_client_or_all() {
        let answer = || Ok(Response::new(full(Bytes::from_static(b"done"))));
        let one = share(answer(), || 1).await;
        assert!(matches!(one.ride(None), Ride::Answer(_)));
        let id: ActionId = "0193500a-7d00-7000-8000-00000000000a".parse().unwrap();
        assert!(matches!(one.ride(Some(id)), Ride::AnsweredElsewhere(_)));
        let all = share(answer(), || 3).await;
        for _ in 0..3 {
            let Ride::Answer(response) = all.ride(Some(id)) else {
                panic!("no answer")
            };
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                "done"
            );
        }
        let large = share(
            Ok(Response::new(full(Bytes::from(vec![0; MAX_SHARED + 1])))),
            || 2,
        )
        .await;
        let Ride::Answer(response) = large.ride(Some(id)) else {
            panic!("no answer")
        };
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
}
