//! Permits for one key (RFC 9449).

use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use sceau_server::port::Clock as _;
use serde_json::{Value, json};

use super::backchannel::handle;
use super::{
    BACK, Browser, CIBA, ISSUER, PORTAL, TYPE, VERIFIER, assertion, bring, code, details, form,
    pairs, post, pushed, random, refused, waiting,
};
use crate::api::Served;
use crate::conformance::{count, log};
use crate::wire::{Answer, Ask};

/// A key of the service's own, and proofs of it (RFC 9449).
struct Shown {
    secret: jsonwebtoken::EncodingKey,
    jwk: Value,
    thumbprint: String,
}

impl Shown {
    fn make() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.public_key_raw();
        let (x, y) = (
            base64url::encode(&point[1..33]),
            base64url::encode(&point[33..65]),
        );
        let named = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Self {
            secret: jsonwebtoken::EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            thumbprint: base64url::encode(sha256(named.as_bytes())),
        }
    }

    fn proof(&self, served: &Served, path: &str) -> String {
        let now = served.place.clock.now().unix_timestamp();
        let claims = json!({"jti": base64url::encode(random()), "htm": "POST", "htu": format!("{ISSUER}{path}"), "iat": now});
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = serde_json::from_value(self.jwk.clone()).unwrap();
        jsonwebtoken::encode(&header, &claims, &self.secret).unwrap()
    }
}

async fn with_proof(served: &Served, path: &str, proof: &str, pairs: &[(&str, &str)]) -> Answer {
    let assertion = assertion(served, PORTAL);
    let mut all = vec![
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    all.extend(pairs);
    let ask = Ask::new("POST", path).header("DPoP", proof);
    served.send(ask.form(&form(&all))).await
}

#[tokio::test]
async fn a_permit_is_bound_to_the_key_that_was_shown() {
    let served = Served::start().await;
    let metadata = served
        .send(Ask::new("GET", "/.well-known/oauth-authorization-server"))
        .await
        .json();
    assert_eq!(
        metadata["dpop_signing_alg_values_supported"],
        json!(["ES256", "ES384", "EdDSA", "PS256"])
    );
    let (key, other) = (Shown::make(), Shown::make());
    let redeem = |code: &str| {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", BACK.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };

    // Shown at the end alone: the permit names it.
    let (id, won) = code(&served, "account.create").await;
    let proof = key.proof(&served, "/oauth/token");
    let granted = with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won))).await;
    assert_eq!(
        (granted.status, granted.json()["token_type"].as_str()),
        (200, Some("DPoP")),
        "{granted:?}"
    );
    let permit = granted.json()["access_token"].as_str().unwrap().to_owned();
    let now = served.place.clock.now();
    let verified =
        sceau_proof::permit::verify(&permit, &served.desk.jwks(), ISSUER, "portal", now).unwrap();
    assert_eq!(verified.claims().cnf.as_ref().unwrap().jkt, key.thumbprint);
    let said = post(&served, PORTAL, "/oauth/introspect", &[("token", &permit)])
        .await
        .json();
    assert_eq!(
        (&said["token_type"], &said["cnf"]["jkt"]),
        (&json!("DPoP"), &json!(key.thumbprint))
    );
    assert_eq!(said["jti"], id.to_string());

    // A proof is shown once, and for its address.
    let (_, won) = code(&served, "account.create").await;
    refused(
        &with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won))).await,
        400,
        "invalid_dpop_proof",
    );
    let elsewhere = key.proof(&served, "/oauth/par");
    refused(
        &with_proof(&served, "/oauth/token", &elsewhere, &pairs(&redeem(&won))).await,
        400,
        "invalid_dpop_proof",
    );
    assert_eq!(
        count(&log(&served.desk).await, "oauth.assertion-replayed"),
        1
    );
    // It was not spent by what was not believed.
    let proof = key.proof(&served, "/oauth/token");
    assert_eq!(
        with_proof(&served, "/oauth/token", &proof, &pairs(&redeem(&won)))
            .await
            .status,
        200
    );

    // Pushed for one key, by its proof or by its name: of no use with another, nor with none.
    for by_name in [true, false] {
        let mut asked = pushed(&details("account.create", "alice"));
        let proof = key.proof(&served, "/oauth/par");
        let answer = if by_name {
            asked.push(("dpop_jkt", key.thumbprint.clone()));
            post(&served, PORTAL, "/oauth/par", &pairs(&asked)).await
        } else {
            with_proof(&served, "/oauth/par", &proof, &pairs(&asked)).await
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        let came = bring(
            &served,
            "portal",
            answer.json()["request_uri"].as_str().unwrap(),
        )
        .await;
        let cookie = came
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let browser = Browser {
            served: &served,
            cookie,
        };
        let record = waiting(&served).await;
        served.alice.approve(&served.desk, &record).await.unwrap();
        let back = browser
            .get(&format!("{}/continue", came.header("location")))
            .await;
        let won = back
            .header("location")
            .split(['=', '&'])
            .nth(1)
            .unwrap()
            .to_owned();
        let wrong = other.proof(&served, "/oauth/token");
        refused(
            &with_proof(&served, "/oauth/token", &wrong, &pairs(&redeem(&won))).await,
            400,
            "invalid_grant",
        );
        refused(
            &post(&served, PORTAL, "/oauth/token", &pairs(&redeem(&won))).await,
            400,
            "invalid_grant",
        );
        let right = key.proof(&served, "/oauth/token");
        let granted = with_proof(&served, "/oauth/token", &right, &pairs(&redeem(&won))).await;
        assert_eq!(granted.status, 200, "{granted:?}");
    }
    let mut asked = pushed(&details("account.create", "alice"));
    asked.push(("dpop_jkt", other.thumbprint.clone()));
    let proof = key.proof(&served, "/oauth/par");
    refused(
        &with_proof(&served, "/oauth/par", &proof, &pairs(&asked)).await,
        400,
        "invalid_dpop_proof",
    );

    // Polled for: the same. A service's own token is not bound.
    let handle = handle(&served, &[]).await;
    let record = waiting(&served).await;
    served.alice.approve(&served.desk, &record).await.unwrap();
    let proof = key.proof(&served, "/oauth/token");
    let polled = with_proof(
        &served,
        "/oauth/token",
        &proof,
        &[("grant_type", CIBA), ("auth_req_id", &handle)],
    )
    .await;
    assert_eq!(
        (polled.status, polled.json()["token_type"].as_str()),
        (200, Some("DPoP")),
        "{polled:?}"
    );
    let proof = key.proof(&served, "/oauth/token");
    refused(
        &with_proof(
            &served,
            "/oauth/token",
            &proof,
            &[("grant_type", "client_credentials")],
        )
        .await,
        400,
        "invalid_request",
    );
}
