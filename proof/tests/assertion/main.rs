//! The assertion verifier and `sceau-verify assertion`, from outside: one vector for every check, the public corpus, and a second implementation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod checks;
mod command;
mod corpus;
mod differential;
mod forge;
mod presence;
