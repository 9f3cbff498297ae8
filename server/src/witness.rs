//! A witness: follows the logs that it is told of, cosigns what extends all that it has cosigned before, and says it loudly when a log goes
//! back or shows two histories. It belongs to somebody else than the log does.
//!
//! What an attacker who controls a part could do: *the log* — nothing but be silent, or leave the proof of its fork here; *the network* — delay;
//! *this machine* — cosign a fork, which is why k of several witnesses are demanded; *a restored backup of the state folder* — have a second
//! history cosigned: a witness whose state is lost or restored is retired, not restarted.
//!
//! | what fails | persisted? | then |
//! |---|---|---|
//! | writing the new checkpoint | not known | nothing of this log is cosigned any more; the next start reads what is true |
//! | the process, after the file and before the answer | yes | the log asks again: the same size, the same root, a new cosignature |
//! | a checkpoint file that does not read back at the start | – | the witness does not start |
//!
//! The rule itself is [`sceau_proof::log::witness`]. Here are its state and clock; HTTP is `http`, following is `follow`.

pub mod config;
mod follow;
mod http;

pub use http::router;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sceau_proof::log::entry::sha256;
use sceau_proof::log::note::{Note, SigningKey, VerifyingKey};
use sceau_proof::log::view::ViewError;
use sceau_proof::log::witness::{self, AddCheckpoint, Extension, WitnessError};
use sceau_proof::log::{VerifiedCheckpoint, tile::TileSet};
use serde_json::json;
use tokio::sync::Mutex;

use crate::file;
use crate::port::Ports;
use crate::web::Web;
use config::Config;

/// Proofs of forks of one log that are kept: one is enough, some more tell how it went on.
const PROOFS: u64 = 16;

/// Why a witness cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration.
    #[error("configuration: {0}")]
    Config(String),
    /// The key.
    #[error(transparent)]
    Key(#[from] crate::keyfile::KeyFileError),
    /// What was kept does not read back, is not there, or another process has it: never start anew, that could cosign a fork.
    #[error("{path}: {problem}")]
    State {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Why this request is not answered with a cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The rule says no.
    #[error(transparent)]
    Rule(#[from] WitnessError),
    /// No such log here.
    #[error("this witness does not follow that log")]
    UnknownLog,
    /// The log has shown two histories: nothing of it is cosigned until an administrator of this witness has looked.
    #[error("this log has shown two histories")]
    Distrusted,
    /// Our own disk or key.
    #[error("the witness cannot keep its state")]
    Unavailable,
}

/// How a log stands, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The log.
    pub origin: String,
    /// Entries in the last cosigned checkpoint.
    pub size: u64,
    /// Proofs of a fork that were kept; any one ends the cosigning.
    pub forks: u64,
    /// Whether what the log shows as newest is older than what was cosigned.
    pub is_behind: bool,
    /// Rounds of following in a row that came to nothing.
    pub failures: u64,
}

struct Log {
    origin: String,
    keys: Vec<VerifyingKey>,
    url: Option<String>,
    folder: PathBuf,
    last: Mutex<Option<VerifiedCheckpoint>>,
    forks: AtomicU64,
    is_behind: AtomicBool,
    failures: AtomicU64,
    /// A write failed: what the file holds is not known until the next start.
    is_unsure: AtomicBool,
}

/// A witness. One for each state folder, which is locked while it lives.
pub struct Witness {
    key: SigningKey,
    ports: Ports,
    web: Web,
    alert: Vec<String>,
    logs: HashMap<String, Log>,
    _lock: File,
}

/// Where a log's state is kept: the SHA-256 of its origin, hexadecimal.
fn folder_of(state: &Path, origin: &str) -> PathBuf {
    state.join(hex::encode(sha256(origin.as_bytes())))
}

fn state_error(path: &Path, problem: impl ToString) -> SetupError {
    SetupError::State {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

impl Witness {
    /// Reads key and state.
    ///
    /// # Errors
    /// [`SetupError`]; a state that is missing or does not read back is one, never a reason to begin anew.
    pub fn load(config: &Config, ports: Ports) -> Result<Self, SetupError> {
        let key = config.signing_key()?;
        let lock = File::open(config.state.join("lock")).map_err(|error| {
            state_error(
                &config.state,
                format!("{error}; `sceau-witness init` makes it"),
            )
        })?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| state_error(&config.state, "another witness runs on it"))?;
        let mut logs = HashMap::new();
        for followed in &config.log {
            let keys = followed.keys().map_err(SetupError::Config)?;
            let origin = keys
                .first()
                .map(|key| key.name().to_owned())
                .unwrap_or_default();
            let folder = folder_of(&config.state, &origin);
            fs::create_dir_all(&folder).map_err(|error| state_error(&folder, error))?;
            let log = Log {
                last: Mutex::new(kept(&folder, &keys)?),
                forks: AtomicU64::new(forks(&folder)?),
                origin: origin.clone(),
                keys,
                url: followed.url.clone(),
                folder,
                is_behind: AtomicBool::new(false),
                failures: AtomicU64::new(0),
                is_unsure: AtomicBool::new(false),
            };
            if logs.insert(origin.clone(), log).is_some() {
                return Err(SetupError::Config(format!("two logs named {origin}")));
            }
        }
        Ok(Self {
            key,
            ports,
            web: Web::new(config.patience.as_std(), "sceau-witness"),
            alert: config.alert.clone(),
            logs,
            _lock: lock,
        })
    }

    /// This witness's public key.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// Decides about a request, makes what it accepts durable, and then cosigns it. Returns the signature line with its newline.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn add(&self, body: &[u8]) -> Result<String, Refused> {
        let request = AddCheckpoint::parse(body)?;
        let log = self.logs.get(request.origin()).ok_or(Refused::UnknownLog)?;
        let note = request.note.clone();
        // Held until the new checkpoint is durable and in memory.
        let mut last = log.last.lock().await;
        match witness::consider(request, &log.keys, last.as_ref()) {
            Ok(extension) => self.cosign(log, &mut last, extension).await,
            Err(refusal) => {
                if let (WitnessError::Forked { size }, Some(_)) = (&refusal, &*last) {
                    self.forked(log, &note, *size).await;
                }
                Err(refusal.into())
            }
        }
    }

    /// Takes what following found. Returns whether the log is as it should be.
    async fn followed(
        &self,
        log: &Log,
        note: Note,
        tiles: Option<&TileSet>,
    ) -> Result<(), ViewError> {
        let mut last = log.last.lock().await;
        let Ok(shown) = witness::open(&note, &log.keys) else {
            return Err(ViewError::Tiles);
        };
        let none = TileSet::new();
        let extension =
            Extension::followed(last.as_ref(), note.clone(), shown, tiles.unwrap_or(&none));
        match extension {
            Ok(extension) => {
                log.is_behind.store(false, Ordering::Relaxed);
                // The same again is nothing new; and a log that was pushed here further is checked by what was pushed.
                let is_new = last
                    .as_ref()
                    .is_none_or(|last| last.size() < extension.checkpoint().size());
                if is_new {
                    let _ = self.cosign(log, &mut last, extension).await;
                }
                Ok(())
            }
            Err(error) => {
                match error {
                    ViewError::Forked { size } => self.forked(log, &note, size).await,
                    ViewError::RolledBack { seen, shown } => {
                        if !log.is_behind.swap(true, Ordering::Relaxed) {
                            self.shout(json!({"alert": "rolled-back", "log": log.origin, "seen": seen, "shown": shown}))
                                .await;
                        }
                    }
                    ViewError::Tiles | ViewError::Origin => {}
                }
                Err(error)
            }
        }
    }

    async fn cosign(
        &self,
        log: &Log,
        last: &mut Option<VerifiedCheckpoint>,
        extension: Extension,
    ) -> Result<String, Refused> {
        if log.forks.load(Ordering::Relaxed) > 0 {
            return Err(Refused::Distrusted);
        }
        if log.is_unsure.load(Ordering::Relaxed) {
            return Err(Refused::Unavailable);
        }
        let checkpoint = extension.checkpoint().clone();
        let mut note = extension.note().clone();
        let time = u64::try_from(self.ports.now().unix_timestamp()).unwrap_or_default();
        let line = extension
            .cosign(&self.key, time)
            .map_err(|_| Refused::Unavailable)?;
        note.attach(line.clone());
        let path = log.folder.join("checkpoint");
        let written =
            tokio::task::spawn_blocking(move || file::replace(&path, note.to_string().as_bytes()));
        let written = written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = written {
            log.is_unsure.store(true, Ordering::Relaxed);
            tracing::error!(log = log.origin, %error, "the state cannot be written; nothing of this log is cosigned until the next start");
            return Err(Refused::Unavailable);
        }
        *last = Some(checkpoint);
        Ok(format!("{line}\n"))
    }

    /// Keeps both notes, and says it: not again of what was shown last, and not without end.
    async fn forked(&self, log: &Log, other: &Note, size: u64) {
        let kept = log.forks.load(Ordering::Relaxed);
        let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
        let before = fs::read_to_string(log.folder.join(format!("fork-{kept}")).join("shown"));
        let is_known = before.is_ok_and(|before| text(&before) == text(&other.to_string()));
        if is_known || kept >= PROOFS {
            return;
        }
        let number = kept + 1;
        let proof = log.folder.join(format!("fork-{number}"));
        let ours = fs::read(log.folder.join("checkpoint")).unwrap_or_default();
        let kept = fs::create_dir_all(&proof)
            .and_then(|()| file::replace(&proof.join("cosigned"), &ours))
            .and_then(|()| file::replace(&proof.join("shown"), other.to_string().as_bytes()));
        if let Err(error) = kept {
            tracing::error!(log = log.origin, %error, "the proof of a fork cannot be kept");
        }
        log.forks.store(number, Ordering::Relaxed);
        self.shout(json!({"alert": "forked", "log": log.origin, "size": size, "proof": proof}))
            .await;
    }

    /// To the operator's log, and to the program that is configured for it.
    async fn shout(&self, alert: serde_json::Value) {
        use tokio::io::AsyncWriteExt as _;

        tracing::error!(%alert, "THE LOG IS NOT WHAT IT WAS");
        let Some((program, arguments)) = self.alert.split_first() else {
            return;
        };
        let started = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(false)
            .spawn();
        match started {
            Ok(mut child) => {
                if let Some(mut stdin) = child.stdin.take() {
                    let _ = stdin.write_all(format!("{alert}\n").as_bytes()).await;
                }
                tokio::spawn(async move { child.wait().await });
            }
            Err(error) => tracing::error!(program, %error, "the alert program did not start"),
        }
    }

    /// How every log stands.
    pub async fn standing(&self) -> Vec<Standing> {
        let mut all = Vec::with_capacity(self.logs.len());
        for log in self.logs.values() {
            let size = log
                .last
                .lock()
                .await
                .as_ref()
                .map_or(0, VerifiedCheckpoint::size);
            all.push(Standing {
                origin: log.origin.clone(),
                size,
                forks: log.forks.load(Ordering::Relaxed),
                is_behind: log.is_behind.load(Ordering::Relaxed),
                failures: log.failures.load(Ordering::Relaxed),
            });
        }
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        all
    }

    /// The last cosigned checkpoint of the log whose folder has this name, with our line.
    fn cosigned(&self, name: &str) -> Option<io::Result<Vec<u8>>> {
        let log = self
            .logs
            .values()
            .find(|log| log.folder.file_name().is_some_and(|folder| folder == name))
            .filter(|log| !log.is_unsure.load(Ordering::Relaxed))?;
        match fs::read(log.folder.join("checkpoint")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read),
        }
    }
}

/// The last cosigned checkpoint, as it was made durable.
fn kept(folder: &Path, keys: &[VerifyingKey]) -> Result<Option<VerifiedCheckpoint>, SetupError> {
    let path = folder.join("checkpoint");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(state_error(&path, error)),
    };
    let note = Note::parse(&bytes).map_err(|error| state_error(&path, error))?;
    witness::open(&note, keys)
        .map(Some)
        .map_err(|error| state_error(&path, error))
}

fn forks(folder: &Path) -> Result<u64, SetupError> {
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(|error| state_error(folder, error))? {
        let entry = entry.map_err(|error| state_error(folder, error))?;
        if entry.file_name().to_string_lossy().starts_with("fork-") {
            count += 1;
        }
    }
    Ok(count)
}

/// Makes key, verifier key and state folder. Returns the verifier key.
///
/// # Errors
/// [`SetupError`] when the key or the state is there already.
pub fn init(config: &Config, ports: &Ports) -> Result<VerifyingKey, SetupError> {
    fs::create_dir_all(&config.state).map_err(|error| state_error(&config.state, error))?;
    let key = config.make_key(ports)?;
    let lock = config.state.join("lock");
    file::replace(&lock, b"").map_err(|error| state_error(&lock, error))?;
    Ok(key)
}
