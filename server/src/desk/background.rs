//! What runs without being asked: the note of each start, the sweep of what time has settled, and the reader of what other
//! instances wrote. Each ends with the desk.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Desk, DeskError, Inner, Shared, settle};
use crate::hub::Notice;
use crate::id::PersonId;
use crate::store;
use crate::writer::{Command, Fault, Tx};

/// How often the log is looked at for what other instances wrote, while somebody here waits.
const LOOK: Duration = Duration::from_millis(500);

/// Logs the start and the policy in force, and keeps the policy's text.
pub(super) struct Started {
    pub(super) shared: Arc<Shared>,
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
        let entry = tx
            .entry("server.started")
            .digest("policy", self.shared.policy_sha256)
            .datum("instance", self.shared.instance.as_str())
            .datum("version", env!("CARGO_PKG_VERSION"));
        tx.append(entry, None, &[]).await?;
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

    async fn sweep_once(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(1);
        const LATE: Duration = Duration::from_secs(10);
        let next = async {
            let mut connection = self.reader().await?;
            let action = self.stored(store::action::next_end(&mut connection).await)?;
            let right = self.stored(store::fact::next_end(&mut connection).await)?;
            Ok::<_, DeskError>(action.into_iter().chain(right).min())
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
