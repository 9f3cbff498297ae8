//! `authenticatorClientPIN` (§6.5): retries, tokens, setting and changing the PIN.
//!
//! Nothing here retries: one call is one attempt, and a wrong PIN costs one of the authenticator's tries.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::cbor::{self, Item, Writer};
use crate::command;
use crate::device::{Device, Progress, unattended};
use crate::error::{Error, Refused, ReplyError};
use crate::pin::Pin;
use crate::pin_protocol::{KeyAgreementKey, PinProtocol, PinUvAuthToken, SharedSecret};
use crate::port::Entropy;

const GET_PIN_RETRIES: u64 = 0x01;
const GET_KEY_AGREEMENT: u64 = 0x02;
const SET_PIN: u64 = 0x03;
const CHANGE_PIN: u64 = 0x04;
const GET_PIN_TOKEN: u64 = 0x05;
const GET_TOKEN_USING_UV: u64 = 0x06;
const GET_UV_RETRIES: u64 = 0x07;
const GET_TOKEN_USING_PIN: u64 = 0x09;

/// What a token may be used for (§6.5.5.7), joined with [`Permissions::and`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// `mc`: make one credential; needs an RP id.
    pub const MAKE_CREDENTIAL: Self = Self(0x01);
    /// `ga`: get assertions; needs an RP id.
    pub const GET_ASSERTION: Self = Self(0x02);
    /// `cm`: manage credentials.
    pub const CREDENTIAL_MANAGEMENT: Self = Self(0x04);
    /// `acfg`: configure the authenticator.
    pub const AUTHENTICATOR_CONFIGURATION: Self = Self(0x20);

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Tries left, before a PIN is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinRetries {
    /// Wrong PINs that are still possible before the authenticator blocks for good.
    pub left: u64,
    /// The authenticator wants to be unplugged and replugged before it takes another PIN.
    pub power_cycle_needed: bool,
}

/// `getPINRetries`.
pub fn pin_retries(device: &mut dyn Device) -> Result<PinRetries, Error> {
    // The subcommand needs no protocol; 1 is sent as older firmware insists on one.
    let reply = device.call(
        command::CLIENT_PIN,
        &request(PinProtocol::One, GET_PIN_RETRIES),
        &mut unattended,
    )?;
    let reply = cbor::read(&reply)?;
    let left = member(&reply, 0x03, "pinRetries")?
        .unsigned()
        .ok_or(ReplyError::Invalid("pinRetries"))?;
    let power_cycle = reply
        .at(0x04)
        .map(|item| item.bool().ok_or(ReplyError::Invalid("powerCycleState")))
        .transpose()?;
    Ok(PinRetries {
        left,
        power_cycle_needed: power_cycle == Some(true),
    })
}

/// `getUVRetries`: built-in verifications left before the authenticator asks for its PIN instead.
pub fn uv_retries(device: &mut dyn Device) -> Result<u64, Error> {
    let reply = device.call(
        command::CLIENT_PIN,
        &request(PinProtocol::One, GET_UV_RETRIES),
        &mut unattended,
    )?;
    let reply = cbor::read(&reply)?;
    Ok(member(&reply, 0x05, "uvRetries")?
        .unsigned()
        .ok_or(ReplyError::Invalid("uvRetries"))?)
}

/// `getKeyAgreement`: a public key that the authenticator draws at random at power-up (§6.5.5.1), so that two authenticators, or two lives of
/// one, never have the same. Unproven: whoever has seen it can repeat it.
pub fn key_agreement(
    device: &mut dyn Device,
    protocol: PinProtocol,
) -> Result<KeyAgreementKey, Error> {
    let reply = device.call(
        command::CLIENT_PIN,
        &request(protocol, GET_KEY_AGREEMENT),
        &mut unattended,
    )?;
    let reply = cbor::read(&reply)?;
    Ok(KeyAgreementKey::from_cose(member(
        &reply,
        0x01,
        "keyAgreement",
    )?)?)
}

/// `getKeyAgreement`, and the secret that it gives with a fresh key of ours.
pub fn agree(
    device: &mut dyn Device,
    protocol: PinProtocol,
    entropy: &mut dyn Entropy,
) -> Result<SharedSecret, Error> {
    let theirs = key_agreement(device, protocol)?;
    SharedSecret::agree(protocol, &theirs, entropy)
}

/// `getPinToken` (CTAP 2.0): a token by PIN with every permission that 2.0 knows.
pub fn pin_token(
    device: &mut dyn Device,
    protocol: PinProtocol,
    pin: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<PinUvAuthToken, Error> {
    let secret = agree(device, protocol, entropy)?;
    let pin_hash = encrypted_hash(&secret, pin, entropy)?;
    let mut message = Writer::new();
    message.map(4);
    head(&mut message, &secret, GET_PIN_TOKEN);
    message.unsigned(0x06).bytes(&pin_hash);
    token(
        &device.call(command::CLIENT_PIN, &message.into_bytes(), &mut unattended)?,
        &secret,
    )
}

/// `getPinUvAuthTokenUsingPinWithPermissions`: a token by PIN, for these permissions at this RP only.
pub fn token_using_pin(
    device: &mut dyn Device,
    protocol: PinProtocol,
    pin: &Pin,
    permissions: Permissions,
    rp_id: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Result<PinUvAuthToken, Error> {
    let secret = agree(device, protocol, entropy)?;
    let pin_hash = encrypted_hash(&secret, pin, entropy)?;
    let mut message = Writer::new();
    message.map(if rp_id.is_some() { 6 } else { 5 });
    head(&mut message, &secret, GET_TOKEN_USING_PIN);
    message.unsigned(0x06).bytes(&pin_hash);
    tail(&mut message, permissions, rp_id);
    token(
        &device.call(command::CLIENT_PIN, &message.into_bytes(), &mut unattended)?,
        &secret,
    )
}

/// `getPinUvAuthTokenUsingUvWithPermissions`: a token by the authenticator's own fingerprint reader or PIN pad; `progress` shows that it waits.
pub fn token_using_uv(
    device: &mut dyn Device,
    protocol: PinProtocol,
    permissions: Permissions,
    rp_id: Option<&str>,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<PinUvAuthToken, Error> {
    let secret = agree(device, protocol, entropy)?;
    let mut message = Writer::new();
    message.map(if rp_id.is_some() { 5 } else { 4 });
    head(&mut message, &secret, GET_TOKEN_USING_UV);
    tail(&mut message, permissions, rp_id);
    token(
        &device.call(command::CLIENT_PIN, &message.into_bytes(), progress)?,
        &secret,
    )
}

/// `setPIN`: the first PIN of an authenticator that has none.
pub fn set_pin(
    device: &mut dyn Device,
    protocol: PinProtocol,
    new: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let secret = agree(device, protocol, entropy)?;
    let new_pin = secret.encrypt(&*padded(new), entropy)?;
    let param = secret.authenticate(&[&new_pin]);
    let mut message = Writer::new();
    message.map(5);
    head(&mut message, &secret, SET_PIN);
    message
        .unsigned(0x04)
        .bytes(&param)
        .unsigned(0x05)
        .bytes(&new_pin);
    done(&device.call(command::CLIENT_PIN, &message.into_bytes(), &mut unattended)?)
}

/// `changePIN`: a wrong current PIN costs a try.
pub fn change_pin(
    device: &mut dyn Device,
    protocol: PinProtocol,
    current: &Pin,
    new: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<(), Error> {
    let secret = agree(device, protocol, entropy)?;
    let pin_hash = encrypted_hash(&secret, current, entropy)?;
    let new_pin = secret.encrypt(&*padded(new), entropy)?;
    let param = secret.authenticate(&[&new_pin, &pin_hash]);
    let mut message = Writer::new();
    message.map(6);
    head(&mut message, &secret, CHANGE_PIN);
    message
        .unsigned(0x04)
        .bytes(&param)
        .unsigned(0x05)
        .bytes(&new_pin)
        .unsigned(0x06)
        .bytes(&pin_hash);
    done(&device.call(command::CLIENT_PIN, &message.into_bytes(), &mut unattended)?)
}

/// A request without parameters beyond protocol and subcommand.
fn request(protocol: PinProtocol, subcommand: u64) -> Vec<u8> {
    let mut message = Writer::new();
    message
        .map(2)
        .unsigned(0x01)
        .unsigned(protocol.number())
        .unsigned(0x02)
        .unsigned(subcommand);
    message.into_bytes()
}

/// Members 1 to 3: protocol, subcommand, our public key.
fn head(message: &mut Writer, secret: &SharedSecret, subcommand: u64) {
    message
        .unsigned(0x01)
        .unsigned(secret.protocol().number())
        .unsigned(0x02)
        .unsigned(subcommand);
    secret.platform_key().write(message.unsigned(0x03));
}

/// Members 9 and 10: permissions and RP id.
fn tail(message: &mut Writer, permissions: Permissions, rp_id: Option<&str>) {
    message.unsigned(0x09).unsigned(permissions.0.into());
    if let Some(rp_id) = rp_id {
        message.unsigned(0x0a).text(rp_id);
    }
}

/// `pinHashEnc`: the left half of the PIN's SHA-256, encrypted.
fn encrypted_hash(
    secret: &SharedSecret,
    pin: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, Error> {
    let hash = digest(&SHA256, pin.bytes());
    let left: Zeroizing<Vec<u8>> = Zeroizing::new(hash.as_ref().iter().copied().take(16).collect());
    secret.encrypt(&left, entropy)
}

/// `newPin`: 64 bytes, zero-padded.
fn padded(pin: &Pin) -> Zeroizing<[u8; 64]> {
    let mut padded = Zeroizing::new([0; 64]);
    for (to, from) in padded.iter_mut().zip(pin.bytes()) {
        *to = *from;
    }
    padded
}

fn token(reply: &[u8], secret: &SharedSecret) -> Result<PinUvAuthToken, Error> {
    let reply = cbor::read(reply)?;
    let encrypted = member(&reply, 0x02, "pinUvAuthToken")?
        .bytes()
        .ok_or(ReplyError::Invalid("pinUvAuthToken"))?;
    Ok(PinUvAuthToken::new(
        secret.protocol(),
        secret.decrypt(encrypted, "pinUvAuthToken")?,
    )?)
}

fn member<'a, 'b>(
    reply: &'a Item<'b>,
    key: i64,
    name: &'static str,
) -> Result<&'a Item<'b>, Error> {
    Ok(reply.at(key).ok_or(ReplyError::Missing(name))?)
}

/// The reply to setPIN and changePIN has no members; some firmware sends an empty map.
fn done(reply: &[u8]) -> Result<(), Error> {
    match reply {
        [] | [0xa0] => Ok(()),
        _ => Err(ReplyError::Invalid("clientPIN").into()),
    }
}

/// Whether `new` satisfies the authenticator's own minimum.
pub fn check_length(new: &Pin, minimum: usize) -> Result<(), Refused> {
    if new.code_points() < minimum {
        Err(Refused::PinTooShort { minimum })
    } else {
        Ok(())
    }
}
