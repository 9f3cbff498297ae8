//! An independent second verifier of registrations: webauthn-rs-core.
//!
//! Enrolment is rare and the root of all trust, so where webauthn-rs has an opinion of its own it must agree with ours:
//! [`Opinion::Disagrees`] refuses an enrolment. It is given the recorded challenge through the serde form of its
//! `RegistrationState` (its version is pinned; a test holds the form), no CA list (trust is ours) and no say on algorithms.
//! What it cannot judge is [`Opinion::Silent`], for reasons that it is known for: credentials other than ES256 and ES384
//! (of RSA keys it takes one size); attestation signatures other than ES256, ES384 and RS256; SHA-1; unusual origins; the formats that it reads differently from the standard (see `attestation.rs`).

use serde_json::json;
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::proto::{RegisterPublicKeyCredential, RegistrationState};

use super::{Format, RegistrationExpectation, RegistrationResponse, VerifiedRegistration};
use crate::base64url;
use crate::cbor::{self, Rules, Value};

/// What the second verifier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It accepts the registration and found the same credential.
    Agrees,
    /// It cannot judge this one; why.
    Silent(&'static str),
    /// It refuses what ours accepted (its error), or found another credential.
    Disagrees(String),
}

/// Asks webauthn-rs about a registration that ours has verified.
#[must_use]
pub fn ask(
    response: &RegistrationResponse<'_>,
    expectation: &RegistrationExpectation,
    verified: &VerifiedRegistration,
) -> Opinion {
    if let Some(why) = silence(response, expectation, verified) {
        return Opinion::Silent(why);
    }
    let (Ok(origin), Some((credential, state))) = (
        verified.origin().parse(),
        inputs(response, expectation, verified),
    ) else {
        return Opinion::Silent("input");
    };
    let core = WebauthnCore::new_unsafe_experts_only(
        "Sceau",
        &expectation.rp_id,
        vec![origin],
        std::time::Duration::from_secs(60),
        Some(false),
        Some(false),
    );
    match core.register_credential(&credential, &state, None) {
        Ok(found) if found.cred_id.as_slice() == verified.credential_id().as_bytes() => {
            Opinion::Agrees
        }
        Ok(_) => Opinion::Disagrees("another credential".to_owned()),
        Err(error) => Opinion::Disagrees(format!("{error:?}")),
    }
}

fn silence(
    response: &RegistrationResponse<'_>,
    expectation: &RegistrationExpectation,
    verified: &VerifiedRegistration,
) -> Option<&'static str> {
    if !matches!(
        verified.format(),
        Format::Packed | Format::FidoU2f | Format::None
    ) {
        return Some("format");
    }
    if ![-7, -35].contains(&verified.key().algorithm()) {
        return Some("credential-algorithm");
    }
    // It takes signatures of other algorithms for bad ones.
    let object = cbor::parse(response.attestation_object, Rules::TOLERANT).ok();
    let members = object.as_ref().and_then(Value::as_map);
    let statement = members.and_then(|members| members.text("attStmt"));
    let algorithm = statement.and_then(|statement| statement.as_map()?.text("alg")?.as_int());
    if algorithm.is_some_and(|number| ![-7, -35, -257].contains(&number)) {
        return Some("attestation-algorithm");
    }
    if verified.is_weakly_signed() {
        return Some("sha-1");
    }
    if expectation.allow_cross_origin {
        return Some("cross-origin");
    }
    None
}

/// webauthn-rs' forms of the same bytes; `None` when it has no form for them.
fn inputs(
    response: &RegistrationResponse<'_>,
    expectation: &RegistrationExpectation,
    verified: &VerifiedRegistration,
) -> Option<(RegisterPublicKeyCredential, RegistrationState)> {
    let id = verified.credential_id().to_string();
    let credential = json!({
        "id": id,
        "rawId": id,
        "type": "public-key",
        "extensions": {},
        "response": {
            "attestationObject": base64url::encode(response.attestation_object),
            "clientDataJSON": base64url::encode(response.client_data_json),
        },
    });
    let state = json!({
        "policy": if expectation.require_uv { "required" } else { "preferred" },
        "exclude_credentials": [],
        "challenge": base64url::encode(&expectation.challenge),
        "credential_algorithms": ["ES256", "ES384"],
        "require_resident_key": false,
        "authenticator_attachment": null,
        "extensions": {},
        "allow_synchronised_authenticators": true,
    });
    Some((
        serde_json::from_value(credential).ok()?,
        serde_json::from_value(state).ok()?,
    ))
}
