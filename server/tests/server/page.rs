//! The pages over a real socket, as a browser asks for them: a cookie that only a key brings to life, and nothing for anybody else.

use serde_json::{Value, json};

use crate::api::{SERVICE, Served, approval, wanted};
use crate::fixture::Owner;
use crate::wire::problem;
use crate::wire::{Answer, Ask};

pub(crate) const HERE: &str = "https://sceau.example";

/// A browser with its cookie.
pub(crate) struct Browser<'s> {
    pub(crate) served: &'s Served,
    pub(crate) cookie: String,
}

impl Browser<'_> {
    pub(crate) async fn get(&self, path: &str, accept: &str) -> Answer {
        let ask = Ask::new("GET", path)
            .header("Cookie", &self.cookie)
            .header("Accept", accept)
            .header("Accept-Language", "en");
        self.served.send(ask).await
    }

    async fn post_from(&self, origin: &str, path: &str, body: &Value) -> Answer {
        let ask = Ask::new("POST", path)
            .header("Cookie", &self.cookie)
            .header("Origin", origin)
            .json(&body.to_string());
        self.served.send(ask).await
    }

    pub(crate) async fn page(&self, path: &str) -> Answer {
        self.get(path, "text/html").await
    }
}

/// A sign-in that waits for the key, and what the page's script was told.
async fn begun<'s>(served: &'s Served, person: &str) -> (Browser<'s>, Value) {
    let ask = Ask::new("POST", "/pages/session")
        .header("Origin", HERE)
        .json(&json!({ "person": person }).to_string());
    let answer = served.send(ask).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let set = answer.header("set-cookie");
    assert!(
        set.starts_with("__Host-sceau-page=")
            && set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap().to_owned();
    assert!(
        !answer
            .text()
            .contains(&cookie["__Host-sceau-page=".len()..]),
        "no script learns the token"
    );
    (Browser { served, cookie }, answer.json())
}

pub(crate) async fn signed_in<'s>(served: &'s Served, owner: &Owner) -> Browser<'s> {
    let (browser, told) = begun(served, owner.id.as_str()).await;
    let id = told["action"]["id"].as_str().unwrap().to_owned();
    let record = served.record(&told).await;
    let sealed = browser
        .post_from(
            HERE,
            &format!("/actions/{id}/approval"),
            &approval(owner, &record),
        )
        .await;
    assert_eq!(sealed.status, 200, "{sealed:?}");
    assert_eq!(
        browser.get("/pages/session", "*/*").await.json()["state"],
        "active"
    );
    browser
}

fn path(object: &Value) -> String {
    format!("/actions/{}", object["action"]["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_action_is_read_and_approved_by_whom_it_concerns() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    let path = path(&object);

    // Nobody learns anything, not even that there is an action.
    let nobody = Browser {
        served: &served,
        cookie: "x=1".to_owned(),
    };
    let form = nobody.page(&path).await;
    let other = nobody
        .page("/actions/0193a5d0-0000-7000-8000-000000000000")
        .await;
    assert_eq!(
        (form.status, form.text()),
        (200, other.text()),
        "the same form"
    );
    assert!(form.text().contains("id=\"sign-in\""));
    problem(
        &nobody.get(&path, "application/json").await,
        401,
        "unauthenticated",
    );

    let browser = signed_in(&served, &served.alice).await;
    let page = browser.page(&path).await;
    let text = page.text();
    assert!(text.contains("id=\"approve\"") && text.contains("id=\"not-me\""));
    assert!(text.contains("Jean Dupont") && text.contains("jd@ml.example"));
    assert!(text.contains("The service says") && text.contains("Create the account"));
    let now = browser.get(&path, "application/json").await.json();
    assert_eq!(
        (now["state"].as_str(), now["awaits"].as_bool()),
        (Some("pending"), Some(true))
    );
    assert_eq!(now["action"], object["action"]);
    assert_eq!(now.get("permit"), None);

    let record = served.record(&object).await;
    let body = approval(&served.alice, &record);
    let done = browser
        .post_from(HERE, &format!("{path}/approval"), &body)
        .await;
    assert_eq!(done.json()["state"], "approved", "{done:?}");
    let settled = browser.page(&path).await.text();
    assert!(settled.contains("href=\"https://portal.example/\"") && !settled.contains("choices"));

    let stranger = signed_in(&served, &served.bob).await;
    let unknown = stranger.page(&path).await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text().contains("Jean Dupont"));
    problem(
        &stranger.get(&path, "application/json").await,
        404,
        "not-found",
    );
}

#[tokio::test]
async fn pages_are_bound_to_their_site_and_run_nothing_foreign() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    let path = path(&object);
    let browser = signed_in(&served, &served.alice).await;
    for page in [
        browser.page(&path).await,
        browser.page("/enrol").await,
        browser.page("/pages/key.js").await,
    ] {
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-frame-options"), "DENY");
    }
    assert!(
        browser
            .page(&path)
            .await
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );

    // A forged form, and another site's script: nothing happens, whatever the cookie.
    let refusal = json!({ "reason": "mistake" });
    for origin in [
        "https://evil.example",
        "null",
        "http://sceau.example",
        "https://sceau.example:8443",
    ] {
        let forged = browser
            .post_from(origin, &format!("{path}/refusal"), &refusal)
            .await;
        problem(&forged, 403, "cross-site");
    }
    let form = Ask::new("POST", &format!("{path}/refusal"))
        .header("Cookie", &browser.cookie)
        .header("Origin", HERE)
        .form("reason=mistake");
    problem(&served.send(form).await, 415, "unsupported-media-type");
    // The cookie is nothing to the API.
    let api = Ask::new("GET", "/v1/me").header("Cookie", &browser.cookie);
    problem(&served.send(api).await, 401, "unauthenticated");
    assert_eq!(served.record(&object).await.state.as_str(), "pending");

    let refused = browser
        .post_from(
            HERE,
            &format!("{path}/refusal"),
            &json!({ "reason": "not-me" }),
        )
        .await;
    assert_eq!(refused.json()["state"], "refused", "{refused:?}");
    let again = browser
        .post_from(HERE, &format!("{path}/refusal"), &refusal)
        .await;
    problem(&again, 409, "already-settled");
}

#[tokio::test]
async fn a_cookie_is_dead_until_its_key_has_sealed_it_and_after_signing_out() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    let path = path(&object);
    let (browser, _) = begun(&served, "alice").await;
    assert!(browser.page(&path).await.text().contains("id=\"sign-in\""));
    let record = served.record(&object).await;
    let body = approval(&served.alice, &record);
    problem(
        &browser
            .post_from(HERE, &format!("{path}/approval"), &body)
            .await,
        401,
        "unauthenticated",
    );
    let browser = signed_in(&served, &served.alice).await;
    let out = Ask::new("DELETE", "/pages/session").header("Cookie", &browser.cookie);
    let out = served.send(out.header("Origin", HERE)).await;
    assert!(out.status == 204 && out.header("set-cookie").contains("Max-Age=0"));
    assert!(browser.page(&path).await.text().contains("id=\"sign-in\""));
    // A token of another kind of session is not this page's.
    let agent = Browser {
        served: &served,
        cookie: format!("__Host-sceau-page={}", *served.alice.token),
    };
    assert!(agent.page(&path).await.text().contains("id=\"sign-in\""));
}

/// What a stream tells until it ends, while something happens beside it.
async fn told(
    served: &Served,
    browser: &Browser<'_>,
    path: &str,
    after: impl Future<Output = ()>,
) -> String {
    let ask = Ask::new("GET", path)
        .header("Cookie", &browser.cookie)
        .header("Accept", "text/event-stream");
    let (answer, ()) = tokio::join!(served.send(ask), after);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    answer.text()
}

#[tokio::test]
async fn a_page_is_told_of_each_change_until_the_end_and_of_nothing_after_its_session() {
    let served = Served::start().await;
    let browser = signed_in(&served, &served.alice).await;
    let object = served.open("vault.open").await;
    let refused = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(served.approve(&served.alice, &object).await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let no = json!({ "reason": "mistake" });
        let answer = browser
            .post_from(HERE, &format!("{}/refusal", path(&object)), &no)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let text = told(&served, &browser, &path(&object), refused).await;
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(
        events,
        [
            json!({"state": "pending", "awaits": true, "approved": false}),
            json!({"state": "pending", "awaits": false, "approved": true}),
            json!({"state": "refused", "awaits": false, "approved": true}),
        ]
    );

    // The person is suspended: what happens then is not told any more.
    let body = wanted("vault.open", "alice");
    let object = served.ask(SERVICE, "POST", "/v1/actions", Some(body)).await;
    let object = object.json();
    let session = served
        .desk
        .session(&browser.cookie["__Host-sceau-page=".len()..])
        .await
        .unwrap()
        .unwrap();
    let suspended = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let ended = served.desk.suspend_session(session.id, "not-me").await;
        ended.unwrap();
    };
    let text = told(&served, &browser, &path(&object), suspended).await;
    assert_eq!(text.matches("event: state").count(), 1, "{text}");
    let after = browser.get(&path(&object), "text/event-stream").await;
    problem(&after, 401, "unauthenticated");
}

/// Alice asks, at the desk's page, for a key for Paul; the action's object.
async fn asked_at_the_desk(browser: &Browser<'_>, handover: &str) -> Value {
    let person = json!({"id": "paul", "display": "Paul", "roles": ["manager"], "identity_document": "passport"});
    let asked = json!({"person": person, "key": "main", "handover": handover});
    let answer = browser.post_from(HERE, "/desk", &asked).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["state"], "pending", "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_desk_hands_out_a_key_in_the_tab_that_asked_and_in_no_other() {
    let served = Served::start().await;
    let browser = signed_in(&served, &served.alice).await;
    assert!(browser.page("/desk").await.text().contains("id=\"ask\""));
    let secret = "a-secret-of-one-tab";
    let digest = sceau_proof::log::entry::sha256(secret.as_bytes());
    let asked = asked_at_the_desk(&browser, &sceau_proof::base64url::encode(digest)).await;
    let id = asked["id"].as_str().unwrap();
    let (action, here) = (format!("/actions/{id}"), format!("/desk/{id}"));

    // Sealed where every action is read; from there it leads back.
    let early = browser.page(&here).await;
    assert_eq!(
        (early.status, early.header("location")),
        (303, action.as_str())
    );
    let page = browser.page(&action).await.text();
    assert!(page.contains(&format!("href=\"{here}\"")) && page.contains("data-leads=\"true\""));
    let record = served.desk.action(id.parse().unwrap()).await.unwrap();
    let sealed = approval(&served.alice, &record.unwrap());
    let sealed = browser
        .post_from(HERE, &format!("{action}/approval"), &sealed)
        .await;
    assert_eq!(sealed.json()["state"], "executed", "{sealed:?}");
    assert!(
        browser
            .page(&here)
            .await
            .text()
            .contains("id=\"hand-over\"")
    );

    // A cookie is not enough, nor is the operator's session at the API, nor another operator's.
    let claim = format!("{here}/invitation");
    for wrong in ["", "another-tab"] {
        let answer = browser
            .post_from(HERE, &claim, &json!({ "secret": wrong }))
            .await;
        problem(&answer, 409, "elsewhere");
    }
    let by_api = served
        .ask(&served.alice.token, "GET", &format!("/v1{action}"), None)
        .await;
    assert!(
        by_api.json()["result"]["invitation"].is_null(),
        "{by_api:?}"
    );
    let other = signed_in(&served, &served.bob).await;
    let own = json!({ "secret": secret });
    problem(&other.post_from(HERE, &claim, &own).await, 404, "not-found");
    problem(
        &browser
            .post_from("https://evil.example", &claim, &own)
            .await,
        403,
        "cross-site",
    );
    assert_eq!(
        browser.page(&format!("{here}/receipt")).await.status,
        404,
        "no key yet"
    );

    let shown = browser.post_from(HERE, &claim, &own).await;
    let invitation = shown.json()["invitation"].as_str().unwrap().to_owned();
    problem(
        &browser.post_from(HERE, &claim, &own).await,
        409,
        "elsewhere",
    );
    let opened = served.desk.open_enrolment(&invitation).await.unwrap();
    let challenge = sceau_proof::action::Action::parse(opened.action.document.as_bytes()).unwrap();
    let (_, client_data_json, attestation_object) = crate::authenticator::Credential::make(
        &served.place.manufacturer,
        crate::fixture::RP_ID,
        crate::fixture::AGENT,
        challenge.challenge().as_bytes(),
    );
    let claim = sceau_server::desk::RegistrationClaim {
        client_data_json,
        attestation_object,
        transports: vec!["usb".to_owned()],
        label: Some("main".to_owned()),
    };
    let registered = served.desk.register(opened.id, &invitation, claim).await;
    let key = registered.unwrap().unwrap().key.id.to_string();
    let receipt = browser.page(&format!("{here}/receipt")).await.text();
    for said in ["Paul", "Passport", "Main key", &key, "Alice Martin"] {
        assert!(receipt.contains(said), "{said}: {receipt}");
    }
    assert!(
        browser
            .page(&here)
            .await
            .text()
            .contains("<form id=\"hand-over\" hidden>")
    );
}

#[tokio::test]
async fn a_desk_is_for_those_who_enrol_and_no_papers_no_key() {
    let served = Served::start().await;
    let manager = served
        .place
        .invite(&served.desk, &served.alice, "manon", "manager")
        .await;
    let browser = signed_in(&served, &manager).await;
    assert_eq!(browser.page("/desk").await.status, 404);
    let alice = signed_in(&served, &served.alice).await;
    let nothing =
        json!({"person": {"id": "paul", "display": "Paul"}, "key": "main", "handover": ""});
    problem(
        &alice.post_from(HERE, "/desk", &nothing).await,
        400,
        "malformed",
    );
    let nobody = Browser {
        served: &served,
        cookie: "x=1".to_owned(),
    };
    assert!(nobody.page("/desk").await.text().contains("id=\"sign-in\""));
}

/// The budget of the pages: all scripts of all of them together.
#[test]
fn all_scripts_together_are_less_than_thirty_kilobytes() {
    fn weigh(folder: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries
            .map(|entry| match entry.metadata().unwrap() {
                data if data.is_dir() => weigh(&entry.path()),
                data if entry.path().extension().is_some_and(|end| end == "js") => data.len(),
                _ => 0,
            })
            .sum()
    }
    let all = weigh(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!((10_000..30_000).contains(&all), "{all} bytes");
}
