//! Enrolment: an invitation is opened (a `key.register` action is born), and a registration that answers that action's challenge
//! makes a key. What proves the authenticator genuine and wanted is `attestation`; here it becomes state.

use std::sync::Arc;

use sceau_proof::evidence::KeyRecord as EvidenceKey;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::known::{facts, known};
use super::new_key::NewKey;
use super::open::{about, birth};
use super::sign_in::{open_sealed, token_digest};
use super::{Desk, DeskError, Shared, digest, own, revocation};
use crate::action::{ActionRecord, Caller, NewAction, State, Target};
use crate::id::{ActionId, EnrolmentId, KeyId, PersonId, SessionId};
use crate::key::{Credential, KeyRecord, KeyState, KeyType};
use crate::person::{Person, PersonState};
use crate::policy::{OWN_SERVICE, TargetFacts};
use crate::session::Session;
use crate::store::key::Registration;
use crate::store::session::{Invitation, InvitationState};
use crate::store::{action, key, metadata, person, session};
use crate::writer::{Command, Fault, Tx};

impl Desk {
    /// Opens an invitation.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled` (used), `Expired`, `Forbidden` (the person is suspended), `Limited`, `Unavailable`.
    pub async fn open_enrolment(&self, invitation: &str) -> Result<OpenedEnrolment, DeskError> {
        let secret_sha256 = token_digest(invitation);
        self.run(OpenEnrolment {
            shared: Arc::clone(&self.inner.shared),
            secret_sha256,
        })
        .await?
    }

    /// Asks for `key.enroll`, by the person of this session. `params` are a claim.
    ///
    /// # Errors
    /// As of [`Desk::open_action`].
    pub async fn ask_enrolment(
        &self,
        session: &Session,
        params: Map<String, Value>,
    ) -> Result<ActionRecord, DeskError> {
        let invited = own::Invited::read(&params)?;
        let known = self.person(&invited.id).await?;
        let asked = NewAction {
            kind: "key.enroll".to_owned(),
            service: OWN_SERVICE
                .parse()
                .map_err(|_| DeskError::Misuse("own service"))?,
            requester: session.person.clone(),
            target: Target {
                kind: "person".to_owned(),
                id: invited.id.to_string(),
                display: known
                    .map(|person| person.display)
                    .or(invited.display)
                    .unwrap_or_default(),
            },
            params,
            request: None,
            words: None,
        };
        let caller = Caller::Person {
            person: session.person.clone(),
            session: session.id,
        };
        self.open_action(asked, caller).await
    }

    /// The invitation that an executed `key.enroll` gave, once: its name, its secret, and when it ends. `None` when it was shown
    /// already. The caller has checked that it is the requester who looks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reveal_invitation(
        &self,
        action: ActionId,
    ) -> Result<Option<(EnrolmentId, Zeroizing<String>, OffsetDateTime)>, DeskError> {
        let reveal = Reveal {
            action,
            handover: None,
        };
        let shown = self.run(reveal).await?;
        Ok(shown.map(|(invitation, secret)| (invitation.id, secret, invitation.expires_at)))
    }

    /// As [`Desk::reveal_invitation`], where the enrolment names the digest of a secret: for that secret alone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reveal_invitation_to(
        &self,
        action: ActionId,
        secret: &str,
    ) -> Result<Option<(EnrolmentId, Zeroizing<String>, OffsetDateTime)>, DeskError> {
        let reveal = Reveal {
            action,
            handover: Some(token_digest(secret)),
        };
        let shown = self.run(reveal).await?;
        Ok(shown.map(|(invitation, secret)| (invitation.id, secret, invitation.expires_at)))
    }

    /// Whom an executed `key.enroll` was for, and the key that came of it, if it has.
    ///
    /// # Errors
    /// `NotFound` when it gave no invitation; `Unavailable`.
    pub async fn handed_out(&self, action: ActionId) -> Result<HandedOut, DeskError> {
        let mut connection = self.reader().await?;
        let invitation = self.stored(session::invitation_of(&mut connection, action).await)?;
        let invitation = invitation.ok_or(DeskError::NotFound)?;
        let person = self.stored(person::load(&mut connection, &invitation.person).await)?;
        let person = person.ok_or(DeskError::UnknownPerson)?;
        let registered = invitation
            .action
            .filter(|_| invitation.state == InvitationState::Used);
        let mut key = None;
        if let Some(registered) = registered {
            let record = self.stored(action::load(&mut connection, registered).await)?;
            let id = record.and_then(|(record, _)| record.result);
            let id = id.and_then(|result| result["key_id"].as_str()?.parse::<KeyId>().ok());
            let held = self.stored(key::held(&mut connection, &person.id).await)?;
            key = held.into_iter().find(|held| Some(held.key.id) == id);
        }
        Ok(HandedOut { person, key })
    }

    /// Writes the first administrators into an empty store.
    ///
    /// # Errors
    /// `Forbidden` when the store has persons; `Unavailable`.
    pub async fn found(
        &self,
        persons: Vec<Person>,
    ) -> Result<Vec<(PersonId, EnrolmentId, Zeroizing<String>)>, DeskError> {
        self.run(Found {
            shared: Arc::clone(&self.inner.shared),
            persons,
        })
        .await
    }
}

/// An invitation that was opened: what the authenticator must be asked.
#[derive(Debug, Clone)]
pub struct OpenedEnrolment {
    /// Its name.
    pub id: EnrolmentId,
    /// The `key.register` action whose challenge the new key signs.
    pub action: ActionRecord,
    /// Who is enrolled.
    pub person: Person,
    /// Credentials of theirs that must not be enrolled again, base64url.
    pub exclude: Vec<String>,
    /// Whether the key must verify its user, by the model policy for this person's roles.
    pub verifies_user: bool,
}

/// What came of an enrolment.
#[derive(Debug, Clone)]
pub struct HandedOut {
    /// For whom it was.
    pub person: Person,
    /// The key, once it is registered.
    pub key: Option<key::Held>,
}

/// A registration as it arrives. A claim: nothing is checked yet.
#[derive(Debug, Clone)]
pub struct RegistrationClaim {
    /// `clientDataJSON`, verbatim.
    pub client_data_json: Vec<u8>,
    /// `attestationObject`, verbatim.
    pub attestation_object: Vec<u8>,
    /// Transports that the authenticator's client saw.
    pub transports: Vec<String>,
    /// How its owner calls it.
    pub label: Option<String>,
}

/// What became of a registration.
pub struct Registered {
    /// The new key.
    pub key: KeyRecord,
    /// Its model, in words, when known.
    pub model: Option<String>,
    /// A session and its token, shown once, since the key has just shown itself; none for a key that waits for its person.
    pub session: Option<(SessionId, Zeroizing<String>)>,
}

/// Loads the invitation of a secret, if it may still be used.
async fn invited(tx: &mut Tx<'_>, secret_sha256: &[u8; 32]) -> Result<(Invitation, Person), Fault> {
    let invitation = session::invitation(tx.connection, secret_sha256)
        .await?
        .ok_or(DeskError::NotFound)?;
    if invitation.state == InvitationState::Used {
        return Err(DeskError::AlreadySettled(State::Executed).into());
    }
    if tx.now >= invitation.expires_at {
        return Err(DeskError::Expired.into());
    }
    let person = person::load(tx.connection, &invitation.person)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    if person.state == PersonState::Suspended {
        return Err(DeskError::Forbidden.into());
    }
    Ok((invitation, person))
}

/// `Desk::open_enrolment`.
pub(super) struct OpenEnrolment {
    pub(super) shared: Arc<Shared>,
    pub(super) secret_sha256: [u8; 32],
}

impl Command for OpenEnrolment {
    type Output = Result<OpenedEnrolment, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let (invitation, person) = invited(tx, &self.secret_sha256).await?;
        let asked = NewAction {
            kind: "key.register".to_owned(),
            service: OWN_SERVICE
                .parse()
                .map_err(|_| DeskError::Misuse("own service"))?,
            requester: person.id.clone(),
            target: Target {
                kind: "person".to_owned(),
                id: person.id.to_string(),
                display: person.display.clone(),
            },
            params: json!({ "enrolment_id": invitation.id, "rp_id": self.shared.rp_id })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            request: None,
            words: None,
        };
        if let Err(limited) = self.shared.limited(tx, &person.id, false).await? {
            return Ok(Err(limited));
        }
        let target = TargetFacts::Person(known(tx, &person).await?);
        let facts = facts(tx, &self.shared, &asked, &person, target, None).await?;
        let action = birth(tx, &self.shared, &asked, &person, None, facts).await?;
        if action.denial.is_some() {
            return Ok(Err(DeskError::Forbidden));
        }
        session::move_invitation(
            tx.connection,
            invitation.id,
            InvitationState::Opened,
            action.id,
        )
        .await?;
        let exclude = excluded(tx, &invitation).await?;
        Ok(Ok(OpenedEnrolment {
            id: invitation.id,
            action,
            verifies_user: self.shared.judge.requires_user_verification(&person.roles),
            person,
            exclude,
        }))
    }
}

/// How many credentials an enrolment names at most: what agents read, with room to spare.
const MAX_EXCLUDED: usize = 60;
/// For how long a desk's hand-outs are remembered in its next ones.
const RECENT: time::Duration = time::Duration::hours(48);

/// Credentials that the new key's authenticator must not hold: the person's, and, at a help desk, the operator's own and those that the same
/// operator handed out lately. One authenticator is one person's.
async fn excluded(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<Vec<String>, Fault> {
    let mut keys = key::of_person(tx.connection, &invitation.person).await?;
    let mut handed = Vec::new();
    if let Some(enrolling) = invitation.enroll_action
        && let Some((record, _)) = action::load(tx.connection, enrolling).await?
    {
        keys.extend(key::of_person(tx.connection, &record.requester).await?);
        let since = tx.now - RECENT;
        handed = key::handed_out(tx.connection, &record.requester, since, 60).await?;
    }
    let mut all: Vec<Vec<u8>> = Vec::new();
    let own = keys
        .iter()
        .filter(|key| key.credential.kind() == KeyType::Fido2)
        .map(|key| key.credential.handle());
    for handle in own.chain(handed) {
        if !all.contains(&handle) && all.len() < MAX_EXCLUDED {
            all.push(handle);
        }
    }
    Ok(all.iter().map(sceau_proof::base64url::encode).collect())
}

/// Why a registration was refused: the help-desk reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRefused {
    /// Kebab-case; docs/attestation.md lists them.
    pub reason: String,
    /// One sentence more.
    pub detail: String,
}

/// `Desk::register` and `Desk::register_card`, after `attestation` or `piv` judged.
pub(super) struct Register {
    pub(super) shared: Arc<Shared>,
    pub(super) enrolment: EnrolmentId,
    pub(super) secret_sha256: [u8; 32],
    pub(super) action: ActionId,
    pub(super) judged: Result<NewKey, RegistrationRefused>,
}

impl Command for Register {
    type Output = Result<Registered, RegistrationRefused>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let (invitation, person) = invited(tx, &self.secret_sha256).await?;
        if invitation.id != self.enrolment || invitation.action != Some(self.action) {
            return Err(DeskError::NotFound.into());
        }
        let (record, standing) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        let standing = standing.approve(tx.now, true)?;
        let judged = match &self.judged {
            Ok(new) if key::known(tx.connection, &new.credential).await? => {
                Err(RegistrationRefused {
                    reason: "credential-known".into(),
                    detail: "This key is enrolled already.".into(),
                })
            }
            judged => judged.clone(),
        };
        let accepted = match judged {
            Ok(accepted) => {
                // A newer list is in force than the one that this instance judged by: it will have it in a moment.
                let seen = metadata::load(tx.connection).await?;
                if let Some(no) = accepted.metadata_no
                    && seen.is_some_and(|seen| seen.no > no)
                {
                    return Err(DeskError::Unavailable.into());
                }
                accepted
            }
            Err(refused) => {
                let entry = about(tx, "enrolment.refused", &record)
                    .datum("reason", refused.reason.as_str());
                tx.append(entry, Some(record.id), &[("person", person.id.as_str())])
                    .await?;
                return Ok(Err(refused));
            }
        };
        let state = if waits_for_its_person(tx, &invitation).await? {
            KeyState::Waiting
        } else {
            KeyState::Live
        };
        let key = self
            .save_key(tx, &record, &person.id, &accepted, state)
            .await?;
        if person.state == PersonState::Inert {
            person::set_state(tx.connection, &person.id, PersonState::Active).await?;
        }
        session::move_invitation(
            tx.connection,
            invitation.id,
            InvitationState::Used,
            record.id,
        )
        .await?;
        // Whoever sits at a help desk must not walk away with the person's session.
        let session = match state {
            KeyState::Live => Some(open_sealed(tx, &self.shared, &person.id, record.id).await?),
            _ => None,
        };
        if state == KeyState::Live {
            revocation::takes_its_place(tx, &key, record.id).await?;
        }
        let record = ActionRecord {
            result: Some(json!({ "key_id": key.id })),
            ..record
        };
        own::executed(tx, &self.shared, record, standing).await?;
        Ok(Ok(Registered {
            key,
            model: accepted.model,
            session,
        }))
    }
}

/// Whether the enrolment that gave this invitation hands the key out to be brought to life by its person.
async fn waits_for_its_person(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<bool, Fault> {
    let Some(enrolling) = invitation.enroll_action else {
        return Ok(false);
    };
    let (record, _) = action::load(tx.connection, enrolling)
        .await?
        .ok_or(DeskError::Misuse("an invitation without its action"))?;
    Ok(own::Invited::of(&record)?.first_use)
}

impl Register {
    async fn save_key(
        &self,
        tx: &mut Tx<'_>,
        record: &ActionRecord,
        person: &PersonId,
        new: &NewKey,
        state: KeyState,
    ) -> Result<KeyRecord, Fault> {
        let id = KeyId(tx.ports.uuid(tx.now)?);
        let evidence = EvidenceKey {
            v: sceau_proof::evidence::VERSION,
            key_id: id.to_string(),
            person: person.to_string(),
            rp_id: self.shared.rp_id.clone(),
            origins: match new.credential.kind() {
                KeyType::Fido2 => self.shared.origins.clone(),
                KeyType::Piv => self.shared.card_origins(),
            },
            enrolled_at: tx.now.replace_nanosecond(0).unwrap_or(tx.now),
            key: new.record.clone(),
        };
        let evidence: Value = evidence
            .to_value()
            .map_err(|_| DeskError::Misuse("key record"))?;
        let key = KeyRecord {
            id,
            person: person.clone(),
            credential: new.credential.clone(),
            label: new.label.clone(),
            transports: new.transports.clone(),
            sign_count: new.sign_count,
            backup_eligible: new.backup_eligible,
            record_sha256: digest(&evidence)?,
            state,
        };
        let registration = Registration {
            record: evidence.to_string().into_bytes(),
            attestation: match &new.private {
                Some(private) => {
                    json!({ "verdict": new.verdict, "private": private, "model": new.model })
                }
                None => {
                    let mut kept = new.verdict.clone();
                    if let Some(kept) = kept.as_object_mut() {
                        kept.insert("model".to_owned(), json!(new.model));
                    }
                    kept
                }
            },
        };
        key::insert(tx.connection, &key, &registration, tx.now).await?;
        let mut entry = about(tx, "key.enrolled", record)
            .subject("key", id)
            .digest("key", key.record_sha256);
        if let Credential::Fido2 { aaguid, .. } = &key.credential {
            entry = entry.datum("aaguid", aaguid.as_str());
        }
        if state == KeyState::Waiting {
            entry = entry.datum("waits_for", "first-use");
        }
        let entry = entry.datum("attestation", new.verdict.clone());
        tx.append(entry, Some(record.id), &[("person", person.as_str())])
            .await?;
        Ok(key)
    }
}

/// Mints the secret of the invitation that an executed `key.enroll` gave, when its requester first looks. Only its digest is kept,
/// so it can be shown once and never again.
pub(super) struct Reveal {
    pub(super) action: ActionId,
    /// SHA-256 of the secret that was shown for it.
    pub(super) handover: Option<[u8; 32]>,
}

impl Command for Reveal {
    type Output = Option<(Invitation, Zeroizing<String>)>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let Some(invitation) = session::unrevealed(tx.connection, self.action).await? else {
            return Ok(None);
        };
        let (record, _) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::Misuse("an invitation without its action"))?;
        if own::Invited::of(&record)?.handover != self.handover {
            return Ok(None);
        }
        let secret = super::secret(tx.ports)?;
        session::reveal_invitation(tx.connection, invitation.id, &token_digest(&secret)).await?;
        let entry = tx
            .entry("invitation.revealed")
            .subject("action", self.action)
            .subject("enrolment", invitation.id);
        tx.append(entry, None, &[]).await?;
        Ok(Some((invitation, secret)))
    }
}

/// The first administrators, written by `init` into an empty store.
pub(super) struct Found {
    pub(super) shared: Arc<Shared>,
    pub(super) persons: Vec<Person>,
}

impl Command for Found {
    /// Each person's invitation.
    type Output = Vec<(PersonId, EnrolmentId, Zeroizing<String>)>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        if person::count(tx.connection).await? != 0 {
            return Err(DeskError::Forbidden.into());
        }
        let mut invitations = Vec::new();
        for founder in &self.persons {
            person::insert(tx.connection, founder, tx.now).await?;
            let secret = super::secret(tx.ports)?;
            let invitation = Invitation {
                id: EnrolmentId(tx.ports.uuid(tx.now)?),
                person: founder.id.clone(),
                state: InvitationState::New,
                enroll_action: None,
                action: None,
                expires_at: tx.now + self.shared.invitation_lifetime.0,
            };
            session::insert_invitation(
                tx.connection,
                &invitation,
                Some(&token_digest(&secret)),
                tx.now,
            )
            .await?;
            let roles: Vec<&str> = founder.roles.iter().map(crate::id::Role::as_str).collect();
            let entry = tx
                .entry("person.created")
                .subject("enrolment", invitation.id)
                .datum("roles", json!(roles));
            tx.append(entry, None, &[("person", founder.id.as_str())])
                .await?;
            invitations.push((founder.id.clone(), invitation.id, secret));
        }
        Ok(invitations)
    }
}
