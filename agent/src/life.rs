//! The daemon's life under a service manager: the socket that it hands over (sd_listen_fds(3)), readiness, status in words and watchdog
//! (sd_notify(3)), and the log in the journal with fields. Without a service manager each of these is nothing, and the daemon runs all the same.
//!
//! Trusted: the environment that the service manager set. An idle daemon is not woken: the status is told when it changes, and the watchdog is armed
//! only while somebody is signed in (docs/workstation.md). Deliberately elsewhere: who may connect ([`crate::socket`]).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::agent::{Agent, Inbox};
use crate::text;

/// `MESSAGE_ID`s of the journal, explained in `agent/dist/systemd/catalog`. Their entries carry `ACTION_ID` where there is one, and nothing personal.
pub mod message {
    /// The daemon serves its socket.
    pub const READY: &str = "fde902680c2942139008685709d57785";
    /// An action awaits the person.
    pub const AWAITS: &str = "17df9ff7c4b34b8884895a2de030d8a5";
    /// An action was sealed.
    pub const SEALED: &str = "32edc94e062a43a7aa7b92d4efc47bd0";
    /// An action was refused.
    pub const REFUSED: &str = "cbda6126d38146098250581c2b298888";
    /// What the server sent may not be shown or sealed.
    pub const UNFIT: &str = "ee1caf3107aa4dc08a79c607dfabb2b0";
    /// A key's PIN is locked or blocked.
    pub const BLOCKED_PIN: &str = "fdc5702e064140e398304447ada67e90";
    /// What answered is not the configured server.
    pub const UNTRUSTED_SERVER: &str = "b6dc2da5ec8d41fb8f6eea3f01164c2f";
    /// The session is over.
    pub const SIGNED_OUT: &str = "37c06854465c45448924c17b82e50ad3";
    /// The queue is full.
    pub const FLOOD: &str = "ea23b6eabf9a44ccaf4c923acfbe4bc8";
}

/// The listening socket that the service manager opened, if it did.
///
/// # Errors
/// What was handed over is not a listening stream socket of the Unix family.
pub fn inherited() -> io::Result<Option<UnixListener>> {
    listenfd::ListenFd::from_env().take_unix_listener(0)
}

/// Logs to the journal, with fields, when standard error is the journal; to standard error otherwise.
pub fn log(level: LevelFilter, name: &str) {
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref())
        .then(tracing_journald::layer)
        .and_then(Result::ok)
        .map(|layer| {
            layer
                .with_field_prefix(None)
                .with_syslog_identifier(name.to_owned())
        });
    let text = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_target(false)
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
    });
    tracing_subscriber::registry()
        .with(level)
        .with(journal)
        .with(text)
        .init();
}

/// Whether standard error is what `JOURNAL_STREAM` names ("device:inode", systemd.exec(5)).
fn is_journal(stream: Option<&str>) -> bool {
    let named = stream.and_then(|stream| {
        let (device, inode) = stream.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let stderr = std::fs::metadata("/proc/self/fd/2");
    named.is_some_and(|named| stderr.is_ok_and(|stderr| (stderr.dev(), stderr.ino()) == named))
}

/// Says that the daemon is ready, and from then on what it is doing, for ever.
pub async fn follow(agent: &Agent) {
    let mut usec = 0;
    let is_watched = sd_notify::watchdog_enabled(false, &mut usec);
    let period = is_watched.then(|| Duration::from_micros(usec / 2));
    let usec = u32::try_from(usec).unwrap_or(u32::MAX);
    let mut told = (String::new(), false);
    let mut states = vec![NotifyState::Ready];
    loop {
        let (status, is_armed) = state(agent);
        states.push(NotifyState::Status(&status));
        if period.is_some() && (is_armed != told.1 || told.0.is_empty()) {
            states.push(NotifyState::WatchdogUsec(if is_armed { usec } else { 0 }));
        }
        if is_armed {
            states.push(NotifyState::Watchdog);
        }
        notify(&states);
        told = (status, is_armed);
        let changed = agent.until(|agent| (state(agent) != told).then_some(()));
        let mut changed = std::pin::pin!(changed);
        if let Some(period) = period.filter(|_| is_armed) {
            while tokio::time::timeout(period, &mut changed).await.is_err() {
                notify(&[NotifyState::Watchdog]);
            }
        } else {
            changed.await;
        }
        states = Vec::new();
    }
}

/// Says that the daemon is ending.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    // A service manager that went away is told nothing.
    if let Err(e) = sd_notify::notify(false, states) {
        tracing::debug!(error = %e, "the service manager was not told");
    }
}

/// The status in words, without anything personal; and whether somebody is signed in.
fn state(agent: &Agent) -> (String, bool) {
    let say = |name: &str| agent.language.text(name).into_owned();
    let signed_in = agent.token().is_ok();
    let status = match &*agent.inbox() {
        Inbox::SignedOut => say("prompt-status-signed-out"),
        Inbox::Connecting => say("prompt-status-connecting"),
        Inbox::Connected => {
            let waiting = agent.with_queue(|queue| queue.waiting(agent.now()).len());
            match waiting {
                0 => say("prompt-status-connected"),
                count => agent
                    .language
                    .text_with("prompt-status-waiting", &[("count", count.into())]),
            }
        }
        Inbox::Lost { reason } => format!(
            "{} ({})",
            say("prompt-status-lost"),
            text::one_line(reason, 200)
        ),
    };
    (status, signed_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_the_journal_only_where_its_inode_says_so() {
        let stderr = std::fs::metadata("/proc/self/fd/2").unwrap();
        let same = format!("{}:{}", stderr.dev(), stderr.ino());
        let other = format!("{}:{}", stderr.dev(), stderr.ino() + 1);
        assert!(is_journal(Some(&same)));
        for stream in [Some(other.as_str()), Some("8:x"), Some("8"), None] {
            assert!(!is_journal(stream), "{stream:?}");
        }
    }

    #[test]
    fn each_message_is_explained_in_both_languages() {
        let source = include_str!("life.rs");
        let ids: Vec<&str> = source
            .split('"')
            .filter(|word| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect();
        assert!(ids.len() >= 9);
        for id in ids {
            let english = include_str!("../dist/systemd/catalog/sceau.catalog");
            let french = include_str!("../dist/systemd/catalog/sceau.fr.catalog");
            assert!(english.contains(&format!("-- {id}\n")), "{id}");
            assert!(french.contains(&format!("-- {id} fr\n")), "{id}");
        }
    }
}
