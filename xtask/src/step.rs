//! One step of a task: a heading, a command, its time. The summary at the end says where the time went.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The steps that ran, with their durations.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs `work` under a heading and notes how long it took.
    ///
    /// # Errors
    /// What `work` returns, with the step's name.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n── {name}");
        let begun = Instant::now();
        let outcome = work().with_context(|| format!("step «{name}»"));
        let took = begun.elapsed();
        println!(
            "── {name}: {} after {:.1} s",
            if outcome.is_ok() { "done" } else { "FAILED" },
            took.as_secs_f64()
        );
        self.done.push((name.to_owned(), took));
        outcome
    }

    /// Prints where the time went.
    pub fn summary(&self) {
        println!("\nWhere the time went:");
        for (name, took) in &self.done {
            println!("  {:>7.1} s  {name}", took.as_secs_f64());
        }
        let all: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("  {:>7.1} s  in all", all.as_secs_f64());
    }
}

/// Runs a command with our standard streams.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and returns its standard output as text.
///
/// # Errors
/// When it cannot be started, does not exit with 0, or prints something else than UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !out.status.success() {
        bail!("`{shown}` ended with {}", out.status);
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// Whether a command ends well on this machine (its output is discarded).
#[must_use]
pub fn answers(words: &[&str]) -> bool {
    let [program, arguments @ ..] = words else {
        return false;
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
