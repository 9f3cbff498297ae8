//! Days and instants as people write them. What a machine or an auditor compares stays RFC 3339, elsewhere.

use time::{Date, Duration, OffsetDateTime, UtcOffset};

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

/// A span of time in its largest whole unit, of which there are two at least: `5 minutes`, `24 heures`, `30 jours`.
#[must_use]
pub fn span(language: Language, span: Duration) -> String {
    let (name, count) = match span.whole_seconds() {
        _ if span.subsec_nanoseconds() != 0 => (
            "date-milliseconds",
            i64::try_from(span.whole_milliseconds())
                .unwrap_or(i64::MAX)
                .into(),
        ),
        s if s % 86400 == 0 && s > 86400 => ("date-days", (s / 86400).into()),
        s if s % 3600 == 0 && s > 3600 => ("date-hours", (s / 3600).into()),
        s if s % 60 == 0 && s > 60 => ("date-minutes", (s / 60).into()),
        s => ("date-seconds", s.into()),
    };
    language.text_with(name, &[("count", count)])
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

    #[test]
    fn spans_read_in_whole_units() {
        for (seconds, french, english) in [
            (1, "1 seconde", "1 second"),
            (60, "60 secondes", "60 seconds"),
            (90, "90 secondes", "90 seconds"),
            (300, "5 minutes", "5 minutes"),
            (3_600, "60 minutes", "60 minutes"),
            (28_800, "8 heures", "8 hours"),
            (86_400, "24 heures", "24 hours"),
            (2_592_000, "30 jours", "30 days"),
        ] {
            let length = Duration::seconds(seconds);
            assert_eq!(span(Language::Fr, length), french);
            assert_eq!(span(Language::En, length), english);
        }
        let short = Duration::milliseconds(1_500);
        assert_eq!(span(Language::En, short), "1500 ms");
    }
}
