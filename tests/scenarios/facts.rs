//! What expires: training recorded by a seal, and a recertification from its opening to its report, while the house is open.

use std::process::Command;

use anyhow::{Result, ensure};
use e2e::{
    place,
    stage::Stage,
    workstation::{PIN, Workstation, answers},
};
use serde_json::{Value, json};

/// `sceau-server facts …` on the store of the running house.
fn facts(stage: &Stage, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let out = Command::new(place::bin("sceau-server"))
        .arg("facts")
        .args(arguments)
        .arg("--config")
        .arg(stage.house.config())
        .output()?;
    let said = [out.stdout, out.stderr].concat();
    Ok((out.status.code(), String::from_utf8(said)?))
}

#[test]
fn a_manager_is_recertified_by_two_seals_and_the_report_says_so() -> Result<()> {
    let stage = Stage::set()?;
    let (house, operator, admin) = (&stage.house, &stage.people.operator, &stage.people.admin);
    let (code, said) = facts(&stage, &["recertify", "--role", "manager", "--days", "30"])?;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = facts(&stage, &["campaigns"])?;
    assert!(code == Some(1) && said.contains("alice\topen"), "{said}");

    // The operator records it; of a privileged person an administrator seals it too.
    let record = |who: &Workstation, words: &[&str]| -> Result<String> {
        let (code, shown) = who
            .sceau(&[&["record", "alice"], words].concat())?
            .answer(&answers("y", PIN, "1"))?;
        ensure!(code == 0, "{shown}");
        Ok(shown)
    };
    let shown = record(operator, &["role:manager", "--until", "2031-05-31"])?;
    assert!(
        shown.contains("pending"),
        "one seal is not enough:\n{shown}"
    );
    let action = house.awaited(admin)?;
    let (code, shown) = admin.approve(&action)?;
    assert!(code == 0 && shown.contains("role:manager"), "{shown}");
    let (code, said) = facts(&stage, &["campaigns", "--json"])?;
    let campaigns: Value = serde_json::from_str(&said)?;
    assert_eq!(
        (
            code,
            &campaigns[0]["holders"][0]["fate"],
            &campaigns[0]["holders"][0]["action"]
        ),
        (Some(0), &json!("kept"), &json!(action)),
        "{said}"
    );

    // The same over the API, and what came of it.
    let his = house.person(operator)?;
    let training =
        json!({"facts": [{"person": "alice", "fact": "training", "until": "2031-05-31"}]});
    let asked = his.post("/v1/facts", &training)?;
    assert_eq!(
        (asked.status, &asked.json()["state"]),
        (201, &json!("pending")),
        "{}",
        asked.text
    );
    let known = his.get("/v1/persons/alice/facts")?.json();
    assert_eq!(
        known["facts"],
        json!([{"fact": "role:manager", "until": "2031-06-01T00:00:00Z", "holds": true}])
    );
    let told = his.get("/v1/recertifications")?.json();
    assert_eq!(told[0]["holders"][0]["fate"], "kept", "{told}");
    let stranger = house.person(&stage.people.manager)?;
    assert_eq!(stranger.get("/v1/recertifications")?.status, 404);
    assert_eq!(stranger.get("/v1/persons/odile/facts")?.status, 404);
    stage.logged(&["recertification.opened", "manager"])?;
    stage.logged(&["fact.recorded", "role:manager", "sealed"])?;
    Ok(())
}
