//! Facts that expire: what is known of a person for a time (training, clearances), as the policy sees it. Pure.
//!
//! A fact holds until its end, exclusively, and one that nobody recorded does not hold: what expires, expires by the clock alone, whether or not
//! anybody swept. Rows are in `store::fact`; who may record them is decided in `desk::fact`.

use std::collections::BTreeMap;

use time::OffsetDateTime;

/// The fact that account managers renew every six months.
pub const TRAINING: &str = "training";

/// Longest name of a fact, in bytes.
pub const MAX_NAME: usize = 64;

/// What is recorded of one person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts(BTreeMap<String, Option<OffsetDateTime>>);

impl Facts {
    /// From rows: each fact with its end, if it has one.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = (String, Option<OffsetDateTime>)>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// Whether a fact holds.
    #[must_use]
    pub fn holds(&self, name: &str, now: OffsetDateTime) -> bool {
        self.0
            .get(name)
            .is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Whether the training is valid: the policy's `training_valid`.
    #[must_use]
    pub fn training_valid(&self, now: OffsetDateTime) -> bool {
        self.holds(TRAINING, now)
    }

    /// Names of the facts that hold: the policy's `facts`.
    pub fn holding(&self, now: OffsetDateTime) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(move |name| self.holds(name, now))
    }

    /// Every fact with its end, whether it holds or not.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<OffsetDateTime>)> {
        self.0.iter().map(|(name, until)| (name.as_str(), *until))
    }
}

/// Whether a text may name a fact: lower-case letters, digits, dashes.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    #[test]
    fn a_fact_holds_until_its_end_and_an_unknown_one_never() {
        let end = OffsetDateTime::UNIX_EPOCH + Duration::days(180);
        let facts = Facts::new([
            (TRAINING.to_owned(), Some(end)),
            ("cleared".to_owned(), None),
        ]);
        assert!(facts.training_valid(end - Duration::SECOND));
        assert!(!facts.training_valid(end));
        assert!(facts.holds("cleared", end + Duration::days(9_999)));
        assert!(!facts.holds("sworn-in", end - Duration::SECOND));
        assert_eq!(facts.holding(end).collect::<Vec<_>>(), ["cleared"]);
        assert!(!Facts::default().training_valid(OffsetDateTime::UNIX_EPOCH));
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("training") && is_name("c2-cleared"));
        for odd in ["", "Training", "a b", "a.b", "é", &"x".repeat(65)] {
            assert!(!is_name(odd), "{odd}");
        }
    }
}
