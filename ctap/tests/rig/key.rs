//! An honest authenticator in memory: getInfo, clientPIN with both protocols, makeCredential, getAssertion.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use sceau_ctap::cbor::{self, Item, Writer};

use super::{PIN, RP_ID, sha256};

const TOKEN: [u8; 32] = [0x5a; 32];
const SCALAR: [u8; 32] = [0x33; 32];

/// An honest authenticator.
pub(crate) struct Key {
    /// The reply to getInfo.
    pub(crate) info: Vec<u8>,
    /// Set PIN, in NFC.
    pub(crate) pin: Option<String>,
    pub(crate) retries: u64,
    /// Credentials that it holds.
    pub(crate) credentials: Vec<Vec<u8>>,
    /// Most credentials that it takes in one list.
    pub(crate) most_in_list: usize,
    /// Keep-alives before an answer that needs a touch.
    pub(crate) keepalives: usize,
    /// `up: false` is refused, as old firmware does.
    pub(crate) no_silent: bool,
    /// Every message received, command byte first.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Permissions of the last token; zeroed by use.
    pub(crate) permissions: u64,
    pub(crate) cancelled: bool,
    /// Answers given instead of honest ones, by command byte: status byte, then whatever.
    pub(crate) lies: BTreeMap<u8, Vec<u8>>,
}

pub(crate) type SharedKey = Rc<RefCell<Key>>;

/// getInfo of a CTAP 2.1 key with a PIN set.
pub(crate) fn info_2_1() -> Vec<u8> {
    let mut m = Writer::new();
    m.map(7)
        .unsigned(1)
        .array(2)
        .text("FIDO_2_0")
        .text("FIDO_2_1");
    m.unsigned(2)
        .array(2)
        .text("credProtect")
        .text("minPinLength");
    m.unsigned(3).bytes(&[0xab; 16]);
    m.unsigned(4)
        .map(4)
        .text("rk")
        .bool(true)
        .text("clientPin")
        .bool(true)
        .text("makeCredUvNotRqd")
        .bool(true);
    m.text("pinUvAuthToken").bool(true);
    m.unsigned(5)
        .unsigned(1200)
        .unsigned(6)
        .array(2)
        .unsigned(2)
        .unsigned(1)
        .unsigned(7)
        .unsigned(8);
    m.into_bytes()
}

/// getInfo of a CTAP 2.0 key with a PIN set, which states no list limit.
pub(crate) fn info_2_0() -> Vec<u8> {
    let mut m = Writer::new();
    m.map(4)
        .unsigned(1)
        .array(2)
        .text("U2F_V2")
        .text("FIDO_2_0");
    m.unsigned(3).bytes(&[0xab; 16]);
    m.unsigned(4)
        .map(2)
        .text("rk")
        .bool(true)
        .text("clientPin")
        .bool(true);
    m.unsigned(6).array(1).unsigned(1);
    m.into_bytes()
}

impl Key {
    pub(crate) fn new(info: Vec<u8>) -> SharedKey {
        Rc::new(RefCell::new(Self {
            info,
            pin: Some(PIN.to_owned()),
            retries: 8,
            credentials: vec![vec![7; 64]],
            most_in_list: 8,
            keepalives: 3,
            no_silent: false,
            requests: Vec::new(),
            permissions: 0,
            cancelled: false,
            lies: BTreeMap::new(),
        }))
    }

    /// How many keep-alives precede the answer to `message`.
    pub(super) fn keepalives_for(&self, message: &[u8]) -> usize {
        let silent = message.first() == Some(&2)
            && cbor::read(&message[1..]).is_ok_and(|m| {
                m.at(5).and_then(|o| o.named("up")).and_then(Item::bool) == Some(false)
            });
        if matches!(message.first(), Some(1 | 2 | 0x0b)) && !silent {
            self.keepalives
        } else {
            0
        }
    }

    /// The answer: status byte, then CBOR.
    pub(crate) fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        self.requests.push(message.to_vec());
        let (command, body) = message.split_first().expect("a command byte");
        if let Some(lie) = self.lies.get(command) {
            return lie.clone();
        }
        assert!(
            body.is_empty() || cbor::is_canonical(body),
            "CTAP2 canonical form: {}",
            hex::encode(message)
        );
        let map = if body.is_empty() {
            cbor::read(&[0xa0]).unwrap()
        } else {
            cbor::read(body).unwrap()
        };
        let result = match command {
            0x01 => self.make_credential(&map),
            0x02 => self.get_assertion(&map),
            0x04 => Ok(self.info.clone()),
            0x06 => self.client_pin(&map),
            0x08 => self.next_assertion(),
            0x0b => Ok(Vec::new()),
            _ => Err(0x01),
        };
        match result {
            Ok(reply) => [&[0], reply.as_slice()].concat(),
            Err(status) => vec![status],
        }
    }

    fn client_pin(&mut self, m: &Item<'_>) -> Result<Vec<u8>, u8> {
        let protocol = m.at(1).and_then(Item::unsigned).ok_or(0x14)?;
        let mut reply = Writer::new();
        match m.at(2).and_then(Item::unsigned).ok_or(0x14)? {
            1 => {
                reply.map(1).unsigned(3).unsigned(self.retries);
            }
            2 => {
                let point = PrivateKey::from_private_key(&ECDH_P256, &SCALAR)
                    .unwrap()
                    .compute_public_key()
                    .unwrap();
                let point = point.as_ref();
                reply
                    .map(1)
                    .unsigned(1)
                    .map(5)
                    .integer(1)
                    .integer(2)
                    .integer(3)
                    .integer(-25)
                    .integer(-1)
                    .integer(1);
                reply
                    .integer(-2)
                    .bytes(&point[1..33])
                    .integer(-3)
                    .bytes(&point[33..65]);
            }
            sub @ (3 | 4) => {
                let secret = Secret::agree(protocol, m.at(3).ok_or(0x14)?);
                let new = m.at(5).and_then(Item::bytes).ok_or(0x14)?;
                let hash = m.at(6).and_then(Item::bytes).unwrap_or_default();
                if m.at(4).and_then(Item::bytes)
                    != Some(&secret.authenticate(&[new, hash].concat()))
                {
                    return Err(0x33);
                }
                if sub == 4 {
                    self.check_pin(&secret.decrypt(hash))?;
                } else if self.pin.is_some() {
                    return Err(0x33);
                }
                let padded = secret.decrypt(new);
                assert_eq!(padded.len(), 64);
                self.pin = Some(
                    String::from_utf8(padded.into_iter().take_while(|b| *b != 0).collect())
                        .unwrap(),
                );
                return Ok(Vec::new());
            }
            sub @ (5 | 9) => {
                let secret = Secret::agree(protocol, m.at(3).ok_or(0x14)?);
                self.check_pin(&secret.decrypt(m.at(6).and_then(Item::bytes).ok_or(0x14)?))?;
                self.permissions = if sub == 5 {
                    3
                } else {
                    m.at(9).and_then(Item::unsigned).ok_or(0x14)?
                };
                if sub == 9 && m.at(10).and_then(Item::text) != Some(RP_ID) {
                    return Err(0x14);
                }
                reply.map(1).unsigned(2).bytes(&secret.encrypt(&TOKEN));
            }
            _ => return Err(0x3e),
        }
        Ok(reply.into_bytes())
    }

    fn check_pin(&mut self, hash: &[u8]) -> Result<(), u8> {
        let pin = self.pin.as_ref().ok_or(0x35)?;
        if self.retries == 0 {
            return Err(0x32);
        }
        if hash != &sha256(pin.as_bytes())[..16] {
            self.retries -= 1;
            return Err(0x31);
        }
        self.retries = 8;
        Ok(())
    }

    /// Whether the user is verified, by a parameter that must be right when it is there.
    fn verified(
        &self,
        m: &Item<'_>,
        hash: &[u8],
        param: i64,
        protocol: i64,
        permission: u64,
    ) -> Result<bool, u8> {
        let Some(param) = m.at(param).and_then(Item::bytes) else {
            return Ok(false);
        };
        let length = if m.at(protocol).and_then(Item::unsigned) == Some(1) {
            16
        } else {
            32
        };
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &TOKEN), hash);
        if param != &tag.as_ref()[..length] {
            return Err(0x33);
        }
        if self.permissions & permission == 0 {
            Err(0x40)
        } else {
            Ok(true)
        }
    }

    fn list(&self, item: Option<&Item<'_>>) -> Result<Vec<Vec<u8>>, u8> {
        let list: Vec<Vec<u8>> = item
            .and_then(Item::array)
            .unwrap_or_default()
            .iter()
            .map(|d| d.named("id").and_then(Item::bytes).unwrap().to_vec())
            .collect();
        if list.len() > self.most_in_list {
            Err(0x15)
        } else {
            Ok(list)
        }
    }

    fn make_credential(&mut self, m: &Item<'_>) -> Result<Vec<u8>, u8> {
        let hash = m.at(1).and_then(Item::bytes).ok_or(0x14)?;
        let verified = self.verified(m, hash, 8, 9, 1)?;
        let rp_id = m
            .at(2)
            .and_then(|rp| rp.named("id"))
            .and_then(Item::text)
            .ok_or(0x14)?;
        if self
            .list(m.at(5))?
            .iter()
            .any(|id| self.credentials.contains(id))
        {
            return Err(0x19);
        }
        self.permissions = 0;
        let id = vec![0xc0 + self.credentials.len() as u8; 64];
        self.credentials.push(id.clone());
        let mut statement = Writer::new();
        statement
            .map(2)
            .text("alg")
            .integer(-7)
            .text("sig")
            .bytes(&[0x30, 0x00]);
        let mut reply = Writer::new();
        reply
            .map(3)
            .unsigned(1)
            .text("packed")
            .unsigned(2)
            .bytes(&authenticator_data(
                rp_id,
                0x01 | verified_flag(verified),
                Some(&id),
            ));
        reply.unsigned(3).raw(&statement.into_bytes());
        Ok(reply.into_bytes())
    }

    fn get_assertion(&mut self, m: &Item<'_>) -> Result<Vec<u8>, u8> {
        let hash = m.at(2).and_then(Item::bytes).ok_or(0x14)?;
        let verified = self.verified(m, hash, 6, 7, 2)?;
        let up = m
            .at(5)
            .and_then(|o| o.named("up"))
            .and_then(Item::bool)
            .unwrap_or(true);
        if !up && self.no_silent {
            return Err(0x2b);
        }
        let rp_id = m.at(1).and_then(Item::text).ok_or(0x14)?;
        let list = self.list(m.at(3))?;
        let held: Vec<&Vec<u8>> = self
            .credentials
            .iter()
            .filter(|id| list.is_empty() || list.contains(id))
            .collect();
        let id = held.first().ok_or(0x2e)?;
        if up {
            self.permissions = 0;
        }
        let count = if list.is_empty() {
            held.len() as u64
        } else {
            1
        };
        Ok(assertion(
            rp_id,
            u8::from(up) | verified_flag(verified),
            id,
            count,
        ))
    }

    fn next_assertion(&mut self) -> Result<Vec<u8>, u8> {
        let asked = self
            .requests
            .iter()
            .filter(|r| r.first() == Some(&8))
            .count();
        let id = self.credentials.get(asked).ok_or(0x30)?;
        Ok(assertion(RP_ID, 0x05, id, 1))
    }
}

fn verified_flag(verified: bool) -> u8 {
    if verified { 0x04 } else { 0 }
}

pub(crate) fn authenticator_data(rp_id: &str, flags: u8, credential: Option<&[u8]>) -> Vec<u8> {
    let mut data = sha256(rp_id.as_bytes()).to_vec();
    data.push(flags | if credential.is_some() { 0x40 } else { 0 });
    data.extend_from_slice(&[0, 0, 0, 9]);
    if let Some(id) = credential {
        data.extend_from_slice(&[0xab; 16]);
        data.extend_from_slice(&(id.len() as u16).to_be_bytes());
        data.extend_from_slice(id);
        let mut key = Writer::new();
        key.map(5)
            .integer(1)
            .integer(2)
            .integer(3)
            .integer(-7)
            .integer(-1)
            .integer(1)
            .integer(-2)
            .bytes(&[1; 32])
            .integer(-3)
            .bytes(&[2; 32]);
        data.extend_from_slice(&key.into_bytes());
    }
    data
}

pub(crate) fn assertion(rp_id: &str, flags: u8, id: &[u8], count: u64) -> Vec<u8> {
    let mut m = Writer::new();
    m.map(if count == 1 { 3 } else { 4 })
        .unsigned(1)
        .map(2)
        .text("id")
        .bytes(id)
        .text("type")
        .text("public-key");
    m.unsigned(2)
        .bytes(&authenticator_data(rp_id, flags, None))
        .unsigned(3)
        .bytes(&[0x30, 0x01, 0x02]);
    if count != 1 {
        m.unsigned(5).unsigned(count);
    }
    m.into_bytes()
}

/// The authenticator's side of the PIN/UV protocols.
struct Secret {
    protocol: u64,
    hmac: Vec<u8>,
    aes: Vec<u8>,
}

impl Secret {
    fn agree(protocol: u64, theirs: &Item<'_>) -> Self {
        let point = [
            &[4],
            theirs.at(-2).unwrap().bytes().unwrap(),
            theirs.at(-3).unwrap().bytes().unwrap(),
        ]
        .concat();
        let ours = PrivateKey::from_private_key(&ECDH_P256, &SCALAR).unwrap();
        agree(&ours, UnparsedPublicKey::new(&ECDH_P256, point), (), |z| {
            // HKDF by hand: extract with a zero salt, one block of expand.
            let prk = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), z);
            let expand = |info: &[u8]| {
                hmac::sign(
                    &hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref()),
                    &[info, &[1]].concat(),
                )
                .as_ref()
                .to_vec()
            };
            Ok(match protocol {
                1 => Self {
                    protocol,
                    hmac: sha256(z).to_vec(),
                    aes: sha256(z).to_vec(),
                },
                _ => Self {
                    protocol,
                    hmac: expand(b"CTAP2 HMAC key"),
                    aes: expand(b"CTAP2 AES key"),
                },
            })
        })
        .unwrap()
    }

    fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.hmac), message);
        tag.as_ref()[..if self.protocol == 1 { 16 } else { 32 }].to_vec()
    }

    fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let iv = if self.protocol == 1 {
            [0; 16]
        } else {
            [0x77; 16]
        };
        let mut buffer = plain.to_vec();
        let key = EncryptingKey::cbc(UnboundCipherKey::new(&AES_256, &self.aes).unwrap()).unwrap();
        key.less_safe_encrypt(
            &mut buffer,
            EncryptionContext::Iv128(FixedLength::from(&iv)),
        )
        .unwrap();
        if self.protocol == 1 {
            buffer
        } else {
            [&iv[..], &buffer].concat()
        }
    }

    fn decrypt(&self, cipher: &[u8]) -> Vec<u8> {
        let (iv, body) = if self.protocol == 1 {
            ([0; 16], cipher)
        } else {
            (cipher[..16].try_into().unwrap(), &cipher[16..])
        };
        let mut buffer = body.to_vec();
        let key = DecryptingKey::cbc(UnboundCipherKey::new(&AES_256, &self.aes).unwrap()).unwrap();
        key.decrypt(
            &mut buffer,
            DecryptionContext::Iv128(FixedLength::from(&iv)),
        )
        .unwrap();
        buffer
    }
}
