use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use sceau_proof::action::Action;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::presence::Beat;
use sceau_server::action::{ActionRecord, Caller, Outcome, State};
use sceau_server::desk::{
    Asked, AskedByService, BeatAnswer, CancelReason, Desk, DeskError, Found, InboxEvent,
    LoginClaim, NewLogin, Polled, ProofClaim, Pushed, Reader, RefusalReason, RegistrationClaim,
    Returned, StreamChange,
};
use sceau_server::fact::Change;
use sceau_server::id::ServiceId;
use sceau_server::lineage::{Begotten, Relation};
use sceau_server::person::{Person, PersonState};
use sceau_server::port::Clock as _;
use sceau_server::presence::{Goodbye, Why};
use sceau_server::provider::level::Grade;
use sceau_server::reading::Budget;
use sceau_server::session::{Session, SessionKind};
use sceau_server::signal::{Delivery, Status};
use sceau_server::store::oauth::Way;
use sceau_server::workstation::Workstation;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use time::Duration;
use zeroize::Zeroizing;

use crate::authenticator::Credential;
use crate::conformance::{count, log};
use crate::fixture::{AGENT, Owner, Place, RP_ID};

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

/// Asked, sealed, used, in each of the ways that there are.
async fn actions(place: &Place) -> Saboteur {
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let portal = || "portal".parse().unwrap();

    // At the gate: consumed, then reported.
    let record = it
        .step("asked", async || alice.ask(&desk, "account.create").await)
        .await;
    let session = desk.session(&alice.token).await.unwrap().unwrap().id;
    let at = Workstation {
        session,
        address: "192.0.2.1".parse().unwrap(),
        device: Some("desk-1".to_owned()),
    };
    it.step("approved", async || {
        desk.approve_at(record.id, alice.claim(&record), Some(at.clone()))
            .await
    })
    .await;
    it.step("consumed", async || desk.consume(record.id).await)
        .await;
    let begotten = vec![Begotten {
        relation: Relation::Created,
        id: Some("7".to_owned()),
        display: "Jean".to_owned(),
    }];
    it.step("executed", async || {
        let outcome = Outcome::Answered {
            upstream_status: 201,
        };
        desk.record_execution_of(record.id, outcome, begotten.clone())
            .await
    })
    .await;

    // At a service: introspected, then reported.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let permit = it
        .step("permit", async || {
            desk.issue_permit(record.id, portal()).await
        })
        .await;
    let claims = it
        .step("introspected", async || {
            desk.introspect(&permit, &portal(), true).await
        })
        .await;
    assert!(claims.is_some());
    it.step("reported", async || {
        desk.report_begotten(record.id, portal(), begotten.clone())
            .await
    })
    .await;

    // Refused with the session that asked; cancelled; of a copied key.
    let token = alice.sign_in(&desk, SessionKind::Gate).await;
    let session = desk.session(&token).await.unwrap().unwrap().id;
    let caller = Caller::Gate {
        service: portal(),
        session,
    };
    let record = alice.ask_by(&desk, "account.create", caller).await.unwrap();
    it.step("refused", async || {
        let text = Some("not I".to_owned());
        desk.refuse(record.id, alice.id.clone(), RefusalReason::NotMe, text)
            .await
    })
    .await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    it.step("cancelled", async || {
        desk.cancel(record.id, CancelReason::ClientGone).await
    })
    .await;
    let denied = it
        .step("denied", async || alice.ask(&desk, "unheard.of").await)
        .await;
    assert_eq!(denied.state, State::Denied);

    // Signed in, out, suspended.
    let opened = it
        .step("sign-in", async || {
            let place = Some(("192.0.2.1".parse().unwrap(), Some("desk-1".to_owned())));
            desk.open_session_at(alice.id.clone(), SessionKind::Agent, place)
                .await
        })
        .await;
    it.step("signed in", async || {
        alice.approve(&desk, &opened.action).await
    })
    .await;
    let session = desk.session(&opened.token).await.unwrap().unwrap().id;
    it.step("signed out", async || desk.end_session(session).await)
        .await;
    let token = bob.sign_in(&desk, SessionKind::Agent).await;
    let session = desk.session(&token).await.unwrap().unwrap().id;
    it.step("session suspended", async || {
        desk.suspend_session(session, "test").await
    })
    .await;

    // Alerts are said once: also when the first time failed.
    it.step("blocked", async || {
        desk.report_blocked(alice.id.clone(), alice.key).await
    })
    .await;
    it.step("note", async || {
        desk.note("gate.refused", None, Default::default()).await
    })
    .await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.credential.counter.store(1, Ordering::SeqCst);
    let copied = it
        .step_of(1, "copied", async || {
            alice.credential.counter.store(1, Ordering::SeqCst);
            alice.approve(&desk, &record).await
        })
        .await;
    assert_eq!(copied, Err(DeskError::NotVerified));
    it.step("stopping", async || desk.stopping().await).await;
    let entries = log(&desk).await;
    for (kind, times) in [
        ("alert.pin-blocked", 1),
        ("alert.cloned-key", 1),
        ("action.executed", 6),
        ("permit.consumed", 2),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
    it
}

/// Who may do what, given, ended, suspended, erased.
async fn persons(place: &Place) -> Saboteur {
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let invited = json!({"person": {"id": "manon", "display": "Manon", "roles": ["manager"],
        "organisation": "73282932000074", "accounts": [{"service": "portal", "id": "8"}]}});
    let record = sealed(&mut it, &desk, &alice, &[&alice], "key.enroll", invited).await;
    let secret = it
        .step("invitation shown", async || {
            desk.reveal_invitation(record.id).await
        })
        .await
        .unwrap()
        .1;
    let manon = enrol(&mut it, place, &desk, &secret).await;
    let lou = place.invite(&desk, &alice, "lou", "manager").await;

    // A log-in at an identity provider becomes hers.
    let claim = LoginClaim {
        issuer: "https://auth.example".to_owned(),
        idp_id: "idp".to_owned(),
        sub: "s-1".to_owned(),
        acr: "eidas3".to_owned(),
        email: None,
    };
    let opened = it
        .step("log-in asked", async || {
            desk.open_session_after(lou.id.clone(), SessionKind::Gate, Some(claim.clone()))
                .await
        })
        .await;
    it.step("log-in sealed", async || {
        lou.approve(&desk, &opened.action).await
    })
    .await;

    // Facts and roles for a time.
    let until = |minutes: i64| {
        (desk.now() + Duration::minutes(minutes))
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    };
    it.step("imported", async || {
        let changes = vec![
            Change::read("manon", "training", &until(10)).unwrap(),
            Change::read("manon", "role:manager", &until(10)).unwrap(),
        ];
        desk.record_facts(changes, "import").await
    })
    .await;
    it.step("recertified", async || {
        desk.recertify(
            "manager".parse().unwrap(),
            desk.now() + Duration::minutes(20),
        )
        .await
    })
    .await;
    let facts = json!({"facts": [{"person": "manon", "fact": "cleared"}]});
    sealed(&mut it, &desk, &alice, &[&alice], "facts.record", facts).await;

    // The glass is broken, and reviewed.
    let open = json!({"reason": "both managers are ill, accounts must be closed", "role": "emergency", "minutes": 15});
    let broken = sealed(
        &mut it,
        &desk,
        &manon,
        &[&alice, &bob],
        "break-glass.open",
        open,
    )
    .await;
    let review = broken.result.unwrap()["review"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let review = desk.action(review).await.unwrap().unwrap();
    it.step("reviewed", async || alice.approve(&desk, &review).await)
        .await;

    // Whoever begot falls with what they begot, and comes back.
    let lineage = desk.lineage(&manon.id, 100).await.unwrap().unwrap();
    let set = json!({ "sha256": lineage.sha256, "persons": lineage.totals.persons });
    let params = json!({"person": "manon", "cascade": true, "set": set});
    lou.ask(&desk, "account.create").await.unwrap();
    manon.ask(&desk, "account.create").await.unwrap();
    sealed(&mut it, &desk, &alice, &[&alice], "person.suspend", params).await;
    let params = json!({"person": "manon", "subtree": true});
    sealed(&mut it, &desk, &alice, &[&alice], "person.restore", params).await;
    manon.sign_in(&desk, SessionKind::Agent).await;
    let revoked = json!({ "key_id": manon.key, "reason": "lost" });
    sealed(&mut it, &desk, &alice, &[&alice], "key.revoke", revoked).await;
    let record = lou.ask(&desk, "account.create").await.unwrap();
    let text = Some("I am Lou".to_owned());
    desk.refuse(record.id, lou.id.clone(), RefusalReason::Mistake, text)
        .await
        .unwrap();
    // Another key in the place of hers, which falls with the first use of the other; then she leaves.
    let person = json!({"id": "lou", "first_use": true, "replaces": lou.key});
    let record = sealed(
        &mut it,
        &desk,
        &alice,
        &[&alice],
        "key.enroll",
        json!({ "person": person }),
    )
    .await;
    let secret = desk.reveal_invitation(record.id).await.unwrap().unwrap().1;
    let lou = waiting(place, &desk, &secret).await;
    let opened = desk.open_session(lou.id.clone(), SessionKind::Agent).await;
    let opened = opened.unwrap();
    it.step("first use in the place of another", async || {
        lou.approve(&desk, &opened.action).await
    })
    .await;
    let params = json!({"person": "lou", "leaves": true});
    sealed(
        &mut it,
        &desk,
        &alice,
        &[&alice],
        "person.suspend",
        params.clone(),
    )
    .await;
    sealed(&mut it, &desk, &alice, &[&alice], "person.erase", params).await;

    // What ends by time ends in whatever transaction comes next.
    bob.ask(&desk, "account.create").await.unwrap();
    drop(desk);
    place.clock.shift(Duration::minutes(30));
    let desk = start(&mut it, place, "b").await;
    let entries = log(&desk).await;
    for (kind, times) in [
        ("person.suspended", 2),
        ("person.restored", 1),
        ("person.erased", 1),
        ("key.revoked", 3),
        ("right.expired", 3),
        ("alert.break-glass", 1),
        ("action.expired", 1),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
    it
}

/// Streams of signals, kept, opened, changed, fetched from, closed.
async fn signals(it: &mut Saboteur, place: &Place, desk: &Desk) {
    let (portal, other): (ServiceId, ServiceId) =
        ("portal".parse().unwrap(), "other".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "key = \"{}\"\n[[receiver]]\nservice = \"portal\"\n[[receiver]]\nservice = \"other\"\nstanding = false",
        folder.path().join("signal.pem").display()
    );
    let settings = toml::from_str(&text).unwrap();
    let signals = sceau_server::signal::Signals::start(desk.clone(), &settings)
        .await
        .unwrap();
    let opened = it
        .step("stream opened", async || {
            desk.open_signal_stream(other.clone(), Delivery::Poll, Vec::new(), None)
                .await
        })
        .await;
    let change = StreamChange {
        status: Some((Status::Disabled, None)),
        ..StreamChange::default()
    };
    it.step("stream changed", async || {
        desk.change_signal_stream(other.clone(), change.clone())
            .await
    })
    .await;
    let alice = sceau_server::lineage::Node::Person("alice".parse().unwrap());
    for out in [true, false, true] {
        it.step("subject", async || {
            desk.exclude_subject(other.clone(), alice.clone(), out)
                .await
        })
        .await;
    }
    for _ in 0..2 {
        place.clock.shift(Duration::seconds(11));
        it.step("verification", async || {
            desk.verify_signal_stream(portal.clone(), Some("x".to_owned()))
                .await
        })
        .await;
    }
    let stream = desk.signal_stream(&portal).await.unwrap().unwrap();
    let poll = async |ack: Vec<String>| {
        let asked = sceau_server::signal::Poll {
            return_immediately: true,
            ack,
            ..Default::default()
        };
        signals.poll(&stream, asked).await
    };
    let names: Vec<String> = poll(Vec::new()).await.unwrap().sets.into_keys().collect();
    assert!(names.len() > 1, "{names:?}");
    for ack in [&names[1..2], &names[..]] {
        it.step("taken", async || poll(ack.to_vec()).await).await;
    }
    it.step("stream closed", async || {
        desk.close_signal_stream(other.clone()).await
    })
    .await;
    assert_ne!(opened.id, stream.id);
}

/// Counted reading, sign-ins for the federation, keys that have to stay.
async fn sessions(place: &mut Place) -> Saboteur {
    place.presence =
        Some(toml::from_str("interval = \"15s\"\naway = \"1m\"\ntouch = \"40s\"").unwrap());
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let agent = desk.session(&alice.token).await.unwrap().unwrap();
    let opened = desk
        .open_session(alice.id.clone(), SessionKind::Gate)
        .await
        .unwrap();
    it.step("sign-in at the gate", async || {
        alice.approve(&desk, &opened.action).await
    })
    .await;
    let gate = desk.session(&opened.token).await.unwrap().unwrap().id;

    // A proof, a delay, a goodbye, a proof too late.
    let asked = async |it: &mut Saboteur, agent: &Session| -> Asked {
        let mut inbox = it
            .step("asked for a proof", async || {
                desk.subscribe_session(agent).await
            })
            .await;
        loop {
            if let InboxEvent::Presence(asked) = inbox.next().await.unwrap() {
                return *asked;
            }
        }
    };
    let proof = |asked: &Asked| {
        let sessions = asked.sessions.iter().map(|id| id.0).collect();
        let beat = Beat::new(asked.nonce, asked.key.0, sessions).unwrap();
        let client_data_json = beat.client_data(AGENT);
        let counter = alice.credential.counter.fetch_add(1, Ordering::SeqCst);
        let (authenticator_data, signature) = alice.credential.sign(&client_data_json, 0, counter);
        ProofClaim {
            nonce: asked.nonce,
            answer: BeatAnswer::Assertion(AssertionResponse {
                client_data_json,
                authenticator_data,
                signature,
                credential_id: None,
            }),
        }
    };
    let first = asked(&mut it, &agent).await;
    it.step("proven", async || {
        desk.prove_presence(&agent, proof(&first)).await
    })
    .await;
    let pending = alice.ask(&desk, "account.create").await.unwrap();
    let second = asked(&mut it, &agent).await;
    it.step("delayed", async || {
        desk.delay_presence(&agent, second.nonce, pending.id).await
    })
    .await;
    it.step("gone", async || {
        desk.end_presence(&agent, alice.key, Goodbye::Locked).await
    })
    .await;
    it.step("pulled", async || {
        desk.end_presence(&agent, alice.key, Goodbye::Removed).await
    })
    .await;

    // Bob's key cannot say anything in silence.
    bob.sign_in(&desk, SessionKind::Gate).await;
    let other = desk.session(&bob.token).await.unwrap().unwrap();
    let third = asked(&mut it, &other).await;
    it.step("cannot prove", async || {
        desk.presence_unable(&other, third.nonce, Why::Refused)
            .await
    })
    .await;

    // Reading, by slices.
    let reader = || Reader {
        service: "portal".parse().unwrap(),
        person: alice.id.clone(),
        session: gate,
        budget: Budget {
            records: 100,
            window: Duration::minutes(15),
            roles: Default::default(),
            action: "records.read".to_owned(),
        },
    };
    let found = |identity: &str| {
        vec![Found {
            identity: identity.to_owned(),
            records: 1,
        }]
    };
    it.step("read", async || {
        desk.count_reading(reader(), found("1")).await
    })
    .await;

    // A sign-in at a service of the federation.
    let request = json!({"client_id": "federation", "redirect_uri": "https://federation.example/back", "state": null, "nonce": null,
        "scope": ["openid"], "wanted": [], "again": false, "silent": false, "max_age": null, "login_hint": null, "sp_id": null, "sp_name": null,
        "code_challenge": null, "sha256": sceau_proof::base64url::encode([7; 32])});
    let browser = Zeroizing::new("browser".to_owned());
    let asks = || NewLogin {
        browser: browser.clone(),
        request: serde_json::from_value(request.clone()).unwrap(),
        person: Some(alice.id.clone()),
        action: Some(alice.wants("account.create")),
    };
    let login = it
        .step("login asked", async || {
            desk.open_login(asks(), "portal".parse().unwrap()).await
        })
        .await;
    let record = desk.action(login.action.unwrap()).await.unwrap().unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let hour = Duration::hours(1);
    let code = it
        .step("login sealed", async || {
            desk.sign_in(login.id, &browser, false, Grade::High, hour)
                .await
        })
        .await
        .code;
    let redeem = async || {
        desk.redeem(&code, "federation", "https://federation.example/back", None)
            .await
    };
    it.step("redeemed", redeem).await;
    let again = it.step_of(1, "redeemed again", redeem).await;
    assert!(again.is_err(), "a code serves once");
    it.step("browser forgotten", async || {
        desk.forget_browser(&browser).await
    })
    .await;

    // What a service asks for by OAuth, by redirect and by polling.
    let portal: ServiceId = "portal".parse().unwrap();
    let until = place.clock.now() + Duration::minutes(5);
    let shown = async || desk.take_assertion(&portal, "j-1", until).await;
    assert!(it.step("assertion taken", shown).await);
    assert!(!it.step("assertion replayed", shown).await);
    it.step("service's token", async || {
        desk.service_token(&portal).await
    })
    .await;
    let pushed = async |it: &mut Saboteur, way: &Way| -> (Zeroizing<String>, ActionRecord) {
        let asked = || AskedByService {
            action: alice.wants("account.create"),
            way: way.clone(),
            levels: Vec::new(),
            patience: None,
        };
        match it.step("pushed", async || desk.push(asked()).await).await {
            Pushed::Open { handle, record, .. } => (handle, record),
            Pushed::Denied(record) => panic!("{record:?}"),
        }
    };
    let verifier = "a-verifier-of-at-least-forty-three-characters";
    let back = "https://portal.example/back";
    let redirect = Way::Redirect {
        redirect_uri: back.to_owned(),
        state: None,
        code_challenge: sceau_proof::base64url::encode(sceau_proof::log::entry::sha256(
            verifier.as_bytes(),
        )),
        bound: None,
    };
    let (handle, record) = pushed(&mut it, &redirect).await;
    let begun = it
        .step("browser came", async || {
            desk.begin_authorization(&handle, &portal, "browser").await
        })
        .await;
    alice.approve(&desk, &record).await.unwrap();
    let returned = it
        .step("browser led back", async || {
            desk.return_browser(begun.id, "browser").await
        })
        .await;
    let Returned::Code(_, code) = returned else {
        panic!("{returned:?}")
    };
    let redeem = async || desk.redeem_code(&code, &portal, back, verifier, None).await;
    it.step("code redeemed", redeem).await;
    let again = it.step_of(1, "code redeemed again", redeem).await;
    assert!(again.is_err(), "a code serves once");
    let (handle, record) = pushed(&mut it, &Way::Backchannel).await;
    let poll = async || desk.poll(&handle, &portal, None).await;
    assert_eq!(it.step("polled", poll).await, Polled::Pending);
    assert_eq!(it.step("polled too fast", poll).await, Polled::SlowDown);
    alice.approve(&desk, &record).await.unwrap();
    place.clock.shift(Duration::seconds(11));
    let granted = it.step("polled for the permit", poll).await;
    assert!(matches!(granted, Polled::Granted(_)), "{granted:?}");

    // Too many: said once, also when saying it failed.
    let mut few = place.clone_for_another_desk();
    few.limits.asked = 1;
    let limited = few.desk("few").await.unwrap();
    let refused = it
        .step_of(1, "limited", async || {
            alice.ask(&limited, "account.create").await
        })
        .await;
    assert!(matches!(refused, Err(DeskError::Limited { .. })));
    assert_eq!(count(&log(&desk).await, "alert.limited"), 1);
    drop(limited);
    signals(&mut it, place, &desk).await;
    drop(desk);

    // Days later: what is kept for a time is forgotten.
    place.clock.shift(Duration::days(2));
    let desk = start(&mut it, place, "b").await;
    it.step("read later", async || {
        desk.count_reading(reader(), found("2")).await
    })
    .await;
    it.step("login later", async || {
        desk.open_login(asks(), "portal".parse().unwrap()).await
    })
    .await;
    let until = place.clock.now() + Duration::minutes(5);
    it.step("assertion later", async || {
        desk.take_assertion(&portal, "j-1", until).await
    })
    .await;
    it.step("service's token later", async || {
        desk.service_token(&portal).await
    })
    .await;
    it.step("pushed later", async || {
        desk.push(AskedByService {
            action: alice.wants("account.create"),
            way: Way::Backchannel,
            levels: Vec::new(),
            patience: None,
        })
        .await
    })
    .await;
    let entries = log(&desk).await;
    for kind in [
        "oauth.assertion-replayed",
        "oauth.code-replayed",
        "presence.lost",
        "presence.unable",
        "reading.slice",
        "provider.code-replayed",
    ] {
        assert!(count(&entries, kind) > 0, "{kind}");
    }
    it
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
