//! Keys that a help desk hands out: they seal their person's first sign-in, which makes them live, and nothing before. And one authenticator is one
//! person's.

use sceau_proof::action::Action;
use sceau_proof::base64url;
use sceau_server::action::{ActionRecord, NewAction, Target};
use sceau_server::desk::{Desk, DeskError, RegistrationClaim};
use sceau_server::id::KeyId;
use sceau_server::key::KeyState;
use sceau_server::session::SessionKind;
use serde_json::json;
use zeroize::Zeroizing;

use crate::api::Served;
use crate::authenticator::Credential;
use crate::fixture::{AGENT, Owner, RP_ID};

/// `alice` invites `paul`, whose key will wait.
async fn invited(served: &Served) -> (ActionRecord, Zeroizing<String>) {
    let desk = &served.desk;
    let person = json!({"person": {"id": "paul", "display": "Paul", "roles": ["manager"], "first_use": true, "identity_document": "passport"}});
    let asked = NewAction {
        kind: "key.enroll".to_owned(),
        service: "sceau".parse().unwrap(),
        requester: served.alice.id.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: "paul".to_owned(),
            display: "Paul".to_owned(),
        },
        params: person.as_object().unwrap().clone(),
        request: None,
        words: None,
    };
    let caller = served.alice.caller(desk).await;
    let record = desk.open_action(asked, caller).await.unwrap();
    served.alice.approve(desk, &record).await.unwrap();
    let (_, secret, _) = desk.reveal_invitation(record.id).await.unwrap().unwrap();
    (record, secret)
}

/// Paul's new key, and what its authenticator had to be asked not to hold.
async fn handed_out(served: &Served) -> (Owner, Vec<String>) {
    let (_, secret) = invited(served).await;
    let opened = served.desk.open_enrolment(&secret).await.unwrap();
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
    let registered = served.desk.register(opened.id, &secret, claim).await;
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
