//! The inbox of one person: what awaits them, as it comes. Backed by the store: falling behind or another instance's writes only
//! mean that it is read again.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Desk, DeskError};
use crate::action::{ActionRecord, State};
use crate::id::{ActionId, PersonId};

impl Desk {
    /// Opens a person's inbox.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn subscribe(&self, person: PersonId) -> Result<Inbox, DeskError> {
        let mut inbox = Inbox::open(self.clone(), person);
        inbox.fill().await?;
        Ok(inbox)
    }
}

/// What an inbox tells. Told at least once.
#[derive(Debug, Clone, PartialEq)]
pub enum InboxEvent {
    /// This action awaits the person.
    Action(Box<ActionRecord>),
    /// It does not any more.
    Settled(ActionId, State),
}

/// An open inbox.
pub struct Inbox {
    desk: Desk,
    person: PersonId,
    news: Option<broadcast::Receiver<ActionId>>,
    shown: BTreeMap<ActionId, State>,
    ready: VecDeque<InboxEvent>,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Only once the receiver is gone is the inbox one fewer.
        self.news = None;
        self.desk.inner.hub.leave(&self.person);
    }
}

impl Inbox {
    pub(super) fn open(desk: Desk, person: PersonId) -> Self {
        // Subscribed before the store is read: nothing falls between.
        let news = Some(desk.inner.hub.inbox(&person));
        Self {
            desk,
            person,
            news,
            shown: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// What awaits the person now; called once, before [`Inbox::next`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn fill(&mut self) -> Result<(), DeskError> {
        for id in self.desk.awaiting(&self.person).await? {
            self.look(id).await?;
        }
        Ok(())
    }

    /// The next event. Waits without any timer of its own.
    ///
    /// # Errors
    /// `Unavailable`: the client reconnects.
    pub async fn next(&mut self) -> Result<InboxEvent, DeskError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Some(news) = &mut self.news else {
                return Err(DeskError::Unavailable);
            };
            match news.recv().await {
                Ok(id) => self.look(id).await?,
                Err(RecvError::Lagged(_)) => {
                    let shown: Vec<ActionId> = self.shown.keys().copied().collect();
                    for id in shown {
                        self.look(id).await?;
                    }
                    self.fill().await?;
                }
                Err(RecvError::Closed) => return Err(DeskError::Unavailable),
            }
        }
    }

    async fn look(&mut self, id: ActionId) -> Result<(), DeskError> {
        let Some(record) = self.desk.action(id).await? else {
            return Ok(());
        };
        if record.state == State::Pending && self.desk.awaits(&record, &self.person).await? {
            if self.shown.insert(id, State::Pending).is_none() {
                self.ready.push_back(InboxEvent::Action(Box::new(record)));
            }
        } else if self.shown.remove(&id).is_some() {
            self.ready.push_back(InboxEvent::Settled(id, record.state));
        }
        Ok(())
    }
}
