//! `sceau keys …`: administration of one USB key by the person who holds it: PIN, credentials, fingers, reset. The daemon takes no part; while the
//! key is administered its node is locked, and the daemon's own operations wait.
//!
//! What is said to the key is said by ctap-hid-fido2 in a child process ([`child`]), but for the reset, which the library does not know and
//! [`sceau_ctap`] does. PINs are typed at the terminal, go to the child by its pipe, and nowhere else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use clap::Subcommand;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use sceau_ctap::{Control, Device, Keepalive};
use sceau_locale::foreign;
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::agent::Failure;
use crate::hidraw::{self, Node, NodeLink, Roots};
use crate::locale::Language;
use crate::prompt::Secret;
use crate::reader::{AuthenticatorError, Link};
use crate::text;
use child::{ChildError, Operation, Request};

pub mod child;

/// Longest line that a person may type.
const MAX_TYPED: usize = 256;
/// How long a person may take to pull the key and put it back.
const REPLUG: Duration = Duration::from_secs(60);

/// What a person can do with the key that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Administer {
    /// Say what the key says of itself.
    #[command(after_help = "Example:\n  sceau keys info --json")]
    Info {
        /// Which key.
        #[command(flatten)]
        which: Which,
    },
    /// Set or change the key's PIN.
    #[command(after_help = "Examples:\n  sceau keys pin set\n  sceau keys pin change")]
    Pin {
        /// The first PIN, or another one.
        #[arg(value_enum)]
        what: PinChange,
        /// Which key.
        #[command(flatten)]
        which: Which,
    },
    /// List the discoverable credentials on the key.
    #[command(after_help = "Example:\n  sceau keys credentials --json")]
    Credentials {
        /// Which key.
        #[command(flatten)]
        which: Which,
    },
    /// List the fingers that the key knows, or enrol one, where it has a sensor.
    #[command(after_help = "Examples:\n  sceau keys fingers\n  sceau keys fingers --add")]
    Fingers {
        /// Enrol a finger.
        #[arg(long)]
        add: bool,
        /// Which key.
        #[command(flatten)]
        which: Which,
    },
    /// Erase everything on the key for good: every credential for every service, and the PIN.
    #[command(
        after_help = "Example:\n  sceau keys reset --really-reset\n\nThe key's serial number (or its name) must be typed, and the key pulled and put back."
    )]
    Reset {
        /// Without it nothing is erased.
        #[arg(long)]
        really_reset: bool,
        /// Which key.
        #[command(flatten)]
        which: Which,
    },
}

/// Which key, when several are plugged in.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Which {
    /// Serial number, or device node.
    #[arg(long, value_name = "SERIAL|NODE")]
    key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is done with the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PinChange {
    /// The key has none yet.
    Set,
    /// The key has one.
    Change,
}

/// Why it was not done.
#[derive(Debug)]
pub enum AdministrationError {
    /// No key, or none of that name.
    NoKey,
    /// Several keys; these.
    Several(Vec<String>),
    /// Nobody is at a terminal.
    NoTerminal(std::io::Error),
    /// The person stopped, or typed something else than asked.
    Declined,
    /// The danger was not named.
    NotNamed,
    /// The key was not put back in time.
    NotReplugged,
    /// The key's own answer.
    Key(AuthenticatorError),
    /// The child process.
    Child(ChildError),
}

impl From<AuthenticatorError> for AdministrationError {
    fn from(error: AuthenticatorError) -> Self {
        Self::Key(error)
    }
}

impl From<ChildError> for AdministrationError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Status(status) => Self::Key(sceau_ctap::Error::Status(status).into()),
            other => Self::Child(other),
        }
    }
}

impl From<std::io::Error> for AdministrationError {
    fn from(error: std::io::Error) -> Self {
        Self::NoTerminal(error)
    }
}

impl AdministrationError {
    /// What people read, and the exit code.
    #[must_use]
    pub fn tell(&self, language: Language) -> (String, u8) {
        let say = |name: &str| language.text(name).into_owned();
        match self {
            Self::NoKey => (say("command-keys-none"), 3),
            Self::Several(keys) => (
                language.labelled(&say("command-keys-several"), keys.join(", ")),
                2,
            ),
            Self::NoTerminal(e) => {
                let why = foreign(language, &e.to_string());
                (format!("{} ({why})", say("command-keys-terminal")), 2)
            }
            Self::Declined => (say("command-keys-stopped"), 1),
            Self::NotNamed => (say("command-keys-reset-unsaid"), 2),
            Self::NotReplugged => (say("command-keys-reset-late"), 1),
            Self::Key(error) => {
                let failure = Failure::Authenticator(*error);
                (text::message(&failure, language), text::exit_code(&failure))
            }
            Self::Child(error) => {
                let why = error.tell(language);
                (language.labelled(&say("command-keys-failed"), why), 3)
            }
        }
    }
}

/// Does it, and returns what is printed on standard output.
///
/// # Errors
/// [`AdministrationError`].
pub fn administer(what: &Administer, language: Language) -> Result<String, AdministrationError> {
    let roots = Roots::default();
    let which = match what {
        Administer::Info { which }
        | Administer::Pin { which, .. }
        | Administer::Credentials { which }
        | Administer::Fingers { which, .. }
        | Administer::Reset { which, .. } => which,
    };
    let node = choose(hidraw::nodes(&roots), which.key.as_deref())?;
    let name = shown(&node);
    let say = |name: &str| language.text(name).into_owned();
    let pin_of = |person: &mut Person| {
        let asked = say("command-keys-pin-of-key");
        person.pin(&format!("{asked} ({name}){} ", language.colon()))
    };
    let mut told = |progress: &Value| tell(progress, language);
    let mut child = |operation, pin, new_pin| {
        // Until it is dropped, whoever locks the node (the daemon, libfido2) waits: the library in the child takes others' packets for its own.
        let _turn = NodeLink::new(node.clone(), &roots).open()?;
        let request = Request {
            operation,
            node: node.path.to_string_lossy().into_owned(),
            pin,
            new_pin,
        };
        let program = child::program("sceau-keys-admin")?;
        Ok::<_, AdministrationError>(child::run(
            &program,
            &std::collections::BTreeMap::new(),
            &request,
            operation.deadline(),
            &mut told,
        )?)
    };
    let done = match what {
        Administer::Info { .. } => child(Operation::Info, None, None)?,
        Administer::Pin { what, .. } => {
            let mut person = Person::here()?;
            let (operation, pin) = match what {
                PinChange::Set => (Operation::SetPin, None),
                PinChange::Change => (Operation::ChangePin, Some(pin_of(&mut person)?)),
            };
            let new = person.new_pin(language)?;
            child(operation, pin, Some(new))?
        }
        Administer::Credentials { .. } => {
            let pin = pin_of(&mut Person::here()?)?;
            child(Operation::Credentials, Some(pin), None)?
        }
        Administer::Fingers { add, .. } => {
            let operation = if *add {
                Operation::AddFinger
            } else {
                Operation::Fingers
            };
            let pin = pin_of(&mut Person::here()?)?;
            child(operation, Some(pin), None)?
        }
        Administer::Reset { really_reset, .. } => {
            if !really_reset {
                return Err(AdministrationError::NotNamed);
            }
            reset(&node, &roots, language)?
        }
    };
    Ok(if which.json {
        format!("{done}\n")
    } else {
        render(what, &name, &done, language)
    })
}

fn choose(mut nodes: Vec<Node>, key: Option<&str>) -> Result<Node, AdministrationError> {
    if let Some(key) = key {
        nodes.retain(|node| node.serial.as_deref() == Some(key) || node.path.as_os_str() == key);
    }
    match (nodes.pop(), nodes.len()) {
        (Some(only), 0) => Ok(only),
        (Some(last), _) => {
            nodes.push(last);
            let all = nodes
                .iter()
                .map(|node| format!("{} ({})", shown(node), node.path.display()));
            Err(AdministrationError::Several(all.collect()))
        }
        (None, _) => Err(AdministrationError::NoKey),
    }
}

/// The key for people, on one line, whatever it says of itself.
fn shown(node: &Node) -> String {
    let serial = node.serial.as_deref().map(|serial| format!(" {serial}"));
    text::one_line(&format!("{}{}", node.name, serial.unwrap_or_default()), 120)
}

fn tell(progress: &Value, language: Language) {
    if let Some(remaining) = progress["remaining"].as_u64() {
        eprintln!(
            "{} ({remaining})…",
            language.text("command-keys-finger-again")
        );
    }
}

/// Erases the key, which most allow only just after they were plugged in.
fn reset(node: &Node, roots: &Roots, language: Language) -> Result<Value, AdministrationError> {
    let mut person = Person::here()?;
    let word = text::one_line(node.serial.as_deref().unwrap_or(&node.name), 120);
    person.say(&format!(
        "{} {}\n{}\n",
        language.text("command-keys-erase"),
        shown(node),
        language.text("command-keys-erase-warning")
    ))?;
    let question = format!(
        "{} {}{} ",
        language.text("command-keys-erase-type"),
        language.quoted(&word),
        language.colon()
    );
    if person.line(&question)?.trim() != word {
        return Err(AdministrationError::Declined);
    }
    let (events_tx, mut events) = tokio::sync::mpsc::unbounded_channel();
    let monitor = hidraw::Monitor::start(roots.clone(), events_tx)?;
    person.say(&format!("{}\n", language.text("command-keys-reset-replug")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let back = async {
        let mut gone = false;
        while let Some(event) = events.recv().await {
            match event {
                hidraw::Event::Left(left) => gone |= left.place == node.place,
                hidraw::Event::Arrived(new)
                    if gone
                        && new.name == node.name
                        && new.serial == node.serial
                        && new.may_open =>
                {
                    return Some(new);
                }
                hidraw::Event::Arrived(_) => {}
            }
        }
        None
    };
    let back = runtime.block_on(async { tokio::time::timeout(REPLUG, back).await });
    drop(monitor);
    let back = back
        .ok()
        .flatten()
        .ok_or(AdministrationError::NotReplugged)?;
    let mut answer = Err(AuthenticatorError::Gone);
    let mut erase = |device: &mut dyn Device| {
        let mut blinking = |keepalive| {
            if keepalive == Keepalive::UpNeeded {
                eprint!("\r{}", language.text("command-keys-reset-touch"));
            }
            Control::Continue
        };
        answer = sceau_ctap::command::danger_reset(device, &mut blinking)
            .map_err(AuthenticatorError::from);
    };
    NodeLink::new(back, roots).with_device(&mut || {}, &mut erase)?;
    answer?;
    Ok(json!({ "erased": true }))
}

fn render(what: &Administer, name: &str, done: &Value, language: Language) -> String {
    let say = |name: &str| language.text(name).into_owned();
    let line = |value: &Value| match value.as_str() {
        Some(text) => text::one_line(text, 120),
        None => text::one_line(&value.to_string(), 400),
    };
    let list = |items: &Value| items.as_array().cloned().unwrap_or_default();
    match what {
        Administer::Info { .. } => {
            let members = done.as_object().into_iter().flatten();
            let lines = members.map(|(member, value)| format!("  {member}: {}\n", line(value)));
            format!("{name}\n{}", lines.collect::<String>())
        }
        Administer::Pin { what, .. } => format!(
            "{}\n",
            match what {
                PinChange::Set => say("command-keys-pin-set"),
                PinChange::Change => say("command-keys-pin-changed"),
            }
        ),
        Administer::Credentials { .. } => {
            let mut out = String::new();
            for credential in list(&done["credentials"]) {
                out.push_str(&format!(
                    "{}  {}  {}\n",
                    line(&credential["rp_id"]),
                    line(&credential["user"]),
                    line(&credential["credential_id"])
                ));
            }
            out.push_str(&language.labelled(&say("command-keys-room"), line(&done["room"])));
            out.push('\n');
            out
        }
        Administer::Fingers { add: true, .. } => {
            format!("{}\n", say("command-keys-finger-enrolled"))
        }
        Administer::Fingers { .. } => {
            let fingers = list(&done["fingers"]);
            let lines = fingers
                .iter()
                .map(|finger| format!("{}  {}\n", line(&finger["id"]), line(&finger["name"])));
            lines.collect()
        }
        Administer::Reset { .. } => format!("{}\n", say("command-keys-empty")),
    }
}

/// The person at the terminal. PINs are read without echo; the terminal is put right after each.
struct Person(File);

impl Person {
    fn here() -> Result<Self, AdministrationError> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(Self(tty))
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    /// One line, seen.
    fn line(&mut self, question: &str) -> Result<String, AdministrationError> {
        tcflush(self.0.as_fd(), QueueSelector::IFlush).map_err(std::io::Error::from)?;
        self.say(question)?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < MAX_TYPED && self.0.read(&mut byte)? == 1 && byte != [b'\n'] {
            line.extend(byte);
        }
        String::from_utf8(line).map_err(|_| AdministrationError::Declined)
    }

    /// One line, unseen; Ctrl-C and Ctrl-D stop.
    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, AdministrationError> {
        tcflush(self.0.as_fd(), QueueSelector::IFlush).map_err(std::io::Error::from)?;
        self.say(question)?;
        let typed = Unseen::begin(&self.0)?.line();
        self.say("\n")?;
        typed
    }

    fn pin(&mut self, question: &str) -> Result<Secret, AdministrationError> {
        let typed = self.hidden(question)?;
        if typed.is_empty() {
            return Err(AdministrationError::Declined);
        }
        Ok(Secret::new(typed.as_str().to_owned()))
    }

    fn new_pin(&mut self, language: Language) -> Result<Secret, AdministrationError> {
        loop {
            let first = self.hidden(&format!("{} ", language.text("command-keys-new-pin")))?;
            if first.is_empty() {
                return Err(AdministrationError::Declined);
            }
            let again = format!("{} ", language.text("command-keys-once-more"));
            if *self.hidden(&again)? == *first {
                return Ok(Secret::new(first.as_str().to_owned()));
            }
            self.say(&format!("{}\n", language.text("command-keys-two-differ")))?;
        }
    }
}

/// A terminal without echo and without line editing but ours; as it was again when dropped.
struct Unseen<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Unseen<'a> {
    fn begin(tty: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(tty.as_fd())?;
        let mut unseen = before.clone();
        unseen
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
        unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(tty.as_fd(), OptionalActions::Now, &unseen)?;
        Ok(Self { tty, before })
    }

    fn line(self) -> Result<Zeroizing<String>, AdministrationError> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_TYPED));
        let mut byte = [0];
        let mut tty = self.tty;
        let ended = loop {
            if tty.read(&mut byte)? == 0 {
                break Err(AdministrationError::Declined);
            }
            match byte {
                [b'\n' | b'\r'] => break Ok(()),
                [0x03 | 0x04] => break Err(AdministrationError::Declined),
                [0x08 | 0x7f] => {
                    // A whole character, which may be several bytes.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                [0x15] => line.clear(),
                [byte] if line.len() < MAX_TYPED => line.push(byte),
                _ => {}
            }
        };
        byte.zeroize();
        ended?;
        let text = std::str::from_utf8(&line).map_err(|_| AdministrationError::Declined)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty.as_fd(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8, serial: Option<&str>) -> Node {
        Node {
            path: format!("/dev/hidraw{number}").into(),
            place: format!("/sys/{number}").into(),
            report_size: 64,
            name: "Key".into(),
            serial: serial.map(str::to_owned),
            may_open: true,
        }
    }

    #[test]
    fn one_key_needs_no_name_and_several_do() {
        let two = || vec![node(0, Some("A")), node(1, None)];
        assert!(matches!(
            choose(Vec::new(), None),
            Err(AdministrationError::NoKey)
        ));
        assert_eq!(choose(vec![node(0, None)], None).unwrap(), node(0, None));
        assert!(
            matches!(choose(two(), None), Err(AdministrationError::Several(keys)) if keys.len() == 2)
        );
        assert_eq!(choose(two(), Some("A")).unwrap(), node(0, Some("A")));
        assert_eq!(choose(two(), Some("/dev/hidraw1")).unwrap(), node(1, None));
        assert!(matches!(
            choose(two(), Some("B")),
            Err(AdministrationError::NoKey)
        ));
    }

    #[test]
    fn nothing_is_erased_without_the_word() {
        let (_, exit) = AdministrationError::NotNamed.tell(Language::En);
        assert_eq!(exit, 2);
    }
}
