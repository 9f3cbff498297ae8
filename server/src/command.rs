//! The commands of `sceau-server`: `init`, `serve`, `check-config`, `facts`, `keys`, `log`, `metadata`, `policy`, `report`. Each returns an exit code: 0 yes, 1 no, 2 usage or malformed
//! input, 3 unavailable.

pub mod check_config;
pub mod facts;
pub mod init;
pub mod keys;
pub mod log;
pub mod metadata;
pub mod policy;
pub mod report;
pub mod rotate;
pub mod serve;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use sceau_locale::Language;

use crate::config::{Config, ConfigError};
use crate::desk::{Desk, DeskError, Settings, Witness, Witnessing};
use crate::export::ExportError;
use crate::keyfile::{self, KeyFileError};
use crate::policy::{MalformedTable, Policy, PolicyError};
use crate::port::Ports;
use crate::store::{Durability, Store, StoreError, StoreOptions};
use crate::{attestation, gate, listen, piv};

/// The configuration to use.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration (TOML). Every key may also be given as SCEAU_SECTION__KEY.
    #[arg(long, value_name = "FILE", default_value = "/etc/sceau/sceau.toml")]
    pub config: PathBuf,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A file that it names cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The policy: without one nothing is decided.
    #[error("policy:\n{0}")]
    Policy(#[from] PolicyError),
    /// A table of expected decisions.
    #[error("{path}: {error}")]
    Table {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: MalformedTable,
    },
    /// Nothing was founded here yet.
    #[error("not initialised: {} is missing; run `sceau-server init` once, as root", .0.display())]
    NotInitialised(PathBuf),
    /// A secret.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Anchors, metadata or model policy.
    #[error("attestation: {0}")]
    Attestation(#[from] attestation::JudgeError),
    /// The metadata list.
    #[error(transparent)]
    Metadata(#[from] crate::metadata::RefreshError),
    /// Cards' roots and issuers.
    #[error("piv: {0}")]
    Cards(#[from] piv::CardsError),
    /// TLS.
    #[error("tls: {0}")]
    Tls(#[from] listen::TlsError),
    /// The gate.
    #[error("gate: {0}")]
    Gate(#[from] gate::GateError),
    /// Signals to services.
    #[error("signal: {0}")]
    Signal(#[from] crate::signal::SignalError),
    /// The identity provider.
    #[error("provider: {0}")]
    Provider(#[from] crate::provider::ProviderError),
    /// A service that speaks OAuth.
    #[error("configuration: {0}")]
    Service(#[from] crate::config::ServiceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The desk.
    #[error("{0}")]
    Desk(#[from] DeskError),
    /// A file of changes; file, line and what is wrong.
    #[error("{0}")]
    Malformed(String),
    /// The store has persons already.
    #[error("the store is initialised already")]
    Initialised,
    /// A report.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// Exporting the log.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// A listener.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Something of the machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl CommandError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        told::told(self, language)
    }

    /// Exit code by whose fault it is.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Initialised | Self::Metadata(crate::metadata::RefreshError::Refused(_)) => 1,
            Self::Config(_)
            | Self::Unreadable { .. }
            | Self::Policy(_)
            | Self::Table { .. }
            | Self::KeyFile(_)
            | Self::Malformed(_)
            | Self::Desk(DeskError::UnknownPerson | DeskError::Malformed(_))
            | Self::NotInitialised(_) => 2,
            Self::Cards(_) | Self::Attestation(_) | Self::Tls(_) | Self::Gate(_) => 2,
            Self::Provider(_) | Self::Service(_) => 2,
            Self::Signal(crate::signal::SignalError::Key(_)) => 2,
            Self::Store(StoreError::Url | StoreError::Schema { .. }) => 2,
            Self::Report(crate::report::ReportError::UnknownPerson(_)) => 2,
            Self::Report(_) => 3,
            Self::Export(ExportError::RolledBack { .. } | ExportError::Forked(_)) => 1,
            Self::Export(ExportError::Stranger(_)) => 2,
            Self::Export(_) => 3,
            Self::Metadata(_) | Self::Store(_) | Self::Desk(_) => 3,
            Self::Listen { .. } | Self::Io(_) | Self::Signal(_) => 3,
        })
    }
}

fn load_config(file: &ConfigFile) -> Result<Config, CommandError> {
    Ok(Config::load(&file.config, std::env::vars())?)
}

/// The policy of the configuration's folder, or files.
fn load_policy(config: &Config) -> Result<Policy, CommandError> {
    let mut sources = Vec::new();
    for path in config.policy.paths() {
        sources.extend(crate::policy::read(&path)?);
    }
    Ok(Policy::parse(&sources)?)
}

fn origins(config: &Config) -> Vec<String> {
    vec![config.agent_origin(), config.origin().to_owned()]
}

fn load_judge(config: &Config) -> Result<attestation::Judge, CommandError> {
    Ok(attestation::Judge::load(config, origins(config))?)
}

fn load_cards(config: &Config) -> Result<Option<piv::Cards>, CommandError> {
    let Some(section) = &config.piv else {
        return Ok(None);
    };
    let cards = piv::Cards::load(section, vec![config.agent_origin()])?;
    Ok(Some(cards))
}

/// A key that is not there says what to do.
fn missing(error: KeyFileError) -> CommandError {
    match error {
        KeyFileError::Io { path, error } if error.kind() == std::io::ErrorKind::NotFound => {
            CommandError::NotInitialised(path)
        }
        other => other.into(),
    }
}

fn settings(config: &Config) -> Result<Settings, CommandError> {
    Ok(Settings {
        policy: load_policy(config)?,
        limits: config.limit,
        rp_id: config.server.rp_id.clone(),
        origins: origins(config),
        public_url: config.server.public_url.clone(),
        instance: config.server.instance.clone(),
        session_lifetime: config.server.session_lifetime.0,
        invitation_lifetime: config.server.invitation_lifetime.0,
        permit_key: keyfile::permit_key(&config.keys.permit).map_err(missing)?,
        permit_previous: rotate::previous_permit_key(config)?,
        log_key: keyfile::log_key(&config.keys.log, &config.keys.log_origin).map_err(missing)?,
        log_previous: rotate::previous_log_key(config)?,
        configuration: Some(config.sha256),
        witnessing: Witnessing {
            witnesses: config
                .log
                .witness
                .iter()
                .filter_map(|witness| {
                    Some(Witness {
                        key: witness.key()?,
                        url: witness.url.clone(),
                    })
                })
                .collect(),
            demanded: config.log.cosignatures.clone().into_iter().collect(),
            patience: config.log.patience.as_std(),
        },
        judge: load_judge(config)?,
        cards: load_cards(config)?,
        presence: config.presence.clone(),
    })
}

async fn open_store(config: &Config, create: bool) -> Result<Store, CommandError> {
    let durability = if config.store.danger_no_durability {
        Durability::DangerOff
    } else {
        Durability::Full
    };
    let options = StoreOptions {
        url: match &config.store.url_file {
            Some(file) => keyfile::secret_line(file)?,
            None => config.store.url.clone(),
        },
        durability,
        readers: config.store.readers,
    };
    Ok(Store::open(&options, create).await?)
}

/// A desk from a configuration.
///
/// # Errors
/// [`CommandError`].
pub async fn open_desk(config: &Config, ports: Ports, create: bool) -> Result<Desk, CommandError> {
    let settings = settings(config)?;
    let store = open_store(config, create).await?;
    Ok(Desk::start(store, ports, settings).await?)
}
