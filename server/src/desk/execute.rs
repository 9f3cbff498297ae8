//! The one use of an approved action: permits, introspection, and the gate's consume-then-report.

use std::sync::Arc;

use sceau_proof::log::Entry;
use sceau_proof::log::entry::sha256;
use sceau_proof::permit::{self, Claims};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::eligible::{denied_now, lapsed, withdraw};
use super::open::about;
use super::settle::save;
use super::{Desk, DeskError, Shared};
use crate::action::{ActionRecord, Execution, Outcome, Standing, State, Verification};
use crate::id::{ActionId, ServiceId};
use crate::lineage::Begotten;
use crate::store::{self, action};
use crate::writer::{Command, Fault, Tx};

/// The one use of an approved action, taken by whoever holds this. Built by [`Desk::consume`] alone.
#[derive(Debug)]
pub struct Consumed {
    permit: String,
    record: ActionRecord,
}

impl Consumed {
    /// A fresh permit for the upstream (`Sceau-Permit`).
    #[must_use]
    pub fn permit(&self) -> &str {
        &self.permit
    }

    /// The action, its execution begun.
    #[must_use]
    pub fn record(&self) -> &ActionRecord {
        &self.record
    }
}

impl Desk {
    /// A fresh permit for the service that asked, while the action is approved and its use not taken.
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unwitnessed`, `Unavailable`.
    pub async fn issue_permit(
        &self,
        id: ActionId,
        service: ServiceId,
    ) -> Result<String, DeskError> {
        self.await_witnesses(id).await?;
        self.run(IssuePermit {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            service,
        })
        .await?
    }

    /// Says whether a permit is active for this service (RFC 7662), and uses it up when `consume`: of any number of consuming calls
    /// for one action at most one gets its claims. `None`: not active, for whatever reason.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn introspect(
        &self,
        permit: &str,
        service: &ServiceId,
        consume: bool,
    ) -> Result<Option<Claims>, DeskError> {
        let shared = &self.inner.shared;
        let Ok(verified) = permit::verify(
            permit,
            &self.jwks(),
            &shared.public_url,
            service.as_str(),
            self.now(),
        ) else {
            return Ok(None);
        };
        let action = ActionId(verified.claims().jti);
        let permit_sha256 = sha256(permit.as_bytes());
        if !self.is_logged(action, permit_sha256).await? {
            return Ok(None);
        }
        if consume {
            let used = UsePermit {
                shared: Arc::clone(shared),
                action,
                service: service.clone(),
                permit_sha256,
            };
            return match self.run(used).await {
                Ok(Ok(_)) => Ok(Some(verified.claims().clone())),
                Err(DeskError::Unavailable) => Err(DeskError::Unavailable),
                Ok(Err(_)) | Err(_) => Ok(None),
            };
        }
        let usable = self.action(action).await?.is_some_and(|record| {
            record.state == State::Approved
                && record.execution.is_none()
                && record.service == *service
        });
        Ok(usable.then(|| verified.claims().clone()))
    }

    /// Whether the log has the issue of this permit, whose signature is ours. One that it does not have was signed with a stolen key (attack 18):
    /// it is not active, and an alert says so, once a minute at most.
    async fn is_logged(&self, action: ActionId, permit: [u8; 32]) -> Result<bool, DeskError> {
        let mut connection = self.reader().await?;
        let entries = self.stored(store::log::entries_of(&mut connection, action).await)?;
        drop(connection);
        let is_logged = entries.iter().any(|entry| {
            Entry::parse(&entry.body).is_ok_and(|entry| {
                entry.kind() == "permit.issued" && entry.sha256_of("permit") == Some(&permit)
            })
        });
        if !is_logged {
            let shared = Arc::clone(&self.inner.shared);
            self.run(Unlogged {
                shared,
                action,
                permit,
            })
            .await?;
        }
        Ok(is_logged)
    }

    /// Takes the one use of an approved action, durably, *before* the gate forwards the request. Of any number of
    /// calls for one action, over all instances and restarts, at most one returns `Ok`. The state stays `approved`
    /// with `execution.started_at` set until [`Desk::record_execution`].
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unwitnessed`, `Unavailable` (then do not forward:
    /// the use may be taken).
    pub async fn consume(&self, id: ActionId) -> Result<Consumed, DeskError> {
        self.await_witnesses(id).await?;
        let (record, permit) = self
            .run(Begin {
                shared: Arc::clone(&self.inner.shared),
                action: id,
            })
            .await??;
        Ok(Consumed { permit, record })
    }

    /// Reports how the execution ended: `executed` when the upstream answered, `consumed` when that is not known.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled` (reported before), `StillPending`, `Unavailable`.
    pub async fn record_execution(
        &self,
        id: ActionId,
        outcome: Outcome,
    ) -> Result<ActionRecord, DeskError> {
        self.record_execution_of(id, outcome, Vec::new()).await
    }

    /// As [`Desk::record_execution`], with what the execution begot: written in the same transaction.
    ///
    /// # Errors
    /// As [`Desk::record_execution`].
    pub async fn record_execution_of(
        &self,
        id: ActionId,
        outcome: Outcome,
        begotten: Vec<Begotten>,
    ) -> Result<ActionRecord, DeskError> {
        self.run(Finish {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            outcome,
            begotten,
        })
        .await
    }
}

/// Signs a permit for an approved action and logs its digest: a permit without its entry is a stolen key's.
pub(super) async fn permit(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
) -> Result<String, Fault> {
    permit_for(tx, shared, record, None).await
}

/// The same, for whoever shows the key of this thumbprint (RFC 9449) where there is one.
pub(super) async fn permit_for(
    tx: &mut Tx<'_>,
    shared: &Shared,
    record: &ActionRecord,
    bound: Option<&str>,
) -> Result<String, Fault> {
    let issued_at = tx.now.replace_nanosecond(0).unwrap_or(tx.now);
    let pin = record
        .requirement
        .as_ref()
        .is_none_or(|requirement| requirement.verification == Verification::Pin);
    let (acr, amr): (&str, &[&str]) = match pin {
        // Allowed without a key: the permit says nothing of one.
        _ if record.approvals.is_empty() => ("eidas1", &[]),
        true => ("eidas3", &["pop", "hwk", "pin", "mfa"]),
        false => ("eidas2", &["pop", "hwk"]),
    };
    let document: serde_json::Value = serde_json::from_str(&record.document)
        .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
    let mut detail = json!({ "type": record.kind, "action_id": record.id });
    for member in ["target", "params", "request"] {
        if let (Some(value), Some(detail)) = (document.get(member), detail.as_object_mut()) {
            detail.insert(member.to_owned(), value.clone());
        }
    }
    let claims = Claims {
        iss: shared.public_url.clone(),
        aud: record.service.to_string(),
        sub: record.requester.to_string(),
        jti: record.id.0,
        iat: issued_at,
        exp: (issued_at + permit::MAX_LIFETIME).min(last_second(record.expires_at, issued_at)),
        action_sha256: record.sha256,
        authorization_details: vec![detail],
        acr: acr.to_owned(),
        amr: amr.iter().map(|word| (*word).to_owned()).collect(),
        approvals: record
            .approvals
            .iter()
            .map(|approval| permit::Approval {
                person: approval.person.to_string(),
                key_id: approval.key_id.to_string(),
                at: approval.at,
            })
            .collect(),
        cnf: bound.map(|thumbprint| permit::Confirmation {
            jkt: thumbprint.to_owned(),
        }),
    };
    let jws = permit::sign(
        &shared.permit_key,
        &claims,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .map_err(|_| DeskError::Misuse("permit was not signed"))?;
    let entry = about(tx, "permit.issued", record)
        .subject("permit", record.id)
        .digest("permit", sha256(jws.as_bytes()));
    tx.append(entry, Some(record.id), &[]).await?;
    Ok(jws)
}

/// A permit never outlives its action, and lives at least a second.
fn last_second(expires_at: OffsetDateTime, issued_at: OffsetDateTime) -> OffsetDateTime {
    expires_at.max(issued_at + Duration::SECOND)
}

/// The action, if its one use may be taken now. One that has lost an approver since is refused instead, durably.
pub(super) async fn usable(
    tx: &mut Tx<'_>,
    shared: &Shared,
    id: ActionId,
    service: Option<&ServiceId>,
) -> Result<Result<(ActionRecord, Standing), DeskError>, Fault> {
    let (record, standing) = action::load(tx.connection, id)
        .await?
        .ok_or(DeskError::NotFound)?;
    if service.is_some_and(|service| *service != record.service) {
        return Err(DeskError::NotFound.into());
    }
    let standing = standing.usable(tx.now)?;
    let lapsed = match lapsed(tx, &record).await? {
        Some(reason) => Some(reason.to_owned()),
        // A `forbid` that has come true since the last approval ends it too: a training that ended, a budget of executions that is spent.
        None => denied_now(tx, shared, &record, record.approvals.len()).await?,
    };
    if let Some(reason) = lapsed {
        let refused = withdraw(tx, shared, record, standing, &reason).await?;
        return Ok(Err(DeskError::AlreadySettled(refused.state)));
    }
    Ok(Ok((record, standing)))
}

/// `Desk::issue_permit`.
pub(super) struct IssuePermit {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) service: ServiceId,
}

impl Command for IssuePermit {
    type Output = Result<String, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        match usable(tx, &self.shared, self.action, Some(&self.service)).await? {
            Ok((record, _)) => {
                self.shared.witnessed(tx.connection, &record).await??;
                Ok(Ok(permit(tx, &self.shared, &record).await?))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// The first permit of an action that waited for witnesses: shown to whoever asks for the action.
pub(super) struct Release {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
}

impl Command for Release {
    type Output = Result<(), DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let (mut record, standing) = match usable(tx, &self.shared, self.action, None).await? {
            Ok(usable) => usable,
            Err(error) => return Ok(Err(error)),
        };
        if record.permit.is_some() || record.execution.is_some() {
            return Ok(Ok(()));
        }
        self.shared.witnessed(tx.connection, &record).await??;
        record.permit = Some(permit(tx, &self.shared, &record).await?);
        save(tx, &self.shared, record, standing).await?;
        Ok(Ok(()))
    }
}

/// `Desk::introspect` with `consume=true`: the use is the service's, and nobody reports.
pub(super) struct UsePermit {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) service: ServiceId,
    pub(super) permit_sha256: [u8; 32],
}

impl Command for UsePermit {
    type Output = Result<ActionRecord, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let usable = usable(tx, &self.shared, self.action, Some(&self.service)).await?;
        let (record, standing) = match usable {
            Ok(usable) => usable,
            Err(error) => return Ok(Err(error)),
        };
        let standing = standing.consume(tx.now)?;
        let entry = about(tx, "permit.consumed", &record)
            .subject("permit", record.id)
            .digest("permit", self.permit_sha256);
        tx.append(entry, Some(record.id), &[]).await?;
        Ok(Ok(save(tx, &self.shared, record, standing).await?))
    }
}

/// A permit with our signature and without an entry.
struct Unlogged {
    shared: Arc<Shared>,
    action: ActionId,
    permit: [u8; 32],
}

impl Command for Unlogged {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        {
            let mut last = self
                .shared
                .unlogged
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_some_and(|last| tx.now - last < Duration::MINUTE) {
                return Ok(());
            }
            *last = Some(tx.now);
        }
        let said = Arc::clone(&self.shared.unlogged);
        tx.unless_committed(move || {
            *said
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        });
        tracing::error!(
            "a permit with our signature is not in the log: the permit key is in other hands; `sceau-server keys rotate permit`"
        );
        let entry = tx
            .entry("alert.permit-unlogged")
            .subject("action", self.action)
            .digest("permit", self.permit);
        tx.append(entry, None, &[]).await?;
        Ok(())
    }
}

/// `Desk::consume`: the gate takes the use and will report.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
}

impl Command for Begin {
    /// The record, and a fresh permit for the upstream.
    type Output = Result<(ActionRecord, String), DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let (mut record, standing) = match usable(tx, &self.shared, self.action, None).await? {
            Ok(usable) => usable,
            Err(error) => return Ok(Err(error)),
        };
        self.shared.witnessed(tx.connection, &record).await??;
        let standing = standing.start(tx.now)?;
        let permit = permit(tx, &self.shared, &record).await?;
        let entry = about(tx, "permit.consumed", &record)
            .subject("permit", record.id)
            .digest("permit", sha256(permit.as_bytes()));
        tx.append(entry, Some(record.id), &[]).await?;
        record.execution = Some(Execution {
            started_at: tx.now,
            finished_at: None,
            upstream_status: None,
            failure: None,
        });
        let record = save(tx, &self.shared, record, standing).await?;
        Ok(Ok((record, permit)))
    }
}

/// `Desk::record_execution`.
pub(super) struct Finish {
    pub(super) shared: Arc<Shared>,
    pub(super) action: ActionId,
    pub(super) outcome: Outcome,
    pub(super) begotten: Vec<Begotten>,
}

impl Command for Finish {
    type Output = ActionRecord;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<ActionRecord, Fault> {
        let (mut record, standing) = action::load(tx.connection, self.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        let started_at = standing.started_at().ok_or(match standing.state() {
            State::Pending | State::Approved => DeskError::StillPending,
            state => DeskError::AlreadySettled(state),
        })?;
        let (status, failure) = match &self.outcome {
            Outcome::Answered { upstream_status } => (Some(*upstream_status), None),
            Outcome::Unknown { failure } => (None, Some((*failure).to_owned())),
        };
        let standing = standing.finish(status.is_some())?;
        let entry = match status {
            Some(status) => about(tx, "action.executed", &record).datum("status", status),
            None => about(tx, "action.outcome-unknown", &record)
                .datum("reason", failure.clone().unwrap_or_default()),
        };
        tx.append(entry, Some(record.id), &[]).await?;
        record.execution = Some(Execution {
            started_at,
            finished_at: Some(tx.now),
            upstream_status: status,
            failure,
        });
        super::lineage::begot(tx, &record, &self.begotten).await?;
        save(tx, &self.shared, record, standing).await
    }
}
