//! Whether a registration may become a key: the statement is genuine (by our verifier, and webauthn-rs agrees), its path leads to an
//! anchor that vouches for the model, and policy wants such keys. Three verdicts from `sceau_proof`, in that order; the first no decides.
//!
//! Trusts the anchors' folder (an administrator filled it). Pure after loading: the time is an argument.

use std::path::{Path, PathBuf};

use sceau_proof::attestation::anchors;
use sceau_proof::attestation::second_opinion::{self, Opinion};
use sceau_proof::attestation::trust::{Anchor, Sources, TrustVerdict};
use sceau_proof::attestation::{RegistrationExpectation, RegistrationResponse};
use sceau_proof::certificate::Certificate;
use sceau_proof::metadata::{Metadata, MetadataExpectation};
use sceau_proof::model::{self, ModelPolicy, Occasion, StoredRegistration};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::config;
use crate::desk::{RegistrationClaim, RegistrationRefused};
use crate::id::Role;

/// The model policy when anchors alone are configured: attested keys with user verification that cannot be copied, of whatever model
/// those anchors vouch for. With metadata the shipped policy holds, which also asks for certification.
const BY_ANCHORS: &str = r#"
version = 1
[everyone]
attestation = ["basic", "attca"]
formats = ["packed", "fido-u2f"]
algorithms = [-7, -8, -35, -36, -257]
user_verification = "required"
backup_eligible = "refused"
weak_signatures = "refused"
trust = "required"
key_protection = []
minimum_certification = "none"
retired = "existing"
metadata_grace_days = 30
"#;

/// What registrations are judged by cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file does not parse or verify: one bad file refuses them all, so that a missing anchor is seen at the start.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody could ever enrol.
    #[error("{path} holds no anchor, and no metadata is configured")]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// What registrations are judged by.
#[derive(Debug)]
pub struct Judge {
    rp_id: String,
    origins: Vec<String>,
    anchors: Vec<Anchor>,
    metadata: Option<Metadata>,
    models: ModelPolicy,
}

/// A registration that may become a key. Built by [`Judge::judge`] alone.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) public_key_cose: Vec<u8>,
    pub(crate) aaguid: String,
    pub(crate) model: Option<String>,
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) verdict: Value,
}

fn read(path: &Path) -> Result<Vec<u8>, JudgeError> {
    std::fs::read(path).map_err(|error| JudgeError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> JudgeError {
    JudgeError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Reads a folder of anchors: `.pem`, `.crt`, `.cer`, `.der`, and `anchors.toml` which binds them to models.
///
/// # Errors
/// [`JudgeError`].
pub fn load_anchors(folder: &Path) -> Result<Vec<Anchor>, JudgeError> {
    let unreadable = |error: std::io::Error| JudgeError::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    let mut index = None;
    for item in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = item.map_err(unreadable)?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let kind = path
            .extension()
            .and_then(|kind| kind.to_str())
            .map(str::to_ascii_lowercase)
            .unwrap_or_default();
        if name == anchors::INDEX {
            index =
                Some(String::from_utf8(read(&path)?).map_err(|error| malformed(&path, &error))?);
        } else if ["pem", "crt", "cer", "der"].contains(&kind.as_str()) {
            let bytes = read(&path)?;
            files.push((name, bytes));
        }
    }
    if files.is_empty() && index.is_none() {
        return Ok(Vec::new());
    }
    files.sort();
    anchors::read(&files, index.as_deref()).map_err(|error| malformed(folder, &error))
}

fn refused(reason: &str, detail: impl Into<String>) -> RegistrationRefused {
    RegistrationRefused {
        reason: reason.to_owned(),
        detail: detail.into(),
    }
}

impl Judge {
    /// A judge by anchors alone: attested keys with user verification that cannot be copied, of whatever model they vouch for.
    ///
    /// # Errors
    /// Never; a test holds it.
    pub fn new(
        rp_id: String,
        origins: Vec<String>,
        anchors: Vec<Anchor>,
    ) -> Result<Self, JudgeError> {
        let models = ModelPolicy::parse(BY_ANCHORS)
            .map_err(|error| malformed(Path::new("the built-in model policy"), &error))?;
        Ok(Self {
            rp_id,
            origins,
            anchors,
            metadata: None,
            models,
        })
    }

    /// Loads anchors, metadata (verified at `at`) and the model policy. Slow for the real metadata: not for an async thread.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn load(
        section: &config::Attestation,
        rp_id: String,
        origins: Vec<String>,
        at: OffsetDateTime,
    ) -> Result<Self, JudgeError> {
        let anchors = load_anchors(&section.anchors)?;
        let metadata = match (&section.metadata, &section.metadata_root) {
            (Some(blob), Some(root)) => {
                let roots =
                    Certificate::from_pem(&read(root)?).map_err(|error| malformed(root, &error))?;
                let expectation = MetadataExpectation {
                    roots: &roots,
                    leaf_name: &section.metadata_leaf_name,
                    seen_no: None,
                    at,
                };
                Some(
                    Metadata::verify(&read(blob)?, &expectation)
                        .map_err(|error| malformed(blob, &error))?,
                )
            }
            _ => None,
        };
        if anchors.is_empty() && metadata.is_none() {
            return Err(JudgeError::Empty {
                path: section.anchors.clone(),
            });
        }
        let (text, path) = match (&section.models, &metadata) {
            (Some(path), _) => (
                String::from_utf8(read(path)?).map_err(|error| malformed(path, &error))?,
                path.clone(),
            ),
            (None, Some(_)) => (
                model::DEFAULT.to_owned(),
                PathBuf::from("the shipped model policy"),
            ),
            (None, None) => (
                BY_ANCHORS.to_owned(),
                PathBuf::from("the built-in model policy"),
            ),
        };
        let models = ModelPolicy::parse(&text).map_err(|error| malformed(&path, &error))?;
        Ok(Self {
            rp_id,
            origins,
            anchors,
            metadata,
            models,
        })
    }

    /// What is asked of models, a line each, for `check-config`.
    #[must_use]
    pub fn explain(&self, lang: &str) -> Vec<String> {
        self.models.explain(lang)
    }

    /// How many anchors, and which number of the metadata list.
    #[must_use]
    pub fn sources(&self) -> (usize, Option<u64>) {
        (self.anchors.len(), self.metadata.as_ref().map(Metadata::no))
    }

    /// Judges one registration against the challenge of its action, for a person with these roles.
    ///
    /// # Errors
    /// The reason that the help-desk reads.
    pub fn judge<'r>(
        &self,
        claim: &RegistrationClaim,
        challenge: &[u8; 32],
        roles: impl IntoIterator<Item = &'r Role>,
        at: OffsetDateTime,
    ) -> Result<Accepted, RegistrationRefused> {
        let stored = StoredRegistration {
            client_data_json: claim.client_data_json.clone(),
            attestation_object: claim.attestation_object.clone(),
            expectation: RegistrationExpectation {
                rp_id: self.rp_id.clone(),
                origins: self.origins.clone(),
                challenge: challenge.to_vec(),
                require_uv: true,
                allow_cross_origin: false,
                top_origins: None,
            },
        };
        let sources = Sources {
            anchors: Some(&self.anchors),
            metadata: self.metadata.as_ref(),
        };
        let roles: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
        let verdict = model::judge(
            &stored,
            sources,
            Some(&self.models),
            &roles,
            Occasion::Enrolment,
            Some(at),
        );
        let verified = match &verdict.statement {
            Ok(verified) => verified,
            Err(error) => {
                return Err(refused(
                    error.reason(),
                    format!("The registration does not verify: {error}."),
                ));
            }
        };
        if !verdict.is_accepted() {
            return Err(refused(
                verdict.reason(),
                "This key is not one that may be enrolled here.",
            ));
        }
        // The second verifier, which shares no code with ours, has to agree wherever it has an opinion.
        let response = RegistrationResponse {
            client_data_json: &claim.client_data_json,
            attestation_object: &claim.attestation_object,
        };
        let opinion = match second_opinion::ask(&response, &stored.expectation, verified) {
            Opinion::Agrees => "agrees",
            Opinion::Silent(why) => why,
            Opinion::Disagrees(why) => {
                return Err(refused(
                    "second-opinion",
                    format!("The second verifier refuses it: {why}."),
                ));
            }
        };
        let anchor = verdict.trust.as_ref().and_then(TrustVerdict::anchor);
        Ok(Accepted {
            credential_id: verified.credential_id().as_bytes().to_vec(),
            public_key_cose: verified.public_key_cose().to_vec(),
            aaguid: verified.aaguid().to_string(),
            model: verdict
                .model()
                .map(str::to_owned)
                .or_else(|| anchor.map(|anchor| anchor.name.clone())),
            sign_count: verified.sign_count(),
            backup_eligible: verified.flags().be(),
            verdict: json!({
                "format": verified.format().name(),
                "type": verified.attestation_type().word(),
                "trust": verdict.trust.as_ref().map(TrustVerdict::reason),
                "anchor_sha256": anchor.map(|anchor| hex::encode(anchor.sha256)),
                "second_opinion": opinion,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_by_anchors_alone_parses_and_wants_trust() {
        let policy = ModelPolicy::parse(BY_ANCHORS).unwrap();
        assert!(
            policy
                .explain("en")
                .iter()
                .all(|line| !line.contains("DANGER"))
        );
    }

    #[test]
    fn a_folder_without_anchors_enrols_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let section = config::Attestation {
            anchors: folder.path().to_owned(),
            models: None,
            metadata: None,
            metadata_root: None,
            metadata_leaf_name: "mds.fidoalliance.org".to_owned(),
        };
        let judged = Judge::load(
            &section,
            "rp".into(),
            Vec::new(),
            OffsetDateTime::UNIX_EPOCH,
        );
        assert_eq!(
            judged.err(),
            Some(JudgeError::Empty {
                path: folder.path().to_owned()
            })
        );
        std::fs::write(folder.path().join("bad.pem"), "nothing").unwrap();
        let judged = Judge::load(
            &section,
            "rp".into(),
            Vec::new(),
            OffsetDateTime::UNIX_EPOCH,
        );
        assert!(matches!(judged, Err(JudgeError::Malformed { .. })));
    }
}
