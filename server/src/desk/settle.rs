//! What settles an action: approvals, refusals, cancellation, time.

use std::sync::Arc;

use sceau_proof::assertion::{self, AssertionError, AssertionResponse, Rejection};
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::certificate::PublicKeyInfo;
use sceau_proof::cose::PublicKey;
use sceau_proof::evidence::Response;
use sceau_proof::piv::{self, SignatureResponse};
use serde_json::Value;
use time::OffsetDateTime;

use super::eligible::{as_counted, counted, denied_now, end, objection, too_near, withdraw};
use super::judgement::stops_or_opens_nothing;
use super::open::{about, audience};
use super::{ApprovalClaim, CancelReason, DeskError, RefusalReason, Shared, digest, response};
use crate::action::{
    ActionRecord, EXECUTION_GRACE, Requirement, Settlement, Standing, State, TransitionError,
    Verification,
};
use crate::hub::Notice;
use crate::id::{ActionId, PersonId};
use crate::key::{Credential, KeyRecord, KeyState};
use crate::person::Person;
use crate::policy::{self, OWN_SERVICE};
use crate::session::SessionState;
use crate::store::action::Approval;
use crate::store::{StoreError, action, key, person, session};
use crate::workstation::Workstation;
use crate::writer::{Command, Fault, Tx};

impl From<TransitionError> for DeskError {
    fn from(error: TransitionError) -> Self {
        match error {
            TransitionError::Expired => Self::Expired,
            TransitionError::Settled(state) => Self::AlreadySettled(state),
            TransitionError::Pending => Self::StillPending,
            TransitionError::Taken => Self::AlreadyUsed,
        }
    }
}

impl From<TransitionError> for Fault {
    fn from(error: TransitionError) -> Self {
        Self::Refused(error.into())
    }
}

/// What became of checking an approval before the transaction; decided again under the lock for everything that may change.
#[derive(Debug, Clone)]
pub(super) enum Checked {
    /// The signature is this key's over this action; its counter is this.
    Genuine { sign_count: u32 },
    /// The signature is genuine and the counter went back: perhaps a clone.
    Clone { stored: u32, received: u32 },
    /// Some check failed, by this word.
    Failed(&'static str),
}

impl Shared {
    /// Whether a key counts for what is required, by its enrolment and by what the metadata list says of its model now.
    pub(super) fn key_counts(
        &self,
        requirement: &Requirement,
        credential: &Credential,
        now: OffsetDateTime,
    ) -> Result<(), &'static str> {
        let certification = match credential {
            Credential::Fido2 { aaguid, .. } => self.judge.certification(aaguid, now),
            Credential::Piv { .. } => None,
        };
        policy::key_counts(requirement, credential, certification)
    }
}

/// Verifies an approval against the stored document. Pure.
pub(super) fn check(
    shared: &Shared,
    record: &ActionRecord,
    key: &KeyRecord,
    claim: &ApprovalClaim,
    now: OffsetDateTime,
) -> Result<Checked, DeskError> {
    let document = sceau_proof::action::Action::parse(record.document.as_bytes())
        .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
    let challenge = document.challenge();
    let pin = record
        .requirement
        .as_ref()
        .is_none_or(|requirement| requirement.verification == Verification::Pin);
    if let Some(requirement) = &record.requirement {
        shared
            .key_counts(requirement, &key.credential, now)
            .map_err(DeskError::NotAnApprover)?;
    }
    match (&key.credential, &claim.response) {
        (
            Credential::Fido2 {
                credential_id,
                public_key_cose,
                ..
            },
            Response::Fido2(response),
        ) => {
            let public_key = PublicKey::from_cose(public_key_cose)
                .map_err(|_| DeskError::Misuse("stored key does not parse"))?;
            let enrolled = [CredentialId::new(credential_id.clone())
                .ok_or(DeskError::Misuse("stored credential id"))?];
            let mut expected =
                assertion::Expectation::new(&shared.rp_id, &shared.origins, challenge.as_bytes());
            expected.credential_ids = &enrolled;
            expected.require_uv = pin;
            expected.stored_sign_count = Some(key.sign_count);
            expected.stored_backup_eligible = Some(key.backup_eligible);
            Ok(check_assertion(response, &public_key, &expected))
        }
        (
            Credential::Piv {
                public_key_spki, ..
            },
            Response::Piv(response),
        ) => check_card(shared, public_key_spki, response, challenge.as_bytes()),
        _ => Ok(Checked::Failed("key-kind")),
    }
}

fn check_assertion(
    response: &AssertionResponse,
    public_key: &PublicKey,
    expected: &assertion::Expectation<'_>,
) -> Checked {
    match assertion::verify(response, public_key, expected) {
        Ok(verified) => Checked::Genuine {
            sign_count: verified.sign_count(),
        },
        Err(AssertionError::Rejected(Rejection::SignCount { stored, received })) => {
            Checked::Clone { stored, received }
        }
        Err(error) => Checked::Failed(error.reason()),
    }
}

/// A card's signature. It has no counter: a card's key cannot be copied, which is what its enrolment showed.
fn check_card(
    shared: &Shared,
    public_key_spki: &[u8],
    response: &SignatureResponse,
    challenge: &[u8; 32],
) -> Result<Checked, DeskError> {
    let key = PublicKeyInfo::from_der(public_key_spki)
        .map_err(|_| DeskError::Misuse("stored key does not parse"))?;
    let expected = piv::Expectation {
        challenge,
        origins: &shared.card_origins(),
    };
    Ok(match piv::verify_signature(response, &key, &expected) {
        Ok(_) => Checked::Genuine { sign_count: 0 },
        Err(error) => Checked::Failed(error.reason()),
    })
}

/// `Desk::approve`, after [`check`]. A refused approval is an output: it leaves an entry.
pub(super) struct Approve {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) claim: ApprovalClaim,
    pub(super) checked: Checked,
    pub(super) workstation: Option<Workstation>,
}

impl Command for Approve {
    type Output = Result<ActionRecord, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let (record, standing) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        let approver = match approver(tx, &record, &self.claim.person).await {
            Err(Fault::Refused(DeskError::NotAnApprover(reason))) => {
                return Ok(Err(self.turned_away(tx, &record, reason).await?));
            }
            approver => approver?,
        };
        if let Some(requirement) = &record.requirement {
            let at = self.workstation.as_ref();
            let near = too_near(tx.connection, &record, requirement, &approver.id, at).await?;
            if let Some(reason) = near {
                return Ok(Err(self.turned_away(tx, &record, reason).await?));
            }
        }
        standing.approve(tx.now, false)?;
        let key = key::load(tx.connection, self.claim.key)
            .await?
            .ok_or(DeskError::NotVerified)?;
        let failed = match self.checked {
            _ if key.person != approver.id => Some("key-of-another"),
            _ if key.state == KeyState::Suspended => Some("key-suspended"),
            _ if key.state == KeyState::Revoked => Some("key-revoked"),
            _ if key.state == KeyState::Waiting && record.kind != "session.open" => {
                Some("key-waiting")
            }
            Checked::Failed(reason) => Some(reason),
            Checked::Clone { stored, received } => {
                return Ok(Err(self
                    .suspend_clone(tx, &record, &key, stored, received)
                    .await?));
            }
            // Another approval by this key was counted since the check.
            Checked::Genuine { sign_count }
                if (sign_count != 0 || key.sign_count != 0) && sign_count <= key.sign_count =>
            {
                return Ok(Err(self
                    .suspend_clone(tx, &record, &key, key.sign_count, sign_count)
                    .await?));
            }
            Checked::Genuine { .. } => None,
        };
        if let Some(reason) = failed {
            let entry = about(tx, "approval.rejected", &record)
                .subject("key", key.id)
                .datum("reason", reason);
            tx.append(entry, Some(record.id), &[("person", approver.id.as_str())])
                .await?;
            return Ok(Err(DeskError::NotVerified));
        }
        let Checked::Genuine { sign_count } = self.checked else {
            return Err(DeskError::Misuse("unchecked").into());
        };
        // Fail closed: whether the key's model still stands cannot be known. (Metadata says nothing of cards.)
        if let Some(reason) = self.shared.judge.blind(tx.now)
            && matches!(key.credential, Credential::Fido2 { .. })
            && !stops_or_opens_nothing(&record)
        {
            let entry = about(tx, "approval.rejected", &record)
                .subject("key", key.id)
                .datum("reason", reason);
            tx.append(entry, Some(record.id), &[("person", approver.id.as_str())])
                .await?;
            return Ok(Err(DeskError::Blind(reason)));
        }
        if super::presence::forbids(tx, &self.shared, &record, key.id).await? {
            let reason = "key-without-presence";
            let entry = about(tx, "approval.rejected", &record)
                .subject("key", key.id)
                .datum("reason", reason);
            tx.append(entry, Some(record.id), &[("person", approver.id.as_str())])
                .await?;
            return Ok(Err(DeskError::NotAnApprover(reason)));
        }
        key::used(tx.connection, key.id, sign_count, tx.now).await?;
        if key.state == KeyState::Waiting {
            // Its PIN is its person's alone: whoever signs in with it is the one whom the desk handed it to.
            key::set_state(tx.connection, key.id, KeyState::Live, "first-use").await?;
            let entry = about(tx, "key.first-used", &record)
                .subject("key", key.id)
                .digest("key", key.record_sha256);
            tx.append(entry, Some(record.id), &[("person", approver.id.as_str())])
                .await?;
            super::revocation::takes_its_place(tx, &key, record.id).await?;
        }
        if let Some(reason) = denied_now(tx, &self.shared, &record, record.approvals.len()).await? {
            close_sign_in(tx, &record, SessionState::Refused).await?;
            let refused = withdraw(tx, &self.shared, record, standing, &reason).await?;
            return Ok(Err(DeskError::AlreadySettled(refused.state)));
        }
        Ok(Ok(self
            .count(tx, record, standing, &approver, &key)
            .await?))
    }
}

impl Approve {
    /// Who tries to approve what they do not count for leaves an entry: it is how an insider's attempt shows (attack 11).
    async fn turned_away(
        &self,
        tx: &mut Tx<'_>,
        record: &ActionRecord,
        reason: &'static str,
    ) -> Result<DeskError, Fault> {
        if !record.state.is_final() {
            let entry = about(tx, "approval.rejected", record)
                .subject("key", self.claim.key)
                .datum("reason", reason);
            let personal = [("person", self.claim.person.as_str())];
            tx.append(entry, Some(record.id), &personal).await?;
        }
        Ok(DeskError::NotAnApprover(reason))
    }

    async fn suspend_clone(
        &self,
        tx: &mut Tx<'_>,
        record: &ActionRecord,
        key: &KeyRecord,
        stored: u32,
        received: u32,
    ) -> Result<DeskError, Fault> {
        key::set_state(tx.connection, key.id, KeyState::Suspended, "sign-count").await?;
        let response = self.response()?;
        let personal = [("person", key.person.as_str())];
        let entry = about(tx, "approval.rejected", record)
            .subject("key", key.id)
            .digest("approval", digest(&response)?)
            .datum("reason", "sign-count")
            .datum("stored", stored)
            .datum("received", received);
        let index = tx.append(entry, Some(record.id), &personal).await?;
        key::flag(
            tx.connection,
            index,
            record.id,
            key.id,
            response.to_string().as_bytes(),
        )
        .await?;
        let entry = tx
            .entry("key.suspended")
            .subject("key", key.id)
            .digest("key", key.record_sha256);
        tx.append(entry.datum("reason", "sign-count"), None, &personal)
            .await?;
        let entry = tx
            .entry("alert.cloned-key")
            .subject("key", key.id)
            .subject("action", record.id);
        tx.append(entry, None, &personal).await?;
        Ok(DeskError::NotVerified)
    }

    fn response(&self) -> Result<Value, DeskError> {
        response(self.answer())
    }

    /// What is kept of the answer: the credential id is the key record's, and not repeated.
    fn answer(&self) -> Response {
        match self.claim.response.clone() {
            Response::Fido2(assertion) => Response::Fido2(AssertionResponse {
                credential_id: None,
                ..assertion
            }),
            piv => piv,
        }
    }

    async fn count(
        &self,
        tx: &mut Tx<'_>,
        mut record: ActionRecord,
        standing: Standing,
        approver: &Person,
        key: &KeyRecord,
    ) -> Result<ActionRecord, Fault> {
        let requirement = record
            .requirement
            .clone()
            .ok_or(DeskError::Misuse("pending without requirement"))?;
        let mut persons = counted(tx.connection, &record, &requirement).await?;
        persons.push(approver.clone());
        let met = policy::met(&requirement, &record.requester, &as_counted(&persons));
        let standing = standing.approve(tx.now, met)?;
        let entry = about(tx, "action.approved", &record)
            .subject("key", key.id)
            .digest("key", key.record_sha256)
            .digest("approval", digest(&self.response()?)?)
            .datum("approvals", record.approvals.len() + 1);
        let index = tx
            .append(entry, Some(record.id), &[("person", approver.id.as_str())])
            .await?;
        let approval = Approval {
            person: approver.id.clone(),
            key: key.id,
            at: tx.now,
            response: self.answer(),
            entry: index,
        };
        action::insert_approval(tx.connection, record.id, &approval, record.approvals.len())
            .await?;
        if let Some(at) = &self.workstation {
            action::set_workstation(tx.connection, record.id, &approver.id, at).await?;
        }
        record.approvals.push(crate::action::ApprovalSummary {
            person: approver.id.clone(),
            key_id: key.id,
            at: tx.now,
        });
        record.state = standing.state();
        if !met {
            let audience = audience(tx, &record).await?;
            tx.notice(Notice {
                action: record.id,
                audience,
            });
            return Ok(record);
        }
        if record.service.as_str() == OWN_SERVICE {
            return super::own::execute(tx, &self.shared, record, standing).await;
        }
        // Where witnesses are demanded, they see the approvals first.
        if !super::publication::is_withheld(record.requirement.as_ref()) {
            record.permit = Some(super::execute::permit(tx, &self.shared, &record).await?);
        }
        save(tx, &self.shared, record, standing).await
    }
}

/// The person who speaks, if they count for this action and have not approved it yet.
pub(super) async fn approver(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    id: &PersonId,
) -> Result<Person, Fault> {
    let person = person::load(tx.connection, id)
        .await?
        .ok_or(DeskError::UnknownPerson)?;
    if record.kind == "key.register" && record.service.as_str() == OWN_SERVICE {
        return Err(DeskError::NotAnApprover("registration").into());
    }
    let Some(requirement) = &record.requirement else {
        return Err(DeskError::AlreadySettled(record.state).into());
    };
    if let Some(reason) = objection(tx.connection, record, requirement, &person).await? {
        return Err(DeskError::NotAnApprover(reason).into());
    }
    if record.state == State::Pending
        && record
            .approvals
            .iter()
            .any(|approval| &approval.person == id)
    {
        return Err(DeskError::NotAnApprover("already-approved").into());
    }
    Ok(person)
}

/// Writes what changed of an action and tells whoever waits for it.
pub(super) async fn save(
    tx: &mut Tx<'_>,
    shared: &Shared,
    mut record: ActionRecord,
    standing: Standing,
) -> Result<ActionRecord, Fault> {
    record.state = standing.state();
    action::update(
        tx.connection,
        &record,
        standing.started_at(),
        &shared.instance,
    )
    .await?;
    let audience = audience(tx, &record).await?;
    tx.notice(Notice {
        action: record.id,
        audience,
    });
    Ok(record)
}

/// `Desk::refuse`.
pub(super) struct Refuse {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) person: PersonId,
    pub(super) reason: RefusalReason,
    pub(super) text: Option<String>,
}

impl RefusalReason {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotMe => "not-me",
            Self::Mistake => "mistake",
            Self::Other => "other",
        }
    }
}

impl Command for Refuse {
    type Output = ActionRecord;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<ActionRecord, Fault> {
        let (mut record, standing) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        let person = person::load(tx.connection, &self.person)
            .await?
            .ok_or(DeskError::UnknownPerson)?;
        // Whoever asked may always say no; others only where they would count.
        if person.id != record.requester {
            let requirement = record
                .requirement
                .as_ref()
                .ok_or(DeskError::AlreadySettled(record.state))?;
            let ancestors = person::ancestors(tx.connection, &person.id).await?;
            policy::counts(requirement, &record.requester, &person, &ancestors)
                .map_err(|reason| DeskError::NotAnApprover(reason.as_str()))?;
        }
        let standing = standing.refuse(tx.now)?;
        let reason = self.reason.as_str();
        let text = self
            .text
            .as_ref()
            .map(|text| text.chars().take(500).collect());
        record.refusal = Some(Settlement {
            reason: reason.to_owned(),
            by: Some(person.id.clone()),
            at: tx.now,
            text,
        });
        let entry = about(tx, "action.refused", &record).datum("reason", reason);
        tx.append(entry, Some(record.id), &[("person", person.id.as_str())])
            .await?;
        if self.reason == RefusalReason::NotMe
            && let Some(asking) = record.session
        {
            session::set_state(tx.connection, asking, SessionState::Suspended, None).await?;
            let entry = tx
                .entry("session.suspended")
                .subject("session", asking)
                .subject("action", record.id);
            tx.append(
                entry.datum("reason", "not-me"),
                None,
                &[("person", record.requester.as_str())],
            )
            .await?;
            // What else it asked for ends with it: one no is enough (attack 3).
            for open in action::open_of_session(tx.connection, asking).await? {
                if open != record.id {
                    end(tx, &self.shared, open, "session-suspended").await?;
                }
            }
            tx.ended().await?;
        }
        close_sign_in(tx, &record, SessionState::Refused).await?;
        let record = save(tx, &self.shared, record, standing).await?;
        self.alert(tx, &record).await?;
        Ok(record)
    }
}

impl Refuse {
    /// Refusals within the window are counted; when they reach the limit somebody should look.
    async fn alert(&self, tx: &mut Tx<'_>, record: &ActionRecord) -> Result<(), Fault> {
        let since = tx.now - self.shared.limits.window.0;
        let sign_in = record.kind == "session.open";
        let counts =
            action::recent(tx.connection, &record.requester, sign_in, since, tx.now).await?;
        if counts.refused >= self.shared.limits.refused || self.reason == RefusalReason::NotMe {
            let entry = tx
                .entry("alert.refused")
                .subject("action", record.id)
                .datum("reason", self.reason.as_str())
                .datum("refused", counts.refused);
            tx.append(entry, None, &[("person", record.requester.as_str())])
                .await?;
        }
        Ok(())
    }
}

/// A sign-in whose action ends otherwise than by its seal ends too.
async fn close_sign_in(
    tx: &mut Tx<'_>,
    record: &ActionRecord,
    state: SessionState,
) -> Result<(), StoreError> {
    if record.kind == "session.open"
        && let Some(id) = session::of_action(tx.connection, record.id).await?
    {
        session::set_state(tx.connection, id, state, None).await?;
    }
    Ok(())
}

/// `Desk::cancel`.
pub(super) struct Cancel {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) reason: CancelReason,
}

impl Command for Cancel {
    type Output = ActionRecord;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<ActionRecord, Fault> {
        let (mut record, standing) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        let standing = standing.refuse(tx.now)?;
        let reason = match self.reason {
            CancelReason::ClientGone => "client-gone",
            CancelReason::HoldTimeout => "hold-timeout",
        };
        record.refusal = Some(Settlement {
            reason: reason.to_owned(),
            by: None,
            at: tx.now,
            text: None,
        });
        let entry = about(tx, "action.refused", &record).datum("reason", reason);
        tx.append(entry, Some(record.id), &[]).await?;
        close_sign_in(tx, &record, SessionState::Ended).await?;
        save(tx, &self.shared, record, standing).await
    }
}

/// Writes down what time has done: expired actions, and executions that nobody will report.
pub(super) struct Sweep {
    pub(super) shared: Arc<Shared>,
    /// This instance has just started: what it had begun before, nobody will report.
    pub(super) restarted: bool,
}

impl Command for Sweep {
    /// How many were written.
    type Output = usize;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<usize, Fault> {
        let mut overdue = action::overdue(tx.connection, tx.now, tx.now - EXECUTION_GRACE).await?;
        if self.restarted {
            overdue.extend(action::begun_by(tx.connection, &self.shared.instance).await?);
        }
        let mut written = super::fact::close_campaigns(tx).await?;
        for id in overdue {
            written += usize::from(self.write(tx, id).await?);
        }
        Ok(written)
    }
}

impl Sweep {
    async fn write(&self, tx: &mut Tx<'_>, id: ActionId) -> Result<bool, Fault> {
        let Some((mut record, standing)) = action::load(tx.connection, id).await? else {
            return Ok(false);
        };
        if standing.state().is_final() {
            return Ok(false);
        }
        if let Some(started_at) = standing.started_at() {
            record.execution = Some(crate::action::Execution {
                started_at,
                finished_at: Some(tx.now),
                upstream_status: None,
                failure: Some("not-reported".to_owned()),
            });
            let entry =
                about(tx, "action.outcome-unknown", &record).datum("reason", "not-reported");
            tx.append(entry, Some(id), &[]).await?;
            save(tx, &self.shared, record, standing.finish(false)?).await?;
            return Ok(true);
        }
        let standing = standing.at(tx.now);
        if standing.state() != State::Expired {
            return Ok(false);
        }
        tx.append(about(tx, "action.expired", &record), Some(id), &[])
            .await?;
        close_sign_in(tx, &record, SessionState::Ended).await?;
        save(tx, &self.shared, record, standing).await?;
        Ok(true)
    }
}
