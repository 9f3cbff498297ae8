//! Slot 9E (card authentication, no PIN): that the card is still there. It says nothing of the person, and seals nothing.
//!
//! The card signs `SHA-256("sceau/piv-presence/v1\0" ‖ nonce ‖ SHA-256(origin))`: the prefix keeps a beat from ever counting as an approval, and an
//! approval as a beat, whatever keys the slots hold. [`verify`] is the only builder of a [`VerifiedPresence`].
//! Whose card it is: [`is_beside`], when both slots' keys are attested; otherwise the caller remembers the key that came with a signature by 9C.
//! Deliberately elsewhere: how often a beat is due and what its absence means (server); freshness of the nonce (the caller made it).

use super::attestation::VerifiedAttestation;
use super::{SignatureError, SignatureResponse, signed_origin};
use crate::certificate::PublicKeyInfo;

const PREFIX: &[u8] = b"sceau/piv-presence/v1\0";

/// Key references of slots.
const SIGNATURE: u8 = 0x9c;
const CARD_AUTHENTICATION: u8 = 0x9e;

/// What the relying party expects of one beat. Trusted.
#[derive(Debug, Clone, Copy)]
pub struct PresenceExpectation<'a> {
    /// The nonce that it made for this beat.
    pub nonce: &'a [u8; 32],
    /// The origins from which the card may be used, each exact.
    pub origins: &'a [String],
}

/// A card that was there when the nonce was known. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPresence {
    origin: String,
}

impl VerifiedPresence {
    /// The expected origin that was signed.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// The bytes whose SHA-256 the card signs.
#[must_use]
pub fn message(nonce: &[u8; 32], origin: &str) -> Vec<u8> {
    super::bound(PREFIX, nonce, origin)
}

/// The 32 bytes that an agent gives to the card.
#[must_use]
pub fn digest_to_sign(nonce: &[u8; 32], origin: &str) -> [u8; 32] {
    crate::log::entry::sha256(&message(nonce, origin))
}

/// Checks the signature of slot 9E's key over a nonce.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(
    response: &SignatureResponse,
    key: &PublicKeyInfo,
    expectation: &PresenceExpectation<'_>,
) -> Result<VerifiedPresence, SignatureError> {
    let origin = signed_origin(response, key, expectation.origins, |origin| {
        message(expectation.nonce, origin)
    })?;
    Ok(VerifiedPresence { origin })
}

/// Whether an attested key of slot 9E is on the very card that attested this key of slot 9C: one manufacturer, one serial number. A card that
/// does not tell its serial number is beside none.
#[must_use]
pub fn is_beside(presence: &VerifiedAttestation, signature: &VerifiedAttestation) -> bool {
    presence.slot() == CARD_AUTHENTICATION
        && signature.slot() == SIGNATURE
        && presence.serial().is_some()
        && presence.serial() == signature.serial()
        && presence.anchor() == signature.anchor()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use rustls_pki_types::SubjectPublicKeyInfoDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    const NONCE: [u8; 32] = [7; 32];
    const ORIGIN: &str = "sceau-agent://sceau.example";

    /// A key and its signature over these bytes.
    fn signed(message: &[u8]) -> (PublicKeyInfo, SignatureResponse) {
        let key = rcgen::KeyPair::generate().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der())
            .unwrap();
        let signature = pair.sign(&SystemRandom::new(), message).unwrap();
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(key.public_key_pem().as_bytes());
        let response = SignatureResponse {
            origin: ORIGIN.to_owned(),
            signature: signature.as_ref().to_vec(),
        };
        (PublicKeyInfo::from_der(&spki.unwrap()).unwrap(), response)
    }

    fn judge(
        (key, response): &(PublicKeyInfo, SignatureResponse),
        nonce: &[u8; 32],
        origin: &str,
    ) -> Result<VerifiedPresence, SignatureError> {
        let origins = [origin.to_owned()];
        let expectation = PresenceExpectation {
            nonce,
            origins: &origins,
        };
        verify(response, key, &expectation)
    }

    #[test]
    fn a_beat_counts_for_its_nonce_and_origin_alone() {
        let beat = signed(&message(&NONCE, ORIGIN));
        assert_eq!(judge(&beat, &NONCE, ORIGIN).unwrap().origin(), ORIGIN);
        assert_eq!(
            judge(&beat, &[8; 32], ORIGIN),
            Err(SignatureError::Signature)
        );
        let elsewhere = "https://sceau.example";
        assert_eq!(judge(&beat, &NONCE, elsewhere), Err(SignatureError::Origin));
        let (key, mut response) = beat;
        response.origin = elsewhere.to_owned();
        assert_eq!(
            judge(&(key, response), &NONCE, elsewhere),
            Err(SignatureError::Signature)
        );
    }

    #[test]
    fn a_beat_is_no_approval_and_an_approval_no_beat() {
        let origins = [ORIGIN.to_owned()];
        let (key, beat) = signed(&message(&NONCE, ORIGIN));
        let expectation = super::super::Expectation {
            challenge: &NONCE,
            origins: &origins,
        };
        assert_eq!(
            super::super::verify_signature(&beat, &key, &expectation),
            Err(SignatureError::Signature)
        );
        let approval = signed(&super::super::message(&NONCE, ORIGIN));
        assert_eq!(
            judge(&approval, &NONCE, ORIGIN),
            Err(SignatureError::Signature)
        );
    }

    #[test]
    fn the_message_is_as_documented() {
        let message = message(&NONCE, ORIGIN);
        assert_eq!(&message[..22], b"sceau/piv-presence/v1\0");
        assert_eq!(&message[22..54], &NONCE);
        assert_eq!(&message[54..], crate::log::entry::sha256(ORIGIN.as_bytes()));
        assert_eq!(
            digest_to_sign(&NONCE, ORIGIN),
            crate::log::entry::sha256(&message)
        );
    }
}
