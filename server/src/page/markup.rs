//! What the pages say, in French and English, as HTML.
//!
//! Everything received is written through `sceau_proof::display` (control and bidirectional characters written out, length bounded, quoted) and
//! then escaped; nothing else is formatted into a page. No inline script or style: what a script says is in `data-words`.

use sceau_proof::action::{Action, Language as Tongue};
use sceau_proof::display;
use sceau_proof::words::{self, Line};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::action::State;
use crate::desk::Fall;
use crate::gate::client::Language;
use crate::gate::page::{escape, say};

/// Something that is said instead of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// None of that name, or not for this person's eyes.
    Unknown,
    /// The session was suspended.
    Suspended,
    /// The session's key does not show itself.
    Absent,
    /// The console, for who is neither an operator nor an administrator.
    NotTheirs,
    /// The store does not answer.
    Unavailable,
}

/// Where an action stands for the person who looks.
pub(super) struct Standing<'a> {
    pub(super) state: State,
    /// It waits for this person.
    pub(super) awaits: bool,
    /// This person has approved it.
    pub(super) approved: bool,
    /// Why it was refused or denied, kebab-case.
    pub(super) reason: Option<&'a str>,
    /// Where to go on.
    pub(super) back: Option<String>,
    /// Something waits there for this person's approval: an approval leads there by itself.
    pub(super) leads: bool,
    /// What it would stop, while it waits.
    pub(super) fall: Option<Fall>,
}

/// A family of texts, as a table for the script.
pub(super) fn table(language: Language, family: &str) -> String {
    escape(&Value::Object(members(language, family, "")).to_string())
}

/// What the script of an action's page says, as its table: what became of it, and why an approval does not count.
fn words_of_action(language: Language) -> String {
    let mut members = members(language, "page-told", "");
    members.extend(self::members(
        language,
        "because-approver",
        "not-an-approver-",
    ));
    escape(&Value::Object(members).to_string())
}

fn members(language: Language, family: &str, prefix: &str) -> Map<String, Value> {
    language
        .family(family)
        .map(|(name, text)| (format!("{prefix}{name}"), text.into_owned().into()))
        .collect()
}

/// What became of an action.
fn told(language: Language, name: &str) -> String {
    say(language, &format!("page-told-{name}"))
}

/// A text from outside.
pub(super) fn shown(text: &str) -> String {
    escape(&display::show(text, display::LIMIT).text)
}

fn quoted(text: &str) -> String {
    escape(&display::quote(text, display::LIMIT).text)
}

/// A whole page. `attributes` of its main part; `person`, safe already, is who is signed in.
pub(super) fn document(
    language: Language,
    title: &str,
    script: Option<&str>,
    attributes: &str,
    person: Option<&str>,
    body: &str,
) -> String {
    let lang = language.code();
    let script = script
        .map(|name| format!("<script src=\"/pages/{name}\" type=\"module\"></script>\n"))
        .unwrap_or_default();
    let who = person
        .map(|person| {
            let (signed, leave) = (
                say(language, "page-signed-in"),
                say(language, "page-sign-out"),
            );
            format!("<p>{signed} <bdi>{}</bdi> <button id=\"leave\" type=\"button\">{leave}</button></p>\n", shown(person))
        })
        .unwrap_or_default();
    let noscript = say(language, "page-needs-javascript");
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} – Sceau</title>\n\
         <link rel=\"stylesheet\" href=\"/pages/page.css\">\n{script}</head>\n<body>\n<header>\n<p><strong>Sceau</strong></p>\n{who}</header>\n\
         <main{attributes}>\n<h1>{title}</h1>\n<noscript><p role=\"alert\">{noscript}</p></noscript>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

pub(super) fn status(text: &str) -> String {
    format!("<p id=\"status\" role=\"status\" aria-live=\"polite\">{text}</p>")
}

/// The sign-in form. It says nothing of what is behind it.
pub(super) fn sign_in(language: Language, here: &str) -> String {
    let title = say(language, "page-sign-in-title");
    let body = format!(
        "<p>{}</p>\n<form id=\"sign-in\">\n<label for=\"person\">{}</label>\n\
         <input id=\"person\" name=\"person\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"64\" required>\n\
         <button class=\"main\">{}</button>\n</form>\n{}\n<p>{} <code>{}</code></p>",
        say(language, "page-sign-in-why"),
        say(language, "page-sign-in-identifier"),
        say(language, "page-sign-in-go-on"),
        status(""),
        say(language, "page-check-address"),
        escape(here),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, "page-told"));
    document(
        language,
        &title,
        Some("action.js"),
        &attributes,
        None,
        &body,
    )
}

/// A notice. `person`: who is signed in.
pub(super) fn notice(language: Language, notice: Notice, person: Option<&str>) -> String {
    let (title, text) = match notice {
        Notice::Unknown => (
            say(language, "page-unknown-title"),
            say(language, "page-unknown"),
        ),
        Notice::Suspended => (
            say(language, "page-suspended-title"),
            say(language, "page-suspended"),
        ),
        Notice::Absent => (
            say(language, "page-absent-title"),
            say(language, "page-absent"),
        ),
        Notice::NotTheirs => (
            say(language, "console-not-theirs-title"),
            say(language, "console-not-theirs"),
        ),
        Notice::Unavailable => (
            say(language, "page-unavailable-title"),
            told(language, "unavailable"),
        ),
    };
    let script = person.map(|_| "action.js");
    let attributes = format!(" data-words=\"{}\"", table(language, "page-told"));
    let body = format!("<p role=\"alert\">{text}</p>");
    document(language, &title, script, &attributes, person, &body)
}

/// An instant: machine-readable, which the script puts into the reader's own time.
fn instant(at: OffsetDateTime) -> String {
    let text = at.format(&Rfc3339).unwrap_or_default();
    format!("<time datetime=\"{text}\">{text}</time>")
}

pub(super) fn list(lines: impl IntoIterator<Item = (String, String)>) -> String {
    let rows: String = lines
        .into_iter()
        .map(|(label, value)| format!("<dt>{label}</dt><dd><bdi>{value}</bdi></dd>\n"))
        .collect();
    format!("<dl>\n{rows}</dl>")
}

/// What a suspension would stop, in words.
fn falling(language: Language, fall: &Fall) -> String {
    let totals = &fall.totals;
    let counts = [
        ("lineage-persons", totals.persons),
        ("lineage-accounts", totals.accounts),
        ("lineage-keys", totals.keys),
        ("lineage-sessions", totals.sessions),
        ("lineage-actions", totals.actions),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(name, _)| fall.whole || !matches!(*name, "lineage-persons" | "lineage-accounts"))
        .map(|(name, count)| language.text_with(name, &[("count", count.into())]))
        .collect();
    let name = match fall.whole {
        true => "page-falls-whole",
        false => "page-falls-alone",
    };
    let mut text = language.text_with(name, &[("what", counts.join(", ").into())]);
    if fall.leaves {
        text = format!("{text} {}", language.text("page-falls-leaves"));
    }
    escape(&text)
}

/// What, by whom, for which service, since when, until when; and what it would stop.
fn summary(language: Language, action: &Action, tongue: Tongue, standing: &Standing<'_>) -> String {
    let row = |name, value| (say(language, name), value);
    let mut rows = vec![
        row("page-asked-by", quoted(&action.requester().display)),
        row("page-for-service", quoted(action.service())),
        row("page-target", quoted(&action.target().display)),
    ];
    if let Some(words) = action.words(tongue) {
        rows.push(row("page-service-says", quoted(words)));
    }
    if let Some(fall) = &standing.fall {
        rows.push(row("page-falls", falling(language, fall)));
    }
    rows.push(row("page-since", instant(action.created_at())));
    rows.push(row("page-valid-until", instant(action.expires_at())));
    list(rows)
}

/// Why it was refused or denied: in words where they are ours, and by its code, which a help desk asks for.
fn because(language: Language, reason: &str) -> String {
    let words = language.known(&format!("because-{reason}"));
    let words = words.map(|words| format!("<p>{}</p>\n", escape(&words)));
    let code = shown(reason);
    format!(
        "{}<p class=\"code\">{code}</p>\n",
        words.unwrap_or_default()
    )
}

/// The page of an action, for someone who may read it.
pub(super) fn action(
    language: Language,
    person: &str,
    action: &Action,
    standing: &Standing<'_>,
) -> String {
    let tongue = language.pick(Tongue::French, Tongue::English);
    let words = words::describe(action, tongue);
    let mut warnings = words.warnings.clone();
    if !words.complete {
        let text = say(language, "page-not-whole");
        warnings.push(text.to_owned());
    }
    if standing.fall.is_some_and(|fall| fall.grown) {
        warnings.push(language.text("page-falls-grown").into_owned());
    }
    let warnings = if warnings.is_empty() {
        String::new()
    } else {
        let items: String = warnings
            .iter()
            .map(|warning| format!("<li>{}</li>\n", escape(warning)))
            .collect();
        format!("<ul class=\"warnings\">\n{items}</ul>\n")
    };
    let line = |line: &Line| (escape(&line.label), escape(&line.value));
    let state = standing.state.as_str();
    let now = if standing.state == State::Pending && standing.approved {
        "waiting"
    } else {
        state
    };
    let reason = standing
        .reason
        .map(|reason| because(language, reason))
        .unwrap_or_default();
    let body = format!(
        "{}\n{reason}{warnings}{}\n<details>\n<summary>{}</summary>\n{}\n<p>SHA-256 <code>{}</code></p>\n</details>\n{}{}",
        status(&told(language, now)),
        summary(language, action, tongue, standing),
        say(language, "page-exact-parameters"),
        list(words.lines.iter().map(line)),
        hex::encode(action.sha256()),
        choices(language, standing, words.complete),
        onward(language, standing),
    );
    let attributes = format!(
        " data-words=\"{}\" data-action=\"/actions/{}\" data-state=\"{state}\" data-approved=\"{}\" data-sha256=\"{}\"",
        words_of_action(language),
        action.id(),
        standing.approved,
        hex::encode(action.sha256()),
    );
    document(
        language,
        &escape(&words.sentence),
        Some("action.js"),
        &attributes,
        Some(person),
        &body,
    )
}

/// Approval and refusal, side by side.
fn choices(language: Language, standing: &Standing<'_>, complete: bool) -> String {
    if standing.state != State::Pending {
        return String::new();
    }
    let approve = if standing.awaits && complete {
        format!(
            "<button id=\"approve\" class=\"main\" type=\"button\">{}</button>\n",
            say(language, "page-approve")
        )
    } else {
        String::new()
    };
    let (step_back, warning) = (
        say(language, "page-step-back"),
        say(language, "page-without-key"),
    );
    format!(
        "<p class=\"choices\"><button id=\"step-back\" type=\"button\" hidden>{step_back}</button></p>\n\
         <div id=\"choices\">\n<div class=\"choices\">\n{approve}<button id=\"not-me\" class=\"refuse\" type=\"button\">{}</button>\n\
         <button id=\"mistake\" type=\"button\">{}</button>\n</div>\n<p>{warning}</p>\n</div>\n",
        say(language, "page-refuse-not-me"),
        say(language, "page-refuse-mistake"),
    )
}

/// The link back, shown once it is settled.
fn onward(language: Language, standing: &Standing<'_>) -> String {
    let Some(back) = &standing.back else {
        return String::new();
    };
    let hidden = if standing.state == State::Pending {
        " hidden"
    } else {
        ""
    };
    let leads = if standing.leads {
        " data-leads=\"true\""
    } else {
        ""
    };
    format!(
        "<p id=\"back\"{leads}{hidden}><a href=\"{}\">{}</a></p>",
        escape(back),
        // A path is the console's; services are elsewhere.
        match back.starts_with('/') {
            true => say(language, "console-back"),
            false => say(language, "page-back"),
        }
    )
}

/// The enrolment page: the same for everyone.
pub(super) fn enrol(language: Language) -> String {
    let title = say(language, "page-enrol-title");
    let body = format!(
        "{}\n<form id=\"open\">\n<label for=\"invitation\">{}</label>\n\
         <input id=\"invitation\" name=\"invitation\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"128\" required>\n\
         <button class=\"main\">{}</button>\n</form>\n<form id=\"make\" hidden>\n<p>{} <strong><bdi id=\"person\"></bdi></strong>. {}</p>\n\
         <label for=\"label\">{}</label>\n<input id=\"label\" name=\"label\" autocomplete=\"off\" maxlength=\"100\">\n\
         <button class=\"main\">{}</button>\n</form>\n<p id=\"model\"></p>",
        status(""),
        say(language, "page-enrol-invitation"),
        say(language, "page-continue"),
        say(language, "page-enrol-whose"),
        say(language, "page-enrol-if-not-you"),
        say(language, "page-enrol-label"),
        say(language, "page-enrol-make"),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, "page-enrolment"));
    document(language, &title, Some("enrol.js"), &attributes, None, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Totals;

    fn asked(display: &str) -> Action {
        let document = serde_json::json!({
            "v": 1, "id": "0193a5d0-0000-7000-8000-000000000000", "type": "account.create", "service": "portal",
            "requester": {"id": "alice", "display": "Alice"},
            "target": {"kind": "account", "id": "jean", "display": display}, "params": {"role": "<b>advisor</b>"},
            "created_at": "2026-11-22T00:00:00Z", "expires_at": "2026-11-22T00:05:00Z",
            "nonce": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        });
        Action::parse(document.to_string().as_bytes()).unwrap()
    }

    fn standing(state: State, awaits: bool) -> Standing<'static> {
        Standing {
            state,
            awaits,
            approved: false,
            reason: None,
            back: Some("https://portal.example/".to_owned()),
            leads: false,
            fall: None,
        }
    }

    #[test]
    fn a_suspension_says_what_will_fall() {
        let mut about = standing(State::Pending, true);
        let totals = Totals {
            persons: 4,
            accounts: 1,
            sessions: 2,
            actions: 0,
            keys: 5,
        };
        let fall = Fall {
            totals,
            whole: true,
            leaves: false,
            grown: false,
        };
        about.fall = Some(fall);
        let french = action(Language::Fr, "Alice", &asked("Jean"), &about);
        assert!(
            french
                .contains("4 personnes, 1 compte, 5 clés, 2 sessions ouvertes, 0 action en cours"),
            "{french}"
        );
        assert!(!french.contains("class=\"warnings\""));
        about.fall = Some(Fall {
            grown: true,
            ..fall
        });
        let grown = action(Language::En, "Alice", &asked("Jean"), &about);
        assert!(grown.contains("class=\"warnings\"") && grown.contains("has grown"));
        about.fall = Some(Fall {
            whole: false,
            leaves: true,
            ..fall
        });
        let alone = action(Language::En, "Alice", &asked("Jean"), &about);
        assert!(alone.contains("5 keys, 2 live sessions") && !alone.contains("4 persons"));
        assert!(alone.contains("never come back"));
    }

    #[test]
    fn each_reason_why_an_approval_does_not_count_has_its_words() {
        use crate::policy::NotCounted;
        let counted = [
            NotCounted::SelfApproval,
            NotCounted::Descendant,
            NotCounted::Role,
            NotCounted::NotRequester,
            NotCounted::NotActive,
        ];
        let mut reasons: Vec<String> = counted.map(|it| it.as_str().to_owned()).into();
        // The others are literals of the code that refuses.
        for (source, call) in [
            (include_str!("../policy/requirement.rs"), "Err(\"key-"),
            (include_str!("../desk/settle.rs"), "let reason = \"key-"),
            (include_str!("../desk/settle.rs"), "NotAnApprover(\""),
            (include_str!("../desk/eligible.rs"), "Some(\"workstation-"),
            (include_str!("../desk/eligible.rs"), "then_some(\"same-"),
        ] {
            let found = source.split(call).skip(1);
            let begun = call.rsplit('"').next().unwrap_or_default();
            let found: Vec<String> = found
                .map(|rest| format!("{begun}{}", rest.split('"').next().unwrap()))
                .collect();
            assert!(!found.is_empty(), "{call}");
            reasons.extend(found);
        }
        assert!(reasons.len() > 14, "{reasons:?}");
        for language in [Language::Fr, Language::En] {
            let table = words_of_action(language);
            for reason in &reasons {
                let name = format!("because-approver-{reason}");
                assert!(language.known(&name).is_some(), "{name}");
                assert!(table.contains(&format!("not-an-approver-{reason}")));
            }
        }
    }

    #[test]
    fn what_an_action_holds_is_shown_and_never_run() {
        let deceptive = "<script>x</script>\u{202e}\nService: bank";
        let text = action(
            Language::En,
            "Eve\u{202e}<i>",
            &asked(deceptive),
            &standing(State::Pending, true),
        );
        assert!(text.contains("&lt;script&gt;x&lt;/script&gt;\\u{202e}\\nService: bank"));
        assert!(text.contains("&lt;b&gt;advisor") && text.contains("Eve\\u{202e}&lt;i&gt;"));
        assert!(!text.contains('\u{202e}') && !text.contains("<script>") && !text.contains("<b>"));
        assert!(!text.contains(" style=") && !text.contains(" onclick"));
        assert!(text.contains("class=\"warnings\""));
    }

    #[test]
    fn what_is_not_shown_whole_cannot_be_approved() {
        let long = "x".repeat(1_500);
        let cut = action(
            Language::Fr,
            "Alice",
            &asked(&long),
            &standing(State::Pending, true),
        );
        assert!(!cut.contains("id=\"approve\"") && cut.contains("id=\"not-me\""));
        let whole = action(
            Language::Fr,
            "Alice",
            &asked("Jean"),
            &standing(State::Pending, true),
        );
        assert!(whole.contains("id=\"approve\"") && whole.contains("<html lang=\"fr\">"));
    }

    #[test]
    fn only_what_waits_can_be_decided_on() {
        for state in [
            State::Approved,
            State::Executed,
            State::Consumed,
            State::Refused,
            State::Denied,
            State::Expired,
        ] {
            let text = action(
                Language::En,
                "Alice",
                &asked("Jean"),
                &standing(state, false),
            );
            assert!(!text.contains("id=\"choices\""), "{}", state.as_str());
            let told = format!("page-told-{}", state.as_str());
            assert!(Language::En.known(&told).is_some(), "{told}");
            assert!(text.contains("<p id=\"back\"><a href=\"https://portal.example/\">"));
        }
        let other = action(
            Language::En,
            "Bob",
            &asked("Jean"),
            &standing(State::Pending, false),
        );
        assert!(!other.contains("id=\"approve\"") && other.contains("<p id=\"back\" hidden>"));
    }

    #[test]
    fn each_reason_of_ours_is_said_in_words_and_by_its_code() {
        use crate::desk::RefusalReason;
        use crate::policy::Reason;
        let reasons = [
            Reason::NoRule.as_str().to_owned(),
            Reason::RequesterRole.as_str().to_owned(),
            Reason::Condition.as_str().to_owned(),
            Reason::RequesterInert.as_str().to_owned(),
            Reason::RequesterSuspended.as_str().to_owned(),
            Reason::HigherRole.as_str().to_owned(),
            Reason::Contradiction.as_str().to_owned(),
            Reason::Broken.as_str().to_owned(),
            RefusalReason::NotMe.as_str().to_owned(),
            RefusalReason::Mistake.as_str().to_owned(),
            RefusalReason::Other.as_str().to_owned(),
        ];
        for language in [Language::Fr, Language::En] {
            for reason in &reasons {
                let text = because(language, reason);
                assert!(text.starts_with("<p>") && text.contains(reason), "{text}");
                assert!(text.matches("<p").count() == 2, "{text}");
            }
        }
        let house = because(Language::Fr, "<house>");
        assert_eq!(house, "<p class=\"code\">&lt;house&gt;</p>\n");
    }
}
