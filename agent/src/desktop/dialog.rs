//! What dialogs and notifications say: an action in pages, a PIN with the action that it is for, a touch. Pure; fixed words in French and English.
//!
//! The texts of actions arrive escaped, quoted and bounded ([`crate::prompt`]); here they are laid out, and never cut: what does not fit on one page
//! of a pinentry (1000 octets) goes on the next, and the button that seals is on the last.

use super::assuan::{MAX_TEXT, escaped};
use crate::locale::Language;
use crate::prompt::{Again, Shown};

/// Lines of one page: what fits on a small screen.
const MAX_LINES: usize = 22;
/// Octets of one page, so that page numbers and pinentry's escapes fit too.
const MAX_PAGE: usize = MAX_TEXT - 64;

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Its title.
    pub title: String,
    /// What it says.
    pub text: String,
    /// The first button.
    pub yes: String,
    /// The second.
    pub no: Option<String>,
    /// The third.
    pub cancel: Option<String>,
}

/// The action, page after page. On every page but the last the first button goes on to the next; on the last it seals. The second refuses, the third
/// puts off.
#[must_use]
pub fn action(action: &Shown, language: Language) -> Vec<Dialog> {
    let say = |name: &str| language.text(name).into_owned();
    let mut lines = vec![action.title.clone(), String::new()];
    lines.extend(action.warnings.iter().map(|warning| format!("⚠ {warning}")));
    for line in action.lines.iter().filter(|line| !line.technical) {
        lines.push(format!("{}{} {}", line.label, language.colon(), line.value));
    }
    lines.push(String::new());
    for line in action.lines.iter().filter(|line| line.technical) {
        lines.push(format!("{}{} {}", line.label, language.colon(), line.value));
    }
    if action.waiting > 0 {
        lines.push(behind(action.waiting, language));
    }
    let pages = pages(&lines);
    let count = pages.len();
    let page = |(index, text): (usize, String)| {
        let is_last = index + 1 == count;
        let number = if count > 1 {
            let values = [("page", (index + 1).into()), ("count", count.into())];
            format!("\n\n{}", language.text_with("prompt-page", &values))
        } else {
            String::new()
        };
        Dialog {
            title: say("prompt-seal-title"),
            text: format!("{text}{number}"),
            yes: if is_last {
                say("prompt-button-seal")
            } else {
                say("prompt-button-next")
            },
            no: Some(say("prompt-button-refuse")),
            cancel: Some(say("prompt-button-later")),
        }
    };
    pages.into_iter().enumerate().map(page).collect()
}

/// How many actions wait behind the one that is shown.
#[must_use]
pub fn behind(count: usize, language: Language) -> String {
    language.text_with("prompt-waiting-behind", &[("count", count.into())])
}

fn tries(count: u64, language: Language) -> String {
    let values = [("count", count.into())];
    format!("\n{}", language.text_with("prompt-tries-left", &values))
}

/// Lines in pages; a line that is too long for a page goes on, marked, on the next.
fn pages(lines: &[String]) -> Vec<String> {
    let mut pages: Vec<String> = Vec::new();
    let (mut page, mut count) = (String::new(), 0);
    for line in lines {
        for piece in pieces(line) {
            let size = |text: &str| escaped(text).map_or(usize::MAX, |text| text.len());
            let needed = size(&page).saturating_add(size(&piece)).saturating_add(3);
            if !page.is_empty() && (needed > MAX_PAGE || count >= MAX_LINES) {
                pages.push(std::mem::take(&mut page).trim_matches('\n').to_owned());
                count = 0;
            }
            if count > 0 {
                page.push('\n');
            }
            page.push_str(&piece);
            count += 1;
        }
    }
    pages.push(page.trim_matches('\n').to_owned());
    pages
}

/// A line in pieces of which each fits on a page.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut size = 0;
    for c in line.chars() {
        let octets = if c == '%' { 3 } else { c.len_utf8() };
        if size + octets > MAX_PAGE / 2 {
            if let Some(last) = pieces.last_mut() {
                last.push('…');
            }
            pieces.push("… ".to_owned());
            size = 4;
        }
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
        size += octets;
    }
    pieces
}

/// Why an action is refused: not me · a mistake · back.
#[must_use]
pub fn reason(title: &str, language: Language) -> Dialog {
    let say = |name: &str| language.text(name).into_owned();
    Dialog {
        title: say("prompt-refuse-title"),
        text: fitting(
            title,
            &format!("\n\n{}", language.text("prompt-refuse-why")),
        ),
        yes: say("prompt-button-not-me"),
        no: Some(say("prompt-button-mistake")),
        cancel: Some(say("prompt-button-back")),
    }
}

/// The PIN of a key or card, for the action with this title.
#[must_use]
pub fn pin(title: &str, key: &str, tries_left: Option<u64>, language: Language) -> Dialog {
    let say = |name: &str| language.text(name).into_owned();
    let tries = tries_left.map(|left| tries(left, language));
    let key = format!(
        "\n\n{}{} {key}{}",
        say("prompt-key"),
        language.colon(),
        tries.unwrap_or_default()
    );
    Dialog {
        title: say("prompt-pin-title"),
        text: fitting(title, &key),
        yes: say("prompt-button-seal"),
        no: None,
        cancel: Some(say("prompt-button-stop")),
    }
}

/// The prompt beside the field.
#[must_use]
pub fn pin_prompt(language: Language) -> String {
    language.text("prompt-pin-field").into_owned()
}

/// Why the PIN is asked for again.
#[must_use]
pub fn again(again: Again, language: Language) -> String {
    match again {
        Again::Wrong => language.text("prompt-wrong-pin"),
        Again::Unfit => language.text("prompt-pin-unfit"),
    }
    .into_owned()
}

/// Whether to type the PIN on the reader again.
#[must_use]
pub fn another_try(card: &str, tries_left: Option<u8>, language: Language) -> Dialog {
    let say = |name: &str| language.text(name).into_owned();
    let tries = tries_left.map(|left| tries(left.into(), language));
    Dialog {
        title: say("prompt-pin-title"),
        text: format!(
            "{}{}\n\n{card}",
            say("prompt-wrong-pin"),
            tries.unwrap_or_default()
        ),
        yes: say("prompt-button-type-again"),
        no: None,
        cancel: Some(say("prompt-button-stop")),
    }
}

/// The beginning of `head` that leaves room for `tail`; the action was shown whole before.
fn fitting(head: &str, tail: &str) -> String {
    let room = MAX_PAGE.saturating_sub(tail.len() + 8);
    let mut text = String::new();
    let mut size = 0;
    for c in head.chars() {
        size += if c == '%' { 3 } else { c.len_utf8() };
        if size > room {
            text.push('…');
            break;
        }
        text.push(c);
    }
    text + tail
}

/// A text that no notification server takes for markup: some strip what looks like a tag though they say that they know no markup, and with it an
/// address in angle brackets. The dialog shows the text as it is.
#[must_use]
pub fn without_markup(text: &str, knows_markup: bool) -> String {
    let text = text.replace('<', "‹").replace('>', "›");
    if knows_markup {
        text.replace('&', "&amp;")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Line;

    fn shown(lines: Vec<Line>) -> Shown {
        Shown {
            id: "0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f".into(),
            title: "Alice Martin asks to create the account “Jean Dupont”.".into(),
            lines,
            warnings: vec!["letters of several alphabets".into()],
            waiting: 3,
        }
    }

    fn line(label: &str, value: &str, technical: bool) -> Line {
        Line {
            label: label.into(),
            value: value.into(),
            technical,
        }
    }

    #[test]
    fn everything_that_is_signed_is_on_a_page_and_every_page_fits() {
        let long = format!("“{}”", "é%x".repeat(330));
        let mut lines: Vec<Line> = (0..60)
            .map(|number| line(&format!("p{number}"), &format!("“value {number}”"), false))
            .collect();
        lines.push(line("Nonce", "BwcH", true));
        lines.insert(0, line("long", &long, false));
        for language in [Language::Fr, Language::En] {
            let pages = action(&shown(lines.clone()), language);
            assert!(pages.len() > 3);
            let (last, before) = pages.split_last().unwrap();
            let seal = language.pick("_Sceller", "_Seal");
            assert_eq!(last.yes, seal);
            assert!(before.iter().all(|page| page.yes != seal));
            for page in &pages {
                assert!(escaped(&page.text).is_some(), "{}", page.text.len());
                assert!(page.text.lines().count() <= MAX_LINES + 3);
            }
            let all: String = pages.iter().map(|page| page.text.as_str()).collect();
            for line in lines.iter().filter(|line| line.label != "long") {
                assert!(all.contains(&line.value), "{}", line.value);
            }
            assert_eq!(
                all.matches("é%x").count() + all.matches("é…").count() + all.matches("é%…").count(),
                330
            );
            assert!(all.contains("letters of several alphabets"));
        }
    }

    #[test]
    fn usual_action_is_one_page() {
        let lines = vec![
            line("Service", "“Mission locale”", false),
            line("Requested by", "“Alice Martin”", false),
            line("Nonce", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", true),
        ];
        assert_eq!(action(&shown(lines), Language::En).len(), 1);
    }

    #[test]
    fn longest_title_leaves_room_for_the_key_and_the_tries() {
        let title = "%é".repeat(600);
        for language in [Language::Fr, Language::En] {
            let text = pin(&title, "Virtual key", Some(2), language).text;
            assert!(escaped(&text).is_some());
            assert!(text.contains("Virtual key") && text.lines().last().unwrap().contains('2'));
            assert!(escaped(&reason(&title, language).text).is_some());
        }
    }

    #[test]
    fn nothing_in_a_notification_is_taken_for_markup() {
        let text = "<b>Jean</b> & <j.dupont@ml.example>";
        assert_eq!(
            without_markup(text, true),
            "‹b›Jean‹/b› &amp; ‹j.dupont@ml.example›"
        );
        assert_eq!(
            without_markup(text, false),
            "‹b›Jean‹/b› & ‹j.dupont@ml.example›"
        );
    }
}
