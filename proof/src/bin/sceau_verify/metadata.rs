//! `sceau-verify metadata`: is this FIDO metadata BLOB genuine, and what is the standing of a model?

use std::path::{Path, PathBuf};

use sceau_proof::authenticator_data::Aaguid;
use sceau_proof::certificate::Certificate;
use sceau_proof::metadata::status::Report;
use sceau_proof::metadata::{LEAF_NAME, Metadata, MetadataError, MetadataExpectation};
use serde_json::{Value, json};
use time::{Date, OffsetDateTime};

use crate::{Failure, Outcome, read_input};

/// Verifies a FIDO metadata BLOB (MDS3) and tells the standing of a model.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The BLOB (a compact JWS), or `-` for standard input.
    blob: PathBuf,
    /// The root that must end the signer's chain (PEM).
    #[arg(long, value_name = "PEM")]
    root: PathBuf,
    /// The time of the judgement (RFC 3339).
    #[arg(long, value_name = "T", value_parser = crate::parse_time)]
    at: OffsetDateTime,
    /// The highest number seen so far: a lower one is refused.
    #[arg(long, value_name = "N")]
    seen_no: Option<u64>,
    /// The name that the signer's certificate must bear.
    #[arg(long, value_name = "NAME", default_value = LEAF_NAME)]
    leaf_name: String,
    /// A model whose standing is asked.
    #[arg(long, value_name = "AAGUID")]
    aaguid: Option<Aaguid>,
}

const HELP: &str = r#"Out: {"verdict":"accepted"|"rejected","reason","no","next_update","entries","stale":bool,"problems":[{"entry","what"}…]}; with --aaguid also
     {"status":"acceptable"|"unacceptable"|"unknown","status_reason","model","history":[{"status","effective_date","in_effect",…}…]}.
A BLOB past its next update is accepted and "stale"; how long it may serve is policy. With --aaguid the answer is yes (exit status 0) only when the BLOB
is accepted and the status "acceptable".

Reasons: accepted; too-large, not-a-jws, header-malformed, algorithm-none, algorithm-unsupported, x5u-refused, x5c-missing, certificate-malformed,
  unknown-root, chain-signature-invalid, issuer-not-authority, critical-extension-unknown, certificate-validity-malformed, certificate-not-yet-valid, certificate-expired,
  leaf-name-mismatch, signature-invalid, payload-malformed, rollback.
Reasons of the status: not-certified, certified, certified-l1, certified-l1-plus, certified-l2, certified-l2-plus, certified-l3, certified-l3-plus
  (acceptable); revoked, attestation-key-compromise, user-verification-bypass, user-key-remote-compromise, user-key-physical-compromise, retired,
  status-unknown, status-missing (unacceptable); no-entry (unknown).

Example:
  sceau-verify metadata blob.jwt --root globalsign-r3.pem --at 2024-12-24T00:00:00Z --aaguid 2fc0579f-8113-47ea-b116-bb5a8db9202a"#;

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let roots = read_roots(&args.root)?;
    let metadata = match verify(&args.blob, &roots, &args.leaf_name, args.seen_no, args.at)? {
        Ok(metadata) => metadata,
        Err(error) => {
            let object = json!({"verdict": "rejected", "reason": error.reason(), "no": null, "next_update": null, "entries": null, "stale": null});
            return Ok(Outcome { yes: false, object });
        }
    };
    let problems: Vec<Value> = metadata
        .problems()
        .iter()
        .map(|it| json!({"entry": it.position, "what": it.what}))
        .collect();
    let mut object = json!({
        "verdict": "accepted",
        "reason": "accepted",
        "no": metadata.no(),
        "next_update": metadata.next_update().to_string(),
        "entries": metadata.entries().len(),
        "stale": metadata.is_stale(args.at),
        "problems": problems,
    });
    let mut yes = true;
    if let (Some(aaguid), Some(object)) = (args.aaguid, object.as_object_mut()) {
        let status = status(&metadata, aaguid, args.at);
        yes = status
            .get("status")
            .is_some_and(|word| word == "acceptable");
        object.extend(status);
    }
    Ok(Outcome { yes, object })
}

fn status(
    metadata: &Metadata,
    aaguid: Aaguid,
    at: OffsetDateTime,
) -> serde_json::Map<String, Value> {
    let mut members = serde_json::Map::new();
    let Some(entry) = metadata.by_aaguid(aaguid) else {
        members.insert("status".to_owned(), "unknown".into());
        members.insert("status_reason".to_owned(), "no-entry".into());
        members.insert("history".to_owned(), Value::Array(Vec::new()));
        return members;
    };
    let standing = entry.standing(at, &[]);
    let word = if standing.is_acceptable() {
        "acceptable"
    } else {
        "unacceptable"
    };
    let today = at.to_offset(time::UtcOffset::UTC).date();
    members.insert("status".to_owned(), word.into());
    members.insert("status_reason".to_owned(), standing.reason().into());
    members.insert("model".to_owned(), entry.description().into());
    members.insert(
        "history".to_owned(),
        entry
            .reports()
            .iter()
            .map(|report| history(report, today))
            .collect(),
    );
    members
}

fn history(report: &Report, today: Date) -> Value {
    json!({
        "status": report.status,
        "effective_date": report.effective.map(|date| date.to_string()),
        "sunset_date": report.sunset.map(|date| date.to_string()),
        "authenticator_version": report.authenticator_version,
        "in_effect": report.is_in_effect(today),
    })
}

/// The certificates of a PEM file.
pub(crate) fn read_roots(path: &Path) -> Result<Vec<Certificate>, Failure> {
    Certificate::from_pem(&read_input(path)?)
        .map_err(|e| Failure::Malformed(format!("{}: {e}", path.display())))
}

/// Reads and verifies a BLOB: the outer error is about the file, the inner one about what it says.
pub(crate) fn verify(
    blob: &Path,
    roots: &[Certificate],
    leaf_name: &str,
    seen_no: Option<u64>,
    at: OffsetDateTime,
) -> Result<Result<Metadata, MetadataError>, Failure> {
    let bytes = read_input(blob)?;
    Ok(Metadata::verify(
        &bytes,
        &MetadataExpectation {
            roots,
            leaf_name,
            seen_no,
            at,
        },
    ))
}
