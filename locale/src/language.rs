//! The two languages, and which of them a person reads: by locale (POSIX order: `LC_ALL`, `LC_MESSAGES`, `LANG`), by a browser's header, or as configured.

use serde::{Deserialize, Serialize};

/// A language that people are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// French: any locale whose language is `fr`.
    Fr,
    /// English: everything else, `C` and `POSIX` included.
    #[default]
    En,
}

impl Language {
    /// The two-letter code: of the signed action's `words`, of HTML's `lang`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.pick("fr", "en")
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        self.pick(Self::En, Self::Fr)
    }

    /// One of two. For what is no text of the catalogue: a type of another room, a column, a form of a date.
    #[must_use]
    pub fn pick<T>(self, french: T, english: T) -> T {
        match self {
            Self::Fr => french,
            Self::En => english,
        }
    }

    /// The colon, with the no-break space that French puts before it.
    #[must_use]
    pub fn colon(self) -> &'static str {
        self.pick("\u{a0}:", ":")
    }

    /// A label and what stands after its colon.
    #[must_use]
    pub fn labelled(self, label: &str, value: impl std::fmt::Display) -> String {
        format!("{label}{} {value}", self.colon())
    }

    /// A text in this language's quotation marks. What comes from outside goes through `sceau_proof::display` first.
    #[must_use]
    pub fn quoted(self, text: &str) -> String {
        let (before, after) = self.pick(("«\u{a0}", "\u{a0}»"), ("“", "”"));
        format!("{before}{text}{after}")
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

    /// The language of a process's environment, looked up by `variable`: the first of the three that is set and not empty decides.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .map_or(Self::En, |value| Self::from_locale(&value))
    }

    /// The language of this process's environment.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_environment(|name| std::env::var(name).ok())
    }

    /// The first of the two that an `Accept-Language` header asks for, if any. A claim; it decides words only.
    #[must_use]
    pub fn from_header(accept: &str) -> Option<Self> {
        accept.split(',').find_map(|tag| match tag.trim().get(..2) {
            Some("fr") => Some(Self::Fr),
            Some("en") => Some(Self::En),
            _ => None,
        })
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

    #[test]
    fn a_header_s_first_known_language_decides() {
        assert_eq!(
            Language::from_header("de, en;q=0.8, fr"),
            Some(Language::En)
        );
        assert_eq!(Language::from_header("fr-CA"), Some(Language::Fr));
        assert_eq!(Language::from_header("é"), None);
    }
}
