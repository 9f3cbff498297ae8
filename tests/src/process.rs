//! Processes that a scenario starts, kills and outlives.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A running child; killed when dropped. Its output goes to a file that failures quote.
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command`; standard output and error are appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it at once, as a power cut would (SIGKILL), and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `ready` says so, at most `patience`.
    ///
    /// # Errors
    /// When the process ends first or patience does; the message quotes the end of its output.
    pub fn wait_ready(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Duration> {
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = self.ended()? {
                bail!(
                    "{} ended with {status} before it was ready:\n{}",
                    self.name,
                    tail(&self.printed())
                );
            }
            if begun.elapsed() > patience {
                bail!(
                    "{} was not ready after {patience:?}:\n{}",
                    self.name,
                    tail(&self.printed())
                );
            }
            sleep(Duration::from_millis(5));
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `holds`, at most `patience`.
///
/// # Errors
/// When it does not come true in time; `what` says what was awaited.
pub fn eventually(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<Duration> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            bail!("not within {patience:?}: {what}");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(begun.elapsed())
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
