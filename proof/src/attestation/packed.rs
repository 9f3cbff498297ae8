//! Packed statements (WebAuthn L3 §8.2), what FIDO2 keys send.
//!
//! The rules of §8.2.1 for the leaf are checked to the letter: they are what tells a security key's certificate from any
//! other that the same root may have signed, such as a relabelled android-key's.

use super::statement::{Requirement, Statement, StatementError, check_not_authority};
use super::{AttestationType, Finding};
use crate::certificate::{Certificate, name, oid};

pub(super) fn verify(statement: &Statement<'_, '_>) -> Result<Finding, StatementError> {
    let number = statement.algorithm()?;
    let signature = statement.bytes("sig")?;
    if statement.members.text("ecdaaKeyId").is_some() {
        return Err(StatementError::Ecdaa);
    }
    if statement.members.text("x5c").is_none() {
        // Self attestation: the credential's own key, with its own algorithm.
        if number != statement.key.algorithm() {
            return Err(StatementError::AlgorithmMismatch);
        }
        let key = statement
            .key
            .public_key()
            .ok_or(StatementError::UnsupportedAlgorithm(number))?;
        key.verify(&statement.signed_bytes(), signature)
            .map_err(|_| StatementError::SignatureInvalid)?;
        return Ok(Finding {
            attestation_type: AttestationType::SelfSigned,
            chain: Vec::new(),
            weak: false,
        });
    }
    let scheme = statement.scheme()?;
    let chain = statement.chain()?;
    let leaf = chain.first().ok_or(StatementError::Malformed("x5c"))?;
    if !scheme.suits(leaf.public_key().kind()) {
        return Err(StatementError::AlgorithmMismatch);
    }
    if !scheme.verifies(leaf.public_key(), &statement.signed_bytes(), signature) {
        return Err(StatementError::SignatureInvalid);
    }
    check_leaf(leaf)?;
    statement.check_aaguid(leaf)?;
    // Basic and AttCA cannot be told apart by the statement.
    Ok(Finding {
        attestation_type: AttestationType::Basic,
        weak: scheme.is_weak(),
        chain,
    })
}

/// §8.2.1.
fn check_leaf(leaf: &Certificate) -> Result<(), StatementError> {
    let require = |holds: bool, rule: Requirement| {
        if holds {
            Ok(())
        } else {
            Err(StatementError::Requirement(rule))
        }
    };
    require(leaf.version() == 3, Requirement::Version)?;
    let subject = leaf.subject();
    let filled = |oid| subject.texts(oid).any(|text| !text.is_empty());
    let is_code =
        |text: &str| text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_alphabetic());
    require(
        subject.texts(name::COUNTRY).any(is_code),
        Requirement::Country,
    )?;
    require(filled(name::ORGANIZATION), Requirement::Organization)?;
    let mut units = subject.texts(name::ORGANIZATIONAL_UNIT).peekable();
    let named = units.peek().is_some() && units.all(|unit| unit == "Authenticator Attestation");
    require(named, Requirement::OrganizationalUnit)?;
    require(filled(name::COMMON_NAME), Requirement::CommonName)?;
    let critical = leaf
        .extension(oid::FIDO_AAGUID)
        .is_some_and(|extension| extension.critical);
    require(!critical, Requirement::AaguidExtension)?;
    check_not_authority(leaf)
}
