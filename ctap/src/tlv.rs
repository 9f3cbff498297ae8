//! BER-TLV as smart cards use it (ISO 7816-4 §5.2.2, NIST SP 800-73-4): a bounded reader and a writer.
//!
//! Tags of up to three bytes, definite lengths of up to three. Lengths need not be minimal, since cards in the field write them fixed;
//! a length beyond the bytes there are is an error, never an allocation.

/// Most elements read at one level.
const MAX_ELEMENTS: usize = 64;

/// The bytes are not BER-TLV within our bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid BER-TLV structure")]
pub struct TlvError;

/// One element; the value is not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'b> {
    /// The tag's bytes as a number: `0x7f49` is two bytes.
    pub tag: u32,
    /// The value's bytes.
    pub value: &'b [u8],
}

/// Reads one element from the front of `bytes` and returns what follows it.
pub fn element(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), TlvError> {
    let (first, mut rest) = bytes.split_first().ok_or(TlvError)?;
    let mut tag = u32::from(*first);
    if first & 0x1f == 0x1f {
        for position in 0.. {
            let (next, after) = rest.split_first().ok_or(TlvError)?;
            tag = tag << 8 | u32::from(*next);
            rest = after;
            if next & 0x80 == 0 {
                break;
            }
            if position == 1 {
                return Err(TlvError);
            }
        }
    }
    let (length, rest) = match rest {
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0x83, high, middle, low, rest @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            (usize::try_from(length).map_err(|_| TlvError)?, rest)
        }
        _ => return Err(TlvError),
    };
    let (value, rest) = rest.split_at_checked(length).ok_or(TlvError)?;
    Ok((Element { tag, value }, rest))
}

/// Reads all of `bytes` as a sequence of elements.
pub fn elements(mut bytes: &[u8]) -> Result<Vec<Element<'_>>, TlvError> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        if elements.len() >= MAX_ELEMENTS {
            return Err(TlvError);
        }
        let (element, rest) = element(bytes)?;
        elements.push(element);
        bytes = rest;
    }
    Ok(elements)
}

/// The value of the element that all of `bytes` is, when its tag is `tag`.
pub fn only(bytes: &[u8], tag: u32) -> Result<&[u8], TlvError> {
    match element(bytes)? {
        (element, []) if element.tag == tag => Ok(element.value),
        _ => Err(TlvError),
    }
}

/// The value of the first element with `tag` in the sequence that all of `bytes` is.
pub fn find(bytes: &[u8], tag: u32) -> Result<Option<&[u8]>, TlvError> {
    Ok(elements(bytes)?
        .into_iter()
        .find(|element| element.tag == tag)
        .map(|element| element.value))
}

/// Appends one element in minimal form.
pub fn write(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    let minimal = |bytes: [u8; 4]| bytes.into_iter().skip_while(|byte| *byte == 0);
    out.extend(minimal(tag.to_be_bytes()));
    // Values are bounded far below 2²⁴ by the card's own limits.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match length {
        0..=0x7f => out.extend(minimal(length.to_be_bytes()).chain((length == 0).then_some(0))),
        0x80..=0xff => out.extend(std::iter::once(0x81).chain(minimal(length.to_be_bytes()))),
        0x100..=0xffff => out.extend(std::iter::once(0x82).chain(minimal(length.to_be_bytes()))),
        _ => out.extend(std::iter::once(0x83).chain(minimal(length.to_be_bytes()))),
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_tags_and_lengths_of_every_width() {
        assert_eq!(
            element(&[0x53, 0x00]),
            Ok((
                Element {
                    tag: 0x53,
                    value: &[]
                },
                &[][..]
            ))
        );
        assert_eq!(
            element(&[0x7f, 0x49, 0x81, 0x01, 9, 8]),
            Ok((
                Element {
                    tag: 0x7f49,
                    value: &[9]
                },
                &[8][..]
            ))
        );
        assert_eq!(
            element(&[0x5f, 0xff, 0x01, 0x82, 0, 1, 9]),
            Ok((
                Element {
                    tag: 0x5f_ff01,
                    value: &[9]
                },
                &[][..]
            ))
        );
        assert_eq!(
            element(&[0x53, 0x83, 0, 0, 1, 9]),
            Ok((
                Element {
                    tag: 0x53,
                    value: &[9]
                },
                &[][..]
            ))
        );
    }

    #[test]
    fn refuses_what_is_cut_endless_or_too_wide() {
        for bad in [
            &[][..],
            &[0x53],
            &[0x53, 1],
            &[0x53, 0x80],
            &[0x53, 0x84, 0, 0, 0, 0],
            &[0x53, 0x83, 0xff, 0xff, 0xff, 0],
        ] {
            assert_eq!(element(bad), Err(TlvError), "{bad:?}");
        }
        assert_eq!(element(&[0x5f, 0xff, 0xff, 0xff, 0x00]), Err(TlvError));
        assert_eq!(elements(&[0; 2 * (MAX_ELEMENTS + 1)]), Err(TlvError));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(tag in prop_oneof![Just(0x53_u32), Just(0x7f49), Just(0x5f_c105)], byte in any::<u8>(), length in prop_oneof![0_usize..300, Just(0xffff), Just(0x1_0000), Just(70_000)]) {
            let (value, mut out) = (vec![byte; length], Vec::new());
            write(&mut out, tag, &value);
            prop_assert_eq!(only(&out, tag), Ok(value.as_slice()));
        }
    }
}
