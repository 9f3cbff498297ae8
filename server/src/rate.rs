//! Prompt fatigue (attack 3): how much may be asked of one person's attention. Pure: counts in, a verdict out.
//!
//! The counts come from the store, inside the writing transaction, so that several instances count together.

use serde::Deserialize;
use time::Duration;

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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 5,
            asked: 20,
            refused: 3,
            window: Span(Duration::minutes(1)),
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
}
