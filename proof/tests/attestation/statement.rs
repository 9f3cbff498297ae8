//! For every check of `proof::attestation`, a registration that is right but for that: the reason must be exactly that check's.

use sceau_proof::attestation::second_opinion::{self, Opinion};
use sceau_proof::attestation::{AttestationType, Format, REASONS, RegistrationResponse};
use sceau_proof::certificate::oid;
use serde_json::json;

use crate::maker::{
    AAGUID, Ceremony, Draft, Identity, Key, Statement, der, packed, sequence, sha256,
};

fn reason(ceremony: &Ceremony, object: &[u8]) -> &'static str {
    let reason = ceremony
        .verify(object)
        .map_or_else(|error| error.reason(), |_| "verified");
    assert!(
        reason == "verified" || REASONS.iter().any(|(word, _)| *word == reason),
        "{reason} is not documented"
    );
    reason
}

fn manufacturer() -> Identity {
    Identity::root(Draft::authority("Racine"))
}

/// The reason for a packed registration whose ceremony is changed before anything is signed.
fn packed_with(change: impl FnOnce(&mut Ceremony)) -> &'static str {
    let leaf = manufacturer().issue(Draft::leaf());
    let mut ceremony = Ceremony::new();
    change(&mut ceremony);
    reason(&ceremony, &ceremony.packed(&leaf, &[]))
}

/// The reason for a packed registration by a leaf of that draft.
fn packed_by(draft: Draft) -> &'static str {
    let ceremony = Ceremony::new();
    reason(
        &ceremony,
        &ceremony.packed(&manufacturer().issue(draft), &[]),
    )
}

/// The reason for a packed registration whose statement is changed after signing.
fn packed_stating(change: impl FnOnce(Statement) -> Statement) -> &'static str {
    let ceremony = Ceremony::new();
    let leaf = manufacturer().issue(Draft::leaf());
    reason(
        &ceremony,
        &ceremony.object("packed", &change(packed(&ceremony, &leaf, &[]))),
    )
}

#[test]
fn verifies_a_packed_registration_and_says_what_it_is() {
    let (ceremony, root) = (Ceremony::new(), manufacturer());
    let leaf = root.issue(Draft::leaf());
    let verified = ceremony.verify(&ceremony.packed(&leaf, &[&root])).unwrap();
    assert_eq!(verified.format(), Format::Packed);
    assert_eq!(verified.attestation_type(), AttestationType::Basic);
    assert_eq!(verified.aaguid().as_bytes(), &AAGUID);
    assert_eq!(verified.credential_id().as_bytes(), ceremony.credential_id);
    assert_eq!(verified.public_key_cose(), ceremony.credential.cose());
    assert_eq!(verified.origin(), "https://sceau.example");
    assert_eq!((verified.sign_count(), verified.chain().len()), (1, 2));
    assert!(verified.flags().uv() && !verified.flags().be() && !verified.is_weakly_signed());
}

#[test]
fn refuses_another_ceremony() {
    assert_eq!(packed_with(|_| ()), "verified");
    assert_eq!(
        packed_with(|c| c.client["type"] = json!("webauthn.get")),
        "type-mismatch"
    );
    assert_eq!(
        packed_with(|c| c.client["type"] = json!(1)),
        "client-data-malformed"
    );
    assert_eq!(
        packed_with(|c| c.client["challenge"] = json!("AAAA")),
        "challenge-mismatch"
    );
    assert_eq!(
        packed_with(|c| c.expectation.challenge[31] ^= 1),
        "challenge-mismatch"
    );
    for origin in [
        "https://sceau.example:8443",
        "http://sceau.example",
        "https://sceau.example/",
        "https://sceau.example.evil.example",
        "https://SCEAU.example",
        "null",
        "",
    ] {
        assert_eq!(
            packed_with(|c| c.client["origin"] = json!(origin)),
            "origin-mismatch",
            "{origin}"
        );
    }
    assert_eq!(
        packed_with(|c| c.rp_id = "evil.example".to_owned()),
        "rp-id-mismatch"
    );
}

#[test]
fn refuses_foreign_frames_unless_allowed() {
    assert_eq!(
        packed_with(|c| c.client["crossOrigin"] = json!(true)),
        "cross-origin"
    );
    assert_eq!(
        packed_with(|c| c.client["topOrigin"] = json!("https://portal.example")),
        "cross-origin"
    );
    let framed = |allowed: Option<&str>| {
        packed_with(|c| {
            c.client["crossOrigin"] = json!(true);
            c.client["topOrigin"] = json!("https://portal.example");
            c.expectation.allow_cross_origin = true;
            c.expectation.top_origins = allowed.map(|top| vec![top.to_owned()]);
        })
    };
    assert_eq!(framed(None), "verified");
    assert_eq!(framed(Some("https://portal.example")), "verified");
    assert_eq!(framed(Some("https://other.example")), "top-origin");
}

#[test]
fn refuses_flags_that_do_not_satisfy() {
    assert_eq!(packed_with(|c| c.flags &= !0x01), "user-not-present");
    assert_eq!(packed_with(|c| c.flags &= !0x04), "user-not-verified");
    let optional = |c: &mut Ceremony| {
        c.flags &= !0x04;
        c.expectation.require_uv = false;
    };
    assert_eq!(packed_with(optional), "verified");
    assert_eq!(
        packed_with(|c| c.flags |= 0x10),
        "backup-state-inconsistent"
    );
    assert_eq!(packed_with(|c| c.flags |= 0x18), "verified");
    assert_eq!(packed_with(|c| c.flags &= !0x40), "no-credential");
}

#[test]
fn refuses_authenticator_data_that_does_not_add_up() {
    assert_eq!(
        packed_with(|c| c.tail = vec![0]),
        "authenticator-data-malformed"
    );
    assert_eq!(
        packed_with(|c| c.flags |= 0x80),
        "authenticator-data-malformed"
    );
    assert_eq!(
        packed_with(|c| c.credential_id = vec![1; 1024]),
        "authenticator-data-malformed"
    );
    assert_eq!(
        packed_with(|c| c.credential_id = Vec::new()),
        "authenticator-data-malformed"
    );
    let extensions = |c: &mut Ceremony| {
        c.flags |= 0x80;
        c.tail = vec![0xa1, 0x61, b'x', 0xf5];
    };
    assert_eq!(packed_with(extensions), "verified");
}

#[test]
fn refuses_credential_keys_that_are_none() {
    let off_curve = |c: &mut Ceremony| {
        let mut cose = c.credential.cose();
        let last = cose.len() - 1;
        cose[last] ^= 1;
        c.cose = Some(cose);
    };
    assert_eq!(packed_with(off_curve), "credential-key-malformed");
    // {1: 2, 3: -1000}
    assert_eq!(
        packed_with(|c| c.cose = Some(vec![0xa2, 1, 2, 3, 0x39, 0x03, 0xe7])),
        "credential-algorithm-unsupported"
    );
    // Ed448 with a short key.
    assert_eq!(
        packed_with(|c| c.cose = Some(vec![0xa4, 1, 1, 3, 0x38, 0x34, 0x20, 7, 0x21, 0x41, 0])),
        "credential-algorithm-unsupported"
    );
}

#[test]
fn refuses_formats_by_name() {
    let ceremony = Ceremony::new();
    let named = |format: &str| reason(&ceremony, &ceremony.object(format, &Statement::default()));
    assert_eq!(named("none"), "verified");
    assert_eq!(
        named("android-safetynet"),
        "unsupported-format-android-safetynet"
    );
    assert_eq!(named("compound"), "unsupported-format-compound");
    assert_eq!(named("Packed"), "unsupported-format");
    assert_eq!(named(""), "unsupported-format");
    let something = ceremony.object("none", &Statement::default().int("alg", -7));
    assert_eq!(reason(&ceremony, &something), "statement-malformed");
}

#[test]
fn refuses_objects_that_are_not_attestation_objects() {
    let ceremony = Ceremony::new();
    let leaf = manufacturer().issue(Draft::leaf());
    let good = ceremony.packed(&leaf, &[]);
    assert_eq!(
        reason(&ceremony, &[&good[..], &[0]].concat()),
        "attestation-object-malformed"
    );
    assert_eq!(
        reason(&ceremony, &good[..good.len() - 1]),
        "attestation-object-malformed"
    );
    assert_eq!(reason(&ceremony, &[]), "attestation-object-malformed");
    assert_eq!(reason(&ceremony, &[0xa0]), "attestation-object-malformed");
    assert_eq!(reason(&ceremony, &[0x80]), "attestation-object-malformed");
}

#[test]
fn refuses_packed_statements_with_a_member_wrong() {
    assert_eq!(packed_stating(|s| s.without("alg")), "statement-malformed");
    assert_eq!(
        packed_stating(|s| s.text("alg", "ES256")),
        "statement-malformed"
    );
    assert_eq!(packed_stating(|s| s.without("sig")), "statement-malformed");
    assert_eq!(
        packed_stating(|s| s.text("sig", "x")),
        "statement-malformed"
    );
    assert_eq!(
        packed_stating(|s| s.chain(Vec::new())),
        "statement-malformed"
    );
    assert_eq!(
        packed_stating(|s| s.text("x5c", "x")),
        "statement-malformed"
    );
    assert_eq!(
        packed_stating(|s| s.chain(vec![vec![0x30]])),
        "certificate-malformed"
    );
    assert_eq!(
        packed_stating(|s| s.chain(vec![vec![0x30, 0]; 9])),
        "certificate-malformed"
    );
    assert_eq!(
        packed_stating(|s| s.int("alg", -999)),
        "statement-algorithm-unsupported"
    );
    assert_eq!(
        packed_stating(|s| s.int("alg", -257)),
        "statement-algorithm-mismatch"
    );
    assert_eq!(packed_stating(|s| s.int("alg", -35)), "signature-invalid");
    assert_eq!(
        packed_stating(|s| s.bytes("sig", vec![0; 70])),
        "signature-invalid"
    );
    assert_eq!(
        packed_stating(|s| s.without("x5c").bytes("ecdaaKeyId", vec![1])),
        "ecdaa-unsupported"
    );
}

#[test]
fn refuses_a_packed_signature_by_another_key_or_over_other_bytes() {
    let (ceremony, other) = (Ceremony::new(), Ceremony::new());
    let root = manufacturer();
    let (leaf, stranger) = (root.issue(Draft::leaf()), root.issue(Draft::leaf()));
    let moved = ceremony.object("packed", &packed(&other, &leaf, &[]));
    assert_eq!(reason(&ceremony, &moved), "signature-invalid");
    let swapped = packed(&ceremony, &leaf, &[]).chain(vec![stranger.der]);
    assert_eq!(
        reason(&ceremony, &ceremony.object("packed", &swapped)),
        "signature-invalid"
    );
}

#[test]
fn refuses_packed_leaves_that_break_one_rule() {
    assert_eq!(packed_by(Draft::leaf()), "verified");
    // §8.2.1: country, organization, unit, name.
    for (attribute, text) in [
        (6, None),
        (6, Some("FRA")),
        (6, Some("7x")),
        (10, None),
        (10, Some("")),
        (11, None),
        (11, Some("Authenticator attestation")),
        (3, None),
    ] {
        assert_eq!(
            packed_by(Draft::leaf().named(attribute, text)),
            "certificate-requirements",
            "{attribute} {text:?}"
        );
    }
    let mut two_units = Draft::leaf();
    two_units.subject.push((11, "Web Server".to_owned()));
    assert_eq!(packed_by(two_units), "certificate-requirements");
    // basicConstraints absent, CA, unreadable.
    assert_eq!(
        packed_by(Draft::leaf().without(oid::BASIC_CONSTRAINTS)),
        "certificate-requirements"
    );
    for value in [sequence(&[der(1, &[0xff])]), vec![0x30], der(4, &[])] {
        assert_eq!(
            packed_by(Draft::leaf().with(oid::BASIC_CONSTRAINTS, true, value)),
            "certificate-requirements"
        );
    }
    // Version 1 has no extensions; version 2 neither, by rights.
    let mut second = Draft::leaf();
    second.version = 2;
    assert_eq!(packed_by(second), "certificate-requirements");
}

#[test]
fn refuses_packed_leaves_for_another_model() {
    assert_eq!(
        packed_by(Draft::leaf().without(oid::FIDO_AAGUID)),
        "verified"
    );
    assert_eq!(
        packed_by(Draft::leaf().with(oid::FIDO_AAGUID, false, der(4, &[9; 16]))),
        "certificate-aaguid-mismatch"
    );
    assert_eq!(
        packed_by(Draft::leaf().with(oid::FIDO_AAGUID, true, der(4, &AAGUID))),
        "certificate-requirements"
    );
    // Without the inner OCTET STRING, with one byte more, one less.
    for value in [
        AAGUID.to_vec(),
        der(4, &[9; 15]),
        [der(4, &AAGUID), vec![0]].concat(),
    ] {
        assert_eq!(
            packed_by(Draft::leaf().with(oid::FIDO_AAGUID, false, value)),
            "certificate-requirements"
        );
    }
}

#[test]
fn refuses_a_relabelled_android_key() {
    // Its leaf certifies the credential and describes the ceremony; called packed, only the rules for the leaf tell.
    let (ceremony, root) = (Ceremony::new(), manufacturer());
    let leaf = Identity {
        der: root.certify(&android_draft(&ceremony), ceremony.credential.spki()),
        key: Key::new(),
        draft: Draft::leaf(),
    };
    let statement = Statement::default()
        .int("alg", -7)
        .bytes("sig", ceremony.credential.sign(&ceremony.signed()))
        .chain(vec![leaf.der]);
    assert_eq!(
        reason(&ceremony, &ceremony.object("android-key", &statement)),
        "verified"
    );
    assert_eq!(
        reason(&ceremony, &ceremony.object("packed", &statement)),
        "certificate-requirements"
    );
}

#[test]
fn self_attestation_is_called_what_it_is() {
    let ceremony = Ceremony::new();
    let statement = Statement::default()
        .int("alg", -7)
        .bytes("sig", ceremony.credential.sign(&ceremony.signed()));
    let verified = ceremony
        .verify(&ceremony.object("packed", &statement))
        .unwrap();
    assert_eq!(verified.attestation_type(), AttestationType::SelfSigned);
    let other = statement.clone().int("alg", -8);
    assert_eq!(
        reason(&ceremony, &ceremony.object("packed", &other)),
        "statement-algorithm-mismatch"
    );
    let forged = statement.bytes("sig", Key::new().sign(&ceremony.signed()));
    assert_eq!(
        reason(&ceremony, &ceremony.object("packed", &forged)),
        "signature-invalid"
    );
}

#[test]
fn u2f_verifies_and_refuses() {
    let (ceremony, root) = (Ceremony::new(), manufacturer());
    let leaf = root.issue(Draft::authority("U2F"));
    let statement = Statement::default()
        .bytes("sig", leaf.key.sign(&ceremony.signed_u2f()))
        .chain(vec![leaf.der.clone()]);
    let judged = |statement: &Statement| reason(&ceremony, &ceremony.object("fido-u2f", statement));
    assert_eq!(judged(&statement), "verified");
    assert_eq!(
        judged(
            &statement
                .clone()
                .chain(vec![leaf.der.clone(), root.der.clone()])
        ),
        "statement-malformed"
    );
    assert_eq!(
        judged(&statement.clone().without("sig")),
        "statement-malformed"
    );
    assert_eq!(
        judged(
            &statement
                .clone()
                .bytes("sig", leaf.key.sign(&ceremony.signed()))
        ),
        "signature-invalid"
    );
    let rsa_like = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = rcgen::CertificateParams::default()
        .self_signed(&rsa_like)
        .unwrap()
        .der()
        .to_vec();
    assert_eq!(
        judged(&statement.chain(vec![p384])),
        "certificate-requirements"
    );
}

#[test]
fn packed_takes_fully_specified_algorithms_on_their_curve_only() {
    assert_eq!(packed_stating(|s| s.int("alg", -9)), "verified");
    // Which webauthn-rs does not know: no ground to refuse an enrolment.
    let (ceremony, leaf) = (Ceremony::new(), manufacturer().issue(Draft::leaf()));
    let opinion_on = |number| {
        let statement = packed(&ceremony, &leaf, &[]).int("alg", number);
        let object = ceremony.object("packed", &statement);
        let client = ceremony.client_data_json();
        let response = RegistrationResponse {
            client_data_json: &client,
            attestation_object: &object,
        };
        let verified = ceremony.verify(&object).unwrap();
        second_opinion::ask(&response, &ceremony.expectation, &verified)
    };
    assert_eq!(opinion_on(-9), Opinion::Silent("attestation-algorithm"));
    assert_eq!(opinion_on(-7), Opinion::Agrees);
    assert_eq!(
        packed_stating(|s| s.int("alg", -51)),
        "statement-algorithm-mismatch"
    );
    // Self attestation: any algorithm that the credential's key verifies with, ESP256 here.
    let mut ceremony = Ceremony::new();
    let mut cose = ceremony.credential.cose();
    assert_eq!(cose[3..5], [0x03, 0x26], "alg -7");
    cose[4] = 0x28;
    ceremony.cose = Some(cose);
    let own = |number| {
        let signature = ceremony.credential.sign(&ceremony.signed());
        let statement = Statement::default().int("alg", number);
        reason(
            &ceremony,
            &ceremony.object("packed", &statement.bytes("sig", signature)),
        )
    };
    assert_eq!(own(-9), "verified");
    assert_eq!(own(-7), "statement-algorithm-mismatch");
}

/// A TPM's certification of the credential, in parts that can be changed.
struct Tpm {
    magic: u32,
    kind: u16,
    extra_data: Vec<u8>,
    point: Vec<u8>,
    /// An RSA key's modulus, instead of the point.
    modulus: Option<Vec<u8>>,
    name_of: Option<Vec<u8>>,
    tail: Vec<u8>,
    leaf: Draft,
}

const MANUFACTURER: &[u8] = &[0x67, 0x81, 0x05, 0x02, 0x01];

fn tpm_name(last: &[u8]) -> Vec<u8> {
    let attribute = |oid: &[u8]| der(0x31, &sequence(&[der(6, oid), der(0x0c, b"id:53434555")]));
    let rdns: Vec<_> = last
        .iter()
        .map(|byte| attribute(&[&MANUFACTURER[..4], &[*byte]].concat()))
        .collect();
    sequence(&[der(0xa4, &sequence(&rdns))])
}

impl Tpm {
    fn new(ceremony: &Ceremony) -> Self {
        let leaf = Draft {
            subject: Vec::new(),
            ..Draft::leaf()
        }
        .with(oid::SUBJECT_ALT_NAME, true, tpm_name(&[1, 2, 3]))
        .with(
            oid::EXTENDED_KEY_USAGE,
            false,
            sequence(&[der(6, oid::TCG_AIK_CERTIFICATE)]),
        );
        Self {
            magic: 0xff54_4347,
            kind: 0x8017,
            extra_data: sha256(&ceremony.signed()),
            point: ceremony.credential.point(),
            modulus: None,
            name_of: None,
            tail: Vec::new(),
            leaf,
        }
    }

    fn statement(&self) -> Statement {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
        // ECC, SHA-256, attributes, no policy, no symmetric, no scheme, P-256, no KDF, x, y
        let mut public = vec![
            0x00, 0x23, 0x00, 0x0b, 0, 0, 0, 0, 0, 0, 0x00, 0x10, 0x00, 0x10, 0x00, 0x03, 0x00,
            0x10,
        ];
        public.extend([sized(&self.point[1..33]), sized(&self.point[33..])].concat());
        if let Some(modulus) = &self.modulus {
            // RSA, SHA-256, attributes, no policy, no symmetric, no scheme, 2048 bits, exponent 65537, modulus
            public = vec![
                0x00, 0x01, 0x00, 0x0b, 0, 0, 0, 0, 0, 0, 0x00, 0x10, 0x00, 0x10, 0x08, 0x00, 0, 0,
                0, 0,
            ];
            public.extend(sized(modulus));
        }
        let name = [
            vec![0x00, 0x0b],
            sha256(self.name_of.as_ref().unwrap_or(&public)),
        ]
        .concat();
        let mut info = [&self.magic.to_be_bytes()[..], &self.kind.to_be_bytes()].concat();
        info.extend(
            [
                sized(&[1, 2]),
                sized(&self.extra_data),
                vec![0x33; 25],
                sized(&name),
                sized(&[]),
                self.tail.clone(),
            ]
            .concat(),
        );
        let aik = manufacturer().issue(self.leaf.clone());
        Statement::default()
            .text("ver", "2.0")
            .int("alg", -7)
            .bytes("sig", aik.key.sign(&info))
            .bytes("certInfo", info)
            .bytes("pubArea", public)
            .chain(vec![aik.der])
    }
}

fn tpm_with(change: impl FnOnce(&mut Tpm)) -> &'static str {
    let ceremony = Ceremony::new();
    let mut tpm = Tpm::new(&ceremony);
    change(&mut tpm);
    reason(&ceremony, &ceremony.object("tpm", &tpm.statement()))
}

#[test]
fn tpm_refuses_what_was_certified_otherwise() {
    assert_eq!(tpm_with(|_| ()), "verified");
    assert_eq!(tpm_with(|t| t.magic = 0), "tpm-structure-invalid");
    assert_eq!(tpm_with(|t| t.kind = 0x8018), "tpm-structure-invalid");
    assert_eq!(tpm_with(|t| t.tail = vec![0]), "tpm-structure-invalid");
    assert_eq!(
        tpm_with(|t| t.extra_data = sha256(b"another ceremony")),
        "tpm-extra-data-mismatch"
    );
    assert_eq!(
        tpm_with(|t| t.point = Key::new().point()),
        "tpm-key-mismatch"
    );
    assert_eq!(
        tpm_with(|t| t.name_of = Some(b"another object".to_vec())),
        "tpm-name-mismatch"
    );
}

/// RS1 credentials, as the conformance tools make them: we could not verify with one, and still tell whether it is the one certified.
#[test]
fn tpm_compares_keys_that_we_do_not_verify_with() {
    let mut ceremony = Ceremony::new();
    let modulus = [&[0xab][..], &[0xcd; 254], &[0x01]].concat();
    ceremony.cose = Some(
        [
            &[0xa4, 1, 3, 3, 0x39, 0xff, 0xfe, 0x20, 0x59, 1, 0][..],
            &modulus,
            &[0x21, 0x43, 1, 0, 1],
        ]
        .concat(),
    );
    let judged = |certified: Option<&[u8]>| {
        let mut tpm = Tpm::new(&ceremony);
        tpm.modulus = certified.map(<[u8]>::to_vec);
        reason(&ceremony, &ceremony.object("tpm", &tpm.statement()))
    };
    assert_eq!(judged(Some(&modulus)), "verified");
    assert_eq!(judged(Some(&[0xab; 256])), "tpm-key-mismatch");
    assert_eq!(judged(None), "tpm-key-mismatch");
}

#[test]
fn tpm_refuses_leaves_that_break_one_rule() {
    let leaf = |change: fn(Draft) -> Draft| tpm_with(|t| t.leaf = change(t.leaf.clone()));
    assert_eq!(
        leaf(|d| d.named(3, Some("a name"))),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.without(oid::SUBJECT_ALT_NAME)),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.with(oid::SUBJECT_ALT_NAME, true, tpm_name(&[1, 2]))),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.without(oid::EXTENDED_KEY_USAGE)),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.with(
            oid::EXTENDED_KEY_USAGE,
            false,
            sequence(&[der(6, &[0x55, 0x1d, 0x25, 0])])
        )),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.without(oid::BASIC_CONSTRAINTS)),
        "certificate-requirements"
    );
    assert_eq!(
        leaf(|d| d.with(oid::FIDO_AAGUID, false, der(4, &[9; 16]))),
        "certificate-aaguid-mismatch"
    );
}

#[test]
fn tpm_refuses_statements_with_a_member_wrong() {
    let ceremony = Ceremony::new();
    let stating = |change: fn(Statement) -> Statement| {
        reason(
            &ceremony,
            &ceremony.object("tpm", &change(Tpm::new(&ceremony).statement())),
        )
    };
    assert_eq!(stating(|s| s.text("ver", "1.2")), "statement-malformed");
    assert_eq!(stating(|s| s.without("certInfo")), "statement-malformed");
    assert_eq!(stating(|s| s.without("x5c")), "statement-malformed");
    assert_eq!(
        stating(|s| s.bytes("pubArea", vec![0, 0x23])),
        "tpm-structure-invalid"
    );
    assert_eq!(
        stating(|s| s.int("alg", -8)),
        "statement-algorithm-mismatch"
    );
    assert_eq!(
        stating(|s| s.bytes("sig", vec![0; 70])),
        "signature-invalid"
    );
}

fn android_list(purpose: Option<u8>, origin: Option<u8>, all_applications: bool) -> Vec<u8> {
    let mut fields = Vec::new();
    fields.extend(purpose.map(|value| der(0xa1, &der(0x31, &der(2, &[value])))));
    if all_applications {
        fields.push(vec![0xbf, 0x84, 0x58, 0x02, 0x05, 0x00]);
    }
    fields.extend(origin.map(|value| [&[0xbf, 0x85, 0x3e, 0x03][..], &der(2, &[value])].concat()));
    sequence(&fields)
}

fn android_description(challenge: &[u8], software: Vec<u8>, hardware: Vec<u8>) -> Vec<u8> {
    sequence(&[
        der(2, &[3]),
        der(10, &[2]),
        der(2, &[4]),
        der(10, &[2]),
        der(4, challenge),
        der(4, &[]),
        software,
        hardware,
    ])
}

fn android_draft(ceremony: &Ceremony) -> Draft {
    let value = android_description(
        &ceremony.client_data_hash(),
        sequence(&[]),
        android_list(Some(2), Some(0), false),
    );
    Draft::authority("Android Keystore Key")
        .without(oid::BASIC_CONSTRAINTS)
        .with(oid::ANDROID_KEY_DESCRIPTION, false, value)
}

#[test]
fn android_key_verifies_and_refuses() {
    let (ceremony, root) = (Ceremony::new(), manufacturer());
    let judged = |value: Option<Vec<u8>>, spki: Vec<u8>, signer: &Key| {
        let mut draft = android_draft(&ceremony).without(oid::ANDROID_KEY_DESCRIPTION);
        if let Some(value) = value {
            draft = draft.with(oid::ANDROID_KEY_DESCRIPTION, false, value);
        }
        let statement = Statement::default()
            .int("alg", -7)
            .bytes("sig", signer.sign(&ceremony.signed()))
            .chain(vec![root.certify(&draft, spki)]);
        reason(&ceremony, &ceremony.object("android-key", &statement))
    };
    let hash = ceremony.client_data_hash();
    let own = || ceremony.credential.spki();
    let with = |software, hardware| {
        judged(
            Some(android_description(&hash, software, hardware)),
            own(),
            &ceremony.credential,
        )
    };
    let (nothing, good) = (|| sequence(&[]), || android_list(Some(2), Some(0), false));
    assert_eq!(with(nothing(), good()), "verified");
    assert_eq!(with(good(), nothing()), "verified");
    assert_eq!(
        with(
            android_list(Some(2), None, false),
            android_list(None, Some(0), false)
        ),
        "verified"
    );
    assert_eq!(
        with(nothing(), android_list(Some(2), None, false)),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(nothing(), android_list(None, Some(0), false)),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(nothing(), android_list(Some(2), Some(2), false)),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(nothing(), android_list(Some(0), Some(0), false)),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(android_list(None, Some(1), false), good()),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(android_list(Some(0), None, false), good()),
        "android-authorization-invalid"
    );
    assert_eq!(
        with(android_list(None, None, true), good()),
        "android-all-applications"
    );
    let stale = android_description(&sha256(b"before"), nothing(), good());
    assert_eq!(
        judged(Some(stale), own(), &ceremony.credential),
        "android-challenge-mismatch"
    );
    assert_eq!(
        judged(Some(vec![0x30, 0]), own(), &ceremony.credential),
        "android-key-description-invalid"
    );
    assert_eq!(
        judged(None, own(), &ceremony.credential),
        "android-key-description-invalid"
    );
    let other = Key::new();
    let fine = android_description(&hash, nothing(), good());
    assert_eq!(
        judged(Some(fine.clone()), other.spki(), &other),
        "certificate-key-mismatch"
    );
    assert_eq!(judged(Some(fine), own(), &other), "signature-invalid");
}

#[test]
fn apple_verifies_and_refuses() {
    let (ceremony, root) = (Ceremony::new(), manufacturer());
    let judged = |value: Option<Vec<u8>>, spki: Vec<u8>| {
        let mut draft = Draft::authority("apple").without(oid::BASIC_CONSTRAINTS);
        if let Some(value) = value {
            draft = draft.with(oid::APPLE_NONCE, false, value);
        }
        reason(
            &ceremony,
            &ceremony.object(
                "apple",
                &Statement::default().chain(vec![root.certify(&draft, spki)]),
            ),
        )
    };
    let nonce = |bytes: &[u8]| Some(sequence(&[der(0xa1, &der(4, bytes))]));
    let right = sha256(&ceremony.signed());
    assert_eq!(
        judged(nonce(&right), ceremony.credential.spki()),
        "verified"
    );
    assert_eq!(
        judged(nonce(&[0; 32]), ceremony.credential.spki()),
        "nonce-mismatch"
    );
    assert_eq!(judged(None, ceremony.credential.spki()), "nonce-mismatch");
    assert_eq!(
        judged(Some(der(4, &right)), ceremony.credential.spki()),
        "nonce-mismatch"
    );
    assert_eq!(
        judged(nonce(&right), Key::new().spki()),
        "certificate-key-mismatch"
    );
}
