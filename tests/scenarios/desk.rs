//! The help desk: a box of keys for a list of persons, handed out in one go, killed half-way, gone on with; keys that wait for their person's own first
//! use; and never two of them on one authenticator. Then what happens later: a key is lost, one's PIN is blocked, somebody leaves.
//!
//! `SCEAU_BATCH=20` hands out twenty; a few are enough for the rest.

mod older;
mod privileged;
mod used;

use std::{collections::BTreeMap, env, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    key::Key,
    process::eventually,
    stage::Stage,
    workstation::{PIN, Workstation, answers},
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
/// What a path of the desk, and the prompts within it, ask.
const ON_PATHS: [(&str, &str); 14] = [
    ("seal", QUESTIONS[0]),
    ("pin", QUESTIONS[1]),
    ("new", QUESTIONS[2]),
    ("again", QUESTIONS[3]),
    ("put-in", QUESTIONS[4]),
    ("why", QUESTIONS[5]),
    ("another", r"Hand out another key now\? \[y/n\] $"),
    ("spare", r"a spare one too\? \[y/n\] $"),
    ("reset", r"Reset this very key[^\n]*\[y/n\] $"),
    ("which", r"Which key \(number\)\? $"),
    ("go-on", r"Go on with it[^\n]*\[y/n\] $"),
    ("blocked", r"put the blocked key in, then Enter: $"),
    ("name", r"To erase everything, type [^\n]+: $"),
    ("replug", r"then Enter at once \(and touch it\): $"),
];

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

impl Desk<'_> {
    /// The operator goes along a path, and does what is usual; `act` says what is not.
    fn along(
        &mut self,
        arguments: &[&str],
        mut act: impl FnMut(&mut Self, &str) -> Result<Option<String>>,
    ) -> Result<(i32, String)> {
        let receipts = self.stage.path("receipts").to_string_lossy().into_owned();
        let mut all = [&["desk"], arguments].concat();
        if arguments[0] != "leaver" {
            all.extend(["--receipts", &receipts]);
        }
        self.clear()?;
        self.operator().key.insert()?;
        let terminal = self.stage.people.operator.sceau(&all)?;
        let questions = ON_PATHS.map(|(_, pattern)| pattern);
        let ended = terminal.converse(&questions, |at| {
            let name = ON_PATHS[at].0;
            if let Some(answer) = act(self, name)? {
                return Ok(Some(answer));
            }
            Ok(Some(match name {
                "pin" | "new" | "again" => PIN.to_owned(),
                "put-in" => {
                    self.next()?;
                    String::new()
                }
                _ => "y".to_owned(),
            }))
        })?;
        ended.context("nobody killed it")
    }

    /// Somebody signs in at the desk's workstation, with the key that is in its reader.
    fn signs_in(&self, person: &str, pin: &str) -> Result<(i32, String)> {
        let own = answers("y", PIN, "1").map(|(question, answer)| {
            let is_pin = question.starts_with("(PIN of");
            (question, if is_pin { pin } else { answer })
        });
        self.operator()
            .sceau(&["sign-in", "--person", person])?
            .answer(&own)
    }

    fn operator_again(&self) -> Result<()> {
        self.clear()?;
        self.operator().key.insert()?;
        let (code, shown) = self.signs_in("odile", PIN)?;
        ensure!(code == 0, "{shown}");
        Ok(())
    }

    /// What the server says of a person's keys: label, state and why.
    fn keys_of(&self, person: &str) -> Result<Vec<(String, String, String)>> {
        let operator = self.stage.house.person(self.operator())?;
        let held = operator.get(&format!("/v1/persons/{person}/keys"))?.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let keys = held["keys"].as_array().with_context(|| held.to_string())?;
        Ok(keys
            .iter()
            .map(|key| {
                (
                    text(&key["label"]),
                    text(&key["state"]),
                    text(&key["state_reason"]),
                )
            })
            .collect())
    }

    /// A lost key, and another one with a PIN for the way, which its person changes before it counts.
    fn lost(&mut self, person: &str) -> Result<()> {
        self.operator_again()?;
        let wish = [
            "lost",
            person,
            "--document",
            "passport",
            "--transport-pin",
            "--json",
        ];
        let (code, shown) = self.along(&wish, |_, _| Ok(None))?;
        ensure!(code == 0, "{shown}");
        ensure!(
            shown.contains("the last key that counts"),
            "it says so:\n{shown}"
        );
        let keys = self.keys_of(person)?;
        let state = |at: usize| (keys[at].1.as_str(), keys[at].2.as_str());
        ensure!(
            state(0) == ("revoked", "lost") && keys[1].1 == "waiting",
            "{keys:?}"
        );
        let entry = self.stage.logged(&["key.revoked", "\"lost\""])?;
        ensure!(
            entry["data"]["sessions"] == 1 && entry["data"]["last"] == true,
            "{entry}"
        );

        let slip =
            fs::read_to_string(self.stage.path(&format!("receipts/{person}-main-pin.html")))?;
        let digits = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
        let pin = slip.split(['<', '>']).find(|text| digits(text));
        let pin = pin.with_context(|| slip.clone())?.to_owned();
        let receipt = fs::read_to_string(self.stage.path(&format!("receipts/{person}-main.html")))?;
        ensure!(
            !receipt.contains(&pin) && receipt.contains("for the way"),
            "{receipt}"
        );
        let (code, shown) = self.signs_in(person, &pin)?;
        ensure!(code == 0 && shown.contains("choose your own"), "{shown}");
        let (code, shown) = self.signs_in(person, PIN)?;
        ensure!(
            code == 0 && !shown.contains("choose your own"),
            "once:\n{shown}"
        );
        Ok(())
    }

    /// A key whose PIN is blocked is erased by name, and enrolled anew.
    fn blocked(&mut self, person: &str, key: usize) -> Result<()> {
        self.operator_again()?;
        let wish = ["blocked", person, "--document", "passport"];
        let mut erased = false;
        let (code, shown) = self.along(&wish, |desk, asked| {
            let answer = match asked {
                "blocked" => {
                    desk.clear()?;
                    desk.keys[key].insert()?;
                    desk.there()?;
                    String::new()
                }
                "name" => desk.there()?,
                "replug" => {
                    desk.clear()?;
                    desk.keys[key].insert()?;
                    desk.there()?;
                    erased = true;
                    String::new()
                }
                // The operator's key seals the enrolment, then the emptied one is put in again.
                "seal" if erased => {
                    erased = false;
                    desk.clear()?;
                    desk.operator().key.insert()?;
                    "y".to_owned()
                }
                "put-in" => {
                    desk.clear()?;
                    desk.keys[key].insert()?;
                    String::new()
                }
                _ => return Ok(None),
            };
            Ok(Some(answer))
        })?;
        ensure!(code == 0 && shown.contains("The key is empty."), "{shown}");
        let keys = self.keys_of(person)?;
        ensure!(
            keys[0].2 == "pin-blocked" && keys[1].1 == "waiting",
            "{keys:?}"
        );
        Ok(())
    }

    /// What the key in the reader is called, once it was read.
    fn there(&self) -> Result<String> {
        let mut name = String::new();
        eventually("a key is read", Duration::from_secs(10), || {
            let Ok(said) = self.operator().ask("keys") else {
                return false;
            };
            let key = &said["keys"][0];
            name = key["reader"].as_str().unwrap_or_default().to_owned();
            key["state"] == "ready"
        })?;
        Ok(name)
    }

    /// Somebody leaves; nothing of theirs counts any more.
    fn leaves(&mut self, person: &str) -> Result<()> {
        let (code, shown) = self.along(&["leaver", person, "--json"], |_, _| Ok(None))?;
        ensure!(code == 0 && shown.contains("\"suspended\":true"), "{shown}");
        let keys = self.keys_of(person)?;
        ensure!(
            keys.iter().all(|key| key.1 == "revoked" && key.2 == "left"),
            "{keys:?}"
        );
        // Above the operator's rank, and for oneself, no path leads anywhere (attack 22).
        let attempts: [(&[&str], &str); 3] = [
            (&["lost", "admin-2"], "higher-role"),
            (&["leaver", "admin-2"], "higher-role"),
            (
                &["replace", "odile", "--document", "passport"],
                "no-key-for-oneself",
            ),
        ];
        for (arguments, says) in attempts {
            let (code, shown) = self.along(arguments, |_, _| Ok(None))?;
            ensure!(code == 1 && !shown.contains("Seal this action"), "{shown}");
            self.stage.logged(&["action.denied", says])?;
        }
        Ok(())
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
    let (code, shown) = desk.signs_in("p1", PIN)?;
    ensure!(code == 0, "{shown}");
    stage.logged(&["key.first-used"])?;

    // Later.
    let begun = std::time::Instant::now();
    let last = desk.keys.len() - 1;
    desk.lost("p1")?;
    desk.blocked(&format!("p{persons}"), last)?;
    desk.leaves("p2")?;
    println!("lost, blocked, left: {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    desk.used(0, persons - 1, &format!("p{}", persons - 1))?;
    desk.beyond_a_thousand(0, "quinn")?;
    desk.older("quinn")?;
    println!("used keys, an older one: {:?}", begun.elapsed());
    Ok(())
}
