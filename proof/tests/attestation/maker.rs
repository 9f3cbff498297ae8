//! Makes registrations byte by byte: keys, certificates, authenticator data, statements. Everything that a manufacturer would
//! get right is right by default, and every part can be made wrong alone.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::Encoder;
use sceau_proof::attestation::{
    RegistrationError, RegistrationExpectation, RegistrationResponse, VerifiedRegistration,
    verify_statement,
};
use sceau_proof::base64url;
use sceau_proof::certificate::{Certificate, oid};
use sceau_proof::metadata::{LEAF_NAME, Metadata, MetadataError, MetadataExpectation};
use serde_json::{Value, json};

pub(crate) const AAGUID: [u8; 16] = *b"sceau test model";

/// One DER element.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, content.to_vec()].concat()
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// A P-256 key pair.
pub(crate) struct Key {
    pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .unwrap()
            .as_ref()
            .to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap();
        Self { pkcs8, pair }
    }

    /// DER, as in certificates and WebAuthn.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// `r ‖ s`, as in JWS.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
        pair.sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }

    pub(crate) fn point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let algorithm = sequence(&[
            der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
            der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        ]);
        sequence(&[algorithm, der(3, &[&[0][..], &self.point()].concat())])
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        let point = self.point();
        let mut e = Encoder::new(Vec::new());
        e.map(5)
            .unwrap()
            .u8(1)
            .unwrap()
            .u8(2)
            .unwrap()
            .u8(3)
            .unwrap()
            .i8(-7)
            .unwrap();
        e.i8(-1)
            .unwrap()
            .u8(1)
            .unwrap()
            .i8(-2)
            .unwrap()
            .bytes(&point[1..33])
            .unwrap();
        e.i8(-3).unwrap().bytes(&point[33..]).unwrap();
        e.into_writer()
    }
}

/// A certificate to be: every field can be set wrong.
#[derive(Clone)]
pub(crate) struct Draft {
    /// Omitted when 1.
    pub(crate) version: u8,
    /// Last byte of 2.5.4.x, and the text.
    pub(crate) subject: Vec<(u8, String)>,
    pub(crate) not_before: &'static str,
    pub(crate) not_after: &'static str,
    pub(crate) extensions: Vec<(Vec<u8>, bool, Vec<u8>)>,
}

impl Draft {
    fn dated(subject: &[(u8, &str)]) -> Self {
        Self {
            version: 3,
            subject: subject
                .iter()
                .map(|(oid, text)| (*oid, (*text).to_owned()))
                .collect(),
            not_before: "20200101000000Z",
            not_after: "20400101000000Z",
            extensions: Vec::new(),
        }
    }

    /// A leaf as §8.2.1 wants it, for [`AAGUID`].
    pub(crate) fn leaf() -> Self {
        Self::dated(&[
            (6, "FR"),
            (10, "Fabricant"),
            (11, "Authenticator Attestation"),
            (3, "Modele 1"),
        ])
        .with(oid::BASIC_CONSTRAINTS, true, sequence(&[]))
        .with(oid::FIDO_AAGUID, false, der(4, &AAGUID))
    }

    /// A certificate authority.
    pub(crate) fn authority(name: &str) -> Self {
        Self::dated(&[(3, name)]).with(oid::BASIC_CONSTRAINTS, true, sequence(&[der(1, &[0xff])]))
    }

    /// Adds an extension, or replaces the one of that name.
    pub(crate) fn with(mut self, oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        self = self.without(oid);
        self.extensions.push((oid.to_vec(), critical, value));
        self
    }

    pub(crate) fn without(mut self, oid: &[u8]) -> Self {
        self.extensions.retain(|(known, ..)| known != oid);
        self
    }

    /// Replaces (or with `None` removes) an attribute of the subject.
    pub(crate) fn named(mut self, attribute: u8, text: Option<&str>) -> Self {
        self.subject.retain(|(known, _)| *known != attribute);
        self.subject
            .extend(text.map(|text| (attribute, text.to_owned())));
        self
    }

    fn name(&self) -> Vec<u8> {
        let rdns: Vec<_> = self
            .subject
            .iter()
            .map(|(attribute, text)| {
                der(
                    0x31,
                    &sequence(&[
                        der(6, &[0x55, 0x04, *attribute]),
                        der(0x0c, text.as_bytes()),
                    ]),
                )
            })
            .collect();
        sequence(&rdns)
    }

    fn sign(&self, spki: Vec<u8>, issuer: Vec<u8>, signer: &Key) -> Vec<u8> {
        let algorithm = sequence(&[der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
        let extensions: Vec<_> = self
            .extensions
            .iter()
            .map(|(oid, critical, value)| {
                let flag = if *critical {
                    der(1, &[0xff])
                } else {
                    Vec::new()
                };
                sequence(&[der(6, oid), flag, der(4, value)])
            })
            .collect();
        let mut fields = Vec::new();
        if self.version > 1 {
            fields.push(der(0xa0, &der(2, &[self.version - 1])));
        }
        fields.extend([
            der(2, &[7]),
            algorithm.clone(),
            issuer,
            sequence(&[
                der(0x18, self.not_before.as_bytes()),
                der(0x18, self.not_after.as_bytes()),
            ]),
            self.name(),
            spki,
        ]);
        if !extensions.is_empty() {
            fields.push(der(0xa3, &sequence(&extensions)));
        }
        let tbs = sequence(&fields);
        let signature = signer.sign(&tbs);
        sequence(&[tbs, algorithm, der(3, &[&[0][..], &signature].concat())])
    }
}

/// A key with its certificate.
pub(crate) struct Identity {
    pub(crate) key: Key,
    pub(crate) draft: Draft,
    pub(crate) der: Vec<u8>,
}

impl Identity {
    pub(crate) fn root(draft: Draft) -> Self {
        let key = Key::new();
        let der = draft.sign(key.spki(), draft.name(), &key);
        Self { key, draft, der }
    }

    /// A certificate for a new key, signed by this identity.
    pub(crate) fn issue(&self, draft: Draft) -> Self {
        let key = Key::new();
        let der = self.certify(&draft, key.spki());
        Self { key, draft, der }
    }

    /// A certificate for any key.
    pub(crate) fn certify(&self, draft: &Draft, spki: Vec<u8>) -> Vec<u8> {
        draft.sign(spki, self.draft.name(), &self.key)
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.der).unwrap()
    }
}

/// One registration ceremony, before its statement.
pub(crate) struct Ceremony {
    pub(crate) client: Value,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) aaguid: [u8; 16],
    pub(crate) credential_id: Vec<u8>,
    pub(crate) credential: Key,
    /// Instead of the credential's own COSE key.
    pub(crate) cose: Option<Vec<u8>>,
    /// After the COSE key.
    pub(crate) tail: Vec<u8>,
    pub(crate) expectation: RegistrationExpectation,
}

impl Ceremony {
    pub(crate) fn new() -> Self {
        let challenge = b"thirty-two bytes of a challenge.".to_vec();
        Self {
            client: json!({"type": "webauthn.create", "challenge": base64url::encode(&challenge), "origin": "https://sceau.example", "crossOrigin": false}),
            rp_id: "sceau.example".to_owned(),
            // UP, UV, AT
            flags: 0x45,
            aaguid: AAGUID,
            credential_id: vec![0x5c; 32],
            credential: Key::new(),
            cose: None,
            tail: Vec::new(),
            expectation: RegistrationExpectation {
                rp_id: "sceau.example".to_owned(),
                origins: vec![
                    "https://sceau.example".to_owned(),
                    "sceau-agent://sceau.example".to_owned(),
                ],
                challenge,
                require_uv: true,
                allow_cross_origin: false,
                top_origins: None,
            },
        }
    }

    pub(crate) fn client_data_json(&self) -> Vec<u8> {
        self.client.to_string().into_bytes()
    }

    pub(crate) fn client_data_hash(&self) -> Vec<u8> {
        sha256(&self.client_data_json())
    }

    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        let mut bytes = [
            &sha256(self.rp_id.as_bytes())[..],
            &[self.flags],
            &[0, 0, 0, 1],
        ]
        .concat();
        if self.flags & 0x40 != 0 {
            bytes.extend(self.aaguid);
            bytes.extend((self.credential_id.len() as u16).to_be_bytes());
            bytes.extend(&self.credential_id);
            bytes.extend(self.cose.clone().unwrap_or_else(|| self.credential.cose()));
        }
        bytes.extend(&self.tail);
        bytes
    }

    /// What packed, tpm, android-key and apple sign.
    pub(crate) fn signed(&self) -> Vec<u8> {
        [self.authenticator_data(), self.client_data_hash()].concat()
    }

    /// What fido-u2f signs.
    pub(crate) fn signed_u2f(&self) -> Vec<u8> {
        [
            &[0][..],
            &sha256(self.rp_id.as_bytes()),
            &self.client_data_hash(),
            &self.credential_id,
            &self.credential.point(),
        ]
        .concat()
    }

    pub(crate) fn object(&self, format: &str, statement: &Statement) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(3)
            .unwrap()
            .str("fmt")
            .unwrap()
            .str(format)
            .unwrap()
            .str("attStmt")
            .unwrap();
        statement.encode(&mut e);
        e.str("authData")
            .unwrap()
            .bytes(&self.authenticator_data())
            .unwrap();
        e.into_writer()
    }

    pub(crate) fn verify(&self, object: &[u8]) -> Result<VerifiedRegistration, RegistrationError> {
        let client = self.client_data_json();
        verify_statement(
            &RegistrationResponse {
                client_data_json: &client,
                attestation_object: object,
            },
            &self.expectation,
        )
    }

    /// A packed statement by that leaf.
    pub(crate) fn packed(&self, leaf: &Identity, above: &[&Identity]) -> Vec<u8> {
        self.object("packed", &packed(self, leaf, above))
    }
}

pub(crate) fn packed(ceremony: &Ceremony, leaf: &Identity, above: &[&Identity]) -> Statement {
    let chain = std::iter::once(leaf)
        .chain(above.iter().copied())
        .map(|it| it.der.clone())
        .collect();
    Statement::default()
        .int("alg", -7)
        .bytes("sig", leaf.key.sign(&ceremony.signed()))
        .chain(chain)
}

/// The members of an attestation statement.
#[derive(Clone, Default)]
pub(crate) struct Statement(Vec<(&'static str, Member)>);

#[derive(Clone)]
enum Member {
    Int(i64),
    Bytes(Vec<u8>),
    Text(&'static str),
    Chain(Vec<Vec<u8>>),
}

impl Statement {
    fn set(mut self, name: &'static str, member: Member) -> Self {
        self = self.without(name);
        self.0.push((name, member));
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn int(self, name: &'static str, value: i64) -> Self {
        self.set(name, Member::Int(value))
    }

    pub(crate) fn bytes(self, name: &'static str, value: Vec<u8>) -> Self {
        self.set(name, Member::Bytes(value))
    }

    pub(crate) fn text(self, name: &'static str, value: &'static str) -> Self {
        self.set(name, Member::Text(value))
    }

    pub(crate) fn chain(self, value: Vec<Vec<u8>>) -> Self {
        self.set("x5c", Member::Chain(value))
    }

    fn encode(&self, e: &mut Encoder<Vec<u8>>) {
        e.map(self.0.len() as u64).unwrap();
        for (name, member) in &self.0 {
            e.str(name).unwrap();
            match member {
                Member::Int(value) => {
                    e.i64(*value).unwrap();
                }
                Member::Bytes(value) => {
                    e.bytes(value).unwrap();
                }
                Member::Text(value) => {
                    e.str(value).unwrap();
                }
                Member::Chain(chain) => {
                    e.array(chain.len() as u64).unwrap();
                    for certificate in chain {
                        e.bytes(certificate).unwrap();
                    }
                }
            }
        }
    }
}

/// The time of these tests.
pub(crate) const NOW: time::OffsetDateTime = time::macros::datetime!(2026-11-21 12:00:00 UTC);

/// Who signs metadata: a root, and a leaf with the right name.
pub(crate) struct Publisher {
    pub(crate) root: Identity,
    pub(crate) signer: Identity,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self::with_leaf(Self::leaf())
    }

    pub(crate) fn leaf() -> Draft {
        let dns = sequence(&[der(0x82, b"mds.fidoalliance.org")]);
        Draft::authority("signer")
            .without(oid::BASIC_CONSTRAINTS)
            .with(oid::SUBJECT_ALT_NAME, false, dns)
    }

    pub(crate) fn with_leaf(leaf: Draft) -> Self {
        let root = Identity::root(Draft::authority("metadata root"));
        let signer = root.issue(leaf);
        Self { root, signer }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "JWT", "x5c": [STANDARD.encode(&self.signer.der)]})
    }

    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let signed = format!(
            "{}.{}",
            base64url::encode(header.to_string()),
            base64url::encode(payload.to_string())
        );
        let signature = base64url::encode(self.signer.key.sign_fixed(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub(crate) fn verify(&self, blob: &str) -> Result<Metadata, MetadataError> {
        let roots = [self.root.certificate()];
        Metadata::verify(
            blob.as_bytes(),
            &MetadataExpectation {
                roots: &roots,
                leaf_name: LEAF_NAME,
                seen_no: Some(7),
                at: NOW,
            },
        )
    }

    /// A verified BLOB of those entries.
    pub(crate) fn publish(&self, entries: &[Value]) -> Metadata {
        self.verify(&self.sign(&self.header(), &payload(entries)))
            .unwrap()
    }
}

pub(crate) fn payload(entries: &[Value]) -> Value {
    json!({"legalHeader": "none", "no": 7, "nextUpdate": "2026-12-01", "entries": entries})
}

/// An entry for [`AAGUID`] with that root and those reports.
pub(crate) fn entry(root: &Identity, reports: &Value) -> Value {
    json!({
        "aaguid": uuid::Uuid::from_bytes(AAGUID).to_string(),
        "timeOfLastStatusChange": "2026-01-01",
        "statusReports": reports,
        "metadataStatement": {
            "description": "Modele 1",
            "attestationTypes": ["basic_full"],
            "keyProtection": ["hardware", "secure_element"],
            "attestationRootCertificates": [STANDARD.encode(&root.der)],
            "icon": "data:image/png;base64,",
        },
    })
}

/// A report in effect since January.
pub(crate) fn report(status: &str) -> Value {
    json!({"status": status, "effectiveDate": "2026-01-01"})
}
