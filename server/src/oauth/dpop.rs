//! A proof of possession (RFC 9449 §4): whoever asks for a permit shows a key of its own, and the permit is for that key (`cnf.jkt`). [`Proven`] is built here alone.
//!
//! Nothing of a proof is trusted: its key comes with it, and means nothing but itself. The algorithm is ours to allow and the key's to fit. That a proof is
//! shown once is the store's (`desk`), which takes its name as it takes an assertion's. No nonces: a proof is at most a minute old, and comes beside an
//! assertion of the service's own key.

use axum::http::HeaderMap;
use jsonwebtoken::{Validation, decode};
use sceau_proof::base64url;
use sceau_proof::jws::Compact;
use sceau_proof::log::entry::sha256;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::client::{Signature, claims, key};

/// Longest proof.
const LONGEST: usize = 4 * 1024;
/// How old a proof may be, and how far its clock from ours.
const LIFETIME: Duration = Duration::minutes(1);
const SKEW: Duration = Duration::seconds(10);
/// Longest `jti`.
const LONGEST_JTI: usize = 255;
/// What a proof may be signed with.
pub(super) const ALGORITHMS: [(&str, Signature); 4] = [
    ("ES256", Signature::ES256),
    ("ES384", Signature::ES384),
    ("EdDSA", Signature::EdDSA),
    ("PS256", Signature::PS256),
];

/// A key that was shown. Its proof may still have been shown before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proven {
    thumbprint: String,
    jti: String,
    until: OffsetDateTime,
}

impl Proven {
    /// The key's name (RFC 7638, SHA-256, base64url).
    pub(super) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What a proof's one use is taken by: apart from assertions, and from other keys' proofs.
    pub(super) fn once(&self) -> String {
        format!("dpop {} {}", self.thumbprint, self.jti)
    }

    /// Until when the proof could be shown again.
    pub(super) fn until(&self) -> OffsetDateTime {
        self.until
    }
}

/// Why a proof is not believed. Whoever sent it is told `invalid_dpop_proof`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotProven {
    /// More than one, or no compact JWS of claims.
    #[error("proof-malformed")]
    Malformed,
    /// A token of another kind.
    #[error("proof-type")]
    Type,
    /// `none`, HMAC, or whatever is not taken here.
    #[error("proof-algorithm")]
    Algorithm,
    /// No public key, a secret one, or one of another kind.
    #[error("proof-key")]
    Key,
    /// The signature is not that key's.
    #[error("proof-signature")]
    Signature,
    /// For another method or address.
    #[error("proof-target")]
    Target,
    /// Too old, or from the future.
    #[error("proof-time")]
    Time,
    /// Without a name of its own.
    #[error("proof-jti")]
    Identifier,
}

/// The proof in a request's headers, for that method and address (without query); `None` when there is none.
///
/// # Errors
/// The first thing that does not hold.
pub(super) fn read(
    headers: &HeaderMap,
    method: &str,
    address: &str,
    now: OffsetDateTime,
) -> Result<Option<Proven>, NotProven> {
    // §4.3 step 1.
    let mut shown = headers.get_all("dpop").iter();
    match (shown.next(), shown.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => {
            let text = one.to_str().map_err(|_| NotProven::Malformed)?;
            verify(text, method, address, now).map(Some)
        }
        _ => Err(NotProven::Malformed),
    }
}

fn verify(
    proof: &str,
    method: &str,
    address: &str,
    now: OffsetDateTime,
) -> Result<Proven, NotProven> {
    // §4.3 steps 2 and 3.
    let jws = Compact::parse(proof, LONGEST).map_err(|_| NotProven::Malformed)?;
    let claims = claims(&jws, LONGEST).ok_or(NotProven::Malformed)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Step 4.
    if jws.header_text("typ") != Some("dpop+jwt") {
        return Err(NotProven::Type);
    }
    // Step 5.
    let named = jws.header_text("alg").ok_or(NotProven::Algorithm)?;
    let signature = ALGORITHMS
        .into_iter()
        .find(|(name, _)| *name == named)
        .map(|(_, signature)| signature)
        .ok_or(NotProven::Algorithm)?;
    // Step 7.
    let jwk = jws.header().get("jwk").ok_or(NotProven::Key)?;
    let thumbprint = thumbprint(jwk).ok_or(NotProven::Key)?;
    let found = key(jwk.clone(), &[signature]).map_err(|_| NotProven::Key)?;
    // Step 6.
    let mut validation = Validation::new(signature.algorithm());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode::<Map<String, Value>>(proof, found.verifier(), &validation)
        .map_err(|_| NotProven::Signature)?;
    // Steps 8 and 9: compared as they are written, without query and fragment.
    let htu = text("htu").ok_or(NotProven::Target)?;
    let htu = htu.split(['?', '#']).next().unwrap_or_default();
    if text("htm") != Some(method) || htu != address {
        return Err(NotProven::Target);
    }
    // Step 11.
    let iat = claims
        .get("iat")
        .and_then(Value::as_i64)
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .filter(|iat| *iat <= now + SKEW && now <= *iat + LIFETIME + SKEW)
        .ok_or(NotProven::Time)?;
    let jti = text("jti")
        .filter(|jti| !jti.is_empty() && jti.len() <= LONGEST_JTI)
        .filter(|jti| jti.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(NotProven::Identifier)?
        .to_owned();
    Ok(Proven {
        thumbprint,
        jti,
        // Instances' clocks differ.
        until: iat + LIFETIME + SKEW * 3,
    })
}

/// RFC 7638 §3: the required members in the order of their names, and nothing else.
fn thumbprint(jwk: &Value) -> Option<String> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let pairs: Option<Vec<String>> = members
        .iter()
        .map(|name| {
            let value = jwk.get(*name)?.as_str()?;
            Some(format!("{}:{}", json!(name), json!(value)))
        })
        .collect();
    Some(base64url::encode(sha256(
        format!("{{{}}}", pairs?.join(",")).as_bytes(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const AT: &str = "https://sceau.example/oauth/token";

    struct Key {
        secret: EncodingKey,
        jwk: Value,
    }

    fn make() -> Key {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.public_key_raw();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url::encode(&point[1..33]), "y": base64url::encode(&point[33..65])});
        Key {
            secret: EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk,
        }
    }

    fn proof(key: &Key, head: Value, more: Value) -> String {
        let mut claims =
            json!({"jti": "p-1", "htm": "POST", "htu": AT, "iat": NOW.unix_timestamp()});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(head["typ"].as_str().unwrap_or("dpop+jwt").to_owned());
        let jwk = head.get("jwk").unwrap_or(&key.jwk);
        header.jwk = serde_json::from_value(jwk.clone()).ok();
        encode(&header, &claims, &key.secret).unwrap()
    }

    fn judge(text: &str) -> Result<Proven, NotProven> {
        verify(text, "POST", AT, NOW)
    }

    #[test]
    fn a_proof_names_its_key() {
        let key = make();
        let held = judge(&proof(&key, json!({}), json!({}))).unwrap();
        assert_eq!(Some(held.thumbprint()), thumbprint(&key.jwk).as_deref());
        assert_eq!(held.once(), format!("dpop {} p-1", held.thumbprint()));
        assert!(held.until() > NOW + LIFETIME);
        let query = judge(&proof(
            &key,
            json!({}),
            json!({"htu": format!("{AT}?x=1#y")}),
        ));
        assert_eq!(query, Ok(held), "query and fragment do not count");
    }

    #[test]
    fn a_thumbprint_is_the_specifications() {
        // RFC 7638 §3.1.
        let rsa = json!({"kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W\
                  -5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt\
                  -bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        let name = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(thumbprint(&rsa).as_deref(), Some(name));
        assert_eq!(thumbprint(&json!({"kty": "oct", "k": "AA"})), None);
    }

    #[test]
    fn each_check_refuses_what_fails_it_alone() {
        let (key, other) = (make(), make());
        let late = (NOW - LIFETIME - SKEW).unix_timestamp() - 1;
        for (head, more, reason) in [
            (json!({"typ": "JWT"}), json!({}), NotProven::Type),
            (json!({"typ": "permit+jwt"}), json!({}), NotProven::Type),
            (json!({"jwk": other.jwk}), json!({}), NotProven::Signature),
            (json!({"jwk": null}), json!({}), NotProven::Key),
            (json!({}), json!({"htm": "GET"}), NotProven::Target),
            (json!({}), json!({"htm": null}), NotProven::Target),
            (
                json!({}),
                json!({"htu": "https://sceau.example/oauth/introspect"}),
                NotProven::Target,
            ),
            (
                json!({}),
                json!({"htu": "http://sceau.example/oauth/token"}),
                NotProven::Target,
            ),
            (
                json!({}),
                json!({"htu": "https://sceau.example.evil/oauth/token"}),
                NotProven::Target,
            ),
            (json!({}), json!({"iat": late}), NotProven::Time),
            (
                json!({}),
                json!({"iat": NOW.unix_timestamp() + 11}),
                NotProven::Time,
            ),
            (json!({}), json!({"iat": null}), NotProven::Time),
            (json!({}), json!({"jti": ""}), NotProven::Identifier),
            (json!({}), json!({"jti": "a b"}), NotProven::Identifier),
            (
                json!({}),
                json!({"jti": "x".repeat(256)}),
                NotProven::Identifier,
            ),
        ] {
            let text = proof(&key, head.clone(), more.clone());
            assert_eq!(judge(&text), Err(reason), "{head} {more}");
        }
        let whole = proof(&key, json!({}), json!({}));
        let (_, rest) = whole.split_once('.').unwrap();
        for (alg, reason) in [
            ("none", NotProven::Algorithm),
            ("HS256", NotProven::Algorithm),
            ("RS256", NotProven::Algorithm),
            ("ES384", NotProven::Key),
        ] {
            let head = json!({"typ": "dpop+jwt", "alg": alg, "jwk": key.jwk}).to_string();
            let text = format!("{}.{rest}", base64url::encode(head));
            assert_eq!(judge(&text), Err(reason), "{alg}");
        }
        let mut secret = key.jwk.clone();
        secret["d"] = json!("AAAA");
        let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": secret}).to_string();
        assert_eq!(
            judge(&format!("{}.{rest}", base64url::encode(head))),
            Err(NotProven::Key)
        );
        for odd in ["", "a.b", "a.b.c", &whole.repeat(20)] {
            assert_eq!(judge(odd), Err(NotProven::Malformed));
        }
    }

    #[test]
    fn two_proofs_are_none() {
        let key = make();
        let text = proof(&key, json!({}), json!({}));
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers, "POST", AT, NOW), Ok(None));
        headers.append("dpop", text.parse().unwrap());
        assert!(read(&headers, "POST", AT, NOW).is_ok_and(|held| held.is_some()));
        headers.append("dpop", text.parse().unwrap());
        assert_eq!(read(&headers, "POST", AT, NOW), Err(NotProven::Malformed));
    }
}
