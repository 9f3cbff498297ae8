//! Cards that are broken, or that want to break their reader: what they say instead of the firmware's answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// `61xx` for ever: there is always more to fetch.
    Endless61,
    /// `6Cxx` for ever: the length asked for is never right.
    Endless6c,
    /// `9100` for ever: NFC keep-alives without end.
    EndlessKeepAlive,
    /// TLV tags are others than asked for.
    WrongTags,
    /// TLV lengths claim 2 GiB; CBOR heads claim 2³¹ elements.
    HugeLengths,
    /// The right data with a status word at random.
    RandomStatus,
    /// Noise of random length with 9000.
    Noise,
    /// The answer stops in the middle, with 9000.
    Truncated,
    /// One byte, no status word.
    ShortStatus,
    /// The largest answer that fits (65,536 bytes) to everything.
    Flood,
    /// No answer at all.
    Silent,
    /// The command's own bytes come back.
    Echo,
    /// Lawful: a FIDO2 key from before `authenticatorConfig` (CTAP 2.0). It knows nothing of `setMinPINLength`, and says so.
    Ctap20,
}

/// A misbehaving card; SELECT is answered honestly, so that readers come to the point.
#[derive(Clone)]
pub(crate) struct Misbehave {
    mode: Mode,
    counter: Arc<AtomicU64>,
    /// The command before was not the last of its chain (ISO 7816-4 §5.3.3).
    is_chaining: Arc<AtomicBool>,
}

impl Misbehave {
    /// Misbehaves in this way from now on. Random choices follow a fixed seed, so that a failure can be repeated.
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            counter: Arc::default(),
            is_chaining: Arc::default(),
        }
    }

    /// The answer to a command; `None` is silence.
    pub(crate) fn transmit(
        &self,
        command: &[u8],
        honest: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let is_select = matches!(command, [_, 0xa4, 0x04, ..]);
        if is_select {
            return Some(honest(command));
        }
        let turn = self.counter.fetch_add(1, Ordering::Relaxed);
        let chains = command.first().is_some_and(|class| class & CHAINING != 0);
        let goes_on = self.is_chaining.swap(chains, Ordering::Relaxed);
        let mut random = StdRng::seed_from_u64(turn);
        Some(match self.mode {
            Mode::Endless61 => [&[0xaa; 250][..], &[0x61, 0xff]].concat(),
            Mode::Endless6c => vec![0x6c, random.gen_range(1..=255)],
            Mode::EndlessKeepAlive => vec![if turn.is_multiple_of(2) { 1 } else { 2 }, 0x91, 0x00],
            Mode::WrongTags => with_first_byte(honest(command), |byte| byte ^ 0x15),
            Mode::HugeLengths => huge(honest(command)),
            Mode::RandomStatus => {
                let mut answer = honest(command);
                answer.truncate(answer.len().saturating_sub(2));
                answer.extend(random.next_u32().to_be_bytes().iter().take(2));
                answer
            }
            Mode::Noise => {
                let mut answer = vec![0; random.gen_range(0..=254)];
                random.fill_bytes(&mut answer);
                answer.extend([0x90, 0x00]);
                answer
            }
            Mode::Truncated => {
                let answer = honest(command);
                let data = answer.len().saturating_sub(2);
                [answer.get(..data / 2).unwrap_or_default(), &[0x90, 0x00]].concat()
            }
            Mode::ShortStatus => vec![0x90],
            Mode::Flood => [&[0x7f; 65_533][..], &[0x90, 0x00]].concat(),
            Mode::Silent => return None,
            Mode::Echo => [command, &[0x90, 0x00]].concat(),
            // What goes on in a chain begins with any byte.
            Mode::Ctap20 if goes_on => honest(command),
            Mode::Ctap20 => match ctap_command(command) {
                Some(AUTHENTICATOR_CONFIG) => vec![CTAP1_ERR_INVALID_COMMAND, 0x90, 0x00],
                _ => without_options(honest(command), &["authnrCfg", "setMinPINLength"]),
            },
        })
    }
}

/// The class byte's bit for a command that goes on in the next one.
const CHAINING: u8 = 0x10;
const AUTHENTICATOR_CONFIG: u8 = 0x0d;
const CTAP1_ERR_INVALID_COMMAND: u8 = 0x01;

/// The CTAP command that an APDU carries (NFCCTAP_MSG, CTAP 2.1 §11.3.7).
fn ctap_command(apdu: &[u8]) -> Option<u8> {
    match apdu {
        [0x80 | 0x90, 0x10, _, _, 0x00, _, _, command, ..] => Some(*command),
        [0x80 | 0x90, 0x10, _, _, length, command, ..] if *length > 0 => Some(*command),
        _ => None,
    }
}

/// The reply with these options (CBOR text and `true`) said to be `false`, where it has them.
fn without_options(mut answer: Vec<u8>, options: &[&str]) -> Vec<u8> {
    for option in options {
        let length = u8::try_from(option.len()).unwrap_or(u8::MAX);
        let stated = [&[0x60 | length][..], option.as_bytes(), &[0xf5]].concat();
        let found = answer.windows(stated.len()).position(|part| part == stated);
        if let Some(last) = found.and_then(|at| answer.get_mut(at + stated.len() - 1)) {
            *last = 0xf4;
        }
    }
    answer
}

fn with_first_byte(mut answer: Vec<u8>, change: impl FnOnce(u8) -> u8) -> Vec<u8> {
    if answer.len() > 2
        && let Some(first) = answer.first_mut()
    {
        *first = change(*first);
    }
    answer
}

/// A BER head that claims 2 GiB where the answer is TLV, a CBOR map of 2³¹ pairs where it is CTAP2's.
fn huge(answer: Vec<u8>) -> Vec<u8> {
    match answer.as_slice() {
        [0x00, rest @ ..] if rest.len() > 2 => {
            [&[0x00, 0xba, 0x80, 0x00, 0x00, 0x00][..], rest].concat()
        }
        [tag, rest @ ..] if rest.len() > 2 => {
            [&[*tag, 0x84, 0x7f, 0xff, 0xff, 0xff][..], rest].concat()
        }
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_select_honestly_and_misbehaves_afterwards() {
        let card = Misbehave::new(Mode::Endless61);
        let honest = |_: &[u8]| vec![1, 2, 0x90, 0x00];
        assert_eq!(
            card.transmit(&[0, 0xa4, 4, 0, 0], honest),
            Some(vec![1, 2, 0x90, 0x00])
        );
        let answer = card.transmit(&[0, 0xcb, 0x3f, 0xff], honest).unwrap();
        assert_eq!(answer.get(answer.len() - 2), Some(&0x61));
    }

    #[test]
    fn an_older_key_takes_no_part_of_a_chain_for_a_command() {
        let card = Misbehave::new(Mode::Ctap20);
        let done = |_: &[u8]| vec![0x00, 0x90, 0x00];
        let first = [0x90, 0x10, 0x80, 0x00, 0x02, 0x02, 0xa2];
        let last = [0x80, 0x10, 0x80, 0x00, 0x02, 0x0d, 0xa0, 0x00];
        assert_eq!(card.transmit(&first, done), Some(vec![0x00, 0x90, 0x00]));
        assert_eq!(card.transmit(&last, done), Some(vec![0x00, 0x90, 0x00]));
        assert_eq!(
            card.transmit(&last, done),
            Some(vec![CTAP1_ERR_INVALID_COMMAND, 0x90, 0x00]),
            "a command of its own again"
        );
    }

    #[test]
    fn an_older_key_knows_no_configuration() {
        let card = Misbehave::new(Mode::Ctap20);
        let config = [0x80, 0x10, 0x80, 0x00, 0x02, 0x0d, 0xa0, 0x00];
        let refused = card.transmit(&config, |_| vec![0x00, 0x90, 0x00]);
        assert_eq!(refused, Some(vec![CTAP1_ERR_INVALID_COMMAND, 0x90, 0x00]));
        let stated = [&[0x00, 0xa1, 0x69][..], b"authnrCfg", &[0xf5, 0x90, 0x00]].concat();
        let info = [0x80, 0x10, 0x80, 0x00, 0x01, 0x04, 0x00];
        let answer = card.transmit(&info, |_| stated.clone()).unwrap();
        assert_eq!(answer.get(12), Some(&0xf4));
        assert_eq!(answer.len(), stated.len());
    }

    #[test]
    fn silence_is_no_answer() {
        assert_eq!(
            Misbehave::new(Mode::Silent).transmit(&[0, 0xcb, 0, 0], |_| vec![]),
            None
        );
    }
}
