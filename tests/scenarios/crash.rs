//! Power cuts at any moment of an approval: never executed twice, nothing acknowledged is lost, no approval without its log entry.

use std::{
    collections::BTreeMap,
    env,
    process::Command,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{create_account, pending},
    place,
    process::eventually,
    stage::Stage,
};

/// How often the power is cut; `SCEAU_POWER_CUTS` asks for more.
fn cuts() -> u32 {
    env::var("SCEAU_POWER_CUTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200)
}

#[test]
fn a_power_cut_at_any_moment_neither_loses_nor_repeats() -> Result<()> {
    let mut stage = Stage::set()?;
    // Two hundred requests in a few minutes are what the test is for, not what its person is worn out with.
    stage.house.environment = vec![
        ("SCEAU_LIMIT__ASKED", "100000"),
        ("SCEAU_LIMIT__PENDING", "100000"),
        ("SCEAU_LIMIT__REFUSED", "100000"),
    ];
    stage.house.kill_server();
    stage.house.start_server()?;
    let browser = stage.house.browser(&stage.people.manager)?;
    let mut seed = 0x5ce4_u64;
    let mut acknowledged = Vec::new();
    let begun = Instant::now();
    for cut in 0..cuts() {
        let name = format!("Cut {cut}");
        let of_the_agent = random(&mut seed).is_multiple_of(4);
        // What earlier cuts left waiting is not this request's.
        let left = pending(&stage.people.manager).unwrap_or_default();
        let moment = Duration::from_micros(random(&mut seed) % 900_000);
        // The browser's request ends with the server, or is let go: its thread is not waited for before the restart.
        let done = thread::scope(|scope| -> Result<bool> {
            let held = scope.spawn(|| create_account(&browser, &name));
            let cutting = Instant::now() + moment;
            let person = &stage.people.manager;
            let left = &left;
            let sealing = scope.spawn(move || -> Option<String> {
                let id = loop {
                    if let Some(id) = pending(person)
                        .ok()?
                        .into_iter()
                        .find(|id| !left.contains(id))
                    {
                        break id;
                    }
                    if Instant::now() > cutting + Duration::from_secs(1) {
                        return None;
                    }
                    sleep(Duration::from_millis(5));
                };
                person.approve(&id).ok().map(|_| id)
            });
            sleep(cutting.saturating_duration_since(Instant::now()));
            if of_the_agent {
                power_cut(person.agent_pid().context("a running agent")?)?;
            } else {
                power_cut(stage.house.server_pid().context("a running server")?)?;
            }
            if of_the_agent {
                // Without an agent nobody will answer: the client goes away, as a person would.
                power_cut(stage.house.server_pid().context("a running server")?)?;
            }
            drop(sealing.join());
            let answer = held
                .join()
                .map_err(|_| anyhow::anyhow!("the browser panicked"))?;
            Ok(answer.is_ok_and(|answer| answer.status == 201))
        })?;
        if done {
            acknowledged.push(name);
        }
        stage.house.kill_server();
        stage
            .house
            .start_server()
            .with_context(|| format!("after cut {cut}"))?;
        if of_the_agent {
            stage.people.manager.start_agent()?;
        }
    }
    println!(
        "{} power cuts in {:.0} s; {} requests had been answered before",
        cuts(),
        begun.elapsed().as_secs_f32(),
        acknowledged.len()
    );
    judge(&stage, &acknowledged)
}

/// What must hold afterwards, whatever the moments were.
fn judge(stage: &Stage, acknowledged: &[String]) -> Result<()> {
    let mut executed = BTreeMap::<String, u32>::new();
    for what in stage.house.executed()? {
        *executed.entry(what).or_default() += 1;
    }
    let twice: Vec<_> = executed
        .iter()
        .filter(|(what, times)| what.contains(" cut.") && **times > 1)
        .collect();
    ensure!(twice.is_empty(), "executed twice: {twice:?}");
    for name in acknowledged {
        let address = format!("{}@", name.to_lowercase().replace(' ', "."));
        ensure!(
            executed.keys().any(|what| what.contains(&address)),
            "{name} was acknowledged and is not there: {executed:?}"
        );
    }
    let entries = stage.house.entries()?;
    let of_kind = |kind: &str| -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry["type"] == kind) {
            *found
                .entry(
                    entry["subjects"]["action"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                )
                .or_default() += 1;
        }
        found
    };
    let (approved, consumed) = (of_kind("action.approved"), of_kind("permit.consumed"));
    let mut actions = 0;
    for (action, times) in &consumed {
        ensure!(*times == 1, "{action} was consumed {times} times");
        ensure!(
            approved.contains_key(action),
            "{action} was consumed without an approval in the log"
        );
    }
    for action in of_kind("action.requested").keys() {
        let state = stage.state(action)?;
        actions += usize::from(!state.is_empty());
        if matches!(state.as_str(), "approved" | "executed" | "consumed") {
            ensure!(
                approved.contains_key(action),
                "{action} is {state} without an approval in the log"
            );
        }
    }
    let created = executed
        .keys()
        .filter(|what| what.contains(" cut."))
        .count();
    ensure!(
        created <= consumed.len(),
        "{created} executions for {} consumed permits",
        consumed.len()
    );
    println!(
        "{actions} actions, {} approved, {} consumed, {created} executed",
        approved.len(),
        consumed.len()
    );
    let mirror = stage.path("log");
    stage.house.mirror_log(&mirror)?;
    let log = Command::new(place::bin("sceau-verify"))
        .arg("log")
        .arg(&mirror)
        .args([
            "--log-key",
            std::fs::read_to_string(stage.house.file("log.vkey"))?.trim(),
        ])
        .output()?;
    ensure!(
        log.status.success(),
        "the log is not consistent: {}{}",
        String::from_utf8_lossy(&log.stdout),
        String::from_utf8_lossy(&log.stderr)
    );
    eventually(
        "the person's agent works after all of it",
        Duration::from_secs(20),
        || pending(&stage.people.manager).is_ok(),
    )?;
    Ok(())
}

fn power_cut(pid: u32) -> Result<()> {
    // Already gone is fine: another cut was quicker.
    Command::new("kill")
        .args(["-9", &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status()?;
    Ok(())
}

/// xorshift64: moments that are the same in every run.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
