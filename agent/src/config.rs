//! The agent's configuration: `$XDG_CONFIG_HOME/sceau/agent.toml` (or `--config FILE`), and where its state and socket live.
//!
//! The relying party's id and the ways to know the server are configuration and never taken from a peer: everything that the agent signs is
//! bound to them. Secrets are not here: the session token has a file of its own ([`crate::session`]), PINs are nowhere.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;
use sceau_locale::{Value, foreign};
use sceau_proof::log::note::{KeyKind, VerifyingKey};
use serde::Deserialize;

use crate::locale::Language;
use crate::piv::module::Module;
use crate::text::{self, one_line};

/// What a configuration file may not be. `Display` is for logs, in English; [`ConfigError::tell`] for the person.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file is not TOML of the expected shape.
    Malformed(String),
    /// `server` is not an absolute `https` URL without path, or is plain `http` to somewhere other than this machine.
    /// Which text of the catalogue says so.
    Server(&'static str),
    /// `rp_id` is not a lower-case domain name.
    RpId,
    /// A pin is not 32 bytes in base64url.
    Pin(String),
    /// `log_key` is not a log's verifier key.
    LogKey,
    /// `presence.grace` is not a span up to ten seconds.
    Grace,
    /// A variable of the XDG base directories is needed and missing.
    Environment(&'static str),
}

impl ConfigError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        let said = |name: &str, values: &[(&str, Value<'_>)]| language.text_with(name, values);
        match self {
            Self::Unreadable { path, reason } => text::unreadable(path, reason, language),
            Self::Malformed(report) => foreign(language, report),
            Self::Server(why) => language.labelled("server", language.text(why)),
            Self::RpId => said("fault-agent-rp-id", &[]),
            Self::Pin(pin) => said("fault-agent-pin", &[("pin", one_line(pin, 100).into())]),
            Self::LogKey => said("fault-agent-log-key", &[]),
            Self::Grace => said("fault-agent-grace", &[]),
            Self::Environment(name) => said("fault-agent-variable", &[("name", (*name).into())]),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

/// The identifier of the relying party whose actions this agent signs: configuration, never taken from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpId(String);

impl RpId {
    /// Checks that it is a lower-case domain name.
    ///
    /// # Errors
    /// [`ConfigError::RpId`].
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConfigError::RpId)
        }
    }

    /// The domain name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin of what this agent signs, by which evidence tells it from a browser.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("sceau-agent://{}", self.0)
    }
}

/// Where the server listens: scheme, host and port, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// TLS, or plain HTTP inside this machine.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl ServerUrl {
    /// Reads an absolute URL. Plain `http` is allowed to this machine's own addresses only (tests, a gate on the same host).
    ///
    /// # Errors
    /// [`ConfigError::Server`] with the reason.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let uri: Uri = text
            .parse()
            .map_err(|_| ConfigError::Server("fault-server-no-url"))?;
        let authority = uri
            .authority()
            .ok_or(ConfigError::Server("fault-server-relative"))?;
        if authority.as_str().contains('@') {
            return Err(ConfigError::Server("fault-server-user"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ConfigError::Server("fault-server-path"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if host.is_empty() {
            return Err(ConfigError::Server("fault-server-no-host"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(&host) => false,
            Some("http") => {
                return Err(ConfigError::Server("fault-server-plain"));
            }
            _ => return Err(ConfigError::Server("fault-server-scheme")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port })
    }

    /// `host:port` as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == default {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The URL, as people and files write it.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.authority()
        )
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub server: ServerUrl,
    /// The relying party whose actions are signed.
    pub rp_id: RpId,
    /// Certificate authorities of the server, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's public key (SubjectPublicKeyInfo), any one of them. With `ca_file` both must hold; alone, the pin replaces
    /// the system's authorities.
    pub spki_sha256: Vec<[u8; 32]>,
    /// Who signs in here, when there is no session yet.
    pub person: Option<String>,
    /// The language of prompts, instead of the environment's.
    pub locale: Option<Language>,
    /// Only readers whose name contains one of these; empty: all of them.
    pub readers: Vec<String>,
    /// A vendor's PKCS #11 module, for cards that are no PIV cards.
    pub pkcs11: Option<Module>,
    /// The server's log key; without it the one that the server names first is kept.
    pub log_key: Option<VerifyingKey>,
    /// What a key's going does here.
    pub presence: PresenceRule,
}

/// `[presence]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceRule {
    /// Lock the desktop when a key of the person's is pulled.
    pub lock: bool,
    /// How long a key that went away is waited for: other programs make keys come and go.
    pub grace: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PresenceSection {
    lock: bool,
    grace: String,
}

impl Default for PresenceSection {
    fn default() -> Self {
        Self {
            lock: false,
            grace: "1500ms".to_owned(),
        }
    }
}

impl PresenceSection {
    fn check(&self) -> Result<PresenceRule, ConfigError> {
        let number = |unit: &str| self.grace.strip_suffix(unit)?.parse::<u64>().ok();
        let grace = number("ms")
            .map(Duration::from_millis)
            .or_else(|| number("s").map(Duration::from_secs))
            .filter(|grace| *grace <= Duration::from_secs(10))
            .ok_or(ConfigError::Grace)?;
        Ok(PresenceRule {
            lock: self.lock,
            grace,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: String,
    rp_id: String,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    spki_sha256: Vec<String>,
    person: Option<String>,
    locale: Option<Language>,
    #[serde(default)]
    readers: Vec<String>,
    log_key: Option<String>,
    #[serde(default)]
    presence: PresenceSection,
    pkcs11: Option<Module>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, not of the expected shape, or a value that may not be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Unreadable {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        Self::parse(&text)
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// As [`Config::load`], except that nothing is read.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|e| ConfigError::Malformed(e.to_string()))?;
        let spki_sha256 = file
            .spki_sha256
            .iter()
            .map(|pin| {
                let bytes = URL_SAFE_NO_PAD
                    .decode(pin)
                    .map_err(|_| ConfigError::Pin(pin.clone()))?;
                bytes.try_into().map_err(|_| ConfigError::Pin(pin.clone()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            server: ServerUrl::parse(&file.server)?,
            rp_id: RpId::new(&file.rp_id)?,
            ca_file: file.ca_file,
            spki_sha256,
            person: file.person,
            locale: file.locale,
            readers: file.readers,
            log_key: file.log_key.as_deref().map(log_key).transpose()?,
            presence: file.presence.check()?,
            pkcs11: file.pkcs11,
        })
    }
}

fn log_key(text: &str) -> Result<VerifyingKey, ConfigError> {
    VerifyingKey::parse(text)
        .ok()
        .filter(|key| key.kind() == KeyKind::Log)
        .ok_or(ConfigError::LogKey)
}

/// The configuration of the whole machine, for persons who have none of their own.
pub const OF_THE_MACHINE: &str = "/etc/sceau/agent.toml";

/// Where the agent's files are, by the XDG base directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration file.
    pub config: PathBuf,
    /// The session token's file.
    pub session: PathBuf,
    /// What is remembered of the server's log.
    pub log: PathBuf,
    /// The socket.
    pub socket: PathBuf,
}

impl Places {
    /// From the environment, looked up by `variable`; `config` overrides the file's place.
    ///
    /// # Errors
    /// [`ConfigError::Environment`]: neither the XDG variable nor `HOME` is set, or `XDG_RUNTIME_DIR` is missing (it has no fallback: the
    /// socket must be in a directory that the system made for this person).
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        config: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let set = |name: &str| {
            variable(name)
                .filter(|value| value.starts_with('/'))
                .map(PathBuf::from)
        };
        let under = |name: &'static str, fallback: &str| {
            set(name)
                .or_else(|| set("HOME").map(|home| home.join(fallback)))
                .ok_or(ConfigError::Environment("HOME"))
        };
        let config = match config {
            Some(path) => path,
            None => under("XDG_CONFIG_HOME", ".config")?.join("sceau/agent.toml"),
        };
        Ok(Self {
            config,
            session: under("XDG_STATE_HOME", ".local/state")?.join("sceau/session"),
            log: under("XDG_STATE_HOME", ".local/state")?.join("sceau/log.json"),
            socket: set("XDG_RUNTIME_DIR")
                .ok_or(ConfigError::Environment("XDG_RUNTIME_DIR"))?
                .join("sceau/agent.sock"),
        })
    }

    /// The same, with [`OF_THE_MACHINE`] when the person's own configuration is not there.
    #[must_use]
    pub fn or_of_the_machine(mut self) -> Self {
        if !self.config.exists() && Path::new(OF_THE_MACHINE).exists() {
            self.config = OF_THE_MACHINE.into();
        }
        self
    }

    /// The socket for a client: the person's own agent's, or else the one that a system user's agent serves for `uid` (`sceau-agent@.service`).
    #[must_use]
    pub fn served_socket(&self, uid: u32) -> PathBuf {
        let shared = PathBuf::from(format!("/run/sceau-agent/{uid}/agent.sock"));
        if !self.socket.exists() && shared.exists() {
            return shared;
        }
        self.socket.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for text in [
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost:3",
            "http://127.8.8.8",
        ] {
            assert!(ServerUrl::parse(text).is_ok_and(|url| !url.tls), "{text}");
        }
        for text in [
            "http://sceau.example",
            "http://127.0.0.1.sceau.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "127.0.0.1:80",
            "http://a@127.0.0.1",
            "https://sceau.example/x",
        ] {
            assert!(
                matches!(ServerUrl::parse(text), Err(ConfigError::Server(_))),
                "{text}"
            );
        }
        let url = ServerUrl::parse("https://[2001:db8::1]:8443/").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.text().as_str()),
            ("2001:db8::1", 8443, "https://[2001:db8::1]:8443")
        );
    }

    #[test]
    fn relying_party_is_a_lower_case_domain_name() {
        assert_eq!(
            RpId::new("sceau.example").unwrap().origin(),
            "sceau-agent://sceau.example"
        );
        for text in ["", "Sceau.example", "a..b", "-a.b", "a/b", "a b", "a:1"] {
            assert_eq!(RpId::new(text), Err(ConfigError::RpId), "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_odd_pins_are_refused() {
        let base = "server = \"https://sceau.example\"\nrp_id = \"sceau.example\"\n";
        assert!(Config::parse(base).is_ok());
        assert!(matches!(
            Config::parse(&format!("{base}pin = \"1234\"\n")),
            Err(ConfigError::Malformed(_))
        ));
        assert_eq!(
            Config::parse(&format!("{base}spki_sha256 = [\"AAAA\"]\n")),
            Err(ConfigError::Pin("AAAA".into()))
        );
    }

    #[test]
    fn each_fault_is_told_in_both_languages_with_what_it_is_about() {
        let parsed = |more: &str| {
            let base = "server = \"https://sceau.example\"\nrp_id = \"sceau.example\"\n";
            Config::parse(&format!("{base}{more}\n")).unwrap_err()
        };
        let faults = [
            (
                Config::load(Path::new("/nowhere/a.toml")).unwrap_err(),
                "/nowhere/a.toml",
            ),
            (parsed("pni = 1"), "pni"),
            (parsed("spki_sha256 = [\"AAAA\"]"), "AAAA"),
            (parsed("log_key = \"x\""), "log_key"),
            (parsed("[presence]\ngrace = \"1h\""), "presence.grace"),
            (RpId::new("A").unwrap_err(), "rp_id"),
            (ConfigError::Environment("HOME"), "HOME"),
        ];
        let servers = [
            "",
            "/x",
            "https://a@b",
            "https://a.example/x",
            "http://a.example",
            "ftp://a",
        ];
        let servers = servers.map(|text| (ServerUrl::parse(text).unwrap_err(), "server"));
        for (fault, about) in faults.into_iter().chain(servers) {
            let told = [Language::Fr, Language::En].map(|language| fault.tell(language));
            for text in &told {
                assert!(text.contains(about) && !text.contains("fault-"), "{text}");
            }
            let [french, english] = told;
            assert_ne!(french, english);
            assert_eq!(fault.to_string(), english);
        }
    }

    #[test]
    fn places_follow_the_xdg_directories() {
        let of = |pairs: &'static [(&str, &str)]| {
            Places::from_environment(
                |name| {
                    pairs
                        .iter()
                        .find(|(k, _)| *k == name)
                        .map(|(_, v)| (*v).to_owned())
                },
                None,
            )
        };
        let places = of(&[("HOME", "/home/a"), ("XDG_RUNTIME_DIR", "/run/user/1")]).unwrap();
        assert_eq!(places.config, Path::new("/home/a/.config/sceau/agent.toml"));
        assert_eq!(
            places.session,
            Path::new("/home/a/.local/state/sceau/session")
        );
        assert_eq!(places.socket, Path::new("/run/user/1/sceau/agent.sock"));
        assert_eq!(
            of(&[("HOME", "/home/a")]),
            Err(ConfigError::Environment("XDG_RUNTIME_DIR"))
        );
        assert_eq!(
            of(&[("HOME", "relative"), ("XDG_RUNTIME_DIR", "/r")]),
            Err(ConfigError::Environment("HOME"))
        );
    }
}
