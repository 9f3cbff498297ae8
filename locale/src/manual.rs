//! Completions and man pages, from the command lines themselves: for packages, by `sceau manual FOLDER` (so also `sceau-server`, `sceau-witness` and
//! `sceau-verify`) and `sceau-agent --manual FOLDER` (so also `sceau-desktop` and `sceau-bridge`). English pages, and French ones by the same words as
//! `--help`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::{Language, help};

/// Writes them, and says what went wrong.
#[must_use]
pub fn written(command: Command, folder: &Path) -> ExitCode {
    match write(command, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}: {e}", folder.display());
            ExitCode::from(3)
        }
    }
}

/// `completions/` for bash, zsh and fish; `man/man1` and `man/fr/man1`.
///
/// # Errors
/// The system's.
pub fn write(command: Command, folder: &Path) -> io::Result<()> {
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), &name, &completions)?;
    }
    let english = folder.join("man/man1");
    fs::create_dir_all(&english)?;
    pages(command.clone(), &english)?;
    let french = folder.join("man/fr/man1");
    fs::create_dir_all(&french)?;
    pages(help::spoken(command, Language::Fr), &french)?;
    for (folder, language) in [(&english, Language::En), (&french, Language::Fr)] {
        for page in fs::read_dir(folder)? {
            let path = page?.path();
            let text = examples(&fs::read_to_string(&path)?);
            let text = match language {
                Language::Fr => headings(&text),
                Language::En => text,
            };
            fs::write(&path, text)?;
        }
    }
    Ok(())
}

fn pages(command: Command, folder: &Path) -> io::Result<()> {
    // Reproducible: clap_mangen writes no date.
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
}

/// What stands after the options: examples and references, whose long words no line can be filled with.
fn examples(page: &str) -> String {
    page.replace(".SH EXTRA\n", ".SH EXAMPLES\n.ad l\n")
}

/// A page's headings in French.
fn headings(page: &str) -> String {
    let mut lines = Vec::new();
    let mut value = false;
    for line in page.lines() {
        lines.push(if value {
            of_value(line)
        } else {
            line.to_owned()
        });
        value = line == ".IP \\(bu 2";
    }
    lines.push(String::new());
    let mut text = lines.join("\n");
    for (english, french) in [
        (".SH NAME", ".SH NOM"),
        (".SH SUBCOMMANDS", ".SH SOUS\\-COMMANDES"),
        (".SH EXAMPLES", ".SH EXEMPLES"),
        ("[default: ", "[défaut\u{a0}: "),
        ("[possible values: ", "[valeurs\u{a0}: "),
        (
            "\\fIPossible values:\\fR",
            "\\fIValeurs possibles\u{a0}:\\fR",
        ),
        (
            "Print help (see a summary with \\*(Aq\\-h\\*(Aq)",
            "Montrer cette aide (résumé\u{a0}: «\u{a0}\\-h\u{a0}»)",
        ),
        (
            "Print help (see more with \\*(Aq\\-\\-help\\*(Aq)",
            "Montrer cette aide (en entier\u{a0}: «\u{a0}\\-\\-help\u{a0}»)",
        ),
        ("\nPrint help\n", "\nMontrer cette aide\n"),
        ("\nPrint version\n", "\nMontrer la version\n"),
    ] {
        text = text.replace(english, french);
    }
    text
}

/// A value that an argument may have, with its help in French.
fn of_value(line: &str) -> String {
    let Some((name, help)) = line.split_once(": ") else {
        return line.to_owned();
    };
    let plain = help.replace("\\-", "-").replace("\\*(Aq", "'");
    match help::sentence(&plain, Language::Fr) {
        Some(french) => format!("{name}\u{a0}: {}", french.replace('-', "\\-")),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, clap::ValueEnum)]
    enum Paper {
        /// National identity card
        Identity,
    }

    #[test]
    fn pages_and_completions_are_written_the_same_each_time() {
        let command = || {
            Command::new("sceau")
                .about("Seals privileged actions with a physical key")
                .after_help("Example:\n  sceau status")
                .arg(
                    clap::Arg::new("document")
                        .long("document")
                        .help("Why")
                        .value_parser(clap::value_parser!(Paper))
                        .default_value("identity"),
                )
                .subcommand(Command::new("status").about("Sign out"))
        };
        let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let read = |place: &tempfile::TempDir, name: &str| {
            fs::read_to_string(place.path().join(name)).unwrap()
        };
        for place in &places {
            write(command(), place.path()).unwrap();
        }
        for name in [
            "completions/sceau.bash",
            "completions/_sceau",
            "completions/sceau.fish",
            "man/man1/sceau.1",
            "man/man1/sceau-status.1",
            "man/fr/man1/sceau.1",
        ] {
            assert_eq!(read(&places[0], name), read(&places[1], name), "{name}");
        }
        let page = read(&places[0], "man/fr/man1/sceau.1");
        assert!(
            page.contains(".SH NOM") && page.contains("Exemple :"),
            "{page}"
        );
        assert!(page.contains("Scelle"), "{page}");
        assert!(page.contains(".SH EXEMPLES\n.ad l\n"), "{page}");
        let english = read(&places[0], "man/man1/sceau.1");
        assert!(english.contains(".SH EXAMPLES\n.ad l\n"), "{english}");
        assert!(page.contains("Montrer cette aide"), "{page}");
        for words in ["Print", "Possible", "[default", "National"] {
            assert!(!page.contains(words), "{words}: {page}");
        }
        assert!(
            page.contains("identity\u{a0}: Carte nationale d’identité"),
            "{page}"
        );
        assert!(page.contains("[défaut\u{a0}: identity]"), "{page}");
    }
}
