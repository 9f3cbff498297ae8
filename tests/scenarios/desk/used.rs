//! Used keys in the box: one that is somebody's is never erased, also when it is slipped in between name and reset; one that was revoked is, by its
//! name. And a run whose power goes between the server's answer and its journal counts the key that was made.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::workstation::PIN;

use super::{Desk, ON_PATHS, enrolled};

/// What a run over a list asks besides, of a key that is not new.
const ERASE: &str = r"Erase all of it[^\n]*\[y/n/k\] $";

impl Desk<'_> {
    /// The journal of the newest list.
    fn journal(&self) -> Result<PathBuf> {
        let folder = self.operator().file("state/sceau/enrolments");
        let mut newest = None;
        for entry in fs::read_dir(folder)? {
            let (path, changed) =
                entry.and_then(|it| Ok((it.path(), it.metadata()?.modified()?)))?;
            let kind = path.extension().is_some_and(|kind| kind == "json");
            if kind && newest.as_ref().is_none_or(|(_, last)| *last < changed) {
                newest = Some((path, changed));
            }
        }
        newest.map(|(path, _)| path).context("a journal")
    }

    /// One run over a list, in which `act` does what is asked, as [`Desk::along`].
    fn box_with(
        &mut self,
        list: &str,
        mut act: impl FnMut(&mut Self, &str) -> Result<Option<String>>,
    ) -> Result<(i32, String)> {
        let receipts = self.stage.path("receipts").to_string_lossy().into_owned();
        self.clear()?;
        self.operator().key.insert()?;
        let run = ["enroll", "--batch", list, "--receipts", &receipts];
        let terminal = self.stage.people.operator.sceau(&run)?;
        let mut questions: Vec<&str> = ON_PATHS.iter().map(|(_, pattern)| *pattern).collect();
        questions.push(ERASE);
        let ended = terminal.converse(&questions, |at| {
            let name = ON_PATHS.get(at).map_or("erase", |(name, _)| name);
            Ok(Some(match act(self, name)? {
                Some(answer) => answer,
                None if matches!(name, "pin" | "new" | "again") => PIN.to_owned(),
                None => "y".to_owned(),
            }))
        })?;
        ended.context("nobody killed it")
    }

    /// The key of this number goes into the reader, alone, and was read.
    fn swap(&self, number: usize) -> Result<String> {
        self.clear()?;
        self.keys[number].insert()?;
        self.there()
    }

    /// `revoked` and `somebodys` are keys of the box: one whose key was revoked, and one that `person` has been handed.
    pub(super) fn used(&mut self, revoked: usize, somebodys: usize, person: &str) -> Result<()> {
        self.operator_again()?;
        let list = self.stage.path("later.csv");
        fs::write(
            &list,
            "person,display,roles,document,keys\nquinn,Quinn Blanc,,passport,\n",
        )?;
        let list = list.to_string_lossy().into_owned();
        let before = enrolled(self.stage)?;
        let (mut put_in, mut replugs, mut asked) = (0, 0, 0);
        let mut saved = None;
        let (code, shown) = self.box_with(&list, |desk, question| {
            Ok(Some(match question {
                "put-in" => {
                    put_in += 1;
                    desk.swap(if put_in == 1 { somebodys } else { revoked })?;
                    String::new()
                }
                // First: another one, please. Then: this one after all.
                "erase" => {
                    asked += 1;
                    if asked == 1 { "n" } else { "y" }.to_owned()
                }
                "name" => desk.there()?,
                // Somebody's is put back in the place of the one that was named: the reader's name is the same.
                "replug" => {
                    replugs += 1;
                    desk.swap(if replugs == 1 { somebodys } else { revoked })?;
                    String::new()
                }
                "new" => {
                    let journal = desk.journal()?;
                    saved = Some((fs::read(&journal)?, journal));
                    return Ok(None);
                }
                _ => return Ok(None),
            }))
        })?;
        ensure!(
            code == 0 && (put_in, replugs, asked) == (3, 2, 3),
            "{put_in} {replugs} {asked}:\n{shown}"
        );
        for told in [
            "is somebody’s already",
            "is not new",
            "is somebody’s, and counts: it is not erased",
            "The key is empty.",
        ] {
            ensure!(shown.contains(told), "«{told}»:\n{shown}");
        }
        ensure!(enrolled(self.stage)? == before + 1, "one more");

        // As if the power had gone before the journal was written: the key lies in the reader, and is counted, not enrolled again.
        let (bytes, journal) = saved.context("a new PIN was asked for")?;
        fs::write(journal, bytes)?;
        fs::remove_file(self.stage.path("receipts/quinn-main.html"))?;
        for there in [Some(revoked), None] {
            let (code, shown) = self.box_with(&list, |desk, question| {
                if question == "put-in" {
                    match there {
                        Some(number) => desk.swap(number).map(drop)?,
                        None => anyhow::bail!("asked for a key though all is done"),
                    }
                    return Ok(Some(String::new()));
                }
                Ok(None)
            })?;
            let counted = shown.contains("before the last interruption");
            ensure!(code == 0 && counted == there.is_some(), "{shown}");
        }
        ensure!(enrolled(self.stage)? == before + 1, "not twice");
        let receipt = fs::read_to_string(self.stage.path("receipts/quinn-main.html"))?;
        ensure!(
            receipt.contains("5cea0000-0000-4000-8000-00000000000a"),
            "{receipt}"
        );

        // Nothing happened to the key that was somebody's, and the emptied one is Quinn's.
        for (number, owner) in [(somebodys, person), (revoked, "quinn")] {
            self.swap(number)?;
            let (code, shown) = self.signs_in(owner, PIN)?;
            ensure!(code == 0, "{owner}:\n{shown}");
        }
        Ok(())
    }

    /// Where more than a thousand keys of a model are somebody's, nobody can tell whether one of them is: the one of this number is `person`'s, among
    /// those that the server does not name, and is not erased.
    pub(super) fn beyond_a_thousand(&mut self, number: usize, person: &str) -> Result<()> {
        self.operator_again()?;
        let database = self.stage.house.file("sceau.db");
        let thousand = include_str!("../../../server/tests/server/a-thousand-keys.sql");
        crate::log::sql(&database, thousand)?;
        let list = self.stage.path("too-many.csv");
        fs::write(
            &list,
            "person,display,roles,document,keys\nrita,Rita Roux,,passport,\n",
        )?;
        let list = list.to_string_lossy().into_owned();
        let before = enrolled(self.stage)?;
        let (mut put_in, mut asked, mut named) = (0, 0, 0);
        let (code, shown) = self.box_with(&list, |desk, question| {
            Ok(Some(match question {
                // Then it is left for another day.
                "put-in" => {
                    put_in += 1;
                    if put_in > 1 {
                        return Ok(Some("s".to_owned()));
                    }
                    desk.swap(number)?;
                    String::new()
                }
                "erase" => {
                    asked += 1;
                    if asked == 1 { "y" } else { "n" }.to_owned()
                }
                "name" => {
                    named += 1;
                    desk.there()?
                }
                "replug" => {
                    desk.swap(number)?;
                    String::new()
                }
                _ => return Ok(None),
            }))
        })?;
        ensure!(
            code == 1 && (put_in, asked, named) == (2, 2, 1),
            "{code} {put_in} {asked} {named}:\n{shown}"
        );
        ensure!(
            shown.contains("nobody can tell whether this one is somebody’s: it is not erased here")
                && !shown.contains("The key is empty."),
            "{shown}"
        );
        crate::log::sql(&database, "DELETE FROM enrolled_key WHERE person = 'stock'")?;
        ensure!(enrolled(self.stage)? == before, "none more");
        self.swap(number)?;
        let (code, shown) = self.signs_in(person, PIN)?;
        ensure!(code == 0, "{shown}");
        Ok(())
    }
}
