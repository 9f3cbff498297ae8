//! `sceau-verify piv`: a card's attestation of one of its keys, judged up to a manufacturer's root.

use std::path::PathBuf;

use sceau_proof::certificate::{Certificate, PublicKeyInfo};
use sceau_proof::piv::attestation::{self, Claim, REASONS, VerifiedAttestation};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Failure, Outcome, read_input, roots};

/// Verifies a PIV key attestation.
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Args {
    /// The case, or `-` for standard input.
    case: PathBuf,
    /// Folder of trusted certificates (`.pem`, `.crt`, `.cer`, `.der`): roots, and intermediates that they issued.
    #[arg(long, value_name = "DIR")]
    roots: PathBuf,
    /// When the chain must be valid (RFC 3339). Without it, there must have been a time when all of it was.
    #[arg(long, value_name = "TIME", value_parser = crate::parse_time)]
    at: Option<OffsetDateTime>,
}

fn help() -> String {
    let reasons: String = REASONS
        .iter()
        .map(|(word, meaning)| format!("  {word:<28} {meaning}\n"))
        .collect();
    format!(
        r#"In:  {{"attestation":"<PEM>","intermediates":["<PEM>",…],"public_key"?:"<PEM SPKI>"}}
Out: {{"verdict":"accepted"|"rejected","reason","firmware","serial","pin_policy","touch_policy","form_factor","fips":bool,"anchor"}}, and "slot", "cspn",
     "form_factor_name", "weakness", "chain", "time":"checked"|"not-evaluated". What the certificate merely claims is null where the verdict is "rejected".

Reasons:
{reasons}
Example:
  sceau-verify piv case.json --roots /etc/sceau/piv-roots --at 2026-11-21T00:00:00Z"#
    )
}

#[derive(Deserialize)]
struct Case {
    attestation: String,
    #[serde(default)]
    intermediates: Vec<String>,
    public_key: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let bytes = read_input(&args.case)?;
    let case: Case =
        serde_json::from_slice(&bytes).map_err(|error| Failure::Malformed(error.to_string()))?;
    let anchors = roots::load(&args.roots)?;
    let anchors: Vec<&Certificate> = anchors.iter().map(|anchor| &anchor.certificate).collect();
    let judged = judge(&case, &anchors, args.at);
    let time = if args.at.is_some() {
        "checked"
    } else {
        "not-evaluated"
    };
    let (yes, object) = match judged {
        Ok(verified) => (true, describe(&verified, time)),
        Err(reason) => (
            false,
            json!({"verdict": "rejected", "reason": reason, "firmware": null, "serial": null, "pin_policy": null, "touch_policy": null,
                "form_factor": null, "fips": null, "anchor": null, "slot": null, "cspn": null, "form_factor_name": null,
                "weakness": null, "chain": null, "time": time}),
        ),
    };
    Ok(Outcome { yes, object })
}

fn judge(
    case: &Case,
    anchors: &[&Certificate],
    at: Option<OffsetDateTime>,
) -> Result<VerifiedAttestation, &'static str> {
    let pem =
        |text: &str| Certificate::from_pem(text.as_bytes()).map_err(|_| "certificate-malformed");
    // Some tools write the leaf and its issuers into one text, the leaf first.
    let mut first = pem(&case.attestation)?.into_iter();
    let leaf = first.next().ok_or("certificate-malformed")?;
    let mut intermediates: Vec<_> = first.collect();
    for text in &case.intermediates {
        intermediates.extend(pem(text)?);
    }
    let public_key = case
        .public_key
        .as_deref()
        .map(|text| spki(text).ok_or("public-key-malformed"))
        .transpose()?;
    let claim = Claim {
        leaf: &leaf,
        intermediates: &intermediates,
        public_key: public_key.as_ref(),
    };
    attestation::verify(&claim, anchors, at).map_err(|error| error.reason())
}

fn spki(pem: &str) -> Option<PublicKeyInfo> {
    use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    PublicKeyInfo::from_der(&der).ok()
}

fn describe(verified: &VerifiedAttestation, time: &str) -> Value {
    let [major, minor, patch] = verified.firmware();
    json!({
        "verdict": "accepted",
        "reason": "verified",
        "firmware": format!("{major}.{minor}.{patch}"),
        "serial": verified.serial(),
        "pin_policy": verified.pin_policy().as_str(),
        "touch_policy": verified.touch_policy().as_str(),
        "form_factor": verified.form_factor().map(|form| format!("0x{:02x}", form.byte())),
        "fips": verified.is_fips(),
        "anchor": verified.anchor(),
        "slot": format!("{:02x}", verified.slot()),
        "cspn": verified.is_cspn(),
        "form_factor_name": verified.form_factor().and_then(|form| form.name()),
        "weakness": verified.weakness().map(|attestation::Weakness::Roca| "roca"),
        "chain": verified.chain(),
        "time": time,
    })
}
