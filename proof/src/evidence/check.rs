//! Judging a bundle: one named check after the other, as docs/evidence.md lists them.
//!
//! Trusts [`Trust`] alone: the log's key, witnesses' keys, vendor roots, a time. A bundle is accepted when no check failed; checks that nothing could be
//! checked with say so. The checks of one approval are in `check/approval.rs`, time-stamps in `check/timestamp.rs`, the rest is here.

mod approval;
mod timestamp;

use std::collections::BTreeSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::{
    Approvers, Bundle, Decision, LoggedEntry, PermitRecord, Requirement, State, json_sha256,
};
use crate::action::Action;
use crate::attestation::trust::Sources;
use crate::base64url;
use crate::log::entry::{Entry, sha256};
use crate::log::note::VerifyingKey;
use crate::log::{VerifiedCheckpoint, checkpoint, tree, verify_inclusion};
use crate::permit;

/// What the auditor brings.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The log's key.
    pub log: &'a VerifyingKey,
    /// Witnesses that must have cosigned.
    pub witnesses: &'a [VerifyingKey],
    /// Manufacturers' roots and metadata; without them the path of attestations is left unjudged.
    pub sources: Sources<'a>,
    /// When paths must be valid; None for the time of each enrolment.
    pub at: Option<OffsetDateTime>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not: the bundle is rejected.
    Failed,
    /// There was nothing to check, or nothing to check it with; the detail says which.
    NotEvaluated,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name in docs/evidence.md.
    pub check: String,
    /// How it went.
    pub result: Outcome,
    /// What was found, or why it failed.
    pub detail: String,
}

/// All checks in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Whether the bundle is accepted: no check failed. A check that stops the rest fails itself.
    #[must_use]
    pub fn accepted(&self) -> bool {
        !self.checks.is_empty()
            && self
                .checks
                .iter()
                .all(|check| check.result != Outcome::Failed)
    }

    /// The lines.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    fn push(&mut self, check: impl Into<String>, result: Outcome, detail: impl Into<String>) {
        self.checks.push(Check {
            check: check.into(),
            result,
            detail: detail.into(),
        });
    }

    fn unknown(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.push(check, Outcome::NotEvaluated, detail);
    }

    /// Records a check that must hold; its value when it does.
    fn require<T>(
        &mut self,
        check: impl Into<String>,
        found: Result<(T, String), String>,
    ) -> Option<T> {
        match found {
            Ok((value, detail)) => {
                self.push(check, Outcome::Passed, detail);
                Some(value)
            }
            Err(detail) => {
                self.push(check, Outcome::Failed, detail);
                None
            }
        }
    }
}

/// An entry whose inclusion was verified.
struct Logged<'a> {
    index: u64,
    entry: Entry,
    claim: &'a LoggedEntry,
}

impl Logged<'_> {
    /// The opened value of a committed field; openings were verified with the entry.
    fn opening(&self, field: &str) -> Option<&str> {
        self.claim
            .openings
            .get(field)
            .map(|opening| opening.value.as_str())
    }
}

/// What the earlier checks established, for the later ones.
struct Established<'a> {
    bundle: &'a Bundle,
    action: Action,
    log: Vec<Logged<'a>>,
    decision: Decision,
}

impl<'a> Established<'a> {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Logged<'a>> {
        self.log
            .iter()
            .filter(move |logged| logged.entry.kind() == kind)
    }

    fn requirement(&self) -> Option<&Requirement> {
        match &self.decision {
            Decision::Requirement(requirement) => Some(requirement),
            Decision::Denial(_) => None,
        }
    }
}

/// Checks a bundle. Never fails otherwise than by a failed check.
#[must_use]
pub fn check(bytes: &[u8], trust: &Trust<'_>) -> Report {
    let mut report = Report::default();
    let parsed = Bundle::parse(bytes).map(|bundle| (bundle, "well-formed, version 1".to_owned()));
    if let Some(bundle) = report.require("bundle", parsed.map_err(|error| error.to_string())) {
        check_bundle(&bundle, trust, &mut report);
    }
    report
}

fn check_bundle(bundle: &Bundle, trust: &Trust<'_>, report: &mut Report) {
    let action = report.require("action", read_action(&bundle.action));
    let checkpoint = report.require("checkpoint", open_checkpoint(bundle, trust));
    let (Some(action), Some(checkpoint)) = (action, checkpoint) else {
        return;
    };
    for witness in trust.witnesses {
        let cosigned = checkpoint
            .cosignatures()
            .iter()
            .find(|cosignature| cosignature.witness() == witness.name());
        let found = cosigned
            .map(|it| ((), format!("cosigned at {}", it.time())))
            .ok_or("no cosignature".to_owned());
        report.require(format!("witness {}", witness.name()), found);
    }
    let mut log = Vec::new();
    for (i, claim) in bundle.log.entries.iter().enumerate() {
        log.extend(report.require(format!("entry {i}"), check_entry(claim, &checkpoint)));
    }
    if log.len() != bundle.log.entries.len() {
        return;
    }
    if report
        .require("order", check_order(&log, &action))
        .is_none()
    {
        return;
    }
    let Some(decision) = report.require("policy", check_policy(bundle, &log)) else {
        return;
    };
    let established = Established {
        bundle,
        action,
        log,
        decision,
    };
    check_requester(&established, report);
    let approvers = approval::check_all(&established, trust, report);
    if let Some(requirement) = established.requirement() {
        report.require(
            "requirement",
            check_requirement(&established, requirement, &approvers),
        );
        if let Some(within) = requirement.fresh {
            report.require("fresh", check_fresh(&established, within));
        }
        check_cosignatures(&established, requirement, &checkpoint, trust, report);
    }
    report.require("state", check_state(&established, &approvers));
    check_permit(&established, report);
    timestamp::check_all(bundle, report);
}

fn read_action(bytes: &[u8]) -> Result<(Action, String), String> {
    let action = Action::parse(bytes).map_err(|error| error.reason().to_owned())?;
    if action.canonical() != bytes {
        return Err("not-canonical".to_owned());
    }
    let detail = format!(
        "{} {} sha256 {}",
        action.kind(),
        action.id(),
        base64url::encode(action.sha256())
    );
    Ok((action, detail))
}

fn open_checkpoint(
    bundle: &Bundle,
    trust: &Trust<'_>,
) -> Result<(VerifiedCheckpoint, String), String> {
    let opened = checkpoint::open(bundle.log.checkpoint.as_bytes(), trust.log, trust.witnesses);
    let opened = opened.map_err(|error| error.to_string())?;
    let detail = format!(
        "{} size {} root {}",
        opened.origin(),
        opened.size(),
        opened.root()
    );
    Ok((opened, detail))
}

fn check_entry<'a>(
    claim: &'a LoggedEntry,
    checkpoint: &VerifiedCheckpoint,
) -> Result<(Logged<'a>, String), String> {
    let entry = Entry::parse(&claim.leaf).map_err(|error| error.to_string())?;
    let leaf = tree::leaf_hash(&claim.leaf);
    verify_inclusion(
        &leaf,
        claim.index,
        checkpoint.size(),
        &claim.inclusion,
        checkpoint.root(),
    )
    .map_err(|error| error.to_string())?;
    for (field, opening) in &claim.openings {
        if !entry.opens(field, &opening.salt, &opening.value) {
            return Err(format!(
                "the opening of `{field}` does not fit its commitment"
            ));
        }
    }
    let detail = format!("{} at index {}", entry.kind(), claim.index);
    Ok((
        Logged {
            index: claim.index,
            entry,
            claim,
        },
        detail,
    ))
}

fn is_about_action(kind: &str) -> bool {
    kind.starts_with("action.") || kind.starts_with("permit.")
}

fn check_order(log: &[Logged<'_>], action: &Action) -> Result<((), String), String> {
    for (earlier, later) in log.iter().zip(log.iter().skip(1)) {
        if earlier.index >= later.index {
            return Err(format!("index {} after {}", later.index, earlier.index));
        }
        if earlier.entry.at() > later.entry.at() {
            return Err(format!(
                "entry {} is older than the one before",
                later.index
            ));
        }
    }
    let about: Vec<_> = log
        .iter()
        .filter(|logged| is_about_action(logged.entry.kind()))
        .collect();
    let (id, sha256) = (action.id().to_string(), action.sha256());
    for logged in &about {
        if logged.entry.subject_id("action") != Some(&id)
            || logged.entry.sha256_of("action") != Some(&sha256)
        {
            return Err(format!("entry {} is about another action", logged.index));
        }
    }
    let opens = |kind: &str| matches!(kind, "action.requested" | "action.denied");
    match about.split_first() {
        Some((first, rest))
            if opens(first.entry.kind()) && !rest.iter().any(|it| opens(it.entry.kind())) =>
        {
            Ok(((), format!("{} entries of this action", about.len())))
        }
        _ => Err("the action's first entry is not its only request".to_owned()),
    }
}

fn request_entry<'a, 'b>(log: &'b [Logged<'a>]) -> Option<&'b Logged<'a>> {
    log.iter()
        .find(|logged| is_about_action(logged.entry.kind()))
}

fn check_policy(bundle: &Bundle, log: &[Logged<'_>]) -> Result<(Decision, String), String> {
    let request = request_entry(log).ok_or("no request")?;
    if request.entry.sha256_of("policy") != Some(&bundle.policy.sha256) {
        return Err("another policy than the log's".to_owned());
    }
    let digest = json_sha256(&bundle.policy.decision).map_err(|error| error.to_string())?;
    if request.entry.sha256_of("decision") != Some(&digest) {
        return Err("another decision than the log's".to_owned());
    }
    if bundle
        .policy
        .text
        .as_ref()
        .is_some_and(|text| sha256(text.as_bytes()) != bundle.policy.sha256)
    {
        return Err("the policy text has another digest".to_owned());
    }
    let decision =
        Decision::parse(&bundle.policy.decision).ok_or("the decision is not of its form")?;
    let detail = match &decision {
        Decision::Requirement(requirement) => {
            format!("{} approval(s) required", requirement.approvals)
        }
        Decision::Denial(denial) => format!("denied: {}", denial.reason),
    };
    Ok((decision, detail))
}

fn check_requester(established: &Established<'_>, report: &mut Report) {
    let opening = request_entry(&established.log).and_then(|request| request.opening("person"));
    let requester = &established.action.requester().id;
    match opening {
        None => report.unknown("requester", "the log's commitment is not opened"),
        Some(person) if person == requester => report.push("requester", Outcome::Passed, person),
        Some(person) => report.push(
            "requester",
            Outcome::Failed,
            format!("the log says {person}"),
        ),
    }
}

/// Whether approvals by these persons are enough. Persons, not approvals, are counted.
fn check_requirement(
    established: &Established<'_>,
    requirement: &Requirement,
    approvers: &BTreeSet<&str>,
) -> Result<((), String), String> {
    let open = matches!(
        established.bundle.state,
        State::Pending | State::Refused | State::Expired
    );
    let requester = established.action.requester().id.as_str();
    let own = approvers.contains(requester);
    let others = approvers
        .iter()
        .filter(|person| **person != requester)
        .count();
    let needed = usize::try_from(requirement.approvals).unwrap_or(usize::MAX);
    let met = match requirement.approvers {
        Approvers::Requester => needed == 0 || (own && needed == 1),
        Approvers::Roles => others >= needed && (own || !requirement.requester_also),
    };
    match (met, open) {
        (true, _) => Ok((
            (),
            format!(
                "met by {}",
                approvers.iter().copied().collect::<Vec<_>>().join(", ")
            ),
        )),
        (false, true) => Ok(((), format!("not met yet, {} approval(s)", approvers.len()))),
        (false, false) => Err(format!(
            "{needed} approval(s) needed, {others} by others, requester's own: {own}"
        )),
    }
}

/// Whether what was used was used soon enough after its last approval.
fn check_fresh(established: &Established<'_>, within: u32) -> Result<((), String), String> {
    let approved = established.of_kind("action.approved").last();
    let used = established.of_kind("permit.consumed").last();
    let (Some(approved), Some(used)) = (approved, used) else {
        return Ok(((), "not used".to_owned()));
    };
    let (approved, used) = (approved.entry.at(), used.entry.at());
    let last = approved.checked_add(time::Duration::seconds(i64::from(within)));
    let detail = format!("approved {approved}, used {used}");
    if last.is_some_and(|last| used > last) {
        Err(detail)
    } else {
        Ok(((), detail))
    }
}

/// Whether as many witnesses as were demanded are known to the auditor, and have cosigned.
fn check_cosignatures(
    established: &Established<'_>,
    requirement: &Requirement,
    checkpoint: &VerifiedCheckpoint,
    trust: &Trust<'_>,
    report: &mut Report,
) {
    let needed = usize::try_from(requirement.cosignatures).unwrap_or(usize::MAX);
    let permitted = established.of_kind("permit.issued").next().is_some();
    if needed == 0 || !permitted {
        return;
    }
    let cosigned: BTreeSet<&str> = checkpoint
        .cosignatures()
        .iter()
        .map(|cosignature| cosignature.witness())
        .collect();
    let detail = format!("{} of {needed} demanded", cosigned.len());
    if cosigned.len() >= needed {
        report.push("cosignatures", Outcome::Passed, detail);
    } else if trust.witnesses.len() < needed {
        report.unknown(
            "cosignatures",
            format!("{detail}; too few witness keys were given"),
        );
    } else {
        report.push("cosignatures", Outcome::Failed, detail);
    }
}

fn check_state(
    established: &Established<'_>,
    approvers: &BTreeSet<&str>,
) -> Result<((), String), String> {
    let state = established.bundle.state;
    let has = |kind: &str| established.of_kind(kind).next().is_some();
    let executed = has("action.executed");
    let consumed = has("permit.consumed") || has("action.consumed");
    let done = executed || consumed;
    let required = established.requirement().is_some();
    let allowed = established
        .requirement()
        .is_some_and(|requirement| requirement.approvals == 0);
    let approved = required && (allowed || !approvers.is_empty());
    let closed = ["action.refused", "action.denied", "action.expired"]
        .into_iter()
        .filter(|kind| has(kind))
        .count();
    let holds = match state {
        State::Pending => required && !done && closed == 0,
        State::Approved => approved && !done && closed == 0,
        State::Executing => {
            let ended = executed || has("action.consumed") || has("action.outcome-unknown");
            approved && has("permit.consumed") && !ended && closed == 0
        }
        State::Executed => approved && executed && closed == 0,
        State::Consumed => approved && consumed && !executed && closed == 0,
        State::Refused => required && has("action.refused") && !done && closed == 1,
        State::Denied => !required && has("action.denied") && !done && closed == 1,
        State::Expired => required && has("action.expired") && !done && closed == 1,
    };
    let word = serde_json::to_value(state)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default();
    if holds && state == State::Executing {
        Ok((
            (),
            "executing: used, and no outcome in the log yet".to_owned(),
        ))
    } else if holds {
        Ok(((), word))
    } else {
        Err(format!("the log's entries do not say {word}"))
    }
}

fn check_permit(established: &Established<'_>, report: &mut Report) {
    if let Some(record) = &established.bundle.permit {
        report.require("permit", verify_permit(established, record));
    }
}

fn verify_permit(
    established: &Established<'_>,
    record: &PermitRecord,
) -> Result<((), String), String> {
    let digest = sha256(record.jws.as_bytes());
    let issued = established
        .of_kind("permit.issued")
        .find(|logged| logged.entry.sha256_of("permit") == Some(&digest));
    let issued = issued.ok_or("no entry for this permit in the log")?;
    // Alive when it was issued; by now it has long expired.
    let (service, at) = (established.action.service(), issued.entry.at());
    let permit = permit::verify(&record.jws, &record.jwks, &record.issuer, service, at);
    let permit = permit.map_err(|error| error.reason().to_owned())?;
    if permit.claims().action_sha256 != established.action.sha256() {
        return Err("the permit is for another action".to_owned());
    }
    Ok(((), format!("issued by {}", record.issuer)))
}
