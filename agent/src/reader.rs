//! Authenticators: one thread owns each, and runs what it is given, one operation at a time; the daemon's own thread never waits for hardware.
//!
//! An authenticator here is one stay of one device: taken out and put back, it is another one, so nothing begun with one is finished with another
//! (attack 8). An operation that is dropped is cancelled at the authenticator. A device that never answers costs its own thread until it is
//! unplugged, and the operation's deadline here; the daemon goes on (attack 15).
//!
//! Here: the thread and its jobs. Beside: what is asked of an authenticator (`ready`), which are there (`roster`), why something failed (`error`).
//! Deliberately elsewhere: PC/SC ([`crate::pcsc`]), USB ([`crate::hidraw`]), the protocol ([`sceau_ctap`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sceau_ctap::apdu::Framing;
use sceau_ctap::{ApduPort, Control, Device, Error, Keepalive, PortError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc as queue, oneshot};

mod error;
mod port;
mod ready;
mod roster;

pub use error::AuthenticatorError;
pub use port::{SystemClock, SystemEntropy};
pub use ready::{NewKey, Ready, describe};
pub use roster::{Authenticator, Authenticators, Condition, Transport, Whereabouts};

/// Stack of an authenticator's thread: CBOR and cryptography, nothing recursive beyond [`sceau_ctap`]'s bounds.
const STACK: usize = 256 * 1024;
/// The longest that an operation with a touch may take, and that another program's use of the authenticator is waited for.
const TOUCH: Duration = Duration::from_secs(150);
/// The longest that an operation without a touch may take, once the authenticator is reached.
const QUIET: Duration = Duration::from_secs(5);
/// How long after an operation what was opened for it stays open: the next one of the same ceremony follows within it.
const LINGER: Duration = Duration::from_secs(3);

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

    /// Whether something is kept open after an operation, to be let go of by [`Link::rest`]. A link that keeps nothing is never woken for it.
    fn keeps(&self) -> bool {
        false
    }

    /// Nothing was asked for a moment: lets go of what was kept open.
    fn rest(&mut self) {}

    /// As [`Link::with_device`], for whoever speaks to a smart card itself.
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
                let mut next = theirs.recv().ok();
                while let Some(job) = next {
                    job(&mut link);
                    if !link.keeps() {
                        next = theirs.recv().ok();
                        continue;
                    }
                    next = match theirs.recv_timeout(LINGER) {
                        Ok(job) => Some(job),
                        Err(RecvTimeoutError::Disconnected) => None,
                        Err(RecvTimeoutError::Timeout) => {
                            link.rest();
                            theirs.recv().ok()
                        }
                    };
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
