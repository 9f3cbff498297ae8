//! Keys that a help desk hands out: they seal their person's first sign-in, which makes them live, and nothing before. And one authenticator is one
//! person's.

use sceau_proof::action::Action;
use sceau_proof::base64url;
use sceau_server::action::ActionRecord;
use sceau_server::desk::{Desk, DeskError, RegistrationClaim};
use sceau_server::id::KeyId;
use sceau_server::key::KeyState;
use sceau_server::person::PersonState;
use sceau_server::policy::{Policy, Source};
use sceau_server::session::{SessionKind, SessionState};
use serde_json::{Value, json};
use sqlx::Connection as _;
use zeroize::Zeroizing;

use crate::api::Served;
use crate::authenticator::Credential;
use crate::conformance::{count, log};
use crate::fixture::{AGENT, Owner, POLICY, RP_ID, SCHEMA};
use crate::page::{HERE, signed_in};
use crate::wire::Ask;
use crate::wire::problem;

/// What `alice` asks of Sceau itself.
async fn asked(served: &Served, kind: &str, params: Value) -> Result<ActionRecord, DeskError> {
    served.alice.ask_own(&served.desk, kind, params).await
}

/// What `alice` asks of Sceau itself, sealed.
async fn sealed(served: &Served, kind: &str, params: Value) -> ActionRecord {
    let record = asked(served, kind, params).await.unwrap();
    served.alice.approve(&served.desk, &record).await.unwrap()
}

/// `alice` invites `paul`, whose key will wait; it may take the place of another.
async fn invited(served: &Served, replaces: Option<KeyId>) -> (ActionRecord, Zeroizing<String>) {
    let mut person = json!({"id": "paul", "display": "Paul", "roles": ["manager"], "first_use": true, "identity_document": "passport"});
    if let Some(key) = replaces {
        person["replaces"] = json!(key);
    }
    let record = sealed(served, "key.enroll", json!({ "person": person })).await;
    let desk = &served.desk;
    let (_, secret, _) = desk.reveal_invitation(record.id).await.unwrap().unwrap();
    (record, secret)
}

/// Paul's new key, and what its authenticator had to be asked not to hold.
async fn handed_out(served: &Served) -> (Owner, Vec<String>) {
    handed_out_for(served, None).await
}

/// As [`handed_out`], in the place of another.
async fn handed_out_for(served: &Served, replaces: Option<KeyId>) -> (Owner, Vec<String>) {
    let (_, secret) = invited(served, replaces).await;
    registered(served, &secret).await
}

/// As [`handed_out`], by this invitation.
async fn registered(served: &Served, secret: &str) -> (Owner, Vec<String>) {
    let opened = served.desk.open_enrolment(secret).await.unwrap();
    let challenge = Action::parse(opened.action.document.as_bytes())
        .unwrap()
        .challenge();
    let (credential, client_data_json, attestation_object) = Credential::make(
        &served.place.manufacturer,
        RP_ID,
        AGENT,
        challenge.as_bytes(),
    );
    let claim = RegistrationClaim {
        client_data_json,
        attestation_object,
        transports: vec!["usb".to_owned()],
        label: None,
    };
    let registered = served.desk.register(opened.id, secret, claim).await;
    let registered = registered.unwrap().unwrap();
    assert_eq!(registered.key.state, KeyState::Waiting);
    assert!(
        registered.session.is_none(),
        "whoever sits at the desk gets no session of the person's"
    );
    let owner = Owner {
        id: "paul".parse().unwrap(),
        key: registered.key.id,
        credential,
        token: Zeroizing::new(String::new()),
    };
    (owner, opened.exclude)
}

async fn live(desk: &Desk) -> Vec<KeyId> {
    let keys = desk.keys(&"paul".parse().unwrap()).await.unwrap();
    let mut keys: Vec<KeyId> = keys.iter().map(|key| key.key_id).collect();
    keys.sort_by_key(ToString::to_string);
    keys
}

#[tokio::test]
async fn a_key_counts_once_its_person_has_signed_in_with_it_and_not_before() {
    let served = Served::start().await;
    let desk = &served.desk;
    let (main, _) = handed_out(&served).await;
    assert!(live(desk).await.is_empty());
    main.sign_in(desk, SessionKind::Agent).await;
    assert_eq!(live(desk).await, [main.key]);

    // The spare one lies in a drawer: it approves nothing until it, too, has signed in.
    let (spare, _) = handed_out(&served).await;
    let wanted = main.ask(desk, "account.create").await.unwrap();
    let offered = desk.keys_for(&main.id, &wanted).await.unwrap();
    assert_eq!(offered.len(), 1, "{offered:?}");
    let early = spare.approve(desk, &wanted).await;
    assert_eq!(early.err(), Some(DeskError::NotVerified));
    spare.sign_in(desk, SessionKind::Agent).await;
    assert_eq!(live(desk).await.len(), 2);
    let done = spare.approve(desk, &wanted).await.unwrap();
    assert_eq!(done.state.as_str(), "approved");
}

#[tokio::test]
async fn an_authenticator_that_was_handed_out_is_named_to_the_next_ones() {
    let served = Served::start().await;
    let (first, before) = handed_out(&served).await;
    let (_, exclude) = handed_out(&served).await;
    let operator = base64url::encode(&served.alice.credential.id);
    let paul = base64url::encode(&first.credential.id);
    assert!(before.contains(&operator) && !before.contains(&paul));
    assert!(exclude.contains(&operator) && exclude.contains(&paul));
}

async fn state(desk: &Desk, key: KeyId) -> (KeyState, Option<String>) {
    let held = desk.held(&"paul".parse().unwrap()).await.unwrap();
    let held = held.into_iter().find(|held| held.key.id == key).unwrap();
    (held.key.state, held.state_reason)
}

async fn session(desk: &Desk, token: &str) -> SessionState {
    desk.session(token).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_lost_key_ends_with_the_sessions_that_it_opened_and_no_other_one() {
    let served = Served::start().await;
    let desk = &served.desk;
    let (main, _) = handed_out(&served).await;
    let (spare, _) = handed_out(&served).await;
    let by_main = main.sign_in(desk, SessionKind::Agent).await;
    let by_spare = spare.sign_in(desk, SessionKind::Agent).await;
    let lost = json!({"key_id": main.key, "reason": "lost"});
    let done = sealed(&served, "key.revoke", lost).await.result.unwrap();
    assert_eq!(
        (&done["sessions"], &done["last"]),
        (&json!(1), &json!(false))
    );
    let lost = (KeyState::Revoked, Some("lost".to_owned()));
    assert_eq!(state(desk, main.key).await, lost);
    assert_eq!(session(desk, &by_main).await, SessionState::Ended);
    assert_eq!(session(desk, &by_spare).await, SessionState::Active);

    // The last one says so.
    let damaged = json!({"key_id": spare.key, "reason": "damaged"});
    let done = sealed(&served, "key.revoke", damaged).await.result.unwrap();
    assert_eq!(done["last"], true);
    let odd = json!({"key_id": spare.key, "reason": "because"});
    let refused = asked(&served, "key.revoke", odd).await;
    assert_eq!(refused.err(), Some(DeskError::Malformed("params.reason")));
}

#[tokio::test]
async fn a_session_that_came_with_a_registration_ends_with_its_key() {
    let served = Served::start().await;
    let desk = &served.desk;
    let manon = served
        .place
        .invite(desk, &served.alice, "manon", "manager")
        .await;
    assert_eq!(session(desk, &manon.token).await, SessionState::Active);
    let lost = json!({"key_id": manon.key, "reason": "lost"});
    sealed(&served, "key.revoke", lost).await;
    assert_eq!(session(desk, &manon.token).await, SessionState::Ended);
}

#[tokio::test]
async fn a_replaced_key_counts_until_its_successor_does() {
    let served = Served::start().await;
    let desk = &served.desk;
    let (old, _) = handed_out(&served).await;
    old.sign_in(desk, SessionKind::Agent).await;
    let (new, _) = handed_out_for(&served, Some(old.key)).await;
    assert_eq!(live(desk).await, [old.key], "nobody is locked out");
    new.sign_in(desk, SessionKind::Agent).await;
    assert_eq!(live(desk).await, [new.key]);
    let replaced = (KeyState::Revoked, Some("replaced".to_owned()));
    assert_eq!(state(desk, old.key).await, replaced);
    // Somebody else's key is nobody's to replace.
    let person = json!({"id": "paul", "first_use": true, "replaces": served.alice.key});
    let refused = asked(&served, "key.enroll", json!({ "person": person })).await;
    assert!(
        matches!(refused, Err(DeskError::Malformed(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_enrolment_asked_for_over_the_network_replaces_a_key() {
    let served = Served::start().await;
    let desk = &served.desk;
    let (old, _) = handed_out(&served).await;
    let by_old = old.sign_in(desk, SessionKind::Agent).await;
    let token = &served.alice.token;
    let ask = async |person: &Value| {
        let body = Some(json!({ "person": person }));
        served.ask(token, "POST", "/v1/enrolments", body).await
    };
    let mut person = json!({"id": "paul", "first_use": true, "identity_document": "passport", "replaces": old.key});
    let asked = ask(&person).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let asked = asked.json();
    // The key that ends is in what is sealed, and nothing that nobody said is.
    assert_eq!(asked["action"]["params"], json!({ "person": person }));
    assert_eq!(asked["action"]["target"]["display"], "Paul");
    let sealed = served.approve(&served.alice, &asked).await.json();
    let secret = sealed["result"]["invitation"].as_str().unwrap();
    let (new, _) = registered(&served, secret).await;
    assert_eq!(live(desk).await, [old.key], "nobody is locked out");
    assert_eq!(session(desk, &by_old).await, SessionState::Active);
    new.sign_in(desk, SessionKind::Agent).await;
    assert_eq!(live(desk).await, [new.key]);
    assert_eq!(session(desk, &by_old).await, SessionState::Ended);
    let log = log(desk).await;
    assert_eq!(count(&log, "key.revoked"), 1);
    let first_used = log.iter().position(|it| it.kind() == "key.first-used");
    let revoked = log.iter().find(|it| it.kind() == "key.revoked").unwrap();
    assert_eq!(revoked.data()["reason"], "replaced");
    assert!(first_used.is_some(), "{log:?}");

    // Neither what is over, nor what is another's, nor what is no key.
    let before = log.len();
    for odd in [
        json!(old.key),
        json!(served.alice.key),
        json!("the old one"),
    ] {
        person["replaces"] = odd;
        problem(&ask(&person).await, 400, "malformed");
    }
    assert_eq!(self::log(desk).await.len(), before, "nothing was opened");
}

#[tokio::test]
async fn an_enrolment_asked_for_over_the_network_says_all_that_one_can_say() {
    let served = Served::start().await;
    let digest = base64url::encode(sceau_proof::log::entry::sha256(b"a tab's"));
    let whole = json!({
        "person": {
            "id": "paul", "display": "Paul", "roles": ["manager"], "organisation": "73282932000074",
            "accounts": [{"service": "portal", "id": "17"}], "identity_document": "passport", "first_use": true,
        },
        "handover": digest,
    });
    let token = &served.alice.token;
    let asked = served
        .ask(token, "POST", "/v1/enrolments", Some(whole.clone()))
        .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.json()["action"]["params"], whole);
    // For that secret alone: whoever seals it, and asks, is shown no invitation.
    let sealed = served.approve(&served.alice, &asked.json()).await.json();
    assert_eq!(sealed["state"], "executed");
    assert_eq!(sealed["result"].get("invitation"), None, "{sealed}");
}

#[tokio::test]
async fn whoever_left_comes_back_by_a_new_enrolment_alone() {
    let served = Served::start().await;
    let desk = &served.desk;
    let (main, _) = handed_out(&served).await;
    let token = main.sign_in(desk, SessionKind::Agent).await;
    let (spare, _) = handed_out(&served).await;
    let leaver = json!({"person": "paul", "leaves": true});
    sealed(&served, "person.suspend", leaver).await;
    assert_eq!(session(desk, &token).await, SessionState::Suspended);
    let left = (KeyState::Revoked, Some("left".to_owned()));
    assert_eq!(state(desk, main.key).await, left);
    assert_eq!(state(desk, spare.key).await, left);
    sealed(&served, "person.restore", json!({"person": "paul"})).await;
    let paul = desk.person(&main.id).await.unwrap().unwrap();
    assert_eq!(paul.state, PersonState::Inert);
    let refused = desk.open_session(main.id.clone(), SessionKind::Agent).await;
    assert_eq!(refused.err(), Some(DeskError::UnknownPerson));
}

#[tokio::test]
async fn whoever_looks_after_keys_is_told_which_ones_of_a_model_are_somebodys() {
    let served = Served::start().await;
    let desk = &served.desk;
    let manon = served
        .place
        .invite(desk, &served.alice, "manon", "manager")
        .await;
    served.place.clock.shift(time::Duration::SECOND);
    let (waiting, _) = handed_out(&served).await;
    let (lost, _) = handed_out(&served).await;
    sealed(
        &served,
        "key.revoke",
        json!({"key_id": lost.key, "reason": "lost"}),
    )
    .await;
    let held = desk.held(&waiting.id).await.unwrap();
    let sceau_server::key::Credential::Fido2 { aaguid, .. } = &held[0].key.credential else {
        panic!("a FIDO2 key");
    };
    let path = format!("/v1/keys?aaguid={aaguid}");
    let told = served.ask(&served.alice.token, "GET", &path, None).await;
    assert_eq!(told.status, 200, "{told:?}");
    let told = told.json();
    assert_eq!(told["whole"], true);
    let named = |owner: &Owner| {
        let id = json!(base64url::encode(&owner.credential.id));
        told["credentials"].as_array().unwrap().contains(&id)
    };
    assert!(named(&waiting) && named(&manon) && named(&served.alice));
    assert!(!named(&lost), "whoever has it may erase it");
    let some = desk.held_of_model(aaguid, 1).await.unwrap();
    assert!(
        some.len() == 1 && some[0] == waiting.credential.id,
        "the newest first"
    );

    let none = served
        .ask(&served.alice.token, "GET", "/v1/keys?aaguid=x", None)
        .await;
    assert_eq!(none.json(), json!({"credentials": [], "whole": true}));
    let others = served.ask(&manon.token, "GET", &path, None).await;
    problem(&others, 403, "forbidden");
}

#[tokio::test]
async fn of_more_than_a_thousand_keys_of_a_model_it_is_said_that_not_all_are_named() {
    let served = Served::start().await;
    let desk = &served.desk;
    let held = desk.held(&served.alice.id).await.unwrap();
    let sceau_server::key::Credential::Fido2 { aaguid, .. } = &held[0].key.credential else {
        panic!("a FIDO2 key");
    };
    let path = format!("/v1/keys?aaguid={aaguid}");
    let before = served.ask(&served.alice.token, "GET", &path, None).await;
    let before = before.json()["credentials"].as_array().unwrap().len();
    sqlx::any::install_default_drivers();
    let mut store = sqlx::AnyConnection::connect(&served.place.url)
        .await
        .unwrap();
    sqlx::raw_sql(include_str!("a-thousand-keys.sql"))
        .execute(&mut store)
        .await
        .unwrap();
    let own = json!(base64url::encode(&served.alice.credential.id));
    // The newest are named: whoever relied on them alone would erase Alice's. (Which of two of one moment is newer is not said.)
    let steps = [
        (0, false, Some(false)),
        (before - 1, false, None),
        (1, true, Some(true)),
    ];
    for (removed, whole, has_own) in steps {
        sqlx::query(
            "DELETE FROM enrolled_key WHERE id IN (SELECT id FROM enrolled_key WHERE person = 'stock' LIMIT $1)",
        )
        .bind(i64::try_from(removed).unwrap())
        .execute(&mut store)
        .await
        .unwrap();
        let told = served.ask(&served.alice.token, "GET", &path, None).await;
        assert_eq!(told.status, 200, "{told:?}");
        let told = told.json();
        assert_eq!(told["whole"], whole);
        let named = told["credentials"].as_array().unwrap();
        assert_eq!(named.len(), 1000);
        assert!(has_own.is_none_or(|expected| named.contains(&own) == expected));
    }
}

/// The tests' policy, with the shipped rule of two keys, and a role that wants them.
pub(crate) fn of_two_keys() -> Policy {
    let shipped = include_str!("../../policy/sceau.cedar");
    let from = shipped.find("@id(\"both-keys-first\")").unwrap();
    let rule = shipped[from..].split_inclusive(';').next().unwrap();
    let roles = "[role.administrator]\nrank = 30\n[role.manager]\nrank = 10\nkeys = 2\n";
    let sources = [
        Source::new("actions.cedarschema", SCHEMA),
        Source::new("test.cedar", &format!("{POLICY}{rule}")),
        Source::new("roles.toml", roles),
    ];
    Policy::parse(&sources).unwrap()
}

/// The page at which Paul takes the seat, for whoever has this cookie of `alice`'s.
async fn at_the_desk(served: &Served, cookie: &str) -> String {
    let person = json!({"id": "paul", "display": "Paul", "roles": ["manager"], "identity_document": "passport"});
    let digest = sceau_proof::log::entry::sha256(b"a tab's");
    let digest = base64url::encode(digest);
    let wanted = json!({"person": person, "key": "main", "handover": digest}).to_string();
    let ask = Ask::new("POST", "/desk").header("Cookie", cookie);
    let asked = served.send(ask.header("Origin", HERE).json(&wanted)).await;
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let record = served.desk.action(id.parse().unwrap()).await.unwrap();
    let sealed = served.alice.approve(&served.desk, &record.unwrap()).await;
    assert_eq!(sealed.unwrap().state.as_str(), "executed");
    format!("/desk/{id}")
}

#[tokio::test]
async fn a_role_of_two_keys_begins_with_both_and_goes_on_with_either() {
    let served = Served::with(|place| place.policy = of_two_keys()).await;
    let desk = &served.desk;
    let alice = signed_in(&served, &served.alice).await;
    let page = async || alice.page("/console/persons/paul").await.text();
    let seat = at_the_desk(&served, &alice.cookie).await;
    let first = alice.page(&seat).await.text();
    assert!(first.contains("once both are enrolled"), "{first}");
    let (main, _) = handed_out(&served).await;
    let second = alice.page(&seat).await.text();
    assert!(!second.contains("once both are enrolled"), "{second}");
    let paul = desk.person(&main.id).await.unwrap().unwrap();
    assert_eq!(desk.keys_wanted(&paul.roles), 2);
    let early = desk.open_session(main.id.clone(), SessionKind::Agent).await;
    assert_eq!(early.err(), Some(DeskError::Forbidden));
    assert!(page().await.contains("Hand out what is missing"));

    let (spare, _) = handed_out(&served).await;
    assert!(
        page()
            .await
            .contains("once the person has signed in with it")
    );
    let by_main = main.sign_in(desk, SessionKind::Agent).await;
    let list = alice.page("/console/persons").await.text();
    assert!(list.contains("1 of 2"), "{list}");
    spare.sign_in(desk, SessionKind::Agent).await;
    let page = page().await;
    assert!(!page.contains("roles want 2 keys"), "{page}");

    // One is lost: the other goes on, and whoever looks is told that one is missing.
    let lost = json!({"key_id": main.key, "reason": "lost"});
    sealed(&served, "key.revoke", lost).await;
    assert_eq!(session(desk, &by_main).await, SessionState::Ended);
    spare.sign_in(desk, SessionKind::Agent).await;
    let wanted = spare.ask(desk, "account.create").await.unwrap();
    let done = spare.approve(desk, &wanted).await.unwrap();
    assert_eq!(done.state.as_str(), "approved");
    let refused = main
        .approve(desk, &main.ask(desk, "account.create").await.unwrap())
        .await;
    assert_eq!(refused.err(), Some(DeskError::NotVerified));
    let list = alice.page("/console/persons").await.text();
    assert!(list.contains("1 of 2"), "{list}");
}

#[test]
fn how_many_keys_a_role_wants_is_one_or_two() {
    let with = |keys: &str| {
        let roles = format!("[role.administrator]\nrank = 30\n[role.manager]\nrank = 10\n{keys}");
        Policy::parse(&[
            Source::new("actions.cedarschema", SCHEMA),
            Source::new("test.cedar", POLICY),
            Source::new("roles.toml", &roles),
        ])
    };
    assert!(with("").is_ok() && with("keys = 1\n").is_ok() && with("keys = 2\n").is_ok());
    for odd in ["keys = 0\n", "keys = 3\n"] {
        let refused = with(odd).unwrap_err();
        assert!(
            refused.to_string().contains("role manager: keys"),
            "{refused}"
        );
    }
}
