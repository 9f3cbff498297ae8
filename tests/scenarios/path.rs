//! The main path: one privileged action, asked for, shown, sealed by a key, executed once, proven offline.

use std::{fs, path::Path, process::Command, thread};

use anyhow::Result;
use e2e::{house::create_account, place};
use serde_json::{Value, json};

use e2e::stage::Stage;

#[test]
fn a_touched_key_lets_one_account_be_created_and_an_auditor_can_check_it() -> Result<()> {
    let stage = Stage::set()?;
    let (house, manager) = (&stage.house, &stage.people.manager);
    let browser = house.browser(manager)?;
    let before = house.executed()?.len();

    let (answer, shown) = thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| create_account(&browser, "Jean Dupont"));
        let action = house.awaited(manager)?;
        let (code, shown) = manager.approve(&action)?;
        assert_eq!(code, 0, "{shown}");
        Ok((
            held.join().expect("the browser does not panic")?,
            (action, shown),
        ))
    })?;

    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(house.executed()?.len(), before + 1, "executed once");
    let (action, shown) = shown;
    assert!(
        shown.contains("Jean Dupont"),
        "the agent shows whom it is about:\n{shown}"
    );

    let state = house
        .service()
        .get(&format!("/v1/actions/{action}"))?
        .json();
    assert_eq!(state["state"], "executed", "{state}");
    let evidence = house
        .service()
        .get(&format!("/v1/actions/{action}/evidence"))?;
    assert_eq!(evidence.status, 200, "{}", evidence.text);
    let bundle = stage.path("evidence.json");
    fs::write(&bundle, &evidence.text)?;
    let (code, verdict) = verify_evidence(&stage, &bundle)?;
    assert_eq!(
        (code, &verdict["verdict"]),
        (0, &json!("accepted")),
        "{verdict}"
    );
    second_opinion(&stage, &bundle)?;
    by_hand(&stage, &bundle)
}

/// The checker that was written from docs/evidence.md alone.
fn second_opinion(stage: &Stage, bundle: &Path) -> Result<()> {
    let ready = Command::new("python3")
        .args(["-c", "import cryptography"])
        .output();
    if !ready.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: python3 with the package `cryptography` is not there");
        return Ok(());
    }
    let out = Command::new("python3")
        .arg(place::root().join("tests/peers/evidence_check.py"))
        .arg(bundle)
        .arg("--log-key")
        .arg(stage.house.file("log.vkey"))
        .output()?;
    assert!(out.status.success(), "{out:?}");
    Ok(())
}

/// The lines of docs/evidence.md, "By hand", as they stand there.
fn by_hand(stage: &Stage, bundle: &Path) -> Result<()> {
    for tool in ["bash", "jq", "openssl", "basenc"] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("SKIPPED: {tool} is not there");
            return Ok(());
        }
    }
    let page = fs::read_to_string(place::root().join("docs/evidence.md"))?;
    let lines = page.split("```sh\n").nth(1).expect("lines of shell");
    let lines = lines.split("```").next().expect("their end");
    let folder = stage.path("by-hand");
    fs::create_dir(&folder)?;
    fs::copy(bundle, folder.join("evidence.json"))?;
    fs::copy(stage.house.file("log.vkey"), folder.join("log.vkey"))?;
    let out = Command::new("bash")
        .args(["-c", lines])
        .current_dir(&folder)
        .output()?;
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    for word in [
        "challenge OK",
        "Verified OK",
        "entry OK",
        "Signature Verified Successfully",
        "inclusion OK",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    Ok(())
}

#[test]
fn a_service_without_gate_gets_a_permit_that_serves_once() -> Result<()> {
    let stage = Stage::set()?;
    let (house, manager) = (&stage.house, &stage.people.manager);
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
    )?;
    assert_eq!(
        (asked.status, &asked.json()["state"]),
        (201, &json!("pending")),
        "{}",
        asked.text
    );
    let id = asked.json()["action"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    house.awaited(manager)?;
    let (code, shown) = manager.approve(&id)?;
    assert_eq!(code, 0, "{shown}");

    let approved = house
        .service()
        .get(&format!("/v1/actions/{id}?wait=10"))?
        .json();
    assert_eq!(approved["state"], "approved", "{approved}");
    let permit = approved["permit"].as_str().expect("a permit").to_owned();
    let introspect = |consume: bool| -> Result<Value> {
        let form = format!("token={permit}&consume={consume}");
        let answer = house.service().send(
            "POST",
            "/v1/permits/introspect",
            &[],
            Some(("application/x-www-form-urlencoded", form.as_bytes())),
        )?;
        Ok(answer.json())
    };
    assert_eq!(introspect(false)?["active"], true);
    let used = introspect(true)?;
    assert_eq!(used["active"], true, "{used}");
    assert_eq!(used["amr"], json!(["pop", "hwk", "pin", "mfa"]), "{used}");
    assert_eq!(
        introspect(true)?,
        json!({"active": false}),
        "a permit serves once"
    );
    Ok(())
}

#[test]
fn any_changed_byte_of_the_evidence_that_matters_is_found() -> Result<()> {
    let stage = Stage::set()?;
    let (house, manager) = (&stage.house, &stage.people.manager);
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {}}),
    )?;
    let id = asked.json()["action"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    house.awaited(manager)?;
    manager.approve(&id)?;
    let evidence = house
        .service()
        .get(&format!("/v1/actions/{id}/evidence"))?
        .json();
    let bundle = stage.path("evidence.json");

    fs::write(&bundle, evidence.to_string())?;
    let (code, verdict) = verify_evidence(&stage, &bundle)?;
    assert_eq!(code, 0, "unchanged, it is accepted: {verdict}");
    let mut strings = Vec::new();
    leaves(&evidence, &mut Vec::new(), &mut strings);
    let long: Vec<_> = strings
        .iter()
        .filter(|(_, text)| text.len() >= 43)
        .collect();
    assert!(
        long.len() >= 8,
        "digests, signatures and documents: {}",
        long.len()
    );
    let mut unnoticed = Vec::new();
    for (path, text) in long {
        let mut changed = evidence.clone();
        let middle = text.len() / 2;
        let other = if text.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        let forged = format!("{}{other}{}", &text[..middle], &text[middle + 1..]);
        *path.iter().fold(&mut changed, |value, step| match step {
            Step::Member(name) => &mut value[name.as_str()],
            Step::Item(index) => &mut value[*index],
        }) = Value::String(forged);
        fs::write(&bundle, changed.to_string())?;
        let (code, _) = verify_evidence(&stage, &bundle)?;
        if code == 0 {
            unnoticed.push(format!("{path:?}"));
        }
    }
    assert!(
        unnoticed.is_empty(),
        "changes that nobody noticed: {unnoticed:#?}"
    );
    Ok(())
}

#[derive(Debug, Clone)]
enum Step {
    Member(String),
    Item(usize),
}

fn leaves(value: &Value, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, String)>) {
    match value {
        Value::String(text) if text.is_ascii() => found.push((path.clone(), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Item(index));
                leaves(item, path, found);
                path.pop();
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(Step::Member(name.clone()));
                leaves(member, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// `sceau-verify evidence` on a file, with the house's log key and the makers' roots.
pub(crate) fn verify_evidence(stage: &Stage, bundle: &std::path::Path) -> Result<(i32, Value)> {
    let out = Command::new(place::bin("sceau-verify"))
        .args(["evidence"])
        .arg(bundle)
        .arg("--log-key")
        .arg(fs::read_to_string(stage.house.file("log.vkey"))?.trim())
        .arg("--roots")
        .arg(stage.house.file("anchors"))
        .output()?;
    let verdict = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|_| json!({"stderr": String::from_utf8_lossy(&out.stderr)}));
    Ok((out.status.code().unwrap_or(-1), verdict))
}
