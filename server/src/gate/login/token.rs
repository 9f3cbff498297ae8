//! What ProConnect says of a person: received as two tokens (OpenID Connect Core §3.1.3.7, §5.3), believed when everything in them holds.
//! [`VerifiedLogin`] is built here alone.
//!
//! Signatures are jsonwebtoken's on AWS-LC; which claims must say what is decided here, with the caller's clock. Only ES256 and RS256 with a key that the
//! issuer publishes: no `none`, and no HMAC, whose "key" would be published too. The level is re-checked, since nobody before us does (PROCONNECT.md).

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

/// How far the issuer's clock may be from ours, and how old a token may be.
const SKEW: Duration = Duration::seconds(60);
const OLDEST: Duration = Duration::minutes(10);
/// The longest identifier.
const LONGEST: usize = 255;

/// Who somebody is at an identity provider. Never an e-mail address: these change hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer.
    pub issuer: String,
    /// The identity provider behind it.
    pub idp_id: String,
    /// The person, as the issuer calls them.
    pub sub: String,
}

/// A log-in that holds. Whose it is of our persons is decided elsewhere.
#[derive(Debug, Clone)]
pub struct VerifiedLogin {
    identity: Identity,
    acr: String,
    email: Option<String>,
    evidence: Option<String>,
    id_token: String,
}

impl VerifiedLogin {
    /// Who it is, there.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The level that was reached, one of those that were wanted.
    #[must_use]
    pub fn acr(&self) -> &str {
        &self.acr
    }

    /// For people to read; never to tell persons apart by.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The action that is said to have sealed it; a claim that is still to be looked up.
    #[must_use]
    pub fn claimed_evidence(&self) -> Option<&str> {
        self.evidence.as_deref()
    }

    /// For signing out there.
    #[must_use]
    pub fn id_token(&self) -> &str {
        &self.id_token
    }
}

/// What must hold of the tokens.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// We.
    pub client_id: &'a str,
    /// What was sent with the request.
    pub nonce: &'a str,
    /// Levels of which one must be reached.
    pub acr: &'a [String],
    /// The identity providers whose word is taken.
    pub idp_ids: &'a [String],
    /// Now.
    pub now: OffsetDateTime,
}

/// Why a log-in is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// No token, or none of a form that we read.
    #[error("token-malformed")]
    Malformed,
    /// `none`, HMAC, or whatever is neither ES256 nor RS256.
    #[error("token-algorithm")]
    Algorithm,
    /// No published key of that name and kind.
    #[error("token-key-unknown")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("token-signature")]
    Signature,
    /// Another issuer.
    #[error("issuer-other")]
    Issuer,
    /// For another client.
    #[error("audience-other")]
    Audience,
    /// Expired, or from the future.
    #[error("token-time")]
    Time,
    /// Another request's answer.
    #[error("nonce-other")]
    Nonce,
    /// A level that is not enough, or none.
    #[error("acr-too-low")]
    Level,
    /// Nothing, or nothing fit for the level, is said of how they authenticated.
    #[error("amr-missing")]
    Methods,
    /// An identity provider whose word is not taken, or none.
    #[error("idp-not-listed")]
    Provider,
    /// The two tokens speak of two people.
    #[error("subject-other")]
    Subject,
}

/// The user information as it came.
#[derive(Debug, Clone, Copy)]
pub enum Received<'a> {
    /// `application/jwt`.
    Signed(&'a str),
    /// JSON, by the issuer's TLS.
    Plain(&'a [u8]),
}

/// Checks an id_token and the user information that came with it.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(
    id_token: &str,
    userinfo: Received<'_>,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<VerifiedLogin, NotBelieved> {
    let token = signed(id_token, keys)?;
    // §3.1.3.7 steps 2, 3, 4, 5.
    if text(&token, "iss") != Some(expected.issuer) {
        return Err(NotBelieved::Issuer);
    }
    audience(&token, expected.client_id)?;
    // Steps 9, 10.
    within(&token, expected.now)?;
    // Step 11.
    if text(&token, "nonce") != Some(expected.nonce) {
        return Err(NotBelieved::Nonce);
    }
    let sub = identifier(&token, "sub").ok_or(NotBelieved::Malformed)?;
    // Step 12, and the methods that such a level takes.
    let acr = text(&token, "acr")
        .filter(|acr| expected.acr.iter().any(|wanted| wanted == acr))
        .ok_or(NotBelieved::Level)?;
    let amr: Vec<&str> = token
        .get("amr")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let possession = amr.iter().any(|word| ["pop", "hwk"].contains(word));
    if amr.is_empty() || (acr == "eidas3" && !possession) {
        return Err(NotBelieved::Methods);
    }
    let about = match userinfo {
        Received::Plain(bytes) => {
            serde_json::from_slice(bytes).map_err(|_| NotBelieved::Malformed)?
        }
        Received::Signed(jwt) => {
            let about = signed(jwt, keys)?;
            if text(&about, "iss").is_some_and(|iss| iss != expected.issuer) {
                return Err(NotBelieved::Issuer);
            }
            if about.contains_key("aud") {
                audience(&about, expected.client_id)?;
            }
            about
        }
    };
    // §5.3.2: the same person in both.
    if text(&about, "sub") != Some(sub) {
        return Err(NotBelieved::Subject);
    }
    let idp_id = identifier(&about, "idp_id").ok_or(NotBelieved::Provider)?;
    let agreed = text(&token, "idp_id").is_none_or(|other| other == idp_id);
    if !agreed || !expected.idp_ids.iter().any(|listed| listed == idp_id) {
        return Err(NotBelieved::Provider);
    }
    let evidence = about
        .get("custom")
        .and_then(|custom| custom.get("sceau_evidence"))
        .or_else(|| about.get("sceau_evidence"))
        .and_then(|evidence| evidence.get("action"))
        .and_then(Value::as_str);
    Ok(VerifiedLogin {
        identity: Identity {
            issuer: expected.issuer.to_owned(),
            idp_id: idp_id.to_owned(),
            sub: sub.to_owned(),
        },
        acr: acr.to_owned(),
        email: identifier(&about, "email").map(str::to_owned),
        evidence: evidence.map(str::to_owned),
        id_token: id_token.to_owned(),
    })
}

/// The claims of a compact JWS that one of the issuer's keys signed.
fn signed(token: &str, keys: &JwkSet) -> Result<Map<String, Value>, NotBelieved> {
    // jsonwebtoken does not know `none`: such a header does not even parse.
    let header = decode_header(token).map_err(|_| NotBelieved::Algorithm)?;
    if !matches!(header.alg, Algorithm::ES256 | Algorithm::RS256) {
        return Err(NotBelieved::Algorithm);
    }
    let fits = |key: &&Jwk| {
        let kind = match key.algorithm {
            AlgorithmParameters::EllipticCurve(_) => header.alg == Algorithm::ES256,
            AlgorithmParameters::RSA(_) => header.alg == Algorithm::RS256,
            _ => false,
        };
        kind && (header.kid.is_none() || key.common.key_id == header.kid)
    };
    let mut found = keys.keys.iter().filter(fits);
    let (Some(key), None) = (found.next(), found.next()) else {
        return Err(NotBelieved::UnknownKey);
    };
    let key = DecodingKey::from_jwk(key).map_err(|_| NotBelieved::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode::<Map<String, Value>>(token, &key, &validation)
        .map(|decoded| decoded.claims)
        .map_err(|_| NotBelieved::Signature)
}

fn text<'m>(claims: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    claims.get(name).and_then(Value::as_str)
}

/// A text that can be kept and shown: bounded, not empty, without controls.
fn identifier<'m>(claims: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    text(claims, name).filter(|text| {
        !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control)
    })
}

fn audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), NotBelieved> {
    let ours = match claims.get("aud") {
        Some(Value::String(aud)) => aud == client_id,
        // One of several: then it says for whom it was issued.
        Some(Value::Array(list)) => {
            let named = list.iter().any(|aud| aud == client_id);
            named && (list.len() == 1 || text(claims, "azp") == Some(client_id))
        }
        _ => false,
    };
    let azp = text(claims, "azp").is_none_or(|azp| azp == client_id);
    if ours && azp {
        Ok(())
    } else {
        Err(NotBelieved::Audience)
    }
}

fn within(claims: &Map<String, Value>, now: OffsetDateTime) -> Result<(), NotBelieved> {
    let at = |name: &str| {
        let seconds = claims.get(name).and_then(Value::as_i64);
        seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
    };
    let (Some(iat), Some(exp)) = (at("iat"), at("exp")) else {
        return Err(NotBelieved::Time);
    };
    let alive = exp + SKEW > now && iat <= now + SKEW && iat + OLDEST > now;
    if alive {
        Ok(())
    } else {
        Err(NotBelieved::Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use sceau_proof::permit::SigningKey;
    use serde_json::json;

    const NOW: i64 = 1_795_000_000;

    struct Issuer {
        key: SigningKey,
        keys: JwkSet,
    }

    fn issuer() -> Issuer {
        let key =
            SigningKey::from_pkcs8(&SigningKey::generate_pkcs8(&SystemRandom::new()).unwrap())
                .unwrap();
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        let keys = serde_json::from_value(json!({ "keys": [jwk] })).unwrap();
        Issuer { key, keys }
    }

    fn claims() -> Value {
        json!({"iss": "https://auth.example", "aud": "sceau", "sub": "s-1", "nonce": "n", "iat": NOW - 5, "exp": NOW + 60,
               "acr": "eidas3", "amr": ["pop", "hwk", "pin", "mfa"]})
    }

    fn about() -> Value {
        json!({"sub": "s-1", "idp_id": "idp-a", "email": "alice@ml.example", "custom": {"sceau_evidence": {"action": "x"}}})
    }

    fn with(mut value: Value, name: &str, other: Value) -> Value {
        if other.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = other;
        }
        value
    }

    fn judged(
        issuer: &Issuer,
        token: &str,
        userinfo: Received<'_>,
    ) -> Result<VerifiedLogin, NotBelieved> {
        let (acr, idp_ids) = (["eidas3".to_owned()], ["idp-a".to_owned()]);
        let expected = Expected {
            issuer: "https://auth.example",
            client_id: "sceau",
            nonce: "n",
            acr: &acr,
            idp_ids: &idp_ids,
            now: OffsetDateTime::from_unix_timestamp(NOW).unwrap(),
        };
        verify(token, userinfo, &issuer.keys, &expected)
    }

    fn id_token(issuer: &Issuer, claims: &Value) -> String {
        issuer.key.jws("JWT", claims, &SystemRandom::new()).unwrap()
    }

    fn outcome(name: &str, other: Value) -> Result<VerifiedLogin, NotBelieved> {
        let issuer = issuer();
        let token = id_token(&issuer, &with(claims(), name, other));
        judged(
            &issuer,
            &token,
            Received::Plain(about().to_string().as_bytes()),
        )
    }

    #[test]
    fn a_log_in_that_holds_says_who_it_is() {
        let login = outcome("x", Value::Null).unwrap();
        assert_eq!(
            (
                login.identity().idp_id.as_str(),
                login.identity().sub.as_str()
            ),
            ("idp-a", "s-1")
        );
        assert_eq!(
            (login.acr(), login.email(), login.claimed_evidence()),
            ("eidas3", Some("alice@ml.example"), Some("x"))
        );
    }

    #[test]
    fn each_claim_that_does_not_hold_is_refused_by_its_own_name() {
        use NotBelieved as N;
        for (name, other, reason) in [
            ("iss", json!("https://evil.example"), N::Issuer),
            ("iss", json!("https://auth.example/"), N::Issuer),
            ("aud", json!("another"), N::Audience),
            ("aud", json!(["sceau", "another"]), N::Audience),
            ("azp", json!("another"), N::Audience),
            ("exp", json!(NOW - 61), N::Time),
            ("exp", Value::Null, N::Time),
            ("iat", json!(NOW + 120), N::Time),
            ("iat", json!(NOW - 3_600), N::Time),
            ("nonce", json!("another"), N::Nonce),
            ("nonce", Value::Null, N::Nonce),
            ("acr", json!("eidas2"), N::Level),
            ("acr", json!("eidas1-mfa"), N::Level),
            ("acr", Value::Null, N::Level),
            ("amr", Value::Null, N::Methods),
            ("amr", json!([]), N::Methods),
            ("amr", json!(["pwd", "otp", "mfa"]), N::Methods),
            ("sub", json!(""), N::Malformed),
            ("sub", json!("other"), N::Subject),
            ("idp_id", json!("idp-b"), N::Provider),
        ] {
            assert_eq!(
                outcome(name, other.clone()).unwrap_err(),
                reason,
                "{name} {other}"
            );
        }
    }

    #[test]
    fn user_information_is_the_same_persons_from_a_listed_provider() {
        let issuer = issuer();
        let token = id_token(&issuer, &claims());
        for (name, other, reason) in [
            ("sub", json!("s-2"), NotBelieved::Subject),
            ("idp_id", json!("idp-b"), NotBelieved::Provider),
            ("idp_id", Value::Null, NotBelieved::Provider),
        ] {
            let odd = with(about(), name, other).to_string();
            assert_eq!(
                judged(&issuer, &token, Received::Plain(odd.as_bytes())).unwrap_err(),
                reason,
                "{name}"
            );
            let jwt = id_token(&issuer, &serde_json::from_str(&odd).unwrap());
            assert_eq!(
                judged(&issuer, &token, Received::Signed(&jwt)).unwrap_err(),
                reason,
                "{name}"
            );
        }
        let jwt = id_token(&issuer, &with(about(), "aud", json!("sceau")));
        assert!(judged(&issuer, &token, Received::Signed(&jwt)).is_ok());
        for (name, other, reason) in [
            ("iss", json!("https://evil.example"), NotBelieved::Issuer),
            ("aud", json!("another"), NotBelieved::Audience),
        ] {
            let jwt = id_token(&issuer, &with(about(), name, other));
            assert_eq!(
                judged(&issuer, &token, Received::Signed(&jwt)).unwrap_err(),
                reason,
                "{name}"
            );
        }
        let stranger = self::issuer();
        let forged = id_token(&stranger, &about());
        assert_eq!(
            judged(&issuer, &token, Received::Signed(&forged)).unwrap_err(),
            NotBelieved::UnknownKey
        );
    }

    #[test]
    fn algorithms_are_not_the_tokens_choice() {
        use sceau_proof::base64url::encode;
        let issuer = issuer();
        let info = about().to_string();
        let judge =
            |token: &str| judged(&issuer, token, Received::Plain(info.as_bytes())).unwrap_err();
        let payload = encode(claims().to_string());
        let unsigned = |alg: &str| {
            format!(
                "{}.{payload}.",
                encode(json!({"alg": alg, "kid": issuer.key.kid()}).to_string())
            )
        };
        for alg in ["none", "None", "HS256", "ES384", "PS256"] {
            assert_eq!(judge(&unsigned(alg)), NotBelieved::Algorithm, "{alg}");
        }
        // HS256 with the published key as its secret.
        let public = serde_json::to_string(issuer.key.jwk()).unwrap();
        let header = jsonwebtoken::Header {
            kid: Some(issuer.key.kid().to_owned()),
            ..jsonwebtoken::Header::new(Algorithm::HS256)
        };
        let confused = jsonwebtoken::encode(
            &header,
            &claims(),
            &jsonwebtoken::EncodingKey::from_secret(public.as_bytes()),
        )
        .unwrap();
        assert_eq!(judge(&confused), NotBelieved::Algorithm);
        assert_eq!(judge(&unsigned("RS256")), NotBelieved::UnknownKey);
        let mut token = id_token(&issuer, &claims());
        token.pop();
        token.pop();
        assert_eq!(judge(&format!("{token}AA")), NotBelieved::Signature);
        for odd in ["", "a.b", "a.b.c.d"] {
            assert_eq!(judge(odd), NotBelieved::Algorithm, "{odd}");
        }
    }
}
