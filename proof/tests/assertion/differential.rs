//! Our verifier against webauthn-rs-core, which shares no code with it, on thousands of generated and mutated assertions. Each difference must
//! belong to a named category whose predicate holds of that very input; one that belongs to none fails the test, and so does a category that no
//! input shows any more. Known beforehand: webauthn-rs-core does not look at `crossOrigin`, and cannot allow `up=0`.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sceau_proof::assertion::{AssertionError, AssertionResponse, Expectation, Rejection, verify};
use sceau_proof::authenticator_data::{AuthenticatorDataError, CredentialId};
use sceau_proof::base64url::encode;
use sceau_proof::cbor::{self, Rules};
use sceau_proof::client_data::ClientDataError;
use sceau_proof::cose::PublicKey;
use serde_json::{Value, json};
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::error::WebauthnError;
use webauthn_rs_core::proto::{
    AttestationFormat, AuthenticationState, COSEAlgorithm, COSEEC2Key, COSEKey, COSEKeyType,
    COSERSAKey, Credential, ECDSACurve, ParsedAttestation, PublicKeyCredential,
    RegisteredExtensions, UserVerificationPolicy,
};

use crate::forge::{Assertion, CHALLENGE, CREDENTIAL, Key, ORIGIN, RP_ID, Signed, client_data};

const CASES: usize = 6000;
/// How many categories of differences there are.
const CATEGORIES: usize = 13;

/// One input for both verifiers.
#[derive(Debug, Clone)]
struct Input {
    client_data: Vec<u8>,
    rp_id: &'static str,
    flags: u8,
    sign_count: u32,
    tail: Vec<u8>,
    stored_sign_count: u32,
    stored_backup_eligible: bool,
    require_uv: bool,
    allow_up_false: bool,
    /// A byte flipped after signing: which part, where, with what.
    flip: Option<(u8, usize, u8)>,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Signature {
    Genuine,
    OtherKey,
    Empty,
    TrailingByte,
}

fn texts(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(choices)
}

/// Mostly right, sometimes wrong: what a check compares.
fn mostly<T: Clone + std::fmt::Debug + 'static>(
    right: T,
    wrong: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    proptest::prop_oneof![12 => proptest::strategy::Just(right), 1 => wrong]
}

fn client_data_strategy() -> impl Strategy<Value = Vec<u8>> {
    let origins = texts(&[
        "https://evil.example",
        "https://login.sceau.example",
        "https://sceau.example:443",
        "https://sceau.example:8443",
        "https://sceau.example/",
        "https://sceau.example/login?x#y",
        "https://SCEAU.example",
        "HTTPS://sceau.example",
        "http://sceau.example",
        "https://user@sceau.example",
        "https://sceau.example.evil.example",
        " https://sceau.example",
        "null",
        "",
    ]);
    let members = (
        mostly(
            "webauthn.get",
            texts(&["webauthn.create", "", "Webauthn.get"]),
        ),
        mostly(
            encode(CHALLENGE),
            proptest::sample::select(vec![
                encode([0; 32]),
                encode(&CHALLENGE[..16]),
                encode(CHALLENGE) + "=",
                String::new(),
            ]),
        ),
        mostly(ORIGIN, origins),
        mostly(
            json!(false),
            proptest::sample::select(vec![json!(true), Value::Null, json!("false"), json!(0)]),
        ),
        mostly(
            Value::Null,
            proptest::sample::select(vec![json!(ORIGIN), json!("https://evil.example"), json!(1)]),
        ),
        mostly(
            Value::Null,
            proptest::sample::select(vec![
                json!({"deep": [1.5e300, "\u{0}"]}),
                json!("x"),
                json!([[[]]]),
            ]),
        ),
    );
    let text = members.prop_map(
        |(type_, challenge, origin, cross_origin, top_origin, extra)| {
            client_data(&[
                ("type", json!(type_)),
                ("challenge", json!(challenge)),
                ("origin", json!(origin)),
                ("crossOrigin", cross_origin),
                ("topOrigin", top_origin),
                ("extra", extra),
            ])
        },
    );
    // How the same members are written.
    let spelling = mostly(0u8, 1..9u8);
    (text, spelling).prop_map(|(text, spelling)| {
        let text = String::from_utf8(text).unwrap();
        match spelling {
            0 => text,
            1 => text.replace(':', " :\t").replace(',', "\n, "),
            2 => text.replacen('{', "{\"challenge\":\"AAAA\",", 1),
            3 => text.replacen('{', "{\"z\":1,\"z\":2,", 1),
            4 => format!("\u{feff}{text}"),
            5 => text.replace("webauthn", "web\\u0061uthn"),
            6 => format!("{text} {{}}"),
            7 => text.replace("\"crossOrigin\":false", "\"crossOrigin\":null"),
            _ => text.replacen('{', "{\"tokenBinding\":\"supported\",", 1),
        }
        .into_bytes()
    })
}

/// Flags that announce a tail, with the tail, right or wrong.
fn tail_strategy() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let attested = |length: u16, id: usize, key: &[u8]| {
        [&[0xaa; 16], &length.to_be_bytes()[..], &vec![7; id], key].concat()
    };
    mostly(
        (0x00, vec![]),
        proptest::sample::select(vec![
            (0x00, vec![0]),
            (0x40, vec![]),
            (0x40, attested(16, 16, &[0xa1, 1, 2])),
            (0x40, attested(16, 16, &[0xa1, 1, 2, 0])),
            (0x40, attested(1023, 1023, &[0xa0])),
            (0x40, attested(1024, 1024, &[0xa0])),
            (0x40, attested(0, 0, &[0xa0])),
            (0x40, attested(16, 16, &[0x80])),
            (0x40, attested(16, 16, &[0xa2, 1, 2, 1, 2])),
            (0x40, attested(16, 16, &[0xbf, 1, 2, 0xff])),
            (0x80, vec![0xa1, 0x61, b'x', 0xf5]),
            (0x80, vec![0xa1, 0x01, 0xf5]),
            (0x80, vec![0xa0, 0xa0]),
            (0x80, vec![0x80]),
            (0x80, vec![]),
            (0xc0, [attested(16, 16, &[0xa0]), vec![0xa0]].concat()),
        ]),
    )
}

fn inputs() -> impl Strategy<Value = Input> {
    use proptest::prelude::any;
    let flags = mostly(0x05u8, any::<u8>().prop_map(|bits| bits & 0x3f));
    let counters = mostly(
        (7, 6),
        proptest::sample::select(vec![
            (0, 0),
            (7, 7),
            (6, 7),
            (0, 7),
            (7, 0),
            (u32::MAX, u32::MAX - 1),
        ]),
    );
    let flip = proptest::option::weighted(0.15, (0u8..3, any::<usize>(), 1u8..));
    let signature = mostly(
        Signature::Genuine,
        proptest::sample::select(vec![
            Signature::OtherKey,
            Signature::Empty,
            Signature::TrailingByte,
        ]),
    );
    let expectations = (
        mostly(false, proptest::strategy::Just(true)),
        any::<bool>(),
        any::<bool>(),
    );
    (
        client_data_strategy(),
        mostly(RP_ID, texts(&["evil.example", "example", ""])),
        flags,
        counters,
        tail_strategy(),
        flip,
        signature,
        expectations,
    )
        .prop_map(
            |(
                client_data,
                rp_id,
                flags,
                (sign_count, stored_sign_count),
                (announced, tail),
                flip,
                signature,
                expected,
            )| Input {
                client_data,
                rp_id,
                flags: flags | announced,
                sign_count,
                tail,
                stored_sign_count,
                stored_backup_eligible: expected.0,
                require_uv: expected.1,
                allow_up_false: expected.2,
                flip,
                signature,
            },
        )
}

impl Input {
    fn sign(&self, key: &Key, other: &Key) -> Signed {
        let assertion = Assertion {
            client_data: self.client_data.clone(),
            rp_id: self.rp_id.to_owned(),
            flags: self.flags,
            sign_count: self.sign_count,
            tail: self.tail.clone(),
        };
        let mut signed = assertion.sign(if self.signature == Signature::OtherKey {
            other
        } else {
            key
        });
        match self.signature {
            Signature::Empty => signed.signature.clear(),
            Signature::TrailingByte => signed.signature.push(0),
            Signature::Genuine | Signature::OtherKey => (),
        }
        if let Some((part, at, with)) = self.flip {
            let bytes = match part {
                0 => &mut signed.client_data,
                1 => &mut signed.authenticator_data,
                _ => &mut signed.signature,
            };
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] ^= with;
            }
        }
        signed
    }
}

fn ours(input: &Input, signed: &Signed, key: &PublicKey) -> Result<(), AssertionError> {
    let response = AssertionResponse::from_json(signed.response().to_string().as_bytes())?;
    let (origins, ids) = (
        [ORIGIN.to_owned()],
        [CredentialId::new(CREDENTIAL).unwrap()],
    );
    let expected = Expectation {
        require_uv: input.require_uv,
        credential_ids: &ids,
        stored_sign_count: Some(input.stored_sign_count),
        stored_backup_eligible: Some(input.stored_backup_eligible),
        allow_up_false: input.allow_up_false,
        ..Expectation::new(RP_ID, &origins, &CHALLENGE)
    };
    verify(&response, key, &expected).map(drop)
}

fn theirs(input: &Input, signed: &Signed, key: &COSEKey) -> Result<(), WebauthnError> {
    let core = WebauthnCore::new_unsafe_experts_only(
        "rp",
        RP_ID,
        vec![ORIGIN.parse().unwrap()],
        Duration::from_secs(60),
        None,
        None,
    );
    let policy = if input.require_uv {
        UserVerificationPolicy::Required
    } else {
        UserVerificationPolicy::Discouraged_DO_NOT_USE
    };
    let credential = Credential {
        cred_id: CREDENTIAL.to_vec(),
        cred: key.clone(),
        counter: input.stored_sign_count,
        transports: None,
        user_verified: input.require_uv,
        backup_eligible: input.stored_backup_eligible,
        backup_state: false,
        registration_policy: policy,
        extensions: RegisteredExtensions::none(),
        attestation: ParsedAttestation::default(),
        attestation_format: AttestationFormat::None,
    };
    // Its state is serialisable, which is how a recorded challenge gets in.
    let state: AuthenticationState = serde_json::from_value(json!({
        "credentials": [credential], "policy": policy, "challenge": encode(CHALLENGE), "appid": null, "allow_backup_eligible_upgrade": false,
    }))
    .unwrap();
    let response: PublicKeyCredential = serde_json::from_value(json!({
        "id": encode(CREDENTIAL), "rawId": encode(CREDENTIAL), "type": "public-key", "extensions": {},
        "response": {"clientDataJSON": encode(&signed.client_data), "authenticatorData": encode(&signed.authenticator_data),
                     "signature": encode(&signed.signature), "userHandle": null},
    }))
    .unwrap();
    core.authenticate_credential(&response, &state).map(drop)
}

/// The same public key in their words.
fn their_key(key: &Key) -> COSEKey {
    let parsed = cbor::parse(&key.cose, Rules::STRICT).unwrap();
    let bytes = |label| {
        parsed
            .as_map()
            .unwrap()
            .int(label)
            .unwrap()
            .as_bytes()
            .unwrap()
            .to_vec()
    };
    let ec = |curve| {
        COSEKeyType::EC_EC2(COSEEC2Key {
            curve,
            x: bytes(-2),
            y: bytes(-3),
        })
    };
    match key.alg {
        -7 => COSEKey {
            type_: COSEAlgorithm::ES256,
            key: ec(ECDSACurve::SECP256R1),
        },
        -35 => COSEKey {
            type_: COSEAlgorithm::ES384,
            key: ec(ECDSACurve::SECP384R1),
        },
        -257 => COSEKey {
            type_: COSEAlgorithm::RS256,
            key: COSEKeyType::RSA(COSERSAKey {
                n: bytes(-1),
                e: bytes(-2).try_into().unwrap(),
            }),
        },
        other => panic!("they do not verify {other}"),
    }
}

/// The category that explains a difference; None when nothing does.
fn explain(
    signed: &Signed,
    ours: &Result<(), AssertionError>,
    theirs: &Result<(), WebauthnError>,
) -> Option<&'static str> {
    use AssertionError as E;
    let text = std::str::from_utf8(&signed.client_data).unwrap_or_default();
    match (ours, theirs) {
        (Err(E::Rejected(Rejection::CrossOrigin)), Ok(())) => text
            .contains("\"crossOrigin\":true")
            .then_some("they do not look at crossOrigin"),
        (Err(E::Rejected(Rejection::TopOrigin)), Ok(())) => text
            .contains("\"topOrigin\"")
            .then_some("they do not look at topOrigin"),
        (Ok(()), Err(WebauthnError::UserNotPresent)) => {
            (signed.authenticator_data[32] & 1 == 0).then_some("they cannot allow up=0")
        }
        (Err(E::Rejected(Rejection::Origin)), Ok(())) => {
            let client_data: Value = serde_json::from_slice(&signed.client_data).ok()?;
            let origin = client_data["origin"].as_str()?;
            let same =
                url::Url::parse(origin).ok()?.origin() == url::Url::parse(ORIGIN).ok()?.origin();
            (same && origin != ORIGIN).then_some("they compare origins as URLs, not as texts")
        }
        (Err(E::Rejected(Rejection::Challenge)), Ok(())) => text
            .contains(&format!("\"challenge\":\"{}=\"", encode(CHALLENGE)))
            .then_some("they take a padded challenge for the same"),
        (Err(E::MalformedClientData(ClientDataError::DuplicateMember)), Ok(())) => text
            .contains("\"z\":1,\"z\":2")
            .then_some("they let an unknown member occur twice"),
        (Err(E::MalformedClientData(ClientDataError::Member("crossOrigin"))), Ok(())) => text
            .contains("\"crossOrigin\":null")
            .then_some("they take a null crossOrigin for an absent one"),
        (Err(E::MalformedClientData(ClientDataError::Member("topOrigin"))), Ok(())) => text
            .contains("\"topOrigin\":1")
            .then_some("they do not look at topOrigin"),
        (Ok(()), Err(WebauthnError::ParseJSONFailure(_))) if text.starts_with('\u{feff}') => {
            Some("they do not strip a byte order mark")
        }
        (Ok(()), Err(WebauthnError::ParseJSONFailure(_))) => text
            .contains("\"tokenBinding\":\"")
            .then_some("they parse tokenBinding, which L3 no longer has"),
        (Err(E::MalformedAuthenticatorData(AuthenticatorDataError::TrailingBytes)), Ok(())) => {
            Some("they let bytes follow the authenticator data")
        }
        (
            Err(E::MalformedAuthenticatorData(AuthenticatorDataError::CredentialIdLength)),
            Ok(()),
        ) => Some("they let a credential ID be of 0 or 1024 to 4096 bytes"),
        (Err(E::MalformedAuthenticatorData(AuthenticatorDataError::PublicKey(_))), Ok(())) => {
            (signed.authenticator_data[32] & 0x40 != 0)
                .then_some("they do not read the public key in an assertion strictly")
        }
        (Ok(()), Err(WebauthnError::ParseNOMFailure)) => (signed.authenticator_data[32] & 0x80
            != 0)
            .then_some("they refuse extension names that are not texts"),
        _ => None,
    }
}

#[test]
fn differs_from_webauthn_rs_only_where_it_is_explained() {
    let keys: Vec<(Key, Key)> = [
        (Key::es256(), Key::es256()),
        (Key::es384(), Key::es384()),
        (Key::rs256(), Key::rs256()),
    ]
    .into();
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]),
    );
    let strategy = inputs();
    let (mut agreed, mut accepted, mut explained, mut unexplained) =
        (0, 0, BTreeMap::<&str, usize>::new(), Vec::new());
    for n in 0..CASES {
        let input = strategy.new_tree(&mut runner).unwrap().current();
        // Mostly P-256, as in the world, and their RSA is slow.
        let (key, other) = &keys[if n % 8 < 6 { 0 } else { n % 8 - 5 }];
        let signed = input.sign(key, other);
        let public = PublicKey::from_cose(&key.cose).unwrap();
        let (ours, theirs) = (
            ours(&input, &signed, &public),
            theirs(&input, &signed, &their_key(key)),
        );
        if ours.is_ok() == theirs.is_ok() {
            agreed += 1;
            accepted += usize::from(ours.is_ok());
        } else if let Some(category) = explain(&signed, &ours, &theirs) {
            *explained.entry(category).or_default() += 1;
        } else {
            let data = (
                String::from_utf8_lossy(&signed.client_data),
                hex::encode(&signed.authenticator_data),
                hex::encode(&signed.signature),
            );
            unexplained.push(format!(
                "alg {}: ours {ours:?}, theirs {theirs:?}\n  {data:?}",
                key.alg
            ));
        }
    }
    eprintln!("{CASES} assertions: {agreed} alike ({accepted} accepted), {explained:#?}");
    assert!(
        unexplained.is_empty(),
        "{} unexplained:\n{}",
        unexplained.len(),
        unexplained[..unexplained.len().min(5)].join("\n")
    );
    assert!(
        accepted > CASES / 10 && agreed - accepted > CASES / 10,
        "both verdicts are exercised"
    );
    assert_eq!(
        explained.len(),
        CATEGORIES,
        "every category is still shown by an input: {explained:#?}"
    );
}
