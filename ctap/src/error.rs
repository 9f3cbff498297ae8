//! What can go wrong, by whose doing: the authenticator said no, the wire broke, or we refused.
//!
//! Status bytes and status words that this crate does not know survive unchanged, so that a log or a person sees what the device said.

use crate::cbor::CborError;
use crate::port::{NoEntropy, PortError};

/// Every failure of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The authenticator answered a CTAP2 command with a status other than success.
    #[error("the authenticator said no: {0}")]
    Status(Status),
    /// The card answered an APDU with a status word other than success.
    #[error("the card said no: {0}")]
    Card(StatusWord),
    /// The wire broke, or what came over it cannot be read. Whether the command took effect is not known.
    #[error("the connection to the authenticator failed: {0}")]
    Wire(#[from] WireError),
    /// We refused: nothing was sent, or the answer was not used.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
}

impl Error {
    /// The CTAP2 status, when the authenticator said no with one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// Whether this is the authenticator's answer `status`.
    #[must_use]
    pub fn is_status(&self, status: Status) -> bool {
        self.status() == Some(status)
    }
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        Self::Wire(WireError::Port(error))
    }
}

impl From<NoEntropy> for Error {
    fn from(_: NoEntropy) -> Self {
        Self::Refused(Refused::NoEntropy)
    }
}

impl From<CborError> for Error {
    fn from(error: CborError) -> Self {
        Self::Wire(WireError::Reply(ReplyError::Cbor(error)))
    }
}

impl From<FramingError> for Error {
    fn from(error: FramingError) -> Self {
        Self::Wire(WireError::Framing(error))
    }
}

impl From<ReplyError> for Error {
    fn from(error: ReplyError) -> Self {
        Self::Wire(WireError::Reply(error))
    }
}

/// The wire broke: unplugged, silent, out of order, or unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The port itself failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Nothing was heard for as long as the deadline allows.
    #[error("the authenticator fell silent")]
    Silent,
    /// Signs of life, but no answer before the whole call's deadline.
    #[error("no answer before the deadline")]
    Deadline,
    /// Another program kept the authenticator busy for as long as the deadline allows.
    #[error("the authenticator is busy with another program")]
    Busy,
    /// A CTAPHID ERROR message with this code (§11.2.9.1.6); unknown codes survive.
    #[error("the authenticator reported transport error {0:#04x}")]
    Hid(u8),
    /// A packet or message that violates CTAPHID or ISO 7816-4 framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A message that arrived whole but is not a valid reply to what was asked.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// What is wrong with the framing of what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A packet shorter than its header.
    #[error("a packet is shorter than its header")]
    ShortPacket,
    /// A message that announces more than the transport can carry.
    #[error("a message announces {0} bytes")]
    TooLong(usize),
    /// A continuation packet out of order.
    #[error("continuation packet {found} where {expected} was due")]
    Sequence {
        /// The sequence number that was due.
        expected: u8,
        /// The one that came.
        found: u8,
    },
    /// A continuation packet that continues nothing.
    #[error("a continuation packet without a message")]
    Stray,
    /// An answer to another command than the one sent.
    #[error("an answer to command {found:#04x} where {expected:#04x} was sent")]
    Command {
        /// The command that was sent.
        expected: u8,
        /// The one that the answer names.
        found: u8,
    },
    /// An INIT answer that is too short or allocates a reserved channel.
    #[error("the channel allocation is invalid")]
    Channel,
    /// A response APDU without its status word.
    #[error("a card answer without a status word")]
    NoStatusWord,
    /// A card that goes on offering more data past every bound, or offers it without delivering any.
    #[error("the card goes on offering data")]
    EndlessResponse,
    /// A card that goes on correcting the length it was asked for.
    #[error("the card goes on correcting the expected length")]
    EndlessCorrection,
    /// An empty message where a status byte is due.
    #[error("an answer without a status byte")]
    Empty,
}

/// What is wrong with a reply that arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not the CBOR that CTAP2 allows, or beyond a bound.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A member that the command requires is absent.
    #[error("member {0} is missing")]
    Missing(&'static str),
    /// A member's value is of a wrong shape or length.
    #[error("member {0} is invalid")]
    Invalid(&'static str),
    /// A BER-TLV structure that does not parse, with the place's name.
    #[error("{0} is not a valid structure")]
    Structure(&'static str),
    /// Contents beyond the bound for this place.
    #[error("{0} is too large")]
    TooLarge(&'static str),
}

/// Why we did not do what the caller asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller's progress callback said [`crate::Control::Cancel`].
    #[error("cancelled")]
    Cancelled,
    /// The PIN has fewer than four characters, or fewer than this authenticator's minimum.
    #[error("the PIN needs at least {minimum} characters")]
    PinTooShort {
        /// In Unicode code points.
        minimum: usize,
    },
    /// The PIN is longer than its standard allows: 63 bytes of UTF-8 (FIDO2), 8 characters (PIV).
    #[error("the PIN is too long")]
    PinTooLong,
    /// The PIN holds a NUL character, which the padding could not carry.
    #[error("the PIN holds a character that cannot be sent")]
    PinCharacter,
    /// The authenticator has no PIN yet.
    #[error("no PIN is set on the authenticator")]
    PinNotSet,
    /// A PIN is set already: change it instead.
    #[error("a PIN is set already")]
    PinAlreadySet,
    /// The authenticator wants its PIN changed before anything else.
    #[error("the PIN must be changed first")]
    PinChangeRequired,
    /// A PIN is needed, and the caller gave none.
    #[error("a PIN is needed")]
    PinNeeded,
    /// User verification is required, and this authenticator has no way to do it.
    #[error("the authenticator cannot verify its user")]
    NoUserVerification,
    /// No PIN/UV protocol that both sides know.
    #[error("no common PIN/UV protocol")]
    NoCommonProtocol,
    /// None of the wanted algorithms is one of the authenticator's.
    #[error("no common signature algorithm")]
    NoCommonAlgorithm,
    /// None of the allowed credentials is on this authenticator.
    #[error("none of the credentials is on this authenticator")]
    NoCredential,
    /// The authenticator does not have this command or option.
    #[error("the authenticator does not support this")]
    Unsupported,
    /// The request is larger than the authenticator or its transport takes.
    #[error("the request is too large for the authenticator")]
    TooLarge,
    /// More credentials than a list may hold.
    #[error("too many credentials")]
    TooManyCredentials,
    /// An argument that no authenticator could accept: the caller's bug.
    #[error("argument {0} is invalid")]
    Argument(&'static str),
    /// The source of randomness failed.
    #[error("no randomness")]
    NoEntropy,
    /// A cryptographic operation failed on valid input.
    #[error("cryptography failed")]
    Crypto,
}

/// A CTAP2 status byte (CTAP 2.2 §8.2). Unknown ones are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The specification's name, without prefix; `None` for a byte that this crate does not know.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown status",
                }
            }
        }
    };
}

statuses! {
    /// Done.
    SUCCESS = 0x00, "success";
    /// The command is not one of the authenticator's.
    INVALID_COMMAND = 0x01, "invalid command";
    /// A parameter is not valid.
    INVALID_PARAMETER = 0x02, "invalid parameter";
    /// The message's length is not valid.
    INVALID_LENGTH = 0x03, "invalid length";
    /// The message's sequencing is not valid.
    INVALID_SEQ = 0x04, "invalid sequence";
    /// The message timed out.
    TIMEOUT = 0x05, "timed out";
    /// The channel is busy.
    CHANNEL_BUSY = 0x06, "channel busy";
    /// The command needs the channel's lock.
    LOCK_REQUIRED = 0x0a, "lock required";
    /// The command is not allowed on this channel.
    INVALID_CHANNEL = 0x0b, "invalid channel";
    /// CBOR of an unexpected type.
    CBOR_UNEXPECTED_TYPE = 0x11, "unexpected CBOR type";
    /// Invalid CBOR.
    INVALID_CBOR = 0x12, "invalid CBOR";
    /// A required parameter is missing.
    MISSING_PARAMETER = 0x14, "missing parameter";
    /// A limit was exceeded.
    LIMIT_EXCEEDED = 0x15, "limit exceeded";
    /// No room for another fingerprint.
    FP_DATABASE_FULL = 0x17, "fingerprint storage full";
    /// No room for a larger blob.
    LARGE_BLOB_STORAGE_FULL = 0x18, "large blob storage full";
    /// A credential of the exclude list is on this authenticator.
    CREDENTIAL_EXCLUDED = 0x19, "already registered on this authenticator";
    /// Lengthy operation in progress.
    PROCESSING = 0x21, "processing";
    /// The credential is not this authenticator's.
    INVALID_CREDENTIAL = 0x22, "invalid credential";
    /// The user's action is awaited.
    USER_ACTION_PENDING = 0x23, "user action pending";
    /// An operation is pending.
    OPERATION_PENDING = 0x24, "operation pending";
    /// No operation is pending.
    NO_OPERATIONS = 0x25, "no operation pending";
    /// None of the algorithms is supported.
    UNSUPPORTED_ALGORITHM = 0x26, "unsupported algorithm";
    /// The user or the authenticator's policy declined.
    OPERATION_DENIED = 0x27, "operation denied";
    /// No room for another discoverable credential.
    KEY_STORE_FULL = 0x28, "credential storage full";
    /// An option is not supported.
    UNSUPPORTED_OPTION = 0x2b, "unsupported option";
    /// An option is not valid for this command.
    INVALID_OPTION = 0x2c, "invalid option";
    /// The pending operation was cancelled.
    KEEPALIVE_CANCEL = 0x2d, "cancelled";
    /// No valid credential was found.
    NO_CREDENTIALS = 0x2e, "no credential";
    /// The user did not act in time.
    USER_ACTION_TIMEOUT = 0x2f, "the user did not act in time";
    /// The continuation command is not allowed now.
    NOT_ALLOWED = 0x30, "not allowed";
    /// Wrong PIN; a retry was used up.
    PIN_INVALID = 0x31, "wrong PIN";
    /// No PIN retries left: only a reset helps.
    PIN_BLOCKED = 0x32, "PIN blocked";
    /// The authentication parameter does not verify.
    PIN_AUTH_INVALID = 0x33, "PIN authentication invalid";
    /// Three wrong PINs in a row: power cycle needed.
    PIN_AUTH_BLOCKED = 0x34, "PIN locked until the authenticator is replugged";
    /// No PIN is set.
    PIN_NOT_SET = 0x35, "no PIN set";
    /// A PIN/UV token is required for this operation.
    PUAT_REQUIRED = 0x36, "PIN or user verification required";
    /// The new PIN violates the authenticator's policy.
    PIN_POLICY_VIOLATION = 0x37, "the PIN violates the authenticator's policy";
    /// The token has expired.
    PIN_TOKEN_EXPIRED = 0x38, "PIN token expired";
    /// The request is larger than the authenticator can take.
    REQUEST_TOO_LARGE = 0x39, "request too large";
    /// The current operation timed out.
    ACTION_TIMEOUT = 0x3a, "action timed out";
    /// User presence is required.
    UP_REQUIRED = 0x3b, "user presence required";
    /// Built-in user verification is disabled after too many failures.
    UV_BLOCKED = 0x3c, "user verification blocked";
    /// A checksum did not match.
    INTEGRITY_FAILURE = 0x3d, "integrity failure";
    /// The subcommand is not supported.
    INVALID_SUBCOMMAND = 0x3e, "invalid subcommand";
    /// Built-in user verification failed; a retry was used up.
    UV_INVALID = 0x3f, "user verification failed";
    /// The token lacks the permission.
    UNAUTHORIZED_PERMISSION = 0x40, "permission not granted";
    /// Any other failure.
    OTHER = 0x7f, "unspecified failure";
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:#04x})", self.text(), self.0)
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Status({name} {:#04x})", self.0),
            None => write!(f, "Status({:#04x})", self.0),
        }
    }
}

/// An ISO 7816-4 status word, `SW1 SW2` big-endian. Unknown ones are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// Done.
    pub const SUCCESS: Self = Self(0x9000);
    /// CTAP2 over NFC: still working, ask again.
    pub const KEEP_ALIVE: Self = Self(0x9100);
    /// The card could not complete and its memory did not change.
    pub const MEMORY_UNCHANGED: Self = Self(0x6400);
    /// Wrong length.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Command chaining not supported.
    pub const CHAINING_UNSUPPORTED: Self = Self(0x6884);
    /// Verification needed first (PIN, management key).
    pub const SECURITY_STATUS: Self = Self(0x6982);
    /// The authentication method is blocked.
    pub const BLOCKED: Self = Self(0x6983);
    /// Conditions not satisfied: in U2F, touch is awaited.
    pub const CONDITIONS: Self = Self(0x6985);
    /// Data invalid: in U2F, the key handle is not this token's.
    pub const WRONG_DATA: Self = Self(0x6a80);
    /// Function not supported.
    pub const UNSUPPORTED_FUNCTION: Self = Self(0x6a81);
    /// File, object or application not found.
    pub const NOT_FOUND: Self = Self(0x6a82);
    /// P1 P2 invalid.
    pub const WRONG_P1_P2: Self = Self(0x6a86);
    /// Reference data not found.
    pub const REFERENCE_NOT_FOUND: Self = Self(0x6a88);
    /// P1 P2 wrong.
    pub const WRONG_PARAMETERS: Self = Self(0x6b00);
    /// Instruction not supported.
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6d00);
    /// Class not supported.
    pub const UNKNOWN_CLASS: Self = Self(0x6e00);

    /// First byte.
    #[must_use]
    pub fn sw1(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Second byte.
    #[must_use]
    pub fn sw2(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// Tries left, when this is `63Cx` (verification failed) or `6983` (none left).
    #[must_use]
    pub fn tries_left(self) -> Option<u8> {
        match self.0 {
            0x63c0..=0x63cf => Some(self.sw2() & 0x0f),
            0x6983 => Some(0),
            _ => None,
        }
    }
}

impl std::fmt::Display for StatusWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match *self {
            Self::SUCCESS => "success",
            Self::WRONG_LENGTH => "wrong length",
            Self::SECURITY_STATUS => "verification needed",
            Self::BLOCKED => "blocked",
            Self::CONDITIONS => "conditions not satisfied",
            Self::WRONG_DATA => "wrong data",
            Self::UNSUPPORTED_FUNCTION => "function not supported",
            Self::NOT_FOUND => "not found",
            Self::REFERENCE_NOT_FOUND => "reference not found",
            Self::UNKNOWN_INSTRUCTION => "instruction not supported",
            Self::UNKNOWN_CLASS => "class not supported",
            _ if self.tries_left().is_some() => "verification failed",
            _ => "status word",
        };
        write!(f, "{text} ({:04x})", self.0)
    }
}

impl std::fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusWord({:#06x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_status_bytes_survive() {
        assert_eq!(Status(0xe7).name(), None);
        assert_eq!(Status(0xe7).to_string(), "unknown status (0xe7)");
        assert_eq!(Status(0x31), Status::PIN_INVALID);
        assert_eq!(
            format!("{:?}", Status::PIN_INVALID),
            "Status(PIN_INVALID 0x31)"
        );
    }

    #[test]
    fn tries_left_are_read_from_the_status_word() {
        assert_eq!(StatusWord(0x63c2).tries_left(), Some(2));
        assert_eq!(StatusWord::BLOCKED.tries_left(), Some(0));
        assert_eq!(StatusWord(0x6300).tries_left(), None);
    }
}
