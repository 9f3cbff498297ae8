//! `/gate/verify/<original path>`: forward-auth with the body, as Envoy's HTTP `ext_authz` asks (docs/gate/envoy.yaml).
//!
//! Envoy repeats the request to us: its method, its path behind `path_prefix`, the headers that it is told to send, and with
//! `with_request_body` its body. So this form decides what the gate decides as a proxy: same route, same meaning, same digest, held
//! on its connection until the key has sealed it, and its one use taken for these very bytes before Envoy hears 200 (it takes no
//! other 2xx for a yes). What Envoy did not show is never guessed: a body that was cut, or that nobody vouches for, is refused; and
//! what we did not see of the headers that change a request's meaning is taken away from the application's copy
//! (`x-envoy-auth-headers-to-remove`).
//!
//! Trusts Envoy to send on what it showed (no rewrite of path or body behind `ext_authz`), and to be the only way to the application. The
//! answer is seen by nobody here: the outcome stays unknown, and nothing is deferred: whoever was led away comes again with the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::sync::{OnceCell, oneshot};

use crate::action::{ActionRecord, Caller, NewAction, Outcome, RequestDigest, State};
use crate::desk::{CancelReason, Desk, DeskError};
use crate::gate::body::Fields;
use crate::gate::canon::{self, NotCanonical, OVERRIDE_HEADERS, Target};
use crate::gate::client::empty;
use crate::gate::forward::{Body, foreign_cookies};
use crate::gate::hold::{Failure, MOMENT, Ride, nobody_here, reason};
use crate::gate::notice::{
    absent, approval_needed, bad_body, desk_notice, refused, sign_in_first, suspended, told,
    too_many,
};
use crate::gate::passage::{
    Asked, Refusal, describe, digest, gone, may_ask, patience, read, repeated,
};
use crate::gate::route::{Hold, Met, Purpose, Source};
use crate::gate::session::Visitor;
use crate::gate::verify::{self, needs_body};
use crate::id::ActionId;
use crate::session::Session;

/// What Envoy says of a body that it sends along, whatever the client wrote: `false` when it is whole.
const PARTIAL: &str = "x-envoy-auth-partial-body";
/// What the configuration has Envoy add: that it would have sent a body, had there been one.
const SHOWN: &str = "sceau-body";
/// Never the client's to say to the application: ours, and what frameworks or other proxies take for another target or another way here.
const NEVER: [&str; 13] = [
    "sceau-person",
    "sceau-permit",
    "sceau-action",
    "sceau-body",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "forwarded",
];
/// The most requests that are remembered while they wait for their key.
const MAX_WAITING: usize = 2_048;

/// What of the request's body was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All of it; perhaps there is none.
    Whole,
    /// Some of it, or bytes that nobody vouches for.
    Cut,
    /// Nothing, and nobody says that there was nothing.
    Unseen,
}

impl Sight {
    fn of(headers: &HeaderMap, bytes: &[u8]) -> Self {
        let said = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().map(HeaderValue::as_bytes);
            (value, values.next().is_some())
        };
        match said(PARTIAL) {
            (Some(b"false"), false) => Self::Whole,
            (Some(_), _) => Self::Cut,
            (None, _) if !bytes.is_empty() => Self::Cut,
            (None, _) if said(SHOWN) == (Some(b"whole"), false) => Self::Whole,
            (None, _) => Self::Unseen,
        }
    }
}

/// Answers Envoy. `asked` is about the path with our prefix.
pub(super) async fn answer(asked: Asked<'_>, parts: &Parts, body: Incoming) -> Response<Body> {
    let target = original(&parts.uri)
        .ok_or(NotCanonical::Form)
        .and_then(|uri| Target::parse(&uri));
    let asked = match target {
        Ok(target) => Asked { target, ..asked },
        Err(error) => return refused(error, &asked.client),
    };
    match decide(&asked, parts, body).await {
        Ok(response) => response,
        Err(Refusal::Answered(response)) => *response,
        Err(Refusal::NotCanonical(error)) => refused(error, &asked.client),
    }
}

/// The target without our prefix; `None` when what is left is no path.
fn original(uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(verify::PATH)?;
    if !rest.starts_with('/') {
        return None;
    }
    rest.parse::<PathAndQuery>().ok().map(Uri::from)
}

async fn decide(
    asked: &Asked<'_>,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    match asked.visitor {
        Visitor::Suspended(_) => {
            return Err(suspended().answer(&asked.client).into());
        }
        Visitor::Absent(_) => {
            return Err(absent().answer(&asked.client).into());
        }
        _ => {}
    }
    let app = &asked.site.app;
    let (headers, query) = (&parts.headers, asked.target.query());
    let method = canon::effective_method(&parts.method, headers, query, &[], app.overrides)?;
    let bytes = read(asked, headers, body).await?;
    let sight = Sight::of(headers, &bytes);
    let is_safe = canon::is_safe(&method);
    if is_safe && (!bytes.is_empty() || sight == Sight::Cut) {
        return Err(NotCanonical::SafeWithBody.into());
    }
    let met = app.find(&method, &asked.target)?;
    let purpose = met.as_ref().map(|met| &met.route.purpose);
    let free = matches!(purpose, Some(Purpose::Free { .. }));
    let reads = match purpose {
        None => is_safe,
        // Asking what may be asked counts nothing.
        Some(Purpose::Meter(_)) => method == Method::OPTIONS,
        Some(_) => false,
    };
    if reads || (free && (is_safe || !app.overrides.body)) {
        if reads && app.session_always && asked.visitor.active().is_none() {
            let here = (method == Method::GET).then(|| asked.target.path_and_query());
            return Err(sign_in_first(asked, here).into());
        }
        return Ok(passed(asked, headers, None, None));
    }
    if !free {
        may_ask(asked, headers)?;
    }
    let bodyless = matches!(purpose, Some(Purpose::Hold(hold)) if hold.bodyless);
    match sight {
        Sight::Whole => {}
        Sight::Unseen if bodyless => {}
        Sight::Cut | Sight::Unseen => return Err(needs_body(asked)),
    }
    // A body was announced, and none came: it was not shown after all. (HTMX names the form's type of an empty form, too.)
    let kind = headers.get("content-type").map(HeaderValue::as_bytes);
    if bytes.is_empty() && kind.is_some_and(|kind| !kind.starts_with(FORM)) {
        return Err(needs_body(asked));
    }
    let texts = match Fields::read(headers, &bytes) {
        Ok(fields) => fields.texts(),
        Err(error) => {
            return Err(bad_body(&error.to_string(), "body")
                .answer(&asked.client)
                .into());
        }
    };
    let replaced = canon::effective_method(&parts.method, headers, query, &texts, app.overrides)?;
    let met = if replaced == method {
        met
    } else {
        app.find(&replaced, &asked.target)?
    };
    let (hold, path) = match met {
        Some(Met { route, path }) => match &route.purpose {
            Purpose::Free { .. } => return Ok(passed(asked, headers, None, None)),
            Purpose::Hold(hold) => (Some(hold.as_ref()), path),
            // Only whoever sees the answer can count it.
            Purpose::Meter(_) => return Err(needs_body(asked)),
        },
        None => (None, BTreeMap::new()),
    };
    may_ask(asked, headers)?;
    let Some(session) = asked.visitor.active() else {
        return Err(sign_in_first(asked, None).into());
    };
    let request = RequestDigest {
        method: replaced.as_str().to_owned(),
        path: asked.target.path_and_query(),
        body_sha256: hex::encode(digest(&bytes)),
    };
    let named = repeated(asked, headers, session, &request).await?;
    let describing = describe(asked, parts, &bytes, session, hold, &path, request.clone());
    let (described, _) = describing.await?;
    drop(bytes);
    sealed(asked, headers, session, hold, &request, described, named).await
}

/// How the type of an urlencoded form begins.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Waits for the key on Envoy's connection, takes the one use, and says yes.
async fn sealed(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    session: &Session,
    hold: Option<&Hold>,
    request: &RequestDigest,
    described: NewAction,
    named: Option<ActionRecord>,
) -> Result<Response<Body>, Refusal> {
    let desk = &asked.gate.desk;
    let key = format!(
        "{} {} {} {} {} {}",
        session.id,
        asked.site.app.service,
        request.method,
        request.path,
        request.body_sha256,
        named
            .as_ref()
            .map_or_else(String::new, |record| record.id.to_string()),
    );
    let caller = Caller::Gate {
        service: asked.site.app.service.clone(),
        session: session.id,
    };
    let fault = |error: &DeskError| Refusal::from(desk_notice(error).answer(&asked.client));
    let (seat, record) = loop {
        let full = || Refusal::from(too_many(None).answer(&asked.client));
        let seat = asked.gate.asking.board(&key, desk).ok_or_else(full)?;
        let opening = seat.action(named.as_ref().map(|record| record.id), || {
            (described.clone(), caller.clone())
        });
        let id = opening.await.map_err(|error| fault(&error))?;
        let record = match desk.action(id).await {
            Ok(Some(record)) => record,
            Ok(None) => return Err(fault(&DeskError::NotFound)),
            Err(error) => return Err(fault(&error)),
        };
        // What was asked before with the same bytes, and has ended, is not this request's.
        let over = record.state.is_final() || record.execution.is_some();
        if seat.first || named.is_some() || !over {
            break (seat, record);
        }
        seat.settle(Standing::Over);
    };
    let id = record.id;
    let patient = async {
        match nobody_here(&record) {
            true if seat.first => {}
            true => tokio::time::sleep(MOMENT).await,
            false => patience(asked, session).await,
        }
    };
    let place = asked.gate.exchanges.enter(session.id);
    let waited = tokio::select! {
        biased;
        waited = desk.wait(id, asked.site.app.hold) => waited,
        () = patient => desk.action(id).await,
        () = place.ended() => return Err(gone(asked, session, Some(id)).await.into()),
    };
    let record = match waited {
        Ok(Some(record)) => record,
        Ok(None) => return Err(fault(&DeskError::NotFound)),
        Err(error) => return Err(fault(&error)),
    };
    let failure = match record.state {
        State::Pending => {
            seat.settle(Standing::Kept);
            asked.gate.holds.lead_back(id, asked.client.from.clone());
            return Err(waits(asked, id).into());
        }
        State::Approved if record.execution.is_none() => None,
        State::Approved | State::Executed | State::Consumed => Some(Failure::Used),
        State::Denied => Some(Failure::Denied(reason(record.denial.as_ref()))),
        State::Refused => Some(Failure::of_refusal(&record)),
        State::Expired => Some(Failure::Expired),
    };
    seat.settle(Standing::Over);
    if let Some(failure) = failure {
        return Err(told(asked, Ride::Failed(Some(id), failure)).into());
    }
    let session_now = desk.wait_session(session.id, Duration::ZERO).await;
    match session_now {
        Ok(Some(session)) if session.is_active() => {}
        Ok(_) => return Err(gone(asked, session, Some(id)).await.into()),
        Err(error) => return Err(fault(&error)),
    }
    // In a task of its own: a client that goes away now must not leave the use half-recorded.
    match tokio::spawn(take(desk.clone(), id)).await {
        Ok(Ok(permit)) => Ok(passed(asked, headers, hold, Some(&permit))),
        Ok(Err(DeskError::AlreadyUsed | DeskError::AlreadySettled(_))) => {
            Err(told(asked, Ride::AnsweredElsewhere(id)).into())
        }
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(told(asked, Ride::Failed(Some(id), Failure::Unknown)).into()),
    }
}

/// Takes an action's one use, for whoever will never report.
async fn take(desk: Desk, id: ActionId) -> Result<String, DeskError> {
    let consumed = desk.consume(id).await?;
    let unreported = Outcome::Unknown {
        failure: "forward-auth",
    };
    if let Err(error) = desk.record_execution(id, unreported).await {
        tracing::error!(action = %id, %error, "the use of an action could not be closed");
    }
    Ok(consumed.permit().to_owned())
}

fn waits(asked: &Asked<'_>, id: ActionId) -> Response<Body> {
    let mut response = approval_needed(asked, id);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("sceau-action", value);
    }
    response
}

/// The one answer that Envoy takes for a yes, with what it puts into the application's copy and what it takes away.
fn passed(
    asked: &Asked<'_>,
    seen: &HeaderMap,
    hold: Option<&Hold>,
    permit: Option<&str>,
) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    let answer = response.headers_mut();
    for (name, value) in [("sceau-person", asked.person()), ("sceau-permit", permit)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            answer.insert(name, value);
        }
    }
    // The gate's own cookies are not the application's to read.
    if let Some(cookies) = foreign_cookies(seen) {
        answer.insert("cookie", cookies);
    }
    let removed = taken_away(seen, hold, answer);
    if let Ok(value) = HeaderValue::from_str(&removed.join(",")) {
        answer.insert("x-envoy-auth-headers-to-remove", value);
    }
    response
}

/// The headers that the application must not get from the client: those of nobody's to say, and those that would change what was judged and
/// that Envoy did not show. What `put` overwrites is not taken away.
fn taken_away(seen: &HeaderMap, hold: Option<&Hold>, put: &HeaderMap) -> Vec<String> {
    let sources = hold.iter().flat_map(|hold| hold.params.values());
    let params = sources.filter_map(|param| match &param.source {
        Source::Header(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let meaning = OVERRIDE_HEADERS
        .into_iter()
        .chain(["cookie", "content-type", "content-encoding"])
        .map(str::to_owned)
        .chain(params)
        // Cookies were read: those that are left are put back.
        .filter(|name| name == "cookie" || !seen.contains_key(name.as_str()));
    let never = NEVER.into_iter().map(str::to_owned);
    let mut names: Vec<String> = never
        .chain(meaning)
        .filter(|name| !put.contains_key(name.as_str()))
        .collect();
    // Some applications read `_` for `-`.
    let others: Vec<String> = names
        .iter()
        .chain(&["sceau-person".to_owned(), "sceau-permit".to_owned()])
        .filter(|name| name.contains('-') && !name.starts_with("content-"))
        .map(|name| name.replace('-', "_"))
        .collect();
    names.extend(others);
    names.sort();
    names.dedup();
    names
}

/// What becomes of an action that nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is cancelled.
    Waiting,
    /// Its client was told to come again.
    Kept,
    /// It has ended, or is ending.
    Over,
}

/// Requests that wait for their key, by session and bytes: the same ones are one action.
#[derive(Debug, Default)]
pub(super) struct Asking(Arc<Mutex<HashMap<String, Arc<Entry>>>>);

#[derive(Debug)]
struct Entry {
    action: OnceCell<ActionId>,
    clients: Mutex<(usize, Standing)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Asking {
    /// A place among those who wait for the same; `None` when too many wait.
    fn board(&self, key: &str, desk: &Desk) -> Option<Seat> {
        let mut map = lock(&self.0);
        if map.len() >= MAX_WAITING && !map.contains_key(key) {
            // Whoever was led away may come again and be asked anew.
            map.retain(|_, entry| lock(&entry.clients).0 > 0);
            if map.len() >= MAX_WAITING {
                return None;
            }
        }
        let mut first = false;
        let entry = map.entry(key.to_owned()).or_insert_with(|| {
            first = true;
            Arc::new(Entry {
                action: OnceCell::new(),
                clients: Mutex::new((0, Standing::Waiting)),
            })
        });
        lock(&entry.clients).0 += 1;
        Some(Seat {
            asking: Arc::clone(&self.0),
            key: key.to_owned(),
            entry: Arc::clone(entry),
            desk: desk.clone(),
            first,
        })
    }

    /// Whether this action waits for its request to come again.
    pub(super) fn comes_again(&self, action: ActionId) -> bool {
        lock(&self.0)
            .values()
            .any(|entry| entry.action.get() == Some(&action))
    }
}

/// One client's place. When the last of them goes away unled, the action is cancelled.
struct Seat {
    asking: Arc<Mutex<HashMap<String, Arc<Entry>>>>,
    key: String,
    entry: Arc<Entry>,
    desk: Desk,
    first: bool,
}

impl Seat {
    /// The action: the one that was named, or that others wait for, or a new one.
    async fn action(
        &self,
        named: Option<ActionId>,
        new: impl FnOnce() -> (NewAction, Caller),
    ) -> Result<ActionId, DeskError> {
        let opening = || async {
            if let Some(named) = named {
                return Ok(named);
            }
            let ((action, caller), desk) = (new(), self.desk.clone());
            let (tell, told) = oneshot::channel();
            tokio::spawn(async move {
                let opened = desk
                    .open_action(action, caller)
                    .await
                    .map(|opened| opened.id);
                // Nobody is left who heard which one it is.
                if let Err(Ok(id)) = tell.send(opened) {
                    let _ = desk.cancel(id, CancelReason::ClientGone).await;
                }
            });
            told.await.unwrap_or(Err(DeskError::Unavailable))
        };
        self.entry.action.get_or_try_init(opening).await.copied()
    }

    fn settle(&self, standing: Standing) {
        lock(&self.entry.clients).1 = standing;
        if standing == Standing::Over {
            self.forget(&mut lock(&self.asking));
        }
    }

    fn forget(&self, map: &mut HashMap<String, Arc<Entry>>) {
        if map
            .get(&self.key)
            .is_some_and(|entry| Arc::ptr_eq(entry, &self.entry))
        {
            map.remove(&self.key);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut map = lock(&self.asking);
        let mut clients = lock(&self.entry.clients);
        clients.0 = clients.0.saturating_sub(1);
        if *clients != (0, Standing::Waiting) {
            return;
        }
        drop(clients);
        self.forget(&mut map);
        let Some(action) = self.entry.action.get().copied() else {
            return;
        };
        let desk = self.desk.clone();
        tokio::spawn(async move {
            if let Err(error) = desk.cancel(action, CancelReason::ClientGone).await {
                tracing::debug!(%action, %error, "its client went away when it was settled");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_body_is_whole_only_when_somebody_says_so() {
        let whole = [("sceau-body", "whole")];
        for (headers, body, sight) in [
            (&[(PARTIAL, "false")][..], "x", Sight::Whole),
            (&[(PARTIAL, "false")], "", Sight::Whole),
            (&[(PARTIAL, "true")], "x", Sight::Cut),
            (
                &[(PARTIAL, "true"), ("sceau-body", "whole")],
                "",
                Sight::Cut,
            ),
            (&[(PARTIAL, "false"), (PARTIAL, "true")], "x", Sight::Cut),
            (&[(PARTIAL, "False")], "x", Sight::Cut),
            (&whole, "", Sight::Whole),
            (&whole, "x", Sight::Cut),
            (
                &[("sceau-body", "whole"), ("sceau-body", "whole")],
                "",
                Sight::Unseen,
            ),
            (&[("sceau-body", "seen")], "", Sight::Unseen),
            (&[], "", Sight::Unseen),
            (&[], "x", Sight::Cut),
        ] {
            assert_eq!(
                Sight::of(&map(headers), body.as_bytes()),
                sight,
                "{headers:?} {body}"
            );
        }
    }

    #[test]
    fn what_is_left_behind_the_prefix_is_a_path_or_nothing() {
        let left = |text: &str| original(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            left("/gate/verify/accounts?x=1").as_deref(),
            Some("/accounts?x=1")
        );
        assert_eq!(left("/gate/verify/").as_deref(), Some("/"));
        assert_eq!(
            left("/gate/verify//accounts").as_deref(),
            Some("//accounts")
        );
        for none in [
            "/gate/verify*",
            "/gate/verify?x",
            "/gate/verifyaccounts",
            "/gate",
        ] {
            assert_eq!(left(none), None, "{none}");
        }
    }

    #[test]
    fn what_was_not_seen_is_taken_away() {
        let seen = map(&[
            ("x-http-method-override", "PUT"),
            ("content-type", "text/plain"),
        ]);
        let put = map(&[("sceau-person", "alice")]);
        let removed = taken_away(&seen, None, &put);
        let has = |name: &str| removed.iter().any(|other| other == name);
        for gone in [
            "sceau-permit",
            "sceau_permit",
            "sceau_person",
            "sceau-action",
            "x-http-method",
            "x-original-url",
            "x-envoy-original-path",
            "cookie",
            "content-encoding",
        ] {
            assert!(has(gone), "{gone}: {removed:?}");
        }
        for kept in ["sceau-person", "x-http-method-override", "content-type"] {
            assert!(!has(kept), "{kept}: {removed:?}");
        }
    }
}
