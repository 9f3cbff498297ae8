//! A back office with a real browser (Chromium) before the gate, with Hyyypertool's shipped route file: each kind of privileged request (HTMX, `fetch`
//! with a multipart body, classic form) waits for the key and then works on its own page; refusals and time-outs never look like success; what is
//! read is counted right. The back office is `tests/peers/backoffice.mjs`, the browser `tests/peers/moderator.mjs`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{http::Client, place, process::Running, stage::Stage, workstation::Workstation};
use serde_json::{Value, json};

const NAME: &str = "localhost:8441";
const UPSTREAM: &str = "127.0.0.1:8446";
/// How long the gate holds here; short, so that time-outs come soon.
const HOLD: &str = "5s";
/// How long a page may take to show something.
const SOON: u64 = 10_000;

/// The browser.
struct Browser {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    fn start() -> Result<Self> {
        let mut process = Command::new("node")
            .arg(place::root().join("tests/peers/moderator.mjs"))
            .arg(format!("http://{NAME}"))
            .env("SCEAU_PEERS", place::target().join("peers"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = process.stdin.take().context("its input")?;
        let answers = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Self {
            process,
            ask,
            answers,
        })
    }

    fn ask(&mut self, question: Value) -> Result<Value> {
        writeln!(self.ask, "{question}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("{question}: the browser answered {line:?}"))?;
        ensure!(answer["error"].is_null(), "{question}: {answer}");
        Ok(answer)
    }

    fn open(&mut self, path: &str) -> Result<Value> {
        self.ask(json!({"op": "open", "path": path}))
    }

    fn click(&mut self, on: &str) -> Result<()> {
        self.ask(json!({"op": "click", "on": on})).map(drop)
    }

    fn see(&mut self, on: &str, text: &str) -> Result<Value> {
        self.ask(json!({"op": "see", "on": on, "text": text, "within": SOON}))
    }

    fn arrive(&mut self, path: &str) -> Result<Value> {
        self.ask(json!({"op": "arrive", "path": path, "within": SOON}))
    }

    fn rows(&mut self) -> Result<u64> {
        let answer = self.ask(json!({"op": "rows"}))?;
        answer["rows"].as_u64().context("a number of rows")
    }

    /// How many records the gate says were read, of how many, when so many more are asked for than a touch opens.
    fn counted(&mut self, path: &str) -> Result<(u64, u64)> {
        let answer =
            self.ask(json!({"op": "fetch", "path": path, "headers": {"prefer": "respond-async"}}))?;
        let problem = &answer["json"];
        let number = |name: &str| problem[name].as_u64().with_context(|| answer.to_string());
        ensure!(
            answer["status"] == 409 || answer["status"] == 403,
            "{answer}"
        );
        Ok((number("read")?, number("wanted")?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The shipped route file, with this machine's names.
fn routes() -> Result<String> {
    let shipped = fs::read_to_string(place::root().join("docs/gate/hyyypertool.toml"))?;
    let mut ours = shipped
        .replace("hyyypertool.example.gouv.fr", NAME)
        .replace("127.0.0.1:3000", UPSTREAM);
    for name in [NAME, UPSTREAM] {
        ensure!(ours.contains(name), "the shipped file has another shape");
    }
    ours = ours.replacen("service =", &format!("hold = \"{HOLD}\"\nservice ="), 1);
    Ok(ours)
}

fn stage() -> Result<(Stage, Running)> {
    let mut stage = Stage::set()?;
    let house = &mut stage.house;
    fs::write(house.file("hyyypertool.toml"), routes()?)?;
    let config = fs::read_to_string(house.config())?;
    let both = config.replace(
        "routes = [\"portal.toml\"]",
        "routes = [\"portal.toml\", \"hyyypertool.toml\"]",
    );
    fs::write(house.config(), both)?;
    // The shipped policy, with the moderators' rights in the hands of whom this stage has.
    let policy = house.file("policy/hyyypertool.cedar");
    let shipped = fs::read_to_string(&policy)?;
    fs::write(
        &policy,
        shipped.replace("Role::\"moderator\"", "Role::\"manager\""),
    )?;
    house.kill_server();
    house.start_server()?;
    let mut backoffice = Running::start(
        "backoffice",
        &stage.path(""),
        Command::new("node")
            .arg(place::root().join("tests/peers/backoffice.mjs"))
            .arg(UPSTREAM)
            .env("SCEAU_PEERS", place::target().join("peers")),
    )?;
    backoffice.wait_ready(Duration::from_secs(10), || {
        Client::new(&format!("http://{UPSTREAM}"))
            .get("/_journal")
            .is_ok()
    })?;
    Ok((stage, backoffice))
}

/// What the back office executed, as `METHOD path`; each of it with a permit.
fn executed() -> Result<Vec<String>> {
    let journal = Client::new(&format!("http://{UPSTREAM}"))
        .get("/_journal")?
        .json();
    let entries = journal.as_array().context("a list")?;
    for entry in entries {
        ensure!(entry["permit"] == true, "without a permit: {entry}");
    }
    Ok(entries
        .iter()
        .map(|entry| {
            format!(
                "{} {}",
                entry["method"].as_str().unwrap_or_default(),
                entry["path"].as_str().unwrap_or_default()
            )
        })
        .collect())
}

fn refuse(person: &Workstation, action: &str) -> Result<()> {
    let out = person
        .command("sceau")
        .args(["refuse", action, "--reason", "mistake"])
        .output()?;
    ensure!(
        out.status.code().is_some_and(|code| code < 2),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

fn approve(person: &Workstation, action: &str) -> Result<String> {
    let (code, shown) = person.approve(action)?;
    ensure!(code == 0, "{shown}");
    Ok(shown)
}

/// What is shown on a terminal, without its line breaks.
fn flat(shown: &str) -> String {
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_back_office_works_in_a_real_browser_and_each_privileged_request_waits_for_the_key()
-> Result<()> {
    let (stage, _backoffice) = stage()?;
    let house = &stage.house;
    let mut browser = Browser::start()?;

    // What is not privileged is as it is without the gate: pages, and the application's own log-in. Lists of persons want a session of the gate.
    assert_eq!(browser.open("/")?["title"], "Connexion");
    sign_in(&stage, &mut browser)?;
    browser.click("#login")?;
    assert_eq!(browser.arrive("/moderations")?["title"], "Modérations");
    assert_eq!(executed()?, Vec::<String>::new());

    lists(&stage, &mut browser)?;
    htmx(&stage, &mut browser)?;
    script(&stage, &mut browser)?;
    form(&stage, &mut browser)?;

    assert_eq!(executed()?.len(), 8, "each once: {:?}", executed()?);
    assert_eq!(
        house.executed()?,
        Vec::<String>::new(),
        "the other application saw none of it"
    );
    let faults = browser.ask(json!({"op": "end"}))?;
    assert_eq!(faults["faults"], json!([]));
    Ok(())
}

fn sign_in(stage: &Stage, browser: &mut Browser) -> Result<()> {
    let alice = &stage.people.manager;
    let led = browser.open("/users?page_size=60")?;
    ensure!(led["title"] == "Se connecter avec sa clé", "{led}");
    browser.ask(json!({"op": "sign-in", "person": "alice"}))?;
    approve(alice, &stage.house.awaited(alice)?)?;
    browser.arrive("/")?;
    Ok(())
}

/// A page that polls each second is counted once; a row is the same record on the list and on its own page.
fn lists(stage: &Stage, browser: &mut Browser) -> Result<()> {
    let alice = &stage.people.manager;
    browser.open("/users?page_size=60")?;
    assert_eq!(browser.rows()?, 60);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(browser.rows()?, 60, "it polls, and shows what it showed");
    browser.open("/users/7")?;
    browser.open("/organizations/domains")?;
    // Sixty were read; sixty more are more than the touch opened.
    let (read, wanted) = browser.counted("/users?page=2&page_size=60")?;
    assert_eq!((read, wanted), (60, 60));
    let action = stage.house.awaited(alice)?;
    approve(alice, &action)?;
    browser.open("/users?page=2&page_size=60")?;
    assert_eq!(browser.rows()?, 60);
    // More than a touch opens is refused at once; what was counted within the window costs nothing again.
    let (read, wanted) = browser.counted("/users?page=2&page_size=120")?;
    assert_eq!((read, wanted), (60, 120));
    browser.open("/users?page=1&page_size=121")?;
    assert_eq!(browser.rows()?, 121);
    let (read, _) = browser.counted("/users?page=2&page_size=120")?;
    assert_eq!(read, 61);
    Ok(())
}

/// Kind A: `hx-patch`, `hx-delete`.
fn htmx(stage: &Stage, browser: &mut Browser) -> Result<()> {
    let (house, alice) = (&stage.house, &stage.people.manager);
    browser.open("/moderations/12")?;
    browser.click("#reprocess")?;
    let action = house.awaited(alice)?;
    let shown = flat(&approve(alice, &action)?);
    assert!(
        shown.contains("AND remove the user from the organisation"),
        "{shown}"
    );
    assert!(shown.contains("Modération de Camille Durand"), "{shown}");
    assert!(!shown.contains("page=1"), "noise is not told: {shown}");
    let seen = browser.see("#state", "reprocess")?;
    assert_eq!(seen["url"], "/moderations/12", "on its own page");

    // Refused: it is said, nothing is executed, and there is a way back.
    browser.click("#processed")?;
    let action = house.awaited(alice)?;
    refuse(alice, &action)?;
    let seen = browser.arrive(&format!("/.sceau/actions/{action}"))?;
    assert_eq!(seen["title"], "Demande non exécutée");
    browser.see("#status", "rien n’a été exécuté")?;
    browser.click("#next")?;
    browser.arrive("/moderations/12")?;
    browser.see("#state", "reprocess")?;
    assert_eq!(executed()?, ["PATCH /moderations/12/reprocess"]);

    // Four eyes: the page is led to the approval, the gate executes, and the page is where it was.
    browser.open("/users/7")?;
    browser.click("#mfa")?;
    let action = house.awaited(alice)?;
    browser.arrive(&format!("/.sceau/actions/{action}"))?;
    approve(alice, &action)?;
    let seen = browser.see("#status", "attend une clé")?;
    assert_eq!(seen["title"], "En attente de la clé");
    approve(&stage.people.admin, &action)?;
    browser.arrive("/users/7")?;
    browser.see("#state", "MFA retirée 1 fois")?;

    // What the application refuses itself does not pass for a success: the page says so, stays, and leads back when it is asked to.
    browser.click("#password")?;
    let action = house.awaited(alice)?;
    browser.arrive(&format!("/.sceau/actions/{action}"))?;
    approve(alice, &action)?;
    approve(&stage.people.admin, &action)?;
    browser.see("#status", "a répondu par une erreur")?;
    browser.click("#next")?;
    browser.arrive("/users/7")?;

    // Where the answer leads elsewhere, so does the gate.
    browser.click("#delete")?;
    let action = house.awaited(alice)?;
    browser.arrive(&format!("/.sceau/actions/{action}"))?;
    approve(alice, &action)?;
    approve(&stage.people.admin, &action)?;
    browser.arrive("/users")?;
    let done = executed()?;
    assert_eq!(done[1], "PATCH /users/7/reset/mfa");
    assert!(
        done[2].starts_with("PATCH /users/7/reset/password"),
        "{done:?}"
    );
    assert!(done[3].starts_with("DELETE /users/7"), "{done:?}");
    Ok(())
}

/// Kind B: plain `fetch` with a multipart body.
fn script(stage: &Stage, browser: &mut Browser) -> Result<()> {
    let (house, alice) = (&stage.house, &stage.people.manager);
    browser.open("/moderations/13")?;
    browser.click("#validate")?;
    let shown = flat(&approve(alice, &house.awaited(alice)?)?);
    assert!(
        shown.contains("AND declare the whole domain of the e-mail address verified"),
        "{shown}"
    );
    browser.see("#said", "Terminé")?;
    browser.see("#state", "validate")?;

    // Refused: the page's own code says that it failed.
    browser.open("/moderations/14")?;
    browser.click("#validate")?;
    refuse(alice, &house.awaited(alice)?)?;
    browser.see("#said", "Échec (403)")?;

    // Nobody touches the key in time; then somebody does, and the person presses the button again. (Browsers draw another boundary.)
    browser.open("/moderations/15")?;
    browser.click("#reject")?;
    let action = house.awaited(alice)?;
    browser.see("#said", "Échec (409)")?;
    let shown = flat(&approve(alice, &action)?);
    assert!(shown.contains("Domaine inconnu"), "{shown}");
    assert!(
        !executed()?
            .iter()
            .any(|done| done.contains("/moderations/15/"))
    );
    browser.click("#reject")?;
    browser.see("#said", "Terminé")?;
    let done = executed()?;
    assert!(!done.iter().any(|done| done.contains("/moderations/14/")));
    assert_eq!(
        done.iter()
            .filter(|done| done.contains("/moderations/15/"))
            .count(),
        1
    );
    Ok(())
}

/// Kind C: a classic form, on a page that tells no referrer.
fn form(stage: &Stage, browser: &mut Browser) -> Result<()> {
    let (house, alice) = (&stage.house, &stage.people.manager);
    browser.open("/response-templates")?;
    browser.click("#create")?;
    approve(alice, &house.awaited(alice)?)?;
    assert_eq!(
        browser.arrive("/response-templates/1")?["title"],
        "Modèle 1"
    );

    // Too late for the connection: the browser is led to the approval, and from there to where the application leads.
    browser.open("/response-templates")?;
    browser.click("#create")?;
    let action = house.awaited(alice)?;
    let seen = browser.arrive(&format!("/.sceau/actions/{action}"))?;
    assert_eq!(seen["title"], "En attente de la clé");
    assert!(executed()?.len() == 7, "{:?}", executed()?);
    approve(alice, &action)?;
    assert_eq!(
        browser.arrive("/response-templates/2")?["title"],
        "Modèle 2"
    );

    // Refused: a page says so.
    browser.open("/response-templates")?;
    browser.click("#create")?;
    let refused = house.awaited(alice)?;
    refuse(alice, &refused)?;
    let seen = browser.see("main", "Rien n’a été exécuté")?;
    assert_eq!(seen["title"], "Demande non exécutée");
    Ok(())
}
