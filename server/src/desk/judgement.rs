//! Enrolled keys judged again: at each new metadata list, and whenever a day may have changed what the list says; cards besides at each start and
//! now and then, since `[piv]` may have tightened, and certificates end and are revoked. A key that falls is
//! suspended in the transaction that makes the list count, with its entry and an alert; what it had approved and nobody has acted on yet
//! is refused, and what it approved in the last [`REVIEW`] is there to be looked at.
//!
//! Judging is pure and slow, so it is done before the transaction; under the lock only keys enrolled in between are judged. An
//! enrolment that was judged by an older list than the one in force is not accepted (`enrolment`), so no key slips through.
//!
//! Trusts the list (`metadata` verified it) and the store's key records.

use std::collections::HashMap;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::open::about;
use super::settle::save;
use super::{Desk, DeskError, Shared};
use crate::action::{ActionRecord, Settlement, State};
use crate::id::{ActionId, KeyId, PersonId};
use crate::key::KeyState;
use crate::metadata::List;
use crate::piv::KeptCard;
use crate::policy::OWN_SERVICE;
use crate::store::judgement::{self, Given, Kept};
use crate::store::metadata::{self, Seen};
use crate::store::{action, key};
use crate::writer::{Command, Fault, Tx};

/// How far back the approvals of a fallen key are listed.
pub const REVIEW: Duration = Duration::days(90);

/// Keys judged between two reads of the store.
const PAGE: i64 = 500;

/// Which keys are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// PIV cards alone, of which metadata says nothing.
    Cards,
}

/// What became of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// It is newer than what was in force.
    pub changed: bool,
    /// How many keys fell.
    pub fallen: usize,
}

/// A list that another one contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A newer one is in force.
    #[error("number went back")]
    Rollback,
    /// The one in force has the same number and says something else.
    #[error("two lists have this number")]
    NumberReused,
}

impl Contradiction {
    /// Kebab-case.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::NumberReused => "number-reused",
        }
    }
}

/// What a key did of late.
#[derive(Debug, Clone)]
pub struct Review {
    /// The key, with what enrolment kept.
    pub key: Kept,
    /// Its approvals, newest first.
    pub approvals: Vec<Given>,
    /// From when on.
    pub since: OffsetDateTime,
}

/// Whether an action may be approved while nothing can be believed of keys: signing in opens nothing, and stopping somebody must
/// always be possible.
pub(super) fn stops_or_opens_nothing(record: &ActionRecord) -> bool {
    record.service.as_str() == OWN_SERVICE
        && matches!(
            record.kind.as_str(),
            "session.open" | "session.end" | "person.suspend" | "key.revoke"
        )
}

impl Desk {
    /// The metadata list that is in force for all instances of this store.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn metadata_seen(&self) -> Result<Option<Seen>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(metadata::load(&mut connection).await)
    }

    /// Why nothing can be believed of keys now, if so: `metadata-missing`, `metadata-stale`.
    #[must_use]
    pub fn blind(&self) -> Option<&'static str> {
        self.inner.shared.judge.blind(self.now())
    }

    /// Puts a verified list in force: all keys are judged by it, those that fall are suspended, and from then on it judges enrolments.
    /// The inner error says why it may not be in force.
    ///
    /// # Errors
    /// `Unavailable`, `ClockWentBack`.
    pub async fn believe(
        &self,
        list: Arc<List>,
    ) -> Result<Result<Believed, Contradiction>, DeskError> {
        let judged = self.judged(Some(&list), Scope::All).await?;
        let believed = self
            .run(Judgement {
                shared: Arc::clone(&self.inner.shared),
                list: Some(Arc::clone(&list)),
                scope: Scope::All,
                judged,
            })
            .await?;
        if believed.is_ok() {
            self.inner.shared.judge.believe(list.metadata());
        }
        Ok(believed)
    }

    /// Judges all keys again by the list in force, since time alone may change what it says. Returns how many fell.
    ///
    /// # Errors
    /// `Unavailable`, `ClockWentBack`.
    pub async fn judge_keys(&self) -> Result<usize, DeskError> {
        match self.blind() {
            Some("metadata-missing") => self.judge_by_time(Scope::Cards).await,
            _ => self.judge_by_time(Scope::All).await,
        }
    }

    /// Judges all cards again by `[piv]` as it is now and by what can be known of their revocation. Returns how many fell.
    ///
    /// # Errors
    /// `Unavailable`, `ClockWentBack`.
    pub async fn judge_cards(&self) -> Result<usize, DeskError> {
        self.judge_by_time(Scope::Cards).await
    }

    async fn judge_by_time(&self, scope: Scope) -> Result<usize, DeskError> {
        let judged = self.judged(None, scope).await?;
        if judged.values().all(Option::is_none) {
            return Ok(0);
        }
        let believed = self
            .run(Judgement {
                shared: Arc::clone(&self.inner.shared),
                list: None,
                scope,
                judged,
            })
            .await?;
        Ok(believed.map_or(0, |believed| believed.fallen))
    }

    /// What a key approved within [`REVIEW`]; `None` when there is no such key.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn review(&self, id: KeyId) -> Result<Option<Review>, DeskError> {
        let since = self.now() - REVIEW;
        let mut connection = self.reader().await?;
        let Some(key) = self.stored(judgement::one(&mut connection, id).await)? else {
            return Ok(None);
        };
        let approvals = self.stored(judgement::given(&mut connection, id, since).await)?;
        Ok(Some(Review {
            key,
            approvals,
            since,
        }))
    }

    /// A person's suspended keys, each with why.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspended_keys(&self, person: &PersonId) -> Result<Vec<Kept>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(judgement::suspended(&mut connection, person).await)
    }

    /// Every live key's verdict, by that list or by the one in force.
    async fn judged(&self, list: Option<&Arc<List>>, scope: Scope) -> Result<Verdicts, DeskError> {
        let mut verdicts = Verdicts::new();
        let mut after = String::new();
        loop {
            let mut connection = self.reader().await?;
            let page = self.stored(judgement::page(&mut connection, &after, true, PAGE).await)?;
            drop(connection);
            let Some(last) = page.last() else {
                return Ok(verdicts);
            };
            after = last.id.to_string();
            let (shared, list, now) = (
                Arc::clone(&self.inner.shared),
                list.map(Arc::clone),
                self.now(),
            );
            for key in &page {
                if let Some(card) = KeptCard::read(&key.record) {
                    verdicts.insert(key.id, card_verdict(&shared, &card, now).await);
                }
            }
            if scope == Scope::Cards {
                continue;
            }
            let judged = tokio::task::spawn_blocking(move || {
                page.iter()
                    .filter(|key| KeptCard::read(&key.record).is_none())
                    .map(|key| (key.id, verdict(&shared, list.as_deref(), key, now)))
                    .collect::<Vec<_>>()
            });
            verdicts.extend(judged.await.map_err(|_| DeskError::Misuse("judging"))?);
        }
    }
}

type Verdicts = HashMap<KeyId, Option<&'static str>>;

/// Why a card may not stay, if so. Where none is accepted any more, all fall.
async fn card_verdict(
    shared: &Shared,
    card: &KeptCard,
    now: OffsetDateTime,
) -> Option<&'static str> {
    match &shared.cards {
        Some(cards) => cards.judge_again(card, now).await.fallen,
        None => Some("cards-not-enrolled"),
    }
}

/// Why a FIDO2 key may not stay, if so. (A card stands: it was judged when it was enrolled, a moment ago.)
fn verdict(
    shared: &Shared,
    list: Option<&List>,
    key: &Kept,
    now: OffsetDateTime,
) -> Option<&'static str> {
    let metadata = match list {
        Some(list) => Some(list.metadata()),
        None => shared.judge.believed(),
    };
    shared
        .judge
        .judge_again(&key.record, &key.roles, metadata.as_deref(), now)
        .fallen
}

/// `Desk::believe` and `Desk::judge_keys`, after every key was judged.
struct Judgement {
    shared: Arc<Shared>,
    list: Option<Arc<List>>,
    scope: Scope,
    judged: Verdicts,
}

impl Command for Judgement {
    type Output = Result<Believed, Contradiction>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let mut believed = Believed {
            changed: false,
            fallen: 0,
        };
        if let Some(list) = &self.list {
            match metadata::load(tx.connection).await? {
                Some(seen) if seen.no > list.no() => return Ok(Err(Contradiction::Rollback)),
                Some(seen) if seen.no == list.no() => {
                    if seen.payload_sha256 != list.payload_sha256() {
                        return Ok(Err(Contradiction::NumberReused));
                    }
                }
                _ => {
                    put_in_force(tx, list).await?;
                    believed.changed = true;
                }
            }
        }
        for id in judgement::live(tx.connection).await? {
            let early = self.judged.get(&id).copied();
            if early == Some(None) || (early.is_none() && self.scope == Scope::Cards) {
                continue;
            }
            let Some(key) = judgement::one(tx.connection, id).await? else {
                continue;
            };
            let fallen = match early {
                Some(verdict) => verdict,
                None => verdict(&self.shared, self.list.as_deref(), &key, tx.now),
            };
            if let Some(reason) = fallen {
                self.suspend(tx, &key, reason).await?;
                believed.fallen += 1;
            }
        }
        Ok(Ok(believed))
    }
}

async fn put_in_force(tx: &mut Tx<'_>, list: &List) -> Result<(), Fault> {
    let metadata = list.metadata();
    let seen = Seen {
        no: list.no(),
        payload_sha256: list.payload_sha256(),
        next_update: metadata.next_update().to_string(),
        at: tx.now,
    };
    metadata::save(tx.connection, &seen).await?;
    let entry = tx
        .entry("metadata.changed")
        .digest("metadata", list.sha256())
        .datum("no", seen.no)
        .datum("next_update", seen.next_update)
        .datum("entries", metadata.entries().len())
        .datum("problems", metadata.problems().len());
    tx.append(entry, None, &[]).await?;
    Ok(())
}

impl Judgement {
    /// The key counts no more; what it had approved and nobody has acted on is refused.
    async fn suspend(
        &self,
        tx: &mut Tx<'_>,
        key: &Kept,
        reason: &'static str,
    ) -> Result<(), Fault> {
        key::set_state(tx.connection, key.id, KeyState::Suspended, reason).await?;
        let personal = [("person", key.person.as_str())];
        let entry = tx
            .entry("key.suspended")
            .subject("key", key.id)
            .digest("key", key.record_sha256)
            .datum("reason", reason)
            .datum("aaguid", key.aaguid.as_str());
        tx.append(entry, None, &personal).await?;
        let given = judgement::given(tx.connection, key.id, tx.now - REVIEW).await?;
        let mut refused = 0;
        for approval in given
            .iter()
            .filter(|given| given.state == State::Pending.as_str())
        {
            refused += usize::from(self.refuse(tx, approval.action_id).await?);
        }
        // For the person and the administrators: `GET /v1/me` and `GET /v1/keys/{id}/review` tell them more.
        let entry = tx
            .entry("alert.key-fallen")
            .subject("key", key.id)
            .datum("reason", reason)
            .datum("approvals", given.len())
            .datum("refused", refused);
        tx.append(entry, None, &personal).await?;
        tracing::warn!(key = %key.id, reason, approvals = given.len(), "a key fell and is suspended; review what it approved");
        Ok(())
    }

    async fn refuse(&self, tx: &mut Tx<'_>, id: ActionId) -> Result<bool, Fault> {
        let Some((mut record, standing)) = action::load(tx.connection, id).await? else {
            return Ok(false);
        };
        let Ok(standing) = standing.refuse(tx.now) else {
            return Ok(false);
        };
        record.refusal = Some(Settlement {
            reason: "key-suspended".to_owned(),
            by: None,
            at: tx.now,
            text: None,
        });
        let entry = about(tx, "action.refused", &record).datum("reason", "key-suspended");
        tx.append(entry, Some(record.id), &[]).await?;
        save(tx, &self.shared, record, standing).await?;
        Ok(true)
    }
}
