//! A key that knows no `setMinPINLength` (CTAP 2.0), where a PIN for the way was wished: it cannot be made to insist on another PIN, so its person types
//! one at the desk, and no slip is written. The cable is pulled while they type: the same person is asked for the key again.

use anyhow::{Result, ensure};
use e2e::{key::Key, workstation::PIN};

use super::Desk;

impl Desk<'_> {
    /// `person` gets such a key in the place of their own.
    pub(super) fn older(&mut self, person: &str) -> Result<()> {
        self.operator_again()?;
        let wish = [
            "replace",
            person,
            "--document",
            "passport",
            "--transport-pin",
        ];
        let mut typed = 0;
        let (code, shown) = self.along(&wish, |desk, asked| {
            typed += usize::from(asked == "new");
            match (asked, typed) {
                ("new", 1) => desk.clear()?,
                ("put-in", 1) => {
                    let number = desk.keys.len() - 1;
                    desk.put(number)?;
                    return Ok(Some(String::new()));
                }
                _ => {}
            }
            if asked != "put-in" {
                return Ok(None);
            }
            let folder = desk.stage.path("older");
            let options = ["--fido", "--out", "--misbehave", "ctap20"];
            let model = Some(&desk.stage.models[0]);
            let key = Key::start(&folder, model, desk.operator().port(), &options)?;
            desk.clear()?;
            key.insert()?;
            desk.keys.push(key);
            Ok(Some(String::new()))
        })?;
        ensure!(code == 0 && typed == 2, "{shown}");
        ensure!(
            shown.contains("cannot be made to insist on another PIN"),
            "{shown}"
        );
        let slip = self.stage.path(&format!("receipts/{person}-main-pin.html"));
        ensure!(
            !slip.exists(),
            "a PIN for the way that the key did not take"
        );
        let (code, shown) = self.signs_in(person, PIN)?;
        ensure!(code == 0 && !shown.contains("choose your own"), "{shown}");
        Ok(())
    }
}
