//! This server as an identity provider of the federation (ProConnect): the one that earns `eidas3`, by a touch for that very request.
//!
//! OpenID Connect Core, code flow. The person's key seals an action `login.seal` that names the service, the request's digest and a number
//! that the browser shows; only then is `eidas3` said. Otherwise the level is a lower one that is true, as the federation wants it: no
//! OAuth error for a key that is not there, and never a word more than what was proved. When nothing at all was proved there is nobody to
//! speak of: the page asks again, and nothing is sent.
//!
//! Here: settings and what all endpoints share. Levels are `level`, what arrives is `request`, who people are is `people`; state changes
//! are `desk`'s alone. The key that signs here signs nothing else.

mod authorize;
mod config;
pub mod level;
mod login;
mod page;
pub mod people;
pub mod request;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use sceau_proof::log::entry::sha256;
use sceau_proof::permit::{Jwks, SigningKey};
use serde_json::Value;
use zeroize::Zeroizing;

pub(crate) use authorize::redirect;
pub(crate) use config::is_return_address;
pub use config::{Client, Require, Settings};
use people::{People, PeopleError, Profile};
pub(crate) use request::pairs;

use crate::api::{Peer, Problem};
use crate::desk::Desk;
use crate::gate::session::CookieRule;
use crate::keyfile::{self, KeyFileError};
use crate::port::{NoRandomness, Ports};
use crate::rate::Burst;

/// Where all of it lives, under the server's origin; origin and path are the issuer.
pub const PATH: &str = "/provider";

/// The provider's settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A secret.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The people's file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The people's file.
    #[error("{path}: {error}")]
    People {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        error: PeopleError,
    },
    /// A client's secret is too short to be one.
    #[error("the secret of client {0} has less than 32 characters")]
    Secret(String),
}

struct Inner {
    desk: Desk,
    ports: Ports,
    settings: Settings,
    people: People,
    key: SigningKey,
    retired: Vec<SigningKey>,
    secrets: Vec<[u8; 32]>,
    issuer: String,
    cookies: CookieRule,
    strangers: Mutex<Burst<IpAddr>>,
}

/// The identity provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
}

/// What a configuration names, read and checked.
pub struct Loaded {
    settings: Settings,
    people: People,
    key: SigningKey,
    retired: Vec<SigningKey>,
    secrets: Vec<[u8; 32]>,
}

impl Loaded {
    /// How many people the provider speaks of.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Reads the files that the settings name; makes the key when `create` and it is not there.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub fn read(settings: &Settings, create: bool) -> Result<Self, ProviderError> {
        if create && !settings.key.exists() {
            keyfile::make_permit_key(&settings.key)?;
        }
        let path = settings.people.clone();
        let people = std::fs::read_to_string(&path).map_err(|error| ProviderError::Unreadable {
            path: path.clone(),
            error,
        })?;
        let people =
            People::parse(&people).map_err(|error| ProviderError::People { path, error })?;
        let mut secrets = Vec::new();
        for client in &settings.client {
            let secret = keyfile::read_secret(&client.secret)?;
            let secret = secret.trim_ascii();
            if secret.len() < 32 {
                return Err(ProviderError::Secret(client.id.clone()));
            }
            secrets.push(sha256(secret));
        }
        let retired = settings
            .retired
            .iter()
            .map(|path| keyfile::permit_key(path))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            key: keyfile::permit_key(&settings.key)?,
            settings: settings.clone(),
            people,
            retired,
            secrets,
        })
    }
}

impl Provider {
    /// `strangers`: what one address may ask without being known.
    #[must_use]
    pub fn new(desk: Desk, ports: Ports, loaded: Loaded, strangers: Burst<IpAddr>) -> Self {
        let issuer = format!("{}{PATH}", desk.public_url());
        let secure = desk.public_url().starts_with("https://");
        Self {
            inner: Arc::new(Inner {
                desk,
                ports,
                settings: loaded.settings,
                people: loaded.people,
                key: loaded.key,
                retired: loaded.retired,
                secrets: loaded.secrets,
                issuer,
                cookies: CookieRule::named(secure, ["__Host-sceau-login", "sceau-login"]),
                strangers: Mutex::new(strangers),
            }),
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let at = |path: &str| format!("{PATH}{path}");
        Router::new()
            .route(
                &at("/.well-known/openid-configuration"),
                get(token::discovery),
            )
            .route(&at("/jwks.json"), get(token::jwks))
            .route(
                &at("/authorize"),
                get(authorize::by_query).post(authorize::by_form),
            )
            .route(&at("/login"), post(login::begin))
            .route(&at("/login/{id}"), get(login::show))
            .route(&at("/login/{id}/approval"), post(login::approve))
            .route(&at("/login/{id}/continue"), get(login::finish))
            .route(&at("/login/{id}/lower"), post(login::lower))
            .route(&at("/token"), post(token::token))
            .route(&at("/userinfo"), get(token::userinfo).post(token::userinfo))
            .route(
                &at("/logout"),
                get(token::logout).post(token::logout_by_form),
            )
            .route(&at("/page.js"), get(page::script))
            .route(&at("/page.css"), get(page::style))
            .with_state(self)
    }

    fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn people(&self) -> &People {
        &self.inner.people
    }

    fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    fn keys(&self) -> Jwks {
        let retired = self.inner.retired.iter();
        Jwks {
            keys: std::iter::once(&self.inner.key)
                .chain(retired)
                .map(|key| key.jwk().clone())
                .collect(),
        }
    }

    fn signed(&self, claims: &Value) -> Option<String> {
        self.inner.key.jws("JWT", claims, &SystemRandom::new()).ok()
    }

    /// Whether this is the client's secret.
    fn knows(&self, client: &Client, secret: &str) -> bool {
        use subtle::ConstantTimeEq as _;

        let digest = sha256(secret.as_bytes());
        self.settings()
            .client
            .iter()
            .zip(&self.inner.secrets)
            .any(|(other, known)| other.id == client.id && bool::from(known.ct_eq(&digest)))
    }

    /// Whether an address that nobody knows may go on.
    fn stranger(&self, peer: &Peer) -> Result<(), Problem> {
        let now = self.desk().now();
        let mut strangers = self
            .inner
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        strangers
            .take(peer.0, now)
            .map_err(|wait| Problem::limited(wait.unsigned_abs()))
    }

    /// The browser's own token, as it sent it.
    fn browser(&self, headers: &HeaderMap) -> Option<Zeroizing<String>> {
        self.inner.cookies.token(headers)
    }

    /// A new token for a browser.
    fn new_browser(&self) -> Result<Zeroizing<String>, NoRandomness> {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(self.inner.ports.bytes()?);
        Ok(Zeroizing::new(sceau_proof::base64url::encode(*bytes)))
    }

    /// Four digits that the browser shows and the key's owner compares.
    fn number(&self) -> Result<String, NoRandomness> {
        let bytes: [u8; 4] = self.inner.ports.bytes()?;
        Ok(format!("{:04}", u32::from_be_bytes(bytes) % 10_000))
    }

    /// Whether this person may be signed in to that service at all.
    async fn allowed(
        &self,
        profile: &Profile,
        sp_id: Option<&str>,
    ) -> Result<bool, crate::desk::DeskError> {
        let Some(require) = self
            .settings()
            .required(sp_id)
            .filter(|require| !require.roles.is_empty())
        else {
            return Ok(true);
        };
        let person = self.desk().person(&profile.id).await?;
        Ok(person
            .is_some_and(|person| require.roles.iter().any(|role| person.roles.contains(role))))
    }
}
