//! The child process `sceau-keys-admin`, seen from its parent: one request, one answer, a deadline. `sceau-pkcs11` is run in the same way
//! ([`crate::piv::module`]).
//!
//! The library in it (ctap-hid-fido2) waits for ever on a key that is frozen, checks neither channel nor sequence of what it reads, and panics on
//! malformed replies (docs/decisions.md). So it runs in a process of its own, with an empty environment, nothing on its command line, and ends
//! when the parent says so; what happened to it is told, and nothing else of the agent is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sceau_ctap::{Clock, Status};
use sceau_locale::{foreign, span};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::locale::Language;
use crate::prompt::Secret;
use crate::reader::SystemClock;

/// Most bytes that the child may answer.
const MAX_ANSWER: u64 = 1024 * 1024;

/// What the child is asked.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// The key's device node.
    pub node: String,
    /// Its PIN.
    pub pin: Option<Secret>,
    /// Its PIN to be.
    pub new_pin: Option<Secret>,
}

/// What the child can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// What the key says of itself.
    Info,
    /// Sets the first PIN.
    SetPin,
    /// Changes the PIN.
    ChangePin,
    /// Lists discoverable credentials.
    Credentials,
    /// Lists fingers.
    Fingers,
    /// Enrols a finger.
    AddFinger,
}

impl Operation {
    /// The longest that it may take.
    #[must_use]
    pub fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            Self::Info => 6,
            Self::SetPin | Self::ChangePin => 15,
            Self::Credentials | Self::Fingers => 60,
            Self::AddFinger => 180,
        })
    }
}

/// Why the child did not do it. `Display` is for logs, in English; [`ChildError::tell`] for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// It is in none of these places.
    Absent(Vec<PathBuf>),
    /// The system's reason.
    System(String),
    /// It did not end in time and was ended.
    Deadline(Duration),
    /// It broke on what the key answered: exit code or signal.
    Crashed(String),
    /// It answered something else than an answer.
    Malformed,
    /// The key said no, by this status.
    Status(Status),
    /// It could not be done; the library's words.
    Failed(String),
}

impl ChildError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        let said = |name: &str, value: &str, text: String| {
            language.text_with(name, &[(value, text.into())])
        };
        match self {
            Self::Absent(places) => {
                let places: Vec<String> = places
                    .iter()
                    .map(|place| place.display().to_string())
                    .collect();
                said("fault-child-absent", "places", places.join(", "))
            }
            Self::System(why) | Self::Failed(why) => foreign(language, why),
            Self::Deadline(limit) => {
                let limit = time::Duration::try_from(*limit).unwrap_or(time::Duration::MAX);
                said("fault-child-late", "limit", span(language, limit))
            }
            Self::Crashed(how) => said("fault-child-ended", "how", foreign(language, how)),
            Self::Malformed => language.text("fault-child-malformed").into_owned(),
            Self::Status(status) => foreign(language, &status.to_string()),
        }
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

/// The child's program of that name: beside this one, or where packages put it (`lib/sceau` or `libexec/sceau` beside the folder of this one).
///
/// # Errors
/// [`ChildError::Absent`].
pub fn program(name: &str) -> Result<PathBuf, ChildError> {
    let own = std::env::current_exe().map_err(|e| ChildError::System(e.to_string()))?;
    let places = places(&own, name);
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or(ChildError::Absent(places))
}

/// Where the child's program may be when this one is `own`, best first. Never a place that the environment names: PINs go to it.
fn places(own: &Path, name: &str) -> Vec<PathBuf> {
    let prefix = own.parent().and_then(Path::parent);
    let packaged = ["libexec/sceau", "lib/sceau"];
    let packaged = packaged
        .iter()
        .filter_map(|folder| Some(prefix?.join(folder).join(name)));
    let mut places = vec![own.with_file_name(name)];
    places.extend(packaged);
    let usual = Path::new("/usr/libexec/sceau").join(name);
    if !places.contains(&usual) {
        places.push(usual);
    }
    places
}

/// Runs one request in this environment and nothing of ours; `told` hears of progress.
///
/// # Errors
/// [`ChildError`]; the child has ended then, too.
pub fn run(
    program: &Path,
    environment: &BTreeMap<String, String>,
    request: &impl Serialize,
    deadline: Duration,
    told: &mut dyn FnMut(&Value),
) -> Result<Value, ChildError> {
    let system = |e: std::io::Error| ChildError::System(e.to_string());
    let mut child = Ending(
        Command::new(program)
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(system)?,
    );
    let line = Zeroizing::new(serde_json::to_vec(request).map_err(|_| ChildError::Malformed)?);
    if let Some(mut stdin) = child.0.stdin.take() {
        // A child that ended at once is told of below, by how it ended.
        drop(stdin.write_all(&line));
    }
    let (lines_tx, lines) = mpsc::channel();
    if let Some(stdout) = child.0.stdout.take() {
        std::thread::Builder::new()
            .name("administration".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                let lines = BufReader::new(stdout.take(MAX_ANSWER)).lines();
                for line in lines.map_while(Result::ok) {
                    if lines_tx.send(line).is_err() {
                        return;
                    }
                }
            })
            .map_err(system)?;
    }
    let clock = SystemClock::start();
    loop {
        let left = deadline.saturating_sub(clock.now());
        if left.is_zero() {
            return Err(ChildError::Deadline(deadline));
        }
        match lines.recv_timeout(left) {
            Ok(line) => match read(&line)? {
                Line::Told(value) => told(&value),
                Line::Done(value) => return Ok(value),
            },
            Err(RecvTimeoutError::Timeout) => return Err(ChildError::Deadline(deadline)),
            Err(RecvTimeoutError::Disconnected) => {
                // It has closed its output, which is its end or near it.
                for _ in 0..50 {
                    if let Some(status) = child.0.try_wait().map_err(system)? {
                        return Err(ChildError::Crashed(status.to_string()));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Err(ChildError::Malformed);
            }
        }
    }
}

/// A child that does not outlive its use.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

enum Line {
    Told(Value),
    Done(Value),
}

fn read(line: &str) -> Result<Line, ChildError> {
    let mut value: Value = serde_json::from_str(line).map_err(|_| ChildError::Malformed)?;
    if let Some(told) = value.get_mut("told") {
        return Ok(Line::Told(told.take()));
    }
    if let Some(done) = value.get_mut("done") {
        return Ok(Line::Done(done.take()));
    }
    let error = value.get("error").ok_or(ChildError::Malformed)?;
    let status = error["status"]
        .as_u64()
        .and_then(|status| u8::try_from(status).ok());
    Err(match status {
        Some(status) => ChildError::Status(Status(status)),
        None => ChildError::Failed(crate::text::one_line(
            error["message"].as_str().unwrap_or_default(),
            200,
        )),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with_script(script: &str, deadline: Duration) -> Result<Value, ChildError> {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("child");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let request = Request {
            operation: Operation::ChangePin,
            node: "/dev/hidraw0".into(),
            pin: Some(Secret::new("1234-old".into())),
            new_pin: Some(Secret::new("1234-new".into())),
        };
        run(&program, &BTreeMap::new(), &request, deadline, &mut |_| {})
    }

    #[test]
    fn pins_go_by_the_pipe_alone_and_nothing_is_inherited() {
        let script = r#"read -r line
case "$line" in *1234-old*1234-new*) ;; *) exit 9 ;; esac
[ $# = 0 ] || exit 8
tr '\0' '\n' </proc/$$/environ | grep -qv '^PWD=\|^$' && exit 7
echo '{"told":{"n":1}}'
echo '{"done":{"ok":true}}'"#;
        let done = with_script(script, Duration::from_secs(20));
        assert_eq!(done, Ok(serde_json::json!({ "ok": true })));
    }

    #[test]
    fn the_program_is_looked_for_beside_this_one_and_where_packages_put_it() {
        let paths = |own: &str| -> Vec<String> {
            let places = places(Path::new(own), "sceau-keys-admin");
            places
                .iter()
                .map(|place| place.display().to_string())
                .collect()
        };
        let packaged = [
            "/usr/bin/sceau-keys-admin",
            "/usr/libexec/sceau/sceau-keys-admin",
            "/usr/lib/sceau/sceau-keys-admin",
        ];
        assert_eq!(paths("/usr/bin/sceau"), packaged);
        assert_eq!(
            paths("/opt/sceau/bin/sceau")[1..],
            [
                "/opt/sceau/libexec/sceau/sceau-keys-admin",
                "/opt/sceau/lib/sceau/sceau-keys-admin",
                "/usr/libexec/sceau/sceau-keys-admin",
            ]
        );
        let absent =
            ChildError::Absent(places(Path::new("/usr/bin/sceau"), "sceau-keys-admin")).to_string();
        assert!(
            packaged.iter().all(|place| absent.contains(place)),
            "{absent}"
        );
    }

    #[test]
    fn each_end_of_the_child_is_told_in_both_languages() {
        let ends = [
            (
                ChildError::Absent(vec!["/usr/libexec/sceau/sceau-keys-admin".into()]),
                "/usr/libexec/sceau/sceau-keys-admin",
            ),
            (
                ChildError::System(std::io::Error::from_raw_os_error(12).to_string()),
                "12",
            ),
            (ChildError::Deadline(Duration::from_secs(15)), "15 s"),
            (
                ChildError::Crashed("signal: 11 (SIGSEGV)".to_owned()),
                "SIGSEGV",
            ),
            (ChildError::Malformed, ""),
            (
                ChildError::Failed("the library's words".to_owned()),
                "the library's words",
            ),
        ];
        for (end, about) in ends {
            let [french, english] = [Language::Fr, Language::En].map(|it| end.tell(it));
            for text in [&french, &english] {
                assert!(text.contains(about) && !text.contains("fault-"), "{text}");
            }
            assert_ne!(french, english);
        }
    }

    #[test]
    fn a_child_that_hangs_is_ended_at_its_deadline() {
        let clock = SystemClock::start();
        let limit = Duration::from_millis(300);
        assert_eq!(
            with_script("sleep 60", limit),
            Err(ChildError::Deadline(limit))
        );
        assert!(clock.now() < Duration::from_secs(10));
    }

    #[test]
    fn a_child_that_breaks_is_told_of() {
        let patience = Duration::from_secs(20);
        assert!(matches!(
            with_script("kill -SEGV $$", patience),
            Err(ChildError::Crashed(_))
        ));
        assert_eq!(
            with_script("echo noise", patience),
            Err(ChildError::Malformed)
        );
        let refused = r#"echo '{"error":{"status":49,"message":"x"}}'"#;
        assert_eq!(
            with_script(refused, patience),
            Err(ChildError::Status(Status::PIN_INVALID))
        );
        let endless = "while :; do echo '{\"told\":1}'; done";
        let limit = Duration::from_millis(500);
        assert!(with_script(endless, limit).is_err());
    }
}
