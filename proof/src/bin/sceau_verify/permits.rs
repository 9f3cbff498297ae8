//! `sceau-verify permits`: which of the permits that a service accepted the log does not know. Those were signed with a stolen key (attack 18).

use std::collections::HashSet;
use std::path::PathBuf;

use sceau_proof::log::Entry;
use sceau_proof::log::entry::sha256;
use serde_json::json;

use crate::{Failure, Outcome, log, read_input};

/// Looks for permits without a log entry.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The permits that a service accepted, one compact JWS a line; or `-` for standard input.
    permits: PathBuf,
    /// Folder or URL of the log's static files.
    #[arg(long, value_name = "DIR|URL")]
    log: String,
    /// The log's verifier key (`name+hash+base64`), or a file that holds it.
    #[arg(long, value_name = "VKEY")]
    log_key: String,
}

const HELP: &str = r#"Out: {"verdict":"all-logged"|"unlogged"|"inconsistent","permits","unlogged":[{"line","sha256"},…]}. The whole log is checked on the way, as by `sceau-verify log`.
A permit that is not in it was signed by somebody else with the server's key: replace the key (sceau-server keys rotate permit), and look at what was executed by it.

Example:
  sceau-verify permits accepted.txt --log https://sceau.example/log --log-key log.vkey"#;

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let bytes = read_input(&args.permits)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Malformed("permits are ASCII, one a line".to_owned()))?;
    let permits: Vec<(usize, [u8; 32])> = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| (number, sha256(line.trim().as_bytes())))
        .collect();
    let mut issued: HashSet<[u8; 32]> = HashSet::new();
    let audited = log::audit(&args.log, &args.log_key, &mut |bytes| {
        if let Ok(entry) = Entry::parse(bytes)
            && entry.kind() == "permit.issued"
            && let Some(permit) = entry.sha256_of("permit")
        {
            issued.insert(*permit);
        }
    })?;
    if !audited.yes {
        let mut object = audited.object;
        if let Some(object) = object.as_object_mut() {
            object.insert("verdict".to_owned(), json!("inconsistent"));
        }
        return Ok(Outcome { yes: false, object });
    }
    let unlogged: Vec<_> = permits
        .iter()
        .filter(|(_, digest)| !issued.contains(digest))
        .map(|(line, digest)| json!({"line": line, "sha256": hex::encode(digest)}))
        .collect();
    let verdict = if unlogged.is_empty() {
        "all-logged"
    } else {
        "unlogged"
    };
    Ok(Outcome {
        yes: unlogged.is_empty(),
        object: json!({"verdict": verdict, "permits": permits.len(), "unlogged": unlogged}),
    })
}
