//! Durable approvals per second through the HTTP API, with 1, 8 and 64 callers, beside the same run with durability off and the raw
//! `fdatasync` rate of the same disk. `cargo xtask bench approval`.
//!
//! Every approval is real: a software P-256 key enrolled through the API's own desk with an attestation that is verified, an
//! assertion signed beforehand, HTTP/1.1 on a kept connection over loopback, verified, written with its log entries, committed. Client and
//! server share the machine's cores, in both runs alike.
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
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use sceau_proof::action::Action;
use sceau_proof::base64url;
use sceau_proof::log::note::{KeyKind, SigningKey as LogKey};
use sceau_proof::permit::SigningKey as PermitKey;
use sceau_server::action::{Caller, NewAction, Target};
use sceau_server::api::Api;
use sceau_server::attestation::{Judge, load_anchors};
use sceau_server::desk::{Desk, RegistrationClaim, Settings};
use sceau_server::id::KeyId;
use sceau_server::metrics::Metrics;
use sceau_server::person::{Person, PersonState};
use sceau_server::policy::{Policy, Source};
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use sceau_server::rate::{Burst, Limits};
use sceau_server::store::{Durability, Store, StoreOptions};
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};

use authenticator::{Credential, Manufacturer};

const RP_ID: &str = "sceau.example";
const URL: &str = "https://sceau.example";
const AGENT: &str = "sceau-agent://sceau.example";
const SCHEMA: &str = r#"action "account.create" appliesTo { principal: Person, resource: Account, context: Facts };"#;
const POLICY: &str = r#"
@id("seal")
@lifetime("12h")
permit (principal, action == Action::"account.create", resource);
@id("own")
permit (principal, action in [Action::"session.open", Action::"key.register"], resource);
"#;
/// Callers, and approvals of each.
const RUNS: [(usize, usize); 3] = [(1, 400), (8, 100), (64, 60)];
const GOAL: f64 = 0.6;

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

/// A person with a key.
struct Owner {
    id: String,
    key: KeyId,
    token: String,
    credential: Credential,
}

/// One prepared request: target and body.
type Prepared = (String, Bytes);

/// What one number of callers gave.
struct Measured {
    per_second: f64,
    median: Duration,
    p99: Duration,
}

fn main() {
    // `cargo bench` passes `--bench`; nothing else is asked.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let raw = fdatasync_rate(folder.path());
    let durable = runtime.block_on(measure(&folder.path().join("durable"), Durability::Full));
    let loose = runtime.block_on(measure(&folder.path().join("loose"), Durability::DangerOff));
    println!(
        "disk: {raw:.0} fdatasync/s (4 KiB appended each time), {}",
        folder.path().display()
    );
    println!(
        "store: SQLite, WAL; durable: synchronous=FULL (every answer after fsync of the WAL); loose: synchronous=OFF"
    );
    println!(
        "{:>8} {:>12} {:>12} {:>7}   durable p50 / p99",
        "callers", "durable/s", "loose/s", "ratio"
    );
    let mut met = true;
    for (((callers, _), durable), loose) in RUNS.iter().zip(&durable).zip(&loose) {
        let ratio = durable.per_second / loose.per_second;
        println!(
            "{callers:>8} {:>12.0} {:>12.0} {ratio:>7.2}   {:.1} / {:.1} ms",
            durable.per_second,
            loose.per_second,
            durable.median.as_secs_f64() * 1e3,
            durable.p99.as_secs_f64() * 1e3
        );
        met &= *callers != 64 || ratio >= GOAL;
    }
    println!(
        "goal: with 64 callers at least {GOAL} of the rate without durability: {}",
        if met { "met" } else { "MISSED" }
    );
    std::process::exit(i32::from(!met));
}

fn fdatasync_rate(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("raw")).unwrap();
    let block = [7_u8; 4096];
    let start = Instant::now();
    let mut times = 0_u32;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        times += 1;
    }
    f64::from(times) / start.elapsed().as_secs_f64()
}

async fn measure(folder: &Path, durability: Durability) -> Vec<Measured> {
    std::fs::create_dir(folder).unwrap();
    let manufacturer = Manufacturer::new();
    let desk = desk(folder, durability, &manufacturer).await;
    let owners = Arc::new(enrol(&desk, &manufacturer).await);
    let strangers = Burst::new(1, time::Duration::SECOND);
    let api = Api::new(
        desk.clone(),
        Vec::new(),
        "Sceau",
        strangers,
        Arc::new(Metrics::default()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(sceau_server::listen::serve(
        listener,
        None,
        api.router(),
        1000,
        std::future::pending(),
    ));
    let mut measured = Vec::new();
    for (callers, each) in RUNS {
        let mut prepared = Vec::new();
        for owner in owners.iter().take(callers) {
            prepared.push(prepare(&desk, owner, each));
        }
        let prepared = futures_util::future::join_all(prepared).await;
        let barrier = Arc::new(tokio::sync::Barrier::new(callers + 1));
        let tasks: Vec<_> = prepared
            .into_iter()
            .enumerate()
            .map(|(caller, requests)| {
                let (owners, barrier) = (Arc::clone(&owners), Arc::clone(&barrier));
                tokio::spawn(async move {
                    call(address, &owners[caller].token, requests, &barrier).await
                })
            })
            .collect();
        barrier.wait().await;
        let start = Instant::now();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.unwrap());
        }
        let took = start.elapsed();
        latencies.sort();
        let at = |part: usize| latencies[(latencies.len() - 1) * part / 100];
        let approvals = u32::try_from(callers * each).unwrap();
        measured.push(Measured {
            per_second: f64::from(approvals) / took.as_secs_f64(),
            median: at(50),
            p99: at(99),
        });
    }
    measured
}

async fn desk(folder: &Path, durability: Durability, manufacturer: &Manufacturer) -> Desk {
    let anchors = folder.join("anchors");
    std::fs::create_dir(&anchors).unwrap();
    std::fs::write(anchors.join("test.pem"), &manufacturer.root_pem).unwrap();
    let options = StoreOptions {
        url: format!("sqlite:{}", folder.join("sceau.db").display()),
        durability,
        readers: 4,
    };
    let store = Store::open(&options, true).await.unwrap();
    let origins = vec![AGENT.to_owned(), URL.to_owned()];
    let pkcs8 = PermitKey::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let many = 1_000_000;
    let settings = Settings {
        policy: Policy::parse(&[
            Source::new("actions.cedarschema", SCHEMA),
            Source::new("bench.cedar", POLICY),
        ])
        .unwrap(),
        limits: Limits {
            pending: many,
            asked: many,
            refused: many,
            ..Limits::default()
        },
        rp_id: RP_ID.to_owned(),
        origins: origins.clone(),
        public_url: URL.to_owned(),
        instance: "bench".to_owned(),
        session_lifetime: time::Duration::hours(12),
        invitation_lifetime: time::Duration::hours(1),
        permit_key: PermitKey::from_pkcs8(&pkcs8).unwrap(),
        permit_previous: None,
        log_key: LogKey::from_seed("sceau.example/log", KeyKind::Log, &[7; 32]).unwrap(),
        log_previous: None,
        configuration: None,
        witnessing: sceau_server::desk::Witnessing::default(),
        judge: Judge::new(RP_ID.to_owned(), origins, load_anchors(&anchors).unwrap()).unwrap(),
        cards: None,
        presence: None,
    };
    Desk::start(store, Ports::new(SystemClock, System), settings)
        .await
        .unwrap()
}

async fn enrol(desk: &Desk, manufacturer: &Manufacturer) -> Vec<Owner> {
    let most = RUNS.iter().map(|(callers, _)| *callers).max().unwrap();
    let persons = (0..most)
        .map(|n| Person {
            id: format!("person-{n}").parse().unwrap(),
            display: format!("Person {n}"),
            roles: std::collections::BTreeSet::new(),
            state: PersonState::Inert,
            parent: None,
        })
        .collect();
    let mut owners = Vec::new();
    for (person, enrolment, invitation) in desk.found(persons).await.unwrap() {
        let opened = desk.open_enrolment(&invitation).await.unwrap();
        let challenge = Action::parse(opened.action.document.as_bytes())
            .unwrap()
            .challenge();
        let (credential, client_data_json, attestation_object) =
            Credential::make(manufacturer, RP_ID, AGENT, challenge.as_bytes());
        let claim = RegistrationClaim {
            client_data_json,
            attestation_object,
            transports: Vec::new(),
            label: None,
        };
        let Ok(registered) = desk.register(enrolment, &invitation, claim).await.unwrap() else {
            panic!("enrolment refused")
        };
        owners.push(Owner {
            id: person.to_string(),
            key: registered.key.id,
            token: registered.session.unwrap().1.to_string(),
            credential,
        });
    }
    owners
}

/// Opens actions and signs their approvals, not timed.
async fn prepare(desk: &Desk, owner: &Owner, each: usize) -> Vec<Prepared> {
    let mut prepared = Vec::with_capacity(each);
    for n in 0..each {
        let asked = NewAction {
            kind: "account.create".to_owned(),
            service: "portal".parse().unwrap(),
            requester: owner.id.parse().unwrap(),
            target: Target {
                kind: "account".to_owned(),
                id: format!("a{n}"),
                display: "Jean Dupont".to_owned(),
            },
            params: json!({"email": "jean.dupont@ml.example", "role": "reader"})
                .as_object()
                .unwrap()
                .clone(),
            request: None,
            words: None,
        };
        let record = desk
            .open_action(asked, Caller::Service("portal".parse().unwrap()))
            .await
            .unwrap();
        let challenge = Action::parse(record.document.as_bytes())
            .unwrap()
            .challenge();
        let (client, data, signature) = owner.credential.assert(AGENT, challenge.as_bytes());
        let body = json!({"key_id": owner.key, "response": {
            "client_data_json": base64url::encode(client), "authenticator_data": base64url::encode(data),
            "signature": base64url::encode(signature)}});
        prepared.push((
            format!("/v1/actions/{}/approvals", record.id),
            Bytes::from(body.to_string()),
        ));
    }
    prepared
}

/// One caller: its connection, its approvals one after the other, how long each took.
async fn call(
    address: SocketAddr,
    token: &str,
    requests: Vec<Prepared>,
    barrier: &tokio::sync::Barrier,
) -> Vec<Duration> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    barrier.wait().await;
    let mut latencies = Vec::with_capacity(requests.len());
    for (target, body) in requests {
        let request = http::Request::post(target)
            .header("host", "sceau.example")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap();
        let start = Instant::now();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        latencies.push(start.elapsed());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    latencies
}
