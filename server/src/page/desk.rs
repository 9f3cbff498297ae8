//! `/desk`: the enrolment of a key at a help desk, in the browser. An operator says for whom and on what papers, seals that with their own key (the
//! action's page), and hands the seat over: the person's key is enrolled on the page that follows, and a receipt is printed.
//!
//! The invitation never leaves the tab where the operator asked: the action that is sealed holds the SHA-256 of a secret that this tab keeps
//! (`params.handover`), and the invitation is shown for that secret alone. A stolen cookie, or a second tab, gets none (attacks 7 and 22).
//! The key is enrolled as waiting: it counts after its person's own first sign-in. Decisions are `desk`'s; what is shown is [`markup`]'s and below.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::markup::{self, shown, status, table};
use super::{Pages, language, page, unavailable};
use crate::action::{ActionRecord, State as Standing};
use crate::api::{Json, Problem};
use crate::desk::{DeskError, HandedOut};
use crate::gate::client::Language;
use crate::gate::page::{escape, say};
use crate::id::{ActionId, PersonId};
use crate::key::{Credential, KeyState};
use crate::person::Person;
use crate::policy::OWN_SERVICE;
use crate::session::Session;
use crate::store::key::Held;

/// Whether this enrolment was asked for at this page, by this person.
pub(super) fn hands_out(record: &ActionRecord, person: &PersonId) -> bool {
    record.kind == "key.enroll"
        && record.service.as_str() == OWN_SERVICE
        && record.requester == *person
        && params(record).contains_key("handover")
}

fn params(record: &ActionRecord) -> Map<String, Value> {
    let document: Value = serde_json::from_str(&record.document).unwrap_or_default();
    document["params"].as_object().cloned().unwrap_or_default()
}

fn oversees(person: &Person) -> bool {
    let mut roles = person.roles.iter();
    roles.any(|role| matches!(role.as_str(), "administrator" | "operator"))
}

/// Who looks: an active session's person; or the page that they get instead.
async fn operator(pages: &Pages, headers: &HeaderMap) -> Result<(Session, Person), Response> {
    let broken = |_: DeskError| unavailable(headers);
    let session = pages.session(headers).await.map_err(broken)?;
    let Some(session) = session.filter(Session::is_active) else {
        let form = markup::sign_in(language(headers), pages.desk().public_url());
        return Err(page(StatusCode::OK, form));
    };
    let person = pages.desk().person(&session.person).await.map_err(broken)?;
    match person {
        Some(person) if oversees(&person) => Ok((session, person)),
        other => {
            let display = other.map(|person| person.display);
            let notice = markup::Notice::Unknown;
            let text = markup::notice(language(headers), notice, display.as_deref());
            Err(page(StatusCode::NOT_FOUND, text))
        }
    }
}

/// Whose script asks, from a page of ours. Their roles are the policy's to judge.
async fn caller(pages: &Pages, headers: &HeaderMap) -> Result<Session, Problem> {
    pages.own_page(headers)?;
    let session = pages.session(headers).await?.filter(Session::is_active);
    session.ok_or(Problem::of(StatusCode::UNAUTHORIZED, "unauthenticated"))
}

/// `GET /desk`: for whom a key is wanted.
pub(super) async fn form(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    match operator(&pages, &headers).await {
        Ok((_, person)) => page(StatusCode::OK, asks(language(&headers), &person.display)),
        Err(instead) => instead,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    person: Map<String, Value>,
    key: String,
    handover: String,
}

/// `POST /desk`: asks for `key.enroll`, which the operator then seals on the action's own page.
pub(super) async fn ask(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Json(asked): Json<Asked>,
) -> Result<axum::Json<Value>, Problem> {
    let session = caller(&pages, &headers).await?;
    let mut person = asked.person;
    // What stands here is never the page's to leave out: the papers were looked at, and the key waits for its person.
    if !person
        .get("identity_document")
        .is_some_and(Value::is_string)
    {
        return Err(DeskError::Malformed("person.identity_document").into());
    }
    person.insert("first_use".to_owned(), json!(true));
    let params = [
        ("person", Value::Object(person)),
        ("key", json!(asked.key)),
        ("handover", json!(asked.handover)),
    ];
    let params = params.map(|(name, value)| (name.to_owned(), value));
    let record = pages
        .desk()
        .ask_enrolment(&session, Map::from_iter(params))
        .await?;
    Ok(axum::Json(json!({
        "id": record.id, "state": record.state,
        "denial": record.denial.as_ref().map(|denial| denial.reason.as_str()),
    })))
}

/// The enrolment of that name, when it was asked for at this page by whoever looks.
async fn own(pages: &Pages, session: &Session, id: &str) -> Result<ActionRecord, Problem> {
    let id: ActionId = id.parse().map_err(|_| Problem::not_found())?;
    let record = pages.desk().action(id).await?;
    record
        .filter(|record| hands_out(record, &session.person))
        .ok_or(Problem::not_found())
}

/// `GET /desk/{id}`: the seat is handed over. What is not sealed yet is read where it is sealed.
pub(super) async fn ceremony(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (session, operator) = match operator(&pages, &headers).await {
        Ok(found) => found,
        Err(instead) => return Ok(instead),
    };
    let record = own(&pages, &session, &id).await?;
    if record.state != Standing::Executed {
        let to = HeaderValue::from_str(&format!("/actions/{}", record.id))
            .map_err(|_| Problem::not_found())?;
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response());
    }
    let handed = pages.desk().handed_out(record.id).await?;
    let held = pages.desk().held(&handed.person.id).await?;
    let held = held.iter().filter(|one| one.key.state != KeyState::Revoked);
    let wanted = usize::from(pages.desk().keys_wanted(&handed.person.roles));
    let is_one_of_two = held.count() + usize::from(handed.key.is_none()) < wanted;
    let operator = &operator.display;
    let text = hand_over(
        language(&headers),
        operator,
        &record,
        &handed,
        is_one_of_two,
    );
    Ok(page(StatusCode::OK, text))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    secret: String,
}

/// `POST /desk/{id}/invitation`: the invitation, once, for the tab that asked.
pub(super) async fn invitation(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(claim): Json<Claim>,
) -> Result<axum::Json<Value>, Problem> {
    let session = caller(&pages, &headers).await?;
    let record = own(&pages, &session, &id).await?;
    let shown = pages
        .desk()
        .reveal_invitation_to(record.id, &claim.secret)
        .await?;
    let (_, invitation, _) = shown.ok_or(Problem::of(StatusCode::CONFLICT, "elsewhere"))?;
    Ok(axum::Json(json!({ "invitation": *invitation })))
}

/// `GET /desk/{id}/receipt`: the paper that the person signs.
pub(super) async fn receipt(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (session, operator) = match operator(&pages, &headers).await {
        Ok(found) => found,
        Err(instead) => return Ok(instead),
    };
    let record = own(&pages, &session, &id).await?;
    let handed = pages.desk().handed_out(record.id).await?;
    let key = handed.key.as_ref().ok_or(Problem::not_found())?;
    let whose = (&handed.person, key);
    let text = paper(language(&headers), &operator.display, &record, whose);
    Ok(page(StatusCode::OK, text))
}

/// The members of a family as options of a list.
fn options(language: Language, family: &str) -> String {
    let option = |(name, text): (&str, std::borrow::Cow<'_, str>)| {
        format!("<option value=\"{name}\">{}</option>", escape(&text))
    };
    language.family(family).map(option).collect()
}

/// A code in words, or itself where there are none.
fn named(language: Language, family: &str, code: &str) -> String {
    match language.known(&format!("{family}-{code}")) {
        Some(words) => escape(&words),
        None => shown(code),
    }
}

/// The form.
fn asks(language: Language, operator: &str) -> String {
    let input = |id: &str, name: &str, more: &str| {
        format!(
            "<label for=\"{id}\">{}</label>\n<input id=\"{id}\" name=\"{id}\" autocomplete=\"off\" spellcheck=\"false\" {more}>\n",
            say(language, name)
        )
    };
    let select = |id: &str, name: &str, options: &str| {
        format!(
            "<label for=\"{id}\">{}</label>\n<select id=\"{id}\" name=\"{id}\" required>{options}</select>\n",
            say(language, name)
        )
    };
    let choose = format!(
        "<option value=\"\">{}</option>",
        say(language, "desk-choose")
    );
    let body = format!(
        "{}\n<p>{}</p>\n<form id=\"ask\">\n{}{}{}{}{}<button class=\"main\">{}</button>\n</form>",
        status(""),
        say(language, "desk-look"),
        input(
            "id",
            "desk-person",
            "autocapitalize=\"none\" maxlength=\"64\" pattern=\"[A-Za-z0-9._@+\\-]+\" required"
        ),
        input("display", "desk-name", "maxlength=\"200\""),
        input(
            "roles",
            "desk-roles",
            "autocapitalize=\"none\" maxlength=\"500\""
        ),
        select(
            "identity_document",
            "desk-shown",
            &format!("{choose}{}", options(language, "desk-document"))
        ),
        select("key", "desk-which", &options(language, "desk-key")),
        say(language, "desk-go-on"),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, "desk-said"));
    whole(language, "desk-title", &attributes, operator, &body)
}

fn whole(language: Language, title: &str, attributes: &str, operator: &str, body: &str) -> String {
    let (title, script) = (say(language, title), Some("desk.js"));
    markup::document(language, &title, script, attributes, Some(operator), body)
}

/// Where the person takes the seat.
fn hand_over(
    language: Language,
    operator: &str,
    record: &ActionRecord,
    handed: &HandedOut,
    is_one_of_two: bool,
) -> String {
    let params = params(record);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let document = text(&params["person"]["identity_document"]);
    let which = params.get("key").map(text).unwrap_or_default();
    let done = handed.key.is_some();
    let rows = [
        ("desk-for", shown(&handed.person.display)),
        ("desk-identifier", shown(handed.person.id.as_str())),
        (
            "desk-checked-on",
            named(language, "desk-document", &document),
        ),
        ("desk-which", named(language, "desk-key", &which)),
    ];
    let rows = rows.map(|(name, value)| (say(language, name), value));
    let told = if done {
        say(language, "desk-said-done")
    } else {
        String::new()
    };
    let hidden = |is: bool| if is { " hidden" } else { "" };
    let body = format!(
        "{}\n{}\n<form id=\"hand-over\"{}>\n<ol>\n<li>{}</li>\n<li>{}</li>\n<li>{}</li>\n</ol>\n<button class=\"main\">{}</button>\n</form>\n\
         <p id=\"model\"></p>\n<p id=\"receipt\"{}><a href=\"/desk/{}/receipt\">{}</a></p>\n{}<p><a href=\"/desk\">{}</a></p>",
        status(&told),
        markup::list(rows),
        hidden(done),
        say(language, "desk-step-out"),
        say(language, "desk-step-in"),
        say(language, "desk-step-pin"),
        say(language, "desk-enrol"),
        hidden(!done),
        record.id,
        say(language, "desk-to-receipt"),
        match is_one_of_two {
            true => format!("<p>{}</p>\n", say(language, "desk-one-of-two")),
            false => String::new(),
        },
        say(language, "desk-another"),
    );
    let attributes = format!(
        " data-words=\"{}\" data-enrolment=\"{}\" data-label=\"{}\"",
        table(language, "desk-said"),
        record.id,
        escape(&which)
    );
    whole(language, "desk-seat", &attributes, operator, &body)
}

/// The paper: one A4 page.
fn paper(
    language: Language,
    operator: &str,
    record: &ActionRecord,
    (person, held): (&Person, &Held),
) -> String {
    let params = params(record);
    let document = params["person"]["identity_document"].as_str();
    let aaguid = match &held.key.credential {
        Credential::Fido2 { aaguid, .. } => Some(aaguid.as_str()),
        Credential::Piv { .. } => None,
    };
    let label = named(language, "desk-key", &held.key.label);
    let rows = [
        ("desk-handed-to", Some(shown(&person.display))),
        ("desk-identifier", Some(shown(person.id.as_str()))),
        (
            "desk-checked-on",
            document.map(|kind| named(language, "desk-document", kind)),
        ),
        ("desk-which", Some(label)),
        ("desk-model", held.model.as_deref().map(shown)),
        ("desk-aaguid", aaguid.map(shown)),
        ("desk-registered", Some(held.key.id.to_string())),
        (
            "desk-handed-on",
            Some(escape(&sceau_locale::instant(language, held.created_at))),
        ),
        ("desk-handed-by", Some(shown(operator))),
    ];
    let rows = rows
        .into_iter()
        .filter_map(|(name, value)| Some((say(language, name), value?)));
    let rules: String = language
        .family("desk-rule")
        .map(|(_, rule)| format!("<li>{}</li>\n", escape(&rule)))
        .collect();
    let body = format!(
        "{}\n<ul>\n{rules}</ul>\n<div class=\"sign\"><p>{}</p><p>{}</p></div>\n<p class=\"choices\"><button id=\"print\" type=\"button\">{}</button></p>",
        markup::list(rows),
        say(language, "desk-sign-person"),
        say(language, "desk-sign-desk"),
        say(language, "desk-print"),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, "desk-said"));
    whole(language, "desk-receipt", &attributes, operator, &body)
}
