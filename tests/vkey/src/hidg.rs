//! A USB wire through the kernel: the HID gadget function (configfs, `usb_f_hid`) on a virtual controller
//! (`dummy_hcd`). The host's side is then the kernel's own: usbhid, hidraw, udev see a key plugged and pulled.
//!
//! The gadget is made here; binding it to a controller is plugging, unbinding is pulling. Needs root and configfs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use crate::hid::{PACKET, Packet, Wire};

const CONFIGFS: &str = "/sys/kernel/config/usb_gadget";

/// How long the device node may take to appear, and a report to be fetched by a host that has stopped reading.
const PATIENCE: Duration = Duration::from_secs(2);

/// FIDO's report descriptor (CTAP 2.1 §11.2.8.2).
const REPORT_DESCRIPTOR: [u8; 34] = [
    0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08,
    0x95, 0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91,
    0x02, 0xc0,
];

/// How the key presents itself on the bus.
pub(crate) struct Identity {
    /// Vendor number.
    pub(crate) vendor: u16,
    /// Product number.
    pub(crate) product: u16,
    /// Product's name.
    pub(crate) name: String,
    /// Serial number, as text.
    pub(crate) serial: String,
}

/// A gadget in configfs, made for one controller.
pub(crate) struct Gadget {
    folder: PathBuf,
    controller: String,
}

impl Gadget {
    /// Makes the gadget, or takes over the one of this name.
    pub(crate) fn make(name: &str, controller: &str, identity: &Identity) -> io::Result<Self> {
        let folder = Path::new(CONFIGFS).join(name);
        let gadget = Self {
            folder,
            controller: controller.to_owned(),
        };
        if gadget.folder.exists() {
            gadget.unbind();
            return Ok(gadget);
        }
        fs::create_dir(&gadget.folder)?;
        gadget.write("idVendor", format!("{:#06x}", identity.vendor))?;
        gadget.write("idProduct", format!("{:#06x}", identity.product))?;
        gadget.write("bcdUSB", "0x0200")?;
        gadget.write("bcdDevice", "0x0100")?;
        fs::create_dir(gadget.folder.join("strings/0x409"))?;
        gadget.write("strings/0x409/manufacturer", "Sceau")?;
        gadget.write("strings/0x409/product", &identity.name)?;
        gadget.write("strings/0x409/serialnumber", &identity.serial)?;
        let function = gadget.folder.join("functions/hid.0");
        fs::create_dir(&function)?;
        gadget.write("functions/hid.0/protocol", "0")?;
        gadget.write("functions/hid.0/subclass", "0")?;
        gadget.write("functions/hid.0/report_length", PACKET.to_string())?;
        gadget.write("functions/hid.0/report_desc", REPORT_DESCRIPTOR)?;
        fs::create_dir(gadget.folder.join("configs/c.1"))?;
        symlink(&function, gadget.folder.join("configs/c.1/hid.0"))?;
        Ok(gadget)
    }

    /// Plugs the key in: binds the gadget and opens its device node.
    pub(crate) fn plug(&self) -> io::Result<Plugged> {
        self.write("UDC", &self.controller)?;
        let number = fs::read_to_string(self.folder.join("functions/hid.0/dev"))?;
        let minor = number
            .trim()
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned();
        let node = PathBuf::from(format!("/dev/hidg{minor}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OFlags::NONBLOCK.bits() as i32)
                .open(&node);
            match opened {
                Ok(file) => {
                    return Ok(Plugged {
                        file: Some(file),
                        gadget: Self::clone(self),
                    });
                }
                Err(error) if Instant::now() > deadline => {
                    self.unbind();
                    return Err(error);
                }
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// The device on the host's side, if it is there: behind `dummy_udc.N` is the bus of `dummy_hcd.N`, with one port.
    fn on_the_bus(&self) -> Option<PathBuf> {
        let host = self.controller.replace("dummy_udc", "dummy_hcd");
        let buses = fs::read_dir(format!("/sys/devices/platform/{host}")).ok()?;
        buses.flatten().find_map(|bus| {
            let name = bus.file_name();
            let number = name.to_str()?.strip_prefix("usb")?;
            let device = bus.path().join(format!("{number}-1"));
            device.exists().then_some(device)
        })
    }

    /// Whether the host's HID driver has made a hidraw node of it.
    fn has_node(&self) -> bool {
        let children = |folder: &Path| {
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect::<Vec<_>>()
        };
        self.on_the_bus().is_some_and(|device| {
            children(&device)
                .iter()
                .flat_map(|interface| children(interface))
                .any(|hid| hid.join("hidraw").is_dir())
        })
    }

    fn clone(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            controller: self.controller.clone(),
        }
    }

    fn unbind(&self) {
        self.write("UDC", "\n").ok();
    }

    fn write(&self, attribute: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.folder.join(attribute);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_ref()))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// A gadget that is plugged in.
pub(crate) struct Plugged {
    file: Option<File>,
    gadget: Gadget,
}

impl Drop for Plugged {
    fn drop(&mut self) {
        // The node first: the kernel's function must not be unbound under an open file.
        self.file = None;
        self.gadget.unbind();
        let deadline = Instant::now() + PATIENCE;
        while self.gadget.on_the_bus().is_some() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Wire for Plugged {
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        self.file.iter().map(|file| file.as_fd()).collect()
    }

    fn receive(&mut self) -> io::Result<Vec<Packet>> {
        let mut packets = Vec::new();
        let Some(file) = &mut self.file else {
            return Ok(packets);
        };
        loop {
            let mut packet = [0; PACKET];
            match file.read(&mut packet) {
                Ok(0) => return Ok(packets),
                Ok(_) => packets.push(packet),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(packets),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The host has reset the bus or gone to sleep; it will be back.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::SHUTDOWN.raw_os_error()) =>
                {
                    return Ok(packets);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.write(packet) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nobody fetches it: a key would drop it in the end, too.
                    if Instant::now() > deadline {
                        return Ok(());
                    }
                    let mut source = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
                    poll(
                        &mut source,
                        Some(&Timespec {
                            tv_sec: 0,
                            tv_nsec: 50_000_000,
                        }),
                    )
                    .ok();
                }
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::SHUTDOWN.raw_os_error()) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_seen(&self) -> bool {
        self.gadget.has_node()
    }
}
