//! SCIM 2.0 out (RFC 7644): who is suspended gets `active = false` at a service, who is restored `active = true` (§3.5.2). The service's own id of a person
//! is configured, or looked up by the attribute that holds ours (§3.4.2.2).
//!
//! Idempotent: the same signal twice does the same once more. Whoever is not there needs no suspending; that is said in the log.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::config::Scim;
use super::event::{About, Signal, What};
use super::push::LONGEST_ANSWER;
use super::run::{Taken, Trouble, later};
use crate::web::{Answer, Web};

/// For one exchange of the two.
const PATIENCE: Duration = Duration::from_secs(15);
const MEDIA: &str = "application/scim+json";
/// Longest identifier that we take from a service.
const LONGEST_ID: usize = 256;

/// One service.
#[derive(Clone)]
pub(super) struct Target {
    config: Scim,
    authorization: Zeroizing<String>,
    web: Web,
}

/// Whom a signal means there: the id itself, or how to look for it.
#[derive(Debug, PartialEq, Eq)]
enum Whom {
    Id(String),
    By(String, String),
}

/// RFC 7644 §3.4.2.
#[derive(Deserialize)]
struct Found {
    #[serde(rename = "Resources", default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    id: String,
}

impl Target {
    pub(super) fn new(config: &Scim, token: &Zeroizing<String>) -> Self {
        Self {
            config: config.clone(),
            authorization: Zeroizing::new(format!("Bearer {}", token.as_str())),
            web: Web::new(PATIENCE, "sceau-server"),
        }
    }

    /// Whether this is told here at all.
    pub(super) fn wants(&self, signal: &Signal) -> bool {
        self.whom(signal).is_some()
    }

    fn whom(&self, signal: &Signal) -> Option<Whom> {
        if !matches!(signal.what, What::Disabled | What::Enabled) {
            return None;
        }
        match &signal.about {
            About::Person(person) => Some(match self.config.ids.get(person) {
                Some(id) => Whom::Id(id.clone()),
                None => Whom::By(self.config.lookup.clone(), person.to_string()),
            }),
            About::Account(service, id) if Some(service) == self.config.service.as_ref() => {
                Some(match self.config.account.as_str() {
                    "id" => Whom::Id(id.clone()),
                    attribute => Whom::By(attribute.to_owned(), id.clone()),
                })
            }
            _ => None,
        }
    }

    pub(super) async fn deliver(&self, signal: &Signal) -> Result<Taken, Trouble> {
        let Some(whom) = self.whom(signal) else {
            return Ok(Taken::Told);
        };
        let active = signal.what == What::Enabled;
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.set(whom, active))
            .await
            .map_err(|_| Trouble::Later("stopped".to_owned()))?
    }

    fn set(&self, whom: Whom, active: bool) -> Result<Taken, Trouble> {
        let id = match whom {
            Whom::Id(id) => id,
            Whom::By(attribute, value) => match self.look_up(&attribute, &value)? {
                Some(id) => id,
                None => return Ok(Taken::NotThere),
            },
        };
        let operation = json!({ "op": "replace", "path": "active", "value": active });
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [operation],
        });
        let answer = self.ask(
            "PATCH",
            &format!("/Users/{}", encoded(&id)),
            &body.to_string(),
        )?;
        match answer.status {
            204 => Ok(Taken::Told),
            // §3.5.2: the resource as it is now. One that says otherwise was not changed.
            200 => {
                let now = serde_json::from_slice::<Value>(&answer.body).ok();
                match now.as_ref().and_then(|now| now.get("active")) {
                    Some(Value::Bool(is)) if *is != active => {
                        Err(Trouble::Refused("not-changed".to_owned()))
                    }
                    _ => Ok(Taken::Told),
                }
            }
            404 => Ok(Taken::NotThere),
            _ => Err(refused(&answer)),
        }
    }

    fn look_up(&self, attribute: &str, value: &str) -> Result<Option<String>, Trouble> {
        // §3.4.2.2: a value is a JSON string.
        let filter = format!("{attribute} eq {}", Value::from(value));
        let path = format!("/Users?filter={}&attributes=id&count=2", encoded(&filter));
        let answer = self.ask("GET", &path, "")?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let found: Found = serde_json::from_slice(&answer.body)
            .map_err(|_| Trouble::Later("answer-malformed".to_owned()))?;
        match found.resources.as_slice() {
            [] => Ok(None),
            [one] if !one.id.is_empty() && one.id.len() <= LONGEST_ID => Ok(Some(one.id.clone())),
            [_] => Err(Trouble::Later("answer-malformed".to_owned())),
            _ => Err(Trouble::Refused("more-than-one".to_owned())),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, Trouble> {
        let url = format!("{}{path}", self.config.url.trim_end_matches('/'));
        let headers = [
            ("authorization", self.authorization.as_str()),
            ("accept", MEDIA),
            ("content-type", MEDIA),
        ];
        let headers = if method == "GET" {
            &headers[..2]
        } else {
            &headers[..]
        };
        let answer = self
            .web
            .ask(method, &url, headers, body.as_bytes(), LONGEST_ANSWER);
        answer.map_err(|error| {
            tracing::debug!(error, service = self.config.name, "SCIM");
            Trouble::Later("unreachable".to_owned())
        })
    }
}

fn refused(answer: &Answer) -> Trouble {
    let status = answer.status;
    let word = format!("status-{status}");
    match status {
        // Our own right to ask, or the service's load: not about this person.
        401 | 403 | 408 | 425 | 429 => later(answer),
        400..=499 | 501 => Trouble::Refused(word),
        _ => later(answer),
    }
}

/// Percent-encoded but for unreserved characters (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_cannot_leave_its_place() {
        assert_eq!(encoded("../Groups/1?x#y"), "..%2FGroups%2F1%3Fx%23y");
        assert_eq!(encoded("a\"b é"), "a%22b%20%C3%A9");
    }
}
