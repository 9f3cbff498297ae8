//! A box of keys for a list of persons: what is to be done, what was done, and where to go on after an interruption.
//!
//! The list is CSV that a personnel office wrote; the journal is a file of this user's alone (0600), written durably before each step that must not
//! be done twice. It holds invitations until they are used, which is why it is a secret; never a PIN, and never a document's number.
//! Trusts the journal (this user's own file), not the list. The conversation is [`wizard`]'s, the paper [`receipt`]'s; one key to one person is
//! ensured by the server (it names what an authenticator must not hold yet) and by the authenticator, which says so.

pub mod receipt;
pub mod wizard;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sceau_ctap::Entropy;
use sceau_locale::foreign;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::locale::Language;
use crate::prompt::Secret;
use crate::reader::SystemEntropy;
use crate::text::of_file;

/// The longest list, in bytes and in persons.
const MAX_BYTES: u64 = 1024 * 1024;
const MAX_PERSONS: usize = 1000;

/// What the person showed. The kind alone is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// National identity card.
    IdentityCard,
    /// Passport.
    Passport,
    /// Residence permit.
    ResidencePermit,
    /// Driving licence.
    DrivingLicence,
    /// The administration's own card.
    StaffCard,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::IdentityCard,
        Self::Passport,
        Self::ResidencePermit,
        Self::DrivingLicence,
        Self::StaffCard,
    ];

    /// For people.
    #[must_use]
    pub fn words(self, language: Language) -> Cow<'static, str> {
        language.text(match self {
            Self::IdentityCard => "command-document-identity-card",
            Self::Passport => "command-document-passport",
            Self::ResidencePermit => "command-document-residence-permit",
            Self::DrivingLicence => "command-document-driving-licence",
            Self::StaffCard => "command-document-staff-card",
        })
    }
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    person: String,
    display: String,
    #[serde(default)]
    roles: String,
    document: Document,
    #[serde(default)]
    keys: Option<u8>,
}

/// A person who gets keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The server's name for them.
    pub id: String,
    /// For people.
    pub display: String,
    /// Their roles.
    pub roles: Vec<String>,
    /// What they showed.
    pub document: Document,
    /// One key, or main and spare.
    keys: u8,
}

impl Person {
    /// Somebody whom the server knows, and who gets a key in the place of another.
    #[must_use]
    pub fn known(id: &str, display: &str, document: Document) -> Self {
        Self {
            id: id.to_owned(),
            display: display.to_owned(),
            roles: Vec::new(),
            document,
            keys: 1,
        }
    }
}

/// Why a list, or a journal, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The system's.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A line of the list.
    #[error("line {line}: {what}")]
    Malformed {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: ListFault,
    },
    /// The journal is not one.
    #[error("{0}: not a journal of enrolments")]
    Journal(PathBuf),
    /// Another run has the journal.
    #[error("another enrolment goes on with this list")]
    Busy,
}

impl BatchError {
    /// For people: what is wrong, and what to do.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::Io(path, error) => of_file(path, error, language),
            Self::Malformed { line, what } => {
                let what = match what {
                    ListFault::Csv(why) => foreign(language, why).into(),
                    ListFault::Person => language.text("command-list-person"),
                    ListFault::Display => language.text("command-list-display"),
                    ListFault::Twice => language.text("command-list-twice"),
                    ListFault::Keys => language.text("command-list-keys"),
                    ListFault::TooMany => language.text("command-list-too-many"),
                };
                let values = [("line", (*line).into()), ("what", what.into_owned().into())];
                language.text_with("command-list-line", &values)
            }
            Self::Journal(path) => {
                let path = path.display().to_string();
                language.text_with("command-list-journal", &[("path", path.into())])
            }
            Self::Busy => language.text("command-list-busy").into_owned(),
        }
    }
}

/// What is wrong with a line of a list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// Not CSV of the expected columns.
    #[error("{0}")]
    Csv(String),
    /// `person` is no identifier of the server's.
    #[error("person: an identifier of the server's")]
    Person,
    /// `display` is empty or too long.
    #[error("display: a name of at most 200 bytes")]
    Display,
    /// `person` is in the list twice.
    #[error("person: is in the list twice")]
    Twice,
    /// `keys` is neither 1 nor 2.
    #[error("keys: 1 or 2")]
    Keys,
    /// More lines than one list may have.
    #[error("too many persons for one list")]
    TooMany,
}

/// Reads a list: `person,display,roles,document,keys`; roles apart by blanks; `keys` 1 or 2, and 2 (main and spare) for whoever has a role when it
/// is not said.
///
/// # Errors
/// [`BatchError::Malformed`]; also when a person is there twice.
pub fn read_list(text: &str) -> Result<Vec<Person>, BatchError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut persons: Vec<Person> = Vec::new();
    for (at, line) in reader.deserialize::<Line>().enumerate() {
        let line_number = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(2);
        let fault = |what| BatchError::Malformed {
            line: line_number,
            what,
        };
        let line = line.map_err(|error| BatchError::Malformed {
            line: error.position().map_or(line_number, csv::Position::line),
            what: ListFault::Csv(crate::text::one_line(&error.to_string(), 300)),
        })?;
        let plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
        };
        if line.person.is_empty() || line.person.len() > 64 || !plain(&line.person) {
            return Err(fault(ListFault::Person));
        }
        if line.display.is_empty() || line.display.len() > 200 {
            return Err(fault(ListFault::Display));
        }
        if persons.iter().any(|other| other.id == line.person) {
            return Err(fault(ListFault::Twice));
        }
        let roles: Vec<String> = line.roles.split_whitespace().map(str::to_owned).collect();
        let keys = line.keys.unwrap_or(if roles.is_empty() { 1 } else { 2 });
        if !(1..=2).contains(&keys) {
            return Err(fault(ListFault::Keys));
        }
        if persons.len() >= MAX_PERSONS {
            return Err(fault(ListFault::TooMany));
        }
        persons.push(Person {
            id: line.person,
            display: line.display,
            roles,
            document: line.document,
            keys,
        });
    }
    Ok(persons)
}

/// A PIN for the way: eight random digits, which its person changes before anything else; `None` when the system has no randomness.
#[must_use]
pub fn transport_pin() -> Option<Secret> {
    let mut digits = String::with_capacity(8);
    let mut byte = [0];
    while digits.len() < 8 {
        SystemEntropy.fill(&mut byte).ok()?;
        // Without the last six values each digit is as likely as another.
        if byte[0] < 250 {
            digits.push(char::from(b'0' + byte[0] % 10));
        }
    }
    Some(Secret::new(digits))
}

/// Reads a list from a file.
///
/// # Errors
/// [`BatchError`].
pub fn load_list(path: &Path) -> Result<Vec<Person>, BatchError> {
    let fault = |error| BatchError::Io(path.to_owned(), error);
    let mut text = String::new();
    let file = File::open(path).map_err(fault)?;
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(fault)?;
    read_list(&text)
}

/// Which of a person's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that is used.
    Main,
    /// The one in the drawer.
    Spare,
}

/// One key for one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Whose.
    pub person: Person,
    /// Which.
    pub which: Which,
    /// The key of theirs in whose place it comes, while that one counts still: the server revokes it once the new one is used.
    pub replaces: Option<Uuid>,
}

impl Task {
    /// Its name in the journal.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.person.id, self.label())
    }

    /// What the key is called at the server.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.which {
            Which::Main => "main",
            Which::Spare => "spare",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let display = crate::text::one_line(&self.person.display, 100);
        write!(f, "{display} ({})", self.label())
    }
}

/// Everything that a list asks for, in its order.
#[must_use]
pub fn tasks(persons: &[Person]) -> Vec<Task> {
    let both = [Which::Main, Which::Spare];
    persons
        .iter()
        .flat_map(|person| {
            both.iter()
                .take(usize::from(person.keys))
                .map(|which| Task {
                    person: person.clone(),
                    which: *which,
                    replaces: None,
                })
        })
        .collect()
}

/// How far one key is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Its action was sealed by the operator; others may have to.
    Asked {
        /// `key.enroll`.
        action: Uuid,
    },
    /// Everybody has sealed; the invitation is good once.
    Invited {
        /// `key.enroll`.
        action: Uuid,
        /// The secret.
        invitation: String,
    },
    /// Enrolled.
    Done(Handed),
}

/// A key that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// `key.enroll`.
    pub action: Uuid,
    /// The server's name for the key; absent when the run was cut before the answer was written down.
    pub key_id: Option<String>,
    /// Model, AAGUID, serial number and firmware, as far as they are known.
    pub model: Option<String>,
    /// Its model's identifier.
    pub aaguid: Option<String>,
    /// As the key tells it over USB.
    pub serial: Option<String>,
    /// As the key tells it.
    pub firmware: Option<u64>,
    /// It has a PIN for the way, and insists on another one.
    #[serde(default)]
    pub transport_pin: bool,
    /// RFC 3339.
    pub at: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Saved {
    v: u8,
    tasks: BTreeMap<String, Step>,
    /// The document of each request that was sealed: what the receipt names, whatever the list says by then.
    #[serde(default)]
    documents: BTreeMap<String, Document>,
}

/// What was done, durably. One run at a time has it.
pub struct Journal {
    path: PathBuf,
    saved: Saved,
    _lock: File,
}

impl Journal {
    /// Opens the journal at `path`, or begins it.
    ///
    /// # Errors
    /// [`BatchError`]; [`BatchError::Busy`] while another run has it.
    pub fn open(path: &Path) -> Result<Self, BatchError> {
        let fault = |error| BatchError::Io(path.to_owned(), error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fault)?;
        }
        let lock = private(&path.with_extension("lock"), false).map_err(fault)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| BatchError::Busy)?;
        let saved = match std::fs::read_to_string(path) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|_| BatchError::Journal(path.to_owned()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Saved {
                v: 1,
                ..Saved::default()
            },
            Err(error) => return Err(fault(error)),
        };
        if saved.v != 1 {
            return Err(BatchError::Journal(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            saved,
            _lock: lock,
        })
    }

    /// How far a key is; `None`: nothing was asked for.
    #[must_use]
    pub fn step(&self, task: &Task) -> Option<&Step> {
        self.saved.tasks.get(&task.name())
    }

    /// What the person showed, by the request that was sealed and is not done.
    #[must_use]
    pub fn sealed_document(&self, task: &Task) -> Option<Document> {
        let known = self.saved.documents.get(&task.name()).copied();
        known.filter(|_| self.is_unfinished(task))
    }

    /// Writes a step down; durable on return. `None`: it is to be asked for anew.
    ///
    /// # Errors
    /// [`BatchError::Io`]; whether it was written is not known.
    pub fn set(&mut self, task: &Task, step: Option<Step>) -> Result<(), BatchError> {
        if matches!(step, Some(Step::Asked { .. })) {
            let document = task.person.document;
            self.saved.documents.insert(task.name(), document);
        }
        match step {
            Some(step) => self.saved.tasks.insert(task.name(), step),
            None => self.saved.tasks.remove(&task.name()),
        };
        let fault = |error| BatchError::Io(self.path.clone(), error);
        let text = serde_json::to_string_pretty(&self.saved).map_err(|e| fault(e.into()))?;
        let fresh = self.path.with_extension("new");
        let mut file = private(&fresh, true).map_err(fault)?;
        file.write_all(text.as_bytes()).map_err(fault)?;
        file.sync_all().map_err(fault)?;
        std::fs::rename(&fresh, &self.path).map_err(fault)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fault)
    }

    /// Whether something was begun and is not done.
    #[must_use]
    pub fn is_unfinished(&self, task: &Task) -> bool {
        matches!(
            self.step(task),
            Some(Step::Asked { .. } | Step::Invited { .. })
        )
    }

    /// Who was handed the key with this serial number.
    #[must_use]
    pub fn holder(&self, serial: &str) -> Option<&str> {
        self.handed(serial).map(|(name, _)| name)
    }

    /// The key with this serial number that was handed out, and its task's name.
    #[must_use]
    pub fn handed(&self, serial: &str) -> Option<(&str, &Handed)> {
        self.saved.tasks.iter().find_map(|(name, step)| match step {
            Step::Done(handed) if handed.serial.as_deref() == Some(serial) => {
                Some((name.as_str(), handed))
            }
            _ => None,
        })
    }
}

fn private(path: &Path, empty: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(empty)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "person,display,roles,document,keys\n\
        alice,\"Martin, Alice\",manager,passport,\n\
        bob,Bob Durand,,identity-card,1\n";

    #[test]
    fn whoever_has_a_role_gets_two_keys() {
        let tasks = tasks(&read_list(LIST).unwrap());
        let names: Vec<String> = tasks.iter().map(Task::name).collect();
        assert_eq!(names, ["alice/main", "alice/spare", "bob/main"]);
        assert_eq!(tasks[0].person.display, "Martin, Alice");
    }

    #[test]
    fn a_list_that_is_not_one_is_refused_by_its_line() {
        for (more, line) in [
            ("alice,Again,,passport,1\n", 4),
            ("c d,Name,,passport,1\n", 4),
            ("carl,Carl,,X4RTBPFW4,1\n", 4),
            ("carl,,,passport,1\n", 4),
            ("carl,Carl,,passport,3\n", 4),
            ("carl,Carl\n", 4),
        ] {
            let found = read_list(&format!("{LIST}{more}"));
            let Err(BatchError::Malformed { line: at, .. }) = found else {
                panic!("{more}: accepted");
            };
            assert_eq!(at, line, "{more}");
        }
        assert!(read_list("person,display,document,number\na,b,passport,1\n").is_err());
    }

    #[test]
    fn a_journal_goes_on_where_it_was_and_is_one_run_s() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("sceau-batch-{}", std::process::id()));
        let path = folder.join("journal");
        let all = tasks(&read_list(LIST).unwrap());
        let mut journal = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(BatchError::Busy)));
        let action = Uuid::from_u128(1);
        let invitation = "secret".to_owned();
        journal
            .set(&all[0], Some(Step::Invited { action, invitation }))
            .unwrap();
        let handed = Handed {
            action,
            key_id: Some("k".into()),
            model: None,
            aaguid: None,
            serial: Some("S1".into()),
            firmware: None,
            transport_pin: false,
            at: "2026-11-22T00:00:00Z".into(),
        };
        journal.set(&all[1], Some(Step::Done(handed))).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert!(matches!(journal.step(&all[0]), Some(Step::Invited { .. })));
        assert_eq!(journal.holder("S1"), Some("alice/spare"));
        assert!(journal.step(&all[2]).is_none());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
