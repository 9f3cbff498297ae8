//! The little DER that a card's keys and certificate requests need (X.690; RFC 5280 §4.1.2.7, RFC 2986): writing only.

use sceau_ctap::piv::{KeyKind, PublicKey};
use sceau_ctap::tlv;

const SEQUENCE: u32 = 0x30;
const SET: u32 = 0x31;
const INTEGER: u32 = 0x02;
const BIT_STRING: u32 = 0x03;
const NULL: &[u8] = &[0x05, 0x00];
const UTF8_STRING: u32 = 0x0c;
const OID: u32 = 0x06;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

fn element(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    tlv::write(&mut out, tag, &parts.concat());
    out
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = match number.first() {
        Some(first) if *first < 0x80 => &[],
        _ => &[0],
    };
    element(INTEGER, &[sign, number])
}

/// subjectPublicKeyInfo of a key as the card gave it.
#[must_use]
pub fn subject_public_key_info(key: &PublicKey) -> Vec<u8> {
    let (algorithm, bits) = match key {
        PublicKey::Point(point) => {
            // 04 ‖ x ‖ y: the kind was checked when the point was read.
            let curve = if point.len() > 65 { P384 } else { P256 };
            let algorithm = [element(OID, &[EC_PUBLIC_KEY]), element(OID, &[curve])].concat();
            (algorithm, point.clone())
        }
        PublicKey::Rsa { modulus, exponent } => {
            let algorithm = [&element(OID, &[RSA_ENCRYPTION])[..], NULL].concat();
            let numbers = [unsigned(modulus), unsigned(exponent)].concat();
            (algorithm, element(SEQUENCE, &[&numbers]))
        }
    };
    element(
        SEQUENCE,
        &[
            &element(SEQUENCE, &[&algorithm]),
            &element(BIT_STRING, &[&[0], &bits]),
        ],
    )
}

/// What is signed of a certificate request: certificationRequestInfo with a common name and no attributes.
#[must_use]
pub fn request_info(common_name: &str, public_key: &[u8]) -> Vec<u8> {
    let attribute = element(
        SEQUENCE,
        &[
            &element(OID, &[COMMON_NAME]),
            &element(UTF8_STRING, &[common_name.as_bytes()]),
        ],
    );
    let subject = element(SEQUENCE, &[&element(SET, &[&attribute])]);
    element(
        SEQUENCE,
        &[&unsigned(&[0]), &subject, public_key, &[0xa0, 0x00]],
    )
}

/// The whole request, with the card's signature (over SHA-256) of `info`.
#[must_use]
pub fn request(info: &[u8], kind: KeyKind, signature: &[u8]) -> Vec<u8> {
    let algorithm = match kind {
        KeyKind::P256 | KeyKind::P384 => element(OID, &[ECDSA_WITH_SHA256]),
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
            [&element(OID, &[SHA256_WITH_RSA])[..], NULL].concat()
        }
    };
    element(
        SEQUENCE,
        &[
            info,
            &element(SEQUENCE, &[&algorithm]),
            &element(BIT_STRING, &[&[0], signature]),
        ],
    )
}

/// PEM (RFC 7468).
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData;
    use sceau_proof::certificate::PublicKeyInfo;

    use super::*;

    #[test]
    fn keys_of_cards_are_written_as_others_write_them() {
        for (algorithm, kind) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384),
        ] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let spki = pair.subject_public_key_info();
            let point = PublicKeyInfo::from_der(&spki).unwrap().key_bytes().to_vec();
            assert_eq!(
                subject_public_key_info(&PublicKey::Point(point)),
                spki,
                "{kind:?}"
            );
        }
        let modulus = [&[0xc1][..], &[7; 255]].concat();
        let key = PublicKey::Rsa {
            modulus: modulus.clone(),
            exponent: vec![1, 0, 1],
        };
        let read = PublicKeyInfo::from_der(&subject_public_key_info(&key)).unwrap();
        assert_eq!(read.rsa_numbers(), Some((&modulus[..], &[1, 0, 1][..])));
    }

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem("CERTIFICATE REQUEST", &[0xff; 100]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.iter().map(|line| line.len()).collect::<Vec<_>>(),
            [35, 64, 64, 8, 33]
        );
    }
}
