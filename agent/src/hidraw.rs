//! USB keys by the kernel's own interface: hidraw nodes as they come and go, and one of them as a packet port.
//!
//! Which nodes are FIDO authenticators is read from their report descriptors in sysfs, never from a list of vendors. A monitor thread blocks until
//! udev says that it has finished with a node, or until the node's access list changes (another person takes the seat): nothing polls. A node is
//! open for one ceremony (opening costs 50 ms in usbhid) and locked for each of its operations, so other programs use the same key in between and
//! at the same time. The device that an operation meets is the one that was announced, by its place in sysfs, which the kernel never gives twice.
//!
//! Not trusted: descriptors, names, serial numbers, and whatever comes over the node, other programs' traffic included. Deliberately elsewhere:
//! framing ([`sceau_ctap::hid`]), what is said to the key ([`crate::reader`]).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Access, FileType, FlockOperation, Mode, OFlags, access, flock, fstat, inotify};
use rustix::io::Errno;
use sceau_ctap::hid::{Channel, HidDevice};
use sceau_ctap::port::MAX_REPORT;
use sceau_ctap::{Deadlines, Device, Entropy, PacketPort, PortError};
use tokio::sync::mpsc::UnboundedSender;

use crate::reader::{AuthenticatorError, Link, SystemClock, SystemEntropy};

pub mod descriptor;
mod uevent;

/// Stack of the monitor's thread.
const STACK: usize = 128 * 1024;
/// Most nodes that are looked at; the kernel makes at most 64.
const MAX_NODES: usize = 64;
/// Longest text taken from a device.
const MAX_TEXT: usize = 128;
/// How often an operation lets another program finish with the key.
const TRIES_OF_A_BUSY_NODE: u32 = 250;
/// Between two of them.
const PAUSE_OF_A_BUSY_NODE: Duration = Duration::from_millis(20);
/// Most reports that the kernel keeps for a descriptor (64), with some to spare for a device that sends all the time.
const MAX_QUEUED: usize = 128;
/// A device that sends without end is left to the next operation after so many packets of one read.
const MAX_INTERRUPTIONS: usize = 16;

/// Where the system shows its devices; other places only in tests.
#[derive(Debug, Clone)]
pub struct Roots {
    /// sysfs.
    pub sys: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// udev's own state.
    pub udev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            udev: "/run/udev".into(),
        }
    }
}

/// What the monitor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A FIDO authenticator is plugged in, or may be used by somebody else than before.
    Arrived(Node),
    /// It is gone, or what was said of it holds no longer.
    Left(Node),
}

/// One stay of one FIDO authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its device node.
    pub path: PathBuf,
    /// Its place in sysfs: the kernel numbers every device that it meets, so none is met twice.
    pub place: PathBuf,
    /// Bytes of a report.
    pub report_size: usize,
    /// The product, in the device's own words.
    pub name: String,
    /// The serial number, in the device's own words.
    pub serial: Option<String>,
    /// Whether this process may open the node.
    pub may_open: bool,
}

/// The FIDO authenticators that udev has finished with, by node.
#[must_use]
pub fn nodes(roots: &Roots) -> Vec<Node> {
    let mut nodes: Vec<Node> = std::fs::read_dir(roots.sys.join("class/hidraw"))
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_NODES)
        .filter_map(|entry| node(roots, &entry.path()))
        .collect();
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

fn node(roots: &Roots, class: &Path) -> Option<Node> {
    let place = std::fs::canonicalize(class).ok()?;
    let report_size = descriptor::fido_report_size(&bounded(
        &place.join("device/report_descriptor"),
        descriptor::MAX_DESCRIPTOR + 1,
    )?)?;
    let number = bounded(&place.join("dev"), MAX_TEXT)?;
    let number = std::str::from_utf8(&number).ok()?.trim();
    // Until udev has written its record, owner and mode of the node are not what they will be.
    if roots.udev.join("control").exists()
        && !roots.udev.join("data").join(format!("c{number}")).exists()
    {
        return None;
    }
    let told = bounded(&place.join("device/uevent"), 4096).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let said = |name: &str| {
        told.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|text| text.chars().take(MAX_TEXT).collect::<String>())
            .filter(|text| !text.trim().is_empty())
    };
    let path = roots.dev.join(place.file_name()?);
    Some(Node {
        may_open: access(&path, Access::READ_OK | Access::WRITE_OK).is_ok(),
        name: said("HID_NAME").unwrap_or_else(|| path.display().to_string()),
        serial: said("HID_UNIQ"),
        path,
        place,
        report_size,
    })
}

fn bounded(path: &Path, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit as u64), &mut bytes).ok()?;
    Some(bytes)
}

/// The running monitor; stops when dropped.
pub struct Monitor {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts watching. Events end when the monitor is dropped.
    ///
    /// # Errors
    /// The system refuses a thread, a descriptor, or udev's socket.
    pub fn start(roots: Roots, events: UnboundedSender<Event>) -> std::io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let mut watch = Watch {
            events,
            udev: uevent::listen()?,
            access: watch_access(&roots.dev)?,
            roots,
            stop: Arc::clone(&stop),
            there: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("usb keys".into())
            .stack_size(STACK)
            .spawn(move || watch.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Watch {
    roots: Roots,
    events: UnboundedSender<Event>,
    udev: OwnedFd,
    access: OwnedFd,
    stop: Arc<OwnedFd>,
    there: Vec<Node>,
}

impl Watch {
    fn run(&mut self) {
        // The sockets were open before the first look: nothing that happens in between is missed.
        self.look();
        loop {
            let mut fds = [
                PollFd::new(&self.udev, PollFlags::IN),
                PollFd::new(&self.access, PollFlags::IN),
                PollFd::new(&*self.stop, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "USB keys are no longer followed");
                    return;
                }
            }
            let [udev, access, stop] = fds.map(|fd| !fd.revents().is_empty());
            if stop {
                return;
            }
            let concerned = udev && uevent::drain(&self.udev);
            let granted = access && self.drain_access();
            if concerned || granted {
                self.look();
            }
        }
    }

    /// Takes what waits; whether any of it is about a hidraw node, or was lost.
    fn drain_access(&self) -> bool {
        let mut concerned = false;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.access, &mut buffer);
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_bytes());
            concerned |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW)
                || name.is_some_and(|name| name.starts_with(b"hidraw"));
        }
        concerned
    }

    /// Compares what is there with what was told.
    fn look(&mut self) {
        let now = nodes(&self.roots);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.there)
            .into_iter()
            .partition(|node| now.contains(node));
        self.there = kept;
        for node in gone {
            self.tell(Event::Left(node));
        }
        for node in now {
            if !self.there.contains(&node) {
                self.there.push(node.clone());
                self.tell(Event::Arrived(node));
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens only when the daemon is ending.
        drop(self.events.send(event));
    }
}

/// An inotify descriptor that becomes readable when owner, mode or access list of a device node changes. The folder is watched, since a node that
/// this user may not read cannot be.
fn watch_access(dev: &Path) -> rustix::io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, dev, inotify::WatchFlags::ATTRIB)?;
    Ok(watch)
}

/// One authenticator on USB. Its node is opened when something is asked and kept open, unlocked, until [`Link::rest`]. Owned by one thread.
pub struct NodeLink {
    node: Node,
    sys: PathBuf,
    channel: Option<Channel>,
    kept: Option<OwnedFd>,
}

impl NodeLink {
    /// For the authenticator at `node`; opens nothing yet.
    #[must_use]
    pub fn new(node: Node, roots: &Roots) -> Self {
        Self {
            node,
            sys: roots.sys.clone(),
            channel: None,
            kept: None,
        }
    }

    /// The node, ours until it is unlocked: the one that was kept open, without what it heard meanwhile, or opened now.
    fn reach(&mut self) -> Result<OwnedFd, AuthenticatorError> {
        let Some(fd) = self.kept.take() else {
            return self.open();
        };
        take_turn(&fd)?;
        drain(&fd);
        Ok(fd)
    }

    /// Opens the node for one operation, once it is ours: other programs that lock it wait until it is closed.
    ///
    /// # Errors
    /// [`AuthenticatorError::NodeDenied`], [`AuthenticatorError::Busy`], [`AuthenticatorError::Gone`] (also when it is another device now).
    pub fn open(&self) -> Result<OwnedFd, AuthenticatorError> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = match rustix::fs::open(&self.node.path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) => return Err(AuthenticatorError::NodeDenied),
            Err(Errno::BUSY) => return Err(AuthenticatorError::Busy),
            Err(_) => return Err(AuthenticatorError::Gone),
        };
        if !self.is_announced(&fd) {
            return Err(AuthenticatorError::Gone);
        }
        take_turn(&fd)?;
        Ok(fd)
    }

    /// Whether the open device is the one at the announced place: names of nodes are given again, places are not.
    fn is_announced(&self, fd: &OwnedFd) -> bool {
        let Ok(status) = fstat(fd) else { return false };
        if FileType::from_raw_mode(status.st_mode) != FileType::CharacterDevice {
            return false;
        }
        let number = format!(
            "dev/char/{}:{}",
            rustix::fs::major(status.st_rdev),
            rustix::fs::minor(status.st_rdev)
        );
        std::fs::canonicalize(self.sys.join(number)).is_ok_and(|place| place == self.node.place)
    }
}

/// Locks the node until it is closed. libfido2 (ssh, the fido2 tools) does the same: its operations and ours come one after the other, which spares
/// it our packets between its own. A program that does not lock is told from ours by its channel.
fn take_turn(fd: &OwnedFd) -> Result<(), AuthenticatorError> {
    for _ in 0..TRIES_OF_A_BUSY_NODE {
        match flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(PAUSE_OF_A_BUSY_NODE),
            Err(_) => return Err(AuthenticatorError::Gone),
        }
    }
    Err(AuthenticatorError::Busy)
}

/// Drops what other programs' conversations left in the kernel's queue for this descriptor: a full queue has no place for our answer.
fn drain(fd: &OwnedFd) {
    let mut report = [0; MAX_REPORT];
    for _ in 0..MAX_QUEUED {
        if rustix::io::read(fd, &mut report[..]).is_err() {
            return;
        }
    }
}

impl Link for NodeLink {
    fn with_device(
        &mut self,
        reached: &mut dyn FnMut(),
        work: &mut dyn FnMut(&mut dyn Device),
    ) -> Result<(), AuthenticatorError> {
        let fd = self.reach()?;
        let ours = fd.try_clone().map_err(|_| AuthenticatorError::Gone)?;
        let port = Port::new(ours, self.node.report_size);
        // After an error nothing is kept: closing it also unlocks it.
        converse(port, &mut self.channel, reached, work)?;
        if flock(&fd, FlockOperation::Unlock).is_ok() {
            self.kept = Some(fd);
        }
        Ok(())
    }

    fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    fn rest(&mut self) {
        self.kept = None;
    }
}

/// Gets a channel of our own on `port`, or goes on with the one of the conversation before; says so, and lets `work` talk to the authenticator.
///
/// # Errors
/// It did not answer as an authenticator; `work` was not called then.
pub fn converse(
    port: Port,
    channel: &mut Option<Channel>,
    reached: &mut dyn FnMut(),
    work: &mut dyn FnMut(&mut dyn Device),
) -> Result<(), AuthenticatorError> {
    let mut nonce = [0; 8];
    SystemEntropy
        .fill(&mut nonce)
        .map_err(|e| AuthenticatorError::from(sceau_ctap::Error::from(e)))?;
    let (clock, deadlines) = (SystemClock::start(), Deadlines::default());
    let mut device = match channel.take() {
        Some(known) => HidDevice::resume(port, clock, known, nonce, deadlines),
        None => HidDevice::open(port, clock, nonce, deadlines)?,
    };
    if !device.speaks_ctap2() && !device.speaks_u2f() {
        return Err(AuthenticatorError::NotFido);
    }
    reached();
    work(&mut device);
    *channel = device.channel();
    Ok(())
}

/// An open node (or, in tests, a socket that carries reports) as a packet port.
pub struct Port {
    fd: OwnedFd,
    report_size: usize,
}

impl Port {
    /// Over a descriptor that does not block.
    #[must_use]
    pub fn new(fd: OwnedFd, report_size: usize) -> Self {
        Self { fd, report_size }
    }

    /// Waits for `wanted`; `false`: the time is up.
    fn wait(&self, wanted: PollFlags, timeout: Duration) -> Result<bool, PortError> {
        let timeout = Timespec::try_from(timeout).map_err(|_| PortError::Timeout)?;
        let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), wanted)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(e) => return Err(port_error(e)),
        }
        let [fd] = fds;
        // What was sent before the plug was pulled is still worth reading.
        if fd.revents().contains(wanted) {
            Ok(true)
        } else {
            Err(PortError::Gone)
        }
    }
}

fn port_error(error: Errno) -> PortError {
    match error {
        // A pulled device: ENODEV from hidraw, the others from the bus while it notices.
        Errno::NODEV
        | Errno::IO
        | Errno::NXIO
        | Errno::SHUTDOWN
        | Errno::PROTO
        | Errno::PIPE
        | Errno::CONNRESET => PortError::Gone,
        Errno::ACCESS | Errno::PERM => PortError::Denied,
        Errno::TIMEDOUT => PortError::Timeout,
        other => PortError::Failed(other.raw_os_error().unsigned_abs()),
    }
}

impl PacketPort for Port {
    fn report_size(&self) -> usize {
        self.report_size
    }

    fn write_packet(&mut self, packet: &[u8]) -> Result<(), PortError> {
        // hidraw wants the report's number first, 0 where reports have none.
        let mut report = Vec::with_capacity(packet.len() + 1);
        report.push(0);
        report.extend_from_slice(packet);
        for _ in 0..MAX_INTERRUPTIONS {
            match rustix::io::write(&self.fd, &report) {
                Ok(sent) if sent == report.len() => return Ok(()),
                Ok(_) => return Err(PortError::Failed(0)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.wait(PollFlags::OUT, sceau_ctap::device::TICK)?;
                }
                Err(e) => return Err(port_error(e)),
            }
        }
        Err(PortError::Timeout)
    }

    fn read_packet(
        &mut self,
        packet: &mut [u8; MAX_REPORT],
        timeout: Duration,
    ) -> Result<Option<usize>, PortError> {
        if !self.wait(PollFlags::IN, timeout)? {
            return Ok(None);
        }
        match rustix::io::read(&self.fd, &mut packet[..]) {
            Ok(0) => Err(PortError::Gone),
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(e) => Err(port_error(e)),
        }
    }
}
