//! `[gate.login]`: where the gate's users log in, and what of it is believed. Secrets are files, 0600.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::web::may_be_asked;

/// The levels that may be enough for a privileged application. `eidas1-mfa` may be a code sent by e-mail, and is never one of them.
pub(crate) const LEVELS: [&str; 2] = ["eidas2", "eidas3"];

/// `[gate.login]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// ProConnect's issuer, exactly as its discovery document says it.
    pub issuer: String,
    /// The client's identifier there.
    pub client_id: String,
    /// The client secret's file, for `client_secret_post`.
    #[serde(default)]
    pub secret: Option<PathBuf>,
    /// A P-256 key (PKCS#8 PEM), for `private_key_jwt`, instead of a secret.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Levels of which one must be reached. Applications may want a higher one (`acr` in the route file).
    #[serde(default = "default_acr")]
    pub acr: Vec<String>,
    /// The identity providers whose word is taken, by `idp_id`.
    pub idp_ids: Vec<String>,
    /// The sign-in must carry evidence of a touch that this very server sealed as the identity provider (`[provider]`), and it is looked up.
    #[serde(default)]
    pub evidence: bool,
    /// Must everybody log in there? Else signing in by key alone stays possible.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

fn default_acr() -> Vec<String> {
    vec!["eidas3".to_owned()]
}

fn default_scopes() -> Vec<String> {
    [
        "given_name",
        "usual_name",
        "email",
        "uid",
        "siret",
        "idp_id",
        "custom",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Why these settings cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    /// Not https.
    #[error(
        "gate.login.issuer is an https address without a trailing slash (plain http on loopback alone)"
    )]
    Issuer,
    /// Both or neither.
    #[error("gate.login: exactly one of secret (client_secret_post) and key (private_key_jwt)")]
    Authentication,
    /// A level that is not enough.
    #[error(
        "gate.login.acr: eidas2 or eidas3, at least one (eidas1-mfa may be a code sent by e-mail)"
    )]
    Level,
    /// Everybody's word would be taken.
    #[error("gate.login.idp_ids: name the identity providers whose word is taken")]
    Providers,
    /// A secret's file.
    #[error("gate.login: {0}")]
    Secret(String),
}

impl Settings {
    /// Paths are relative to `folder`.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.secret, &mut self.key].into_iter().flatten() {
            *path = folder.join(&path);
        }
    }

    /// What makes no sense.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), LoginFault> {
        if !may_be_asked(&self.issuer) || self.issuer.ends_with('/') {
            return Err(LoginFault::Issuer);
        }
        if self.secret.is_some() == self.key.is_some() || self.client_id.is_empty() {
            return Err(LoginFault::Authentication);
        }
        if !are_levels(&self.acr) {
            return Err(LoginFault::Level);
        }
        if self.idp_ids.iter().all(|id| id.trim().is_empty()) {
            return Err(LoginFault::Providers);
        }
        Ok(())
    }
}

/// Levels that may be enough, at least one.
#[must_use]
pub(crate) fn are_levels(acr: &[String]) -> bool {
    !acr.is_empty() && acr.iter().all(|acr| LEVELS.contains(&acr.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_weaken_the_log_in_is_a_fault() {
        let settings = |text: &str| -> Settings {
            toml::from_str(&format!(
                "issuer = \"https://auth.example/api/v2\"\nclient_id = \"sceau\"\nsecret = \"s\"\nidp_ids = [\"a\"]\n{text}"
            ))
            .unwrap()
        };
        assert_eq!(settings("").check(), Ok(()));
        assert_eq!(settings("").acr, ["eidas3"]);
        for low in ["[]", "[\"eidas1-mfa\"]", "[\"eidas3\", \"eidas1\"]"] {
            assert_eq!(
                settings(&format!("acr = {low}")).check(),
                Err(LoginFault::Level),
                "{low}"
            );
        }
        assert_eq!(
            settings("key = \"k\"").check(),
            Err(LoginFault::Authentication)
        );
        for issuer in ["http://auth.example", "https://auth.example/", "ftp://x"] {
            let odd = Settings {
                issuer: issuer.to_owned(),
                ..settings("")
            };
            assert_eq!(odd.check(), Err(LoginFault::Issuer), "{issuer}");
        }
        let anyone = Settings {
            idp_ids: vec![],
            ..settings("")
        };
        assert_eq!(anyone.check(), Err(LoginFault::Providers));
    }
}
