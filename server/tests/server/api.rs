use std::net::SocketAddr;
use std::sync::Arc;

use sceau_proof::base64url;
use sceau_proof::permit::SigningKey;
use sceau_server::action::ActionRecord;
use sceau_server::api::Api;
use sceau_server::desk::Desk;
use sceau_server::metrics::Metrics;
use sceau_server::oauth::{Client, OAuth};
use sceau_server::page::Pages;
use sceau_server::port::Ports;
use sceau_server::rate::Burst;
use serde_json::{Value, json};
use time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::authenticator::{Credential, Manufacturer};
use crate::fixture::{AGENT, Owner, Place, RP_ID, System};
use crate::wire::{Answer, Ask, problem, raw};

pub(crate) const SERVICE: &str = "service-token-service-token";

/// A served API.
pub(crate) struct Served {
    pub(crate) place: Place,
    pub(crate) desk: Desk,
    address: SocketAddr,
    pub(crate) alice: Owner,
    pub(crate) bob: Owner,
    /// The keys of the services `portal` and `other`, by which they speak OAuth.
    pub(crate) keys: [SigningKey; 2],
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Place)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place::within(folder.path());
        change(&mut place);
        let desk = place.desk("a").await.unwrap();
        let (alice, bob) = place.found(&desk).await;
        let keys = [(); 2].map(|()| {
            let random = aws_lc_rs::rand::SystemRandom::new();
            SigningKey::from_pkcs8(&SigningKey::generate_pkcs8(&random).unwrap()).unwrap()
        });
        let address = Self::listen(desk.clone(), &place, &keys).await;
        Self {
            keys,
            place,
            desk,
            address,
            alice,
            bob,
            _folder: folder,
        }
    }

    /// Another instance on the same store takes the place of the one before.
    pub(crate) async fn restart(&mut self) {
        self.desk = self.place.desk("b").await.unwrap();
        self.address = Self::listen(self.desk.clone(), &self.place, &self.keys).await;
    }

    async fn listen(desk: Desk, place: &Place, keys: &[SigningKey; 2]) -> SocketAddr {
        let digest = |token: &str| sceau_proof::log::entry::sha256(token.as_bytes());
        let services = vec![
            ("portal".parse().unwrap(), digest(SERVICE)),
            ("other".parse().unwrap(), digest("other-token-other-token")),
        ];
        let strangers = Burst::new(5, Duration::seconds(10));
        let back = [(
            "portal".parse().unwrap(),
            "https://portal.example".to_owned(),
        )]
        .into();
        let pages = Pages::new(desk.clone(), Burst::new(20, Duration::seconds(1)), back);
        let clients: Vec<Client> = ["portal", "other"]
            .into_iter()
            .zip(keys)
            .map(|(id, key)| {
                let registration = json!({"keys": [key.jwk()], "redirect_uris": [format!("https://{id}.example/back")]});
                let registration = serde_json::from_value(registration).unwrap();
                Client::read(&id.parse().unwrap(), &registration).unwrap()
            })
            .collect();
        let speaking = clients.iter().map(|client| client.id().clone()).collect();
        let ports = Ports::new(place.clock.clone(), System);
        let many = Burst::new(1000, Duration::seconds(1));
        let oauth = OAuth::new(desk.clone(), ports, clients, many);
        let api = Api::new(
            desk,
            services,
            "Sceau",
            strangers,
            Arc::new(Metrics::default()),
        )
        .speaking_oauth(speaking);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(sceau_server::listen::serve(
            listener,
            None,
            api.router().merge(pages.router()).merge(oauth.router()),
            100,
            std::future::pending(),
        ));
        address
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        raw(self.address, &ask.bytes("sceau.example")).await
    }

    pub(crate) async fn ask(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Answer {
        let ask = Ask::new(method, target).header("Authorization", &format!("Bearer {token}"));
        self.send(match body {
            Some(body) => ask.json(&body.to_string()),
            None => ask,
        })
        .await
    }

    /// An action at the portal, over HTTP; its object.
    pub(crate) async fn open(&self, kind: &str) -> Value {
        let answer = self
            .ask(SERVICE, "POST", "/v1/actions", Some(wanted(kind, "alice")))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn record(&self, object: &Value) -> ActionRecord {
        let id = object["action"]["id"].as_str().unwrap().parse().unwrap();
        self.desk.action(id).await.unwrap().unwrap()
    }

    pub(crate) async fn approve(&self, owner: &Owner, object: &Value) -> Answer {
        let body = approval(owner, &self.record(object).await);
        self.ask(
            &owner.token,
            "POST",
            &format!("{}/approvals", path(object)),
            Some(body),
        )
        .await
    }
}

fn path(object: &Value) -> String {
    object["status_url"].as_str().unwrap().to_owned()
}

pub(crate) fn wanted(kind: &str, requester: &str) -> Value {
    json!({
        "type": kind, "requester": requester, "params": {"email": "jd@ml.example"},
        "target": {"kind": "account", "id": "jd", "display": "Jean Dupont"},
        "words": {"fr": "Créer le compte", "en": "Create the account"}
    })
}

pub(crate) fn approval(owner: &Owner, record: &ActionRecord) -> Value {
    json!({"key_id": owner.key, "response": owner.claim(record).response.to_value().unwrap()})
}

#[track_caller]
#[tokio::test]
async fn an_action_is_asked_approved_and_its_permit_used_once() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    assert_eq!(object["state"], "pending");
    assert_eq!(object["requirement"]["approvers"], "requester");
    assert_eq!(object["action"]["words"]["fr"], "Créer le compte");
    assert_eq!(object["permit"], Value::Null);
    // The document that is sent derives the challenge that is stored.
    let document =
        sceau_proof::action::Action::parse(object["action"].to_string().as_bytes()).unwrap();
    assert_eq!(document.sha256(), served.record(&object).await.sha256);

    let target = format!("{}?wait=20", path(&object));
    let waiting = served.ask(SERVICE, "GET", &target, None);
    let approving = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        served.approve(&served.alice, &object).await
    };
    let (waited, approved) = tokio::join!(waiting, approving);
    assert_eq!(approved.status, 200, "{approved:?}");
    assert_eq!(
        approved.json()["permit"],
        Value::Null,
        "a permit is the service's alone"
    );
    assert_eq!(waited.json()["state"], "approved");
    assert_eq!(waited.json()["approvals"][0]["person"], "alice");
    let permit = waited.json()["permit"].as_str().unwrap().to_owned();

    let introspect = |consume: bool| {
        let form = format!("token={permit}&consume={consume}");
        let ask = Ask::new("POST", "/v1/permits/introspect")
            .header("Authorization", &format!("Bearer {SERVICE}"));
        served.send(ask.form(&form))
    };
    let active = introspect(false).await.json();
    assert_eq!(
        (active["active"].as_bool(), active["aud"].as_str()),
        (Some(true), Some("portal"))
    );
    assert_eq!(
        active["authorization_details"][0]["params"]["email"],
        "jd@ml.example"
    );
    assert_eq!(introspect(true).await.json()["active"], true);
    assert_eq!(introspect(true).await.json(), json!({"active": false}));
    let again = served
        .ask(SERVICE, "POST", &format!("{}/permits", path(&object)), None)
        .await;
    problem(&again, 409, "already-settled");
    assert_eq!(again.json()["state"], "consumed");
    // Attack 5: the approval again.
    problem(
        &served.approve(&served.alice, &object).await,
        409,
        "already-settled",
    );
}

#[tokio::test]
async fn bodies_that_are_not_what_is_expected_are_refused_by_name() {
    let served = Served::start().await;
    let post =
        || Ask::new("POST", "/v1/actions").header("Authorization", &format!("Bearer {SERVICE}"));
    problem(
        &served.send(post().json("{\"type\":")).await,
        400,
        "malformed",
    );
    let twice = "{\"type\":\"account.create\",\"type\":\"account.delete\",\"requester\":\"alice\"}";
    let answer = served.send(post().json(twice)).await;
    problem(&answer, 400, "malformed");
    assert_eq!(answer.json()["detail"], "an object has a duplicate member");
    let twice = "{\"type\":\"account.create\",\"requester\":\"alice\",\"target\":{\"kind\":\"a\",\"id\":\"b\",\"display\":\"c\"},\"params\":{\"x\":1,\"x\":2}}";
    problem(&served.send(post().json(twice)).await, 400, "malformed");
    problem(
        &served.send(post().body("text/plain", b"{}")).await,
        415,
        "unsupported-media-type",
    );
    problem(&served.send(post()).await, 415, "unsupported-media-type");
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(200 * 1024));
    problem(&served.send(post().json(&long)).await, 413, "too-large");
    let mut extra = wanted("account.create", "alice");
    extra["admin"] = json!(true);
    problem(
        &served.send(post().json(&extra.to_string())).await,
        400,
        "malformed",
    );
    // What parses as JSON and is no action: a fraction, another normal form, a bad type.
    for (member, value, detail) in [
        ("params", json!({"amount": 1.5}), "number-not-integer"),
        ("params", json!({"name": "e\u{301}"}), "string-not-nfc"),
        ("type", json!("Account Create"), "type"),
    ] {
        let mut body = wanted("account.create", "alice");
        body[member] = value;
        let answer = served.send(post().json(&body.to_string())).await;
        problem(&answer, 400, "malformed");
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|d| !d.is_empty()),
            "{detail}: {answer:?}"
        );
    }
    problem(
        &served.send(Ask::new("DELETE", "/v1/actions")).await,
        405,
        "method-not-allowed",
    );
    problem(
        &served.send(Ask::new("GET", "/nothing")).await,
        404,
        "not-found",
    );
    let form = Ask::new("POST", "/v1/permits/introspect")
        .header("Authorization", &format!("Bearer {SERVICE}"));
    problem(
        &served.send(form.json("{}")).await,
        415,
        "unsupported-media-type",
    );
}

#[tokio::test]
async fn callers_are_who_their_token_says() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    problem(
        &served.send(Ask::new("GET", &path(&object))).await,
        401,
        "unauthenticated",
    );
    let answer = served
        .ask("wrong-token-wrong-token", "GET", &path(&object), None)
        .await;
    problem(&answer, 401, "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    // Not for these eyes: as if it were not there.
    problem(
        &served
            .ask("other-token-other-token", "GET", &path(&object), None)
            .await,
        404,
        "not-found",
    );
    problem(
        &served
            .ask(&served.bob.token, "GET", &path(&object), None)
            .await,
        404,
        "not-found",
    );
    assert_eq!(
        served
            .ask(&served.alice.token, "GET", &path(&object), None)
            .await
            .status,
        200
    );
    // Services do not approve; persons do not ask for others, nor introspect.
    let body = approval(&served.alice, &served.record(&object).await);
    let answer = served
        .ask(
            SERVICE,
            "POST",
            &format!("{}/approvals", path(&object)),
            Some(body),
        )
        .await;
    problem(&answer, 403, "forbidden");
    let answer = served
        .ask(
            &served.alice.token,
            "POST",
            "/v1/actions",
            Some(wanted("key.revoke", "bob")),
        )
        .await;
    problem(&answer, 403, "forbidden");
    let answer = served
        .ask(
            &served.alice.token,
            "POST",
            &format!("{}/permits", path(&object)),
            None,
        )
        .await;
    problem(&answer, 403, "forbidden");
    problem(
        &served.ask(SERVICE, "GET", "/v1/me", None).await,
        403,
        "forbidden",
    );
}

#[tokio::test]
async fn what_cannot_be_approved_says_why_and_no_more() {
    let served = Served::start().await;
    let answer = served
        .ask(
            SERVICE,
            "POST",
            "/v1/actions",
            Some(wanted("account.create", "nobody")),
        )
        .await;
    problem(&answer, 422, "unknown-person");
    let denied = served.open("missile.launch").await;
    assert_eq!(
        (
            denied["state"].as_str(),
            denied["denial"]["reason"].as_str()
        ),
        (Some("denied"), Some("no-rule"))
    );
    problem(
        &served.approve(&served.alice, &denied).await,
        409,
        "already-settled",
    );

    let object = served.open("account.create").await;
    let answer = served.approve(&served.bob, &object).await;
    problem(&answer, 403, "not-an-approver");
    assert_eq!(answer.json()["reason"], "not-requester");
    let mut body = approval(&served.alice, &served.record(&object).await);
    body["response"]["signature"] = json!(base64url::encode([0_u8; 70]));
    let answer = served
        .ask(
            &served.alice.token,
            "POST",
            &format!("{}/approvals", path(&object)),
            Some(body.clone()),
        )
        .await;
    problem(&answer, 422, "not-verified");
    assert_eq!(
        answer.json()["reason"],
        Value::Null,
        "the true reason is in the log alone"
    );
    body["response"]["signature"] = json!("not base64url!");
    let answer = served
        .ask(
            &served.alice.token,
            "POST",
            &format!("{}/approvals", path(&object)),
            Some(body.clone()),
        )
        .await;
    problem(&answer, 400, "malformed");
    body["key_id"] = json!("0193500a-7d00-7000-8000-00000000000a");
    body["response"]["signature"] = json!("AAAA");
    let answer = served
        .ask(
            &served.alice.token,
            "POST",
            &format!("{}/approvals", path(&object)),
            Some(body),
        )
        .await;
    problem(&answer, 422, "not-verified");
    let nowhere = "/v1/actions/0193500a-7d00-7000-8000-00000000000a";
    problem(
        &served.ask(SERVICE, "GET", nowhere, None).await,
        404,
        "not-found",
    );
    problem(
        &served.ask(SERVICE, "GET", "/v1/actions/%2e%2e", None).await,
        404,
        "not-found",
    );

    let late = served.open("account.create").await;
    served.place.clock.shift(Duration::minutes(6));
    problem(&served.approve(&served.alice, &late).await, 410, "expired");
    served.place.clock.shift(-Duration::minutes(12));
    let back = served
        .ask(
            SERVICE,
            "POST",
            "/v1/actions",
            Some(wanted("account.create", "alice")),
        )
        .await;
    problem(&back, 503, "clock-went-back");
}

#[tokio::test]
async fn a_refusal_ends_it_and_not_me_ends_the_session_too() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    let refuse = |object: &Value, body: Value| {
        let target = format!("{}/refusals", path(object));
        let token = served.alice.token.to_string();
        let served = &served;
        async move { served.ask(&token, "POST", &target, Some(body)).await }
    };
    problem(
        &refuse(&object, json!({"reason": "whatever"})).await,
        400,
        "malformed",
    );
    let refused = refuse(
        &object,
        json!({"reason": "mistake", "text": "wrong person"}),
    )
    .await;
    assert_eq!(refused.json()["refusal"]["reason"], "mistake");
    assert_eq!(refused.json()["state"], "refused");
    problem(
        &refuse(&object, json!({"reason": "other"})).await,
        409,
        "already-settled",
    );
}

#[tokio::test]
async fn signing_in_needs_the_key_and_nothing_else_moves_it() {
    let served = Served::start().await;
    let open = |person: &str| {
        Ask::new("POST", "/v1/sessions")
            .json(&json!({"person": person, "kind": "agent"}).to_string())
    };
    problem(&served.send(open("nobody")).await, 422, "unknown-person");
    let opened = served.send(open("alice")).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let opened = opened.json();
    let token = opened["token"].as_str().unwrap();
    let session = format!("/v1/sessions/{}", opened["session_id"].as_str().unwrap());
    assert_eq!(opened["keys"][0]["key_id"], json!(served.alice.key));
    assert_eq!(
        served.ask(token, "GET", &session, None).await.json()["state"],
        "pending"
    );
    problem(
        &served.ask(token, "GET", "/v1/me", None).await,
        401,
        "session-pending",
    );
    problem(
        &served.ask(&served.bob.token, "GET", &session, None).await,
        404,
        "not-found",
    );
    // A sign-in's own token approves that sign-in and nothing else.
    let other = served.open("account.create").await;
    let body = approval(&served.alice, &served.record(&other).await);
    let answer = served
        .ask(
            token,
            "POST",
            &format!("{}/approvals", path(&other)),
            Some(body),
        )
        .await;
    problem(&answer, 401, "session-pending");
    let action = json!({"action": opened["action"], "status_url": format!("/v1/actions/{}", opened["action"]["id"].as_str().unwrap())});
    let body = approval(&served.alice, &served.record(&action).await);
    let sealed = served
        .ask(
            token,
            "POST",
            &format!("{}/approvals", path(&action)),
            Some(body),
        )
        .await;
    assert_eq!(sealed.status, 200, "{sealed:?}");
    assert_eq!(sealed.json()["state"], "executed");
    assert_eq!(
        served
            .ask(token, "GET", &format!("{session}?wait=5"), None)
            .await
            .json()["state"],
        "active"
    );
    let me = served.ask(token, "GET", "/v1/me", None).await.json();
    assert_eq!(
        (
            me["person"]["id"].as_str(),
            me["person"]["roles"][0].as_str()
        ),
        (Some("alice"), Some("administrator"))
    );
    assert_eq!(
        served.ask(token, "DELETE", &session, None).await.status,
        204
    );
    problem(
        &served.ask(token, "GET", "/v1/me", None).await,
        401,
        "session-ended",
    );
    // Strangers are few.
    let mut limited = None;
    for _ in 0..6 {
        let answer = served.send(open("nobody")).await;
        limited = (answer.status == 429).then_some(answer).or(limited);
    }
    let limited = limited.unwrap();
    problem(&limited, 429, "limited");
    assert!(
        limited
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|seconds| seconds > 0)
    );
}

/// The same registration with another attestation statement: `none`.
fn without_statement(object: &[u8]) -> Vec<u8> {
    let at = object
        .windows(8)
        .position(|window| window == b"authData")
        .unwrap();
    let mut none = vec![0xa3, 0x63];
    none.extend(b"fmt");
    none.push(0x64);
    none.extend(b"none");
    none.push(0x67);
    none.extend(b"attStmt");
    none.extend([0xa0, 0x68]);
    none.extend(&object[at..]);
    none
}

#[tokio::test]
async fn enrolment_is_an_action_and_says_exactly_why_a_key_is_refused() {
    let served = Served::start().await;
    let invite = json!({"person": {"id": "carl", "display": "Carl Petit", "roles": ["manager"]}});
    let object = served
        .ask(&served.alice.token, "POST", "/v1/enrolments", Some(invite))
        .await
        .json();
    assert_eq!(object["action"]["type"], "key.enroll");
    assert_eq!(object["result"], Value::Null);
    let approved = served.approve(&served.alice, &object).await.json();
    assert_eq!(approved["state"], "executed");
    let secret = approved["result"]["invitation"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = served
        .ask(&served.alice.token, "GET", &path(&object), None)
        .await
        .json();
    assert_eq!(again["result"].get("invitation"), None, "shown once");

    let open = |secret: &str| {
        Ask::new("POST", "/v1/enrolments/open").json(&json!({"invitation": secret}).to_string())
    };
    problem(&served.send(open(&"A".repeat(43))).await, 404, "not-found");
    let opened = served.send(open(&secret)).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let opened = opened.json();
    assert_eq!(opened["action"]["type"], "key.register");
    assert_eq!(opened["action"]["target"]["id"], "carl");
    assert_eq!(opened["rp"]["id"], RP_ID);
    assert_eq!(opened["algorithms"], json!([-7, -8, -35, -257]));
    let document =
        sceau_proof::action::Action::parse(opened["action"].to_string().as_bytes()).unwrap();
    let challenge = document.challenge();
    let target = format!(
        "/v1/enrolments/{}/registration",
        opened["enrolment_id"].as_str().unwrap()
    );
    let register = |client: &[u8], object: &[u8]| {
        Ask::new("POST", &target).json(
            &json!({"invitation": secret, "transports": ["nfc"], "label": "badge", "response": {
                "client_data_json": base64url::encode(client), "attestation_object": base64url::encode(object)}})
            .to_string(),
        )
    };
    // Attack 6, each with its reason.
    let unknown = Manufacturer::new();
    let (_, client, genuine) = Credential::make(
        &served.place.manufacturer,
        RP_ID,
        AGENT,
        challenge.as_bytes(),
    );
    let (_, unknown_client, unknown) =
        Credential::make(&unknown, RP_ID, AGENT, challenge.as_bytes());
    let mut forged = genuine.clone();
    let model = forged
        .windows(16)
        .rposition(|window| window == b"sceau-test-model")
        .unwrap();
    forged[model] ^= 1;
    let (_, other_client, other) =
        Credential::make(&served.place.manufacturer, RP_ID, AGENT, &[7; 32]);
    let mut reasons = Vec::new();
    for (client, object) in [
        (&client, &without_statement(&genuine)),
        (&unknown_client, &unknown),
        (&client, &forged),
        (&other_client, &other),
    ] {
        let answer = served.send(register(client, object)).await;
        problem(&answer, 422, "registration-refused");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        reasons.push(answer.json()["reason"].as_str().unwrap().to_owned());
    }
    assert_eq!(reasons[0], "attestation-type-refused");
    assert_eq!(
        reasons[1], "chain-signature-invalid",
        "another root of the same name"
    );
    assert_eq!(reasons[3], "challenge-mismatch");
    assert!(
        reasons[2].contains("aaguid") || reasons[2].contains("signature"),
        "{reasons:?}"
    );

    let registered = served.send(register(&client, &genuine)).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    let registered = registered.json();
    assert_eq!(registered["person"], "carl");
    let token = registered["session"]["token"].as_str().unwrap();
    assert_eq!(
        served.ask(token, "GET", "/v1/me", None).await.json()["keys"][0]["label"],
        "badge"
    );
    problem(
        &served.send(register(&client, &genuine)).await,
        409,
        "already-settled",
    );
    problem(&served.send(open(&secret)).await, 409, "already-settled");
}

#[tokio::test]
async fn the_inbox_tells_what_awaits_and_is_silent_otherwise() {
    let served = Served::start().await;
    let first = served.open("account.create").await;
    let stream = TcpStream::connect(served.address).await.unwrap();
    let mut stream = BufReader::new(stream);
    let request = format!(
        "GET /v1/inbox HTTP/1.1\r\nHost: sceau.example\r\nAuthorization: Bearer {}\r\n\r\n",
        *served.alice.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    let mut next = async || {
        let mut event = String::new();
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (event, serde_json::from_str::<Value>(data).unwrap());
            }
        }
    };
    let (event, hello) = next().await;
    assert_eq!(
        (
            event.as_str(),
            hello["person"]["id"].as_str(),
            hello["rp_id"].as_str()
        ),
        ("hello", Some("alice"), Some(RP_ID))
    );
    let (event, waiting) = next().await;
    assert_eq!(
        (event.as_str(), &waiting["action"]["id"]),
        ("action", &first["action"]["id"])
    );
    assert_eq!(waiting["keys"][0]["kind"], "fido2");
    let second = served.open("account.create").await;
    let (event, asked) = next().await;
    assert_eq!(
        (event.as_str(), &asked["action"]["id"]),
        ("action", &second["action"]["id"])
    );
    served.approve(&served.alice, &second).await;
    let (event, settled) = next().await;
    assert_eq!(
        (event.as_str(), &settled),
        (
            "settled",
            &json!({"id": second["action"]["id"], "state": "approved"})
        )
    );
    // No periodic bytes.
    let silence = tokio::time::timeout(std::time::Duration::from_secs(2), next()).await;
    assert!(silence.is_err(), "{silence:?}");
    problem(
        &served.send(Ask::new("GET", "/v1/inbox")).await,
        401,
        "unauthenticated",
    );
}

#[tokio::test]
async fn what_runs_beside_the_api_answers() {
    let served = Served::start().await;
    assert_eq!(
        served.send(Ask::new("GET", "/healthz")).await.text(),
        "ok\n"
    );
    assert_eq!(
        served.send(Ask::new("GET", "/readyz")).await.text(),
        "ready\n"
    );
    let metrics = served.send(Ask::new("GET", "/metrics")).await.text();
    assert!(
        metrics.contains("sceau_http_requests_total{class=\"2xx\"}"),
        "{metrics}"
    );
    let jwks = served.send(Ask::new("GET", "/jwks.json")).await.json();
    assert_eq!(jwks["keys"][0]["alg"], "ES256");
    assert_eq!(jwks["keys"][0].get("d"), None);
    let description = served
        .send(Ask::new("GET", "/v1/openapi.json"))
        .await
        .json();
    for path in [
        "/v1/actions",
        "/v1/actions/{id}/approvals",
        "/v1/inbox",
        "/log/checkpoint",
    ] {
        assert!(description["paths"].get(path).is_some(), "{path}");
    }
    let checkpoint = served.send(Ask::new("GET", "/log/checkpoint")).await;
    let verified =
        sceau_proof::log::checkpoint::open(checkpoint.text().as_bytes(), &Place::log_vkey(), &[])
            .unwrap();
    let width = verified.size();
    let tile = served
        .send(Ask::new("GET", &format!("/log/tile/entries/000.p/{width}")))
        .await;
    assert_eq!(tile.status, 200);
    assert!(tile.header("cache-control").contains("immutable"));
    let hashes = served
        .send(Ask::new("GET", &format!("/log/tile/0/000.p/{width}")))
        .await;
    assert_eq!(hashes.body.len() as u64, width * 32);
    problem(
        &served.send(Ask::new("GET", "/log/tile/0/001")).await,
        404,
        "not-found",
    );
    problem(
        &served.send(Ask::new("GET", "/log/tile/0/../0/000")).await,
        404,
        "not-found",
    );
    // The log tells nobody who did it.
    assert!(!String::from_utf8_lossy(&tile.body).contains("alice"));
}

#[tokio::test]
async fn evidence_is_for_those_who_may_see_the_action() {
    let served = Served::start().await;
    let object = served.open("account.create").await;
    served.approve(&served.alice, &object).await;
    let target = format!("{}/evidence", path(&object));
    problem(
        &served.ask(&served.bob.token, "GET", &target, None).await,
        404,
        "not-found",
    );
    let mine = served
        .ask(&served.alice.token, "GET", &target, None)
        .await
        .json();
    assert_eq!(
        mine.get("permit"),
        None,
        "a permit that can be used is the service's alone"
    );
    let theirs = served.ask(SERVICE, "GET", &target, None).await.json();
    assert_eq!(theirs["state"], "approved");
    assert!(theirs["permit"]["jws"].is_string());
}
