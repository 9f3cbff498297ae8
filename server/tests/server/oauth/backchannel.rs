//! By polling (CIBA).

use sceau_server::desk::RefusalReason;
use serde_json::json;
use time::Duration;

use super::{CIBA, OTHER, PORTAL, bring, details, post, push, refused, waiting};
use crate::api::Served;
use crate::wire::Answer;

async fn ask_behind(served: &Served, more: &[(&str, &str)]) -> Answer {
    let details = details("account.create", "alice");
    let mut pairs = vec![
        ("authorization_details", details.as_str()),
        ("login_hint", "alice"),
    ];
    pairs.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    pairs.extend(more);
    post(served, PORTAL, "/oauth/backchannel", &pairs).await
}

pub(super) async fn handle(served: &Served, more: &[(&str, &str)]) -> String {
    let answer = ask_behind(served, more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["interval"], 5);
    answer.json()["auth_req_id"].as_str().unwrap().to_owned()
}

async fn poll(served: &Served, who: usize, handle: &str) -> Answer {
    let pairs = [("grant_type", CIBA), ("auth_req_id", handle)];
    post(served, who, "/oauth/token", &pairs).await
}

#[tokio::test]
async fn a_back_end_polls_for_its_permit() {
    let served = Served::start().await;
    let asked = handle(
        &served,
        &[("binding_message", "4711"), ("acr_values", "eidas3")],
    )
    .await;
    let record = waiting(&served).await;
    assert!(record.document.contains("4711"), "{}", record.document);
    refused(
        &poll(&served, PORTAL, &asked).await,
        400,
        "authorization_pending",
    );
    refused(&poll(&served, OTHER, &asked).await, 400, "invalid_grant");
    refused(&poll(&served, PORTAL, &asked).await, 400, "slow_down");
    served.alice.approve(&served.desk, &record).await.unwrap();
    // Ten seconds now, and fifteen for who hurries still.
    served.place.clock.shift(Duration::seconds(6));
    refused(&poll(&served, PORTAL, &asked).await, 400, "slow_down");
    served.place.clock.shift(Duration::seconds(15));
    let granted = poll(&served, PORTAL, &asked).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(
        granted.json()["authorization_details"][0]["action_id"],
        json!(record.id)
    );
    served.place.clock.shift(Duration::seconds(15));
    refused(&poll(&served, PORTAL, &asked).await, 400, "invalid_grant");
    refused(&poll(&served, PORTAL, "AAAA").await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_back_end_is_told_no_and_too_late() {
    let served = Served::start().await;
    let asked = handle(&served, &[]).await;
    let record = waiting(&served).await;
    let alice = served.alice.id.clone();
    served
        .desk
        .refuse(record.id, alice, RefusalReason::Mistake, None)
        .await
        .unwrap();
    let no = poll(&served, PORTAL, &asked).await;
    refused(&no, 400, "access_denied");
    assert_eq!(no.json()["error_description"], "mistake");

    // The service's patience is over before the action's time: then nobody is asked any more.
    let asked = handle(&served, &[("requested_expiry", "20")]).await;
    let record = waiting(&served).await;
    served.place.clock.shift(Duration::seconds(21));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");
    served.place.clock.shift(Duration::seconds(6));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");
    let ended = served.desk.action(record.id).await.unwrap().unwrap();
    assert_eq!(ended.refusal.unwrap().reason, "request-expired");

    let asked = handle(&served, &[]).await;
    served.place.clock.shift(Duration::minutes(31));
    refused(&poll(&served, PORTAL, &asked).await, 400, "expired_token");

    let unknown = details("account.create", "nobody");
    let denied = details("nothing.known", "alice");
    let long = "x".repeat(65);
    for (more, status, error) in [
        (vec![("login_hint", "bob")], 400, "invalid_request"),
        (vec![("id_token_hint", "x")], 400, "invalid_request"),
        (vec![("requested_expiry", "0")], 400, "invalid_request"),
        (
            vec![("binding_message", long.as_str())],
            400,
            "invalid_binding_message",
        ),
        (
            vec![("binding_message", "a\nb")],
            400,
            "invalid_binding_message",
        ),
        (
            vec![
                ("authorization_details", unknown.as_str()),
                ("login_hint", "nobody"),
            ],
            400,
            "unknown_user_id",
        ),
        (
            vec![("authorization_details", denied.as_str())],
            403,
            "access_denied",
        ),
    ] {
        refused(&ask_behind(&served, &more).await, status, error);
    }
    // A handle of one way is of no use in the other.
    let asked = handle(&served, &[]).await;
    let uri = format!("urn:ietf:params:oauth:request_uri:{asked}");
    assert_eq!(bring(&served, "portal", &uri).await.status, 400);
    let request_uri = push(&served, "account.create").await;
    let pushed = request_uri.rsplit(':').next().unwrap();
    refused(&poll(&served, PORTAL, pushed).await, 400, "invalid_grant");
}
