//! Everything that a gate needs, started: store, desk, persons with keys, application, gate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sceau_proof::action::Action;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::evidence::Response;
use sceau_proof::log::note::{KeyKind as NoteKind, SigningKey as NoteKey};
use sceau_server::action::ActionRecord;
use sceau_server::attestation::{Judge, load_anchors};
use sceau_server::desk::{
    ApprovalClaim, Desk, DeskError, RefusalReason, RegistrationClaim, Settings,
};
use sceau_server::gate::{Gate, Settings as GateSettings};
use sceau_server::id::{ActionId, KeyId, PersonId};
use sceau_server::person::{Person, PersonState};
use sceau_server::policy::{Policy, Source};
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use sceau_server::rate::Limits;
use sceau_server::store::{Durability, Store, StoreOptions};
use tokio::task::JoinHandle;

use crate::authenticator::{Credential, Manufacturer};
use crate::upstream::Upstream;
use crate::wire::{Answer, Ask, raw};

pub(crate) const RP_ID: &str = "sceau.example";
pub(crate) const AGENT_ORIGIN: &str = "sceau-agent://sceau.example";

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> time::OffsetDateTime {
        time::OffsetDateTime::now_utc()
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| NoRandomness)
    }
}

const SCHEMA: &str = r#"
action "account";
action "account.create", "account.change", "account.delete", "account.export", "account.grant", "account.forbidden" in ["account"]
  appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
action "http.request", "records.read" appliesTo { principal: Person, resource: [Account, Thing, Service], context: Facts };
"#;

const POLICY: &str = r#"
@id("sign-in")
permit (principal, action == Action::"session.open", resource);
@id("register")
permit (principal, action == Action::"key.register", resource);
@id("persons")
permit (principal in Role::"admin", action in [Action::"person.suspend", Action::"person.restore"], resource);
@id("grant")
@approver_role("admin")
permit (principal, action == Action::"account.grant", resource);
@id("never")
forbid (principal, action == Action::"account.forbidden", resource);
@id("accounts")
permit (principal, action in Action::"account", resource)
unless { action == Action::"account.grant" };
@id("anything-else")
permit (principal, action in [Action::"http.request", Action::"records.read"], resource);
"#;

pub(crate) const ROUTES: &str = r#"
[[route]]
method = "POST"
path = "/accounts"
action = "account.create"
target = { kind = "account", id = "{email}", display = "{name}" }
param.email = { json = "/email" }
param.name = { json = "/name" }
words.fr = "Créer le compte « {name} »"
words.en = "Create the account “{name}”"
creates = { kind = "account", id = "location:/accounts/{id}" }
[[route]]
method = "PATCH"
path = "/accounts/{id:int}"
action = "account.change"
param.role = { field = "role", optional = true }
display.who = { get = "/names/{id}" }
words.en = "Change {who} to {role}"
ignore = ["page"]
[[route]]
method = "DELETE"
path = "/accounts/{id:int}"
action = "account.delete"
bodyless = true
[[route]]
method = "POST"
path = "/accounts/{id:int}/rights"
action = "account.grant"
[[route]]
method = "POST"
path = "/forbidden"
action = "account.forbidden"
[[route]]
method = "POST"
path = "/login"
free = true
[[route]]
method = "POST"
path = "/stream"
free = true
[[route]]
method = "GET"
path = "/ws"
free = true
upgrade = true
[[route]]
method = "GET"
path = "/export"
action = "account.export"
"#;

/// A person with a key.
pub(crate) struct Owner {
    pub(crate) id: PersonId,
    pub(crate) key: KeyId,
    credential: Credential,
}

/// All of it.
pub(crate) struct House {
    pub(crate) desk: Desk,
    pub(crate) upstream: Upstream,
    pub(crate) address: SocketAddr,
    pub(crate) alice: Arc<Owner>,
    pub(crate) bob: Arc<Owner>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) gate: JoinHandle<std::io::Result<()>>,
}

/// What a house may have otherwise.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) head: String,
    pub(crate) upstream: Option<String>,
    pub(crate) presence: Option<sceau_server::presence::Presence>,
}

pub(crate) async fn desk(
    folder: &std::path::Path,
    manufacturer: &Manufacturer,
    presence: Option<sceau_server::presence::Presence>,
) -> Desk {
    let anchors = folder.join("anchors");
    std::fs::create_dir_all(&anchors).unwrap();
    std::fs::write(anchors.join("test.pem"), &manufacturer.root_pem).unwrap();
    let url = format!("sqlite:{}", folder.join("sceau.db").display());
    let options = StoreOptions {
        url,
        durability: Durability::Full,
        readers: 4,
    };
    let store = Store::open(&options, true).await.unwrap();
    let origins = vec![AGENT_ORIGIN.to_owned(), "https://sceau.example".to_owned()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 = sceau_proof::permit::SigningKey::generate_pkcs8(&random).unwrap();
    let settings = Settings {
        policy: Policy::parse(&[
            Source::new("actions.cedarschema", SCHEMA),
            Source::new("gate.cedar", POLICY),
        ])
        .unwrap(),
        limits: Limits {
            pending: 1_000,
            asked: 10_000,
            refused: 1_000,
            ..Limits::default()
        },
        rp_id: RP_ID.to_owned(),
        origins: origins.clone(),
        public_url: "https://sceau.example".to_owned(),
        instance: "test".to_owned(),
        session_lifetime: time::Duration::hours(1),
        invitation_lifetime: time::Duration::hours(1),
        permit_key: sceau_proof::permit::SigningKey::from_pkcs8(&pkcs8).unwrap(),
        permit_previous: None,
        log_key: NoteKey::from_seed("sceau.example/log", NoteKind::Log, &[7; 32]).unwrap(),
        log_previous: None,
        configuration: None,
        witnessing: sceau_server::desk::Witnessing::default(),
        judge: Judge::new(RP_ID.to_owned(), origins, load_anchors(&anchors).unwrap()).unwrap(),
        cards: None,
        presence,
    };
    Desk::start(store, Ports::new(SystemClock, SystemRandom), settings)
        .await
        .unwrap()
}

async fn owner(desk: &Desk, manufacturer: &Manufacturer, invitation: &str) -> Arc<Owner> {
    let opened = desk.open_enrolment(invitation).await.unwrap();
    let action = Action::parse(opened.action.document.as_bytes()).unwrap();
    let (credential, client_data_json, attestation_object) = Credential::make(
        manufacturer,
        RP_ID,
        AGENT_ORIGIN,
        action.challenge().as_bytes(),
    );
    let claim = RegistrationClaim {
        client_data_json,
        attestation_object,
        transports: vec!["usb".to_owned()],
        label: None,
    };
    let registered = desk.register(opened.id, invitation, claim).await.unwrap();
    let key = match registered {
        Ok(registered) => registered.key.id,
        Err(refused) => panic!("enrolment refused: {refused:?}"),
    };
    Arc::new(Owner {
        id: opened.person.id,
        key,
        credential,
    })
}

impl Owner {
    /// Touches the key for an action.
    pub(crate) async fn approve(&self, desk: &Desk, record: &ActionRecord) {
        self.try_approve(desk, record).await.unwrap();
    }

    /// The same, where the action may be settled meanwhile.
    pub(crate) async fn try_approve(
        &self,
        desk: &Desk,
        record: &ActionRecord,
    ) -> Result<ActionRecord, DeskError> {
        let action = Action::parse(record.document.as_bytes()).unwrap();
        let (client_data_json, authenticator_data, signature) = self
            .credential
            .assert(AGENT_ORIGIN, action.challenge().as_bytes());
        let claim = ApprovalClaim {
            person: self.id.clone(),
            key: self.key,
            response: Response::Fido2(AssertionResponse {
                client_data_json,
                authenticator_data,
                signature,
                credential_id: CredentialId::new(self.credential.id.clone()),
            }),
        };
        desk.approve(record.id, claim).await
    }
}

/// What [`create`] sends.
pub(crate) const ACCOUNT: &str = r#"{"email":"jean@ml.example","name":"Jean Dupont"}"#;

/// A privileged request: an account is to be created.
pub(crate) fn create(cookie: &str) -> Ask {
    Ask::new("POST", "/accounts")
        .header("Cookie", cookie)
        .json(ACCOUNT)
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::plan(Plan::default()).await
    }

    pub(crate) async fn plan(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manufacturer = Manufacturer::new();
        let desk = desk(folder.path(), &manufacturer, plan.presence.clone()).await;
        let person = |id: &str, display: &str, role: &str| Person {
            id: id.parse().unwrap(),
            display: display.to_owned(),
            roles: [role.parse().unwrap()].into(),
            state: PersonState::Inert,
            parent: None,
        };
        let found = desk
            .found(vec![
                person("alice", "Alice Martin", "manager"),
                person("bob", "Bob Admin", "admin"),
            ])
            .await
            .unwrap();
        let alice = owner(&desk, &manufacturer, &found[0].2).await;
        let bob = owner(&desk, &manufacturer, &found[1].2).await;
        let upstream = Upstream::default();
        let target = match plan.upstream {
            Some(target) => target,
            None => format!("http://{}", upstream.start().await),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let file = write_routes(folder.path(), address, &target, &plan.head);
        let settings = GateSettings {
            listen: address,
            routes: vec![file],
            tls: None,
            behind_tls: false,
            login: None,
        };
        let gate = Gate::new(desk.clone(), &settings).unwrap();
        let gate = tokio::spawn(gate.serve(listener, std::future::pending()));
        Self {
            desk,
            upstream,
            address,
            alice,
            bob,
            folder,
            gate,
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn send(&self, ask: &Ask) -> Answer {
        raw(self.address, &ask.bytes(&self.host())).await
    }

    /// Signs a person in; the cookie header's value.
    pub(crate) async fn sign_in(&self, owner: &Owner) -> String {
        let ask =
            Ask::new("POST", "/.sceau/session").json(&format!(r#"{{"person":"{}"}}"#, owner.id));
        let answer = self.send(&ask).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let id: ActionId = answer.json()["action_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let record = self.desk.action(id).await.unwrap().unwrap();
        owner.approve(&self.desk, &record).await;
        let cookie = answer
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        format!("app=1; {cookie}")
    }

    /// The next action that awaits a person. Fails after five seconds.
    pub(crate) async fn next_action(&self, owner: &Owner) -> ActionRecord {
        use sceau_server::desk::InboxEvent;
        let mut inbox = self.desk.subscribe(owner.id.clone()).await.unwrap();
        let wait = async {
            loop {
                if let InboxEvent::Action(record) = inbox.next().await.unwrap() {
                    return *record;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait)
            .await
            .expect("no action came")
    }

    /// Whether something is asked of a person within a moment.
    pub(crate) async fn is_asked(&self, owner: &Owner) -> bool {
        let mut inbox = self.desk.subscribe(owner.id.clone()).await.unwrap();
        tokio::time::timeout(Duration::from_millis(300), inbox.next())
            .await
            .is_ok()
    }

    /// A person who touches the key for everything, and the number of touches.
    pub(crate) fn touch_everything(
        &self,
        owner: &Arc<Owner>,
    ) -> (JoinHandle<()>, Arc<AtomicUsize>) {
        use sceau_server::desk::InboxEvent;
        let (desk, owner, count) = (
            self.desk.clone(),
            Arc::clone(owner),
            Arc::new(AtomicUsize::new(0)),
        );
        let touched = Arc::clone(&count);
        let task = tokio::spawn(async move {
            let mut inbox = desk.subscribe(owner.id.clone()).await.unwrap();
            while let Ok(event) = inbox.next().await {
                if let InboxEvent::Action(record) = event {
                    touched.fetch_add(1, Ordering::SeqCst);
                    owner.approve(&desk, &record).await;
                }
            }
        });
        (task, count)
    }

    pub(crate) async fn refuse(&self, owner: &Owner, record: &ActionRecord, reason: RefusalReason) {
        self.desk
            .refuse(record.id, owner.id.clone(), reason, None)
            .await
            .unwrap();
    }

    pub(crate) async fn state(&self, id: ActionId) -> String {
        let record = self.desk.action(id).await.unwrap().unwrap();
        record.state.as_str().to_owned()
    }

    /// The action of that name.
    pub(crate) async fn record(&self, id: &str) -> ActionRecord {
        let id = id.parse().unwrap();
        self.desk.action(id).await.unwrap().unwrap()
    }

    /// The action of that name, which Alice's key has sealed.
    pub(crate) async fn sealed(&self, id: &str) -> ActionRecord {
        let record = self.record(id).await;
        self.alice.approve(&self.desk, &record).await;
        record
    }

    /// Ends within five seconds because whoever asked is gone, and nothing was sent.
    pub(crate) async fn goes_with_its_client(&self, record: &ActionRecord) {
        let five = Duration::from_secs(5);
        let settled = self.desk.wait(record.id, five).await.unwrap().unwrap();
        assert_eq!(settled.state.as_str(), "refused");
        assert_eq!(settled.refusal.unwrap().reason, "client-gone");
        assert!(self.upstream.seen().is_empty());
    }
}

fn write_routes(
    folder: &std::path::Path,
    address: SocketAddr,
    upstream: &str,
    head: &str,
) -> PathBuf {
    let file = folder.join("routes.toml");
    let text = format!(
        "[application]\nhost = [\"{address}\", \"portal.test\"]\nservice = \"portal\"\nupstream = \"{upstream}\"\n{head}\n{ROUTES}"
    );
    std::fs::write(&file, text).unwrap();
    file
}
