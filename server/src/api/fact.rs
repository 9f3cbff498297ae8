//! Facts that expire: `POST /v1/facts` (asks for the sealed `facts.record`), `GET /v1/persons/{id}/facts`, `GET /v1/recertifications`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::view::Eyes;
use super::{Json, Path, PersonCaller, Problem, action};
use crate::action::{Caller, NewAction, Target};
use crate::desk::Desk;
use crate::id::PersonId;
use crate::person::Person;
use crate::policy::OWN_SERVICE;

/// How far back campaigns are told.
const CAMPAIGNS: Duration = Duration::days(400);

/// What is to be recorded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FactsBody {
    facts: Vec<FactBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FactBody {
    #[schema(value_type = String)]
    person: PersonId,
    /// A word, or `role:NAME`, whose end it is.
    fact: String,
    /// A day (through its end, UTC) or an instant; absent: it does not end by itself.
    #[serde(default)]
    until: Option<String>,
}

/// Asks for the action `facts.record`: nothing is recorded before it is sealed as the policy says.
#[utoipa::path(post, path = "/v1/facts", request_body = FactsBody,
    responses((status = 201, description = "the action object", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn record(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Json(asked): Json<FactsBody>,
) -> Result<Response, Problem> {
    let first = asked.facts.first().map(|fact| fact.person.clone());
    let known = match &first {
        Some(id) => desk.person(id).await?,
        None => None,
    };
    let facts: Vec<Value> = asked
        .facts
        .iter()
        .map(|fact| match &fact.until {
            Some(until) => json!({ "person": fact.person, "fact": fact.fact, "until": until }),
            None => json!({ "person": fact.person, "fact": fact.fact }),
        })
        .collect();
    let asked = NewAction {
        kind: "facts.record".to_owned(),
        service: OWN_SERVICE.parse().map_err(|_| Problem::not_found())?,
        requester: session.person.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: first.map_or_else(|| "nobody".to_owned(), |id| id.to_string()),
            display: known.map(|person| person.display).unwrap_or_default(),
        },
        params: Map::from_iter([("facts".to_owned(), Value::Array(facts))]),
        request: None,
        words: None,
    };
    let caller = Caller::Person {
        person: session.person.clone(),
        session: session.id,
    };
    let record = desk.open_action(asked, caller).await?;
    action::created(&desk, &record, &Eyes::Person(&session.person))
}

/// Whether somebody keeps the house, and may see what is recorded of others.
fn oversees(person: &Person) -> bool {
    person
        .roles
        .iter()
        .any(|role| matches!(role.as_str(), "administrator" | "operator" | "security"))
}

fn instant(at: Option<OffsetDateTime>) -> Option<String> {
    at.and_then(|at| at.format(&Rfc3339).ok())
}

/// What is recorded of a person, whether it holds or not; for whoever keeps the house, and the person.
#[utoipa::path(get, path = "/v1/persons/{id}/facts", params(("id" = String, Path)),
    responses((status = 200, description = "{\"person\",\"facts\":[{\"fact\",\"until\",\"holds\"}]}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Path(id): Path<PersonId>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = desk.person(&session.person).await?;
    let person = desk.person(&id).await?.ok_or(Problem::not_found())?;
    if caller.is_none_or(|caller| caller.id != id && !oversees(&caller)) {
        return Err(Problem::not_found());
    }
    let (recorded, ends) = (desk.facts(&id).await?, desk.role_ends(&id).await?);
    let now = desk.now();
    let facts = recorded.iter().map(|(name, until)| {
        json!({ "fact": name, "until": instant(until), "holds": recorded.holds(name, now) })
    });
    let roles = ends.iter().map(|(role, until)| {
        let holds = until.is_none_or(|until| now < until);
        json!({ "fact": format!("role:{role}"), "until": instant(*until), "holds": holds })
    });
    let all: Vec<Value> = facts.chain(roles).collect();
    Ok(axum::Json(json!({ "person": person.id, "facts": all })))
}

/// The recertification campaigns of the last year, each with whom it is about and what became of them; for whoever keeps the house.
#[utoipa::path(get, path = "/v1/recertifications",
    responses((status = 200, description = "[{\"id\",\"role\",\"opened_at\",\"due\",\"closed_at\",\"holders\"}]", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn campaigns(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
) -> Result<axum::Json<Value>, Problem> {
    let caller = desk.person(&session.person).await?;
    if !caller.is_some_and(|caller| oversees(&caller)) {
        return Err(Problem::not_found());
    }
    let since = desk.now() - CAMPAIGNS;
    Ok(axum::Json(json!(desk.campaigns(since).await?)))
}
