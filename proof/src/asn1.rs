//! A strict, bounded reader of DER (ITU-T X.690): one element at a time, borrowed, nothing allocated.
//!
//! Used for certificates, the extensions that attestation needs, and Android's key description, whose tag numbers
//! exceed 30 (which is why the `der` crate does not serve). Everything read is untrusted. Only definite, minimal
//! lengths and minimal tags are read: what a signature covers has one encoding, and the verbatim bytes are kept
//! ([`Element::raw`]). Meaning (certificates, names, times) is in `certificate.rs`.

use std::fmt::Write as _;

/// Why bytes are not the DER that was expected. The fault is always in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Asn1Error {
    /// Fewer bytes than a length promised.
    #[error("truncated")]
    Truncated,
    /// A tag or length that is not in its shortest form, or indefinite.
    #[error("not in the distinguished encoding")]
    NotDistinguished,
    /// Another tag than the one expected.
    #[error("unexpected tag")]
    UnexpectedTag,
    /// Bytes after the last element.
    #[error("trailing bytes")]
    Trailing,
    /// A value that its type does not allow.
    #[error("invalid value")]
    InvalidValue,
}

/// Tag class and number, without the constructed bit folded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    class: u8,
    constructed: bool,
    number: u32,
}

impl Tag {
    /// BOOLEAN.
    pub const BOOLEAN: Self = Self::universal(1, false);
    /// INTEGER.
    pub const INTEGER: Self = Self::universal(2, false);
    /// BIT STRING.
    pub const BIT_STRING: Self = Self::universal(3, false);
    /// OCTET STRING.
    pub const OCTET_STRING: Self = Self::universal(4, false);
    /// OBJECT IDENTIFIER.
    pub const OID: Self = Self::universal(6, false);
    /// ENUMERATED.
    pub const ENUMERATED: Self = Self::universal(10, false);
    /// UTF8String.
    pub const UTF8_STRING: Self = Self::universal(12, false);
    /// PrintableString.
    pub const PRINTABLE_STRING: Self = Self::universal(19, false);
    /// TeletexString, read as Latin-1.
    pub const TELETEX_STRING: Self = Self::universal(20, false);
    /// IA5String.
    pub const IA5_STRING: Self = Self::universal(22, false);
    /// UTCTime.
    pub const UTC_TIME: Self = Self::universal(23, false);
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: Self = Self::universal(24, false);
    /// BMPString (UTF-16, big-endian).
    pub const BMP_STRING: Self = Self::universal(30, false);
    /// SEQUENCE.
    pub const SEQUENCE: Self = Self::universal(16, true);
    /// SET.
    pub const SET: Self = Self::universal(17, true);

    const fn universal(number: u32, constructed: bool) -> Self {
        Self {
            class: 0,
            constructed,
            number,
        }
    }

    /// `[number]`, constructed (explicit tagging, or an implicit SEQUENCE).
    #[must_use]
    pub const fn context(number: u32) -> Self {
        Self {
            class: 2,
            constructed: true,
            number,
        }
    }

    /// `[number]`, primitive (implicit tagging of a string or an integer).
    #[must_use]
    pub const fn context_primitive(number: u32) -> Self {
        Self {
            class: 2,
            constructed: false,
            number,
        }
    }

    /// The number when the tag is context-specific.
    #[must_use]
    pub fn context_number(self) -> Option<u32> {
        (self.class == 2).then_some(self.number)
    }
}

/// One element: its tag, its contents, and the exact bytes of all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its contents.
    pub value: &'a [u8],
    /// Tag, length and contents, as they came.
    pub raw: &'a [u8],
}

/// Reads elements one after the other; never recurses, so depth costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over untrusted bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes that nothing explains.
    ///
    /// # Errors
    /// [`Asn1Error::Trailing`].
    pub fn finish(&self) -> Result<(), Asn1Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Asn1Error::Trailing)
        }
    }

    fn byte(&mut self) -> Result<u8, Asn1Error> {
        let (first, rest) = self.rest.split_first().ok_or(Asn1Error::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn tag(&mut self) -> Result<Tag, Asn1Error> {
        let first = self.byte()?;
        let mut number = u32::from(first & 0x1f);
        if number == 0x1f {
            number = 0;
            for position in 0..4 {
                let next = self.byte()?;
                if position == 0 && next == 0x80 {
                    return Err(Asn1Error::NotDistinguished);
                }
                number = (number << 7) | u32::from(next & 0x7f);
                if next & 0x80 == 0 {
                    break;
                }
                if position == 3 {
                    return Err(Asn1Error::NotDistinguished);
                }
            }
            if number < 0x1f {
                return Err(Asn1Error::NotDistinguished);
            }
        }
        Ok(Tag {
            class: first >> 6,
            constructed: first & 0x20 != 0,
            number,
        })
    }

    fn length(&mut self) -> Result<usize, Asn1Error> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let count = first & 0x7f;
        if count == 0 || count > 4 {
            return Err(Asn1Error::NotDistinguished);
        }
        let mut length = 0_usize;
        for position in 0..count {
            let next = self.byte()?;
            if position == 0 && next == 0 {
                return Err(Asn1Error::NotDistinguished);
            }
            length = (length << 8) | usize::from(next);
        }
        if length < 0x80 {
            return Err(Asn1Error::NotDistinguished);
        }
        Ok(length)
    }

    /// The next element, whatever it is.
    ///
    /// # Errors
    /// When the bytes end too early or are not in the distinguished encoding.
    pub fn element(&mut self) -> Result<Element<'a>, Asn1Error> {
        let start = self.rest;
        let tag = self.tag()?;
        let length = self.length()?;
        let (value, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Asn1Error::Truncated)?;
        self.rest = rest;
        let taken = start.len().saturating_sub(rest.len());
        let raw = start.get(..taken).ok_or(Asn1Error::Truncated)?;
        Ok(Element { tag, value, raw })
    }

    /// The next element, which must bear `tag`.
    ///
    /// # Errors
    /// [`Asn1Error::UnexpectedTag`], or as [`Reader::element`].
    pub fn expect(&mut self, tag: Tag) -> Result<Element<'a>, Asn1Error> {
        let element = self.element()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(Asn1Error::UnexpectedTag)
        }
    }

    /// The next element if it bears `tag`; otherwise nothing is consumed.
    ///
    /// # Errors
    /// As [`Reader::element`].
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Element<'a>>, Asn1Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest;
        let element = self.element()?;
        if element.tag == tag {
            return Ok(Some(element));
        }
        self.rest = before;
        Ok(None)
    }

    /// A SEQUENCE, as a reader over its contents.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn sequence(&mut self) -> Result<Reader<'a>, Asn1Error> {
        Ok(Reader::new(self.expect(Tag::SEQUENCE)?.value))
    }
}

impl<'a> Element<'a> {
    /// A reader over the contents of a constructed element.
    #[must_use]
    pub fn contents(&self) -> Reader<'a> {
        Reader::new(self.value)
    }

    /// A non-negative INTEGER or ENUMERATED that fits 32 bits.
    ///
    /// # Errors
    /// [`Asn1Error::InvalidValue`] when negative, not minimal, or larger.
    pub fn small_integer(&self) -> Result<u32, Asn1Error> {
        let (first, rest) = self.value.split_first().ok_or(Asn1Error::InvalidValue)?;
        let padded = *first == 0 && !rest.is_empty();
        if *first & 0x80 != 0 || (padded && rest.first().is_some_and(|next| next & 0x80 == 0)) {
            return Err(Asn1Error::InvalidValue);
        }
        let digits = if padded { rest } else { self.value };
        if digits.len() > 4 {
            return Err(Asn1Error::InvalidValue);
        }
        Ok(digits
            .iter()
            .fold(0, |sum, digit| (sum << 8) | u32::from(*digit)))
    }

    /// A BOOLEAN of one byte. DER knows only 00 and FF; vendors have written 01, which is true as well.
    ///
    /// # Errors
    /// [`Asn1Error::InvalidValue`].
    pub fn boolean(&self) -> Result<bool, Asn1Error> {
        match self.value {
            [octet] => Ok(*octet != 0),
            _ => Err(Asn1Error::InvalidValue),
        }
    }

    /// The bytes of a BIT STRING. The count of unused bits must be one, and is ignored: keys and signatures are whole bytes, and
    /// Yubico's first U2F certificates count wrongly.
    ///
    /// # Errors
    /// [`Asn1Error::InvalidValue`].
    pub fn whole_bits(&self) -> Result<&'a [u8], Asn1Error> {
        match self.value.split_first() {
            Some((0..=7, bits)) => Ok(bits),
            _ => Err(Asn1Error::InvalidValue),
        }
    }

    /// The text of any of the string types that names use; `None` when it is another type or not valid in it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self.tag {
            Tag::UTF8_STRING => String::from_utf8(self.value.to_vec()).ok(),
            Tag::PRINTABLE_STRING | Tag::IA5_STRING if self.value.is_ascii() => {
                String::from_utf8(self.value.to_vec()).ok()
            }
            Tag::TELETEX_STRING => Some(self.value.iter().map(|byte| char::from(*byte)).collect()),
            Tag::BMP_STRING => {
                let (pairs, odd) = self.value.as_chunks::<2>();
                if !odd.is_empty() {
                    return None;
                }
                let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
            _ => None,
        }
    }
}

/// An encoded object identifier in dotted form, for people and logs; `?` where it is not valid.
#[must_use]
pub fn dotted(oid: &[u8]) -> String {
    let mut out = String::new();
    let mut value = 0_u64;
    let mut first = true;
    for byte in oid {
        if value > u64::MAX >> 8 {
            return "?".to_owned();
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if first {
            let root = value.checked_div(40).unwrap_or_default().min(2);
            let second = value.saturating_sub(root.saturating_mul(40));
            let _ = write!(out, "{root}.{second}");
            first = false;
        } else {
            let _ = write!(out, ".{value}");
        }
        value = 0;
    }
    if out.is_empty() { "?".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_high_tag_numbers_as_android_uses_them() {
        // [702] { INTEGER 0 }
        let mut reader = Reader::new(&[0xbf, 0x85, 0x3e, 0x03, 0x02, 0x01, 0x00]);
        let element = reader.element().unwrap();
        assert_eq!(element.tag.context_number(), Some(702));
        let inner = element.contents().expect(Tag::INTEGER).unwrap();
        assert_eq!(inner.small_integer(), Ok(0));
        assert!(reader.is_empty());
    }

    #[test]
    fn refuses_what_is_not_distinguished() {
        for bytes in [
            &[0x30, 0x80, 0x00, 0x00][..],               // indefinite length
            &[0x04, 0x81, 0x01, 0x00],                   // long form of a short length
            &[0x04, 0x82, 0x00, 0x01, 0x00],             // leading zero in a length
            &[0x9f, 0x80, 0x01, 0x00],                   // leading zero in a tag
            &[0x9f, 0x1e, 0x00],                         // high form of a low tag
            &[0x9f, 0x81, 0x81, 0x81, 0x81, 0x01, 0x00], // endless tag
        ] {
            assert_eq!(
                Reader::new(bytes).element(),
                Err(Asn1Error::NotDistinguished),
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn refuses_lengths_beyond_the_input() {
        for bytes in [
            &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff][..],
            &[0x04, 0x02, 0x00],
            &[0x04],
            &[],
        ] {
            assert_eq!(Reader::new(bytes).element(), Err(Asn1Error::Truncated));
        }
    }

    #[test]
    fn writes_object_identifiers_as_people_know_them() {
        assert_eq!(dotted(&[0x55, 0x04, 0x03]), "2.5.4.3");
        assert_eq!(
            dotted(&[
                0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xe5, 0x1c, 0x01, 0x01, 0x04
            ]),
            "1.3.6.1.4.1.45724.1.1.4"
        );
        assert_eq!(dotted(&[]), "?");
        assert_eq!(dotted(&[0xff; 40]), "?");
    }
}
