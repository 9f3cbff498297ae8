//! How often a person is disturbed (attack 3, the agent's side): a few prompts that nobody wanted, and it becomes quiet. Pure.
//!
//! What was sealed was wanted, and does not count. What waits stays visible in `sceau status`; only the windows wait.

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};

/// Unwanted prompts within [`WINDOW`] after which it becomes quiet.
pub const MOST: usize = 5;
/// See [`MOST`].
pub const WINDOW: Duration = Duration::minutes(1);
/// How long it is quiet at first; each time twice as long, up to [`LONGEST`].
pub const QUIET: Duration = Duration::minutes(2);
/// See [`QUIET`].
pub const LONGEST: Duration = Duration::minutes(30);

/// The pace.
#[derive(Debug, Default)]
pub struct Pace {
    unwanted: VecDeque<OffsetDateTime>,
    quiet_until: Option<OffsetDateTime>,
    times: u32,
}

impl Pace {
    /// Whether the person may be disturbed; if not, until when it is quiet.
    ///
    /// # Errors
    /// The end of the quiet.
    pub fn may_prompt(&self, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        match self.quiet_until {
            Some(end) if now < end => Err(end),
            _ => Ok(()),
        }
    }

    /// The person refused a prompt, put it off or let it pass. True: from now on it is quiet.
    pub fn unwanted(&mut self, now: OffsetDateTime) -> bool {
        self.unwanted.retain(|then| now - *then < WINDOW);
        self.unwanted.push_back(now);
        if self.unwanted.len() < MOST {
            return false;
        }
        self.unwanted.clear();
        let quiet = (QUIET * 2_i32.saturating_pow(self.times)).min(LONGEST);
        self.times = (self.times + 1).min(8);
        self.quiet_until = Some(now + quiet);
        true
    }

    /// The person sealed something.
    pub fn wanted(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::NOW;

    #[test]
    fn flood_of_unwanted_prompts_is_stopped_for_longer_each_time() {
        let mut pace = Pace::default();
        let mut now = NOW;
        let mut shown = 0;
        // Fifty requests in a minute, each refused at once.
        for _ in 0..50 {
            now += Duration::seconds(1);
            if pace.may_prompt(now).is_ok() {
                shown += 1;
                pace.unwanted(now);
            }
        }
        assert_eq!(shown, MOST);
        let end = pace.may_prompt(now).unwrap_err();
        assert_eq!(pace.may_prompt(end), Ok(()));
        for _ in 0..MOST {
            pace.unwanted(end);
        }
        assert_eq!(pace.may_prompt(end), Err(end + QUIET * 2));
    }

    #[test]
    fn work_at_a_steady_pace_is_not_disturbed() {
        let mut pace = Pace::default();
        for second in 0..100 {
            let now = NOW + Duration::seconds(second);
            assert_eq!(pace.may_prompt(now), Ok(()));
            if second % 3 == 0 {
                pace.wanted();
            } else {
                pace.unwanted(now);
            }
        }
    }
}
