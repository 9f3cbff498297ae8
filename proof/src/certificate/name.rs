//! Distinguished names (RFC 5280 §4.1.2.4, RFC 4514).
//!
//! Kept verbatim for comparison, decoded for rules and for people. Two names are the same when their bytes are, or when
//! the same attributes hold the same text after folding case and spaces (RFC 5280 §7.1, simplified: issuers and subjects
//! are tied by signatures, names only choose which key to try).

use std::fmt;

use super::CertificateError;
use crate::asn1::{Element, Tag, dotted};

/// The most attributes that a name may have.
const MAX_ATTRIBUTES: usize = 32;

/// A distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    der: Vec<u8>,
    attributes: Vec<Attribute>,
}

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    oid: Vec<u8>,
    tag: Tag,
    text: Option<String>,
    value: Vec<u8>,
    /// Whether it shares its RDN with the attribute before it.
    joined: bool,
}

/// 2.5.4.3 commonName.
pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.6 countryName.
pub const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
/// 2.5.4.10 organizationName.
pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// 2.5.4.11 organizationalUnitName.
pub const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 0x04, 0x0b];

impl Name {
    /// Reads a Name.
    pub(crate) fn read(element: &Element<'_>) -> Result<Self, CertificateError> {
        let mut attributes = Vec::new();
        let mut rdns = element.contents();
        while !rdns.is_empty() {
            let mut members = rdns.expect(Tag::SET)?.contents();
            let mut joined = false;
            while !members.is_empty() {
                if attributes.len() == MAX_ATTRIBUTES {
                    return Err(CertificateError::TooLarge);
                }
                let mut pair = members.sequence()?;
                let oid = pair.expect(Tag::OID)?.value.to_vec();
                let value = pair.element()?;
                pair.finish()?;
                attributes.push(Attribute {
                    oid,
                    tag: value.tag,
                    text: value.text(),
                    value: value.value.to_vec(),
                    joined,
                });
                joined = true;
            }
        }
        Ok(Self {
            der: element.raw.to_vec(),
            attributes,
        })
    }

    /// The bytes, as they came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no attribute at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The texts of every attribute with that encoded identifier, in order.
    pub fn texts<'a>(&'a self, oid: &'a [u8]) -> impl Iterator<Item = &'a str> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.oid == oid)
            .filter_map(|attribute| attribute.text.as_deref())
    }

    /// Whether both name the same entity; see the file comment.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.der == other.der
            || (self.attributes.len() == other.attributes.len()
                && self
                    .attributes
                    .iter()
                    .zip(&other.attributes)
                    .all(|(ours, theirs)| {
                        ours.oid == theirs.oid
                            && ours.joined == theirs.joined
                            && ours.folded() == theirs.folded()
                    }))
    }
}

impl Attribute {
    fn folded(&self) -> Result<String, (Tag, &[u8])> {
        match &self.text {
            Some(text) => {
                let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
                Ok(words.join(" "))
            }
            None => Err((self.tag, &self.value)),
        }
    }

    fn label(&self) -> String {
        match self.oid.as_slice() {
            [0x55, 0x04, last] => match last {
                0x03 => "CN",
                0x06 => "C",
                0x07 => "L",
                0x08 => "ST",
                0x09 => "STREET",
                0x0a => "O",
                0x0b => "OU",
                _ => return dotted(&self.oid),
            }
            .to_owned(),
            _ => dotted(&self.oid),
        }
    }
}

/// RFC 4514: most specific first, special characters escaped; control characters as hexadecimal, so that it is safe on a terminal.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Backwards by RDN; attributes of one RDN stay in order and are joined by "+".
        let mut separator = "";
        let mut end = self.attributes.len();
        while end > 0 {
            let mut start = end.saturating_sub(1);
            while start > 0 && self.attributes.get(start).is_some_and(|a| a.joined) {
                start = start.saturating_sub(1);
            }
            for attribute in self.attributes.get(start..end).unwrap_or_default() {
                f.write_str(if attribute.joined { "+" } else { separator })?;
                write!(f, "{}=", attribute.label())?;
                match &attribute.text {
                    Some(text) => write_escaped(f, text)?,
                    None => write!(f, "#{}", hex::encode(&attribute.value))?,
                }
            }
            separator = ",";
            end = start;
        }
        Ok(())
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (position, letter) in text.chars().enumerate() {
        let edge = position == 0 || position == last;
        match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => write!(f, "\\{letter}")?,
            '#' if position == 0 => f.write_str("\\#")?,
            ' ' if edge => f.write_str("\\ ")?,
            _ if letter.is_control() || is_deceptive(letter) => {
                let mut buffer = [0; 4];
                for byte in letter.encode_utf8(&mut buffer).bytes() {
                    write!(f, "\\{byte:02x}")?;
                }
            }
            _ => write!(f, "{letter}")?,
        }
    }
    Ok(())
}

/// Letters that change how a line is read without being seen: bidirectional controls, zero width.
fn is_deceptive(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::Reader;

    fn attribute(oid_last: u8, tag: u8, text: &[u8]) -> Vec<u8> {
        let value = [&[tag, text.len() as u8][..], text].concat();
        let pair = [&[0x06, 3, 0x55, 0x04, oid_last][..], &value].concat();
        [&[0x30, pair.len() as u8][..], &pair].concat()
    }

    fn name(rdns: &[Vec<Vec<u8>>]) -> Name {
        let mut body = Vec::new();
        for rdn in rdns {
            let members = rdn.concat();
            body.extend([&[0x31, members.len() as u8][..], &members].concat());
        }
        let der = [&[0x30, body.len() as u8][..], &body].concat();
        Name::read(&Reader::new(&der).element().unwrap()).unwrap()
    }

    #[test]
    fn prints_most_specific_first_and_escapes() {
        let it = name(&[
            vec![attribute(6, 0x13, b"FR")],
            vec![
                attribute(10, 0x0c, b"A, B"),
                attribute(11, 0x0c, b"x\x1b[2J"),
            ],
            vec![attribute(3, 0x0c, "\u{202e}root".as_bytes())],
        ]);
        assert_eq!(
            it.to_string(),
            "CN=\\e2\\80\\aeroot,O=A\\, B+OU=x\\1b[2J,C=FR"
        );
    }

    #[test]
    fn same_text_in_another_string_type_is_the_same_name() {
        let printable = name(&[vec![attribute(3, 0x13, b"Some  Root")]]);
        let utf8 = name(&[vec![attribute(3, 0x0c, b"some root")]]);
        assert!(printable.matches(&utf8));
        assert!(!printable.matches(&name(&[vec![attribute(3, 0x13, b"Other Root")]])));
        assert!(!printable.matches(&name(&[vec![attribute(10, 0x13, b"Some Root")]])));
    }
}
