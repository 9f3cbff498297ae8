//! Somebody with a role: main and spare key in one run over a list, which an administrator seals too; the main one breaks and the spare one goes on
//! sealing; a key is replaced while it works; and a key that is lost while its replacement waits is revoked first.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{
    house::pending,
    process::eventually,
    stage::Stage,
    workstation::{PIN, answers},
};
use serde_json::{Value, json};

use super::Desk;

/// Whom all of it is about.
const MIA: &str = "mia";

impl Desk<'_> {
    /// The administrator seals what waits for them, so many enrolments.
    fn administrator_seals(&self, count: usize) -> Result<()> {
        let admin = &self.stage.people.admin;
        eventually(
            "the requests await the administrator",
            Duration::from_secs(10),
            || pending(admin).is_ok_and(|ids| ids.len() == count),
        )?;
        for id in pending(admin)? {
            let (code, shown) = admin.approve(&id)?;
            ensure!(code == 0 && shown.contains("Mia Roux"), "{shown}");
        }
        Ok(())
    }

    /// What the desk is told of Mia's keys; the operator asks.
    fn of_mia(&self) -> Result<Vec<Value>> {
        self.operator_again()?;
        let operator = self.stage.house.person(self.operator())?;
        let held = operator.get(&format!("/v1/persons/{MIA}/keys"))?.json();
        held["keys"]
            .as_array()
            .cloned()
            .with_context(|| held.to_string())
    }

    /// Puts one of the box's keys into the reader, alone.
    pub(super) fn put(&self, number: usize) -> Result<()> {
        self.clear()?;
        self.keys[number].insert()?;
        self.there().map(drop)
    }

    /// Mia signs in with that key.
    fn mia_signs_in(&self, number: usize) -> Result<()> {
        self.put(number)?;
        let (code, shown) = self.signs_in(MIA, PIN)?;
        ensure!(code == 0, "{shown}\n{}", self.operator().agent_log());
        Ok(())
    }

    /// An application wants something of Mia's.
    fn wanted_of_mia(&self) -> Result<String> {
        let asked = self.stage.house.service().post(
            "/v1/actions",
            &json!({"type": "account.create", "requester": MIA, "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
        )?;
        ensure!(asked.status == 201, "{}", asked.text);
        let id = asked.json()["action"]["id"].as_str().map(str::to_owned);
        id.with_context(|| asked.text.clone())
    }

    /// Mia, who is signed in, seals something with the key that is in the reader.
    fn mia_seals(&self) -> Result<()> {
        let id = self.wanted_of_mia()?;
        let (code, shown) = self.operator().approve(&id)?;
        ensure!(code == 0 && self.stage.state(&id)? == "approved", "{shown}");
        Ok(())
    }

    /// Nobody signs in as Mia with that key: the server names it to no one, and the agent asks for another one.
    fn is_refused(&self, number: usize, key: &Value) -> Result<()> {
        self.put(number)?;
        let begun = self
            .stage
            .house
            .api()
            .post("/v1/sessions", &json!({"person": MIA, "kind": "agent"}))?;
        let offered = begun.json()["keys"]
            .as_array()
            .cloned()
            .with_context(|| begun.text.clone())?;
        ensure!(
            !offered.iter().any(|one| one["key_id"] == key["key_id"]),
            "{offered:?}"
        );
        let signing = self.operator().sceau(&["sign-in", "--person", MIA])?;
        let (code, shown) =
            signing.answer_or_leave(&answers("y", PIN, "1"), Duration::from_secs(2))?;
        ensure!(code != 0 && !shown.contains("Signed in"), "{shown}");
        Ok(())
    }

    /// Along a path whose questions the desk's person answers as usual, choosing the key of this number in the list.
    fn with_key(&mut self, arguments: &[&str], number: &'static str) -> Result<(i32, String)> {
        let whole = [arguments, &["--document", "passport", "--json"]].concat();
        self.along(&whole, |_, asked| {
            Ok((asked == "which").then(|| number.to_owned()))
        })
    }
}

/// State and reason of each.
fn states(keys: &[Value]) -> Vec<(&str, &str, &str)> {
    fn text<'v>(key: &'v Value, name: &str) -> &'v str {
        key[name].as_str().unwrap_or_default()
    }
    keys.iter()
        .map(|key| {
            (
                text(key, "label"),
                text(key, "state"),
                text(key, "state_reason"),
            )
        })
        .collect()
}

#[test]
fn main_and_spare_of_somebody_with_a_role_through_damage_and_replacement() -> Result<()> {
    let stage = Stage::set()?;
    let list = stage.path("people.csv");
    std::fs::write(
        &list,
        "person,display,roles,document,keys\nmia,Mia Roux,manager,passport,\n",
    )?;
    let list = list.to_string_lossy().into_owned();
    let mut desk = Desk {
        stage: &stage,
        keys: Vec::new(),
        asked: 0,
    };

    // Both requests are the operator's to seal, and an administrator's besides: no key is asked for before.
    let (code, shown) = desk.run(&list, None, None)?.context("it ends")?;
    ensure!(
        code == 1 && shown.contains("Others have to seal it still"),
        "{shown}"
    );
    ensure!(
        desk.keys.is_empty(),
        "no invitation before both have sealed"
    );
    desk.administrator_seals(2)?;

    // The main key stays in the reader when the spare one is asked for: one key is not both. Then the power goes.
    let slip = desk.asked + 2;
    let cut = desk.run(&list, Some(2), Some(slip))?;
    ensure!(
        cut.is_none() && desk.keys.len() == 2,
        "not killed at the spare one's new PIN: {cut:?}"
    );
    desk.put(0)?;
    let (code, shown) = desk.signs_in(MIA, PIN)?;
    ensure!(code == 1, "a role of two keys began with one:\n{shown}");
    stage.logged(&["action.denied", "spare-key-first"])?;
    desk.keys.pop();
    let (code, shown) = desk.run(&list, None, None)?.context("it ends")?;
    ensure!(code == 0 && desk.keys.len() == 2, "{shown}");
    let both = desk.of_mia()?;
    ensure!(
        states(&both) == [("main", "waiting", ""), ("spare", "waiting", "")],
        "{both:?}"
    );
    for (number, label) in [(0, "main"), (1, "spare")] {
        desk.mia_signs_in(number)?;
        // Once the inbox has said so.
        let mut shown = Value::Null;
        let told = eventually("the agent knows both", Duration::from_secs(10), || {
            shown = desk.operator().ask("keys").unwrap_or_default();
            let own = &shown["own"];
            shown["keys"][0]["enrolled"]["label"] == label
                && own["wanted"] == 2
                && own["labels"]
                    .as_array()
                    .is_some_and(|of| of.len() == number + 1)
        });
        told.with_context(|| shown.to_string())?;
        let used = stage.logged(&["key.first-used"])?;
        ensure!(used["subjects"]["key"] == both[number]["key_id"], "{used}");
    }
    desk.put(0)?;
    desk.mia_seals()?;

    // The main one breaks.
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["damaged", MIA], "1")?;
    ensure!(
        code == 1 && shown.contains("the person's other key counts"),
        "{shown}"
    );
    let keys = desk.of_mia()?;
    ensure!(
        states(&keys)
            == [
                ("main", "revoked", "damaged"),
                ("spare", "live", "first-use")
            ],
        "{keys:?}"
    );
    let entry = stage.logged(&["key.revoked", "\"damaged\""])?;
    ensure!(
        entry["subjects"]["key"] == both[0]["key_id"] && entry["data"]["last"] == false,
        "{entry}"
    );
    desk.is_refused(0, &both[0])?;
    desk.mia_signs_in(1)?;
    desk.mia_seals()?;

    // Its successor: sealed by the administrator too, asked for by the same command, of use after Mia's own first use.
    desk.administrator_seals(1)?;
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["damaged", MIA], "none")?;
    ensure!(
        code == 0
            && shown.contains("\"handed_out\":[\"main\"]")
            && shown.contains("\"revoked\":[]"),
        "{shown}"
    );
    let keys = desk.of_mia()?;
    ensure!(
        states(&keys)[1..] == [("spare", "live", "first-use"), ("main", "waiting", "")],
        "{keys:?}"
    );
    desk.mia_signs_in(1)?;
    let id = desk.wanted_of_mia()?;
    desk.put(2)?;
    let early = desk.operator().sceau(&["approve", &id])?;
    let (code, shown) = early.answer_or_leave(&answers("y", PIN, "1"), Duration::from_secs(2))?;
    ensure!(
        code != 0 && stage.state(&id)? == "pending",
        "a key that waits sealed:\n{shown}"
    );
    desk.mia_signs_in(2)?;
    desk.mia_seals()?;

    // Another main key while this one works: it counts until the new one is used, and then no more.
    let old = keys[2].clone();
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["replace", MIA], "3")?;
    ensure!(
        code == 1 && shown.contains("counts until the first use"),
        "{shown}"
    );
    desk.mia_signs_in(2)?;
    desk.mia_seals()?;
    desk.administrator_seals(1)?;
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["replace", MIA], "none")?;
    ensure!(
        code == 0 && shown.contains("\"handed_out\":[\"main\"]"),
        "{shown}"
    );
    let keys = desk.of_mia()?;
    ensure!(
        states(&keys)[2..] == [("main", "live", "first-use"), ("main", "waiting", "")],
        "nobody is locked out: {keys:?}"
    );
    desk.mia_signs_in(2)?;
    desk.mia_signs_in(3)?;
    desk.mia_seals()?;
    let entry = stage.logged(&["key.revoked", "\"replaced\""])?;
    ensure!(entry["subjects"]["key"] == old["key_id"], "{entry}");
    desk.is_refused(2, &old)?;

    // The spare one is to be replaced; before the administrator has sealed that, it is lost. Lost comes first.
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["replace", MIA], "2")?;
    ensure!(code == 1, "{shown}");
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["lost", MIA], "2")?;
    ensure!(
        code == 1 && shown.contains(both[1]["key_id"].as_str().unwrap_or("?")),
        "{shown}"
    );
    let keys = desk.of_mia()?;
    ensure!(states(&keys)[1] == ("spare", "revoked", "lost"), "{keys:?}");
    desk.administrator_seals(1)?;
    desk.operator_again()?;
    let (code, shown) = desk.with_key(&["lost", MIA], "none")?;
    ensure!(
        code == 0 && shown.contains("\"handed_out\":[\"spare\"]"),
        "{shown}"
    );
    let keys = desk.of_mia()?;
    let counting = states(&keys)
        .into_iter()
        .filter(|(_, state, _)| *state != "revoked");
    ensure!(
        counting.collect::<Vec<_>>() == [("main", "live", "first-use"), ("spare", "waiting", "")],
        "{keys:?}"
    );
    Ok(())
}
