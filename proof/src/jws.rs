//! JSON Web Signatures in compact form (RFC 7515 §7.1): taken apart strictly, not verified.
//!
//! Trusts nothing: the header is what an attacker wrote until its reader has checked the signature over [`Compact::signing_input`], which is kept
//! verbatim. Which algorithm, type and key are acceptable is the reader's (`permit`, `metadata`); a header never chooses a key by itself.

use serde_json::{Map, Value};

use crate::base64url;
use crate::json::{self, JsonError};

/// Why a text is not a compact JWS that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// More bytes than the caller's budget.
    #[error("JWS is too long")]
    TooLong,
    /// Not three parts of base64url without padding.
    #[error("not three base64url parts")]
    NotCompact,
    /// The header is not a JSON object, strictly.
    #[error("JWS header: {0}")]
    Header(JsonError),
    /// The header demands an extension (`crit`, RFC 7515 §4.1.11): we have none.
    #[error("JWS header has critical extensions")]
    Critical,
}

/// A compact JWS, taken apart. Not trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Compact<'t> {
    signing_input: &'t str,
    header: Map<String, Value>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

const HEADER: json::Rules = json::Rules {
    length: 131_072,
    depth: 8,
    integers: false,
    nfc: false,
};

impl<'t> Compact<'t> {
    /// Takes apart a token of at most `length` bytes.
    pub fn parse(token: &'t str, length: usize) -> Result<Compact<'t>, JwsError> {
        if token.len() > length {
            return Err(JwsError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::NotCompact)?;
        let part = |text: &str| base64url::decode(text).map_err(|_| JwsError::NotCompact);
        let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
        let Value::Object(header) = json::parse(&header, HEADER).map_err(JwsError::Header)? else {
            return Err(JwsError::Header(JsonError::NotJson));
        };
        if header.contains_key("crit") {
            return Err(JwsError::Critical);
        }
        Ok(Compact {
            signing_input,
            header,
            payload,
            signature,
        })
    }

    /// The exact text that is signed: header, dot, payload, as they came.
    #[must_use]
    pub fn signing_input(&self) -> &'t str {
        self.signing_input
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// A header parameter that is a text, such as `alg`, `typ`, `kid`.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// The payload's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload's bytes, taken out.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The signature's bytes, in the form of the JWA algorithm (ECDSA: `r ‖ s`).
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!(
            "{}.{}.{}",
            base64url::encode(header),
            base64url::encode("{}"),
            base64url::encode([1, 2])
        )
    }

    #[test]
    fn keeps_the_signed_text_verbatim() {
        let text = token(r#"{ "alg":"ES256","kid":"k"}"#);
        let jws = Compact::parse(&text, 1000).unwrap();
        assert_eq!(jws.signing_input(), text.rsplit_once('.').unwrap().0);
        assert_eq!(
            (jws.header_text("alg"), jws.header_text("typ")),
            (Some("ES256"), None)
        );
        assert_eq!((jws.payload(), jws.signature()), (&b"{}"[..], &[1, 2][..]));
    }

    #[test]
    fn refuses_by_name() {
        let refused = |text: &str| Compact::parse(text, 100).unwrap_err();
        assert_eq!(refused(&"a".repeat(101)), JwsError::TooLong);
        assert_eq!(refused("e30.e30"), JwsError::NotCompact);
        assert_eq!(refused("e30.e30.e30.e30"), JwsError::NotCompact);
        assert_eq!(refused("e30=.e30.e30"), JwsError::NotCompact);
        assert_eq!(refused(&token("[]")), JwsError::Header(JsonError::NotJson));
        assert_eq!(
            refused(&token(r#"{"alg":"ES256","alg":"none"}"#)),
            JwsError::Header(JsonError::DuplicateMember)
        );
        assert_eq!(
            refused(&token(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#)),
            JwsError::Critical
        );
    }
}
