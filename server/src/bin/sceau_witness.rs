//! `sceau-witness`: cosigns what other people's logs show, and says when they lie. A main: it owns a clock and randomness.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use clap::{CommandFactory as _, Parser, Subcommand};
use sceau_server::listen;
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use sceau_server::witness::{self, SetupError, Witness, config::Config};
use serde_json::json;
use time::OffsetDateTime;

/// Follow logs, cosign what extends all that was cosigned before, and say when a log goes back or shows two histories.
#[derive(Parser)]
#[command(
    name = "sceau-witness",
    version,
    after_help = "Example:\n  sceau-witness init --config /etc/sceau/witness.toml\n  sceau-witness serve --config /etc/sceau/witness.toml\n\nExit codes: 0 yes or done, 1 a log is not what it was, 2 usage or malformed input, 3 unavailable."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct At {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE", default_value = "/etc/sceau/witness.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Make the key and the state folder; print the verifier key, for logs and auditors.
    #[command(after_help = "Example:\n  sceau-witness init --config /etc/sceau/witness.toml")]
    Init {
        #[command(flatten)]
        at: At,
    },
    /// Answer `POST /add-checkpoint`, and follow the logs that have an address, until SIGTERM or SIGINT.
    #[command(after_help = "Example:\n  sceau-witness serve --config /etc/sceau/witness.toml")]
    Serve {
        #[command(flatten)]
        at: At,
    },
    /// Follow the logs once, without listening. Exit code 1 when one is not what it was, or cannot be read. For timers.
    #[command(
        after_help = "Example:\n  sceau-witness check --config /etc/sceau/witness.toml --json"
    )]
    Check {
        #[command(flatten)]
        at: At,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
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

/// What ended the command.
enum Failure {
    Setup(SetupError),
    Tls(listen::TlsError),
    Io(std::io::Error),
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl From<listen::TlsError> for Failure {
    fn from(error: listen::TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

async fn serve(at: At, ports: Ports) -> Result<(), Failure> {
    let config = Config::load(&at.config)?;
    let witness = Arc::new(Witness::load(&config, ports)?);
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
        _ => None,
    };
    let listener = tokio::net::TcpListener::bind(config.listen).await?;
    tracing::info!(address = %config.listen, vkey = %witness.verifying_key(), logs = config.log.len(), "witnessing");
    let following = tokio::spawn(Arc::clone(&witness).follow_for_ever(config.interval.as_std()));
    let served = listen::serve(
        listener,
        tls,
        witness::router(Arc::clone(&witness)),
        1024,
        stop(),
    )
    .await;
    following.abort();
    Ok(served?)
}

async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn check(at: At, as_json: bool, ports: Ports) -> Result<(String, bool), Failure> {
    let config = Config::load(&at.config)?;
    let witness = Witness::load(&config, ports)?;
    let well = witness.follow_once().await;
    let standing = witness.standing().await;
    let text = if as_json {
        let logs: Vec<_> = standing
            .iter()
            .map(|log| json!({"log": log.origin, "size": log.size, "forks": log.forks, "behind": log.is_behind, "unreadable": log.failures > 0}))
            .collect();
        format!("{}\n", json!({"well": well, "logs": logs}))
    } else {
        standing
            .iter()
            .map(|log| {
                let verdict = match log {
                    log if log.forks > 0 => "FORKED",
                    log if log.is_behind => "WENT BACK",
                    log if log.failures > 0 => "not readable",
                    _ => "well",
                };
                format!("{}  {} entries  {verdict}\n", log.origin, log.size)
            })
            .collect()
    };
    Ok((text, well))
}

fn run(command: Command) -> Result<(String, bool), Failure> {
    let ports = Ports::new(SystemClock, System(SystemRandom::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Init { at } => {
            let config = Config::load(&at.config)?;
            Ok((format!("{}\n", witness::init(&config, &ports)?), true))
        }
        Command::Serve { at } => runtime
            .block_on(serve(at, ports))
            .map(|()| (String::new(), true)),
        Command::Check { at, json } => runtime.block_on(check(at, json, ports)),
        // Written before anything is run.
        Command::Manual { .. } => Ok((String::new(), true)),
    }
}

fn main() -> ExitCode {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let filter = tracing_subscriber::EnvFilter::try_from_env("SCEAU_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cli: Cli = sceau_locale::help::parse(sceau_locale::Language::of_process());
    if let Command::Manual { folder } = &cli.command {
        return sceau_locale::manual::written(Cli::command(), folder);
    }
    match run(cli.command) {
        Ok((text, well)) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) if well => ExitCode::SUCCESS,
            Ok(()) => ExitCode::from(1),
            Err(_) => ExitCode::from(3),
        },
        Err(Failure::Setup(error)) => {
            eprintln!("sceau-witness: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Tls(error)) => {
            eprintln!("sceau-witness: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Io(error)) => {
            eprintln!("sceau-witness: {error}");
            ExitCode::from(3)
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
