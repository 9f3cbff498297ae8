//! `sceau-verify registration | metadata` as auditors run it: JSON in, one JSON object out, exit statuses.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sceau_proof::base64url;
use serde_json::{Value, json};

use crate::maker::{
    AAGUID, Ceremony, Draft, Identity, Publisher, Statement, entry, payload, report,
};

const AT: &str = "2026-11-21T12:00:00Z";

fn sceau_verify(arguments: &[&str], input: &[u8]) -> (Value, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        serde_json::from_slice(&output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}

fn case(ceremony: &Ceremony, object: &[u8]) -> Vec<u8> {
    json!({
        "rp_id": "sceau.example", "origins": ["https://sceau.example"], "challenge": base64url::encode(&ceremony.expectation.challenge), "require_uv": true,
        "response": {"client_data_json": base64url::encode(ceremony.client_data_json()), "attestation_object": base64url::encode(object)},
    })
    .to_string()
    .into_bytes()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn folder(&self, name: &str) -> String {
        self.0
            .path()
            .join(Path::new(name))
            .to_string_lossy()
            .into_owned()
    }
}

#[test]
fn a_registration_gets_three_verdicts() {
    let place = Place::new();
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = root.issue(Draft::leaf());
    let ceremony = Ceremony::new();
    let case = case(&ceremony, &ceremony.packed(&leaf, &[]));
    place.write("anchors/racine.pem", pem(&root.der));
    let anchors = place.folder("anchors");

    let (found, status) = sceau_verify(&["registration", "-"], &case);
    assert_eq!(
        (
            &found["statement"],
            &found["trust"],
            &found["policy"],
            status
        ),
        (
            &json!("verified"),
            &json!("not-evaluated"),
            &json!("not-evaluated"),
            0
        )
    );

    let (found, status) = sceau_verify(
        &["registration", "-", "--at", AT, "--anchors", &anchors],
        &case,
    );
    assert_eq!((&found["trust"], status), (&json!("trusted"), 0));
    assert_eq!(found["anchor"], "CN=Racine");
    assert_eq!(
        found["trust_path"],
        json!(["CN=Modele 1,OU=Authenticator Attestation,O=Fabricant,C=FR"])
    );
    assert_eq!(found["fmt"], "packed");
    assert_eq!(found["attestation_type"], "basic");
    assert_eq!(found["alg"], -7);
    assert_eq!(found["aaguid"], uuid::Uuid::from_bytes(AAGUID).to_string());
    assert_eq!(
        found["credential_id"],
        base64url::encode(&ceremony.credential_id)
    );
    assert_eq!(
        found["public_key_cose"],
        base64url::encode(ceremony.credential.cose())
    );
    assert_eq!(
        (&found["up"], &found["uv"], &found["be"], &found["bs"]),
        (&json!(true), &json!(true), &json!(false), &json!(false))
    );
    assert_eq!(found["second_opinion"], "agrees");

    let (found, status) = sceau_verify(&["registration", "-", "--anchors", &anchors], &case);
    assert_eq!(
        (&found["trust_reason"], status),
        (&json!("time-not-given"), 1)
    );

    let (found, status) = sceau_verify(
        &[
            "registration",
            "-",
            "--at",
            AT,
            "--anchors",
            &anchors,
            "--policy",
            "default",
        ],
        &case,
    );
    assert_eq!(
        (&found["policy_reason"], status),
        (&json!("certification-too-low"), 1)
    );

    place.write("anchors/anchors.toml", "version = 1\n[[anchor]]\nfile = \"racine.pem\"\naaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]\n");
    let (found, status) = sceau_verify(
        &["registration", "-", "--at", AT, "--anchors", &anchors],
        &case,
    );
    assert_eq!(
        (&found["trust"], &found["trust_reason"], status),
        (&json!("untrusted"), &json!("aaguid-not-of-anchor"), 1)
    );
}

#[test]
fn takes_cases_and_folders_as_they_come() {
    let place = Place::new();
    let root = Identity::root(Draft::authority("Racine"));
    let ceremony = Ceremony::new();
    let bytes = case(&ceremony, &ceremony.packed(&root.issue(Draft::leaf()), &[]));
    let mut with_nulls: Value = serde_json::from_slice(&bytes).unwrap();
    with_nulls["require_uv"] = Value::Null;
    with_nulls["allow_cross_origin"] = Value::Null;
    with_nulls["note"] = json!("nobody's");
    let crlf = format!(
        "\u{feff}subject=Racine\r\n{}",
        pem(&root.der).replace('\n', "\r\n")
    );
    for (name, certificate) in [
        ("a.pem", crlf.into_bytes()),
        ("a.crt", pem(&root.der).trim().as_bytes().to_vec()),
        ("A.DER", root.der.clone()),
    ] {
        let folder = format!("anchors-{name}");
        place.write(&format!("{folder}/{name}"), certificate);
        place.write(&format!("{folder}/index.json"), "[]");
        place.write(&format!("{folder}/inner.pem/README"), "a folder");
        let anchors = place.folder(&folder);
        let at = "2026-11-21T13:00:00.5+01:00";
        let (found, status) = sceau_verify(
            &[
                "registration",
                "--json",
                "-",
                "--at",
                at,
                "--anchors",
                &anchors,
            ],
            with_nulls.to_string().as_bytes(),
        );
        assert_eq!(
            (&found["trust"], status),
            (&json!("trusted"), 0),
            "{name}: {found}"
        );
    }
}

#[test]
fn a_registration_is_judged_by_metadata_and_policy() {
    let place = Place::new();
    let publisher = Publisher::new();
    let root = Identity::root(Draft::authority("Racine"));
    let ceremony = Ceremony::new();
    let case = case(&ceremony, &ceremony.packed(&root.issue(Draft::leaf()), &[]));
    let metadata_root = place.write("root.pem", pem(&publisher.root.der));
    let judged = |status: &str| {
        let blob = place.write(
            "blob.jwt",
            publisher.sign(
                &publisher.header(),
                &payload(&[entry(&root, &json!([report(status)]))]),
            ),
        );
        sceau_verify(
            &[
                "registration",
                "-",
                "--at",
                AT,
                "--metadata",
                &blob,
                "--metadata-root",
                &metadata_root,
                "--policy",
                "default",
                "--role",
                "manager",
            ],
            &case,
        )
    };
    let (found, status) = judged("FIDO_CERTIFIED_L1");
    assert_eq!(
        (&found["policy"], &found["model"], status),
        (&json!("accepted"), &json!("Modele 1"), 0)
    );
    let (found, status) = judged("REVOKED");
    assert_eq!(
        (&found["trust_reason"], &found["policy_reason"], status),
        (&json!("revoked"), &json!("not-trusted"), 1)
    );
    let other = place.write("other.pem", pem(&root.der));
    let blob = place.write(
        "blob.jwt",
        publisher.sign(&publisher.header(), &payload(&[])),
    );
    let (found, status) = sceau_verify(
        &[
            "registration",
            "-",
            "--at",
            AT,
            "--metadata",
            &blob,
            "--metadata-root",
            &other,
        ],
        &case,
    );
    assert_eq!(
        (
            &found["trust"],
            &found["trust_reason"],
            &found["metadata_reason"],
            status
        ),
        (
            &json!("untrusted"),
            &json!("metadata-rejected"),
            &json!("unknown-root"),
            1
        )
    );
}

#[test]
fn a_rejected_registration_shows_its_claims_and_malformed_input_is_malformed() {
    let ceremony = Ceremony::new();
    let object = ceremony.object("android-safetynet", &Statement::default());
    let (found, status) = sceau_verify(&["registration", "-"], &case(&ceremony, &object));
    assert_eq!(
        (&found["statement_reason"], status),
        (&json!("unsupported-format-android-safetynet"), 1)
    );
    assert_eq!(
        (&found["fmt"], &found["trust"], &found["trust_reason"]),
        (
            &json!("android-safetynet"),
            &json!("not-evaluated"),
            &json!("statement-rejected")
        )
    );
    let (found, status) = sceau_verify(&["registration", "-"], &case(&ceremony, b"\xff"));
    assert_eq!(
        (&found["statement_reason"], &found["aaguid"], status),
        (&json!("attestation-object-malformed"), &Value::Null, 1)
    );
    for input in [&b"{}"[..], b"not json", b""] {
        let (found, status) = sceau_verify(&["registration", "-"], input);
        assert_eq!((&found["error"], status), (&json!("malformed-input"), 2));
    }
}

#[test]
fn a_blob_is_accepted_or_rejected_with_its_word() {
    let place = Place::new();
    let publisher = Publisher::new();
    let root = place.write("root.pem", pem(&publisher.root.der));
    let maker = Identity::root(Draft::authority("Racine"));
    let reports =
        json!([report("FIDO_CERTIFIED_L1"), {"status": "REVOKED", "effectiveDate": "2027-01-01"}]);
    let blob = place.write(
        "blob.jwt",
        publisher.sign(
            &publisher.header(),
            &payload(&[entry(&maker, &reports), json!(7)]),
        ),
    );
    let model = uuid::Uuid::from_bytes(AAGUID).to_string();
    let ask =
        |more: &[&str]| sceau_verify(&[&["metadata", &blob, "--root", &root], more].concat(), b"");

    let (found, status) = ask(&["--at", AT]);
    assert_eq!(status, 0);
    assert_eq!(
        found,
        json!({"verdict": "accepted", "reason": "accepted", "no": 7, "next_update": "2026-12-01", "entries": 1, "stale": false, "problems": [{"entry": 1, "what": "entry does not parse"}]})
    );
    let (found, status) = ask(&["--at", AT, "--aaguid", &model]);
    assert_eq!(
        (&found["status"], &found["status_reason"], status),
        (&json!("acceptable"), &json!("certified-l1"), 0)
    );
    assert_eq!(
        found["history"][1],
        json!({"status": "REVOKED", "effective_date": "2027-01-01", "sunset_date": null, "authenticator_version": null, "in_effect": false})
    );
    let (found, status) = ask(&["--at", "2027-01-01T00:00:00Z", "--aaguid", &model]);
    assert_eq!(
        (
            &found["status"],
            &found["status_reason"],
            &found["stale"],
            status
        ),
        (&json!("unacceptable"), &json!("revoked"), &json!(true), 1)
    );
    let (found, status) = ask(&[
        "--at",
        AT,
        "--aaguid",
        "2fc0579f-8113-47ea-b116-bb5a8db9202a",
    ]);
    assert_eq!((&found["status"], status), (&json!("unknown"), 1));
    let (found, status) = ask(&["--at", AT, "--seen-no", "8"]);
    assert_eq!(
        (&found["verdict"], &found["reason"], status),
        (&json!("rejected"), &json!("rollback"), 1)
    );
    let (found, status) = ask(&["--at", AT, "--leaf-name", "other.example"]);
    assert_eq!(
        (&found["reason"], status),
        (&json!("leaf-name-mismatch"), 1)
    );
}
