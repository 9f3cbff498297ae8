//! Names of things: one newtype for each identifier, so that a person is never passed where a key is meant.
//!
//! Identifiers that arrive from outside are claims until the store has found them; parsing only bounds their shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest accepted person, service or role identifier, in bytes.
pub const MAX_NAME: usize = 64;

/// The identifier does not have the shape that its kind asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed identifier")]
pub struct MalformedId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            /// Only the hyphenated lower-case form: one action has one name.
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let id = Uuid::try_parse(text).map_err(|_| MalformedId)?;
                let mut buffer = Uuid::encode_buffer();
                if id.hyphenated().encode_lower(&mut buffer) == text {
                    Ok(Self(id))
                } else {
                    Err(MalformedId)
                }
            }
        }
    };
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier's text: 1 to [`MAX_NAME`] of `a-z A-Z 0-9 . _ - @`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                if plain_name(text) { Ok(Self(text.to_owned())) } else { Err(MalformedId) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedId;

            fn try_from(text: String) -> Result<Self, MalformedId> {
                if plain_name(&text) { Ok(Self(text)) } else { Err(MalformedId) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

fn plain_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

uuid_id!(
    /// An action (UUID v7), and the `jti` of its permits.
    ActionId
);
uuid_id!(
    /// An enrolled key, as the API names it; the authenticator knows it by its credential id.
    KeyId
);
uuid_id!(
    /// A session; not its token.
    SessionId
);
uuid_id!(
    /// One enrolment: from invitation to registered key.
    EnrolmentId
);
uuid_id!(
    /// One sign-in for the federation, from the person's name to the code's one use.
    LoginId
);
uuid_id!(
    /// What a service asked for by OAuth, from the request to its permit.
    AuthorizationId
);
name_id!(
    /// A person of the organisation.
    PersonId
);
name_id!(
    /// A relying application; `sceau` is this server itself.
    ServiceId
);
name_id!(
    /// A role that persons hold and policy rules name.
    Role
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_bounded() {
        for good in ["bmartin", "a", "jean.dupont@ml.example", "A-1_b"] {
            assert!(good.parse::<PersonId>().is_ok(), "{good}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for bad in ["", "a b", "é", "a/b", "a\0", "a\n", long.as_str()] {
            assert_eq!(bad.parse::<PersonId>(), Err(MalformedId), "{bad:?}");
        }
    }

    #[test]
    fn an_action_has_one_spelling() {
        let text = "0193500a-7d00-7000-8000-00000000000a";
        assert!(text.parse::<ActionId>().is_ok());
        assert_eq!(text.to_uppercase().parse::<ActionId>(), Err(MalformedId));
        assert_eq!(text.replace('-', "").parse::<ActionId>(), Err(MalformedId));
    }
}
