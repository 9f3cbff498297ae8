//! `GET /v1/inbox`: what awaits one person, as server-sent events. No periodic bytes: an idle agent is never woken.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{PersonCaller, Problem, view};
use crate::desk::{Desk, DeskError, Inbox, InboxEvent};
use crate::id::SessionId;

/// One open stream.
struct Stream {
    desk: Desk,
    inbox: Inbox,
    session: SessionId,
    endings: tokio::sync::watch::Receiver<()>,
    hello: Option<Value>,
}

/// The inbox of the caller.
#[utoipa::path(get, path = "/v1/inbox",
    responses((status = 200, description = "events hello, action, settled, presence", content_type = "text/event-stream"), (status = 401, body = super::problem::ProblemBody)))]
pub(super) async fn stream(
    State(desk): State<Desk>,
    PersonCaller(session): PersonCaller,
) -> Result<Response, Problem> {
    let person = desk
        .person(&session.person)
        .await?
        .ok_or(Problem::not_found())?;
    let inbox = desk.subscribe_session(&session).await?;
    let server_time = desk
        .now()
        .format(&Rfc3339)
        .map_err(|_| Problem::from(DeskError::Misuse("time")))?;
    let hello = json!({
        "person": { "id": person.id, "display": person.display, "roles": person.roles },
        "rp_id": desk.rp_id(),
        "server_time": server_time,
        "keys": desk.keys(&session.person).await?,
        "keys_wanted": desk.keys_wanted(&person.roles),
    });
    let state = Stream {
        endings: desk.endings(),
        desk,
        inbox,
        session: session.id,
        hello: Some(hello),
    };
    let events = stream::unfold(state, |mut state| async move {
        // An error ends the stream; the agent reconnects and is told everything again.
        let event = state.next().await?;
        Some((Ok::<Event, Infallible>(event), state))
    });
    let no_buffering = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok((
        [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            no_buffering,
        ],
        Sse::new(events),
    )
        .into_response())
}

impl Stream {
    /// What the inbox tells next; `None` when it, or the session, has ended.
    async fn news(&mut self) -> Option<InboxEvent> {
        let Self {
            desk,
            inbox,
            session,
            endings,
            ..
        } = self;
        let next = inbox.next();
        tokio::pin!(next);
        loop {
            tokio::select! {
                news = &mut next => return news.ok(),
                changed = endings.changed() => {
                    changed.ok()?;
                    if !desk.session_named(*session).await.ok()??.is_active() {
                        return None;
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        if let Some(hello) = self.hello.take() {
            return Some(event("hello", &hello));
        }
        let news = self.news().await?;
        // A session that was suspended or ended meanwhile is told nothing more.
        let session = self.desk.session_named(self.session).await.ok()??;
        if !session.is_active() {
            return None;
        }
        match news {
            InboxEvent::Action(record) => {
                let keys = self.desk.keys_for(&session.person, &record).await.ok()?;
                let action = view::document(&record).ok()?;
                Some(event(
                    "action",
                    &json!({ "action": action, "state": record.state, "requirement": record.requirement, "keys": keys }),
                ))
            }
            InboxEvent::Settled(id, state) => {
                Some(event("settled", &json!({ "id": id, "state": state })))
            }
            InboxEvent::Presence(asked) => {
                Some(event("presence", &super::presence::asked(&asked)?))
            }
        }
    }
}

fn event(name: &str, data: &Value) -> Event {
    // JSON text has no line breaks: one `data:` line.
    Event::default().event(name).data(data.to_string())
}
