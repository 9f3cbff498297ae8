//! `sceau-pkcs11`: the child process in which `sceau-agent` lets a vendor's PKCS #11 module talk to its card. Not for people.
//!
//! One request as a JSON line on standard input (PIN included: neither argument nor environment), the answer as a JSON line on standard output. The
//! module may hang, crash or print: the parent (`sceau_agent::piv::module`) ends it. A PIN is sent once; a wrong one is never tried again here.

use std::io::{Read, Write};
use std::process::ExitCode;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sceau_agent::piv::module::{Listed, Operation, Request, status};
use sceau_locale::Language;
use sceau_proof::base64url;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const MAX_REQUEST: u64 = 8 * 1024;
/// The longest certificate that is told.
const MAX_CERTIFICATE: usize = 16 * 1024;
/// The most certificates that are told.
const MOST: usize = 64;

fn main() -> ExitCode {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_REQUEST as usize));
    let read = std::io::stdin().take(MAX_REQUEST).read_to_end(&mut line);
    let Ok(request) = read
        .map_err(drop)
        .and_then(|_| serde_json::from_slice::<Request>(&line).map_err(drop))
    else {
        eprintln!("{}", Language::of_process().text("fault-pkcs11-started"));
        return ExitCode::from(2);
    };
    let answer = match perform(request) {
        Ok(done) => json!({ "done": done }),
        Err(error) => json!({ "error": { "status": code(&error), "message": error.to_string() } }),
    };
    // A parent that has gone away wants nothing.
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{answer}").and_then(|()| out.flush()));
    ExitCode::SUCCESS
}

fn code(error: &Error) -> Option<u8> {
    let Error::Pkcs11(value, _) = error else {
        return None;
    };
    Some(match value {
        RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid => status::WRONG_PIN,
        RvError::PinLocked => status::LOCKED,
        RvError::TokenNotPresent | RvError::DeviceRemoved | RvError::SlotIdInvalid => status::GONE,
        RvError::FunctionCanceled | RvError::Cancel => status::CANCELLED,
        _ => return None,
    })
}

fn perform(request: Request) -> Result<Value, Error> {
    let module = Pkcs11::new(&request.module)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    match request.operation {
        Operation::List => list(&module),
        Operation::Sign {
            serial,
            id,
            rsa,
            input,
            pin,
        } => {
            let (id, input) = (base64url::decode(&id), base64url::decode(&input));
            let (Ok(id), Ok(input)) = (id, input) else {
                return Err(Error::InvalidValue);
            };
            let session = session(&module, &serial)?;
            let pin = pin.map(|pin| AuthPin::new(pin.expose().into()));
            let mechanism = if rsa {
                Mechanism::RsaPkcs
            } else {
                Mechanism::Ecdsa
            };
            let signature = sign(&session, &mechanism, id, &input, pin.as_ref())?;
            Ok(json!({ "signature": base64url::encode(signature) }))
        }
    }
}

fn list(module: &Pkcs11) -> Result<Value, Error> {
    let mut listed = Vec::new();
    for slot in module.get_slots_with_initialized_token()? {
        let info = module.get_token_info(slot)?;
        let session = module.open_ro_session(slot)?;
        let wanted = [AttributeType::Id, AttributeType::Value];
        for object in session.find_objects(&[Attribute::Class(ObjectClass::CERTIFICATE)])? {
            let (mut id, mut certificate) = (None, None);
            for attribute in session.get_attributes(object, &wanted)? {
                match attribute {
                    Attribute::Id(bytes) => id = Some(bytes),
                    Attribute::Value(bytes) => certificate = Some(bytes),
                    _ => {}
                }
            }
            if let (Some(id), Some(certificate)) = (id, certificate)
                && listed.len() < MOST
                && certificate.len() <= MAX_CERTIFICATE
            {
                listed.push(Listed {
                    label: info.label().to_owned(),
                    serial: info.serial_number().to_owned(),
                    id: base64url::encode(id),
                    certificate: base64url::encode(certificate),
                    pad: info.protected_authentication_path(),
                });
            }
        }
    }
    Ok(json!(listed))
}

fn session(module: &Pkcs11, serial: &str) -> Result<Session, Error> {
    for slot in module.get_slots_with_initialized_token()? {
        if module.get_token_info(slot)?.serial_number() == serial {
            return module.open_ro_session(slot);
        }
    }
    Err(Error::Pkcs11(
        RvError::TokenNotPresent,
        cryptoki::context::Function::OpenSession,
    ))
}

/// Logs in and signs once. A key that wants its PIN for each use (CKA_ALWAYS_AUTHENTICATE) gets it a second time, between init and data.
fn sign(
    session: &Session,
    mechanism: &Mechanism<'_>,
    id: Vec<u8>,
    input: &[u8],
    pin: Option<&AuthPin>,
) -> Result<Vec<u8>, Error> {
    session.login(UserType::User, pin)?;
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(id),
    ];
    let key = session.find_objects(&template)?;
    let key = *key.first().ok_or(Error::InvalidValue)?;
    let always = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate])?;
    if !always.contains(&Attribute::AlwaysAuthenticate(true)) {
        return session.sign(mechanism, key, input);
    }
    session.sign_init(mechanism, key)?;
    session.login(UserType::ContextSpecific, pin)?;
    session.sign_update(input)?;
    session.sign_final()
}
