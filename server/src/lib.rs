//! The companion server: persons, keys, policy, approvals, permits, log, gate.
//!
//! A handler is: parse → load → decide (pure) → save state *and* log entry in one transaction → respond. Decisions
//! become state in `desk` alone; what proves something is checked by `sceau_proof`.

pub mod action;
pub mod api;
pub mod attestation;
pub mod command;
pub mod config;
mod console;
pub mod desk;
pub mod dormancy;
pub mod export;
pub mod fact;
mod file;
pub mod gate;
mod hub;
pub mod id;
pub mod key;
pub mod keyfile;
pub mod lineage;
pub mod listen;
pub mod metadata;
pub mod metrics;
pub mod oauth;
pub mod page;
pub mod person;
pub mod piv;
pub mod policy;
pub mod port;
pub mod presence;
pub mod provider;
pub mod rate;
pub mod reading;
pub mod report;
pub mod session;
pub mod signal;
pub mod store;
pub mod stream;
pub mod supervisor;
mod web;
pub mod witness;
pub mod workstation;
mod writer;
