//! Whether a registration may become a key: the statement is genuine (by our verifier, and webauthn-rs agrees), its path leads to an
//! anchor or metadata entry that vouches for the model, and policy wants such keys. Three verdicts from `sceau_proof`, in that order;
//! the first no decides. The same question is asked again of every enrolled key, from its stored bytes, whenever the answer may differ.
//!
//! Trusts the anchors' folder (an administrator filled it) and the metadata list that `metadata` verified. Pure after loading: the time
//! is an argument. Where metadata is configured and there is none, or it is overdue beyond its grace, nothing is believed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sceau_proof::action::Action;
use sceau_proof::attestation::anchors;
use sceau_proof::attestation::second_opinion::Opinion;
use sceau_proof::attestation::trust::{Anchor, Sources, TrustVerdict};
use sceau_proof::attestation::{RegistrationExpectation, VerifiedRegistration};
use sceau_proof::evidence::{EnrolledKey, KeyRecord, MetadataRecord};
use sceau_proof::metadata::{self, Metadata};
use sceau_proof::model::{self, ModelPolicy, ModelVerdict, Occasion, StoredRegistration};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::config::Config;
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
    models: ModelPolicy,
    /// How long metadata may be overdue; `None` when none is configured.
    grace: Option<Duration>,
    /// The list in force, verified.
    believed: RwLock<Option<Arc<Metadata>>>,
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
    /// Whether the statement proves that the user was verified: what it does not prove, the key never counts for.
    pub(crate) verifies_user: bool,
    pub(crate) verdict: Value,
    /// The number of the metadata list that it was judged by.
    pub(crate) metadata_no: Option<u64>,
    /// The list's entry of the model, where trust rests on it: kept with the key, for evidence.
    pub(crate) metadata: Option<MetadataRecord>,
}

/// What an enrolled key comes to, judged again from its stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Why it may not stay, if so; docs/attestation.md lists the words.
    pub fallen: Option<&'static str>,
    /// The model's name, from metadata. Its vendor's words: escape them before showing them.
    pub model: Option<String>,
    /// The anchor or metadata root that its chain ends at.
    pub anchor: Option<String>,
    /// What metadata says of the model now: `certified-l1`, `revoked`, …
    pub status: Option<&'static str>,
}

/// A model, as the metadata list in force has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStanding {
    /// Its name. Its vendor's words: escape them before showing them.
    pub name: String,
    /// Certification, or why not.
    pub standing: metadata::Standing,
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

/// A refusal, with the words that the help-desk reads.
fn refused(reason: &str, more: Option<String>) -> RegistrationRefused {
    let meaning = sceau_proof::attestation::words(reason, "en").unwrap_or(reason);
    RegistrationRefused {
        reason: reason.to_owned(),
        detail: match more {
            Some(more) => format!("{meaning} ({more})"),
            None => meaning.to_owned(),
        },
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
            models,
            grace: None,
            believed: RwLock::new(None),
        })
    }

    /// The same, by another model policy.
    #[must_use]
    pub fn with_models(self, models: ModelPolicy) -> Self {
        Self { models, ..self }
    }

    /// The same, by metadata too: without a list ([`Judge::believe`]) nothing is believed, nor once it is overdue by more than `grace`.
    #[must_use]
    pub fn with_metadata(self, models: ModelPolicy, grace: Duration) -> Self {
        Self {
            models,
            grace: Some(grace),
            ..self
        }
    }

    /// Loads anchors and the model policy. The metadata list comes later, from `metadata`.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn load(config: &Config, origins: Vec<String>) -> Result<Self, JudgeError> {
        let section = &config.attestation;
        let anchors = load_anchors(&section.anchors)?;
        if anchors.is_empty() && config.metadata.is_none() {
            return Err(JudgeError::Empty {
                path: section.anchors.clone(),
            });
        }
        let judge = Self::new(config.server.rp_id.clone(), origins, anchors)?;
        let models = match (&section.models, &config.metadata) {
            (Some(path), _) => {
                let text =
                    String::from_utf8(read(path)?).map_err(|error| malformed(path, &error))?;
                ModelPolicy::parse(&text).map_err(|error| malformed(path, &error))?
            }
            (None, Some(_)) => ModelPolicy::shipped()
                .map_err(|error| malformed(Path::new("the shipped model policy"), &error))?,
            (None, None) => judge.models.clone(),
        };
        Ok(match &config.metadata {
            Some(metadata) => judge.with_metadata(models, metadata.grace.0),
            None => judge.with_models(models),
        })
    }

    /// From now on this list is in force. The caller has seen to it that its number did not go back, and that all keys were judged by it.
    pub fn believe(&self, metadata: Arc<Metadata>) {
        *self
            .believed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(metadata);
    }

    /// The list in force.
    #[must_use]
    pub fn believed(&self) -> Option<Arc<Metadata>> {
        self.believed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How far the list in force certifies a model at that time; `None` when it does not know the model or speaks against it.
    #[must_use]
    pub fn certification(
        &self,
        aaguid: &str,
        at: OffsetDateTime,
    ) -> Option<metadata::Certification> {
        let metadata = self.believed()?;
        match metadata.by_aaguid(aaguid.parse().ok()?)?.standing(at, &[]) {
            metadata::Standing::Acceptable { certification, .. } => Some(certification),
            metadata::Standing::Fatal(_) | metadata::Standing::Unknown(_) => None,
        }
    }

    /// What the list in force says of a model; `None` when it does not know it.
    #[must_use]
    pub fn model(&self, aaguid: &str, at: OffsetDateTime) -> Option<ModelStanding> {
        let metadata = self.believed()?;
        let entry = metadata.by_aaguid(aaguid.parse().ok()?)?;
        Some(ModelStanding {
            name: entry.description().to_owned(),
            standing: entry.standing(at, &[]),
        })
    }

    /// How long metadata may be overdue; `None` when none is configured.
    #[must_use]
    pub fn grace(&self) -> Option<Duration> {
        self.grace
    }

    /// Why nothing may be believed at that time, if so: `metadata-missing`, `metadata-stale`.
    #[must_use]
    pub fn blind(&self, at: OffsetDateTime) -> Option<&'static str> {
        let grace = self.grace?;
        let Some(metadata) = self.believed() else {
            return Some("metadata-missing");
        };
        let last = metadata.next_update().checked_add(grace);
        let today = at.to_offset(UtcOffset::UTC).date();
        last.is_some_and(|last| today > last)
            .then_some("metadata-stale")
    }

    /// What is asked of models, a line each, for `check-config`.
    #[must_use]
    pub fn explain(&self, lang: &str) -> Vec<String> {
        self.models.explain(lang)
    }

    /// How many anchors there are.
    #[must_use]
    pub fn anchors(&self) -> usize {
        self.anchors.len()
    }

    /// Whether a key of a person with these roles must verify its user to be enrolled.
    pub(crate) fn requires_user_verification<'r>(
        &self,
        roles: impl IntoIterator<Item = &'r Role>,
    ) -> bool {
        let roles: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
        self.models.requires_user_verification(&roles)
    }

    fn sources<'a>(&'a self, metadata: Option<&'a Metadata>) -> Sources<'a> {
        Sources {
            anchors: Some(&self.anchors),
            metadata,
        }
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
        if let Some(reason) = self.blind(at) {
            return Err(refused(reason, None));
        }
        let roles: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
        let metadata = self.believed();
        let stored = StoredRegistration {
            client_data_json: claim.client_data_json.clone(),
            attestation_object: claim.attestation_object.clone(),
            expectation: RegistrationExpectation {
                rp_id: self.rp_id.clone(),
                origins: self.origins.clone(),
                challenge: challenge.to_vec(),
                require_uv: self.models.requires_user_verification(&roles),
                allow_cross_origin: false,
                top_origins: None,
            },
        };
        let verdict = model::judge(
            &stored,
            self.sources(metadata.as_deref()),
            Some(&self.models),
            &roles,
            Occasion::Enrolment,
            Some(at),
        );
        let verified = match &verdict.statement {
            Ok(verified) => verified,
            Err(error) => {
                return Err(refused(error.reason(), None));
            }
        };
        if !verdict.is_accepted() {
            let more = match &verdict.second_opinion {
                Some(Opinion::Disagrees(why)) => Some(why.to_string()),
                _ => model_of(&verdict, verified),
            };
            return Err(refused(verdict.reason(), more));
        }
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
            verifies_user: verified.proves_user_verification(),
            verdict: json!({
                "format": verified.format().name(),
                "type": verified.attestation_type().word(),
                "trust": verdict.trust.as_ref().map(TrustVerdict::reason),
                "anchor_sha256": anchor.map(|anchor| hex::encode(anchor.sha256)),
                "second_opinion": match &verdict.second_opinion {
                    Some(Opinion::Agrees) => "agrees",
                    Some(Opinion::Silent(why)) => *why,
                    Some(Opinion::Disagrees(_)) => "disagrees",
                    None => "not-asked",
                },
                "metadata_no": metadata.as_ref().map(|metadata| metadata.no()),
            }),
            metadata_no: metadata.as_ref().map(|metadata| metadata.no()),
            metadata: verdict
                .trust
                .as_ref()
                .filter(|trust| trust.reason() == "path-to-metadata-root")
                .and_then(TrustVerdict::entry)
                .zip(metadata.as_ref())
                .map(|(entry, metadata)| MetadataRecord {
                    no: metadata.no(),
                    entry: entry.json().as_bytes().to_vec(),
                }),
        })
    }

    /// Judges an enrolled key again, by this list, from its key record (docs/evidence.md). A record that cannot be judged has fallen.
    ///
    /// Certificates that have expired since the enrolment do not count against a key that was made before; statuses in effect now do.
    #[must_use]
    pub fn judge_again<'r>(
        &self,
        record: &[u8],
        roles: impl IntoIterator<Item = &'r Role>,
        metadata: Option<&Metadata>,
        at: OffsetDateTime,
    ) -> Standing {
        let nothing = |fallen| Standing {
            fallen,
            model: None,
            anchor: None,
            status: None,
        };
        let record = serde_json::from_slice(record)
            .ok()
            .and_then(|value| KeyRecord::parse(&value));
        let Some(record) = record else {
            return nothing(Some("record-malformed"));
        };
        let EnrolledKey::Fido2 { registration, .. } = record.key else {
            return nothing(None);
        };
        let roles: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
        let Ok(action) = Action::parse(&registration.action) else {
            return nothing(Some("record-malformed"));
        };
        let stored = StoredRegistration {
            client_data_json: registration.client_data_json,
            attestation_object: registration.attestation_object,
            expectation: RegistrationExpectation {
                rp_id: record.rp_id,
                origins: record.origins,
                challenge: action.challenge().as_bytes().to_vec(),
                require_uv: self.models.requires_user_verification(&roles),
                allow_cross_origin: false,
                top_origins: None,
            },
        };
        let judged = |then| {
            model::judge(
                &stored,
                self.sources(metadata),
                Some(&self.models),
                &roles,
                Occasion::Existing,
                Some(then),
            )
        };
        let mut verdict = judged(at);
        if verdict.reason() == "certificate-expired" {
            verdict = judged(record.enrolled_at);
        }
        standing(&verdict, at)
    }
}

fn standing(verdict: &ModelVerdict<'_>, at: OffsetDateTime) -> Standing {
    let trust = verdict.trust.as_ref();
    let chain = verdict
        .statement
        .as_ref()
        .map_or(&[][..], |verified| verified.chain());
    Standing {
        fallen: (!verdict.is_accepted()).then(|| match verdict.reason() {
            // Beside `key.revoked`, which is what persons do, the word would mislead.
            "revoked" => "model-revoked",
            reason => reason,
        }),
        model: verdict.model().map(str::to_owned),
        anchor: trust
            .and_then(TrustVerdict::anchor)
            .map(|anchor| anchor.name.clone()),
        status: trust
            .and_then(TrustVerdict::entry)
            .map(|entry| entry.standing(at, chain).reason()),
    }
}

/// The model as the help-desk may know it: its name where metadata has one, and its AAGUID.
fn model_of(verdict: &ModelVerdict<'_>, verified: &VerifiedRegistration) -> Option<String> {
    let aaguid = verified.aaguid();
    let name: Option<String> = verdict.model().map(|name| {
        let shown = name.chars().filter(|letter| !letter.is_control());
        shown.take(80).collect()
    });
    Some(name.map_or_else(
        || format!("model {aaguid}"),
        |name| format!("{name}, model {aaguid}"),
    ))
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
    fn a_bad_anchor_refuses_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load_anchors(folder.path()), Ok(Vec::new()));
        std::fs::write(folder.path().join("bad.pem"), "nothing").unwrap();
        assert!(matches!(
            load_anchors(folder.path()),
            Err(JudgeError::Malformed { .. })
        ));
    }

    #[test]
    fn without_its_list_a_judge_by_metadata_is_blind() {
        let judge = Judge::new("rp".into(), Vec::new(), Vec::new()).unwrap();
        assert_eq!(judge.blind(OffsetDateTime::UNIX_EPOCH), None);
        let judge = judge.with_metadata(ModelPolicy::shipped().unwrap(), Duration::days(14));
        assert_eq!(
            judge.blind(OffsetDateTime::UNIX_EPOCH),
            Some("metadata-missing")
        );
    }
}
