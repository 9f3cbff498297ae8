use std::path::Path;
use std::time::Duration as Span;

use sceau_proof::action::Action;
use sceau_server::command::open_desk;
use sceau_server::config::Config;
use sceau_server::desk::{Desk, DeskError, RegistrationClaim};
use sceau_server::metadata::{Keeper, RefreshError, Refreshed};
use sceau_server::port::{NoRandomness, Ports, Random};
use sceau_server::session::SessionKind;
use sceau_server::{action::State, keyfile};
use serde_json::{Value, json};
use time::Duration;

use crate::authenticator::Credential;
use crate::conformance::{count, log};
use crate::fixture::{AGENT, ORIGIN, POLICY, Place, RP_ID, SCHEMA, write_policy};
use crate::postgres::Postgres;
use crate::publisher::{Publisher, Site, certified, list, revoked};

struct System;

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| NoRandomness)
    }
}

/// Makes the log key that `conformance` audits with.
struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        buffer.fill(7);
        Ok(())
    }
}

/// A server that takes its metadata from a web site.
struct House {
    folder: tempfile::TempDir,
    place: Place,
    publisher: Publisher,
    site: Site,
    ports: Ports,
}

impl House {
    async fn new(url: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let publisher = Publisher::new("mds.fidoalliance.org");
        let site = Site::open().await;
        let place = Place::new(url.unwrap_or_else(|| format!("sqlite:{}", at("s.db").display())));
        let ports = Ports::new(place.clock.clone(), System);
        std::fs::create_dir(at("anchors")).unwrap();
        write_policy(folder.path(), SCHEMA, POLICY);
        std::fs::write(at("root.pem"), &publisher.root_pem).unwrap();
        keyfile::make_permit_key(&at("permit.pem")).unwrap();
        let sevens = Ports::new(place.clock.clone(), Sevens);
        keyfile::make_log_key(&at("log.seed"), &at("log.vkey"), ORIGIN, &sevens).unwrap();
        Self {
            folder,
            place,
            publisher,
            site,
            ports,
        }
    }

    fn config_from(&self, source: &str) -> Config {
        let text = format!(
            r#"
[server]
public_url = "https://sceau.example"
rp_id = "sceau.example"
[store]
url = "{}"
[keys]
permit = "permit.pem"
log = "log.seed"
log_vkey = "log.vkey"
log_origin = "sceau.example/log"
[policy]
folder = "policy"
[attestation]
anchors = "anchors"
[metadata]
source = "{source}"
root = "root.pem"
refresh = "100ms"
grace = "14d"
cache = "kept.jwt"
[limit]
pending = 1000
asked = 1000
refused = 1000
"#,
            self.place.url
        );
        std::fs::write(self.folder.path().join("sceau.toml"), &text).unwrap();
        Config::parse(&text, [], self.folder.path().to_owned()).unwrap()
    }

    fn config(&self) -> Config {
        self.config_from(&format!("http://{}/blob", self.site.address))
    }

    fn kept(&self) -> std::path::PathBuf {
        self.folder.path().join("kept.jwt")
    }

    /// From now on the site gives this list.
    fn publish(&self, payload: &Value) {
        self.site.give(200, &self.publisher.sign(payload));
    }

    fn genuine(&self, no: u64) {
        self.publish(&list(no, &self.place.manufacturer, &certified()));
    }

    /// An instance, as `serve` starts it.
    async fn start(&self, config: &Config) -> (Desk, Keeper) {
        let desk = open_desk(config, self.ports.clone(), true).await.unwrap();
        let mut keeper = Keeper::new(
            config.metadata.as_ref().unwrap(),
            desk.clone(),
            self.ports.clone(),
        )
        .unwrap();
        keeper.start().await.unwrap();
        (desk, keeper)
    }

    /// Somebody enrols a key of the model: yes, or the reason.
    async fn enrol(&self, desk: &Desk, invitation: &str) -> Result<Option<String>, DeskError> {
        let opened = desk.open_enrolment(invitation).await?;
        let challenge = Action::parse(opened.action.document.as_bytes())
            .unwrap()
            .challenge();
        let (_, client_data_json, attestation_object) =
            Credential::make(&self.place.manufacturer, RP_ID, AGENT, challenge.as_bytes());
        let claim = RegistrationClaim {
            client_data_json,
            attestation_object,
            transports: Vec::new(),
            label: None,
        };
        let registered = desk.register(opened.id, invitation, claim).await?;
        Ok(registered.err().map(|refused| {
            assert!(!refused.detail.is_empty());
            refused.reason
        }))
    }
}

const IN_FORCE: Refreshed = Refreshed::InForce {
    no: 7,
    changed: true,
    fallen: 0,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_model_suspends_its_keys_on_sqlite() {
    a_revoked_model_suspends_its_keys(None).await;
    an_enrolment_by_an_older_list_is_not_accepted(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_model_suspends_its_keys_on_postgres() {
    if let Some(mut postgres) = Postgres::start() {
        a_revoked_model_suspends_its_keys(Some(postgres.database().await)).await;
        an_enrolment_by_an_older_list_is_not_accepted(Some(postgres.database().await)).await;
    }
}

async fn a_revoked_model_suspends_its_keys(url: Option<String>) {
    let house = House::new(url).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    assert_eq!(keeper.refresh().await, Ok(IN_FORCE));
    assert_eq!(keeper.refresh().await, Ok(Refreshed::Unchanged));
    assert_eq!(house.site.asked(), (2, 1), "a conditional request");
    let (alice, bob) = house.place.found(&desk).await;

    // One approved and used, one that she has approved and others have not, one that she is about to approve.
    let done = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &done).await.unwrap();
    let waiting = alice.ask(&desk, "vault.open").await.unwrap();
    let waiting = alice.approve(&desk, &waiting).await.unwrap();
    assert_eq!(waiting.state, State::Pending);
    let in_flight = alice.ask(&desk, "account.create").await.unwrap();
    let claim = alice.claim(&in_flight);

    house.publish(&list(8, &house.place.manufacturer, &revoked("2026-11-01")));
    let refreshed = keeper.refresh().await;
    assert_eq!(
        refreshed,
        Ok(Refreshed::InForce {
            no: 8,
            changed: true,
            fallen: 2
        })
    );

    assert_eq!(
        desk.approve(in_flight.id, claim).await,
        Err(DeskError::NotVerified)
    );
    let waiting = desk.action(waiting.id).await.unwrap().unwrap();
    assert_eq!(waiting.state, State::Refused);
    assert_eq!(waiting.refusal.unwrap().reason, "key-suspended");
    assert!(desk.keys(&alice.id).await.unwrap().is_empty());
    assert!(desk.keys(&bob.id).await.unwrap().is_empty());
    let suspended = desk.suspended_keys(&alice.id).await.unwrap();
    assert_eq!(suspended[0].state_reason.as_deref(), Some("model-revoked"));
    let review = desk.review(alice.key).await.unwrap().unwrap();
    let listed: Vec<_> = review.approvals.iter().map(|it| it.action_id).collect();
    assert!(listed.contains(&done.id) && listed.contains(&waiting.id));

    let entries = log(&desk).await;
    let last = |kind: &str| {
        entries
            .iter()
            .rfind(|entry| entry.kind() == kind)
            .unwrap_or_else(|| panic!("no {kind}"))
            .data()
            .clone()
    };
    assert_eq!(last("approval.rejected")["reason"], "key-suspended");
    assert_eq!(last("key.suspended")["reason"], "model-revoked");
    let changed = last("metadata.changed");
    assert_eq!(
        (&changed["no"], &changed["entries"], &changed["next_update"]),
        (&json!(8), &json!(1), &json!("2026-12-01"))
    );
    assert_eq!(
        ["metadata.changed", "key.suspended", "alert.key-fallen"].map(|kind| count(&entries, kind)),
        [2, 2, 2]
    );
    // The same again changes nothing.
    let (second, mut other) = house.start(&house.config()).await;
    assert!(matches!(
        other.refresh().await,
        Ok(Refreshed::InForce {
            no: 8,
            changed: false,
            fallen: 0
        })
    ));
    assert_eq!(count(&log(&second).await, "metadata.changed"), 2);
}

async fn an_enrolment_by_an_older_list_is_not_accepted(url: Option<String>) {
    let house = House::new(url).await;
    let (first, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    keeper.refresh().await.unwrap();
    let (_, bob) = house.place.found(&first).await;
    let carl = json!({"person": {"id": "carl", "display": "Carl", "roles": ["manager"]}});
    let record = bob.ask_own(&first, "key.enroll", carl).await.unwrap();
    bob.approve(&first, &record).await.unwrap();
    let (_, invitation, _) = first.reveal_invitation(record.id).await.unwrap().unwrap();

    // Another instance has a newer list, which revokes the model; this one does not know yet.
    let (_second, mut other) = house.start(&house.config()).await;
    house.publish(&list(8, &house.place.manufacturer, &revoked("2026-11-01")));
    other.refresh().await.unwrap();
    assert_eq!(
        house.enrol(&first, &invitation).await,
        Err(DeskError::Unavailable)
    );
    keeper.refresh().await.unwrap();
    assert_eq!(
        house.enrol(&first, &invitation).await,
        Ok(Some("revoked".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_list_counts_within_one_refresh() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    keeper.refresh().await.unwrap();
    let (alice, _) = house.place.found(&desk).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(keeper.run(async {
        let _ = stopped.await;
    }));
    house.publish(&list(8, &house.place.manufacturer, &revoked("2026-11-01")));
    let begun = std::time::Instant::now();
    while !desk.keys(&alice.id).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Span::from_secs(5), "not suspended");
        tokio::time::sleep(Span::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_never_goes_back_not_even_after_a_restart() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    keeper.refresh().await.unwrap();
    house.genuine(6);
    for _ in 0..3 {
        assert_eq!(
            keeper.refresh().await,
            Err(RefreshError::Refused("rollback"))
        );
    }
    assert_eq!(
        count(&log(&desk).await, "metadata.refused"),
        1,
        "one entry for one refused list"
    );
    // The kept copy is gone and the source lies: the store remembers.
    std::fs::remove_file(house.kept()).unwrap();
    let (desk, mut keeper) = house.start(&house.config()).await;
    assert_eq!(
        keeper.refresh().await,
        Err(RefreshError::Refused("rollback"))
    );
    assert_eq!(desk.blind(), Some("metadata-missing"));
    // Neither does an older kept copy count.
    let older = house
        .publisher
        .sign(&list(6, &house.place.manufacturer, &certified()));
    std::fs::write(house.kept(), older).unwrap();
    let (desk, mut keeper) = house.start(&house.config()).await;
    assert_eq!(desk.blind(), Some("metadata-missing"));
    // The same number with other words is no list either; signed anew it is the same list.
    house.publish(&list(7, &house.place.manufacturer, &revoked("2026-11-01")));
    assert_eq!(
        keeper.refresh().await,
        Err(RefreshError::Refused("number-reused"))
    );
    house.genuine(7);
    assert!(keeper.refresh().await.is_ok());
    assert_eq!(desk.blind(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_believed_changes_nothing() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    keeper.refresh().await.unwrap();
    let next = list(8, &house.place.manufacturer, &revoked("2026-11-01"));
    let genuine = house.publisher.sign(&next);
    let impostor = Publisher::new("mds.fidoalliance.org").sign(&next);
    let (rest, _) = genuine.rsplit_once('.').unwrap();
    let (_, other) = house
        .publisher
        .sign(&list(9, &house.place.manufacturer, &certified()))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for (body, reason) in [
        (impostor, "chain-signature-invalid"),
        (format!("{rest}.{other}"), "signature-invalid"),
        ("<html>".to_owned(), "not-a-jws"),
    ] {
        house.site.give(200, &body);
        match keeper.refresh().await {
            Err(RefreshError::Refused(word)) if word == reason => {}
            // An impostor's root of the same name fails by signature or is unknown.
            Err(RefreshError::Refused("unknown-root")) if reason == "chain-signature-invalid" => {}
            other => panic!("{reason}: {other:?}"),
        }
    }
    house.site.give(500, "no");
    assert_eq!(
        keeper.refresh().await,
        Err(RefreshError::Unavailable("status 500".to_owned()))
    );
    let (alice, _) = house.place.found(&desk).await;
    assert_eq!(desk.keys(&alice.id).await.unwrap().len(), 1);
    assert_eq!(count(&log(&desk).await, "metadata.refused"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_beyond_its_grace_nothing_is_believed() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.genuine(7);
    keeper.refresh().await.unwrap();
    let (alice, bob) = house.place.found(&desk).await;
    // 2026-12-01 and fourteen days.
    house.place.clock.shift(Duration::days(24));
    assert_eq!(desk.blind(), None, "within the grace");
    house.place.clock.shift(Duration::days(1));
    assert_eq!(desk.blind(), Some("metadata-stale"));
    let record = alice.ask(&desk, "account.create").await.unwrap();
    assert_eq!(
        alice.approve(&desk, &record).await,
        Err(DeskError::Blind("metadata-stale"))
    );
    let entries = log(&desk).await;
    let rejected = entries
        .iter()
        .rfind(|entry| entry.kind() == "approval.rejected")
        .unwrap();
    assert_eq!(rejected.data()["reason"], "metadata-stale");
    // Signing in opens nothing; it stays possible.
    let token = bob.sign_in(&desk, SessionKind::Agent).await;
    assert!(desk.session(&token).await.unwrap().unwrap().is_active());
    // A newer list, and all is as before.
    let mut newer = list(8, &house.place.manufacturer, &certified());
    newer["nextUpdate"] = json!("2027-02-01");
    house.publish(&newer);
    keeper.refresh().await.unwrap();
    let approved = alice.approve(&desk, &record).await.unwrap();
    assert_eq!(approved.state, State::Approved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_source_uses_the_kept_copy() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    let founded = desk
        .found(vec![sceau_server::person::Person {
            id: "alice".parse().unwrap(),
            display: "Alice Martin".to_owned(),
            roles: ["administrator".parse().unwrap()].into(),
            state: sceau_server::person::PersonState::Inert,
            parent: None,
        }])
        .await
        .unwrap();
    let invitation = &founded[0].2;
    assert_eq!(
        house.enrol(&desk, invitation).await,
        Ok(Some("metadata-missing".to_owned())),
        "without a list nobody enrols"
    );
    house.genuine(7);
    keeper.refresh().await.unwrap();
    drop((desk, keeper));
    let nowhere = house.config_from("http://127.0.0.1:9/blob");
    let (desk, mut keeper) = house.start(&nowhere).await;
    assert!(matches!(
        keeper.refresh().await,
        Err(RefreshError::Unavailable(_))
    ));
    assert_eq!(house.enrol(&desk, invitation).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_entry_loses_no_other() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    let mut payload = list(7, &house.place.manufacturer, &certified());
    let entries = payload["entries"].as_array_mut().unwrap();
    entries.insert(0, json!({"aaguid": 3}));
    house.publish(&payload);
    assert_eq!(keeper.refresh().await, Ok(IN_FORCE));
    house.place.found(&desk).await;
    let entries = log(&desk).await;
    let changed = entries
        .iter()
        .find(|entry| entry.kind() == "metadata.changed")
        .unwrap();
    assert_eq!(
        (&changed.data()["entries"], &changed.data()["problems"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_counts_on_the_day_that_it_takes_effect() {
    let house = House::new(None).await;
    let (desk, mut keeper) = house.start(&house.config()).await;
    house.publish(&list(7, &house.place.manufacturer, &revoked("2026-11-24")));
    keeper.refresh().await.unwrap();
    let (alice, _) = house.place.found(&desk).await;
    assert_eq!(desk.judge_keys().await, Ok(0));
    house.place.clock.shift(Duration::days(4));
    assert_eq!(desk.judge_keys().await, Ok(2));
    assert!(desk.keys(&alice.id).await.unwrap().is_empty());
    assert_eq!(desk.judge_keys().await, Ok(0), "they fall once");
}

fn command(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_sceau-server"))
        .args(arguments)
        .arg("--config")
        .arg(folder.join("sceau.toml"))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_shows_who_would_fall() {
    let house = House::new(None).await;
    let source = house.folder.path().join("source.jwt");
    let config = house.config_from("source.jwt");
    let sign = |no, reports: &Value| {
        let mut payload = list(no, &house.place.manufacturer, reports);
        payload["nextUpdate"] = json!("2999-01-01");
        house.publisher.sign(&payload)
    };
    std::fs::write(&source, sign(7, &certified())).unwrap();
    let (desk, mut keeper) = house.start(&config).await;
    keeper.refresh().await.unwrap();
    let (alice, _) = house.place.found(&desk).await;
    let folder = house.folder.path();

    let (code, text, errors) = command(folder, &["keys", "report"]);
    assert_eq!(code, Some(0), "{errors}");
    let line = text
        .lines()
        .find(|line| line.starts_with("alice\t"))
        .unwrap();
    for word in [
        "live",
        "stands",
        "Test Keys Model 1",
        crate::publisher::MODEL,
        "Test Keys Root",
        "certified-l1",
    ] {
        assert!(line.contains(word), "{word} in {line}");
    }
    assert_eq!(text.lines().count(), 2);
    let (code, text, _) = command(folder, &["check-config"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("list kept: no 7, 1 model,"), "{text}");

    // A revoking list, brought by hand; the running server has not seen it.
    std::fs::write(&source, sign(8, &revoked("2026-01-02"))).unwrap();
    let (code, text, errors) = command(folder, &["metadata", "fetch", "--json"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["no"], 8);
    let (code, text, _) = command(folder, &["keys", "report", "--json"]);
    assert_eq!(code, Some(1), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let keys = report["keys"].as_array().unwrap();
    assert!(
        keys.iter()
            .all(|key| key["reason"] == "model-revoked" && key["state"] == "live")
    );
    assert!(keys.iter().any(|key| key["key_id"] == json!(alice.key)));
    // Going back is refused, and leaves the file as it was.
    std::fs::write(&source, sign(7, &certified())).unwrap();
    let (code, _, errors) = command(folder, &["metadata", "fetch"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("rollback"), "{errors}");
}
