//! The seams to hardware, entropy and time: everything impure that this crate needs, as arguments.
//!
//! An adapter (hidraw, PC/SC, a test's device) implements one of the two ports in about a hundred lines and knows nothing of CTAP.
//! Nothing read from a port is trusted: framing, lengths and contents are checked above it.
//! Deliberately elsewhere: finding devices, opening them, transactions, hot-plug (the agent).

use std::time::Duration;

/// The largest HID report that this crate handles. FIDO devices use 64; the descriptor may say less.
pub const MAX_REPORT: usize = 64;

/// Why a port could not do what was asked. The wire broke; nothing is known of what the authenticator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The device or card is gone: unplugged, removed, or its reader is.
    #[error("the device is gone")]
    Gone,
    /// Another program reset the card: selection and authentication state are lost, a new SELECT is needed.
    #[error("the card was reset by another program")]
    Reset,
    /// The operating system refuses access.
    #[error("access to the device is refused")]
    Denied,
    /// The operating system gave up waiting.
    #[error("the device did not take the message in time")]
    Timeout,
    /// Any other fault, with the operating system's or PC/SC's own code.
    #[error("input/output failed (code {0:#x})")]
    Failed(u32),
}

/// A smart card behind PC/SC, contact or contactless, selected by nobody yet.
pub trait ApduPort {
    /// Sends one command APDU exactly as given and returns the response APDU, `SW1 SW2` at its end.
    ///
    /// `61xx` and `6Cxx` are answered above this port: an adapter passes them on. The adapter bounds the time of one exchange.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError>;
}

impl<P: ApduPort + ?Sized> ApduPort for &mut P {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        (**self).transmit(command)
    }
}

/// A HID device with the FIDO usage page, shared with other programs.
pub trait PacketPort {
    /// Bytes of one report, without report id, from the report descriptor: 8 to [`MAX_REPORT`], 64 on every known key.
    fn report_size(&self) -> usize {
        MAX_REPORT
    }

    /// Sends one output report. `packet` is exactly [`PacketPort::report_size`] bytes, without report id.
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError>;

    /// Waits at most `timeout` for one input report and writes it to `packet`; returns its length, or `None` when nothing came.
    ///
    /// Reports meant for other programs arrive here too.
    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError>;
}

impl<P: PacketPort + ?Sized> PacketPort for &mut P {
    fn report_size(&self) -> usize {
        (**self).report_size()
    }

    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        (**self).write_packet(packet)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        (**self).read_packet(packet, timeout)
    }
}

/// A monotonic clock, for deadlines only.
pub trait Clock {
    /// Time since an arbitrary fixed origin; never goes back.
    fn now(&self) -> Duration;

    /// Returns after about `duration`.
    fn sleep(&self, duration: Duration);
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep(&self, duration: Duration) {
        (**self).sleep(duration);
    }
}

/// The source of secrets' randomness could not deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness")]
pub struct NoEntropy;

/// A cryptographically secure source of random bytes.
pub trait Entropy {
    /// Fills `out`, wholly or not at all.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy>;
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        (**self).fill(out)
    }
}
