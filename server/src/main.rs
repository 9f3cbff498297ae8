//! `sceau-server`: the one place that owns a real clock, real randomness, and the process.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use clap::{CommandFactory as _, Parser, Subcommand};
use sceau_locale::Language;
use sceau_server::command::{
    CommandError, check_config::CheckConfig, facts::Facts, init::Init, keys::Keys, log::Log,
    metadata::Metadata, policy::PolicyCommand, report::Report, serve::Serve,
};
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use time::OffsetDateTime;

/// Privileged actions sealed by a physical, genuine key: the server.
#[derive(Parser)]
#[command(
    name = "sceau-server",
    version,
    after_help = "Example:\n  sceau-server check-config --config /etc/sceau/sceau.toml\n\nExit codes: 0 yes or done, 1 no, 2 usage or malformed input, 3 unavailable."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(Init),
    Serve(Serve),
    CheckConfig(CheckConfig),
    Facts(Facts),
    Keys(Keys),
    Log(Log),
    Metadata(Metadata),
    Policy(PolicyCommand),
    Report(Report),
    /// Write completions and man pages into a folder.
    #[command(hide = true)]
    Manual {
        /// Where.
        folder: PathBuf,
    },
}

struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the process' own clock; everything else takes it as an argument"
    )]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

struct System(SystemRandom);

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.fill(buffer).map_err(|_| NoRandomness)
    }
}

/// What to print, and whether the answer is yes.
fn run(command: Command, language: Language) -> Result<(String, bool), CommandError> {
    let ports = Ports::new(SystemClock, System(SystemRandom::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let yes = |text| (text, true);
    match command {
        Command::Init(init) => runtime.block_on(init.run(ports)).map(yes),
        Command::Serve(serve) => runtime
            .block_on(serve.run(ports))
            .map(|()| yes(String::new())),
        Command::CheckConfig(check) => check.run(&ports, language).map(yes),
        Command::Facts(facts) => runtime.block_on(facts.run(ports, language)),
        Command::Keys(keys) => runtime.block_on(keys.run(ports)),
        Command::Log(log) => runtime.block_on(log.run()).map(yes),
        Command::Report(report) => runtime.block_on(report.run(ports)).map(yes),
        Command::Metadata(metadata) => metadata.run(&ports, language).map(yes),
        // Written before a runtime is made.
        Command::Manual { .. } => Ok(yes(String::new())),
        Command::Policy(policy) => runtime.block_on(policy.run(ports, language)),
    }
}

fn main() -> ExitCode {
    // The store, keys and invitations are for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let filter = tracing_subscriber::EnvFilter::try_from_env("SCEAU_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let language = Language::of_process();
    let cli: Cli = sceau_locale::help::parse(language);
    if let Command::Manual { folder } = &cli.command {
        return sceau_locale::manual::written(Cli::command(), folder);
    }
    match run(cli.command, language) {
        Ok((text, yes)) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) if yes => ExitCode::SUCCESS,
            Ok(()) => ExitCode::from(1),
            Err(_) => ExitCode::from(3),
        },
        Err(error) => {
            eprintln!("sceau-server: {}", error.tell(language));
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn help_has_its_french() {
        let lacking = sceau_locale::help::untranslated(&Cli::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
        let left = sceau_locale::help::left_in_english(Cli::command());
        assert!(left.is_empty(), "{left:#?}");
    }
}
