//! Streams that are open when their session is suspended end: answers that still flow, and WebSockets. Whoever is suspended in the middle of
//! a download has it cut off within a second, at every instance.
//!
//! One task for a gate looks again at the sessions that have something open, when the desk says that something was ended, and does nothing
//! otherwise. A session whose state cannot be read is cut off: fail closed.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::desk::Desk;
use crate::gate::forward::Body;
use crate::id::SessionId;

/// How soon those who came are looked at once more.
const LOOK: Duration = Duration::from_millis(500);

/// What is open, by session.
#[derive(Debug, Default)]
struct Board {
    open: Mutex<HashMap<SessionId, (usize, CancellationToken)>>,
    fresh: Mutex<HashSet<SessionId>>,
    arrivals: Notify,
}

/// The open exchanges of a gate.
#[derive(Debug)]
pub(super) struct Exchanges {
    board: Arc<Board>,
    _watch: DropGuard,
}

/// The session was suspended in the middle of the answer.
#[derive(Debug, thiserror::Error)]
#[error("the session was suspended")]
struct CutOff;

/// One open exchange; forgotten when dropped.
#[derive(Debug)]
pub(super) struct Place {
    board: Arc<Board>,
    session: SessionId,
    end: CancellationToken,
}

impl Place {
    /// Resolves when the session is suspended.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.board.open();
        if let Some((count, _)) = open.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.session);
            }
        }
    }
}

impl Board {
    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, (usize, CancellationToken)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> Vec<SessionId> {
        self.open().keys().copied().collect()
    }

    /// Those who came since this was asked last, and are still there.
    fn take_fresh(&self) -> Vec<SessionId> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let came = std::mem::take(&mut *fresh);
        drop(fresh);
        let open = self.open();
        came.into_iter()
            .filter(|session| open.contains_key(session))
            .collect()
    }
}

impl Exchanges {
    /// None yet; the task that watches ends with this.
    #[must_use]
    pub(super) fn start(desk: Desk) -> Self {
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(watch(desk, Arc::clone(&board))),
        );
        Self {
            board,
            _watch: stop.drop_guard(),
        }
    }

    /// Something opens for this session.
    #[must_use]
    pub(super) fn enter(&self, session: SessionId) -> Place {
        let board = Arc::clone(&self.board);
        let mut fresh = board.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(session);
        drop(fresh);
        let mut open = board.open();
        let (count, end) = open
            .entry(session)
            .or_insert_with(|| (0, CancellationToken::new()));
        *count += 1;
        let end = end.clone();
        drop(open);
        board.arrivals.notify_one();
        Place {
            board,
            session,
            end,
        }
    }

    /// An answer that ends with its session.
    pub(super) fn guard(&self, session: SessionId, response: Response<Body>) -> Response<Body> {
        use hyper::body::Body as _;
        if response.body().is_end_stream() {
            return response;
        }
        let place = self.enter(session);
        response.map(|body| {
            Guarded {
                body,
                end: None,
                place,
            }
            .boxed_unsync()
        })
    }
}

/// A body that breaks off when its session is suspended.
struct Guarded {
    body: Body,
    /// Made when there is something to wait for.
    end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    place: Place,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.place.end.is_cancelled() {
            return Poll::Ready(Some(Err(Box::new(CutOff))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // Only who waits has to be woken.
        if frame.is_pending() {
            let this = &mut *self;
            let end = this
                .end
                .get_or_insert_with(|| Box::pin(this.place.end.clone().cancelled_owned()));
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(Box::new(CutOff))));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn watch(desk: Desk, board: Arc<Board>) {
    let mut endings = None;
    loop {
        if board.open().is_empty() {
            // Nobody to look after: nothing is asked of the store, here or on behalf of others.
            endings = None;
            board.arrivals.notified().await;
        }
        let watched = endings.get_or_insert_with(|| desk.endings());
        let sessions = tokio::select! {
            changed = watched.changed() => match changed {
                Ok(()) => board.sessions(),
                Err(_) => return,
            },
            // Those who came since, once: they may have been let in a moment before the end.
            () = tokio::time::sleep(LOOK) => board.take_fresh(),
        };
        for session in sessions {
            let lives = match desk.session_named(session).await {
                Ok(found) => found.is_some_and(|session| session.is_active()),
                Err(error) => {
                    tracing::warn!(%error, "an open exchange's session cannot be read: cut off");
                    false
                }
            };
            if !lives && let Some((_, end)) = board.open().get(&session) {
                end.cancel();
            }
        }
    }
}
