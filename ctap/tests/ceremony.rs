//! Registration and authentication from end to end, over both ports, against an honest authenticator.

use sceau_ctap::apdu::Framing;
use sceau_ctap::ceremony::{
    self, Authentication, Method, Operation, Registration, ResidentKey, UserVerification, plan,
};
use sceau_ctap::client_pin;
use sceau_ctap::command;
use sceau_ctap::credential::{self, CredProtect, RelyingParty, User};
use sceau_ctap::hid::HidDevice;
use sceau_ctap::info::{self, AuthenticatorInfo};
use sceau_ctap::nfc::{NfcDevice, Protocols};
use sceau_ctap::pin_protocol::PinProtocol;
use sceau_ctap::{
    Control, Deadlines, Device, Error, Keepalive, Pin, Refused, Status, WireError, unattended,
};

use crate::rig::{Card, Draws, Key, PIN, RP_ID, SharedKey, SimClock, Stick, info_2_0, info_2_1};

const HASH: [u8; 32] = [0x11; 32];

fn nfc(key: &SharedKey, framing: Framing) -> NfcDevice<Card, SimClock> {
    NfcDevice::select(
        Card::new(key.clone()),
        SimClock::default(),
        framing,
        Deadlines::default(),
        None,
    )
    .unwrap()
}

fn hid(key: &SharedKey) -> HidDevice<Stick, SimClock> {
    let clock = SimClock::default();
    HidDevice::open(
        Stick::new(key.clone(), clock.clone()),
        clock,
        [1; 8],
        Deadlines::default(),
    )
    .unwrap()
}

/// The same key in every way it can be plugged in.
fn everywhere(key: &SharedKey) -> Vec<Box<dyn Device>> {
    vec![
        Box::new(nfc(key, Framing::Short)),
        Box::new(nfc(key, Framing::ShortT0)),
        Box::new(nfc(key, Framing::Extended)),
        Box::new(hid(key)),
    ]
}

fn registration<'a>(exclude: &'a [Vec<u8>]) -> Registration<'a> {
    Registration {
        client_data_hash: &HASH,
        rp: RelyingParty {
            id: RP_ID,
            name: Some("Sceau"),
        },
        user: User {
            id: b"amartin",
            name: Some("amartin"),
            display_name: Some("Alice Martin"),
        },
        algorithms: &[-7, -8],
        exclude,
        resident_key: ResidentKey::Discouraged,
        user_verification: UserVerification::Required,
        cred_protect: Some(CredProtect::Required),
    }
}

fn authentication<'a>(allow: &'a [Vec<u8>]) -> Authentication<'a> {
    Authentication {
        client_data_hash: &HASH,
        rp_id: RP_ID,
        allow,
        user_verification: UserVerification::Required,
    }
}

fn pin() -> Pin {
    Pin::new(PIN).unwrap()
}

#[test]
fn registers_and_authenticates_over_every_framing_with_both_protocols() {
    for reply in [info_2_1(), info_2_0()] {
        let key = Key::new(reply);
        for device in &mut everywhere(&key) {
            let device = device.as_mut();
            let mut touches = 0;
            let mut progress = |keepalive| {
                touches += usize::from(keepalive == Keepalive::UpNeeded);
                Control::Continue
            };
            let info = info::info(device).unwrap();
            let mut draws = Draws::default();
            let made = ceremony::register(
                device,
                &info,
                &registration(&[]),
                Some(&pin()),
                &mut draws,
                &mut progress,
            )
            .unwrap();
            assert_eq!(Some(&made.credential_id), key.borrow().credentials.last());
            let allow = [made.credential_id.clone()];
            let assertions = ceremony::authenticate(
                device,
                &info,
                &authentication(&allow),
                Some(&pin()),
                &mut draws,
                &mut progress,
            )
            .unwrap();
            assert_eq!(assertions.len(), 1);
            assert_eq!(assertions[0].credential_id, made.credential_id);
            assert!(assertions[0].user_present && assertions[0].user_verified);
            assert_eq!(touches, 6, "each keep-alive is passed on");
        }
    }
}

#[test]
fn the_attestation_object_holds_the_statement_and_data_verbatim() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    let info = info::info(&mut device).unwrap();
    let made = ceremony::register(
        &mut device,
        &info,
        &registration(&[]),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    )
    .unwrap();
    let object = made.attestation_object();
    assert!(sceau_ctap::cbor::is_canonical(&object));
    let item = sceau_ctap::cbor::read(&object).unwrap();
    assert_eq!(item.named("fmt").unwrap().text(), Some("packed"));
    assert_eq!(
        item.named("attStmt").unwrap().raw,
        made.attestation_statement
    );
    assert_eq!(
        item.named("authData").unwrap().bytes(),
        Some(made.authenticator_data.as_slice())
    );
}

#[test]
fn a_wrong_pin_costs_one_try_and_is_not_tried_again() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    let info = info::info(&mut device).unwrap();
    let wrong = Pin::new("000000").unwrap();
    let result = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&[vec![7; 64]]),
        Some(&wrong),
        &mut Draws::default(),
        &mut unattended,
    );
    assert_eq!(result, Err(Error::Status(Status::PIN_INVALID)));
    assert_eq!(client_pin::pin_retries(&mut device).unwrap().left, 7);
}

#[test]
fn sets_and_changes_the_pin_with_both_protocols() {
    for protocol in [PinProtocol::One, PinProtocol::Two] {
        let key = Key::new(info_2_1());
        key.borrow_mut().pin = None;
        let mut device = nfc(&key, Framing::Short);
        client_pin::set_pin(&mut device, protocol, &pin(), &mut Draws::default()).unwrap();
        assert_eq!(key.borrow().pin.as_deref(), Some(PIN));
        let new = Pin::new("correct horse").unwrap();
        client_pin::change_pin(&mut device, protocol, &pin(), &new, &mut Draws::default()).unwrap();
        assert_eq!(key.borrow().pin.as_deref(), Some("correct horse"));
        let again =
            client_pin::change_pin(&mut device, protocol, &pin(), &new, &mut Draws::default());
        assert_eq!(again, Err(Error::Status(Status::PIN_INVALID)));
    }
}

#[test]
fn finds_the_one_credential_in_a_long_list_before_anyone_is_prompted() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    let info = info::info(&mut device).unwrap();
    let mut allow: Vec<Vec<u8>> = (0..30_u8).map(|n| vec![n.wrapping_add(0x40); 64]).collect();
    allow.push(vec![7; 64]);
    let assertions = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&allow),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    )
    .unwrap();
    assert_eq!(assertions[0].credential_id, vec![7; 64]);
    assert_eq!(assertions[0].authenticator_data[32] & 0x05, 0x05);
    assert_eq!(
        ceremony::locate(&mut device, &info, RP_ID, &allow).unwrap(),
        Some(vec![7; 64])
    );
    allow.pop();
    assert_eq!(
        ceremony::locate(&mut device, &info, RP_ID, &allow).unwrap(),
        None
    );
    let absent = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&allow),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    );
    assert_eq!(absent, Err(Refused::NoCredential.into()));
}

#[test]
fn keys_without_silent_look_up_are_asked_list_by_list() {
    let key = Key::new(info_2_0());
    key.borrow_mut().no_silent = true;
    let mut device = nfc(&key, Framing::Short);
    let info = info::info(&mut device).unwrap();
    let allow = [vec![1; 64], vec![7; 64]];
    let assertions = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&allow),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    )
    .unwrap();
    assert_eq!(assertions[0].credential_id, vec![7; 64]);
    assert_eq!(
        ceremony::locate(&mut device, &info, RP_ID, &allow).unwrap(),
        None
    );
}

#[test]
fn a_key_that_is_excluded_says_so_however_long_the_list() {
    for others in [0_u8, 40] {
        let key = Key::new(info_2_1());
        let mut device = hid(&key);
        let info = info::info(&mut device).unwrap();
        let mut exclude: Vec<Vec<u8>> = (0..others)
            .map(|n| vec![n.wrapping_add(0x40); 64])
            .collect();
        exclude.push(vec![7; 64]);
        let result = ceremony::register(
            &mut device,
            &info,
            &registration(&exclude),
            Some(&pin()),
            &mut Draws::default(),
            &mut unattended,
        );
        assert_eq!(result, Err(Error::Status(Status::CREDENTIAL_EXCLUDED)));
    }
}

#[test]
fn discoverable_credentials_are_read_one_by_one() {
    let key = Key::new(info_2_1());
    key.borrow_mut().credentials = vec![vec![1; 32], vec![2; 32], vec![3; 32]];
    let mut device = nfc(&key, Framing::Short);
    let info = info::info(&mut device).unwrap();
    let assertions = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&[]),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    )
    .unwrap();
    let ids: Vec<&[u8]> = assertions
        .iter()
        .map(|a| a.credential_id.as_slice())
        .collect();
    assert_eq!(ids, [[1; 32], [2; 32], [3; 32]]);
}

#[test]
fn long_names_are_cut_between_characters_not_refused() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    let info = info::info(&mut device).unwrap();
    let long = "é".repeat(200);
    let user = User {
        id: b"amartin",
        name: Some(&long),
        display_name: Some(&long),
    };
    let request = Registration {
        user,
        ..registration(&[])
    };
    ceremony::register(
        &mut device,
        &info,
        &request,
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    )
    .unwrap();
    let sent = key
        .borrow()
        .requests
        .iter()
        .find(|r| r[0] == 1)
        .unwrap()
        .clone();
    let sent = sceau_ctap::cbor::read(&sent[1..]).unwrap();
    assert_eq!(
        sent.at(3).unwrap().named("name").unwrap().text(),
        Some("é".repeat(32).as_str())
    );
}

#[test]
fn messages_beyond_the_authenticators_size_are_not_sent() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    let info = info::info(&mut device).unwrap();
    let allow = [vec![7; 1300]];
    let result = ceremony::authenticate(
        &mut device,
        &info,
        &authentication(&allow),
        Some(&pin()),
        &mut Draws::default(),
        &mut unattended,
    );
    assert_eq!(
        result,
        Err(Refused::NoCredential.into()),
        "no authenticator has ids above 1023 bytes"
    );
    let result = device.call(command::GET_ASSERTION, &[0; 8000], &mut unattended);
    assert_eq!(result, Err(Refused::TooLarge.into()));
}

#[test]
fn cancelling_reaches_the_key_and_yields_nothing() {
    let key = Key::new(info_2_1());
    key.borrow_mut().keepalives = 1_000;
    for device in &mut everywhere(&key) {
        let device = device.as_mut();
        key.borrow_mut().cancelled = false;
        let info = info::info(device).unwrap();
        let mut seen = 0;
        let mut progress = |_| {
            seen += 1;
            if seen == 5 {
                Control::Cancel
            } else {
                Control::Continue
            }
        };
        let allow = [vec![7; 64]];
        let result = ceremony::authenticate(
            device,
            &info,
            &authentication(&allow),
            Some(&pin()),
            &mut Draws::default(),
            &mut progress,
        );
        assert_eq!(result, Err(Refused::Cancelled.into()));
        assert!(key.borrow().cancelled);
        info::info(device).expect("the device is usable afterwards");
    }
}

#[test]
fn a_key_that_another_program_uses_is_waited_for_and_then_given_up() {
    let key = Key::new(info_2_1());
    let clock = SimClock::default();
    let mut stick = Stick::new(key, clock.clone());
    stick.busy = 20;
    let mut device =
        HidDevice::open(&mut stick, clock.clone(), [1; 8], Deadlines::default()).unwrap();
    info::info(&mut device).unwrap();
    drop(device);
    stick.busy = usize::MAX;
    let mut device = HidDevice::open(&mut stick, clock, [2; 8], Deadlines::default()).unwrap();
    assert_eq!(info::info(&mut device), Err(WireError::Busy.into()));
}

#[test]
fn winks_selects_and_tells_its_capabilities() {
    let key = Key::new(info_2_1());
    let mut device = hid(&key);
    assert_eq!(device.greeting().version, [5, 4, 3]);
    assert!(device.speaks_ctap2() && device.speaks_u2f());
    device.wink().unwrap();
    command::selection(&mut device, &mut unattended).unwrap();
    assert_eq!(device.max_message(), 7609);
}

#[test]
fn an_applet_that_says_u2f_is_asked_for_ctap2_once() {
    let key = Key::new(info_2_0());
    let mut card = Card::new(key.clone());
    card.version = "U2F_V2";
    let device = NfcDevice::select(
        &mut card,
        SimClock::default(),
        Framing::Short,
        Deadlines::default(),
        None,
    )
    .unwrap();
    let known = device.protocols();
    assert_eq!(
        known,
        Protocols {
            ctap2: true,
            u2f: true
        }
    );
    device.end().unwrap();
    let before = card.commands.len();
    NfcDevice::select(
        &mut card,
        SimClock::default(),
        Framing::Short,
        Deadlines::default(),
        Some(known),
    )
    .unwrap();
    assert_eq!(card.commands.len(), before + 1);
}

#[test]
fn touching_a_ctap_2_0_key_creates_nothing() {
    let key = Key::new(info_2_0());
    let mut device = hid(&key);
    credential::touch(&mut device, PinProtocol::One, &mut unattended).unwrap();
    assert_eq!(key.borrow().credentials.len(), 1);
}

fn planned(
    change: impl FnOnce(&mut AuthenticatorInfo),
    operation: Operation,
    wish: UserVerification,
) -> Result<Method, Refused> {
    let mut info = AuthenticatorInfo::read(&info_2_1()).unwrap();
    change(&mut info);
    plan(&info, operation, wish, false)
}

#[test]
fn plans_follow_what_the_authenticator_says() {
    use UserVerification::{Discouraged, Preferred, Required};
    let get = Operation::Authenticate;
    let plain = Operation::Register {
        discoverable: false,
    };
    let discoverable = Operation::Register { discoverable: true };
    let none = |info: &mut AuthenticatorInfo| info.options.client_pin = None;
    let unset = |info: &mut AuthenticatorInfo| info.options.client_pin = Some(false);
    let fingerprint = |info: &mut AuthenticatorInfo| info.options.uv = Some(true);
    assert_eq!(planned(|_| (), get, Required), Ok(Method::Pin));
    assert_eq!(planned(|_| (), get, Preferred), Ok(Method::Pin));
    assert_eq!(planned(|_| (), get, Discouraged), Ok(Method::None));
    assert_eq!(
        planned(|i| i.options.always_uv = Some(true), get, Discouraged),
        Ok(Method::Pin)
    );
    assert_eq!(planned(fingerprint, get, Required), Ok(Method::BuiltIn));
    assert_eq!(planned(unset, get, Required), Err(Refused::PinNotSet));
    assert_eq!(planned(unset, get, Preferred), Ok(Method::None));
    assert_eq!(
        planned(none, get, Required),
        Err(Refused::NoUserVerification)
    );
    assert_eq!(
        planned(|i| i.force_pin_change = true, get, Required),
        Err(Refused::PinChangeRequired)
    );
    assert_eq!(
        planned(|i| i.pin_uv_auth_protocols = vec![9], get, Required),
        Err(Refused::NoCommonProtocol)
    );
    assert_eq!(
        planned(
            |i| i.options.no_mc_ga_permissions_with_client_pin = true,
            get,
            Required
        ),
        Err(Refused::NoUserVerification)
    );
    // A protected key wants verification to make a credential, except a plain one where makeCredUvNotRqd says so.
    assert_eq!(planned(|_| (), plain, Discouraged), Ok(Method::None));
    assert_eq!(planned(|_| (), discoverable, Discouraged), Ok(Method::Pin));
    assert_eq!(
        planned(
            |i| i.options.make_cred_uv_not_rqd = false,
            plain,
            Discouraged
        ),
        Ok(Method::Pin)
    );
    assert_eq!(planned(none, discoverable, Discouraged), Ok(Method::None));
    // After the fingerprint failed, the PIN.
    let mut info = AuthenticatorInfo::read(&info_2_1()).unwrap();
    info.options.uv = Some(true);
    assert_eq!(plan(&info, get, Required, true), Ok(Method::Pin));
    info.options.client_pin = None;
    assert_eq!(plan(&info, get, Required, true), Ok(Method::BuiltIn));
}
