//! Who a service is, by a signature of its own (`private_key_jwt`: RFC 7523 §2.2 and §3, OpenID Connect Core §9). [`Authenticated`] is built here alone.
//!
//! Trusted: the service's public keys, from the configuration or a file that it names; none is ever fetched. Not trusted: everything in the assertion
//! until its signature holds. The algorithm is the configuration's to allow and the key's to fit, never the token's: no `none`, and no HMAC, whose "key"
//! would be public. The audience is this server's issuer and nothing of anybody else's: an assertion that was made for another server, or for an address that somebody
//! made the service believe in, is worth nothing here. That an assertion is used once is the store's (`desk`).

use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use sceau_locale::Language;
use sceau_proof::jws::Compact;
use serde::Deserialize;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::id::ServiceId;
use crate::provider::is_return_address;

/// Longest assertion.
const LONGEST: usize = 8 * 1024;
/// How far ahead an assertion may end, and how old it may be.
const LIFETIME: Duration = Duration::minutes(5);
/// How far the service's clock may be from ours.
const SKEW: Duration = Duration::seconds(10);
/// Longest `jti`.
const LONGEST_JTI: usize = 255;
/// Keys of one service, at most.
const MOST_KEYS: usize = 16;

/// Signatures that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Signature {
    /// P-256.
    ES256,
    /// P-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// RSA-PSS.
    PS256,
    /// RSA, PKCS #1 v1.5.
    RS256,
}

impl Signature {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("EdDSA", Self::EdDSA),
        ("PS256", Self::PS256),
        ("RS256", Self::RS256),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == word)
            .map(|(_, signature)| signature)
    }

    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDSA => Algorithm::EdDSA,
            Self::PS256 => Algorithm::PS256,
            Self::RS256 => Algorithm::RS256,
        }
    }

    fn fits(self, key: &AlgorithmParameters) -> bool {
        match (self, key) {
            (Self::ES256, AlgorithmParameters::EllipticCurve(key)) => {
                key.curve == EllipticCurve::P256
            }
            (Self::ES384, AlgorithmParameters::EllipticCurve(key)) => {
                key.curve == EllipticCurve::P384
            }
            (Self::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => {
                key.curve == EllipticCurve::Ed25519
            }
            (Self::PS256 | Self::RS256, AlgorithmParameters::RSA(_)) => true,
            _ => false,
        }
    }
}

/// `[service.oauth]`: a service that speaks OAuth.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Its public keys: a file with a JWK Set (RFC 7517 §5).
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// Or the keys themselves, as JWKs.
    #[serde(default)]
    pub keys: Vec<Value>,
    /// What it may sign with.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Signature>,
    /// Where its people are sent back to, exactly.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
}

fn default_algorithms() -> Vec<Signature> {
    vec![Signature::ES256, Signature::EdDSA, Signature::PS256]
}

/// A registration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// Not one of the two.
    #[error("service {0}: `keys_file` or `keys`: one of them, not both")]
    Source(ServiceId),
    /// Its file cannot be read.
    #[error("service {service}: cannot read {path}: {reason}")]
    Unreadable {
        /// Whose.
        service: ServiceId,
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Its file is no JWK Set; line and column are the file's.
    #[error("service {service}: {path}, {reason}")]
    Malformed {
        /// Whose.
        service: ServiceId,
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// One of its keys.
    #[error("service {service}: key {number}: {}", Language::En.text(.problem))]
    Key {
        /// Whose.
        service: ServiceId,
        /// Which, from 1.
        number: usize,
        /// Why not.
        problem: &'static str,
    },
    /// An address.
    #[error(
        "service {service}: redirect_uris: {uri} is no https address without a fragment (plain http for localhost alone)"
    )]
    Address {
        /// Whose.
        service: ServiceId,
        /// Which.
        uri: String,
    },
    /// Nothing that it could sign with.
    #[error("service {0}: `algorithms` is empty")]
    Algorithms(ServiceId),
}

impl Registration {
    /// Paths are relative to `folder`.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        if let Some(path) = &mut self.keys_file {
            *path = folder.join(&path);
        }
    }
}

/// A public key that fits an algorithm.
pub(super) struct ClientKey {
    jwk: Jwk,
    key: DecodingKey,
}

impl ClientKey {
    /// What verifies by it.
    pub(super) fn verifier(&self) -> &DecodingKey {
        &self.key
    }
}

/// A service as it is known here.
pub struct Client {
    id: ServiceId,
    keys: Vec<ClientKey>,
    algorithms: Vec<Signature>,
    redirect_uris: Vec<String>,
}

impl Client {
    /// Reads and checks what the configuration says of a service.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn read(id: &ServiceId, registration: &Registration) -> Result<Self, RegistrationError> {
        let service = || id.clone();
        if registration.algorithms.is_empty() {
            return Err(RegistrationError::Algorithms(service()));
        }
        let foreign = |uri: &&String| !is_return_address(uri);
        if let Some(uri) = registration.redirect_uris.iter().find(foreign) {
            return Err(RegistrationError::Address {
                service: service(),
                uri: uri.clone(),
            });
        }
        let listed = match (&registration.keys_file, registration.keys.is_empty()) {
            (Some(path), true) => file(id, path)?,
            (None, false) => registration.keys.clone(),
            _ => return Err(RegistrationError::Source(service())),
        };
        let mut keys: Vec<ClientKey> = Vec::new();
        let many = listed.len() > 1;
        for (n, value) in listed.into_iter().enumerate() {
            let fault = |problem| RegistrationError::Key {
                service: service(),
                number: n + 1,
                problem,
            };
            let read = key(value, &registration.algorithms).map_err(fault)?;
            let kid = &read.jwk.common.key_id;
            if many && kid.is_none() {
                return Err(fault("fault-service-key-kid"));
            }
            if keys.iter().any(|other| other.jwk.common.key_id == *kid) {
                return Err(fault("fault-service-key-kid-twice"));
            }
            if n >= MOST_KEYS {
                return Err(fault("fault-service-key-many"));
            }
            keys.push(read);
        }
        if keys.is_empty() {
            return Err(RegistrationError::Source(service()));
        }
        Ok(Self {
            id: service(),
            keys,
            algorithms: registration.algorithms.clone(),
            redirect_uris: registration.redirect_uris.clone(),
        })
    }

    /// The service.
    #[must_use]
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// Whether this is exactly one of its addresses.
    #[must_use]
    pub fn returns_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|own| own == uri)
    }
}

fn file(id: &ServiceId, path: &Path) -> Result<Vec<Value>, RegistrationError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let text = std::fs::read_to_string(path).map_err(|error| RegistrationError::Unreadable {
        service: id.clone(),
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    serde_json::from_str::<Set>(&text)
        .map(|set| set.keys)
        .map_err(|error| RegistrationError::Malformed {
            service: id.clone(),
            path: path.to_owned(),
            reason: format!("line {}, column {}: {error}", error.line(), error.column()),
        })
}

/// Reads a public key that fits one of the algorithms.
pub(super) fn key(value: Value, algorithms: &[Signature]) -> Result<ClientKey, &'static str> {
    let secret = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    if secret.iter().any(|member| value.get(member).is_some()) {
        return Err("fault-service-key-secret");
    }
    if let Some(modulus) = value.get("n") {
        let bytes = modulus
            .as_str()
            .and_then(|text| sceau_proof::base64url::decode(text).ok());
        if bytes.is_none_or(|bytes| bytes.len() < 256) {
            return Err("fault-service-key-short");
        }
    }
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| "fault-service-key-jwk")?;
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|usage| *usage != PublicKeyUse::Signature)
    {
        return Err("fault-service-key-use");
    }
    if !algorithms.iter().any(|it| it.fits(&jwk.algorithm)) {
        return Err("fault-service-key-algorithm");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "fault-service-key-public")?;
    Ok(ClientKey { jwk, key })
}

/// A service that has shown who it is. Its assertion may still have been shown before.
pub struct Authenticated<'c> {
    client: &'c Client,
    jti: String,
    until: OffsetDateTime,
}

impl<'c> Authenticated<'c> {
    /// Which service.
    #[must_use]
    pub fn client(&self) -> &'c Client {
        self.client
    }

    /// The assertion's own name.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Until when the assertion could be shown again.
    #[must_use]
    pub fn until(&self) -> OffsetDateTime {
        self.until
    }
}

/// Why an assertion is not believed. The service is told `invalid_client`; this is for its keeper, and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthenticated {
    /// Not a compact JWS of claims.
    #[error("assertion-malformed")]
    Malformed,
    /// No service of that name speaks OAuth here.
    #[error("client-unknown")]
    UnknownClient,
    /// `none`, HMAC, or whatever this service may not sign with.
    #[error("assertion-algorithm")]
    Algorithm,
    /// A token of another kind.
    #[error("assertion-type")]
    Type,
    /// No key of that name and kind.
    #[error("assertion-key-unknown")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("assertion-signature")]
    Signature,
    /// Issuer and subject are not both the client.
    #[error("assertion-subject")]
    Subject,
    /// For another server, or for several.
    #[error("assertion-audience")]
    Audience,
    /// Expired, from the future, or good for too long.
    #[error("assertion-time")]
    Time,
    /// Without a name of its own.
    #[error("assertion-jti")]
    Identifier,
}

/// Checks an assertion (RFC 7523 §3) for `issuer` at `now`.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify<'c>(
    assertion: &str,
    clients: &'c [Client],
    issuer: &str,
    now: OffsetDateTime,
) -> Result<Authenticated<'c>, NotAuthenticated> {
    let jws = Compact::parse(assertion, LONGEST).map_err(|_| NotAuthenticated::Malformed)?;
    let claims = claims(&jws, LONGEST).ok_or(NotAuthenticated::Malformed)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Whose keys to try is the subject's to say; that it is the subject's is the signature's.
    let subject = text("sub").ok_or(NotAuthenticated::Subject)?;
    let client = clients
        .iter()
        .find(|client| client.id.as_str() == subject)
        .ok_or(NotAuthenticated::UnknownClient)?;
    let signature = jws
        .header_text("alg")
        .and_then(Signature::named)
        .filter(|signature| client.algorithms.contains(signature))
        .ok_or(NotAuthenticated::Algorithm)?;
    // RFC 8725 §3.11: a permit, or any other token of that service's, is no assertion.
    if jws.header().contains_key("typ") {
        let known = ["JWT", "jwt", "client-authentication+jwt"];
        if !jws.header_text("typ").is_some_and(|it| known.contains(&it)) {
            return Err(NotAuthenticated::Type);
        }
    }
    let named = jws.header_text("kid");
    let mut fitting = client.keys.iter().filter(|key| {
        signature.fits(&key.jwk.algorithm)
            && (named.is_none() || key.jwk.common.key_id.as_deref() == named)
    });
    let (Some(found), None) = (fitting.next(), fitting.next()) else {
        return Err(NotAuthenticated::UnknownKey);
    };
    let mut validation = Validation::new(signature.algorithm());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode::<Map<String, Value>>(assertion, &found.key, &validation)
        .map_err(|_| NotAuthenticated::Signature)?;
    // §3 steps 1 and 2.
    if text("iss") != Some(subject) {
        return Err(NotAuthenticated::Subject);
    }
    // Step 3, as RFC 7523bis has it: the issuer; beside it, as older libraries write, addresses of ours at most.
    let ours = match claims.get("aud") {
        Some(Value::String(aud)) => aud == issuer,
        Some(Value::Array(list)) => {
            let own = |aud: &Value| aud.as_str().is_some_and(|aud| is_ours(aud, issuer));
            list.iter().any(|aud| aud == issuer) && list.iter().all(own)
        }
        _ => false,
    };
    if !ours {
        return Err(NotAuthenticated::Audience);
    }
    let until = times(&claims, now)?;
    // Step 7.
    let jti = text("jti")
        .filter(|jti| !jti.is_empty() && jti.len() <= LONGEST_JTI)
        .filter(|jti| jti.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(NotAuthenticated::Identifier)?
        .to_owned();
    Ok(Authenticated { client, jti, until })
}

/// The issuer, or an address under it where assertions are shown.
fn is_ours(aud: &str, issuer: &str) -> bool {
    aud.strip_prefix(issuer).is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix(super::PATH)
                .is_some_and(|endpoint| super::ENDPOINTS.contains(&endpoint))
    })
}

/// What a token claims, of at most `length` bytes; `None` when it is no object, or says a name twice. Not verified.
pub(super) fn claims(jws: &Compact<'_>, length: usize) -> Option<Map<String, Value>> {
    let rules = sceau_proof::json::Rules {
        length,
        depth: 4,
        integers: false,
        nfc: false,
    };
    match sceau_proof::json::parse(jws.payload(), rules) {
        Ok(Value::Object(claims)) => Some(claims),
        _ => None,
    }
}

/// §3 steps 4 to 6; gives until when it could be shown again.
fn times(
    claims: &Map<String, Value>,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, NotAuthenticated> {
    let at = |name: &str| {
        let seconds = claims.get(name).and_then(Value::as_i64);
        seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
    };
    let (Some(iat), Some(exp)) = (at("iat"), at("exp")) else {
        return Err(NotAuthenticated::Time);
    };
    let begun = !claims.contains_key("nbf") || at("nbf").is_some_and(|nbf| nbf <= now + SKEW);
    let alive = now < exp + SKEW
        && exp <= now + LIFETIME + SKEW
        && iat <= now + SKEW
        && now <= iat + LIFETIME + SKEW;
    if begun && alive {
        // Instances' clocks differ: it is remembered for longer than any of them takes it.
        Ok(exp + SKEW * 2)
    } else {
        Err(NotAuthenticated::Time)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use sceau_proof::base64url;
    use sceau_proof::permit::SigningKey;
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://sceau.example";
    const NOW: i64 = 1_795_000_000;

    fn signing_key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8(&SystemRandom::new()).unwrap()).unwrap()
    }

    fn registration(keys: &[&SigningKey]) -> Registration {
        Registration {
            keys_file: None,
            keys: keys
                .iter()
                .map(|key| serde_json::to_value(key.jwk()).unwrap())
                .collect(),
            algorithms: default_algorithms(),
            redirect_uris: vec!["https://portal.example/back".to_owned()],
        }
    }

    fn client(id: &str, keys: &[&SigningKey]) -> Client {
        Client::read(&id.parse().unwrap(), &registration(keys)).unwrap()
    }

    fn good() -> Value {
        json!({"iss": "portal", "sub": "portal", "aud": ISSUER, "jti": "j-1", "iat": NOW - 1, "exp": NOW + 60})
    }

    fn but(name: &str, value: Value) -> Value {
        let mut claims = good();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }

    fn check(assertion: &str, clients: &[Client]) -> Result<String, NotAuthenticated> {
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        verify(assertion, clients, ISSUER, now).map(|it| it.client().id().to_string())
    }

    fn signed(key: &SigningKey, kind: &str, claims: &Value) -> String {
        key.jws(kind, claims, &SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_service_is_whose_key_signed() {
        let (old, new, other) = (signing_key(), signing_key(), signing_key());
        let clients = [client("other", &[&other]), client("portal", &[&old, &new])];
        for key in [&old, &new] {
            for kind in ["JWT", "client-authentication+jwt"] {
                let assertion = signed(key, kind, &good());
                assert_eq!(check(&assertion, &clients).as_deref(), Ok("portal"));
            }
        }
        let one = but("aud", json!([ISSUER]));
        assert!(check(&signed(&old, "JWT", &one), &clients).is_ok());
        // As libraries write that name the endpoint, too.
        let both = but("aud", json!([ISSUER, format!("{ISSUER}/oauth/token")]));
        assert!(check(&signed(&old, "JWT", &both), &clients).is_ok());
        // Another service's key, and a key that is nobody's.
        let theirs = signed(&other, "JWT", &good());
        assert_eq!(check(&theirs, &clients), Err(NotAuthenticated::UnknownKey));
    }

    #[test]
    fn every_claim_is_checked() {
        let key = signing_key();
        let clients = [client("portal", &[&key])];
        let cases = [
            ("iss", json!("other"), NotAuthenticated::Subject),
            ("iss", Value::Null, NotAuthenticated::Subject),
            ("sub", Value::Null, NotAuthenticated::Subject),
            ("sub", json!("stranger"), NotAuthenticated::UnknownClient),
            (
                "aud",
                json!("https://other.example"),
                NotAuthenticated::Audience,
            ),
            // The endpoint's address: what a server that poses as ours would have it say.
            (
                "aud",
                json!("https://sceau.example/oauth/token"),
                NotAuthenticated::Audience,
            ),
            (
                "aud",
                json!([ISSUER, "https://other.example"]),
                NotAuthenticated::Audience,
            ),
            (
                "aud",
                json!(["https://sceau.example/oauth/token"]),
                NotAuthenticated::Audience,
            ),
            (
                "aud",
                json!([ISSUER, "https://sceau.example/oauth/authorize"]),
                NotAuthenticated::Audience,
            ),
            (
                "aud",
                json!([ISSUER, "https://sceau.example.evil/oauth/token"]),
                NotAuthenticated::Audience,
            ),
            ("aud", json!([]), NotAuthenticated::Audience),
            ("aud", Value::Null, NotAuthenticated::Audience),
            ("exp", json!(NOW - 11), NotAuthenticated::Time),
            ("exp", json!(NOW + 3600), NotAuthenticated::Time),
            ("exp", Value::Null, NotAuthenticated::Time),
            ("iat", json!(NOW + 60), NotAuthenticated::Time),
            ("iat", json!(NOW - 3600), NotAuthenticated::Time),
            ("iat", Value::Null, NotAuthenticated::Time),
            ("nbf", json!(NOW + 60), NotAuthenticated::Time),
            ("jti", json!(""), NotAuthenticated::Identifier),
            ("jti", json!("x".repeat(256)), NotAuthenticated::Identifier),
            ("jti", json!("a b"), NotAuthenticated::Identifier),
            ("jti", Value::Null, NotAuthenticated::Identifier),
        ];
        for (name, value, reason) in cases {
            let assertion = signed(&key, "JWT", &but(name, value.clone()));
            assert_eq!(check(&assertion, &clients), Err(reason), "{name} {value}");
        }
        for kind in ["permit+jwt", "at+jwt", ""] {
            let assertion = signed(&key, kind, &good());
            assert_eq!(
                check(&assertion, &clients),
                Err(NotAuthenticated::Type),
                "{kind}"
            );
        }
    }

    #[test]
    fn no_none_no_hmac_and_no_other_algorithm() {
        let key = signing_key();
        let clients = [client("portal", &[&key])];
        let forged = |header: Value, sign: &dyn Fn(&str) -> Vec<u8>| {
            let input = format!(
                "{}.{}",
                base64url::encode(header.to_string()),
                base64url::encode(good().to_string())
            );
            let signature = base64url::encode(sign(&input));
            format!("{input}.{signature}")
        };
        // HMAC with the public key as its secret: in every form in which a library may have it.
        let jwk = serde_json::to_string(key.jwk()).unwrap();
        let x = base64url::decode(key.jwk().x.as_deref().unwrap()).unwrap();
        for secret in [jwk.as_bytes(), x.as_slice()] {
            let mac = |input: &str| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
                aws_lc_rs::hmac::sign(&key, input.as_bytes())
                    .as_ref()
                    .to_vec()
            };
            let assertion = forged(json!({"alg": "HS256", "kid": key.kid()}), &mac);
            assert_eq!(
                check(&assertion, &clients),
                Err(NotAuthenticated::Algorithm)
            );
        }
        for alg in ["none", "None", "NONE", "", "RS256", "ES384", "ES256K"] {
            let assertion = forged(json!({"alg": alg, "kid": key.kid()}), &|_| Vec::new());
            let reason = check(&assertion, &clients).unwrap_err();
            let expected = [
                NotAuthenticated::Algorithm,
                NotAuthenticated::UnknownKey,
                NotAuthenticated::Malformed,
            ];
            assert!(expected.contains(&reason), "{alg}: {reason}");
        }
        // The key that the token brings along is not looked at.
        let mine = signing_key();
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": key.kid(), "jwk": mine.jwk(), "jku": "https://evil.example/jwks"});
        let assertion = forged(header, &|input| {
            let jws = signed(&mine, "JWT", &good());
            let _ = input;
            base64url::decode(jws.rsplit('.').next().unwrap()).unwrap()
        });
        assert_eq!(
            check(&assertion, &clients),
            Err(NotAuthenticated::Signature)
        );
        // One bit of the signature.
        let whole = signed(&key, "JWT", &good());
        let (input, signature) = whole.rsplit_once('.').unwrap();
        let mut bytes = base64url::decode(signature).unwrap();
        bytes[7] ^= 1;
        let assertion = format!("{input}.{}", base64url::encode(bytes));
        assert_eq!(
            check(&assertion, &clients),
            Err(NotAuthenticated::Signature)
        );
    }

    #[test]
    fn odd_texts_are_malformed() {
        let key = signing_key();
        let clients = [client("portal", &[&key])];
        let long = "x".repeat(LONGEST + 1);
        for text in ["", "a", "a.b.c", "..", long.as_str()] {
            assert_eq!(
                check(text, &clients),
                Err(NotAuthenticated::Malformed),
                "{text}"
            );
        }
        // A claim twice: two readers would see two services.
        let payload = "{\"sub\":\"portal\",\"sub\":\"other\"}";
        let header = base64url::encode("{\"alg\":\"ES256\"}");
        let twice = format!(
            "{header}.{}.{}",
            base64url::encode(payload),
            base64url::encode([0; 64])
        );
        assert_eq!(check(&twice, &clients), Err(NotAuthenticated::Malformed));
    }

    #[test]
    fn keys_that_no_service_should_have_are_refused_by_name() {
        let read = |keys: Vec<Value>| {
            let registration = Registration {
                keys,
                ..registration(&[])
            };
            Client::read(&"portal".parse().unwrap(), &registration).err()
        };
        let good = serde_json::to_value(signing_key().jwk()).unwrap();
        let with = |name: &str, value: Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        let problem = |keys: Vec<Value>| match read(keys) {
            Some(RegistrationError::Key { problem, .. }) => Language::En.text(problem),
            other => panic!("{other:?}"),
        };
        assert!(problem(vec![with("d", json!("AAAA"))]).contains("secret"));
        assert!(problem(vec![json!({"kty": "oct", "k": "AAAA"})]).contains("secret"));
        assert!(problem(vec![with("use", json!("enc"))]).contains("signatures"));
        assert!(problem(vec![json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})]).contains("2048"));
        assert!(problem(vec![good.clone(), good.clone()]).contains("same"));
        let mut nameless = good.clone();
        nameless.as_object_mut().unwrap().remove("kid");
        assert!(problem(vec![good, nameless]).contains("kid"));
        assert!(matches!(read(vec![]), Some(RegistrationError::Source(_))));
        let elsewhere = Registration {
            redirect_uris: vec!["http://portal.example/".to_owned()],
            ..registration(&[&signing_key()])
        };
        assert!(matches!(
            Client::read(&"portal".parse().unwrap(), &elsewhere),
            Err(RegistrationError::Address { .. })
        ));
    }
}
