//! What awaits the person: actions as the inbox claims them, in order of arrival, bounded. Pure.
//!
//! An action that comes again with other bytes is a sign of tampering: both are dropped, and neither is ever shown. An action once settled here
//! is not taken up again.

use std::collections::VecDeque;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::ceremony::{EnrolledKey, Proposal, Unfit};

/// Most actions that wait at one time; more is a flood, and the rest is left to the server's limits.
pub const MAX_WAITING: usize = 32;
/// How many settled ids are remembered.
const MAX_SETTLED: usize = 512;

/// The queue.
#[derive(Default)]
pub struct Queue {
    waiting: VecDeque<Proposal>,
    settled: VecDeque<(Uuid, String)>,
    turned_away: u64,
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It waits now.
    Waits(Uuid),
    /// It waited already, the same bytes.
    Known(Uuid),
    /// It may not be shown, for this reason.
    Unfit(Unfit),
    /// The queue is full.
    TurnedAway,
}

impl Queue {
    /// Takes an action as claimed.
    pub fn arrive(
        &mut self,
        document: &[u8],
        keys: Vec<EnrolledKey>,
        now: OffsetDateTime,
    ) -> Arrival {
        self.forget_expired(now);
        let proposal = match Proposal::read(document, keys, now) {
            Ok(proposal) => proposal,
            Err(e) => return Arrival::Unfit(e),
        };
        let id = proposal.id();
        if self.settled.iter().any(|(settled, _)| *settled == id) {
            return Arrival::Unfit(Unfit::AlreadySettled);
        }
        if let Some(index) = self.waiting.iter().position(|other| other.id() == id) {
            if self
                .waiting
                .get(index)
                .is_some_and(|other| other.is_same_document(&proposal))
            {
                return Arrival::Known(id);
            }
            self.waiting.remove(index);
            self.settle(id, "conflict");
            return Arrival::Unfit(Unfit::Conflict);
        }
        if self.waiting.len() >= MAX_WAITING {
            self.turned_away += 1;
            return Arrival::TurnedAway;
        }
        self.waiting.push_back(proposal);
        Arrival::Waits(id)
    }

    /// Forgets an action, and remembers how it ended.
    pub fn settle(&mut self, id: Uuid, state: &str) {
        self.waiting.retain(|proposal| proposal.id() != id);
        if !self.settled.iter().any(|(settled, _)| *settled == id) {
            if self.settled.len() >= MAX_SETTLED {
                self.settled.pop_front();
            }
            self.settled
                .push_back((id, state.chars().take(32).collect()));
        }
    }

    /// How an action ended, if it did.
    #[must_use]
    pub fn settled(&self, id: Uuid) -> Option<&str> {
        self.settled
            .iter()
            .find(|(settled, _)| *settled == id)
            .map(|(_, state)| state.as_str())
    }

    /// The action `id`, or the oldest that is not in `except`.
    pub fn next(
        &mut self,
        id: Option<Uuid>,
        except: &[Uuid],
        now: OffsetDateTime,
    ) -> Option<Proposal> {
        self.forget_expired(now);
        let wanted = |proposal: &&Proposal| {
            id.map_or(!except.contains(&proposal.id()), |id| proposal.id() == id)
        };
        self.waiting.iter().find(wanted).cloned()
    }

    /// Everything that waits, oldest first.
    pub fn waiting(&mut self, now: OffsetDateTime) -> impl ExactSizeIterator<Item = &Proposal> {
        self.forget_expired(now);
        self.waiting.iter()
    }

    /// How many arrivals found the queue full.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Forgets what waits: the server tells it anew. What was settled stays so.
    pub fn start_over(&mut self) {
        self.waiting.clear();
    }

    /// Forgets everything: another person signed in.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget_expired(&mut self, now: OffsetDateTime) {
        self.waiting.retain(|proposal| proposal.expires_at() > now);
    }
}
