//! Log-in of the gate's users by ProConnect, before the sign-in by key (attack 2). The other side is oidc-provider, which we did not write, set up as
//! ProConnect is, and able to lie (`tests/peers/proconnect.mjs`). Whatever it says, nobody gets past the gate without the key of the person that they claim
//! to be; and what does not hold is refused before anybody is asked for a key.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{GATE, create_account, pending},
    http::{Answer, Client},
    place,
    process::Running,
    stage::Stage,
};
use serde_json::{Value, json};

const PORT: &str = "8447";
const ISSUER: &str = "http://localhost:8447/api/v2";
const SECRET: &str = "a-secret-of-the-gate-0123456789-0123456789";

/// The counterpart, which knows the client by its secret, or by this public key.
fn proconnect(stage: &Stage, jwk: Option<&Value>) -> Result<Running> {
    let mut command = Command::new("node");
    command
        .arg(place::root().join("tests/peers/proconnect.mjs"))
        .args([PORT, "sceau", SECRET])
        .arg(format!("http://{GATE}/.sceau/login/callback"))
        .env("SCEAU_PEERS", place::target().join("peers"));
    if let Some(jwk) = jwk {
        command.env("CLIENT_JWK", jwk.to_string());
    }
    let mut running = Running::start("proconnect", &stage.path(""), &mut command)?;
    running.wait_ready(Duration::from_secs(20), || {
        there()
            .get("/api/v2/.well-known/openid-configuration")
            .is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(running)
}

fn there() -> Client {
    Client::new("http://localhost:8447")
}

fn lies(how: &Value) -> Result<()> {
    there().post("/_lie", how).map(drop)
}

fn secret_file(stage: &Stage, name: &str, text: &str) -> Result<()> {
    let file = stage.house.file(name);
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// A stage whose gate wants a log-in; `authentication` is a line of its configuration.
fn stage(authentication: &str) -> Result<Stage> {
    let mut stage = Stage::set()?;
    let login = format!(
        "\n[gate.login]\nissuer = \"{ISSUER}\"\nclient_id = \"sceau\"\n{authentication}\nidp_ids = [\"idp-ministry\"]\n\
         scopes = [\"email\", \"given_name\", \"usual_name\", \"idp_id\", \"custom\"]\n"
    );
    let config = fs::read_to_string(stage.house.config())?;
    fs::write(stage.house.config(), config + &login)?;
    stage.house.kill_server();
    Ok(stage)
}

/// The browser goes to the provider and comes back; the gate's answer to that.
fn log_in(browser: &Client) -> Result<Answer> {
    browser.get(&way_back(browser)?)
}

/// The path by which the provider sends the browser back.
fn way_back(browser: &Client) -> Result<String> {
    let mut answer = browser.get("/.sceau/login?next=/accounts")?;
    let provider = there();
    for _ in 0..6 {
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text);
        let to = answer.header("location").context("a place")?.to_owned();
        if let Some(path) = to.strip_prefix(&format!("http://{GATE}")) {
            return Ok(path.to_owned());
        }
        let path = to.strip_prefix("http://localhost:8447").unwrap_or(&to);
        answer = provider.get(path)?;
    }
    anyhow::bail!("the provider does not send the browser back")
}

fn asked(browser: &Client, person: &str) -> Result<Answer> {
    browser.post("/.sceau/session", &json!({"person": person}))
}

fn action(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 201, "{} {}", answer.status, answer.text);
    let id = answer.json()["action_id"].as_str().map(str::to_owned);
    id.context("an action")
}

fn flat(shown: &str) -> String {
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

const YOURS: &str = "declare that this account is yours";

#[test]
fn proconnect_says_who_and_the_key_seals_it() -> Result<()> {
    let mut stage = stage("secret = \"proconnect.secret\"")?;
    secret_file(&stage, "proconnect.secret", SECRET)?;
    let _proconnect = proconnect(&stage, None)?;
    stage.house.start_server()?;
    let (house, alice) = (&stage.house, &stage.people.manager);

    // No log-in, no sign-in.
    let browser = house.gate();
    let refused = asked(&browser, "alice")?;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (403, Some("login-needed"))
    );
    let page = browser.send("GET", "/.sceau/sign-in", &[("accept", "text/html")], None)?;
    assert!(page.text.contains("href=\"/.sceau/login?next=/\"") && !page.text.contains("<form"));

    // The first time: the identity is nobody's, and becomes Alice's because her key seals it.
    let back = log_in(&browser)?;
    assert_eq!(
        back.header("location"),
        Some("/.sceau/sign-in?next=/accounts"),
        "{}",
        back.text
    );
    let begun = asked(&browser, "alice")?;
    let (code, shown) = alice.approve(&action(&begun)?)?;
    let shown = flat(&shown);
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains(YOURS) && shown.contains("alice@ml.example"),
        "{shown}"
    );
    let state = browser.get("/.sceau/session?wait=10")?.json();
    assert_eq!(
        (&state["state"], &state["person"]),
        (&json!("active"), &json!("alice"))
    );
    stage.logged(&["identity.bound", "idp-ministry"])?;
    let seen = there().get("/_seen")?.json();
    assert_eq!(seen["authentication"], json!(["client_secret_post"]));

    // Out, here and there.
    let out = browser.send("POST", "/.sceau/logout", &[], None)?;
    let to = out.header("location").unwrap_or_default().to_owned();
    assert!(
        to.starts_with(&format!("{ISSUER}/session/end?")) && to.contains("id_token_hint="),
        "{to}"
    );
    assert_eq!(browser.get("/.sceau/session")?.json()["state"], "ended");

    // From then on the identity is hers, and nobody else's.
    let browser = house.gate();
    log_in(&browser)?;
    let page = browser.send("GET", "/.sceau/sign-in", &[("accept", "text/html")], None)?;
    assert!(
        page.text.contains("value=\"alice\" readonly") && page.text.contains("data-auto"),
        "{}",
        page.text
    );
    assert_eq!(asked(&browser, "odile")?.status, 403);
    let (code, shown) = alice.approve(&action(&asked(&browser, "alice")?)?)?;
    assert!(code == 0 && !flat(&shown).contains(YOURS), "{shown}");

    // Somebody with an account of their own claims to be Alice: her key is asked, and she says no.
    lies(&json!({"sub": "mallory", "email": "alice@ml.example"}))?;
    let mallory = house.gate();
    log_in(&mallory)?;
    let asked_for = action(&asked(&mallory, "alice")?)?;
    let (_, shown) = alice.not_me(&asked_for)?;
    assert!(flat(&shown).contains(YOURS), "{shown}");
    assert_ne!(
        mallory.get("/.sceau/session?wait=5")?.json()["state"],
        "active"
    );
    let page = {
        log_in(&mallory)?;
        mallory.send("GET", "/.sceau/sign-in", &[("accept", "text/html")], None)?
    };
    assert!(!page.text.contains("readonly"), "nothing was bound");
    Ok(())
}

/// What the provider says, and why it is not believed.
fn table() -> Vec<(&'static str, Value, &'static str)> {
    let forge = |claims: Value| json!({"forge": {"claims": claims}});
    vec![
        (
            "an honest provider at a lower level",
            json!({"acr": "eidas1-mfa", "amr": ["pwd", "otp", "mfa"]}),
            "provider-refused",
        ),
        (
            "a lower level in the token",
            forge(json!({"acr": "eidas2"})),
            "acr-too-low",
        ),
        (
            "a code by e-mail",
            forge(json!({"acr": "eidas1-mfa"})),
            "acr-too-low",
        ),
        ("no level", forge(json!({"acr": null})), "acr-too-low"),
        (
            "eidas3 with a password",
            forge(json!({"amr": ["pwd", "mfa"]})),
            "amr-missing",
        ),
        (
            "eidas3 without a word of how",
            forge(json!({"amr": null})),
            "amr-missing",
        ),
        (
            "an unlisted identity provider",
            json!({"idp_id": "idp-of-mallory"}),
            "idp-not-listed",
        ),
        (
            "no identity provider",
            json!({"idp_id": null}),
            "idp-not-listed",
        ),
        (
            "another request's nonce",
            forge(json!({"nonce": "x"})),
            "nonce-other",
        ),
        ("no nonce", forge(json!({"nonce": null})), "nonce-other"),
        (
            "the token of the log-in before",
            json!({"replay": true}),
            "nonce-other",
        ),
        (
            "another issuer",
            forge(json!({"iss": "https://evil.example"})),
            "issuer-other",
        ),
        (
            "for another client",
            forge(json!({"aud": "another"})),
            "audience-other",
        ),
        (
            "an expired token",
            forge(json!({"exp": 1_700_000_000})),
            "token-time",
        ),
        (
            "another key",
            json!({"forge": {"key": "other"}}),
            "token-signature",
        ),
        (
            "no signature",
            json!({"forge": {"key": "none"}}),
            "token-algorithm",
        ),
        (
            "the public key as a secret",
            json!({"forge": {"key": "hs256"}}),
            "token-algorithm",
        ),
        (
            "user information about somebody else",
            json!({"userinfo": {"sub": "bob"}}),
            "subject-other",
        ),
    ]
}

#[test]
fn a_provider_that_lies_gets_nobody_past_the_gate() -> Result<()> {
    let mut stage = stage("key = \"client.pem\"")?;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    secret_file(&stage, "client.pem", &pair.serialize_pem())?;
    let point = pair.public_key_raw();
    let coordinate = |range: std::ops::Range<usize>| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&point[range])
    };
    let (x, y) = (coordinate(1..33), coordinate(33..65));
    // RFC 7638: how the gate calls its key.
    let named = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, named.as_bytes());
    let kid = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(thumbprint)
    };
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid});
    let _proconnect = proconnect(&stage, Some(&jwk))?;
    stage.house.start_server()?;
    let alice = &stage.people.manager;

    let published = stage.house.gate().get("/.sceau/login/jwks.json")?.json();
    assert_eq!(published["keys"][0]["kid"], jwk["kid"], "{published}");

    // So that it can be replayed, and to show that the truth would pass.
    let browser = stage.house.gate();
    assert_eq!(log_in(&browser)?.status, 303);
    assert_eq!(
        there().get("/_seen")?.json()["authentication"],
        json!(["private_key_jwt"])
    );

    for (what, lie, reason) in table() {
        lies(&lie)?;
        let browser = stage.house.gate();
        let back = log_in(&browser)?;
        ensure!(back.status == 403, "{what}: {} {}", back.status, back.text);
        ensure!(
            back.json()["code"] == "login-refused",
            "{what}: {}",
            back.text
        );
        ensure!(
            !back.text.contains(reason),
            "{what}: the reason is the log's alone"
        );
        let entry = stage.logged(&["login.refused", reason]);
        ensure!(entry.is_ok(), "{what}: {entry:?}");
        ensure!(
            asked(&browser, "alice")?.status == 403,
            "{what}: no sign-in"
        );
        ensure!(
            create_account(&browser, "Mallory")?.status == 401,
            "{what}: nothing is done"
        );
    }

    // The way back belongs to the browser that went, once, with the state that it was given.
    lies(&json!({}))?;
    let went = stage.house.gate();
    let path = way_back(&went)?;
    assert_eq!(
        stage.house.gate().get(&path)?.status,
        403,
        "another browser"
    );
    assert_eq!(
        went.get(&path.replace("state=", "state=x"))?.status,
        403,
        "another state"
    );
    let other = path.replace("iss=http%3A%2F%2Flocalhost", "iss=http%3A%2F%2Fevil");
    assert_ne!(other, path);
    assert_eq!(went.get(&other)?.status, 403, "another issuer (RFC 9207)");
    assert_eq!(went.get(&path)?.status, 403, "not a second time");

    // Where evidence is wanted, a level alone is a word.
    stage
        .house
        .environment
        .push(("SCEAU_GATE__LOGIN__EVIDENCE", "true"));
    stage.house.kill_server();
    stage.house.start_server()?;
    let foreign = stage.asked()?;
    for (custom, reason) in [
        (Value::Null, "evidence-missing"),
        (
            json!({"sceau_evidence": {"action": "0193500a-7d00-7000-8000-00000000000a"}}),
            "evidence-missing",
        ),
        (
            json!({"sceau_evidence": {"action": foreign}}),
            "evidence-of-another",
        ),
    ] {
        lies(&json!({"custom": custom}))?;
        let back = log_in(&stage.house.gate())?;
        ensure!(
            back.status == 403,
            "{reason}: {} {}",
            back.status,
            back.text
        );
        stage.logged(&["login.refused", reason])?;
    }
    let waiting = pending(alice)?;
    assert_eq!(waiting, [foreign], "nobody was asked for a key");
    assert_eq!(stage.house.executed()?, Vec::<String>::new());
    Ok(())
}
