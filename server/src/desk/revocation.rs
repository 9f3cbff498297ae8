//! The end of a key: it is revoked with a reason that a help desk knows, and what it opened ends with it. A key that was handed out in the place of
//! another ends that other one when it counts, and not before: nobody is locked out by a replacement, and nobody lets a key live on beside it.
//!
//! A revoked key never comes back; whoever needs one is enrolled anew, by the same ceremony as everybody (attack 22).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Desk, DeskError, own};
use crate::action::ActionRecord;
use crate::id::{ActionId, KeyId, PersonId, Role};
use crate::key::{KeyRecord, KeyState};
use crate::session::SessionState;
use crate::store::key::Held;
use crate::store::{self, action, key, session};
use crate::writer::{Fault, Tx};

/// Why a key is revoked, beside `revoked`: nobody said.
const REASONS: [&str; 5] = ["lost", "damaged", "pin-blocked", "replaced", "left"];

impl Desk {
    /// How many keys this person's roles want them to be given: 1, or 2 (main and spare).
    #[must_use]
    pub fn keys_wanted(&self, roles: &BTreeSet<Role>) -> u8 {
        self.inner.shared.policy.keys_wanted(roles)
    }

    /// Credentials of this model that are somebody's and not revoked, newest first, at most `limit`: what a help desk asks an authenticator for before
    /// it is erased. Whose they are is not told.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn held_of_model(&self, aaguid: &str, limit: i64) -> Result<Vec<Vec<u8>>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(store::key::held_of_model(&mut connection, aaguid, limit).await)
    }

    /// All keys of a person, whatever their state, oldest first: what a help desk looks at.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn held(&self, person: &PersonId) -> Result<Vec<Held>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(store::key::held(&mut connection, person).await)
    }
}

/// What a revocation came to.
pub(super) struct Revoked {
    /// Sessions that ended with the key.
    pub(super) sessions: usize,
    /// Its person has no key left that counts, or may come to count.
    pub(super) last: bool,
}

/// `params.reason` of `key.revoke`.
pub(super) fn reason(params: &Map<String, Value>) -> Result<&'static str, DeskError> {
    match params.get("reason") {
        None => Ok("revoked"),
        Some(said) => REASONS
            .into_iter()
            .find(|reason| said.as_str() == Some(reason))
            .ok_or(DeskError::Malformed("params.reason")),
    }
}

/// Does a sealed `key.revoke`.
pub(super) async fn sealed(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let id: KeyId = own::text(params, "key_id")?
        .parse()
        .map_err(|_| DeskError::Malformed("key_id"))?;
    let reason = reason(params)?;
    let found = key::load(tx.connection, id)
        .await?
        .ok_or(DeskError::NotFound)?;
    let ended = revoke(tx, &found, record.id, reason).await?;
    Ok(json!({ "key_id": id, "sessions": ended.sessions, "last": ended.last }))
}

/// Revokes a key for this action, and ends what it opened.
pub(super) async fn revoke(
    tx: &mut Tx<'_>,
    found: &KeyRecord,
    action: ActionId,
    reason: &str,
) -> Result<Revoked, Fault> {
    key::set_state(tx.connection, found.id, KeyState::Revoked, reason).await?;
    let mut opened = session::opened_by(tx.connection, found.id).await?;
    if let Some(registered) = registered_by(tx, found.id).await? {
        opened.extend(session::of_registration(tx.connection, registered).await?);
    }
    for id in &opened {
        session::set_state(tx.connection, *id, SessionState::Ended, None).await?;
    }
    let keys = key::of_person(tx.connection, &found.person).await?;
    let last = !keys
        .iter()
        .any(|key| matches!(key.state, KeyState::Live | KeyState::Waiting));
    let entry = tx
        .entry("key.revoked")
        .subject("key", found.id)
        .subject("action", action)
        .digest("key", found.record_sha256)
        .datum("reason", reason)
        .datum("sessions", opened.len())
        .datum("last", last);
    tx.append(entry, None, &[("person", found.person.as_str())])
        .await?;
    if !opened.is_empty() {
        tx.ended().await?;
    }
    Ok(Revoked {
        sessions: opened.len(),
        last,
    })
}

/// Whoever leaves comes back by a new enrolment, if at all: every key of theirs is revoked. How many there were.
pub(super) async fn revoke_all(
    tx: &mut Tx<'_>,
    person: &PersonId,
    action: ActionId,
) -> Result<usize, Fault> {
    let mut revoked = 0;
    for found in key::of_person(tx.connection, person).await? {
        if found.state != KeyState::Revoked {
            revoke(tx, &found, action, "left").await?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

/// A key counts from now on: the one in whose place it was handed out, if any, is revoked.
pub(super) async fn takes_its_place(
    tx: &mut Tx<'_>,
    new: &KeyRecord,
    action: ActionId,
) -> Result<(), Fault> {
    let Some(registered) = registered_by(tx, new.id).await? else {
        return Ok(());
    };
    let Some(enrolling) = session::enrolled_for(tx.connection, registered).await? else {
        return Ok(());
    };
    let (enrolment, _) = action::load(tx.connection, enrolling)
        .await?
        .ok_or(DeskError::Misuse("an invitation without its action"))?;
    let Some(old) = own::Invited::of(&enrolment)?.replaces else {
        return Ok(());
    };
    let old = key::load(tx.connection, old).await?;
    if let Some(old) = old.filter(|old| old.person == new.person && old.state != KeyState::Revoked)
    {
        revoke(tx, &old, action, "replaced").await?;
    }
    Ok(())
}

/// The `key.register` action that a key's registration answered, as its key record says.
async fn registered_by(tx: &mut Tx<'_>, id: KeyId) -> Result<Option<ActionId>, Fault> {
    use sceau_proof::evidence::{EnrolledKey, KeyRecord as Evidence};
    let Some(kept) = key::registration(tx.connection, id).await? else {
        return Ok(None);
    };
    let broken = || DeskError::Misuse("stored key record does not parse");
    let record: Value = serde_json::from_slice(&kept.record).map_err(|_| broken())?;
    let document = match Evidence::parse(&record).ok_or_else(broken)?.key {
        EnrolledKey::Fido2 { registration, .. } => registration.action,
        EnrolledKey::Piv { registration, .. } => registration.action,
    };
    let document: Value = serde_json::from_slice(&document).map_err(|_| broken())?;
    let id = document["id"].as_str().and_then(|id| id.parse().ok());
    Ok(Some(id.ok_or_else(broken)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_revoked_for_a_reason_that_a_desk_knows() {
        let read = |params: Value| reason(params.as_object().unwrap());
        assert_eq!(read(json!({})), Ok("revoked"));
        assert_eq!(read(json!({"reason": "pin-blocked"})), Ok("pin-blocked"));
        for odd in [json!("revoked"), json!("stolen by Bob"), json!(1)] {
            let refused = read(json!({ "reason": odd }));
            assert_eq!(refused, Err(DeskError::Malformed("params.reason")));
        }
    }
}
