//! The log as outsiders have it: exported, witnessed, cosigned.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use sceau_proof::log::audit::{self, Audit};
use sceau_proof::log::note::{KeyKind, Note, SigningKey as LogKey};
use sceau_proof::log::tile;
use sceau_proof::log::witness::AddCheckpoint;
use sceau_proof::log::{Checkpoint, Hash, checkpoint, consistency_proof, leaf_hash, tree};
use sceau_server::export::{ExportError, export};
use sceau_server::port::Ports;
use sceau_server::store::{Durability, Store, StoreOptions};
use sceau_server::witness::{self, Witness, config::Config};
use tower::ServiceExt as _;

use crate::fixture::{Hand, ORIGIN, Place, System};

fn log_key() -> LogKey {
    LogKey::from_seed(ORIGIN, KeyKind::Log, &[7; 32]).unwrap()
}

pub(crate) async fn open(url: &str) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        durability: Durability::Full,
        readers: 4,
    };
    Store::open(&options, true).await.unwrap()
}

/// Reads a folder as an auditor does; how many entries lead to its checkpoint.
fn audited(folder: &Path) -> u64 {
    let note = std::fs::read(folder.join("checkpoint")).unwrap();
    let target = checkpoint::open(&note, log_key().verifying_key(), &[]).unwrap();
    let size = target.size();
    let mut audit = Audit::new(target, None).unwrap();
    for bundle in audit::bundles(0, size) {
        let bytes = std::fs::read(folder.join(bundle.path())).unwrap();
        for entry in tile::entries(&bytes, bundle.width).unwrap() {
            audit
                .entry(entry, |node| {
                    let (index, offset) = tile::position(node.index);
                    let tile = tile::tile_at(tile::Row::Hashes(node.level / 8), index, size)?;
                    let bytes = std::fs::read(folder.join(tile.path())).ok()?;
                    Some(Hash(bytes.as_chunks::<32>().0[usize::from(offset)]))
                })
                .unwrap();
        }
    }
    audit.finish().unwrap().size()
}

#[tokio::test]
async fn an_export_is_the_whole_log_and_goes_on_where_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let store = open(&place.url).await;
    let out = folder.path().join("out");
    let first = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!(audited(&out), first.size);
    for n in 0..130 {
        let record = alice.ask(&desk, "account.create").await.unwrap();
        if n % 40 == 0 {
            alice.approve(&desk, &record).await.unwrap();
        }
    }
    let again = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((again.from, audited(&out)), (first.size, again.size));
    // As after a cut: files are there, the checkpoint is not.
    std::fs::remove_file(out.join("checkpoint")).unwrap();
    for _ in 0..150 {
        alice.ask(&desk, "account.create").await.unwrap();
    }
    let third = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((third.from, audited(&out)), (0, third.size));
    assert!(third.size > 256);
    // What is full needs no partial beside it.
    assert!(out.join("tile/0/000").is_file() && !out.join("tile/0/000.p").exists());
    let nothing_new = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((nothing_new.from, nothing_new.files), (third.size, 0));

    // Another log's key, another history, a longer one: the folder is evidence, and stays.
    let stranger = LogKey::from_seed(ORIGIN, KeyKind::Log, &[8; 32]).unwrap();
    assert!(matches!(
        export(&store, &stranger, &out, |_, _| {}).await,
        Err(ExportError::Stranger(_))
    ));
    for (size, root) in [(third.size, Hash::default()), (third.size + 1, third.root)] {
        let before = Checkpoint::new(ORIGIN, size, root)
            .sign(&log_key())
            .unwrap();
        std::fs::write(out.join("checkpoint"), before.to_string()).unwrap();
        let refused = export(&store, &log_key(), &out, |_, _| {})
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                ExportError::Forked(_) | ExportError::RolledBack { .. }
            ),
            "{refused}"
        );
        assert_eq!(
            std::fs::read_to_string(out.join("checkpoint")).unwrap(),
            before.to_string()
        );
    }
}

/// A witness in a folder that knows the test's log.
pub(crate) fn witness_in(folder: &Path, name: &str, url: Option<&str>) -> Config {
    let url = url
        .map(|url| format!("url = \"{url}\"\n"))
        .unwrap_or_default();
    let text = format!(
        "name = \"{name}\"\nkey = \"key\"\nvkey = \"vkey\"\nstate = \"state\"\ninterval = \"100ms\"\n[[log]]\nvkeys = [\"{}\"]\n{url}",
        log_key().verifying_key()
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("witness.toml"), text).unwrap();
    let config = Config::load(&folder.join("witness.toml")).unwrap();
    if !config.key.exists() {
        witness::init(&config, &ports()).unwrap();
    }
    config
}

pub(crate) fn ports() -> Ports {
    Ports::new(Hand::new(), System)
}

fn leaves(mark: &str) -> Vec<Hash> {
    (0..40)
        .map(|i| leaf_hash(format!("{mark}{i}").as_bytes()))
        .collect()
}

fn request(leaves: &[Hash], old: u64, size: u64) -> AddCheckpoint {
    AddCheckpoint {
        old,
        proof: consistency_proof(leaves, old, size).unwrap(),
        note: Checkpoint::new(ORIGIN, size, tree::tree_root(leaves, size).unwrap())
            .sign(&log_key())
            .unwrap(),
    }
}

async fn send(witness: &Arc<Witness>, body: String) -> (StatusCode, String, String) {
    let request = Request::post("/add-checkpoint")
        .body(Body::from(body))
        .unwrap();
    let answer = witness::router(Arc::clone(witness))
        .oneshot(request)
        .await
        .unwrap();
    let status = answer.status();
    let kind = answer.headers()[http::header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_witness_answers_as_the_specification_says_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let config = witness_in(folder.path(), "witness.example/w1", None);
    let witness = Arc::new(Witness::load(&config, ports()).unwrap());
    assert!(
        Witness::load(&config, ports()).is_err(),
        "one process for one state"
    );
    let (honest, forked) = (leaves("a"), leaves("b"));

    let first = request(&honest, 0, 7);
    let (status, _, line) = send(&witness, first.to_body()).await;
    assert_eq!(status, StatusCode::OK);
    let cosigned = format!("{}{line}", first.note);
    let opened = checkpoint::open(
        cosigned.as_bytes(),
        log_key().verifying_key(),
        &[witness.verifying_key().clone()],
    )
    .unwrap();
    assert_eq!(opened.cosignatures()[0].witness(), "witness.example/w1");

    let (status, kind, body) = send(&witness, request(&honest, 0, 9).to_body()).await;
    assert_eq!(
        (status, kind.as_str(), body.as_str()),
        (StatusCode::CONFLICT, "text/x.tlog.size", "7\n")
    );
    assert_eq!(
        send(&witness, request(&honest, 7, 30).to_body()).await.0,
        StatusCode::OK
    );
    let unprocessable = send(&witness, request(&forked, 30, 35).to_body()).await.0;
    assert_eq!(unprocessable, StatusCode::UNPROCESSABLE_ENTITY);
    let beyond = AddCheckpoint {
        old: 31,
        ..request(&honest, 0, 30)
    };
    assert_eq!(
        send(&witness, beyond.to_body()).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        send(&witness, "old 0\n".to_owned()).await.0,
        StatusCode::BAD_REQUEST
    );
    let other = request(&honest, 30, 31)
        .to_body()
        .replace(ORIGIN, "other.example");
    assert_eq!(send(&witness, other).await.0, StatusCode::NOT_FOUND);
    let mut unsigned = request(&honest, 30, 31);
    unsigned.note = Note::parse(
        Checkpoint::new(ORIGIN, 31, tree::tree_root(&honest, 31).unwrap())
            .sign(&LogKey::from_seed(ORIGIN, KeyKind::Log, &[8; 32]).unwrap())
            .unwrap()
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(
        send(&witness, unsigned.to_body()).await.0,
        StatusCode::FORBIDDEN
    );

    // What was cosigned was written before; another process goes on from it.
    drop(witness);
    let witness = Arc::new(Witness::load(&config, ports()).unwrap());
    assert_eq!(
        send(&witness, request(&honest, 7, 31).to_body()).await.2,
        "30\n"
    );
    assert_eq!(witness.standing().await[0].size, 30);

    // A fork at the same size is proven by two signatures: kept, said, and nothing of this log is cosigned any more.
    assert_eq!(
        send(&witness, request(&forked, 30, 30).to_body()).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(witness.standing().await[0].forks, 1);
    assert_eq!(
        send(&witness, request(&honest, 30, 31).to_body()).await.0,
        StatusCode::FORBIDDEN
    );
    drop(witness);
    let witness = Witness::load(&config, ports()).unwrap();
    assert_eq!(witness.standing().await[0].forks, 1);
    drop(witness);

    // A state that does not read back is never a reason to begin anew.
    let state = std::fs::read_dir(&config.state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let kept = std::fs::read(state.join("checkpoint")).unwrap();
    std::fs::write(state.join("checkpoint"), &kept[..kept.len() / 2]).unwrap();
    assert!(Witness::load(&config, ports()).is_err());
}

#[tokio::test]
async fn a_witness_that_cannot_write_cosigns_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = witness_in(folder.path(), "witness.example/w1", None);
    let witness = Arc::new(Witness::load(&config, ports()).unwrap());
    let honest = leaves("a");
    assert_eq!(
        send(&witness, request(&honest, 0, 7).to_body()).await.0,
        StatusCode::OK
    );
    let state = std::fs::read_dir(&config.state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    // Where the new file would be made, a folder stands: writing fails whoever runs the test.
    std::fs::create_dir(state.join("checkpoint.new")).unwrap();
    let failed = send(&witness, request(&honest, 7, 9).to_body()).await;
    assert_eq!(failed.0, StatusCode::SERVICE_UNAVAILABLE);
    std::fs::remove_dir(state.join("checkpoint.new")).unwrap();
    assert_eq!(
        send(&witness, request(&honest, 7, 9).to_body()).await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "whether it was written is known at the next start alone"
    );
    drop(witness);
    let witness = Arc::new(Witness::load(&config, ports()).unwrap());
    assert_eq!(
        send(&witness, request(&honest, 7, 9).to_body()).await.0,
        StatusCode::OK
    );
}

/// A witness on a socket of its own, and what the server is told of it. It ends when the handle is dropped.
async fn serve(witness: Arc<Witness>) -> (sceau_server::desk::Witness, tokio::task::AbortHandle) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let key = witness.verifying_key().clone();
    let serving = tokio::spawn(sceau_server::listen::serve(
        listener,
        None,
        witness::router(witness),
        16,
        std::future::pending(),
    ));
    (
        sceau_server::desk::Witness { key, url },
        serving.abort_handle(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_waits_for_the_witnesses_that_are_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sceau.db").display());
    a_permit_waits_for_its_witnesses(Place::new(url)).await;
}

/// The same on each store.
pub(crate) async fn a_permit_waits_for_its_witnesses(mut place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let config = witness_in(&folder.path().join("w1"), "witness.example/w1", None);
    let state = config.state.clone();
    let (first, serving) = serve(Arc::new(Witness::load(&config, ports()).unwrap())).await;
    // Nobody listens there.
    let second = sceau_server::desk::Witness {
        key: LogKey::from_seed("witness.example/w2", KeyKind::Witness, &[9; 32])
            .unwrap()
            .verifying_key()
            .clone(),
        url: "http://127.0.0.1:9".to_owned(),
    };
    place.witnessing = sceau_server::desk::Witnessing {
        witnesses: vec![first.clone(), second],
        demanded: vec![
            ("account.*".to_owned(), 1),
            ("note.write".to_owned(), 2),
            ("vault.open".to_owned(), 3),
            ("person.suspend".to_owned(), 1),
        ],
        patience: std::time::Duration::from_secs(5),
    };
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;

    // One is demanded, and answers: no permit with the last approval, one soon after, without being asked for.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let approved = alice.approve(&desk, &record).await.unwrap();
    assert_eq!(approved.state.as_str(), "approved");
    assert_eq!(approved.permit, None, "the witness has not seen it yet");
    let consumed = desk.consume(record.id).await.unwrap();
    assert_eq!(consumed.record().id, record.id);
    let other = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &other).await.unwrap();
    let mut permit = None;
    for _ in 0..100 {
        permit = desk.action(other.id).await.unwrap().unwrap().permit;
        if permit.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(permit.is_some(), "released when it was cosigned");

    // The bundle carries the cosignature; a checker that trusts the witness sees it.
    let bundle = desk.evidence(other.id).await.unwrap();
    let opened = checkpoint::open(
        bundle.log.checkpoint.as_bytes(),
        log_key().verifying_key(),
        std::slice::from_ref(&first.key),
    )
    .unwrap();
    assert_eq!(opened.cosignatures().len(), 1);
    assert!(
        bundle
            .log
            .entries
            .iter()
            .all(|entry| entry.index < opened.size())
    );
    let public = desk.checkpoint().await.unwrap();
    assert!(public.contains("witness.example/w1"), "{public}");

    // Two are demanded and one is dead: closed, with the reason.
    let record = alice.ask(&desk, "note.write").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let refused = desk
        .issue_permit(record.id, "portal".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        sceau_server::desk::DeskError::Unwitnessed { needed: 2, have: 1 }
    );
    // A row that claims cosignatures has as many as verify.
    let store = open(&place.url).await;
    let mut connection = store.reader().await.unwrap();
    let rows = sceau_server::store::checkpoint::newest(&mut connection, None, 1).await;
    let forged = rows.unwrap()[0].cosignatures[0].replace("/w1", "/w2");
    drop(connection);
    tamper(
        &place.url,
        &format!("UPDATE log_checkpoint SET cosignatures = cosignatures || '\n{forged}'"),
    )
    .await;
    assert!(matches!(
        desk.consume(record.id).await,
        Err(sceau_server::desk::DeskError::Unwitnessed { needed: 2, .. })
    ));

    // More than there are, and of the server's own actions: denied at once.
    let denied = alice.ask(&desk, "vault.open").await.unwrap();
    assert_eq!(denied.denial.unwrap().reason, "too-few-witnesses");

    // The log goes back (a restored backup): the witness knows better, and says so.
    serving.abort();
    drop(desk);
    assert!(state.join("lock").exists());
}

/// Writes into the store behind the server's back, as whoever has its file can.
pub(crate) async fn tamper(url: &str, sql: &str) {
    use sqlx::Connection as _;

    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// A receiver of webhooks that answers as it is told, and keeps what it took: every body with its headers, in order.
async fn receiver(
    answers: fn(usize) -> u16,
) -> (
    String,
    Arc<std::sync::Mutex<Vec<(http::HeaderMap, Vec<u8>, u16)>>>,
) {
    let got = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let router = axum::Router::new().route(
        "/hook",
        axum::routing::post(move |headers: http::HeaderMap, body: axum::body::Bytes| {
            let kept = Arc::clone(&kept);
            let mut kept = kept.lock().unwrap();
            let status = answers(kept.len());
            kept.push((headers, body.to_vec(), status));
            std::future::ready(StatusCode::from_u16(status).unwrap())
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(sceau_server::listen::serve(
        listener,
        None,
        router,
        16,
        std::future::pending(),
    ));
    (url, got)
}

fn stream(text: &str) -> sceau_server::config::Stream {
    toml::from_str(text).unwrap()
}

fn indices(bodies: &[(http::HeaderMap, Vec<u8>, u16)], taken: bool) -> Vec<u64> {
    bodies
        .iter()
        .filter(|(_, _, status)| !taken || *status < 300)
        .flat_map(|(_, body, _)| {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            let entries = body["entries"].as_array().unwrap().clone();
            entries
                .into_iter()
                .map(|entry| entry["index"].as_u64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_every_entry_in_order_signed_and_misses_none() {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let secret = folder.path().join("secret");
    sceau_server::keyfile::write_secret(&secret, &[b'k'; 40]).unwrap();
    // The first two deliveries fail after they arrived: whether they were taken is not known, so they come again.
    let (url, got) = receiver(|count| if count < 2 { 500 } else { 204 }).await;
    let config = format!(
        "name = \"siem\"\nto = \"webhook\"\nurl = \"{url}\"\nsecret = \"{}\"\n",
        secret.display()
    );
    let running = tokio::spawn(
        sceau_server::stream::Feed::new(&stream(&config))
            .unwrap()
            .run(desk.clone()),
    );
    let caught_up = async |upto: u64| {
        for _ in 0..200 {
            if indices(&got.lock().unwrap(), true)
                .last()
                .is_some_and(|last| last + 1 >= upto)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("not delivered: {:?}", indices(&got.lock().unwrap(), true));
    };
    let size = || async {
        let checkpoint = desk.checkpoint().await.unwrap();
        checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    caught_up(size().await).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    caught_up(size().await).await;
    // The deliverer dies and another takes over from the durable place.
    running.abort();
    for _ in 0..70 {
        alice.ask(&desk, "account.create").await.unwrap();
    }
    let again = tokio::spawn(
        sceau_server::stream::Feed::new(&stream(&config))
            .unwrap()
            .run(desk.clone()),
    );
    caught_up(size().await).await;
    again.abort();
    let taken = indices(&got.lock().unwrap(), true);
    let wanted: Vec<u64> = (0..size().await).collect();
    // Whoever takes over may send again what the last one had no time to write down; what is new comes in order.
    let mut known = std::collections::BTreeSet::new();
    let once: Vec<u64> = taken.into_iter().filter(|it| known.insert(*it)).collect();
    assert_eq!(once, wanted, "every one");

    // The signature, as RFC 9421 §2.5 has the receiver make its base.
    let (headers, body, _) = got.lock().unwrap().last().unwrap().clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    assert_eq!(
        header("content-digest"),
        format!("sha-256=:{}:", STANDARD.encode(digest))
    );
    let parameters = header("signature-input")
        .strip_prefix("sceau=")
        .unwrap()
        .to_owned();
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {url}\n\"content-type\": application/json\n\"content-digest\": {}\n\"@signature-params\": {parameters}",
        header("content-digest")
    );
    let signature = header("signature");
    let tag = STANDARD
        .decode(
            signature
                .strip_prefix("sceau=:")
                .unwrap()
                .strip_suffix(':')
                .unwrap(),
        )
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[b'k'; 40]);
    hmac::verify(&key, base.as_bytes(), &tag).unwrap();
    assert!(hmac::verify(&key, base.replace("POST", "GET").as_bytes(), &tag).is_err());

    // Nothing readable about persons leaves, unless it is asked for.
    assert!(!String::from_utf8(body).unwrap().contains("alice"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_and_journald_get_alerts_on_their_sockets() {
    use tokio::io::AsyncReadExt as _;

    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let journal = tokio::net::UnixDatagram::bind(folder.path().join("journal")).unwrap();
    let device = tokio::net::UnixDatagram::bind(folder.path().join("log")).unwrap();
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = folder.path().display();
    let feeds = [
        format!(
            "name = \"j\"\nto = \"journald\"\naddress = \"unix:{at}/journal\"\nonly = \"alerts\"\nreveal = true\n"
        ),
        format!("name = \"u\"\nto = \"syslog\"\naddress = \"unix:{at}/log\"\nonly = \"alerts\"\n"),
        format!(
            "name = \"d\"\nto = \"syslog\"\naddress = \"udp:{}\"\nonly = \"alerts\"\n",
            udp.local_addr().unwrap()
        ),
        format!(
            "name = \"t\"\nto = \"syslog\"\naddress = \"tcp:{}\"\nonly = \"alerts\"\n",
            tcp.local_addr().unwrap()
        ),
    ];
    let running: Vec<_> = feeds
        .iter()
        .map(|text| {
            tokio::spawn(
                sceau_server::stream::Feed::new(&stream(text))
                    .unwrap()
                    .run(desk.clone()),
            )
        })
        .collect();
    desk.report_blocked(alice.id.clone(), alice.key)
        .await
        .unwrap();
    let mut buffer = vec![0; 65536];
    let patience = std::time::Duration::from_secs(20);
    let read = tokio::time::timeout(patience, journal.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let field = |name: &str| {
        let start = format!("{name}=");
        text.lines()
            .find_map(|line| line.strip_prefix(start.as_str()).map(str::to_owned))
            .unwrap()
    };
    assert_eq!(
        (field("SCEAU_TYPE").as_str(), field("PRIORITY").as_str()),
        ("alert.pin-blocked", "1")
    );
    let entry: serde_json::Value = serde_json::from_str(&field("SCEAU_ENTRY")).unwrap();
    assert_eq!(entry["revealed"]["person"], "alice");
    let is_line = |line: &str| {
        assert!(line.starts_with("<81>1 "), "{line}");
        assert!(
            line.contains(" sceau-server ") && line.contains(" alert.pin-blocked [sceau@32473 "),
            "{line}"
        );
        assert!(!line.contains("alice"), "{line}");
    };
    let read = tokio::time::timeout(patience, device.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    is_line(std::str::from_utf8(&buffer[..read]).unwrap());
    let read = tokio::time::timeout(patience, udp.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    is_line(std::str::from_utf8(&buffer[..read]).unwrap());
    let (mut stream, _) = tokio::time::timeout(patience, tcp.accept())
        .await
        .unwrap()
        .unwrap();
    let read = tokio::time::timeout(patience, stream.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let framed = std::str::from_utf8(&buffer[..read]).unwrap();
    let (length, line) = framed.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), line.len());
    is_line(line);
    for running in running {
        running.abort();
    }
}

#[tokio::test]
async fn a_person_is_erased_and_every_proof_stays_valid() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let record = carl.ask(&desk, "account.create").await.unwrap();
    carl.approve(&desk, &record).await.unwrap();
    let check = async || {
        let bundle = desk.evidence(record.id).await.unwrap().to_json().unwrap();
        let report = sceau_proof::evidence::check(
            &bundle,
            &sceau_proof::evidence::Trust {
                log: log_key().verifying_key(),
                witnesses: &[],
                sources: sceau_proof::attestation::trust::Sources {
                    anchors: None,
                    metadata: None,
                },
                at: None,
            },
        );
        let requester = report
            .checks()
            .iter()
            .find(|check| check.check == "requester")
            .map(|check| check.result);
        (
            report.accepted(),
            requester,
            String::from_utf8(bundle).unwrap(),
        )
    };
    let (accepted, requester, _) = check().await;
    assert!(accepted);
    assert_eq!(requester, Some(sceau_proof::evidence::Outcome::Passed));
    let store = open(&place.url).await;
    let out = folder.path().join("before");
    export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    let before = std::fs::read(out.join("checkpoint")).unwrap();
    let before = checkpoint::open(&before, log_key().verifying_key(), &[]).unwrap();

    // Not while the person may act.
    let asked = alice
        .ask_own(&desk, "person.erase", serde_json::json!({"person": "carl"}))
        .await
        .unwrap();
    assert!(alice.approve(&desk, &asked).await.is_err());
    let suspension = alice
        .ask_own(
            &desk,
            "person.suspend",
            serde_json::json!({"person": "carl"}),
        )
        .await
        .unwrap();
    alice.approve(&desk, &suspension).await.unwrap();
    let asked = alice
        .ask_own(&desk, "person.erase", serde_json::json!({"person": "carl"}))
        .await
        .unwrap();
    let done = alice.approve(&desk, &asked).await.unwrap();
    assert_eq!(done.state.as_str(), "executed");
    assert!(done.result.unwrap()["openings"].as_u64().unwrap() >= 5);

    // Nothing readable is left beside the log, and everything that was proven is.
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let held: Vec<&String> = entries
        .iter()
        .filter_map(|entry| entry.openings.as_ref())
        .filter(|openings| openings.contains("\"carl\""))
        .collect();
    assert_eq!(held, Vec::<&String>::new());
    drop(connection);
    assert_eq!(
        desk.person(&"carl".parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .display,
        "(erased)"
    );
    let (accepted, requester, _) = check().await;
    assert!(accepted);
    assert_ne!(requester, Some(sceau_proof::evidence::Outcome::Failed));
    assert_ne!(requester, Some(sceau_proof::evidence::Outcome::Passed));
    let out = folder.path().join("after");
    let after = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!(audited(&out), after.size);
    // What was there before is a prefix of what is there now.
    let edge = std::fs::read(
        folder
            .path()
            .join("before/tile/entries/000.p")
            .join(before.size().to_string()),
    );
    let now = std::fs::read_dir(out.join("tile/entries/000.p"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(
        std::fs::read(now.path())
            .unwrap()
            .starts_with(&edge.unwrap())
    );
}

#[tokio::test]
async fn a_permit_of_a_stolen_key_is_not_active_and_said() {
    use sceau_proof::permit::{self, SigningKey as PermitKey};

    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let approved = alice.approve(&desk, &record).await.unwrap();
    let genuine = approved.permit.unwrap();
    let portal = "portal".parse().unwrap();
    let now = desk.now();
    let claims = permit::verify(&genuine, &desk.jwks(), crate::fixture::URL, "portal", now)
        .unwrap()
        .claims()
        .clone();
    // The thief has the key: the same action, another text; and an action that nobody asked for.
    let stolen = PermitKey::from_pkcs8(place.permit_key()).unwrap();
    let mut other = claims.clone();
    other.authorization_details = vec![serde_json::json!({"type": "right.grant"})];
    let mut unknown = claims.clone();
    unknown.jti = uuid::Uuid::from_u128(7);
    let random = aws_lc_rs::rand::SystemRandom::new();
    for forged in [&other, &unknown] {
        let forged = permit::sign(&stolen, forged, &random).unwrap();
        for consume in [false, true] {
            assert_eq!(
                desk.introspect(&forged, &portal, consume).await.unwrap(),
                None
            );
        }
    }
    let store = open(&place.url).await;
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let alerts = entries
        .iter()
        .filter(|entry| String::from_utf8_lossy(&entry.body).contains("alert.permit-unlogged"))
        .count();
    assert_eq!(alerts, 1, "said once a minute, not each time");
    drop(connection);
    // The genuine one serves still.
    assert!(
        desk.introspect(&genuine, &portal, true)
            .await
            .unwrap()
            .is_some()
    );
    // After a rotation the bundle has the key that signed then; the new key's name is in the log.
    let bundle = desk.evidence(record.id).await.unwrap();
    let signed_by = bundle.permit.unwrap().jwks.keys[0].kid.clone();
    drop(desk);
    let mut place = place;
    place.rotate_permit_key();
    let desk = place.desk("one").await.unwrap();
    assert_ne!(desk.jwks().keys[0].kid, signed_by);
    let bundle = desk.evidence(record.id).await.unwrap();
    assert_eq!(bundle.permit.as_ref().unwrap().jwks.keys[0].kid, signed_by);
    let mut connection = store.reader().await.unwrap();
    let entries = sceau_server::store::log::entries(&mut connection, 0, 10_000)
        .await
        .unwrap();
    let changes = entries
        .iter()
        .filter(|entry| String::from_utf8_lossy(&entry.body).contains("permit-key.changed"))
        .count();
    assert_eq!(changes, 2);
}

#[tokio::test]
async fn an_incident_report_holds_what_they_did_with_its_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    place.clock.shift(time::Duration::minutes(30));
    let since = desk.now();
    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let record = carl.ask(&desk, "account.create").await.unwrap();
    carl.approve(&desk, &record).await.unwrap();
    let refused = carl.ask(&desk, "account.create").await.unwrap();
    desk.refuse(
        refused.id,
        carl.id.clone(),
        sceau_server::desk::RefusalReason::NotMe,
        None,
    )
    .await
    .unwrap();
    let store = open(&place.url).await;
    let question = sceau_server::report::Question {
        person: "alice".parse().unwrap(),
        since,
        until: desk.now(),
        house: "Sceau".to_owned(),
    };
    let incident = sceau_server::report::incident(&store, &log_key(), &question, desk.now())
        .await
        .unwrap();
    // Whom alice begot is hers; what bob did is not.
    let accounts: Vec<&str> = incident.accounts.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(accounts, ["alice", "carl"]);
    assert!(
        incident
            .actions
            .iter()
            .any(|it| it["id"] == serde_json::json!(record.id))
    );
    assert!(incident.actions.iter().any(|it| it["reason"] == "not-me"));
    assert!(
        incident
            .timeline
            .iter()
            .all(|it| !it.persons.values().any(|person| person == "bob"))
    );
    assert!(
        incident
            .timeline
            .iter()
            .any(|it| it.kind == "action.approved")
    );
    let target = checkpoint::open(
        incident.log.checkpoint.as_bytes(),
        log_key().verifying_key(),
        &[],
    )
    .unwrap();
    assert_eq!(incident.timeline.len(), incident.log.entries.len());
    for (moment, entry) in incident.timeline.iter().zip(&incident.log.entries) {
        assert_eq!(moment.index, entry.index);
        sceau_proof::log::verify_inclusion(
            &leaf_hash(&entry.leaf),
            entry.index,
            target.size(),
            &entry.inclusion,
            target.root(),
        )
        .unwrap();
    }
    for language in [
        sceau_server::report::Language::Fr,
        sceau_server::report::Language::En,
    ] {
        let page = sceau_server::report::page(&incident, language);
        assert!(
            page.contains("action.refused") && page.contains("carl"),
            "{page}"
        );
        assert!(!page.contains("<script"));
    }
}

/// What an attacker does to the database, and what finds it. Each mutation is made on a copy of the files that an auditor mirrors, or on the store
/// itself; nothing is found by luck: each kind names the checks that may catch it.
mod mutation {
    use std::collections::BTreeMap;

    use super::*;

    /// How often each check found something.
    type Caught = BTreeMap<&'static str, usize>;

    /// A small generator of numbers: the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % most.max(1)
        }
    }

    fn audit(
        checkpoint: &[u8],
        leaves: &[Vec<u8>],
        tiles: &BTreeMap<(u8, u64), Hash>,
        earlier: Option<&checkpoint::VerifiedCheckpoint>,
    ) -> Result<(), &'static str> {
        use sceau_proof::log::audit::AuditError;

        let target = checkpoint::open(checkpoint, log_key().verifying_key(), &[])
            .map_err(|_| "checkpoint")?;
        let word = |error: AuditError| match error {
            AuditError::Entry { .. } => "entry-malformed",
            AuditError::Leaf { .. } => "entry-not-in-tree",
            AuditError::Node(_) => "tile-inconsistent",
            AuditError::TooMany(_) => "file-malformed",
            AuditError::Missing(_) => "entry-missing",
            AuditError::Rewritten { .. } => "rewritten",
            AuditError::Root => "root-mismatch",
        };
        let mut audit = Audit::new(target, earlier.cloned()).map_err(word)?;
        for leaf in leaves {
            audit
                .entry(leaf, |node| tiles.get(&(node.level, node.index)).copied())
                .map_err(word)?;
        }
        audit.finish().map(drop).map_err(word)
    }

    #[tokio::test]
    async fn every_one_of_a_thousand_mutations_is_found_and_by_what() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(format!(
            "sqlite:{}",
            folder.path().join("sceau.db").display()
        ));
        let desk = place.desk("one").await.unwrap();
        let (alice, _) = place.found(&desk).await;
        while desk
            .checkpoint()
            .await
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            < 300
        {
            alice.ask(&desk, "account.create").await.unwrap();
        }
        let store = open(&place.url).await;
        let mut connection = store.reader().await.unwrap();
        let stored = sceau_server::store::log::entries(&mut connection, 0, 100_000)
            .await
            .unwrap();
        drop(connection);
        let honest: Vec<Vec<u8>> = stored.into_iter().map(|entry| entry.body).collect();
        let size = u64::try_from(honest.len()).unwrap();
        let hashes: Vec<Hash> = honest.iter().map(|leaf| leaf_hash(leaf)).collect();
        let mut tiles: BTreeMap<(u8, u64), Hash> = (0..size)
            .zip(&hashes)
            .map(|(index, hash)| ((0, index), *hash))
            .collect();
        let node = sceau_proof::log::Node { level: 8, index: 0 };
        tiles.insert((8, 0), tree::subtree_root(&hashes[..], node).unwrap());
        let signed = |leaves: &[Vec<u8>]| {
            let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
            let size = u64::try_from(leaves.len()).unwrap();
            let root = tree::tree_root(&hashes[..], size).unwrap();
            Checkpoint::new(ORIGIN, size, root)
                .sign(&log_key())
                .unwrap()
                .to_string()
                .into_bytes()
        };
        let checkpoint = signed(&honest);
        assert_eq!(audit(&checkpoint, &honest, &tiles, None), Ok(()));
        // What an auditor, a witness or an agent saw last week.
        let seen = signed(&honest[..250]);
        let seen = checkpoint::open(&seen, log_key().verifying_key(), &[]).unwrap();

        let mut dice = Dice(20_261_122);
        let mut caught = Caught::new();
        let mut total = 0;
        for round in 0..1_200 {
            let (mut leaves, mut tiles, mut checkpoint) =
                (honest.clone(), tiles.clone(), checkpoint.clone());
            let at = dice.below(leaves.len());
            // Whoever has the key signs again over what they changed: then only who saw the log before can tell.
            let mut by = None;
            let allowed: &[&str] = match round % 8 {
                0 => {
                    let byte = dice.below(leaves[at].len());
                    leaves[at][byte] ^= 1 << dice.below(8);
                    &["entry-malformed", "entry-not-in-tree"]
                }
                1 => {
                    leaves.remove(at);
                    &["entry-not-in-tree", "entry-missing"]
                }
                2 => {
                    leaves.truncate(at);
                    &["entry-missing"]
                }
                3 => {
                    let other = (at + 1 + dice.below(leaves.len() - 1)) % leaves.len();
                    leaves.swap(at, other);
                    &["entry-not-in-tree"]
                }
                4 => {
                    let place = *tiles.keys().nth(dice.below(tiles.len())).unwrap();
                    let hash = tiles.get_mut(&place).unwrap();
                    hash.0[dice.below(32)] ^= 1 << dice.below(8);
                    &["entry-not-in-tree", "tile-inconsistent"]
                }
                5 => {
                    let byte = dice.below(checkpoint.len());
                    checkpoint[byte] ^= 1 << dice.below(7);
                    &["checkpoint"]
                }
                6 => {
                    // Entries and tiles rewritten together, the old signature kept.
                    leaves[at] = honest[(at + 7) % honest.len()].clone();
                    tiles.clear();
                    &["root-mismatch"]
                }
                _ => {
                    // Rewritten, and signed anew with the stolen key.
                    let at = dice.below(250);
                    if dice.below(2) == 0 {
                        leaves.remove(at);
                    } else {
                        leaves.truncate(at);
                    }
                    tiles.clear();
                    checkpoint = signed(&leaves);
                    by = Some(&seen);
                    &["rewritten"]
                }
            };
            let found = audit(&checkpoint, &leaves, &tiles, by);
            // Two equal entries swapped, or an equal one put there, are no mutation.
            if leaves == honest && found.is_ok() && round % 8 != 4 && round % 8 != 5 {
                continue;
            }
            total += 1;
            let reason = found.expect_err(&format!("round {round} was not found"));
            assert!(
                allowed.contains(&reason),
                "round {round}: {reason}, not one of {allowed:?}"
            );
            *caught.entry(reason).or_default() += 1;
        }
        assert!(total >= 1_000, "{total}");
        eprintln!("{total} mutations, caught by {caught:?}");
    }
}

/// What a bundle says, without what may be left out of it: `of` names the members that `changed` does not have any more.
fn without_what_is_missing(changed: &mut serde_json::Value, of: &mut serde_json::Value) {
    let entries = of["log"]["entries"].as_array().unwrap().len();
    let mut optional = vec![
        (String::new(), "permit"),
        ("/policy".to_owned(), "text"),
        ("/permit/jwks/keys/0".to_owned(), "alg"),
        ("/permit/jwks/keys/0".to_owned(), "use"),
    ];
    optional.extend((0..entries).map(|i| (format!("/log/entries/{i}"), "openings")));
    for (parent, name) in optional {
        let known = of.pointer_mut(&parent).and_then(|it| it.as_object_mut());
        let shown = changed
            .pointer_mut(&parent)
            .and_then(|it| it.as_object_mut());
        let (Some(known), Some(shown)) = (known, shown) else {
            continue;
        };
        // Of a public key these two are for libraries: the signature is checked as ES256 whatever they say.
        if !shown.contains_key(name) || parent.starts_with("/permit") {
            shown.retain(|it, _| known.contains_key(it) && it != name);
            known.remove(name);
        }
    }
}

/// A bundle as the server makes it, each byte of it changed in turn (every eleventh; `SCEAU_MUTATIONS=all` for all): refused, unless the change is in the
/// name of something that may be missing.
#[tokio::test]
async fn no_byte_of_a_bundle_that_matters_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!(
        "sqlite:{}",
        folder.path().join("sceau.db").display()
    ));
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    let outcome = sceau_server::action::Outcome::Answered {
        upstream_status: 201,
    };
    desk.record_execution(record.id, outcome).await.unwrap();
    let bundle = desk.evidence(record.id).await.unwrap().to_json().unwrap();
    let key = log_key();
    let accepted = |bytes: &[u8]| {
        let trust = sceau_proof::evidence::Trust {
            log: key.verifying_key(),
            witnesses: &[],
            sources: Default::default(),
            at: None,
        };
        sceau_proof::evidence::check(bytes, &trust).accepted()
    };
    assert!(accepted(&bundle));
    let step = if std::env::var("SCEAU_MUTATIONS").is_ok_and(|it| it == "all") {
        1
    } else {
        11
    };
    let (mut changed, mut unnoticed) = (0, 0);
    for at in (0..bundle.len()).step_by(step) {
        let mut bytes = bundle.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        changed += 1;
        if accepted(&bytes) {
            unnoticed += 1;
            let mut said = serde_json::from_slice(&bytes).unwrap();
            let mut genuine = serde_json::from_slice(&bundle).unwrap();
            without_what_is_missing(&mut said, &mut genuine);
            let around = String::from_utf8_lossy(&bundle[at.saturating_sub(40)..at + 1]);
            assert_eq!(said, genuine, "byte {at}, after {around}");
        }
    }
    assert!(
        changed >= 1_000 && unnoticed * 50 < changed,
        "{unnoticed} of {changed}"
    );
    eprintln!("{changed} changes, {unnoticed} in names of what may be missing");
}

/// Whoever is woken by an alert finds in docs/alerts.md what it means.
#[test]
fn every_alert_of_the_source_is_in_the_document() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/alerts.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut found = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("\"alert.").skip(1) {
                let name = rest.split(|it: char| !it.is_ascii_lowercase() && it != '-');
                let name = name.take(1).collect::<String>();
                if !name.is_empty() {
                    found.insert(name);
                }
            }
        }
    }
    assert!(found.len() >= 12, "{found:?}");
    for name in found {
        assert!(page.contains(&format!("`{name}`")), "alert.{name}");
    }
}
