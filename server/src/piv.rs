//! Whether a card's registration may become a key: the key lives on a card by the card's own attestation, or an administration's card PKI
//! certified it; the policies that were attested are good enough; and the key signed the registration's challenge.
//!
//! What is genuine is `sceau_proof::piv`'s word; what is good enough is `[piv]`'s. Trusts the roots and issuers that an administrator
//! configured. The time is an argument; lists of revoked certificates come from `crl`, answers of OCSP responders from `ocsp`; enrolled cards are
//! judged again by `again`; their presence by `beat`.

mod again;
mod beat;
pub(crate) mod crl;
mod ocsp;
mod reason;

pub use again::KeptCard;
pub use beat::BeatClaim;
pub use reason::words;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sceau_locale::{Language, span};
use sceau_proof::base64url;
use sceau_proof::certificate::path::MAX_CHAIN;
use sceau_proof::certificate::{Certificate, CertificateError, PublicKeyInfo};
use sceau_proof::evidence::PivRegistration;
use sceau_proof::piv::attestation::{self, PinPolicy, VerifiedAttestation};
use sceau_proof::piv::issuer::{self, IssuerError, Revocation, Rule, Statements, VerifiedIssued};
use sceau_proof::piv::{Expectation, SignatureResponse, verify_signature};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::config;
use crate::desk::{Desk, RegistrationRefused};
use crate::port::Ports;
use crate::web;
use crl::Lists;
use ocsp::Responders;

/// How long one list or answer may take to come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The slot whose key approves: digital signature (SP 800-73, PIN each time).
const SIGNATURE_SLOT: u8 = 0x9c;

/// What cards are judged by cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardsError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not certificates, or holds none; one bad file refuses them all, so that a missing root is seen at the start.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A card's registration as it arrives. A claim: nothing is checked yet.
#[derive(Debug, Clone)]
pub struct CardClaim {
    /// The signature by slot 9C's key over the challenge of the `key.register` action.
    pub signature: SignatureResponse,
    /// The card's attestation of that key, DER.
    pub attestation: Option<Vec<u8>>,
    /// The key's certificate by its issuer, DER.
    pub certificate: Option<Vec<u8>>,
    /// The other certificates of the chain, DER, in any order.
    pub intermediates: Vec<Vec<u8>>,
    /// Transports that the agent saw.
    pub transports: Vec<String>,
    /// How its owner calls it.
    pub label: Option<String>,
}

/// A card's key that may be enrolled. Built by [`Cards::judge`] alone.
#[derive(Debug, Clone)]
pub struct AcceptedCard {
    pub(crate) public_key_spki: Vec<u8>,
    /// The card attested the key; otherwise an issuer certified it.
    pub(crate) attested: bool,
    /// Each signature took a PIN (or a finger).
    pub(crate) pin_each_time: bool,
    /// The parts of the key record; its action is empty still.
    pub(crate) registration: PivRegistration,
    pub(crate) model: String,
    /// What the log tells.
    pub(crate) verdict: Value,
    /// What the store keeps besides: serial number, holder.
    pub(crate) private: Value,
}

#[derive(Debug)]
struct Issuer {
    name: String,
    certificates: Vec<Certificate>,
    policies: Vec<String>,
    revocation: Revocation,
    lists: Lists,
    responders: Responders,
}

/// What registrations of cards are judged by.
#[derive(Debug)]
pub struct Cards {
    section: config::Piv,
    roots: Vec<Certificate>,
    issuers: Vec<Issuer>,
    origins: Vec<String>,
    /// For nonces.
    ports: Option<Ports>,
}

/// A refusal, with the words that the help-desk reads.
fn refused(reason: &str) -> RegistrationRefused {
    RegistrationRefused {
        reason: reason.to_owned(),
        detail: words(reason, "en").map_or_else(|| reason.to_owned(), Cow::into_owned),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, CardsError> {
    let bytes = std::fs::read(path).map_err(|error| CardsError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let read = if bytes.first() == Some(&0x30) {
        Certificate::from_der(&bytes).map(|one| vec![one])
    } else {
        Certificate::from_pem(&bytes)
    };
    let malformed = |reason: String| CardsError::Malformed {
        path: path.to_owned(),
        reason,
    };
    match read {
        Ok(found) if found.is_empty() => Err(malformed("no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(malformed(error.to_string())),
    }
}

fn folder(path: &Path) -> Result<Vec<Certificate>, CardsError> {
    let unreadable = |error: std::io::Error| CardsError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    for item in std::fs::read_dir(path).map_err(unreadable)? {
        let file = item.map_err(unreadable)?.path();
        let kind = file.extension().and_then(|kind| kind.to_str());
        if kind.is_some_and(|kind| {
            ["pem", "crt", "cer", "der"].contains(&kind.to_ascii_lowercase().as_str())
        }) {
            files.push(file);
        }
    }
    files.sort();
    let mut roots = Vec::new();
    for file in files {
        roots.extend(certificates(&file)?);
    }
    if roots.is_empty() {
        return Err(CardsError::Malformed {
            path: path.to_owned(),
            reason: "no certificate".to_owned(),
        });
    }
    Ok(roots)
}

impl Cards {
    /// Loads roots and issuers. `origins`: those of the agent, from which cards are used.
    ///
    /// # Errors
    /// [`CardsError`].
    pub fn load(section: &config::Piv, origins: Vec<String>) -> Result<Self, CardsError> {
        let roots = section.roots.as_deref().map(folder).transpose()?;
        let added = match &section.web_roots {
            Some(path) => certificates(path)?,
            None => Vec::new(),
        };
        let added: Vec<_> = added.iter().map(|root| root.der().to_vec()).collect();
        let addresses = section
            .issuer
            .iter()
            .flat_map(|it| it.crl.iter().chain(&it.ocsp));
        let tls = addresses.into_iter().any(|it| it.starts_with("https:"));
        let web = web::client("sceau-server", PATIENCE, tls, &added);
        let mut issuers = Vec::new();
        for issuer in &section.issuer {
            issuers.push(Issuer {
                name: issuer.name.clone(),
                certificates: certificates(&issuer.certificate)?,
                policies: issuer.policies.clone(),
                revocation: if issuer.danger_revocation_not_judged {
                    Revocation::DangerNotJudged
                } else if issuer.ocsp.is_empty() {
                    Revocation::Crl {
                        max_age: issuer.crl_max_age.0,
                    }
                } else {
                    Revocation::Ocsp {
                        max_age: issuer.ocsp_max_age.0,
                        crl_max_age: issuer.crl_max_age.0,
                    }
                },
                lists: Lists::new(&issuer.crl, section.cache.as_deref(), web.clone()),
                responders: Responders::new(&issuer.ocsp, issuer.ocsp_nonce, web.clone()),
            });
        }
        Ok(Self {
            section: section.clone(),
            roots: roots.unwrap_or_default(),
            issuers,
            origins,
            ports: None,
        })
    }

    /// With randomness for the nonces of OCSP; without it none is sent.
    #[must_use]
    pub fn with_ports(self, ports: Ports) -> Self {
        Self {
            ports: Some(ports),
            ..self
        }
    }

    /// The names of the configured issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|issuer| issuer.name.as_str())
    }

    /// Whether cards that attest their keys may be enrolled.
    #[must_use]
    pub fn attested(&self) -> bool {
        !self.roots.is_empty()
    }

    /// The origins from which cards are used.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// What is asked of cards, a line each, for `check-config`.
    #[must_use]
    pub fn explain(&self, language: Language) -> Vec<String> {
        let or = format!(" {} ", language.text("rule-or"));
        let mut lines = Vec::new();
        if self.attested() {
            let section = &self.section;
            let mut parts = vec![language.text_with(
                "report-cards-attested",
                &[
                    ("roots", self.roots.len().into()),
                    ("pin", section.pin.join(&or).into()),
                    ("touch", section.touch.join(&or).into()),
                ],
            )];
            parts.extend(section.minimum_firmware.map(|firmware| {
                let firmware = [("firmware", firmware.to_string().into())];
                language.text_with("report-cards-firmware", &firmware)
            }));
            parts.extend(section.edition.map(|edition| {
                let edition = [("edition", edition.as_str().into())];
                language.text_with("report-cards-edition", &edition)
            }));
            if !section.serials.is_empty() {
                let count = [("count", section.serials.len().into())];
                parts.push(language.text_with("report-cards-serials", &count));
            }
            lines.push(parts.join(", "));
        }
        for issuer in &self.issuers {
            let aged = |name, max_age| {
                language.text_with(name, &[("age", span(language, max_age).into())])
            };
            let revocation = match issuer.revocation {
                Revocation::Crl { max_age } => aged("report-cards-crl", max_age),
                Revocation::Ocsp { max_age, .. } => aged("report-cards-ocsp", max_age),
                Revocation::DangerNotJudged => language.text("report-cards-unjudged").into_owned(),
            };
            let policies = match issuer.policies.is_empty() {
                true => language.text("report-cards-any-policy").into_owned(),
                false => issuer.policies.join(&or),
            };
            lines.push(language.text_with(
                "report-cards-issued",
                &[
                    ("issuer", issuer.name.as_str().into()),
                    ("policies", policies.into()),
                    ("revocation", revocation.into()),
                ],
            ));
        }
        lines
    }

    /// Judges one registration against the challenge of its action.
    ///
    /// # Errors
    /// The reason that the help-desk reads; docs/piv.md lists the words.
    pub async fn judge(
        &self,
        claim: &CardClaim,
        challenge: &[u8; 32],
        at: OffsetDateTime,
    ) -> Result<AcceptedCard, RegistrationRefused> {
        if claim.intermediates.len() > MAX_CHAIN {
            return Err(refused("chain-too-long"));
        }
        let parse = |der: &Vec<u8>| Certificate::from_der(der);
        let malformed = |_: CertificateError| refused("certificate-malformed");
        let intermediates: Vec<Certificate> = claim
            .intermediates
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map_err(malformed)?;
        let attestation = claim.attestation.as_ref().filter(|_| self.attested());
        let accepted = match (attestation, &claim.certificate) {
            (Some(leaf), _) => {
                self.judge_attested(&parse(leaf).map_err(malformed)?, &intermediates, at)?
            }
            (None, Some(leaf)) if !self.issuers.is_empty() => {
                self.judge_issued(&parse(leaf).map_err(malformed)?, &intermediates, at)
                    .await?
            }
            _ => {
                return Err(refused("no-attestation"));
            }
        };
        self.possession(&accepted, &claim.signature, challenge)?;
        Ok(AcceptedCard {
            registration: PivRegistration {
                origin: claim.signature.origin.clone(),
                signature: claim.signature.signature.clone(),
                intermediates: claim.intermediates.iter().map(base64url::encode).collect(),
                ..accepted.registration
            },
            ..accepted
        })
    }

    /// The key signed this registration, from an agent of ours.
    fn possession(
        &self,
        accepted: &AcceptedCard,
        signature: &SignatureResponse,
        challenge: &[u8; 32],
    ) -> Result<(), RegistrationRefused> {
        let key = PublicKeyInfo::from_der(&accepted.public_key_spki)
            .map_err(|_| refused("certificate-malformed"))?;
        let expectation = Expectation {
            challenge,
            origins: &self.origins,
        };
        verify_signature(signature, &key, &expectation)
            .map(drop)
            .map_err(|error| refused(error.reason()))
    }

    fn judge_attested(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        at: OffsetDateTime,
    ) -> Result<AcceptedCard, RegistrationRefused> {
        let claim = attestation::Claim {
            leaf,
            intermediates,
            public_key: None,
        };
        let roots: Vec<&Certificate> = self.roots.iter().collect();
        let verified = attestation::verify(&claim, &roots, Some(at))
            .map_err(|error| refused(error.reason()))?;
        self.good_enough(&verified)?;
        let firmware = config::Firmware(verified.firmware()).to_string();
        let serial = verified.serial();
        Ok(AcceptedCard {
            public_key_spki: verified.public_key().der().to_vec(),
            attested: true,
            pin_each_time: matches!(
                verified.pin_policy(),
                PinPolicy::Always | PinPolicy::MatchAlways
            ),
            registration: parts(Some(leaf), None),
            model: model(&verified),
            verdict: json!({
                "format": "piv", "type": "attested", "trust": "path-to-anchor", "anchor": verified.anchor(),
                "pin_policy": verified.pin_policy().as_str(), "touch_policy": verified.touch_policy().as_str(),
                "firmware": firmware, "form_factor": verified.form_factor().and_then(attestation::FormFactor::name),
                "fips": verified.is_fips(), "cspn": verified.is_cspn(),
            }),
            private: json!({ "serial": serial }),
        })
    }

    /// The attested policies are those that `[piv]` wants.
    fn good_enough(&self, verified: &VerifiedAttestation) -> Result<(), RegistrationRefused> {
        if verified.slot() != SIGNATURE_SLOT {
            return Err(refused("slot-not-9c"));
        }
        if verified.weakness().is_some() {
            return Err(refused("weak-key-generation"));
        }
        let pin = verified.pin_policy().as_str();
        if !self.section.pin.iter().any(|word| word == pin) {
            return Err(refused(&format!("pin-policy-{pin}")));
        }
        let touch = verified.touch_policy().as_str();
        if !self.section.touch.iter().any(|word| word == touch) {
            return Err(refused(&format!("touch-policy-{touch}")));
        }
        let firmware = config::Firmware(verified.firmware());
        if self
            .section
            .minimum_firmware
            .is_some_and(|least| firmware < least)
        {
            return Err(refused("firmware-too-old"));
        }
        let certified = match self.section.edition {
            None => true,
            Some(config::Edition::Fips) => verified.is_fips(),
            Some(config::Edition::Cspn) => verified.is_cspn(),
        };
        if !certified {
            return Err(refused("edition-not-certified"));
        }
        let serials = &self.section.serials;
        if !serials.is_empty()
            && verified
                .serial()
                .is_none_or(|serial| !serials.contains(&serial))
        {
            return Err(refused("serial-not-listed"));
        }
        Ok(())
    }

    async fn judge_issued(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        at: OffsetDateTime,
    ) -> Result<AcceptedCard, RegistrationRefused> {
        let (issuer, verified) = self
            .certified(leaf, intermediates, at)
            .await
            .map_err(|error| refused(error.reason()))?;
        Ok(AcceptedCard {
            public_key_spki: verified.public_key().der().to_vec(),
            attested: false,
            // SP 800-73: slot 9C asks each time; that the key is there is the issuer's word.
            pin_each_time: true,
            registration: parts(None, Some(leaf)),
            model: format!("PIV card by {}", issuer.name),
            verdict: json!({
                "format": "piv", "type": "issued", "trust": "path-to-issuer", "issuer": issuer.name, "anchor": verified.anchor(),
                "policies": verified.policies(), "revocation": if verified.revocation_judged() { "judged" } else { "not-judged" },
            }),
            private: json!({ "holder": verified.subject() }),
        })
    }

    /// The issuer whose path, policies and lists accept the certificate; of several failures the one that came furthest.
    async fn certified(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        at: OffsetDateTime,
    ) -> Result<(&Issuer, VerifiedIssued), IssuerError> {
        let mut closest = None;
        for issuer in &self.issuers {
            let roots: Vec<&Certificate> = issuer.certificates.iter().collect();
            let mut rule = Rule {
                policies: issuer.policies.clone(),
                revocation: Revocation::DangerNotJudged,
            };
            // Nothing is fetched for certificates that no list could save.
            let nothing = Statements::default();
            let first = issuer::verify(leaf, intermediates, &roots, nothing, &rule, at);
            let judged = match (first, issuer.revocation) {
                (Err(error), _) => Err(error),
                (Ok(verified), Revocation::DangerNotJudged) => Ok(verified),
                (Ok(_), revocation) => {
                    rule.revocation = revocation;
                    let lists = issuer.lists.current(at).await;
                    let mut answers = Vec::new();
                    if let Revocation::Ocsp { .. } = revocation {
                        let questions = issuer::questions(leaf, intermediates, &roots, at)?;
                        let nonce = self.ports.as_ref().and_then(|ports| ports.bytes().ok());
                        answers = issuer.responders.answers(questions, nonce, at).await;
                    }
                    let statements = Statements {
                        lists: &lists,
                        answers: &answers,
                    };
                    issuer::verify(leaf, intermediates, &roots, statements, &rule, at)
                }
            };
            match judged {
                Ok(verified) => return Ok((issuer, verified)),
                // Another issuer's card is no reason to speak of.
                Err(IssuerError::Path(error)) if closest.is_some() => {
                    tracing::debug!(%error, issuer = issuer.name, "not this issuer's");
                }
                Err(error) => closest = Some(error),
            }
        }
        Err(closest.unwrap_or(IssuerError::NoCrl))
    }
}

/// How often enrolled cards are judged again.
const JUDGE: std::time::Duration = std::time::Duration::from_secs(600);

/// Judges enrolled cards again at once, and now and then until `stop`.
pub async fn watch(desk: Desk, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        match desk.judge_cards().await {
            Ok(0) => {}
            Ok(fallen) => tracing::warn!(fallen, "cards are no longer accepted"),
            Err(error) => tracing::warn!(%error, "judging cards"),
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(JUDGE) => {}
        }
    }
}

/// How an attested card is called.
fn model(verified: &VerifiedAttestation) -> String {
    let firmware = config::Firmware(verified.firmware());
    format!("PIV card, firmware {firmware}")
}

/// A key record's registration with its leaf alone.
fn parts(attestation: Option<&Certificate>, certificate: Option<&Certificate>) -> PivRegistration {
    let text = |leaf: &Certificate| base64url::encode(leaf.der());
    PivRegistration {
        action: Vec::new(),
        origin: String::new(),
        signature: Vec::new(),
        attestation: attestation.map(text),
        certificate: certificate.map(text),
        intermediates: Vec::new(),
    }
}
