//! `sceau-server check-config`: reads and checks everything that `serve` would, and says in words what it means.

use sceau_locale::{Language, Value, day, span};
use serde_json::json;

use super::{CommandError, ConfigFile, load_config, load_judge, load_policy};
use crate::attestation::Judge;
use crate::config;
use crate::keyfile;
use crate::listen;
use crate::metadata::{self, List};
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
    pub fn run(self, ports: &Ports, language: Language) -> Result<String, CommandError> {
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
        let mut warnings: Vec<String> = Vec::new();
        let mut warn = |name: &str| warnings.push(language.text(name).into_owned());
        if config.keys.permit.exists() && config.keys.log.exists() {
            keyfile::permit_key(&config.keys.permit)?;
            keyfile::log_key(&config.keys.log, &config.keys.log_origin)?;
        } else {
            warn("report-warning-no-keys");
        }
        if config.store.danger_no_durability {
            warn("report-warning-no-durability");
        }
        if let Some(provider) = &config.provider {
            // Its key is made at the first start.
            if provider.key.exists() {
                crate::provider::Loaded::read(provider, false)?;
            } else {
                warn("report-warning-no-provider-key");
            }
        }
        let speaking = config.oauth_clients()?;
        if let Some(signal) = &config.signal {
            signal.check_files()?;
            if !signal.key.exists() {
                warn("report-warning-no-signal-key");
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
        let policies = policy.explain(language);
        if policy.is_empty() {
            warn("report-warning-no-policy");
        }
        let anchors = judge.anchors();
        if judge.blind(ports.now()).is_some() {
            warn("report-warning-blind");
        }
        let models = judge.explain(language.code());
        let cards = super::load_cards(&config)?;
        let card_rules = cards.as_ref().map(|cards| cards.explain(language));
        let card_rules = card_rules.unwrap_or_default();
        warnings.extend(config.piv.iter().flat_map(|piv| piv.warnings(language)));
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
        let named = |name: &str, values: &[(&str, Value<'_>)]| {
            let mut line = language.text_with(name, values);
            line.push('\n');
            line
        };
        let tls = config.server.tls_cert.is_some();
        let mut text = named(
            "report-listens",
            &[
                ("address", config.server.listen.to_string().into()),
                ("tls", if tls { "yes" } else { "no" }.into()),
                ("party", config.server.rp_id.as_str().into()),
                ("origins", super::origins(&config).join(", ").into()),
            ],
        );
        let count = services.len().into();
        let services = services.join(", ").into();
        text.push_str(&named(
            "report-services",
            &[("count", count), ("services", services)],
        ));
        if !speaking.is_empty() {
            let names: Vec<&str> = speaking.iter().map(|it| it.id().as_str()).collect();
            let issuer = config.server.public_url.as_str().into();
            let services = names.join(", ").into();
            text.push_str(&named(
                "report-oauth",
                &[("issuer", issuer), ("services", services)],
            ));
        }
        text.push_str(&named("report-policy", &[]));
        for policy in &policies {
            let policy = [
                ("action", policy.policy.as_str().into()),
                ("what", policy.says.as_str().into()),
            ];
            text.push_str(&format!("  {}", named("rule-says", &policy)));
        }
        let listed = if metadata.is_some() { "yes" } else { "no" };
        text.push_str(&named(
            "report-models",
            &[("anchors", anchors.into()), ("list", listed.into())],
        ));
        if let Some(metadata) = &metadata {
            text.push_str(&metadata.text(language));
        }
        for line in &models {
            text.push_str(&format!("  {line}\n"));
        }
        if !card_rules.is_empty() {
            text.push_str(&named("report-cards", &[]));
        }
        for line in &card_rules {
            text.push_str(&format!("  {line}\n"));
        }
        if !hosts.is_empty() {
            text.push_str(&named("report-gate", &[("hosts", hosts.join(", ").into())]));
        }
        for warning in &warnings {
            text.push_str(&named(
                "report-warning",
                &[("text", warning.as_str().into())],
            ));
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

    fn text(&self, language: Language) -> String {
        let section = self.section;
        let asked = language.text_with(
            "report-metadata",
            &[
                ("source", section.source.to_string().into()),
                ("refresh", span(language, section.refresh.0).into()),
                ("leaf", section.leaf_name.as_str().into()),
                ("grace", span(language, section.grace.0).into()),
            ],
        );
        let kept = match &self.kept {
            None => language.text("report-metadata-none").into_owned(),
            Some(list) => language.text_with(
                "report-metadata-kept",
                &[
                    ("no", list.no().to_string().into()),
                    ("models", list.metadata().entries().len().into()),
                    ("next", day(language, list.metadata().next_update()).into()),
                ],
            ),
        };
        format!("  {asked}\n  {kept}\n")
    }
}
