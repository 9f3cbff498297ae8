//! PIV cards as authenticators (NIST SP 800-73, docs/piv.md): what a card is, and its signature by slot 9C. Any PIV card, no vendor's library; what
//! Yubico's firmware tells beside the standard is used where it is told.
//!
//! A card may be a FIDO2 authenticator, too: both are reached by one thread ([`crate::reader`]), and have one number. Other programs use the same
//! card: every operation is one short transaction that begins with SELECT; whatever state another left, or a reset, is met by that. The PIN is asked for
//! every time, sent once, within the transaction of the signature that it is for, and to no card but one that has just shown the key; afterwards
//! the card is told to forget it. Nothing read from a card is trusted: names, dates and policies choose words, the server judges.
//!
//! [`seal`]: asking the person, approvals, enrolments · [`presence`]: slot 9E, without the person · [`desk`]: the help-desk's operations · [`module`]: cards that only a vendor's
//! module reads · [`command`]: `sceau card` · [`der`].

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::piv::pin_pad::{self, Features};
use sceau_ctap::piv::{
    Digest, KeyKind, ManagementAlgorithm, PinOutcome, PinReference, PivCard, PivPin, Slot,
};
use sceau_ctap::{Error, Keepalive, PortError, StatusWord, WireError};
use sceau_proof::certificate::Certificate;
use time::OffsetDateTime;

use crate::agent::{AGAIN, Agent};
use crate::ceremony::card::Provenance;
use crate::locale::Language;
use crate::prompt::Secret;
use crate::reader::{AuthenticatorError, CardAccess, Handle};

pub mod command;
pub mod der;
pub mod desk;
pub mod module;
pub mod presence;
pub mod seal;

/// The longest that reading a card may take: certificates over T=0 are slow.
const READING: Duration = Duration::from_secs(30);
/// The longest that a signature may take, with a touch or a PIN typed on the reader.
const SIGNING: Duration = Duration::from_secs(150);
/// How long another program is left alone with a card before it is asked again.
const PAUSE_OF_A_BUSY_CARD: Duration = Duration::from_secs(5);
/// How long a reader's PIN pad waits for the person, in seconds.
const PAD_PATIENCE: u8 = 30;
/// `CM_IOCTL_GET_FEATURE_REQUEST` (PC/SC part 10 §2.2), as pcsc-lite numbers control codes.
const GET_FEATURES: u32 = 0x4200_0000 + 3400;
/// How long before its end a certificate is warned about.
pub const WARNING: time::Duration = time::Duration::days(30);
/// X.520 commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// The slots, in the order in which people see them.
const SLOTS: [Slot; 4] = [
    Slot::Authentication,
    Slot::Signature,
    Slot::KeyManagement,
    Slot::CardAuthentication,
];

type Selected<'a> = PivCard<&'a mut dyn CardAccess>;

/// What one slot holds, as the card says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotContent {
    /// Which.
    pub slot: Slot,
    /// The key's algorithm, if it is one of ours.
    pub kind: Option<KeyKind>,
    /// subjectPublicKeyInfo, DER.
    pub public_key: Option<Vec<u8>>,
    /// Whether its use waits for a touch, if the card tells.
    pub touch: Option<bool>,
    /// The certificate, unverified.
    pub certificate: Option<Certificate>,
}

/// What a card says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardInfo {
    /// Tells this card from others.
    pub guid: Option<[u8; 16]>,
    /// Yubico's serial number.
    pub serial: Option<u32>,
    /// The slots that hold a key or a certificate.
    pub slots: Vec<SlotContent>,
    /// Which PIN it takes.
    pub pin: PinReference,
    /// What its reader can do with PINs.
    pub features: Features,
    /// The management key's algorithm, if it tells.
    pub management: Option<ManagementAlgorithm>,
    /// Whether the management key is the one that everybody knows, if it tells.
    pub management_is_default: Option<bool>,
}

impl CardInfo {
    /// What the slot holds.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> Option<&SlotContent> {
        self.slots.iter().find(|content| content.slot == slot)
    }

    /// The key that approves: subjectPublicKeyInfo, DER.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.slot(Slot::Signature)?.public_key.as_deref()
    }

    /// The certificate that names the holder: of the signature, or else of authentication.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        [Slot::Signature, Slot::Authentication]
            .into_iter()
            .find_map(|slot| self.slot(slot)?.certificate.as_ref())
    }

    /// The holder's name, as the certificate has it; not escaped.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.certificate()?.subject().texts(COMMON_NAME).next()
    }
}

/// A certificate's subject and issuer for people, not escaped.
pub(crate) fn names(certificate: &Certificate) -> (String, String) {
    let name = |name: &sceau_proof::certificate::name::Name| {
        name.texts(COMMON_NAME)
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    (name(certificate.subject()), name(certificate.issuer()))
}

/// How close a certificate's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Far.
    Far,
    /// Within [`WARNING`].
    Soon,
    /// Past.
    Past,
}

impl Expiry {
    /// At this time.
    #[must_use]
    pub fn of(not_after: OffsetDateTime, now: OffsetDateTime) -> Self {
        if not_after < now {
            Self::Past
        } else if not_after - now <= WARNING {
            Self::Soon
        } else {
            Self::Far
        }
    }
}

/// What is known of the PIV side of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is being asked.
    Reading,
    /// It answered.
    Ready(Box<CardInfo>),
    /// It has a PIV application that cannot be used, for this reason.
    Unusable(AuthenticatorError),
}

/// The PIV cards that are there, by the number of their authenticator.
#[derive(Default)]
pub struct Cards(BTreeMap<u64, (String, Access, Condition)>);

/// How a card is reached.
#[derive(Clone)]
pub enum Access {
    /// In a reader, by APDUs.
    Reader(Handle),
    /// By a vendor's module.
    Module(Box<module::Token>),
}

impl Access {
    /// [`Handle::run_card`], for cards that are spoken to here.
    async fn run_card<A: Send + 'static>(
        &self,
        limit: Duration,
        on_progress: &mut dyn FnMut(Keepalive),
        work: impl FnMut(
            &mut dyn CardAccess,
            &mut dyn FnMut(Keepalive),
        ) -> Result<A, AuthenticatorError>
        + Send
        + 'static,
    ) -> Result<A, AuthenticatorError> {
        match self {
            Self::Reader(handle) => handle.run_card(limit, on_progress, work).await,
            Self::Module(_) => Err(AuthenticatorError::NotAdministered),
        }
    }
}

impl Cards {
    /// A card came; whether it is a PIV card is not known yet.
    pub fn arrive(&mut self, id: u64, name: String, access: Access) {
        self.0.insert(id, (name, access, Condition::Reading));
    }

    /// Those that are reached by a vendor's module, which are no authenticators of the list.
    #[must_use]
    pub fn of_module(&self) -> Vec<(u64, String)> {
        let of_module = |(id, (name, access, _)): (&u64, &(String, Access, Condition))| {
            matches!(access, Access::Module(_)).then(|| (*id, name.clone()))
        };
        self.0.iter().filter_map(of_module).collect()
    }

    /// It is gone.
    pub fn leave(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// It said what it is.
    fn describe(&mut self, id: u64, condition: Condition) {
        if let Some((_, _, known)) = self.0.get_mut(&id) {
            *known = condition;
        }
    }

    /// Whether one of them is still being asked what it is.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.0
            .values()
            .any(|(_, _, condition)| *condition == Condition::Reading)
    }

    /// What is known of one of them.
    #[must_use]
    pub fn condition(&self, id: u64) -> Option<&Condition> {
        self.0.get(&id).map(|(_, _, condition)| condition)
    }

    /// Those that can be used.
    #[must_use]
    pub fn ready(&self) -> Vec<ReadyCard> {
        let ready = |(id, (name, access, condition)): (&u64, &(String, Access, Condition))| {
            let Condition::Ready(info) = condition else {
                return None;
            };
            Some(ReadyCard {
                id: *id,
                name: name.clone(),
                info: info.clone(),
                handle: access.clone(),
            })
        };
        self.0.iter().filter_map(ready).collect()
    }

    /// The card that holds one of these keys, and which.
    #[must_use]
    pub fn holder(&self, keys: &[Vec<u8>]) -> Option<(ReadyCard, usize)> {
        self.ready().into_iter().find_map(|card| {
            let index = keys.iter().position(|key| card.info.key() == Some(key))?;
            Some((card, index))
        })
    }
}

/// Asks a card whether, and what, PIV card it is; as often as it takes while another program keeps it for itself, a few times if it does not answer.
pub async fn ask(agent: Rc<Agent>, id: u64, handle: Handle) {
    let mut pauses = AGAIN.into_iter();
    loop {
        ask_once(&agent, id, &handle).await;
        let pause = match agent.cards.borrow().condition(id) {
            Some(Condition::Unusable(AuthenticatorError::Busy)) => Some(PAUSE_OF_A_BUSY_CARD),
            Some(Condition::Unusable(error)) if error.may_pass() => pauses.next(),
            _ => None,
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return crate::presence::learn(&agent).await,
        }
    }
}

async fn ask_once(agent: &Agent, id: u64, handle: &Handle) {
    match handle
        .run_card(READING, &mut |_| {}, |card, _| read(card))
        .await
    {
        Ok(info) => {
            tracing::info!(id, slots = info.slots.len(), "PIV card ready");
            let ready = Condition::Ready(Box::new(info));
            agent.cards.borrow_mut().describe(id, ready);
        }
        Err(AuthenticatorError::NotPiv) => agent.cards.borrow_mut().leave(id),
        Err(e) => {
            tracing::info!(id, reason = %e, "not a PIV card for us");
            let unusable = Condition::Unusable(e);
            agent.cards.borrow_mut().describe(id, unusable);
        }
    }
    agent.changed();
}

/// Before a PIN was sent: another program's reset is met by beginning again.
fn early(error: Error) -> AuthenticatorError {
    match error {
        Error::Wire(WireError::Port(PortError::Reset)) => AuthenticatorError::Reset,
        error => error.into(),
    }
}

/// What one card refuses or says oddly, another does not; what breaks the wire ends the operation.
fn soft<A>(answer: Result<Option<A>, Error>) -> Result<Option<A>, AuthenticatorError> {
    match answer {
        Err(error @ Error::Wire(_)) => Err(early(error)),
        answer => Ok(answer.ok().flatten()),
    }
}

fn select(card: &mut dyn CardAccess) -> Result<Selected<'_>, AuthenticatorError> {
    let framing = card.framing();
    PivCard::select(card, framing).map_err(|error| match error {
        Error::Card(_) => AuthenticatorError::NotPiv,
        error => early(error),
    })
}

fn read(card: &mut dyn CardAccess) -> Result<CardInfo, AuthenticatorError> {
    // A reader without features says so by an error, in one way or another.
    let features = card
        .control(GET_FEATURES, &[])
        .ok()
        .and_then(|answer| Features::read(&answer).ok())
        .unwrap_or_default();
    let mut card = select(card)?;
    let discovery = soft(card.discovery())?;
    let chuid = soft(card.chuid())?;
    let serial = soft(card.serial())?;
    let management = soft(card.management_metadata())?;
    let mut slots = Vec::new();
    for slot in SLOTS {
        let certificate = soft(card.certificate(slot))?;
        let content = slot_content(&mut card, slot, certificate)?;
        if content.kind.is_some() || content.certificate.is_some() {
            slots.push(content);
        }
    }
    Ok(CardInfo {
        guid: chuid.map(|chuid| chuid.guid),
        serial,
        slots,
        pin: if discovery.is_some_and(|discovery| discovery.global_first) {
            PinReference::Global
        } else {
            PinReference::Application
        },
        features,
        management: management
            .as_ref()
            .and_then(sceau_ctap::piv::Metadata::management_algorithm),
        management_is_default: management.and_then(|metadata| metadata.is_default),
    })
}

/// The key itself (metadata) tells best what a slot holds; a certificate may be of an older key, and is asked where there is no metadata; and for
/// slot 9C, where there is neither, the card's attestation.
fn slot_content(
    card: &mut Selected<'_>,
    slot: Slot,
    certificate: Option<Vec<u8>>,
) -> Result<SlotContent, AuthenticatorError> {
    let read = |der: &Vec<u8>| Certificate::from_der(der).ok();
    let parsed = certificate.as_ref().and_then(read);
    if let Some(metadata) = soft(card.metadata(slot))? {
        return Ok(SlotContent {
            slot,
            kind: metadata.kind(),
            touch: metadata.wants_touch(),
            public_key: metadata
                .public_key
                .as_ref()
                .map(der::subject_public_key_info),
            certificate: parsed,
        });
    }
    let source = match certificate {
        None if slot == Slot::Signature => soft(card.attest(slot).map(Some))?,
        certificate => certificate,
    };
    Ok(SlotContent {
        slot,
        kind: source.as_deref().and_then(KeyKind::of_certificate),
        touch: None,
        public_key: source
            .as_ref()
            .and_then(read)
            .map(|certificate| certificate.public_key().der().to_vec()),
        certificate: parsed,
    })
}

/// How a PIN reaches a card.
pub enum PinEntry {
    /// Typed at the person's terminal.
    Typed(PivPin),
    /// The same, for a card of a vendor's module, whose PINs have rules of their own.
    Text(Secret),
    /// Typed on the reader's own pad, which shows this language.
    Pad(Language),
}

/// A PIV card that can be used.
#[derive(Clone)]
pub struct ReadyCard {
    /// Its number.
    pub id: u64,
    /// The reader, for people.
    pub name: String,
    /// What it says of itself.
    pub info: Box<CardInfo>,
    handle: Access,
}

impl ReadyCard {
    /// Whether its PIN is typed on the reader.
    #[must_use]
    pub fn has_pad(&self) -> bool {
        match &self.handle {
            Access::Reader(_) => self.info.features.verify.is_some(),
            Access::Module(token) => token.has_pad(),
        }
    }

    /// What was typed, as this card takes it; `None`: no card does.
    #[must_use]
    pub fn pin(&self, typed: Secret) -> Option<PinEntry> {
        match &self.handle {
            Access::Reader(_) => PivPin::new(typed.expose()).ok().map(PinEntry::Typed),
            Access::Module(_) => (!typed.expose().is_empty()).then_some(PinEntry::Text(typed)),
        }
    }

    /// For people: the holder and the reader, one line.
    #[must_use]
    pub fn title(&self) -> String {
        match self.info.holder() {
            Some(holder) => format!("{} · {}", crate::text::one_line(holder, 60), self.name),
            None => self.name.clone(),
        }
    }

    /// How many PIN tries are left; `None` when the card does not say now.
    ///
    /// # Errors
    /// [`AuthenticatorError::CardPinBlocked`]: none.
    pub async fn tries_left(&self) -> Result<Option<u8>, AuthenticatorError> {
        let reference = self.info.pin;
        if let Access::Module(_) = self.handle {
            return Ok(None);
        }
        let work = move |card: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
            let mut card = select(card)?;
            match card.pin_status(reference).map_err(early)? {
                PinOutcome::Wrong { tries_left } => Ok(Some(tries_left)),
                PinOutcome::Blocked => Err(AuthenticatorError::CardPinBlocked),
                PinOutcome::Accepted => Ok(None),
            }
        };
        self.handle.run_card(READING, &mut |_| {}, work).await
    }

    /// Slot 9C's signature over `digest`, by `public_key` and no other key, after the PIN (and a touch, where the key wants one).
    ///
    /// # Errors
    /// [`AuthenticatorError::WrongPin`] cost a try, and is not tried again; [`AuthenticatorError::Gone`]: pulled, exchanged or reset before it had signed.
    pub async fn sign(
        &self,
        public_key: Vec<u8>,
        digest: [u8; 32],
        pin: PinEntry,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<Vec<u8>, AuthenticatorError> {
        if let Access::Module(token) = &self.handle {
            on_progress(Keepalive::Processing);
            let pin = match pin {
                PinEntry::Text(pin) => Some(pin),
                PinEntry::Pad(_) => None,
                PinEntry::Typed(_) => return Err(AuthenticatorError::PinUnfit),
            };
            return token.sign(digest, pin).await;
        }
        let (reference, features) = (self.info.pin, self.info.features);
        let work = move |card: &mut dyn CardAccess, told: &mut dyn FnMut(Keepalive)| {
            sign(card, (reference, features), &public_key, digest, &pin, told)
        };
        self.handle.run_card(SIGNING, on_progress, work).await
    }

    /// How this card shows where its key lives: attested, if that is `wanted` and it can, or else by its certificate.
    ///
    /// # Errors
    /// [`AuthenticatorError::NoAttestation`]: in neither way.
    pub async fn provenance(&self, wanted: bool) -> Result<Provenance, AuthenticatorError> {
        if let Access::Module(token) = &self.handle {
            let certificate = token.certificate().map(Provenance::Issued);
            return certificate.ok_or(AuthenticatorError::NoAttestation);
        }
        let work = move |card: &mut dyn CardAccess, _: &mut dyn FnMut(Keepalive)| {
            let mut card = select(card)?;
            let attestation = match wanted {
                true => soft(card.attest(Slot::Signature).map(Some))?,
                false => None,
            };
            if let Some(attestation) = attestation {
                let above = soft(card.attestation_certificate())?;
                return Ok(Provenance::Attested {
                    attestation,
                    intermediates: above.into_iter().collect(),
                });
            }
            soft(card.certificate(Slot::Signature))?
                .map(Provenance::Issued)
                .ok_or(AuthenticatorError::NoAttestation)
        };
        self.handle.run_card(READING, &mut |_| {}, work).await
    }

    /// Asks it again what it is, after something was changed.
    pub async fn refresh(&self, agent: &Rc<Agent>) {
        if let Access::Reader(handle) = &self.handle {
            ask(Rc::clone(agent), self.id, handle.clone()).await;
        }
    }
}

fn sign(
    card: &mut dyn CardAccess,
    (reference, features): (PinReference, Features),
    public_key: &[u8],
    digest: [u8; 32],
    pin: &PinEntry,
    told: &mut dyn FnMut(Keepalive),
) -> Result<Vec<u8>, AuthenticatorError> {
    let mut card = select(card)?;
    // A card can be swapped faster than pcscd looks: the PIN goes to nothing but the key that was asked for.
    let certificate = soft(card.certificate(Slot::Signature))?;
    let content = slot_content(&mut card, Slot::Signature, certificate)?;
    let kind = content.kind.ok_or(AuthenticatorError::NoCardKey)?;
    if content.public_key.as_deref() != Some(public_key) {
        return Err(AuthenticatorError::Gone);
    }
    verify(&mut card, reference, features, pin)?;
    told(if content.touch == Some(true) {
        Keepalive::UpNeeded
    } else {
        Keepalive::Processing
    });
    let signature = card.sign(Slot::Signature, kind, &Digest::Sha256(digest));
    // Whatever it answers: the signature is made, or will not be.
    let _ = card.forget_pin(reference);
    signature.map_err(|error| match error {
        Error::Card(StatusWord::SECURITY_STATUS | StatusWord::CONDITIONS)
            if content.touch != Some(false) =>
        {
            AuthenticatorError::NotTouched
        }
        error => error.into(),
    })
}

/// One try of the PIN. From here on a reset of the card is its loss: the PIN is not sent again.
fn verify(
    card: &mut Selected<'_>,
    reference: PinReference,
    features: Features,
    pin: &PinEntry,
) -> Result<(), AuthenticatorError> {
    let outcome = match (pin, features.verify) {
        (PinEntry::Typed(pin), _) => card.verify_pin(reference, pin)?,
        (PinEntry::Pad(language), Some(code)) => {
            let request = pin_pad::verify(reference, pad_language(*language), PAD_PATIENCE);
            let answer = card.port().control(code, &request).map_err(Error::from)?;
            pin_pad::outcome(&answer)?
        }
        (PinEntry::Pad(_), None) | (PinEntry::Text(_), _) => {
            return Err(AuthenticatorError::PinUnfit);
        }
    };
    match outcome {
        PinOutcome::Accepted => Ok(()),
        PinOutcome::Wrong { .. } => Err(AuthenticatorError::WrongPin),
        PinOutcome::Blocked => Err(AuthenticatorError::CardPinBlocked),
    }
}

fn pad_language(language: Language) -> pin_pad::Language {
    match language {
        Language::Fr => pin_pad::Language::French,
        Language::En => pin_pad::Language::English,
    }
}

#[cfg(test)]
mod tests {
    use sceau_ctap::ApduPort;
    use sceau_ctap::apdu::Framing;
    use sceau_ctap::piv::PublicKey;

    use super::*;

    const POINT: [u8; 65] = [4; 65];
    const VERIFY_CODE: u32 = 0x0042_330d;

    /// The wire of a card with a P-256 key and of a reader with a PIN pad.
    #[derive(Default)]
    struct Wire {
        sent: Vec<Vec<u8>>,
        controls: Vec<(u32, Vec<u8>)>,
        /// What the pad answers.
        pad: Vec<u8>,
        /// This instruction meets another program's reset.
        reset_at: Option<u8>,
    }

    impl ApduPort for Wire {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
            self.sent.push(command.to_vec());
            if Some(command[1]) == self.reset_at {
                return Err(PortError::Reset);
            }
            Ok(match command[1] {
                0xa4 => vec![0x61, 0x00, 0x90, 0x00],
                0x20 => vec![0x90, 0x00],
                0x87 => [&[0x7c, 6, 0x82, 4, 0x30, 2, 5, 0][..], &[0x90, 0x00]].concat(),
                0xf7 => {
                    let head = [1, 1, 0x11, 2, 2, 3, 1, 4, 67, 0x86, 65];
                    [&head[..], &POINT, &[0x90, 0x00]].concat()
                }
                _ => vec![0x6a, 0x82],
            })
        }
    }

    impl CardAccess for Wire {
        fn framing(&self) -> Framing {
            Framing::Short
        }

        fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, PortError> {
            self.controls.push((code, data.to_vec()));
            match code {
                GET_FEATURES => Ok(vec![6, 4, 0, 0x42, 0x33, 0x0d]),
                _ => Ok(self.pad.clone()),
            }
        }
    }

    fn sign_by(wire: &mut Wire, pin: &PinEntry) -> Result<Vec<u8>, AuthenticatorError> {
        let key = der::subject_public_key_info(&PublicKey::Point(POINT.to_vec()));
        let features = read(wire)?.features;
        wire.sent.clear();
        let pin_of = (PinReference::Application, features);
        sign(wire, pin_of, &key, [7; 32], pin, &mut |_| {})
    }

    fn typed() -> PinEntry {
        PinEntry::Typed(PivPin::new("271828").unwrap())
    }

    #[test]
    fn pin_typed_on_the_reader_never_passes_through_here() {
        let mut wire = Wire {
            pad: vec![0x90, 0x00],
            ..Wire::default()
        };
        assert_eq!(
            sign_by(&mut wire, &PinEntry::Pad(Language::Fr)),
            Ok(vec![0x30, 2, 5, 0])
        );
        let asked: Vec<u32> = wire.controls.iter().map(|(code, _)| *code).collect();
        assert_eq!(asked, [GET_FEATURES, VERIFY_CODE]);
        // The only VERIFY here is the one that makes the card forget.
        let verifies = wire.sent.iter().filter(|apdu| apdu[1] == 0x20);
        assert_eq!(verifies.collect::<Vec<_>>(), [&[0x00, 0x20, 0xff, 0x80]]);
        for (answer, error) in [
            ([0x63, 0xc2], AuthenticatorError::WrongPin),
            ([0x69, 0x83], AuthenticatorError::CardPinBlocked),
            ([0x64, 0x01], AuthenticatorError::Cancelled),
            ([0x64, 0x03], AuthenticatorError::PinUnfit),
        ] {
            wire.pad = answer.to_vec();
            let signed = sign_by(&mut wire, &PinEntry::Pad(Language::En));
            assert_eq!(signed, Err(error));
            assert!(wire.sent.iter().all(|apdu| apdu[1] != 0x87));
        }
    }

    #[test]
    fn reset_before_the_pin_begins_again_and_after_it_does_not() {
        for (instruction, error) in [
            (0xf7, AuthenticatorError::Reset),
            (0x20, AuthenticatorError::Gone),
            (0x87, AuthenticatorError::Gone),
        ] {
            let mut wire = Wire::default();
            let info = read(&mut wire).unwrap();
            wire.reset_at = Some(instruction);
            let key = info.key().unwrap();
            let pin_of = (info.pin, info.features);
            let signed = sign(&mut wire, pin_of, key, [7; 32], &typed(), &mut |_| {});
            assert_eq!(signed, Err(error), "{instruction:#x}");
        }
    }

    #[test]
    fn pin_is_not_sent_to_a_card_with_another_key() {
        let mut wire = Wire::default();
        let other = der::subject_public_key_info(&PublicKey::Point(vec![5; 65]));
        let pin_of = (PinReference::Application, Features::default());
        let signed = sign(&mut wire, pin_of, &other, [7; 32], &typed(), &mut |_| {});
        assert_eq!(signed, Err(AuthenticatorError::Gone));
        assert!(wire.sent.iter().all(|apdu| apdu[1] != 0x20));
    }

    #[test]
    fn certificates_are_warned_about_thirty_days_ahead() {
        let now = time::macros::datetime!(2026-11-21 12:00 UTC);
        let after = |days| Expiry::of(now + time::Duration::days(days), now);
        assert_eq!(
            [after(-1), after(0), after(30), after(31)],
            [Expiry::Past, Expiry::Soon, Expiry::Soon, Expiry::Far]
        );
    }
}
