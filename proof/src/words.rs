//! An action in words, French or English: what an agent, page or terminal shows before a key signs.
//!
//! Everything that is signed is shown: a sentence for the types that we know, then every member of the document, unknown ones included, each on a
//! line of its own through [`display`]. What the service says that its action means is quoted and attributed, never taken for ours. When something
//! could not be shown whole, [`Words::complete`] is false, and an agent must not sign. Layout, colour and HTML are the caller's.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::action::{Action, Language};
use crate::display::{self, Shown};

/// Most lines that are shown; beyond it the action cannot be judged by a person.
pub const MAX_LINES: usize = 200;
/// Characters shown of one value. Longer values are cut, visibly, and make the words incomplete.
pub const MAX_VALUE: usize = 1000;

/// One member in words; both texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// Its value: texts from outside in quotation marks, numbers and truth values bare.
    pub value: String,
    /// Of use to an auditor rather than to the person who decides.
    pub technical: bool,
}

/// An action in words; all texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What will be done, in one sentence of ours.
    pub sentence: String,
    /// Every signed member.
    pub lines: Vec<Line>,
    /// What a person should be wary of.
    pub warnings: Vec<String>,
    /// Whether everything signed is shown whole. Nothing may be signed when it is not.
    pub complete: bool,
}

/// Puts an action in words.
#[must_use]
pub fn describe(action: &Action, language: Language) -> Words {
    let mut writer = Writer {
        language,
        lines: Vec::new(),
        warnings: Vec::new(),
        left_out: 0,
        cut: false,
    };
    let document = action.document();
    if let Some(words) = action.words(language) {
        writer.text(
            writer.say("Le service dit", "The service says"),
            words,
            false,
        );
    }
    writer.text(writer.say("Service", "Service"), action.service(), false);
    writer.text(
        writer.say("Demandé par", "Requested by"),
        &action.requester().display,
        false,
    );
    writer.text(
        writer.say("Identifiant du demandeur", "Requester's identifier"),
        &action.requester().id,
        false,
    );
    writer.text(
        writer.say("Objet", "Target"),
        &action.target().display,
        false,
    );
    writer.text(
        writer.say("Nature de l’objet", "Kind of target"),
        &action.target().kind,
        false,
    );
    writer.text(
        writer.say("Identifiant de l’objet", "Target's identifier"),
        &action.target().id,
        false,
    );
    for (name, value) in action.params() {
        writer.value(&shown_name(name), value, false);
    }
    if let Some(request) = action.request() {
        let line = format!("{} {}", request.method, request.path);
        writer.text(writer.say("Requête retenue", "Held request"), &line, false);
        writer.bare(
            writer.say("SHA-256 du corps", "SHA-256 of its body"),
            hex::encode(request.body_sha256),
            true,
        );
    }
    writer.unknown_members(document);
    writer.instant(writer.say("Expire", "Expires"), action.expires_at(), false);
    writer.instant(
        writer.say("Écrite", "Written down"),
        action.created_at(),
        true,
    );
    writer.text(
        writer.say("Type d’action", "Type of action"),
        action.kind(),
        true,
    );
    writer.bare(
        writer.say("Action", "Action"),
        action.id().to_string(),
        true,
    );
    writer.bare("Nonce", crate::base64url::encode(action.nonce()), true);
    writer.bare(writer.say("Version", "Version"), "1".to_owned(), true);
    let sentence = writer.sentence(action);
    writer.finish(sentence)
}

/// The members whose lines are written by name; everything else is shown under its own path.
const KNOWN: [(&str, &[&str]); 12] = [
    ("v", &[]),
    ("id", &[]),
    ("type", &[]),
    ("service", &[]),
    ("requester", &["id", "display"]),
    ("target", &["kind", "id", "display"]),
    ("params", &[]),
    ("request", &["method", "path", "body_sha256"]),
    ("words", &["fr", "en"]),
    ("created_at", &[]),
    ("expires_at", &[]),
    ("nonce", &[]),
];

struct Writer {
    language: Language,
    lines: Vec<Line>,
    warnings: Vec<String>,
    left_out: usize,
    cut: bool,
}

impl Writer {
    fn say(&self, french: &'static str, english: &'static str) -> &'static str {
        match self.language {
            Language::French => french,
            Language::English => english,
        }
    }

    /// A line whose value is ours or machine-made and safe.
    fn bare(&mut self, label: &str, value: String, technical: bool) {
        if self.lines.len() >= MAX_LINES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.lines.push(Line {
            label: label.to_owned(),
            value,
            technical,
        });
    }

    /// A line whose value comes from outside.
    fn text(&mut self, label: &str, text: &str, technical: bool) {
        let shown = display::quote(text, MAX_VALUE);
        self.warn(label, &shown);
        self.bare(label, shown.text, technical);
    }

    fn value(&mut self, path: &str, value: &Value, technical: bool) {
        match value {
            Value::String(text) => self.text(path, text, technical),
            Value::Array(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.value(&format!("{path}[{at}]"), item, technical);
                }
            }
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    self.value(&format!("{path}.{}", shown_name(name)), member, technical);
                }
            }
            // Null, truth values, integers, and the empty array and object are their own JSON.
            plain => self.bare(path, plain.to_string(), technical),
        }
    }

    fn instant(&mut self, label: &str, at: OffsetDateTime, technical: bool) {
        let (y, m, d) = (at.year(), u8::from(at.month()), at.day());
        let date = match self.language {
            Language::French => format!("{d:02}/{m:02}/{y:04}"),
            Language::English => format!("{y:04}-{m:02}-{d:02}"),
        };
        let fraction = match at.nanosecond() {
            0 => String::new(),
            nanoseconds => format!(".{nanoseconds:09}"),
        };
        let time = format!(
            "{:02}:{:02}:{:02}{fraction}",
            at.hour(),
            at.minute(),
            at.second()
        );
        self.bare(label, format!("{date} {time} UTC"), technical);
    }

    /// Members that this version gives no meaning to, and the service's words in the other language: signed, therefore shown.
    fn unknown_members(&mut self, document: &Map<String, Value>) {
        for (name, value) in document {
            let Some((_, inner)) = KNOWN.iter().find(|(known, _)| known == name) else {
                self.value(&shown_name(name), value, false);
                continue;
            };
            let Value::Object(members) = value else {
                continue;
            };
            for (member, value) in members {
                let said = match self.language {
                    Language::French => "fr",
                    Language::English => "en",
                };
                let shown_already = if name == "words" {
                    member == said
                } else {
                    name == "params" || inner.contains(&member.as_str())
                };
                if !shown_already {
                    self.value(
                        &format!("{name}.{}", shown_name(member)),
                        value,
                        name == "words",
                    );
                }
            }
        }
    }

    fn warn(&mut self, label: &str, shown: &Shown) {
        let mut push = |warning: String| {
            if self.warnings.len() < MAX_LINES && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        };
        let french = self.language == Language::French;
        if shown.escaped {
            push(match french {
                true => format!(
                    "{label} : caractères invisibles ou de contrôle, montrés sous la forme \\u{{…}}"
                ),
                false => format!("{label}: invisible or control characters, shown as \\u{{…}}"),
            });
        }
        if shown.hidden > 0 {
            self.cut = true;
            push(match french {
                true => format!("{label} : {} caractères ne sont pas montrés", shown.hidden),
                false => format!("{label}: {} characters are not shown", shown.hidden),
            });
        }
        let scripts = shown.scripts.join(", ");
        if shown.mixed {
            push(match french {
                true => format!("{label} : mélange d’alphabets ({scripts})"),
                false => format!("{label}: mixed alphabets ({scripts})"),
            });
        } else if !shown.scripts.is_empty() {
            push(match french {
                true => format!("{label} : écrit dans un autre alphabet ({scripts})"),
                false => format!("{label}: written in another alphabet ({scripts})"),
            });
        }
        if shown.lookalike {
            push(match french {
                true => format!("{label} : des lettres en imitent d’autres"),
                false => format!("{label}: letters that imitate others"),
            });
        }
    }

    /// Whether an action of the server's own is about more than its target.
    fn whole(&self, action: &Action, member: &str) -> bool {
        action.params().get(member) == Some(&Value::Bool(true))
    }

    fn sentence(&self, action: &Action) -> String {
        let target = display::quote(&action.target().display, display::LIMIT).text;
        let kind = display::quote(action.kind(), display::LIMIT).text;
        let service = display::quote(action.service(), display::LIMIT).text;
        match (self.language, action.kind()) {
            (Language::French, "session.open") => format!("Ouvrir une session pour {target}"),
            (Language::English, "session.open") => format!("Open a session for {target}"),
            (Language::French, "key.enroll") => format!("Inviter {target} à enrôler une clé"),
            (Language::English, "key.enroll") => format!("Invite {target} to enrol a key"),
            (Language::French, "key.register") => format!("Enregistrer cette clé pour {target}"),
            (Language::English, "key.register") => format!("Register this key for {target}"),
            (Language::French, "key.revoke") => format!("Révoquer la clé {target}"),
            (Language::English, "key.revoke") => format!("Revoke the key {target}"),
            (Language::French, "session.end") => format!("Fermer la session {target}"),
            (Language::English, "session.end") => format!("End the session {target}"),
            (Language::French, "person.suspend") if self.whole(action, "cascade") => {
                format!("Suspendre {target} et tout ce qui en descend")
            }
            (Language::English, "person.suspend") if self.whole(action, "cascade") => {
                format!("Suspend {target} and all that descends from them")
            }
            (Language::French, "person.restore") if self.whole(action, "subtree") => {
                format!("Rétablir {target} et tout ce qui est tombé avec")
            }
            (Language::English, "person.restore") if self.whole(action, "subtree") => {
                format!("Restore {target} and all that fell with them")
            }
            (Language::French, "person.suspend") => format!("Suspendre {target}"),
            (Language::English, "person.suspend") => format!("Suspend {target}"),
            (Language::French, "person.restore") => format!("Rétablir {target}"),
            (Language::English, "person.restore") => format!("Restore {target}"),
            (Language::French, "person.erase") => {
                format!("Effacer ce qui est lisible au sujet de {target}")
            }
            (Language::English, "person.erase") => format!("Erase what is readable about {target}"),
            (Language::French, "break-glass.open") => {
                format!("Briser la glace : prêter un rôle à {target}")
            }
            (Language::English, "break-glass.open") => {
                format!("Break the glass: lend {target} a role")
            }
            (Language::French, "break-glass.review") => {
                format!("Attester la revue de la glace brisée par {target}")
            }
            (Language::English, "break-glass.review") => {
                format!("Attest the review of the glass that {target} broke")
            }
            (Language::French, "facts.record") => {
                format!("Inscrire formations et fins de rôles, dont {target}")
            }
            (Language::English, "facts.record") => {
                format!("Record training and ends of roles, of {target} among others")
            }
            (Language::French, "account.create") => {
                format!("Créer le compte {target} sur {service}")
            }
            (Language::English, "account.create") => {
                format!("Create the account {target} on {service}")
            }
            (Language::French, "account.grant") => {
                format!("Accorder un droit au compte {target} sur {service}")
            }
            (Language::English, "account.grant") => {
                format!("Grant a right to the account {target} on {service}")
            }
            (Language::French, "account.delete") => {
                format!("Supprimer le compte {target} sur {service}")
            }
            (Language::English, "account.delete") => {
                format!("Delete the account {target} on {service}")
            }
            (Language::French, _) => format!("Exécuter {kind} sur {target} ({service})"),
            (Language::English, _) => format!("Carry out {kind} on {target} ({service})"),
        }
    }

    fn finish(mut self, sentence: String) -> Words {
        if self.left_out > 0 {
            let warning = match self.language {
                Language::French => {
                    format!("{} valeurs signées ne sont pas montrées", self.left_out)
                }
                Language::English => format!("{} signed values are not shown", self.left_out),
            };
            self.warnings.push(warning);
        }
        let complete = self.left_out == 0 && !self.cut;
        Words {
            sentence,
            lines: self.lines,
            warnings: self.warnings,
            complete,
        }
    }
}

/// A member's name as part of a label: bare when it is a plain word, quoted otherwise, so that no name can fake a path or a line of ours.
fn shown_name(name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain {
        name.to_owned()
    } else {
        display::quote(name, display::LIMIT).text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "v": 1, "id": "019abcde-f012-7345-8678-9abcdef01234", "type": "account.create", "service": "portal",
            "requester": {"id": "amartin", "display": "Alice Martin"},
            "target": {"kind": "account", "id": "jd", "display": "Jean Dupont"},
            "params": {"role": "reader", "quota": 3, "zones": ["75", "92"], "more": {"a b": null}},
            "request": {"method": "POST", "path": "/accounts", "body_sha256": "ab".repeat(32)},
            "words": {"fr": "créer un compte", "en": "create an account"},
            "created_at": "2026-11-21T19:00:00Z", "expires_at": "2026-11-21T19:05:00.5Z",
            "nonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        })
    }

    fn words(document: &Value, language: Language) -> Words {
        describe(
            &Action::parse(&serde_json::to_vec(document).unwrap()).unwrap(),
            language,
        )
    }

    fn line<'w>(words: &'w Words, label: &str) -> &'w str {
        &words
            .lines
            .iter()
            .find(|line| line.label == label)
            .unwrap_or_else(|| panic!("no line {label:?} in {words:#?}"))
            .value
    }

    #[test]
    fn says_it_in_french_and_in_english() {
        let french = words(&document(), Language::French);
        assert_eq!(
            french.sentence,
            "Créer le compte \"Jean Dupont\" sur \"portal\""
        );
        assert_eq!(line(&french, "Le service dit"), "\"créer un compte\"");
        assert_eq!(line(&french, "words.en"), "\"create an account\"");
        assert_eq!(line(&french, "Expire"), "21/11/2026 19:05:00.500000000 UTC");
        assert_eq!(line(&french, "zones[1]"), "\"92\"");
        assert_eq!(line(&french, "more.\"a b\""), "null");
        assert_eq!(line(&french, "quota"), "3");
        assert!(french.complete && french.warnings.is_empty());
        let english = words(&document(), Language::English);
        assert_eq!(
            english.sentence,
            "Create the account \"Jean Dupont\" on \"portal\""
        );
        assert_eq!(line(&english, "Held request"), "\"POST /accounts\"");
    }

    #[test]
    fn every_known_type_has_its_sentence_and_others_a_general_one() {
        let mut sentences = std::collections::BTreeSet::new();
        for kind in [
            "session.open",
            "key.enroll",
            "key.register",
            "key.revoke",
            "session.end",
            "person.suspend",
            "person.restore",
            "person.erase",
            "break-glass.open",
            "break-glass.review",
            "facts.record",
            "account.create",
            "account.grant",
            "account.delete",
            "other.thing",
        ] {
            let mut changed = document();
            changed["type"] = kind.into();
            for language in [Language::French, Language::English] {
                let words = words(&changed, language);
                assert!(words.sentence.contains("\"Jean Dupont\""));
                assert_eq!(
                    words.sentence.contains("\"other.thing\""),
                    kind == "other.thing"
                );
                sentences.insert(words.sentence);
            }
        }
        assert_eq!(sentences.len(), 30);
    }

    #[test]
    fn unknown_members_are_shown_wherever_they_are() {
        let mut changed = document();
        changed["zone"] = json!({"deep": [true]});
        changed["requester"]["unit"] = "ML 12".into();
        changed["request"]["host"] = "h".into();
        changed["words"]["de"] = "Konto".into();
        changed[""] = "empty name".into();
        let words = words(&changed, Language::English);
        assert_eq!(line(&words, "zone.deep[0]"), "true");
        assert_eq!(line(&words, "requester.unit"), "\"ML 12\"");
        assert_eq!(line(&words, "request.host"), "\"h\"");
        assert_eq!(line(&words, "words.de"), "\"Konto\"");
        assert_eq!(line(&words, "\"\""), "\"empty name\"");
    }

    #[test]
    fn deceptive_texts_stay_on_their_line_and_are_warned_of() {
        let mut changed = document();
        changed["target"]["display"] = "Jean\nRequested by: \"root\" \u{202e}".into();
        changed["params"]["role\nquota"] = "\u{430}dmin".into();
        let words = words(&changed, Language::English);
        assert_eq!(
            line(&words, "Target"),
            "\"Jean\\nRequested by: \\\"root\\\" \\u{202e}\""
        );
        assert_eq!(line(&words, "\"role\\nquota\""), "\"\u{430}dmin\"");
        assert!(
            words
                .warnings
                .iter()
                .any(|w| w.starts_with("Target: invisible"))
        );
        assert!(
            words
                .warnings
                .iter()
                .any(|w| w.contains("mixed alphabets (Cyrillic)"))
        );
        assert!(!words.sentence.contains('\n'));
    }

    #[test]
    fn what_cannot_be_shown_whole_is_incomplete() {
        let mut long = document();
        long["target"]["display"] = "x".repeat(10_000).into();
        assert!(!words(&long, Language::French).complete);
        let mut many = document();
        many["params"]["list"] = (0..500).collect();
        let words = words(&many, Language::French);
        assert!(!words.complete && words.lines.len() == MAX_LINES);
        assert!(
            words
                .warnings
                .last()
                .unwrap()
                .contains("ne sont pas montrées")
        );
    }

    fn leaves(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| leaves(item, out)),
            Value::Object(members) => members.values().for_each(|member| leaves(member, out)),
            plain => out.push(plain.to_string()),
        }
    }

    proptest! {
        #[test]
        fn every_signed_leaf_is_on_a_line(names in prop::collection::vec("[a-z]{1,6}", 1..5), texts in prop::collection::vec("[a-z0-9 ]{1,12}", 1..5), depth in 1usize..4) {
            let mut value = json!(texts);
            for name in names.iter().cycle().take(depth) {
                value = json!({ name.clone(): value, "n": 7 });
            }
            let mut changed = document();
            changed["params"] = json!({ "p": value.clone() });
            changed["extra"] = value.clone();
            let words = words(&changed, Language::English);
            prop_assert!(words.complete);
            let mut expected = Vec::new();
            leaves(&value, &mut expected);
            for leaf in expected {
                let shown = [display::quote(&leaf, MAX_VALUE).text, leaf];
                let lines = words.lines.iter().filter(|line| shown.contains(&line.value)).count();
                prop_assert!(lines >= 2, "{:?} is on {} lines", shown, lines);
            }
        }
    }
}
