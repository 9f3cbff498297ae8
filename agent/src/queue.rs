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
            if let Some(other) = self.waiting.get_mut(index)
                && other.is_same_document(&proposal)
            {
                // Told again after a reconnection: which keys may seal it can be others by now.
                *other = proposal;
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;

    use super::*;
    use crate::config::RpId;
    use crate::specimen::{NOW, document, key};

    fn arrive(queue: &mut Queue, number: u128, more: serde_json::Value) -> Arrival {
        queue.arrive(&document(number, more), vec![key()], NOW)
    }

    #[test]
    fn actions_come_out_in_the_order_of_their_arrival_until_they_expire() {
        let mut queue = Queue::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(arrive(&mut queue, 1, json!({})), Arrival::Waits(one));
        assert_eq!(
            arrive(
                &mut queue,
                2,
                json!({ "expires_at": "2026-11-21T19:02:00Z" })
            ),
            Arrival::Waits(two)
        );
        assert_eq!(arrive(&mut queue, 1, json!({})), Arrival::Known(one));
        assert_eq!(queue.next(None, &[], NOW).map(|p| p.id()), Some(one));
        assert_eq!(queue.next(None, &[one], NOW).map(|p| p.id()), Some(two));
        assert_eq!(
            queue.next(Some(two), &[two], NOW).map(|p| p.id()),
            Some(two)
        );
        assert_eq!(queue.waiting(NOW + Duration::minutes(1)).len(), 1);
        assert!(queue.next(None, &[one], NOW).is_none());
    }

    #[test]
    fn an_action_that_is_told_again_is_sealed_by_the_keys_of_now() {
        let mut queue = Queue::default();
        let (one, told) = (Uuid::from_u128(1), document(1, json!({})));
        let rp_id = RpId::new("sceau.example").unwrap();
        let may_be_sealed = |queue: &mut Queue| {
            let proposal = queue.next(None, &[], NOW).unwrap();
            proposal.consented(&rp_id, NOW).is_ok()
        };
        assert_eq!(queue.arrive(&told, Vec::new(), NOW), Arrival::Waits(one));
        assert!(!may_be_sealed(&mut queue));
        assert_eq!(queue.arrive(&told, vec![key()], NOW), Arrival::Known(one));
        assert!(may_be_sealed(&mut queue));
    }

    #[test]
    fn action_with_two_contents_is_dropped_and_neither_comes_back() {
        let mut queue = Queue::default();
        arrive(&mut queue, 1, json!({}));
        assert_eq!(
            arrive(&mut queue, 1, json!({ "service": "other" })),
            Arrival::Unfit(Unfit::Conflict)
        );
        assert_eq!(
            arrive(&mut queue, 1, json!({})),
            Arrival::Unfit(Unfit::AlreadySettled)
        );
        assert_eq!(queue.waiting(NOW).len(), 0);
    }

    #[test]
    fn what_was_settled_is_not_taken_up_again_even_after_a_new_greeting() {
        let mut queue = Queue::default();
        arrive(&mut queue, 1, json!({}));
        queue.settle(Uuid::from_u128(1), "approved");
        queue.start_over();
        assert_eq!(
            arrive(&mut queue, 1, json!({})),
            Arrival::Unfit(Unfit::AlreadySettled)
        );
        assert_eq!(queue.settled(Uuid::from_u128(1)), Some("approved"));
    }

    #[test]
    fn flood_is_turned_away_and_its_memory_stays_bounded() {
        let mut queue = Queue::default();
        let arrivals: Vec<Arrival> = (1..=1000)
            .map(|number| arrive(&mut queue, number, json!({})))
            .collect();
        assert_eq!(
            arrivals
                .iter()
                .filter(|arrival| **arrival == Arrival::TurnedAway)
                .count(),
            1000 - MAX_WAITING
        );
        for number in 1..=2000 {
            queue.settle(Uuid::from_u128(number), "refused");
        }
        assert_eq!((queue.settled.len(), queue.waiting.len()), (MAX_SETTLED, 0));
    }
}
