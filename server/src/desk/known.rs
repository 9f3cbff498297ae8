//! The facts that a policy decides from, loaded and counted under the writer's lock: what other requests of the same moment did is in them.

use super::{DeskError, Shared};
use crate::action::NewAction;
use crate::fact::TRAINING;
use crate::id::SessionId;
use crate::key::{KeyState, KeyType};
use crate::person::Person;
use crate::policy::{Facts, KeysAtHand, PersonFacts, SessionFacts, TargetFacts, Training};
use crate::store::{action, fact, key, person, session};
use crate::writer::{Fault, Tx};

/// What a policy may know of somebody.
pub(super) async fn known(tx: &mut Tx<'_>, person: &Person) -> Result<PersonFacts, Fault> {
    Ok(PersonFacts {
        organisation: person::organisation(tx.connection, &person.id).await?,
        ..PersonFacts::from(person)
    })
}

/// Everything that is known when `requester` asks for this.
pub(super) async fn facts(
    tx: &mut Tx<'_>,
    shared: &Shared,
    asked: &NewAction,
    requester: &Person,
    target: TargetFacts,
    asking: Option<SessionId>,
) -> Result<Facts, Fault> {
    let known = known(tx, requester).await?;
    let mut facts = Facts::bare(&asked.kind, asked.service.clone(), known, target, tx.now);
    facts.session = match asking {
        None => None,
        Some(id) => Some(session_facts(tx, id).await?),
    };
    let windows = action::windows(tx.connection, &requester.id, tx.now).await?;
    (facts.asked, facts.executed, facts.refused) =
        (windows.asked, windows.executed, windows.refused);
    facts.keys = keys_at_hand(tx, requester).await?;
    let recorded = fact::of_person(tx.connection, &requester.id).await?;
    facts.training = recorded
        .iter()
        .find(|(name, _)| *name == TRAINING)
        .map(|(_, until)| Training { until });
    facts.facts = recorded.holding(tx.now).map(str::to_owned).collect();
    facts.present = shared.hub.listens(&requester.id);
    Ok(facts)
}

async fn session_facts(tx: &mut Tx<'_>, id: SessionId) -> Result<SessionFacts, Fault> {
    let found = session::load(tx.connection, id, tx.now)
        .await?
        .ok_or(DeskError::NotFound)?;
    let opened = session::created_at(tx.connection, id)
        .await?
        .ok_or(DeskError::NotFound)?;
    Ok(SessionFacts {
        kind: found.kind.as_str().to_owned(),
        // Every session of ours was sealed by a key with PIN.
        acr: "eidas3".to_owned(),
        age: (tx.now - opened).whole_seconds(),
    })
}

async fn keys_at_hand(tx: &mut Tx<'_>, person: &Person) -> Result<KeysAtHand, Fault> {
    let mut at_hand = KeysAtHand::default();
    let keys = key::of_person(tx.connection, &person.id).await?;
    for key in keys.iter().filter(|key| key.state == KeyState::Live) {
        match key.credential.kind() {
            KeyType::Fido2 => at_hand.fido2 += 1,
            KeyType::Piv => at_hand.piv += 1,
        }
    }
    Ok(at_hand)
}
