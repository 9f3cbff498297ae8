//! What runs without being asked: the note of each start, the sweep of what time has settled, and the reader of what other
//! instances wrote. Each ends with the desk.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sceau_proof::log::entry::sha256;
use serde_json::{Map, Value};

use super::{Desk, DeskError, Inner, Shared, settle};
use crate::hub::Notice;
use crate::id::PersonId;
use crate::store::{self, signing_key};
use crate::writer::{Command, Fault, Tx};

/// How often the log is looked at for what other instances wrote, while somebody here waits.
const LOOK: Duration = Duration::from_millis(500);

/// Logs the start and the policy in force, and keeps the policy's text.
pub(super) struct Started {
    pub(super) shared: Arc<Shared>,
    pub(super) configuration: Option<[u8; 32]>,
    pub(super) log_key: String,
}

impl Command for Started {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let inserted = sqlx::query(
            "INSERT INTO policy_text (sha256, body) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING",
        )
        .bind(self.shared.policy_sha256.to_vec())
        .bind(self.shared.policy.text().as_bytes().to_vec())
        .execute(&mut *tx.connection)
        .await?
        .rows_affected();
        let policies = self.shared.policy.len();
        if inserted > 0 {
            let entry = tx
                .entry("policy.changed")
                .digest("policy", self.shared.policy_sha256)
                .datum("policies", policies);
            tx.append(entry, None, &[]).await?;
        }
        self.remember_keys(tx).await?;
        if let Some(sha256) = &self.configuration
            && signing_key::configured(tx.connection, &self.shared.instance, sha256).await?
        {
            let entry = tx
                .entry("configuration.changed")
                .digest("configuration", *sha256)
                .datum("instance", self.shared.instance.as_str());
            tx.append(entry, None, &[]).await?;
        }
        let entry = tx
            .entry("server.started")
            .digest("policy", self.shared.policy_sha256)
            .datum("instance", self.shared.instance.as_str())
            .datum("version", env!("CARGO_PKG_VERSION"));
        tx.append(entry, None, &[]).await?;
        Ok(())
    }
}

impl Started {
    /// The keys in use are in the log before anything that they sign: a permit key that is not there is a thief's.
    async fn remember_keys(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let jwk = self.shared.permit_key.jwk();
        let body = store::to_json(jwk)?;
        let kid = self.shared.permit_key.kid();
        if signing_key::remember(tx.connection, "permit", kid, &body, tx.now).await? {
            let thumbprint = sceau_proof::base64url::decode_array(kid)
                .map_err(|_| DeskError::Misuse("permit key's name"))?;
            let entry = tx.entry("permit-key.changed").digest("key", thumbprint);
            tx.append(entry, None, &[]).await?;
        }
        let vkey = self.log_key.as_str();
        if signing_key::remember(tx.connection, "log", vkey, vkey, tx.now).await? {
            let entry = tx
                .entry("log-key.changed")
                .digest("key", sha256(vkey.as_bytes()));
            tx.append(entry, None, &[]).await?;
        }
        Ok(())
    }
}

struct Note {
    kind: &'static str,
    person: Option<PersonId>,
    data: Map<String, Value>,
}

impl Command for Note {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let mut entry = tx.entry(self.kind);
        for (name, value) in &self.data {
            entry = entry.datum(name, value.clone());
        }
        let personal: Vec<(&str, &str)> = self
            .person
            .iter()
            .map(|person| ("person", person.as_str()))
            .collect();
        tx.append(entry, None, &personal).await?;
        Ok(())
    }
}

/// Writes down what time has done, when the next action ends and not before. Ends with the desk.
pub(super) async fn sweep(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        let until = desk.sweep_once().await;
        drop(desk);
        tokio::time::sleep(until).await;
    }
}

/// Tells waiters what other instances committed: reads the log from where this one last looked.
pub(super) async fn look(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let hub = Arc::clone(&strong.hub);
        drop(strong);
        hub.somebody().await;
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        if let Err(error) = desk.look_once().await {
            tracing::debug!(%error, "reading others' entries");
        }
        drop(desk);
        tokio::time::sleep(LOOK).await;
    }
}

impl Desk {
    /// Writes an entry that is no action's: what the gate refused or counted. `kind` is kebab-case with a dot
    /// (`gate.refused`, `gate.metered`); `data` holds digests and counts, never bodies.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note(
        &self,
        kind: &'static str,
        person: Option<PersonId>,
        data: Map<String, Value>,
    ) -> Result<(), DeskError> {
        self.run(Note { kind, person, data }).await
    }

    /// Says in the log that this instance stops. After a power cut nothing does.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stopping(&self) -> Result<(), DeskError> {
        let instance = self.inner.shared.instance.clone();
        let data = [("instance".to_owned(), Value::from(instance))];
        self.note("server.stopped", None, data.into_iter().collect())
            .await
    }

    async fn sweep_once(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(1);
        const LATE: Duration = Duration::from_secs(10);
        let next = async {
            let mut connection = self.reader().await?;
            let action = self.stored(store::action::next_end(&mut connection).await)?;
            let right = self.stored(store::fact::next_end(&mut connection).await)?;
            let campaign = self.stored(store::campaign::next_due(&mut connection).await)?;
            Ok::<_, DeskError>(action.into_iter().chain(right).chain(campaign).min())
        };
        match next.await {
            Ok(Some(end)) if end <= self.now() => {
                let sweep = settle::Sweep {
                    shared: Arc::clone(&self.inner.shared),
                    restarted: false,
                };
                if let Err(error) = self.run(sweep).await {
                    tracing::warn!(%error, "sweeping expired actions");
                }
                SOON
            }
            Ok(Some(end)) => Duration::try_from(end - self.now())
                .unwrap_or(SOON)
                .clamp(SOON, LATE),
            Ok(None) => LATE,
            Err(_) => LATE,
        }
    }

    async fn look_once(&self) -> Result<(), DeskError> {
        let hub = &self.inner.hub;
        self.look_for_endings().await?;
        let mut connection = self.reader().await?;
        let size = self
            .stored(store::log::head(&mut connection).await)?
            .frontier
            .size();
        let mut from = hub.seen();
        while from < size {
            let (actions, next) =
                self.stored(store::log::actions_since(&mut connection, from).await)?;
            if next == from {
                break;
            }
            for id in actions {
                let Some((record, _)) =
                    self.stored(store::action::load(&mut connection, id).await)?
                else {
                    continue;
                };
                let mut audience =
                    self.stored(store::person::role_holders(&mut connection, id).await)?;
                audience.push(record.requester);
                hub.tell(&[Notice {
                    action: id,
                    audience,
                }]);
            }
            hub.read_to(next);
            from = next;
        }
        Ok(())
    }
}
