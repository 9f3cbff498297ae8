//! `sceau-server log …`: what is done with the log as a whole, beside the running server. Reads the store; changes nothing in it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{CommandError, ConfigFile, load_config, open_store};
use crate::{export, keyfile};

/// The log: export it as static files.
#[derive(Debug, clap::Args)]
pub struct Log {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Export(Export),
}

/// Write the log as static files (tiles, entries, checkpoint) that any web server can host. Repeat it to bring the folder up to date.
///
/// The folder is a whole log at every moment, and holds no personal data. Exit code 1: the folder holds a longer log, or another history,
/// than the store; it is left as it is, as evidence.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server log export /srv/sceau-log --config /etc/sceau/server.toml\n  sceau-verify log /srv/sceau-log --log-key log.vkey"
)]
struct Export {
    /// Where to.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Log {
    /// Runs the command; what it prints is returned.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self) -> Result<String, CommandError> {
        let What::Export(export) = self.what;
        let config = load_config(&export.config)?;
        let key = keyfile::log_key(&config.keys.log, &config.keys.log_origin)?;
        let store = open_store(&config, false).await?;
        let shown = std::io::stderr().is_terminal();
        let told = |at, size| {
            if shown && size > 100_000 {
                eprint!("\r{at} of {size} entries");
            }
        };
        let done = export::export(&store, &key, &export.folder, told).await?;
        if export.json {
            return Ok(format!(
                "{}\n",
                json!({"folder": export.folder, "size": done.size, "new": done.size - done.from, "files": done.files, "root": done.root})
            ));
        }
        Ok(format!(
            "{} entries in {}, {} of them new\n",
            done.size,
            export.folder.display(),
            done.size - done.from
        ))
    }
}
