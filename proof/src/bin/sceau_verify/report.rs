//! `sceau-verify report`: each line of an incident report is an entry of the log, and says what that entry says.

use std::path::PathBuf;

use sceau_proof::evidence::LogRecord;
use sceau_proof::log::note::KeyKind;
use sceau_proof::log::{Entry, checkpoint, leaf_hash, verify_inclusion};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::{Failure, Outcome, evidence, read_input};

/// Checks the proofs of an incident report (docs/alerts.md).
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// `incident.json`, or `-` for standard input.
    report: PathBuf,
    /// The log's verifier key (`name+hash+base64`), or a file that holds it.
    #[arg(long, value_name = "VKEY")]
    log_key: String,
}

const HELP: &str = r#"Out: {"verdict":"proven"|"not-proven","entries","reason","index"}: the signed checkpoint, the inclusion of each entry, each opening, and that
the time line is what the entries say. Counts and tables beside it follow from the server's store and are its word.

Example:
  sceau-verify report incident.json --log-key log.vkey"#;

#[derive(Deserialize)]
struct Report {
    timeline: Vec<Moment>,
    log: LogRecord,
}

#[derive(Deserialize)]
struct Moment {
    index: u64,
    #[serde(rename = "type")]
    kind: String,
    persons: BTreeMap<String, String>,
    data: Map<String, Value>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let key = evidence::key(&args.log_key, KeyKind::Log)?;
    let bytes = read_input(&args.report)?;
    let report: Report = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Malformed(format!("not a report: {error}")))?;
    let found = match checkpoint::open(report.log.checkpoint.as_bytes(), &key, &[]) {
        Ok(target) => lines(&report, target.size(), target.root()),
        Err(_) => Some(("checkpoint", None)),
    };
    let (reason, index) = found.unwrap_or(("proven", None));
    Ok(Outcome {
        yes: found.is_none(),
        object: json!({"verdict": if found.is_none() { "proven" } else { "not-proven" }, "entries": report.log.entries.len(),
            "reason": reason, "index": index}),
    })
}

/// The first line that does not hold, and why.
fn lines(
    report: &Report,
    size: u64,
    root: &sceau_proof::log::Hash,
) -> Option<(&'static str, Option<u64>)> {
    if report.timeline.len() != report.log.entries.len() {
        return Some(("timeline", None));
    }
    for (moment, logged) in report.timeline.iter().zip(&report.log.entries) {
        let at = Some(logged.index);
        let leaf = leaf_hash(&logged.leaf);
        if verify_inclusion(&leaf, logged.index, size, &logged.inclusion, root).is_err() {
            return Some(("inclusion", at));
        }
        let Ok(entry) = Entry::parse(&logged.leaf) else {
            return Some(("entry", at));
        };
        let opens = logged
            .openings
            .iter()
            .all(|(field, opening)| entry.opens(field, &opening.salt, &opening.value));
        if !opens {
            return Some(("opening", at));
        }
        let persons_fit = moment.persons.iter().all(|(field, value)| {
            logged
                .openings
                .get(field)
                .is_some_and(|opening| opening.value == *value)
        });
        if moment.index != logged.index
            || moment.kind != entry.kind()
            || moment.data != *entry.data()
            || !persons_fit
        {
            return Some(("timeline", at));
        }
    }
    None
}
