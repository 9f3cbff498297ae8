//! What people read, in French and English: one catalogue (Fluent, <https://projectfluent.org>) for pages, prompts and reports.
//!
//! `fr/SUBJECT.ftl` and `en/SUBJECT.ftl` hold the texts, the same names in both. A name begins with its subject: `page-sign-in-title` is in
//! `page.ftl`. A subject is parsed when its first text is asked for, in that language only. `tests/catalogue.rs` reads the sources of all rooms: it
//! fails on a name that is missing, that nothing says any more, or whose variables differ between the languages.
//!
//! ```
//! use sceau_locale::Language;
//! assert_eq!(Language::Fr.text("page-continue"), "Continuer");
//! assert_eq!(Language::En.text_with("date-day", &[("day", 1.into()), ("month", 3.into()), ("year", "2026".into())]), "1 March 2026");
//! ```
//!
//! Nothing here escapes: texts are plain, so HTML escapes them as it does everything, and values from outside go through
//! `sceau_proof::display` before they come here. No marks for direction are put around values, because terminals and pinentry show such marks; pages
//! use `<bdi>`. The words of an action before it is signed are in `sceau_proof::words`, which is part of the argument and uses nothing of ours.

mod date;
mod foreign;
pub mod help;
mod language;
pub mod manual;
mod shelf;

pub use date::{day, instant, span};
pub use fluent_bundle::FluentValue as Value;
pub use foreign::foreign;
pub use language::Language;

use std::borrow::Cow;

impl Language {
    /// The text of that name, without variables. A name that this language lacks is said in the other; one that neither has is said itself.
    #[must_use]
    pub fn text(self, name: &str) -> Cow<'static, str> {
        shelf::said(self, name, None).unwrap_or_else(|| name.to_owned().into())
    }

    /// The text of that name, with its variables. As [`Language::text`] otherwise.
    #[must_use]
    pub fn text_with(self, name: &str, values: &[(&str, Value<'_>)]) -> String {
        shelf::said(self, name, Some(values)).map_or_else(|| name.to_owned(), Cow::into_owned)
    }

    /// The text of that name, where there may be none: for names made of codes that arrive.
    #[must_use]
    pub fn known(self, name: &str) -> Option<Cow<'static, str>> {
        shelf::said(self, name, None)
    }

    /// All texts without variables whose names begin with `family-`, by what follows, in the order of the file. For the scripts of pages.
    pub fn family(self, family: &str) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        shelf::family(self, family)
    }
}
