//! What a client that watches is told: a snapshot at once, and another after each change. For the desktop's windows and the session bus.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::agent::{Agent, Failure, Inbox};
use crate::locale::Language;
use crate::prompt::attached::Attached;
use crate::reader::Condition;
use crate::text;

/// Characters of a title; the whole action is shown before anything is sealed.
const MAX_TITLE: usize = 300;

/// What the agent is doing. Every text is safe to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `signed-out`, `connecting`, `connected` or `lost`; empty: no agent.
    pub inbox: String,
    /// What awaits the person, oldest first.
    pub waiting: Vec<Waiting>,
    /// The action that is being prompted for.
    pub asking: Option<Uuid>,
    /// The action that the person wants to see now ([`crate::socket`]'s `summon`).
    pub summoned: Option<Uuid>,
    /// Authenticators that are there.
    pub keys: Vec<Present>,
    /// Whether nobody sits at the person's session: its screen is locked, another person has the seat, the machine sleeps.
    #[serde(default)]
    pub unattended: bool,
}

/// One action that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which.
    pub id: Uuid,
    /// What it would do, in one sentence.
    pub title: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
}

/// One authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// For people.
    pub name: String,
    /// How it is reached.
    pub transport: String,
    /// `reading`, `ready`, `same` (as another one that is listed) or `unusable`.
    pub state: String,
}

/// Tells of every change, until the client goes away.
pub(super) async fn watch(
    agent: &Agent,
    prompt: &Attached,
    language: Language,
) -> Result<Value, Failure> {
    let mut told = None;
    loop {
        let now = agent
            .until(|agent| Some(snapshot(agent, language)).filter(|now| told.as_ref() != Some(now)))
            .await;
        prompt.send(json!({ "event": { "watch": now } }));
        told = Some(now);
    }
}

fn snapshot(agent: &Agent, language: Language) -> Snapshot {
    let waiting = |proposal: &crate::ceremony::Proposal| Waiting {
        id: proposal.id(),
        title: match text::shown(proposal.action(), language, 0) {
            Ok(shown) => shown.title.chars().take(MAX_TITLE).collect(),
            Err(unfit) => text::message(&Failure::Unfit(unfit), language),
        },
        expires_at: proposal.expires_at().format(&Rfc3339).unwrap_or_default(),
    };
    let present = |(_, authenticator): (u64, &crate::reader::Authenticator)| Present {
        name: text::one_line(&authenticator.name, 100),
        transport: authenticator.transport.text().to_owned(),
        state: match authenticator.condition {
            Condition::Ready(_) => "ready",
            Condition::Twin(_) => "same",
            Condition::Unusable(_) => "unusable",
            _ => "reading",
        }
        .to_owned(),
    };
    let inbox = match &*agent.inbox() {
        Inbox::SignedOut => "signed-out",
        Inbox::Connecting => "connecting",
        Inbox::Connected => "connected",
        Inbox::Lost { .. } => "lost",
    };
    Snapshot {
        inbox: inbox.to_owned(),
        waiting: agent.with_queue(|queue| queue.waiting(agent.now()).map(waiting).collect()),
        asking: agent.asking(),
        summoned: agent.summoned(),
        keys: agent.authenticators.borrow().iter().map(present).collect(),
        unattended: agent.presence.unattended().is_some(),
    }
}
