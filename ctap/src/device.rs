//! One authenticator that speaks CTAP, whatever carries it: what transports offer to the commands above them.

use std::time::Duration;

use crate::error::{Error, StatusWord};

/// A sign of life while the authenticator works (§11.2.9.1.7), or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// The authenticator is working.
    Processing,
    /// The authenticator waits for the user's touch.
    UpNeeded,
    /// A status byte that this crate does not know.
    Other(u8),
    /// Nothing was heard for the last moment (at most [`TICK`]): the chance to cancel a call on a silent device.
    Silent,
}

/// The longest time that passes between two calls of a progress callback while a transport can be interrupted.
pub const TICK: Duration = Duration::from_millis(50);

impl Keepalive {
    /// From the wire's status byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Processing,
            2 => Self::UpNeeded,
            other => Self::Other(other),
        }
    }
}

/// How long a transport waits, and for what. The defaults suit real keys; tests shorten nothing but the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a channel to be allocated (HID).
    pub open: Duration,
    /// Between two signs of life of a working authenticator, which sends one every 100 ms (HID).
    pub silence: Duration,
    /// For the first sign of life after a request that may be sent again (HID).
    pub lost: Duration,
    /// For a whole call, touch included. Authenticators give up by themselves after 30 s or so.
    pub call: Duration,
    /// For the answer to a cancellation; without one the channel is resynchronised before its next use.
    pub cancel: Duration,
    /// For another program to finish with the authenticator (HID).
    pub busy: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(1),
            silence: Duration::from_secs(3),
            lost: Duration::from_millis(600),
            call: Duration::from_secs(120),
            cancel: Duration::from_millis(150),
            busy: Duration::from_secs(15),
        }
    }
}

/// The progress callback's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on waiting.
    Continue,
    /// Cancel at the authenticator; the call ends in [`crate::Refused::Cancelled`].
    Cancel,
}

/// Called while an authenticator works; never after the call returned.
pub type Progress<'a> = &'a mut dyn FnMut(Keepalive) -> Control;

/// A progress callback that neither shows nor cancels anything.
#[must_use]
pub fn unattended(_: Keepalive) -> Control {
    Control::Continue
}

/// One authenticator, reached.
pub trait Device {
    /// Sends one CTAP2 command with its CBOR parameters (empty for none) and returns the reply's CBOR, which is not trusted yet.
    ///
    /// Errors: [`Error::Status`] for any status byte but success; [`Error::Wire`] when the transport fails or a deadline passes;
    /// [`crate::Refused::Cancelled`] after the callback said so, whatever the authenticator answered to the cancellation.
    fn call(
        &mut self,
        command: u8,
        payload: &[u8],
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error>;

    /// Sends one CTAP1/U2F request and returns the answer without its status word, and the status word.
    ///
    /// Never waits for a touch: U2F tokens say [`StatusWord::CONDITIONS`] at once and are asked again by the caller.
    fn call_u2f(
        &mut self,
        instruction: u8,
        p1: u8,
        data: &[u8],
    ) -> Result<(Vec<u8>, StatusWord), Error>;

    /// Whether the transport announced CTAP2 (CBOR).
    fn speaks_ctap2(&self) -> bool;

    /// Whether the transport announced CTAP1/U2F.
    fn speaks_u2f(&self) -> bool;

    /// The largest message (command byte and parameters) that the transport carries.
    fn max_message(&self) -> usize;

    /// Lets about `duration` pass and returns the transport's monotonic time: how U2F, which has no keep-alives, waits for a touch.
    fn pause(&mut self, duration: Duration) -> Duration;
}

impl<D: Device + ?Sized> Device for &mut D {
    fn call(
        &mut self,
        command: u8,
        payload: &[u8],
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        (**self).call(command, payload, progress)
    }

    fn call_u2f(
        &mut self,
        instruction: u8,
        p1: u8,
        data: &[u8],
    ) -> Result<(Vec<u8>, StatusWord), Error> {
        (**self).call_u2f(instruction, p1, data)
    }

    fn speaks_ctap2(&self) -> bool {
        (**self).speaks_ctap2()
    }

    fn speaks_u2f(&self) -> bool {
        (**self).speaks_u2f()
    }

    fn max_message(&self) -> usize {
        (**self).max_message()
    }

    fn pause(&mut self, duration: Duration) -> Duration {
        (**self).pause(duration)
    }
}
