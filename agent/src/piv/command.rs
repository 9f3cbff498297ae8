//! `sceau card …` and what `sceau keys` prints of a card: the command line, and answers in words.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::desk::{Algorithm, ManagementKind, Task, Touch};
use crate::locale::Language;
use crate::text::{day, of_file, one_line, unreadable};

/// `sceau card …`
#[derive(Subcommand)]
pub enum CardCommand {
    /// Change or unblock the PIN.
    #[command(subcommand)]
    Pin(PinCommand),
    /// Change the PUK.
    #[command(after_help = "Example:\n  sceau card puk-change")]
    PukChange,
    /// Show the certificates on the card.
    #[command(
        after_help = "Example:\n  sceau card certificates --json | jq -r '.certificates[0].pem'"
    )]
    Certificates {
        /// Print JSON, with the certificates in PEM.
        #[arg(long)]
        json: bool,
    },
    /// Make a key in slot 9C on the card; with --csr, also a request for its certificate.
    #[command(
        after_help = "Examples:\n  sceau card generate && sceau enroll --card --invitation-file invitation.txt\n  sceau card generate --csr carol.csr --subject 'Carol Petit'"
    )]
    Generate {
        /// What kind of key.
        #[arg(long, value_enum, default_value = "p256")]
        algorithm: Algorithm,
        /// When it waits for a touch; "unset" for cards that know no touch.
        #[arg(long, value_enum, default_value = "always")]
        touch: Touch,
        /// Write a certificate request (PKCS #10, PEM) to this file.
        #[arg(long, value_name = "FILE", requires = "subject")]
        csr: Option<PathBuf>,
        /// The request's common name.
        #[arg(long, requires = "csr")]
        subject: Option<String>,
        /// Use the management key that cards ship with, instead of asking for it.
        #[arg(long)]
        factory_management_key: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Store the certificate that was issued for the key in slot 9C.
    #[command(after_help = "Example:\n  sceau card import carol.pem")]
    Import {
        /// The certificate, PEM or DER.
        certificate: PathBuf,
        /// Use the management key that cards ship with, instead of asking for it.
        #[arg(long)]
        factory_management_key: bool,
    },
    /// Print the card's attestation of slot 9C, as `sceau-verify piv` reads it.
    #[command(
        after_help = "Example:\n  sceau card attest > case.json && sceau-verify piv case.json --roots roots/"
    )]
    Attest,
    /// Replace the management key.
    #[command(
        after_help = "Example:\n  sceau card management-key --random --factory-management-key"
    )]
    ManagementKey {
        /// The new key's algorithm; as before when absent.
        #[arg(long, value_enum)]
        algorithm: Option<ManagementKind>,
        /// Draw it at random and print it, once. Otherwise it is typed.
        #[arg(long)]
        random: bool,
        /// Authenticate with the management key that cards ship with, instead of asking for it.
        #[arg(long)]
        factory_management_key: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `sceau card pin …`
#[derive(Subcommand)]
pub enum PinCommand {
    /// Change it: the current one is asked for.
    #[command(after_help = "Example:\n  sceau card pin change")]
    Change,
    /// Unblock it: the PUK is asked for, and a new PIN.
    #[command(after_help = "Example:\n  sceau card pin unblock")]
    Unblock,
}

impl CardCommand {
    /// The task for the daemon. Errors: a file that cannot be read, or is no certificate.
    ///
    /// # Errors
    /// In words.
    pub fn task(&self, language: Language) -> Result<Value, String> {
        let task = match self {
            Self::Pin(PinCommand::Change) => Task::PinChange,
            Self::Pin(PinCommand::Unblock) => Task::PinUnblock,
            Self::PukChange => Task::PukChange,
            Self::Certificates { .. } => Task::Certificates,
            Self::Generate {
                algorithm,
                touch,
                subject,
                factory_management_key,
                ..
            } => Task::Generate {
                algorithm: *algorithm,
                touch: *touch,
                subject: subject.clone(),
                factory_key: *factory_management_key,
            },
            Self::Import {
                certificate,
                factory_management_key,
            } => {
                let fault = |why: &str| of_file(certificate, why, language);
                let bytes = std::fs::read(certificate)
                    .map_err(|e| unreadable(certificate, &e.to_string(), language))?;
                let der = if bytes.starts_with(b"-----") {
                    use sceau_proof::certificate::Certificate;
                    let all = Certificate::from_pem(&bytes).map_err(|e| fault(&e.to_string()))?;
                    let first = all.first().map(|certificate| certificate.der().to_vec());
                    first.ok_or_else(|| fault(&language.text("fault-no-certificate")))?
                } else {
                    bytes
                };
                Task::Import {
                    certificate: sceau_proof::base64url::encode(&der),
                    factory_key: *factory_management_key,
                }
            }
            Self::Attest => Task::Attest,
            Self::ManagementKey {
                algorithm,
                random,
                factory_management_key,
                ..
            } => Task::ManagementKey {
                algorithm: *algorithm,
                random: *random,
                factory_key: *factory_management_key,
            },
        };
        Ok(json!(task))
    }

    /// Whether JSON was asked for.
    #[must_use]
    pub fn json(&self) -> bool {
        match self {
            Self::Certificates { json }
            | Self::Generate { json, .. }
            | Self::ManagementKey { json, .. } => *json,
            Self::Attest => true,
            _ => false,
        }
    }

    /// Whether a person may have to be asked.
    #[must_use]
    pub fn asks(&self) -> bool {
        !matches!(self, Self::Certificates { .. } | Self::Attest)
    }

    /// Writes what goes to a file, and says loudly what must not stay so.
    ///
    /// # Errors
    /// In words.
    pub fn finish(&self, done: &Value, language: Language) -> Result<(), String> {
        let is_default = done["warnings"]
            .as_array()
            .is_some_and(|warnings| warnings.contains(&json!("management-key-default")));
        if is_default {
            eprintln!("\n{}\n", default_key_warning(language));
        }
        if let Self::Generate {
            csr: Some(file), ..
        } = self
        {
            let request = done["request"].as_str().unwrap_or_default();
            std::fs::write(file, request).map_err(|e| of_file(file, e, language))?;
        }
        Ok(())
    }

    /// In words.
    #[must_use]
    pub fn render(&self, done: &Value, language: Language) -> String {
        let said = match done["done"].as_str().unwrap_or_default() {
            "pin-changed" => language.text("command-card-pin-changed"),
            "pin-unblocked" => language.text("command-card-pin-unblocked"),
            "puk-changed" => language.text("command-card-puk-changed"),
            "certificate-stored" => language.text("command-card-certificate-stored"),
            "generated" => return generated(done, language),
            "management-key-changed" => {
                let said = language.text("command-card-management-key-changed");
                return match done["management_key"].as_str() {
                    Some(key) => format!(
                        "{said} {}\n{key}\n",
                        language.text("command-card-management-key-once")
                    ),
                    None => format!("{said}\n"),
                };
            }
            _ => return certificates(done, language),
        };
        format!("{said}\n")
    }
}

/// For operators, at the top of their voice.
#[must_use]
pub fn default_key_warning(language: Language) -> String {
    language.text("command-card-factory-warning").into_owned()
}

fn generated(done: &Value, language: Language) -> String {
    let mut out = format!(
        "{} (9C, {}).\n",
        language.text("command-card-key-made"),
        done["algorithm"].as_str().unwrap_or_default()
    );
    out.push_str(&if done["attested"] == true {
        format!("{}\n", language.text("command-card-attested"))
    } else {
        format!("{}\n", language.text("command-card-not-attested"))
    });
    if done["request"].is_null() {
        out.push_str(done["public_key"].as_str().unwrap_or_default());
    }
    out
}

fn certificates(done: &Value, language: Language) -> String {
    let all = done["certificates"].as_array().map(Vec::as_slice);
    let all = all.unwrap_or_default();
    if all.is_empty() {
        return format!("{}\n", language.text("command-card-no-certificate"));
    }
    let mut out = String::new();
    for one in all {
        let text = |name: &str| one_line(one[name].as_str().unwrap_or("-"), 200);
        out.push_str(&format!(
            "{}  {}\n  {} {}\n  {} → {}\n",
            text("slot").to_uppercase(),
            text("subject"),
            language.text("command-card-issued-by"),
            text("issuer"),
            day(&text("not_before"), language),
            day(&text("not_after"), language),
        ));
        if one["of_this_key"] == false {
            out.push_str(&format!("  {}\n", language.text("command-card-other-key")));
        }
    }
    out
}

/// One card of `sceau keys`, below its reader's line.
#[must_use]
pub fn card_lines(card: &Value, language: Language) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => one_line(text, 200),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let name = format!("{} PIV", language.text("command-card-card"));
    let mut out = format!("  {}\n", language.labelled(&name, text(&card["holder"])));
    if let Some(until) = card["expires_at"].as_str() {
        let day = day(until, language);
        let warning = match card["expiry"].as_str() {
            Some("soon") => format!("  {}", language.text("command-card-expires-soon")),
            Some("past") => format!("  {}", language.text("command-card-expired")),
            _ => String::new(),
        };
        out.push_str(&format!(
            "  {} {day}{warning}\n",
            language.text("command-card-certificate-valid-until")
        ));
    }
    let slots: Vec<String> = card["slots"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|slot| {
            let touch = match slot["touch"].as_bool() {
                Some(true) => language.text("command-card-touch"),
                _ => Cow::Borrowed(""),
            };
            format!(
                "{} ({}{touch})",
                text(&slot["slot"]).to_uppercase(),
                text(&slot["algorithm"])
            )
        })
        .collect();
    let slots = match slots.is_empty() {
        true => "-".to_owned(),
        false => slots.join(", "),
    };
    let line =
        |name: &str, value: &str| format!("  {}\n", language.labelled(&language.text(name), value));
    out.push_str(&line("command-card-slots", &slots));
    let tries = if card["pin_blocked"] == true {
        language.text("command-card-blocked").into_owned()
    } else {
        format!(
            "{} {}",
            language.text("command-card-tries-left"),
            text(&card["pin_retries"])
        )
    };
    let pad = match card["pin_pad"].as_bool() {
        Some(true) => language.text("command-card-typed-on-the-reader"),
        _ => Cow::Borrowed(""),
    };
    out.push_str(&line("command-card-pin", &format!("{tries}{pad}")));
    if let Some(serial) = card["card_serial"].as_u64() {
        let words = language.text("command-card-serial");
        out.push_str(&format!("  {words} {serial}\n"));
    }
    if card["management_key_default"] == true {
        out.push_str(&format!(
            "  {}\n",
            language.text("command-card-factory-management-key")
        ));
    }
    let enrolled = if card["enrolled"].is_null() {
        language.text("command-card-no").into_owned()
    } else {
        text(&card["enrolled"]["label"])
    };
    out.push_str(&line("command-card-enrolled", &enrolled));
    out
}
