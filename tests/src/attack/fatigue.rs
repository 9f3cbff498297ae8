//! Prompt fatigue: attack 3, under the limits that are shipped.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    house::{STORY_LIMITS, create_account, pending},
    process::eventually,
    stage::Stage,
};

/// Requests of the flood.
const FLOOD: usize = 50;
/// Actions that wait at one time, as shipped (`[limit] pending`).
const PENDING: usize = 5;

/// 3: whoever has her session, or only her name, hopes that she touches in order to be left in peace.
pub(super) fn prompt_fatigue(stage: &mut Stage) -> Result<Vec<Value>> {
    let usual = stage
        .house
        .reconfigure(|text| text.replace(STORY_LIMITS, ""))?;
    let entries = flood(stage)?;
    stage.house.reconfigure(|_| usual)?;
    Ok(entries)
}

fn flood(stage: &Stage) -> Result<Vec<Value>> {
    let (house, manager) = (&stage.house, &stage.people.manager);
    let before = house.executed()?;
    let thief = house
        .browser(manager)?
        .stolen()
        .with("Prefer", "respond-async");
    let mut prompts = manager.sceau(&["wait"])?;
    let mut limited = 0;
    for number in 0..FLOOD {
        let answer = create_account(&thief, &format!("Mallory {number}"))?;
        match answer.status {
            401 => {}
            429 => {
                ensure!(
                    answer.header("retry-after").is_some(),
                    "it says when to try again: {}",
                    answer.text
                );
                limited += 1;
            }
            _ => anyhow::bail!("{} {}", answer.status, answer.text),
        }
    }
    ensure!(limited == FLOOD - PENDING, "{limited} were limited");
    eventually(
        "what waits is before the manager",
        Duration::from_secs(10),
        || pending(manager).is_ok_and(|waiting| waiting.len() == PENDING),
    )?;

    // One prompt at a time; and one no is enough for all that the session asked for.
    let question = r"(Seal this action|Sceller cette action.{1,3})\?? [^\n]*: $";
    let (shown, _) = prompts.read_pattern(question)?;
    ensure!(
        shown.matches("account.create").count() <= 1 && shown.matches("Mallory ").count() >= 1,
        "one action at a time:\n{shown}"
    );
    let more = prompts.listen(Duration::from_millis(500));
    ensure!(
        !more.contains("Mallory"),
        "nothing else is shown before that is answered:\n{more}"
    );
    prompts.type_line("n")?;
    prompts.read_pattern(r"(Why|Pourquoi.{1,3})\?? [^\n]*: $")?;
    prompts.type_line("1")?;
    eventually("she is left in peace", Duration::from_secs(10), || {
        pending(manager).is_ok_and(|waiting| waiting.is_empty())
    })?;
    prompts.leave()?;
    prompts.end()?;
    let again = create_account(&thief, "Mallory Again")?;
    ensure!(
        again.status == 403 && again.json()["code"] == "session-suspended",
        "{} {}",
        again.status,
        again.text
    );

    // Refused so often, nothing more is put before her for a minute, whoever asks.
    let asked = house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "x", "display": "X"}, "params": {}}),
    )?;
    ensure!(
        asked.status == 429 && asked.header("retry-after").is_some(),
        "{} {}",
        asked.status,
        asked.text
    );

    // Who knows only her name floods her with sign-ins.
    let mut sign_ins = Vec::new();
    for _ in 0..FLOOD {
        let begun = house
            .gate()
            .post("/.sceau/session", &json!({"person": "alice"}))?;
        match begun.status {
            201 => sign_ins.push(
                begun.json()["action_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            429 => {}
            _ => anyhow::bail!("{} {}", begun.status, begun.text),
        }
    }
    ensure!(
        (1..=PENDING).contains(&sign_ins.len()),
        "{} sign-ins were put before her",
        sign_ins.len()
    );
    for id in &sign_ins {
        let refused = manager
            .command("sceau")
            .args(["refuse", id, "--reason", "not-me"])
            .output()?;
        ensure!(
            refused.status.success(),
            "{}",
            String::from_utf8_lossy(&refused.stderr)
        );
    }
    ensure!(house.executed()? == before, "nothing was created");
    Ok(vec![
        stage.logged(&["alert.limited", "too-many-pending"])?,
        stage.logged(&["action.refused", "session-suspended"])?,
        stage.logged(&["alert.refused", "not-me"])?,
    ])
}
