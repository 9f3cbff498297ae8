//! base64url without padding (RFC 4648 §5), the only binary text form of our wire formats.
//!
//! Strict: no padding, no whitespace, no other alphabet, and the unused bits of the last character must be zero, so that one value has one text.
//! Decoding trusts nothing; how long a value may be is the caller's budget.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserializer, Serializer, de};

/// The text is not base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64url without padding")]
pub struct NotBase64Url;

/// Encodes without padding.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes; refuses padding and non-canonical last characters.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64Url)
}

/// Decodes exactly `N` bytes.
pub fn decode_array<const N: usize>(text: impl AsRef<[u8]>) -> Result<[u8; N], NotBase64Url> {
    decode(text)?.try_into().map_err(|_| NotBase64Url)
}

/// For `#[serde(with = "base64url")]` on `Vec<u8>`.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

/// For `#[serde(with = "base64url")]` on `Vec<u8>`. Decodes from the borrowed text, without an intermediate string.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("base64url without padding")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            decode(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Visitor)
}

/// For `#[serde(with = "base64url::array")]` on byte arrays.
pub mod array {
    use serde::{Deserializer, Serializer, de};

    /// The text of the bytes.
    pub fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::serialize(bytes, serializer)
    }

    /// Exactly `N` bytes.
    pub fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let bytes = super::deserialize(deserializer)?;
        bytes
            .try_into()
            .map_err(|_| de::Error::custom("not of the expected length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_nothing_else() {
        assert_eq!(encode([0xfb, 0xff]), "-_8");
        assert_eq!(decode("-_8"), Ok(vec![0xfb, 0xff]));
        for wrong in ["-_8=", "+/8", "-_9", "-_ 8", "-", "-_8\n"] {
            assert_eq!(decode(wrong), Err(NotBase64Url), "{wrong}");
        }
        assert_eq!(decode_array::<3>("-_8"), Err(NotBase64Url));
    }
}
