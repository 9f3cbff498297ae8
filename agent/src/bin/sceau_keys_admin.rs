//! `sceau-keys-admin`: the child process in which `sceau keys …` lets ctap-hid-fido2 talk to one USB key. Not for people.
//!
//! One request as a JSON line on standard input (PINs included: they are neither arguments nor environment), the answer as a JSON line on standard
//! output, progress before it as lines with `told`. It may hang, panic or grow on what a hostile key answers: the parent
//! ([`sceau_agent::administration`]) ends it, and the system bounds its memory.

use std::io::{Read, Write};
use std::process::ExitCode;

use ctap_hid_fido2::fidokey::FidoKeyHid;
use ctap_hid_fido2::{FidoKeyHidFactory, HidParam, LibCfg};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sceau_agent::administration::child::{Operation, Request};
use sceau_agent::locale::Language;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Address space: what a claimed count of 2³¹ credentials can take.
const MEMORY: u64 = 256 * 1024 * 1024;
const MAX_REQUEST: u64 = 8 * 1024;

fn main() -> ExitCode {
    confine();
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_REQUEST as usize));
    let read = std::io::stdin().take(MAX_REQUEST).read_to_end(&mut line);
    let Ok(request) = read
        .map_err(drop)
        .and_then(|_| serde_json::from_slice::<Request>(&line).map_err(drop))
    else {
        eprintln!("{}", Language::of_process().text("fault-child-started"));
        return ExitCode::from(2);
    };
    let answer = match perform(&request) {
        Ok(done) => json!({ "done": done }),
        Err(e) => {
            json!({ "error": { "status": status_in(&e.to_string()), "message": e.to_string() } })
        }
    };
    tell(&answer);
    ExitCode::SUCCESS
}

/// PINs stay out of core files, and memory is bounded.
fn confine() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let memory = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    setrlimit(Resource::Core, none).ok();
    setrlimit(Resource::As, memory).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}

fn tell(value: &Value) {
    // A parent that has gone away wants nothing.
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{value}").and_then(|()| out.flush()));
}

/// The CTAP status byte that the library put into its message as text: "response_status err = 0x31 CTAP2_ERR_PIN_INVALID …".
fn status_in(message: &str) -> Option<u8> {
    let (_, status) = message.split_once("err = 0x")?;
    u8::from_str_radix(status.get(..2)?, 16).ok()
}

/// The key with what suits it: PIN protocol, final or preview commands, no chatter on standard output.
fn open(request: &Request) -> anyhow::Result<FidoKeyHid> {
    let mut config = LibCfg::init();
    config.enable_keep_alive_msg = false;
    let params = [HidParam::Path(request.node.clone())];
    let first = FidoKeyHidFactory::create_by_params(&params, &config)?;
    let info = first.get_info()?;
    drop(first);
    let has = |option: &str| info.options.iter().any(|(name, _)| name == option);
    config.use_pre_credential_management = !has("credMgmt");
    config.use_pre_bio_enrollment = !has("bioEnroll");
    let key = FidoKeyHidFactory::create_by_params(&params, &config)?;
    let newer = info.pin_uv_auth_protocols.contains(&2);
    Ok(key.with_pin_protocol_version(if newer { 2 } else { 1 }))
}

fn perform(request: &Request) -> anyhow::Result<Value> {
    let key = open(request)?;
    let pin = request.pin.as_ref().map(|pin| pin.expose());
    let needed = || pin.ok_or_else(|| anyhow::anyhow!("a PIN is needed"));
    match &request.operation {
        Operation::Info => {
            let info = key.get_info()?;
            let option = |name: &str| {
                let option = info.options.iter().find(|(option, _)| option == name);
                option.map(|(_, value)| *value)
            };
            let has_pin = option("clientPin") == Some(true);
            Ok(json!({
                "versions": info.versions,
                "extensions": info.extensions,
                "aaguid": hex(&info.aaguid),
                "options": info.options.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "min_pin_length": info.min_pin_length,
                "firmware": info.firmware_version,
                "room_for_credentials": info.remaining_discoverable_credentials,
                "pin_retries": if has_pin { Some(key.get_pin_retries()?) } else { None },
            }))
        }
        Operation::SetPin => {
            let new = request.new_pin.as_ref();
            key.set_new_pin(new.map(|pin| pin.expose()).unwrap_or_default())?;
            Ok(json!({}))
        }
        Operation::ChangePin => {
            let new = request.new_pin.as_ref();
            key.change_pin(needed()?, new.map(|pin| pin.expose()).unwrap_or_default())?;
            Ok(json!({}))
        }
        Operation::Credentials => credentials(&key, needed()?),
        Operation::Fingers => {
            let fingers = key.bio_enrollment_enumerate_enrollments(needed()?)?;
            let one = |finger: &ctap_hid_fido2::fidokey::bio::TemplateInfo| json!({ "id": hex(&finger.template_id), "name": finger.template_friendly_name });
            Ok(json!({ "fingers": fingers.iter().map(one).collect::<Vec<_>>() }))
        }
        Operation::AddFinger => {
            let pin = needed()?;
            let (begun, mut state) = key.bio_enrollment_begin(pin, Some(15_000))?;
            while !state.is_finish {
                tell(
                    &json!({ "told": { "remaining": state.remaining_samples, "sample": state.message } }),
                );
                state = key.bio_enrollment_next(&begun, Some(15_000))?;
            }
            Ok(json!({ "id": hex(&begun.template_id) }))
        }
    }
}

fn credentials(key: &FidoKeyHid, pin: &str) -> anyhow::Result<Value> {
    let count = key.credential_management_get_creds_metadata(Some(pin))?;
    let mut list = Vec::new();
    if count.existing_resident_credentials_count > 0 {
        for rp in key.credential_management_enumerate_rps(Some(pin))? {
            let found =
                key.credential_management_enumerate_credentials(Some(pin), &rp.rpid_hash)?;
            for credential in found {
                list.push(json!({
                    "rp_id": rp.public_key_credential_rp_entity.id,
                    "user": credential.public_key_credential_user_entity.name,
                    "display": credential.public_key_credential_user_entity.display_name,
                    "credential_id": hex(&credential.public_key_credential_descriptor.id),
                }));
            }
        }
    }
    Ok(json!({
        "credentials": list,
        "room": count.max_possible_remaining_resident_credentials_count,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
