//! `sceau-verify`, the auditors' command: JSON in (a file, or `-` for standard input), one JSON object out, offline, no clock but `--at`.
//!
//! Exit status: 0 yes, 1 no, 2 usage or malformed input, 3 unavailable. For 2 and 3 the object is `{"error","detail"}`. One file per subcommand,
//! each with its `Args` and a `run` that returns an [`Outcome`]; reading, printing and exit statuses are here, and every check is in the library.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use serde_json::{Value, json};

mod action;
mod assertion;
mod evidence;
mod log;
mod metadata;
mod permits;
mod piv;
mod registration;
mod report;
mod roots;
mod source;

/// Longest input that is read; metadata BLOBs and evidence of large actions are a few MiB.
const MAX_INPUT: u64 = 64 << 20;

/// Checks what Sceau signed, without asking any server.
#[derive(Parser)]
#[command(
    name = "sceau-verify",
    version,
    about,
    after_help = "Exit status: 0 yes, 1 no, 2 usage or malformed input, 3 unavailable.\n\nExample:\n  sceau-verify assertion case.json"
)]
struct Cli {
    /// What is printed is JSON anyway; accepted because every command of Sceau takes it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Assertion(assertion::Args),
    Registration(registration::Args),
    Metadata(metadata::Args),
    Action(action::Args),
    Evidence(evidence::Args),
    Log(log::Args),
    Piv(piv::Args),
    Permits(permits::Args),
    Report(report::Args),
    /// Write completions and man pages into a folder.
    #[command(hide = true)]
    Manual {
        /// Where.
        folder: PathBuf,
    },
}

/// What a subcommand found: one JSON object, and whether the answer is yes.
struct Outcome {
    yes: bool,
    object: Value,
}

/// Why a subcommand has no answer.
enum Failure {
    /// The input is not what the command takes: exit status 2.
    Malformed(String),
    /// Something needed cannot be read now: exit status 3.
    Unavailable(String),
}

fn main() -> ExitCode {
    let cli: Cli = sceau_locale::help::parse(sceau_locale::Language::of_process());
    let result = match cli.command {
        Command::Assertion(args) => assertion::run(&args),
        Command::Registration(args) => registration::run(&args),
        Command::Metadata(args) => metadata::run(&args),
        Command::Action(args) => action::run(&args),
        Command::Evidence(args) => evidence::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Piv(args) => piv::run(&args),
        Command::Permits(args) => permits::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Manual { folder } => {
            return sceau_locale::manual::written(Cli::command(), &folder);
        }
    };
    let (object, status) = match result {
        Ok(Outcome { yes: true, object }) => (object, 0),
        Ok(Outcome { yes: false, object }) => (object, 1),
        Err(Failure::Malformed(detail)) => {
            (json!({"error": "malformed-input", "detail": detail}), 2)
        }
        Err(Failure::Unavailable(detail)) => (json!({"error": "unavailable", "detail": detail}), 3),
    };
    match writeln!(std::io::stdout(), "{object}") {
        Ok(()) => ExitCode::from(status),
        Err(_) => ExitCode::from(3),
    }
}

/// A time of the command line, RFC 3339.
fn parse_time(text: &str) -> Result<time::OffsetDateTime, time::error::Parse> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
}

/// Reads a whole file, or standard input for `-`. A file that does not exist is a usage error.
fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    let named = |e: std::io::Error| {
        let detail = format!("{}: {e}", path.display());
        match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory => {
                Failure::Malformed(detail)
            }
            _ => Failure::Unavailable(detail),
        }
    };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_INPUT.saturating_add(1))
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| {
            file.take(MAX_INPUT.saturating_add(1))
                .read_to_end(&mut bytes)
        })
    };
    read.map_err(named)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::Malformed(format!(
            "{}: more than {MAX_INPUT} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_its_french() {
        let lacking = sceau_locale::help::untranslated(&Cli::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
        // The reference of codes beneath each command is compared with programs' output: English (docs/decisions.md).
        let bare = Cli::command().mut_subcommands(|command| command.after_help(""));
        let left = sceau_locale::help::left_in_english(bare);
        assert!(left.is_empty(), "{left:#?}");
    }
}
