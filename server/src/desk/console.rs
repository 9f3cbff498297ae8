//! What the console's pages read. Nothing here decides or writes: what a page changes is an action like any other (`open`).

use std::collections::BTreeMap;

use sceau_proof::evidence::{LogRecord, Opening};
use sceau_proof::log::Entry;
use serde::Serialize;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::{Desk, DeskError};
use crate::action::ActionRecord;
use crate::attestation::ModelStanding;
use crate::id::{PersonId, Role, ServiceId};
use crate::lineage::Node;
use crate::store::console::{
    self, Falling, Giving, InvitationRow, KeyRow, PersonRow, ReaderRow, SessionRow, Wanted,
};
use crate::store::log::StoredEntry;
use crate::store::{self, log};
use crate::stream::{Severity, severity};

/// The most entries that are looked through for one page of alerts.
const LOOKED_THROUGH: u64 = 8_192;
/// The most that are looked through for the start that put the policy in force.
const LOOKED_BACK: u64 = 65_536;
/// Entries that are read at once.
const READ: u64 = 1_024;

/// An entry of the log as it is shown.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Position.
    pub index: u64,
    /// What it says.
    pub entry: Entry,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// The personal values that were not erased.
    pub openings: BTreeMap<String, Opening>,
    /// Whether somebody should look.
    pub severity: Severity,
}

/// A page of alerts, newest first.
#[derive(Debug, Clone)]
pub struct Alerts {
    /// Those found.
    pub entries: Vec<Noted>,
    /// Where to look on: entries before this one; `None` when all were looked through.
    pub further: Option<u64>,
}

/// Since when the policy is in force, as far as the log was looked through.
#[derive(Debug, Clone)]
pub struct Since {
    /// The first start with this policy of all those since the last start with another.
    pub start: Option<Noted>,
    /// The log was not looked through to the start before it: it may be in force for longer.
    pub longer: bool,
}

/// One line of a file that `sceau-verify report` checks.
#[derive(Debug, Clone, Serialize)]
struct Moment {
    index: u64,
    #[serde(rename = "type")]
    kind: String,
    persons: BTreeMap<String, String>,
    data: Map<String, Value>,
}

/// An entry with its proof, in the form that `sceau-verify report` reads.
#[derive(Debug, Clone, Serialize)]
pub struct EntryProof {
    timeline: Vec<Moment>,
    /// The signed checkpoint, and the entry with its path to it.
    pub log: LogRecord,
}

/// The state of the metadata list.
#[derive(Debug, Clone)]
pub struct MetadataStanding {
    /// The list in force for all instances.
    pub seen: Option<store::metadata::Seen>,
    /// How long it may be overdue; `None` when no metadata is configured.
    pub grace: Option<Duration>,
    /// Why nothing is believed of keys now, if so.
    pub blind: Option<&'static str>,
    /// How many models this instance's list knows.
    pub models: usize,
}

fn noted(stored: StoredEntry) -> Result<Noted, DeskError> {
    let entry =
        Entry::parse(&stored.body).map_err(|_| DeskError::Misuse("stored entry does not parse"))?;
    let openings = match &stored.openings {
        Some(text) => serde_json::from_str(text)
            .map_err(|_| DeskError::Misuse("stored openings do not parse"))?,
        None => BTreeMap::new(),
    };
    Ok(Noted {
        index: stored.index,
        severity: severity(&entry),
        entry,
        body: stored.body,
        openings,
    })
}

impl Desk {
    /// The roles that stand above somebody with these roles.
    #[must_use]
    pub fn above(&self, roles: &std::collections::BTreeSet<Role>) -> Vec<Role> {
        let policy = &self.inner.shared.policy;
        policy.roles_above(policy.rank(roles))
    }

    /// Persons, by identifier.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_persons(
        &self,
        wanted: &Wanted,
        count: i64,
    ) -> Result<Vec<PersonRow>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(console::persons(&mut connection, wanted, &self.giving(), count).await)
    }

    /// How many persons of those that are wanted have fewer keys than their roles want, on all pages.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_lacking(&self, wanted: &Wanted) -> Result<u64, DeskError> {
        let wanted = Wanted {
            lacking: true,
            ..wanted.clone()
        };
        let mut connection = self.reader().await?;
        self.stored(console::count_persons(&mut connection, &wanted, &self.giving()).await)
    }

    fn giving(&self) -> Giving {
        Giving {
            two: self.inner.shared.policy.roles_of_two_keys(),
            at: self.now(),
        }
    }

    /// SIRET of a person's structure, when it is known.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn organisation(&self, person: &PersonId) -> Result<Option<String>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(store::person::organisation(&mut connection, person).await)
    }

    /// Every role that somebody holds.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_roles(&self) -> Result<Vec<(Role, u64)>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(console::roles(&mut connection).await)
    }

    /// Keys, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_keys(&self, wanted: &Wanted, count: i64) -> Result<Vec<KeyRow>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(console::keys(&mut connection, wanted, count).await)
    }

    /// A person's live sessions, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_sessions(
        &self,
        person: &PersonId,
        count: i64,
    ) -> Result<Vec<SessionRow>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(console::sessions(&mut connection, person, now, count).await)
    }

    /// Enrolments, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_invitations(
        &self,
        wanted: &Wanted,
        count: i64,
    ) -> Result<Vec<InvitationRow>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        self.stored(console::invitations(&mut connection, wanted, now, count).await)
    }

    /// Actions, newest first, sign-ins left out, each as it stands now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_actions(
        &self,
        wanted: &Wanted,
        count: i64,
    ) -> Result<Vec<ActionRecord>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        let names = self.stored(console::actions(&mut connection, wanted, now, count).await)?;
        let mut records = Vec::with_capacity(names.len());
        for id in names {
            let found = self.stored(store::action::load(&mut connection, id).await)?;
            records
                .extend(found.map(|(record, standing)| store::action::told(record, standing, now)));
        }
        Ok(records)
    }

    /// Who read at a service since then.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_readers(
        &self,
        service: &ServiceId,
        since: OffsetDateTime,
        after: &str,
        count: i64,
    ) -> Result<Vec<ReaderRow>, DeskError> {
        let mut connection = self.reader().await?;
        let window = (since, self.now());
        self.stored(console::readers(&mut connection, service, window, after, count).await)
    }

    /// The sessions, actions and keys that would fall with a person and all who descend from them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn falling(&self, person: &PersonId, count: i64) -> Result<Falling, DeskError> {
        let mut connection = self.reader().await?;
        let (root, now) = (Node::Person(person.clone()), self.now());
        self.stored(console::falling(&mut connection, &root, now, count).await)
    }

    /// What the metadata list in force says of a model.
    #[must_use]
    pub fn model(&self, aaguid: &str) -> Option<ModelStanding> {
        self.inner.shared.judge.model(aaguid, self.now())
    }

    /// The state of the metadata list.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn metadata_standing(&self) -> Result<MetadataStanding, DeskError> {
        let judge = &self.inner.shared.judge;
        Ok(MetadataStanding {
            seen: self.metadata_seen().await?,
            grace: judge.grace(),
            blind: self.blind(),
            models: judge.believed().map_or(0, |list| list.entries().len()),
        })
    }

    /// The policy in force: its whole text, its digest, and what it says, policy by policy, in words.
    #[must_use]
    pub fn policy_in_force(
        &self,
        language: sceau_locale::Language,
    ) -> (&str, [u8; 32], Vec<crate::policy::Explained>) {
        let shared = &self.inner.shared;
        (
            shared.policy.text(),
            shared.policy_sha256,
            shared.policy.explain(language),
        )
    }

    /// What a reason means that the policy in force gives by its own word, where it says so.
    #[must_use]
    pub fn policy_reason(&self, reason: &str, language: sceau_locale::Language) -> Option<String> {
        let policy = &self.inner.shared.policy;
        policy.reason_in_words(reason, language).map(str::to_owned)
    }

    /// Since when the policy is in force: the log's starts, looked through backwards.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn policy_since(&self) -> Result<Since, DeskError> {
        let ours = self.inner.shared.policy_sha256;
        let mut connection = self.reader().await?;
        let head = self.stored(log::head(&mut connection).await)?;
        let mut before = head.frontier.size();
        let stop = before.saturating_sub(LOOKED_BACK);
        let mut start = None;
        while before > stop {
            let from = before.saturating_sub(READ).max(stop);
            let entries = self.stored(log::entries(&mut connection, from, before).await)?;
            for stored in entries.into_iter().rev() {
                if !contains(&stored.body, b"server.started") {
                    continue;
                }
                let found = noted(stored)?;
                if found.entry.kind() != "server.started" {
                    continue;
                }
                if found.entry.sha256_of("policy") != Some(&ours) {
                    return Ok(Since {
                        start,
                        longer: false,
                    });
                }
                start = Some(found);
            }
            before = from;
        }
        Ok(Since {
            start,
            longer: stop > 0,
        })
    }

    /// How many entries the log has.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn log_size(&self) -> Result<u64, DeskError> {
        let mut connection = self.reader().await?;
        Ok(self
            .stored(log::head(&mut connection).await)?
            .frontier
            .size())
    }

    /// At most `count` entries before that one, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn log_before(&self, before: u64, count: u64) -> Result<Vec<Noted>, DeskError> {
        let mut connection = self.reader().await?;
        let from = before.saturating_sub(count);
        let entries = self.stored(log::entries(&mut connection, from, before).await)?;
        entries.into_iter().rev().map(noted).collect()
    }

    /// Entries before that one that somebody should look at, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn alerts(&self, before: u64, count: usize) -> Result<Alerts, DeskError> {
        let stop = before.saturating_sub(LOOKED_THROUGH);
        let (mut before, mut entries) = (before, Vec::new());
        while before > stop {
            for found in self.log_before(before, READ.min(before - stop)).await? {
                before = found.index;
                if found.severity.is_alert() {
                    entries.push(found);
                    if entries.len() == count {
                        let further = (before > 0).then_some(before);
                        return Ok(Alerts { entries, further });
                    }
                }
            }
        }
        Ok(Alerts {
            entries,
            further: (stop > 0).then_some(stop),
        })
    }

    /// One entry with its proof; `None` when the log has none there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn entry_proof(&self, index: u64) -> Result<Option<(Noted, EntryProof)>, DeskError> {
        if index >= self.log_size().await? {
            return Ok(None);
        }
        self.await_publication(index).await?;
        let mut connection = self.reader().await?;
        let (size, checkpoint) = self.covering_checkpoint(&mut connection, index).await?;
        let found = self.stored(log::entries(&mut connection, index, index + 1).await)?;
        let Some(stored) = found.into_iter().next() else {
            return Err(DeskError::Misuse("log lacks an entry"));
        };
        let shown = noted(stored.clone())?;
        let logged = self.logged(&mut connection, stored, size).await?;
        let persons = shown
            .openings
            .iter()
            .map(|(field, opening)| (field.clone(), opening.value.clone()));
        let moment = Moment {
            index,
            kind: shown.entry.kind().to_owned(),
            persons: persons.collect(),
            data: shown.entry.data().clone(),
        };
        let proof = EntryProof {
            timeline: vec![moment],
            log: LogRecord {
                checkpoint,
                entries: vec![logged],
            },
        };
        Ok(Some((shown, proof)))
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
