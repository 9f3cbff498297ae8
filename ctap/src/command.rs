//! The command bytes of the authenticator API (§6), and the commands that have neither parameters nor a reply.

use crate::device::{Device, Progress};
use crate::error::{Error, ReplyError};

/// `authenticatorMakeCredential`
pub const MAKE_CREDENTIAL: u8 = 0x01;
/// `authenticatorGetAssertion`
pub const GET_ASSERTION: u8 = 0x02;
/// `authenticatorGetInfo`
pub const GET_INFO: u8 = 0x04;
/// `authenticatorClientPIN`
pub const CLIENT_PIN: u8 = 0x06;
/// `authenticatorReset`
pub const RESET: u8 = 0x07;
/// `authenticatorGetNextAssertion`
pub const GET_NEXT_ASSERTION: u8 = 0x08;
/// `authenticatorCredentialManagement`
pub const CREDENTIAL_MANAGEMENT: u8 = 0x0a;
/// `authenticatorConfig`
pub const CONFIG: u8 = 0x0d;
/// The same as [`CREDENTIAL_MANAGEMENT`] in CTAP 2.1 preview keys.
pub const CREDENTIAL_MANAGEMENT_PREVIEW: u8 = 0x41;
/// `authenticatorSelection`
pub const SELECTION: u8 = 0x0b;

/// `authenticatorSelection` (§6.9): waits for a touch and does nothing else. For choosing one key among several.
pub fn selection(device: &mut dyn Device, progress: Progress<'_>) -> Result<(), Error> {
    without_reply(device, SELECTION, "selection", progress)
}

/// `authenticatorReset` (§6.6): erases every credential and the PIN, for good, after a touch. Most keys allow it only just after power-up.
pub fn danger_reset(device: &mut dyn Device, progress: Progress<'_>) -> Result<(), Error> {
    without_reply(device, RESET, "reset", progress)
}

fn without_reply(
    device: &mut dyn Device,
    command: u8,
    name: &'static str,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let reply = device.call(command, &[], progress)?;
    if reply.is_empty() {
        Ok(())
    } else {
        Err(ReplyError::Invalid(name).into())
    }
}

/// Whether a request may be sent again when its first sending may or may not have been carried out: nothing that carries a PIN, erases, or
/// continues.
pub(crate) fn is_repeatable(command: u8, payload: &[u8]) -> bool {
    match command {
        MAKE_CREDENTIAL | GET_ASSERTION | GET_INFO | SELECTION => true,
        // clientPIN, as this crate writes it: member 2 is the subcommand. Retries and key agreement carry no PIN.
        CLIENT_PIN => matches!(payload, [_, 0x01, _, 0x02, 0x01 | 0x02 | 0x07, ..]),
        _ => false,
    }
}
