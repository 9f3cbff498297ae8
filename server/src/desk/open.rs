//! Writing down what is asked: the document with its identifier, times and nonce, what the policy says of it, and who is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use sceau_proof::action::Action;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::known::{facts, known};
use super::publication::is_withheld;
use super::{DeskError, Shared, digest};
use crate::action::{
    ActionRecord, Approvers, Caller, DecisionRecord, NewAction, Settlement, Standing, State,
};
use crate::hub::Notice;
use crate::id::{ActionId, PersonId, SessionId};
use crate::key::{KeyRecord, KeyState};
use crate::person::{Person, PersonState};
use crate::policy::{Decision, Facts, OWN_SERVICE, PersonFacts, Reason, TargetFacts};
use crate::rate::{Limited, one_more};
use crate::store::{action, key, person};
use crate::writer::{Command, Fault, Tx};

/// Longest received texts, in bytes.
const MAX_DISPLAY: usize = 512;
const MAX_WORDS: usize = 2000;

/// `Desk::open_action`. A limited request is an output, not a fault: it may leave an alert.
pub(super) struct OpenAction {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: NewAction,
    pub(super) caller: Caller,
}

impl Command for OpenAction {
    type Output = Result<ActionRecord, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let session = self.check_caller()?;
        bounded(&self.asked)?;
        let requester = person::load(tx.connection, &self.asked.requester)
            .await?
            .ok_or(DeskError::UnknownPerson)?;
        if let Err(limited) = self.shared.limited(tx, &requester.id, false).await? {
            return Ok(Err(limited));
        }
        let target = if self.asked.service.as_str() == OWN_SERVICE {
            own_target(tx, &self.asked, &requester).await?
        } else {
            TargetFacts::Thing {
                kind: self.asked.target.kind.clone(),
                id: self.asked.target.id.clone(),
            }
        };
        let facts = facts(tx, &self.shared, &self.asked, &requester, target, session).await?;
        let born = birth(tx, &self.shared, &self.asked, &requester, session, facts).await?;
        Ok(Ok(born))
    }
}

impl OpenAction {
    /// Who may ask what: services at themselves, persons for themselves at the server's own service.
    fn check_caller(&self) -> Result<Option<SessionId>, DeskError> {
        let asked = &self.asked;
        match &self.caller {
            Caller::Service(service) if *service == asked.service => Ok(None),
            Caller::Gate { service, session } if *service == asked.service => Ok(Some(*session)),
            Caller::Person { person, session }
                if *person == asked.requester
                    && asked.service.as_str() == OWN_SERVICE
                    && !matches!(asked.kind.as_str(), "session.open" | "key.register") =>
            {
                Ok(Some(*session))
            }
            _ => Err(DeskError::Forbidden),
        }
    }
}

fn bounded(asked: &NewAction) -> Result<(), DeskError> {
    let kind = &asked.kind;
    if kind.is_empty()
        || kind.len() > 64
        || !kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    {
        return Err(DeskError::Malformed("type"));
    }
    let target = &asked.target;
    if target.kind.is_empty()
        || target.kind.len() > 64
        || target.id.is_empty()
        || target.id.len() > 256
        || target.display.len() > MAX_DISPLAY
    {
        return Err(DeskError::Malformed("target"));
    }
    let words = asked
        .words
        .iter()
        .flat_map(|words| [&words.fr, &words.en])
        .flatten();
    if words.into_iter().any(|words| words.len() > MAX_WORDS) {
        return Err(DeskError::Malformed("words"));
    }
    Ok(())
}

/// Checks the parameters of one of the server's own actions, and gives whom or what it is about.
async fn own_target(
    tx: &mut Tx<'_>,
    asked: &NewAction,
    requester: &Person,
) -> Result<TargetFacts, Fault> {
    match asked.kind.as_str() {
        "key.enroll" => {
            let invited = super::own::Invited::read(&asked.params)?;
            if let Some(old) = invited.replaces {
                let old = key::load(tx.connection, old).await?;
                let is_theirs =
                    |old: &KeyRecord| old.person == invited.id && old.state != KeyState::Revoked;
                if !old.as_ref().is_some_and(is_theirs) {
                    return Err(DeskError::Malformed(
                        "params.person.replaces is not a key of theirs",
                    )
                    .into());
                }
            }
            if let Some(person) = person::load(tx.connection, &invited.id).await? {
                if person.state == PersonState::Suspended {
                    return Err(DeskError::Malformed("params.person is suspended").into());
                }
                if !invited.roles.is_empty() && invited.roles != person.roles {
                    return Err(
                        DeskError::Malformed("params.person.roles of someone who exists").into(),
                    );
                }
                return Ok(TargetFacts::Person(known(tx, &person).await?));
            }
            if invited.display.is_none() {
                return Err(DeskError::Malformed("params.person.display").into());
            }
            Ok(TargetFacts::Person(PersonFacts {
                id: invited.id,
                roles: invited.roles,
                state: PersonState::Inert,
                organisation: invited.organisation,
            }))
        }
        "key.revoke" => {
            super::revocation::reason(&asked.params)?;
            let id = super::own::text(&asked.params, "key_id")?
                .parse()
                .map_err(|_| DeskError::Malformed("params.key_id"))?;
            let owner = key::load(tx.connection, id)
                .await?
                .ok_or(DeskError::NotFound)?
                .person;
            let owner = person::load(tx.connection, &owner)
                .await?
                .ok_or(DeskError::UnknownPerson)?;
            Ok(TargetFacts::Key {
                id,
                owner: known(tx, &owner).await?,
            })
        }
        "session.end" => {
            let owner = super::sign_in::to_end(tx, &asked.params).await?.person;
            let owner = person::load(tx.connection, &owner)
                .await?
                .ok_or(DeskError::UnknownPerson)?;
            Ok(TargetFacts::Person(known(tx, &owner).await?))
        }
        "person.erase" => {
            let id: PersonId = super::own::text(&asked.params, "person")?
                .parse()
                .map_err(|_| DeskError::Malformed("params.person"))?;
            let person = person::load(tx.connection, &id)
                .await?
                .ok_or(DeskError::UnknownPerson)?;
            Ok(TargetFacts::Person(known(tx, &person).await?))
        }
        "person.suspend" | "person.restore" => {
            let id =
                super::lineage::check(tx, &asked.kind, &asked.params, &asked.requester).await?;
            let person = person::load(tx.connection, &id)
                .await?
                .ok_or(DeskError::UnknownPerson)?;
            Ok(TargetFacts::Person(known(tx, &person).await?))
        }
        "facts.record" => {
            let changes = super::fact::read(&asked.params)?;
            super::fact::possible(tx, &changes).await?;
            // Several persons are one target, with the roles of all of them: what any of them needs, all need.
            let first = changes
                .first()
                .ok_or(DeskError::Malformed("params.changes"))?;
            let mut about = PersonFacts {
                id: first.person.clone(),
                roles: BTreeSet::new(),
                state: PersonState::Active,
                organisation: None,
            };
            for change in &changes {
                if let Some(person) = person::load(tx.connection, &change.person).await? {
                    about.roles.extend(person.roles);
                }
                if change.person != requester.id {
                    about.id = change.person.clone();
                }
            }
            Ok(TargetFacts::Person(about))
        }
        "break-glass.open" | "break-glass.review" => {
            super::break_glass::check(tx, &asked.kind, &asked.params).await?;
            Ok(TargetFacts::Thing {
                kind: asked.target.kind.clone(),
                id: asked.target.id.clone(),
            })
        }
        _ => Ok(TargetFacts::Person(known(tx, requester).await?)),
    }
}

impl Shared {
    /// Whether one more may be put before this person; the first no of a window leaves an alert.
    pub(super) async fn limited(
        &self,
        tx: &mut Tx<'_>,
        requester: &PersonId,
        sign_in: bool,
    ) -> Result<Result<(), DeskError>, Fault> {
        let window = self.limits.window.0;
        let counts =
            action::recent(tx.connection, requester, sign_in, tx.now - window, tx.now).await?;
        let Err(limited) = one_more(self.limits, counts) else {
            return Ok(Ok(()));
        };
        self.alert_limited(tx, requester, limited).await?;
        Ok(Err(DeskError::Limited {
            retry_after: self.limits.window.as_std(),
        }))
    }

    async fn alert_limited(
        &self,
        tx: &mut Tx<'_>,
        requester: &PersonId,
        limited: Limited,
    ) -> Result<(), Fault> {
        let due = {
            let mut alerts = self
                .alerts
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let due = alerts
                .get(requester)
                .is_none_or(|last| tx.now - *last >= self.limits.window.0);
            if due {
                alerts.insert(requester.clone(), tx.now);
            }
            due
        };
        if due {
            let (alerts, person) = (Arc::clone(&self.alerts), requester.clone());
            tx.unless_committed(move || {
                alerts
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .remove(&person);
            });
            let entry = tx.entry("alert.limited").datum("reason", limited.as_str());
            tx.append(entry, None, &[("person", requester.as_str())])
                .await?;
        }
        Ok(())
    }
}

/// Gives an action its identifier, times and nonce, writes it with its entry, and tells whoever may approve it.
pub(super) async fn birth(
    tx: &mut Tx<'_>,
    shared: &Shared,
    asked: &NewAction,
    requester: &Person,
    session: Option<SessionId>,
    facts: Facts,
) -> Result<ActionRecord, Fault> {
    let mut decided = shared.policy.decide(&facts);
    let own = asked.service.as_str() == OWN_SERVICE;
    decided.decision = shared.press.demand(decided.decision, &asked.kind, own);
    let created_at = tx.now.replace_nanosecond(0).unwrap_or(tx.now);
    let lifetime = match &decided.decision {
        Decision::Require(_, lifetime) | Decision::Allow(_, lifetime) => *lifetime,
        Decision::Deny(_) => Duration::minutes(1),
    };
    let expires_at = created_at + lifetime;
    let id = ActionId(tx.ports.uuid(tx.now)?);
    let document = document(
        id,
        asked,
        requester,
        created_at,
        expires_at,
        &tx.ports.bytes()?,
    )?;
    let (standing, requirement, denial) = match decided.decision {
        Decision::Require(requirement, _) => {
            (Standing::pending(expires_at), Some(requirement), None)
        }
        Decision::Allow(requirement, _) => (Standing::allowed(expires_at), Some(requirement), None),
        Decision::Deny(reason) => (
            Standing::denied(expires_at),
            None,
            Some(settled(&reason, tx.now)),
        ),
    };
    let mut record = ActionRecord {
        id,
        kind: asked.kind.clone(),
        service: asked.service.clone(),
        requester: requester.id.clone(),
        session,
        document: Arc::from(document.canonical_text()),
        sha256: document.sha256(),
        state: standing.state(),
        requirement,
        approvals: Vec::new(),
        refusal: None,
        denial,
        decided: Some(DecisionRecord {
            policies: decided.policies,
            words: decided.words,
            facts,
        }),
        permit: None,
        execution: None,
        result: None,
        created_at,
        expires_at,
    };
    action::insert(tx.connection, &record).await?;
    let kind = if record.denial.is_some() {
        "action.denied"
    } else {
        "action.requested"
    };
    let mut entry = about(tx, kind, &record)
        .digest("policy", shared.policy_sha256)
        .digest("decision", digest(&record.decision())?);
    if let Some(decided) = record.decided.as_ref().filter(|it| !it.policies.is_empty()) {
        entry = entry.datum("policies", json!(decided.policies));
    }
    if let Some(denial) = &record.denial {
        entry = entry.datum("reason", denial.reason.as_str());
    }
    tx.append(entry, Some(id), &[("person", requester.id.as_str())])
        .await?;
    if record.state == State::Approved && !is_withheld(record.requirement.as_ref()) {
        record.permit = Some(super::execute::permit(tx, shared, &record).await?);
        action::update(tx.connection, &record, None, &shared.instance).await?;
    }
    let audience = audience(tx, &record).await?;
    tx.notice(Notice {
        action: id,
        audience,
    });
    Ok(record)
}

fn settled(reason: &Reason, at: OffsetDateTime) -> Settlement {
    Settlement {
        reason: reason.as_str().to_owned(),
        by: None,
        at,
        text: None,
    }
}

/// An entry about this action: its name and the digest of its document.
pub(super) fn about(tx: &Tx<'_>, kind: &str, record: &ActionRecord) -> sceau_proof::log::Entry {
    tx.entry(kind)
        .subject("action", record.id)
        .digest("action", record.sha256)
}

/// Whose inbox shows this action: the requester, and holders of the roles.
pub(super) async fn audience(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
) -> Result<Vec<PersonId>, Fault> {
    let mut audience = vec![record.requester.clone()];
    if record
        .requirement
        .as_ref()
        .is_some_and(|requirement| requirement.approvers == Approvers::Roles)
    {
        audience.extend(person::role_holders(tx.connection, record.id).await?);
    }
    Ok(audience)
}

fn document(
    id: ActionId,
    asked: &NewAction,
    requester: &Person,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    nonce: &[u8; 32],
) -> Result<Action, DeskError> {
    let instant =
        |time: OffsetDateTime| time.format(&Rfc3339).map_err(|_| DeskError::Misuse("time"));
    let mut document = Map::new();
    document.insert("v".to_owned(), json!(1));
    document.insert("id".to_owned(), json!(id));
    document.insert("type".to_owned(), json!(asked.kind));
    document.insert("service".to_owned(), json!(asked.service));
    document.insert(
        "requester".to_owned(),
        json!({ "id": requester.id, "display": requester.display }),
    );
    document.insert("target".to_owned(), json!(asked.target));
    document.insert("params".to_owned(), Value::Object(asked.params.clone()));
    if let Some(request) = &asked.request {
        document.insert("request".to_owned(), json!(request));
    }
    if let Some(words) = &asked.words {
        document.insert("words".to_owned(), json!(words));
    }
    document.insert("created_at".to_owned(), json!(instant(created_at)?));
    document.insert("expires_at".to_owned(), json!(instant(expires_at)?));
    document.insert(
        "nonce".to_owned(),
        json!(sceau_proof::base64url::encode(nonce)),
    );
    let bytes = serde_json::to_vec(&document).map_err(|_| DeskError::Malformed("params"))?;
    Action::parse(&bytes).map_err(|error| DeskError::Malformed(error.reason()))
}
