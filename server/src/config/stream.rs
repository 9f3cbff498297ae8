//! `[[stream]]`: where entries of the log are sent as they are written.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::web;

/// `[[stream]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Its name: its place in the log is kept under it.
    pub name: String,
    /// By which way.
    pub to: Way,
    /// Syslog: `unix:/dev/log`, `udp:host:514`, `tcp:host:601`, `tls:host:6514`. Journald: `unix:PATH`, its own socket when not given.
    #[serde(default)]
    pub address: Option<String>,
    /// Syslog over TLS: certificate authorities (PEM) instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Webhook: an https address.
    #[serde(default)]
    pub url: Option<String>,
    /// Webhook: file (0600) with the shared secret, at least 32 characters.
    #[serde(default)]
    pub secret: Option<PathBuf>,
    /// Every entry, or what somebody should look at (docs/alerts.md).
    #[serde(default)]
    pub only: Only,
    /// Readable persons beside the commitments. They leave this server then, and its erasures do not reach them.
    #[serde(default)]
    pub reveal: bool,
}

/// How entries leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// systemd's journal.
    Journald,
    /// RFC 5424.
    Syslog,
    /// Signed HTTPS requests.
    Webhook,
}

/// Which entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// All of them.
    #[default]
    All,
    /// Warnings and alerts.
    Alerts,
}

impl Stream {
    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in [self.secret.as_mut(), self.ca.as_mut()]
            .into_iter()
            .flatten()
        {
            *path = folder.join(&path);
        }
    }

    pub(super) fn check(streams: &[Self]) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        for (index, stream) in streams.iter().enumerate() {
            if stream.name.is_empty()
                || stream.name.len() > 64
                || stream.name.starts_with(crate::signal::PLACES)
                || streams.iter().take(index).any(|it| it.name == stream.name)
            {
                return reject("stream.name", "fault-stream-name");
            }
            match stream.to {
                Way::Webhook => {
                    if !stream.url.as_deref().is_some_and(web::may_be_asked) {
                        return reject("stream.url", "fault-https-or-loopback");
                    }
                    if stream.secret.is_none() {
                        return reject("stream.secret", "fault-stream-secret");
                    }
                }
                Way::Syslog => {
                    let known = ["unix:", "udp:", "tcp:", "tls:"];
                    if !stream
                        .address
                        .as_deref()
                        .is_some_and(|it| known.iter().any(|way| it.starts_with(way)))
                    {
                        return reject("stream.address", "fault-stream-address");
                    }
                }
                Way::Journald => {
                    if stream
                        .address
                        .as_deref()
                        .is_some_and(|it| !it.starts_with("unix:"))
                    {
                        return reject("stream.address", "fault-stream-journald");
                    }
                }
            }
        }
        Ok(())
    }
}
