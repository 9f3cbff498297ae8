//! The key's processor: one thread that runs the real applications from power-on to power-off.
//!
//! A power cycle is a new boot over the same flash: PIN tokens, selected applications and the reset window are lost,
//! credentials and retry counters stay. A panic of the firmware is a crash of the key: it boots again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use apdu_dispatch::dispatch::ApduDispatch;
use apdu_dispatch::interchanges;
use ctaphid_dispatch::app::Command;
use fido_authenticator::{Authenticator, Config, Conforming, FirmwareVersion};
use littlefs2::path;
use littlefs2_core::PathBuf as FlashPath;
use ref_swap::OptionRefSwap;
use trussed::ClientImplementation;
use trussed::pipe::{ServiceEndpoint, TrussedChannel};
use trussed::store::Store as _;
use trussed::types::CoreContext;
use trussed::virt::{StorageConfig, Store, StoreConfig};
use trussed_core::InterruptFlag;

use crate::model::Attestation;
use crate::runtime::{self, Backends, Board, Syscall};
use crate::storage;
use crate::touch::{Mode, Touch};

/// Length of the longest CTAPHID message (CTAP 2.1 §11.2.4).
pub const HID_MESSAGE: usize = ctaphid_dispatch::DEFAULT_MESSAGE_SIZE;

/// `00 6F 00`: the status word of a card that failed.
const SW_FAILURE: [u8; 2] = [0x6f, 0x00];

/// Which firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// FIDO2 and U2F (`fido-authenticator`).
    Fido,
    /// PIV (`piv-authenticator`).
    Piv,
}

/// What a firmware can be asked to do.
pub enum Job {
    /// One APDU; the answer goes back by the channel.
    Apdu(Vec<u8>, Sender<Vec<u8>>),
    /// Something arrived on the CTAPHID channel.
    Hid,
}

/// The CTAPHID side's two ends of the firmware.
pub struct HidPort {
    /// Requests of the framing layer.
    pub responder: ctaphid_dispatch::Responder<'static, HID_MESSAGE>,
    /// Where the framing layer finds what to interrupt on CANCEL.
    pub interrupt: &'static OptionRefSwap<'static, InterruptFlag>,
    /// Called after each answer.
    pub answered: Box<dyn Fn() + Send>,
}

/// Settings of one device.
pub struct Settings {
    /// Which firmware.
    pub application: Application,
    /// Where its flash lives; exists.
    pub state: PathBuf,
    /// The manufacturer's certificate and key, if it was made by one.
    pub attestation: Option<Attestation>,
    /// What the finger does at first.
    pub touch: Mode,
    /// After how long without a touch a command fails.
    pub presence_timeout: Duration,
    /// Whether a USB port powers it: a reader then neither powers nor resets it.
    pub is_bus_powered: bool,
    /// Whether only U2F is spoken (an old key).
    pub u2f_only: bool,
}

/// One virtual device, powered or not.
pub struct Device {
    settings: Settings,
    /// Its finger.
    pub touch: Arc<Touch>,
    interrupt: &'static InterruptFlag,
    boots: AtomicU64,
    /// Microseconds that its firmware has worked, waits for the finger included.
    worked: AtomicU64,
    /// The way to the firmware while it runs.
    jobs: Mutex<Option<Sender<Job>>>,
}

/// A powered device; power-off by `off` (or drop).
pub struct Power {
    device: Arc<Device>,
    dead: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    /// A device without power.
    pub fn new(settings: Settings) -> Arc<Self> {
        let interrupt: &'static InterruptFlag = Box::leak(Box::new(InterruptFlag::new()));
        let touch = Touch::new(settings.touch, interrupt);
        Arc::new(Self {
            settings,
            touch,
            interrupt,
            boots: AtomicU64::new(0),
            worked: AtomicU64::new(0),
            jobs: Mutex::default(),
        })
    }

    /// How often it got power (or crashed and came back).
    pub fn boots(&self) -> u64 {
        self.boots.load(Ordering::Relaxed)
    }

    /// How long its firmware has worked since the process began, waits for the finger included.
    pub fn worked(&self) -> Duration {
        Duration::from_micros(self.worked.load(Ordering::Relaxed))
    }

    fn note_work(&self, since: Instant) {
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.worked.fetch_add(took, Ordering::Relaxed);
    }

    /// Whether the key speaks U2F only.
    pub fn is_u2f_only(&self) -> bool {
        self.settings.u2f_only
    }

    /// Whether a USB port powers it.
    pub fn is_bus_powered(&self) -> bool {
        self.settings.is_bus_powered
    }

    /// Hands over a job; false when it has no power.
    pub fn submit(&self, job: Job) -> bool {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Gives it power.
    pub fn power_on(self: &Arc<Self>, hid: Option<HidPort>) -> anyhow::Result<Power> {
        let (jobs, queue) = mpsc::channel();
        let dead = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name(format!("{:?}", self.settings.application).to_lowercase())
            .stack_size(16 << 20)
            .spawn({
                let device = Arc::clone(self);
                let dead = Arc::clone(&dead);
                move || device.run(&queue, hid, &dead)
            })?;
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(jobs);
        Ok(Power {
            device: Arc::clone(self),
            dead,
            thread: Some(thread),
        })
    }

    fn run(&self, queue: &Receiver<Job>, mut hid: Option<HidPort>, dead: &AtomicBool) {
        while !dead.load(Ordering::Relaxed) {
            self.boots.fetch_add(1, Ordering::Relaxed);
            match catch_unwind(AssertUnwindSafe(|| self.boot(queue, hid.take(), dead))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    eprintln!(
                        "vkey: {:?} does not boot: {error:#}",
                        self.settings.application
                    );
                    return;
                }
                Err(_) => eprintln!(
                    "vkey: {:?} firmware crashed, boots again",
                    self.settings.application
                ),
            }
            self.interrupt.set_idle();
            self.touch.end();
        }
    }

    fn boot(
        &self,
        queue: &Receiver<Job>,
        hid: Option<HidPort>,
        dead: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut flash = StoreConfig {
            internal: storage::open(&self.settings.state.join("internal.flash"))?,
            external: storage::open(&self.settings.state.join("external.flash"))?,
            volatile: StorageConfig::ram(),
        };
        let channel = TrussedChannel::new();
        flash.with_store(|store| {
            let (client_id, backends) = match self.settings.application {
                Application::Fido => (path!("fido"), runtime::FIDO),
                Application::Piv => (path!("piv"), runtime::PIV),
            };
            let (requester, responder) = channel
                .split()
                .context("the system call channel is taken")?;
            let context =
                CoreContext::with_interrupt(FlashPath::from(client_id), Some(self.interrupt));
            let endpoint = ServiceEndpoint::new(responder, context, backends);
            let syscall = Syscall::new(Board::new(store, Arc::clone(&self.touch)), endpoint);
            let client =
                ClientImplementation::<_, Backends>::new(requester, syscall, Some(self.interrupt));
            match self.settings.application {
                Application::Fido => {
                    self.provision(store)?;
                    let app = Authenticator::new(client, Conforming {}, self.fido_config());
                    self.serve_fido(app, queue, hid, dead);
                }
                Application::Piv => {
                    let app = piv_authenticator::Authenticator::new(
                        client,
                        piv_authenticator::Options::default(),
                    );
                    self.serve_piv(app, queue, dead);
                }
            }
            Ok(())
        })
    }

    fn fido_config(&self) -> Config {
        Config {
            max_resident_credential_count: Some(50),
            nfc_transport: true,
            firmware_version: Some(FirmwareVersion::new(1)),
            fido2_up_timeout: Some(
                self.settings
                    .presence_timeout
                    .as_millis()
                    .try_into()
                    .unwrap_or(u32::MAX),
            ),
            ..Config::new(interchanges::SIZE)
        }
    }

    /// The manufacturer's step: attestation certificate and key.
    fn provision(&self, store: Store<'_>) -> anyhow::Result<()> {
        let Some(attestation) = &self.settings.attestation else {
            return Ok(());
        };
        let files = [
            (
                path!("fido/x5c"),
                path!("fido/x5c/00"),
                attestation.certificate.clone(),
            ),
            (
                path!("fido/sec"),
                path!("fido/sec/00"),
                attestation.trussed_key(),
            ),
        ];
        for (folder, file, content) in files {
            store
                .ifs()
                .create_dir_all(folder)
                .map_err(|error| anyhow::anyhow!("provisioning: {error:?}"))?;
            store
                .ifs()
                .write(file, &content)
                .map_err(|error| anyhow::anyhow!("provisioning: {error:?}"))?;
        }
        Ok(())
    }

    fn serve_fido<T: fido_authenticator::TrussedRequirements>(
        &self,
        mut app: Authenticator<Conforming, T>,
        queue: &Receiver<Job>,
        hid: Option<HidPort>,
        dead: &AtomicBool,
    ) {
        let (contact, contactless) = (interchanges::Channel::new(), interchanges::Channel::new());
        let (Some((_, contact)), Some((mut reader, contactless))) =
            (contact.split(), contactless.split())
        else {
            return;
        };
        let mut card = ApduDispatch::new(contact, contactless);
        let (mut hid, answered) = match hid {
            Some(port) => {
                let dispatch = ctaphid_dispatch::Dispatch::with_interrupt(
                    port.responder,
                    Some(port.interrupt),
                );
                (Some(dispatch), Some(port.answered))
            }
            None => (None, None),
        };
        for job in queue {
            if dead.load(Ordering::Relaxed) {
                return;
            }
            let begun = Instant::now();
            match job {
                Job::Apdu(command, reply) => {
                    let answer = self.exchange(&mut reader, &command, || {
                        card.poll(&mut [&mut app]).is_some()
                    });
                    self.note_work(begun);
                    reply.send(answer).ok();
                }
                Job::Hid => {
                    if let Some(dispatch) = &mut hid {
                        if self.settings.u2f_only {
                            dispatch.poll(&mut [&mut U2fOnly(&mut app), &mut Light(&self.touch)]);
                        } else {
                            dispatch.poll(&mut [&mut app, &mut Light(&self.touch)]);
                        }
                    }
                    self.note_work(begun);
                    if let Some(answered) = &answered {
                        answered();
                    }
                }
            }
            self.touch.end();
        }
    }

    fn serve_piv<T: piv_authenticator::Client>(
        &self,
        mut app: piv_authenticator::Authenticator<T>,
        queue: &Receiver<Job>,
        dead: &AtomicBool,
    ) {
        let (contact, contactless) = (interchanges::Channel::new(), interchanges::Channel::new());
        let (Some((mut reader, contact)), Some((_, contactless))) =
            (contact.split(), contactless.split())
        else {
            return;
        };
        let mut card = ApduDispatch::new(contact, contactless);
        for job in queue {
            if dead.load(Ordering::Relaxed) {
                return;
            }
            if let Job::Apdu(command, reply) = job {
                let begun = Instant::now();
                let answer = self.exchange(&mut reader, &command, || {
                    card.poll(&mut [&mut app]).is_some()
                });
                self.note_work(begun);
                reply.send(answer).ok();
            }
        }
    }

    /// One APDU through the dispatcher, whole: with data and status word.
    fn exchange(
        &self,
        reader: &mut interchanges::Requester<'_>,
        command: &[u8],
        poll: impl FnOnce() -> bool,
    ) -> Vec<u8> {
        let Ok(message) = interchanges::Data::from_slice(command) else {
            return vec![0x67, 0x00];
        };
        if reader.request(message).is_err() {
            return SW_FAILURE.to_vec();
        }
        self.interrupt.set_working();
        poll();
        self.interrupt.set_idle();
        reader
            .take_response()
            .map_or_else(|| SW_FAILURE.to_vec(), |answer| answer.to_vec())
    }
}

impl Power {
    /// Takes the power away, whatever the device is doing.
    pub fn off(mut self) {
        self.cut();
    }

    fn cut(&mut self) {
        self.dead.store(true, Ordering::Relaxed);
        *self
            .device
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        while !thread.is_finished() {
            self.device.touch.cancel();
            thread::sleep(Duration::from_millis(1));
        }
        thread.join().ok();
        self.device.interrupt.set_idle();
        self.device.touch.end();
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        self.cut();
    }
}

/// A FIDO application of which only CTAP1 is on offer.
struct U2fOnly<'a, A>(&'a mut A);

impl<A: ctaphid_dispatch::app::App<'static>> ctaphid_dispatch::app::App<'static>
    for U2fOnly<'_, A>
{
    fn interrupt(&self) -> Option<&'static InterruptFlag> {
        self.0.interrupt()
    }

    fn commands(&self) -> &'static [Command] {
        &[Command::Msg]
    }

    fn call(
        &mut self,
        command: Command,
        request: &[u8],
        response: &mut heapless_bytes::BytesView,
    ) -> Result<(), ctaphid_dispatch::app::Error> {
        self.0.call(command, request, response)
    }
}

/// The light: CTAPHID_WINK.
struct Light<'a>(&'a Touch);

impl ctaphid_dispatch::app::App<'static> for Light<'_> {
    fn commands(&self) -> &'static [Command] {
        &[Command::Wink]
    }

    fn call(
        &mut self,
        _command: Command,
        _request: &[u8],
        _response: &mut heapless_bytes::BytesView,
    ) -> Result<(), ctaphid_dispatch::app::Error> {
        self.0.wink();
        Ok(())
    }
}
