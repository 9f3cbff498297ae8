//! The help-desk's operations on cards: what a card is, changing and unblocking PINs, making a key and its certificate request, attestation, storing
//! certificates, the management key.
//!
//! Every secret is typed at the terminal when it is needed, sent to the card once, and kept nowhere. What a wrong one costs is said each time.

use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::piv::key::Policy;
use sceau_ctap::piv::{
    KeyKind, ManagementAlgorithm, ManagementKey, PinOutcome, PinReference, PivPin, Slot,
};
use sceau_ctap::{Error, Keepalive, WireError};
use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::{
    CardInfo, Condition, Expiry, ReadyCard, SIGNING, Selected, SlotContent, der, early, names,
    pad_language, seal, select,
};
use crate::agent::{Agent, Failure};
use crate::ceremony::card::Provenance;
use crate::locale::Language;
use crate::prompt::{Again, Answer, CardChoice, CardSecret, Progress, Prompt, Question};
use crate::reader::{AuthenticatorError, CardAccess, SystemEntropy};
use crate::text;

/// PINs and PUKs that cards ship with: nobody's new secret.
const FACTORY: [&str; 2] = ["123456", "12345678"];

/// Key algorithms, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

impl From<Algorithm> for KeyKind {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::P256 => Self::P256,
            Algorithm::P384 => Self::P384,
            Algorithm::Rsa2048 => Self::Rsa2048,
            Algorithm::Rsa3072 => Self::Rsa3072,
            Algorithm::Rsa4096 => Self::Rsa4096,
        }
    }
}

/// When a key waits for a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Touch {
    /// Never.
    Never,
    /// For every signature.
    Always,
    /// Unless it was touched within 15 seconds. Refused for privileged actions by the default policy.
    Cached,
    /// As the card pleases: for cards that know no touch.
    Unset,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum Task {
    /// Change the PIN.
    PinChange,
    /// Unblock the PIN with the PUK.
    PinUnblock,
    /// Change the PUK.
    PukChange,
    /// Show the certificates.
    Certificates,
    /// Make a key in slot 9C, and a certificate request when `subject` is given.
    Generate {
        /// Which kind.
        algorithm: Algorithm,
        /// When it waits for a touch.
        touch: Touch,
        /// The request's common name.
        subject: Option<String>,
        /// Authenticate with the management key that cards ship with.
        factory_key: bool,
    },
    /// Store a certificate (DER, base64url) for the key in slot 9C.
    Import {
        /// The certificate.
        certificate: String,
        /// Authenticate with the management key that cards ship with.
        factory_key: bool,
    },
    /// Show the card's attestation of slot 9C.
    Attest,
    /// Replace the management key: by a random one, told once, or by one that is typed.
    ManagementKey {
        /// Which algorithm the new one is for; as before when absent.
        algorithm: Option<ManagementKind>,
        /// Draw it at random.
        random: bool,
        /// Authenticate with the management key that cards ship with.
        factory_key: bool,
    },
}

/// Management key algorithms, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ManagementKind {
    /// Triple DES: for cards that know nothing else.
    TripleDes,
    /// AES-128.
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl From<ManagementKind> for ManagementAlgorithm {
    fn from(kind: ManagementKind) -> Self {
        match kind {
            ManagementKind::TripleDes => Self::TripleDes,
            ManagementKind::Aes128 => Self::Aes128,
            ManagementKind::Aes192 => Self::Aes192,
            ManagementKind::Aes256 => Self::Aes256,
        }
    }
}

/// Does it, at the one PIV card that is there or in a reader whose name contains `reader`.
///
/// # Errors
/// [`Failure`]; a wrong secret is asked for again as often as the person wants, and costs a try each time.
pub async fn perform(
    agent: &Rc<Agent>,
    prompt: &mut impl Prompt,
    language: Language,
    reader: Option<&str>,
    task: Task,
) -> Result<Value, Failure> {
    let _turn = agent.turn(prompt).await;
    let card = the_card(agent, reader).await?;
    let done = match task {
        Task::PinChange => change_pin(prompt, language, &card).await,
        Task::PinUnblock => {
            let puk = (CardSecret::Puk, CardSecret::NewPin);
            change(prompt, &card, puk, |card, puk, new| {
                card.unblock_pin(puk, new)
            })
            .await
        }
        Task::PukChange => {
            let puk = (CardSecret::Puk, CardSecret::NewPuk);
            change(prompt, &card, puk, |card, puk, new| {
                card.change_puk(puk, new)
            })
            .await
        }
        Task::Certificates => Ok(certificates(&card.info)),
        Task::Generate {
            algorithm,
            touch,
            subject,
            factory_key,
        } => {
            let new = (algorithm.into(), touch);
            generate(prompt, language, &card, new, subject, factory_key).await
        }
        Task::Import {
            certificate,
            factory_key,
        } => import(prompt, &card, &certificate, factory_key).await,
        Task::Attest => attest(&card).await,
        Task::ManagementKey {
            algorithm,
            random,
            factory_key,
        } => {
            let algorithm = algorithm.map(ManagementAlgorithm::from);
            management_key(prompt, &card, algorithm, random, factory_key).await
        }
    };
    card.refresh(agent).await;
    done
}

async fn the_card(agent: &Agent, reader: Option<&str>) -> Result<ReadyCard, Failure> {
    let settled = agent.until(|agent| (!agent.cards.borrow().is_reading()).then_some(()));
    // A card that does not answer is not waited for longer than any other is read.
    drop(tokio::time::timeout(Duration::from_secs(30), settled).await);
    let mut cards = agent.cards.borrow().ready();
    cards.retain(|card| reader.is_none_or(|reader| card.name.contains(reader)));
    match (cards.pop(), cards.is_empty()) {
        (Some(card), true) => Ok(card),
        (Some(_), false) => Err(AuthenticatorError::SeveralCards.into()),
        (None, _) => Err(AuthenticatorError::NoCard.into()),
    }
}

async fn ask(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    secret: CardSecret,
    tries_left: Option<u8>,
    again: Option<Again>,
) -> Result<crate::prompt::Secret, Failure> {
    let question = Question::CardSecret {
        card: card.title(),
        secret,
        tries_left,
        again,
    };
    match prompt.ask(question).await {
        Answer::Pin(typed) => Ok(typed),
        _ => Err(Failure::Declined { reported: false }),
    }
}

/// Asks for a PIN or PUK until it could be one.
async fn ask_pin(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    secret: CardSecret,
    tries_left: Option<u8>,
    mut again: Option<Again>,
) -> Result<PivPin, Failure> {
    let is_new = matches!(secret, CardSecret::NewPin | CardSecret::NewPuk);
    loop {
        let typed = ask(prompt, card, secret, tries_left, again).await?;
        let known = is_new && FACTORY.contains(&typed.expose());
        match PivPin::new(typed.expose()) {
            Ok(pin) if !known => return Ok(pin),
            _ => again = Some(Again::Unfit),
        }
    }
}

async fn change_pin(
    prompt: &mut impl Prompt,
    language: Language,
    card: &ReadyCard,
) -> Result<Value, Failure> {
    let (reference, modify) = (card.info.pin, card.info.features.modify);
    let Some(code) = modify else {
        let secrets = (CardSecret::Pin, CardSecret::NewPin);
        return change(prompt, card, secrets, move |card, pin, new| {
            card.change_pin(reference, pin, new)
        })
        .await;
    };
    let tries_left = card.tries_left().await?;
    prompt.tell(Progress::TypeOnReader {
        reader: card.name.clone(),
        tries_left,
    });
    let work = move |access: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
        use sceau_ctap::piv::pin_pad;
        let mut card = select(access)?;
        let request = pin_pad::modify(reference, pad_language(language), super::PAD_PATIENCE);
        let answer = card.port().control(code, &request).map_err(Error::from)?;
        Ok(pin_pad::outcome(&answer)?)
    };
    match card.handle.run_card(SIGNING, &mut |_| {}, work).await? {
        PinOutcome::Accepted => Ok(json!({ "done": "pin-changed" })),
        PinOutcome::Wrong { .. } => Err(AuthenticatorError::WrongPin.into()),
        PinOutcome::Blocked => Err(AuthenticatorError::CardPinBlocked.into()),
    }
}

/// A command with a current and a new secret: asks for both, sends them once, and begins again when the current one was wrong and the person
/// wants to.
async fn change(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    (current, new): (CardSecret, CardSecret),
    command: impl Fn(&mut Selected<'_>, &PivPin, &PivPin) -> Result<PinOutcome, Error>
    + Copy
    + Send
    + 'static,
) -> Result<Value, Failure> {
    let (mut again, mut tries_left) = (None, None);
    loop {
        if current == CardSecret::Pin {
            tries_left = card.tries_left().await?;
        }
        let old = ask_pin(prompt, card, current, tries_left, again).await?;
        let fresh = ask_pin(prompt, card, new, None, None).await?;
        // Each try is one job; the secrets go with it and are erased with it.
        let work = move |access: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
            let mut card = select(access)?;
            Ok(command(&mut card, &old, &fresh)?)
        };
        match card.handle.run_card(SIGNING, &mut |_| {}, work).await? {
            PinOutcome::Accepted => {
                let done = match (current, new) {
                    (CardSecret::Puk, CardSecret::NewPin) => "pin-unblocked",
                    (CardSecret::Puk, _) => "puk-changed",
                    _ => "pin-changed",
                };
                return Ok(json!({ "done": done }));
            }
            PinOutcome::Wrong { tries_left: left } => {
                (again, tries_left) = (Some(Again::Wrong), Some(left));
            }
            PinOutcome::Blocked if current == CardSecret::Puk => {
                return Err(AuthenticatorError::PukBlocked.into());
            }
            PinOutcome::Blocked => return Err(AuthenticatorError::CardPinBlocked.into()),
        }
    }
}

/// The management keys to try: one, or the same bytes under both algorithms that they fit when the card does not tell its own.
async fn management(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    factory: bool,
) -> Result<Vec<ManagementKey>, Failure> {
    use ManagementAlgorithm as A;
    let algorithms = |length: usize| match card.info.management {
        Some(algorithm) => vec![algorithm],
        None => [A::TripleDes, A::Aes192, A::Aes128, A::Aes256]
            .into_iter()
            .filter(|algorithm| algorithm.key_length() == length)
            .collect(),
    };
    if factory {
        return Ok(algorithms(24)
            .into_iter()
            .filter_map(|algorithm| ManagementKey::danger_default(algorithm).ok())
            .collect());
    }
    let mut again = None;
    loop {
        let typed = ask(prompt, card, CardSecret::ManagementKey, None, again).await?;
        let keys: Vec<ManagementKey> = match unhex(typed.expose()) {
            Some(bytes) => algorithms(bytes.len())
                .into_iter()
                .filter_map(|algorithm| ManagementKey::new(algorithm, &bytes).ok())
                .collect(),
            None => Vec::new(),
        };
        if !keys.is_empty() {
            return Ok(keys);
        }
        again = Some(Again::Unfit);
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.bytes()
            .filter(|byte| !matches!(byte, b' ' | b':'))
            .map(|byte| {
                char::from(byte)
                    .to_digit(16)
                    .map_or(0xff, |digit| digit as u8)
            })
            .collect(),
    );
    if !digits.len().is_multiple_of(2) || digits.contains(&0xff) {
        return None;
    }
    Some(Zeroizing::new(
        digits
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [high, low] => Some(high << 4 | low),
                _ => None,
            })
            .collect(),
    ))
}

/// Authenticates with the first of `keys` that the card knows; wrong ones cost nothing. Whether that one is the factory's.
fn authenticate(
    card: &mut Selected<'_>,
    keys: &[ManagementKey],
) -> Result<bool, AuthenticatorError> {
    for key in keys {
        match card.authenticate_management(key, &mut SystemEntropy) {
            Ok(()) => return Ok(key.is_default()),
            Err(Error::Wire(error @ WireError::Port(_))) => return Err(early(error.into())),
            Err(_) => {}
        }
    }
    Err(AuthenticatorError::WrongManagementKey)
}

fn warnings(is_default: bool) -> Value {
    if is_default {
        json!(["management-key-default"])
    } else {
        json!([])
    }
}

async fn generate(
    prompt: &mut impl Prompt,
    language: Language,
    card: &ReadyCard,
    (kind, touch): (KeyKind, Touch),
    subject: Option<String>,
    factory: bool,
) -> Result<Value, Failure> {
    if card.info.key().is_some() {
        let question = Question::CardChoice {
            card: card.title(),
            choice: CardChoice::ReplaceKey,
        };
        if !matches!(prompt.ask(question).await, Answer::GoOn) {
            return Err(Failure::Declined { reported: false });
        }
    }
    let keys = management(prompt, card, factory).await?;
    prompt.tell(Progress::Processing);
    let work = move |access: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
        let mut card = select(access)?;
        let is_default = authenticate(&mut card, &keys)?;
        let touch = match touch {
            Touch::Never => Some(Policy::Never),
            Touch::Always => Some(Policy::Usual),
            Touch::Cached => Some(Policy::Strict),
            Touch::Unset => None,
        };
        // Slot 9C asks for the PIN every time unless told otherwise; it is said only where policies are understood.
        let pin = touch.map(|_| Policy::Strict);
        let key = card.generate(Slot::Signature, kind, pin, touch)?;
        Ok((is_default, der::subject_public_key_info(&key)))
    };
    let made = card.handle.run_card(SIGNING, &mut |_| {}, work).await?;
    let (is_default, public_key) = made;
    let request = match subject {
        None => None,
        Some(subject) => {
            let info = der::request_info(&subject, &public_key);
            let digest = sha256(&info);
            let signature = seal::sign(prompt, language, card, &public_key, digest).await?;
            let request = der::request(&info, kind, &signature);
            Some(der::pem("CERTIFICATE REQUEST", &request))
        }
    };
    let attested = matches!(card.provenance(true).await, Ok(Provenance::Attested { .. }));
    Ok(json!({
        "done": "generated",
        "algorithm": kind_text(kind),
        "public_key": der::pem("PUBLIC KEY", &public_key),
        "request": request,
        "attested": attested,
        "warnings": warnings(is_default),
    }))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

async fn import(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    certificate: &str,
    factory: bool,
) -> Result<Value, Failure> {
    let der =
        base64url::decode(certificate).map_err(|_| Failure::Misuse("fault-request-base64url"))?;
    let parsed =
        Certificate::from_der(&der).map_err(|_| Failure::Misuse("fault-request-certificate"))?;
    let key = card.info.key().ok_or(AuthenticatorError::NoCardKey)?;
    if parsed.public_key().der() != key {
        return Err(Failure::Misuse("fault-request-certificate-of-other-key"));
    }
    let keys = management(prompt, card, factory).await?;
    let work = move |access: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
        let mut card = select(access)?;
        let is_default = authenticate(&mut card, &keys)?;
        card.put_certificate(Slot::Signature, &der)?;
        Ok(is_default)
    };
    let is_default = card.handle.run_card(SIGNING, &mut |_| {}, work).await?;
    Ok(json!({ "done": "certificate-stored", "warnings": warnings(is_default) }))
}

async fn attest(card: &ReadyCard) -> Result<Value, Failure> {
    let Provenance::Attested {
        attestation,
        intermediates,
    } = card.provenance(true).await?
    else {
        return Err(AuthenticatorError::NoAttestation.into());
    };
    let pem = |der: &Vec<u8>| der::pem("CERTIFICATE", der);
    // As `sceau-verify piv` reads it.
    Ok(json!({
        "attestation": pem(&attestation),
        "intermediates": intermediates.iter().map(pem).collect::<Vec<_>>(),
        "public_key": card.info.key().map(|key| der::pem("PUBLIC KEY", key)),
    }))
}

async fn management_key(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    algorithm: Option<ManagementAlgorithm>,
    random: bool,
    factory: bool,
) -> Result<Value, Failure> {
    let keys = management(prompt, card, factory).await?;
    let algorithm = algorithm
        .or(card.info.management)
        .unwrap_or(ManagementAlgorithm::TripleDes);
    let new = if random {
        ManagementKey::random(algorithm, &mut SystemEntropy)
            .map_err(|refused| AuthenticatorError::from(Error::Refused(refused)))?
    } else {
        typed_key(prompt, card, algorithm).await?
    };
    let told = random.then(|| Zeroizing::new(hex(new.expose())));
    let work = move |access: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
        let mut card = select(access)?;
        authenticate(&mut card, &keys)?;
        Ok(card.set_management_key(&new, false)?)
    };
    card.handle.run_card(SIGNING, &mut |_| {}, work).await?;
    Ok(json!({ "done": "management-key-changed", "management_key": told.as_deref() }))
}

async fn typed_key(
    prompt: &mut impl Prompt,
    card: &ReadyCard,
    algorithm: ManagementAlgorithm,
) -> Result<ManagementKey, Failure> {
    let mut again = None;
    loop {
        let typed = ask(prompt, card, CardSecret::NewManagementKey, None, again).await?;
        let key = unhex(typed.expose()).and_then(|key| ManagementKey::new(algorithm, &key).ok());
        match key {
            Some(key) if !key.is_default() => return Ok(key),
            _ => again = Some(Again::Unfit),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P256 => "p256",
        KeyKind::P384 => "p384",
        KeyKind::Rsa2048 => "rsa2048",
        KeyKind::Rsa3072 => "rsa3072",
        KeyKind::Rsa4096 => "rsa4096",
    }
}

fn slot_text(slot: Slot) -> String {
    format!("{:02x}", slot.reference())
}

fn certificates(info: &CardInfo) -> Value {
    let one = |content: &SlotContent| {
        let certificate = content.certificate.as_ref()?;
        let (subject, issuer) = names(certificate);
        let (from, until) = certificate.validity();
        Some(json!({
            "slot": slot_text(content.slot),
            "subject": text::one_line(&subject, 200),
            "issuer": text::one_line(&issuer, 200),
            "not_before": from.format(&Rfc3339).ok(),
            "not_after": until.format(&Rfc3339).ok(),
            "of_this_key": content.public_key.as_deref().map(|key| key == certificate.public_key().der()),
            "pem": der::pem("CERTIFICATE", certificate.der()),
        }))
    };
    json!({ "certificates": info.slots.iter().filter_map(one).collect::<Vec<_>>() })
}

/// The PIV side of an authenticator, for `sceau keys`; `None` when it has none, or has not answered yet.
pub async fn describe(agent: &Agent, id: u64, language: Language) -> Option<Value> {
    let condition = agent.cards.borrow().condition(id).cloned();
    match condition? {
        Condition::Reading => None,
        Condition::Unusable(reason) => {
            let failure = Failure::Authenticator(reason);
            Some(json!({
                "kind": "piv",
                "state": "unusable",
                "reason": text::code(&failure),
                "message": text::message(&failure, language),
            }))
        }
        Condition::Ready(info) => {
            let ready = agent.cards.borrow().ready();
            let card = ready.into_iter().find(|card| card.id == id)?;
            let tries = card.tries_left().await;
            let enrolled = agent
                .keys()
                .into_iter()
                .find(|key| info.key().is_some() && key.card_key().as_deref() == info.key());
            let slot = |content: &SlotContent| {
                json!({
                    "slot": slot_text(content.slot),
                    "algorithm": content.kind.map(kind_text),
                    "touch": content.touch,
                    "certificate": content.certificate.is_some(),
                })
            };
            let until = info
                .certificate()
                .map(|certificate| certificate.validity().1);
            let expiry = until.map(|until| match Expiry::of(until, agent.now()) {
                Expiry::Far => "far",
                Expiry::Soon => "soon",
                Expiry::Past => "past",
            });
            Some(json!({
                "kind": "piv",
                "state": "ready",
                "holder": info.holder().map(|holder| text::one_line(holder, 100)),
                "expires_at": until.and_then(|until| until.format(&Rfc3339).ok()),
                "expiry": expiry,
                "slots": info.slots.iter().map(slot).collect::<Vec<_>>(),
                "pin_retries": tries.as_ref().ok().copied().flatten(),
                "pin_blocked": tries == Err(AuthenticatorError::CardPinBlocked),
                "pin_pad": info.features.verify.is_some(),
                "global_pin": info.pin == PinReference::Global,
                "card_serial": info.serial,
                "guid": info.guid.map(|guid| hex(&guid)),
                "management_key_default": info.management_is_default,
                "enrolled": enrolled.map(|key| json!({ "key_id": key.key_id, "label": text::one_line(key.name(), 100) })),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_as_people_write_it() {
        assert_eq!(unhex("0a:FF 10").as_deref(), Some(&vec![0x0a, 0xff, 0x10]));
        assert_eq!(unhex("0a1"), None);
        assert_eq!(unhex("0g"), None);
    }
}
