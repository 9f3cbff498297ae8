//! A beat of an enrolled card: slot 9E's key signed it, and the card's own attestations say that this key lies beside the enrolled one.
//!
//! A card that cannot attest proves no presence: nothing else ties the two keys to one card. The nonce is `presence`'s business; what is signed is the
//! beat's challenge, with the key and the sessions that it speaks for.

use sceau_proof::certificate::Certificate;
use sceau_proof::certificate::path::MAX_CHAIN;
use sceau_proof::piv::SignatureResponse;
use sceau_proof::piv::attestation::{self, AttestationError, PinPolicy, TouchPolicy};
use sceau_proof::piv::presence::{PresenceExpectation, is_beside, verify};
use time::OffsetDateTime;

use super::again::{KeptCard, MALFORMED};
use super::{Cards, reason};

/// What a card answered: a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeatClaim {
    /// Slot 9E's attestation, DER.
    pub attestation: Vec<u8>,
    /// The card's own certificate and others above it, DER.
    pub intermediates: Vec<Vec<u8>>,
    /// Slot 9E's signature.
    pub signature: SignatureResponse,
}

impl Cards {
    /// Judges a beat of `card` against the challenge that it had to sign.
    ///
    /// # Errors
    /// The reason, kebab-case: those of attestations, `other-card`, `not-silent`, `origin-mismatch`, `signature-invalid`.
    pub fn beat(
        &self,
        card: &KeptCard,
        claim: &BeatClaim,
        challenge: &[u8; 32],
        at: OffsetDateTime,
    ) -> Result<(), &'static str> {
        let enrolled = self.attestation_again(card, at)?;
        if claim.intermediates.len() > MAX_CHAIN {
            return Err("chain-too-long");
        }
        let parse = |der: &Vec<u8>| Certificate::from_der(der).map_err(|_| MALFORMED);
        let leaf = parse(&claim.attestation)?;
        let intermediates: Vec<Certificate> = claim
            .intermediates
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()?;
        let roots: Vec<&Certificate> = self.roots.iter().collect();
        let attested = attestation::Claim {
            leaf: &leaf,
            intermediates: &intermediates,
            public_key: None,
        };
        let beside =
            attestation::verify(&attested, &roots, Some(at)).map_err(AttestationError::reason)?;
        if !is_beside(&beside, &enrolled) {
            return Err("other-card");
        }
        if beside.pin_policy() != PinPolicy::Never || beside.touch_policy() != TouchPolicy::Never {
            return Err("not-silent");
        }
        let expectation = PresenceExpectation {
            nonce: challenge,
            origins: &self.origins,
        };
        verify(&claim.signature, beside.public_key(), &expectation)
            .map(drop)
            .map_err(|error| reason::known(error.reason()).unwrap_or("signature-invalid"))
    }
}
