//! Forging: keys of every kind and assertions with any byte of them chosen, signed or not. What an authenticator and its client send, at the wire.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use sceau_proof::base64url::encode;
use serde_json::{Value, json};

pub(crate) const RP_ID: &str = "sceau.example";
pub(crate) const ORIGIN: &str = "https://sceau.example";
pub(crate) const CHALLENGE: [u8; 32] = *b"thirty-two bytes of a challenge!";
pub(crate) const CREDENTIAL: [u8; 16] = *b"a credential's i";

enum Pair {
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

/// A credential's private key, and its COSE_Key.
pub(crate) struct Key {
    pair: Pair,
    pub(crate) alg: i64,
    pub(crate) cose: Vec<u8>,
}

impl Key {
    pub(crate) fn es256() -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Key::ec(pair, -7, 1, 32)
    }

    pub(crate) fn es384() -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        Key::ec(pair, -35, 2, 48)
    }

    pub(crate) fn es512() -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
        Key::ec(pair, -36, 3, 66)
    }

    pub(crate) fn es256k() -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_ASN1_SIGNING).unwrap();
        Key::ec(pair, -47, 8, 32)
    }

    /// Ed25519 signatures are deterministic: what is signed with this key can be compared byte for byte.
    pub(crate) fn ed25519(seed: u8) -> Key {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let cose = cose(
            &[(1, json!(1)), (3, json!(-8)), (-1, json!(6))],
            &[(-2, pair.public_key().as_ref())],
        );
        Key {
            pair: Pair::Ed25519(pair),
            alg: -8,
            cose,
        }
    }

    pub(crate) fn rs256() -> Key {
        Key::rsa(-257, &RSA_PKCS1_SHA256)
    }

    pub(crate) fn ps384() -> Key {
        Key::rsa(-38, &RSA_PSS_SHA384)
    }

    pub(crate) fn ps512() -> Key {
        Key::rsa(-39, &RSA_PSS_SHA512)
    }

    fn rsa(alg: i64, encoding: &'static dyn RsaEncoding) -> Key {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        let cose = cose(
            &[(1, json!(3)), (3, json!(alg))],
            &[
                (-1, n.big_endian_without_leading_zero()),
                (-2, e.big_endian_without_leading_zero()),
            ],
        );
        Key {
            pair: Pair::Rsa(pair, encoding),
            alg,
            cose,
        }
    }

    fn ec(pair: EcdsaKeyPair, alg: i64, crv: i64, coordinate: usize) -> Key {
        let (x, y) = pair.public_key().as_ref()[1..].split_at(coordinate);
        let cose = cose(
            &[(1, json!(2)), (3, json!(alg)), (-1, json!(crv))],
            &[(-2, x), (-3, y)],
        );
        Key {
            pair: Pair::Ec(pair),
            alg,
            cose,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

/// A COSE_Key from integer and byte-string parameters.
pub(crate) fn cose(integers: &[(i64, Value)], strings: &[(i64, &[u8])]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map((integers.len() + strings.len()) as u64).unwrap();
    for (label, value) in integers {
        e.i64(*label).unwrap().i64(value.as_i64().unwrap()).unwrap();
    }
    for (label, bytes) in strings {
        e.i64(*label).unwrap().bytes(bytes).unwrap();
    }
    e.into_writer()
}

/// An assertion before it is signed.
#[derive(Clone)]
pub(crate) struct Assertion {
    pub(crate) client_data: Vec<u8>,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) sign_count: u32,
    pub(crate) tail: Vec<u8>,
}

impl Default for Assertion {
    /// An assertion that every check accepts: touched, verified by PIN, counter 7.
    fn default() -> Assertion {
        Assertion {
            client_data: client_data(&[]),
            rp_id: RP_ID.into(),
            flags: 0x05,
            sign_count: 7,
            tail: Vec::new(),
        }
    }
}

impl Assertion {
    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [
            hash.as_ref(),
            &[self.flags],
            &self.sign_count.to_be_bytes(),
            &self.tail,
        ]
        .concat()
    }

    pub(crate) fn sign(&self, key: &Key) -> Signed {
        let authenticator_data = self.authenticator_data();
        let hash = digest(&SHA256, &self.client_data);
        let signature = key.sign(&[&authenticator_data, hash.as_ref()].concat());
        Signed {
            client_data: self.client_data.clone(),
            authenticator_data,
            signature,
        }
    }
}

/// What arrives.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    /// The response of `sceau-verify assertion`.
    pub(crate) fn response(&self) -> Value {
        json!({
            "client_data_json": encode(&self.client_data),
            "authenticator_data": encode(&self.authenticator_data),
            "signature": encode(&self.signature),
            "credential_id": encode(CREDENTIAL),
        })
    }
}

/// Client data as browsers write it, with members replaced (or, by `null`, left out) or added at the end.
pub(crate) fn client_data(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut members = vec![
        ("type", json!("webauthn.get")),
        ("challenge", json!(encode(CHALLENGE))),
        ("origin", json!(ORIGIN)),
        ("crossOrigin", json!(false)),
    ];
    for (name, value) in changes {
        members.retain(|(known, _)| known != name);
        if !value.is_null() {
            members.push((name, value.clone()));
        }
    }
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// The case of an assertion that every check accepts, as strict as a relying party can be.
pub(crate) fn case(key: &Key, signed: &Signed) -> Value {
    json!({
        "rp_id": RP_ID,
        "origins": [ORIGIN, "sceau-agent://sceau.example"],
        "challenge": encode(CHALLENGE),
        "public_key_cose": encode(&key.cose),
        "require_uv": true,
        "stored_sign_count": 6,
        "stored_backup_eligible": false,
        "credential_ids": [encode(CREDENTIAL)],
        "response": signed.response(),
    })
}
