//! `[signal]`: who is told, how, and of what. Secrets are files, 0600.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::Duration;

use crate::config::{ConfigError, Span};
use crate::id::{PersonId, ServiceId};
use crate::keyfile::{self, KeyFileError};
use crate::web;

/// `[signal]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// ES256 private key that signs signals (PKCS#8 PEM, 0600). Made at the first start when it is not there; it signs nothing else.
    pub key: PathBuf,
    /// Keys that signed before and are still published.
    #[serde(default)]
    pub retired: Vec<PathBuf>,
    /// A receiver that takes nothing for so long is an alert.
    #[serde(default = "default_alert_after")]
    pub alert_after: Span,
    /// For how long a signal that its receiver refuses is offered again, before it is left out, with an alert, and the next one comes.
    #[serde(default = "default_give_up")]
    pub give_up: Span,
    /// Receivers of Shared Signals.
    #[serde(default)]
    pub receiver: Vec<Receiver>,
    /// Services with a SCIM interface.
    #[serde(default)]
    pub scim: Vec<Scim>,
}

fn default_alert_after() -> Span {
    Span(Duration::minutes(5))
}
fn default_give_up() -> Span {
    Span(Duration::hours(1))
}

/// `[[signal.receiver]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// A `[[service]]`: its token opens the stream's API, and fetches.
    pub service: ServiceId,
    /// `aud` of its tokens; the service's id when not given.
    #[serde(default)]
    pub audience: Option<String>,
    /// Where tokens are posted (RFC 8935); without it they are fetched (RFC 8936).
    #[serde(default)]
    pub push: Option<String>,
    /// File (0600) with what is sent as `Authorization` there, all of it: `Bearer …`.
    #[serde(default)]
    pub authorization: Option<PathBuf>,
    /// How persons are named.
    #[serde(default)]
    pub subject: SubjectForm,
    /// Of what it may hear.
    #[serde(default = "Event::all")]
    pub events: Vec<Event>,
    /// The stream is there from the start. `false`: the receiver opens and closes it by the API.
    #[serde(default = "yes")]
    pub standing: bool,
}

fn yes() -> bool {
    true
}

impl Receiver {
    /// `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(self.service.as_str())
    }
}

/// How a person is named to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectForm {
    /// By our identifier of them: `{"format":"iss_sub","iss":<our origin>,"sub":<person>}`.
    #[default]
    Person,
    /// By that, and by every identity at a provider that they sealed: `{"format":"aliases",…}`.
    Identities,
}

/// What a receiver may hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// RISC: somebody, or an account, was suspended.
    AccountDisabled,
    /// RISC: and may act again.
    AccountEnabled,
    /// CAEP: sessions are over.
    SessionRevoked,
    /// CAEP: a key was enrolled, suspended or revoked.
    CredentialChange,
}

impl Event {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::AccountDisabled,
            Self::AccountEnabled,
            Self::SessionRevoked,
            Self::CredentialChange,
        ]
    }

    /// Its address.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::AccountDisabled => {
                "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
            }
            Self::AccountEnabled => {
                "https://schemas.openid.net/secevent/risc/event-type/account-enabled"
            }
            Self::SessionRevoked => {
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
            }
            Self::CredentialChange => {
                "https://schemas.openid.net/secevent/caep/event-type/credential-change"
            }
        }
    }
}

/// `[[signal.scim]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scim {
    /// Its name: its place in the log is kept under it.
    pub name: String,
    /// Base address: `/Users` follows.
    pub url: String,
    /// File (0600) with its bearer token.
    pub token: PathBuf,
    /// The attribute that holds our identifier of a person.
    #[serde(default = "default_lookup")]
    pub lookup: String,
    /// SCIM ids of persons, for those whom the look-up does not find.
    #[serde(default)]
    pub ids: BTreeMap<PersonId, String>,
    /// The service whose accounts, made by suspended persons, live there.
    #[serde(default)]
    pub service: Option<ServiceId>,
    /// The attribute that holds the service's own identifier of an account; `id`: that identifier is the SCIM id.
    #[serde(default = "default_account")]
    pub account: String,
}

fn default_lookup() -> String {
    "externalId".to_owned()
}
fn default_account() -> String {
    "id".to_owned()
}

impl Scim {
    /// The name of its place in the log.
    #[must_use]
    pub(crate) fn place(&self) -> String {
        format!("{}scim:{}", super::PLACES, self.name)
    }
}

impl Settings {
    /// Paths are relative to `folder`.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        let authorizations = self
            .receiver
            .iter_mut()
            .filter_map(|receiver| receiver.authorization.as_mut());
        let tokens = self.scim.iter_mut().map(|scim| &mut scim.token);
        for path in std::iter::once(&mut self.key)
            .chain(&mut self.retired)
            .chain(authorizations)
            .chain(tokens)
        {
            *path = folder.join(&path);
        }
    }

    /// Whether every file can be used; the key may not be there yet.
    ///
    /// # Errors
    /// The first that cannot.
    pub(crate) fn check_files(&self) -> Result<(), KeyFileError> {
        let keys = self.key.exists().then_some(&self.key);
        for key in keys.into_iter().chain(&self.retired) {
            keyfile::permit_key(key)?;
        }
        let authorizations = self
            .receiver
            .iter()
            .filter_map(|it| it.authorization.as_ref());
        for secret in authorizations.chain(self.scim.iter().map(|it| &it.token)) {
            keyfile::secret_line(secret)?;
        }
        Ok(())
    }

    /// What makes no sense. `services`: those that are configured.
    pub(crate) fn check(&self, services: &[&ServiceId]) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        for (n, receiver) in self.receiver.iter().enumerate() {
            if !services.contains(&&receiver.service) {
                return reject("signal.receiver.service", "fault-receiver-service");
            }
            let others = self.receiver.iter().skip(n + 1);
            if others.into_iter().any(|it| it.service == receiver.service) {
                return reject("signal.receiver.service", "fault-receiver-twice");
            }
            if receiver
                .push
                .as_deref()
                .is_some_and(|url| !web::may_be_asked(url))
            {
                return reject("signal.receiver.push", "fault-https-or-loopback");
            }
            if receiver.push.is_none() && receiver.authorization.is_some() {
                return reject("signal.receiver.authorization", "fault-receiver-push");
            }
        }
        for (n, scim) in self.scim.iter().enumerate() {
            let named = !scim.name.is_empty() && scim.name.len() <= 48;
            if !named || self.scim.iter().skip(n + 1).any(|it| it.name == scim.name) {
                return reject("signal.scim.name", "fault-scim-name");
            }
            if !web::may_be_asked(&scim.url) || scim.url.contains(['?', '#']) {
                return reject("signal.scim.url", "fault-https-or-loopback");
            }
            if [&scim.lookup, &scim.account]
                .iter()
                .any(|it| !is_attribute(it))
            {
                return reject("signal.scim.lookup", "fault-scim-lookup");
            }
        }
        if self.alert_after.0 <= Duration::ZERO || self.give_up.0 <= Duration::ZERO {
            return reject("signal.give_up", "fault-signal-give-up");
        }
        Ok(())
    }
}

fn is_attribute(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-' | '$');
    !text.is_empty() && text.len() <= 128 && text.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), ConfigError> {
        let portal: ServiceId = "portal".parse().unwrap();
        let settings: Settings = toml::from_str(&format!("key = \"k\"\n{text}")).unwrap();
        settings.check(&[&portal])
    }

    #[test]
    fn receivers_are_services_and_addresses_are_safe() {
        let receiver = "[[receiver]]\nservice = \"portal\"\n";
        for good in [
            receiver.to_owned(),
            format!("{receiver}push = \"https://p.example/ssf\"\nauthorization = \"a\""),
            "[[scim]]\nname = \"p\"\nurl = \"http://127.0.0.1:1/scim\"\ntoken = \"t\"".to_owned(),
        ] {
            assert_eq!(check(&good), Ok(()), "{good}");
        }
        for bad in [
            "[[receiver]]\nservice = \"other\"".to_owned(),
            format!("{receiver}{receiver}"),
            format!("{receiver}push = \"http://p.example/ssf\""),
            format!("{receiver}authorization = \"a\""),
            "[[scim]]\nname = \"\"\nurl = \"https://p.example\"\ntoken = \"t\"".to_owned(),
            "[[scim]]\nname = \"p\"\nurl = \"http://p.example\"\ntoken = \"t\"".to_owned(),
            "[[scim]]\nname = \"p\"\nurl = \"https://p.example\"\ntoken = \"t\"\nlookup = \"a eq 1 or b\"".to_owned(),
            format!("give_up = \"0s\"\n{receiver}"),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
    }
}
