//! Reading a log where everyone reads it: its checkpoint, and the tiles that a comparison with the last cosigned one needs. What the log sends
//! to witnesses and what it shows to others must be one history.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sceau_proof::log::note::{MAX_NOTE, Note};
use sceau_proof::log::tile::{Tile, TileSet, WIDTH};
use sceau_proof::log::view::ViewError;
use sceau_proof::log::{VerifiedCheckpoint, view, witness as rule};

use super::{Log, Witness};
use crate::web::Web;

impl Witness {
    /// Reads each log that has an address once. Returns whether all were as they should be.
    pub async fn follow_once(&self) -> bool {
        let mut all_well = true;
        for log in self.logs.values() {
            let Some(url) = log.url.clone() else { continue };
            match self.follow(log, url).await {
                Ok(()) => {
                    log.failures.store(0, Ordering::Relaxed);
                }
                Err(reason) => {
                    all_well = false;
                    let failures = log.failures.fetch_add(1, Ordering::Relaxed) + 1;
                    tracing::warn!(log = log.origin, %reason, failures, "following");
                }
            }
        }
        all_well && self.standing().await.iter().all(|log| log.forks == 0)
    }

    /// For ever, with a pause between rounds.
    pub async fn follow_for_ever(self: Arc<Self>, pause: std::time::Duration) {
        loop {
            self.follow_once().await;
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow(&self, log: &Log, url: String) -> Result<(), String> {
        let seen = log
            .last
            .lock()
            .await
            .as_ref()
            .map_or(0, VerifiedCheckpoint::size);
        let (web, keys) = (self.web.clone(), log.keys.clone());
        let fetched = tokio::task::spawn_blocking(move || {
            let base = url.trim_end_matches('/');
            let bytes = read(&web, &format!("{base}/checkpoint"))?.ok_or("no checkpoint")?;
            let note = Note::parse(&bytes).map_err(|error| error.to_string())?;
            let shown = rule::open(&note, &keys).map_err(|error| error.to_string())?;
            let mut tiles = TileSet::new();
            for tile in view::tiles(seen, shown.size()) {
                let bytes = read_tile(&web, base, tile)?;
                tiles
                    .insert(&tile, &bytes)
                    .map_err(|error| error.to_string())?;
            }
            Ok::<_, String>((note, tiles))
        });
        let (note, tiles) = fetched.await.map_err(|error| error.to_string())??;
        match self.followed(log, note, Some(&tiles)).await {
            Ok(()) => Ok(()),
            // Something was pushed meanwhile, for which these tiles were not fetched: the next round compares with that.
            Err(ViewError::Tiles)
                if log
                    .last
                    .lock()
                    .await
                    .as_ref()
                    .map_or(0, VerifiedCheckpoint::size)
                    != seen =>
            {
                Ok(())
            }
            Err(ViewError::RolledBack { .. })
                if log
                    .last
                    .lock()
                    .await
                    .as_ref()
                    .map_or(0, VerifiedCheckpoint::size)
                    != seen =>
            {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn read(web: &Web, url: &str) -> Result<Option<Vec<u8>>, String> {
    let longest = u64::try_from(MAX_NOTE).unwrap_or(u64::MAX);
    let answer = web
        .get(url, longest)
        .map_err(|error| format!("{url}: {error}"))?;
    match answer.status {
        200 => Ok(Some(answer.body)),
        404 | 410 => Ok(None),
        status => Err(format!("{url}: status {status}")),
    }
}

/// The tile's own file, or the first part of the full one that replaced it.
fn read_tile(web: &Web, base: &str, tile: Tile) -> Result<Vec<u8>, String> {
    let length = usize::from(tile.width).saturating_mul(32);
    let full = Tile {
        width: WIDTH,
        ..tile
    };
    for path in [tile.path(), full.path()] {
        if let Some(mut bytes) = read(web, &format!("{base}/{path}"))? {
            bytes.truncate(length);
            return Ok(bytes);
        }
    }
    Err(format!("no {}", tile.path()))
}
