//! The process, the reader and the USB port of a virtual key.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{ApduPort, PacketPort, PortError};

/// A running `vkey`, killed when dropped, with a state folder that goes with it.
pub(super) struct Vkey {
    child: Child,
    pub(super) folder: tempfile::TempDir,
}

impl Vkey {
    pub(super) fn start(binary: &Path, transport: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary);
        command
            .arg(transport)
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--control")
            .arg(folder.path().join("control"));
        if transport == "sock" {
            command.arg("--reports").arg(folder.path().join("reports"));
        }
        let child = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub(super) fn say(&self, binary: &Path, words: &[&str]) {
        let said = Command::new(binary)
            .arg("say")
            .arg(self.folder.path().join("control"))
            .args(words)
            .output()
            .unwrap();
        assert!(said.status.success(), "{words:?}: {said:?}");
    }
}

impl Drop for Vkey {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reader's side of a card on TCP: length in two bytes, then an APDU; one byte is a command of the reader.
pub(super) struct Reader(TcpStream);

impl Reader {
    /// A listening port pair, as the driver has one for each slot.
    pub(super) fn listen() -> (TcpListener, TcpListener, u16) {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(second) = TcpListener::bind(("127.0.0.1", port.saturating_add(1))) {
                return (first, second, port);
            }
        }
    }

    pub(super) fn accept(listener: &TcpListener) -> Self {
        // A `vkey` that did not start fails the test instead of holding it.
        listener.set_nonblocking(true).unwrap();
        let stream = (0..1000)
            .find_map(|_| {
                let accepted = listener.accept().ok().map(|(stream, _)| stream);
                if accepted.is_none() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                accepted
            })
            .expect("the card is put in");
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut reader = Self(stream);
        reader.send(&[1]).unwrap();
        reader.send(&[4]).unwrap();
        assert_eq!(reader.receive().unwrap()[0], 0x3b, "an answer to reset");
        reader
    }

    fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.0
            .write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length)?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        self.0.read_exact(&mut message)?;
        Ok(message)
    }
}

impl ApduPort for Reader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        self.send(command)
            .and_then(|()| self.receive())
            .map_err(|_| PortError::Gone)
    }
}

/// The USB port's side of a stick: one report per message.
pub(super) struct Usb(OwnedFd);

impl Usb {
    pub(super) fn open(path: &Path) -> Self {
        let address = SocketAddrUnix::new(path).unwrap();
        for _ in 0..500 {
            let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            if connect(&socket, &address).is_ok() {
                return Self(socket);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the key did not appear at {}", path.display());
    }
}

impl PacketPort for Usb {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        send(&self.0, packet, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(|_| PortError::Gone)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        if poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout))
            .map_err(|_| PortError::Gone)?
            == 0
        {
            return Ok(None);
        }
        match recv(&self.0, &mut packet[..], RecvFlags::empty()) {
            Ok((_, 0)) | Err(_) => Err(PortError::Gone),
            Ok((_, length)) => Ok(Some(length)),
        }
    }
}
