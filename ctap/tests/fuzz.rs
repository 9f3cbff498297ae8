//! A deterministic mutation fuzzer over everything that reads foreign bytes: framing, APDU replies, CBOR replies.
//!
//! Honest traffic is recorded and mutated. The same seed gives the same run; `SCEAU_FUZZ_SECONDS=60` goes on for so long per target with
//! ever new mutations, and a failure prints the seed that reproduces it (`SCEAU_FUZZ_SEED`). Beyond "no panic", each target states what must
//! hold of whatever was accepted.

use std::time::Duration;

use sceau_ctap::apdu::Framing;
use sceau_ctap::assertion::{Assertion, GetAssertion, get_assertion};
use sceau_ctap::cbor;
use sceau_ctap::credential::NewCredential;
use sceau_ctap::hid::HidDevice;
use sceau_ctap::info::{self, AuthenticatorInfo};
use sceau_ctap::nfc::NfcDevice;
use sceau_ctap::pin_protocol::KeyAgreementKey;
use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{ApduPort, Clock, Deadlines, Device, PacketPort, PortError, u2f, unattended};

use crate::allocation;
use crate::rig::{
    Card, Key, RP_ID, SimClock, Stick, assertion, authenticator_data, info_2_0, info_2_1, sha256,
};

/// Runs of a target when no time is given.
const RUNS: u64 = 3_000;
const MEMORY: usize = 2 << 20;

/// xorshift64*: small, seedable, good enough to choose bytes.
pub(crate) struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A few random edits: bits, bytes with a meaning, cuts, repeats, insertions.
    pub(crate) fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: [u8; 16] = [
            0, 1, 0x7f, 0x80, 0xff, 0x58, 0x59, 0x5b, 0x9b, 0xbb, 0xa0, 0xbf, 0x61, 0x6c, 0x90,
            0x82,
        ];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = TELLING[self.below(TELLING.len())],
                2 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                3 => bytes.truncate(at),
                4 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
                5 if !bytes.is_empty() => {
                    let piece: Vec<u8> = bytes[at..].iter().copied().take(self.below(32)).collect();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                6 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                _ => bytes.push(self.next() as u8),
            }
        }
    }
}

/// Runs `target` with fresh dice until the budget is used up; every run is bounded in memory.
#[allow(
    clippy::disallowed_methods,
    reason = "the fuzzer's own budget is real time; what it tests runs on simulated time"
)]
pub(crate) fn fuzz(name: &str, mut target: impl FnMut(&mut Dice)) {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let (first, runs) = match variable("SCEAU_FUZZ_SEED") {
        Some(seed) => (seed, 1),
        None => (1, RUNS),
    };
    let until = variable("SCEAU_FUZZ_SECONDS")
        .map(|seconds| std::time::Instant::now() + Duration::from_secs(seconds));
    let mut seed = first;
    loop {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            allocation::peak(|| target(&mut Dice::new(seed))).1
        }));
        match outcome {
            Ok(peak) => assert!(
                peak < MEMORY,
                "{name}: {peak} bytes; SCEAU_FUZZ_SEED={seed}"
            ),
            Err(panic) => {
                eprintln!("{name}: SCEAU_FUZZ_SEED={seed} reproduces this");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
        match until {
            Some(until) if std::time::Instant::now() < until => {}
            None if seed - first < runs => {}
            _ => break,
        }
    }
    eprintln!("{name}: {} runs", seed - first);
}

fn make_reply() -> Vec<u8> {
    let mut m = cbor::Writer::new();
    m.map(3)
        .unsigned(1)
        .text("packed")
        .unsigned(2)
        .bytes(&authenticator_data(RP_ID, 0x05, Some(&[7; 64])));
    m.unsigned(3)
        .map(3)
        .text("alg")
        .integer(-7)
        .text("sig")
        .bytes(&[0x30; 70])
        .text("x5c")
        .array(1)
        .bytes(&[0x30; 300]);
    m.into_bytes()
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        info_2_0(),
        info_2_1(),
        make_reply(),
        assertion(RP_ID, 5, &[7; 64], 1),
        assertion(RP_ID, 5, &[7; 64], 3),
        Vec::new(),
    ]
}

#[test]
fn cbor_reader() {
    let seeds = seeds();
    fuzz("cbor", |dice| {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        dice.mutate(&mut bytes);
        if let Ok((item, rest)) = cbor::read_prefix(&bytes) {
            assert_eq!(item.raw.len() + rest.len(), bytes.len());
            // What was read once is read again to the same from its own bytes.
            assert_eq!(cbor::read(item.raw).unwrap(), item);
        }
    });
}

#[test]
fn cbor_replies() {
    let seeds = seeds();
    fuzz("replies", |dice| {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        dice.mutate(&mut bytes);
        let _ = AuthenticatorInfo::read(&bytes);
        if let Ok(made) = NewCredential::read(&bytes, RP_ID) {
            assert!((1..=1023).contains(&made.credential_id.len()));
            assert_eq!(made.authenticator_data[..32], sha256(RP_ID.as_bytes()));
            assert!(cbor::read(&made.attestation_object()).is_ok());
        }
        let allow: [&[u8]; 2] = [&[7; 64], &[8; 16]];
        if let Ok((assertion, _)) = Assertion::read(&bytes, RP_ID, &allow) {
            assert!(allow.contains(&assertion.credential_id.as_slice()));
            assert_eq!(assertion.authenticator_data[..32], sha256(RP_ID.as_bytes()));
        }
        if let Ok(item) = cbor::read(&bytes) {
            let _ = KeyAgreementKey::from_cose(&item);
        }
    });
}

/// A stick whose reports are mutated on their way, INIT included.
struct Noise<'d> {
    stick: Stick,
    dice: &'d mut Dice,
    rate: usize,
}

impl PacketPort for Noise<'_> {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        self.stick.write_packet(packet)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        let mut honest = [0; MAX_REPORT];
        let Some(length) = self.stick.read_packet(&mut honest, timeout)? else {
            return Ok(None);
        };
        let mut report = honest[..length].to_vec();
        match self.dice.below(self.rate) {
            0 => self.dice.mutate(&mut report),
            1 => return Ok(None),
            2 => self.stick.out.push_front(report.clone()),
            3 if self.dice.below(20) == 0 => return Err(PortError::Gone),
            _ => {}
        }
        report.truncate(MAX_REPORT);
        packet[..report.len()].copy_from_slice(&report);
        Ok(Some(report.len()))
    }
}

#[test]
fn hid_framing() {
    fuzz("hid", |dice| {
        let clock = SimClock::default();
        let rate = 4 + dice.below(40);
        let stick = Stick::new(Key::new(info_2_1()), clock.clone());
        stick.key.borrow_mut().keepalives = dice.below(3);
        let port = Noise { stick, dice, rate };
        if let Ok(mut device) = HidDevice::open(port, clock.clone(), [3; 8], Deadlines::default()) {
            exercise(&mut device);
        }
        assert!(clock.now() < Duration::from_secs(500), "{:?}", clock.now());
    });
}

fn exercise(device: &mut dyn Device) {
    let _ = info::info(device);
    let allow: [&[u8]; 1] = [&[7; 64]];
    let request = GetAssertion {
        rp_id: RP_ID,
        client_data_hash: &[1; 32],
        allow: &allow,
        up: true,
        uv: false,
        token: None,
    };
    if let Ok(assertions) = get_assertion(device, &request, &mut unattended) {
        assert_eq!(assertions.len(), 1);
        assert_eq!(assertions[0].credential_id, allow[0]);
    }
    let _ = u2f::version(device);
}

/// A card whose answers are mutated, SELECT's included.
struct NoisyCard<'d> {
    card: Card,
    dice: &'d mut Dice,
    rate: usize,
}

impl ApduPort for NoisyCard<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        let mut answer = self.card.transmit(command)?;
        match self.dice.below(self.rate) {
            0 => self.dice.mutate(&mut answer),
            1 => {
                // Keep the data, lie in the status word.
                let lie = [
                    [0x61, 0x00],
                    [0x61, 0x20],
                    [0x6c, 0x10],
                    [0x91, 0x00],
                    [0x90, 0x00],
                    [0x69, 0x85],
                ][self.dice.below(6)];
                answer.truncate(answer.len().saturating_sub(2));
                answer.extend_from_slice(&lie);
            }
            _ => {}
        }
        Ok(answer)
    }
}

#[test]
fn apdu_replies() {
    fuzz("apdu", |dice| {
        let clock = SimClock::default();
        let rate = 2 + dice.below(12);
        let framing = [Framing::Short, Framing::ShortT0, Framing::Extended][dice.below(3)];
        let port = NoisyCard {
            card: Card::new(Key::new(info_2_1())),
            dice,
            rate,
        };
        if let Ok(mut device) =
            NfcDevice::select(port, clock.clone(), framing, Deadlines::default(), None)
        {
            exercise(&mut device);
        }
        assert!(clock.now() < Duration::from_secs(500));
    });
}

#[test]
fn u2f_replies() {
    let certificate = [&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat();
    let register = [
        &[5, 4][..],
        &[1; 64],
        &[64],
        &[7; 64],
        &certificate,
        &[0x30; 70],
    ]
    .concat();
    fuzz("u2f", |dice| {
        let mut reply = [register.as_slice(), &[0x90, 0x00]].concat();
        dice.mutate(&mut reply);
        let mut port = |command: &[u8]| {
            if command[1] == 0xa4 {
                b"U2F_V2\x90\x00".to_vec()
            } else {
                reply.clone()
            }
        };
        let mut device = match NfcDevice::select(
            Answering(&mut port),
            SimClock::default(),
            Framing::Extended,
            Deadlines::default(),
            None,
        ) {
            Ok(device) => device,
            Err(_) => return,
        };
        if let Ok(made) = u2f::register(&mut device, RP_ID, &[1; 32], &[], &mut unattended) {
            assert!(cbor::is_canonical(&made.attestation_object()));
            assert!(NewCredential::read(&as_reply(&made), RP_ID).is_ok());
        }
        let _ = u2f::authenticate(
            &mut device,
            RP_ID,
            &[1; 32],
            &[vec![7; 64]],
            &mut unattended,
        );
    });
}

fn as_reply(made: &NewCredential) -> Vec<u8> {
    let mut m = cbor::Writer::new();
    m.map(3)
        .unsigned(1)
        .text(&made.format)
        .unsigned(2)
        .bytes(&made.authenticator_data)
        .unsigned(3)
        .raw(&made.attestation_statement);
    m.into_bytes()
}

struct Answering<'a>(&'a mut dyn FnMut(&[u8]) -> Vec<u8>);

impl ApduPort for Answering<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        Ok((self.0)(command))
    }
}
