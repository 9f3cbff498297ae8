//! Cards in software: keys of each kind with attestations by a test manufacturer (Yubico's scheme) or certificates by a test administration.
//! Signatures are made by the `openssl` command, so that nothing here shares code with the verifiers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use time::{OffsetDateTime, macros::datetime};

pub(crate) const POLICY: &str = "1.2.250.1.177.1";

/// A certificate authority.
pub(crate) struct Authority {
    parameters: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
    pub(crate) pem: String,
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = datetime!(2016-03-14 0:00 UTC);
    parameters.not_after = datetime!(9999-12-31 23:59:59 UTC);
    parameters
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (parameters, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            parameters,
            key,
        }
    }

    /// PKCS #8.
    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A web server's certificate and key, DER.
    pub(crate) fn web_server(&self, address: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![address.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer()).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    pub(crate) fn below(&self, name: &str) -> Self {
        let (parameters, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = parameters.signed_by(&key, &self.issuer()).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            parameters,
            key,
        }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.parameters, &self.key)
    }

    /// A list of revoked certificates with these serial numbers on it.
    pub(crate) fn crl(&self, revoked: &[i64], at: OffsetDateTime, days: i64) -> Vec<u8> {
        let revoked = revoked.iter().map(|serial| rcgen::RevokedCertParams {
            serial_number: serial.to_be_bytes().to_vec().into(),
            revocation_time: at,
            reason_code: Some(rcgen::RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let parameters = rcgen::CertificateRevocationListParams {
            this_update: at,
            next_update: at + time::Duration::days(days),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = parameters.signed_by(&self.issuer()).unwrap();
        list.der().to_vec()
    }
}

/// What kind of key a card makes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    P256,
    P384,
    Rsa,
}

/// What an attestation says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Says {
    pub(crate) slot: &'static str,
    pub(crate) pin: u8,
    pub(crate) touch: u8,
    pub(crate) firmware: [u8; 3],
    /// The last byte of the card's serial number.
    pub(crate) serial: u8,
}

/// PIN always, touch always, slot 9c.
pub(crate) const GOOD: Says = Says {
    slot: "9c",
    pin: 3,
    touch: 2,
    firmware: [5, 7, 4],
    serial: 3,
};

/// A manufacturer of cards that attest their keys.
pub(crate) struct Maker {
    pub(crate) root: Authority,
}

impl Maker {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            root: Authority::root(name),
        }
    }

    /// A card with a new key.
    pub(crate) fn card(&self, kind: Kind, says: Says) -> Card {
        let middle = self.root.below("Test PIV Intermediate");
        let f9 = middle.below("Yubico PIV Attestation");
        let key = kind.key();
        let mut leaf = named(&format!("YubiKey PIV Attestation {}", says.slot));
        let extension = |last, content: &[u8]| {
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, last], content.to_vec())
        };
        leaf.custom_extensions = vec![
            extension(3, &says.firmware),
            extension(7, &[2, 3, 1, 2, says.serial]),
            extension(8, &[says.pin, says.touch]),
            extension(9, &[3]),
        ];
        let leaf = leaf.signed_by(&key, &f9.issuer()).unwrap();
        Card {
            key,
            attestation: Some(leaf.der().to_vec()),
            certificate: None,
            intermediates: vec![f9.der, middle.der],
        }
    }
}

impl Kind {
    fn key(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate().unwrap(),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
            Self::Rsa => {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                    .unwrap()
            }
        }
    }
}

/// A card: its key, and what it shows of it.
pub(crate) struct Card {
    key: KeyPair,
    pub(crate) attestation: Option<Vec<u8>>,
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) intermediates: Vec<Vec<u8>>,
}

impl Card {
    /// A card that attests nothing, with a certificate by its administration, under this serial number.
    pub(crate) fn issued(by: &Authority, serial: i64, until: OffsetDateTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = named("Camille Durand");
        parameters.not_after = until;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.serial_number = Some(serial.to_be_bytes().to_vec().into());
        // SEQUENCE { SEQUENCE { 1.2.250.1.177.1 } }
        let policy = [
            0x30, 0x0b, 0x30, 0x09, 0x06, 0x07, 0x2a, 0x81, 0x7a, 0x01, 0x81, 0x31, 0x01,
        ];
        parameters
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[2, 5, 29, 32],
                policy.to_vec(),
            ));
        let certificate = parameters.signed_by(&key, &by.issuer()).unwrap();
        Self {
            key,
            attestation: None,
            certificate: Some(certificate.der().to_vec()),
            intermediates: Vec::new(),
        }
    }

    /// The key's SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// What slot 9C signs for a challenge from an origin: `SHA-256("sceau/piv/v1\0" ‖ challenge ‖ SHA-256(origin))`.
    pub(crate) fn sign(&self, challenge: &[u8; 32], origin: &str) -> Vec<u8> {
        self.sign_as(b"sceau/piv/v1\0", challenge, origin)
    }

    /// What slot 9E signs for a beat's challenge.
    pub(crate) fn sign_presence(&self, challenge: &[u8; 32], origin: &str) -> Vec<u8> {
        self.sign_as(b"sceau/piv-presence/v1\0", challenge, origin)
    }

    fn sign_as(&self, prefix: &[u8], challenge: &[u8; 32], origin: &str) -> Vec<u8> {
        let mut message = prefix.to_vec();
        message.extend(challenge);
        message.extend(digest(&SHA256, origin.as_bytes()).as_ref());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.key.serialize_pem().as_bytes()).unwrap();
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(&message).unwrap();
        let out = openssl.wait_with_output().unwrap();
        assert!(out.status.success());
        out.stdout
    }
}
