//! `sceau-bridge`: the native-messaging host that a browser starts for Sceau's extension, and what makes that extension. A thin main over
//! [`sceau_agent::bridge`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use sceau_agent::bridge::{self, BridgeError};
use sceau_agent::config::{Config, ConfigError, Places};
use sceau_agent::locale::Language;

/// Hands an action over from the server's approval page to the agent; browsers start it by themselves.
#[derive(Parser)]
#[command(
    name = "sceau-bridge",
    version,
    after_help = "Example:\n  sceau-bridge --extension ~/sceau-extension"
)]
struct Arguments {
    /// Write the extension for the configured server into this folder.
    #[arg(long, value_name = "FOLDER", required_unless_present = "manual")]
    extension: Option<PathBuf>,
    /// Write completions and man pages into a folder.
    #[arg(long, value_name = "FOLDER", hide = true)]
    manual: Option<PathBuf>,
}

enum Fault {
    Config(ConfigError),
    Bridge(BridgeError),
}

fn main() -> ExitCode {
    let language = Language::of_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = if arguments
        .first()
        .is_some_and(|first| !first.starts_with('-'))
    {
        host(&arguments)
    } else {
        let arguments = sceau_locale::help::parse::<Arguments>(language);
        if let Some(folder) = &arguments.manual {
            return sceau_locale::manual::written(Arguments::command(), folder);
        }
        configured().and_then(|(config, _)| {
            let folder = arguments.extension.unwrap_or_default();
            bridge::write_extension(&config, &folder).map_err(|e| Fault::Bridge(e.into()))
        })
    };
    let (why, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Fault::Config(e)) => (e.tell(language), 2),
        Err(Fault::Bridge(e @ BridgeError::Io(_))) => (e.tell(language), 3),
        Err(Fault::Bridge(e)) => (e.tell(language), 2),
    };
    eprintln!("sceau-bridge: {why}");
    ExitCode::from(code)
}

fn configured() -> Result<(Config, Places), Fault> {
    let places = Places::from_environment(|name| std::env::var(name).ok(), None)
        .map_err(Fault::Config)?
        .or_of_the_machine();
    let config = Config::load(&places.config).map_err(Fault::Config)?;
    Ok((config, places))
}

fn host(arguments: &[String]) -> Result<(), Fault> {
    bridge::started_for(arguments).map_err(Fault::Bridge)?;
    let (config, places) = configured()?;
    let socket = places.served_socket(rustix::process::geteuid().as_raw());
    bridge::serve(
        std::io::stdin().lock(),
        std::io::stdout().lock(),
        &config,
        &socket,
    )
    .map_err(Fault::Bridge)
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
