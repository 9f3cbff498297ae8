//! CTAP1/U2F keys that are still in drawers, seen as WebAuthn authenticators (§7: register and authenticate through the mapping).
//!
//! They prove possession and presence, never who touched them: a caller that requires user verification does not come here.
//! U2F has no keep-alives; the key says "not touched yet" and is asked again.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::assertion::Assertion;
use crate::cbor::Writer;
use crate::credential::NewCredential;
use crate::device::{Control, Device, Keepalive, Progress};
use crate::error::{Error, Refused, ReplyError, Status, StatusWord, WireError};

const REGISTER: u8 = 0x01;
const AUTHENTICATE: u8 = 0x02;
const VERSION: u8 = 0x03;
/// P1: a touch is required and used up.
const ENFORCE_PRESENCE: u8 = 0x03;
/// P1: only tell whether the key handle is this token's.
const CHECK_ONLY: u8 = 0x07;

/// Longest key handle.
const MAX_KEY_HANDLE: usize = 255;
/// Longest attestation certificate and signature.
const MAX_CERTIFICATE: usize = 4096;
const MAX_SIGNATURE: usize = 80;
/// How often a token is asked whether it was touched.
const POLL: Duration = Duration::from_millis(100);
/// How long a person has to touch it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The token's own version string, `U2F_V2`.
pub fn version(device: &mut dyn Device) -> Result<String, Error> {
    let reply = ok(device.call_u2f(VERSION, 0, &[])?)?;
    match std::str::from_utf8(&reply) {
        Ok(text) if text.len() <= 16 => Ok(text.to_owned()),
        _ => Err(ReplyError::Invalid("version").into()),
    }
}

/// §7.1: makes a credential and dresses it as a `fido-u2f` attestation object.
///
/// A token that holds one of `exclude` answers [`Status::CREDENTIAL_EXCLUDED`], after a touch.
pub fn register(
    device: &mut dyn Device,
    rp_id: &str,
    client_data_hash: &[u8; 32],
    exclude: &[Vec<u8>],
    progress: Progress<'_>,
) -> Result<NewCredential, Error> {
    let application = sha256(rp_id.as_bytes());
    if held(device, &application, exclude)?.is_some() {
        // The touch comes first, so that a site cannot probe for keys; what is made belongs to nobody.
        touched(
            device,
            REGISTER,
            &[sha256(b"excluded"), sha256(b"excluded.invalid")].concat(),
            progress,
        )?;
        return Err(Error::Status(Status::CREDENTIAL_EXCLUDED));
    }
    let reply = touched(
        device,
        REGISTER,
        &[*client_data_hash, application].concat(),
        progress,
    )?;
    let registration = RegistrationReply::read(&reply)?;
    let (statement, data) = (
        registration.statement(),
        registration.authenticator_data(&application),
    );
    Ok(NewCredential {
        format: "fido-u2f".to_owned(),
        authenticator_data: data,
        attestation_statement: statement,
        credential_id: registration.key_handle.to_vec(),
        enterprise: false,
    })
}

/// §7.2: an assertion by the first of `allow` that is this token's; [`Refused::NoCredential`] when none is.
pub fn authenticate(
    device: &mut dyn Device,
    rp_id: &str,
    client_data_hash: &[u8; 32],
    allow: &[Vec<u8>],
    progress: Progress<'_>,
) -> Result<Assertion, Error> {
    let application = sha256(rp_id.as_bytes());
    let key_handle = held(device, &application, allow)?.ok_or(Refused::NoCredential)?;
    let reply = touched(
        device,
        AUTHENTICATE,
        &request(client_data_hash, &application, key_handle)?,
        progress,
    )?;
    // User presence byte, counter, signature.
    let ([presence, counter @ ..], signature) = reply
        .split_first_chunk::<5>()
        .ok_or(ReplyError::Invalid("authenticate"))?;
    if signature.is_empty() || signature.len() > MAX_SIGNATURE {
        return Err(ReplyError::Invalid("signature").into());
    }
    let mut data = application.to_vec();
    data.push(presence & 0x01);
    data.extend_from_slice(counter);
    Ok(Assertion {
        credential_id: key_handle.to_vec(),
        authenticator_data: data,
        signature: signature.to_vec(),
        user_handle: None,
        user_name: None,
        user_present: presence & 0x01 != 0,
        user_verified: false,
    })
}

/// Which of `ids` is this token's, without a touch.
pub fn locate(
    device: &mut dyn Device,
    rp_id: &str,
    ids: &[Vec<u8>],
) -> Result<Option<Vec<u8>>, Error> {
    Ok(held(device, &sha256(rp_id.as_bytes()), ids)?.map(<[u8]>::to_vec))
}

fn held<'a>(
    device: &mut dyn Device,
    application: &[u8; 32],
    ids: &'a [Vec<u8>],
) -> Result<Option<&'a [u8]>, Error> {
    for id in ids
        .iter()
        .filter(|id| !id.is_empty() && id.len() <= MAX_KEY_HANDLE)
    {
        match device.call_u2f(
            AUTHENTICATE,
            CHECK_ONLY,
            &request(&[0; 32], application, id)?,
        )? {
            // "Test of user presence required" is how a token says yes.
            (_, StatusWord::CONDITIONS | StatusWord::SUCCESS) => return Ok(Some(id)),
            (_, StatusWord::WRONG_DATA | StatusWord::WRONG_LENGTH | StatusWord::NOT_FOUND) => {}
            (_, status) => return Err(Error::Card(status)),
        }
    }
    Ok(None)
}

fn request(
    challenge: &[u8; 32],
    application: &[u8; 32],
    key_handle: &[u8],
) -> Result<Vec<u8>, Refused> {
    let length = u8::try_from(key_handle.len()).map_err(|_| Refused::Argument("credential id"))?;
    Ok([challenge.as_slice(), application, &[length], key_handle].concat())
}

/// Asks until the token was touched, the callback cancels, or patience ends.
fn touched(
    device: &mut dyn Device,
    instruction: u8,
    data: &[u8],
    progress: Progress<'_>,
) -> Result<Vec<u8>, Error> {
    let deadline = device.pause(Duration::ZERO).saturating_add(PATIENCE);
    loop {
        let (reply, status) = device.call_u2f(instruction, ENFORCE_PRESENCE, data)?;
        if status != StatusWord::CONDITIONS {
            return ok((reply, status));
        }
        if progress(Keepalive::UpNeeded) == Control::Cancel {
            return Err(Refused::Cancelled.into());
        }
        if device.pause(POLL) >= deadline {
            return Err(WireError::Deadline.into());
        }
    }
}

fn ok((reply, status): (Vec<u8>, StatusWord)) -> Result<Vec<u8>, Error> {
    if status == StatusWord::SUCCESS {
        Ok(reply)
    } else {
        Err(Error::Card(status))
    }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, data).as_ref());
    out
}

/// The parts of a registration reply, verbatim.
struct RegistrationReply<'b> {
    x: &'b [u8],
    y: &'b [u8],
    key_handle: &'b [u8],
    certificate: &'b [u8],
    signature: &'b [u8],
}

impl<'b> RegistrationReply<'b> {
    /// Reserved byte 5, public key, key handle with length, certificate (DER says how long), signature.
    fn read(reply: &'b [u8]) -> Result<Self, ReplyError> {
        let invalid = ReplyError::Invalid("register");
        let [0x05, 0x04, rest @ ..] = reply else {
            return Err(invalid);
        };
        let (x, rest) = rest.split_at_checked(32).ok_or(invalid)?;
        let (y, rest) = rest.split_at_checked(32).ok_or(invalid)?;
        let (length, rest) = rest.split_first().ok_or(invalid)?;
        let (key_handle, rest) = rest.split_at_checked((*length).into()).ok_or(invalid)?;
        if key_handle.is_empty() {
            return Err(invalid);
        }
        let (certificate, signature) = rest
            .split_at_checked(der_length(rest).ok_or(invalid)?)
            .ok_or(invalid)?;
        if signature.is_empty() || signature.len() > MAX_SIGNATURE {
            return Err(ReplyError::Invalid("signature"));
        }
        Ok(Self {
            x,
            y,
            key_handle,
            certificate,
            signature,
        })
    }

    fn statement(&self) -> Vec<u8> {
        let mut m = Writer::new();
        m.map(2)
            .text("sig")
            .bytes(self.signature)
            .text("x5c")
            .array(1)
            .bytes(self.certificate);
        m.into_bytes()
    }

    /// §7.1.4: flags UP and AT, counter 0, AAGUID 0.
    fn authenticator_data(&self, application: &[u8; 32]) -> Vec<u8> {
        let mut key = Writer::new();
        key.map(5)
            .integer(1)
            .integer(2)
            .integer(3)
            .integer(-7)
            .integer(-1)
            .integer(1);
        key.integer(-2).bytes(self.x).integer(-3).bytes(self.y);
        let [.., high, low] = self.key_handle.len().to_be_bytes();
        [
            &application[..],
            &[0x41],
            &[0; 4],
            &[0; 16],
            &[high, low],
            self.key_handle,
            &key.into_bytes(),
        ]
        .concat()
    }
}

/// Length of the DER SEQUENCE at the front of `bytes`, header included, bounded by [`MAX_CERTIFICATE`].
fn der_length(bytes: &[u8]) -> Option<usize> {
    let length = match bytes {
        [0x30, length @ 0..=0x7f, ..] => usize::from(*length).saturating_add(2),
        [0x30, 0x81, length @ 0x80..=0xff, ..] => usize::from(*length).saturating_add(3),
        [0x30, 0x82, high @ 1..=0xff, low, ..] => {
            usize::from(u16::from_be_bytes([*high, *low])).saturating_add(4)
        }
        _ => return None,
    };
    (length <= MAX_CERTIFICATE).then_some(length)
}
