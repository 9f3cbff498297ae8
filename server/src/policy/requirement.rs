//! Requirements: how those of several policies become one, who counts for it, when it is met, and whom it awaits. Pure.
//!
//! What holds whatever a policy says: a requester is never their own second person, nor is anyone who descends from them; persons who
//! are inert or suspended approve nothing; one person is one approval, even when they hold the roles of two groups.

use std::collections::{BTreeMap, BTreeSet};

use sceau_proof::metadata::Certification;
use serde::Serialize;
use time::Duration;

use super::annotation::Demand;
use crate::action::{Approvers, Group, KeyKind, Requirement, Verification};
use crate::id::{PersonId, Role};
use crate::key::Credential;
use crate::person::{Person, PersonState};

/// What sealing one's own sign-in or registration needs, whatever a policy says.
#[must_use]
pub fn by_own_key() -> Requirement {
    Requirement {
        approvals: 1,
        approvers: Approvers::Requester,
        roles: BTreeSet::new(),
        requester_also: false,
        verification: Verification::Pin,
        // A session opens nothing: what it may then approve, each action's policies say.
        key: KeyKind::AttestedOrIssued,
        groups: Vec::new(),
        fresh: None,
        other_workstation: false,
        cosignatures: 0,
        policies: Vec::new(),
    }
}

/// The strictest of each: every approver that any of them asks for, the better verification, keys that count for all, the shorter times.
/// `None` when no key could count for all of them. One more demand never makes it easier.
#[must_use]
pub fn strictest(demands: impl IntoIterator<Item = Demand>) -> Option<Demand> {
    demands
        .into_iter()
        .map(Some)
        .reduce(|one, other| both(one?, other?))
        .flatten()
}

fn both(one: Demand, other: Demand) -> Option<Demand> {
    let (a, b) = (one.requirement, other.requirement);
    // Whoever asks for the requester's own key alone asks for it also when others are asked besides.
    let own = |it: &Requirement| {
        it.requester_also || (it.approvers == Approvers::Requester && it.approvals > 0)
    };
    let own_key = own(&a) || own(&b);
    let mut groups: Vec<Group> = Vec::new();
    for roles in seats_of_both(a.seats(), b.seats()) {
        match groups.iter_mut().find(|group| group.roles == roles) {
            Some(group) => group.approvals += 1,
            None => groups.push(Group {
                roles,
                approvals: 1,
            }),
        }
    }
    groups.sort_by(|one, other| one.roles.cmp(&other.roles));
    let by_roles = !groups.is_empty();
    let approvals = if by_roles {
        groups.iter().map(|group| group.approvals).sum()
    } else {
        u32::from(own_key)
    };
    let shorter = |x: Option<u32>, y: Option<u32>| x.into_iter().chain(y).min();
    let mut policies = a.policies;
    policies.extend(b.policies);
    policies.sort();
    policies.dedup();
    Some(Demand {
        requirement: Requirement {
            approvals,
            approvers: if by_roles {
                Approvers::Roles
            } else {
                Approvers::Requester
            },
            roles: groups
                .iter()
                .flat_map(|group| group.roles.clone())
                .collect(),
            requester_also: by_roles && own_key,
            verification: if a.verification == Verification::Pin
                || b.verification == Verification::Pin
            {
                Verification::Pin
            } else {
                Verification::Touch
            },
            key: a.key.and(b.key)?,
            groups,
            fresh: shorter(a.fresh, b.fresh),
            other_workstation: a.other_workstation || b.other_workstation,
            cosignatures: a.cosignatures.max(b.cosignatures),
            policies,
        },
        lifetime: one.lifetime.min(other.lifetime),
    })
}

/// Seats such that whoever fills them fills the seats of one and those of the other: one person may serve both where the roles of one seat
/// are among those of the other. Persons in different seats are different, so that neither becomes easier.
fn seats_of_both(one: Vec<BTreeSet<Role>>, mut other: Vec<BTreeSet<Role>>) -> Vec<BTreeSet<Role>> {
    let mut seats = Vec::new();
    let mut alone = Vec::new();
    for seat in one {
        match other.iter().position(|it| *it == seat) {
            Some(same) => seats.push(other.swap_remove(same)),
            None => alone.push(seat),
        }
    }
    for seat in alone {
        let within = |it: &BTreeSet<Role>| it.is_subset(&seat) || seat.is_subset(it);
        match other.iter().position(within) {
            Some(at) => {
                let shared = other.swap_remove(at);
                seats.push(shared.intersection(&seat).cloned().collect());
            }
            None => seats.push(seat),
        }
    }
    seats.extend(other);
    seats
}

impl KeyKind {
    /// Each kind, with its word.
    pub(super) const WORDS: [(Self, &'static str); 7] = [
        (Self::AttestedHardware, "attested-hardware"),
        (Self::AttestedOrIssued, "attested-or-issued"),
        (Self::Fido2, "fido2"),
        (Self::FidoL1, "fido-l1"),
        (Self::FidoL2, "fido-l2"),
        (Self::FidoL3, "fido-l3"),
        (Self::PivTouch, "piv-touch"),
    ];

    /// The word in policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("attested-hardware", |(_, word)| word)
    }

    /// Reads [`KeyKind::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(kind, _)| *kind)
    }

    /// Whether each key of this kind is also one of that kind.
    fn implies(self, wider: Self) -> bool {
        use KeyKind::{AttestedHardware, AttestedOrIssued, Fido2, FidoL1, FidoL2, FidoL3};
        self == wider
            || wider == AttestedOrIssued
            || (wider == AttestedHardware && self != AttestedOrIssued)
            || matches!(
                (self, wider),
                (FidoL1 | FidoL2 | FidoL3, Fido2) | (FidoL2 | FidoL3, FidoL1) | (FidoL3, FidoL2)
            )
    }

    /// Keys that are of both kinds; `None` when there are none.
    fn and(self, other: Self) -> Option<Self> {
        if self.implies(other) {
            Some(self)
        } else {
            other.implies(self).then_some(other)
        }
    }
}

/// Whether a key counts for what is required, by what its enrolment showed. A FIDO2 signature says itself whether it was verified; a card's
/// says nothing, so that its key must be one that asks each time. A FIDO2 key's enrolment must have proved that it can verify at all. `certification` is what the metadata list says of a FIDO2 key's model now;
/// `None` when it says nothing.
///
/// # Errors
/// Why not, kebab-case.
pub fn key_counts(
    requirement: &Requirement,
    credential: &Credential,
    certification: Option<Certification>,
) -> Result<(), &'static str> {
    let level = match requirement.key {
        KeyKind::FidoL1 => Some(Certification::L1),
        KeyKind::FidoL2 => Some(Certification::L2),
        KeyKind::FidoL3 => Some(Certification::L3),
        _ => None,
    };
    match credential {
        Credential::Piv { .. } if level.is_some() || requirement.key == KeyKind::Fido2 => {
            Err("key-not-fido2")
        }
        Credential::Fido2 { .. } if requirement.key == KeyKind::PivTouch => Err("key-not-a-card"),
        Credential::Piv {
            attested: false, ..
        } if requirement.key != KeyKind::AttestedOrIssued => Err("key-not-attested"),
        Credential::Piv {
            pin_each_time: false,
            ..
        } if requirement.verification == Verification::Pin => Err("key-without-pin-each-time"),
        Credential::Fido2 {
            verifies_user: false,
            ..
        } if requirement.verification == Verification::Pin => Err("key-without-user-verification"),
        Credential::Fido2 { .. } if level.is_some() && certification < level => {
            Err("key-not-certified")
        }
        Credential::Fido2 { .. } | Credential::Piv { .. } => Ok(()),
    }
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

/// An approval that [`counts`] still: whose, and with which roles.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// Who approved.
    pub person: &'a PersonId,
    /// The roles that they hold.
    pub roles: &'a BTreeSet<Role>,
}

/// Whether these approvals, each of which counts, are enough.
#[must_use]
pub fn met(requirement: &Requirement, requester: &PersonId, approved: &[Counted<'_>]) -> bool {
    awaited(requirement, requester, approved).is_empty()
}

/// Whom an action awaits still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Awaited {
    /// `requester`, or the roles any of which serves, joined by `|`.
    pub group: String,
    /// The roles; empty for the requester.
    pub roles: BTreeSet<Role>,
    /// How many approvals are missing.
    pub missing: u32,
}

/// The groups that miss approvals, with each approver in the one seat where they serve most; empty when the requirement is met.
#[must_use]
pub fn awaited(
    requirement: &Requirement,
    requester: &PersonId,
    approved: &[Counted<'_>],
) -> Vec<Awaited> {
    let mut others: BTreeMap<&PersonId, &BTreeSet<Role>> =
        approved.iter().map(|it| (it.person, it.roles)).collect();
    let own = others.remove(requester).is_some();
    let mut awaited = Vec::new();
    let own_wanted = match requirement.approvers {
        Approvers::Requester => requirement.approvals > 0,
        Approvers::Roles => requirement.requester_also,
    };
    if own_wanted && !own {
        awaited.push(Awaited {
            group: super::annotation::REQUESTER.to_owned(),
            roles: BTreeSet::new(),
            missing: 1,
        });
    }
    if requirement.approvers == Approvers::Requester {
        return awaited;
    }
    let seats = requirement.seats();
    let taken = assign(&seats, &others.into_values().collect::<Vec<_>>());
    for (roles, taken) in seats.into_iter().zip(taken) {
        if taken {
            continue;
        }
        let group = roles.iter().map(Role::as_str).collect::<Vec<_>>().join("|");
        match awaited.iter_mut().find(|it| it.group == group) {
            Some(it) => it.missing += 1,
            None => awaited.push(Awaited {
                group,
                roles,
                missing: 1,
            }),
        }
    }
    awaited
}

/// Gives as many approvers as possible a seat of their own (augmenting paths; there are at most a few dozen). Which seats are taken.
fn assign(seats: &[BTreeSet<Role>], approvers: &[&BTreeSet<Role>]) -> Vec<bool> {
    let mut holder: Vec<Option<usize>> = vec![None; seats.len()];
    for approver in 0..approvers.len() {
        let mut tried = vec![false; seats.len()];
        place(approver, seats, approvers, &mut holder, &mut tried);
    }
    holder.iter().map(Option::is_some).collect()
}

fn place(
    approver: usize,
    seats: &[BTreeSet<Role>],
    approvers: &[&BTreeSet<Role>],
    holder: &mut Vec<Option<usize>>,
    tried: &mut Vec<bool>,
) -> bool {
    let Some(roles) = approvers.get(approver) else {
        return false;
    };
    for (number, seat) in seats.iter().enumerate() {
        // Tried is a seat that somebody on this path could take: one who cannot must not bar it to the next.
        if seat.is_disjoint(roles) {
            continue;
        }
        let seen = tried
            .get_mut(number)
            .is_none_or(|seen| std::mem::replace(seen, true));
        if seen {
            continue;
        }
        let free = match holder.get(number).copied().flatten() {
            None => true,
            Some(other) => place(other, seats, approvers, holder, tried),
        };
        if free && let Some(held) = holder.get_mut(number) {
            *held = Some(approver);
            return true;
        }
    }
    false
}

impl Requirement {
    /// The groups of approvers, all of which have to approve; of an older record the one that it speaks of.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        if self.approvers == Approvers::Roles && self.groups.is_empty() {
            return vec![Group {
                roles: self.roles.clone(),
                approvals: self.approvals,
            }];
        }
        self.groups.clone()
    }

    /// One seat for each approval by others: the roles any of which may take it.
    fn seats(&self) -> Vec<BTreeSet<Role>> {
        if self.approvers == Approvers::Requester {
            return Vec::new();
        }
        let mut seats: Vec<BTreeSet<Role>> = Vec::new();
        for group in self.groups() {
            seats.extend((0..group.approvals).map(|_| group.roles.clone()));
        }
        let all = usize::try_from(self.approvals)
            .unwrap_or(usize::MAX)
            .min(1024);
        while seats.len() < all {
            seats.push(self.roles.clone());
        }
        seats
    }

    /// How long after its last approval the action may still be done.
    #[must_use]
    pub fn fresh_for(&self) -> Option<Duration> {
        self.fresh
            .map(|seconds| Duration::seconds(i64::from(seconds)))
    }
}
