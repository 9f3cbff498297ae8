//! A signal as a security event token: claims of RFC 8417 as SSF §4 wants them (`sub_id` at the top, one event, no `sub` and no `exp`), names of
//! RFC 9493. The same signal for the same stream has the same `jti`, however often it is sent: receivers know what they have.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::event::{About, Signal, What};

/// SSF §8.1.4.1.
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// The name of a signal in a stream. Sorted as text they are in the order of the log.
pub(crate) fn jti(stream: Uuid, (index, n): (u64, u32)) -> String {
    format!("{index:016}-{n:06}-{stream}")
}

/// Reads [`jti`] back; `None` for every other text, and another stream's.
pub(crate) fn place(stream: Uuid, jti: &str) -> Option<(u64, u32)> {
    let (index, rest) = jti.split_once('-')?;
    let (n, _) = rest.split_once('-')?;
    let place = (index.parse().ok()?, n.parse().ok()?);
    (self::jti(stream, place) == jti).then_some(place)
}

/// Of which stream and for whom.
pub(crate) struct Address<'a> {
    /// `iss`, and the issuer of our persons' names.
    pub(crate) issuer: &'a str,
    /// `aud`.
    pub(crate) audience: &'a str,
    /// The stream.
    pub(crate) stream: Uuid,
    /// Other names of the person whom it is about: issuer and subject.
    pub(crate) identities: BTreeSet<(String, String)>,
}

/// The claims.
pub(crate) fn claims(signal: &Signal, to: &Address<'_>) -> Value {
    let mut event = Map::new();
    let uri = match &signal.what {
        What::Verification { state } => {
            if let Some(state) = state {
                event.insert("state".to_owned(), json!(state));
            }
            VERIFICATION
        }
        what => {
            // CAEP §2: what all of its events may say. RISC's events have no such members.
            if matches!(what, What::Revoked | What::Credential { .. }) {
                event.insert(
                    "event_timestamp".to_owned(),
                    json!(signal.at.unix_timestamp()),
                );
                event.insert("initiating_entity".to_owned(), json!(signal.by));
                if let Some(reason) = &signal.reason {
                    event.insert("reason_admin".to_owned(), json!({ "en": reason }));
                }
            }
            if let What::Credential {
                change,
                kind,
                aaguid,
            } = what
            {
                event.insert("change_type".to_owned(), json!(change));
                event.insert("credential_type".to_owned(), json!(kind));
                if let Some(aaguid) = aaguid {
                    event.insert("fido2_aaguid".to_owned(), json!(aaguid));
                }
            }
            what.event().map(super::Event::uri).unwrap_or_default()
        }
    };
    json!({
        "iss": to.issuer,
        "aud": to.audience,
        "jti": jti(to.stream, (signal.index, signal.n)),
        "iat": signal.at.unix_timestamp(),
        // What one entry says of many is one happening.
        "txn": signal.index.to_string(),
        "sub_id": subject(&signal.about, to),
        "events": { uri: event },
    })
}

fn subject(about: &About, to: &Address<'_>) -> Value {
    match about {
        About::Person(id) => {
            let ours = iss_sub(to.issuer, id.as_str());
            if to.identities.is_empty() {
                return ours;
            }
            let others = to.identities.iter().map(|(iss, sub)| iss_sub(iss, sub));
            let all: Vec<Value> = std::iter::once(ours).chain(others).collect();
            json!({ "format": "aliases", "identifiers": all })
        }
        About::Session(person, session) => json!({
            "format": "complex",
            "user": subject(&About::Person(person.clone()), to),
            "session": { "format": "opaque", "id": session },
        }),
        About::Account(_, id) => json!({ "format": "opaque", "id": id }),
        About::Stream(id) => json!({ "format": "opaque", "id": id.to_string() }),
    }
}

fn iss_sub(issuer: &str, sub: &str) -> Value {
    json!({ "format": "iss_sub", "iss": issuer, "sub": sub })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_in_its_own_stream_alone() {
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let name = jti(ours, (17, 3));
        assert_eq!(place(ours, &name), Some((17, 3)));
        assert_eq!(place(other, &name), None);
        for forged in [
            "",
            "17-3",
            "+17-3-x",
            "0017-003-00000000-0000-0000-0000-000000000001",
        ] {
            assert_eq!(place(ours, forged), None, "{forged}");
        }
        assert!(jti(ours, (9, 0)) < jti(ours, (10, 0)), "texts are in order");
    }
}
