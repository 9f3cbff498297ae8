//! The action object of docs/api.md, for one caller's eyes.

use serde_json::{Value, json};

use super::Problem;
use crate::action::ActionRecord;
use crate::desk::Desk;
use crate::id::PersonId;

/// Who looks.
pub(super) enum Eyes<'a> {
    /// The service that asked: it alone sees permits.
    Service,
    /// The requester: alone sees the result.
    Person(&'a PersonId),
}

/// The action object.
pub(super) fn action(
    desk: &Desk,
    record: &ActionRecord,
    eyes: &Eyes<'_>,
) -> Result<Value, Problem> {
    let permit = match eyes {
        Eyes::Service => record.permit.as_deref(),
        Eyes::Person(_) => None,
    };
    let result = match eyes {
        Eyes::Person(person) if **person == record.requester => record.result.clone(),
        _ => None,
    };
    Ok(json!({
        "action": document(record)?,
        "state": record.state,
        "requirement": record.requirement,
        "approvals": record.approvals,
        "refusal": record.refusal,
        "denial": denial(record),
        "permit": permit,
        "execution": record.execution,
        "result": result,
        "approve_url": format!("{}/actions/{}", desk.public_url(), record.id),
        "status_url": format!("/v1/actions/{}", record.id),
    }))
}

/// Why the policy said no, with its own words.
fn denial(record: &ActionRecord) -> Value {
    let mut denial = json!(record.denial);
    if let (Some(object), Some(decided)) = (denial.as_object_mut(), &record.decided) {
        object.insert("policies".to_owned(), json!(decided.policies));
        if let Some(words) = &decided.words {
            object.insert("words".to_owned(), json!(words));
        }
    }
    denial
}

/// The document as a JSON value. Canonical bytes parse to one value, which has one canonical form: readers derive the challenge from it.
pub(super) fn document(record: &ActionRecord) -> Result<Value, Problem> {
    serde_json::from_str(&record.document).map_err(|_| broken())
}

fn broken() -> Problem {
    Problem::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "internal")
}
