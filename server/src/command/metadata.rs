//! `sceau-server metadata fetch`: brings the list home once, verified. For sites whose server has no way out: fetch on a machine that
//! has, carry the file over, and name it as `metadata.source`.

use std::path::PathBuf;

use clap::Subcommand;
use sceau_locale::{Language, day};
use serde_json::json;

use super::{CommandError, ConfigFile, load_config};
use crate::config::ConfigError;
use crate::metadata::{Trust, fetch_to};
use crate::port::Ports;

/// The FIDO metadata list.
#[derive(Debug, clap::Args)]
pub struct Metadata {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Fetch(Fetch),
}

/// Fetch the list from the configured source, verify it, and write it to a file; what is refused is not written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server metadata fetch --config /etc/sceau/sceau.toml --out /media/usb/fido.jwt\n\nThe production list: source = \"https://mds3.fidoalliance.org/\". Exit code 1: refused, 3: unavailable."
)]
struct Fetch {
    #[command(flatten)]
    config: ConfigFile,
    /// Where to write it; the configured cache when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Metadata {
    /// Runs the command; what it prints is returned.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(self, ports: &Ports, language: Language) -> Result<String, CommandError> {
        let What::Fetch(fetch) = self.what;
        let config = load_config(&fetch.config)?;
        let section = config.metadata.as_ref().ok_or(ConfigError::Rejected {
            key: "metadata",
            problem: "fault-not-configured",
        })?;
        let trust = Trust::load(section)?;
        let out = fetch.out.as_ref().unwrap_or(&section.cache);
        let list = fetch_to(section, &trust, out, ports.now())?;
        let metadata = list.metadata();
        if fetch.json {
            return Ok(format!(
                "{}\n",
                json!({
                    "no": list.no(), "next_update": metadata.next_update().to_string(), "entries": metadata.entries().len(),
                    "problems": metadata.problems().len(), "sha256": hex::encode(list.sha256()), "file": out,
                })
            ));
        }
        let mut told = language.text_with(
            "report-metadata-fetched",
            &[
                ("no", list.no().to_string().into()),
                ("models", metadata.entries().len().into()),
                ("next", day(language, metadata.next_update()).into()),
                ("file", out.display().to_string().into()),
            ],
        );
        told.push('\n');
        Ok(told)
    }
}
