//! `sceau-verify evidence`: one action, from request to execution, checked with nothing but its bundle and the log's key.

use std::path::{Path, PathBuf};

use sceau_proof::attestation::trust::Sources;
use sceau_proof::evidence::{self, Trust};
use sceau_proof::log::note::{KeyKind, VerifyingKey};
use serde_json::json;
use time::OffsetDateTime;

use crate::{Failure, Outcome, read_input, roots};

/// Checks an evidence bundle (docs/evidence.md).
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The bundle, or `-` for standard input.
    bundle: PathBuf,
    /// The log's verifier key (`name+hash+base64`), or a file that holds it.
    #[arg(long, value_name = "VKEY")]
    log_key: String,
    /// A witness that must have cosigned the checkpoint: its verifier key, or a file that holds it. May be repeated.
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// Folder of manufacturers' roots; without it the origin of the keys is not judged.
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// When the keys' attestations must have been valid (RFC 3339); without it, at their enrolment.
    #[arg(long, value_name = "TIME", value_parser = crate::parse_time)]
    at: Option<OffsetDateTime>,
}

const HELP: &str = r#"Out: {"verdict":"accepted"|"rejected","checks":[{"check","result":"passed"|"failed"|"not-evaluated","detail"},…]}; the same lines go to
standard error for people. Accepted means that no check failed; docs/evidence.md says what each one is.

Example:
  sceau-verify evidence evidence.json --log-key log.vkey --roots /etc/sceau/roots"#;

/// A verifier key given as such or as the name of a file.
pub(crate) fn key(text: &str, kind: KeyKind) -> Result<VerifyingKey, Failure> {
    let parsed = match VerifyingKey::parse(text) {
        Ok(key) => Ok(key),
        Err(error) if text.contains('+') && !Path::new(text).exists() => Err(error),
        Err(_) => {
            let bytes = read_input(Path::new(text))?;
            VerifyingKey::parse(&String::from_utf8_lossy(&bytes))
        }
    };
    let key = parsed.map_err(|error| Failure::Malformed(format!("{text}: {error}")))?;
    if key.kind() != kind {
        return Err(Failure::Malformed(format!("{text}: a key of another kind")));
    }
    Ok(key)
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let log = key(&args.log_key, KeyKind::Log)?;
    let witnesses = args
        .witness
        .iter()
        .map(|text| key(text, KeyKind::Witness))
        .collect::<Result<Vec<_>, _>>()?;
    let anchors = args.roots.as_deref().map(roots::load).transpose()?;
    let bundle = read_input(&args.bundle)?;
    let sources = Sources {
        anchors: anchors.as_deref(),
        metadata: None,
    };
    let report = evidence::check(
        &bundle,
        &Trust {
            log: &log,
            witnesses: &witnesses,
            sources,
            at: args.at,
        },
    );
    for line in report.checks() {
        let result = match line.result {
            evidence::Outcome::Passed => "passed",
            evidence::Outcome::Failed => "FAILED",
            evidence::Outcome::NotEvaluated => "not evaluated",
        };
        // Details come from the bundle: quoted, so that no escape sequence reaches a terminal. A width pads texts, not what escapes them.
        let check = line.check.escape_debug().to_string();
        eprintln!("{result:<13} {check:<25} {}", line.detail.escape_debug());
    }
    let verdict = if report.accepted() {
        "accepted"
    } else {
        "rejected"
    };
    Ok(Outcome {
        yes: report.accepted(),
        object: json!({"verdict": verdict, "checks": report.checks()}),
    })
}
