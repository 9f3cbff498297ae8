//! Permits: what the server issues once an action has its approvals, and what a gate or service checks before it executes it.
//!
//! A permit is a JWS (ES256, `typ: permit+jwt`, RFC 7515, 7519, 8725): one action, one audience, at most 60 seconds. [`verify`] is strict about
//! what token libraries get wrong: the algorithm and type are fixed, the key is found by `kid` in keys that the caller trusts and by nothing else,
//! members that occur twice are refused. Trusted: the [`Jwks`], the issuer, the audience and the time that the caller passes. That a permit is
//! used once is the server's (introspection, the gate); that it has a log entry is `evidence`.

use std::fmt;

use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::action::sha256;
use crate::base64url;
use crate::json::{self, JsonError};
use crate::jws::{Compact, JwsError};

/// Longest life of a permit.
pub const MAX_LIFETIME: Duration = Duration::seconds(60);
/// How far a verifier's clock may be behind the server's.
pub const CLOCK_SKEW: Duration = Duration::seconds(10);
/// Longest permit that is read.
pub const MAX_LENGTH: usize = 65_536;

const TYPE: &str = "permit+jwt";
const CLAIMS: json::Rules = json::Rules {
    length: MAX_LENGTH,
    depth: 16,
    integers: true,
    nfc: false,
};

/// What a permit says (DESIGN, "The signed action").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The server.
    pub iss: String,
    /// The service that may execute the action.
    pub aud: String,
    /// The person who asked.
    pub sub: String,
    /// The action's identifier; the permit is single use by it.
    pub jti: Uuid,
    /// When it was issued; whole seconds on the wire.
    #[serde(with = "time::serde::timestamp")]
    pub iat: OffsetDateTime,
    /// From when it is dead, at most [`MAX_LIFETIME`] after `iat`.
    #[serde(with = "time::serde::timestamp")]
    pub exp: OffsetDateTime,
    /// SHA-256 of the action's canonical bytes.
    #[serde(with = "base64url::array")]
    pub action_sha256: [u8; 32],
    /// What may be done (RFC 9396).
    pub authorization_details: Vec<Value>,
    /// The level of authentication reached, such as `eidas3`.
    pub acr: String,
    /// How it was reached (RFC 8176): `["pop","hwk","pin","mfa"]`.
    pub amr: Vec<String>,
    /// Who approved, with which key, when.
    pub approvals: Vec<Approval>,
    /// The key that whoever uses the permit has to show (RFC 9449 §6); absent when it is nobody's in particular. Not checked here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// A key, by its name (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 thumbprint of the public key (RFC 7638), base64url.
    pub jkt: String,
}

/// One approval that a permit rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    pub person: String,
    /// With which enrolled key.
    pub key_id: String,
    /// When the server verified it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A permit that passed every check. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedPermit {
    claims: Claims,
}

impl VerifiedPermit {
    /// What the server signed.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// Why a permit is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// Not a compact JWS.
    #[error("{0}")]
    Malformed(#[from] JwsError),
    /// `alg` is not ES256.
    #[error("the permit is not signed with ES256")]
    Algorithm,
    /// `typ` is not `permit+jwt`: another kind of token.
    #[error("the token is not a permit")]
    Type,
    /// `kid` is absent or not that of exactly one acceptable key.
    #[error("the permit's key is not known")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the permit's signature does not verify")]
    Signature,
    /// The claims are not strict JSON.
    #[error("permit claims: {0}")]
    Json(JsonError),
    /// A claim is absent or not of its type.
    #[error("a claim of the permit is missing or of the wrong type")]
    Claims,
    /// Issued by another server.
    #[error("the permit is another issuer's")]
    Issuer,
    /// For another service.
    #[error("the permit is for another service")]
    Audience,
    /// `exp` is not after `iat`, or more than [`MAX_LIFETIME`] after it.
    #[error("the permit's lifetime is not acceptable")]
    Lifetime,
    /// Issued later than now, beyond [`CLOCK_SKEW`].
    #[error("the permit was issued in the future")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the permit has expired")]
    Expired,
}

impl PermitError {
    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            PermitError::Malformed(_) => "permit-malformed",
            PermitError::Algorithm => "permit-algorithm",
            PermitError::Type => "permit-type",
            PermitError::UnknownKey => "permit-unknown-key",
            PermitError::Signature => "permit-signature",
            PermitError::Json(JsonError::DuplicateMember) => "permit-duplicate-claim",
            PermitError::Json(_) | PermitError::Claims => "permit-claims",
            PermitError::Issuer => "permit-issuer",
            PermitError::Audience => "permit-audience",
            PermitError::Lifetime => "permit-lifetime",
            PermitError::NotYetValid => "permit-not-yet-valid",
            PermitError::Expired => "permit-expired",
        }
    }
}

/// A set of public keys (RFC 7517 §5), as `/jwks.json` has it. As trusted as where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys; those that cannot verify a permit are passed over.
    pub keys: Vec<Jwk>,
}

/// A public key (RFC 7517 §4, RFC 7518 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The point's coordinates, 32 bytes, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The key's name; ours are RFC 7638 thumbprints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `ES256`, or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, or absent.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub use_: Option<String>,
}

impl Jwk {
    fn from_point(point: &[u8]) -> Option<Jwk> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let (x, y) = (base64url::encode(x), base64url::encode(y));
        let kid = base64url::encode(sha256(&[format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#
        )
        .as_bytes()]));
        Some(Jwk {
            kty: "EC".to_owned(),
            crv: Some("P-256".to_owned()),
            x: Some(x),
            y: Some(y),
            kid: Some(kid),
            alg: Some("ES256".to_owned()),
            use_: Some("sig".to_owned()),
        })
    }

    /// The uncompressed point, when this key may verify permits.
    fn point(&self) -> Option<[u8; 65]> {
        let fits = self.kty == "EC"
            && self.crv.as_deref() == Some("P-256")
            && self.alg.as_deref().is_none_or(|alg| alg == "ES256")
            && self.use_.as_deref().is_none_or(|usage| usage == "sig");
        let coordinate =
            |text: &Option<String>| base64url::decode_array::<32>(text.as_deref()?).ok();
        let (x, y) = (coordinate(&self.x)?, coordinate(&self.y)?);
        if fits {
            [&[4], &x[..], &y[..]].concat().try_into().ok()
        } else {
            None
        }
    }
}

impl Jwks {
    /// The one acceptable key of this name.
    fn point(&self, kid: &str) -> Option<[u8; 65]> {
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.kid.as_deref() == Some(kid))
            .filter_map(Jwk::point);
        let point = named.next()?;
        named.next().is_none().then_some(point)
    }
}

/// The server's key for permits. No `Debug` of its secret.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

/// Why a permit was not signed. Our fault, or the key file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not a PKCS#8 P-256 key.
    #[error("not a PKCS#8 P-256 private key")]
    Key,
    /// Claims that [`verify`] would refuse.
    #[error("a permit lives more than 0 and at most 60 seconds")]
    Lifetime,
    /// AWS-LC did not sign, or the claims do not encode.
    #[error("signing failed")]
    Failed,
}

impl SigningKey {
    /// Reads a P-256 private key in PKCS#8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, SignError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|_| SignError::Key)?;
        let jwk = Jwk::from_point(pair.public_key().as_ref()).ok_or(SignError::Key)?;
        Ok(SigningKey { pair, jwk })
    }

    /// A new P-256 private key in PKCS#8 DER, for [`Self::from_pkcs8`]. The caller erases it.
    pub fn generate_pkcs8(random: &dyn SecureRandom) -> Result<Vec<u8>, SignError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random)
            .map_err(|_| SignError::Failed)?;
        Ok(document.as_ref().to_vec())
    }

    /// The public half, for `/jwks.json`.
    #[must_use]
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The key's name: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.jwk.kid.as_deref().unwrap_or_default()
    }

    /// A compact JWS (ES256) of these claims, whose header says what kind of token it is: `permit+jwt` for permits, `JWT` for an
    /// identity provider's tokens. A key signs one family of tokens.
    pub fn jws(
        &self,
        kind: &str,
        claims: &Value,
        random: &dyn SecureRandom,
    ) -> Result<String, SignError> {
        let header = serde_json::json!({"alg": "ES256", "kid": self.kid(), "typ": kind});
        let input = format!(
            "{}.{}",
            base64url::encode(header.to_string()),
            base64url::encode(claims.to_string())
        );
        let signature = self
            .pair
            .sign(random, input.as_bytes())
            .map_err(|_| SignError::Failed)?;
        Ok(format!("{input}.{}", base64url::encode(signature)))
    }
}

/// Signs a permit: the compact JWS.
pub fn sign(
    key: &SigningKey,
    claims: &Claims,
    random: &dyn SecureRandom,
) -> Result<String, SignError> {
    if !lifetime_is_acceptable(claims) {
        return Err(SignError::Lifetime);
    }
    let claims = serde_json::to_value(claims).map_err(|_| SignError::Failed)?;
    key.jws(TYPE, &claims, random)
}

/// The name of the key that a permit says to be signed with. Not trusted: for finding the key that [`verify`] then checks.
#[must_use]
pub fn kid(jws: &str) -> Option<String> {
    let jws = Compact::parse(jws, MAX_LENGTH).ok()?;
    jws.header_text("kid").map(str::to_owned)
}

/// Verifies a permit: signed by `issuer` with one of `keys`, for `audience`, alive at `now`. Whether it was used before is not known here.
pub fn verify(
    jws: &str,
    keys: &Jwks,
    issuer: &str,
    audience: &str,
    now: OffsetDateTime,
) -> Result<VerifiedPermit, PermitError> {
    let jws = Compact::parse(jws, MAX_LENGTH)?;
    // RFC 8725 §3.1, §3.11: the algorithm and the type are ours to say, not the token's.
    require(
        jws.header_text("alg") == Some("ES256"),
        PermitError::Algorithm,
    )?;
    require(jws.header_text("typ") == Some(TYPE), PermitError::Type)?;
    let point = jws
        .header_text("kid")
        .and_then(|kid| keys.point(kid))
        .ok_or(PermitError::UnknownKey)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(jws.signing_input().as_bytes(), jws.signature())
        .map_err(|_| PermitError::Signature)?;
    let claims = json::parse(jws.payload(), CLAIMS).map_err(PermitError::Json)?;
    let claims: Claims = serde_json::from_value(claims).map_err(|_| PermitError::Claims)?;
    // RFC 8725 §3.8, §3.9.
    require(claims.iss == issuer, PermitError::Issuer)?;
    require(claims.aud == audience, PermitError::Audience)?;
    require(lifetime_is_acceptable(&claims), PermitError::Lifetime)?;
    require(
        now.checked_add(CLOCK_SKEW)
            .is_some_and(|latest| claims.iat <= latest),
        PermitError::NotYetValid,
    )?;
    require(now < claims.exp, PermitError::Expired)?;
    Ok(VerifiedPermit { claims })
}

fn lifetime_is_acceptable(claims: &Claims) -> bool {
    let latest = claims.iat.checked_add(MAX_LIFETIME);
    claims.exp > claims.iat && latest.is_some_and(|latest| claims.exp <= latest)
}

fn require(holds: bool, otherwise: PermitError) -> Result<(), PermitError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const ISSUED: OffsetDateTime = datetime!(2026-11-21 19:00:00 UTC);
    const ISS: &str = "https://sceau.example";
    const AUD: &str = "portal";

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8(&SystemRandom::new()).unwrap()).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            iss: ISS.into(),
            aud: AUD.into(),
            sub: "amartin".into(),
            jti: Uuid::from_u128(7),
            iat: ISSUED,
            exp: ISSUED + Duration::seconds(60),
            action_sha256: [9; 32],
            authorization_details: vec![json!({"type": "account.create"})],
            acr: "eidas3".into(),
            amr: ["pop", "hwk", "pin", "mfa"].map(String::from).into(),
            approvals: vec![Approval {
                person: "amartin".into(),
                key_id: "k1".into(),
                at: ISSUED,
            }],
            cnf: None,
        }
    }

    fn jwks(key: &SigningKey) -> Jwks {
        Jwks {
            keys: vec![key.jwk().clone()],
        }
    }

    /// Signs any header and payload with the key, as an attacker with the wrong idea, or a careless server, would.
    fn forge(key: &SigningKey, header: &Value, payload: &str) -> String {
        let input = format!(
            "{}.{}",
            base64url::encode(header.to_string()),
            base64url::encode(payload)
        );
        let signature = key
            .pair
            .sign(&SystemRandom::new(), input.as_bytes())
            .unwrap();
        format!("{input}.{}", base64url::encode(signature))
    }

    fn header(key: &SigningKey) -> Value {
        json!({"alg": "ES256", "typ": "permit+jwt", "kid": key.kid()})
    }

    #[test]
    fn accepts_what_it_signed() {
        let key = key();
        let permit = sign(&key, &claims(), &SystemRandom::new()).unwrap();
        for now in [ISSUED - CLOCK_SKEW, ISSUED, ISSUED + Duration::seconds(59)] {
            assert_eq!(
                verify(&permit, &jwks(&key), ISS, AUD, now)
                    .unwrap()
                    .claims(),
                &claims()
            );
        }
        let json = serde_json::to_string(&jwks(&key)).unwrap();
        let with_others = json.replace("[", r#"[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r"},{"kty":"OKP","crv":"Ed25519","x":"AA"},"#);
        let keys: Jwks = serde_json::from_str(&with_others).unwrap();
        assert!(verify(&permit, &keys, ISS, AUD, ISSUED).is_ok());
    }

    #[test]
    fn refuses_another_time_issuer_or_audience() {
        let key = key();
        let permit = sign(&key, &claims(), &SystemRandom::new()).unwrap();
        let refused = |iss, aud, now| verify(&permit, &jwks(&key), iss, aud, now).unwrap_err();
        assert_eq!(
            refused("https://other.example", AUD, ISSUED),
            PermitError::Issuer
        );
        assert_eq!(refused(ISS, "other", ISSUED), PermitError::Audience);
        assert_eq!(
            refused(ISS, AUD, ISSUED + Duration::seconds(60)),
            PermitError::Expired
        );
        assert_eq!(
            refused(ISS, AUD, ISSUED - Duration::seconds(11)),
            PermitError::NotYetValid
        );
    }

    #[test]
    fn refuses_confused_algorithms_types_and_keys() {
        let (key, other) = (key(), key());
        let payload = serde_json::to_string(&claims()).unwrap();
        let refused = |header: Value| {
            verify(
                &forge(&key, &header, &payload),
                &jwks(&key),
                ISS,
                AUD,
                ISSUED,
            )
            .unwrap_err()
        };
        let with = |name: &str, value: Value| {
            let mut changed = header(&key);
            changed[name] = value;
            changed
        };
        for alg in [
            json!("none"),
            json!("HS256"),
            json!("ES384"),
            json!("es256"),
            json!(null),
        ] {
            assert_eq!(refused(with("alg", alg)), PermitError::Algorithm);
        }
        for typ in [
            json!("JWT"),
            json!("at+jwt"),
            json!("application/permit+jwt"),
            json!(null),
        ] {
            assert_eq!(refused(with("typ", typ)), PermitError::Type);
        }
        assert_eq!(refused(with("kid", json!(null))), PermitError::UnknownKey);
        assert_eq!(
            refused(with("kid", json!(other.kid()))),
            PermitError::UnknownKey
        );
        assert_eq!(
            refused(with("crit", json!(["exp"]))),
            PermitError::Malformed(JwsError::Critical)
        );
        // A key that the token brings along is not looked at.
        let mut brought = json!({"alg": "ES256", "typ": "permit+jwt", "kid": key.kid()});
        brought["jwk"] = serde_json::to_value(other.jwk()).unwrap();
        assert_eq!(
            verify(
                &forge(&other, &brought, &payload),
                &jwks(&key),
                ISS,
                AUD,
                ISSUED
            ),
            Err(PermitError::Signature)
        );
    }

    #[test]
    fn refuses_keys_that_are_not_for_permits_or_not_unique() {
        let key = key();
        let permit = sign(&key, &claims(), &SystemRandom::new()).unwrap();
        let refused = |change: fn(&mut Jwk)| {
            let mut keys = jwks(&key);
            change(&mut keys.keys[0]);
            verify(&permit, &keys, ISS, AUD, ISSUED).unwrap_err()
        };
        assert_eq!(refused(|k| k.kty = "oct".into()), PermitError::UnknownKey);
        assert_eq!(
            refused(|k| k.crv = Some("P-384".into())),
            PermitError::UnknownKey
        );
        assert_eq!(
            refused(|k| k.alg = Some("ES384".into())),
            PermitError::UnknownKey
        );
        assert_eq!(
            refused(|k| k.use_ = Some("enc".into())),
            PermitError::UnknownKey
        );
        assert_eq!(
            refused(|k| k.x = Some("AA".into())),
            PermitError::UnknownKey
        );
        assert_eq!(refused(|k| k.y = k.x.clone()), PermitError::Signature);
        let twice = Jwks {
            keys: vec![key.jwk().clone(), key.jwk().clone()],
        };
        assert_eq!(
            verify(&permit, &twice, ISS, AUD, ISSUED),
            Err(PermitError::UnknownKey)
        );
    }

    #[test]
    fn refuses_changed_bytes_and_signature_forms() {
        let key = key();
        let permit = sign(&key, &claims(), &SystemRandom::new()).unwrap();
        let (input, _) = permit.rsplit_once('.').unwrap();
        let refused = |text: String| verify(&text, &jwks(&key), ISS, AUD, ISSUED).unwrap_err();
        let payload = serde_json::to_string(&claims())
            .unwrap()
            .replace("amartin", "bmartin");
        let swapped = format!(
            "{}.{}.{}",
            permit.split('.').next().unwrap(),
            base64url::encode(payload),
            permit.rsplit('.').next().unwrap()
        );
        assert_eq!(refused(swapped), PermitError::Signature);
        assert_eq!(refused(format!("{input}.")), PermitError::Signature);
        assert_eq!(
            refused(format!("{input}.{}", base64url::encode([0; 64]))),
            PermitError::Signature
        );
        assert_eq!(
            refused(format!("{permit}\n")),
            PermitError::Malformed(JwsError::NotCompact)
        );
        assert_eq!(
            refused("x".repeat(MAX_LENGTH + 1)),
            PermitError::Malformed(JwsError::TooLong)
        );
    }

    #[test]
    fn refuses_claims_that_are_ambiguous_missing_or_too_generous() {
        let key = key();
        let payload = serde_json::to_string(&claims()).unwrap();
        let refused = |payload: String| {
            verify(
                &forge(&key, &header(&key), &payload),
                &jwks(&key),
                ISS,
                AUD,
                ISSUED,
            )
            .unwrap_err()
        };
        let twice = payload.replacen('{', r#"{"aud":"portal","#, 1);
        assert_eq!(
            refused(twice),
            PermitError::Json(JsonError::DuplicateMember)
        );
        assert_eq!(
            refused(payload.replacen('}', "", 9)),
            PermitError::Json(JsonError::NotJson)
        );
        for name in [
            "iss",
            "aud",
            "sub",
            "jti",
            "iat",
            "exp",
            "action_sha256",
            "authorization_details",
            "acr",
            "amr",
            "approvals",
        ] {
            let mut without = serde_json::to_value(claims()).unwrap();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(refused(without.to_string()), PermitError::Claims, "{name}");
        }
        assert_eq!(
            refused(payload.replace("\"aud\":\"portal\"", "\"aud\":[\"portal\"]")),
            PermitError::Claims
        );
        for exp in [
            ISSUED,
            ISSUED + Duration::seconds(61),
            ISSUED - Duration::seconds(1),
        ] {
            let generous = Claims { exp, ..claims() };
            assert_eq!(
                refused(serde_json::to_string(&generous).unwrap()),
                PermitError::Lifetime
            );
            assert_eq!(
                sign(&key, &generous, &SystemRandom::new()),
                Err(SignError::Lifetime)
            );
        }
        assert_eq!(
            SigningKey::from_pkcs8(b"no key").unwrap_err(),
            SignError::Key
        );
    }

    #[test]
    fn thumbprint_names_the_key() {
        // x and y of RFC 7517 appendix A.1; the thumbprint computed with Python's hashlib.
        let x = base64url::decode("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4").unwrap();
        let y = base64url::decode("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM").unwrap();
        let jwk = Jwk::from_point(&[&[4], &x[..], &y[..]].concat()).unwrap();
        assert_eq!(
            jwk.kid.as_deref(),
            Some("cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s")
        );
        assert!(!format!("{:?}", key()).contains("pair"));
    }
}
