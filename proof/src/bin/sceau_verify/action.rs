//! `sceau-verify action`: is this file a valid action, and which bytes, digest and challenge does it stand for.

use std::path::PathBuf;

use sceau_proof::action::Action;
use sceau_proof::base64url;
use serde_json::json;

use crate::{Failure, Outcome, read_input};

/// Reads an action strictly and prints its digest, challenge and canonical bytes.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The action document, or `-` for standard input.
    file: PathBuf,
}

const HELP: &str = r#"Out: {"action_sha256","challenge","canonical"}: base64url, base64url, and the canonical JSON (RFC 8785) as a text.
The input is refused with exit status 2, never repaired, when it is not a valid action.

Example:
  sceau-verify action action.json"#;

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let bytes = read_input(&args.file)?;
    let action =
        Action::parse(&bytes).map_err(|e| Failure::Malformed(format!("{}: {e}", e.reason())))?;
    let object = json!({
        "action_sha256": base64url::encode(action.sha256()),
        "challenge": base64url::encode(action.challenge().as_bytes()),
        "canonical": action.canonical_text(),
    });
    Ok(Outcome { yes: true, object })
}
