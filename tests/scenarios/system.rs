//! The packages on a machine whose first process is systemd, with logind, D-Bus and udev: installed by dpkg, run by their units, a key at
//! a seat, one action sealed, a session that ends and a desktop that locks with the key, upgraded, purged. Run by `cargo xtask guest --system` (one boot; each step stands on the one before).
//!
//! Nothing of the harness' own daemons is used: what runs here is what the packages start.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    http::Client,
    key::{Key, Model},
    place,
    stage::makers,
    terminal::Terminal,
    workstation::{PIN, answers},
};
use serde_json::{Value, json};

const PACKAGES: [&str; 3] = ["sceau-agent", "sceau-server", "sceau-verify"];
const API: &str = "http://127.0.0.1:8440";
const GATE: &str = "http://127.0.0.1:8441";
/// An emulated processor, perhaps a crowded one.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that must end well; what it printed.
fn run(words: &[&str]) -> Result<String> {
    let (ended_well, said) = tried(words)?;
    ensure!(ended_well, "{words:?}: {said}");
    Ok(said)
}

/// A command, and whether it ended well, with all that it printed.
fn tried(words: &[&str]) -> Result<(bool, String)> {
    let [program, arguments @ ..] = words else {
        anyhow::bail!("a program");
    };
    let out = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .with_context(|| format!("{words:?}"))?;
    let said = [out.stdout, out.stderr].concat();
    Ok((
        out.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Waits until `holds`; looking costs the emulated processor more than what is waited for.
fn awaited(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds()? {
        ensure!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}\n{}",
            journal()
        );
        thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

/// The end of the journal, for messages.
fn journal() -> String {
    tried(&[
        "journalctl",
        "--no-pager",
        "-n",
        "60",
        "-o",
        "short-monotonic",
    ])
    .map_or_else(|error| error.to_string(), |(_, said)| said)
}

/// How long a step took.
struct Steps(Instant);

impl Steps {
    fn done(&mut self, what: &str) {
        println!("{:>6.1} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

/// What `systemd-analyze security` may say of each unit, at most.
const UNITS: [(&str, f64); 2] = [
    ("server/dist/sceau-server.service", 1.5),
    ("agent/dist/systemd/user/sceau-agent.service", 2.0),
];

#[test]
fn units_are_closed_to_what_they_do_not_need() -> Result<()> {
    if !tried(&["systemd-analyze", "--version"]).is_ok_and(|(answers, _)| answers) {
        eprintln!("SKIPPED: needs systemd-analyze; `cargo xtask setup` installs systemd");
        return Ok(());
    }
    for (unit, most) in UNITS {
        let path = place::root().join(unit).canonicalize()?;
        let words = [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
        ];
        let said = run(&[&words[..], &[&path.to_string_lossy()]].concat())?;
        let last = said.lines().last().unwrap_or_default();
        println!("{}", last.trim_start_matches("→ "));
        let figure = last.split_whitespace().find_map(|word| word.parse().ok());
        let figure: f64 = figure.with_context(|| said.clone())?;
        ensure!(
            figure <= most,
            "{unit}: {figure} is more than {most}\n{said}"
        );
    }
    Ok(())
}

#[test]
fn packages_install_serve_seal_upgrade_and_leave_the_evidence_alone() -> Result<()> {
    if !place::in_system() {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut steps = Steps(Instant::now());
    installed("first", &["sceau-agent", "sceau-server", "sceau-verify"])?;
    sound()?;
    steps.done("three packages installed, nothing wrong with them");
    closed_before_init()?;
    steps.done("the server says what it lacks before it was founded");
    founded(&models[0])?;
    steps.done("founded and serving, as its own user, with root's secrets");

    let alice = Person::at_console("alice", 1)?;
    let bob = Person::at_console("bob", 2)?;
    alice.brings_agent_configuration()?;
    steps.done("two people at one seat, alice in front");
    let key = Key::usb(&folder.path().join("key"), Some(&models[0]), 0, "S0", &[])?;
    key.insert()?;
    let node = node_of("S0")?;
    for_the_seat_alone(&alice, &bob, &node)?;
    steps.done("the key is for who sits in front, and follows them");
    awaited("plugging in starts alice's agent", || alice.agent_runs())?;
    awaited("the key is ready", || Ok(alice.keys_ready()? == 1))?;
    steps.done("the plugged key started her agent, which has it");

    alice.enrols("/etc/sceau/invitation-alice")?;
    steps.done("alice enrolled");
    let evidence = seals_one_action(&alice, folder.path())?;
    steps.done("an action arrived, was shown, sealed; its evidence holds");
    kept_by_its_key(&alice, &bob, &key)?;
    steps.done("signed in at the gate; the key was pulled: the session ended, the desktop locked");

    upgraded(&alice)?;
    key.insert()?;
    awaited("the new agent has the key", || Ok(alice.keys_ready()? == 1))?;
    seals_one_action(&alice, folder.path())?;
    steps.done("upgraded: configuration and state kept, another action sealed");
    purged(&evidence)?;
    steps.done("purged: nothing left over, keys and log kept");
    Ok(())
}

/// Installs packages as `dpkg` does, from the first or the next version.
fn installed(version: &str, names: &[&str]) -> Result<()> {
    let folder = PathBuf::from(env::var_os("SCEAU_PACKAGES").context("SCEAU_PACKAGES")?);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.join(version))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".deb") && names.iter().any(|package| name.starts_with(package)) {
            files.push(entry.path().display().to_string());
        }
    }
    ensure!(files.len() == names.len(), "{files:?} for {names:?}");
    let mut words = vec![
        "dpkg",
        "--force-unsafe-io",
        "--force-confold",
        "--no-triggers",
        "--install",
    ];
    words.extend(files.iter().map(String::as_str));
    run(&words).map(drop)
}

fn sound() -> Result<()> {
    let state = run(&[
        &["dpkg-query", "-W", "-f", "${db:Status-Abbrev}"],
        &PACKAGES[..],
    ]
    .concat())?;
    ensure!(state == "ii ".repeat(PACKAGES.len()), "{state}");
    let changed = run(&[&["dpkg", "--verify"], &PACKAGES[..]].concat())?;
    ensure!(changed.is_empty(), "{changed}");
    ensure!(
        run(&["systemctl", "is-enabled", "sceau-server"])?.trim() == "enabled",
        "enabled, to start with the machine"
    );
    let (is_active, said) = tried(&["systemctl", "is-active", "sceau-server"])?;
    ensure!(!is_active, "not started before it was founded: {said}");
    Ok(())
}

/// Fails closed, and says why.
fn closed_before_init() -> Result<()> {
    let (started, _) = tried(&["systemctl", "start", "sceau-server"])?;
    ensure!(!started, "a server without keys must not start");
    let said = run(&["journalctl", "--no-pager", "-u", "sceau-server"])?;
    ensure!(
        said.contains("not initialised") && said.contains("sceau-server init"),
        "{said}"
    );
    let restarts = run(&["systemctl", "show", "-P", "NRestarts", "sceau-server"])?;
    ensure!(
        restarts.trim() == "0",
        "a restart mends nothing: {restarts}"
    );
    run(&["systemctl", "reset-failed", "sceau-server"]).map(drop)
}

/// An application behind the gate whose sessions live as long as their key is there.
const GUARDED: &str = r#"
[presence]
kinds = ["gate"]
interval = "20s"

[gate]
listen = "127.0.0.1:8441"
routes = ["guarded.toml"]
"#;
/// Nobody listens upstream: what is shown here is who passes.
const ROUTES: &str = r#"
[application]
host = "127.0.0.1:8441"
service = "portal"
upstream = "http://127.0.0.1:8442"
session = "always"
"#;

/// What an administrator does: anchors, a line of their own in the configuration, `init`, start.
fn founded(model: &Model) -> Result<()> {
    fs::copy(model.root(), "/etc/sceau/anchors/maker.pem")?;
    let file = "/etc/sceau/sceau.toml";
    let text = fs::read_to_string(file)?;
    fs::write(file, format!("# Kept by upgrades.\n{text}{GUARDED}"))?;
    fs::write("/etc/sceau/guarded.toml", ROUTES)?;
    let init = [
        "sceau-server",
        "init",
        "--administrator",
        "alice=Alice Martin",
        "--administrator",
        "bob=Bruno Durand",
    ];
    let said = run(&init)?;
    ensure!(said.contains("invitation   alice"), "{said}");
    run(&["systemctl", "start", "sceau-server"]).with_context(journal)?;
    let show = |property| run(&["systemctl", "show", "-P", property, "sceau-server"]);
    ensure!(
        show("StatusText")?.contains("serving on"),
        "said ready itself"
    );
    ensure!(Client::new(API).get("/readyz")?.status == 200);

    let pid = show("MainPID")?.trim().to_owned();
    let user = run(&["id", "-u", "sceau-server"])?;
    let runs_as = fs::metadata(format!("/proc/{pid}"))?.uid().to_string();
    ensure!(runs_as == user.trim(), "runs as {runs_as}");
    for (path, mode) in [
        ("/etc/sceau/credentials", 0o700),
        ("/etc/sceau/credentials/permit.pem", 0o600),
        ("/etc/sceau/credentials/log.key", 0o600),
        ("/etc/sceau/invitation-alice", 0o600),
    ] {
        let meta = fs::metadata(path)?;
        let (owner, has) = (meta.uid(), meta.mode() & 0o777);
        ensure!((owner, has) == (0, mode), "{path}: {owner} {has:o}");
    }
    let store = fs::metadata("/var/lib/sceau/sceau.db")?;
    ensure!(
        store.uid().to_string() == user.trim() && store.mode() & 0o077 == 0,
        "the store is its user's alone"
    );
    // Behind its own eyes: other processes, devices and folders are not there.
    let root = format!("/proc/{pid}/root");
    for hidden in ["home", "root"] {
        let folder = Path::new(&root).join(hidden);
        ensure!(
            fs::read_dir(&folder)?.next().is_none(),
            "{}",
            folder.display()
        );
    }
    ensure!(!Path::new(&root).join("dev/hidraw0").exists());
    Ok(())
}

/// Somebody who sat down at a virtual console of seat0.
struct Person {
    name: &'static str,
    id: String,
    /// logind's name of it.
    session: String,
}

impl Person {
    fn at_console(name: &'static str, console: u8) -> Result<Self> {
        run(&["useradd", "--create-home", "--shell", "/bin/sh", name])?;
        let id = run(&["id", "-u", name])?.trim().to_owned();
        let unit = format!("--unit=seat-{name}");
        let user = format!("--uid={name}");
        let tty = format!("--property=TTYPath=/dev/tty{console}");
        run(&[
            "systemd-run",
            "--quiet",
            &unit,
            &user,
            &tty,
            "--property=PAMName=sceau-seat",
            "--property=StandardInput=tty",
            "sleep",
            "infinity",
        ])?;
        let mut session = String::new();
        awaited("a session of logind", || {
            let (_, said) = tried(&[
                "loginctl",
                "show-user",
                name,
                "--property=Sessions",
                "--value",
            ])?;
            session = said.trim().to_owned();
            Ok(!session.is_empty() && !session.contains(char::is_whitespace))
        })?;
        let manager = format!("user@{id}.service");
        awaited("the person's own systemd", || {
            Ok(tried(&["systemctl", "is-active", "--quiet", &manager])?.0)
        })?;
        Ok(Self { name, id, session })
    }

    fn home(&self, name: &str) -> PathBuf {
        Path::new("/home").join(self.name).join(name)
    }

    /// A command of the person's, in their session.
    fn command(&self, words: &[&str]) -> Command {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", self.id);
        let home = format!("HOME=/home/{}", self.name);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", self.name, "--regid", self.name, "--init-groups"]);
        command.args(["--reset-env", "env", &runtime, &home]);
        command.args(["LC_ALL=C.UTF-8", "TERM=dumb"]).args(words);
        command
    }

    fn says(&self, words: &[&str]) -> Result<Value> {
        let out = self.command(words).output()?;
        serde_json::from_slice(&out.stdout)
            .with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())
    }

    fn brings_agent_configuration(&self) -> Result<()> {
        let folder = self.home(".config/sceau");
        run_as(self, &["mkdir", "-p", &folder.display().to_string()])?;
        let person = self.name;
        let text = format!(
            "server = \"{API}\"\nrp_id = \"sceau.example\"\nperson = \"{person}\"\n[presence]\nlock = true\ngrace = \"500ms\"\n"
        );
        Ok(fs::write(folder.join("agent.toml"), text)?)
    }

    /// `systemctl --user`, of this person.
    fn unit(&self, words: &[&str]) -> Result<(bool, String)> {
        let machine = format!("--machine={}@", self.name);
        tried(&[&["systemctl", "--user", &machine], words].concat())
    }

    fn agent_runs(&self) -> Result<bool> {
        Ok(self
            .unit(&["is-active", "--quiet", "sceau-agent.service"])?
            .0)
    }

    fn keys_ready(&self) -> Result<usize> {
        let listed = self.says(&["sceau", "keys", "--json"])?;
        let keys = listed["keys"].as_array().cloned().unwrap_or_default();
        Ok(keys.iter().filter(|key| key["state"] == "ready").count())
    }

    fn answers(&self, words: &[&str]) -> Result<String> {
        let terminal = Terminal::start(self.command(words), PATIENCE)?;
        let (code, shown) = terminal.answer(&answers("y", PIN, "1"))?;
        ensure!(
            code == 0,
            "{words:?} ended with {code}:\n{shown}\n{}",
            journal()
        );
        Ok(shown)
    }

    /// The invitation is handed over on paper, as it were.
    fn enrols(&self, invitation: &str) -> Result<()> {
        let own = self.home("invitation");
        fs::copy(invitation, &own)?;
        run(&["chown", self.name, &own.display().to_string()])?;
        let own = own.display().to_string();
        let shown = self.answers(&["sceau", "enroll", "--invitation-file", &own])?;
        ensure!(shown.contains("Key enrolled"), "{shown}");
        Ok(())
    }

    fn session(&self) -> Result<String> {
        let text = fs::read_to_string(self.home(".local/state/sceau/session"))?;
        let session: Value = serde_json::from_str(&text)?;
        Ok(session["token"].as_str().context("a token")?.to_owned())
    }

    /// The object of this person's session on logind's bus.
    fn place(&self) -> Result<String> {
        let said = run(&[
            "busctl",
            "--json=short",
            "call",
            "org.freedesktop.login1",
            "/org/freedesktop/login1",
            "org.freedesktop.login1.Manager",
            "GetSession",
            "s",
            &self.session,
        ])?;
        let said: Value = serde_json::from_str(&said)?;
        Ok(said["data"][0]
            .as_str()
            .context("a session's place")?
            .to_owned())
    }

    fn may_open(&self, node: &str) -> Result<bool> {
        let (read, write) = (format!("test -r {node}"), format!("test -w {node}"));
        let both = format!("{read} && {write}");
        Ok(self.command(&["sh", "-c", &both]).status()?.success())
    }

    /// Brings this person's console to the front.
    fn takes_the_seat(&self) -> Result<()> {
        run(&["loginctl", "activate", &self.session]).map(drop)
    }
}

fn run_as(person: &Person, words: &[&str]) -> Result<()> {
    let out = person.command(words).output()?;
    ensure!(
        out.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

fn node_of(serial: &str) -> Result<String> {
    let mut found = None;
    awaited("the kernel has the key", || {
        for entry in fs::read_dir("/sys/class/hidraw")?.flatten() {
            let told = fs::read_to_string(entry.path().join("device/uevent")).unwrap_or_default();
            if told
                .lines()
                .any(|line| line == format!("HID_UNIQ={serial}"))
            {
                found = Some(format!("/dev/{}", entry.file_name().to_string_lossy()));
            }
        }
        Ok(found.is_some())
    })?;
    found.context("a node")
}

/// logind's own access lists, by our rule's tag.
fn for_the_seat_alone(alice: &Person, bob: &Person, node: &str) -> Result<()> {
    awaited("alice, who sits in front, may open her key", || {
        alice.may_open(node)
    })?;
    ensure!(!bob.may_open(node)?, "bob sits behind");
    bob.takes_the_seat()?;
    awaited("bob sits in front now", || bob.may_open(node))?;
    ensure!(!alice.may_open(node)?, "alice sits behind now");
    alice.takes_the_seat()?;
    awaited("alice is back", || alice.may_open(node))?;
    ensure!(!bob.may_open(node)?, "bob sits behind again");
    Ok(())
}

/// A person is to be enrolled: alice's action, shown by her agent, sealed with her key; then checked offline. Returns the log's key.
fn seals_one_action(alice: &Person, folder: &Path) -> Result<String> {
    let client = Client::new(API).bearer(&alice.session()?);
    let asked = client.post(
        "/v1/enrolments",
        &json!({"person": {"id": "odile", "display": "Odile Petit", "roles": []}}),
    )?;
    ensure!(asked.status == 201, "{} {}", asked.status, asked.text);
    let action = asked.json()["action"]["id"].clone();
    let action = action.as_str().context("an action")?;
    awaited("her agent shows it", || {
        let status = alice.says(&["sceau", "status", "--json"])?;
        let pending = status["pending"].as_array().cloned().unwrap_or_default();
        Ok(pending.iter().any(|pending| pending["id"] == action))
    })?;
    let shown = alice.answers(&["sceau", "approve", action])?;
    ensure!(shown.contains("Odile Petit"), "shown in words: {shown}");
    let bundle = client.get(&format!("/v1/actions/{action}/evidence"))?;
    ensure!(bundle.status == 200, "{} {}", bundle.status, bundle.text);
    let file = folder.join("evidence.json").display().to_string();
    fs::write(&file, &bundle.text)?;
    let key = fs::read_to_string("/etc/sceau/log.vkey")?.trim().to_owned();
    run(&[
        "sceau-verify",
        "evidence",
        &file,
        "--log-key",
        &key,
        "--roots",
        "/etc/sceau/anchors",
    ])?;
    Ok(key)
}

/// Signed in at the gate by the key, which then proves in silence that it stays: somebody else at the seat suspends the session, pulling the
/// key ends it and locks the desktop.
fn kept_by_its_key(alice: &Person, bob: &Person, key: &Key) -> Result<()> {
    let browser = Client::new(GATE);
    let begun = browser.post("/.sceau/session", &json!({"person": alice.name}))?;
    ensure!(begun.status == 201, "{} {}", begun.status, begun.text);
    let action = begun.json()["action_id"].clone();
    alice.answers(&["sceau", "approve", action.as_str().context("an action")?])?;
    let is = |state: &str| -> Result<bool> {
        Ok(browser.get("/.sceau/session")?.json()["state"] == state)
    };
    awaited("the session begins", || is("active"))?;
    let presence =
        || -> Result<Value> { Ok(alice.says(&["sceau", "status", "--json"])?["presence"].take()) };
    awaited("the key proves itself in silence", || {
        Ok(presence()?["keys"][0]["presence"] == "proven")
    })?;

    bob.takes_the_seat()?;
    awaited("alice no longer sits there", || is("absent"))?;
    ensure!(presence()?["unattended"] == "inactive", "{}", presence()?);
    alice.takes_the_seat()?;
    awaited("she is back, and so is her session", || is("active"))?;

    let bus = Listening::for_lock()?;
    key.remove()?;
    awaited("the pulled key ends the session", || is("ended"))?;
    awaited("logind tells the desktop to lock", || {
        let told = bus.told()?;
        Ok(told.contains(&format!("Path={}", alice.place()?)) && told.contains("Member=Lock"))
    })?;
    ensure!(
        !bus.told()?.contains(&bob.place()?),
        "bob's desktop is not hers"
    );
    awaited("the pulled key is gone", || Ok(alice.keys_ready()? == 0))
}

/// `busctl monitor`, and the file in which it writes.
struct Listening {
    monitor: std::process::Child,
    file: tempfile::NamedTempFile,
}

impl Listening {
    /// To logind's word to a desktop that it lock.
    fn for_lock() -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        let rule = "type='signal',interface='org.freedesktop.login1.Session',member='Lock'";
        let monitor = Command::new("busctl")
            .args(["--system", "--match", rule, "monitor"])
            .stdout(file.reopen()?)
            .stderr(file.reopen()?)
            .spawn()?;
        let listening = Self { monitor, file };
        awaited("the bus is listened to", || {
            Ok(listening.told()?.contains("Monitoring bus message stream"))
        })?;
        Ok(listening)
    }

    fn told(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file.path())?)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.monitor.kill());
        drop(self.monitor.wait());
    }
}

/// The next version, over the running one.
fn upgraded(alice: &Person) -> Result<()> {
    let pid = |unit: &str| run(&["systemctl", "show", "-P", "MainPID", unit]);
    let before = pid("sceau-server")?;
    installed("next", &PACKAGES)?;
    let versions = run(&[&["dpkg-query", "-W", "-f", "${Version} "], &PACKAGES[..]].concat())?;
    ensure!(versions == "0.1.0+1 ".repeat(PACKAGES.len()), "{versions}");
    let kept = fs::read_to_string("/etc/sceau/sceau.toml")?;
    ensure!(
        kept.starts_with("# Kept by upgrades."),
        "the administrator's file"
    );
    awaited("the new server serves", || {
        Ok(pid("sceau-server")? != before
            && Client::new(API)
                .get("/readyz")
                .is_ok_and(|answer| answer.status == 200))
    })?;
    awaited("the new agent runs", || alice.agent_runs())?;
    run(&[
        "sceau-verify",
        "log",
        &format!("{API}/log"),
        "--log-key",
        fs::read_to_string("/etc/sceau/log.vkey")?.trim(),
    ])
    .map(drop)
}

/// Removed, then purged: what is evidence stays, everything else goes.
fn purged(log_key: &str) -> Result<()> {
    run(&[&["dpkg", "--no-triggers", "--remove"], &PACKAGES[..]].concat())?;
    ensure!(
        Path::new("/etc/sceau/sceau.toml").exists(),
        "a removed package keeps its configuration"
    );
    let (is_active, _) = tried(&["systemctl", "is-active", "sceau-server"])?;
    ensure!(!is_active, "a removed server is stopped");
    let said = run(&[&["dpkg", "--no-triggers", "--purge"], &PACKAGES[..]].concat())?;
    ensure!(said.contains("is kept"), "it says what it keeps: {said}");
    for kept in [
        "/var/lib/sceau/sceau.db",
        "/etc/sceau/credentials/log.key",
        "/etc/sceau/credentials/permit.pem",
        "/etc/sceau/log.vkey",
    ] {
        ensure!(Path::new(kept).exists(), "{kept} is evidence");
    }
    ensure!(fs::read_to_string("/etc/sceau/log.vkey")?.trim() == log_key);
    for gone in [
        "/etc/sceau/sceau.toml",
        "/etc/sceau/policy/sceau.cedar",
        "/usr/bin/sceau",
        "/usr/bin/sceau-server",
        "/usr/lib/udev/rules.d/70-sceau.rules",
        "/usr/lib/systemd/system/sceau-server.service",
        "/etc/systemd/system/multi-user.target.wants/sceau-server.service",
        "/etc/systemd/system/sceau-server.service",
    ] {
        ensure!(fs::symlink_metadata(gone).is_err(), "{gone} is left over");
    }
    let failed = run(&[
        "systemctl",
        "list-units",
        "--failed",
        "--no-legend",
        "--plain",
    ])?;
    ensure!(failed.trim().is_empty(), "{failed}");
    let ours = ["sceau-agent*", "sceau-server*"];
    let (_, told) = tried(&[&["systemctl", "list-unit-files", "--no-legend"], &ours[..]].concat())?;
    ensure!(told.trim().is_empty(), "{told}");
    Ok(())
}
