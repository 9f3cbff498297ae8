//! Client data (WebAuthn L3 §5.8.1): what the browser or agent says about the ceremony, of which the authenticator signs the digest.
//!
//! Trusts nothing. The exact bytes are kept beside the view of them, since the signature covers the bytes. Stricter than the specification's
//! "JSON parser" where two parsers could disagree about what was signed: invalid UTF-8 and a member that occurs twice are refused. A leading
//! byte order mark is stripped, as §7.2 step 8 demands. Unknown members are allowed, as the specification demands.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess};

/// Longest client data that is read; browsers send a few hundred bytes.
pub const MAX_LENGTH: usize = 16_384;

/// Most members that are read.
pub const MAX_MEMBERS: usize = 64;

/// Why bytes are not client data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientDataError {
    /// More bytes or members than the budget.
    #[error("client data is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("client data is not UTF-8")]
    InvalidUtf8,
    /// Not one JSON object.
    #[error("client data is not a JSON object")]
    NotJson,
    /// A member occurs twice.
    #[error("client data has a duplicate member")]
    DuplicateMember,
    /// A known member is absent, or not of its type.
    #[error("client data: `{0}` is missing or of the wrong type")]
    Member(&'static str),
}

/// Client data: the exact bytes and the view of them. Not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedClientData<'a> {
    bytes: &'a [u8],
    type_: Cow<'a, str>,
    challenge: Cow<'a, str>,
    origin: Cow<'a, str>,
    cross_origin: Option<bool>,
    top_origin: Option<Cow<'a, str>>,
}

impl<'a> CollectedClientData<'a> {
    /// Reads client data that is the whole of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<CollectedClientData<'a>, ClientDataError> {
        if bytes.len() > MAX_LENGTH {
            return Err(ClientDataError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ClientDataError::InvalidUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut fault = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let parsed = json.deserialize_map(Members {
            bytes,
            fault: &mut fault,
        });
        match (parsed, fault) {
            (_, Some(fault)) => Err(fault),
            (Ok(client_data), None) if json.end().is_ok() => Ok(client_data),
            _ => Err(ClientDataError::NotJson),
        }
    }

    /// The exact bytes, whose SHA-256 is signed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// `webauthn.create` or `webauthn.get`, or anything.
    #[must_use]
    pub fn type_(&self) -> &str {
        &self.type_
    }

    /// The challenge, base64url as sent.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The origin that the client says it saw.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the ceremony ran in a frame of another origin; absent on older clients.
    #[must_use]
    pub fn cross_origin(&self) -> Option<bool> {
        self.cross_origin
    }

    /// The top-level origin, when the ceremony ran in a frame of another origin.
    #[must_use]
    pub fn top_origin(&self) -> Option<&str> {
        self.top_origin.as_deref()
    }
}

/// A member's value, as far as client data has types.
enum Member<'de> {
    Text(Cow<'de, str>),
    Bool(bool),
    Other,
}

struct Members<'f, 'a> {
    bytes: &'a [u8],
    fault: &'f mut Option<ClientDataError>,
}

impl<'de> de::Visitor<'de> for Members<'_, 'de> {
    type Value = CollectedClientData<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut members: A,
    ) -> Result<CollectedClientData<'de>, A::Error> {
        let fault = self.fault;
        let mut fail = |kind: ClientDataError| -> A::Error {
            *fault = Some(kind);
            de::Error::custom(kind)
        };
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(8);
        let (mut type_, mut challenge, mut origin, mut cross_origin, mut top_origin) =
            (None, None, None, None, None);
        while let Some(Name(name)) = members.next_key()? {
            if names.contains(&name) {
                return Err(fail(ClientDataError::DuplicateMember));
            }
            if names.len() >= MAX_MEMBERS {
                return Err(fail(ClientDataError::TooLong));
            }
            match &*name {
                "type" => type_ = Some(members.next_value()?),
                "challenge" => challenge = Some(members.next_value()?),
                "origin" => origin = Some(members.next_value()?),
                "crossOrigin" => cross_origin = Some(members.next_value()?),
                "topOrigin" => top_origin = Some(members.next_value()?),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            names.push(name);
        }
        let mut text = |member: Option<Member<'de>>, name| match member {
            Some(Member::Text(text)) => Ok(text),
            _ => Err(fail(ClientDataError::Member(name))),
        };
        let (type_, challenge, origin) = (
            text(type_, "type")?,
            text(challenge, "challenge")?,
            text(origin, "origin")?,
        );
        let top_origin = top_origin
            .map(|member| text(Some(member), "topOrigin"))
            .transpose()?;
        let cross_origin = match cross_origin {
            None => None,
            Some(Member::Bool(value)) => Some(value),
            Some(_) => return Err(fail(ClientDataError::Member("crossOrigin"))),
        };
        Ok(CollectedClientData {
            bytes: self.bytes,
            type_,
            challenge,
            origin,
            cross_origin,
            top_origin,
        })
    }
}

struct Name<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> de::Deserialize<'de> for Member<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Member<'de>, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Member<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Member<'de>, E> {
                Ok(Member::Bool(value))
            }

            fn visit_unit<E>(self) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Member<'de>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member<'de>, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"type":"webauthn.get","challenge":"AAAA","origin":"https://example.org","crossOrigin":false,"extra":{"a":[1,2]}}"#;

    fn refused(text: impl AsRef<[u8]>) -> ClientDataError {
        CollectedClientData::parse(text.as_ref()).unwrap_err()
    }

    #[test]
    fn reads_members_and_keeps_the_bytes() {
        let parsed = CollectedClientData::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(parsed.bytes(), GOOD.as_bytes());
        assert_eq!(
            (parsed.type_(), parsed.challenge(), parsed.origin()),
            ("webauthn.get", "AAAA", "https://example.org")
        );
        assert_eq!(
            (parsed.cross_origin(), parsed.top_origin()),
            (Some(false), None)
        );
        let escaped = GOOD.replace("webauthn.get", "webauthn\\u002eget");
        assert_eq!(
            CollectedClientData::parse(escaped.as_bytes())
                .unwrap()
                .type_(),
            "webauthn.get"
        );
    }

    #[test]
    fn strips_one_byte_order_mark_from_the_view_only() {
        let marked = format!("\u{feff}{GOOD}");
        let parsed = CollectedClientData::parse(marked.as_bytes()).unwrap();
        assert_eq!(parsed.bytes(), marked.as_bytes());
        assert_eq!(
            refused(format!("\u{feff}{marked}")),
            ClientDataError::NotJson
        );
    }

    #[test]
    fn refuses_by_name() {
        use ClientDataError as E;
        assert_eq!(refused(""), E::NotJson);
        assert_eq!(refused("[]"), E::NotJson);
        assert_eq!(refused("null"), E::NotJson);
        assert_eq!(refused(format!("{GOOD} x")), E::NotJson);
        assert_eq!(refused(GOOD.replace("[1,2]", "[1,2")), E::NotJson);
        assert_eq!(
            refused(GOOD.replace("[1,2]", &"[".repeat(1000))),
            E::NotJson
        );
        assert_eq!(refused([GOOD.as_bytes(), &[0xff]].concat()), E::InvalidUtf8);
        assert_eq!(
            refused(GOOD.replace("\"extra\"", "\"type\"")),
            E::DuplicateMember
        );
        assert_eq!(
            refused(GOOD.replace("\"extra\"", "\"\\u0074ype\"")),
            E::DuplicateMember
        );
        assert_eq!(
            refused(GOOD.replace("{\"a\":[1,2]}", "1,\"extra\":1")),
            E::DuplicateMember
        );
        assert_eq!(
            refused(GOOD.replace("\"webauthn.get\"", "1")),
            E::Member("type")
        );
        assert_eq!(
            refused(GOOD.replace("\"AAAA\"", "null")),
            E::Member("challenge")
        );
        assert_eq!(
            refused(GOOD.replace("\"origin\"", "\"0rigin\"")),
            E::Member("origin")
        );
        assert_eq!(
            refused(GOOD.replace("false", "\"false\"")),
            E::Member("crossOrigin")
        );
        assert_eq!(
            refused(GOOD.replace("\"extra\"", "\"topOrigin\"")),
            E::Member("topOrigin")
        );
        assert_eq!(
            refused(GOOD.replace("extra", &"x".repeat(MAX_LENGTH))),
            E::TooLong
        );
        let many: String = (0..70).map(|i| format!("\"m{i}\":0,")).collect();
        assert_eq!(
            refused(GOOD.replacen('{', &format!("{{{many}"), 1)),
            E::TooLong
        );
    }
}
