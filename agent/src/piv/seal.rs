//! A person's PIV card at a ceremony: the PIN, asked for with the tries that are left or typed on the reader's own pad, and the signature.

use sceau_ctap::Keepalive;

use super::{PinEntry, ReadyCard};
use crate::agent::{Agent, Failure};
use crate::ceremony::Enrolling;
use crate::locale::Language;
use crate::prompt::{Again, Answer, CardChoice, CardSecret, Progress, Prompt, Question};
use crate::reader::AuthenticatorError;
use crate::server::CardOffer;

/// Gets `card`'s signature over `digest`, as often as the person wants to try a PIN. Each PIN is sent once.
///
/// # Errors
/// The card's; [`Failure::Declined`] when the person stops.
pub async fn sign(
    prompt: &mut impl Prompt,
    language: Language,
    card: &ReadyCard,
    public_key: &[u8],
    digest: [u8; 32],
) -> Result<Vec<u8>, Failure> {
    let mut again = None;
    loop {
        let tries_left = card.tries_left().await?;
        let pin = if card.has_pad() {
            pad(prompt, language, card, tries_left, again).await?
        } else {
            let question = Question::CardSecret {
                card: card.title(),
                secret: CardSecret::Pin,
                tries_left,
                again,
            };
            let Answer::Pin(typed) = prompt.ask(question).await else {
                return Err(Failure::Declined { reported: false });
            };
            match card.pin(typed) {
                Some(pin) => pin,
                None => {
                    again = Some(Again::Unfit);
                    continue;
                }
            }
        };
        let mut told = |keepalive| match keepalive {
            Keepalive::UpNeeded => prompt.tell(Progress::Touch {
                authenticator: card.title(),
            }),
            _ => prompt.tell(Progress::Processing),
        };
        match card.sign(public_key.to_vec(), digest, pin, &mut told).await {
            Err(AuthenticatorError::WrongPin) => again = Some(Again::Wrong),
            other => return Ok(other?),
        }
    }
}

/// The PIN is typed on the reader; after a wrong one the person says whether to try again.
async fn pad(
    prompt: &mut impl Prompt,
    language: Language,
    card: &ReadyCard,
    tries_left: Option<u8>,
    again: Option<Again>,
) -> Result<PinEntry, Failure> {
    if again.is_some() {
        let question = Question::CardChoice {
            card: card.title(),
            choice: CardChoice::AnotherTry { tries_left },
        };
        if !matches!(prompt.ask(question).await, Answer::GoOn) {
            return Err(Failure::Declined { reported: false });
        }
    }
    prompt.tell(Progress::TypeOnReader {
        reader: card.name.clone(),
        tries_left,
    });
    Ok(PinEntry::Pad(language))
}

/// The card to enrol, when a card is wanted (`wanted`), or when cards are all that is there; `None`: a FIDO2 key is to be enrolled.
///
/// # Errors
/// [`AuthenticatorError::CardsNotTaken`]: a card is wanted, and the server enrols none.
pub async fn card_to_enrol(
    agent: &Agent,
    prompt: &mut impl Prompt,
    offer: Option<&CardOffer>,
    wanted: bool,
) -> Result<Option<ReadyCard>, AuthenticatorError> {
    if offer.is_none() {
        return match wanted {
            true => Err(AuthenticatorError::CardsNotTaken),
            false => Ok(None),
        };
    }
    let mut told = None;
    loop {
        let settled = |agent: &Agent| {
            let (keys, cards) = (agent.authenticators.borrow(), agent.cards.borrow());
            let there = cards.ready().len();
            let fits = told != Some(there) && !keys.is_reading() && !cards.is_reading();
            fits.then(|| (keys.ready().len(), cards.ready()))
        };
        let (keys, mut cards) = agent.until(settled).await;
        if !wanted && (keys > 0 || cards.is_empty()) {
            return Ok(None);
        }
        told = Some(cards.len());
        match (cards.pop(), cards.is_empty()) {
            (Some(card), true) => return Ok(Some(card)),
            (Some(_), false) => prompt.tell(Progress::OnlyOneKey),
            (None, _) => prompt.tell(Progress::InsertCard),
        }
    }
}

/// Signs a registration by `card`, `attested` if that counts; the `response` member of the report.
///
/// # Errors
/// The card's; [`AuthenticatorError::NoCardKey`] when slot 9C is empty.
pub async fn register(
    prompt: &mut impl Prompt,
    language: Language,
    card: &ReadyCard,
    enrolling: Enrolling,
    attested: bool,
) -> Result<serde_json::Value, Failure> {
    let key = card.info.key().ok_or(AuthenticatorError::NoCardKey)?;
    let provenance = card.provenance(attested).await?;
    let enrolling = enrolling.by_card(key.to_vec());
    let signature = sign(prompt, language, card, key, enrolling.digest()).await?;
    Ok(enrolling.registered(signature, &provenance)?)
}
