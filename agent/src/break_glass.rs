//! Break-glass (docs/policy.md): asking for it with the reason typed, and sealing the review that it forces afterwards. The others of the quorum
//! approve the opening like any action that awaits them.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::{self, Outcome};
use crate::locale::Language;
use crate::own;
use crate::prompt::Prompt;

/// What is asked for; the server says which of it is too long or too short.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Opening {
    /// Why, in a sentence: somebody reads it afterwards.
    pub reason: String,
    /// The role that is lent.
    pub role: String,
    /// For how long.
    pub minutes: u32,
}

/// Asks for the glass to be broken, and seals the request with one's own key.
///
/// # Errors
/// [`Failure`]; `review-first` from the server while an earlier opening waits for its review.
pub async fn open(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    opening: Opening,
) -> Result<(Uuid, Outcome), Failure> {
    let me = own::me(agent)?;
    let display = agent
        .person()
        .map_or_else(|| me.clone(), |person| person.display);
    let target = json!({ "kind": "person", "id": me, "display": display });
    let params =
        json!({ "reason": opening.reason, "role": opening.role, "minutes": opening.minutes });
    own::ask(agent, prompt, language, "break-glass.open", target, params).await
}

/// Shows an opening's review, and seals it: `id`, or the oldest that awaits this person.
///
/// # Errors
/// [`Failure::NothingPending`] when no review awaits this person.
pub async fn review(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    id: Option<Uuid>,
) -> Result<(Uuid, Outcome), Failure> {
    let waits = || {
        agent.with_queue(|queue| {
            queue
                .waiting(agent.now())
                .find(|proposal| {
                    let action = proposal.action();
                    action.service() == "sceau" && action.kind() == "break-glass.review"
                })
                .map(crate::ceremony::Proposal::id)
        })
    };
    let id = id.or_else(waits).ok_or(Failure::NothingPending)?;
    let (id, outcome) = approval::approve(agent, prompt, language, Some(id), &[]).await?;
    Ok((id, outcome?))
}
