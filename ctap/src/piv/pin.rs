//! PIN and PUK (SP 800-73-4 Part 2 §3.2.1 to §3.2.3): verification, change, unblocking. One call is one try at the card's counter.

use zeroize::Zeroizing;

use super::PivCard;
use crate::error::{Error, Refused, StatusWord};
use crate::port::ApduPort;

const VERIFY: u8 = 0x20;
const CHANGE_REFERENCE_DATA: u8 = 0x24;
const RESET_RETRY_COUNTER: u8 = 0x2c;
const PUK: u8 = 0x81;

/// Fewest characters of a PIN or PUK.
pub const MIN_LENGTH: usize = 6;
/// Characters of the padded form (Part 2 §2.4.3).
pub const MAX_LENGTH: usize = 8;

/// A PIV PIN or PUK: 6 to 8 ASCII characters, padded with FF. Has no `Debug` and erases itself.
pub struct PivPin(Zeroizing<[u8; MAX_LENGTH]>);

impl PivPin {
    /// Checks and pads what was typed.
    pub fn new(typed: &str) -> Result<Self, Refused> {
        if !typed
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Err(Refused::PinCharacter);
        }
        if typed.len() < MIN_LENGTH {
            return Err(Refused::PinTooShort {
                minimum: MIN_LENGTH,
            });
        }
        if typed.len() > MAX_LENGTH {
            return Err(Refused::PinTooLong);
        }
        let mut padded = Zeroizing::new([0xff; MAX_LENGTH]);
        for (to, from) in padded.iter_mut().zip(typed.bytes()) {
            *to = from;
        }
        Ok(Self(padded))
    }
}

/// Which of the card's PINs is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PinReference {
    /// The PIV application's own.
    #[default]
    Application,
    /// The whole card's; where the discovery object allows it.
    Global,
}

impl PinReference {
    pub(super) fn p2(self) -> u8 {
        match self {
            Self::Application => 0x80,
            Self::Global => 0x00,
        }
    }
}

/// What the card said to a PIN or PUK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PinOutcome {
    /// Right; the counter is back at its start.
    Accepted,
    /// Wrong, or not verified yet.
    Wrong {
        /// Tries that are left.
        tries_left: u8,
    },
    /// No tries are left: the PUK unblocks a PIN, nothing a PUK.
    Blocked,
}

impl PinOutcome {
    /// From the status word of a verification; anything else is an error of the card.
    pub fn from_status(status: StatusWord) -> Result<Self, Error> {
        match (status, status.tries_left()) {
            (StatusWord::SUCCESS, _) => Ok(Self::Accepted),
            (_, Some(0)) => Ok(Self::Blocked),
            (_, Some(tries_left)) => Ok(Self::Wrong { tries_left }),
            (status, None) => Err(Error::Card(status)),
        }
    }
}

impl<P: ApduPort> PivCard<P> {
    /// How many tries are left, without using one. [`PinOutcome::Accepted`]: verified already in this selection.
    pub fn pin_status(&mut self, reference: PinReference) -> Result<PinOutcome, Error> {
        PinOutcome::from_status(self.tell(VERIFY, 0x00, reference.p2(), &[])?)
    }

    /// VERIFY. For slot 9C the signature must be the next command.
    pub fn verify_pin(
        &mut self,
        reference: PinReference,
        pin: &PivPin,
    ) -> Result<PinOutcome, Error> {
        PinOutcome::from_status(self.tell(VERIFY, 0x00, reference.p2(), &*pin.0)?)
    }

    /// Makes the card forget that the PIN was verified (P1 = FF, SP 800-73-4), so that no other program of a shared card profits from it. Cards that
    /// do not know it keep what they know until another application is selected.
    pub fn forget_pin(&mut self, reference: PinReference) -> Result<(), Error> {
        self.tell(VERIFY, 0xff, reference.p2(), &[]).map(drop)
    }

    /// CHANGE REFERENCE DATA of the PIN; a wrong current PIN costs a try.
    pub fn change_pin(
        &mut self,
        reference: PinReference,
        current: &PivPin,
        new: &PivPin,
    ) -> Result<PinOutcome, Error> {
        self.with_two(CHANGE_REFERENCE_DATA, reference.p2(), current, new)
    }

    /// CHANGE REFERENCE DATA of the PUK; a wrong current PUK costs a try.
    pub fn change_puk(&mut self, current: &PivPin, new: &PivPin) -> Result<PinOutcome, Error> {
        self.with_two(CHANGE_REFERENCE_DATA, PUK, current, new)
    }

    /// RESET RETRY COUNTER: unblocks the application's PIN and sets a new one. The outcome is about the PUK.
    pub fn unblock_pin(&mut self, puk: &PivPin, new: &PivPin) -> Result<PinOutcome, Error> {
        self.with_two(
            RESET_RETRY_COUNTER,
            PinReference::Application.p2(),
            puk,
            new,
        )
    }

    fn with_two(
        &mut self,
        ins: u8,
        p2: u8,
        first: &PivPin,
        second: &PivPin,
    ) -> Result<PinOutcome, Error> {
        let mut data = Zeroizing::new([0_u8; 16]);
        for (to, from) in data.iter_mut().zip(first.0.iter().chain(second.0.iter())) {
            *to = *from;
        }
        PinOutcome::from_status(self.tell(ins, 0x00, p2, &*data)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_six_to_eight_printable_characters() {
        assert_eq!(*PivPin::new("123456").unwrap().0, *b"123456\xff\xff");
        assert_eq!(
            PivPin::new("12345").err(),
            Some(Refused::PinTooShort { minimum: 6 })
        );
        assert_eq!(PivPin::new("123456789").err(), Some(Refused::PinTooLong));
        assert_eq!(PivPin::new("12345é").err(), Some(Refused::PinCharacter));
        assert_eq!(PivPin::new("12345\n").err(), Some(Refused::PinCharacter));
    }

    #[test]
    fn outcomes_follow_the_status_word() {
        assert_eq!(
            PinOutcome::from_status(StatusWord::SUCCESS),
            Ok(PinOutcome::Accepted)
        );
        assert_eq!(
            PinOutcome::from_status(StatusWord(0x63c2)),
            Ok(PinOutcome::Wrong { tries_left: 2 })
        );
        assert_eq!(
            PinOutcome::from_status(StatusWord(0x63c0)),
            Ok(PinOutcome::Blocked)
        );
        assert_eq!(
            PinOutcome::from_status(StatusWord::BLOCKED),
            Ok(PinOutcome::Blocked)
        );
        assert_eq!(
            PinOutcome::from_status(StatusWord(0x6a86)),
            Err(Error::Card(StatusWord(0x6a86)))
        );
    }
}
