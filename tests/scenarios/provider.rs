//! The server as an identity provider of the federation: `eidas3` by a touch for that very request, anything else a lower level that is true.
//! The federation's side is openid-client, which we did not write, with the federation's own parameters.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{API, RP_ID, pending},
    http::{Answer, Client},
    place,
    process::eventually,
    stage::Stage,
    workstation::Workstation,
};
use serde_json::{Value, json};

const CLIENT: &str = "federation";
const SECRET: &str = "a-secret-of-the-federation-0123456789";
const CALLBACK: &str = "https://auth.example/api/v2/oidc-callback";
const SIGNED_OUT: &str = "https://auth.example/api/v2/client/logout-callback";
const ALICE: &str = "alice@ml.example";
const FORM: &str = "application/x-www-form-urlencoded";

/// `openid-client`, as the federation would run it.
struct Federation {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Federation {
    fn start(secret: &str, signed: bool) -> Result<Self> {
        let mut process = Command::new("node")
            .arg(place::root().join("tests/peers/federation.mjs"))
            .args([
                format!("https://{RP_ID}/provider").as_str(),
                CLIENT,
                secret,
                CALLBACK,
                if signed { "signed" } else { "plain" },
                format!("http://{API}").as_str(),
            ])
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

    fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.ask, "{question}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the federation answered {line:?}"))
    }

    /// Where the browser is sent, as a path of ours.
    fn begin(&mut self, acr: Value, service: &str, hint: &str) -> Result<String> {
        let claims = json!({"id_token": {"amr": null, "acr": acr}}).to_string();
        let params = json!({"claims": claims, "login_hint": hint, "siret_hint": "13002526500013",
            "sp_id": service, "sp_name": "Portail des habilitations", "remember_me": "true"});
        let begun = self.ask(&json!({"op": "begin", "params": params}))?;
        let url = begun["url"].as_str().context("an address")?;
        Ok(url
            .strip_prefix(&format!("https://{RP_ID}"))
            .context("at our provider")?
            .to_owned())
    }

    fn finish(&mut self, answer: &Answer) -> Result<Value> {
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text);
        let url = answer.header("location").context("an address")?;
        self.ask(&json!({"op": "finish", "url": url}))
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn stage() -> Result<Stage> {
    let mut stage = Stage::set()?;
    let house = &mut stage.house;
    let secret = house.file("federation.secret");
    fs::write(&secret, SECRET)?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    let person = |id: &str, name: &str, organisation: &str| {
        format!(
            "[[person]]\nid = \"{id}\"\ngiven_name = \"{name}\"\nusual_name = \"Martin\"\nemail = \"{id}@ml.example\"\n\
             siret = \"13002526500013\"\nidentity = \"high\"\norganisation = \"{organisation}\"\n"
        )
    };
    let people = person("alice", "Alice", "high") + &person("odile", "Odile", "low");
    fs::write(house.file("people.toml"), people)?;
    let config = fs::read_to_string(house.config())?;
    let provider = format!(
        "\n[provider]\nkey = \"provider.pem\"\npeople = \"people.toml\"\n[[provider.client]]\nid = \"{CLIENT}\"\n\
         secret = \"federation.secret\"\nredirect_uris = [\"{CALLBACK}\"]\npost_logout_redirect_uris = [\"{SIGNED_OUT}\"]\n\
         [[provider.require]]\nsp_id = \"vault\"\nlevel = \"eidas3\"\nroles = [\"manager\"]\n"
    );
    fs::write(house.config(), config + &provider)?;
    house.kill_server();
    house.start_server()?;
    Ok(stage)
}

fn browser() -> Client {
    Client::new(&format!("http://{API}"))
        .with("origin", &format!("https://{RP_ID}"))
        .with("sec-fetch-site", "same-origin")
}

/// The browser is sent to the provider and its person names themselves; returns the sign-in's own path.
fn named(browser: &Client, path: &str, person: &str) -> Result<String> {
    let page = browser.get(path)?;
    ensure!(page.status == 200, "{} {}", page.status, page.text);
    ensure!(
        page.text.contains("Portail des habilitations"),
        "{}",
        page.text
    );
    let query = path.split_once('?').context("a query")?.1;
    let encoded = query
        .replace('%', "%25")
        .replace('&', "%26")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let form = format!("request={encoded}&person={person}");
    let answer = browser.send(
        "POST",
        "/provider/login",
        &[],
        Some((FORM, form.as_bytes())),
    )?;
    ensure!(answer.status == 303, "{} {}", answer.status, answer.text);
    Ok(answer.header("location").context("a page")?.to_owned())
}

/// The person's agent is told, and the number that it shows is the browser's; returns the action.
fn asked(browser: &Client, login: &str, at: &Workstation) -> Result<String> {
    let mut action = None;
    eventually("the agent is told", Duration::from_secs(10), || {
        action = pending(at).ok().and_then(|ids| ids.first().cloned());
        action.is_some()
    })?;
    let page = browser.get(login)?.text;
    let number = page
        .split("<strong>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .context("a number")?;
    let state = browser.send("GET", login, &[("accept", "application/json")], None)?;
    ensure!(
        state.json()["action"]["params"]["number"] == number,
        "{}",
        state.text
    );
    action.context("an action")
}

/// What clients send by POST, and what they hear by the scheme that they tried.
fn by_form(browser: &Client) -> Result<()> {
    let post = |path: &str, form: &str, extra: &[(&str, &str)]| {
        browser.send("POST", path, extra, Some((FORM, form.as_bytes())))
    };
    let back = SIGNED_OUT.replace(':', "%3A").replace('/', "%2F");
    let out = |client: &str| {
        let form = format!("client_id={client}&post_logout_redirect_uri={back}&state=s%201");
        post("/provider/logout", &form, &[])
    };
    let led = format!("{SIGNED_OUT}?state=s%201");
    assert_eq!(out(CLIENT)?.header("location"), Some(led.as_str()));
    assert_eq!(out("another")?.header("location"), None);
    let known = format!("client_id={CLIENT}&client_secret={SECRET}");
    for (form, error) in [
        (known.clone(), "invalid_request"),
        (
            format!("{known}&grant_type=password"),
            "unsupported_grant_type",
        ),
    ] {
        let told = post("/provider/token", &form, &[])?;
        assert_eq!((told.status, &told.json()["error"]), (400, &json!(error)));
    }
    let basic = post(
        "/provider/token",
        "grant_type=authorization_code",
        &[("authorization", "Basic ZmVkZXJhdGlvbjp4")],
    )?;
    assert_eq!(basic.json()["error"], "invalid_client");
    let heard = basic.header("www-authenticate").unwrap_or_default();
    assert!(heard.starts_with("Basic "), "{heard}");
    Ok(())
}

#[test]
fn eidas3_takes_a_touch_for_that_very_request_and_nothing_less_is_called_so() -> Result<()> {
    let stage = stage()?;
    let alice = &stage.people.manager;
    let mut federation = Federation::start(SECRET, false)?;
    let browser = browser();
    let high = json!({"essential": true, "values": ["eidas3"]});

    // A touch with PIN, for this request: eidas3, and where its proof is.
    let path = federation.begin(high.clone(), "portal", ALICE)?;
    let login = named(&browser, &path, "alice%40ml.example")?;
    let waiting = browser.get(&format!("{login}/continue"))?;
    assert_eq!(
        waiting.status, 409,
        "nothing before the key: {}",
        waiting.text
    );
    let action = asked(&browser, &login, alice)?;
    let (code, shown) = alice.approve(&action)?;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Portail des habilitations"), "{shown}");
    let thief = Client::new(&format!("http://{API}")).get(&format!("{login}/continue"))?;
    assert_eq!(thief.status, 404, "another browser gets nothing");
    let back = browser.get(&format!("{login}/continue"))?;
    let signed = federation.finish(&back)?;
    assert_eq!(signed["claims"]["acr"], "eidas3", "{signed}");
    assert_eq!(signed["claims"]["amr"], json!(["pop", "hwk", "pin", "mfa"]));
    assert_eq!(signed["userinfo"]["siret"], "13002526500013");
    for mandatory in ["sub", "given_name", "usual_name", "email", "uid", "siret"] {
        let value = signed["userinfo"][mandatory].as_str();
        assert!(value.is_some_and(|it| !it.is_empty()), "{mandatory}");
    }
    assert_eq!(signed["claims"]["sub"], signed["userinfo"]["sub"]);
    assert_eq!(
        signed["userinfo"]["sceau_evidence"]["action"],
        action.as_str()
    );
    assert_eq!(
        browser.get(&format!("{login}/continue"))?.status,
        409,
        "once"
    );
    let again = federation.finish(&back)?;
    assert_eq!(
        again["error"], "invalid_grant",
        "a code serves once: {again}"
    );
    stage.logged(&["provider.code-replayed"])?;

    // The same browser, eidas3 again: it is asked again. Without the gesture the level is lower, and true; never an OAuth error.
    let path = federation.begin(
        json!({"essential": true, "value": "eidas3"}),
        "portal",
        ALICE,
    )?;
    let login = named(&browser, &path, "alice")?;
    asked(&browser, &login, alice)?;
    let lower = browser.send("POST", &format!("{login}/lower"), &[], Some((FORM, b"")))?;
    let signed = federation.finish(&lower)?;
    assert_eq!(signed["claims"]["acr"], "eidas2", "{signed}");
    assert!(
        signed["userinfo"].get("sceau_evidence").is_none(),
        "{signed}"
    );
    eventually("nobody is asked any more", Duration::from_secs(10), || {
        pending(alice).is_ok_and(|ids| ids.is_empty())
    })?;

    // What the key did before is enough for what asks less.
    let path = federation.begin(
        json!({"essential": true, "values": ["eidas1", "eidas2"]}),
        "portal",
        ALICE,
    )?;
    let at_once = browser.get(&path)?;
    let signed = federation.finish(&at_once)?;
    assert_eq!(
        signed["claims"]["acr"], "eidas2",
        "exactly one of the values: {signed}"
    );

    // Signed out at the federation's word: back to its own address with its state, and this browser is nobody's. No other address is followed.
    let elsewhere = federation.ask(&json!({"op": "end", "back": "https://evil.example/"}))?;
    let here = |told: &Value| -> Result<String> {
        let url = told["url"].as_str().with_context(|| told.to_string())?;
        let path = url.strip_prefix(&format!("https://{RP_ID}"));
        Ok(path.context("at our provider")?.to_owned())
    };
    let stranger = Client::new(&format!("http://{API}")).get(&here(&elsewhere)?)?;
    assert_eq!(
        (stranger.status, stranger.header("location")),
        (200, None),
        "{}",
        stranger.text
    );
    let told = federation.ask(&json!({"op": "end", "back": SIGNED_OUT}))?;
    let out = browser.get(&here(&told)?)?;
    let state = told["state"].as_str().context("its state")?;
    assert_eq!(
        out.header("location"),
        Some(format!("{SIGNED_OUT}?state={state}").as_str()),
        "{}",
        out.text
    );
    let path = federation.begin(
        json!({"essential": true, "values": ["eidas1", "eidas2"]}),
        "portal",
        ALICE,
    )?;
    assert_eq!(browser.get(&path)?.status, 200, "asked, not known any more");
    by_form(&browser)?;

    // A service that is held to a gesture gets one asked for, whatever the federation asks; other roles are not signed in there.
    let path = federation.begin(json!({"value": "eidas1"}), "vault", ALICE)?;
    assert_eq!(browser.get(&path)?.status, 200, "asked, not known");
    let query = path.split_once('?').context("a query")?.1;
    let encoded = query
        .replace('%', "%25")
        .replace('&', "%26")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let form = format!("request={encoded}&person=odile");
    let refused = browser.send(
        "POST",
        "/provider/login",
        &[],
        Some((FORM, form.as_bytes())),
    )?;
    assert_eq!(refused.status, 403, "{}", refused.text);

    // A name that is nobody's waits like any other, and never gets a code.
    let path = federation.begin(high, "portal", ALICE)?;
    let login = named(&browser, &path, "nobody%40ml.example")?;
    assert!(browser.get(&login)?.text.contains("<strong>"));
    assert_eq!(browser.get(&format!("{login}/continue"))?.status, 409);
    Ok(())
}

#[test]
fn the_weakest_pillar_caps_the_level_and_signed_information_verifies() -> Result<()> {
    let stage = stage()?;
    let config = fs::read_to_string(stage.house.config())?;
    let mut stage = stage;
    fs::write(
        stage.house.config(),
        config.replace("\nredirect_uris", "\nsigned_userinfo = true\nredirect_uris"),
    )?;
    stage.house.kill_server();
    stage.house.start_server()?;
    let odile = &stage.people.operator;
    eventually("the agent is back", Duration::from_secs(20), || {
        stage
            .house
            .person(odile)
            .is_ok_and(|api| api.get("/v1/me").is_ok_and(|me| me.status == 200))
    })?;
    let mut federation = Federation::start(SECRET, true)?;
    let browser = browser();
    let path = federation.begin(
        json!({"essential": true, "value": "eidas3"}),
        "portal",
        "odile",
    )?;
    let login = named(&browser, &path, "odile")?;
    let action = asked(&browser, &login, odile)?;
    let (code, shown) = odile.approve(&action)?;
    assert_eq!(code, 0, "{shown}");
    let signed = federation.finish(&browser.get(&format!("{login}/continue"))?)?;
    assert_eq!(signed["claims"]["acr"], "eidas1-mfa", "{signed}");
    assert_eq!(signed["userinfo"]["usual_name"], "Martin", "{signed}");

    let mut stranger = Federation::start("another-secret-of-nobody-0123456789", false)?;
    let path = stranger.begin(json!({"value": "eidas1-mfa"}), "portal", "odile")?;
    let refused = stranger.finish(&browser.get(&path)?)?;
    assert_eq!(refused["error"], "invalid_client", "{refused}");
    Ok(())
}
