//! The console as an administrator uses it, by keyboard alone: found, looked at, suspended with one touch, proven.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::place;
use serde_json::{Value, json};

use super::Story;

/// The pages of the console, with the names of their pictures.
const PAGES: [(&str, &str); 9] = [
    ("/console/keys", "console-keys"),
    ("/console/enrolments", "console-enrolments"),
    ("/console/actions?state=any", "console-actions"),
    ("/console/campaigns", "console-campaigns"),
    ("/console/budgets", "console-budgets"),
    ("/console/alerts", "console-alerts"),
    ("/console/log", "console-log"),
    ("/console/policy", "console-policy"),
    ("/console/metadata", "console-metadata"),
];

impl Story {
    /// The second administrator signs in to the console by key, finds the manager, sees what would fall, and stops all of it by one touch.
    pub(super) fn an_administrator_runs_the_console_by_keyboard(&self) -> Result<()> {
        let (house, browser) = (&self.house, &self.browser);
        let recertified = Command::new(place::bin("sceau-server"))
            .args([
                "facts",
                "recertify",
                "--role",
                "manager",
                "--days",
                "30",
                "--config",
            ])
            .arg(house.config())
            .output()?;
        ensure!(recertified.status.success(), "{recertified:?}");

        browser.key("second", "here")?;
        browser.go("second", "/console")?;
        browser.press("second", ".who button")?;
        browser.ask(&json!({"op": "until", "who": "second", "gone": ".who"}))?;
        browser.go("second", "/console")?;
        self.sign_in("second", "admin-2")?;
        browser.reads("second", "Ouvrez une personne")?;
        browser.judge_both("second", "console-persons")?;

        browser.type_into("second", "#q", "MARTIN")?;
        browser.press("second", ".search button")?;
        browser.ask(&json!({"op": "until", "who": "second", "url": "https://sceau.example/console/persons?q=MARTIN"}))?;
        browser.press("second", "a[href=\"/console/persons/alice\"]")?;
        browser.reads("second", "Rôles et droits")?;
        browser.judge_both("second", "console-person")?;
        browser.press("second", "td a[href^=\"/console/keys/\"]")?;
        browser.reads("second", "Approbations des 90 derniers jours")?;
        browser.judge_both("second", "console-key")?;
        for (path, name) in PAGES {
            let shown = browser.go("second", path)?;
            ensure!(shown["status"] == 200, "{shown}");
            browser.judge_both("second", name)?;
        }
        self.an_entry_is_proven()?;

        // A manager is told that it is not for them, and nothing else.
        browser.go("alice", "/console/persons")?;
        let form = browser.ask(&json!({"op": "look", "who": "alice"}))?;
        if form["text"]
            .as_str()
            .is_some_and(|text| text.contains("Votre identifiant"))
        {
            browser.key("alice", "here")?;
            self.sign_in("alice", "alice")?;
        }
        browser.reads("alice", "réservée aux opérateurs")?;
        browser.judge("alice", "console-not-theirs")?;

        browser.go("second", "/console/persons/alice/lineage")?;
        browser.judge_both("second", "console-lineage")?;
        browser.press("second", "button.refuse")?;
        browser.sees("second", "pending")?;
        browser.reads("second", "Alice Martin")?;
        browser.judge_both("second", "console-suspend-action")?;
        // One touch; then the page leads back by itself to whom it was about.
        browser.press("second", "#approve")?;
        let fallen = browser.reads("second", "Demander à la rétablir")?;
        let url = fallen["url"].as_str().unwrap_or_default();
        ensure!(url.ends_with("/console/persons/alice"), "{fallen}");
        browser.judge_both("second", "console-person-suspended")?;
        let suspended = house
            .entries()?
            .into_iter()
            .rfind(|entry| entry["type"] == "person.suspended")
            .context("an entry tells of it")?;
        ensure!(suspended["data"]["cascade"] == true, "{suspended}");
        Ok(())
    }

    /// The proof of an entry, taken along, convinces `sceau-verify`.
    fn an_entry_is_proven(&self) -> Result<()> {
        let (house, browser) = (&self.house, &self.browser);
        browser.go("second", "/console/log")?;
        browser.press("second", "td a[href^=\"/console/log/\"]")?;
        browser.reads("second", "sceau-verify report")?;
        browser.judge_both("second", "console-entry")?;
        let shown = browser.ask(&json!({"op": "look", "who": "second"}))?;
        let page = shown["url"].as_str().context("an address")?;
        let path = page.trim_start_matches("https://sceau.example");
        // Taken with the session's cookie: the console's own policy lets no script fetch anything.
        let cookies = browser.ask(&json!({"op": "cookies", "who": "second"}))?;
        let cookie = cookies["cookies"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|cookie| {
                cookie["name"]
                    .as_str()
                    .is_some_and(|name| name.ends_with("sceau-page"))
            })
            .context("the session's cookie")?;
        let header = format!(
            "{}={}",
            cookie["name"].as_str().unwrap_or_default(),
            cookie["value"].as_str().unwrap_or_default()
        );
        let proof = house
            .api()
            .with("cookie", &header)
            .get(&format!("{path}/proof.json"))?;
        ensure!(proof.status == 200, "{}", proof.text);
        let file = self.folder.path().join("entry.json");
        fs::write(&file, &proof.text)?;
        let out = Command::new(place::bin("sceau-verify"))
            .arg("report")
            .arg(&file)
            .arg("--log-key")
            .arg(house.api().get("/log/vkey")?.text.trim())
            .output()?;
        let said: Value = serde_json::from_slice(&out.stdout)?;
        ensure!(
            said["verdict"] == "proven" && out.status.success(),
            "{said}"
        );
        Ok(())
    }
}
