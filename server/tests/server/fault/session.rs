//! Steps of sessions, and of signals about them.

use std::sync::atomic::Ordering;

use sceau_proof::assertion::AssertionResponse;
use sceau_proof::presence::Beat;
use sceau_server::action::ActionRecord;
use sceau_server::desk::{
    Asked, AskedByService, BeatAnswer, Desk, DeskError, Found, InboxEvent, NewLogin, Polled,
    ProofClaim, Pushed, Reader, Returned, StreamChange,
};
use sceau_server::id::ServiceId;
use sceau_server::port::Clock as _;
use sceau_server::presence::{Goodbye, Why};
use sceau_server::provider::level::Grade;
use sceau_server::reading::Budget;
use sceau_server::session::{Session, SessionKind};
use sceau_server::signal::{Delivery, Status};
use sceau_server::store::oauth::Way;
use serde_json::json;
use time::Duration;
use zeroize::Zeroizing;

use super::{Saboteur, founded, start, store};
use crate::conformance::{count, log};
use crate::fixture::{AGENT, Place};

/// Streams of signals, kept, opened, changed, fetched from, closed.
async fn signals(it: &mut Saboteur, place: &Place, desk: &Desk) {
    let (portal, other): (ServiceId, ServiceId) =
        ("portal".parse().unwrap(), "other".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "key = \"{}\"\n[[receiver]]\nservice = \"portal\"\n[[receiver]]\nservice = \"other\"\nstanding = false",
        folder.path().join("signal.pem").display()
    );
    let settings = toml::from_str(&text).unwrap();
    let signals = sceau_server::signal::Signals::start(desk.clone(), &settings)
        .await
        .unwrap();
    let opened = it
        .step("stream opened", async || {
            desk.open_signal_stream(other.clone(), Delivery::Poll, Vec::new(), None)
                .await
        })
        .await;
    let change = StreamChange {
        status: Some((Status::Disabled, None)),
        ..StreamChange::default()
    };
    it.step("stream changed", async || {
        desk.change_signal_stream(other.clone(), change.clone())
            .await
    })
    .await;
    let alice = sceau_server::lineage::Node::Person("alice".parse().unwrap());
    for out in [true, false, true] {
        it.step("subject", async || {
            desk.exclude_subject(other.clone(), alice.clone(), out)
                .await
        })
        .await;
    }
    for _ in 0..2 {
        place.clock.shift(Duration::seconds(11));
        it.step("verification", async || {
            desk.verify_signal_stream(portal.clone(), Some("x".to_owned()))
                .await
        })
        .await;
    }
    let stream = desk.signal_stream(&portal).await.unwrap().unwrap();
    let poll = async |ack: Vec<String>| {
        let asked = sceau_server::signal::Poll {
            return_immediately: true,
            ack,
            ..Default::default()
        };
        signals.poll(&stream, asked).await
    };
    let names: Vec<String> = poll(Vec::new()).await.unwrap().sets.into_keys().collect();
    assert!(names.len() > 1, "{names:?}");
    for ack in [&names[1..2], &names[..]] {
        it.step("taken", async || poll(ack.to_vec()).await).await;
    }
    it.step("stream closed", async || {
        desk.close_signal_stream(other.clone()).await
    })
    .await;
    assert_ne!(opened.id, stream.id);
}

/// Counted reading, sign-ins for the federation, keys that have to stay.
pub(super) async fn sessions(place: &mut Place) -> Saboteur {
    place.presence =
        Some(toml::from_str("interval = \"15s\"\naway = \"1m\"\ntouch = \"40s\"").unwrap());
    let mut it = store(place).await;
    let desk = start(&mut it, place, "a").await;
    let (alice, bob) = founded(&mut it, place, &desk).await;
    let agent = desk.session(&alice.token).await.unwrap().unwrap();
    let opened = desk
        .open_session(alice.id.clone(), SessionKind::Gate)
        .await
        .unwrap();
    it.step("sign-in at the gate", async || {
        alice.approve(&desk, &opened.action).await
    })
    .await;
    let gate = desk.session(&opened.token).await.unwrap().unwrap().id;

    // A proof, a delay, a goodbye, a proof too late.
    let asked = async |it: &mut Saboteur, agent: &Session| -> Asked {
        let mut inbox = it
            .step("asked for a proof", async || {
                desk.subscribe_session(agent).await
            })
            .await;
        loop {
            if let InboxEvent::Presence(asked) = inbox.next().await.unwrap() {
                return *asked;
            }
        }
    };
    let proof = |asked: &Asked| {
        let sessions = asked.sessions.iter().map(|id| id.0).collect();
        let beat = Beat::new(asked.nonce, asked.key.0, sessions).unwrap();
        let client_data_json = beat.client_data(AGENT);
        let counter = alice.credential.counter.fetch_add(1, Ordering::SeqCst);
        let (authenticator_data, signature) = alice.credential.sign(&client_data_json, 0, counter);
        ProofClaim {
            nonce: asked.nonce,
            answer: BeatAnswer::Assertion(AssertionResponse {
                client_data_json,
                authenticator_data,
                signature,
                credential_id: None,
            }),
        }
    };
    let first = asked(&mut it, &agent).await;
    it.step("proven", async || {
        desk.prove_presence(&agent, proof(&first)).await
    })
    .await;
    let pending = alice.ask(&desk, "account.create").await.unwrap();
    let second = asked(&mut it, &agent).await;
    it.step("delayed", async || {
        desk.delay_presence(&agent, second.nonce, pending.id).await
    })
    .await;
    it.step("gone", async || {
        desk.end_presence(&agent, alice.key, Goodbye::Locked).await
    })
    .await;
    it.step("pulled", async || {
        desk.end_presence(&agent, alice.key, Goodbye::Removed).await
    })
    .await;

    // Bob's key cannot say anything in silence.
    bob.sign_in(&desk, SessionKind::Gate).await;
    let other = desk.session(&bob.token).await.unwrap().unwrap();
    let third = asked(&mut it, &other).await;
    it.step("cannot prove", async || {
        desk.presence_unable(&other, third.nonce, Why::Refused)
            .await
    })
    .await;

    // Reading, by slices.
    let reader = || Reader {
        service: "portal".parse().unwrap(),
        person: alice.id.clone(),
        session: gate,
        budget: Budget {
            records: 100,
            window: Duration::minutes(15),
            roles: Default::default(),
            action: "records.read".to_owned(),
        },
    };
    let found = |identity: &str| {
        vec![Found {
            identity: identity.to_owned(),
            records: 1,
        }]
    };
    it.step("read", async || {
        desk.count_reading(reader(), found("1")).await
    })
    .await;

    // A sign-in at a service of the federation.
    let request = json!({"client_id": "federation", "redirect_uri": "https://federation.example/back", "state": null, "nonce": null,
        "scope": ["openid"], "wanted": [], "again": false, "silent": false, "max_age": null, "login_hint": null, "sp_id": null, "sp_name": null,
        "code_challenge": null, "sha256": sceau_proof::base64url::encode([7; 32])});
    let browser = Zeroizing::new("browser".to_owned());
    let asks = || NewLogin {
        browser: browser.clone(),
        request: serde_json::from_value(request.clone()).unwrap(),
        person: Some(alice.id.clone()),
        action: Some(alice.wants("account.create")),
    };
    let login = it
        .step("login asked", async || {
            desk.open_login(asks(), "portal".parse().unwrap()).await
        })
        .await;
    let record = desk.action(login.action.unwrap()).await.unwrap().unwrap();
    alice.approve(&desk, &record).await.unwrap();
    let hour = Duration::hours(1);
    let code = it
        .step("login sealed", async || {
            desk.sign_in(login.id, &browser, false, Grade::High, hour)
                .await
        })
        .await
        .code;
    let redeem = async || {
        desk.redeem(&code, "federation", "https://federation.example/back", None)
            .await
    };
    it.step("redeemed", redeem).await;
    let again = it.step_of(1, "redeemed again", redeem).await;
    assert!(again.is_err(), "a code serves once");
    it.step("browser forgotten", async || {
        desk.forget_browser(&browser).await
    })
    .await;

    // What a service asks for by OAuth, by redirect and by polling.
    let portal: ServiceId = "portal".parse().unwrap();
    let until = place.clock.now() + Duration::minutes(5);
    let shown = async || desk.take_assertion(&portal, "j-1", until).await;
    assert!(it.step("assertion taken", shown).await);
    assert!(!it.step("assertion replayed", shown).await);
    it.step("service's token", async || {
        desk.service_token(&portal).await
    })
    .await;
    let pushed = async |it: &mut Saboteur, way: &Way| -> (Zeroizing<String>, ActionRecord) {
        let asked = || AskedByService {
            action: alice.wants("account.create"),
            way: way.clone(),
            levels: Vec::new(),
            patience: None,
        };
        match it.step("pushed", async || desk.push(asked()).await).await {
            Pushed::Open { handle, record, .. } => (handle, record),
            Pushed::Denied(record) => panic!("{record:?}"),
        }
    };
    let verifier = "a-verifier-of-at-least-forty-three-characters";
    let back = "https://portal.example/back";
    let redirect = Way::Redirect {
        redirect_uri: back.to_owned(),
        state: None,
        code_challenge: sceau_proof::base64url::encode(sceau_proof::log::entry::sha256(
            verifier.as_bytes(),
        )),
        bound: None,
    };
    let (handle, record) = pushed(&mut it, &redirect).await;
    let begun = it
        .step("browser came", async || {
            desk.begin_authorization(&handle, &portal, "browser").await
        })
        .await;
    alice.approve(&desk, &record).await.unwrap();
    let returned = it
        .step("browser led back", async || {
            desk.return_browser(begun.id, "browser").await
        })
        .await;
    let Returned::Code(_, code) = returned else {
        panic!("{returned:?}")
    };
    let redeem = async || desk.redeem_code(&code, &portal, back, verifier, None).await;
    it.step("code redeemed", redeem).await;
    let again = it.step_of(1, "code redeemed again", redeem).await;
    assert!(again.is_err(), "a code serves once");
    let (handle, record) = pushed(&mut it, &Way::Backchannel).await;
    let poll = async || desk.poll(&handle, &portal, None).await;
    assert_eq!(it.step("polled", poll).await, Polled::Pending);
    assert_eq!(it.step("polled too fast", poll).await, Polled::SlowDown);
    alice.approve(&desk, &record).await.unwrap();
    place.clock.shift(Duration::seconds(11));
    let granted = it.step("polled for the permit", poll).await;
    assert!(matches!(granted, Polled::Granted(_)), "{granted:?}");

    // Too many: said once, also when saying it failed.
    let mut few = place.clone_for_another_desk();
    few.limits.asked = 1;
    let limited = few.desk("few").await.unwrap();
    let refused = it
        .step_of(1, "limited", async || {
            alice.ask(&limited, "account.create").await
        })
        .await;
    assert!(matches!(refused, Err(DeskError::Limited { .. })));
    assert_eq!(count(&log(&desk).await, "alert.limited"), 1);
    drop(limited);
    signals(&mut it, place, &desk).await;
    drop(desk);

    // Days later: what is kept for a time is forgotten.
    place.clock.shift(Duration::days(2));
    let desk = start(&mut it, place, "b").await;
    it.step("read later", async || {
        desk.count_reading(reader(), found("2")).await
    })
    .await;
    it.step("login later", async || {
        desk.open_login(asks(), "portal".parse().unwrap()).await
    })
    .await;
    let until = place.clock.now() + Duration::minutes(5);
    it.step("assertion later", async || {
        desk.take_assertion(&portal, "j-1", until).await
    })
    .await;
    it.step("service's token later", async || {
        desk.service_token(&portal).await
    })
    .await;
    it.step("pushed later", async || {
        desk.push(AskedByService {
            action: alice.wants("account.create"),
            way: Way::Backchannel,
            levels: Vec::new(),
            patience: None,
        })
        .await
    })
    .await;
    let entries = log(&desk).await;
    for kind in [
        "oauth.assertion-replayed",
        "oauth.code-replayed",
        "presence.lost",
        "presence.unable",
        "reading.slice",
        "provider.code-replayed",
    ] {
        assert!(count(&entries, kind) > 0, "{kind}");
    }
    it
}
