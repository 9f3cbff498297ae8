//! The file that says which models are wanted: TOML, parsed strictly, explained in words, applied rule by rule.
//!
//! Members that it does not know are refused, since a misspelt rule is a missing rule. `[everyone]` holds for all; a role's table only tightens it.
//! The rules are asked in one order, and the first that refuses gives the word.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::Duration;

use super::{Occasion, PolicyVerdict, Question};
use crate::attestation::trust::Trust;
use crate::authenticator_data::Aaguid;
use crate::metadata::status::{Certification, Standing};

/// The policy that we ship, for French public-sector use.
pub const DEFAULT: &str = include_str!("../../policy/models.toml");

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelPolicyError {
    /// Not TOML, or a member that is unknown, absent or of the wrong form; where and what.
    #[error("{0}")]
    Malformed(String),
    /// Another version of the form.
    #[error("unknown version of the model policy")]
    Version,
    /// A role's table would loosen what holds for everyone.
    #[error("role `{role}` loosens `{member}`, which a role may only tighten")]
    Loosens {
        /// The role.
        role: String,
        /// The member.
        member: &'static str,
    },
}

/// A model policy, parsed and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPolicy {
    everyone: Rules,
    roles: BTreeMap<String, Tightening>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    everyone: Rules,
    #[serde(default)]
    role: BTreeMap<String, Tightening>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    attestation: Vec<AttestationWord>,
    formats: Vec<FormatWord>,
    algorithms: Vec<i64>,
    user_verification: Verification,
    backup_eligible: Allowed,
    weak_signatures: Allowed,
    trust: TrustRule,
    key_protection: Vec<String>,
    minimum_certification: Level,
    retired: Retired,
    metadata_grace_days: u16,
    #[serde(default)]
    allow_aaguids: Vec<Text<Aaguid>>,
    #[serde(default)]
    deny_aaguids: Vec<Text<Aaguid>>,
    #[serde(default)]
    allow_anchors: Vec<Text<Sha256>>,
    #[serde(default)]
    deny_anchors: Vec<Text<Sha256>>,
}

/// What a role adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tightening {
    attestation: Option<Vec<AttestationWord>>,
    formats: Option<Vec<FormatWord>>,
    user_verification: Option<Verification>,
    minimum_certification: Option<Level>,
    #[serde(default)]
    allow_aaguids: Vec<Text<Aaguid>>,
    #[serde(default)]
    deny_aaguids: Vec<Text<Aaguid>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AttestationWord {
    Basic,
    Attca,
    Anonca,
    #[serde(rename = "self")]
    SelfSigned,
    None,
}

impl AttestationWord {
    fn word(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Attca => "attca",
            Self::Anonca => "anonca",
            Self::SelfSigned => "self",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FormatWord {
    Packed,
    Tpm,
    AndroidKey,
    #[serde(rename = "fido-u2f")]
    FidoU2f,
    Apple,
    None,
}

impl FormatWord {
    fn word(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Tpm => "tpm",
            Self::AndroidKey => "android-key",
            Self::FidoU2f => "fido-u2f",
            Self::Apple => "apple",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verification {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Allowed {
    Refused,
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TrustRule {
    Required,
    #[serde(rename = "danger-not-required")]
    DangerNotRequired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Retired {
    Refused,
    Existing,
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Level {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "certified")]
    Functional,
    L1,
    #[serde(rename = "L1+")]
    L1Plus,
    L2,
    #[serde(rename = "L2+")]
    L2Plus,
    L3,
    #[serde(rename = "L3+")]
    L3Plus,
}

impl Verification {
    fn word(self, french: bool) -> &'static str {
        match (self, french) {
            (Self::Required, true) => "exigé",
            (Self::Required, false) => "required",
            (Self::Optional, true) => "facultatif",
            (Self::Optional, false) => "optional",
        }
    }
}

impl Allowed {
    fn word(self, french: bool) -> &'static str {
        match (self, french) {
            (Self::Refused, true) => "refusées",
            (Self::Refused, false) => "refused",
            (Self::Accepted, true) => "admises",
            (Self::Accepted, false) => "accepted",
        }
    }
}

impl Level {
    fn word(self, french: bool) -> &'static str {
        match (self, french) {
            (Self::None, true) => "aucune",
            (Self::None, false) => "none",
            (Self::Functional, true) => "certifié, sans niveau",
            (Self::Functional, false) => "certified, without a level",
            (Self::L1, _) => "L1",
            (Self::L1Plus, _) => "L1+",
            (Self::L2, _) => "L2",
            (Self::L2Plus, _) => "L2+",
            (Self::L3, _) => "L3",
            (Self::L3Plus, _) => "L3+",
        }
    }

    fn certification(self) -> Certification {
        match self {
            Self::None => Certification::None,
            Self::Functional => Certification::Functional,
            Self::L1 => Certification::L1,
            Self::L1Plus => Certification::L1Plus,
            Self::L2 => Certification::L2,
            Self::L2Plus => Certification::L2Plus,
            Self::L3 => Certification::L3,
            Self::L3Plus => Certification::L3Plus,
        }
    }
}

/// A value that stands in the file as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text<T>(T);

impl<'de> Deserialize<'de> for Text<Aaguid> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Text)
            .map_err(|_| serde::de::Error::custom("not an AAGUID"))
    }
}

type Sha256 = [u8; 32];

impl<'de> Deserialize<'de> for Text<Sha256> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut digest)
            .map(|()| Text(digest))
            .map_err(|_| serde::de::Error::custom("not a SHA-256 in hexadecimal"))
    }
}

impl ModelPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`ModelPolicyError`], with the place.
    pub fn parse(text: &str) -> Result<Self, ModelPolicyError> {
        let document: Document =
            toml::from_str(text).map_err(|error| ModelPolicyError::Malformed(error.to_string()))?;
        if document.version != 1 {
            return Err(ModelPolicyError::Version);
        }
        for (role, added) in &document.role {
            let loosens = |member| {
                Err(ModelPolicyError::Loosens {
                    role: role.clone(),
                    member,
                })
            };
            if added
                .attestation
                .iter()
                .flatten()
                .any(|word| !document.everyone.attestation.contains(word))
            {
                return loosens("attestation");
            }
            if added
                .formats
                .iter()
                .flatten()
                .any(|word| !document.everyone.formats.contains(word))
            {
                return loosens("formats");
            }
            if added.user_verification == Some(Verification::Optional)
                && document.everyone.user_verification == Verification::Required
            {
                return loosens("user_verification");
            }
            if added
                .minimum_certification
                .is_some_and(|level| level < document.everyone.minimum_certification)
            {
                return loosens("minimum_certification");
            }
        }
        Ok(Self {
            everyone: document.everyone,
            roles: document.role,
        })
    }

    /// The shipped default.
    ///
    /// # Errors
    /// Never; a test holds it.
    pub fn shipped() -> Result<Self, ModelPolicyError> {
        Self::parse(DEFAULT)
    }

    /// Whether the keys of a person with these roles must verify their user (PIN, finger); otherwise keys that know only touch may be enrolled.
    #[must_use]
    pub fn requires_user_verification(&self, roles: &[&str]) -> bool {
        let required = |role: &&str| {
            let added = self.roles.get(*role);
            added.is_some_and(|added| added.user_verification == Some(Verification::Required))
        };
        self.everyone.user_verification == Verification::Required || roles.iter().any(required)
    }

    /// Whether this key is wanted for a person with these roles.
    #[must_use]
    pub fn evaluate(&self, question: &Question<'_>) -> PolicyVerdict {
        let verdict = self.first_refusal(question);
        PolicyVerdict {
            accepted: verdict.is_none(),
            reason: verdict.unwrap_or("accepted"),
        }
    }

    fn first_refusal(&self, question: &Question<'_>) -> Option<&'static str> {
        let held: Vec<&Tightening> = question
            .roles
            .iter()
            .filter_map(|role| self.roles.get(*role))
            .collect();
        let checks = [
            Self::refusal_by_ceremony,
            Self::refusal_by_trust,
            Self::refusal_by_lists,
            Self::refusal_by_metadata,
        ];
        checks.iter().find_map(|check| check(self, question, &held))
    }

    fn refusal_by_ceremony(
        &self,
        question: &Question<'_>,
        held: &[&Tightening],
    ) -> Option<&'static str> {
        let registration = question.registration;
        let rules = &self.everyone;
        let attestation = registration.attestation_type().word();
        let allows =
            |words: &[AttestationWord]| words.iter().any(|word| word.word() == attestation);
        if !allows(&rules.attestation)
            || held.iter().any(|role| {
                role.attestation
                    .as_ref()
                    .is_some_and(|words| !allows(words))
            })
        {
            return Some("attestation-type-refused");
        }
        let format = registration.format().name();
        let allows = |words: &[FormatWord]| words.iter().any(|word| word.word() == format);
        if !allows(&rules.formats)
            || held
                .iter()
                .any(|role| role.formats.as_ref().is_some_and(|words| !allows(words)))
        {
            return Some("format-refused");
        }
        if registration.key().public_key().is_none() {
            return Some("algorithm-not-verifiable");
        }
        if !rules.algorithms.contains(&registration.key().algorithm()) {
            return Some("algorithm-refused");
        }
        if self.requires_user_verification(question.roles)
            && !registration.proves_user_verification()
        {
            return Some("user-verification-missing");
        }
        if rules.backup_eligible == Allowed::Refused && registration.flags().be() {
            return Some("backup-eligible");
        }
        if rules.weak_signatures == Allowed::Refused
            && (registration.is_weakly_signed() || question.trust.is_weak())
        {
            return Some("weak-signature");
        }
        None
    }

    fn refusal_by_trust(&self, question: &Question<'_>, _: &[&Tightening]) -> Option<&'static str> {
        match (self.everyone.trust, question.trust.trust()) {
            (TrustRule::DangerNotRequired, _) | (TrustRule::Required, Trust::Trusted) => None,
            (TrustRule::Required, Trust::Untrusted) => Some("not-trusted"),
            (TrustRule::Required, Trust::NotEvaluated) => Some("trust-not-evaluated"),
        }
    }

    fn refusal_by_lists(
        &self,
        question: &Question<'_>,
        held: &[&Tightening],
    ) -> Option<&'static str> {
        let rules = &self.everyone;
        let model = Text(question.registration.proved_model());
        if rules.deny_aaguids.contains(&model)
            || held.iter().any(|role| role.deny_aaguids.contains(&model))
        {
            return Some("model-denied");
        }
        let lists = std::iter::once(&rules.allow_aaguids)
            .chain(held.iter().map(|role| &role.allow_aaguids));
        if lists
            .filter(|list| !list.is_empty())
            .any(|list| !list.contains(&model))
        {
            return Some("model-not-listed");
        }
        let anchor = question.trust.anchor().map(|anchor| Text(anchor.sha256));
        if anchor.is_some_and(|anchor| rules.deny_anchors.contains(&anchor)) {
            return Some("anchor-denied");
        }
        if !rules.allow_anchors.is_empty()
            && anchor.is_none_or(|anchor| !rules.allow_anchors.contains(&anchor))
        {
            return Some("anchor-not-listed");
        }
        None
    }

    fn refusal_by_metadata(
        &self,
        question: &Question<'_>,
        held: &[&Tightening],
    ) -> Option<&'static str> {
        let rules = &self.everyone;
        let minimum = held
            .iter()
            .filter_map(|role| role.minimum_certification)
            .fold(rules.minimum_certification, Level::max);
        let standing = question
            .trust
            .entry()
            .zip(question.at)
            .map(|(entry, at)| (entry, entry.standing(at, question.registration.chain())));
        let (certification, retired) = match standing {
            Some((
                _,
                Standing::Acceptable {
                    certification,
                    retired,
                },
            )) => (certification, retired),
            _ => (Certification::None, false),
        };
        if let Some((entry, _)) = standing
            && !rules.key_protection.is_empty()
        {
            let kept = |word: &String| entry.key_protection().contains(word);
            if !rules.key_protection.iter().any(kept)
                || entry.key_protection().iter().any(|word| word == "software")
            {
                return Some("key-protection-too-low");
            }
        }
        if certification < minimum.certification() {
            return Some("certification-too-low");
        }
        let tolerated = match rules.retired {
            Retired::Accepted => true,
            Retired::Existing => question.occasion == Occasion::Existing,
            Retired::Refused => false,
        };
        if retired && !tolerated {
            return Some("model-retired");
        }
        // Overdue metadata: keys of before keep their standing, nothing new is believed.
        if question.occasion == Occasion::Enrolment && self.is_overdue(question) {
            return Some("metadata-stale");
        }
        None
    }

    fn is_overdue(&self, question: &Question<'_>) -> bool {
        let (Some(metadata), Some(at)) = (question.metadata_next_update, question.at) else {
            return false;
        };
        let grace = Duration::days(i64::from(self.everyone.metadata_grace_days));
        metadata
            .checked_add(grace)
            .is_some_and(|last| at.to_offset(time::UtcOffset::UTC).date() > last)
    }

    /// What the policy asks, one line a rule, for `check-config`; in French when `lang` is `fr`, English otherwise.
    #[must_use]
    pub fn explain(&self, lang: &str) -> Vec<String> {
        let fr = lang == "fr";
        let pick = |french: String, english: String| if fr { french } else { english };
        let rules = &self.everyone;
        let words = |list: Vec<&str>| list.join(", ");
        let attestations = words(rules.attestation.iter().map(|word| word.word()).collect());
        let formats = words(rules.formats.iter().map(|word| word.word()).collect());
        let mut lines = vec![
            pick(
                format!("attestations admises : {attestations} ; formats : {formats}"),
                format!("attestations accepted: {attestations}; formats: {formats}"),
            ),
            pick(
                format!(
                    "code PIN ou empreinte : {}",
                    rules.user_verification.word(true)
                ),
                format!("PIN or finger: {}", rules.user_verification.word(false)),
            ),
            pick(
                format!(
                    "clés synchronisables : {}",
                    rules.backup_eligible.word(true)
                ),
                format!("synced passkeys: {}", rules.backup_eligible.word(false)),
            ),
            pick(
                format!(
                    "certification FIDO minimale : {}",
                    rules.minimum_certification.word(true)
                ),
                format!(
                    "minimum FIDO certification: {}",
                    rules.minimum_certification.word(false)
                ),
            ),
            pick(
                format!(
                    "modèles : {} autorisés nommément (0 = tous), {} interdits",
                    rules.allow_aaguids.len(),
                    rules.deny_aaguids.len()
                ),
                format!(
                    "models: {} allowed by name (0 = all), {} denied",
                    rules.allow_aaguids.len(),
                    rules.deny_aaguids.len()
                ),
            ),
        ];
        if rules.trust == TrustRule::DangerNotRequired {
            lines.push(pick(
                "DANGER : aucune racine de fabricant n’est exigée ; une clé logicielle passe"
                    .to_owned(),
                "DANGER: no maker's root is required; a software key passes".to_owned(),
            ));
        }
        for (role, added) in &self.roles {
            let level = added
                .minimum_certification
                .unwrap_or(rules.minimum_certification);
            lines.push(pick(
                format!("rôle {role} : certification minimale {}", level.word(true)),
                format!("role {role}: minimum certification {}", level.word(false)),
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_parses_and_refuses_what_it_must() {
        let policy = ModelPolicy::shipped().unwrap();
        assert_eq!(policy.everyone.user_verification, Verification::Required);
        assert_eq!(policy.everyone.backup_eligible, Allowed::Refused);
        assert_eq!(policy.everyone.trust, TrustRule::Required);
        for word in [
            AttestationWord::SelfSigned,
            AttestationWord::None,
            AttestationWord::Anonca,
        ] {
            assert!(!policy.everyone.attestation.contains(&word));
        }
        assert!(
            policy
                .explain("fr")
                .iter()
                .all(|line| !line.contains("DANGER"))
        );
    }

    #[test]
    fn every_line_of_the_shipped_policy_has_its_comment() {
        let lines: Vec<&str> = DEFAULT.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let in_everyone = lines[..number]
                .iter()
                .rfind(|l| l.starts_with('['))
                .is_none_or(|l| *l == "[everyone]");
            if line.contains(" = ") && !line.starts_with('#') && in_everyone {
                assert!(
                    lines[number - 1].starts_with('#'),
                    "line {}: {line}",
                    number + 1
                );
            }
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (from, to) in [
            ("user_verification", "user_verificaton"),
            ("\"required\"", "\"sometimes\""),
            ("version = 1", "version = 2"),
            ("deny_anchors = []", "deny_anchors = [\"abc\"]"),
            ("deny_aaguids = []", "deny_aaguids = [\"x\"]"),
        ] {
            assert!(
                ModelPolicy::parse(&DEFAULT.replacen(from, to, 1)).is_err(),
                "{to}"
            );
        }
    }

    #[test]
    fn a_role_may_only_tighten() {
        for (member, line) in [
            ("minimum_certification", "minimum_certification = \"none\""),
            ("attestation", "attestation = [\"self\"]"),
            ("formats", "formats = [\"tpm\"]"),
            ("user_verification", "user_verification = \"optional\""),
        ] {
            let text = format!("{DEFAULT}\n[role.guest]\n{line}\n");
            let role = "guest".to_owned();
            assert_eq!(
                ModelPolicy::parse(&text),
                Err(ModelPolicyError::Loosens { role, member })
            );
        }
    }

    #[test]
    fn is_explained_in_the_language_of_whoever_reads() {
        let policy = ModelPolicy::shipped().unwrap();
        let (french, english) = (policy.explain("fr"), policy.explain("en"));
        assert_eq!(french.len(), english.len());
        for word in ["exigé", "refusées"] {
            assert!(french.join("\n").contains(word), "{french:#?}");
        }
        for word in ["required", "refused"] {
            assert!(english.join("\n").contains(word), "{english:#?}");
            assert!(!french.join("\n").to_lowercase().contains(word));
        }
    }

    #[test]
    fn explains_danger_as_danger() {
        let text = DEFAULT.replace("trust = \"required\"", "trust = \"danger-not-required\"");
        let policy = ModelPolicy::parse(&text).unwrap();
        assert!(
            policy
                .explain("en")
                .iter()
                .any(|line| line.starts_with("DANGER"))
        );
        assert!(
            policy
                .explain("fr")
                .iter()
                .any(|line| line.starts_with("DANGER"))
        );
    }
}
