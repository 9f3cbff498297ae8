//! The key on a USB port.

use std::collections::VecDeque;
use std::time::Duration;

use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{Clock, PacketPort, PortError};

use super::{SharedKey, SimClock};

pub(crate) const CHANNEL: [u8; 4] = [0, 0, 0, 5];

/// The key on a USB port: CTAPHID, one channel at a time.
pub(crate) struct Stick {
    pub(crate) key: SharedKey,
    pub(crate) clock: SimClock,
    /// Reports to be read.
    pub(crate) out: VecDeque<Vec<u8>>,
    incoming: Vec<u8>,
    expected: usize,
    command: u8,
    /// Answers ERR_CHANNEL_BUSY this many times.
    pub(crate) busy: usize,
    pub(crate) written: Vec<Vec<u8>>,
}

impl Stick {
    pub(crate) fn new(key: SharedKey, clock: SimClock) -> Self {
        let out = VecDeque::new();
        Self {
            key,
            clock,
            out,
            incoming: Vec::new(),
            expected: 0,
            command: 0,
            busy: 0,
            written: Vec::new(),
        }
    }

    fn complete(&mut self, channel: [u8; 4]) {
        let message = std::mem::take(&mut self.incoming);
        match self.command {
            0x06 => {
                let given = if channel == [0xff; 4] {
                    CHANNEL
                } else {
                    channel
                };
                self.out.extend(frames(
                    channel,
                    0x06,
                    &[&message[..], &given, &[2, 5, 4, 3, 0x05]].concat(),
                ));
            }
            _ if self.busy > 0 => {
                self.busy -= 1;
                self.out.extend(frames(channel, 0x3f, &[0x06]));
            }
            0x10 => {
                let keepalives = self.key.borrow().keepalives_for(&message);
                for _ in 0..keepalives {
                    self.out.extend(frames(channel, 0x3b, &[2]));
                }
                let answer = self.key.borrow_mut().answer(&message);
                self.out.extend(frames(channel, 0x10, &answer));
            }
            0x08 => self.out.extend(frames(channel, 0x08, &[])),
            _ => self.out.extend(frames(channel, 0x3f, &[0x01])),
        }
    }
}

/// A message as reports.
pub(crate) fn frames(channel: [u8; 4], command: u8, data: &[u8]) -> Vec<Vec<u8>> {
    let (first, rest) = data.split_at(data.len().min(57));
    let head = [
        &channel[..],
        &[0x80 | command],
        &(data.len() as u16).to_be_bytes(),
        first,
    ]
    .concat();
    let rest = rest
        .chunks(59)
        .enumerate()
        .map(|(sequence, part)| [&channel[..], &[sequence as u8], part].concat());
    std::iter::once(head)
        .chain(rest)
        .map(|mut frame| {
            frame.resize(64, 0);
            frame
        })
        .collect()
}

impl PacketPort for Stick {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        assert_eq!(packet.len(), 64);
        self.written.push(packet.to_vec());
        let channel: [u8; 4] = packet[..4].try_into().unwrap();
        if packet[4] & 0x80 != 0 {
            if packet[4] == 0x91 {
                self.key.borrow_mut().cancelled = true;
                self.out.clear();
                self.out.extend(frames(channel, 0x10, &[0x2d]));
                return Ok(());
            }
            self.command = packet[4] & 0x7f;
            self.expected = usize::from(u16::from_be_bytes([packet[5], packet[6]]));
            self.incoming = packet[7..].to_vec();
        } else {
            self.incoming.extend_from_slice(&packet[5..]);
        }
        if self.incoming.len() >= self.expected {
            self.incoming.truncate(self.expected);
            self.complete(channel);
        }
        Ok(())
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        match self.out.pop_front() {
            Some(report) => {
                self.clock.sleep(Duration::from_millis(1).min(timeout));
                packet[..report.len()].copy_from_slice(&report);
                Ok(Some(report.len()))
            }
            None => {
                self.clock.sleep(timeout.max(Duration::from_micros(100)));
                Ok(None)
            }
        }
    }
}
