//! The language of prompts and messages: French or English, by the person's locale (POSIX order: `LC_ALL`, `LC_MESSAGES`, `LANG`), or as
//! configured. What the messages say is in [`crate::text`].

use serde::{Deserialize, Serialize};

/// A language that people are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// French: any locale whose language is `fr`.
    Fr,
    /// English: everything else, `C` and `POSIX` included.
    #[default]
    En,
}

impl From<Language> for sceau_proof::action::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Fr => Self::French,
            Language::En => Self::English,
        }
    }
}

impl Language {
    /// The two-letter code that the signed action's `words` use.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }

    /// One of two texts.
    #[must_use]
    pub fn pick<'a>(self, french: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Fr => french,
            Self::En => english,
        }
    }

    /// Reads a locale name such as `fr_FR.UTF-8`.
    #[must_use]
    pub fn from_locale(name: &str) -> Self {
        let language = name.split(['_', '.', '@', '-']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("fr") {
            Self::Fr
        } else {
            Self::En
        }
    }

    /// The language of this process's environment, looked up by `variable`: the first of the three that is set and not empty decides.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .map_or(Self::En, |value| Self::from_locale(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            Language::from_environment(move |name| {
                pairs
                    .iter()
                    .find(|(k, _)| k == name)
                    .map(|(_, v)| v.clone())
            })
        };
        assert_eq!(of(&[]), Language::En);
        assert_eq!(of(&[("LANG", "fr_FR.UTF-8")]), Language::Fr);
        assert_eq!(
            of(&[("LANG", "fr_FR.UTF-8"), ("LC_ALL", "C.UTF-8")]),
            Language::En
        );
        assert_eq!(
            of(&[("LC_ALL", ""), ("LC_MESSAGES", "fr"), ("LANG", "en_GB")]),
            Language::Fr
        );
        assert_eq!(of(&[("LANG", "fry_NL")]), Language::En);
    }
}
