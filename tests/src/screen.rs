//! A screen and its keyboard, for windows that are not a page's own: Xvfb and xdotool.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::process::eventually;

/// Emulated processors take their time.
const PATIENCE: Duration = Duration::from_secs(90);

/// An X display of its own; ends when dropped.
pub struct Screen {
    x: Child,
    display: String,
}

impl Screen {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no Xvfb (`cargo xtask setup` installs it).
    pub fn start() -> Result<Self> {
        let mut x = Command::new("Xvfb")
            // Without repetition: on an emulated processor any key is held down for long.
            .args(["-r", "-screen", "0", "1024x768x24", "-nolisten", "tcp"])
            .args(["-displayfd", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("Xvfb; `cargo xtask setup` installs it")?;
        let mut number = String::new();
        BufReader::new(x.stdout.take().context("Xvfb's output")?).read_line(&mut number)?;
        let display = format!(":{}", number.trim());
        Ok(Self { x, display })
    }

    /// Its name, for `DISPLAY`.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let out = Command::new(program)
            .args(arguments)
            .env("DISPLAY", &self.display)
            .output()
            .with_context(|| format!("{program}; `cargo xtask setup` installs it"))?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{program} {arguments:?}: {said}");
        Ok(out.stdout)
    }

    /// Gives the keyboard to the visible window of this class that was opened last (there is no window manager to do it).
    ///
    /// # Errors
    /// When there is none.
    pub fn focus(&self, class: &str) -> Result<()> {
        let found = self.run("xdotool", &["search", "--onlyvisible", "--class", class])?;
        let found = String::from_utf8(found)?;
        let window = found.lines().last().context("a window")?;
        self.run("xdotool", &["windowfocus", "--sync", window])
            .map(drop)
    }

    /// Types this text.
    ///
    /// # Errors
    /// When it is not taken; so for [`Screen::press`].
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.run("xdotool", &["type", "--delay", "60", text])
            .map(drop)
    }

    /// Presses these keys one after the other (`Tab`, `Return`, `Escape`).
    ///
    /// # Errors
    /// When they are not taken.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        let arguments = [&["key", "--delay", "60"], keys].concat();
        self.run("xdotool", &arguments).map(drop)
    }

    /// Waits until the lower right corner has such a colour (red, green, blue): pages show through there, darkened while a dialog stands before them.
    ///
    /// # Errors
    /// When it does not come; `what` says what was awaited.
    pub fn becomes(&self, what: &str, is: impl Fn([u8; 3]) -> bool) -> Result<()> {
        eventually(what, PATIENCE, || self.corner().is_ok_and(&is)).map(drop)
    }

    fn corner(&self) -> Result<[u8; 3]> {
        let crop = ["-window", "root", "-crop", "1x1+980+720", "-depth", "8"];
        let bytes = self.run("import", &[&crop[..], &["rgb:-"]].concat())?;
        bytes.first_chunk().copied().context("a colour")
    }

    /// A picture of all of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn picture(&self, file: &Path) -> Result<()> {
        let file = file.to_string_lossy();
        self.run("import", &["-window", "root", &file]).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.x.kill();
        let _ = self.x.wait();
    }
}
