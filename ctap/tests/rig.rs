//! The devices of these tests: an honest authenticator in memory, and the two ways to plug it in (a card, a HID stick).
//!
//! The authenticator side of CTAP2 is written here from the specification with AWS-LC's primitives, sharing none of the crate's
//! protocol code; time is simulated, so that a two-minute deadline passes in microseconds. What it signs is not a signature: verifying
//! is another crate's business.

mod card;
mod key;
mod stick;

pub(crate) use card::{Card, apdu_data};
pub(crate) use key::{Key, SharedKey, assertion, authenticator_data, info_2_0, info_2_1};
pub(crate) use stick::{CHANNEL, Stick, frames};

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use sceau_ctap::{Clock, Entropy, NoEntropy};

pub(crate) const RP_ID: &str = "sceau.example";
pub(crate) const PIN: &str = "caf\u{e9} 0451";

/// Simulated time, shared by a device and the code that waits for it.
#[derive(Clone, Default)]
pub(crate) struct SimClock(Rc<Cell<Duration>>);

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
}

/// Gives the bytes it was made of, draw by draw, then a counter.
#[derive(Default)]
pub(crate) struct Draws(pub(crate) VecDeque<Vec<u8>>, pub(crate) u8);

impl Entropy for Draws {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.1 = self.1.wrapping_add(1);
        match self.0.pop_front() {
            Some(draw) => out.copy_from_slice(&draw),
            None => out.fill(self.1),
        }
        Ok(())
    }
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data).as_ref().try_into().unwrap()
}
