//! OAuth for services over real sockets: what a service, a browser and a key do together, and everything that somebody else might try in their place.

use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use sceau_server::action::ActionRecord;
use sceau_server::desk::{InboxEvent, RefusalReason};
use sceau_server::id::ActionId;
use sceau_server::port::Clock as _;
use serde_json::{Value, json};
use time::Duration;

use crate::api::{SERVICE, Served, wanted};
use crate::conformance::{count, log};
use crate::wire::{Answer, Ask};

const ISSUER: &str = "https://sceau.example";
const BACK: &str = "https://portal.example/back";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const PORTAL: usize = 0;
const OTHER: usize = 1;

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    pairs.join("&")
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// What a service says of itself, once.
fn assertion(served: &Served, who: usize) -> String {
    let jti = base64url::encode(random());
    claimed(served, who, json!({ "jti": jti }))
}

fn claimed(served: &Served, who: usize, more: Value) -> String {
    let id = ["portal", "other"][who];
    let now = served.place.clock.now().unix_timestamp();
    let mut claims =
        json!({"iss": id, "sub": id, "aud": ISSUER, "jti": "j-1", "iat": now, "exp": now + 60});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let random = aws_lc_rs::rand::SystemRandom::new();
    served.keys[who].jws("JWT", &claims, &random).unwrap()
}

async fn said(served: &Served, path: &str, assertion: &str, pairs: &[(&str, &str)]) -> Answer {
    let mut all = vec![
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    all.extend(pairs);
    served.send(Ask::new("POST", path).form(&form(&all))).await
}

async fn post(served: &Served, who: usize, path: &str, pairs: &[(&str, &str)]) -> Answer {
    said(served, path, &assertion(served, who), pairs).await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["error"], error, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

fn details(kind: &str, requester: &str) -> String {
    json!([{
        "type": "sceau_action", "action": kind, "requester": requester, "params": {"email": "jd@ml.example"},
        "target": {"kind": "account", "id": "jd", "display": "Jean Dupont"},
        "words": {"fr": "Créer le compte", "en": "Create the account"}
    }])
    .to_string()
}

/// A request that holds in everything.
fn pushed(details: &str) -> Vec<(&'static str, String)> {
    vec![
        ("response_type", "code".to_owned()),
        ("redirect_uri", BACK.to_owned()),
        ("state", "s & 1".to_owned()),
        (
            "code_challenge",
            base64url::encode(sha256(VERIFIER.as_bytes())),
        ),
        ("code_challenge_method", "S256".to_owned()),
        ("authorization_details", details.to_owned()),
    ]
}

fn pairs<'p>(owned: &'p [(&'static str, String)]) -> Vec<(&'static str, &'p str)> {
    owned
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// A browser with whatever cookie it was given.
struct Browser<'s> {
    served: &'s Served,
    cookie: String,
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        let ask = Ask::new("GET", path)
            .header("Cookie", &self.cookie)
            .header("Accept-Language", "en");
        self.served.send(ask).await
    }
}

/// Pushes, and gives the `request_uri`.
async fn push(served: &Served, kind: &str) -> String {
    let asked = pushed(&details(kind, "alice"));
    let answer = post(served, PORTAL, "/oauth/par", &pairs(&asked)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

async fn bring(served: &Served, client: &str, request_uri: &str) -> Answer {
    let query = form(&[("client_id", client), ("request_uri", request_uri)]);
    served
        .send(Ask::new("GET", &format!("/oauth/authorize?{query}")))
        .await
}

/// Pushes and brings; the browser, and its page's path.
async fn begun<'s>(served: &'s Served, kind: &str) -> (Browser<'s>, String) {
    let request_uri = push(served, kind).await;
    let came = bring(served, "portal", &request_uri).await;
    assert_eq!(came.status, 303, "{came:?}");
    let set = came.header("set-cookie").to_owned();
    assert!(
        set.starts_with("__Host-sceau-oauth=") && set.contains("HttpOnly"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap().to_owned();
    (
        Browser { served, cookie },
        came.header("location").to_owned(),
    )
}

/// The action that waits for alice.
async fn waiting(served: &Served) -> ActionRecord {
    let mut inbox = served
        .desk
        .subscribe(served.alice.id.clone())
        .await
        .unwrap();
    loop {
        if let InboxEvent::Action(record) = inbox.next().await.unwrap() {
            return *record;
        }
    }
}

/// Pushed, brought, sealed, led back: the code.
async fn code(served: &Served, kind: &str) -> (ActionId, String) {
    let (browser, page) = begun(served, kind).await;
    let record = waiting(served).await;
    served.alice.approve(&served.desk, &record).await.unwrap();
    let back = browser.get(&format!("{page}/continue")).await;
    assert_eq!(back.status, 303, "{back:?}");
    let location = back.header("location");
    assert!(location.starts_with(&format!("{BACK}?code=")), "{location}");
    assert!(
        location.ends_with("&state=s%20%26%201&iss=https%3A%2F%2Fsceau.example"),
        "{location}"
    );
    let code = location.split(['=', '&']).nth(1).unwrap().to_owned();
    (record.id, code)
}

async fn redeem(served: &Served, who: usize, code: &str, back: &str, verifier: &str) -> Answer {
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", back),
        ("code_verifier", verifier),
    ];
    post(served, who, "/oauth/token", &pairs).await
}

#[tokio::test]
async fn what_is_pushed_is_sealed_and_its_permit_given_once() {
    let served = Served::start().await;
    let described = served
        .send(Ask::new("GET", "/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(described.json()["issuer"], ISSUER);
    assert_eq!(
        described.json()["require_pushed_authorization_requests"],
        true
    );

    let (browser, page) = begun(&served, "account.create").await;
    let shown = browser.get(&page).await;
    assert!(shown.text().contains("Waiting for the key"), "{shown:?}");
    assert!(
        !shown.text().contains("Jean Dupont"),
        "nobody has signed in"
    );
    assert!(
        shown
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    let early = browser.get(&format!("{page}/continue")).await;
    assert_eq!(
        (early.status, early.header("location")),
        (303, page.as_str()),
        "nothing before the key"
    );
    let record = waiting(&served).await;
    assert!(record.document.contains("Create the account"));
    served.alice.approve(&served.desk, &record).await.unwrap();
    let back = browser.get(&format!("{page}/continue")).await;
    let code = back
        .header("location")
        .split(['=', '&'])
        .nth(1)
        .unwrap()
        .to_owned();
    let again = browser.get(&format!("{page}/continue")).await;
    assert_eq!(again.header("location"), page, "one code");

    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let granted = granted.json();
    assert_eq!(granted["token_type"], "Bearer");
    let detail = &granted["authorization_details"][0];
    assert_eq!(
        (&detail["type"], &detail["action"], &detail["requester"]),
        (
            &json!("sceau_action"),
            &json!("account.create"),
            &json!("alice")
        )
    );
    assert_eq!(detail["params"]["email"], "jd@ml.example");
    assert_eq!(detail["action_id"], json!(record.id));
    let permit = granted["access_token"].as_str().unwrap().to_owned();
    let ask = async |who: usize, consume: &str| {
        let pairs = [("token", permit.as_str()), ("consume", consume)];
        post(&served, who, "/oauth/introspect", &pairs).await.json()
    };
    assert_eq!(
        ask(OTHER, "true").await,
        json!({"active": false}),
        "for its service alone"
    );
    let active = ask(PORTAL, "false").await;
    assert_eq!(
        (&active["active"], &active["acr"], &active["sub"]),
        (&json!(true), &json!("eidas3"), &json!("alice"))
    );
    assert_eq!(
        active["auth_time"],
        served.place.clock.now().unix_timestamp()
    );
    assert_eq!(ask(PORTAL, "true").await["active"], true);
    assert_eq!(ask(PORTAL, "true").await, json!({"active": false}));
    let entries = log(&served.desk).await;
    for kind in [
        "oauth.requested",
        "oauth.begun",
        "oauth.code-issued",
        "oauth.redeemed",
        "permit.consumed",
    ] {
        assert_eq!(count(&entries, kind), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_code_shown_twice_ends_its_action() {
    let served = Served::start().await;
    let (action, code) = code(&served, "account.create").await;
    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await.json();
    let permit = granted["access_token"].as_str().unwrap();
    refused(
        &redeem(&served, PORTAL, &code, BACK, VERIFIER).await,
        400,
        "invalid_grant",
    );
    let now = post(&served, PORTAL, "/oauth/introspect", &[("token", permit)]).await;
    assert_eq!(
        now.json(),
        json!({"active": false}),
        "what it gave counts no more"
    );
    let record = served.desk.action(action).await.unwrap().unwrap();
    assert_eq!(record.refusal.unwrap().reason, "code-replayed");
    assert_eq!(count(&log(&served.desk).await, "oauth.code-replayed"), 1);
}

#[tokio::test]
async fn a_code_serves_whom_it_was_made_for() {
    let served = Served::start().await;
    let (_, code) = code(&served, "account.create").await;
    let wrong = "another-verifier-of-at-least-forty-three-characters";
    for (who, back, verifier) in [
        (OTHER, BACK, VERIFIER),
        (PORTAL, "https://portal.example/back/", VERIFIER),
        (PORTAL, "https://other.example/back", VERIFIER),
        (PORTAL, BACK, wrong),
        (PORTAL, BACK, "short"),
    ] {
        refused(
            &redeem(&served, who, &code, back, verifier).await,
            400,
            "invalid_grant",
        );
    }
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACK),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        400,
        "invalid_request",
    );
    let other = details("account.delete", "alice");
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("authorization_details", &other),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        400,
        "invalid_authorization_details",
    );
    // None of these took it.
    assert_eq!(
        redeem(&served, PORTAL, &code, BACK, VERIFIER).await.status,
        200
    );

    let (_, late) = self::code(&served, "account.create").await;
    served.place.clock.shift(Duration::seconds(61));
    refused(
        &redeem(&served, PORTAL, &late, BACK, VERIFIER).await,
        400,
        "invalid_grant",
    );
}

#[tokio::test]
async fn a_handle_is_brought_once_for_its_service_and_in_time() {
    let served = Served::start().await;
    let request_uri = push(&served, "account.create").await;
    // Nowhere is a browser redirected to for what is not as it was left.
    for (client, uri) in [
        ("other", request_uri.as_str()),
        ("portal", "urn:ietf:params:oauth:request_uri:AAAA"),
        ("portal", "https://evil.example/request"),
        ("nobody", request_uri.as_str()),
    ] {
        let answer = bring(&served, client, uri).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, ""),
            "{client} {uri}"
        );
    }
    // What stands beside the handle changes nothing: the action was written down when it was pushed.
    let query = form(&[
        ("client_id", "portal"),
        ("request_uri", &request_uri),
        ("redirect_uri", "https://evil.example/"),
        ("authorization_details", &details("account.delete", "alice")),
    ]);
    let came = served
        .send(Ask::new("GET", &format!("/oauth/authorize?{query}")))
        .await;
    assert_eq!(came.status, 303, "{came:?}");
    let record = waiting(&served).await;
    assert_eq!(record.kind, "account.create");
    assert_eq!(
        bring(&served, "portal", &request_uri).await.status,
        400,
        "a second time"
    );
    // Another browser has nothing of it.
    let page = came.header("location");
    let thief = Browser {
        served: &served,
        cookie: format!("__Host-sceau-oauth={}", "A".repeat(43)),
    };
    for path in [page.to_owned(), format!("{page}/continue")] {
        assert_eq!(thief.get(&path).await.status, 404, "{path}");
    }
    served
        .desk
        .refuse(
            record.id,
            served.alice.id.clone(),
            RefusalReason::NotMe,
            None,
        )
        .await
        .unwrap();
    let cookie = came
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let owner = Browser {
        served: &served,
        cookie,
    };
    let back = owner.get(&format!("{page}/continue")).await;
    assert!(
        back.header("location").starts_with(&format!(
            "{BACK}?error=access_denied&error_description=not-me&state="
        )),
        "{back:?}"
    );

    let late = push(&served, "account.create").await;
    served.place.clock.shift(Duration::seconds(91));
    assert_eq!(
        bring(&served, "portal", &late).await.status,
        400,
        "too late"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name_and_nobody_is_prompted() {
    let served = Served::start().await;
    let good = pushed(&details("account.create", "alice"));
    let with = |name: &'static str, value: &str| {
        let mut other = good.clone();
        other.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            other.push((name, value.to_owned()));
        }
        other
    };
    let two = {
        let one = details("account.create", "alice");
        let inner = one.trim_matches(['[', ']']).to_owned();
        format!("[{inner},{inner}]")
    };
    for (asked, error) in [
        (with("code_challenge", ""), "invalid_request"),
        (with("code_challenge_method", "plain"), "invalid_request"),
        (with("code_challenge_method", ""), "invalid_request"),
        (with("code_challenge", "abc"), "invalid_request"),
        (
            with("redirect_uri", "https://portal.example/back?x=1"),
            "invalid_request",
        ),
        (
            with("redirect_uri", "https://portal.example.evil.example/back"),
            "invalid_request",
        ),
        (with("redirect_uri", ""), "invalid_request"),
        (with("response_type", "token"), "unsupported_response_type"),
        (with("response_type", ""), "invalid_request"),
        (with("response_mode", "fragment"), "invalid_request"),
        (
            with("request_uri", "urn:ietf:params:oauth:request_uri:x"),
            "request_not_supported",
        ),
        (with("scope", "admin"), "invalid_scope"),
        (with("authorization_details", ""), "invalid_request"),
        (
            with("authorization_details", &two),
            "invalid_authorization_details",
        ),
        (
            with(
                "authorization_details",
                &details("account.create", "nobody"),
            ),
            "invalid_authorization_details",
        ),
        (
            with("authorization_details", &details("Account Create", "alice")),
            "invalid_authorization_details",
        ),
        (
            with("authorization_details", &details("nothing.known", "alice")),
            "access_denied",
        ),
        (
            with("acr_values", "phr"),
            "unmet_authentication_requirements",
        ),
    ] {
        let answer = post(&served, PORTAL, "/oauth/par", &pairs(&asked)).await;
        refused(&answer, 400, error);
    }
    // Policy asks for a touch alone there: the level would not be reached, and nothing of it stays.
    let before = log(&served.desk).await.len();
    let mut low = pushed(&details("note.touch", "alice"));
    low.push(("acr_values", "eidas3".to_owned()));
    let answer = post(&served, PORTAL, "/oauth/par", &pairs(&low)).await;
    refused(&answer, 400, "unmet_authentication_requirements");
    assert_eq!(log(&served.desk).await.len(), before, "no action, no entry");
    // The same parameter twice, and no form at all.
    let twice = format!("{}&client_id=portal&client_id=other", form(&pairs(&good)));
    let answer = served
        .send(Ask::new("POST", "/oauth/par").form(&twice))
        .await;
    refused(&answer, 400, "invalid_request");
    let answer = served
        .send(Ask::new("POST", "/oauth/token").json("{}"))
        .await;
    refused(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn libraries_find_the_description_and_hear_by_the_scheme_that_they_tried() {
    let served = Served::start().await;
    let at = |path: &str| Ask::new("GET", path);
    let known = served
        .send(at("/.well-known/oauth-authorization-server"))
        .await;
    let too = served.send(at("/.well-known/openid-configuration")).await;
    assert_eq!((known.status, too.status), (200, 200));
    assert_eq!(known.json(), too.json());
    assert_eq!(known.json()["issuer"], ISSUER);
    // RFC 6749 §5.2.
    let token = || Ask::new("POST", "/oauth/token").form("grant_type=client_credentials");
    let answer = served.send(token()).await;
    refused(&answer, 401, "invalid_client");
    assert_eq!(answer.header("www-authenticate"), "");
    for (sent, heard) in [
        ("Basic cG9ydGFsOng=", "Basic realm="),
        ("Bearer x", "Bearer"),
    ] {
        let answer = served.send(token().header("Authorization", sent)).await;
        refused(&answer, 401, "invalid_client");
        assert!(
            answer.header("www-authenticate").starts_with(heard),
            "{answer:?}"
        );
    }
    // The endpoint beside the issuer, as openid-client 5 names it; for another server, too, it is worth nothing.
    for (aud, status) in [
        (json!([ISSUER, format!("{ISSUER}/oauth/token")]), 200),
        (json!([ISSUER, "https://other.example"]), 401),
    ] {
        let jti = base64url::encode(random());
        let said_so = claimed(&served, PORTAL, json!({ "jti": jti, "aud": aud }));
        let grant = [("grant_type", "client_credentials")];
        let answer = said(&served, "/oauth/token", &said_so, &grant).await;
        assert_eq!(answer.status, status, "{aud}: {answer:?}");
    }
}

#[tokio::test]
async fn nobody_speaks_for_a_service_without_its_key() {
    let served = Served::start().await;
    let grant = [("grant_type", "client_credentials")];
    let token = async |assertion: String| said(&served, "/oauth/token", &assertion, &grant).await;
    let one = claimed(&served, PORTAL, json!({"jti": "once"}));
    assert_eq!(token(one.clone()).await.status, 200);
    refused(&token(one).await, 401, "invalid_client");
    assert_eq!(
        count(&log(&served.desk).await, "oauth.assertion-replayed"),
        1
    );
    // The same name of another service's is another one.
    assert_eq!(
        token(claimed(&served, OTHER, json!({"jti": "once"})))
            .await
            .status,
        200
    );
    for more in [
        json!({"aud": "https://sceau.example/oauth/token"}),
        json!({"aud": [ISSUER, "https://evil.example"]}),
        json!({"aud": "https://evil.example"}),
        json!({"exp": 1}),
        json!({"sub": "other"}),
        json!({"iss": "other"}),
        json!({"sub": "nobody", "iss": "nobody"}),
        json!({"jti": ""}),
    ] {
        refused(
            &token(claimed(&served, PORTAL, more)).await,
            401,
            "invalid_client",
        );
    }
    let good = assertion(&served, PORTAL);
    let (input, _) = good.rsplit_once('.').unwrap();
    let payload = input.split('.').nth(1).unwrap();
    let kid = served.keys[PORTAL].kid();
    let none = base64url::encode(json!({"alg": "none", "kid": kid}).to_string());
    refused(
        &token(format!("{none}.{payload}.")).await,
        401,
        "invalid_client",
    );
    let header = base64url::encode(json!({"alg": "HS256", "kid": kid}).to_string());
    let input = format!("{header}.{payload}");
    let secret = serde_json::to_vec(served.keys[PORTAL].jwk()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let mac = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    refused(
        &token(format!("{input}.{}", base64url::encode(mac.as_ref()))).await,
        401,
        "invalid_client",
    );
    // Named otherwise in the form, or not shown at all.
    let pairs = [("grant_type", "client_credentials"), ("client_id", "other")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        401,
        "invalid_client",
    );
    for path in [
        "/oauth/token",
        "/oauth/par",
        "/oauth/backchannel",
        "/oauth/introspect",
    ] {
        let bare = Ask::new("POST", path).form(&form(&grant));
        refused(&served.send(bare).await, 401, "invalid_client");
        let bearer = Ask::new("POST", path).header("Authorization", &format!("Bearer {SERVICE}"));
        refused(
            &served.send(bearer.form(&form(&grant))).await,
            401,
            "invalid_client",
        );
    }
}

#[tokio::test]
async fn a_services_own_token_speaks_at_the_api_for_a_while() {
    let served = Served::start().await;
    let grant = [("grant_type", "client_credentials")];
    let answer = post(&served, PORTAL, "/oauth/token", &grant).await;
    assert_eq!(
        (answer.status, &answer.json()["expires_in"]),
        (200, &json!(600))
    );
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let asked = Some(wanted("account.create", "alice"));
    let object = served
        .ask(&token, "POST", "/v1/actions", asked.clone())
        .await;
    assert_eq!(object.status, 201, "{object:?}");
    assert_eq!(object.json()["action"]["service"], "portal");
    assert_eq!(
        served.ask(&token, "GET", "/v1/me", None).await.status,
        403,
        "it is nobody's session"
    );
    let theirs = post(&served, OTHER, "/oauth/token", &grant).await.json();
    let status = object.json()["status_url"].as_str().unwrap().to_owned();
    let theirs = theirs["access_token"].as_str().unwrap();
    assert_eq!(served.ask(theirs, "GET", &status, None).await.status, 404);
    served.place.clock.shift(Duration::minutes(10));
    assert_eq!(served.ask(&token, "GET", &status, None).await.status, 401);
    let more = [("grant_type", "client_credentials"), ("scope", "admin")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &more).await,
        400,
        "invalid_scope",
    );
    let details = details("account.create", "alice");
    let more = [
        ("grant_type", "client_credentials"),
        ("authorization_details", &details),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &more).await,
        400,
        "invalid_authorization_details",
    );
    let other = [("grant_type", "password")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &other).await,
        400,
        "unsupported_grant_type",
    );
}

async fn ask_behind(served: &Served, more: &[(&str, &str)]) -> Answer {
    let details = details("account.create", "alice");
    let mut pairs = vec![
        ("authorization_details", details.as_str()),
        ("login_hint", "alice"),
    ];
    pairs.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    pairs.extend(more);
    post(served, PORTAL, "/oauth/backchannel", &pairs).await
}

async fn handle(served: &Served, more: &[(&str, &str)]) -> String {
    let answer = ask_behind(served, more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["interval"], 5);
    answer.json()["auth_req_id"].as_str().unwrap().to_owned()
}

async fn poll(served: &Served, who: usize, handle: &str) -> Answer {
    let pairs = [("grant_type", CIBA), ("auth_req_id", handle)];
    post(served, who, "/oauth/token", &pairs).await
}

#[tokio::test]
async fn a_back_end_polls_for_its_permit() {
    let served = Served::start().await;
    let asked = handle(
        &served,
        &[("binding_message", "4711"), ("acr_values", "eidas3")],
    )
    .await;
    let record = waiting(&served).await;
    assert!(record.document.contains("4711"), "{}", record.document);
    refused(
        &poll(&served, PORTAL, &asked).await,
        400,
        "authorization_pending",
    );
    refused(&poll(&served, OTHER, &asked).await, 400, "invalid_grant");
    refused(&poll(&served, PORTAL, &asked).await, 400, "slow_down");
    served.alice.approve(&served.desk, &record).await.unwrap();
    // Ten seconds now, and fifteen for who hurries still.
    served.place.clock.shift(Duration::seconds(6));
    refused(&poll(&served, PORTAL, &asked).await, 400, "slow_down");
    served.place.clock.shift(Duration::seconds(15));
    let granted = poll(&served, PORTAL, &asked).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(
        granted.json()["authorization_details"][0]["action_id"],
        json!(record.id)
    );
    served.place.clock.shift(Duration::seconds(15));
    refused(&poll(&served, PORTAL, &asked).await, 400, "invalid_grant");
    refused(&poll(&served, PORTAL, "AAAA").await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_back_end_is_told_no_and_too_late() {
    let served = Served::start().await;
    let asked = handle(&served, &[]).await;
    let record = waiting(&served).await;
    let alice = served.alice.id.clone();
    served
        .desk
        .refuse(record.id, alice, RefusalReason::Mistake, None)
        .await
        .unwrap();
    let no = poll(&served, PORTAL, &asked).await;
    refused(&no, 400, "access_denied");
    assert_eq!(no.json()["error_description"], "mistake");

    // The service's patience is over before the action's time: then nobody is asked any more.
    let asked = handle(&served, &[("requested_expiry", "20")]).await;
    let record = waiting(&served).await;
    served.place.clock.shift(Duration::seconds(21));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");
    served.place.clock.shift(Duration::seconds(6));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");
    let ended = served.desk.action(record.id).await.unwrap().unwrap();
    assert_eq!(ended.refusal.unwrap().reason, "request-expired");

    let asked = handle(&served, &[]).await;
    served.place.clock.shift(Duration::minutes(31));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");

    let unknown = details("account.create", "nobody");
    let denied = details("nothing.known", "alice");
    let long = "x".repeat(65);
    for (more, status, error) in [
        (vec![("login_hint", "bob")], 400, "invalid_request"),
        (vec![("id_token_hint", "x")], 400, "invalid_request"),
        (vec![("requested_expiry", "0")], 400, "invalid_request"),
        (
            vec![("binding_message", long.as_str())],
            400,
            "invalid_binding_message",
        ),
        (
            vec![("binding_message", "a\nb")],
            400,
            "invalid_binding_message",
        ),
        (
            vec![
                ("authorization_details", unknown.as_str()),
                ("login_hint", "nobody"),
            ],
            400,
            "unknown_user_id",
        ),
        (
            vec![("authorization_details", denied.as_str())],
            403,
            "access_denied",
        ),
    ] {
        refused(&ask_behind(&served, &more).await, status, error);
    }
    // A handle of one way is of no use in the other.
    let asked = handle(&served, &[]).await;
    let uri = format!("urn:ietf:params:oauth:request_uri:{asked}");
    assert_eq!(bring(&served, "portal", &uri).await.status, 400);
    let request_uri = push(&served, "account.create").await;
    let pushed = request_uri.rsplit(':').next().unwrap();
    refused(&poll(&served, PORTAL, pushed).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_rotation_leaves_nobody_behind_and_ends() {
    let mut served = Served::start().await;
    let (_, code) = code(&served, "account.create").await;
    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await.json();
    let permit = granted["access_token"].as_str().unwrap().to_owned();
    let before = served.desk.jwks().keys;
    served.place.rotate_permit_key();
    served.place.permit_previous = Some(sceau_server::desk::RetiredKey {
        jwk: before[0].clone(),
        until: served.place.clock.now() + Duration::seconds(30),
    });
    served.restart().await;
    let published = served.send(Ask::new("GET", "/jwks.json")).await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    assert_eq!(published["keys"][1]["kid"], json!(before[0].kid));
    assert_ne!(published["keys"][0]["kid"], published["keys"][1]["kid"]);
    let ask = async || {
        post(&served, PORTAL, "/oauth/introspect", &[("token", &permit)])
            .await
            .json()
    };
    assert_eq!(ask().await["active"], true, "under way");
    served.place.clock.shift(Duration::seconds(31));
    assert_eq!(ask().await["active"], false, "published no more");
    assert_eq!(served.desk.jwks().keys.len(), 1);
}

/// A key of the service's own, and proofs of it (RFC 9449).
struct Shown {
    secret: jsonwebtoken::EncodingKey,
    jwk: Value,
    thumbprint: String,
}

impl Shown {
    fn make() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.public_key_raw();
        let (x, y) = (
            base64url::encode(&point[1..33]),
            base64url::encode(&point[33..65]),
        );
        let named = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Self {
            secret: jsonwebtoken::EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            thumbprint: base64url::encode(sha256(named.as_bytes())),
        }
    }

    fn proof(&self, served: &Served, path: &str) -> String {
        let now = served.place.clock.now().unix_timestamp();
        let claims = json!({"jti": base64url::encode(random()), "htm": "POST", "htu": format!("{ISSUER}{path}"), "iat": now});
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = serde_json::from_value(self.jwk.clone()).unwrap();
        jsonwebtoken::encode(&header, &claims, &self.secret).unwrap()
    }
}

async fn with_proof(served: &Served, path: &str, proof: &str, pairs: &[(&str, &str)]) -> Answer {
    let assertion = assertion(served, PORTAL);
    let mut all = vec![
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    all.extend(pairs);
    let ask = Ask::new("POST", path).header("DPoP", proof);
    served.send(ask.form(&form(&all))).await
}

#[tokio::test]
async fn a_permit_is_bound_to_the_key_that_was_shown() {
    let served = Served::start().await;
    let metadata = served
        .send(Ask::new("GET", "/.well-known/oauth-authorization-server"))
        .await
        .json();
    assert_eq!(
        metadata["dpop_signing_alg_values_supported"],
        json!(["ES256", "ES384", "EdDSA", "PS256"])
    );
    let (key, other) = (Shown::make(), Shown::make());
    let redeem = |code: &str| {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", BACK.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };

    // Shown at the end alone: the permit names it.
    let (id, won) = code(&served, "account.create").await;
    let proof = key.proof(&served, "/oauth/token");
    let granted = with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won))).await;
    assert_eq!(
        (granted.status, granted.json()["token_type"].as_str()),
        (200, Some("DPoP")),
        "{granted:?}"
    );
    let permit = granted.json()["access_token"].as_str().unwrap().to_owned();
    let now = served.place.clock.now();
    let verified =
        sceau_proof::permit::verify(&permit, &served.desk.jwks(), ISSUER, "portal", now).unwrap();
    assert_eq!(verified.claims().cnf.as_ref().unwrap().jkt, key.thumbprint);
    let said = post(&served, PORTAL, "/oauth/introspect", &[("token", &permit)])
        .await
        .json();
    assert_eq!(
        (&said["token_type"], &said["cnf"]["jkt"]),
        (&json!("DPoP"), &json!(key.thumbprint))
    );
    assert_eq!(said["jti"], id.to_string());

    // A proof is shown once, and for its address.
    let (_, won) = code(&served, "account.create").await;
    refused(
        &with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won))).await,
        400,
        "invalid_dpop_proof",
    );
    let elsewhere = key.proof(&served, "/oauth/par");
    refused(
        &with_proof(&served, "/oauth/token", &elsewhere, &pairs(&redeem(&won))).await,
        400,
        "invalid_dpop_proof",
    );
    assert_eq!(
        count(&log(&served.desk).await, "oauth.assertion-replayed"),
        1
    );
    // It was not spent by what was not believed.
    let proof = key.proof(&served, "/oauth/token");
    assert_eq!(
        with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won)))
            .await
            .status,
        200
    );

    // Pushed for one key, by its proof or by its name: of no use with another, nor with none.
    for by_name in [true, false] {
        let mut asked = pushed(&details("account.create", "alice"));
        let proof = key.proof(&served, "/oauth/par");
        let answer = if by_name {
            asked.push(("dpop_jkt", key.thumbprint.clone()));
            post(&served, PORTAL, "/oauth/par", &pairs(&asked)).await
        } else {
            with_proof(&served, "/oauth/par", &proof, &pairs(&asked)).await
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        let came = bring(
            &served,
            "portal",
            answer.json()["request_uri"].as_str().unwrap(),
        )
        .await;
        let cookie = came
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let browser = Browser {
            served: &served,
            cookie,
        };
        let record = waiting(&served).await;
        served.alice.approve(&served.desk, &record).await.unwrap();
        let back = browser
            .get(&format!("{}/continue", came.header("location")))
            .await;
        let won = back
            .header("location")
            .split(['=', '&'])
            .nth(1)
            .unwrap()
            .to_owned();
        let wrong = other.proof(&served, "/oauth/token");
        refused(
            &with_proof(&served, "/oauth/token", &wrong, &pairs(&redeem(&won))).await,
            400,
            "invalid_grant",
        );
        refused(
            &post(&served, PORTAL, "/oauth/token", &pairs(&redeem(&won))).await,
            400,
            "invalid_grant",
        );
        let right = key.proof(&served, "/oauth/token");
        let granted = with_proof(&served, "/oauth/token", &right, &pairs(&redeem(&won))).await;
        assert_eq!(granted.status, 200, "{granted:?}");
    }
    let mut asked = pushed(&details("account.create", "alice"));
    asked.push(("dpop_jkt", other.thumbprint.clone()));
    let proof = key.proof(&served, "/oauth/par");
    refused(
        &with_proof(&served, "/oauth/par", &proof, &pairs(&asked)).await,
        400,
        "invalid_dpop_proof",
    );

    // Polled for: the same. A service's own token is not bound.
    let handle = handle(&served, &[]).await;
    let record = waiting(&served).await;
    served.alice.approve(&served.desk, &record).await.unwrap();
    let proof = key.proof(&served, "/oauth/token");
    let polled = with_proof(
        &served,
        "/oauth/token",
        &proof,
        &[("grant_type", CIBA), ("auth_req_id", &handle)],
    )
    .await;
    assert_eq!(
        (polled.status, polled.json()["token_type"].as_str()),
        (200, Some("DPoP")),
        "{polled:?}"
    );
    let proof = key.proof(&served, "/oauth/token");
    refused(
        &with_proof(
            &served,
            "/oauth/token",
            &proof,
            &[("grant_type", "client_credentials")],
        )
        .await,
        400,
        "invalid_request",
    );
}
