//! Lists of revoked certificates: read from files and web addresses, kept in memory and on the disk, and read again when they may have changed.
//!
//! Not trusted: every list is signed, and `sceau_proof::piv::issuer` checks that where it is used, and that it is of this time. What cannot
//! be read or fetched leaves the list that was there before, until its age or its nextUpdate ends it: then nothing is accepted. The copy on the disk is
//! for a start while the address does not answer; it is no more trusted than the address.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sceau_proof::log::entry::sha256;
use sceau_proof::piv::issuer::{Crl, MAX_CRL};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use crate::config;
use crate::file;
use crate::metadata::fetch::read_file;
use crate::web;

/// How often an address is asked.
const FETCH: Duration = Duration::minutes(10);

/// Where one list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Address {
        address: String,
        /// Where the last good list is kept.
        cache: Option<PathBuf>,
    },
}

/// What is known of one place.
#[derive(Debug, Default)]
struct Slot {
    crl: Option<Crl>,
    /// Of the file: when it changed, and its length.
    stamp: Option<(SystemTime, u64)>,
    /// Of the address: when it was last asked.
    asked: Option<OffsetDateTime>,
}

#[derive(Debug, Default)]
struct Kept {
    slots: Vec<Slot>,
    lists: Arc<Vec<Crl>>,
}

/// One issuer's lists.
#[derive(Debug)]
pub(crate) struct Lists {
    places: Vec<Place>,
    web: ureq::Agent,
    kept: Mutex<Kept>,
}

impl Lists {
    /// The lists of these places; nothing is read yet. `cache`: the folder for what addresses gave.
    pub(crate) fn new(places: &[String], cache: Option<&Path>, web: ureq::Agent) -> Self {
        let place = |text: &String| {
            if config::is_address(text) {
                let name = format!("{}.crl", hex::encode(sha256(text.as_bytes())));
                Place::Address {
                    address: text.clone(),
                    cache: cache.map(|folder| folder.join(name)),
                }
            } else {
                Place::File(PathBuf::from(text))
            }
        };
        let places: Vec<Place> = places.iter().map(place).collect();
        let slots = places.iter().map(|_| Slot::default()).collect();
        Self {
            places,
            web,
            kept: Mutex::new(Kept {
                slots,
                lists: Arc::default(),
            }),
        }
    }

    /// The newest lists that could be had. Waits at most some seconds for each address, once in ten minutes.
    pub(crate) async fn current(&self, now: OffsetDateTime) -> Arc<Vec<Crl>> {
        let mut kept = self.kept.lock().await;
        let mut changed = false;
        for (place, slot) in self.places.iter().zip(&mut kept.slots) {
            changed |= match place {
                Place::File(path) => {
                    let found = slot.read(path).await;
                    found.is_some_and(|crl| slot.take(crl))
                }
                Place::Address { address, cache } => {
                    slot.refresh(&self.web, address, cache.as_deref(), now)
                        .await
                }
            };
        }
        if changed {
            let lists = kept.slots.iter().filter_map(|slot| slot.crl.clone());
            kept.lists = Arc::new(lists.collect());
        }
        Arc::clone(&kept.lists)
    }
}

impl Slot {
    /// An older list never takes the place of a newer one.
    fn take(&mut self, crl: Crl) -> bool {
        let newer = self
            .crl
            .as_ref()
            .is_none_or(|kept| kept.this_update() <= crl.this_update());
        if newer {
            self.crl = Some(crl);
        }
        newer
    }

    async fn read(&mut self, path: &PathBuf) -> Option<Crl> {
        let told = |error: &dyn std::fmt::Display| tracing::warn!(path = %path.display(), %error, "list of revoked certificates");
        let about = tokio::fs::metadata(path)
            .await
            .inspect_err(|error| told(error))
            .ok()?;
        let stamp = Some((about.modified().ok()?, about.len()));
        if stamp == self.stamp || about.len() > MAX_CRL as u64 {
            return None;
        }
        let bytes = tokio::fs::read(path)
            .await
            .inspect_err(|error| told(error))
            .ok()?;
        self.stamp = stamp;
        let parsed = blocking(move || parse(&bytes)).await;
        parsed.inspect_err(|error| told(error)).ok()
    }

    /// Asks an address when that is due, before the first time its kept copy; whether the list is another now.
    async fn refresh(
        &mut self,
        web: &ureq::Agent,
        address: &str,
        cache: Option<&Path>,
        now: OffsetDateTime,
    ) -> bool {
        if self.asked.is_some_and(|asked| now - asked < FETCH) {
            return false;
        }
        let first = self.asked.replace(now).is_none();
        let told = |error: String| tracing::warn!(address, error, "list of revoked certificates");
        let mut changed = false;
        if let Some(path) = cache.filter(|_| first).map(Path::to_owned) {
            match blocking(move || kept(&path)).await {
                Ok(Some(crl)) => changed |= self.take(crl),
                Ok(None) => {}
                Err(error) => told(error),
            }
        }
        let (web, from) = (web.clone(), address.to_owned());
        let fetched = blocking(move || {
            let bytes = web::body(web.get(&from).call(), MAX_CRL)?;
            Ok((parse(&bytes)?, bytes))
        });
        match fetched.await {
            Ok((crl, bytes)) => {
                if self.take(crl) {
                    changed = true;
                    if let Some(path) = cache.map(Path::to_owned)
                        && let Err(error) = blocking(move || keep(&path, &bytes)).await
                    {
                        told(error);
                    }
                }
            }
            Err(error) => told(error),
        }
        changed
    }
}

/// Files, the web client and eight megabytes of DER take a while: not on an async thread.
async fn blocking<A: Send + 'static>(
    work: impl FnOnce() -> Result<A, String> + Send + 'static,
) -> Result<A, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(error.to_string()),
    }
}

fn parse(bytes: &[u8]) -> Result<Crl, String> {
    Crl::read(bytes).map_err(|error| error.to_string())
}

fn kept(path: &Path) -> Result<Option<Crl>, String> {
    read_file(path)?.map(|bytes| parse(&bytes)).transpose()
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| file::replace(path, bytes))
        .map_err(|error| format!("{}: {error}", path.display()))
}
