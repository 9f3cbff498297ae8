//! CTAPHID (§11.2): messages over 64-byte reports on a device node that other programs use too.
//!
//! Channel and sequence numbers are checked on every packet; what is for another channel is ignored, never misread. A device may lie about
//! lengths, repeat, fall silent or talk for ever: every wait has a deadline by the caller's clock, every message the transport's own limit.

use std::time::Duration;

use crate::command;
use crate::device::{Control, Deadlines, Device, Keepalive, Progress, TICK};
use crate::error::{Error, FramingError, Refused, ReplyError, StatusWord, WireError};
use crate::nfc::split_status;
use crate::port::{Clock, MAX_REPORT, PacketPort};

const BROADCAST: [u8; 4] = [0xff; 4];
const INIT_HEADER: usize = 7;
const CONT_HEADER: usize = 5;
const MAX_CONTINUATIONS: usize = 128;
/// Bit that marks the first packet of a message.
const TYPE_INIT: u8 = 0x80;

const MSG: u8 = 0x03;
const INIT: u8 = 0x06;
const WINK: u8 = 0x08;
const CBOR: u8 = 0x10;
const CANCEL: u8 = 0x11;
const KEEPALIVE: u8 = 0x3b;
const ERROR: u8 = 0x3f;

const ERR_CHANNEL_BUSY: u8 = 0x06;
const ERR_INVALID_CHANNEL: u8 = 0x0b;
/// How usbd-ctaphid (Nitrokey 3, Solo 2; firmware of 2026) says ERR_CHANNEL_BUSY; no other meaning is defined for it.
const ERR_BUSY_QUIRK: u8 = 0x00;
/// When an INIT that nobody answered is sent again.
const INIT_AGAIN: Duration = Duration::from_millis(250);
/// How often a request is sent again that the device gave no sign of having received.
const MAX_REPEATS: usize = 3;

const CAPABILITY_WINK: u8 = 0x01;
const CAPABILITY_CBOR: u8 = 0x04;
const CAPABILITY_NMSG: u8 = 0x08;

/// What the device said of itself when it gave us a channel. Unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// CTAPHID protocol version, 2.
    pub protocol: u8,
    /// Vendor's device version: major, minor, build.
    pub version: [u8; 3],
    /// Capability bits as received.
    pub capabilities: u8,
}

/// A channel that a device gave us, for use again while the same device stays plugged in: asking for another one disturbs firmware that is
/// busy with another program (usbd-ctaphid abandons what it works on when anyone says INIT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    id: [u8; 4],
    greeting: Greeting,
}

/// A FIDO device on a HID node, with a channel of ours.
pub struct HidDevice<P, C> {
    port: P,
    clock: C,
    deadlines: Deadlines,
    channel: [u8; 4],
    greeting: Greeting,
    /// A call ended without its answer: something of it may still arrive.
    stale: bool,
    /// The channel is of an earlier conversation, and the device has not answered on it yet in this one.
    resumed: bool,
    nonce: [u8; 8],
}

/// One packet of our channel.
enum Packet<'p> {
    Init {
        command: u8,
        length: usize,
        data: &'p [u8],
    },
    Continuation {
        sequence: u8,
        data: &'p [u8],
    },
}

/// Why a message was not received.
enum Stop {
    Error(Error),
    /// The device said ERR_CHANNEL_BUSY.
    Busy,
    /// Not a sign of life since the request, which may be sent again.
    Lost,
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl<P: PacketPort, C: Clock> HidDevice<P, C> {
    /// Gets a channel of our own. `nonce` is 8 random bytes: they tell our answer from those to other programs.
    ///
    /// Open once for as long as the device is plugged in: INIT makes some firmware (usbd-ctaphid: Nitrokey 3, Solo 2) drop what it is doing for
    /// another program.
    pub fn open(port: P, clock: C, nonce: [u8; 8], deadlines: Deadlines) -> Result<Self, Error> {
        if !(8..=MAX_REPORT).contains(&port.report_size()) {
            return Err(Refused::Argument("report size").into());
        }
        let greeting = Greeting {
            protocol: 0,
            version: [0; 3],
            capabilities: 0,
        };
        let mut device = Self {
            port,
            clock,
            deadlines,
            channel: BROADCAST,
            greeting,
            stale: false,
            resumed: false,
            nonce,
        };
        device.initialise()?;
        Ok(device)
    }

    /// Goes on with a channel of ours. Nothing is sent; a device that knows the channel no longer is asked for another one when it says so, or
    /// says nothing. `nonce` is as for [`HidDevice::open`].
    pub fn resume(
        port: P,
        clock: C,
        channel: Channel,
        nonce: [u8; 8],
        deadlines: Deadlines,
    ) -> Self {
        Self {
            port,
            clock,
            deadlines,
            channel: channel.id,
            greeting: channel.greeting,
            stale: false,
            resumed: true,
            nonce,
        }
    }

    /// The channel, for [`HidDevice::resume`]; `None` when something of an unfinished call may still arrive on it.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        (!self.stale).then_some(Channel {
            id: self.channel,
            greeting: self.greeting,
        })
    }

    /// What the device said of itself.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        self.greeting
    }

    /// Makes the device blink, where it can.
    pub fn wink(&mut self) -> Result<(), Error> {
        if self.greeting.capabilities & CAPABILITY_WINK == 0 {
            return Err(Refused::Unsupported.into());
        }
        self.transact(WINK, &[], true, &mut crate::device::unattended)
            .map(|_| ())
    }

    /// INIT on the broadcast channel for a new channel, or on ours to abandon whatever goes on there (§11.2.9.1.3).
    fn initialise(&mut self) -> Result<(), Error> {
        let start = self.clock.now();
        let silent = start.saturating_add(self.deadlines.open);
        let busy = start.saturating_add(self.deadlines.busy);
        loop {
            // A nonce is used once, so that a late answer to an earlier INIT is not taken for this one's.
            for byte in &mut self.nonce {
                *byte = byte.wrapping_add(1);
            }
            let nonce = self.nonce;
            self.send(INIT, &nonce)?;
            let until = self.clock.now().saturating_add(INIT_AGAIN).min(silent);
            match self.receive_init(until) {
                Ok(()) => return Ok(()),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Busy) if self.clock.now() >= busy => return Err(WireError::Busy.into()),
                Err(Stop::Busy) => self.clock.sleep(TICK),
                Err(Stop::Lost) if self.clock.now() >= silent => {
                    return Err(WireError::Silent.into());
                }
                Err(Stop::Lost) => {}
            }
        }
    }

    fn receive_init(&mut self, until: Duration) -> Result<(), Stop> {
        loop {
            let mut report = [0; MAX_REPORT];
            let Some(packet) = self.packet(&mut report, until)? else {
                if self.clock.now() >= until {
                    return Err(Stop::Lost);
                }
                continue;
            };
            match packet {
                Packet::Init {
                    command: INIT,
                    length,
                    data,
                } => {
                    let Some((nonce, rest)) = data.split_first_chunk::<8>() else {
                        return Err(FramingError::ShortPacket.into());
                    };
                    // On the broadcast channel other programs' answers arrive too.
                    if *nonce != self.nonce {
                        if self.clock.now() >= until {
                            return Err(Stop::Lost);
                        }
                        continue;
                    }
                    let Some(([c0, c1, c2, c3, protocol, major, minor, build, capabilities], _)) =
                        rest.split_first_chunk::<9>()
                    else {
                        return Err(FramingError::Channel.into());
                    };
                    let channel = [*c0, *c1, *c2, *c3];
                    let reserved = channel == BROADCAST || channel == [0; 4];
                    if length < 17 || reserved {
                        return Err(FramingError::Channel.into());
                    }
                    // On a channel of ours the answer names that channel again (§11.2.9.1.3); usbd-ctaphid gives a new one.
                    self.channel = channel;
                    self.stale = false;
                    self.resumed = false;
                    let version = [*major, *minor, *build];
                    self.greeting = Greeting {
                        protocol: *protocol,
                        version,
                        capabilities: *capabilities,
                    };
                    return Ok(());
                }
                Packet::Init {
                    command: ERROR,
                    data: [ERR_CHANNEL_BUSY, ..],
                    ..
                } => return Err(Stop::Busy),
                // Errors on the broadcast channel may be another program's; on ours, rests of what is being abandoned.
                _ if self.clock.now() >= until => return Err(Stop::Lost),
                _ => {}
            }
        }
    }

    /// One message there and one back, again while another program keeps the device busy.
    ///
    /// A `repeatable` request is also sent again when the device gives no sign of having received it: some firmware (usbd-ctaphid: Nitrokey 3,
    /// Solo 2) drops what arrives while it answers another program, and drops what it works on when another program says INIT.
    fn transact(
        &mut self,
        command: u8,
        payload: &[u8],
        repeatable: bool,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        if payload.len() > self.capacity() {
            return Err(Refused::TooLarge.into());
        }
        if self.stale {
            self.initialise()?;
        }
        let patience = self.clock.now().saturating_add(self.deadlines.busy);
        let mut repeats = 0_usize;
        loop {
            self.stale = true;
            self.send(command, payload)?;
            match self.receive(command, repeatable && repeats < MAX_REPEATS, progress) {
                Ok(reply) => {
                    self.resumed = false;
                    // After a repetition a second answer may follow, which the next call must not take for its own.
                    self.stale = repeats > 0;
                    return Ok(reply);
                }
                Err(Stop::Error(Error::Wire(WireError::Hid(ERR_INVALID_CHANNEL))))
                    if self.resumed =>
                {
                    self.initialise()?;
                }
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Lost) => {
                    repeats = repeats.saturating_add(1);
                    if self.resumed {
                        self.initialise()?;
                    }
                }
                Err(Stop::Busy) => {
                    self.stale = false;
                    if progress(Keepalive::Silent) == Control::Cancel {
                        return Err(Refused::Cancelled.into());
                    }
                    if self.clock.now() >= patience {
                        return Err(WireError::Busy.into());
                    }
                    self.clock.sleep(TICK);
                }
            }
        }
    }

    fn capacity(&self) -> usize {
        let report = self.port.report_size();
        let continuations = report
            .saturating_sub(CONT_HEADER)
            .saturating_mul(MAX_CONTINUATIONS);
        report
            .saturating_sub(INIT_HEADER)
            .saturating_add(continuations)
    }

    fn send(&mut self, command: u8, payload: &[u8]) -> Result<(), Error> {
        let size = self.port.report_size();
        let [.., high, low] = payload.len().to_be_bytes();
        let (first, mut rest) = payload
            .split_at_checked(size.saturating_sub(INIT_HEADER))
            .unwrap_or((payload, &[]));
        let [c0, c1, c2, c3] = self.channel;
        self.write(&[c0, c1, c2, c3, TYPE_INIT | command, high, low], first)?;
        let mut sequence = 0_u8;
        while !rest.is_empty() {
            let (part, after) = rest
                .split_at_checked(size.saturating_sub(CONT_HEADER))
                .unwrap_or((rest, &[]));
            self.write(&[c0, c1, c2, c3, sequence], part)?;
            sequence = sequence.saturating_add(1);
            rest = after;
        }
        Ok(())
    }

    fn write(&mut self, header: &[u8], data: &[u8]) -> Result<(), Error> {
        let mut report = [header, data].concat();
        report.resize(self.port.report_size(), 0);
        Ok(self.port.write_packet(&report)?)
    }

    /// Waits until `until`, but no longer than a tick, for a packet of our channel. `None`: there was none, or it was someone else's.
    fn packet<'p>(
        &mut self,
        report: &'p mut [u8; MAX_REPORT],
        until: Duration,
    ) -> Result<Option<Packet<'p>>, Error> {
        let wait = until.saturating_sub(self.clock.now()).min(TICK);
        let Some(length) = self.port.read_packet(report, wait)? else {
            return Ok(None);
        };
        let Some((channel, rest)) = report
            .get(..length)
            .and_then(<[u8]>::split_first_chunk::<4>)
        else {
            return Ok(None);
        };
        if *channel != self.channel {
            return Ok(None);
        }
        match rest {
            [head, high, low, data @ ..] if head & TYPE_INIT != 0 => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                Ok(Some(Packet::Init {
                    command: head & !TYPE_INIT,
                    length,
                    data,
                }))
            }
            [sequence, data @ ..] if sequence & TYPE_INIT == 0 => Ok(Some(Packet::Continuation {
                sequence: *sequence,
                data,
            })),
            _ => Err(FramingError::ShortPacket.into()),
        }
    }

    /// The reply to `command`, with signs of life passed on and cancellation passed down.
    fn receive(
        &mut self,
        command: u8,
        repeatable: bool,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Stop> {
        let lost = self.clock.now().saturating_add(self.deadlines.lost);
        let mut heard = !repeatable;
        let deadline = self.clock.now().saturating_add(self.deadlines.call);
        let mut silence = self.clock.now().saturating_add(self.deadlines.silence);
        loop {
            let mut report = [0; MAX_REPORT];
            let packet = self.packet(&mut report, silence.min(deadline))?;
            let now = self.clock.now();
            let keepalive = match packet {
                Some(Packet::Init {
                    command: KEEPALIVE,
                    length: 1,
                    data: [status, ..],
                }) => {
                    silence = now.saturating_add(self.deadlines.silence);
                    heard = true;
                    Keepalive::from_byte(*status)
                }
                Some(Packet::Init {
                    command: KEEPALIVE, ..
                }) => return Err(FramingError::ShortPacket.into()),
                Some(Packet::Init {
                    command: ERROR,
                    length,
                    data,
                }) => return Err(device_error(length, data)),
                Some(Packet::Init {
                    command: found,
                    length,
                    data,
                }) => {
                    if found != command {
                        return Err(FramingError::Command {
                            expected: command,
                            found,
                        }
                        .into());
                    }
                    return self.assemble(length, data);
                }
                Some(Packet::Continuation { .. }) => return Err(FramingError::Stray.into()),
                None => Keepalive::Silent,
            };
            if progress(keepalive) == Control::Cancel {
                self.cancel(command)?;
                return Err(Refused::Cancelled.into());
            }
            if !heard && now >= lost {
                return Err(Stop::Lost);
            }
            if now >= deadline || now >= silence {
                // Leave no device waiting for a touch that nobody will use.
                let late = if now >= deadline {
                    WireError::Deadline
                } else {
                    WireError::Silent
                };
                self.cancel(command)?;
                return Err(late.into());
            }
        }
    }

    /// The rest of a message of `length` bytes that began with `first`.
    fn assemble(&mut self, length: usize, first: &[u8]) -> Result<Vec<u8>, Stop> {
        if length > self.capacity() {
            return Err(FramingError::TooLong(length).into());
        }
        let mut message: Vec<u8> = first.iter().copied().take(length).collect();
        let mut expected = 0_u8;
        let mut silence = self.clock.now().saturating_add(self.deadlines.silence);
        while message.len() < length {
            let mut report = [0; MAX_REPORT];
            match self.packet(&mut report, silence)? {
                Some(Packet::Continuation { sequence, data }) => {
                    if sequence != expected {
                        return Err(FramingError::Sequence {
                            expected,
                            found: sequence,
                        }
                        .into());
                    }
                    if data.is_empty() {
                        return Err(FramingError::ShortPacket.into());
                    }
                    let missing = length.saturating_sub(message.len());
                    message.extend(data.iter().copied().take(missing));
                    expected = expected.saturating_add(1);
                    silence = self.clock.now().saturating_add(self.deadlines.silence);
                }
                Some(Packet::Init {
                    command: ERROR,
                    length,
                    data,
                }) => return Err(device_error(length, data)),
                Some(Packet::Init { command: found, .. }) => {
                    return Err(FramingError::Sequence {
                        expected,
                        found: found | TYPE_INIT,
                    }
                    .into());
                }
                None if self.clock.now() >= silence => return Err(WireError::Silent.into()),
                None => {}
            }
        }
        Ok(message)
    }

    /// Sends CANCEL and waits a moment for the answer, which is dropped: a touch that comes too late is not used.
    fn cancel(&mut self, command: u8) -> Result<(), Error> {
        self.send(CANCEL, &[])?;
        let until = self.clock.now().saturating_add(self.deadlines.cancel);
        while self.clock.now() < until {
            let mut report = [0; MAX_REPORT];
            match self.packet(&mut report, until)? {
                Some(Packet::Init {
                    command: found,
                    length,
                    data,
                }) if found == command && length <= data.len() => {
                    self.stale = false;
                    return Ok(());
                }
                // A longer answer is cut off by the INIT before the next call.
                Some(Packet::Init { command: found, .. }) if found == command || found == ERROR => {
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn device_error(length: usize, data: &[u8]) -> Stop {
    match data.first() {
        Some(&(ERR_CHANNEL_BUSY | ERR_BUSY_QUIRK)) if length >= 1 => Stop::Busy,
        Some(&code) if length >= 1 => WireError::Hid(code).into(),
        _ => FramingError::ShortPacket.into(),
    }
}

impl<P: PacketPort, C: Clock> Device for HidDevice<P, C> {
    fn call(
        &mut self,
        command: u8,
        payload: &[u8],
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        let mut message = Vec::with_capacity(payload.len().saturating_add(1));
        message.push(command);
        message.extend_from_slice(payload);
        split_status(self.transact(
            CBOR,
            &message,
            command::is_repeatable(command, payload),
            progress,
        )?)
    }

    fn call_u2f(
        &mut self,
        instruction: u8,
        p1: u8,
        data: &[u8],
    ) -> Result<(Vec<u8>, StatusWord), Error> {
        // U2F over HID: extended length APDU, Le 0 (all there is).
        let [.., high, low] = data.len().to_be_bytes();
        let mut message = vec![0x00, instruction, p1, 0x00, 0x00];
        if !data.is_empty() {
            message.extend_from_slice(&[high, low]);
            message.extend_from_slice(data);
        }
        message.extend_from_slice(&[0, 0]);
        let mut reply = self.transact(MSG, &message, false, &mut crate::device::unattended)?;
        let (Some(sw2), Some(sw1)) = (reply.pop(), reply.pop()) else {
            return Err(ReplyError::Missing("status word").into());
        };
        Ok((reply, StatusWord(u16::from_be_bytes([sw1, sw2]))))
    }

    fn speaks_ctap2(&self) -> bool {
        self.greeting.capabilities & CAPABILITY_CBOR != 0
    }

    fn speaks_u2f(&self) -> bool {
        self.greeting.capabilities & CAPABILITY_NMSG == 0
    }

    fn max_message(&self) -> usize {
        self.capacity()
    }

    fn pause(&mut self, duration: Duration) -> Duration {
        self.clock.sleep(duration);
        self.clock.now()
    }
}
