//! `authenticatorCredentialManagement` (§6.8): which discoverable credentials an authenticator stores, and their removal.
//!
//! For keys that only PC/SC reaches, and wherever the whole list is wanted with bounds. The counts that an authenticator claims are believed
//! up to [`MAX_STORED`]. Renaming a credential's user is deliberately left out.

use crate::cbor::{self, Item, Writer};
use crate::client_pin::{self, Permissions};
use crate::command;
use crate::device::{Device, unattended};
use crate::error::{Error, Refused, ReplyError, Status};
use crate::info::AuthenticatorInfo;
use crate::pin::Pin;
use crate::pin_protocol::PinUvAuthToken;
use crate::port::Entropy;

/// Most relying parties, and most credentials in all, that are listed.
pub const MAX_STORED: usize = 256;

const GET_METADATA: u8 = 0x01;
const RPS_BEGIN: u8 = 0x02;
const RPS_NEXT: u8 = 0x03;
const CREDENTIALS_BEGIN: u8 = 0x04;
const CREDENTIALS_NEXT: u8 = 0x05;
const DELETE: u8 = 0x06;

/// Longest text kept of what the authenticator stored.
const MAX_TEXT: usize = 256;

/// How full the authenticator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Discoverable credentials stored.
    pub stored: u64,
    /// How many more fit, estimated.
    pub room: u64,
}

/// One discoverable credential, as the authenticator tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// The relying party; authenticators may shorten it.
    pub rp_id: Option<String>,
    /// SHA-256 of the RP id.
    pub rp_id_hash: [u8; 32],
    /// The credential id.
    pub credential_id: Vec<u8>,
    /// The user handle.
    pub user_handle: Vec<u8>,
    /// Account name.
    pub user_name: Option<String>,
    /// Display name.
    pub display_name: Option<String>,
}

/// A token for the functions of this module; a wrong PIN costs a try.
pub fn token(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    pin: &Pin,
    entropy: &mut dyn Entropy,
) -> Result<PinUvAuthToken, Error> {
    let protocol = info.pin_protocol()?;
    if info.options.pin_uv_auth_token {
        client_pin::token_using_pin(
            device,
            protocol,
            pin,
            Permissions::CREDENTIAL_MANAGEMENT,
            None,
            entropy,
        )
    } else {
        client_pin::pin_token(device, protocol, pin, entropy)
    }
}

/// `getCredsMetadata`.
pub fn metadata(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    token: &PinUvAuthToken,
) -> Result<Metadata, Error> {
    let reply = call(device, info, GET_METADATA, None, Some(token))?;
    let reply = cbor::read(&reply)?;
    let number = |key, name| {
        reply
            .at(key)
            .ok_or(ReplyError::Missing(name))?
            .unsigned()
            .ok_or(ReplyError::Invalid(name))
    };
    Ok(Metadata {
        stored: number(0x01, "existingResidentCredentialsCount")?,
        room: number(0x02, "maxPossibleRemainingResidentCredentialsCount")?,
    })
}

/// Every discoverable credential of every relying party.
pub fn credentials(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    token: &PinUvAuthToken,
) -> Result<Vec<StoredCredential>, Error> {
    let rps = enumerate(
        device,
        info,
        token,
        (RPS_BEGIN, RPS_NEXT),
        None,
        (0x05, "totalRPs"),
        |reply| {
            let hash = reply
                .at(0x04)
                .and_then(Item::bytes)
                .and_then(|hash| <[u8; 32]>::try_from(hash).ok());
            let id = reply
                .at(0x03)
                .map(|rp| text(rp, "id"))
                .transpose()?
                .flatten();
            Ok((id, hash.ok_or(ReplyError::Invalid("rpIDHash"))?))
        },
    )?;
    let mut all = Vec::new();
    for (rp_id, rp_id_hash) in rps {
        let mut params = Writer::new();
        params.map(1).unsigned(0x01).bytes(&rp_id_hash);
        let subcommands = (CREDENTIALS_BEGIN, CREDENTIALS_NEXT);
        let total = (0x09, "totalCredentials");
        let of_rp = enumerate(
            device,
            info,
            token,
            subcommands,
            Some(&params.into_bytes()),
            total,
            |reply| stored(reply, rp_id.clone(), rp_id_hash),
        )?;
        all.extend(of_rp);
        if all.len() > MAX_STORED {
            return Err(Refused::TooManyCredentials.into());
        }
    }
    Ok(all)
}

/// `deleteCredential`: removes one credential for good.
pub fn delete(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    token: &PinUvAuthToken,
    credential_id: &[u8],
) -> Result<(), Error> {
    let mut params = Writer::new();
    params
        .map(1)
        .unsigned(0x02)
        .map(2)
        .text("id")
        .bytes(credential_id)
        .text("type")
        .text("public-key");
    let reply = call(
        device,
        info,
        DELETE,
        Some(&params.into_bytes()),
        Some(token),
    )?;
    match reply.as_slice() {
        [] | [0xa0] => Ok(()),
        _ => Err(ReplyError::Invalid("deleteCredential").into()),
    }
}

/// A begin and its nexts; `total` names the member of the first reply that counts them.
fn enumerate<T>(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    token: &PinUvAuthToken,
    (begin, next): (u8, u8),
    params: Option<&[u8]>,
    total: (i64, &'static str),
    read: impl Fn(&Item<'_>) -> Result<T, ReplyError>,
) -> Result<Vec<T>, Error> {
    let first = match call(device, info, begin, params, Some(token)) {
        Err(Error::Status(Status::NO_CREDENTIALS)) => return Ok(Vec::new()),
        other => other?,
    };
    let first = cbor::read(&first)?;
    let count = first
        .at(total.0)
        .ok_or(ReplyError::Missing(total.1))?
        .unsigned()
        .ok_or(ReplyError::Invalid(total.1))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_STORED {
        return Err(Refused::TooManyCredentials.into());
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut all = vec![read(&first)?];
    while all.len() < count {
        let reply = call(device, info, next, None, None)?;
        all.push(read(&cbor::read(&reply)?)?);
    }
    Ok(all)
}

fn stored(
    reply: &Item<'_>,
    rp_id: Option<String>,
    rp_id_hash: [u8; 32],
) -> Result<StoredCredential, ReplyError> {
    let id = reply
        .at(0x07)
        .and_then(|descriptor| descriptor.named("id"))
        .and_then(Item::bytes);
    let id = id.filter(|id| !id.is_empty() && id.len() <= crate::credential::MAX_CREDENTIAL_ID);
    let user = reply.at(0x06).ok_or(ReplyError::Missing("user"))?;
    let handle = user
        .named("id")
        .and_then(Item::bytes)
        .filter(|handle| handle.len() <= 64);
    Ok(StoredCredential {
        rp_id,
        rp_id_hash,
        credential_id: id.ok_or(ReplyError::Invalid("credentialID"))?.to_vec(),
        user_handle: handle.ok_or(ReplyError::Invalid("user"))?.to_vec(),
        user_name: text(user, "name")?,
        display_name: text(user, "displayName")?,
    })
}

/// A text member that may be absent.
fn text(item: &Item<'_>, name: &'static str) -> Result<Option<String>, ReplyError> {
    let Some(member) = item.named(name) else {
        return Ok(None);
    };
    let text = member
        .text()
        .filter(|text| text.len() <= MAX_TEXT)
        .ok_or(ReplyError::Invalid(name))?;
    Ok(Some(text.to_owned()))
}

fn call(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    subcommand: u8,
    params: Option<&[u8]>,
    token: Option<&PinUvAuthToken>,
) -> Result<Vec<u8>, Error> {
    let command = if info.options.cred_mgmt {
        command::CREDENTIAL_MANAGEMENT
    } else if info.options.credential_mgmt_preview {
        command::CREDENTIAL_MANAGEMENT_PREVIEW
    } else {
        return Err(Refused::Unsupported.into());
    };
    let members = [params.is_some(), token.is_some(), token.is_some()];
    let mut m = Writer::new();
    m.map(
        members
            .iter()
            .filter(|present| **present)
            .count()
            .saturating_add(1),
    )
    .unsigned(0x01)
    .unsigned(subcommand.into());
    if let Some(params) = params {
        m.unsigned(0x02).raw(params);
    }
    if let Some(token) = token {
        m.unsigned(0x03).unsigned(token.protocol().number());
        m.unsigned(0x04)
            .bytes(&token.authenticate(&[&[subcommand], params.unwrap_or_default()]));
    }
    device.call(command, &m.into_bytes(), &mut unattended)
}
