//! A hostile key on both ports: every behaviour ends within its deadline of simulated time, in less than a mebibyte of growth, with an error
//! that says what happened; and the next honest call works.

mod apdu;
mod content;
mod hid;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::apdu::{Command, Framing, exchange};
use sceau_ctap::assertion::{GetAssertion, get_assertion};
use sceau_ctap::cbor::{CborError, Writer};
use sceau_ctap::client_pin;
use sceau_ctap::credential::{MakeCredential, NewCredential, RelyingParty, User, make_credential};
use sceau_ctap::hid::HidDevice;
use sceau_ctap::info;
use sceau_ctap::nfc::NfcDevice;
use sceau_ctap::pin_protocol::PinProtocol;
use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{
    ApduPort, Clock, Control, Deadlines, Device, Error, FramingError, PacketPort, Pin, PortError,
    Refused, ReplyError, Status, StatusWord, WireError, u2f, unattended,
};

use crate::allocation;
use crate::rig::{
    CHANNEL, Card, Draws, Key, RP_ID, SharedKey, SimClock, Stick, assertion, authenticator_data,
    frames, info_2_1,
};

const HASH: [u8; 32] = [0x22; 32];
const MEMORY: usize = 1 << 20;

/// A call that ends in a credential id.
type Call = fn(&mut dyn Device) -> Result<Vec<u8>, Error>;

/// The reports that answer an INIT, from its nonce.
type Greeting = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// What a tampered port does with the next honest report, if there is one.
type Tamper = Box<dyn FnMut(Option<Vec<u8>>) -> Result<Option<Vec<u8>>, PortError>>;

/// A stick that lies once it has given a channel.
#[derive(Clone)]
struct Liar {
    stick: Rc<RefCell<Stick>>,
    tamper: Rc<RefCell<Option<Tamper>>>,
    clock: SimClock,
}

impl PacketPort for Liar {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        self.stick.borrow_mut().write_packet(packet)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        let mut tamper = self.tamper.borrow_mut();
        let Some(tamper) = tamper.as_mut() else {
            return self.stick.borrow_mut().read_packet(packet, timeout);
        };
        let honest = self.stick.borrow_mut().out.pop_front();
        match tamper(honest)? {
            Some(report) => {
                self.clock.sleep(Duration::from_micros(50));
                packet[..report.len()].copy_from_slice(&report);
                Ok(Some(report.len()))
            }
            None => {
                self.clock.sleep(timeout.max(Duration::from_micros(50)));
                Ok(None)
            }
        }
    }
}

/// A call to a lying stick: its result, within memory and time bounds.
fn lied_to<T>(
    key: &SharedKey,
    tamper: impl FnMut(Option<Vec<u8>>) -> Result<Option<Vec<u8>>, PortError> + 'static,
    call: impl Fn(&mut dyn Device) -> Result<T, Error>,
) -> Result<T, Error> {
    let clock = SimClock::default();
    let liar = Liar {
        stick: Rc::new(RefCell::new(Stick::new(key.clone(), clock.clone()))),
        tamper: Rc::new(RefCell::new(None)),
        clock: clock.clone(),
    };
    let mut device =
        HidDevice::open(liar.clone(), clock.clone(), [9; 8], Deadlines::default()).unwrap();
    *liar.tamper.borrow_mut() = Some(Box::new(tamper));
    let start = clock.now();
    let (result, peak) = allocation::peak(|| call(&mut device));
    assert!(peak < MEMORY, "{peak} bytes");
    assert!(
        clock.now() - start <= Duration::from_secs(125),
        "{:?}",
        clock.now() - start
    );
    // The same device, honest again, works: it is resynchronised, not misread.
    *liar.tamper.borrow_mut() = None;
    liar.stick.borrow_mut().out.clear();
    info::info(&mut device).expect("the next honest call works");
    result
}

fn ask(device: &mut dyn Device) -> Result<info::AuthenticatorInfo, Error> {
    info::info(device)
}

fn sign(device: &mut dyn Device) -> Result<Vec<u8>, Error> {
    let allow: [&[u8]; 1] = [&[7; 64]];
    let request = GetAssertion {
        rp_id: RP_ID,
        client_data_hash: &HASH,
        allow: &allow,
        up: true,
        uv: false,
        token: None,
    };
    Ok(get_assertion(device, &request, &mut unattended)?
        .remove(0)
        .credential_id)
}

fn make(device: &mut dyn Device) -> Result<NewCredential, Error> {
    let request = MakeCredential {
        client_data_hash: &HASH,
        rp: RelyingParty {
            id: RP_ID,
            name: None,
        },
        user: User {
            id: b"amartin",
            name: None,
            display_name: None,
        },
        algorithms: &[-7],
        exclude: &[],
        cred_protect: None,
        min_pin_length: false,
        rk: false,
        uv: false,
        token: None,
        enterprise_attestation: None,
    };
    make_credential(device, &request, &mut unattended)
}

fn wire<T>(error: impl Into<WireError>) -> Result<T, Error> {
    Err(Error::Wire(error.into()))
}
