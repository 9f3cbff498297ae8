//! Budgets for reading (attack 12): how many records a person may read before a key is touched again. Pure.
//!
//! Every slice of a budget is opened by a touch: the sign-in at the gate, or an action of the budget's own type. It ends when its records are
//! used up or its time is over, whichever comes first; nothing renews it but a touch. A record that was counted within the window is
//! not counted again, so that a page that polls costs what it shows, once.
//!
//! Counting itself is `gate::meter`; what was counted is kept by `store::reading` and decided on in one transaction by `desk::reading`.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use crate::id::Role;
use crate::person::Person;

/// The most records that a slice may have: marks of them are kept, and compared.
pub const MAX_RECORDS: u64 = 20_000;

/// What a touch opens at one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Records for each touch.
    pub records: u64,
    /// How long a touch lasts.
    pub window: Duration,
    /// More, or fewer, for who holds a role; the largest counts.
    pub roles: BTreeMap<Role, u64>,
    /// The type of the action that opens the next slice.
    pub action: String,
}

impl Budget {
    /// How many records a touch of this person opens.
    #[must_use]
    pub fn limit(&self, person: &Person) -> u64 {
        self.roles
            .iter()
            .filter(|(role, _)| person.roles.contains(*role))
            .map(|(_, records)| *records)
            .max()
            .unwrap_or(self.records)
    }
}

/// Where a person stands at a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// When the last touch was; `None` when there was none.
    pub touched_at: Option<OffsetDateTime>,
    /// Records counted since.
    pub used: u64,
    /// Of so many.
    pub limit: u64,
}

/// Why a read must wait for a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The last touch is too long ago.
    Time,
    /// These records would be more than are left.
    Records,
    /// These records are more than any touch opens: read fewer at a time.
    TooMany,
}

impl Spent {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Records => "records",
            Self::TooMany => "more-than-a-touch-opens",
        }
    }
}

/// Whether records that were not counted yet, `wanted` of them, may be read now.
///
/// # Errors
/// Why not.
pub fn may_read(
    standing: Standing,
    window: Duration,
    wanted: u64,
    now: OffsetDateTime,
) -> Result<(), Spent> {
    if wanted > standing.limit {
        return Err(Spent::TooMany);
    }
    let in_time = standing
        .touched_at
        .is_some_and(|touched_at| now >= touched_at && now < touched_at + window);
    if !in_time {
        return Err(Spent::Time);
    }
    match standing.used.checked_add(wanted) {
        Some(after) if after <= standing.limit => Ok(()),
        _ => Err(Spent::Records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::minutes(10);

    fn standing(used: u64, limit: u64) -> Standing {
        Standing {
            touched_at: Some(OffsetDateTime::UNIX_EPOCH),
            used,
            limit,
        }
    }

    #[test]
    fn a_slice_ends_by_records_or_by_time() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::minutes(1);
        assert_eq!(may_read(standing(49, 50), WINDOW, 1, now), Ok(()));
        assert_eq!(may_read(standing(50, 50), WINDOW, 0, now), Ok(()));
        assert_eq!(
            may_read(standing(50, 50), WINDOW, 1, now),
            Err(Spent::Records)
        );
        assert_eq!(
            may_read(standing(0, 50), WINDOW, 51, now),
            Err(Spent::TooMany)
        );
        let late = OffsetDateTime::UNIX_EPOCH + WINDOW;
        assert_eq!(may_read(standing(0, 50), WINDOW, 0, late), Err(Spent::Time));
        let never = Standing {
            touched_at: None,
            ..standing(0, 50)
        };
        assert_eq!(may_read(never, WINDOW, 1, now), Err(Spent::Time));
        assert_eq!(
            may_read(standing(1, u64::MAX), WINDOW, u64::MAX, now),
            Err(Spent::Records)
        );
    }

    #[test]
    fn sixteen_hundred_thousand_files_are_thirty_two_thousand_touches() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let (mut touches, mut at, mut read) = (1_u64, standing(0, 50), 0_u64);
        while read < 1_600_000 {
            match may_read(at, WINDOW, 50, now) {
                Ok(()) => {
                    at.used += 50;
                    read += 50;
                }
                Err(_) => {
                    touches += 1;
                    at.used = 0;
                }
            }
        }
        assert_eq!(touches, 32_000);
    }

    proptest! {
        #[test]
        fn no_sequence_reads_more_than_its_touches_open(
            reads in prop::collection::vec((0_u64..120, any::<bool>()), 0..80),
            limit in 1_u64..100,
        ) {
            let now = OffsetDateTime::UNIX_EPOCH;
            let (mut at, mut touches, mut read) = (standing(0, limit), 1, 0);
            for (wanted, touch) in reads {
                if touch {
                    at.used = 0;
                    touches += 1;
                }
                if may_read(at, WINDOW, wanted, now).is_ok() {
                    at.used += wanted;
                    read += wanted;
                }
                prop_assert!(read <= touches * limit);
            }
        }
    }
}
