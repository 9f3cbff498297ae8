//! One person's workstation: a reader with its own pcscd, a virtual key, the agent, and a terminal.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    key::{Key, Model},
    narrator::Language,
    place,
    process::Running,
    terminal::Terminal,
};

/// Everybody's PIN in these stories.
pub const PIN: &str = "4711-tulipe";

/// What a person answers to the agent's questions, in either language.
#[must_use]
pub fn answers<'a>(
    consent: &'a str,
    pin: &'a str,
    reason: &'a str,
) -> [(&'static str, &'a str); 5] {
    // Letters beyond ASCII arrive as several characters here (see `terminal`): `.{1,3}` stands for them.
    [
        (
            r"(Seal this action|Sceller cette action.{1,3})\?? [^\n]*: $",
            consent,
        ),
        (r"(Why|Pourquoi.{1,3})\?? [^\n]*: $", reason),
        (r"(New PIN|Nouveau code PIN.{1,3}): $", pin),
        (
            r"(The same once more|Le m.{1,2}me, encore une fois.{1,3}): $",
            pin,
        ),
        (r"(PIN of the key|Code PIN de la cl.{1,2}) [^\n]*: $", pin),
    ]
}

/// The first port of vsmartcard's driver; each reader takes two.
const FIRST_PORT: u16 = 0x8C7B;

/// Starts pcscd with one virtual reader in a mount namespace of its own, so that its fixed socket path is private.
///
/// # Errors
/// When it does not start.
pub fn pcscd(folder: &Path, port: u16) -> Result<(Running, PathBuf)> {
    let run = folder.join("pcscd");
    fs::create_dir_all(&run)?;
    let config = folder.join("reader.conf");
    let driver = driver()?;
    fs::write(
        &config,
        format!(
            "FRIENDLYNAME \"Virtual reader\"\nDEVICENAME /dev/null:0x{port:04X}\nLIBPATH {}\nCHANNELID 0x{port:04X}\n",
            driver.display()
        ),
    )?;
    let socket = run.join("pcscd.comm");
    let _ = fs::remove_file(&socket);
    let script = "mount --bind \"$1\" /run/pcscd && exec pcscd --foreground --config \"$2\"";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-euc", script, "pcscd"])
        .arg(&run)
        .arg(&config);
    let mut process = Running::start("pcscd", folder, &mut command)?;
    process.wait_ready(Duration::from_secs(10), || socket.exists())?;
    Ok((process, socket))
}

fn driver() -> Result<PathBuf> {
    let places = [
        "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
        "/usr/lib/x86_64-linux-gnu/libifdvpcd.so",
        "/usr/lib/aarch64-linux-gnu/libifdvpcd.so",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.map_or_else(
        || anyhow::bail!("vsmartcard's driver libifdvpcd.so is not installed; `cargo xtask setup` installs it"),
        Ok,
    )
}

/// A workstation and the person at it.
pub struct Workstation {
    /// The person's id at the server.
    pub person: String,
    /// The key in (or beside) the reader.
    pub key: Key,
    folder: PathBuf,
    port: u16,
    socket: PathBuf,
    pcscd: Option<Running>,
    agent: Option<Running>,
    language: String,
    user: Option<User>,
}

/// Another user of the machine than the one who runs the tests.
#[derive(Debug, Clone, Copy)]
pub struct User {
    /// User and group number.
    pub id: u32,
    /// One more group.
    pub group: Option<u32>,
}

/// What the agent of a workstation is told about its server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The server's base URL.
    pub url: String,
    /// The relying party that it is configured for.
    pub rp_id: String,
}

impl Workstation {
    /// Sets up the `number`-th workstation: reader, key of `model` (plugged in), configuration. The agent is not started yet.
    ///
    /// # Errors
    /// When a part does not start.
    pub fn set_up(
        folder: &Path,
        number: u16,
        person: &str,
        model: Option<&Model>,
        server: &Server,
    ) -> Result<Self> {
        Self::at_reader(folder, number, person, server, |place, port| {
            Key::fido(place, model, port)
        })
    }

    /// As [`Workstation::set_up`], with the key or card that `key` makes, given its folder and the reader's first port.
    ///
    /// # Errors
    /// When a part does not start.
    pub fn at_reader(
        folder: &Path,
        number: u16,
        person: &str,
        server: &Server,
        key: impl FnOnce(&Path, u16) -> Result<Key>,
    ) -> Result<Self> {
        let folder = folder.join(person);
        fs::create_dir_all(&folder)?;
        let port = FIRST_PORT + 2 * number;
        let (pcscd, socket) = pcscd(&folder, port)?;
        let key = key(&folder.join("key"), port)?;
        key.insert().with_context(|| pcscd.printed())?;
        let mut workstation = Self::with_key(folder, person, key, server)?;
        (workstation.port, workstation.socket) = (port, socket);
        workstation.pcscd = Some(pcscd);
        Ok(workstation)
    }

    /// A workstation with a USB key (unplugged so far) and no smart-card reader.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn with_usb(folder: &Path, person: &str, key: Key, server: &Server) -> Result<Self> {
        Self::with_key(folder.join(person), person, key, server)
    }

    fn with_key(folder: PathBuf, person: &str, key: Key, server: &Server) -> Result<Self> {
        for place in ["config/sceau", "state", "runtime"] {
            fs::create_dir_all(folder.join(place))?;
        }
        let workstation = Self {
            person: person.to_owned(),
            key,
            socket: folder.join("no-pcscd.comm"),
            folder,
            port: 0,
            pcscd: None,
            agent: None,
            language: "en_GB.UTF-8".to_owned(),
            user: None,
        };
        workstation.point_at(server)?;
        Ok(workstation)
    }

    /// The same workstation, whose commands run as another user of the machine; its folder is that user's from now on.
    ///
    /// # Errors
    /// When the folder cannot be given away.
    pub fn of(mut self, user: User) -> Result<Self> {
        for place in [
            "",
            "config",
            "config/sceau",
            "config/sceau/agent.toml",
            "state",
            "runtime",
        ] {
            std::os::unix::fs::chown(self.folder.join(place), Some(user.id), Some(user.id))?;
        }
        self.user = Some(user);
        Ok(self)
    }

    /// The same person, reading this language.
    #[must_use]
    pub fn reading(mut self, language: Language) -> Self {
        let locale = match language {
            Language::French => "fr_FR.UTF-8",
            Language::English => "en_GB.UTF-8",
        };
        locale.clone_into(&mut self.language);
        self
    }

    /// Where this workstation's pcscd listens.
    #[must_use]
    pub fn pcsc_socket(&self) -> &Path {
        &self.socket
    }

    /// A command of the product, with this workstation's environment.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = match self.user {
            None => Command::new(place::bin(program)),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user.id.to_string()]);
                command.args(["--regid", &user.id.to_string()]);
                match user.group {
                    Some(group) => command.args(["--groups", &group.to_string()]),
                    None => command.arg("--clear-groups"),
                };
                command.arg(place::bin(program));
                command
            }
        };
        command
            .env("PCSCLITE_CSOCK_NAME", &self.socket)
            .env("XDG_CONFIG_HOME", self.folder.join("config"))
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .env("XDG_RUNTIME_DIR", self.folder.join("runtime"))
            .env("HOME", &self.folder)
            .env("LC_ALL", &self.language)
            .env("TERM", "dumb");
        command
    }

    /// What the daemon answers to one request at its socket: `sceau OP --json` without starting a program, which costs an emulated processor more
    /// than the answer. Of another user's daemon the program is asked, since the daemon answers nobody else.
    ///
    /// # Errors
    /// When it does not answer, or says no.
    pub fn ask(&self, op: &str) -> Result<serde_json::Value> {
        if self.user.is_some() {
            let out = self.command("sceau").args([op, "--json"]).output()?;
            return serde_json::from_slice(&out.stdout)
                .with_context(|| String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let mut daemon = UnixStream::connect(self.folder.join("runtime/sceau/agent.sock"))?;
        daemon.set_read_timeout(Some(Duration::from_secs(30)))?;
        writeln!(daemon, "{}", serde_json::json!({ "op": op }))?;
        for line in BufReader::new(daemon).lines() {
            let mut said: serde_json::Value = serde_json::from_str(&line?)?;
            if said.get("done").is_some() {
                return Ok(said["done"].take());
            }
            anyhow::ensure!(said.get("error").is_none(), "{said}");
        }
        anyhow::bail!("the daemon ended the conversation")
    }

    /// Starts the daemon and waits for its socket.
    ///
    /// # Errors
    /// When it does not come up; the message quotes what it printed.
    pub fn start_agent(&mut self) -> Result<Duration> {
        let socket = self.folder.join("runtime/sceau/agent.sock");
        let _ = fs::remove_file(&socket);
        let mut agent = Running::start(
            "sceau-agent",
            &self.folder,
            &mut self.command("sceau-agent"),
        )?;
        let took = agent.wait_ready(Duration::from_secs(10), || socket.exists())?;
        self.agent = Some(agent);
        Ok(took)
    }

    /// The running daemon.
    ///
    /// # Panics
    /// When it was not started.
    pub fn agent(&mut self) -> &mut Running {
        self.agent.as_mut().expect("start_agent comes first")
    }

    /// The daemon's process id, while it was started.
    #[must_use]
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Running::pid)
    }

    /// What the daemon printed so far.
    #[must_use]
    pub fn agent_log(&self) -> String {
        fs::read_to_string(self.folder.join("sceau-agent.log")).unwrap_or_default()
    }

    /// `sceau` with these arguments, on a terminal of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn sceau(&self, arguments: &[&str]) -> Result<Terminal> {
        let mut command = self.command("sceau");
        command.args(arguments);
        Terminal::start(command, Duration::from_secs(30))
    }

    /// The person enrols the key that is in the reader, by an invitation; returns what stood on the terminal.
    ///
    /// # Errors
    /// When the command does not end with 0.
    pub fn enroll(&self, invitation: &Path) -> Result<String> {
        let terminal =
            self.sceau(&["enroll", "--invitation-file", &invitation.to_string_lossy()])?;
        let (code, transcript) = terminal.answer(&answers("y", PIN, "1"))?;
        anyhow::ensure!(
            code == 0,
            "{} could not enrol ({code}):\n{transcript}",
            self.person
        );
        Ok(transcript)
    }

    /// The person reads an action and seals it with PIN and touch; returns the exit code and what stood on the terminal.
    ///
    /// # Errors
    /// When the command does not end.
    pub fn approve(&self, action: &str) -> Result<(i32, String)> {
        self.answer_action(action, "y", PIN)
    }

    /// The person reads an action and says: this is not me.
    ///
    /// # Errors
    /// When the command does not end.
    pub fn not_me(&self, action: &str) -> Result<(i32, String)> {
        self.answer_action(action, "n", PIN)
    }

    /// The person reads an action, answers it with `consent`, and types this PIN when asked.
    ///
    /// # Errors
    /// When the command does not end.
    pub fn answer_action(&self, action: &str, consent: &str, pin: &str) -> Result<(i32, String)> {
        self.sceau(&["approve", action])?
            .answer(&answers(consent, pin, "1"))
    }

    /// The bearer of the agent's session, read from the person's own file.
    ///
    /// # Errors
    /// When nobody is signed in here.
    pub fn session(&self) -> Result<String> {
        let text = fs::read_to_string(self.folder.join("state/sceau/session"))?;
        let session: serde_json::Value = serde_json::from_str(&text)?;
        session["token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| anyhow::anyhow!("no token in the session file"))
    }

    /// Puts a smart-card reader beside the workstation, whose first port is `port`.
    ///
    /// # Errors
    /// When its daemon does not start.
    pub fn bring_reader(&mut self, port: u16) -> Result<()> {
        let (pcscd, socket) = pcscd(&self.folder, port)?;
        (self.port, self.socket, self.pcscd) = (port, socket, Some(pcscd));
        Ok(())
    }

    /// Restarts the PC/SC daemon, as an upgrade of it would.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart_pcscd(&mut self) -> Result<()> {
        self.pcscd = None;
        let (pcscd, socket) = pcscd(&self.folder, self.port)?;
        (self.pcscd, self.socket) = (Some(pcscd), socket);
        Ok(())
    }

    /// Points the agent at another server; takes effect when the agent starts again.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn point_at(&self, server: &Server) -> Result<()> {
        let text = format!(
            "server = \"{}\"\nrp_id = \"{}\"\nperson = \"{}\"\n",
            server.url, server.rp_id, self.person
        );
        Ok(fs::write(
            self.folder.join("config/sceau/agent.toml"),
            text,
        )?)
    }

    /// Adds to the agent's configuration and starts it again.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart_agent_with(&mut self, more: &str) -> Result<()> {
        self.agent = None;
        let path = self.folder.join("config/sceau/agent.toml");
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{text}{more}\n"))?;
        self.start_agent().map(drop)
    }

    /// Points the agent at another server and starts it again; the session goes with it.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart_agent_at(&mut self, server: &Server) -> Result<()> {
        self.agent = None;
        self.point_at(server)?;
        let path = self.folder.join("state/sceau/session");
        let mut session: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        session["server"] = server.url.clone().into();
        fs::write(&path, session.to_string())?;
        self.start_agent().map(drop)
    }

    /// The first of the reader's two ports.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A file in the workstation's own folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
