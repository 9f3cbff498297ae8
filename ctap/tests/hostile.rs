//! A hostile key on both ports (issue: "broken or malicious devices"): every behaviour ends within its deadline of simulated time, in less than
//! a mebibyte of growth, with an error that says what happened; and the next honest key works.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sceau_ctap::apdu::{self, Command, Framing};
use sceau_ctap::assertion::{GetAssertion, get_assertion};
use sceau_ctap::cbor::{CborError, Writer};
use sceau_ctap::client_pin;
use sceau_ctap::credential::{MakeCredential, NewCredential, RelyingParty, User, make_credential};
use sceau_ctap::hid::HidDevice;
use sceau_ctap::info;
use sceau_ctap::nfc::NfcDevice;
use sceau_ctap::pin_protocol::PinProtocol;
use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{
    ApduPort, Clock, Control, Deadlines, Device, Error, FramingError, PacketPort, Pin, PortError,
    Refused, ReplyError, Status, StatusWord, WireError, u2f, unattended,
};

use crate::allocation;
use crate::rig::{
    CHANNEL, Card, Draws, Key, RP_ID, SharedKey, SimClock, Stick, assertion, authenticator_data,
    frames, info_2_1,
};

const HASH: [u8; 32] = [0x22; 32];
const MEMORY: usize = 1 << 20;

/// A call that ends in a credential id.
type Call = fn(&mut dyn Device) -> Result<Vec<u8>, Error>;

/// The reports that answer an INIT, from its nonce.
type Greeting = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// What a tampered port does with the next honest report, if there is one.
type Tamper = Box<dyn FnMut(Option<Vec<u8>>) -> Result<Option<Vec<u8>>, PortError>>;

/// A stick that lies once it has given a channel.
#[derive(Clone)]
struct Liar {
    stick: Rc<RefCell<Stick>>,
    tamper: Rc<RefCell<Option<Tamper>>>,
    clock: SimClock,
}

impl PacketPort for Liar {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        self.stick.borrow_mut().write_packet(packet)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        let mut tamper = self.tamper.borrow_mut();
        let Some(tamper) = tamper.as_mut() else {
            return self.stick.borrow_mut().read_packet(packet, timeout);
        };
        let honest = self.stick.borrow_mut().out.pop_front();
        match tamper(honest)? {
            Some(report) => {
                self.clock.sleep(Duration::from_micros(50));
                packet[..report.len()].copy_from_slice(&report);
                Ok(Some(report.len()))
            }
            None => {
                self.clock.sleep(timeout.max(Duration::from_micros(50)));
                Ok(None)
            }
        }
    }
}

/// A call to a lying stick: its result, within memory and time bounds.
fn lied_to<T>(
    key: &SharedKey,
    tamper: impl FnMut(Option<Vec<u8>>) -> Result<Option<Vec<u8>>, PortError> + 'static,
    call: impl Fn(&mut dyn Device) -> Result<T, Error>,
) -> Result<T, Error> {
    let clock = SimClock::default();
    let liar = Liar {
        stick: Rc::new(RefCell::new(Stick::new(key.clone(), clock.clone()))),
        tamper: Rc::new(RefCell::new(None)),
        clock: clock.clone(),
    };
    let mut device =
        HidDevice::open(liar.clone(), clock.clone(), [9; 8], Deadlines::default()).unwrap();
    *liar.tamper.borrow_mut() = Some(Box::new(tamper));
    let start = clock.now();
    let (result, peak) = allocation::peak(|| call(&mut device));
    assert!(peak < MEMORY, "{peak} bytes");
    assert!(
        clock.now() - start <= Duration::from_secs(125),
        "{:?}",
        clock.now() - start
    );
    // The same device, honest again, works: it is resynchronised, not misread.
    *liar.tamper.borrow_mut() = None;
    liar.stick.borrow_mut().out.clear();
    info::info(&mut device).expect("the next honest call works");
    result
}

fn ask(device: &mut dyn Device) -> Result<info::AuthenticatorInfo, Error> {
    info::info(device)
}

fn sign(device: &mut dyn Device) -> Result<Vec<u8>, Error> {
    let allow: [&[u8]; 1] = [&[7; 64]];
    let request = GetAssertion {
        rp_id: RP_ID,
        client_data_hash: &HASH,
        allow: &allow,
        up: true,
        uv: false,
        token: None,
    };
    Ok(get_assertion(device, &request, &mut unattended)?
        .remove(0)
        .credential_id)
}

fn make(device: &mut dyn Device) -> Result<NewCredential, Error> {
    let request = MakeCredential {
        client_data_hash: &HASH,
        rp: RelyingParty {
            id: RP_ID,
            name: None,
        },
        user: User {
            id: b"amartin",
            name: None,
            display_name: None,
        },
        algorithms: &[-7],
        exclude: &[],
        cred_protect: None,
        min_pin_length: false,
        rk: false,
        uv: false,
        token: None,
        enterprise_attestation: None,
    };
    make_credential(device, &request, &mut unattended)
}

fn wire<T>(error: impl Into<WireError>) -> Result<T, Error> {
    Err(Error::Wire(error.into()))
}

// ---- CTAPHID ----

#[test]
fn replies_to_other_channels_are_ignored_not_misread() {
    // Another program's refusal, keep-alives, long answer and channel allocation, interleaved with ours.
    let mut theirs: Vec<Vec<u8>> = frames([0, 0, 0, 6], 0x10, &[0x2e]);
    theirs.extend(frames([0, 0, 0, 6], 0x3b, &[1]));
    theirs.extend(frames([0xff; 4], 0x06, &[0; 17]));
    theirs.extend(frames([0, 0, 0, 6], 0x10, &[0; 3000]));
    let mut ours = std::collections::VecDeque::new();
    let mut turn = false;
    let result = lied_to(
        &Key::new(info_2_1()),
        move |honest| {
            ours.extend(honest);
            turn = !turn;
            Ok(if turn {
                theirs.pop().or_else(|| ours.pop_front())
            } else {
                ours.pop_front()
            })
        },
        make,
    );
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_flood_on_other_channels_ends_in_silence() {
    let flood = frames([1, 2, 3, 4], 0x10, &[0; 57]).remove(0);
    let result = lied_to(&Key::new(info_2_1()), move |_| Ok(Some(flood.clone())), ask);
    assert_eq!(result, wire(WireError::Silent));
}

#[test]
fn a_reply_on_the_wrong_channel_only_ends_in_silence() {
    let result = lied_to(
        &Key::new(info_2_1()),
        |honest| {
            Ok(honest.map(|mut report| {
                report[3] ^= 1;
                report
            }))
        },
        ask,
    );
    assert_eq!(result, wire(WireError::Silent));
}

#[test]
fn a_wrong_sequence_number_is_named() {
    for (wrong, position) in [(1_u8, 0_u8), (5, 1), (0x7f, 0)] {
        let result = lied_to(
            &Key::new(info_2_1()),
            move |honest| {
                Ok(honest.map(|mut report| {
                    if report[4] == position {
                        report[4] = wrong;
                    }
                    report
                }))
            },
            make,
        );
        assert_eq!(
            result,
            wire(FramingError::Sequence {
                expected: position,
                found: wrong
            })
        );
    }
}

#[test]
fn a_repeated_continuation_is_refused() {
    let mut last: Option<Vec<u8>> = None;
    let result = lied_to(
        &Key::new(info_2_1()),
        move |honest| {
            Ok(last.take().or_else(|| {
                last = honest.clone().filter(|r| r[4] == 0);
                honest
            }))
        },
        make,
    );
    assert_eq!(
        result,
        wire(FramingError::Sequence {
            expected: 1,
            found: 0
        })
    );
}

#[test]
fn a_stray_continuation_is_refused() {
    let stray = [&CHANNEL[..], &[0], &[0; 59]].concat();
    let result = lied_to(&Key::new(info_2_1()), move |_| Ok(Some(stray.clone())), ask);
    assert_eq!(result, wire(FramingError::Stray));
}

#[test]
fn endless_keepalives_end_at_the_deadline() {
    for status in [1, 2, 0xee] {
        let keepalive = frames(CHANNEL, 0x3b, &[status]).remove(0);
        let mut sent = 0_u32;
        let clock_cost = move |_| {
            sent += 1;
            // One in a hundred comes at once, the others at their pace.
            Ok(if sent.is_multiple_of(100) {
                None
            } else {
                Some(keepalive.clone())
            })
        };
        assert_eq!(
            lied_to(&Key::new(info_2_1()), clock_cost, sign),
            wire(WireError::Deadline)
        );
    }
}

#[test]
fn endless_keepalives_can_be_cancelled_at_once() {
    let keepalive = frames(CHANNEL, 0x3b, &[2]).remove(0);
    let result = lied_to(
        &Key::new(info_2_1()),
        move |_| Ok(Some(keepalive.clone())),
        |device| device.call(0x0b, &[], &mut |_| Control::Cancel).map(|_| ()),
    );
    assert_eq!(result, Err(Refused::Cancelled.into()));
}

#[test]
fn cancelling_a_silent_device_takes_less_than_200_ms() {
    let key = Key::new(info_2_1());
    let clock = SimClock::default();
    let stick = Rc::new(RefCell::new(Stick::new(key, clock.clone())));
    let liar = Liar {
        stick,
        tamper: Rc::new(RefCell::new(None)),
        clock: clock.clone(),
    };
    let mut device =
        HidDevice::open(liar.clone(), clock.clone(), [9; 8], Deadlines::default()).unwrap();
    *liar.tamper.borrow_mut() = Some(Box::new(|_| Ok(None)));
    let start = clock.now();
    let asked = Duration::from_millis(500);
    let at = clock.clone();
    let result = device.call(0x0b, &[], &mut |_| {
        if at.now() - start >= asked {
            Control::Cancel
        } else {
            Control::Continue
        }
    });
    assert_eq!(result, Err(Refused::Cancelled.into()));
    assert!(
        clock.now() - start - asked <= Duration::from_millis(210),
        "{:?}",
        clock.now() - start
    );
}

#[test]
fn bcnt_65535_is_refused_before_anything_is_gathered() {
    for announced in [7610_u16, 65_535] {
        let mut report = frames(CHANNEL, 0x10, &[0; 57]).remove(0);
        report[5..7].copy_from_slice(&announced.to_be_bytes());
        let result = lied_to(
            &Key::new(info_2_1()),
            move |_| Ok(Some(report.clone())),
            ask,
        );
        assert_eq!(result, wire(FramingError::TooLong(announced.into())));
    }
}

#[test]
fn the_longest_message_passes() {
    let mut info = Writer::new();
    info.map(3)
        .unsigned(1)
        .array(1)
        .text("FIDO_2_1")
        .unsigned(3)
        .bytes(&[0; 16])
        .unsigned(0x77)
        .bytes(&[0; 7608 - 35]);
    let info = info.into_bytes();
    assert_eq!(info.len(), 7608);
    assert!(lied_to(&Key::new(info), Ok, ask).is_ok());
}

#[test]
fn device_errors_survive_known_or_not() {
    for code in [0x01, 0x05, 0x0b, 0x7f, 0xe7] {
        let mut once = Some(frames(CHANNEL, 0x3f, &[code]).remove(0));
        let result = lied_to(&Key::new(info_2_1()), move |_| Ok(once.take()), ask);
        assert_eq!(result, wire(WireError::Hid(code)));
    }
    let result = lied_to(
        &Key::new(info_2_1()),
        |_| Ok(Some(frames(CHANNEL, 0x3f, &[]).remove(0))),
        ask,
    );
    assert_eq!(
        result,
        wire(FramingError::ShortPacket),
        "an error without a code"
    );
}

#[test]
fn requests_that_the_device_lost_are_sent_again_but_never_a_pin() {
    let key = Key::new(info_2_1());
    let mut lose = 2;
    let result = lied_to(
        &key,
        move |honest| {
            // The answers to the first two requests never come.
            if honest.is_some() && lose > 0 {
                lose -= 1;
                return Ok(None);
            }
            Ok(honest)
        },
        |device| {
            device
                .call(0x06, &[0xa2, 0x01, 0x01, 0x02, 0x01], &mut unattended)
                .map(|_| ())
        },
    );
    assert_eq!(result, Ok(()));
    assert_eq!(
        key.borrow()
            .requests
            .iter()
            .filter(|request| request[0] == 6)
            .count(),
        3
    );
    let key = Key::new(info_2_1());
    let pin = Pin::new("000000").unwrap();
    let mut answers = 0;
    let result = lied_to(
        &key,
        move |honest| {
            // Key agreement (two reports) passes; the answer to the PIN is lost.
            answers += usize::from(honest.is_some());
            Ok(honest.filter(|_| answers <= 2))
        },
        |device| {
            client_pin::pin_token(device, PinProtocol::Two, &pin, &mut Draws::default()).map(|_| ())
        },
    );
    assert_eq!(result, wire(WireError::Silent));
    assert_eq!(
        key.borrow().retries,
        7,
        "one try, whatever became of its answer"
    );
}

#[test]
fn resynchronising_with_a_device_that_talks_for_ever_ends() {
    let key = Key::new(info_2_1());
    let clock = SimClock::default();
    let stick = Rc::new(RefCell::new(Stick::new(key, clock.clone())));
    let liar = Liar {
        stick,
        tamper: Rc::new(RefCell::new(None)),
        clock: clock.clone(),
    };
    let mut device =
        HidDevice::open(liar.clone(), clock.clone(), [9; 8], Deadlines::default()).unwrap();
    let error = frames(CHANNEL, 0x3f, &[0x7f]).remove(0);
    let keepalive = frames(CHANNEL, 0x3b, &[1]).remove(0);
    *liar.tamper.borrow_mut() = Some(Box::new(move |_| Ok(Some(error.clone()))));
    assert_eq!(info::info(&mut device), wire(WireError::Hid(0x7f)));
    *liar.tamper.borrow_mut() = Some(Box::new(move |_| Ok(Some(keepalive.clone()))));
    let start = clock.now();
    assert_eq!(info::info(&mut device), wire(WireError::Silent));
    assert!(clock.now() - start <= Duration::from_millis(1100));
}

#[test]
fn busy_for_ever_is_given_up() {
    let busy = frames(CHANNEL, 0x3f, &[0x06]).remove(0);
    let result = lied_to(&Key::new(info_2_1()), move |_| Ok(Some(busy.clone())), ask);
    assert_eq!(result, wire(WireError::Busy));
}

#[test]
fn unknown_status_bytes_survive() {
    let key = Key::new(info_2_1());
    key.borrow_mut().lies.insert(2, vec![0xe7]);
    assert_eq!(lied_to(&key, Ok, sign), Err(Error::Status(Status(0xe7))));
}

#[test]
fn silence_ends() {
    assert_eq!(
        lied_to(&Key::new(info_2_1()), |_| Ok(None), ask),
        wire(WireError::Silent)
    );
}

#[test]
fn silence_in_mid_message_ends() {
    for arrived in 1..4 {
        let mut left = arrived;
        let result = lied_to(
            &Key::new(info_2_1()),
            move |honest| {
                // Keep-alives do not count.
                if honest.as_ref().is_some_and(|report| report[4] != 0xbb) {
                    left -= 1;
                }
                Ok(honest.filter(|_| left >= 0))
            },
            make,
        );
        assert_eq!(result, wire(WireError::Silent), "{arrived}");
    }
}

#[test]
fn a_reset_in_mid_message_is_noticed() {
    // The device starts another message on our channel where a continuation was due.
    let again = frames(CHANNEL, 0x10, &[0; 57]).remove(0);
    let result = lied_to(
        &Key::new(info_2_1()),
        move |honest| {
            Ok(honest.map(|report| {
                if report[4] == 1 {
                    again.clone()
                } else {
                    report
                }
            }))
        },
        make,
    );
    assert_eq!(
        result,
        wire(FramingError::Sequence {
            expected: 1,
            found: 0x90
        })
    );
    let error = frames(CHANNEL, 0x3f, &[0x04]).remove(0);
    let result = lied_to(
        &Key::new(info_2_1()),
        move |honest| {
            Ok(honest.map(|report| {
                if report[4] == 1 {
                    error.clone()
                } else {
                    report
                }
            }))
        },
        make,
    );
    assert_eq!(result, wire(WireError::Hid(0x04)));
}

#[test]
fn an_answer_to_another_command_is_refused() {
    let result = lied_to(
        &Key::new(info_2_1()),
        |_| Ok(Some(frames(CHANNEL, 0x03, &[0x90, 0]).remove(0))),
        ask,
    );
    assert_eq!(
        result,
        wire(FramingError::Command {
            expected: 0x10,
            found: 0x03
        })
    );
}

#[test]
fn short_reports_are_not_read_beyond_their_end() {
    for length in 0..=64 {
        let result = lied_to(
            &Key::new(info_2_1()),
            move |honest| {
                Ok(honest.map(|mut report| {
                    report.truncate(length);
                    report
                }))
            },
            ask,
        );
        match length {
            // Too short to be anyone's.
            0..=3 => assert_eq!(result, wire(WireError::Silent)),
            4..=6 => assert_eq!(result, wire(FramingError::ShortPacket)),
            64 => assert!(result.is_ok()),
            _ => assert!(
                matches!(result, Err(Error::Wire(_))),
                "{length}: {result:?}"
            ),
        }
    }
}

#[test]
fn unplugging_at_every_packet_ends_at_once() {
    for (name, calls) in [
        ("sign", sign as Call),
        ("make", |d| make(d).map(|m| m.credential_id)),
    ] {
        for packets in 0..8 {
            let mut left = packets;
            let result = lied_to(
                &Key::new(info_2_1()),
                move |honest| {
                    left -= 1;
                    if left < 0 {
                        Err(PortError::Gone)
                    } else {
                        Ok(honest)
                    }
                },
                calls,
            );
            assert!(
                result.is_ok() || result == wire(PortError::Gone),
                "{name} {packets}: {result:?}"
            );
            assert_eq!(
                result.is_err(),
                packets < if name == "sign" { 6 } else { 7 },
                "{name} {packets}: {result:?}"
            );
        }
    }
}

#[test]
fn opening_a_hostile_device_is_bounded_too() {
    let open = |answer: Greeting| {
        let clock = SimClock::default();
        let port = Opening {
            clock: clock.clone(),
            answer,
            out: Vec::new(),
        };
        let (result, peak) = allocation::peak(|| {
            HidDevice::open(port, clock.clone(), [9; 8], Deadlines::default()).map(|_| ())
        });
        assert!(peak < MEMORY);
        assert!(clock.now() <= Duration::from_secs(17), "{:?}", clock.now());
        result
    };
    let nothing = open(Box::new(|_| Vec::new()));
    assert_eq!(nothing, wire(WireError::Silent));
    let others_nonce = open(Box::new(|_| {
        frames(
            [0xff; 4],
            6,
            &[&[8; 8][..], &CHANNEL, &[2, 1, 1, 1, 5]].concat(),
        )
    }));
    assert_eq!(others_nonce, wire(WireError::Silent));
    for reserved in [[0; 4], [0xff; 4]] {
        let refused = open(Box::new(move |nonce| {
            frames([0xff; 4], 6, &[nonce, &reserved, &[2, 1, 1, 1, 5]].concat())
        }));
        assert_eq!(refused, wire(FramingError::Channel));
    }
    let short = open(Box::new(|nonce| {
        frames([0xff; 4], 6, &[nonce, &[1, 2]].concat())
    }));
    assert_eq!(short, wire(FramingError::Channel));
    let busy = open(Box::new(|_| frames([0xff; 4], 0x3f, &[6])));
    assert_eq!(busy, wire(WireError::Busy));
}

/// A device that only ever answers INIT.
struct Opening {
    clock: SimClock,
    answer: Greeting,
    out: Vec<Vec<u8>>,
}

impl PacketPort for Opening {
    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        self.out = (self.answer)(&packet[7..15]);
        Ok(())
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        self.clock.sleep(timeout.max(Duration::from_micros(50)));
        Ok(self.out.pop().map(|report| {
            packet[..report.len()].copy_from_slice(&report);
            report.len()
        }))
    }
}

// ---- Contents, whatever the port ----

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

// ---- APDUs ----

/// A card that answers every command after SELECT by a rule.
struct Rule<F>(F, usize);

impl<F: FnMut(&[u8]) -> Result<Vec<u8>, PortError>> ApduPort for Rule<F> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        self.1 += 1;
        assert!(self.1 < 5_000, "the card is asked for ever");
        if command[1] == 0xa4 {
            Ok(b"FIDO_2_0\x90\x00".to_vec())
        } else {
            (self.0)(command)
        }
    }
}

fn card<T>(
    rule: impl FnMut(&[u8]) -> Result<Vec<u8>, PortError>,
    call: impl Fn(&mut dyn Device) -> Result<T, Error>,
) -> Result<T, Error> {
    let clock = SimClock::default();
    let (result, peak) = allocation::peak(|| {
        let mut device = NfcDevice::select(
            Rule(rule, 0),
            clock.clone(),
            Framing::Short,
            Deadlines::default(),
            None,
        )?;
        call(&mut device)
    });
    assert!(peak < MEMORY, "{peak} bytes");
    assert!(clock.now() <= Duration::from_secs(125));
    result
}

#[test]
fn a_card_that_answers_61xx_for_ever_ends() {
    assert_eq!(
        card(|_| Ok([&[0; 256][..], &[0x61, 0x00]].concat()), ask),
        wire(FramingError::TooLong(7680))
    );
    assert_eq!(
        card(|_| Ok(vec![0x61, 0x10]), ask),
        wire(FramingError::EndlessResponse)
    );
    assert_eq!(
        card(|_| Ok(vec![0, 0x61, 0x01]), ask),
        wire(FramingError::EndlessResponse)
    );
}

#[test]
fn a_card_that_answers_6cxx_for_ever_ends() {
    assert_eq!(
        card(|_| Ok(vec![0x6c, 0x10]), ask),
        wire(FramingError::EndlessCorrection)
    );
}

#[test]
fn a_card_without_status_word_or_with_too_much_data_is_refused() {
    assert_eq!(card(|_| Ok(vec![]), ask), wire(FramingError::NoStatusWord));
    assert_eq!(
        card(|_| Ok(vec![0x90]), ask),
        wire(FramingError::NoStatusWord)
    );
    assert_eq!(
        card(|_| Ok(vec![0x90, 0x00]), ask),
        wire(FramingError::Empty)
    );
    let much = || Ok([vec![0; 70_000], vec![0x90, 0x00]].concat());
    assert_eq!(card(|_| much(), ask), wire(FramingError::TooLong(70_002)));
    assert_eq!(
        card(|_| Ok([vec![0; 60_000], vec![0x90, 0x00]].concat()), ask),
        wire(FramingError::TooLong(60_000))
    );
}

#[test]
fn a_card_that_keeps_alive_for_ever_ends_at_the_deadline() {
    assert_eq!(
        card(|_| Ok(vec![0x02, 0x91, 0x00]), sign),
        wire(WireError::Deadline)
    );
    assert_eq!(
        card(|_| Ok(vec![0x91, 0x00]), sign),
        wire(WireError::Deadline),
        "without a status byte"
    );
}

#[test]
fn unknown_status_words_survive() {
    for word in [0x6a82_u16, 0x6f30, 0x1234] {
        let result = card(move |_| Ok(word.to_be_bytes().to_vec()), ask);
        assert_eq!(result, Err(Error::Card(StatusWord(word))));
    }
}

#[test]
fn removing_or_resetting_the_card_at_every_exchange_ends_at_once() {
    for fault in [
        PortError::Gone,
        PortError::Reset,
        PortError::Failed(0x8010_0069),
    ] {
        for exchanges in 0..6 {
            let mut honest = Card::new(Key::new(info_2_1()));
            let mut left = exchanges;
            let rule = move |command: &[u8]| {
                left -= 1;
                if left < 0 {
                    Err(fault)
                } else {
                    honest.transmit(command)
                }
            };
            let result = card(rule, sign);
            assert_eq!(result.is_ok(), exchanges >= 4, "{exchanges}");
            assert!(result.is_ok() || result == wire(fault));
        }
    }
}

#[test]
fn replies_cut_at_every_byte_never_panic() {
    for length in 0..420 {
        let mut honest = Card::new(Key::new(info_2_1()));
        let mut sent = 0_usize;
        let rule = move |command: &[u8]| {
            let mut reply = honest.transmit(command)?;
            let left = usize::saturating_sub(length, sent);
            if left == 0 {
                return Err(PortError::Gone);
            }
            sent += reply.len();
            reply.truncate(left);
            Ok(reply)
        };
        let _ = card(rule, |device| make(device).map(|_| ()));
    }
}

#[test]
fn a_u2f_token_that_is_never_touched_ends_and_can_be_cancelled() {
    let untouched = |_: &[u8]| Ok(vec![0x69, 0x85]);
    assert_eq!(
        card(untouched, |d| u2f::register(
            d,
            RP_ID,
            &HASH,
            &[],
            &mut unattended
        )),
        wire(WireError::Deadline)
    );
    let cancelled = card(untouched, |d| {
        u2f::register(d, RP_ID, &HASH, &[], &mut |_| Control::Cancel)
    });
    assert_eq!(cancelled, Err(Refused::Cancelled.into()));
}

#[test]
fn malformed_u2f_replies_are_refused() {
    let register = |reply: Vec<u8>| {
        card(
            move |_| Ok([reply.as_slice(), &[0x90, 0]].concat()),
            |d| u2f::register(d, RP_ID, &HASH, &[], &mut unattended),
        )
    };
    let invalid = || wire(ReplyError::Invalid("register"));
    assert_eq!(register(vec![]), invalid());
    assert_eq!(register(vec![5; 64]), invalid());
    let with = |tail: &[u8]| [&[5, 4][..], &[1; 64], &[2, 9, 9], tail].concat();
    assert_eq!(
        register(with(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff])),
        invalid(),
        "a certificate of 2 GiB"
    );
    assert_eq!(register(with(&[0x30, 0x82, 0xff, 0xff, 0])), invalid());
    assert_eq!(register(with(&[0x30, 0x01])), invalid());
    assert_eq!(
        register(with(&[0x30, 0x00])),
        wire(ReplyError::Invalid("signature"))
    );
    assert!(register(with(&[0x30, 0x00, 0x30, 0x00])).is_ok());
}

#[test]
fn commands_of_every_length_arrive_whole_in_every_framing() {
    for framing in [Framing::Short, Framing::ShortT0, Framing::Extended] {
        for length in [0, 1, 254, 255, 256, 510, 511, 2048] {
            let mut got = Vec::new();
            let mut port = Rule(
                |command: &[u8]| {
                    got.extend(crate::rig::apdu_data(command).0);
                    Ok(vec![0x90, 0x00])
                },
                0,
            );
            let data: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let command = Command {
                cla: 0x80,
                ins: 0x10,
                p1: 0,
                p2: 0,
                data: &data,
                answer: true,
            };
            apdu::exchange(&mut port, command, framing, 100)
                .unwrap()
                .ok()
                .unwrap();
            assert_eq!(got, data, "{framing:?} {length}");
        }
    }
}
