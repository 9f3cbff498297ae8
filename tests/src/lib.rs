//! The harness of the end-to-end scenarios: real PC/SC daemons, real key firmware, real servers on a private loopback, people at real terminals.
//!
//! It knows the products only as an outsider does: by their commands, configuration files and sockets. Nothing of ours is mocked.

pub mod attack;
pub mod browser;
pub mod card;
pub mod house;
pub mod http;
pub mod key;
pub mod narrator;
pub mod place;
pub mod portal;
pub mod process;
pub mod screen;
pub mod stage;
pub mod terminal;
pub mod workstation;
