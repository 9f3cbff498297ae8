//! The server's own pages for people: `/actions/{id}`, where an action is read, approved or refused with a key in the browser, and `/enrol`.
//!
//! Life of a visit: no session → the sign-in form, which says nothing of the action, not even whether there is one · `POST /pages/session` opens a
//! browser session, dead until that person's key (or agent) seals it; its token lives in an `HttpOnly` cookie and is never told to a script · the
//! page shows the action in words · its script derives the challenge from the document and posts the key's answer.
//!
//! Trusts nothing that arrives. The cookie speaks for its person on these paths alone, never at the API; what changes something must come from a
//! page of ours. Pages run nothing inline, load nothing from elsewhere, and cannot be framed. No address is ever taken from a request: the link
//! back leads to the gate's own hosts. What the pages look like is `markup`; decisions are `desk`'s.

mod desk;
mod live;
mod markup;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sceau_proof::action::Action;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::action::{ActionRecord, State as ActionState};
use crate::api::{ApprovalBody, Json, Peer, Problem};
use crate::console;
use crate::desk::{ApprovalClaim, Desk, DeskError, RefusalReason};
use crate::gate::client::{Client, Language};
use crate::gate::session::{CookieRule, is_cross_site};
use crate::id::{ActionId, PersonId, ServiceId};
use crate::person::Person;
use crate::policy::OWN_SERVICE;
use crate::rate::Burst;
use crate::reading::Budget;
use crate::session::{Session, SessionKind, SessionState};
use markup::Standing;

/// What browsers call the cookie; neither the gate's nor the provider's.
const COOKIES: [&str; 2] = ["__Host-sceau-page", "sceau-page"];
/// Longest wait that can be asked for, in seconds.
const MAX_WAIT: u64 = 30;

const KEY_SCRIPT: &str = include_str!("page/key.js");
const ACTION_SCRIPT: &str = include_str!("page/action.js");
const ENROL_SCRIPT: &str = include_str!("page/enrol.js");
const DESK_SCRIPT: &str = include_str!("page/desk.js");
const STYLE: &str = include_str!("page/page.css");

/// The pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    inner: Arc<Inner>,
    budgets: Arc<[(ServiceId, Budget)]>,
}

struct Inner {
    desk: Desk,
    cookies: CookieRule,
    strangers: Mutex<Burst<IpAddr>>,
    back: HashMap<ServiceId, String>,
}

impl Pages {
    /// `strangers`: what callers without a session may do. `back`: where people meet each service, as origins.
    #[must_use]
    pub fn new(desk: Desk, strangers: Burst<IpAddr>, back: HashMap<ServiceId, String>) -> Self {
        let secure = desk.public_url().starts_with("https://");
        Self {
            inner: Arc::new(Inner {
                desk,
                cookies: CookieRule::named(secure, COOKIES),
                strangers: Mutex::new(strangers),
                back,
            }),
            budgets: Arc::default(),
        }
    }

    /// The same, with what the gate's services let people read: the console shows who read how much.
    #[must_use]
    pub fn with_budgets(self, budgets: Vec<(ServiceId, Budget)>) -> Self {
        Self {
            budgets: budgets.into(),
            ..self
        }
    }

    /// All routes, the console's among them.
    pub fn router(self) -> Router {
        let console = console::router(self.clone());
        Router::new()
            .route("/actions/{id}", get(show))
            .route("/actions/{id}/approval", post(approve))
            .route("/actions/{id}/refusal", post(refuse))
            .route("/enrol", get(enrol))
            .route("/desk", get(desk::form).post(desk::ask))
            .route("/desk/{id}", get(desk::ceremony))
            .route("/desk/{id}/invitation", post(desk::invitation))
            .route("/desk/{id}/receipt", get(desk::receipt))
            .route(
                "/pages/session",
                get(standing).post(sign_in).delete(sign_out),
            )
            .route("/pages/page.css", get(style))
            .route(
                "/pages/key.js",
                get(|| async { asset(SCRIPT_TYPE, KEY_SCRIPT) }),
            )
            .route(
                "/pages/action.js",
                get(|| async { asset(SCRIPT_TYPE, ACTION_SCRIPT) }),
            )
            .route(
                "/pages/enrol.js",
                get(|| async { asset(SCRIPT_TYPE, ENROL_SCRIPT) }),
            )
            .route(
                "/pages/desk.js",
                get(|| async { asset(SCRIPT_TYPE, DESK_SCRIPT) }),
            )
            .with_state(self)
            .merge(console)
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    pub(crate) fn budgets(&self) -> &[(ServiceId, Budget)] {
        &self.budgets
    }

    /// The token of the browser's cookie, if it has one.
    pub(crate) fn token(&self, headers: &HeaderMap) -> Option<zeroize::Zeroizing<String>> {
        self.inner.cookies.token(headers)
    }

    /// `Set-Cookie` that takes the session out of the browser.
    pub(crate) fn clear_cookie(&self) -> Option<HeaderValue> {
        self.inner.cookies.clear()
    }

    /// Only pages of our own may change something.
    pub(crate) fn own_page(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if is_cross_site(headers, self.desk().public_url()) {
            return Err(Problem::of(StatusCode::FORBIDDEN, "cross-site"));
        }
        Ok(())
    }

    fn stranger(&self, peer: &Peer) -> Result<(), Problem> {
        let now = self.desk().now();
        let mut strangers = self
            .inner
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        strangers
            .take(peer.0, now)
            .map_err(|wait| Problem::limited(wait.unsigned_abs()))
    }

    /// The session of the browser's cookie, in whatever state.
    async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, DeskError> {
        let Some(token) = self.inner.cookies.token(headers) else {
            return Ok(None);
        };
        let found = self.desk().session(&token).await?;
        Ok(found.filter(|session| session.kind == SessionKind::Browser))
    }

    /// Who may decide on this action now: an active session's person, or a sign-in's own session on that sign-in.
    async fn decider(&self, headers: &HeaderMap, id: ActionId) -> Result<PersonId, Problem> {
        let session = self.session(headers).await?;
        session
            .filter(|session| {
                session.is_active()
                    || (session.state == SessionState::Pending && session.action == id)
            })
            .map(|session| session.person)
            .ok_or(Problem::of(StatusCode::UNAUTHORIZED, "unauthenticated"))
    }

    /// The action, if it is for this person's eyes: the requester's, or theirs to decide on.
    async fn readable(
        &self,
        id: &str,
        person: &PersonId,
    ) -> Result<Option<ActionRecord>, DeskError> {
        let Ok(id) = id.parse::<ActionId>() else {
            return Ok(None);
        };
        let Some(record) = self.desk().action(id).await? else {
            return Ok(None);
        };
        let theirs = self.concerns(&record, person).await?;
        Ok(theirs.then_some(record))
    }

    async fn concerns(&self, record: &ActionRecord, person: &PersonId) -> Result<bool, DeskError> {
        Ok(record.requester == *person || self.desk().may_approve(record, person).await?)
    }

    /// Where an action leads back to: its page at the gate when the gate held it for this person, else the service's own front.
    fn back(&self, record: &ActionRecord, person: &PersonId) -> Option<String> {
        if desk::hands_out(record, person) {
            return Some(format!("/desk/{}", record.id));
        }
        if record.service.as_str() == OWN_SERVICE {
            return console::back(record, person);
        }
        let origin = self.inner.back.get(&record.service)?;
        Some(if held_for(record, person) {
            format!("{origin}/.sceau/actions/{}", record.id)
        } else {
            format!("{origin}/")
        })
    }

    /// Where it stands for this person, and what their key would seal.
    async fn status(&self, record: &ActionRecord, person: &PersonId) -> Result<Value, Problem> {
        let document: Value = serde_json::from_str(&record.document).map_err(|_| broken())?;
        let desk = self.desk();
        Ok(json!({
            "state": record.state,
            "awaits": desk.awaits(record, person).await?,
            "approved": live::has_approved(record, person),
            "action": document,
            "keys": desk.keys_for(person, record).await?,
            "rp_id": desk.rp_id(),
        }))
    }
}

/// Whether the gate holds a request of this person for it.
fn held_for(record: &ActionRecord, person: &PersonId) -> bool {
    record.session.is_some() && record.requester == *person
}

fn broken() -> Problem {
    DeskError::Misuse("stored action does not parse").into()
}

pub(crate) const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// What every page and asset says to the browser beside its content.
pub(crate) fn protect(mut response: Response, kind: &'static str, policy: &str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        header::HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    let policy =
        HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// A script or style.
pub(crate) fn asset(kind: &'static str, text: &'static str) -> Response {
    protect(text.into_response(), kind, "default-src 'none'")
}

/// The style of the server's pages.
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

fn page(status: StatusCode, text: String) -> Response {
    protect(
        (status, text).into_response(),
        "text/html; charset=utf-8",
        POLICY,
    )
}

pub(crate) fn language(headers: &HeaderMap) -> Language {
    Client::read(headers, "").language
}

/// Whether the first that is accepted is of this kind.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(kind.as_bytes()))
}

/// `?wait=30`.
#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait: u64,
}

impl Wait {
    fn span(&self) -> Duration {
        Duration::from_secs(self.wait.min(MAX_WAIT))
    }
}

/// `GET /enrol`. The same page for everyone: the invitation never comes here.
async fn enrol(headers: HeaderMap) -> Response {
    page(StatusCode::OK, markup::enrol(language(&headers)))
}

/// `GET /actions/{id}`: the page, or its state for the page's own script, once or as it changes.
async fn show(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    if accepts(&headers, "application/json") || accepts(&headers, live::KIND) {
        let session = pages
            .session(&headers)
            .await?
            .filter(Session::is_active)
            .ok_or(Problem::of(StatusCode::UNAUTHORIZED, "unauthenticated"))?;
        let record = pages.readable(&id, &session.person).await?;
        let mut record = record.ok_or(Problem::not_found())?;
        if accepts(&headers, live::KIND) {
            return Ok(live::stream(pages, session, record));
        }
        let span = wait.span();
        if record.state == crate::action::State::Pending && !span.is_zero() {
            record = pages
                .desk()
                .wait(record.id, span)
                .await?
                .ok_or(Problem::not_found())?;
        }
        return Ok(axum::Json(pages.status(&record, &session.person).await?).into_response());
    }
    match pages.shown(&headers, &id).await {
        Ok(response) => Ok(response),
        Err(_) => Ok(unavailable(&headers)),
    }
}

fn unavailable(headers: &HeaderMap) -> Response {
    let text = markup::notice(language(headers), markup::Notice::Unavailable, None);
    page(StatusCode::SERVICE_UNAVAILABLE, text)
}

impl Pages {
    /// The active session of this browser, and its person; otherwise the page that is shown instead: the sign-in form, or why there is none.
    pub(crate) async fn entered(
        &self,
        headers: &HeaderMap,
    ) -> Result<(Session, Option<Person>), Response> {
        let found = async {
            let session = self.session(headers).await?;
            let person = match &session {
                Some(session) => self.desk().person(&session.person).await?,
                None => None,
            };
            Ok::<_, DeskError>((session, person))
        };
        let Ok((session, person)) = found.await else {
            return Err(unavailable(headers));
        };
        let language = language(headers);
        let state = session.as_ref().map(|session| session.state);
        match (state, session) {
            (Some(SessionState::Active), Some(session)) => Ok((session, person)),
            (Some(SessionState::Suspended), _) => {
                let text = markup::notice(language, markup::Notice::Suspended, None);
                Err(page(StatusCode::FORBIDDEN, text))
            }
            (Some(SessionState::Absent), _) => {
                let display = person.map(|person| person.display).unwrap_or_default();
                let text = markup::notice(language, markup::Notice::Absent, Some(&display));
                Err(page(StatusCode::FORBIDDEN, text))
            }
            _ => {
                let form = markup::sign_in(language, self.desk().public_url());
                Err(page(StatusCode::OK, form))
            }
        }
    }

    /// What is said when the store does not answer.
    pub(crate) fn unavailable(&self, headers: &HeaderMap) -> Response {
        unavailable(headers)
    }

    /// What is said to somebody for whom a page is not.
    pub(crate) fn not_theirs(&self, headers: &HeaderMap, display: &str) -> Response {
        let text = markup::notice(language(headers), markup::Notice::NotTheirs, Some(display));
        page(StatusCode::FORBIDDEN, text)
    }

    async fn shown(&self, headers: &HeaderMap, id: &str) -> Result<Response, DeskError> {
        let language = language(headers);
        let (session, person) = match self.entered(headers).await {
            Ok(entered) => entered,
            Err(response) => return Ok(response),
        };
        let display = person.map(|person| person.display).unwrap_or_default();
        let Some(record) = self.readable(id, &session.person).await? else {
            let text = markup::notice(language, markup::Notice::Unknown, Some(&display));
            return Ok(page(StatusCode::NOT_FOUND, text));
        };
        let action = Action::parse(record.document.as_bytes())
            .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
        let standing = Standing {
            state: record.state,
            awaits: self.desk().awaits(&record, &session.person).await?,
            approved: live::has_approved(&record, &session.person),
            reason: record
                .refusal
                .as_ref()
                .or(record.denial.as_ref())
                .map(|settlement| settlement.reason.as_str()),
            back: self.back(&record, &session.person),
            leads: held_for(&record, &session.person) || desk::hands_out(&record, &session.person),
            fall: match record.state {
                ActionState::Pending => self.desk().would_fall(&action).await?,
                _ => None,
            },
        };
        Ok(page(
            StatusCode::OK,
            markup::action(language, &display, &action, &standing),
        ))
    }
}

/// `POST /actions/{id}/approval`: the key answered in this browser.
async fn approve(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(approval): Json<ApprovalBody>,
) -> Result<axum::Json<Value>, Problem> {
    pages.own_page(&headers)?;
    let id: ActionId = id.parse().map_err(|_| Problem::not_found())?;
    let person = pages.decider(&headers, id).await?;
    let (key, response) = approval.read()?;
    let claim = ApprovalClaim {
        person: person.clone(),
        key,
        response,
    };
    let record = pages.desk().approve(id, claim).await?;
    Ok(axum::Json(pages.status(&record, &person).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusalBody {
    reason: Why,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Why {
    NotMe,
    Mistake,
}

/// `POST /actions/{id}/refusal`; `not-me` also suspends the session that asked.
async fn refuse(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(refusal): Json<RefusalBody>,
) -> Result<axum::Json<Value>, Problem> {
    pages.own_page(&headers)?;
    let id: ActionId = id.parse().map_err(|_| Problem::not_found())?;
    let person = pages.decider(&headers, id).await?;
    let reason = match refusal.reason {
        Why::NotMe => RefusalReason::NotMe,
        Why::Mistake => RefusalReason::Mistake,
    };
    let record = pages
        .desk()
        .refuse(id, person.clone(), reason, None)
        .await?;
    Ok(axum::Json(pages.status(&record, &person).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    person: PersonId,
}

/// `POST /pages/session`: starts a sign-in. The cookie is dead until that person's key has sealed the action.
async fn sign_in(
    State(pages): State<Pages>,
    peer: Peer,
    headers: HeaderMap,
    Json(asked): Json<SignInBody>,
) -> Result<Response, Problem> {
    pages.own_page(&headers)?;
    pages.stranger(&peer)?;
    let opened = pages
        .desk()
        .open_session(asked.person, SessionKind::Browser)
        .await?;
    let document: Value = serde_json::from_str(&opened.action.document).map_err(|_| broken())?;
    let body = json!({ "action": document, "keys": opened.keys, "rp_id": pages.desk().rp_id() });
    let mut response = (StatusCode::CREATED, axum::Json(body)).into_response();
    if let Some(cookie) = pages.inner.cookies.set(&opened.token) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /pages/session?wait=25`: where this browser's session stands.
async fn standing(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(wait): Query<Wait>,
) -> Result<axum::Json<Value>, Problem> {
    let Some(session) = pages.session(&headers).await? else {
        return Ok(axum::Json(json!({ "state": SessionState::Ended })));
    };
    let span = wait.span();
    let found = pages.desk().wait_session(session.id, span).await?;
    let state = found.map_or(SessionState::Ended, |session| session.state);
    Ok(axum::Json(json!({ "state": state })))
}

/// `DELETE /pages/session`: signs out.
async fn sign_out(State(pages): State<Pages>, headers: HeaderMap) -> Result<Response, Problem> {
    pages.own_page(&headers)?;
    if let Some(session) = pages.session(&headers).await? {
        pages.desk().end_session(session.id).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = pages.inner.cookies.clear() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
