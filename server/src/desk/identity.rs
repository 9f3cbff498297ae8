//! Identities at identity providers: a log-in that the gate has verified belongs to a person, because that person's own key sealed it once.
//!
//! The claim is part of the sign-in's action, so the key seals it each time; the first time it makes the identity that person's, in the same transaction.

use serde_json::{Map, Value, json};

use super::own::text;
use super::{Desk, DeskError};
use crate::action::{ActionRecord, Words};
use crate::gate::login::token::Identity;
use crate::gate::meaning::shown;
use crate::id::PersonId;
use crate::store::identity;
use crate::writer::{Fault, Tx};

/// A log-in that the gate has verified, for a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginClaim {
    /// The issuer.
    pub issuer: String,
    /// The identity provider behind it.
    pub idp_id: String,
    /// The person, as the issuer calls them.
    pub sub: String,
    /// The level that was reached.
    pub acr: String,
    /// For people to read.
    pub email: Option<String>,
}

impl LoginClaim {
    fn identity(&self) -> Identity {
        Identity {
            issuer: self.issuer.clone(),
            idp_id: self.idp_id.clone(),
            sub: self.sub.clone(),
        }
    }

    /// As the action's parameter.
    pub(super) fn to_json(&self) -> Value {
        json!({"issuer": self.issuer, "idp_id": self.idp_id, "sub": self.sub, "acr": self.acr, "email": self.email})
    }

    fn read(params: &Map<String, Value>) -> Result<Option<Self>, DeskError> {
        let Some(login) = params.get("login") else {
            return Ok(None);
        };
        let login = login
            .as_object()
            .ok_or(DeskError::Malformed("params.login"))?;
        Ok(Some(Self {
            issuer: text(login, "issuer")?.to_owned(),
            idp_id: text(login, "idp_id")?.to_owned(),
            sub: text(login, "sub")?.to_owned(),
            acr: text(login, "acr")?.to_owned(),
            email: login
                .get("email")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }))
    }

    /// What the person reads before they seal it.
    pub(super) fn words(&self, is_new: bool) -> Words {
        let account = shown(self.email.as_deref().unwrap_or(&self.sub));
        let provider = shown(&self.idp_id);
        let name = if is_new {
            "gate-login-action-new"
        } else {
            "gate-login-action"
        };
        Words::of(
            name,
            &[("account", account.into()), ("provider", provider.into())],
        )
    }
}

impl Desk {
    /// Whose identity it is; `None` while it is nobody's.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn person_of(&self, identity: &Identity) -> Result<Option<PersonId>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(identity::person_of(&mut connection, identity).await)
    }
}

/// Whether this person may sign in with that log-in: the words, or nothing when the identity is somebody else's.
pub(super) async fn may_claim(
    tx: &mut Tx<'_>,
    claim: &LoginClaim,
    person: &PersonId,
) -> Result<Option<Words>, Fault> {
    let owner = identity::person_of(tx.connection, &claim.identity()).await?;
    Ok(match owner {
        Some(owner) if owner != *person => None,
        owner => Some(claim.words(owner.is_none())),
    })
}

/// A sign-in with a log-in was sealed: the identity is that person's from now on.
pub(super) async fn sealed(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    params: &Map<String, Value>,
) -> Result<(), Fault> {
    let Some(claim) = LoginClaim::read(params)? else {
        return Ok(());
    };
    let identity = claim.identity();
    match identity::person_of(tx.connection, &identity).await? {
        Some(owner) if owner == record.requester => return Ok(()),
        // Somebody else was quicker: the sign-in ends refused.
        Some(_) => return Err(DeskError::UnknownPerson.into()),
        None => {}
    }
    identity::bind(
        tx.connection,
        &identity,
        &record.requester,
        record.id,
        tx.now,
    )
    .await?;
    let sub = hex::encode(sceau_proof::log::entry::sha256(claim.sub.as_bytes()));
    let entry = tx
        .entry("identity.bound")
        .subject("action", record.id)
        .datum("issuer", claim.issuer)
        .datum("idp_id", claim.idp_id)
        .datum("sub_sha256", sub);
    tx.append(entry, None, &[("person", record.requester.as_str())])
        .await?;
    Ok(())
}
