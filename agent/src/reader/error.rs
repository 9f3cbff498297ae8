//! Why an authenticator did not do what was asked, in words that the daemon acts upon; the protocol's own errors become these.

use sceau_ctap::{Error, FramingError, PortError, Refused, Status, WireError};

use crate::pcsc::LinkError;

/// Why an authenticator did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorError {
    /// It is gone, or another one is in its place.
    #[error("the authenticator is gone")]
    Gone,
    /// Another program keeps it for itself.
    #[error("another program keeps the authenticator for itself")]
    Busy,
    /// The system refuses access to it.
    #[error("the system refuses access to the authenticator")]
    Denied,
    /// The system keeps its device node from this user: no seat, or no udev rule.
    #[error("the system keeps the device node from this user")]
    NodeDenied,
    /// A card that is no FIDO2 authenticator.
    #[error("this card is not a FIDO2 authenticator")]
    NotFido,
    /// A card without a PIV application.
    #[error("this card has no PIV application")]
    NotPiv,
    /// No PIV card is there.
    #[error("no PIV card is there")]
    NoCard,
    /// Several PIV cards are there, and it was not said which is meant.
    #[error("several PIV cards are there")]
    SeveralCards,
    /// Another program reset the card, twice; nothing had been said to it.
    #[error("another program reset the card")]
    Reset,
    /// The server enrols no PIV cards.
    #[error("the server enrols no PIV cards")]
    CardsNotTaken,
    /// A PIV card without a key in slot 9C.
    #[error("the card has no key in slot 9C")]
    NoCardKey,
    /// A PIV card that does not attest this key.
    #[error("the card does not attest this key")]
    NoAttestation,
    /// A PIV card's PIN is blocked: the PUK helps.
    #[error("blocked: no PIN tries left; the PUK helps")]
    CardPinBlocked,
    /// Wrong PUK; it cost a try.
    #[error("wrong PUK")]
    WrongPuk,
    /// No PUK tries left.
    #[error("blocked: no PUK tries left")]
    PukBlocked,
    /// Wrong management key.
    #[error("wrong management key")]
    WrongManagementKey,
    /// Wrong PIN; it cost a try.
    #[error("wrong PIN")]
    WrongPin,
    /// Three wrong PINs in a row: it must be taken out and put back.
    #[error("locked until it is taken out and put back")]
    PinLocked,
    /// No tries left: only a reset helps.
    #[error("blocked: no PIN tries left")]
    PinBlocked,
    /// It has no PIN.
    #[error("no PIN is set")]
    PinNotSet,
    /// Its PIN must be changed first.
    #[error("the PIN must be changed first")]
    PinChangeRequired,
    /// The PIN breaks its rules; nothing was tried.
    #[error("the PIN is too short, too long, or breaks the authenticator's rules")]
    PinUnfit,
    /// It has no way to verify its user.
    #[error("it cannot verify its user")]
    NoUserVerification,
    /// It holds none of the credentials.
    #[error("it holds none of the keys")]
    NoCredential,
    /// It holds a key of this person already.
    #[error("it is enrolled already")]
    AlreadyEnrolled,
    /// Nobody touched it in time.
    #[error("it was not touched in time")]
    NotTouched,
    /// Cancelled.
    #[error("cancelled")]
    Cancelled,
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// Anything else that the protocol knows.
    #[error("{0}")]
    Protocol(Error),
    /// The vendor's PKCS #11 module failed.
    #[error("the PKCS #11 module failed")]
    Module,
    /// A card that only a vendor's module reads cannot do this by us.
    #[error("this card is not administered here")]
    NotAdministered,
    /// Anything else that PC/SC knows.
    #[error("PC/SC failed (code {0:#x})")]
    Reader(u32),
    /// The system refuses a thread.
    #[error("the system refuses a thread")]
    NoThread,
}

impl AuthenticatorError {
    /// Whether it may be otherwise in a moment, as long as the authenticator is there: it was starting, or another program reset it, or it was
    /// pulled and plugged so quickly that its reader gave an empty answer, or none, and never missed it.
    #[must_use]
    pub(crate) fn may_pass(self) -> bool {
        const TORN: [FramingError; 2] = [FramingError::NoStatusWord, FramingError::Empty];
        match self {
            Self::Silent | Self::Busy | Self::Gone | Self::Reset | Self::Reader(_) => true,
            Self::Protocol(Error::Wire(WireError::Port(PortError::Failed(_)))) => true,
            Self::Protocol(Error::Wire(WireError::Framing(torn))) => TORN.contains(&torn),
            _ => false,
        }
    }
}

impl From<LinkError> for AuthenticatorError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Gone => Self::Gone,
            LinkError::Busy => Self::Busy,
            LinkError::Denied => Self::Denied,
            LinkError::Failed(code) => Self::Reader(code),
        }
    }
}

impl From<Error> for AuthenticatorError {
    fn from(error: Error) -> Self {
        match error {
            Error::Status(status) => match status {
                Status::PIN_INVALID => Self::WrongPin,
                Status::PIN_AUTH_BLOCKED => Self::PinLocked,
                Status::PIN_BLOCKED => Self::PinBlocked,
                Status::PIN_NOT_SET => Self::PinNotSet,
                Status::PIN_POLICY_VIOLATION => Self::PinUnfit,
                Status::NO_CREDENTIALS | Status::INVALID_CREDENTIAL => Self::NoCredential,
                Status::CREDENTIAL_EXCLUDED => Self::AlreadyEnrolled,
                Status::USER_ACTION_TIMEOUT | Status::ACTION_TIMEOUT => Self::NotTouched,
                Status::KEEPALIVE_CANCEL => Self::Cancelled,
                _ => Self::Protocol(error),
            },
            Error::Refused(refused) => match refused {
                Refused::Cancelled => Self::Cancelled,
                Refused::PinTooShort { .. } | Refused::PinTooLong | Refused::PinCharacter => {
                    Self::PinUnfit
                }
                Refused::PinNotSet => Self::PinNotSet,
                Refused::PinChangeRequired => Self::PinChangeRequired,
                Refused::NoUserVerification => Self::NoUserVerification,
                Refused::NoCredential => Self::NoCredential,
                _ => Self::Protocol(error),
            },
            // A card that another program resets in mid-ceremony has lost everything that was said to it: as good as gone.
            Error::Wire(WireError::Port(PortError::Gone | PortError::Reset)) => Self::Gone,
            Error::Wire(WireError::Port(PortError::Denied)) => Self::Denied,
            Error::Wire(
                WireError::Silent | WireError::Deadline | WireError::Port(PortError::Timeout),
            ) => Self::Silent,
            Error::Wire(WireError::Busy) => Self::Busy,
            _ => Self::Protocol(error),
        }
    }
}
