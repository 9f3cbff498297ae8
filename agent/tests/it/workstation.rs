//! Charter: one person's workstation in a temporary directory: configuration, daemon, command, and where it can be had a virtual key behind a real
//! pcscd in namespaces of its own.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};
use serde_json::Value;

use crate::relay::{RP_ID, TOKEN};

pub(crate) struct Workstation {
    pub(crate) place: tempfile::TempDir,
    language: &'static str,
    /// Where its system bus is, instead of the machine's.
    system_bus: Option<String>,
    daemon: Option<Child>,
    others: Vec<Child>,
}

impl Workstation {
    /// With this configuration beside `rp_id`; no daemon yet, and no pcscd that it could reach.
    pub(crate) fn new(config: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["config/sceau", "state", "runtime", "pcscd"] {
            std::fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        std::fs::write(
            place.path().join("config/sceau/agent.toml"),
            format!("rp_id = \"{RP_ID}\"\n{config}\n"),
        )
        .unwrap();
        Self {
            place,
            language: "C.UTF-8",
            system_bus: None,
            daemon: None,
            others: Vec::new(),
        }
    }

    pub(crate) fn in_french(mut self) -> Self {
        self.language = "fr_FR.UTF-8";
        self
    }

    /// More of the agent's configuration, for its next start.
    pub(crate) fn configure(&self, more: &str) {
        let file = self.path("config/sceau/agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{more}")).unwrap();
    }

    pub(crate) fn on_system_bus(mut self, address: String) -> Self {
        self.system_bus = Some(address);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// As after an enrolment: a session for the server at `url`.
    pub(crate) fn signed_in(self, url: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let file = self.path("state/sceau/session");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let session = serde_json::json!({ "server": url, "person": "alice", "session_id": "session-1", "token": TOKEN });
        std::fs::write(&file, session.to_string()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env("HOME", self.place.path())
            .env("PCSCLITE_CSOCK_NAME", self.path("pcscd/pcscd.comm"))
            .env("LC_ALL", self.language)
            .env("TERM", "dumb");
        if let Some(bus) = &self.system_bus {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        }
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("runtime/sceau/agent.sock")
    }

    /// Starts the daemon and waits for its socket.
    pub(crate) fn start(mut self) -> Self {
        let log = std::fs::File::create(self.path("agent.log")).unwrap();
        let daemon = self
            .command(env!("CARGO_BIN_EXE_sceau-agent"))
            .args(["--log", "debug"])
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        // A daemon that was killed leaves its socket behind; only an answer counts.
        eventually("the daemon", || UnixStream::connect(self.socket()).ok());
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Runs `sceau` without a terminal.
    pub(crate) fn sceau(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_sceau"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.sceau(arguments);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{output:?}\n{}", self.log()))
    }

    /// Runs `sceau` on a terminal of its own.
    pub(crate) fn terminal(&self, arguments: &[&str]) -> PtySession {
        let mut command = self.command(env!("CARGO_BIN_EXE_sceau"));
        command.args(arguments);
        let options = Options::new()
            .timeout_ms(Some(15_000))
            .strip_ansi_escape_codes(true);
        spawn_with_options(command, options).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    /// Waits until the daemon's log says this.
    pub(crate) fn await_log(&self, words: &str) {
        eventually(words, || self.log().contains(words).then_some(()));
    }

    pub(crate) fn await_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        eventually(what, || {
            wanted(&self.json(&["status", "--json"])).then_some(())
        });
    }

    /// Gives the workstation a reader (pcscd) and a virtual key in it.
    pub(crate) fn with_key(mut self) -> Self {
        let tests = root().join("tests");
        self.start_pcscd();
        let model = [
            "make-model",
            "--name",
            "Model A",
            "--aaguid",
            "5cea0000-0000-4000-8000-00000000000a",
            "--out",
            "model",
        ];
        assert!(
            Command::new(vkey())
                .args(model)
                .current_dir(self.place.path())
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        let key = [
            "vpcd",
            "--state",
            "key",
            "--fido",
            "--attestation",
            "model",
            "--control",
            "key.sock",
            "--out",
        ];
        let key = Command::new(vkey())
            .args(key)
            .current_dir(self.place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.others.push(key);
        eventually("the key", || self.path("key.sock").exists().then_some(()));
        assert!(tests.exists());
        self.key("insert");
        self
    }

    pub(crate) fn start_pcscd(&mut self) {
        let config = root().join("tests/vkey/reader.conf");
        let log = std::fs::File::create(self.path("pcscd.log")).unwrap();
        let script = "mount --bind \"$1\" /run/pcscd && exec pcscd --foreground --config \"$2\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-euc", script, "pcscd"])
            .arg(self.path("pcscd"))
            .arg(config)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.others.insert(0, command.spawn().unwrap());
        eventually("pcscd", || {
            self.path("pcscd/pcscd.comm").exists().then_some(())
        });
    }

    /// A PIV card of Alice's in its wallet: `card` are more words for `make-card`, `reader` for the card's process. Its state and control socket
    /// are called `name`.
    pub(crate) fn card(&mut self, name: &str, card: &[&str], reader: &[&str]) {
        let make = ["make-card", "--state", name, "--holder", "Alice Martin"];
        let vkey = |words: &[&[&str]]| {
            let mut command = Command::new(vkey());
            command
                .args(words.concat())
                .current_dir(self.place.path())
                .stdout(Stdio::null());
            command
        };
        let office = ["--issuer", "office", "--slot", "9a", "--slot", "9c"];
        assert!(vkey(&[&make, &office, card]).status().unwrap().success());
        if reader.contains(&"--piv-attestation") {
            let model = ["make-piv-model", "--out", "piv"];
            assert!(vkey(&[&model]).status().unwrap().success());
        }
        let socket = format!("{name}.sock");
        let process = ["vpcd", "--state", name, "--piv", "--out", "--control"];
        let process = vkey(&[&process, &[&socket], reader]).spawn().unwrap();
        self.others.push(process);
        eventually("the card", || self.path(&socket).exists().then_some(()));
    }

    pub(crate) fn kill_pcscd(&mut self) {
        let mut pcscd = self.others.remove(0);
        pcscd.kill().unwrap();
        pcscd.wait().unwrap();
        std::fs::remove_file(self.path("pcscd/pcscd.comm")).unwrap();
    }

    /// Another key of the same model, in a drawer; `name` is its control socket.
    pub(crate) fn another_key(&mut self, name: &str) {
        let key = [
            "vpcd",
            "--state",
            "other",
            "--fido",
            "--attestation",
            "model",
            "--control",
            name,
            "--out",
        ];
        let key = Command::new(vkey())
            .args(key)
            .current_dir(self.place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.others.push(key);
        eventually("the other key", || self.path(name).exists().then_some(()));
    }

    /// Tells the virtual key's finger (or its plug) what to do; returns its answer.
    pub(crate) fn key(&self, words: &str) -> Value {
        self.say("key.sock", words)
    }

    /// The same for the key with this control socket.
    pub(crate) fn say(&self, key: &str, words: &str) -> Value {
        use std::io::{BufRead, BufReader};
        let mut control = UnixStream::connect(self.path(key)).unwrap();
        writeln!(control, "{words}").unwrap();
        let mut line = String::new();
        BufReader::new(control).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Workstation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}", self.log());
        }
        for child in self.daemon.iter_mut().chain(&mut self.others) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub(crate) fn eventually<A>(what: &str, mut look: impl FnMut() -> Option<A>) -> A {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not in time");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn vkey() -> PathBuf {
    root()
        .join("tests/vkey/target/debug/vkey")
        .canonicalize()
        .unwrap()
}

/// Runs the calling test again in namespaces of its own, with a virtual key's parts at hand. True: this is that run, go on. Skips visibly where
/// the parts are missing.
pub(crate) fn with_virtual_keys(test: &str) -> bool {
    if std::env::var_os("SCEAU_NS").is_some() {
        return true;
    }
    let driver = [
        "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
        "/usr/lib/x86_64-linux-gnu/libifdvpcd.so",
    ];
    if !root().join("tests/vkey/target/debug/vkey").is_file()
        || !driver.iter().any(|path| Path::new(path).exists())
    {
        eprintln!(
            "SKIPPED: {test}: needs the virtual key (cargo build --manifest-path tests/vkey/Cargo.toml) and vsmartcard-vpcd"
        );
        return false;
    }
    let status = Command::new(root().join("tests/in-namespace"))
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    if status.code() == Some(75) {
        eprintln!("SKIPPED: {test}: no private namespaces here");
    } else {
        assert!(status.success(), "{test} failed in its namespace");
    }
    false
}
