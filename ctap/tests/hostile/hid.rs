//! Lies in CTAPHID framing: channels, sequence numbers, lengths, keep-alives, errors, silence, unplugging.

use super::*;

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
