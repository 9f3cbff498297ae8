//! Verifications of packed attestations per second, on one core, in one run: the one ECDSA P-256 verification of AWS-LC that each needs at
//! least, our verifier from the JSON of a response to the verdict, webauthn-rs-core from its JSON to its verdict, and (where set-up installed
//! them) py_webauthn and @simplewebauthn/server. Statements only: nobody is asked for a trust path. Last, a metadata BLOB of 10 MB.
//!
//! `cargo bench -p sceau-proof --bench registration`. Contestants take turns in short slices, so that whatever else the machine does strikes all
//! alike; figures are medians over the rounds, ratios the medians of each round's ratio. Every verification must succeed.
#![allow(clippy::disallowed_methods, reason = "a bench measures with the clock")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a verification that fails must end the bench"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sceau_proof::attestation::{RegistrationResponse, verify_statement};
use sceau_proof::base64url;
use serde::Deserialize;
use serde_json::{Value, json};
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::proto::{RegisterPublicKeyCredential, RegistrationState};

#[allow(
    dead_code,
    reason = "the bench makes fewer kinds of registrations than the tests"
)]
#[path = "../tests/attestation/maker.rs"]
mod maker;

use maker::{Ceremony, Draft, Identity, Publisher, entry, payload, report};

const KEYS: usize = 64;
const ROUNDS: usize = 25;
const SLICE: Duration = Duration::from_millis(60);
const PEER_SECONDS: f64 = 2.0;

/// One registration, in the form that each contestant takes.
struct Case {
    ceremony: Ceremony,
    signed: Vec<u8>,
    signature: Vec<u8>,
    leaf: Vec<u8>,
    json: Vec<u8>,
    browser_json: Vec<u8>,
}

/// The response as `sceau-verify` and the server's API read it.
#[derive(Deserialize)]
struct Response {
    #[serde(with = "base64url")]
    client_data_json: Vec<u8>,
    #[serde(with = "base64url")]
    attestation_object: Vec<u8>,
}

fn main() {
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = root.issue(Draft::leaf());
    let cases: Vec<Case> = (0..KEYS).map(|_| case(&leaf)).collect();
    let state: RegistrationState = serde_json::from_value(state(&cases[0].ceremony)).unwrap();
    let core = WebauthnCore::new_unsafe_experts_only(
        "rp",
        "sceau.example",
        vec!["https://sceau.example".parse().unwrap()],
        Duration::from_secs(60),
        None,
        None,
    );
    let mut raw = |case: &Case| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &case.leaf)
            .verify(&case.signed, &case.signature)
            .unwrap()
    };
    let mut ours = |case: &Case| {
        let response: Response = serde_json::from_slice(&case.json).unwrap();
        let response = RegistrationResponse {
            client_data_json: &response.client_data_json,
            attestation_object: &response.attestation_object,
        };
        black_box(verify_statement(&response, &case.ceremony.expectation).unwrap());
    };
    let mut theirs = |case: &Case| {
        let response: RegisterPublicKeyCredential =
            serde_json::from_slice(&case.browser_json).unwrap();
        black_box(core.register_credential(&response, &state, None).unwrap());
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
        "Verified packed attestations (x5c, ES256) per second, one core, {KEYS} credentials, median of {ROUNDS} rounds:"
    );
    line("raw aws-lc-rs P-256, key parsed each time", rate(0), None);
    line(
        "sceau-proof, JSON to verdict",
        rate(1),
        Some(format!("{:.2} of raw", ratio(1, 0))),
    );
    line(
        "webauthn-rs-core, JSON to verdict",
        rate(2),
        Some(format!("ours is {:.1} times as fast", ratio(1, 2))),
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    std::fs::write(&file, peer_cases(&cases)).unwrap();
    for (name, command) in peers(&file) {
        match command.and_then(run) {
            Some((version, other)) => line(
                &format!("{name} {version}"),
                other,
                Some(format!("ours is {:.1} times as fast", rate(1) / other)),
            ),
            None => println!("  {name:<42} not installed: cargo xtask setup"),
        }
    }
    metadata(&root);
}

fn case(leaf: &Identity) -> Case {
    let ceremony = Ceremony::new();
    let signed = ceremony.signed();
    let object = ceremony.packed(leaf, &[]);
    let (client, attestation) = (
        base64url::encode(ceremony.client_data_json()),
        base64url::encode(object),
    );
    let id = base64url::encode(&ceremony.credential_id);
    let browser = json!({
        "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
        "response": {"clientDataJSON": client, "attestationObject": attestation},
    });
    Case {
        signature: leaf.key.sign(&signed),
        leaf: leaf.key.point(),
        json: json!({"client_data_json": client, "attestation_object": attestation})
            .to_string()
            .into_bytes(),
        browser_json: browser.to_string().into_bytes(),
        signed,
        ceremony,
    }
}

fn state(ceremony: &Ceremony) -> Value {
    json!({
        "policy": "required", "exclude_credentials": [], "challenge": base64url::encode(&ceremony.expectation.challenge),
        "credential_algorithms": ["ES256"], "require_resident_key": false, "authenticator_attachment": null, "extensions": {},
        "allow_synchronised_authenticators": true,
    })
}

/// Verifies one case after another for a slice of time.
fn per_second(cases: &[Case], verify: &mut impl FnMut(&Case)) -> f64 {
    let (start, mut done) = (Instant::now(), 0_u32);
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
    println!("  {name:<42} {rate:>9.0}  {}", note.unwrap_or_default());
}

fn peer_cases(cases: &[Case]) -> String {
    let first = &cases[0].ceremony;
    let list: Vec<_> = cases
        .iter()
        .map(|case| String::from_utf8_lossy(&case.browser_json))
        .collect();
    json!({
        "rp_id": first.rp_id, "origin": first.expectation.origins[0], "challenge": base64url::encode(&first.expectation.challenge), "responses": list,
    })
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
            .arg(scripts.join("verify_registrations.py"))
            .arg(cases)
            .arg(&seconds);
        command
    });
    let js = modules.join("@simplewebauthn/server").exists().then(|| {
        let mut command = Command::new("node");
        command
            .arg(scripts.join("verify_registrations.mjs"))
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
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some((
        answer["version"].as_str()?.to_owned(),
        answer["per_second"].as_f64()?,
    ))
}

/// How long a metadata BLOB of 10 MB takes, from bytes to a verified list, and the memory that it adds.
fn metadata(root: &Identity) {
    let icon = format!("data:image/png;base64,{}", "A".repeat(20_000));
    let publisher = Publisher::new();
    let blob = {
        let entries: Vec<Value> = (0..380_u128)
            .map(|number| {
                let mut entry = entry(root, &json!([report("FIDO_CERTIFIED_L1")]));
                entry["aaguid"] = json!(uuid::Uuid::from_u128(number + 1).to_string());
                entry["metadataStatement"]["icon"] = json!(icon);
                entry
            })
            .collect();
        publisher.sign(&publisher.header(), &payload(&entries))
    };
    let before = memory("VmRSS:");
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        black_box(publisher.verify(&blob).unwrap());
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "Metadata BLOB of {:.1} MB, 380 entries: {:.0} ms (median of {}); resident {before} MiB before, at most {} MiB in the whole run.",
        blob.len() as f64 / 1e6,
        median(times.clone()),
        times.len(),
        memory("VmHWM:"),
    );
}

/// A line of /proc/self/status, in MiB; 0 where there is none.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|text| {
        text.strip_prefix(line)?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or_default() / 1024
}
