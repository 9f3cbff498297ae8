//! Days and instants as people write them. What a machine or an auditor compares stays RFC 3339, elsewhere.

use time::{Date, OffsetDateTime, UtcOffset};

use crate::Language;

/// A day: `1er mars 2026`, `1 March 2026`.
#[must_use]
pub fn day(language: Language, day: Date) -> String {
    language.text_with(
        "date-day",
        &[
            ("day", day.day().into()),
            ("month", u8::from(day.month()).into()),
            ("year", day.year().to_string().into()),
        ],
    )
}

/// An instant, to the minute, in UTC and saying so: `1er mars 2026 à 09:05 UTC`.
#[must_use]
pub fn instant(language: Language, at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let clock = format!("{:02}:{:02}", at.hour(), at.minute());
    language.text_with(
        "date-instant",
        &[
            ("day", day(language, at.date()).into()),
            ("time", clock.into()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn days_and_instants_read_as_people_write_them() {
        let first = datetime!(2026-03-01 10:05:59 +01:00);
        assert_eq!(instant(Language::Fr, first), "1er mars 2026 à 09:05 UTC");
        assert_eq!(instant(Language::En, first), "1 March 2026, 09:05 UTC");
        let summer = datetime!(2026-08-21 00:00 UTC).date();
        assert_eq!(day(Language::Fr, summer), "21 août 2026");
        assert_eq!(day(Language::En, summer), "21 August 2026");
    }
}
