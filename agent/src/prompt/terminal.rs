//! The person's end of a prompt: a terminal. Sends one request over the socket, shows what the daemon asks, reads answers from `/dev/tty` (the
//! PIN without echo), until the daemon is done.
//!
//! While the person thinks, the socket and signals are watched too: an action that is settled elsewhere is withdrawn at once, and the terminal is
//! always left as it was found. Without a terminal nothing is ever answered. Text from the daemon is escaped already.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::attached::{Numbered, Reply, ReplyLine};
use super::{
    Again, Answer, CardChoice, CardSecret, Progress, Question, Reason, Refusal, Secret, Shown,
};
use crate::locale::Language;

/// The longest line that the daemon may send: a status with a full queue fits.
const MAX_LINE: usize = 1024 * 1024;
/// The longest line that a person may type.
const MAX_TYPED: usize = 600;

/// How a request ended.
#[derive(Debug)]
pub enum Ended {
    /// What the daemon answered.
    Done(Value),
    /// What it could not do.
    Failed {
        /// Stable code.
        code: String,
        /// The server's own code (docs/api.md), where it is the server that said no.
        problem: Option<String>,
        /// In words.
        message: String,
        /// Exit code.
        exit: u8,
    },
    /// A signal; its number.
    Signalled(u8),
}

/// Why there was no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon is not there, or went away.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A person is needed and there is no terminal.
    #[error("no terminal")]
    NoTerminal,
    /// The daemon said something else than the protocol allows.
    #[error("the daemon cannot be understood")]
    Malformed,
}

/// A message of the daemon.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    Prompt(Numbered),
    Progress(Progress),
    Event(Value),
    Done(Value),
    Error(Failed),
}

#[derive(Deserialize)]
pub(crate) struct Failed {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default)]
    problem: Option<String>,
    #[serde(default = "one")]
    exit: u8,
}

fn one() -> u8 {
    1
}

/// A connection to the daemon, and the terminal if there is one.
pub struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    signals: UnixStream,
    language: Language,
    tty: Option<File>,
    told: bool,
}

enum Woken {
    Typed(Zeroizing<String>),
    EndOfInput,
    Message,
    Signal(u8),
}

impl Client {
    /// Connects. `signals` delivers the number of each signal that should end the request, one byte each.
    ///
    /// # Errors
    /// [`ClientError::Io`]: no daemon.
    pub fn connect(
        socket: &Path,
        signals: UnixStream,
        language: Language,
    ) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            signals,
            language,
            tty: None,
            told: false,
        })
    }

    /// Makes sure that there is a terminal to ask a person at.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`]: standard input is not one (unless `input_is_data`), or there is no controlling terminal.
    pub fn need_terminal(&mut self, input_is_data: bool) -> Result<(), ClientError> {
        if !input_is_data && !io::stdin().is_terminal() {
            return Err(ClientError::NoTerminal);
        }
        let tty = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .map_err(|_| ClientError::NoTerminal)?;
        self.tty = Some(tty);
        Ok(())
    }

    /// Sends one request and sees it through; `on_event` is given each event that the daemon tells of.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn request(
        &mut self,
        mut request: Value,
        mut on_event: impl FnMut(&Value),
    ) -> Result<Ended, ClientError> {
        if let Value::Object(request) = &mut request {
            request.insert("lang".into(), self.language.code().into());
        }
        self.send(&Zeroizing::new(
            serde_json::to_vec(&request).map_err(|_| ClientError::Malformed)?,
        ))?;
        loop {
            let message = match self.next_message()? {
                Ok(message) => message,
                Err(signal) => return Ok(Ended::Signalled(signal)),
            };
            match message {
                Message::Done(done) => {
                    self.end_told()?;
                    return Ok(Ended::Done(done));
                }
                Message::Error(failed) => {
                    self.end_told()?;
                    return Ok(Ended::Failed {
                        code: failed.code,
                        problem: failed.problem,
                        message: failed.message,
                        exit: failed.exit,
                    });
                }
                Message::Event(event) => on_event(&event),
                Message::Progress(progress) => self.tell(&progress)?,
                Message::Prompt(prompt) => {
                    if self.tty.is_none() {
                        return Err(ClientError::NoTerminal);
                    }
                    self.end_told()?;
                    match self.ask(&prompt.question)? {
                        Ok(Some(answer)) => {
                            let line = ReplyLine {
                                answer: Reply {
                                    id: prompt.id,
                                    answer,
                                },
                            };
                            self.send(&Zeroizing::new(
                                serde_json::to_vec(&line).map_err(|_| ClientError::Malformed)?,
                            ))?;
                        }
                        // The daemon has something to say instead.
                        Ok(None) => {}
                        Err(signal) => return Ok(Ended::Signalled(signal)),
                    }
                }
            }
        }
    }

    fn send(&mut self, line: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(line)?;
        Ok(self.stream.write_all(b"\n")?)
    }

    /// The next message, or the signal that came first.
    fn next_message(&mut self) -> Result<Result<Message, u8>, ClientError> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(Ok(
                    serde_json::from_slice(&line).map_err(|_| ClientError::Malformed)?
                ));
            }
            let mut fds = [
                PollFd::new(&self.stream, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            wait(&mut fds)?;
            if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(Err(self.signal()));
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk)? {
                0 => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "sceau-agent went away",
                    )
                    .into());
                }
                count => self
                    .received
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
            if self.received.len() > MAX_LINE {
                return Err(ClientError::Malformed);
            }
        }
    }

    fn signal(&mut self) -> u8 {
        let mut number = [0];
        if self.signals.read_exact(&mut number).is_ok() {
            number[0]
        } else {
            15
        }
    }

    fn write(&mut self, text: &str) -> Result<(), ClientError> {
        match &mut self.tty {
            Some(tty) => Ok(tty.write_all(text.as_bytes())?),
            None => Ok(io::stderr().write_all(text.as_bytes())?),
        }
    }

    /// Progress is one line that is rewritten; this ends it.
    fn end_told(&mut self) -> Result<(), ClientError> {
        if std::mem::take(&mut self.told) {
            self.write("\r\x1b[K")
        } else {
            Ok(())
        }
    }

    fn tell(&mut self, progress: &Progress) -> Result<(), ClientError> {
        let say = |name: &str| self.language.text(name).into_owned();
        let text = match progress {
            Progress::Queued => say("prompt-queued"),
            Progress::InsertKey { unclear, .. } if !unclear.is_empty() => {
                let text = say("prompt-unclear-key");
                format!("{text} ({})…", unclear.join(", "))
            }
            Progress::InsertKey { keys, .. } if keys.is_empty() => {
                say("prompt-insert-key-to-enrol")
            }
            Progress::InsertKey { keys, .. } => {
                let keys = format!("{}…", keys.join(", "));
                self.language
                    .labelled(&say("prompt-insert-or-present"), keys)
            }
            Progress::OnlyOneKey => say("prompt-only-one-key"),
            Progress::TouchToChoose => say("prompt-touch-to-choose"),
            Progress::InsertCard => say("prompt-insert-card"),
            Progress::TypeOnReader { reader, tries_left } => format!(
                "{} ({reader}){}…",
                say("prompt-pin-on-reader"),
                tries_text(*tries_left, self.language)
            ),
            Progress::OwnPin => say("desk-path-own-pin"),
            Progress::Touch { authenticator } => {
                format!("{} ({authenticator})…", say("prompt-touch-the-key"))
            }
            Progress::Processing => say("prompt-processing"),
            Progress::Reporting => say("prompt-reporting"),
            Progress::Withdrawn { .. } => return self.end_told(),
        };
        let line = if io::stderr().is_terminal() || self.tty.is_some() {
            format!("\r\x1b[K{text}")
        } else {
            format!("{text}\n")
        };
        self.told = true;
        self.write(&line)
    }

    /// Asks the person. `Ok(None)`: the daemon has something else to say.
    fn ask(&mut self, question: &Question) -> Result<Result<Option<Answer>, u8>, ClientError> {
        match question {
            Question::Action { action } => self.ask_action(action),
            Question::Pin {
                authenticator,
                tries_left,
                again,
            } => {
                let say = |name: &str| self.language.text(name).into_owned();
                let mut text = again_text(*again, self.language);
                if let Some(left) = tries_left
                    && (again.is_some() || *left <= 3)
                {
                    let values = [("count", (*left).into())];
                    let left = self.language.text_with("prompt-tries-left", &values);
                    text.push_str(&format!("{left}\n"));
                }
                text.push_str(&format!(
                    "{} ({authenticator}){} ",
                    say("prompt-pin-of-key"),
                    self.language.colon()
                ));
                Ok(self.read(&text, true)?.map(|typed| typed.map(pin_answer)))
            }
            Question::NewPin {
                authenticator,
                min_length,
                again,
            } => self.ask_new_pin(authenticator, *min_length, *again),
            Question::CardSecret {
                card,
                secret,
                tries_left,
                again,
            } => {
                let language = self.language;
                let again = match again {
                    None => String::new(),
                    Some(Again::Wrong) => format!("{}\n", language.text("prompt-wrong")),
                    Some(Again::Unfit) => format!("{}\n", language.text("prompt-unfit")),
                };
                let tries = tries_text(*tries_left, language);
                let question = format!(
                    "{again}{} ({card}){tries}{} ",
                    secret_text(*secret, language),
                    language.colon()
                );
                if matches!(
                    secret,
                    CardSecret::NewPin | CardSecret::NewPuk | CardSecret::NewManagementKey
                ) {
                    return self.ask_twice(&question);
                }
                Ok(self
                    .read(&question, true)?
                    .map(|typed| typed.map(pin_answer)))
            }
            Question::CardChoice { card, choice } => self.ask_choice(card, *choice),
        }
    }

    /// A new secret, typed twice alike; an empty line stops.
    fn ask_twice(&mut self, question: &str) -> Result<Result<Option<Answer>, u8>, ClientError> {
        let language = self.language;
        loop {
            let first = match self.read(question, true)? {
                Ok(Some(typed)) => typed,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            };
            if first.is_empty() {
                return Ok(Ok(Some(Answer::Cancel)));
            }
            let again = format!("{} ", language.text("prompt-once-more"));
            match self.read(&again, true)? {
                Ok(Some(second)) if *second == *first => return Ok(Ok(Some(pin_answer(first)))),
                Ok(Some(_)) => self.write(&format!("{}\n", language.text("prompt-two-differ")))?,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            }
        }
    }

    fn ask_choice(
        &mut self,
        card: &str,
        choice: CardChoice,
    ) -> Result<Result<Option<Answer>, u8>, ClientError> {
        let language = self.language;
        let text = match choice {
            CardChoice::AnotherTry { tries_left } => format!(
                "{} ({card}){}.\n{} ",
                language.text("prompt-wrong-pin-on-reader"),
                tries_text(tries_left, language),
                language.text("prompt-type-again")
            ),
            CardChoice::ReplaceKey => format!(
                "{} ({card}).\n{} ",
                language.text("prompt-slot-used"),
                language.text("prompt-replace")
            ),
        };
        loop {
            let typed = match self.read(&text, false)? {
                Ok(Some(typed)) => typed,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            };
            match typed.trim().to_lowercase().as_str() {
                "o" | "oui" | "y" | "yes" => return Ok(Ok(Some(Answer::GoOn))),
                "" | "n" | "non" | "no" => return Ok(Ok(Some(Answer::Cancel))),
                _ => {}
            }
        }
    }

    fn ask_new_pin(
        &mut self,
        authenticator: &str,
        min_length: usize,
        again: Option<Again>,
    ) -> Result<Result<Option<Answer>, u8>, ClientError> {
        let language = self.language;
        self.write(&again_text(again, language))?;
        let values = [("key", authenticator.into()), ("count", min_length.into())];
        let text = language.text_with("prompt-first-pin", &values);
        self.write(&format!("{text}\n"))?;
        loop {
            let first = match self.read(&format!("{} ", language.text("prompt-new-pin")), true)? {
                Ok(Some(typed)) => typed,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            };
            if first.is_empty() {
                return Ok(Ok(Some(Answer::Cancel)));
            }
            let again = format!("{} ", language.text("prompt-once-more"));
            match self.read(&again, true)? {
                Ok(Some(second)) if *second == *first => return Ok(Ok(Some(pin_answer(first)))),
                Ok(Some(_)) => self.write(&format!("{}\n", language.text("prompt-two-differ")))?,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            }
        }
    }

    fn ask_action(&mut self, action: &Shown) -> Result<Result<Option<Answer>, u8>, ClientError> {
        let language = self.language;
        let mut text = format!("\n  {}\n\n", action.title);
        let width = action
            .lines
            .iter()
            .map(|line| line.label.chars().count())
            .max()
            .unwrap_or_default();
        // What a person decides by comes first; the rest of what is signed follows.
        let (technical, plain): (Vec<_>, Vec<_>) =
            action.lines.iter().partition(|line| line.technical);
        for line in plain.into_iter().chain(technical) {
            let padding = " ".repeat(width - line.label.chars().count());
            text.push_str(&format!("  {}{padding}  {}\n", line.label, line.value));
        }
        for warning in &action.warnings {
            text.push_str(&format!("\n  ! {warning}\n"));
        }
        if action.waiting > 0 {
            let values = [("count", action.waiting.into())];
            let behind = language.text_with("prompt-waiting-behind", &values);
            text.push_str(&format!("  {behind}\n"));
        }
        self.write(&text)?;
        loop {
            let question = format!("\n{} ", language.text("prompt-seal-question"));
            let typed = match self.read(&question, false)? {
                Ok(Some(typed)) => typed,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            };
            match typed.trim().to_lowercase().as_str() {
                "o" | "oui" | "y" | "yes" => return Ok(Ok(Some(Answer::GoOn))),
                "p" | "plus tard" | "l" | "later" => return Ok(Ok(Some(Answer::Later))),
                "n" | "non" | "no" => return self.ask_reason(),
                _ => {}
            }
        }
    }

    fn ask_reason(&mut self) -> Result<Result<Option<Answer>, u8>, ClientError> {
        loop {
            let question = format!("{} ", self.language.text("prompt-refuse-question"));
            let typed = match self.read(&question, false)? {
                Ok(Some(typed)) => typed,
                Ok(None) => return Ok(Ok(None)),
                Err(signal) => return Ok(Err(signal)),
            };
            let reason = match typed.trim() {
                "1" => Reason::NotMe,
                "2" => Reason::Mistake,
                "3" => Reason::Other,
                _ => continue,
            };
            return Ok(Ok(Some(Answer::Refuse(Refusal { reason, text: None }))));
        }
    }

    /// Asks, and returns one typed line, hidden or not. `Ok(Ok(None))`: the daemon spoke first; end of input counts as an empty line.
    #[allow(clippy::type_complexity, reason = "a line, a message, or a signal")]
    fn read(
        &mut self,
        question: &str,
        hidden: bool,
    ) -> Result<Result<Option<Zeroizing<String>>, u8>, ClientError> {
        let tty = self
            .tty
            .as_ref()
            .ok_or(ClientError::NoTerminal)?
            .try_clone()?;
        // What was typed before the question is no answer to it.
        tcflush(tty.as_fd(), QueueSelector::IFlush).map_err(io::Error::from)?;
        let guard = hidden.then(|| Hidden::begin(&tty)).transpose()?;
        self.write(question)?;
        let woken = self.read_line(&tty)?;
        drop(guard);
        match woken {
            Woken::Typed(line) => Ok(Ok(Some(line))),
            Woken::EndOfInput => {
                self.write("\n")?;
                Ok(Err(1))
            }
            Woken::Message => {
                self.write("\n")?;
                Ok(Ok(None))
            }
            Woken::Signal(signal) => {
                self.write("\n")?;
                Ok(Err(signal))
            }
        }
    }

    fn read_line(&mut self, tty: &File) -> Result<Woken, ClientError> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_TYPED));
        let mut tty = tty;
        loop {
            let mut fds = [
                PollFd::new(&tty, PollFlags::IN),
                PollFd::new(&self.stream, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            wait(&mut fds)?;
            let [typed, stream, signals] = fds.map(|fd| !fd.revents().is_empty());
            if signals {
                return Ok(Woken::Signal(self.signal()));
            }
            if stream || !self.received.is_empty() {
                return Ok(Woken::Message);
            }
            if !typed {
                continue;
            }
            let mut byte = Zeroizing::new([0_u8; 1]);
            match tty.read(&mut *byte)? {
                0 => return Ok(Woken::EndOfInput),
                _ if byte[0] == b'\n' => {
                    let text = String::from_utf8_lossy(&line);
                    return Ok(Woken::Typed(Zeroizing::new(text.into_owned())));
                }
                _ if line.len() < MAX_TYPED => line.push(byte[0]),
                _ => {}
            }
        }
    }
}

fn wait(fds: &mut [PollFd<'_>]) -> Result<(), ClientError> {
    loop {
        match poll(fds, None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(ClientError::Io(e.into())),
        }
    }
}

fn pin_answer(typed: Zeroizing<String>) -> Answer {
    if typed.is_empty() {
        Answer::Cancel
    } else {
        Answer::Pin(Secret::new(typed.as_str().to_owned()))
    }
}

fn tries_text(tries_left: Option<u8>, language: Language) -> String {
    tries_left
        .map(|left| {
            let values = [("count", left.into())];
            format!(
                ", {}",
                language.text_with("prompt-tries-left-inline", &values)
            )
        })
        .unwrap_or_default()
}

fn secret_text(secret: CardSecret, language: Language) -> Cow<'static, str> {
    match secret {
        CardSecret::Pin => language.text("prompt-pin-of-card"),
        CardSecret::NewPin => language.text("prompt-new-pin-of-card"),
        CardSecret::Puk => language.text("prompt-puk-of-card"),
        CardSecret::NewPuk => language.text("prompt-new-puk-of-card"),
        CardSecret::ManagementKey => language.text("prompt-management-key"),
        CardSecret::NewManagementKey => language.text("prompt-new-management-key"),
    }
}

fn again_text(again: Option<Again>, language: Language) -> String {
    match again {
        None => String::new(),
        Some(Again::Wrong) => format!("{}\n", language.text("prompt-wrong-pin")),
        Some(Again::Unfit) => format!("{}\n", language.text("prompt-pin-unfit-key")),
    }
}

/// A terminal without echo; as it was again when dropped.
struct Hidden<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(tty: &'a File) -> Result<Self, ClientError> {
        let before = tcgetattr(tty.as_fd()).map_err(io::Error::from)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden
            .local_modes
            .insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(tty.as_fd(), OptionalActions::Now, &hidden).map_err(io::Error::from)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty.as_fd(), OptionalActions::Now, &self.before);
    }
}
