//! Lists of revoked certificates: read from files and `http:` addresses, kept, and read again when they may have changed.
//!
//! Not trusted: every list is signed, and `sceau_proof::piv::issuer` checks that where it is used, and that it is of this time. What cannot
//! be read or fetched leaves the list that was there before, until its age ends it: then nothing is accepted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration as Span, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sceau_proof::piv::issuer::{Crl, MAX_CRL};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use crate::config;

/// How often an address is asked.
const FETCH: Duration = Duration::minutes(10);
/// How long one fetch may take.
const PATIENCE: Span = Span::from_secs(5);

/// Where one list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Address(http::Uri),
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
    kept: Mutex<Kept>,
}

impl Lists {
    /// The lists of these places; nothing is read yet. `None` for an address that is none.
    pub(crate) fn new(places: &[String]) -> Option<Self> {
        let place = |text: &String| {
            if config::is_address(text) {
                text.parse().ok().map(Place::Address)
            } else {
                Some(Place::File(PathBuf::from(text)))
            }
        };
        let places: Vec<Place> = places.iter().map(place).collect::<Option<_>>()?;
        let slots = places.iter().map(|_| Slot::default()).collect();
        Some(Self {
            places,
            kept: Mutex::new(Kept {
                slots,
                lists: Arc::default(),
            }),
        })
    }

    /// The newest lists that could be had. Waits at most some seconds for each address, once in ten minutes.
    pub(crate) async fn current(&self, now: OffsetDateTime) -> Arc<Vec<Crl>> {
        let mut kept = self.kept.lock().await;
        let mut changed = false;
        for (place, slot) in self.places.iter().zip(&mut kept.slots) {
            let found = match place {
                Place::File(path) => slot.read(path).await,
                Place::Address(address) => slot.fetch(address, now).await,
            };
            changed |= found.is_some_and(|crl| slot.take(crl));
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
        parse(bytes).await.inspect_err(|error| told(error)).ok()
    }

    async fn fetch(&mut self, address: &http::Uri, now: OffsetDateTime) -> Option<Crl> {
        if self.asked.is_some_and(|asked| now - asked < FETCH) {
            return None;
        }
        self.asked = Some(now);
        let told = |error: &dyn std::fmt::Display| tracing::warn!(%address, %error, "list of revoked certificates");
        let bytes = match tokio::time::timeout(PATIENCE, get(address.clone())).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                told(&error);
                return None;
            }
            Err(late) => {
                told(&late);
                return None;
            }
        };
        parse(bytes).await.inspect_err(|error| told(error)).ok()
    }
}

/// Reading eight megabytes takes a while: not on an async thread.
async fn parse(bytes: Vec<u8>) -> Result<Crl, String> {
    tokio::task::spawn_blocking(move || Crl::read(&bytes))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

/// The body of a 200 answer, within the budget. Redirects are not followed.
async fn get(address: http::Uri) -> Result<Vec<u8>, String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client
        .get(address)
        .await
        .map_err(|error| error.to_string())?;
    if answer.status() != http::StatusCode::OK {
        return Err(format!("status {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_CRL).collect().await;
    Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
}
