//! USB keys on a real bus: the guest's kernel, its udev with our rules, hidraw nodes that come and go. Run by `cargo xtask guest` (one boot).

mod browser;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::House,
    key::{Key, Model},
    place, stage,
    terminal::Terminal,
    workstation::{PIN, Server, User, Workstation, answers},
};
use rustix::fs::{XattrFlags, setxattr};
use serde_json::{Value, json};

/// A person without rights, and one more.
const SEATED: u32 = 61_001;
const ELSEWHERE: u32 = 61_002;
/// The group of `71-sceau-daemon.rules`.
const GROUP: u32 = 61_100;
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`. Looking costs the emulated processor more than what is waited for, so it is done seldom.
fn awaited(what: &str, mut holds: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !holds() {
        ensure!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(begun.elapsed())
}

/// Whether there is a bus. Keys of the scenario before are pulled: a killed key leaves its gadget plugged in.
fn with_empty_bus() -> Result<bool> {
    if !place::in_guest() {
        return Ok(false);
    }
    for gadget in fs::read_dir("/sys/kernel/config/usb_gadget")?.flatten() {
        // A gadget that is bound to nothing says so by an error.
        let _ = fs::write(gadget.path().join("UDC"), "\n");
    }
    awaited("the bus is empty", || {
        fs::read_dir("/sys/class/hidraw").is_ok_and(|nodes| nodes.count() == 0)
    })?;
    Ok(true)
}

/// A folder of the scenario's own, and two makers' models. Founding makers costs the emulated processor seconds: it is done once in a boot.
fn makers() -> Result<(tempfile::TempDir, &'static [Model; 2])> {
    static MADE: OnceLock<(tempfile::TempDir, [Model; 2])> = OnceLock::new();
    let made = match MADE.get() {
        Some(made) => made,
        None => {
            let made = stage::makers()?;
            MADE.get_or_init(|| made)
        }
    };
    let folder = tempfile::Builder::new()
        .prefix("sceau-")
        .tempdir_in("/tmp")?;
    Ok((folder, &made.1))
}

fn nowhere() -> Server {
    Server {
        url: "http://127.0.0.1:9".to_owned(),
        rp_id: "sceau.example".to_owned(),
    }
}

/// A workstation whose server cannot be reached.
fn alone(folder: &Path, person: &str, model: &Model, controller: u8) -> Result<Workstation> {
    let key = usb_key(folder, person, model, controller)?;
    Workstation::with_usb(folder, person, key, &nowhere())
}

fn usb_key(folder: &Path, person: &str, model: &Model, controller: u8) -> Result<Key> {
    let serial = format!("S{controller}");
    Key::usb(
        &folder.join(format!("{person}-key")),
        Some(model),
        controller,
        &serial,
        &[],
    )
}

fn keys(workstation: &Workstation) -> Result<Vec<Value>> {
    let listed = workstation.ask("keys")?;
    Ok(listed["keys"].as_array().cloned().unwrap_or_default())
}

fn in_state(workstation: &Workstation, state: &str) -> usize {
    let keys = keys(workstation).unwrap_or_default();
    keys.iter().filter(|key| key["state"] == state).count()
}

fn await_ready(workstation: &Workstation, count: usize) -> Result<Duration> {
    awaited(&format!("{count} keys are ready"), || {
        in_state(workstation, "ready") == count
    })
    .with_context(|| workstation.agent_log())
}

/// A variable that makes a run longer than CI's.
fn rounds(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn two_models_are_enrolled_and_seal_over_usb_and_a_pulled_key_signs_nothing() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut house = House::found(folder.path(), &[&models[0], &models[1]])?;
    let at = |person: &str, controller: u8| -> Result<Workstation> {
        let key = usb_key(
            folder.path(),
            person,
            &models[usize::from(controller)],
            controller,
        )?;
        let mut workstation =
            Workstation::with_usb(folder.path(), person, key, &house.for_agents())?;
        workstation.start_agent()?;
        workstation.key.insert()?;
        Ok(workstation)
    };
    let admin = at("admin-1", 0)?;
    let second = at("admin-2", 1)?;
    for workstation in [&admin, &second] {
        await_ready(workstation, 2)?;
    }

    // Both keys are plugged in, and both agents see both: the touched one is enrolled.
    second.key.say("touch never")?;
    let shown = admin
        .enroll(&house.first_invitation(1)?)
        .with_context(|| admin.agent_log())?;
    ensure!(shown.contains("touch the one to enrol"), "{shown}");
    ensure!(enrolled(&admin)? == "S0", "the touched key, not the other");
    second.key.say("touch approve")?;
    admin.key.say("touch never")?;
    second.enroll(&house.first_invitation(2)?)?;
    ensure!(enrolled(&second)? == "S1", "the touched key, not the other");
    admin.key.say("touch approve")?;

    // Each seals with the key that holds the credential, found in silence.
    let invitation = house.invite(
        &admin,
        &[&admin, &second],
        "odile",
        "Odile Petit",
        &["operator"],
    )?;

    pulled_during_touch(&house, &admin)?;
    cancelled_during_touch(&house, &admin)?;
    beside_libfido2(&folder.path().join("libfido2"), &admin)?;
    admin.key.remove()?;
    second.key.remove()?;
    old_key(&mut house, folder.path(), &models[0], &invitation)
}

/// A key that speaks U2F alone: by default refused for what it lacks before anyone touches it; where the model policy takes such keys it is
/// enrolled, and seals what a touch may seal, and nothing else.
fn old_key(house: &mut House, folder: &Path, model: &Model, invitation: &Path) -> Result<()> {
    let key = Key::usb(
        &folder.join("old-key"),
        Some(model),
        0,
        "S0",
        &["--u2f-only"],
    )?;
    let mut odile = Workstation::with_usb(folder, "odile", key, &house.for_agents())?;
    odile.start_agent()?;
    odile.key.insert()?;
    await_ready(&odile, 1)?;
    let touches = odile.key.touches_asked()?;
    let (code, shown) = odile
        .sceau(&["enroll", "--invitation-file", &invitation.to_string_lossy()])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(
        code == 1 && shown.contains("cannot verify its user"),
        "{code}\n{shown}"
    );
    ensure!(
        odile.key.touches_asked()? == touches,
        "nobody was asked to touch it"
    );

    house.kill_server();
    fs::write(house.file("models.toml"), TOUCH_MODELS)?;
    fs::write(house.file("policy/touch.cedarschema"), TOUCH_SCHEMA)?;
    fs::write(house.file("policy/touch.cedar"), TOUCH_POLICY)?;
    house
        .environment
        .push(("SCEAU_ATTESTATION__MODELS", "models.toml"));
    house.start_server()?;
    odile
        .enroll(invitation)
        .with_context(|| odile.agent_log())?;
    ensure!(enrolled(&odile)? == "S0", "by U2F");
    let asked_by_touch = house.service().post(
        "/v1/actions",
        &json!({"type": "file.read", "requester": "odile", "params": {},
            "target": {"kind": "file", "id": "17", "display": "File 17"}}),
    )?;
    let action = asked_by_touch.json()["action"]["id"]
        .as_str()
        .with_context(|| asked_by_touch.text.clone())?
        .to_owned();
    let (code, shown) = odile.approve(&action)?;
    ensure!(code == 0 && !shown.contains("PIN of"), "{code}\n{shown}");
    ensure!(state(house, &odile, &action)? == "approved");

    let by_pin = asked(house, &odile, "by-pin")?;
    let touches = odile.key.touches_asked()?;
    let (code, shown) = odile.approve(&by_pin)?;
    ensure!(
        code == 1 && odile.key.touches_asked()? == touches,
        "{code}\n{shown}"
    );
    ensure!(state(house, &odile, &by_pin)? == "pending");
    Ok(())
}

/// The built-in model policy, but that keys need not verify their user.
const TOUCH_MODELS: &str = r#"
version = 1
[everyone]
attestation = ["basic", "attca"]
formats = ["packed", "fido-u2f"]
algorithms = [-7, -8]
user_verification = "optional"
backup_eligible = "refused"
weak_signatures = "refused"
trust = "required"
key_protection = []
minimum_certification = "none"
retired = "existing"
metadata_grace_days = 30
"#;

/// What a touch alone may seal.
const TOUCH_SCHEMA: &str = r#"
action "file.read" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
"#;
const TOUCH_POLICY: &str = r#"
@id("read-file")
@verification("touch")
permit (principal, action == Action::"file.read", resource);
"#;

/// The serial number of the one key that the agent knows to be enrolled; it knows once the server has greeted the new session.
fn enrolled(workstation: &Workstation) -> Result<String> {
    let mut found = Vec::new();
    awaited("one key is known to be enrolled", || {
        found = keys(workstation).unwrap_or_default();
        found.retain(|key| !key["enrolled"].is_null());
        found.len() == 1
    })
    .with_context(|| format!("{found:?}"))?;
    Ok(found[0]["serial"].as_str().unwrap_or_default().to_owned())
}

fn asked(house: &House, person: &Workstation, id: &str) -> Result<String> {
    let asked = house.person(person)?.post(
        "/v1/enrolments",
        &json!({"person": {"id": id, "display": id, "roles": ["operator"]}}),
    )?;
    ensure!(asked.status == 201, "{} {}", asked.status, asked.text);
    asked.json()["action"]["id"]
        .as_str()
        .map(str::to_owned)
        .context("an action with an id")
}

fn state(house: &House, person: &Workstation, action: &str) -> Result<String> {
    let found = house
        .person(person)?
        .get(&format!("/v1/actions/{action}"))?;
    Ok(found.json()["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// The person wants to seal the action, and is told to touch the key, which waits.
fn blinking(person: &Workstation, action: &str) -> Result<Terminal> {
    person.key.say("touch never")?;
    let mut terminal = person.sceau(&["approve", action])?;
    for (question, answer) in &answers("y", PIN, "1")[..] {
        if question.contains("Seal this") || question.contains("PIN of") {
            terminal.read_pattern(question)?;
            terminal.type_line(answer)?;
        }
    }
    terminal.read("Touch the key")?;
    Ok(terminal)
}

/// Attack 8 on USB: pulled while it blinks.
fn pulled_during_touch(house: &House, person: &Workstation) -> Result<()> {
    let action = asked(house, person, "pulled")?;
    let terminal = blinking(person, &action)?;
    person.key.remove()?;
    let (code, shown) = terminal.end()?;
    ensure!(
        code == 3 && shown.contains("the action stays pending"),
        "{code}\n{shown}"
    );
    ensure!(state(house, person, &action)? == "pending");
    person.key.say("touch approve")?;
    person.key.insert()?;
    await_ready(person, 2)?;
    let (code, shown) = person.approve(&action)?;
    ensure!(code == 0, "{code}\n{shown}");
    Ok(())
}

fn cancelled_during_touch(house: &House, person: &Workstation) -> Result<()> {
    let action = asked(house, person, "cancelled")?;
    let mut terminal = blinking(person, &action)?;
    terminal.leave()?;
    let took = awaited("the key stops blinking", || {
        person
            .key
            .say("status")
            .is_ok_and(|status| status["ports"]["usb"]["pending"] == false)
    })?;
    println!(
        "Ctrl-C to a key that blinks no more: {} ms (emulated processor)",
        took.as_millis()
    );
    ensure!(took < Duration::from_secs(1), "{took:?}");
    ensure!(state(house, person, &action)? == "pending");
    person.key.say("touch approve")?;
    Ok(())
}

/// libfido2's own tool on the same key at the same time: both get every answer.
fn beside_libfido2(folder: &Path, person: &Workstation) -> Result<()> {
    fs::create_dir_all(folder)?;
    let node = node_of("S0")?;
    let tool = |program: &str, arguments: &[&str]| -> Result<String> {
        let mut child = Command::new("setsid")
            .args(["-w", program])
            .args(arguments)
            .arg(&node)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{PIN}")?;
        }
        let out = child.wait_with_output()?;
        ensure!(
            out.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8(out.stdout)?)
    };
    let hash = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
    fs::write(
        folder.join("cred"),
        format!("{hash}\nother.example\nalice\nMTIzNA==\n"),
    )?;
    tool("fido2-cred", &["-M", "-v", "-i", "cred", "-o", "made"])?;
    let made = fs::read_to_string(folder.join("made"))?;
    let credential = made.lines().nth(4).context("a credential id")?.to_owned();
    fs::write(
        folder.join("assert"),
        format!("{hash}\nother.example\n{credential}\n"),
    )?;
    let rounds = rounds("SCEAU_LIBFIDO2_ROUNDS", 5);
    thread::scope(|scope| -> Result<()> {
        let theirs = scope.spawn(|| -> Result<()> {
            for round in 0..rounds {
                tool(
                    "fido2-assert",
                    &["-G", "-v", "-i", "assert", "-o", "signed"],
                )
                .with_context(|| format!("round {round} of libfido2"))?;
            }
            Ok(())
        });
        for round in 0..rounds {
            let keys = keys(person)?;
            let own = keys.iter().find(|key| key["serial"] == "S0");
            let own = own.context("the key is listed")?;
            ensure!(
                own["pin_retries"] == 8 && !own["enrolled"].is_null(),
                "round {round} of the agent: {own}"
            );
        }
        theirs.join().expect("the tool's thread does not panic")
    })?;
    println!("{rounds} rounds of libfido2 and of the agent at the same time on one key");
    Ok(())
}

/// The hidraw node of the key that bears this serial number.
fn node_of(serial: &str) -> Result<String> {
    for entry in fs::read_dir("/sys/class/hidraw")?.flatten() {
        let told = fs::read_to_string(entry.path().join("device/uevent")).unwrap_or_default();
        if told
            .lines()
            .any(|line| line == format!("HID_UNIQ={serial}"))
        {
            return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    anyhow::bail!("no node of {serial}")
}

#[test]
fn replugging_leaves_nothing_behind_and_a_plugged_key_is_ready_within_a_second() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut workstation = alone(folder.path(), "alice", &models[0], 0)?;
    workstation.start_agent()?;
    let pid = workstation.agent().pid();
    let replug = |workstation: &Workstation| -> Result<()> {
        workstation.key.insert()?;
        await_ready(workstation, 1)?;
        workstation.key.remove()?;
        awaited("the key is gone", || {
            keys(workstation).is_ok_and(|keys| keys.is_empty())
        })
        .with_context(|| workstation.agent_log())?;
        Ok(())
    };
    // The first one also reads the program's pages from the disk.
    replug(&workstation)?;
    let before = Held::settled(pid)?;
    let rounds = rounds("SCEAU_REPLUGS", 10);
    for _ in 0..rounds {
        replug(&workstation)?;
    }
    let after = Held::settled(pid)?;
    ensure!(
        after.descriptors <= before.descriptors && after.threads <= before.threads,
        "descriptors or threads: {before:?} {after:?}"
    );
    ensure!(
        after.resident <= before.resident + 512,
        "memory: {before:?} {after:?}"
    );
    let log = workstation.agent().printed();
    let mut took: Vec<u64> = log
        .lines()
        .filter(|line| line.contains("authenticator ready"))
        .skip(1)
        .filter_map(|line| line.split_once("ms=")?.1.split(' ').next()?.parse().ok())
        .collect();
    took.sort_unstable();
    println!(
        "{rounds} replugs: {before:?} → {after:?}; udev's event to ready, ms: {took:?} (emulated processor)"
    );
    // A machine too busy to see a key within two seconds makes the harness plug it in again.
    ensure!(took.len() >= rounds, "{log}");
    ensure!(took.iter().all(|ms| *ms < 1000), "{took:?}");
    ensure!(
        workstation.agent().ended()?.is_none(),
        "the same daemon all along"
    );
    Ok(())
}

/// What a process holds; memory in KiB.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    resident: u64,
}

impl Held {
    /// Once descriptors and threads have stayed as they are for longer than a node is kept open.
    fn settled(pid: u32) -> Result<Self> {
        let (mut held, mut same) = (Self::by(pid)?, 0);
        for _ in 0..30 {
            std::thread::sleep(std::time::Duration::from_secs(1));
            let now = Self::by(pid)?;
            let still = now.descriptors == held.descriptors && now.threads == held.threads;
            (held, same) = (now, if still { same + 1 } else { 0 });
            if same == 4 {
                return Ok(held);
            }
        }
        Ok(held)
    }

    /// Resident by a walk over its pages: `VmRSS` in `status` counts per thread and late (proc(5)), up to a MiB away from the truth when a thread ends.
    fn by(pid: u32) -> Result<Self> {
        let pages = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let resident = pages
            .lines()
            .find_map(|line| {
                line.strip_prefix("Rss:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .context("a resident size")?;
        Ok(Self {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            resident,
        })
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program).args(arguments).output()?;
    ensure!(
        out.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn install_rules(names: &[&str]) -> Result<()> {
    for entry in fs::read_dir("/etc/udev/rules.d")?.flatten() {
        if entry.file_name().to_string_lossy().contains("sceau") {
            fs::remove_file(entry.path())?;
        }
    }
    for name in names {
        fs::copy(
            place::root().join("udev").join(name),
            Path::new("/etc/udev/rules.d").join(name),
        )?;
    }
    run("udevadm", &["control", "--reload"]).map(drop)
}

fn await_refused(workstation: &Workstation) -> Result<Value> {
    let mut found = Value::Null;
    awaited("the key is refused", || {
        let keys = keys(workstation).unwrap_or_default();
        found = keys.into_iter().next().unwrap_or_default();
        found["reason"] == "access-denied"
    })
    .with_context(|| found.to_string())?;
    Ok(found)
}

#[test]
fn without_a_rule_the_agent_names_the_fix_and_with_it_the_key_is_for_one_user() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    run("chmod", &["755", &folder.path().to_string_lossy()])?;
    let user = |id, group| User { id, group };
    let mut seated = alone(folder.path(), "seated", &models[0], 0)?.of(user(SEATED, None))?;
    install_rules(&[])?;
    seated.key.insert()?;
    seated.start_agent()?;
    let refused = await_refused(&seated)?;
    ensure!(
        refused["message"]
            .as_str()
            .unwrap_or_default()
            .contains("70-sceau.rules"),
        "{refused}"
    );
    let shown = seated.command("sceau").arg("status").output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.contains("udev rules"), "{shown}");

    // Our rules: the seat's tag is on the node. What logind does for the tag, an entry in the access list, is done by hand.
    install_rules(&["70-sceau.rules"])?;
    run(
        "udevadm",
        &["trigger", "--settle", "--subsystem-match=hidraw"],
    )?;
    let node = node_of("S0")?;
    let told = run("udevadm", &["info", &node])?;
    for line in [
        "E: ID_SECURITY_TOKEN=1",
        "SYSTEMD_USER_WANTS=sceau-agent.service",
    ] {
        ensure!(told.contains(line), "{told}");
    }
    ensure!(told.contains(":uaccess:"), "{told}");
    sound_rules(&node)?;
    grant(&node, SEATED)?;
    await_ready(&seated, 1)?;

    // Another user is refused, and the seated one too when the seat is another's.
    let other = usb_key(folder.path(), "elsewhere", &models[1], 1)?;
    let mut elsewhere = Workstation::with_usb(folder.path(), "elsewhere", other, &nowhere())?
        .of(user(ELSEWHERE, None))?;
    elsewhere.start_agent()?;
    await_refused(&elsewhere)?;
    grant(&node, ELSEWHERE)?;
    await_ready(&elsewhere, 1)?;
    await_refused(&seated)?;
    drop(elsewhere);

    // The agent as a system user: its group may open keys, without a seat. The key that this user was given a moment ago is gone.
    drop(seated);
    with_empty_bus()?;
    // The group first: udevd reads a rule once, and a group that was not there then stays unknown until the file changes.
    let groups = fs::read_to_string("/etc/group")?;
    fs::write("/etc/group", format!("{groups}sceau:x:{GROUP}:\n"))?;
    install_rules(&["70-sceau.rules", "71-sceau-daemon.rules"])?;
    let key = usb_key(folder.path(), "daemon", &models[1], 1)?;
    let mut daemon = Workstation::with_usb(folder.path(), "daemon", key, &nowhere())?
        .of(user(ELSEWHERE, Some(GROUP)))?;
    daemon.start_agent()?;
    daemon.key.insert()?;
    await_ready(&daemon, 1)?;
    sound_rules(&node_of("S1")?)?;
    install_rules(&["70-sceau.rules"])
}

/// udev finds nothing wrong with our files.
fn sound_rules(node: &str) -> Result<()> {
    let class = node.replace("/dev", "/sys/class/hidraw");
    let out = Command::new("udevadm").args(["test", &class]).output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        said.contains("70-sceau.rules"),
        "our rules are not read:\n{said}"
    );
    let wrong: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("-sceau"))
        .filter(|line| {
            ["nvalid", "nknown", "gnoring", "ailed"]
                .iter()
                .any(|word| line.contains(word))
        })
        .collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

/// Gives a node to one user and nobody else by its access list, as logind does: `system.posix_acl_access`, version 2 (linux/posix_acl_xattr.h).
fn grant(node: &str, user: u32) -> Result<()> {
    const NOBODY: u32 = u32::MAX;
    let entries = [
        (0x01, 6, NOBODY),
        (0x02, 6, user),
        (0x04, 0, NOBODY),
        (0x10, 6, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, whose) in entries {
        let (tag, permissions): (u16, u16) = (tag, permissions);
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(whose.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    Ok(setxattr(node, name, &list, XattrFlags::empty())?)
}

#[test]
fn hostile_keys_end_within_their_deadline_and_the_next_honest_key_works() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut workstation = alone(folder.path(), "alice", &models[0], 0)?;
    let hostile = usb_key(folder.path(), "mallory", &models[1], 1)?;
    workstation.start_agent()?;
    workstation.key.insert()?;
    await_ready(&workstation, 1)?;
    let pid = workstation.agent().pid();
    let before = Held::by(pid)?;
    let modes: &[&str] = if std::env::var_os("SCEAU_ALL_MODES").is_some() {
        &ALL_MODES
    } else {
        // Each of them is in agent/tests/usb.rs, without a bus.
        &["mute", "endless-keep-alive", "unplug"]
    };
    for mode in modes {
        hostile.say(&format!("misbehave {mode}"))?;
        // A key that pulls itself may be gone before it was seen.
        let plugged = hostile.say("insert 10000");
        ensure!(plugged.is_ok() || *mode == "unplug", "{mode}: {plugged:?}");
        let begun = Instant::now();
        awaited(mode, || {
            let keys = keys(&workstation).unwrap_or_default();
            let is = |serial: &str, state: &str| {
                keys.iter()
                    .any(|key| key["serial"] == serial && key["state"] == state)
            };
            // A key that pulls itself is seen for a moment only.
            is("S0", "ready") && (is("S1", "unusable") || *mode == "unplug")
        })
        .with_context(|| workstation.agent_log())?;
        println!("{mode}: settled after {} ms", begun.elapsed().as_millis());
        hostile.say("misbehave none")?;
        hostile.remove()?;
        ensure!(
            workstation.agent().ended()?.is_none(),
            "{mode}: the daemon ended"
        );
    }
    hostile.insert()?;
    await_ready(&workstation, 2)?;
    let after = Held::by(pid)?;
    ensure!(
        after.resident < before.resident + 16 * 1024,
        "{before:?} {after:?}"
    );
    Ok(())
}

/// Those of `vkey misbehave` that break the protocol.
const ALL_MODES: [&str; 18] = [
    "wrong-nonce",
    "wrong-channel",
    "wrong-sequence",
    "endless-keep-alive",
    "huge-length",
    "unknown-error",
    "error-zero",
    "busy",
    "mute",
    "silent",
    "half",
    "truncated-cbor",
    "huge-map",
    "huge-bytes",
    "deep-cbor",
    "empty-success",
    "noise",
    "unplug",
];

#[test]
fn a_key_on_usb_and_on_a_reader_at_once_is_one() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let reader = 35_963;
    let also = reader.to_string();
    let key = Key::usb(
        &folder.path().join("key"),
        Some(&models[0]),
        0,
        "S0",
        &["--also-nfc", &also],
    )?;
    let mut workstation = Workstation::with_usb(folder.path(), "alice", key, &nowhere())?;
    workstation.bring_reader(reader)?;
    workstation.start_agent()?;
    workstation.key.insert()?;
    awaited("one key, seen twice", || {
        let keys = keys(&workstation).unwrap_or_default();
        let ready: Vec<_> = keys.iter().filter(|key| key["state"] == "ready").collect();
        let same: Vec<_> = keys.iter().filter(|key| key["state"] == "same").collect();
        ready.len() == 1
            && ready[0]["transport"] == "usb"
            && same.len() == 1
            && same[0]["transport"] == "pcsc"
            && same[0]["same_as"] == ready[0]["id"]
    })
    .with_context(|| workstation.agent_log())?;
    Ok(())
}

#[test]
fn a_key_is_administered_in_a_child_process_and_a_broken_one_ends_it_alone() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut workstation = alone(folder.path(), "alice", &models[0], 0)?;
    workstation.start_agent()?;
    workstation.key.insert()?;
    await_ready(&workstation, 1)?;
    let at_terminal = |arguments: &[&str], typed: &[(&str, &str)]| {
        workstation
            .sceau(&[&["keys"], arguments].concat())?
            .answer(typed)
    };
    let info = || -> Result<Value> {
        let out = workstation
            .command("sceau")
            .args(["keys", "info", "--json"])
            .output()?;
        ensure!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(serde_json::from_slice(&out.stdout)?)
    };
    ensure!(info()?["aaguid"] == models[0].aaguid.replace('-', ""));

    let new = |pin| [(r"New PIN: $", pin), (r"The same once more: $", pin)];
    let (code, shown) = at_terminal(&["pin", "set"], &new("first-4711"))?;
    ensure!(code == 0 && shown.contains("PIN set."), "{code}\n{shown}");
    ensure!(!shown.contains("4711"), "a PIN was shown: {shown}");
    let changing = |old| {
        let [one, two] = new("second-4711");
        at_terminal(
            &["pin", "change"],
            &[(r"PIN of the key [^\n]*: $", old), one, two],
        )
    };
    let (code, shown) = changing("wrong-4711")?;
    ensure!(code == 1 && shown.contains("Wrong PIN"), "{code}\n{shown}");
    ensure!(info()?["pin_retries"] == 7, "a wrong PIN costs a try");
    let (code, shown) = changing("first-4711")?;
    ensure!(
        code == 0 && shown.contains("PIN changed."),
        "{code}\n{shown}"
    );
    let (code, shown) = at_terminal(
        &["credentials", "--json"],
        &[(r"PIN of the key [^\n]*: $", "second-4711")],
    )?;
    ensure!(
        code == 0 && shown.contains("\"credentials\":[]"),
        "{code}\n{shown}"
    );

    // Keys that freeze or lie: the child ends, the command says so, the daemon does not notice.
    for mode in ["silent", "truncated-cbor"] {
        workstation.key.say(&format!("misbehave {mode}"))?;
        let begun = Instant::now();
        let out = workstation
            .command("sceau")
            .args(["keys", "info"])
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(
            out.status.code() == Some(3),
            "{mode}: {:?} {said}",
            out.status
        );
        ensure!(
            begun.elapsed() < Duration::from_secs(15),
            "{mode}: {:?}",
            begun.elapsed()
        );
        println!("{mode}: {}", said.trim());
        workstation.key.say("misbehave none")?;
    }

    let out = workstation
        .command("sceau")
        .args(["keys", "reset"])
        .output()?;
    ensure!(
        out.status.code() == Some(2),
        "without the word: {:?}",
        out.status
    );
    let (code, shown) = at_terminal(
        &["reset", "--really-reset"],
        &[(r"To go on, type [^\n]*: $", "S1")],
    )?;
    ensure!(code == 1, "another serial number: {code}\n{shown}");
    let mut terminal = workstation.sceau(&["keys", "reset", "--really-reset"])?;
    terminal.read("To go on, type")?;
    terminal.type_line("S0")?;
    terminal.read("Take the key out")?;
    workstation.key.remove()?;
    workstation.key.insert()?;
    let (code, shown) = terminal.end()?;
    ensure!(
        code == 0 && shown.contains("The key is empty."),
        "{code}\n{shown}"
    );
    ensure!(info()?["options"]["clientPin"] == false, "the PIN is gone");
    ensure!(
        workstation.agent().ended()?.is_none(),
        "the same daemon all along"
    );
    Ok(())
}
