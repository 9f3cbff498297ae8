//! `sceau-verify assertion` and `action` as auditors run them: exit status, one JSON object, input from a file or from standard input.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use sceau_proof::base64url::encode;
use serde_json::{Value, json};

use crate::forge::{self, Assertion, Key};

/// Runs a subcommand with the input on standard input: exit status and the object printed.
pub(crate) fn run(subcommand: &str, input: &[u8]) -> (i32, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .args([subcommand, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    answer(child.wait_with_output().unwrap())
}

pub(crate) fn assertion(case: &Value) -> (i32, Value) {
    run("assertion", case.to_string().as_bytes())
}

fn answer(output: Output) -> (i32, Value) {
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one object, on one line: {text}");
    (
        output.status.code().unwrap(),
        serde_json::from_str(&text).unwrap(),
    )
}

#[test]
fn answers_in_the_contracts_words() {
    let key = Key::es256();
    let case = forge::case(&key, &Assertion::default().sign(&key));
    let accepted = json!({"verdict": "accepted", "reason": "accepted", "up": true, "uv": true, "be": false, "bs": false, "sign_count": 7, "alg": -7});
    assert_eq!(assertion(&case), (0, accepted));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("case.json");
    std::fs::write(&file, case.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .arg("assertion")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(answer(output).0, 0);
}

#[test]
fn verifies_every_algorithm_and_no_key_verifies_for_another() {
    let keys = [
        Key::es256(),
        Key::es384(),
        Key::es512(),
        Key::ed25519(1),
        Key::rs256(),
        Key::ps384(),
        Key::ps512(),
        Key::es256k(),
    ];
    for signer in &keys {
        let case = forge::case(signer, &Assertion::default().sign(signer));
        for key in &keys {
            let mut case = case.clone();
            case["public_key_cose"] = json!(encode(&key.cose));
            let expected = if key.alg == signer.alg {
                "accepted"
            } else {
                "signature-invalid"
            };
            let (_, object) = assertion(&case);
            assert_eq!(
                (&object["reason"], &object["alg"]),
                (&json!(expected), &json!(key.alg))
            );
        }
    }
}

#[test]
fn the_shortest_case_of_the_contract_is_enough() {
    let key = Key::ed25519(1);
    let mut case = forge::case(&key, &Assertion::default().sign(&key));
    for optional in [
        "stored_sign_count",
        "stored_backup_eligible",
        "credential_ids",
    ] {
        case.as_object_mut().unwrap().remove(optional);
    }
    case["response"]
        .as_object_mut()
        .unwrap()
        .remove("credential_id");
    assert_eq!(assertion(&case).0, 0);
    for optional in ["stored_sign_count", "allow_cross_origin", "allow_up_false"] {
        case[optional] = Value::Null;
    }
    case["response"]["credential_id"] = Value::Null;
    case["comment"] = json!("unknown members are allowed");
    assert_eq!(assertion(&case).0, 0);
}

#[test]
fn a_malformed_case_is_a_usage_error() {
    let key = Key::ed25519(1);
    let good = forge::case(&key, &Assertion::default().sign(&key));
    let refused = |input: &str| {
        let (status, object) = run("assertion", input.as_bytes());
        assert_eq!(
            (status, &object["error"]),
            (2, &json!("malformed-input")),
            "{input}"
        );
    };
    for input in [
        "",
        "{}",
        "[]",
        "null",
        "{\"rp_id\":",
        &good.to_string().replacen('{', "{\"rp_id\":\"x\",", 1),
    ] {
        refused(input);
    }
    for name in [
        "rp_id",
        "origins",
        "challenge",
        "public_key_cose",
        "require_uv",
        "response",
    ] {
        let mut case = good.clone();
        case.as_object_mut().unwrap().remove(name);
        refused(&case.to_string());
    }
    for (name, value) in [
        ("rp_id", json!("")),
        ("rp_id", json!(1)),
        ("origins", json!("https://sceau.example")),
        ("challenge", json!("")),
        ("challenge", json!("AAA=")),
        ("public_key_cose", json!("+/")),
        ("require_uv", json!("true")),
        ("stored_sign_count", json!(-1)),
        ("stored_sign_count", json!(4_294_967_296u64)),
        ("allow_up_false", json!(1)),
        ("allow_cross_origin", json!("no")),
    ] {
        let mut case = good.clone();
        case[name] = value;
        refused(&case.to_string());
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .args(["assertion", "/nonexistent/case.json"])
        .output()
        .unwrap();
    assert_eq!(answer(missing).0, 2);
    let nothing = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .arg("assertion")
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn a_malformed_response_is_a_verdict() {
    let key = Key::ed25519(1);
    let good = forge::case(&key, &Assertion::default().sign(&key));
    for response in [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({"client_data_json": "e30"}),
    ] {
        let mut case = good.clone();
        case["response"] = response;
        let (status, object) = assertion(&case);
        assert_eq!(
            (status, &object["verdict"], &object["reason"]),
            (1, &json!("rejected"), &json!("response-malformed"))
        );
        assert_eq!(
            (&object["up"], &object["sign_count"], &object["alg"]),
            (&Value::Null, &Value::Null, &json!(-8))
        );
    }
    for (name, value) in [
        ("signature", json!("AA==")),
        ("signature", json!(null)),
        ("client_data_json", json!("{}")),
        ("credential_id", json!("")),
    ] {
        let mut case = good.clone();
        case["response"][name] = value;
        assert_eq!(assertion(&case).1["reason"], "response-malformed");
    }
}

#[test]
fn help_lists_every_reason_and_an_example() {
    let output = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .args(["assertion", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for (word, _) in sceau_proof::assertion::REASONS {
        assert!(help.contains(word), "{word}");
    }
    assert!(help.contains("Example:"));
}

#[test]
fn an_action_is_canonicalised_or_refused() {
    let action = include_bytes!("../../testdata/action/account_create.json");
    let (status, object) = run("action", action);
    // Computed by testdata/action/expected.py, which shares no code with us.
    let expected: Value = serde_json::from_slice(include_bytes!(
        "../../testdata/action/account_create.expected.json"
    ))
    .unwrap();
    assert_eq!((status, object), (0, expected));
    let text = std::str::from_utf8(action).unwrap();
    for (from, to, reason) in [
        ("\"v\": 1", "\"v\": 1, \"v\": 1", "duplicate-member"),
        ("\"v\": 1", "\"v\": 2", "unknown-version"),
        ("\"quota\": 3", "\"quota\": 3.0", "not-an-integer"),
        (
            "\"quota\": 3",
            "\"quota\": 9007199254740993",
            "integer-out-of-range",
        ),
        ("Zoé", "Zoe\u{301}", "not-nfc"),
        (
            "\"expires_at\": \"2026-11-21T19:05:00Z\"",
            "\"expires_at\": \"2026-11-23T19:05:00Z\"",
            "lives-too-long",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let (status, object) = run("action", text.replacen(from, to, 1).as_bytes());
        assert_eq!((status, &object["error"]), (2, &json!("malformed-input")));
        assert!(
            object["detail"].as_str().unwrap().starts_with(reason),
            "{object}"
        );
    }
}
