//! A stage: a house with its four people, everybody enrolled, on which scenarios, attacks and the demo play.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    house::{House, People, pending},
    key::Model,
    narrator::Language,
    place,
    process::eventually,
    workstation::Workstation,
};

/// Everything that a scenario stands on; goes away with it.
pub struct Stage {
    /// The house.
    pub house: House,
    /// Its people.
    pub people: People,
    /// Two models of key whose makers the house trusts.
    pub models: [Model; 2],
    folder: tempfile::TempDir,
}

impl Stage {
    /// A house with four people, two models of key, everybody enrolled.
    ///
    /// # Errors
    /// When a part of it does not come up.
    pub fn set() -> Result<Self> {
        Self::set_for(Language::English, |_, _| {})
    }

    /// As [`Stage::set`], with people who read `language`; `enrolled` is told of each, with what stood on their terminal.
    ///
    /// # Errors
    /// When a part of it does not come up.
    pub fn set_for(language: Language, enrolled: impl FnMut(&Workstation, &str)) -> Result<Self> {
        let (folder, models) = makers()?;
        let house = House::found(folder.path(), &[&models[0], &models[1]])?;
        let people = house.people(folder.path(), [&models[0], &models[1]], language, enrolled)?;
        Ok(Self {
            house,
            people,
            models,
            folder,
        })
    }

    /// A place for something of the scenario's own.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks for the story's action as the sample service would; returns its id once the manager's agent has it.
    ///
    /// # Errors
    /// When the server refuses, or the agent is not told.
    pub fn asked(&self) -> Result<String> {
        let asked = self.house.service().post(
            "/v1/actions",
            &json!({"type": "account.create", "requester": "alice", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
        )?;
        ensure!(asked.status == 201, "{}", asked.text);
        let id = asked.json()["action"]["id"]
            .as_str()
            .context("an id")?
            .to_owned();
        eventually("the agent has the action", Duration::from_secs(10), || {
            pending(&self.people.manager).is_ok_and(|ids| ids.contains(&id))
        })?;
        Ok(id)
    }

    /// The state of an action.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn state(&self, action: &str) -> Result<String> {
        Ok(self
            .house
            .service()
            .get(&format!("/v1/actions/{action}"))?
            .json()["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// The newest log entry whose text contains every one of these words.
    ///
    /// # Errors
    /// When there is none; the message lists what there is.
    pub fn logged(&self, words: &[&str]) -> Result<Value> {
        let entries = self.house.entries()?;
        let found = entries
            .iter()
            .rev()
            .find(|entry| words.iter().all(|word| entry.to_string().contains(word)));
        found.cloned().with_context(|| {
            let kinds: Vec<String> = entries
                .iter()
                .rev()
                .take(12)
                .map(|entry| format!("{} {}", entry["type"], entry["data"]))
                .collect();
            format!("no entry with {words:?}; the newest: {kinds:#?}")
        })
    }
}

/// A temporary folder (its path is short: sockets live in it) and two test manufacturers in it.
///
/// # Errors
/// When `vkey` cannot make them.
pub fn makers() -> Result<(tempfile::TempDir, [Model; 2])> {
    place::require_namespace();
    let folder = tempfile::Builder::new()
        .prefix("sceau-")
        .tempdir_in("/tmp")?;
    let models = [
        Model::make(
            &folder.path().join("model-a"),
            "Sceau Test Model A",
            "5cea0000-0000-4000-8000-00000000000a",
            &[],
        )?,
        Model::make(
            &folder.path().join("model-b"),
            "Sceau Test Model B",
            "5cea0000-0000-4000-8000-00000000000b",
            &[],
        )?,
    ];
    Ok((folder, models))
}
