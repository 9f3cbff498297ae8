//! Who may do what, sealed how, by how many: Cedar policies behind one pure function, [`Policy::decide`]: verified facts in, a denial, or what
//! is required, out. What no `permit` covers is denied; one `forbid` that applies denies.
//!
//! Policies loosen nothing that is the server's own: who is inert or suspended may do nothing, nobody touches a person of a higher role,
//! signing in and registering a key are sealed by their own person with PIN, a requester is never their own second person
//! (`requirement`). When several permits apply, the strictest of each holds ([`requirement::strictest`]).
//!
//! Trusts the policy files (administrators wrote them; their digest is in the log) and the facts (the desk loaded them). Elsewhere: verifying
//! that an approval is genuine (`desk`), the action's life (`action`).

mod annotation;
mod cedar;
mod compile;
mod fact;
mod requirement;
mod scenario;
mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use cedar_policy::{
    Authorizer, Effect, Entity, PolicySet, PrincipalConstraint, ResourceConstraint,
};
use sceau_locale::Language;
use serde::Serialize;
use time::Duration;

use crate::action::{Requirement, Words};
use crate::id::Role;
use crate::person::PersonState;

pub use annotation::{DEFAULT_LIFETIME, Demand, MAX_LIFETIME};
pub use fact::{Facts, KeysAtHand, PersonFacts, SessionFacts, TargetFacts, Training, Window};
pub use requirement::{
    Awaited, Counted, NotCounted, awaited, by_own_key, counts, key_counts, met, strictest,
};
pub use scenario::{Failure, MalformedTable, Tested};
pub use source::{Fault, PolicyError, Source, read, unbundle};
pub use words::in_words;

/// The service id of the server itself.
pub const OWN_SERVICE: &str = "sceau";

/// How long a sign-in and the registration of a key may wait at most.
const SIGN_IN_LIFETIME: Duration = Duration::minutes(2);
const REGISTRATION_LIFETIME: Duration = Duration::minutes(10);

/// The policies that may decide about one action type.
#[derive(Debug, Clone)]
struct Slice {
    set: PolicySet,
    action: Entity,
    own: bool,
    resources: BTreeSet<String>,
}

/// What one policy says beside its condition, and where it stands.
#[derive(Debug, Clone)]
struct Stated {
    action: String,
    demand: Option<Demand>,
    reason: String,
    words: Words,
    file: String,
    line: usize,
}

/// The policies, checked, cut by action type.
#[derive(Debug, Clone)]
pub struct Policy {
    names: cedar::Names,
    slices: HashMap<String, Slice>,
    roles: Option<Roles>,
    stated: BTreeMap<String, Stated>,
    text: String,
}

/// What roles.toml says of roles.
#[derive(Debug, Clone, Default)]
struct Roles {
    /// How high each stands.
    ranks: BTreeMap<Role, i64>,
    /// How many keys whoever holds it is given, where that is said.
    keys: BTreeMap<Role, u8>,
}

/// Why the policy says no. A value, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No permit names this action type at this service.
    NoRule,
    /// Permits name it, for others.
    RequesterRole,
    /// Permits name it for this person, and their conditions do not hold.
    Condition,
    /// The requester has no key yet.
    RequesterInert,
    /// The requester is suspended.
    RequesterSuspended,
    /// It is about a person whose role stands higher than the requester's.
    HigherRole,
    /// The permits that apply ask for keys that cannot exist together.
    Contradiction,
    /// A policy could not be evaluated: nothing is allowed by the rest.
    Broken,
    /// A `forbid` says so.
    Rule(String),
}

impl Reason {
    /// Reads [`Reason::as_str`] back.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        let own = [
            Self::NoRule,
            Self::RequesterRole,
            Self::Condition,
            Self::RequesterInert,
            Self::RequesterSuspended,
            Self::HigherRole,
            Self::Contradiction,
            Self::Broken,
        ];
        let known = own.into_iter().find(|reason| reason.as_str() == word);
        known.unwrap_or_else(|| Self::Rule(word.to_owned()))
    }

    /// Kebab-case, for `denial.reason`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoRule => "no-rule",
            Self::RequesterRole => "requester-role",
            Self::Condition => "condition-not-met",
            Self::RequesterInert => "requester-inert",
            Self::RequesterSuspended => "requester-suspended",
            Self::HigherRole => "higher-role",
            Self::Contradiction => "policies-contradict",
            Self::Broken => "policy-error",
            Self::Rule(word) => word,
        }
    }
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No.
    Deny(Reason),
    /// Yes, and nobody has to touch anything; within this time.
    Allow(Requirement, Duration),
    /// Once this is met, and within this time.
    Require(Requirement, Duration),
}

/// A decision, and what decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Names of the policies that decided, in order; none when no policy did.
    pub policies: Vec<String>,
    /// The words of the `forbid` that decided.
    pub words: Option<Words>,
}

impl Decided {
    fn deny(reason: Reason) -> Self {
        Self {
            decision: Decision::Deny(reason),
            policies: Vec::new(),
            words: None,
        }
    }

    /// What the server's own ceremony needs, where no policy is asked.
    #[must_use]
    pub fn ceremony(lifetime: Duration) -> Self {
        Self {
            decision: Decision::Require(by_own_key(), lifetime),
            policies: Vec::new(),
            words: None,
        }
    }
}

impl Policy {
    /// Checks policy files and makes them decide.
    ///
    /// # Errors
    /// [`PolicyError`]: every fault, with its place.
    pub fn parse(sources: &[Source]) -> Result<Self, PolicyError> {
        compile::compile(sources)
    }

    /// Reads and checks a folder's policy files, or one file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        Self::parse(&read(path)?)
    }

    /// All that it was read from, the built-in words included: what the log's digest is over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stated.len()
    }

    /// Whether there is none: everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stated.is_empty()
    }

    /// The action types that are declared.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.slices.keys().map(String::as_str)
    }

    /// How high somebody with these roles stands: as their highest role; 0 without one. A role that roles.toml does not declare has no rank,
    /// and no power either, since no policy can name it.
    #[must_use]
    pub fn rank(&self, roles: &BTreeSet<Role>) -> i64 {
        let ranks = self
            .roles
            .iter()
            .flat_map(|known| roles.iter().filter_map(|role| known.ranks.get(role)));
        ranks.max().copied().unwrap_or(0)
    }

    /// How many keys somebody with these roles is given, by roles.toml: 1, or 2 (main and spare).
    #[must_use]
    pub fn keys_wanted(&self, roles: &BTreeSet<Role>) -> u8 {
        let keys = self
            .roles
            .iter()
            .flat_map(|known| roles.iter().filter_map(|role| known.keys.get(role)));
        keys.max().copied().unwrap_or(1)
    }

    /// The roles whose holders are given two keys.
    #[must_use]
    pub fn roles_of_two_keys(&self) -> Vec<Role> {
        let keys = self.roles.iter().flat_map(|known| &known.keys);
        keys.filter(|(_, keys)| **keys > 1)
            .map(|(role, _)| role.clone())
            .collect()
    }

    /// The roles that stand higher than this.
    #[must_use]
    pub fn roles_above(&self, rank: i64) -> Vec<Role> {
        let ranks = self.roles.iter().flat_map(|known| &known.ranks);
        ranks
            .filter(|(_, its)| **its > rank)
            .map(|(role, _)| role.clone())
            .collect()
    }

    /// Denies, allows, or says what is needed. The same facts always give the same answer.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decided {
        let own = facts.service.as_str() == OWN_SERVICE;
        match facts.requester.state {
            PersonState::Active => {}
            // The one thing that somebody without a key can do is to register one.
            PersonState::Inert if own && facts.action == "key.register" => {}
            PersonState::Inert => return Decided::deny(Reason::RequesterInert),
            PersonState::Suspended => return Decided::deny(Reason::RequesterSuspended),
        }
        let Some(slice) = self
            .slices
            .get(&facts.action)
            .filter(|slice| slice.own == own)
        else {
            return Decided::deny(Reason::NoRule);
        };
        let about = match &facts.target {
            TargetFacts::Person(person) | TargetFacts::Key { owner: person, .. } => Some(person),
            TargetFacts::Thing { .. } => None,
        };
        if let Some(person) = about
            && person.id != facts.requester.id
            && self.rank(&person.roles) > self.rank(&facts.requester.roles)
        {
            return Decided::deny(Reason::HigherRole);
        }
        let Ok((request, entities)) = self.request(facts, slice) else {
            return Decided::deny(Reason::Broken);
        };
        let response = Authorizer::new().is_authorized(&request, &slice.set, &entities);
        // Cedar goes on without a policy that fails; that might be the one that forbids.
        if response.diagnostics().errors().next().is_some() {
            return Decided::deny(Reason::Broken);
        }
        let mut policies: Vec<String> = response
            .diagnostics()
            .reason()
            .map(|id| AsRef::<str>::as_ref(id).to_owned())
            .collect();
        policies.sort();
        match response.decision() {
            cedar_policy::Decision::Deny if policies.is_empty() => {
                Decided::deny(self.why_not(facts, slice))
            }
            cedar_policy::Decision::Deny => self.forbidden(policies),
            cedar_policy::Decision::Allow => self.required(facts, own, policies),
        }
    }

    fn forbidden(&self, policies: Vec<String>) -> Decided {
        let first = policies.first().and_then(|id| self.stated.get(id));
        Decided {
            decision: Decision::Deny(
                first.map_or(Reason::Broken, |stated| Reason::Rule(stated.reason.clone())),
            ),
            words: first
                .map(|stated| stated.words.clone())
                .filter(|words| words.fr.is_some() || words.en.is_some()),
            policies,
        }
    }

    fn required(&self, facts: &Facts, own: bool, policies: Vec<String>) -> Decided {
        let said = policies
            .iter()
            .filter_map(|id| self.stated.get(id)?.demand.clone());
        let ceremony = match facts.action.as_str() {
            "session.open" if own => Some(SIGN_IN_LIFETIME),
            "key.register" if own => Some(REGISTRATION_LIFETIME),
            _ => None,
        };
        let ceremony = ceremony.map(|lifetime| Demand {
            requirement: by_own_key(),
            lifetime,
        });
        let within = ceremony.as_ref().map(|ceremony| ceremony.lifetime);
        let decision = match strictest(said.chain(ceremony)) {
            None => Decision::Deny(Reason::Contradiction),
            Some(demand) if demand.requirement.approvals == 0 && !own => {
                Decision::Allow(demand.requirement, demand.lifetime)
            }
            // A ceremony's time is its own: a policy that is about all actions says nothing of it.
            Some(demand) => {
                Decision::Require(demand.requirement, within.unwrap_or(demand.lifetime))
            }
        };
        Decided {
            decision,
            policies,
            words: None,
        }
    }

    /// Why no permit applies, as far as scopes say.
    fn why_not(&self, facts: &Facts, slice: &Slice) -> Reason {
        let mut named = false;
        for policy in slice
            .set
            .policies()
            .filter(|policy| policy.effect() == Effect::Permit)
        {
            let here = match policy.resource_constraint() {
                ResourceConstraint::In(uid) if uid.type_name().basename() == "Service" => {
                    uid.id().unescaped() == facts.service.as_str()
                }
                _ => true,
            };
            let theirs = match policy.principal_constraint() {
                PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                    let id = uid.id().unescaped();
                    facts.requester.roles.iter().any(|role| role.as_str() == id)
                        || facts.requester.organisation.as_deref() == Some(id)
                }
                PrincipalConstraint::Eq(uid) => uid.id().unescaped() == facts.requester.id.as_str(),
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
            };
            if here && theirs {
                return Reason::Condition;
            }
            named |= here;
        }
        if named {
            Reason::RequesterRole
        } else {
            Reason::NoRule
        }
    }

    /// What a reason means that a `forbid` of these policies gives, where it says so.
    #[must_use]
    pub fn reason_in_words(&self, reason: &str, language: Language) -> Option<&str> {
        let mut forbids = self.stated.values().filter(|it| it.demand.is_none());
        let said = forbids.find(|it| it.reason == reason)?;
        said.words.in_language(language)
    }

    /// Each policy in words, for `check-config` and the console.
    #[must_use]
    pub fn explain(&self, language: Language) -> Vec<Explained> {
        let mut explained: Vec<Explained> = self
            .stated
            .iter()
            .map(|(id, stated)| Explained {
                policy: id.clone(),
                file: stated.file.clone(),
                line: stated.line,
                says: stated.says(language),
            })
            .collect();
        explained.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        explained
    }

    /// One policy in words; `None` when there is none of that name.
    #[must_use]
    pub fn says(&self, id: &str, language: Language) -> Option<String> {
        let stated = self.stated.get(id)?;
        Some(format!(
            "{} ({}:{})",
            stated.says(language),
            stated.file,
            stated.line
        ))
    }
}

/// What `check-config --json` prints of a policy.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Its name.
    pub policy: String,
    /// Where it stands.
    pub file: String,
    /// Which line.
    pub line: usize,
    /// In words.
    pub says: String,
}

#[cfg(test)]
mod tests;
