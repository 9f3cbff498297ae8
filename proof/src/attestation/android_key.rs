//! Android key statements (WebAuthn L3 §8.4; key description: source.android.com/docs/security/features/keystore/attestation).
//!
//! The union of the two authorization lists is judged, as for a relying party that also takes keys from software; our policy
//! refuses the whole format unless told otherwise. Purposes: SIGN is required and VERIFY harmless beside it; any other would
//! let the same key do something else. Every keystore fills these lists; only a description whose two lists are empty, as
//! in the standard's own test vector, claims nothing and is let through to trust and policy.

use super::statement::{Statement, StatementError};
use super::{AttestationType, Finding};
use crate::asn1::{Asn1Error, Reader, Tag};
use crate::certificate::{Certificate, oid};

/// KM_PURPOSE_SIGN.
const SIGN: u32 = 2;
/// KM_PURPOSE_VERIFY.
const VERIFY: u32 = 3;
/// KM_ORIGIN_GENERATED.
const GENERATED: u32 = 0;

pub(super) fn verify(statement: &Statement<'_, '_>) -> Result<Finding, StatementError> {
    let scheme = statement.scheme()?;
    let signature = statement.bytes("sig")?;
    let chain = statement.chain()?;
    let leaf = chain.first().ok_or(StatementError::Malformed("x5c"))?;
    if !scheme.suits(leaf.public_key().kind()) {
        return Err(StatementError::AlgorithmMismatch);
    }
    if !scheme.verifies(leaf.public_key(), &statement.signed_bytes(), signature) {
        return Err(StatementError::SignatureInvalid);
    }
    statement.check_same_key(leaf)?;
    let description = KeyDescription::of(leaf).map_err(|_| StatementError::AndroidDescription)?;
    if description.challenge != statement.client_data_hash {
        return Err(StatementError::AndroidChallengeMismatch);
    }
    check_authorizations(&[&description.software, &description.hardware])?;
    Ok(Finding {
        attestation_type: AttestationType::Basic,
        weak: scheme.is_weak(),
        chain,
    })
}

fn check_authorizations(lists: &[&AuthorizationList; 2]) -> Result<(), StatementError> {
    if lists.iter().any(|list| list.all_applications) {
        return Err(StatementError::AndroidAllApplications);
    }
    if lists.iter().all(|list| list.is_empty) {
        return Ok(());
    }
    let mut origins = lists.iter().filter_map(|list| list.origin).peekable();
    let mut purposes = lists.iter().flat_map(|list| &list.purposes);
    let generated = origins.peek().is_some() && origins.all(|origin| origin == GENERATED);
    let signs = lists.iter().any(|list| list.purposes.contains(&SIGN));
    if generated && signs && purposes.all(|purpose| [SIGN, VERIFY].contains(purpose)) {
        Ok(())
    } else {
        Err(StatementError::AndroidAuthorization)
    }
}

struct KeyDescription<'a> {
    challenge: &'a [u8],
    software: AuthorizationList,
    hardware: AuthorizationList,
}

#[derive(Default)]
struct AuthorizationList {
    is_empty: bool,
    all_applications: bool,
    origin: Option<u32>,
    purposes: Vec<u32>,
}

impl<'a> KeyDescription<'a> {
    fn of(leaf: &'a Certificate) -> Result<Self, Asn1Error> {
        let extension = leaf
            .extension(oid::ANDROID_KEY_DESCRIPTION)
            .ok_or(Asn1Error::Truncated)?;
        let mut outer = Reader::new(&extension.value);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        // attestationVersion, attestationSecurityLevel, keymasterVersion, keymasterSecurityLevel
        fields.expect(Tag::INTEGER)?;
        fields.expect(Tag::ENUMERATED)?;
        fields.expect(Tag::INTEGER)?;
        fields.expect(Tag::ENUMERATED)?;
        let challenge = fields.expect(Tag::OCTET_STRING)?.value;
        // uniqueId
        fields.expect(Tag::OCTET_STRING)?;
        let software = AuthorizationList::read(fields.sequence()?)?;
        let hardware = AuthorizationList::read(fields.sequence()?)?;
        fields.finish()?;
        Ok(Self {
            challenge,
            software,
            hardware,
        })
    }
}

impl AuthorizationList {
    fn read(mut fields: Reader<'_>) -> Result<Self, Asn1Error> {
        let mut list = Self {
            is_empty: fields.is_empty(),
            ..Self::default()
        };
        while !fields.is_empty() {
            let field = fields.element()?;
            let mut inner = field.contents();
            match field.tag.context_number() {
                Some(1) => {
                    let mut set = inner.expect(Tag::SET)?.contents();
                    while !set.is_empty() {
                        list.purposes
                            .push(set.expect(Tag::INTEGER)?.small_integer()?);
                    }
                }
                Some(600) => list.all_applications = true,
                Some(702) => list.origin = Some(inner.expect(Tag::INTEGER)?.small_integer()?),
                _ => {}
            }
        }
        Ok(list)
    }
}
