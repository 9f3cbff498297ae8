//! Cards that only a vendor's PKCS #11 module reads (IAS-ECC and the like), behind the feature `pkcs11`: the fallback for what PIV cannot do.
//!
//! The module is code of somebody else's. It is loaded by the child process `sceau-pkcs11` alone, one request each, with a deadline, an environment
//! of what the configuration names, and PINs by its pipe; whatever it does there, the agent lives on. Without the feature the child is not built
//! and a configured module is told of as not installed.
//!
//! Not trusted: everything that it says. A signature is verified before it is sent, as every card's; a card of this kind enrols by its
//! certificate. Deliberately elsewhere: help-desk operations (the vendor's own tools).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::piv::{Digest, KeyKind, PinReference, Slot};
use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use serde::{Deserialize, Serialize};

use super::{Access, CardInfo, Condition, SlotContent};
use crate::administration::child::{self, ChildError};
use crate::agent::Agent;
use crate::prompt::Secret;
use crate::reader::AuthenticatorError;

/// How often the module is asked what is there.
const PAUSE: Duration = Duration::from_secs(3);
/// How long a list may take.
const LISTING: Duration = Duration::from_secs(20);
/// How long a signature may take, with a PIN typed on a reader.
const SIGNING: Duration = Duration::from_secs(90);
/// Numbers of these cards, beyond those of authenticators.
const FIRST: u64 = 1 << 40;
/// The most cards of one module.
const MOST: usize = 16;
/// Bytes of DigestInfo with SHA-256.
const DIGEST_INFO: usize = 51;
/// 2.5.29.15, keyUsage.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

/// The child's own statuses.
pub mod status {
    /// Wrong PIN.
    pub const WRONG_PIN: u8 = 1;
    /// No tries left.
    pub const LOCKED: u8 = 2;
    /// The card is gone.
    pub const GONE: u8 = 3;
    /// The person stopped at the reader.
    pub const CANCELLED: u8 = 4;
}

/// `[pkcs11]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// The vendor's library.
    pub module: PathBuf,
    /// The environment that it needs, if any.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What the child is asked.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// The vendor's library.
    pub module: PathBuf,
    /// What to do.
    pub operation: Operation,
}

/// What the child can do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Lists the certificates on the cards that are there.
    List,
    /// Signs.
    Sign {
        /// The card's serial number.
        serial: String,
        /// CKA_ID, base64url.
        id: String,
        /// RSA or elliptic curve.
        rsa: bool,
        /// DigestInfo (RSA) or digest, base64url.
        input: String,
        /// The PIN; `None`: it is typed on the reader.
        pin: Option<Secret>,
    },
}

/// A certificate on a card, as the child tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The card's label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// CKA_ID, base64url.
    pub id: String,
    /// DER, base64url.
    pub certificate: String,
    /// The PIN is typed on the reader.
    pub pad: bool,
}

/// A key on a card that the module reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    module: Module,
    listed: Listed,
    kind: KeyKind,
}

impl Token {
    /// Whether the PIN is typed on the reader.
    #[must_use]
    pub fn has_pad(&self) -> bool {
        self.listed.pad
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> Option<Vec<u8>> {
        base64url::decode(&self.listed.certificate).ok()
    }

    /// The key's signature over this SHA-256 digest: DER (ECDSA) or as long as the modulus (RSA).
    pub(super) async fn sign(
        &self,
        digest: [u8; 32],
        pin: Option<Secret>,
    ) -> Result<Vec<u8>, AuthenticatorError> {
        let rsa = !matches!(self.kind, KeyKind::P256 | KeyKind::P384);
        let block = Digest::Sha256(digest).block(self.kind);
        let input = match block.len().checked_sub(DIGEST_INFO) {
            Some(padding) if rsa => block.get(padding..).unwrap_or_default(),
            _ => &digest,
        };
        let operation = Operation::Sign {
            serial: self.listed.serial.clone(),
            id: self.listed.id.clone(),
            rsa,
            input: base64url::encode(input),
            pin,
        };
        let done = ask(self.module.clone(), operation, SIGNING).await;
        let done = done.map_err(|error| match error {
            ChildError::Status(sceau_ctap::Status(status::WRONG_PIN)) => {
                AuthenticatorError::WrongPin
            }
            ChildError::Status(sceau_ctap::Status(status::LOCKED)) => {
                AuthenticatorError::CardPinBlocked
            }
            ChildError::Status(sceau_ctap::Status(status::GONE)) => AuthenticatorError::Gone,
            ChildError::Status(sceau_ctap::Status(status::CANCELLED)) => {
                AuthenticatorError::Cancelled
            }
            ChildError::Deadline(_) => AuthenticatorError::Silent,
            error => {
                tracing::warn!(%error, "the PKCS #11 module");
                AuthenticatorError::Module
            }
        })?;
        let signature = done["signature"]
            .as_str()
            .and_then(|text| base64url::decode(text).ok())
            .ok_or(AuthenticatorError::Module)?;
        match rsa {
            true => Ok(signature),
            false => ecdsa(&signature).ok_or(AuthenticatorError::Module),
        }
    }

    fn info(&self, certificate: Certificate) -> CardInfo {
        let content = SlotContent {
            slot: Slot::Signature,
            kind: Some(self.kind),
            public_key: Some(certificate.public_key().der().to_vec()),
            touch: None,
            certificate: Some(certificate),
        };
        CardInfo {
            guid: None,
            serial: None,
            slots: vec![content],
            pin: PinReference::Application,
            features: Default::default(),
            management: None,
            management_is_default: None,
        }
    }
}

/// PKCS #11 gives r ‖ s; X.509 wants SEQUENCE { INTEGER, INTEGER }.
fn ecdsa(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) || raw.len() > 96 {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    let integer = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0);
        let digits = number.get(start?..)?;
        let pad: &[u8] = if digits.first()? & 0x80 != 0 {
            &[0]
        } else {
            &[]
        };
        let length = u8::try_from(pad.len() + digits.len()).ok()?;
        Some([&[2, length], pad, digits].concat())
    };
    let both = [integer(r)?, integer(s)?].concat();
    let length = u8::try_from(both.len()).ok().filter(|it| *it < 0x80)?;
    Some([&[0x30, length][..], &both].concat())
}

async fn ask(
    module: Module,
    operation: Operation,
    deadline: Duration,
) -> Result<serde_json::Value, ChildError> {
    let asking = tokio::task::spawn_blocking(move || {
        let program = child::program("sceau-pkcs11")?;
        let request = Request {
            module: module.module,
            operation,
        };
        child::run(
            &program,
            &module.environment,
            &request,
            deadline,
            &mut |_| {},
        )
    });
    asking
        .await
        .map_err(|e| ChildError::System(e.to_string()))?
}

/// The one certificate of each card whose key seals: for non-repudiation, or else for signatures; no authority.
fn choose(module: &Module, listed: Vec<Listed>) -> Vec<(Token, Certificate)> {
    let mut best: BTreeMap<String, (u8, Token, Certificate)> = BTreeMap::new();
    for one in listed {
        let Ok(der) = base64url::decode(&one.certificate) else {
            continue;
        };
        let (Ok(certificate), Some(kind)) =
            (Certificate::from_der(&der), KeyKind::of_certificate(&der))
        else {
            continue;
        };
        let is_authority = certificate.basic_constraints().ok().flatten();
        let usage = certificate.extension(KEY_USAGE);
        let bits = usage.and_then(|it| it.value.get(3)).copied().unwrap_or(0);
        let rank = match bits {
            _ if is_authority.is_some_and(|it| it.ca) => continue,
            bits if bits & 0x40 != 0 => 2,
            bits if bits & 0x80 != 0 => 1,
            _ => continue,
        };
        if best.len() >= MOST
            || best
                .get(&one.serial)
                .is_some_and(|(other, ..)| *other >= rank)
        {
            continue;
        }
        let token = Token {
            module: module.clone(),
            kind,
            listed: one,
        };
        best.insert(token.listed.serial.clone(), (rank, token, certificate));
    }
    let chosen = best.into_values();
    chosen
        .map(|(_, token, certificate)| (token, certificate))
        .collect()
}

/// Follows the cards that the configured module reads, for as long as the agent lives. A card that is a PIV card, too, is left to PC/SC.
pub async fn follow(agent: Rc<Agent>) {
    let Some(module) = agent.config.pkcs11.clone() else {
        return std::future::pending().await;
    };
    let mut there: HashMap<u64, Token> = HashMap::new();
    let (mut next, mut told) = (FIRST, None);
    loop {
        let listed = ask(module.clone(), Operation::List, LISTING).await;
        let listed = listed.and_then(|done| {
            serde_json::from_value::<Vec<Listed>>(done).map_err(|_| ChildError::Malformed)
        });
        let found = match listed {
            Ok(listed) => {
                told = None;
                choose(&module, listed)
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the PKCS #11 module");
                }
                told = Some(error);
                Vec::new()
            }
        };
        let is_piv = |key: &[u8]| {
            let cards = agent.cards.borrow().ready();
            cards
                .iter()
                .any(|card| card.id < FIRST && card.info.key() == Some(key))
        };
        let found: Vec<_> = found
            .into_iter()
            .filter(|(_, certificate)| !is_piv(certificate.public_key().der()))
            .collect();
        let gone: Vec<u64> = there
            .iter()
            .filter(|(_, token)| !found.iter().any(|(found, _)| found == *token))
            .map(|(id, _)| *id)
            .collect();
        let mut changed = !gone.is_empty();
        for id in gone {
            there.remove(&id);
            agent.cards.borrow_mut().leave(id);
        }
        for (token, certificate) in found {
            if there.values().any(|known| *known == token) {
                continue;
            }
            let name = crate::text::one_line(&token.listed.label, 100);
            let ready = Condition::Ready(Box::new(token.info(certificate)));
            let mut cards = agent.cards.borrow_mut();
            cards.arrive(next, name, Access::Module(Box::new(token.clone())));
            cards.describe(next, ready);
            drop(cards);
            tracing::info!(id = next, "a card that the PKCS #11 module reads");
            there.insert(next, token);
            next += 1;
            changed = true;
        }
        if changed {
            agent.changed();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_signatures_become_der_with_signs_and_without_zeros() {
        assert_eq!(
            ecdsa(&[0x80, 0x01]),
            Some(vec![0x30, 7, 2, 2, 0, 0x80, 2, 1, 1])
        );
        assert_eq!(ecdsa(&[0, 5, 0, 6]), Some(vec![0x30, 6, 2, 1, 5, 2, 1, 6]));
        for wrong in [&[][..], &[1], &[0, 1], &[1; 98]] {
            assert_eq!(ecdsa(wrong), None, "{wrong:?}");
        }
    }
}
