//! The paths of a help desk, one question at a time: a key was lost, or is damaged, or its PIN is blocked; somebody wants another key, or leaves.
//!
//! Each path ends in actions that the operator's own key seals (and whoever else the policy wants): `key.revoke`, `key.enroll`, `person.suspend`.
//! None is a way around (attack 22): a replacement is enrolled like any key, after a look at the person's papers, and counts for nothing before its
//! person's own first use. What was begun and not finished goes on with the next run. The conversation's other half, a key for a person, is
//! [`crate::batch`]'s.
//!
//! It runs in the operator's terminal and asks the daemon for everything that touches a key or the server, whose answers are shown escaped.

use std::path::Path as File;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::batch::wizard::{Daemon, Wizard, WizardError};
use crate::batch::{BatchError, Document, Journal, ListFault, Person, Task, Which};
use crate::handout::Why;
use crate::lineage;
use crate::locale::Language;
use crate::prompt::terminal::{ClientError, Ended};
use crate::text::{day, one_line};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Path {
    /// A key was lost or stolen: it is revoked at once, and its sessions end. Then a replacement.
    #[command(
        after_help = "Examples:\n  sceau desk lost amartin\n  sceau desk lost amartin --no-replacement --json"
    )]
    Lost(Wish),
    /// A key does not work any more: it is revoked; the spare one works in between. Then a replacement.
    #[command(after_help = "Example:\n  sceau desk damaged amartin --document passport")]
    Damaged(Wish),
    /// A key's PIN is blocked: it is revoked and reset, which erases it, and enrolled anew; or another one is.
    #[command(
        after_help = "Example:\n  sceau desk blocked amartin\n\nNobody unblocks the PIN of a FIDO2 key; of a PIV card: sceau card pin unblock."
    )]
    Blocked(Wish),
    /// Another key in the place of one that works: the old one is revoked by itself when the new one is used for the first time.
    #[command(after_help = "Example:\n  sceau desk replace amartin --document staff-card")]
    Replace(Wish),
    /// Somebody leaves: they are suspended, their sessions end, their keys are revoked. Whom they begot is shown first.
    #[command(
        after_help = "Examples:\n  sceau desk leaver amartin\n  sceau desk leaver amartin --cascade"
    )]
    Leaver {
        /// Who.
        person: String,
        /// Everything that descends from them falls too.
        #[arg(long)]
        cascade: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whom a path is about, and what is known already; the rest is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Wish {
    /// Who.
    pub person: String,
    /// Which key, where the person has several.
    #[arg(long, value_name = "KEY")]
    pub key: Option<Uuid>,
    /// What the person shows to say who they are: the kind alone is recorded.
    #[arg(long, value_enum)]
    pub document: Option<Document>,
    /// No other key today.
    #[arg(long)]
    pub no_replacement: bool,
    /// Give the new key a PIN for the way, which it insists on changing at the first use, where it can.
    #[arg(long)]
    pub transport_pin: bool,
    /// Where the receipts to sign go.
    #[arg(long, value_name = "FOLDER", default_value = "receipts")]
    pub receipts: std::path::PathBuf,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Path {
    /// Whom it is about.
    #[must_use]
    pub fn person(&self) -> &str {
        match self {
            Self::Lost(wish) | Self::Damaged(wish) | Self::Blocked(wish) | Self::Replace(wish) => {
                &wish.person
            }
            Self::Leaver { person, .. } => person,
        }
    }

    /// What is wished, where a key is.
    #[must_use]
    pub fn wish(&self) -> Option<&Wish> {
        match self {
            Self::Lost(wish) | Self::Damaged(wish) | Self::Blocked(wish) | Self::Replace(wish) => {
                Some(wish)
            }
            Self::Leaver { .. } => None,
        }
    }

    /// Whether the outcome is printed as JSON.
    #[must_use]
    pub fn json(&self) -> bool {
        match self {
            Self::Leaver { json, .. } => *json,
            path => path.wish().is_some_and(|wish| wish.json),
        }
    }

    /// Why the key is revoked, on the paths that begin with that.
    fn why(&self) -> Option<Why> {
        match self {
            Self::Lost(_) => Some(Why::Lost),
            Self::Damaged(_) => Some(Why::Damaged),
            Self::Blocked(_) => Some(Why::PinBlocked),
            Self::Replace(_) | Self::Leaver { .. } => None,
        }
    }
}

/// The journal of a person's replacements, in the folder of such journals.
///
/// # Errors
/// [`BatchError`]; [`BatchError::Malformed`] when no person can be called so.
pub fn journal(folder: &File, person: &str) -> Result<Journal, BatchError> {
    let person = lineage::segment(person).map_err(|_| BatchError::Malformed {
        line: 0,
        what: ListFault::Person,
    })?;
    Journal::open(&folder.join(format!("person-{person}.json")))
}

/// What a path came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Came {
    /// Keys that are revoked.
    pub revoked: Vec<Uuid>,
    /// Keys that were handed out: main, spare.
    pub handed_out: Vec<&'static str>,
    /// The person is suspended.
    pub suspended: bool,
    /// Something was asked for and is not done: it was refused, awaits others, or was left for another day.
    pub open: bool,
}

/// A person and their keys, as the server tells them.
#[derive(Deserialize)]
struct Held {
    person: HeldBy,
    keys: Vec<HeldKey>,
    /// How many the person's roles want them to have.
    #[serde(default)]
    keys_wanted: usize,
}

#[derive(Deserialize)]
struct HeldBy {
    display: String,
    roles: Vec<String>,
}

#[derive(Clone, Deserialize)]
struct HeldKey {
    key_id: Uuid,
    label: String,
    model: Option<String>,
    aaguid: Option<String>,
    state: String,
    state_reason: Option<String>,
    used_at: Option<String>,
}

impl HeldKey {
    fn counts(&self) -> bool {
        matches!(self.state.as_str(), "live" | "waiting")
    }

    fn which(&self) -> Which {
        if self.label == "spare" {
            Which::Spare
        } else {
            Which::Main
        }
    }

    fn line(&self, language: Language) -> String {
        let state = match self.state.as_str() {
            "live" => language.text("desk-path-counts"),
            "waiting" => language.text("desk-path-waits"),
            "suspended" => language.text("desk-path-suspended"),
            _ => language.text("desk-path-revoked"),
        };
        let model = self.model.as_deref().or(self.aaguid.as_deref());
        let used = self.used_at.as_deref().map(|at| day(at, language));
        let why = self.state_reason.as_deref().filter(|_| !self.counts());
        let more = [
            why.map(str::to_owned),
            used.map(|day| format!("{} {day}", language.text("desk-path-used"))),
        ];
        let more: String = more
            .iter()
            .flatten()
            .map(|one| format!(", {one}"))
            .collect();
        one_line(
            &format!("{}  {}  {state}{more}", self.label, model.unwrap_or("-")),
            160,
        )
    }
}

/// How asking for an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sealing {
    Done,
    AwaitsOthers,
    No,
}

/// One run along a path.
pub struct Guide<'w, 'd, D> {
    wizard: &'w mut Wizard<'d, D>,
    came: Came,
}

impl<'w, 'd, D: Daemon> Guide<'w, 'd, D> {
    /// At the wizard's terminal, with its journal.
    pub fn new(wizard: &'w mut Wizard<'d, D>) -> Self {
        Self {
            wizard,
            came: Came::default(),
        }
    }

    /// Goes along the path.
    ///
    /// # Errors
    /// [`WizardError`]; what was done by then is done.
    pub fn run(mut self, path: &Path) -> Result<Came, WizardError> {
        let Some(held) = self.held(path.person())? else {
            self.came.open = true;
            return Ok(self.came);
        };
        self.list(path.person(), &held)?;
        match path {
            Path::Leaver {
                person, cascade, ..
            } => self.leaver(person, *cascade)?,
            Path::Lost(wish) | Path::Damaged(wish) | Path::Blocked(wish) | Path::Replace(wish) => {
                std::fs::create_dir_all(&wish.receipts)?;
                self.key(path, wish, &held)?;
            }
        }
        Ok(self.came)
    }

    fn held(&mut self, person: &str) -> Result<Option<Held>, WizardError> {
        let ended = self
            .wizard
            .daemon
            .ask(json!({ "op": "held", "person": person }))?;
        let Some(told) = self.wizard.answer(ended)? else {
            return Ok(None);
        };
        serde_json::from_value(told)
            .map(Some)
            .map_err(|_| ClientError::Malformed.into())
    }

    fn list(&mut self, person: &str, held: &Held) -> Result<(), WizardError> {
        let language = self.wizard.language;
        let mut text = format!("{} ({person})", one_line(&held.person.display, 100));
        if !held.person.roles.is_empty() {
            text.push_str(&format!(
                ", {}",
                one_line(&held.person.roles.join(" "), 100)
            ));
        }
        text.push('\n');
        for (number, key) in (1..).zip(&held.keys) {
            text.push_str(&format!("  {number}  {}\n", key.line(language)));
        }
        if held.keys.is_empty() {
            text.push_str(&format!("  {}\n", language.text("desk-path-no-key")));
        }
        self.wizard.say(&text)
    }

    /// A key's path: it ends, at once or with its successor's first use; then its successor.
    fn key(&mut self, path: &Path, wish: &Wish, held: &Held) -> Result<(), WizardError> {
        let language = self.wizard.language;
        let mut candidates: Vec<(usize, &HeldKey)> = (1..)
            .zip(&held.keys)
            .filter(|(_, key)| key.state != "revoked")
            .collect();
        if let Some(wanted) = wish.key {
            candidates.retain(|(_, key)| key.key_id == wanted);
        }
        let begun = self.begun(path, wish, held);
        let named = wish.key.is_some();
        if let Some(which) = begun {
            let revoked = |key: &HeldKey| Some(key.key_id) == wish.key && key.state == "revoked";
            let goes_on = match named {
                true => held.keys.iter().any(revoked),
                false => self.goes_on(path, which, candidates.is_empty())?,
            };
            if goes_on {
                let task = self.task(wish, held, which, Document::StaffCard, None);
                let blocked = matches!(path, Path::Blocked(_)) && !wish.no_replacement;
                if blocked && !self.wizard.journal.is_unfinished(&task) {
                    self.reset()?;
                }
                return self.successor(wish, held, which, None);
            }
        }
        // Whoever said that it is another key's turn says which, also where there is one alone.
        let Some(old) = self.choose(&candidates, begun.is_some() && !named)? else {
            self.wizard.say(&format!(
                "{}\n",
                language.text("desk-path-nothing-to-revoke")
            ))?;
            self.came.open |= named;
            return match named {
                false => self.successor(wish, held, Which::Main, None),
                true => Ok(()),
            };
        };
        let others = held
            .keys
            .iter()
            .any(|key| key.counts() && key.key_id != old.key_id);
        let replaces = match path.why() {
            Some(why) => {
                self.in_between(others, &held.person.display)?;
                let request = json!({
                    "op": "revoke", "person": wish.person, "key": old.key_id, "reason": why,
                });
                if self.seal(request)? != Sealing::Done {
                    self.came.open = true;
                    return Ok(());
                }
                self.came.revoked.push(old.key_id);
                self.wizard
                    .say(&format!("{}\n", language.text("desk-path-now-revoked")))?;
                if matches!(path, Path::Blocked(_)) && !wish.no_replacement {
                    self.reset()?;
                }
                None
            }
            None => {
                self.wizard
                    .say(&format!("{}\n", language.text("desk-path-until-first-use")))?;
                Some(old.key_id)
            }
        };
        self.successor(wish, held, old.which(), replaces)
    }

    /// Which of a person's keys an earlier run left without its successor, if any. A key that still counts (a replacement was begun, and now the key
    /// itself is lost) comes first on a path that revokes: what was begun waits.
    fn begun(&self, path: &Path, wish: &Wish, held: &Held) -> Option<Which> {
        let why = path.why().map(Why::word);
        [Which::Main, Which::Spare].into_iter().find(|which| {
            let task = self.task(wish, held, *which, Document::StaffCard, None);
            let asked = self.wizard.journal.is_unfinished(&task);
            let mut of_kind = held.keys.iter().filter(|key| key.which() == *which);
            let Some(why) = why else { return asked };
            let last = of_kind.clone().next_back();
            let gone = last.is_some_and(|key| {
                key.state == "revoked" && key.state_reason.as_deref() == Some(why)
            });
            let works = of_kind.any(|key| key.state == "live");
            (asked || gone) && !works
        })
    }

    /// Whether the run goes on with what was begun. Where another key could be meant, the person says so: what is not asked here is revoked there.
    fn goes_on(&mut self, path: &Path, which: Which, alone: bool) -> Result<bool, WizardError> {
        let language = self.wizard.language;
        let key = match which {
            Which::Main => language.text("desk-key-main"),
            Which::Spare => language.text("desk-key-spare"),
        };
        let begun = language.text_with("desk-path-begun", &[("key", key.into())]);
        if alone || path.why().is_none() {
            self.wizard.say(&format!("{begun}\n"))?;
            return Ok(true);
        }
        self.yes(&format!(
            "{begun} {} ",
            language.text("desk-path-ask-go-on")
        ))
    }

    fn choose(
        &mut self,
        candidates: &[(usize, &HeldKey)],
        always_asked: bool,
    ) -> Result<Option<HeldKey>, WizardError> {
        if candidates.is_empty() || (candidates.len() == 1 && !always_asked) {
            return Ok(candidates.first().map(|(_, only)| (*only).clone()));
        }
        let language = self.wizard.language;
        loop {
            self.wizard
                .say(&format!("{} ", language.text("desk-path-which-one")))?;
            let typed = self.wizard.line()?;
            let number = typed.trim().parse::<usize>().ok();
            if let Some((_, key)) = candidates.iter().find(|(at, _)| Some(*at) == number) {
                return Ok(Some((*key).clone()));
            }
        }
    }

    fn in_between(&mut self, others: bool, display: &str) -> Result<(), WizardError> {
        let language = self.wizard.language;
        if others {
            return self
                .wizard
                .say(&format!("{}\n", language.text("desk-path-spare-counts")));
        }
        self.wizard.say(&format!(
            "! {} {}\n",
            language.text("desk-path-last-one"),
            one_line(display, 100)
        ))
    }

    /// Asks for an action, and has the operator seal it.
    fn seal(&mut self, request: Value) -> Result<Sealing, WizardError> {
        let language = self.wizard.language;
        let ended = self.wizard.daemon.ask(request)?;
        let Some(told) = self.wizard.answer(ended)? else {
            return Ok(Sealing::No);
        };
        match (told["outcome"].as_str(), told["state"].as_str()) {
            (Some("sealed"), Some("executed")) => Ok(Sealing::Done),
            (Some("sealed"), Some("pending")) => {
                self.wizard
                    .say(&format!("{}\n", language.text("desk-path-others-too")))?;
                Ok(Sealing::AwaitsOthers)
            }
            _ => {
                self.wizard
                    .say(&format!("{}\n", language.text("desk-path-nothing-done")))?;
                Ok(Sealing::No)
            }
        }
    }

    /// The blocked key itself may serve again, emptied. Whoever erases one types its name.
    fn reset(&mut self) -> Result<(), WizardError> {
        let language = self.wizard.language;
        if !self.yes(&format!("{} ", language.text("desk-path-ask-reset")))? {
            return Ok(());
        }
        loop {
            self.wizard
                .say(&format!("{} ", language.text("desk-path-put-blocked")))?;
            self.wizard.line()?;
            let ended = self.wizard.daemon.ask(json!({ "op": "look" }))?;
            let looked = self.wizard.answer(ended)?.unwrap_or_default();
            // The one that was just revoked is nobody's any more.
            if looked["somebodys"] == true {
                self.wizard
                    .say(&format!("{}\n", language.text("reason-somebodys")))?;
            } else if let Some(name) = looked["name"].as_str()
                && self.wizard.erased(name)?
            {
                return Ok(());
            }
            if !self.yes(&format!("{} ", language.text("desk-path-ask-retry")))? {
                return Ok(());
            }
        }
    }

    fn task(
        &self,
        wish: &Wish,
        held: &Held,
        which: Which,
        document: Document,
        replaces: Option<Uuid>,
    ) -> Task {
        Task {
            person: Person::known(&wish.person, &held.person.display, document),
            which,
            replaces,
        }
    }

    /// Another key, by the same ceremony as any; and, where there is one key alone for somebody with a role, a spare one.
    fn successor(
        &mut self,
        wish: &Wish,
        held: &Held,
        which: Which,
        replaces: Option<Uuid>,
    ) -> Result<(), WizardError> {
        let language = self.wizard.language;
        if wish.no_replacement {
            return Ok(());
        }
        let task = self.task(wish, held, which, Document::StaffCard, replaces);
        let document = match self.wizard.journal.sealed_document(&task) {
            // Begun: it was wanted, and the papers were looked at.
            Some(document) => document,
            None => {
                let wanted = wish.document.is_some()
                    || self.yes(&format!("{} ", language.text("desk-path-ask-another")))?;
                if !wanted {
                    return Ok(());
                }
                self.document(wish)?
            }
        };
        self.hand_out(&self.task(wish, held, which, document, replaces))?;
        if self.came.open {
            return Ok(());
        }
        let now = self.held(&wish.person)?;
        let counting = now.map_or(held.keys_wanted, |now| {
            let left = now.keys.iter().filter(|key| key.counts());
            left.filter(|key| Some(key.key_id) != replaces).count()
        });
        let other = match which {
            Which::Main => Which::Spare,
            Which::Spare => Which::Main,
        };
        if counting < held.keys_wanted
            && self.yes(&format!("{} ", language.text("desk-path-ask-spare")))?
        {
            self.hand_out(&self.task(wish, held, other, document, None))?;
        }
        Ok(())
    }

    fn hand_out(&mut self, task: &Task) -> Result<(), WizardError> {
        if self.wizard.is_done(task) {
            // That was another day's.
            self.wizard.journal.set(task, None)?;
        }
        if !self.wizard.journal.is_unfinished(task) {
            self.wizard.request(task)?;
        }
        self.wizard.see_through(task, "")?;
        if self.wizard.is_done(task) {
            self.came.handed_out.push(task.label());
            let language = self.wizard.language;
            self.wizard.say(&format!(
                "  {} sceau sign-in --person {}\n",
                language.text("desk-path-first-sign-in"),
                task.person.id
            ))?;
        } else {
            self.came.open = true;
        }
        Ok(())
    }

    /// What the person shows. Only its kind is recorded, in the action that the operator seals.
    fn document(&mut self, wish: &Wish) -> Result<Document, WizardError> {
        let language = self.wizard.language;
        if let Some(document) = wish.document {
            return Ok(document);
        }
        let mut text = format!("{}\n", language.text("desk-path-papers"));
        for (number, document) in (1..).zip(Document::ALL) {
            text.push_str(&format!("  {number}  {}\n", document.words(language)));
        }
        self.wizard.say(&text)?;
        loop {
            self.wizard.say("? ")?;
            let typed = self.wizard.line()?;
            let number = typed.trim().parse::<usize>().unwrap_or_default();
            let chosen = number.checked_sub(1).and_then(|at| Document::ALL.get(at));
            if let Some(document) = chosen {
                return Ok(*document);
            }
        }
    }

    fn yes(&mut self, question: &str) -> Result<bool, WizardError> {
        loop {
            self.wizard.say(question)?;
            match self.wizard.line()?.trim().to_lowercase().as_str() {
                "o" | "oui" | "y" | "yes" => return Ok(true),
                "n" | "non" | "no" => return Ok(false),
                _ => {}
            }
        }
    }

    fn leaver(&mut self, person: &str, cascade: bool) -> Result<(), WizardError> {
        let language = self.wizard.language;
        let request = json!({ "op": "lineage", "person": person });
        let told = match self.wizard.daemon.ask(request)? {
            Ended::Failed { message, .. } => {
                self.wizard.say(&format!("  {message}\n"))?;
                self.came.open = true;
                return Ok(());
            }
            ended => self.wizard.answer(ended)?.unwrap_or_default(),
        };
        self.wizard.say(&format!(
            "{}{}",
            lineage::tree(&told, language),
            lineage::totals(&told, language)
        ))?;
        let set = cascade.then(|| {
            let totals = &told["totals"];
            json!({ "sha256": told["sha256"], "persons": totals["persons"], "accounts": totals["accounts"] })
        });
        let told = if cascade {
            language.text("desk-path-all-of-it")
        } else {
            language.text("desk-path-alone")
        };
        self.wizard.say(&format!("{told}\n"))?;
        let request = json!({ "op": "suspend", "person": person, "set": set, "leaves": true });
        match self.seal(request)? {
            Sealing::Done => {
                self.came.suspended = true;
                let held = self.held(person)?;
                let revoked = held.into_iter().flat_map(|held| held.keys);
                let left = revoked.filter(|key| key.state_reason.as_deref() == Some("left"));
                self.came.revoked = left.map(|key| key.key_id).collect();
                self.wizard
                    .say(&format!("{}\n", language.text("desk-path-left")))
            }
            Sealing::AwaitsOthers | Sealing::No => {
                self.came.open = true;
                Ok(())
            }
        }
    }
}
