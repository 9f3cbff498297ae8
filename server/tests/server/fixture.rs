//! A desk with persons who have keys, on whatever store is given, with a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sceau_proof::action::Action;
use sceau_proof::assertion::AssertionResponse;
use sceau_proof::authenticator_data::CredentialId;
use sceau_proof::evidence::Response;
use sceau_proof::log::note::{KeyKind, SigningKey as LogKey, VerifyingKey};
use sceau_proof::model::ModelPolicy;
use sceau_proof::permit::SigningKey as PermitKey;
use sceau_server::action::{ActionRecord, Caller, NewAction, Target};
use sceau_server::attestation::{Judge, load_anchors};
use sceau_server::desk::{
    ApprovalClaim, Desk, DeskError, RegistrationClaim, RegistrationRefused, Settings,
};
use sceau_server::id::{KeyId, PersonId};
use sceau_server::person::{Person, PersonState};
use sceau_server::piv::Cards;
use sceau_server::policy::{Policy, Source};
use sceau_server::port::{Clock, NoRandomness, Ports, Random};
use sceau_server::rate::Limits;
use sceau_server::session::SessionKind;
use sceau_server::store::{Durability, Store, StoreOptions};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::authenticator::{Credential, Manufacturer};

pub(crate) const RP_ID: &str = "sceau.example";
pub(crate) const URL: &str = "https://sceau.example";
pub(crate) const AGENT: &str = "sceau-agent://sceau.example";
pub(crate) const ORIGIN: &str = "sceau.example/log";

/// The action types of the portal in these tests.
pub(crate) const SCHEMA: &str = r#"
action "account";
action "account.create", "account.delete", "account.rename" in ["account"] appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
action "right.grant", "vault.open", "note.write", "note.touch" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
"#;

pub(crate) const POLICY: &str = r#"
@id("sign-in")
permit (principal, action == Action::"session.open", resource);
@id("register")
permit (principal, action == Action::"key.register", resource);
@id("accounts-of-administrators")
permit (principal in Role::"administrator", action in Action::"account", resource);
@id("accounts-of-managers")
permit (principal in Role::"manager", action in Action::"account", resource);
@id("grant")
@approver_role("administrator")
permit (principal, action == Action::"right.grant", resource);
@id("vault")
@approvals("2")
@approver_role("requester,administrator|manager")
permit (principal, action == Action::"vault.open", resource);
@id("note")
@key("attested-or-issued")
permit (principal, action == Action::"note.write", resource);
@id("touch")
@verification("touch")
permit (principal, action == Action::"note.touch", resource);
@id("enroll-administrator")
@approver_role("requester,administrator")
permit (principal, action == Action::"key.enroll", resource in Role::"administrator");
@id("enroll")
permit (principal in Role::"administrator", action == Action::"key.enroll", resource)
unless { resource in Role::"administrator" };
@id("suspend-and-restore")
permit (
  principal in Role::"administrator",
  action in [Action::"person.suspend", Action::"person.restore", Action::"person.erase", Action::"key.revoke", Action::"facts.record"],
  resource
);
@id("glass")
@approvals("2")
@approver_role("administrator")
permit (principal, action == Action::"break-glass.open", resource);
@id("review")
@approver_role("administrator")
permit (principal, action == Action::"break-glass.review", resource);
"#;

/// The policy of these tests.
pub(crate) fn policy() -> Policy {
    policy_of(SCHEMA, POLICY)
}

/// A policy of a schema and a policy file.
pub(crate) fn policy_of(schema: &str, policy: &str) -> Policy {
    let sources = [
        Source::new("actions.cedarschema", schema),
        Source::new("test.cedar", policy),
    ];
    match Policy::parse(&sources) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}"),
    }
}

/// Writes it as `policy/` into a server's folder.
pub(crate) fn write_policy(folder: &std::path::Path, schema: &str, policy: &str) {
    let folder = folder.join("policy");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("actions.cedarschema"), schema).unwrap();
    std::fs::write(folder.join("test.cedar"), policy).unwrap();
}

/// A clock in the test's hand, in milliseconds.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_291_200_000)))
    }

    pub(crate) fn shift(&self, by: Duration) {
        self.0.fetch_add(
            i64::try_from(by.whole_milliseconds()).unwrap(),
            Ordering::SeqCst,
        );
    }
}

impl Clock for Hand {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(
            i128::from(self.0.load(Ordering::SeqCst)) * 1_000_000,
        )
        .unwrap()
    }
}

pub(crate) struct System;

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| NoRandomness)
    }
}

/// A person with a key.
pub(crate) struct Owner {
    pub(crate) id: PersonId,
    pub(crate) key: KeyId,
    pub(crate) credential: Credential,
    pub(crate) token: Zeroizing<String>,
}

/// What every desk of one test shares: its store's address, keys and manufacturer.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) clock: Hand,
    pub(crate) manufacturer: Manufacturer,
    pub(crate) limits: Limits,
    /// `[piv]`, when cards may be enrolled.
    pub(crate) piv: Option<sceau_server::config::Piv>,
    /// The model policy, where it is not the built-in one.
    pub(crate) models: Option<String>,
    /// `[presence]`, when sessions need their key.
    pub(crate) presence: Option<sceau_server::presence::Presence>,
    /// What is decided by.
    pub(crate) policy: Policy,
    /// Digest of the configuration, where there is one.
    pub(crate) configuration: Option<[u8; 32]>,
    /// Who witnesses the log.
    pub(crate) witnessing: sceau_server::desk::Witnessing,
    /// The permit key before, while it is published still.
    pub(crate) permit_previous: Option<sceau_server::desk::RetiredKey>,
    anchors: tempfile::TempDir,
    permit_key: Vec<u8>,
}

impl Place {
    /// With a SQLite store of its own in this folder.
    pub(crate) fn within(folder: &std::path::Path) -> Self {
        Self::new(format!("sqlite:{}", folder.join("sceau.db").display()))
    }

    pub(crate) fn new(url: String) -> Self {
        let manufacturer = Manufacturer::new();
        let anchors = tempfile::tempdir().unwrap();
        std::fs::write(anchors.path().join("test.pem"), &manufacturer.root_pem).unwrap();
        let permit_key = PermitKey::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let limits = Limits {
            pending: 1000,
            asked: 1000,
            refused: 1000,
            ..Limits::default()
        };
        Self {
            url,
            clock: Hand::new(),
            manufacturer,
            limits,
            piv: None,
            models: None,
            presence: None,
            policy: policy(),
            configuration: None,
            witnessing: sceau_server::desk::Witnessing::default(),
            permit_previous: None,
            anchors,
            permit_key,
        }
    }

    /// The same place, configured apart.
    pub(crate) fn clone_for_another_desk(&self) -> Self {
        let anchors = tempfile::tempdir().unwrap();
        std::fs::write(anchors.path().join("test.pem"), &self.manufacturer.root_pem).unwrap();
        Self {
            url: self.url.clone(),
            clock: self.clock.clone(),
            manufacturer: Manufacturer::new(),
            limits: self.limits,
            piv: self.piv.clone(),
            models: self.models.clone(),
            presence: self.presence.clone(),
            policy: self.policy.clone(),
            configuration: self.configuration,
            witnessing: self.witnessing.clone(),
            permit_previous: self.permit_previous.clone(),
            anchors,
            permit_key: self.permit_key.clone(),
        }
    }

    /// Another instance on the same store.
    pub(crate) async fn desk(&self, instance: &str) -> Result<Desk, DeskError> {
        let options = StoreOptions {
            url: self.url.clone(),
            durability: Durability::Full,
            readers: 4,
        };
        let store = Store::open(&options, true).await.unwrap();
        let origins = vec![AGENT.to_owned(), URL.to_owned()];
        let anchors = load_anchors(self.anchors.path()).unwrap();
        let judge = Judge::new(RP_ID.to_owned(), origins.clone(), anchors).unwrap();
        let judge = match &self.models {
            Some(models) => judge.with_models(ModelPolicy::parse(models).unwrap()),
            None => judge,
        };
        let settings = Settings {
            policy: self.policy.clone(),
            limits: self.limits,
            rp_id: RP_ID.to_owned(),
            origins,
            public_url: URL.to_owned(),
            instance: instance.to_owned(),
            session_lifetime: Duration::hours(1),
            invitation_lifetime: Duration::hours(1),
            permit_key: PermitKey::from_pkcs8(&self.permit_key).unwrap(),
            permit_previous: self.permit_previous.clone(),
            log_key: LogKey::from_seed(ORIGIN, KeyKind::Log, &[7; 32]).unwrap(),
            log_previous: None,
            configuration: self.configuration,
            witnessing: self.witnessing.clone(),
            judge,
            cards: self
                .piv
                .as_ref()
                .map(|piv| Cards::load(piv, vec![AGENT.to_owned()]).unwrap()),
            presence: self.presence.clone(),
        };
        Desk::start(store, Ports::new(self.clock.clone(), System), settings).await
    }

    /// The permit key, as whoever stole its file has it.
    pub(crate) fn permit_key(&self) -> &[u8] {
        &self.permit_key
    }

    /// Another permit key, from the next start on.
    pub(crate) fn rotate_permit_key(&mut self) {
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.permit_key = PermitKey::generate_pkcs8(&random).unwrap();
    }

    pub(crate) fn log_vkey() -> VerifyingKey {
        LogKey::from_seed(ORIGIN, KeyKind::Log, &[7; 32])
            .unwrap()
            .verifying_key()
            .clone()
    }

    /// The first administrators, with keys.
    pub(crate) async fn found(&self, desk: &Desk) -> (Owner, Owner) {
        let person = |id: &str, display: &str| Person {
            id: id.parse().unwrap(),
            display: display.to_owned(),
            roles: ["administrator".parse().unwrap()].into(),
            state: PersonState::Inert,
            parent: None,
        };
        let founded = desk
            .found(vec![
                person("alice", "Alice Martin"),
                person("bob", "Bob Durand"),
            ])
            .await
            .unwrap();
        let alice = self.enrol(desk, &founded[0].2).await;
        let bob = self.enrol(desk, &founded[1].2).await;
        (alice, bob)
    }

    /// Opens an invitation and registers a new key.
    pub(crate) async fn enrol(&self, desk: &Desk, invitation: &str) -> Owner {
        let registered = self.register(desk, invitation, Credential::make).await;
        registered.unwrap_or_else(|refused| panic!("enrolment refused: {refused:?}"))
    }

    /// Opens an invitation and registers what `make` makes.
    pub(crate) async fn register(
        &self,
        desk: &Desk,
        invitation: &str,
        make: impl FnOnce(&Manufacturer, &str, &str, &[u8]) -> (Credential, Vec<u8>, Vec<u8>),
    ) -> Result<Owner, RegistrationRefused> {
        let opened = desk.open_enrolment(invitation).await.unwrap();
        let challenge = Action::parse(opened.action.document.as_bytes())
            .unwrap()
            .challenge();
        let (credential, client_data_json, attestation_object) =
            make(&self.manufacturer, RP_ID, AGENT, challenge.as_bytes());
        let claim = RegistrationClaim {
            client_data_json,
            attestation_object,
            transports: vec!["usb".to_owned()],
            label: None,
        };
        let registered = desk.register(opened.id, invitation, claim).await.unwrap()?;
        Ok(Owner {
            id: opened.person.id,
            key: registered.key.id,
            credential,
            token: registered.session.unwrap().1,
        })
    }

    /// A person whom `operator` enrols, alone.
    pub(crate) async fn invite(
        &self,
        desk: &Desk,
        operator: &Owner,
        id: &str,
        role: &str,
    ) -> Owner {
        let secret = self.invitation(desk, operator, id, role).await;
        self.enrol(desk, &secret).await
    }

    /// An invitation for a new person.
    pub(crate) async fn invitation(
        &self,
        desk: &Desk,
        operator: &Owner,
        id: &str,
        role: &str,
    ) -> Zeroizing<String> {
        let params = json!({"person": {"id": id, "display": id, "roles": [role]}});
        let record = operator.ask_own(desk, "key.enroll", params).await.unwrap();
        operator.approve(desk, &record).await.unwrap();
        let (_, secret, _) = desk.reveal_invitation(record.id).await.unwrap().unwrap();
        secret
    }
}

impl Owner {
    pub(crate) fn claim(&self, record: &ActionRecord) -> ApprovalClaim {
        let challenge = Action::parse(record.document.as_bytes())
            .unwrap()
            .challenge();
        let (client_data_json, authenticator_data, signature) =
            self.credential.assert(AGENT, challenge.as_bytes());
        ApprovalClaim {
            person: self.id.clone(),
            key: self.key,
            response: Response::Fido2(AssertionResponse {
                client_data_json,
                authenticator_data,
                signature,
                credential_id: CredentialId::new(self.credential.id.clone()),
            }),
        }
    }

    pub(crate) async fn approve(
        &self,
        desk: &Desk,
        record: &ActionRecord,
    ) -> Result<ActionRecord, DeskError> {
        desk.approve(record.id, self.claim(record)).await
    }

    pub(crate) async fn caller(&self, desk: &Desk) -> Caller {
        let session = desk.session(&self.token).await.unwrap().unwrap();
        Caller::Person {
            person: self.id.clone(),
            session: session.id,
        }
    }

    /// An action that this person wants at the portal.
    pub(crate) async fn ask(&self, desk: &Desk, kind: &str) -> Result<ActionRecord, DeskError> {
        self.ask_by(desk, kind, Caller::Service("portal".parse().unwrap()))
            .await
    }

    pub(crate) async fn ask_by(
        &self,
        desk: &Desk,
        kind: &str,
        caller: Caller,
    ) -> Result<ActionRecord, DeskError> {
        desk.open_action(self.wants(kind), caller).await
    }

    /// What this person asks for at the portal.
    pub(crate) fn wants(&self, kind: &str) -> NewAction {
        NewAction {
            kind: kind.to_owned(),
            service: "portal".parse().unwrap(),
            requester: self.id.clone(),
            target: Target {
                kind: "account".to_owned(),
                id: "jd".to_owned(),
                display: "Jean Dupont".to_owned(),
            },
            params: json!({"email": "jd@ml.example"})
                .as_object()
                .unwrap()
                .clone(),
            request: None,
            words: None,
        }
    }

    /// What this person wants of Sceau itself; about whom `params.person` says, if it does.
    pub(crate) fn wants_own(&self, kind: &str, params: &Value) -> NewAction {
        let person = &params["person"];
        let id = person.as_str().or(person["id"].as_str());
        NewAction {
            kind: kind.to_owned(),
            service: "sceau".parse().unwrap(),
            requester: self.id.clone(),
            target: Target {
                kind: "person".to_owned(),
                id: id.unwrap_or("x").to_owned(),
                display: "somebody".to_owned(),
            },
            params: params.as_object().unwrap().clone(),
            request: None,
            words: None,
        }
    }

    /// An action that this person wants of Sceau itself.
    pub(crate) async fn ask_own(
        &self,
        desk: &Desk,
        kind: &str,
        params: Value,
    ) -> Result<ActionRecord, DeskError> {
        let asked = self.wants_own(kind, &params);
        desk.open_action(asked, self.caller(desk).await).await
    }

    /// Signs in anew.
    pub(crate) async fn sign_in(&self, desk: &Desk, kind: SessionKind) -> Zeroizing<String> {
        let opened = desk.open_session(self.id.clone(), kind).await.unwrap();
        self.approve(desk, &opened.action).await.unwrap();
        opened.token
    }
}
