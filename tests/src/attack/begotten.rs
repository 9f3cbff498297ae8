//! What the hijacked account begot, and what it read: attacks 12 and 14.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::joined;
use crate::{
    house::{create_account, pending},
    process::eventually,
    stage::Stage,
    workstation::{PIN, answers},
};

/// Files that one touch opens (`tests/portal.toml`).
const SLICE: usize = 50;

/// 12: a thief with a manager's session reads file after file.
pub(super) fn bulk_reading(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, manager) = (&stage.house, &stage.people.manager);
    let thief = house.browser(manager)?.stolen();
    let page = |number: usize| thief.get(&format!("/files?per={SLICE}&page={number}"));
    let first = page(0)?;
    ensure!(first.status == 200, "{} {}", first.status, first.text);
    let mut read = first.json()["files"].as_array().map_or(0, Vec::len);
    ensure!(read == SLICE, "her sign-in opened {SLICE}: {read}");
    ensure!(page(0)?.status == 200, "what was shown may be shown again");
    let all = thief.get("/files?per=10000&page=0")?;
    ensure!(
        all.status == 403 && all.json()["budget"] == "more-than-a-touch-opens",
        "all at once: {} {}",
        all.status,
        all.text
    );
    // What earlier attacks left waits still.
    let waiting = pending(manager)?;
    let (answer, action) = thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| page(1));
        let action = house.awaited_beside(manager, &waiting)?;
        let (_, shown) = manager.not_me(&action)?;
        ensure!(shown.contains("50"), "the prompt says how many:\n{shown}");
        Ok((joined(held)??, action))
    })?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.text);
    read += answer.json()["files"].as_array().map_or(0, Vec::len);
    ensure!(page(0)?.status == 403, "the session died of it");
    ensure!(read == SLICE, "{read} files were read");
    Ok(vec![
        stage.logged(&["reading.refused"])?,
        stage.logged(&["reading.slice"])?,
        stage.logged(&["action.refused", &action])?,
    ])
}

/// 14: the hijacked manager is discovered; one touch stops her and all that she begot.
pub(super) fn lineage(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, manager, admin) = (&stage.house, &stage.people.manager, &stage.people.admin);
    // Coerced, she sealed two accounts: they exist at the service, and can log in there.
    let hijacked = house.browser(manager)?;
    for name in ["Mallory Three", "Mallory Four"] {
        let waiting = pending(manager)?;
        let answer = thread::scope(|scope| -> Result<_> {
            let held = scope.spawn(|| create_account(&hijacked, name));
            let action = house.awaited_beside(manager, &waiting)?;
            let (code, shown) = manager.approve(&action)?;
            ensure!(code == 0, "{shown}");
            joined(held)?
        })?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.text);
    }
    let begotten = house.gate();
    let login = begotten.send(
        "POST",
        "/login",
        &[],
        Some((
            "application/x-www-form-urlencoded",
            b"email=mallory.three%40ml.example&password=",
        )),
    )?;
    ensure!(login.status < 400, "{} {}", login.status, login.text);
    ensure!(begotten.get("/accounts")?.status == 200, "it reads");
    let left_open = stage.asked()?;

    let (code, shown) = admin
        .sceau(&["suspend", "alice", "--cascade"])?
        .answer(&answers("y", PIN, "1"))?;
    let suspended = Instant::now();
    ensure!(code == 0, "{shown}");
    ensure!(
        shown.matches("account/portal/").count() >= 2 && shown.contains("Mallory Four"),
        "the preview shows the tree:\n{shown}"
    );
    let stolen = hijacked.get("/accounts")?;
    ensure!(
        stolen.status == 403,
        "her session: {} {}",
        stolen.status,
        stolen.text
    );
    let account = begotten.get("/accounts")?;
    ensure!(
        account.status == 403 && account.json()["code"] == "account-suspended",
        "the account that she made: {} {}",
        account.status,
        account.text
    );
    ensure!(
        suspended.elapsed() < Duration::from_secs(1),
        "within a second: {:?}",
        suspended.elapsed()
    );
    ensure!(stage.state(&left_open)? == "refused", "what waited is over");
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "x", "display": "X"}, "params": {}}),
    )?;
    ensure!(asked.json()["state"] == "denied", "{}", asked.text);

    // Undo takes two.
    let (code, shown) = admin
        .sceau(&["restore", "alice", "--subtree"])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0 && shown.contains("pending"), "{shown}");
    let still = hijacked.get("/accounts")?;
    ensure!(still.status == 403, "one is not enough: {}", still.status);
    let second = &stage.people.second;
    let action = house.awaited(second)?;
    let (code, shown) = second.approve(&action)?;
    ensure!(code == 0, "{shown}");
    ensure!(begotten.get("/accounts")?.status == 200, "it is back");
    let (code, shown) = manager
        .sceau(&["sign-in"])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0, "she signs in anew:\n{shown}");
    eventually("she is served again", Duration::from_secs(10), || {
        crate::house::pending(manager).is_ok()
    })?;
    Ok(vec![
        stage.logged(&["person.suspended"])?,
        stage.logged(&["lineage.created"])?,
        stage
            .logged(&["person.restored"])
            .context("two brought her back")?,
    ])
}
