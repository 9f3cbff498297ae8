//! Everything of `sceau-ctap` that is tested from outside, against devices that sit at the ports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod allocation;
mod ceremony;
mod corpus;
mod firmware;
mod fuzz;
mod hostile;
mod piv;
mod rig;
mod vector;
