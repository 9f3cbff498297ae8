//! Attestation, trust, metadata and model policy: one binary, one module a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

/// The command that auditors run.
mod command;
/// Real registrations of others, as labelled.
mod corpus;
/// Authenticators and manufacturers of our own making, in every shape that a check must refuse.
mod maker;
/// Metadata BLOBs, real and made.
mod metadata;
/// The three verdicts in one.
mod model;
/// The same status histories given to others.
mod peers;
/// One vector for each check of a statement, which fails only that check.
mod statement;
/// Paths to anchors and metadata entries.
mod trust;
