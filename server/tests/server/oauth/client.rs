//! Who speaks for a service, and what cannot be asked.

use sceau_proof::base64url;
use sceau_server::port::Clock as _;
use serde_json::json;
use time::Duration;

use super::{
    BACK, ISSUER, OTHER, PORTAL, VERIFIER, assertion, claimed, code, details, form, pairs, post,
    pushed, random, redeem, refused, said,
};
use crate::api::{SERVICE, Served, wanted};
use crate::conformance::{count, log};
use crate::wire::Ask;

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name_and_nobody_is_prompted() {
    let served = Served::start().await;
    let good = pushed(&details("account.create", "alice"));
    let with = |name: &'static str, value: &str| {
        let mut other = good.clone();
        other.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            other.push((name, value.to_owned()));
        }
        other
    };
    let two = {
        let one = details("account.create", "alice");
        let inner = one.trim_matches(['[', ']']).to_owned();
        format!("[{inner},{inner}]")
    };
    for (asked, error) in [
        (with("code_challenge", ""), "invalid_request"),
        (with("code_challenge_method", "plain"), "invalid_request"),
        (with("code_challenge_method", ""), "invalid_request"),
        (with("code_challenge", "abc"), "invalid_request"),
        (
            with("redirect_uri", "https://portal.example/back?x=1"),
            "invalid_request",
        ),
        (
            with("redirect_uri", "https://portal.example.evil.example/back"),
            "invalid_request",
        ),
        (with("redirect_uri", ""), "invalid_request"),
        (with("response_type", "token"), "unsupported_response_type"),
        (with("response_type", ""), "invalid_request"),
        (with("response_mode", "fragment"), "invalid_request"),
        (
            with("request_uri", "urn:ietf:params:oauth:request_uri:x"),
            "request_not_supported",
        ),
        (with("scope", "admin"), "invalid_scope"),
        (with("authorization_details", ""), "invalid_request"),
        (
            with("authorization_details", &two),
            "invalid_authorization_details",
        ),
        (
            with(
                "authorization_details",
                &details("account.create", "nobody"),
            ),
            "invalid_authorization_details",
        ),
        (
            with("authorization_details", &details("Account Create", "alice")),
            "invalid_authorization_details",
        ),
        (
            with("authorization_details", &details("nothing.known", "alice")),
            "access_denied",
        ),
        (
            with("acr_values", "phr"),
            "unmet_authentication_requirements",
        ),
    ] {
        let answer = post(&served, PORTAL, "/oauth/par", &pairs(&asked)).await;
        refused(&answer, 400, error);
    }
    // Policy asks for a touch alone there: the level would not be reached, and nothing of it stays.
    let before = log(&served.desk).await.len();
    let mut low = pushed(&details("note.touch", "alice"));
    low.push(("acr_values", "eidas3".to_owned()));
    let answer = post(&served, PORTAL, "/oauth/par", &pairs(&low)).await;
    refused(&answer, 400, "unmet_authentication_requirements");
    assert_eq!(log(&served.desk).await.len(), before, "no action, no entry");
    // The same parameter twice, and no form at all.
    let twice = format!("{}&client_id=portal&client_id=other", form(&pairs(&good)));
    let answer = served
        .send(Ask::new("POST", "/oauth/par").form(&twice))
        .await;
    refused(&answer, 400, "invalid_request");
    let answer = served
        .send(Ask::new("POST", "/oauth/token").json("{}"))
        .await;
    refused(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn libraries_find_the_description_and_hear_by_the_scheme_that_they_tried() {
    let served = Served::start().await;
    let at = |path: &str| Ask::new("GET", path);
    let known = served
        .send(at("/.well-known/oauth-authorization-server"))
        .await;
    let too = served.send(at("/.well-known/openid-configuration")).await;
    assert_eq!((known.status, too.status), (200, 200));
    assert_eq!(known.json(), too.json());
    assert_eq!(known.json()["issuer"], ISSUER);
    // RFC 6749 §5.2.
    let token = || Ask::new("POST", "/oauth/token").form("grant_type=client_credentials");
    let answer = served.send(token()).await;
    refused(&answer, 401, "invalid_client");
    assert_eq!(answer.header("www-authenticate"), "");
    for (sent, heard) in [
        ("Basic cG9ydGFsOng=", "Basic realm="),
        ("Bearer x", "Bearer"),
    ] {
        let answer = served.send(token().header("Authorization", sent)).await;
        refused(&answer, 401, "invalid_client");
        assert!(
            answer.header("www-authenticate").starts_with(heard),
            "{answer:?}"
        );
    }
    // The endpoint beside the issuer, as openid-client 5 names it; for another server, too, it is worth nothing.
    for (aud, status) in [
        (json!([ISSUER, format!("{ISSUER}/oauth/token")]), 200),
        (json!([ISSUER, "https://other.example"]), 401),
    ] {
        let jti = base64url::encode(random());
        let said_so = claimed(&served, PORTAL, json!({ "jti": jti, "aud": aud }));
        let grant = [("grant_type", "client_credentials")];
        let answer = said(&served, "/oauth/token", &said_so, &grant).await;
        assert_eq!(answer.status, status, "{aud}: {answer:?}");
    }
}

#[tokio::test]
async fn nobody_speaks_for_a_service_without_its_key() {
    let served = Served::start().await;
    let grant = [("grant_type", "client_credentials")];
    let token = async |assertion: String| said(&served, "/oauth/token", &assertion, &grant).await;
    let one = claimed(&served, PORTAL, json!({"jti": "once"}));
    assert_eq!(token(one.clone()).await.status, 200);
    refused(&token(one).await, 401, "invalid_client");
    assert_eq!(
        count(&log(&served.desk).await, "oauth.assertion-replayed"),
        1
    );
    // The same name of another service's is another one.
    assert_eq!(
        token(claimed(&served, OTHER, json!({"jti": "once"})))
            .await
            .status,
        200
    );
    for more in [
        json!({"aud": "https://sceau.example/oauth/token"}),
        json!({"aud": [ISSUER, "https://evil.example"]}),
        json!({"aud": "https://evil.example"}),
        json!({"exp": 1}),
        json!({"sub": "other"}),
        json!({"iss": "other"}),
        json!({"sub": "nobody", "iss": "nobody"}),
        json!({"jti": ""}),
    ] {
        refused(
            &token(claimed(&served, PORTAL, more)).await,
            401,
            "invalid_client",
        );
    }
    let good = assertion(&served, PORTAL);
    let (input, _) = good.rsplit_once('.').unwrap();
    let payload = input.split('.').nth(1).unwrap();
    let kid = served.keys[PORTAL].kid();
    let none = base64url::encode(json!({"alg": "none", "kid": kid}).to_string());
    refused(
        &token(format!("{none}.{payload}.")).await,
        401,
        "invalid_client",
    );
    let header = base64url::encode(json!({"alg": "HS256", "kid": kid}).to_string());
    let input = format!("{header}.{payload}");
    let secret = serde_json::to_vec(served.keys[PORTAL].jwk()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let mac = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    refused(
        &token(format!("{input}.{}", base64url::encode(mac.as_ref()))).await,
        401,
        "invalid_client",
    );
    // Named otherwise in the form, or not shown at all.
    let pairs = [("grant_type", "client_credentials"), ("client_id", "other")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &pairs).await,
        401,
        "invalid_client",
    );
    for path in [
        "/oauth/token",
        "/oauth/par",
        "/oauth/backchannel",
        "/oauth/introspect",
    ] {
        let bare = Ask::new("POST", path).form(&form(&grant));
        refused(&served.send(bare).await, 401, "invalid_client");
        let bearer = Ask::new("POST", path).header("Authorization", &format!("Bearer {SERVICE}"));
        refused(
            &served.send(bearer.form(&form(&grant))).await,
            401,
            "invalid_client",
        );
    }
}

#[tokio::test]
async fn a_services_own_token_speaks_at_the_api_for_a_while() {
    let served = Served::start().await;
    let grant = [("grant_type", "client_credentials")];
    let answer = post(&served, PORTAL, "/oauth/token", &grant).await;
    assert_eq!(
        (answer.status, &answer.json()["expires_in"]),
        (200, &json!(600))
    );
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let asked = Some(wanted("account.create", "alice"));
    let object = served
        .ask(&token, "POST", "/v1/actions", asked.clone())
        .await;
    assert_eq!(object.status, 201, "{object:?}");
    assert_eq!(object.json()["action"]["service"], "portal");
    assert_eq!(
        served.ask(&token, "GET", "/v1/me", None).await.status,
        403,
        "it is nobody's session"
    );
    let theirs = post(&served, OTHER, "/oauth/token", &grant).await.json();
    let status = object.json()["status_url"].as_str().unwrap().to_owned();
    let theirs = theirs["access_token"].as_str().unwrap();
    assert_eq!(served.ask(theirs, "GET", &status, None).await.status, 404);
    served.place.clock.shift(Duration::minutes(10));
    assert_eq!(served.ask(&token, "GET", &status, None).await.status, 401);
    let more = [("grant_type", "client_credentials"), ("scope", "admin")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &more).await,
        400,
        "invalid_scope",
    );
    let details = details("account.create", "alice");
    let more = [
        ("grant_type", "client_credentials"),
        ("authorization_details", &details),
    ];
    refused(
        &post(&served, PORTAL, "/oauth/token", &more).await,
        400,
        "invalid_authorization_details",
    );
    let other = [("grant_type", "password")];
    refused(
        &post(&served, PORTAL, "/oauth/token", &other).await,
        400,
        "unsupported_grant_type",
    );
}

#[tokio::test]
async fn a_rotation_leaves_nobody_behind_and_ends() {
    let mut served = Served::start().await;
    let (_, code) = code(&served, "account.create").await;
    let granted = redeem(&served, PORTAL, &code, BACK, VERIFIER).await.json();
    let permit = granted["access_token"].as_str().unwrap().to_owned();
    let before = served.desk.jwks().keys;
    served.place.rotate_permit_key();
    served.place.permit_previous = Some(sceau_server::desk::RetiredKey {
        jwk: before[0].clone(),
        until: served.place.clock.now() + Duration::seconds(30),
    });
    served.restart().await;
    let published = served.send(Ask::new("GET", "/jwks.json")).await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    assert_eq!(published["keys"][1]["kid"], json!(before[0].kid));
    assert_ne!(published["keys"][0]["kid"], published["keys"][1]["kid"]);
    let ask = async || {
        post(&served, PORTAL, "/oauth/introspect", &[("token", &permit)])
            .await
            .json()
    };
    assert_eq!(ask().await["active"], true, "under way");
    served.place.clock.shift(Duration::seconds(31));
    assert_eq!(ask().await["active"], false, "published no more");
    assert_eq!(served.desk.jwks().keys.len(), 1);
}
