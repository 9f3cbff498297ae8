//! The JWS around a metadata BLOB (FIDO MDS 3.1 §3.2; RFC 7515): who signed it, and may they?
//!
//! Only what the header itself carries is used: `x5u` and `jku` are refused, `crit` is refused, `alg` must suit the
//! signer's key. JWS has ECDSA signatures as `r ‖ s`, unlike certificates.

use aws_lc_rs::signature as lc;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{MAX_LENGTH, MetadataError, MetadataExpectation};
use crate::certificate::name::COMMON_NAME;
use crate::certificate::path::{self, MAX_CHAIN};
use crate::certificate::signature::{Curve, KeyKind};
use crate::certificate::{Certificate, PublicKeyInfo};
use crate::jws::{Compact, JwsError};

/// The payload of a BLOB whose signature and signer were verified.
pub(super) fn open(
    blob: &[u8],
    expectation: &MetadataExpectation<'_>,
) -> Result<Vec<u8>, MetadataError> {
    let text = std::str::from_utf8(blob.trim_ascii()).map_err(|_| MetadataError::NotJws)?;
    let jws = Compact::parse(text, MAX_LENGTH).map_err(|error| match error {
        JwsError::TooLong => MetadataError::TooLarge,
        JwsError::NotCompact => MetadataError::NotJws,
        JwsError::Header(_) | JwsError::Critical => MetadataError::Header,
    })?;
    let name = jws.header_text("alg").ok_or(MetadataError::Header)?;
    if name == "none" {
        return Err(MetadataError::AlgorithmNone);
    }
    if jws.header().contains_key("x5u") || jws.header().contains_key("jku") {
        return Err(MetadataError::X5u);
    }
    let chain = signer(jws.header().get("x5c"))?;
    let leaf = chain.first().ok_or(MetadataError::X5cMissing)?;
    let algorithm = algorithm(name, leaf.public_key())?;
    let roots: Vec<&Certificate> = expectation.roots.iter().collect();
    path::find(&chain, &roots, expectation.at).map_err(MetadataError::Path)?;
    if !bears(leaf, expectation.leaf_name) {
        return Err(MetadataError::LeafName);
    }
    lc::UnparsedPublicKey::new(algorithm, leaf.public_key().key_bytes())
        .verify(jws.signing_input().as_bytes(), jws.signature())
        .map_err(|_| MetadataError::Signature)?;
    Ok(jws.into_payload())
}

fn signer(x5c: Option<&Value>) -> Result<Vec<Certificate>, MetadataError> {
    let texts = match x5c {
        Some(Value::Array(texts)) if !texts.is_empty() => texts,
        Some(Value::Array(_)) | None => return Err(MetadataError::X5cMissing),
        Some(_) => return Err(MetadataError::Header),
    };
    if texts.len() > MAX_CHAIN {
        return Err(MetadataError::TooLarge);
    }
    texts
        .iter()
        .map(|text| {
            let der = STANDARD
                .decode(text.as_str().ok_or(MetadataError::Header)?)
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
