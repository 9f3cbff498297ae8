//! PIV cards (NIST SP 800-73): what a card signed, and what its key is.
//!
//! A card has no client data: it signs `SHA-256("sceau/piv/v1\0" ‖ challenge ‖ SHA-256(origin))` with slot 9C, so that the signature says which action
//! it approves and from where, as a FIDO2 assertion does. P-256, P-384 (ECDSA, DER) and RSA of 2048 bits and more (PKCS#1 v1.5).
//! Trusted: the enrolled public key and the [`Expectation`]. What shows that the key lives on a card and is touched is [`attestation`]; that it
//! belongs to an administration's card PKI is [`issuer`]. That a card is still there, and no more, is [`presence`] (slot 9E).
//! Deliberately elsewhere: APDUs (agent), who may approve (policy).

pub mod attestation;
pub mod issuer;
pub mod ocsp;
mod path;
pub mod presence;

pub use path::PathError;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::base64url;
use crate::certificate::PublicKeyInfo;
use crate::certificate::signature::{Curve, Digest, KeyKind, Scheme};

const PREFIX: &[u8] = b"sceau/piv/v1\0";

/// Longest signature that is read: RSA of 4096 bits.
const MAX_SIGNATURE: usize = 512;

/// What a card's agent sent: a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureResponse {
    /// Where the card was used, as the agent says; signed.
    pub origin: String,
    /// DER (ECDSA) or as long as the modulus (RSA).
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
}

/// What the relying party expects of one signature. Trusted.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The action's challenge.
    pub challenge: &'a [u8; 32],
    /// The origins from which the card may be used, each exact.
    pub origins: &'a [String],
}

/// Why a card's signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Malformed: longer than any signature of a supported key.
    #[error("the signature is not of its form")]
    Malformed,
    /// Unsupported: a key of another kind or size.
    #[error("keys of this kind do not sign actions")]
    UnsupportedKey,
    /// Rejected: another origin.
    #[error("the origin is not one that was expected")]
    Origin,
    /// Rejected: not this key's signature over this challenge and origin.
    #[error("the signature does not verify")]
    Signature,
}

impl SignatureError {
    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "signature-malformed",
            Self::UnsupportedKey => "unsupported-key",
            Self::Origin => "origin-mismatch",
            Self::Signature => "signature-invalid",
        }
    }
}

/// A card's signature that passed every check. Only [`verify_signature`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPivSignature {
    origin: String,
}

impl VerifiedPivSignature {
    /// The expected origin that was signed.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// The bytes whose SHA-256 the card signs.
#[must_use]
pub fn message(challenge: &[u8; 32], origin: &str) -> Vec<u8> {
    bound(PREFIX, challenge, origin)
}

/// A prefix that says what is signed, 32 bytes that say which, and the origin's SHA-256.
fn bound(prefix: &[u8], bytes: &[u8; 32], origin: &str) -> Vec<u8> {
    [prefix, bytes, digest(&SHA256, origin.as_bytes()).as_ref()].concat()
}

/// The 32 bytes that an agent gives to the card (for RSA inside a PKCS#1 v1.5 DigestInfo).
#[must_use]
pub fn digest_to_sign(challenge: &[u8; 32], origin: &str) -> [u8; 32] {
    crate::log::entry::sha256(&message(challenge, origin))
}

/// Checks a card's signature over an action's challenge.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_signature(
    response: &SignatureResponse,
    key: &PublicKeyInfo,
    expectation: &Expectation<'_>,
) -> Result<VerifiedPivSignature, SignatureError> {
    let origin = signed_origin(response, key, expectation.origins, |origin| {
        message(expectation.challenge, origin)
    })?;
    Ok(VerifiedPivSignature { origin })
}

/// The one of `origins` that `key` signed, in the message that it gives.
fn signed_origin(
    response: &SignatureResponse,
    key: &PublicKeyInfo,
    origins: &[String],
    message: impl FnOnce(&str) -> Vec<u8>,
) -> Result<String, SignatureError> {
    if response.signature.is_empty() || response.signature.len() > MAX_SIGNATURE {
        return Err(SignatureError::Malformed);
    }
    let scheme = scheme_of(key).ok_or(SignatureError::UnsupportedKey)?;
    if !origins.contains(&response.origin) {
        return Err(SignatureError::Origin);
    }
    if !scheme.verifies(key, &message(&response.origin), &response.signature) {
        return Err(SignatureError::Signature);
    }
    Ok(response.origin.clone())
}

/// How a card's key signs, or `None` for keys that may not: other curves, RSA under 2048 or over 4096 bits.
#[must_use]
pub fn scheme_of(key: &PublicKeyInfo) -> Option<Scheme> {
    match key.kind() {
        KeyKind::Ec(Curve::P256 | Curve::P384) => Some(Scheme::Ecdsa(Digest::Sha256)),
        KeyKind::Rsa => {
            let (modulus, _) = key.rsa_numbers()?;
            (256..=512)
                .contains(&modulus.len())
                .then_some(Scheme::RsaPkcs1(Digest::Sha256))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature as lc;
    use lc::KeyPair as _;

    use super::*;

    const CHALLENGE: [u8; 32] = [7; 32];
    const ORIGIN: &str = "sceau-agent://sceau.example";

    fn spki(pem: &str) -> PublicKeyInfo {
        use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
        PublicKeyInfo::from_der(&SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap()
    }

    fn p256() -> (PublicKeyInfo, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let signing = &lc::ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = lc::EcdsaKeyPair::from_pkcs8(signing, &key.serialize_der()).unwrap();
        let signature = pair
            .sign(&SystemRandom::new(), &message(&CHALLENGE, ORIGIN))
            .unwrap();
        (spki(&key.public_key_pem()), signature.as_ref().to_vec())
    }

    /// Made with Python's `cryptography` (AWS-LC does not sign SHA-256 with P-384; cards do).
    fn p384() -> (PublicKeyInfo, Vec<u8>) {
        let key = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAExo1K4mFkHOm8rGtd5bL9pUmrcGo8Y1rFWMEsLiEeU2g1M_J6AgehdV_V-pEVO82EG6UaiRx9DWYua2itdF3Cyf_Gqvy_znG6NPQoF97pCSOtvY4yTcSBoyZCN7-xHOR5";
        let signature = "MGYCMQDr0SaEO232hfPw4gHHUV_XoKlMQAP3K5rPZvri1_-FYMeWPMkIjeLOp_mdujRTi0gCMQDop1Bda4IffKxPpdcyhijCOW5nGcT_EOfaLSM-zX3SCF5WkmnZtOLYg_tQSjmjkg4";
        let decode = |text| base64url::decode(text).unwrap();
        (
            PublicKeyInfo::from_der(&decode(key)).unwrap(),
            decode(signature),
        )
    }

    fn rsa(size: aws_lc_rs::rsa::KeySize) -> (PublicKeyInfo, Vec<u8>) {
        use aws_lc_rs::encoding::AsDer as _;
        let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &lc::RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &message(&CHALLENGE, ORIGIN),
            &mut signature,
        )
        .unwrap();
        (
            PublicKeyInfo::from_der(pair.public_key().as_der().unwrap().as_ref()).unwrap(),
            signature,
        )
    }

    fn verify(
        key: &PublicKeyInfo,
        origin: &str,
        signature: &[u8],
        challenge: &[u8; 32],
    ) -> Result<VerifiedPivSignature, SignatureError> {
        let response = SignatureResponse {
            origin: origin.to_owned(),
            signature: signature.to_vec(),
        };
        verify_signature(
            &response,
            key,
            &Expectation {
                challenge,
                origins: &[ORIGIN.to_owned(), "https://sceau.example".to_owned()],
            },
        )
    }

    #[test]
    fn accepts_each_kind_of_card_key_and_nothing_changed() {
        let keys = [p256(), p384(), rsa(aws_lc_rs::rsa::KeySize::Rsa2048)];
        for (key, signature) in &keys {
            assert_eq!(
                verify(key, ORIGIN, signature, &CHALLENGE).unwrap().origin(),
                ORIGIN
            );
            assert_eq!(
                verify(key, ORIGIN, signature, &[8; 32]),
                Err(SignatureError::Signature)
            );
            assert_eq!(
                verify(key, "https://sceau.example", signature, &CHALLENGE),
                Err(SignatureError::Signature)
            );
            assert_eq!(
                verify(key, "https://evil.example", signature, &CHALLENGE),
                Err(SignatureError::Origin)
            );
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert_eq!(
                verify(key, ORIGIN, &changed, &CHALLENGE),
                Err(SignatureError::Signature)
            );
            assert_eq!(
                verify(key, ORIGIN, &[], &CHALLENGE),
                Err(SignatureError::Malformed)
            );
            assert_eq!(
                verify(key, ORIGIN, &[0; 513], &CHALLENGE),
                Err(SignatureError::Malformed)
            );
        }
        assert_eq!(
            verify(&keys[0].0, ORIGIN, &keys[2].1, &CHALLENGE),
            Err(SignatureError::Signature)
        );
    }

    #[test]
    fn keys_that_cards_do_not_sign_actions_with_are_unsupported() {
        let p521 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let (key, signature) = (spki(&p521.public_key_pem()), [1; 64]);
        assert_eq!(
            verify(&key, ORIGIN, &signature, &CHALLENGE),
            Err(SignatureError::UnsupportedKey)
        );
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(
            verify(
                &spki(&ed25519.public_key_pem()),
                ORIGIN,
                &[1; 64],
                &CHALLENGE
            ),
            Err(SignatureError::UnsupportedKey)
        );
    }

    #[test]
    fn the_message_is_as_designed() {
        let message = message(&CHALLENGE, ORIGIN);
        assert_eq!(&message[..13], b"sceau/piv/v1\0");
        assert_eq!(&message[13..45], &CHALLENGE);
        assert_eq!(&message[45..], digest(&SHA256, ORIGIN.as_bytes()).as_ref());
        assert_eq!(
            digest_to_sign(&CHALLENGE, ORIGIN),
            digest(&SHA256, &message).as_ref()
        );
    }
}
