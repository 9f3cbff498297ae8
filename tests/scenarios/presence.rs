//! Presence: the key that sealed a sign-in stays, or the session does not (docs/presence.md). Real firmware behind a real pcscd, real server, gate and
//! agent; a relay in between that lies.
//!
//! `SCEAU_PRESENCE_TRIES=100` pulls the key so often; `SCEAU_PRESENCE_SOAK=600` beats for so many seconds.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{API, House},
    http::Client,
    process::eventually,
    stage::makers,
    workstation::{Server, Workstation},
};
use serde_json::Value;

/// The longest time for which one proof holds, in these scenarios.
const INTERVAL: Duration = Duration::from_secs(3);

/// A house whose gate sessions need their key, and one person in it.
struct Scene {
    house: House,
    admin: Workstation,
    _place: tempfile::TempDir,
}

impl Scene {
    fn set() -> Result<Self> {
        let (place, models) = makers()?;
        let folder = place.path();
        let mut house = House::found(folder, &[&models[0]])?;
        house.environment.extend([
            ("SCEAU_PRESENCE__INTERVAL", "3s"),
            ("SCEAU_PRESENCE__AWAY", "20s"),
        ]);
        house.kill_server();
        house.start_server()?;
        let mut admin =
            Workstation::set_up(folder, 0, "admin-1", Some(&models[0]), &house.for_agents())?;
        admin.start_agent()?;
        admin.enroll(&house.first_invitation(1)?)?;
        admin.restart_agent_with("[presence]\ngrace = \"300ms\"")?;
        let scene = Self {
            house,
            admin,
            _place: place,
        };
        scene.key_is_ready()?;
        Ok(scene)
    }

    fn key_is_ready(&self) -> Result<()> {
        eventually("the key is ready", Duration::from_secs(10), || {
            status(&self.admin).is_ok_and(|status| status["authenticators"] == 1)
        })?;
        Ok(())
    }

    /// Signed in at the gate, and the key has proven itself once since.
    fn browser(&self) -> Result<Client> {
        let before = self.proofs("taken")?;
        let browser = self.house.browser(&self.admin)?;
        eventually("the key proves itself", Duration::from_secs(10), || {
            self.proofs("taken").is_ok_and(|proofs| proofs > before)
        })?;
        Ok(browser)
    }

    /// How many proofs had this outcome, by the server's own count.
    fn proofs(&self, outcome: &str) -> Result<u64> {
        let text = self.house.api().get("/metrics")?.text;
        let name = format!("sceau_presence_proofs_total{{outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.map_or(Ok(0), str::parse)?)
    }

    /// Entries of this type in the log.
    fn logged(&self, kind: &str) -> Result<Vec<Value>> {
        let mut entries = self.house.entries()?;
        entries.retain(|entry| entry["type"] == kind);
        Ok(entries)
    }
}

fn status(workstation: &Workstation) -> Result<Value> {
    let out = workstation
        .command("sceau")
        .args(["status", "--json"])
        .output()?;
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// What the gate says of this browser's session, when it lets it through no more.
fn refusal(browser: &Client) -> Result<Option<String>> {
    let answer = browser.get("/.sceau/session")?.json();
    let state = answer["state"].as_str().context("a state")?.to_owned();
    Ok((state != "active").then_some(state))
}

/// The gate's word for why it refuses a request of this browser.
fn refused(browser: &Client) -> Result<String> {
    let answer = browser.send("GET", "/accounts", &[("Accept", "application/json")], None)?;
    Ok(answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// How long until the gate lets it through no more.
fn until_refused(browser: &Client) -> Result<(Duration, String)> {
    let begun = Instant::now();
    loop {
        if let Some(why) = refusal(browser)? {
            return Ok((begun.elapsed(), why));
        }
        ensure!(
            begun.elapsed() < INTERVAL * 3,
            "the gate goes on letting it through"
        );
        sleep(Duration::from_millis(20));
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()?;
    ensure!(status.success(), "kill -{name}");
    Ok(())
}

#[test]
fn a_pulled_key_ends_its_session_within_one_interval() -> Result<()> {
    let scene = Scene::set()?;
    let tries = number("SCEAU_PRESENCE_TRIES", 10);
    let pid = scene.admin.agent_pid().context("a running agent")?;
    let (mut told, mut missed) = (Duration::ZERO, Duration::ZERO);
    for number in 0..tries {
        let browser = scene.browser()?;
        assert_eq!(refusal(&browser)?, None, "try {number}");
        // At any moment of the beat.
        sleep(Duration::from_millis(number * 397 % 2_000));
        // Every other time the agent can say nothing any more: the server finds out by itself.
        let dumb = number % 2 == 1;
        if dumb {
            signal(pid, "STOP")?;
        }
        scene.admin.key.remove()?;
        let (took, why) = until_refused(&browser)?;
        assert!(took <= INTERVAL, "try {number}: {took:?}");
        if dumb {
            assert_eq!(why, "absent");
            assert_eq!(refused(&browser)?, "key-absent");
            missed = missed.max(took);
            signal(pid, "CONT")?;
        } else {
            told = told.max(took);
        }
        eventually("the agent misses the key", Duration::from_secs(10), || {
            status(&scene.admin).is_ok_and(|status| status["authenticators"] == 0)
        })?;
        // The agent's word ends it for good, also after the fact.
        eventually("the session is over", Duration::from_secs(10), || {
            refusal(&browser).is_ok_and(|why| why.as_deref() == Some("ended"))
        })?;
        scene.admin.key.insert()?;
        scene.key_is_ready()?;
    }
    println!(
        "key pulled {tries} times, noticed within {INTERVAL:?} each time: told by the agent after at most {told:?}, found out after at most {missed:?}"
    );
    let lost = scene.logged("presence.lost")?;
    assert_eq!(
        lost.len() as u64,
        tries,
        "one entry for each loss: {lost:?}"
    );
    assert_eq!(scene.logged("presence.regained")?.len(), 0);
    Ok(())
}

#[test]
fn a_key_that_stays_keeps_its_session_while_other_programs_use_it() -> Result<()> {
    let mut scene = Scene::set()?;
    let browser = scene.browser()?;
    let span = Duration::from_secs(number("SCEAU_PRESENCE_SOAK", 12));
    let pid = scene.admin.agent_pid().context("a running agent")?;
    let (beats, spent) = (scene.proofs("taken")?, cpu(pid)?);
    let begun = Instant::now();
    let mut others = 0;
    while begun.elapsed() < span {
        // What opensc says to a card: connected, reset or not, transmitted, left.
        let out = Command::new("opensc-tool")
            .env("PCSCLITE_CSOCK_NAME", scene.admin.pcsc_socket())
            .args(["--reader", "1", "--send-apdu", "00A4040008A0000006472F0001"])
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            said.contains("SW1=0x90"),
            "another program uses the key in between: {said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        others += 1;
        assert_eq!(refusal(&browser)?, None, "after {:?}", begun.elapsed());
        sleep(Duration::from_millis(700));
    }
    let (beats, spent) = (scene.proofs("taken")? - beats, cpu(pid)? - spent);
    let elapsed = begun.elapsed();
    let share = spent.as_secs_f64() * 100.0 / elapsed.as_secs_f64();
    println!(
        "{beats} beats in {elapsed:?}, {others} uses by opensc in between, none missed; agent {spent:?} of CPU: {share:.3} % (development build)"
    );
    assert!(beats >= elapsed.as_secs() / 3, "{beats} beats");
    assert_eq!(
        scene.logged("presence.lost")?.len(),
        0,
        "no beat was missed"
    );
    for outcome in ["late", "rejected", "unknown", "failed"] {
        assert_eq!(scene.proofs(outcome)?, 0, "{outcome}");
    }

    let me = scene.house.person(&scene.admin)?.get("/v1/me")?.json();
    assert_eq!(me["presence"]["sessions"][0]["state"], "present", "{me}");
    assert_eq!(
        me["presence"]["keys"][0]["presence"]["ability"], "counted",
        "{me}"
    );
    let told = status(&scene.admin)?;
    assert_eq!(told["presence"]["keys"][0]["presence"], "proven", "{told}");

    // pcscd is restarted under it: neither the agent nor the server takes that for a pulled key.
    scene.admin.restart_pcscd()?;
    scene.admin.key.insert()?;
    scene.key_is_ready()?;
    let before = scene.proofs("taken")?;
    eventually(
        "the key proves itself again",
        Duration::from_secs(10),
        || scene.proofs("taken").is_ok_and(|proofs| proofs > before),
    )?;
    assert_eq!(refusal(&browser)?, None, "regained, if it was lost at all");
    assert_eq!(scene.logged("session.ended")?.len(), 0);
    Ok(())
}

/// CPU time of a process so far.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit(')').next().context("a command's name")?;
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap_or_default())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// What the relay does to proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Pass,
    Delay,
    Replay,
    OldSignature,
    Forge,
}

/// A relay between agent and server that lets everything pass but proofs of presence.
struct Relay {
    address: SocketAddr,
    lie: Arc<Mutex<Lie>>,
    lied: Arc<AtomicU64>,
}

const PROOF: &[u8] = b"POST /v1/presence/proofs";

impl Relay {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let lie = Arc::new(Mutex::new(Lie::Pass));
        let lied = Arc::new(AtomicU64::new(0));
        let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let (mode, count) = (Arc::clone(&lie), Arc::clone(&lied));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(API) else {
                    continue;
                };
                let (Ok(mut back), Ok(mut answers)) = (client.try_clone(), server.try_clone())
                else {
                    continue;
                };
                thread::spawn(move || {
                    let _ = std::io::copy(&mut answers, &mut back);
                    let _ = back.shutdown(Shutdown::Both);
                });
                let (mode, count, kept) =
                    (Arc::clone(&mode), Arc::clone(&count), Arc::clone(&kept));
                thread::spawn(move || {
                    let mode = || *mode.lock().expect("no panic");
                    requests(client, server, |request| {
                        let mut kept = kept.lock().expect("no panic");
                        let lie = mode();
                        if lie != Lie::Pass {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        match lie {
                            Lie::Pass => *kept = Some(request.to_vec()),
                            Lie::Delay => sleep(INTERVAL / 3 + Duration::from_millis(100)),
                            Lie::Replay => {
                                if let Some(old) = &*kept {
                                    *request = old.clone();
                                }
                            }
                            Lie::OldSignature => {
                                if let Some(old) = &*kept {
                                    *request = with_nonce_of(old, request);
                                }
                            }
                            Lie::Forge => flip_signature(request),
                        }
                    });
                });
            }
        });
        Ok(Self { address, lie, lied })
    }

    fn tell(&self, lie: Lie) {
        *self.lie.lock().expect("no panic") = lie;
    }
}

/// Passes requests on, whole; those that carry a proof through `change`.
fn requests(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut Vec<u8>)) {
    let mut waiting = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        waiting.extend_from_slice(&buffer[..read]);
        while let Some(length) = whole(&waiting) {
            let mut request: Vec<u8> = waiting.drain(..length).collect();
            if request.starts_with(PROOF) {
                change(&mut request);
            }
            if to.write_all(&request).is_err() {
                return;
            }
        }
    }
    // The server goes on with what it was sent, although the client has hung up.
    sleep(Duration::from_secs(1));
    let _ = to.shutdown(Shutdown::Write);
}

/// The length of the first request, once it is there whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

fn place_of(request: &[u8], member: &str) -> usize {
    let name = format!("\"{member}\":\"");
    let at = request
        .windows(name.len())
        .position(|window| window == name.as_bytes());
    at.expect("a proof has it") + name.len()
}

fn with_nonce_of(old: &[u8], request: &[u8]) -> Vec<u8> {
    let (to, from) = (place_of(old, "nonce"), place_of(request, "nonce"));
    let mut lie = old.to_vec();
    lie[to..to + 43].copy_from_slice(&request[from..from + 43]);
    lie
}

fn flip_signature(request: &mut [u8]) {
    let middle = place_of(request, "signature") + 40;
    request[middle] = if request[middle] == b'A' { b'B' } else { b'A' };
}

#[test]
fn a_relay_that_replays_delays_or_forges_beats_keeps_nothing_alive() -> Result<()> {
    let mut scene = Scene::set()?;
    let relay = Relay::start()?;
    scene.admin.restart_agent_at(&Server {
        url: format!("http://{}", relay.address),
        rp_id: e2e::house::RP_ID.to_owned(),
    })?;
    scene.key_is_ready()?;
    let browser = scene.browser()?;
    for (lie, outcome) in [
        (Lie::Replay, "unknown"),
        (Lie::OldSignature, "rejected"),
        (Lie::Forge, "rejected"),
        (Lie::Delay, "late"),
    ] {
        let (before, lied) = (scene.proofs(outcome)?, relay.lied.load(Ordering::Relaxed));
        relay.tell(lie);
        let (took, why) = until_refused(&browser)?;
        assert_eq!(why, "absent", "{lie:?}");
        assert!(
            took <= INTERVAL + Duration::from_millis(500),
            "{lie:?}: {took:?}"
        );
        assert!(relay.lied.load(Ordering::Relaxed) > lied, "{lie:?}");
        eventually("the server counts the lie", Duration::from_secs(10), || {
            scene.proofs(outcome).is_ok_and(|count| count > before)
        })?;
        println!("{lie:?}: refused as {outcome}; the session was absent after {took:?}");
        // Honest again: it is taken up where it was.
        relay.tell(Lie::Pass);
        eventually("presence is regained", Duration::from_secs(10), || {
            refusal(&browser).is_ok_and(|why| why.is_none())
        })?;
    }
    let rejected = scene.logged("presence.rejected")?;
    assert!(
        rejected
            .iter()
            .any(|entry| entry["data"]["reason"] == "challenge-mismatch")
            && rejected
                .iter()
                .any(|entry| entry["data"]["reason"] == "signature-invalid"),
        "{rejected:?}"
    );
    assert_eq!(scene.logged("presence.lost")?.len(), 4);
    assert_eq!(scene.logged("presence.regained")?.len(), 4);
    Ok(())
}
