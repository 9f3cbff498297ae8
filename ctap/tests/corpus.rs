//! The shared corpus of real devices' replies and of malformed ones. It is not part of this repository: absent, these tests say so.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sceau_ctap::cbor::{self, CborError, Writer};
use sceau_ctap::credential::NewCredential;
use sceau_ctap::piv::KeyKind;
use sceau_ctap::{Error, ReplyError, WireError};

use crate::allocation;

fn corpus(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpus")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not here", path.display());
    None
}

/// An attestation object as the authenticator had sent it.
fn as_reply(object: &[u8]) -> Option<Vec<u8>> {
    let item = cbor::read(object).ok()?;
    let mut m = Writer::new();
    m.map(3)
        .unsigned(1)
        .raw(item.named("fmt")?.raw)
        .unsigned(2)
        .raw(item.named("authData")?.raw);
    m.unsigned(3).raw(item.named("attStmt")?.raw);
    Some(m.into_bytes())
}

#[test]
fn a_real_reply_decodes() {
    let Some(path) = corpus("malformed/ctap-wiredata_ctap_cbor_cred.bin") else {
        return;
    };
    let message = std::fs::read(path).unwrap();
    assert_eq!(message[0], 0);
    let made = NewCredential::read(&message[1..], "localhost").unwrap();
    assert_eq!(
        (made.format.as_str(), made.credential_id.len()),
        ("packed", 64)
    );
    assert_eq!(
        NewCredential::read(&message[1..], "example.com"),
        Err(ReplyError::Invalid("rpIdHash").into())
    );
}

#[test]
fn malformed_replies_are_refused_in_bounded_memory() {
    let Some(index) = corpus("malformed/index.json") else {
        return;
    };
    let folder = index.parent().unwrap();
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let mut seen = 0;
    for entry in index.as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        if !(file.starts_with("att-") || file.starts_with("authdata-")) {
            continue;
        }
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let (read, peak) = allocation::peak(|| cbor::read(&bytes).map(|_| ()));
        assert!(peak < 2 << 20, "{file}: {peak} bytes");
        let refused = match (read, as_reply(&bytes)) {
            (Err(_), _) => true,
            (Ok(()), None) => true,
            // x5c and alg are the verifier's; everything that is framing or authenticator data is ours.
            (Ok(()), Some(reply)) => NewCredential::read(&reply, "example.org").is_err(),
        };
        let verifiers = [
            "att-x5c-string.cbor",
            "att-alg-string.cbor",
            "authdata-cose-short-x.cbor",
            "authdata-cose-alg-missing.cbor",
        ];
        assert_eq!(refused, !verifiers.contains(&file), "{file}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen} files");
    let nested = std::fs::read(folder.join("att-nested-maps-5000.cbor")).unwrap();
    assert_eq!(cbor::read(&nested).unwrap_err(), CborError::Depth);
    let duplicate = std::fs::read(folder.join("authdata-cose-dup-keys.cbor")).unwrap();
    let refused = NewCredential::read(&as_reply(&duplicate).unwrap(), "example.org");
    assert_eq!(
        refused,
        Err(Error::Wire(WireError::Reply(ReplyError::Cbor(
            CborError::DuplicateKey
        ))))
    );
}

#[test]
fn attestation_objects_of_real_keys_are_rebuilt_byte_for_byte() {
    let Some(path) = corpus("registrations.jsonl") else {
        return;
    };
    let mut rebuilt = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["derived"] != false
            || !matches!(record["fmt"].as_str(), Some("packed" | "fido-u2f" | "none"))
        {
            continue;
        }
        let object = URL_SAFE_NO_PAD
            .decode(record["attestation_object_b64url"].as_str().unwrap())
            .unwrap();
        let (Some(reply), Some(rp_id)) = (as_reply(&object), record["rp_id"].as_str()) else {
            continue;
        };
        let Ok(made) = NewCredential::read(&reply, rp_id) else {
            continue;
        };
        // Servers' own test data is not always in canonical order; what authenticators produce is.
        if cbor::is_canonical(&object) {
            assert_eq!(made.attestation_object(), object, "{}", record["id"]);
            rebuilt += 1;
        }
    }
    assert!(rebuilt >= 10, "{rebuilt} objects");
}

#[test]
fn certificates_of_real_cards_tell_their_kind_of_key() {
    let Some(folder) = corpus("piv") else { return };
    let mut kinds = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let pem = std::fs::read_to_string(&entry).unwrap();
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = base64::engine::general_purpose::STANDARD
            .decode(body)
            .unwrap();
        let kind = KeyKind::of_certificate(&der).unwrap_or_else(|| panic!("{}", entry.display()));
        *kinds.entry(format!("{kind:?}")).or_insert(0) += 1;
        for length in 0..der.len() {
            assert_eq!(
                KeyKind::of_certificate(&der[..length]),
                None,
                "{} cut at {length}",
                entry.display()
            );
        }
    }
    assert!(
        kinds.contains_key("P256") && kinds.contains_key("Rsa2048"),
        "{kinds:?}"
    );
}
