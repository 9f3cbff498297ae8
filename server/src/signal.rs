//! Suspension travels: what the log says of persons, their sessions and keys, told to services. docs/signals.md.
//!
//! A Shared Signals transmitter (OpenID SSF 1.0): security event tokens (RFC 8417) pushed (RFC 8935) or fetched (RFC 8936), with the events of CAEP and
//! RISC; and SCIM 2.0 (RFC 7644) to services that speak it. The log is the outbox: an entry is written with the change that it tells of, a signal is
//! derived from its entry whenever it is wanted, and each receiver has a durable place in the log. So signals come *at least once*, in order, after a
//! restart too; one instance delivers at a time. Nothing is given up silently: what a receiver refuses for good, or does not take in time, is an alert.
//!
//! Trusts nobody who receives: what they answer is cut off, redirections are not followed, nobody learns of another receiver's accounts. A receiver is
//! told where it may be reached by the configuration alone: no address and no secret comes by the API.

pub(crate) mod config;
pub(crate) mod event;
mod poll;
mod push;
mod run;
mod scim;
pub(crate) mod set;

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use sceau_proof::permit::{Jwks, SigningKey};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use config::{Event, Receiver, Scim, Settings, SubjectForm};
pub use poll::{Poll, Polled, SetError};

use crate::desk::{Desk, DeskError};
use crate::id::ServiceId;
use crate::keyfile::{self, KeyFileError};

/// Who keeps a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File,
    /// Its receiver, by the API.
    Receiver,
}

impl Origin {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Receiver => "receiver",
        }
    }

    /// Reads [`Origin::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::File, Self::Receiver]
            .into_iter()
            .find(|it| it.as_str() == word)
    }
}

/// How signals reach a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// We post them (RFC 8935).
    Push,
    /// It fetches them (RFC 8936).
    Poll,
}

impl Delivery {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }

    /// Reads [`Delivery::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Push, Self::Poll]
            .into_iter()
            .find(|it| it.as_str() == word)
    }

    /// As SSF §6.1 names it.
    #[must_use]
    pub fn urn(self) -> &'static str {
        match self {
            Self::Push => "urn:ietf:rfc:8935",
            Self::Poll => "urn:ietf:rfc:8936",
        }
    }

    /// Reads [`Delivery::urn`] back.
    #[must_use]
    pub fn from_urn(urn: &str) -> Option<Self> {
        [Self::Push, Self::Poll]
            .into_iter()
            .find(|it| it.urn() == urn)
    }
}

/// Whether a stream flows (SSF §8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Enabled,
    /// Signals are kept until it flows again.
    Paused,
    /// Signals are not kept: what happens meanwhile is never told.
    Disabled,
}

impl Status {
    /// On the wire and as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// Reads [`Status::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Enabled, Self::Paused, Self::Disabled]
            .into_iter()
            .find(|it| it.as_str() == word)
    }
}

/// A receiver's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalStream {
    /// Its name.
    pub id: Uuid,
    /// Whose it is.
    pub service: ServiceId,
    /// Who keeps it.
    pub origin: Origin,
    /// Pushed or fetched.
    pub delivery: Delivery,
    /// What the receiver asked for: addresses of event types, also of some that we do not send.
    pub events: Vec<String>,
    /// The receiver's words.
    pub description: Option<String>,
    /// Whether it flows.
    pub status: Status,
    /// Why, in the receiver's words.
    pub reason: Option<String>,
    /// When it last asked for a verification.
    pub asked_at: OffsetDateTime,
}

impl SignalStream {
    /// The name of its place in the log.
    pub(crate) fn place(&self) -> String {
        format!("{PLACES}{}", self.id)
    }
}

/// Places of signals begin so; streams of entries (`[[stream]]`) are called otherwise.
pub(crate) const PLACES: &str = "signal:";

/// How often a receiver may ask for a verification.
pub const VERIFICATION: time::Duration = time::Duration::seconds(10);

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// A key or a secret.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The store.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// The transmitter.
pub struct Signals {
    desk: Desk,
    settings: Settings,
    key: SigningKey,
    retired: Vec<SigningKey>,
    /// Beside `settings.receiver`: what is sent as `Authorization`.
    authorizations: Vec<Option<Zeroizing<String>>>,
    /// Beside `settings.scim`.
    tokens: Vec<Zeroizing<String>>,
}

impl Signals {
    /// Reads keys and secrets, makes the key when it is not there, and writes down which streams the configuration keeps.
    ///
    /// # Errors
    /// [`SignalError`].
    pub async fn start(desk: Desk, settings: &Settings) -> Result<Arc<Self>, SignalError> {
        if !settings.key.exists() {
            keyfile::make_permit_key(&settings.key)?;
        }
        let authorizations = settings
            .receiver
            .iter()
            .map(|receiver| {
                let file = receiver.authorization.as_deref();
                Ok(file
                    .map(keyfile::secret_line)
                    .transpose()?
                    .map(Zeroizing::new))
            })
            .collect::<Result<_, KeyFileError>>()?;
        let tokens = settings
            .scim
            .iter()
            .map(|scim| Ok(Zeroizing::new(keyfile::secret_line(&scim.token)?)))
            .collect::<Result<_, KeyFileError>>()?;
        let retired = settings
            .retired
            .iter()
            .map(|path| keyfile::permit_key(path))
            .collect::<Result<_, _>>()?;
        let kept = settings
            .receiver
            .iter()
            .filter(|receiver| receiver.standing)
            .map(|receiver| {
                let delivery = match receiver.push {
                    Some(_) => Delivery::Push,
                    None => Delivery::Poll,
                };
                let events = receiver.events.iter().map(|it| it.uri().to_owned());
                (receiver.service.clone(), delivery, events.collect())
            })
            .collect();
        let receivers = settings.receiver.iter().map(|it| it.service.clone());
        let places = settings.scim.iter().map(Scim::place).collect();
        desk.keep_signal_streams(kept, receivers.collect(), places)
            .await?;
        Ok(Arc::new(Self {
            key: keyfile::permit_key(&settings.key)?,
            desk,
            settings: settings.clone(),
            retired,
            authorizations,
            tokens,
        }))
    }

    /// Our name in tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.desk.public_url()
    }

    /// The keys that tokens are signed with. They sign nothing else.
    #[must_use]
    pub fn keys(&self) -> Jwks {
        let all = std::iter::once(&self.key).chain(&self.retired);
        Jwks {
            keys: all.map(|key| key.jwk().clone()).collect(),
        }
    }

    /// What is configured of a receiver; `None` when it is none.
    #[must_use]
    pub fn receiver(&self, service: &ServiceId) -> Option<&Receiver> {
        self.settings
            .receiver
            .iter()
            .find(|receiver| receiver.service == *service)
    }

    fn authorization(&self, service: &ServiceId) -> Option<&Zeroizing<String>> {
        let receivers = self.settings.receiver.iter();
        receivers
            .zip(&self.authorizations)
            .find(|(receiver, _)| receiver.service == *service)
            .and_then(|(_, line)| line.as_ref())
    }

    /// A signed token.
    fn signed(&self, claims: &serde_json::Value) -> Result<String, DeskError> {
        self.key
            .jws("secevent+jwt", claims, &SystemRandom::new())
            .map_err(|_| DeskError::Misuse("signing a signal"))
    }
}

/// What of a stream decides whether a signal goes into it.
pub(crate) struct Filter<'a> {
    stream: &'a SignalStream,
    receiver: &'a Receiver,
    excluded: std::collections::BTreeSet<crate::lineage::Node>,
}

impl Filter<'_> {
    /// Whether the receiver of this stream is told.
    pub(crate) fn wants(&self, signal: &event::Signal) -> bool {
        use event::{About, What};

        if let What::Verification { .. } = &signal.what {
            return matches!(&signal.about, About::Stream(id) if *id == self.stream.id);
        }
        let known = signal.what.event().is_some_and(|event| {
            self.receiver.events.contains(&event)
                && self.stream.events.iter().any(|asked| asked == event.uri())
        });
        let theirs = match &signal.about {
            About::Person(_) | About::Session(..) => true,
            About::Account(service, _) => *service == self.stream.service,
            About::Stream(_) => false,
        };
        known
            && theirs
            && !signal
                .about
                .node()
                .is_some_and(|node| self.excluded.contains(&node))
    }
}
