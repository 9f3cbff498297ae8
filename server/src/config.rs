//! Configuration: a TOML file, every key also as `SCEAU_SECTION__KEY` in the environment. Secrets are never in it: it names files.
//!
//! Paths are relative to the file's own folder. Unknown keys are errors: a misspelt protection is none.
//! Trusts the file and the environment: whoever writes them is the administrator.

mod log;
mod piv;
mod stream;

pub use log::{Log, Witness};
pub(crate) use piv::is_address;
pub use piv::{Edition, Firmware, Piv, PivIssuer};
pub use stream::{Only, Stream, Way};

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sceau_locale::{Language, foreign};
use serde::{Deserialize, Deserializer, de};
use time::Duration;

use crate::id::ServiceId;
use crate::rate::Limits;

/// A span of time, written `90s`, `5m`, `8h`, `3d` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// For timers; zero when negative.
    #[must_use]
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::try_from(self.0).unwrap_or_default()
    }

    /// Reads `90s`, `5m`, `8h`, `3d`, `500ms`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(split)?;
        let number: i64 = number.parse().ok()?;
        let unit = match unit {
            "ms" => return Some(Self(Duration::milliseconds(number))),
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => return None,
        };
        Some(Self(Duration::seconds(number.checked_mul(unit)?)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.whole_seconds();
        match seconds {
            s if self.0.subsec_nanoseconds() != 0 => write!(
                f,
                "{}ms",
                s * 1000 + i64::from(self.0.subsec_milliseconds())
            ),
            s if s % 86400 == 0 && s != 0 => write!(f, "{}d", s / 86400),
            s if s % 3600 == 0 && s != 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 && s != 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("a span of time is written 90s, 5m, 8h, 3d or 500ms"))
    }
}

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where the API listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The https origin by which browsers reach it; also in links.
    pub public_url: String,
    /// WebAuthn's relying party id: fixed for ever, since every key is bound to it.
    pub rp_id: String,
    /// How people call this server.
    #[serde(default = "default_rp_name")]
    pub rp_name: String,
    /// Certificate chain (PEM). Without it only loopback is served.
    #[serde(default)]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Name of this instance; instances of one store have different ones.
    #[serde(default = "default_instance")]
    pub instance: String,
    /// How long a sealed session lives.
    #[serde(default = "default_session")]
    pub session_lifetime: Span,
    /// How long an invitation is good.
    #[serde(default = "default_invitation")]
    pub invitation_lifetime: Span,
    /// Connections served at one time.
    #[serde(default = "default_connections")]
    pub connections: usize,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8440))
}
fn default_rp_name() -> String {
    "Sceau".to_owned()
}
fn default_instance() -> String {
    "main".to_owned()
}
fn default_session() -> Span {
    Span(Duration::hours(12))
}
fn default_invitation() -> Span {
    Span(Duration::days(3))
}
fn default_connections() -> usize {
    12_000
}

/// `[store]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// `sqlite:PATH` or `postgres://…`.
    #[serde(default)]
    pub url: String,
    /// Instead: a file (0600) that holds the URL, where it has a password in it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Connections for reading.
    #[serde(default = "default_readers")]
    pub readers: u32,
    /// Commits do not wait for the disk. For measuring alone.
    #[serde(default)]
    pub danger_no_durability: bool,
}

fn default_readers() -> u32 {
    4
}

/// `[keys]`: files that `init` writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// ES256 private key that signs permits (PKCS#8 PEM, 0600).
    pub permit: PathBuf,
    /// Ed25519 seed that signs the log's checkpoints (0600).
    pub log: PathBuf,
    /// The log's verification key, for auditors; written beside.
    pub log_vkey: PathBuf,
    /// The log's origin; fixed for ever.
    pub log_origin: String,
}

/// `[policy]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// A folder of `*.cedar`, `*.cedarschema` and `roles.toml`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Files of these kinds, in the place of a folder or besides.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

impl PolicySection {
    /// Where the policy lies.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.folder.iter().chain(&self.files).cloned().collect()
    }
}

/// `[attestation]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Folder of vendors' anchors (PEM).
    pub anchors: PathBuf,
    /// Which models are wanted (TOML). Without it: the shipped policy when metadata is configured, else every attested key that the
    /// anchors vouch for, with user verification and not copyable.
    #[serde(default)]
    pub models: Option<PathBuf>,
}

/// `[metadata]`: the FIDO Alliance's signed list of models and their standing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Where the list comes from.
    pub source: MetadataSource,
    /// The root that its signer's chain leads to (PEM); the one that is shipped when not given.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// The name that the signer's certificate bears.
    #[serde(default = "default_leaf_name")]
    pub leaf_name: String,
    /// How often the source is asked.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
    /// How long the list may be overdue (past its `nextUpdate`) before nothing is believed any more. Whole days.
    #[serde(default = "default_grace")]
    pub grace: Span,
    /// Where the last good list is kept, for a start without the source.
    #[serde(default = "default_cache")]
    pub cache: PathBuf,
}

/// A file, or a web address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataSource {
    /// A file that somebody else keeps current.
    File(PathBuf),
    /// `https://…`, or `http://` on loopback.
    Url(String),
}

impl<'de> Deserialize<'de> for MetadataSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let loopback = text.strip_prefix("http://").is_some_and(|rest| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
            matches!(host, "127.0.0.1" | "localhost") && port.parse::<u16>().is_ok()
        });
        if loopback || text.starts_with("https://") {
            Ok(Self::Url(text))
        } else {
            Err(de::Error::custom(
                "a metadata source is a file, an https address, or http on loopback",
            ))
        }
    }
}

impl fmt::Display for MetadataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

fn default_leaf_name() -> String {
    sceau_proof::metadata::LEAF_NAME.to_owned()
}
fn default_refresh() -> Span {
    Span(Duration::hours(6))
}
fn default_grace() -> Span {
    Span(Duration::days(14))
}
fn default_cache() -> PathBuf {
    PathBuf::from("metadata.jwt")
}

/// `[[service]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Identifier.
    pub id: ServiceId,
    /// SHA-256 of its token, hexadecimal; absent when it speaks OAuth alone.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// `[service.oauth]`: its own keys, by which it shows who it is.
    #[serde(default)]
    pub oauth: Option<crate::oauth::Registration>,
    /// Where it stands in the file, from 1.
    #[serde(skip)]
    pub line: Option<usize>,
}

/// What is said of a service that speaks OAuth cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct ServiceError {
    /// Where the service stands in the file.
    pub line: Option<usize>,
    /// What is wrong.
    pub error: crate::oauth::RegistrationError,
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[store]`.
    pub store: StoreSection,
    /// `[keys]`.
    pub keys: Keys,
    /// `[policy]`.
    pub policy: PolicySection,
    /// `[attestation]`.
    pub attestation: Attestation,
    /// `[metadata]`.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// `[piv]`.
    #[serde(default)]
    pub piv: Option<Piv>,
    /// `[presence]`.
    #[serde(default)]
    pub presence: Option<crate::presence::Presence>,
    /// `[log]`.
    #[serde(default)]
    pub log: Log,
    /// `[[stream]]`.
    #[serde(default)]
    pub stream: Vec<Stream>,
    /// `[signal]`.
    #[serde(default)]
    pub signal: Option<crate::signal::Settings>,
    /// `[dormancy]`.
    #[serde(default)]
    pub dormancy: Option<crate::dormancy::Dormancy>,
    /// `[limit]`.
    #[serde(default)]
    pub limit: Limits,
    /// `[[service]]`.
    #[serde(default)]
    pub service: Vec<Service>,
    /// `[gate]`.
    #[serde(default)]
    pub gate: Option<crate::gate::Settings>,
    /// `[provider]`.
    #[serde(default)]
    pub provider: Option<crate::provider::Settings>,
    /// SHA-256 of all of it, as it was given: file and environment.
    #[serde(skip)]
    pub sha256: [u8; 32],
}

/// The configuration cannot be used. `Display` is for logs, in English; [`ConfigError::tell`] for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Does not parse, or a key is unknown or missing.
    Malformed(String),
    /// Parses, and makes no sense.
    Rejected {
        /// Which key.
        key: &'static str,
        /// Which text of the catalogue says why.
        problem: &'static str,
    },
    /// A value that is too small or too large.
    OutOfRange {
        /// Which key.
        key: &'static str,
        /// The least that it may be, as it is written.
        least: &'static str,
        /// The most.
        most: &'static str,
    },
    /// The same, and the line of the file where it stands.
    At {
        /// Which line, from 1.
        line: usize,
        /// What is wrong there.
        error: Box<ConfigError>,
    },
}

impl ConfigError {
    /// With the line of `text` where the key stands, where it does.
    fn at(self, text: &str) -> Self {
        let found = match &self {
            Self::Rejected { key, .. } | Self::OutOfRange { key, .. } => line_of(text, key, None),
            _ => None,
        };
        match found {
            Some(line) => Self::At {
                line,
                error: Box::new(self),
            },
            None => self,
        }
    }

    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::Unreadable { path, reason } => language.text_with(
                "fault-unreadable",
                &[
                    ("path", path.display().to_string().into()),
                    ("reason", foreign(language, reason).into()),
                ],
            ),
            Self::Malformed(report) => foreign(language, report),
            Self::Rejected { key, problem } => language.text_with(
                "fault-rejected",
                &[
                    ("key", (*key).into()),
                    ("problem", language.text(problem).into()),
                ],
            ),
            Self::OutOfRange { key, least, most } => language.text_with(
                "fault-out-of-range",
                &[
                    ("key", (*key).into()),
                    ("least", (*least).into()),
                    ("most", (*most).into()),
                ],
            ),
            Self::At { line, error } => language.text_with(
                "fault-at-line",
                &[
                    ("line", line.to_string().into()),
                    ("what", error.tell(language).into()),
                ],
            ),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

/// The first line on which this key stands (`section.key`), with this value where one is given.
fn line_of(text: &str, key: &str, value: Option<&str>) -> Option<usize> {
    let (section, key) = key.rsplit_once('.').unwrap_or((key, ""));
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']', ' ']) == section;
            if inside && key.is_empty() {
                return Some(n + 1);
            }
        } else if let (true, Some((name, said))) = (inside, line.split_once('='))
            && name.trim() == key
            && value.is_none_or(|value| said.trim().trim_matches(['"', '\'']) == value)
        {
            return Some(n + 1);
        }
    }
    None
}

impl Config {
    /// The services that speak OAuth, with their keys.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn oauth_clients(&self) -> Result<Vec<crate::oauth::Client>, ServiceError> {
        self.service
            .iter()
            .filter_map(|service| service.oauth.as_ref().map(|oauth| (service, oauth)))
            .map(|(service, oauth)| {
                crate::oauth::Client::read(&service.id, oauth).map_err(|error| ServiceError {
                    line: service.line,
                    error,
                })
            })
            .collect()
    }

    /// Reads the file, with `environment` (`SCEAU_SECTION__KEY` → value) over it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
            .to_owned();
        Self::parse(&text, environment, folder)
    }

    /// As [`Config::load`], from text.
    ///
    /// # Errors
    /// `Malformed`, `Rejected`.
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        folder: PathBuf,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| ConfigError::Malformed(error.to_string()))?;
        for (name, value) in environment {
            if let Some(name) = name
                .strip_prefix("SCEAU_")
                .filter(|name| name.contains("__"))
            {
                overlay(&mut table, &name.to_ascii_lowercase(), &value);
            }
        }
        let given = toml::to_string(&table).unwrap_or_default();
        let mut config: Self =
            toml::Value::Table(table)
                .try_into()
                .map_err(|error: toml::de::Error| {
                    // The same fault in the text itself has a line; one of the environment has none.
                    let of_text = toml::from_str::<Self>(text).err();
                    ConfigError::Malformed(of_text.unwrap_or(error).to_string())
                })?;
        for service in &mut config.service {
            service.line = line_of(text, "service.id", Some(service.id.as_str()));
        }
        config.sha256 = sceau_proof::log::entry::sha256(given.as_bytes());
        config.resolve(&folder);
        config.check().map_err(|error| error.at(text))?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let paths = [
            Some(&mut self.keys.permit),
            Some(&mut self.keys.log),
            Some(&mut self.keys.log_vkey),
            self.policy.folder.as_mut(),
            Some(&mut self.attestation.anchors),
            self.attestation.models.as_mut(),
            self.server.tls_cert.as_mut(),
            self.server.tls_key.as_mut(),
            self.store.url_file.as_mut(),
        ];
        let gate = self.gate.iter_mut().flat_map(|gate| {
            let tls = gate
                .tls
                .iter_mut()
                .flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
            gate.routes.iter_mut().chain(tls)
        });
        let metadata = self.metadata.iter_mut().flat_map(|metadata| {
            let file = match &mut metadata.source {
                MetadataSource::File(path) => Some(path),
                MetadataSource::Url(_) => None,
            };
            [file, metadata.root.as_mut(), Some(&mut metadata.cache)]
                .into_iter()
                .flatten()
        });
        for path in paths.into_iter().flatten().chain(gate).chain(metadata) {
            *path = folder.join(&path);
        }
        if let Some(piv) = &mut self.piv {
            piv.resolve(folder);
        }
        if let Some(provider) = &mut self.provider {
            provider.resolve(folder);
        }
        for stream in &mut self.stream {
            stream.resolve(folder);
        }
        for service in &mut self.service {
            if let Some(oauth) = &mut service.oauth {
                oauth.resolve(folder);
            }
        }
        if let Some(signal) = &mut self.signal {
            signal.resolve(folder);
        }
        if let Some(login) = self.gate.as_mut().and_then(|gate| gate.login.as_mut()) {
            login.resolve(folder);
        }
        if let Some(path) = self.store.url.strip_prefix("sqlite:") {
            // `sqlite://relative`, `sqlite:relative` and `sqlite:///absolute` alike.
            let path = folder.join(path.strip_prefix("//").unwrap_or(path));
            self.store.url = format!("sqlite://{}", path.display());
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        let server = &self.server;
        let host = server
            .public_url
            .strip_prefix("https://")
            .or_else(|| server.public_url.strip_prefix("http://localhost"))
            .or_else(|| server.public_url.strip_prefix("http://127.0.0.1"));
        let Some(rest) = host else {
            return reject("server.public_url", "fault-public-url");
        };
        if rest.contains('/') || rest.contains('?') {
            return reject("server.public_url", "fault-public-url-origin");
        }
        if server.rp_id.is_empty()
            || server.rp_id.contains(['/', ':', ' '])
            || server.rp_id != server.rp_id.to_ascii_lowercase()
        {
            return reject("server.rp_id", "fault-host-name");
        }
        if server.instance.is_empty() || server.instance.len() > 64 {
            return reject("server.instance", "fault-instance-name");
        }
        if self.store.url.is_empty() == self.store.url_file.is_none() {
            return reject("store.url", "fault-store-url");
        }
        if server.tls_cert.is_some() != server.tls_key.is_some() {
            return reject("server.tls_cert", "fault-tls-pair");
        }
        if server.tls_cert.is_none() && !server.listen.ip().is_loopback() {
            return reject("server.listen", "fault-tls-loopback");
        }
        if let Some(provider) = &self.provider {
            provider.check()?;
        }
        if let Some(metadata) = &self.metadata {
            if metadata.refresh.0 < Duration::milliseconds(100)
                || metadata.refresh.0 > Duration::days(7)
            {
                return Err(ConfigError::OutOfRange {
                    key: "metadata.refresh",
                    least: "100ms",
                    most: "7d",
                });
            }
            if metadata.grace.0 < Duration::ZERO || metadata.grace.0 > Duration::days(90) {
                return Err(ConfigError::OutOfRange {
                    key: "metadata.grace",
                    least: "0s",
                    most: "90d",
                });
            }
        }
        if server.session_lifetime.0 <= Duration::ZERO
            || server.session_lifetime.0 > Duration::days(31)
        {
            return Err(ConfigError::OutOfRange {
                key: "server.session_lifetime",
                least: "1s",
                most: "31d",
            });
        }
        if let Some(piv) = &self.piv {
            piv.check()?;
        }
        if let Some(presence) = &self.presence {
            presence.check()?;
        }
        self.log.check()?;
        Stream::check(&self.stream)?;
        if let Some(signal) = &self.signal {
            let services: Vec<&ServiceId> = self.service.iter().map(|it| &it.id).collect();
            signal.check(&services)?;
        }
        if self.dormancy.is_some_and(|rule| !rule.is_sound()) {
            return reject("dormancy", "fault-dormancy");
        }
        for service in &self.service {
            if service.id.as_str() == crate::policy::OWN_SERVICE {
                return reject("service.id", "fault-service-own");
            }
            let digest = service.token_sha256.as_ref();
            if digest.is_none() && service.oauth.is_none() {
                return reject("service.id", "fault-service-credential");
            }
            if !digest.is_none_or(|digest| hex::decode(digest).is_ok_and(|it| it.len() == 32)) {
                return reject("service.token_sha256", "fault-service-token");
            }
            if self
                .service
                .iter()
                .filter(|other| {
                    other.id == service.id
                        || digest.is_some() && other.token_sha256.as_ref() == digest
                })
                .count()
                > 1
            {
                return reject("service.id", "fault-service-twice");
            }
        }
        Ok(())
    }

    /// The browser's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.server.public_url
    }

    /// The agent's origin.
    #[must_use]
    pub fn agent_origin(&self) -> String {
        format!("sceau-agent://{}", self.server.rp_id)
    }
}

fn overlay(table: &mut toml::Table, name: &str, value: &str) {
    let mut parts: Vec<&str> = name.split("__").collect();
    let Some(last) = parts.pop() else { return };
    let mut place = table;
    for part in parts {
        let entry = place
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let toml::Value::Table(inner) = entry else {
            return;
        };
        place = inner;
    }
    place.insert(last.to_owned(), scalar(value));
}

/// `true`, numbers and quoted strings as TOML reads them; anything else is text.
fn scalar(value: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .filter(|value| !value.is_datetime())
        .unwrap_or_else(|| toml::Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        [server]
        public_url = "https://sceau.example"
        rp_id = "sceau.example"
        [store]
        url = "sqlite:sceau.db"
        [keys]
        permit = "permit.pem"
        log = "log.key"
        log_vkey = "log.vkey"
        log_origin = "sceau.example/log"
        [policy]
        folder = "policy"
        [attestation]
        anchors = "anchors"
    "#;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::parse(text, environment, PathBuf::from("/etc/sceau"))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(MINIMAL, &[]).unwrap();
        assert_eq!(config.keys.permit, Path::new("/etc/sceau/permit.pem"));
        assert_eq!(config.store.url, "sqlite:///etc/sceau/sceau.db");
        assert!(config.server.listen.ip().is_loopback());
    }

    #[test]
    fn the_environment_overrides_every_key() {
        let config = parse(
            MINIMAL,
            &[
                ("SCEAU_SERVER__LISTEN", "127.0.0.1:9"),
                ("SCEAU_LIMIT__PENDING", "7"),
                ("SCEAU_STORE__URL", "postgres:///sceau"),
                ("SCEAU_LOG", "ignored"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.listen.port(), 9);
        assert_eq!(config.limit.pending, 7);
        assert_eq!(config.store.url, "postgres:///sceau");
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let text = MINIMAL.replace("rp_id =", "rp_idd =");
        assert!(matches!(parse(&text, &[]), Err(ConfigError::Malformed(_))));
    }

    #[test]
    fn a_fault_has_its_line() {
        let line = |text: &str| text.lines().count();
        let misspelt = format!("{MINIMAL}[[service]]\nid = \"portal\"\ntokensha256 = \"x\"\n");
        let error = parse(&misspelt, &[]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {}", line(&misspelt))),
            "{error}"
        );
        let bare = format!("{MINIMAL}[[service]]\nid = \"portal\"\n");
        let error = parse(&bare, &[]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("line {}: service.id", line(&bare))),
            "{error}"
        );
        let keyless = format!("{bare}[service.oauth]\nredirect_uris = []\n");
        let error = parse(&keyless, &[]).unwrap().oauth_clients().err().unwrap();
        assert_eq!(error.line, Some(line(&bare)), "{error}");
    }

    #[test]
    fn plain_http_beyond_loopback_is_refused() {
        let outside = parse(MINIMAL, &[("SCEAU_SERVER__LISTEN", "0.0.0.0:8440")]);
        assert_eq!(
            outside.err(),
            Some(ConfigError::Rejected {
                key: "server.listen",
                problem: "fault-tls-loopback"
            })
        );
    }

    #[test]
    fn metadata_comes_from_a_file_or_over_tls() {
        let with = |source: &str| {
            let text = format!("{MINIMAL}\n[metadata]\nsource = \"{source}\"\n");
            parse(&text, &[]).map(|config| config.metadata.unwrap().source)
        };
        assert_eq!(
            with("mds/blob.jwt"),
            Ok(MetadataSource::File("/etc/sceau/mds/blob.jwt".into()))
        );
        for url in [
            "https://mds3.fidoalliance.org/",
            "http://127.0.0.1:8/blob",
            "http://localhost/",
        ] {
            assert_eq!(with(url), Ok(MetadataSource::Url(url.to_owned())));
        }
        for url in [
            "http://mds3.fidoalliance.org/",
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "http://localhost:1@evil.example/",
            "file:///x",
        ] {
            assert!(with(url).is_err(), "{url}");
        }
    }

    #[test]
    fn spans_read_and_print() {
        for text in ["90s", "5m", "8h", "3d", "500ms"] {
            assert_eq!(
                Span::parse(text).map(|span| span.to_string()),
                Some(text.to_owned())
            );
        }
        for text in ["", "5", "m", "-5s", "5 m", "99999999999999999999s"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
