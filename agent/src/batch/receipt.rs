//! The paper that a person signs for a key: one A4 page of HTML, to print or to keep as PDF.
//!
//! Everything on it is escaped; nothing is loaded from elsewhere.

use std::borrow::Cow;

use super::{Handed, Task};
use crate::locale::Language;
use crate::prompt::Secret;
use crate::text::instant;

/// The receipt of a key for its person.
#[must_use]
pub fn html(task: &Task, handed: &Handed, operator: &str, language: Language) -> String {
    let say = |name: &str| language.text(name);
    let handed_on = format!("{} — {operator}", instant(&handed.at, language));
    let firmware = handed.firmware.map(|version| version.to_string());
    let which = match task.which {
        super::Which::Main => say("command-receipt-main-key"),
        super::Which::Spare => say("command-receipt-spare-key"),
    };
    let document = task.person.document.words(language);
    let forced = handed.transport_pin.then(|| say("desk-path-for-the-way"));
    let rows: [(Cow<str>, Option<&str>); 11] = [
        (say("command-receipt-handed-to"), Some(&task.person.display)),
        (say("command-receipt-identifier"), Some(&task.person.id)),
        (say("command-receipt-identity-checked-on"), Some(&document)),
        (say("command-receipt-key"), Some(&which)),
        (say("command-receipt-model"), handed.model.as_deref()),
        ("AAGUID".into(), handed.aaguid.as_deref()),
        (
            say("command-receipt-serial-number"),
            handed.serial.as_deref(),
        ),
        (say("command-receipt-firmware"), firmware.as_deref()),
        (say("command-receipt-register"), handed.key_id.as_deref()),
        (say("desk-path-pin"), forced.as_deref()),
        (say("command-receipt-handed-on-by"), Some(&handed_on)),
    ];
    let mut table = String::new();
    for (label, value) in rows {
        let value = match value {
            Some(value) => escape(value),
            None => continue,
        };
        table.push_str(&format!(
            "<tr><th scope=\"row\">{label}</th><td>{value}</td></tr>\n"
        ));
    }
    let rules: String = [
        say("command-receipt-pin-mine"),
        say("command-receipt-first-use"),
        say("command-receipt-read"),
        say("command-receipt-lost"),
    ]
    .iter()
    .map(|rule| format!("<li>{rule}</li>\n"))
    .collect();
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>@page {{ size: A4; margin: 22mm }} body {{ font: 12pt/1.5 sans-serif; max-width: 42rem; margin: 2rem auto; color: #000 }}\n\
         h1 {{ font-size: 18pt }} table {{ border-collapse: collapse; width: 100% }} th {{ text-align: left; width: 38% }}\n\
         th, td {{ padding: 4pt 6pt; border-bottom: 1px solid #888; overflow-wrap: anywhere }} .sign {{ display: flex; gap: 2rem; margin-top: 3rem }}\n\
         .sign p {{ flex: 1; border-top: 1px solid #000; padding-top: 4pt }}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n{table}</table>\n\
         <ul>\n{rules}</ul>\n<div class=\"sign\"><p>{}</p><p>{}</p></div>\n</body>\n</html>\n",
        language.code(),
        say("command-receipt-sign-person"),
        say("command-receipt-sign-desk"),
        title = say("command-receipt-title"),
    )
}

/// The slip with the PIN for the way: a paper of its own, for the person alone. Nobody keeps a copy; the key takes this PIN once.
#[must_use]
pub fn slip(task: &Task, pin: &Secret, language: Language) -> String {
    let say = |name: &str| escape(&language.text(name));
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>@page {{ size: A5 landscape; margin: 18mm }} body {{ font: 12pt/1.5 sans-serif; max-width: 34rem; margin: 2rem auto; color: #000 }}\n\
         .pin {{ font: 28pt/1.6 monospace; letter-spacing: .15em }}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{} ({})</p>\n\
         <p class=\"pin\">{}</p>\n<ul>\n<li>{}</li>\n<li>{}</li>\n</ul>\n</body>\n</html>\n",
        language.code(),
        escape(&task.person.display),
        escape(task.label()),
        escape(pin.expose()),
        say("desk-path-slip-once"),
        say("desk-path-slip-opened"),
        title = say("desk-path-slip-title"),
    )
}

/// On one line, visible, and as text in HTML.
fn escape(text: &str) -> String {
    crate::text::one_line(text, 240)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_says_is_shown_and_never_run() {
        let list =
            "person,display,roles,document,keys\neve,\"<script>x</script>\u{202e}\",,passport,1\n";
        let persons = super::super::read_list(list).unwrap();
        let task = super::super::tasks(&persons).remove(0);
        let handed = Handed {
            action: uuid::Uuid::nil(),
            key_id: Some("0193".into()),
            model: Some("<b>Model</b>".into()),
            aaguid: None,
            serial: None,
            firmware: Some(5),
            transport_pin: true,
            at: "2026-11-22T10:00:00Z".into(),
        };
        let text = html(&task, &handed, "odile", Language::Fr);
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
        assert!(text.contains("\\u{202e}") && text.contains("&lt;b&gt;Model"));
        assert!(text.contains("provisoire"));
        let slip = slip(&task, &Secret::new("20480719".into()), Language::Fr);
        assert!(slip.contains("20480719") && !text.contains("20480719"));
        assert!(
            text.contains("passeport")
                && text.contains("<td>22 novembre 2026 à 10:00 UTC — odile</td>")
        );
    }
}
