//! `[provider]`: this server as an identity provider of the federation. Secrets are files, 0600.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::Duration;

use super::level::Level;
use crate::config::{ConfigError, Span};
use crate::id::{Role, ServiceId};

/// `[provider]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// ES256 private key that signs id_tokens and user information (PKCS#8 PEM, 0600). Made at the first start when it is not there.
    pub key: PathBuf,
    /// Keys that signed before and are still published, while what they signed may live.
    #[serde(default)]
    pub retired: Vec<PathBuf>,
    /// Who the provider speaks of (TOML).
    pub people: PathBuf,
    /// The service under which sign-ins are asked of policy.
    #[serde(default = "default_service")]
    pub service: ServiceId,
    /// How long a browser that signed in with a key is known, for what needs no new gesture.
    #[serde(default = "default_session")]
    pub session_lifetime: Span,
    /// The federation, and any other relying party.
    #[serde(default)]
    pub client: Vec<Client>,
    /// What particular services behind the federation are held to.
    #[serde(default)]
    pub require: Vec<Require>,
}

fn default_service() -> ServiceId {
    // A literal that parses; the tests show it.
    "proconnect".parse().unwrap_or_else(|_| unreachable!())
}

fn default_session() -> Span {
    Span(Duration::hours(8))
}

/// `[[provider.client]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its identifier.
    pub id: String,
    /// Its secret's file (0600).
    pub secret: PathBuf,
    /// Where its people are sent back to, exactly.
    pub redirect_uris: Vec<String>,
    /// Where they are sent after signing out, exactly.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// User information as a signed JWT (`application/jwt`) rather than plain JSON.
    #[serde(default)]
    pub signed_userinfo: bool,
}

/// `[[provider.require]]`: a service of the federation, by its `sp_id`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// The service's identifier at the federation.
    pub sp_id: String,
    /// A gesture is asked for there, whatever the federation asks: `eidas3`.
    #[serde(default)]
    pub level: Option<Level>,
    /// Only holders of one of these roles are signed in there.
    #[serde(default)]
    pub roles: Vec<Role>,
}

impl Settings {
    /// Paths are relative to `folder`.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        let secrets = self.client.iter_mut().map(|client| &mut client.secret);
        let retired = self.retired.iter_mut();
        for path in [&mut self.key, &mut self.people]
            .into_iter()
            .chain(secrets)
            .chain(retired)
        {
            *path = folder.join(&path);
        }
    }

    /// What makes no sense.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        for (n, client) in self.client.iter().enumerate() {
            if client.id.is_empty()
                || client.id.len() > 128
                || self.client.iter().skip(n + 1).any(|o| o.id == client.id)
            {
                return reject("provider.client", "fault-own-id");
            }
            let mut addresses = client
                .redirect_uris
                .iter()
                .chain(&client.post_logout_redirect_uris);
            if client.redirect_uris.is_empty() || !addresses.all(|uri| is_return_address(uri)) {
                return reject("provider.client.redirect_uris", "fault-redirect-uris");
            }
        }
        if self
            .require
            .iter()
            .any(|require| require.level.is_some_and(|level| level != Level::Eidas3))
        {
            return reject("provider.require.level", "fault-provider-level");
        }
        if self.session_lifetime.0 < Duration::ZERO || self.session_lifetime.0 > Duration::hours(24)
        {
            return Err(ConfigError::OutOfRange {
                key: "provider.session_lifetime",
                least: "0s",
                most: "24h",
            });
        }
        Ok(())
    }

    /// The client of that name.
    #[must_use]
    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.client.iter().find(|client| client.id == id)
    }

    /// What that service is held to.
    #[must_use]
    pub(crate) fn required(&self, sp_id: Option<&str>) -> Option<&Require> {
        self.require
            .iter()
            .find(|require| Some(require.sp_id.as_str()) == sp_id)
    }
}

/// An address to which a browser may be sent back: https, or plain http on this machine; nothing that a browser could read otherwise.
pub(crate) fn is_return_address(uri: &str) -> bool {
    let (local, rest) = match (uri.strip_prefix("https://"), uri.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return false,
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    !host.is_empty()
        && (!local || matches!(host, "localhost" | "127.0.0.1"))
        && !authority.contains('@')
        && !rest.contains(['#', '\\'])
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(extra: &str) -> Settings {
        let text = format!("key = \"provider.pem\"\npeople = \"people.toml\"\n{extra}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_default_service_is_a_name() {
        assert_eq!(settings("").service.as_str(), "proconnect");
    }

    #[test]
    fn return_addresses_are_exact_and_safe() {
        let with = |uri: &str| {
            settings(&format!(
                "[[client]]\nid = \"pc\"\nsecret = \"s\"\nredirect_uris = [\"{uri}\"]\n"
            ))
            .check()
        };
        for good in [
            "https://auth.example/api/v2/oidc-callback",
            "http://localhost:1234/cb",
            "https://a.example/cb?x=1",
        ] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
        for bad in [
            "http://auth.example/cb",
            "https://a.example/cb#x",
            "https://user@evil.example/",
            "http://localhost@evil.example/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "javascript:alert(1)",
            "https://",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }
}
