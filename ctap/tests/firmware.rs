//! Against firmware that nobody here wrote: `vkey` (see `tests/vkey`) runs Nitrokey's FIDO2 and PIV applets; these tests are its reader and its USB port.
//!
//! `vkey` is built on its own; where it is not built, these tests say so. `SCEAU_VKEY` names another binary. Time is real here.
#![allow(clippy::disallowed_methods, reason = "real firmware runs in real time")]

mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use sceau_ctap::apdu::Framing;
use sceau_ctap::ceremony::{
    self, Authentication, Method, Operation, Registration, ResidentKey, UserVerification, plan,
};
use sceau_ctap::client_pin;
use sceau_ctap::command;
use sceau_ctap::config;
use sceau_ctap::credential::{NewCredential, RelyingParty, User};
use sceau_ctap::credential_management;
use sceau_ctap::hid::HidDevice;
use sceau_ctap::info;
use sceau_ctap::nfc::NfcDevice;
use sceau_ctap::pin_protocol::PinProtocol;
use sceau_ctap::piv::{
    Digest, KeyKind, ManagementAlgorithm, ManagementKey, PinOutcome, PinReference, PivCard, PivPin,
    PublicKey, Slot,
};
use sceau_ctap::{
    Clock, Control, Deadlines, Device, Entropy, Error, Keepalive, NoEntropy, Pin, PortError,
    Refused, Status, StatusWord, u2f, unattended,
};

use crate::rig::sha256;
use wire::{Reader, Usb, Vkey};

const RP_ID: &str = "sceau.example";
const HASH: [u8; 32] = [0x44; 32];

fn vkey() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vkey/target/debug/vkey");
    let path = std::env::var_os("SCEAU_VKEY").map_or(beside, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not built", path.display());
    None
}

struct Real(Instant);

impl Clock for Real {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

fn clock() -> Real {
    Real(Instant::now())
}

struct System;

impl Entropy for System {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        aws_lc_rs::rand::fill(out).map_err(|_| NoEntropy)
    }
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
        algorithms: &[-7],
        exclude,
        resident_key: ResidentKey::Discouraged,
        user_verification: UserVerification::Required,
        cred_protect: None,
    }
}

/// The credential's public key as an uncompressed point.
fn point(made: &NewCredential) -> Vec<u8> {
    let key = &made.authenticator_data[37 + 18 + made.credential_id.len()..];
    let (key, _) = sceau_ctap::cbor::read_prefix(key).unwrap();
    [
        &[4],
        key.at(-2).unwrap().bytes().unwrap(),
        key.at(-3).unwrap().bytes().unwrap(),
    ]
    .concat()
}

/// Sets a PIN, registers, signs, changes the PIN, is wrong once, finds and excludes: every signature is verified.
fn whole_life(device: &mut dyn Device, protocol: PinProtocol) {
    let (first, second) = (
        Pin::new("caf\u{e9} 0451").unwrap(),
        Pin::new("correct horse").unwrap(),
    );
    let mut info = info::info(device).unwrap();
    assert_eq!(
        plan(
            &info,
            Operation::Authenticate,
            UserVerification::Required,
            false
        ),
        Err(Refused::PinNotSet)
    );
    client_pin::set_pin(device, protocol, &first, &mut System).unwrap();
    client_pin::change_pin(device, protocol, &first, &second, &mut System).unwrap();
    info = info::info(device).unwrap();
    info.pin_uv_auth_protocols = vec![protocol.number()];
    assert_eq!(
        plan(
            &info,
            Operation::Authenticate,
            UserVerification::Required,
            false
        ),
        Ok(Method::Pin)
    );

    let mut seen = Vec::new();
    let mut watch = |keepalive: Keepalive| {
        seen.push(keepalive);
        Control::Continue
    };
    let made = ceremony::register(
        device,
        &info,
        &registration(&[]),
        Some(&second),
        &mut System,
        &mut watch,
    )
    .unwrap();
    assert_eq!(made.format, "packed");
    let ids: Vec<Vec<u8>> = vec![vec![1; 60], made.credential_id.clone(), vec![2; 60]];
    let again = ceremony::register(
        device,
        &info,
        &registration(&ids),
        Some(&second),
        &mut System,
        &mut unattended,
    );
    assert_eq!(again, Err(Error::Status(Status::CREDENTIAL_EXCLUDED)));
    assert_eq!(
        ceremony::locate(device, &info, RP_ID, &ids)
            .unwrap()
            .as_ref(),
        Some(&made.credential_id)
    );
    assert_eq!(
        ceremony::locate(device, &info, "other.example", &ids).unwrap(),
        None
    );

    let request = Authentication {
        client_data_hash: &HASH,
        rp_id: RP_ID,
        allow: &ids,
        user_verification: UserVerification::Required,
    };
    let wrong = ceremony::authenticate(
        device,
        &info,
        &request,
        Some(&first),
        &mut System,
        &mut unattended,
    );
    assert_eq!(wrong, Err(Error::Status(Status::PIN_INVALID)));
    assert_eq!(client_pin::pin_retries(device).unwrap().left, 7);
    let signed = ceremony::authenticate(
        device,
        &info,
        &request,
        Some(&second),
        &mut System,
        &mut unattended,
    )
    .unwrap()
    .remove(0);
    assert!(signed.user_present && signed.user_verified);
    let message = [signed.authenticator_data.as_slice(), &HASH].concat();
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point(&made))
        .verify(&message, &signed.signature)
        .unwrap();
    assert_eq!(client_pin::pin_retries(device).unwrap().left, 8);
}

#[test]
fn a_pin_for_the_way_serves_once_and_must_then_be_changed() {
    let Some(binary) = vkey() else { return };
    let (_contact, contactless, port) = Reader::listen();
    let _key = Vkey::start(&binary, "vpcd", &["--fido", "--port", &port.to_string()]);
    let reader = Reader::accept(&contactless);
    let device =
        &mut NfcDevice::select(reader, clock(), Framing::Short, Deadlines::default(), None)
            .unwrap();
    let (given, own) = (
        Pin::new("20480719").unwrap(),
        Pin::new("tulipe-4711").unwrap(),
    );
    let fresh = info::info(device).unwrap();
    assert!(config::can_force_pin_change(&fresh) && !fresh.force_pin_change);
    let protocol = fresh.pin_protocol().unwrap();
    client_pin::set_pin(device, protocol, &given, &mut System).unwrap();
    let info = info::info(device).unwrap();
    let register = |device: &mut dyn Device, info: &info::AuthenticatorInfo, pin: &Pin| {
        let request = registration(&[]);
        ceremony::register(
            device,
            info,
            &request,
            Some(pin),
            &mut System,
            &mut unattended,
        )
    };
    register(device, &info, &given).unwrap();
    let wrong = Pin::new("99999999").unwrap();
    let refused = config::force_pin_change(device, &info, &wrong, &mut System);
    assert_eq!(refused, Err(Error::Status(Status::PIN_INVALID)));
    config::force_pin_change(device, &info, &given, &mut System).unwrap();

    // The key itself gives nothing for that PIN any more, whatever its platform thinks.
    let forced = info::info(device).unwrap();
    assert!(forced.force_pin_change);
    let planned = register(device, &forced, &given);
    assert_eq!(
        planned.err(),
        Some(Error::Refused(Refused::PinChangeRequired))
    );
    assert!(matches!(
        register(device, &info, &given),
        Err(Error::Status(_))
    ));
    let same = client_pin::change_pin(device, protocol, &given, &given, &mut System);
    assert_eq!(same, Err(Error::Status(Status::PIN_POLICY_VIOLATION)));
    client_pin::change_pin(device, protocol, &given, &own, &mut System).unwrap();
    let changed = info::info(device).unwrap();
    assert!(!changed.force_pin_change);
    register(device, &changed, &own).unwrap();
}

#[test]
fn discoverable_credentials_are_listed_and_removed() {
    let Some(binary) = vkey() else { return };
    let (_contact, contactless, port) = Reader::listen();
    let _key = Vkey::start(&binary, "vpcd", &["--fido", "--port", &port.to_string()]);
    let reader = Reader::accept(&contactless);
    let mut device =
        NfcDevice::select(reader, clock(), Framing::Short, Deadlines::default(), None).unwrap();
    let pin = Pin::new("123456").unwrap();
    let info = info::info(&mut device).unwrap();
    client_pin::set_pin(&mut device, info.pin_protocol().unwrap(), &pin, &mut System).unwrap();
    let info = info::info(&mut device).unwrap();
    let token = credential_management::token(&mut device, &info, &pin, &mut System).unwrap();
    assert_eq!(
        credential_management::credentials(&mut device, &info, &token).unwrap(),
        []
    );
    for (rp, user) in [
        ("a.example", "one"),
        ("a.example", "two"),
        ("b.example", "three"),
    ] {
        let request = Registration {
            rp: RelyingParty { id: rp, name: None },
            user: User {
                id: user.as_bytes(),
                name: Some(user),
                display_name: None,
            },
            resident_key: ResidentKey::Required,
            ..registration(&[])
        };
        ceremony::register(
            &mut device,
            &info,
            &request,
            Some(&pin),
            &mut System,
            &mut unattended,
        )
        .unwrap();
    }
    let token = credential_management::token(&mut device, &info, &pin, &mut System).unwrap();
    assert_eq!(
        credential_management::metadata(&mut device, &info, &token)
            .unwrap()
            .stored,
        3
    );
    let stored = credential_management::credentials(&mut device, &info, &token).unwrap();
    let mut users: Vec<_> = stored
        .iter()
        .map(|c| (c.rp_id.as_deref().unwrap(), c.user_name.as_deref().unwrap()))
        .collect();
    users.sort_unstable();
    assert_eq!(
        users,
        [
            ("a.example", "one"),
            ("a.example", "two"),
            ("b.example", "three")
        ]
    );
    let discoverable = Authentication {
        client_data_hash: &HASH,
        rp_id: "a.example",
        allow: &[],
        user_verification: UserVerification::Required,
    };
    let signed = ceremony::authenticate(
        &mut device,
        &info,
        &discoverable,
        Some(&pin),
        &mut System,
        &mut unattended,
    )
    .unwrap();
    assert_eq!(signed.len(), 2);
    let token = credential_management::token(&mut device, &info, &pin, &mut System).unwrap();
    credential_management::delete(&mut device, &info, &token, &stored[0].credential_id).unwrap();
    assert_eq!(
        credential_management::credentials(&mut device, &info, &token)
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn fido2_over_nfc_lives_a_whole_life_with_each_protocol_and_framing() {
    let Some(binary) = vkey() else { return };
    for (protocol, framing) in [
        (PinProtocol::One, Framing::Short),
        (PinProtocol::Two, Framing::Extended),
    ] {
        let (_contact, contactless, port) = Reader::listen();
        let key = Vkey::start(&binary, "vpcd", &["--fido", "--port", &port.to_string()]);
        let reader = Reader::accept(&contactless);
        let mut device =
            NfcDevice::select(reader, clock(), framing, Deadlines::default(), None).unwrap();
        assert!(device.protocols().ctap2 && device.protocols().u2f);
        whole_life(&mut device, protocol);
        drop(key);
    }
}

#[test]
fn fido2_over_hid_lives_a_whole_life_with_each_protocol() {
    let Some(binary) = vkey() else { return };
    for protocol in [PinProtocol::One, PinProtocol::Two] {
        let key = Vkey::start(&binary, "sock", &[]);
        let usb = Usb::open(&key.folder.path().join("reports"));
        let mut device = HidDevice::open(usb, clock(), [7; 8], Deadlines::default()).unwrap();
        assert!(device.speaks_ctap2());
        whole_life(&mut device, protocol);
    }
}

#[test]
fn a_touch_is_asked_for_shown_and_can_be_cancelled_over_hid() {
    let Some(binary) = vkey() else { return };
    let key = Vkey::start(&binary, "sock", &["--touch", "never"]);
    let usb = Usb::open(&key.folder.path().join("reports"));
    let mut device = HidDevice::open(usb, clock(), [7; 8], Deadlines::default()).unwrap();
    let (mut asked, start) = (None, Instant::now());
    let result = command::selection(&mut device, &mut |keepalive| {
        if keepalive == Keepalive::UpNeeded {
            asked.get_or_insert(start.elapsed());
        }
        if start.elapsed() > Duration::from_millis(700) {
            Control::Cancel
        } else {
            Control::Continue
        }
    });
    assert_eq!(result, Err(Refused::Cancelled.into()));
    assert!(
        start.elapsed() < Duration::from_millis(1000),
        "{:?}",
        start.elapsed()
    );
    assert!(
        asked.is_some_and(|after| after < Duration::from_millis(500)),
        "{asked:?}"
    );
    key.say(&binary, &["touch", "approve"]);
    command::selection(&mut device, &mut unattended).expect("usable at once afterwards");
}

#[test]
fn unplugging_during_a_touch_is_said_at_once() {
    let Some(binary) = vkey() else { return };
    let key = Vkey::start(&binary, "sock", &["--touch", "never"]);
    let usb = Usb::open(&key.folder.path().join("reports"));
    let mut device = HidDevice::open(usb, clock(), [7; 8], Deadlines::default()).unwrap();
    let start = Instant::now();
    let mut pulled = false;
    let result = command::selection(&mut device, &mut |keepalive| {
        if keepalive == Keepalive::UpNeeded && !std::mem::replace(&mut pulled, true) {
            key.say(&binary, &["remove"]);
        }
        Control::Continue
    });
    assert_eq!(result, Err(PortError::Gone.into()));
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn two_programs_share_one_stick_and_neither_fails() {
    let Some(binary) = vkey() else { return };
    let key = Vkey::start(&binary, "sock", &[]);
    let path = key.folder.path().join("reports");
    let mut one = HidDevice::open(Usb::open(&path), clock(), [1; 8], Deadlines::default()).unwrap();
    let pin = || Pin::new("123456").unwrap();
    client_pin::set_pin(&mut one, PinProtocol::Two, &pin(), &mut System).unwrap();
    let info = info::info(&mut one).unwrap();
    let made = ceremony::register(
        &mut one,
        &info,
        &registration(&[]),
        Some(&pin()),
        &mut System,
        &mut unattended,
    )
    .unwrap();
    let allow = [made.credential_id];
    let rounds = |mut device: HidDevice<Usb, Real>| {
        let request = Authentication {
            client_data_hash: &HASH,
            rp_id: RP_ID,
            allow: &allow,
            user_verification: UserVerification::Required,
        };
        for round in 0..25 {
            let signed = ceremony::authenticate(
                &mut device,
                &info,
                &request,
                Some(&pin()),
                &mut System,
                &mut unattended,
            );
            assert!(signed.is_ok(), "{round}: {signed:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            rounds(
                HidDevice::open(Usb::open(&path), clock(), [2; 8], Deadlines::default()).unwrap(),
            )
        });
        rounds(one);
    });
}

/// A test manufacturer's model of keys, as `vkey` makes it.
fn model(binary: &Path, folder: &Path) -> String {
    let aaguid = "5cea0000-0000-4000-8000-00000000000a";
    let made = Command::new(binary)
        .args([
            "make-model",
            "--name",
            "Sceau Test Model",
            "--aaguid",
            aaguid,
            "--out",
        ])
        .arg(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    folder.to_str().unwrap().to_owned()
}

#[test]
fn an_old_u2f_key_registers_excludes_and_signs() {
    let Some(binary) = vkey() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = model(&binary, &folder.path().join("model"));
    let key = Vkey::start(&binary, "sock", &["--u2f-only", "--attestation", &model]);
    let usb = Usb::open(&key.folder.path().join("reports"));
    let mut device = HidDevice::open(usb, clock(), [7; 8], Deadlines::default()).unwrap();
    assert!(!device.speaks_ctap2() && device.speaks_u2f());
    assert_eq!(u2f::version(&mut device).unwrap(), "U2F_V2");
    let made = u2f::register(&mut device, RP_ID, &HASH, &[], &mut unattended).unwrap();
    assert_eq!(made.format, "fido-u2f");
    // U2F Raw Message Formats §4.3: what the attestation certificate signed.
    let statement = sceau_ctap::cbor::read(&made.attestation_statement).unwrap();
    let certificate = statement.named("x5c").unwrap().array().unwrap()[0]
        .bytes()
        .unwrap();
    let signed = [
        &[0][..],
        &sha256(RP_ID.as_bytes()),
        &HASH,
        &made.credential_id,
        &point(&made),
    ]
    .concat();
    let at = certificate
        .windows(2)
        .position(|pair| pair == [0x00, 0x04])
        .expect("the certificate's point")
        + 1;
    UnparsedPublicKey::new(
        &signature::ECDSA_P256_SHA256_ASN1,
        &certificate[at..at + 65],
    )
    .verify(&signed, statement.named("sig").unwrap().bytes().unwrap())
    .unwrap();

    let ids = [vec![9; 64], made.credential_id.clone()];
    assert_eq!(
        u2f::locate(&mut device, RP_ID, &ids).unwrap().as_ref(),
        Some(&made.credential_id)
    );
    assert_eq!(u2f::locate(&mut device, RP_ID, &ids[..1]).unwrap(), None);
    let again = u2f::register(&mut device, RP_ID, &HASH, &ids, &mut unattended);
    assert_eq!(again, Err(Error::Status(Status::CREDENTIAL_EXCLUDED)));
    let assertion = u2f::authenticate(&mut device, RP_ID, &HASH, &ids, &mut unattended).unwrap();
    let message = [assertion.authenticator_data.as_slice(), &HASH].concat();
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point(&made))
        .verify(&message, &assertion.signature)
        .unwrap();
}

#[test]
fn a_piv_card_attests_its_key() {
    let Some(binary) = vkey() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let made = Command::new(&binary)
        .args(["make-piv-model", "--out"])
        .arg(&model)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let (contact, _contactless, port) = Reader::listen();
    let arguments = [
        "--piv",
        "--port",
        &port.to_string(),
        "--piv-attestation",
        model.to_str().unwrap(),
        "--serial",
        "25111222",
    ];
    let _key = Vkey::start(&binary, "vpcd", &arguments);
    let mut card = PivCard::select(Reader::accept(&contact), Framing::Extended).unwrap();
    assert_eq!(card.serial().unwrap(), Some(25_111_222));
    let default = ManagementKey::danger_default(ManagementAlgorithm::TripleDes).unwrap();
    card.authenticate_management(&default, &mut System).unwrap();
    let PublicKey::Point(point) = card
        .generate(Slot::Signature, KeyKind::P256, None, None)
        .unwrap()
    else {
        panic!("a point")
    };
    let attestation = card.attest(Slot::Signature).unwrap();
    assert!(
        attestation.windows(65).any(|window| window == point),
        "the attested key is the generated one"
    );
    assert!(card.attestation_certificate().unwrap().is_some());
}

#[test]
fn a_piv_card_lives_a_whole_life() {
    let Some(binary) = vkey() else { return };
    for arguments in [&["--piv"][..], &["--piv", "--t0"]] {
        let (contact, _contactless, port) = Reader::listen();
        let port = port.to_string();
        let _key = Vkey::start(&binary, "vpcd", &[arguments, &["--port", &port]].concat());
        let framing = if arguments.len() > 1 {
            Framing::ShortT0
        } else {
            Framing::Short
        };
        let mut reader = Reader::accept(&contact);
        let mut card = PivCard::select(&mut reader, framing).unwrap();
        assert_eq!(card.certificate(Slot::Signature).unwrap(), None);

        let default = ManagementKey::danger_default(ManagementAlgorithm::TripleDes).unwrap();
        let wrong = ManagementKey::new(ManagementAlgorithm::TripleDes, &[9; 24]).unwrap();
        assert!(card.authenticate_management(&wrong, &mut System).is_err());
        card.authenticate_management(&default, &mut System).unwrap();
        let PublicKey::Point(point) = card
            .generate(Slot::Signature, KeyKind::P256, None, None)
            .unwrap()
        else {
            panic!("a point");
        };
        let der = [&[0x30, 0x82, 0x02, 0x00][..], &[5; 512]].concat();
        card.put_certificate(Slot::Signature, &der).unwrap();

        let mut card = PivCard::select(&mut reader, framing).unwrap();
        assert_eq!(card.certificate(Slot::Signature).unwrap(), Some(der));
        let digest = Digest::Sha256(sha256(b"an action"));
        assert_eq!(
            card.sign(Slot::Signature, KeyKind::P256, &digest),
            Err(Error::Card(StatusWord::SECURITY_STATUS))
        );
        let (pin, new, puk) = (
            PivPin::new("123456").unwrap(),
            PivPin::new("24681012").unwrap(),
            PivPin::new("12345678").unwrap(),
        );
        let application = PinReference::Application;
        assert_eq!(
            card.pin_status(application).unwrap(),
            PinOutcome::Wrong { tries_left: 3 }
        );
        assert_eq!(
            card.verify_pin(application, &pin).unwrap(),
            PinOutcome::Accepted
        );
        let signature = card.sign(Slot::Signature, KeyKind::P256, &digest).unwrap();
        UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
            .verify(b"an action", &signature)
            .unwrap();
        let second = card.sign(Slot::Signature, KeyKind::P256, &digest);
        assert_eq!(
            second,
            Err(Error::Card(StatusWord::SECURITY_STATUS)),
            "9C wants its PIN every time"
        );

        assert_eq!(
            card.change_pin(application, &pin, &new).unwrap(),
            PinOutcome::Accepted
        );
        assert_eq!(
            card.verify_pin(application, &pin).unwrap(),
            PinOutcome::Wrong { tries_left: 2 }
        );
        assert_eq!(
            card.verify_pin(application, &pin).unwrap(),
            PinOutcome::Wrong { tries_left: 1 }
        );
        assert_eq!(
            card.verify_pin(application, &pin).unwrap(),
            PinOutcome::Blocked
        );
        assert_eq!(
            card.verify_pin(application, &new).unwrap(),
            PinOutcome::Blocked
        );
        assert_eq!(card.unblock_pin(&puk, &pin).unwrap(), PinOutcome::Accepted);
        assert_eq!(
            card.verify_pin(application, &pin).unwrap(),
            PinOutcome::Accepted
        );
    }
}

#[test]
fn a_piv_card_signs_with_rsa() {
    let Some(binary) = vkey() else { return };
    let (contact, _contactless, port) = Reader::listen();
    let _key = Vkey::start(&binary, "vpcd", &["--piv", "--port", &port.to_string()]);
    let mut card = PivCard::select(Reader::accept(&contact), Framing::Short).unwrap();
    let default = ManagementKey::danger_default(ManagementAlgorithm::TripleDes).unwrap();
    card.authenticate_management(&default, &mut System).unwrap();
    let PublicKey::Rsa { modulus, exponent } = card
        .generate(Slot::Signature, KeyKind::Rsa2048, None, None)
        .unwrap()
    else {
        panic!("an RSA key");
    };
    let pin = PivPin::new("123456").unwrap();
    assert_eq!(
        card.verify_pin(PinReference::Application, &pin).unwrap(),
        PinOutcome::Accepted
    );
    let digest = Digest::Sha256(sha256(b"an action"));
    let signature = card
        .sign(Slot::Signature, KeyKind::Rsa2048, &digest)
        .unwrap();
    let key = signature::RsaPublicKeyComponents {
        n: &modulus,
        e: &exponent,
    };
    key.verify(
        &signature::RSA_PKCS1_2048_8192_SHA256,
        b"an action",
        &signature,
    )
    .unwrap();
}
