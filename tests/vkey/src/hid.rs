//! The key on a HID wire: the firmware's own CTAPHID class (`usbd-ctaphid`) over a USB bus of ours that is two queues.
//!
//! Framing, channels, errors and cancellation are thus the firmware's; here packets are carried, keep-alives are
//! timed, and the key is plugged and pulled. The wires themselves are `sock` and `hidg`.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use ctaphid_dispatch::Channel;
use ref_swap::OptionRefSwap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usb_device::bus::{PollResult, UsbBus, UsbBusAllocator};
use usb_device::class::UsbClass as _;
use usb_device::device::{UsbDeviceBuilder, UsbVidPid};
use usb_device::endpoint::{EndpointAddress, EndpointType};
use usb_device::{UsbDirection, UsbError};
use usbd_ctaphid::CtapHid;

use crate::control::Port;
use crate::firmware::{Device, HID_MESSAGE, HidPort, Job};
use crate::misbehave::report::{Instead, Misbehave, Mode};

/// Bytes of a report.
pub(crate) const PACKET: usize = 64;
/// One report.
pub(crate) type Packet = [u8; PACKET];

/// Between two keep-alives (CTAP 2.1 §11.2.9.2.1: at most 100 ms).
const KEEP_ALIVE: Duration = Duration::from_millis(80);
/// While a message may be incomplete, the class is asked this often whether it is out of time (it allows 550 ms).
const TICK: Duration = Duration::from_millis(100);
/// How long after a packet that may be so.
const RECEIVING: Duration = Duration::from_secs(1);

/// A wire to the host, plugged in; dropped, it is unplugged.
pub(crate) trait Wire: Send {
    /// What to wait for before `receive`.
    fn sources(&self) -> Vec<BorrowedFd<'_>>;
    /// Packets that have arrived; an error ends the session.
    fn receive(&mut self) -> io::Result<Vec<Packet>>;
    /// Sends a packet.
    fn send(&mut self, packet: &Packet) -> io::Result<()>;
    /// Whether the host has seen the key.
    fn is_seen(&self) -> bool;
}

/// Plugs the key in.
pub(crate) type Plug = Box<dyn FnMut() -> io::Result<Box<dyn Wire>> + Send>;

/// A USB port with its key in or out.
pub(crate) struct Socket {
    device: Arc<Device>,
    state: Mutex<State>,
    changed: Condvar,
    wake: UnixStream,
    fault: Mutex<Option<Misbehave>>,
}

#[derive(Default)]
struct State {
    inserted: bool,
    plugged: bool,
    seen: bool,
    messages: u64,
}

impl Socket {
    /// A port, and the thread that plays its key. The key is out.
    pub(crate) fn start(device: Arc<Device>, plug: Plug) -> io::Result<Arc<Self>> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let socket = Arc::new(Self {
            device,
            state: Mutex::default(),
            changed: Condvar::new(),
            wake,
            fault: Mutex::default(),
        });
        thread::Builder::new()
            .name("usb".to_owned())
            .stack_size(8 << 20)
            .spawn({
                let socket = Arc::clone(&socket);
                move || socket.play(plug, &woken)
            })?;
        Ok(socket)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, mut plug: Plug, woken: &UnixStream) {
        loop {
            let mut state = self.lock();
            while !state.inserted {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.plugged = true;
            drop(state);
            let ended = plug().and_then(|mut wire| self.session(wire.as_mut(), woken));
            let mut state = self.lock();
            state.plugged = false;
            state.seen = false;
            self.changed.notify_all();
            drop(state);
            if let Err(error) = ended {
                eprintln!("vkey: usb: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// From power-on to power-off. The channel between framing and firmware is leaked: some 15 KiB per replug.
    fn session(&self, wire: &mut dyn Wire, woken: &UnixStream) -> io::Result<()> {
        let channel: &'static Channel<HID_MESSAGE> = Box::leak(Box::new(Channel::new()));
        let (requester, responder) = channel.split().ok_or(io::ErrorKind::ResourceBusy)?;
        let interrupt = Box::leak(Box::new(OptionRefSwap::new(None)));
        let wake = self.wake.try_clone()?;
        let answered = Box::new(move || {
            (&wake).write_all(&[0]).ok();
        });
        let power = self
            .device
            .power_on(Some(HidPort {
                responder,
                interrupt,
                answered,
            }))
            .map_err(io::Error::other)?;

        let queues = Arc::new(Queues::default());
        let allocator = UsbBusAllocator::new(Bus {
            queues: Arc::clone(&queues),
            endpoints: 0,
        });
        let class = CtapHid::with_interrupt(&allocator, requester, Some(interrupt), 0)
            .implements_ctap1()
            .implements_wink();
        let mut class = if self.device.is_u2f_only() {
            class
        } else {
            class.implements_ctap2()
        };
        class.set_version(usbd_ctaphid::Version {
            major: 1,
            minor: 0,
            build: 0,
        });
        // Building the device freezes the bus; control transfers are the kernel's business, or nobody's.
        let _device = UsbDeviceBuilder::new(&allocator, UsbVidPid(0x20a0, 0x42b2)).build();

        let started = Instant::now();
        let mut processing = false;
        let mut last_packet: Option<Instant> = None;
        loop {
            let tick = self
                .fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .and_then(Misbehave::tick);
            let timeout = if processing || tick.is_some() {
                Some(KEEP_ALIVE)
            } else {
                last_packet
                    .filter(|at| at.elapsed() < RECEIVING)
                    .map(|_| TICK)
            };
            let ready = wait(wire, woken, timeout)?;
            self.note_seen(wire);
            if !self.lock().inserted {
                break;
            }
            if let (false, Some(packet)) = (ready, tick) {
                wire.send(&packet)?;
            }
            class.check_timeout(started.elapsed().as_millis() as u32);
            if !ready && processing {
                let pending = self.device.touch.snapshot().pending;
                processing = matches!(
                    class.send_keepalive(pending),
                    usbd_ctaphid::types::Status::ReceivedData(_)
                );
            }
            let packets = match wire.receive() {
                Ok(packets) => packets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Vec::new(),
                Err(error) => return Err(error),
            };
            for packet in packets {
                last_packet = Some(Instant::now());
                queues
                    .from_host
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_back(packet);
                let address = class.pipe().read_address();
                class.endpoint_out(address);
                if matches!(
                    class.did_start_processing(),
                    usbd_ctaphid::types::Status::ReceivedData(_)
                ) {
                    processing = true;
                    self.lock().messages += 1;
                    self.device.submit(Job::Hid);
                }
                if !self.carry(&mut class, &queues, wire)? {
                    break;
                }
            }
            self.carry(&mut class, &queues, wire)?;
        }
        interrupt.store(None, Ordering::Relaxed);
        power.off();
        Ok(())
    }

    /// Lets the class say all it has to say; false when the key pulls itself.
    fn carry(
        &self,
        class: &mut CtapHid<'_, '_, '_, Bus, HID_MESSAGE>,
        queues: &Queues,
        wire: &mut dyn Wire,
    ) -> io::Result<bool> {
        loop {
            class.poll();
            let packets = std::mem::take(
                &mut *queues
                    .to_host
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if packets.is_empty() {
                return Ok(true);
            }
            for packet in packets {
                let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                let instead = match fault.as_mut() {
                    Some(fault) => fault.send(packet),
                    None => Instead::Packets(vec![packet]),
                };
                drop(fault);
                match instead {
                    Instead::Packets(packets) => {
                        packets.iter().try_for_each(|packet| wire.send(packet))?
                    }
                    Instead::Unplug => {
                        self.lock().inserted = false;
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn note_seen(&self, wire: &dyn Wire) {
        let mut state = self.lock();
        if !state.seen && wire.is_seen() {
            state.seen = true;
            self.changed.notify_all();
        }
    }
}

impl Port for Socket {
    fn name(&self) -> &'static str {
        "usb"
    }

    fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn insert(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        state.inserted = true;
        self.changed.notify_all();
        while !state.seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (&self.wake).write_all(&[0]).ok();
            let pause = left.min(Duration::from_millis(10));
            state = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn remove(&self) {
        let mut state = self.lock();
        state.inserted = false;
        while state.plugged {
            (&self.wake).write_all(&[0]).ok();
            let pause = Duration::from_millis(5);
            state = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn is_ready(&self) -> bool {
        self.lock().seen
    }

    fn exchanges(&self) -> u64 {
        self.lock().messages
    }

    fn misbehave(&self, mode: Option<&str>) -> Result<(), String> {
        let fault = mode
            .map(|mode| Mode::from_str(mode, true))
            .transpose()?
            .map(Misbehave::new);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        Ok(())
    }
}

/// Waits for the wire or a wake-up; false when the time is up.
fn wait(wire: &dyn Wire, woken: &UnixStream, timeout: Option<Duration>) -> io::Result<bool> {
    let mut sources: Vec<PollFd<'_>> = wire
        .sources()
        .into_iter()
        .chain([woken.as_fd()])
        .map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN))
        .collect();
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    let ready = match poll(&mut sources, timeout.as_ref()) {
        Ok(ready) => ready,
        Err(rustix::io::Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut woken = woken;
    while woken.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    Ok(ready > 0)
}

/// What is on its way on the bus.
#[derive(Default)]
struct Queues {
    from_host: Mutex<VecDeque<Packet>>,
    to_host: Mutex<Vec<Packet>>,
}

/// A USB bus of two interrupt endpoints; the rest of USB is done by the kernel (gadget) or by nobody (socket).
struct Bus {
    queues: Arc<Queues>,
    endpoints: usize,
}

impl UsbBus for Bus {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        _type: EndpointType,
        _max_packet_size: u16,
        _interval: u8,
    ) -> usb_device::Result<EndpointAddress> {
        self.endpoints += 1;
        Ok(address.unwrap_or_else(|| EndpointAddress::from_parts(self.endpoints, direction)))
    }

    fn write(&self, _address: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        let packet = packet.try_into().map_err(|_| UsbError::BufferOverflow)?;
        self.queues
            .to_host
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(packet);
        Ok(PACKET)
    }

    fn read(&self, _address: EndpointAddress, buffer: &mut [u8]) -> usb_device::Result<usize> {
        let packet = self
            .queues
            .from_host
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let packet = packet.ok_or(UsbError::WouldBlock)?;
        buffer
            .get_mut(..PACKET)
            .ok_or(UsbError::BufferOverflow)?
            .copy_from_slice(&packet);
        Ok(PACKET)
    }

    fn enable(&mut self) {}
    fn reset(&self) {}
    fn set_device_address(&self, _address: u8) {}
    fn set_stalled(&self, _address: EndpointAddress, _stalled: bool) {}
    fn is_stalled(&self, _address: EndpointAddress) -> bool {
        false
    }
    fn suspend(&self) {}
    fn resume(&self) {}
    fn poll(&self) -> PollResult {
        PollResult::None
    }
}
