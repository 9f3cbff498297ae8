//! Public keys as authenticators give them: COSE_Key (RFC 9052 §7, RFC 9053, RFC 8230, RFC 9864) narrowed to what WebAuthn L3 §5.8.5 allows.
//!
//! A [`PublicKey`] is parsed once and verifies many times. What a key says about itself must agree: `alg` with `kty` with `crv`, coordinates of
//! exactly the curve's length, points on the curve, RSA of 2048 to 8192 bits. The cryptography is AWS-LC's. Whether a relying party *wants* an
//! algorithm is policy, elsewhere; Ed448 and everything over SHA-1 are not implemented.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    self as sig, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use der::{Decode as _, Reader as _, asn1};

use crate::cbor::{self, CborError, Map, Rules, Value};

/// A signature algorithm, by its name in the COSE registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (−7).
    Es256,
    /// The same, fully specified (−9).
    Esp256,
    /// ECDSA on P-384 with SHA-384 (−35).
    Es384,
    /// The same, fully specified (−51).
    Esp384,
    /// ECDSA on P-521 with SHA-512 (−36).
    Es512,
    /// The same, fully specified (−52).
    Esp512,
    /// EdDSA; WebAuthn fixes the curve to Ed25519 (−8).
    EdDsa,
    /// The same, fully specified (−19).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (−257).
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (−258).
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (−259).
    Rs512,
    /// RSASSA-PSS with SHA-256 (−37).
    Ps256,
    /// RSASSA-PSS with SHA-384 (−38).
    Ps384,
    /// RSASSA-PSS with SHA-512 (−39).
    Ps512,
    /// ECDSA on secp256k1 with SHA-256 (−47).
    Es256k,
    /// ML-DSA-44 (−48).
    MlDsa44,
    /// ML-DSA-65 (−49).
    MlDsa65,
    /// ML-DSA-87 (−50).
    MlDsa87,
}

/// The shape of key that an algorithm takes.
enum Family {
    Ec {
        crv: i64,
        coordinate: usize,
        oid: &'static str,
        verify: &'static dyn VerificationAlgorithm,
    },
    Ed25519,
    Rsa(&'static RsaParameters),
    MlDsa {
        length: usize,
        oid: &'static str,
        verify: &'static dyn VerificationAlgorithm,
    },
}

const ALL: [Algorithm; 18] = [
    Algorithm::Es256,
    Algorithm::Esp256,
    Algorithm::Es384,
    Algorithm::Esp384,
    Algorithm::Es512,
    Algorithm::Esp512,
    Algorithm::EdDsa,
    Algorithm::Ed25519,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256k,
    Algorithm::MlDsa44,
    Algorithm::MlDsa65,
    Algorithm::MlDsa87,
];

impl Algorithm {
    /// The algorithm with this number in the COSE registry, when we verify it.
    #[must_use]
    pub fn from_cose_id(id: i64) -> Option<Algorithm> {
        ALL.into_iter().find(|a| a.cose_id() == id)
    }

    /// The number in the COSE registry.
    #[must_use]
    pub fn cose_id(self) -> i64 {
        match self {
            Algorithm::Es256 => -7,
            Algorithm::Esp256 => -9,
            Algorithm::Es384 => -35,
            Algorithm::Esp384 => -51,
            Algorithm::Es512 => -36,
            Algorithm::Esp512 => -52,
            Algorithm::EdDsa => -8,
            Algorithm::Ed25519 => -19,
            Algorithm::Rs256 => -257,
            Algorithm::Rs384 => -258,
            Algorithm::Rs512 => -259,
            Algorithm::Ps256 => -37,
            Algorithm::Ps384 => -38,
            Algorithm::Ps512 => -39,
            Algorithm::Es256k => -47,
            Algorithm::MlDsa44 => -48,
            Algorithm::MlDsa65 => -49,
            Algorithm::MlDsa87 => -50,
        }
    }

    fn family(self) -> Family {
        match self {
            Algorithm::Es256 | Algorithm::Esp256 => Family::Ec {
                crv: 1,
                coordinate: 32,
                oid: "1.2.840.10045.3.1.7",
                verify: &sig::ECDSA_P256_SHA256_ASN1,
            },
            Algorithm::Es384 | Algorithm::Esp384 => Family::Ec {
                crv: 2,
                coordinate: 48,
                oid: "1.3.132.0.34",
                verify: &sig::ECDSA_P384_SHA384_ASN1,
            },
            Algorithm::Es512 | Algorithm::Esp512 => Family::Ec {
                crv: 3,
                coordinate: 66,
                oid: "1.3.132.0.35",
                verify: &sig::ECDSA_P521_SHA512_ASN1,
            },
            Algorithm::EdDsa | Algorithm::Ed25519 => Family::Ed25519,
            Algorithm::Rs256 => Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Family::Rsa(&sig::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Family::Rsa(&sig::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Family::Rsa(&sig::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256k => Family::Ec {
                crv: 8,
                coordinate: 32,
                oid: "1.3.132.0.10",
                verify: &sig::ECDSA_P256K1_SHA256_ASN1,
            },
            Algorithm::MlDsa44 => Family::MlDsa {
                length: 1312,
                oid: "2.16.840.1.101.3.4.3.17",
                verify: &sig::ML_DSA_44,
            },
            Algorithm::MlDsa65 => Family::MlDsa {
                length: 1952,
                oid: "2.16.840.1.101.3.4.3.18",
                verify: &sig::ML_DSA_65,
            },
            Algorithm::MlDsa87 => Family::MlDsa {
                length: 2592,
                oid: "2.16.840.1.101.3.4.3.19",
                verify: &sig::ML_DSA_87,
            },
        }
    }
}

/// Why bytes are not a public key that we verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The COSE_Key is not acceptable CBOR.
    #[error("COSE key: {0}")]
    Cbor(#[from] CborError),
    /// The COSE_Key is not a map.
    #[error("COSE key is not a map")]
    NotAMap,
    /// A parameter is absent or of another type than its definition says (its COSE label).
    #[error("COSE key parameter {0} is missing or of the wrong type")]
    Parameter(i64),
    /// An algorithm that we do not verify.
    #[error("COSE algorithm {0} is not supported")]
    UnsupportedAlgorithm(i64),
    /// `kty` is not that of the algorithm.
    #[error("key type does not belong to the algorithm")]
    KeyTypeMismatch,
    /// `crv` is not that of the algorithm.
    #[error("curve does not belong to the algorithm")]
    CurveMismatch,
    /// A coordinate, modulus or exponent of the wrong length or with leading zeros.
    #[error("key parameter has the wrong length")]
    WrongLength,
    /// Not a point on the curve, or not a valid key.
    #[error("not a valid key of its kind")]
    InvalidKey,
    /// RSA outside 2048 to 8192 bits.
    #[error("RSA modulus is outside 2048 to 8192 bits")]
    RsaSize,
    /// Not a SubjectPublicKeyInfo.
    #[error("not a SubjectPublicKeyInfo")]
    Spki,
}

/// The signature does not verify under the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

/// A public key, parsed and valid for its algorithm; cheap to clone, reusable from many threads. That it belongs to anyone is not implied.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads a COSE_Key that is the whole of `bytes`.
    pub fn from_cose(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        let value = cbor::parse(bytes, Rules::STRICT)?;
        Self::from_cose_map(value.as_map().ok_or(KeyError::NotAMap)?)
    }

    /// Reads a COSE_Key that was already parsed.
    pub fn from_cose_map(map: &Map<'_>) -> Result<PublicKey, KeyError> {
        let kty = int(map, 1)?;
        let id = int(map, 3)?;
        let algorithm = Algorithm::from_cose_id(id).ok_or(KeyError::UnsupportedAlgorithm(id))?;
        match algorithm.family() {
            Family::Ec {
                crv, coordinate, ..
            } => {
                expect(kty == 2, KeyError::KeyTypeMismatch)?;
                expect(int(map, -1)? == crv, KeyError::CurveMismatch)?;
                let (x, y) = (bytes(map, -2)?, bytes(map, -3)?);
                expect(
                    x.len() == coordinate && y.len() == coordinate,
                    KeyError::WrongLength,
                )?;
                Self::from_raw(algorithm, &[&[4], x, y].concat())
            }
            Family::Ed25519 => {
                expect(kty == 1, KeyError::KeyTypeMismatch)?;
                expect(int(map, -1)? == 6, KeyError::CurveMismatch)?;
                Self::from_raw(algorithm, bytes(map, -2)?)
            }
            Family::Rsa(parameters) => {
                expect(kty == 3, KeyError::KeyTypeMismatch)?;
                Self::from_rsa(algorithm, parameters, bytes(map, -1)?, bytes(map, -2)?)
            }
            Family::MlDsa { .. } => {
                expect(kty == 7, KeyError::KeyTypeMismatch)?;
                Self::from_raw(algorithm, bytes(map, -1)?)
            }
        }
    }

    /// Reads a DER SubjectPublicKeyInfo (a certificate's) for use with `algorithm`, with which its own identifiers must agree.
    pub fn from_spki(spki: &[u8], algorithm: Algorithm) -> Result<PublicKey, KeyError> {
        let Spki {
            algorithm: oid,
            curve,
            key,
        } = split_spki(spki).map_err(|_| KeyError::Spki)?;
        match algorithm.family() {
            Family::Ec { oid: expected, .. } => {
                expect(oid == "1.2.840.10045.2.1", KeyError::KeyTypeMismatch)?;
                expect(curve.as_deref() == Some(expected), KeyError::CurveMismatch)?;
                Self::from_raw(algorithm, key)
            }
            Family::Ed25519 => {
                expect(oid == "1.3.101.112", KeyError::KeyTypeMismatch)?;
                Self::from_raw(algorithm, key)
            }
            Family::Rsa(parameters) => {
                expect(oid == "1.2.840.113549.1.1.1", KeyError::KeyTypeMismatch)?;
                let (n, e) = split_rsa(key).map_err(|_| KeyError::Spki)?;
                Self::from_rsa(algorithm, parameters, n, e)
            }
            Family::MlDsa { oid: expected, .. } => {
                expect(oid == expected, KeyError::KeyTypeMismatch)?;
                Self::from_raw(algorithm, key)
            }
        }
    }

    /// Takes a key in its algorithm's raw form: SEC 1 uncompressed point, Ed25519 or ML-DSA public key. RSA keys have none.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<PublicKey, KeyError> {
        let (length, verify): (usize, &'static dyn VerificationAlgorithm) = match algorithm.family()
        {
            Family::Ec {
                coordinate, verify, ..
            } => {
                expect(raw.first() == Some(&4), KeyError::InvalidKey)?;
                (coordinate.saturating_mul(2).saturating_add(1), verify)
            }
            Family::Ed25519 => (32, &sig::ED25519),
            Family::MlDsa { length, verify, .. } => (length, verify),
            Family::Rsa(_) => return Err(KeyError::KeyTypeMismatch),
        };
        expect(raw.len() == length, KeyError::WrongLength)?;
        let key = ParsedPublicKey::new(verify, raw).map_err(|_| KeyError::InvalidKey)?;
        Ok(PublicKey {
            algorithm,
            key: Arc::new(key),
        })
    }

    fn from_rsa(
        algorithm: Algorithm,
        parameters: &'static RsaParameters,
        n: &[u8],
        e: &[u8],
    ) -> Result<PublicKey, KeyError> {
        // RFC 8230 §4: no leading zero octets. Exponents beyond 32 bits only make verification slow.
        expect(
            n.first().is_some_and(|b| *b != 0) && e.first().is_some_and(|b| *b != 0),
            KeyError::WrongLength,
        )?;
        expect(
            e.len() <= 4 && e.last().is_some_and(|b| b & 1 == 1) && e != [1],
            KeyError::InvalidKey,
        )?;
        let bits = n
            .len()
            .saturating_mul(8)
            .saturating_sub(n.first().map_or(0, |b| b.leading_zeros() as usize));
        expect((2048..=8192).contains(&bits), KeyError::RsaSize)?;
        let key = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(parameters)
            .map_err(|_| KeyError::InvalidKey)?;
        Ok(PublicKey {
            algorithm,
            key: Arc::new(key),
        })
    }

    /// Verifies `signature` over `message`. ECDSA signatures are DER, as WebAuthn has them.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.key
            .verify_sig(message, signature)
            .map_err(|_| BadSignature)
    }

    /// The algorithm that this key is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SEC 1 uncompressed point (`04 ‖ x ‖ y`) of an elliptic-curve key, which U2F statements sign.
    #[must_use]
    pub fn uncompressed_point(&self) -> Option<&[u8]> {
        match self.algorithm.family() {
            Family::Ec { .. } => Some(self.key.as_ref().as_ref()),
            _ => None,
        }
    }

    /// The key as DER SubjectPublicKeyInfo, to compare it with a certificate's. None only when AWS-LC cannot encode it.
    #[must_use]
    pub fn spki(&self) -> Option<Vec<u8>> {
        self.key.as_der().ok().map(|der| der.as_ref().to_vec())
    }
}

fn expect(holds: bool, otherwise: KeyError) -> Result<(), KeyError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn int(map: &Map<'_>, label: i64) -> Result<i64, KeyError> {
    map.int(label)
        .and_then(Value::as_int)
        .ok_or(KeyError::Parameter(label))
}

fn bytes<'m>(map: &'m Map<'_>, label: i64) -> Result<&'m [u8], KeyError> {
    map.int(label)
        .and_then(Value::as_bytes)
        .ok_or(KeyError::Parameter(label))
}

/// A SubjectPublicKeyInfo, taken apart.
struct Spki<'a> {
    algorithm: String,
    curve: Option<String>,
    key: &'a [u8],
}

fn split_spki(spki: &[u8]) -> Result<Spki<'_>, der::Error> {
    let info = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(spki)?;
    let parameters = info.algorithm.parameters;
    let curve = parameters.and_then(|p| p.decode_as::<asn1::ObjectIdentifier>().ok());
    Ok(Spki {
        algorithm: info.algorithm.oid.to_string(),
        curve: curve.map(|oid| oid.to_string()),
        key: info
            .subject_public_key
            .as_bytes()
            .ok_or(der::ErrorKind::Failed)?,
    })
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 A.1.1), without leading zeros.
fn split_rsa(key: &[u8]) -> Result<(&[u8], &[u8]), der::Error> {
    let mut reader = der::SliceReader::new(key)?;
    let pair = reader.sequence(|r| {
        Ok((
            asn1::UintRef::decode(r)?.as_bytes(),
            asn1::UintRef::decode(r)?.as_bytes(),
        ))
    })?;
    reader.finish(pair)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };

    use super::*;

    /// A COSE_Key from (label, CBOR-encoded value) pairs.
    fn cose(pairs: &[(i64, Vec<u8>)]) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.map(pairs.len() as u64).unwrap();
        for (label, value) in pairs {
            e.i64(*label).unwrap().writer_mut().extend_from_slice(value);
        }
        e.into_writer()
    }

    fn num(i: i64) -> Vec<u8> {
        minicbor::to_vec(i).unwrap()
    }

    fn bstr(b: &[u8]) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.bytes(b).unwrap();
        e.into_writer()
    }

    fn p256() -> (EcdsaKeyPair, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        (pair, point)
    }

    fn es256(point: &[u8]) -> Vec<(i64, Vec<u8>)> {
        vec![
            (1, num(2)),
            (3, num(-7)),
            (-1, num(1)),
            (-2, bstr(&point[1..33])),
            (-3, bstr(&point[33..])),
        ]
    }

    #[test]
    fn verifies_with_es256_from_cose_and_from_spki() {
        let (pair, point) = p256();
        let signature = pair
            .sign(&aws_lc_rs::rand::SystemRandom::new(), b"message")
            .unwrap();
        let key = PublicKey::from_cose(&cose(&es256(&point))).unwrap();
        assert_eq!(key.verify(b"message", signature.as_ref()), Ok(()));
        assert_eq!(
            key.verify(b"massage", signature.as_ref()),
            Err(BadSignature)
        );
        assert_eq!(key.uncompressed_point(), Some(&point[..]));
        let spki = key.spki().unwrap();
        let again = PublicKey::from_spki(&spki, Algorithm::Es256).unwrap();
        assert_eq!(again.verify(b"message", signature.as_ref()), Ok(()));
        assert_eq!(
            PublicKey::from_spki(&spki, Algorithm::Es384).unwrap_err(),
            KeyError::CurveMismatch
        );
        assert_eq!(
            PublicKey::from_spki(&spki, Algorithm::Rs256).unwrap_err(),
            KeyError::KeyTypeMismatch
        );
        assert_eq!(
            PublicKey::from_spki(&spki[1..], Algorithm::Es256).unwrap_err(),
            KeyError::Spki
        );
    }

    #[test]
    fn verifies_with_ed25519() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = pair.public_key().as_ref();
        let key = PublicKey::from_cose(&cose(&[
            (1, num(1)),
            (3, num(-8)),
            (-1, num(6)),
            (-2, bstr(x)),
        ]))
        .unwrap();
        assert_eq!(
            key.verify(b"message", pair.sign(b"message").as_ref()),
            Ok(())
        );
        assert_eq!(key.algorithm().cose_id(), -8);
        assert_eq!(key.uncompressed_point(), None);
        assert!(PublicKey::from_spki(&key.spki().unwrap(), Algorithm::Ed25519).is_ok());
    }

    #[test]
    fn refuses_keys_that_disagree_with_themselves() {
        let (_, point) = p256();
        let with = |label: i64, value: Option<Vec<u8>>| {
            let mut pairs: Vec<_> = es256(&point)
                .into_iter()
                .filter(|(l, _)| *l != label)
                .collect();
            pairs.extend(value.map(|v| (label, v)));
            PublicKey::from_cose(&cose(&pairs)).unwrap_err()
        };
        assert_eq!(with(3, None), KeyError::Parameter(3));
        assert_eq!(with(3, Some(bstr(b"-7"))), KeyError::Parameter(3));
        assert_eq!(
            with(3, Some(num(-65535))),
            KeyError::UnsupportedAlgorithm(-65535)
        );
        assert_eq!(with(3, Some(num(-35))), KeyError::CurveMismatch);
        assert_eq!(with(3, Some(num(-257))), KeyError::KeyTypeMismatch);
        assert_eq!(with(1, Some(num(1))), KeyError::KeyTypeMismatch);
        assert_eq!(with(-1, Some(num(2))), KeyError::CurveMismatch);
        assert_eq!(with(-2, Some(bstr(&point[2..33]))), KeyError::WrongLength);
        assert_eq!(with(-3, Some(vec![0xf5])), KeyError::Parameter(-3));
        assert_eq!(with(-3, Some(bstr(&[7; 32]))), KeyError::InvalidKey);
        assert_eq!(
            PublicKey::from_cose(&[0x01]).unwrap_err(),
            KeyError::NotAMap
        );
        let mut twice = es256(&point);
        twice.push((3, num(-7)));
        assert_eq!(
            PublicKey::from_cose(&cose(&twice)).unwrap_err(),
            KeyError::Cbor(CborError::DuplicateKey)
        );
    }

    #[test]
    fn refuses_weak_rsa() {
        let rsa = |n: &[u8], e: &[u8]| {
            PublicKey::from_cose(&cose(&[
                (1, num(3)),
                (3, num(-257)),
                (-1, bstr(n)),
                (-2, bstr(e)),
            ]))
        };
        let mut n = vec![0xab; 256];
        n[255] = 1;
        let e = [1, 0, 1];
        assert!(rsa(&n, &e).is_ok());
        assert_eq!(rsa(&n[128..], &e).unwrap_err(), KeyError::RsaSize);
        assert_eq!(
            rsa(&[&[0x7f][..], &n[1..]].concat(), &e).unwrap_err(),
            KeyError::RsaSize
        );
        assert_eq!(
            rsa(&[&[0][..], &n].concat(), &e).unwrap_err(),
            KeyError::WrongLength
        );
        assert_eq!(rsa(&n, &[1]).unwrap_err(), KeyError::InvalidKey);
        assert_eq!(rsa(&n, &[2]).unwrap_err(), KeyError::InvalidKey);
        assert_eq!(rsa(&n, &[]).unwrap_err(), KeyError::WrongLength);
    }

    #[test]
    fn every_algorithm_has_one_number() {
        for algorithm in ALL {
            assert_eq!(
                Algorithm::from_cose_id(algorithm.cose_id()),
                Some(algorithm)
            );
        }
        assert_eq!(Algorithm::from_cose_id(-53), None);
    }
}
