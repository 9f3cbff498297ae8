//! Break-glass (attack 22): when the usual way is barred, a quorum of sealed keys lends one person a role for a short time, with the reason typed.
//! The policy says who may ask and how many keys must touch; everyone is alerted by the entry and by the review that appears at once before
//! those who may seal it; and until that review is sealed the glass is not opened again.

use serde_json::{Map, Value, json};
use time::Duration;

use super::known::facts;
use super::open::{about, birth};
use super::{DeskError, Shared, own};
use crate::action::{ActionRecord, NewAction, Target};
use crate::id::{ActionId, Role};
use crate::policy::{OWN_SERVICE, TargetFacts};
use crate::store::{fact, person};
use crate::writer::{Fault, Tx};

/// The longest that the glass stays open, in minutes.
const MAX_MINUTES: u64 = 240;

/// What an opening is for.
struct Opening {
    role: Role,
    minutes: u64,
}

impl Opening {
    fn read(params: &Map<String, Value>) -> Result<Self, DeskError> {
        let reason = own::text(params, "reason")?.trim();
        // A reason is a sentence that somebody reads afterwards.
        if !(10..=500).contains(&reason.chars().count()) {
            return Err(DeskError::Malformed("params.reason: 10 to 500 characters"));
        }
        let role = own::text(params, "role")?
            .parse()
            .map_err(|_| DeskError::Malformed("params.role"))?;
        let minutes = params
            .get("minutes")
            .and_then(Value::as_u64)
            .filter(|minutes| (1..=MAX_MINUTES).contains(minutes))
            .ok_or(DeskError::Malformed("params.minutes: 1 to 240"))?;
        Ok(Self { role, minutes })
    }
}

fn opening(params: &Map<String, Value>) -> Result<ActionId, DeskError> {
    own::text(params, "opening")?
        .parse()
        .map_err(|_| DeskError::Malformed("params.opening"))
}

/// Checks an opening or a review before it is asked for.
pub(super) async fn check(
    tx: &mut Tx<'_>,
    kind: &str,
    params: &Map<String, Value>,
) -> Result<(), Fault> {
    let waiting = fact::unreviewed(tx.connection).await?;
    if kind == "break-glass.review" {
        return match waiting {
            Some(waiting) if waiting == opening(params)? => Ok(()),
            _ => Err(DeskError::NotFound.into()),
        };
    }
    Opening::read(params)?;
    match waiting {
        Some(_) => Err(DeskError::ReviewFirst.into()),
        None => Ok(()),
    }
}

/// Does a sealed `break-glass.open`: the role is lent, everyone is told, the review is before those who may seal it.
pub(super) async fn open(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    if fact::unreviewed(tx.connection).await?.is_some() {
        // Two were asked for at one time, and the other one was opened first.
        let entry = about(tx, "break-glass.refused", record).datum("reason", "review-first");
        tx.append(entry, Some(record.id), &[]).await?;
        return Ok(json!({ "refused": "review-first" }));
    }
    let Opening { role, minutes } = Opening::read(params)?;
    let until = tx.now + Duration::minutes(i64::try_from(minutes).unwrap_or(1));
    let requester = person::load(tx.connection, &record.requester)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    fact::lend_role(tx.connection, &requester.id, &role, until).await?;
    fact::opened(
        tx.connection,
        record.id,
        &requester.id,
        &role,
        (tx.now, until),
    )
    .await?;
    let entry = about(tx, "alert.break-glass", record)
        .datum("role", role.as_str())
        .datum("minutes", minutes)
        .datum("approvals", record.approvals.len());
    tx.append(entry, Some(record.id), &[("person", requester.id.as_str())])
        .await?;
    let asked = NewAction {
        kind: "break-glass.review".to_owned(),
        service: OWN_SERVICE
            .parse()
            .map_err(|_| DeskError::Misuse("own service"))?,
        requester: requester.id.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: requester.id.to_string(),
            display: requester.display.clone(),
        },
        params: json!({ "opening": record.id, "role": role, "minutes": minutes })
            .as_object()
            .cloned()
            .unwrap_or_default(),
        request: None,
        words: None,
    };
    let about = TargetFacts::Thing {
        kind: asked.target.kind.clone(),
        id: asked.target.id.clone(),
    };
    let facts = facts(tx, shared, &asked, &requester, about, None).await?;
    let review = birth(tx, shared, &asked, &requester, None, facts).await?;
    Ok(json!({ "role": role, "minutes": minutes, "review": review.id }))
}

/// Does a sealed `break-glass.review`: the next opening is possible again.
pub(super) async fn review(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let opening = opening(params)?;
    if !fact::reviewed(tx.connection, opening, record.id).await? {
        return Err(DeskError::NotFound.into());
    }
    let entry = about(tx, "break-glass.reviewed", record).subject("opening", opening);
    tx.append(entry, Some(record.id), &[]).await?;
    Ok(json!({ "opening": opening }))
}
