//! Approvals by cards that do not count.

use serde_json::json;
use time::Duration;

use super::{Enrolled, House};
use crate::card::{GOOD, Kind, Says};
use crate::fixture::{AGENT, URL};
use crate::wire::problem;

#[tokio::test]
async fn rejects_an_approval_by_another_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let other = Enrolled {
        card: house.maker.card(Kind::P256, GOOD),
        key: carl.key.clone(),
        token: carl.token.clone(),
    };
    problem(&house.seal(&other, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "signature-invalid");
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}

#[tokio::test]
async fn rejects_an_approval_from_another_origin() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    for origin in ["sceau-agent://evil.example", URL] {
        let answer = house
            .approve(&carl, &action, carl.answer(&action, origin))
            .await;
        problem(&answer, 422, "not-verified");
        assert_eq!(house.rejected(&action).await, "origin-mismatch");
    }
}

#[tokio::test]
async fn rejects_a_signature_that_was_made_for_another_action() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let first = house.wanted("account.create", "carl").await;
    let second = house.wanted("account.create", "carl").await;
    let answer = carl.answer(&first, AGENT);
    assert_eq!(
        house.approve(&carl, &first, answer.clone()).await.status,
        200
    );
    problem(
        &house.approve(&carl, &first, answer.clone()).await,
        409,
        "already-settled",
    );
    problem(
        &house.approve(&carl, &second, answer).await,
        422,
        "not-verified",
    );
    assert_eq!(house.rejected(&second).await, "signature-invalid");
}

#[tokio::test]
async fn rejects_an_answer_of_another_kind_of_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let record = house.served.record(&action).await;
    let assertion = house
        .served
        .alice
        .claim(&record)
        .response
        .to_value()
        .unwrap();
    problem(
        &house.approve(&carl, &action, assertion).await,
        422,
        "not-verified",
    );
    assert_eq!(house.rejected(&action).await, "key-kind");
    for response in [
        json!({"signature": "AA"}),
        json!({"signature": "AA", "origin": AGENT, "client_data_json": "AA"}),
        json!({"signature": "AA", "origin": "x".repeat(301)}),
    ] {
        problem(
            &house.approve(&carl, &action, response).await,
            400,
            "malformed",
        );
    }
}

#[tokio::test]
async fn rejects_an_approval_by_a_revoked_card_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let revoke = json!({"type": "key.revoke", "requester": "alice", "params": {"key_id": carl.key},
        "target": {"kind": "key", "id": carl.key, "display": "card"}});
    let served = &house.served;
    let asked = served
        .ask(&served.alice.token, "POST", "/v1/actions", Some(revoke))
        .await;
    let done = served.approve(&served.alice, &asked.json()).await;
    assert_eq!(done.json()["state"], "executed", "{done:?}");
    // Its session ended with it; by another session of Carl's it counts no more either.
    problem(&house.seal(&carl, &action).await, 401, "session-ended");
    let other = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let carl = Enrolled {
        token: other.token,
        ..carl
    };
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "key-revoked");
}

#[tokio::test]
async fn rejects_an_approval_that_comes_too_late() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    house.served.place.clock.shift(Duration::minutes(6));
    problem(&house.seal(&carl, &action).await, 410, "expired");
}

#[tokio::test]
async fn a_card_that_does_not_ask_each_time_seals_only_what_needs_a_touch() {
    let lines = "pin = [\"once\", \"always\"]";
    let house = House::with(lines, |crl| format!("crl = [{crl:?}]")).await;
    let card = house.maker.card(Kind::P256, Says { pin: 2, ..GOOD });
    let carl = house.enrol("carl", "manager", card).await;
    let action = house.wanted("account.create", "carl").await;
    let answer = house.seal(&carl, &action).await;
    problem(&answer, 403, "not-an-approver");
    assert_eq!(answer.json()["reason"], "key-without-pin-each-time");
    let action = house.wanted("note.touch", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}
