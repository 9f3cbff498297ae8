//! Enrolled cards judged again, by `[piv]` as it is now: at each approval by a card that is only certified, and all of them now and then
//! (`desk::judgement`), since roots are withdrawn, policies tighten, cards are revoked and certificates end.
//!
//! What cannot be known now refuses an approval and condemns nobody. As with FIDO2 keys an attestation's own end does not count against a key
//! that was made before; a certificate's end does.

use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use sceau_proof::certificate::path::MAX_CHAIN;
use sceau_proof::evidence::{EnrolledKey, KeyRecord, PivRegistration};
use sceau_proof::piv::PathError;
use sceau_proof::piv::attestation::{self, AttestationError, VerifiedAttestation};
use sceau_proof::piv::issuer::IssuerError;
use time::OffsetDateTime;

use super::{Cards, reason};
use crate::attestation::Standing;

pub(super) const MALFORMED: &str = "certificate-malformed";

/// What is kept of an enrolled card.
#[derive(Debug, Clone)]
pub struct KeptCard {
    registration: PivRegistration,
    enrolled_at: OffsetDateTime,
}

impl KeptCard {
    /// Of a key record (docs/evidence.md); `None` when it is not a card's.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        let value = serde_json::from_slice(record).ok()?;
        let record = KeyRecord::parse(&value)?;
        match record.key {
            EnrolledKey::Piv { registration, .. } => Some(Self {
                registration,
                enrolled_at: record.enrolled_at,
            }),
            _ => None,
        }
    }
}

fn fallen(reason: &'static str) -> Standing {
    Standing {
        fallen: Some(reason),
        model: None,
        anchor: None,
        status: None,
    }
}

fn parse(text: &String) -> Result<Certificate, &'static str> {
    let der = base64url::decode(text).map_err(|_| MALFORMED)?;
    Certificate::from_der(&der).map_err(|_| MALFORMED)
}

fn intermediates(registration: &PivRegistration) -> Result<Vec<Certificate>, &'static str> {
    let parts = registration.intermediates.iter().take(MAX_CHAIN);
    parts.map(parse).collect()
}

impl Cards {
    /// How an enrolled card stands now. `status`: why its revocation cannot be known now, if so.
    pub async fn judge_again(&self, card: &KeptCard, at: OffsetDateTime) -> Standing {
        match &card.registration.attestation {
            Some(_) => self.attested_again(card, at).unwrap_or_else(fallen),
            None => match self.certified_again(&card.registration, at).await {
                Ok(Ok((model, anchor))) => Standing {
                    fallen: None,
                    model: Some(model),
                    anchor: Some(anchor),
                    status: None,
                },
                Ok(Err(error)) if error.is_unavailable() => Standing {
                    fallen: None,
                    model: None,
                    anchor: None,
                    status: Some(error.reason()),
                },
                Ok(Err(error)) => fallen(error.reason()),
                Err(reason) => fallen(reason),
            },
        }
    }

    fn attested_again(
        &self,
        card: &KeptCard,
        at: OffsetDateTime,
    ) -> Result<Standing, &'static str> {
        let verified = self.attestation_again(card, at)?;
        self.good_enough(&verified)
            .map_err(|refused| reason::known(&refused.reason).unwrap_or("not-good-enough"))?;
        Ok(Standing {
            fallen: None,
            model: Some(super::model(&verified)),
            anchor: Some(verified.anchor().to_owned()),
            status: None,
        })
    }

    /// The enrolled key's own attestation, by the roots of today.
    ///
    /// # Errors
    /// The reason, kebab-case; `not-an-attestation` of a card that is only certified.
    pub(super) fn attestation_again(
        &self,
        card: &KeptCard,
        at: OffsetDateTime,
    ) -> Result<VerifiedAttestation, &'static str> {
        let Some(leaf) = &card.registration.attestation else {
            return Err(AttestationError::NotAttestation.reason());
        };
        let (leaf, intermediates) = (parse(leaf)?, intermediates(&card.registration)?);
        let claim = attestation::Claim {
            leaf: &leaf,
            intermediates: &intermediates,
            public_key: None,
        };
        let roots: Vec<&Certificate> = self.roots.iter().collect();
        let judged = |then| attestation::verify(&claim, &roots, Some(then));
        let verified = match judged(at) {
            Err(AttestationError::Path(PathError::Expired)) => judged(card.enrolled_at),
            judged => judged,
        };
        verified.map_err(AttestationError::reason)
    }

    /// The model and the anchor of a card that its issuer certifies; the outer error is of our own record.
    async fn certified_again(
        &self,
        registration: &PivRegistration,
        at: OffsetDateTime,
    ) -> Result<Result<(String, String), IssuerError>, &'static str> {
        let leaf = parse(registration.certificate.as_ref().ok_or(MALFORMED)?)?;
        if self.issuers.is_empty() {
            return Ok(Err(PathError::UnknownRoot.into()));
        }
        let certified = self
            .certified(&leaf, &intermediates(registration)?, at)
            .await;
        Ok(certified.map(|(issuer, verified)| {
            (
                format!("PIV card by {}", issuer.name),
                verified.anchor().to_owned(),
            )
        }))
    }

    /// Whether an enrolled card without attestation is still certified: asked at each of its approvals, since cards are revoked and expire.
    ///
    /// # Errors
    /// The reason, kebab-case.
    pub async fn still_certified(
        &self,
        registration: &PivRegistration,
        at: OffsetDateTime,
    ) -> Result<(), &'static str> {
        let certified = self.certified_again(registration, at).await?;
        certified.map(drop).map_err(IssuerError::reason)
    }
}
