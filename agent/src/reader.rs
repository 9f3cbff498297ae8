//! Authenticators: one thread owns each, and runs what it is given, one operation at a time; the daemon's own thread never waits for hardware.
//!
//! An authenticator here is one stay of one device: taken out and put back, it is another one, so nothing begun with one is finished with another
//! (attack 8). An operation that is dropped is cancelled at the authenticator. A device that never answers costs its own thread until it is
//! unplugged, and the operation's deadline here; the daemon goes on (attack 15).
//!
//! Deliberately elsewhere: PC/SC ([`crate::pcsc`]), USB ([`crate::hidraw`]), the protocol ([`sceau_ctap`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sceau_ctap::apdu::Framing;
use sceau_ctap::assertion::Assertion;
use sceau_ctap::ceremony::{self, Authentication, Registration, ResidentKey, UserVerification};
use sceau_ctap::client_pin::{self, PinRetries};
use sceau_ctap::credential::{NewCredential, RelyingParty, User};
use sceau_ctap::info::{self, AuthenticatorInfo};
use sceau_ctap::{
    ApduPort, Clock, Control, Device, Entropy, Error, Keepalive, NoEntropy, Pin, PortError,
    Refused, Status, WireError,
};
use sceau_ctap::{command, u2f};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc as queue, oneshot};

use crate::pcsc::LinkError;

/// Stack of an authenticator's thread: CBOR and cryptography, nothing recursive beyond [`sceau_ctap`]'s bounds.
const STACK: usize = 256 * 1024;
/// The longest that an operation with a touch may take, and that another program's use of the authenticator is waited for.
const TOUCH: Duration = Duration::from_secs(150);
/// The longest that an operation without a touch may take, once the authenticator is reached.
const QUIET: Duration = Duration::from_secs(5);

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
    /// Anything else that PC/SC knows.
    #[error("PC/SC failed (code {0:#x})")]
    Reader(u32),
    /// The system refuses a thread.
    #[error("the system refuses a thread")]
    NoThread,
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

/// What reaches one authenticator; owned by its thread.
pub trait Link: Send + 'static {
    /// Reaches the authenticator, says so by `reached`, lets `work` talk to it, and leaves it as it was.
    ///
    /// # Errors
    /// The authenticator could not be reached, or is no CTAP authenticator; `work` was not called then.
    fn with_device(
        &mut self,
        reached: &mut dyn FnMut(),
        work: &mut dyn FnMut(&mut dyn Device),
    ) -> Result<(), AuthenticatorError>;

    /// The same for whoever speaks to a smart card itself.
    ///
    /// # Errors
    /// The card could not be reached; [`AuthenticatorError::NotPiv`] when it is no smart card. `work` was not called then.
    fn with_card(
        &mut self,
        _reached: &mut dyn FnMut(),
        _work: &mut dyn FnMut(&mut dyn CardAccess),
    ) -> Result<(), AuthenticatorError> {
        Err(AuthenticatorError::NotPiv)
    }
}

/// A smart card inside a transaction, and its reader.
pub trait CardAccess: ApduPort {
    /// How commands are framed for it.
    fn framing(&self) -> Framing;

    /// A command to the reader itself (`SCardControl`); a reader with a PIN pad may take as long as the person.
    ///
    /// # Errors
    /// [`PortError`].
    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, PortError>;
}

type Job = Box<dyn FnOnce(&mut dyn Link) + Send>;

/// An authenticator's thread, from outside. It ends when the last handle is dropped.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<Job>);

impl Handle {
    /// Gives `link` a thread.
    ///
    /// # Errors
    /// [`AuthenticatorError::NoThread`].
    pub fn start(mut link: impl Link) -> Result<Self, AuthenticatorError> {
        let (jobs, theirs) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("authenticator".into())
            .stack_size(STACK)
            .spawn(move || {
                for job in theirs {
                    job(&mut link);
                }
            })
            .map_err(|_| AuthenticatorError::NoThread)?;
        Ok(Self(jobs))
    }

    /// Runs one operation, which may take `limit` once the authenticator is reached. Dropping the future cancels it at the authenticator.
    ///
    /// # Errors
    /// The operation's own; [`AuthenticatorError::Silent`] when it does not end.
    async fn run<A: Send + 'static>(
        &self,
        limit: Duration,
        on_progress: &mut dyn FnMut(Keepalive),
        work: impl FnOnce(&mut dyn Device, sceau_ctap::Progress<'_>) -> Result<A, Error>
        + Send
        + 'static,
    ) -> Result<A, AuthenticatorError> {
        let perform = move |link: &mut dyn Link, cancelled: &AtomicBool, told: &_| {
            perform(link, work, cancelled, told)
        };
        self.submit(limit, on_progress, perform).await
    }

    /// As [`Handle::run`], for `work` that speaks to the smart card itself. It begins again, once, after [`AuthenticatorError::Reset`], which it may
    /// return only as long as it has sent no PIN. A card cannot be interrupted: what it does after the future is dropped is thrown away.
    pub(crate) async fn run_card<A: Send + 'static>(
        &self,
        limit: Duration,
        on_progress: &mut dyn FnMut(Keepalive),
        work: impl FnMut(
            &mut dyn CardAccess,
            &mut dyn FnMut(Keepalive),
        ) -> Result<A, AuthenticatorError>
        + Send
        + 'static,
    ) -> Result<A, AuthenticatorError> {
        let perform = move |link: &mut dyn Link, cancelled: &AtomicBool, told: &_| {
            perform_with_card(link, work, cancelled, told)
        };
        self.submit(limit, on_progress, perform).await
    }

    async fn submit<A: Send + 'static>(
        &self,
        limit: Duration,
        on_progress: &mut dyn FnMut(Keepalive),
        work: impl FnOnce(
            &mut dyn Link,
            &AtomicBool,
            &UnboundedSender<Told>,
        ) -> Result<A, AuthenticatorError>
        + Send
        + 'static,
    ) -> Result<A, AuthenticatorError> {
        let (answer, mut answered) = oneshot::channel();
        let (progress, mut progressed) = queue::unbounded_channel();
        let cancel = Arc::new(AtomicBool::new(false));
        let cancelled = Arc::clone(&cancel);
        let _cancel_when_dropped = CancelOnDrop(cancel);
        let job: Job = Box::new(move |link| drop(answer.send(work(link, &cancelled, &progress))));
        self.0.send(job).map_err(|_| AuthenticatorError::Gone)?;
        let deadline = tokio::time::sleep(TOUCH);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                Some(told) = progressed.recv() => match told {
                    Told::Reached => deadline.as_mut().reset(tokio::time::Instant::now() + limit),
                    Told::Alive(keepalive) => on_progress(keepalive),
                },
                answer = &mut answered => return answer.unwrap_or(Err(AuthenticatorError::Gone)),
                () = &mut deadline => return Err(AuthenticatorError::Silent),
            }
        }
    }
}

/// What an authenticator's thread tells while it works.
enum Told {
    /// The authenticator is reached; the operation begins.
    Reached,
    /// A sign of life.
    Alive(Keepalive),
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn perform<A>(
    link: &mut dyn Link,
    work: impl FnOnce(&mut dyn Device, sceau_ctap::Progress<'_>) -> Result<A, Error>,
    cancelled: &AtomicBool,
    told: &UnboundedSender<Told>,
) -> Result<A, AuthenticatorError> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(AuthenticatorError::Cancelled);
    }
    let mut last = None;
    let mut progress = |keepalive| {
        if keepalive != Keepalive::Silent && last != Some(keepalive) {
            last = Some(keepalive);
            // Nobody listens when the operation was dropped; then it is cancelled below.
            let _ = told.send(Told::Alive(keepalive));
        }
        if cancelled.load(Ordering::Relaxed) {
            Control::Cancel
        } else {
            Control::Continue
        }
    };
    let mut work = Some(work);
    let mut answer = Err(AuthenticatorError::Gone);
    let mut reached = || {
        let _ = told.send(Told::Reached);
    };
    link.with_device(&mut reached, &mut |device| {
        if let Some(work) = work.take() {
            let mut device = Interruptible { device, cancelled };
            answer = work(&mut device, &mut progress).map_err(AuthenticatorError::from);
        }
    })?;
    answer
}

fn perform_with_card<A>(
    link: &mut dyn Link,
    mut work: impl FnMut(
        &mut dyn CardAccess,
        &mut dyn FnMut(Keepalive),
    ) -> Result<A, AuthenticatorError>,
    cancelled: &AtomicBool,
    told: &UnboundedSender<Told>,
) -> Result<A, AuthenticatorError> {
    let mut begin = || {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AuthenticatorError::Cancelled);
        }
        let mut answer = Err(AuthenticatorError::Gone);
        let mut reached = || drop(told.send(Told::Reached));
        link.with_card(&mut reached, &mut |card| {
            answer = work(card, &mut |keepalive| {
                drop(told.send(Told::Alive(keepalive)));
            });
        })?;
        answer
    };
    match begin() {
        Err(AuthenticatorError::Reset) => begin(),
        answer => answer,
    }
}

/// An authenticator whose every call can be cancelled, those too that nobody attends: a device that never answers is left within a moment.
struct Interruptible<'a> {
    device: &'a mut dyn Device,
    cancelled: &'a AtomicBool,
}

impl Device for Interruptible<'_> {
    fn call(
        &mut self,
        command: u8,
        payload: &[u8],
        progress: sceau_ctap::Progress<'_>,
    ) -> Result<Vec<u8>, Error> {
        let cancelled = self.cancelled;
        self.device.call(command, payload, &mut |keepalive| match (
            progress(keepalive),
            cancelled.load(Ordering::Relaxed),
        ) {
            (Control::Continue, false) => Control::Continue,
            _ => Control::Cancel,
        })
    }

    fn call_u2f(
        &mut self,
        instruction: u8,
        p1: u8,
        data: &[u8],
    ) -> Result<(Vec<u8>, sceau_ctap::StatusWord), Error> {
        self.device.call_u2f(instruction, p1, data)
    }

    fn speaks_ctap2(&self) -> bool {
        self.device.speaks_ctap2()
    }

    fn speaks_u2f(&self) -> bool {
        self.device.speaks_u2f()
    }

    fn max_message(&self) -> usize {
        self.device.max_message()
    }

    fn pause(&mut self, duration: Duration) -> Duration {
        self.device.pause(duration)
    }
}

/// What is known of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is being asked what it is.
    Reading,
    /// It answered.
    Ready(Box<AuthenticatorInfo>),
    /// It cannot be used, for this reason.
    Unusable(AuthenticatorError),
    /// It is the same authenticator as this one, which is reached by a better way.
    Twin(u64),
}

/// How an authenticator is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In or on a reader.
    SmartCard,
    /// On USB, as a HID device.
    Usb,
}

impl Transport {
    /// As `sceau keys` prints it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::SmartCard => "pcsc",
            Self::Usb => "usb",
        }
    }
}

/// Where an authenticator is, in words for people; from devices and readers, so not to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// How it is reached.
    pub transport: Transport,
    /// The reader that it is in, or the product.
    pub name: String,
    /// What it says that its serial number is.
    pub serial: Option<String>,
}

/// One authenticator that is there.
pub struct Authenticator {
    /// The reader (or the product) that it is in, for people; one line.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Its serial number, where it tells; one line.
    pub serial: Option<String>,
    /// Its thread.
    pub handle: Handle,
    /// What it is.
    pub condition: Condition,
}

/// The authenticators that are there, by a number that is never used twice.
#[derive(Default)]
pub struct Authenticators {
    there: BTreeMap<u64, Authenticator>,
    last: u64,
}

impl Authenticators {
    /// Takes one in.
    pub fn arrive(&mut self, whereabouts: &Whereabouts, handle: Handle) -> u64 {
        self.last += 1;
        let line = |text: &str| {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(100)
                .collect()
        };
        self.there.insert(
            self.last,
            Authenticator {
                name: line(&whereabouts.name),
                transport: whereabouts.transport,
                serial: whereabouts.serial.as_deref().map(line),
                handle,
                condition: Condition::Reading,
            },
        );
        self.last
    }

    /// It is gone. Returns those that were taken for the same one: they must be asked again what they are.
    pub fn leave(&mut self, id: u64) -> Vec<(u64, Handle)> {
        self.there.remove(&id);
        let mut alone = Vec::new();
        for (twin, authenticator) in &mut self.there {
            if authenticator.condition == Condition::Twin(id) {
                authenticator.condition = Condition::Reading;
                alone.push((*twin, authenticator.handle.clone()));
            }
        }
        alone
    }

    /// It said what it is.
    pub fn describe(&mut self, id: u64, condition: Condition) {
        if let Some(authenticator) = self.there.get_mut(&id) {
            authenticator.condition = condition;
        }
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_there(&self, id: u64) -> bool {
        self.there.contains_key(&id)
    }

    /// Whether one of them is still being asked what it is.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.there
            .values()
            .any(|authenticator| authenticator.condition == Condition::Reading)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Authenticator)> {
        self.there
            .iter()
            .map(|(id, authenticator)| (*id, authenticator))
    }

    /// Those that can be used.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready> {
        let ready = |(id, authenticator): (&u64, &Authenticator)| match &authenticator.condition {
            Condition::Ready(info) => self.as_ready(*id, info),
            _ => None,
        };
        self.there.iter().filter_map(ready).collect()
    }

    /// This one, as if it could be used, with what it said of itself.
    #[must_use]
    pub fn as_ready(&self, id: u64, info: &AuthenticatorInfo) -> Option<Ready> {
        let authenticator = self.there.get(&id)?;
        Some(Ready {
            id,
            name: authenticator.name.clone(),
            transport: authenticator.transport,
            handle: authenticator.handle.clone(),
            info: Box::new(info.clone()),
        })
    }
}

/// An authenticator that can be used.
#[derive(Clone)]
pub struct Ready {
    /// Its number.
    pub id: u64,
    /// For people.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// What it is.
    pub info: Box<AuthenticatorInfo>,
    handle: Handle,
}

/// A registration, owned by the operation.
pub struct NewKey {
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: [u8; 32],
    /// The configured relying party, and its name.
    pub rp: (String, String),
    /// User handle, account name, display name.
    pub user: (Vec<u8>, String, String),
    /// COSE algorithms, best first.
    pub algorithms: Vec<i64>,
    /// Credentials that it must not hold yet.
    pub exclude: Vec<Vec<u8>>,
}

impl Ready {
    /// Which of `allow` it holds, asked in silence.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn locate(
        &self,
        rp_id: &str,
        allow: Vec<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, AuthenticatorError> {
        let (rp_id, info) = (rp_id.to_owned(), self.info.clone());
        self.handle
            .run(QUIET, &mut |_| {}, move |device, _| {
                if is_u2f(&info) {
                    return u2f::locate(device, &rp_id, &allow);
                }
                ceremony::locate(device, &info, &rp_id, &allow)
            })
            .await
    }

    /// How many PIN tries are left.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn pin_retries(&self) -> Result<PinRetries, AuthenticatorError> {
        self.handle
            .run(QUIET, &mut |_| {}, |device, _| {
                client_pin::pin_retries(device)
            })
            .await
    }

    /// Signs with one credential, after PIN and touch.
    ///
    /// # Errors
    /// [`AuthenticatorError`]; a wrong PIN costs one of its tries, and is not tried again.
    pub async fn assert(
        &self,
        rp_id: &str,
        client_data_hash: [u8; 32],
        credential: Vec<u8>,
        pin: Option<Pin>,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<Assertion, AuthenticatorError> {
        let (rp_id, info) = (rp_id.to_owned(), self.info.clone());
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            // A card can be swapped faster than pcscd looks: the PIN goes to nothing but the key that was asked about.
            let allow = std::slice::from_ref(&credential);
            if ceremony::locate(device, &info, &rp_id, allow)?.as_deref() != Some(&credential) {
                return Err(PortError::Gone.into());
            }
            let request = Authentication {
                client_data_hash: &client_data_hash,
                rp_id: &rp_id,
                allow: std::slice::from_ref(&credential),
                user_verification: UserVerification::Required,
            };
            let assertions = ceremony::authenticate(
                device,
                &info,
                &request,
                pin.as_ref(),
                &mut SystemEntropy,
                progress,
            )?;
            assertions
                .into_iter()
                .next()
                .ok_or(Error::Refused(Refused::NoCredential))
        };
        self.handle.run(TOUCH, on_progress, work).await
    }

    /// Makes a credential, after PIN and touch.
    ///
    /// # Errors
    /// As [`Ready::assert`].
    pub async fn register(
        &self,
        key: NewKey,
        pin: Option<Pin>,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<NewCredential, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            if is_u2f(&info) {
                let (rp_id, hash) = (&key.rp.0, &key.client_data_hash);
                return u2f::register(device, rp_id, hash, &key.exclude, progress);
            }
            let request = Registration {
                client_data_hash: &key.client_data_hash,
                rp: RelyingParty {
                    id: &key.rp.0,
                    name: Some(&key.rp.1),
                },
                user: User {
                    id: &key.user.0,
                    name: Some(&key.user.1),
                    display_name: Some(&key.user.2),
                },
                algorithms: &key.algorithms,
                exclude: &key.exclude,
                resident_key: ResidentKey::Discouraged,
                user_verification: UserVerification::Required,
                cred_protect: None,
            };
            ceremony::register(
                device,
                &info,
                &request,
                pin.as_ref(),
                &mut SystemEntropy,
                progress,
            )
        };
        self.handle.run(TOUCH, on_progress, work).await
    }

    /// Sets the first PIN, and asks the authenticator again what it is.
    ///
    /// # Errors
    /// [`AuthenticatorError::PinUnfit`] when the PIN breaks its rules.
    pub async fn set_pin(&self, pin: Pin) -> Result<Box<AuthenticatorInfo>, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            client_pin::check_length(&pin, info.min_pin_length)?;
            client_pin::set_pin(device, info.pin_protocol()?, &pin, &mut SystemEntropy)?;
            info::info(device).map(Box::new)
        };
        self.handle.run(QUIET, &mut |_| {}, work).await
    }
}

impl Ready {
    /// Whether it is an old key that speaks U2F alone: presence without verification.
    #[must_use]
    pub fn is_u2f(&self) -> bool {
        is_u2f(&self.info)
    }

    /// Whether it knows how to wait for a touch that chooses it. On a reader, lying there is a touch, which chooses nothing.
    #[must_use]
    pub fn can_be_selected(&self) -> bool {
        self.transport == Transport::Usb
            && ["FIDO_2_1", "FIDO_2_2", "FIDO_2_3"]
                .iter()
                .any(|version| self.info.has_version(version))
    }

    /// Waits until it, among several, is touched (CTAP 2.1 §6.9); nothing is signed.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn select(&self) -> Result<(), AuthenticatorError> {
        self.handle
            .run(TOUCH, &mut |_| {}, command::selection)
            .await
    }

    /// Whether it and `other` are one authenticator that is reached in two ways: both give the key-agreement key that an authenticator draws at
    /// random when it is powered. A device that repeats another's key can make itself or that other one be passed over, no more.
    pub async fn is_same_as(&self, other: &Self) -> bool {
        if self.info.aaguid != other.info.aaguid {
            return false;
        }
        let (Ok(protocol), Ok(theirs)) = (self.info.pin_protocol(), other.info.pin_protocol())
        else {
            return false;
        };
        let key = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            client_pin::key_agreement(device, protocol)
        };
        protocol.number() == theirs.number()
            && match self.handle.run(QUIET, &mut |_| {}, key).await {
                Ok(ours) => other.handle.run(QUIET, &mut |_| {}, key).await == Ok(ours),
                Err(_) => false,
            }
    }
}

/// What a key that speaks U2F alone would say of itself: `{1: ["U2F_V2"], 3: AAGUID 0}`, no option, no PIN.
const U2F_INFO: [u8; 28] = [
    0xa2, 0x01, 0x81, 0x66, b'U', b'2', b'F', b'_', b'V', b'2', 0x03, 0x50, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0,
];

fn is_u2f(info: &AuthenticatorInfo) -> bool {
    info.versions.iter().all(|version| version == "U2F_V2")
}

/// Asks an authenticator what it is.
pub async fn describe(handle: &Handle) -> Condition {
    let ask = |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
        if device.speaks_ctap2() {
            return info::info(device);
        }
        u2f::version(device)?;
        AuthenticatorInfo::read(&U2F_INFO)
    };
    match handle.run(QUIET, &mut |_| {}, ask).await {
        Ok(info) => Condition::Ready(Box::new(info)),
        Err(e) => Condition::Unusable(e),
    }
}

/// The system's randomness, through the cryptographic library.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        aws_lc_rs::rand::fill(out).map_err(|_| NoEntropy)
    }
}

/// The system's monotonic clock, for an authenticator's deadlines only.
pub struct SystemClock(Instant);

impl SystemClock {
    /// Starts at zero.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "an adapter to hardware: deadlines are measured where the waiting is done"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
