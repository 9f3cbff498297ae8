//! The pages as persons meet them: a real Chromium with virtual keys, by keyboard alone. Chromium starts once; the chapters follow one another in one
//! house. Every page seen is judged by axe-core, weighed, and pictured in `target/screens/pages` (both themes, 320 and 1024 pixels).
//!
//! Chromium's virtual keys are software, attested by a certificate that it makes itself, anew each time: the shipped policy refuses them, which is the
//! first chapter; the others live under a model policy for tests (`trust = "danger-not-required"`).

mod authorize;
mod console;

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::{
    browser::Browser,
    house::{GATE, House, PASSWORD},
    http::Client,
    place,
    stage::makers,
};
use serde_json::{Value, json};

/// The house, its browser, and who of its people has what.
struct Story {
    house: House,
    browser: Browser,
    folder: tempfile::TempDir,
}

#[test]
fn persons_enrol_decide_and_are_safe_in_a_real_browser() -> Result<()> {
    let (folder, [model, _]) = makers()?;
    let mut house = House::found(folder.path(), &[&model])?;
    // A whole story happens within a minute.
    house.environment = vec![
        ("SCEAU_LIMIT__STRANGERS", "200"),
        ("SCEAU_LIMIT__PENDING", "50"),
        ("SCEAU_LIMIT__ASKED", "200"),
        ("SCEAU_LIMIT__REFUSED", "100"),
    ];
    house.kill_server();
    fs::write(house.file("policy/browser.cedar"), SHORT)?;
    // The portal's own pages send classic forms. Nobody has an agent here: the gate leads to its page at once, however long it would hold.
    let routes = fs::read_to_string(house.file("portal.toml"))?;
    ensure!(routes.contains("hold = \"30s\""), "the sample's hold");
    let routes = ["name", "email", "role"]
        .iter()
        .fold(routes, |text, field| {
            let json = format!("param.{field} = {{ json = \"/{field}\" }}");
            text.replace(&json, &format!("param.{field} = {{ form = \"{field}\" }}"))
        });
    fs::write(house.file("portal.toml"), routes)?;
    house.start_server()?;
    let browser = Browser::start(folder.path(), 8440)?;
    let mut story = Story {
        house,
        browser,
        folder,
    };
    story.a_software_key_is_refused_by_name()?;
    story.trust_what_chromium_has()?;
    let admin = story.a_client_that_we_did_not_write_completes_both_ceremonies()?;
    story.an_administrator_enrols_and_decides_by_keyboard(&admin)?;
    story.a_manager_approves_refuses_and_steps_back()?;
    story.what_goes_wrong_is_said()?;
    story.two_tabs_show_one_truth()?;
    story.two_persons_decide_together()?;
    story.the_gate_leads_there_and_back()?;
    story.other_sites_and_thieves_get_nothing()?;
    story.a_service_sends_its_user_here_and_gets_them_back()?;
    story.an_administrator_runs_the_console_by_keyboard()?;
    story.a_help_desk_hands_out_a_key()?;
    let (faults, heaviest) = story.browser.end()?;
    println!("the heaviest page: {heaviest} bytes");
    ensure!(faults.is_empty(), "{faults:#?}");
    ensure!(heaviest < 100 * 1024, "{heaviest}");
    Ok(())
}

/// A request of which there is little time to think.
const SHORT: &str = r#"
@id("short")
@lifetime("4s")
permit (principal in Role::"manager", action == Action::"account.delete", resource in Service::"portal");
"#;

impl Story {
    fn invitation(&self, number: usize) -> Result<String> {
        let text = fs::read_to_string(self.house.first_invitation(number)?)?;
        Ok(text.trim().to_owned())
    }

    /// The person opens the invitation's link and enrols the key; the page says `says`.
    fn enrol(&self, who: &str, invitation: &str, says: &str) -> Result<Value> {
        let browser = &self.browser;
        browser.go(who, &format!("/enrol#{invitation}"))?;
        browser.press(who, "#open button")?;
        browser.ask(&json!({"op": "until", "who": who, "gone": "#open"}))?;
        browser.type_into(who, "#label", "Clé du bureau")?;
        browser.press(who, "#make button")?;
        let said = browser.reads(who, says)?;
        let address = said["url"].as_str().unwrap_or_default();
        ensure!(address.ends_with("/enrol"), "no secret stays in {address}");
        Ok(said)
    }

    /// Attack 6, as far as pages go.
    fn a_software_key_is_refused_by_name(&self) -> Result<()> {
        self.browser.person("nora", "en-GB")?;
        self.browser.go("nora", "/enrol")?;
        self.browser.judge_both("nora", "enrol")?;
        self.enrol("nora", &self.invitation(1)?, "This key is not accepted.")?;
        self.browser.judge("nora", "enrol-refused")?;
        let refused = self
            .house
            .entries()?
            .into_iter()
            .rfind(|entry| entry["type"] == "enrolment.refused")
            .context("an entry tells of it")?;
        println!("a software key: {}", refused["data"]["reason"]);
        ensure!(refused["data"]["reason"] == "unknown-root", "{refused}");
        Ok(())
    }

    fn trust_what_chromium_has(&mut self) -> Result<()> {
        let shipped = fs::read_to_string(place::root().join("proof/policy/models.toml"))?;
        let models = shipped
            .replace("trust = \"required\"", "trust = \"danger-not-required\"")
            .replace(
                "minimum_certification = \"L1\"",
                "minimum_certification = \"none\"",
            )
            .replace(
                "minimum_certification = \"certified\"",
                "minimum_certification = \"none\"",
            );
        fs::write(self.house.file("models.toml"), models)?;
        self.house.kill_server();
        self.house
            .environment
            .push(("SCEAU_ATTESTATION__MODELS", "models.toml"));
        self.house.start_server().map(drop)
    }

    /// The challenge of an action, by the auditors' own program.
    fn challenge(&self, action: &Value) -> Result<Value> {
        let file = self.folder.path().join("action.json");
        fs::write(&file, action.to_string())?;
        let out = Command::new(place::bin("sceau-verify"))
            .arg("action")
            .arg(&file)
            .output()?;
        let said: Value = serde_json::from_slice(&out.stdout)?;
        Ok(said["challenge"].clone())
    }

    /// `@simplewebauthn/browser` registers the first administrator's key and approves with it; returns the API as that person calls it.
    fn a_client_that_we_did_not_write_completes_both_ceremonies(&self) -> Result<Client> {
        let (house, browser) = (&self.house, &self.browser);
        browser.person("first", "en-GB")?;
        browser.go("first", "/enrol")?;
        let invitation = self.invitation(1)?;
        let opened = house
            .api()
            .post("/v1/enrolments/open", &json!({"invitation": invitation}))?
            .json();
        let algorithms = opened["algorithms"].as_array().context("algorithms")?;
        let parameters: Vec<Value> = algorithms
            .iter()
            .map(|alg| json!({"type": "public-key", "alg": alg}))
            .collect();
        let user = &opened["user"];
        let made = browser.ask(&json!({"op": "ceremony", "who": "first", "of": "startRegistration", "options": {
            "challenge": self.challenge(&opened["action"])?, "rp": opened["rp"],
            "user": {"id": user["id"], "name": user["name"], "displayName": user["display"]},
            "pubKeyCredParams": parameters, "attestation": "direct", "excludeCredentials": [],
            "authenticatorSelection": {"userVerification": "required", "residentKey": "discouraged"},
        }}))?;
        let response = &made["response"];
        ensure!(response.is_object(), "{made}");
        let id = opened["enrolment_id"].as_str().context("an enrolment")?;
        let enrolled = house.api().post(
            &format!("/v1/enrolments/{id}/registration"),
            &json!({"invitation": invitation, "transports": ["usb"],
                "response": {"client_data_json": response["clientDataJSON"], "attestation_object": response["attestationObject"]}}),
        )?;
        ensure!(enrolled.status == 201, "{}", enrolled.text);
        let enrolled = enrolled.json();
        let token = enrolled["session"]["token"].as_str().context("a token")?;
        let api = house.api().bearer(token);
        Ok(api)
    }

    /// Approves with `@simplewebauthn/browser`, as the first administrator.
    fn approve_as_first(&self, api: &Client, action: &Value) -> Result<()> {
        let keys = api.get("/v1/me")?.json()["keys"].clone();
        let (key, credential) = (&keys[0]["key_id"], &keys[0]["credential_id"]);
        let sealed = self.browser.ask(&json!({"op": "ceremony", "who": "first", "of": "startAuthentication", "options": {
            "challenge": self.challenge(action)?, "rpId": "sceau.example", "userVerification": "required",
            "allowCredentials": [{"type": "public-key", "id": credential}],
        }}))?;
        let response = &sealed["response"];
        let path = format!(
            "/v1/actions/{}/approvals",
            action["id"].as_str().unwrap_or_default()
        );
        let done = api.post(
            &path,
            &json!({"key_id": key, "response": {"client_data_json": response["clientDataJSON"],
                "authenticator_data": response["authenticatorData"], "signature": response["signature"], "credential_id": sealed["id"]}}),
        )?;
        ensure!(done.status == 200, "{}", done.text);
        Ok(())
    }

    /// The second administrator enrols at the page, and is the second pair of eyes on the manager's enrolment.
    fn an_administrator_enrols_and_decides_by_keyboard(&self, first: &Client) -> Result<()> {
        let browser = &self.browser;
        browser.person("second", "fr-FR")?;
        self.enrol("second", &self.invitation(2)?, "La clé est enrôlée.")?;
        browser.judge("second", "enrol-done")?;

        let asked = first.post(
            "/v1/enrolments",
            &json!({"person": {"id": "alice", "display": "Alice Martin", "roles": ["manager"]}}),
        )?;
        ensure!(asked.status == 201, "{}", asked.text);
        let action = asked.json()["action"].clone();
        self.approve_as_first(first, &action)?;
        let path = format!("/actions/{}", action["id"].as_str().context("an id")?);
        browser.go("second", &path)?;
        browser.judge_both("second", "sign-in")?;
        self.sign_in("second", "admin-2")?;
        browser.judge_both("second", "action-enroll")?;
        browser.press("second", "#approve")?;
        browser.sees("second", "executed")?;
        let id = action["id"].as_str().unwrap_or_default();
        let done = first.get(&format!("/v1/actions/{id}?wait=10"))?.json();
        let invitation = done["result"]["invitation"]
            .as_str()
            .context("an invitation")?;
        browser.person("alice", "fr-FR")?;
        self.enrol("alice", invitation, "La clé est enrôlée.")?;
        Ok(())
    }

    /// At an action's page, as whoever has the key there.
    fn sign_in(&self, who: &str, person: &str) -> Result<()> {
        self.browser.type_into(who, "#person", person)?;
        self.browser.press(who, "#sign-in button")?;
        self.browser
            .ask(&json!({"op": "until", "who": who, "gone": "#sign-in"}))?;
        Ok(())
    }

    /// The portal asks for something of Alice's; the page's path.
    fn asked(&self, kind: &str, name: &str) -> Result<String> {
        let asked = self.house.service().post(
            "/v1/actions",
            &json!({"type": kind, "requester": "alice", "params": {"role": "advisor", "email": "jean@ml.example"},
                "target": {"kind": "account", "id": "jean", "display": name},
                "words": {"fr": "Créer un compte pour Jean Dupont", "en": "Create an account for Jean Dupont"}}),
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

    fn a_manager_approves_refuses_and_steps_back(&self) -> Result<()> {
        let browser = &self.browser;
        let path = self.asked("account.create", "Jean Dupont <jean@ml.example>")?;
        browser.go("alice", &path)?;
        // Somebody else's name: this key is not theirs, and nothing is told.
        browser.type_into("alice", "#person", "admin-1")?;
        browser.press("alice", "#sign-in button")?;
        browser.reads("alice", "La clé n’a pas répondu.")?;
        browser.judge("alice", "sign-in-wrong-key")?;
        self.sign_in("alice", "alice")?;
        let shown = browser.reads("alice", "Jean Dupont")?;
        ensure!(
            shown["text"]
                .as_str()
                .is_some_and(|text| text.contains("Alice Martin") && text.contains("portal")),
            "{shown}"
        );
        browser.judge_both("alice", "action")?;
        browser.press("alice", "summary")?;
        browser.judge("alice", "action-unfolded")?;

        browser.key("alice", "untouched")?;
        browser.press("alice", "#approve")?;
        browser.reads("alice", "Touchez votre clé")?;
        browser.judge("alice", "action-touch")?;
        browser.press("alice", "#step-back")?;
        browser.reads("alice", "Rien n’a été signé.")?;
        browser.judge("alice", "action-stepped-back")?;
        ensure!(
            self.state(&path)? == "pending",
            "stepping back decides nothing"
        );
        browser.key("alice", "here")?;
        browser.press("alice", "#approve")?;
        let done = browser.sees("alice", "approved")?;
        println!("approved, {} ms after Enter", done["ms"]);
        ensure!(self.state(&path)? == "approved", "{done}");
        browser.judge_both("alice", "action-approved")?;

        for (button, name) in [("mistake", "mistake"), ("not-me", "not-me")] {
            let path = self.asked("account.create", "Jean Dupont")?;
            browser.go("alice", &path)?;
            browser.press("alice", &format!("#{button}"))?;
            browser.sees("alice", "refused")?;
            browser.judge("alice", &format!("action-{name}"))?;
            ensure!(self.state(&path)? == "refused", "{button}");
        }
        Ok(())
    }

    fn what_goes_wrong_is_said(&self) -> Result<()> {
        let browser = &self.browser;
        let path = self.asked("account.create", "Jean Dupont")?;
        browser.go("alice", &path)?;
        browser.key("alice", "unknown-pin")?;
        browser.press("alice", "#approve")?;
        browser.reads("alice", "La clé n’a pas répondu.")?;
        browser.judge("alice", "action-no-key")?;
        browser.key("alice", "here")?;
        ensure!(self.state(&path)? == "pending", "nothing was signed");

        // A person without the key that counts: another one, which nobody enrolled.
        browser.person("thief", "en-GB")?;
        browser.go("thief", &path)?;
        browser.type_into("thief", "#person", "alice")?;
        browser.press("thief", "#sign-in button")?;
        browser.reads("thief", "The key did not answer.")?;
        browser.type_into("thief", "#person", "nobody-here")?;
        browser.press("thief", "#sign-in button")?;
        browser.reads("thief", "This identifier cannot sign in here.")?;

        // Not for these eyes.
        browser.go("second", &path)?;
        browser.reads("second", "Demande inconnue")?;
        browser.judge_both("second", "unknown")?;

        let late = self.asked("account.delete", "Jean Dupont")?;
        browser.go("alice", &late)?;
        browser.sees("alice", "expired")?;
        browser.judge_both("alice", "action-expired")?;
        let stale = browser.ask(
            &json!({"op": "fetch", "who": "alice", "to": format!("{late}/refusal"),
            "type": "application/json", "body": "{\"reason\":\"mistake\"}"}),
        )?;
        ensure!(stale["status"] == 410 || stale["status"] == 409, "{stale}");
        Ok(())
    }

    fn two_tabs_show_one_truth(&self) -> Result<()> {
        let browser = &self.browser;
        let path = self.asked("account.create", "Jean Dupont")?;
        browser.ask(&json!({"op": "tab", "who": "alice", "as": "alice-2"}))?;
        browser.go("alice", &path)?;
        browser.go("alice-2", &path)?;
        browser.press("alice", "#approve")?;
        browser.sees("alice", "approved")?;
        let told = browser.sees("alice-2", "approved")?;
        println!("the other tab knew {} ms later", told["ms"]);

        // Signed out in one, the other decides nothing more: it asks who is there.
        let path = self.asked("account.create", "Jean Dupont")?;
        browser.go("alice", &path)?;
        browser.go("alice-2", &path)?;
        browser.press("alice", "#leave")?;
        browser.ask(&json!({"op": "until", "who": "alice", "gone": "#choices"}))?;
        browser.press("alice-2", "#mistake")?;
        browser.reads("alice-2", "Vous n’êtes plus connecté.")?;
        let form = browser.ask(&json!({"op": "reload", "who": "alice-2"}))?;
        ensure!(
            form["title"] == "Se connecter avec sa clé – Sceau",
            "{form}"
        );
        ensure!(
            self.state(&path)? == "pending",
            "a stale tab decides nothing"
        );
        browser.go("alice", &path)?;
        self.sign_in("alice", "alice")
    }

    fn two_persons_decide_together(&self) -> Result<()> {
        let browser = &self.browser;
        let path = self.asked("right.grant", "Jean Dupont")?;
        browser.go("alice", &path)?;
        browser.go("second", &path)?;
        browser.judge_both("second", "action-four-eyes")?;
        browser.press("alice", "#approve")?;
        browser.reads("alice", "D’autres personnes doivent encore approuver.")?;
        browser.judge_both("alice", "action-waiting")?;
        ensure!(self.state(&path)? == "pending", "one is not two");
        browser.press("second", "#approve")?;
        browser.sees("second", "approved")?;
        let told = browser.sees("alice", "approved")?;
        println!(
            "the first was told of the second's approval after {} ms",
            told["ms"]
        );
        Ok(())
    }

    /// From the application, by the gate, to the page, and back to what the application answered.
    fn the_gate_leads_there_and_back(&self) -> Result<()> {
        let browser = &self.browser;
        let gate = format!("http://{GATE}");
        browser.ask(&json!({"op": "tab", "who": "alice", "as": "portal"}))?;
        browser.go("portal", &format!("{gate}/.sceau/sign-in?next=/login"))?;
        browser.judge_both("portal", "gate-sign-in")?;
        browser.type_into("portal", "#person", "alice")?;
        browser.press("portal", "#sign-in button")?;
        browser.reads("portal", "Sceller dans ce navigateur")?;
        browser.judge("portal", "gate-sign-in-touch")?;
        browser.press("portal", "#seal")?;
        browser.ask(&json!({"op": "popup", "who": "portal", "as": "seal"}))?;
        browser.key("seal", "here")?;
        browser.judge("seal", "action-gate-sign-in")?;
        browser.press("seal", "#approve")?;
        browser.sees("seal", "executed")?;
        browser.ask(&json!({"op": "until", "who": "portal", "url": format!("{gate}/login")}))?;
        browser.type_into("portal", "input[name=email]", "alice@ml.example")?;
        browser.type_into("portal", "input[name=password]", PASSWORD)?;
        browser.press("portal", "button")?;
        browser.ask(&json!({"op": "until", "who": "portal", "url": format!("{gate}/accounts")}))?;
        browser.type_into("portal", "input[name=name]", "Jean Dupont")?;
        browser.type_into("portal", "input[name=email]", "jean@ml.example")?;
        browser.press("portal", "button")?;
        let led = browser.reads("portal", "Lire et sceller dans ce navigateur")?;
        println!("led to the action's page after {} ms", led["ms"]);
        ensure!(led["ms"].as_u64().is_some_and(|ms| ms < 5_000), "{led}");
        browser.judge_both("portal", "gate-action")?;
        let before = self.house.executed()?.len();
        browser.press("portal", "#seal")?;
        browser.ask(
            &json!({"op": "until", "who": "portal", "url": "https://sceau.example/actions/"}),
        )?;
        browser.key("portal", "here")?;
        browser.press("portal", "#approve")?;
        browser
            .ask(&json!({"op": "until", "who": "portal", "url": format!("{gate}/accounts/")}))?;
        browser.reads("portal", "Jean Dupont")?;
        ensure!(self.house.executed()?.len() == before + 1, "executed once");
        Ok(())
    }

    /// The ceremony at a help desk: an operator asks and seals, the person takes the seat, a receipt is printed. In that tab, and in no other.
    fn a_help_desk_hands_out_a_key(&self) -> Result<()> {
        let browser = &self.browser;
        browser.key("second", "here")?;
        let there = browser.go("second", "/desk")?;
        if !there["text"].to_string().contains("Remettre une clé") {
            self.sign_in("second", "admin-2")?;
        }
        browser.judge_both("second", "desk")?;
        browser.type_into("second", "#id", "paul")?;
        browser.type_into("second", "#display", "Paul Petit")?;
        browser.type_into("second", "#identity_document", "Passeport")?;
        browser.press("second", "#ask button")?;
        let asked = browser.reads("second", "Paul Petit")?;
        let path = asked["url"].as_str().unwrap_or_default().to_owned();
        let id = path.rsplit('/').next().context("an id")?.to_owned();
        browser.judge("second", "desk-action")?;
        browser.press("second", "#approve")?;
        browser.reads("second", "La personne prend place")?;
        browser.judge_both("second", "desk-hand-over")?;

        // Another tab of the same browser has the cookie and not the secret.
        let here = format!("/desk/{id}");
        browser.ask(&json!({"op": "tab", "who": "second", "as": "beside"}))?;
        browser.go("beside", &here)?;
        browser.press("beside", "#hand-over button")?;
        browser.reads("beside", "une autre fenêtre")?;

        // The operator's own key is still there: one authenticator is one person's.
        browser.key("second", "here")?;
        browser.press("second", "#hand-over button")?;
        browser.reads("second", "Cette clé est déjà à quelqu’un")?;
        browser.judge("second", "desk-own-key")?;
        browser.key("second", "another")?;
        browser.press("second", "#hand-over button")?;
        browser.reads("second", "La clé est enrôlée.")?;
        browser.judge("second", "desk-done")?;
        browser.press("second", "#receipt a")?;
        let paper = browser.reads("second", "Reçu d’une clé de sécurité")?;
        let text = paper["text"].as_str().unwrap_or_default();
        ensure!(
            ["Paul Petit", "Passeport", "Clé principale"]
                .iter()
                .all(|said| text.contains(said)),
            "{text}"
        );
        browser.judge_both("second", "desk-receipt")?;
        let entries = self.house.entries()?;
        let waiting = entries
            .iter()
            .rfind(|entry| entry["type"] == "key.enrolled");
        let waiting = waiting.context("an entry tells of it")?;
        ensure!(waiting["data"]["waits_for"] == "first-use", "{waiting}");
        Ok(())
    }

    /// Attacks 7, 16 and 22, as far as pages go: another site, a frame, a forged form, a stolen cookie.
    fn other_sites_and_thieves_get_nothing(&self) -> Result<()> {
        let browser = &self.browser;
        let path = self.asked("account.create", "Jean Dupont")?;
        browser.go("alice", &path)?;
        browser.key("alice", "here")?;
        let here = format!("https://sceau.example{path}");
        let refusal = format!("{path}/refusal");
        let fetch = |mode: &str, to: &str, kind: &str, body: &str| {
            browser.ask(&json!({"op": "fetch", "who": "alice", "mode": mode, "to": to, "type": kind, "body": body}))
        };
        browser.ask(&json!({"op": "tab", "who": "alice", "as": "safe"}))?;

        let framed = browser.ask(&json!({"op": "evil", "who": "alice", "html": format!("<iframe src=\"{here}\"></iframe>")}))?;
        ensure!(
            !framed.to_string().contains("Jean Dupont") && !framed.to_string().contains("choices"),
            "{framed}"
        );
        // Scripts of another site: unreadable, and without effect.
        for (mode, kind) in [
            ("no-cors", "text/plain"),
            ("cors", "application/json"),
            ("cors", "text/plain"),
        ] {
            let answer = fetch(mode, &refusal, kind, "{\"reason\":\"mistake\"}")?;
            ensure!(
                answer["type"] == "opaque" || answer["type"] == "error",
                "{answer}"
            );
        }
        for read in [path.as_str(), "/pages/session", "/v1/me"] {
            let answer = browser
                .ask(&json!({"op": "fetch", "who": "alice", "method": "GET", "to": read}))?;
            ensure!(answer["type"] == "error", "{read}: {answer}");
        }
        // A form that a page of another site sends off, with what passes for JSON.
        let form = format!(
            "<form method=post enctype=text/plain action=\"{here}/refusal\"><input name='{{\"reason\":\"mistake\",\"x\":\"' value='\"}}'></form>\
             <script>document.forms[0].submit()</script>"
        );
        browser.ask(&json!({"op": "evil", "who": "alice", "html": form}))?;
        // Another site cannot use the key for our name.
        browser.ask(&json!({"op": "evil", "who": "alice", "html": ""}))?;
        let lured = browser.ask(
            &json!({"op": "ceremony", "who": "alice", "of": "startAuthentication", "options": {
            "challenge": "AAAA", "rpId": "sceau.example", "allowCredentials": []}}),
        )?;
        ensure!(lured["error"] == "SecurityError", "{lured}");
        ensure!(self.state(&path)? == "pending", "nothing happened");

        // A stolen cookie: of no use at the API, and without the key nothing is sealed.
        let jar = browser.ask(&json!({"op": "cookies", "who": "alice"}))?;
        let cookies = jar["cookies"].as_array().context("cookies")?;
        let own = cookies
            .iter()
            .find(|cookie| cookie["name"] == "__Host-sceau-page")
            .context("our cookie")?;
        ensure!(own["httpOnly"] == true && own["secure"] == true, "{own}");
        let stolen = format!(
            "__Host-sceau-page={}",
            own["value"].as_str().unwrap_or_default()
        );
        let thief = self
            .house
            .api()
            .with("cookie", &stolen)
            .with("origin", "https://sceau.example");
        ensure!(
            thief.get("/v1/me")?.status == 401,
            "the API knows no cookies"
        );
        let asked = thief.post(
            "/v1/enrolments",
            &json!({"person": {"id": "eve", "display": "Eve", "roles": []}}),
        )?;
        ensure!(asked.status == 401, "{}", asked.text);
        let keys = browser.go("safe", &path)?;
        ensure!(keys["status"] == 200, "{keys}");
        let now = browser.ask(&json!({"op": "fetch", "who": "safe", "method": "GET", "to": path, "headers": {"Accept": "application/json"}}))?;
        let now: Value = serde_json::from_str(now["text"].as_str().unwrap_or_default())?;
        let forged = thief.post(&format!("{path}/approval"), &json!({"key_id": now["keys"][0]["key_id"], "response": {
            "client_data_json": "e30", "authenticator_data": "AAAA", "signature": "AAAA", "credential_id": now["keys"][0]["credential_id"]}}))?;
        ensure!(forged.status >= 400, "{} {}", forged.status, forged.text);
        ensure!(self.state(&path)? == "pending", "a cookie is no key");
        browser.judge("safe", "action-after-attacks")?;
        Ok(())
    }
}
