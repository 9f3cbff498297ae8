//! ISO 7816-4 commands and responses over a card port: short, T=0 and extended forms, command chaining, `61xx` and `6Cxx`.
//!
//! The card is not trusted: what it may answer is bounded in bytes and in rounds. What the bytes mean is the caller's.

use zeroize::Zeroizing;

use crate::error::{Error, FramingError, StatusWord};
use crate::port::ApduPort;

/// Most data bytes in a short command.
const SHORT: usize = 255;
/// Most GET RESPONSE rounds for one command, whatever their size.
const MAX_ROUNDS: usize = 512;
/// Most bytes accepted in one response of the card.
const MAX_RESPONSE_APDU: usize = 65_538;
/// CLA bit: more of this command follows.
const CHAINING: u8 = 0x10;
const GET_RESPONSE: u8 = 0xc0;

/// How commands are put on the wire; the adapter knows reader and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Short APDUs, longer data by command chaining: works with every reader and, by their specifications, every FIDO and PIV card.
    #[default]
    Short,
    /// The same over T=0, where a command with data carries no Le and the answer is fetched by GET RESPONSE.
    ShortT0,
    /// Extended lengths: fewer rounds, where reader and card both have them.
    Extended,
}

/// One command, before framing. Data of any length; an answer of any length is expected when `answer` is set.
#[derive(Clone, Copy)]
pub struct Command<'a> {
    /// Class byte, without chaining bit.
    pub cla: u8,
    /// Instruction.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Command data; may be secret (PIN), so there is no `Debug`.
    pub data: &'a [u8],
    /// Whether response data is expected.
    pub answer: bool,
}

/// A card's complete answer: data of all rounds, and the last status word.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Response data; may be secret, so there is no `Debug`.
    pub data: Vec<u8>,
    /// The last status word; never `61xx`.
    pub status: StatusWord,
}

impl Response {
    /// The data, when the card said 9000.
    pub fn ok(self) -> Result<Vec<u8>, Error> {
        if self.status == StatusWord::SUCCESS {
            Ok(self.data)
        } else {
            Err(Error::Card(self.status))
        }
    }
}

/// Sends `command` and gathers its whole answer, of at most `limit` bytes.
///
/// A chained command that the card stops early ends with the card's status. Errors: the port's, and [`FramingError`] for a card that never
/// comes to an end.
pub fn exchange(
    port: &mut dyn ApduPort,
    command: Command<'_>,
    framing: Framing,
    limit: usize,
) -> Result<Response, Error> {
    let last = match framing {
        Framing::Extended => command,
        Framing::Short | Framing::ShortT0 => {
            let mut rest = command.data;
            while let Some((part, after)) = rest
                .split_at_checked(SHORT)
                .filter(|(_, after)| !after.is_empty())
            {
                let part = Command {
                    cla: command.cla | CHAINING,
                    data: part,
                    answer: false,
                    ..command
                };
                let response = transmit(port, &encode(part, framing, 0))?;
                if response.status != StatusWord::SUCCESS {
                    return Ok(response);
                }
                rest = after;
            }
            Command {
                data: rest,
                ..command
            }
        }
    };
    let mut response = corrected(port, last, framing)?;
    let mut data = Vec::new();
    let mut empty = false;
    for _ in 0..MAX_ROUNDS {
        if data.len().saturating_add(response.data.len()) > limit {
            return Err(
                FramingError::TooLong(data.len().saturating_add(response.data.len())).into(),
            );
        }
        if response.status.sw1() != 0x61 {
            data.append(&mut response.data);
            return Ok(Response {
                data,
                status: response.status,
            });
        }
        // The first answer may be empty (T=0); a second one in a row means that nothing will come.
        if response.data.is_empty() && std::mem::replace(&mut empty, true) {
            return Err(FramingError::EndlessResponse.into());
        }
        empty = response.data.is_empty();
        data.append(&mut response.data);
        let next = Command {
            cla: 0x00,
            ins: GET_RESPONSE,
            p1: 0,
            p2: 0,
            data: &[],
            answer: true,
        };
        response = corrected_from(port, next, Framing::Short, response.status.sw2())?;
    }
    Err(FramingError::EndlessResponse.into())
}

/// One command, sent again once with the length that `6Cxx` names.
fn corrected(
    port: &mut dyn ApduPort,
    command: Command<'_>,
    framing: Framing,
) -> Result<Response, Error> {
    corrected_from(port, command, framing, 0)
}

fn corrected_from(
    port: &mut dyn ApduPort,
    command: Command<'_>,
    framing: Framing,
    le: u8,
) -> Result<Response, Error> {
    let response = transmit(port, &encode(command, framing, le))?;
    // Where no data is expected there is nothing to correct, and what was sent may be a PIN.
    if response.status.sw1() != 0x6c || !command.answer {
        return Ok(response);
    }
    let again = transmit(
        port,
        &encode(
            Command {
                answer: true,
                ..command
            },
            framing,
            response.status.sw2(),
        ),
    )?;
    if again.status.sw1() == 0x6c {
        Err(FramingError::EndlessCorrection.into())
    } else {
        Ok(again)
    }
}

fn transmit(port: &mut dyn ApduPort, command: &[u8]) -> Result<Response, Error> {
    let mut data = port.transmit(command)?;
    if data.len() > MAX_RESPONSE_APDU {
        return Err(FramingError::TooLong(data.len()).into());
    }
    let (Some(sw2), Some(sw1)) = (data.pop(), data.pop()) else {
        return Err(FramingError::NoStatusWord.into());
    };
    Ok(Response {
        data,
        status: StatusWord(u16::from_be_bytes([sw1, sw2])),
    })
}

/// One command APDU; `data` fits the framing. `le` is the short form's byte, 0 for "all there is". It may hold a PIN, and is erased.
fn encode(command: Command<'_>, framing: Framing, le: u8) -> Zeroizing<Vec<u8>> {
    let Command {
        cla,
        ins,
        p1,
        p2,
        data,
        answer,
    } = command;
    let mut apdu = Zeroizing::new(Vec::with_capacity(data.len().saturating_add(10)));
    apdu.extend_from_slice(&[cla, ins, p1, p2]);
    if framing == Framing::Extended && (data.len() > SHORT || (answer && le == 0)) {
        let [.., high, low] = data.len().to_be_bytes();
        apdu.push(0);
        if !data.is_empty() {
            apdu.extend_from_slice(&[high, low]);
            apdu.extend_from_slice(data);
        }
        if answer {
            apdu.extend_from_slice(&[0, 0]);
        }
        return apdu;
    }
    if let Ok(length @ 1..) = u8::try_from(data.len()) {
        apdu.push(length);
        apdu.extend_from_slice(data);
    }
    if answer && (framing != Framing::ShortT0 || data.is_empty()) {
        apdu.push(le);
    }
    apdu
}
