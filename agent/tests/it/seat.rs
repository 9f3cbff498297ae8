//! Charter: what the agent does when logind says who sits where: a real bus, Debian's mock of logind (python3-dbusmock), a real notification server, a
//! real key behind pcscd. The same with logind itself, in a guest: `cargo xtask guest --system`.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ceremony::{enrolled, propose};
use crate::desktop::{Screen, first_line};
use crate::relay::Relay;
use crate::workstation::{Workstation, eventually, with_virtual_keys};

const PYTHON: &str = "/usr/bin/python3";
const LOGIND: &str = "org.freedesktop.login1";
const MANAGER: &str = "/org/freedesktop/login1";
const SESSION: &str = "/org/freedesktop/login1/session/c1";
const MOCK: &str = "org.freedesktop.DBus.Mock";

/// A system bus of its own with a logind on it, where this user sits at seat0.
pub(crate) struct Seat {
    address: String,
    processes: Vec<Child>,
}

impl Seat {
    /// `None`, visibly, where the parts are missing.
    pub(crate) fn taken() -> Option<Self> {
        let has_mock = Command::new(PYTHON)
            .args(["-c", "import dbusmock"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_mock {
            eprintln!("SKIPPED: seat: python3-dbusmock is missing (cargo xtask setup)");
            return None;
        }
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = first_line(&mut bus);
        let logind = Command::new(PYTHON)
            .args(["-m", "dbusmock", "--system", "--template", "logind"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", &address)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let seat = Self {
            address,
            processes: vec![bus, logind],
        };
        let user = rustix::process::getuid().as_raw().to_string();
        eventually("logind", || {
            seat.call(
                MANAGER,
                &["AddSession", "ssusb", "c1", "seat0", &user, "alice", "true"],
            )
        });
        Some(seat)
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    fn call(&self, object: &str, words: &[&str]) -> Option<String> {
        let out = Command::new("busctl")
            .args(["--address", &self.address, "call", LOGIND, object, MOCK])
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        out.status.success().then_some(said)
    }

    /// Sets a property of the session, and says so.
    pub(crate) fn set(&self, property: &str, value: &str) {
        let interface = "org.freedesktop.login1.Session";
        let words = [
            "UpdateProperties",
            "sa{sv}",
            interface,
            "1",
            property,
            "b",
            value,
        ];
        self.call(SESSION, &words).unwrap();
    }

    pub(crate) fn sleeps(&self, value: &str) {
        let interface = "org.freedesktop.login1.Manager";
        let words = [
            "EmitSignal",
            "sssav",
            interface,
            "PrepareForSleep",
            "b",
            "1",
            "b",
            value,
        ];
        self.call(MANAGER, &words).unwrap();
    }

    /// How often the session was asked to lock.
    fn locks(&self) -> usize {
        let told = self.call(SESSION, &["GetMethodCalls", "s", "Lock"]);
        let told = told.unwrap();
        let count = told.split_whitespace().nth(1);
        count.and_then(|count| count.parse().ok()).unwrap()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

pub(crate) fn await_unattended(workstation: &Workstation, why: Option<&str>) {
    workstation.await_status("who sits there", |status| {
        status["presence"]["unattended"].as_str() == why
    });
}

fn await_keys(workstation: &Workstation, count: u64) {
    workstation.await_status("its key", |status| status["authenticators"] == count);
}

#[test]
fn a_pulled_key_locks_the_seat_and_nothing_is_shown_where_nobody_sits() {
    let name = "seat::a_pulled_key_locks_the_seat_and_nothing_is_shown_where_nobody_sits";
    if !with_virtual_keys(name) {
        return;
    }
    let Some(seat) = Seat::taken() else { return };
    let relay = Relay::start();
    let mut workstation = enrolled(&relay).on_system_bus(seat.address());
    workstation.kill();
    workstation.configure("[presence]\nlock = true\ngrace = \"300ms\"\n");
    let workstation = workstation.start();
    relay.await_inbox();
    await_keys(&workstation, 1);
    await_unattended(&workstation, None);

    // Nothing of an action for whoever sits down next, or on a locked screen.
    if let Some(screen) = Screen::start(&workstation, "C.UTF-8") {
        seat.set("Active", "false");
        await_unattended(&workstation, Some("inactive"));
        propose(&relay, &workstation, 120);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(screen.displayed(), Some(0), "another person sits there");
        seat.set("Active", "true");
        screen.await_notifications(1);
        seat.set("LockedHint", "true");
        await_unattended(&workstation, Some("locked"));
        screen.await_notifications(0);
        seat.set("LockedHint", "false");
        screen.await_notifications(1);
    }

    // A key that goes while another person sits there is looked for when its person is back; one that came back by then was not pulled.
    seat.set("Active", "false");
    await_unattended(&workstation, Some("inactive"));
    workstation.key("remove");
    await_keys(&workstation, 0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(seat.locks(), 0);
    workstation.key("insert");
    seat.set("Active", "true");
    workstation.await_log("a key went and came back");
    assert_eq!(seat.locks(), 0);

    // Pulled while the machine sleeps: locked once it has woken up.
    seat.sleeps("true");
    await_unattended(&workstation, Some("asleep"));
    workstation.key("remove");
    await_keys(&workstation, 0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(seat.locks(), 0);
    seat.sleeps("false");
    eventually("the desktop is locked", || {
        (seat.locks() == 1).then_some(())
    });

    // And pulled before somebody's eyes.
    let known = || {
        let log = workstation.log();
        log.matches("a key of this person is here").count()
    };
    let before = known();
    workstation.key("insert");
    await_keys(&workstation, 1);
    eventually("the key is known for theirs", || {
        (known() > before).then_some(())
    });
    workstation.key("remove");
    eventually("the desktop is locked again", || {
        (seat.locks() == 2).then_some(())
    });
}
