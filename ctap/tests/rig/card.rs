//! The key in a contactless reader.

use sceau_ctap::{ApduPort, PortError};

use super::SharedKey;

/// The key in a contactless reader: ISO 7816-4 with chaining, extended lengths, 61xx and 9100.
pub(crate) struct Card {
    pub(crate) key: SharedKey,
    pub(crate) version: &'static str,
    chained: Vec<u8>,
    rest: Vec<u8>,
    /// Keep-alives still to send, and the message that waits for them.
    waiting: Option<(usize, Vec<u8>)>,
    pub(crate) commands: Vec<Vec<u8>>,
}

impl Card {
    pub(crate) fn new(key: SharedKey) -> Self {
        Self {
            key,
            version: "FIDO_2_0",
            chained: Vec::new(),
            rest: Vec::new(),
            waiting: None,
            commands: Vec::new(),
        }
    }

    fn reply(&mut self, data: Vec<u8>, extended: bool) -> Vec<u8> {
        if extended || data.len() <= 256 {
            return [data, vec![0x90, 0x00]].concat();
        }
        self.rest = data;
        self.more()
    }

    fn more(&mut self) -> Vec<u8> {
        let now: Vec<u8> = self.rest.drain(..self.rest.len().min(256)).collect();
        let status = match self.rest.len() {
            0 => [0x90, 0x00],
            left => [0x61, u8::try_from(left).unwrap_or(0)],
        };
        [now, status.to_vec()].concat()
    }

    fn message(&mut self, message: Vec<u8>, extended: bool) -> Vec<u8> {
        let keepalives = self.key.borrow().keepalives_for(&message);
        if keepalives > 0 {
            self.waiting = Some((keepalives, message));
            return vec![0x02, 0x91, 0x00];
        }
        let answer = self.key.borrow_mut().answer(&message);
        self.reply(answer, extended)
    }
}

/// Data of a command APDU, and whether it is extended.
pub(crate) fn apdu_data(apdu: &[u8]) -> (Vec<u8>, bool) {
    match &apdu[4..] {
        [] | [_] => (Vec::new(), false),
        [0, _, _] => (Vec::new(), true),
        [0, high, low, rest @ ..] => (
            rest[..usize::from(u16::from_be_bytes([*high, *low]))].to_vec(),
            true,
        ),
        [length, rest @ ..] => (rest[..usize::from(*length)].to_vec(), false),
    }
}

impl ApduPort for Card {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, PortError> {
        self.commands.push(apdu.to_vec());
        let (data, extended) = apdu_data(apdu);
        if apdu[0] & 0x10 != 0 {
            self.chained.extend_from_slice(&data);
            return Ok(vec![0x90, 0x00]);
        }
        let data = [std::mem::take(&mut self.chained), data].concat();
        Ok(match (apdu[0], apdu[1], apdu[2]) {
            (0x00, 0xa4, 0x04) if data == sceau_ctap::nfc::AID => {
                [self.version.as_bytes(), &[0x90, 0x00]].concat()
            }
            (0x00, 0xa4, 0x04) => vec![0x6a, 0x82],
            (0x00, 0xc0, _) => self.more(),
            (0x80, 0x10, 0x80) => self.message(data, extended),
            (0x80, 0x11, 0x11) => {
                self.key.borrow_mut().cancelled = true;
                self.waiting = None;
                vec![0x2d, 0x90, 0x00]
            }
            (0x80, 0x11, _) => match self.waiting.take() {
                None => vec![0x69, 0x85],
                Some((1, message)) => {
                    let answer = self.key.borrow_mut().answer(&message);
                    self.reply(answer, extended)
                }
                Some((left, message)) => {
                    self.waiting = Some((left - 1, message));
                    vec![0x02, 0x91, 0x00]
                }
            },
            (0x80, 0x12, 0x01) => vec![0x90, 0x00],
            _ => vec![0x6d, 0x00],
        })
    }
}
