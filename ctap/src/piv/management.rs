//! The management key 9B (SP 800-73-4 Part 2 §3.2.4, appendix A.1): mutual authentication, and its replacement.
//!
//! AES by AWS-LC. Triple DES, which cards still ship with as default, by the `des` crate: AWS-LC's own sits behind a feature that turns on
//! every binding of the provider for the whole product. It protects nothing here but the right to administer a card that is in the hand.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use des::TdesEde3;
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use super::key::{CHALLENGE, RESPONSE, WITNESS};
use super::{PivCard, done, structure};
use crate::error::{Error, Refused, ReplyError};
use crate::port::{ApduPort, Entropy};
use crate::tlv;

const REFERENCE: u8 = 0x9b;
/// Yubico's SET MANAGEMENT KEY.
const SET_MANAGEMENT_KEY: u8 = 0xff;

/// The management key's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManagementAlgorithm {
    /// Triple DES with three keys.
    TripleDes,
    /// AES-128.
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl ManagementAlgorithm {
    /// The algorithm identifier (SP 800-78-4 table 6-2).
    #[must_use]
    pub fn identifier(self) -> u8 {
        match self {
            Self::TripleDes => 0x03,
            Self::Aes128 => 0x08,
            Self::Aes192 => 0x0a,
            Self::Aes256 => 0x0c,
        }
    }

    /// Bytes of the key.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn block_length(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

/// A management key. Has no `Debug` and erases itself.
pub struct ManagementKey {
    algorithm: ManagementAlgorithm,
    key: Zeroizing<Vec<u8>>,
}

/// The key that cards ship with: 01 02 … 08, three times.
const DEFAULT: [u8; 24] = [
    1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8,
];

impl ManagementKey {
    /// From bytes of the algorithm's length.
    pub fn new(algorithm: ManagementAlgorithm, key: &[u8]) -> Result<Self, Refused> {
        if key.len() != algorithm.key_length() {
            return Err(Refused::Argument("management key"));
        }
        Ok(Self {
            algorithm,
            key: Zeroizing::new(key.to_vec()),
        })
    }

    /// A fresh random key.
    pub fn random(
        algorithm: ManagementAlgorithm,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let mut key = Zeroizing::new(vec![0; algorithm.key_length()]);
        entropy.fill(&mut key).map_err(|_| Refused::NoEntropy)?;
        Ok(Self { algorithm, key })
    }

    /// The key that cards ship with, which everybody knows. `algorithm` is triple DES, or AES-192 on newer cards.
    pub fn danger_default(algorithm: ManagementAlgorithm) -> Result<Self, Refused> {
        Self::new(algorithm, &DEFAULT)
    }

    /// Whether this is the key that everybody knows.
    #[must_use]
    pub fn is_default(&self) -> bool {
        verify_slices_are_equal(&self.key, &DEFAULT).is_ok()
    }

    /// The key's bytes, to be stored where the operator keeps such keys.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.key
    }

    fn aes(&self) -> Result<UnboundCipherKey, Refused> {
        let algorithm = match self.algorithm {
            ManagementAlgorithm::Aes128 => &AES_128,
            ManagementAlgorithm::Aes192 => &AES_192,
            _ => &AES_256,
        };
        UnboundCipherKey::new(algorithm, &self.key).map_err(|_| Refused::Crypto)
    }

    /// One block, encrypted.
    fn encrypt(&self, block: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut block = block.to_vec();
        if self.algorithm == ManagementAlgorithm::TripleDes {
            let cipher = TdesEde3::new_from_slice(&self.key).map_err(|_| Refused::Crypto)?;
            cipher.encrypt_block(
                block
                    .as_mut_slice()
                    .try_into()
                    .map_err(|_| Refused::Crypto)?,
            );
        } else {
            let key = EncryptingKey::ecb(self.aes()?).map_err(|_| Refused::Crypto)?;
            key.less_safe_encrypt(&mut block, EncryptionContext::None)
                .map_err(|_| Refused::Crypto)?;
        }
        Ok(block)
    }

    /// One block, decrypted.
    fn decrypt(&self, block: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut block = block.to_vec();
        if self.algorithm == ManagementAlgorithm::TripleDes {
            let cipher = TdesEde3::new_from_slice(&self.key).map_err(|_| Refused::Crypto)?;
            cipher.decrypt_block(
                block
                    .as_mut_slice()
                    .try_into()
                    .map_err(|_| Refused::Crypto)?,
            );
        } else {
            let key = DecryptingKey::ecb(self.aes()?).map_err(|_| Refused::Crypto)?;
            key.decrypt(&mut block, DecryptionContext::None)
                .map_err(|_| Refused::Crypto)?;
        }
        Ok(block)
    }
}

impl<P: ApduPort> PivCard<P> {
    /// Mutual authentication (appendix A.1.2): the card learns that we have the key, and we that it does.
    ///
    /// Errors: [`Error::Card`] for a wrong key; [`ReplyError::Invalid`] for a card that does not have it either.
    pub fn authenticate_management(
        &mut self,
        key: &ManagementKey,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Error> {
        let identifier = key.algorithm.identifier();
        let length = key.algorithm.block_length();
        // Witness: the card's random block, encrypted.
        let mut ask = Vec::new();
        tlv::write(&mut ask, WITNESS, &[]);
        let answer = self.authenticate(identifier, REFERENCE, &ask)?;
        let witness = tlv::find(&answer, WITNESS)
            .ok()
            .flatten()
            .filter(|witness| witness.len() == length);
        let witness = key.decrypt(witness.ok_or(structure("witness"))?)?;
        // Challenge: ours, which the card encrypts.
        let mut challenge = vec![0; length];
        entropy.fill(&mut challenge)?;
        let mut proof = Vec::new();
        tlv::write(&mut proof, WITNESS, &witness);
        tlv::write(&mut proof, CHALLENGE, &challenge);
        let answer = self.authenticate(identifier, REFERENCE, &proof)?;
        let response = tlv::find(&answer, RESPONSE)
            .ok()
            .flatten()
            .ok_or(structure("response"))?;
        verify_slices_are_equal(response, &key.encrypt(&challenge)?)
            .map_err(|_| ReplyError::Invalid("response").into())
    }

    /// Replaces the management key (Yubico's command), after authentication with the old one.
    pub fn set_management_key(&mut self, new: &ManagementKey, touch: bool) -> Result<(), Error> {
        if new.is_default() {
            return Err(Refused::Argument("management key").into());
        }
        let mut data = Zeroizing::new(Vec::with_capacity(64));
        data.extend_from_slice(&[new.algorithm.identifier(), REFERENCE]);
        data.push(u8::try_from(new.key.len()).map_err(|_| Refused::Argument("management key"))?);
        data.extend_from_slice(&new.key);
        done(self.tell(
            SET_MANAGEMENT_KEY,
            0xff,
            if touch { 0xfe } else { 0xff },
            &data,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_encrypted_as_the_standards_examples() {
        // FIPS 197 appendix C.1 to C.3; triple DES: NIST SP 800-20 style known answer (variable plaintext, keys all 01).
        let plain = hex::decode("00112233445566778899aabbccddeeff").unwrap();
        for (algorithm, key, cipher) in [
            (
                ManagementAlgorithm::Aes128,
                "000102030405060708090a0b0c0d0e0f",
                "69c4e0d86a7b0430d8cdb78070b4c55a",
            ),
            (
                ManagementAlgorithm::Aes192,
                "000102030405060708090a0b0c0d0e0f1011121314151617",
                "dda97ca4864cdfe06eaf70a0ec0d7191",
            ),
            (
                ManagementAlgorithm::Aes256,
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "8ea2b7ca516745bfeafc49904b496089",
            ),
        ] {
            let key = ManagementKey::new(algorithm, &hex::decode(key).unwrap()).unwrap();
            assert_eq!(hex::encode(key.encrypt(&plain).unwrap()), cipher);
            assert_eq!(key.decrypt(&hex::decode(cipher).unwrap()).unwrap(), plain);
        }
        let key = ManagementKey::new(ManagementAlgorithm::TripleDes, &[1; 24]).unwrap();
        let block = hex::decode("8000000000000000").unwrap();
        assert_eq!(
            hex::encode(key.encrypt(&block).unwrap()),
            "95f8a5e5dd31d900"
        );
        assert_eq!(
            key.decrypt(&hex::decode("95f8a5e5dd31d900").unwrap())
                .unwrap(),
            block
        );
    }

    #[test]
    fn the_key_that_everybody_knows_is_known_as_such() {
        assert!(
            ManagementKey::danger_default(ManagementAlgorithm::TripleDes)
                .unwrap()
                .is_default()
        );
        assert!(
            ManagementKey::danger_default(ManagementAlgorithm::Aes192)
                .unwrap()
                .is_default()
        );
        assert!(
            !ManagementKey::new(ManagementAlgorithm::Aes192, &[7; 24])
                .unwrap()
                .is_default()
        );
        assert!(ManagementKey::danger_default(ManagementAlgorithm::Aes256).is_err());
    }
}
