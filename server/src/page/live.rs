//! Where an action stands, told to its page as it changes (server-sent events, WHATWG HTML §9.2).
//!
//! `event: state` with `{"state","awaits","approved"}` at once and after each change; the stream ends with the action, and with the session, after
//! which nothing more is told. No periodic bytes. Every event is decided anew from the store: for whom it is, and whether the session still holds.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Pages;
use crate::action::{ActionRecord, State};
use crate::id::ActionId;
use crate::session::Session;

/// What such a request accepts.
pub(super) const KIND: &str = "text/event-stream";
/// After so long the store is read although nobody told of a change.
const LOOK: Duration = Duration::from_secs(25);

/// One open stream.
struct Live {
    pages: Pages,
    session: Session,
    action: ActionId,
    endings: watch::Receiver<()>,
    told: Option<Value>,
    /// What was seen at the last look: any change of it is a reason for the next.
    seen: Option<(State, usize)>,
}

/// The stream of one action for the page that this session looks at. `record` is for its eyes already.
pub(super) fn stream(pages: Pages, session: Session, record: ActionRecord) -> Response {
    let live = Live {
        endings: pages.desk().endings(),
        pages,
        session,
        action: record.id,
        told: None,
        seen: None,
    };
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<Event, Infallible>(event), live))
    });
    let no_buffering = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([no_store, no_buffering], Sse::new(events)).into_response()
}

impl Live {
    /// The next event; `None` ends the stream. An error ends it too: the page asks again, and is told why.
    async fn next(&mut self) -> Option<Event> {
        while !self.seen.is_some_and(|(state, _)| state.is_final()) {
            let (desk, seen) = (self.pages.desk(), self.seen);
            let changed = |record: &ActionRecord| Some(of(record)) != seen;
            let record = tokio::select! {
                found = desk.wait_for(self.action, LOOK, changed) => found.ok()??,
                ended = self.endings.changed() => {
                    ended.ok()?;
                    desk.action(self.action).await.ok()??
                }
            };
            let session = desk.session_named(self.session.id).await.ok()??;
            let person = &session.person;
            if !session.is_active() || !self.pages.concerns(&record, person).await.ok()? {
                return None;
            }
            self.seen = Some(of(&record));
            let now = json!({
                "state": record.state,
                "awaits": desk.awaits(&record, person).await.ok()?,
                "approved": has_approved(&record, person),
            });
            if self.told.as_ref() != Some(&now) {
                let event = Event::default().event("state").data(now.to_string());
                self.told = Some(now);
                return Some(event);
            }
        }
        None
    }
}

fn of(record: &ActionRecord) -> (State, usize) {
    (record.state, record.approvals.len())
}

/// Whether this person's approval counts already.
pub(super) fn has_approved(record: &ActionRecord, person: &crate::id::PersonId) -> bool {
    record.approvals.iter().any(|one| one.person == *person)
}
