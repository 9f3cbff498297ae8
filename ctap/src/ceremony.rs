//! Registration and authentication from end to end: which verification, options and lists suit what the authenticator says of itself
//! (§6.1.1, §6.2.1, §6.5.8 for the platform's side).
//!
//! [`plan`] tells beforehand whether a PIN must be asked for; [`register`] and [`authenticate`] then run without asking anybody anything
//! but a touch. clientDataJSON, its challenge and its origin are the caller's.

use crate::assertion::{Assertion, GetAssertion, get_assertion};
use crate::client_pin::{self, Permissions};
use crate::credential::{
    CredProtect, MAX_CREDENTIAL_ID, MakeCredential, NewCredential, RelyingParty, User,
    make_credential,
};
use crate::device::{Device, Progress, unattended};
use crate::error::{Error, Refused, Status, WireError};
use crate::info::AuthenticatorInfo;
use crate::pin::Pin;
use crate::pin_protocol::PinUvAuthToken;
use crate::port::Entropy;

/// Most credential ids that a caller may name.
pub const MAX_LIST: usize = 1024;
/// §6.5.2.1: the PIN retries of an authenticator that has seen no wrong PIN.
const FULL_RETRIES: u64 = 8;
/// How often a ceremony is begun again because another program's ended its token.
const MAX_DISTURBANCES: usize = 3;
/// Names are cut to this many bytes (WebAuthn L3 §6.4.1.2), since old keys refuse longer ones.
const MAX_NAME: usize = 64;

/// The relying party's wish for user verification (WebAuthn's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserVerification {
    /// Without it there is no ceremony.
    Required,
    /// When the authenticator can.
    Preferred,
    /// Only when the authenticator insists.
    Discouraged,
}

/// The relying party's wish for a discoverable credential (WebAuthn's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResidentKey {
    /// Without it there is no ceremony.
    Required,
    /// When the authenticator can.
    Preferred,
    /// No.
    Discouraged,
}

/// Which ceremony a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Registration, with a discoverable credential or not.
    Register {
        /// A discoverable credential is wanted.
        discoverable: bool,
    },
    /// Authentication.
    Authenticate,
}

/// How the user will be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The PIN: ask the person, then pass it to the ceremony.
    Pin,
    /// The authenticator's own fingerprint reader or PIN pad.
    BuiltIn,
    /// Not at all: a touch is enough.
    None,
}

/// Chooses how to verify the user. `avoid_built_in` asks for the PIN where there is one, after the built-in way failed.
///
/// Errors say what a person can do: [`Refused::PinNotSet`], [`Refused::PinChangeRequired`], [`Refused::NoUserVerification`].
pub fn plan(
    info: &AuthenticatorInfo,
    operation: Operation,
    wish: UserVerification,
    avoid_built_in: bool,
) -> Result<Method, Refused> {
    let options = &info.options;
    let pin_usable =
        options.client_pin == Some(true) && !options.no_mc_ga_permissions_with_client_pin;
    let built_in = options.uv == Some(true);
    let protected = options.client_pin == Some(true) || built_in;
    let insists = match operation {
        // §6.1.2: a protected authenticator wants verification to make a credential, unless it says otherwise and stores nothing.
        Operation::Register { discoverable } => {
            protected && (discoverable || !options.make_cred_uv_not_rqd)
        }
        Operation::Authenticate => false,
    } || options.always_uv == Some(true);
    let needed = insists || wish == UserVerification::Required;
    if !needed && (wish == UserVerification::Discouraged || !(pin_usable || built_in)) {
        return Ok(Method::None);
    }
    if built_in && !(avoid_built_in && pin_usable) {
        return Ok(Method::BuiltIn);
    }
    match options.client_pin {
        Some(true) if pin_usable && info.force_pin_change => Err(Refused::PinChangeRequired),
        Some(true) if pin_usable => info.pin_protocol().map(|_| Method::Pin),
        Some(false) => Err(Refused::PinNotSet),
        _ => Err(Refused::NoUserVerification),
    }
}

/// What a registration needs.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: &'a [u8; 32],
    /// For whom.
    pub rp: RelyingParty<'a>,
    /// The account.
    pub user: User<'a>,
    /// COSE algorithms that the relying party takes, most wanted first.
    pub algorithms: &'a [i64],
    /// Credential ids of this account: an authenticator that holds one answers [`Status::CREDENTIAL_EXCLUDED`], after a touch.
    pub exclude: &'a [Vec<u8>],
    /// Discoverable or not.
    pub resident_key: ResidentKey,
    /// Verification.
    pub user_verification: UserVerification,
    /// `credProtect`, sent where the authenticator has it.
    pub cred_protect: Option<CredProtect>,
}

/// What an authentication needs.
#[derive(Debug, Clone, Copy)]
pub struct Authentication<'a> {
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: &'a [u8; 32],
    /// The RP id; configuration, never taken from a peer.
    pub rp_id: &'a str,
    /// Credential ids, one of which must sign; empty for a discoverable credential.
    pub allow: &'a [Vec<u8>],
    /// Verification.
    pub user_verification: UserVerification,
}

/// Runs a registration. `pin` is given when [`plan`] said [`Method::Pin`].
pub fn register(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    request: &Registration<'_>,
    pin: Option<&Pin>,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<NewCredential, Error> {
    undisturbed(pin, || {
        register_once(device, info, request, pin, entropy, progress)
    })
}

fn register_once(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    request: &Registration<'_>,
    pin: Option<&Pin>,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<NewCredential, Error> {
    check_rp_id(request.rp.id)?;
    if request.user.id.is_empty() || request.user.id.len() > 64 {
        return Err(Refused::Argument("user.id").into());
    }
    let rk = discoverable(info, request.resident_key)?;
    let algorithms = common_algorithms(info, request.algorithms)?;
    let exclude = usable(info, request.exclude)?;
    let method = plan(
        info,
        Operation::Register { discoverable: rk },
        request.user_verification,
        pin.is_some(),
    )?;
    let limit = message_limit(device, info);
    let chunks = chunks(&exclude, info, limit.saturating_sub(overhead(request)));
    // A list that does not fit is looked up in silence first, which needs the permission to get assertions.
    let permissions = match chunks.len() {
        0 | 1 => Permissions::MAKE_CREDENTIAL,
        _ => Permissions::MAKE_CREDENTIAL.and(Permissions::GET_ASSERTION),
    };
    let verified = verify_user(
        device,
        info,
        method,
        pin,
        permissions,
        request.rp.id,
        entropy,
        progress,
    )?;
    let found;
    let exclude: &[&[u8]] = match chunks.as_slice() {
        [] => &[],
        [only] => only,
        _ => match find(device, request.rp.id, &chunks, verified.token.as_ref())? {
            // The authenticator itself asks for the touch before it tells (privacy, §6.1.2 step 12).
            Lookup::Found(id) => {
                found = [id];
                &found
            }
            Lookup::Absent => &[],
            Lookup::Unsupported => return Err(Refused::TooManyCredentials.into()),
        },
    };
    let has_cred_protect = info.has_extension("credProtect");
    let message = MakeCredential {
        client_data_hash: request.client_data_hash,
        rp: RelyingParty {
            id: request.rp.id,
            name: request.rp.name.map(shortened),
        },
        user: User {
            id: request.user.id,
            name: request.user.name.map(shortened),
            display_name: request.user.display_name.map(shortened),
        },
        algorithms: &algorithms,
        exclude,
        cred_protect: request.cred_protect.filter(|_| has_cred_protect),
        min_pin_length: info.has_extension("minPinLength"),
        rk,
        uv: verified.uv_option,
        token: verified.token.as_ref(),
        enterprise_attestation: None,
    };
    if message.encode().len() >= limit {
        return Err(Refused::TooLarge.into());
    }
    make_credential(device, &message, progress)
}

/// Runs an authentication. `pin` is given when [`plan`] said [`Method::Pin`]. Returns one assertion when credentials were named,
/// else one for each discoverable credential, most recent first.
pub fn authenticate(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    request: &Authentication<'_>,
    pin: Option<&Pin>,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<Vec<Assertion>, Error> {
    undisturbed(pin, || {
        authenticate_once(device, info, request, pin, entropy, progress)
    })
}

fn authenticate_once(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    request: &Authentication<'_>,
    pin: Option<&Pin>,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<Vec<Assertion>, Error> {
    check_rp_id(request.rp_id)?;
    let allow = usable(info, request.allow)?;
    if allow.is_empty() && !request.allow.is_empty() {
        return Err(Refused::NoCredential.into());
    }
    let method = plan(
        info,
        Operation::Authenticate,
        request.user_verification,
        pin.is_some(),
    )?;
    let verified = verify_user(
        device,
        info,
        method,
        pin,
        Permissions::GET_ASSERTION,
        request.rp_id,
        entropy,
        progress,
    )?;
    let message = GetAssertion {
        rp_id: request.rp_id,
        client_data_hash: request.client_data_hash,
        allow: &[],
        up: true,
        uv: verified.uv_option,
        token: verified.token.as_ref(),
    };
    let room = message_limit(device, info)
        .saturating_sub(message.encode().len())
        .saturating_sub(8);
    let chunks = chunks(&allow, info, room);
    match chunks.as_slice() {
        [] => return get_assertion(device, &message, progress),
        [only] => {
            return get_assertion(
                device,
                &GetAssertion {
                    allow: only,
                    ..message
                },
                progress,
            );
        }
        _ => {}
    }
    match find(device, request.rp_id, &chunks, verified.token.as_ref())? {
        Lookup::Found(id) => {
            return get_assertion(
                device,
                &GetAssertion {
                    allow: &[id],
                    ..message
                },
                progress,
            );
        }
        Lookup::Absent => return Err(Refused::NoCredential.into()),
        Lookup::Unsupported => {}
    }
    for chunk in &chunks {
        match get_assertion(
            device,
            &GetAssertion {
                allow: chunk,
                ..message.clone()
            },
            progress,
        ) {
            Err(Error::Status(Status::NO_CREDENTIALS | Status::INVALID_CREDENTIAL)) => {}
            other => return other,
        }
    }
    Err(Refused::NoCredential.into())
}

/// Which of `allow` is on this authenticator, asked in silence (`up` false): nobody is prompted. Credentials that are protected by user
/// verification stay hidden. `None` also when the authenticator has no silent look-up.
pub fn locate(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    rp_id: &str,
    allow: &[Vec<u8>],
) -> Result<Option<Vec<u8>>, Error> {
    check_rp_id(rp_id)?;
    let allow = usable(info, allow)?;
    let room = message_limit(device, info)
        .saturating_sub(rp_id.len())
        .saturating_sub(128);
    match find(device, rp_id, &chunks(&allow, info, room), None)? {
        Lookup::Found(id) => Ok(Some(id.to_vec())),
        Lookup::Absent | Lookup::Unsupported => Ok(None),
    }
}

/// Runs a ceremony, again when its token was refused although the PIN that it was given for was right: an authenticator knows one token at a
/// time, and another program that asks for one ends ours. No PIN try is at stake.
fn undisturbed<T>(
    pin: Option<&Pin>,
    mut ceremony: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    for _ in 0..MAX_DISTURBANCES {
        match ceremony() {
            Err(Error::Status(Status::PIN_AUTH_INVALID)) if pin.is_some() => {}
            other => return other,
        }
    }
    ceremony()
}

struct Verified {
    token: Option<PinUvAuthToken>,
    uv_option: bool,
}

#[allow(
    clippy::too_many_arguments,
    reason = "one private step shared by both ceremonies"
)]
fn verify_user(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    method: Method,
    pin: Option<&Pin>,
    permissions: Permissions,
    rp_id: &str,
    entropy: &mut dyn Entropy,
    progress: Progress<'_>,
) -> Result<Verified, Error> {
    let token = match method {
        Method::None => {
            return Ok(Verified {
                token: None,
                uv_option: false,
            });
        }
        // CTAP 2.0 keys with a fingerprint reader know no tokens for it, only the option.
        Method::BuiltIn if !info.options.pin_uv_auth_token => {
            return Ok(Verified {
                token: None,
                uv_option: true,
            });
        }
        Method::BuiltIn => client_pin::token_using_uv(
            device,
            info.pin_protocol()?,
            permissions,
            Some(rp_id),
            entropy,
            progress,
        )?,
        Method::Pin => {
            let pin = pin.ok_or(Refused::PinNeeded)?;
            match by_pin(device, info, pin, permissions, rp_id, entropy) {
                // Another program may have made the device forget the request. With every try still there, no wrong PIN was
                // counted, and asking again costs none.
                Err(Error::Wire(WireError::Silent))
                    if client_pin::pin_retries(device)?.left >= FULL_RETRIES =>
                {
                    by_pin(device, info, pin, permissions, rp_id, entropy)?
                }
                other => other?,
            }
        }
    };
    Ok(Verified {
        token: Some(token),
        uv_option: false,
    })
}

fn by_pin(
    device: &mut dyn Device,
    info: &AuthenticatorInfo,
    pin: &Pin,
    permissions: Permissions,
    rp_id: &str,
    entropy: &mut dyn Entropy,
) -> Result<PinUvAuthToken, Error> {
    let protocol = info.pin_protocol()?;
    if info.options.pin_uv_auth_token {
        client_pin::token_using_pin(device, protocol, pin, permissions, Some(rp_id), entropy)
    } else {
        client_pin::pin_token(device, protocol, pin, entropy)
    }
}

enum Lookup<'a> {
    Found(&'a [u8]),
    Absent,
    Unsupported,
}

/// Silent pre-flight (WebAuthn L3 §6.3.3's "no user interaction"): the signature is over a constant and thrown away.
fn find<'a>(
    device: &mut dyn Device,
    rp_id: &str,
    chunks: &[Vec<&'a [u8]>],
    token: Option<&PinUvAuthToken>,
) -> Result<Lookup<'a>, Error> {
    for chunk in chunks {
        let request = GetAssertion {
            rp_id,
            client_data_hash: &[0; 32],
            allow: chunk,
            up: false,
            uv: false,
            token,
        };
        match get_assertion(device, &request, &mut unattended) {
            Ok(assertions) => {
                let signer = assertions
                    .first()
                    .map(|assertion| assertion.credential_id.as_slice());
                if let Some(id) = chunk.iter().find(|id| Some(**id) == signer) {
                    return Ok(Lookup::Found(id));
                }
            }
            Err(Error::Status(Status::NO_CREDENTIALS | Status::INVALID_CREDENTIAL)) => {}
            Err(Error::Status(
                Status::UP_REQUIRED
                | Status::UNSUPPORTED_OPTION
                | Status::INVALID_OPTION
                | Status::PUAT_REQUIRED,
            )) => {
                return Ok(Lookup::Unsupported);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Lookup::Absent)
}

fn check_rp_id(rp_id: &str) -> Result<(), Refused> {
    if rp_id.is_empty() || rp_id.len() > 253 {
        Err(Refused::Argument("rp.id"))
    } else {
        Ok(())
    }
}

fn discoverable(info: &AuthenticatorInfo, wish: ResidentKey) -> Result<bool, Refused> {
    match (wish, info.options.rk) {
        (ResidentKey::Required, false) => Err(Refused::Unsupported),
        (ResidentKey::Required | ResidentKey::Preferred, true) => Ok(true),
        (ResidentKey::Preferred, false) | (ResidentKey::Discouraged, _) => Ok(false),
    }
}

/// The wanted algorithms that the authenticator has; all of them when it does not tell.
fn common_algorithms(info: &AuthenticatorInfo, wanted: &[i64]) -> Result<Vec<i64>, Refused> {
    let common: Vec<i64> = wanted
        .iter()
        .copied()
        .filter(|alg| info.algorithms.is_empty() || info.algorithms.contains(alg))
        .collect();
    if common.is_empty() {
        Err(Refused::NoCommonAlgorithm)
    } else {
        Ok(common)
    }
}

/// The ids that can be this authenticator's at all; an absurd list is refused.
fn usable<'a>(info: &AuthenticatorInfo, ids: &'a [Vec<u8>]) -> Result<Vec<&'a [u8]>, Refused> {
    if ids.len() > MAX_LIST {
        return Err(Refused::TooManyCredentials);
    }
    let longest = info.max_credential_id_length.unwrap_or(MAX_CREDENTIAL_ID);
    Ok(ids
        .iter()
        .map(Vec::as_slice)
        .filter(|id| !id.is_empty() && id.len() <= longest)
        .collect())
}

/// The largest message (command byte included) that both authenticator and transport take.
fn message_limit(device: &dyn Device, info: &AuthenticatorInfo) -> usize {
    info.max_msg_size.min(device.max_message())
}

/// Bytes of a makeCredential message without its list, at most.
fn overhead(request: &Registration<'_>) -> usize {
    let lengths = [
        request.rp.id.len(),
        request.user.id.len(),
        request.algorithms.len().saturating_mul(32),
        4 * MAX_NAME,
        256,
    ];
    lengths
        .iter()
        .fold(0, |sum: usize, length| sum.saturating_add(*length))
}

/// Splits a list by the authenticator's count (one at a time when it states none) and by `room` bytes. Every chunk holds at least one id.
fn chunks<'a>(ids: &[&'a [u8]], info: &AuthenticatorInfo, room: usize) -> Vec<Vec<&'a [u8]>> {
    // Descriptor around an id: map head, "id", byte-string head, "type", "public-key".
    const AROUND: usize = 24;
    let most = info.max_credential_count_in_list.unwrap_or(1);
    let mut chunks: Vec<Vec<&[u8]>> = Vec::new();
    let mut used = 0_usize;
    for id in ids {
        let size = id.len().saturating_add(AROUND);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < most && used.saturating_add(size) <= room => {
                chunk.push(id);
                used = used.saturating_add(size);
            }
            _ => {
                chunks.push(vec![id]);
                used = size;
            }
        }
    }
    chunks
}

/// At most [`MAX_NAME`] bytes, cut between characters.
fn shortened(name: &str) -> &str {
    let end = (0..=MAX_NAME.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or(0);
    name.get(..end).unwrap_or_default()
}
