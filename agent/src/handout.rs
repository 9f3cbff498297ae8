//! The help desk's side of an enrolment: a `key.enroll` action that the operator's own key seals, and the invitation that comes of it once everybody
//! has sealed; and the keys that a person has, and the end of one of them. What the new key does with it is [`crate::enrolment`]'s; the list of persons is [`crate::batch`]'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::Outcome;
use crate::lineage;
use crate::locale::Language;
use crate::own;
use crate::prompt::{Prompt, Secret};
use crate::server::ServerError;
use crate::text;

/// Asks to enrol a key for `person` (docs/api.md), and has the operator seal it.
///
/// # Errors
/// [`Failure`].
pub async fn invite(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    person: Value,
) -> Result<(Uuid, Outcome), Failure> {
    let named = |name: &str| person[name].as_str().unwrap_or_default().to_owned();
    let target = json!({ "kind": "person", "id": named("id"), "display": named("display") });
    let params = json!({ "person": person });
    own::ask(agent, prompt, language, "key.enroll", target, params).await
}

/// A person and their keys, as the server tells them (docs/api.md).
///
/// # Errors
/// [`Failure`].
pub async fn held(agent: &Agent, person: &str) -> Result<Value, Failure> {
    let path = format!("/v1/persons/{}/keys", lineage::segment(person)?);
    Ok(agent
        .server
        .get(&path, Some(&agent.token()?), Duration::ZERO)
        .await?)
}

/// Asks for `key.revoke` of one of a person's keys, and has the operator seal it. What it is called is the server's to say.
///
/// # Errors
/// [`Failure`]; [`Failure::Misuse`] when fault-request-no-such-key.
pub async fn revoke(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    person: &str,
    key: Uuid,
    reason: Why,
) -> Result<(Uuid, Outcome), Failure> {
    let held = held(agent, person).await?;
    let keys = held["keys"].as_array().into_iter().flatten();
    let mut named = keys.filter(|one| one["key_id"] == json!(key));
    let found = named
        .next()
        .ok_or(Failure::Misuse("fault-request-no-such-key"))?;
    let text = |value: &Value| text::one_line(value.as_str().unwrap_or_default(), 100);
    let display = format!(
        "{} ({})",
        text(&found["label"]),
        text(&held["person"]["display"])
    );
    let target = json!({ "kind": "key", "id": key, "display": display });
    let params = json!({ "key_id": key, "reason": reason });
    own::ask(agent, prompt, language, "key.revoke", target, params).await
}

/// Why a help desk ends a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nobody knows where it is.
    Lost,
    /// It does not work any more.
    Damaged,
    /// Its PIN was wrong too often: only a reset helps, and that erases it.
    PinBlocked,
    /// Another one takes its place.
    Replaced,
}

impl Why {
    /// The server's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::PinBlocked => "pin-blocked",
            Self::Replaced => "replaced",
        }
    }
}

/// Whether an invitation has made its key.
///
/// # Errors
/// [`Failure`].
pub async fn is_used(agent: &Agent, invitation: &Secret) -> Result<bool, Failure> {
    let body = json!({ "invitation": invitation.expose() });
    let opened: Result<Value, _> = agent.server.post("/v1/enrolments/open", None, &body).await;
    match opened {
        Ok(_) => Ok(false),
        Err(ServerError::Refused { code, .. }) if code == "already-settled" => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Where such an action stands now: `{"state","invitation"?}`; of twenty that await others, nobody waits for one after the other. The server shows the invitation once, to its requester alone.
///
/// # Errors
/// [`Failure`].
pub async fn invited(agent: &Agent, action: Uuid) -> Result<Value, Failure> {
    if let Some(invitation) = agent.take_invitation(action) {
        return Ok(json!({ "state": "executed", "invitation": invitation.expose() }));
    }
    let path = format!("/v1/actions/{action}");
    let token = agent.token()?;
    let found: Value = agent
        .server
        .get(&path, Some(&token), Duration::ZERO)
        .await?;
    Ok(json!({
        "state": found["state"],
        "invitation": found["result"]["invitation"],
    }))
}
