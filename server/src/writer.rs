//! The one task that writes. It takes whatever commands are waiting, runs them in one transaction, commits once, and only then
//! answers each caller and wakes whoever waits (group commit): the disk is asked once for many decisions.
//!
//! The first statement of each transaction locks the log's head row, so that all instances write one after the other and every
//! command decides on what is committed. Log entries are appended under that lock, in the same transaction as the state that
//! they tell of: there is no state without its entry, and no entry without its state.
//!
//! # When something fails
//! | what failed | persisted? | the callers are told | then |
//! |---|---|---|---|
//! | a command says no (`Fault::Refused`) before its first entry | no | its reason | the batch goes on |
//! | a command says no after an entry of its own | no, rolled back | its reason; the others as if it had not been there | each command runs again in a transaction of its own |
//! | a statement of a batch | no, rolled back | nothing yet | each command runs again in a transaction of its own |
//! | a statement of a command alone | no, rolled back | `Unavailable` | next command |
//! | `BEGIN` or the head's lock | no | `Unavailable` | the connection is made anew |
//! | `COMMIT` with an error | **not known** | `Unavailable` to all | the connection is thrown away; nothing is kept in memory, so the next transaction reads what is true |
//! | the process, before `COMMIT` returned | not known | connection lost | as above, at the next start |
//! | the process, after `COMMIT` returned | yes | some not told | they ask again by identifier and find it done |
//! | a caller goes away | yes | nobody | the state stands |
//!
//! Nothing is cached between transactions: the load path is the only recovery, and it runs every time.
//!
//! Time: the head row keeps the latest time that anyone has written. A clock more than [`CLOCK_TOLERANCE`] behind it decides
//! nothing; within it, time stands still rather than going back.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sceau_proof::log::Entry;
use serde_json::{Map, Value, json};
use sqlx::AnyConnection;
use sqlx::pool::PoolConnection;
use time::{Duration, OffsetDateTime};
use tokio::sync::{mpsc, oneshot};

use crate::desk::DeskError;
use crate::hub::{Hub, Notice};
use crate::id::ActionId;
use crate::port::{NoRandomness, Ports};
use crate::store::log::Head;
use crate::store::{Store, StoreError, lineage, log};

/// How far this clock may be behind the latest written time: instances' clocks differ, and are slewed.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::seconds(5);

/// Commands in one transaction, at most.
const BATCH: usize = 256;

/// Commands that may wait; beyond it callers wait to queue.
const QUEUE: usize = 1024;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It decided no, and wrote nothing.
    #[error(transparent)]
    Refused(#[from] DeskError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<NoRandomness> for Fault {
    fn from(_: NoRandomness) -> Self {
        Self::Refused(DeskError::Unavailable)
    }
}

/// One decision and its writes. May run more than once (see the table), so it takes `&self`.
pub(crate) trait Command: Send + Sync + 'static {
    /// What the caller is told after the commit.
    type Output: Send + 'static;

    /// Decides on what is committed and writes. A refusal comes before the first write, or after the first entry: then all of it is taken back.
    fn apply<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
    ) -> impl Future<Output = Result<Self::Output, Fault>> + Send + 'a;
}

/// A transaction that holds the head's lock.
pub(crate) struct Tx<'c> {
    /// For rows.
    pub(crate) connection: &'c mut AnyConnection,
    /// The time of every decision in this transaction.
    pub(crate) now: OffsetDateTime,
    /// Randomness.
    pub(crate) ports: &'c Ports,
    head: Head,
    notices: Vec<Notice>,
    ended: bool,
    undo: Undo,
}

/// What was remembered outside the store, and must not be when nothing is committed.
#[derive(Default)]
struct Undo(Vec<Box<dyn FnOnce() + Send>>);

impl Drop for Undo {
    fn drop(&mut self) {
        for forget in self.0.drain(..) {
            forget();
        }
    }
}

impl Tx<'_> {
    /// Appends an entry. `personal` values are committed to with fresh salts, which are kept beside the entry and can be erased.
    pub(crate) async fn append(
        &mut self,
        mut entry: Entry,
        action: Option<ActionId>,
        personal: &[(&str, &str)],
    ) -> Result<u64, Fault> {
        let mut openings = Map::new();
        for (field, value) in personal {
            let salt: [u8; 32] = self.ports.bytes()?;
            entry = entry.commit(field, &salt, value);
            let salt = sceau_proof::base64url::encode(salt);
            openings.insert((*field).to_owned(), json!({ "salt": salt, "value": value }));
        }
        let openings = if openings.is_empty() {
            None
        } else {
            Some(Value::Object(openings).to_string())
        };
        let body = entry
            .to_bytes()
            .map_err(|_| Fault::Refused(DeskError::Misuse("entry")))?;
        Ok(log::append(
            self.connection,
            &mut self.head.frontier,
            body,
            action,
            openings,
        )
        .await?)
    }

    /// Entries in the log, with those of this transaction.
    pub(crate) fn size(&self) -> u64 {
        self.head.frontier.size()
    }

    /// An entry of this kind at this transaction's time.
    pub(crate) fn entry(&self, kind: &str) -> Entry {
        Entry::new(self.now, kind)
    }

    /// Sessions or persons are suspended here: streams that are open end once this is committed, at every instance.
    pub(crate) async fn ended(&mut self) -> Result<(), Fault> {
        self.ended = true;
        Ok(lineage::ended(self.connection).await?)
    }

    /// Runs unless this is committed: memory that says what was written follows the store.
    pub(crate) fn unless_committed(&mut self, forget: impl FnOnce() + Send + 'static) {
        self.undo.0.push(Box::new(forget));
    }

    /// Tells someone once this is committed.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

trait Job: Send {
    /// Whether it refused.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn answer(self: Box<Self>, committed: Result<(), DeskError>);
}

struct Queued<C: Command> {
    command: C,
    outcome: Option<Result<C::Output, DeskError>>,
    reply: oneshot::Sender<Result<C::Output, DeskError>>,
}

impl<C: Command> Job for Queued<C> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcome = match self.command.apply(tx).await {
                Ok(output) => Ok(output),
                Err(Fault::Refused(reason)) => Err(reason),
                Err(Fault::Store(error)) => return Err(error),
            };
            let refused = outcome.is_err();
            self.outcome = Some(outcome);
            Ok(refused)
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), DeskError>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(DeskError::Unavailable),
            // A command's own no holds whether or not the others were committed, unless it could not be decided at all.
            (Err(error), _) => Err(error),
        };
        let _ = self.reply.send(outcome);
    }
}

/// The queue of the writing task. Cheap to clone; the task ends when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the writing task.
    pub(crate) fn start(store: Store, ports: Ports, hub: Arc<Hub>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(
            Task {
                store,
                ports,
                hub,
                connection: None,
            }
            .run(jobs),
        );
        Self { queue }
    }

    /// Runs a command and returns once its transaction is durable.
    pub(crate) async fn run<C: Command>(&self, command: C) -> Result<C::Output, DeskError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Queued {
            command,
            outcome: None,
            reply,
        });
        self.queue
            .send(job)
            .await
            .map_err(|_| DeskError::Unavailable)?;
        answer.await.map_err(|_| DeskError::Unavailable)?
    }
}

struct Task {
    store: Store,
    ports: Ports,
    hub: Arc<Hub>,
    connection: Option<PoolConnection<sqlx::Any>>,
}

/// What became of one transaction.
enum Transacted {
    Committed {
        notices: Vec<Notice>,
        from: u64,
        to: u64,
        ended: bool,
    },
    /// A statement failed; nothing persisted.
    RolledBack(StoreError),
    /// A command refused after it had written; nothing persisted.
    Withdrawn,
    /// The clock is behind; nothing was tried.
    ClockBehind(Duration),
    /// Commit failed; nobody knows.
    NotKnown(StoreError),
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            let alone = batch.len() == 1;
            match self.transact(&mut batch).await {
                Transacted::RolledBack(error) if !alone => {
                    tracing::warn!(%error, commands = batch.len(), "a batch failed; its commands run one by one");
                    for job in batch.drain(..) {
                        let mut one = vec![job];
                        let transacted = self.transact(&mut one).await;
                        self.settle(transacted, one);
                    }
                }
                Transacted::Withdrawn if !alone => {
                    for job in batch.drain(..) {
                        let mut one = vec![job];
                        let transacted = self.transact(&mut one).await;
                        self.settle(transacted, one);
                    }
                }
                transacted => self.settle(transacted, batch.drain(..)),
            }
        }
        if let Some(connection) = self.connection.take() {
            drop(connection);
        }
    }

    fn settle(&mut self, transacted: Transacted, jobs: impl IntoIterator<Item = Box<dyn Job>>) {
        self.hub.changed();
        let answer = match transacted {
            Transacted::Committed {
                notices,
                from,
                to,
                ended,
            } => {
                for job in jobs {
                    job.answer(Ok(()));
                }
                self.hub.committed(notices, from, to);
                if ended {
                    self.hub.ended();
                }
                return;
            }
            Transacted::Withdrawn => {
                for job in jobs {
                    job.answer(Ok(()));
                }
                return;
            }
            Transacted::RolledBack(error) => {
                tracing::error!(%error, "a command failed; nothing was written");
                DeskError::Unavailable
            }
            Transacted::ClockBehind(by) => {
                tracing::error!(
                    seconds = by.whole_seconds(),
                    "clock is behind the latest written time; nothing is decided"
                );
                DeskError::ClockWentBack
            }
            Transacted::NotKnown(error) => {
                tracing::error!(%error, "commit failed; whether it happened is not known");
                DeskError::Unavailable
            }
        };
        for job in jobs {
            job.answer(Err(answer.clone()));
        }
    }

    async fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Transacted {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.store.writing().await {
                Ok(connection) => connection,
                Err(error) => return Transacted::RolledBack(error),
            },
        };
        let transacted = transact(&self.ports, &mut connection, jobs).await;
        match transacted {
            Transacted::Committed { .. } | Transacted::ClockBehind(_) | Transacted::Withdrawn => {
                self.connection = Some(connection)
            }
            Transacted::RolledBack(_) | Transacted::NotKnown(_) => {
                // Whatever state the connection is in, it is not used again.
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, "closing a failed connection");
                }
            }
        }
        transacted
    }
}

/// One transaction on one connection.
async fn transact(
    ports: &Ports,
    connection: &mut AnyConnection,
    jobs: &mut [Box<dyn Job>],
) -> Transacted {
    let mut transaction = match sqlx::Connection::begin(connection).await {
        Ok(transaction) => transaction,
        Err(error) => return Transacted::RolledBack(error.into()),
    };
    let head = match log::lock(&mut transaction).await {
        Ok(head) => head,
        Err(error) => return Transacted::RolledBack(error),
    };
    let clock = ports.now();
    if clock + CLOCK_TOLERANCE < head.last {
        let behind = head.last - clock;
        return match transaction.rollback().await {
            Ok(()) => Transacted::ClockBehind(behind),
            Err(error) => Transacted::RolledBack(error.into()),
        };
    }
    let now = clock.max(head.last);
    let from = head.frontier.size();
    let mut tx = Tx {
        connection: &mut transaction,
        now,
        ports,
        head,
        notices: Vec::new(),
        ended: false,
        undo: Undo::default(),
    };
    // What has ended by now is ended for every decision in this transaction.
    match crate::desk::fact::expire(&mut tx).await {
        Ok(()) => {}
        Err(Fault::Store(error)) => return Transacted::RolledBack(error),
        Err(Fault::Refused(_)) => {
            return Transacted::RolledBack(StoreError::Corrupt("a right that cannot end"));
        }
    }
    for job in jobs.iter_mut() {
        let size = tx.head.frontier.size();
        match job.run(&mut tx).await {
            Ok(true) if tx.head.frontier.size() != size => {
                drop(tx);
                return match transaction.rollback().await {
                    Ok(()) => Transacted::Withdrawn,
                    Err(error) => Transacted::RolledBack(error.into()),
                };
            }
            Ok(_) => {}
            Err(error) => return Transacted::RolledBack(error),
        }
    }
    let Tx {
        mut head,
        notices,
        ended,
        mut undo,
        ..
    } = tx;
    let to = head.frontier.size();
    head.last = now;
    if let Err(error) = log::save_head(&mut transaction, &head).await {
        return Transacted::RolledBack(error);
    }
    match transaction.commit().await {
        Ok(()) => {
            undo.0.clear();
            Transacted::Committed {
                notices,
                from,
                to,
                ended,
            }
        }
        Err(error) => Transacted::NotKnown(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::port::{Clock, Random};
    use crate::store::{Durability, StoreOptions};

    struct Still;
    impl Clock for Still {
        fn now(&self) -> OffsetDateTime {
            OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
        }
    }
    struct Zeroes;
    impl Random for Zeroes {
        fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
            Ok(())
        }
    }

    /// Writes one entry, then does what it is told.
    enum Probe {
        Fine,
        /// A statement that the database refuses.
        Breaks,
        /// A no of its own.
        Refuses,
    }

    static RUNS: AtomicU32 = AtomicU32::new(0);

    impl Command for Probe {
        type Output = u64;

        async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, Fault> {
            RUNS.fetch_add(1, Ordering::SeqCst);
            if matches!(self, Self::Refuses) {
                return Err(DeskError::Forbidden.into());
            }
            let entry = tx.entry("test.probe");
            let index = tx.append(entry, None, &[]).await?;
            if matches!(self, Self::Breaks) {
                sqlx::query("INSERT INTO log_entry (idx, body, leaf) VALUES (0, '', '')")
                    .execute(&mut *tx.connection)
                    .await?;
            }
            Ok(index)
        }
    }

    async fn store(folder: &tempfile::TempDir) -> Store {
        let url = format!("sqlite:{}", folder.path().join("sceau.db").display());
        Store::open(
            &StoreOptions {
                url,
                durability: Durability::Full,
                readers: 1,
            },
            true,
        )
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_command_that_breaks_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let writer = Writer::start(store.clone(), Ports::new(Still, Zeroes), Arc::default());
        assert_eq!(writer.run(Probe::Fine).await, Ok(0));
        // All are queued before the task runs: one batch.
        let (a, b, c, d) = tokio::join!(
            writer.run(Probe::Fine),
            writer.run(Probe::Breaks),
            writer.run(Probe::Refuses),
            writer.run(Probe::Fine)
        );
        assert_eq!(
            (a, b, c, d),
            (
                Ok(1),
                Err(DeskError::Unavailable),
                Err(DeskError::Forbidden),
                Ok(2)
            )
        );
        assert!(
            RUNS.load(Ordering::SeqCst) > 5,
            "the batch was tried as one, then one by one"
        );
        let head = log::head(&mut store.reader().await.unwrap()).await.unwrap();
        let entries = log::entries(&mut store.reader().await.unwrap(), 0, 10)
            .await
            .unwrap();
        assert_eq!(
            (head.frontier.size(), entries.len()),
            (3, 3),
            "no entry of what was rolled back"
        );
    }

    #[tokio::test]
    async fn a_store_that_is_gone_is_said_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let writer = Writer::start(store.clone(), Ports::new(Still, Zeroes), Arc::default());
        writer.run(Probe::Fine).await.unwrap();
        // Another process holds the write lock and breaks the head row meanwhile.
        let mut other = store.writing_of_another(&folder).await;
        sqlx::query("UPDATE log_head SET size = size + 1")
            .execute(&mut other)
            .await
            .unwrap();
        assert_eq!(
            writer.run(Probe::Fine).await,
            Err(DeskError::Unavailable),
            "a head that does not fit decides nothing"
        );
        sqlx::query("UPDATE log_head SET size = size - 1")
            .execute(&mut other)
            .await
            .unwrap();
        assert_eq!(writer.run(Probe::Fine).await, Ok(1));
    }

    impl Store {
        async fn writing_of_another(&self, folder: &tempfile::TempDir) -> AnyConnection {
            let url = format!("sqlite:{}", folder.path().join("sceau.db").display());
            <AnyConnection as sqlx::Connection>::connect(&url)
                .await
                .unwrap()
        }
    }
}
