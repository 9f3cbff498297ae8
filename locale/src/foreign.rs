//! What the system and the TOML library say of a file, in the language of whoever reads: as in [`crate::help`], English is what they say and French is
//! here, by the system's number or by the phrase. What has no French is quoted, so that a French reader sees that it is somebody else's sentence.
//!
//! Nothing is decided by it, and nothing here escapes: names and excerpts of the reader's own files are repeated as they stand.

use crate::Language;

/// The system's errors that a file, an address or a process meets, by number (Linux).
const SYSTEM: [(u32, &str); 20] = [
    (1, "opération non permise"),
    (2, "fichier ou dossier introuvable"),
    (5, "erreur d’entrée-sortie"),
    (11, "ressource occupée pour l’instant"),
    (12, "mémoire insuffisante"),
    (13, "accès refusé"),
    (17, "le fichier existe déjà"),
    (20, "n’est pas un dossier"),
    (21, "est un dossier"),
    (22, "valeur qui ne convient pas"),
    (24, "trop de fichiers ouverts"),
    (28, "plus de place sur le disque"),
    (30, "système de fichiers en lecture seule"),
    (32, "l’autre bout est fermé"),
    (98, "adresse déjà utilisée"),
    (99, "cette adresse n’est pas à cette machine"),
    (104, "connexion coupée par l’autre bout"),
    (110, "délai dépassé"),
    (111, "connexion refusée"),
    (113, "machine injoignable"),
];

/// How sentences of the TOML library and of serde begin; what follows is names, values and a list of them.
const PHRASES: [(&str, &str); 12] = [
    ("missing field ", "il manque la clé "),
    ("unknown field ", "clé inconnue "),
    ("unknown variant ", "valeur inconnue "),
    ("duplicate field ", "clé écrite deux fois "),
    ("duplicate key", "clé écrite deux fois"),
    ("invalid type: ", "type qui ne convient pas : "),
    ("invalid value: ", "valeur qui ne convient pas : "),
    ("invalid length ", "longueur qui ne convient pas : "),
    (
        "string values must be quoted",
        "un texte se met entre guillemets",
    ),
    ("key with no value", "clé sans valeur"),
    ("unclosed table", "crochet qui n’est pas fermé"),
    ("invalid string", "texte qui ne convient pas"),
];

const EXPECTED: &str = "attendu : ";

/// What stands within such a sentence.
const WITHIN: [(&str, &str); 14] = [
    ("expected one of ", "attendu, l’un de : "),
    ("there are no fields", "aucune clé n’est attendue ici"),
    ("there are no variants", "aucune valeur n’est attendue ici"),
    ("expected ", EXPECTED),
    ("integer ", "nombre entier "),
    ("floating point ", "nombre à virgule "),
    ("boolean ", "booléen "),
    ("string ", "texte "),
    ("socket address", "adresse et port"),
    ("a boolean", "true ou false"),
    ("a string", "un texte"),
    ("a sequence", "une liste"),
    ("a map", "une table"),
    ("literal string", "un texte entre guillemets"),
];

/// An error of the system, or a report of the TOML library, in this language.
#[must_use]
pub fn foreign(language: Language, text: &str) -> String {
    let text = text.trim_end();
    match language {
        Language::En => text.to_owned(),
        Language::Fr => system(text)
            .or_else(|| report(text))
            .or_else(|| sentence(text))
            .unwrap_or_else(|| quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(' ') && !text.contains('\n') {
        Language::Fr.quoted(text)
    } else {
        text.to_owned()
    }
}

/// `No such file or directory (os error 2)`, which is the whole text.
fn system(text: &str) -> Option<String> {
    let (said, number) = text.strip_suffix(')')?.rsplit_once(" (os error ")?;
    let number: u32 = number.parse().ok()?;
    let (_, french) = SYSTEM.iter().find(|(known, _)| *known == number)?;
    let alone = !said.contains([':', '\n']);
    alone.then(|| format!("{french} (erreur {number} du système)"))
}

/// The library's report: where, an excerpt of the file, a sentence.
fn report(text: &str) -> Option<String> {
    let (place, rest) = text
        .strip_prefix("TOML parse error at line ")?
        .split_once('\n')?;
    let (line, column) = place.split_once(", column ")?;
    let (excerpt, said) = rest.rsplit_once('\n')?;
    let said = sentence(said).unwrap_or_else(|| quoted(said));
    Some(format!(
        "TOML mal formé à la ligne {line}, colonne {column}\n{excerpt}\n{said}"
    ))
}

/// One sentence; a second line says in which table of the file.
fn sentence(text: &str) -> Option<String> {
    if let Some((said, place)) = text.split_once("\nin ") {
        return Some(format!("{}\ndans {}", sentence(said)?, names(place)));
    }
    let (phrase, french) = PHRASES
        .iter()
        .find(|(phrase, _)| text.starts_with(phrase))?;
    let mut rest = text.get(phrase.len()..)?.to_owned();
    for (english, french) in WITHIN {
        // At the beginning, or after a comma: elsewhere it is a name or a value.
        if let Some(after) = rest.strip_prefix(english) {
            rest = format!("{french}{after}");
        }
        rest = rest.replace(&format!(", {english}"), &format!(", {french}"));
        rest = rest.replace(
            &format!(", {EXPECTED}{english}"),
            &format!(", {EXPECTED}{french}"),
        );
    }
    Some(format!("{french}{}", names(&rest)))
}

/// Names between backquotes, as French quotes them.
fn names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, piece) in text.split('`').enumerate() {
        match n % 2 {
            0 => out.push_str(piece),
            _ => out.push_str(&Language::Fr.quoted(piece)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_french_by_their_number() {
        let absent = std::fs::read("/nowhere/at/all").unwrap_err().to_string();
        assert_eq!(
            foreign(Language::Fr, &absent),
            "fichier ou dossier introuvable (erreur 2 du système)"
        );
        assert_eq!(foreign(Language::En, &absent), absent);
        for number in SYSTEM.map(|(number, _)| number) {
            let said = std::io::Error::from_raw_os_error(number.try_into().unwrap()).to_string();
            let french = foreign(Language::Fr, &said);
            assert!(french.ends_with(&format!("(erreur {number} du système)")));
        }
        let other = std::io::Error::from_raw_os_error(40).to_string();
        assert_eq!(
            foreign(Language::Fr, &other),
            format!("«\u{a0}{other}\u{a0}»")
        );
    }

    #[test]
    fn a_report_of_the_toml_library_keeps_its_excerpt() {
        let report = "TOML parse error at line 2, column 10\n  |\n2 | listen = 3\n  |          ^\n";
        for (said, french) in [
            (
                "invalid type: integer `3`, expected socket address\n",
                "type qui ne convient pas\u{a0}: nombre entier «\u{a0}3\u{a0}», attendu\u{a0}: adresse et port",
            ),
            (
                "unknown field `foo`, expected one of `a`, `b`\n",
                "clé inconnue «\u{a0}foo\u{a0}», attendu, l’un de\u{a0}: «\u{a0}a\u{a0}», «\u{a0}b\u{a0}»",
            ),
            (
                "missing field `rp_id`\n",
                "il manque la clé «\u{a0}rp_id\u{a0}»",
            ),
            (
                "string values must be quoted, expected literal string\n",
                "un texte se met entre guillemets, attendu\u{a0}: un texte entre guillemets",
            ),
            ("something new\n", "«\u{a0}something new\u{a0}»"),
        ] {
            let told = foreign(Language::Fr, &format!("{report}{said}"));
            assert_eq!(
                told,
                format!(
                    "TOML mal formé à la ligne 2, colonne 10\n  |\n2 | listen = 3\n  |          ^\n{french}"
                )
            );
        }
        assert_eq!(
            foreign(
                Language::Fr,
                "unknown field `foo`, expected `a`\nin `server`\n"
            ),
            "clé inconnue «\u{a0}foo\u{a0}», attendu\u{a0}: «\u{a0}a\u{a0}»\ndans «\u{a0}server\u{a0}»"
        );
    }

    #[test]
    fn what_a_file_holds_is_no_phrase_of_the_library() {
        let told = foreign(
            Language::Fr,
            "invalid value: string \"expected a map\", expected a color",
        );
        assert!(told.contains("\"expected a map\""), "{told}");
        assert_eq!(
            foreign(Language::Fr, "TOML parse error at line "),
            "«\u{a0}TOML parse error at line\u{a0}»"
        );
        assert_eq!(foreign(Language::Fr, ""), "");
    }
}
