//! A registration on its way to the desk: what it had to sign is loaded, its judge is asked (`attestation` for FIDO2, `piv` for cards), and what
//! was judged goes to `enrolment`, which makes the key. Here too: whether a card that was certified once still is.
//!
//! Trusts the store's rows. Does not trust: invitation, claim.

use std::sync::Arc;

use sceau_proof::action::{Action, Challenge};
use sceau_proof::evidence::{EnrolledKey, KeyRecord as EvidenceKey};

use super::new_key::NewKey;
use super::{
    Desk, DeskError, Registered, RegistrationClaim, RegistrationRefused, Shared, enrolment, sign_in,
};
use crate::action::ActionRecord;
use crate::id::EnrolmentId;
use crate::key::{Credential, KeyRecord};
use crate::person::Person;
use crate::piv::{CardClaim, Cards};
use crate::store;

impl Desk {
    /// Judges a registration and makes the key.
    ///
    /// # Errors
    /// As [`Desk::open_enrolment`]; the inner error is the reason for the help-desk.
    pub async fn register(
        &self,
        enrolment: EnrolmentId,
        invitation: &str,
        claim: RegistrationClaim,
    ) -> Result<Result<Registered, RegistrationRefused>, DeskError> {
        let shared = Arc::clone(&self.inner.shared);
        let registering = self.registering(enrolment, invitation).await?;
        let judged = shared.judge.judge(
            &claim,
            registering.challenge.as_bytes(),
            &registering.person.roles,
            self.now(),
        );
        let judged = judged.map(|it| NewKey::fido2(it, claim, &registering.action));
        self.run(registering.command(shared, judged)).await
    }

    /// As [`Desk::register`], of a card.
    ///
    /// # Errors
    /// As [`Desk::register`].
    pub async fn register_card(
        &self,
        enrolment: EnrolmentId,
        invitation: &str,
        claim: CardClaim,
    ) -> Result<Result<Registered, RegistrationRefused>, DeskError> {
        let shared = Arc::clone(&self.inner.shared);
        let registering = self.registering(enrolment, invitation).await?;
        let judged = match &shared.cards {
            Some(cards) => {
                cards
                    .judge(&claim, registering.challenge.as_bytes(), self.now())
                    .await
            }
            None => Err(RegistrationRefused {
                reason: "cards-not-enrolled".to_owned(),
                detail: crate::piv::words("cards-not-enrolled", "en")
                    .unwrap_or_default()
                    .into_owned(),
            }),
        };
        let judged = judged.map(|it| NewKey::card(it, claim, &registering.action));
        self.run(registering.command(shared, judged)).await
    }

    /// What an invitation that was opened asks the new key to sign.
    async fn registering(
        &self,
        enrolment: EnrolmentId,
        invitation: &str,
    ) -> Result<Registering, DeskError> {
        let secret_sha256 = sign_in::token_digest(invitation);
        let mut connection = self.reader().await?;
        let found =
            self.stored(store::session::invitation(&mut connection, &secret_sha256).await)?;
        let invited = found
            .filter(|invitation| invitation.id == enrolment)
            .ok_or(DeskError::NotFound)?;
        let action = invited.action.ok_or(DeskError::NotFound)?;
        let (action, _) = self
            .stored(store::action::load(&mut connection, action).await)?
            .ok_or(DeskError::NotFound)?;
        let person = self
            .stored(store::person::load(&mut connection, &invited.person).await)?
            .ok_or(DeskError::UnknownPerson)?;
        let document = Action::parse(action.document.as_bytes())
            .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
        Ok(Registering {
            enrolment,
            secret_sha256,
            challenge: document.challenge(),
            action,
            person,
        })
    }

    /// Why a card that an issuer certified is certified no more, if so. Attested keys need nobody's word but their card's.
    pub(super) async fn uncertified(
        &self,
        connection: &mut sqlx::AnyConnection,
        key: &KeyRecord,
    ) -> Result<Option<&'static str>, DeskError> {
        if !matches!(
            key.credential,
            Credential::Piv {
                attested: false,
                ..
            }
        ) {
            return Ok(None);
        }
        let kept = self
            .stored(store::key::registration(connection, key.id).await)?
            .and_then(|kept| serde_json::from_slice(&kept.record).ok())
            .and_then(|record| EvidenceKey::parse(&record));
        let Some(EvidenceKey {
            key: EnrolledKey::Piv { registration, .. },
            ..
        }) = kept
        else {
            return Err(DeskError::Misuse("stored key record does not parse"));
        };
        let Some(cards) = &self.inner.shared.cards else {
            return Ok(Some("unknown-root"));
        };
        Ok(cards.still_certified(&registration, self.now()).await.err())
    }

    /// Which cards may be enrolled, if any.
    #[must_use]
    pub fn cards(&self) -> Option<&Cards> {
        self.inner.shared.cards.as_ref()
    }
}

impl Shared {
    /// The origins from which cards are used: agents', since no browser speaks to a card.
    pub(super) fn card_origins(&self) -> Vec<String> {
        self.cards
            .as_ref()
            .map(|cards| cards.origins().to_vec())
            .unwrap_or_default()
    }
}

/// A registration that is to be judged.
struct Registering {
    enrolment: EnrolmentId,
    secret_sha256: [u8; 32],
    challenge: Challenge,
    action: ActionRecord,
    person: Person,
}

impl Registering {
    fn command(
        &self,
        shared: Arc<Shared>,
        judged: Result<NewKey, RegistrationRefused>,
    ) -> enrolment::Register {
        enrolment::Register {
            shared,
            enrolment: self.enrolment,
            secret_sha256: self.secret_sha256,
            action: self.action.id,
            judged,
        }
    }
}
