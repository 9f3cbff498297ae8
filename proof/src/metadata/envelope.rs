//! The JWS around a metadata BLOB (FIDO MDS 3.1 §3.2; RFC 7515): who signed it, and may they?
//!
//! Only what the header itself carries is used: `x5u` and `jku` are refused, `crit` is refused, `alg` must suit the
//! signer's key. JWS has ECDSA signatures as `r ‖ s`, unlike certificates.

use aws_lc_rs::signature as lc;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{MAX_LENGTH, MetadataError, MetadataExpectation};
use crate::base64url;
use crate::certificate::name::COMMON_NAME;
use crate::certificate::path::{self, MAX_CHAIN};
use crate::certificate::signature::{Curve, KeyKind};
use crate::certificate::{Certificate, PublicKeyInfo};

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Option<Vec<String>>,
    x5u: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
}

/// The payload of a BLOB whose signature and signer were verified.
pub(super) fn open(
    blob: &[u8],
    expectation: &MetadataExpectation<'_>,
) -> Result<Vec<u8>, MetadataError> {
    let blob = blob.trim_ascii();
    if blob.len() > MAX_LENGTH {
        return Err(MetadataError::TooLarge);
    }
    let mut parts = blob.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MetadataError::NotJws);
    };
    let signed = blob
        .get(..header.len().saturating_add(payload.len()).saturating_add(1))
        .ok_or(MetadataError::NotJws)?;
    let decode = |part: &[u8]| base64url::decode(part).map_err(|_| MetadataError::NotJws);
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| MetadataError::Header)?;
    let signature = decode(signature)?;
    let chain = signer(&header)?;
    let leaf = chain.first().ok_or(MetadataError::X5cMissing)?;
    let algorithm = algorithm(&header.alg, leaf.public_key())?;
    let roots: Vec<&Certificate> = expectation.roots.iter().collect();
    path::find(&chain, &roots, expectation.at).map_err(MetadataError::Path)?;
    if !bears(leaf, expectation.leaf_name) {
        return Err(MetadataError::LeafName);
    }
    lc::UnparsedPublicKey::new(algorithm, leaf.public_key().key_bytes())
        .verify(signed, &signature)
        .map_err(|_| MetadataError::Signature)?;
    decode(payload)
}

fn signer(header: &Header) -> Result<Vec<Certificate>, MetadataError> {
    if header.alg == "none" {
        return Err(MetadataError::AlgorithmNone);
    }
    if header.x5u.is_some() || header.jku.is_some() {
        return Err(MetadataError::X5u);
    }
    if header.crit.is_some() {
        return Err(MetadataError::Header);
    }
    let x5c = header.x5c.as_deref().unwrap_or_default();
    if x5c.is_empty() {
        return Err(MetadataError::X5cMissing);
    }
    if x5c.len() > MAX_CHAIN {
        return Err(MetadataError::TooLarge);
    }
    x5c.iter()
        .map(|text| {
            let der = STANDARD
                .decode(text)
                .map_err(|_| MetadataError::Certificate)?;
            Certificate::from_der(&der).map_err(|_| MetadataError::Certificate)
        })
        .collect()
}

/// RFC 7518 §3.1, as far as metadata has ever used it.
fn algorithm(
    name: &str,
    key: &PublicKeyInfo,
) -> Result<&'static dyn lc::VerificationAlgorithm, MetadataError> {
    Ok(match (name, key.kind()) {
        ("RS256", KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA256,
        ("RS384", KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA384,
        ("RS512", KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA512,
        ("PS256", KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA256,
        ("PS384", KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA384,
        ("PS512", KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA512,
        ("ES256", KeyKind::Ec(Curve::P256)) => &lc::ECDSA_P256_SHA256_FIXED,
        ("ES384", KeyKind::Ec(Curve::P384)) => &lc::ECDSA_P384_SHA384_FIXED,
        ("ES512", KeyKind::Ec(Curve::P521)) => &lc::ECDSA_P521_SHA512_FIXED,
        ("EdDSA" | "Ed25519", KeyKind::Ed25519) => &lc::ED25519,
        _ => return Err(MetadataError::Algorithm),
    })
}

/// Whether the certificate bears the name: among its DNS names, or as common name where it has none (RFC 6125 §6.4.4).
fn bears(leaf: &Certificate, name: &str) -> bool {
    let dns_names = leaf.dns_names();
    if dns_names.is_empty() {
        return leaf
            .subject()
            .texts(COMMON_NAME)
            .any(|common| common.eq_ignore_ascii_case(name));
    }
    dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name))
}
