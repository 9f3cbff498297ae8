//! What authenticators speak, over two tiny ports: packets (HID) and APDUs (PC/SC).
//!
//! Specifications: CTAP 2.2 (section numbers without a name are its), ISO 7816-4, NIST SP 800-73-4. Pure: no I/O, clock, randomness or
//! logging; they are the ports of [`port`]. Everything an authenticator says is hostile until a server has verified it; here it is only
//! bounded, parsed, and matched to the question.
//!
//! ```text
//! ceremony   register, authenticate, locate: the whole conversation
//!    │
//! credential, assertion, client_pin, config, credential_management, info, command, u2f: one request, one reply
//!    │
//! device::Device     call(command, parameters, progress)
//!    ├── hid::HidDevice   CTAPHID over port::PacketPort
//!    └── nfc::NfcDevice   NFCCTAP over port::ApduPort          piv: PIV cards, on the same port
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod apdu;
pub mod assertion;
pub mod cbor;
pub mod ceremony;
pub mod client_pin;
pub mod command;
pub mod config;
pub mod credential;
pub mod credential_management;
pub mod device;
pub mod error;
pub mod hid;
pub mod info;
pub mod nfc;
pub mod pin;
pub mod pin_protocol;
pub mod piv;
pub mod port;
pub mod tlv;
pub mod u2f;

pub use device::{Control, Deadlines, Device, Keepalive, Progress, unattended};
pub use error::{Error, FramingError, Refused, ReplyError, Status, StatusWord, WireError};
pub use pin::Pin;
pub use port::{ApduPort, Clock, Entropy, NoEntropy, PacketPort, PortError};
