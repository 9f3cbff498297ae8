//! USB keys that are broken, or that want to break their host: what they put on the wire instead of the firmware's
//! reports. CTAPHID_INIT is answered honestly unless that is the fault, so that hosts come to the point.

use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use crate::hid::Packet;

const INIT: u8 = 0x86;
const CBOR: u8 = 0x90;
const KEEP_ALIVE: u8 = 0xbb;
const ERROR: u8 = 0xbf;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// INIT answers bear another nonce.
    WrongNonce,
    /// Replies come on a channel that nobody has.
    WrongChannel,
    /// Whole messages to other programs come between the packets of each reply (this is lawful).
    ForeignTraffic,
    /// Continuation packets skip a number.
    WrongSequence,
    /// Commands are never answered: keep-alives for ever.
    EndlessKeepAlive,
    /// The length claimed is 65,535.
    HugeLength,
    /// An error with a code that no specification knows.
    UnknownError,
    /// An error with code 0.
    ErrorZero,
    /// Always busy.
    Busy,
    /// No answer at all, to INIT neither.
    Mute,
    /// INIT is answered, nothing else.
    Silent,
    /// Only the first half of each message is sent.
    Half,
    /// INIT's answer comes again in the middle of each message.
    ResetInMessage,
    /// CBOR ends in the middle, lengths agree.
    TruncatedCbor,
    /// CBOR claims a map of 2³¹ pairs.
    HugeMap,
    /// CBOR claims a byte string of 64 KiB.
    HugeBytes,
    /// CBOR nests a thousand arrays.
    DeepCbor,
    /// Success with no CBOR where there must be some.
    EmptySuccess,
    /// Noise of full packets.
    Noise,
    /// Pulled after the third packet that it sends.
    Unplug,
}

/// A misbehaving key.
pub(crate) struct Misbehave {
    mode: Mode,
    sent: u64,
    random: StdRng,
    nonce: Option<Packet>,
    /// The channel that is kept waiting.
    held: Option<[u8; 4]>,
}

/// What happens with a packet of the firmware.
pub(crate) enum Instead {
    /// These go out in its place.
    Packets(Vec<Packet>),
    /// The key is pulled.
    Unplug,
}

impl Misbehave {
    /// Misbehaves in this way from now on; random choices follow a fixed sequence.
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            sent: 0,
            random: StdRng::seed_from_u64(1),
            nonce: None,
            held: None,
        }
    }

    /// What it says of its own accord every 80 ms, if this is one that does.
    pub(crate) fn tick(&self) -> Option<Packet> {
        self.held
            .filter(|_| self.mode == Mode::EndlessKeepAlive)
            .map(|held| message(held, KEEP_ALIVE, &[1]))
    }

    /// The firmware wants to send this packet.
    pub(crate) fn send(&mut self, packet: Packet) -> Instead {
        let command = packet[4];
        if command == INIT {
            self.nonce = Some(packet);
            return Instead::Packets(match self.mode {
                Mode::Mute => Vec::new(),
                Mode::WrongNonce => vec![with(packet, 7, packet[7] ^ 0xff)],
                _ => vec![packet],
            });
        }
        let is_first = command & 0x80 != 0;
        let is_answer = is_first && command != KEEP_ALIVE;
        self.held = is_answer.then(|| channel(&packet)).or(self.held);
        self.sent += 1;
        Instead::Packets(match self.mode {
            Mode::WrongNonce => vec![packet],
            Mode::Mute | Mode::Silent => Vec::new(),
            Mode::WrongChannel => vec![with(packet, 0, 0x7f)],
            Mode::ForeignTraffic => {
                let other = message([0x7f, 0, 0, 1], CBOR, &[0x00, 0xa0]);
                let keep_alive = message([0x7f, 0, 0, 2], KEEP_ALIVE, &[2]);
                vec![other, keep_alive, packet, keep_alive, other]
            }
            Mode::WrongSequence if !is_first => vec![with(packet, 4, command.wrapping_add(1))],
            Mode::EndlessKeepAlive if is_answer || !is_first => Vec::new(),
            Mode::HugeLength if is_answer => vec![with(with(packet, 5, 0xff), 6, 0xff)],
            Mode::UnknownError if is_answer => vec![message(channel(&packet), ERROR, &[0xe7])],
            Mode::ErrorZero if is_answer => vec![message(channel(&packet), ERROR, &[0])],
            Mode::Busy if is_answer => vec![message(channel(&packet), ERROR, &[0x06])],
            Mode::UnknownError | Mode::ErrorZero | Mode::Busy if !is_first => Vec::new(),
            Mode::Half if is_answer => vec![packet],
            Mode::Half if !is_first => Vec::new(),
            Mode::ResetInMessage if !is_first => self.nonce.into_iter().chain([packet]).collect(),
            Mode::TruncatedCbor if is_answer => {
                let length = u16::from_be_bytes([packet[5], packet[6]]).min(57) / 2;
                let [high, low] = length.to_be_bytes();
                vec![with(with(packet, 5, high), 6, low)]
            }
            Mode::HugeMap => instead_of(&packet, &[0x00, 0xba, 0x80, 0x00, 0x00, 0x00, 0x01, 0x01]),
            Mode::HugeBytes => instead_of(
                &packet,
                &[0x00, 0xa1, 0x02, 0x5a, 0x00, 0x01, 0x00, 0x00, 0xaa],
            ),
            Mode::DeepCbor => instead_of(&packet, &[&[0x00][..], &[0x81; 1000]].concat()),
            Mode::EmptySuccess => instead_of(&packet, &[0x00]),
            Mode::TruncatedCbor if !is_first => Vec::new(),
            Mode::Noise => {
                let mut noise = packet;
                self.random.fill_bytes(&mut noise);
                vec![noise; 4]
            }
            Mode::Unplug if self.sent > 3 => return Instead::Unplug,
            _ => vec![packet],
        })
    }
}

/// Another CBOR answer in place of a CBOR answer; other packets of it vanish, keep-alives and errors stay.
fn instead_of(packet: &Packet, payload: &[u8]) -> Vec<Packet> {
    match packet[4] {
        CBOR => messages(channel(packet), CBOR, payload),
        command if command & 0x80 != 0 => vec![*packet],
        _ => Vec::new(),
    }
}

fn channel(packet: &Packet) -> [u8; 4] {
    [packet[0], packet[1], packet[2], packet[3]]
}

fn with(mut packet: Packet, at: usize, byte: u8) -> Packet {
    packet[at] = byte;
    packet
}

fn message(channel: [u8; 4], command: u8, payload: &[u8]) -> Packet {
    messages(channel, command, payload)[0]
}

/// A message as packets (CTAP 2.1 §11.2.4).
fn messages(channel: [u8; 4], command: u8, payload: &[u8]) -> Vec<Packet> {
    let (first, rest) = payload.split_at(payload.len().min(57));
    let mut packet = [0; 64];
    packet[..4].copy_from_slice(&channel);
    packet[4] = command;
    packet[5..7].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet[7..7 + first.len()].copy_from_slice(first);
    let mut packets = vec![packet];
    for (sequence, part) in rest.chunks(59).enumerate() {
        let mut packet = [0; 64];
        packet[..4].copy_from_slice(&channel);
        packet[4] = sequence as u8;
        packet[5..5 + part.len()].copy_from_slice(part);
        packets.push(packet);
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(mode: Mode, packet: Packet) -> Vec<Packet> {
        match Misbehave::new(mode).send(packet) {
            Instead::Packets(packets) => packets,
            Instead::Unplug => panic!("unplugged"),
        }
    }

    #[test]
    fn answers_init_honestly_unless_that_is_the_fault() {
        let init = message([0xff; 4], INIT, &[7; 17]);
        assert_eq!(packets(Mode::HugeMap, init), [init]);
        assert_eq!(packets(Mode::Mute, init), [] as [Packet; 0]);
        assert_ne!(packets(Mode::WrongNonce, init), [init]);
    }

    #[test]
    fn a_deep_answer_is_a_well_formed_message() {
        let sent = packets(Mode::DeepCbor, message([0, 0, 0, 1], CBOR, &[0, 0xa0]));
        assert_eq!(sent.len(), 1 + (1001 - 57usize).div_ceil(59));
        assert_eq!(sent[1][4], 0);
        assert_eq!(u16::from_be_bytes([sent[0][5], sent[0][6]]), 1001);
    }
}
