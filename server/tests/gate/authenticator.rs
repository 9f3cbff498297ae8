//! A FIDO2 authenticator at the wire: it makes packed attestations under a test manufacturer's root and signs
//! assertions. It shares no code with the verifiers that judge it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const AAGUID: [u8; 16] = *b"sceau-test-model";
const UP: u8 = 0x01;
const UP_UV: u8 = 0x05;
const ATTESTED: u8 = 0x40;

/// The manufacturer: a root, and the attestation key of one model.
pub(crate) struct Manufacturer {
    pub(crate) root_pem: String,
    leaf: Vec<u8>,
    signing: EcdsaKeyPair,
}

impl Manufacturer {
    pub(crate) fn new() -> Self {
        let root_key = rcgen::KeyPair::generate().unwrap();
        let mut root = rcgen::CertificateParams::default();
        root.distinguished_name
            .push(rcgen::DnType::CommonName, "Test Keys Root");
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let root_pem = root_certificate.pem();
        let issuer = rcgen::Issuer::new(root, root_key);

        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        let leaf_key = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
        let mut leaf = rcgen::CertificateParams::default();
        for (kind, value) in [
            (rcgen::DnType::CountryName, "FR"),
            (rcgen::DnType::OrganizationName, "Test Keys"),
            (
                rcgen::DnType::OrganizationalUnitName,
                "Authenticator Attestation",
            ),
            (rcgen::DnType::CommonName, "Test Keys Model 1"),
        ] {
            leaf.distinguished_name.push(kind, value);
        }
        leaf.is_ca = rcgen::IsCa::ExplicitNoCa;
        let mut aaguid = vec![0x04, 0x10];
        aaguid.extend(AAGUID);
        leaf.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4],
            aaguid,
        )];
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap().der().to_vec();
        Self {
            root_pem,
            leaf,
            signing,
        }
    }
}

/// One credential.
pub(crate) struct Credential {
    pub(crate) id: Vec<u8>,
    pair: EcdsaKeyPair,
    rp_id: String,
    flags: u8,
    pub(crate) counter: std::sync::atomic::AtomicU32,
}

fn client_data(kind: &str, challenge: &[u8], origin: &str) -> Vec<u8> {
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    format!(
        r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#
    )
    .into_bytes()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn head(major: u8, length: usize) -> Vec<u8> {
    let major = major << 5;
    match length {
        0..24 => vec![major | u8::try_from(length).unwrap()],
        24..256 => vec![major | 24, u8::try_from(length).unwrap()],
        _ => [
            vec![major | 25],
            u16::try_from(length).unwrap().to_be_bytes().to_vec(),
        ]
        .concat(),
    }
}

fn text(value: &str) -> Vec<u8> {
    [head(3, value.len()), value.as_bytes().to_vec()].concat()
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len()), value.to_vec()].concat()
}

impl Credential {
    /// `authenticatorMakeCredential`: the credential, clientDataJSON and attestationObject.
    pub(crate) fn make(
        manufacturer: &Manufacturer,
        rp_id: &str,
        origin: &str,
        challenge: &[u8],
    ) -> (Self, Vec<u8>, Vec<u8>) {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        let mut id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        let point = pair.public_key().as_ref();
        let cose = [
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20],
            &point[1..33],
            &[0x22, 0x58, 0x20],
            &point[33..65],
        ]
        .concat();
        let length = u16::try_from(id.len()).unwrap().to_be_bytes();
        let data = [
            &sha256(rp_id.as_bytes())[..],
            &[UP_UV | ATTESTED],
            &1_u32.to_be_bytes(),
            &AAGUID,
            &length,
            &id,
            &cose,
        ]
        .concat();
        let client = client_data("webauthn.create", challenge, origin);
        let signed = [&data[..], &sha256(&client)].concat();
        let signature = manufacturer
            .signing
            .sign(&SystemRandom::new(), &signed)
            .unwrap();
        let statement = [
            head(5, 3),
            text("alg"),
            vec![0x26],
            text("sig"),
            bytes(signature.as_ref()),
            text("x5c"),
            head(4, 1),
            bytes(&manufacturer.leaf),
        ]
        .concat();
        let object = [
            head(5, 3),
            text("fmt"),
            text("packed"),
            text("attStmt"),
            statement,
            text("authData"),
            bytes(&data),
        ]
        .concat();
        let counter = std::sync::atomic::AtomicU32::new(2);
        (
            Self {
                id,
                pair,
                rp_id: rp_id.to_owned(),
                flags: UP_UV,
                counter,
            },
            client,
            object,
        )
    }

    /// As [`Credential::make`], by a key that speaks U2F alone: `fido-u2f`, touched and no more.
    #[allow(dead_code, reason = "only the server's tests enrol such keys")]
    pub(crate) fn make_by_u2f(
        manufacturer: &Manufacturer,
        rp_id: &str,
        origin: &str,
        challenge: &[u8],
    ) -> (Self, Vec<u8>, Vec<u8>) {
        let (made, client, _) = Self::make(manufacturer, rp_id, origin, challenge);
        let point = made.pair.public_key().as_ref();
        let length = u16::try_from(made.id.len()).unwrap().to_be_bytes();
        let data = [
            &sha256(rp_id.as_bytes())[..],
            &[UP | ATTESTED],
            &0_u32.to_be_bytes(),
            &[0; 16],
            &length,
            &made.id,
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20],
            &point[1..33],
            &[0x22, 0x58, 0x20],
            &point[33..65],
        ]
        .concat();
        // WebAuthn §8.6: 0x00, application, challenge, key handle, public key.
        let signed = [
            &[0],
            &sha256(rp_id.as_bytes())[..],
            &sha256(&client),
            &made.id,
            point,
        ]
        .concat();
        let signature = manufacturer
            .signing
            .sign(&SystemRandom::new(), &signed)
            .unwrap();
        let object = [
            head(5, 3),
            text("fmt"),
            text("fido-u2f"),
            text("attStmt"),
            head(5, 2),
            text("sig"),
            bytes(signature.as_ref()),
            text("x5c"),
            head(4, 1),
            bytes(&manufacturer.leaf),
            text("authData"),
            bytes(&data),
        ]
        .concat();
        (Self { flags: UP, ..made }, client, object)
    }

    /// The same key, whose signatures say that their user was verified.
    #[allow(dead_code, reason = "only the server's tests enrol such keys")]
    pub(crate) fn boasting(self) -> Self {
        Self {
            flags: UP_UV,
            ..self
        }
    }

    /// `authenticatorGetAssertion` with all that it can show: clientDataJSON, authenticatorData, signature.
    pub(crate) fn assert(&self, origin: &str, challenge: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let count = self
            .counter
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let client = client_data("webauthn.get", challenge, origin);
        let (data, signature) = self.sign(&client, self.flags, count);
        (client, data, signature)
    }

    /// Authenticator data with these flags and this counter, and its signature.
    pub(crate) fn sign(&self, client: &[u8], flags: u8, count: u32) -> (Vec<u8>, Vec<u8>) {
        let data = [
            &sha256(self.rp_id.as_bytes())[..],
            &[flags],
            &count.to_be_bytes(),
        ]
        .concat();
        let signed = [&data[..], &sha256(client)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        (data, signature.as_ref().to_vec())
    }
}
