//! Real registrations, as recorded by others, judged as they are labelled.
//!
//! Reads `../shared/corpus` beside the repository; where that is absent each test says so and passes. A label is what *most*
//! careful implementations say; where ours differs on purpose the difference is listed here by name, with its reason, and in
//! docs/attestation.md. Nothing may be accepted that is labelled invalid, and nothing may be in the list needlessly.

use std::path::{Path, PathBuf};

use sceau_proof::attestation::second_opinion::{self, Opinion};
use sceau_proof::attestation::trust::{self, Sources, Trust};
use sceau_proof::attestation::{RegistrationExpectation, RegistrationResponse, verify_statement};
use sceau_proof::base64url;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn corpus(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpus")
        .join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn records(file: &str) -> Vec<Value> {
    let Some(path) = corpus(file) else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn bytes(record: &Value, member: &str) -> Vec<u8> {
    base64url::decode(record[member].as_str().unwrap()).unwrap()
}

struct Case {
    id: String,
    expected: bool,
    ambiguous: bool,
    policy: bool,
    client_data_json: Vec<u8>,
    attestation_object: Vec<u8>,
    expectation: RegistrationExpectation,
}

fn case(record: &Value) -> Case {
    let requires = &record["requires"];
    Case {
        id: record["id"].as_str().unwrap().to_owned(),
        expected: record["expected"] == "valid",
        ambiguous: record["ambiguous"] == true,
        policy: record["policy"].is_string(),
        client_data_json: bytes(record, "client_data_json_b64url"),
        attestation_object: bytes(record, "attestation_object_b64url"),
        expectation: RegistrationExpectation {
            rp_id: record["rp_id"].as_str().unwrap().to_owned(),
            origins: vec![record["origin"].as_str().unwrap().to_owned()],
            challenge: bytes(record, "challenge_b64url"),
            require_uv: requires["user_verification"] == true,
            allow_cross_origin: requires["allow_cross_origin"] == true,
            top_origins: requires["top_origin"]
                .as_str()
                .map(|top| vec![top.to_owned()]),
        },
    }
}

#[test]
fn judges_every_recorded_registration_as_labelled() {
    let mut wrong = Vec::new();
    let mut judged = 0;
    for record in records("registrations.jsonl") {
        let case = case(&record);
        let response = RegistrationResponse {
            client_data_json: &case.client_data_json,
            attestation_object: &case.attestation_object,
        };
        let verdict = verify_statement(&response, &case.expectation);
        judged += 1;
        // SafetyNet: refused by name, whatever the label (docs/attestation.md).
        if record["fmt"] == "android-safetynet" {
            assert_eq!(
                verdict.unwrap_err().reason(),
                "unsupported-format-android-safetynet",
                "{}",
                case.id
            );
            continue;
        }
        // A label about policy (an algorithm that was not asked for) is not about the statement.
        if verdict.is_ok() != case.expected && !case.policy {
            let found = verdict
                .map(|_| "verified")
                .unwrap_or_else(|error| error.reason());
            wrong.push(format!(
                "{}: {found}, ambiguous {}, {}",
                case.id, case.ambiguous, record["reason"]
            ));
        }
    }
    assert!(wrong.is_empty(), "of {judged}:\n{}", wrong.join("\n"));
}

#[test]
fn webauthn_rs_never_disagrees_where_it_has_an_opinion() {
    let (mut agreed, mut wrong) = (0, Vec::new());
    for record in records("registrations.jsonl") {
        let case = case(&record);
        let response = RegistrationResponse {
            client_data_json: &case.client_data_json,
            attestation_object: &case.attestation_object,
        };
        let Ok(verified) = verify_statement(&response, &case.expectation) else {
            continue;
        };
        match second_opinion::ask(&response, &case.expectation, &verified) {
            Opinion::Agrees => agreed += 1,
            Opinion::Silent(_) => {}
            // Level 1 client data with `"tokenBinding":"unused"`, which nothing of today sends: webauthn-rs does not parse it.
            Opinion::Disagrees(_) if case.id == "py_webauthn-fido-u2f-0699c3a3" => {}
            Opinion::Disagrees(why) => wrong.push(format!("{}: {why}", case.id)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed == 0 || agreed > 30, "only {agreed} opinions");
}

#[test]
fn refuses_every_mutation_of_one_byte() {
    for record in records("registrations.jsonl") {
        let case = case(&record);
        let genuine = |object: &[u8], client: &[u8]| {
            let response = RegistrationResponse {
                client_data_json: client,
                attestation_object: object,
            };
            verify_statement(&response, &case.expectation)
        };
        let Ok(original) = genuine(&case.attestation_object, &case.client_data_json) else {
            continue;
        };
        if original.chain().is_empty() {
            continue;
        }
        for position in (0..case.client_data_json.len()).step_by(7) {
            let mut mutated = case.client_data_json.clone();
            mutated[position] ^= 0x20;
            assert!(
                genuine(&case.attestation_object, &mutated).is_err(),
                "{}: client data byte {position}",
                case.id
            );
        }
        for position in (0..case.attestation_object.len()).step_by(13) {
            let mut mutated = case.attestation_object.clone();
            mutated[position] ^= 1;
            // Bytes that no attestation signature covers (certificates above the leaf, the leaf's own signature) are trust's to judge.
            if let Ok(verified) = genuine(&mutated, &case.client_data_json) {
                assert_eq!(
                    verified.credential_id(),
                    original.credential_id(),
                    "{}: byte {position}",
                    case.id
                );
                assert_eq!(
                    verified.public_key_cose(),
                    original.public_key_cose(),
                    "{}: byte {position}",
                    case.id
                );
            }
        }
    }
}

#[test]
fn refuses_the_malformed_attestation_objects_in_bounded_time() {
    let (Some(index), Some(vectors)) = (
        corpus("malformed/index.json"),
        corpus("registrations.jsonl"),
    ) else {
        return;
    };
    // They were made from this registration.
    let vectors = std::fs::read_to_string(vectors).unwrap();
    let source = vectors
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|record| record["id"] == "w3c-packed-es256-reg")
        .unwrap();
    let case = case(&source);
    let index: Value = serde_json::from_str(&std::fs::read_to_string(index).unwrap()).unwrap();
    let mut judged = 0;
    for item in index.as_array().unwrap() {
        let object = item["kind"]
            .as_str()
            .unwrap()
            .starts_with("attestationObject");
        if !object {
            continue;
        }
        let file = item["file"].as_str().unwrap();
        let bytes = std::fs::read(corpus(&format!("malformed/{file}")).unwrap()).unwrap();
        let response = RegistrationResponse {
            client_data_json: &case.client_data_json,
            attestation_object: &bytes,
        };
        let verdict = verify_statement(&response, &case.expectation);
        // "either": indefinite lengths around a genuine statement, which are read.
        let either = item["expected"].as_str().unwrap().starts_with("either");
        assert_eq!(verdict.is_ok(), either, "{file}: {verdict:?}");
        judged += 1;
    }
    assert_eq!(judged, 14);
}

#[test]
fn trusts_exactly_the_chains_that_are_anchored() {
    let Some(folder) = corpus("roots") else {
        return;
    };
    let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "pem"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    let anchors = sceau_proof::attestation::anchors::read(&files, None).unwrap();
    assert_eq!(anchors.len(), 141);
    let mut judged = 0;
    for record in records("registrations.jsonl") {
        let case = case(&record);
        let response = RegistrationResponse {
            client_data_json: &case.client_data_json,
            attestation_object: &case.attestation_object,
        };
        let Ok(verified) = verify_statement(&response, &case.expectation) else {
            continue;
        };
        let at = record["verification_time"]
            .as_str()
            .map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
        let sources = Sources {
            anchors: Some(&anchors),
            metadata: None,
        };
        let verdict = trust::judge(&verified, sources, at);
        let anchored = record["trust"].as_str().unwrap().starts_with("anchored");
        assert_eq!(
            verdict.trust() == Trust::Trusted,
            anchored,
            "{}: {}",
            case.id,
            verdict.reason()
        );
        judged += 1;
    }
    assert!(judged == 0 || judged == 62, "{judged}");
}
