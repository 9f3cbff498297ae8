//! pinentry, by its Assuan protocol (libassuan's manual, "Server"; pinentry's manual, "Protocol"): the session's own dialog for decisions and PINs.
//!
//! Trusted: the program that is started, with the session's environment; it is asked nothing about caching PINs, so nothing is cached. Texts go to it
//! percent-escaped, in lines of at most 1000 octets: what does not fit is refused here, never cut. A PIN comes back by its pipe alone, into buffers
//! that are erased. Deliberately elsewhere: what is asked ([`super::dialog`]).

use std::ffi::OsStr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use zeroize::{Zeroize, Zeroizing};

use super::dialog::Dialog;
use crate::prompt::Secret;

/// Octets of one line, line feed included (ASSUAN_LINELENGTH).
const MAX_LINE: usize = 1000;
/// Octets of a text once escaped: the longest command before it is `SETREPEATERROR `.
pub(super) const MAX_TEXT: usize = MAX_LINE - 16;
/// Lines that one command may be answered with.
const MAX_LINES: usize = 64;

/// Error codes of libgpg-error, without their source.
const CANCELED: u32 = 99;
const TIMEOUT: u32 = 62;
const NOT_CONFIRMED: u32 = 114;

/// Why nobody was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinentryError {
    /// The program is not there, cannot open a window, or went away.
    #[error("pinentry: {0}")]
    Unavailable(String),
    /// It said what the protocol does not allow.
    #[error("pinentry cannot be understood")]
    Malformed,
    /// A text of ours does not fit in a line.
    #[error("a text is too long for pinentry")]
    TooLong,
}

/// Which button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first.
    Yes,
    /// The other.
    No,
    /// The third, or the window was closed.
    Cancel,
}

/// One pinentry, for one dialog after the other; it ends when dropped.
pub struct Pinentry {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
}

/// How a command was answered.
enum Answer {
    Done(Option<Secret>),
    Failed(u32),
}

impl Pinentry {
    /// Starts the program and waits for its greeting.
    ///
    /// # Errors
    /// [`PinentryError::Unavailable`].
    pub async fn start(program: &OsStr) -> Result<Self, PinentryError> {
        let unavailable =
            |e: std::io::Error| PinentryError::Unavailable(format!("{}: {e}", program.display()));
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(unavailable)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(PinentryError::Malformed);
        };
        let mut pinentry = Self {
            _child: child,
            input,
            output,
            buffer: Zeroizing::new(vec![0; MAX_LINE + 2]),
            filled: 0,
        };
        match pinentry.answer().await? {
            Answer::Done(_) => Ok(pinentry),
            Answer::Failed(_) => Err(PinentryError::Malformed),
        }
    }

    /// Shows a dialog with up to three buttons.
    ///
    /// # Errors
    /// [`PinentryError`].
    pub async fn confirm(&mut self, dialog: &Dialog) -> Result<Choice, PinentryError> {
        self.prepare(dialog).await?;
        match self.command("CONFIRM", None).await? {
            Answer::Done(_) => Ok(Choice::Yes),
            Answer::Failed(NOT_CONFIRMED) => Ok(Choice::No),
            Answer::Failed(CANCELED | TIMEOUT) => Ok(Choice::Cancel),
            Answer::Failed(code) => Err(failed(code)),
        }
    }

    /// Asks for a PIN; `None`: the person stopped.
    ///
    /// # Errors
    /// [`PinentryError`].
    pub async fn pin(
        &mut self,
        dialog: &Dialog,
        prompt: &str,
        error: Option<&str>,
    ) -> Result<Option<Secret>, PinentryError> {
        self.prepare(dialog).await?;
        self.set("SETPROMPT", prompt).await?;
        if let Some(error) = error {
            self.set("SETERROR", error).await?;
        }
        match self.command("GETPIN", None).await? {
            Answer::Done(typed) => Ok(typed),
            Answer::Failed(CANCELED | NOT_CONFIRMED | TIMEOUT) => Ok(None),
            Answer::Failed(code) => Err(failed(code)),
        }
    }

    async fn prepare(&mut self, dialog: &Dialog) -> Result<(), PinentryError> {
        // A title has one line: no-break spaces hold nothing together there, and X programs that read titles as Latin-1 miss the whole of it.
        let title = dialog.title.replace(['\u{a0}', '\u{202f}'], " ");
        self.set("SETTITLE", &title).await?;
        self.set("SETDESC", &dialog.text).await?;
        let buttons = [
            ("SETOK", Some(&dialog.yes)),
            ("SETNOTOK", dialog.no.as_ref()),
            ("SETCANCEL", dialog.cancel.as_ref()),
        ];
        for (name, label) in buttons {
            if let Some(label) = label {
                self.set(name, label).await?;
            }
        }
        Ok(())
    }

    /// Sets a text; a pinentry that does not know the command shows less, and goes on.
    async fn set(&mut self, name: &str, text: &str) -> Result<(), PinentryError> {
        let is_needed = name == "SETDESC";
        match self.command(name, Some(text)).await? {
            Answer::Failed(code) if is_needed => Err(failed(code)),
            _ => Ok(()),
        }
    }

    async fn command(&mut self, name: &str, text: Option<&str>) -> Result<Answer, PinentryError> {
        let mut line = name.to_owned();
        if let Some(text) = text {
            line.push(' ');
            line.push_str(&escaped(text).ok_or(PinentryError::TooLong)?);
        }
        line.push('\n');
        self.input.write_all(line.as_bytes()).await.map_err(gone)?;
        self.input.flush().await.map_err(gone)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, PinentryError> {
        let mut typed = None;
        for _ in 0..MAX_LINES {
            let line = self.line().await?;
            let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
                Some(at) => (
                    line.get(..at).unwrap_or_default(),
                    line.get(at + 1..).unwrap_or_default(),
                ),
                None => (line.as_slice(), &[][..]),
            };
            match word {
                b"OK" => return Ok(Answer::Done(typed)),
                b"ERR" => {
                    let digits: String = rest
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit())
                        .map(|byte| char::from(*byte))
                        .collect();
                    let code: u32 = digits.parse().map_err(|_| PinentryError::Malformed)?;
                    return Ok(Answer::Failed(code & 0xFFFF));
                }
                b"D" => typed = Some(unescaped(rest).ok_or(PinentryError::Malformed)?),
                b"S" | b"#" => {}
                // A question of its own (INQUIRE) is answered with nothing.
                b"INQUIRE" => self.input.write_all(b"END\n").await.map_err(gone)?,
                _ => return Err(PinentryError::Malformed),
            }
        }
        Err(PinentryError::Malformed)
    }

    /// One line, without its line feed.
    async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
        loop {
            let filled = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(end) = filled.iter().position(|byte| *byte == b'\n') {
                let line = Zeroizing::new(filled.get(..end).unwrap_or_default().to_vec());
                self.buffer.copy_within(end + 1..self.filled, 0);
                let left = self.filled - end - 1;
                if let Some(rest) = self.buffer.get_mut(left..self.filled) {
                    rest.zeroize();
                }
                self.filled = left;
                return Ok(line);
            }
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            if free.is_empty() {
                return Err(PinentryError::Malformed);
            }
            match self.output.read(free).await.map_err(gone)? {
                0 => return Err(PinentryError::Unavailable("it went away".to_owned())),
                count => self.filled += count,
            }
        }
    }
}

fn gone(e: std::io::Error) -> PinentryError {
    PinentryError::Unavailable(e.to_string())
}

fn failed(code: u32) -> PinentryError {
    PinentryError::Unavailable(format!("error {code}"))
}

/// A text for a line: percent signs and line ends escaped, `None` when it does not fit.
pub(super) fn escaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            c => out.push(c),
        }
    }
    (out.len() <= MAX_TEXT).then_some(out)
}

/// What a data line holds; `None` when it is not UTF-8 or an escape is broken.
fn unescaped(data: &[u8]) -> Option<Secret> {
    let mut out = Zeroizing::new(Vec::with_capacity(data.len()));
    let mut bytes = data.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    let text = std::str::from_utf8(&out).ok()?;
    Some(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_never_cut() {
        assert_eq!(
            escaped("50 %\nOK\r\nSETDESC é").as_deref(),
            Some("50 %25%0AOK%0D%0ASETDESC é")
        );
        assert!(escaped(&"a".repeat(MAX_TEXT)).is_some());
        assert!(escaped(&"a".repeat(MAX_TEXT + 1)).is_none());
        assert!(escaped(&"%".repeat(MAX_TEXT / 2)).is_none());
    }

    #[test]
    fn typed_secret_is_read_back_whatever_it_holds() {
        let read = |data: &[u8]| unescaped(data).map(|secret| secret.expose().to_owned());
        assert_eq!(read(b"47%2511 tulipe").as_deref(), Some("47%11 tulipe"));
        assert_eq!(read("é".as_bytes()).as_deref(), Some("é"));
        for broken in [&b"%"[..], b"%4", b"%zz", b"\xff"] {
            assert_eq!(read(broken), None);
        }
    }

    /// A pinentry that answers these lines, one command after the other.
    fn program(place: &std::path::Path, answers: &str) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = place.join("pinentry");
        let script = format!(
            "#!/bin/sh\necho 'OK hello'\nwhile read -r line; do\ncase \"$line\" in\n{answers}\n*) echo OK;;\nesac\ndone\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn dialog() -> Dialog {
        Dialog {
            title: "Sceau".into(),
            text: "?".into(),
            yes: "Yes".into(),
            no: Some("No".into()),
            cancel: None,
        }
    }

    fn run<A>(work: impl Future<Output = A>) -> A {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work)
    }

    #[test]
    fn odd_pinentries_are_refused_in_bounded_time_and_memory() {
        let place = tempfile::tempdir().unwrap();
        let cases = [
            ("CONFIRM) echo 'ERR 83886194 no';;", Ok(Choice::No)),
            ("CONFIRM) echo 'ERR 83886179 stop';;", Ok(Choice::Cancel)),
            ("CONFIRM) echo '# a comment'; echo OK;;", Ok(Choice::Yes)),
            ("CONFIRM) echo '<html>';;", Err(PinentryError::Malformed)),
            ("CONFIRM) echo 'ERR none';;", Err(PinentryError::Malformed)),
            (
                "CONFIRM) head -c 5000 /dev/zero | tr '\\0' a;;",
                Err(PinentryError::Malformed),
            ),
            (
                "CONFIRM) yes '# again' | head -n 9999;;",
                Err(PinentryError::Malformed),
            ),
            (
                "CONFIRM) exit 0;;",
                Err(PinentryError::Unavailable("it went away".into())),
            ),
        ];
        for (answers, expected) in cases {
            let path = program(place.path(), answers);
            let found = run(async {
                let mut pinentry = Pinentry::start(path.as_os_str()).await?;
                pinentry.confirm(&dialog()).await
            });
            assert_eq!(found, expected, "{answers}");
        }
        let missing = run(Pinentry::start(OsStr::new("/nowhere/pinentry"))).err();
        assert!(matches!(missing, Some(PinentryError::Unavailable(_))));
    }
}
