//! An action's life on the server: what is asked ([`NewAction`]), what it needs ([`Requirement`]), where it stands
//! ([`Standing`], the state machine of CONTRACT.md) and what everyone is told ([`ActionRecord`]).
//!
//! Pure: time is an argument, transitions consume the old standing. What is signed is `sceau_proof::action`; who may
//! approve is `policy`; writing it down is `writer`.

use std::collections::BTreeSet;
use std::sync::Arc;

use sceau_locale::Language;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::id::{ActionId, KeyId, PersonId, Role, ServiceId, SessionId};

/// What an action is done to. Received text: shown quoted and bounded, never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Kind of thing, such as `account`.
    pub kind: String,
    /// Its identifier in the service.
    pub id: String,
    /// How people call it.
    pub display: String,
}

/// The held HTTP request that an action stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDigest {
    /// Effective method, upper case.
    pub method: String,
    /// Canonical path and query.
    pub path: String,
    /// SHA-256 of the body, lower-case hexadecimal.
    pub body_sha256: String,
}

/// What the service says that the action means, by language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fr: Option<String>,
    /// English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub en: Option<String>,
}

impl Words {
    /// A text of the catalogue, in both languages: what an action of ours says that it means.
    #[must_use]
    pub fn of(name: &str, values: &[(&str, sceau_locale::Value<'_>)]) -> Self {
        Self {
            fr: Some(Language::Fr.text_with(name, values)),
            en: Some(Language::En.text_with(name, values)),
        }
    }
}

/// A request for an action, before identifiers, times and nonce are given to it. A claim: nothing is checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAction {
    /// Action type, such as `account.create`.
    pub kind: String,
    /// The service where it will be done.
    pub service: ServiceId,
    /// Who wants it.
    pub requester: PersonId,
    /// What it is done to.
    pub target: Target,
    /// Exactly what will be executed.
    pub params: Map<String, Value>,
    /// The held request, when the gate asks.
    pub request: Option<RequestDigest>,
    /// What it means, in words.
    pub words: Option<Words>,
}

/// Who asks for an action: decides what it may ask and what a `not-me` refusal suspends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A relying application with its token.
    Service(ServiceId),
    /// A person with an active session of theirs.
    Person {
        /// The person.
        person: PersonId,
        /// The session that asks.
        session: SessionId,
    },
    /// The gate, for a person's session at a service; the request is held.
    Gate {
        /// The service behind the gate.
        service: ServiceId,
        /// The gate session that asks; suspended when its person answers `not-me`.
        session: SessionId,
    },
}

/// Who must approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approvers {
    /// The requester, with their own key.
    Requester,
    /// Other persons who hold one of the roles: never the requester, never someone whom the requester begot.
    Roles,
}

/// How the approver is verified by the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// User verification: PIN (or biometrics on the key), and touch.
    Pin,
    /// User presence: touch alone.
    Touch,
}

/// Which keys count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Hardware whose manufacturer's attestation was verified at enrolment.
    AttestedHardware,
    /// The same, or a card that cannot attest its key and that a configured issuer certified.
    AttestedOrIssued,
    /// An attested FIDO2 key.
    Fido2,
    /// An attested FIDO2 key whose model the metadata list certifies at level 1 or better, now.
    FidoL1,
    /// At level 2 or better.
    FidoL2,
    /// At level 3 or better.
    FidoL3,
    /// A card that attested its key, which asks for a touch each time.
    PivTouch,
}

/// Approvers of whom so many are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Holders of any of these.
    pub roles: BTreeSet<Role>,
    /// How many of them, at least one.
    pub approvals: u32,
}

/// What an action needs before it may be done. Made by the policy alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// How many approvals by `approvers`; none when the policy allows it without a key.
    pub approvals: u32,
    /// Who they are.
    pub approvers: Approvers,
    /// The roles, when `approvers` is `roles`.
    pub roles: BTreeSet<Role>,
    /// The requester's own key is needed besides the approvals by roles.
    #[serde(default)]
    pub requester_also: bool,
    /// How each is verified.
    pub verification: Verification,
    /// Which keys count.
    pub key: KeyKind,
    /// The groups of approvers, all of which have to approve, each person for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Seconds after the last approval within which it has to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u32>,
    /// Approvers sit at workstations that differ from the requester's and from each other's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_workstation: bool,
    /// So many witnesses have cosigned the log before a permit is issued.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cosignatures: u32,
    /// Names of the policies that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// States of CONTRACT.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for approvals.
    Pending,
    /// Enough approvals; may be done once.
    Approved,
    /// Done, and the outcome is known.
    Executed,
    /// Its one use was taken by someone else, or the outcome is not known; never again.
    Consumed,
    /// Someone said no, or the client went away.
    Refused,
    /// The policy said no.
    Denied,
    /// Too late.
    Expired,
}

impl State {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Executed => "executed",
            Self::Consumed => "consumed",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }

    /// Reads [`State::as_str`] back; `None` for any other word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Approved,
            Self::Executed,
            Self::Consumed,
            Self::Refused,
            Self::Denied,
            Self::Expired,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved)
    }
}

/// A transition that the machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// It is already in this state, and the transition is not allowed from there.
    #[error("already {}", .0.as_str())]
    Settled(State),
    /// It is not approved yet.
    #[error("still pending")]
    Pending,
    /// Its one use was taken.
    #[error("already being executed")]
    Taken,
}

/// Where an action stands. `pending → approved → executed | consumed`; `pending → refused | expired`;
/// `approved → refused | expired` while its one use is not taken; `denied` from birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    state: State,
    expires_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
}

impl ActionRecord {
    /// What the policy said, as docs/evidence.md has it: its digest is in the action's first entry.
    #[must_use]
    pub fn decision(&self) -> Value {
        if let Some(requirement) = &self.requirement {
            return json!({ "requirement": requirement });
        }
        let mut denial =
            json!({ "reason": self.denial.as_ref().map(|denial| denial.reason.as_str()) });
        let policies = self.decided.iter().map(|decided| &decided.policies);
        for policies in policies.filter(|policies| !policies.is_empty()) {
            denial["policies"] = json!(policies);
        }
        json!({ "denial": denial })
    }
}

impl Standing {
    /// A new action that waits.
    #[must_use]
    pub fn pending(expires_at: OffsetDateTime) -> Self {
        Self {
            state: State::Pending,
            expires_at,
            started_at: None,
        }
    }

    /// A new action that the policy allows without a key.
    #[must_use]
    pub fn allowed(expires_at: OffsetDateTime) -> Self {
        Self {
            state: State::Approved,
            expires_at,
            started_at: None,
        }
    }

    /// A new action that the policy denied.
    #[must_use]
    pub fn denied(expires_at: OffsetDateTime) -> Self {
        Self {
            state: State::Denied,
            expires_at,
            started_at: None,
        }
    }

    /// As the store says.
    #[must_use]
    pub fn stored(
        state: State,
        expires_at: OffsetDateTime,
        started_at: Option<OffsetDateTime>,
    ) -> Self {
        Self {
            state,
            expires_at,
            started_at,
        }
    }

    /// The state, with time already counted by [`Standing::at`] or not.
    #[must_use]
    pub fn state(self) -> State {
        self.state
    }

    /// When execution was begun, at most once.
    #[must_use]
    pub fn started_at(self) -> Option<OffsetDateTime> {
        self.started_at
    }

    /// What time alone does: an unsettled action past its end is expired; one whose execution was begun and never
    /// reported is consumed, since nobody knows whether it happened.
    #[must_use]
    pub fn at(self, now: OffsetDateTime) -> Self {
        match self.state {
            State::Approved if self.started_at.is_some() => {
                if now >= self.expires_at.saturating_add(EXECUTION_GRACE) {
                    Self {
                        state: State::Consumed,
                        ..self
                    }
                } else {
                    self
                }
            }
            State::Pending | State::Approved if now >= self.expires_at => Self {
                state: State::Expired,
                ..self
            },
            _ => self,
        }
    }

    /// One more approval counted; `met` when the requirement is now met.
    ///
    /// # Errors
    /// When it is not pending at `now`.
    pub fn approve(self, now: OffsetDateTime, met: bool) -> Result<Self, TransitionError> {
        let this = self.at(now);
        match this.state {
            State::Pending if met => Ok(Self {
                state: State::Approved,
                ..this
            }),
            State::Pending => Ok(this),
            State::Expired => Err(TransitionError::Expired),
            state => Err(TransitionError::Settled(state)),
        }
    }

    /// A refusal or cancellation.
    ///
    /// # Errors
    /// When it is settled, or its execution was begun.
    pub fn refuse(self, now: OffsetDateTime) -> Result<Self, TransitionError> {
        let this = self.at(now);
        match this.state {
            State::Approved if this.started_at.is_some() => Err(TransitionError::Taken),
            State::Pending | State::Approved => Ok(Self {
                state: State::Refused,
                ..this
            }),
            State::Expired => Err(TransitionError::Expired),
            state => Err(TransitionError::Settled(state)),
        }
    }

    /// Whether its one use may be taken at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn usable(self, now: OffsetDateTime) -> Result<Self, TransitionError> {
        let this = self.at(now);
        match this.state {
            State::Approved if this.started_at.is_some() => Err(TransitionError::Taken),
            State::Approved => Ok(this),
            State::Pending => Err(TransitionError::Pending),
            State::Expired => Err(TransitionError::Expired),
            state => Err(TransitionError::Settled(state)),
        }
    }

    /// Takes its one use, for the gate which is about to execute it and will report.
    ///
    /// # Errors
    /// As [`Standing::usable`].
    pub fn start(self, now: OffsetDateTime) -> Result<Self, TransitionError> {
        Ok(Self {
            started_at: Some(now),
            ..self.usable(now)?
        })
    }

    /// Takes its one use, for a service that introspects a permit and will not report.
    ///
    /// # Errors
    /// As [`Standing::usable`].
    pub fn consume(self, now: OffsetDateTime) -> Result<Self, TransitionError> {
        Ok(Self {
            state: State::Consumed,
            started_at: Some(now),
            ..self.usable(now)?
        })
    }

    /// The report of an execution that [`Standing::start`] began: executed when its outcome is known, else consumed.
    ///
    /// # Errors
    /// When none was begun, or it was reported.
    pub fn finish(self, known: bool) -> Result<Self, TransitionError> {
        match (self.state, self.started_at) {
            (State::Approved, Some(_)) => Ok(Self {
                state: if known {
                    State::Executed
                } else {
                    State::Consumed
                },
                ..self
            }),
            (State::Pending, _) => Err(TransitionError::Pending),
            (state, _) => Err(TransitionError::Settled(state)),
        }
    }
}

/// How long after its end an execution that was begun in time may still be reported.
pub const EXECUTION_GRACE: Duration = Duration::minutes(10);

/// One approval, as it is told to others; the assertion itself is in the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalSummary {
    /// Who approved.
    pub person: PersonId,
    /// With which key.
    pub key_id: KeyId,
    /// When the server verified it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Why an action will not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Kebab-case.
    pub reason: String,
    /// The person who refused; absent for the policy or a client that went away.
    pub by: Option<PersonId>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What the person wrote, bounded; shown quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How the policy came to its decision, as it is kept with the action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Names of the policies that decided; none when no policy did.
    pub policies: Vec<String>,
    /// The words of the `forbid` that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
    /// What was known then.
    pub facts: crate::policy::Facts,
}

/// What is known of the execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// When its one use was taken, before the request was forwarded.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When the outcome was reported.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The upstream's HTTP status.
    pub upstream_status: Option<u16>,
    /// Why there is no status, kebab-case: `upstream-lost`, `not-reported`, …
    pub failure: Option<String>,
}

/// How an execution ended, reported once by whoever took the use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Answered {
        /// Its HTTP status.
        upstream_status: u16,
    },
    /// The request was sent, or may have been, and no answer is known: never sent again.
    Unknown {
        /// Kebab-case.
        failure: &'static str,
    },
}

/// An action as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRecord {
    /// Its name.
    pub id: ActionId,
    /// Action type.
    pub kind: String,
    /// The service where it is done.
    pub service: ServiceId,
    /// Who wants it.
    pub requester: PersonId,
    /// The session that asked, if a session did.
    pub session: Option<SessionId>,
    /// The action document: its canonical bytes, exactly those that are hashed into the challenge.
    pub document: Arc<str>,
    /// SHA-256 of `document`.
    pub sha256: [u8; 32],
    /// Where it stands.
    pub state: State,
    /// What it needs; `None` when denied.
    pub requirement: Option<Requirement>,
    /// Approvals so far, in order.
    pub approvals: Vec<ApprovalSummary>,
    /// Why it was refused or cancelled.
    pub refusal: Option<Settlement>,
    /// Why the policy denied it.
    pub denial: Option<Settlement>,
    /// How the policy decided; `None` of actions that are older than these records.
    pub decided: Option<DecisionRecord>,
    /// The first permit, made with the last approval; for the service (and gate) alone.
    pub permit: Option<String>,
    /// What is known of its execution.
    pub execution: Option<Execution>,
    /// What the server's own execution gave, if anything can be told.
    pub result: Option<Value>,
    /// Birth.
    pub created_at: OffsetDateTime,
    /// End.
    pub expires_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Approve(bool),
        Refuse,
        Start,
        Consume,
        Finish(bool),
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(Step::Approve),
            Just(Step::Refuse),
            Just(Step::Start),
            Just(Step::Consume),
            any::<bool>().prop_map(Step::Finish),
            (0_i64..200).prop_map(Step::Wait),
        ]
    }

    fn allowed(from: State, to: State) -> bool {
        use State::{Approved, Consumed, Executed, Expired, Pending, Refused};
        from == to
            || matches!(
                (from, to),
                (Pending, Approved | Refused | Expired)
                    | (Approved, Executed | Consumed | Refused | Expired)
            )
    }

    proptest! {
        #[test]
        fn no_sequence_uses_an_action_twice_or_leaves_the_machine(steps in prop::collection::vec(step(), 0..40)) {
            let birth = OffsetDateTime::UNIX_EPOCH;
            let end = birth + Duration::seconds(300);
            let mut now = birth;
            let mut standing = Standing::pending(end);
            let mut uses = 0;
            for step in steps {
                let before = standing.at(now).state();
                let next = match step {
                    Step::Approve(met) => standing.approve(now, met),
                    Step::Refuse => standing.refuse(now),
                    Step::Start => standing.start(now).inspect(|_| uses += 1),
                    Step::Consume => standing.consume(now).inspect(|_| uses += 1),
                    Step::Finish(known) => standing.finish(known),
                    Step::Wait(seconds) => { now += Duration::seconds(seconds); Ok(standing.at(now)) }
                };
                if let Ok(next) = next {
                    prop_assert!(allowed(before, next.state()), "{before:?} -> {:?} by {step:?}", next.state());
                    standing = next;
                } else if before.is_final() {
                    prop_assert_eq!(standing.at(now).state(), before);
                }
                prop_assert!(uses <= 1);
                if uses == 1 {
                    prop_assert!(!matches!(standing.state(), State::Pending | State::Refused | State::Expired));
                }
            }
        }
    }

    #[test]
    fn nothing_is_approved_or_used_at_its_last_second() {
        let end = OffsetDateTime::UNIX_EPOCH + Duration::seconds(10);
        assert_eq!(
            Standing::pending(end).approve(end, true),
            Err(TransitionError::Expired)
        );
        let approved = Standing::pending(end)
            .approve(end - Duration::SECOND, true)
            .unwrap();
        assert_eq!(approved.start(end), Err(TransitionError::Expired));
    }

    #[test]
    fn an_execution_never_reported_is_consumed_not_expired() {
        let end = OffsetDateTime::UNIX_EPOCH + Duration::seconds(10);
        let started = Standing::stored(State::Approved, end, None)
            .start(end - Duration::SECOND)
            .unwrap();
        assert_eq!(started.at(end).state(), State::Approved);
        assert_eq!(started.at(end + EXECUTION_GRACE).state(), State::Consumed);
        assert_eq!(started.refuse(end), Err(TransitionError::Taken));
    }

    #[test]
    fn every_state_word_reads_back() {
        for word in [
            "pending", "approved", "executed", "consumed", "refused", "denied", "expired",
        ] {
            assert_eq!(State::from_word(word).map(State::as_str), Some(word));
        }
        assert_eq!(State::from_word("done"), None);
    }
}
