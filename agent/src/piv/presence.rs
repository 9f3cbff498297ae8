//! A card's silent proof that it is still there: slot 9E signs a nonce, without PIN or touch (`sceau_proof::piv::presence`).
//!
//! Never an approval: the message is another one, and approvals take slot 9C. No person is asked, so a key of 9E that waits for a touch is none for
//! this. Each beat is one transaction that begins with SELECT, as everything said to a card.
//! Deliberately elsewhere: when beats are due, and where they are sent.

use sceau_ctap::piv::{Digest, Slot};
use sceau_ctap::{Error, Keepalive, StatusWord};
use sceau_proof::certificate::{Certificate, PublicKeyInfo};
use sceau_proof::piv::SignatureResponse;
use sceau_proof::piv::presence::{PresenceExpectation, digest_to_sign, verify};

use super::{CardInfo, READING, ReadyCard, early, select, slot_content, soft};
use crate::reader::{AuthenticatorError, CardAccess};

/// The key that a card's presence is shown by, as the card says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceKey {
    /// subjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// The card's attestation of it and the certificates above, DER; none on cards that do not attest.
    pub attestation: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    /// Its certificate, unverified, DER.
    pub certificate: Option<Vec<u8>>,
}

impl CardInfo {
    /// Slot 9E's key, if it signs without anybody's hand: subjectPublicKeyInfo, DER.
    #[must_use]
    pub fn presence_key(&self) -> Option<&[u8]> {
        let content = self.slot(Slot::CardAuthentication)?;
        match (content.kind, content.touch) {
            (None, _) | (_, Some(true)) => None,
            _ => content.public_key.as_deref(),
        }
    }
}

impl ReadyCard {
    /// Slot 9E's key with what shows where it lives; `None` when the card has none that signs silently.
    ///
    /// # Errors
    /// [`AuthenticatorError::Gone`]: pulled.
    pub async fn presence_key(&self) -> Result<Option<PresenceKey>, AuthenticatorError> {
        let Some(public_key) = self.info.presence_key() else {
            return Ok(None);
        };
        let (slot, public_key) = (Slot::CardAuthentication, public_key.to_vec());
        let work = move |card: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
            let mut card = select(card)?;
            let attestation = soft(card.attest(slot).map(Some))?;
            let above = match attestation {
                Some(_) => soft(card.attestation_certificate())?,
                None => None,
            };
            let certificate = soft(card.certificate(slot))?;
            Ok(PresenceKey {
                public_key: public_key.clone(),
                attestation: attestation.map(|leaf| (leaf, above.into_iter().collect())),
                certificate: certificate.filter(|der| Certificate::from_der(der).is_ok()),
            })
        };
        let key = self.handle.run_card(READING, &mut |_| {}, work).await?;
        Ok(Some(key))
    }

    /// Signs `nonce` for `origin` with slot 9E's key, silently. What is returned has been verified against `public_key`.
    ///
    /// # Errors
    /// [`AuthenticatorError::Gone`]: pulled, or exchanged for one with another key; [`AuthenticatorError::NoCardKey`]: it signs only with a PIN or a touch.
    pub async fn sign_presence(
        &self,
        public_key: Vec<u8>,
        nonce: [u8; 32],
        origin: String,
    ) -> Result<SignatureResponse, AuthenticatorError> {
        let work = move |card: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
            sign(card, &public_key, &nonce, &origin)
        };
        self.handle.run_card(READING, &mut |_| {}, work).await
    }
}

fn sign(
    card: &mut dyn CardAccess,
    public_key: &[u8],
    nonce: &[u8; 32],
    origin: &str,
) -> Result<SignatureResponse, AuthenticatorError> {
    let slot = Slot::CardAuthentication;
    let mut card = select(card)?;
    let certificate = soft(card.certificate(slot))?;
    let content = slot_content(&mut card, slot, certificate)?;
    let kind = content.kind.ok_or(AuthenticatorError::NoCardKey)?;
    if content.public_key.as_deref() != Some(public_key) {
        return Err(AuthenticatorError::Gone);
    }
    if content.touch == Some(true) {
        return Err(AuthenticatorError::NoCardKey);
    }
    let digest = Digest::Sha256(digest_to_sign(nonce, origin));
    let signature = card
        .sign(slot, kind, &digest)
        .map_err(|error| match error {
            Error::Card(StatusWord::SECURITY_STATUS | StatusWord::CONDITIONS) => {
                AuthenticatorError::NoCardKey
            }
            // No PIN was sent: after another program's reset it may begin again.
            error => early(error),
        })?;
    let response = SignatureResponse {
        origin: origin.to_owned(),
        signature,
    };
    let origins = [origin.to_owned()];
    let expectation = PresenceExpectation {
        nonce,
        origins: &origins,
    };
    PublicKeyInfo::from_der(public_key)
        .ok()
        .and_then(|key| verify(&response, &key, &expectation).ok())
        .ok_or(AuthenticatorError::Gone)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use sceau_ctap::apdu::Framing;
    use sceau_ctap::piv::PublicKey;
    use sceau_ctap::{ApduPort, PortError};

    use super::super::der;
    use super::*;

    const ORIGIN: &str = "sceau-agent://sceau.example";

    /// The wire of a card whose slot 9E holds an RSA key.
    struct Wire {
        pair: aws_lc_rs::rsa::KeyPair,
        touch: u8,
        wants_pin: bool,
        message: Vec<u8>,
        chained: Vec<u8>,
        rest: Vec<u8>,
        sent: Vec<Vec<u8>>,
    }

    fn tlv(tag: &[u8], content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [tag, &[0x82], &length, content].concat()
    }

    impl Wire {
        fn new(nonce: &[u8; 32]) -> Self {
            Self {
                pair: aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap(),
                touch: 1,
                wants_pin: false,
                message: sceau_proof::piv::presence::message(nonce, ORIGIN),
                chained: Vec::new(),
                rest: Vec::new(),
                sent: Vec::new(),
            }
        }

        fn public_key(&self) -> PublicKey {
            let public = self.pair.public_key();
            PublicKey::Rsa {
                modulus: public.modulus().big_endian_without_leading_zero().to_vec(),
                exponent: public.exponent().big_endian_without_leading_zero().to_vec(),
            }
        }

        fn metadata(&self) -> Vec<u8> {
            let PublicKey::Rsa { modulus, exponent } = self.public_key() else {
                unreachable!()
            };
            let numbers = [tlv(&[0x81], &modulus), tlv(&[0x82], &exponent)].concat();
            let head = [1, 1, 0x07, 2, 2, 1, self.touch];
            [&head[..], &tlv(&[4], &numbers)].concat()
        }

        fn signature(&self) -> Vec<u8> {
            let mut signature = vec![0; self.pair.public_modulus_len()];
            self.pair
                .sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    &self.message,
                    &mut signature,
                )
                .unwrap();
            tlv(&[0x7c], &tlv(&[0x82], &signature))
        }
    }

    impl ApduPort for Wire {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
            self.sent.push(command.to_vec());
            if command[0] & 0x10 != 0 {
                self.chained.extend(&command[5..]);
                return Ok(vec![0x90, 0x00]);
            }
            let data = match command[1] {
                0xa4 => vec![0x61, 0x00],
                0xf7 if command[3] == 0x9e => self.metadata(),
                0x87 if self.wants_pin => return Ok(vec![0x69, 0x82]),
                0x87 => self.signature(),
                0xc0 => std::mem::take(&mut self.rest),
                _ => return Ok(vec![0x6a, 0x82]),
            };
            let (part, rest) = data.split_at(data.len().min(256));
            self.rest = rest.to_vec();
            let status = match rest.len() {
                0 => [0x90, 0x00],
                left => [0x61, u8::try_from(left).unwrap_or(0)],
            };
            Ok([part, &status].concat())
        }
    }

    impl CardAccess for Wire {
        fn framing(&self) -> Framing {
            Framing::Short
        }

        fn control(&mut self, _: u32, _: &[u8]) -> Result<Vec<u8>, PortError> {
            Err(PortError::Gone)
        }
    }

    #[test]
    fn slot_9e_signs_the_nonce_without_a_pin_and_the_signature_verifies() {
        let nonce = [7; 32];
        let mut wire = Wire::new(&nonce);
        let key = der::subject_public_key_info(&wire.public_key());
        let beat = sign(&mut wire, &key, &nonce, ORIGIN).unwrap();
        assert_eq!((beat.origin.as_str(), beat.signature.len()), (ORIGIN, 256));
        assert!(wire.sent.iter().all(|apdu| apdu[1] != 0x20), "no PIN");
        let used = wire.sent.iter().filter(|apdu| apdu[1] == 0x87);
        assert!(used.clone().count() > 0 && used.clone().all(|apdu| apdu[3] == 0x9e));
        // What the card was given is the digest that both sides derive.
        let digest = digest_to_sign(&nonce, ORIGIN);
        let last = wire.sent.iter().rfind(|apdu| apdu[1] == 0x87).unwrap();
        let given = [&wire.chained[..], &last[5..]].concat();
        assert!(given.windows(32).any(|window| window == digest));
    }

    #[test]
    fn another_key_another_message_or_a_hand_is_no_silent_beat() {
        let nonce = [7; 32];
        let mut wire = Wire::new(&nonce);
        let key = der::subject_public_key_info(&wire.public_key());
        let other = der::subject_public_key_info(&PublicKey::Point(vec![4; 65]));
        assert_eq!(
            sign(&mut wire, &other, &nonce, ORIGIN),
            Err(AuthenticatorError::Gone)
        );
        assert!(wire.sent.iter().all(|apdu| apdu[1] != 0x87));
        // It signs something else than it was given.
        assert_eq!(
            sign(&mut wire, &key, &[8; 32], ORIGIN),
            Err(AuthenticatorError::Gone)
        );
        wire.wants_pin = true;
        assert_eq!(
            sign(&mut wire, &key, &nonce, ORIGIN),
            Err(AuthenticatorError::NoCardKey)
        );
        wire.sent.clear();
        wire.touch = 2;
        assert_eq!(
            sign(&mut wire, &key, &nonce, ORIGIN),
            Err(AuthenticatorError::NoCardKey)
        );
        assert!(wire.sent.iter().all(|apdu| apdu[1] != 0x87));
    }
}
