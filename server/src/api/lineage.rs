//! `GET /v1/persons/{id}/lineage`: who descends from a person, and what suspending all of it would stop; `POST /v1/actions/{id}/begotten`:
//! a service that executes by itself says what came of it.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Json, Path, PersonCaller, Problem, Query, ServiceCaller};
use crate::desk::{Desk, DeskError};
use crate::id::{ActionId, PersonId};
use crate::lineage::{Begotten, MAX_BEGOTTEN, Relation, svg};

/// The most lines that one answer holds: the agent reads half a megabyte.
const MAX_LIMIT: usize = 1_000;

/// How much of it is wanted.
#[derive(Deserialize)]
pub(super) struct Extent {
    #[serde(default = "all")]
    limit: usize,
    #[serde(default)]
    svg: bool,
}

fn all() -> usize {
    MAX_LIMIT
}

/// The lineage of a person; for administrators, operators, and the person.
#[utoipa::path(get, path = "/v1/persons/{id}/lineage", params(("id" = String, Path), ("limit" = Option<usize>, Query), ("svg" = Option<bool>, Query)),
    responses((status = 200, description = "{\"person\",\"sha256\",\"totals\",\"nodes\",\"left_out\",\"svg\"?}", body = Object), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn show(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
    Path(id): Path<PersonId>,
    Query(extent): Query<Extent>,
) -> Result<axum::Json<Value>, Problem> {
    let caller = desk
        .person(&session.person)
        .await?
        .ok_or(Problem::not_found())?;
    let oversees = caller
        .roles
        .iter()
        .any(|role| matches!(role.as_str(), "administrator" | "operator"));
    if !oversees && caller.id != id {
        return Err(Problem::not_found());
    }
    let person = desk.person(&id).await?.ok_or(Problem::not_found())?;
    let lineage = desk
        .lineage(&id, extent.limit.min(MAX_LIMIT))
        .await?
        .ok_or(Problem::not_found())?;
    let mut body = json!(lineage);
    if let Some(body) = body.as_object_mut() {
        body.insert(
            "person".to_owned(),
            json!({ "id": person.id, "display": person.display, "state": person.state }),
        );
        if extent.svg {
            body.insert("svg".to_owned(), svg::draw(&lineage).into());
        }
    }
    Ok(axum::Json(body))
}

/// What came of an action that the service executed itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BegottenBody {
    /// Accounts that came to be.
    #[serde(default)]
    created: Vec<AccountBody>,
    /// Accounts that got a right.
    #[serde(default)]
    granted: Vec<AccountBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    id: String,
    #[serde(default)]
    display: Option<String>,
}

/// A service reports the accounts that an action of its own made, or gave rights to; once, after its permit was used.
#[utoipa::path(post, path = "/v1/actions/{id}/begotten", params(("id" = String, Path)), request_body = BegottenBody,
    responses((status = 204), (status = "4XX", body = super::problem::ProblemBody)))]
pub(super) async fn report(
    State(desk): State<Desk>,
    ServiceCaller(service): ServiceCaller,
    Path(id): Path<ActionId>,
    Json(body): Json<BegottenBody>,
) -> Result<StatusCode, Problem> {
    let said = |relation: Relation, accounts: Vec<AccountBody>| {
        accounts.into_iter().map(move |account| Begotten {
            relation,
            display: account.display.unwrap_or_else(|| account.id.clone()),
            id: Some(account.id),
        })
    };
    let begotten: Vec<Begotten> = said(Relation::Created, body.created)
        .chain(said(Relation::Granted, body.granted))
        .collect();
    let sound = |one: &Begotten| {
        one.display.len() <= 512
            && one
                .id
                .as_deref()
                .is_some_and(|id| crate::lineage::Node::account(service.clone(), id).is_some())
    };
    if begotten.is_empty() || begotten.len() > MAX_BEGOTTEN || !begotten.iter().all(sound) {
        return Err(DeskError::Malformed("created, granted").into());
    }
    desk.report_begotten(id, service, begotten).await?;
    Ok(StatusCode::NO_CONTENT)
}
