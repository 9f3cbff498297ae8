//! Facts that expire: what is known of a person for a time (training, clearances), as the policy sees it. Pure.
//!
//! A fact holds until its end, exclusively, and one that nobody recorded does not hold: what expires, expires by the clock alone, whether or not
//! anybody swept. Rows are in `store::fact`; who may record them is decided in `desk::fact`.

use std::collections::BTreeMap;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

use crate::id::{ActionId, PersonId, Role};

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

/// One change: a fact of a person, or the end of a role that they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of whom.
    pub person: PersonId,
    /// Which.
    pub what: What,
    /// Until when it holds, exclusively; `None` when it does not end by itself.
    pub until: Option<OffsetDateTime>,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A fact.
    Fact(String),
    /// A role: it is not held from its end on.
    Role(Role),
}

impl What {
    /// As in a file: `training`, or `role:manager`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Fact(name) => name.clone(),
            Self::Role(role) => format!("role:{}", role.as_str()),
        }
    }
}

impl Change {
    /// Reads one change. `until` is empty (no end), a day (`2027-05-31`: through the end of that day, UTC) or an instant.
    ///
    /// # Errors
    /// Which part is not what it should be.
    pub fn read(person: &str, fact: &str, until: &str) -> Result<Self, &'static str> {
        let what = match fact.strip_prefix("role:") {
            Some(role) => What::Role(role.parse().map_err(|_| "fact: role:NAME")?),
            None if is_name(fact) => What::Fact(fact.to_owned()),
            None => return Err("fact: lower-case letters, digits and dashes, or role:NAME"),
        };
        Ok(Self {
            person: person.parse().map_err(|_| "person: not an identifier")?,
            what,
            until: end(until)?,
        })
    }
}

/// What became of somebody's role in a recertification campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Nobody has decided yet.
    Open,
    /// Somebody vouched for them, by a sealed action.
    Kept,
    /// Somebody took it away, by a sealed action.
    Withdrawn,
    /// Nobody vouched for them in time.
    Lapsed,
}

impl Fate {
    /// The word in the store and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Kept => "kept",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
        }
    }

    /// Reads [`Fate::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Kept, Self::Withdrawn, Self::Lapsed]
            .into_iter()
            .find(|fate| fate.as_str() == word)
    }
}

/// One person of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Who.
    pub person: PersonId,
    /// What became of their role.
    pub fate: Fate,
    /// By which sealed action.
    pub action: Option<ActionId>,
    /// When.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
}

/// A recertification campaign: everyone who held a role when it was opened is vouched for, or loses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Campaign {
    /// Its name.
    pub id: String,
    /// Which role.
    pub role: Role,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
    /// Until when the role is held without a word.
    #[serde(with = "time::serde::rfc3339")]
    pub due: OffsetDateTime,
    /// When its outcome was logged.
    #[serde(with = "time::serde::rfc3339::option")]
    pub closed_at: Option<OffsetDateTime>,
    /// Whom it is about.
    pub holders: Vec<Holder>,
}

impl Campaign {
    /// How many have this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        let such = self.holders.iter().filter(|holder| holder.fate == fate);
        such.count()
    }
}

/// The longest list that is read at one time.
pub const MAX_CHANGES: usize = 10_000;

/// Reads a file of changes: `person,fact,until`, one a line, with that heading. No field of it has commas, so quotes are refused.
///
/// # Errors
/// The line, from 1, and what is wrong there.
pub fn read_csv(text: &str) -> Result<Vec<Change>, (usize, &'static str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    match lines.next() {
        Some((_, "person,fact,until")) => {}
        _ => return Err((1, "the heading is person,fact,until")),
    }
    let mut changes = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[person, fact, until] = fields.as_slice() else {
            return Err((at + 1, "three fields: person,fact,until"));
        };
        if changes.len() == MAX_CHANGES {
            return Err((at + 1, "at most 10000 lines at a time"));
        }
        changes.push(Change::read(person, fact, until).map_err(|what| (at + 1, what))?);
    }
    Ok(changes)
}

fn end(text: &str) -> Result<Option<OffsetDateTime>, &'static str> {
    const FAULT: &str = "until: empty, 2027-05-31 or 2027-05-31T12:00:00Z";
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(instant) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Some(instant));
    }
    let mut parts = text.splitn(3, '-').map(str::parse::<u16>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Err(FAULT);
    };
    let number = |n: u16| u8::try_from(n).map_err(|_| FAULT);
    let month = Month::try_from(number(month)?).map_err(|_| FAULT)?;
    let day = Date::from_calendar_date(i32::from(year), month, number(day)?).map_err(|_| FAULT)?;
    let after = day.next_day().ok_or(FAULT)?;
    Ok(Some(after.midnight().assume_utc()))
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
    fn a_file_is_read_line_by_line_or_not_at_all() {
        let changes = read_csv(
            "person,fact,until\nalice,training,2027-05-31\n\nbob,role:manager,2027-01-01T12:00:00Z\ncarol,cleared,\n",
        )
        .unwrap();
        assert_eq!(changes.len(), 3);
        assert_eq!(
            changes[0].until.unwrap().unix_timestamp(),
            1_811_808_000,
            "through the last day"
        );
        assert_eq!(changes[1].what.text(), "role:manager");
        assert_eq!(changes[2].until, None);
        for (text, line) in [
            ("", 1),
            ("alice,training,2027-05-31", 1),
            ("person,fact,until\nalice,training", 2),
            ("person,fact,until\n\na b,training,", 3),
            ("person,fact,until\nalice,Training,", 2),
            ("person,fact,until\nalice,role:,", 2),
            ("person,fact,until\nalice,training,31/05/2027", 2),
            ("person,fact,until\nalice,training,2027-02-30", 2),
            ("person,fact,until\n\"alice\",training,", 2),
        ] {
            assert_eq!(read_csv(text).unwrap_err().0, line, "{text:?}");
        }
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("training") && is_name("c2-cleared"));
        for odd in ["", "Training", "a b", "a.b", "é", &"x".repeat(65)] {
            assert!(!is_name(odd), "{odd}");
        }
    }
}
