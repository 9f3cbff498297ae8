//! The card in a PC/SC reader: vsmartcard's `vpcd` driver within pcscd listens on TCP, the card connects.
//!
//! Messages are a big-endian length of two bytes and that many bytes; one byte is a command of the reader (power,
//! reset, ATR), more are an APDU. Connecting is insertion, disconnecting is removal.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;

use crate::card::{Card, Fault};
use crate::control::Port;
use crate::firmware::Device;
use crate::misbehave::card::{Misbehave, Mode};

/// Where the first slot of the driver listens by default (`CHANNELID 0x8C7B`); the second is the next port.
pub const FIRST_PORT: u16 = 0x8c7b;

const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const GET_ATR: u8 = 4;

/// Between two attempts to reach a reader that is not there (pcscd starts, or starts again).
const RETRY: Duration = Duration::from_millis(25);

/// Historical bytes: card capabilities with chaining and extended lengths (ISO 7816-4 §8.1.1.2.7).
const HISTORICAL: [u8; 5] = [0x80, 0x73, 0xc0, 0x21, 0xc0];

/// The ATR of a card that speaks T=1.
pub fn atr_t1() -> Vec<u8> {
    let mut atr = vec![0x3b, 0x80 | HISTORICAL.len() as u8, 0x80, 0x01];
    atr.extend(HISTORICAL);
    atr.push(atr.iter().skip(1).fold(0, |sum, byte| sum ^ byte));
    atr
}

/// The ATR of a card that speaks T=0.
pub fn atr_t0() -> Vec<u8> {
    let mut atr = vec![0x3b, HISTORICAL.len() as u8];
    atr.extend(HISTORICAL);
    atr
}

/// One slot of the reader, with its card in or out.
pub struct Slot {
    name: &'static str,
    port: u16,
    atr: Vec<u8>,
    device: Arc<Device>,
    fault: Fault,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inserted: bool,
    stream: Option<TcpStream>,
    /// The reader has asked for the ATR: it has seen the card.
    seen: bool,
    apdus: u64,
}

impl Slot {
    /// A slot, and the thread that plays its card. The card is out.
    pub fn start(
        name: &'static str,
        port: u16,
        atr: Vec<u8>,
        device: Arc<Device>,
        fault: Fault,
        card: Card,
    ) -> io::Result<Arc<Self>> {
        let slot = Arc::new(Self {
            name,
            port,
            atr,
            device,
            fault,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        thread::Builder::new().name(name.to_owned()).spawn({
            let slot = Arc::clone(&slot);
            move || slot.play(card)
        })?;
        Ok(slot)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, mut card: Card) {
        loop {
            let mut state = self.lock();
            while !state.inserted {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            match TcpStream::connect_timeout(
                &SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
                Duration::from_secs(1),
            ) {
                Ok(stream) => {
                    self.serve(stream, &mut card).ok();
                    card.power_off();
                    let mut state = self.lock();
                    state.stream = None;
                    state.seen = false;
                    self.changed.notify_all();
                }
                Err(_) => thread::sleep(RETRY),
            }
        }
    }

    fn serve(&self, mut stream: TcpStream, card: &mut Card) -> io::Result<()> {
        stream.set_nodelay(true)?;
        {
            let mut state = self.lock();
            if !state.inserted {
                return Ok(());
            }
            state.stream = Some(stream.try_clone()?);
        }
        loop {
            let message = receive(&mut stream)?;
            match message.as_slice() {
                [POWER_OFF] => card.power_off(),
                [POWER_ON | RESET] => card.power_on().map_err(io::Error::other)?,
                [GET_ATR] => {
                    send(&mut stream, &self.atr)?;
                    let mut state = self.lock();
                    if !state.seen {
                        state.seen = true;
                        self.changed.notify_all();
                    }
                }
                [_] | [] => {}
                command => {
                    self.lock().apdus += 1;
                    if let Some(answer) = card.transmit(command) {
                        send(&mut stream, &answer)?;
                    }
                }
            }
        }
    }
}

impl Port for Slot {
    fn name(&self) -> &'static str {
        self.name
    }

    fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn insert(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        state.inserted = true;
        self.changed.notify_all();
        while !state.seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn remove(&self) {
        let mut state = self.lock();
        state.inserted = false;
        if let Some(stream) = &state.stream {
            stream.shutdown(Shutdown::Both).ok();
        }
        while state.stream.is_some() {
            self.device.touch.cancel();
            state = self
                .changed
                .wait_timeout(state, Duration::from_millis(2))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn is_ready(&self) -> bool {
        self.lock().seen
    }

    fn exchanges(&self) -> u64 {
        self.lock().apdus
    }

    fn misbehave(&self, mode: Option<&str>) -> Result<(), String> {
        let fault = mode
            .map(|mode| Mode::from_str(mode, true))
            .transpose()?
            .map(Misbehave::new);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        Ok(())
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    read_exactly(stream, &mut head)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(head))];
    read_exactly(stream, &mut message)?;
    Ok(message)
}

fn read_exactly(stream: &mut TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        acknowledge_quickly(stream);
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => buffer = buffer.get_mut(read..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

/// The driver sends length and message apart, without TCP_NODELAY: a delayed acknowledgement would cost 40 ms each time.
fn acknowledge_quickly(stream: &TcpStream) {
    rustix::net::sockopt::set_tcp_quickack(stream, true).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atr_checksum_is_right() {
        assert_eq!(atr_t1().iter().skip(1).fold(0, |sum, byte| sum ^ byte), 0);
        assert_eq!(atr_t0().len(), 7);
    }
}
