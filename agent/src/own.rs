//! Actions of the server's own that this person asks for (docs/api.md): asked, then shown, consented to and sealed like any other
//! ([`crate::approval`]). What the server answers is an action that the person reads, and nothing more.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::{self, Outcome};
use crate::locale::Language;
use crate::prompt::Prompt;
use crate::server::ServerError;

/// The answer to `POST /v1/actions`, as far as it is read here.
#[derive(Deserialize)]
struct Asked {
    action: Box<RawValue>,
    state: String,
    #[serde(default)]
    denial: Option<Value>,
}

/// Only the name of an action, to find it again by.
#[derive(Deserialize)]
struct Named {
    id: Uuid,
}

/// Whoever is signed in on this workstation.
///
/// # Errors
/// [`Failure::SignedOut`].
pub(crate) fn me(agent: &Agent) -> Result<String, Failure> {
    agent
        .person()
        .map(|person| person.id)
        .or_else(|| agent.person_id())
        .ok_or(Failure::SignedOut)
}

/// Asks for an action of this type, and has this person seal it.
///
/// # Errors
/// [`Failure`]; a denial is [`ServerError::Refused`] with its reason as the detail.
pub(crate) async fn ask(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    kind: &str,
    target: Value,
    params: Value,
) -> Result<(Uuid, Outcome), Failure> {
    let asked: Asked = agent
        .server
        .post(
            "/v1/actions",
            Some(&agent.token()?),
            &json!({ "type": kind, "requester": me(agent)?, "target": target, "params": params }),
        )
        .await?;
    if asked.state != "pending" {
        let reason = asked
            .denial
            .and_then(|denial| denial["reason"].as_str().map(str::to_owned));
        return Err(Failure::Server(ServerError::Refused {
            status: 403,
            code: asked.state,
            detail: reason,
        }));
    }
    let named: Named = serde_json::from_str(asked.action.get())
        .map_err(|_| Failure::Server(ServerError::Malformed("an action without a name")))?;
    let (id, outcome) = approval::approve(agent, prompt, language, Some(named.id), &[]).await?;
    Ok((id, outcome?))
}
