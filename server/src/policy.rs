//! Which actions need what: typed rules behind one pure function. What no rule names is denied.
//!
//! The first rule that matches decides. Rules may ask for approvals, or deny with a reason of their own; no rule can loosen what
//! the server's own ceremonies need ([`Requirement`] of `session.open`), nor make a requester or someone whom the requester
//! begot count as the second person.
//! Trusts the policy file (an administrator wrote it) and the persons that it is given (the store's). Elsewhere: verifying that
//! an approval is genuine (`desk`), the action's life (`action`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::action::{Approvers, KeyKind, Requirement, Verification};
use crate::config::Span;
use crate::id::{PersonId, Role, ServiceId};
use crate::key::Credential;
use crate::person::{Person, PersonState};

/// The service id of the server itself.
pub const OWN_SERVICE: &str = "sceau";

/// Longest life of an action (`sceau_proof::action` refuses more).
pub const MAX_LIFETIME: Duration = Duration::hours(24);

/// One rule, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `account.create`, or `account.*` for every type that begins with `account.`, or `*`.
    pub action: String,
    /// Where; when absent every service but the server itself.
    #[serde(default)]
    pub service: Option<ServiceId>,
    /// The requester must hold one of these; when empty any active person.
    #[serde(default)]
    pub requester_roles: BTreeSet<Role>,
    /// Only when the person whom a server's own action is about holds, or would get, one of these.
    #[serde(default)]
    pub target_roles: BTreeSet<Role>,
    /// Denies, with this reason; nothing below is read then.
    #[serde(default)]
    pub deny: Option<String>,
    /// How many approvals.
    #[serde(default = "one")]
    pub approvals: u32,
    /// By whom.
    #[serde(default = "requester")]
    pub approvers: Approvers,
    /// The roles, when by roles.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// The requester's own key besides.
    #[serde(default)]
    pub requester_also: bool,
    /// How each approver is verified.
    #[serde(default = "pin")]
    pub verification: Verification,
    /// Which keys count.
    #[serde(default = "attested")]
    pub key: KeyKind,
    /// How long the action lives.
    #[serde(default = "five_minutes")]
    pub lifetime: Span,
}

fn one() -> u32 {
    1
}
fn requester() -> Approvers {
    Approvers::Requester
}
fn pin() -> Verification {
    Verification::Pin
}
fn attested() -> KeyKind {
    KeyKind::AttestedHardware
}
fn five_minutes() -> Span {
    Span(Duration::minutes(5))
}

/// The rules, in order, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    rule: Vec<Rule>,
}

/// The policy file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Does not parse.
    #[error("policy does not parse: {0}")]
    Malformed(String),
    /// Parses, and one rule makes no sense. Rules count from 1.
    #[error("policy rule {rule}: {problem}")]
    Rule {
        /// Which.
        rule: usize,
        /// Why.
        problem: &'static str,
    },
    /// Nothing could ever be approved.
    #[error("policy has no rule")]
    Empty,
}

/// What is asked of the policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Action type.
    pub kind: &'a str,
    /// Where.
    pub service: &'a ServiceId,
    /// Who wants it.
    pub requester: &'a Person,
    /// Roles of the person whom it is about, for the server's own actions.
    pub target_roles: &'a BTreeSet<Role>,
}

/// Why the policy says no. A value, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No rule names this action type at this service.
    NoRule,
    /// Rules name it, for other roles.
    RequesterRole,
    /// The requester has no key yet.
    RequesterInert,
    /// The requester is suspended.
    RequesterSuspended,
    /// A rule says so.
    Rule(String),
}

impl Reason {
    /// Kebab-case, for `denial.reason`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoRule => "no-rule",
            Self::RequesterRole => "requester-role",
            Self::RequesterInert => "requester-inert",
            Self::RequesterSuspended => "requester-suspended",
            Self::Rule(word) => word,
        }
    }
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No.
    Deny(Reason),
    /// Once this is met, and within this time.
    Require(Requirement, Duration),
}

impl Policy {
    /// Reads and checks a policy file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile =
            toml::from_str(text).map_err(|error| PolicyError::Malformed(error.to_string()))?;
        if file.rule.is_empty() {
            return Err(PolicyError::Empty);
        }
        for (rule, at) in file.rule.iter().zip(1..) {
            check(rule).map_err(|problem| PolicyError::Rule { rule: at, problem })?;
        }
        for (at, rule) in file.rule.iter().enumerate() {
            if file
                .rule
                .iter()
                .take(at)
                .any(|earlier| shadows(earlier, rule))
            {
                return Err(PolicyError::Rule {
                    rule: at + 1,
                    problem: "an earlier rule always decides first",
                });
            }
        }
        Ok(Self { rules: file.rule })
    }

    /// The rules, for being explained.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Denies, or says what is needed.
    #[must_use]
    pub fn decide(&self, question: Question<'_>) -> Decision {
        match question.requester.state {
            PersonState::Active => {}
            PersonState::Inert => return Decision::Deny(Reason::RequesterInert),
            PersonState::Suspended => return Decision::Deny(Reason::RequesterSuspended),
        }
        let own = question.service.as_str() == OWN_SERVICE;
        if own && question.kind == "session.open" {
            return Decision::Require(by_own_key(), Duration::minutes(2));
        }
        let mut named = false;
        for rule in &self.rules {
            let here = match &rule.service {
                Some(service) => service == question.service,
                None => !own,
            };
            let about = rule.target_roles.is_empty()
                || !rule.target_roles.is_disjoint(question.target_roles);
            if !here || !about || !names(&rule.action, question.kind) {
                continue;
            }
            named = true;
            if !rule.requester_roles.is_empty()
                && rule.requester_roles.is_disjoint(&question.requester.roles)
            {
                continue;
            }
            if let Some(word) = &rule.deny {
                return Decision::Deny(Reason::Rule(word.clone()));
            }
            return Decision::Require(requirement(rule), rule.lifetime.0);
        }
        Decision::Deny(if named {
            Reason::RequesterRole
        } else {
            Reason::NoRule
        })
    }
}

fn requirement(rule: &Rule) -> Requirement {
    Requirement {
        approvals: rule.approvals,
        approvers: rule.approvers,
        roles: rule.roles.clone(),
        requester_also: rule.requester_also,
        verification: rule.verification,
        key: rule.key,
    }
}

/// What sealing one's own sign-in or registration needs.
#[must_use]
pub fn by_own_key() -> Requirement {
    Requirement {
        approvals: 1,
        approvers: Approvers::Requester,
        roles: BTreeSet::new(),
        requester_also: false,
        verification: Verification::Pin,
        // A session opens nothing: what it may then approve, each action's rule says.
        key: KeyKind::AttestedOrIssued,
    }
}

/// Whether a key counts for what is required, by what its enrolment showed. A FIDO2 signature says itself whether it was verified, and counts so
/// only when the key's enrolment proved that it can; a card's says nothing, so that its key must be one that asks each time.
///
/// # Errors
/// Why not, kebab-case.
pub fn key_counts(requirement: &Requirement, credential: &Credential) -> Result<(), &'static str> {
    match credential {
        Credential::Piv {
            attested: false, ..
        } if requirement.key == KeyKind::AttestedHardware => Err("key-not-attested"),
        Credential::Piv {
            pin_each_time: false,
            ..
        } if requirement.verification == Verification::Pin => Err("key-without-pin-each-time"),
        Credential::Fido2 {
            verifies_user: false,
            ..
        } if requirement.verification == Verification::Pin => Err("key-without-user-verification"),
        Credential::Fido2 { .. } | Credential::Piv { .. } => Ok(()),
    }
}

fn names(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

fn kebab(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 64
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn check(rule: &Rule) -> Result<(), &'static str> {
    let stem = rule.action.strip_suffix('*').unwrap_or(&rule.action);
    if rule.action.is_empty()
        || stem.contains('*')
        || (rule.action.len() > 1 && rule.action.ends_with('*') && !stem.ends_with('.'))
    {
        return Err("action is a type, `prefix.*` or `*`");
    }
    if let Some(word) = &rule.deny {
        return if kebab(word) {
            Ok(())
        } else {
            Err("deny is a kebab-case reason")
        };
    }
    let own = rule
        .service
        .as_ref()
        .is_some_and(|service| service.as_str() == OWN_SERVICE);
    if !rule.target_roles.is_empty() && !own {
        return Err("target_roles belong to actions of the service `sceau`");
    }
    if rule.approvals == 0 {
        return Err("approvals is at least 1");
    }
    match rule.approvers {
        Approvers::Requester if rule.approvals != 1 => {
            return Err("one requester gives one approval; use approvers = \"roles\"");
        }
        Approvers::Requester if !rule.roles.is_empty() => {
            return Err("roles are given, but approvers is \"requester\"");
        }
        Approvers::Requester if rule.requester_also => {
            return Err("requester_also is for approvers = \"roles\"");
        }
        Approvers::Roles if rule.roles.is_empty() => {
            return Err("approvers is \"roles\", and roles is empty");
        }
        Approvers::Requester | Approvers::Roles => {}
    }
    if rule.lifetime.0 <= Duration::ZERO || rule.lifetime.0 > MAX_LIFETIME {
        return Err("lifetime is between 1s and 24h");
    }
    Ok(())
}

/// Whether `earlier` decides everything that `later` would.
fn shadows(earlier: &Rule, later: &Rule) -> bool {
    let wider = names(&earlier.action, later.action.trim_end_matches('*'))
        || earlier.action == later.action;
    let anyone = earlier.requester_roles.is_empty()
        || (!later.requester_roles.is_empty()
            && later.requester_roles.is_subset(&earlier.requester_roles));
    let about = earlier.target_roles.is_empty()
        || (!later.target_roles.is_empty() && later.target_roles.is_subset(&earlier.target_roles));
    earlier.service == later.service && wider && anyone && about
}

/// Why a person does not count for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCounted {
    /// The second person must be another.
    SelfApproval,
    /// The requester begot this person.
    Descendant,
    /// Holds none of the roles.
    Role,
    /// Not the requester, and nobody else is asked.
    NotRequester,
    /// Inert or suspended.
    NotActive,
}

impl NotCounted {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfApproval => "self-approval",
            Self::Descendant => "descendant",
            Self::Role => "role",
            Self::NotRequester => "not-requester",
            Self::NotActive => "not-active",
        }
    }
}

/// Whether `person`, who descends from `ancestors`, counts for an action of `requester`.
///
/// # Errors
/// Why not.
pub fn counts(
    requirement: &Requirement,
    requester: &PersonId,
    person: &Person,
    ancestors: &[PersonId],
) -> Result<(), NotCounted> {
    if person.state != PersonState::Active {
        return Err(NotCounted::NotActive);
    }
    let own = &person.id == requester;
    match requirement.approvers {
        Approvers::Requester if own => Ok(()),
        Approvers::Requester => Err(NotCounted::NotRequester),
        Approvers::Roles if own && requirement.requester_also => Ok(()),
        Approvers::Roles if own => Err(NotCounted::SelfApproval),
        Approvers::Roles if ancestors.contains(requester) => Err(NotCounted::Descendant),
        Approvers::Roles if requirement.roles.is_disjoint(&person.roles) => Err(NotCounted::Role),
        Approvers::Roles => Ok(()),
    }
}

/// Whether approvals by these persons, each of whom [`counts`], are enough.
#[must_use]
pub fn met<'a>(
    requirement: &Requirement,
    requester: &PersonId,
    approved: impl IntoIterator<Item = &'a PersonId>,
) -> bool {
    let distinct: BTreeSet<&PersonId> = approved.into_iter().collect();
    let own = distinct.contains(requester);
    let needed = usize::try_from(requirement.approvals).unwrap_or(usize::MAX);
    match requirement.approvers {
        Approvers::Requester => own,
        Approvers::Roles => {
            distinct.len() - usize::from(own) >= needed && (own || !requirement.requester_also)
        }
    }
}

/// A rule in words, for `check-config`.
#[must_use]
pub fn explain(rule: &Rule) -> String {
    let names = |roles: &BTreeSet<Role>| {
        roles
            .iter()
            .map(Role::as_str)
            .collect::<Vec<_>>()
            .join(" or ")
    };
    let service = rule
        .service
        .as_ref()
        .map_or("any service", ServiceId::as_str);
    let who = if rule.requester_roles.is_empty() {
        "anyone".to_owned()
    } else {
        names(&rule.requester_roles)
    };
    let about = if rule.target_roles.is_empty() {
        String::new()
    } else {
        format!(" about {}", names(&rule.target_roles))
    };
    if let Some(word) = &rule.deny {
        return format!(
            "{} at {service}{about}, asked by {who}: denied ({word})",
            rule.action
        );
    }
    let by = match rule.approvers {
        Approvers::Requester => "the requester".to_owned(),
        Approvers::Roles if rule.requester_also => format!(
            "the requester, and {} other {}",
            rule.approvals,
            names(&rule.roles)
        ),
        Approvers::Roles => format!("{} other {}", rule.approvals, names(&rule.roles)),
    };
    let how = match rule.verification {
        Verification::Pin => "PIN and touch",
        Verification::Touch => "touch",
    };
    let with = match rule.key {
        KeyKind::AttestedHardware => "",
        KeyKind::AttestedOrIssued => " (attested keys, or cards of a configured issuer)",
    };
    format!(
        "{} at {service}{about}, asked by {who}: sealed by {by}, with {how}{with}, within {}",
        rule.action, rule.lifetime
    )
}

/// What `check-config --json` prints of a rule.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Position from 1.
    pub rule: usize,
    /// In words.
    pub says: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, roles: &[&str]) -> Person {
        Person {
            id: id.parse().unwrap(),
            display: id.to_owned(),
            roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
            state: PersonState::Active,
            parent: None,
        }
    }

    fn ask(policy: &Policy, kind: &str, service: &str, requester: &Person) -> Decision {
        let service = service.parse().unwrap();
        policy.decide(Question {
            kind,
            service: &service,
            requester,
            target_roles: &BTreeSet::new(),
        })
    }

    const RULES: &str = r#"
        [[rule]]
        action = "account.delete"
        deny = "never-by-this-way"
        [[rule]]
        action = "account.*"
        requester_roles = ["manager"]
        [[rule]]
        action = "right.grant"
        requester_roles = ["manager"]
        approvals = 2
        approvers = "roles"
        roles = ["administrator"]
        requester_also = true
        lifetime = "30m"
        [[rule]]
        service = "sceau"
        action = "key.enroll"
        target_roles = ["administrator"]
        deny = "not-here"
        [[rule]]
        service = "sceau"
        action = "key.enroll"
    "#;

    #[test]
    fn what_no_rule_names_is_denied() {
        let policy = Policy::parse(RULES).unwrap();
        let alice = person("alice", &["manager"]);
        assert_eq!(
            ask(&policy, "file.read", "portal", &alice),
            Decision::Deny(Reason::NoRule)
        );
        assert_eq!(
            ask(&policy, "account", "portal", &alice),
            Decision::Deny(Reason::NoRule)
        );
        assert_eq!(
            ask(&policy, "account.create", "sceau", &alice),
            Decision::Deny(Reason::NoRule)
        );
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy::parse(RULES).unwrap();
        let alice = person("alice", &["manager"]);
        assert_eq!(
            ask(&policy, "account.delete", "portal", &alice),
            Decision::Deny(Reason::Rule("never-by-this-way".to_owned()))
        );
        assert!(matches!(
            ask(&policy, "account.create", "portal", &alice),
            Decision::Require(..)
        ));
        assert_eq!(
            ask(&policy, "account.create", "portal", &person("bob", &[])),
            Decision::Deny(Reason::RequesterRole)
        );
    }

    #[test]
    fn persons_who_may_not_act_are_denied_everything() {
        let policy = Policy::parse(RULES).unwrap();
        let mut alice = person("alice", &["manager"]);
        alice.state = PersonState::Inert;
        assert_eq!(
            ask(&policy, "session.open", "sceau", &alice),
            Decision::Deny(Reason::RequesterInert)
        );
        alice.state = PersonState::Suspended;
        assert_eq!(
            ask(&policy, "account.create", "portal", &alice),
            Decision::Deny(Reason::RequesterSuspended)
        );
    }

    #[test]
    fn rules_about_a_target_look_at_its_roles() {
        let policy = Policy::parse(RULES).unwrap();
        let operator = person("operator", &["operator"]);
        let service = "sceau".parse().unwrap();
        let privileged = BTreeSet::from(["administrator".parse().unwrap()]);
        let decision = policy.decide(Question {
            kind: "key.enroll",
            service: &service,
            requester: &operator,
            target_roles: &privileged,
        });
        assert_eq!(
            decision,
            Decision::Deny(Reason::Rule("not-here".to_owned()))
        );
        assert!(matches!(
            ask(&policy, "key.enroll", "sceau", &operator),
            Decision::Require(..)
        ));
    }

    #[test]
    fn a_second_person_is_neither_the_requester_nor_begotten_by_them() {
        let policy = Policy::parse(RULES).unwrap();
        let alice = person("alice", &["manager", "administrator"]);
        let Decision::Require(requirement, lifetime) =
            ask(&policy, "right.grant", "portal", &alice)
        else {
            panic!()
        };
        assert_eq!(lifetime, Duration::minutes(30));
        let bob = person("bob", &["administrator"]);
        assert_eq!(counts(&requirement, &alice.id, &bob, &[]), Ok(()));
        assert_eq!(
            counts(
                &requirement,
                &alice.id,
                &bob,
                std::slice::from_ref(&alice.id)
            ),
            Err(NotCounted::Descendant)
        );
        assert_eq!(
            counts(&requirement, &alice.id, &person("carl", &["operator"]), &[]),
            Err(NotCounted::Role)
        );
        let alone = Requirement {
            requester_also: false,
            ..requirement
        };
        assert_eq!(
            counts(&alone, &alice.id, &alice, &[]),
            Err(NotCounted::SelfApproval)
        );
    }

    #[test]
    fn the_same_person_twice_is_one_approval() {
        let policy = Policy::parse(RULES).unwrap();
        let alice = person("alice", &["manager"]);
        let Decision::Require(requirement, _) = ask(&policy, "right.grant", "portal", &alice)
        else {
            panic!()
        };
        let [bob, carl]: [PersonId; 2] = ["bob".parse().unwrap(), "carl".parse().unwrap()];
        assert!(!met(&requirement, &alice.id, [&bob, &bob, &alice.id]));
        assert!(!met(&requirement, &alice.id, [&bob, &carl]));
        assert!(!met(&requirement, &alice.id, [&bob, &alice.id]));
        assert!(met(&requirement, &alice.id, [&bob, &carl, &alice.id]));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_by_number() {
        for (rule, problem) in [
            ("action = \"a*\"", "action is a type, `prefix.*` or `*`"),
            ("action = \"a\"\napprovals = 0", "approvals is at least 1"),
            (
                "action = \"a\"\napprovals = 2",
                "one requester gives one approval; use approvers = \"roles\"",
            ),
            (
                "action = \"a\"\napprovers = \"roles\"",
                "approvers is \"roles\", and roles is empty",
            ),
            (
                "action = \"a\"\nlifetime = \"25h\"",
                "lifetime is between 1s and 24h",
            ),
            (
                "action = \"a\"\ntarget_roles = [\"r\"]",
                "target_roles belong to actions of the service `sceau`",
            ),
            (
                "action = \"a\"\ndeny = \"No!\"",
                "deny is a kebab-case reason",
            ),
        ] {
            assert_eq!(
                Policy::parse(&format!("[[rule]]\n{rule}")),
                Err(PolicyError::Rule { rule: 1, problem }),
                "{rule}"
            );
        }
        assert_eq!(Policy::parse(""), Err(PolicyError::Empty));
        let hidden =
            "[[rule]]\naction = \"a.*\"\n[[rule]]\naction = \"a.b\"\nrequester_roles = [\"x\"]";
        assert!(matches!(
            Policy::parse(hidden),
            Err(PolicyError::Rule { rule: 2, .. })
        ));
    }
}
