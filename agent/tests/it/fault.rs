//! Charter: what stops a command is told in the reader's language, and ends it with the same code in each.

use std::process::Output;

use crate::workstation::Workstation;

const SOUND: &str = "server = \"https://sceau.example\"\nrp_id = \"sceau.example\"\n";

fn configured(text: &str) -> Workstation {
    let workstation = Workstation::new("");
    std::fs::write(workstation.path("config/sceau/agent.toml"), text).unwrap();
    workstation
}

/// In French, then in English: the exit code, and what was complained.
fn told(
    workstation: &Workstation,
    program: &str,
    arguments: &[&str],
) -> [(Option<i32>, String); 2] {
    ["fr_FR.UTF-8", "C.UTF-8"].map(|locale| {
        let mut command = workstation.command(program);
        command.args(arguments).env("LC_ALL", locale);
        let out: Output = command.stdin(std::process::Stdio::null()).output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    })
}

#[test]
fn a_broken_configuration_is_told_in_the_readers_language() {
    let agent = env!("CARGO_BIN_EXE_sceau-agent");
    for (broken, french, english) in [
        (
            "server = \"http://sceau.example\"\nrp_id = \"sceau.example\"\n".to_owned(),
            "sceau-agent: server\u{a0}: http n’est permis que vers cette machine\u{202f}; prenez https\n",
            "sceau-agent: server: plain http is for this machine only; use https\n",
        ),
        (
            format!("{SOUND}spki_sha256 = [\"AAAA\"]\n"),
            "sceau-agent: spki_sha256 n’est pas 32 octets en base64url, sans «\u{a0}=\u{a0}»\u{a0}: AAAA\n",
            "sceau-agent: spki_sha256 is not 32 bytes in base64url without padding: AAAA\n",
        ),
        (
            format!("{SOUND}pni = 1\n"),
            "sceau-agent: TOML mal formé à la ligne 3, colonne 1\n  |\n3 | pni = 1\n  | ^^^\nclé inconnue «\u{a0}pni\u{a0}», attendu, l’un de\u{a0}: «\u{a0}server\u{a0}», ",
            "sceau-agent: TOML parse error at line 3, column 1\n  |\n3 | pni = 1\n  | ^^^\nunknown field `pni`, expected one of `server`, ",
        ),
    ] {
        let workstation = configured(&broken);
        let [in_french, in_english] = told(&workstation, agent, &[]);
        assert!(in_french.1.starts_with(french), "{}", in_french.1);
        assert!(in_english.1.starts_with(english), "{}", in_english.1);
        assert_eq!((in_french.0, in_english.0), (Some(2), Some(2)));
    }
    let workstation = configured(SOUND);
    let nowhere = ["--config", "/nowhere/agent.toml"];
    let [(code, french), (_, english)] = told(&workstation, agent, &nowhere);
    assert_eq!(
        french,
        "sceau-agent: /nowhere/agent.toml ne peut pas être lu\u{a0}: fichier ou dossier introuvable (erreur 2 du système)\n"
    );
    assert_eq!(
        english,
        "sceau-agent: cannot read /nowhere/agent.toml: No such file or directory (os error 2)\n"
    );
    assert_eq!(code, Some(2));
}

#[test]
fn a_command_that_cannot_be_done_is_told_in_the_readers_language() {
    let workstation = configured(SOUND);
    let sceau = env!("CARGO_BIN_EXE_sceau");
    let absent = ["enroll", "--invitation-file", "/nowhere/invitation"];
    let [(code, french), (_, english)] = told(&workstation, sceau, &absent);
    assert!(
        french.contains("/nowhere/invitation ne peut pas être lu\u{a0}: fichier"),
        "{french}"
    );
    assert!(
        english.contains("cannot read /nowhere/invitation: No such file"),
        "{english}"
    );
    assert_eq!(code, Some(2));
    let absent = ["card", "import", "/nowhere/card.pem"];
    let [(code, french), _] = told(&workstation, sceau, &absent);
    assert!(
        french.contains("/nowhere/card.pem ne peut pas être lu"),
        "{french}"
    );
    assert_eq!(code, Some(2));
    let [(code, french), _] = told(&workstation, sceau, &["status"]);
    assert!(
        french.contains("sceau-agent ne répond pas") && french.contains("introuvable"),
        "{french}"
    );
    assert_eq!(code, Some(3));
    let bridge = env!("CARGO_BIN_EXE_sceau-bridge");
    let [(code, french), (_, english)] = told(&workstation, bridge, &["chrome-extension://x/"]);
    assert_eq!(
        french,
        "sceau-bridge: n’a pas été lancé par un navigateur pour l’extension de Sceau\n"
    );
    assert_eq!(
        english,
        "sceau-bridge: not started by a browser for Sceau's extension\n"
    );
    assert_eq!(code, Some(2));
    // Without the directory that the system makes for this person.
    for (program, exit) in [
        (sceau, 3),
        (env!("CARGO_BIN_EXE_sceau-agent"), 2),
        (env!("CARGO_BIN_EXE_sceau-desktop"), 2),
    ] {
        let mut command = workstation.command(program);
        command
            .env("LC_ALL", "fr_FR.UTF-8")
            .env_remove("XDG_RUNTIME_DIR");
        if program == sceau {
            command.arg("status");
        }
        let out = command.output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(
            said.contains("la variable XDG_RUNTIME_DIR n’est pas définie"),
            "{said}"
        );
        assert_eq!(out.status.code(), Some(exit));
    }
}
