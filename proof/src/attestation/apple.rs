//! Apple anonymous statements (WebAuthn L3 §8.8): a fresh certificate whose nonce is this ceremony's.

use aws_lc_rs::digest::{SHA256, digest};

use super::statement::{Statement, StatementError};
use super::{AttestationType, Finding};
use crate::asn1::{Asn1Error, Reader, Tag};
use crate::certificate::{Certificate, oid};

pub(super) fn verify(statement: &Statement<'_, '_>) -> Result<Finding, StatementError> {
    let chain = statement.chain()?;
    let leaf = chain.first().ok_or(StatementError::Malformed("x5c"))?;
    let nonce = digest(&SHA256, &statement.signed_bytes());
    match nonce_of(leaf) {
        Ok(claimed) if claimed == nonce.as_ref() => {}
        _ => return Err(StatementError::NonceMismatch),
    }
    statement.check_same_key(leaf)?;
    Ok(Finding {
        attestation_type: AttestationType::AnonCa,
        weak: false,
        chain,
    })
}

/// `SEQUENCE { [1] EXPLICIT OCTET STRING }`.
fn nonce_of(leaf: &Certificate) -> Result<&[u8], Asn1Error> {
    let extension = leaf
        .extension(oid::APPLE_NONCE)
        .ok_or(Asn1Error::Truncated)?;
    let mut outer = Reader::new(&extension.value);
    let mut fields = outer.sequence()?;
    outer.finish()?;
    let mut tagged = fields.expect(Tag::context(1))?.contents();
    fields.finish()?;
    let nonce = tagged.expect(Tag::OCTET_STRING)?;
    tagged.finish()?;
    Ok(nonce.value)
}
