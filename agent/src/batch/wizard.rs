//! The conversation of `sceau enroll --batch`: first the operator's own key seals every request, then each new key is put in, its person types a PIN
//! that nobody else sees, and a receipt is written. Interrupted at any moment, the next run goes on.
//!
//! It runs in the operator's terminal and asks the daemon for everything that touches a key or the server.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sceau_locale::foreign;
use serde_json::{Value, json};

use super::receipt;
use super::{BatchError, Handed, Journal, Step, Task};
use crate::locale::Language;
use crate::prompt::Secret;
use crate::prompt::terminal::{ClientError, Ended};
use crate::text::one_line;

/// Between two attempts, while the server limits the pace of requests.
const PAUSE: Duration = Duration::from_secs(10);

/// The daemon's codes for what stands in the way of everything: it need not be said of each person.
const ENDS_ALL: [&str; 3] = ["signed-out", "server-unavailable", "server-untrusted"];

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
    /// Nobody is signed in, or the server is not reached: what the daemon says of it was told already, and nothing goes on without. Its exit code.
    #[error("nothing goes on")]
    Told(u8),
}

impl WizardError {
    /// For people.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::Batch(error) => error.tell(language),
            Self::Interrupted => language.text("command-batch-interrupted").into_owned(),
            Self::Io(error) => foreign(language, &error.to_string()),
            Self::Daemon(_) | Self::Told(_) => self.to_string(),
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

/// Whether a key may be somebody's new one.
enum Fit {
    /// It is empty.
    New,
    /// It was used, and its person keeps it as it is.
    ItsPersonKnowsThePin,
    /// Another one is needed.
    No,
    /// It is that very key, from before the run was cut.
    DoneBefore,
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
        if sealed["outcome"] == "refused" {
            // The operator said no to this one alone.
            return Ok(());
        }
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
        let own_pin = match self.fits(invitation)? {
            Fit::New => false,
            Fit::ItsPersonKnowsThePin => true,
            Fit::No => return Ok(Tried::Again),
            Fit::DoneBefore => {
                self.done_before(task, action)?;
                return Ok(Tried::Done);
            }
        };
        let pin = match self.transport_pin && !own_pin {
            true => Some(super::transport_pin().ok_or(WizardError::Interrupted)?),
            false => None,
        };
        if pin.is_none() {
            self.say(&format!(
                "  {}\n",
                self.language.text("command-batch-look-away")
            ))?;
        }
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
                self.done_before(task, action)?;
                return Ok(Tried::Done);
            }
            Ended::Failed {
                code,
                problem,
                message,
                exit,
            } => {
                self.say(&format!("  {message}\n"))?;
                return match problem.as_deref() {
                    Some("expired" | "not-found") => self.anew(task),
                    _ if ENDS_ALL.contains(&code.as_str()) => Err(WizardError::Told(exit)),
                    _ => Ok(Tried::Again),
                };
            }
        };
        self.done(task, action, &made, pin.as_ref())
            .map(|()| Tried::Done)
    }

    /// Whether the key in the reader may be this person's new one; one that was used before is erased when the operator wants it.
    fn fits(&mut self, invitation: &str) -> Result<Fit, WizardError> {
        let ended = self.daemon.ask(json!({ "op": "keys" }))?;
        let there = self.answer(ended)?.unwrap_or_default();
        let keys = there["keys"].as_array().map_or(&[][..], Vec::as_slice);
        for serial in keys.iter().filter_map(|key| key["serial"].as_str()) {
            if let Some(holder) = self.counts_for(serial)? {
                self.say(&format!(
                    "  {} {holder}.\n",
                    self.language.text("command-batch-handed-out")
                ))?;
                return Ok(Fit::No);
            }
        }
        // Of a card the enrolment itself says whether it fits.
        if !keys.is_empty() && keys.iter().all(|key| key["kind"] == "piv") {
            return Ok(Fit::New);
        }
        let ended = self.daemon.ask(json!({ "op": "look" }))?;
        let Some(looked) = self.answer(ended)? else {
            return Ok(Fit::No);
        };
        if looked["own"] == true {
            self.say(&format!("  {}\n", self.language.text("command-batch-own")))?;
            return Ok(Fit::No);
        }
        if looked["somebodys"] == true {
            if self.is_used(invitation)? {
                return Ok(Fit::DoneBefore);
            }
            self.say(&format!(
                "  {}\n",
                self.language.text("command-batch-somebodys")
            ))?;
            return Ok(Fit::No);
        }
        if looked["pin_set"] != true {
            return Ok(Fit::New);
        }
        let name = looked["name"].as_str().unwrap_or_default().to_owned();
        self.say(&format!(
            "! {}\n",
            self.language.text("command-batch-not-new")
        ))?;
        loop {
            let asked = format!("  {} ", self.language.text("command-batch-ask-erase"));
            self.say(&asked)?;
            match self.line()?.trim().to_lowercase().as_str() {
                "o" | "oui" | "y" | "yes" if self.erased(&name)? => return Ok(Fit::New),
                "o" | "oui" | "y" | "yes" => {}
                "n" | "non" | "no" => return Ok(Fit::No),
                "g" | "k" => return Ok(Fit::ItsPersonKnowsThePin),
                _ => {}
            }
        }
    }

    /// Who was handed the authenticator with this serial number, as a key that is not revoked: one that was erased since is theirs still.
    fn counts_for(&mut self, serial: &str) -> Result<Option<String>, WizardError> {
        let Some((name, handed)) = self.journal.handed(serial) else {
            return Ok(None);
        };
        let (holder, key) = (name.to_owned(), handed.key_id.clone());
        let person = holder.split('/').next().unwrap_or_default();
        let ended = self.daemon.ask(json!({ "op": "held", "person": person }))?;
        let told = self.answer(ended)?.unwrap_or_default();
        let revoked = told["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one["key_id"].as_str() == key.as_deref() && one["state"] == "revoked");
        Ok(Some(holder).filter(|_| !revoked))
    }

    /// Whether this invitation has made its key already: a run was cut between the server's answer and the journal.
    fn is_used(&mut self, invitation: &str) -> Result<bool, WizardError> {
        let request = json!({ "op": "is-used", "invitation": invitation });
        let ended = self.daemon.ask(request)?;
        Ok(self.answer(ended)?.is_some_and(|told| told["used"] == true))
    }

    /// The authenticator in the reader is erased, once its name was typed and it was put in anew; whether it was. `name` is what it is called.
    pub(crate) fn erased(&mut self, name: &str) -> Result<bool, WizardError> {
        let language = self.language;
        self.say(&format!(
            "! {}\n{} {}{} ",
            language.text("desk-path-danger"),
            language.text("desk-path-type-name"),
            language.quoted(&one_line(name, 120)),
            language.colon()
        ))?;
        if self.line()?.trim() != name {
            self.say(&format!("{}\n", language.text("desk-path-not-erased")))?;
            return Ok(false);
        }
        self.say(&format!("{} ", language.text("desk-path-replug")))?;
        self.line()?;
        let request = json!({ "op": "danger-reset", "named": name });
        let ended = self.daemon.ask(request)?;
        let erased = self.answer(ended)?.is_some();
        if erased {
            self.say(&format!("{}\n", language.text("desk-path-empty")))?;
        }
        Ok(erased)
    }

    /// The key was enrolled before the run was cut: which one it is, the server knows.
    fn done_before(&mut self, task: &Task, action: uuid::Uuid) -> Result<(), WizardError> {
        self.say(&format!(
            "  {}\n",
            self.language.text("command-batch-done-before")
        ))?;
        let ended = self
            .daemon
            .ask(json!({ "op": "held", "person": task.person.id }))?;
        let told = self.answer(ended)?.unwrap_or_default();
        let made = told["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .rfind(|key| key["label"] == task.label() && key["state"] != "revoked");
        let made = made.unwrap_or(&Value::Null);
        if !self.paper(task, "").exists() {
            return self.done(task, action, made, None);
        }
        // The paper was written before the power went, and knows more.
        let step = Step::Done(self.handed(action, made));
        Ok(self.journal.set(task, Some(step))?)
    }

    /// Where a paper about a key lies.
    fn paper(&self, task: &Task, end: &str) -> PathBuf {
        let name = task.name().replace('/', "-");
        self.receipts.join(format!("{name}{end}.html"))
    }

    fn handed(&self, action: uuid::Uuid, made: &Value) -> Handed {
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Handed {
            action,
            key_id: text("key_id"),
            model: text("model"),
            aaguid: text("aaguid"),
            serial: text("serial"),
            firmware: made["firmware"].as_u64(),
            transport_pin: made["transport_pin"] == true,
            at: self.daemon.now(),
        }
    }

    fn done(
        &mut self,
        task: &Task,
        action: uuid::Uuid,
        made: &Value,
        pin: Option<&Secret>,
    ) -> Result<(), WizardError> {
        let handed = self.handed(action, made);
        let (paper_at, slip_at) = (self.paper(task, ""), self.paper(task, "-pin"));
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
        // The paper first: what the journal says is done is not looked at again.
        let paper = receipt::html(task, &handed, &self.operator, self.language);
        std::fs::write(&paper_at, paper)?;
        self.journal.set(task, Some(Step::Done(handed)))?;
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

    /// The answer, or what stands in its way, told; a signal ends the run, as does what stands in the way of everything.
    pub(crate) fn answer(&mut self, ended: Ended) -> Result<Option<Value>, WizardError> {
        match ended {
            Ended::Done(done) => Ok(Some(done)),
            Ended::Failed {
                code,
                message,
                exit,
                ..
            } => {
                self.say(&format!("  {message}\n"))?;
                match ENDS_ALL.contains(&code.as_str()) {
                    true => Err(WizardError::Told(exit)),
                    false => Ok(None),
                }
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
