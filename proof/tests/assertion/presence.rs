//! Presence beats (`sceau_proof::presence`): for every check a vector that fails that check and no other (`testdata/presence/`), and that no beat is an
//! approval, nor the other way round.
//!
//! As with assertions, each vector is an accepted beat with one thing changed and signed again; with the expectation relaxed where one can be, it is
//! accepted. `SCEAU_REGENERATE=1 cargo test -p sceau-proof --test assertion`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sceau_proof::assertion::{self, AssertionResponse};
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::base64url::{decode, encode};
use sceau_proof::cose::PublicKey;
use sceau_proof::presence::{Beat, Expectation, PresenceError, TYPE, verify};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forge::{Assertion, CREDENTIAL, Key, RP_ID, Signed, client_data};

const AGENT: &str = "sceau-agent://sceau.example";
const NONCE: [u8; 32] = *b"thirty-two bytes of one nonce...";

fn key() -> Key {
    Key::ed25519(1)
}

fn beat() -> Beat {
    let sessions = vec![Uuid::from_u128(3), Uuid::from_u128(2)];
    Beat::new(NONCE, Uuid::from_u128(1), sessions).unwrap()
}

/// Client data of the accepted beat, with members replaced or added.
fn members(changes: &[(&str, Value)]) -> Vec<u8> {
    let own = [
        ("type", json!(TYPE)),
        ("challenge", json!(encode(beat().challenge()))),
        ("origin", json!(AGENT)),
    ];
    let mut all: Vec<(&str, Value)> = own
        .into_iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
        .collect();
    all.extend(changes.iter().cloned());
    client_data(&all)
}

/// A beat that every check accepts: silent, counter 7 where 7 was on record.
fn silent() -> Assertion {
    Assertion {
        client_data: beat().client_data(AGENT),
        flags: 0,
        ..Assertion::default()
    }
}

fn case(signed: &Signed) -> Value {
    json!({
        "rp_id": RP_ID,
        "origin": AGENT,
        "nonce": encode(NONCE),
        "key": Uuid::from_u128(1),
        "sessions": [Uuid::from_u128(2), Uuid::from_u128(3)],
        "credential_id": encode(CREDENTIAL),
        "public_key_cose": encode(&key().cose),
        "sign_count_floor": 7,
        "zero_says_nothing": false,
        "stored_backup_eligible": false,
        "response": signed.response(),
    })
}

fn judge(case: &Value) -> Result<u32, PresenceError> {
    let text = |name: &str| case[name].as_str().unwrap().to_owned();
    let credential_id: CredentialId = text("credential_id").parse().unwrap();
    let sessions = serde_json::from_value(case["sessions"].clone()).unwrap();
    let nonce = decode(text("nonce")).unwrap().try_into().unwrap();
    let beat = Beat::new(nonce, text("key").parse().unwrap(), sessions).unwrap();
    let (rp_id, origin) = (text("rp_id"), text("origin"));
    let expected = Expectation {
        rp_id: &rp_id,
        origin: &origin,
        beat: &beat,
        credential_id: &credential_id,
        sign_count_floor: serde_json::from_value(case["sign_count_floor"].clone()).unwrap(),
        zero_says_nothing: case["zero_says_nothing"].as_bool().unwrap(),
        stored_backup_eligible: case["stored_backup_eligible"].as_bool().unwrap(),
    };
    let response = AssertionResponse::from_json(case["response"].to_string().as_bytes()).unwrap();
    let public_key = PublicKey::from_cose(&decode(text("public_key_cose")).unwrap()).unwrap();
    verify(&response, &public_key, &expected).map(|verified| verified.sign_count())
}

fn word(case: &Value) -> &'static str {
    match judge(case) {
        Ok(_) => "accepted",
        Err(error) => error.reason(),
    }
}

struct Vector {
    name: &'static str,
    case: Value,
    /// The expectation under which the rest is accepted.
    relaxed: Option<(&'static str, Value)>,
}

fn signed(name: &'static str, change: impl FnOnce(&mut Assertion)) -> Vector {
    let mut assertion = silent();
    change(&mut assertion);
    changed(name, &assertion.sign(&key()), |_| ())
}

fn expecting(name: &'static str, member: &'static str, value: Value) -> Vector {
    changed(name, &silent().sign(&key()), |case| case[member] = value)
}

fn changed(name: &'static str, signed: &Signed, change: impl FnOnce(&mut Value)) -> Vector {
    let mut case = case(signed);
    change(&mut case);
    Vector {
        name,
        case,
        relaxed: None,
    }
}

impl Vector {
    fn relax(mut self, member: &'static str, value: Value) -> Vector {
        self.relaxed = Some((member, value));
        self
    }

    fn reason(&self) -> &'static str {
        self.name.split('.').next().unwrap()
    }
}

fn accepted() -> Vec<Vector> {
    let counted = |name, counter, floor: u32| {
        let mut vector = signed(name, |a| a.sign_count = counter);
        vector.case["sign_count_floor"] = json!(floor);
        vector
    };
    vec![
        signed("accepted", |_| ()),
        counted("accepted.counted", 8, 7),
        counted("accepted.no-counter", 0, 0),
        {
            let mut vector = counted("accepted.zero-says-nothing", 0, 7);
            vector.case["zero_says_nothing"] = json!(true);
            vector
        },
        {
            let mut vector = signed("accepted.probe", |a| {
                let probe = Beat::new(NONCE, Uuid::from_u128(1), Vec::new()).unwrap();
                a.client_data = probe.client_data(AGENT);
            });
            vector.case["sessions"] = json!([]);
            vector
        },
        {
            let mut vector = signed("accepted.copyable", |a| a.flags = 0x18);
            vector.case["stored_backup_eligible"] = json!(true);
            vector
        },
    ]
}

fn of_the_beat() -> Vec<Vector> {
    vec![
        expecting("credential-mismatch", "credential_id", json!("AQI"))
            .relax("credential_id", json!(encode(CREDENTIAL))),
        signed("type-mismatch.approval", |a| {
            a.client_data = members(&[("type", json!("webauthn.get"))]);
        }),
        signed("type-mismatch.registration", |a| {
            a.client_data = members(&[("type", json!("webauthn.create"))]);
        }),
        expecting("challenge-mismatch.nonce", "nonce", json!(encode([0; 32])))
            .relax("nonce", json!(encode(NONCE))),
        expecting("challenge-mismatch.key", "key", json!(Uuid::from_u128(9)))
            .relax("key", json!(Uuid::from_u128(1))),
        expecting(
            "challenge-mismatch.one-session-more",
            "sessions",
            json!([Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4)]),
        )
        .relax("sessions", json!([Uuid::from_u128(2), Uuid::from_u128(3)])),
        expecting(
            "challenge-mismatch.one-session-less",
            "sessions",
            json!([Uuid::from_u128(2)]),
        ),
        signed("challenge-mismatch.bare-nonce", |a| {
            a.client_data = members(&[("challenge", json!(encode(NONCE)))]);
        }),
        signed("origin-mismatch.browser", |a| {
            a.client_data = members(&[("origin", json!("https://sceau.example"))]);
        })
        .relax("origin", json!("https://sceau.example")),
        signed("origin-mismatch.longer", |a| {
            a.client_data = members(&[("origin", json!("sceau-agent://sceau.example.evil"))]);
        }),
        signed("cross-origin", |a| {
            a.client_data = members(&[("crossOrigin", json!(true))]);
        }),
        signed("cross-origin.top", |a| {
            a.client_data = members(&[("topOrigin", json!("https://evil.example"))]);
        }),
        signed("client-data-not-json", |a| a.client_data = b"{".to_vec()),
        signed("client-data-duplicate-member", |a| {
            let text = String::from_utf8(members(&[])).unwrap();
            a.client_data = text
                .replacen('{', "{\"type\":\"webauthn.get\",", 1)
                .into_bytes();
        }),
    ]
}

fn of_the_key() -> Vec<Vector> {
    let broken = |name, change: fn(&mut Signed)| {
        let mut signed = silent().sign(&key());
        change(&mut signed);
        changed(name, &signed, |_| ())
    };
    vec![
        signed("rp-id-mismatch", |a| a.rp_id = "evil.example".into())
            .relax("rp_id", json!("evil.example")),
        signed("user-present", |a| a.flags = 0x01),
        signed("user-present.and-verified", |a| a.flags = 0x05),
        signed("user-verified", |a| a.flags = 0x04),
        {
            let mut vector = signed("backup-state-inconsistent", |a| a.flags = 0x10);
            vector.case["stored_backup_eligible"] = json!(false);
            vector
        },
        signed("backup-eligibility-changed", |a| a.flags = 0x08)
            .relax("stored_backup_eligible", json!(true)),
        broken("authenticator-data-truncated", |signed| {
            signed.authenticator_data.truncate(36);
        }),
        broken("authenticator-data-trailing-bytes", |signed| {
            signed.authenticator_data.push(0);
        }),
        changed(
            "signature-invalid.other-key",
            &silent().sign(&Key::ed25519(2)),
            |case| case["public_key_cose"] = json!(encode(&key().cose)),
        )
        .relax("public_key_cose", json!(encode(Key::ed25519(2).cose))),
        broken("signature-invalid.counter", |signed| {
            signed.authenticator_data[36] = 9;
        }),
        {
            // A touched approval whose flag was taken away afterwards.
            let mut signed = Assertion {
                flags: 0x05,
                ..silent()
            }
            .sign(&key());
            signed.authenticator_data[32] = 0;
            changed("signature-invalid.flags-taken-away", &signed, |_| ())
        },
        signed("sign-count-regression", |a| a.sign_count = 6).relax("sign_count_floor", json!(6)),
        signed("sign-count-regression.to-zero", |a| a.sign_count = 0)
            .relax("zero_says_nothing", json!(true)),
        {
            let mut vector = signed("sign-count-regression.not-zero", |a| a.sign_count = 1);
            vector.case["zero_says_nothing"] = json!(true);
            vector.relax("sign_count_floor", json!(1))
        },
    ]
}

fn vectors() -> Vec<Vector> {
    [accepted(), of_the_beat(), of_the_key()]
        .into_iter()
        .flatten()
        .collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/presence")
        .join(format!("{name}.json"))
}

fn written(vector: &Vector) -> String {
    let file = json!({"case": vector.case, "expected": vector.reason()});
    serde_json::to_string_pretty(&file).unwrap() + "\n"
}

#[test]
fn files_of_beats_are_exactly_what_this_code_makes() {
    if std::env::var_os("SCEAU_REGENERATE").is_some() {
        for vector in vectors() {
            std::fs::write(path(vector.name), written(&vector)).unwrap();
        }
    }
    for vector in vectors() {
        let file = std::fs::read_to_string(path(vector.name)).unwrap_or_default();
        // Compared as JSON: what else is built beside decides in which order members are written.
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(read(&file), read(&written(&vector)), "{}", vector.name);
    }
    let files = std::fs::read_dir(path("x").parent().unwrap()).unwrap();
    assert_eq!(files.count(), vectors().len());
}

#[test]
fn every_vector_of_a_beat_fails_its_check_and_no_other() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        let text = std::fs::read_to_string(path(vector.name)).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(word(&file["case"]), vector.reason(), "{}", vector.name);
        seen.insert(vector.reason());
        if let Some((member, value)) = vector.relaxed {
            let mut case = file["case"].clone();
            case[member] = value;
            assert_eq!(word(&case), "accepted", "{} relaxed", vector.name);
        }
    }
    for check in [
        "credential-mismatch",
        "type-mismatch",
        "challenge-mismatch",
        "origin-mismatch",
        "cross-origin",
        "rp-id-mismatch",
        "user-present",
        "user-verified",
        "backup-state-inconsistent",
        "backup-eligibility-changed",
        "signature-invalid",
        "sign-count-regression",
    ] {
        assert!(seen.contains(check), "{check} has its vector");
    }
}

#[test]
fn the_record_follows_the_counter_of_a_beat() {
    let mut assertion = silent();
    assertion.sign_count = 41;
    assert_eq!(judge(&case(&assertion.sign(&key()))), Ok(41));
}

/// However little an approval's verifier demands.
#[test]
fn no_beat_is_an_approval() {
    let key = key();
    let beat = beat();
    let challenge = beat.challenge();
    let origins = [AGENT.to_owned()];
    let mut loosest = assertion::Expectation::new(RP_ID, &origins, &challenge);
    (loosest.require_uv, loosest.allow_up_false) = (false, true);
    let read = |signed: &Signed| {
        AssertionResponse::from_json(signed.response().to_string().as_bytes()).unwrap()
    };
    let public_key = PublicKey::from_cose(&key.cose).unwrap();
    let refused = assertion::verify(&read(&silent().sign(&key)), &public_key, &loosest);
    assert_eq!(
        refused.map_err(|error| error.reason()).err(),
        Some("type-mismatch")
    );
    // The same key, silent, over an approval's client data: an approval wants a touch.
    let mut strict = assertion::Expectation::new(RP_ID, &origins, &challenge);
    strict.require_uv = false;
    let untouched = Assertion {
        client_data: members(&[("type", json!("webauthn.get"))]),
        ..silent()
    };
    let refused = assertion::verify(&read(&untouched.sign(&key)), &public_key, &strict);
    assert_eq!(
        refused.map_err(|error| error.reason()).err(),
        Some("user-not-present")
    );
}

#[test]
fn no_approval_is_a_beat() {
    let approval = Assertion {
        client_data: members(&[("type", json!("webauthn.get"))]),
        flags: 0x05,
        ..Assertion::default()
    };
    assert_eq!(word(&case(&approval.sign(&key()))), "type-mismatch");
}
