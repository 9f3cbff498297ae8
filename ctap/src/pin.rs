//! The PIN, as a person typed it (§6.5.1): normalised, bounded, erased when dropped, and shown by nothing.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::error::Refused;

/// Fewest Unicode code points that any authenticator accepts (§6.5.1).
pub const MIN_CODE_POINTS: usize = 4;
/// Most bytes of the UTF-8 form (§6.5.1).
pub const MAX_BYTES: usize = 63;

/// A FIDO2 PIN in Unicode normalisation form C: at least 4 code points, at most 63 bytes, no NUL. Has no `Debug` and erases itself.
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Normalises what was typed to NFC, as §6.5.1 requires of the platform, and checks the bounds that hold for every authenticator.
    pub fn new(typed: &str) -> Result<Self, Refused> {
        // The longest NFC form of n bytes is 3n bytes; with this capacity no unerased copy is left behind by growth.
        if typed.len() > MAX_BYTES.saturating_mul(4) {
            return Err(Refused::PinTooLong);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            typed.len().saturating_mul(3).saturating_add(4),
        ));
        let mut points = 0_usize;
        for point in typed.nfc() {
            if point == '\0' {
                return Err(Refused::PinCharacter);
            }
            points = points.saturating_add(1);
            let mut utf8 = Zeroizing::new([0_u8; 4]);
            bytes.extend_from_slice(point.encode_utf8(&mut *utf8).as_bytes());
        }
        if points < MIN_CODE_POINTS {
            return Err(Refused::PinTooShort {
                minimum: MIN_CODE_POINTS,
            });
        }
        if bytes.len() > MAX_BYTES {
            return Err(Refused::PinTooLong);
        }
        Ok(Self(bytes))
    }

    /// The UTF-8 form.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Unicode code points, for comparison with an authenticator's `minPINLength`.
    #[must_use]
    pub fn code_points(&self) -> usize {
        std::str::from_utf8(&self.0).map_or(0, |text| text.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_in_code_points_below_and_bytes_above() {
        assert_eq!(
            Pin::new("123").err(),
            Some(Refused::PinTooShort { minimum: 4 })
        );
        assert!(Pin::new("1234").is_ok());
        assert_eq!(
            Pin::new("ééé").err(),
            Some(Refused::PinTooShort { minimum: 4 }),
            "six bytes, three characters"
        );
        assert!(Pin::new(&"9".repeat(63)).is_ok());
        assert_eq!(Pin::new(&"9".repeat(64)).err(), Some(Refused::PinTooLong));
        assert_eq!(
            Pin::new(&"é".repeat(32)).err(),
            Some(Refused::PinTooLong),
            "64 bytes"
        );
        assert_eq!(Pin::new("12\x0034").err(), Some(Refused::PinCharacter));
    }

    #[test]
    fn one_pin_typed_on_two_keyboards_is_one_pin() {
        let composed = Pin::new("caf\u{e9}").unwrap();
        let decomposed = Pin::new("cafe\u{301}").unwrap();
        assert_eq!(composed.bytes(), decomposed.bytes());
        assert_eq!(decomposed.code_points(), 4);
    }
}
