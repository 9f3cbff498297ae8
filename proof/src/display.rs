//! Making any text safe to show: whatever an action's strings hold, a prompt, page, log line or terminal shows one honest line (attack 23).
//!
//! Trusts nothing. Nothing is dropped: what cannot be shown as itself is shown as an escape (`\n`, `\u{202e}`), backslashes are doubled so that an
//! escape cannot be forged, and where a text is cut the mark says how much is hidden. Letters that look like others are not escaped, since names
//! have them, but reported. Escaping for HTML is the page templates'; what an action means in words is `words`.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript as _};

/// Characters of one text that are shown, unless the caller says otherwise.
pub const LIMIT: usize = 240;

/// Combining marks on one letter before the rest are escaped; no living language needs more.
const MARKS: usize = 3;

/// A text made safe, and what was noticed in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// One line without control, format or bidirectional characters.
    pub text: String,
    /// Something is shown as an escape.
    pub escaped: bool,
    /// Characters of the original that are not shown.
    pub hidden: usize,
    /// Alphabets other than Latin that occur, by their Unicode names.
    pub scripts: Vec<&'static str>,
    /// Letters of more than one alphabet occur.
    pub mixed: bool,
    /// Letters occur that exist to look like others (mathematical, full-width, phonetic).
    pub lookalike: bool,
}

impl Shown {
    /// Whether the text is shown whole, as itself, and without anything to be wary of.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.escaped
            && self.hidden == 0
            && !self.mixed
            && !self.lookalike
            && self.scripts.is_empty()
    }
}

/// Makes a text safe, showing at most `limit` of its characters: its beginning and its end.
#[must_use]
pub fn show(text: &str, limit: usize) -> Shown {
    let total = text.chars().count();
    let (head, tail) = if total <= limit {
        (total, 0)
    } else {
        (limit.saturating_sub(limit / 4), limit / 4)
    };
    let hidden = total.saturating_sub(head).saturating_sub(tail);
    let mut shown = Shown {
        hidden,
        ..Shown::default()
    };
    let (mut marks, mut spaces) = (MARKS, 0usize);
    for (at, c) in text.chars().enumerate() {
        if hidden > 0 && at == head {
            // A lone backslash never comes from the text, so this mark cannot be forged.
            shown.text.push_str(&format!("\\…(+{hidden})…"));
            (marks, spaces) = (MARKS, 0);
        }
        if at >= head && at < total.saturating_sub(tail) {
            continue;
        }
        marks = if is_combining_mark(c) {
            marks.saturating_add(1)
        } else {
            0
        };
        spaces = if c == ' ' {
            spaces.saturating_add(1)
        } else {
            0
        };
        match c {
            '\\' => shown.text.push_str("\\\\"),
            // A run of spaces can push text out of sight or fake a line break where lines wrap.
            ' ' if spaces > 2 => shown.escape("\\u{20}"),
            '\n' => shown.escape("\\n"),
            '\r' => shown.escape("\\r"),
            '\t' => shown.escape("\\t"),
            c if is_unsafe(c) || marks > MARKS => {
                shown.escape(&format!("\\u{{{:x}}}", u32::from(c)))
            }
            c => shown.text.push(c),
        }
    }
    let alphabets = alphabets(text);
    shown.mixed = alphabets.len() > 1;
    shown.scripts = alphabets
        .into_iter()
        .filter(|name| *name != Script::Latin.full_name())
        .collect();
    shown.lookalike = text.chars().any(is_lookalike);
    shown
}

/// Makes a text safe and puts it in quotation marks, so that nobody takes it for our own words.
#[must_use]
pub fn quote(text: &str, limit: usize) -> Shown {
    let mut shown = show(text, limit);
    shown.text = format!("\"{}\"", shown.text.replace('"', "\\\""));
    shown
}

impl Shown {
    fn escape(&mut self, escape: &str) {
        self.text.push_str(escape);
        self.escaped = true;
    }
}

/// Characters that move, hide, join or break text instead of being seen: Unicode categories Cc, Cf, Zl, Zp, Co, Cn (non-characters), spaces that are
/// not U+0020 or the French no-break spaces, variation selectors and letters without a glyph.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x115f..=0x1160 | 0x1680
            | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x2000..=0x200f | 0x2028..=0x202e | 0x205f..=0x206f | 0x2800 | 0x3000 | 0x3164
            | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xfffe..=0xffff
            | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0x10ffff)
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Letters of styles and transcriptions: their normal form K is another letter, or they are phonetic or Latin oddities beyond names.
fn is_lookalike(c: char) -> bool {
    let latin_1 = u32::from(c) < 0x100;
    let styled = c.is_alphanumeric()
        && !latin_1
        && c.nfkc().next() != Some(c)
        && !matches!(u32::from(c), 0xf900..=0xfaff | 0x2f800..=0x2fa1f);
    styled
        || matches!(u32::from(c), 0x250..=0x2af | 0x1d00..=0x1dbf | 0xa720..=0xa7ff | 0xab30..=0xab6f)
}

/// The alphabets of a text's letters, each once, in order of appearance; those that one language writes together count as one.
fn alphabets(text: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for c in text.chars() {
        let name = match c.script() {
            Script::Common | Script::Inherited | Script::Unknown => continue,
            Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Bopomofo => Script::Han.full_name(),
            script => script.full_name(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        show(text, LIMIT).text
    }

    #[test]
    fn leaves_honest_names_alone() {
        for name in [
            "Jean Dupont <j.dupont@ml.example>",
            "Éloïse d’Aubigné",
            "Łukasz Ćwikła",
            "10\u{202f}000\u{a0}€",
            "Zoë — n° 3 (½ j)",
        ] {
            assert_eq!(
                show(name, LIMIT),
                Shown {
                    text: name.into(),
                    ..Shown::default()
                },
                "{name}"
            );
        }
    }

    #[test]
    fn escapes_what_moves_hides_or_breaks_text() {
        assert_eq!(shown("a\nRequester: b\r\t"), "a\\nRequester: b\\r\\t");
        assert_eq!(
            shown("\u{1b}[2J\u{9b}31m\u{7}"),
            "\\u{1b}[2J\\u{9b}31m\\u{7}"
        );
        assert_eq!(
            shown("x\u{202e}gpj.exe\u{2066}\u{200f}"),
            "x\\u{202e}gpj.exe\\u{2066}\\u{200f}"
        );
        assert_eq!(
            shown("a\u{200b}b\u{feff}c\u{ad}d\u{3164}e\u{e0041}"),
            "a\\u{200b}b\\u{feff}c\\u{ad}d\\u{3164}e\\u{e0041}"
        );
        assert_eq!(
            shown("a\u{2028}b\u{2029}c\u{85}d"),
            "a\\u{2028}b\\u{2029}c\\u{85}d"
        );
        assert_eq!(
            shown("a          b"),
            format!("a  {}b", "\\u{20}".repeat(8))
        );
        assert_eq!(
            shown(&format!("e{}", "\u{316}".repeat(6))),
            format!("e{}{}", "\u{316}".repeat(3), "\\u{316}".repeat(3))
        );
        assert_eq!(shown("\u{301}a"), "\\u{301}a");
    }

    #[test]
    fn an_escape_cannot_be_forged() {
        assert_eq!(shown("\\n\\u{202e}"), "\\\\n\\\\u{202e}");
        assert_eq!(quote("a\" b", LIMIT).text, "\"a\\\" b\"");
        assert_eq!(quote("a\\", LIMIT).text, "\"a\\\\\"");
        assert!(!show("\\", LIMIT).escaped);
    }

    #[test]
    fn bounds_length_and_says_what_is_hidden() {
        let long = show(&format!("{}end", "x".repeat(10_000)), 100);
        assert_eq!(long.hidden, 9_903);
        assert_eq!(
            long.text,
            format!("{}\\…(+9903)…{}end", "x".repeat(75), "x".repeat(22))
        );
        assert_eq!(show(&"x".repeat(100), 100).hidden, 0);
        assert_eq!(show("xyz", 0).text, "\\…(+3)…");
    }

    #[test]
    fn reports_alphabets_and_lookalikes() {
        let paypal = show("p\u{430}ypal", LIMIT);
        assert!(paypal.mixed && !paypal.is_plain());
        assert_eq!(paypal.scripts, ["Cyrillic"]);
        let cyrillic = show("\u{440}\u{430}\u{443}", LIMIT);
        assert!(!cyrillic.mixed && !cyrillic.is_plain());
        assert!(!show("東京タワーの人", LIMIT).mixed);
        for text in ["𝐀dmin", "ａdmin", "\u{251}dmin", "ﬁn"] {
            assert!(show(text, LIMIT).lookalike, "{text}");
        }
        assert!(show("Ωmega", LIMIT).mixed);
    }

    proptest! {
        #[test]
        fn whatever_comes_one_bounded_safe_line_goes(text in prop::collection::vec(any::<char>(), 0..400), limit in 0usize..100) {
            let text: String = text.into_iter().collect();
            let shown = quote(&text, limit);
            prop_assert!(shown.text.chars().all(|c| !is_unsafe(c)));
            prop_assert!(shown.text.chars().count() <= limit * 10 + 40);
        }

        #[test]
        fn different_texts_are_shown_differently(a in "[a\\\\n\"\n\u{202e} ]{0,6}", b in "[a\\\\n\"\n\u{202e} ]{0,6}") {
            prop_assert_eq!(quote(&a, LIMIT).text == quote(&b, LIMIT).text, a == b);
        }
    }
}
