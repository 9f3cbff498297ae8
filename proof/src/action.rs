//! The signed action, version 1: what a person is asked to approve, exactly, and the challenge that a key signs for it (DESIGN, "The signed action").
//!
//! [`Action::parse`] refuses rather than repairs: a document has one reading ([`json`]) and one canonical form (RFC 8785), and
//! `challenge = SHA-256("sceau/action/v1\0" ‖ canonical)`. Unknown members are kept: they are part of the bytes. Trusts nothing; an `Action` is
//! well-formed, and nothing is said of who may do it (policy) or whether anyone approved it (`assertion`, `permit`). How it is shown is `words`.

use std::fmt;

use aws_lc_rs::digest;
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::base64url;
use crate::json::{self, JsonError};

/// Longest document.
pub const MAX_LENGTH: usize = 65_536;
/// Deepest nesting, the document itself counting one.
pub const MAX_DEPTH: u8 = 16;
/// Longest time between creation and expiry.
pub const MAX_LIFETIME: Duration = Duration::hours(24);

const RULES: json::Rules = json::Rules {
    length: MAX_LENGTH,
    depth: MAX_DEPTH,
    integers: true,
    nfc: true,
};
const CHALLENGE_PREFIX: &[u8] = b"sceau/action/v1\0";

/// Why a document is not an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Not strict JSON.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// Not an object.
    #[error("an action is an object")]
    NotAnObject,
    /// `v` is not 1.
    #[error("unknown version of the action format")]
    UnknownVersion,
    /// A member is absent or not of its form; its path.
    #[error("`{0}` is missing or not of its form")]
    Member(&'static str),
    /// `expires_at` is not after `created_at`.
    #[error("the action expires before it was created")]
    ExpiresBeforeCreation,
    /// Longer than [`MAX_LIFETIME`].
    #[error("the action lives longer than 24 hours")]
    LivesTooLong,
}

impl ActionError {
    /// One stable word per kind of error.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            ActionError::Json(JsonError::TooLarge) => "too-large",
            ActionError::Json(JsonError::InvalidUtf8) => "not-utf8",
            ActionError::Json(JsonError::NotJson) => "not-json",
            ActionError::Json(JsonError::TooDeep) => "too-deep",
            ActionError::Json(JsonError::DuplicateMember) => "duplicate-member",
            ActionError::Json(JsonError::NotNfc) => "not-nfc",
            ActionError::Json(JsonError::NotAnInteger) => "not-an-integer",
            ActionError::Json(JsonError::IntegerOutOfRange) => "integer-out-of-range",
            ActionError::NotAnObject => "not-an-object",
            ActionError::UnknownVersion => "unknown-version",
            ActionError::Member(_) => "member",
            ActionError::ExpiresBeforeCreation => "expires-before-creation",
            ActionError::LivesTooLong => "lives-too-long",
        }
    }
}

/// What a key signs for one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// The 32 bytes that WebAuthn calls the challenge.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// base64url, as on the wire.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The person's identifier.
    pub id: String,
    /// How the person is called; shown only through `display`.
    pub display: String,
}

/// What it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind of thing, in the service's words.
    pub kind: String,
    /// Its identifier there.
    pub id: String,
    /// How it is called; shown only through `display`.
    pub display: String,
}

/// The HTTP request that the gate holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestDigest {
    /// In upper case.
    pub method: String,
    /// With its query, starting with `/`.
    pub path: String,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

/// A language that we have words in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Français.
    French,
    /// English.
    English,
}

/// A well-formed action, with its exact canonical bytes.
#[derive(Debug, Clone)]
pub struct Action {
    document: Map<String, Value>,
    canonical: String,
    id: Uuid,
    kind: String,
    service: String,
    requester: Requester,
    target: Target,
    params: Map<String, Value>,
    request: Option<RequestDigest>,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    nonce: [u8; 32],
}

/// Actions are equal when their canonical bytes are.
impl PartialEq for Action {
    fn eq(&self, other: &Action) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Action {}

impl serde::Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl Action {
    /// Reads an action document strictly.
    pub fn parse(bytes: &[u8]) -> Result<Action, ActionError> {
        let Value::Object(document) = json::parse(bytes, RULES)? else {
            return Err(ActionError::NotAnObject);
        };
        if document.get("v") != Some(&Value::from(1)) {
            return Err(ActionError::UnknownVersion);
        }
        let id = text(&document, "id", "id")?;
        let uuid = Uuid::parse_str(id).map_err(|_| ActionError::Member("id"))?;
        require(uuid.as_hyphenated().to_string() == id, "id")?;
        let created_at = instant(&document, "created_at")?;
        let expires_at = instant(&document, "expires_at")?;
        if expires_at <= created_at {
            return Err(ActionError::ExpiresBeforeCreation);
        }
        if created_at
            .checked_add(MAX_LIFETIME)
            .is_none_or(|latest| expires_at > latest)
        {
            return Err(ActionError::LivesTooLong);
        }
        let nonce = base64url::decode_array(text(&document, "nonce", "nonce")?)
            .map_err(|_| ActionError::Member("nonce"))?;
        let params = object(&document, "params")?.clone();
        words_are_texts(&document)?;
        let canonical = serde_json_canonicalizer::to_string(&document)
            .map_err(|_| ActionError::Json(JsonError::NotJson))?;
        Ok(Action {
            id: uuid,
            kind: token(&document, "type")?,
            service: token(&document, "service")?,
            requester: requester(&document)?,
            target: target(&document)?,
            params,
            request: request(&document)?,
            created_at,
            expires_at,
            nonce,
            canonical,
            document,
        })
    }

    /// Its identifier, unique among the server's actions.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The member `type`: what is done, such as `account.create`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The service where it is done.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Who asks.
    #[must_use]
    pub fn requester(&self) -> &Requester {
        &self.requester
    }

    /// What it is done to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Exactly what will be executed.
    #[must_use]
    pub fn params(&self) -> &Map<String, Value> {
        &self.params
    }

    /// The HTTP request that the gate holds, if that is how it came.
    #[must_use]
    pub fn request(&self) -> Option<&RequestDigest> {
        self.request.as_ref()
    }

    /// What the service says that the action means. A claim of the service: shown quoted, beside what is signed.
    #[must_use]
    pub fn words(&self, language: Language) -> Option<&str> {
        let name = match language {
            Language::French => "fr",
            Language::English => "en",
        };
        self.document.get("words")?.get(name)?.as_str()
    }

    /// When the server wrote it down.
    #[must_use]
    pub fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }

    /// When it can no longer be approved.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// The server's 32 random bytes.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The whole document, unknown members included: all of it is signed.
    #[must_use]
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The canonical bytes (RFC 8785).
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        self.canonical.as_bytes()
    }

    /// The canonical bytes, which are UTF-8.
    #[must_use]
    pub fn canonical_text(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&[self.canonical()])
    }

    /// What a key signs for this action: `SHA-256("sceau/action/v1\0" ‖ canonical)`.
    #[must_use]
    pub fn challenge(&self) -> Challenge {
        Challenge(sha256(&[CHALLENGE_PREFIX, self.canonical()]))
    }
}

/// SHA-256 of the concatenation.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn require(holds: bool, member: &'static str) -> Result<(), ActionError> {
    if holds {
        Ok(())
    } else {
        Err(ActionError::Member(member))
    }
}

fn object<'v>(
    parent: &'v Map<String, Value>,
    name: &'static str,
) -> Result<&'v Map<String, Value>, ActionError> {
    parent
        .get(name)
        .and_then(Value::as_object)
        .ok_or(ActionError::Member(name))
}

fn text<'v>(
    parent: &'v Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<&'v str, ActionError> {
    parent
        .get(name)
        .and_then(Value::as_str)
        .ok_or(ActionError::Member(path))
}

/// A name that machines compare: 1 to 128 visible ASCII characters.
fn token(document: &Map<String, Value>, name: &'static str) -> Result<String, ActionError> {
    let value = text(document, name, name)?;
    require(
        (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()),
        name,
    )?;
    Ok(value.to_owned())
}

fn filled(
    parent: &Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<String, ActionError> {
    let value = text(parent, name, path)?;
    require(!value.is_empty(), path)?;
    Ok(value.to_owned())
}

fn requester(document: &Map<String, Value>) -> Result<Requester, ActionError> {
    let member = object(document, "requester")?;
    Ok(Requester {
        id: filled(member, "id", "requester.id")?,
        display: text(member, "display", "requester.display")?.to_owned(),
    })
}

fn target(document: &Map<String, Value>) -> Result<Target, ActionError> {
    let member = object(document, "target")?;
    Ok(Target {
        kind: filled(member, "kind", "target.kind")?,
        id: filled(member, "id", "target.id")?,
        display: text(member, "display", "target.display")?.to_owned(),
    })
}

fn request(document: &Map<String, Value>) -> Result<Option<RequestDigest>, ActionError> {
    if !document.contains_key("request") {
        return Ok(None);
    }
    let member = object(document, "request")?;
    let method = text(member, "method", "request.method")?;
    require(
        (1..=32).contains(&method.len())
            && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'),
        "request.method",
    )?;
    let path = text(member, "path", "request.path")?;
    require(path.starts_with('/'), "request.path")?;
    let digest = text(member, "body_sha256", "request.body_sha256")?;
    require(
        digest
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "request.body_sha256",
    )?;
    let mut body_sha256 = [0; 32];
    hex::decode_to_slice(digest, &mut body_sha256)
        .map_err(|_| ActionError::Member("request.body_sha256"))?;
    Ok(Some(RequestDigest {
        method: method.to_owned(),
        path: path.to_owned(),
        body_sha256,
    }))
}

fn words_are_texts(document: &Map<String, Value>) -> Result<(), ActionError> {
    if document.contains_key("words") {
        require(
            object(document, "words")?.values().all(Value::is_string),
            "words",
        )?;
    }
    Ok(())
}

/// RFC 3339 in UTC, written with `Z`.
fn instant(
    document: &Map<String, Value>,
    name: &'static str,
) -> Result<OffsetDateTime, ActionError> {
    let value = text(document, name, name)?;
    require(value.ends_with('Z'), name)?;
    let at = OffsetDateTime::parse(value, &Rfc3339).map_err(|_| ActionError::Member(name))?;
    require(at.offset() == UtcOffset::UTC, name)?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "v": 1, "id": "019abcde-f012-7345-8678-9abcdef01234", "type": "account.create", "service": "portal",
            "requester": {"id": "amartin", "display": "Alice Martin"},
            "target": {"kind": "account", "id": "jd", "display": "Jean Dupont <j.dupont@ml.example>"},
            "params": {"role": "reader", "quota": 3},
            "request": {"method": "POST", "path": "/accounts", "body_sha256": "ab".repeat(32)},
            "words": {"fr": "créer le compte", "en": "create the account"},
            "created_at": "2026-11-21T19:00:00Z", "expires_at": "2026-11-21T19:05:00Z",
            "nonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        })
    }

    fn parse(document: &Value) -> Result<Action, ActionError> {
        Action::parse(&serde_json::to_vec(document).unwrap())
    }

    fn refused(pointer: &str, value: Value) -> ActionError {
        let mut changed = document();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = changed
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap();
        match value {
            Value::Null => parent.remove(name),
            value => parent.insert(name.to_owned(), value),
        };
        parse(&changed).unwrap_err()
    }

    #[test]
    fn reads_every_member() {
        let action = parse(&document()).unwrap();
        assert_eq!(
            action.id().to_string(),
            "019abcde-f012-7345-8678-9abcdef01234"
        );
        assert_eq!(
            (action.kind(), action.service()),
            ("account.create", "portal")
        );
        assert_eq!(action.requester().display, "Alice Martin");
        assert_eq!(action.target().kind, "account");
        assert_eq!(action.params()["quota"], 3);
        assert_eq!(action.request().unwrap().body_sha256, [0xab; 32]);
        assert_eq!(action.words(Language::French), Some("créer le compte"));
        assert_eq!(
            action.expires_at() - action.created_at(),
            Duration::minutes(5)
        );
        assert_eq!(action.nonce()[31], 31);
    }

    #[test]
    fn canonical_bytes_digest_and_challenge_are_those_of_rfc_8785() {
        let spaced = serde_json::to_string_pretty(&document()).unwrap();
        let action = Action::parse(spaced.as_bytes()).unwrap();
        assert_eq!(action, parse(&document()).unwrap());
        assert!(
            action
                .canonical_text()
                .starts_with(r#"{"created_at":"2026-11-21T19:00:00Z","expires_at":"#)
        );
        assert_eq!(
            Action::parse(action.canonical()).unwrap().canonical(),
            action.canonical()
        );
        // Computed independently: printf 'sceau/action/v1\0' | cat - canonical.json | sha256sum
        assert_eq!(action.sha256(), sha256(&[action.canonical()]));
        assert_ne!(&action.sha256(), action.challenge().as_bytes());
    }

    #[test]
    fn members_sort_by_utf16_code_units() {
        let mut changed = document();
        changed["params"] = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let Err(ActionError::Json(JsonError::NotNfc)) = parse(&changed) else {
            panic!("U+FB33 is not NFC")
        };
        changed["params"] = json!({"\u{20ac}": 1, "\r": 2, "\u{ffe0}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let canonical = parse(&changed).unwrap().canonical_text().to_owned();
        let expected = "\"params\":{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{ffe0}\":3}";
        assert!(canonical.contains(expected), "{canonical}");
    }

    #[test]
    fn unknown_members_are_part_of_the_bytes() {
        let mut more = document();
        more["zone"] = json!({"a": [null, true]});
        let action = parse(&more).unwrap();
        assert!(
            action
                .canonical_text()
                .ends_with(r#""zone":{"a":[null,true]}}"#)
        );
        assert_ne!(action.challenge(), parse(&document()).unwrap().challenge());
    }

    #[test]
    fn refuses_each_malformed_member_by_its_path() {
        use ActionError as E;
        for v in [json!(null), json!(2), json!("1"), json!(true)] {
            assert_eq!(refused("/v", v), E::UnknownVersion);
        }
        for (pointer, path, values) in [
            (
                "/id",
                "id",
                vec![
                    json!(null),
                    json!(7),
                    json!("019ABCDE-F012-7345-8678-9ABCDEF01234"),
                    json!("019abcdef012734586789abcdef01234"),
                ],
            ),
            (
                "/type",
                "type",
                vec![
                    json!(null),
                    json!(""),
                    json!("a b"),
                    json!("é"),
                    json!("x".repeat(129)),
                ],
            ),
            (
                "/service",
                "service",
                vec![json!(null), json!(""), json!([])],
            ),
            (
                "/requester",
                "requester",
                vec![json!(null), json!("amartin")],
            ),
            (
                "/requester/id",
                "requester.id",
                vec![json!(null), json!("")],
            ),
            (
                "/requester/display",
                "requester.display",
                vec![json!(null), json!(1)],
            ),
            ("/target", "target", vec![json!(null), json!([])]),
            ("/target/kind", "target.kind", vec![json!(null), json!("")]),
            ("/target/id", "target.id", vec![json!(null), json!(4)]),
            (
                "/target/display",
                "target.display",
                vec![json!(null), json!({})],
            ),
            ("/params", "params", vec![json!(null), json!([])]),
            ("/request", "request", vec![json!(false)]),
            (
                "/request/method",
                "request.method",
                vec![json!(null), json!("post"), json!("")],
            ),
            (
                "/request/path",
                "request.path",
                vec![json!(null), json!("accounts")],
            ),
            (
                "/request/body_sha256",
                "request.body_sha256",
                vec![
                    json!(null),
                    json!("ab"),
                    json!("AB".repeat(32)),
                    json!("zz".repeat(32)),
                ],
            ),
            ("/words", "words", vec![json!("x"), json!({"fr": 1})]),
            (
                "/created_at",
                "created_at",
                vec![
                    json!(null),
                    json!(0),
                    json!("2026-11-21"),
                    json!("2026-11-21T19:00:00+00:00"),
                    json!("2026-13-21T19:00:00Z"),
                ],
            ),
            (
                "/expires_at",
                "expires_at",
                vec![json!(null), json!("2026-11-21T19:05:00")],
            ),
            (
                "/nonce",
                "nonce",
                vec![
                    json!(null),
                    json!("AAEC"),
                    json!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
                ],
            ),
        ] {
            for value in values {
                assert_eq!(
                    refused(pointer, value.clone()),
                    E::Member(path),
                    "{pointer} {value}"
                );
            }
        }
        assert_eq!(Action::parse(b"[]"), Err(E::NotAnObject));
        assert_eq!(
            refused("/expires_at", json!("2026-11-21T19:00:00Z")),
            E::ExpiresBeforeCreation
        );
        assert_eq!(
            refused("/expires_at", json!("2026-11-22T19:00:00.1Z")),
            E::LivesTooLong
        );
    }

    #[test]
    fn refuses_ambiguous_documents_by_name() {
        let good = serde_json::to_string(&document()).unwrap();
        let with = |from: &str, to: &str| {
            Action::parse(good.replacen(from, to, 1).as_bytes())
                .unwrap_err()
                .reason()
        };
        assert_eq!(
            with("\"quota\":3", "\"quota\":3,\"quota\":4"),
            "duplicate-member"
        );
        assert_eq!(with("{", "{\"v\":1,"), "duplicate-member");
        assert_eq!(with("\"quota\":3", "\"quota\":3.0"), "not-an-integer");
        assert_eq!(
            with("\"quota\":3", "\"quota\":9007199254740993"),
            "integer-out-of-range"
        );
        assert_eq!(with("Alice", "Ame\u{301}lie"), "not-nfc");
        assert_eq!(with("\"role\"", "\"ro\u{302}le\""), "not-nfc");
        assert_eq!(
            with(
                "\"quota\":3",
                &format!("\"quota\":{}1{}", "[".repeat(15), "]".repeat(15))
            ),
            "too-deep"
        );
        assert_eq!(with("reader", &"x".repeat(MAX_LENGTH)), "too-large");
        assert_eq!(with("{", "{,"), "not-json");
    }

    fn params() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1i64 << 53)..=(1i64 << 53)).prop_map(Value::from),
            "\\PC{0,12}".prop_map(|s: String| Value::from(nfc(&s))),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,8}".prop_map(|s: String| nfc(&s)), inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn nfc(text: &str) -> String {
        use unicode_normalization::UnicodeNormalization as _;
        text.nfc().collect()
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point_and_loses_nothing(value in params()) {
            let mut changed = document();
            changed["params"] = json!({"value": value});
            let action = parse(&changed).unwrap();
            let again = Action::parse(action.canonical()).unwrap();
            prop_assert_eq!(again.canonical(), action.canonical());
            prop_assert_eq!(Value::Object(again.document().clone()), changed);
        }

        #[test]
        fn whitespace_and_order_do_not_matter_but_any_other_change_does(value in params(), other in params()) {
            let with = |value: &Value| {
                let mut changed = document();
                changed["params"] = json!({"value": value});
                Action::parse(serde_json::to_string_pretty(&changed).unwrap().as_bytes()).unwrap().challenge()
            };
            prop_assert_eq!(with(&value) == with(&other), value == other);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Action::parse(&bytes).is_err());
        }
    }
}
