//! Charter: a working day, and the next: a key that comes and goes, a seat that changes hands, sleep, a pcscd and a server that restart, in an order that
//! nobody planned. Whatever came before, the daemon ends where things really are, and holds no more than at the beginning.
//!
//! `SCEAU_EVENTS=10000` is a day of an event each nine seconds; `SCEAU_SEED` replays one; `SCEAU_PAUSE` is the least time between two plugs, in ms
//! (0: quicker than any hand, and than pcscd).

#![allow(clippy::disallowed_methods, reason = "a test measures")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ceremony::enrolled;
use crate::relay::Relay;
use crate::seat::{Seat, await_unattended};
use crate::workstation::{Workstation, eventually, with_virtual_keys};

/// After so many events everything is set right, and looked at.
const STRETCH: usize = 40;

fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// xorshift: the same day for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A server's connections, that can be cut.
#[derive(Clone, Default)]
struct Line {
    is_down: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn relay(&self) -> Relay {
        let line = self.clone();
        Relay::start_with(move |stream| {
            if line.is_down.load(Ordering::Relaxed) {
                return None;
            }
            line.open.lock().unwrap().push(stream.try_clone().unwrap());
            Some(Box::new(stream))
        })
    }

    fn cut(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }

    fn mend(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }
}

/// What a process holds: descriptors, threads, resident KiB by a walk over its pages (`VmRSS` in `status` counts per thread and late, proc(5)).
fn held(pid: u32) -> (usize, usize, u64) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{pid}/{what}"))
            .unwrap()
            .count()
    };
    let pages = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let resident = pages.lines().find_map(|line| {
        let kib = line.strip_prefix("Rss:")?.split_whitespace().next()?;
        kib.parse().ok()
    });
    (count("fd"), count("task"), resident.unwrap())
}

struct Day<'a> {
    workstation: Workstation,
    seat: &'a Seat,
    line: Line,
    is_in: bool,
}

impl Day<'_> {
    fn happens(&mut self, chance: &mut Chance) {
        match chance.below(50) {
            0..25 => {
                self.is_in = !self.is_in;
                let words = if self.is_in { "insert 2000" } else { "remove" };
                self.workstation.key(words);
                let least = number("SCEAU_PAUSE", 0);
                let more = chance.below(least.max(1));
                std::thread::sleep(Duration::from_millis(least + more));
            }
            25..32 => self.seat.set("LockedHint", either(chance)),
            32..39 => self.seat.set("Active", either(chance)),
            39..44 => self.seat.sleeps(either(chance)),
            44..46 => self.line.cut(),
            46..49 => self.line.mend(),
            _ => {
                self.workstation.kill_pcscd();
                self.workstation.start_pcscd();
                if self.is_in {
                    self.workstation.key("insert 5000");
                }
            }
        }
    }

    /// Everything as it should be, and the daemon must find that out.
    fn settles(&mut self) {
        self.seat.sleeps("false");
        self.seat.set("LockedHint", "false");
        self.seat.set("Active", "true");
        self.line.mend();
        eventually("the key is in its reader", || {
            (self.workstation.key("insert 2000")["ok"] == true).then_some(())
        });
        self.is_in = true;
        await_unattended(&self.workstation, None);
        let begun = Instant::now();
        loop {
            let status = self.workstation.json(&["status", "--json"]);
            if status["authenticators"] == 1 && status["inbox"] == "connected" {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "stuck: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn either(chance: &mut Chance) -> &'static str {
    if chance.below(2) == 0 {
        "true"
    } else {
        "false"
    }
}

#[test]
fn daemon_ends_where_things_are_whatever_the_day_was() {
    if !with_virtual_keys("day::daemon_ends_where_things_are_whatever_the_day_was") {
        return;
    }
    let Some(seat) = Seat::taken() else { return };
    let line = Line::default();
    let relay = line.relay();
    let mut workstation = enrolled(&relay).on_system_bus(seat.address());
    workstation.kill();
    workstation.configure("[presence]\nlock = true\ngrace = \"50ms\"\n");
    let mut day = Day {
        workstation: workstation.start(),
        seat: &seat,
        line,
        is_in: true,
    };
    let seed = number("SCEAU_SEED", 0x5ce4_u64);
    let events = usize::try_from(number("SCEAU_EVENTS", 80)).unwrap();
    let mut chance = Chance(seed);
    let begun = Instant::now();
    let pid = day.workstation.pid();
    let mut before = None;
    for event in 1..=events {
        day.happens(&mut chance);
        std::thread::sleep(Duration::from_millis(chance.below(30)));
        if !event.is_multiple_of(STRETCH) {
            continue;
        }
        day.settles();
        // The first stretch also reads the program's pages from the disk.
        let Some((descriptors, threads, resident)) = before else {
            std::thread::sleep(Duration::from_secs(2));
            before = Some(held(pid));
            continue;
        };
        eventually("nothing is held on to", || {
            let now = held(pid);
            (now.0 <= descriptors && now.1 <= threads && now.2 <= resident + 1024).then_some(())
        });
    }
    println!(
        "{events} events (seed {seed}) in {:.0} s: {before:?} → {:?} (descriptors, threads, KiB)",
        begun.elapsed().as_secs_f64(),
        held(pid)
    );
}
