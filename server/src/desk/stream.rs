//! The log as a stream: entries from a durable place on, for one instance at a time.

use sceau_proof::log::Entry;
use time::Duration;

use super::{Desk, DeskError};
use crate::store::cursor::{self, Cursor};
use crate::store::log::StoredEntry;
use crate::store::{self};
use crate::writer::{Command, Fault, Tx};

/// How long an instance that takes a stream has it for itself without a sign of life.
const LEASE: Duration = Duration::seconds(30);

impl Desk {
    /// The log's origin.
    #[must_use]
    pub fn log_origin(&self) -> &str {
        &self.inner.shared.log_origin
    }

    /// Takes a stream, or goes on with it after `delivered` entries; the entry that is next. `None`: another instance has it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn take_stream(
        &self,
        name: &str,
        delivered: Option<u64>,
    ) -> Result<Option<u64>, DeskError> {
        self.run(Take {
            name: name.to_owned(),
            holder: self.inner.shared.instance.clone(),
            next: delivered,
        })
        .await
    }

    /// At most `most` entries from `from` on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn entries_from(
        &self,
        from: u64,
        most: u64,
    ) -> Result<Vec<(StoredEntry, Entry)>, DeskError> {
        let mut connection = self.reader().await?;
        let stored = self
            .stored(store::log::entries(&mut connection, from, from.saturating_add(most)).await)?;
        stored
            .into_iter()
            .map(|stored| {
                let entry = Entry::parse(&stored.body)
                    .map_err(|_| DeskError::Misuse("stored entry does not parse"))?;
                Ok((stored, entry))
            })
            .collect()
    }
}

struct Take {
    name: String,
    holder: String,
    next: Option<u64>,
}

impl Command for Take {
    type Output = Option<u64>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Option<u64>, Fault> {
        let before = cursor::load(tx.connection, &self.name).await?;
        if let Some(before) = &before
            && before.holder != self.holder
            && before.until > tx.now
        {
            return Ok(None);
        }
        let was = before.map_or(0, |before| before.next);
        let next = self.next.unwrap_or(was).max(was);
        let cursor = Cursor {
            next,
            holder: self.holder.clone(),
            until: tx.now + LEASE,
        };
        cursor::save(tx.connection, &self.name, &cursor).await?;
        Ok(Some(next))
    }
}
