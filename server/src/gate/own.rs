//! `/.sceau/*`: the gate's own paths on the application's public name (docs/api.md). Never forwarded.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use sceau_proof::display;
use serde::Deserialize;
use serde_json::json;

use crate::action::{ActionRecord, State};
use crate::gate::client::{ClientKind, Language, Notice, empty, json_answer, own_path, see_other};
use crate::gate::forward::Body;
use crate::gate::hold::Landing;
use crate::gate::login;
use crate::gate::notice::{desk_notice, sign_in_first};
use crate::gate::page;
use crate::gate::passage::Asked;
use crate::gate::session::{Visitor, is_cross_site};
use crate::id::{ActionId, PersonId};
use crate::session::{Session, SessionKind};

/// The largest body of these paths.
const BODY_LIMIT: usize = 4 * 1024;
/// The longest wait that can be asked for.
const MAX_WAIT: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    person: PersonId,
}

pub(super) async fn answer(asked: &Asked<'_>, parts: &Parts, body: Incoming) -> Response<Body> {
    if !crate::gate::canon::is_safe(&parts.method) && is_cross_site(&parts.headers, &asked.base) {
        return Notice::new(StatusCode::FORBIDDEN, "cross-site", "gate-cross-site")
            .answer(&asked.client);
    }
    let segments: Vec<&str> = asked.target.segments().iter().map(String::as_str).collect();
    match (&parts.method, segments.get(1..).unwrap_or_default()) {
        (&Method::GET, ["page.js"]) => page::script(),
        (&Method::GET, ["page.css"]) => page::style(),
        (&Method::GET, ["sign-in"]) => sign_in(asked, parts),
        (&Method::POST, ["session"]) => open(asked, parts, body).await,
        (&Method::GET, ["session"]) => state(asked).await,
        (&Method::DELETE, ["session"]) => end(asked).await,
        (&Method::GET, ["login"]) => match &asked.gate.login {
            Some(login) => login::begin(asked, login, next(asked)).await,
            None => nothing_here(asked),
        },
        (&Method::GET, ["login", "callback"]) => match &asked.gate.login {
            Some(login) => login::callback(asked, &parts.headers, login).await,
            None => nothing_here(asked),
        },
        (&Method::GET, ["login", "jwks.json"]) => {
            let keys = asked.gate.login.as_ref().and_then(|login| login.jwks());
            keys.map_or_else(
                || nothing_here(asked),
                |keys| json_answer(StatusCode::OK, &keys),
            )
        }
        (&Method::POST, ["logout"]) => out(asked).await,
        (&Method::GET, ["actions", id]) => action(asked, parts, id).await,
        _ => nothing_here(asked),
    }
}

fn nothing_here(asked: &Asked<'_>) -> Response<Body> {
    Notice::new(StatusCode::NOT_FOUND, "not-found", "gate-nothing-here").answer(&asked.client)
}

/// The sign-in page: by ProConnect first where that is configured, then by key.
fn sign_in(asked: &Asked<'_>, parts: &Parts) -> Response<Body> {
    let login = asked.gate.login.as_ref();
    let verified = login.and_then(|login| login.verified(asked, &parts.headers));
    let person = verified.as_ref().and_then(|login| login.person.as_ref());
    let next = verified
        .as_ref()
        .map_or_else(|| next(asked), |login| login.next.clone());
    let shown = page::SignIn {
        next: &next,
        by_login: login.is_some() && verified.is_none(),
        by_key: verified.is_some() || !login.is_some_and(|login| login.is_required()),
        person: person.map(PersonId::as_str),
        seal: &seal(asked),
    };
    page::sign_in(asked.client.language, &shown)
}

fn query(asked: &Asked<'_>, name: &str) -> Option<String> {
    let pairs = asked.target.pairs().unwrap_or_default();
    pairs
        .into_iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

fn next(asked: &Asked<'_>) -> String {
    query(asked, "next")
        .and_then(|url| own_path(&url, &asked.base))
        .unwrap_or_else(|| "/".to_owned())
}

/// Where an action is read and sealed in a browser; its id follows.
fn seal(asked: &Asked<'_>) -> String {
    format!("{}/actions/", asked.gate.desk.public_url())
}

fn wait(asked: &Asked<'_>) -> Duration {
    let seconds = query(asked, "wait")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    Duration::from_secs(seconds.min(MAX_WAIT))
}

async fn open(asked: &Asked<'_>, parts: &Parts, body: Incoming) -> Response<Body> {
    let malformed = || {
        Notice::new(StatusCode::BAD_REQUEST, "malformed", "gate-json-needed").answer(&asked.client)
    };
    let json = parts
        .headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            kind.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "application/json")
        });
    if !json {
        return malformed();
    }
    let read = tokio::time::timeout(
        Duration::from_secs(10),
        Limited::new(body, BODY_LIMIT).collect(),
    );
    let Ok(Ok(collected)) = read.await else {
        return malformed();
    };
    let Ok(SignIn { person }) = serde_json::from_slice(&collected.to_bytes()) else {
        return malformed();
    };
    let login = asked.gate.login.as_ref();
    let claim = login.and_then(|login| login.take_claim(asked, &parts.headers, &person));
    if claim.is_none() && login.is_some_and(|login| login.is_required()) {
        return login::needed(asked);
    }
    let (claim, id_token) = claim.unzip();
    let desk = &asked.gate.desk;
    match desk
        .open_session_after(person, SessionKind::Gate, claim)
        .await
    {
        Ok(opened) => {
            if let (Some(login), Some(id_token)) = (login, id_token) {
                login.remember(opened.id, id_token);
            }
            let mut response = json_answer(
                StatusCode::CREATED,
                &json!({"action_id": opened.action.id.to_string()}),
            );
            if let Some(cookie) = asked.gate.cookies.set(&opened.token) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => desk_notice(&error).answer(&asked.client),
    }
}

fn session(visitor: &Visitor) -> Option<&Session> {
    match visitor {
        Visitor::Pending(session)
        | Visitor::Active(session)
        | Visitor::Absent(session)
        | Visitor::Suspended(session) => Some(session),
        Visitor::Nobody => None,
    }
}

async fn state(asked: &Asked<'_>) -> Response<Body> {
    let Some(session) = session(&asked.visitor) else {
        return json_answer(StatusCode::OK, &json!({"state": "ended", "person": null}));
    };
    let session = match asked.gate.desk.wait_session(session.id, wait(asked)).await {
        Ok(Some(session)) => session,
        Ok(None) => return json_answer(StatusCode::OK, &json!({"state": "ended", "person": null})),
        Err(error) => return desk_notice(&error).answer(&asked.client),
    };
    let person = session.is_active().then(|| session.person.to_string());
    json_answer(
        StatusCode::OK,
        &json!({"state": session.state.as_str(), "person": person}),
    )
}

/// Out of the session here, and where it was logged in to.
async fn out(asked: &Asked<'_>) -> Response<Body> {
    let ended = end(asked).await;
    if !ended.status().is_success() {
        return ended;
    }
    let session = session(&asked.visitor).map(|session| session.id);
    let mut response = match &asked.gate.login {
        Some(login) => login::out(asked, login, session).await,
        None => see_other("/"),
    };
    for cookie in ended.headers().get_all(SET_COOKIE) {
        response.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    response
}

async fn end(asked: &Asked<'_>) -> Response<Body> {
    if let Some(session) = session(&asked.visitor)
        && let Err(error) = asked.gate.desk.end_session(session.id).await
    {
        return desk_notice(&error).answer(&asked.client);
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    if let Some(cookie) = asked.gate.cookies.clear() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// An action's page, or its state for programs and the page's own script; for the session that asked, only.
async fn action(asked: &Asked<'_>, parts: &Parts, id: &str) -> Response<Body> {
    let unknown = || {
        Notice::new(
            StatusCode::NOT_FOUND,
            "unknown-action",
            "gate-unknown-action",
        )
    };
    let Some(session) = asked.visitor.active() else {
        return sign_in_first(asked, Some(asked.target.path().to_owned()));
    };
    let Ok(id) = id.parse::<ActionId>() else {
        return unknown().answer(&asked.client);
    };
    let found = asked.gate.desk.action(id).await;
    let record = match found {
        Ok(Some(record)) if record.session == Some(session.id) => record,
        Ok(_) => return unknown().answer(&asked.client),
        Err(error) => return desk_notice(&error).answer(&asked.client),
    };
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let html = asked.client.kind == ClientKind::Navigation
        && !text("accept").starts_with("application/json");
    if html {
        let words = words(&record, asked.client.language);
        let id = id.to_string();
        let answered = record
            .execution
            .as_ref()
            .and_then(|execution| execution.upstream_status);
        let shown = page::Shown {
            id: &id,
            words: &words,
            state: record.state.as_str(),
            failed: answered.is_some_and(|status| status >= 400),
            seal: &seal(asked),
        };
        return page::action(asked.client.language, &shown);
    }
    let record = match asked.gate.desk.wait(id, wait(asked)).await {
        Ok(Some(record)) => record,
        Ok(None) => return unknown().answer(&asked.client),
        Err(error) => return desk_notice(&error).answer(&asked.client),
    };
    json_answer(StatusCode::OK, &status(asked, &record))
}

fn status(asked: &Asked<'_>, record: &ActionRecord) -> serde_json::Value {
    let landing = asked.gate.holds.landing(record.id);
    // Sealed, and to be sent again by whoever was led here: nobody else can.
    let again = record.state == State::Approved
        && record.execution.is_none()
        && asked.gate.asking.comes_again(record.id);
    let next = (record.state.is_final() || again)
        .then(|| landing.map(|landing| next_page(&landing, record.state, &asked.base)));
    let reason = record
        .refusal
        .as_ref()
        .or(record.denial.as_ref())
        .map(|settlement| settlement.reason.as_str());
    json!({
        "action_id": record.id.to_string(),
        "state": record.state.as_str(),
        "again": again,
        "reason": reason,
        "upstream_status": record.execution.as_ref().and_then(|execution| execution.upstream_status),
        "next": next.flatten(),
    })
}

/// Where a person goes on: where the application's answer leads, else the page that they came from.
fn next_page(landing: &Landing, state: State, base: &str) -> String {
    let led = landing
        .location
        .as_deref()
        .filter(|_| state == State::Executed);
    let own = led.and_then(|url| own_path(url, base));
    let foreign = led
        .filter(|url| url.starts_with("https://"))
        .map(str::to_owned);
    own.or(foreign)
        .or_else(|| landing.from.clone())
        .unwrap_or_else(|| "/".to_owned())
}

fn words(record: &ActionRecord, language: Language) -> String {
    words_of(&record.document, &record.kind, language)
}

/// What an action says of itself, with nothing in it that could be taken for ours (attack 23); its type where it says nothing.
fn words_of(document: &str, kind: &str, language: Language) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let said = document
        .pointer(&format!("/words/{}", language.code()))
        .and_then(|text| text.as_str());
    display::show(said.unwrap_or(kind), display::LIMIT).text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_service_cannot_pose_as_ours() {
        let document = json!({"words": {"fr": "Lire\u{202e}\u{200b}\ndu texte"}}).to_string();
        let shown = words_of(&document, "records.read", Language::Fr);
        assert!(!shown.contains(['\u{202e}', '\u{200b}', '\n']), "{shown:?}");
        let kind = words_of(&document, "records.read", Language::En);
        assert_eq!(kind, "records.read");
    }

    #[test]
    fn people_go_on_where_the_application_leads_them() {
        let base = "https://portal.example";
        let landing = |location: &str| Landing {
            location: Some(location.to_owned()),
            from: Some("/list".to_owned()),
        };
        let next = |location: &str, state| next_page(&landing(location), state, base);
        assert_eq!(next("/accounts/7", State::Executed), "/accounts/7");
        assert_eq!(
            next("https://portal.example/accounts/7?x=1", State::Executed),
            "/accounts/7?x=1"
        );
        assert_eq!(
            next("https://elsewhere.example/", State::Executed),
            "https://elsewhere.example/"
        );
        assert_eq!(next("/accounts/7", State::Refused), "/list");
        for odd in [
            "javascript:alert(1)",
            "//evil.example",
            "data:text/html,x",
            "http://evil.example",
        ] {
            assert_eq!(next(odd, State::Executed), "/list", "{odd}");
        }
        assert_eq!(next_page(&Landing::default(), State::Executed, base), "/");
    }
}
