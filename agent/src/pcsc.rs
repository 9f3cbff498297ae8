//! PC/SC: readers and cards as they come and go, and one card as an APDU port.
//!
//! Shared with everything else on the workstation: shared mode, one short transaction per operation, nothing held between operations. A
//! monitor thread blocks in `SCardGetStatusChange` for a day at a time, or, while there is no pcscd, in `inotify` on the directory of its socket:
//! neither polls. The card that an operation meets is the one that was announced, by PC/SC's own event counter: a card swapped in the meantime
//! is refused before anything is sent to it.
//!
//! Not trusted: reader names and whatever cards answer. Deliberately elsewhere: what is said to the card ([`crate::reader`]).

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pcsc::{Card, Context, Disposition, ReaderState, Scope, ShareMode, State, Transaction};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify;
use sceau_ctap::apdu::Framing;
use sceau_ctap::nfc::{NfcDevice, Protocols};
use sceau_ctap::{ApduPort, Deadlines, Device, PortError};
use tokio::sync::mpsc::UnboundedSender;

use crate::reader::{AuthenticatorError, CardAccess, Link, SystemClock};

/// Where pcscd listens unless `PCSCLITE_CSOCK_NAME` says otherwise.
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// Stack of a thread of this module.
const STACK: usize = 128 * 1024;
/// How long readers are looked at without a change. `INFINITE` is not: libpcsclite wakes up every minute for it, and not for this.
const LONGEST_LOOK: Duration = Duration::from_secs(24 * 3600);
/// How often a fresh socket is tried before waiting for its next change.
const TRIES_OF_A_FRESH_SOCKET: u32 = 6;
/// How often an operation lets another program finish with the card.
const TRIES_OF_A_BUSY_CARD: u32 = 20;
/// Between two of them.
const PAUSE_OF_A_BUSY_CARD: Duration = Duration::from_millis(100);

/// How often a card whose exchange broke is looked for.
const LOOKS_FOR_A_MISSED_CARD: u32 = 12;
/// Between two of them.
const PAUSE_OF_A_MISSED_CARD: Duration = Duration::from_millis(100);

/// What the monitor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A card is in (or a key is on) this reader.
    Arrived(Place),
    /// That card is gone.
    Left(Place),
    /// pcscd is there, or not.
    Service {
        /// Whether it answers.
        up: bool,
    },
}

/// One stay of one card in one reader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The reader, as PC/SC names it.
    pub reader: CString,
    /// PC/SC's count of insertions and removals at this reader.
    pub event_count: u32,
}

/// The running monitor; stops when dropped.
pub struct Monitor {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    asked: AtomicBool,
    wake: OwnedFd,
    context: Mutex<Option<Context>>,
}

impl Monitor {
    /// Starts watching readers whose name contains one of `filter` (all when empty). Events end when the monitor is dropped.
    ///
    /// # Errors
    /// The system refuses a thread or an event descriptor.
    pub fn start(filter: Vec<String>, events: UnboundedSender<Event>) -> std::io::Result<Self> {
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC)?,
            context: Mutex::new(None),
        });
        let theirs = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("readers".into())
            .stack_size(STACK)
            .spawn(move || {
                Watch {
                    filter,
                    events,
                    stop: theirs,
                    cards: Vec::new(),
                }
                .run()
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::SeqCst);
        // Whichever of the two the thread blocks in; the cancellation is repeated since it has no effect on a call that has not begun.
        let _ = rustix::io::write(&self.stop.wake, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() {
                if let Some(context) = &*self
                    .stop
                    .context
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                {
                    let _ = context.cancel();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            drop(thread.join());
        }
    }
}

struct Watch {
    filter: Vec<String>,
    events: UnboundedSender<Event>,
    stop: Arc<Stop>,
    cards: Vec<Place>,
}

impl Watch {
    fn run(mut self) {
        while !self.stop.asked.load(Ordering::SeqCst) {
            let Some(context) = self.reach_service() else {
                return;
            };
            *self
                .stop
                .context
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(context.clone());
            self.tell(Event::Service { up: true });
            let why = self.follow(&context);
            *self
                .stop
                .context
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
            tracing::debug!(reason = %why, "pcscd went away");
            for place in std::mem::take(&mut self.cards) {
                self.tell(Event::Left(place));
            }
            self.tell(Event::Service { up: false });
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens only when the daemon is ending.
        drop(self.events.send(event));
    }

    /// Waits, as long as it takes, until pcscd answers. `None`: asked to stop.
    fn reach_service(&self) -> Option<Context> {
        let socket = std::env::var_os("PCSCLITE_CSOCK_NAME")
            .map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
        loop {
            // The watch comes before the attempt: a pcscd that starts in between is not missed.
            let watch = watch_for(&socket);
            for attempt in 0..TRIES_OF_A_FRESH_SOCKET {
                match Context::establish(Scope::User) {
                    Ok(context) => return Some(context),
                    Err(e) => tracing::debug!(reason = %e, "pcscd does not answer"),
                }
                if !socket.exists() {
                    break;
                }
                // Bound, but not listening yet; or left behind by a pcscd that died.
                if self.stopped_within(Some(Duration::from_millis(20) * 2_u32.pow(attempt))) {
                    return None;
                }
            }
            match watch {
                Ok(watch) => {
                    let mut fds = [
                        PollFd::new(&watch, PollFlags::IN),
                        PollFd::new(&self.stop.wake, PollFlags::IN),
                    ];
                    let _ = poll(&mut fds, None);
                }
                Err(e) => {
                    tracing::warn!(error = %e, "cannot watch for pcscd; trying again every minute");
                    self.stopped_within(Some(Duration::from_secs(60)));
                }
            }
            if self.stop.asked.load(Ordering::SeqCst) {
                return None;
            }
        }
    }

    fn stopped_within(&self, time: Option<Duration>) -> bool {
        let timeout = time.and_then(|time| rustix::event::Timespec::try_from(time).ok());
        let _ = poll(
            &mut [PollFd::new(&self.stop.wake, PollFlags::IN)],
            timeout.as_ref(),
        );
        self.stop.asked.load(Ordering::SeqCst)
    }

    /// Follows readers and cards until the service fails or the monitor is asked to stop.
    fn follow(&mut self, context: &Context) -> pcsc::Error {
        let mut states = vec![ReaderState::new(pcsc::PNP_NOTIFICATION(), State::UNAWARE)];
        loop {
            match self.refresh(context, &mut states) {
                Ok(()) => {}
                Err(e) => return e,
            }
            match context.get_status_change(LONGEST_LOOK, &mut states) {
                Ok(()) | Err(pcsc::Error::Timeout | pcsc::Error::UnknownReader) => {}
                Err(e) => return e,
            }
            if self.stop.asked.load(Ordering::SeqCst) {
                return pcsc::Error::Cancelled;
            }
            for state in &mut states {
                if state.event_state().contains(State::CHANGED)
                    && state.name() != pcsc::PNP_NOTIFICATION()
                {
                    self.card_changed(state);
                }
                state.sync_current_state();
            }
        }
    }

    /// Brings the list of readers up to date: new ones are watched, vanished ones and their cards forgotten.
    fn refresh(
        &mut self,
        context: &Context,
        states: &mut Vec<ReaderState>,
    ) -> Result<(), pcsc::Error> {
        let mut readers = match context.list_readers_owned() {
            Ok(readers) => readers,
            Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
            Err(e) => return Err(e),
        };
        readers.retain(|reader| {
            let name = reader.to_string_lossy();
            self.filter.is_empty()
                || self
                    .filter
                    .iter()
                    .any(|wanted| name.contains(wanted.as_str()))
        });
        let is_there = |name: &CStr| readers.iter().any(|reader| reader.as_c_str() == name);
        states.retain(|state| state.name() == pcsc::PNP_NOTIFICATION() || is_there(state.name()));
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.cards)
            .into_iter()
            .partition(|place| is_there(&place.reader));
        self.cards = kept;
        for place in gone {
            self.tell(Event::Left(place));
        }
        for reader in readers {
            if !states.iter().any(|state| state.name() == reader.as_c_str()) {
                states.push(ReaderState::new(reader, State::UNAWARE));
            }
        }
        Ok(())
    }

    fn card_changed(&mut self, state: &ReaderState) {
        let event = state.event_state();
        tracing::debug!(reader = %state.name().to_string_lossy(), ?event, count = state.event_count(), "pcscd tells");
        // A card that pcscd calls mute is asked as well: whoever connects has it powered once more, and it may have been swapped meanwhile.
        let now = event.contains(State::PRESENT).then(|| Place {
            reader: state.name().to_owned(),
            event_count: state.event_count(),
        });
        let before = self
            .cards
            .iter()
            .position(|place| place.reader.as_c_str() == state.name());
        if before.and_then(|index| self.cards.get(index)) == now.as_ref() {
            return;
        }
        if let Some(index) = before {
            let left = self.cards.swap_remove(index);
            self.tell(Event::Left(left));
        }
        if let Some(place) = now {
            self.cards.push(place.clone());
            self.tell(Event::Arrived(place));
        }
    }
}

/// An inotify descriptor that becomes readable when something changes where `socket` is or will be.
fn watch_for(socket: &Path) -> rustix::io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let flags = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::ATTRIB
        | inotify::WatchFlags::DELETE_SELF;
    let mut directory = socket.parent();
    while let Some(path) = directory {
        match inotify::add_watch(&watch, path, flags) {
            Err(rustix::io::Errno::NOENT) => directory = path.parent(),
            Err(e) => return Err(e),
            Ok(_) => return Ok(watch),
        }
    }
    Err(rustix::io::Errno::NOENT)
}

/// One card, reached anew for each operation. Owned by one thread.
pub struct CardLink {
    place: Place,
    context: Option<Context>,
    known: Option<Protocols>,
}

/// Why a card could not be reached for an operation. Nothing was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The announced card is gone (another one may be in its place).
    #[error("the card is gone")]
    Gone,
    /// Another program keeps the card for itself.
    #[error("another program keeps the card for itself")]
    Busy,
    /// PC/SC refuses access to this user.
    #[error("PC/SC refuses access")]
    Denied,
    /// Any other fault, with PC/SC's code.
    #[error("PC/SC failed (code {0:#x})")]
    Failed(u32),
}

impl CardLink {
    /// For the card at `place`; connects to nothing yet.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            place,
            context: None,
            known: None,
        }
    }

    /// The reader's name, as text.
    #[must_use]
    pub fn reader(&self) -> String {
        self.place.reader.to_string_lossy().into_owned()
    }

    /// Connects, begins a transaction, lets `operation` talk to the card, and leaves everything as it was.
    ///
    /// # Errors
    /// [`LinkError`]; `operation` was not called then.
    pub fn with_card<A>(
        &mut self,
        operation: impl FnOnce(&mut CardPort<'_, '_>) -> A,
    ) -> Result<A, LinkError> {
        let mut card = self.connect()?;
        let transaction = begin(&mut card)?;
        // Checked inside the transaction: from here on the card cannot be exchanged without an error.
        let same = self.is_same_card();
        let answer = match same {
            Ok(()) => Ok(operation(&mut CardPort {
                transaction: &transaction,
                buffer: Vec::new(),
            })),
            Err(e) => Err(e),
        };
        drop(transaction.end(Disposition::LeaveCard));
        drop(card.disconnect(Disposition::LeaveCard));
        answer
    }

    fn connect(&mut self) -> Result<Card, LinkError> {
        let mut fresh = false;
        let mut tries = 0;
        loop {
            let context = match &self.context {
                Some(context) => context,
                None => {
                    fresh = true;
                    self.context
                        .insert(Context::establish(Scope::User).map_err(link_error)?)
                }
            };
            match context.connect(&self.place.reader, ShareMode::Shared, pcsc::Protocols::ANY) {
                Ok(card) => return Ok(card),
                // pcscd was restarted since the last operation.
                Err(
                    pcsc::Error::InvalidHandle
                    | pcsc::Error::NoService
                    | pcsc::Error::ServiceStopped
                    | pcsc::Error::CommError,
                ) if !fresh => {
                    self.context = None;
                }
                Err(pcsc::Error::SharingViolation) if tries < TRIES_OF_A_BUSY_CARD => {
                    tries += 1;
                    std::thread::sleep(PAUSE_OF_A_BUSY_CARD);
                }
                Err(e) => return Err(link_error(e)),
            }
        }
    }

    fn is_same_card(&self) -> Result<(), LinkError> {
        let context = self.context.as_ref().ok_or(LinkError::Gone)?;
        let mut state = [ReaderState::new(self.place.reader.clone(), State::UNAWARE)];
        context
            .get_status_change(Duration::ZERO, &mut state)
            .map_err(link_error)?;
        let [state] = &state;
        if state.event_count() == self.place.event_count
            && state.event_state().contains(State::PRESENT)
        {
            Ok(())
        } else {
            Err(LinkError::Gone)
        }
    }
}

fn begin(card: &mut Card) -> Result<Transaction<'_>, LinkError> {
    let mut card = card;
    for _ in 0..TRIES_OF_A_BUSY_CARD {
        match card.transaction2() {
            Ok(transaction) => return Ok(transaction),
            // Another program reset the card between our connection and our transaction; we had said nothing to it.
            Err((again, pcsc::Error::ResetCard)) => {
                again
                    .reconnect(
                        ShareMode::Shared,
                        pcsc::Protocols::ANY,
                        Disposition::LeaveCard,
                    )
                    .map_err(link_error)?;
                card = again;
            }
            Err((again, pcsc::Error::SharingViolation)) => {
                std::thread::sleep(PAUSE_OF_A_BUSY_CARD);
                card = again;
            }
            Err((_, e)) => return Err(link_error(e)),
        }
    }
    Err(LinkError::Busy)
}

fn is_gone(error: pcsc::Error) -> bool {
    use pcsc::Error as E;
    matches!(
        error,
        E::RemovedCard
            | E::NoSmartcard
            | E::ReaderUnavailable
            | E::UnknownReader
            | E::UnpoweredCard
            | E::UnresponsiveCard
            | E::NoService
            | E::ServiceStopped
    )
}

fn link_error(error: pcsc::Error) -> LinkError {
    match error {
        e if is_gone(e) => LinkError::Gone,
        pcsc::Error::SharingViolation => LinkError::Busy,
        pcsc::Error::NoAccess | pcsc::Error::SecurityViolation => LinkError::Denied,
        e => LinkError::Failed(e as u32),
    }
}

impl Link for CardLink {
    fn with_device(
        &mut self,
        reached: &mut dyn FnMut(),
        work: &mut dyn FnMut(&mut dyn Device),
    ) -> Result<(), AuthenticatorError> {
        let known = self.known;
        let found = self.with_card(|port| {
            reached();
            let framing = port.framing();
            match NfcDevice::select(
                port,
                SystemClock::start(),
                framing,
                Deadlines::default(),
                known,
            ) {
                Ok(mut device) => {
                    let protocols = device.protocols();
                    if !protocols.ctap2 {
                        return Err(AuthenticatorError::NotFido);
                    }
                    work(&mut device);
                    // Whoever uses the card next selects anew anyway.
                    let _ = device.end();
                    Ok(protocols)
                }
                Err(sceau_ctap::Error::Card(_)) => Err(AuthenticatorError::NotFido),
                Err(e) => Err(e.into()),
            }
        })??;
        self.known = Some(found);
        Ok(())
    }

    fn with_card(
        &mut self,
        reached: &mut dyn FnMut(),
        work: &mut dyn FnMut(&mut dyn CardAccess),
    ) -> Result<(), AuthenticatorError> {
        Ok(CardLink::with_card(self, |port| {
            reached();
            work(port);
        })?)
    }
}

/// A card inside a transaction.
pub struct CardPort<'a, 'card> {
    transaction: &'a Transaction<'card>,
    buffer: Vec<u8>,
}

impl CardPort<'_, '_> {
    fn framing(&self) -> Framing {
        match self.transaction.status2_owned() {
            Ok(status) if status.protocol2() == Some(pcsc::Protocol::T0) => Framing::ShortT0,
            _ => Framing::Short,
        }
    }

    /// Whether pcscd, too, loses the card within its own polling time.
    fn is_missed(&self) -> bool {
        for _ in 0..LOOKS_FOR_A_MISSED_CARD {
            if self.transaction.status2_owned().is_err() {
                return true;
            }
            std::thread::sleep(PAUSE_OF_A_MISSED_CARD);
        }
        false
    }
}

impl CardAccess for CardPort<'_, '_> {
    fn framing(&self) -> Framing {
        Self::framing(self)
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, PortError> {
        self.buffer.resize(pcsc::MAX_BUFFER_SIZE, 0);
        let answer = self
            .transaction
            .control(code.into(), data, &mut self.buffer)
            .map(<[u8]>::to_vec);
        answer.map_err(|e| match e {
            pcsc::Error::ResetCard => PortError::Reset,
            e if is_gone(e) => PortError::Gone,
            e => PortError::Failed(e as u32),
        })
    }
}

impl ApduPort for CardPort<'_, '_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, PortError> {
        self.buffer.resize(pcsc::MAX_BUFFER_SIZE_EXTENDED, 0);
        let answer = self
            .transaction
            .transmit(command, &mut self.buffer)
            .map(<[u8]>::to_vec);
        match answer {
            // Some readers give an empty answer, without an error, for a card that was pulled.
            Ok(answer) if answer.len() < 2 && self.is_missed() => Err(PortError::Gone),
            Ok(answer) => Ok(answer),
            Err(pcsc::Error::ResetCard) => Err(PortError::Reset),
            Err(e) if is_gone(e) => Err(PortError::Gone),
            Err(pcsc::Error::NoAccess | pcsc::Error::SecurityViolation) => Err(PortError::Denied),
            Err(pcsc::Error::Timeout) => Err(PortError::Timeout),
            // A card that is pulled in the middle of an exchange breaks the exchange first, and is missed a moment later.
            Err(_) if self.is_missed() => Err(PortError::Gone),
            Err(e) => Err(PortError::Failed(e as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_that_appears_wakes_the_watch_even_in_a_directory_that_is_not_there_yet() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("pcscd/pcscd.comm");
        let ready = |watch: &OwnedFd| {
            let now = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&now)).unwrap() == 1
        };
        let watch = watch_for(&socket).unwrap();
        assert!(!ready(&watch));
        std::fs::create_dir(place.path().join("pcscd")).unwrap();
        assert!(ready(&watch));
        let watch = watch_for(&socket).unwrap();
        assert!(!ready(&watch));
        std::fs::write(&socket, "").unwrap();
        assert!(ready(&watch));
    }
}
