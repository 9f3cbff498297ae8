//! The paper that a person signs for a key: one A4 page of HTML, to print or to keep as PDF.
//!
//! Everything on it is escaped; nothing is loaded from elsewhere.

use super::{Handed, Task};
use crate::locale::Language;

/// The receipt of a key for its person.
#[must_use]
pub fn html(task: &Task, handed: &Handed, operator: &str, language: Language) -> String {
    let pick = |fr: &'static str, en: &'static str| language.pick(fr, en);
    let firmware = handed.firmware.map(|version| version.to_string());
    let which = match task.which {
        super::Which::Main => pick("clé principale", "main key"),
        super::Which::Spare => pick("clé de secours", "spare key"),
    };
    let rows: [(&str, Option<&str>); 10] = [
        (pick("Remise à", "Handed to"), Some(&task.person.display)),
        (pick("Identifiant", "Identifier"), Some(&task.person.id)),
        (
            pick("Identité vérifiée sur", "Identity checked on"),
            Some(task.person.document.words(language)),
        ),
        (pick("Clé", "Key"), Some(which)),
        (pick("Modèle", "Model"), handed.model.as_deref()),
        ("AAGUID", handed.aaguid.as_deref()),
        (
            pick("Numéro de série", "Serial number"),
            handed.serial.as_deref(),
        ),
        (pick("Micrologiciel", "Firmware"), firmware.as_deref()),
        (
            pick("Clé au registre", "Key in the register"),
            handed.key_id.as_deref(),
        ),
        (pick("Remise le, par", "Handed on, by"), None),
    ];
    let mut table = String::new();
    for (label, value) in rows {
        let value = match value {
            Some(value) => escape(value),
            None if label == pick("Remise le, par", "Handed on, by") => {
                format!("{} — {}", escape(&handed.at), escape(operator))
            }
            None => continue,
        };
        table.push_str(&format!(
            "<tr><th scope=\"row\">{label}</th><td>{value}</td></tr>\n"
        ));
    }
    let rules: String = [
        pick(
            "Le code PIN n'est connu que de moi. Je ne l'écris pas, je ne le donne à personne, pas même à l'assistance.",
            "The PIN is known to me alone. I do not write it down, and give it to nobody, not even to the help desk.",
        ),
        pick(
            "La clé ne compte qu'après ma première connexion avec elle.",
            "The key counts only after my own first sign-in with it.",
        ),
        pick(
            "Avant de toucher la clé, je lis ce qui est demandé. Si ce n'est pas moi, je refuse.",
            "Before I touch the key I read what is asked. If it is not me, I refuse.",
        ),
        pick(
            "Clé perdue, volée ou abîmée : je préviens l'assistance aussitôt.",
            "Key lost, stolen or damaged: I tell the help desk at once.",
        ),
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
        pick(
            "La personne (date, signature)",
            "The person (date, signature)"
        ),
        pick(
            "L'assistance (date, signature)",
            "The help desk (date, signature)"
        ),
        title = pick("Reçu d'une clé de sécurité", "Receipt for a security key"),
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
            at: "2026-11-22T10:00:00Z".into(),
        };
        let text = html(&task, &handed, "odile", Language::Fr);
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
        assert!(text.contains("\\u{202e}") && text.contains("&lt;b&gt;Model"));
        assert!(text.contains("passeport") && text.contains("2026-11-22T10:00:00Z — odile"));
    }
}
