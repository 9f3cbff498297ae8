//! What a click may ask for. Every one of these is an action of the server's own, asked for as the API does: the policy decides, the operator's key
//! seals it on its page, and nothing is done here.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;

use super::Visit;
use super::paging::List;
use crate::action::{Caller, NewAction, Target};
use crate::desk::DeskError;
use crate::id::{KeyId, PersonId, SessionId};
use crate::policy::OWN_SERVICE;

/// What a form sends. A claim: the desk checks what it asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Deed {
    /// Shows that a page of this session made the form.
    pub(super) token: String,
    #[serde(default)]
    whole: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    fact: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    withdraw: String,
    #[serde(default)]
    id: String,
    /// The list that a file is wanted of.
    #[serde(flatten)]
    pub(super) list: List,
}

/// Leads on after a form.
pub(super) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Asks, and leads to the page where the key seals it.
async fn ask(
    visit: &Visit,
    kind: &str,
    target: Target,
    params: Value,
) -> Result<Response, DeskError> {
    let person = visit.viewer.person.id.clone();
    let params = match params {
        Value::Object(params) => params,
        _ => Map::new(),
    };
    let asked = NewAction {
        kind: kind.to_owned(),
        service: OWN_SERVICE
            .parse()
            .map_err(|_| DeskError::Misuse("own service"))?,
        requester: person.clone(),
        target,
        params,
        request: None,
        words: None,
    };
    let caller = Caller::Person {
        person,
        session: visit.viewer.session,
    };
    let record = visit.desk().open_action(asked, caller).await?;
    Ok(see_other(&format!("/actions/{}", record.id)))
}

fn person_target(id: &PersonId, display: &str) -> Target {
    Target {
        kind: "person".to_owned(),
        id: id.to_string(),
        display: display.to_owned(),
    }
}

/// `POST /console/persons/{id}/suspend`: alone, or with all who descend from them, as the page showed them.
pub(super) async fn suspend(visit: &Visit, id: &str, deed: &Deed) -> Result<Response, DeskError> {
    let person = visit.person(id).await?;
    let mut params = json!({ "person": person.id });
    if deed.whole == "yes" {
        let lineage = visit.desk().lineage(&person.id, 0).await?;
        let lineage = lineage.ok_or(DeskError::NotFound)?;
        if lineage.sha256 != deed.sha256 {
            return Err(DeskError::LineageChanged);
        }
        params["cascade"] = json!(true);
        params["set"] = json!({
            "sha256": lineage.sha256,
            "persons": lineage.totals.persons,
            "accounts": lineage.totals.accounts,
        });
    }
    let target = person_target(&person.id, &person.display);
    ask(visit, "person.suspend", target, params).await
}

/// `POST /console/persons/{id}/restore`: alone, or with all that fell with them.
pub(super) async fn restore(visit: &Visit, id: &str, deed: &Deed) -> Result<Response, DeskError> {
    let person = visit.person(id).await?;
    let mut params = json!({ "person": person.id });
    if deed.whole == "yes" {
        params["subtree"] = json!(true);
    }
    let target = person_target(&person.id, &person.display);
    ask(visit, "person.restore", target, params).await
}

/// `POST /console/persons/{id}/facts`: a fact, or the end of a role: kept until a day, or withdrawn now.
pub(super) async fn record(visit: &Visit, id: &str, deed: &Deed) -> Result<Response, DeskError> {
    let person = visit.person(id).await?;
    let mut fact = json!({ "person": person.id, "fact": deed.fact.trim() });
    if deed.withdraw == "yes" {
        let now = visit.desk().now().format(&Rfc3339);
        fact["until"] = json!(now.map_err(|_| DeskError::Misuse("time"))?);
    } else if !deed.until.is_empty() {
        fact["until"] = json!(deed.until);
    }
    let target = person_target(&person.id, &person.display);
    ask(visit, "facts.record", target, json!({ "facts": [fact] })).await
}

/// `POST /console/keys/{id}/revoke`
pub(super) async fn revoke(visit: &Visit, id: &str) -> Result<Response, DeskError> {
    let id: KeyId = id.parse().map_err(|_| DeskError::NotFound)?;
    let review = visit.desk().review(id).await?.ok_or(DeskError::NotFound)?;
    let owner = visit.person(review.key.person.as_str()).await?;
    let display = match review.key.label.as_str() {
        "" => owner.display,
        label => format!("{label} ({})", owner.display),
    };
    let target = Target {
        kind: "key".to_owned(),
        id: id.to_string(),
        display,
    };
    ask(visit, "key.revoke", target, json!({ "key_id": id })).await
}

/// `POST /console/persons/{id}/sessions`: one of theirs ends.
pub(super) async fn end_session(
    visit: &Visit,
    id: &str,
    deed: &Deed,
) -> Result<Response, DeskError> {
    let person = visit.person(id).await?;
    let session: SessionId = deed
        .id
        .parse()
        .map_err(|_| DeskError::Malformed("session"))?;
    let found = visit.desk().session_named(session).await?;
    let found = found
        .filter(|session| session.person == person.id)
        .ok_or(DeskError::NotFound)?;
    let target = Target {
        kind: "session".to_owned(),
        id: session.to_string(),
        display: format!("{} ({})", person.display, found.kind.as_str()),
    };
    ask(visit, "session.end", target, json!({ "session": session })).await
}
