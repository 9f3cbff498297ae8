//! The pages before a key on a real bus: Chromium's own dialogs ask for the PIN, its own USB code talks to the key, and no agent is there. What
//! virtual authenticators (`scenarios/browser.rs`) cannot show: an attested key under the shipped model policy, a PIN, a plug.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::{browser::Browser, house::House, key::Key, screen::Screen, workstation::PIN};
use serde_json::json;

use super::{awaited, makers, usb_key, with_empty_bus};

/// What the administrator may ask for here.
const POLICY: &str = r#"
@id("close")
permit (principal in Role::"administrator", action == Action::"account.close", resource in Service::"portal");
"#;

/// What the pages' background looks like.
const PAPER: [u8; 3] = [255; 3];

/// A person before a browser with windows.
struct Seat {
    house: House,
    screen: Screen,
    browser: Browser,
}

/// How many messages a key has answered.
fn exchanges(key: &Key) -> Result<u64> {
    let status = key.say("status")?;
    let usb = &status["ports"]["usb"];
    usb["exchanges"].as_u64().context("a USB key")
}

impl Seat {
    /// Presses a button of the page that wants a key. Chromium's dialog stands when the page is darkened and `key`, if it is plugged in, has been asked
    /// what Chromium has to know of it before it asks for the PIN: getInfo, and the tries that are left where there is a PIN.
    fn until_dialog(&self, button: &str, key: Option<(&Key, u64)>) -> Result<()> {
        // The dialog before, if there was one, is gone.
        self.screen
            .becomes("the page stands alone", |now| now == PAPER)?;
        let before = key.map(|(key, _)| exchanges(key)).transpose()?;
        self.browser.press("first", button)?;
        self.screen
            .becomes("a dialog stands before the page", |now| now != PAPER)?;
        if let (Some((key, asked)), Some(before)) = (key, before) {
            awaited("Chromium knows the key", || {
                exchanges(key).is_ok_and(|now| now >= before + asked)
            })?;
        }
        self.screen.focus("chromium")
    }

    /// A picture of the screen, on the host in `target/guest/job`.
    fn picture(&self, name: &str) -> Result<()> {
        let folder = std::env::var_os("SCEAU_JOB").context("the guest's job")?;
        self.screen
            .picture(&PathBuf::from(folder).join(format!("{name}.png")))
    }

    fn type_pin(&self) -> Result<()> {
        self.screen.type_text(PIN)?;
        self.screen.press(&["Return"])
    }

    /// The portal asks for something of the administrator's; the page's path.
    fn asked(&self) -> Result<String> {
        let asked = self.house.service().post(
            "/v1/actions",
            &json!({"type": "account.close", "requester": "admin-1", "params": {},
                "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"},
                "words": {"fr": "Fermer le compte de Jean Dupont", "en": "Close Jean Dupont’s account"}}),
        )?;
        ensure!(asked.status == 201, "{}", asked.text);
        let asked = asked.json();
        ensure!(asked["state"] == "pending", "{asked}");
        let id = asked["action"]["id"].as_str().context("an id")?;
        Ok(format!("/actions/{id}"))
    }

    fn state(&self, path: &str) -> Result<String> {
        let now = self.house.service().get(&format!("/v1{path}"))?.json();
        Ok(now["state"].as_str().unwrap_or_default().to_owned())
    }

    /// The key has no PIN yet: the browser lets its person choose one.
    fn enrols(&self, key: &Key, aaguid: &str) -> Result<()> {
        let invitation = fs::read_to_string(self.house.first_invitation(1)?)?;
        self.browser.person("first", "fr-FR")?;
        self.browser
            .go("first", &format!("/enrol#{}", invitation.trim()))?;
        self.browser.press("first", "#open button")?;
        self.browser
            .ask(&json!({"op": "until", "who": "first", "gone": "#open"}))?;
        self.browser.type_into("first", "#label", "Clé du bureau")?;
        self.until_dialog("#make button", Some((key, 1)))?;
        self.screen.type_text(PIN)?;
        self.screen.press(&["Tab"])?;
        self.screen.type_text(PIN)?;
        self.picture("browser-new-pin")?;
        self.screen.press(&["Return"])?;
        self.browser.reads("first", "La clé est enrôlée.")?;
        let entries = self.house.entries()?;
        let enrolled = entries
            .iter()
            .rfind(|entry| entry["type"] == "key.enrolled")
            .context("an entry tells of it")?;
        println!("attested: {}", enrolled["data"]["attestation"]);
        ensure!(enrolled["data"]["aaguid"] == aaguid, "{enrolled}");
        Ok(())
    }

    fn signs_in_and_steps_back(&self, key: &Key, path: &str) -> Result<()> {
        self.browser.go("first", path)?;
        self.browser.type_into("first", "#person", "admin-1")?;
        self.until_dialog("#sign-in button", Some((key, 2)))?;
        self.picture("browser-pin")?;
        self.type_pin()?;
        self.browser
            .ask(&json!({"op": "until", "who": "first", "gone": "#sign-in"}))?;
        let touches = key.touches_asked()?;
        self.until_dialog("#approve", Some((key, 2)))?;
        self.screen.press(&["Escape"])?;
        self.browser.reads("first", "La clé n’a pas répondu.")?;
        ensure!(self.state(path)? == "pending", "nothing was signed");
        ensure!(key.touches_asked()? == touches, "nothing was touched");
        Ok(())
    }

    /// The key is in a pocket when the button is pressed.
    fn plugs_in_and_approves(&self, key: &Key, path: &str) -> Result<()> {
        key.remove()?;
        let before = exchanges(key)?;
        self.until_dialog("#approve", None)?;
        self.picture("browser-no-key")?;
        key.insert()?;
        awaited("Chromium knows the key", || {
            exchanges(key).is_ok_and(|now| now >= before + 2)
        })?;
        self.type_pin()?;
        self.browser.sees("first", "approved")?;
        ensure!(self.state(path)? == "approved");
        Ok(())
    }

    /// A genuine key, and somebody else's.
    fn is_refused_with_another(&self, other: &Key, path: &str) -> Result<()> {
        self.browser.go("first", path)?;
        self.until_dialog("#approve", Some((other, 1)))?;
        self.screen.press(&["Escape"])?;
        self.browser.reads("first", "La clé n’a pas répondu.")?;
        ensure!(self.state(path)? == "pending", "nothing was signed");
        Ok(())
    }
}

#[test]
fn a_browser_enrols_and_seals_with_a_usb_key_through_its_own_dialogs() -> Result<()> {
    if !with_empty_bus()? {
        return Ok(());
    }
    let (folder, models) = makers()?;
    let mut house = House::found(folder.path(), &[&models[0], &models[1]])?;
    house.kill_server();
    fs::write(house.file("policy/close.cedar"), POLICY)?;
    fs::write(house.file("policy/close.cedarschema"), SCHEMA)?;
    house.start_server()?;
    let screen = Screen::start()?;
    let browser = Browser::windowed(folder.path(), 8440, screen.display())?;
    let seat = Seat {
        house,
        screen,
        browser,
    };
    let story = || -> Result<()> {
        let own = usb_key(folder.path(), "first", &models[0], 0)?;
        own.insert()?;
        seat.enrols(&own, &models[0].aaguid)?;
        let path = seat.asked()?;
        seat.signs_in_and_steps_back(&own, &path)?;
        seat.plugs_in_and_approves(&own, &path)?;
        own.remove()?;
        let other = usb_key(folder.path(), "other", &models[1], 1)?;
        other.insert()?;
        seat.is_refused_with_another(&other, &seat.asked()?)
    };
    let told = story();
    if told.is_err() {
        seat.picture("browser-failed")?;
    }
    told?;
    let (faults, _) = seat.browser.end()?;
    ensure!(faults.is_empty(), "{faults:#?}");
    Ok(())
}

/// The action's type is the house's own.
const SCHEMA: &str = r#"
action "account.close" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
"#;
