//! By redirect: what was pushed, the code, the handle.

use sceau_server::desk::RefusalReason;
use sceau_server::port::Clock as _;
use serde_json::json;
use time::Duration;

use super::{
    BACK, Browser, ISSUER, OTHER, PORTAL, VERIFIER, begun, bring, code, details, form, post, push,
    redeem, refused, waiting,
};
use crate::api::Served;
use crate::conformance::{count, log};
use crate::wire::Ask;

#[tokio::test]
async fn what_is_pushed_is_sealed_and_its_permit_given_once() {
    let served = Served::start().await;
    let described = served
        .send(Ask::new("GET", "/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(described.json()["issuer"], ISSUER);
    assert_eq!(
        described.json()["require_pushed_authorization_requests"],
        true
    );

    let (browser, page) = begun(&served, "account.create").await;
    let shown = browser.get(&page).await;
    assert!(shown.text().contains("Waiting for the key"), "{shown:?}");
    assert!(
        !shown.text().contains("Jean Dupont"),
        "nobody has signed in"
    );
    assert!(
        shown
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    let early = browser.get(&format!("{page}/continue")).await;
    assert_eq!(
        (early.status, early.header("location")),
        (303, page.as_str()),
        "nothing before the key"
    );
    let record = waiting(&served).await;
    assert!(record.document.contains("Create the account"));
    served.alice.approve(&served.desk, &record).await.unwrap();
    let back = browser.get(&format!("{page}/continue")).await;
    let code = back
        .header("location")
        .split(['=', '&'])
        .nth(1)
        .unwrap()
        .to_owned();
    let again = browser.get(&format!("{page}/continue")).await;
    assert_eq!(again.header("location"), page, "one code");

    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let granted = granted.json();
    assert_eq!(granted["token_type"], "Bearer");
    let detail = &granted["authorization_details"][0];
    assert_eq!(
        (&detail["type"], &detail["action"], &detail["requester"]),
        (
            &json!("sceau_action"),
            &json!("account.create"),
            &json!("alice")
        )
    );
    assert_eq!(detail["params"]["email"], "jd@ml.example");
    assert_eq!(detail["action_id"], json!(record.id));
    let permit = granted["access_token"].as_str().unwrap().to_owned();
    let ask = async |who: usize, consume: &str| {
        let pairs = [("token", permit.as_str()), ("consume", consume)];
        post(&served, who, "/oauth/introspect", &pairs).await.json()
    };
    assert_eq!(
        ask(OTHER, "true").await,
        json!({"active": false}),
        "for its service alone"
    );
    let active = ask(PORTAL, "false").await;
    assert_eq!(
        (&active["active"], &active["acr"], &active["sub"]),
        (&json!(true), &json!("eidas3"), &json!("alice"))
    );
    assert_eq!(
        active["auth_time"],
        served.place.clock.now().unix_timestamp()
    );
    assert_eq!(ask(PORTAL, "true").await["active"], true);
    assert_eq!(ask(PORTAL, "true").await, json!({"active": false}));
    let entries = log(&served.desk).await;
    for kind in [
        "oauth.requested",
        "oauth.begun",
        "oauth.code-issued",
        "oauth.redeemed",
        "permit.consumed",
    ] {
        assert_eq!(count(&entries, kind), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_code_shown_twice_ends_its_action() {
    let served = Served::start().await;
    let (action, code) = code(&served, "account.create").await;
    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await.json();
    let permit = granted["access_token"].as_str().unwrap();
    refused(
        &redeem(&served, PORTAL, &code, BACK, VERIFIER).await,
        400,
        "invalid_grant",
    );
    let now = post(&served, PORTAL, "/oauth/introspect", &[("token", permit)]).await;
    assert_eq!(
        now.json(),
        json!({"active": false}),
        "what it gave counts no more"
    );
    let record = served.desk.action(action).await.unwrap().unwrap();
    assert_eq!(record.refusal.unwrap().reason, "code-replayed");
    assert_eq!(count(&log(&served.desk).await, "oauth.code-replayed"), 1);
}

#[tokio::test]
async fn a_code_serves_whom_it_was_made_for() {
    let served = Served::start().await;
    let (_, code) = code(&served, "account.create").await;
    let wrong = "another-verifier-of-at-least-forty-three-characters";
    for (who, back, verifier) in [
        (OTHER, BACK, VERIFIER),
        (PORTAL, "https://portal.example/back/", VERIFIER),
        (PORTAL, "https://other.example/back", VERIFIER),
        (PORTAL, BACK, wrong),
        (PORTAL, BACK, "short"),
    ] {
        refused(
            &redeem(&served, who, &code, back, verifier).await,
            400,
            "invalid_grant",
        );
    }
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACK),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        400,
        "invalid_request",
    );
    let other = details("account.delete", "alice");
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("authorization_details", &other),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        400,
        "invalid_authorization_details",
    );
    // None of these took it.
    assert_eq!(
        redeem(&served, PORTAL, &code, BACK, VERIFIER).await.status,
        200
    );

    let (_, late) = self::code(&served, "account.create").await;
    served.place.clock.shift(Duration::seconds(61));
    refused(
        &redeem(&served, PORTAL, &late, BACK, VERIFIER).await,
        400,
        "invalid_grant",
    );
}

#[tokio::test]
async fn a_handle_is_brought_once_for_its_service_and_in_time() {
    let served = Served::start().await;
    let request_uri = push(&served, "account.create").await;
    // Nowhere is a browser redirected to for what is not as it was left.
    for (client, uri) in [
        ("other", request_uri.as_str()),
        ("portal", "urn:ietf:params:oauth:request_uri:AAAA"),
        ("portal", "https://evil.example/request"),
        ("nobody", request_uri.as_str()),
    ] {
        let answer = bring(&served, client, uri).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, ""),
            "{client} {uri}"
        );
    }
    // What stands beside the handle changes nothing: the action was written down when it was pushed.
    let query = form(&[
        ("client_id", "portal"),
        ("request_uri", &request_uri),
        ("redirect_uri", "https://evil.example/"),
        ("authorization_details", &details("account.delete", "alice")),
    ]);
    let came = served
        .send(Ask::new("GET", &format!("/oauth/authorize?{query}")))
        .await;
    assert_eq!(came.status, 303, "{came:?}");
    let record = waiting(&served).await;
    assert_eq!(record.kind, "account.create");
    assert_eq!(
        bring(&served, "portal", &request_uri).await.status,
        400,
        "a second time"
    );
    // Another browser has nothing of it.
    let page = came.header("location");
    let thief = Browser {
        served: &served,
        cookie: format!("__Host-sceau-oauth={}", "A".repeat(43)),
    };
    for path in [page.to_owned(), format!("{page}/continue")] {
        assert_eq!(thief.get(&path).await.status, 404, "{path}");
    }
    served
        .desk
        .refuse(
            record.id,
            served.alice.id.clone(),
            RefusalReason::NotMe,
            None,
        )
        .await
        .unwrap();
    let cookie = came
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let owner = Browser {
        served: &served,
        cookie,
    };
    let back = owner.get(&format!("{page}/continue")).await;
    assert!(
        back.header("location").starts_with(&format!(
            "{BACK}?error=access_denied&error_description=not-me&state="
        )),
        "{back:?}"
    );

    let late = push(&served, "account.create").await;
    served.place.clock.shift(Duration::seconds(91));
    assert_eq!(
        bring(&served, "portal", &late).await.status,
        400,
        "too late"
    );
}
