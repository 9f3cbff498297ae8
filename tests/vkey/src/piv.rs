//! What Nitrokey's PIV application lacks and a vendor's card has, in front of it: key attestation (INS F9, and its
//! certificate in object 5F FF 01), serial number, version, slot metadata, touch policies.
//!
//! Everything else goes through unread. What is attested is what the application said when it generated the key.

pub(crate) mod model;
pub(crate) mod provision;
pub(crate) mod tlv;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::touch::Touch;
use model::PivModel;

const INS_GENERATE: u8 = 0x47;
const INS_AUTHENTICATE: u8 = 0x87;
const INS_GET_RESPONSE: u8 = 0xc0;
const INS_GET_DATA: u8 = 0xcb;
const INS_METADATA: u8 = 0xf7;
const INS_SERIAL: u8 = 0xf8;
const INS_ATTEST: u8 = 0xf9;
const INS_RESET: u8 = 0xfb;
const INS_VERSION: u8 = 0xfd;
const INS_IMPORT: u8 = 0xfe;

const SW_OK: [u8; 2] = [0x90, 0x00];
const SW_NO_TOUCH: [u8; 2] = [0x69, 0x82];
const SW_NOT_FOUND: [u8; 2] = [0x6a, 0x82];
const SW_WRONG_DATA: [u8; 2] = [0x6a, 0x80];

/// GET DATA of the attestation certificate.
const GET_F9: [u8; 5] = [0x5c, 0x03, 0x5f, 0xff, 0x01];

/// How long a touch lasts with the policy "cached".
const CACHED: Duration = Duration::from_secs(15);

/// When a key may be used without a PIN, as attested.
const PIN_POLICY_TAG: u8 = 0xaa;
/// When a key may be used without a touch, as attested and enforced here.
const TOUCH_POLICY_TAG: u8 = 0xab;

/// The policies' values.
pub(crate) const NEVER: u8 = 1;
/// PIN once per session.
pub(crate) const ONCE: u8 = 2;
/// Touch every time.
pub(crate) const TOUCH_ALWAYS: u8 = 2;
/// PIN every time, or touch cached.
pub(crate) const PIN_ALWAYS: u8 = 3;
/// Touch at most every 15 seconds.
pub(crate) const TOUCH_CACHED: u8 = 3;

/// The layer in front of the PIV application.
pub(crate) struct Shim {
    model: Option<PivModel>,
    serial: u32,
    /// Where what is known of generated keys is kept, one file per slot.
    slots: PathBuf,
    touch: Arc<Touch>,
    touch_timeout: Duration,
    touched: Option<Instant>,
    /// The rest of an answer of our own.
    rest: Vec<u8>,
    /// Data of a chained command so far.
    chained: Vec<u8>,
    /// A key generation whose answer is still coming.
    generating: Option<Generating>,
}

struct Generating {
    slot: u8,
    pin_policy: u8,
    touch_policy: u8,
    answer: Vec<u8>,
}

/// What is known of a generated key.
struct SlotKey {
    pin_policy: u8,
    touch_policy: u8,
    algorithm: u8,
    public_key: Vec<u8>,
}

impl Shim {
    /// A layer over this state directory (made if absent). Without a model, INS F9 is the application's business.
    pub(crate) fn open(
        state: PathBuf,
        model: Option<PivModel>,
        serial: u32,
        touch: Arc<Touch>,
        touch_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let slots = state.join("slots");
        fs::create_dir_all(&slots)?;
        Ok(Self {
            model,
            serial,
            slots,
            touch,
            touch_timeout,
            touched: None,
            rest: Vec::new(),
            chained: Vec::new(),
            generating: None,
        })
    }

    /// Power is gone.
    pub(crate) fn reset(&mut self) {
        self.touched = None;
        self.rest.clear();
        self.chained.clear();
        self.generating = None;
    }

    /// One APDU; `ask` is the application.
    pub(crate) fn transmit(
        &mut self,
        command: &[u8],
        ask: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let Some(&[cla, ins, p1, p2]) = command.first_chunk::<4>() else {
            return ask(command);
        };
        if ins == INS_GET_RESPONSE && !self.rest.is_empty() {
            return self.next_part(command);
        }
        self.rest.clear();
        if ins == INS_GET_RESPONSE {
            let answer = ask(command);
            self.note_generation(&answer);
            return answer;
        }
        self.generating = None;
        self.chained.extend(data(command));
        if cla & 0x10 != 0 {
            self.chained.truncate(4096);
            return ask(command);
        }
        let data = std::mem::take(&mut self.chained);
        match (ins, p1, p2) {
            (INS_GENERATE, 0, slot) => self.generate(slot, &data, command, ask),
            (INS_AUTHENTICATE, _, slot) => match self.touch_for(slot, &data) {
                true => ask(command),
                false => SW_NO_TOUCH.to_vec(),
            },
            (INS_GET_DATA, 0x3f, 0xff) if data == GET_F9 => match &self.model {
                Some(model) => self.answer(command, tlv::certificate_object(&model.f9, false)),
                None => SW_NOT_FOUND.to_vec(),
            },
            (INS_ATTEST, slot, 0) if self.model.is_some() => self.attest(slot, command),
            (INS_SERIAL, 0, 0) => self.answer(command, self.serial.to_be_bytes().to_vec()),
            (INS_VERSION, 0, 0) => self.answer(command, model::FIRMWARE.to_vec()),
            (INS_METADATA, 0, slot) => match self.read(slot) {
                Some(key) => self.answer(command, key.metadata()),
                None => ask(command),
            },
            (INS_IMPORT, _, slot) => self.forget_after(&[slot], command, ask),
            (INS_RESET, 0, 0) => self.forget_after(&(0..=255).collect::<Vec<u8>>(), command, ask),
            _ => ask(command),
        }
    }

    fn generate(
        &mut self,
        slot: u8,
        data: &[u8],
        command: &[u8],
        ask: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let template = tlv::find(data, &[0xac]).unwrap_or_default();
        let policy = |tag: u8| match tlv::find(template, &[tag]) {
            Some(&[policy]) if policy != 0 => Some(policy),
            _ => None,
        };
        let default_pin = match slot {
            0x9c => PIN_ALWAYS,
            0x9e => NEVER,
            _ => ONCE,
        };
        self.generating = Some(Generating {
            slot,
            pin_policy: policy(PIN_POLICY_TAG).unwrap_or(default_pin),
            touch_policy: policy(TOUCH_POLICY_TAG).unwrap_or(NEVER),
            answer: Vec::new(),
        });
        let answer = ask(command);
        self.note_generation(&answer);
        answer
    }

    /// Collects the answer of a key generation; when it is whole, keeps what will be attested.
    fn note_generation(&mut self, answer: &[u8]) {
        let Some(mut generating) = self.generating.take() else {
            return;
        };
        let Some((data, status)) = answer.split_last_chunk::<2>() else {
            return;
        };
        generating.answer.extend(data);
        match status {
            [0x61, _] => self.generating = Some(generating),
            [0x90, 0x00] => {
                let public_key = tlv::find(&generating.answer, &[0x7f, 0x49]).unwrap_or_default();
                let content = [
                    &[generating.pin_policy, generating.touch_policy],
                    public_key,
                ]
                .concat();
                fs::write(self.file(generating.slot), content).ok();
            }
            _ => {}
        }
    }

    fn attest(&mut self, slot: u8, command: &[u8]) -> Vec<u8> {
        let (Some(model), Some(key)) = (&self.model, self.read(slot)) else {
            return SW_WRONG_DATA.to_vec();
        };
        let attested = model::Attested {
            slot,
            spki: match tlv::spki(&key.public_key) {
                Some(spki) => spki,
                None => return SW_WRONG_DATA.to_vec(),
            },
            serial: self.serial,
            pin_policy: key.pin_policy,
            touch_policy: key.touch_policy,
        };
        match model.attest(&attested) {
            Ok(certificate) => self.answer(command, certificate),
            Err(error) => {
                eprintln!("vkey: piv attestation: {error:#}");
                SW_WRONG_DATA.to_vec()
            }
        }
    }

    /// Whether the key may be used: no touch asked for, still in time, or touched now.
    fn touch_for(&mut self, slot: u8, data: &[u8]) -> bool {
        let is_use = tlv::find(data, &[0x7c, 0x81])
            .or_else(|| tlv::find(data, &[0x7c, 0x85]))
            .is_some();
        let policy = self.read(slot).map_or(NEVER, |key| key.touch_policy);
        if !is_use || !matches!(policy, TOUCH_ALWAYS | TOUCH_CACHED) {
            return true;
        }
        if policy == TOUCH_CACHED && self.touched.is_some_and(|at| at.elapsed() < CACHED) {
            return true;
        }
        let touched = self.touch.ask(self.touch_timeout);
        self.touched = touched.then(Instant::now);
        touched
    }

    fn forget_after(
        &self,
        slots: &[u8],
        command: &[u8],
        ask: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let answer = ask(command);
        if answer.ends_with(&SW_OK) {
            for slot in slots {
                fs::remove_file(self.file(*slot)).ok();
            }
        }
        answer
    }

    fn file(&self, slot: u8) -> PathBuf {
        self.slots.join(format!("{slot:02x}"))
    }

    fn read(&self, slot: u8) -> Option<SlotKey> {
        let content = fs::read(self.file(slot)).ok()?;
        let (&[pin_policy, touch_policy], public_key) = content.split_first_chunk::<2>()?;
        let algorithm = tlv::algorithm(public_key)?;
        Some(SlotKey {
            pin_policy,
            touch_policy,
            algorithm,
            public_key: public_key.to_vec(),
        })
    }

    /// An answer of our own, in parts if the reader wants it so.
    fn answer(&mut self, command: &[u8], data: Vec<u8>) -> Vec<u8> {
        self.rest = data;
        self.next_part(command)
    }

    fn next_part(&mut self, command: &[u8]) -> Vec<u8> {
        let is_extended = command.len() >= 7 && command.get(4) == Some(&0);
        let size = if is_extended { 65_533 } else { 256 }.min(self.rest.len());
        let mut part: Vec<u8> = self.rest.drain(..size).collect();
        match self.rest.len() {
            0 => part.extend(SW_OK),
            left => part.extend([0x61, u8::try_from(left).unwrap_or(0)]),
        }
        part
    }
}

impl SlotKey {
    fn metadata(&self) -> Vec<u8> {
        [
            tlv::encode(&[0x01], &[self.algorithm]),
            tlv::encode(&[0x02], &[self.pin_policy, self.touch_policy]),
            tlv::encode(&[0x03], &[1]),
            tlv::encode(&[0x04], &self.public_key),
        ]
        .concat()
    }
}

/// The data field of an APDU, short or extended; nothing of what is not well-formed.
fn data(command: &[u8]) -> &[u8] {
    let Some(body) = command.get(4..) else {
        return &[];
    };
    match body {
        [0, high, low, rest @ ..] if !rest.is_empty() => rest
            .get(..usize::from(u16::from_be_bytes([*high, *low])))
            .unwrap_or_default(),
        [length, rest @ ..] if *length != 0 => rest.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_data_of_short_and_extended_commands() {
        assert_eq!(data(&[0, 0xcb, 0x3f, 0xff, 2, 7, 8, 0]), [7, 8]);
        assert_eq!(data(&[0, 0xcb, 0x3f, 0xff, 0, 0, 2, 7, 8, 0, 0]), [7, 8]);
        assert!(data(&[0, 0xf9, 0x9c, 0]).is_empty());
        assert!(data(&[0, 0xf9, 0x9c, 0, 0]).is_empty());
        assert!(data(&[0, 0xf9, 0x9c, 0, 9, 1]).is_empty());
    }
}
