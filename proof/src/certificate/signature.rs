//! Verifies signatures made by certified keys: certificate links, attestation statements, metadata.
//!
//! AWS-LC does the mathematics; this file only says which scheme goes with which key. SHA-1 is here for two reasons
//! only: TPM statements (`RS1`, COSE -65535) that Windows makes to this day, and roots of before 2012. It is marked
//! ([`Scheme::is_weak`]), so that policy can refuse what it signed. Curves and moduli that AWS-LC does not verify
//! (Ed448, RSA under 2048 bits) are [`KeyKind::Other`] or simply fail.

use aws_lc_rs::signature as lc;

use super::PublicKeyInfo;

/// A hash function of a signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, broken for collisions; see the file comment.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &aws_lc_rs::digest::SHA256,
            Self::Sha384 => &aws_lc_rs::digest::SHA384,
            Self::Sha512 => &aws_lc_rs::digest::SHA512,
        };
        aws_lc_rs::digest::digest(algorithm, bytes)
            .as_ref()
            .to_vec()
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Digest),
    /// RSASSA-PSS with MGF1 and a salt of the same digest.
    RsaPss(Digest),
    /// ECDSA, DER-encoded.
    Ecdsa(Digest),
    /// The same, on that curve only: COSE's fully specified algorithms (RFC 9864).
    EcdsaOn(Curve, Digest),
    /// Ed25519.
    Ed25519,
}

impl Scheme {
    /// The scheme of a COSE algorithm identifier, as attestation statements name it.
    #[must_use]
    pub fn of_cose(algorithm: i64) -> Option<Self> {
        Some(match algorithm {
            -7 => Self::Ecdsa(Digest::Sha256),
            -35 => Self::Ecdsa(Digest::Sha384),
            -36 => Self::Ecdsa(Digest::Sha512),
            -9 => Self::EcdsaOn(Curve::P256, Digest::Sha256),
            -51 => Self::EcdsaOn(Curve::P384, Digest::Sha384),
            -52 => Self::EcdsaOn(Curve::P521, Digest::Sha512),
            -8 | -19 => Self::Ed25519,
            -257 => Self::RsaPkcs1(Digest::Sha256),
            -258 => Self::RsaPkcs1(Digest::Sha384),
            -259 => Self::RsaPkcs1(Digest::Sha512),
            -37 => Self::RsaPss(Digest::Sha256),
            -38 => Self::RsaPss(Digest::Sha384),
            -39 => Self::RsaPss(Digest::Sha512),
            -65535 => Self::RsaPkcs1(Digest::Sha1),
            _ => return None,
        })
    }

    /// The hash function, where the scheme has one of its own to name.
    #[must_use]
    pub fn digest(self) -> Option<Digest> {
        match self {
            Self::RsaPkcs1(digest)
            | Self::RsaPss(digest)
            | Self::Ecdsa(digest)
            | Self::EcdsaOn(_, digest) => Some(digest),
            Self::Ed25519 => None,
        }
    }

    /// Whether the scheme rests on SHA-1.
    #[must_use]
    pub fn is_weak(self) -> bool {
        self.digest() == Some(Digest::Sha1)
    }

    /// Whether the scheme can be used with that kind of key at all.
    #[must_use]
    pub fn suits(self, kind: KeyKind) -> bool {
        self.algorithm(kind).is_some()
    }

    /// Whether `signature` is this scheme's signature over `message` by `key`. A key of another kind never verifies.
    #[must_use]
    pub fn verifies(self, key: &PublicKeyInfo, message: &[u8], signature: &[u8]) -> bool {
        let Some(algorithm) = self.algorithm(key.kind()) else {
            return false;
        };
        lc::UnparsedPublicKey::new(algorithm, key.key_bytes())
            .verify(message, signature)
            .is_ok()
    }

    fn algorithm(self, kind: KeyKind) -> Option<&'static dyn lc::VerificationAlgorithm> {
        use Digest::{Sha1, Sha256, Sha384, Sha512};
        Some(match (self, kind) {
            (Self::RsaPkcs1(Sha1), KeyKind::Rsa) => {
                &lc::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (Self::RsaPkcs1(Sha256), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaPkcs1(Sha384), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaPkcs1(Sha512), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA512,
            (Self::RsaPss(Sha256), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA256,
            (Self::RsaPss(Sha384), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA384,
            (Self::RsaPss(Sha512), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA512,
            (Self::Ecdsa(Sha256), KeyKind::Ec(Curve::P256)) => &lc::ECDSA_P256_SHA256_ASN1,
            (Self::Ecdsa(Sha384), KeyKind::Ec(Curve::P256)) => &lc::ECDSA_P256_SHA384_ASN1,
            (Self::Ecdsa(Sha512), KeyKind::Ec(Curve::P256)) => &lc::ECDSA_P256_SHA512_ASN1,
            (Self::Ecdsa(Sha256), KeyKind::Ec(Curve::P384)) => &lc::ECDSA_P384_SHA256_ASN1,
            (Self::Ecdsa(Sha384), KeyKind::Ec(Curve::P384)) => &lc::ECDSA_P384_SHA384_ASN1,
            (Self::Ecdsa(Sha512), KeyKind::Ec(Curve::P384)) => &lc::ECDSA_P384_SHA512_ASN1,
            (Self::Ecdsa(Sha256), KeyKind::Ec(Curve::P521)) => &lc::ECDSA_P521_SHA256_ASN1,
            (Self::Ecdsa(Sha384), KeyKind::Ec(Curve::P521)) => &lc::ECDSA_P521_SHA384_ASN1,
            (Self::Ecdsa(Sha512), KeyKind::Ec(Curve::P521)) => &lc::ECDSA_P521_SHA512_ASN1,
            (Self::EcdsaOn(curve, digest), KeyKind::Ec(on)) if curve == on => {
                return Self::Ecdsa(digest).algorithm(kind);
            }
            (Self::Ed25519, KeyKind::Ed25519) => &lc::ED25519,
            _ => return None,
        })
    }
}

/// A named curve of a certified key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

/// What a certified key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// ECDSA or ECDH on a NIST curve.
    Ec(Curve),
    /// Ed25519.
    Ed25519,
    /// Anything else; never verifies.
    Other,
}
