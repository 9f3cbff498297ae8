//! The same status histories given to others: who believes a new key of a model with that history?
//!
//! For each history of `status_histories.json` a whole metadata BLOB is signed and a whole registration made; fido-mds (in this process),
//! @simplewebauthn/server and python-fido2 (where set-up installed them) say yes or no by their own means, and what they say must be what the file has
//! recorded. docs/attestation.md has the table. py_webauthn reads no metadata at all.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fido_mds::FidoMds;
use fido_mds::query::Query;
use sceau_proof::base64url;
use serde_json::{Value, json};

use crate::maker::{AAGUID, Ceremony, Draft, Identity, Publisher, entry, payload};

/// A statement with every member that the specification wants, for readers that are strict about them.
fn full_entry(root: &Identity, reports: &Value) -> Value {
    let aaguid = uuid::Uuid::from_bytes(AAGUID);
    let mut entry = entry(root, reports);
    let statement = json!({
        "legalHeader": "test data", "aaguid": aaguid.to_string(), "authenticatorVersion": 1, "protocolFamily": "fido2", "schema": 3,
        "upv": [{"major": 1, "minor": 1}], "authenticationAlgorithms": ["secp256r1_ecdsa_sha256_raw"], "publicKeyAlgAndEncodings": ["cose"],
        "userVerificationDetails": [[{"userVerificationMethod": "passcode_external", "caDesc": {"base": 64, "minLength": 6, "maxRetries": 8, "blockSlowdown": 0}}]],
        "friendlyNames": {"en-US": "Modele 1"}, "matcherProtection": ["on_chip"], "cryptoStrength": 128, "attachmentHint": ["external", "wired"], "tcDisplay": [],
        "authenticatorGetInfo": {
            "versions": ["FIDO_2_0"], "extensions": [], "aaguid": aaguid.simple().to_string(),
            "options": {"plat": false, "rk": true, "clientPin": true, "up": true}, "maxMsgSize": 1200, "pinUvAuthProtocols": [1], "transports": ["usb"],
        },
    });
    for (name, value) in statement.as_object().unwrap() {
        entry["metadataStatement"][name] = value.clone();
    }
    entry["metadataStatement"]["icon"] = json!(
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    );
    entry
}

fn histories() -> Vec<Value> {
    let document: Value = serde_json::from_str(include_str!("status_histories.json")).unwrap();
    document["histories"].as_array().unwrap().clone()
}

fn compare(peer: &str, says: &[(String, bool)]) {
    assert_eq!(says.len(), histories().len());
    let mut differences = Vec::new();
    for (history, (name, yes)) in histories().iter().zip(says) {
        assert_eq!(history["name"], *name);
        if history["others"][peer] != *yes {
            differences.push(format!(
                "{peer}|{name}|{yes}, recorded {}",
                history["others"][peer]
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn fido_mds_says_what_is_recorded() {
    let root = Identity::root(Draft::authority("Racine"));
    let asked = |query: &dyn Fn() -> Query| -> Vec<(String, bool)> {
        histories()
            .iter()
            .map(|history| {
                let list = payload(&[full_entry(&root, &history["reports"])]);
                // The list does not even parse when one status is unknown: then no key of any model is believed.
                let believed = serde_json::from_value::<fido_mds::mds::FidoMds>(list)
                    .is_ok_and(|raw| FidoMds::from(raw).fido2_query(&query()).is_some());
                (history["name"].as_str().unwrap().to_owned(), believed)
            })
            .collect()
    };
    let answers = [
        (
            "fido-mds exclude_compromised",
            asked(&Query::exclude_compromised_devices),
        ),
        (
            "fido-mds status gte l1",
            asked(&|| "status gte l1".parse().unwrap()),
        ),
    ];
    for (name, says) in &answers {
        compare(name, says);
    }
}

/// One file for both scripts: everything that a relying party has.
fn cases() -> Value {
    let publisher = Publisher::new();
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = root.issue(Draft::leaf());
    let pem = |der: &[u8]| {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(der)
        )
    };
    let cases: Vec<Value> = histories()
        .iter()
        .map(|history| {
            let ceremony = Ceremony::new();
            let id = base64url::encode(&ceremony.credential_id);
            json!({
                "name": history["name"],
                "blob": publisher.sign(&publisher.header(), &payload(&[full_entry(&root, &history["reports"])])),
                "response": {
                    "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
                    "response": {"clientDataJSON": base64url::encode(ceremony.client_data_json()), "attestationObject": base64url::encode(ceremony.packed(&leaf, &[]))},
                },
            })
        })
        .collect();
    let ceremony = Ceremony::new();
    json!({
        "rp_id": ceremony.rp_id, "origin": "https://sceau.example", "challenge": base64url::encode(&ceremony.expectation.challenge),
        "metadata_root": pem(&publisher.root.der), "cases": cases,
    })
}

/// Runs a script of `tests/peers` over the cases; `None` where set-up did not install the peer.
fn ask(program: &str, needs: &str, script: &str) -> Option<Vec<(String, bool)>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let peers = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("peers");
    if !peers.join(needs).exists() {
        eprintln!("SKIPPED: {needs} is not installed; cargo xtask setup installs it");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    std::fs::write(&file, cases().to_string()).unwrap();
    let program = if program.contains('/') {
        peers.join(program)
    } else {
        PathBuf::from(program)
    };
    let output = Command::new(program)
        .arg(root.join("tests/peers").join(script))
        .arg(&file)
        .arg(peers.join("node_modules"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    for answer in answers.as_array().unwrap() {
        println!("{}: {}", answer["name"], answer["why"]);
    }
    Some(
        answers
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it["name"].as_str().unwrap().to_owned(),
                    it["believed"].as_bool().unwrap(),
                )
            })
            .collect(),
    )
}

#[test]
fn simplewebauthn_says_what_is_recorded() {
    if let Some(says) = ask(
        "node",
        "node_modules/@simplewebauthn/server",
        "metadata_status.mjs",
    ) {
        compare("@simplewebauthn/server", &says);
    }
}

#[test]
fn python_fido2_says_what_is_recorded() {
    if let Some(says) = ask("venv/bin/python", "venv/bin/python", "metadata_status.py") {
        compare("python-fido2", &says);
    }
}
