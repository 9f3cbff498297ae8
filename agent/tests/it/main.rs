//! The daemon and the command as processes: real sockets, real terminals, a server that can lie; with a virtual key where `vkey` is built.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod card;
mod ceremony;
mod day;
mod desktop;
mod doctor;
mod fault;
mod identity;
mod life;
#[cfg(feature = "pkcs11")]
mod module;
mod relay;
mod seat;
mod socket;
mod workstation;
