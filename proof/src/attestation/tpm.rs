//! TPM statements (WebAuthn L3 §8.3; TPM 2.0 Library Part 2 §10.12, §12.2.4).
//!
//! The TPM says: an object with this name, whose public area is this, lives in me; and says so for this ceremony
//! (`extraData`). Read in full, no byte left over. Not asked, because the standard does not: which vendor the certificate
//! names (its own vector names none of the registered ones), clocks and firmware versions. SHA-1 signatures are verified, as
//! Windows still makes them, and marked weak for policy.

use super::statement::{Requirement, Statement, StatementError, check_not_authority};
use super::{AttestationType, Finding};
use crate::certificate::signature::{Curve, Digest, KeyKind};
use crate::certificate::{Certificate, PublicKeyInfo, oid, unpadded};

const GENERATED_VALUE: u32 = 0xff54_4347;
const ST_ATTEST_CERTIFY: u16 = 0x8017;
const ALG_RSA: u16 = 0x0001;
const ALG_NULL: u16 = 0x0010;
const ALG_ECDAA: u16 = 0x001a;
const ALG_ECC: u16 = 0x0023;
/// 2.23.133.2.1 to 3: manufacturer, model, version.
const MANUFACTURER: &[u8] = &[0x67, 0x81, 0x05, 0x02, 0x01];
const MODEL: &[u8] = &[0x67, 0x81, 0x05, 0x02, 0x02];
const VERSION: &[u8] = &[0x67, 0x81, 0x05, 0x02, 0x03];

pub(super) fn verify(statement: &Statement<'_, '_>) -> Result<Finding, StatementError> {
    if statement
        .members
        .text("ver")
        .and_then(crate::cbor::Value::as_text)
        != Some("2.0")
    {
        return Err(StatementError::Malformed("ver"));
    }
    let scheme = statement.scheme()?;
    let digest = scheme.digest().ok_or(StatementError::AlgorithmMismatch)?;
    let signature = statement.bytes("sig")?;
    let public_area = statement.bytes("pubArea")?;
    let cert_info = statement.bytes("certInfo")?;
    let chain = statement.chain()?;

    let (name_digest, name_algorithm, key) = read_public_area(public_area)?;
    if !key.is(statement)? {
        return Err(StatementError::TpmKeyMismatch);
    }
    let certified = Certified::read(cert_info)?;
    if certified.extra_data != digest.of(&statement.signed_bytes()) {
        return Err(StatementError::TpmExtraDataMismatch);
    }
    let name = [
        &name_algorithm.to_be_bytes()[..],
        &name_digest.of(public_area),
    ]
    .concat();
    if certified.name != name {
        return Err(StatementError::TpmNameMismatch);
    }
    let leaf = chain.first().ok_or(StatementError::Malformed("x5c"))?;
    if !scheme.suits(leaf.public_key().kind()) {
        return Err(StatementError::AlgorithmMismatch);
    }
    if !scheme.verifies(leaf.public_key(), cert_info, signature) {
        return Err(StatementError::SignatureInvalid);
    }
    check_leaf(leaf)?;
    statement.check_aaguid(leaf)?;
    Ok(Finding {
        attestation_type: AttestationType::AttCa,
        weak: scheme.is_weak(),
        chain,
    })
}

/// §8.3.1.
fn check_leaf(leaf: &Certificate) -> Result<(), StatementError> {
    let require = |holds: bool, rule: Requirement| {
        if holds {
            Ok(())
        } else {
            Err(StatementError::Requirement(rule))
        }
    };
    require(leaf.version() == 3, Requirement::Version)?;
    require(leaf.subject().is_empty(), Requirement::SubjectNotEmpty)?;
    let names = leaf.directory_names();
    let named = |oid| {
        names
            .iter()
            .any(|name| name.texts(oid).any(|text| !text.is_empty()))
    };
    require(
        named(MANUFACTURER) && named(MODEL) && named(VERSION),
        Requirement::SubjectAltName,
    )?;
    let purposes = leaf.extended_key_usage()?;
    require(
        purposes.contains(&oid::TCG_AIK_CERTIFICATE),
        Requirement::ExtendedKeyUsage,
    )?;
    check_not_authority(leaf)
}

/// The two parts of TPMS_ATTEST that matter.
struct Certified<'a> {
    extra_data: &'a [u8],
    name: &'a [u8],
}

impl<'a> Certified<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, StatementError> {
        let mut reader = Fields {
            rest: bytes,
            structure: "certInfo",
        };
        if reader.u32()? != GENERATED_VALUE || reader.u16()? != ST_ATTEST_CERTIFY {
            return Err(StatementError::TpmStructure(
                "certInfo is not of a certification",
            ));
        }
        // qualifiedSigner
        reader.sized()?;
        let extra_data = reader.sized()?;
        // clockInfo: clock, resetCount, restartCount, safe; firmwareVersion
        reader.take(25)?;
        let name = reader.sized()?;
        // qualifiedName
        reader.sized()?;
        reader.finish()?;
        Ok(Self { extra_data, name })
    }
}

/// The key in a TPMT_PUBLIC.
enum TpmKey<'a> {
    Rsa {
        modulus: &'a [u8],
        exponent: u32,
    },
    Ec {
        curve: Curve,
        x: &'a [u8],
        y: &'a [u8],
    },
}

impl TpmKey<'_> {
    /// Whether it is the credential's key.
    fn is(&self, statement: &Statement<'_, '_>) -> Result<bool, StatementError> {
        let Some(key) = statement.key.public_key() else {
            return self.is_unverifiable(statement);
        };
        let spki = key.spki();
        let Some(ours) = spki.and_then(|der| PublicKeyInfo::from_der(&der).ok()) else {
            return Err(StatementError::UnsupportedAlgorithm(
                statement.key.algorithm(),
            ));
        };
        Ok(match self {
            Self::Rsa { modulus, exponent } => {
                ours.rsa_numbers() == Some((unpadded(modulus), unpadded(&exponent.to_be_bytes())))
            }
            Self::Ec { curve, x, y } => {
                let point = ours.key_bytes().get(1..).unwrap_or_default();
                let (our_x, our_y) = point.split_at(point.len() / 2);
                ours.kind() == KeyKind::Ec(*curve)
                    && unpadded(our_x) == unpadded(x)
                    && unpadded(our_y) == unpadded(y)
            }
        })
    }
}

impl TpmKey<'_> {
    /// The same for a key that our assertion verifier cannot use: the FIDO conformance tools make RS1 credentials. Its numbers are
    /// compared as they stand in the COSE key.
    fn is_unverifiable(&self, statement: &Statement<'_, '_>) -> Result<bool, StatementError> {
        let number = |label| {
            let value = statement.credential.public_key_map.int(label);
            value.and_then(crate::cbor::Value::as_bytes).map(unpadded)
        };
        match (self, number(-1), number(-2)) {
            (Self::Rsa { modulus, exponent }, Some(n), Some(e)) => {
                Ok(n == unpadded(modulus) && e == unpadded(&exponent.to_be_bytes()))
            }
            (Self::Ec { .. }, Some(_), Some(_)) => Ok(false),
            _ => Err(StatementError::UnsupportedAlgorithm(
                statement.key.algorithm(),
            )),
        }
    }
}

/// TPMT_PUBLIC: the digest that names it, that digest's number, and the key.
fn read_public_area(bytes: &[u8]) -> Result<(Digest, u16, TpmKey<'_>), StatementError> {
    let mut reader = Fields {
        rest: bytes,
        structure: "pubArea",
    };
    let kind = reader.u16()?;
    let name_algorithm = reader.u16()?;
    let name_digest = match name_algorithm {
        0x0004 => Digest::Sha1,
        0x000b => Digest::Sha256,
        0x000c => Digest::Sha384,
        0x000d => Digest::Sha512,
        _ => {
            return Err(StatementError::TpmStructure(
                "pubArea's name algorithm is unknown",
            ));
        }
    };
    // objectAttributes, authPolicy
    reader.u32()?;
    reader.sized()?;
    // symmetric: with key bits and mode unless null
    if reader.u16()? != ALG_NULL {
        reader.take(4)?;
    }
    // scheme: with a hash unless null, and a count for ECDAA
    match reader.u16()? {
        ALG_NULL => {}
        ALG_ECDAA => {
            reader.take(4)?;
        }
        _ => {
            reader.take(2)?;
        }
    }
    let key = match kind {
        ALG_RSA => {
            reader.u16()?;
            let exponent = match reader.u32()? {
                0 => 65537,
                exponent => exponent,
            };
            TpmKey::Rsa {
                modulus: reader.sized()?,
                exponent,
            }
        }
        ALG_ECC => {
            let curve = match reader.u16()? {
                3 => Curve::P256,
                4 => Curve::P384,
                5 => Curve::P521,
                _ => return Err(StatementError::TpmStructure("pubArea's curve is unknown")),
            };
            if reader.u16()? != ALG_NULL {
                reader.take(2)?;
            }
            TpmKey::Ec {
                curve,
                x: reader.sized()?,
                y: reader.sized()?,
            }
        }
        _ => {
            return Err(StatementError::TpmStructure(
                "pubArea is of another kind of key",
            ));
        }
    };
    reader.finish()?;
    Ok((name_digest, name_algorithm, key))
}

/// Big-endian fields of a TPM structure.
struct Fields<'a> {
    rest: &'a [u8],
    structure: &'static str,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StatementError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(StatementError::TpmStructure(self.structure))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StatementError> {
        self.take(N)?
            .try_into()
            .map_err(|_| StatementError::TpmStructure(self.structure))
    }

    fn u16(&mut self) -> Result<u16, StatementError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, StatementError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A TPM2B: two bytes of length, then the bytes.
    fn sized(&mut self) -> Result<&'a [u8], StatementError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn finish(&self) -> Result<(), StatementError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(StatementError::TpmStructure(self.structure))
        }
    }
}
