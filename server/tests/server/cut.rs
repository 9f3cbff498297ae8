use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sceau_server::action::{Outcome, State};
use sceau_server::desk::{CancelReason, Desk, DeskError, RefusalReason};
use sceau_server::session::SessionKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::conformance::{count, log};
use crate::fixture::Place;
use crate::postgres::Postgres;

const SOCKET: &str = ".s.PGSQL.5432";
/// As a simple query has it.
const COMMIT: &[u8] = b"COMMIT\0";

/// The wire between the server and PostgreSQL. When it is told to, it passes the next `COMMIT` on, hears that it is done, and breaks: what was written
/// stands, and whoever wrote it is not told.
struct Wire {
    folder: tempfile::TempDir,
    armed: Arc<AtomicBool>,
    cuts: Arc<AtomicU32>,
}

impl Wire {
    fn to(postgres: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let (armed, cuts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (target, is_armed, counted) =
            (postgres.join(SOCKET), Arc::clone(&armed), Arc::clone(&cuts));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&target).await.unwrap();
                let (armed, cuts) = (Arc::clone(&is_armed), Arc::clone(&counted));
                tokio::spawn(async move { pass(client, server, &armed, &cuts).await });
            }
        });
        Self {
            folder,
            armed,
            cuts,
        }
    }

    /// Does something whose commit is not answered, and says so. It was the one cut.
    async fn cut<T: std::fmt::Debug>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, DeskError>>,
    ) {
        let before = self.cuts.load(Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
        let answer = work.await;
        assert!(
            !self.armed.load(Ordering::SeqCst),
            "{what}: nothing was committed"
        );
        assert_eq!(self.cuts.load(Ordering::SeqCst), before + 1, "{what}");
        assert_eq!(answer.err(), Some(DeskError::Unavailable), "{what}");
    }
}

async fn pass(client: UnixStream, server: UnixStream, armed: &AtomicBool, cuts: &AtomicU32) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cutting = AtomicBool::new(false);
    let asked = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await.unwrap_or(0);
            let sent = &buffer[..read];
            if sent.windows(COMMIT.len()).any(|it| it == COMMIT)
                && armed.swap(false, Ordering::SeqCst)
            {
                cutting.store(true, Ordering::SeqCst);
            }
            if read == 0 || to_server.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    let answered = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            if read > 0 && cutting.load(Ordering::SeqCst) {
                let said = &buffer[..read];
                assert!(
                    said.windows(COMMIT.len()).any(|it| it == COMMIT),
                    "it is done"
                );
                cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = asked => (), () = answered => () }
}

async fn state(desk: &Desk, id: sceau_server::id::ActionId) -> State {
    desk.action(id).await.unwrap().unwrap().state
}

/// The table "fails, **persisted**" of docs/log.md: the caller hears `Unavailable`, asks again by identifier, and finds it done, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_unheard_is_found_done_and_not_done_again() {
    let Some(mut postgres) = Postgres::start() else {
        return;
    };
    let url = postgres.database().await;
    let wire = Wire::to(postgres.folder());
    let url = url.replace(
        &postgres.folder().display().to_string(),
        &wire.folder.path().display().to_string(),
    );
    let place = Place::new(url);
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let portal = || "portal".parse().unwrap();

    // Asked for: the action is there, and waits; nobody was told its name.
    let entries = log(&desk).await.len();
    wire.cut("asked", alice.ask(&desk, "account.create")).await;
    assert_eq!(log(&desk).await.len(), entries + 1);

    // Approved: done, with its permit; the second time it is told so.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    wire.cut("approved", alice.approve(&desk, &record)).await;
    let shown = desk.action(record.id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.approvals.len()), (State::Approved, 1));
    assert!(shown.permit.is_some());
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::AlreadySettled(State::Approved))
    );

    // The gate's use: taken, and not given again; nothing was forwarded.
    wire.cut("consumed", desk.consume(record.id)).await;
    assert_eq!(
        desk.consume(record.id).await.err(),
        Some(DeskError::AlreadyUsed)
    );
    let outcome = || Outcome::Answered {
        upstream_status: 201,
    };
    wire.cut("executed", desk.record_execution(record.id, outcome()))
        .await;
    assert_eq!(
        desk.record_execution(record.id, outcome()).await,
        Err(DeskError::AlreadySettled(State::Executed))
    );

    // A service's use.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let permit = alice.approve(&desk, &record).await.unwrap().permit.unwrap();
    wire.cut("used", desk.introspect(&permit, &portal(), true))
        .await;
    assert_eq!(desk.introspect(&permit, &portal(), true).await, Ok(None));
    assert_eq!(state(&desk, record.id).await, State::Consumed);

    // Refused, cancelled.
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let refuse = || desk.refuse(record.id, alice.id.clone(), RefusalReason::Mistake, None);
    wire.cut("refused", refuse()).await;
    assert_eq!(
        refuse().await,
        Err(DeskError::AlreadySettled(State::Refused))
    );
    let record = alice.ask(&desk, "account.create").await.unwrap();
    let cancel = || desk.cancel(record.id, CancelReason::ClientGone);
    wire.cut("cancelled", cancel()).await;
    assert_eq!(
        cancel().await,
        Err(DeskError::AlreadySettled(State::Refused))
    );

    // Sessions.
    let token = bob.sign_in(&desk, SessionKind::Agent).await;
    let session = desk.session(&token).await.unwrap().unwrap().id;
    wire.cut("suspended", desk.suspend_session(session, "test"))
        .await;
    assert!(!desk.session(&token).await.unwrap().unwrap().is_active());

    let cuts = wire.cuts.load(Ordering::SeqCst);
    assert_eq!(cuts, 8);
    let entries = log(&desk).await;
    for (kind, times) in [
        ("action.requested", 5 + 3),
        ("permit.consumed", 2),
        ("action.refused", 2),
        ("session.suspended", 1),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
}
