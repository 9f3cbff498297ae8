//! Tables of expected decisions, written by administrators, run by `sceau-server policy test`. Pure: a table and a policy in, failures out.
//!
//! A table is TOML, one `[[case]]` each. What a case does not say is ordinary: an active requester without roles, nothing asked before,
//! an account as target, an hour of a working day. Only what is expected is compared.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::datetime;

use super::{
    Decided, Decision, Facts, KeysAtHand, OWN_SERVICE, PersonFacts, Policy, SessionFacts,
    TargetFacts, Training, Window,
};
use crate::action::{Approvers, Requirement, Verification};
use crate::config::Span;
use crate::id::{KeyId, PersonId, Role, ServiceId};
use crate::person::PersonState;

/// A working hour.
const NOW: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<toml::Spanned<Case>>,
}

/// Expected outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Deny,
    Allow,
    Require,
}

/// One row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    action: String,
    #[serde(default)]
    service: Option<ServiceId>,
    /// The requester's roles.
    #[serde(default)]
    roles: BTreeSet<Role>,
    #[serde(default)]
    organisation: Option<String>,
    #[serde(default)]
    state: Option<PersonState>,
    /// Roles of the person, or of the key's owner, whom one of Sceau's own actions is about.
    #[serde(default)]
    target_roles: BTreeSet<Role>,
    /// That person is the requester.
    #[serde(default)]
    target_is_requester: bool,
    #[serde(default)]
    target_kind: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
    #[serde(default)]
    asked: Window,
    #[serde(default)]
    executed: Window,
    #[serde(default)]
    refused: Window,
    #[serde(default)]
    keys: Option<KeysAtHand>,
    #[serde(default)]
    present: bool,
    #[serde(default, with = "time::serde::rfc3339::option")]
    training_until: Option<OffsetDateTime>,
    #[serde(default)]
    facts: BTreeSet<String>,
    #[serde(default)]
    session: Option<SessionFacts>,
    #[serde(default)]
    approvals_so_far: u32,

    expect: Outcome,
    #[serde(default)]
    reason: Option<String>,
    /// `requester`, `administrator`, `requester,security:2`.
    #[serde(default)]
    approvers: Option<String>,
    #[serde(default)]
    approvals: Option<u32>,
    #[serde(default)]
    verification: Option<Verification>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    lifetime: Option<Span>,
    #[serde(default)]
    fresh: Option<Span>,
    #[serde(default)]
    policies: Option<Vec<String>>,
}

/// The table does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct MalformedTable {
    /// From 1; 0 when unknown.
    pub line: usize,
    /// Why.
    pub problem: String,
}

/// A case that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Its name.
    pub case: String,
    /// Where it stands.
    pub line: usize,
    /// What is compared.
    pub what: &'static str,
    /// What the table says.
    pub expected: String,
    /// What the policy says.
    pub got: String,
    /// Which policies said so.
    pub policies: Vec<String>,
}

/// What came of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// How many cases there are.
    pub cases: usize,
    /// Those that failed, each difference a line.
    pub failures: Vec<Failure>,
    /// Policies of which no case was decided by.
    pub untested: Vec<String>,
}

impl Policy {
    /// Runs a table.
    ///
    /// # Errors
    /// [`MalformedTable`].
    pub fn test(&self, table: &str) -> Result<Tested, MalformedTable> {
        let line = |offset: usize| {
            table
                .bytes()
                .take(offset)
                .filter(|byte| *byte == b'\n')
                .count()
                + 1
        };
        let read: Table = toml::from_str(table).map_err(|error| MalformedTable {
            line: error.span().map_or(0, |span| line(span.start)),
            problem: error.message().to_owned(),
        })?;
        let mut untested: BTreeSet<&str> = self.stated.keys().map(String::as_str).collect();
        let mut failures = Vec::new();
        for case in &read.case {
            let (at, case) = (line(case.span().start), case.get_ref());
            let facts = case.facts(self).map_err(|problem| MalformedTable {
                line: at,
                problem: problem.to_owned(),
            })?;
            let decided = self.decide(&facts);
            for id in &decided.policies {
                untested.remove(id.as_str());
            }
            failures.extend(
                case.differences(&decided)
                    .into_iter()
                    .map(|(what, expected, got)| Failure {
                        case: case.name.clone(),
                        line: at,
                        what,
                        expected,
                        got,
                        policies: decided.policies.clone(),
                    }),
            );
        }
        Ok(Tested {
            cases: read.case.len(),
            failures,
            untested: untested.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl Case {
    fn facts(&self, policy: &Policy) -> Result<Facts, &'static str> {
        let name = |text: &str| text.parse::<PersonId>().map_err(|_| "name");
        let slice = policy.slices.get(&self.action);
        let own = slice.is_some_and(|slice| slice.own);
        let service = match &self.service {
            Some(service) => service.clone(),
            None if own => OWN_SERVICE.parse().map_err(|_| "service")?,
            None => return Err("say which service"),
        };
        let requester = PersonFacts {
            id: name("requester")?,
            roles: self.roles.clone(),
            state: self.state.unwrap_or(PersonState::Active),
            organisation: self.organisation.clone(),
        };
        let themselves = self.target_is_requester
            || matches!(self.action.as_str(), "session.open" | "key.register");
        let about = if themselves {
            requester.clone()
        } else {
            PersonFacts {
                id: name("target")?,
                roles: self.target_roles.clone(),
                state: PersonState::Active,
                organisation: None,
            }
        };
        let target = match self.action.as_str() {
            "key.revoke" => TargetFacts::Key {
                id: KeyId(uuid::Uuid::nil()),
                owner: about,
            },
            _ if own && slice.is_some_and(|slice| slice.resources.contains("Person")) => {
                TargetFacts::Person(about)
            }
            _ => TargetFacts::Thing {
                kind: self
                    .target_kind
                    .clone()
                    .unwrap_or_else(|| "account".to_owned()),
                id: "target".to_owned(),
            },
        };
        Ok(Facts {
            session: self.session.clone(),
            asked: self.asked,
            executed: self.executed,
            refused: self.refused,
            keys: self.keys.unwrap_or(KeysAtHand {
                fido2: 1,
                given: 1,
                ..KeysAtHand::default()
            }),
            present: self.present,
            training: self
                .training_until
                .map(|until| Training { until: Some(until) }),
            facts: self.facts.clone(),
            approvals: self.approvals_so_far,
            ..Facts::bare(
                &self.action,
                service,
                requester,
                target,
                self.at.unwrap_or(NOW),
            )
        })
    }

    /// What is otherwise than expected: what, expected, got.
    fn differences(&self, decided: &Decided) -> Vec<(&'static str, String, String)> {
        let outcome = match decided.decision {
            Decision::Deny(_) => Outcome::Deny,
            Decision::Allow(..) => Outcome::Allow,
            Decision::Require(..) => Outcome::Require,
        };
        if outcome != self.expect {
            return vec![(
                "decision",
                format!("{:?}", self.expect).to_lowercase(),
                decided.to_string(),
            )];
        }
        let mut different = Vec::new();
        let mut compare = |what: &'static str, expected: Option<String>, got: String| {
            if let Some(expected) = expected.filter(|expected| *expected != got) {
                different.push((what, expected, got));
            }
        };
        compare(
            "policies",
            self.policies.as_ref().map(|policies| policies.join(" ")),
            decided.policies.join(" "),
        );
        match &decided.decision {
            Decision::Deny(reason) => {
                compare("reason", self.reason.clone(), reason.as_str().to_owned())
            }
            Decision::Allow(requirement, lifetime) | Decision::Require(requirement, lifetime) => {
                let word = |verification: Verification| format!("{verification:?}").to_lowercase();
                compare("approvers", self.approvers.clone(), approvers(requirement));
                compare(
                    "approvals",
                    self.approvals.map(|n| n.to_string()),
                    requirement.approvals.to_string(),
                );
                compare(
                    "verification",
                    self.verification.map(word),
                    word(requirement.verification),
                );
                compare("key", self.key.clone(), requirement.key.as_str().to_owned());
                compare(
                    "lifetime",
                    self.lifetime.map(|span| span.to_string()),
                    Span(*lifetime).to_string(),
                );
                let fresh = requirement
                    .fresh_for()
                    .map_or("none".to_owned(), |span| Span(span).to_string());
                compare("fresh", self.fresh.map(|span| span.to_string()), fresh);
            }
        }
        different
    }
}

/// Who approves, as `@approver_role` writes it.
fn approvers(requirement: &Requirement) -> String {
    let mut parts = Vec::new();
    if requirement.approvers == Approvers::Requester && requirement.approvals > 0
        || requirement.requester_also
    {
        parts.push("requester".to_owned());
    }
    for group in requirement.groups() {
        let roles = group
            .roles
            .iter()
            .map(Role::as_str)
            .collect::<Vec<_>>()
            .join("|");
        parts.push(if group.approvals > 1 {
            format!("{roles}:{}", group.approvals)
        } else {
            roles
        });
    }
    parts.join(",")
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Deny(reason) => write!(f, "deny ({})", reason.as_str()),
            Decision::Allow(_, lifetime) => write!(f, "allow, within {}", Span(*lifetime)),
            Decision::Require(requirement, lifetime) => write!(
                f,
                "require {}, {}, {}, within {}",
                approvers(requirement),
                match requirement.verification {
                    Verification::Pin => "pin",
                    Verification::Touch => "touch",
                },
                requirement.key.as_str(),
                Span(*lifetime)
            ),
        }
    }
}
