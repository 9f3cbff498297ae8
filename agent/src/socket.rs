//! The daemon's socket: one JSON object per line in both directions, for the same person's processes only (attack 16).
//!
//! The directory is 0700 and the socket 0600; beside that, the kernel says who connects, and any other uid is refused before a byte is read.
//! What does not begin like a JSON object (an HTTP request from a browser that found a way here) ends the connection at once. Lines, clients and
//! unanswered messages are bounded. Nothing else is listened on.
//!
//! A connection carries one request; while its ceremony runs the daemon asks and tells ([`crate::prompt`]). When the client goes away, the ceremony
//! ends, at the authenticator too.

use std::cell::Cell;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::agent::{Agent, Failure};
use crate::approval::{self, Outcome};
use crate::break_glass::{self, Opening};
use crate::enrolment;
use crate::handout;
use crate::lineage;
use crate::locale::Language;
use crate::piv::desk;
use crate::prompt::attached::Attached;
use crate::prompt::{Refusal, Secret};
use crate::reader::{Authenticator, AuthenticatorError, Condition};
use crate::record::{self, Record};
use crate::sign_in;
use crate::text;

pub mod watch;

/// The longest line that a client may send.
pub const MAX_LINE: usize = 8 * 1024;
/// Most clients at one time.
pub const MAX_CLIENTS: usize = 8;
/// How long a client may take to say what it wants, and to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client asks.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Op {
    /// What the agent is doing.
    Status,
    /// The authenticators that are there.
    Keys,
    /// Prompt for one action.
    Approve {
        /// Which; the oldest when absent.
        id: Option<Uuid>,
    },
    /// Refuse one action.
    Refuse {
        /// Which.
        id: Uuid,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// Enrol a key.
    Enroll {
        /// The secret.
        invitation: Secret,
        /// A name for the key.
        label: Option<String>,
        /// A PIV card, though FIDO2 keys may be there.
        #[serde(default)]
        card: bool,
        /// For somebody else: whoever sits here stays who they are.
        #[serde(default)]
        handover: bool,
        /// A PIN for the way.
        transport_pin: Option<Secret>,
    },
    /// A person's keys.
    Held {
        /// Whose.
        person: String,
    },
    /// Ask to revoke one of a person's keys, and seal it.
    Revoke {
        /// Whose.
        person: String,
        /// Which.
        key: Uuid,
        /// Why.
        reason: handout::Why,
    },
    /// Whether an invitation has made its key.
    IsUsed {
        /// The secret.
        invitation: Secret,
    },
    /// Look at the authenticator that is there: is it new, is it somebody's?
    Look,
    /// Erase the authenticator that is there.
    DangerReset {
        /// Its serial number, or its name where it tells none, as the person typed it.
        named: String,
    },
    /// Ask to enrol a key for somebody, and seal it.
    Invite {
        /// Whom (docs/api.md).
        person: Value,
    },
    /// Where such a request stands, and its invitation, once.
    Invited {
        /// Which.
        action: Uuid,
    },
    /// A help-desk operation on a PIV card.
    Card {
        /// Part of the name of the reader that it is in; needed when there are several.
        reader: Option<String>,
        /// Which.
        #[serde(flatten)]
        task: desk::Task,
    },
    /// Sign in by key.
    SignIn {
        /// Who.
        person: Option<String>,
    },
    /// Who descends from a person.
    Lineage {
        /// Whom.
        person: String,
        /// With a picture.
        #[serde(default)]
        svg: bool,
    },
    /// Ask for a person's suspension, and seal it.
    Suspend {
        /// Whom.
        person: String,
        /// The digest of the lineage that was shown, when all of it is meant.
        #[serde(default)]
        set: Option<Value>,
        /// They do not come back: their keys are revoked besides.
        #[serde(default)]
        leaves: bool,
    },
    /// Ask for a person to be restored, and seal it.
    Restore {
        /// Whom.
        person: String,
        /// With everything that fell with them.
        #[serde(default)]
        subtree: bool,
    },
    /// Ask for the glass to be broken, and seal it.
    BreakGlass(Opening),
    /// Ask for a fact to be recorded, and seal it.
    Record(Record),
    /// Show an opening's review, and seal it.
    Review {
        /// Which; the oldest that waits when absent.
        id: Option<Uuid>,
    },
    /// Sign out.
    SignOut,
    /// Say what is known of the server's log, or forget it.
    Log {
        /// Forget checkpoint, key and breach.
        #[serde(default)]
        forget: bool,
    },
    /// Prompt for every action as it arrives.
    Wait,
    /// Tell what changes ([`watch`]).
    Watch,
    /// Show the person this action now, wherever prompts are shown: what the bridge of a browser may ask.
    Summon {
        /// Which.
        id: Uuid,
    },
}

/// A request line.
#[derive(Deserialize)]
struct Request {
    /// The language to answer in; the daemon's when absent.
    lang: Option<Language>,
    #[serde(flatten)]
    op: Op,
}

/// The socket that is listened on; a file that was made for it is removed when dropped.
pub struct Socket {
    listener: UnixListener,
    made: Option<PathBuf>,
    served: u32,
}

impl Socket {
    /// Binds. A socket that a dead daemon left is replaced; one that answers is not.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`]: another daemon runs; [`io::ErrorKind::PermissionDenied`]: the directory is not this user's
    /// alone.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let metadata = std::fs::symlink_metadata(directory)?;
        if !metadata.is_dir()
            || metadata.uid() != rustix::process::geteuid().as_raw()
            || metadata.mode() & 0o022 != 0
        {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} is not this user's alone", directory.display()),
            ));
        }
        match std::fs::symlink_metadata(path) {
            Ok(file) if file.file_type().is_socket() => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(io::Error::new(
                        io::ErrorKind::AddrInUse,
                        "another sceau-agent is running",
                    ));
                }
                std::fs::remove_file(path)?;
            }
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} is not a socket", path.display()),
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // In place only once it listens and is this user's alone.
        let fresh = path.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        Ok(Self {
            listener,
            made: Some(path.to_owned()),
            served: rustix::process::geteuid().as_raw(),
        })
    }

    /// Takes a socket that the service manager listens on; its file stays the service manager's.
    ///
    /// # Errors
    /// The system's.
    pub fn inherited(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            made: None,
            served: rustix::process::geteuid().as_raw(),
        })
    }

    /// Serves the processes of this user, instead of the daemon's own: for a daemon that runs as a system user on one person's behalf.
    #[must_use]
    pub fn serving(mut self, uid: u32) -> Self {
        self.served = uid;
        self
    }

    /// Serves clients for ever.
    pub async fn serve(&self, agent: &Rc<Agent>) {
        let clients = Rc::new(Cell::new(0_usize));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a client");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if !is_of(&stream, self.served) || clients.get() >= MAX_CLIENTS {
                tracing::warn!("a client was refused");
                continue;
            }
            let place = Place::take(&clients);
            let agent = Rc::clone(agent);
            tokio::task::spawn_local(async move {
                let _place = place;
                serve(&agent, stream).await;
            });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Whether the kernel says that the peer is this user.
fn is_of(stream: &UnixStream, uid: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == uid)
}

/// One of [`MAX_CLIENTS`].
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(clients: &Rc<Cell<usize>>) -> Self {
        clients.set(clients.get() + 1);
        Self(Rc::clone(clients))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn serve(agent: &Rc<Agent>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut lines = Lines::new(read);
    let (out, to_write) = mpsc::unbounded_channel();
    let writer = tokio::task::spawn_local(write_all(write, to_write));
    if let Ok(Ok(Some(line))) = tokio::time::timeout(PATIENCE, lines.next()).await {
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                drop(line);
                let language = request.lang.unwrap_or(agent.language);
                let (answers, theirs) = mpsc::channel(1);
                let (gone_tx, gone) = oneshot::channel();
                let reader = tokio::task::spawn_local(read_all(lines, answers, gone_tx));
                let mut prompt = Attached::new(theirs, out.clone());
                let answer = tokio::select! {
                    biased;
                    answer = perform(agent, &mut prompt, language, request.op) => Some(answer),
                    _ = gone => None,
                };
                reader.abort();
                answer.map(|answer| answer.map_err(|failure| (failure, language)))
            }
            Err(_) => Some(Err((Failure::Misuse("fault-request-none"), agent.language))),
        };
        match answer {
            Some(Ok(done)) => drop(out.send(json!({ "done": done }))),
            Some(Err((failure, language))) => drop(out.send(error(&failure, language))),
            None => tracing::debug!("a client went away"),
        }
    }
    drop(out);
    drop(tokio::time::timeout(PATIENCE, writer).await);
}

fn error(failure: &Failure, language: Language) -> Value {
    json!({ "error": {
        "code": text::code(failure), "problem": text::problem(failure), "message": text::message(failure, language), "exit": text::exit_code(failure),
    } })
}

async fn write_all(mut write: OwnedWriteHalf, mut messages: mpsc::UnboundedReceiver<Value>) {
    while let Some(message) = messages.recv().await {
        let mut line = message.to_string();
        line.push('\n');
        if !matches!(
            tokio::time::timeout(PATIENCE, write.write_all(line.as_bytes())).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

/// Forwards answers; says so when the client is gone, or sends what nobody asked for.
async fn read_all(
    mut lines: Lines,
    answers: mpsc::Sender<Zeroizing<Vec<u8>>>,
    gone: oneshot::Sender<()>,
) {
    while let Ok(Some(line)) = lines.next().await {
        if answers.try_send(line).is_err() {
            break;
        }
    }
    let _ = gone.send(());
}

/// Lines that begin like JSON objects; erased after use, since some hold PINs.
struct Lines {
    read: OwnedReadHalf,
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
}

impl Lines {
    fn new(read: OwnedReadHalf) -> Self {
        Self {
            read,
            buffer: Zeroizing::new(vec![0; MAX_LINE]),
            filled: 0,
        }
    }

    /// The next line, without its line feed; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        loop {
            let filled = self.buffer.get(..self.filled).unwrap_or_default();
            if filled.first().is_some_and(|first| *first != b'{') {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if let Some(end) = filled.iter().position(|byte| *byte == b'\n') {
                let line = Zeroizing::new(filled.get(..end).unwrap_or_default().to_vec());
                self.buffer.copy_within(end + 1..self.filled, 0);
                let left = self.filled - end - 1;
                if let Some(rest) = self.buffer.get_mut(left..self.filled) {
                    rest.zeroize();
                }
                self.filled = left;
                return Ok(Some(line));
            }
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            if free.is_empty() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match self.read.read(free).await? {
                0 => return Ok(None),
                count => self.filled += count,
            }
        }
    }
}

async fn perform(
    agent: &Rc<Agent>,
    prompt: &mut Attached,
    language: Language,
    op: Op,
) -> Result<Value, Failure> {
    match op {
        Op::Status => Ok(status(agent, language)),
        Op::Keys => keys(agent, language).await,
        Op::Approve { id } => {
            let (id, outcome) = approval::approve(agent, prompt, language, id, &[]).await?;
            Ok(outcome_json(id, &outcome?))
        }
        Op::Refuse { id, refusal } => {
            let state = approval::refuse(agent, id, &refusal).await?;
            Ok(json!({ "id": id, "outcome": "refused", "state": state }))
        }
        Op::Card { reader, task } => {
            desk::perform(agent, prompt, language, reader.as_deref(), task).await
        }
        Op::Enroll {
            invitation,
            label,
            card,
            handover,
            transport_pin,
        } => {
            let wanted = enrolment::Wanted {
                label,
                card,
                handover,
                transport_pin,
            };
            let enrolled = enrolment::enroll(agent, prompt, language, &invitation, wanted).await?;
            Ok(json!(enrolled))
        }
        Op::Invite { person } => {
            let (id, outcome) = handout::invite(agent, prompt, language, person).await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::Invited { action } => handout::invited(agent, action).await,
        Op::Held { person } => handout::held(agent, &person).await,
        Op::Revoke {
            person,
            key,
            reason,
        } => {
            let asked = handout::revoke(agent, prompt, language, &person, key, reason);
            let (id, outcome) = asked.await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::IsUsed { invitation } => {
            let used = handout::is_used(agent, &invitation).await?;
            Ok(json!({ "used": used }))
        }
        Op::Look => Ok(json!(enrolment::look(agent, prompt).await?)),
        Op::DangerReset { named } => {
            enrolment::danger_reset(agent, prompt, &named).await?;
            Ok(json!({ "erased": true }))
        }
        Op::SignIn { person } => {
            let signed_in = sign_in::sign_in(agent, prompt, language, person).await?;
            Ok(json!({ "person": signed_in.person, "session_id": signed_in.session_id }))
        }
        Op::Lineage { person, svg } => lineage::look(agent, &person, svg).await,
        Op::Suspend {
            person,
            set,
            leaves,
        } => {
            let mut params = match set {
                Some(set) => json!({ "person": person, "cascade": true, "set": set }),
                None => json!({ "person": person }),
            };
            if leaves {
                params["leaves"] = json!(true);
            }
            let asked = lineage::ask(agent, prompt, language, "person.suspend", &person, params);
            let (id, outcome) = asked.await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::Restore { person, subtree } => {
            let params = json!({ "person": person, "subtree": subtree });
            let asked = lineage::ask(agent, prompt, language, "person.restore", &person, params);
            let (id, outcome) = asked.await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::BreakGlass(opening) => {
            let (id, outcome) = break_glass::open(agent, prompt, language, opening).await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::Record(what) => {
            let (id, outcome) = record::record(agent, prompt, language, what).await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::Review { id } => {
            let (id, outcome) = break_glass::review(agent, prompt, language, id).await?;
            Ok(outcome_json(id, &outcome))
        }
        Op::SignOut => sign_in::sign_out(agent).await.map(|()| json!({})),
        Op::Log { forget } => {
            if forget {
                agent
                    .log
                    .forget()
                    .map_err(|e| Failure::File(e.to_string()))?;
                agent.log.look();
                agent.changed();
            }
            Ok(log_status(agent, language))
        }
        Op::Wait => wait(agent, prompt, language).await,
        Op::Watch => watch::watch(agent, prompt, language).await,
        Op::Summon { id } => {
            approval::summon(agent, id).await?;
            Ok(json!({ "id": id, "state": "pending" }))
        }
    }
}

/// Prompts for every action as it arrives, each once, until the client goes away.
async fn wait(
    agent: &Rc<Agent>,
    prompt: &mut Attached,
    language: Language,
) -> Result<Value, Failure> {
    let mut seen: Vec<Uuid> = Vec::new();
    loop {
        agent.token()?;
        let something = |agent: &Agent| {
            let signed_out = agent.token().is_err();
            let waits = agent.with_queue(|queue| queue.next(None, &seen, agent.now()).is_some());
            (signed_out || waits).then_some(())
        };
        agent.until(something).await;
        match approval::approve(agent, prompt, language, None, &seen).await {
            Ok((id, outcome)) => {
                seen.push(id);
                prompt.send(match outcome {
                    Ok(outcome) => json!({ "event": outcome_json(id, &outcome) }),
                    Err(failure) => json!({ "event": { "id": id, "outcome": "failed", "code": text::code(&failure), "message": text::message(&failure, language) } }),
                });
            }
            Err(Failure::NothingPending) => {}
            Err(failure) => return Err(failure),
        }
    }
}

fn outcome_json(id: Uuid, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Sealed(state) => json!({ "id": id, "outcome": "sealed", "state": state }),
        Outcome::Refused(state) => json!({ "id": id, "outcome": "refused", "state": state }),
        Outcome::Later => json!({ "id": id, "outcome": "later", "state": "pending" }),
    }
}

fn status(agent: &Agent, language: Language) -> Value {
    let now = agent.now();
    let pending: Vec<Value> = agent.with_queue(|queue| {
        let one = |proposal: &crate::ceremony::Proposal| {
            json!({
                "id": proposal.id(),
                "type": text::one_line(proposal.action().kind(), 100),
                "service": text::one_line(proposal.action().service(), 100),
                "expires_at": proposal.expires_at().format(&Rfc3339).unwrap_or_default(),
            })
        };
        queue.waiting(now).map(one).collect()
    });
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "person": agent.person().map(|person| person.id).or_else(|| agent.person_id()),
        "server": agent.config.server.text(),
        "rp_id": agent.config.rp_id.as_str(),
        "pcscd": agent.smart_cards.get(),
        "authenticators": agent.authenticators.borrow().ready().len(),
        "cards": agent.cards.borrow().ready().len(),
        "refused": refused(agent, language),
        "pending": pending,
        "turned_away": agent.with_queue(|queue| queue.turned_away()),
        "presence": agent.presence.status(now),
        "log": log_status(agent, language),
    });
    if let (Value::Object(status), Ok(Value::Object(inbox))) =
        (&mut status, serde_json::to_value(&*agent.inbox()))
    {
        status.extend(inbox);
    }
    status
}

/// What is known of the server's log; in words when it is not what it was.
fn log_status(agent: &Agent, language: Language) -> Value {
    let mut status = agent.log.status();
    if let (Some(breach), Value::Object(status)) = (agent.log.breach(), &mut status) {
        let message = text::breach_message(breach.kind, language);
        status.insert("message".to_owned(), json!(message));
    }
    status
}

/// The authenticators that the system keeps from this user, and what to do.
fn refused(agent: &Agent, language: Language) -> Vec<Value> {
    let authenticators = agent.authenticators.borrow();
    let one = |(_, authenticator): (u64, &Authenticator)| match authenticator.condition {
        Condition::Unusable(
            reason @ (AuthenticatorError::Denied | AuthenticatorError::NodeDenied),
        ) => Some(json!({
            "reader": authenticator.name,
            "message": text::message(&Failure::Authenticator(reason), language),
        })),
        _ => None,
    };
    authenticators.iter().filter_map(one).collect()
}

async fn keys(agent: &Agent, language: Language) -> Result<Value, Failure> {
    let enrolled = agent.keys();
    let credentials: Vec<Vec<u8>> = enrolled
        .iter()
        .filter_map(crate::ceremony::EnrolledKey::credential)
        .collect();
    let mut keys = Vec::new();
    let mut there: Vec<(Value, Condition)> = Vec::new();
    for (id, a) in agent.authenticators.borrow().iter() {
        let key = json!({ "id": id, "transport": a.transport.text(), "reader": a.name, "serial": a.serial, "model": null });
        there.push((key, a.condition.clone()));
    }
    let of_module = agent.cards.borrow().of_module();
    for (id, name) in of_module {
        if let Some(mut card) = desk::describe(agent, id, language).await {
            card["id"] = json!(id);
            card["transport"] = json!("pkcs11");
            card["reader"] = json!(name);
            keys.push(card);
        }
    }
    let ready = agent.authenticators.borrow().ready();
    for (mut key, condition) in there {
        let id = key["id"].as_u64().unwrap_or_default();
        let card = desk::describe(agent, id, language).await;
        if let Some(mut card) = card {
            if let (Value::Object(card), Value::Object(key)) = (&mut card, &key) {
                card.extend(key.clone());
            }
            keys.push(card);
            if condition == Condition::Unusable(AuthenticatorError::NotFido) {
                continue;
            }
        }
        let Value::Object(members) = &mut key else {
            continue;
        };
        match (
            &condition,
            ready.iter().find(|authenticator| authenticator.id == id),
        ) {
            (Condition::Ready(info), Some(authenticator)) => {
                let retries = match info.options.client_pin {
                    Some(true) => authenticator.pin_retries().await.ok(),
                    _ => None,
                };
                let held = if credentials.is_empty() {
                    None
                } else {
                    authenticator
                        .locate(agent.config.rp_id.as_str(), credentials.clone())
                        .await
                        .ok()
                        .flatten()
                };
                let enrolled_as = enrolled
                    .iter()
                    .find(|key| held.is_some() && key.credential() == held);
                members.extend([
                    ("state".to_owned(), json!("ready")),
                    ("aaguid".to_owned(), json!(info.aaguid.to_string())),
                    ("versions".to_owned(), json!(info.versions)),
                    ("firmware".to_owned(), json!(info.firmware_version)),
                    ("pin_set".to_owned(), json!(info.options.client_pin == Some(true))),
                    ("pin_retries".to_owned(), json!(retries.map(|retries| retries.left))),
                    ("pin_locked".to_owned(), json!(retries.is_some_and(|retries| retries.power_cycle_needed))),
                    ("enrolled".to_owned(), enrolled_as.map_or(Value::Null, |key| json!({ "key_id": key.key_id, "label": text::one_line(key.name(), 100) }))),
                ]);
            }
            (Condition::Unusable(reason), _) => {
                members.extend([
                    ("state".to_owned(), json!("unusable")),
                    (
                        "reason".to_owned(),
                        json!(text::code(&Failure::Authenticator(*reason))),
                    ),
                    (
                        "message".to_owned(),
                        json!(text::message(&Failure::Authenticator(*reason), language)),
                    ),
                ]);
            }
            (Condition::Twin(other), _) => {
                members.extend([
                    ("state".to_owned(), json!("same")),
                    ("same_as".to_owned(), json!(other)),
                ]);
            }
            _ => {
                members.insert("state".to_owned(), json!("reading"));
            }
        }
        keys.push(key);
    }
    let names: Vec<String> = enrolled
        .iter()
        .map(|key| text::one_line(key.name(), 100))
        .collect();
    let own = json!({ "labels": names, "wanted": agent.keys_wanted.get() });
    Ok(json!({ "keys": keys, "own": own }))
}
