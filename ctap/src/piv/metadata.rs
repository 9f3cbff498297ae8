//! What a card tells of a slot (Yubico's GET METADATA, also in others' applets): algorithm, policies, public key, whether a default is still there.
//!
//! A claim like everything a card says; it chooses words and the card to ask, and is never evidence.

use super::{KeyKind, ManagementAlgorithm, PivCard, PublicKey, Slot};
use crate::error::{Error, StatusWord};
use crate::port::ApduPort;
use crate::tlv;

const GET_METADATA: u8 = 0xf7;
const MANAGEMENT_KEY: u8 = 0x9b;

/// What is said of one slot. Members that the card leaves out, or that are not understood, are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Algorithm identifier (SP 800-78-4 table 6-2).
    pub algorithm: Option<u8>,
    /// PIN policy: 1 never, 2 once, 3 always.
    pub pin_policy: Option<u8>,
    /// Touch policy: 1 never, 2 always, 3 cached.
    pub touch_policy: Option<u8>,
    /// Whether the key was generated on the card.
    pub generated: Option<bool>,
    /// The public key.
    pub public_key: Option<PublicKey>,
    /// Whether a PIN, PUK or management key is still the one that the card shipped with.
    pub is_default: Option<bool>,
}

impl Metadata {
    /// Reads the answer's elements; what is not TLV is nothing.
    #[must_use]
    pub fn read(answer: &[u8]) -> Self {
        let find = |tag| tlv::find(answer, tag).ok().flatten();
        let byte = |tag| match find(tag) {
            Some([byte]) => Some(*byte),
            _ => None,
        };
        let algorithm = byte(0x01);
        let (pin_policy, touch_policy) = match find(0x02) {
            Some([pin, touch]) => (Some(*pin), Some(*touch)),
            _ => (None, None),
        };
        let kind = algorithm.and_then(KeyKind::of_identifier);
        let public_key = kind.zip(find(0x04)).and_then(|(kind, content)| {
            let mut whole = Vec::new();
            tlv::write(&mut whole, 0x7f49, content);
            PublicKey::read(&whole, kind).ok()
        });
        Self {
            algorithm,
            pin_policy,
            touch_policy,
            generated: byte(0x03).map(|origin| origin == 1),
            public_key,
            is_default: byte(0x05).map(|byte| byte == 1),
        }
    }

    /// What kind of key the slot holds.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        self.algorithm.and_then(KeyKind::of_identifier)
    }

    /// Whether using the key waits for a touch; `None` when the card does not say.
    #[must_use]
    pub fn wants_touch(&self) -> Option<bool> {
        self.touch_policy.map(|policy| policy != 1)
    }

    /// The management key's algorithm, of metadata of that key.
    #[must_use]
    pub fn management_algorithm(&self) -> Option<ManagementAlgorithm> {
        use ManagementAlgorithm as A;
        [A::TripleDes, A::Aes128, A::Aes192, A::Aes256]
            .into_iter()
            .find(|algorithm| Some(algorithm.identifier()) == self.algorithm)
    }
}

impl<P: ApduPort> PivCard<P> {
    /// What the card says of `slot`; `None` on cards without metadata and for empty slots.
    pub fn metadata(&mut self, slot: Slot) -> Result<Option<Metadata>, Error> {
        self.metadata_of(slot.reference())
    }

    /// What the card says of its management key; `None` on cards without metadata.
    pub fn management_metadata(&mut self) -> Result<Option<Metadata>, Error> {
        self.metadata_of(MANAGEMENT_KEY)
    }

    fn metadata_of(&mut self, reference: u8) -> Result<Option<Metadata>, Error> {
        let response = self.send(GET_METADATA, 0x00, reference, &[])?;
        Ok((response.status == StatusWord::SUCCESS).then(|| Metadata::read(&response.data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_oddities_are_none() {
        let point = [&[4][..], &[7; 64]].concat();
        let mut answer = vec![0x01, 1, 0x11, 0x02, 2, 3, 2, 0x03, 1, 1];
        let mut key = Vec::new();
        tlv::write(&mut key, 0x86, &point);
        tlv::write(&mut answer, 0x04, &key);
        let metadata = Metadata::read(&answer);
        assert_eq!(metadata.kind(), Some(KeyKind::P256));
        assert_eq!(metadata.public_key, Some(PublicKey::Point(point)));
        assert_eq!(metadata.wants_touch(), Some(true));
        assert_eq!(metadata.generated, Some(true));
        assert_eq!(Metadata::read(&answer[..20]), Metadata::default());
        assert_eq!(Metadata::read(&[0x02, 1, 3]).wants_touch(), None);
        let management = Metadata::read(&[0x01, 1, 0x0a, 0x05, 1, 1]);
        assert_eq!(
            management.management_algorithm(),
            Some(ManagementAlgorithm::Aes192)
        );
        assert_eq!(management.is_default, Some(true));
    }
}
