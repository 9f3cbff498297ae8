//! `sceau-server check-config`: reads and checks everything that `serve` would, and says in words what it means.

use serde_json::json;

use super::{CommandError, ConfigFile, load_config, load_judge, load_policy};
use crate::keyfile;
use crate::listen;
use crate::policy::{Explained, explain};
use crate::port::Ports;

/// Read and check the configuration and every file that it names; explain the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sceau-server check-config --config /etc/sceau/server.toml")]
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
        let (policy, _) = load_policy(&config)?;
        let judge = load_judge(&config, ports)?;
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
        let rules: Vec<Explained> = policy
            .rules()
            .iter()
            .zip(1..)
            .map(|(rule, number)| Explained {
                rule: number,
                says: explain(rule),
            })
            .collect();
        let (anchors, metadata) = judge.sources();
        let models = judge.explain(lang);
        let services: Vec<&str> = config
            .service
            .iter()
            .map(|service| service.id.as_str())
            .collect();
        if self.json {
            return Ok(format!(
                "{}\n",
                json!({
                    "listen": config.server.listen, "tls": config.server.tls_cert.is_some(), "rp_id": config.server.rp_id,
                    "origins": super::origins(&config), "services": services, "policy": rules, "anchors": anchors,
                    "metadata_no": metadata, "models": models, "gate_hosts": hosts, "warnings": warnings,
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
        text.push_str("policy (the first rule that matches decides; anything else is denied):\n");
        for rule in &rules {
            text.push_str(&format!("  {}. {}\n", rule.rule, rule.says));
        }
        text.push_str(&format!(
            "keys that may be enrolled ({anchors} anchors, {}):\n",
            metadata.map_or("no metadata".to_owned(), |number| format!(
                "metadata no {number}"
            ))
        ));
        for line in &models {
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
