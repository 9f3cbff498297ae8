//! The FIDO metadata list: fetched, verified, kept, and put in force (`desk::judgement`). Nothing is believed for where it came from: the
//! signature, its signer's chain and name, and a number that never goes back decide (`sceau_proof::metadata`). What is refused changes
//! nothing: the last good list stays in force, and on the disk for a start without the source.
//!
//! All of it runs beside the requests: reading, verifying and judging on threads of their own, the writes through the desk. When the
//! list is overdue beyond its grace nothing is believed any more (`attestation::Judge::blind`).

pub(crate) mod fetch;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sceau_proof::certificate::Certificate;
use sceau_proof::log::entry::sha256;
use sceau_proof::metadata::{Metadata, MetadataError, MetadataExpectation, PRODUCTION_ROOT};
use serde_json::{Value, json};
use time::{Date, Duration, OffsetDateTime, UtcOffset};

use crate::attestation::JudgeError;
use crate::config;
use crate::desk::{Believed, Contradiction, Desk, DeskError};
use crate::port::Ports;
use fetch::{Fetched, Fetcher, Validators};

/// After a failure the source is asked again this soon, then after twice that, and so on up to the usual interval.
const FIRST_RETRY: Duration = Duration::seconds(30);

/// Who may sign lists.
#[derive(Debug, Clone)]
pub struct Trust {
    roots: Vec<Certificate>,
    leaf_name: String,
}

impl Trust {
    /// Reads the root.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn load(section: &config::Metadata) -> Result<Self, JudgeError> {
        let (pem, path) = match &section.root {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| JudgeError::Unreadable {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
                (pem, path.as_path())
            }
            None => (
                PRODUCTION_ROOT.as_bytes().to_vec(),
                Path::new("the shipped metadata root"),
            ),
        };
        let roots = Certificate::from_pem(&pem).map_err(|error| JudgeError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            roots,
            leaf_name: section.leaf_name.clone(),
        })
    }
}

/// A verified list. Built by [`List::verify`] alone.
#[derive(Debug, Clone)]
pub struct List {
    metadata: Arc<Metadata>,
    sha256: [u8; 32],
    payload_sha256: [u8; 32],
}

impl List {
    /// Verifies untrusted bytes. Slow (tens of milliseconds for 10 MB): not for an async thread.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        blob: &[u8],
        trust: &Trust,
        seen_no: Option<u64>,
        at: OffsetDateTime,
    ) -> Result<Self, MetadataError> {
        let expectation = MetadataExpectation {
            roots: &trust.roots,
            leaf_name: &trust.leaf_name,
            seen_no,
            at,
        };
        let metadata = Metadata::verify(blob, &expectation)?;
        let payload = blob.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
        Ok(Self {
            metadata: Arc::new(metadata),
            sha256: sha256(blob.trim_ascii()),
            payload_sha256: sha256(payload),
        })
    }

    /// Its number.
    #[must_use]
    pub fn no(&self) -> u64 {
        self.metadata.no()
    }

    /// What it says.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata)
    }

    /// SHA-256 of the whole BLOB.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// SHA-256 of the signed payload: two signatures of one list are one list.
    #[must_use]
    pub fn payload_sha256(&self) -> [u8; 32] {
        self.payload_sha256
    }
}

/// Why the source gave no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// It does not answer, or not with a list; tried again.
    #[error("the metadata source is unavailable: {0}")]
    Unavailable(String),
    /// What it gave is not believed; logged, and what was in force stays.
    #[error("metadata is refused: {0}")]
    Refused(&'static str),
    /// Our own store.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What a refresh did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The source has nothing new.
    Unchanged,
    /// A list is in force, perhaps the same.
    InForce {
        /// Its number.
        no: u64,
        /// It is newer than the one before.
        changed: bool,
        /// Keys that fell by it.
        fallen: usize,
    },
}

/// Keeps the list current.
pub struct Keeper {
    desk: Desk,
    ports: Ports,
    trust: Trust,
    fetcher: Fetcher,
    validators: Validators,
    cache: PathBuf,
    refresh: Duration,
    failures: u32,
    refused: Option<([u8; 32], &'static str)>,
    judged_on: Option<Date>,
    alerted: bool,
}

impl Keeper {
    /// Reads the root and prepares the source; asks nothing yet.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn new(section: &config::Metadata, desk: Desk, ports: Ports) -> Result<Self, JudgeError> {
        Ok(Self {
            desk,
            ports,
            trust: Trust::load(section)?,
            fetcher: Fetcher::new(section.source.clone()),
            validators: Validators::default(),
            cache: section.cache.clone(),
            refresh: section.refresh.0,
            failures: 0,
            refused: None,
            judged_on: None,
            alerted: false,
        })
    }

    /// Puts the kept copy in force, if there is one and it may be; the source is not asked. What is wrong with it is logged.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(&mut self) -> Result<(), DeskError> {
        let cache = self.cache.clone();
        let read = tokio::task::spawn_blocking(move || fetch::read_file(&cache)).await;
        match read.map_err(|_| DeskError::Misuse("reading metadata"))? {
            Ok(Some(bytes)) => match self.put_in_force(bytes).await {
                Ok((list, _)) => {
                    tracing::info!(no = list.no(), "the kept metadata list is in force");
                }
                Err(RefreshError::Desk(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "the kept metadata list"),
            },
            Ok(None) => tracing::info!("no metadata list is kept yet"),
            Err(error) => tracing::warn!(error, "the kept metadata list cannot be read"),
        }
        Ok(())
    }

    /// Asks the source once. What it gives is verified, put in force and kept, or refused and logged.
    ///
    /// # Errors
    /// [`RefreshError`]; what was in force stays.
    pub async fn refresh(&mut self) -> Result<Refreshed, RefreshError> {
        let (fetcher, validators) = (self.fetcher.clone(), self.validators.clone());
        let fetched = tokio::task::spawn_blocking(move || fetcher.fetch(&validators))
            .await
            .map_err(|_| DeskError::Misuse("fetching metadata"))?
            .map_err(RefreshError::Unavailable)?;
        let Fetched::New { bytes, validators } = fetched else {
            return Ok(Refreshed::Unchanged);
        };
        let kept = bytes.clone();
        let (list, believed) = self.put_in_force(bytes).await?;
        let cache = self.cache.clone();
        let written = tokio::task::spawn_blocking(move || crate::file::replace(&cache, &kept));
        match written.await {
            // Only what is kept need not be fetched again.
            Ok(Ok(())) => self.validators = validators,
            Ok(Err(error)) => tracing::warn!(%error, "the metadata list cannot be kept"),
            Err(error) => tracing::warn!(%error, "the metadata list cannot be kept"),
        }
        self.refused = None;
        Ok(Refreshed::InForce {
            no: list.no(),
            changed: believed.changed,
            fallen: believed.fallen,
        })
    }

    async fn put_in_force(
        &mut self,
        bytes: Vec<u8>,
    ) -> Result<(Arc<List>, Believed), RefreshError> {
        let seen = self.desk.metadata_seen().await?.map(|seen| seen.no);
        let (trust, at) = (self.trust.clone(), self.ports.now());
        let digest = sha256(&bytes);
        let verified =
            tokio::task::spawn_blocking(move || List::verify(&bytes, &trust, seen, at)).await;
        let list = match verified.map_err(|_| DeskError::Misuse("verifying metadata"))? {
            Ok(list) => Arc::new(list),
            Err(error) => return Err(self.refuse(digest, error.reason(), seen).await?),
        };
        match self.desk.believe(Arc::clone(&list)).await? {
            Ok(believed) => {
                if believed.changed {
                    tracing::info!(
                        no = list.no(),
                        fallen = believed.fallen,
                        "a new metadata list is in force"
                    );
                }
                self.judged_on = Some(day(at));
                Ok((list, believed))
            }
            Err(contradiction) => Err(self.refuse(digest, contradiction.reason(), seen).await?),
        }
    }

    /// One entry for each thing refused, not for each time that it is offered.
    async fn refuse(
        &mut self,
        digest: [u8; 32],
        reason: &'static str,
        seen: Option<u64>,
    ) -> Result<RefreshError, DeskError> {
        if self.refused != Some((digest, reason)) {
            let data = json!({ "reason": reason, "in_force": seen, "sha256": hex::encode(digest) });
            self.note("metadata.refused", data).await?;
            self.refused = Some((digest, reason));
        }
        Ok(RefreshError::Refused(reason))
    }

    async fn note(&self, kind: &'static str, data: Value) -> Result<(), DeskError> {
        let data = data.as_object().cloned().unwrap_or_default();
        self.desk.note(kind, None, data).await
    }

    /// Asks the source now and then until `stop`.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            match self.refresh().await {
                Ok(_) => self.failures = 0,
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    tracing::warn!(%error, failures = self.failures, "metadata");
                }
            }
            if let Err(error) = self.look_after().await {
                tracing::warn!(%error, "metadata");
            }
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    /// What time changes: statuses take effect, and lists grow old.
    async fn look_after(&mut self) -> Result<(), DeskError> {
        let today = day(self.ports.now());
        if self.judged_on != Some(today) {
            self.desk.judge_keys().await?;
            self.judged_on = Some(today);
        }
        match self.desk.blind() {
            Some(reason) if !self.alerted => {
                tracing::error!(
                    reason,
                    "nothing is believed of keys: enrolments and privileged approvals are refused"
                );
                let seen = self.desk.metadata_seen().await?;
                let next_update = seen.as_ref().map(|seen| seen.next_update.as_str());
                let no = seen.as_ref().map(|seen| seen.no);
                self.note(
                    "alert.metadata",
                    json!({ "reason": reason, "no": no, "next_update": next_update }),
                )
                .await?;
                self.alerted = true;
            }
            Some(_) => {}
            None => self.alerted = false,
        }
        Ok(())
    }

    /// How long to wait: the interval, sooner after failures, never quite the same.
    fn pause(&self) -> std::time::Duration {
        let chance = self.ports.bytes::<1>().map_or(128, |[byte]| byte);
        pause(self.refresh, self.failures, chance)
    }
}

fn day(at: OffsetDateTime) -> Date {
    at.to_offset(UtcOffset::UTC).date()
}

/// The interval, or after `failures` in a row 30 s, 1 min, 2 min … up to it; between 80 % and 120 % of that by `chance`.
fn pause(interval: Duration, failures: u32, chance: u8) -> std::time::Duration {
    let base = match failures {
        0 => interval,
        failures => interval.min(FIRST_RETRY * (1_i32 << (failures - 1).min(16))),
    };
    let jittered = base * (0.8 + 0.4 * f64::from(chance) / 255.0);
    std::time::Duration::try_from(jittered).unwrap_or(std::time::Duration::from_secs(1))
}

/// Reads and verifies the kept copy, for commands that ask nobody; `None` when there is none.
///
/// # Errors
/// [`JudgeError`].
pub fn kept(section: &config::Metadata, at: OffsetDateTime) -> Result<Option<List>, JudgeError> {
    let trust = Trust::load(section)?;
    let path = &section.cache;
    let bytes = fetch::read_file(path).map_err(|reason| JudgeError::Unreadable {
        path: path.clone(),
        reason,
    })?;
    bytes
        .map(|bytes| List::verify(&bytes, &trust, None, at))
        .transpose()
        .map_err(|error| JudgeError::Malformed {
            path: path.clone(),
            reason: error.to_string(),
        })
}

/// Fetches a list from the source, verifies it, and writes it to a file when it is not older than what that file holds.
///
/// # Errors
/// [`RefreshError`].
pub fn fetch_to(
    section: &config::Metadata,
    trust: &Trust,
    out: &Path,
    at: OffsetDateTime,
) -> Result<List, RefreshError> {
    let held = fetch::read_file(out).map_err(RefreshError::Unavailable)?;
    let seen = held.and_then(|bytes| List::verify(&bytes, trust, None, at).ok());
    let fetched = Fetcher::new(section.source.clone())
        .fetch(&Validators::default())
        .map_err(RefreshError::Unavailable)?;
    let Fetched::New { bytes, .. } = fetched else {
        return Err(RefreshError::Unavailable("nothing".to_owned()));
    };
    let list = List::verify(&bytes, trust, seen.as_ref().map(List::no), at)
        .map_err(|error| RefreshError::Refused(error.reason()))?;
    if seen.is_some_and(|seen| {
        seen.no() == list.no() && seen.payload_sha256() != list.payload_sha256()
    }) {
        return Err(RefreshError::Refused(Contradiction::NumberReused.reason()));
    }
    crate::file::replace(out, &bytes)
        .map_err(|error| RefreshError::Unavailable(format!("{}: {error}", out.display())))?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_retried_sooner_than_the_interval_and_ever_less_often() {
        let interval = Duration::hours(6);
        let seconds = |failures| pause(interval, failures, 128).as_secs_f64().round() as u64;
        assert_eq!([1, 2, 3].map(seconds), [30, 60, 120]);
        assert_eq!(seconds(0), 21_617);
        assert_eq!(seconds(0), seconds(40), "never less often than usual");
        assert_eq!(pause(Duration::milliseconds(200), 9, 0).as_millis(), 160);
        assert_eq!(pause(Duration::milliseconds(200), 0, 255).as_millis(), 240);
    }
}
