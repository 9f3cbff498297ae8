//! The inbox of one person: what awaits them, as it comes. Backed by the store: falling behind or another instance's writes only
//! mean that it is read again. An agent's inbox also carries what its keys are asked to prove (`presence`); no other one does.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Sleep;

use super::presence::{Asked, may_prove};
use super::{Desk, DeskError};
use crate::action::{ActionRecord, State};
use crate::id::{ActionId, PersonId, SessionId};
use crate::session::Session;
use crate::store::Backend;

impl Desk {
    /// Whether an inbox of this person is open here: somebody asks them at once.
    #[must_use]
    pub fn hears(&self, person: &PersonId) -> bool {
        self.inner.hub.listens(person)
    }

    /// Whether all inboxes are open here: with a store that other instances share, this one does not know of theirs.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        self.inner.store.backend() == Backend::Sqlite
    }

    /// Opens a person's inbox.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn subscribe(&self, person: PersonId) -> Result<Inbox, DeskError> {
        let mut inbox = Inbox::open(self.clone(), person);
        inbox.fill().await?;
        Ok(inbox)
    }

    /// Opens the inbox of a session's person; an agent's session is also asked for proofs of presence.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn subscribe_session(&self, session: &Session) -> Result<Inbox, DeskError> {
        let mut inbox = Inbox::open(self.clone(), session.person.clone());
        inbox.agent = may_prove(session).then_some(session.id);
        inbox.fill().await?;
        inbox.ask(true).await?;
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
    /// A key is to prove that it is there.
    Presence(Box<Asked>),
}

/// An open inbox.
pub struct Inbox {
    desk: Desk,
    person: PersonId,
    news: Option<broadcast::Receiver<ActionId>>,
    shown: BTreeMap<ActionId, State>,
    ready: VecDeque<InboxEvent>,
    /// The agent's session that proves presence.
    agent: Option<SessionId>,
    /// When it is asked next; no timer runs while nothing is to be proven.
    due: Option<Pin<Box<Sleep>>>,
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
            agent: None,
            due: None,
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

    /// The next event. Waits without any timer, but while a session of the person needs proofs of presence.
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
            let due = async {
                match &mut self.due {
                    Some(due) => due.await,
                    None => std::future::pending().await,
                }
            };
            let received = tokio::select! {
                received = news.recv() => received,
                () = due => {
                    self.ask(false).await?;
                    continue;
                }
            };
            match received {
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
        // A sign-in was just sealed: its session may need a key that is here.
        if record.kind == "session.open" && record.state == State::Executed {
            self.ask(false).await?;
        }
        if record.state == State::Pending && self.desk.awaits(&record, &self.person).await? {
            if self.shown.insert(id, State::Pending).is_none() {
                self.ready.push_back(InboxEvent::Action(Box::new(record)));
            }
        } else if self.shown.remove(&id).is_some() {
            self.ready.push_back(InboxEvent::Settled(id, record.state));
        }
        Ok(())
    }

    async fn ask(&mut self, probe: bool) -> Result<(), DeskError> {
        let Some(agent) = self.agent else {
            return Ok(());
        };
        let (asked, pause) = self.desk.ask_presence(&self.person, agent, probe).await?;
        let events = asked
            .into_iter()
            .map(|one| InboxEvent::Presence(Box::new(one)));
        self.ready.extend(events);
        self.due = pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
        Ok(())
    }
}
