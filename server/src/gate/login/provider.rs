//! ProConnect as an OpenID provider (OpenID Connect Discovery, Core §3.1): where it is, whom it sends us, what it answers. Blocking requests, bounded.
//!
//! What arrives is believed in [`super::token`] alone. The discovery document is trusted as far as the issuer's TLS, and must name the issuer itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use jsonwebtoken::jwk::JwkSet;
use sceau_proof::permit::SigningKey;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::config::{LoginFault, Settings};
use super::token::{Expected, NotBelieved, Received, VerifiedLogin, verify};
use crate::gate::notice::query_escape;
use crate::keyfile;
use crate::web;

/// For one exchange with the provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const LONGEST: u64 = 256 * 1024;
/// How long its documents are kept.
const KEPT: time::Duration = time::Duration::minutes(10);

/// Why there is no log-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProviderError {
    /// It cannot be reached, or does not answer as a provider does.
    #[error("{0}")]
    Unavailable(&'static str),
    /// It says no.
    #[error("provider-refused")]
    Refused,
    /// What it says does not hold.
    #[error(transparent)]
    NotBelieved(#[from] NotBelieved),
}

/// What the issuer says of itself.
#[derive(Debug, Clone, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
}

#[derive(Debug, Clone)]
struct Known {
    document: Document,
    keys: JwkSet,
    at: OffsetDateTime,
}

/// How we show who we are.
enum Proof {
    Secret(Zeroizing<String>),
    Key(Box<SigningKey>),
}

/// The provider, as one client of it.
pub(super) struct Provider {
    pub(super) settings: Settings,
    proof: Proof,
    agent: ureq::Agent,
    known: Mutex<Option<Known>>,
}

/// One request for a log-in.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) redirect_uri: String,
    pub(super) acr: Vec<String>,
}

impl Provider {
    /// Reads the secrets; asks nobody yet.
    pub(super) fn new(settings: Settings) -> Result<Self, LoginFault> {
        settings.check()?;
        let fault = |error: keyfile::KeyFileError| LoginFault::Secret(error.to_string());
        let proof = match (&settings.secret, &settings.key) {
            (Some(file), _) => {
                Proof::Secret(Zeroizing::new(keyfile::secret_line(file).map_err(fault)?))
            }
            (None, Some(file)) => Proof::Key(Box::new(keyfile::permit_key(file).map_err(fault)?)),
            (None, None) => return Err(LoginFault::Authentication),
        };
        Ok(Self {
            agent: web::client(
                "sceau-server",
                PATIENCE,
                settings.issuer.starts_with("https:"),
                &[],
            ),
            settings,
            proof,
            known: Mutex::new(None),
        })
    }

    /// The key that our assertions are signed with, for whoever registers us.
    pub(super) fn jwks(&self) -> Option<serde_json::Value> {
        match &self.proof {
            Proof::Secret(_) => None,
            Proof::Key(key) => Some(json!({ "keys": [key.jwk()] })),
        }
    }

    /// Where the browser is sent. Blocking.
    pub(super) fn authorize(
        &self,
        request: &Request,
        now: OffsetDateTime,
    ) -> Result<String, ProviderError> {
        let known = self.known(now)?;
        let challenge = sceau_proof::log::entry::sha256(request.verifier.as_bytes());
        let claims = json!({"id_token": {
            "amr": {"essential": true},
            "acr": {"essential": true, "values": request.acr},
        }});
        let scope = format!("openid {}", self.settings.scopes.join(" "));
        let url = known.document.authorization_endpoint;
        let mark = if url.contains('?') { '&' } else { '?' };
        Ok(format!(
            "{url}{mark}{}",
            form(&[
                ("response_type", "code"),
                ("client_id", &self.settings.client_id),
                ("redirect_uri", &request.redirect_uri),
                ("scope", scope.trim_end()),
                ("state", &request.state),
                ("nonce", &request.nonce),
                ("claims", &claims.to_string()),
                ("code_challenge", &sceau_proof::base64url::encode(challenge)),
                ("code_challenge_method", "S256"),
            ])
        ))
    }

    /// Turns a code into a log-in that holds. Blocking.
    pub(super) fn redeem(
        &self,
        request: &Request,
        code: &str,
        now: OffsetDateTime,
    ) -> Result<VerifiedLogin, ProviderError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
            access_token: String,
        }
        let known = self.known(now)?;
        let mut fields = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", request.redirect_uri.clone()),
            ("code_verifier", request.verifier.clone()),
            ("client_id", self.settings.client_id.clone()),
        ];
        match &self.proof {
            Proof::Secret(secret) => fields.push(("client_secret", secret.to_string())),
            Proof::Key(key) => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                fields.push(("client_assertion_type", kind.to_owned()));
                fields.push((
                    "client_assertion",
                    self.assertion(key, &known.document.issuer, now)?,
                ));
            }
        }
        let borrowed: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = Zeroizing::new(form(&borrowed));
        let sent = self
            .agent
            .post(&known.document.token_endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .send(body.as_str());
        let (_, body) = answer(sent)?;
        let tokens: Tokens = serde_json::from_slice(&body).map_err(|_| NotBelieved::Malformed)?;
        let about = self
            .agent
            .get(&known.document.userinfo_endpoint)
            .header("authorization", &format!("Bearer {}", tokens.access_token))
            .call();
        let (kind, about) = answer(about)?;
        let signed = kind.to_ascii_lowercase().starts_with("application/jwt");
        let about = match (signed, std::str::from_utf8(&about)) {
            (true, Ok(jwt)) => Received::Signed(jwt),
            _ => Received::Plain(&about),
        };
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &request.nonce,
            acr: &request.acr,
            idp_ids: &self.settings.idp_ids,
            now,
        };
        let judge = |keys: &JwkSet| verify(&tokens.id_token, about, keys, &expected);
        match judge(&known.keys) {
            // A key that is not known yet: asked for once more.
            Err(NotBelieved::UnknownKey) => {
                self.forget();
                Ok(judge(&self.known(now)?.keys)?)
            }
            judged => Ok(judged?),
        }
    }

    /// Where the browser is sent to sign out there, too.
    pub(super) fn end_session(
        &self,
        id_token: Option<&str>,
        back: &str,
        now: OffsetDateTime,
    ) -> Option<String> {
        let end = self.known(now).ok()?.document.end_session_endpoint?;
        let mut fields = vec![
            ("client_id", self.settings.client_id.as_str()),
            ("post_logout_redirect_uri", back),
        ];
        fields.extend(id_token.map(|token| ("id_token_hint", token)));
        let mark = if end.contains('?') { '&' } else { '?' };
        Some(format!("{end}{mark}{}", form(&fields)))
    }

    /// RFC 7523: who we are, for this issuer, for a minute.
    fn assertion(
        &self,
        key: &SigningKey,
        audience: &str,
        now: OffsetDateTime,
    ) -> Result<String, ProviderError> {
        let claims = json!({
            "iss": self.settings.client_id, "sub": self.settings.client_id, "aud": audience,
            "jti": super::secret()?, "iat": now.unix_timestamp(), "exp": now.unix_timestamp() + 60,
        });
        key.jws("JWT", &claims, &SystemRandom::new())
            .map_err(|_| ProviderError::Unavailable("assertion-not-signed"))
    }

    fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn known(&self, now: OffsetDateTime) -> Result<Known, ProviderError> {
        let kept = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(kept) = kept.filter(|kept| kept.at <= now && now - kept.at < KEPT) {
            return Ok(kept);
        }
        let issuer = &self.settings.issuer;
        let found = self
            .agent
            .get(&format!("{issuer}/.well-known/openid-configuration"))
            .call();
        let document: Document = serde_json::from_slice(&answer(found)?.1)
            .map_err(|_| ProviderError::Unavailable("discovery-malformed"))?;
        let places = [
            &document.authorization_endpoint,
            &document.token_endpoint,
            &document.userinfo_endpoint,
            &document.jwks_uri,
        ];
        if document.issuer != *issuer || !places.iter().all(|place| web::may_be_asked(place)) {
            return Err(NotBelieved::Issuer.into());
        }
        let keys = answer(self.agent.get(&document.jwks_uri).call())?.1;
        let keys = key_set(&keys).ok_or(ProviderError::Unavailable("keys-malformed"))?;
        let known = Known {
            document,
            keys,
            at: now,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }
}

/// The keys of a set that can be read; others are for somebody else.
fn key_set(bytes: &[u8]) -> Option<JwkSet> {
    let set: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let listed = set.get("keys")?.as_array()?;
    let keys = listed
        .iter()
        .take(64)
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .collect();
    Some(JwkSet { keys })
}

/// Content type and body of a 200 answer.
fn answer(
    response: Result<http::Response<ureq::Body>, ureq::Error>,
) -> Result<(String, Vec<u8>), ProviderError> {
    let response = response.map_err(|_| ProviderError::Unavailable("provider-unreachable"))?;
    if response.status() != 200 {
        return Err(ProviderError::Refused);
    }
    let kind = response
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = response.into_body().into_with_config().limit(LONGEST);
    let body = body
        .read_to_vec()
        .map_err(|_| ProviderError::Unavailable("provider-unreachable"))?;
    Ok((kind, body))
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", query_escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}
