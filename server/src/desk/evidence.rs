//! The evidence bundle of docs/evidence.md, put together from the store; and the log's files, for auditors and witnesses.

use sceau_proof::evidence::{
    Approval, Bundle, LogRecord, LoggedEntry, Opening, PermitRecord, PolicyRecord, Response,
    State as EvidenceState, VERSION,
};
use sceau_proof::log::note::VerifyingKey;
use sceau_proof::log::tile::Tile;
use sceau_proof::log::{Checkpoint, Entry, inclusion_proof, tree};
use sceau_proof::permit::Jwks;
use serde_json::Value;
use sqlx::AnyConnection;

use super::{Desk, DeskError};
use crate::action::{ActionRecord, State};
use crate::id::{ActionId, PersonId};
use crate::store;
use crate::store::log::{Hashes, StoredEntry};

/// What a bundle or file could not be made from.
fn broken(what: &'static str) -> DeskError {
    DeskError::Misuse(what)
}

impl Desk {
    /// Everything that one action left behind, checkable offline.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`; `Misuse` when the store does not fit together.
    pub async fn evidence(&self, id: ActionId) -> Result<Bundle, DeskError> {
        let mut connection = self.reader().await?;
        // What is committed is immutable; what comes after is for a later bundle. State and entries must be of one moment: what the clock alone
        // has ended is in no entry yet, and is told as the log tells it.
        let mut known = None;
        let (record, mut entries) = loop {
            let entries = self.stored(store::log::entries_of(&mut connection, id).await)?;
            let (record, _) = self
                .stored(store::action::load(&mut connection, id).await)?
                .ok_or(DeskError::NotFound)?;
            let moment = Some((record.state, record.execution.is_some(), entries.len()));
            if moment == known {
                break (record, entries);
            }
            known = moment;
        };
        let approvals = self
            .bundle_approvals(&mut connection, id, &mut entries)
            .await?;
        let last = entries.iter().map(|entry| entry.index).max().unwrap_or(0);
        drop(connection);
        self.await_publication(last).await?;
        let mut connection = self.reader().await?;
        let (size, checkpoint) = self.covering_checkpoint(&mut connection, last).await?;
        entries.sort_by_key(|entry| entry.index);
        entries.dedup_by_key(|entry| entry.index);
        let policy = self
            .policy_record(&mut connection, &record, &entries)
            .await?;
        let mut logged = Vec::with_capacity(entries.len());
        for entry in entries {
            logged.push(self.logged(&mut connection, entry, size).await?);
        }
        let permit = match &record.permit {
            Some(jws) => Some(self.permit_record(&mut connection, jws).await?),
            None => None,
        };
        Ok(Bundle {
            v: VERSION,
            action: record.document.as_bytes().to_vec(),
            state: word(&record),
            policy,
            approvals,
            permit,
            log: LogRecord {
                checkpoint,
                entries: logged,
            },
            timestamps: Vec::new(),
        })
    }

    /// The log's verifier key.
    #[must_use]
    pub fn log_vkey(&self) -> &VerifyingKey {
        self.inner.log_key.verifying_key()
    }

    /// This person's approvals of an action, proven to be in the log.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Unavailable`.
    pub async fn inclusion(&self, id: ActionId, person: &PersonId) -> Result<LogRecord, DeskError> {
        let mut connection = self.reader().await?;
        let approvals = self.stored(store::action::approvals(&mut connection, id).await)?;
        let indices: Vec<u64> = approvals
            .iter()
            .filter(|approval| approval.person == *person)
            .map(|approval| approval.entry)
            .collect();
        let last = indices.iter().copied().max().ok_or(DeskError::NotFound)?;
        drop(connection);
        self.await_publication(last).await?;
        let mut connection = self.reader().await?;
        let (size, checkpoint) = self.covering_checkpoint(&mut connection, last).await?;
        let mut entries = Vec::with_capacity(indices.len());
        for index in indices {
            let found = store::log::entries(&mut connection, index, index + 1).await;
            for entry in self.stored(found)? {
                entries.push(self.logged(&mut connection, entry, size).await?);
            }
        }
        Ok(LogRecord {
            checkpoint,
            entries,
        })
    }

    /// The approvals, and the `key.enrolled` entries of their keys.
    async fn bundle_approvals(
        &self,
        connection: &mut AnyConnection,
        id: ActionId,
        entries: &mut Vec<StoredEntry>,
    ) -> Result<Vec<Approval>, DeskError> {
        let mut approvals = Vec::new();
        for approval in self.stored(store::action::approvals(connection, id).await)? {
            let registration = self
                .stored(store::key::registration(connection, approval.key).await)?
                .ok_or(broken("approval without key"))?;
            let key: Value = serde_json::from_slice(&registration.record)
                .map_err(|_| broken("stored key record does not parse"))?;
            if let Some(registered) = registered_by(&key) {
                let of_key = self.stored(store::log::entries_of(connection, registered).await)?;
                entries.extend(of_key.into_iter().filter(|entry| {
                    Entry::parse(&entry.body).is_ok_and(|parsed| parsed.kind() == "key.enrolled")
                }));
            }
            approvals.push(Approval {
                person: approval.person.to_string(),
                key,
                response: response(approval.response)?,
            });
        }
        Ok(approvals)
    }

    /// A permit with the key that signed it, though another one signs by now.
    async fn permit_record(
        &self,
        connection: &mut AnyConnection,
        jws: &str,
    ) -> Result<PermitRecord, DeskError> {
        let signed_by = match sceau_proof::permit::kid(jws) {
            Some(kid) => self.stored(store::signing_key::permit_key(connection, &kid).await)?,
            None => None,
        };
        Ok(PermitRecord {
            jws: jws.to_owned(),
            issuer: self.public_url().to_owned(),
            jwks: signed_by.map_or_else(|| self.jwks(), |key| Jwks { keys: vec![key] }),
        })
    }

    async fn policy_record(
        &self,
        connection: &mut AnyConnection,
        record: &ActionRecord,
        entries: &[StoredEntry],
    ) -> Result<PolicyRecord, DeskError> {
        let sha256 = entries
            .iter()
            .filter_map(|entry| Entry::parse(&entry.body).ok())
            .find(|entry| matches!(entry.kind(), "action.requested" | "action.denied"))
            .and_then(|entry| entry.sha256_of("policy").copied())
            .ok_or(broken("action without its first entry"))?;
        let text = self.stored(store::policy::text(connection, &sha256).await)?;
        Ok(PolicyRecord {
            sha256,
            text,
            decision: record.decision(),
        })
    }

    pub(super) async fn logged(
        &self,
        connection: &mut AnyConnection,
        entry: StoredEntry,
        size: u64,
    ) -> Result<LoggedEntry, DeskError> {
        let nodes = tree::inclusion_nodes(entry.index, size)
            .map_err(|_| broken("entry beyond the head"))?;
        let mut hashes = Hashes::default();
        self.stored(hashes.fetch(connection, &nodes).await)?;
        let inclusion =
            inclusion_proof(&hashes, entry.index, size).map_err(|_| broken("log lacks a hash"))?;
        let openings: std::collections::BTreeMap<String, Opening> = match &entry.openings {
            Some(text) => {
                serde_json::from_str(text).map_err(|_| broken("stored openings do not parse"))?
            }
            None => Default::default(),
        };
        Ok(LoggedEntry {
            index: entry.index,
            leaf: entry.body,
            inclusion,
            openings,
        })
    }

    pub(super) fn sign_checkpoint(
        &self,
        size: u64,
        root: sceau_proof::log::Hash,
    ) -> Result<String, DeskError> {
        let unsigned = |_| broken("checkpoint was not signed");
        let mut note = Checkpoint::new(&self.inner.shared.log_origin, size, root)
            .sign(&self.inner.log_key)
            .map_err(unsigned)?;
        if let Some(previous) = &self.inner.log_previous {
            note.sign(previous)
                .map_err(|_| broken("checkpoint was not signed"))?;
        }
        Ok(note.to_string())
    }

    /// The newest checkpoint, a signed note.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn checkpoint(&self) -> Result<String, DeskError> {
        self.public_checkpoint().await
    }

    /// One file of the log (docs/log.md); `None` when the log does not reach so far.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn log_tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, DeskError> {
        let mut connection = self.reader().await?;
        let size = self
            .stored(store::log::head(&mut connection).await)?
            .frontier
            .size();
        self.stored(store::log::tile(&mut connection, tile, size).await)
    }

    /// The keys that permits are signed with: the one in use, and the one before it while what it signed may be under way.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        let shared = &self.inner.shared;
        let current = shared.permit_key.jwk();
        let previous = shared
            .permit_previous
            .iter()
            .filter(|retired| retired.jwk.kid != current.kid && self.now() < retired.until)
            .map(|retired| &retired.jwk);
        Jwks {
            keys: std::iter::once(current).chain(previous).cloned().collect(),
        }
    }
}

/// The `key.register` action of a key record.
fn registered_by(key: &Value) -> Option<ActionId> {
    let action = key.pointer("/registration/action")?.as_str()?;
    let bytes = sceau_proof::base64url::decode(action).ok()?;
    Some(ActionId(
        sceau_proof::action::Action::parse(&bytes).ok()?.id(),
    ))
}

fn word(record: &ActionRecord) -> EvidenceState {
    match record.state {
        State::Pending => EvidenceState::Pending,
        State::Approved if record.execution.is_some() => EvidenceState::Executing,
        State::Approved => EvidenceState::Approved,
        State::Executed => EvidenceState::Executed,
        State::Consumed => EvidenceState::Consumed,
        State::Refused => EvidenceState::Refused,
        State::Denied => EvidenceState::Denied,
        State::Expired => EvidenceState::Expired,
    }
}

/// The response of docs/evidence.md.
pub(super) fn response(response: Response) -> Result<Value, DeskError> {
    response.to_value().map_err(|_| broken("response"))
}
