//! The facts that a policy decides from, loaded and counted under the writer's lock: what other requests of the same moment did is in them.

use super::{DeskError, Shared};
use crate::action::{NewAction, Verification};
use crate::fact::TRAINING;
use crate::id::{ActionId, SessionId};
use crate::key::{Credential, KeyState, KeyType};
use crate::person::Person;
use crate::policy::{Facts, KeysAtHand, PersonFacts, SessionFacts, TargetFacts, Training};
use crate::provider::level::{Authentication, Grade, Level};
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
    facts.keys = keys_at_hand(tx, shared, requester).await?;
    recorded(tx, &mut facts).await?;
    facts.present = shared.hub.listens(&requester.id);
    Ok(facts)
}

async fn session_facts(tx: &mut Tx<'_>, id: SessionId) -> Result<SessionFacts, Fault> {
    let found = session::load(tx.connection, id, tx.now)
        .await?
        .ok_or(DeskError::NotFound)?;
    // Suspended or ended in the moment before: it asks for nothing.
    if !found.is_active() {
        return Err(DeskError::Forbidden.into());
    }
    let opened = session::created_at(tx.connection, id)
        .await?
        .ok_or(DeskError::NotFound)?;
    Ok(SessionFacts {
        kind: found.kind.as_str().to_owned(),
        acr: sign_in_level(tx, found.action).await?.as_str().to_owned(),
        age: (tx.now - opened).whole_seconds(),
    })
}

/// The level of the gesture that opened a session: its seal, or the registration of the key that came with it.
async fn sign_in_level(tx: &mut Tx<'_>, sealed_by: ActionId) -> Result<Level, Fault> {
    let Some((sealing, _)) = action::load(tx.connection, sealed_by).await? else {
        return Ok(Level::Eidas0);
    };
    let registered = || sealing.result.as_ref()?["key_id"].as_str()?.parse().ok();
    let key = match sealing.approvals.first() {
        Some(approval) => Some(approval.key_id),
        None => registered(),
    };
    let Some(key) = key else {
        return Ok(Level::Eidas0);
    };
    let Some(key) = key::load(tx.connection, key).await? else {
        return Ok(Level::Eidas0);
    };
    let gesture = Authentication {
        fresh: true,
        pin: key.credential.verification() == Verification::Pin,
        attested: !matches!(
            key.credential,
            Credential::Piv {
                attested: false,
                ..
            }
        ),
    };
    Ok(gesture.level(Grade::High))
}

/// What was known when it was asked for, with what may have changed since as it is now: the time, who requester and target are, what was recorded
/// of the requester, their keys, what of theirs was done and refused meanwhile. What they had asked for, and whether their workstation
/// listened, stays as it was: this action is among the former, and only one instance knows the latter.
pub(super) async fn refreshed(
    tx: &mut Tx<'_>,
    shared: &Shared,
    then: &Facts,
    requester: &Person,
) -> Result<Facts, Fault> {
    let mut facts = then.clone();
    facts.at = tx.now;
    facts.requester = known(tx, requester).await?;
    match &mut facts.target {
        // Of several persons' facts the target has the roles of all.
        TargetFacts::Person(about) if facts.action != "facts.record" => {
            if let Some(person) = person::load(tx.connection, &about.id).await? {
                *about = known(tx, &person).await?;
            }
        }
        TargetFacts::Key { owner, .. } => {
            if let Some(person) = person::load(tx.connection, &owner.id).await? {
                *owner = known(tx, &person).await?;
            }
        }
        TargetFacts::Person(_) | TargetFacts::Thing { .. } => {}
    }
    if let Some(session) = &mut facts.session {
        session.age += (tx.now - then.at).whole_seconds();
    }
    let windows = action::windows(tx.connection, &requester.id, tx.now).await?;
    (facts.executed, facts.refused) = (windows.executed, windows.refused);
    facts.keys = keys_at_hand(tx, shared, requester).await?;
    recorded(tx, &mut facts).await?;
    Ok(facts)
}

/// Training and other facts that are recorded of the requester, as they hold now.
async fn recorded(tx: &mut Tx<'_>, facts: &mut Facts) -> Result<(), Fault> {
    let recorded = fact::of_person(tx.connection, &facts.requester.id).await?;
    facts.training = recorded
        .iter()
        .find(|(name, _)| *name == TRAINING)
        .map(|(_, until)| Training { until });
    facts.facts = recorded.holding(tx.now).map(str::to_owned).collect();
    Ok(())
}

async fn keys_at_hand(
    tx: &mut Tx<'_>,
    shared: &Shared,
    person: &Person,
) -> Result<KeysAtHand, Fault> {
    let mut at_hand = KeysAtHand {
        wanted: i64::from(shared.policy.keys_wanted(&person.roles)),
        ..KeysAtHand::default()
    };
    for key in key::of_person(tx.connection, &person.id).await? {
        at_hand.given += 1;
        match (key.state, key.credential.kind()) {
            (KeyState::Live, KeyType::Fido2) => at_hand.fido2 += 1,
            (KeyState::Live, KeyType::Piv) => at_hand.piv += 1,
            (KeyState::Waiting, _) => at_hand.waiting += 1,
            _ => {}
        }
    }
    Ok(at_hand)
}
