//! Whether a registration may become a key: the statement is genuine (by our verifier, and webauthn-rs agrees), its path leads to an
//! anchor that vouches for the model, and policy wants such keys. Three verdicts from `sceau_proof`, in that order; the first no decides.
//!
//! Trusts the anchors' folder (an administrator filled it). Pure after loading: the time is an argument.

use std::path::{Path, PathBuf};

use sceau_proof::attestation::second_opinion::{self, Opinion};
use sceau_proof::attestation::trust::{self, Anchor, Binding, Sources, Trust};
use sceau_proof::attestation::{
    AttestationType, RegistrationExpectation, RegistrationResponse, verify_statement,
};
use sceau_proof::certificate::Certificate;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::desk::{RegistrationClaim, RegistrationRefused};

/// The anchors' folder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file holds no certificate that we read.
    #[error("{path} holds no readable certificate")]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// Nobody could ever enrol.
    #[error("{path} holds no anchor")]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// What registrations are judged by.
#[derive(Debug, Clone)]
pub struct Judge {
    rp_id: String,
    origins: Vec<String>,
    anchors: Vec<Anchor>,
}

/// A registration that may become a key. Built by [`Judge::judge`] alone.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The authenticator's name for the credential.
    pub(crate) credential_id: Vec<u8>,
    /// COSE_Key, verbatim.
    pub(crate) public_key_cose: Vec<u8>,
    /// Model.
    pub(crate) aaguid: String,
    /// Its model in words, when known.
    pub(crate) model: Option<String>,
    /// Counter at registration.
    pub(crate) sign_count: u32,
    /// Backup eligibility.
    pub(crate) backup_eligible: bool,
    /// The three verdicts, for the log and for reports.
    pub(crate) verdict: Value,
}

/// Reads every `.pem`, `.crt`, `.cer` file of a folder. A file named `<aaguid>.pem` or in a folder of that name is bound to the model.
///
/// # Errors
/// [`AnchorError`]: one bad file refuses the folder, so that a missing anchor is seen at the start.
pub fn load_anchors(folder: &Path) -> Result<Vec<Anchor>, AnchorError> {
    let unreadable = |error: std::io::Error| AnchorError::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut paths = Vec::new();
    for item in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = item.map_err(unreadable)?.path();
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .map(str::to_ascii_lowercase);
        if extension.is_some_and(|e| ["pem", "crt", "cer"].contains(&e.as_str())) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut anchors = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| AnchorError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let certificates = Certificate::from_pem(&bytes)
            .ok()
            .filter(|certificates| !certificates.is_empty());
        let certificates =
            certificates.ok_or_else(|| AnchorError::Malformed { path: path.clone() })?;
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        let binding = match uuid::Uuid::parse_str(&name) {
            Ok(model) => Binding::Models {
                aaguids: vec![sceau_proof::authenticator_data::Aaguid::new(
                    *model.as_bytes(),
                )],
                key_identifiers: Vec::new(),
            },
            Err(_) => Binding::Any,
        };
        anchors.extend(certificates.into_iter().map(|certificate| Anchor {
            certificate,
            name: name.clone(),
            binding: binding.clone(),
        }));
    }
    if anchors.is_empty() {
        return Err(AnchorError::Empty {
            path: folder.to_owned(),
        });
    }
    Ok(anchors)
}

fn refused(reason: &str, detail: impl Into<String>) -> RegistrationRefused {
    RegistrationRefused {
        reason: reason.to_owned(),
        detail: detail.into(),
    }
}

impl Judge {
    /// A judge for this relying party.
    #[must_use]
    pub fn new(rp_id: String, origins: Vec<String>, anchors: Vec<Anchor>) -> Self {
        Self {
            rp_id,
            origins,
            anchors,
        }
    }

    /// How many anchors there are.
    #[must_use]
    pub fn anchors(&self) -> usize {
        self.anchors.len()
    }

    /// Judges one registration against the challenge of its action.
    ///
    /// # Errors
    /// The reason that the help-desk reads.
    pub fn judge(
        &self,
        claim: &RegistrationClaim,
        challenge: &[u8; 32],
        at: OffsetDateTime,
    ) -> Result<Accepted, RegistrationRefused> {
        let response = RegistrationResponse {
            client_data_json: &claim.client_data_json,
            attestation_object: &claim.attestation_object,
        };
        let expectation = RegistrationExpectation {
            rp_id: self.rp_id.clone(),
            origins: self.origins.clone(),
            challenge: challenge.to_vec(),
            require_uv: true,
            allow_cross_origin: false,
            top_origins: None,
        };
        // The statement: genuine, by two verifiers that do not share code.
        let verified = verify_statement(&response, &expectation).map_err(|error| {
            refused(
                error.reason(),
                format!("The registration does not verify: {error}."),
            )
        })?;
        let opinion = match second_opinion::ask(&response, &expectation, &verified) {
            Opinion::Agrees => "agrees",
            Opinion::Silent(why) => why,
            Opinion::Disagrees(why) => {
                return Err(refused(
                    "second-opinion",
                    format!("The second verifier refuses it: {why}."),
                ));
            }
        };
        // Policy for what no anchor can repair.
        if verified.flags().be() {
            return Err(refused(
                "backup-eligible",
                "The key can be copied or synchronised to other devices.",
            ));
        }
        match verified.attestation_type() {
            AttestationType::None => {
                return Err(refused(
                    "no-attestation",
                    "The key does not say what it is (attestation none).",
                ));
            }
            AttestationType::SelfSigned => {
                return Err(refused(
                    "self-attestation",
                    "The key vouches for itself only; its manufacturer does not.",
                ));
            }
            AttestationType::Basic | AttestationType::AttCa | AttestationType::AnonCa => {}
        }
        // Trust: a path to an anchor that vouches for the model.
        let sources = Sources {
            anchors: Some(&self.anchors),
            metadata: None,
        };
        let verdict = trust::judge(&verified, sources, Some(at));
        let anchor = match (verdict.trust(), verdict.anchor()) {
            (Trust::Trusted, Some(anchor)) => anchor,
            _ => {
                return Err(refused(
                    verdict.reason(),
                    "No trusted manufacturer vouches for this key.",
                ));
            }
        };
        let aaguid = verified.aaguid().to_string();
        Ok(Accepted {
            credential_id: verified.credential_id().as_bytes().to_vec(),
            public_key_cose: verified.public_key_cose().to_vec(),
            model: Some(anchor.name.clone()),
            sign_count: verified.sign_count(),
            backup_eligible: verified.flags().be(),
            verdict: json!({
                "format": verified.format().name(),
                "type": verified.attestation_type().word(),
                "trust": verdict.reason(),
                "anchor_sha256": hex::encode(anchor.sha256),
                "second_opinion": opinion,
            }),
            aaguid,
        })
    }
}
