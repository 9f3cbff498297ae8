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
use crate::gate::client::Language;
use crate::gate::page::escape;

/// A text with its name, French and English.
type Text = (&'static str, &'static str, &'static str);

/// What may become of a page's actions, by state or by the code of a refusal.
const TOLD: &[Text] = &[
    ("pending", "En attente d’une clé.", "Waiting for a key."),
    (
        "waiting",
        "Votre approbation compte. D’autres personnes doivent encore approuver.",
        "Your approval counts. Other people still have to approve.",
    ),
    ("approved", "Demande approuvée.", "Request approved."),
    (
        "executed",
        "Demande approuvée et exécutée.",
        "Request approved and executed.",
    ),
    (
        "consumed",
        "Demande approuvée et utilisée ; son issue n’est pas connue ici.",
        "Request approved and used; its outcome is not known here.",
    ),
    (
        "refused",
        "Demande refusée : rien n’a été fait.",
        "Request refused: nothing was done.",
    ),
    (
        "denied",
        "La politique de la maison ne permet pas cette demande : rien n’a été fait.",
        "The policy of the house does not allow this request: nothing was done.",
    ),
    (
        "expired",
        "Le temps est écoulé : rien n’a été fait. Refaites la demande là où vous l’aviez faite.",
        "The time is over: nothing was done. Ask again where you asked before.",
    ),
    ("begins", "Un instant…", "One moment…"),
    (
        "touch",
        "Touchez votre clé quand elle clignote. Vous pouvez aussi répondre dans votre agent.",
        "Touch your key when it blinks. You may also answer in your agent.",
    ),
    (
        "stepped-back",
        "Rien n’a été signé. La demande attend toujours votre réponse.",
        "Nothing was signed. The request still waits for your answer.",
    ),
    (
        "no-key",
        "La clé n’a pas répondu. Branchez-la et réessayez, ou répondez dans votre agent. Clé perdue ou bloquée : appelez l’assistance.",
        "The key did not answer. Plug it in and try again, or answer in your agent. Key lost or blocked: call the help desk.",
    ),
    (
        "changed",
        "La demande n’est pas celle qui est affichée. Rien n’a été signé : rechargez la page et prévenez l’assistance.",
        "The request is not the one that is shown. Nothing was signed: reload the page and tell the help desk.",
    ),
    (
        "signed-out",
        "La connexion a été refusée ou a expiré. Recommencez.",
        "The sign-in was refused or has expired. Start again.",
    ),
    (
        "unauthenticated",
        "Vous n’êtes plus connecté. Rechargez la page.",
        "You are not signed in any more. Reload the page.",
    ),
    (
        "unknown-person",
        "Cet identifiant ne permet pas de se connecter ici. Vérifiez-le.",
        "This identifier cannot sign in here. Check it.",
    ),
    (
        "malformed",
        "Ce n’est pas un identifiant. Vérifiez-le.",
        "This is not an identifier. Check it.",
    ),
    (
        "not-verified",
        "La réponse de la clé n’a pas été acceptée. Rien n’a été fait : prévenez l’assistance.",
        "The key’s answer was not accepted. Nothing was done: tell the help desk.",
    ),
    (
        "not-an-approver",
        "Vous ne pouvez pas approuver cette demande avec cette clé.",
        "You cannot approve this request with this key.",
    ),
    (
        "already-settled",
        "La demande est déjà réglée. Rechargez la page.",
        "The request is settled already. Reload the page.",
    ),
    (
        "limited",
        "Trop d’essais. Attendez une minute.",
        "Too many attempts. Wait a minute.",
    ),
    (
        "unavailable",
        "Le serveur ne répond pas comme il faut. Réessayez dans un instant.",
        "The server does not answer as it should. Try again in a moment.",
    ),
];

/// What the enrolment page may say.
const ENROLMENT: &[Text] = &[
    ("begins", "Un instant…", "One moment…"),
    (
        "ready",
        "Invitation reconnue. Branchez la clé à enrôler.",
        "The invitation is known. Plug in the key to enrol.",
    ),
    (
        "touch",
        "Suivez votre navigateur : code PIN, puis touchez la clé. Acceptez que sa marque et son modèle soient communiqués.",
        "Follow your browser: PIN, then touch the key. Allow its make and model to be told.",
    ),
    (
        "done",
        "La clé est enrôlée. Vous pouvez fermer cette page.",
        "The key is enrolled. You may close this page.",
    ),
    (
        "registration-refused",
        "Cette clé n’est pas acceptée.",
        "This key is not accepted.",
    ),
    (
        "not-found",
        "Cette invitation n’existe pas. Vérifiez que vous l’avez entière.",
        "There is no such invitation. Check that you have all of it.",
    ),
    (
        "malformed",
        "Cette invitation n’existe pas. Vérifiez que vous l’avez entière.",
        "There is no such invitation. Check that you have all of it.",
    ),
    (
        "already-settled",
        "Cette invitation a déjà servi. Demandez-en une autre à l’assistance.",
        "This invitation was used already. Ask the help desk for another one.",
    ),
    (
        "expired",
        "Cette invitation a expiré. Demandez-en une autre à l’assistance.",
        "This invitation has expired. Ask the help desk for another one.",
    ),
    (
        "forbidden",
        "Cette personne est suspendue : aucune clé ne peut être enrôlée.",
        "This person is suspended: no key can be enrolled.",
    ),
    (
        "limited",
        "Trop d’essais. Attendez une minute.",
        "Too many attempts. Wait a minute.",
    ),
    (
        "unavailable",
        "Le serveur ne répond pas comme il faut. Réessayez dans un instant.",
        "The server does not answer as it should. Try again in a moment.",
    ),
    (
        "InvalidStateError",
        "Cette clé est déjà enrôlée pour cette personne.",
        "This key is enrolled already for this person.",
    ),
    (
        "NotAllowedError",
        "La clé n’a pas répondu, ou vous avez annulé. Branchez-la et réessayez.",
        "The key did not answer, or you cancelled. Plug it in and try again.",
    ),
    (
        "SecurityError",
        "Cette page n’est pas à l’adresse de votre organisation. Arrêtez-vous et prévenez l’assistance.",
        "This page is not at your organisation’s address. Stop, and tell the help desk.",
    ),
    (
        "failed",
        "Cela n’a pas marché. Réessayez, ou appelez l’assistance.",
        "It did not work. Try again, or call the help desk.",
    ),
];

/// Something that is said instead of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// None of that name, or not for this person's eyes.
    Unknown,
    /// The session was suspended.
    Suspended,
    /// The session's key does not show itself.
    Absent,
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
}

fn pick(language: Language, fr: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Fr => fr,
        Language::En => en,
    }
}

/// The table for the script.
fn table(language: Language, texts: &[Text]) -> String {
    let members: Map<String, Value> = texts
        .iter()
        .map(|(name, fr, en)| ((*name).to_owned(), pick(language, fr, en).into()))
        .collect();
    escape(&Value::Object(members).to_string())
}

fn told(language: Language, name: &str) -> &'static str {
    let found = TOLD.iter().find(|(other, ..)| *other == name);
    found.map_or("", |(_, fr, en)| pick(language, fr, en))
}

/// A text from outside.
fn shown(text: &str) -> String {
    escape(&display::show(text, display::LIMIT).text)
}

fn quoted(text: &str) -> String {
    escape(&display::quote(text, display::LIMIT).text)
}

/// A whole page. `attributes` of its main part; `person`, safe already, is who is signed in.
fn document(
    language: Language,
    title: &str,
    script: Option<&str>,
    attributes: &str,
    person: Option<&str>,
    body: &str,
) -> String {
    let lang = pick(language, "fr", "en");
    let script = script
        .map(|name| format!("<script src=\"/pages/{name}\" type=\"module\"></script>\n"))
        .unwrap_or_default();
    let who = person
        .map(|person| {
            let (signed, leave) = (
                pick(language, "Connecté :", "Signed in:"),
                pick(language, "Se déconnecter", "Sign out"),
            );
            format!("<p>{signed} <bdi>{}</bdi> <button id=\"leave\" type=\"button\">{leave}</button></p>\n", shown(person))
        })
        .unwrap_or_default();
    let noscript = pick(
        language,
        "Cette page a besoin de JavaScript. Vous pouvez aussi répondre dans votre agent.",
        "This page needs JavaScript. You may also answer in your agent.",
    );
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} – Sceau</title>\n\
         <link rel=\"stylesheet\" href=\"/pages/page.css\">\n{script}</head>\n<body>\n<header>\n<p><strong>Sceau</strong></p>\n{who}</header>\n\
         <main{attributes}>\n<h1>{title}</h1>\n<noscript><p role=\"alert\">{noscript}</p></noscript>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

fn status(text: &str) -> String {
    format!("<p id=\"status\" role=\"status\" aria-live=\"polite\">{text}</p>")
}

/// The sign-in form. It says nothing of what is behind it.
pub(super) fn sign_in(language: Language, here: &str) -> String {
    let title = pick(
        language,
        "Se connecter avec sa clé",
        "Sign in with your key",
    );
    let body = format!(
        "<p>{}</p>\n<form id=\"sign-in\">\n<label for=\"person\">{}</label>\n\
         <input id=\"person\" name=\"person\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"64\" required>\n\
         <button class=\"main\">{}</button>\n</form>\n{}\n<p>{} <code>{}</code></p>",
        pick(
            language,
            "Pour lire cette demande, montrez que vous êtes là : votre clé de sécurité, branchée à cet ordinateur.",
            "To read this request, show that you are there: your security key, plugged into this computer.",
        ),
        pick(language, "Votre identifiant", "Your identifier"),
        pick(language, "Continuer avec ma clé", "Go on with my key"),
        status(""),
        pick(
            language,
            "Vérifiez l’adresse de cette page :",
            "Check the address of this page:"
        ),
        escape(here),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, TOLD));
    document(language, title, Some("action.js"), &attributes, None, &body)
}

/// A notice. `person`: who is signed in.
pub(super) fn notice(language: Language, notice: Notice, person: Option<&str>) -> String {
    let (title, text) = match notice {
        Notice::Unknown => (
            pick(language, "Demande inconnue", "Unknown request"),
            pick(
                language,
                "Il n’y a pas de demande à cette adresse, ou elle ne vous concerne pas. Vérifiez le lien, et que vous êtes connecté sous votre nom.",
                "There is no request at this address, or it does not concern you. Check the link, and that you are signed in under your own name.",
            ),
        ),
        Notice::Suspended => (
            pick(language, "Session suspendue", "Session suspended"),
            pick(
                language,
                "Quelqu’un a signalé que cette session n’est pas la sienne, ou la personne est suspendue. Appelez l’assistance.",
                "Someone said that this session is not theirs, or the person is suspended. Call the help desk.",
            ),
        ),
        Notice::Absent => (
            pick(language, "Clé absente", "Key absent"),
            pick(
                language,
                "Cette session a besoin de votre clé, qui ne se montre pas. Rebranchez-la, puis rechargez la page.",
                "This session needs your key, which does not show itself. Plug it in again, then reload the page.",
            ),
        ),
        Notice::Unavailable => (
            pick(
                language,
                "Momentanément indisponible",
                "Unavailable for now",
            ),
            told(language, "unavailable"),
        ),
    };
    let script = person.map(|_| "action.js");
    let attributes = format!(" data-words=\"{}\"", table(language, TOLD));
    let body = format!("<p role=\"alert\">{text}</p>");
    document(language, title, script, &attributes, person, &body)
}

/// An instant: machine-readable, which the script puts into the reader's own time.
fn instant(at: OffsetDateTime) -> String {
    let text = at.format(&Rfc3339).unwrap_or_default();
    format!("<time datetime=\"{text}\">{text}</time>")
}

fn list(lines: impl IntoIterator<Item = (String, String)>) -> String {
    let rows: String = lines
        .into_iter()
        .map(|(label, value)| format!("<dt>{label}</dt><dd><bdi>{value}</bdi></dd>\n"))
        .collect();
    format!("<dl>\n{rows}</dl>")
}

/// What, by whom, for which service, since when, until when.
fn summary(language: Language, action: &Action, tongue: Tongue) -> String {
    let row = |fr, en, value| (pick(language, fr, en).to_owned(), value);
    let mut rows = vec![
        row(
            "Demandé par",
            "Requested by",
            quoted(&action.requester().display),
        ),
        row(
            "Pour le service",
            "For the service",
            quoted(action.service()),
        ),
        row("Objet", "Target", quoted(&action.target().display)),
    ];
    if let Some(words) = action.words(tongue) {
        rows.push(row("Le service dit", "The service says", quoted(words)));
    }
    rows.push(row("Depuis", "Since", instant(action.created_at())));
    rows.push(row(
        "Valable jusqu’à",
        "Valid until",
        instant(action.expires_at()),
    ));
    list(rows)
}

/// The page of an action, for someone who may read it.
pub(super) fn action(
    language: Language,
    person: &str,
    action: &Action,
    standing: &Standing<'_>,
) -> String {
    let tongue = match language {
        Language::Fr => Tongue::French,
        Language::En => Tongue::English,
    };
    let words = words::describe(action, tongue);
    let mut warnings = words.warnings.clone();
    if !words.complete {
        let text = pick(
            language,
            "Cette demande est trop longue pour être montrée entière : elle ne peut pas être approuvée ici.",
            "This request is too long to be shown whole: it cannot be approved here.",
        );
        warnings.push(text.to_owned());
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
        .map(|reason| format!("<p class=\"code\">{}</p>\n", shown(reason)))
        .unwrap_or_default();
    let body = format!(
        "{}\n{reason}{warnings}{}\n<details>\n<summary>{}</summary>\n{}\n<p>SHA-256 <code>{}</code></p>\n</details>\n{}{}",
        status(told(language, now)),
        summary(language, action, tongue),
        pick(
            language,
            "Paramètres exacts : tout ce que la clé signe",
            "Exact parameters: all that the key signs"
        ),
        list(words.lines.iter().map(line)),
        hex::encode(action.sha256()),
        choices(language, standing, words.complete),
        onward(language, standing),
    );
    let attributes = format!(
        " data-words=\"{}\" data-action=\"/actions/{}\" data-state=\"{state}\" data-approved=\"{}\" data-sha256=\"{}\"",
        table(language, TOLD),
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
            pick(language, "Approuver avec ma clé", "Approve with my key")
        )
    } else {
        String::new()
    };
    let (step_back, warning) = (
        pick(language, "Revenir en arrière", "Step back"),
        pick(
            language,
            "Sans clé sous la main, répondez dans votre agent, ou laissez passer le temps : sans votre clé, rien ne se fait.",
            "Without a key at hand, answer in your agent, or let the time pass: without your key nothing is done.",
        ),
    );
    format!(
        "<p class=\"choices\"><button id=\"step-back\" type=\"button\" hidden>{step_back}</button></p>\n\
         <div id=\"choices\">\n<div class=\"choices\">\n{approve}<button id=\"not-me\" class=\"refuse\" type=\"button\">{}</button>\n\
         <button id=\"mistake\" type=\"button\">{}</button>\n</div>\n<p>{warning}</p>\n</div>\n",
        pick(
            language,
            "Ce n’est pas moi : refuser",
            "This is not me: refuse"
        ),
        pick(language, "C’est une erreur : refuser", "A mistake: refuse"),
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
        pick(language, "Revenir au service", "Back to the service")
    )
}

/// The enrolment page: the same for everyone.
pub(super) fn enrol(language: Language) -> String {
    let title = pick(language, "Enrôler une clé", "Enrol a key");
    let body = format!(
        "{}\n<form id=\"open\">\n<label for=\"invitation\">{}</label>\n\
         <input id=\"invitation\" name=\"invitation\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"128\" required>\n\
         <button class=\"main\">{}</button>\n</form>\n<form id=\"make\" hidden>\n<p>{} <strong><bdi id=\"person\"></bdi></strong>. {}</p>\n\
         <label for=\"label\">{}</label>\n<input id=\"label\" name=\"label\" autocomplete=\"off\" maxlength=\"100\">\n\
         <button class=\"main\">{}</button>\n</form>\n<p id=\"model\"></p>",
        status(""),
        pick(
            language,
            "L’invitation que l’assistance vous a remise",
            "The invitation that the help desk gave you"
        ),
        pick(language, "Continuer", "Go on"),
        pick(
            language,
            "Cette clé sera celle de",
            "This key will belong to"
        ),
        pick(
            language,
            "Si ce n’est pas vous, arrêtez-vous et prévenez l’assistance.",
            "If this is not you, stop and tell the help desk."
        ),
        pick(
            language,
            "Nom de cette clé (facultatif)",
            "Name of this key (optional)"
        ),
        pick(language, "Enrôler cette clé", "Enrol this key"),
    );
    let attributes = format!(" data-words=\"{}\"", table(language, ENROLMENT));
    document(language, title, Some("enrol.js"), &attributes, None, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(!told(Language::En, state.as_str()).is_empty());
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
}
