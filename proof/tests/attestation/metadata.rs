//! Metadata BLOBs: real ones verify in their time, and each thing that may be wrong with one has its own word.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sceau_proof::authenticator_data::Aaguid;
use sceau_proof::certificate::Certificate;
use sceau_proof::metadata::status::{Certification, Standing};
use sceau_proof::metadata::{
    LEAF_NAME, Metadata, MetadataError, MetadataExpectation, PRODUCTION_ROOT,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::corpus::corpus;
use crate::maker::{AAGUID, Draft, Identity, NOW, Publisher, entry, payload, report};

fn ours() -> Aaguid {
    Aaguid::new(AAGUID)
}

fn real(
    blob: &str,
    root: &str,
    leaf_name: &str,
    at: OffsetDateTime,
) -> Option<Result<Metadata, MetadataError>> {
    let blob = std::fs::read(corpus(&format!("mds/{blob}"))?).unwrap();
    let roots =
        Certificate::from_pem(&std::fs::read(corpus(&format!("mds/{root}"))?).unwrap()).unwrap();
    Some(Metadata::verify(
        &blob,
        &MetadataExpectation {
            roots: &roots,
            leaf_name,
            seen_no: None,
            at,
        },
    ))
}

#[test]
fn the_real_list_verifies_in_its_life_and_not_after() {
    let at = |at| {
        real(
            "blob-no122-2024-12-20.jwt",
            "roots/globalsign_r3_simplewebauthn.pem",
            LEAF_NAME,
            at,
        )
    };
    let Some(Ok(metadata)) = at(datetime!(2024-12-24 00:00:00 UTC)) else {
        return;
    };
    assert_eq!((metadata.no(), metadata.entries().len()), (122, 281));
    assert!(
        !metadata.is_stale(datetime!(2025-01-01 23:00:00 UTC))
            && metadata.is_stale(datetime!(2025-01-02 00:00:00 UTC))
    );
    // Entry 60 has two certificates glued into one; its other roots, and the entry, stay.
    assert_eq!(metadata.problems().len(), 1);
    let standing = |aaguid: &str| {
        metadata
            .by_aaguid(aaguid.parse().unwrap())
            .unwrap()
            .standing(datetime!(2024-12-24 00:00:00 UTC), &[])
    };
    assert_eq!(
        standing("2fc0579f-8113-47ea-b116-bb5a8db9202a"),
        Standing::Acceptable {
            certification: Certification::L1,
            retired: false
        }
    );
    assert_eq!(
        standing("ba86dc56-635f-4141-aef6-00227b1b9af6"),
        Standing::Fatal("revoked")
    );
    let reason = |at_time| at(at_time).unwrap().unwrap_err().reason();
    assert_eq!(
        reason(datetime!(2026-11-21 00:00:00 UTC)),
        "certificate-expired"
    );
    assert_eq!(
        reason(datetime!(2024-01-01 00:00:00 UTC)),
        "certificate-not-yet-valid"
    );
}

#[test]
fn the_conformance_list_verifies_under_its_fake_root() {
    let named = |name| {
        real(
            "conformance-26448d4d.jwt",
            "roots/MDS3ROOT.crt.pem",
            name,
            datetime!(2023-01-01 00:00:00 UTC),
        )
    };
    let Some(Ok(metadata)) = named("FAKE Metadata 3 BLOB Signing Signer 4 FAKE") else {
        return;
    };
    assert_eq!((metadata.no(), metadata.entries().len()), (42, 200));
    assert_eq!(
        named(LEAF_NAME).unwrap().unwrap_err(),
        MetadataError::LeafName
    );
    let fatal = metadata
        .entries()
        .iter()
        .filter(|entry| matches!(entry.standing(NOW, &[]), Standing::Fatal(_)))
        .count();
    assert_eq!(
        fatal, 16,
        "5 bypasses, 8 key compromises, 3 attestation key compromises"
    );
}

#[test]
fn made_lists_are_judged_as_made() {
    let made = |name: &str| {
        real(
            &format!("made/{name}"),
            "made/test-root.pem",
            LEAF_NAME,
            NOW,
        )
    };
    let Some(Ok(good)) = made("ok-no291.jwt") else {
        return;
    };
    assert_eq!(
        (good.no(), good.entries().len(), good.problems().len()),
        (291, 28, 0)
    );
    assert_eq!(
        made("tampered-payload.jwt").unwrap().unwrap_err(),
        MetadataError::Signature
    );
    assert_eq!(
        made("expired-signer.jwt").unwrap().unwrap_err().reason(),
        "certificate-expired"
    );
    let elsewhere = real(
        "made/ok-no291.jwt",
        "roots/globalsign_r3_simplewebauthn.pem",
        LEAF_NAME,
        NOW,
    )
    .unwrap();
    assert_eq!(elsewhere.unwrap_err().reason(), "unknown-root");
}

/// The reason for a BLOB whose header or payload was changed before signing.
fn signed_with(change: impl FnOnce(&mut Value, &mut Value)) -> &'static str {
    let publisher = Publisher::new();
    let (mut header, mut payload) = (publisher.header(), payload(&[]));
    change(&mut header, &mut payload);
    publisher
        .verify(&publisher.sign(&header, &payload))
        .map_or_else(MetadataError::reason, |_| "accepted")
}

#[test]
fn refuses_headers_that_it_must_not_follow() {
    assert_eq!(signed_with(|_, _| ()), "accepted");
    assert_eq!(
        signed_with(|h, _| h["alg"] = json!("none")),
        "algorithm-none"
    );
    assert_eq!(
        signed_with(|h, _| h["alg"] = json!("HS256")),
        "algorithm-unsupported"
    );
    assert_eq!(
        signed_with(|h, _| h["alg"] = json!("RS256")),
        "algorithm-unsupported"
    );
    assert_eq!(
        signed_with(|h, _| h["x5u"] = json!("https://evil.example/signer.pem")),
        "x5u-refused"
    );
    assert_eq!(
        signed_with(|h, _| h["jku"] = json!("https://evil.example/jwks.json")),
        "x5u-refused"
    );
    assert_eq!(
        signed_with(|h, _| h["crit"] = json!(["b64"])),
        "header-malformed"
    );
    assert_eq!(signed_with(|h, _| h["alg"] = json!(7)), "header-malformed");
    assert_eq!(signed_with(|h, _| h["x5c"] = json!([])), "x5c-missing");
    assert_eq!(
        signed_with(|h, _| drop(h.as_object_mut().unwrap().remove("x5c"))),
        "x5c-missing"
    );
    assert_eq!(
        signed_with(|h, _| h["x5c"] = json!(["MAA="])),
        "certificate-malformed"
    );
    assert_eq!(
        signed_with(|h, _| h["x5c"] = json!(["*"])),
        "certificate-malformed"
    );
}

#[test]
fn an_unsigned_list_is_refused_whatever_it_says() {
    let publisher = Publisher::new();
    let good = publisher.sign(&publisher.header(), &payload(&[]));
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        publisher.verify(&format!("{signed}.")).unwrap_err(),
        MetadataError::Signature
    );
    assert_eq!(publisher.verify(signed).unwrap_err(), MetadataError::NotJws);
    assert_eq!(
        publisher.verify(&format!("{good}.{good}")).unwrap_err(),
        MetadataError::NotJws
    );
    assert_eq!(publisher.verify("").unwrap_err(), MetadataError::NotJws);
    assert_eq!(publisher.verify(&format!(" {good}\n")).unwrap().no(), 7);
    let other = Publisher::new();
    let mut header = publisher.header();
    header["x5c"] = other.header()["x5c"].clone();
    assert_eq!(
        publisher
            .verify(&publisher.sign(&header, &payload(&[])))
            .unwrap_err()
            .reason(),
        "chain-signature-invalid"
    );
    // Header and chain of the right publisher, signature of another.
    assert_eq!(
        publisher
            .verify(&other.sign(&publisher.header(), &payload(&[])))
            .unwrap_err(),
        MetadataError::Signature
    );
}

#[test]
fn the_signer_must_bear_the_name_and_be_valid() {
    let judged = |leaf: Draft| {
        let publisher = Publisher::with_leaf(leaf);
        publisher
            .verify(&publisher.sign(&publisher.header(), &payload(&[])))
            .map_or_else(MetadataError::reason, |_| "accepted")
    };
    let without = || Publisher::leaf().without(sceau_proof::certificate::oid::SUBJECT_ALT_NAME);
    assert_eq!(judged(Publisher::leaf()), "accepted");
    assert_eq!(judged(without()), "leaf-name-mismatch");
    assert_eq!(judged(without().named(3, Some(LEAF_NAME))), "accepted");
    // With DNS names, the common name does not count.
    let other = crate::maker::sequence(&[crate::maker::der(0x82, b"evil.example")]);
    let both = without().named(3, Some(LEAF_NAME)).with(
        sceau_proof::certificate::oid::SUBJECT_ALT_NAME,
        false,
        other,
    );
    assert_eq!(judged(both), "leaf-name-mismatch");
    let mut expired = Publisher::leaf();
    expired.not_after = "20260101000000Z";
    assert_eq!(judged(expired), "certificate-expired");
}

#[test]
fn the_number_never_goes_back() {
    // The publisher has seen 7.
    assert_eq!(signed_with(|_, p| p["no"] = json!(6)), "rollback");
    assert_eq!(signed_with(|_, p| p["no"] = json!(8)), "accepted");
    assert_eq!(
        signed_with(|_, p| p["no"] = json!("8")),
        "payload-malformed"
    );
    assert_eq!(
        signed_with(|_, p| p["nextUpdate"] = json!("soon")),
        "payload-malformed"
    );
    assert_eq!(
        signed_with(|_, p| drop(p.as_object_mut().unwrap().remove("entries"))),
        "payload-malformed"
    );
    assert_eq!(
        signed_with(|_, p| p["somethingNew"] = json!({"a": 1})),
        "accepted"
    );
}

#[test]
fn one_bad_entry_loses_only_itself() {
    let root = Identity::root(Draft::authority("Racine"));
    let good = entry(&root, &json!([report("FIDO_CERTIFIED")]));
    let publisher = Publisher::new();
    for bad in [
        json!(7),
        json!({}),
        json!({"aaguid": "x", "statusReports": []}),
        json!({"statusReports": [{"effectiveDate": "2020-01-01"}]}),
    ] {
        let metadata = publisher.publish(&[bad.clone(), good.clone()]);
        assert_eq!(
            (metadata.entries().len(), metadata.problems().len()),
            (1, 1),
            "{bad}"
        );
        assert_eq!(metadata.problems()[0].position, 0);
        assert!(metadata.by_aaguid(ours()).is_some());
    }
    let mut with_bad_root = good;
    with_bad_root["metadataStatement"]["attestationRootCertificates"] =
        json!(["MAA=", STANDARD.encode(&root.der)]);
    let metadata = publisher.publish(&[with_bad_root]);
    assert_eq!(
        (
            metadata.by_aaguid(ours()).unwrap().roots().count(),
            metadata.problems().len()
        ),
        (1, 1)
    );
}

/// An entry that does not parse may have been a revocation: whom it is about is kept, and nothing good is believed of it.
#[test]
fn an_unreadable_entry_speaks_against_its_model() {
    let root = Identity::root(Draft::authority("Racine"));
    for reports in [
        json!([report("REVOKED"), {"status": 7}]),
        json!([report("FIDO_CERTIFIED"), null]),
        json!("REVOKED"),
        Value::Null,
    ] {
        let metadata = Publisher::new().publish(&[entry(&root, &reports)]);
        let found = metadata.by_aaguid(ours()).unwrap();
        assert_eq!(
            found.standing(NOW, &[]),
            Standing::Unknown("status-unknown"),
            "{reports}"
        );
        assert_eq!((found.roots().count(), metadata.problems().len()), (0, 1));
    }
    let mut nameless = entry(&root, &json!([report("FIDO_CERTIFIED")]));
    nameless["aaguid"] = Value::Null;
    nameless["attestationCertificateKeyIdentifiers"] =
        json!(["bf12365afcb14d3dd820be7ec4be163cb7c85de0"]);
    nameless["metadataStatement"] = json!(7);
    let metadata = Publisher::new().publish(&[nameless]);
    let mut id = [0; 20];
    hex::decode_to_slice("bf12365afcb14d3dd820be7ec4be163cb7c85de0", &mut id).unwrap();
    let found = metadata.by_key_identifier(&id).unwrap();
    assert!(!found.standing(NOW, &[]).is_acceptable());
}

#[test]
fn bad_news_of_a_second_entry_counts() {
    let root = Identity::root(Draft::authority("Racine"));
    let clean = entry(&root, &json!([report("FIDO_CERTIFIED")]));
    let second = |status| {
        let second = entry(&root, &json!([report(status)]));
        let metadata = Publisher::new().publish(&[clean.clone(), second]);
        metadata
            .by_aaguid(ours())
            .unwrap()
            .standing(NOW, &[])
            .reason()
    };
    assert_eq!(second("REVOKED"), "revoked");
    assert_eq!(second("NEVER_HEARD_OF"), "status-unknown");
    assert_eq!(second("FIDO_CERTIFIED_L3"), "certified");
}

#[test]
fn a_second_entry_cannot_undo_the_first() {
    let root = Identity::root(Draft::authority("Racine"));
    let revoked = entry(&root, &json!([report("REVOKED")]));
    let clean = entry(&root, &json!([report("FIDO_CERTIFIED_L3")]));
    let metadata = Publisher::new().publish(&[revoked, clean]);
    assert_eq!(
        metadata.by_aaguid(ours()).unwrap().standing(NOW, &[]),
        Standing::Fatal("revoked")
    );
    assert_eq!(metadata.problems().len(), 1);
}

/// Status histories and what each comes to, as data: `tests/attestation/status_histories.json` says where else it is used.
#[test]
fn every_recorded_history_comes_to_what_it_must() {
    let text = include_str!("status_histories.json");
    let document: Value = serde_json::from_str(text).unwrap();
    let root = Identity::root(Draft::authority("Racine"));
    let publisher = Publisher::new();
    let cases = document["histories"].as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let metadata = publisher.publish(&[entry(&root, &case["reports"])]);
        let standing = metadata.by_aaguid(ours()).unwrap().standing(NOW, &[]);
        assert_eq!(
            standing.is_acceptable(),
            case["acceptable"] == true,
            "{}",
            case["name"]
        );
        assert_eq!(standing.reason(), case["reason"], "{}", case["name"]);
    }
}

#[test]
fn a_batch_report_concerns_its_batch() {
    let root = Identity::root(Draft::authority("Racine"));
    let (bad, good) = (root.issue(Draft::leaf()), root.issue(Draft::leaf()));
    let mut compromise = report("ATTESTATION_KEY_COMPROMISE");
    compromise["batchCertificate"] = json!(STANDARD.encode(&bad.der));
    let metadata = Publisher::new().publish(&[entry(
        &root,
        &json!([report("FIDO_CERTIFIED"), compromise.clone()]),
    )]);
    let model = metadata.by_aaguid(ours()).unwrap();
    let standing = |chain: &[Certificate]| model.standing(NOW, chain).reason();
    assert_eq!(standing(&[bad.certificate()]), "attestation-key-compromise");
    assert_eq!(standing(&[good.certificate()]), "certified");
    assert_eq!(standing(&[]), "attestation-key-compromise");
    // A batch named by its issuer, which no statement carries.
    compromise["batchCertificate"] = json!(STANDARD.encode(&root.der));
    let metadata = Publisher::new().publish(&[entry(&root, &json!([compromise.clone()]))]);
    let of_root = metadata.by_aaguid(ours()).unwrap();
    assert_eq!(
        of_root.standing(NOW, &[good.certificate()]).reason(),
        "attestation-key-compromise"
    );
    let elsewhere = Identity::root(Draft::authority("Autre")).issue(Draft::leaf());
    assert_ne!(
        of_root.standing(NOW, &[elsewhere.certificate()]).reason(),
        "attestation-key-compromise"
    );
    // A certificate that does not parse limits nothing.
    compromise["batchCertificate"] = json!("MAA=");
    let metadata = Publisher::new().publish(&[entry(&root, &json!([compromise]))]);
    assert_eq!(
        metadata
            .by_aaguid(ours())
            .unwrap()
            .standing(NOW, &[good.certificate()])
            .reason(),
        "attestation-key-compromise"
    );
}

#[test]
fn a_report_about_old_firmware_is_lifted_by_a_later_one_that_the_leaf_proves() {
    const FIRMWARE: &[u8] = &[
        0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xe5, 0x1c, 0x01, 0x01, 0x05,
    ];
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = |version: u8| {
        root.issue(Draft::leaf().with(FIRMWARE, false, crate::maker::der(2, &[version])))
            .certificate()
    };
    let versioned = |status: &str, version: u64| json!({"status": status, "effectiveDate": "2026-01-01", "authenticatorVersion": version});
    let standing = |reports: Value, chain: &[Certificate]| {
        Publisher::new()
            .publish(&[entry(&root, &reports)])
            .by_aaguid(ours())
            .unwrap()
            .standing(NOW, chain)
            .reason()
    };
    let cured = || {
        json!([
            versioned("USER_VERIFICATION_BYPASS", 2),
            versioned("FIDO_CERTIFIED_L1", 3)
        ])
    };
    assert_eq!(standing(cured(), &[leaf(3)]), "certified-l1");
    assert_eq!(standing(cured(), &[leaf(4)]), "certified-l1");
    assert_eq!(standing(cured(), &[leaf(2)]), "user-verification-bypass");
    assert_eq!(
        standing(cured(), &[root.issue(Draft::leaf()).certificate()]),
        "user-verification-bypass"
    );
    let not_yet = json!([
        versioned("USER_VERIFICATION_BYPASS", 2),
        versioned("FIDO_CERTIFIED_L1", 1)
    ]);
    assert_eq!(standing(not_yet, &[leaf(3)]), "user-verification-bypass");
    let revoked = json!([versioned("REVOKED", 2), versioned("FIDO_CERTIFIED_L1", 3)]);
    assert_eq!(standing(revoked, &[leaf(3)]), "revoked");
}

#[test]
fn ten_megabytes_load_within_their_budget() {
    let root = Identity::root(Draft::authority("Racine"));
    let icon = format!("data:image/png;base64,{}", "A".repeat(20_000));
    let entries: Vec<Value> = (0..380_u128)
        .map(|number| {
            let mut entry = entry(&root, &json!([report("FIDO_CERTIFIED_L1")]));
            entry["aaguid"] = json!(uuid::Uuid::from_u128(number + 1).to_string());
            entry["metadataStatement"]["icon"] = json!(icon);
            entry
        })
        .collect();
    let publisher = Publisher::new();
    let blob = publisher.sign(&publisher.header(), &payload(&entries));
    assert!(blob.len() > 10 << 20, "{}", blob.len());
    #[allow(clippy::disallowed_methods, reason = "the test measures")]
    let start = std::time::Instant::now();
    let metadata = publisher.verify(&blob).unwrap();
    assert_eq!(metadata.entries().len(), 380);
    assert!(
        start.elapsed().as_secs_f64() < 2.0,
        "unoptimised, on a loaded machine; the bench has the real figure"
    );
    if let Ok(status) = std::fs::read_to_string(Path::new("/proc/self/status")) {
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        // The test itself holds the entries as JSON and the BLOB; still under the budget.
        assert!(peak.is_none_or(|kib| kib < 120 * 1024), "{peak:?}");
    }
}

#[test]
fn the_shipped_root_is_the_one_of_the_real_list() {
    let roots = Certificate::from_pem(PRODUCTION_ROOT.as_bytes()).unwrap();
    assert_eq!(roots.len(), 1);
    assert_eq!(
        hex::encode(crate::maker::sha256(roots[0].der())),
        "cbb522d7b7f127ad6a0113865bdf1cd4102e7d0759af635a7cf4720dc963c53b"
    );
    let Some(path) = corpus("mds/blob-no122-2024-12-20.jwt") else {
        return;
    };
    let blob = std::fs::read(path).unwrap();
    let at = datetime!(2024-12-24 00:00:00 UTC);
    let expectation = MetadataExpectation {
        roots: &roots,
        leaf_name: LEAF_NAME,
        seen_no: None,
        at,
    };
    assert!(Metadata::verify(&blob, &expectation).is_ok());
}
