//! The help desk's side of an enrolment: a `key.enroll` action that the operator's own key seals, and the invitation that comes of it once everybody
//! has sealed. What the new key does with it is [`crate::enrolment`]'s; the list of persons is [`crate::batch`]'s.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::Outcome;
use crate::locale::Language;
use crate::own;
use crate::prompt::Prompt;

/// How long one look waits for others to seal.
const WAIT: Duration = Duration::from_secs(10);

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

/// Where such an action stands: `{"state","invitation"?}`. The server shows the invitation once, to its requester alone.
///
/// # Errors
/// [`Failure`].
pub async fn invited(agent: &Agent, action: Uuid) -> Result<Value, Failure> {
    if let Some(invitation) = agent.take_invitation(action) {
        return Ok(json!({ "state": "executed", "invitation": invitation.expose() }));
    }
    let path = format!("/v1/actions/{action}?wait={}", WAIT.as_secs());
    let found: Value = agent.server.get(&path, Some(&agent.token()?), WAIT).await?;
    Ok(json!({
        "state": found["state"],
        "invitation": found["result"]["invitation"],
    }))
}
