//! `sceau-server report incident`: what a notification within 72 hours needs, as pages that print and as JSON, with proofs.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CommandError, ConfigFile, load_config, open_store};
use crate::id::PersonId;
use crate::keyfile;
use crate::port::Ports;
use crate::report::{self, Language, Question};

/// Reports from the log.
#[derive(Debug, clap::Args)]
pub struct Report {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Incident(Incident),
}

/// Write what a person, and the accounts that they begot, did since a moment: accounts, keys, actions, approvals, records read, suspensions, time line,
/// with the proof of each line. `incident.json`, `incident.fr.html`, `incident.en.html`.
///
/// The files hold personal data: they are for the data protection officer and the authority.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server report incident --person amartin --since 2026-11-20T00:00:00Z --out /var/tmp/incident\n  sceau-verify report /var/tmp/incident/incident.json --log-key log.vkey"
)]
struct Incident {
    /// Whom it is about.
    #[arg(long, value_name = "ID")]
    person: PersonId,
    /// From when on (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: OffsetDateTime,
    /// Until when; now when not given.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<OffsetDateTime>,
    /// Where the files go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "a time is written 2026-11-22T00:00:00Z".to_owned())
}

impl Report {
    /// Runs the command; what it prints is returned.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, ports: Ports) -> Result<String, CommandError> {
        let What::Incident(asked) = self.what;
        let config = load_config(&asked.config)?;
        let key = keyfile::log_key(&config.keys.log, &config.keys.log_origin)?;
        let store = open_store(&config, false).await?;
        let now = ports.now();
        let question = Question {
            person: asked.person,
            since: asked.since,
            until: asked.until.unwrap_or(now),
            house: config.server.rp_name.clone(),
        };
        let incident = report::incident(&store, &key, &question, now).await?;
        store.close().await;
        std::fs::create_dir_all(&asked.out)?;
        let body = serde_json::to_vec_pretty(&incident).map_err(std::io::Error::other)?;
        crate::file::replace(&asked.out.join("incident.json"), &body)?;
        for (name, language) in [
            ("incident.fr.html", Language::Fr),
            ("incident.en.html", Language::En),
        ] {
            let page = report::page(&incident, language);
            crate::file::replace(&asked.out.join(name), page.as_bytes())?;
        }
        if asked.json {
            return Ok(format!(
                "{}\n",
                json!({"folder": asked.out, "accounts": incident.accounts.len(), "actions": incident.actions.len(),
                    "entries": incident.timeline.len(), "records_read": incident.records_read})
            ));
        }
        Ok(format!(
            "{} accounts, {} actions, {} entries, in {}\n",
            incident.accounts.len(),
            incident.actions.len(),
            incident.timeline.len(),
            asked.out.display()
        ))
    }
}
