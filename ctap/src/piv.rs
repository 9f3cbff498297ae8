//! PIV cards (NIST SP 800-73-4) over the card port: selection, and what the parts in `piv/` share.
//!
//! Generic: no vendor's library, and vendor commands (attestation, serial number) only where a card has them. The card is shared with other
//! programs and may have been reset by them at any time: a [`PivCard`] lives within one transaction, and the next one selects again.
//! What a card says is bounded and parsed here, and verified in `sceau-proof`. Nothing here tries a PIN twice.

pub mod key;
pub mod management;
pub mod metadata;
pub mod object;
pub mod pin;
pub mod pin_pad;

pub use key::{Digest, KeyKind, PublicKey, Slot};
pub use management::{ManagementAlgorithm, ManagementKey};
pub use metadata::Metadata;
pub use object::{Chuid, Discovery};
pub use pin::{PinOutcome, PinReference, PivPin};

use crate::apdu::{Command, Framing, Response, exchange};
use crate::error::{Error, ReplyError, StatusWord};
use crate::port::ApduPort;
use crate::tlv;

/// The PIV application's full identifier, version 1.0; some applets know no shorter one.
pub const AID: [u8; 11] = [
    0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00,
];

/// Largest answer accepted; no PIV object comes near.
pub const MAX_ANSWER: usize = 32 * 1024;

/// A PIV application, selected.
pub struct PivCard<P> {
    port: P,
    framing: Framing,
}

impl<P: ApduPort> PivCard<P> {
    /// Selects the PIV application, which forgets every earlier verification.
    ///
    /// Errors: [`Error::Card`] (usually [`StatusWord::NOT_FOUND`]) when the card has no such application.
    pub fn select(port: P, framing: Framing) -> Result<Self, Error> {
        let mut card = Self { port, framing };
        // SELECT is short even where other commands are extended, like every client's.
        let framing = if framing == Framing::Extended {
            Framing::Short
        } else {
            framing
        };
        let command = Command {
            cla: 0x00,
            ins: 0xa4,
            p1: 0x04,
            p2: 0x00,
            data: &AID,
            answer: true,
        };
        let template = exchange(&mut card.port, command, framing, MAX_ANSWER)?.ok()?;
        // Part 2 §3.1.1: the application property template. What it says is not needed; that it is one tells a PIV application from chance.
        tlv::only(&template, 0x61).map_err(|_| structure("application template"))?;
        Ok(card)
    }

    /// What the card is reached by, for a reader that asks for the PIN itself; the selection stands.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// Yubico's GET VERSION: firmware major, minor, patch; `None` on other cards.
    pub fn version(&mut self) -> Result<Option<[u8; 3]>, Error> {
        Ok(self.vendor(0xfd)?.and_then(|data| data.try_into().ok()))
    }

    /// Yubico's GET SERIAL; `None` on other cards.
    pub fn serial(&mut self) -> Result<Option<u32>, Error> {
        Ok(self
            .vendor(0xf8)?
            .and_then(|data| data.try_into().ok())
            .map(u32::from_be_bytes))
    }

    fn vendor(&mut self, ins: u8) -> Result<Option<Vec<u8>>, Error> {
        let response = self.send(ins, 0, 0, &[])?;
        match response.status {
            StatusWord::SUCCESS => Ok(Some(response.data)),
            StatusWord::UNKNOWN_INSTRUCTION
            | StatusWord::UNSUPPORTED_FUNCTION
            | StatusWord::UNKNOWN_CLASS => Ok(None),
            status => Err(Error::Card(status)),
        }
    }

    /// A command whose answer is wanted whole.
    fn send(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Result<Response, Error> {
        let command = Command {
            cla: 0x00,
            ins,
            p1,
            p2,
            data,
            answer: true,
        };
        exchange(&mut self.port, command, self.framing, MAX_ANSWER)
    }

    /// A command that is answered by a status word alone; cards dislike an expected length there.
    fn tell(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Result<StatusWord, Error> {
        let command = Command {
            cla: 0x00,
            ins,
            p1,
            p2,
            data,
            answer: false,
        };
        Ok(exchange(&mut self.port, command, self.framing, MAX_ANSWER)?.status)
    }
}

fn structure(name: &'static str) -> Error {
    ReplyError::Structure(name).into()
}

fn done(status: StatusWord) -> Result<(), Error> {
    if status == StatusWord::SUCCESS {
        Ok(())
    } else {
        Err(Error::Card(status))
    }
}
