//! Witnesses: what they answer and remember, and permits that wait for them.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use sceau_proof::log::note::{KeyKind, Note, SigningKey as LogKey};
use sceau_proof::log::witness::AddCheckpoint;
use sceau_proof::log::{Checkpoint, Hash, checkpoint, consistency_proof, leaf_hash, tree};
use sceau_server::witness::{self, Witness};
use tower::ServiceExt as _;

use super::{log_key, open, ports, tamper, witness_in};
use crate::fixture::{ORIGIN, Place};

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
