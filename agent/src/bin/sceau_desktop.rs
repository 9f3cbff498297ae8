//! `sceau-desktop`: shows on the desktop what awaits the person. A thin main over [`sceau_agent::desktop`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use sceau_agent::config::Places;
use sceau_agent::desktop::{self, DesktopError, Settings};
use sceau_agent::life;
use sceau_agent::locale::Language;
use sceau_locale::{foreign, manual};
use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;

/// Shows what awaits the person, and asks for the PIN: notifications and pinentry, over the agent's socket.
#[derive(Parser)]
#[command(
    name = "sceau-desktop",
    version,
    after_help = "Examples:\n  sceau-desktop\n  sceau-desktop --pinentry /usr/bin/pinentry-gtk-2"
)]
struct Arguments {
    /// The pinentry to ask with, instead of the session's own.
    #[arg(long, value_name = "PROGRAM", default_value = "pinentry")]
    pinentry: OsString,
    /// What to log on standard error: error, warn, info, debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
    /// Write completions and man pages into a folder, and end.
    #[arg(long, value_name = "FOLDER", hide = true)]
    manual: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = sceau_locale::help::parse::<Arguments>(Language::of_process());
    if let Some(folder) = &arguments.manual {
        return manual::written(Arguments::command(), folder);
    }
    life::log(arguments.log, "sceau-desktop");
    let variable = |name: &str| std::env::var(name).ok();
    let language = Language::from_environment(variable);
    let places = match Places::from_environment(variable, None) {
        Ok(places) => places,
        Err(e) => return fail(&e.tell(language), 2),
    };
    let settings = Settings {
        socket: places.served_socket(rustix::process::geteuid().as_raw()),
        pinentry: arguments.pinentry,
        language,
        clock,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(512 * 1024)
        .max_blocking_threads(2)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return fail(&foreign(language, &e.to_string()), 3),
    };
    match tokio::task::LocalSet::new().block_on(&runtime, desktop::run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        // The session has its windows: nothing is wrong.
        Err(DesktopError::AlreadyRunning) => ExitCode::SUCCESS,
        Err(e @ DesktopError::Bus(_)) => fail(&e.tell(language), 2),
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("sceau-desktop: {why}");
    ExitCode::from(code)
}

#[allow(clippy::disallowed_methods, reason = "this main owns the clock")]
fn clock() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_its_french() {
        let lacking = sceau_locale::help::untranslated(&Arguments::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
        let left = sceau_locale::help::left_in_english(Arguments::command());
        assert!(left.is_empty(), "{left:#?}");
    }
}
