//! The two things that the server cannot compute: the time and randomness. They are arguments of everything else;
//! only `main` owns real ones.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

/// Wall-clock time, UTC. It may jump; the writer refuses to go back (see `writer`).
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> OffsetDateTime;
}

/// The random source is broken: nothing may be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness")]
pub struct NoRandomness;

/// Cryptographic randomness.
pub trait Random: Send + Sync + 'static {
    /// Fills `buffer` with unpredictable bytes.
    ///
    /// # Errors
    /// When the system's source fails; the caller must not go on.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness>;
}

/// Both ports, cheap to clone.
#[derive(Clone)]
pub struct Ports {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    /// The ports that the process runs with.
    pub fn new(clock: impl Clock, random: impl Random) -> Self {
        Self {
            clock: Arc::new(clock),
            random: Arc::new(random),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// See [`Random::fill`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A UUID v7 of `now`: time-ordered, unguessable in its 74 random bits.
    ///
    /// # Errors
    /// See [`Random::fill`].
    pub fn uuid(&self, now: OffsetDateTime) -> Result<Uuid, NoRandomness> {
        let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.bytes()?).into_uuid())
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
