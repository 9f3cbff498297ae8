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
