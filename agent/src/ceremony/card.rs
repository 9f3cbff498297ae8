//! What a PIV card may sign (docs/piv.md): the same states as a FIDO2 key's, over the digest that this very document gives. Pure.
//!
//! A card has no authenticator data, so what can be checked of its answer here is all of it: the signature, under the key that was asked for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sceau_proof::certificate::PublicKeyInfo;
use sceau_proof::piv::{Expectation, SignatureResponse, digest_to_sign, verify_signature};
use uuid::Uuid;

use super::{EnrolledKey, Sealed, Unfit};

/// What one card is asked to sign, and what its answer is checked with.
pub(super) struct Request {
    challenge: [u8; 32],
    origin: String,
    /// subjectPublicKeyInfo, DER.
    key: Vec<u8>,
}

impl Request {
    pub(super) fn new(challenge: [u8; 32], origin: String, key: Vec<u8>) -> Self {
        Self {
            challenge,
            origin,
            key,
        }
    }

    fn response(&self, signature: Vec<u8>) -> Result<serde_json::Value, Unfit> {
        let key = PublicKeyInfo::from_der(&self.key)
            .map_err(|_| Unfit::Answer("a public key that cannot be read"))?;
        let response = SignatureResponse {
            origin: self.origin.clone(),
            signature,
        };
        let expectation = Expectation {
            challenge: &self.challenge,
            origins: std::slice::from_ref(&self.origin),
        };
        verify_signature(&response, &key, &expectation)
            .map_err(|_| Unfit::Answer("no signature by this card's key"))?;
        Ok(serde_json::json!({
            "origin": response.origin,
            "signature": URL_SAFE_NO_PAD.encode(&response.signature),
        }))
    }
}

/// One action, one card.
pub struct ArmedCard {
    pub(super) id: Uuid,
    pub(super) key: EnrolledKey,
    pub(super) request: Request,
}

impl ArmedCard {
    /// What slot 9C signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_to_sign(&self.request.challenge, &self.request.origin)
    }

    /// The only key that may: subjectPublicKeyInfo, DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.request.key
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &EnrolledKey {
        &self.key
    }

    /// Takes the card's answer, if it is its signature of what was asked.
    ///
    /// # Errors
    /// [`Unfit::Answer`].
    pub fn signed(self, signature: Vec<u8>) -> Result<Sealed, Unfit> {
        Ok(Sealed {
            id: self.id,
            response: self.request.response(signature)?,
            key: self.key,
        })
    }
}

/// A registration that its person wants, by a card.
pub struct EnrollingCard(pub(super) Request);

/// How a card shows where its key lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// The card's own certificate of the slot, and those above it that it holds; DER.
    Attested {
        /// By INS F9.
        attestation: Vec<u8>,
        /// The F9 certificate, and more if there are.
        intermediates: Vec<Vec<u8>>,
    },
    /// The slot's certificate, by its administration's card PKI; DER.
    Issued(Vec<u8>),
}

impl EnrollingCard {
    /// What slot 9C signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_to_sign(&self.0.challenge, &self.0.origin)
    }

    /// Takes the card's answer: the `response` member of the report.
    ///
    /// # Errors
    /// [`Unfit::Answer`]: not this card's signature.
    pub fn registered(
        self,
        signature: Vec<u8>,
        provenance: &Provenance,
    ) -> Result<serde_json::Value, Unfit> {
        let mut response = self.0.response(signature)?;
        let der = |der: &Vec<u8>| serde_json::Value::from(URL_SAFE_NO_PAD.encode(der));
        if let Some(response) = response.as_object_mut() {
            match provenance {
                Provenance::Attested {
                    attestation,
                    intermediates,
                } => {
                    response.insert("attestation".into(), der(attestation));
                    response.insert(
                        "intermediates".into(),
                        intermediates.iter().map(der).collect(),
                    );
                }
                Provenance::Issued(certificate) => {
                    response.insert("certificate".into(), der(certificate));
                }
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use serde_json::json;

    use super::super::Proposal;
    use super::*;
    use crate::config::RpId;
    use crate::piv::der;
    use crate::specimen::{NOW, document, key};

    fn pair() -> (EcdsaKeyPair, Vec<u8>) {
        use aws_lc_rs::signature::KeyPair as _;
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = sceau_ctap::piv::PublicKey::Point(pair.public_key().as_ref().to_vec());
        (pair, der::subject_public_key_info(&point))
    }

    fn armed(number: u128, spki: &[u8]) -> ArmedCard {
        let key = EnrolledKey {
            kind: "piv".into(),
            credential_id: String::new(),
            public_key_spki: Some(URL_SAFE_NO_PAD.encode(spki)),
            ..key()
        };
        let rp_id = RpId::new("sceau.example").unwrap();
        Proposal::read(&document(number, json!({})), vec![key], NOW)
            .unwrap()
            .consented(&rp_id, NOW)
            .unwrap()
            .with_card(0)
            .unwrap()
    }

    fn sign(pair: &EcdsaKeyPair, armed: &ArmedCard) -> Vec<u8> {
        let message =
            sceau_proof::piv::message(&armed.request.challenge, "sceau-agent://sceau.example");
        pair.sign(&SystemRandom::new(), &message)
            .unwrap()
            .as_ref()
            .to_vec()
    }

    #[test]
    fn card_seals_this_document_with_this_key_only() {
        let ((pair, spki), (other, _)) = (self::pair(), self::pair());
        let armed = || armed(1, &spki);
        let signature = sign(&pair, &armed());
        let sealed = armed().signed(signature.clone()).unwrap();
        let report = sealed.report();
        assert_eq!(report["key_id"], "key-1");
        assert_eq!(report["response"]["origin"], "sceau-agent://sceau.example");
        assert_eq!(
            report["response"]["signature"],
            URL_SAFE_NO_PAD.encode(&signature)
        );
        let refused = Some(Unfit::Answer("no signature by this card's key"));
        assert_eq!(
            armed().signed(sign(&other, &armed())).err(),
            refused,
            "another key"
        );
        let another = self::armed(2, &spki);
        assert_eq!(
            another.signed(signature).err(),
            refused,
            "another document's"
        );
        assert_eq!(armed().signed(Vec::new()).err(), refused);
    }

    #[test]
    fn report_of_a_registration_says_which_of_the_two_it_was() {
        let (pair, spki) = pair();
        let armed = armed(1, &spki);
        let signature = sign(&pair, &armed);
        let enrolling = || {
            EnrollingCard(Request::new(
                armed.request.challenge,
                armed.request.origin.clone(),
                spki.clone(),
            ))
        };
        let issued = enrolling()
            .registered(signature.clone(), &Provenance::Issued(vec![1]))
            .unwrap();
        assert_eq!(
            (&issued["certificate"], issued.get("attestation")),
            (&json!("AQ"), None)
        );
        let attested = Provenance::Attested {
            attestation: vec![2],
            intermediates: vec![vec![3], vec![4]],
        };
        let attested = enrolling().registered(signature, &attested).unwrap();
        assert_eq!(attested["attestation"], "Ag");
        assert_eq!(attested["intermediates"], json!(["Aw", "BA"]));
        assert_eq!(attested.get("certificate"), None);
    }
}
