//! A real browser with virtual keys, as several persons use it: each with a profile, a key and a language of their own, by keyboard alone.
//!
//! Drives `tests/peers/browser.mjs`, which says what each operation does. Nothing of a page is known here but what a person sees.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::place;

/// The browser; ends when dropped.
pub struct Browser {
    driver: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// What Chromium says itself, where it has windows: its end is quoted when something fails.
    log: Option<PathBuf>,
}

impl Browser {
    /// Starts it before the server at this port of the loopback, under `https://sceau.example`. Pictures of pages go to `target/screens/pages`.
    ///
    /// # Errors
    /// When Chromium or its driver does not start.
    pub fn start(folder: &Path, port: u16) -> Result<Self> {
        Self::with(folder, port, None)
    }

    /// The same with windows and dialogs on this X display; persons' keys are those of the machine.
    ///
    /// # Errors
    /// As [`Browser::start`].
    pub fn windowed(folder: &Path, port: u16, display: &str) -> Result<Self> {
        Self::with(folder, port, Some(display))
    }

    fn with(folder: &Path, port: u16, display: Option<&str>) -> Result<Self> {
        let names = ["sceau.example", "evil.example"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names)?;
        fs::write(folder.join("front.crt"), made.cert.pem())?;
        fs::write(folder.join("front.key"), made.signing_key.serialize_pem())?;
        let screens = place::target().join("screens/pages");
        fs::create_dir_all(&screens)?;
        let mut command = Command::new("node");
        let mut log = None;
        if let Some(display) = display {
            let path = folder.join("chromium.log");
            command
                .env("DISPLAY", display)
                .env("DEBUG", "pw:browser")
                .stderr(fs::File::create(&path)?);
            log = Some(path);
        }
        let mut driver = command
            .arg(place::root().join("tests/peers/browser.mjs"))
            .arg(folder)
            .arg(port.to_string())
            .args(display.map(|_| "windowed"))
            .env("SCEAU_PEERS", place::target().join("peers"))
            .env("SCEAU_SCREENS", &screens)
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node; `cargo xtask setup` installs it")?;
        let pipes = driver.stdin.take().zip(driver.stdout.take());
        let (questions, answers) = pipes.context("the driver's pipes")?;
        Ok(Self {
            driver,
            pipes: Mutex::new((questions, BufReader::new(answers))),
            log,
        })
    }

    /// One operation of the driver.
    ///
    /// # Errors
    /// When it fails; the message says how.
    pub fn ask(&self, question: &Value) -> Result<Value> {
        let mut pipes = self.pipes.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        let (questions, answers) = &mut *pipes;
        writeln!(questions, "{question}")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("{question}: «{line}»"))?;
        ensure!(
            answer.get("failed").is_none(),
            "{question}: {}{}",
            answer["failed"],
            self.chromium()
        );
        Ok(answer)
    }

    /// The end of what Chromium said.
    fn chromium(&self) -> String {
        let said = self.log.as_ref().and_then(|log| fs::read(log).ok());
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        let end = &lines[lines.len().saturating_sub(40)..];
        end.iter()
            .map(|line| format!("\n  chromium: {line}"))
            .collect()
    }

    /// A person with a profile, a language and a key of their own.
    ///
    /// # Errors
    /// When the browser does not do it; so for all that follow.
    pub fn person(&self, who: &str, language: &str) -> Result<()> {
        self.ask(&json!({"op": "person", "who": who, "language": language}))
            .map(drop)
    }

    /// A page of the server, or a whole address; what stands there.
    pub fn go(&self, who: &str, to: &str) -> Result<Value> {
        self.ask(&json!({"op": "go", "who": who, "to": to}))
    }

    /// Tab to that field, and the text.
    pub fn type_into(&self, who: &str, into: &str, text: &str) -> Result<()> {
        self.ask(&json!({"op": "type", "who": who, "into": into, "text": text}))
            .map(drop)
    }

    /// Tab to that button or link, and Enter.
    pub fn press(&self, who: &str, on: &str) -> Result<()> {
        self.ask(&json!({"op": "press", "who": who, "on": on}))
            .map(drop)
    }

    /// Waits until this text stands on the page.
    pub fn reads(&self, who: &str, text: &str) -> Result<Value> {
        self.ask(&json!({"op": "until", "who": who, "text": text}))
    }

    /// Waits until the page's action is in this state.
    pub fn sees(&self, who: &str, state: &str) -> Result<Value> {
        self.ask(&json!({"op": "until", "who": who, "state": state}))
    }

    /// Where the person's key is, and how: see the driver.
    pub fn key(&self, who: &str, is: &str) -> Result<()> {
        self.ask(&json!({"op": "key", "who": who, "is": is}))
            .map(drop)
    }

    /// Judges and pictures the page as it stands.
    pub fn judge(&self, who: &str, name: &str) -> Result<()> {
        self.ask(&json!({"op": "judge", "who": who, "name": name}))
            .map(drop)
    }

    /// The same, in both languages; the page is loaded anew for each.
    pub fn judge_both(&self, who: &str, name: &str) -> Result<()> {
        self.ask(&json!({"op": "both", "who": who, "name": name}))
            .map(drop)
    }

    /// What was found at fault on any page, and the bytes of the heaviest.
    pub fn end(&self) -> Result<(Vec<String>, u64)> {
        let said = self.ask(&json!({"op": "end"}))?;
        Ok((
            serde_json::from_value(said["faults"].clone())?,
            said["heaviest"].as_u64().context("a weight")?,
        ))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
