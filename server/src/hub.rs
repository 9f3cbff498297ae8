//! Who waits for what, in this instance: connections that hold for an action, and inboxes.
//!
//! Told by the writer after each commit. What other instances commit is seen by reading the log from where this instance last
//! looked ([`Hub::seen`]), every half second and only while somebody here waits: an idle server asks nothing.
//! Telling is *at least once* and carries no state: who is woken reads the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, watch};

use crate::id::{ActionId, PersonId};

/// Events that one slow inbox may fall behind before it starts anew.
const INBOX_DEPTH: usize = 64;

/// What a committed transaction tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The action that changed.
    pub(crate) action: ActionId,
    /// Persons whose inbox shows it.
    pub(crate) audience: Vec<PersonId>,
}

#[derive(Default)]
struct Board {
    actions: HashMap<ActionId, watch::Sender<()>>,
    inboxes: HashMap<PersonId, broadcast::Sender<ActionId>>,
}

/// Who waits.
#[derive(Default)]
pub(crate) struct Hub {
    board: Mutex<Board>,
    seen: AtomicU64,
    arrivals: Notify,
    endings: watch::Sender<()>,
    times_ended: AtomicI64,
    commits: AtomicU64,
}

impl Hub {
    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic while the board was held leaves maps that are still maps.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Woken whenever this action changes, from now on.
    pub(crate) fn watch(&self, action: ActionId) -> watch::Receiver<()> {
        let receiver = self
            .board()
            .actions
            .entry(action)
            .or_insert_with(|| watch::channel(()).0)
            .subscribe();
        self.arrivals.notify_one();
        receiver
    }

    /// Forgets an action that nobody watches any more.
    pub(crate) fn unwatch(&self, action: ActionId) {
        let mut board = self.board();
        if board
            .actions
            .get(&action)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            board.actions.remove(&action);
        }
    }

    /// Names of actions that this person's inbox should look at, from now on.
    pub(crate) fn inbox(&self, person: &PersonId) -> broadcast::Receiver<ActionId> {
        let receiver = self
            .board()
            .inboxes
            .entry(person.clone())
            .or_insert_with(|| broadcast::channel(INBOX_DEPTH).0)
            .subscribe();
        self.arrivals.notify_one();
        receiver
    }

    /// Whether an inbox of this person is open in this instance.
    pub(crate) fn listens(&self, person: &PersonId) -> bool {
        self.board()
            .inboxes
            .get(person)
            .is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Forgets an inbox that nobody reads any more.
    pub(crate) fn leave(&self, person: &PersonId) {
        let mut board = self.board();
        if board
            .inboxes
            .get(person)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            board.inboxes.remove(person);
        }
    }

    /// How many connections wait: for actions, and inboxes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let board = self.board();
        (
            board.actions.len(),
            board
                .inboxes
                .values()
                .map(broadcast::Sender::receiver_count)
                .sum(),
        )
    }

    /// Tells everyone concerned.
    pub(crate) fn tell(&self, notices: &[Notice]) {
        let board = self.board();
        for notice in notices {
            if let Some(sender) = board.actions.get(&notice.action) {
                sender.send_replace(());
            }
            for person in &notice.audience {
                if let Some(sender) = board.inboxes.get(person) {
                    let _ = sender.send(notice.action);
                }
            }
        }
    }

    /// This instance committed, or may have: what was read before may not be so any more. Said before whoever asked for it is told.
    pub(crate) fn changed(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// This instance committed entries `from .. to`.
    pub(crate) fn committed(&self, notices: Vec<Notice>, from: u64, to: u64) {
        self.tell(&notices);
        // When others wrote in between, `seen` stays before their entries, and the reader of the log finds them.
        let _ = self
            .seen
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Woken whenever something that may be in use was ended (sessions or persons suspended), from now on.
    pub(crate) fn endings(&self) -> watch::Receiver<()> {
        let receiver = self.endings.subscribe();
        self.arrivals.notify_one();
        receiver
    }

    /// Something was ended by this instance.
    pub(crate) fn ended(&self) {
        self.endings.send_replace(());
    }

    /// The store counts so many endings; more than before means that another instance ended something.
    pub(crate) fn ended_so_often(&self, times: i64) {
        if self.times_ended.fetch_max(times, Ordering::AcqRel) < times {
            self.ended();
        }
    }

    /// Up to where this instance has told what the log says.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// The log was read up to here.
    pub(crate) fn read_to(&self, next: u64) {
        self.seen.fetch_max(next, Ordering::AcqRel);
    }

    /// Returns once somebody waits.
    pub(crate) async fn somebody(&self) {
        loop {
            let arrival = self.arrivals.notified();
            if self.waiting() != (0, 0) || self.endings.receiver_count() > 0 {
                return;
            }
            arrival.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(n: u128) -> ActionId {
        ActionId(uuid::Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn tells_watchers_and_inboxes_of_the_action_alone() {
        let hub = Hub::default();
        let mut first = hub.watch(action(1));
        let second = hub.watch(action(2));
        let alice: PersonId = "alice".parse().unwrap();
        let mut inbox = hub.inbox(&alice);
        hub.committed(
            vec![Notice {
                action: action(1),
                audience: vec![alice],
            }],
            0,
            1,
        );
        first.changed().await.unwrap();
        assert!(!second.has_changed().unwrap());
        assert_eq!(inbox.try_recv(), Ok(action(1)));
    }

    #[test]
    fn forgets_whom_nobody_is() {
        let hub = Hub::default();
        let receiver = hub.watch(action(1));
        hub.unwatch(action(1));
        assert_eq!(hub.waiting(), (1, 0));
        drop(receiver);
        hub.unwatch(action(1));
        assert_eq!(hub.waiting(), (0, 0));
    }

    #[test]
    fn entries_of_other_instances_are_not_skipped() {
        let hub = Hub::default();
        hub.committed(Vec::new(), 0, 3);
        assert_eq!(hub.seen(), 3);
        hub.committed(Vec::new(), 5, 6);
        assert_eq!(hub.seen(), 3);
        hub.read_to(6);
        assert_eq!(hub.seen(), 6);
    }
}
