//! Who the provider speaks of, and how far their identity and their tie to the organisation were established: a TOML file that the
//! administration keeps. A key proves neither, so both cap the level.
//!
//! Trusts the file. A person who is not in it cannot be signed in to the federation.

use std::collections::HashSet;

use sceau_locale::Language;
use serde::Deserialize;

use super::level::Grade;
use crate::id::PersonId;

/// One person, as the federation is told of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The person of ours.
    pub id: PersonId,
    /// The identifier that the federation gets; the person's own when not given. Never another person's, never again.
    #[serde(default)]
    pub sub: Option<String>,
    /// Given names.
    pub given_name: String,
    /// Usual name.
    pub usual_name: String,
    /// Professional address; also what they may sign in by.
    pub email: String,
    /// Identifier in the organisation; the person's own when not given.
    #[serde(default)]
    pub uid: Option<String>,
    /// The organisation: 14 digits with their check digit.
    pub siret: String,
    /// How well their identity was established.
    pub identity: Grade,
    /// How well their tie to the organisation was.
    pub organisation: Grade,
    /// Unit, when scope `organizational_unit` asks.
    #[serde(default)]
    pub organizational_unit: Option<String>,
    /// Kind of population, when scope `belonging_population` asks.
    #[serde(default)]
    pub belonging_population: Option<String>,
    /// Telephone, when scope `phone` asks.
    #[serde(default)]
    pub phone_number: Option<String>,
}

impl Profile {
    /// The identifier that the federation gets.
    #[must_use]
    pub fn sub(&self) -> &str {
        self.sub.as_deref().unwrap_or(self.id.as_str())
    }

    /// The weaker of the two pillars that no key can prove.
    #[must_use]
    pub fn others(&self) -> Grade {
        self.identity.min(self.organisation)
    }
}

/// Everyone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    #[serde(default)]
    person: Vec<Profile>,
}

/// The file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// Not this TOML.
    #[error("{0}")]
    Malformed(String),
    /// A person's entry makes no sense.
    #[error("person {person}: {}", Language::En.text(.problem))]
    Rejected {
        /// Whose.
        person: String,
        /// Which text of the catalogue says why.
        problem: &'static str,
    },
}

impl People {
    /// Reads and checks the file's text.
    ///
    /// # Errors
    /// [`PeopleError`], naming the person.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        let people: Self =
            toml::from_str(text).map_err(|error| PeopleError::Malformed(error.to_string()))?;
        let (mut subs, mut emails, mut ids) = (HashSet::new(), HashSet::new(), HashSet::new());
        for person in &people.person {
            let reject = |problem| PeopleError::Rejected {
                person: person.id.to_string(),
                problem,
            };
            if !is_siret(&person.siret) {
                return Err(reject("fault-person-siret"));
            }
            let (local, domain) = person.email.split_once('@').unwrap_or_default();
            if local.is_empty() || !domain.contains('.') || person.email.len() > 254 {
                return Err(reject("fault-person-email"));
            }
            let texts = [
                person.sub(),
                &person.given_name,
                &person.usual_name,
                person.uid.as_deref().unwrap_or("x"),
            ];
            if texts.iter().any(|text| text.is_empty() || text.len() > 255) {
                return Err(reject("fault-person-names"));
            }
            if !ids.insert(&person.id)
                || !subs.insert(person.sub())
                || !emails.insert(person.email.to_lowercase())
            {
                return Err(reject("fault-person-twice"));
            }
        }
        Ok(people)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.person.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.person.is_empty()
    }

    /// The person of ours.
    #[must_use]
    pub fn of(&self, id: &PersonId) -> Option<&Profile> {
        self.person.iter().find(|person| person.id == *id)
    }

    /// The person who goes by this address or identifier; case of addresses does not matter.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Profile> {
        let name = name.trim();
        self.person.iter().find(|person| {
            person.id.as_str() == name || person.email.to_lowercase() == name.to_lowercase()
        })
    }
}

/// Whether a SIRET checks: 14 digits, Luhn; those of La Poste (SIREN 356000000) have a digit sum that five divides.
#[must_use]
pub fn is_siret(text: &str) -> bool {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let digits = || text.bytes().map(|byte| u32::from(byte - b'0'));
    let luhn: u32 = digits()
        .rev()
        .enumerate()
        .map(|(n, digit)| match n % 2 {
            1 if digit > 4 => digit * 2 - 9,
            1 => digit * 2,
            _ => digit,
        })
        .sum();
    let post = text.starts_with("356000000") && digits().sum::<u32>().is_multiple_of(5);
    text != "00000000000000" && (luhn.is_multiple_of(10) || post)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = r#"
        [[person]]
        id = "amartin"
        given_name = "Alice"
        usual_name = "Martin"
        email = "Alice.Martin@ml.example"
        siret = "13002526500013"
        identity = "high"
        organisation = "substantial"
    "#;

    #[test]
    fn reads_people_and_finds_them_by_address_or_identifier() {
        let people = People::parse(ALICE).unwrap();
        let alice = people.named(" alice.martin@ML.example ").unwrap();
        assert_eq!(alice.sub(), "amartin");
        assert_eq!(alice.others(), Grade::Substantial);
        assert_eq!(people.named("amartin"), Some(alice));
        assert!(people.named("").is_none() && people.named("bob").is_none());
    }

    #[test]
    fn refuses_what_makes_no_sense_by_name() {
        let refused = |text: &str| People::parse(text).unwrap_err().to_string();
        let wrong = ALICE.replace("13002526500013", "13002526500014");
        assert!(refused(&wrong).contains("amartin: siret"));
        assert!(refused(&ALICE.replace("@ml.example", "")).contains("email"));
        assert!(refused(&format!("{ALICE}{ALICE}")).contains("another"));
        assert!(refused(&ALICE.replace("identity", "identty")).contains("unknown field"));
    }

    #[test]
    fn siret_numbers_check() {
        for good in ["13002526500013", "35600000000048", "35600000009075"] {
            assert!(is_siret(good), "{good}");
        }
        for bad in [
            "",
            "1300252650001",
            "130025265000130",
            "13002526500014",
            "1300252650001a",
            "00000000000000",
            "１３００２５２６５０００１３",
        ] {
            assert!(!is_siret(bad), "{bad}");
        }
    }
}
