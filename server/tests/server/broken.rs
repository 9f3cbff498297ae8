//! Charter: a configuration that cannot be used is told in the reader's language, with the same exit code in each.

use std::path::Path;

use crate::policy::{CONFIG, command_in};

/// In French, then in English.
fn told(folder: &Path, arguments: &[&str]) -> [(Option<i32>, String); 2] {
    ["fr_FR.UTF-8", "C.UTF-8"].map(|locale| {
        let (code, _, complaint) = command_in(locale, folder, arguments);
        (code, complaint)
    })
}

#[test]
fn a_broken_configuration_is_told_in_the_readers_language() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (from, to, french, english) in [
        (
            "rp_id = \"",
            "rp_id = \"Sceau.",
            "sceau-server: configuration\u{a0}: ligne 4\u{a0}: server.rp_id\u{a0}: est un nom d’hôte, en minuscules\n",
            "sceau-server: configuration: line 4: server.rp_id: is a lower-case host name\n",
        ),
        (
            "[store]",
            "session_lifetime = \"90d\"\n[store]",
            "server.session_lifetime\u{a0}: est compris entre 1s et 31d\n",
            "server.session_lifetime: is between 1s and 31d\n",
        ),
        (
            "[store]",
            "foo = 1\n[store]",
            "clé inconnue «\u{a0}foo\u{a0}», attendu, l’un de\u{a0}: «\u{a0}listen\u{a0}», ",
            "unknown field `foo`, expected one of `listen`, ",
        ),
        (
            "[policy]",
            "[policies]",
            "clé inconnue «\u{a0}policies\u{a0}»",
            "unknown field `policies`",
        ),
    ] {
        let text = CONFIG.replacen(from, to, 1);
        assert_ne!(text, CONFIG);
        std::fs::write(at.join("sceau.toml"), text).unwrap();
        let [in_french, in_english] = told(at, &["check-config"]);
        assert!(in_french.1.contains(french), "{}", in_french.1);
        assert!(in_english.1.contains(english), "{}", in_english.1);
        assert_eq!((in_french.0, in_english.0), (Some(2), Some(2)));
    }
    std::fs::remove_file(at.join("sceau.toml")).unwrap();
    let [(code, french), _] = told(at, &["check-config"]);
    assert_eq!(
        french,
        "sceau-server: configuration\u{a0}: sceau.toml ne peut pas être lu\u{a0}: fichier ou dossier introuvable (erreur 2 du système)\n"
    );
    assert_eq!(code, Some(2));
}

#[test]
fn a_command_that_cannot_be_done_is_told_in_the_readers_language() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("sceau.toml"), CONFIG).unwrap();
    let [(code, french), (_, english)] = told(at, &["check-config"]);
    assert!(
        french.starts_with("sceau-server: politique\u{a0}:\n"),
        "{french}"
    );
    assert!(english.starts_with("sceau-server: policy:\n"), "{english}");
    assert_eq!(code, Some(2));
    let table = ["policy", "test", "/nowhere/table.toml"];
    let [(code, french), _] = told(at, &table);
    assert!(
        code == Some(2) && french.starts_with("sceau-server: "),
        "{french}"
    );
}
