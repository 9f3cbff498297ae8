//! What a person at a desktop sees: a notification for each action that waits, the action in words, the PIN dialog, the touch. A program of its own
//! (`sceau-desktop`) and a client of the agent's socket like `sceau`: the agent stays closed tightly, and one that runs as a system user is served
//! alike. Whoever attaches at a terminal is asked there; both come one after the other, which is the agent's doing.
//!
//! Trusted: the session's pinentry and, for one sentence, its notification server; the agent's texts are escaped already. Every dialog is withdrawn when
//! its action is settled elsewhere or expires. Here nothing is signed and no PIN is kept. An idle desktop is not woken: timers run only while an action
//! waits or the agent is gone.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sceau_locale::foreign;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use crate::agent::Clock;
use crate::locale::Language;
use crate::prompt::terminal::Message;
use crate::socket::watch::{Snapshot, Waiting};

pub mod assuan;
mod bus;
mod ceremony;
mod client;
pub mod dialog;
mod notification;
pub mod pace;

use ceremony::{End, Wish};
use client::Connection;
use notification::{Event, Urgency, Voice};
use pace::Pace;

/// Between two tries to reach an agent that is gone: the first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// What the program is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agent's socket.
    pub socket: PathBuf,
    /// The pinentry program.
    pub pinentry: OsString,
    /// The person's language.
    pub language: Language,
    /// The time of day.
    pub clock: Clock,
}

/// Why there is no desktop to speak to.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// Another one runs in this session.
    AlreadyRunning,
    /// The session bus.
    Bus(#[from] zbus::Error),
}

impl DesktopError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::AlreadyRunning => language.text("fault-desktop-twice").into_owned(),
            Self::Bus(error) => {
                let reason = foreign(language, &error.to_string());
                language.text_with("fault-desktop-bus", &[("reason", reason.into())])
            }
        }
    }
}

impl fmt::Display for DesktopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

/// Shows what waits, until the session bus is gone.
///
/// # Errors
/// [`DesktopError`].
pub async fn run(settings: Settings) -> Result<(), DesktopError> {
    let (show, shows) = unbounded_channel();
    let bus = bus::serve(show).await.map_err(|e| match e {
        zbus::Error::NameTaken => DesktopError::AlreadyRunning,
        e => DesktopError::Bus(e),
    })?;
    let voice = Rc::new(Voice::new(&bus).await?);
    let events = voice.events().await?;
    let mut desktop = Desktop {
        settings: Rc::new(settings),
        bus,
        voice,
        snapshot: Snapshot::default(),
        seen: Vec::new(),
        open: None,
        pace: Pace::default(),
        ceremony: None,
    };
    desktop.follow(events, shows).await;
    Ok(())
}

/// A notification that is up.
struct Open {
    notification: u32,
    action: Uuid,
}

type Ceremony = Pin<Box<dyn Future<Output = (Uuid, End)>>>;

struct Desktop {
    settings: Rc<Settings>,
    bus: zbus::Connection,
    voice: Rc<Voice>,
    snapshot: Snapshot,
    /// Actions that were shown already, or put off.
    seen: Vec<Uuid>,
    open: Option<Open>,
    pace: Pace,
    ceremony: Option<Ceremony>,
}

impl Desktop {
    async fn follow(
        &mut self,
        mut events: impl Stream<Item = Event> + Unpin,
        mut shows: UnboundedReceiver<()>,
    ) {
        let mut pause = PAUSES[0];
        loop {
            let request = json!({ "op": "watch", "lang": self.settings.language.code() });
            if let Ok(mut agent) = Connection::open(&self.settings.socket, &request).await {
                pause = PAUSES[0];
                if !self.watch(&mut agent, &mut events, &mut shows).await {
                    return;
                }
            }
            self.take(Snapshot::default()).await;
            // The ceremony's own connection is gone as well.
            self.ceremony = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    /// Until the agent is gone (true) or the session bus is (false).
    async fn watch(
        &mut self,
        agent: &mut Connection,
        events: &mut (impl Stream<Item = Event> + Unpin),
        shows: &mut UnboundedReceiver<()>,
    ) -> bool {
        loop {
            self.consider().await;
            let wake = self.next_wake();
            let ended = async {
                match &mut self.ceremony {
                    Some(ceremony) => ceremony.await,
                    None => std::future::pending().await,
                }
            };
            let wake = async {
                match wake {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = agent.next() => match message {
                    Some(Message::Event(mut event)) => {
                        let snapshot = serde_json::from_value(event["watch"].take());
                        self.take(snapshot.unwrap_or_default()).await;
                    }
                    Some(_) => {}
                    None => return true,
                },
                event = events.next() => match event {
                    Some(event) => self.notified(event).await,
                    None => return false,
                },
                Some(()) = shows.recv() => self.show(),
                (action, end) = ended => {
                    self.ceremony = None;
                    self.after(action, end).await;
                }
                () = wake => {}
            }
        }
    }

    async fn take(&mut self, snapshot: Snapshot) {
        if let Err(e) = bus::tell(&self.bus, &snapshot).await {
            tracing::debug!(error = %e, "the session bus was not told");
        }
        self.snapshot = snapshot;
        let waits = |id: &Uuid| self.snapshot.waiting.iter().any(|one| one.id == *id);
        self.seen.retain(waits);
    }

    fn now(&self) -> OffsetDateTime {
        (self.settings.clock)()
    }

    /// Puts up or takes away what the state asks for.
    async fn consider(&mut self) {
        let is_asked_elsewhere = self.snapshot.asking.is_some() && self.ceremony.is_none();
        if let Some(open) = &self.open {
            let waits = self.waiting(open.action).is_some();
            if !waits || is_asked_elsewhere || self.snapshot.unattended {
                self.voice.close(open.notification).await;
                self.open = None;
            }
        }
        // Nothing of an action stands on a locked screen, or pops up for whoever sits there next.
        if self.ceremony.is_some() || is_asked_elsewhere || self.snapshot.unattended {
            return;
        }
        let summoned = self.snapshot.summoned.and_then(|id| self.waiting(id));
        if let Some(waiting) = summoned.filter(|waiting| !self.seen.contains(&waiting.id)) {
            // The person has just asked for it, in the browser.
            self.begin(waiting, Wish::See).await;
            return;
        }
        if self.open.is_some() || self.pace.may_prompt(self.now()).is_err() {
            return;
        }
        if let Some(waiting) = self.unseen() {
            self.announce(waiting).await;
        }
    }

    /// What waits under this id, if it has not expired.
    fn waiting(&self, id: Uuid) -> Option<Waiting> {
        let now = self.now();
        let all = self.snapshot.waiting.iter();
        all.filter(|waiting| left(waiting, now).is_some())
            .find(|waiting| waiting.id == id)
            .cloned()
    }

    fn unseen(&self) -> Option<Waiting> {
        let now = self.now();
        let all = self.snapshot.waiting.iter();
        all.filter(|waiting| left(waiting, now).is_some())
            .find(|waiting| !self.seen.contains(&waiting.id))
            .cloned()
    }

    /// When the state asks for something without an event: the notification's action expires, the quiet ends.
    fn next_wake(&self) -> Option<Duration> {
        let now = self.now();
        if let Some(open) = &self.open {
            return left(&self.waiting(open.action)?, now);
        }
        if self.ceremony.is_some() || self.unseen().is_none() {
            return None;
        }
        let end = self.pace.may_prompt(now).err()?;
        Duration::try_from(end - now).ok()
    }

    async fn announce(&mut self, waiting: Waiting) {
        let language = self.settings.language;
        let behind = self.snapshot.waiting.len() - 1;
        let mut body = waiting.title.clone();
        if behind > 0 {
            body.push_str(&format!("\n{}", dialog::behind(behind, language)));
        }
        let (see, refuse) = (
            language.text("prompt-notification-see"),
            language.text("prompt-notification-refuse"),
        );
        let actions = ["default", &*see, "see", &*see, "refuse", &*refuse];
        let summary = language.text("prompt-notification-awaits");
        let shown = self
            .voice
            .show(0, &summary, &body, &actions, Urgency::Critical)
            .await;
        match shown {
            Some(notification) => {
                self.open = Some(Open {
                    notification,
                    action: waiting.id,
                });
            }
            // Nobody shows notifications here: the dialog itself comes.
            None => self.begin(waiting, Wish::See).await,
        }
    }

    async fn notified(&mut self, event: Event) {
        let id = match &event {
            Event::Chosen(id, _) | Event::Closed(id) => *id,
        };
        let Some(open) = self.open.take_if(|open| open.notification == id) else {
            return;
        };
        let Some(waiting) = self.waiting(open.action) else {
            return;
        };
        match event {
            Event::Chosen(_, choice) => {
                self.voice.close(id).await;
                let wish = if choice == "refuse" {
                    Wish::Refuse
                } else {
                    Wish::See
                };
                self.begin(waiting, wish).await;
            }
            Event::Closed(_) => {
                self.seen.push(waiting.id);
                self.unwanted().await;
            }
        }
    }

    /// Somebody asked, on the bus, for what waits.
    fn show(&mut self) {
        if let Some(oldest) = self.snapshot.waiting.first() {
            self.snapshot.summoned = Some(oldest.id);
            self.seen.retain(|seen| *seen != oldest.id);
        }
    }

    async fn begin(&mut self, waiting: Waiting, wish: Wish) {
        if let Some(open) = self.open.take() {
            self.voice.close(open.notification).await;
        }
        self.seen.push(waiting.id);
        let (settings, voice) = (Rc::clone(&self.settings), Rc::clone(&self.voice));
        self.ceremony = Some(Box::pin(async move {
            let id = waiting.id;
            (id, ceremony::run(&settings, &voice, waiting, wish).await)
        }));
    }

    async fn after(&mut self, action: Uuid, end: End) {
        tracing::debug!(action_id = %action, ?end, "prompted");
        match end {
            End::Sealed => self.pace.wanted(),
            End::Refused | End::PutOff => self.unwanted().await,
            // The person is told of a failure, and did not ask for it.
            End::Failed => {}
        }
    }

    async fn unwanted(&mut self) {
        let now = self.now();
        if !self.pace.unwanted(now) {
            return;
        }
        let language = self.settings.language;
        let until = self.pace.may_prompt(now).err().unwrap_or(now) - now;
        let minutes = until.whole_minutes();
        tracing::warn!(minutes, "too many prompts that nobody wanted");
        let body = language.text_with("prompt-quiet", &[("minutes", minutes.into())]);
        let summary = language.text("prompt-quiet-title");
        self.voice
            .show(0, &summary, &body, &[], Urgency::Critical)
            .await;
    }
}

/// How long an action still waits; `None`: no longer.
fn left(waiting: &Waiting, now: OffsetDateTime) -> Option<Duration> {
    let end = OffsetDateTime::parse(&waiting.expires_at, &Rfc3339).ok()?;
    Duration::try_from(end - now)
        .ok()
        .filter(|left| !left.is_zero())
}

/// A request of the socket, in the person's language.
fn request(mut request: Value, language: Language) -> Value {
    request["lang"] = language.code().into();
    request
}
