//! The server's own actions (service `sceau`), executed in the transaction of their last approval:
//! `session.open`, `key.enroll`, `key.revoke`, `session.end`, `person.suspend`, `person.restore`, `person.erase`. (`key.register` is executed by its registration.)

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::eligible::withdraw;
use super::open::about;
use super::settle::save;
use super::{DeskError, Shared, break_glass, fact, lineage, revocation};
use crate::action::{ActionRecord, Standing};
use crate::id::{EnrolmentId, KeyId, PersonId, Role};
use crate::lineage::Node;
use crate::person::{Person, PersonState};
use crate::session::SessionState;
use crate::store::session::{Invitation, InvitationState};
use crate::store::{person, session};
use crate::writer::{Fault, Tx};

/// A text parameter.
pub(super) fn text<'v>(
    params: &'v Map<String, Value>,
    name: &'static str,
) -> Result<&'v str, DeskError> {
    params
        .get(name)
        .and_then(Value::as_str)
        .ok_or(DeskError::Malformed(name))
}

/// `params.person` of `key.enroll`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invited {
    pub(super) id: PersonId,
    pub(super) display: Option<String>,
    pub(super) roles: BTreeSet<Role>,
    /// Accounts at services that are this person's.
    pub(super) accounts: Vec<Node>,
    pub(super) organisation: Option<String>,
    /// The key waits for its person's own first use.
    pub(super) first_use: bool,
    /// The kind of paper that was looked at.
    pub(super) document: Option<String>,
    /// A key of theirs in whose place the new one is handed out; it is revoked once the new one counts.
    pub(super) replaces: Option<KeyId>,
    /// SHA-256 of the secret for which alone the invitation is shown; without it, for the requester's session.
    pub(super) handover: Option<[u8; 32]>,
}

/// Documents that a person may have shown at a help desk: the kind is recorded, never a number.
const DOCUMENTS: [&str; 5] = [
    "identity-card",
    "passport",
    "residence-permit",
    "driving-licence",
    "staff-card",
];

impl Invited {
    /// Of a stored `key.enroll`.
    pub(super) fn of(record: &ActionRecord) -> Result<Self, DeskError> {
        let document: Value = serde_json::from_str(&record.document)
            .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
        let none = Map::new();
        Self::read(document["params"].as_object().unwrap_or(&none))
    }

    pub(super) fn read(params: &Map<String, Value>) -> Result<Self, DeskError> {
        let person = params
            .get("person")
            .and_then(Value::as_object)
            .ok_or(DeskError::Malformed("params.person"))?;
        let id = text(person, "id")?
            .parse()
            .map_err(|_| DeskError::Malformed("params.person.id"))?;
        let display = match person.get("display") {
            None => None,
            Some(Value::String(display)) => Some(display_name(display)?),
            Some(_) => return Err(DeskError::Malformed("params.person.display")),
        };
        let mut roles = BTreeSet::new();
        let named = match person.get("roles") {
            None => &[],
            Some(Value::Array(named)) if named.len() <= 32 => named.as_slice(),
            Some(_) => return Err(DeskError::Malformed("params.person.roles")),
        };
        for role in named {
            let role = role
                .as_str()
                .and_then(|role| role.parse().ok())
                .ok_or(DeskError::Malformed("params.person.roles"))?;
            roles.insert(role);
        }
        let mut accounts = Vec::new();
        let listed = match person.get("accounts") {
            None => &[],
            Some(Value::Array(listed)) if listed.len() <= 32 => listed.as_slice(),
            Some(_) => return Err(DeskError::Malformed("params.person.accounts")),
        };
        for account in listed {
            let part = |name: &str| account.get(name).and_then(Value::as_str);
            let account = part("service")
                .and_then(|service| service.parse().ok())
                .zip(part("id"))
                .and_then(|(service, id)| Node::account(service, id))
                .ok_or(DeskError::Malformed("params.person.accounts"))?;
            accounts.push(account);
        }
        let organisation = match person.get("organisation") {
            None => None,
            Some(Value::String(text)) if is_siret(text) => Some(text.clone()),
            Some(_) => return Err(DeskError::Malformed("params.person.organisation")),
        };
        let document = match person.get("identity_document") {
            None => None,
            Some(Value::String(kind)) if DOCUMENTS.contains(&kind.as_str()) => Some(kind.clone()),
            Some(_) => return Err(DeskError::Malformed("params.person.identity_document")),
        };
        let replaces = match person.get("replaces") {
            None => None,
            Some(key) => {
                let key = key.as_str().and_then(|key| key.parse().ok());
                Some(key.ok_or(DeskError::Malformed("params.person.replaces"))?)
            }
        };
        let first_use = match person.get("first_use") {
            None => false,
            Some(Value::Bool(first_use)) => *first_use,
            Some(_) => return Err(DeskError::Malformed("params.person.first_use")),
        };
        let handover = match params.get("handover") {
            None => None,
            Some(digest) => {
                let digest = digest.as_str().map(sceau_proof::base64url::decode_array);
                let malformed = DeskError::Malformed("params.handover");
                match digest {
                    Some(Ok(digest)) => Some(digest),
                    _ => return Err(malformed),
                }
            }
        };
        Ok(Self {
            id,
            display,
            roles,
            accounts,
            organisation,
            first_use,
            document,
            replaces,
            handover,
        })
    }
}

/// 14 digits with Luhn's checksum. (La Poste's establishments have another one, and none of them hires here.)
fn is_siret(text: &str) -> bool {
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            let twice = digit * 2;
            match at % 2 {
                0 => digit,
                _ if twice > 9 => twice - 9,
                _ => twice,
            }
        })
        .sum();
    text.len() == 14 && text.bytes().all(|b| b.is_ascii_digit()) && sum.is_multiple_of(10)
}

/// A person's name: bounded, no control characters.
pub(super) fn display_name(text: &str) -> Result<String, DeskError> {
    if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(DeskError::Malformed("display"));
    }
    Ok(text.to_owned())
}

/// Does what was approved.
pub(super) async fn execute(
    tx: &mut Tx<'_>,
    shared: &Shared,
    mut record: ActionRecord,
    standing: Standing,
) -> Result<ActionRecord, Fault> {
    let document: Value = serde_json::from_str(&record.document)
        .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
    let none = Map::new();
    let params = document
        .get("params")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    match done(tx, shared, &record, params).await {
        Ok(result) => {
            record.result = Some(result);
            executed(tx, shared, record, standing).await
        }
        // What it was about is gone since it was asked for. The approval is written already, and stays: it ends refused, and says so.
        Err(Fault::Refused(DeskError::NotFound | DeskError::UnknownPerson)) => {
            withdraw(tx, shared, record, standing, "cannot-be-done").await
        }
        Err(fault) => Err(fault),
    }
}

/// Does it, and gives what came of it. A no comes before the first write.
async fn done(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    match record.kind.as_str() {
        "session.open" => seal_session(tx, shared, record, params).await,
        "key.enroll" => enroll(tx, shared, record, params).await,
        "key.revoke" => revocation::sealed(tx, record, params).await,
        "session.end" => super::sign_in::end(tx, record, params).await,
        "person.suspend" => lineage::suspend(tx, shared, record, params).await,
        "person.restore" => lineage::restore(tx, record, params).await,
        "facts.record" => fact::seal(tx, record, params).await,
        "break-glass.open" => break_glass::open(tx, shared, record, params).await,
        "break-glass.review" => break_glass::review(tx, record, params).await,
        "person.erase" => super::erase::erase(tx, shared, record, params).await,
        _ => Err(DeskError::Misuse("no such action of ours").into()),
    }
}

/// Approved and done in one step.
pub(super) async fn executed(
    tx: &mut Tx<'_>,
    shared: &Shared,
    mut record: ActionRecord,
    standing: Standing,
) -> Result<ActionRecord, Fault> {
    let standing = standing.start(tx.now)?.finish(true)?;
    let entry = about(tx, "action.executed", &record);
    tx.append(entry, Some(record.id), &[]).await?;
    record.execution = Some(crate::action::Execution {
        started_at: tx.now,
        finished_at: Some(tx.now),
        upstream_status: None,
        failure: None,
    });
    save(tx, shared, record, standing).await
}

async fn seal_session(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    super::identity::sealed(tx, record, params).await?;
    let id = session::of_action(tx.connection, record.id)
        .await?
        .ok_or(DeskError::Misuse("sign-in without session"))?;
    let until = tx.now + shared.session_lifetime.0;
    session::set_state(tx.connection, id, SessionState::Active, Some(until)).await?;
    super::presence::begin(tx, shared, record, id).await?;
    let entry = tx
        .entry("session.opened")
        .subject("session", id)
        .subject("action", record.id);
    tx.append(entry, None, &[("person", record.requester.as_str())])
        .await?;
    Ok(json!({ "session_id": id }))
}

async fn enroll(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let invited = Invited::read(params)?;
    let is_new = person::load(tx.connection, &invited.id).await?.is_none();
    if is_new {
        let created = Person {
            id: invited.id.clone(),
            display: invited
                .display
                .ok_or(DeskError::Misuse("new person without name"))?,
            roles: invited.roles,
            state: PersonState::Inert,
            parent: Some(record.requester.clone()),
        };
        person::insert(tx.connection, &created, tx.now).await?;
        if let Some(siret) = &invited.organisation {
            person::set_organisation(tx.connection, &created.id, siret).await?;
        }
        let roles: Vec<&str> = created.roles.iter().map(Role::as_str).collect();
        let entry = tx
            .entry("person.created")
            .subject("action", record.id)
            .datum("roles", json!(roles));
        let personal = [
            ("person", created.id.as_str()),
            ("parent", record.requester.as_str()),
        ];
        tx.append(entry, None, &personal).await?;
    }
    lineage::enrolled(tx, record, &invited.id, is_new).await?;
    lineage::belongs(tx, record, &invited.id, &invited.accounts).await?;
    let invitation = Invitation {
        id: EnrolmentId(tx.ports.uuid(tx.now)?),
        person: invited.id,
        state: InvitationState::New,
        enroll_action: Some(record.id),
        action: None,
        expires_at: tx.now + shared.invitation_lifetime.0,
    };
    session::insert_invitation(tx.connection, &invitation, None, tx.now).await?;
    Ok(json!({ "enrolment_id": invitation.id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Invited, DeskError> {
        Invited::read(value.as_object().unwrap())
    }

    #[test]
    fn an_invited_person_is_named_plainly() {
        let invited = read(
            json!({"person": {"id": "bmartin", "display": "Benoît Martin", "roles": ["manager"], "organisation": "73282932000074"}}),
        )
        .unwrap();
        assert_eq!(invited.roles.len(), 1);
        for (person, what) in [
            (json!({"id": "b martin"}), "params.person.id"),
            (json!({"id": "b", "display": "a\nb"}), "display"),
            (json!({"id": "b", "display": ""}), "display"),
            (
                json!({"id": "b", "organisation": "12345678901234"}),
                "params.person.organisation",
            ),
            (
                json!({"id": "b", "roles": "manager"}),
                "params.person.roles",
            ),
            (json!({"id": "b", "roles": [1]}), "params.person.roles"),
            (
                json!({"id": "b", "identity_document": "X4RTBPFW4"}),
                "params.person.identity_document",
            ),
            (
                json!({"id": "b", "replaces": "its old one"}),
                "params.person.replaces",
            ),
            (
                json!({"id": "b", "first_use": 1}),
                "params.person.first_use",
            ),
        ] {
            assert_eq!(
                read(json!({ "person": person })),
                Err(DeskError::Malformed(what))
            );
        }
        assert_eq!(read(json!({})), Err(DeskError::Malformed("params.person")));
    }
}
