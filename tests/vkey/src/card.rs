//! The card between a reader and a firmware: power, NFC keep-alives (CTAP 2.1 §11.3.7.2), faults on demand.
//!
//! The firmware answers an APDU when it has the answer. What a reader must see meanwhile, and what a broken card
//! would say instead, is decided here.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::firmware::{Device, Job, Power};
use crate::misbehave::card::Misbehave;
use crate::piv;

const SW_FAILURE: [u8; 2] = [0x6f, 0x00];
const SW_KEEP_ALIVE: [u8; 2] = [0x91, 0x00];

/// NFCCTAP_MSG and NFCCTAP_GETRESPONSE (CTAP 2.1 §11.3.7).
const NFCCTAP_MSG: u8 = 0x10;
const NFCCTAP_GETRESPONSE: u8 = 0x11;
/// P1 of NFCCTAP_MSG: the client can poll.
const P1_CAN_POLL: u8 = 0x80;
/// P1 of NFCCTAP_GETRESPONSE: cancel.
const P1_CANCEL: u8 = 0x11;

/// How long an answer may take before a keep-alive is sent in its place.
const KEEP_ALIVE: Duration = Duration::from_millis(80);

/// The fault that a card shows now, changed from the control socket.
pub type Fault = Arc<Mutex<Option<Misbehave>>>;

/// A card in a reader.
pub struct Card {
    device: Arc<Device>,
    power: Option<Power>,
    outstanding: Option<Receiver<Vec<u8>>>,
    keep_alive: bool,
    attestation: Option<piv::Shim>,
    fault: Fault,
}

impl Card {
    /// A card without power. With `keep_alive`, clients that ask for it see keep-alives while it waits for a touch.
    pub fn new(
        device: Arc<Device>,
        keep_alive: bool,
        attestation: Option<piv::Shim>,
        fault: Fault,
    ) -> Self {
        Self {
            device,
            power: None,
            outstanding: None,
            keep_alive,
            attestation,
            fault,
        }
    }

    /// Power, or a reset when it has power; a device that a USB port powers goes on as it is.
    pub fn power_on(&mut self) -> anyhow::Result<()> {
        self.power_off();
        if !self.device.is_bus_powered() {
            self.power = Some(self.device.power_on(None)?);
        }
        Ok(())
    }

    /// No power: everything volatile is lost.
    pub fn power_off(&mut self) {
        self.outstanding = None;
        if let Some(power) = self.power.take() {
            power.off();
        }
        if let Some(attestation) = &mut self.attestation {
            attestation.reset();
        }
    }

    /// One APDU and its answer; `None` is silence.
    pub fn transmit(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        let fault = self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match fault {
            Some(fault) => fault.transmit(command, |command| self.answer(command)),
            None => Some(self.answer(command)),
        }
    }

    fn answer(&mut self, command: &[u8]) -> Vec<u8> {
        if let Some(&[cla, ins, p1, _]) = command.first_chunk::<4>() {
            let is_ctap = cla == 0x80 && self.keep_alive;
            if is_ctap && ins == NFCCTAP_GETRESPONSE {
                if p1 == P1_CANCEL {
                    self.device.touch.cancel();
                }
                return match self.outstanding.take() {
                    Some(answer) => self.answer_or_keep_alive(answer),
                    None => vec![0x69, 0x85],
                };
            }
            self.abandon();
            if is_ctap && ins == NFCCTAP_MSG && p1 & P1_CAN_POLL != 0 {
                return match self.submit(command) {
                    Some(answer) => self.answer_or_keep_alive(answer),
                    None => SW_FAILURE.to_vec(),
                };
            }
        }
        match &mut self.attestation {
            Some(_) => self.answer_with_attestation(command),
            None => self.ask(command),
        }
    }

    fn answer_with_attestation(&mut self, command: &[u8]) -> Vec<u8> {
        let Some(mut shim) = self.attestation.take() else {
            return self.ask(command);
        };
        let answer = shim.transmit(command, &mut |command| self.ask(command));
        self.attestation = Some(shim);
        answer
    }

    fn submit(&self, command: &[u8]) -> Option<Receiver<Vec<u8>>> {
        let (reply, answer) = mpsc::channel();
        let job = Job::Apdu(command.to_vec(), reply);
        self.device.submit(job).then_some(answer)
    }

    fn ask(&self, command: &[u8]) -> Vec<u8> {
        self.submit(command)
            .and_then(|answer| answer.recv().ok())
            .unwrap_or_else(|| SW_FAILURE.to_vec())
    }

    fn answer_or_keep_alive(&mut self, answer: Receiver<Vec<u8>>) -> Vec<u8> {
        match answer.recv_timeout(KEEP_ALIVE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => SW_FAILURE.to_vec(),
            Err(RecvTimeoutError::Timeout) => {
                // 1: processing, 2: user presence needed (CTAP 2.1 §11.2.9.1.7).
                let status = if self.device.touch.snapshot().pending {
                    2
                } else {
                    1
                };
                self.outstanding = Some(answer);
                [&[status], &SW_KEEP_ALIVE[..]].concat()
            }
        }
    }

    /// Another command while one is outstanding: that one ends.
    fn abandon(&mut self) {
        if let Some(answer) = self.outstanding.take() {
            while let Err(RecvTimeoutError::Timeout) = answer.recv_timeout(Duration::from_millis(2))
            {
                self.device.touch.cancel();
            }
        }
    }
}
