use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration as Span;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sceau_server::action::Outcome;
use sceau_server::api::Api;
use sceau_server::desk::Desk;
use sceau_server::lineage::{Begotten, Relation};
use sceau_server::metrics::Metrics;
use sceau_server::rate::Burst;
use sceau_server::session::{SessionKind, SessionState};
use sceau_server::signal::{Settings, Signals};
use serde_json::{Value, json};
use time::Duration;
use tokio::net::TcpListener;

use crate::api::SERVICE;
use crate::conformance::{count, log};
use crate::fixture::{Owner, Place, URL};
use crate::wire::{Answer, Ask, raw};

const OTHER: &str = "other-token-other-token";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// One instance that tells others, with its API.
struct Telling {
    address: SocketAddr,
    signals: Arc<Signals>,
    running: tokio::task::AbortHandle,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Telling {
    async fn start(desk: &Desk, settings: &Settings) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            desk,
            settings,
        )
        .await
    }

    async fn on(listener: TcpListener, desk: &Desk, settings: &Settings) -> Self {
        let signals = Signals::start(desk.clone(), settings).await.unwrap();
        let digest = |token: &str| sceau_proof::log::entry::sha256(token.as_bytes());
        let services = ["portal", "other", "slow", "huge", "lost"];
        let services = services.map(|name| {
            let token = match name {
                "portal" => SERVICE.to_owned(),
                "other" => OTHER.to_owned(),
                name => format!("{name}-token-of-a-service"),
            };
            (name.parse().unwrap(), digest(&token))
        });
        let strangers = Burst::new(5, Duration::seconds(10));
        let metrics = Arc::new(Metrics::default());
        let api = Api::new(desk.clone(), services.into(), "Sceau", strangers, metrics)
            .with_signals(Arc::clone(&signals));
        let address = listener.local_addr().unwrap();
        tokio::spawn(sceau_server::listen::serve(
            listener,
            None,
            api.router(),
            100,
            std::future::pending(),
        ));
        let running = tokio::spawn(Arc::clone(&signals).run()).abort_handle();
        Self {
            address,
            signals,
            running,
        }
    }

    async fn ask(&self, token: &str, method: &str, target: &str, body: Option<Value>) -> Answer {
        let ask = Ask::new(method, target).header("Authorization", &format!("Bearer {token}"));
        let ask = match body {
            Some(body) => ask.json(&body.to_string()),
            None => ask,
        };
        raw(self.address, &ask.bytes("sceau.example")).await
    }

    async fn stream(&self, token: &str) -> Value {
        let streams = self.ask(token, "GET", "/v1/signals/streams", None).await;
        streams.json()[0].clone()
    }

    /// What is fetched, as claims by name, in order; each verified by a library that is not ours.
    async fn fetch(&self, stream: &Value, mut asked: Value) -> (Vec<(String, Value)>, bool) {
        asked["returnImmediately"] = json!(true);
        let path = format!("/v1/signals/poll/{}", stream["stream_id"].as_str().unwrap());
        let answer = self.ask(SERVICE, "POST", &path, Some(asked)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let keys = serde_json::to_value(self.signals.keys()).unwrap();
        let sets = body["sets"].as_object().unwrap().iter();
        let sets = sets.map(|(name, token)| {
            let claims = verified(&keys, token.as_str().unwrap(), "https://portal.example");
            assert_eq!(claims["jti"], **name);
            (name.clone(), claims)
        });
        (sets.collect(), body["moreAvailable"].as_bool().unwrap())
    }
}

/// Claims of a token, by the crate that the gate's log-in uses for other people's tokens.
fn verified(keys: &Value, token: &str, audience: &str) -> Value {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("secevent+jwt"));
    let jwk = keys["keys"].as_array().unwrap().iter();
    let jwk = jwk
        .clone()
        .find(|key| key["kid"] == *header.kid.as_ref().unwrap());
    let jwk = serde_json::from_value(jwk.unwrap().clone()).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_issuer(&[URL]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["iss", "aud"]);
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    decode::<Value>(token, &key, &rules).unwrap().claims
}

fn settings(folder: &std::path::Path, text: &str) -> Settings {
    let key = folder.join("signal.pem");
    toml::from_str(&format!("key = \"{}\"\n{text}", key.display())).unwrap()
}

fn secret(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    sceau_server::keyfile::write_secret(&path, text.as_bytes()).unwrap();
    path.display().to_string()
}

async fn sealed(desk: &Desk, asks: &Owner, seals: &[&Owner], kind: &str, params: Value) {
    let record = asks.ask_own(desk, kind, params).await.unwrap();
    for owner in seals {
        owner.approve(desk, &record).await.unwrap();
    }
}

async fn suspend(desk: &Desk, by: &Owner, person: &str) {
    sealed(desk, by, &[by], "person.suspend", json!({"person": person})).await;
}

async fn suspend_cascade(desk: &Desk, by: &Owner, person: &str) {
    let lineage = desk.lineage(&person.parse().unwrap(), 100).await.unwrap();
    let set = json!({ "sha256": lineage.unwrap().sha256 });
    let params = json!({"person": person, "cascade": true, "set": set});
    sealed(desk, by, &[by], "person.suspend", params).await;
}

async fn restore(desk: &Desk, by: &Owner, person: &str, subtree: bool) {
    let params = json!({"person": person, "subtree": subtree});
    sealed(desk, by, &[by], "person.restore", params).await;
}

fn kind(claims: &Value) -> &str {
    claims["events"].as_object().unwrap().keys().next().unwrap()
}

/// Event and whom it is about, short.
fn said(claims: &Value) -> (String, String) {
    let event = kind(claims).rsplit('/').next().unwrap().to_owned();
    let subject = &claims["sub_id"];
    let who = match subject["format"].as_str().unwrap() {
        "iss_sub" => {
            assert_eq!(subject["iss"], URL);
            &subject["sub"]
        }
        "complex" => &subject["user"]["sub"],
        _ => &subject["id"],
    };
    (event, who.as_str().unwrap().to_owned())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    expected.iter().map(owned).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Span::from_millis(50)).await;
    }
    panic!("did not happen: {what}");
}

/// RFC 8936 on each store: nothing is lost with an acknowledgement, an instance or a restart; what is not ours to fetch is not there.
pub(crate) async fn a_polling_receiver_misses_nothing(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(
        folder.path(),
        "alert_after = \"1m\"\n[[receiver]]\nservice = \"portal\"\naudience = \"https://portal.example\"\n[[receiver]]\nservice = \"other\"\nstanding = false\n",
    );
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let one = Telling::start(&desk, &settings).await;
    let stream = one.stream(SERVICE).await;
    // What happened before the stream was there is not told.
    assert_eq!(one.fetch(&stream, json!({})).await, (Vec::new(), false));

    let carl = place.invite(&desk, &alice, "carl", "manager").await;
    let gate = carl.sign_in(&desk, SessionKind::Gate).await;
    suspend(&desk, &alice, "carl").await;
    let session = desk.session(&gate).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Suspended, "at once, here");
    let (sets, more) = one.fetch(&stream, json!({})).await;
    let expected = [
        ("credential-change", "carl"),
        ("account-disabled", "carl"),
        ("session-revoked", "carl"),
    ];
    let told: Vec<_> = sets.iter().map(|(_, claims)| said(claims)).collect();
    assert_eq!((told, more), (pairs(&expected), false));
    let credential = &sets[0].1["events"][CREDENTIAL];
    assert_eq!(credential["change_type"], "create");
    assert_eq!(credential["credential_type"], "fido2-roaming");
    assert_eq!(sets[2].1["events"][REVOKED]["initiating_entity"], "admin");
    assert_eq!(sets[1].1["txn"], sets[2].1["txn"], "of one entry");

    // The answer was lost: it comes again, the same names. By another instance too.
    let again = one.fetch(&stream, json!({})).await.0;
    let names = |sets: &[(String, Value)]| -> Vec<String> {
        sets.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&again), names(&sets));
    let second = place.desk("b").await.unwrap();
    let two = Telling::start(&second, &settings).await;
    assert_eq!(two.stream(SERVICE).await, stream, "one stream, not two");
    // Out of order: the middle one is done, and stays done everywhere.
    let (left, _) = two.fetch(&stream, json!({"ack": [names(&sets)[1]]})).await;
    let wanted = [names(&sets)[0].clone(), names(&sets)[2].clone()];
    assert_eq!(names(&left), wanted);
    assert_eq!(names(&one.fetch(&stream, json!({})).await.0), wanted);
    // In small bites.
    let (bite, more) = one.fetch(&stream, json!({"maxEvents": 1})).await;
    assert_eq!((names(&bite), more), (wanted[..1].to_vec(), true));
    assert_eq!(
        one.fetch(&stream, json!({"maxEvents": 0})).await,
        (Vec::new(), true)
    );

    // Forged: no token, another's token, another's stream, names that are not of this stream.
    let path = format!("/v1/signals/poll/{}", stream["stream_id"].as_str().unwrap());
    let plain = Ask::new("POST", &path).json("{}");
    assert_eq!(
        raw(one.address, &plain.bytes("sceau.example")).await.status,
        401
    );
    let status =
        async |token: &str, path: &str| one.ask(token, "POST", path, Some(json!({}))).await.status;
    assert_eq!(status("forged-forged-forged", &path).await, 401);
    assert_eq!(status(OTHER, &path).await, 404);
    assert_eq!(status(&alice.token, &path).await, 403);
    let nobody = "/v1/signals/poll/00000000-0000-0000-0000-000000000000";
    assert_eq!(status(SERVICE, nobody).await, 404);
    let forged = names(&sets)[0].replace(
        stream["stream_id"].as_str().unwrap(),
        &uuid::Uuid::nil().to_string(),
    );
    let far = names(&sets)[0].replacen("00000", "99999", 1);
    let (left, _) = one
        .fetch(&stream, json!({"ack": [forged, far, "", "x"]}))
        .await;
    assert_eq!(names(&left), wanted);

    // A stop and a start in between; what is refused is done, and said.
    drop(one);
    drop(two);
    let desk = place.desk("c").await.unwrap();
    let one = Telling::start(&desk, &settings).await;
    let errors = json!({"ack": [wanted[0]], "setErrs": {wanted[1].clone(): {"err": "invalid_audience", "description": "<b>"}}});
    assert_eq!(one.fetch(&stream, errors).await, (Vec::new(), false));
    let entries = log(&desk).await;
    let rejected = entries
        .iter()
        .find(|it| it.kind() == "alert.signal-rejected");
    assert_eq!(rejected.unwrap().data()["reason"], "invalid-audience");

    // Paused it is kept, disabled it is not.
    let set = async |status: &str| {
        let body =
            json!({"stream_id": stream["stream_id"], "status": status, "reason": "holidays"});
        let answer = one
            .ask(SERVICE, "POST", "/v1/signals/status", Some(body))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!(status))
        );
    };
    set("paused").await;
    restore(&desk, &alice, "carl", false).await;
    assert_eq!(one.fetch(&stream, json!({})).await.0, []);
    set("enabled").await;
    let (sets, _) = one.fetch(&stream, json!({})).await;
    assert_eq!(
        sets.iter().map(|(_, it)| said(it)).collect::<Vec<_>>(),
        pairs(&[("account-enabled", "carl")])
    );
    assert_eq!(kind(&sets[0].1), ENABLED);
    one.fetch(&stream, json!({"ack": names(&sets)})).await;
    set("disabled").await;
    suspend(&desk, &alice, "carl").await;
    set("enabled").await;
    assert_eq!(one.fetch(&stream, json!({})).await.0, []);

    // Whoever was removed is not spoken of, whoever is added again is.
    let subject = json!({"format": "iss_sub", "iss": URL, "sub": "carl"});
    let body = json!({"stream_id": stream["stream_id"], "subject": subject});
    let removed = one
        .ask(
            SERVICE,
            "POST",
            "/v1/signals/subjects/remove",
            Some(body.clone()),
        )
        .await;
    assert_eq!(removed.status, 204);
    restore(&desk, &alice, "carl", false).await;
    assert_eq!(one.fetch(&stream, json!({})).await.0, []);
    let added = one
        .ask(SERVICE, "POST", "/v1/signals/subjects/add", Some(body))
        .await;
    assert_eq!(added.status, 200);
    assert_eq!(
        one.fetch(&stream, json!({})).await.0.len(),
        1,
        "still in the log, not taken"
    );

    // Does it flow? Not asked too often.
    let body = json!({"stream_id": stream["stream_id"], "state": "état 1"});
    let verify = async || {
        one.ask(SERVICE, "POST", "/v1/signals/verify", Some(body.clone()))
            .await
            .status
    };
    assert_eq!((verify().await, verify().await), (204, 429));
    let (sets, _) = one.fetch(&stream, json!({})).await;
    let (_, last) = sets.last().unwrap();
    assert_eq!(last["events"][VERIFICATION]["state"], "état 1");
    assert_eq!(
        last["sub_id"],
        json!({"format": "opaque", "id": stream["stream_id"]})
    );

    // A receiver that does not come is said, once.
    place.clock.shift(Duration::minutes(2));
    let said = async || count(&log(&desk).await, "alert.signal-undelivered");
    until("an alert", async || said().await == 1).await;

    // The other receiver opens its own, when it wants, and hears nothing of the portal's.
    let streams = "/v1/signals/streams";
    assert_eq!(one.ask(OTHER, "GET", streams, None).await.json(), json!([]));
    let opened = one
        .ask(
            OTHER,
            "POST",
            streams,
            Some(json!({"events_requested": [DISABLED, "https://x.example/e"]})),
        )
        .await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let opened = opened.json();
    assert_eq!(opened["events_delivered"], json!([DISABLED]));
    assert_eq!(opened["aud"], "other");
    let id = opened["stream_id"].clone();
    assert_eq!(
        one.ask(OTHER, "POST", streams, Some(json!({})))
            .await
            .status,
        409
    );
    let patch = json!({"stream_id": id, "description": "nightly"});
    assert_eq!(
        one.ask(OTHER, "PATCH", streams, Some(patch)).await.json()["description"],
        "nightly"
    );
    let put = one
        .ask(OTHER, "PUT", streams, Some(json!({"stream_id": id})))
        .await
        .json();
    assert_eq!(
        (
            put["events_delivered"].as_array().unwrap().len(),
            put.get("description")
        ),
        (4, None)
    );
    for (method, body, status) in [
        ("PATCH", json!({"stream_id": id, "aud": "else"}), 400),
        (
            "PATCH",
            json!({"stream_id": id, "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "http://169.254.169.254/"}}),
            400,
        ),
        ("PATCH", json!({"stream_id": stream["stream_id"]}), 404),
        ("PATCH", json!({}), 400),
    ] {
        let answer = one.ask(OTHER, method, streams, Some(body.clone())).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let kept = json!({"stream_id": stream["stream_id"], "events_requested": []});
    assert_eq!(
        one.ask(SERVICE, "PATCH", streams, Some(kept)).await.status,
        403,
        "the file keeps it"
    );
    let gone = format!("{streams}?stream_id={}", id.as_str().unwrap());
    assert_eq!(one.ask(OTHER, "DELETE", &gone, None).await.status, 204);
    assert_eq!(one.ask(OTHER, "GET", &gone, None).await.status, 404);
    let own = format!(
        "{streams}?stream_id={}",
        stream["stream_id"].as_str().unwrap()
    );
    assert_eq!(one.ask(SERVICE, "DELETE", &own, None).await.status, 403);
}

/// A receiver of ours: keeps what comes, and answers as it is told.
struct Hook {
    url: String,
    got: Arc<Mutex<Vec<(u16, String)>>>,
}

/// What a token says; `null` when it is none.
fn unverified(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap_or_default();
    let body = sceau_proof::base64url::decode(body).unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_default()
}

impl Hook {
    /// `answers`: how many came before, and what this one says.
    async fn start(answers: fn(usize, &Value) -> Response) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let kept = Arc::clone(&kept);
            async move {
                let target = request.uri().path().to_owned();
                let body = axum::body::to_bytes(request.into_body(), 1 << 20)
                    .await
                    .unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                let mut kept = kept.lock().unwrap();
                let answer = answers(kept.len(), &unverified(&body));
                let body = if target == "/" {
                    body
                } else {
                    format!("went to {target}")
                };
                kept.push((answer.status().as_u16(), body));
                answer
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(sceau_server::listen::serve(
            listener,
            None,
            router,
            16,
            std::future::pending(),
        ));
        Self { url, got }
    }

    /// Names of tokens that were taken, in the order in which they came.
    fn taken(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        let taken = got.iter().filter(|(status, _)| *status < 300);
        taken
            .map(|(_, token)| unverified(token)["jti"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn plain(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

/// Two instances: in order, none missing, none twice while both live; when one dies the other goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_instances_one_tells_and_the_other_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!("sqlite:{}", folder.path().join("s.db").display()));
    // The second and the third are not taken at first.
    let hook = Hook::start(|count, _| plain(if (1..3).contains(&count) { 503 } else { 202 })).await;
    let text = format!(
        "[[receiver]]\nservice = \"portal\"\npush = \"{}\"\nevents = [\"account-disabled\", \"account-enabled\"]\n",
        hook.url
    );
    let settings = settings(folder.path(), &text);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let names = ["carl", "dora", "emil"];
    for name in names {
        place.invite(&desk, &alice, name, "manager").await;
    }
    let other = place.desk("b").await.unwrap();
    let one = Telling::start(&desk, &settings).await;
    let two = Telling::start(&other, &settings).await;
    for name in names {
        suspend(&desk, &alice, name).await;
    }
    until("three are told", async || hook.taken().len() == 3).await;
    // Both instances look on for a while, and neither tells again.
    tokio::time::sleep(Span::from_secs(2)).await;
    let told = hook.taken();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(hook.got.lock().unwrap().len(), 5, "two were tried again");

    // Whichever tells dies; half a minute later the other does.
    drop(one);
    restore(&other, &alice, "carl", false).await;
    drop(two);
    let third = place.desk("c").await.unwrap();
    let three = Telling::start(&third, &settings).await;
    place.clock.shift(Duration::seconds(31));
    restore(&third, &alice, "dora", false).await;
    let whole = async || hook.taken().iter().collect::<BTreeSet<_>>().len() == 5;
    until("the fourth and the fifth", whole).await;
    let told = hook.taken();
    assert!(told.is_sorted(), "{told:?}");
    let delivered = async || count(&log(&third).await, "signal.delivered") >= 4;
    until("the log says who was told", delivered).await;
    drop(three);
}

/// Receivers that lead away, never end, never answer, never want: each harms itself alone, and somebody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_receiver_harms_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!("sqlite:{}", folder.path().join("s.db").display()));
    let good = Hook::start(|_, _| plain(204)).await;
    let leads_away = Hook::start(|_, _| {
        (StatusCode::TEMPORARY_REDIRECT, [("location", "/trap")]).into_response()
    })
    .await;
    let endless = Hook::start(|_, _| {
        let chunks = futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]))
        });
        (StatusCode::ACCEPTED, Body::from_stream(chunks)).into_response()
    })
    .await;
    let unwilling = Hook::start(|_, claims| {
        if kind(claims) == DISABLED {
            (StatusCode::BAD_REQUEST, r#"{"err":"invalid_key"}"#).into_response()
        } else {
            plain(202)
        }
    })
    .await;
    // Takes the connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut text = "alert_after = \"1m\"\ngive_up = \"10m\"\n".to_owned();
    for (name, url) in [
        ("portal", &good.url),
        ("other", &leads_away.url),
        ("huge", &endless.url),
        ("lost", &unwilling.url),
        ("slow", &format!("http://{}/", silent.local_addr().unwrap())),
    ] {
        text.push_str(&format!("[[receiver]]\nservice = \"{name}\"\npush = \"{url}\"\nevents = [\"account-disabled\", \"account-enabled\"]\n"));
    }
    let settings = settings(folder.path(), &text);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    place.invite(&desk, &alice, "carl", "manager").await;
    let _telling = Telling::start(&desk, &settings).await;
    suspend(&desk, &alice, "carl").await;
    let begun = std::time::Instant::now();
    until("the good one is told", async || good.taken().len() == 1).await;
    until("the endless answer is cut off", async || {
        endless.taken().len() == 1
    })
    .await;
    assert!(
        begun.elapsed() < Span::from_secs(8),
        "nobody waits for the silent one"
    );
    restore(&desk, &alice, "carl", false).await;
    until("and goes on", async || endless.taken().len() == 2).await;
    until("it was led away", async || {
        leads_away.got.lock().unwrap().len() >= 2
    })
    .await;
    assert!(
        leads_away
            .got
            .lock()
            .unwrap()
            .iter()
            .all(|(_, body)| !body.starts_with("went")),
        "nothing was followed"
    );
    until("it was refused", async || {
        !unwilling.got.lock().unwrap().is_empty()
    })
    .await;
    // Longer than either is borne.
    place.clock.shift(Duration::minutes(11));
    until(
        "what is refused is left out, and the next one comes",
        async || unwilling.taken().len() == 1,
    )
    .await;
    let alerts = async || -> Vec<(String, String, String)> {
        let entries = log(&desk).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = entries
            .iter()
            .filter(|it| it.kind().starts_with("alert.signal"));
        alerts
            .map(|it| {
                (
                    it.kind().to_owned(),
                    text(&it.data()["receiver"]),
                    text(&it.data()["reason"]),
                )
            })
            .collect()
    };
    let told = |kind: &str, who: &str, why: &str| (kind.to_owned(), who.to_owned(), why.to_owned());
    until("alerts", async || {
        let alerts = alerts().await;
        alerts.contains(&told("alert.signal-rejected", "lost", "invalid-key"))
            && alerts.contains(&told("alert.signal-undelivered", "other", "status-307"))
    })
    .await;
    assert!(
        alerts()
            .await
            .iter()
            .all(|(_, who, _)| who != "portal" && who != "huge")
    );
    drop(silent);
}

/// Ended with this.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// `tests/peers/signal_receiver.mjs`; `None`, said aloud, where its libraries are not installed.
    fn start(jwks: &str) -> Option<Self> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
        let peers = target.join("peers");
        if !peers.join("node_modules/jose").exists() {
            eprintln!(
                "SKIPPED: no npm packages in target/peers; `cargo xtask setup` installs them"
            );
            return None;
        }
        let mut child = Command::new("node")
            .arg(root.join("tests/peers/signal_receiver.mjs"))
            .args([URL, "https://portal.example", jwks])
            .env("SCEAU_PEERS", peers)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        })
    }

    async fn seen(&self) -> Value {
        raw(self.address, &Ask::new("GET", "/seen").bytes("x"))
            .await
            .json()
    }

    async fn mode(&self, mode: &str) {
        let ask = Ask::new("POST", "/mode").body("text/plain", mode.as_bytes());
        assert_eq!(raw(self.address, &ask.bytes("x")).await.status, 204);
    }

    async fn sets(&self) -> Vec<(String, String)> {
        let seen = self.seen().await;
        assert_eq!(seen["refused"], json!([]), "jose takes every token");
        seen["sets"].as_array().unwrap().iter().map(said).collect()
    }
}

/// The whole way, to a service that is not ours: a cascade falls, at the receiver and over SCIM, comes back, and misses nothing while the service is down
/// and this server starts anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_travels_to_a_service_that_is_not_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    let Some(peer) = Peer::start(&format!("http://{own}/v1/signals/jwks.json")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!("sqlite:{}", folder.path().join("s.db").display()));
    let line = secret(folder.path(), "authorization", "Bearer of-the-receiver\n");
    let token = secret(folder.path(), "scim", "scim-token-scim-token\n");
    let at = peer.address;
    let text = format!(
        "[[receiver]]\nservice = \"portal\"\naudience = \"https://portal.example\"\npush = \"http://{at}/ssf\"\nauthorization = \"{line}\"
[[scim]]\nname = \"portal\"\nurl = \"http://{at}/scim/v2\"\ntoken = \"{token}\"\nservice = \"portal\"\n"
    );
    let settings = settings(folder.path(), &text);
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let carol = place.invite(&desk, &alice, "carol", "manager").await;
    // Erin is at no such service, and descends from Carol by an account.
    let record = carol.ask(&desk, "account.create").await.unwrap();
    carol.approve(&desk, &record).await.unwrap();
    desk.consume(record.id).await.unwrap();
    let made = vec![Begotten {
        relation: Relation::Created,
        id: Some("7".to_owned()),
        display: "made by Carol".to_owned(),
    }];
    let outcome = Outcome::Answered {
        upstream_status: 201,
    };
    desk.record_execution_of(record.id, outcome, made)
        .await
        .unwrap();
    let telling = Telling::on(listener, &desk, &settings).await;
    let agent = desk.session(&carol.token).await.unwrap().unwrap();
    assert_eq!(agent.state, SessionState::Active);

    let metadata = telling
        .ask(SERVICE, "GET", "/.well-known/ssf-configuration", None)
        .await
        .json();
    assert_eq!(
        (&metadata["issuer"], &metadata["spec_version"]),
        (&json!(URL), &json!("1_0"))
    );

    suspend_cascade(&desk, &alice, "carol").await;
    let agent = desk.session(&carol.token).await.unwrap().unwrap();
    assert_eq!(
        agent.state,
        SessionState::Suspended,
        "at our own gate at once"
    );
    let fallen = [
        ("account-disabled", "carol"),
        ("session-revoked", "carol"),
        ("account-disabled", "7"),
        ("session-revoked", "7"),
    ];
    until("it is told", async || peer.sets().await == pairs(&fallen)).await;
    let active = async |id: &str| peer.seen().await["users"][id]["active"].clone();
    until("SCIM", async || {
        active("2819c223").await == json!(false) && active("7").await == json!(false)
    })
    .await;
    assert_eq!(active("902c246b").await, json!(true), "nobody else falls");

    // The service is down; this server stops, and another instance starts.
    peer.mode("down").await;
    restore(&desk, &alice, "carol", true).await;
    tokio::time::sleep(Span::from_millis(800)).await;
    drop(telling);
    let desk = place.desk("b").await.unwrap();
    place.clock.shift(Duration::seconds(31));
    let erin = place.invite(&desk, &alice, "erin", "manager").await;
    let _telling = Telling::start(&desk, &settings).await;
    sealed(
        &desk,
        &alice,
        &[&alice],
        "key.revoke",
        json!({"key_id": erin.key}),
    )
    .await;
    peer.mode("up").await;
    let whole = [
        &fallen[..],
        &[
            ("account-enabled", "carol"),
            ("account-enabled", "7"),
            ("credential-change", "erin"),
            ("credential-change", "erin"),
        ],
    ]
    .concat();
    until("all of it, in order", async || {
        let mut told = peer.sets().await;
        told.dedup_by(|a, b| a == b && a.0 != "credential-change");
        told == pairs(&whole)
    })
    .await;
    until("SCIM", async || {
        active("2819c223").await == json!(true) && active("7").await == json!(true)
    })
    .await;
    let last = peer.seen().await["sets"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(last["events"][CREDENTIAL]["change_type"], "revoke");
    // Erin is not at the service: nothing to do there, and the log says so.
    suspend(&desk, &bob, "erin").await;
    until("not there", async || {
        count(&log(&desk).await, "signal.not-there") == 1
    })
    .await;
    let entries = log(&desk).await;
    assert_eq!(count(&entries, "alert.signal-rejected"), 0);
    assert!(count(&entries, "signal.delivered") >= 4);
}

/// RFC 7644 §3.12, from the client's side: what is not about the person is tried for as long as it takes, and not before `Retry-After`; what is about them
/// is left out after a while, said as an alert, and the next one comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_errs_is_asked_again_or_passed_over() {
    let Some(peer) = Peer::start("http://127.0.0.1:9/no-receiver-here") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(format!("sqlite:{}", folder.path().join("s.db").display()));
    let token = secret(folder.path(), "scim", "scim-token-scim-token\n");
    let text = format!(
        "alert_after = \"30s\"\ngive_up = \"1m\"\n[[scim]]\nname = \"directory\"\nurl = \"http://{}/scim/v2\"\ntoken = \"{token}\"\n",
        peer.address
    );
    let settings = settings(folder.path(), &text);
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    place.invite(&desk, &alice, "carol", "manager").await;
    let _telling = Telling::start(&desk, &settings).await;
    let active = async || peer.seen().await["users"]["2819c223"]["active"].clone();
    let asked = async || -> Vec<i64> {
        let seen = peer.seen().await;
        let times = seen["asked"].as_array().unwrap().iter();
        times.map(|at| at.as_i64().unwrap()).collect()
    };
    let alerts = async |kind: &str| -> Vec<String> {
        let entries = log(&desk).await;
        let alerts = entries.iter().filter(|it| it.kind() == kind);
        let reason = alerts.map(|it| it.data()["reason"].as_str().unwrap_or_default().to_owned());
        reason.collect()
    };
    for (mode, least) in [("401", 0), ("500", 0), ("429", 3_000)] {
        peer.mode(mode).await;
        let before = asked().await.len();
        suspend(&desk, &alice, "carol").await;
        until("asked", async || asked().await.len() > before).await;
        // Longer than anything about a person is tried.
        place.clock.shift(Duration::minutes(2));
        until("asked again", async || asked().await.len() > before + 1).await;
        let times = asked().await;
        let waited = times[before + 1] - times[before];
        assert!(waited >= least, "{mode}: {waited} ms");
        assert_eq!(active().await, json!(true), "{mode}");
        let word = format!("status-{mode}");
        // The peer counts a question before its answer was judged here: time goes on until it was.
        until("it is said", async || {
            place.clock.shift(Duration::seconds(3));
            alerts("alert.signal-undelivered").await.contains(&word)
        })
        .await;
        peer.mode("up").await;
        until("told after all", async || active().await == json!(false)).await;
        restore(&desk, &alice, "carol", false).await;
        until("and back", async || active().await == json!(true)).await;
    }
    assert_eq!(alerts("alert.signal-rejected").await, Vec::<String>::new());
    for (mode, word) in [
        ("409", "status-409"),
        ("two", "more-than-one"),
        ("unchanged", "not-changed"),
    ] {
        peer.mode(mode).await;
        let before = asked().await.len();
        suspend(&desk, &alice, "carol").await;
        until("asked", async || asked().await.len() > before).await;
        until("passed over", async || {
            place.clock.shift(Duration::seconds(3));
            alerts("alert.signal-rejected")
                .await
                .last()
                .map(String::as_str)
                == Some(word)
        })
        .await;
        assert_eq!(active().await, json!(true), "{mode}: it was never told");
        peer.mode("up").await;
        let patches = peer.seen().await["patches"].as_array().unwrap().len();
        restore(&desk, &alice, "carol", false).await;
        until("the next one comes", async || {
            peer.seen().await["patches"].as_array().unwrap().len() > patches
        })
        .await;
    }
    assert_eq!(alerts("alert.signal-rejected").await.len(), 3);
}
