//! Verifications of FIDO2 assertions per second, on one core, in one run: raw ECDSA P-256 of AWS-LC, our verifier from the JSON of a response to
//! the verdict, webauthn-rs-core from its JSON to its verdict, and (where set-up installed them) py_webauthn and @simplewebauthn/server.
//!
//! `cargo bench -p sceau-proof --bench assertion`. Contestants take turns in short slices, so that whatever else the machine does strikes all
//! alike; figures are medians over the rounds, ratios the medians of each round's ratio. Every verification must succeed. Keys are parsed once
//! by those who can keep them parsed (raw, ours), since a server does.

#![allow(clippy::disallowed_methods, reason = "a bench measures with the clock")]
#![allow(
    clippy::unwrap_used,
    reason = "a verification that fails must end the bench"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use sceau_proof::assertion::{AssertionResponse, Expectation, verify};
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::base64url::encode;
use sceau_proof::cose::PublicKey;
use serde_json::json;
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::proto::{
    AttestationFormat, AuthenticationState, COSEAlgorithm, COSEEC2Key, COSEKey, COSEKeyType,
    Credential, ECDSACurve, ParsedAttestation, PublicKeyCredential, RegisteredExtensions,
    UserVerificationPolicy,
};

#[allow(
    dead_code,
    reason = "the bench forges fewer kinds of assertions than the tests"
)]
#[path = "../tests/assertion/forge.rs"]
mod forge;

use forge::{Assertion, CHALLENGE, CREDENTIAL, Key, ORIGIN, RP_ID};

const KEYS: usize = 64;
const ROUNDS: usize = 25;
const SLICE: Duration = Duration::from_millis(60);
const PEER_SECONDS: f64 = 2.0;

/// One enrolled key and one assertion of it, in the form that each contestant takes.
struct Case {
    message: Vec<u8>,
    signature: Vec<u8>,
    raw_key: ParsedPublicKey,
    json: Vec<u8>,
    key: PublicKey,
    cose: Vec<u8>,
    browser_json: Vec<u8>,
    state: AuthenticationState,
}

fn main() {
    let cases: Vec<Case> = (0..KEYS).map(|_| case(&Key::es256())).collect();
    let (origins, ids) = (
        [ORIGIN.to_owned()],
        [CredentialId::new(CREDENTIAL).unwrap()],
    );
    let expected = Expectation {
        credential_ids: &ids,
        stored_sign_count: Some(6),
        stored_backup_eligible: Some(false),
        ..Expectation::new(RP_ID, &origins, &CHALLENGE)
    };
    let core = WebauthnCore::new_unsafe_experts_only(
        "rp",
        RP_ID,
        vec![ORIGIN.parse().unwrap()],
        Duration::from_secs(60),
        None,
        None,
    );
    let mut raw = |case: &Case| {
        case.raw_key
            .verify_sig(&case.message, &case.signature)
            .unwrap()
    };
    let mut ours = |case: &Case| {
        let response = AssertionResponse::from_json(&case.json).unwrap();
        black_box(verify(&response, &case.key, &expected).unwrap());
    };
    let mut theirs = |case: &Case| {
        let response: PublicKeyCredential = serde_json::from_slice(&case.browser_json).unwrap();
        black_box(
            core.authenticate_credential(&response, &case.state)
                .unwrap(),
        );
    };
    let mut rounds: Vec<[f64; 3]> = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([
            per_second(&cases, &mut raw),
            per_second(&cases, &mut ours),
            per_second(&cases, &mut theirs),
        ]);
    }
    let rate = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let ratio =
        |of: usize, to: usize| median(rounds.iter().map(|round| round[of] / round[to]).collect());
    println!(
        "Verified assertions per second, ES256, one core, {KEYS} keys, median of {ROUNDS} rounds:"
    );
    line("raw aws-lc-rs P-256, key parsed", rate(0), None);
    line(
        "sceau-proof, JSON to verdict",
        rate(1),
        Some(format!("{:.2} of raw (goal: 0.85)", ratio(1, 0))),
    );
    line(
        "webauthn-rs-core, JSON to verdict",
        rate(2),
        Some(format!(
            "ours is {:.1} times as fast (goal: 3.5)",
            ratio(1, 2)
        )),
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    std::fs::write(&file, peer_cases(&cases)).unwrap();
    for (name, command) in peers(&file) {
        match command.and_then(run) {
            Some((version, rate_)) => line(
                &format!("{name} {version}"),
                rate_,
                Some(format!("ours is {:.1} times as fast", rate(1) / rate_)),
            ),
            None => println!("  {name:<40} not installed: cargo xtask setup"),
        }
    }
}

fn case(key: &Key) -> Case {
    let signed = Assertion::default().sign(key);
    let hash = digest(&SHA256, &signed.client_data);
    let public = PublicKey::from_cose(&key.cose).unwrap();
    let point = public.uncompressed_point().unwrap();
    let their_key = COSEEC2Key {
        curve: ECDSACurve::SECP256R1,
        x: point[1..33].to_vec(),
        y: point[33..].to_vec(),
    };
    let credential = Credential {
        cred_id: CREDENTIAL.to_vec(),
        cred: COSEKey {
            type_: COSEAlgorithm::ES256,
            key: COSEKeyType::EC_EC2(their_key),
        },
        counter: 6,
        transports: None,
        user_verified: true,
        backup_eligible: false,
        backup_state: false,
        registration_policy: UserVerificationPolicy::Required,
        extensions: RegisteredExtensions::none(),
        attestation: ParsedAttestation::default(),
        attestation_format: AttestationFormat::None,
    };
    let state = json!({"credentials": [credential], "policy": "required", "challenge": encode(CHALLENGE), "appid": null, "allow_backup_eligible_upgrade": false});
    let browser = json!({
        "id": encode(CREDENTIAL), "rawId": encode(CREDENTIAL), "type": "public-key", "clientExtensionResults": {},
        "response": {"clientDataJSON": encode(&signed.client_data), "authenticatorData": encode(&signed.authenticator_data), "signature": encode(&signed.signature)},
    });
    Case {
        message: [&signed.authenticator_data, hash.as_ref()].concat(),
        raw_key: ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).unwrap(),
        json: signed.response().to_string().into_bytes(),
        key: public.clone(),
        cose: key.cose.clone(),
        browser_json: browser.to_string().into_bytes(),
        state: serde_json::from_value(state).unwrap(),
        signature: signed.signature,
    }
}

/// Verifies one case after another for a slice of time.
fn per_second(cases: &[Case], verify: &mut impl FnMut(&Case)) -> f64 {
    let (start, mut done) = (Instant::now(), 0u32);
    loop {
        for case in cases {
            verify(black_box(case));
            done += 1;
            let elapsed = start.elapsed();
            if elapsed >= SLICE {
                return f64::from(done) / elapsed.as_secs_f64();
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn line(name: &str, rate: f64, note: Option<String>) {
    println!("  {name:<40} {rate:>9.0}  {}", note.unwrap_or_default());
}

fn peer_cases(cases: &[Case]) -> String {
    let list: Vec<_> = cases
        .iter()
        .map(|case| json!({"public_key_cose": encode(&case.cose), "stored_sign_count": 6, "response": String::from_utf8_lossy(&case.browser_json)}))
        .collect();
    json!({"rp_id": RP_ID, "origin": ORIGIN, "challenge": encode(CHALLENGE), "cases": list})
        .to_string()
}

/// The peers that set-up installed, with what runs each.
fn peers(cases: &Path) -> [(&'static str, Option<Command>); 2] {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (python, modules) = (
        target.join("peers/venv/bin/python"),
        target.join("peers/node_modules"),
    );
    let scripts = root.join("tests/peers");
    let seconds = PEER_SECONDS.to_string();
    let py = python.exists().then(|| {
        let mut command = Command::new(python);
        command
            .arg(scripts.join("verify_assertions.py"))
            .arg(cases)
            .arg(&seconds);
        command
    });
    let js = modules.join("@simplewebauthn/server").exists().then(|| {
        let mut command = Command::new("node");
        command
            .arg(scripts.join("verify_assertions.mjs"))
            .arg(cases)
            .arg(&seconds)
            .arg(modules);
        command
    });
    [("py_webauthn", py), ("@simplewebauthn/server", js)]
}

/// Runs a peer: its version, and verifications per second. None when the interpreter lacks it.
fn run(mut command: Command) -> Option<(String, f64)> {
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some((
        answer["version"].as_str()?.to_owned(),
        answer["per_second"].as_f64()?,
    ))
}
