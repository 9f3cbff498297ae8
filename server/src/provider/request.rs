//! An authorization request (OpenID Connect Core §3.1.2.1) as the federation sends it. A claim: who sent the browser here is not known.
//!
//! Where an answer may be sent is decided first: a request that names no client of ours, or an address that is not exactly one of its
//! own, is answered to the person and never redirected.

use sceau_proof::log::entry::sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Settings;
use super::level::Level;

/// Longest query string that is read.
pub const MAX_QUERY: usize = 8 * 1024;
/// Longest single value.
const MAX_VALUE: usize = 2048;

/// What a relying party asks, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// A client of ours.
    pub client_id: String,
    /// Exactly one of its addresses.
    pub redirect_uri: String,
    /// Sent back as it came.
    pub state: Option<String>,
    /// Put into the id_token.
    pub nonce: Option<String>,
    /// Words of `scope`.
    pub scope: Vec<String>,
    /// Levels of which one should come back; empty when none was asked for.
    pub wanted: Vec<Level>,
    /// `prompt=login`, or an age of zero.
    pub again: bool,
    /// `prompt=none`.
    pub silent: bool,
    /// Oldest sign-in that will do, in seconds.
    pub max_age: Option<i64>,
    /// Whom the federation expects.
    pub login_hint: Option<String>,
    /// The service behind the federation.
    pub sp_id: Option<String>,
    /// Its name; received text.
    pub sp_name: Option<String>,
    /// PKCE, S256, when sent.
    pub code_challenge: Option<String>,
    /// SHA-256 of the query string as it came.
    #[serde(with = "sceau_proof::base64url::array")]
    pub sha256: [u8; 32],
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// Not to be redirected anywhere: told to the person.
    Unanswerable(&'static str),
    /// Told to the client.
    Redirect {
        /// Its own address.
        redirect_uri: String,
        /// Its state.
        state: Option<String>,
        /// Word of RFC 6749 §4.1.2.1.
        error: &'static str,
        /// What is wrong.
        description: &'static str,
    },
}

impl AuthorizationRequest {
    /// Reads a query string.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(query: &str, settings: &Settings) -> Result<Self, RequestError> {
        let unanswerable = |reason| Err(RequestError::Unanswerable(reason));
        if query.len() > MAX_QUERY {
            return unanswerable("too-long");
        }
        let Some(pairs) = pairs(query) else {
            return unanswerable("malformed");
        };
        let one = |name: &str| -> Option<&str> {
            let mut found = pairs.iter().filter(|(other, _)| other == name);
            let value = found.next().map(|(_, value)| value.as_str());
            value.filter(|value| !value.is_empty() && value.len() <= MAX_VALUE)
        };
        // RFC 6749 §3.1: no parameter twice.
        let twice = pairs
            .iter()
            .enumerate()
            .any(|(n, (name, _))| pairs.iter().skip(n + 1).any(|(other, _)| other == name));
        if twice {
            return unanswerable("parameter-twice");
        }
        // What would be dropped for its length might be what binds the answer.
        if pairs.iter().any(|(_, value)| value.len() > MAX_VALUE) {
            return unanswerable("too-long");
        }
        let Some(client) = one("client_id").and_then(|id| settings.client(id)) else {
            return unanswerable("unknown-client");
        };
        let Some(redirect_uri) = one("redirect_uri").filter(|uri| {
            client
                .redirect_uris
                .iter()
                .any(|registered| registered == uri)
        }) else {
            return unanswerable("unknown-redirect-uri");
        };
        let text = |name: &str| one(name).map(str::to_owned);
        let refuse = |error, description| {
            Err(RequestError::Redirect {
                redirect_uri: redirect_uri.to_owned(),
                state: text("state"),
                error,
                description,
            })
        };
        match one("response_type") {
            Some("code") => {}
            Some(_) => return refuse("unsupported_response_type", "only code"),
            None => return refuse("invalid_request", "response_type"),
        }
        if one("response_mode").is_some_and(|mode| mode != "query") {
            return refuse("invalid_request", "only response_mode=query");
        }
        if one("request").is_some() {
            return refuse("request_not_supported", "no request objects");
        }
        if one("request_uri").is_some() {
            return refuse("request_uri_not_supported", "no request objects");
        }
        let scope: Vec<String> = one("scope")
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned)
            .collect();
        if !scope.iter().any(|word| word == "openid") {
            return refuse("invalid_scope", "openid is needed");
        }
        let code_challenge = text("code_challenge");
        if code_challenge.is_some() && one("code_challenge_method") != Some("S256")
            || code_challenge.as_ref().is_some_and(|text| text.len() != 43)
        {
            return refuse("invalid_request", "PKCE is by S256");
        }
        let max_age = match one("max_age").map(str::parse::<i64>) {
            None => None,
            Some(Ok(age)) if age >= 0 => Some(age),
            Some(_) => return refuse("invalid_request", "max_age"),
        };
        let Ok(wanted) = wanted(one("claims"), one("acr_values")) else {
            return refuse("invalid_request", "claims");
        };
        let prompt: Vec<&str> = one("prompt").unwrap_or_default().split(' ').collect();
        let silent = prompt.contains(&"none");
        if silent && prompt.len() > 1 {
            return refuse("invalid_request", "prompt");
        }
        Ok(Self {
            client_id: client.id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: text("state"),
            nonce: text("nonce"),
            scope,
            wanted,
            again: prompt.contains(&"login") || max_age == Some(0),
            silent,
            max_age,
            login_hint: text("login_hint"),
            sp_id: text("sp_id"),
            sp_name: text("sp_name"),
            code_challenge,
            sha256: sha256(query.as_bytes()),
        })
    }

    /// Whether this request takes a gesture of its own, whatever the browser did before: `eidas3` is asked for, by the federation or
    /// by what the service is held to.
    #[must_use]
    pub fn takes_gesture(&self, settings: &Settings) -> bool {
        let required = settings
            .required(self.sp_id.as_deref())
            .and_then(|require| require.level);
        self.wanted.contains(&Level::Eidas3) || required == Some(Level::Eidas3)
    }
}

/// The pairs of a form-encoded text; `None` when it is not one.
pub(crate) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let uri: http::Uri = format!("/?{query}").parse().ok()?;
    axum::extract::Query::try_from_uri(&uri)
        .ok()
        .map(|axum::extract::Query(pairs)| pairs)
}

/// Levels named by `claims.id_token.acr` (`value` or `values`), else by `acr_values`. Unknown words are passed over.
fn wanted(claims: Option<&str>, acr_values: Option<&str>) -> Result<Vec<Level>, ()> {
    let rules = sceau_proof::json::Rules {
        length: MAX_VALUE,
        depth: 8,
        integers: false,
        nfc: false,
    };
    let acr = match claims {
        Some(text) => {
            let claims = sceau_proof::json::parse(text.as_bytes(), rules).map_err(|_| ())?;
            if !claims.is_object() {
                return Err(());
            }
            claims.pointer("/id_token/acr").cloned()
        }
        None => None,
    };
    let words: Vec<String> = match acr {
        Some(acr) => {
            let one = acr.get("value").into_iter();
            let many = acr.get("values").and_then(Value::as_array);
            one.chain(many.into_iter().flatten())
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        }
        None => acr_values
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned)
            .collect(),
    };
    Ok(words
        .iter()
        .filter_map(|word| Level::from_word(word))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        toml::from_str(
            r#"
            key = "k"
            people = "p"
            [[client]]
            id = "federation"
            secret = "s"
            redirect_uris = ["https://auth.example/api/v2/oidc-callback"]
            [[require]]
            sp_id = "portal"
            level = "eidas3"
        "#,
        )
        .unwrap()
    }

    const PLAIN: &str = "client_id=federation&redirect_uri=https%3A%2F%2Fauth.example%2Fapi%2Fv2%2Foidc-callback\
        &response_type=code&scope=openid%20given_name%20usual_name%20email%20uid%20siret&state=s1&nonce=n1";

    fn parse(extra: &str) -> Result<AuthorizationRequest, RequestError> {
        AuthorizationRequest::parse(&format!("{PLAIN}{extra}"), &settings())
    }

    #[test]
    fn reads_what_the_federation_sends() {
        let claims = "%7B%22id_token%22%3A%7B%22acr%22%3A%7B%22essential%22%3Atrue%2C%22values%22%3A%5B%22eidas2%22%2C%22eidas3%22%5D%7D%2C\
            %22amr%22%3Anull%7D%7D";
        let asked = parse(&format!(
            "&claims={claims}&login_hint=alice%40ml.example&siret_hint=13002526500013&sp_id=portal&sp_name=Portail&remember_me=true"
        ))
        .unwrap();
        assert_eq!(asked.wanted, [Level::Eidas2, Level::Eidas3]);
        assert_eq!(asked.login_hint.as_deref(), Some("alice@ml.example"));
        assert_eq!(
            (asked.sp_id.as_deref(), asked.sp_name.as_deref()),
            (Some("portal"), Some("Portail"))
        );
        assert!(asked.takes_gesture(&settings()));
    }

    #[test]
    fn one_value_or_many_mean_the_same() {
        for (claims, wanted) in [
            (
                r#"{"id_token":{"acr":{"essential":true,"value":"eidas3"}}}"#,
                vec![Level::Eidas3],
            ),
            (
                r#"{"id_token":{"acr":{"values":["eidas1","nonsense",7]}}}"#,
                vec![Level::Eidas1],
            ),
            (r#"{"id_token":{"acr":null}}"#, vec![]),
            (r#"{"userinfo":{}}"#, vec![]),
        ] {
            let encoded: String = claims.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(
                parse(&format!("&claims={encoded}")).unwrap().wanted,
                wanted,
                "{claims}"
            );
        }
        assert_eq!(
            parse("&acr_values=eidas1-mfa+eidas2").unwrap().wanted,
            [Level::Eidas1Mfa, Level::Eidas2]
        );
    }

    #[test]
    fn a_service_may_be_held_to_a_gesture_that_nobody_asked_for() {
        assert!(parse("&sp_id=portal").unwrap().takes_gesture(&settings()));
        assert!(!parse("&sp_id=other").unwrap().takes_gesture(&settings()));
    }

    #[test]
    fn strangers_and_their_addresses_are_never_redirected_to() {
        let unanswerable = |query: &str| match AuthorizationRequest::parse(query, &settings()) {
            Err(RequestError::Unanswerable(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            unanswerable(&PLAIN.replace("federation", "evil")),
            "unknown-client"
        );
        assert_eq!(
            unanswerable(&PLAIN.replace("oidc-callback", "oidc-callback%2F")),
            "unknown-redirect-uri"
        );
        assert_eq!(
            unanswerable(&format!("{PLAIN}&client_id=federation")),
            "parameter-twice"
        );
        assert_eq!(
            unanswerable(&format!("{PLAIN}&x={}", "y".repeat(MAX_QUERY))),
            "too-long"
        );
        // Rather than an id_token without it.
        let nonce = "n".repeat(MAX_VALUE + 1);
        assert_eq!(
            unanswerable(&PLAIN.replace("nonce=n1", &format!("nonce={nonce}"))),
            "too-long"
        );
    }

    #[test]
    fn other_mistakes_are_told_to_the_client() {
        let told = |query: &str| match AuthorizationRequest::parse(query, &settings()) {
            Err(RequestError::Redirect { error, state, .. }) => {
                assert_eq!(state.as_deref(), Some("s1"));
                error
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            told(&PLAIN.replace("response_type=code", "response_type=token")),
            "unsupported_response_type"
        );
        assert_eq!(
            told(&PLAIN.replace("response_type=code", "response_type=")),
            "invalid_request"
        );
        assert_eq!(
            told(&PLAIN.replace("scope=openid%20", "scope=")),
            "invalid_scope"
        );
        for (extra, error) in [
            ("&claims=%7B", "invalid_request"),
            (
                "&code_challenge=abc&code_challenge_method=plain",
                "invalid_request",
            ),
            ("&max_age=-1", "invalid_request"),
            ("&prompt=none+login", "invalid_request"),
            ("&request=eyJ", "request_not_supported"),
            (
                "&request_uri=https%3A%2F%2Fauth.example%2Fr",
                "request_uri_not_supported",
            ),
        ] {
            assert_eq!(told(&format!("{PLAIN}{extra}")), error, "{extra}");
        }
    }
}
