//! The subjects, each parsed when first asked for, and how a text is found: this language, else the other. Never a panic: the catalogue's own test
//! finds what is wrong with it, and a person in front of a prompt is better served by a poor text than by none.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::LanguageIdentifier;

use crate::{Language, Value};

/// One subject with its French and its English file.
macro_rules! subject {
    ($name:literal) => {
        Subject {
            name: $name,
            french: include_str!(concat!("../fr/", $name, ".ftl")),
            english: include_str!(concat!("../en/", $name, ".ftl")),
        }
    };
}

struct Subject {
    name: &'static str,
    french: &'static str,
    english: &'static str,
}

/// All subjects. A new file is a new line here.
const SUBJECTS: [Subject; 18] = [
    subject!("because"),
    subject!("command"),
    subject!("console"),
    subject!("date"),
    subject!("desk"),
    subject!("doctor"),
    subject!("fault"),
    subject!("gate"),
    subject!("lineage"),
    subject!("noted"),
    subject!("oauth"),
    subject!("page"),
    subject!("problem"),
    subject!("prompt"),
    subject!("reason"),
    subject!("report"),
    subject!("rule"),
    subject!("why"),
];

/// A subject in one language, parsed.
struct Shelf {
    bundle: FluentBundle<Arc<FluentResource>>,
    names: Vec<&'static str>,
}

static SHELVES: [[OnceLock<Shelf>; 2]; SUBJECTS.len()] =
    [const { [const { OnceLock::new() }; 2] }; SUBJECTS.len()];

/// The subject that a name begins with, in this language.
fn shelf(language: Language, name: &str) -> Option<&'static Shelf> {
    let subject = name.split('-').next()?;
    let at = SUBJECTS.iter().position(|known| known.name == subject)?;
    let (subject, places) = (SUBJECTS.get(at)?, SHELVES.get(at)?);
    let place = places.get(language.pick(0, 1))?;
    Some(place.get_or_init(|| read(subject, language)))
}

fn read(subject: &'static Subject, language: Language) -> Shelf {
    let source = language.pick(subject.french, subject.english);
    // What cannot be parsed is left out; the rest stands.
    let resource = Arc::new(match FluentResource::try_new(source.to_owned()) {
        Ok(resource) | Err((resource, _)) => resource,
    });
    let identifier: LanguageIdentifier = language.code().parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![identifier]);
    bundle.set_use_isolating(false);
    // Fails on a name that is there twice only: the first one stands.
    let _ = bundle.add_resource(resource);
    let names = source.lines().filter_map(name_of).collect();
    Shelf { bundle, names }
}

/// The name that a line of a file defines.
fn name_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim_end();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain)).then_some(name)
}

/// A text, in this language or else in the other.
pub(crate) fn said(
    language: Language,
    name: &str,
    values: Option<&[(&str, Value<'_>)]>,
) -> Option<Cow<'static, str>> {
    one(language, name, values).or_else(|| one(language.other(), name, values))
}

fn one(
    language: Language,
    name: &str,
    values: Option<&[(&str, Value<'_>)]>,
) -> Option<Cow<'static, str>> {
    let bundle = &shelf(language, name)?.bundle;
    let pattern = bundle.get_message(name)?.value()?;
    // A variable that is not given is shown by its name; the errors say no more.
    let mut errors = Vec::new();
    let Some(values) = values else {
        return Some(bundle.format_pattern(pattern, None, &mut errors));
    };
    let mut arguments = FluentArgs::with_capacity(values.len());
    for (name, value) in values {
        arguments.set(*name, value.clone());
    }
    let text = bundle.format_pattern(pattern, Some(&arguments), &mut errors);
    Some(Cow::Owned(text.into_owned()))
}

/// The texts of a family.
pub(crate) fn family(
    language: Language,
    family: &str,
) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    let names = shelf(language, family).map_or(&[][..], |shelf| &shelf.names);
    let family = format!("{family}-");
    names.iter().filter_map(move |name| {
        let member = name.strip_prefix(family.as_str())?;
        Some((member, one(language, name, None)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_by_its_name_and_nothing_breaks() {
        for language in [Language::Fr, Language::En] {
            for name in ["page-no-such", "nothing", "", "-", "page-", "é-è"] {
                assert_eq!(language.text(name), name);
                assert_eq!(language.known(name), None);
            }
            let lacking = language.text_with("date-day", &[]);
            assert!(!lacking.is_empty());
            assert_eq!(language.family("page-no-such").count(), 0);
        }
    }

    #[test]
    fn a_family_is_told_by_what_follows_its_name() {
        let told: Vec<_> = Language::Fr.family("page-told").collect();
        assert!(told.contains(&("pending", "En attente d’une clé.".into())));
        assert_eq!(told.len(), Language::En.family("page-told").count());
    }
}
