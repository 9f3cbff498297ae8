//! `vkey`: virtual security keys and cards for tests, with real firmware inside.
//!
//! The applications are Nitrokey's and SoloKeys' (Trussed), unchanged: what passes against them means something. This
//! program is the glue around them: flash in a file, a scripted finger, and the wires to the host (PC/SC by vpcd,
//! HID). It trusts whoever can open its control socket. For tests only: keys lie in the clear on disk.

mod card;
mod control;
mod firmware;
mod hid;
mod hidg;
mod misbehave;
mod model;
mod piv;
mod runtime;
mod sock;
mod storage;
mod touch;
mod vpcd;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use card::Card;
use control::Port;
use firmware::{Application, Device, Settings};
use hid::Socket;
use hidg::{Gadget, Identity};
use misbehave::card::Misbehave;
use model::{Attestation, MakeModel};
use piv::Shim;
use piv::model::{MakePivModel, PivModel};
use piv::provision::MakeCard;
use sock::Sock;
use touch::Mode;
use vpcd::Slot;

/// Virtual security keys and cards with real firmware, for tests.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  vkey make-model --name 'Sceau Test Model A' --aaguid 5cea0000-0000-4000-8000-00000000000a --out a\n  \
    vkey vpcd --state alice --fido --attestation a --control alice.sock &\n  vkey say alice.sock insert\n\n\
    Exit: 0 yes or done, 1 no, 2 usage, 3 something needed is not there."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Vpcd(Vpcd),
    Sock(SockOptions),
    Hidg(HidgOptions),
    MakeModel(MakeModel),
    MakePivModel(MakePivModel),
    MakeCard(MakeCard),
    Say(Say),
}

/// Cards in a PC/SC reader: pcscd with vsmartcard's vpcd driver.
#[derive(Args)]
#[command(
    after_help = "Example:\n  vkey vpcd --state alice --fido --attestation models/a --control alice.sock\n\n\
    PIV is fed as a contact card (slot 0), FIDO2 as a contactless one (slot 1, the next port). Cards are put in at once\n\
    unless --out is given; a reader that is not there yet, or restarts, is tried until it is."
)]
struct Vpcd {
    #[command(flatten)]
    common: Common,
    /// Offer FIDO2 and U2F on slot 1.
    #[arg(long, required_unless_present = "piv")]
    fido: bool,
    /// Offer PIV on slot 0.
    #[arg(long)]
    piv: bool,
    /// The port of slot 0 (pcscd's CHANNELID).
    #[arg(long, default_value_t = vpcd::FIRST_PORT)]
    port: u16,
    /// FIDO2: keep the reader waiting for a touch instead of sending NFC keep-alives to clients that ask for them.
    #[arg(long)]
    no_keep_alive: bool,
    /// PIV: model that the card is, a directory made by `make-piv-model`. Without it, keys are not attested.
    #[arg(long, value_name = "DIR")]
    piv_attestation: Option<PathBuf>,
    /// PIV: the card's serial number.
    #[arg(long, default_value_t = 25_000_001)]
    serial: u32,
    /// PIV: speak T=0 instead of T=1.
    #[arg(long)]
    t0: bool,
    /// Misbehave from the start (see `vkey say … misbehave`).
    #[arg(long, value_enum, value_name = "MODE")]
    misbehave: Option<misbehave::card::Mode>,
}

/// A USB key without a kernel: HID reports on a Unix socket.
#[derive(Args)]
#[command(
    after_help = "Example:\n  vkey sock --state alice --attestation models/a --control alice.sock --reports alice.usb &\n  \
    LD_PRELOAD=hidraw_shim.so VKEY_HIDRAW=/dev/hidraw90=alice.usb fido2-token -I /dev/hidraw90"
)]
struct SockOptions {
    #[command(flatten)]
    common: Common,
    /// Socket to make (SOCK_SEQPACKET, one report per message).
    #[arg(long, value_name = "SOCKET")]
    reports: PathBuf,
    #[command(flatten)]
    usb: Usb,
}

/// A USB key that the kernel sees: a HID gadget on a virtual controller.
#[derive(Args)]
#[command(
    after_help = "Example (in the guest of tests/guest):\n  vkey hidg --state alice --attestation models/a --control alice.sock --udc dummy_udc.0"
)]
struct HidgOptions {
    #[command(flatten)]
    common: Common,
    /// Controller to plug into (/sys/class/udc).
    #[arg(long, value_name = "UDC")]
    udc: String,
    /// Name of the gadget in configfs; the controller's if absent.
    #[arg(long, value_name = "NAME")]
    gadget: Option<String>,
    /// USB vendor number, hexadecimal.
    #[arg(long, default_value = "20a0", value_parser = parse_number)]
    vendor: u16,
    /// USB product number, hexadecimal.
    #[arg(long, default_value = "42b2", value_parser = parse_number)]
    product: u16,
    /// Product's name.
    #[arg(long, default_value = "Virtual Key")]
    name: String,
    /// Serial number, as text.
    #[arg(long, default_value = "")]
    serial: String,
    #[command(flatten)]
    usb: Usb,
}

/// What both kinds of USB key need.
#[derive(Args)]
struct Usb {
    /// Be an old key: U2F and nothing else.
    #[arg(long)]
    u2f_only: bool,
    /// Lie on a contactless reader at the same time: slot 1 of the reader whose slot 0 has this port. The one firmware answers
    /// both; power comes from USB alone.
    #[arg(long, value_name = "PORT", conflicts_with = "u2f_only")]
    also_nfc: Option<u16>,
}

/// What every transport needs.
#[derive(Args)]
struct Common {
    /// Where the key's memory lives; made if absent. What is in it survives the process.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Model that the key is: a directory made by `make-model`. Without it, attestation is self-attestation.
    #[arg(long, value_name = "DIR")]
    attestation: Option<PathBuf>,
    /// Control socket to make.
    #[arg(long, value_name = "SOCKET")]
    control: PathBuf,
    /// What the finger does: approve, never, delay:MS.
    #[arg(long, default_value = "approve")]
    touch: Mode,
    /// After how many milliseconds without a touch the firmware gives up.
    #[arg(long, value_name = "MS", default_value = "30000")]
    presence_timeout: u64,
    /// Start unplugged; `insert` on the control socket plugs it in.
    #[arg(long)]
    out: bool,
}

/// Say one command to a control socket and print the answer.
#[derive(Args)]
#[command(
    after_help = "Commands ([PORT] is fido, piv or usb; without it, all, or the first for questions about touch):\n  \
    status [PORT]                      insert [TIMEOUT_MS] [PORT]      remove [PORT]\n  \
    touch approve|never|delay MS [PORT]  touch press|cancel [PORT]\n  \
    wait pending [TIMEOUT_MS] [PORT]   wait requests N [TIMEOUT_MS] [PORT]\n  \
    misbehave MODE|none [PORT]         quit\n\nExample:\n  vkey say alice.sock wait pending 5000"
)]
struct Say {
    /// The control socket.
    socket: PathBuf,
    /// The command's words.
    #[arg(required = true, num_args = 1..)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Vpcd(options) => vpcd(&options).map(|()| true),
        Command::Sock(options) => sock(options).map(|()| true),
        Command::Hidg(options) => hidg(&options).map(|()| true),
        Command::MakeModel(options) => model::make(&options).map(|()| true),
        Command::MakePivModel(options) => piv::model::make(&options).map(|()| true),
        Command::MakeCard(options) => piv::provision::make(&options).map(|()| true),
        Command::Say(options) => control::say(&options.socket, &options.words),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vkey: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn vpcd(options: &Vpcd) -> anyhow::Result<()> {
    let _lock = lock(&options.common.state)?;
    let mut ports: Vec<Arc<dyn Port>> = Vec::new();
    if options.fido {
        let device = options.common.device(Application::Fido, None)?;
        let fault: card::Fault = Arc::new(Mutex::new(options.misbehave.map(Misbehave::new)));
        let card = Card::new(
            Arc::clone(&device),
            !options.no_keep_alive,
            None,
            Arc::clone(&fault),
        );
        ports.push(Slot::start(
            "fido",
            options.port + 1,
            vpcd::atr_t1(),
            device,
            fault,
            card,
        )?);
    }
    if options.piv {
        let device = options.common.device(Application::Piv, None)?;
        let fault: card::Fault = Arc::new(Mutex::new(options.misbehave.map(Misbehave::new)));
        let model = options
            .piv_attestation
            .as_deref()
            .map(PivModel::read)
            .transpose()?;
        let shim = Shim::open(
            options.common.state.join("piv"),
            model,
            options.serial,
            Arc::clone(&device.touch),
            Duration::from_millis(options.common.presence_timeout),
        )?;
        let card = Card::new(Arc::clone(&device), false, Some(shim), Arc::clone(&fault));
        let atr = if options.t0 {
            vpcd::atr_t0()
        } else {
            vpcd::atr_t1()
        };
        ports.push(Slot::start("piv", options.port, atr, device, fault, card)?);
    }
    if !options.common.out {
        ports.iter().for_each(|port| {
            port.insert(Duration::ZERO);
        });
    }
    control::serve(&options.common.control, ports)
}

fn sock(options: SockOptions) -> anyhow::Result<()> {
    let _lock = lock(&options.common.state)?;
    let device = options
        .common
        .device(Application::Fido, Some(&options.usb))?;
    let reports = options.reports;
    let socket = Socket::start(
        device,
        Box::new(move || Ok(Box::new(Sock::listen(&reports)?))),
    )?;
    serve_usb(socket, &options.usb, &options.common)
}

fn hidg(options: &HidgOptions) -> anyhow::Result<()> {
    let _lock = lock(&options.common.state)?;
    let device = options
        .common
        .device(Application::Fido, Some(&options.usb))?;
    let identity = Identity {
        vendor: options.vendor,
        product: options.product,
        name: options.name.clone(),
        serial: options.serial.clone(),
    };
    let name = options.gadget.as_deref().unwrap_or(&options.udc);
    let gadget = Gadget::make(name, &options.udc, &identity).context("making the gadget")?;
    let socket = Socket::start(device, Box::new(move || Ok(Box::new(gadget.plug()?))))?;
    serve_usb(socket, &options.usb, &options.common)
}

fn serve_usb(socket: Arc<Socket>, usb: &Usb, common: &Common) -> anyhow::Result<()> {
    let device = Arc::clone(socket.device());
    let mut ports: Vec<Arc<dyn Port>> = vec![socket];
    if let Some(port) = usb.also_nfc {
        let fault = card::Fault::default();
        let card = Card::new(Arc::clone(&device), true, None, Arc::clone(&fault));
        ports.push(Slot::start(
            "fido",
            port + 1,
            vpcd::atr_t1(),
            device,
            fault,
            card,
        )?);
    }
    if !common.out {
        ports.iter().for_each(|port| {
            port.insert(Duration::from_secs(5));
        });
    }
    control::serve(&common.control, ports)
}

fn parse_number(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|error| error.to_string())
}

impl Common {
    fn device(&self, application: Application, usb: Option<&Usb>) -> anyhow::Result<Arc<Device>> {
        let state = self.state.join(match application {
            Application::Fido => "fido",
            Application::Piv => "piv",
        });
        fs::create_dir_all(&state)?;
        Ok(Device::new(Settings {
            application,
            state,
            attestation: self
                .attestation
                .as_deref()
                .map(Attestation::read)
                .transpose()?,
            touch: self.touch,
            presence_timeout: Duration::from_millis(self.presence_timeout),
            is_bus_powered: usb.is_some(),
            u2f_only: usb.is_some_and(|usb| usb.u2f_only),
        }))
    }
}

/// One process per key: two over one flash would corrupt it.
fn lock(state: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(state)?;
    let file = File::create(state.join("lock"))?;
    let locked =
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    locked
        .then_some(file)
        .with_context(|| format!("{} is in use by another vkey", state.display()))
}
