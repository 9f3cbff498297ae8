//! Charter: what a person at a desktop sees and does: a real X server, a real notification server (dunst), a real pinentry (GTK), a real session bus, a
//! real key behind pcscd, and the keyboard alone. Every window is left as a picture in `target/screens/`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ceremony::{PIN, enrolled, path, propose};
use crate::relay::{Relay, action};
use crate::workstation::{Workstation, eventually, with_virtual_keys};

/// A screen with a session bus and a notification server.
pub(crate) struct Screen {
    processes: Vec<Child>,
    display: String,
    bus: String,
    language: &'static str,
    /// Windows are told to assistive technology.
    is_read_out: bool,
    home: PathBuf,
}

/// The first line that a process writes.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.trim().to_owned()
}

impl Screen {
    /// `None`, visibly, where the parts are missing.
    pub(crate) fn start(workstation: &Workstation, language: &'static str) -> Option<Self> {
        Self::with(workstation, language, false)
    }

    fn with(workstation: &Workstation, language: &'static str, is_read_out: bool) -> Option<Self> {
        for program in [
            "Xvfb",
            "dbus-daemon",
            "dunst",
            "pinentry-gtk-2",
            "xdotool",
            "import",
        ] {
            let found = std::env::split_paths(&std::env::var_os("PATH")?)
                .any(|folder| folder.join(program).exists());
            if !found {
                eprintln!("SKIPPED: desktop: {program} is missing (cargo xtask setup)");
                return None;
            }
        }
        let mut x = Command::new("Xvfb")
            .args([
                "-screen",
                "0",
                "1024x768x24",
                "-nolisten",
                "tcp",
                "-displayfd",
                "1",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let display = format!(":{}", first_line(&mut x));
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .env("DISPLAY", &display)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = first_line(&mut bus);
        let mut screen = Self {
            processes: vec![x, bus],
            display,
            bus: address,
            language,
            is_read_out,
            home: workstation.place.path().to_owned(),
        };
        let dunst = screen
            .command("dunst")
            .args(["-config", "/dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        screen.processes.push(dunst);
        eventually("dunst", || screen.displayed().map(drop));
        let mut desktop = workstation.command(env!("CARGO_BIN_EXE_sceau-desktop"));
        let log = std::fs::File::create(workstation.path("desktop.log")).unwrap();
        let desktop = screen
            .seated(&mut desktop)
            .args(["--pinentry", "pinentry-gtk-2", "--log", "debug"])
            .stderr(log)
            .spawn()
            .unwrap();
        screen.processes.push(desktop);
        eventually("the name on the bus", || {
            screen
                .property("Status")
                .contains("connected")
                .then_some(())
        });
        Some(screen)
    }

    fn seated<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env("LC_ALL", self.language);
        if self.is_read_out {
            command.env("GTK_MODULES", "gail:atk-bridge")
        } else {
            command.env("NO_AT_BRIDGE", "1")
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", &self.home);
        self.seated(&mut command);
        command
    }

    fn said(&self, program: &str, words: &[&str]) -> Option<String> {
        let out = self.command(program).args(words).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        out.status.success().then_some(text)
    }

    pub(crate) fn displayed(&self) -> Option<usize> {
        self.said("dunstctl", &["count", "displayed"])?.parse().ok()
    }

    pub(crate) fn await_notifications(&self, count: usize) {
        eventually("notifications", || {
            (self.displayed() == Some(count)).then_some(())
        });
    }

    fn property(&self, name: &str) -> String {
        let interface = "string:fr.sceau.Agent1";
        let property = format!("string:{name}");
        let words = [
            "--session",
            "--print-reply",
            "--dest=fr.sceau.Agent1",
            "/fr/sceau/Agent1",
            "org.freedesktop.DBus.Properties.Get",
            interface,
            &property,
        ];
        self.said("dbus-send", &words).unwrap_or_default()
    }

    /// Waits for a window with this in its title, and gives it the keyboard.
    fn await_window(&self, title: &str) {
        eventually(title, || {
            self.said("xdotool", &["search", "--onlyvisible", "--name", title])
                .filter(|found| !found.is_empty())
        });
        self.said(
            "xdotool",
            &["search", "--onlyvisible", "--name", title, "windowfocus"],
        );
        std::thread::sleep(Duration::from_millis(400));
    }

    /// Role and name of everything in the windows that are up, and whether the keyboard reaches it; in the order of a screen reader.
    fn read_out(&self) -> Vec<(String, String, bool)> {
        let script =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/accessible.py");
        let said = self.said("/usr/bin/python3", &[script.to_str().unwrap()]);
        said.unwrap_or_default()
            .lines()
            .filter_map(|line| {
                let mut parts = line.split_once(' ')?.1.rsplitn(2, '|');
                let focusable = parts.next()? == "True";
                let (role, name) = parts.next()?.split_once('|')?;
                Some((role.to_owned(), name.to_owned(), focusable))
            })
            .collect()
    }

    fn has_window(&self, title: &str) -> bool {
        self.said("xdotool", &["search", "--onlyvisible", "--name", title])
            .is_some_and(|found| !found.is_empty())
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.said("xdotool", &["key", key]);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn types(&self, text: &str) {
        self.said("xdotool", &["type", text]);
        self.keys(&["Return"]);
    }

    fn picture(&self, name: &str) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screens");
        std::fs::create_dir_all(&folder).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let file = folder.join(format!("{name}.png"));
        let taken = self
            .command("import")
            .args(["-window", "root"])
            .arg(&file)
            .status();
        assert!(taken.unwrap().success());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.join("desktop.log"));
            eprintln!("--- the desktop said:\n{}", log.unwrap_or_default());
        }
        for process in self.processes.iter_mut().rev() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// From the notification to the seal, by the keyboard alone.
fn seals(language: &'static str, code: &str, next: &str) {
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let Some(screen) = Screen::start(&workstation, language) else {
        return;
    };
    let deceptive = json!({ "params": { "note": "<b>bold</b> 100 %\nRequester: \u{202e}nimda", "email": "j.dupont@ml.example" } });
    let action = action("account.create", "alice", 120, deceptive);
    relay.propose(&action);
    screen.await_notifications(1);
    assert!(screen.property("Pending").contains("uint32 1"));
    screen.picture(&format!("1-notification-{code}"));
    screen.said("dunstctl", &["action"]);
    screen.await_window("Sceau");
    screen.await_notifications(0);
    screen.picture(&format!("2-action-{code}"));
    screen.keys(&[next]);
    screen.picture(&format!("3-action-last-{code}"));
    workstation.key("touch never");
    screen.keys(&["alt+s"]);
    screen.await_window("PIN");
    screen.picture(&format!("4-pin-{code}"));
    screen.types("000000");
    eventually("the PIN is asked for again", || {
        workstation
            .log()
            .contains("WrongPin")
            .then_some(())
            .or_else(|| screen.has_window("PIN").then_some(()))
    });
    std::thread::sleep(Duration::from_millis(700));
    screen.await_window("PIN");
    screen.picture(&format!("5-pin-again-{code}"));
    screen.types(PIN);
    screen.await_notifications(1);
    screen.picture(&format!("6-touch-{code}"));
    workstation.key("touch press");
    let report = relay.await_request(&path(&action, "approvals"));
    let verified = relay.verify(&action, &report).unwrap();
    assert!(verified.flags().up() && verified.flags().uv());
    workstation.key("touch approve");
    screen.picture(&format!("7-sealed-{code}"));
}

#[test]
fn desktop_shows_asks_and_seals_in_english() {
    if with_virtual_keys("desktop::desktop_shows_asks_and_seals_in_english") {
        seals("C.UTF-8", "en", "alt+n");
    }
}

#[test]
fn desktop_shows_asks_and_seals_in_french() {
    if with_virtual_keys("desktop::desktop_shows_asks_and_seals_in_french") {
        seals("fr_FR.UTF-8", "fr", "alt+u");
    }
}

#[test]
fn a_screen_reader_finds_the_action_and_a_name_on_everything_that_the_keyboard_reaches() {
    let name = "desktop::a_screen_reader_finds_the_action_and_a_name_on_everything_that_the_keyboard_reaches";
    if !with_virtual_keys(name) {
        return;
    }
    let has_reader = Command::new("/usr/bin/python3")
        .args(["-c", "import pyatspi"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_reader {
        eprintln!("SKIPPED: {name}: python3-pyatspi is missing (cargo xtask setup)");
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let Some(screen) = Screen::with(&workstation, "C.UTF-8", true) else {
        return;
    };
    propose(&relay, &workstation, 120);
    screen.await_notifications(1);
    screen.said("dunstctl", &["action"]);
    screen.await_window("Sceau: seal");
    let named = |what: &str| {
        let found = eventually(what, || {
            let found = screen.read_out();
            found
                .iter()
                .any(|(role, ..)| role == "push button")
                .then_some(found)
        });
        for (role, name, focusable) in &found {
            // pinentry's own entry bears no name: it is announced as a password, after the text that says whose.
            let is_entry = role == "password text";
            assert!(
                !focusable || is_entry || !name.is_empty(),
                "{role}: {found:?}"
            );
        }
        found
    };
    let action = named("the action");
    let has = |found: &[(String, String, bool)], role: &str, words: &str| {
        found
            .iter()
            .any(|(is, name, _)| is == role && name.contains(words))
    };
    for (role, words) in [
        ("frame", "Sceau: seal"),
        ("label", "j.dupont@ml.example"),
        ("push button", "Seal"),
        ("push button", "Refuse"),
        ("push button", "Later"),
    ] {
        assert!(has(&action, role, words), "{role} {words}: {action:?}");
    }
    while !screen.has_window("PIN") {
        screen.keys(&["alt+s"]);
    }
    let pin = named("the PIN");
    assert!(has(&pin, "password text", ""), "{pin:?}");
    assert!(has(&pin, "label", "PIN"), "{pin:?}");
}

#[test]
fn desktop_refuses_withdraws_and_goes_quiet() {
    if !with_virtual_keys("desktop::desktop_refuses_withdraws_and_goes_quiet") {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let Some(screen) = Screen::start(&workstation, "C.UTF-8") else {
        return;
    };
    // Answered elsewhere while the notification, and then while the dialog is up.
    let settle = |action: &Value| {
        relay.send(
            "settled",
            &json!({ "id": action["id"], "state": "approved" }),
        )
    };
    let first = propose(&relay, &workstation, 60);
    screen.await_notifications(1);
    settle(&first);
    screen.await_notifications(0);
    let second = propose(&relay, &workstation, 60);
    screen.await_notifications(1);
    screen.said("dunstctl", &["action"]);
    screen.await_window("Sceau");
    settle(&second);
    eventually("the dialog is gone", || {
        (!screen.has_window("Sceau: seal")).then_some(())
    });
    screen.said("dunstctl", &["close-all"]);
    // Not me.
    let third = propose(&relay, &workstation, 60);
    screen.await_notifications(1);
    screen.said("dunstctl", &["action"]);
    screen.await_window("Sceau: seal");
    screen.keys(&["alt+r"]);
    screen.await_window("Sceau: refuse");
    screen.picture("8-refuse-en");
    screen.keys(&["alt+n"]);
    let refusal = relay.await_request(&path(&third, "refusals"));
    assert_eq!(refusal["reason"], "not-me");
    std::thread::sleep(Duration::from_millis(500));
    screen.said("dunstctl", &["close-all"]);
    // A terminal asks: the notification makes room, one prompt at a time.
    let fourth = propose(&relay, &workstation, 60);
    screen.await_notifications(1);
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    screen.await_notifications(0);
    terminal.send_line("l").unwrap();
    terminal.exp_eof().unwrap();
    settle(&fourth);
    // Attack 3: a flood; each notification is waved away, until it is quiet.
    let flood: Vec<Value> = (0..12).map(|_| propose(&relay, &workstation, 60)).collect();
    let mut waved = 0;
    let quiet = || {
        std::fs::read_to_string(workstation.path("desktop.log"))
            .unwrap()
            .contains("nobody wanted")
    };
    while !quiet() && waved < 12 {
        eventually("a notification or quiet", || {
            (quiet() || screen.displayed() > Some(0)).then_some(())
        });
        if !quiet() {
            screen.said("dunstctl", &["close"]);
            waved += 1;
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    assert!(waved <= 6, "{waved}");
    screen.picture("9-quiet-en");
    screen.said("dunstctl", &["close-all"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(screen.displayed(), Some(0), "it stays quiet");
    assert!(
        screen
            .property("Pending")
            .contains(&format!("uint32 {}", flood.len()))
    );
    assert!(screen.property("Keys").contains("ready"));
}

/// A real Chromium with the extension, on this page, its window found.
fn chromium(workstation: &Workstation, screen: &Screen, url: &str) -> Child {
    let mut command = workstation.command("chromium");
    let browser = screen
        .seated(&mut command)
        .args([
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-position=0,0",
            "--window-size=900,700",
            "--password-store=basic",
            "--disable-features=DisableLoadExtensionCommandLineSwitch",
        ])
        .arg(format!(
            "--user-data-dir={}",
            workstation.path("browser").display()
        ))
        .arg(format!(
            "--load-extension={}",
            workstation.path("extension").display()
        ))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the page", || {
        screen.has_window("Approval page").then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    browser
}

#[test]
fn browsers_page_of_the_server_hands_an_action_over_and_no_other_page_does() {
    let name = "desktop::browsers_page_of_the_server_hands_an_action_over_and_no_other_page_does";
    if !with_virtual_keys(name) {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let Some(screen) = Screen::start(&workstation, "C.UTF-8") else {
        return;
    };
    let has_browser = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|folder| folder.join("chromium").exists());
    if !has_browser {
        eprintln!("SKIPPED: {name}: chromium is missing (cargo xtask setup)");
        return;
    }
    let made = workstation
        .command(env!("CARGO_BIN_EXE_sceau-bridge"))
        .arg("--extension")
        .arg(workstation.path("extension"))
        .status();
    assert!(made.unwrap().success());
    let hosts = workstation.path("browser/NativeMessagingHosts");
    std::fs::create_dir_all(&hosts).unwrap();
    let manifest = include_str!("../../dist/native-messaging/chromium.json")
        .replace("/usr/bin/sceau-bridge", env!("CARGO_BIN_EXE_sceau-bridge"));
    std::fs::write(hosts.join("fr.sceau.agent.json"), manifest).unwrap();
    let action = propose(&relay, &workstation, 300);
    let id = action["id"].as_str().unwrap();
    screen.await_notifications(1);
    // Another origin of the same host, where the extension's script does run; then a script's click on the server's own page.
    let evil = Relay::start();
    for url in [
        format!("{}/actions/{id}", evil.url()),
        format!("{}/actions/auto-{id}", relay.url()),
    ] {
        let mut browser = chromium(&workstation, &screen, &url);
        if url.starts_with(&evil.url()) {
            screen.said("xdotool", &["mousemove", "300", "500", "click", "1"]);
        }
        std::thread::sleep(Duration::from_secs(2));
        let opened = screen.has_window("Sceau: seal");
        browser.kill().unwrap();
        browser.wait().unwrap();
        assert!(!opened, "{url}");
        eventually("the browser is gone", || {
            (!screen.has_window("Approval page")).then_some(())
        });
    }
    let mut browser = chromium(
        &workstation,
        &screen,
        &format!("{}/actions/{id}", relay.url()),
    );
    screen.said("xdotool", &["mousemove", "300", "500", "click", "1"]);
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        screen.await_window("Sceau: seal")
    }));
    screen.picture("10-browser-en");
    browser.kill().unwrap();
    browser.wait().unwrap();
    opened.unwrap();
}
