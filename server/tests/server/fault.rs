mod action;
mod person;
mod session;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sceau_proof::action::Action;
use sceau_server::action::{ActionRecord, State};
use sceau_server::desk::{CancelReason, Desk, DeskError, RegistrationClaim};
use sceau_server::person::{Person, PersonState};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use zeroize::Zeroizing;

use crate::authenticator::Credential;
use crate::conformance::log;
use crate::fixture::{AGENT, Owner, Place, RP_ID};
use action::actions;
use person::persons;
use session::sessions;

/// Writes that no step of this test makes, and why.
const ELSEWHERE: [(&str, &str, &str); 7] = [
    (
        "INSERT",
        "migration",
        "while a store is opened, before anything is decided",
    ),
    ("INSERT", "log_head", "with the migrations"),
    (
        "INSERT",
        "log_node",
        "by the 256th entry: `writing_the_log_itself`",
    ),
    (
        "INSERT",
        "metadata_list",
        "`metadata`: a list that is not kept is not believed",
    ),
    (
        "INSERT",
        "log_checkpoint",
        "offered again by whoever publishes (docs/log.md)",
    ),
    (
        "DELETE",
        "presence",
        "by the background, when proofs have run out: `presence`",
    ),
    ("DELETE", "log_checkpoint", "with it"),
];

/// Of streams: entries come again (docs/log.md), which `log` shows.
const STREAM: (&str, &str) = ("INSERT", "stream_cursor");

/// Another process with the database open, which makes the server's writes fail: triggers in the file itself, so that the store's own statements break,
/// after they have written.
struct Saboteur {
    connection: sqlx::AnyConnection,
    tables: Vec<(String, Vec<String>)>,
    steps: Vec<(String, u32)>,
}

impl Saboteur {
    async fn arm(url: &str) -> Self {
        sqlx::any::install_default_drivers();
        let connection = sqlx::AnyConnection::connect(url).await.unwrap();
        let mut it = Self {
            connection,
            tables: Vec::new(),
            steps: Vec::new(),
        };
        let names = it
            .texts("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
            .await;
        for name in names {
            let columns = it
                .texts(&format!("SELECT name FROM pragma_table_info('{name}')"))
                .await;
            it.tables.push((name, columns));
        }
        let mut script = String::from(
            "CREATE TABLE zz_plan (n INTEGER NOT NULL, stop INTEGER NOT NULL, late INTEGER NOT NULL);
             INSERT INTO zz_plan VALUES (0, 0, 0);
             CREATE TABLE zz_done (op TEXT NOT NULL, name TEXT NOT NULL);
             CREATE TABLE zz_no (id INTEGER PRIMARY KEY);
             CREATE TABLE zz_late (id INTEGER REFERENCES zz_no (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER zz_commit AFTER UPDATE OF size ON log_head WHEN (SELECT late FROM zz_plan) = 1
             BEGIN INSERT INTO zz_late VALUES (1); END;",
        );
        for (table, _) in &it.tables {
            for op in ["INSERT", "UPDATE", "DELETE"] {
                write!(
                    script,
                    "CREATE TRIGGER zz_{op}_{table} AFTER {op} ON {table} BEGIN
                       INSERT INTO zz_done SELECT '{op}', '{table}'
                         WHERE NOT EXISTS (SELECT 1 FROM zz_done WHERE op = '{op}' AND name = '{table}');
                       UPDATE zz_plan SET n = n + 1;
                       SELECT RAISE(ABORT, 'sabotage') FROM zz_plan WHERE n = stop;
                     END;"
                )
                .unwrap();
            }
        }
        it.execute(&script).await;
        it
    }

    async fn execute(&mut self, script: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script.to_owned()))
            .execute(&mut self.connection)
            .await
            .unwrap();
    }

    async fn texts(&mut self, sql: &str) -> Vec<String> {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut self.connection)
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get::<String, _>(0).unwrap())
            .collect()
    }

    /// Breaks the write of this number, counted from 1, and, with `late`, the commit; 0: none.
    async fn plan(&mut self, stop: u32, late: bool) {
        let late = u8::from(late);
        self.execute(&format!(
            "UPDATE zz_plan SET n = 0, stop = {stop}, late = {late}"
        ))
        .await;
    }

    /// Everything that the store holds.
    async fn everything(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for (table, columns) in self.tables.clone() {
            let columns: Vec<String> = columns
                .iter()
                .map(|column| format!("quote({column})"))
                .collect();
            let sql = format!(
                "SELECT '{table}: ' || {} FROM {table} ORDER BY 1",
                columns.join(" || ' ' || ")
            );
            all.extend(self.texts(&sql).await);
        }
        all
    }

    /// Transactions that were ever committed.
    async fn batches(&mut self) -> i64 {
        sqlx::query("SELECT batch FROM log_head")
            .fetch_one(&mut self.connection)
            .await
            .unwrap()
            .try_get(0)
            .unwrap()
    }

    /// Does one thing with each of its writes broken in turn, then its commit, and then whole. What fails says `Unavailable`, and leaves the store as it
    /// was: no state, no entry. (`transactions`: of several in a row those that were committed before stand.)
    async fn step_of<T>(
        &mut self,
        transactions: i64,
        what: &str,
        work: impl AsyncFn() -> Result<T, DeskError>,
    ) -> Result<T, DeskError> {
        let mut writes = 0;
        let mut late = true;
        loop {
            let (before, batches) = (self.everything().await, self.batches().await);
            self.plan(if late { 0 } else { writes + 1 }, late).await;
            let done = work().await;
            self.plan(0, false).await;
            if done.as_ref().err() == Some(&DeskError::Unavailable) {
                let whole = self.batches().await - batches;
                assert!(
                    whole < transactions,
                    "{what}: said to have failed, and committed"
                );
                if whole == 0 {
                    let after = self.everything().await;
                    let other = after.iter().find(|row| !before.contains(row));
                    assert_eq!(before, after, "{what}, write {}: {other:?}", writes + 1);
                }
            } else if late {
                panic!("{what}: done although its commit failed");
            } else {
                assert!(writes > 0, "{what} wrote nothing");
                self.steps.push((what.to_owned(), writes));
                return done;
            }
            writes += u32::from(!late);
            late = false;
        }
    }

    async fn step<T>(&mut self, what: &str, work: impl AsyncFn() -> Result<T, DeskError>) -> T {
        self.step_of(1, what, work)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// What was broken and then done, as operation and table.
    async fn covered(&mut self) -> BTreeSet<(String, String)> {
        sqlx::query("SELECT op, name FROM zz_done")
            .fetch_all(&mut self.connection)
            .await
            .unwrap()
            .iter()
            .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
            .collect()
    }
}

/// Every write that stands in the server's source, as operation and table.
fn written() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (op, words) in [
                ("INSERT", "INSERT INTO "),
                ("UPDATE", "UPDATE "),
                ("DELETE", "DELETE FROM "),
            ] {
                for rest in text.split(words).skip(1) {
                    let table: String = rest
                        .chars()
                        .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                        .collect();
                    if !table.is_empty() && rest[table.len()..].starts_with([' ', '\n']) {
                        found.insert((op.to_owned(), table));
                    }
                }
            }
        }
    }
    found
}

fn claim(place: &Place, document: &str) -> (Credential, RegistrationClaim) {
    let challenge = Action::parse(document.as_bytes()).unwrap().challenge();
    let (credential, client_data_json, attestation_object) =
        Credential::make(&place.manufacturer, RP_ID, AGENT, challenge.as_bytes());
    let claim = RegistrationClaim {
        client_data_json,
        attestation_object,
        transports: vec!["usb".to_owned()],
        label: None,
    };
    (credential, claim)
}

/// An action of the server's own, asked for by one person and sealed by these, each step broken first.
async fn sealed(
    it: &mut Saboteur,
    desk: &Desk,
    asks: &Owner,
    by: &[&Owner],
    kind: &str,
    params: Value,
) -> ActionRecord {
    let caller = asks.caller(desk).await;
    let mut record = it
        .step(kind, async || {
            desk.open_action(asks.wants_own(kind, &params), caller.clone())
                .await
        })
        .await;
    for owner in by {
        let what = format!("{kind}, {} approves", owner.id);
        record = it
            .step(&what, async || owner.approve(desk, &record).await)
            .await;
    }
    assert_eq!(record.state, State::Executed, "{kind}");
    record
}

async fn store(place: &Place) -> Saboteur {
    drop(crate::log::open(&place.url).await);
    Saboteur::arm(&place.url).await
}

/// An instance starts: what stands in its way is broken too.
async fn start(it: &mut Saboteur, place: &Place, name: &str) -> Desk {
    it.step_of(4, "start", async || place.desk(name).await)
        .await
        .unwrap()
}

/// From an invitation to a key.
async fn enrol(it: &mut Saboteur, place: &Place, desk: &Desk, secret: &str) -> Owner {
    let opened = it
        .step("enrolment opened", async || {
            desk.open_enrolment(secret).await
        })
        .await;
    let (credential, claim) = claim(place, &opened.action.document);
    let registered = it
        .step("key registered", async || {
            desk.register(opened.id, secret, claim.clone()).await
        })
        .await
        .unwrap();
    Owner {
        id: opened.person.id,
        key: registered.key.id,
        credential,
        token: registered.session.unwrap().1,
    }
}

/// A key that waits for its person, handed out without breaking anything.
async fn waiting(place: &Place, desk: &Desk, secret: &str) -> Owner {
    let opened = desk.open_enrolment(secret).await.unwrap();
    let (credential, claim) = claim(place, &opened.action.document);
    let registered = desk.register(opened.id, secret, claim).await;
    Owner {
        id: opened.person.id,
        key: registered.unwrap().unwrap().key.id,
        credential,
        token: Zeroizing::new(String::new()),
    }
}

async fn founded(it: &mut Saboteur, place: &Place, desk: &Desk) -> (Owner, Owner) {
    let person = |id: &str| Person {
        id: id.parse().unwrap(),
        display: id.to_owned(),
        roles: ["administrator".parse().unwrap()].into(),
        state: PersonState::Inert,
        parent: None,
    };
    let secrets = it
        .step("founded", async || {
            desk.found(vec![person("alice"), person("bob")]).await
        })
        .await;
    let alice = enrol(it, place, desk, &secrets[0].2).await;
    (alice, place.enrol(desk, &secrets[1].2).await)
}

fn sqlite(folder: &tempfile::TempDir) -> Place {
    Place::new(format!("sqlite:{}", folder.path().join("s.db").display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_write_fails_nothing_is_kept_and_no_entry_is_there() {
    let mut covered = BTreeSet::new();
    let (mut steps, mut broken) = (0, 0);
    for story in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut place = sqlite(&folder);
        place.configuration = Some([9; 32]);
        let mut it = match story {
            0 => actions(&place).await,
            1 => persons(&place).await,
            _ => sessions(&mut place).await,
        };
        covered.extend(it.covered().await);
        steps += it.steps.len();
        broken += it.steps.iter().map(|(_, writes)| writes + 1).sum::<u32>();
    }
    let elsewhere = |op: &str, table: &str| {
        (op, table) == STREAM || ELSEWHERE.iter().any(|it| (it.0, it.1) == (op, table))
    };
    let missing: Vec<_> = written()
        .into_iter()
        .filter(|write| !covered.contains(write) && !elsewhere(&write.0, &write.1))
        .collect();
    assert!(missing.is_empty(), "never broken: {missing:?}");
    eprintln!(
        "{steps} steps, {broken} times broken, {} kinds of write",
        covered.len()
    );
    assert!(
        steps > 60 && broken > 400,
        "{steps} steps, {broken} times broken"
    );
}

/// The writes that the log itself needs, with a full tile among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_the_log_itself() {
    let folder = tempfile::tempdir().unwrap();
    let place = sqlite(&folder);
    let mut it = store(&place).await;
    let desk = place.desk("a").await.unwrap();
    for _ in 0..300 {
        let size = it.batches().await;
        let note = async || desk.note("gate.refused", None, Default::default()).await;
        let full = log(&desk).await.len() % 256 == 255;
        if full {
            it.step("the entry that fills a tile", note).await;
            break;
        }
        note().await.unwrap();
        assert_eq!(it.batches().await, size + 1);
    }
    let covered = it.covered().await;
    assert!(covered.contains(&("INSERT".to_owned(), "log_node".to_owned())));
    assert_eq!(it.steps, [("the entry that fills a tile".to_owned(), 4)]);
    assert_eq!(log(&desk).await.len(), 256);
}

/// What refuses after it has written takes back what it wrote, and no other command of its batch with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_the_middle_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = sqlite(&folder);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    place.invite(&desk, &alice, "carl", "manager").await;
    let mut it = Saboteur::arm(&place.url).await;
    let caller = alice.caller(&desk).await;
    // Erasing asks that the person is suspended, which is known to be false only once it is approved.
    let record = desk
        .open_action(
            alice.wants_own("person.erase", &json!({"person": "carl"})),
            caller,
        )
        .await
        .unwrap();
    let other = alice.ask(&desk, "account.create").await.unwrap();
    let before = it.everything().await;
    let refused = alice.approve(&desk, &record).await;
    assert!(
        matches!(refused, Err(DeskError::Malformed(_))),
        "{refused:?}"
    );
    assert_eq!(before, it.everything().await);
    let (refused, approved) = tokio::join!(
        alice.approve(&desk, &record),
        desk.cancel(other.id, CancelReason::ClientGone)
    );
    assert!(refused.is_err() && approved.is_ok());
    let record = desk.action(record.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.approvals.len()), (State::Pending, 0));
}
