//! Recording what is known of a person for a time, and when a role of theirs ends (docs/policy.md, *What expires*): asked for, shown and sealed
//! like any action.

use serde::Deserialize;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::Outcome;
use crate::lineage;
use crate::locale::Language;
use crate::own;
use crate::prompt::Prompt;

/// What is to be recorded; the server says which part it does not understand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Of whom.
    pub person: String,
    /// A word, or `role:NAME`.
    pub fact: String,
    /// Until when it holds: a day, through its end, or an instant; without it, it does not end by itself.
    #[serde(default)]
    pub until: Option<String>,
    /// It ends now.
    #[serde(default)]
    pub withdraw: bool,
}

/// Asks for `facts.record`, and has this person seal it.
///
/// # Errors
/// [`Failure`].
pub async fn record(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    record: Record,
) -> Result<(Uuid, Outcome), Failure> {
    let until = match record.withdraw {
        true => agent.now().format(&Rfc3339).ok(),
        false => record.until,
    };
    let mut fact = json!({ "person": record.person, "fact": record.fact });
    if let (Some(until), Some(fact)) = (until, fact.as_object_mut()) {
        fact.insert("until".to_owned(), json!(until));
    }
    let known = lineage::look(agent, &record.person, false).await?;
    let display = known["person"]["display"]
        .as_str()
        .unwrap_or(&record.person);
    let target = json!({ "kind": "person", "id": record.person, "display": display });
    let params = json!({ "facts": [fact] });
    own::ask(agent, prompt, language, "facts.record", target, params).await
}
