//! What a person's agent reports of a key: its PIN is locked or blocked, so whoever holds it does not know the PIN (attack 9).
//!
//! Trusts the session (it is the person's); the report itself is a claim, and changes nothing but the log: somebody should look.

use std::sync::{Arc, PoisonError};

use super::{Desk, DeskError, Shared};
use crate::id::{KeyId, PersonId};
use crate::store::key;
use crate::writer::{Command, Fault, Tx};

impl Desk {
    /// A person's agent saw that the PIN of one of their keys is locked or blocked: an alert in the log, once for each key and window.
    ///
    /// # Errors
    /// `NotFound` when the key is not theirs, `Unavailable`.
    pub async fn report_blocked(&self, person: PersonId, key: KeyId) -> Result<(), DeskError> {
        self.run(ReportBlocked {
            shared: Arc::clone(&self.inner.shared),
            person,
            key,
        })
        .await
    }
}

/// `Desk::report_blocked`.
pub(super) struct ReportBlocked {
    pub(super) shared: Arc<Shared>,
    pub(super) person: PersonId,
    pub(super) key: KeyId,
}

impl Command for ReportBlocked {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let known = key::load(tx.connection, self.key).await?;
        if known.is_none_or(|key| key.person != self.person) {
            return Err(DeskError::NotFound.into());
        }
        // One entry for each key and window: a person cannot fill the log.
        let due = {
            let mut blocked = self
                .shared
                .blocked
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let window = self.shared.limits.window.0;
            blocked.retain(|_, last| tx.now - *last < window);
            blocked.insert(self.key, tx.now).is_none()
        };
        if due {
            let (blocked, key) = (Arc::clone(&self.shared.blocked), self.key);
            tx.unless_committed(move || {
                blocked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&key);
            });
            let entry = tx.entry("alert.pin-blocked").subject("key", self.key);
            tx.append(entry, None, &[("person", self.person.as_str())])
                .await?;
        }
        Ok(())
    }
}
