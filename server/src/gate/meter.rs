//! Routes that are metered (attack 12): what their answers hold is counted before it is delivered, and after so many records, or so long after the
//! last touch, the next read is an action of the budget's type that a key seals. docs/gate.md, "Budgets for reading".
//!
//! One answer cannot read a million: it is read whole first, bounded, counted in the transaction that grants it ([`crate::desk::Reader`]), and
//! withheld when it is more than is left. A request that cannot be counted is not answered. Nothing evades by its form: ranges, conditions and
//! compressions are not passed on, and each record has one name whoever asks for it how.
//!
//! One touch serves everybody who waits: all requests of one session at one service share the action. Pages poll: whoever has said no, or is not there,
//! is not asked again by a page's next look. Counting itself is [`count`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::action::{Caller, NewAction, Outcome, State, Target};
use crate::desk::{Counted, Desk, DeskError, Reader};
use crate::gate::client::Notice;
use crate::gate::client::{self, full};
use crate::gate::forward::{Body, request_headers};
use crate::gate::hold::{Failure, incoming, nobody_here, reason};
use crate::gate::notice::{
    desk_notice, failure_notice, query_escape, sign_in_first, too_many, upstream_notice,
};
use crate::gate::passage::{Asked, Refusal, may_ask, origin_form};
use crate::gate::route::{Counting, Metered};
use crate::id::{ActionId, ServiceId, SessionId};
use crate::reading::{Spent, Standing};
use crate::session::Session;

pub(crate) mod count;

/// The largest answer that is counted.
pub(super) const MAX_ANSWER: usize = 8 << 20;

/// How long one look at a pending action lasts.
const LOOK: Duration = Duration::from_secs(50);

/// Where the touch for a slice stands.
#[derive(Debug, Clone)]
enum Phase {
    Opening,
    Waiting { action: ActionId, not_here: bool },
    Ended(Option<ActionId>, Result<(), Failure>, OffsetDateTime),
}

/// After a no, what a page's scripts read asks nobody until they have been still for so long: pages poll, each 11 seconds or so. Navigations ask at once.
const QUIET: time::Duration = time::Duration::seconds(15);

/// The touches that are being asked for, one for each session at a service, and those that were just refused.
#[derive(Debug, Default)]
pub(super) struct Touches(Mutex<HashMap<(SessionId, ServiceId), Asking>>);

/// A touch, and when a page's scripts last heard that it was refused.
#[derive(Debug)]
struct Asking {
    phase: watch::Receiver<Phase>,
    heard: Option<OffsetDateTime>,
}

impl Asking {
    /// Whether it is still asked for, or was refused so lately that scripts are not to ask again.
    fn stands(&self, scripts: bool, now: OffsetDateTime) -> bool {
        match &*self.phase.borrow() {
            Phase::Opening | Phase::Waiting { .. } => true,
            Phase::Ended(_, Err(Failure::Refused(_) | Failure::Expired), at) => {
                let last = self.heard.map_or(*at, |heard| heard.max(*at));
                scripts && now - last < QUIET
            }
            // What nobody said no to is tried again.
            Phase::Ended(..) => false,
        }
    }
}

/// Answers a metered request.
pub(super) async fn answer(
    asked: &Asked<'_>,
    parts: Parts,
    metered: &Metered,
    path: &BTreeMap<String, String>,
) -> Result<Response<Body>, Refusal> {
    let Some(session) = asked.visitor.active() else {
        let here = (parts.method == Method::GET).then(|| asked.target.path_and_query());
        return Err(sign_in_first(asked, here).into());
    };
    let Some(budget) = asked.site.app.budget.clone() else {
        return Err(unreadable().answer(&asked.client).into());
    };
    let reader = Reader {
        service: asked.site.app.service.clone(),
        person: session.person.clone(),
        session: session.id,
        budget,
    };
    let id = identity(metered, path, asked);
    let mut touched = false;
    loop {
        // Whether the time is over is known before the application is asked for anything.
        let before = counted(asked, &reader, Vec::new()).await?;
        let spent = match before.verdict {
            Err(spent) => (spent, before),
            Ok(()) => {
                let (answer, body) = fetch(asked, &parts).await?;
                let kind = text(answer.headers(), CONTENT_TYPE.as_str()).to_ascii_lowercase();
                let found = match count::found(metered, &id, &kind, &body) {
                    _ if !answer.status().is_success() => Vec::new(),
                    Ok(found) => found,
                    Err(count::Unreadable) => {
                        return Err(unreadable().answer(&asked.client).into());
                    }
                };
                let after = counted(asked, &reader, found).await?;
                match after.verdict {
                    Ok(()) => {
                        let body = if parts.method == Method::HEAD {
                            Bytes::new()
                        } else {
                            body
                        };
                        return Ok(asked.guarded(answer.map(|_| full(body))));
                    }
                    Err(spent) => (spent, after),
                }
            }
        };
        let (spent, counted) = spent;
        if touched || spent == Spent::TooMany {
            let notice = explain(asked, &reader, spent, counted);
            return Err(notice.answer(&asked.client).into());
        }
        touch(asked, &parts, session, &reader, spent, counted).await?;
        touched = true;
    }
}

async fn counted(
    asked: &Asked<'_>,
    reader: &Reader,
    found: Vec<crate::desk::Found>,
) -> Result<Counted, Refusal> {
    // Without records there is nothing to write: the standing is read without waiting for the writer.
    let counted = if found.is_empty() {
        standing(&asked.gate.desk, reader.clone()).await
    } else {
        let (desk, reader) = (asked.gate.desk.clone(), reader.clone());
        desk.count_reading(reader, found).await
    };
    match counted {
        Ok(counted) => Ok(counted),
        Err(error) => Err(desk_notice(&error).answer(&asked.client).into()),
    }
}

async fn standing(desk: &Desk, reader: Reader) -> Result<Counted, DeskError> {
    let standing = desk.reading(&reader).await?;
    Ok(Counted {
        standing,
        wanted: 0,
        verdict: crate::reading::may_read(standing, reader.budget.window, 0, desk.now()),
    })
}

/// What a fixed cost is for: what the route names, else the path.
fn identity(metered: &Metered, path: &BTreeMap<String, String>, asked: &Asked<'_>) -> String {
    let named = metered
        .countings
        .iter()
        .find_map(|counting| match counting {
            Counting::Cost { id, .. } => id.as_ref(),
            _ => None,
        });
    match named {
        Some(template) => template.fill(|name| path.get(name).cloned().unwrap_or_default()),
        None => asked.target.path_and_query(),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The application's whole answer, as it is without ranges, conditions and compression.
async fn fetch(asked: &Asked<'_>, parts: &Parts) -> Result<(Response<()>, Bytes), Refusal> {
    let mut request = Request::new(full(Bytes::new()));
    // A HEAD is counted by what it stands for.
    *request.method_mut() = Method::GET;
    *request.uri_mut() = origin_form(&parts.uri);
    let mut headers = request_headers(&parts.headers, &asked.origin, asked.person());
    for name in [
        ACCEPT_ENCODING,
        RANGE,
        IF_RANGE,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    *request.headers_mut() = headers;
    let response = match asked.site.forwarder.stream(request).await {
        Ok(response) => incoming(response),
        Err(error) => return Err(upstream_notice(error).answer(&asked.client).into()),
    };
    let (mut head, body) = response.into_parts();
    let encoding = text(&head.headers, CONTENT_ENCODING.as_str());
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")
        || head.status == StatusCode::PARTIAL_CONTENT
    {
        return Err(unreadable().answer(&asked.client).into());
    }
    let collected = match whole(body).await {
        Ok(collected) => collected,
        Err(Broken::TooLarge) => return Err(too_large().answer(&asked.client).into()),
        Err(Broken::Lost) => {
            let lost = crate::gate::forward::ForwardError::Lost;
            return Err(upstream_notice(lost).answer(&asked.client).into());
        }
    };
    // What is counted now is not to be shown again by a cache, to somebody else or later.
    for name in [ETAG, LAST_MODIFIED, CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    head.headers
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((Response::from_parts(head, ()), collected))
}

/// Why an answer was not read whole.
enum Broken {
    TooLarge,
    Lost,
}

async fn whole(mut body: Body) -> Result<Bytes, Broken> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Broken::Lost);
        };
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_ANSWER {
            return Err(Broken::TooLarge);
        }
    }
    Ok(bytes.into())
}

/// Has the next slice sealed, together with everybody else of this session who waits for it.
async fn touch(
    asked: &Asked<'_>,
    parts: &Parts,
    session: &Session,
    reader: &Reader,
    spent: Spent,
    counted: Counted,
) -> Result<(), Refusal> {
    may_ask(asked, &parts.headers)?;
    let mut phase = match asked
        .gate
        .touches
        .join(asked, session, reader, counted.standing)
    {
        Some(phase) => phase,
        None => return Err(too_many(None).answer(&asked.client).into()),
    };
    let patience = if asked.client.impatient {
        Duration::ZERO
    } else {
        asked.site.app.hold
    };
    let deadline = tokio::time::sleep(patience);
    tokio::pin!(deadline);
    loop {
        let now = phase.borrow_and_update().clone();
        let waiting = match now {
            Phase::Ended(_, Ok(()), _) => return Ok(()),
            Phase::Ended(action, Err(failure), _) => {
                let mut notice = failure_notice(&failure);
                notice.more.extend(members(reader, spent, counted));
                if let Some(action) = action {
                    notice = notice.with("action_id", action.to_string());
                }
                return Err(notice.answer(&asked.client).into());
            }
            Phase::Waiting { action, not_here } if not_here => Some(action),
            Phase::Waiting { action, .. } if deadline.is_elapsed() => Some(action),
            Phase::Waiting { .. } | Phase::Opening => None,
        };
        if let Some(action) = waiting {
            return Err(leave(asked, parts, reader, spent, counted, action).into());
        }
        tokio::select! {
            changed = phase.changed() => if changed.is_err() {
                return Err(failure_notice(&Failure::Unknown).answer(&asked.client).into());
            },
            () = &mut deadline, if !deadline.is_elapsed() => {}
        }
    }
}

/// The client is led to the page where the touch is asked for, and from there back.
fn leave(
    asked: &Asked<'_>,
    parts: &Parts,
    reader: &Reader,
    spent: Spent,
    counted: Counted,
    action: ActionId,
) -> Response<Body> {
    let here = (asked.client.kind == client::ClientKind::Navigation && parts.method == Method::GET)
        .then(|| asked.target.path_and_query());
    let from = here.or_else(|| asked.client.from.clone());
    asked.gate.holds.lead_back(action, from);
    let page = format!("/.sceau/actions/{action}");
    let url = format!("{}{page}", asked.base);
    let notice = explain(asked, reader, spent, counted)
        .with("action_id", action.to_string())
        .with("approve_url", url.clone())
        .with("status_url", url);
    client::lead(&asked.client, &notice, &page, StatusCode::CONFLICT)
}

impl Touches {
    /// The touch that this session waits for at this service; `None` when too many are asked for.
    fn join(
        &self,
        asked: &Asked<'_>,
        session: &Session,
        reader: &Reader,
        standing: Standing,
    ) -> Option<watch::Receiver<Phase>> {
        const MOST: usize = 4_096;
        let key = (session.id, reader.service.clone());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = asked.gate.desk.now();
        waiting.retain(|_, asking| asking.stands(true, now));
        let scripts = matches!(
            asked.client.kind,
            client::ClientKind::Htmx | client::ClientKind::Script
        );
        if let Some(asking) = waiting.get_mut(&key)
            && asking.stands(scripts, now)
        {
            if matches!(&*asking.phase.borrow(), Phase::Ended(..)) {
                asking.heard = Some(now);
            }
            return Some(asking.phase.clone());
        }
        if waiting.len() >= MOST {
            return None;
        }
        let (tell, phase) = watch::channel(Phase::Opening);
        let asking = Asking {
            phase: phase.clone(),
            heard: None,
        };
        waiting.insert(key, asking);
        let (desk, wanted) = (asked.gate.desk.clone(), wanted(asked, reader, standing));
        let caller = Caller::Gate {
            service: reader.service.clone(),
            session: session.id,
        };
        tokio::spawn(drive(desk, wanted, caller, tell));
        Some(phase)
    }
}

/// The action that opens the next slice.
fn wanted(asked: &Asked<'_>, reader: &Reader, standing: Standing) -> NewAction {
    let minutes = reader.budget.window.whole_minutes();
    let mut params = Map::new();
    for (name, value) in [
        ("records", json!(standing.limit)),
        ("minutes", json!(minutes)),
        ("read", json!(standing.used)),
    ] {
        params.insert(name.to_owned(), value);
    }
    let host = &asked.origin.host;
    let (limit, used) = (standing.limit, standing.used);
    NewAction {
        kind: reader.budget.action.clone(),
        service: reader.service.clone(),
        requester: reader.person.clone(),
        target: Target {
            kind: "service".to_owned(),
            id: reader.service.to_string(),
            display: host.clone(),
        },
        params,
        request: None,
        words: Some(crate::action::Words::of(
            "gate-budget-action",
            &[
                ("limit", limit.into()),
                ("host", host.as_str().into()),
                ("minutes", minutes.into()),
                ("used", used.into()),
            ],
        )),
    }
}

/// From asking to the use of the approval, which opens the slice. Goes on when all clients have left: they find the slice open when they come back.
async fn drive(desk: Desk, asked: NewAction, caller: Caller, tell: watch::Sender<Phase>) {
    let mut record = match desk.open_action(asked, caller).await {
        Ok(record) => record,
        Err(error) => {
            tell.send_replace(Phase::Ended(None, Err(Failure::Desk(error)), desk.now()));
            return;
        }
    };
    let action = record.id;
    let ended = loop {
        match record.state {
            State::Pending => {
                let not_here = nobody_here(&record);
                tell.send_if_modified(|phase| {
                    let opening = matches!(phase, Phase::Opening);
                    *phase = Phase::Waiting { action, not_here };
                    opening
                });
            }
            State::Approved => break open(&desk, action).await,
            State::Denied => break Err(Failure::Denied(reason(record.denial.as_ref()))),
            State::Refused => break Err(Failure::Refused(reason(record.refusal.as_ref()))),
            State::Expired => break Err(Failure::Expired),
            State::Executed | State::Consumed => break Err(Failure::Used),
        }
        record = match desk.wait(action, LOOK).await {
            Ok(Some(record)) => record,
            Ok(None) => break Err(Failure::Desk(DeskError::NotFound)),
            Err(error) => break Err(Failure::Desk(error)),
        };
    };
    tell.send_replace(Phase::Ended(Some(action), ended, desk.now()));
}

/// Uses the approval up: from this moment the slice is open, at every instance.
async fn open(desk: &Desk, action: ActionId) -> Result<(), Failure> {
    desk.consume(action).await.map_err(Failure::Desk)?;
    let outcome = Outcome::Answered {
        upstream_status: StatusCode::OK.as_u16(),
    };
    if let Err(error) = desk.record_execution(action, outcome).await {
        tracing::error!(%action, %error, "the opening of a slice could not be closed");
    }
    Ok(())
}

fn members(reader: &Reader, spent: Spent, counted: Counted) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in [
        ("budget", json!(spent.as_str())),
        ("read", json!(counted.standing.used)),
        ("limit", json!(counted.standing.limit)),
        ("wanted", json!(counted.wanted)),
        ("minutes", json!(reader.budget.window.whole_minutes())),
    ] {
        members.insert(name.to_owned(), value);
    }
    members
}

/// The refusal that explains itself: how many were read, of how many, and what to do.
fn explain(asked: &Asked<'_>, reader: &Reader, spent: Spent, counted: Counted) -> Notice {
    let (used, limit, wanted) = (
        counted.standing.used,
        counted.standing.limit,
        counted.wanted,
    );
    let minutes = reader.budget.window.whole_minutes();
    let name = match spent {
        Spent::Time => "gate-budget-time",
        Spent::Records => "gate-budget-records",
        Spent::TooMany => "gate-budget-too-many",
    };
    let mut notice = Notice::new(StatusCode::FORBIDDEN, "budget-spent", name)
        .say("minutes", minutes)
        .say("limit", limit)
        .say("used", used)
        .say("wanted", wanted);
    notice.more = members(reader, spent, counted);
    let page = query_escape(&asked.target.path_and_query());
    notice.with("page", page)
}

fn unreadable() -> Notice {
    Notice::new(
        StatusCode::BAD_GATEWAY,
        "answer-not-counted",
        "gate-answer-not-counted",
    )
}

fn too_large() -> Notice {
    Notice::new(
        StatusCode::BAD_GATEWAY,
        "answer-too-large",
        "gate-answer-too-large",
    )
    .with("limit", MAX_ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn ended(failure: Failure) -> Asking {
        let (_, phase) = watch::channel(Phase::Ended(None, Err(failure), AT));
        Asking { phase, heard: None }
    }

    #[test]
    fn a_no_stands_for_scripts_until_they_have_been_still_and_never_for_navigations() {
        for failure in [Failure::Refused("not-me".to_owned()), Failure::Expired] {
            let mut asking = ended(failure);
            assert!(asking.stands(true, AT + QUIET / 2));
            assert!(!asking.stands(false, AT + QUIET / 2));
            assert!(!asking.stands(true, AT + QUIET));
            asking.heard = Some(AT + QUIET / 2);
            assert!(asking.stands(true, AT + QUIET));
        }
    }

    #[test]
    fn what_nobody_said_no_to_is_tried_again_at_once() {
        for failure in [
            Failure::Desk(DeskError::NotFound),
            Failure::Denied("suspended".to_owned()),
            Failure::Unknown,
        ] {
            assert!(!ended(failure).stands(true, AT));
        }
    }
}
