//! Cards: real PIV firmware behind a real PC/SC daemon, attested by a test manufacturer, enrolled by the help-desk, sealing beside FIDO2 keys.

use std::{fs, io::Write as _, path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    card::{CARD_PIN, CardMaker},
    house::pending,
    key::Key,
    place,
    process::eventually,
    stage::Stage,
    terminal::Terminal,
    workstation::Workstation,
};
use serde_json::{Value, json};

/// A stage whose server enrols the cards of a maker.
struct Cards {
    stage: Stage,
    maker: CardMaker,
}

impl Cards {
    fn set() -> Result<Self> {
        let stage = Stage::set()?;
        let maker = CardMaker::found(&stage.path("cards"), 2)?;
        let roots = stage.house.file("piv-roots");
        fs::create_dir(&roots)?;
        for file in maker.trusted() {
            fs::copy(&file, roots.join(file.file_name().context("a name")?))?;
        }
        let mut cards = Self { stage, maker };
        cards.configure("\n[piv]\nroots = \"piv-roots\"\n")?;
        Ok(cards)
    }

    /// Writes more into the server's configuration, and starts it again.
    fn configure(&mut self, more: &str) -> Result<()> {
        let house = &mut self.stage.house;
        let mut config = fs::OpenOptions::new().append(true).open(house.config())?;
        config.write_all(more.as_bytes())?;
        house.kill_server();
        house.start_server()?;
        Ok(())
    }

    /// A workstation with a new card, and a manager's invitation for its person.
    fn person(
        &self,
        number: u16,
        id: &str,
        display: &str,
        card: impl FnOnce(&CardMaker, &Path, u16) -> Result<Key>,
    ) -> Result<(Workstation, String)> {
        let people = &self.stage.people;
        let operators = [&people.operator, &people.admin];
        let house = &self.stage.house;
        let invitation = house.invite(&people.operator, &operators, id, display, &["manager"])?;
        let mut workstation = Workstation::at_reader(
            &self.stage.path(""),
            number,
            id,
            &house.for_agents(),
            |folder, port| card(&self.maker, folder, port),
        )?;
        workstation.start_agent()?;
        Ok((workstation, invitation.to_string_lossy().into_owned()))
    }

    /// The same, enrolled.
    fn enrolled(
        &self,
        number: u16,
        id: &str,
        display: &str,
        algorithm: &str,
    ) -> Result<Workstation> {
        let options = ["--touch", "always", "--algorithm", algorithm];
        let (workstation, invitation) =
            self.person(number, id, display, |maker, folder, port| {
                maker.card(folder, display, &options, port)
            })?;
        enrol(&workstation, &["--invitation-file", &invitation])?;
        Ok(workstation)
    }

    /// An action of that type which this person asks for; waiting at their agent.
    fn asked(&self, kind: &str, person: &Workstation) -> Result<String> {
        let asked = self.stage.house.service().post(
            "/v1/actions",
            &json!({"type": kind, "requester": person.person, "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
        )?;
        let id = asked.json()["action"]["id"]
            .as_str()
            .with_context(|| asked.text.clone())?
            .to_owned();
        waits(person, &id)?;
        Ok(id)
    }

    fn evidence(&self, action: &str) -> Result<Value> {
        let house = &self.stage.house;
        let evidence = house
            .service()
            .get(&format!("/v1/actions/{action}/evidence"))?;
        // An auditor has the roots of keys and of cards.
        let roots = self.stage.path("auditor");
        fs::create_dir_all(&roots)?;
        for folder in ["anchors", "piv-roots"] {
            for file in fs::read_dir(house.file(folder))? {
                let file = file?;
                fs::copy(file.path(), roots.join(file.file_name()))?;
            }
        }
        let bundle = self.stage.path("evidence.json");
        fs::write(&bundle, &evidence.text)?;
        let out = Command::new(place::bin("sceau-verify"))
            .arg("evidence")
            .arg(&bundle)
            .arg("--log-key")
            .arg(fs::read_to_string(house.file("log.vkey"))?.trim())
            .arg("--roots")
            .arg(&roots)
            .output()?;
        let verdict: Value = serde_json::from_slice(&out.stdout)?;
        ensure!(verdict["verdict"] == "accepted", "{verdict:#}");
        self.second_opinion(&bundle, &roots)?;
        Ok(evidence.json())
    }

    /// The checker that was written from the document alone says the same, and no to another signature.
    fn second_opinion(&self, bundle: &Path, roots: &Path) -> Result<()> {
        let ready = Command::new("python3")
            .args(["-c", "import cryptography"])
            .output();
        if !ready.is_ok_and(|out| out.status.success()) {
            eprintln!("SKIPPED: python3 with the package `cryptography` is not there");
            return Ok(());
        }
        let key = fs::read_to_string(self.stage.house.file("log.vkey"))?;
        let check = |bundle: &Path| {
            Command::new("python3")
                .arg(place::root().join("tests/peers/evidence_check.py"))
                .arg(bundle)
                .args(["--log-key", key.trim(), "--roots"])
                .arg(roots)
                .output()
        };
        let out = check(bundle)?;
        ensure!(out.status.success(), "{out:?}");
        let mut forged: Value = serde_json::from_slice(&fs::read(bundle)?)?;
        let approvals = forged["approvals"].as_array_mut().context("approvals")?;
        for approval in approvals {
            let other = approval["key"]["registration"]["signature"].clone();
            if approval["key"]["kind"] == "piv" {
                approval["response"]["signature"] = other;
                let place = self.stage.path("forged.json");
                fs::write(&place, serde_json::to_vec(&forged)?)?;
                let out = check(&place)?;
                ensure!(!out.status.success(), "another signature: {out:?}");
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What a person with a card answers.
fn answers(pin: &str) -> [(&'static str, &str); 2] {
    [
        (r"Seal this action\? [^\n]*: $", "y"),
        (r"PIN of the card [^\n]*: $", pin),
    ]
}

fn enrol(person: &Workstation, words: &[&str]) -> Result<()> {
    let (code, shown) = person
        .sceau(&[&["enroll"], words].concat())?
        .answer(&answers(CARD_PIN))?;
    ensure!(
        code == 0,
        "{} could not enrol ({code}):\n{shown}",
        person.person
    );
    Ok(())
}

fn waits(person: &Workstation, action: &str) -> Result<()> {
    eventually("the agent has the action", Duration::from_secs(10), || {
        pending(person).is_ok_and(|ids| ids.iter().any(|id| id == action))
    })?;
    Ok(())
}

fn seal(person: &Workstation, action: &str) -> Result<()> {
    let (code, shown) = person
        .sceau(&["approve", action])?
        .answer(&answers(CARD_PIN))?;
    ensure!(
        code == 0,
        "{} could not seal ({code}):\n{shown}",
        person.person
    );
    Ok(())
}

/// `sceau approve` up to the question for the PIN; how many tries it says are left.
fn asked_for_pin(person: &Workstation, action: &str) -> Result<(Terminal, u32)> {
    let mut terminal = person.sceau(&["approve", action])?;
    terminal.read("Seal this action?")?;
    terminal.type_line("y")?;
    let left = tries_left(&mut terminal)?;
    Ok((terminal, left))
}

fn tries_left(terminal: &mut Terminal) -> Result<u32> {
    terminal.read("PIN of the card")?;
    let (_, left) = terminal.read_pattern(r"tries left: \d+")?;
    let left = left.rsplit(' ').next().context("a number")?;
    Ok(left.parse()?)
}

#[test]
fn p256_and_rsa_cards_enrol_approve_and_convince_an_auditor() -> Result<()> {
    let cards = Cards::set()?;
    for (number, id, display, algorithm) in [
        (4, "carol", "Carol Petit", "p256"),
        (5, "rachid", "Rachid Morel", "rsa2048"),
    ] {
        let person = cards.enrolled(number, id, display, algorithm)?;
        let touched = person.key.touches_asked()?;
        let action = cards.asked("account.create", &person)?;
        seal(&person, &action)?;
        assert_eq!(cards.stage.state(&action)?, "approved", "{algorithm}");
        assert_eq!(
            person.key.touches_asked()?,
            touched + 1,
            "one touch for one seal"
        );
        let bundle = cards.evidence(&action)?;
        let key = &bundle["approvals"][0]["key"];
        assert_eq!(key["kind"], "piv");
        assert!(key["registration"]["attestation"].is_string(), "{key}");
        cards
            .stage
            .logged(&["key.enrolled", "\"attested\"", "\"always\""])?;
    }
    Ok(())
}

#[test]
fn a_wrong_pin_tells_the_tries_left_and_a_pulled_card_seals_nothing() -> Result<()> {
    let cards = Cards::set()?;
    let carol = cards.enrolled(4, "carol", "Carol Petit", "p256")?;
    let action = cards.asked("account.create", &carol)?;

    let (mut terminal, left) = asked_for_pin(&carol, &action)?;
    terminal.type_line("999999")?;
    terminal.read("Wrong.")?;
    assert_eq!(
        tries_left(&mut terminal)?,
        left - 1,
        "one try for one PIN that was typed"
    );
    sleep(Duration::from_secs(1)); // in which nothing tries again by itself
    assert_eq!(cards.stage.state(&action)?, "pending");
    // Between the right PIN and the signature the card is pulled.
    carol.key.say("touch never")?;
    terminal.type_line(CARD_PIN)?;
    terminal.read("Touch the key")?;
    carol.key.remove()?;
    let (code, rest) = terminal.end()?;
    assert_ne!(code, 0, "{rest}");
    assert_eq!(cards.stage.state(&action)?, "pending", "{rest}");

    carol.key.say("touch approve")?;
    carol.key.insert()?;
    waits(&carol, &action)?;
    let (mut terminal, again) = asked_for_pin(&carol, &action)?;
    assert_eq!(again, left, "the right PIN gave the tries back");
    terminal.type_line(CARD_PIN)?;
    let (code, rest) = terminal.end()?;
    assert_eq!(code, 0, "{rest}");
    assert_eq!(cards.stage.state(&action)?, "approved");
    Ok(())
}

#[test]
fn a_four_eyes_action_takes_one_card_and_one_fido2_key() -> Result<()> {
    let cards = Cards::set()?;
    let carol = cards.enrolled(4, "carol", "Carol Petit", "p256")?;
    let action = cards.asked("right.grant", &carol)?;
    seal(&carol, &action)?;
    assert_eq!(cards.stage.state(&action)?, "pending", "one pair of eyes");
    // The first administrator sealed Carol's enrolment, the second had no part in it.
    let second = &cards.stage.people.second;
    waits(second, &action)?;
    let (code, shown) = second.approve(&action)?;
    assert_eq!(code, 0, "{shown}");
    assert_eq!(cards.stage.state(&action)?, "approved");
    let bundle = cards.evidence(&action)?;
    let kinds = [0, 1].map(|i| bundle["approvals"][i]["key"]["kind"].clone());
    assert_eq!(kinds, ["piv", "fido2"]);
    Ok(())
}

#[test]
fn a_card_that_signs_without_a_touch_is_refused_in_words() -> Result<()> {
    let cards = Cards::set()?;
    let (carol, invitation) = cards.person(4, "carol", "Carol Petit", |maker, folder, port| {
        maker.card(folder, "Carol Petit", &["--touch", "never"], port)
    })?;
    let (code, shown) = carol
        .sceau(&["enroll", "--invitation-file", &invitation])?
        .answer(&answers(CARD_PIN))?;
    assert_ne!(code, 0, "{shown}");
    assert!(shown.contains("touch-policy-never"), "{shown}");
    assert!(shown.contains("without a touch"), "{shown}");
    let refused = cards.stage.logged(&["enrolment.refused"])?;
    assert_eq!(refused["data"]["reason"], "touch-policy-never");
    Ok(())
}

#[test]
fn a_card_and_a_key_of_one_person_are_both_enrolled_and_either_seals() -> Result<()> {
    let cards = Cards::set()?;
    let model = cards.stage.models[0].clone();
    let (carol, invitation) = cards.person(4, "carol", "Carol Petit", |maker, folder, port| {
        maker.beside(folder, "Carol Petit", &model, port)
    })?;
    enrol(&carol, &["--card", "--invitation-file", &invitation])?;
    carol.key.say("remove piv")?;
    let people = &cards.stage.people;
    let operators = [&people.operator, &people.admin];
    let house = &cards.stage.house;
    let second = house.invite(&people.operator, &operators, "carol", "Carol Petit", &[])?;
    carol.enroll(&second)?;

    let action = cards.asked("account.create", &carol)?;
    let (code, shown) = carol.approve(&action)?;
    assert_eq!(code, 0, "{shown}");
    carol.key.say("remove fido")?;
    carol.key.say("insert 5000 piv")?;
    let other = cards.asked("account.create", &carol)?;
    seal(&carol, &other)?;
    for (action, kind) in [(action, "fido2"), (other, "piv")] {
        assert_eq!(cards.stage.state(&action)?, "approved");
        assert_eq!(
            cards.evidence(&action)?["approvals"][0]["key"]["kind"],
            kind
        );
    }
    Ok(())
}

#[test]
fn a_card_by_its_office_seals_what_a_rule_allows_until_it_is_revoked() -> Result<()> {
    let mut cards = Cards::set()?;
    let (office, list) = (cards.maker.office(), cards.stage.house.file("office.crl"));
    let policy = cards.stage.house.file("policy");
    fs::write(
        policy.join("note.cedarschema"),
        r#"action "note.write" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };"#,
    )?;
    fs::write(
        policy.join("note.cedar"),
        r#"@id("note") @key("attested-or-issued") permit (principal, action == Action::"note.write", resource);"#,
    )?;
    // The office is founded with its first card.
    cards
        .maker
        .issued(&cards.stage.path("specimen"), "Specimen", 0x8B00)
        .map(drop)?;
    cards.maker.publish(None, &list)?;
    cards.configure(&format!(
        "[[piv.issuer]]\nname = \"Card office\"\ncertificate = {:?}\npolicies = []\ncrl = [\"office.crl\"]\n",
        office.join("root.pem")
    ))?;
    let (carol, invitation) = cards.person(4, "carol", "Carol Petit", |maker, folder, port| {
        maker.issued(folder, "Carol Petit", port)
    })?;
    enrol(&carol, &["--invitation-file", &invitation])?;

    let privileged = cards.asked("account.create", &carol)?;
    assert!(seal(&carol, &privileged).is_err(), "not attested");
    assert_eq!(cards.stage.state(&privileged)?, "pending");
    let note = cards.asked("note.write", &carol)?;
    seal(&carol, &note)?;
    assert_eq!(cards.stage.state(&note)?, "approved");

    let certificate = carol.file("key/flash/piv/certificate-9c.pem");
    cards.maker.publish(Some(&certificate), &list)?;
    let note = cards.asked("note.write", &carol)?;
    assert!(seal(&carol, &note).is_err(), "revoked");
    assert_eq!(cards.stage.state(&note)?, "pending");
    let rejected = cards.stage.logged(&["approval.rejected"])?;
    assert_eq!(rejected["data"]["reason"], "certificate-revoked");
    Ok(())
}

#[test]
fn a_card_that_attests_its_silent_key_keeps_its_session_until_it_is_pulled() -> Result<()> {
    let mut cards = Cards::set()?;
    cards.configure("\n[presence]\ninterval = \"3s\"\n")?;
    let (carol, invitation) = cards.person(4, "carol", "Carol Petit", |maker, folder, port| {
        let options = ["--touch", "always", "--slot", "9e"];
        maker.card(folder, "Carol Petit", &options, port)
    })?;
    enrol(&carol, &["--invitation-file", &invitation])?;
    let browser = cards.stage.house.gate();
    let begun = browser.post("/.sceau/session", &json!({"person": carol.person}))?;
    ensure!(begun.status == 201, "{} {}", begun.status, begun.text);
    let action = begun.json()["action_id"].clone();
    let action = action.as_str().context("an action")?;
    waits(&carol, action)?;
    seal(&carol, action)?;
    let is = |state: &str| {
        browser
            .get("/.sceau/session")
            .is_ok_and(|answer| answer.json()["state"] == state)
    };
    eventually("she is in", Duration::from_secs(10), || is("active"))?;
    let touched = carol.key.touches_asked()?;
    // Longer than one proof holds.
    sleep(Duration::from_secs(7));
    assert!(is("active"), "{}", carol.agent_log());
    assert_eq!(carol.key.touches_asked()?, touched, "in silence");
    let me = cards.stage.house.person(&carol)?.get("/v1/me")?.json();
    assert_eq!(
        me["presence"]["keys"][0]["presence"]["ability"], "uncounted",
        "{me}"
    );
    carol.key.remove()?;
    eventually("the pulled card ends it", Duration::from_secs(3), || {
        is("ended")
    })?;
    cards.stage.logged(&["session.ended", "presence"])?;
    Ok(())
}
