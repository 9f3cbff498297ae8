use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sceau_proof::action::Action;
use sceau_proof::base64url;
use sceau_proof::log::tile::{Row, Tile, entries};
use sceau_proof::log::{Entry, audit, checkpoint, note::VerifyingKey};
use serde_json::json;
use tokio::sync::Mutex;

use crate::authenticator::{Credential, Manufacturer};
use crate::fixture::{AGENT, RP_ID, write_policy};
use crate::wire::{Answer, Ask};

const SCHEMA: &str = r#"action "account.create" appliesTo { principal: Person, resource: Account, context: Facts };"#;
const POLICY: &str = r#"
@id("seal") permit (principal, action == Action::"account.create", resource);
@id("own") permit (principal, action in [Action::"session.open", Action::"key.register"], resource);
"#;

/// How often the server is killed; `SCEAU_KILLS` asks for more, `SCEAU_KILLS_OF_TWO` where two instances share a store.
const KILLS: u32 = 200;
const KILLS_OF_TWO: u32 = 30;
const CALLERS: usize = 4;
const TOKEN: &str = "service-token-service-token";

/// What a caller was told of one action.
#[derive(Debug, Default)]
struct Told {
    opened: bool,
    approved: Option<String>,
    used: u32,
}

struct Owner {
    id: String,
    key: String,
    token: String,
    credential: Credential,
}

/// The real binary on a store that outlives it.
struct Server {
    child: Child,
}

impl Server {
    fn start(folder: &Path, address: SocketAddr) -> Self {
        Self::start_as(folder, address, "main")
    }

    fn start_as(folder: &Path, address: SocketAddr, instance: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_sceau-server"))
            .args(["serve", "--config"])
            .arg(folder.join("server.toml"))
            .env("SCEAU_SERVER__LISTEN", address.to_string())
            .env("SCEAU_SERVER__INSTANCE", instance)
            .env("SCEAU_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// SIGKILL: no handler, no flush, no goodbye.
    fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One exchange; `None` when the connection was cut before the answer was whole.
async fn exchange(address: SocketAddr, ask: &Ask) -> Option<Answer> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(&ask.bytes("sceau.example")).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let answer = crate::wire::parse(&bytes);
    let length: usize = answer.header("content-length").parse().ok()?;
    (answer.status != 0 && answer.body.len() == length).then_some(answer)
}

fn by(token: &str, method: &str, target: &str) -> Ask {
    Ask::new(method, target).header("Authorization", &format!("Bearer {token}"))
}

async fn ready(address: SocketAddr) {
    for _ in 0..600 {
        if exchange(address, &Ask::new("GET", "/readyz"))
            .await
            .is_some_and(|answer| answer.status == 200)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server did not start");
}

fn kills(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(otherwise)
}

/// A port that was free a moment ago; the listener binds it again at each start.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn prepare(folder: &Path, manufacturer: &Manufacturer, store: &str) {
    std::fs::create_dir(folder.join("anchors")).unwrap();
    std::fs::write(folder.join("anchors/test.pem"), &manufacturer.root_pem).unwrap();
    write_policy(folder, SCHEMA, POLICY);
    let digest = hex::encode(sceau_proof::log::entry::sha256(TOKEN.as_bytes()));
    let config = format!(
        r#"
[server]
public_url = "https://sceau.example"
rp_id = "{RP_ID}"
[store]
url = "{store}"
[keys]
permit = "permit.pem"
log = "log.key"
log_vkey = "log.vkey"
log_origin = "sceau.example/log"
[policy]
folder = "policy"
[attestation]
anchors = "anchors"
[limit]
pending = 1000000
asked = 1000000
[[service]]
id = "portal"
token_sha256 = "{digest}"
"#
    );
    std::fs::write(folder.join("server.toml"), config).unwrap();
    let mut init = Command::new(env!("CARGO_BIN_EXE_sceau-server"));
    init.args(["init", "--config"])
        .arg(folder.join("server.toml"));
    for n in 0..CALLERS {
        init.args(["--administrator", &format!("p{n}=Person {n}")]);
    }
    assert!(init.stdout(Stdio::null()).status().unwrap().success());
}

async fn enrol(folder: &Path, address: SocketAddr, manufacturer: &Manufacturer, id: &str) -> Owner {
    let secret = std::fs::read_to_string(folder.join(format!("invitation-{id}")))
        .unwrap()
        .trim()
        .to_owned();
    let ask =
        Ask::new("POST", "/v1/enrolments/open").json(&json!({"invitation": secret}).to_string());
    let opened = exchange(address, &ask).await.unwrap().json();
    let challenge = Action::parse(opened["action"].to_string().as_bytes())
        .unwrap()
        .challenge();
    let (credential, client, object) =
        Credential::make(manufacturer, RP_ID, AGENT, challenge.as_bytes());
    let body = json!({"invitation": secret, "response": {
        "client_data_json": base64url::encode(client), "attestation_object": base64url::encode(object)}});
    let target = format!(
        "/v1/enrolments/{}/registration",
        opened["enrolment_id"].as_str().unwrap()
    );
    let registered = exchange(address, &Ask::new("POST", &target).json(&body.to_string()))
        .await
        .unwrap();
    assert_eq!(registered.status, 201, "{registered:?}");
    let registered = registered.json();
    Owner {
        id: id.to_owned(),
        key: registered["key_id"].as_str().unwrap().to_owned(),
        token: registered["session"]["token"].as_str().unwrap().to_owned(),
        credential,
    }
}

async fn introspect(address: SocketAddr, permit: &str) -> Option<bool> {
    let ask =
        by(TOKEN, "POST", "/v1/permits/introspect").form(&format!("token={permit}&consume=true"));
    let answer = exchange(address, &ask).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["active"].as_bool()
}

/// Opens, approves and uses actions, one after the other, until the connection is cut.
async fn work(
    address: SocketAddr,
    owner: &Owner,
    told: &Mutex<HashMap<String, Told>>,
    stop: &AtomicBool,
) -> Option<()> {
    while !stop.load(Ordering::Relaxed) {
        let wanted = json!({"type": "account.create", "requester": owner.id, "params": {},
            "target": {"kind": "account", "id": "jd", "display": "Jean Dupont"}});
        let opened = exchange(
            address,
            &by(TOKEN, "POST", "/v1/actions").json(&wanted.to_string()),
        )
        .await?
        .json();
        let id = opened["action"]["id"].as_str().unwrap().to_owned();
        told.lock().await.entry(id.clone()).or_default().opened = true;
        let challenge = Action::parse(opened["action"].to_string().as_bytes())
            .unwrap()
            .challenge();
        let (client, data, signature) = owner.credential.assert(AGENT, challenge.as_bytes());
        let body = json!({"key_id": owner.key, "response": {"client_data_json": base64url::encode(client),
            "authenticator_data": base64url::encode(data), "signature": base64url::encode(signature)}});
        let target = format!("/v1/actions/{id}/approvals");
        let approved = exchange(
            address,
            &by(&owner.token, "POST", &target).json(&body.to_string()),
        )
        .await?;
        assert_eq!(approved.status, 200, "{approved:?}");
        let shown = exchange(address, &by(TOKEN, "GET", &format!("/v1/actions/{id}")))
            .await?
            .json();
        let permit = shown["permit"].as_str().unwrap().to_owned();
        told.lock().await.entry(id.clone()).or_default().approved = Some(permit.clone());
        if introspect(address, &permit).await? {
            told.lock().await.entry(id).or_default().used += 1;
        }
    }
    Some(())
}

/// After a restart: what was answered is there, and what was used is not used again.
async fn check(address: SocketAddr, told: &mut HashMap<String, Told>) {
    for (id, told) in told.iter_mut() {
        assert!(told.opened);
        let shown = exchange(address, &by(TOKEN, "GET", &format!("/v1/actions/{id}")))
            .await
            .unwrap();
        assert_eq!(
            shown.status, 200,
            "an acknowledged action is lost: {shown:?}"
        );
        let state = shown.json()["state"].as_str().unwrap().to_owned();
        if let Some(permit) = &told.approved {
            assert_ne!(state, "pending", "an acknowledged approval is lost");
            let active = introspect(address, permit).await.unwrap();
            assert!(!active || told.used == 0, "used twice");
            told.used += u32::from(active);
        }
        if told.used > 0 {
            let shown = exchange(address, &by(TOKEN, "GET", &format!("/v1/actions/{id}")))
                .await
                .unwrap();
            assert_eq!(shown.json()["state"], "consumed");
        }
        assert!(told.used <= 1);
    }
}

/// The whole log, audited from its files over HTTP: how often each kind of entry tells of each action.
async fn audited(address: SocketAddr, vkey: &VerifyingKey) -> HashMap<(String, String), u32> {
    let note = exchange(address, &Ask::new("GET", "/log/checkpoint"))
        .await
        .unwrap();
    let verified = checkpoint::open(&note.body, vkey, &[]).unwrap();
    let mut audit = audit::Audit::new(verified.clone(), None).unwrap();
    let mut found = HashMap::new();
    for tile in audit::bundles(0, verified.size()) {
        let bundle = exchange(address, &Ask::new("GET", &format!("/log/{}", tile.path())))
            .await
            .unwrap();
        let hashes = Tile {
            row: Row::Hashes(0),
            ..tile
        };
        let hashes = exchange(
            address,
            &Ask::new("GET", &format!("/log/{}", hashes.path())),
        )
        .await
        .unwrap()
        .body;
        for (position, body) in entries(&bundle.body, tile.width)
            .unwrap()
            .into_iter()
            .enumerate()
        {
            let leaf = sceau_proof::log::Hash(hashes[position * 32..][..32].try_into().unwrap());
            audit
                .entry(body, |node| (node.level == 0).then_some(leaf))
                .unwrap();
            let entry = Entry::parse(body).unwrap();
            if let Some(action) = entry.subject_id("action") {
                *found
                    .entry((action.to_owned(), entry.kind().to_owned()))
                    .or_default() += 1;
            }
        }
    }
    audit.finish().unwrap();
    found
}

/// What the log tells of every action is what the store says of it: each use, each approval with its entry, once.
async fn settled(
    address: SocketAddr,
    log: &HashMap<(String, String), u32>,
    all: &HashMap<String, Told>,
) {
    let count = |id: &String, kind: &str| {
        log.get(&(id.clone(), kind.to_owned()))
            .copied()
            .unwrap_or(0)
    };
    for (id, told) in all {
        assert_eq!(count(id, "action.requested"), 1);
        assert!(count(id, "action.approved") <= 1 && count(id, "permit.consumed") <= 1);
        let shown = exchange(address, &by(TOKEN, "GET", &format!("/v1/actions/{id}")))
            .await
            .unwrap()
            .json();
        // A use that was cut off before its answer is a use all the same: nobody was told, and nobody gets another.
        let used = u32::from(shown["state"] == "consumed");
        assert_eq!(
            count(id, "permit.consumed"),
            used,
            "{id}: every use has its entry, once"
        );
        assert!(told.used <= used, "{id}: an acknowledged use is lost");
        let approved = shown["approvals"].as_array().map_or(0, Vec::len);
        assert_eq!(
            count(id, "action.approved") as usize,
            approved,
            "no approval without its entry"
        );
    }
}

/// Attack 21 at the server: power cuts at random points of approvals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_nothing_is_lost_or_done_twice() {
    let kills = kills("SCEAU_KILLS", KILLS);
    let folder = tempfile::tempdir().unwrap();
    let manufacturer = Manufacturer::new();
    prepare(folder.path(), &manufacturer, "sqlite:sceau.db");
    let address = free();
    let server = Server::start(folder.path(), address);
    ready(address).await;
    let mut owners = Vec::new();
    for n in 0..CALLERS {
        owners.push(Arc::new(
            enrol(folder.path(), address, &manufacturer, &format!("p{n}")).await,
        ));
    }
    server.kill();

    let mut all: HashMap<String, Told> = HashMap::new();
    for round in 0..kills {
        let server = Server::start(folder.path(), address);
        ready(address).await;
        let told: Arc<Mutex<HashMap<String, Told>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = owners
            .iter()
            .map(|owner| {
                let (owner, told, stop) = (Arc::clone(owner), Arc::clone(&told), Arc::clone(&stop));
                tokio::spawn(async move { work(address, &owner, &told, &stop).await })
            })
            .collect();
        let mut random = [0_u8; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_micros(
            u64::from(u16::from_le_bytes(random)) * 6,
        ))
        .await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            let _ = task.await.unwrap();
        }
        // Checked at once on the next start, while permits still live.
        let mut told = std::mem::take(&mut *told.lock().await);
        let server = Server::start(folder.path(), address);
        ready(address).await;
        check(address, &mut told).await;
        all.extend(told);
        if round + 1 == kills {
            let text = std::fs::read_to_string(folder.path().join("log.vkey")).unwrap();
            let log = audited(address, &VerifyingKey::parse(text.trim()).unwrap()).await;
            settled(address, &log, &all).await;
            let used = all.values().filter(|told| told.used == 1).count();
            assert!(
                all.len() > kills as usize / 2 && used > 0,
                "{} actions, {used} used",
                all.len()
            );
            eprintln!("{kills} kills, {} actions, {used} used once", all.len());
        }
        server.kill();
    }
}

fn random(below: u32) -> u32 {
    let mut bytes = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u32::from_le_bytes(bytes) % below
}

/// Attack 21 with two instances on one store: one is cut at a random point, or both, while the others work on; the log never forks, and whichever
/// instance is asked afterwards says the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_killed_at_any_point_keep_one_log() {
    let Some(mut postgres) = crate::postgres::Postgres::start() else {
        return;
    };
    let store = postgres.database().await;
    let wanted = kills("SCEAU_KILLS_OF_TWO", KILLS_OF_TWO);
    let folder = tempfile::tempdir().unwrap();
    let manufacturer = Manufacturer::new();
    prepare(folder.path(), &manufacturer, &store);
    let addresses = [free(), free()];
    let start = |which: usize| {
        let name = ["one", "two"][which];
        Server::start_as(folder.path(), addresses[which], name)
    };
    let mut servers = [Some(start(0)), None];
    ready(addresses[0]).await;
    let mut owners = Vec::new();
    for n in 0..CALLERS {
        let id = format!("p{n}");
        owners.push(Arc::new(
            enrol(folder.path(), addresses[0], &manufacturer, &id).await,
        ));
    }
    let text = std::fs::read_to_string(folder.path().join("log.vkey")).unwrap();
    let vkey = VerifyingKey::parse(text.trim()).unwrap();
    let (mut all, mut done): (HashMap<String, Told>, u32) = (HashMap::new(), 0);
    let mut size = 0;
    while done < wanted {
        for (which, address) in addresses.iter().enumerate() {
            if servers[which].is_none() {
                servers[which] = Some(start(which));
                ready(*address).await;
            }
        }
        let told: Arc<Mutex<HashMap<String, Told>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = owners
            .iter()
            .enumerate()
            .map(|(n, owner)| {
                let (owner, told, stop) = (Arc::clone(owner), Arc::clone(&told), Arc::clone(&stop));
                let address = addresses[n % 2];
                tokio::spawn(async move { work(address, &owner, &told, &stop).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(u64::from(random(250_000)))).await;
        // One, the other, or both; then the survivor goes on for a moment.
        let fallen = 1 + random(3);
        for which in [0, 1] {
            if fallen & (1 << which) != 0 {
                servers[which].take().unwrap().kill();
                done += 1;
            }
        }
        tokio::time::sleep(Duration::from_micros(u64::from(random(60_000)))).await;
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            let _ = task.await.unwrap();
        }
        // Whoever is asked, one that lived on or one that starts again, knows what the other acknowledged.
        let asked = usize::from(random(2) == 1);
        if servers[asked].is_none() {
            servers[asked] = Some(start(asked));
            ready(addresses[asked]).await;
        }
        let mut told = std::mem::take(&mut *told.lock().await);
        check(addresses[asked], &mut told).await;
        all.extend(told);
        let note = exchange(addresses[asked], &Ask::new("GET", "/log/checkpoint"))
            .await
            .unwrap();
        let now = checkpoint::open(&note.body, &vkey, &[]).unwrap().size();
        assert!(now >= size, "the log went back from {size} to {now}");
        size = now;
    }
    for (which, address) in addresses.iter().enumerate() {
        if servers[which].is_none() {
            servers[which] = Some(start(which));
            ready(*address).await;
        }
        let log = audited(*address, &vkey).await;
        settled(*address, &log, &all).await;
    }
    let used = all.values().filter(|told| told.used == 1).count();
    assert!(all.len() > wanted as usize / 2 && used > 0);
    eprintln!(
        "{done} kills, {} actions, {used} used once, {size} entries",
        all.len()
    );
}
