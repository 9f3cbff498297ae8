//! Virtual keys of test manufacturers: firmware that nobody here wrote, in a reader that the operating system believes in.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    place,
    process::{Running, eventually},
};

/// A model of authenticator: a test manufacturer's attestation, made for this run.
#[derive(Debug, Clone)]
pub struct Model {
    /// What the manufacturer calls it.
    pub name: String,
    /// Its AAGUID.
    pub aaguid: String,
    /// Where its attestation leaf, its key and its manufacturer's root lie.
    pub folder: PathBuf,
}

impl Model {
    /// Founds a manufacturer and makes a model of it; `options` are `vkey make-model`'s (`--expired`, …).
    ///
    /// # Errors
    /// When `vkey` refuses.
    pub fn make(folder: &Path, name: &str, aaguid: &str, options: &[&str]) -> Result<Self> {
        let out = Command::new(place::vkey())
            .args(["make-model", "--name", name, "--aaguid", aaguid, "--out"])
            .arg(folder)
            .args(options)
            .output()?;
        if !out.status.success() {
            bail!("make-model: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(Self {
            name: name.to_owned(),
            aaguid: aaguid.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// The manufacturer's root certificate, PEM.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }
}

/// A virtual key that sits, or does not, in one workstation's reader.
pub struct Key {
    process: Running,
    control: PathBuf,
    start: Start,
}

/// How a key is started: again after a kill, with the same memory.
struct Start {
    folder: PathBuf,
    arguments: Vec<std::ffi::OsString>,
}

impl Key {
    /// Starts a FIDO2 key whose memory is `<folder>/flash`, in the reader whose first port is `port`; unplugged until [`Key::insert`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn fido(folder: &Path, model: Option<&Model>, port: u16) -> Result<Self> {
        Self::start(folder, model, port, &["--fido", "--out"])
    }

    /// Starts a key with these options of `vkey vpcd`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        folder: &Path,
        model: Option<&Model>,
        port: u16,
        options: &[&str],
    ) -> Result<Self> {
        let port = port.to_string();
        Self::over(
            "vpcd",
            folder,
            model,
            &[&["--port", &port], options].concat(),
        )
    }

    /// Starts a USB key behind the `controller`-th virtual controller (in the guest of `tests/guest`), with these options of `vkey hidg`;
    /// unplugged until [`Key::insert`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn usb(
        folder: &Path,
        model: Option<&Model>,
        controller: u8,
        serial: &str,
        options: &[&str],
    ) -> Result<Self> {
        let controller = format!("dummy_udc.{controller}");
        let name = model.map_or("Virtual Key", |model| &model.name);
        let mut all = vec!["--udc", &controller, "--serial", serial, "--name", name];
        all.extend(["--out"].iter().chain(options));
        Self::over("hidg", folder, model, &all)
    }

    fn over(
        transport: &str,
        folder: &Path,
        model: Option<&Model>,
        options: &[&str],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let control = folder.join("control.sock");
        let mut arguments: Vec<std::ffi::OsString> = vec![
            transport.into(),
            "--state".into(),
            folder.join("flash").into(),
        ];
        if let Some(model) = model {
            arguments.extend(["--attestation".into(), model.folder.clone().into()]);
        }
        arguments.extend(["--control".into(), control.clone().into()]);
        arguments.extend(options.iter().map(Into::into));
        let start = Start {
            folder: folder.to_owned(),
            arguments,
        };
        let process = Self::run(&start, &control)?;
        Ok(Self {
            process,
            control,
            start,
        })
    }

    fn run(start: &Start, control: &Path) -> Result<Running> {
        let _ = std::fs::remove_file(control);
        let mut process = Running::start(
            "vkey",
            &start.folder,
            Command::new(place::vkey()).args(&start.arguments),
        )?;
        process.wait_ready(Duration::from_secs(10), || {
            UnixStream::connect(control).is_ok()
        })?;
        Ok(process)
    }

    /// Says one command to the key's control socket (`vkey say` lists them).
    ///
    /// # Errors
    /// When the key does not answer, or says no.
    pub fn say(&self, words: &str) -> Result<Value> {
        let mut stream =
            UnixStream::connect(&self.control).context("the virtual key's control socket")?;
        stream.write_all(format!("{words}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        if answer["ok"] != Value::Bool(true) {
            bail!("virtual key, «{words}»: {answer}");
        }
        Ok(answer)
    }

    /// Puts it into the reader; returns when the reader has powered it.
    ///
    /// # Errors
    /// When nobody sees it in time.
    pub fn insert(&self) -> Result<()> {
        eventually("the reader sees the key", Duration::from_secs(20), || {
            self.say("insert 2000").is_ok()
        })?;
        Ok(())
    }

    /// Pulls it out.
    ///
    /// # Errors
    /// When it cannot.
    pub fn remove(&self) -> Result<()> {
        self.say("remove").map(drop)
    }

    /// How often its firmware has asked for a touch.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn touches_asked(&self) -> Result<u64> {
        let status = self.say("status")?;
        let ports = status["ports"]
            .as_object()
            .context("status without ports")?;
        ports
            .values()
            .map(|port| port["requests"].as_u64().context("a port without requests"))
            .sum()
    }

    /// Cuts its power and gives it back, with what was in its memory.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn power_cycle(&mut self) -> Result<()> {
        self.process.kill();
        self.process = Self::run(&self.start, &self.control)?;
        Ok(())
    }
}
