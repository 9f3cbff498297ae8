//! Charter: a server that speaks docs/api.md over a real TCP socket, as little of it as an agent uses, keeps what it is told, verifies seals
//! with `sceau-proof`, and lies when a test wants it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sceau_proof::action::Action;
use sceau_proof::assertion::{self, AssertionResponse, Expectation, VerifiedAssertion};
use sceau_proof::attestation::{RegistrationExpectation, RegistrationResponse, verify_statement};
use sceau_proof::base64url;
use sceau_proof::certificate::{Certificate, PublicKeyInfo};
use sceau_proof::cose::PublicKey;
use sceau_proof::piv;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const RP_ID: &str = "sceau.example";
/// What the server calls the key.
pub(crate) const KEY_ID: &str = "01890000-0000-7000-8000-000000000001";
pub(crate) const TOKEN: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4";

/// A connection that the relay can read and write: plain or TLS.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

#[derive(Default)]
struct State {
    requests: Vec<(String, Value)>,
    /// What the inbox sends next.
    events: VecDeque<String>,
    inboxes: usize,
    /// How long an inbox says nothing at first.
    silence: Duration,
    /// What `GET /v1/actions/{id}` finds.
    actions: Vec<Value>,
    hello_rp: Option<String>,
    register: Option<Value>,
    open: Option<Value>,
    key: Option<(String, Vec<u8>)>,
    /// A card's key: subjectPublicKeyInfo, DER.
    card: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::start_with(|stream| Some(Box::new(stream)))
    }

    /// `accept` may wrap a connection, in TLS for instance, or end it.
    pub(crate) fn start_with(
        accept: impl Fn(std::net::TcpStream) -> Option<Box<dyn Wire>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let theirs = relay.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(wire) = accept(stream) else { continue };
                let relay = theirs.clone();
                std::thread::spawn(move || relay.serve(wire));
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn with<A>(&self, work: impl FnOnce(&mut State) -> A) -> A {
        let answer = work(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
        answer
    }

    /// Waits until `look` finds something.
    fn until<A>(&self, what: &str, mut look: impl FnMut(&State) -> Option<A>) -> A {
        let mut state = self.state.0.lock().unwrap();
        for _ in 0..150 {
            if let Some(found) = look(&state) {
                return found;
            }
            state = self
                .state
                .1
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap()
                .0;
        }
        panic!("{what} did not happen; requests: {:?}", state.requests);
    }

    /// The greeting will name this relying party.
    pub(crate) fn pose_as(&self, rp_id: &str) {
        self.with(|state| state.hello_rp = Some(rp_id.to_owned()));
    }

    /// Inboxes that are opened from now on greet only after this long.
    pub(crate) fn greet_after(&self, silence: Duration) {
        self.with(|state| state.silence = silence);
    }

    /// An action that is pending, without an inbox that tells of it.
    pub(crate) fn record(&self, action: &Value) {
        self.with(|state| state.actions.push(action.clone()));
    }

    /// Sends an event to every inbox that is or will be open.
    pub(crate) fn send(&self, name: &str, data: &Value) {
        self.with(|state| {
            state
                .events
                .push_back(format!("event: {name}\ndata: {data}\n\n"))
        });
    }

    /// Lets an action await the person.
    pub(crate) fn propose(&self, action: &Value) {
        let keys = self.keys();
        self.send(
            "action",
            &json!({ "action": action, "state": "pending", "requirement": {}, "keys": keys }),
        );
    }

    pub(crate) fn keys(&self) -> Value {
        self.with(|state| {
            let key = state.key.as_ref().map(|(credential, _)| json!({ "key_id": KEY_ID, "credential_id": credential, "kind": "fido2", "label": "Alice's key", "transports": ["nfc"], "aaguid": null }));
            let card = state.card.as_ref().map(|spki| json!({ "key_id": "card-1", "credential_id": null, "kind": "piv", "public_key_spki": base64url::encode(spki), "label": "Alice's card", "transports": ["smart-card"], "aaguid": null }));
            key.into_iter().chain(card).collect()
        })
    }

    pub(crate) fn await_inbox(&self) {
        self.until("an inbox", |state| (state.inboxes > 0).then_some(()));
    }

    /// The body of the first request to this path, once it came.
    pub(crate) fn await_request(&self, path: &str) -> Value {
        self.until(path, |state| {
            state
                .requests
                .iter()
                .find(|(p, _)| p == path)
                .map(|(_, body)| body.clone())
        })
    }

    pub(crate) fn requests(&self, path: &str) -> usize {
        self.with(|state| {
            state
                .requests
                .iter()
                .filter(|(p, _)| p.starts_with(path) && !p.ends_with("/inclusion"))
                .count()
        })
    }

    /// Whether what was reported seals exactly `action`.
    pub(crate) fn verify(
        &self,
        action: &Value,
        report: &Value,
    ) -> Result<VerifiedAssertion, String> {
        let action = Action::parse(action.to_string().as_bytes()).unwrap();
        let response: AssertionResponse =
            serde_json::from_value(report["response"].clone()).map_err(|e| e.to_string())?;
        let cose = self.with(|state| state.key.clone()).unwrap().1;
        let origins = [format!("sceau-agent://{RP_ID}")];
        let challenge = action.challenge();
        assertion::verify(
            &response,
            &PublicKey::from_cose(&cose).unwrap(),
            &Expectation::new(RP_ID, &origins, challenge.as_bytes()),
        )
        .map_err(|e| e.to_string())
    }

    /// Whether what was reported is the card's seal of exactly `action`.
    pub(crate) fn verify_card(&self, action: &Value, report: &Value) -> Result<(), String> {
        let action = Action::parse(action.to_string().as_bytes()).unwrap();
        let spki = self.with(|state| state.card.clone()).unwrap();
        verify_by(&spki, &action, report)
    }

    /// Enrols the card with this certificate's key, as if long ago.
    pub(crate) fn knows_card(&self, certificate: &Certificate) {
        let spki = certificate.public_key().der().to_vec();
        self.with(|state| state.card = Some(spki));
    }

    fn serve(&self, wire: Box<dyn Wire>) {
        let mut wire = BufReader::new(wire);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                match wire.read_line(&mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if line.trim().is_empty() => break,
                    Ok(_) => head.push(line.trim().to_owned()),
                }
            }
            let length = head
                .iter()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .and_then(|n| n.trim().parse().ok())
                })
                .unwrap_or(0);
            let mut body = vec![0; length];
            if wire.read_exact(&mut body).is_err() {
                return;
            }
            let (method, path) = head[0]
                .split_once(' ')
                .map(|(m, rest)| (m.to_owned(), rest.split(' ').next().unwrap().to_owned()))
                .unwrap();
            if path == "/v1/inbox" {
                self.serve_inbox(wire.get_mut());
                return;
            }
            if let Some(id) = path.strip_prefix("/actions/") {
                let page = page(id);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
                    page.len()
                );
                if wire
                    .get_mut()
                    .write_all(format!("{head}{page}").as_bytes())
                    .is_err()
                {
                    return;
                }
                continue;
            }
            let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (status, answer) = self.answer(&method, &path, &body);
            self.with(|state| state.requests.push((path, body)));
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            if wire
                .get_mut()
                .write_all(format!("{head}{text}").as_bytes())
                .is_err()
            {
                return;
            }
        }
    }

    fn serve_inbox(&self, wire: &mut Box<dyn Wire>) {
        let keys = self.keys();
        let rp_id = self
            .with(|state| state.hello_rp.clone())
            .unwrap_or_else(|| RP_ID.to_owned());
        let hello = json!({ "person": { "id": "alice", "display": "Alice Martin", "roles": [] }, "rp_id": rp_id, "server_time": now(), "keys": keys });
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut text = format!("event: hello\ndata: {hello}\n\n");
        let mut sent = 0;
        if wire.write_all(head.as_bytes()).is_err() {
            return;
        }
        std::thread::sleep(self.with(|state| state.silence));
        self.with(|state| state.inboxes += 1);
        loop {
            if wire
                .write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
                .and_then(|()| wire.flush())
                .is_err()
            {
                return;
            }
            text = self.next_event(sent);
            sent += 1;
        }
    }

    fn next_event(&self, sent: usize) -> String {
        let mut state = self.state.0.lock().unwrap();
        loop {
            if let Some(event) = state.events.get(sent) {
                return event.clone();
            }
            state = self.state.1.wait(state).unwrap();
        }
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        match (method, path) {
            ("POST", "/v1/enrolments/open") => {
                let action = action("key.register", "alice", 60, json!({}));
                self.with(|state| state.register = Some(action.clone()));
                let answer = json!({
                    "enrolment_id": "enrolment-1", "action": action, "rp": { "id": RP_ID, "name": "Sceau" }, "origins": [],
                    "user": { "id": base64url::encode(b"alice"), "name": "alice", "display": "Alice Martin" },
                    "algorithms": [-7, -8], "exclude": [], "user_verification": "required", "attestation": "direct",
                    "piv": { "algorithms": ["ES256"], "attested": true, "issuers": [] },
                });
                (201, answer)
            }
            ("POST", "/v1/enrolments/enrolment-1/registration") => self.register(body),
            ("POST", "/v1/sessions") => {
                let action = action("session.open", "alice", 60, json!({}));
                self.with(|state| state.open = Some(action.clone()));
                (
                    201,
                    json!({ "session_id": "session-2", "token": TOKEN, "action": action, "keys": self.keys() }),
                )
            }
            ("GET", path) if path.starts_with("/v1/sessions/session-2") => {
                (200, json!({ "state": "active" }))
            }
            ("DELETE", path) if path.starts_with("/v1/sessions/") => (200, json!({})),
            ("POST", path) if path.ends_with("/approvals") => self.settle(path, "approved"),
            ("POST", path) if path.ends_with("/refusals") => self.settle(path, "refused"),
            ("POST", "/v1/agent/reports") => (200, json!({})),
            // This server has no log: a workstation that cannot look goes on.
            ("GET", path) if path.ends_with("/inclusion") => {
                (503, json!({ "code": "unavailable" }))
            }
            ("GET", path) if path.starts_with("/v1/actions/") => {
                let id = path.split('/').nth(3);
                let recorded = |action: &&Value| action["id"].as_str() == id;
                self.with(|state| state.actions.iter().find(recorded).cloned())
                    .map_or((404, json!({ "code": "not-found" })), |action| {
                        (200, json!({ "action": action, "state": "pending" }))
                    })
            }
            _ => (404, json!({ "code": "not-found" })),
        }
    }

    /// As the real server does: the inbox tells before the request is answered.
    fn settle(&self, path: &str, state: &str) -> (u16, Value) {
        self.send(
            "settled",
            &json!({ "id": path.split('/').nth(3), "state": state }),
        );
        std::thread::sleep(Duration::from_millis(100));
        (200, json!({ "state": state }))
    }

    /// The action of the sign-in that was asked for.
    pub(crate) fn sign_in_action(&self) -> Value {
        self.with(|state| state.open.clone()).unwrap()
    }

    /// The key is the attested one, or else the certificate's; the chain above is other tests' business.
    fn register_card(&self, action: &Action, body: &Value) -> (u16, Value) {
        let response = &body["response"];
        let claimed = response.get("attestation").or(response.get("certificate"));
        let der = base64url::decode(claimed.unwrap().as_str().unwrap()).unwrap();
        let spki = Certificate::from_der(&der)
            .unwrap()
            .public_key()
            .der()
            .to_vec();
        if let Err(reason) = verify_by(&spki, action, body) {
            return (
                422,
                json!({ "code": "registration-refused", "reason": reason }),
            );
        }
        self.with(|state| state.card = Some(spki));
        let session = json!({ "session_id": "session-1", "token": TOKEN });
        (
            201,
            json!({ "key_id": "card-1", "person": "alice", "aaguid": null, "model": null, "session": session }),
        )
    }

    fn register(&self, body: &Value) -> (u16, Value) {
        let action = self.with(|state| state.register.clone()).unwrap();
        let action = Action::parse(action.to_string().as_bytes()).unwrap();
        if body["kind"] == "piv" {
            return self.register_card(&action, body);
        }
        let bytes = |name: &str| {
            base64url::decode(body["response"][name].as_str().unwrap_or_default())
                .unwrap_or_default()
        };
        let (client_data_json, attestation_object) =
            (bytes("client_data_json"), bytes("attestation_object"));
        let expected = RegistrationExpectation {
            rp_id: RP_ID.to_owned(),
            origins: vec![format!("sceau-agent://{RP_ID}")],
            challenge: action.challenge().as_bytes().to_vec(),
            require_uv: true,
            allow_cross_origin: false,
            top_origins: None,
        };
        let response = RegistrationResponse {
            client_data_json: &client_data_json,
            attestation_object: &attestation_object,
        };
        match verify_statement(&response, &expected) {
            Ok(registration) => {
                let credential = base64url::encode(registration.credential_id().as_bytes());
                let cose = registration.public_key_cose().to_vec();
                self.with(|state| state.key = Some((credential, cose)));
                let session = json!({ "session_id": "session-1", "token": TOKEN });
                (
                    201,
                    json!({ "key_id": KEY_ID, "person": "alice", "aaguid": null, "model": "Model A", "session": session }),
                )
            }
            Err(e) => (
                422,
                json!({ "code": "registration-refused", "reason": e.reason() }),
            ),
        }
    }
}

fn verify_by(spki: &[u8], action: &Action, report: &Value) -> Result<(), String> {
    let response: piv::SignatureResponse =
        serde_json::from_value(json!({ "origin": report["response"]["origin"], "signature": report["response"]["signature"] }))
            .map_err(|e| e.to_string())?;
    let origins = [format!("sceau-agent://{RP_ID}")];
    let challenge = action.challenge();
    let expectation = piv::Expectation {
        challenge: challenge.as_bytes(),
        origins: &origins,
    };
    let key = PublicKeyInfo::from_der(spki).map_err(|e| e.to_string())?;
    piv::verify_signature(&response, &key, &expectation)
        .map(drop)
        .map_err(|e| e.reason().to_owned())
}

/// An approval page, as a browser sees it: all of it hands the action over when it is clicked; `auto-` before the id: a script clicks.
fn page(id: &str) -> String {
    let script = match id.strip_prefix("auto-") {
        Some(_) => "setInterval(() => document.querySelector('button').click(), 200)",
        None => "",
    };
    let id = id.trim_start_matches("auto-");
    format!(
        "<!doctype html><title>Approval page</title><button data-sceau-action=\"{id}\" style=\"position:fixed;inset:0;width:100%\">Agent</button><script>{script}</script>"
    )
}

#[allow(clippy::disallowed_methods, reason = "a test's server has a clock")]
fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap()
}

/// An action document that lives for `seconds`; `more` replaces or adds members.
#[allow(
    clippy::disallowed_methods,
    reason = "a test's server has a clock and randomness"
)]
pub(crate) fn action(kind: &str, person: &str, seconds: i64, more: Value) -> Value {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let at = |time: OffsetDateTime| time.format(&Rfc3339).unwrap();
    let service = if kind.starts_with("account.") {
        "ml"
    } else {
        "sceau"
    };
    let mut action = json!({
        "v": 1, "id": uuid::Uuid::now_v7(), "type": kind, "service": service,
        "requester": { "id": person, "display": "Alice Martin" },
        "target": { "kind": "account", "id": person, "display": "Jean Dupont <j.dupont@ml.example>" },
        "params": { "email": "j.dupont@ml.example" },
        "created_at": at(now), "expires_at": at(now + time::Duration::seconds(seconds)), "nonce": base64url::encode([7; 32]),
    });
    if let (Value::Object(action), Value::Object(more)) = (&mut action, more) {
        action.extend(more);
    }
    action
}
