//! The help desk: a box of keys for a list of persons, handed out in one go, killed half-way, gone on with; keys that wait for their person's own first
//! use; and never two of them on one authenticator.
//!
//! `SCEAU_BATCH=20` hands out twenty; a few are enough for the rest.

use std::{collections::BTreeMap, env, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    key::Key,
    process::eventually,
    stage::Stage,
    workstation::{PIN, Workstation},
};
use serde_json::Value;

/// What the wizard, and the prompts within it, ask.
const QUESTIONS: [&str; 6] = [
    r"Seal this action\? [^\n]*: $",
    r"PIN of the key [^\n]*: $",
    r"New PIN: $",
    r"The same once more: $",
    r"then Enter \(s: skip\): $",
    r"Why\? [^\n]*: $",
];
const NEW_PIN: usize = 2;
const PUT_IN: usize = 4;

/// A box of new keys beside one reader, and which of them is in it.
struct Desk<'s> {
    stage: &'s Stage,
    keys: Vec<Key>,
    /// How often the desk was asked to put in the next key.
    asked: usize,
}

impl Desk<'_> {
    fn operator(&self) -> &Workstation {
        &self.stage.people.operator
    }

    /// Empties the reader, and waits until that was noticed: nobody's hands are quicker.
    fn clear(&self) -> Result<()> {
        drop(self.operator().key.remove());
        for key in &self.keys {
            drop(key.remove());
        }
        eventually("the reader is empty", Duration::from_secs(10), || {
            self.operator()
                .ask("keys")
                .is_ok_and(|said| said["keys"].as_array().is_some_and(Vec::is_empty))
        })
        .map(drop)
    }

    /// A new key out of the box, in the reader.
    fn next(&mut self) -> Result<()> {
        let folder = self.stage.path(&format!("box-{}", self.keys.len()));
        let key = Key::fido(&folder, Some(&self.stage.models[0]), self.operator().port())?;
        self.clear()?;
        key.insert()?;
        self.keys.push(key);
        Ok(())
    }

    /// One run of the command; `None` when it was killed, at the `cut`-th new PIN. `slip`: at that question the last key is left in the reader.
    fn run(
        &mut self,
        list: &str,
        cut: Option<usize>,
        slip: Option<usize>,
    ) -> Result<Option<(i32, String)>> {
        let receipts = self.stage.path("receipts");
        self.clear()?;
        self.operator().key.insert()?;
        let folder = receipts.to_string_lossy().into_owned();
        let terminal = self.stage.people.operator.sceau(&[
            "enroll",
            "--batch",
            list,
            "--receipts",
            &folder,
        ])?;
        let mut pins = 0;
        terminal.converse(&QUESTIONS, |question| {
            Ok(match question {
                0 => Some("y".to_owned()),
                NEW_PIN => {
                    pins += 1;
                    (cut != Some(pins)).then(|| PIN.to_owned())
                }
                PUT_IN => {
                    self.asked += 1;
                    if slip != Some(self.asked) {
                        self.next()?;
                    }
                    Some(String::new())
                }
                _ => Some(PIN.to_owned()),
            })
        })
    }
}

/// Keys enrolled for each person, as the log tells.
fn enrolled(stage: &Stage) -> Result<usize> {
    let entries = stage.house.entries()?;
    let of_desk = |entry: &&Value| {
        entry["type"] == "key.enrolled" && entry["data"]["waits_for"] == "first-use"
    };
    Ok(entries.iter().filter(of_desk).count())
}

#[test]
fn a_box_of_keys_is_handed_out_though_the_run_is_killed_half_way() -> Result<()> {
    let persons: usize = env::var("SCEAU_BATCH")
        .ok()
        .map_or(Ok(4), |text| text.parse())?;
    let stage = Stage::set()?;
    let list = stage.path("people.csv");
    let mut text = "person,display,roles,document,keys\n".to_owned();
    for number in 1..=persons {
        text.push_str(&format!("p{number},Person {number},,identity-card,\n"));
    }
    fs::write(&list, &text)?;
    let list = list.to_string_lossy().into_owned();
    let mut desk = Desk {
        stage: &stage,
        keys: Vec::new(),
        asked: 0,
    };
    let begun = std::time::Instant::now();
    let half = persons / 2;
    let cut = desk.run(&list, Some(half + 1), None)?;
    ensure!(
        cut.is_none(),
        "not killed at the new PIN of the {}th:\n{}",
        half + 1,
        cut.map(|(_, shown)| shown).unwrap_or_default()
    );
    ensure!(enrolled(&stage)? == half, "{half} of {persons}");

    // The next run goes on; somebody leaves the last person's key in the reader.
    let slip = desk.asked + 2;
    let (code, shown) = desk.run(&list, None, Some(slip))?.context("it ends")?;
    ensure!(code == 0, "{shown}");
    ensure!(
        shown.contains(&format!("already: {half}/{persons}")),
        "{shown}"
    );
    println!(
        "{persons} keys, killed at the {}th, in {:?}",
        half + 1,
        begun.elapsed()
    );
    ensure!(
        enrolled(&stage)? == persons,
        "{} of {persons}",
        enrolled(&stage)?
    );
    ensure!(
        shown.contains("already"),
        "the same key twice is refused:\n{shown}"
    );
    let papers = fs::read_dir(stage.path("receipts"))?.count();
    ensure!(papers == persons, "{papers} receipts");
    let paper = fs::read_to_string(stage.path("receipts/p1-main.html"))?;
    ensure!(
        paper.contains("Person 1") && paper.contains("odile"),
        "{paper}"
    );
    let (code, again) = desk.run(&list, None, None)?.context("it ends")?;
    ensure!(code == 0 && enrolled(&stage)? == persons, "{again}");

    // Each is its person's, and counts once that person has used it.
    let entries = stage.house.entries()?;
    ensure!(
        !entries
            .iter()
            .any(|entry| entry["type"] == "key.first-used")
    );
    let mut keys = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| entry["type"] == "key.enrolled")
    {
        *keys
            .entry(entry["subjects"]["key"].to_string())
            .or_insert(0) += 1;
    }
    ensure!(keys.values().all(|times| *times == 1), "{keys:?}");
    desk.clear()?;
    desk.keys[0].insert()?;
    let terminal = stage
        .people
        .operator
        .sceau(&["sign-in", "--person", "p1"])?;
    let (code, shown) = terminal.answer(&e2e::workstation::answers("y", PIN, "1"))?;
    ensure!(code == 0, "{shown}");
    stage.logged(&["key.first-used"]).map(drop)
}
