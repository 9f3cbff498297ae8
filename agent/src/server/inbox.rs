//! Following a person's inbox: greeting, actions, what has been settled. Reconnects with a growing, jittered pause; asks the server nothing while
//! connected, and is woken by nothing but its bytes.
//!
//! Events are claims: actions are kept verbatim, and the relying party that the greeting names must be the configured one.

use std::time::Duration;

use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event_stream::Parser;
use super::{Person, Server, ServerError};
use crate::ceremony::EnrolledKey;
use crate::config::RpId;
use crate::presence::Asked;
use crate::session::Token;

/// The first pause after a lost connection.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the inbox said.
pub enum Event {
    /// Connected.
    Hello(Hello),
    /// An action awaits this person.
    Action(Awaiting),
    /// An action awaits nobody any more.
    Settled(Settled),
    /// A key is to prove that it is there.
    Presence(Asked),
    /// The connection is gone, for this reason; it will be tried again.
    Lost(ServerError),
}

/// The greeting.
#[derive(Deserialize)]
pub struct Hello {
    /// Whose inbox it is.
    pub person: Person,
    /// The relying party that the server claims to be; checked before anyone sees this.
    pub rp_id: String,
    /// The person's keys.
    #[serde(default)]
    pub keys: Vec<EnrolledKey>,
    /// How many keys their roles want them to have.
    #[serde(default)]
    pub keys_wanted: u8,
}

/// An action that awaits this person, as claimed.
#[derive(Clone, Deserialize)]
pub struct Awaiting {
    /// The action document, verbatim.
    pub action: Box<RawValue>,
    /// The keys that may seal it, perhaps none; without it any of the person's.
    #[serde(default)]
    pub keys: Option<Vec<EnrolledKey>>,
}

/// An action that was settled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settled {
    /// Which.
    pub id: Uuid,
    /// How.
    pub state: String,
}

/// Follows the inbox of `token`'s person until the server says that the session is over, and returns that refusal.
pub async fn follow(
    server: &Server,
    rp_id: &RpId,
    token: &Token,
    on_event: impl Fn(Event),
) -> ServerError {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut greeted = false;
        let ended = listen(server, rp_id, token, &on_event, &mut greeted).await;
        if ended.is_signed_out() {
            return ended;
        }
        if greeted {
            pause = FIRST_PAUSE;
        }
        tracing::debug!(error = %ended, pause = ?pause, "inbox lost");
        on_event(Event::Lost(ended));
        tokio::time::sleep(jittered(pause)).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

async fn listen(
    server: &Server,
    rp_id: &RpId,
    token: &Token,
    on_event: &impl Fn(Event),
    greeted: &mut bool,
) -> ServerError {
    let mut body = match server.open_inbox(token).await {
        Ok(body) => body,
        Err(e) => return e,
    };
    let mut parser = Parser::default();
    loop {
        let bytes = match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => bytes,
                Err(_) => continue,
            },
            Some(Err(e)) => return ServerError::Unavailable(e.to_string()),
            None => return ServerError::Unavailable("the server closed the inbox".into()),
        };
        let events = match parser.push(&bytes) {
            Ok(events) => events,
            Err(_) => return ServerError::Malformed("the inbox is not an event stream"),
        };
        for event in events {
            match read(&event.name, &event.data, rp_id, *greeted) {
                Ok(Some(event)) => {
                    *greeted |= matches!(event, Event::Hello(_));
                    on_event(event);
                }
                Ok(None) => {}
                Err(e) => return e,
            }
        }
    }
}

fn read(name: &str, data: &str, rp_id: &RpId, greeted: bool) -> Result<Option<Event>, ServerError> {
    let malformed =
        |_| ServerError::Malformed("an event of the inbox is not what the API describes");
    match name {
        "hello" => {
            let hello: Hello = serde_json::from_str(data).map_err(malformed)?;
            if hello.rp_id != rp_id.as_str() {
                return Err(ServerError::Untrusted(
                    "it speaks for another relying party".into(),
                ));
            }
            Ok(Some(Event::Hello(hello)))
        }
        _ if !greeted => Err(ServerError::Malformed(
            "the inbox does not begin with a greeting",
        )),
        "action" => Ok(Some(Event::Action(
            serde_json::from_str(data).map_err(malformed)?,
        ))),
        "settled" => Ok(Some(Event::Settled(
            serde_json::from_str(data).map_err(malformed)?,
        ))),
        "presence" => Ok(Some(Event::Presence(
            serde_json::from_str(data).map_err(malformed)?,
        ))),
        // Additions to the API are free.
        _ => Ok(None),
    }
}

/// Between half and the whole of `pause`, so that agents do not return all at once after a restart of the server.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8];
    if aws_lc_rs::rand::fill(&mut byte).is_err() {
        return pause;
    }
    pause / 2 + pause * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_before_the_greeting_of_the_configured_relying_party() {
        let rp_id = RpId::new("sceau.example").unwrap();
        let hello = |rp: &str| {
            format!(r#"{{"person":{{"id":"a"}},"rp_id":"{rp}","server_time":"x","keys":[]}}"#)
        };
        let settled = r#"{"id":"01938f6e-0000-7000-8000-000000000000","state":"refused"}"#;
        assert!(matches!(
            read("settled", settled, &rp_id, false),
            Err(ServerError::Malformed(_))
        ));
        assert!(matches!(
            read("hello", &hello("evil.example"), &rp_id, false),
            Err(ServerError::Untrusted(_))
        ));
        assert!(matches!(
            read("hello", &hello("sceau.example"), &rp_id, false),
            Ok(Some(Event::Hello(_)))
        ));
        assert!(matches!(
            read("settled", settled, &rp_id, true),
            Ok(Some(Event::Settled(_)))
        ));
        assert!(matches!(read("novelty", "?", &rp_id, true), Ok(None)));
    }

    #[test]
    fn pause_stays_within_its_half_and_its_whole() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(60));
            assert!((Duration::from_secs(30)..=Duration::from_secs(60)).contains(&pause));
        }
    }
}
