//! PIV cards that misbehave, and the shapes of what is sent to honest ones; the honest life of a card is in `firmware`.

use std::cell::RefCell;
use std::rc::Rc;

use sceau_ctap::apdu::Framing;
use sceau_ctap::piv::{
    Digest, KeyKind, ManagementAlgorithm, ManagementKey, PinOutcome, PinReference, PivCard, PivPin,
    PublicKey, Slot,
};
use sceau_ctap::{
    ApduPort, Error, FramingError, PortError, Refused, ReplyError, StatusWord, WireError, tlv,
};

use crate::allocation;
use crate::fuzz::fuzz;
use crate::rig::{Draws, apdu_data};

const MEMORY: usize = 1 << 20;

/// Every command received whole (chaining undone) but SELECT, as instruction, P1, P2 and data.
type Log = Rc<RefCell<Vec<(u8, u8, u8, Vec<u8>)>>>;

/// An applet that answers SELECT honestly and everything else by a rule.
struct Applet<F> {
    rule: F,
    chained: Vec<u8>,
    log: Log,
    exchanges: usize,
}

impl<F: FnMut(u8, &[u8]) -> Vec<u8>> ApduPort for Applet<F> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        self.exchanges += 1;
        assert!(self.exchanges < 5_000, "the card is asked for ever");
        let data = apdu_data(command).0;
        if command[0] & 0x10 != 0 {
            self.chained.extend(data);
            return Ok(vec![0x90, 0x00]);
        }
        let data = [std::mem::take(&mut self.chained), data].concat();
        if command[1] == 0xa4 {
            assert_eq!(data, sceau_ctap::piv::AID);
            return Ok(hex::decode("61114f0600001000010079074f05a0000003089000").unwrap());
        }
        if command[1] != 0xc0 {
            self.log
                .borrow_mut()
                .push((command[1], command[2], command[3], data.clone()));
        }
        Ok((self.rule)(command[1], &data))
    }
}

fn with<T>(
    framing: Framing,
    rule: impl FnMut(u8, &[u8]) -> Vec<u8>,
    call: impl FnOnce(&mut PivCard<Applet<Box<dyn FnMut(u8, &[u8]) -> Vec<u8> + '_>>>) -> T,
) -> (T, Log) {
    let log = Log::default();
    let applet = Applet {
        rule: Box::new(rule) as Box<dyn FnMut(u8, &[u8]) -> Vec<u8>>,
        chained: Vec::new(),
        log: log.clone(),
        exchanges: 0,
    };
    let (result, peak) = allocation::peak(|| call(&mut PivCard::select(applet, framing).unwrap()));
    assert!(peak < MEMORY, "{peak} bytes");
    (result, log)
}

fn certificate(answer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
    with(
        Framing::Short,
        |_, _| answer.clone(),
        |card| card.certificate(Slot::Signature),
    )
    .0
}

fn wire<T>(error: impl Into<WireError>) -> Result<T, Error> {
    Err(Error::Wire(error.into()))
}

fn ok(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    tlv::write(&mut answer, tag, value);
    [answer, vec![0x90, 0x00]].concat()
}

#[test]
fn a_card_that_answers_61xx_for_ever_ends() {
    assert_eq!(
        certificate([&[0; 256][..], &[0x61, 0x00]].concat()),
        wire(FramingError::TooLong(33_024))
    );
    assert_eq!(
        certificate(vec![0x61, 0xff]),
        wire(FramingError::EndlessResponse)
    );
    assert_eq!(
        certificate(vec![1, 0x61, 0xff]),
        wire(FramingError::EndlessResponse)
    );
    assert_eq!(
        certificate(vec![0x6c, 0xff]),
        wire(FramingError::EndlessCorrection)
    );
}

#[test]
fn wrong_tags_and_huge_lengths_are_refused() {
    let object = || wire(ReplyError::Structure("data object"));
    assert_eq!(certificate(ok(0x54, &[0; 10])), object());
    assert_eq!(
        certificate(vec![0x53, 0x83, 0xff, 0xff, 0xff, 0x70, 0x90, 0x00]),
        object()
    );
    assert_eq!(
        certificate(vec![0x53, 0x84, 0xff, 0xff, 0xff, 0xff, 0x90, 0x00]),
        object()
    );
    assert_eq!(certificate(vec![0x53, 0x80, 0x90, 0x00]), object());
    assert_eq!(certificate(vec![0x90, 0x00]), object());
    let inner = wire(ReplyError::Structure("certificate object"));
    assert_eq!(certificate(ok(0x53, &[0x70, 0x82, 0xff, 0xff])), inner);
    assert_eq!(certificate(ok(0x53, &[0x53, 0x00])), inner);
}

#[test]
fn certificate_objects_cut_at_every_byte_are_refused() {
    let mut content = Vec::new();
    tlv::write(&mut content, 0x70, &[0x30; 200]);
    tlv::write(&mut content, 0x71, &[0]);
    let whole = ok(0x53, &content);
    assert!(certificate(whole.clone()).is_ok());
    for length in 0..whole.len() - 2 {
        let cut = [&whole[..length], &[0x90, 0x00]].concat();
        assert!(matches!(certificate(cut), Err(Error::Wire(_))), "{length}");
    }
}

#[test]
fn absent_objects_are_absent_and_other_refusals_are_the_cards() {
    for absent in [0x6a82_u16, 0x6a88, 0x6a81] {
        assert_eq!(certificate(absent.to_be_bytes().to_vec()), Ok(None));
    }
    assert_eq!(certificate(ok(0x53, &[])), Ok(None));
    assert_eq!(
        certificate(vec![0x69, 0x82]),
        Err(Error::Card(StatusWord::SECURITY_STATUS))
    );
    assert_eq!(
        certificate(vec![0x12, 0x34]),
        Err(Error::Card(StatusWord(0x1234)))
    );
}

#[test]
fn a_wrong_pin_is_sent_once() {
    let pin = PivPin::new("123456").unwrap();
    for (answer, outcome) in [
        (vec![0x63, 0xc2], Ok(PinOutcome::Wrong { tries_left: 2 })),
        (vec![0x69, 0x83], Ok(PinOutcome::Blocked)),
        (vec![0x6f, 0x00], Err(Error::Card(StatusWord(0x6f00)))),
    ] {
        let (result, log) = with(
            Framing::Short,
            |_, _| answer.clone(),
            |card| card.verify_pin(PinReference::Application, &pin),
        );
        assert_eq!(result, outcome);
        assert_eq!(
            *log.borrow(),
            [(0x20, 0x00, 0x80, b"123456\xff\xff".to_vec())]
        );
    }
}

#[test]
fn a_pin_is_not_sent_twice_even_when_the_card_corrects_the_length() {
    let pin = PivPin::new("123456").unwrap();
    let (result, log) = with(
        Framing::Short,
        |_, _| vec![0x6c, 0x08],
        |card| card.verify_pin(PinReference::Global, &pin),
    );
    assert_eq!(result, Err(Error::Card(StatusWord(0x6c08))));
    assert_eq!(log.borrow().len(), 1);
}

#[test]
fn rsa_signatures_go_out_and_come_back_whole_in_every_framing() {
    for framing in [Framing::Short, Framing::ShortT0, Framing::Extended] {
        for (kind, size, identifier) in [
            (KeyKind::Rsa2048, 256, 0x07),
            (KeyKind::Rsa3072, 384, 0x05),
            (KeyKind::Rsa4096, 512, 0x16),
        ] {
            let signature: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let mut inner = Vec::new();
            tlv::write(&mut inner, 0x82, &signature);
            let mut rest = Vec::new();
            let rule = |ins: u8, _: &[u8]| {
                if ins != 0xc0 {
                    rest.clear();
                    tlv::write(&mut rest, 0x7c, &inner);
                }
                let now: Vec<u8> = rest.drain(..rest.len().min(256)).collect();
                let status = if rest.is_empty() {
                    [0x90, 0x00]
                } else {
                    [0x61, rest.len().min(255) as u8]
                };
                [now, status.to_vec()].concat()
            };
            let digest = Digest::Sha256([0xdd; 32]);
            let (result, log) = with(framing, rule, |card| {
                card.sign(Slot::Signature, kind, &digest)
            });
            assert_eq!(result.as_deref(), Ok(signature.as_slice()));
            let log = log.borrow();
            let (ins, p1, p2, data) = log.last().unwrap();
            assert_eq!((*ins, *p1, *p2), (0x87, identifier, 0x9c));
            let template = tlv::only(data, 0x7c).unwrap();
            assert_eq!(
                tlv::find(template, 0x81).unwrap(),
                Some(digest.block(kind).as_slice())
            );
            assert_eq!(tlv::find(template, 0x82).unwrap(), Some(&[][..]));
        }
    }
}

#[test]
fn signatures_of_a_wrong_shape_are_refused() {
    let sign = |kind, signature: &[u8]| {
        let mut inner = Vec::new();
        tlv::write(&mut inner, 0x82, signature);
        with(
            Framing::Short,
            |_, _| ok(0x7c, &inner),
            |card| card.sign(Slot::Signature, kind, &Digest::Sha256([1; 32])),
        )
        .0
    };
    let invalid = || wire(ReplyError::Invalid("signature"));
    assert!(sign(KeyKind::P256, &[0x30, 0x06, 2, 1, 1, 2, 1, 1]).is_ok());
    assert_eq!(sign(KeyKind::P256, &[0x31, 0x06]), invalid());
    assert_eq!(sign(KeyKind::P256, &[0x30; 74]), invalid());
    assert_eq!(sign(KeyKind::P256, &[]), invalid());
    assert_eq!(sign(KeyKind::Rsa2048, &[1; 255]), invalid());
    let nothing = with(
        Framing::Short,
        |_, _| ok(0x7c, &[]),
        |card| card.sign(Slot::Signature, KeyKind::P256, &Digest::Sha256([1; 32])),
    );
    assert_eq!(nothing.0, wire(ReplyError::Structure("signature")));
}

#[test]
fn a_card_that_does_not_know_its_own_management_key_is_caught() {
    for algorithm in [
        ManagementAlgorithm::TripleDes,
        ManagementAlgorithm::Aes128,
        ManagementAlgorithm::Aes192,
        ManagementAlgorithm::Aes256,
    ] {
        let key = ManagementKey::new(algorithm, &vec![7; algorithm.key_length()]).unwrap();
        let length = if algorithm == ManagementAlgorithm::TripleDes {
            8
        } else {
            16
        };
        let answers = |witness: usize| {
            move |_: u8, data: &[u8]| {
                let template = tlv::only(data, 0x7c).unwrap();
                let mut inner = Vec::new();
                match tlv::find(template, 0x81).unwrap() {
                    None => tlv::write(&mut inner, 0x80, &vec![9; witness]),
                    // Says yes to anything, and answers the challenge with the challenge.
                    Some(challenge) => tlv::write(&mut inner, 0x82, challenge),
                }
                ok(0x7c, &inner)
            }
        };
        let authenticate = |witness| {
            with(Framing::Short, answers(witness), |card| {
                card.authenticate_management(&key, &mut Draws::default())
            })
            .0
        };
        assert_eq!(authenticate(length), wire(ReplyError::Invalid("response")));
        assert_eq!(
            authenticate(length + 1),
            wire(ReplyError::Structure("witness"))
        );
    }
}

#[test]
fn no_default_management_key_is_ever_set() {
    let default = ManagementKey::danger_default(ManagementAlgorithm::Aes192).unwrap();
    let (result, log) = with(
        Framing::Short,
        |_, _| vec![0x90, 0x00],
        |card| card.set_management_key(&default, false),
    );
    assert_eq!(result, Err(Refused::Argument("management key").into()));
    assert!(log.borrow().is_empty());
    let random = ManagementKey::random(ManagementAlgorithm::Aes256, &mut Draws::default()).unwrap();
    let (result, log) = with(
        Framing::Short,
        |_, _| vec![0x90, 0x00],
        |card| card.set_management_key(&random, true),
    );
    assert_eq!(result, Ok(()));
    assert_eq!(
        *log.borrow(),
        [(
            0xff,
            0xff,
            0xfe,
            [&[0x0c, 0x9b, 32][..], random.expose()].concat()
        )]
    );
}

#[test]
fn generated_keys_are_read_for_every_kind() {
    let generate = |kind, tag: u32, content: &[u8]| {
        let answer = ok(tag, content);
        with(
            Framing::Extended,
            |_, _| answer.clone(),
            |card| card.generate(Slot::Signature, kind, None, None),
        )
        .0
    };
    let mut content = Vec::new();
    tlv::write(&mut content, 0x81, &[&[0][..], &[9; 512]].concat());
    tlv::write(&mut content, 0x82, &[1, 0, 1]);
    let key = PublicKey::Rsa {
        modulus: vec![9; 512],
        exponent: vec![1, 0, 1],
    };
    assert_eq!(generate(KeyKind::Rsa4096, 0x7f49, &content), Ok(key));
    assert_eq!(
        generate(KeyKind::Rsa4096, 0x7f4a, &content),
        wire(ReplyError::Structure("public key"))
    );
    assert_eq!(
        generate(KeyKind::P384, 0x7f49, &content),
        wire(ReplyError::Structure("public key"))
    );
}

#[test]
fn yubicos_commands_are_absent_on_other_cards() {
    let (result, _) = with(
        Framing::Short,
        |_, _| vec![0x6d, 0x00],
        |card| (card.serial(), card.version(), card.attest(Slot::Signature)),
    );
    assert_eq!(
        result,
        (
            Ok(None),
            Ok(None),
            Err(Error::Card(StatusWord::UNKNOWN_INSTRUCTION))
        )
    );
    let rule = |ins: u8, _: &[u8]| {
        if ins == 0xf8 {
            vec![0, 0, 0, 42, 0x90, 0]
        } else {
            vec![5, 7, 1, 0x90, 0]
        }
    };
    let (result, _) = with(Framing::Short, rule, |card| (card.serial(), card.version()));
    assert_eq!(result, (Ok(Some(42)), Ok(Some([5, 7, 1]))));
}

#[test]
fn fuzzed_cards_are_bounded() {
    let mut object = Vec::new();
    tlv::write(&mut object, 0x70, &[0x30; 300]);
    tlv::write(&mut object, 0x71, &[1]);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut bomb, &[0x30; 100_000]).unwrap();
    let mut compressed = Vec::new();
    tlv::write(&mut compressed, 0x70, &bomb.finish().unwrap());
    let mut signature = Vec::new();
    tlv::write(&mut signature, 0x82, &[0x30; 70]);
    let seeds = [
        ok(0x53, &object),
        ok(0x53, &compressed),
        ok(0x7c, &signature),
        ok(0x7f49, &object),
        ok(0x7e, &[0x5f, 0x2f, 2, 0x60, 0x20]),
        vec![0x61, 0x20],
    ];
    fuzz("piv", |dice| {
        let mut answers = Vec::new();
        for _ in 0..8 {
            let mut answer = seeds[dice.below(seeds.len())].clone();
            dice.mutate(&mut answer);
            answers.push(answer);
        }
        let mut turn = 0;
        let rule = |_: u8, _: &[u8]| {
            turn += 1;
            answers[turn % answers.len()].clone()
        };
        with(Framing::Short, rule, |card| {
            if let Ok(Some(der)) = card.certificate(Slot::Signature) {
                assert!(der.len() <= 16 * 1024 && der[0] == 0x30);
            }
            let _ = card.discovery();
            let _ = card.chuid();
            let _ = card.pin_status(PinReference::Application);
            if let Ok(signature) =
                card.sign(Slot::Signature, KeyKind::P256, &Digest::Sha256([1; 32]))
            {
                assert!(signature.len() <= 73);
            }
            let _ = card.generate(Slot::Signature, KeyKind::P256, None, None);
            let _ = card.attest(Slot::Signature);
        });
    });
}
