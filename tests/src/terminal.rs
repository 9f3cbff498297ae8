//! A person at a real terminal: the commands run on a pseudo-terminal, words are read from it, PINs are typed into it.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rexpect::{
    process::{Signal, WaitStatus},
    reader::{Options, ReadUntil, Regex},
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

    /// Plays a person who answers what is asked: for each pair, text that the terminal may show (a pattern) and the line typed then.
    /// Goes on until the command ends; returns its exit code and everything that stood on the terminal.
    ///
    /// # Errors
    /// When neither a known question nor the end comes in time; the message quotes what came instead.
    pub fn answer(self, answers: &[(&str, &str)]) -> Result<(i32, String)> {
        let questions: Vec<&str> = answers.iter().map(|(question, _)| *question).collect();
        let ended = self.converse(&questions, |at| Ok(Some(answers[at].1.to_owned())))?;
        ended.context("nobody killed it")
    }

    /// As [`Terminal::answer`], by a person who thinks: `reply` is given the number of the question, and gives the line to type, or `None` to kill
    /// the command as a power cut would; then nothing is returned.
    ///
    /// # Errors
    /// As [`Terminal::answer`]; those of `reply`.
    pub fn converse(
        mut self,
        questions: &[&str],
        mut reply: impl FnMut(usize) -> Result<Option<String>>,
    ) -> Result<Option<(i32, String)>> {
        let mut transcript = String::new();
        let patterns: Vec<Regex> = questions
            .iter()
            .map(|question| Regex::new(question))
            .collect::<Result<_, _>>()?;
        loop {
            let mut awaited: Vec<ReadUntil> =
                patterns.iter().cloned().map(ReadUntil::Regex).collect();
            awaited.push(ReadUntil::EOF);
            let (before, found) = self
                .session
                .exp_any(awaited)
                .with_context(|| format!("{}: after\n{transcript}", self.shown))?;
            transcript.push_str(&before);
            transcript.push_str(&found);
            let question = patterns
                .iter()
                .position(|pattern| !found.is_empty() && pattern.is_match(&found));
            let Some(question) = question else { break };
            match reply(question).with_context(|| decoded(&transcript))? {
                Some(line) => self.type_line(&line)?,
                None => {
                    self.session.process_mut().kill(Signal::SIGKILL)?;
                    return Ok(None);
                }
            }
        }
        let (code, rest) = self.end()?;
        transcript.push_str(&rest);
        Ok(Some((code, decoded(&transcript))))
    }

    /// As [`Terminal::answer`], by a person who gives up (Ctrl-C) when nothing more comes for `patience`.
    ///
    /// # Errors
    /// When the command does not end after that either.
    pub fn answer_or_leave(
        mut self,
        answers: &[(&str, &str)],
        patience: Duration,
    ) -> Result<(i32, String)> {
        let mut transcript = String::new();
        let begun = Instant::now();
        loop {
            while let Some(character) = self.session.try_read() {
                transcript.push(character);
            }
            let asked = answers.iter().find(|(question, _)| {
                Regex::new(question).is_ok_and(|pattern| pattern.is_match(&transcript))
            });
            if let Some((_, line)) = asked {
                self.type_line(line)?;
                transcript.push('\n');
            }
            if begun.elapsed() > patience {
                self.session.send_control('c')?;
                break;
            }
            match self.session.process().status() {
                None | Some(WaitStatus::StillAlive) => sleep(Duration::from_millis(20)),
                Some(WaitStatus::Exited(_, code)) => {
                    transcript.push_str(&self.session.exp_eof().unwrap_or_default());
                    return Ok((code, decoded(&transcript)));
                }
                other => bail!("{} ended with {other:?}:\n{transcript}", self.shown),
            }
        }
        transcript.push_str(&self.session.exp_eof().unwrap_or_default());
        match self.session.process().wait() {
            Ok(WaitStatus::Exited(_, code)) => Ok((code, decoded(&transcript))),
            Ok(WaitStatus::Signaled(..)) => Ok((130, decoded(&transcript))),
            other => bail!("{} ended with {other:?}:\n{transcript}", self.shown),
        }
    }

    /// What comes on the terminal while nothing is typed for so long.
    pub fn listen(&mut self, patience: Duration) -> String {
        let (begun, mut heard) = (Instant::now(), String::new());
        while begun.elapsed() < patience {
            match self.session.try_read() {
                Some(character) => heard.push(character),
                None => sleep(Duration::from_millis(20)),
            }
        }
        decoded(&heard)
    }

    /// Presses Ctrl-C.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn leave(&mut self) -> Result<()> {
        self.session.send_control('c')?;
        Ok(())
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

/// What stood on the terminal, as UTF-8: the reader below gives every byte as a character of its own.
fn decoded(transcript: &str) -> String {
    let bytes: Vec<u8> = transcript
        .chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'))
        .collect();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}
