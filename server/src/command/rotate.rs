//! `sceau-server keys rotate permit|log`: a new signing key in the place of the old one. It counts from the next start of the server, which writes its
//! name into the log before anything is signed with it.
//!
//! *Permit key*: the old private key is gone at once; its public half is published beside the new one for fifteen minutes, so that permits under way and verifiers
//! that remember `/jwks.json` are served on, and stays in the store for bundles. With `--compromised` it is published no more. *Log key*: until `--end` both sign every checkpoint, so that auditors, witnesses and agents that know the
//! old one learn of the new one by it; with `--compromised` only the new one signs, and everybody has to be told of it otherwise.
//! Every step is a rename: a cut leaves the old state, or one that the same command finishes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sceau_proof::log::note::{KeyKind, SigningKey};
use serde_json::json;

use super::{CommandError, ConfigFile, load_config};
use crate::config::Config;
use crate::desk::RetiredKey;
use crate::keyfile::{self, KeyFileError};
use crate::port::Ports;

/// How long the permit key before is published: a permit lives for a minute, and `/jwks.json` may be remembered for five.
const OVERLAP: time::Duration = time::Duration::minutes(15);

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The key that signs permits.
    Permit,
    /// The key that signs the log's checkpoints.
    Log,
}

/// Put a new signing key in the place of the old one; restart the server then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sceau-server keys rotate permit --config /etc/sceau/server.toml && systemctl restart sceau-server\n  sceau-server keys rotate log\n  sceau-server keys rotate log --end"
)]
pub(super) struct Rotate {
    /// Which key.
    #[arg(value_enum)]
    which: Which,
    /// The old key may be in other hands: nothing more is signed with it.
    #[arg(long)]
    compromised: bool,
    /// Log key: the old one signs no more beside the new one.
    #[arg(long, conflicts_with = "compromised")]
    end: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(word);
    path.with_file_name(name)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CommandError + '_ {
    move |error| {
        CommandError::KeyFile(KeyFileError::Io {
            path: path.to_owned(),
            error,
        })
    }
}

fn remove(path: &Path) -> Result<bool, CommandError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

/// The log's key before the one in use, while both sign.
pub(super) fn previous_log_key(config: &Config) -> Result<Option<SigningKey>, CommandError> {
    let path = beside(&config.keys.log, ".previous");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(keyfile::note_key(
        &path,
        &config.keys.log_origin,
        KeyKind::Log,
    )?))
}

/// The permit key before the one in use, while it is published.
pub(super) fn previous_permit_key(config: &Config) -> Result<Option<RetiredKey>, CommandError> {
    let path = beside(&config.keys.permit, ".previous");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path)(error)),
    };
    let retired = serde_json::from_slice(&text).map_err(|_| KeyFileError::Malformed {
        path,
        kind: "fault-key-kind-before",
    })?;
    Ok(Some(retired))
}

impl Rotate {
    /// Runs the command: what it prints, and whether it was done.
    ///
    /// # Errors
    /// [`CommandError`].
    pub(super) fn run(&self, ports: &Ports) -> Result<(String, bool), CommandError> {
        let config = load_config(&self.config)?;
        let (key, name) = match self.which {
            Which::Permit => ("permit", permit(&config, self.compromised, ports)?),
            Which::Log if self.end => {
                let ended = remove(&beside(&config.keys.log, ".previous"))?;
                remove(&beside(&config.keys.log_vkey, ".previous"))?;
                let name = ended.then(|| "the old key signs no more".to_owned());
                ("log", name)
            }
            Which::Log => ("log", log(&config, self.compromised, ports)?),
        };
        let done = name.is_some();
        let name = name.unwrap_or_else(|| "nothing to do: see --end".to_owned());
        let text = if self.json {
            format!(
                "{}\n",
                json!({"key": key, "new": name, "done": done, "restart": done})
            )
        } else if done {
            format!("{key} key: {name}\nrestart the server now\n")
        } else {
            format!("{key} key: {name}\n")
        };
        Ok((text, done))
    }
}

fn permit(
    config: &Config,
    compromised: bool,
    ports: &Ports,
) -> Result<Option<String>, CommandError> {
    let path = &config.keys.permit;
    let (next, previous) = (beside(path, ".next"), beside(path, ".previous"));
    remove(&next)?;
    keyfile::make_permit_key(&next)?;
    let key = keyfile::permit_key(&next)?;
    remove(&previous)?;
    if !compromised {
        // Cut after this, it names the key that is still in use: it is published once.
        let retired = RetiredKey {
            jwk: keyfile::permit_key(path)?.jwk().clone(),
            until: ports.now() + OVERLAP,
        };
        let text = json!(retired).to_string();
        fs::write(&previous, text)
            .and_then(|()| fs::set_permissions(&previous, fs::Permissions::from_mode(0o644)))
            .map_err(failed(&previous))?;
    }
    fs::rename(&next, path).map_err(failed(path))?;
    Ok(Some(key.kid().to_owned()))
}

/// `None` when a rotation is under way already.
fn log(config: &Config, compromised: bool, ports: &Ports) -> Result<Option<String>, CommandError> {
    let (path, vkey) = (&config.keys.log, &config.keys.log_vkey);
    let (next, next_vkey) = (beside(path, ".next"), beside(vkey, ".next"));
    let (previous, previous_vkey) = (beside(path, ".previous"), beside(vkey, ".previous"));
    let is_cut = !path.exists() && next.exists();
    if !is_cut {
        if previous.exists() && !compromised {
            return Ok(None);
        }
        remove(&next)?;
        keyfile::make_note_key(
            &next,
            &next_vkey,
            &config.keys.log_origin,
            KeyKind::Log,
            ports,
        )?;
        if compromised {
            remove(&previous)?;
            remove(&previous_vkey)?;
        } else {
            fs::copy(vkey, &previous_vkey).map_err(failed(&previous_vkey))?;
            fs::rename(path, &previous).map_err(failed(path))?;
        }
    }
    fs::rename(&next_vkey, vkey).map_err(failed(vkey))?;
    fs::rename(&next, path).map_err(failed(path))?;
    let key = keyfile::log_key(path, &config.keys.log_origin)?;
    Ok(Some(key.verifying_key().to_string()))
}
