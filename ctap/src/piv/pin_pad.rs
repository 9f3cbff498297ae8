//! Readers with a PIN pad (PC/SC part 10): the structures that make the reader itself ask for the PIN, so that it never reaches the computer.
//!
//! Pure bytes: sending control codes to a reader is the adapter's. Integers are little-endian as the part prescribes for these structures.

use super::pin::{MAX_LENGTH, MIN_LENGTH};
use super::{PinOutcome, PinReference};
use crate::error::{Error, FramingError, Refused, ReplyError, StatusWord};

/// `FEATURE_VERIFY_PIN_DIRECT`
const VERIFY_PIN_DIRECT: u8 = 0x06;
/// `FEATURE_MODIFY_PIN_DIRECT`
const MODIFY_PIN_DIRECT: u8 = 0x07;

/// bmFormatString: length in bytes, left justified, ASCII.
const FORMAT: u8 = 0x82;
/// bmPINBlockString: no length inserted, eight bytes.
const BLOCK: u8 = 0x08;
/// bEntryValidationCondition: the validation key.
const VALIDATION_KEY: u8 = 0x02;

/// Characters of two padded PINs.
const TWO: usize = 16;

/// The reader's control codes for the features that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// Control code to verify a PIN.
    pub verify: Option<u32>,
    /// Control code to change a PIN.
    pub modify: Option<u32>,
}

impl Features {
    /// Reads the answer to CM_IOCTL_GET_FEATURE_REQUEST: tag, length 4, control code big-endian, repeated.
    pub fn read(answer: &[u8]) -> Result<Self, ReplyError> {
        let mut features = Self::default();
        let mut rest = answer;
        while let Some((tag, after)) = rest.split_first() {
            let Some((4, after)) = after.split_first().map(|(length, after)| (*length, after))
            else {
                return Err(ReplyError::Structure("reader features"));
            };
            let (code, after) = after
                .split_first_chunk::<4>()
                .ok_or(ReplyError::Structure("reader features"))?;
            match *tag {
                VERIFY_PIN_DIRECT => features.verify = Some(u32::from_be_bytes(*code)),
                MODIFY_PIN_DIRECT => features.modify = Some(u32::from_be_bytes(*code)),
                _ => {}
            }
            rest = after;
        }
        Ok(features)
    }
}

/// The language of the reader's display, when it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Language {
    /// English (United States).
    English = 0x0409,
    /// French (France).
    French = 0x040c,
}

/// PIN_VERIFY_STRUCTURE for the PIV PIN. `seconds`: how long the reader waits for the person.
#[must_use]
pub fn verify(reference: PinReference, language: Language, seconds: u8) -> Vec<u8> {
    let apdu = [
        &[0x00, 0x20, 0x00, reference.p2(), MAX_LENGTH as u8][..],
        &[0xff; MAX_LENGTH],
    ]
    .concat();
    let mut out = vec![seconds, seconds, FORMAT, BLOCK, 0x00];
    push_limits(&mut out);
    out.extend_from_slice(&[VALIDATION_KEY, 0x01]);
    push_language(&mut out, language);
    // bMsgIndex 0; bTeoPrologue is T=1's and the driver's.
    out.extend_from_slice(&[0x00, 0x00, 0x00, 0x00]);
    push_apdu(&mut out, &apdu);
    out
}

/// PIN_MODIFY_STRUCTURE for the PIV PIN: current, new, and new again for confirmation.
#[must_use]
pub fn modify(reference: PinReference, language: Language, seconds: u8) -> Vec<u8> {
    let apdu = [
        &[0x00, 0x24, 0x00, reference.p2(), TWO as u8][..],
        &[0xff; TWO],
    ]
    .concat();
    let mut out = vec![seconds, seconds, FORMAT, BLOCK, 0x00];
    // Offsets of the current and the new PIN in the data.
    out.extend_from_slice(&[0x00, MAX_LENGTH as u8]);
    push_limits(&mut out);
    // bConfirmPIN: ask for the current one, confirm the new one. Three messages: current, new, confirmation.
    out.extend_from_slice(&[0x03, VALIDATION_KEY, 0x03]);
    push_language(&mut out, language);
    out.extend_from_slice(&[0x00, 0x01, 0x02, 0x00, 0x00, 0x00]);
    push_apdu(&mut out, &apdu);
    out
}

/// wPINMaxExtraDigit: minimum in the high byte, maximum in the low one.
fn push_limits(out: &mut Vec<u8>) {
    out.extend_from_slice(&[MAX_LENGTH as u8, MIN_LENGTH as u8]);
}

fn push_language(out: &mut Vec<u8>, language: Language) {
    out.extend_from_slice(&(language as u16).to_le_bytes());
}

fn push_apdu(out: &mut Vec<u8>, apdu: &[u8]) {
    out.extend_from_slice(&u32::try_from(apdu.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(apdu);
}

/// What the reader answered: the card's status word, or its own for a person who did not type a PIN.
pub fn outcome(answer: &[u8]) -> Result<PinOutcome, Error> {
    let [.., sw1, sw2] = answer else {
        return Err(FramingError::NoStatusWord.into());
    };
    match u16::from_be_bytes([*sw1, *sw2]) {
        // Time-out, or the cancel key.
        0x6400 | 0x6401 => Err(Refused::Cancelled.into()),
        0x6403 => Err(Refused::PinTooShort {
            minimum: MIN_LENGTH,
        }
        .into()),
        status => PinOutcome::from_status(StatusWord(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_laid_out_as_part_10_says() {
        let verify = verify(PinReference::Application, Language::French, 30);
        assert_eq!(
            hex::encode(&verify),
            "1e1e820800080602010c04000000000d0000000020008008ffffffffffffffff"
        );
        let modify = modify(PinReference::Application, Language::English, 30);
        assert_eq!(
            hex::encode(&modify),
            "1e1e82080000080806030203090400010200000015000000002400801".to_owned()
                + "0ffffffffffffffffffffffffffffffff"
        );
    }

    #[test]
    fn features_are_read_and_broken_lists_refused() {
        let answer = hex::decode("060442330006070442330007120442330012").unwrap();
        let features = Features {
            verify: Some(0x4233_0006),
            modify: Some(0x4233_0007),
        };
        assert_eq!(Features::read(&answer), Ok(features));
        assert_eq!(Features::read(&[]), Ok(Features::default()));
        for cut in 1..6 {
            assert_eq!(
                Features::read(&answer[..cut]),
                Err(ReplyError::Structure("reader features"))
            );
        }
    }

    #[test]
    fn a_person_who_goes_away_is_not_a_wrong_pin() {
        assert_eq!(outcome(&[0x90, 0x00]), Ok(PinOutcome::Accepted));
        assert_eq!(
            outcome(&[0x63, 0xc1]),
            Ok(PinOutcome::Wrong { tries_left: 1 })
        );
        assert_eq!(outcome(&[0x64, 0x01]), Err(Refused::Cancelled.into()));
        assert_eq!(outcome(&[0x64, 0x00]), Err(Refused::Cancelled.into()));
        assert_eq!(outcome(&[]), Err(FramingError::NoStatusWord.into()));
    }
}
