//! Prompt fatigue (attack 3): how much may be asked of one person's attention. Pure: counts in, a verdict out.
//!
//! The counts come from the store, inside the writing transaction, so that several instances count together.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use crate::config::Span;

/// Limits for one requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Actions that wait at one time.
    pub pending: u64,
    /// Actions asked for within `window`.
    pub asked: u64,
    /// Refusals within `window` that raise an alert.
    pub refused: u64,
    /// Over what time.
    pub window: Span,
    /// What one address may ask within `window` without a token (sign-ins, invitations).
    pub strangers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 5,
            asked: 20,
            refused: 3,
            window: Span(Duration::minutes(1)),
            strangers: 60,
        }
    }
}

/// What one requester did within the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Asked for.
    pub asked: u64,
    /// Of these, still waiting.
    pub pending: u64,
    /// Of these, refused.
    pub refused: u64,
}

/// Why one more is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Too many wait.
    Pending,
    /// Too many in the window.
    Asked,
    /// Refused too often in the window.
    Refused,
}

impl Limited {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "too-many-pending",
            Self::Asked => "too-many-asked",
            Self::Refused => "too-many-refused",
        }
    }
}

/// Whether one more action may be put before this person.
///
/// # Errors
/// Why not.
pub fn one_more(limits: Limits, counts: Counts) -> Result<(), Limited> {
    if counts.refused >= limits.refused {
        Err(Limited::Refused)
    } else if counts.pending >= limits.pending {
        Err(Limited::Pending)
    } else if counts.asked >= limits.asked {
        Err(Limited::Asked)
    } else {
        Ok(())
    }
}

/// A burst for each of many callers without a token, refilled evenly. Bounded: when too many are known, those who are full again are
/// forgotten, and a stranger beyond that shares one bucket.
#[derive(Debug)]
pub struct Burst<K> {
    size: u32,
    refill: Duration,
    known: HashMap<K, (u32, OffsetDateTime)>,
    others: (u32, OffsetDateTime),
}

/// Callers known at one time.
const KNOWN: usize = 4096;

impl<K: Eq + Hash> Burst<K> {
    /// `size` at once, and one more every `refill`.
    #[must_use]
    pub fn new(size: u32, refill: Duration) -> Self {
        Self {
            size,
            refill,
            known: HashMap::new(),
            others: (size, OffsetDateTime::UNIX_EPOCH),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub fn take(&mut self, caller: K, now: OffsetDateTime) -> Result<(), Duration> {
        let (size, refill) = (self.size, self.refill);
        if self.known.len() >= KNOWN && !self.known.contains_key(&caller) {
            self.known
                .retain(|_, bucket| refilled(*bucket, size, refill, now).0 < size);
        }
        let bucket = if self.known.len() < KNOWN || self.known.contains_key(&caller) {
            self.known.entry(caller).or_insert((size, now))
        } else {
            &mut self.others
        };
        let (left, since) = refilled(*bucket, size, refill, now);
        match left.checked_sub(1) {
            Some(left) => {
                *bucket = (left, since);
                Ok(())
            }
            None => {
                *bucket = (0, since);
                Err((since + refill - now).max(Duration::SECOND))
            }
        }
    }
}

fn refilled(
    (left, since): (u32, OffsetDateTime),
    size: u32,
    refill: Duration,
    now: OffsetDateTime,
) -> (u32, OffsetDateTime) {
    let elapsed = (now - since).max(Duration::ZERO);
    let gained = elapsed.whole_milliseconds() / refill.whole_milliseconds().max(1);
    let gained = u32::try_from(gained).unwrap_or(size).min(size);
    if left.saturating_add(gained) >= size {
        return (size, now);
    }
    (left + gained, since + refill * gained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_in_a_minute_become_few_prompts() {
        let limits = Limits::default();
        let mut counts = Counts {
            asked: 0,
            pending: 0,
            refused: 0,
        };
        for _ in 0..50 {
            if one_more(limits, counts).is_ok() {
                counts.asked += 1;
                counts.pending += 1;
            }
        }
        assert_eq!(counts.pending, limits.pending);
        assert_eq!(one_more(limits, counts), Err(Limited::Pending));
    }

    #[test]
    fn a_person_who_said_no_three_times_is_left_alone() {
        let counts = Counts {
            asked: 3,
            pending: 0,
            refused: 3,
        };
        assert_eq!(one_more(Limits::default(), counts), Err(Limited::Refused));
    }

    #[test]
    fn answered_prompts_still_count_in_the_window() {
        let counts = Counts {
            asked: 20,
            pending: 0,
            refused: 0,
        };
        assert_eq!(one_more(Limits::default(), counts), Err(Limited::Asked));
    }

    #[test]
    fn strangers_share_nothing_until_there_are_too_many() {
        let mut burst = Burst::new(2, Duration::seconds(10));
        let now = OffsetDateTime::UNIX_EPOCH + Duration::hours(1);
        assert_eq!(burst.take(1, now), Ok(()));
        assert_eq!(burst.take(1, now), Ok(()));
        assert_eq!(burst.take(1, now), Err(Duration::seconds(10)));
        assert_eq!(burst.take(2, now), Ok(()));
        assert_eq!(
            burst.take(1, now + Duration::seconds(9)),
            Err(Duration::SECOND)
        );
        assert_eq!(burst.take(1, now + Duration::seconds(10)), Ok(()));
        for caller in 0..10_000 {
            let _ = burst.take(caller, now);
        }
        assert!(burst.known.len() <= KNOWN);
    }
}
