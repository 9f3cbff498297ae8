//! Lies in APDUs: endless answers and corrections, missing status words, keep-alives for ever, removal, resets, U2F replies.

use super::*;

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
            exchange(&mut port, command, framing, 100)
                .unwrap()
                .ok()
                .unwrap();
            assert_eq!(got, data, "{framing:?} {length}");
        }
    }
}
