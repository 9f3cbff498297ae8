//! What a policy is written in: files, read once, kept verbatim. `*.cedar` (policies), `*.cedarschema` (the action types of services) and
//! `roles.toml` (roles, and how high each stands).
//!
//! The text of all of them together, the built-in words included, is what the log's digest is over and what evidence may show.

use std::fmt;
use std::path::Path;

/// Longest file, and how many.
const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: usize = 256;

/// Begins each file in [`bundle`]'s text.
const HEAD: &str = "//! file ";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file of that name with this text.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// What is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which file.
    pub file: String,
    /// Which line, from 1; 0 when it is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do; may be empty.
    pub advice: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// The policy cannot be used: every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

impl From<Fault> for PolicyError {
    fn from(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
        }
    }
}

/// Reads a folder's policy files in the order of their names, or one file.
///
/// # Errors
/// [`PolicyError`] with what cannot be read.
pub fn read(path: &Path) -> Result<Vec<Source>, PolicyError> {
    if !path.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let unreadable = |error: std::io::Error| Fault {
        file: path.display().to_string(),
        line: 0,
        problem: format!("cannot be read: {error}"),
        advice: String::new(),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let known = file
            .extension()
            .is_some_and(|kind| kind == "cedar" || kind == "cedarschema")
            || file.file_name().is_some_and(|name| name == "roles.toml");
        if known {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(unreadable(std::io::Error::other("too many files")).into());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Fault {
            advice: "put *.cedar, *.cedarschema and roles.toml there; the shipped set is in server/policy".into(),
            ..unreadable(std::io::Error::other("no policy file in this folder"))
        }
        .into());
    }
    files.iter().map(|file| read_file(file)).collect()
}

fn read_file(path: &Path) -> Result<Source, PolicyError> {
    let read = std::fs::metadata(path).and_then(|found| {
        if found.len() > MAX_FILE {
            return Err(std::io::Error::other("longer than 1 MiB"));
        }
        std::fs::read_to_string(path)
    });
    match read {
        Ok(text) => Ok(Source {
            name: path.display().to_string(),
            text,
        }),
        Err(error) => Err(Fault {
            file: path.display().to_string(),
            line: 0,
            problem: format!("cannot be read: {error}"),
            advice: String::new(),
        }
        .into()),
    }
}

/// All files as one text, each behind a line with its name (folders left out: where they lie is nobody's business).
#[must_use]
pub(super) fn bundle(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        let name = source.name.rsplit('/').next().unwrap_or(&source.name);
        text.push_str(HEAD);
        text.push_str(name);
        text.push('\n');
        text.push_str(&source.text);
        if !source.text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// Reads `bundle` back; the built-in words are left out.
#[must_use]
pub fn unbundle(text: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix(HEAD) {
            sources.push(Source::new(name.trim_end(), ""));
        } else if let Some(source) = sources.last_mut() {
            source.text.push_str(line);
        }
    }
    sources.retain(|source| source.name != super::compile::WORDS_NAME);
    sources
}
