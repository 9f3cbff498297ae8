//! The conversation of `sceau enroll --batch`: first the operator's own key seals every request, then each new key is put in, its person types a PIN
//! that nobody else sees, and a receipt is written. Interrupted at any moment, the next run goes on.
//!
//! It runs in the operator's terminal and asks the daemon for everything that touches a key or the server.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::receipt;
use super::{BatchError, Handed, Journal, Step, Task};
use crate::locale::Language;
use crate::prompt::Secret;
use crate::prompt::terminal::{ClientError, Ended};

/// Between two attempts, while the server limits the pace of requests.
const PAUSE: Duration = Duration::from_secs(10);

/// What the wizard needs of the daemon: one request, seen through with whoever sits at the terminal.
pub trait Daemon {
    /// Sends it; prompts are answered at the terminal.
    ///
    /// # Errors
    /// [`ClientError`].
    fn ask(&mut self, request: Value) -> Result<Ended, ClientError>;
    /// Now, RFC 3339.
    fn now(&self) -> String;
}

/// Why a run ends early. What was done is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum WizardError {
    /// List or journal.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The daemon.
    #[error("sceau-agent: {0}")]
    Daemon(#[from] ClientError),
    /// The terminal, or a receipt's file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A signal, or the person gave up.
    #[error("interrupted")]
    Interrupted,
}

impl WizardError {
    /// For people.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::Batch(error) => error.tell(language),
            Self::Interrupted => language.text("command-batch-interrupted").into_owned(),
            Self::Daemon(_) | Self::Io(_) => self.to_string(),
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Enrolled, by this run and those before.
    pub done: usize,
    /// Not enrolled: refused, or left for another day.
    pub left: usize,
}

/// One run.
pub struct Wizard<'d, D> {
    /// The daemon.
    pub daemon: &'d mut D,
    /// What was done.
    pub journal: Journal,
    /// Where receipts go.
    pub receipts: PathBuf,
    /// For people.
    pub language: Language,
    /// Who runs it, for the receipts.
    pub operator: String,
    /// Keys that can be made to insist on another PIN get one for the way.
    pub transport_pin: bool,
    terminal: BufReader<File>,
    /// What was asked for anew in this run.
    renewed: BTreeSet<String>,
}

enum Tried {
    Done,
    Again,
    Left,
}

impl<'d, D: Daemon> Wizard<'d, D> {
    /// A run at the controlling terminal.
    ///
    /// # Errors
    /// The terminal's.
    pub fn new(
        daemon: &'d mut D,
        journal: Journal,
        receipts: PathBuf,
        language: Language,
        operator: String,
    ) -> std::io::Result<Self> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(Self {
            daemon,
            journal,
            receipts,
            language,
            operator,
            transport_pin: false,
            terminal: BufReader::new(tty),
            renewed: BTreeSet::new(),
        })
    }

    /// Sees all of it through.
    ///
    /// # Errors
    /// [`WizardError`].
    pub fn run(&mut self, tasks: &[Task]) -> Result<Outcome, WizardError> {
        std::fs::create_dir_all(&self.receipts)?;
        let all = tasks.len();
        let open: Vec<&Task> = tasks.iter().filter(|task| !self.is_done(task)).collect();
        let already = self.language.text("command-batch-already");
        let already = self
            .language
            .labelled(&already, format!("{}/{all}", all - open.len()));
        self.say(&format!("{already}\n"))?;
        for (at, task) in (1..).zip(tasks) {
            if self.journal.step(task).is_none() {
                self.say(&format!("[{at}/{all}] {task}\n"))?;
                self.request(task)?;
            }
        }
        for (at, task) in (1..).zip(tasks) {
            self.see_through(task, &format!("[{at}/{all}] "))?;
        }
        let done = tasks.iter().filter(|task| self.is_done(task)).count();
        Ok(Outcome {
            done,
            left: all - done,
        })
    }

    /// Hands one key out whose request was sealed, as far as that goes today. `head` begins what is said of it.
    pub(crate) fn see_through(&mut self, task: &Task, head: &str) -> Result<(), WizardError> {
        while !self.is_done(task) {
            self.say(&format!("{head}{task}\n"))?;
            match self.hand_out(task)? {
                Tried::Again => {}
                Tried::Done | Tried::Left => break,
            }
        }
        Ok(())
    }

    pub(crate) fn is_done(&self, task: &Task) -> bool {
        matches!(self.journal.step(task), Some(Step::Done(_)))
    }

    /// The operator's key seals the request for one key.
    pub(crate) fn request(&mut self, task: &Task) -> Result<(), WizardError> {
        let mut person = json!({
            "id": task.person.id, "display": task.person.display, "roles": task.person.roles,
            "identity_document": task.person.document, "first_use": true,
        });
        if let Some(old) = task.replaces {
            person["replaces"] = json!(old);
        }
        let request = json!({ "op": "invite", "person": person });
        let sealed = loop {
            match self.daemon.ask(request.clone())? {
                Ended::Failed {
                    problem: Some(problem),
                    ..
                } if problem == "limited" => {
                    self.say(&format!("  {}\n", self.language.text("command-batch-pace")))?;
                    std::thread::sleep(PAUSE);
                }
                ended => break self.answer(ended)?,
            }
        };
        let Some(sealed) = sealed else {
            return Ok(());
        };
        let action = sealed["id"].as_str().and_then(|id| id.parse().ok());
        let (Some("sealed"), Some(action)) = (sealed["outcome"].as_str(), action) else {
            return Err(WizardError::Interrupted);
        };
        self.journal.set(task, Some(Step::Asked { action }))?;
        if sealed["state"] == "executed" {
            self.invited(task, action)?;
        }
        Ok(())
    }

    /// The invitation, once everybody has sealed.
    fn invited(&mut self, task: &Task, action: uuid::Uuid) -> Result<Tried, WizardError> {
        let ended = self
            .daemon
            .ask(json!({ "op": "invited", "action": action }))?;
        let Some(found) = self.answer(ended)? else {
            return Ok(Tried::Left);
        };
        match (found["state"].as_str(), found["invitation"].as_str()) {
            (Some("executed"), Some(invitation)) => {
                let invitation = invitation.to_owned();
                self.journal
                    .set(task, Some(Step::Invited { action, invitation }))?;
                Ok(Tried::Again)
            }
            (Some("pending"), _) => {
                self.say(&format!(
                    "  {}\n",
                    self.language.text("command-batch-others")
                ))?;
                Ok(Tried::Left)
            }
            // Refused, expired, or the invitation was shown to a run that was cut.
            _ => self.anew(task),
        }
    }

    /// It is asked for anew, once in a run.
    fn anew(&mut self, task: &Task) -> Result<Tried, WizardError> {
        self.journal.set(task, None)?;
        if !self.renewed.insert(task.name()) {
            return Ok(Tried::Left);
        }
        self.request(task)?;
        Ok(match self.journal.step(task) {
            Some(_) => Tried::Again,
            None => Tried::Left,
        })
    }

    /// One key for one person, as far as it goes.
    fn hand_out(&mut self, task: &Task) -> Result<Tried, WizardError> {
        match self.journal.step(task).cloned() {
            None => Ok(Tried::Left),
            Some(Step::Asked { action }) => self.invited(task, action),
            Some(Step::Invited { action, invitation }) => self.enrol(task, action, &invitation),
            Some(Step::Done(_)) => Ok(Tried::Done),
        }
    }

    fn enrol(
        &mut self,
        task: &Task,
        action: uuid::Uuid,
        invitation: &str,
    ) -> Result<Tried, WizardError> {
        self.say(&format!("  {} ", self.language.text("command-batch-swap")))?;
        let typed = self.line()?;
        if matches!(typed.trim(), "s" | "p") {
            return Ok(Tried::Left);
        }
        let ended = self.daemon.ask(json!({ "op": "keys" }))?;
        let there = self.answer(ended)?.unwrap_or_default();
        let serials = there["keys"].as_array().into_iter().flatten();
        let known = serials
            .filter_map(|key| key["serial"].as_str())
            .find_map(|serial| self.journal.holder(serial).map(str::to_owned));
        if let Some(holder) = known {
            self.say(&format!(
                "  {} {holder}.\n",
                self.language.text("command-batch-handed-out")
            ))?;
            return Ok(Tried::Again);
        }
        if !self.transport_pin {
            self.say(&format!(
                "  {}\n",
                self.language.text("command-batch-look-away")
            ))?;
        }
        let pin = match self.transport_pin {
            true => Some(super::transport_pin().ok_or(WizardError::Interrupted)?),
            false => None,
        };
        let request = json!({
            "op": "enroll", "invitation": invitation, "label": task.label(), "handover": true,
            "transport_pin": pin.as_ref().map(Secret::expose),
        });
        let made = match self.daemon.ask(request)? {
            Ended::Done(made) => made,
            Ended::Signalled(_) => return Err(WizardError::Interrupted),
            // The run was cut between the server's answer and the journal: the key is enrolled, and which one it is the server knows.
            Ended::Failed {
                problem: Some(problem),
                ..
            } if problem == "already-settled" => {
                self.say(&format!(
                    "  {}\n",
                    self.language.text("command-batch-done-before")
                ))?;
                self.done(task, action, &Value::Null, None)?;
                return Ok(Tried::Done);
            }
            Ended::Failed {
                code,
                problem,
                message,
                ..
            } => {
                self.say(&format!("  {message}\n"))?;
                return match (code.as_str(), problem.as_deref()) {
                    (_, Some("expired" | "not-found")) => self.anew(task),
                    ("server-unavailable" | "server-untrusted" | "signed-out", _) => {
                        Err(WizardError::Interrupted)
                    }
                    _ => Ok(Tried::Again),
                };
            }
        };
        self.done(task, action, &made, pin.as_ref())
            .map(|()| Tried::Done)
    }

    fn done(
        &mut self,
        task: &Task,
        action: uuid::Uuid,
        made: &Value,
        pin: Option<&Secret>,
    ) -> Result<(), WizardError> {
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        let handed = Handed {
            action,
            key_id: text("key_id"),
            model: text("model"),
            aaguid: text("aaguid"),
            serial: text("serial"),
            firmware: made["firmware"].as_u64(),
            transport_pin: made["transport_pin"] == true,
            at: self.daemon.now(),
        };
        let file = |end: &str| {
            let name = task.name().replace('/', "-");
            self.receipts.join(format!("{name}{end}.html"))
        };
        let (paper_at, slip_at) = (file(""), file("-pin"));
        let slip = pin.filter(|_| handed.transport_pin);
        if let Some(pin) = slip {
            let paper = receipt::slip(task, pin, self.language);
            super::private(&slip_at, true)?.write_all(paper.as_bytes())?;
        }
        let mut task = task.clone();
        if let Some(document) = self.journal.sealed_document(&task) {
            task.person.document = document;
        }
        let task = &task;
        let paper = receipt::html(task, &handed, &self.operator, self.language);
        self.journal.set(task, Some(Step::Done(handed)))?;
        std::fs::write(&paper_at, paper)?;
        let language = self.language;
        let told = |name: &str, path: &Path| {
            let told = language.labelled(&language.text(name), path.display());
            format!("  {told}\n")
        };
        self.say(&told("command-batch-enrolled", &paper_at))?;
        match (slip.is_some(), pin.is_some()) {
            (true, _) => self.say(&told("desk-path-slip-at", &slip_at)),
            (false, true) => self.say(&format!("  {}\n", self.language.text("desk-path-no-force"))),
            (false, false) => Ok(()),
        }
    }

    /// The answer, or what stands in its way, told; a signal ends the run.
    pub(crate) fn answer(&mut self, ended: Ended) -> Result<Option<Value>, WizardError> {
        match ended {
            Ended::Done(done) => Ok(Some(done)),
            Ended::Failed { message, .. } => {
                self.say(&format!("  {message}\n"))?;
                Ok(None)
            }
            Ended::Signalled(_) => Err(WizardError::Interrupted),
        }
    }

    pub(crate) fn say(&mut self, text: &str) -> Result<(), WizardError> {
        Ok(self.terminal.get_mut().write_all(text.as_bytes())?)
    }

    pub(crate) fn line(&mut self) -> Result<String, WizardError> {
        let mut line = String::new();
        match self.terminal.read_line(&mut line)? {
            0 => Err(WizardError::Interrupted),
            _ => Ok(line),
        }
    }
}
