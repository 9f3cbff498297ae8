//! The attacks that must fail (docs/threat-model.md). Each plays against a running house, leaves the people able to work (but for what the
//! attack rightly cost them), and returns the log entries that it left. Scenarios run each on a stage of its own; the demo plays them in a row.

mod begotten;
mod fatigue;
mod inside;
mod relay;

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    house::{create_account, pending},
    key::{Key, Model},
    process::eventually,
    stage::Stage,
    workstation::{PIN, Server, Workstation, answers},
};
use relay::Relay;

/// One attack: its number in docs/threat-model.md, what it is called in French and English, and its play.
pub struct Attack {
    /// The number.
    pub number: u8,
    /// What it is called: (French, English).
    pub name: (&'static str, &'static str),
    /// What became of it when the play returns without an error: (French, English).
    pub outcome: (&'static str, &'static str),
    /// The play.
    pub play: fn(&mut Stage) -> Result<Vec<Value>>,
}

/// All of them, in an order in which they can follow each other on one stage.
pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 3,
        name: (
            "50 demandes en une minute, pour lasser",
            "50 requests in a minute, to tire her out",
        ),
        outcome: (
            "une invite à la fois ; un seul non les finit toutes, puis la paix",
            "one prompt at a time; one no ends them all, then peace",
        ),
        play: fatigue::prompt_fatigue,
    },
    Attack {
        number: 1,
        name: (
            "session volée d’un gestionnaire",
            "stolen session of an account manager",
        ),
        outcome: ("refusée, session suspendue", "refused, session suspended"),
        play: stolen_session,
    },
    Attack {
        number: 2,
        name: (
            "mot de passe et code hameçonnés, sans clé",
            "phished password and code, no key",
        ),
        outcome: ("pas de session", "no session"),
        play: no_key,
    },
    Attack {
        number: 5,
        name: (
            "rejeu d’une signature ou d’un permis",
            "replayed signature or permit",
        ),
        outcome: (
            "refusé, même après redémarrage",
            "refused, also after a restart",
        ),
        play: replay,
    },
    Attack {
        number: 6,
        name: (
            "fausse clé : auto-attestée, expirée, inconnue, imitée",
            "false key: self-attested, expired, unknown, impostor",
        ),
        outcome: (
            "enrôlement refusé, raison dite",
            "enrolment refused, with the reason",
        ),
        play: false_key,
    },
    Attack {
        number: 7,
        name: (
            "session du support : enrôler sa clé pour la gestionnaire",
            "help desk's session: enrol his key for the manager",
        ),
        outcome: (
            "refusé : la clé de l’opératrice, et un administrateur",
            "refused: the operator's key, and an administrator",
        ),
        play: inside::enrolment_by_help_desk,
    },
    Attack {
        number: 8,
        name: (
            "clé retirée ou échangée en cours de geste",
            "key pulled or swapped in mid-ceremony",
        ),
        outcome: (
            "rien de signé, l’action attend",
            "nothing signed, the action waits",
        ),
        play: pulled_key,
    },
    Attack {
        number: 9,
        name: ("clé volée, PIN inconnu", "stolen key, PIN unknown"),
        outcome: ("clé verrouillée, serveur averti", "key locked, server told"),
        play: stolen_key,
    },
    Attack {
        number: 13,
        name: ("compte tout juste créé", "account created just now"),
        outcome: ("inerte", "inert"),
        play: new_account,
    },
    Attack {
        number: 11,
        name: (
            "initié seul, puis avec un complice qu’il a créé",
            "insider alone, then with an accomplice he made",
        ),
        outcome: (
            "ni soi-même, ni sa descendance ne comptent",
            "neither oneself nor one's descendants count",
        ),
        play: inside::insider_alone,
    },
    Attack {
        number: 12,
        name: (
            "lecture en masse de 1,6 million de dossiers",
            "1.6 million files read in bulk",
        ),
        outcome: (
            "50 lus ; à 50 par toucher : 32 000 touchers d’une clé que l’attaquant n’a pas",
            "50 read; at 50 a touch: 32,000 touches of a key that the attacker does not have",
        ),
        play: begotten::bulk_reading,
    },
    Attack {
        number: 14,
        name: (
            "gestionnaire détournée : qu’a-t-elle engendré ?",
            "hijacked manager: what did she beget?",
        ),
        outcome: (
            "un toucher suspend tout, sessions closes en une seconde ; deux pour défaire",
            "one touch suspends all of it, sessions end within a second; undoing takes two",
        ),
        play: begotten::lineage,
    },
    Attack {
        number: 22,
        name: (
            "la procédure d’urgence comme détour",
            "recovery as a way around",
        ),
        outcome: (
            "scellée, à trois clés, tous alertés, revue ensuite",
            "sealed, three keys, everyone alerted, reviewed after",
        ),
        play: inside::recovery,
    },
    Attack {
        number: 16,
        name: (
            "page web ou autre utilisateur parle à l’agent",
            "page or other user talks to the agent",
        ),
        outcome: ("refusé", "refused"),
        play: stranger,
    },
    Attack {
        number: 4,
        name: (
            "un relais montre une autre action",
            "a relay shows another action",
        ),
        outcome: ("signature invalide, signalée", "signature invalid, flagged"),
        play: swapped_action,
    },
    Attack {
        number: 10,
        name: ("clé clonée", "cloned key"),
        outcome: ("clé suspendue", "key suspended"),
        play: cloned_key,
    },
];

/// 1: a thief has the cookie jar of a signed-in account manager.
fn stolen_session(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, manager) = (&stage.house, &stage.people.manager);
    let browser = house.browser(manager)?;
    let before = house.executed()?;
    let thief = browser.stolen();
    let (answer, shown) = thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| create_account(&thief, "Mallory One"));
        let action = house.awaited(manager)?;
        let (_, shown) = manager.not_me(&action)?;
        Ok((joined(held)??, shown))
    })?;
    ensure!(
        shown.contains("Mallory One"),
        "the manager sees what somebody wants in her name:\n{shown}"
    );
    ensure!(
        answer.status == 403 && answer.json()["reason"] == "not-me",
        "{} {}",
        answer.status,
        answer.text
    );
    let again = create_account(&thief, "Mallory Two")?;
    ensure!(
        matches!(again.status, 401 | 403),
        "the session is suspended: {} {}",
        again.status,
        again.text
    );
    ensure!(house.executed()? == before, "nothing was created");
    Ok(vec![
        stage.logged(&["action.refused", "not-me"])?,
        stage.logged(&["session", "suspend"])?,
    ])
}

/// 2: password and one-time code of the application, but no key.
fn no_key(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, manager) = (&stage.house, &stage.people.manager);
    let before = house.executed()?;
    let thief = house.gate();
    let first = create_account(&thief, "Mallory One")?;
    ensure!(
        first.status == 401,
        "without a session: {} {}",
        first.status,
        first.text
    );
    let begun = thief.post("/.sceau/session", &json!({"person": "alice"}))?;
    ensure!(begun.status == 201, "{} {}", begun.status, begun.text);
    let second = create_account(&thief, "Mallory One")?;
    ensure!(
        second.status == 401,
        "a sign-in that no key sealed is none: {} {}",
        second.status,
        second.text
    );
    let action = house.awaited(manager)?;
    manager.not_me(&action)?;
    let state = thief.get("/.sceau/session")?;
    ensure!(state.json()["state"] != "active", "{}", state.text);
    ensure!(house.executed()? == before, "nothing reached the service");
    Ok(vec![stage.logged(&["action.refused", &action])?])
}

/// 4: a relay between agent and server shows something harmless.
fn swapped_action(stage: &mut Stage) -> Result<Vec<Value>> {
    let relay = Relay::start(crate::house::API, b"account.create", b"account.rename")?;
    let honest = stage.house.for_agents();
    stage.people.manager.restart_agent_at(&Server {
        url: relay.url(),
        ..honest.clone()
    })?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    ensure!(relay.swapped() > 0, "the relay did its work");
    ensure!(code != 0, "accepted:\n{shown}");
    ensure!(stage.state(&id)? == "pending", "the action still waits");
    stage.people.manager.restart_agent_at(&honest)?;
    Ok(vec![stage.logged(&["challenge-mismatch", &id])?])
}

/// 5: what was good once is offered again.
fn replay(stage: &mut Stage) -> Result<Vec<Value>> {
    let browser = stage.house.browser(&stage.people.manager)?;
    let held = create_account(
        &browser.stolen().with("Prefer", "respond-async"),
        "Held Once",
    )?;
    let named = held.json()["action_id"].as_str().map(str::to_owned);
    let named = named.with_context(|| format!("{} {}", held.status, held.text))?;
    let (code, shown) = stage.people.manager.approve(&named)?;
    ensure!(code == 0, "{shown}");
    let repeating = browser.stolen().with("Sceau-Action", &named);
    let first = create_account(&repeating, "Held Once")?;
    ensure!(first.status == 201, "{} {}", first.status, first.text);
    let executed = stage.house.executed()?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    ensure!(code == 0, "{shown}");
    let evidence = stage
        .house
        .service()
        .get(&format!("/v1/actions/{id}/evidence"))?
        .json();
    let approval = &evidence["approvals"][0];
    let again = json!({"key_id": approval["key"]["key_id"], "response": approval["response"]});
    ensure!(again["response"]["signature"].is_string(), "{approval}");
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
    ensure!(consume(stage)?["active"] == true, "the permit serves once");
    for restarted in [false, true] {
        if restarted {
            stage.house.kill_server();
            stage.house.start_server()?;
        }
        let alice = stage.house.person(&stage.people.manager)?;
        let same = alice.post(&format!("/v1/actions/{id}/approvals"), &again)?;
        ensure!(
            same.status == 409,
            "the same action: {} {}",
            same.status,
            same.text
        );
        let other = stage.asked()?;
        let elsewhere = alice.post(&format!("/v1/actions/{other}/approvals"), &again)?;
        ensure!(
            elsewhere.status == 422,
            "another action: {} {}",
            elsewhere.status,
            elsewhere.text
        );
        ensure!(
            stage.state(&other)? == "pending",
            "the other action still waits"
        );
        ensure!(
            consume(stage)? == json!({"active": false}),
            "the permit serves once"
        );
        let again = create_account(&repeating, "Held Once")?;
        ensure!(
            again.status == 409 && stage.house.executed()? == executed,
            "the held request: {} {}",
            again.status,
            again.text
        );
    }
    Ok(vec![stage.logged(&["challenge-mismatch"])?])
}

/// 6: keys whose attestation is none of a maker that the house trusts.
fn false_key(stage: &mut Stage) -> Result<Vec<Value>> {
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
    let imitated = &stage.models[0];
    let impostor = Model::make(
        &stage.path("impostor"),
        &imitated.name,
        &imitated.aaguid,
        &["--impostor-of", &imitated.folder.to_string_lossy()],
    )?;
    let mut entries = Vec::new();
    for (number, name, model) in [
        (10, "self", None),
        (11, "expired", Some(&expired)),
        (12, "unknown", Some(&unknown)),
        (13, "impostor", Some(&impostor)),
    ] {
        let person = format!("bob-{name}");
        let (house, operator, admin) = (&stage.house, &stage.people.operator, &stage.people.admin);
        let invitation = house.invite(
            operator,
            &[operator, admin],
            &person,
            "Bob Petit",
            &["manager"],
        )?;
        let mut workstation =
            Workstation::set_up(&stage.path(""), number, &person, model, &house.for_agents())?;
        workstation.start_agent()?;
        ensure!(
            workstation.enroll(&invitation).is_err(),
            "a key with {name} attestation was enrolled"
        );
        entries.push(stage.logged(&["enrolment.refused"])?);
    }
    Ok(entries)
}

/// 8: the key goes away while it blinks; another one is put in its place.
fn pulled_key(stage: &mut Stage) -> Result<Vec<Value>> {
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
        joined(approving)?
    })?;
    ensure!(code != 0, "{shown}");
    ensure!(
        shown.contains("removed") || shown.contains("retirée"),
        "a clear message:\n{shown}"
    );
    ensure!(stage.state(&id)? == "pending", "the action still waits");

    let other = Key::fido(
        &stage.path("other-key"),
        Some(&stage.models[1]),
        manager.port(),
    )?;
    other.insert()?;
    let (code, shown) = manager
        .sceau(&["approve", &id])?
        .answer_or_leave(&answers("y", PIN, "1"), Duration::from_secs(6))?;
    ensure!(code != 0, "{shown}");
    ensure!(
        other.touches_asked()? == 0,
        "the other key was never asked to sign:\n{shown}"
    );
    ensure!(stage.state(&id)? == "pending", "the action still waits");
    drop(other);

    manager.key.say("touch approve")?;
    manager.key.insert()?;
    let (code, shown) = manager.approve(&id)?;
    ensure!(code == 0, "her own key still works:\n{shown}");
    Ok(vec![stage.logged(&["action.approved", &id])?])
}

/// 9: a thief has the key and guesses.
fn stolen_key(stage: &mut Stage) -> Result<Vec<Value>> {
    let id = stage.asked()?;
    let manager = &mut stage.people.manager;
    let (code, shown) = manager.answer_action(&id, "y", "guess-1234")?;
    ensure!(code != 0, "{shown}");
    ensure!(
        ["locked", "blocked", "verrouillée", "bloquée"]
            .iter()
            .any(|word| shown.contains(word)),
        "it says that the key is locked:\n{shown}"
    );
    let guesses = shown.matches("Wrong PIN").count() + shown.matches("Code PIN faux").count();
    ensure!(
        guesses <= 3,
        "asked at most three times, never by itself:\n{shown}"
    );
    manager.key.remove()?;
    manager.key.insert()?;
    ensure!(stage.state(&id)? == "pending", "the action still waits");
    let (code, shown) = stage.people.manager.approve(&id)?;
    ensure!(code == 0, "its owner can still use it:\n{shown}");
    Ok(vec![stage.logged(&["alert.pin-blocked"])?])
}

/// 10: two keys with one memory.
fn cloned_key(stage: &mut Stage) -> Result<Vec<Value>> {
    let clone = stage.path("clone");
    fs::create_dir_all(&clone)?;
    stage.people.manager.key.remove()?;
    let copied = Command::new("cp")
        .arg("-a")
        .arg(stage.people.manager.file("key/flash"))
        .arg(clone.join("flash"))
        .status()?;
    ensure!(copied.success(), "the memory is copied");
    stage.people.manager.key.insert()?;
    // The counter goes up with silent pre-flights too: enough uses that the clone is behind for certain.
    for _ in 0..4 {
        let id = stage.asked()?;
        let (code, shown) = stage.people.manager.approve(&id)?;
        ensure!(code == 0, "{shown}");
    }
    stage.people.manager.key.remove()?;
    let cloned = Key::fido(&clone, Some(&stage.models[1]), stage.people.manager.port())?;
    cloned.insert()?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    ensure!(code != 0, "the clone approved:\n{shown}");
    drop(cloned);
    stage.people.manager.key.insert()?;
    let (code, shown) = stage
        .people
        .manager
        .sceau(&["approve", &id])?
        .answer_or_leave(&answers("y", PIN, "1"), Duration::from_secs(6))?;
    ensure!(code != 0, "the key is suspended, both of them:\n{shown}");
    ensure!(stage.state(&id)? == "pending", "the action still waits");
    Ok(vec![
        stage.logged(&["alert.cloned-key"])?,
        stage.logged(&["key.suspended"])?,
    ])
}

/// 13: an account that the hijacked account begot.
fn new_account(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, operator, admin) = (&stage.house, &stage.people.operator, &stage.people.admin);
    house.invite(
        operator,
        &[operator, admin],
        "mallory",
        "Mallory",
        &["manager"],
    )?;
    let before = house.executed()?;
    let agent = house.api().post(
        "/v1/sessions",
        &json!({"person": "mallory", "kind": "agent"}),
    )?;
    ensure!(
        agent.status >= 400 || agent.json()["state"] == "denied",
        "{} {}",
        agent.status,
        agent.text
    );
    let gate = house.gate();
    let begun = gate.post("/.sceau/session", &json!({"person": "mallory"}))?;
    ensure!(
        gate.get("/.sceau/session")?.json()["state"] != "active",
        "{}",
        begun.text
    );
    let create = create_account(&gate, "Mallory Two")?;
    ensure!(create.status == 401, "{} {}", create.status, create.text);
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "mallory", "target": {"kind": "account", "id": "x", "display": "X"}, "params": {}}),
    )?;
    ensure!(
        asked.json()["state"] == "denied",
        "{} {}",
        asked.status,
        asked.text
    );
    ensure!(house.executed()? == before, "nothing was created");
    let id = asked.json()["action"]["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    Ok(vec![stage.logged(&["action.denied", &id])?])
}

/// 16: another local user, and a page in the browser, talk to the agent.
fn stranger(stage: &mut Stage) -> Result<Vec<Value>> {
    let manager = &mut stage.people.manager;
    let socket = manager.file("runtime/sceau/agent.sock");
    let script = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect({:?}); s.sendall(b'{{\"op\":\"status\"}}\\n'); print(s.recv(999))",
        socket.to_string_lossy()
    );
    let nobody = || {
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "python3",
                "-c",
                &script,
            ])
            .output()
    };
    let shut = nobody()?;
    ensure!(
        !shut.status.success(),
        "another user reads: {}",
        String::from_utf8_lossy(&shut.stdout)
    );
    // Opened wide, so that what refuses is the check of the peer itself.
    for path in socket
        .ancestors()
        .take_while(|path| *path != std::path::Path::new("/tmp"))
    {
        fs::set_permissions(path, Permissions::from_mode(0o777))?;
    }
    let opened = nobody()?;
    ensure!(
        !String::from_utf8_lossy(&opened.stdout).contains("alice"),
        "peer credentials are checked: {}",
        String::from_utf8_lossy(&opened.stdout)
    );
    for path in socket
        .ancestors()
        .take_while(|path| *path != std::path::Path::new("/tmp"))
    {
        fs::set_permissions(
            path,
            Permissions::from_mode(if path == socket { 0o600 } else { 0o700 }),
        )?;
    }
    let pages = [
        "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
        "POST /approve HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{\"op\":\"status\"}\n",
    ];
    for page in pages {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(page.as_bytes())?;
        let mut answer = String::new();
        // Closed or silent: both are fine, an answer is not.
        let _ = stream.read_to_string(&mut answer);
        ensure!(
            !answer.contains("alice") && !answer.contains("\"done\""),
            "{answer}"
        );
    }
    ensure!(manager.agent().ended()?.is_none(), "the daemon lives on");
    eventually("the person is still served", Duration::from_secs(5), || {
        pending(manager).is_ok()
    })?;
    Ok(Vec::new())
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    handle
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of the play panicked"))
}
