//! A HID wire without a kernel: reports as messages on a Unix socket (SOCK_SEQPACKET).
//!
//! As on a hidraw node, several programs may have it open at once: each sees every report that the key sends. A
//! client sends 64 bytes, or 65 with the report number 0 in front as hidraw wants it, and receives 64. While the key is
//! out, nobody listens; when it is pulled, every connection ends.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, listen, recv, send, socket_with,
};

use crate::hid::{PACKET, Packet, Wire};

/// A listening socket and the programs that have the key open.
pub(crate) struct Sock {
    path: PathBuf,
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

impl Sock {
    /// Plugs the key in: listens at this path.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        fs::remove_file(path).ok();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        listen(&listener, 8)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            clients: Vec::new(),
        })
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

impl Wire for Sock {
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(&self.listener)
            .chain(&self.clients)
            .map(|source| source.as_fd())
            .collect()
    }

    fn receive(&mut self) -> io::Result<Vec<Packet>> {
        while let Ok(client) =
            accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            self.clients.push(client);
        }
        let mut packets = Vec::new();
        self.clients.retain(|client| {
            loop {
                let mut buffer = [0; PACKET + 2];
                match recv(client, &mut buffer, RecvFlags::empty()) {
                    Ok((_, 0)) => return false,
                    Ok((_, length)) => packets.extend(report(&buffer, length)),
                    Err(Errno::AGAIN) => return true,
                    Err(Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
        });
        Ok(packets)
    }

    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        // A reader that does not keep up loses reports, as with hidraw's ring.
        self.clients.retain(|client| {
            match send(client, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::AGAIN) => true,
                Err(_) => false,
            }
        });
        Ok(())
    }

    fn is_seen(&self) -> bool {
        true
    }
}

/// The report in a message: without its number, padded as the kernel does; too long is none.
fn report(buffer: &[u8], length: usize) -> Option<Packet> {
    let sent = match length {
        0..=PACKET => buffer.get(..length)?,
        _ if length == PACKET + 1 => buffer.get(1..length)?,
        _ => return None,
    };
    let mut packet = [0; PACKET];
    packet.get_mut(..sent.len())?.copy_from_slice(sent);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_the_report_number_and_pads() {
        let numbered: Vec<u8> = (0..66).collect();
        assert_eq!(report(&numbered, 65).map(|packet| packet[0]), Some(1));
        assert_eq!(report(&numbered, 64).map(|packet| packet[0]), Some(0));
        assert_eq!(
            report(&numbered, 3).map(|packet| (packet[2], packet[3])),
            Some((2, 0))
        );
        assert_eq!(report(&numbered, 66), None);
    }
}
