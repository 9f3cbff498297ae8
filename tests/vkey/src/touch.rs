//! The scripted finger: answers the firmware's user-presence questions and counts them.
//!
//! The firmware asks in a loop (Trussed `UserInterface::check_user_presence`) until it is satisfied, interrupted or
//! out of time. A finger here never says "no", as on hardware: it comes, comes late, does not come, or the request
//! is cancelled. The time-out and the cancellation themselves are the firmware's.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trussed_core::InterruptFlag;
use trussed_core::types::consent::Level;

/// How long one unanswered question may hold the firmware's loop before it looks at its interrupt flag and clock again.
const PATIENCE: Duration = Duration::from_millis(10);

/// What the finger does when the key blinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Touches at once.
    Approve,
    /// Touches after this long.
    Delay(Duration),
    /// Does not touch unless told to (`press`).
    Never,
}

impl std::str::FromStr for Mode {
    type Err = String;

    /// `approve`, `never`, `delay:MS` or `delay MS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', ':', '=']).filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next()) {
            (Some("approve"), None, None) => Ok(Self::Approve),
            (Some("never"), None, None) => Ok(Self::Never),
            (Some("delay"), Some(milliseconds), None) => milliseconds
                .parse()
                .map(|milliseconds| Self::Delay(Duration::from_millis(milliseconds)))
                .map_err(|_| format!("not a number of milliseconds: {milliseconds}")),
            _ => Err(format!(
                "not a touch mode: {text} (approve, never, delay:MS)"
            )),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approve => f.write_str("approve"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_millis()),
            Self::Never => f.write_str("never"),
        }
    }
}

/// What can be asked about the finger from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it does when the key blinks.
    pub mode: Mode,
    /// Whether the key is blinking now.
    pub pending: bool,
    /// How often the key has begun to blink since the process started.
    pub requests: u64,
    /// How many of these were answered by a touch.
    pub touches: u64,
    /// How often the key was asked to wink.
    pub winks: u64,
}

struct State {
    mode: Mode,
    since: Option<Instant>,
    pressed: bool,
    cancelled: bool,
    requests: u64,
    touches: u64,
    winks: u64,
}

/// One finger, shared by the firmware's thread and the control socket.
pub struct Touch {
    state: Mutex<State>,
    changed: Condvar,
    interrupt: &'static InterruptFlag,
}

impl Touch {
    /// A finger with a mode; `interrupt` is the flag by which the firmware learns of a cancellation.
    pub fn new(mode: Mode, interrupt: &'static InterruptFlag) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                mode,
                since: None,
                pressed: false,
                cancelled: false,
                requests: 0,
                touches: 0,
                winks: 0,
            }),
            changed: Condvar::new(),
            interrupt,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what happens from now on; also answers the request that is pending.
    pub fn set_mode(&self, mode: Mode) {
        self.lock().mode = mode;
        self.changed.notify_all();
    }

    /// One touch: for the request that is pending. Returns whether there was one.
    pub fn press(&self) -> bool {
        let mut state = self.lock();
        let pending = state.since.is_some();
        state.pressed = pending;
        self.changed.notify_all();
        pending
    }

    /// Cancels the command in progress, as CTAPHID_CANCEL does. Returns whether there was one.
    pub fn cancel(&self) -> bool {
        let was_working = self.interrupt.interrupt();
        let mut state = self.lock();
        state.cancelled = state.since.is_some();
        self.changed.notify_all();
        was_working || state.cancelled
    }

    /// Waits until the key blinks for at least the `count`th time (or, with no count, is blinking), or until the time is up.
    pub fn wait(&self, count: Option<u64>, timeout: Duration) -> (bool, Snapshot) {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let reached = match count {
                Some(count) => state.requests >= count,
                None => state.since.is_some(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if reached || left.is_zero() {
                return (reached, snapshot(&state));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot {
        snapshot(&self.lock())
    }

    /// Firmware: the key begins to blink.
    pub fn begin(&self) {
        let mut state = self.lock();
        state.since = Some(Instant::now());
        state.pressed = false;
        state.cancelled = false;
        state.requests += 1;
        self.changed.notify_all();
    }

    /// Firmware: the key no longer blinks (also called when a command ends, since a time-out does not say so).
    pub fn end(&self) {
        let mut state = self.lock();
        state.since = None;
        state.pressed = false;
        self.changed.notify_all();
    }

    /// For what stands in front of a firmware: asks for a touch, as the firmware would. False when none came.
    pub fn ask(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.begin();
        let touched = loop {
            if self.poll() != Level::None {
                break true;
            }
            if Instant::now() >= deadline || self.lock().cancelled {
                break false;
            }
        };
        self.end();
        touched
    }

    /// Firmware: the key winks.
    pub fn wink(&self) {
        self.lock().winks += 1;
        self.changed.notify_all();
    }

    /// Firmware: is it touched? Waits a moment before saying no.
    pub fn poll(&self) -> Level {
        let mut state = self.lock();
        let patience = match touched(&mut state) {
            None => return Level::Strong,
            Some(wait) => wait.min(PATIENCE),
        };
        let mut state = self
            .changed
            .wait_timeout(state, patience)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        match touched(&mut state) {
            None => Level::Strong,
            Some(_) => Level::None,
        }
    }
}

fn snapshot(state: &State) -> Snapshot {
    Snapshot {
        mode: state.mode,
        pending: state.since.is_some(),
        requests: state.requests,
        touches: state.touches,
        winks: state.winks,
    }
}

/// `None` when touched (and counted), otherwise how long to wait at most.
fn touched(state: &mut State) -> Option<Duration> {
    let wait = match state.mode {
        _ if state.pressed => Duration::ZERO,
        Mode::Approve => Duration::ZERO,
        Mode::Delay(delay) => {
            delay.saturating_sub(state.since.map(|since| since.elapsed()).unwrap_or_default())
        }
        Mode::Never => Duration::MAX,
    };
    if !wait.is_zero() {
        return Some(wait);
    }
    state.pressed = false;
    state.touches += 1;
    None
}
