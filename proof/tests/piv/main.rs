//! Cards: the recorded attestations judged as they are labelled, and hand-made lies.
//!
//! Reads `../shared/corpus/piv` beside the repository; where it is absent the test says so and passes. The lies are made with our own manufacturer,
//! whose honest chain is accepted first, so that each lie is refused for the one thing that is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test's own maker of certificates")]

mod ocsp;

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sceau_proof::certificate::{Certificate, PublicKeyInfo};
use sceau_proof::piv::PathError;
use sceau_proof::piv::attestation::{
    AttestationError, Claim, PinPolicy, TouchPolicy, VerifiedAttestation, Weakness, verify,
};
use sceau_proof::piv::issuer::{self, Crl, CrlError, IssuerError, Revocation, Rule, Statements};
use serde_json::Value;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const START: OffsetDateTime = datetime!(2016-03-14 0:00 UTC);
const END: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/piv");
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn pem(path: &Path) -> Vec<Certificate> {
    Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap()
}

fn roots(folder: &Path) -> Vec<Certificate> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("roots"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().flat_map(|file| pem(file)).collect()
}

#[test]
fn recorded_attestations_are_judged_as_labelled() {
    let Some(folder) = corpus() else { return };
    let roots = roots(&folder);
    let roots: Vec<_> = roots.iter().collect();
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let records = index["records"].as_array().unwrap();
    assert!(!records.is_empty());
    for record in records {
        let files = record["files"].as_object().unwrap();
        let file = |name: &str| pem(&folder.join(files[name].as_str().unwrap()));
        let leaf = file("leaf").remove(0);
        let intermediates: Vec<_> = files
            .keys()
            .filter(|name| *name != "leaf")
            .flat_map(|name| file(name))
            .collect();
        for at in [Some(NOW), None] {
            let claim = Claim {
                leaf: &leaf,
                intermediates: &intermediates,
                public_key: None,
            };
            let judged = verify(&claim, &roots, at);
            let id = &record["id"];
            assert_eq!(
                judged.is_ok(),
                record["expected"] == "valid",
                "{id}: {judged:?}"
            );
            if let Ok(verified) = judged {
                compare(&verified, record);
            }
        }
    }
}

fn compare(verified: &VerifiedAttestation, record: &Value) {
    let [major, minor, patch] = verified.firmware();
    let leaf = &record["leaf_ext"];
    assert_eq!(
        format!("{major}.{minor}.{patch}"),
        leaf["firmware"].as_str().unwrap()
    );
    assert_eq!(verified.serial(), leaf["serial"].as_u64());
    assert_eq!(
        verified.pin_policy().as_str(),
        leaf["pin_policy"].as_str().unwrap()
    );
    assert_eq!(
        verified.touch_policy().as_str(),
        leaf["touch_policy"].as_str().unwrap()
    );
    assert_eq!(
        verified
            .form_factor()
            .map(|form| format!("0x{:02x}", form.byte()))
            .as_deref(),
        leaf["formfactor"].as_str()
    );
    assert_eq!(verified.is_fips(), record["f9_ext"]["fips"].is_string());
    assert_eq!(
        format!("{:02x}", verified.slot()),
        record["slot"].as_str().unwrap()
    );
}

/// A certificate and the key in it.
struct Made {
    parameters: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    (parameters.not_before, parameters.not_after) = (START, END);
    parameters
}

fn authority(name: &str, length: u8) -> CertificateParams {
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
    parameters
}

fn root(parameters: CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = Certificate::from_der(parameters.self_signed(&key).unwrap().der()).unwrap();
    Made {
        parameters,
        key,
        certificate,
    }
}

fn issue(by: &Made, parameters: CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    let signed = parameters
        .signed_by(&key, &Issuer::from_params(&by.parameters, &by.key))
        .unwrap();
    Made {
        certificate: Certificate::from_der(signed.der()).unwrap(),
        parameters,
        key,
    }
}

fn extension(last: u64, content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, last], content.to_vec())
}

/// Firmware 5.7.4, serial 0x010203, PIN always, touch always, USB-C.
fn leaf_parameters(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    let content: [(u64, &[u8]); 4] = [
        (3, &[5, 7, 4]),
        (7, &[2, 3, 1, 2, 3]),
        (8, &[3, 2]),
        (9, &[3]),
    ];
    parameters.custom_extensions = content
        .map(|(last, content)| extension(last, content))
        .to_vec();
    parameters
}

const NAME: &str = "YubiKey PIV Attestation 9c";

/// The hierarchy since 2024: root, two intermediates, F9, leaf.
struct House {
    root: Made,
    first: Made,
    second: Made,
    f9: Made,
    leaf: Made,
}

fn house() -> House {
    let root = root(authority("Attestation Root 1", 3));
    let first = issue(&root, authority("Attestation Intermediate B 1", 2));
    let second = issue(&first, authority("PIV Attestation B 1", 1));
    let f9 = issue(&second, authority("Yubico PIV Attestation", 0));
    let leaf = issue(&f9, leaf_parameters(NAME));
    House {
        root,
        first,
        second,
        f9,
        leaf,
    }
}

impl House {
    fn judge(&self, leaf: &Made) -> Result<VerifiedAttestation, AttestationError> {
        judge(
            leaf,
            &[&self.f9, &self.second, &self.first],
            &[&self.root],
            Some(NOW),
        )
    }
}

fn judge(
    leaf: &Made,
    chain: &[&Made],
    roots: &[&Made],
    at: Option<OffsetDateTime>,
) -> Result<VerifiedAttestation, AttestationError> {
    let chain: Vec<_> = chain.iter().map(|made| made.certificate.clone()).collect();
    let roots: Vec<_> = roots.iter().map(|made| &made.certificate).collect();
    verify(
        &Claim {
            leaf: &leaf.certificate,
            intermediates: &chain,
            public_key: None,
        },
        &roots,
        at,
    )
}

#[test]
fn accepts_the_new_hierarchy_with_intermediates_in_any_order_or_in_the_roots_folder() {
    let house = house();
    let House {
        root,
        first,
        second,
        f9,
        leaf,
    } = &house;
    for chain in [
        [f9, second, first],
        [first, f9, second],
        [second, first, f9],
        [first, second, f9],
    ] {
        let verified = judge(leaf, &chain, &[root], Some(NOW)).unwrap();
        assert_eq!(verified.anchor(), "CN=Attestation Root 1");
        assert_eq!(verified.chain().len(), 5);
        assert_eq!(
            (verified.firmware(), verified.serial(), verified.slot()),
            ([5, 7, 4], Some(0x01_02_03), 0x9c)
        );
        assert_eq!(
            (verified.pin_policy(), verified.touch_policy()),
            (PinPolicy::Always, TouchPolicy::Always)
        );
        assert_eq!(
            verified.form_factor().unwrap().name(),
            Some("usb-c-keychain")
        );
        assert!(!verified.is_fips() && !verified.is_cspn() && verified.weakness().is_none());
    }
    let configured = judge(leaf, &[f9], &[root, first, second], Some(NOW)).unwrap();
    assert_eq!(configured.anchor(), "CN=Attestation Root 1");
    assert_eq!(
        judge(leaf, &[f9, second, first, root], &[root], None)
            .unwrap()
            .chain()
            .len(),
        5
    );
}

#[test]
fn the_attested_key_must_be_the_one_that_was_presented() {
    let house = house();
    let chain = [&house.f9, &house.second, &house.first].map(|made| made.certificate.clone());
    let roots = [&house.root.certificate];
    let ask = |key: &PublicKeyInfo| {
        verify(
            &Claim {
                leaf: &house.leaf.certificate,
                intermediates: &chain,
                public_key: Some(key),
            },
            &roots,
            Some(NOW),
        )
    };
    assert!(ask(house.leaf.certificate.public_key()).is_ok());
    assert_eq!(
        ask(house.f9.certificate.public_key()),
        Err(AttestationError::PublicKey)
    );
}

#[test]
fn a_leaf_by_another_card_or_a_forged_policy_has_no_valid_signature() {
    let (house, other) = (house(), house());
    assert_eq!(house.judge(&other.leaf), Err(PathError::Signature.into()));
    // Touch policy "always" written over "never": the certificate's bytes, changed where the policy is.
    let mut parameters = leaf_parameters(NAME);
    parameters.custom_extensions[2] = extension(8, &[3, 1]);
    let honest = issue(&house.f9, parameters);
    assert_eq!(
        house.judge(&honest).unwrap().touch_policy(),
        TouchPolicy::Never
    );
    let mut der = honest.certificate.der().to_vec();
    let id = [
        0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xc4, 0x0a, 0x03, 0x08, 0x04, 0x02, 0x03, 0x01,
    ];
    let at = der
        .windows(id.len())
        .position(|window| window == id)
        .unwrap();
    der[at + 13] = 2;
    let forged = Made {
        certificate: Certificate::from_der(&der).unwrap(),
        ..honest
    };
    assert_eq!(house.judge(&forged), Err(PathError::Signature.into()));
}

/// Whatever byte of the leaf or of its issuer is changed: nothing but the untouched chain is accepted.
#[test]
fn no_changed_byte_is_accepted() {
    let house = house();
    let chain = [&house.f9, &house.second, &house.first].map(|made| made.certificate.clone());
    let roots = [&house.root.certificate];
    let ask = |leaf: &Certificate, chain: &[Certificate]| {
        verify(
            &Claim {
                leaf,
                intermediates: chain,
                public_key: None,
            },
            &roots,
            Some(NOW),
        )
        .is_ok()
    };
    assert!(ask(&house.leaf.certificate, &chain));
    let changed = |certificate: &Certificate, at: usize, flip: u8| {
        let mut der = certificate.der().to_vec();
        // How many bits of the signature's BIT STRING are unused says nothing about whole octets; old devices get it wrong.
        let unused_bits = der
            .windows(4)
            .rposition(|w| w[0] == 0x03 && w[2..] == [0, 0x30])
            .map(|at| at + 2);
        der[at] ^= flip;
        Certificate::from_der(&der)
            .ok()
            .filter(|_| Some(at) != unused_bits)
    };
    for flip in [0x01, 0x20, 0x80] {
        for at in 0..house.leaf.certificate.der().len() {
            let accepted =
                changed(&house.leaf.certificate, at, flip).is_some_and(|leaf| ask(&leaf, &chain));
            assert!(!accepted, "leaf byte {at} ^ {flip:#x}");
        }
        for at in 0..chain[0].der().len() {
            let f9 = changed(&chain[0], at, flip);
            let accepted = f9.is_some_and(|f9| {
                ask(
                    &house.leaf.certificate,
                    &[f9, chain[1].clone(), chain[2].clone()],
                )
            });
            assert!(!accepted, "F9 byte {at} ^ {flip:#x}");
        }
    }
}

#[test]
fn an_intermediate_or_a_slot_is_neither_leaf_nor_issuer_of_another() {
    let house = house();
    assert_eq!(
        judge(
            &house.f9,
            &[&house.second, &house.first],
            &[&house.root],
            Some(NOW)
        ),
        Err(AttestationError::NotAttestation)
    );
    // The slot's key signs a second "attestation": its certificate has no basicConstraints, and is no issuer.
    let second = issue(&house.leaf, leaf_parameters(NAME));
    let chain = [&house.leaf, &house.f9, &house.second, &house.first];
    assert_eq!(
        judge(&second, &chain, &[&house.root], Some(NOW)),
        Err(PathError::NotAuthority.into())
    );
    let mut parameters = leaf_parameters(NAME);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(
        house.judge(&issue(&house.f9, parameters)),
        Err(AttestationError::LeafIsAuthority)
    );
    let mut parameters = leaf_parameters(NAME);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    assert_eq!(
        house.judge(&issue(&house.f9, parameters)),
        Err(AttestationError::LeafIsAuthority)
    );
    let long = issue(&house.f9, authority("Yubico PIV Attestation 2", 0));
    let leaf = issue(&long, leaf_parameters(NAME));
    let chain = [&long, &house.f9, &house.second, &house.first];
    assert_eq!(
        judge(&leaf, &chain, &[&house.root], Some(NOW)),
        Err(PathError::NotAuthority.into())
    );
}

#[test]
fn a_root_of_the_same_name_is_another_root() {
    let (house, impostor) = (house(), house());
    let chain = [
        &impostor.f9,
        &impostor.second,
        &impostor.first,
        &impostor.root,
    ];
    assert_eq!(
        judge(&impostor.leaf, &chain, &[&house.root], Some(NOW)),
        Err(PathError::Signature.into())
    );
    let stranger = root(authority("Somebody", 3));
    assert_eq!(
        judge(&impostor.leaf, &chain, &[&stranger], Some(NOW)),
        Err(PathError::UnknownRoot.into())
    );
    assert_eq!(
        judge(&impostor.leaf, &chain, &[], Some(NOW)),
        Err(PathError::UnknownRoot.into())
    );
    // Both in the folder: the right one is found.
    assert!(
        judge(
            &impostor.leaf,
            &chain[..3],
            &[&house.root, &impostor.root],
            Some(NOW)
        )
        .is_ok()
    );
}

#[test]
fn an_f9_without_basic_constraints_counts_only_right_below_a_configured_certificate() {
    let root = root(authority("PIV Root CA", 0));
    let bare = issue(&root, named("Yubico PIV Attestation"));
    let leaf = issue(&bare, leaf_parameters(NAME));
    assert!(judge(&leaf, &[&bare], &[&root], Some(NOW)).is_ok());
    let other_name = issue(&root, named("Yubico U2F EE Serial 1"));
    let leaf = issue(&other_name, leaf_parameters(NAME));
    assert_eq!(
        judge(&leaf, &[&other_name], &[&root], Some(NOW)),
        Err(PathError::NotAuthority.into())
    );
    let house = house();
    let bare = issue(&house.second, named("Yubico PIV Attestation"));
    let leaf = issue(&bare, leaf_parameters(NAME));
    let chain = [&bare, &house.second, &house.first];
    assert_eq!(
        judge(&leaf, &chain, &[&house.root], Some(NOW)),
        Err(PathError::NotAuthority.into())
    );
    assert!(
        judge(
            &leaf,
            &chain,
            &[&house.root, &house.first, &house.second],
            Some(NOW)
        )
        .is_ok()
    );
}

#[test]
fn every_certificate_of_the_path_must_be_valid_at_the_time() {
    let house = house();
    let mut old = authority("PIV Attestation B 1", 1);
    old.not_after = datetime!(2020-01-01 0:00 UTC);
    let old = issue(&house.first, old);
    let f9 = issue(&old, authority("Yubico PIV Attestation", 0));
    let leaf = issue(&f9, leaf_parameters(NAME));
    let chain = [&f9, &old, &house.first];
    let at = |time| judge(&leaf, &chain, &[&house.root], time).map(|_| ());
    assert_eq!(at(Some(NOW)), Err(PathError::Expired.into()));
    assert_eq!(at(Some(datetime!(2019-01-01 0:00 UTC))), Ok(()));
    assert_eq!(
        at(Some(datetime!(2015-01-01 0:00 UTC))),
        Err(PathError::NotYetValid.into())
    );
    assert_eq!(at(None), Ok(()));
    let mut late = leaf_parameters(NAME);
    late.not_before = datetime!(2021-01-01 0:00 UTC);
    let late = issue(&f9, late);
    assert_eq!(
        judge(&late, &chain, &[&house.root], None),
        Err(PathError::NeverValid.into())
    );
}

#[test]
fn names_and_extensions_must_be_those_of_an_attestation() {
    let house = house();
    for name in [
        "YubiKey PIV Attestation f9",
        "YubiKey PIV Attestation 9b",
        "YubiKey PIV Attestation",
        "YubiKey PIV Attestation 9c ",
        "Somebody",
    ] {
        let leaf = issue(&house.f9, leaf_parameters(name));
        assert_eq!(
            house.judge(&leaf),
            Err(AttestationError::NotAttestation),
            "{name}"
        );
    }
    let with = |change: &dyn Fn(&mut Vec<CustomExtension>)| {
        let mut parameters = leaf_parameters(NAME);
        change(&mut parameters.custom_extensions);
        house.judge(&issue(&house.f9, parameters))
    };
    let wrong = Err(AttestationError::Extensions);
    assert_eq!(with(&|it| drop(it.remove(0))), wrong);
    assert_eq!(with(&|it| drop(it.remove(2))), wrong);
    assert_eq!(with(&|it| it[0] = extension(3, &[5, 7])), wrong);
    assert_eq!(with(&|it| it[2] = extension(8, &[3])), wrong);
    assert_eq!(with(&|it| it[2] = extension(8, &[3, 4])), wrong);
    assert_eq!(with(&|it| it[2] = extension(8, &[9, 2])), wrong);
    assert_eq!(with(&|it| it[1] = extension(7, &[2, 1, 0xff])), wrong);
    assert_eq!(with(&|it| it[1] = extension(7, &[2, 1, 1, 0])), wrong);
    assert_eq!(with(&|it| it[3] = extension(9, &[])), wrong);
    assert!(with(&|it| drop(it.remove(1))).unwrap().serial().is_none());
    assert!(
        with(&|it| drop(it.remove(3)))
            .unwrap()
            .form_factor()
            .is_none()
    );
    // As an OCTET STRING: the length octet is never taken for a policy.
    let wrapped =
        with(&|it| (it[0], it[2]) = (extension(3, &[4, 3, 5, 7, 4]), extension(8, &[4, 2, 3, 1])))
            .unwrap();
    assert_eq!(
        (wrapped.firmware(), wrapped.touch_policy()),
        ([5, 7, 4], TouchPolicy::Never)
    );
    assert!(with(&|it| it[3] = extension(9, &[0x83])).unwrap().is_fips());
    let critical = with(&|it| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        unknown.set_criticality(true);
        it.push(unknown);
    });
    assert_eq!(critical, Err(PathError::UnknownCritical.into()));
}

#[test]
fn a_presence_key_is_beside_a_signature_key_of_the_same_serial_and_maker_alone() {
    use sceau_proof::piv::presence::is_beside;
    let house = house();
    let attested = |slot: &str, serial: u8| {
        let mut parameters = leaf_parameters(&format!("YubiKey PIV Attestation {slot}"));
        parameters.custom_extensions[1] = extension(7, &[2, 1, serial]);
        house.judge(&issue(&house.f9, parameters)).unwrap()
    };
    let signature = attested("9c", 7);
    assert!(is_beside(&attested("9e", 7), &signature));
    assert!(!is_beside(&attested("9e", 8), &signature));
    assert!(!is_beside(&attested("9a", 7), &signature));
    assert!(!is_beside(&signature, &attested("9e", 7)));
    let other_maker = root(authority("Another Root", 1));
    let f9 = issue(&other_maker, authority("Yubico PIV Attestation", 0));
    let mut parameters = leaf_parameters("YubiKey PIV Attestation 9e");
    parameters.custom_extensions[1] = extension(7, &[2, 1, 7]);
    let elsewhere = judge(&issue(&f9, parameters), &[&f9], &[&other_maker], Some(NOW));
    assert!(!is_beside(&elsewhere.unwrap(), &signature));
    let unnumbered = |slot: &str| {
        let mut parameters = leaf_parameters(&format!("YubiKey PIV Attestation {slot}"));
        parameters.custom_extensions.remove(1);
        house.judge(&issue(&house.f9, parameters)).unwrap()
    };
    assert!(!is_beside(&unnumbered("9e"), &unnumbered("9c")));
}

#[test]
fn rsa_keys_of_infineon_firmware_are_named_weak() {
    let house = house();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for (firmware, weak) in [
        ([4, 2, 6], true),
        ([4, 3, 4], true),
        ([4, 3, 5], false),
        ([5, 2, 4], false),
    ] {
        let mut parameters = leaf_parameters(NAME);
        parameters.custom_extensions[0] = extension(3, &firmware);
        let signed = parameters
            .signed_by(
                &rsa,
                &Issuer::from_params(&house.f9.parameters, &house.f9.key),
            )
            .unwrap();
        let certificate = Certificate::from_der(signed.der()).unwrap();
        let leaf = Made {
            parameters,
            key: KeyPair::generate().unwrap(),
            certificate,
        };
        assert_eq!(
            house.judge(&leaf).unwrap().weakness(),
            weak.then_some(Weakness::Roca)
        );
    }
}

#[test]
fn an_rsa_signature_whose_algorithm_lacks_null_in_one_place_still_verifies() {
    let parameters = authority("PIV Root CA", 1);
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate = Certificate::from_der(parameters.self_signed(&key).unwrap().der()).unwrap();
    let root = Made {
        parameters,
        key,
        certificate,
    };
    let honest = issue(&root, leaf_parameters(NAME));
    let algorithm = [
        0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b, 5, 0,
    ];
    let mut der = honest.certificate.der().to_vec();
    let outer = der
        .windows(algorithm.len())
        .rposition(|window| window == algorithm)
        .unwrap();
    der.drain(outer + 13..outer + 15);
    der[outer + 1] -= 2;
    assert_eq!(der[1], 0x82);
    let length = u16::from_be_bytes([der[2], der[3]]) - 2;
    der[2..4].copy_from_slice(&length.to_be_bytes());
    let changed = Made {
        certificate: Certificate::from_der(&der).unwrap(),
        ..honest
    };
    assert!(judge(&changed, &[], &[&root], Some(NOW)).is_ok());
    // Another algorithm in one of the places is another matter.
    der[outer + 12] = 0x0c;
    assert!(Certificate::from_der(&der).is_err());
}

/// An administration's own card PKI.
struct Administration {
    root: Made,
    issuing: Made,
    card: Made,
}

const POLICY: [u64; 6] = [1, 2, 250, 1, 177, 1];

fn card_parameters() -> CertificateParams {
    let mut parameters = named("Camille Durand");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.serial_number = Some(0x1234_i64.to_be_bytes().to_vec().into());
    // SEQUENCE { SEQUENCE { 1.2.250.1.177.1 } }
    let policy = vec![
        0x30, 0x0b, 0x30, 0x09, 0x06, 0x07, 0x2a, 0x81, 0x7a, 0x01, 0x81, 0x31, 0x01,
    ];
    parameters
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[2, 5, 29, 32], policy));
    parameters
}

fn crl_signer(name: &str, length: u8) -> CertificateParams {
    let mut parameters = authority(name, length);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn administration() -> Administration {
    let root = root(crl_signer("AC Racine", 1));
    let issuing = issue(&root, crl_signer("AC Cartes", 0));
    let card = issue(&issuing, card_parameters());
    Administration {
        root,
        issuing,
        card,
    }
}

fn crl(
    by: &Made,
    revoked: Option<&Made>,
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
) -> Vec<u8> {
    let revoked = revoked.map(|made| rcgen::RevokedCertParams {
        serial_number: made.certificate.serial().to_vec().into(),
        revocation_time: this_update,
        reason_code: Some(rcgen::RevocationReason::KeyCompromise),
        invalidity_date: None,
    });
    let parameters = rcgen::CertificateRevocationListParams {
        this_update,
        next_update,
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.into_iter().collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    parameters
        .signed_by(&Issuer::from_params(&by.parameters, &by.key))
        .unwrap()
        .der()
        .to_vec()
}

fn rule() -> Rule {
    let policy = POLICY.map(|arc| arc.to_string()).join(".");
    Rule {
        policies: vec![policy],
        revocation: Revocation::Crl {
            max_age: Duration::days(7),
        },
    }
}

impl Administration {
    fn judge(&self, card: &Made, crls: &[Vec<u8>], rule: &Rule) -> Result<(), IssuerError> {
        let crls: Vec<_> = crls.iter().map(|der| Crl::read(der).unwrap()).collect();
        let intermediates = [self.issuing.certificate.clone()];
        let roots = [&self.root.certificate];
        let statements = Statements {
            lists: &crls,
            answers: &[],
        };
        issuer::verify(
            &card.certificate,
            &intermediates,
            &roots,
            statements,
            rule,
            NOW,
        )
        .map(|verified| {
            assert_eq!(
                (verified.subject(), verified.anchor()),
                ("CN=Camille Durand", "CN=AC Racine")
            );
            assert_eq!(verified.public_key(), card.certificate.public_key());
        })
    }

    fn fresh(&self) -> Vec<Vec<u8>> {
        let (from, to) = (NOW - Duration::days(1), NOW + Duration::days(1));
        vec![
            crl(&self.root, None, from, to),
            crl(&self.issuing, None, from, to),
        ]
    }
}

#[test]
fn a_card_of_a_configured_issuer_is_accepted_only_with_fresh_lists() {
    let house = administration();
    assert_eq!(house.judge(&house.card, &house.fresh(), &rule()), Ok(()));
    assert_eq!(
        house.judge(&house.card, &[], &rule()),
        Err(IssuerError::NoCrl)
    );
    assert_eq!(
        house.judge(&house.card, &house.fresh()[..1], &rule()),
        Err(IssuerError::NoCrl)
    );
    assert_eq!(
        house.judge(&house.card, &house.fresh()[1..], &rule()),
        Err(IssuerError::NoCrl)
    );
    let unjudged = Rule {
        revocation: Revocation::DangerNotJudged,
        ..rule()
    };
    assert_eq!(house.judge(&house.card, &[], &unjudged), Ok(()));
    let with = |from: OffsetDateTime, to: OffsetDateTime| {
        let lists = [house.fresh().remove(0), crl(&house.issuing, None, from, to)];
        house.judge(&house.card, &lists, &rule())
    };
    let day = Duration::days(1);
    assert_eq!(
        with(NOW - day * 8, NOW + day),
        Err(IssuerError::CrlNotFresh)
    );
    assert_eq!(
        with(NOW - day * 2, NOW - day),
        Err(IssuerError::CrlNotFresh)
    );
    assert_eq!(
        with(NOW + day, NOW + day * 2),
        Err(IssuerError::CrlNotFresh)
    );
    let stranger = root(crl_signer("AC Cartes", 0));
    let lists = [
        house.fresh().remove(0),
        crl(&stranger, None, NOW - day, NOW + day),
    ];
    assert_eq!(
        house.judge(&house.card, &lists, &rule()),
        Err(IssuerError::CrlSignature)
    );
}

#[test]
fn revoked_cards_and_issuers_are_refused_whatever_other_lists_say() {
    let house = administration();
    let (from, to) = (NOW - Duration::days(1), NOW + Duration::days(1));
    let mut lists = house.fresh();
    lists.push(crl(
        &house.issuing,
        Some(&house.card),
        NOW - Duration::days(30),
        NOW - Duration::days(29),
    ));
    assert_eq!(
        house.judge(&house.card, &lists, &rule()),
        Err(IssuerError::Revoked)
    );
    lists.reverse();
    assert_eq!(
        house.judge(&house.card, &lists, &rule()),
        Err(IssuerError::Revoked)
    );
    let lists = [
        crl(&house.root, Some(&house.issuing), from, to),
        house.fresh().remove(1),
    ];
    assert_eq!(
        house.judge(&house.card, &lists, &rule()),
        Err(IssuerError::Revoked)
    );
    // A list by someone else of the same name revokes nothing.
    let stranger = root(crl_signer("AC Cartes", 0));
    let mut lists = house.fresh();
    lists.push(crl(&stranger, Some(&house.card), from, to));
    assert_eq!(house.judge(&house.card, &lists, &rule()), Ok(()));
}

#[test]
fn policy_key_usage_and_kind_of_certificate_are_demanded() {
    let house = administration();
    let other = Rule {
        policies: vec!["1.2.250.1.177.2".to_owned()],
        ..rule()
    };
    assert_eq!(
        house.judge(&house.card, &house.fresh(), &other),
        Err(IssuerError::Policy)
    );
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = card_parameters();
        change(&mut parameters);
        house.judge(&issue(&house.issuing, parameters), &house.fresh(), &rule())
    };
    assert_eq!(
        with(&|it| it.custom_extensions.clear()),
        Err(IssuerError::Policy)
    );
    assert_eq!(
        with(&|it| it.key_usages.clear()),
        Err(IssuerError::KeyUsage)
    );
    assert_eq!(
        with(&|it| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
        Err(IssuerError::KeyUsage)
    );
    assert_eq!(
        with(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        Err(IssuerError::LeafIsAuthority)
    );
    assert_eq!(
        with(&|it| it.not_after = NOW - Duration::days(1)),
        Err(PathError::Expired.into())
    );
}

#[test]
fn lists_that_are_not_judged_are_refused_by_name() {
    let house = administration();
    let good = house.fresh().remove(1);
    for length in 0..good.len() {
        assert!(Crl::read(&good[..length]).is_err(), "{length}");
    }
    let mut parameters = rcgen::CertificateRevocationListParams {
        this_update: NOW,
        next_update: NOW + Duration::days(1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    parameters.issuing_distribution_point = Some(rcgen::CrlIssuingDistributionPoint {
        distribution_point: rcgen::CrlDistributionPoint {
            uris: vec!["http://crl.example/1".to_owned()],
        },
        scope: Some(rcgen::CrlScope::UserCertsOnly),
    });
    let signed = parameters
        .signed_by(&Issuer::from_params(
            &house.issuing.parameters,
            &house.issuing.key,
        ))
        .unwrap();
    assert_eq!(Crl::read(signed.der()), Err(CrlError::Unsupported));
    assert!(matches!(
        Crl::read(b"-----BEGIN X509 CRL-----"),
        Err(CrlError::NotPem)
    ));
}

proptest::proptest! {
    #[test]
    fn hostile_lists_are_refused(at in 0_usize..400, byte in proptest::prelude::any::<u8>(), junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        static LIST: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let good = LIST.get_or_init(|| administration().fresh().remove(1));
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] = byte;
        let _ = Crl::read(&bad);
        let _ = Crl::read(&[&good[..at], &junk].concat());
        proptest::prop_assert!(Crl::read(&junk).is_err());
    }
}
