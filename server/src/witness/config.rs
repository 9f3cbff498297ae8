//! A witness's configuration (TOML). Paths are relative to the file's folder; unknown keys are errors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sceau_proof::log::note::{KeyKind, SigningKey, VerifyingKey};
use serde::Deserialize;
use time::Duration;

use super::SetupError;
use crate::config::Span;
use crate::keyfile::{self, KeyFileError};
use crate::port::Ports;
use crate::web;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The witness's name, as it stands in cosignatures: a host name and path of whoever runs it.
    pub name: String,
    /// Its Ed25519 seed (0600), written by `sceau-witness init`.
    pub key: PathBuf,
    /// Its verifier key, written beside: for logs and auditors.
    pub vkey: PathBuf,
    /// What it has cosigned. Never restored from a backup.
    pub state: PathBuf,
    /// Where it listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificate chain (PEM). Without it only loopback is served.
    #[serde(default)]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// How often logs with a `url` are read.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How long one request to a log may take.
    #[serde(default = "default_patience")]
    pub patience: Span,
    /// A program and its arguments that gets each alert as a line of JSON.
    #[serde(default)]
    pub alert: Vec<String>,
    /// The logs.
    #[serde(default)]
    pub log: Vec<Followed>,
}

/// `[[log]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// The log's verifier keys, all of one name (two while a key is being replaced).
    pub vkeys: Vec<String>,
    /// Where its files are, as everyone sees them. Without it only what the log sends is checked.
    #[serde(default)]
    pub url: Option<String>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8450))
}
fn default_interval() -> Span {
    Span(Duration::minutes(1))
}
fn default_patience() -> Span {
    Span(Duration::seconds(15))
}

impl Followed {
    /// The keys, parsed.
    pub(super) fn keys(&self) -> Result<Vec<VerifyingKey>, String> {
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for text in &self.vkeys {
            let key = VerifyingKey::parse(text).map_err(|error| format!("log.vkeys: {error}"))?;
            let same_name = keys.first().is_none_or(|first| first.name() == key.name());
            if key.kind() != KeyKind::Log || !same_name {
                return Err("log.vkeys: verifier keys of one log".to_owned());
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err("log.vkeys: at least one".to_owned());
        }
        if self
            .url
            .as_deref()
            .is_some_and(|url| !web::may_be_asked(url))
        {
            return Err("log.url: an https address, or http on loopback".to_owned());
        }
        Ok(keys)
    }
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SetupError::Config`].
    pub fn load(path: &Path) -> Result<Self, SetupError> {
        let wrong = |error: &dyn std::fmt::Display| {
            SetupError::Config(format!("{}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let tls = [config.tls_cert.as_mut(), config.tls_key.as_mut()];
        let own = [&mut config.key, &mut config.vkey, &mut config.state];
        for path in own.into_iter().chain(tls.into_iter().flatten()) {
            *path = folder.join(&path);
        }
        if config.tls_cert.is_some() != config.tls_key.is_some() {
            return Err(wrong(&"tls_cert needs tls_key, and the other way round"));
        }
        if config.tls_cert.is_none() && !config.listen.ip().is_loopback() {
            return Err(wrong(&"listen: without TLS only loopback is served"));
        }
        if config.interval.0 < Duration::milliseconds(100) || config.interval.0 > Duration::days(1)
        {
            return Err(wrong(&"interval: between 100ms and 1d"));
        }
        for log in &config.log {
            log.keys().map_err(|error| wrong(&error))?;
        }
        Ok(config)
    }

    pub(super) fn signing_key(&self) -> Result<SigningKey, KeyFileError> {
        keyfile::note_key(&self.key, &self.name, KeyKind::Witness)
    }

    pub(super) fn make_key(&self, ports: &Ports) -> Result<VerifyingKey, KeyFileError> {
        keyfile::make_note_key(&self.key, &self.vkey, &self.name, KeyKind::Witness, ports)
    }
}
