//! Entries of the log on their way to those who watch: journald, syslog (RFC 5424), a signed webhook. docs/alerts.md.
//!
//! Each stream has a durable place in the log; entries go out in order, and the place moves on only after they were taken: *at least once*, in order.
//! One instance delivers at a time; when it dies another goes on half a minute later, from the last place. A receiver that is away is asked again with
//! a growing pause and misses nothing. Nothing waits for a stream: the privileged path does not know that they are there.
//!
//! What leaves is the entry, which holds no personal data; `reveal` adds what its commitments hide. Trusts the receiver with what it gets, no more.

mod alert;
mod journald;
mod syslog;
mod webhook;

pub use alert::Severity;
pub(crate) use alert::severity;

use std::time::Duration;

use sceau_proof::log::Entry;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::config::{Only, Stream, Way};
use crate::desk::Desk;
use crate::keyfile::KeyFileError;
use crate::store::log::StoredEntry;

/// Entries in one delivery, at most.
const BATCH: u64 = 64;
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Pauses after a failed delivery grow from here …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An entry on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// Its position in the log.
    pub(crate) index: u64,
    /// When it was written.
    pub(crate) at: OffsetDateTime,
    /// Its type.
    pub(crate) kind: String,
    /// Who should look.
    pub(crate) severity: Severity,
    /// All of it.
    pub(crate) body: Value,
}

enum Sink {
    Journald(journald::Journald),
    Syslog(syslog::Syslog),
    Webhook(Box<webhook::Webhook>),
}

impl Sink {
    /// Hands over messages, in order; returns when all were taken. After an error it is not known which were.
    async fn deliver(&mut self, messages: &[Message], now: OffsetDateTime) -> Result<(), String> {
        match self {
            Self::Journald(sink) => sink.deliver(messages).await,
            Self::Syslog(sink) => sink.deliver(messages).await,
            Self::Webhook(sink) => sink.deliver(messages, now).await,
        }
    }
}

/// One stream, ready to run.
pub struct Feed {
    name: String,
    only: Only,
    reveal: bool,
    sink: Sink,
}

impl Feed {
    /// Reads the secret; connects to nothing yet.
    ///
    /// # Errors
    /// The secret's file.
    pub fn new(config: &Stream) -> Result<Self, KeyFileError> {
        let address = config.address.clone().unwrap_or_default();
        let sink = match config.to {
            Way::Journald => Sink::Journald(journald::Journald::new(&address)),
            Way::Syslog => Sink::Syslog(syslog::Syslog::new(&address, config.ca.clone())),
            Way::Webhook => {
                let path = config.secret.clone().unwrap_or_default();
                let secret = crate::keyfile::shared_secret(&path)?;
                let url = config.url.clone().unwrap_or_default();
                Sink::Webhook(Box::new(webhook::Webhook::new(url, &secret)))
            }
        };
        Ok(Self {
            name: config.name.clone(),
            only: config.only,
            reveal: config.reveal,
            sink,
        })
    }

    /// Delivers for ever.
    pub async fn run(mut self, desk: Desk) {
        let mut pause = FIRST_PAUSE;
        let mut delivered = None;
        loop {
            let waited = match self.step(&desk, &mut delivered).await {
                Ok(true) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Ok(false) => LOOK,
                Err(reason) => {
                    tracing::warn!(
                        stream = self.name,
                        reason,
                        ?pause,
                        "not delivered; tried again"
                    );
                    let waited = pause;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    waited
                }
            };
            tokio::time::sleep(waited).await;
        }
    }

    /// One delivery. `delivered`: the place after what was taken in this life, not yet written down. Returns whether there may be more.
    async fn step(&mut self, desk: &Desk, delivered: &mut Option<u64>) -> Result<bool, String> {
        let said = |error: crate::desk::DeskError| error.to_string();
        // An idle stream writes nothing.
        if let Some(next) = *delivered
            && desk.entries_from(next, 1).await.map_err(said)?.is_empty()
        {
            return Ok(false);
        }
        let Some(next) = desk
            .take_stream(&self.name, *delivered)
            .await
            .map_err(said)?
        else {
            // Another instance delivers; when its lease is over this one reads its place anew.
            *delivered = None;
            tokio::time::sleep(LOOK * 10).await;
            return Ok(false);
        };
        let entries = desk.entries_from(next, BATCH).await.map_err(said)?;
        let Some(after) = entries.last().map(|(stored, _)| stored.index + 1) else {
            *delivered = Some(next);
            return Ok(false);
        };
        let messages: Vec<Message> = entries
            .iter()
            .map(|(stored, entry)| message(desk.log_origin(), stored, entry, self.reveal))
            .filter(|message| self.only == Only::All || message.severity.is_alert())
            .collect();
        if !messages.is_empty() {
            self.sink.deliver(&messages, desk.now()).await?;
        }
        *delivered = Some(after);
        desk.take_stream(&self.name, Some(after))
            .await
            .map_err(said)?;
        Ok(true)
    }
}

fn message(origin: &str, stored: &StoredEntry, entry: &Entry, reveal: bool) -> Message {
    let severity = alert::severity(entry);
    let mut body = json!({
        "log": origin,
        "index": stored.index,
        "severity": severity.as_str(),
        "alert": severity.is_alert(),
        "entry": serde_json::from_slice::<Value>(&stored.body).unwrap_or_default(),
    });
    if let (true, Some(openings), Some(body)) = (reveal, &stored.openings, body.as_object_mut()) {
        let values: serde_json::Map<String, Value> =
            serde_json::from_str::<serde_json::Map<String, Value>>(openings)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(field, opening)| Some((field, opening.get("value")?.clone())))
                .collect();
        body.insert("revealed".to_owned(), Value::Object(values));
    }
    Message {
        index: stored.index,
        at: entry.at(),
        kind: entry.kind().to_owned(),
        severity,
        body,
    }
}
