//! Action documents for this crate's unit tests.

use sceau_proof::base64url;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::ceremony::EnrolledKey;

/// When all of these tests happen.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-21 19:01:00 UTC);

/// The `number`-th action, pending at [`NOW`]; `more` replaces or adds members.
pub(crate) fn document(number: u128, more: Value) -> Vec<u8> {
    let mut document = json!({
        "v": 1, "id": Uuid::from_u128(number), "type": "account.create", "service": "ml",
        "requester": { "id": "alice", "display": "Alice Martin" },
        "target": { "kind": "account", "id": "17", "display": "Jean Dupont" },
        "params": { "email": "j.dupont@ml.example" },
        "created_at": "2026-11-21T19:00:00Z", "expires_at": "2026-11-21T19:05:00Z", "nonce": base64url::encode([7; 32]),
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document.to_string().into_bytes()
}

/// A FIDO2 key of Alice's.
pub(crate) fn key() -> EnrolledKey {
    EnrolledKey {
        key_id: "key-1".into(),
        credential_id: base64url::encode([1; 16]),
        kind: "fido2".into(),
        public_key_spki: None,
        label: None,
        aaguid: None,
        verification: None,
    }
}
