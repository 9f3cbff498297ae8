//! Suspending a person with everything that they begot, and bringing it back: the lineage is fetched and shown first, and the action that is
//! then asked for seals the digest of what was shown. The action itself is shown, consented to and sealed like any other ([`crate::approval`]).
//!
//! The server's answers are not trusted with more than what they are: text to be shown escaped, and an action that the person reads.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::approval::Outcome;
use crate::locale::Language;
use crate::own;
use crate::prompt::Prompt;
use crate::text::instant;

/// A person's lineage as the server tells it (docs/api.md), with a picture when `svg`.
///
/// # Errors
/// [`Failure`].
pub async fn look(agent: &Agent, person: &str, svg: bool) -> Result<Value, Failure> {
    let person = segment(person)?;
    let path = format!("/v1/persons/{person}/lineage?svg={svg}");
    Ok(agent
        .server
        .get(&path, Some(&agent.token()?), Duration::ZERO)
        .await?)
}

/// Asks for `person.suspend` or `person.restore`, and has this person seal it. `set` is what `look` told, when all of it is meant.
///
/// # Errors
/// [`Failure`]; `lineage-changed` from the server when others were begotten since.
pub async fn ask(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    kind: &str,
    person: &str,
    params: Value,
) -> Result<(Uuid, Outcome), Failure> {
    let id = segment(person)?;
    let display = look(agent, id, false).await?["person"]["display"]
        .as_str()
        .unwrap_or(id)
        .to_owned();
    let target = json!({ "kind": "person", "id": id, "display": display });
    own::ask(agent, prompt, language, kind, target, params).await
}

/// A person's identifier that can be a segment of a path.
pub(crate) fn segment(person: &str) -> Result<&str, Failure> {
    let plain = !person.is_empty()
        && person.len() <= 64
        && person
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
        && person.bytes().any(|b| b != b'.');
    if plain {
        Ok(person)
    } else {
        Err(Failure::Misuse("fault-request-person"))
    }
}

/// The tree as text, one line for each; `what` says what stopping all of it stops.
#[must_use]
pub fn tree(lineage: &Value, language: Language) -> String {
    let one_line =
        |value: &Value, limit| crate::text::one_line(value.as_str().unwrap_or_default(), limit);
    let mut out = String::new();
    // Whether a rail goes on at each depth.
    let mut rails: Vec<bool> = Vec::new();
    for branch in lineage["nodes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        let depth = usize::try_from(branch["depth"].as_u64().unwrap_or_default())
            .unwrap_or_default()
            .min(64);
        let last = branch["last"] == true;
        rails.truncate(depth.saturating_sub(1));
        for rail in &rails {
            out.push_str(if *rail { "│  " } else { "   " });
        }
        if depth > 0 {
            out.push_str(if last { "└─ " } else { "├─ " });
            rails.push(!last);
        }
        out.push_str(&format!(
            "{} ({}) [{}]",
            one_line(&branch["display"], 80),
            one_line(&branch["node"], 120),
            state(branch["state"].as_str().unwrap_or_default(), language),
        ));
        if let Some(relation) = branch["relation"].as_str() {
            out.push_str(&format!(
                " {} {}",
                self::relation(relation, language),
                instant(branch["at"].as_str().unwrap_or_default(), language)
            ));
        }
        if branch["action"].is_string() {
            out.push_str(&format!(" · {}", one_line(&branch["action"], 40)));
        }
        out.push('\n');
    }
    if let Some(more) = lineage["left_out"].as_u64().filter(|more| *more > 0) {
        let left_out = language.text_with("lineage-left-out", &[("count", more.into())]);
        out.push_str(&format!("… {left_out}\n"));
    }
    out
}

/// What stopping all of it would stop.
#[must_use]
pub fn totals(lineage: &Value, language: Language) -> String {
    let n = |name: &str| lineage["totals"][name].as_u64().unwrap_or_default();
    let counted = |text: &str, name: &str| language.text_with(text, &[("count", n(name).into())]);
    format!(
        "{}, {}, {}, {}, {}\nSHA-256 {}\n",
        counted("lineage-persons", "persons"),
        counted("lineage-accounts", "accounts"),
        counted("lineage-sessions", "sessions"),
        counted("lineage-actions", "actions"),
        counted("lineage-keys", "keys"),
        crate::text::one_line(lineage["sha256"].as_str().unwrap_or_default(), 64),
    )
}

fn state(state: &str, language: Language) -> String {
    match state {
        "active" => language.text("lineage-active").into_owned(),
        "inert" => language.text("lineage-inert").into_owned(),
        "suspended" => language.text("lineage-suspended").into_owned(),
        other => crate::text::one_line(other, 20),
    }
}

fn relation(relation: &str, language: Language) -> String {
    match relation {
        "created" => language.text("lineage-created").into_owned(),
        "enrolled" => language.text("lineage-enrolled").into_owned(),
        "granted" => language.text("lineage-was-granted-a-right").into_owned(),
        "is" => language.text("lineage-the-same-person").into_owned(),
        other => crate::text::one_line(other, 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_drawn_and_names_cannot_fake_a_line() {
        let lineage = json!({"nodes": [
            {"node": "person/alice", "depth": 0, "last": true, "display": "Alice", "state": "active"},
            {"node": "account/portal/7", "depth": 1, "last": false, "display": "Jean\n└─ Bob", "state": "active", "relation": "created", "at": "2026-11-22T00:00:00Z"},
            {"node": "person/jean", "depth": 2, "last": true, "display": "Jean", "state": "inert", "relation": "is"},
            {"node": "account/portal/8", "depth": 1, "last": true, "display": "Eve", "state": "suspended", "relation": "granted"},
        ], "left_out": 3, "totals": {"persons": 2, "accounts": 2}, "sha256": "ab"});
        let text = tree(&lineage, Language::En);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("Alice (person/alice) [active]"));
        assert!(lines[1].starts_with("├─ Jean"), "{text}");
        assert!(
            lines[2].starts_with("│  └─ Jean (person/jean) [inert] the same person"),
            "{text}"
        );
        assert!(lines[3].starts_with("└─ Eve"), "{text}");
        assert!(lines[4].starts_with("… 3"));
        assert!(
            totals(&lineage, Language::Fr).starts_with("2 personnes, 2 comptes, 0 session ouverte")
        );
    }

    #[test]
    fn a_person_is_one_segment() {
        assert!(segment("alice.martin@ml.example").is_ok());
        for odd in ["", "..", "a/b", "a?b", "a b", "é"] {
            assert!(segment(odd).is_err(), "{odd}");
        }
    }
}
