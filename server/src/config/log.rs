//! `[log]`: who witnesses the log, and which actions wait for them.

use std::collections::BTreeMap;

use sceau_proof::log::note::{KeyKind, VerifyingKey};
use serde::Deserialize;
use time::Duration;

use super::{ConfigError, Span};
use crate::web;

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `[[log.witness]]`.
    #[serde(default)]
    pub witness: Vec<Witness>,
    /// How long the gate, and a service that asks for a permit, wait for cosignatures that are missing.
    #[serde(default = "default_patience")]
    pub patience: Span,
    /// Cosignatures that a permit needs, by action type (`account.create`, `right.*`, `*`); a policy may demand more.
    #[serde(default)]
    pub cosignatures: BTreeMap<String, u32>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            witness: Vec::new(),
            patience: default_patience(),
            cosignatures: BTreeMap::new(),
        }
    }
}

/// `[[log.witness]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Its verifier key, as `sceau-witness init` printed it.
    pub vkey: String,
    /// Its submission prefix; `/add-checkpoint` is appended.
    pub url: String,
}

fn default_patience() -> Span {
    Span(Duration::seconds(10))
}

impl Witness {
    /// The key, parsed; `None` when it is not a witness's.
    #[must_use]
    pub fn key(&self) -> Option<VerifyingKey> {
        VerifyingKey::parse(&self.vkey)
            .ok()
            .filter(|key| key.kind() == KeyKind::Witness)
    }
}

impl Log {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        let mut names = Vec::new();
        for witness in &self.witness {
            let Some(key) = witness.key() else {
                return reject("log.witness.vkey", "fault-witness-key");
            };
            if names.contains(&key.name().to_owned()) {
                return reject("log.witness.vkey", "fault-witness-name");
            }
            names.push(key.name().to_owned());
            if !web::may_be_asked(&witness.url) {
                return reject("log.witness.url", "fault-https-or-loopback");
            }
        }
        if self.patience.0 < Duration::ZERO || self.patience.0 > Duration::minutes(2) {
            return Err(ConfigError::OutOfRange {
                key: "log.patience",
                least: "0s",
                most: "2m",
            });
        }
        if self
            .cosignatures
            .values()
            .any(|count| usize::try_from(*count).is_ok_and(|count| count > self.witness.len()))
        {
            return reject("log.cosignatures", "fault-cosignatures-too-many");
        }
        Ok(())
    }
}
