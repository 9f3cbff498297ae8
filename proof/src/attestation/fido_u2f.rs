//! U2F statements (WebAuthn L3 §8.6, FIDO U2F Raw Message Formats §4.3).
//!
//! The AAGUID is not part of what is signed here in any useful sense (the U2F key never saw it); trust therefore goes by the
//! attestation key's identifier, not by AAGUID. The standard does not ask for a zero AAGUID, and its own vector has another.

use super::statement::{Requirement, Statement, StatementError};
use super::{AttestationType, CredentialKey, Finding};
use crate::certificate::signature::{Curve, Digest, KeyKind, Scheme};
use crate::cose::Algorithm;

pub(super) fn verify(statement: &Statement<'_, '_>) -> Result<Finding, StatementError> {
    let signature = statement.bytes("sig")?;
    let chain = statement.chain()?;
    let [leaf] = chain.as_slice() else {
        return Err(StatementError::Malformed("x5c"));
    };
    if leaf.public_key().kind() != KeyKind::Ec(Curve::P256) {
        return Err(StatementError::Requirement(Requirement::Key));
    }
    // Only ES256 keys exist in U2F; the point is in SEC 1 form already.
    let point = match statement.key {
        CredentialKey::Verifiable(key) if key.algorithm() == Algorithm::Es256 => {
            key.uncompressed_point()
        }
        _ => None,
    }
    .ok_or(StatementError::AlgorithmMismatch)?;
    let signed = [
        &[0][..],
        statement.data.rp_id_hash(),
        statement.client_data_hash,
        statement.credential.credential_id,
        point,
    ]
    .concat();
    if !Scheme::Ecdsa(Digest::Sha256).verifies(leaf.public_key(), &signed, signature) {
        return Err(StatementError::SignatureInvalid);
    }
    Ok(Finding {
        attestation_type: AttestationType::Basic,
        weak: false,
        chain,
    })
}
