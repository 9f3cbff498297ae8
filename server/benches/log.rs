//! Entries per second through the server's writer with durability on, beside raw `fdatasync` and a plain SQLite insert of the same bytes on the same
//! disk in the same run; and how long a checkpoint takes meanwhile. `cargo xtask bench log`.
//!
//! An entry is what `Desk::note` writes: canonical, with one salted commitment, its leaf and the nodes that it completes, in SQLite with
//! `synchronous=FULL`, each caller answered after the commit that holds it (group commit, 256 at most).
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

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sceau_proof::log::note::{KeyKind, SigningKey as LogKey};
use sceau_proof::permit::SigningKey as PermitKey;
use sceau_server::attestation::{Judge, load_anchors};
use sceau_server::desk::{Desk, Settings, Witnessing};
use sceau_server::policy::{Policy, Source};
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use sceau_server::rate::Limits;
use sceau_server::store::{Durability, Store, StoreOptions};
use sqlx::Connection as _;
use time::OffsetDateTime;

use authenticator::Manufacturer;

const RP_ID: &str = "sceau.example";
const POLICY: &str = r#"@id("sign-in")
permit (principal, action == Action::"session.open", resource);"#;
/// Callers at one time, and entries of each.
const CALLERS: usize = 1024;
const EACH: usize = 40;
const GOAL: f64 = 10_000.0;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

struct System;

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| NoRandomness)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let raw = fdatasync_rate(folder.path());
    let plain = runtime.block_on(plain_inserts(folder.path()));
    let (rate, p99) = runtime.block_on(entries(folder.path()));
    println!(
        "disk: {raw:.0} fdatasync/s (300 bytes appended each time), {}",
        folder.path().display()
    );
    println!("plain SQLite insert, WAL, synchronous=FULL, one a commit: {plain:.0}/s");
    println!(
        "entries through the writer, {CALLERS} callers: {rate:.0}/s; a checkpoint meanwhile p99 {:.1} ms",
        p99.as_secs_f64() * 1e3
    );
    let met = rate >= GOAL && p99 <= Duration::from_secs(1);
    println!(
        "goal: {GOAL:.0}/s, checkpoint p99 at most 1 s: {}",
        if met { "met" } else { "MISSED" }
    );
    std::process::exit(i32::from(!met));
}

fn fdatasync_rate(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("raw")).unwrap();
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&[7; 300]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

async fn plain_inserts(folder: &Path) -> f64 {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite:{}?mode=rwc", folder.join("plain.db").display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    for statement in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE entry (idx BIGINT PRIMARY KEY, body BLOB NOT NULL)",
    ] {
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let begun = Instant::now();
    let mut count = 0_i32;
    while begun.elapsed() < Duration::from_secs(1) {
        sqlx::query("INSERT INTO entry (idx, body) VALUES ($1, $2)")
            .bind(count)
            .bind(vec![7_u8; 300])
            .execute(&mut connection)
            .await
            .unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

async fn entries(folder: &Path) -> (f64, Duration) {
    let desk = desk(folder).await;
    let begun = Instant::now();
    let watching = {
        let desk = desk.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            loop {
                let since = Instant::now();
                desk.checkpoint().await.unwrap();
                took.push(since.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
                if took.len() >= 50 && begun.elapsed() > Duration::from_secs(2) {
                    took.sort_unstable();
                    return took[took.len() * 99 / 100];
                }
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let person = format!("person-{caller}").parse().unwrap();
                    let data = [("records".to_owned(), 1.into())].into_iter().collect();
                    desk.note("gate.metered", Some(person), data).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let rate = (CALLERS * EACH) as f64 / begun.elapsed().as_secs_f64();
    (rate, watching.await.unwrap())
}

async fn desk(folder: &Path) -> Desk {
    let anchors = folder.join("anchors");
    std::fs::create_dir(&anchors).unwrap();
    std::fs::write(anchors.join("test.pem"), Manufacturer::new().root_pem).unwrap();
    let options = StoreOptions {
        url: format!("sqlite:{}", folder.join("sceau.db").display()),
        durability: Durability::Full,
        readers: 4,
    };
    let store = Store::open(&options, true).await.unwrap();
    let origins = vec![format!("sceau-agent://{RP_ID}")];
    let pkcs8 = PermitKey::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let settings = Settings {
        policy: Policy::parse(&[Source::new("bench.cedar", POLICY)]).unwrap(),
        limits: Limits::default(),
        rp_id: RP_ID.to_owned(),
        origins: origins.clone(),
        public_url: format!("https://{RP_ID}"),
        instance: "bench".to_owned(),
        session_lifetime: time::Duration::hours(12),
        invitation_lifetime: time::Duration::hours(1),
        permit_key: PermitKey::from_pkcs8(&pkcs8).unwrap(),
        permit_previous: None,
        log_key: LogKey::from_seed("sceau.example/log", KeyKind::Log, &[7; 32]).unwrap(),
        log_previous: None,
        configuration: None,
        witnessing: Witnessing::default(),
        judge: Judge::new(RP_ID.to_owned(), origins, load_anchors(&anchors).unwrap()).unwrap(),
        cards: None,
        presence: None,
    };
    Desk::start(store, Ports::new(SystemClock, System), settings)
        .await
        .unwrap()
}
