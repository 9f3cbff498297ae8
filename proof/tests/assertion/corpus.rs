//! The public corpus: real and specified assertions with their labels, and the W3C's WebAuthn L3 test vectors. Not part of this repository; read
//! from `../shared/corpus` beside it, and skipped, visibly, where that is absent.

use std::path::PathBuf;

use sceau_proof::authenticator_data::AuthenticatorData;
use sceau_proof::base64url::encode;
use sceau_proof::cbor::{self, Rules, Value as Cbor};
use sceau_proof::client_data::CollectedClientData;
use sceau_proof::cose::PublicKey;
use serde_json::{Value, json};

use crate::command::assertion;

/// Algorithms that we do not implement: Ed448.
const UNSUPPORTED: [i64; 1] = [-53];

fn corpus(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpus")
        .join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {} is absent", path.display());
    }
    text
}

#[test]
fn agrees_with_every_label() {
    let Some(text) = corpus("assertions.jsonl") else {
        return;
    };
    let mut judged = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let requires = |name: &str| record["requires"][name] == json!(true);
        let case = json!({
            "rp_id": record["rp_id"],
            "origins": [record["origin"]],
            "challenge": record["challenge_b64url"],
            "public_key_cose": record["public_key_cose_b64url"],
            "require_uv": requires("user_verification"),
            "stored_sign_count": record["stored_sign_count"],
            "allow_cross_origin": requires("allow_cross_origin"),
            "allow_up_false": requires("allow_up_false"),
            "response": {
                "client_data_json": record["client_data_json_b64url"],
                "authenticator_data": record["authenticator_data_b64url"],
                "signature": record["signature_b64url"],
                "credential_id": record["credential_id_b64url"],
            },
        });
        let (status, object) = assertion(&case);
        judged += 1;
        if UNSUPPORTED.contains(&record["alg"].as_i64().unwrap()) {
            assert_eq!(
                object["reason"], "unsupported-algorithm",
                "{}",
                record["id"]
            );
            continue;
        }
        if record["ambiguous"] == json!(true) {
            eprintln!("ambiguous: {} is {}", record["id"], object["reason"]);
            continue;
        }
        assert_eq!(
            status == 0,
            record["expected"] == "valid",
            "{}: {object}",
            record["id"]
        );
        for (ours, theirs) in [("up", "UP"), ("uv", "UV"), ("be", "BE"), ("bs", "BS")] {
            assert_eq!(object[ours], record["flags"][theirs], "{}", record["id"]);
        }
        assert_eq!(
            (&object["sign_count"], &object["alg"]),
            (&record["sign_count"], &record["alg"]),
            "{}",
            record["id"]
        );
    }
    assert!(judged >= 30, "{judged} records");
}

#[test]
fn verifies_the_w3c_vectors_and_nothing_next_to_them() {
    let Some(text) = corpus("w3c_vectors.json") else {
        return;
    };
    let vectors: Value = serde_json::from_str(&text).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        let bytes = |of: &str, name: &str| hex::decode(vector[of][name].as_str().unwrap()).unwrap();
        let attestation_object = bytes("registration", "attestationObject");
        let Cbor::Map(map) = cbor::parse(&attestation_object, Rules::STRICT).unwrap() else {
            panic!("not a map")
        };
        let registered =
            AuthenticatorData::parse(map.text("authData").unwrap().as_bytes().unwrap()).unwrap();
        let credential = registered.attested_credential().unwrap();
        let case = json!({
            "rp_id": vectors["rp_id"],
            "origins": [vectors["origin"]],
            "challenge": encode(bytes("authentication", "challenge")),
            "public_key_cose": encode(credential.public_key),
            "require_uv": false,
            "stored_sign_count": 0,
            "stored_backup_eligible": registered.flags().be(),
            "credential_ids": [encode(credential.credential_id)],
            "allow_cross_origin": vector["id"].as_str().unwrap().contains("Origin"),
            "response": {
                "client_data_json": encode(bytes("authentication", "clientDataJSON")),
                "authenticator_data": encode(bytes("authentication", "authenticatorData")),
                "signature": encode(bytes("authentication", "signature")),
                "credential_id": encode(bytes("registration", "credential_id")),
            },
        });
        let (_, object) = assertion(&case);
        if UNSUPPORTED.contains(&object["alg"].as_i64().unwrap()) {
            assert_eq!(
                object["reason"], "unsupported-algorithm",
                "{}",
                vector["id"]
            );
            continue;
        }
        assert_eq!(object["reason"], "accepted", "{}", vector["id"]);
        let mut signature = bytes("authentication", "signature");
        let last = signature.len() - 1;
        signature[last] ^= 1;
        let mut changed = case.clone();
        changed["response"]["signature"] = json!(encode(signature));
        assert_eq!(
            assertion(&changed).1["reason"],
            "signature-invalid",
            "{}",
            vector["id"]
        );
        let mut changed = case;
        changed["allow_cross_origin"] = json!(false);
        changed["challenge"] = json!(encode(bytes("registration", "challenge")));
        assert_eq!(
            assertion(&changed).1["reason"],
            "challenge-mismatch",
            "{}",
            vector["id"]
        );
    }
}

/// Reads the authenticator data and its public key, as both verifiers do.
fn readable(authenticator_data: &[u8]) -> bool {
    let Ok(parsed) = AuthenticatorData::parse(authenticator_data) else {
        return false;
    };
    parsed
        .attested_credential()
        .is_none_or(|credential| PublicKey::from_cose_map(&credential.public_key_map).is_ok())
}

#[test]
fn refuses_the_malformed_inputs() {
    let Some(index) = corpus("malformed/index.json") else {
        return;
    };
    let index: Value = serde_json::from_str(&index).unwrap();
    let mut judged = 0;
    for entry in index.as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/corpus/malformed")
            .join(file);
        let bytes = std::fs::read(path).unwrap();
        let expected = entry["expected"].as_str().unwrap();
        let accepted = match entry["kind"].as_str().unwrap() {
            "clientDataJSON" => CollectedClientData::parse(&bytes)
                .is_ok_and(|parsed| parsed.origin() == "https://example.org"),
            "attestationObject (authData)" => {
                let object = cbor::parse(&bytes, Rules::STRICT).unwrap();
                readable(
                    object
                        .as_map()
                        .unwrap()
                        .text("authData")
                        .unwrap()
                        .as_bytes()
                        .unwrap(),
                )
            }
            "CBOR-wrapped authData" => {
                let object = cbor::parse(&bytes, Rules::STRICT);
                object.is_ok_and(|object| readable(object.as_bytes().unwrap()))
            }
            _ => continue,
        };
        judged += 1;
        assert_eq!(
            accepted,
            expected.starts_with("accepted"),
            "{file}: {expected}"
        );
    }
    assert!(judged >= 10, "{judged} files");
}
