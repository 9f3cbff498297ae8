//! The daemon's one state: who is signed in, what awaits that person, which authenticators are there. For one thread; everything that changes it
//! says so, and whoever waits for a change is woken by that and by nothing else.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::info::AuthenticatorInfo;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

use crate::ceremony::{EnrolledKey, Unfit};
use crate::config::{Config, Places};
use crate::hidraw;
use crate::life::message;
use crate::locale::Language;
use crate::log::{BreachKind, View};
use crate::pcsc;
use crate::piv;
use crate::presence::{self, Presence};
use crate::prompt::{Progress, Prompt, Secret};
use crate::queue::{Arrival, Queue};
use crate::reader::{
    self, AuthenticatorError, Authenticators, Condition, Handle, Link, Transport, Whereabouts,
};
use crate::seat::Seat;
use crate::server::inbox::{self, Event};
use crate::server::{Person, Server, ServerError};
use crate::session::{self, Session, Token};

/// Most invitations that are kept until they are asked for.
const MAX_INVITATIONS: usize = 16;

/// The time of day, from the main that owns a clock.
pub type Clock = fn() -> OffsetDateTime;

/// Why a request of a person was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request is not one; which text of the catalogue says why.
    Misuse(&'static str),
    /// Nobody is signed in.
    SignedOut,
    /// Nothing awaits the person (any more).
    NothingPending,
    /// The person said no, or stopped.
    Declined {
        /// Whether the server was told.
        reported: bool,
    },
    /// The action was settled elsewhere or expired; its state.
    Withdrawn(String),
    /// The document, or the authenticator's answer, may not be used.
    Unfit(Unfit),
    /// The authenticator.
    Authenticator(AuthenticatorError),
    /// The server.
    Server(ServerError),
    /// The server's log is not what it was: nothing is sealed until a person has resolved it.
    LogBreach(BreachKind),
    /// A file of the agent's own; the system's reason.
    File(String),
    /// The authenticator holds a key that is somebody's: it is not erased.
    Somebodys,
    /// Whether the authenticator holds a key that is somebody's cannot be told: too many of its model are enrolled.
    TooManyToTell,
}

impl From<Unfit> for Failure {
    fn from(error: Unfit) -> Self {
        Self::Unfit(error)
    }
}

impl From<AuthenticatorError> for Failure {
    fn from(error: AuthenticatorError) -> Self {
        Self::Authenticator(error)
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

/// The inbox, as people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "inbox", rename_all = "kebab-case")]
pub enum Inbox {
    /// Nobody is signed in.
    SignedOut,
    /// Connecting.
    Connecting,
    /// Connected.
    Connected,
    /// Not connected, for this reason; tried again.
    Lost {
        /// For people.
        reason: String,
    },
}

/// Follows authenticators as they come and go, for as long as the monitor tells.
pub async fn follow_readers(
    agent: Rc<Agent>,
    mut events: tokio::sync::mpsc::UnboundedReceiver<pcsc::Event>,
) {
    let mut there: HashMap<pcsc::Place, u64> = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            pcsc::Event::Arrived(place) => {
                let link = pcsc::CardLink::new(place.clone());
                let whereabouts = Whereabouts {
                    transport: Transport::SmartCard,
                    name: link.reader(),
                    serial: None,
                };
                if let Some(id) = take_in(&agent, whereabouts, link) {
                    there.insert(place, id);
                }
            }
            pcsc::Event::Left(place) => {
                if let Some(id) = there.remove(&place) {
                    tracing::info!(reader = %place.reader.to_string_lossy(), "authenticator gone");
                    let_go(&agent, id);
                    presence::departed(&agent, id, Transport::SmartCard);
                }
            }
            pcsc::Event::Service { up } => {
                tracing::info!(up, "pcscd");
                agent.smart_cards.set(up);
                if !up {
                    agent.outages.set(agent.outages.get() + 1);
                }
            }
        }
        agent.changed();
    }
}

/// Follows USB keys as they come and go, for as long as the monitor tells.
pub async fn follow_usb(
    agent: Rc<Agent>,
    roots: hidraw::Roots,
    mut events: tokio::sync::mpsc::UnboundedReceiver<hidraw::Event>,
) {
    let mut there: HashMap<hidraw::Node, u64> = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            hidraw::Event::Arrived(node) => {
                let whereabouts = Whereabouts {
                    transport: Transport::Usb,
                    name: node.name.clone(),
                    serial: node.serial.clone(),
                };
                let link = hidraw::NodeLink::new(node.clone(), &roots);
                if let Some(id) = take_in(&agent, whereabouts, link) {
                    there.insert(node, id);
                }
            }
            hidraw::Event::Left(node) => {
                if let Some(id) = there.remove(&node) {
                    tracing::info!(node = %node.path.display(), "authenticator gone");
                    let_go(&agent, id);
                    presence::departed(&agent, id, Transport::Usb);
                }
            }
        }
        agent.changed();
    }
}

/// Takes in an authenticator that has come, and has it asked what it is.
fn take_in(agent: &Rc<Agent>, whereabouts: Whereabouts, link: impl Link) -> Option<u64> {
    let handle = match Handle::start(link) {
        Ok(handle) => handle,
        Err(e) => {
            tracing::warn!(at = %whereabouts.name, error = %e, "an authenticator cannot be used");
            return None;
        }
    };
    let id = agent
        .authenticators
        .borrow_mut()
        .arrive(&whereabouts, handle.clone());
    if whereabouts.transport == Transport::SmartCard {
        let name = crate::text::one_line(&whereabouts.name, 100);
        let access = piv::Access::Reader(handle.clone());
        agent.cards.borrow_mut().arrive(id, name, access);
        tokio::task::spawn_local(piv::ask(Rc::clone(agent), id, handle.clone()));
    }
    tokio::task::spawn_local(ask(Rc::clone(agent), id, handle));
    Some(id)
}

fn let_go(agent: &Rc<Agent>, id: u64) {
    agent.cards.borrow_mut().leave(id);
    let alone = agent.authenticators.borrow_mut().leave(id);
    for (twin, handle) in alone {
        tokio::task::spawn_local(ask(Rc::clone(agent), twin, handle));
    }
}

/// When an authenticator that did not answer is asked again: another program may have been talking to it, or it was still starting. One that
/// is really gone is no longer listed by then.
pub(crate) const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Asks an authenticator what it is, a few times if it does not answer.
async fn ask(agent: Rc<Agent>, id: u64, handle: Handle) {
    let mut pauses = AGAIN.into_iter();
    loop {
        ask_once(&agent, id, &handle).await;
        let is_silent = agent
            .authenticators
            .borrow()
            .iter()
            .any(|(there, authenticator)| {
                // A card that was pulled and plugged while it was asked can even say that it has no such application.
                there == id
                    && matches!(authenticator.condition, Condition::Unusable(e) if e.may_pass() || e == AuthenticatorError::NotFido)
            });
        match pauses.next() {
            Some(pause) if is_silent => tokio::time::sleep(pause).await,
            _ => return presence::learn(&agent).await,
        }
    }
}

/// Asks an authenticator what it is, and whether it is one that is there already by another way.
async fn ask_once(agent: &Agent, id: u64, handle: &Handle) {
    let since = agent.now();
    let condition = reader::describe(handle).await;
    let twin = match &condition {
        Condition::Ready(info) => twin(agent, id, info).await,
        _ => None,
    };
    let took = (agent.now() - since).whole_milliseconds();
    {
        let mut authenticators = agent.authenticators.borrow_mut();
        match (&condition, twin) {
            (Condition::Unusable(e), _) => {
                tracing::info!(id, reason = %e, "not an authenticator for us")
            }
            (_, twin) => tracing::info!(id, ms = took, ?twin, "authenticator ready"),
        }
        match twin.filter(|twin| authenticators.is_there(twin.id)) {
            Some(twin) if twin.is_better => authenticators.describe(id, Condition::Twin(twin.id)),
            twin => {
                authenticators.describe(id, condition);
                if let Some(twin) = twin {
                    authenticators.describe(twin.id, Condition::Twin(id));
                }
            }
        }
    }
    agent.changed();
}

/// The same authenticator by another way.
#[derive(Debug, Clone, Copy)]
struct Twin {
    id: u64,
    is_better: bool,
}

/// USB is the better way: it has keep-alives, and no reader in between.
async fn twin(agent: &Agent, id: u64, info: &AuthenticatorInfo) -> Option<Twin> {
    let (this, others) = {
        let authenticators = agent.authenticators.borrow();
        (authenticators.as_ready(id, info)?, authenticators.ready())
    };
    for other in others {
        if other.transport != this.transport && this.is_same_as(&other).await {
            return Some(Twin {
                id: other.id,
                is_better: other.transport == Transport::Usb,
            });
        }
    }
    None
}

/// See [`Agent::prompting`].
struct Prompting<'a>(&'a Agent);

impl Drop for Prompting<'_> {
    fn drop(&mut self) {
        self.0.asking.set(None);
        self.0.changed();
    }
}

/// The daemon's state.
pub struct Agent {
    /// The configuration.
    pub config: Config,
    /// Its files.
    pub places: Places,
    /// The language of the daemon's own environment.
    pub language: Language,
    /// The configured server.
    pub server: Server,
    /// The authenticators that are there.
    pub authenticators: RefCell<Authenticators>,
    /// The PIV side of those that are smart cards.
    pub cards: RefCell<piv::Cards>,
    /// Whether pcscd answers.
    pub smart_cards: Cell<bool>,
    /// How often it went away: a reader that left with it was not pulled.
    pub outages: Cell<u64>,
    /// What keys prove of themselves.
    pub presence: Presence,
    /// logind, where there is one.
    pub seat: RefCell<Option<Rc<Seat>>>,
    /// The server's log, seen from here.
    pub log: View,
    clock: Clock,
    session: RefCell<Option<Session>>,
    person: RefCell<Option<Person>>,
    keys: RefCell<Vec<EnrolledKey>>,
    /// How many the person's roles want them to have, as the server says; 0 while it has not.
    pub(crate) keys_wanted: Cell<u8>,
    inbox: RefCell<Inbox>,
    queue: RefCell<Queue>,
    asking: Cell<Option<Uuid>>,
    summoned: Cell<Option<Uuid>>,
    invitations: RefCell<Vec<(Uuid, Secret)>>,
    changes: watch::Sender<()>,
    turn: Mutex<()>,
}

impl Agent {
    /// The state at start: the session that was kept, no authenticators yet.
    ///
    /// # Errors
    /// The server's certificate authorities or the session file cannot be used.
    pub fn new(
        config: Config,
        places: Places,
        language: Language,
        clock: Clock,
    ) -> Result<Rc<Self>, Failure> {
        let server = Server::new(&config)?;
        let session = session::load(&places.session, &config.server.text())
            .map_err(|e| Failure::File(format!("{}: {e}", places.session.display())))?;
        let log = View::load(
            places.log.clone(),
            &config.server.text(),
            config.log_key.clone(),
        )
        .map_err(|e| Failure::File(format!("{}: {e}", places.log.display())))?;
        let inbox = if session.is_some() {
            Inbox::Connecting
        } else {
            Inbox::SignedOut
        };
        Ok(Rc::new(Self {
            config,
            places,
            language,
            server,
            authenticators: RefCell::default(),
            cards: RefCell::default(),
            smart_cards: Cell::new(false),
            outages: Cell::new(0),
            presence: Presence::default(),
            seat: RefCell::default(),
            log,
            clock,
            session: RefCell::new(session),
            person: RefCell::default(),
            keys: RefCell::default(),
            keys_wanted: Cell::new(0),
            inbox: RefCell::new(inbox),
            queue: RefCell::default(),
            asking: Cell::new(None),
            summoned: Cell::new(None),
            invitations: RefCell::default(),
            changes: watch::channel(()).0,
            turn: Mutex::new(()),
        }))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Wakes whoever waits for a change.
    pub fn changed(&self) {
        self.changes.send_replace(());
    }

    /// Waits until `look` finds something; looks now and after every change.
    pub async fn until<A>(&self, mut look: impl FnMut(&Self) -> Option<A>) -> A {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The right to prompt, of which there is one.
    pub async fn turn(&self, prompt: &mut impl Prompt) -> MutexGuard<'_, ()> {
        match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                prompt.tell(Progress::Queued);
                self.turn.lock().await
            }
        }
    }

    /// The action that a person is being prompted for.
    #[must_use]
    pub fn asking(&self) -> Option<Uuid> {
        self.asking.get()
    }

    /// Notes that a person is being prompted for an action, until what it returns is dropped.
    pub fn prompting(&self, id: Uuid) -> impl Drop {
        self.asking.set(Some(id));
        self.changed();
        Prompting(self)
    }

    /// The action that the person has asked to see.
    #[must_use]
    pub fn summoned(&self) -> Option<Uuid> {
        self.summoned.get()
    }

    /// The person asked to see this action, which waits.
    pub fn summon(&self, id: Uuid) {
        self.summoned.set(Some(id));
        self.changed();
    }

    /// Keeps the invitation that the server showed with the last seal of `action`: it shows it once. In memory alone, and the newest few.
    pub fn keep_invitation(&self, action: Uuid, invitation: Secret) {
        let mut kept = self.invitations.borrow_mut();
        if kept.len() >= MAX_INVITATIONS {
            kept.remove(0);
        }
        kept.push((action, invitation));
    }

    /// The invitation that came of `action`, given back once.
    #[must_use]
    pub fn take_invitation(&self, action: Uuid) -> Option<Secret> {
        let mut kept = self.invitations.borrow_mut();
        let at = kept.iter().position(|(other, _)| *other == action)?;
        Some(kept.remove(at).1)
    }

    /// The session's bearer.
    ///
    /// # Errors
    /// [`Failure::SignedOut`].
    pub fn token(&self) -> Result<Token, Failure> {
        self.session
            .borrow()
            .as_ref()
            .map(|session| session.token.clone())
            .ok_or(Failure::SignedOut)
    }

    /// Whose agent this is: of the session, or as configured.
    #[must_use]
    pub fn person_id(&self) -> Option<String> {
        self.session
            .borrow()
            .as_ref()
            .map(|session| session.person.clone())
            .or_else(|| self.config.person.clone())
    }

    /// The person, once the server has greeted.
    #[must_use]
    pub fn person(&self) -> Option<Person> {
        self.person.borrow().clone()
    }

    /// The person's keys, as the server last named them.
    #[must_use]
    pub fn keys(&self) -> Vec<EnrolledKey> {
        self.keys.borrow().clone()
    }

    /// The inbox's state.
    #[must_use]
    pub fn inbox(&self) -> Ref<'_, Inbox> {
        self.inbox.borrow()
    }

    /// Looks into, or changes, the queue.
    pub fn with_queue<A>(&self, work: impl FnOnce(&mut Queue) -> A) -> A {
        work(&mut self.queue.borrow_mut())
    }

    /// An action is over: sealed, refused, expired or settled elsewhere.
    pub fn settle(&self, id: Uuid, state: &str) {
        if self.summoned.get() == Some(id) {
            self.summoned.set(None);
        }
        self.queue.borrow_mut().settle(id, state);
        self.changed();
    }

    /// Begins a session and keeps it.
    ///
    /// # Errors
    /// [`Failure::File`]: it could not be kept; it holds until the daemon ends.
    pub fn sign_in(&self, session: Session) -> Result<(), Failure> {
        let kept = session::save(&self.places.session, &session);
        self.presence.forget();
        self.queue.borrow_mut().clear();
        self.keys.borrow_mut().clear();
        self.person.replace(None);
        self.inbox.replace(Inbox::Connecting);
        self.session.replace(Some(session));
        self.changed();
        kept.map_err(|e| Failure::File(format!("{}: {e}", self.places.session.display())))
    }

    /// Ends the session here, and returns it.
    ///
    /// # Errors
    /// [`Failure::File`]: its file could not be removed.
    pub fn sign_out(&self) -> Result<Option<Session>, Failure> {
        let session = self.session.replace(None);
        self.presence.forget();
        self.queue.borrow_mut().clear();
        self.keys.borrow_mut().clear();
        self.person.replace(None);
        self.inbox.replace(Inbox::SignedOut);
        self.changed();
        session::forget(&self.places.session)
            .map_err(|e| Failure::File(format!("{}: {e}", self.places.session.display())))?;
        Ok(session)
    }

    /// Follows the inbox of whoever is signed in, for ever.
    pub async fn follow_inbox(&self) {
        loop {
            let token = self.until(|agent| agent.token().ok()).await;
            let other_session =
                self.until(|agent| (agent.token().ok().as_ref() != Some(&token)).then_some(()));
            tokio::select! {
                () = other_session => {}
                ended = inbox::follow(&self.server, &self.config.rp_id, &token, |event| self.inbox_event(event)) => {
                    tracing::info!(message_id = message::SIGNED_OUT, reason = %ended, "the session is over");
                    if let Err(e) = self.sign_out() {
                        tracing::warn!(error = ?e, "the session could not be forgotten");
                    }
                }
            }
        }
    }

    /// Looks at the server's log whenever there is a reason to, for ever.
    pub async fn follow_log(&self) {
        self.log
            .follow(&self.server, || self.now(), || self.changed())
            .await;
    }

    fn inbox_event(&self, event: Event) {
        match event {
            Event::Hello(hello) => {
                tracing::info!(keys = hello.keys.len(), "inbox connected");
                self.person.replace(Some(hello.person));
                self.keys.replace(hello.keys);
                self.keys_wanted.set(hello.keys_wanted);
                // What still awaits the person comes again.
                self.queue.borrow_mut().start_over();
                self.log.look();
                self.inbox.replace(Inbox::Connected);
            }
            Event::Action(awaiting) => {
                let keys = awaiting.keys.unwrap_or_else(|| self.keys());
                match self.queue.borrow_mut().arrive(
                    awaiting.action.get().as_bytes(),
                    keys,
                    self.now(),
                ) {
                    Arrival::Waits(id) => {
                        tracing::info!(message_id = message::AWAITS, action_id = %id, "an action awaits")
                    }
                    Arrival::Known(_) => {}
                    Arrival::Unfit(reason) => {
                        tracing::warn!(message_id = message::UNFIT, %reason, "an action was not taken up")
                    }
                    Arrival::TurnedAway => {
                        tracing::warn!(message_id = message::FLOOD, "too many actions wait")
                    }
                }
            }
            Event::Presence(asked) => self.presence.ask(asked),
            Event::Settled(settled) => self.queue.borrow_mut().settle(settled.id, &settled.state),
            Event::Lost(reason) => {
                if let ServerError::Untrusted(_) = reason {
                    tracing::warn!(message_id = message::UNTRUSTED_SERVER, %reason, "not the configured server");
                }
                self.inbox.replace(Inbox::Lost {
                    reason: reason.to_string(),
                });
            }
        }
        self.changed();
    }
}
