//! `authenticatorConfig` (§6.11), of which one thing is used here: to have an authenticator insist on another PIN (`setMinPINLength` with
//! `forceChangePin`, §6.11.4). The minimum itself, the RP ids that are told of it, `alwaysUv` and enterprise attestation are deliberately left out:
//! what they change lasts until a reset.

use crate::cbor::Writer;
use crate::client_pin::{self, Permissions};
use crate::command;
use crate::device::{Device, unattended};
use crate::error::{Error, Refused, ReplyError};
use crate::info::AuthenticatorInfo;
use crate::pin::Pin;
use crate::port::Entropy;

const SET_MIN_PIN_LENGTH: u8 = 0x03;

/// Whether the authenticator says that it can be made to insist on another PIN.
#[must_use]
pub fn can_force_pin_change(info: &AuthenticatorInfo) -> bool {
    let options = &info.options;
    options.authnr_cfg && options.set_min_pin_length && options.pin_uv_auth_token
}

/// Has the authenticator insist on another PIN: until it is changed, no token is given for this one. Its PIN is needed; a wrong one costs a try.
///
/// # Errors
/// [`Refused::Unsupported`] where [`can_force_pin_change`] says no; [`Error`].
pub fn force_pin_change(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    pin: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    if !can_force_pin_change(info) {
        return Err(Refused::Unsupported.into());
    }
    let token = client_pin::token_using_pin(
        device,
        info.pin_protocol()?,
        pin,
        Permissions::AUTHENTICATOR_CONFIGURATION,
        None,
        entropy,
    )?;
    let mut params = Writer::new();
    params.map(1).unsigned(0x03).bool(true);
    let params = params.into_bytes();
    // §6.11 step 4.4: 32 × 0xff ‖ command ‖ subcommand ‖ parameters.
    let head = [&[0xff; 32][..], &[command::CONFIG, SET_MIN_PIN_LENGTH]].concat();
    let proof = token.authenticate(&[&head, &params]);
    let mut message = Writer::new();
    message
        .map(4)
        .unsigned(0x01)
        .unsigned(SET_MIN_PIN_LENGTH.into());
    message.unsigned(0x02).raw(&params);
    message.unsigned(0x03).unsigned(token.protocol().number());
    message.unsigned(0x04).bytes(&proof);
    match device
        .call(command::CONFIG, &message.into_bytes(), &mut unattended)?
        .as_slice()
    {
        [] | [0xa0] => Ok(()),
        _ => Err(ReplyError::Invalid("config").into()),
    }
}
