//! What a workstation is, as far as the server can tell: the session that speaks, and the network address and device name that it came from.
//!
//! The session and the address are the server's own observation (behind a proxy the address is the proxy's); the device name is the agent's
//! word, bounded and never shown. Who controls two machines, or lies about a name behind one address, is not caught: docs/policy.md says so.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::SessionId;

/// Longest device name, in bytes.
pub const MAX_DEVICE: usize = 64;

/// Where an approval or a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workstation {
    /// The session that spoke.
    pub session: SessionId,
    /// The address that it spoke from.
    pub address: IpAddr,
    /// How the device calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Workstation {
    /// Whether both may be one machine: what is unknown counts as the same.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let named_apart =
            self.device.is_some() && other.device.is_some() && self.device != other.device;
        self.session == other.session || (self.address == other.address && !named_apart)
    }
}

/// Whether a text may be a device's name: short and printable.
#[must_use]
pub fn is_device(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_DEVICE && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(session: u128, address: &str, device: Option<&str>) -> Workstation {
        Workstation {
            session: SessionId(uuid::Uuid::from_u128(session)),
            address: address.parse().unwrap(),
            device: device.map(str::to_owned),
        }
    }

    #[test]
    fn only_what_is_known_to_differ_is_another_workstation() {
        let desk = at(1, "10.0.0.1", Some("pc-12"));
        assert!(
            desk.may_be(&at(1, "10.0.0.9", Some("pc-13"))),
            "one session"
        );
        assert!(
            desk.may_be(&at(2, "10.0.0.1", Some("pc-12"))),
            "one machine, two sessions"
        );
        assert!(
            desk.may_be(&at(2, "10.0.0.1", None)),
            "one address, and no name"
        );
        assert!(!desk.may_be(&at(2, "10.0.0.1", Some("pc-13"))));
        assert!(!desk.may_be(&at(2, "10.0.0.2", None)));
    }

    #[test]
    fn names_of_devices_are_plain() {
        assert!(is_device("pc-12.prefecture.example"));
        for odd in ["", "a b", "a\u{1b}", &"x".repeat(65)] {
            assert!(!is_device(odd), "{odd:?}");
        }
    }
}
