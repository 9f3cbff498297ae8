//! `sceau-verify assertion`: one assertion, everything that its relying party expected of it, and the verdict of every check.

use std::path::PathBuf;

use sceau_proof::assertion::{self, AssertionError, AssertionResponse, Expectation, REASONS};
use sceau_proof::authenticator_data::{AuthenticatorData, CredentialId};
use sceau_proof::base64url;
use sceau_proof::cose::{KeyError, PublicKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{Failure, Outcome, read_input};

/// Verifies a FIDO2 assertion (WebAuthn L3 §7.2).
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Args {
    /// The case, or `-` for standard input.
    case: PathBuf,
}

fn help() -> String {
    let reasons: String = REASONS
        .iter()
        .map(|(word, meaning)| format!("  {word:<34} {meaning}\n"))
        .collect();
    format!(
        r#"In:  {{"rp_id","origins":[…],"challenge","public_key_cose","require_uv":bool,"stored_sign_count"?:int,"allow_cross_origin"?:bool,"allow_up_false"?:bool,
      "response":{{"client_data_json","authenticator_data","signature","credential_id"?}}}}, binary values base64url without padding.
     Also read: "credential_ids"?:[…], "stored_backup_eligible"?:bool, "top_origins"?:[…].
Out: {{"verdict":"accepted"|"rejected","reason","up","uv","be","bs","sign_count","alg"}}; the flags are null where the authenticator data cannot be read,
     and merely claimed where the verdict is "rejected".

Reasons, in the order of the checks ("accepted" when all hold):
{reasons}
Example:
  sceau-verify assertion case.json"#
    )
}

#[derive(Deserialize)]
struct Case {
    rp_id: String,
    origins: Vec<String>,
    #[serde(with = "base64url")]
    challenge: Vec<u8>,
    #[serde(with = "base64url")]
    public_key_cose: Vec<u8>,
    require_uv: bool,
    stored_sign_count: Option<u32>,
    allow_cross_origin: Option<bool>,
    allow_up_false: Option<bool>,
    #[serde(default)]
    credential_ids: Vec<CredentialId>,
    stored_backup_eligible: Option<bool>,
    top_origins: Option<Vec<String>>,
    response: Box<RawValue>,
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
    let response = AssertionResponse::from_json(case.response.get().as_bytes());
    let key = PublicKey::from_cose(&case.public_key_cose);
    let reason = match (&response, &key) {
        (Err(error), _) => error.reason(),
        (Ok(_), Err(KeyError::UnsupportedAlgorithm(_))) => "unsupported-algorithm",
        (Ok(_), Err(_)) => "public-key-malformed",
        (Ok(response), Ok(key)) => match check(&case, response, key) {
            Ok(()) => "accepted",
            Err(error) => error.reason(),
        },
    };
    let yes = reason == "accepted";
    let claimed = response
        .as_ref()
        .ok()
        .and_then(|r| AuthenticatorData::parse(&r.authenticator_data).ok());
    let flags = claimed.as_ref().map(AuthenticatorData::flags);
    let alg = match &key {
        Ok(key) => Value::from(key.algorithm().cose_id()),
        Err(KeyError::UnsupportedAlgorithm(id)) => Value::from(*id),
        Err(_) => Value::Null,
    };
    let object = json!({
        "verdict": if yes { "accepted" } else { "rejected" },
        "reason": reason,
        "up": flags.map(|f| f.up()),
        "uv": flags.map(|f| f.uv()),
        "be": flags.map(|f| f.be()),
        "bs": flags.map(|f| f.bs()),
        "sign_count": claimed.as_ref().map(AuthenticatorData::sign_count),
        "alg": alg,
    });
    Ok(Outcome { yes, object })
}

fn check(case: &Case, response: &AssertionResponse, key: &PublicKey) -> Result<(), AssertionError> {
    let expected = Expectation {
        require_uv: case.require_uv,
        credential_ids: &case.credential_ids,
        stored_sign_count: case.stored_sign_count,
        stored_backup_eligible: case.stored_backup_eligible,
        allow_cross_origin: case.allow_cross_origin.unwrap_or(false),
        top_origins: case.top_origins.as_deref(),
        allow_up_false: case.allow_up_false.unwrap_or(false),
        ..Expectation::new(&case.rp_id, &case.origins, &case.challenge)
    };
    assertion::verify(response, key, &expected).map(drop)
}
