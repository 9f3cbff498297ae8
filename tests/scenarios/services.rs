//! A service without the gate: it speaks OAuth by openid-client, which we did not write, and verifies permits by the recipe that docs/services.md shows.
//! A person's agent and virtual key seal what it asks for.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{API, House, RP_ID, pending},
    http::Client,
    place,
    process::eventually,
    stage::Stage,
};
use serde_json::{Value, json};

/// Where its users come back to.
pub(crate) const BACK: &str = "https://portal.example/back";

/// The service.
pub(crate) struct Service {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    keys: Value,
}

impl Service {
    /// Starts it, with the recipe in this folder.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let document = fs::read_to_string(place::root().join("docs/services.md"))?;
        let (_, rest) = document.split_once("```js recipe\n").context("a recipe")?;
        let (recipe, _) = rest.split_once("\n```").context("its end")?;
        let file = folder.join("recipe.mjs");
        fs::write(&file, recipe)?;
        let mut process = Command::new("node")
            .arg(place::root().join("tests/peers/services.mjs"))
            .args([
                &format!("https://{RP_ID}"),
                "portal",
                BACK,
                &format!("http://{API}"),
            ])
            .arg(&file)
            .env("SCEAU_PEERS", place::target().join("peers"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = process.stdin.take().context("its input")?;
        let answers = BufReader::new(process.stdout.take().context("its output")?);
        let mut service = Self {
            process,
            ask,
            answers,
            keys: Value::Null,
        };
        service.keys = service.hear()?;
        Ok(service)
    }

    fn tell(&mut self, question: &Value) -> Result<()> {
        Ok(writeln!(self.ask, "{question}")?)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the service answered {line:?}"))
    }

    pub(crate) fn ask(&mut self, question: &Value) -> Result<Value> {
        self.tell(question)?;
        self.hear()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn details(name: &str) -> Value {
    json!([{
        "type": "sceau_action", "action": "account.create", "requester": "alice", "params": {"role": "advisor"},
        "target": {"kind": "account", "id": name, "display": name},
        "words": {"fr": format!("Créer le compte de {name}"), "en": format!("Create the account of {name}")}
    }])
}

/// The portal shows who it is by keys of its own, from the next start on.
pub(crate) fn speak(house: &House, service: &Service) -> Result<()> {
    fs::write(house.file("portal.jwks.json"), service.keys.to_string())?;
    let config = fs::read_to_string(house.config())?;
    let (before, after) = config
        .split_once("id = \"portal\"\n")
        .context("the portal")?;
    let (token, rest) = after.split_once('\n').context("its token")?;
    let oauth = format!(
        "[service.oauth]\nkeys_file = \"portal.jwks.json\"\nredirect_uris = [\"{BACK}\"]\n"
    );
    fs::write(
        house.config(),
        format!("{before}id = \"portal\"\n{token}\n{oauth}{rest}"),
    )?;
    Ok(())
}

fn speaking(stage: &mut Stage, service: &Service) -> Result<()> {
    speak(&stage.house, service)?;
    let checked = check(stage)?;
    ensure!(
        checked.contains(&format!("by OAuth, issuer https://{RP_ID}: portal")),
        "{checked}"
    );
    again(stage)
}

fn check(stage: &Stage) -> Result<String> {
    let out = Command::new(place::bin("sceau-server"))
        .args(["check-config", "--config"])
        .arg(stage.house.config())
        .output()?;
    Ok(format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    ))
}

fn again(stage: &mut Stage) -> Result<()> {
    stage.house.kill_server();
    stage.house.start_server()?;
    let alice = &stage.people.manager;
    eventually("the agent is back", Duration::from_secs(20), || {
        stage
            .house
            .person(alice)
            .is_ok_and(|api| api.get("/v1/me").is_ok_and(|me| me.status == 200))
            && pending(alice).is_ok()
    })?;
    Ok(())
}

#[test]
fn a_service_gets_its_permits_by_oauth_alone() -> Result<()> {
    let mut stage = Stage::set()?;
    let mut service = Service::start(&stage.path(""))?;
    speaking(&mut stage, &service)?;
    let found = service.ask(&json!({"op": "discover"}))?;
    ensure!(found["issuer"] == format!("https://{RP_ID}"), "{found}");

    // Its own token, for the API.
    let own = service.ask(&json!({"op": "credentials"}))?;
    let token = own["access_token"]
        .as_str()
        .with_context(|| own.to_string())?;
    let api = stage.house.api().bearer(token);
    let asked = api.post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "alice", "params": {},
        "target": {"kind": "account", "id": "one", "display": "One"}}),
    )?;
    ensure!(asked.status == 201, "{} {}", asked.status, asked.text);
    let first = stage.house.awaited(&stage.people.manager)?;
    stage.people.manager.not_me(&first)?;
    ensure!(stage.state(&first)? == "refused");

    // Pushed, sealed, led back: a permit.
    let begun = service.ask(&json!({"op": "begin", "details": details("Jean")}))?;
    let url = begun["url"]
        .as_str()
        .with_context(|| begun.to_string())?
        .to_owned();
    let path = url
        .strip_prefix(&format!("https://{RP_ID}"))
        .context("ours")?;
    ensure!(
        !url.contains("Jean"),
        "the browser carries nothing of it: {url}"
    );
    let browser = Client::new(&format!("http://{API}"));
    let came = browser.get(path)?;
    let page = came
        .header("location")
        .with_context(|| came.text.clone())?
        .to_owned();
    let alice = &stage.people.manager;
    let action = stage.house.awaited(alice)?;
    ensure!(
        browser.get(&page)?.text.contains(&action),
        "a link for who has no agent"
    );
    let (code, shown) = alice.approve(&action)?;
    ensure!(
        code == 0 && shown.contains("Create the account of Jean"),
        "{shown}"
    );
    let back = browser.get(&format!("{page}/continue"))?;
    let url = back.header("location").with_context(|| back.text.clone())?;
    let granted = service.ask(&json!({"op": "finish", "url": url}))?;
    let permit = granted["access_token"]
        .as_str()
        .with_context(|| granted.to_string())?
        .to_owned();
    ensure!(
        granted["authorization_details"][0]["action_id"] == action.as_str(),
        "{granted}"
    );
    let claims = service.ask(&json!({"op": "verify", "permit": permit}))?;
    ensure!(
        claims["sub"] == "alice" && claims["acr"] == "eidas3",
        "{claims}"
    );
    let done = service.ask(&json!({"op": "resource", "permit": permit}))?;
    ensure!(done["status"] == 200, "{done}");
    let challenged = service.ask(&json!({"op": "resource", "permit": token}))?;
    ensure!(
        challenged["status"] == 401
            && challenged["challenge"]["error"] == "insufficient_user_authentication"
            && challenged["challenge"]["acr_values"] == "eidas3",
        "{challenged}"
    );
    let used = service.ask(&json!({"op": "introspect", "permit": permit, "consume": true}))?;
    ensure!(
        used["active"] == true && used["auth_time"].is_i64(),
        "{used}"
    );
    let again_used =
        service.ask(&json!({"op": "introspect", "permit": permit, "consume": true}))?;
    ensure!(again_used["active"] == false, "{again_used}");
    let replayed = service.ask(&json!({"op": "finish", "url": url}))?;
    ensure!(replayed["error"] == "invalid_grant", "{replayed}");
    stage.logged(&["oauth.code-replayed"])?;

    a_permit_may_be_for_one_key(&stage, &mut service)?;

    // Without a browser: it polls, and is told no, then yes.
    service.ask(&json!({"op": "backchannel", "details": details("Marie"), "more": {}}))?;
    let action = stage.house.awaited(&stage.people.manager)?;
    stage.people.manager.not_me(&action)?;
    let no = service.ask(&json!({"op": "poll"}))?;
    ensure!(no["error"] == "access_denied", "{no}");
    let asked = service.ask(&json!({"op": "backchannel", "details": details("Paul"), "more": {"binding_message": "4711"}}))?;
    ensure!(asked["interval"] == 5, "{asked}");
    service.tell(&json!({"op": "poll"}))?;
    let action = stage.house.awaited(&stage.people.manager)?;
    let (code, shown) = stage.people.manager.approve(&action)?;
    ensure!(code == 0 && shown.contains("4711"), "{shown}");
    let granted = service.hear()?;
    let permit = granted["access_token"]
        .as_str()
        .with_context(|| granted.to_string())?
        .to_owned();

    // Both change their keys: what is under way is taken still, by asking and without.
    let at = stage.house.config().to_string_lossy().into_owned();
    let rotated = Command::new(place::bin("sceau-server"))
        .args(["keys", "rotate", "permit", "--config", &at])
        .output()?;
    ensure!(
        rotated.status.success(),
        "{}",
        String::from_utf8_lossy(&rotated.stderr)
    );
    again(&mut stage)?;
    service.ask(&json!({"op": "rotate"}))?;
    let claims = service.ask(&json!({"op": "verify", "permit": permit}))?;
    ensure!(claims["sub"] == "alice", "{claims}");
    let used = service.ask(&json!({"op": "introspect", "permit": permit, "consume": true}))?;
    ensure!(used["active"] == true, "{used}");
    let keys = stage.house.api().get("/jwks.json")?.json();
    ensure!(
        keys["keys"].as_array().is_some_and(|keys| keys.len() == 2),
        "{keys}"
    );

    // A fault in the configuration has its line.
    let config = fs::read_to_string(stage.house.config())?;
    fs::write(
        stage.house.config(),
        config.replace("portal.jwks.json", "nowhere.json"),
    )?;
    let line = config
        .lines()
        .position(|line| line == "id = \"portal\"")
        .context("the portal")?
        + 1;
    let said = check(&stage)?;
    ensure!(
        said.contains(&format!("line {line}: service portal: cannot read")),
        "{said}"
    );
    Ok(())
}

/// RFC 9449, by openid-client: the permit names a key of the service's, and is of no use without it.
fn a_permit_may_be_for_one_key(stage: &Stage, service: &mut Service) -> Result<()> {
    let alice = &stage.people.manager;
    let browser = Client::new(&format!("http://{API}"));
    let sealed = |service: &mut Service, name: &str| -> Result<String> {
        let begun =
            service.ask(&json!({"op": "begin", "details": details(name), "bound": true}))?;
        let url = begun["url"].as_str().with_context(|| begun.to_string())?;
        let path = url
            .strip_prefix(&format!("https://{RP_ID}"))
            .context("ours")?;
        let came = browser.get(path)?;
        let page = came
            .header("location")
            .with_context(|| came.text.clone())?
            .to_owned();
        let (code, shown) = alice.approve(&stage.house.awaited(alice)?)?;
        ensure!(code == 0, "{shown}");
        let back = browser.get(&format!("{page}/continue"))?;
        Ok(back
            .header("location")
            .with_context(|| back.text.clone())?
            .to_owned())
    };
    let url = sealed(service, "Luc")?;
    let granted = service.ask(&json!({"op": "finish", "url": url}))?;
    ensure!(granted["token_type"] == "dpop", "{granted}");
    let permit = granted["access_token"]
        .as_str()
        .context("a permit")?
        .to_owned();
    let said = service.ask(&json!({"op": "introspect", "permit": permit, "consume": false}))?;
    ensure!(
        said["token_type"] == "DPoP" && said["cnf"]["jkt"].is_string(),
        "{said}"
    );
    let with = json!({"op": "resource", "permit": permit, "bound": true});
    ensure!(service.ask(&with)?["status"] == 200, "with its key");
    let bare = service.ask(&json!({"op": "resource", "permit": permit}))?;
    ensure!(bare["status"] == 401, "stolen, and without the key: {bare}");
    service.ask(&json!({"op": "other"}))?;
    ensure!(service.ask(&with)?["status"] == 401, "with another key");

    // What was pushed for for one key is not redeemed with another.
    let url = sealed(service, "Lucie")?;
    service.ask(&json!({"op": "other"}))?;
    let refused = service.ask(&json!({"op": "finish", "url": url}))?;
    ensure!(refused["error"] == "invalid_grant", "{refused}");
    Ok(())
}
