//! `sceau-agent`: the daemon. Reads its configuration, follows readers and the inbox, serves the socket, ends at SIGTERM or SIGINT.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use sceau_agent::agent::{self, Agent};
use sceau_agent::config::{Config, ConfigError, Places};
use sceau_agent::hidraw;
use sceau_agent::life;
use sceau_agent::locale::Language;
use sceau_agent::pcsc::Monitor;
use sceau_agent::presence;
use sceau_agent::seat;
use sceau_agent::socket::Socket;
use sceau_agent::text;
use sceau_locale::{foreign, manual};
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Follows security keys and the server's inbox; people talk to it with `sceau`.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example configuration (~/.config/sceau/agent.toml):\n  \
        server = \"https://sceau.example\"\n  rp_id = \"sceau.example\"\n  ca_file = \"/etc/sceau/ca.pem\"   # optional: instead of the system's authorities\n  \
        person = \"amartin\"               # optional: who signs in here\n\n\
        Examples:\n  sceau-agent\n  sceau-agent --config /etc/sceau/agent.toml --log debug"
)]
struct Arguments {
    /// Configuration file, instead of $XDG_CONFIG_HOME/sceau/agent.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log on standard error: error, warn, info, debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
    /// Serve this user's processes instead of one's own; for sceau-agent@.service.
    #[arg(long, value_name = "UID")]
    serve_uid: Option<u32>,
    /// Write completions and man pages into a folder, and end.
    #[arg(long, value_name = "FOLDER", hide = true)]
    manual: Option<PathBuf>,
}

fn main() -> ExitCode {
    let language = Language::of_process();
    let arguments = sceau_locale::help::parse::<Arguments>(language);
    if let Some(folder) = &arguments.manual {
        return manual::written(Arguments::command(), folder);
    }
    life::log(arguments.log, "sceau-agent");
    let (why, code) = match run(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Fault::Configuration(error)) => (error.tell(language), 2),
        Err(Fault::Refused(why)) => (why, 2),
        Err(Fault::Runtime(error)) => (system("fault-agent-runtime", &error, language), 3),
        Err(Fault::Socket(path, error)) => (text::of_file(&path, error, language), 3),
        Err(Fault::Readers(error)) => (system("fault-agent-readers", &error, language), 3),
    };
    eprintln!("sceau-agent: {why}");
    ExitCode::from(code)
}

fn system(name: &str, error: &std::io::Error, language: Language) -> String {
    let reason = foreign(language, &error.to_string());
    language.text_with(name, &[("reason", reason.into())])
}

enum Fault {
    Configuration(ConfigError),
    /// What the configuration names cannot be used; in words already.
    Refused(String),
    Runtime(std::io::Error),
    Socket(PathBuf, std::io::Error),
    Readers(std::io::Error),
}

fn run(arguments: Arguments) -> Result<(), Fault> {
    let variable = |name: &str| std::env::var(name).ok();
    let named = arguments.config.is_some();
    let mut places =
        Places::from_environment(variable, arguments.config).map_err(Fault::Configuration)?;
    if !named {
        places = places.or_of_the_machine();
    }
    let config = Config::load(&places.config).map_err(Fault::Configuration)?;
    let language = config
        .locale
        .unwrap_or_else(|| Language::from_environment(variable));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(512 * 1024)
        .max_blocking_threads(4)
        .build()
        .map_err(Fault::Runtime)?;
    tokio::task::LocalSet::new().block_on(
        &runtime,
        serve(config, places, language, arguments.serve_uid),
    )
}

async fn serve(
    config: Config,
    places: Places,
    language: Language,
    serve_uid: Option<u32>,
) -> Result<(), Fault> {
    let readers = config.readers.clone();
    let agent = Agent::new(config, places, language, clock)
        .map_err(|failure| Fault::Refused(text::message(&failure, language)))?;
    let socket = match life::inherited() {
        Ok(Some(listener)) => Socket::inherited(listener),
        Ok(None) => Socket::bind(&agent.places.socket),
        Err(e) => Err(e),
    };
    let mut socket = socket.map_err(|error| Fault::Socket(agent.places.socket.clone(), error))?;
    if let Some(uid) = serve_uid {
        socket = socket.serving(uid);
    }
    let (events_tx, events) = tokio::sync::mpsc::unbounded_channel();
    let monitor = Monitor::start(readers, events_tx).map_err(Fault::Readers)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Runtime)?;
    let roots = hidraw::Roots::default();
    let (usb_tx, usb) = tokio::sync::mpsc::unbounded_channel();
    // Without it (a container without udev's socket), smart cards still work.
    let usb_monitor = hidraw::Monitor::start(roots.clone(), usb_tx)
        .inspect_err(|e| tracing::warn!(error = %e, "USB keys cannot be followed"))
        .ok();
    let usb_ends = async {
        agent::follow_usb(std::rc::Rc::clone(&agent), roots, usb).await;
        std::future::pending::<()>().await;
    };
    let presence_ends = async {
        tokio::join!(
            presence::follow(std::rc::Rc::clone(&agent)),
            presence::acquaint(std::rc::Rc::clone(&agent)),
            seat::follow(std::rc::Rc::clone(&agent))
        );
        std::future::pending::<()>().await;
    };
    tracing::info!(message_id = life::message::READY, socket = %agent.places.socket.display(), server = %agent.config.server.text(), "ready");
    tokio::select! {
        () = agent::follow_readers(std::rc::Rc::clone(&agent), events) => {}
        () = usb_ends => {}
        () = sceau_agent::piv::module::follow(std::rc::Rc::clone(&agent)) => {}
        () = agent.follow_inbox() => {}
        () = presence_ends => {}
        () = agent.follow_log() => {}
        () = socket.serve(&agent) => {}
        () = life::follow(&agent) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending");
    life::stopping();
    presence::goodbyes(&agent, presence::Goodbye::Ending).await;
    drop(socket);
    drop(monitor);
    drop(usb_monitor);
    Ok(())
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
