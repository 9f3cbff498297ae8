//! Actions as callers reach them: asked for, read, waited for, approved, refused, cancelled; and who may approve them.
//! Deciding is `policy`, writing down is `open` and `settle`.

use std::sync::Arc;
use std::time::Duration;

use super::{
    ApprovalClaim, CancelReason, Desk, DeskError, RefusalReason, for_sign_in, live, open, settle,
};
use crate::action::{ActionRecord, Caller, NewAction, State};
use crate::hub::Hub;
use crate::id::{ActionId, PersonId};
use crate::key::KeySummary;
use crate::policy;
use crate::store;
use crate::workstation::Workstation;

impl Desk {
    /// Writes down what is asked and what the policy says of it: a record in state `pending` or `denied`.
    /// Identical requests are *not* merged here; the gate does that by session and digest.
    ///
    /// # Errors
    /// `Malformed`, `UnknownPerson`, `Forbidden`, `Limited`, `ClockWentBack`, `Unavailable`.
    pub async fn open_action(
        &self,
        asked: NewAction,
        caller: Caller,
    ) -> Result<ActionRecord, DeskError> {
        self.run(open::OpenAction {
            shared: Arc::clone(&self.inner.shared),
            asked,
            caller,
        })
        .await?
    }

    /// The action as it stands now; `None` when there is none. No access check: callers check against the record.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn action(&self, id: ActionId) -> Result<Option<ActionRecord>, DeskError> {
        let mut connection = self.reader().await?;
        let found = self.stored(store::action::load(&mut connection, id).await)?;
        let now = self.now();
        Ok(found.map(|(record, standing)| store::action::told(record, standing, now)))
    }

    /// As [`Desk::action`], but while it is pending waits up to `timeout` for that to change. Returns at once when
    /// settled, and the pending record at the time-out. Dropping the future cancels nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wait(
        &self,
        id: ActionId,
        timeout: Duration,
    ) -> Result<Option<ActionRecord>, DeskError> {
        let settled = |record: &ActionRecord| record.state != State::Pending;
        self.wait_for(id, timeout, settled).await
    }

    /// As [`Desk::action`], but waits up to `timeout` until it is such a one; at the time-out returns it as it is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wait_for(
        &self,
        id: ActionId,
        timeout: Duration,
        such: impl Fn(&ActionRecord) -> bool,
    ) -> Result<Option<ActionRecord>, DeskError> {
        // Watched before the store is read: a change in between is seen.
        let mut watch = self.watch(id);
        let waiting = async {
            loop {
                match self.action(id).await? {
                    Some(record) if !such(&record) => watch.change().await,
                    found => return Ok(found),
                }
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(found) => found,
            Err(_) => self.action(id).await,
        }
    }

    /// Verifies an approval against the stored action and counts it.
    ///
    /// # Errors
    /// `NotFound`, `NotAnApprover`, `AlreadySettled`, `Expired`, `NotVerified`, `ClockWentBack`, `Unavailable`.
    pub async fn approve(
        &self,
        id: ActionId,
        claim: ApprovalClaim,
    ) -> Result<ActionRecord, DeskError> {
        self.approve_at(id, claim, None).await
    }

    /// As [`Desk::approve`], from a workstation that the caller has observed.
    ///
    /// # Errors
    /// As [`Desk::approve`].
    pub async fn approve_at(
        &self,
        id: ActionId,
        claim: ApprovalClaim,
        workstation: Option<Workstation>,
    ) -> Result<ActionRecord, DeskError> {
        let mut connection = self.reader().await?;
        let (record, _) = self
            .stored(store::action::load(&mut connection, id).await)?
            .ok_or(DeskError::NotFound)?;
        let key = self
            .stored(store::key::load(&mut connection, claim.key).await)?
            .ok_or(DeskError::NotVerified)?;
        let uncertified = self.uncertified(&mut connection, &key).await?;
        drop(connection);
        let checked = match (
            settle::check(&self.inner.shared, &record, &key, &claim, self.now())?,
            uncertified,
        ) {
            (settle::Checked::Genuine { .. }, Some(reason)) => settle::Checked::Failed(reason),
            (checked, _) => checked,
        };
        self.run(settle::Approve {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            claim,
            checked,
            workstation,
        })
        .await?
        .inspect(|_| self.inner.presence_news.notify_one())
    }

    /// Woken by whatever is committed about this action.
    fn watch(&self, action: ActionId) -> Watch<'_> {
        Watch {
            hub: &self.inner.hub,
            action,
            changes: Some(self.inner.hub.watch(action)),
        }
    }

    /// A person (the requester or a possible approver) says no.
    ///
    /// # Errors
    /// `NotFound`, `NotAnApprover`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable`.
    pub async fn refuse(
        &self,
        id: ActionId,
        person: PersonId,
        reason: RefusalReason,
        text: Option<String>,
    ) -> Result<ActionRecord, DeskError> {
        let shared = Arc::clone(&self.inner.shared);
        self.run(settle::Refuse {
            shared,
            action: id,
            person,
            reason,
            text,
        })
        .await
    }

    /// The client went away or holding serves no more: the action ends as refused, without a person.
    ///
    /// # Errors
    /// `NotFound`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Unavailable`.
    pub async fn cancel(
        &self,
        id: ActionId,
        reason: CancelReason,
    ) -> Result<ActionRecord, DeskError> {
        self.run(settle::Cancel {
            shared: Arc::clone(&self.inner.shared),
            action: id,
            reason,
        })
        .await
    }

    /// A person's live keys that count for this action.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys_for(
        &self,
        person: &PersonId,
        record: &ActionRecord,
    ) -> Result<Vec<KeySummary>, DeskError> {
        let mut connection = self.reader().await?;
        let mut keys = self.stored(store::key::of_person(&mut connection, person).await)?;
        let (now, held) = (self.now(), keys.len());
        if let Some(requirement) = &record.requirement {
            let shared = &self.inner.shared;
            keys.retain(
                |key| match shared.key_counts(requirement, &key.credential, now) {
                    Ok(()) => true,
                    Err(reason) => {
                        tracing::debug!(action_id = %record.id, key = %key.id, reason, "this key does not count");
                        false
                    }
                },
            );
        }
        let may_seal = if record.kind == "session.open" {
            for_sign_in(&keys)
        } else {
            live(&keys)
        };
        if may_seal.is_empty() {
            let states: Vec<_> = keys.iter().map(|key| key.state).collect();
            tracing::info!(action_id = %record.id, held, ?states, "no key of this person may seal this action");
        }
        Ok(may_seal)
    }

    /// Whether a pending action awaits this person: they count, and have not approved it yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn awaits(
        &self,
        record: &ActionRecord,
        person: &PersonId,
    ) -> Result<bool, DeskError> {
        if record.state != State::Pending
            || record.kind == "key.register"
            || record
                .approvals
                .iter()
                .any(|approval| approval.person == *person)
        {
            return Ok(false);
        }
        self.may_approve(record, person).await
    }

    /// Whether this person counts for the action.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn may_approve(
        &self,
        record: &ActionRecord,
        person: &PersonId,
    ) -> Result<bool, DeskError> {
        let Some(requirement) = &record.requirement else {
            return Ok(false);
        };
        let mut connection = self.reader().await?;
        let Some(found) = self.stored(store::person::load(&mut connection, person).await)? else {
            return Ok(false);
        };
        let ancestors = self.stored(store::person::ancestors(&mut connection, person).await)?;
        Ok(policy::counts(requirement, &record.requester, &found, &ancestors).is_ok())
    }

    /// Names of the actions that may await this person.
    pub(super) async fn awaiting(&self, person: &PersonId) -> Result<Vec<ActionId>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(store::action::awaiting(&mut connection, person, now).await)
    }
}

/// One action being watched; forgotten when dropped.
struct Watch<'h> {
    hub: &'h Hub,
    action: ActionId,
    changes: Option<tokio::sync::watch::Receiver<()>>,
}

impl Watch<'_> {
    async fn change(&mut self) {
        if let Some(changes) = &mut self.changes
            && changes.changed().await.is_ok()
        {
            return;
        }
        // The board never closes a watched channel; if it did, waiting for the time-out is right.
        std::future::pending::<()>().await;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.changes = None;
        self.hub.unwatch(self.action);
    }
}
