//! `authenticatorGetAssertion` and `authenticatorGetNextAssertion` (§6.2, §6.3): one request, its replies. Which options to send is decided
//! in [`crate::ceremony`].

use crate::cbor::{self, Item, Writer};
use crate::command;
use crate::credential::{AuthenticatorData, MAX_CREDENTIAL_ID, write_descriptors};
use crate::device::{Device, Progress, unattended};
use crate::error::{Error, Refused, ReplyError};
use crate::pin_protocol::PinUvAuthToken;

/// Most assertions read for one request, whatever count the authenticator claims.
pub const MAX_ASSERTIONS: usize = 32;
/// Longest signature: RSA-4096 and every elliptic curve fit; ML-DSA does not and is no algorithm of ours.
const MAX_SIGNATURE: usize = 1024;

/// Parameters of one `authenticatorGetAssertion`.
#[derive(Clone)]
pub struct GetAssertion<'a> {
    /// The RP id; configuration, never taken from a peer.
    pub rp_id: &'a str,
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: &'a [u8; 32],
    /// Credential ids, one of which must sign; empty for a discoverable credential.
    pub allow: &'a [&'a [u8]],
    /// Ask for a touch; `false` for a silent look-up.
    pub up: bool,
    /// Verify the user by the CTAP 2.0 `uv` option (built-in verification without tokens).
    pub uv: bool,
    /// `pinUvAuthParam` is computed with this token.
    pub token: Option<&'a PinUvAuthToken>,
}

impl GetAssertion<'_> {
    /// The parameters in canonical CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let options = usize::from(!self.up).saturating_add(usize::from(self.uv));
        let members = [
            !self.allow.is_empty(),
            options > 0,
            self.token.is_some(),
            self.token.is_some(),
        ];
        let mut m = Writer::new();
        m.map(
            members
                .iter()
                .filter(|present| **present)
                .count()
                .saturating_add(2),
        );
        m.unsigned(0x01)
            .text(self.rp_id)
            .unsigned(0x02)
            .bytes(self.client_data_hash);
        if !self.allow.is_empty() {
            write_descriptors(m.unsigned(0x03), self.allow);
        }
        if options > 0 {
            m.unsigned(0x05).map(options);
            // `up` defaults to true and is sent only to say no.
            if !self.up {
                m.text("up").bool(false);
            }
            if self.uv {
                m.text("uv").bool(true);
            }
        }
        if let Some(token) = self.token {
            m.unsigned(0x06)
                .bytes(&token.authenticate(&[self.client_data_hash]));
            m.unsigned(0x07).unsigned(token.protocol().number());
        }
        m.into_bytes()
    }
}

/// What the authenticator signed: a claim, for the server to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Which credential signed; one of those allowed, when any were named.
    pub credential_id: Vec<u8>,
    /// Authenticator data, verbatim.
    pub authenticator_data: Vec<u8>,
    /// The signature over authenticator data and client data hash.
    pub signature: Vec<u8>,
    /// The user handle, for discoverable credentials.
    pub user_handle: Option<Vec<u8>>,
    /// The account name that the authenticator stored; given only when there are several and the user was verified.
    pub user_name: Option<String>,
    /// The user's touch, as the authenticator claims it.
    pub user_present: bool,
    /// The user's verification, as the authenticator claims it.
    pub user_verified: bool,
}

impl Assertion {
    /// Reads one reply's CBOR; returns the count of credentials that it claims beside it.
    ///
    /// A credential that was not allowed, or another RP's authenticator data, is an error: nothing signed for another key passes.
    pub fn read(reply: &[u8], rp_id: &str, allow: &[&[u8]]) -> Result<(Self, u64), Error> {
        let reply = cbor::read(reply)?;
        let bytes = |key, name| {
            let item = reply.at(key).ok_or(ReplyError::Missing(name))?;
            item.bytes().ok_or(ReplyError::Invalid(name))
        };
        let data = bytes(0x02, "authData")?;
        let signature = bytes(0x03, "signature")?;
        if signature.len() > MAX_SIGNATURE {
            return Err(ReplyError::TooLarge("signature").into());
        }
        let credential_id = match (reply.at(0x01), allow) {
            (Some(item), _) => item
                .named("id")
                .and_then(Item::bytes)
                .ok_or(ReplyError::Invalid("credential"))?,
            // §6.2.2 step 14: may be omitted when the list had one entry.
            (None, [only]) => only,
            (None, _) => return Err(ReplyError::Missing("credential").into()),
        };
        if credential_id.is_empty() || credential_id.len() > MAX_CREDENTIAL_ID {
            return Err(ReplyError::Invalid("credential").into());
        }
        if !allow.is_empty() && !allow.contains(&credential_id) {
            return Err(ReplyError::Invalid("credential").into());
        }
        let (user_handle, user_name) = read_user(reply.at(0x04))?;
        let shape = AuthenticatorData::read(data, rp_id)?;
        let count = reply
            .at(0x05)
            .map_or(Some(1), Item::unsigned)
            .ok_or(ReplyError::Invalid("numberOfCredentials"))?;
        let assertion = Self {
            credential_id: credential_id.to_vec(),
            authenticator_data: data.to_vec(),
            signature: signature.to_vec(),
            user_handle,
            user_name,
            user_present: shape.flags & 0x01 != 0,
            user_verified: shape.flags & 0x04 != 0,
        };
        Ok((assertion, count))
    }
}

fn read_user(item: Option<&Item<'_>>) -> Result<(Option<Vec<u8>>, Option<String>), ReplyError> {
    let invalid = ReplyError::Invalid("user");
    let Some(item) = item else {
        return Ok((None, None));
    };
    if item.map().is_none() {
        return Err(invalid);
    }
    // Some keys send an empty user entity for credentials that are not discoverable.
    let handle = item
        .named("id")
        .map(|id| id.bytes().filter(|id| id.len() <= 64).ok_or(invalid))
        .transpose()?;
    let name = item
        .named("name")
        .map(|name| name.text().filter(|name| name.len() <= 256).ok_or(invalid))
        .transpose()?;
    Ok((handle.map(<[u8]>::to_vec), name.map(str::to_owned)))
}

/// Sends the request, waits for the touch, reads every reply: one when credentials are named, up to [`MAX_ASSERTIONS`] otherwise.
pub fn get_assertion(
    device: &mut dyn Device,
    request: &GetAssertion<'_>,
    progress: Progress<'_>,
) -> Result<Vec<Assertion>, Error> {
    let reply = device.call(command::GET_ASSERTION, &request.encode(), progress)?;
    let (first, count) = Assertion::read(&reply, request.rp_id, request.allow)?;
    let mut assertions = vec![first];
    // §6.2.2 step 14: a list yields one assertion; CTAP 2.0 keys that offer more are not asked for them.
    if request.allow.is_empty() {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_ASSERTIONS {
            return Err(Refused::TooManyCredentials.into());
        }
        while assertions.len() < count {
            let reply = device.call(command::GET_NEXT_ASSERTION, &[], &mut unattended)?;
            assertions.push(Assertion::read(&reply, request.rp_id, &[])?.0);
        }
    }
    Ok(assertions)
}
