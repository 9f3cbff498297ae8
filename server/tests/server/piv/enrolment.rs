//! Registrations of cards that are refused, each for its reason.

use sceau_proof::base64url;
use serde_json::{Value, json};

use super::{House, shown};
use crate::api::Served;
use crate::card::{Authority, GOOD, Kind, Maker, Says};
use crate::fixture::{AGENT, URL};
use crate::wire::problem;

async fn refusal_of(says: Says) -> String {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, says);
    house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await
}

#[tokio::test]
async fn rejects_keys_that_sign_without_a_touch() {
    assert_eq!(
        refusal_of(Says { touch: 1, ..GOOD }).await,
        "touch-policy-never"
    );
}

#[tokio::test]
async fn rejects_keys_whose_touch_is_cached() {
    assert_eq!(
        refusal_of(Says { touch: 3, ..GOOD }).await,
        "touch-policy-cached"
    );
}

#[tokio::test]
async fn rejects_keys_that_never_ask_for_the_pin() {
    assert_eq!(
        refusal_of(Says { pin: 1, ..GOOD }).await,
        "pin-policy-never"
    );
}

#[tokio::test]
async fn rejects_keys_that_ask_for_the_pin_once() {
    assert_eq!(refusal_of(Says { pin: 2, ..GOOD }).await, "pin-policy-once");
}

#[tokio::test]
async fn rejects_keys_of_another_slot() {
    assert_eq!(refusal_of(Says { slot: "9a", ..GOOD }).await, "slot-not-9c");
}

#[tokio::test]
async fn rejects_rsa_keys_of_the_firmware_that_makes_them_weak() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let weak = Says {
        firmware: [4, 3, 1],
        ..GOOD
    };
    let response = |kind| shown(&house.maker.card(kind, weak), &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response(Kind::Rsa)).await,
        "weak-key-generation"
    );
    assert_eq!(
        house.register(&opened, response(Kind::P256)).await.status,
        201
    );
}

#[tokio::test]
async fn rejects_cards_of_an_unknown_maker_with_the_same_name() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let impostor = Maker::new("Test Cards Root").card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&impostor, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "chain-signature-invalid");
}

#[tokio::test]
async fn rejects_an_attestation_of_another_key_than_the_one_that_signs() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let (genuine, software) = (
        house.maker.card(Kind::P256, GOOD),
        house.maker.card(Kind::P256, GOOD),
    );
    let mut response = shown(&genuine, &opened.challenge, AGENT);
    response["signature"] = json!(base64url::encode(software.sign(&opened.challenge, AGENT)));
    assert_eq!(house.refused(&opened, response).await, "signature-invalid");
}

#[tokio::test]
async fn rejects_a_registration_from_another_origin() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    // A browser's origin is not a card's, though it is one of the server's.
    for origin in ["sceau-agent://evil.example", URL] {
        let reason = house
            .refused(&opened, shown(&card, &opened.challenge, origin))
            .await;
        assert_eq!(reason, "origin-mismatch");
    }
}

#[tokio::test]
async fn rejects_a_registration_for_another_challenge() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house.refused(&opened, shown(&card, &[7; 32], AGENT)).await;
    assert_eq!(reason, "signature-invalid");
}

#[tokio::test]
async fn rejects_a_card_that_shows_nothing() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let mut response = shown(
        &house.maker.card(Kind::P256, GOOD),
        &opened.challenge,
        AGENT,
    );
    response["attestation"] = Value::Null;
    assert_eq!(house.refused(&opened, response).await, "no-attestation");
}

#[tokio::test]
async fn rejects_a_card_that_is_enrolled_already() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let opened = house.opened("dana", "manager").await;
    let reason = house
        .refused(&opened, shown(&carl.card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "credential-known");
}

#[tokio::test]
async fn rejects_cards_where_none_is_configured() {
    let served = Served::with(|_| ()).await;
    let house = House {
        served,
        maker: Maker::new("Test Cards Root"),
        administration: Authority::root("AC Cartes"),
        folder: tempfile::tempdir().unwrap(),
    };
    let opened = house.opened("carl", "manager").await;
    assert_eq!(opened.answer["piv"], Value::Null);
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "cards-not-enrolled");
}

#[tokio::test]
async fn rejects_cards_that_are_not_on_the_list_of_serials() {
    let house = House::with("serials = [1]", |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "serial-not-listed");
}

#[tokio::test]
async fn rejects_old_firmware_and_other_editions_where_it_is_asked() {
    let lines = "minimum_firmware = \"5.8.0\"";
    let house = House::with(lines, |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(house.refused(&opened, response).await, "firmware-too-old");
    let house = House::with("edition = \"fips\"", |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response).await,
        "edition-not-certified"
    );
}

#[tokio::test]
async fn a_registration_that_is_not_of_its_form_is_malformed() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let good = shown(
        &house.maker.card(Kind::P256, GOOD),
        &opened.challenge,
        AGENT,
    );
    for (member, value) in [
        ("origin", Value::Null),
        ("origin", json!("x".repeat(301))),
        ("signature", Value::Null),
        ("signature", json!("+/==")),
        ("attestation", json!("!")),
        ("intermediates", json!(["!"])),
    ] {
        let mut response = good.clone();
        response[member] = value;
        problem(&house.register(&opened, response).await, 400, "malformed");
    }
    let mut junk = good.clone();
    junk["attestation"] = json!(base64url::encode(b"no certificate"));
    assert_eq!(house.refused(&opened, junk).await, "certificate-malformed");
    let mut many = good;
    many["intermediates"] = json!(vec![base64url::encode(b"x"); 9]);
    assert_eq!(house.refused(&opened, many).await, "chain-too-long");
}
