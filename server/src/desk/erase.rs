//! `person.erase`: what is readable about a person is deleted, what is proven stays. Executed in the transaction of its last approval, like every
//! other action of the server's own.
//!
//! Deleted: the openings of every entry's commitments to this person (identifier or name), the displayed name, the labels of the keys, their
//! identities at identity providers, and what the person wrote into refusals. Kept: entries (they hold commitments alone), and the documents that
//! were signed, which are evidence and have their own term of keeping. Only somebody who is suspended is erased: nobody acts without a name.

use serde_json::{Map, Value, json};

use super::own::text;
use super::{DeskError, Shared};
use crate::action::ActionRecord;
use crate::id::PersonId;
use crate::person::PersonState;
use crate::store::{identity, log, person};
use crate::writer::{Fault, Tx};

/// Stands where a name stood.
const ERASED: &str = "(erased)";

pub(super) async fn erase(
    tx: &mut Tx<'_>,
    _shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let id: PersonId = text(params, "person")?
        .parse()
        .map_err(|_| DeskError::Malformed("person"))?;
    let found = person::load(tx.connection, &id)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    if found.state != PersonState::Suspended {
        return Err(DeskError::Malformed("params.person is not suspended").into());
    }
    let openings = log::close(tx.connection, &[id.as_str(), found.display.as_str()]).await?;
    person::erase(tx.connection, &id, ERASED).await?;
    identity::erase(tx.connection, &id).await?;
    let entry = tx
        .entry("person.erased")
        .subject("action", record.id)
        .digest("action", record.sha256)
        .datum("openings", openings);
    tx.append(entry, Some(record.id), &[]).await?;
    Ok(json!({ "person": id, "openings": openings }))
}
