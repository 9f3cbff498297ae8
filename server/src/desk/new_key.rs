//! A key that was judged and may be enrolled, of whatever kind: what becomes its row, its key record and its log entry.

use sceau_proof::evidence::{EnrolledKey, Fido2Registration, PivRegistration};
use serde_json::Value;

use super::RegistrationClaim;
use crate::action::ActionRecord;
use crate::attestation::Accepted;
use crate::key::Credential;
use crate::piv::{AcceptedCard, CardClaim};

/// Built from what a judge accepted, and from nothing else.
#[derive(Debug, Clone)]
pub(super) struct NewKey {
    pub(super) credential: Credential,
    /// The kind's part of the key record.
    pub(super) record: EnrolledKey,
    pub(super) label: String,
    pub(super) transports: Vec<String>,
    pub(super) model: Option<String>,
    pub(super) sign_count: u32,
    pub(super) backup_eligible: bool,
    /// What the log tells of the verdict.
    pub(super) verdict: Value,
    /// What the store keeps besides.
    pub(super) private: Option<Value>,
    /// The number of the metadata list that it was judged by.
    pub(super) metadata_no: Option<u64>,
}

impl NewKey {
    /// A FIDO2 credential, registered for this `key.register` action.
    pub(super) fn fido2(
        accepted: Accepted,
        claim: RegistrationClaim,
        action: &ActionRecord,
    ) -> Self {
        Self {
            record: EnrolledKey::Fido2 {
                credential_id: accepted.credential_id.clone(),
                public_key_cose: accepted.public_key_cose.clone(),
                registration: Fido2Registration {
                    action: action.document.as_bytes().to_vec(),
                    client_data_json: claim.client_data_json,
                    attestation_object: claim.attestation_object,
                    metadata: accepted.metadata,
                },
            },
            credential: Credential::Fido2 {
                credential_id: accepted.credential_id,
                public_key_cose: accepted.public_key_cose,
                aaguid: accepted.aaguid,
                verifies_user: accepted.verifies_user,
            },
            label: claim
                .label
                .or_else(|| accepted.model.clone())
                .unwrap_or_else(|| "key".to_owned()),
            transports: claim.transports,
            model: accepted.model,
            sign_count: accepted.sign_count,
            backup_eligible: accepted.backup_eligible,
            verdict: accepted.verdict,
            private: None,
            metadata_no: accepted.metadata_no,
        }
    }

    /// A card's key, registered for this `key.register` action.
    pub(super) fn card(accepted: AcceptedCard, claim: CardClaim, action: &ActionRecord) -> Self {
        Self {
            record: EnrolledKey::Piv {
                public_key_spki: accepted.public_key_spki.clone(),
                registration: PivRegistration {
                    action: action.document.as_bytes().to_vec(),
                    ..accepted.registration
                },
            },
            credential: Credential::Piv {
                public_key_spki: accepted.public_key_spki,
                attested: accepted.attested,
                pin_each_time: accepted.pin_each_time,
            },
            label: claim.label.unwrap_or_else(|| accepted.model.clone()),
            transports: claim.transports,
            model: Some(accepted.model),
            sign_count: 0,
            backup_eligible: false,
            verdict: accepted.verdict,
            private: Some(accepted.private),
            metadata_no: None,
        }
    }
}
