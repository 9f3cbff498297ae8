//! Annotations of a policy: what a `permit` requires, and the words of a `forbid`.
//!
//! | annotation | says |
//! |---|---|
//! | `@id("…")` | the policy's name, kebab-case, in logs and answers; every policy has one |
//! | `@approver_role("…")` | who approves: roles, `,` = one of each, `\|` = any of these, `role:2` = two of them; the word `requester` = the requester's own key besides. Without it: the requester alone |
//! | `@approvals("2")` | how many others approve; with one group, that many of it; never fewer than the groups ask for. `0` = nobody has to touch anything |
//! | `@verification("pin"\|"touch")` | how each is verified; `pin` when not said |
//! | `@key("…")` | which keys count ([`KeyKind`]); `attested-hardware` when not said |
//! | `@lifetime("5m")` | how long the action may wait; at most 24 h |
//! | `@fresh("60s")` | how long after the last approval it may still be done |
//! | `@other_workstation("true")` | approvers sit at workstations that differ from the requester's and from each other's |
//! | `@cosignatures("2")` | so many witnesses have cosigned the log before a permit is issued |
//! | `@quorum("3")` | so many different persons in all, the requester counted |
//! | `@reason("…")` | of a `forbid`: the reason word; its id when not said |
//! | `@reason_fr("…")`, `@reason_en("…")` | the reason in words |
//!
//! What is not in this table stops the start: a requirement that nobody understands would be one that nobody checks.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Effect;
use time::Duration;

use crate::action::{Approvers, Group, KeyKind, Requirement, Verification, Words};
use crate::config::Span;
use crate::id::Role;

/// Longest life of an action (`sceau_proof::action` refuses more).
pub const MAX_LIFETIME: Duration = Duration::hours(24);

/// How long an action lives when its policies do not say.
pub const DEFAULT_LIFETIME: Duration = Duration::minutes(5);

/// Most approvals that can be asked for.
const MAX_APPROVALS: u32 = 16;

/// The word among approvers for the requester's own key.
pub(super) const REQUESTER: &str = "requester";

/// What one policy says beside its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Annotated {
    /// Of a `permit`.
    pub(super) demand: Option<Demand>,
    /// Reason word.
    pub(super) reason: String,
    /// In words.
    pub(super) words: Words,
}

/// What one `permit` demands; `requirement.approvals` is 0 when nobody has to touch anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// What is needed.
    pub requirement: Requirement,
    /// How long it may wait.
    pub lifetime: Duration,
}

/// A problem and what to do.
pub(super) type Problem = (String, &'static str);

const PERMIT: [&str; 12] = [
    "id",
    "approvals",
    "approver_role",
    "verification",
    "key",
    "lifetime",
    "fresh",
    "other_workstation",
    "cosignatures",
    "quorum",
    "reason_fr",
    "reason_en",
];
const FORBID: [&str; 4] = ["id", "reason", "reason_fr", "reason_en"];

/// Reads a policy's annotations.
pub(super) fn read<'a>(
    id: &str,
    effect: Effect,
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Annotated, Problem> {
    let said: BTreeMap<&str, &str> = annotations.collect();
    let known: &[&str] = match effect {
        Effect::Permit => &PERMIT,
        Effect::Forbid => &FORBID,
    };
    if let Some(unknown) = said.keys().find(|name| !known.contains(name)) {
        let advice = if PERMIT.contains(unknown) || FORBID.contains(unknown) {
            "a permit says what is required, a forbid only why"
        } else {
            "docs/policy.md lists the annotations there are"
        };
        return Err((format!("unknown annotation @{unknown}"), advice));
    }
    let reason = said.get("reason").copied().unwrap_or(id);
    if !kebab(reason) {
        return Err((
            format!("@reason({reason:?})"),
            "a reason is a word in kebab-case",
        ));
    }
    let text = |name: &str| -> Result<Option<String>, Problem> {
        match said.get(name) {
            Some(text)
                if text.is_empty() || text.len() > 500 || text.chars().any(char::is_control) =>
            {
                Err((
                    format!("@{name} is empty, too long or has control characters"),
                    "write one plain sentence",
                ))
            }
            text => Ok(text.map(|text| (*text).to_owned())),
        }
    };
    Ok(Annotated {
        demand: match effect {
            Effect::Permit => Some(demand(id, &said)?),
            Effect::Forbid => None,
        },
        reason: reason.to_owned(),
        words: Words {
            fr: text("reason_fr")?,
            en: text("reason_en")?,
        },
    })
}

fn demand(id: &str, said: &BTreeMap<&str, &str>) -> Result<Demand, Problem> {
    let approvals = number(said, "approvals", MAX_APPROVALS)?;
    let (groups, requester_also) = match said.get("approver_role") {
        Some(text) => groups(text, approvals)?,
        None => (Vec::new(), false),
    };
    let seats: u32 = groups.iter().map(|group: &Group| group.approvals).sum();
    let approvers = if groups.is_empty() {
        Approvers::Requester
    } else {
        Approvers::Roles
    };
    let approvals = approvals.unwrap_or(seats.max(u32::from(groups.is_empty())));
    match approvers {
        Approvers::Requester if approvals > 1 => {
            return Err((
                format!("@approvals(\"{approvals}\") without @approver_role"),
                "one requester gives one approval: say who else approves",
            ));
        }
        Approvers::Roles if approvals < seats => {
            return Err((
                format!(
                    "@approvals(\"{approvals}\") is fewer than the {seats} that @approver_role asks for"
                ),
                "leave @approvals out, or ask for more",
            ));
        }
        Approvers::Requester | Approvers::Roles => {}
    }
    let quorum = number(said, "quorum", MAX_APPROVALS)?.unwrap_or(0);
    if quorum > approvals + u32::from(requester_also) && approvers == Approvers::Requester {
        return Err((
            "@quorum without @approver_role".into(),
            "say who else approves",
        ));
    }
    let other_workstation = flag(said, "other_workstation")?;
    if other_workstation && !requester_also {
        return Err((
            "@other_workstation without the requester among the approvers".into(),
            "write @approver_role(\"requester,…\"): without the requester's own approval nobody knows where the requester sits",
        ));
    }
    let roles: BTreeSet<Role> = groups
        .iter()
        .flat_map(|group| group.roles.clone())
        .collect();
    // A quorum counts persons: those beyond the groups' seats are any of the roles.
    let approvals = approvals.max(quorum.saturating_sub(u32::from(requester_also)));
    Ok(Demand {
        requirement: Requirement {
            approvals,
            approvers,
            roles,
            requester_also,
            verification: verification(said)?,
            key: key(said)?,
            groups,
            fresh: span(said, "fresh", Duration::hours(24))?
                .map(|span| u32::try_from(span.whole_seconds()).unwrap_or(u32::MAX)),
            other_workstation,
            cosignatures: number(said, "cosignatures", MAX_APPROVALS)?.unwrap_or(0),
            policies: vec![id.to_owned()],
        },
        lifetime: span(said, "lifetime", MAX_LIFETIME)?.unwrap_or(DEFAULT_LIFETIME),
    })
}

/// `security,legal:2,administrator|manager,requester`.
fn groups(text: &str, approvals: Option<u32>) -> Result<(Vec<Group>, bool), Problem> {
    let advice = "write roles: \"administrator\", \"security,legal\" (one of each), \"a|b\" (any of these), \"a:2\" (two), \"requester,a\" (the requester's own key besides)";
    let bad = || (format!("@approver_role({text:?})"), advice);
    let mut groups: Vec<Group> = Vec::new();
    let mut requester_also = false;
    let mut counted = false;
    for part in text.split(',').map(str::trim) {
        if part == REQUESTER {
            requester_also = true;
            continue;
        }
        let (names, count) = match part.split_once(':') {
            Some((names, count)) => {
                counted = true;
                (names, count.parse().map_err(|_| bad())?)
            }
            None => (part, 1),
        };
        let roles = names
            .split('|')
            .map(|role| match role.trim() {
                REQUESTER => Err(bad()),
                role => role.parse::<Role>().map_err(|_| bad()),
            })
            .collect::<Result<BTreeSet<Role>, Problem>>()?;
        if count == 0 || count > MAX_APPROVALS || groups.iter().any(|group| group.roles == roles) {
            return Err(bad());
        }
        groups.push(Group {
            roles,
            approvals: count,
        });
    }
    if let ([only], false, Some(approvals)) = (groups.as_mut_slice(), counted, approvals) {
        only.approvals = approvals.max(1);
    }
    if groups.is_empty() {
        return if requester_also {
            Ok((groups, false))
        } else {
            Err(bad())
        };
    }
    Ok((groups, requester_also))
}

fn number(said: &BTreeMap<&str, &str>, name: &str, most: u32) -> Result<Option<u32>, Problem> {
    said.get(name)
        .map(|text| match text.parse::<u32>() {
            Ok(number) if number <= most && !text.starts_with('+') => Ok(number),
            _ => Err((
                format!("@{name}({text:?})"),
                "write a number from 0 to 16, in quotes",
            )),
        })
        .transpose()
}

fn flag(said: &BTreeMap<&str, &str>, name: &str) -> Result<bool, Problem> {
    match said.get(name).copied() {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err((format!("@{name}({other:?})"), "write \"true\" or \"false\"")),
    }
}

fn span(
    said: &BTreeMap<&str, &str>,
    name: &str,
    most: Duration,
) -> Result<Option<Duration>, Problem> {
    said.get(name)
        .map(|text| match Span::parse(text) {
            Some(Span(span)) if span >= Duration::SECOND && span <= most => Ok(span),
            _ => Err((
                format!("@{name}({text:?})"),
                "write a time between 1s and 24h: 90s, 5m, 8h",
            )),
        })
        .transpose()
}

fn verification(said: &BTreeMap<&str, &str>) -> Result<Verification, Problem> {
    match said.get("verification").copied() {
        None | Some("pin") => Ok(Verification::Pin),
        Some("touch") => Ok(Verification::Touch),
        Some(other) => Err((
            format!("@verification({other:?})"),
            "write \"pin\" (PIN and touch) or \"touch\"",
        )),
    }
}

fn key(said: &BTreeMap<&str, &str>) -> Result<KeyKind, Problem> {
    match said.get("key").copied() {
        None => Ok(KeyKind::AttestedHardware),
        Some(word) => KeyKind::from_word(word).ok_or_else(|| {
            (
                format!("@key({word:?})"),
                "write one of attested-hardware, attested-or-issued, fido2, fido-l1, fido-l2, fido-l3, piv-touch",
            )
        }),
    }
}

/// A word of small letters, digits and hyphens.
pub(super) fn kebab(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 64
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
