//! Which models of authenticators we want: the third verdict, after statement and trust.
//!
//! [`judge`] is the whole question in one pure function: stored registration, trust sources, policy, roles, time → verdict. The server asks it at
//! enrolment, and again for every key at each new metadata list. What a policy may say, and how it is read, is in `policy`.

mod policy;

use time::OffsetDateTime;

use crate::attestation::second_opinion::{self, Opinion};
use crate::attestation::trust::{self, Sources, TrustVerdict};
use crate::attestation::{
    RegistrationError, RegistrationExpectation, RegistrationResponse, VerifiedRegistration,
    verify_statement,
};

pub use policy::{DEFAULT, ModelPolicy, ModelPolicyError};

/// Why the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody enrols a key now.
    Enrolment,
    /// A key that is enrolled already is judged again.
    Existing,
}

/// Whether we want that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyVerdict {
    accepted: bool,
    reason: &'static str,
}

impl PolicyVerdict {
    /// Yes or no.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The kebab-case word; [`REASONS`] lists them.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Every word of [`PolicyVerdict::reason`] and what it means.
pub const REASONS: &[(&str, &str)] = &[
    ("accepted", "every rule of the policy holds"),
    (
        "attestation-type-refused",
        "the kind of attestation (self, none, …) is not among those allowed",
    ),
    (
        "format-refused",
        "the attestation format is not among those allowed",
    ),
    (
        "algorithm-refused",
        "the credential's algorithm is not among those allowed",
    ),
    (
        "algorithm-not-verifiable",
        "assertions of that algorithm could never be verified",
    ),
    (
        "user-verification-missing",
        "no PIN or finger was asked for",
    ),
    (
        "backup-eligible",
        "the credential may leave its authenticator",
    ),
    ("weak-signature", "SHA-1 in the attestation"),
    ("not-trusted", "trust was evaluated and refused"),
    (
        "trust-not-evaluated",
        "neither anchors nor metadata were given",
    ),
    ("model-denied", "the model is on the deny list"),
    (
        "model-not-listed",
        "there is an allow list, and the model is not on it",
    ),
    ("anchor-denied", "the anchor is on the deny list"),
    (
        "anchor-not-listed",
        "there is an allow list, and the anchor is not on it",
    ),
    (
        "key-protection-too-low",
        "metadata says that keys are kept in software, or not how",
    ),
    (
        "certification-too-low",
        "the certification in effect is under the minimum",
    ),
    ("model-retired", "the maker has retired the model"),
    ("metadata-stale", "metadata is overdue beyond the grace"),
];

/// What a policy is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The verified registration.
    pub registration: &'a VerifiedRegistration,
    /// The verdict on its trust.
    pub trust: &'a TrustVerdict<'a>,
    /// When the metadata that was used is due for renewal.
    pub metadata_next_update: Option<time::Date>,
    /// The roles of the person whose key it is.
    pub roles: &'a [&'a str],
    /// Why we ask.
    pub occasion: Occasion,
    /// The time; without one nothing is trusted.
    pub at: Option<OffsetDateTime>,
}

/// A registration as the store keeps it: the exact bytes, and what was asked for at the time.
#[derive(Clone, Debug)]
pub struct StoredRegistration {
    /// clientDataJSON.
    pub client_data_json: Vec<u8>,
    /// attestationObject.
    pub attestation_object: Vec<u8>,
    /// What the ceremony had to satisfy.
    pub expectation: RegistrationExpectation,
}

/// The three verdicts on one registration, and at an enrolment the second verifier's opinion.
#[derive(Debug)]
pub struct ModelVerdict<'a> {
    /// The statement, or why it is not genuine.
    pub statement: Result<VerifiedRegistration, RegistrationError>,
    /// Trust; `None` when the statement is not genuine.
    pub trust: Option<TrustVerdict<'a>>,
    /// Policy; `None` when the statement is not genuine or no policy was given.
    pub policy: Option<PolicyVerdict>,
    /// What the second, independent verifier says; asked at an enrolment only.
    pub second_opinion: Option<Opinion>,
}

impl ModelVerdict<'_> {
    /// Whether the key may be (or stay) enrolled: genuine, trusted, wanted, and not contested by the second verifier. A
    /// verdict that was not reached is a no.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.statement.is_ok()
            && !self.is_contested()
            && self.policy.is_some_and(|policy| policy.is_accepted())
    }

    fn is_contested(&self) -> bool {
        matches!(self.second_opinion, Some(Opinion::Disagrees(_)))
    }

    /// The word that says why not: of the statement, else of trust when policy refused for want of it, else of policy.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match (&self.statement, &self.trust, &self.policy) {
            (Err(error), _, _) => error.reason(),
            (Ok(_), _, _) if self.is_contested() => "second-verifier-disagrees",
            (Ok(_), Some(trust), Some(policy)) if policy.reason() == "not-trusted" => {
                trust.reason()
            }
            (Ok(_), _, Some(policy)) => policy.reason(),
            (Ok(_), Some(trust), None) => trust.reason(),
            (Ok(_), None, None) => "policy-not-given",
        }
    }

    /// The model's name from metadata, from its vendor: escape it before showing it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.trust
            .as_ref()?
            .entry()
            .map(crate::metadata::Entry::description)
    }
}

/// Judges a registration from its stored bytes: statement, trust, policy. The same question at enrolment and ever after.
#[must_use]
pub fn judge<'a>(
    stored: &StoredRegistration,
    sources: Sources<'a>,
    policy: Option<&ModelPolicy>,
    roles: &[&str],
    occasion: Occasion,
    now: Option<OffsetDateTime>,
) -> ModelVerdict<'a> {
    let response = RegistrationResponse {
        client_data_json: &stored.client_data_json,
        attestation_object: &stored.attestation_object,
    };
    let registration = match verify_statement(&response, &stored.expectation) {
        Ok(registration) => registration,
        Err(error) => {
            return ModelVerdict {
                statement: Err(error),
                trust: None,
                policy: None,
                second_opinion: None,
            };
        }
    };
    let second_opinion = (occasion == Occasion::Enrolment)
        .then(|| second_opinion::ask(&response, &stored.expectation, &registration));
    let trust = trust::judge(&registration, sources, now);
    let policy = policy.map(|policy| {
        policy.evaluate(&Question {
            registration: &registration,
            trust: &trust,
            metadata_next_update: sources.metadata.map(crate::metadata::Metadata::next_update),
            roles,
            occasion,
            at: now,
        })
    });
    ModelVerdict {
        statement: Ok(registration),
        trust: Some(trust),
        policy,
        second_opinion,
    }
}
