//! Cards by their issuer's word alone: its lists of revoked certificates, and where they come from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sceau_proof::attestation::trust::{Anchor, Binding, Sources};
use sceau_proof::certificate::Certificate;
use time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Enrolled, House, NEVER, now, shown};
use crate::card::{Authority, Card};
use crate::fixture::{AGENT, Place};
use crate::wire::problem;

#[tokio::test]
async fn a_card_by_its_issuer_seals_only_where_a_rule_allows_it() {
    let house = House::start().await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let carl = house.enrol("carl", "manager", card).await;
    let action = house.wanted("account.create", "carl").await;
    let answer = house.seal(&carl, &action).await;
    problem(&answer, 403, "not-an-approver");
    assert_eq!(answer.json()["reason"], "key-not-attested");
    // Their agent is not offered it for that action, and is for the other.
    let person = "carl".parse().unwrap();
    let offered = async |kind: &str| {
        let action = house.wanted(kind, "carl").await;
        let record = house.served.record(&action).await;
        let keys = house.served.desk.keys_for(&person, &record).await;
        keys.unwrap().len()
    };
    assert_eq!(offered("account.create").await, 0);
    assert_eq!(offered("note.write").await, 1);
    let action = house.wanted("note.write", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
    let id = action["action"]["id"].as_str().unwrap().parse().unwrap();
    let bundle = house.served.desk.evidence(id).await.unwrap();
    let registration = &bundle.approvals[0].key["registration"];
    assert!(registration["certificate"].is_string() && registration.get("attestation").is_none());
    let log = bundle.to_json().unwrap();
    let report = sceau_proof::evidence::check(
        &log,
        &sceau_proof::evidence::Trust {
            log: &Place::log_vkey(),
            witnesses: &[],
            sources: Sources {
                anchors: Some(&[Anchor {
                    certificate: Certificate::from_pem(house.administration.pem.as_bytes())
                        .unwrap()
                        .remove(0),
                    name: "AC".to_owned(),
                    binding: Binding::Any,
                }]),
                metadata: None,
            },
            at: None,
        },
    );
    assert!(report.accepted(), "{:#?}", report.checks());
    // The holder's name is in the certificate, which the bundle shows, and in no entry of the log.
    for entry in &bundle.log.entries {
        assert!(!String::from_utf8_lossy(&entry.leaf).contains("Camille"));
    }
}

#[tokio::test]
async fn rejects_a_card_of_another_issuer() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    for (name, reason) in [
        ("AC Autre", "unknown-root"),
        ("AC Cartes", "chain-signature-invalid"),
    ] {
        let card = Card::issued(&Authority::root(name), 1, NEVER);
        let response = shown(&card, &opened.challenge, AGENT);
        assert_eq!(house.refused(&opened, response).await, reason);
    }
}

#[tokio::test]
async fn rejects_a_revoked_card() {
    let house = House::start().await;
    house.revoke(&[0x1234], now());
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response).await,
        "certificate-revoked"
    );
}

#[tokio::test]
async fn rejects_a_card_when_the_list_is_too_old() {
    let house = House::start().await;
    house.served.place.clock.shift(Duration::hours(25));
    let alice = house
        .served
        .alice
        .sign_in(
            &house.served.desk,
            sceau_server::session::SessionKind::Agent,
        )
        .await;
    let mut house = house;
    house.served.alice.token = alice;
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-not-fresh"
    );
    house.revoke(&[], now() + Duration::hours(25));
    assert_eq!(house.register(&opened, response).await.status, 201);
}

#[tokio::test]
async fn rejects_a_card_when_there_is_no_list() {
    let house = House::start().await;
    std::fs::remove_file(house.folder.path().join("cards.crl")).unwrap();
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(house.refused(&opened, response).await, "crl-missing");
}

#[tokio::test]
async fn a_card_that_is_revoked_after_enrolment_approves_nothing_more() {
    let house = House::start().await;
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, NEVER),
        )
        .await;
    let action = house.wanted("note.write", "carl").await;
    house.revoke(&[0x1234], now());
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "certificate-revoked");
}

#[tokio::test]
async fn a_card_whose_list_grows_old_approves_nothing_until_there_is_a_new_one() {
    let house = House::with("", |crl| format!("crl = [{crl:?}]\ncrl_max_age = \"10m\"")).await;
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, NEVER),
        )
        .await;
    house.served.place.clock.shift(Duration::minutes(11));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-not-fresh");
    house.revoke(&[], now() + Duration::minutes(11));
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}

#[tokio::test]
async fn a_card_that_expires_approves_nothing_more() {
    let house = House::start().await;
    let until = now() + Duration::minutes(10);
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, until),
        )
        .await;
    house.served.place.clock.shift(Duration::minutes(11));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "certificate-expired");
}

/// Serves one body at `http://…/cards.crl`; counts how often it is asked.
async fn list_server(body: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (
        listener.local_addr().unwrap(),
        Arc::new(AtomicUsize::new(0)),
    );
    let count = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    (address, asked, serving)
}

#[tokio::test]
async fn a_list_at_an_address_is_kept_until_it_is_too_old() {
    let address = std::cell::RefCell::new(None);
    let holder = tempfile::tempdir().unwrap();
    let place = holder.path().join("list.crl");
    // The list has to be signed by the house's own administration, whose list lies in its folder: it is copied to the server afterwards.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let house = House::with("", |crl| {
        std::fs::copy(crl, &place).unwrap();
        address.replace(Some(port));
        format!("crl = [\"http://127.0.0.1:{port}/cards.crl\"]\ncrl_max_age = \"30m\"")
    })
    .await;
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-missing",
        "nobody serves it"
    );

    let (served_at, asked, serving) = list_server(std::fs::read(&place).unwrap()).await;
    let forward = tokio::spawn(forward(port, served_at));
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-missing",
        "not asked again so soon"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    house.served.place.clock.shift(Duration::minutes(9));
    house.served.place.clock.shift(Duration::seconds(59));
    assert_eq!(house.refused(&opened, response).await, "crl-missing");
    house.served.place.clock.shift(Duration::seconds(1));
    let opened = house.opened("dana", "manager").await;
    let carl = {
        let response = shown(&card, &opened.challenge, AGENT);
        let answer = house.register(&opened, response).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        Enrolled {
            card,
            key: answer["key_id"].as_str().unwrap().to_owned(),
            token: answer["session"]["token"].as_str().unwrap().to_owned(),
        }
    };
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    forward.abort();
    serving.abort();
    house.served.place.clock.shift(Duration::minutes(15));
    let action = house.wanted("note.write", "dana").await;
    assert_eq!(
        house.seal(&carl, &action).await.status,
        200,
        "kept, and fresh still"
    );
    house.served.place.clock.shift(Duration::minutes(10));
    let action = house.wanted("note.write", "dana").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-not-fresh");
}

/// Listens on a port that was told to somebody before anybody served there.
async fn forward(port: u16, to: SocketAddr) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
