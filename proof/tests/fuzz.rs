//! Mutation runs over every parser of foreign bytes: attestationObject, authenticator data, COSE keys, clientDataJSON, X.509
//! certificates and their extensions, metadata JSON, the JWS around it.
//!
//! No panic, no input that lingers, no memory beyond a bound. Each target is a plain function of bytes; a small deterministic mutator
//! (no sanitiser, hence no nightly compiler) runs it from seeds that the tests' own maker writes. `cargo test` gives each target half a
//! second, `cargo xtask fuzz SECONDS` as long as asked; `SCEAU_FUZZ_SEED` chooses another stream. A failure prints the input in hexadecimal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure time"
)]

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sceau_proof::attestation::{RegistrationResponse, claims, verify_statement};
use sceau_proof::authenticator_data::AuthenticatorData;
use sceau_proof::cbor::{self, Rules};
use sceau_proof::certificate::{Certificate, PublicKeyInfo, oid};
use sceau_proof::client_data::CollectedClientData;
use sceau_proof::cose::PublicKey;
use sceau_proof::metadata::{LEAF_NAME, Metadata, MetadataExpectation};
use serde_json::json;

#[allow(
    dead_code,
    reason = "the runs need fewer kinds of registrations than the tests"
)]
#[path = "attestation/maker.rs"]
mod maker;

use maker::{
    Ceremony, Draft, Identity, NOW, Publisher, Statement, der, entry, payload, report, sequence,
};

/// No single input may take longer (the machine may be loaded).
const LONGEST: Duration = Duration::from_secs(2);
/// Largest input that mutation makes.
const LARGEST: usize = 70_000;
/// Peak memory of the whole run, in KiB.
const MEMORY: u64 = 400 * 1024;

/// xorshift64*: the same stream for the same seed, everywhere.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => {
                    bytes[at] =
                        [0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x5f, 0x9f, 0xbf, 0x30][self.below(10)]
                }
                2 => bytes.insert(at, self.next() as u8),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 => bytes.truncate(at),
                5 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let chunk = bytes[at..end].to_vec();
                    bytes.splice(at..at, chunk);
                }
                6 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
                _ => {
                    // A length that claims everything, or nothing.
                    let length =
                        [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0; 4], [0, 0, 1, 0]][self.below(4)];
                    for (to, from) in bytes[at..].iter_mut().zip(length) {
                        *to = from;
                    }
                }
            }
        }
        bytes.truncate(LARGEST);
        bytes
    }
}

fn run(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seconds: f64 = std::env::var("SCEAU_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.5);
    let seed: u64 = std::env::var("SCEAU_FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5cea);
    let mut stream = Stream(seed | 1);
    let (start, budget) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut done = 0_u64;
    for seed in seeds {
        target(seed);
    }
    while start.elapsed() < budget {
        let input = stream.mutate(seeds);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(
            outcome.is_ok(),
            "{name}: panicked on {}",
            hex::encode(&input)
        );
        assert!(
            began.elapsed() < LONGEST,
            "{name}: {:?} for {}",
            began.elapsed(),
            hex::encode(&input)
        );
        done += 1;
    }
    println!(
        "{name}: {done} inputs from {} seeds in {:.1} s",
        seeds.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(done > 10, "{name}: only {done} inputs");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        assert!(peak.is_none_or(|kib| kib < MEMORY), "{name}: {peak:?} KiB");
    }
}

/// Attestation objects of every format, for one ceremony.
fn objects(ceremony: &Ceremony) -> Vec<Vec<u8>> {
    let root = Identity::root(Draft::authority("Racine"));
    let leaf = root.issue(Draft::leaf());
    let own = Statement::default()
        .int("alg", -7)
        .bytes("sig", ceremony.credential.sign(&ceremony.signed()));
    let u2f = Statement::default()
        .bytes("sig", leaf.key.sign(&ceremony.signed_u2f()))
        .chain(vec![leaf.der.clone()]);
    let description = sequence(&[
        der(2, &[3]),
        der(10, &[1]),
        der(2, &[4]),
        der(10, &[1]),
        der(4, &ceremony.client_data_hash()),
        der(4, &[]),
        sequence(&[vec![0xbf, 0x84, 0x58, 0x02, 0x05, 0x00]]),
        sequence(&[
            der(0xa1, &der(0x31, &der(2, &[2]))),
            vec![0xbf, 0x85, 0x3e, 0x03, 0x02, 0x01, 0x00],
        ]),
    ]);
    let android = root.certify(
        &Draft::authority("key").with(oid::ANDROID_KEY_DESCRIPTION, false, description),
        ceremony.credential.spki(),
    );
    let nonce = sequence(&[der(0xa1, &der(4, &maker::sha256(&ceremony.signed())))]);
    let apple = root.certify(
        &Draft::authority("apple").with(oid::APPLE_NONCE, false, nonce),
        ceremony.credential.spki(),
    );
    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let point = ceremony.credential.point();
    let public = [
        vec![
            0x00, 0x23, 0x00, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0x10, 0, 3, 0, 0x10,
        ],
        sized(&point[1..33]),
        sized(&point[33..]),
    ]
    .concat();
    let info = [
        vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x17, 0, 0],
        sized(&maker::sha256(&ceremony.signed())),
        vec![0; 25],
        sized(&[0, 0x0b]),
        vec![0, 0],
    ]
    .concat();
    let tpm = Statement::default()
        .text("ver", "2.0")
        .int("alg", -7)
        .bytes("sig", leaf.key.sign(&info))
        .bytes("certInfo", info)
        .bytes("pubArea", public)
        .chain(vec![leaf.der.clone()]);
    vec![
        ceremony.packed(&leaf, &[&root]),
        ceremony.object("packed", &own),
        ceremony.object("fido-u2f", &u2f),
        ceremony.object("none", &Statement::default()),
        ceremony.object("android-key", &own.clone().chain(vec![android])),
        ceremony.object("apple", &Statement::default().chain(vec![apple])),
        ceremony.object("tpm", &tpm),
    ]
}

#[test]
fn attestation_object() {
    let ceremony = Ceremony::new();
    let client = ceremony.client_data_json();
    run("attestationObject", &objects(&ceremony), |bytes| {
        let response = RegistrationResponse {
            client_data_json: &client,
            attestation_object: bytes,
        };
        black_box(verify_statement(&response, &ceremony.expectation).is_ok());
        black_box(claims(bytes));
    });
}

#[test]
fn authenticator_data() {
    let mut ceremony = Ceremony::new();
    let mut seeds = vec![ceremony.authenticator_data()];
    ceremony.flags |= 0x80;
    ceremony.tail = vec![0xa2, 0x61, b'x', 0xf5, 0x61, b'y', 0x82, 1, 2];
    seeds.push(ceremony.authenticator_data());
    run("authenticator data", &seeds, |bytes| {
        black_box(AuthenticatorData::parse(bytes).is_ok());
    });
}

#[test]
fn cose_key() {
    let rsa = [
        &[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0][..],
        &[0xab; 256],
        &[0x21, 0x43, 1, 0, 1],
    ]
    .concat();
    let okp = [
        &[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 0x20][..],
        &[9; 32],
    ]
    .concat();
    let seeds = [
        maker::Key::new().cose(),
        rsa,
        okp,
        hex::decode("9f01ff").unwrap(),
    ];
    run("COSE key", &seeds, |bytes| {
        black_box(PublicKey::from_cose(bytes).is_ok());
        black_box(cbor::parse(bytes, Rules::TOLERANT).is_ok());
    });
}

#[test]
fn client_data() {
    let mut ceremony = Ceremony::new();
    let mut seeds = vec![ceremony.client_data_json()];
    ceremony.client["topOrigin"] = json!("https://portal.example");
    ceremony.client["tokenBinding"] =
        json!({"status": "supported", "deep": [[[[[{"a": "\u{1f511}\\u0000"}]]]]]});
    seeds.push(ceremony.client_data_json());
    seeds.push(format!("{}{}", "[".repeat(2000), "]".repeat(2000)).into_bytes());
    run("clientDataJSON", &seeds, |bytes| {
        black_box(CollectedClientData::parse(bytes).is_ok());
    });
}

#[test]
fn certificate() {
    let root = Identity::root(Draft::authority("Racine"));
    let names = sequence(&[
        der(0x82, b"mds.example"),
        der(
            0xa4,
            &sequence(&[der(
                0x31,
                &sequence(&[der(6, &[0x67, 0x81, 5, 2, 1]), der(0x0c, b"id:1")]),
            )]),
        ),
    ]);
    let rich = Draft::leaf()
        .with(oid::SUBJECT_ALT_NAME, false, names)
        .with(
            oid::EXTENDED_KEY_USAGE,
            false,
            sequence(&[der(6, oid::TCG_AIK_CERTIFICATE)]),
        )
        .with(oid::KEY_USAGE, true, der(3, &[2, 4]))
        .with(oid::FIDO_TRANSPORTS, false, der(3, &[4, 0x30]))
        .with(oid::SUBJECT_KEY_IDENTIFIER, false, der(4, &[7; 20]));
    let seeds = [
        root.issue(rich).der,
        root.der.clone(),
        maker::Key::new().spki(),
    ];
    run("X.509", &seeds, |bytes| {
        black_box(PublicKeyInfo::from_der(bytes).is_ok());
        black_box(Certificate::from_pem(bytes).is_ok());
        let Ok(certificate) = Certificate::from_der(bytes) else {
            return;
        };
        black_box((
            certificate.basic_constraints().is_ok(),
            certificate.may_sign_certificates().is_ok(),
            certificate.extended_key_usage().is_ok(),
        ));
        black_box((
            certificate.fido_aaguid().is_ok(),
            certificate.fido_transports(),
            certificate.subject_key_identifier(),
        ));
        black_box((
            certificate.dns_names(),
            certificate.directory_names(),
            certificate.subject().to_string(),
        ));
        black_box((
            certificate.public_key().rsa_numbers(),
            certificate.is_signed_by(certificate.public_key()),
            certificate.validity(),
        ));
    });
}

#[test]
fn metadata_json() {
    let publisher = Publisher::new();
    let roots = [publisher.root.certificate()];
    let reports = json!([report("FIDO_CERTIFIED_L1"), report("REVOKED"), {"status": "X", "effectiveDate": 7, "authenticatorVersion": "a"}]);
    let seeds = [payload(&[entry(&publisher.root, &reports)]), payload(&[])]
        .map(|it| it.to_string().into_bytes());
    let header = publisher.header().to_string();
    // Signed anew each time: the reader of the payload runs only behind a good signature.
    run("metadata JSON", &seeds, |bytes| {
        let signed = format!(
            "{}.{}",
            sceau_proof::base64url::encode(&header),
            sceau_proof::base64url::encode(bytes)
        );
        let blob = format!(
            "{signed}.{}",
            sceau_proof::base64url::encode(publisher.signer.key.sign_fixed(signed.as_bytes()))
        );
        let expectation = MetadataExpectation {
            roots: &roots,
            leaf_name: LEAF_NAME,
            seen_no: None,
            at: NOW,
        };
        if let Ok(metadata) = Metadata::verify(blob.as_bytes(), &expectation) {
            for entry in metadata.entries() {
                black_box(entry.standing(NOW, &[]));
            }
        }
    });
}

#[test]
fn jws() {
    let publisher = Publisher::new();
    let roots = [publisher.root.certificate()];
    let good = publisher.sign(&publisher.header(), &payload(&[]));
    let headers = [
        r#"{"alg":"none"}"#,
        r#"{"alg":"ES256","x5c":[""],"x5u":"a","crit":[]}"#,
    ]
    .map(sceau_proof::base64url::encode);
    let mut seeds = vec![good.clone().into_bytes()];
    let rest = good.split_once('.').unwrap().1;
    seeds.extend(
        headers
            .iter()
            .map(|header| format!("{header}.{rest}").into_bytes()),
    );
    run("JWS", &seeds, |bytes| {
        let expectation = MetadataExpectation {
            roots: &roots,
            leaf_name: LEAF_NAME,
            seen_no: None,
            at: NOW,
        };
        black_box(Metadata::verify(bytes, &expectation).is_ok());
        if let Ok(text) = std::str::from_utf8(bytes) {
            black_box(sceau_proof::jws::Compact::parse(text, LARGEST).is_ok());
        }
    });
}
