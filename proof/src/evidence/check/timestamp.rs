//! RFC 3161 time-stamp tokens: found to be over this checkpoint or not. Their signatures are for `openssl ts -verify`, which knows the authority.

use super::{Outcome, Report};
use crate::asn1::{Asn1Error, Reader, Tag};
use crate::base64url;
use crate::evidence::Bundle;
use crate::log::entry::sha256;
use crate::log::note::Note;

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04,
];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

pub(super) fn check_all(bundle: &Bundle, report: &mut Report) {
    for (i, token) in bundle.timestamps.iter().enumerate() {
        let name = format!("timestamp {i}");
        let note = Note::parse(bundle.log.checkpoint.as_bytes()).ok();
        let expected = note.map(|note| sha256(note.text().as_bytes()));
        let imprint = base64url::decode(token)
            .ok()
            .and_then(|der| imprint(&der).ok().flatten());
        match imprint {
            Some(imprint) if Some(imprint) == expected => {
                report.unknown(
                    name,
                    "over this checkpoint; its authority's signature is not checked here",
                );
            }
            Some(_) => report.push(name, Outcome::Failed, "made of another checkpoint"),
            None => report.push(
                name,
                Outcome::Failed,
                "not a time-stamp token over a SHA-256",
            ),
        }
    }
}

/// The message imprint of a token (RFC 3161 §2.4.2), when it is a SHA-256.
fn imprint(der: &[u8]) -> Result<Option<[u8; 32]>, Asn1Error> {
    // ContentInfo { contentType, [0] SignedData { version, digestAlgorithms, encapContentInfo { type, [0] OCTET STRING }, … } }
    let mut content = Reader::new(der).sequence()?;
    if content.expect(Tag::OID)?.value != SIGNED_DATA {
        return Ok(None);
    }
    let mut signed = content.expect(Tag::context(0))?.contents().sequence()?;
    signed.expect(Tag::INTEGER)?;
    signed.element()?;
    let mut encapsulated = signed.sequence()?;
    if encapsulated.expect(Tag::OID)?.value != TST_INFO {
        return Ok(None);
    }
    let octets = encapsulated
        .expect(Tag::context(0))?
        .contents()
        .expect(Tag::OCTET_STRING)?;
    // TSTInfo { version, policy, messageImprint { hashAlgorithm, hashedMessage }, … }
    let mut info = octets.contents().sequence()?;
    info.expect(Tag::INTEGER)?;
    info.expect(Tag::OID)?;
    let mut imprint = info.sequence()?;
    if imprint.sequence()?.expect(Tag::OID)?.value != SHA256 {
        return Ok(None);
    }
    Ok(imprint.expect(Tag::OCTET_STRING)?.value.try_into().ok())
}
