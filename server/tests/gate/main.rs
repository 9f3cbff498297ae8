//! The gate against a real application, over real sockets: the desk with its SQLite file, a key that signs, an upstream
//! that records what reached it. One module for each promise of CONTRACT.md, "Gate".
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests own their clock and may fail loudly"
)]

mod authenticator;
mod house;
mod upstream;
mod wire;

/// Every way past the gate that we know of leads nowhere (attack 19).
mod bypass;
/// Each kind of client is told what it understands; delays and refusals never look like success.
mod clients;
/// Envoy asks with the body, and is told what the gate would do itself (attack 19).
mod envoy;
/// What is executed is executed once, exactly as it was held (attacks 5 and 21).
mod execution;
/// What was begotten is known, and falls with its parent at the gate too (attack 14).
mod lineage;
/// What is read is counted, and wants touches (attack 12).
mod meter;
/// What is not held streams, in bounded memory, with clean headers.
mod passing;
mod presence;
/// The gate's own session and paths.
mod session;
