//! A person at a real terminal: the commands run on a pseudo-terminal, words are read from it, PINs are typed into it.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use rexpect::{
    process::WaitStatus,
    reader::Options,
    session::{PtySession, spawn_with_options},
};

/// A command on its own terminal.
pub struct Terminal {
    session: PtySession,
    shown: String,
}

impl Terminal {
    /// Starts `command` on a new terminal; every `read` waits at most `patience`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: Command, patience: Duration) -> Result<Self> {
        let shown = format!("{:?}", command.get_program());
        let options = Options::new()
            .timeout_ms(Some(u64::try_from(patience.as_millis())?))
            .strip_ansi_escape_codes(true);
        let session = spawn_with_options(command, options)
            .with_context(|| format!("cannot start {shown}"))?;
        Ok(Self { session, shown })
    }

    /// Reads until `words` stand on the terminal; returns what came before them.
    ///
    /// # Errors
    /// When they do not come in time; the message quotes what came instead.
    pub fn read(&mut self, words: &str) -> Result<String> {
        self.session
            .exp_string(words)
            .with_context(|| format!("{}: awaited «{words}»", self.shown))
    }

    /// Reads until a pattern matches; returns what came before and what matched.
    ///
    /// # Errors
    /// When it does not come in time.
    pub fn read_pattern(&mut self, pattern: &str) -> Result<(String, String)> {
        self.session
            .exp_regex(pattern)
            .with_context(|| format!("{}: awaited /{pattern}/", self.shown))
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.session.send_line(line)?;
        Ok(())
    }

    /// Waits for the end; returns the exit code and what was still printed.
    ///
    /// # Errors
    /// When it does not end in time, or by a signal.
    pub fn end(mut self) -> Result<(i32, String)> {
        let rest = self
            .session
            .exp_eof()
            .with_context(|| format!("{} did not end", self.shown))?;
        match self.session.process().wait()? {
            WaitStatus::Exited(_, code) => Ok((code, rest)),
            other => bail!("{} ended with {other:?}:\n{rest}", self.shown),
        }
    }
}
