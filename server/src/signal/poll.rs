//! Poll-based delivery (RFC 8936): the receiver fetches, and says what it took. Nothing is put aside for it: what is pending is read from the log each
//! time, so two instances answer alike, and what was answered into a broken connection is answered again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::{SignalStream, Signals, set};
use crate::desk::DeskError;

/// Tokens in one answer, at most.
const MOST: usize = 100;
/// What is looked at in one round; acknowledgements of what lies beyond are of nothing that was sent.
const WINDOW: usize = 256;
/// Names in one acknowledgement.
const MOST_NAMES: usize = 1_000;
/// A receiver that waits is answered after this, with nothing.
const WAIT: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(500);

/// What a receiver asks (RFC 8936 §2.2).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Poll {
    /// The most that it wants now; 0: it only acknowledges.
    #[serde(default)]
    pub max_events: Option<u64>,
    /// It does not wait.
    #[serde(default)]
    pub return_immediately: bool,
    /// What it took.
    #[serde(default)]
    pub ack: Vec<String>,
    /// What it did not want, by name.
    #[serde(default)]
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why a token is not wanted (RFC 8936 §2.6).
#[derive(Debug, Default, Deserialize)]
pub struct SetError {
    /// One word.
    #[serde(default)]
    pub err: String,
}

/// What it is answered (RFC 8936 §2.3).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Polled {
    /// Tokens by name.
    pub sets: BTreeMap<String, String>,
    /// There are more.
    pub more_available: bool,
}

impl Signals {
    /// Notes what was taken, and gives what is pending.
    ///
    /// # Errors
    /// `Malformed`, `Unavailable`.
    pub async fn poll(
        self: &Arc<Self>,
        stream: &SignalStream,
        asked: Poll,
    ) -> Result<Polled, DeskError> {
        if asked.ack.len() + asked.set_errs.len() > MOST_NAMES {
            return Err(DeskError::Malformed("ack: too many"));
        }
        let most = asked.max_events.unwrap_or(MOST as u64);
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        let place = |name: &str| set::place(stream.id, name);
        let mut done: BTreeSet<_> = asked.ack.iter().filter_map(|name| place(name)).collect();
        let refused: Vec<_> = asked
            .set_errs
            .iter()
            .filter_map(|(name, error)| Some((place(name)?, error)))
            .collect();
        done.extend(refused.iter().map(|(place, _)| *place));
        let until = self.desk.now() + WAIT;
        loop {
            // It may have been paused, or closed, while the receiver waited.
            let now = self.desk.signal_stream(&stream.service).await?;
            let Some(stream) = now.filter(|now| now.id == stream.id) else {
                return Err(DeskError::NotFound);
            };
            let Some(filter) = self.filter(&stream).await? else {
                return Ok(Polled::default());
            };
            let window = self.desk.signal_window(&stream, &filter, WINDOW).await?;
            let known = |it: &&super::event::Signal| done.contains(&(it.index, it.n));
            let taken: Vec<_> = window.pending.iter().filter(known).collect();
            for signal in &taken {
                let place = (signal.index, signal.n);
                if let Some((_, error)) = refused.iter().find(|(it, _)| *it == place) {
                    let word = super::run::word(Some(&error.err), "not-wanted");
                    let data: Map<_, _> = [
                        ("receiver".to_owned(), json!(stream.service)),
                        ("entry".to_owned(), json!(signal.index)),
                        ("reason".to_owned(), json!(word)),
                    ]
                    .into_iter()
                    .collect();
                    self.desk.note("alert.signal-rejected", None, data).await?;
                }
            }
            let taken: Vec<_> = taken.iter().map(|it| (it.index, it.n)).collect();
            self.desk.signals_taken(&stream, &window, taken).await?;
            let left: Vec<_> = window.pending.iter().filter(|it| !known(it)).collect();
            if !left.is_empty() || asked.return_immediately || most == 0 || self.desk.now() >= until
            {
                let mut sets = BTreeMap::new();
                for signal in left.iter().take(most) {
                    let name = set::jti(stream.id, (signal.index, signal.n));
                    sets.insert(name, self.token(&stream, signal).await?);
                }
                return Ok(Polled {
                    more_available: left.len() > sets.len() || window.more,
                    sets,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
