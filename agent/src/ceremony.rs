//! What may be signed, as states that follow one another; pure.
//!
//! A seal goes [`Proposal`] (read from the document that the server claims, verbatim) → [`Consented`] (a person saw it and went on) →
//! [`Armed`] (one credential on one authenticator) → [`Sealed`] (signed; what is reported). A registration goes [`Proposal`] → [`Enrolling`] →
//! [`Registered`]. Each step consumes the one before it, so nothing is signed that was not shown, and nothing is shown but the document itself:
//! the challenge is derived here from the same bytes, whatever a relay says that they mean (attack 4).
//!
//! The relying party and the origin are configuration. Deliberately elsewhere: asking people ([`crate::prompt`]), authenticators
//! ([`crate::reader`]), the server's own verification ([`sceau_proof::assertion`]).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sceau_proof::action::{Action, ActionError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::RpId;

pub mod card;

use card::{ArmedCard, EnrollingCard, Request};

/// WebAuthn §6.1: user present.
const UP: u8 = 0x01;
/// WebAuthn §6.1: user verified.
const UV: u8 = 0x04;
/// WebAuthn §6.1: attested credential data follows.
const AT: u8 = 0x40;

/// Why a document may not be shown, or what an authenticator answered may not be reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a valid action.
    #[error("not a valid action: {0}")]
    Invalid(#[from] ActionError),
    /// It cannot be shown whole to a person.
    #[error("the action cannot be shown whole")]
    NotShowable,
    /// Its time is over.
    #[error("the action has expired")]
    Expired,
    /// The same id came with other contents.
    #[error("the server showed two different actions under one id")]
    Conflict,
    /// It was sealed, refused or settled before.
    #[error("the action is settled already")]
    AlreadySettled,
    /// Another action, person or kind than the one that was asked for.
    #[error("the server answered with another action than the one asked for")]
    NotWhatWasAsked,
    /// No key that an authenticator here could hold.
    #[error("no key of this person can seal it here")]
    NoKey,
    /// The server speaks for another relying party than the configured one.
    #[error("the server speaks for another relying party")]
    RelyingParty,
    /// What the authenticator answered is not a signature of this action by this credential with touch and PIN.
    #[error("the authenticator answered something else: {0}")]
    Answer(&'static str),
}

/// A key of the person, as the server names it. A claim: a wrong one only makes the seal worthless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledKey {
    /// The server's name for it.
    pub key_id: String,
    /// The credential, base64url; empty for a card's.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub credential_id: String,
    /// `fido2` or `piv`.
    pub kind: String,
    /// Of a card: its key, subjectPublicKeyInfo in DER, base64url.
    #[serde(default)]
    pub public_key_spki: Option<String>,
    /// For people.
    #[serde(default)]
    pub label: Option<String>,
    /// The model's identifier.
    #[serde(default)]
    pub aaguid: Option<String>,
    /// `touch`: the server took it as a key that cannot verify its user, and counts it only where touch is enough.
    #[serde(default)]
    pub verification: Option<String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

impl EnrolledKey {
    /// The public key of a PIV card, bounded; `None` for other kinds and for what cannot be one.
    #[must_use]
    pub fn card_key(&self) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD
            .decode(self.public_key_spki.as_ref()?)
            .ok()?;
        (self.kind == "piv" && (1..=1024).contains(&bytes.len())).then_some(bytes)
    }

    /// The credential of a FIDO2 key, bounded; `None` for other kinds and for what is not a credential id.
    #[must_use]
    pub fn credential(&self) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.credential_id).ok()?;
        (self.kind == "fido2" && (1..=1023).contains(&bytes.len())).then_some(bytes)
    }

    /// Whether it is enrolled as a key that knows touch alone. Any other must verify its user here, whatever the server would take.
    #[must_use]
    pub fn is_touch_only(&self) -> bool {
        self.verification.as_deref() == Some("touch")
    }

    /// For people: its label, or else its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label
            .as_deref()
            .filter(|label| !label.is_empty())
            .unwrap_or(&self.key_id)
    }
}

/// A valid action that nobody has seen yet.
#[derive(Clone)]
pub struct Proposal {
    action: Action,
    keys: Vec<EnrolledKey>,
}

impl Proposal {
    /// Reads an action document exactly as it came.
    ///
    /// # Errors
    /// [`Unfit::Invalid`] with the action's own error, [`Unfit::Expired`].
    pub fn read(
        document: &[u8],
        keys: Vec<EnrolledKey>,
        now: OffsetDateTime,
    ) -> Result<Self, Unfit> {
        let action = Action::parse(document)?;
        if action.expires_at() <= now {
            return Err(Unfit::Expired);
        }
        Ok(Self { action, keys })
    }

    /// As [`Proposal::read`], for a document that must be of this type, for this person, of the server itself.
    ///
    /// # Errors
    /// Also [`Unfit::NotWhatWasAsked`].
    pub fn read_own(
        document: &[u8],
        keys: Vec<EnrolledKey>,
        kind: &str,
        person: &str,
        now: OffsetDateTime,
    ) -> Result<Self, Unfit> {
        let proposal = Self::read(document, keys, now)?;
        let action = &proposal.action;
        if action.kind() != kind || action.service() != "sceau" || action.requester().id != person {
            return Err(Unfit::NotWhatWasAsked);
        }
        Ok(proposal)
    }

    /// The action's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.action.id()
    }

    /// The action, to be shown.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// When it is over.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.action.expires_at()
    }

    /// Whether both give the same challenge.
    #[must_use]
    pub fn is_same_document(&self, other: &Self) -> bool {
        self.action.canonical() == other.action.canonical()
    }

    /// The person saw it and went on: the bytes to be signed are fixed.
    ///
    /// # Errors
    /// [`Unfit::Expired`] in the meantime; [`Unfit::NoKey`].
    pub fn consented(self, rp_id: &RpId, now: OffsetDateTime) -> Result<Consented, Unfit> {
        if self.action.expires_at() <= now {
            return Err(Unfit::Expired);
        }
        let cards: Vec<(EnrolledKey, Vec<u8>)> = self
            .keys
            .iter()
            .filter_map(|key| Some((key.clone(), key.card_key()?)))
            .collect();
        let keys: Vec<(EnrolledKey, Vec<u8>)> = self
            .keys
            .into_iter()
            .filter_map(|key| key.credential().map(|credential| (key, credential)))
            .collect();
        if keys.is_empty() && cards.is_empty() {
            return Err(Unfit::NoKey);
        }
        let client_data_json = client_data(&self.action, "webauthn.get", rp_id);
        Ok(Consented {
            action: self.action,
            keys,
            cards,
            rp_id: rp_id.clone(),
            client_data_json,
        })
    }

    /// The person saw it and goes on to register a key by it.
    ///
    /// # Errors
    /// [`Unfit::Expired`] in the meantime; [`Unfit::RelyingParty`] when the server claims to be another one than configured.
    pub fn enrolling(
        self,
        claimed_rp: &str,
        rp_id: &RpId,
        now: OffsetDateTime,
    ) -> Result<Enrolling, Unfit> {
        if self.action.expires_at() <= now {
            return Err(Unfit::Expired);
        }
        if claimed_rp != rp_id.as_str() {
            return Err(Unfit::RelyingParty);
        }
        let client_data_json = client_data(&self.action, "webauthn.create", rp_id);
        Ok(Enrolling {
            challenge: *self.action.challenge().as_bytes(),
            rp_id: rp_id.clone(),
            client_data_json,
        })
    }
}

/// WebAuthn §5.8.1, over the challenge that this very document gives. No member needs escaping: see [`RpId`] and base64url.
fn client_data(action: &Action, kind: &str, rp_id: &RpId) -> Vec<u8> {
    let challenge = URL_SAFE_NO_PAD.encode(action.challenge().as_bytes());
    format!(
        r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{}","crossOrigin":false}}"#,
        rp_id.origin()
    )
    .into_bytes()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// An action that its person wants sealed.
pub struct Consented {
    action: Action,
    keys: Vec<(EnrolledKey, Vec<u8>)>,
    cards: Vec<(EnrolledKey, Vec<u8>)>,
    rp_id: RpId,
    client_data_json: Vec<u8>,
}

impl Consented {
    /// The keys that may seal it.
    pub fn keys(&self) -> impl Iterator<Item = &EnrolledKey> {
        self.keys.iter().chain(&self.cards).map(|(key, _)| key)
    }

    /// The public keys of the PIV cards that may.
    #[must_use]
    pub fn card_keys(&self) -> Vec<Vec<u8>> {
        self.cards.iter().map(|(_, key)| key.clone()).collect()
    }

    /// Chooses one card, by its place among [`Consented::card_keys`]; nothing else will be asked to sign.
    ///
    /// # Errors
    /// [`Unfit::NoKey`]: there is no such place.
    pub fn with_card(mut self, index: usize) -> Result<ArmedCard, Unfit> {
        if index >= self.cards.len() {
            return Err(Unfit::NoKey);
        }
        let (key, public_key) = self.cards.swap_remove(index);
        let challenge = *self.action.challenge().as_bytes();
        Ok(ArmedCard {
            id: self.action.id(),
            key,
            request: Request::new(challenge, self.rp_id.origin(), public_key),
        })
    }

    /// The credentials of the FIDO2 keys that may.
    #[must_use]
    pub fn credentials(&self) -> Vec<Vec<u8>> {
        self.keys
            .iter()
            .map(|(_, credential)| credential.clone())
            .collect()
    }

    /// Chooses one FIDO2 key, by its place among [`Consented::credentials`]; nothing else will be asked to sign.
    ///
    /// # Errors
    /// [`Unfit::NoKey`]: there is no such place.
    pub fn with_key(mut self, index: usize) -> Result<Armed, Unfit> {
        if index >= self.keys.len() {
            return Err(Unfit::NoKey);
        }
        let (key, credential) = self.keys.swap_remove(index);
        Ok(Armed {
            id: self.action.id(),
            key,
            credential,
            rp_id: self.rp_id,
            client_data_json: self.client_data_json,
        })
    }
}

/// One action, one key.
pub struct Armed {
    id: Uuid,
    key: EnrolledKey,
    credential: Vec<u8>,
    rp_id: RpId,
    client_data_json: Vec<u8>,
}

impl Armed {
    /// The action's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The relying party for the authenticator.
    #[must_use]
    pub fn rp_id(&self) -> &RpId {
        &self.rp_id
    }

    /// What the authenticator signs beside its own data.
    #[must_use]
    pub fn client_data_hash(&self) -> [u8; 32] {
        sha256(&self.client_data_json)
    }

    /// The one credential that is allowed to sign.
    #[must_use]
    pub fn credential(&self) -> &[u8] {
        &self.credential
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &EnrolledKey {
        &self.key
    }

    /// Takes the authenticator's answer, if it is one to what was asked. Whether the signature verifies is the server's to say.
    ///
    /// # Errors
    /// [`Unfit::Answer`]: other relying party or credential, no touch, no user verification by a key that can.
    pub fn signed(
        self,
        credential: Option<&[u8]>,
        authenticator_data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Sealed, Unfit> {
        if credential.is_some_and(|credential| credential != self.credential) {
            return Err(Unfit::Answer("another credential"));
        }
        let wanted = if self.key.is_touch_only() {
            UP
        } else {
            UP | UV
        };
        check_authenticator_data(&authenticator_data, &self.rp_id, wanted)?;
        if signature.is_empty() {
            return Err(Unfit::Answer("no signature"));
        }
        Ok(Sealed {
            id: self.id,
            key: self.key,
            response: serde_json::json!({
                "client_data_json": URL_SAFE_NO_PAD.encode(&self.client_data_json),
                "authenticator_data": URL_SAFE_NO_PAD.encode(&authenticator_data),
                "signature": URL_SAFE_NO_PAD.encode(&signature),
                "credential_id": URL_SAFE_NO_PAD.encode(&self.credential),
            }),
        })
    }
}

fn check_authenticator_data(data: &[u8], rp_id: &RpId, wanted: u8) -> Result<(), Unfit> {
    let (rp_id_hash, rest) = data
        .split_first_chunk::<32>()
        .ok_or(Unfit::Answer("authenticator data too short"))?;
    let flags = rest
        .first()
        .ok_or(Unfit::Answer("authenticator data too short"))?;
    if *rp_id_hash != sha256(rp_id.as_str().as_bytes()) {
        return Err(Unfit::Answer("another relying party"));
    }
    if flags & UP & wanted != UP & wanted {
        return Err(Unfit::Answer("no touch"));
    }
    if flags & UV & wanted != UV & wanted {
        return Err(Unfit::Answer("no user verification"));
    }
    if flags & AT & wanted != AT & wanted {
        return Err(Unfit::Answer("no credential"));
    }
    Ok(())
}

/// A signed action, to be reported.
pub struct Sealed {
    id: Uuid,
    key: EnrolledKey,
    response: serde_json::Value,
}

impl Sealed {
    /// Of which action.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Where it is reported.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/v1/actions/{}/approvals", self.id)
    }

    /// What is reported.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        serde_json::json!({ "key_id": self.key.key_id, "response": self.response })
    }
}

/// A registration that its person wants.
pub struct Enrolling {
    challenge: [u8; 32],
    rp_id: RpId,
    client_data_json: Vec<u8>,
}

impl Enrolling {
    /// The relying party for the authenticator.
    #[must_use]
    pub fn rp_id(&self) -> &RpId {
        &self.rp_id
    }

    /// What the authenticator signs beside its own data.
    #[must_use]
    pub fn client_data_hash(&self) -> [u8; 32] {
        sha256(&self.client_data_json)
    }

    /// By the card with this key (subjectPublicKeyInfo, DER) instead of a new credential.
    #[must_use]
    pub fn by_card(self, public_key: Vec<u8>) -> EnrollingCard {
        EnrollingCard(Request::new(
            self.challenge,
            self.rp_id.origin(),
            public_key,
        ))
    }

    /// Takes the new credential, if it is one; `user_verified`: made with user verification, which the server asks for.
    ///
    /// # Errors
    /// [`Unfit::Answer`]: other relying party, no touch, no user verification, no credential.
    pub fn registered(
        self,
        authenticator_data: &[u8],
        attestation_object: Vec<u8>,
        user_verified: bool,
    ) -> Result<Registered, Unfit> {
        let verified = if user_verified { UV } else { 0 };
        check_authenticator_data(authenticator_data, &self.rp_id, UP | verified | AT)?;
        Ok(Registered {
            client_data_json: self.client_data_json,
            attestation_object,
        })
    }
}

/// A new credential, to be reported.
pub struct Registered {
    client_data_json: Vec<u8>,
    attestation_object: Vec<u8>,
}

impl Registered {
    /// The `response` member of the report.
    #[must_use]
    pub fn response(&self) -> serde_json::Value {
        serde_json::json!({
            "client_data_json": URL_SAFE_NO_PAD.encode(&self.client_data_json),
            "attestation_object": URL_SAFE_NO_PAD.encode(&self.attestation_object),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;

    use super::*;
    use crate::specimen::{NOW, document, key};

    const LATER: OffsetDateTime = NOW.saturating_add(Duration::hours(1));

    fn rp_id() -> RpId {
        RpId::new("sceau.example").unwrap()
    }

    fn proposal(more: serde_json::Value) -> Result<Proposal, Unfit> {
        Proposal::read(&document(1, more), vec![key()], NOW)
    }

    fn armed() -> Armed {
        proposal(json!({}))
            .unwrap()
            .consented(&rp_id(), NOW)
            .unwrap()
            .with_key(0)
            .unwrap()
    }

    fn authenticator_data(rp_id: &str, flags: u8) -> Vec<u8> {
        [&sha256(rp_id.as_bytes())[..], &[flags, 0, 0, 0, 1]].concat()
    }

    #[test]
    fn client_data_is_of_this_document_and_of_the_configured_relying_party() {
        let action = Action::parse(&document(1, json!({}))).unwrap();
        let expected = format!(
            r#"{{"type":"webauthn.get","challenge":"{}","origin":"sceau-agent://sceau.example","crossOrigin":false}}"#,
            action.challenge()
        );
        assert_eq!(armed().client_data_json, expected.as_bytes());
        assert_eq!(armed().client_data_hash(), sha256(expected.as_bytes()));
        let other = proposal(json!({ "service": "other" }))
            .unwrap()
            .consented(&rp_id(), NOW)
            .unwrap();
        assert_ne!(other.client_data_json, expected.as_bytes());
    }

    #[test]
    fn expired_document_is_neither_read_nor_consented_to() {
        let expired = Proposal::read(&document(1, json!({})), vec![key()], LATER);
        assert_eq!(expired.err(), Some(Unfit::Expired));
        assert_eq!(
            proposal(json!({}))
                .unwrap()
                .consented(&rp_id(), LATER)
                .err(),
            Some(Unfit::Expired)
        );
        assert_eq!(
            proposal(json!({}))
                .unwrap()
                .enrolling("sceau.example", &rp_id(), LATER)
                .err(),
            Some(Unfit::Expired)
        );
    }

    #[test]
    fn own_document_is_of_the_kind_and_person_that_were_asked_for() {
        let read = |more, kind, person| {
            Proposal::read_own(&document(1, more), vec![key()], kind, person, NOW).map(|_| ())
        };
        let own = || json!({ "service": "sceau", "type": "session.open" });
        assert_eq!(read(own(), "session.open", "alice"), Ok(()));
        assert_eq!(
            read(own(), "session.open", "bob"),
            Err(Unfit::NotWhatWasAsked)
        );
        assert_eq!(
            read(own(), "key.register", "alice"),
            Err(Unfit::NotWhatWasAsked)
        );
        assert_eq!(
            read(json!({ "type": "session.open" }), "session.open", "alice"),
            Err(Unfit::NotWhatWasAsked)
        );
    }

    #[test]
    fn registration_for_another_relying_party_is_refused() {
        let refused = proposal(json!({}))
            .unwrap()
            .enrolling("evil.example", &rp_id(), NOW);
        assert_eq!(refused.err(), Some(Unfit::RelyingParty));
    }

    #[test]
    fn person_without_a_key_that_fits_cannot_consent() {
        let keys = vec![
            EnrolledKey {
                kind: "piv".into(),
                ..key()
            },
            EnrolledKey {
                credential_id: "not base64url".into(),
                ..key()
            },
            EnrolledKey {
                credential_id: String::new(),
                ..key()
            },
            EnrolledKey {
                credential_id: URL_SAFE_NO_PAD.encode([0; 1024]),
                ..key()
            },
        ];
        let proposal = Proposal::read(&document(1, json!({})), keys, NOW).unwrap();
        assert_eq!(proposal.consented(&rp_id(), NOW).err(), Some(Unfit::NoKey));
    }

    #[test]
    fn answer_of_another_credential_or_without_touch_or_pin_is_not_reported() {
        let signed = |credential: Option<&[u8]>, rp_id: &str, flags| {
            armed()
                .signed(credential, authenticator_data(rp_id, flags), vec![1])
                .map(|_| ())
        };
        assert_eq!(signed(Some(&[1; 16]), "sceau.example", UP | UV), Ok(()));
        assert_eq!(signed(None, "sceau.example", UP | UV), Ok(()));
        assert_eq!(
            signed(Some(&[2; 16]), "sceau.example", UP | UV),
            Err(Unfit::Answer("another credential"))
        );
        assert_eq!(
            signed(None, "evil.example", UP | UV),
            Err(Unfit::Answer("another relying party"))
        );
        assert_eq!(
            signed(None, "sceau.example", UV),
            Err(Unfit::Answer("no touch"))
        );
        assert_eq!(
            signed(None, "sceau.example", UP),
            Err(Unfit::Answer("no user verification"))
        );
        let short = armed().signed(None, vec![0; 32], vec![1]);
        assert_eq!(
            short.err(),
            Some(Unfit::Answer("authenticator data too short"))
        );
        let unsigned = armed().signed(
            None,
            authenticator_data("sceau.example", UP | UV),
            Vec::new(),
        );
        assert_eq!(unsigned.err(), Some(Unfit::Answer("no signature")));
    }

    #[test]
    fn only_a_key_that_is_enrolled_by_touch_alone_may_sign_without_user_verification() {
        let signed = |verification: &str, flags| {
            let key = EnrolledKey {
                verification: Some(verification.to_owned()),
                ..key()
            };
            let proposal = Proposal::read(&document(1, json!({})), vec![key], NOW).unwrap();
            let armed = proposal
                .consented(&rp_id(), NOW)
                .unwrap()
                .with_key(0)
                .unwrap();
            armed
                .signed(None, authenticator_data("sceau.example", flags), vec![1])
                .map(|_| ())
        };
        assert_eq!(signed("touch", UP), Ok(()));
        assert_eq!(signed("touch", 0), Err(Unfit::Answer("no touch")));
        for word in ["pin", "none", ""] {
            let refused = signed(word, UP);
            assert_eq!(
                refused,
                Err(Unfit::Answer("no user verification")),
                "{word}"
            );
        }
    }

    #[test]
    fn registration_without_a_credential_is_not_reported() {
        let registered = |flags, user_verified| {
            let enrolling = proposal(json!({}))
                .unwrap()
                .enrolling("sceau.example", &rp_id(), NOW)
                .unwrap();
            enrolling
                .registered(
                    &authenticator_data("sceau.example", flags),
                    vec![1],
                    user_verified,
                )
                .map(|_| ())
        };
        assert_eq!(registered(UP | UV | AT, true), Ok(()));
        assert_eq!(registered(UP | AT, false), Ok(()));
        assert_eq!(
            registered(UP | AT, true),
            Err(Unfit::Answer("no user verification"))
        );
        assert_eq!(
            registered(UP | UV, true),
            Err(Unfit::Answer("no credential"))
        );
    }
}
