//! The catalogue against the sources of all rooms: every name that is said is there in both languages with the same variables, and nothing is there
//! that nobody says.
//!
//! A name is a string literal that begins with a subject: `"page-sign-in-title"`. A literal with a hole, `"page-told-{state}"`, and a family,
//! `family("page-told")`, say every name that begins so. Literals that only look like names stand in `NO_NAMES`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

/// Literals of the sources that begin as a name does, and are something else.
const NO_NAMES: &[&str] = &["lineage-changed"];

type Variables = BTreeSet<String>;

fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|it| it == ending) {
            found.push(path);
        }
    }
}

fn variables(pattern: &Pattern<&str>, found: &mut Variables) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            expressed(expression, found);
        }
    }
}

fn expressed(expression: &Expression<&str>, found: &mut Variables) {
    match expression {
        Expression::Inline(inline) => inlined(inline, found),
        Expression::Select { selector, variants } => {
            inlined(selector, found);
            for variant in variants {
                variables(&variant.value, found);
            }
        }
    }
}

fn inlined(inline: &InlineExpression<&str>, found: &mut Variables) {
    match inline {
        InlineExpression::VariableReference { id } => {
            found.insert(id.name.to_owned());
        }
        InlineExpression::Placeable { expression } => expressed(expression, found),
        InlineExpression::StringLiteral { .. } | InlineExpression::NumberLiteral { .. } => {}
        other => panic!("the catalogue has no terms, functions or references: {other:?}"),
    }
}

/// Every text of one language, with its variables.
fn catalogue(language: &str) -> BTreeMap<String, Variables> {
    let mut paths = Vec::new();
    files(&room("locale").join(language), "ftl", &mut paths);
    let mut all = BTreeMap::new();
    for path in paths {
        let subject = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        let resource = fluent_syntax::parser::parse(source.as_str())
            .unwrap_or_else(|(_, errors)| panic!("{}: {errors:?}", path.display()));
        for entry in resource.body {
            let message = match entry {
                Entry::Message(message) => message,
                Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => continue,
                other => panic!("{}: {other:?}", path.display()),
            };
            let name = message.id.name.to_owned();
            assert!(
                name.starts_with(&format!("{subject}-")),
                "{name} is not of {subject}.ftl"
            );
            assert!(message.attributes.is_empty(), "{name} has attributes");
            let mut used = Variables::new();
            variables(&message.value.expect("a text"), &mut used);
            assert!(all.insert(name.clone(), used).is_none(), "{name} twice");
        }
    }
    all
}

/// A literal of a source: whole, or up to its first hole.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Said {
    Name(String),
    Family(String),
}

fn said(subjects: &BTreeSet<String>) -> BTreeSet<Said> {
    let mut paths = Vec::new();
    for folder in [
        "locale/src",
        "server/src",
        "agent/src",
        "proof/src/bin",
        "proof/src/model",
    ] {
        files(&room(folder), "rs", &mut paths);
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        // Names have no quotation marks: what lies between two marks is a literal, or what lies between two literals, which never looks like a name.
        for piece in code.split('"') {
            let Some((subject, _)) = piece.split_once('-') else {
                continue;
            };
            if !subjects.contains(subject) {
                continue;
            }
            let plain = |text: &str| {
                text.chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            };
            match piece.split_once('{') {
                Some((start, _)) if plain(start) => {
                    found.insert(Said::Family(start.trim_end_matches('-').to_owned()));
                }
                None if plain(piece) => {
                    found.insert(Said::Name(piece.to_owned()));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn both_languages_have_the_same_names_with_the_same_variables() {
    let (french, english) = (catalogue("fr"), catalogue("en"));
    let differing: Vec<_> = french
        .keys()
        .chain(english.keys())
        .filter(|name| french.get(*name) != english.get(*name))
        .collect();
    assert!(
        differing.is_empty(),
        "missing in one language, or with other variables: {differing:?}"
    );
    assert!(french.len() > 50, "the catalogue was read");
}

#[test]
fn every_name_that_is_said_is_there_and_every_name_that_is_there_is_said() {
    let french = catalogue("fr");
    let subjects: BTreeSet<String> = fs::read_dir(room("locale/fr"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut unsaid: BTreeSet<&str> = french.keys().map(String::as_str).collect();
    let mut missing = Vec::new();
    let mut exceptions: BTreeSet<&str> = NO_NAMES.iter().copied().collect();
    for said in said(&subjects) {
        let (text, family) = match said {
            Said::Name(text) => (text, false),
            Said::Family(text) => (text, true),
        };
        if exceptions.remove(text.as_str()) {
            continue;
        }
        let start = format!("{text}-");
        let members: Vec<&str> = french
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(&start))
            .collect();
        let whole = !family && french.contains_key(&text);
        if whole {
            unsaid.remove(text.as_str());
        } else if members.is_empty() {
            missing.push(text);
        } else {
            for name in members {
                unsaid.remove(name);
            }
        }
    }
    assert!(missing.is_empty(), "said, but not there: {missing:?}");
    assert!(unsaid.is_empty(), "there, but never said: {unsaid:?}");
    assert!(
        exceptions.is_empty(),
        "no exception any more: {exceptions:?}"
    );
}

/// The codes of `Problem::of(StatusCode::…, "code")` in the server's sources.
fn problem_codes() -> BTreeSet<String> {
    let mut paths = Vec::new();
    files(&room("server/src"), "rs", &mut paths);
    let mut codes = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for call in code.split("::of(").skip(1) {
            let call = call.trim_start();
            let Some((status, rest)) = call.split_once(',') else {
                continue;
            };
            let literal = rest.trim_start().strip_prefix('"');
            let code = literal.and_then(|rest| rest.split_once('"'));
            if let (true, Some((code, _))) = (status.starts_with("StatusCode::"), code) {
                codes.insert(code.to_owned());
            }
        }
    }
    codes
}

#[test]
fn every_problem_of_the_server_says_what_to_do() {
    let mut codes = problem_codes();
    assert!(codes.len() > 20, "the sources were read: {codes:?}");
    // Made of a session's state, and of what blinds the judge of keys.
    for made in [
        "session-absent",
        "session-ended",
        "session-pending",
        "session-suspended",
        "metadata-missing",
        "metadata-stale",
    ] {
        codes.insert(made.to_owned());
    }
    let told: BTreeSet<String> = catalogue("fr")
        .into_keys()
        .filter_map(|name| name.strip_prefix("problem-").map(str::to_owned))
        .collect();
    assert_eq!(told, codes);
}

/// Spaces that French puts where a line must not end: before a colon and within quotation marks; a narrow one before other marks of two parts.
const NO_BREAK: char = '\u{a0}';
const NARROW: char = '\u{202f}';

/// What is not set as French sets it.
fn misset(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut wrong = Vec::new();
    for (at, mark) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at)).copied();
        let after = characters.get(at + 1).copied();
        let ends = after.is_none_or(|c| c.is_whitespace() || "»)…".contains(c));
        let good = match mark {
            '»' => before == Some(NO_BREAK),
            '«' => after == Some(NO_BREAK),
            // Within a word they are an address, a time or a program's.
            ':' if ends => before.is_none_or(|c| c == NO_BREAK),
            ';' | '?' | '!' if ends => before.is_none_or(|c| c == NARROW || "!?".contains(c)),
            ':' | ';' | '?' | '!' => before != Some(' '),
            c if at == 0 && [NO_BREAK, NARROW].contains(c) => false,
            '\'' => {
                let elides = before.is_some_and(char::is_alphabetic);
                !(elides && after.is_some_and(char::is_alphabetic))
            }
            _ => true,
        };
        if !good {
            let around = characters.get(at.saturating_sub(20)..(at + 10).min(characters.len()));
            wrong.push(around.unwrap_or_default().iter().collect());
        }
    }
    wrong
}

/// What a pattern says, with a letter for each hole.
fn plain(pattern: &Pattern<&str>, texts: &mut Vec<String>) {
    let mut whole = String::new();
    for element in &pattern.elements {
        match element {
            PatternElement::TextElement { value } => whole.push_str(value),
            PatternElement::Placeable { expression } => {
                whole.push('x');
                if let Expression::Select { variants, .. } = expression {
                    variants.iter().for_each(|it| plain(&it.value, texts));
                }
            }
        }
    }
    texts.push(whole);
}

/// The literals of a Rust source, its tests and comments left out.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: Vec<&str> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n").replace("\\\"", "\u{201d}");
    let pieces = code.split('"').skip(1).step_by(2);
    pieces.map(str::to_owned).collect()
}

#[test]
fn french_is_set_as_french_is() {
    for (good, bad) in [
        ("Clé\u{a0}: «\u{a0}a\u{a0}»", "Clé : a"),
        ("non\u{202f}; oui\u{202f}? 10:30", "non ; oui"),
        ("l’action", "l'action"),
        ("!!! «\u{a0}a --b ok\u{a0}»", "« a »"),
        ("https://a.example/?b=c", "Comment?"),
        ("à la fin\u{a0}:", "à la fin:"),
        ("! expire", "\u{202f}! expire"),
    ] {
        assert!(misset(good).is_empty(), "{good}");
        assert!(!misset(bad).is_empty(), "{bad}");
    }
    let mut paths = Vec::new();
    files(&room("locale/fr"), "ftl", &mut paths);
    let mut texts = Vec::new();
    for path in paths {
        let source = fs::read_to_string(&path).unwrap();
        let resource = fluent_syntax::parser::parse(source.as_str()).unwrap();
        for entry in resource.body {
            if let Entry::Message(message) = entry {
                plain(&message.value.unwrap(), &mut texts);
            }
        }
    }
    // The help: English, French, in pairs.
    let help = fs::read_to_string(room("locale/src/help/french.rs")).unwrap();
    let help = literals(&help);
    assert_eq!(help.len() % 2, 0);
    texts.extend(help.into_iter().skip(1).step_by(2));
    assert!(texts.len() > 1_000, "{}", texts.len());
    // The words of what is signed and refused, where both languages stand together: no English text has a space before its colon.
    for source in ["words.rs", "attestation/words.rs", "model/policy.rs"] {
        let source = fs::read_to_string(room("proof/src").join(source)).unwrap();
        let spaced = |text: &String| {
            [" :", " ;", " ?", " !", "« ", " »"]
                .iter()
                .any(|it| text.contains(it))
        };
        texts.extend(literals(&source).into_iter().filter(spaced));
    }
    // What libraries say, where French stands beside it: the colons of English are followed by a space, and end the phrase that is looked for.
    let foreign = fs::read_to_string(room("locale/src/foreign.rs")).unwrap();
    let accented = |text: &String| text.contains(|c: char| "àâçéèêîôû’\u{a0}".contains(c));
    let foreign: Vec<String> = literals(&foreign).into_iter().filter(accented).collect();
    assert!(foreign.len() > 20, "{}", foreign.len());
    texts.extend(foreign);
    let wrong: Vec<String> = texts.iter().flat_map(|text| misset(text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
