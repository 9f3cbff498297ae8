//! `sceau-verify registration`: one registration, judged three times: is it genuine, is its maker trusted, do we want that model.

use std::path::{Path, PathBuf};

use sceau_proof::attestation::second_opinion::Opinion;
use sceau_proof::attestation::trust::{self, Anchor, Sources, Trust};
use sceau_proof::attestation::{self, RegistrationExpectation, anchors};
use sceau_proof::authenticator_data::Flags;
use sceau_proof::base64url;
use sceau_proof::metadata::{Metadata, MetadataError};
use sceau_proof::model::{self, ModelPolicy, ModelVerdict, Occasion, StoredRegistration, judge};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Failure, Outcome, metadata, read_input};

/// Verifies a FIDO2 registration (WebAuthn L3 §7.1): statement, trust, policy.
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Args {
    /// The case, or `-` for standard input.
    case: PathBuf,
    /// The time of the judgement (RFC 3339). Without it nothing is trusted.
    #[arg(long, value_name = "T", value_parser = crate::parse_time)]
    at: Option<OffsetDateTime>,
    /// A folder of certificates (PEM or DER) that may vouch for authenticators; `anchors.toml` in it binds them to models.
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// A FIDO metadata BLOB.
    #[arg(long, value_name = "BLOB", requires = "metadata_root")]
    metadata: Option<PathBuf>,
    /// The root of the BLOB's signer (PEM).
    #[arg(long, value_name = "PEM")]
    metadata_root: Option<PathBuf>,
    /// The name that the BLOB's signer must bear.
    #[arg(long, value_name = "NAME", default_value = sceau_proof::metadata::LEAF_NAME)]
    leaf_name: String,
    /// A model policy (TOML), or `default` for the shipped one.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A role of the person whose key it is; repeatable.
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
}

fn help() -> String {
    let list = |words: &[(&str, &str)]| -> String {
        words
            .iter()
            .map(|(word, meaning)| format!("  {word:<38} {meaning}\n"))
            .collect()
    };
    format!(
        r#"In:  {{"rp_id","origins":[…],"challenge","require_uv"?:bool,"allow_cross_origin"?:bool,"response":{{"client_data_json","attestation_object"}}}},
     binary values base64url without padding. Also read: "top_origins"?:[…].
Out: {{"statement":"verified"|"rejected","statement_reason","trust":"trusted"|"untrusted"|"not-evaluated","trust_reason",
      "policy":"accepted"|"refused"|"not-evaluated","policy_reason","fmt","attestation_type","aaguid","alg","up","uv","be","bs",
      "credential_id","public_key_cose","trust_path":[…],"anchor","model","second_opinion"}}. Where the statement is rejected, what follows is merely claimed.
Exit status 0 only if none of the three is negative.

Reasons of "statement" ("verified" when all checks hold):
{}
Reasons of "trust" ("statement-rejected" when there is nothing to judge; "metadata-rejected" when the BLOB is not believed, "metadata_reason" says why):
{}
Reasons of "policy" ("no-policy", "statement-rejected"):
{}
Example:
  sceau-verify registration case.json --at 2026-11-21T12:00:00Z --anchors roots/ --policy default"#,
        list(attestation::REASONS),
        list(trust::REASONS),
        list(model::REASONS),
    )
}

#[derive(Deserialize)]
struct Case {
    rp_id: String,
    origins: Vec<String>,
    #[serde(with = "base64url")]
    challenge: Vec<u8>,
    require_uv: Option<bool>,
    allow_cross_origin: Option<bool>,
    top_origins: Option<Vec<String>>,
    response: Response,
}

/// Both members are claims: texts that are not base64url make a rejected statement, not malformed input.
#[derive(Deserialize)]
struct Response {
    client_data_json: String,
    attestation_object: String,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let bytes = read_input(&args.case)?;
    let case: Case =
        serde_json::from_slice(&bytes).map_err(|e| Failure::Malformed(e.to_string()))?;
    if case.challenge.is_empty() || case.rp_id.is_empty() {
        return Err(Failure::Malformed(
            "`challenge` and `rp_id` must not be empty".to_owned(),
        ));
    }
    let anchors = args.anchors.as_deref().map(read_anchors).transpose()?;
    let metadata = read_metadata(args)?;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    // Not base64url: no bytes, which no verifier accepts.
    let stored = StoredRegistration {
        client_data_json: base64url::decode(&case.response.client_data_json).unwrap_or_default(),
        attestation_object: base64url::decode(&case.response.attestation_object)
            .unwrap_or_default(),
        expectation: RegistrationExpectation {
            rp_id: case.rp_id,
            origins: case.origins,
            challenge: case.challenge,
            require_uv: case.require_uv.unwrap_or(false),
            allow_cross_origin: case.allow_cross_origin.unwrap_or(false),
            top_origins: case.top_origins,
        },
    };
    let sources = Sources {
        anchors: anchors.as_deref(),
        metadata: metadata.as_ref().and_then(|read| read.as_ref().ok()),
    };
    let roles: Vec<&str> = args.role.iter().map(String::as_str).collect();
    let verdict = judge(
        &stored,
        sources,
        policy.as_ref(),
        &roles,
        Occasion::Enrolment,
        args.at,
    );
    let disbelieved = metadata.as_ref().and_then(|read| read.as_ref().err());
    Ok(report(&stored, &verdict, disbelieved.copied()))
}

fn report(
    stored: &StoredRegistration,
    verdict: &ModelVerdict<'_>,
    disbelieved: Option<&'static str>,
) -> Outcome {
    let mut object = match &verdict.statement {
        Ok(verified) => json!({
            "statement": "verified",
            "statement_reason": "verified",
            "fmt": verified.format().name(),
            "attestation_type": verified.attestation_type().word(),
            "aaguid": verified.aaguid().to_string(),
            "alg": verified.key().algorithm(),
            "credential_id": verified.credential_id().to_string(),
            "public_key_cose": base64url::encode(verified.public_key_cose()),
            "trust_path": verified.chain().iter().map(|certificate| certificate.subject().to_string()).collect::<Vec<_>>(),
        }),
        Err(error) => {
            let claims = attestation::claims(&stored.attestation_object);
            json!({
                "statement": "rejected",
                "statement_reason": error.reason(),
                "fmt": claims.format,
                "attestation_type": null,
                "aaguid": claims.aaguid.map(|aaguid| aaguid.to_string()),
                "alg": claims.algorithm,
                "credential_id": claims.credential_id.map(|id| id.to_string()),
                "public_key_cose": claims.public_key_cose.map(base64url::encode),
                "trust_path": [],
            })
        }
    };
    let flags: Option<Flags> = match &verdict.statement {
        Ok(verified) => Some(verified.flags()),
        Err(_) => attestation::claims(&stored.attestation_object).flags,
    };
    let (trust, trust_reason) = match &verdict.trust {
        Some(found) => (word(found.trust()), found.reason()),
        None => ("not-evaluated", "statement-rejected"),
    };
    let (trust, trust_reason) = match disbelieved {
        Some(_) if verdict.statement.is_ok() => ("untrusted", "metadata-rejected"),
        _ => (trust, trust_reason),
    };
    let (policy, policy_reason) = match (&verdict.policy, &verdict.statement) {
        (Some(_), _) if disbelieved.is_some() => ("refused", "not-trusted"),
        (Some(found), _) if found.is_accepted() => ("accepted", found.reason()),
        (Some(found), _) => ("refused", found.reason()),
        (None, Ok(_)) => ("not-evaluated", "no-policy"),
        (None, Err(_)) => ("not-evaluated", "statement-rejected"),
    };
    let rest = json!({
        "trust": trust,
        "trust_reason": trust_reason,
        "policy": policy,
        "policy_reason": policy_reason,
        "up": flags.map(Flags::up),
        "uv": flags.map(Flags::uv),
        "be": flags.map(Flags::be),
        "bs": flags.map(Flags::bs),
        "anchor": verdict.trust.as_ref().and_then(|found| found.anchor()).map(|anchor| anchor.name.clone()),
        "model": verdict.model(),
        "metadata_reason": disbelieved,
        "second_opinion": opinion(verdict),
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    Outcome {
        yes: verdict.statement.is_ok() && trust != "untrusted" && policy != "refused",
        object,
    }
}

fn word(trust: Trust) -> &'static str {
    match trust {
        Trust::Trusted => "trusted",
        Trust::Untrusted => "untrusted",
        Trust::NotEvaluated => "not-evaluated",
    }
}

/// What webauthn-rs says of what ours verified; for information here, while an enrolment is refused when it disagrees.
fn opinion(verdict: &ModelVerdict<'_>) -> Option<String> {
    Some(match verdict.second_opinion.as_ref()? {
        Opinion::Agrees => "agrees".to_owned(),
        Opinion::Silent(why) => format!("silent: {why}"),
        Opinion::Disagrees(why) => format!("disagrees: {why}"),
    })
}

fn read_anchors(folder: &Path) -> Result<Vec<Anchor>, Failure> {
    let named = |e: std::io::Error| Failure::Malformed(format!("{}: {e}", folder.display()));
    let mut files = Vec::new();
    let mut index = None;
    for item in std::fs::read_dir(folder).map_err(named)? {
        let path = item.map_err(named)?.path();
        if path.is_dir() {
            continue;
        }
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name == anchors::INDEX {
            index = Some(
                String::from_utf8(read_input(&path)?)
                    .map_err(|e| Failure::Malformed(e.to_string()))?,
            );
        } else if path.extension().is_some_and(|kind| {
            ["pem", "crt", "cer", "der"]
                .iter()
                .any(|ours| kind.eq_ignore_ascii_case(ours))
        }) {
            files.push((name, read_input(&path)?));
        }
    }
    files.sort();
    // Without an index, a file that is no certificate vouches for nobody: it is named and left out. With one, every file counts.
    if index.is_none() {
        files.retain(
            |file| match anchors::read(std::slice::from_ref(file), None) {
                Ok(_) => true,
                Err(error) => {
                    eprintln!("sceau-verify: {}: left out: {error}", folder.display());
                    false
                }
            },
        );
    }
    anchors::read(&files, index.as_deref())
        .map_err(|e| Failure::Malformed(format!("{}: {e}", folder.display())))
}

/// The metadata, or the word for why it is not believed: then nothing is trusted.
fn read_metadata(args: &Args) -> Result<Option<Result<Metadata, &'static str>>, Failure> {
    let (Some(blob), Some(root)) = (&args.metadata, &args.metadata_root) else {
        return Ok(None);
    };
    let roots = metadata::read_roots(root)?;
    let Some(at) = args.at else {
        return Ok(Some(Err("time-not-given")));
    };
    let verified = metadata::verify(blob, &roots, &args.leaf_name, None, at)?;
    Ok(Some(verified.map_err(MetadataError::reason)))
}

fn read_policy(path: &Path) -> Result<ModelPolicy, Failure> {
    if path == Path::new("default") {
        return ModelPolicy::shipped().map_err(|e| Failure::Malformed(e.to_string()));
    }
    let text =
        String::from_utf8(read_input(path)?).map_err(|e| Failure::Malformed(e.to_string()))?;
    ModelPolicy::parse(&text).map_err(|e| Failure::Malformed(format!("{}: {e}", path.display())))
}
