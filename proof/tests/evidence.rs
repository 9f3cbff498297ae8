//! Evidence bundles, made as a server makes them (real keys, real log, real signatures) and then damaged in every way.
//!
//! The bundle is made through the public interface alone. Python's independent checker, written from docs/evidence.md, judges the same bundles; it is
//! skipped visibly where python3 or its `cryptography` package is not there.

#![allow(clippy::unwrap_used, reason = "a test's own maker of bundles")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sceau_proof::action::Action;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::attestation::trust::{Anchor, Binding, Sources};
use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use sceau_proof::evidence::{self, *};
use sceau_proof::log::checkpoint::cosign;
use sceau_proof::log::entry::{Entry, sha256};
use sceau_proof::log::note::{KeyKind, SigningKey, VerifyingKey};
use sceau_proof::log::{Checkpoint, Frontier, Hash, inclusion_proof, leaf_hash};
use sceau_proof::permit;
use sceau_proof::piv;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};

const RP_ID: &str = "sceau.example";
const ORIGIN: &str = "sceau-agent://sceau.example";
const NOW: OffsetDateTime = datetime!(2026-11-21 19:00 UTC);
const AAGUID: [u8; 16] = [0x5c; 16];

fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap()
}

fn stamp(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}

fn action(kind: &str, requester: &str, target: &str, id: u8, at: OffsetDateTime) -> Vec<u8> {
    let document = json!({
        "v": 1, "id": format!("01977000-0000-7000-8000-0000000000{id:02x}"), "type": kind, "service": "portal",
        "requester": {"id": requester, "display": "Alice Martin"},
        "target": {"kind": "account", "id": target, "display": "Jean Dupont <j.dupont@ml.example>"},
        "params": {"role": "reader", "mission": "Mission locale de Béziers", "quota": 3},
        "created_at": stamp(at), "expires_at": stamp(at + Duration::minutes(5)), "nonce": base64url::encode([id; 32]),
    });
    canonical(&document)
}

/// A manufacturer with a root and an attestation certificate.
struct Manufacturer {
    root: Vec<u8>,
    leaf: Vec<u8>,
    leaf_key: EcdsaKeyPair,
}

impl Manufacturer {
    /// What a metadata list says of the model.
    fn entry(&self) -> Value {
        use base64::Engine as _;

        json!({
            "aaguid": "5c5c5c5c-5c5c-5c5c-5c5c-5c5c5c5c5c5c",
            "statusReports": [{"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2026-01-01"}, {"status": "REVOKED", "effectiveDate": "2027-01-01"}],
            "metadataStatement": {
                "description": "Test Key 1", "attestationTypes": ["basic_full"], "keyProtection": ["hardware"],
                "attestationRootCertificates": [base64::engine::general_purpose::STANDARD.encode(&self.root)],
            },
        })
    }
}

fn manufacturer() -> Manufacturer {
    let mut parameters = rcgen::CertificateParams::default();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Test Keys Root");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_key = rcgen::KeyPair::generate().unwrap();
    let root = parameters.self_signed(&root_key).unwrap().der().to_vec();
    let issuer = rcgen::Issuer::new(parameters, root_key);
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, text) in [
        (rcgen::DnType::CountryName, "FR"),
        (rcgen::DnType::OrganizationName, "Test Keys"),
        (
            rcgen::DnType::OrganizationalUnitName,
            "Authenticator Attestation",
        ),
        (rcgen::DnType::CommonName, "Test Key 1"),
    ] {
        parameters.distinguished_name.push(kind, text);
    }
    parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
    let aaguid = [&[0x04, 0x10], &AAGUID[..]].concat();
    let extension =
        rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], aaguid);
    parameters.custom_extensions.push(extension);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = parameters.signed_by(&key, &issuer).unwrap().der().to_vec();
    let leaf_key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
    Manufacturer {
        root,
        leaf,
        leaf_key,
    }
}

/// A FIDO2 key, in software.
struct Authenticator {
    key: EcdsaKeyPair,
    credential_id: Vec<u8>,
}

impl Authenticator {
    fn new(credential_id: u8) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self {
            key,
            credential_id: vec![credential_id; 32],
        }
    }

    fn cose(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut cose = Vec::new();
        let mut map = minicbor::Encoder::new(&mut cose);
        map.map(5)
            .unwrap()
            .i8(1)
            .unwrap()
            .i8(2)
            .unwrap()
            .i8(3)
            .unwrap()
            .i8(-7)
            .unwrap()
            .i8(-1)
            .unwrap()
            .i8(1)
            .unwrap();
        map.i8(-2)
            .unwrap()
            .bytes(&point[1..33])
            .unwrap()
            .i8(-3)
            .unwrap()
            .bytes(&point[33..])
            .unwrap();
        cose
    }

    fn data(&self, flags: u8, count: u32) -> Vec<u8> {
        [
            digest(&SHA256, RP_ID.as_bytes()).as_ref(),
            &[flags],
            &count.to_be_bytes(),
        ]
        .concat()
    }

    fn register(
        &self,
        by: &Manufacturer,
        person: &str,
        key_id: &str,
        action_bytes: Vec<u8>,
        at: OffsetDateTime,
    ) -> KeyRecord {
        let challenge = Action::parse(&action_bytes).unwrap().challenge();
        let client_data_json = client_data("webauthn.create", challenge.as_bytes());
        let length = u16::try_from(self.credential_id.len())
            .unwrap()
            .to_be_bytes();
        let data = [
            &self.data(0x45, 1)[..],
            &AAGUID,
            &length,
            &self.credential_id,
            &self.cose(),
        ]
        .concat();
        let signed = [&data[..], digest(&SHA256, &client_data_json).as_ref()].concat();
        let signature = by.leaf_key.sign(&SystemRandom::new(), &signed).unwrap();
        let mut object = Vec::new();
        let mut map = minicbor::Encoder::new(&mut object);
        map.map(3)
            .unwrap()
            .str("fmt")
            .unwrap()
            .str("packed")
            .unwrap()
            .str("attStmt")
            .unwrap();
        map.map(3)
            .unwrap()
            .str("alg")
            .unwrap()
            .i8(-7)
            .unwrap()
            .str("sig")
            .unwrap()
            .bytes(signature.as_ref())
            .unwrap();
        map.str("x5c")
            .unwrap()
            .array(1)
            .unwrap()
            .bytes(&by.leaf)
            .unwrap()
            .str("authData")
            .unwrap()
            .bytes(&data)
            .unwrap();
        KeyRecord {
            v: 1,
            key_id: key_id.to_owned(),
            person: person.to_owned(),
            rp_id: RP_ID.to_owned(),
            origins: vec![ORIGIN.to_owned(), "https://sceau.example".to_owned()],
            enrolled_at: at,
            key: EnrolledKey::Fido2 {
                credential_id: self.credential_id.clone(),
                public_key_cose: self.cose(),
                registration: Fido2Registration {
                    action: action_bytes,
                    client_data_json,
                    attestation_object: object,
                    metadata: Some(MetadataRecord {
                        no: 7,
                        entry: by.entry().to_string().into_bytes(),
                    }),
                },
            },
        }
    }

    fn assert(&self, challenge: &[u8; 32], flags: u8) -> Response {
        let client_data_json = client_data("webauthn.get", challenge);
        let authenticator_data = self.data(flags, 7);
        let signed = [
            &authenticator_data[..],
            digest(&SHA256, &client_data_json).as_ref(),
        ]
        .concat();
        let signature = self
            .key
            .sign(&SystemRandom::new(), &signed)
            .unwrap()
            .as_ref()
            .to_vec();
        Response::Fido2(AssertionResponse {
            client_data_json,
            authenticator_data,
            signature,
            credential_id: None,
        })
    }
}

fn client_data(kind: &str, challenge: &[u8; 32]) -> Vec<u8> {
    let challenge = base64url::encode(challenge);
    format!(
        r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#
    )
    .into_bytes()
}

/// A log with other people's entries between ours.
#[derive(Default)]
struct Log {
    leaves: Vec<Hash>,
    ours: Vec<(u64, Vec<u8>, BTreeMap<String, Opening>)>,
}

impl Log {
    fn noise(&mut self, n: u64) {
        for i in 0..n {
            let entry = Entry::new(NOW - Duration::hours(1), "session.opened")
                .datum("n", self.leaves.len() as u64 * 1000 + i);
            self.leaves.push(entry.leaf_hash().unwrap());
        }
    }

    fn append(&mut self, entry: Entry, person: &str) {
        let index = self.leaves.len() as u64;
        let salt: [u8; 32] = digest(&SHA256, &index.to_be_bytes())
            .as_ref()
            .try_into()
            .unwrap();
        let bytes = entry.commit("person", &salt, person).to_bytes().unwrap();
        self.leaves.push(leaf_hash(&bytes));
        let opening = Opening {
            salt,
            value: person.to_owned(),
        };
        self.ours.push((
            index,
            bytes,
            BTreeMap::from([("person".to_owned(), opening)]),
        ));
        self.noise(3);
    }

    fn publish(&self, log: &SigningKey, witness: &SigningKey) -> LogRecord {
        let size = self.leaves.len() as u64;
        let mut frontier = Frontier::new();
        for leaf in &self.leaves {
            frontier.append(*leaf).unwrap();
        }
        let mut note = Checkpoint::new(log.verifying_key().name(), size, frontier.root())
            .sign(log)
            .unwrap();
        cosign(&mut note, witness, 1_795_000_000).unwrap();
        let entries = self.ours.iter().map(|(index, leaf, openings)| LoggedEntry {
            index: *index,
            leaf: leaf.clone(),
            inclusion: inclusion_proof(&self.leaves, *index, size).unwrap(),
            openings: openings.clone(),
        });
        LogRecord {
            checkpoint: note.to_string(),
            entries: entries.collect(),
        }
    }
}

struct Scene {
    bundle: Bundle,
    log: VerifyingKey,
    witness: VerifyingKey,
    anchors: Vec<Anchor>,
}

/// A four-eyes action: asked for by amartin, approved by bmartin with a FIDO2 key and by cdurand with a card.
fn scene() -> Scene {
    let manufacturer = manufacturer();
    let log_key = SigningKey::from_seed("sceau.example/log", KeyKind::Log, &[1; 32]).unwrap();
    let witness = SigningKey::from_seed("witness.example/w1", KeyKind::Witness, &[2; 32]).unwrap();
    let mut log = Log::default();
    log.noise(5);

    let fido = Authenticator::new(0xb0);
    let yesterday = NOW - Duration::days(1);
    let fido_key = fido.register(
        &manufacturer,
        "bmartin",
        "key-b",
        action("key.register", "bmartin", "bmartin", 1, yesterday),
        yesterday,
    );
    let card = rcgen::KeyPair::generate().unwrap();
    let card_pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &card.serialize_der()).unwrap();
    let (card_key, piv_root) = enrol_card(&card, &card_pair, yesterday);
    for (key, person) in [(&fido_key, "bmartin"), (&card_key, "cdurand")] {
        let digest = json_sha256(&key.to_value().unwrap()).unwrap();
        let entry = Entry::new(key.enrolled_at, "key.enrolled")
            .subject("key", &key.key_id)
            .digest("key", digest);
        log.append(entry, person);
    }

    let action_bytes = action("account.create", "amartin", "jdupont", 9, NOW);
    let parsed = Action::parse(&action_bytes).unwrap();
    let entry = |at: i64, kind: &str| {
        Entry::new(NOW + Duration::seconds(at), kind)
            .subject("action", parsed.id())
            .digest("action", parsed.sha256())
    };
    let text = "permit(principal, action, resource);".to_owned();
    let decision = json!({"requirement": {"approvals": 2, "approvers": "roles", "roles": ["manager"], "verification": "pin", "key": "attested-hardware"}});
    let request = entry(1, "action.requested").digest("policy", sha256(text.as_bytes()));
    log.append(
        request.digest("decision", json_sha256(&decision).unwrap()),
        "amartin",
    );

    let challenge = parsed.challenge();
    let card_signature = card_pair
        .sign(
            &SystemRandom::new(),
            &piv::message(challenge.as_bytes(), ORIGIN),
        )
        .unwrap();
    let responses = [
        fido.assert(challenge.as_bytes(), 0x05),
        Response::Piv(piv::SignatureResponse {
            origin: ORIGIN.to_owned(),
            signature: card_signature.as_ref().to_vec(),
        }),
    ];
    let mut approvals = Vec::new();
    for ((key, response), n) in [fido_key, card_key].into_iter().zip(responses).zip(1..) {
        let (record, response) = (key.to_value().unwrap(), response.to_value().unwrap());
        let approved = entry(10 * n, "action.approved")
            .subject("key", &key.key_id)
            .digest("key", json_sha256(&record).unwrap());
        log.append(
            approved
                .digest("approval", json_sha256(&response).unwrap())
                .datum("approvals", n),
            &key.person,
        );
        approvals.push(Approval {
            person: key.person,
            key: record,
            response,
        });
    }
    let permit = issue_permit(&parsed);
    log.append(
        entry(21, "permit.issued").digest("permit", sha256(permit.jws.as_bytes())),
        "amartin",
    );
    log.append(
        entry(22, "permit.consumed").subject("permit", parsed.id()),
        "amartin",
    );
    log.append(entry(22, "action.executed").datum("status", 201), "amartin");

    let anchor = |der: &[u8], name: &str| Anchor {
        certificate: Certificate::from_der(der).unwrap(),
        name: name.to_owned(),
        binding: Binding::Any,
    };
    Scene {
        bundle: Bundle {
            v: 1,
            action: action_bytes,
            state: State::Executed,
            policy: PolicyRecord {
                sha256: sha256(text.as_bytes()),
                text: Some(text),
                decision,
            },
            approvals,
            permit: Some(permit),
            log: log.publish(&log_key, &witness),
            timestamps: Vec::new(),
        },
        log: log_key.verifying_key().clone(),
        witness: witness.verifying_key().clone(),
        anchors: vec![
            anchor(&manufacturer.root, "keys"),
            anchor(&piv_root, "cards"),
        ],
    }
}

/// A card with an attested key, and its manufacturer's root.
fn enrol_card(
    card: &rcgen::KeyPair,
    pair: &EcdsaKeyPair,
    at: OffsetDateTime,
) -> (KeyRecord, Vec<u8>) {
    let named = |name: &str| {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        parameters
    };
    let mut root = named("Test PIV Root");
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_key = rcgen::KeyPair::generate().unwrap();
    let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
    let mut f9 = named("Yubico PIV Attestation");
    f9.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let f9_key = rcgen::KeyPair::generate().unwrap();
    let f9_der = f9
        .signed_by(&f9_key, &rcgen::Issuer::new(root, root_key))
        .unwrap()
        .der()
        .to_vec();
    let mut leaf = named("YubiKey PIV Attestation 9c");
    for (last, content) in [
        (3, vec![5, 7, 1]),
        (7, vec![2, 3, 1, 2, 3]),
        (8, vec![3, 2]),
        (9, vec![3]),
    ] {
        let oid = [1, 3, 6, 1, 4, 1, 41482, 3, last];
        leaf.custom_extensions
            .push(rcgen::CustomExtension::from_oid_content(&oid, content));
    }
    let leaf_der = leaf
        .signed_by(card, &rcgen::Issuer::new(f9, f9_key))
        .unwrap()
        .der()
        .to_vec();
    let spki = Certificate::from_der(&leaf_der)
        .unwrap()
        .public_key()
        .der()
        .to_vec();
    let action_bytes = action("key.register", "cdurand", "cdurand", 2, at);
    let challenge = Action::parse(&action_bytes).unwrap().challenge();
    let signature = pair
        .sign(
            &SystemRandom::new(),
            &piv::message(challenge.as_bytes(), ORIGIN),
        )
        .unwrap();
    let registration = PivRegistration {
        action: action_bytes,
        origin: ORIGIN.to_owned(),
        signature: signature.as_ref().to_vec(),
        attestation: Some(base64url::encode(&leaf_der)),
        certificate: None,
        intermediates: vec![base64url::encode(&f9_der)],
    };
    let key = KeyRecord {
        v: 1,
        key_id: "key-c".to_owned(),
        person: "cdurand".to_owned(),
        rp_id: RP_ID.to_owned(),
        origins: vec![ORIGIN.to_owned()],
        enrolled_at: at,
        key: EnrolledKey::Piv {
            public_key_spki: spki,
            registration,
        },
    };
    (key, root_der)
}

fn issue_permit(action: &Action) -> PermitRecord {
    let key = permit::SigningKey::from_pkcs8(
        &permit::SigningKey::generate_pkcs8(&SystemRandom::new()).unwrap(),
    )
    .unwrap();
    let issued = NOW + Duration::seconds(21);
    let claims = permit::Claims {
        iss: "https://sceau.example".into(),
        aud: action.service().into(),
        sub: action.requester().id.clone(),
        jti: action.id(),
        iat: issued,
        exp: issued + Duration::seconds(60),
        action_sha256: action.sha256(),
        authorization_details: vec![],
        acr: "eidas3".into(),
        amr: vec!["pop".into(), "hwk".into(), "pin".into(), "mfa".into()],
        approvals: vec![],
        cnf: None,
    };
    let jws = permit::sign(&key, &claims, &SystemRandom::new()).unwrap();
    PermitRecord {
        jws,
        issuer: claims.iss,
        jwks: permit::Jwks {
            keys: vec![key.jwk().clone()],
        },
    }
}

fn judge(scene: &Scene, bytes: &[u8]) -> Report {
    let witnesses = [scene.witness.clone()];
    let sources = Sources {
        anchors: Some(&scene.anchors),
        metadata: None,
    };
    evidence::check(
        bytes,
        &Trust {
            log: &scene.log,
            witnesses: &witnesses,
            sources,
            at: Some(NOW),
        },
    )
}

fn failed(report: &Report) -> Vec<&str> {
    report
        .checks()
        .iter()
        .filter(|check| check.result == Outcome::Failed)
        .map(|check| check.check.as_str())
        .collect()
}

#[test]
fn accepts_a_four_eyes_action_by_a_key_and_a_card_and_names_every_check() {
    let scene = scene();
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    assert!(
        report
            .checks()
            .iter()
            .all(|check| check.result == Outcome::Passed),
        "{:#?}",
        report.checks()
    );
    let names: Vec<_> = report
        .checks()
        .iter()
        .map(|check| check.check.as_str())
        .collect();
    let mut expected = vec![
        "bundle",
        "action",
        "checkpoint",
        "witness witness.example/w1",
    ];
    let entries: Vec<_> = (0..8).map(|i| format!("entry {i}")).collect();
    expected.extend(entries.iter().map(String::as_str));
    expected.extend(["order", "policy", "requester", "approvals"]);
    let approvals: Vec<_> = (0..2)
        .flat_map(|i| {
            [
                "entry",
                "person",
                "registration",
                "attestation",
                "metadata",
                "enrolment",
                "response",
            ]
            .map(|it| format!("approval {i} {it}"))
        })
        // Metadata says nothing of cards.
        .filter(|name| name != "approval 1 metadata")
        .collect();
    expected.extend(approvals.iter().map(String::as_str));
    expected.extend(["requirement", "state", "permit"]);
    assert_eq!(names, expected);
}

/// Every text in the bundle, with the path that leads to it.
fn texts(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, item)| texts(item, &format!("{path}/{i}"), out)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| texts(member, &format!("{path}/{name}"), out)),
        _ => {}
    }
}

#[test]
fn every_text_and_number_of_the_bundle_matters() {
    let scene = scene();
    let good: Value = serde_json::from_slice(&scene.bundle.to_json().unwrap()).unwrap();
    let mut paths = Vec::new();
    texts(&good, "", &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    for path in &paths {
        let text = good.pointer(path).unwrap().as_str().unwrap().to_owned();
        // A few places of each text: its first, middle and last characters, and one near each end.
        for at in [
            0,
            1,
            text.len() / 2,
            text.len().saturating_sub(2),
            text.len() - 1,
        ] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = Value::String(changed);
            // Members of a public key that name its use do not matter to the signature.
            if path.starts_with("/permit/jwks/keys/0/")
                && matches!(path.rsplit('/').next(), Some("alg" | "use"))
            {
                continue;
            }
            let report = judge(&scene, &canonical(&bad));
            assert!(!report.accepted(), "{path} at {at}: {text}");
        }
    }
    for i in 0..8 {
        let mut bad = good.clone();
        let index = bad.pointer_mut(&format!("/log/entries/{i}/index")).unwrap();
        *index = json!(index.as_u64().unwrap() + 1);
        assert_eq!(
            failed(&judge(&scene, &canonical(&bad))),
            [format!("entry {i}")]
        );
    }
}

#[test]
fn each_lie_is_caught_by_the_check_that_is_there_for_it() {
    let scene = scene();
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = scene.bundle.clone();
        change(&mut bundle);
        let report = judge(&scene, &bundle.to_json().unwrap());
        assert!(!report.accepted());
        failed(&report).join(", ")
    };
    assert_eq!(with(&|it| it.v = 2), "bundle");
    assert_eq!(
        with(&|it| it.action = action("account.create", "amartin", "attacker", 9, NOW)),
        "order"
    );
    assert_eq!(with(&|it| it.action.push(b' ')), "action");
    assert_eq!(with(&|it| it.state = State::Approved), "state");
    assert_eq!(with(&|it| it.state = State::Consumed), "state");
    assert_eq!(
        with(&|it| it.policy.decision["requirement"]["approvals"] = json!(1)),
        "policy"
    );
    assert_eq!(with(&|it| it.policy.text = Some("forbid".into())), "policy");
    assert_eq!(
        with(&|it| drop(it.approvals.pop())),
        "approvals, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[1] = it.approvals[0].clone()),
        "approval 1 entry, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[0].person = "amartin".into()),
        "approval 0 person, requirement"
    );
    assert_eq!(
        with(&|it| it.approvals[0].key["origins"] = json!(["https://evil.example"])),
        "approval 0 entry"
    );
    assert_eq!(with(&|it| drop(it.log.entries.remove(7))), "state");
    assert_eq!(with(&|it| it.state = State::Executing), "state");
    let unused = |it: &mut Bundle| {
        it.log.entries.truncate(6);
        it.state = State::Executing;
    };
    assert_eq!(with(&unused), "state");
    assert_eq!(
        with(&|it| drop(it.log.entries.remove(3))),
        "approvals, approval 0 entry"
    );
    assert_eq!(with(&|it| drop(it.log.entries.remove(2))), "order");
    assert_eq!(with(&|it| it.log.entries.swap(3, 4)), "order");
    assert_eq!(
        with(&|it| it.permit.as_mut().unwrap().issuer = "https://evil.example".into()),
        "permit"
    );
    assert_eq!(
        with(&|it| it.timestamps = vec!["MAA".into()]),
        "timestamp 0"
    );
    let opening = |it: &mut Bundle, i: usize, value: &str| {
        it.log.entries[i].openings.get_mut("person").unwrap().value = value.into()
    };
    assert_eq!(with(&|it| opening(it, 2, "bmartin")), "entry 2");
}

/// Exported between the gate's taking of the one use and its report: the log's last word is `permit.consumed`.
#[test]
fn what_is_being_executed_is_told_as_such_and_as_nothing_else() {
    let mut scene = scene();
    let last = scene.bundle.log.entries.pop().unwrap();
    let kind = |entry: &LoggedEntry| Entry::parse(&entry.leaf).unwrap().kind().to_owned();
    assert_eq!(kind(&last), "action.executed");
    assert_eq!(
        kind(scene.bundle.log.entries.last().unwrap()),
        "permit.consumed"
    );
    for (state, holds) in [
        (State::Executing, true),
        (State::Consumed, true),
        (State::Approved, false),
        (State::Executed, false),
        (State::Pending, false),
    ] {
        scene.bundle.state = state;
        let report = judge(&scene, &scene.bundle.to_json().unwrap());
        assert_eq!(report.accepted(), holds, "{state:?}: {:?}", failed(&report));
    }
    scene.bundle.state = State::Executing;
    assert!(
        scene
            .bundle
            .to_json()
            .is_ok_and(|json| String::from_utf8_lossy(&json).contains(r#""state":"executing""#))
    );
    scene.bundle.approvals.pop();
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert_eq!(failed(&report), ["approvals", "requirement"]);
}

#[test]
fn erased_openings_leave_everything_else_checkable() {
    let mut bundle = scene();
    bundle
        .bundle
        .log
        .entries
        .iter_mut()
        .for_each(|entry| entry.openings.clear());
    let report = judge(&bundle, &bundle.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    let requester = report
        .checks()
        .iter()
        .find(|check| check.check == "requester")
        .unwrap();
    assert_eq!(requester.result, Outcome::NotEvaluated);
}

#[test]
fn rejects_other_log_keys_missing_witnesses_and_foreign_roots() {
    let scene = scene();
    let bytes = scene.bundle.to_json().unwrap();
    let other = SigningKey::from_seed("sceau.example/log", KeyKind::Log, &[9; 32])
        .unwrap()
        .verifying_key()
        .clone();
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &other,
            witnesses: &[],
            sources: Sources::default(),
            at: None,
        },
    );
    assert_eq!(failed(&report), ["checkpoint"]);
    let witness = [SigningKey::from_seed("w2", KeyKind::Witness, &[9; 32])
        .unwrap()
        .verifying_key()
        .clone()];
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &witness,
            sources: Sources::default(),
            at: None,
        },
    );
    assert_eq!(failed(&report), ["witness w2"]);
    let foreign = Scene {
        anchors: self::scene().anchors,
        ..self::scene()
    };
    let sources = Sources {
        anchors: Some(&foreign.anchors),
        metadata: None,
    };
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &[],
            sources,
            at: Some(NOW),
        },
    );
    assert_eq!(
        failed(&report),
        ["approval 0 attestation", "approval 1 attestation"]
    );
    let report = evidence::check(
        &bytes,
        &Trust {
            log: &scene.log,
            witnesses: &[],
            sources: Sources::default(),
            at: None,
        },
    );
    assert!(report.accepted());
}

/// The requirement decides who counts; these bundles are otherwise perfect.
#[test]
fn an_action_without_its_second_person_is_not_approved() {
    let report = judge_requirement(
        json!({"approvals": 3, "approvers": "roles", "roles": [], "verification": "pin"}),
    );
    assert_eq!(report, ["requirement"]);
    let report = judge_requirement(
        json!({"approvals": 1, "approvers": "requester", "roles": [], "verification": "pin"}),
    );
    assert_eq!(report, ["requirement"]);
    let own = json!({"approvals": 1, "approvers": "roles", "roles": [], "requester_also": true, "verification": "pin"});
    assert_eq!(judge_requirement(own), ["requirement"]);
    let report = judge_requirement(
        json!({"approvals": 1, "approvers": "roles", "roles": [], "verification": "pin"}),
    );
    assert!(report.is_empty());
}

#[test]
fn what_is_fresh_and_cosigned_is_checked_where_it_is_demanded() {
    let four = |more: Value| {
        let mut requirement =
            json!({"approvals": 2, "approvers": "roles", "roles": [], "verification": "pin"});
        for (name, value) in more.as_object().unwrap() {
            requirement[name] = value.clone();
        }
        judge_requirement(requirement)
    };
    assert!(four(json!({"fresh": 2, "cosignatures": 1})).is_empty());
    // Used two seconds after the last approval; one witness is known, and has cosigned.
    assert_eq!(four(json!({"fresh": 1})), ["fresh"]);
    assert!(
        four(json!({"cosignatures": 2})).is_empty(),
        "the other is not known to this auditor"
    );
}

#[test]
fn what_the_policy_allows_without_a_key_needs_no_approval() {
    let allowed = || {
        let mut scene = scene();
        scene.bundle.approvals.clear();
        let kept = |leaf: &[u8]| {
            let entry = Entry::parse(leaf).unwrap();
            !matches!(entry.kind(), "action.approved" | "key.enrolled")
        };
        scene.bundle.log.entries.retain(|entry| kept(&entry.leaf));
        scene
    };
    let with = |approvals: u32| {
        relogged(
            allowed(),
            json!({"approvals": approvals, "approvers": "requester", "roles": [], "verification": "pin"}),
        )
    };
    assert!(with(0).is_empty());
    assert_eq!(with(1), ["requirement", "state"]);
}

#[test]
fn a_key_whose_model_metadata_knows_otherwise_is_found() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut scene = scene();
        let key = &mut scene.bundle.approvals[0].key;
        let at = "/registration/metadata/entry";
        let entry = key.pointer(at).unwrap().as_str().unwrap().to_owned();
        let mut entry: Value = serde_json::from_slice(&base64url::decode(&entry).unwrap()).unwrap();
        change(&mut entry);
        *key.pointer_mut(at).unwrap() = base64url::encode(entry.to_string()).into();
        // As if the server had written it down so: whatever hangs on the record's digest follows it.
        let digest = json_sha256(key).unwrap();
        for entry in &mut scene.bundle.log.entries {
            let parsed = Entry::parse(&entry.leaf).unwrap();
            if parsed.subject_id("key") == Some("key-b") {
                entry.leaf = parsed.digest("key", digest).to_bytes().unwrap();
            }
        }
        let decision = scene.bundle.policy.decision["requirement"].clone();
        relogged(scene, decision)
    };
    assert!(with(&|_| ()).is_empty());
    let metadata = ["approval 0 metadata"];
    assert_eq!(
        with(&|it| it["aaguid"] = json!("00000000-0000-4000-8000-000000000001")),
        metadata
    );
    assert_eq!(
        with(&|it| it["statusReports"][1]["effectiveDate"] = json!("2026-11-20")),
        metadata,
        "revoked on the day of the enrolment"
    );
    let foreign = manufacturer().entry();
    assert_eq!(
        with(&|it| it["metadataStatement"] = foreign["metadataStatement"].clone()),
        metadata
    );
    assert_eq!(with(&|it| *it = json!(7)), metadata);
}

/// The same scene under another decision, logged as such.
fn judge_requirement(requirement: Value) -> Vec<String> {
    relogged(scene(), requirement)
}

/// The scene's entries in a log of their own, under this decision; what fails.
fn relogged(mut scene: Scene, requirement: Value) -> Vec<String> {
    let decision = json!({"requirement": requirement});
    let digest = json_sha256(&decision).unwrap();
    scene.bundle.policy.decision = decision;
    let mut log = Log::default();
    for claim in &scene.bundle.log.entries {
        let entry = Entry::parse(&claim.leaf).unwrap();
        let leaf = if entry.kind() == "action.requested" {
            entry.digest("decision", digest).to_bytes().unwrap()
        } else {
            claim.leaf.clone()
        };
        log.ours.push((
            log.leaves.len() as u64,
            leaf.clone(),
            claim.openings.clone(),
        ));
        log.leaves.push(leaf_hash(&leaf));
    }
    let log_key = SigningKey::from_seed("sceau.example/log", KeyKind::Log, &[1; 32]).unwrap();
    let witness = SigningKey::from_seed("witness.example/w1", KeyKind::Witness, &[2; 32]).unwrap();
    scene.bundle.log = log.publish(&log_key, &witness);
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    failed(&report).into_iter().map(str::to_owned).collect()
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let length = if length < 0x80 {
        vec![length.to_be_bytes()[1]]
    } else {
        [&[0x82][..], &length.to_be_bytes()].concat()
    };
    [&[tag][..], &length, &content].concat()
}

/// A token with this imprint, without certificates or signature, which are not looked at.
fn time_stamp(imprint: &[u8]) -> String {
    let sha256 = der(
        0x30,
        &[&[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &[5, 0]],
    );
    let info = der(
        0x30,
        &[
            &[2, 1, 1],
            &[6, 3, 0x2a, 3, 4],
            &der(0x30, &[&sha256, &der(4, &[imprint])]),
            &[2, 1, 9],
        ],
    );
    let tst_info = [
        0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 0x10, 1, 4,
    ];
    let encapsulated = der(0x30, &[&tst_info, &der(0xa0, &[&der(4, &[&info])])]);
    let signed = der(
        0x30,
        &[
            &[2, 1, 3],
            &der(0x31, &[&sha256]),
            &encapsulated,
            &der(0x31, &[]),
        ],
    );
    let signed_data = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    base64url::encode(der(0x30, &[&signed_data, &der(0xa0, &[&signed])]))
}

#[test]
fn a_time_stamp_counts_for_the_checkpoint_that_it_is_of() {
    let mut scene = scene();
    let (text, _) = scene.bundle.log.checkpoint.split_once("\n\n").unwrap();
    let imprint = sha256(format!("{text}\n").as_bytes());
    scene.bundle.timestamps = vec![time_stamp(&imprint)];
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    let last = report.checks().last().unwrap();
    assert_eq!(
        (last.check.as_str(), last.result),
        ("timestamp 0", Outcome::NotEvaluated)
    );
    for other in [
        time_stamp(&[1; 32]),
        time_stamp(&[1; 20]),
        "MAA".to_owned(),
        String::new(),
    ] {
        scene.bundle.timestamps = vec![other];
        assert_eq!(
            failed(&judge(&scene, &scene.bundle.to_json().unwrap())),
            ["timestamp 0"]
        );
    }
}

proptest::proptest! {
    /// Hostile bytes, and bundles with a piece torn out or doubled: a verdict, never a panic.
    #[test]
    fn hostile_bundles_get_a_verdict(at in 0.0..1.0_f64, length in 0_usize..200, junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        static SCENE: std::sync::OnceLock<(Scene, Vec<u8>)> = std::sync::OnceLock::new();
        let (scene, good) = SCENE.get_or_init(|| {
            let scene = scene();
            let bytes = scene.bundle.to_json().unwrap();
            (scene, bytes)
        });
        let start = (at * good.len() as f64) as usize;
        let end = (start + length).min(good.len());
        let torn = [&good[..start], &junk, &good[end..]].concat();
        proptest::prop_assert!(torn == *good || !judge(scene, &torn).accepted());
        proptest::prop_assert!(!judge(scene, &junk).accepted());
    }
}

/// The shell lines of docs/evidence.md, "By hand", run as they stand.
#[test]
fn the_documented_walk_through_works() {
    for tool in ["bash", "jq", "openssl", "basenc"] {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            eprintln!("SKIPPED: {tool} is not there");
            return;
        }
    }
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence.md");
    let page = std::fs::read_to_string(page).unwrap();
    let lines = page
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let walk = |scene: &Scene| {
        std::fs::write(
            folder.path().join("evidence.json"),
            scene.bundle.to_json().unwrap(),
        )
        .unwrap();
        std::fs::write(folder.path().join("log.vkey"), scene.log.to_string()).unwrap();
        let output = Command::new("bash")
            .args(["-c", lines])
            .current_dir(folder.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let mut scene = scene();
    let text = walk(&scene);
    for word in [
        "challenge OK",
        "Verified OK",
        "entry OK",
        "Signature Verified Successfully",
        "inclusion OK",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    scene.bundle.action = action("account.create", "amartin", "attacker", 9, NOW);
    let text = walk(&scene);
    assert!(
        !text.contains("challenge OK") && !text.contains("entry OK"),
        "{text}"
    );
}

#[test]
fn the_independent_checker_agrees() {
    let script =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/evidence_check.py");
    let ready = Command::new("python3")
        .args(["-c", "import cryptography"])
        .stderr(Stdio::null())
        .status();
    if !ready.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 with the package `cryptography` is not there");
        return;
    }
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    for (i, anchor) in scene.anchors.iter().enumerate() {
        std::fs::write(
            folder.path().join(format!("{i}.der")),
            anchor.certificate.der(),
        )
        .unwrap();
    }
    let ask = |bundle: &Bundle| {
        let mut child = Command::new("python3")
            .arg(&script)
            .args([
                "-",
                "--log-key",
                &scene.log.to_string(),
                "--witness",
                &scene.witness.to_string(),
                "--roots",
            ])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&bundle.to_json().unwrap())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (status, text) = ask(&scene.bundle);
    assert_eq!(status, Some(0), "{text}");
    let (text, _) = scene.bundle.log.checkpoint.split_once("\n\n").unwrap();
    let imprint = sha256(format!("{text}\n").as_bytes());
    let mut stamped = scene.bundle.clone();
    stamped.timestamps = vec![time_stamp(&imprint)];
    let (status, text) = ask(&stamped);
    assert_eq!(status, Some(0), "{text}");
    for check in ["approval 0 metadata", "permit", "timestamp 0"] {
        assert!(text.contains(&format!("passed   {check}\n")), "{text}");
    }
    let mut under_way = scene.bundle.clone();
    under_way.log.entries.pop();
    under_way.state = State::Executing;
    let (status, text) = ask(&under_way);
    assert_eq!(status, Some(0), "{text}");
    let lies: [&dyn Fn(&mut Bundle); 14] = [
        &|it| it.state = State::Executing,
        &|it| {
            it.log.entries.truncate(6);
            it.state = State::Executing;
        },
        &|it| drop(it.log.entries.pop()),
        &|it| it.permit.as_mut().unwrap().jws = it.permit.as_ref().unwrap().jws.replace('.', "A."),
        &|it| it.permit.as_mut().unwrap().issuer = "https://evil.example".into(),
        &|it| it.timestamps = vec![time_stamp(&[1; 32])],
        &|it| it.action = action("account.create", "amartin", "attacker", 9, NOW),
        &|it| it.state = State::Approved,
        &|it| it.policy.decision["requirement"]["approvals"] = json!(1),
        &|it| it.approvals[0].person = "amartin".into(),
        &|it| it.approvals[0].response["signature"] = json!("AAAA"),
        &|it| it.approvals[1].key["origins"] = json!([]),
        &|it| it.log.entries[1].index += 1,
        &|it| it.log.checkpoint = it.log.checkpoint.replacen("sceau", "socau", 1),
    ];
    for (i, lie) in lies.iter().enumerate() {
        let mut bundle = scene.bundle.clone();
        lie(&mut bundle);
        let (status, text) = ask(&bundle);
        assert_eq!(status, Some(1), "lie {i}: {text}");
    }
}
