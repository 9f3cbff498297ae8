//! The seat, as logind tells it on the system bus (org.freedesktop.login1): whether somebody sits at this person's session, and how to lock it.
//!
//! *Attended* means: of the person's sessions that have a seat, at least one is active and not locked; where none has a seat (SSH, a server), nobody
//! else can take it, and it is attended. A machine that goes to sleep is not. Signals are only a reason to look: what holds is read from logind's
//! properties, so a lost or forged signal costs a look. Nothing polls. Without a system bus or logind everything is attended and nothing can be locked.
//!
//! Trusted: logind. Deliberately elsewhere: what follows from it ([`crate::presence`]).

use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, MatchRule, MessageStream};

use crate::agent::Agent;
use crate::presence::{self, Unattended};

const SERVICE: &str = "org.freedesktop.login1";
const PLACE: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long logind may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sessions that are looked at; nobody has so many.
const MAX_SESSIONS: usize = 64;

/// A connection to logind.
#[derive(Clone)]
pub struct Seat {
    bus: Connection,
    uid: u32,
}

/// One session of the person, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    path: OwnedObjectPath,
    has_seat: bool,
    active: bool,
    locked: bool,
}

/// What somebody's sessions mean.
fn judge(sessions: &[Session]) -> Option<Unattended> {
    let seated = || sessions.iter().filter(|session| session.has_seat);
    if seated().next().is_none() || seated().any(|session| session.active && !session.locked) {
        None
    } else if seated().any(|session| session.active) {
        Some(Unattended::Locked)
    } else {
        Some(Unattended::Inactive)
    }
}

impl Seat {
    /// Reaches the system bus, for this user.
    ///
    /// # Errors
    /// There is no bus, or it refuses us.
    pub async fn connect() -> zbus::Result<Self> {
        let bus = Connection::system().await?;
        let uid = rustix::process::getuid().as_raw();
        Ok(Self { bus, uid })
    }

    async fn call<A>(&self, method: &str, arguments: &A) -> zbus::Result<zbus::Message>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let call = self
            .bus
            .call_method(Some(SERVICE), PLACE, Some(MANAGER), method, arguments);
        timely(call).await
    }

    async fn sessions(&self) -> zbus::Result<Vec<Session>> {
        type Listed = Vec<(String, u32, String, String, OwnedObjectPath)>;
        let listed: Listed = self.call("ListSessions", &()).await?.body().deserialize()?;
        let mut sessions = Vec::new();
        let ours = listed.into_iter().filter(|(_, uid, ..)| *uid == self.uid);
        for (_, _, _, seat, path) in ours.take(MAX_SESSIONS) {
            // A session that ended in between says nothing.
            let (Ok(class), Ok(active), Ok(locked)) = (
                self.text(&path, "Class").await,
                self.flag(&path, "Active").await,
                self.flag(&path, "LockedHint").await,
            ) else {
                continue;
            };
            if class == "user" {
                sessions.push(Session {
                    path,
                    has_seat: !seat.is_empty(),
                    active,
                    locked,
                });
            }
        }
        Ok(sessions)
    }

    async fn property(&self, path: &OwnedObjectPath, name: &str) -> zbus::Result<OwnedValue> {
        let arguments = (SESSION, name);
        let call = self
            .bus
            .call_method(Some(SERVICE), path, Some(PROPERTIES), "Get", &arguments);
        timely(call).await?.body().deserialize()
    }

    async fn flag(&self, path: &OwnedObjectPath, name: &str) -> zbus::Result<bool> {
        Ok(bool::try_from(self.property(path, name).await?)?)
    }

    async fn text(&self, path: &OwnedObjectPath, name: &str) -> zbus::Result<String> {
        Ok(String::try_from(self.property(path, name).await?)?)
    }

    /// Asks logind to lock this person's sessions that have a seat.
    pub async fn lock(&self) {
        let sessions = match self.sessions().await {
            Ok(sessions) => sessions,
            Err(error) => return tracing::warn!(%error, "the desktop cannot be locked"),
        };
        for session in sessions.iter().filter(|session| session.has_seat) {
            let call =
                self.bus
                    .call_method(Some(SERVICE), &session.path, Some(SESSION), "Lock", &());
            match timely(call).await {
                Ok(_) => tracing::info!("the desktop is locked"),
                Err(error) => tracing::warn!(%error, "the desktop could not be locked"),
            }
        }
    }

    /// Everything that logind says.
    async fn signals(&self) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SERVICE)?
            .path_namespace(PLACE)?
            .build();
        MessageStream::for_match_rule(rule, &self.bus, None).await
    }
}

async fn timely<A>(call: impl Future<Output = zbus::Result<A>>) -> zbus::Result<A> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer,
        Err(_) => Err(zbus::Error::Failure("logind does not answer".to_owned())),
    }
}

/// Whether the machine goes to sleep (`true`) or has woken up, when the message is that signal.
fn sleeping(message: &zbus::Message) -> Option<bool> {
    let header = message.header();
    let told =
        header.interface()?.as_str() == MANAGER && header.member()?.as_str() == "PrepareForSleep";
    told.then(|| message.body().deserialize().ok()).flatten()
}

/// Whether a message may change what [`judge`] says.
fn concerns(message: &zbus::Message) -> bool {
    let header = message.header();
    let member = header.member().map(|member| member.as_str().to_owned());
    matches!(
        member.as_deref(),
        Some("PropertiesChanged" | "SessionNew" | "SessionRemoved" | "PrepareForSleep")
    )
}

/// Follows the seat for as long as logind is there.
pub async fn follow(agent: Rc<Agent>) {
    let seat = match Seat::connect().await {
        Ok(seat) => seat,
        Err(error) => {
            tracing::info!(%error, "no system bus: nobody says who sits here");
            return;
        }
    };
    match watch(&agent, seat).await {
        Ok(()) => tracing::warn!("the system bus is gone"),
        Err(error) => tracing::info!(%error, "no logind: nobody says who sits here"),
    }
    agent.seat.replace(None);
    presence::attended(&agent, None).await;
}

async fn watch(agent: &Rc<Agent>, seat: Seat) -> zbus::Result<()> {
    // Listened to before the first look: nothing falls in between.
    let mut signals = seat.signals().await?;
    let mut asleep = false;
    presence::attended(agent, judge(&seat.sessions().await?)).await;
    agent.seat.replace(Some(Rc::new(seat.clone())));
    while let Some(message) = signals.next().await {
        let message = message?;
        if !concerns(&message) {
            continue;
        }
        asleep = sleeping(&message).unwrap_or(asleep);
        let now = if asleep {
            Some(Unattended::Asleep)
        } else {
            // logind was restarted, say: the next signal is another chance.
            match seat.sessions().await {
                Ok(sessions) => judge(&sessions),
                Err(error) => {
                    tracing::warn!(%error, "logind does not answer");
                    continue;
                }
            }
        };
        presence::attended(agent, now).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(has_seat: bool, active: bool, locked: bool) -> Session {
        Session {
            path: OwnedObjectPath::try_from("/s").unwrap(),
            has_seat,
            active,
            locked,
        }
    }

    #[test]
    fn somebody_sits_at_an_active_session_that_is_not_locked() {
        assert_eq!(judge(&[]), None);
        assert_eq!(judge(&[session(false, true, false)]), None);
        assert_eq!(judge(&[session(true, true, false)]), None);
        assert_eq!(
            judge(&[session(true, true, true)]),
            Some(Unattended::Locked)
        );
        assert_eq!(
            judge(&[session(true, false, false)]),
            Some(Unattended::Inactive)
        );
        // Another way in does not stand for a seat that somebody else took, or that is locked.
        let ssh = session(false, true, false);
        assert_eq!(
            judge(&[ssh.clone(), session(true, false, false)]),
            Some(Unattended::Inactive)
        );
        assert_eq!(
            judge(&[ssh, session(true, true, true)]),
            Some(Unattended::Locked)
        );
        // Two seats: the one where somebody sits counts.
        assert_eq!(
            judge(&[session(true, false, true), session(true, true, false)]),
            None
        );
    }
}
