//! For every check of the verifier, vectors that fail that check and no other (`testdata/assertion/`).
//!
//! Each vector is an accepted case with one thing changed and, where the authenticator would sign it, signed again; where a relying party can
//! expect otherwise, the vector with that expectation relaxed is accepted, which shows that nothing else was wrong with it. The key is Ed25519,
//! whose signatures are deterministic, so the files are exactly what this code makes: `SCEAU_REGENERATE=1 cargo test -p sceau-proof --test assertion`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sceau_proof::assertion::REASONS;
use sceau_proof::base64url::encode;
use serde_json::{Value, json};

use crate::command::assertion;
use crate::forge::{self, Assertion, CHALLENGE, CREDENTIAL, Key, ORIGIN, RP_ID, client_data, cose};

type Change = Box<dyn Fn(&mut Value)>;

struct Vector {
    name: String,
    reason: &'static str,
    case: Value,
    /// What the relying party would have to expect for the rest to be accepted.
    relaxed: Option<Change>,
}

impl Vector {
    fn relax(mut self, change: impl Fn(&mut Value) + 'static) -> Vector {
        self.relaxed = Some(Box::new(change));
        self
    }
}

fn key() -> Key {
    Key::ed25519(1)
}

/// The accepted case with another assertion, signed.
fn signed(reason: &'static str, detail: &str, change: impl FnOnce(&mut Assertion)) -> Vector {
    let mut assertion = Assertion::default();
    change(&mut assertion);
    vector(reason, detail, forge::case(&key(), &assertion.sign(&key())))
}

/// The accepted case with other expectations, or bytes changed after the signature.
fn changed(reason: &'static str, detail: &str, change: impl FnOnce(&mut Value)) -> Vector {
    let mut case = forge::case(&key(), &Assertion::default().sign(&key()));
    change(&mut case);
    vector(reason, detail, case)
}

fn vector(reason: &'static str, detail: &str, case: Value) -> Vector {
    let name = if detail.is_empty() {
        reason.to_owned()
    } else {
        format!("{reason}.{detail}")
    };
    Vector {
        name,
        reason,
        case,
        relaxed: None,
    }
}

fn with(changes: &[(&str, Value)]) -> impl FnOnce(&mut Assertion) {
    let client_data = client_data(changes);
    move |assertion| assertion.client_data = client_data
}

fn raw(text: impl Into<Vec<u8>>) -> impl FnOnce(&mut Assertion) {
    let text = text.into();
    move |assertion| assertion.client_data = text
}

fn text(changes: &[(&str, Value)]) -> String {
    String::from_utf8(client_data(changes)).unwrap()
}

/// AAGUID, length of the credential ID, credential ID, public key.
fn attested(length: u16, id: &[u8], public_key: &[u8]) -> Vec<u8> {
    [&[0xaa; 16], &length.to_be_bytes()[..], id, public_key].concat()
}

fn accepted() -> Vec<Vector> {
    let all = "accepted";
    vec![
        changed(all, "", |_| ()),
        signed(
            all,
            "agent-origin",
            with(&[("origin", json!("sceau-agent://sceau.example"))]),
        ),
        signed(
            all,
            "without-cross-origin",
            with(&[("crossOrigin", Value::Null)]),
        ),
        signed(
            all,
            "unknown-member",
            with(&[("other_keys_can_be_added_here", json!({"deep": [1.5, null]}))]),
        ),
        signed(
            all,
            "escaped",
            raw(text(&[]).replace("webauthn.get", "webauthn\\u002eget")),
        ),
        signed(
            all,
            "byte-order-mark",
            raw(format!("\u{feff}{}", text(&[]))),
        ),
        signed(all, "extensions", |a| {
            a.flags |= 0x80;
            a.tail = vec![0xa1, 0x61, b'x', 0x01];
        }),
        signed(all, "extensions-of-indefinite-length", |a| {
            a.flags |= 0x80;
            a.tail = vec![0xbf, 0x61, b'x', 0x01, 0xff];
        }),
        signed(all, "attested-credential", |a| {
            a.flags |= 0x40;
            a.tail = attested(16, &CREDENTIAL, &key().cose);
        }),
        signed(all, "reserved-flags", |a| a.flags |= 0x22),
        {
            let mut vector = signed(all, "no-counter", |a| a.sign_count = 0);
            vector.case["stored_sign_count"] = json!(0);
            vector
        },
        {
            let mut vector = signed(all, "backed-up", |a| a.flags |= 0x18);
            vector.case["stored_backup_eligible"] = json!(true);
            vector
        },
    ]
}

fn client_data_vectors() -> Vec<Vector> {
    let duplicate = |from: &str, to: &str| raw(text(&[("z", json!(0))]).replacen(from, to, 1));
    let mut vectors = vec![
        signed(
            "client-data-too-long",
            "",
            with(&[("z", json!("x".repeat(17_000)))]),
        ),
        signed(
            "client-data-too-long",
            "members",
            raw(text(&[]).replacen(
                '{',
                &format!(
                    "{{{}",
                    (0..70).map(|i| format!("\"m{i}\":0,")).collect::<String>()
                ),
                1,
            )),
        ),
        signed(
            "client-data-not-utf8",
            "",
            raw([
                text(&[]).trim_end_matches('}').as_bytes(),
                b",\"z\":\"\xff\"}",
            ]
            .concat()),
        ),
        signed(
            "client-data-not-json",
            "truncated",
            raw(text(&[]).trim_end_matches('}')),
        ),
        signed("client-data-not-json", "trailing", raw(text(&[]) + "{}")),
        signed(
            "client-data-not-json",
            "array",
            raw(format!("[{}]", text(&[]))),
        ),
        signed("client-data-not-json", "empty", raw("")),
        signed(
            "client-data-not-json",
            "nested",
            raw(text(&[("z", json!(0))]).replace(":0}", &format!(":{}}}", "[".repeat(5000)))),
        ),
        signed(
            "client-data-duplicate-member",
            "challenge",
            duplicate("{", &format!("{{\"challenge\":\"{}\",", encode([0; 32]))),
        ),
        signed(
            "client-data-duplicate-member",
            "same-value",
            duplicate("{", &format!("{{\"origin\":\"{ORIGIN}\",")),
        ),
        signed(
            "client-data-duplicate-member",
            "escaped-name",
            duplicate("{", &format!("{{\"\\u006frigin\":\"{ORIGIN}\",")),
        ),
        signed(
            "client-data-duplicate-member",
            "unknown",
            duplicate("\"z\":0", "\"z\":0,\"z\":0"),
        ),
        signed(
            "type-mismatch",
            "create",
            with(&[("type", json!("webauthn.create"))]),
        ),
        signed(
            "type-mismatch",
            "payment",
            with(&[("type", json!("payment.get"))]),
        ),
        signed(
            "type-mismatch",
            "prefix",
            with(&[("type", json!("webauthn.get "))]),
        ),
    ];
    for (name, value) in [
        ("type", json!(1)),
        ("challenge", json!([1])),
        ("origin", json!({})),
        ("crossOrigin", json!("false")),
        ("topOrigin", json!(1.5)),
    ] {
        vectors.push(signed("client-data-member", name, with(&[(name, value)])));
    }
    for name in ["type", "challenge", "origin"] {
        vectors.push(signed(
            "client-data-member",
            &format!("no-{name}"),
            with(&[(name, Value::Null)]),
        ));
    }
    vectors.push(signed(
        "client-data-member",
        "null",
        raw(text(&[]).replace("false", "null")),
    ));
    for (detail, challenge) in [
        ("other", encode([0; 32])),
        ("prefix", encode(&CHALLENGE[..31])),
        ("longer", encode([&CHALLENGE[..], &[0]].concat())),
        ("empty", String::new()),
    ] {
        let expected = challenge.clone();
        let vector = signed(
            "challenge-mismatch",
            detail,
            with(&[("challenge", json!(challenge))]),
        );
        vectors.push(if detail == "empty" {
            vector
        } else {
            vector.relax(move |case| case["challenge"] = json!(expected))
        });
    }
    for (detail, challenge) in [
        ("padded", encode(CHALLENGE) + "="),
        ("space", encode(CHALLENGE) + " "),
    ] {
        vectors.push(signed(
            "challenge-mismatch",
            detail,
            with(&[("challenge", json!(challenge))]),
        ));
    }
    vectors
}

fn origin_vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (detail, origin) in [
        ("other-site", "https://evil.example"),
        ("subdomain", "https://login.sceau.example"),
        ("parent", "https://example"),
        ("suffix", "https://sceau.example.evil.example"),
        ("prefix", "https://evil-sceau.example"),
        ("port", "https://sceau.example:8443"),
        ("default-port", "https://sceau.example:443"),
        ("scheme", "http://sceau.example"),
        ("trailing-slash", "https://sceau.example/"),
        ("path", "https://sceau.example/login"),
        ("user", "https://sceau.example@evil.example"),
        ("case", "https://SCEAU.example"),
        ("trailing-dot", "https://sceau.example."),
        ("homoglyph", "https://s\u{441}eau.example"),
        ("space", "https://sceau.example "),
        ("nul", "https://sceau.example\u{0}"),
        ("null-origin", "null"),
        ("empty", ""),
        ("rp-id", "sceau.example"),
        ("other-agent", "sceau-agent://evil.example"),
    ] {
        let expected = origin.to_owned();
        vectors.push(
            signed(
                "origin-mismatch",
                detail,
                with(&[("origin", json!(origin))]),
            )
            .relax(move |case| case["origins"] = json!([expected])),
        );
    }
    vectors.push(
        changed("origin-mismatch", "none-expected", |case| {
            case["origins"] = json!([])
        })
        .relax(|case| case["origins"] = json!([ORIGIN])),
    );
    let allow = |case: &mut Value| case["allow_cross_origin"] = json!(true);
    let top = "https://portal.example";
    vectors.push(signed("cross-origin", "", with(&[("crossOrigin", json!(true))])).relax(allow));
    vectors.push(
        signed(
            "cross-origin",
            "with-top-origin",
            with(&[("crossOrigin", json!(true)), ("topOrigin", json!(top))]),
        )
        .relax(allow),
    );
    vectors.push(signed("top-origin", "", with(&[("topOrigin", json!(top))])).relax(allow));
    vectors.push(signed("top-origin", "same", with(&[("topOrigin", json!(ORIGIN))])).relax(allow));
    let mut unlisted = signed(
        "top-origin",
        "unlisted",
        with(&[("crossOrigin", json!(true)), ("topOrigin", json!(top))]),
    );
    unlisted.case["allow_cross_origin"] = json!(true);
    unlisted.case["top_origins"] = json!(["https://portal.example:8443"]);
    vectors.push(unlisted.relax(move |case| case["top_origins"] = json!([top])));
    vectors
}

fn authenticator_data_vectors() -> Vec<Vector> {
    let at = |tail: Vec<u8>| {
        move |a: &mut Assertion| {
            a.flags |= 0x40;
            a.tail = tail;
        }
    };
    let ed = |tail: &[u8]| {
        let tail = tail.to_vec();
        move |a: &mut Assertion| {
            a.flags |= 0x80;
            a.tail = tail;
        }
    };
    let key = key().cose;
    let mut vectors = vec![
        signed(
            "authenticator-data-truncated",
            "attested-credential",
            at(attested(17, &CREDENTIAL, &[])),
        ),
        signed("authenticator-data-trailing-bytes", "", |a| {
            a.tail = vec![0]
        }),
        signed(
            "authenticator-data-trailing-bytes",
            "attested-without-flag",
            |a| a.tail = attested(16, &CREDENTIAL, &Key::ed25519(1).cose),
        ),
        signed(
            "authenticator-data-trailing-bytes",
            "extensions-without-flag",
            |a| a.tail = vec![0xa0],
        ),
        signed(
            "authenticator-data-trailing-bytes",
            "after-extensions",
            ed(&[0xa0, 0xa0]),
        ),
        signed("credential-id-length", "zero", at(attested(0, &[], &key))),
        signed(
            "credential-id-length",
            "1024",
            at(attested(1024, &[7; 1024], &key)),
        ),
        signed(
            "credential-public-key-malformed",
            "absent",
            at(attested(16, &CREDENTIAL, &[])),
        ),
        signed(
            "credential-public-key-malformed",
            "array",
            at(attested(16, &CREDENTIAL, &[0x80])),
        ),
        signed(
            "credential-public-key-malformed",
            "duplicate-label",
            at(attested(16, &CREDENTIAL, &[0xa2, 1, 2, 1, 2])),
        ),
        signed("extensions-malformed", "absent", ed(&[])),
        signed("extensions-malformed", "array", ed(&[0x80])),
        signed("extensions-malformed", "indefinite", ed(&[0xbf])),
        signed("rp-id-mismatch", "", |a| a.rp_id = "evil.example".into())
            .relax(|case| case["rp_id"] = json!("evil.example")),
        signed("rp-id-mismatch", "subdomain", |a| {
            a.rp_id = "login.sceau.example".into()
        })
        .relax(|case| case["rp_id"] = json!("login.sceau.example")),
        signed("rp-id-mismatch", "app-id", |a| a.rp_id = ORIGIN.into())
            .relax(|case| case["rp_id"] = json!(ORIGIN)),
        signed("user-not-present", "", |a| a.flags &= !0x01)
            .relax(|case| case["allow_up_false"] = json!(true)),
        signed("user-not-verified", "", |a| a.flags &= !0x04)
            .relax(|case| case["require_uv"] = json!(false)),
        signed("backup-state-inconsistent", "", |a| a.flags |= 0x10),
        signed("backup-eligibility-changed", "became", |a| a.flags |= 0x08)
            .relax(|case| case["stored_backup_eligible"] = json!(true)),
        changed("backup-eligibility-changed", "ceased", |case| {
            case["stored_backup_eligible"] = json!(true)
        })
        .relax(|case| case["stored_backup_eligible"] = json!(false)),
    ];
    let mut short = Assertion::default().sign(&self::key());
    short.authenticator_data.truncate(36);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &short.client_data);
    short.signature = self::key().sign(&[&short.authenticator_data, hash.as_ref()].concat());
    vectors.push(vector(
        "authenticator-data-truncated",
        "36-bytes",
        forge::case(&self::key(), &short),
    ));
    vectors
}

fn key_vectors() -> Vec<Vector> {
    let replaced = |reason, detail: &str, cose: Vec<u8>| {
        changed(reason, detail, |case| {
            case["public_key_cose"] = json!(encode(cose))
        })
    };
    let x = [7; 32];
    vec![
        replaced(
            "unsupported-algorithm",
            "ed448",
            cose(
                &[(1, json!(1)), (3, json!(-53)), (-1, json!(7))],
                &[(-2, &[7; 57])],
            ),
        ),
        replaced(
            "unsupported-algorithm",
            "rs1",
            cose(
                &[(1, json!(3)), (3, json!(-65535))],
                &[(-1, &[0xab; 256]), (-2, &[1, 0, 1])],
            ),
        ),
        replaced("public-key-malformed", "empty", vec![]),
        replaced(
            "public-key-malformed",
            "no-algorithm",
            cose(&[(1, json!(1)), (-1, json!(6))], &[(-2, &x)]),
        ),
        replaced(
            "public-key-malformed",
            "other-curve",
            cose(
                &[(1, json!(1)), (3, json!(-8)), (-1, json!(4))],
                &[(-2, &x)],
            ),
        ),
        replaced(
            "public-key-malformed",
            "other-type",
            cose(
                &[(1, json!(2)), (3, json!(-8)), (-1, json!(6))],
                &[(-2, &x)],
            ),
        ),
        replaced(
            "public-key-malformed",
            "short",
            cose(
                &[(1, json!(1)), (3, json!(-8)), (-1, json!(6))],
                &[(-2, &x[1..])],
            ),
        ),
        replaced(
            "public-key-malformed",
            "off-curve",
            cose(
                &[(1, json!(2)), (3, json!(-7)), (-1, json!(1))],
                &[(-2, &x), (-3, &x)],
            ),
        ),
        replaced(
            "public-key-malformed",
            "rsa-1024",
            cose(
                &[(1, json!(3)), (3, json!(-257))],
                &[(-1, &[0xab; 128]), (-2, &[1, 0, 1])],
            ),
        ),
        replaced(
            "public-key-malformed",
            "duplicate-label",
            [&[0xa5, 3, 0x27], &key().cose[1..]].concat(),
        ),
        replaced(
            "public-key-malformed",
            "trailing-byte",
            [&key().cose[..], &[0]].concat(),
        ),
        replaced("signature-invalid", "other-key", Key::ed25519(2).cose),
    ]
}

fn other_vectors() -> Vec<Vector> {
    let resigned = |change: fn(&mut forge::Signed)| {
        let mut signed = Assertion::default().sign(&key());
        change(&mut signed);
        forge::case(&key(), &signed)
    };
    let other = encode(b"another credential");
    let mut vectors = vec![
        changed("response-malformed", "padding", |case| {
            case["response"]["signature"] = json!("AA==")
        }),
        changed("response-malformed", "no-signature", |case| {
            case["response"]
                .as_object_mut()
                .unwrap()
                .remove("signature");
        }),
        changed("response-malformed", "type", |case| {
            case["response"]["client_data_json"] = json!({})
        }),
        changed("response-malformed", "credential-id", |case| {
            case["response"]["credential_id"] = json!(encode([0; 1024]))
        }),
        changed("credential-mismatch", "", |case| {
            case["response"]["credential_id"] = json!(other)
        })
        .relax(|case| case["credential_ids"] = json!([])),
        vector(
            "signature-invalid",
            "bit",
            resigned(|s| s.signature[0] ^= 1),
        ),
        vector(
            "signature-invalid",
            "empty",
            resigned(|s| s.signature.clear()),
        ),
        vector(
            "signature-invalid",
            "longer",
            resigned(|s| s.signature.push(0)),
        ),
        vector(
            "signature-invalid",
            "client-data",
            resigned(|s| s.client_data = client_data(&[("z", json!(0))])),
        ),
        vector(
            "signature-invalid",
            "white-space",
            resigned(|s| s.client_data.insert(1, b' ')),
        ),
        vector(
            "signature-invalid",
            "counter",
            resigned(|s| s.authenticator_data[36] = 9),
        ),
        vector("signature-invalid", "uv-set-afterwards", {
            let mut signed = Assertion {
                flags: 0x01,
                ..Assertion::default()
            }
            .sign(&key());
            signed.authenticator_data[32] = 0x05;
            forge::case(&key(), &signed)
        }),
    ];
    for (detail, stored, received) in [
        ("equal", 7, 7),
        ("back", 8, 7),
        ("to-zero", 1, 0),
        ("wrapped", u32::MAX, 0),
    ] {
        let mut vector = signed("sign-count-regression", detail, |a| a.sign_count = received);
        vector.case["stored_sign_count"] = json!(stored);
        vectors.push(vector.relax(|case| case["stored_sign_count"] = Value::Null));
    }
    vectors
}

fn vectors() -> Vec<Vector> {
    [
        accepted(),
        client_data_vectors(),
        origin_vectors(),
        authenticator_data_vectors(),
        key_vectors(),
        other_vectors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/assertion")
        .join(format!("{name}.json"))
}

fn written(vector: &Vector) -> String {
    let verdict = if vector.reason == "accepted" {
        "accepted"
    } else {
        "rejected"
    };
    let file =
        json!({"case": vector.case, "expected": {"verdict": verdict, "reason": vector.reason}});
    serde_json::to_string_pretty(&file).unwrap() + "\n"
}

#[test]
fn files_are_exactly_what_this_code_makes() {
    if std::env::var_os("SCEAU_REGENERATE").is_some() {
        for vector in vectors() {
            std::fs::write(path(&vector.name), written(&vector)).unwrap();
        }
    }
    let mut names = BTreeSet::new();
    for vector in vectors() {
        // Compared as JSON: what else is built beside decides in which order members are written.
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(
            read(&std::fs::read_to_string(path(&vector.name)).unwrap_or_default()),
            read(&written(&vector)),
            "{}",
            vector.name
        );
        assert!(
            names.insert(format!("{}.json", vector.name)),
            "{} is there twice",
            vector.name
        );
    }
    let files: BTreeSet<String> = std::fs::read_dir(path("x").parent().unwrap())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(files, names);
}

#[test]
fn every_vector_fails_its_check_and_no_other() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        let file: Value =
            serde_json::from_str(&std::fs::read_to_string(path(&vector.name)).unwrap()).unwrap();
        let (status, object) = assertion(&file["case"]);
        assert_eq!(
            object["reason"], file["expected"]["reason"],
            "{}",
            vector.name
        );
        assert_eq!(
            object["verdict"], file["expected"]["verdict"],
            "{}",
            vector.name
        );
        assert_eq!(
            status,
            i32::from(object["verdict"] != "accepted"),
            "{}",
            vector.name
        );
        seen.insert(vector.reason);
        if let Some(relax) = &vector.relaxed {
            let mut case = file["case"].clone();
            relax(&mut case);
            assert_eq!(
                assertion(&case).1["reason"],
                "accepted",
                "{} relaxed",
                vector.name
            );
        }
    }
    let reasons: BTreeSet<&str> = REASONS
        .iter()
        .map(|(word, _)| *word)
        .chain(["accepted"])
        .collect();
    assert_eq!(seen, reasons, "every reason has its vector");
}

#[test]
fn the_first_failing_check_in_the_specifications_order_gives_the_reason() {
    // Everything is wrong with this assertion; repaired one by one, in order, the reason moves on.
    let mut assertion_ = Assertion {
        rp_id: "evil.example".into(),
        flags: 0x10,
        sign_count: 1,
        tail: Vec::new(),
        client_data: Vec::new(),
    };
    let mut changes = vec![
        ("type", json!("webauthn.create")),
        ("challenge", json!("AAAA")),
        ("origin", json!("https://evil.example")),
        ("crossOrigin", json!(true)),
        ("topOrigin", json!("https://evil.example")),
    ];
    let mut reasons = Vec::new();
    let mut judge = |assertion_: &Assertion, signer: &Key| {
        let case = forge::case(&key(), &assertion_.sign(signer));
        reasons.push(assertion(&case).1["reason"].as_str().unwrap().to_owned());
    };
    let other = Key::ed25519(2);
    while !changes.is_empty() {
        assertion_.client_data = client_data(&changes);
        judge(&assertion_, &other);
        changes.remove(0);
    }
    assertion_.client_data = client_data(&[]);
    judge(&assertion_, &other);
    assertion_.rp_id = RP_ID.into();
    judge(&assertion_, &other);
    for flags in [0x11, 0x15, 0x0d, 0x05] {
        assertion_.flags = flags;
        judge(&assertion_, &other);
    }
    judge(&assertion_, &key());
    assert_eq!(
        reasons,
        [
            "type-mismatch",
            "challenge-mismatch",
            "origin-mismatch",
            "cross-origin",
            "top-origin",
            "rp-id-mismatch",
            "user-not-present",
            "user-not-verified",
            "backup-state-inconsistent",
            "backup-eligibility-changed",
            "signature-invalid",
            "sign-count-regression",
        ]
    );
}
