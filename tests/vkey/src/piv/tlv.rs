//! BER-TLV as PIV uses it (SP 800-73-4 part 2), and the little DER that public keys need.

const TAG_EC_POINT: u8 = 0x86;
const TAG_MODULUS: u8 = 0x81;
const TAG_EXPONENT: u8 = 0x82;

const OID_EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// One element: tag bytes, length, content.
pub(crate) fn encode(tag: &[u8], content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head: Vec<u8> = match length {
        0..=0x7f => vec![length as u8],
        0x80..=0xff => vec![0x81, length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [tag, &head, content].concat()
}

/// The content found along a path of tags; two-byte tags (`7F49`) are given as two bytes.
pub(crate) fn find<'a>(mut data: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    let mut path = path.iter().copied();
    'path: while let Some(first) = path.next() {
        let wanted = if first & 0x1f == 0x1f {
            vec![first, path.next()?]
        } else {
            vec![first]
        };
        let mut rest = data;
        loop {
            let (tag, content, next) = element(rest)?;
            if tag == wanted {
                data = content;
                continue 'path;
            }
            rest = next;
        }
    }
    Some(data)
}

/// The first element: tag, content, what follows.
fn element(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let tag_length = if data.first()? & 0x1f == 0x1f { 2 } else { 1 };
    let (tag, rest) = data.split_at_checked(tag_length)?;
    let (length, rest) = match rest {
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (content, next) = rest.split_at_checked(length)?;
    Some((tag, content, next))
}

/// PIV's algorithm identifier of a public key as GENERATE answers it.
pub(crate) fn algorithm(public_key: &[u8]) -> Option<u8> {
    if let Some(point) = find(public_key, &[TAG_EC_POINT]) {
        return match point.len() {
            65 => Some(0x11),
            97 => Some(0x14),
            _ => None,
        };
    }
    match find(public_key, &[TAG_MODULUS])?.len() {
        256 => Some(0x07),
        384 => Some(0x05),
        512 => Some(0x16),
        _ => None,
    }
}

/// SubjectPublicKeyInfo (RFC 5280) of a public key as GENERATE answers it.
pub(crate) fn spki(public_key: &[u8]) -> Option<Vec<u8>> {
    let (algorithm, key) = match find(public_key, &[TAG_EC_POINT]) {
        Some(point) => {
            let curve = if point.len() == 65 {
                OID_P256
            } else {
                OID_P384
            };
            ([OID_EC, curve].concat(), point.to_vec())
        }
        None => {
            let numbers = [
                integer(find(public_key, &[TAG_MODULUS])?),
                integer(find(public_key, &[TAG_EXPONENT])?),
            ]
            .concat();
            (RSA.to_vec(), encode(&[0x30], &numbers))
        }
    };
    let bits = encode(&[0x03], &[&[0x00], key.as_slice()].concat());
    Some(encode(
        &[0x30],
        &[encode(&[0x30], &algorithm), bits].concat(),
    ))
}

fn integer(number: &[u8]) -> Vec<u8> {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(0);
    let digits = number.get(first..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) {
        &[0]
    } else {
        &[]
    };
    encode(&[0x02], &[sign, digits].concat())
}

/// A certificate as PIV objects hold it, plain or gzip-compressed (SP 800-73-4 part 1, table 10).
pub(crate) fn certificate_object(certificate: &[u8], is_compressed: bool) -> Vec<u8> {
    let content = [
        encode(&[0x70], certificate),
        encode(&[0x71], &[u8::from(is_compressed)]),
        encode(&[0xfe], &[]),
    ]
    .concat();
    encode(&[0x53], &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_encoded() {
        let inner = encode(&[0x86], &[4; 65]);
        let outer = encode(&[0x7f, 0x49], &inner);
        assert_eq!(find(&outer, &[0x7f, 0x49, 0x86]), Some(&[4; 65][..]));
        assert_eq!(find(&outer, &[0x7f, 0x49, 0x81]), None);
        assert_eq!(
            find(&encode(&[0x53], &[1; 700]), &[0x53]).map(<[u8]>::len),
            Some(700)
        );
        assert_eq!(find(&[0x53, 0x84, 0x7f, 0xff, 0xff, 0xff], &[0x53]), None);
    }

    #[test]
    fn writes_unsigned_integers() {
        assert_eq!(integer(&[0x00, 0x01]), [0x02, 0x01, 0x01]);
        assert_eq!(integer(&[0x80]), [0x02, 0x02, 0x00, 0x80]);
    }
}
