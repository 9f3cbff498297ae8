//! What udev multicasts when it has finished with a device (the `udev` group of `NETLINK_KOBJECT_UEVENT`): only whether a hidraw node is
//! concerned. What is there is then read from sysfs, so a forged message costs one look and nothing else.
//!
//! udev, not the kernel: the kernel tells of a node before its owner, mode and access list are set.

use std::os::fd::OwnedFd;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The multicast group that udev sends to, as a bit (the kernel's own is 1).
const UDEV_GROUP: u32 = 2;
/// Larger than any message; what is longer is cut and then does not parse.
const MAX_MESSAGE: usize = 16 * 1024;

/// A socket that becomes readable when udev has finished with a device.
///
/// # Errors
/// The system has no such sockets, or refuses one.
pub(super) fn listen() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(KOBJECT_UEVENT),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, UDEV_GROUP))?;
    Ok(socket)
}

/// Takes everything that waits on the socket; whether any of it is about hidraw nodes, or was lost.
pub(super) fn drain(socket: &OwnedFd) -> bool {
    let mut concerned = false;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => {
                concerned |= buffer.get(..length).is_some_and(is_about_hidraw);
            }
            Err(rustix::io::Errno::INTR) => {}
            // The system dropped messages: anything may have changed.
            Err(rustix::io::Errno::NOBUFS) => concerned = true,
            Err(_) => return concerned,
        }
    }
}

/// Reads libudev's format: "libudev\0", magic (big endian), size of the header, offset and length of the properties (native), the rest of
/// the header; then properties, each ended by NUL.
fn is_about_hidraw(message: &[u8]) -> bool {
    let properties = || {
        let header = message.strip_prefix(b"libudev\0\xfe\xed\xca\xfe")?;
        let word = |at: usize| {
            let bytes = header.get(at..at + 4)?;
            usize::try_from(u32::from_ne_bytes(bytes.try_into().ok()?)).ok()
        };
        let (offset, length) = (word(4)?, word(8)?);
        message.get(offset..offset.checked_add(length)?)
    };
    properties().is_some_and(|properties| {
        properties
            .split(|byte| *byte == 0)
            .any(|property| property == b"SUBSYSTEM=hidraw")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: &[u8]) -> Vec<u8> {
        let word = |value: usize| u32::try_from(value).unwrap().to_ne_bytes();
        let mut bytes = b"libudev\0\xfe\xed\xca\xfe".to_vec();
        bytes.extend(word(40));
        bytes.extend(word(40));
        bytes.extend(word(properties.len()));
        bytes.extend([0; 16]);
        bytes.extend(properties);
        bytes
    }

    #[test]
    fn hidraw_events_are_told_from_others() {
        let about =
            message(b"ACTION=add\0DEVPATH=/devices/x/hidraw/hidraw0\0SUBSYSTEM=hidraw\0SEQNUM=9\0");
        assert!(is_about_hidraw(&about));
        assert!(!is_about_hidraw(&message(
            b"ACTION=add\0SUBSYSTEM=block\0HINT=SUBSYSTEM=hidraw\0"
        )));
        assert!(!is_about_hidraw(b"add@/devices/x\0SUBSYSTEM=hidraw\0"));
    }

    #[test]
    fn lying_headers_are_ignored() {
        let about = message(b"SUBSYSTEM=hidraw\0");
        for end in 0..about.len() - 1 {
            assert!(!is_about_hidraw(&about[..end]), "{end}");
        }
        for (at, value) in [(16, u32::MAX), (20, u32::MAX), (16, 56)] {
            let mut lying = about.clone();
            lying[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert!(!is_about_hidraw(&lying), "{at}");
        }
    }
}
