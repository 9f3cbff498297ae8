//! A hijacked administrator with 100 persons and 10,000 accounts beneath: how long the preview takes, how long the one touch that stops all of
//! it, and how soon the first and the last of them are refused at the gate's own questions. `cargo xtask bench lineage`.
//!
//! The store is SQLite with synchronous=FULL, on the disk beneath `target`: the suspension's time includes its fsync. Everybody has a key that
//! was enrolled and a live session; 100,000 further persons are there and must not matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench owns its clock, fails loudly and prints"
)]

#[path = "../tests/gate/authenticator.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod authenticator;
#[path = "../tests/server/fixture.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod fixture;

use std::time::{Duration, Instant};

use sceau_server::action::{NewAction, Outcome, Target};
use sceau_server::desk::Desk;
use sceau_server::lineage::{Begotten, Relation};
use sceau_server::policy::OWN_SERVICE;
use serde_json::{Value, json};
use sqlx::Connection as _;

use fixture::{Owner, Place};

const MANAGERS: usize = 100;
const EACH: usize = 100;
const OTHERS: usize = 100_000;
const PREVIEW: Duration = Duration::from_millis(300);
const SUSPENSION: Duration = Duration::from_secs(1);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let met = runtime.block_on(measure());
    std::process::exit(i32::from(!met));
}

async fn measure() -> bool {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    bystanders(&place.url).await;
    let mut managers = Vec::new();
    for number in 0..MANAGERS {
        let id = format!("manager-{number}");
        let manager = place.invite(&desk, &bob, &id, "manager").await;
        beget(&desk, &manager, number).await;
        managers.push(manager);
    }

    let mut previews = Vec::new();
    let mut seen = None;
    for _ in 0..5 {
        let start = Instant::now();
        seen = desk.lineage(&bob.id, 1_000).await.unwrap();
        previews.push(start.elapsed());
    }
    previews.sort();
    let seen = seen.unwrap();
    println!(
        "beneath one person: {} persons, {} accounts, {} live sessions, {} keys; beside them {OTHERS} others",
        seen.totals.persons - 1,
        seen.totals.accounts,
        seen.totals.sessions,
        seen.totals.keys
    );
    let (first_preview, preview) = (previews[previews.len() - 1], previews[previews.len() / 2]);
    println!(
        "preview: median {preview:.1?}, slowest {first_preview:.1?} of {}",
        previews.len()
    );

    let asked = NewAction {
        kind: "person.suspend".to_owned(),
        service: OWN_SERVICE.parse().unwrap(),
        requester: alice.id.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: "bob".to_owned(),
            display: "Bob".to_owned(),
        },
        params: object(json!({"person": "bob", "cascade": true, "set": {"sha256": seen.sha256}})),
        request: None,
        words: None,
    };
    let caller = alice.caller(&desk).await;
    let start = Instant::now();
    let record = desk.open_action(asked, caller).await.unwrap();
    let opened = start.elapsed();
    let claim = alice.claim(&record);
    let mut endings = desk.endings();
    endings.mark_unchanged();
    let touched = Instant::now();
    let record = desk.approve(record.id, claim).await.unwrap();
    let suspended = touched.elapsed();
    endings.changed().await.unwrap();
    let portal = "portal".parse().unwrap();
    for account in ["0-0", "99-99"] {
        assert!(
            desk.is_account_suspended(&portal, account).await.unwrap(),
            "{account}"
        );
    }
    for manager in [&managers[0], &managers[MANAGERS - 1]] {
        let session = desk.session(&manager.token).await.unwrap().unwrap();
        assert!(!session.is_active(), "{}", manager.id);
    }
    let refused = touched.elapsed();
    let result = record.result.unwrap();
    assert_eq!(
        (&result["persons"], &result["accounts"]),
        (&json!(MANAGERS + 1), &json!(MANAGERS * EACH)),
        "{result}"
    );
    println!("opened (digest compared): {opened:.1?}");
    println!("suspended, one transaction, durable: {suspended:.1?}");
    println!("first and last of them refused: {refused:.1?} after the touch");
    let met = first_preview < PREVIEW && suspended < SUSPENSION && refused < SUSPENSION;
    println!(
        "goal: preview under {PREVIEW:?}, suspension under {SUSPENSION:?}, refused within {SUSPENSION:?}: {}",
        if met { "met" } else { "MISSED" }
    );
    met
}

/// Persons who have nothing to do with it, straight into the store.
async fn bystanders(url: &str) {
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    for number in 0..OTHERS {
        let id = format!("bystander-{number}");
        sqlx::query(
            "INSERT INTO person (id, display, state, created_ms) VALUES ($1, $1, 'inert', 0)",
        )
        .bind(id.clone())
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query("INSERT INTO person_role (person, role) VALUES ($1, 'manager')")
            .bind(id)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// One execution that begot accounts, named `<manager>-<number>`.
async fn beget(desk: &Desk, owner: &Owner, manager: usize) {
    let record = owner.ask(desk, "account.create").await.unwrap();
    owner.approve(desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    let begotten = (0..EACH).map(|number| Begotten {
        relation: Relation::Created,
        id: Some(format!("{manager}-{number}")),
        display: format!("Account {manager}-{number}"),
    });
    let outcome = Outcome::Answered {
        upstream_status: 201,
    };
    desk.record_execution_of(record.id, outcome, begotten.collect())
        .await
        .unwrap();
}
