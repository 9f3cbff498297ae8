//! PIN/UV auth protocols one and two (§6.5.6, §6.5.7): key agreement, encryption and authentication between us and the authenticator.
//!
//! Randomness (our ephemeral key, the initialisation vectors of protocol two) comes from the caller's [`Entropy`].
//! The authenticator's public key is checked to be on the curve; nothing else about it can be known.

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::cbor::{Item, Writer};
use crate::error::{Error, Refused, ReplyError};
use crate::port::Entropy;

/// Which PIN/UV auth protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PinProtocol {
    /// Protocol one: SHA-256 as KDF, zero initialisation vector, 16-byte authentication.
    One,
    /// Protocol two: HKDF, random initialisation vectors, 32-byte authentication.
    Two,
}

impl PinProtocol {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The first of the authenticator's protocols, in its order of preference, that we know (§6.5.8 leaves the choice to the platform).
    #[must_use]
    pub fn choose(theirs: &[u64]) -> Option<Self> {
        theirs.iter().find_map(|number| match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        })
    }
}

/// The authenticator's key-agreement key, on the curve or not: that is known at agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAgreementKey {
    x: [u8; 32],
    y: [u8; 32],
}

impl KeyAgreementKey {
    /// From a COSE_Key as §6.5.5.4 shapes it: kty EC2, crv P-256. `alg` (−25) is required by the specification and not looked at,
    /// as it names an algorithm that is not the one used.
    pub fn from_cose(item: &Item<'_>) -> Result<Self, ReplyError> {
        let invalid = ReplyError::Invalid("keyAgreement");
        if item.at(1).and_then(Item::integer) != Some(2)
            || item.at(-1).and_then(Item::integer) != Some(1)
        {
            return Err(invalid);
        }
        let coordinate = |key| {
            item.at(key)
                .and_then(Item::bytes)
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or(invalid)
        };
        Ok(Self {
            x: coordinate(-2)?,
            y: coordinate(-3)?,
        })
    }

    /// From an uncompressed point's coordinates.
    fn from_point(point: &[u8]) -> Result<Self, Refused> {
        let [4, coordinates @ ..] = point else {
            return Err(Refused::Crypto);
        };
        let (x, y) = coordinates.split_at_checked(32).ok_or(Refused::Crypto)?;
        Ok(Self {
            x: x.try_into().map_err(|_| Refused::Crypto)?,
            y: y.try_into().map_err(|_| Refused::Crypto)?,
        })
    }

    /// Writes the COSE_Key.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .map(5)
            .integer(1)
            .integer(2)
            .integer(3)
            .integer(-25)
            .integer(-1)
            .integer(1);
        writer.integer(-2).bytes(&self.x).integer(-3).bytes(&self.y);
    }

    fn point(&self) -> Vec<u8> {
        [&[4][..], &self.x, &self.y].concat()
    }
}

/// What both sides know after key agreement. Lives for one `authenticatorClientPIN` exchange; erased when dropped; has no `Debug`.
pub struct SharedSecret {
    protocol: PinProtocol,
    hmac_key: Zeroizing<[u8; 32]>,
    aes_key: Zeroizing<[u8; 32]>,
    platform_key: KeyAgreementKey,
}

struct Length32;

impl KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

impl SharedSecret {
    /// `encapsulate` (§6.5.4): a fresh key of ours, and the secret that it gives with the authenticator's.
    ///
    /// Errors: an authenticator key that is not on the curve is [`ReplyError::Invalid`].
    pub fn agree(
        protocol: PinProtocol,
        theirs: &KeyAgreementKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Error> {
        let ours = ephemeral(entropy)?;
        let public = ours.compute_public_key().map_err(|_| Refused::Crypto)?;
        let platform_key = KeyAgreementKey::from_point(public.as_ref())?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, theirs.point());
        let invalid = Error::from(ReplyError::Invalid("keyAgreement"));
        agreement::agree(&ours, peer, invalid, |z| {
            let mut hmac_key = Zeroizing::new([0; 32]);
            let mut aes_key = Zeroizing::new([0; 32]);
            match protocol {
                PinProtocol::One => {
                    let key = digest(&SHA256, z);
                    hmac_key.copy_from_slice(key.as_ref());
                    aes_key.copy_from_slice(key.as_ref());
                }
                PinProtocol::Two => {
                    let prk = Salt::new(HKDF_SHA256, &[0; 32]).extract(z);
                    let derive = |info: &[u8], out: &mut [u8; 32]| {
                        prk.expand(&[info], Length32)
                            .and_then(|okm| okm.fill(out))
                            .map_err(|_| Refused::Crypto)
                    };
                    derive(b"CTAP2 HMAC key", &mut hmac_key)?;
                    derive(b"CTAP2 AES key", &mut aes_key)?;
                }
            }
            Ok(Self {
                protocol,
                hmac_key,
                aes_key,
                platform_key,
            })
        })
    }

    /// The protocol that this secret belongs to.
    #[must_use]
    pub fn protocol(&self) -> PinProtocol {
        self.protocol
    }

    /// Our public key, to be sent along.
    #[must_use]
    pub fn platform_key(&self) -> &KeyAgreementKey {
        &self.platform_key
    }

    /// Encrypts whole AES blocks.
    pub fn encrypt(&self, plaintext: &[u8], entropy: &mut dyn Entropy) -> Result<Vec<u8>, Error> {
        let mut iv = [0_u8; 16];
        let mut out = Vec::with_capacity(plaintext.len().saturating_add(16));
        if self.protocol == PinProtocol::Two {
            entropy.fill(&mut iv)?;
            out.extend_from_slice(&iv);
        }
        let mut buffer = Zeroizing::new(plaintext.to_vec());
        let key = UnboundCipherKey::new(&AES_256, &*self.aes_key)
            .and_then(EncryptingKey::cbc)
            .map_err(|_| Refused::Crypto)?;
        key.less_safe_encrypt(
            &mut buffer,
            EncryptionContext::Iv128(FixedLength::from(&iv)),
        )
        .map_err(|_| Refused::Crypto)?;
        out.extend_from_slice(&buffer);
        Ok(out)
    }

    /// Decrypts what the authenticator encrypted; `what` names the member for the error when its length is wrong.
    pub fn decrypt(
        &self,
        ciphertext: &[u8],
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (iv, body) = match self.protocol {
            PinProtocol::One => ([0; 16], ciphertext),
            PinProtocol::Two => {
                let (iv, body) = ciphertext
                    .split_first_chunk::<16>()
                    .ok_or(ReplyError::Invalid(what))?;
                (*iv, body)
            }
        };
        if body.is_empty() || body.len() % 16 != 0 {
            return Err(ReplyError::Invalid(what).into());
        }
        let mut buffer = Zeroizing::new(body.to_vec());
        let key = UnboundCipherKey::new(&AES_256, &*self.aes_key)
            .and_then(DecryptingKey::cbc)
            .map_err(|_| Refused::Crypto)?;
        key.decrypt(
            &mut buffer,
            DecryptionContext::Iv128(FixedLength::from(&iv)),
        )
        .map_err(|_| Refused::Crypto)?;
        Ok(buffer)
    }

    /// `authenticate` with the shared secret (setPIN, changePIN).
    #[must_use]
    pub fn authenticate(&self, message: &[&[u8]]) -> Vec<u8> {
        authenticate(self.protocol, &*self.hmac_key, message)
    }
}

/// A `pinUvAuthToken`: authorises commands until it expires or its permissions are used up. Erased when dropped; has no `Debug`.
pub struct PinUvAuthToken {
    protocol: PinProtocol,
    token: Zeroizing<Vec<u8>>,
}

impl PinUvAuthToken {
    /// From the decrypted member: 32 bytes in protocol two, 16 or 32 in protocol one.
    pub(crate) fn new(
        protocol: PinProtocol,
        token: Zeroizing<Vec<u8>>,
    ) -> Result<Self, ReplyError> {
        match (protocol, token.len()) {
            (PinProtocol::One, 16 | 32) | (PinProtocol::Two, 32) => Ok(Self { protocol, token }),
            _ => Err(ReplyError::Invalid("pinUvAuthToken")),
        }
    }

    /// The protocol that this token belongs to.
    #[must_use]
    pub fn protocol(&self) -> PinProtocol {
        self.protocol
    }

    /// The `pinUvAuthParam` over `message`, whose parts are joined.
    #[must_use]
    pub fn authenticate(&self, message: &[&[u8]]) -> Vec<u8> {
        authenticate(self.protocol, &self.token, message)
    }
}

fn authenticate(protocol: PinProtocol, key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in message {
        context.update(part);
    }
    let tag = context.sign();
    let length = match protocol {
        PinProtocol::One => 16,
        PinProtocol::Two => 32,
    };
    tag.as_ref().iter().copied().take(length).collect()
}

/// A private key from 32 bytes of entropy. Bytes that are not below the group's order (one in 2³²) are drawn again.
fn ephemeral(entropy: &mut dyn Entropy) -> Result<PrivateKey, Error> {
    for _ in 0..4 {
        let mut scalar = Zeroizing::new([0_u8; 32]);
        entropy.fill(&mut *scalar)?;
        if let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, &*scalar) {
            return Ok(key);
        }
    }
    Err(Refused::Crypto.into())
}
