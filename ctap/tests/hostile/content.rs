//! Lies in what is said, whatever the port: truncated and oversized CBOR, foreign credentials, absurd counts, keys off the curve.

use sceau_ctap::credential_management;

use super::*;

/// Signs with a key that answers GET_ASSERTION with `lie`.
fn sign_lied_to(lie: Vec<u8>) -> Result<Vec<u8>, Error> {
    let key = Key::new(info_2_1());
    key.borrow_mut().lies.insert(2, [vec![0], lie].concat());
    lied_to(&key, Ok, sign)
}

#[test]
fn truncated_cbor_is_refused_at_every_byte() {
    let honest = assertion(RP_ID, 0x01, &[7; 64], 1);
    for length in 0..honest.len() {
        let result = sign_lied_to(honest[..length].to_vec());
        assert_eq!(
            result,
            wire(ReplyError::Cbor(CborError::Truncated)),
            "{length}"
        );
    }
    assert!(sign_lied_to(honest.clone()).is_ok());
    assert_eq!(
        sign_lied_to([honest, vec![0]].concat()),
        wire(ReplyError::Cbor(CborError::Trailing))
    );
}

#[test]
fn an_answer_without_even_a_status_is_refused() {
    let key = Key::new(info_2_1());
    key.borrow_mut().lies.insert(2, Vec::new());
    assert_eq!(lied_to(&key, Ok, sign), wire(FramingError::Empty));
}

#[test]
fn credential_ids_of_64_kib_are_refused() {
    let mut data = authenticator_data(RP_ID, 0x01, Some(&[7; 64]));
    data[53..55].copy_from_slice(&[0xff, 0xff]);
    let mut reply = Writer::new();
    reply
        .map(3)
        .unsigned(1)
        .text("packed")
        .unsigned(2)
        .bytes(&data)
        .unsigned(3)
        .map(0);
    let key = Key::new(info_2_1());
    key.borrow_mut()
        .lies
        .insert(1, [vec![0], reply.into_bytes()].concat());
    assert_eq!(
        lied_to(&key, Ok, make),
        wire(ReplyError::Invalid("credentialId"))
    );
    assert_eq!(
        sign_lied_to(assertion(RP_ID, 1, &[7; 1024], 1)),
        wire(ReplyError::Invalid("credential"))
    );
}

#[test]
fn an_assertion_by_a_credential_that_was_not_asked_for_is_refused() {
    assert_eq!(
        sign_lied_to(assertion(RP_ID, 1, &[8; 64], 1)),
        wire(ReplyError::Invalid("credential"))
    );
    assert_eq!(
        sign_lied_to(assertion("evil.example", 1, &[7; 64], 1)),
        wire(ReplyError::Invalid("rpIdHash"))
    );
}

#[test]
fn two_to_the_31_credentials_are_not_asked_for() {
    for count in [33, 1 << 31, u64::MAX] {
        let key = Key::new(info_2_1());
        key.borrow_mut()
            .lies
            .insert(2, [vec![0], assertion(RP_ID, 1, &[7; 64], count)].concat());
        let request = GetAssertion {
            rp_id: RP_ID,
            client_data_hash: &HASH,
            allow: &[],
            up: true,
            uv: false,
            token: None,
        };
        let result = lied_to(&key, Ok, |device| {
            get_assertion(device, &request, &mut unattended)
        });
        assert_eq!(result, Err(Refused::TooManyCredentials.into()));
        assert!(!key.borrow().requests.iter().any(|request| request[0] == 8));
    }
}

#[test]
fn two_to_the_31_stored_credentials_are_not_listed() {
    for count in [257, 1 << 31, u64::MAX] {
        let key = Key::new(info_with_management());
        let mut m = Writer::new();
        m.map(3)
            .unsigned(3)
            .map(1)
            .text("id")
            .text(RP_ID)
            .unsigned(4)
            .bytes(&[3; 32])
            .unsigned(5)
            .unsigned(count);
        key.borrow_mut()
            .lies
            .insert(0x0a, [vec![0], m.into_bytes()].concat());
        let pin = Pin::new(crate::rig::PIN).unwrap();
        let result = lied_to(&key, Ok, |device| {
            let info = info::info(device)?;
            let token = credential_management::token(device, &info, &pin, &mut Draws::default())?;
            credential_management::credentials(device, &info, &token)
        });
        assert_eq!(result, Err(Refused::TooManyCredentials.into()));
        assert_eq!(
            key.borrow()
                .requests
                .iter()
                .filter(|request| request[0] == 0x0a)
                .count(),
            1
        );
    }
}

/// getInfo of a CTAP 2.0 key that has credential management.
fn info_with_management() -> Vec<u8> {
    let mut m = Writer::new();
    m.map(4)
        .unsigned(1)
        .array(1)
        .text("FIDO_2_0")
        .unsigned(3)
        .bytes(&[0; 16]);
    m.unsigned(4)
        .map(2)
        .text("credMgmt")
        .bool(true)
        .text("clientPin")
        .bool(true)
        .unsigned(6)
        .array(1)
        .unsigned(1);
    m.into_bytes()
}

#[test]
fn duplicate_members_deep_nesting_and_wrong_types_are_refused() {
    let of = |cbor: &str| sign_lied_to(hex::decode(cbor).unwrap());
    assert_eq!(
        of("a201000100"),
        wire(ReplyError::Cbor(CborError::DuplicateKey))
    );
    assert_eq!(
        of(&format!("{}00", "81".repeat(5000))),
        wire(ReplyError::Cbor(CborError::Depth))
    );
    assert_eq!(of("ba80000000"), wire(ReplyError::Cbor(CborError::TooMany)));
    assert_eq!(of("80"), wire(ReplyError::Missing("authData")));
    assert_eq!(of("a202030303"), wire(ReplyError::Invalid("authData")));
}

#[test]
fn a_key_agreement_key_off_the_curve_is_refused() {
    let mut m = Writer::new();
    m.map(1)
        .unsigned(1)
        .map(5)
        .integer(1)
        .integer(2)
        .integer(3)
        .integer(-25)
        .integer(-1)
        .integer(1);
    m.integer(-2).bytes(&[1; 32]).integer(-3).bytes(&[1; 32]);
    let key = Key::new(info_2_1());
    key.borrow_mut()
        .lies
        .insert(6, [vec![0], m.into_bytes()].concat());
    let pin = Pin::new("1234").unwrap();
    for protocol in [PinProtocol::One, PinProtocol::Two] {
        let result = lied_to(&key, Ok, |device| {
            client_pin::pin_token(device, protocol, &pin, &mut Draws::default()).map(|_| ())
        });
        assert_eq!(result, wire(ReplyError::Invalid("keyAgreement")));
    }
}
