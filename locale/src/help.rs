//! The command lines' help and errors (clap) in the language of whoever reads. English is what the sources say; French is here, for `--help` and
//! for the manual pages alike.

use clap::builder::StyledStr;
use clap::error::Error;
use clap::{Command, Parser};

use crate::Language;

mod french;

/// As wide as clap's help is at most.
const WIDTH: usize = 100;

/// Reads this process's command line. Help, version and errors are told in this language, and end the process as clap does.
#[must_use]
pub fn parse<P: Parser>(language: Language) -> P {
    let mut command = spoken(P::command(), language);
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = matches.and_then(|mut matches| {
        P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    });
    match parsed {
        Ok(parsed) => parsed,
        Err(error) if language == Language::Fr => {
            let text = told(&error);
            if error.use_stderr() {
                eprint!("{text}");
            } else {
                print!("{text}");
            }
            std::process::exit(error.exit_code())
        }
        Err(error) => error.exit(),
    }
}

/// The command with its help in this language. What has no French stays English.
#[must_use]
pub fn spoken(command: Command, language: Language) -> Command {
    match language {
        Language::En => command,
        Language::Fr => translated(command),
    }
}

/// What a person would read in English although they read French: commands, arguments, and the values that these may have.
#[must_use]
pub fn untranslated(command: &Command) -> Vec<String> {
    let mut lacking = Vec::new();
    collect(command, &mut lacking);
    lacking
}

fn collect(command: &Command, lacking: &mut Vec<String>) {
    let mut texts: Vec<String> = [command.get_about(), command.get_long_about()]
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
        let help = [argument.get_help(), argument.get_long_help()];
        texts.extend(help.into_iter().flatten().map(ToString::to_string));
        for value in argument.get_possible_values() {
            texts.extend(value.get_help().map(ToString::to_string));
        }
    }
    for text in texts {
        for paragraph in text.split("\n\n") {
            if known(paragraph).is_none() && !lacking.iter().any(|it| it == paragraph) {
                lacking.push(paragraph.to_owned());
            }
        }
    }
    for inner in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        collect(inner, lacking);
    }
}

/// A sentence of the help in this language, where it has one: for the values of arguments in manual pages.
#[must_use]
pub fn sentence(english: &str, language: Language) -> Option<String> {
    language.pick(known(english), Some(english.to_owned()))
}

/// Lines of French help that read as English: what `--help` of this command, and of each beneath it, prints under a French locale. A reference that
/// stays English by decision is taken out before.
#[must_use]
pub fn left_in_english(command: Command) -> Vec<String> {
    let mut command = spoken(command, Language::Fr);
    command.build();
    let mut left = Vec::new();
    read_as_english(&mut command, &mut left);
    left
}

/// Words that French has not, and that no English sentence does without for long.
const ENGLISH: [&str; 32] = [
    "the", "of", "and", "is", "are", "with", "for", "which", "that", "not", "from", "by", "what",
    "each", "its", "this", "when", "who", "whom", "whose", "without", "where", "to", "it", "they",
    "has", "be", "print", "usage", "possible", "default", "values",
];

fn read_as_english(command: &mut Command, left: &mut Vec<String>) {
    let help = french(&command.render_long_help().to_string());
    for line in help.lines() {
        let words = line.split_whitespace().filter(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            ENGLISH.contains(&word.to_lowercase().as_str())
        });
        let bracketed = [
            "[default",
            "[env",
            "[possible",
            "Possible values",
            "Usage:",
            "Example",
        ];
        if words.count() >= 2 || bracketed.iter().any(|it| line.contains(it)) {
            left.push(format!("{}: {}", command.get_name(), line.trim()));
        }
    }
    for inner in command.get_subcommands_mut().filter(|it| !it.is_hide_set()) {
        read_as_english(inner, left);
    }
}

/// The French of a paragraph.
fn known(paragraph: &str) -> Option<String> {
    let bare = paragraph.trim_end_matches('.');
    // Names of algorithms and the like are the same in both.
    if bare.chars().all(|c| !c.is_lowercase()) {
        return Some(paragraph.to_owned());
    }
    let end = paragraph.get(bare.len()..)?;
    let (_, french) = french::WORDS.iter().find(|(english, _)| *english == bare)?;
    Some(format!("{french}{end}"))
}

fn within(text: &str) -> String {
    french::WITHIN
        .iter()
        .fold(text.to_owned(), |text, (english, french)| {
            text.replace(english, french)
        })
}

/// A paragraph of lines that are sentences by themselves, or examples.
fn lines(paragraph: &str) -> String {
    let lines = paragraph.split('\n');
    let french = lines.map(|line| known(line).unwrap_or_else(|| within(line)));
    french.collect::<Vec<_>>().join("\n")
}

fn paragraphs(text: &StyledStr) -> String {
    let text = text.to_string();
    let french: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| known(paragraph).unwrap_or_else(|| lines(paragraph)))
        .collect();
    french.join("\n\n")
}

fn translated(mut command: Command) -> Command {
    if let Some(text) = command.get_about().map(paragraphs) {
        command = command.about(text);
    }
    if let Some(text) = command.get_long_about().map(paragraphs) {
        command = command.long_about(text);
    }
    if let Some(text) = command.get_after_help().map(paragraphs) {
        command = command.after_help(text);
    }
    if let Some(text) = command.get_after_long_help().map(paragraphs) {
        command = command.after_long_help(text);
    }
    command = command.mut_args(|mut argument| {
        if let Some(text) = argument.get_help().map(paragraphs) {
            argument = argument.help(text);
        }
        if let Some(text) = argument.get_long_help().map(paragraphs) {
            argument = argument.long_help(text);
        }
        argument
    });
    command.mut_subcommands(translated)
}

/// What clap prints, in French: its own words stand in fixed places of its lines.
fn told(error: &Error) -> String {
    french(&error.render().to_string())
}

fn french(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut whole = line.to_owned();
        // The help of a value goes on, further in than its bullet.
        if let Some(bullet) = bullet(line) {
            while let Some(more) =
                lines.next_if(|next| indent(next) > bullet && !next.trim().is_empty())
            {
                whole.push(' ');
                whole.push_str(more.trim());
            }
            out.push_str(&value(&whole));
        } else {
            out.push_str(&one_line(line));
        }
        out.push('\n');
    }
    out
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// How far in a value that an argument may have stands: `- never: Never`.
fn bullet(line: &str) -> Option<usize> {
    let value = line.trim_start().strip_prefix("- ")?;
    let (name, _) = value.split_once(':')?;
    (!name.trim_end().contains(' ')).then(|| indent(line))
}

/// A value that an argument may have, with its help in French, as wide as clap's.
fn value(line: &str) -> String {
    let Some((before, help)) = line.split_once(':') else {
        return line.to_owned();
    };
    let help = help.trim_start();
    let french = known(help).unwrap_or_else(|| help.to_owned());
    let mut out = format!("{}\u{a0}:", before.trim_end());
    let inner = " ".repeat(indent(line) + 2);
    let mut wide = out.chars().count();
    for word in french.split(' ') {
        if wide + 1 + word.chars().count() > WIDTH {
            out.push('\n');
            out.push_str(&inner);
            wide = inner.len();
        } else {
            out.push(' ');
            wide += 1;
        }
        out.push_str(word);
        wide += word.chars().count();
    }
    out
}

fn one_line(line: &str) -> String {
    let form = |line: &str| {
        let mut forms = french::CLAP.iter();
        forms.find_map(|(english, french)| filled(line, english, french))
    };
    let inner = line.trim_start();
    let further_in = || Some(format!("{}{}", " ".repeat(indent(line)), form(inner)?));
    within(
        &form(line)
            .or_else(further_in)
            .unwrap_or_else(|| line.to_owned()),
    )
}

/// The line in the other form, when it is of this one.
fn filled(line: &str, form: &str, other: &str) -> Option<String> {
    let mut pieces = form.split("{}");
    let mut rest = line.strip_prefix(pieces.next()?)?;
    let mut held = Vec::new();
    for piece in pieces {
        let at = if piece.is_empty() {
            rest.len()
        } else {
            rest.find(piece)?
        };
        held.push(rest.get(..at)?);
        rest = rest.get(at + piece.len()..)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let mut held = held.into_iter();
    let mut pieces = other.split("{}");
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        out.push_str(held.next().unwrap_or_default());
        out.push_str(piece);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};
    use std::fs;
    use std::path::Path;

    #[derive(Clone, clap::ValueEnum)]
    enum Which {
        /// Unless it was touched within 15 seconds. Refused for privileged actions by the default policy
        Cached,
        /// National identity card
        Card,
    }

    #[test]
    fn values_and_defaults_are_french_also_where_lines_break() {
        let sorte = Arg::new("sorte")
            .long("sorte")
            .help("Why")
            .value_parser(clap::value_parser!(Which))
            .default_value("card");
        let mut command = Command::new("sceau").arg(sorte);
        let told = told(
            &spoken(command.clone(), Language::Fr)
                .try_get_matches_from_mut(["sceau", "--help"])
                .unwrap_err(),
        );
        for words in [
            "Valeurs possibles\u{a0}:",
            "- card\u{a0}: Carte nationale",
            "[défaut\u{a0}: card]",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("default policy"), "{told}");
        assert!(
            told.lines().all(|line| line.chars().count() <= WIDTH),
            "{told}"
        );
        assert!(left_in_english(command.clone()).is_empty());
        command = command.after_help("This is what the English of the sources says.");
        assert_eq!(left_in_english(command).len(), 1);
        let wrapped = french("      --log <LEVEL>  Niveau [default:\n                     info]\n");
        assert!(wrapped.contains("[défaut\u{a0}:\n"), "{wrapped}");
    }

    fn command() -> Command {
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        let days = Arg::new("days")
            .long("days")
            .default_value("30")
            .help("Within so many days");
        Command::new("sceau")
            .about("Seals privileged actions with a physical key")
            .after_help("Example:\n  sceau status")
            .subcommand(Command::new("status").about("Sign out"))
            .arg(json.help("Print JSON"))
            .arg(days)
    }

    fn answer(arguments: &[&str]) -> String {
        let mut command = spoken(command(), Language::Fr);
        told(&command.try_get_matches_from_mut(arguments).unwrap_err())
    }

    #[test]
    fn help_is_french_throughout() {
        let help = answer(&["sceau", "--help"]);
        for words in [
            "Scelle des actions",
            "Utilisation : sceau [OPTIONS] [COMMANDE]",
            "Commandes :",
            "Se déconnecter",
            "Écrire du JSON",
            "Montrer cette aide",
            "[défaut : 30]",
            "Exemple :",
        ] {
            assert!(help.contains(words), "{words}: {help}");
        }
        for words in ["Usage", "Print", "Commands", "default", "Example:"] {
            assert!(!help.contains(words), "{words}: {help}");
        }
        assert!(untranslated(&command()).is_empty());
        let lacking = Command::new("x").about("A text that nobody has put in French");
        assert_eq!(untranslated(&lacking).len(), 1);
    }

    #[test]
    fn errors_are_french_and_keep_what_was_typed() {
        let wrong = answer(&["sceau", "--jsom"]);
        assert!(
            wrong.starts_with("erreur : argument inattendu « --jsom »\n"),
            "{wrong}"
        );
        assert!(wrong.contains("peut-être « --json » ?"), "{wrong}");
        assert!(
            wrong.ends_with("Pour en savoir plus : « --help ».\n"),
            "{wrong}"
        );
        let wrong = answer(&["sceau", "statut"]);
        assert!(
            wrong.starts_with("erreur : commande inconnue « statut »"),
            "{wrong}"
        );
    }

    /// The sources of all commands on one line, doc comments and literals as clap joins them.
    fn sources() -> String {
        fn read(folder: &Path, text: &mut String) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, text);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    for line in fs::read_to_string(&path).unwrap().lines() {
                        let line = line.trim().trim_start_matches("/// ");
                        text.push_str(line.trim_end_matches('\\'));
                        text.push(' ');
                    }
                }
            }
        }
        let mut text = String::new();
        for room in ["agent", "server", "proof"] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            read(&root.join(room).join("src"), &mut text);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").replace("\\\"", "\"")
    }

    #[test]
    fn no_french_is_left_of_what_no_command_says() {
        let sources = sources();
        let unsaid: Vec<&str> = french::WORDS
            .iter()
            .map(|(english, _)| *english)
            .filter(|english| !sources.contains(english))
            .collect();
        assert!(unsaid.is_empty(), "{unsaid:#?}");
    }
}
