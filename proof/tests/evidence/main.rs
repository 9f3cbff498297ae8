//! Evidence bundles, made as a server makes them (real keys, real log, real signatures) and then damaged in every way.
//!
//! The bundle is made through the public interface alone. Python's independent checker, written from docs/evidence.md, judges the same bundles; it is
//! skipped visibly where python3 or its `cryptography` package is not there.

#![allow(clippy::unwrap_used, reason = "a test's own maker of bundles")]

mod command;
mod document;
mod judged;
mod requirement;

use std::collections::BTreeMap;

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
