//! The attacks that must fail (docs/threat-model.md), each against the running house, each ending with the log entry that it left.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use e2e::{
    house::{API, create_account, pending},
    key::{Key, Model},
    process::eventually,
    workstation::{PIN, Server, Workstation},
};
use serde_json::{Value, json};

use crate::Stage;

impl Stage {
    /// Asks for the story's action as the sample service would; returns its id once the manager's agent has it.
    fn asked(&self) -> Result<String> {
        let asked = self.house.service().post(
            "/v1/actions",
            &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
        )?;
        assert_eq!(asked.status, 201, "{}", asked.text);
        let id = asked.json()["action"]["id"]
            .as_str()
            .context("an id")?
            .to_owned();
        eventually("the agent has the action", Duration::from_secs(10), || {
            pending(&self.people.manager).is_ok_and(|ids| ids.contains(&id))
        })?;
        Ok(id)
    }

    fn state(&self, action: &str) -> Result<String> {
        Ok(self
            .house
            .service()
            .get(&format!("/v1/actions/{action}"))?
            .json()["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// The newest log entry whose text contains every one of these words.
    fn logged(&self, words: &[&str]) -> Result<Value> {
        let entries = self.house.entries()?;
        let found = entries
            .iter()
            .rev()
            .find(|entry| words.iter().all(|word| entry.to_string().contains(word)));
        found.cloned().with_context(|| {
            format!(
                "no entry with {words:?} among\n{}",
                entries
                    .iter()
                    .map(|entry| format!("  {entry}\n"))
                    .collect::<String>()
            )
        })
    }
}

#[test]
fn attack_01_a_stolen_session_cookie_creates_nothing_and_dies_of_it() -> Result<()> {
    let stage = Stage::set()?;
    let (house, manager) = (&stage.house, &stage.people.manager);
    let browser = house.browser(manager)?;
    let before = house.executed()?;
    let thief = browser.stolen();
    let (answer, shown) = thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| create_account(&thief, "Mallory One"));
        let action = house.awaited(manager)?;
        let (_, shown) = manager.not_me(&action)?;
        Ok((held.join().expect("no panic")?, shown))
    })?;
    assert!(
        shown.contains("Mallory One"),
        "the manager sees what somebody wants in her name:\n{shown}"
    );
    assert!(answer.status >= 400, "{} {}", answer.status, answer.text);
    assert_eq!(house.executed()?, before, "nothing was created");
    let again = create_account(&thief, "Mallory Two")?;
    assert!(
        matches!(again.status, 401 | 403),
        "the session is suspended: {} {}",
        again.status,
        again.text
    );
    assert_eq!(house.executed()?, before);
    println!("log: {}", stage.logged(&["not-me"])?);
    println!("log: {}", stage.logged(&["session", "suspend"])?);
    Ok(())
}

#[test]
fn attack_02_password_and_one_time_code_without_the_key_open_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let (house, manager) = (&stage.house, &stage.people.manager);
    let before = house.executed()?;
    let thief = house.gate();
    let create = create_account(&thief, "Mallory One")?;
    assert_eq!(create.status, 401, "{}", create.text);
    let begun = thief.post("/.sceau/session", &json!({"person": "alice"}))?;
    assert_eq!(begun.status, 201, "{}", begun.text);
    let create = create_account(&thief, "Mallory One")?;
    assert_eq!(
        create.status, 401,
        "a sign-in that no key sealed is none: {}",
        create.text
    );
    let action = house.awaited(manager)?;
    manager.not_me(&action)?;
    let state = thief.get("/.sceau/session")?;
    assert_ne!(state.json()["state"], "active", "{}", state.text);
    assert_eq!(house.executed()?, before, "nothing reached the service");
    println!("log: {}", stage.logged(&["action.refused", &action])?);
    Ok(())
}

#[test]
fn attack_04_a_relay_that_shows_another_action_gets_a_signature_that_does_not_verify() -> Result<()>
{
    let stage = Stage::set()?;
    let relay = Relay::start(b"account.create", b"account.rename")?;
    let house = &stage.house;
    let manager = &stage.people.manager;
    manager.point_at(&Server {
        url: relay.url(),
        ..house.for_agents()
    })?;
    let mut stage_manager = stage.people.manager;
    stage_manager.start_agent()?;
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {}}),
    )?;
    let id = asked.json()["action"]["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    eventually(
        "the agent has what the relay shows",
        Duration::from_secs(10),
        || pending(&stage_manager).is_ok_and(|ids| ids.contains(&id)),
    )?;
    let (code, shown) = stage_manager.approve(&id)?;
    assert!(relay.swapped() > 0, "the relay did its work");
    assert_eq!(code, 1, "{shown}");
    let state = house.service().get(&format!("/v1/actions/{id}"))?.json();
    assert_eq!(state["state"], "pending", "{state}");
    let entries = house.entries()?;
    let flagged = entries
        .iter()
        .rev()
        .find(|entry| entry.to_string().contains("challenge-mismatch"))
        .context("an entry that says why")?;
    println!("log: {flagged}");
    Ok(())
}

#[test]
fn attack_05_replays_are_refused_also_after_a_restart() -> Result<()> {
    let mut stage = Stage::set()?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    assert_eq!(code, 0, "{shown}");
    let evidence = stage
        .house
        .service()
        .get(&format!("/v1/actions/{id}/evidence"))?
        .json();
    let approval = &evidence["approvals"][0];
    let replay = json!({"key_id": approval["key"]["key_id"], "response": approval["assertion"]});
    assert!(replay["response"]["signature"].is_string(), "{approval}");
    let permit = stage
        .house
        .service()
        .get(&format!("/v1/actions/{id}"))?
        .json()["permit"]
        .as_str()
        .context("a permit")?
        .to_owned();
    let consume = |stage: &Stage| -> Result<Value> {
        let form = format!("token={permit}&consume=true");
        Ok(stage
            .house
            .service()
            .send(
                "POST",
                "/v1/permits/introspect",
                &[],
                Some(("application/x-www-form-urlencoded", form.as_bytes())),
            )?
            .json())
    };
    assert_eq!(consume(&stage)?["active"], true);
    for restarted in [false, true] {
        if restarted {
            stage.house.kill_server();
            stage.house.start_server()?;
        }
        let alice = stage.house.person(&stage.people.manager)?;
        let same = alice.post(&format!("/v1/actions/{id}/approvals"), &replay)?;
        assert_eq!(same.status, 409, "{}", same.text);
        let other = stage.asked()?;
        let elsewhere = alice.post(&format!("/v1/actions/{other}/approvals"), &replay)?;
        assert_eq!(elsewhere.status, 422, "{}", elsewhere.text);
        assert_eq!(stage.state(&other)?, "pending");
        assert_eq!(consume(&stage)?, json!({"active": false}));
    }
    println!("log: {}", stage.logged(&["challenge-mismatch"])?);
    Ok(())
}

#[test]
fn attack_06_keys_that_are_not_genuine_hardware_are_not_enrolled() -> Result<()> {
    let stage = Stage::set()?;
    let (house, operator, admin) = (&stage.house, &stage.people.operator, &stage.people.admin);
    let expired = Model::make(
        &stage.path("expired"),
        "Old",
        "5cea0000-0000-4000-8000-00000000000c",
        &["--expired"],
    )?;
    let unknown = Model::make(
        &stage.path("unknown"),
        "Unknown",
        "5cea0000-0000-4000-8000-00000000000d",
        &[],
    )?;
    let impostor = Model::make(
        &stage.path("impostor"),
        "Sceau Test Model A",
        &stage.models[0].aaguid,
        &["--impostor-of", &stage.models[0].folder.to_string_lossy()],
    )?;
    let cases: [(&str, Option<&Model>); 4] = [
        ("self", None),
        ("expired", Some(&expired)),
        ("unknown", Some(&unknown)),
        ("impostor", Some(&impostor)),
    ];
    for (number, (name, model)) in (10..).zip(cases) {
        let invitation = house.invite(
            operator,
            &[operator, admin],
            &format!("bob-{name}"),
            "Bob Petit",
            &["manager"],
        )?;
        let mut workstation = Workstation::set_up(
            stage.folder.path(),
            number,
            &format!("bob-{name}"),
            model,
            &house.for_agents(),
        )?;
        workstation.start_agent()?;
        let refused = workstation
            .enroll(&invitation)
            .err()
            .with_context(|| format!("a key with {name} attestation was enrolled"))?;
        println!(
            "{name}: {}",
            refused.to_string().lines().last().unwrap_or_default()
        );
        println!(
            "log: {}",
            stage.logged(&["refused", &format!("bob-{name}")])?
        );
    }
    Ok(())
}

#[test]
fn attack_08_a_key_pulled_or_swapped_signs_nothing_for_another() -> Result<()> {
    let mut stage = Stage::set()?;
    let id = stage.asked()?;
    let manager = &stage.people.manager;
    let asked_before = manager.key.touches_asked()?;
    manager.key.say("touch never")?;
    let (code, shown) = thread::scope(|scope| -> Result<_> {
        let approving = scope.spawn(|| manager.approve(&id));
        manager
            .key
            .say(&format!("wait requests {} 20000", asked_before + 1))?;
        manager.key.remove()?;
        approving.join().expect("no panic")
    })?;
    assert_ne!(code, 0, "{shown}");
    assert!(
        shown.contains("removed") || shown.contains("gone") || shown.contains("pulled"),
        "a clear message:\n{shown}"
    );
    assert_eq!(stage.state(&id)?, "pending");

    let other = Key::fido(
        &stage.path("other-key"),
        Some(&stage.models[1]),
        stage.people.manager.port(),
    )?;
    other.insert()?;
    let (code, shown) = stage
        .people
        .manager
        .sceau(&["approve", &id])?
        .answer_or_leave(
            &e2e::workstation::answers("y", PIN, "1"),
            Duration::from_secs(8),
        )?;
    assert_ne!(code, 0, "{shown}");
    assert_eq!(
        other.touches_asked()?,
        0,
        "the other key was never asked to sign"
    );
    assert_eq!(stage.state(&id)?, "pending", "the action still waits");
    other.remove()?;

    stage.people.manager.key.say("touch approve")?;
    stage.people.manager.key.insert()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    assert_eq!(code, 0, "her own key still works:\n{shown}");
    stage.house.kill_server();
    Ok(())
}

#[test]
fn attack_09_a_stolen_key_without_its_pin_locks_and_the_server_knows() -> Result<()> {
    let stage = Stage::set()?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.answer_action(&id, "y", "guess-1234")?;
    assert_ne!(code, 0, "{shown}");
    assert!(
        shown.contains("locked") || shown.contains("blocked"),
        "it says that the key is locked:\n{shown}"
    );
    assert_eq!(
        shown.matches("Wrong PIN").count(),
        2,
        "asked three times, by a person, never by itself:\n{shown}"
    );
    assert_eq!(stage.state(&id)?, "pending");
    println!("log: {}", stage.logged(&["pin"])?);
    Ok(())
}

#[test]
fn attack_10_a_cloned_key_suspends_itself() -> Result<()> {
    let mut stage = Stage::set()?;
    let manager = &mut stage.people.manager;
    manager.key.remove()?;
    let clone = stage.folder.path().join("clone");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(manager.file("key/flash"))
        .arg(stage.folder.path().join("clone-flash"))
        .status()?;
    assert!(copied.success());
    manager.key.insert()?;
    for _ in 0..3 {
        let id = stage.asked()?;
        let (code, shown) = stage.people.manager.approve(&id)?;
        assert_eq!(code, 0, "{shown}");
    }
    stage.people.manager.key.remove()?;
    std::fs::create_dir_all(&clone)?;
    std::fs::rename(stage.folder.path().join("clone-flash"), clone.join("flash"))?;
    let cloned = Key::fido(&clone, Some(&stage.models[1]), stage.people.manager.port())?;
    cloned.insert()?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    assert_ne!(code, 0, "{shown}");
    println!("log: {}", stage.logged(&["sign-count-regression"])?);
    println!("log: {}", stage.logged(&["key", "suspend"])?);
    cloned.remove()?;
    stage.people.manager.key.insert()?;
    let (code, shown) = stage.people.manager.answer_action(&id, "y", PIN)?;
    assert_ne!(code, 0, "the key is suspended, both of them:\n{shown}");
    assert_eq!(stage.state(&id)?, "pending");
    Ok(())
}

#[test]
fn attack_13_an_account_created_just_now_is_inert() -> Result<()> {
    let stage = Stage::set()?;
    let (house, operator, admin) = (&stage.house, &stage.people.operator, &stage.people.admin);
    house.invite(
        operator,
        &[operator, admin],
        "mallory",
        "Mallory",
        &["manager"],
    )?;
    let before = house.executed()?;
    let api = house.api().post(
        "/v1/sessions",
        &json!({"person": "mallory", "kind": "agent"}),
    )?;
    assert!(
        api.status >= 400 || api.json()["state"] == "denied",
        "{} {}",
        api.status,
        api.text
    );
    let gate = house.gate();
    let signed_in = gate.post("/.sceau/session", &json!({"person": "mallory"}))?;
    assert_ne!(
        gate.get("/.sceau/session")?.json()["state"],
        "active",
        "{}",
        signed_in.text
    );
    assert_eq!(create_account(&gate, "Mallory Two")?.status, 401);
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "mallory", "target": {"kind": "account", "id": "x", "display": "X"}, "params": {}}),
    )?;
    assert_eq!(asked.json()["state"], "denied", "{}", asked.text);
    assert_eq!(house.executed()?, before);
    println!("log: {}", stage.logged(&["action.denied", "mallory"])?);
    Ok(())
}

#[test]
fn attack_16_neither_pages_nor_other_users_can_talk_to_the_agent() -> Result<()> {
    let mut stage = Stage::set()?;
    let socket = stage.people.manager.file("runtime/sceau/agent.sock");
    for path in [
        stage.folder.path().to_owned(),
        stage.people.manager.file(""),
        stage.people.manager.file("runtime"),
        stage.people.manager.file("runtime/sceau"),
    ] {
        // The folders are opened wide: what refuses must be the socket itself.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode)?;
    }
    let script = format!(
        "import socket; s=socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect({:?}); s.sendall(b'{{\"op\":\"status\"}}\\n'); print(s.recv(999))",
        socket.to_string_lossy()
    );
    let nobody = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "python3",
            "-c",
            &script,
        ])
        .output()?;
    assert!(
        !nobody.status.success(),
        "another user reads: {}",
        String::from_utf8_lossy(&nobody.stdout)
    );
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let opened = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "python3",
            "-c",
            &script,
        ])
        .output()?;
    assert!(
        !String::from_utf8_lossy(&opened.stdout).contains("alice"),
        "peer credentials are checked beside the mode: {}",
        String::from_utf8_lossy(&opened.stdout)
    );

    for line in [
        "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
        "POST /approve HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"op\":\"status\"}\n",
    ] {
        let mut page = UnixStream::connect(&socket)?;
        page.set_read_timeout(Some(Duration::from_secs(3)))?;
        page.write_all(line.as_bytes())?;
        let mut answer = String::new();
        let _ = page.read_to_string(&mut answer);
        assert!(
            !answer.contains("alice") && !answer.contains("\"done\""),
            "{answer}"
        );
    }
    assert!(
        stage.people.manager.agent().ended()?.is_none(),
        "the daemon lives on"
    );
    assert!(pending(&stage.people.manager).is_ok());
    Ok(())
}

/// A relay between agent and server that swaps one word for another of the same length in what the server says.
struct Relay {
    address: std::net::SocketAddr,
    swapped: Arc<AtomicU64>,
}

impl Relay {
    fn start(from: &'static [u8], to: &'static [u8]) -> Result<Self> {
        assert_eq!(from.len(), to.len());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let swapped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&swapped);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(API) else {
                    continue;
                };
                let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone())
                else {
                    continue;
                };
                thread::spawn(move || pump(from_client, to_server, |_| {}));
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    pump(server, client, |bytes| {
                        while let Some(at) =
                            bytes.windows(from.len()).position(|window| window == from)
                        {
                            bytes[at..at + from.len()].copy_from_slice(to);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
            }
        });
        Ok(Self { address, swapped })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn swapped(&self) -> u64 {
        self.swapped.load(Ordering::Relaxed)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
