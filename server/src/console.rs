//! The console at `/console`: what operators and administrators look at, and from where they ask for what they may.
//!
//! Life of a click: the form's `POST` opens an action like any other (`deed`), and leads to that action's own page, where the operator's key seals
//! it. Nothing changes without; nothing here writes, but for the entry of a list that was taken as a file (`csv`).
//!
//! Who sees what: administrators everything; operators persons, their keys, enrolments and lineage, of whom no role stands above theirs; nobody
//! else anything. What is not for somebody's eyes is not found. Pages are read without scripts.
//!
//! Trusts nothing that arrives. A visit is a browser session that a key sealed (`page`), looked up at each request: one that has ended, or whose
//! person lost their role, sees nothing more. A form counts when it comes from a page of ours (`Origin`, `Sec-Fetch-Site`) and carries the token
//! that only this session's pages hold.

mod action;
mod csv;
mod deed;
mod enrolment;
mod house;
mod key;
mod lineage;
mod log;
mod markup;
mod paging;
mod person;
mod reason;

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sceau_locale::Language;
use sceau_proof::action::Action;
use subtle::ConstantTimeEq as _;

use crate::action::ActionRecord;
use crate::api::Form;
use crate::desk::{Desk, DeskError};
use crate::id::{KeyId, PersonId, Role, ServiceId, SessionId};
use crate::page::{Pages, SCRIPT_TYPE, asset, protect};
use crate::person::Person;
use crate::reading::Budget;
use deed::{Deed, see_other};
use markup::{Html, Section, Sheet};
use paging::List;

const STYLE: &str = include_str!("console/console.css");
const SCRIPT: &str = include_str!("console/console.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
     require-trusted-types-for 'script'";

/// Who looks.
#[derive(Debug)]
struct Viewer {
    person: Person,
    session: SessionId,
    language: Language,
    /// An administrator; otherwise an operator.
    administers: bool,
    /// Roles whose holders are not for these eyes.
    hidden: Vec<Role>,
    /// What forms of this session carry.
    token: String,
}

/// One request of somebody who may be here.
struct Visit {
    pages: Pages,
    viewer: Viewer,
}

impl Visit {
    fn desk(&self) -> &Desk {
        self.pages.desk()
    }

    fn budgets(&self) -> &[(ServiceId, Budget)] {
        self.pages.budgets()
    }

    /// A person who is for these eyes.
    async fn person(&self, id: &str) -> Result<Person, DeskError> {
        let id: PersonId = id.parse().map_err(|_| DeskError::NotFound)?;
        let found = self.desk().person(&id).await?;
        found
            .filter(|person| {
                !person
                    .roles
                    .iter()
                    .any(|role| self.viewer.hidden.contains(role))
            })
            .ok_or(DeskError::NotFound)
    }
}

/// All routes.
pub(crate) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/console", get(|| async { see_other("/console/persons") }))
        .route("/console/leave", post(leave))
        .route("/console/persons", get(persons))
        .route("/console/persons/export", post(export_persons))
        .route("/console/persons/{id}", get(person_of))
        .route("/console/persons/{id}/lineage", get(lineage_of))
        .route("/console/persons/{id}/suspend", post(suspend))
        .route("/console/persons/{id}/restore", post(restore))
        .route("/console/persons/{id}/facts", post(record))
        .route("/console/persons/{id}/sessions", post(end_session))
        .route("/console/keys", get(keys))
        .route("/console/keys/export", post(export_keys))
        .route("/console/keys/{id}", get(key_of))
        .route("/console/keys/{id}/revoke", post(revoke))
        .route("/console/enrolments", get(enrolments))
        .route("/console/enrolments/export", post(export_enrolments))
        .route("/console/actions", get(actions))
        .route("/console/actions/export", post(export_actions))
        .route("/console/campaigns", get(campaigns))
        .route("/console/budgets", get(budgets))
        .route("/console/alerts", get(alerts))
        .route("/console/log", get(entries))
        .route("/console/log/{index}", get(entry))
        .route("/console/log/{index}/proof.json", get(proof))
        .route("/console/log/{index}/checkpoint.txt", get(checkpoint))
        .route("/console/policy", get(policy))
        .route("/console/metadata", get(metadata))
        .route(
            "/pages/console.css",
            get(|| async { asset("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/pages/console.js",
            get(|| async { asset(SCRIPT_TYPE, SCRIPT) }),
        )
        .with_state(pages)
}

/// Where an action that was asked for here leads back to, for who asked.
pub(crate) fn back(record: &ActionRecord, person: &PersonId) -> Option<String> {
    if record.requester != *person {
        return None;
    }
    let target = Action::parse(record.document.as_bytes()).ok()?;
    let id = &target.target().id;
    match record.kind.as_str() {
        "person.suspend" | "person.restore" | "facts.record" => {
            let id: PersonId = id.parse().ok()?;
            Some(format!("/console/persons/{id}"))
        }
        "key.revoke" => {
            let id: KeyId = id.parse().ok()?;
            Some(format!("/console/keys/{id}"))
        }
        _ => None,
    }
}

fn whole(status: StatusCode, text: String) -> Response {
    protect(
        (status, text).into_response(),
        "text/html; charset=utf-8",
        POLICY,
    )
}

/// What forms of a session carry: nobody makes it without the session's own token, which no script and no other site reads.
fn form_token(session_token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_token.as_bytes());
    sceau_proof::base64url::encode(hmac::sign(&key, b"sceau/console-form/v1"))
}

/// Who looks, if they may be here; otherwise the page that says so.
async fn enter(pages: Pages, headers: &HeaderMap) -> Result<Visit, Response> {
    let (session, person) = pages.entered(headers).await?;
    let language = crate::page::language(headers);
    let token = pages.token(headers);
    let (Some(person), Some(token)) = (person, token) else {
        return Err(pages.unavailable(headers));
    };
    let desk = pages.desk();
    let held = desk.role_ends(&person.id).await;
    let now = desk.now();
    let Ok(held) = held else {
        return Err(pages.unavailable(headers));
    };
    let holds = |name: &str| {
        held.iter()
            .any(|(role, until)| role.as_str() == name && until.is_none_or(|until| now < until))
    };
    let administers = holds("administrator");
    if !administers && !holds("operator") {
        return Err(pages.not_theirs(headers, &person.display));
    }
    let hidden = if administers {
        Vec::new()
    } else {
        desk.above(&person.roles)
    };
    let viewer = Viewer {
        session: session.id,
        language,
        administers,
        hidden,
        token: form_token(&token),
        person,
    };
    Ok(Visit { pages, viewer })
}

/// A page, or the page that says why not.
fn shown(visit: &Visit, section: Section, sheet: Result<Sheet, DeskError>) -> Response {
    match sheet {
        Ok(sheet) => whole(
            StatusCode::OK,
            markup::document(&visit.viewer, Some(section), &sheet),
        ),
        Err(error) => refused(visit, Some(section), &error),
    }
}

/// What the desk said instead, in words.
fn refused(visit: &Visit, section: Option<Section>, error: &DeskError) -> Response {
    let (status, title, text) = match error {
        DeskError::NotFound | DeskError::UnknownPerson => (
            StatusCode::NOT_FOUND,
            "console-unknown-title",
            "console-unknown-text",
        ),
        DeskError::LineageChanged => (
            StatusCode::CONFLICT,
            "console-changed-title",
            "console-changed-text",
        ),
        DeskError::Limited { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "console-limited-title",
            "console-limited-text",
        ),
        DeskError::Malformed(_) => (
            StatusCode::BAD_REQUEST,
            "console-malformed-title",
            "console-malformed-text",
        ),
        DeskError::Forbidden | DeskError::NotAnApprover(_) => (
            StatusCode::FORBIDDEN,
            "console-forbidden-title",
            "console-forbidden-text",
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "console-unavailable-title",
            "console-unavailable-text",
        ),
    };
    let language = visit.viewer.language;
    let why = match error {
        DeskError::Malformed(what) => Html::code(what).paragraph(),
        _ => Html::default(),
    };
    let sheet = Sheet {
        title: Html::text(language.text(title)),
        body: [Html::text(language.text(text)).warning(), why]
            .into_iter()
            .collect(),
    };
    whole(status, markup::document(&visit.viewer, section, &sheet))
}

/// What administrators alone may see is not found by others.
async fn read(
    pages: Pages,
    headers: HeaderMap,
    section: Section,
    sheet: impl AsyncFnOnce(&Visit) -> Result<Sheet, DeskError>,
) -> Response {
    let visit = match enter(pages, &headers).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    if !visit.viewer.administers && !section.for_operators() {
        return refused(&visit, None, &DeskError::NotFound);
    }
    let sheet = sheet(&visit).await;
    shown(&visit, section, sheet)
}

/// As [`read`], of a file.
async fn take(
    pages: Pages,
    headers: HeaderMap,
    section: Section,
    file: impl AsyncFnOnce(&Visit) -> Result<Response, DeskError>,
) -> Response {
    let visit = match enter(pages, &headers).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    if !visit.viewer.administers && !section.for_operators() {
        return refused(&visit, None, &DeskError::NotFound);
    }
    match file(&visit).await {
        Ok(response) => response,
        Err(error) => refused(&visit, Some(section), &error),
    }
}

/// A form of ours, sent by a page of this session.
async fn act(
    pages: Pages,
    headers: HeaderMap,
    section: Section,
    deed: Deed,
    done: impl AsyncFnOnce(&Visit, &Deed) -> Result<Response, DeskError>,
) -> Response {
    if let Err(problem) = pages.own_page(&headers) {
        return problem.into_response();
    }
    let visit = match enter(pages, &headers).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    let token = deed.token.as_bytes();
    if !bool::from(visit.viewer.token.as_bytes().ct_eq(token)) {
        return refused(&visit, Some(section), &DeskError::Forbidden);
    }
    if !visit.viewer.administers && !section.for_operators() {
        return refused(&visit, None, &DeskError::NotFound);
    }
    match done(&visit, &deed).await {
        Ok(response) => response,
        Err(error) => refused(&visit, Some(section), &error),
    }
}

async fn persons(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Persons, async |visit| {
        person::list(visit, list).await
    })
    .await
}

async fn keys(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Keys, async |visit| {
        key::list(visit, list).await
    })
    .await
}

async fn enrolments(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Enrolments, async |visit| {
        enrolment::list(visit, list).await
    })
    .await
}

async fn actions(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Actions, async |visit| {
        action::list(visit, list).await
    })
    .await
}

async fn alerts(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Alerts, async |visit| {
        log::alerts(visit, list).await
    })
    .await
}

async fn entries(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Log, async |visit| {
        log::list(visit, list).await
    })
    .await
}

async fn budgets(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(list): Query<List>,
) -> Response {
    read(pages, headers, Section::Budgets, async |visit| {
        house::budgets(visit, &list).await
    })
    .await
}

async fn person_of(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    read(pages, headers, Section::Persons, async |visit| {
        person::show(visit, &path).await
    })
    .await
}

async fn lineage_of(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    read(pages, headers, Section::Persons, async |visit| {
        lineage::show(visit, &path).await
    })
    .await
}

async fn key_of(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    read(pages, headers, Section::Keys, async |visit| {
        key::show(visit, &path).await
    })
    .await
}

async fn entry(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    read(pages, headers, Section::Log, async |visit| {
        log::entry(visit, &path).await
    })
    .await
}

async fn campaigns(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    read(pages, headers, Section::Campaigns, async |visit| {
        house::campaigns(visit).await
    })
    .await
}

async fn policy(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    read(pages, headers, Section::Policy, async |visit| {
        house::policy(visit).await
    })
    .await
}

async fn metadata(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    read(pages, headers, Section::Metadata, async |visit| {
        house::metadata(visit).await
    })
    .await
}

async fn proof(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    take(pages, headers, Section::Log, async |visit| {
        log::proof(visit, &path).await
    })
    .await
}

async fn checkpoint(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    take(pages, headers, Section::Log, async |visit| {
        log::checkpoint(visit, &path).await
    })
    .await
}

async fn suspend(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Persons,
        sent,
        async |visit, deed| deed::suspend(visit, &path, deed).await,
    )
    .await
}

async fn restore(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Persons,
        sent,
        async |visit, deed| deed::restore(visit, &path, deed).await,
    )
    .await
}

async fn record(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Persons,
        sent,
        async |visit, deed| deed::record(visit, &path, deed).await,
    )
    .await
}

async fn end_session(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Persons,
        sent,
        async |visit, deed| deed::end_session(visit, &path, deed).await,
    )
    .await
}

async fn revoke(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(path): Path<String>,
    Form(sent): Form<Deed>,
) -> Response {
    act(pages, headers, Section::Keys, sent, async |visit, _| {
        deed::revoke(visit, &path).await
    })
    .await
}

async fn export_persons(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Persons,
        sent,
        async |visit, deed| csv::export(visit, Section::Persons, &deed.list).await,
    )
    .await
}

async fn export_keys(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Form(sent): Form<Deed>,
) -> Response {
    act(pages, headers, Section::Keys, sent, async |visit, deed| {
        csv::export(visit, Section::Keys, &deed.list).await
    })
    .await
}

async fn export_enrolments(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Enrolments,
        sent,
        async |visit, deed| csv::export(visit, Section::Enrolments, &deed.list).await,
    )
    .await
}

async fn export_actions(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Form(sent): Form<Deed>,
) -> Response {
    act(
        pages,
        headers,
        Section::Actions,
        sent,
        async |visit, deed| csv::export(visit, Section::Actions, &deed.list).await,
    )
    .await
}

/// Signs out.
async fn leave(State(pages): State<Pages>, headers: HeaderMap, Form(sent): Form<Deed>) -> Response {
    let cookie = pages.clear_cookie();
    act(pages, headers, Section::Persons, sent, async |visit, _| {
        visit.desk().end_session(visit.viewer.session).await?;
        let mut response = see_other("/console");
        if let Some(cookie) = cookie {
            let headers = response.headers_mut();
            headers.append(axum::http::header::SET_COOKIE, cookie);
        }
        Ok(response)
    })
    .await
}
