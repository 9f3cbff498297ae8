//! CTAP over ISO 7816 and NFC (§11.3): SELECT, `NFCCTAP_MSG`, keep-alives, cancellation, and U2F on the same applet.
//!
//! The card is shared with other programs: an [`NfcDevice`] lives within one transaction, and the next one selects again. What the card
//! answers is bounded in bytes, rounds and time; its meaning is for the layers above.

use std::time::Duration;

use crate::apdu::{Command, Framing, exchange};
use crate::cbor;
use crate::command;
use crate::device::{Control, Deadlines, Device, Keepalive, Progress, TICK, unattended};
use crate::error::{Error, FramingError, Refused, Status, StatusWord, WireError};
use crate::port::{ApduPort, Clock};

/// The FIDO applet's identifier.
pub const AID: [u8; 8] = [0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01];
/// Largest CTAP message accepted, either way: HID's limit, which no message exceeds.
pub const MAX_MESSAGE: usize = 7609;

const CLA_CTAP: u8 = 0x80;
const NFCCTAP_MSG: u8 = 0x10;
const NFCCTAP_GETRESPONSE: u8 = 0x11;
const NFCCTAP_CONTROL: u8 = 0x12;
/// P1 of NFCCTAP_MSG: we understand keep-alives.
const WITH_GETRESPONSE: u8 = 0x80;
/// P1 of NFCCTAP_GETRESPONSE: cancel.
const CANCEL: u8 = 0x11;
/// P1 of NFCCTAP_CONTROL: no more CTAP messages follow.
const END: u8 = 0x01;

/// What an applet speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// CTAP2.
    pub ctap2: bool,
    /// CTAP1/U2F.
    pub u2f: bool,
}

/// A FIDO applet, selected.
pub struct NfcDevice<P, C> {
    port: P,
    clock: C,
    framing: Framing,
    deadlines: Deadlines,
    protocols: Protocols,
}

impl<P: ApduPort, C: Clock> NfcDevice<P, C> {
    /// Selects the FIDO applet. `known` is what an earlier selection of the same card found, and spares a question.
    ///
    /// Errors: [`Error::Card`] (usually [`StatusWord::NOT_FOUND`]) when the card has no such applet.
    pub fn select(
        port: P,
        clock: C,
        framing: Framing,
        deadlines: Deadlines,
        known: Option<Protocols>,
    ) -> Result<Self, Error> {
        let mut device = Self {
            port,
            clock,
            framing,
            deadlines,
            protocols: Protocols {
                ctap2: false,
                u2f: false,
            },
        };
        // SELECT is short even where other commands are extended: contact cards may want it so.
        let framing = if framing == Framing::Extended {
            Framing::Short
        } else {
            framing
        };
        let select = Command {
            cla: 0x00,
            ins: 0xa4,
            p1: 0x04,
            p2: 0x00,
            data: &AID,
            answer: true,
        };
        let version = exchange(&mut device.port, select, framing, 256)?.ok()?;
        device.protocols = match (known, version.as_slice()) {
            (Some(known), _) => known,
            // §11.3.4: an applet with both answers as U2F did, so CTAP2 has to be asked for.
            (None, b"U2F_V2") => Protocols {
                ctap2: device.answers_info()?,
                u2f: true,
            },
            // FIDO_2_0, and whatever later versions say.
            (None, _) => Protocols {
                ctap2: true,
                u2f: false,
            },
        };
        Ok(device)
    }

    /// What the applet speaks.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        self.protocols
    }

    /// Tells the card that no more CTAP messages follow (§11.3.7.4); old cards do not know the command, which does no harm.
    pub fn end(mut self) -> Result<(), Error> {
        exchange(
            &mut self.port,
            ctap(NFCCTAP_CONTROL, END, &[]),
            self.framing,
            256,
        )
        .map(|_| ())
    }

    fn answers_info(&mut self) -> Result<bool, Error> {
        match self.call(command::GET_INFO, &[], &mut unattended) {
            Ok(reply) => Ok(cbor::read(&reply).is_ok_and(|item| item.map().is_some())),
            Err(
                Error::Card(_)
                | Error::Status(_)
                | Error::Wire(WireError::Framing(FramingError::Empty)),
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The answer to one NFCCTAP command: the message, or `None` with a sign of life.
    fn step(&mut self, command: Command<'_>) -> Result<Result<Vec<u8>, Keepalive>, Error> {
        let response = exchange(&mut self.port, command, self.framing, MAX_MESSAGE)?;
        match response.status {
            StatusWord::SUCCESS => Ok(Ok(response.data)),
            StatusWord::KEEP_ALIVE => {
                let status = response
                    .data
                    .first()
                    .copied()
                    .map_or(Keepalive::Processing, Keepalive::from_byte);
                Ok(Err(status))
            }
            status => Err(Error::Card(status)),
        }
    }

    /// Cancels, then waits a moment for the authenticator to say that it stopped.
    fn cancel(&mut self) -> Error {
        let deadline = self.clock.now().saturating_add(self.deadlines.cancel);
        let mut p1 = CANCEL;
        while let Ok(Err(_)) = self.step(ctap(NFCCTAP_GETRESPONSE, p1, &[])) {
            if self.clock.now() >= deadline {
                break;
            }
            self.clock.sleep(TICK);
            p1 = 0;
        }
        Refused::Cancelled.into()
    }
}

fn ctap(ins: u8, p1: u8, data: &[u8]) -> Command<'_> {
    Command {
        cla: CLA_CTAP,
        ins,
        p1,
        p2: 0x00,
        data,
        answer: true,
    }
}

/// Splits the status byte off a CTAP2 reply.
pub(crate) fn split_status(mut reply: Vec<u8>) -> Result<Vec<u8>, Error> {
    if reply.is_empty() {
        return Err(FramingError::Empty.into());
    }
    match Status(reply.remove(0)) {
        Status::SUCCESS => Ok(reply),
        status => Err(Error::Status(status)),
    }
}

impl<P: ApduPort, C: Clock> Device for NfcDevice<P, C> {
    fn call(
        &mut self,
        command: u8,
        payload: &[u8],
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        if payload.len() >= MAX_MESSAGE {
            return Err(Refused::TooLarge.into());
        }
        let mut message = Vec::with_capacity(payload.len().saturating_add(1));
        message.push(command);
        message.extend_from_slice(payload);
        let deadline = self.clock.now().saturating_add(self.deadlines.call);
        let mut step = match self.step(ctap(NFCCTAP_MSG, WITH_GETRESPONSE, &message)) {
            // An applet of CTAP 2.0 may not know the bit; it holds the answer back until it has one.
            Err(Error::Card(StatusWord::WRONG_P1_P2 | StatusWord::WRONG_PARAMETERS)) => {
                self.step(ctap(NFCCTAP_MSG, 0x00, &message))?
            }
            step => step?,
        };
        loop {
            let keepalive = match step {
                Ok(reply) => return split_status(reply),
                Err(keepalive) => keepalive,
            };
            if progress(keepalive) == Control::Cancel {
                return Err(self.cancel());
            }
            if self.clock.now() >= deadline {
                let _cancelled = self.cancel();
                return Err(WireError::Deadline.into());
            }
            self.clock.sleep(TICK);
            step = self.step(ctap(NFCCTAP_GETRESPONSE, 0x00, &[]))?;
        }
    }

    fn call_u2f(
        &mut self,
        instruction: u8,
        p1: u8,
        data: &[u8],
    ) -> Result<(Vec<u8>, StatusWord), Error> {
        let command = Command {
            cla: 0x00,
            ins: instruction,
            p1,
            p2: 0x00,
            data,
            answer: true,
        };
        let response = exchange(&mut self.port, command, self.framing, MAX_MESSAGE)?;
        Ok((response.data, response.status))
    }

    fn speaks_ctap2(&self) -> bool {
        self.protocols.ctap2
    }

    fn speaks_u2f(&self) -> bool {
        self.protocols.u2f
    }

    fn max_message(&self) -> usize {
        MAX_MESSAGE
    }

    fn pause(&mut self, duration: Duration) -> Duration {
        self.clock.sleep(duration);
        self.clock.now()
    }
}
