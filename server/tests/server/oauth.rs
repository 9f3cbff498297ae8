//! OAuth for services over real sockets: what a service, a browser and a key do together, and everything that somebody else might try in their place.

mod backchannel;
mod client;
mod code;
mod dpop;

use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use sceau_server::action::ActionRecord;
use sceau_server::desk::InboxEvent;
use sceau_server::id::ActionId;
use sceau_server::port::Clock as _;
use serde_json::{Value, json};

use crate::api::Served;
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
