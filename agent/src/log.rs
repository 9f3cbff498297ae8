//! The server's log as this workstation sees it: the last checkpoint is remembered, each newer one must extend it, and every approval that was
//! sealed here must be in it. A server that shows different logs to different people is caught by ordinary workstations.
//!
//! Kept in `$XDG_STATE_HOME/sceau/log.json` (0600, replaced as a whole): the log's key, the last checkpoint, and, once it was seen, the breach with
//! the two signed notes that show it. The key is configuration (`log_key`), or else the one that the server named first; a key that the old one
//! signed beside is taken over, any other is a breach. Nothing is believed but signatures under that key and hashes that lead to them.
//!
//! After a breach nothing more is sealed from here until a person has forgotten it (`sceau log --forget`), which is for the administrator to tell
//! them. What is not reached is no breach: it is looked at again with the next connection.
//! Deliberately elsewhere: the comparison itself ([`sceau_proof::log::view`]).

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sceau_proof::evidence::{LoggedEntry, json_sha256};
use sceau_proof::log::checkpoint::{self, CheckpointError};
use sceau_proof::log::note::VerifyingKey;
use sceau_proof::log::tile::{Tile, TileSet, WIDTH};
use sceau_proof::log::view::{self, ViewError};
use sceau_proof::log::{Entry, VerifiedCheckpoint, leaf_hash, verify_inclusion};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::server::{Server, ServerError};
use crate::session::{self, Token};

/// Pauses before the proof of an approval is asked for, and asked for again: the last is given up on.
const PAUSES: [u64; 5] = [0, 1, 2, 5, 10];

/// What was seen that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreachKind {
    /// Two signed checkpoints that contradict each other.
    Forked,
    /// A newest checkpoint older than the one seen before.
    RolledBack,
    /// Signed by another key, or by none.
    KeyChanged,
    /// The server took an approval that is not in its log.
    NotLogged,
}

impl BreachKind {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::RolledBack => "rolled-back",
            Self::KeyChanged => "key-changed",
            Self::NotLogged => "not-logged",
        }
    }
}

/// A breach, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which.
    pub kind: BreachKind,
    /// When it was seen, RFC 3339.
    pub at: String,
    /// In words, for administrators.
    pub detail: String,
    /// The checkpoint that was held.
    pub held: Option<String>,
    /// The checkpoint that was shown then.
    pub shown: Option<String>,
}

/// What is kept between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    server: String,
    key: Option<String>,
    checkpoint: Option<String>,
    breach: Option<Breach>,
}

/// An approval that was sealed here and taken by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The action.
    pub action: Uuid,
    /// SHA-256 of its canonical bytes.
    pub action_sha256: [u8; 32],
    /// The digest of the response, as the log has it (docs/evidence.md).
    pub response_sha256: [u8; 32],
}

/// The digest of what was reported, as the log has it: the credential's name is the key record's, and not part of it.
#[must_use]
pub fn response_sha256(report: &Value) -> Option<[u8; 32]> {
    let mut response = report.get("response")?.clone();
    response.as_object_mut()?.remove("credential_id");
    json_sha256(&response).ok()
}

/// Something to look at.
enum Job {
    /// The newest checkpoint.
    Newest,
    /// Whether an approval is in the log.
    Approval(Sealed, Token),
}

/// Why nothing can be said, or what was found.
enum Doubt {
    /// Not reached, or an answer that cannot be read: another time.
    Unknown(String),
    /// Found.
    Breach {
        kind: BreachKind,
        detail: String,
        shown: Option<String>,
    },
}

impl From<ServerError> for Doubt {
    fn from(error: ServerError) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// `GET /v1/actions/{id}/inclusion`.
#[derive(Deserialize)]
struct Inclusion {
    checkpoint: String,
    entries: Vec<LoggedEntry>,
}

/// The log, seen from here. For one thread.
pub struct View {
    path: PathBuf,
    server: String,
    configured: Option<VerifyingKey>,
    kept: RefCell<Kept>,
    jobs: mpsc::UnboundedSender<Job>,
    waiting: RefCell<Option<mpsc::UnboundedReceiver<Job>>>,
    /// Approvals found in the log since the start.
    included: Cell<u64>,
}

impl View {
    /// Reads what is kept of `server`'s log. Another server's is forgotten.
    ///
    /// # Errors
    /// The file is there and cannot be used: whoever can change it could hide a breach, so it is not guessed.
    pub fn load(path: PathBuf, server: &str, configured: Option<VerifyingKey>) -> io::Result<Self> {
        let kept = session::read_own(&path)?
            .map(|bytes| {
                serde_json::from_slice::<Kept>(&bytes)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a log state file"))
            })
            .transpose()?
            .filter(|kept| kept.server == server)
            .unwrap_or_else(|| Kept {
                server: server.to_owned(),
                ..Kept::default()
            });
        let (jobs, waiting) = mpsc::unbounded_channel();
        Ok(Self {
            path,
            server: server.to_owned(),
            configured,
            kept: RefCell::new(kept),
            jobs,
            waiting: RefCell::new(Some(waiting)),
            included: Cell::new(0),
        })
    }

    /// What stands against this log.
    #[must_use]
    pub fn breach(&self) -> Option<Breach> {
        self.kept.borrow().breach.clone()
    }

    /// For people and programs.
    #[must_use]
    pub fn status(&self) -> Value {
        let kept = self.kept.borrow();
        let size = kept
            .checkpoint
            .as_deref()
            .and_then(|note| note.lines().nth(1)?.parse::<u64>().ok());
        json!({
            "state": kept.breach.as_ref().map_or("consistent", |breach| breach.kind.as_str()),
            "key": self.configured.as_ref().map(ToString::to_string).or_else(|| kept.key.clone()),
            "size": size,
            "included": self.included.get(),
            "breach": kept.breach,
        })
    }

    /// Forgets checkpoint, key and breach: what the server shows next is believed. For a person whom the administrator told to.
    ///
    /// # Errors
    /// The file cannot be replaced.
    pub fn forget(&self) -> io::Result<()> {
        self.change(|kept| {
            *kept = Kept {
                server: self.server.clone(),
                ..Kept::default()
            }
        })
    }

    /// Asks for the newest checkpoint to be looked at.
    pub fn look(&self) {
        let _ = self.jobs.send(Job::Newest);
    }

    /// Asks for an approval to be found in the log.
    pub fn expect(&self, sealed: Sealed, token: Token) {
        let _ = self.jobs.send(Job::Approval(sealed, token));
    }

    /// Does what is asked for, one after the other, for ever. `changed` is called when something changed.
    pub async fn follow(
        &self,
        server: &Server,
        clock: impl Fn() -> OffsetDateTime,
        changed: impl Fn(),
    ) {
        let Some(mut jobs) = self.waiting.borrow_mut().take() else {
            return std::future::pending().await;
        };
        while let Some(job) = jobs.recv().await {
            if self.breach().is_some() {
                continue;
            }
            let found = match &job {
                Job::Newest => self.newest(server).await,
                Job::Approval(sealed, token) => self.find(server, sealed, token).await,
            };
            match found {
                Ok(()) => {}
                Err(Doubt::Unknown(reason)) => tracing::info!(reason, "the log was not looked at"),
                Err(Doubt::Breach {
                    kind,
                    detail,
                    shown,
                }) => {
                    tracing::error!(
                        kind = kind.as_str(),
                        detail,
                        "THE SERVER'S LOG IS NOT WHAT IT WAS: nothing more is sealed from here"
                    );
                    let at = clock().format(&Rfc3339).unwrap_or_default();
                    let kept = self.change(|kept| {
                        kept.breach = Some(Breach {
                            kind,
                            at,
                            detail,
                            held: kept.checkpoint.clone(),
                            shown,
                        });
                    });
                    if let Err(error) = kept {
                        tracing::error!(%error, "the breach could not be written down; it holds until the agent ends");
                    }
                }
            }
            changed();
        }
    }

    /// In memory first: what cannot be written still holds.
    fn change(&self, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let mut kept = self.kept.borrow_mut();
        change(&mut kept);
        session::write_own(&self.path, &serde_json::to_vec(&*kept)?)
    }

    async fn newest(&self, server: &Server) -> Result<(), Doubt> {
        let note = fetch(server, "/log/checkpoint").await?;
        self.take(server, &note, true).await.map(drop)
    }

    /// The log's key: as configured, or as pinned, or the one that the server names now.
    async fn key(&self, server: &Server) -> Result<VerifyingKey, Doubt> {
        if let Some(key) = &self.configured {
            return Ok(key.clone());
        }
        let pinned = self.kept.borrow().key.clone();
        let text = match pinned {
            Some(text) => text,
            None => self.named(server).await?,
        };
        VerifyingKey::parse(&text).map_err(|error| Doubt::Unknown(error.to_string()))
    }

    async fn named(&self, server: &Server) -> Result<String, Doubt> {
        let bytes = fetch(server, "/log/vkey").await?;
        String::from_utf8(bytes)
            .map(|text| text.trim().to_owned())
            .map_err(|_| Doubt::Unknown("the log's key is not text".to_owned()))
    }

    /// Compares a checkpoint with the one that is held, and keeps the later. `is_newest`: it was shown as the newest, so it may not be older.
    async fn take(
        &self,
        server: &Server,
        note: &[u8],
        is_newest: bool,
    ) -> Result<VerifiedCheckpoint, Doubt> {
        let key = self.key(server).await?;
        let text = String::from_utf8_lossy(note).into_owned();
        let shown = checkpoint::open(note, &key, &[]).map_err(|error| match error {
            CheckpointError::Malformed => Doubt::Unknown(error.to_string()),
            _ => Doubt::Breach {
                kind: BreachKind::KeyChanged,
                detail: error.to_string(),
                shown: Some(text.clone()),
            },
        })?;
        let held = self.kept.borrow().checkpoint.clone();
        let held = held
            .as_deref()
            .and_then(|held| checkpoint::open(held.as_bytes(), &key, &[]).ok());
        if let Some(held) = &held {
            let (earlier, later) = if !is_newest && shown.size() < held.size() {
                (&shown, held)
            } else {
                (held, &shown)
            };
            let mut tiles = TileSet::new();
            for tile in view::tiles(earlier.size(), later.size()) {
                let bytes = fetch_tile(server, tile).await?;
                tiles
                    .insert(&tile, &bytes)
                    .map_err(|error| Doubt::Unknown(error.to_string()))?;
            }
            view::extends(earlier, later, &tiles).map_err(|error| {
                let kind = match error {
                    ViewError::RolledBack { .. } => BreachKind::RolledBack,
                    ViewError::Forked { .. } | ViewError::Origin => BreachKind::Forked,
                    ViewError::Tiles => return Doubt::Unknown(error.to_string()),
                };
                Doubt::Breach {
                    kind,
                    detail: error.to_string(),
                    shown: Some(text.clone()),
                }
            })?;
        }
        if held.is_none_or(|held| held.size() < shown.size()) {
            let kept = self.change(|kept| {
                kept.key = Some(key.to_string());
                kept.checkpoint = Some(text.clone());
            });
            if let Err(error) = kept {
                tracing::warn!(%error, "the checkpoint could not be kept");
            }
        }
        if self.configured.is_none() {
            self.succeed(server, note, &key).await;
        }
        Ok(shown)
    }

    /// A key that signs beside the pinned one takes its place.
    async fn succeed(&self, server: &Server, note: &[u8], pinned: &VerifyingKey) {
        let Ok(named) = self.named(server).await else {
            return;
        };
        let Ok(next) = VerifyingKey::parse(&named) else {
            return;
        };
        if next != *pinned && checkpoint::open(note, &next, &[]).is_ok() {
            tracing::info!(
                key = named,
                "the log's next key, signed beside the last, is taken over"
            );
            if let Err(error) = self.change(|kept| kept.key = Some(named)) {
                tracing::warn!(%error, "the log's key could not be kept");
            }
        }
    }

    /// Looks for an approval, a few times: a checkpoint that witnesses see takes a moment.
    async fn find(&self, server: &Server, sealed: &Sealed, token: &Token) -> Result<(), Doubt> {
        let mut last = Doubt::Unknown(String::new());
        for pause in PAUSES {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            match self.find_once(server, sealed, token).await {
                Ok(()) => {
                    self.included.set(self.included.get().saturating_add(1));
                    tracing::info!(action = %sealed.action, "the approval is in the log");
                    return Ok(());
                }
                // Only an approval that is not visible yet is asked for again; what cannot be reached is left to the next time.
                Err(
                    doubt @ Doubt::Breach {
                        kind: BreachKind::NotLogged,
                        ..
                    },
                ) => last = doubt,
                Err(doubt) => return Err(doubt),
            }
        }
        Err(last)
    }

    async fn find_once(
        &self,
        server: &Server,
        sealed: &Sealed,
        token: &Token,
    ) -> Result<(), Doubt> {
        let path = format!("/v1/actions/{}/inclusion", sealed.action);
        let missing = |shown: Option<String>| Doubt::Breach {
            kind: BreachKind::NotLogged,
            detail: format!("the approval of {} is not in the log", sealed.action),
            shown,
        };
        let inclusion: Inclusion = match server.get(&path, Some(token), Duration::ZERO).await {
            Ok(inclusion) => inclusion,
            Err(ServerError::Refused { status: 404, .. }) => return Err(missing(None)),
            Err(error) => return Err(error.into()),
        };
        let shown = self
            .take(server, inclusion.checkpoint.as_bytes(), false)
            .await?;
        let is_there = inclusion
            .entries
            .iter()
            .any(|entry| is_of(entry, sealed, &shown));
        if is_there {
            Ok(())
        } else {
            Err(missing(Some(inclusion.checkpoint)))
        }
    }
}

/// Whether this entry, in this checkpoint's tree, is of that approval.
fn is_of(entry: &LoggedEntry, sealed: &Sealed, shown: &VerifiedCheckpoint) -> bool {
    let Ok(parsed) = Entry::parse(&entry.leaf) else {
        return false;
    };
    parsed.kind() == "action.approved"
        && parsed.subject_id("action") == Some(sealed.action.to_string().as_str())
        && parsed.sha256_of("action") == Some(&sealed.action_sha256)
        && parsed.sha256_of("approval") == Some(&sealed.response_sha256)
        && verify_inclusion(
            &leaf_hash(&entry.leaf),
            entry.index,
            shown.size(),
            &entry.inclusion,
            shown.root(),
        )
        .is_ok()
}

async fn fetch(server: &Server, path: &str) -> Result<Vec<u8>, Doubt> {
    server
        .fetch(path)
        .await?
        .map(Vec::from)
        .ok_or_else(|| Doubt::Unknown(format!("no {path}")))
}

/// The tile's own file, or the first part of the full one that replaced it.
async fn fetch_tile(server: &Server, tile: Tile) -> Result<Vec<u8>, Doubt> {
    let full = Tile {
        width: WIDTH,
        ..tile
    };
    for path in [tile.path(), full.path()] {
        if let Some(bytes) = server.fetch(&format!("/log/{path}")).await? {
            let mut bytes = Vec::from(bytes);
            bytes.truncate(usize::from(tile.width).saturating_mul(32));
            return Ok(bytes);
        }
    }
    Err(Doubt::Unknown(format!("no {}", tile.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_outlives_the_daemon_and_is_of_one_server() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sceau/log.json");
        let view = View::load(path.clone(), "https://sceau.example", None).unwrap();
        assert_eq!(view.status()["state"], "consistent");
        view.change(|kept| {
            kept.checkpoint = Some("sceau.example/log\n7\n".to_owned());
            kept.breach = Some(Breach {
                kind: BreachKind::Forked,
                at: "2026-11-22T00:00:00Z".to_owned(),
                detail: "two".to_owned(),
                held: None,
                shown: None,
            });
        })
        .unwrap();
        let again = View::load(path.clone(), "https://sceau.example", None).unwrap();
        assert_eq!(
            again.breach().map(|breach| breach.kind),
            Some(BreachKind::Forked)
        );
        assert_eq!(again.status()["size"], 7);
        let other = View::load(path.clone(), "https://other.example", None).unwrap();
        assert_eq!(other.breach(), None);
        again.forget().unwrap();
        let fresh = View::load(path.clone(), "https://sceau.example", None).unwrap();
        assert_eq!(fresh.breach(), None);
        std::fs::write(&path, "{").unwrap();
        assert!(View::load(path, "https://sceau.example", None).is_err());
    }

    #[test]
    fn the_digest_is_of_the_response_without_the_credential_id() {
        let with = json!({"key_id": "k", "response": {"signature": "AA", "credential_id": "BB"}});
        let without = json!({"response": {"signature": "AA"}});
        assert_eq!(response_sha256(&with), response_sha256(&without));
        assert_eq!(response_sha256(&json!({})), None);
    }
}
