//! Data objects (SP 800-73-4 Part 1 §4, Part 2 §3.1.2): discovery, card holder unique identifier, certificates.
//!
//! All of it is a claim: a GUID identifies a card between two honest uses, and proves nothing.

use std::io::Read;

use super::{PivCard, Slot, done, structure};
use crate::error::{Error, Refused, ReplyError, StatusWord};
use crate::port::ApduPort;
use crate::tlv;

const GET_DATA: u8 = 0xcb;
const PUT_DATA: u8 = 0xdb;
const DISCOVERY: u32 = 0x7e;
const CHUID: u32 = 0x5f_c102;
/// Yubico: the certificate of the attestation key F9.
const ATTESTATION_CERTIFICATE: u32 = 0x5f_ff01;
/// Largest certificate accepted, after decompression.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// Which PINs the application takes (Part 1 §3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// The application's own PIN satisfies its access rules.
    pub application_pin: bool,
    /// The card's global PIN does, too.
    pub global_pin: bool,
    /// The card prefers the global PIN.
    pub global_first: bool,
}

impl Discovery {
    /// Reads the object's content, inside tag 7E.
    pub fn read(content: &[u8]) -> Result<Self, Error> {
        let policy = tlv::find(content, 0x5f2f).ok().flatten();
        let Some([usage, preference]) = policy else {
            return Err(structure("discovery object"));
        };
        let global_pin = usage & 0x20 != 0;
        Ok(Self {
            application_pin: usage & 0x40 != 0,
            global_pin,
            global_first: global_pin && *preference == 0x20,
        })
    }
}

/// The parts of the card holder unique identifier that this project uses (Part 1 §3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chuid {
    /// Tells this card from others.
    pub guid: [u8; 16],
    /// Expiry as `YYYYMMDD`, when it is eight digits.
    pub expires: Option<[u8; 8]>,
}

impl Chuid {
    /// Reads the object's content, inside tag 53.
    pub fn read(content: &[u8]) -> Result<Self, Error> {
        let find = |tag| tlv::find(content, tag).map_err(|_| structure("CHUID"));
        let guid = find(0x34)?
            .and_then(|guid| guid.try_into().ok())
            .ok_or(structure("CHUID"))?;
        let expires = find(0x35)?.and_then(|date| <[u8; 8]>::try_from(date).ok());
        Ok(Self {
            guid,
            expires: expires.filter(|date| date.iter().all(u8::is_ascii_digit)),
        })
    }
}

/// Reads a certificate object's content (inside tag 53): DER, decompressed where the card keeps it so, within [`MAX_CERTIFICATE`].
pub fn read_certificate(content: &[u8]) -> Result<Vec<u8>, Error> {
    let find = |tag| tlv::find(content, tag).map_err(|_| structure("certificate object"));
    let certificate = find(0x70)?.ok_or(structure("certificate object"))?;
    // CertInfo bit 1 says "compressed". Cards leave it out or clear it wrongly, so the bytes themselves decide.
    let compressed = match certificate {
        [0x1f, 0x8b, ..] => inflate(flate2::read::GzDecoder::new(certificate))?,
        [0x78, _, ..] => inflate(flate2::read::ZlibDecoder::new(certificate))?,
        [0x30, ..] if certificate.len() <= MAX_CERTIFICATE => return Ok(certificate.to_vec()),
        [0x30, ..] => return Err(ReplyError::TooLarge("certificate").into()),
        _ => return Err(structure("certificate object")),
    };
    if compressed.first() == Some(&0x30) {
        Ok(compressed)
    } else {
        Err(structure("certificate object"))
    }
}

/// Decompresses at most [`MAX_CERTIFICATE`] bytes, whatever the stream claims or holds.
fn inflate(stream: impl Read) -> Result<Vec<u8>, Error> {
    let mut certificate = Vec::new();
    let limit = MAX_CERTIFICATE.saturating_add(1) as u64;
    stream
        .take(limit)
        .read_to_end(&mut certificate)
        .map_err(|_| structure("compressed certificate"))?;
    if certificate.len() > MAX_CERTIFICATE {
        Err(ReplyError::TooLarge("certificate").into())
    } else {
        Ok(certificate)
    }
}

impl<P: ApduPort> PivCard<P> {
    /// The discovery object; `None` on cards without one, which take their own PIN only.
    pub fn discovery(&mut self) -> Result<Option<Discovery>, Error> {
        self.object(DISCOVERY)?
            .map(|content| Discovery::read(&content))
            .transpose()
    }

    /// The card holder unique identifier; `None` on a card that was not personalised.
    pub fn chuid(&mut self) -> Result<Option<Chuid>, Error> {
        self.object(CHUID)?
            .map(|content| Chuid::read(&content))
            .transpose()
    }

    /// The certificate of `slot` in DER, unverified; `None` when there is none.
    pub fn certificate(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, Error> {
        self.object(slot.certificate_tag())?
            .map(|content| read_certificate(&content))
            .transpose()
    }

    /// The certificate that signs this card's key attestations (Yubico), in DER, unverified; `None` on other cards.
    pub fn attestation_certificate(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.object(ATTESTATION_CERTIFICATE)?
            .map(|content| read_certificate(&content))
            .transpose()
    }

    /// Stores a certificate beside the key of `slot`, after management-key authentication.
    pub fn put_certificate(&mut self, slot: Slot, der: &[u8]) -> Result<(), Error> {
        if der.first() != Some(&0x30) || der.len() > MAX_CERTIFICATE {
            return Err(Refused::Argument("certificate").into());
        }
        let mut content = Vec::new();
        tlv::write(&mut content, 0x70, der);
        tlv::write(&mut content, 0x71, &[0x00]);
        tlv::write(&mut content, 0xfe, &[]);
        let mut data = Vec::new();
        tlv::write(&mut data, 0x5c, &tag_bytes(slot.certificate_tag()));
        tlv::write(&mut data, 0x53, &content);
        done(self.tell(PUT_DATA, 0x3f, 0xff, &data)?)
    }

    /// GET DATA: an object's content without its outer tag; `None` when the card does not have it or it is empty.
    fn object(&mut self, tag: u32) -> Result<Option<Vec<u8>>, Error> {
        let mut data = Vec::new();
        tlv::write(&mut data, 0x5c, &tag_bytes(tag));
        let response = self.send(GET_DATA, 0x3f, 0xff, &data)?;
        match response.status {
            StatusWord::SUCCESS => {
                // The discovery object comes under its own tag, all others under 53 (Part 2 §3.1.2).
                let outer = if tag == DISCOVERY { DISCOVERY } else { 0x53 };
                let content =
                    tlv::only(&response.data, outer).map_err(|_| structure("data object"))?;
                Ok(Some(content.to_vec()).filter(|content| !content.is_empty()))
            }
            StatusWord::NOT_FOUND
            | StatusWord::REFERENCE_NOT_FOUND
            | StatusWord::UNSUPPORTED_FUNCTION => Ok(None),
            status => Err(Error::Card(status)),
        }
    }
}

fn tag_bytes(tag: u32) -> Vec<u8> {
    tag.to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn object(certificate: &[u8], info: u8) -> Vec<u8> {
        let mut content = Vec::new();
        tlv::write(&mut content, 0x70, certificate);
        tlv::write(&mut content, 0x71, &[info]);
        tlv::write(&mut content, 0xfe, &[]);
        content
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn certificates_are_read_plain_and_compressed() {
        let der = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        assert_eq!(read_certificate(&object(&der, 0)), Ok(der.clone()));
        assert_eq!(read_certificate(&object(&gzip(&der), 1)), Ok(der.clone()));
        assert_eq!(
            read_certificate(&object(&gzip(&der), 0)),
            Ok(der.clone()),
            "a card that forgets to say so"
        );
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&der).unwrap();
        assert_eq!(
            read_certificate(&object(&zlib.finish().unwrap(), 1)),
            Ok(der)
        );
    }

    #[test]
    fn a_gzip_bomb_stops_at_the_bound() {
        let bomb = gzip(&[0x30; 8 << 20]);
        assert!(bomb.len() < 10_000);
        assert_eq!(
            read_certificate(&object(&bomb, 1)),
            Err(ReplyError::TooLarge("certificate").into())
        );
    }

    #[test]
    fn broken_certificate_objects_are_refused() {
        let cut = gzip(&[0x30; 500]);
        assert_eq!(
            read_certificate(&object(&cut[..cut.len() - 9], 1)),
            Err(structure("compressed certificate"))
        );
        assert_eq!(
            read_certificate(&object(&gzip(b"not DER"), 1)),
            Err(structure("certificate object"))
        );
        assert_eq!(
            read_certificate(&object(b"not DER", 0)),
            Err(structure("certificate object"))
        );
        assert_eq!(
            read_certificate(&[0x71, 1, 0]),
            Err(structure("certificate object"))
        );
        assert_eq!(
            read_certificate(&[0x70, 0x82, 0xff]),
            Err(structure("certificate object"))
        );
    }

    #[test]
    fn chuid_and_discovery_are_read() {
        let mut content = Vec::new();
        tlv::write(&mut content, 0x30, &[0xd4; 25]);
        tlv::write(&mut content, 0x34, &[9; 16]);
        tlv::write(&mut content, 0x35, b"20301231");
        tlv::write(&mut content, 0x3e, &[]);
        tlv::write(&mut content, 0xfe, &[]);
        assert_eq!(
            Chuid::read(&content),
            Ok(Chuid {
                guid: [9; 16],
                expires: Some(*b"20301231")
            })
        );
        assert_eq!(Chuid::read(&[0x34, 1, 0]), Err(structure("CHUID")));
        // SP 800-73-4 Part 1 §3.3.2: 7E 12 4F 0B AID 5F2F 02 60 20: both PINs, the global one first.
        let discovery = hex::decode("4f0ba0000003080000100001005f2f026020").unwrap();
        let both = Discovery {
            application_pin: true,
            global_pin: true,
            global_first: true,
        };
        assert_eq!(Discovery::read(&discovery), Ok(both));
        let discovery = hex::decode("4f0ba0000003080000100001005f2f024000").unwrap();
        let one = Discovery {
            application_pin: true,
            global_pin: false,
            global_first: false,
        };
        assert_eq!(Discovery::read(&discovery), Ok(one));
    }
}
