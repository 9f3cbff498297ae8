//! `sceau-server check-config`: reads and checks everything that `serve` would, and says in words what it means.

use sceau_locale::Language;
use serde_json::json;

use super::{CommandError, ConfigFile, load_config, load_judge, load_policy};
use crate::attestation::Judge;
use crate::config::{self, Piv};
use crate::keyfile;
use crate::listen;
use crate::metadata::{self, List};
use crate::piv::Cards;
use crate::port::Ports;

/// Read and check the configuration and every file that it names; explain the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sceau-server check-config --config /etc/sceau/sceau.toml")]
pub struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    /// Runs the command; what it prints is returned.
    ///
    /// # Errors
    /// [`CommandError`]: the first fault.
    pub fn run(self, ports: &Ports, lang: &str) -> Result<String, CommandError> {
        let config = load_config(&self.config)?;
        let policy = load_policy(&config)?;
        let judge = load_judge(&config)?;
        let metadata = config
            .metadata
            .as_ref()
            .map(|section| MetadataState::read(section, &judge, ports))
            .transpose()?;
        if let (Some(certificate), Some(key)) = (&config.server.tls_cert, &config.server.tls_key) {
            listen::tls(certificate, key)?;
        }
        // Before `init` there are no keys yet.
        let mut warnings = Vec::new();
        if config.keys.permit.exists() && config.keys.log.exists() {
            keyfile::permit_key(&config.keys.permit)?;
            keyfile::log_key(&config.keys.log, &config.keys.log_origin)?;
        } else {
            warnings.push("keys are not there yet: run `sceau-server init`");
        }
        if config.store.danger_no_durability {
            warnings.push(
                "store.danger_no_durability is set: what was answered may be lost in a power cut",
            );
        }
        if let Some(provider) = &config.provider {
            // Its key is made at the first start.
            if provider.key.exists() {
                crate::provider::Loaded::read(provider, false)?;
            } else {
                warnings.push("the provider's key is not there yet: `serve` makes it");
            }
        }
        let speaking = config.oauth_clients()?;
        if let Some(signal) = &config.signal {
            signal.check_files()?;
            if !signal.key.exists() {
                warnings.push("the key of signals is not there yet: `serve` makes it");
            }
        }
        let applications = config
            .gate
            .as_ref()
            .map(crate::gate::Settings::check)
            .transpose()?;
        let hosts: Vec<&str> = applications
            .iter()
            .flatten()
            .flat_map(|app| &app.hosts)
            .map(String::as_str)
            .collect();
        let policies = policy.explain();
        if policy.is_empty() {
            warnings.push("there is no policy: everything is denied, signing in too");
        }
        let anchors = judge.anchors();
        if judge.blind(ports.now()).is_some() {
            warnings.push(
                "without a current metadata list enrolments and privileged approvals are refused",
            );
        }
        let models = judge.explain(lang);
        let cards = super::load_cards(&config)?;
        let card_rules = cards.as_ref().map(Cards::explain).unwrap_or_default();
        let card_warnings = config.piv.as_ref().map(Piv::warnings).unwrap_or_default();
        warnings.extend(card_warnings.iter().map(String::as_str));
        let services: Vec<&str> = config
            .service
            .iter()
            .map(|service| service.id.as_str())
            .collect();
        if self.json {
            return Ok(format!(
                "{}\n",
                json!({
                    "oauth": speaking.iter().map(|client| client.id().as_str()).collect::<Vec<_>>(), "listen": config.server.listen, "tls": config.server.tls_cert.is_some(), "rp_id": config.server.rp_id,
                    "origins": super::origins(&config), "services": services, "policy": policies, "anchors": anchors,
                    "metadata": metadata.as_ref().map(MetadataState::json), "models": models, "cards": card_rules, "gate_hosts": hosts, "warnings": warnings,
                })
            ));
        }
        let mut text = format!(
            "listens on {} ({}), relying party {}, origins {}\n",
            config.server.listen,
            if config.server.tls_cert.is_some() {
                "TLS"
            } else {
                "plain, loopback"
            },
            config.server.rp_id,
            super::origins(&config).join(" and ")
        );
        text.push_str(&format!(
            "services: {}\n",
            if services.is_empty() {
                "none".to_owned()
            } else {
                services.join(", ")
            }
        ));
        if !speaking.is_empty() {
            let names: Vec<&str> = speaking.iter().map(|it| it.id().as_str()).collect();
            text.push_str(&format!(
                "by OAuth, issuer {}: {}\n",
                config.server.public_url,
                names.join(", ")
            ));
        }
        text.push_str("policy (one forbid denies; of the permits that apply the strictest of each holds; anything else is denied):\n");
        for policy in &policies {
            text.push_str(&format!("  {}: {}\n", policy.policy, policy.says));
        }
        text.push_str(&format!(
            "keys that may be enrolled ({anchors} anchors, {}):\n",
            if metadata.is_some() {
                "metadata"
            } else {
                "no metadata"
            }
        ));
        if let Some(metadata) = &metadata {
            text.push_str(&metadata.text(lang));
        }
        for line in &models {
            text.push_str(&format!("  {line}\n"));
        }
        if !card_rules.is_empty() {
            text.push_str("cards that may be enrolled:\n");
        }
        for line in &card_rules {
            text.push_str(&format!("  {line}\n"));
        }
        if !hosts.is_empty() {
            text.push_str(&format!("gate: {}\n", hosts.join(", ")));
        }
        for warning in &warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        Ok(text)
    }
}

/// What is configured of metadata, and what is kept of it.
struct MetadataState<'c> {
    section: &'c config::Metadata,
    kept: Option<List>,
    blind: Option<&'static str>,
}

impl<'c> MetadataState<'c> {
    /// Reads the kept list and makes the judge believe it; the source is not asked.
    fn read(
        section: &'c config::Metadata,
        judge: &Judge,
        ports: &Ports,
    ) -> Result<Self, CommandError> {
        let kept = metadata::kept(section, ports.now())?;
        if let Some(list) = &kept {
            judge.believe(list.metadata());
        }
        Ok(Self {
            section,
            blind: judge.blind(ports.now()),
            kept,
        })
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "source": self.section.source.to_string(), "leaf_name": self.section.leaf_name,
            "refresh": self.section.refresh.to_string(), "grace": self.section.grace.to_string(),
            "no": self.kept.as_ref().map(List::no),
            "next_update": self.kept.as_ref().map(|list| list.metadata().next_update().to_string()),
            "entries": self.kept.as_ref().map(|list| list.metadata().entries().len()),
            "blind": self.blind,
        })
    }

    fn text(&self, lang: &str) -> String {
        let language = Language::from_locale(lang);
        let section = self.section;
        let asked = language.text_with(
            "report-metadata",
            &[
                ("source", section.source.to_string().into()),
                ("refresh", section.refresh.to_string().into()),
                ("leaf", section.leaf_name.as_str().into()),
                ("grace", section.grace.to_string().into()),
            ],
        );
        let kept = match &self.kept {
            None => language.text("report-metadata-none").into_owned(),
            Some(list) => language.text_with(
                "report-metadata-kept",
                &[
                    ("no", list.no().to_string().into()),
                    ("models", list.metadata().entries().len().into()),
                    ("next", list.metadata().next_update().to_string().into()),
                ],
            ),
        };
        format!("  {asked}\n  {kept}\n")
    }
}
