//! Randomness and time for the protocol: adapters of the daemon's own.

use std::time::{Duration, Instant};

use sceau_ctap::{Clock, Entropy, NoEntropy};

/// The system's randomness, through the cryptographic library.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        aws_lc_rs::rand::fill(out).map_err(|_| NoEntropy)
    }
}

/// The system's monotonic clock, for an authenticator's deadlines only.
pub struct SystemClock(Instant);

impl SystemClock {
    /// Starts at zero.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "an adapter to hardware: deadlines are measured where the waiting is done"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
