//! The log entries that refused requests leave (`gate.refused`): who tried what, as a code and digests, never the request.
//!
//! Anybody can send refused requests without end, so entries are rationed: what is over the ration is counted, and the count
//! is in the next entry. What the desk refuses or denies itself has its own entries.

use std::sync::{Mutex, PoisonError};

use http::{Method, Uri};
use sceau_proof::log::entry::sha256;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::desk::Desk;
use crate::gate::canon::is_safe;
use crate::gate::client::Code;
use crate::id::PersonId;

/// Entries at once, and how many more each second.
const BURST: f64 = 30.0;
const PER_SECOND: f64 = 1.0;
/// Codes whose entries the desk writes, or that refuse nothing.
const NOT_OURS: [&str; 14] = [
    "approval-needed",
    "denied",
    "refused",
    "expired",
    "already-used",
    "already-settled",
    "answered-elsewhere",
    "outcome-unknown",
    "application-unavailable",
    "unavailable",
    "not-found",
    "not-allowed",
    "too-many",
    "body-timeout",
];

/// What is known of a request that was refused.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) method: Method,
    /// What it asked for; the log gets its digest.
    pub(super) target: Uri,
    /// Whose session it was.
    pub(super) person: Option<PersonId>,
}

/// The ration of entries.
#[derive(Debug)]
pub(super) struct Ration(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: OffsetDateTime,
    skipped: u64,
}

impl Ration {
    pub(super) fn new(now: OffsetDateTime) -> Self {
        Self(Mutex::new(Bucket {
            left: BURST,
            at: now,
            skipped: 0,
        }))
    }

    /// `Some(skipped)` when an entry may be written: how many were not, since the last.
    pub(super) fn take(&self, now: OffsetDateTime) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = (now - bucket.at).as_seconds_f64().max(0.0);
        bucket.left = (bucket.left + passed * PER_SECOND).min(BURST);
        bucket.at = bucket.at.max(now);
        if bucket.left < 1.0 {
            bucket.skipped += 1;
            return None;
        }
        bucket.left -= 1.0;
        Some(std::mem::take(&mut bucket.skipped))
    }
}

/// Writes the entry of a refused request, durably, before its client hears of the refusal.
pub(super) async fn note(desk: &Desk, ration: &Ration, attempt: Attempt, code: Option<Code>) {
    let Some(Code(code)) = code else {
        return;
    };
    // Scanners read odd paths all day; what matters is who tries to change something, or has a session.
    let matters = attempt.person.is_some() || !is_safe(&attempt.method);
    if !matters || NOT_OURS.contains(&code.as_str()) {
        return;
    }
    let Some(skipped) = ration.take(desk.now()) else {
        return;
    };
    let mut data = Map::new();
    for (name, value) in [
        ("code", Value::from(code.as_str())),
        (
            "method",
            Value::from(
                attempt
                    .method
                    .as_str()
                    .get(..16)
                    .unwrap_or(attempt.method.as_str()),
            ),
        ),
        (
            "target_sha256",
            Value::from(hex::encode(sha256(attempt.target.to_string().as_bytes()))),
        ),
        ("skipped", Value::from(skipped)),
    ] {
        data.insert(name.to_owned(), value);
    }
    if let Err(error) = desk.note("gate.refused", attempt.person, data).await {
        tracing::warn!(%error, code, "a refusal could not be logged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_instead_of_logged() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let ration = Ration::new(start);
        let written = (0..1_000).filter(|_| ration.take(start).is_some()).count();
        assert_eq!(written, 30);
        assert_eq!(
            ration.take(start + time::Duration::milliseconds(1_500)),
            Some(970)
        );
        assert_eq!(
            ration.take(start + time::Duration::milliseconds(1_600)),
            None
        );
        assert_eq!(ration.take(start), None);
    }
}
