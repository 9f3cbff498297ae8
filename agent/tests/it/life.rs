//! Charter: the daemon under a service manager: the socket handed over, what it tells, the units that the package installs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::relay::{Relay, action};
use crate::workstation::{Workstation, eventually};

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd")
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Receives what a daemon tells its service manager.
struct Manager {
    socket: UnixDatagram,
    told: String,
}

impl Manager {
    fn new(workstation: &Workstation) -> Self {
        let socket = UnixDatagram::bind(workstation.path("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        Self {
            socket,
            told: String::new(),
        }
    }

    /// Starts the daemon as systemd does, with a watchdog of 400 ms.
    fn start(&self, workstation: &Workstation) -> Child {
        workstation
            .command("sh")
            .args(["-c", "WATCHDOG_PID=$$ exec \"$0\""])
            .arg(env!("CARGO_BIN_EXE_sceau-agent"))
            .env("NOTIFY_SOCKET", workstation.path("notify"))
            .env("WATCHDOG_USEC", "400000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn hear(&mut self) -> &str {
        let mut datagram = [0; 4096];
        while let Ok(size) = self.socket.recv(&mut datagram) {
            self.told += &String::from_utf8_lossy(&datagram[..size]);
            self.told += "\n";
        }
        &self.told
    }

    fn await_words(&mut self, words: &str) {
        eventually(words, || self.hear().contains(words).then_some(()));
    }
}

fn request(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn socket_that_systemd_hands_over_is_served_and_left_in_place() {
    if !is_there("systemd-socket-activate") {
        eprintln!("SKIPPED: socket_that_systemd_hands_over_…: needs Debian's systemd");
        return;
    }
    let workstation = Workstation::new("server = \"http://127.0.0.1:9\"");
    std::fs::create_dir_all(workstation.path("runtime/sceau")).unwrap();
    let socket = workstation.socket();
    let mut command = Command::new("systemd-socket-activate");
    for name in [
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_RUNTIME_DIR",
        "HOME",
    ] {
        command.args(["-E", name]);
    }
    let environment = workstation.command("true");
    for (name, value) in environment.get_envs() {
        command.env(name, value.unwrap());
    }
    let mut daemon = command
        .arg("-l")
        .arg(&socket)
        .arg(env!("CARGO_BIN_EXE_sceau-agent"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the socket", || socket.exists().then_some(()));
    // The first client starts the daemon; it waits in the queue of the socket meanwhile.
    assert!(request(&socket, "{\"op\":\"status\"}").starts_with("{\"done\":"));
    assert!(request(&socket, "{\"op\":\"status\"}").starts_with("{\"done\":"));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(socket.exists(), "the file is the service manager's");
}

#[test]
fn readiness_and_status_are_told_and_nothing_is_watched_while_nobody_is_signed_in() {
    let workstation = Workstation::new("server = \"http://127.0.0.1:9\"");
    let mut manager = Manager::new(&workstation);
    let mut daemon = manager.start(&workstation);
    manager.await_words("READY=1\nSTATUS=Nobody is signed in\nWATCHDOG_USEC=0\n");
    assert!(request(&workstation.socket(), "{\"op\":\"status\"}").contains("signed-out"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        !manager.hear().contains("WATCHDOG=1"),
        "{:?}: an idle daemon is not woken",
        manager.told
    );
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    manager.await_words("STOPPING=1");
}

#[test]
fn session_arms_the_watchdog_and_the_status_follows_what_waits() {
    let relay = Relay::start();
    let workstation =
        Workstation::new(&format!("server = \"{}\"", relay.url())).signed_in(&relay.url());
    let mut manager = Manager::new(&workstation);
    let mut daemon = manager.start(&workstation);
    manager.await_words("WATCHDOG_USEC=400000\nWATCHDOG=1\n");
    manager.await_words("STATUS=Connected; nothing awaits");
    relay.propose(&action(
        "account.create",
        "alice",
        300,
        serde_json::json!({}),
    ));
    manager.await_words("STATUS=Connected; one action awaits");
    eventually("five beats", || {
        (manager.hear().matches("WATCHDOG=1").count() >= 5).then_some(())
    });
    assert!(!manager.told.contains("alice") && !manager.told.contains("Alice"));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn journal_gets_the_message_and_the_action_by_field_and_nothing_personal() {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED: journal_gets_the_message_…: needs root for a journal's socket of its own"
        );
        return;
    }
    let relay = Relay::start();
    let workstation =
        Workstation::new(&format!("server = \"{}\"", relay.url())).signed_in(&relay.url());
    let script = r#"
import os, socket, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(10)
stderr = open(sys.argv[2], "w")
named = os.fstat(stderr.fileno())
environment = dict(os.environ, JOURNAL_STREAM=f"{named.st_dev}:{named.st_ino}")
daemon = subprocess.Popen([sys.argv[1]], stderr=stderr, env=environment)
try:
    while True:
        entry = journal.recv(65536)
        sys.stdout.buffer.write(entry + b"\n--\n")
        sys.stdout.flush()
        if b"an action awaits" in entry:
            break
finally:
    daemon.kill()
    daemon.wait()
"#;
    let child = workstation
        .command("unshare")
        .args(["-m", "/usr/bin/python3", "-c", script])
        .arg(env!("CARGO_BIN_EXE_sceau-agent"))
        .arg(workstation.path("stderr"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    relay.await_inbox();
    let awaited = action("account.create", "alice", 300, serde_json::json!({}));
    relay.propose(&awaited);
    let out = child.wait_with_output().unwrap();
    let journal = String::from_utf8_lossy(&out.stdout);
    let entry = journal
        .split("\n--\n")
        .find(|entry| entry.contains("an action awaits"))
        .unwrap_or_else(|| panic!("{journal}"));
    for field in ["MESSAGE_ID", "SYSLOG_IDENTIFIER", "ACTION_ID"] {
        assert!(entry.contains(field), "{field}: {entry}");
    }
    assert!(entry.contains(sceau_agent::life::message::AWAITS));
    assert!(entry.contains(awaited["id"].as_str().unwrap()));
    for personal in ["alice", "Alice", "Dupont", "dupont"] {
        assert!(!journal.contains(personal), "{personal}: {journal}");
    }
    assert_eq!(
        std::fs::read_to_string(workstation.path("stderr")).unwrap(),
        ""
    );
}

#[test]
fn daemon_of_a_system_user_serves_the_one_person_that_it_is_for() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: daemon_of_a_system_user_…: needs root to become another user");
        return;
    }
    let workstation = Workstation::new("server = \"http://127.0.0.1:9\"");
    let mut daemon = workstation
        .command(env!("CARGO_BIN_EXE_sceau-agent"))
        .args(["--serve-uid", "65534"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = workstation.socket();
    eventually("the socket", || socket.exists().then_some(()));
    for (name, mode) in [
        ("", 0o755),
        ("runtime", 0o755),
        ("runtime/sceau", 0o755),
        ("runtime/sceau/agent.sock", 0o666),
    ] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(
            workstation.path(name),
            std::fs::Permissions::from_mode(mode),
        )
        .unwrap();
    }
    let ask = |uid: &str| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ntry:\n s.sendall(b'{\"op\":\"status\"}\\n')\n print(len(s.recv(9999)))\nexcept (BrokenPipeError,ConnectionResetError):\n print(0)";
        let out = Command::new("setpriv")
            .args([
                "--reuid",
                uid,
                "--clear-groups",
                "/usr/bin/python3",
                "-c",
                script,
            ])
            .arg(&socket)
            .output()
            .unwrap();
        String::from_utf8(out.stdout)
            .unwrap()
            .trim()
            .parse::<usize>()
            .unwrap()
    };
    let (person, root, other) = (ask("65534"), ask("0"), ask("65533"));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(person > 0, "the person is served");
    assert_eq!(
        (root, other),
        (0, 0),
        "nobody else is, not even the daemon's own user"
    );
}

#[test]
fn units_are_closed_tightly() {
    if !is_there("systemd-analyze") {
        eprintln!("SKIPPED: units_are_closed_tightly: needs Debian's systemd");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let instance = place.path().join("sceau-agent@1000.service");
    std::fs::copy(units().join("system/sceau-agent@.service"), &instance).unwrap();
    let cases = [
        ("--user", units().join("user/sceau-agent.service"), 2.0),
        ("--system", instance, 1.5),
    ];
    for (manager, unit, limit) in cases {
        let out = Command::new("systemd-analyze")
            .args([manager, "security", "--offline=yes", "--no-pager"])
            .arg(&unit)
            .env("XDG_RUNTIME_DIR", place.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        let figure: f64 = text
            .split("Overall exposure level for ")
            .nth(1)
            .and_then(|rest| rest.split(": ").nth(1)?.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{out:?}"));
        eprintln!(
            "{manager} {}: {figure}",
            unit.file_name().unwrap().display()
        );
        assert!(figure <= limit, "{figure} > {limit}\n{text}");
    }
}

#[test]
fn units_and_their_companions_agree() {
    let read = |name: &str| {
        std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("dist")
                .join(name),
        )
        .unwrap()
    };
    assert!(
        read("systemd/user/sceau-agent.socket")
            .contains("ListenStream=%t/sceau/agent.sock\nSocketMode=0600\n")
    );
    assert!(
        read("systemd/system/sceau-agent@.socket").contains(
            "ListenStream=/run/sceau-agent/%i/agent.sock\nSocketUser=%i\nSocketMode=0600\n"
        )
    );
    assert!(read("dbus/fr.sceau.Agent1.service").contains("SystemdService=sceau-desktop.service"));
    assert!(read("systemd/user/sceau-desktop.service").contains("BusName=fr.sceau.Agent1"));
    // The rule that starts the agent with the first key names the unit that there is.
    let rules = std::fs::read_to_string(units().join("../../../udev/70-sceau.rules")).unwrap();
    assert!(rules.contains("SYSTEMD_USER_WANTS}+=\"sceau-agent.service\""));
}

#[test]
fn completions_and_man_pages_come_in_both_languages() {
    let place = tempfile::tempdir().unwrap();
    let run = |program: &str, words: &[&str]| {
        let out = Command::new(program)
            .args(words)
            .arg(place.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    };
    run(env!("CARGO_BIN_EXE_sceau"), &["manual"]);
    run(env!("CARGO_BIN_EXE_sceau-agent"), &["--manual"]);
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert!(read("man/man1/sceau-approve.1").contains("PIN and touch"));
    assert!(read("man/fr/man1/sceau-approve.1").contains("code PIN et toucher"));
    assert!(read("man/fr/man1/sceau-agent.1").contains(".SH NOM"));
    assert!(
        !place.path().join("man/man1/sceau-manual.1").exists(),
        "hidden"
    );
    for name in [
        "completions/sceau.bash",
        "completions/_sceau-agent",
        "completions/sceau.fish",
    ] {
        assert!(!read(name).is_empty());
    }
}
