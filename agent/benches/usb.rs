//! One USB key, three clients: ours, ctap-hid-fido2 and libfido2 do the same operations on the same node, one after the other. Run in the guest (`cargo xtask bench usb`).
//!
//! The firmware tells how long it worked, and that is taken off: what is left is the clients' time and the wire's. Ours keeps the node open and locks
//! it for each operation, as the daemon does within a ceremony. ctap-hid-fido2 is shown opening it for each, which costs 50 ms in the kernel (usbhid),
//! and with its handle kept open; libfido2 (`libfido2.py`: the library in one process) keeps its own. Each is alone meanwhile: some take others' packets for theirs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a bench"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctap_hid_fido2::fidokey::{GetAssertionArgsBuilder, MakeCredentialArgsBuilder};
use ctap_hid_fido2::{FidoKeyHid, FidoKeyHidFactory, HidParam, LibCfg};
use sceau_agent::hidraw::{NodeLink, Roots, nodes};
use sceau_agent::reader::{Link, SystemEntropy};
use sceau_ctap::ceremony::{self, Authentication, Registration, ResidentKey, UserVerification};
use sceau_ctap::credential::{RelyingParty, User};
use sceau_ctap::info::{self, AuthenticatorInfo};
use sceau_ctap::{Device, Pin, client_pin, unattended};

const PIN: &str = "4711-tulipe";
const RP: &str = "sceau.example";
const ROUNDS: usize = 15;

struct Key(Child);

impl Drop for Key {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() {
    if std::env::var_os("SCEAU_GUEST").is_none() {
        println!("SKIPPED: needs a USB bus; `cargo xtask bench usb` runs it in the guest");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let vkey = root.join("tests/vkey/target/debug/vkey");
    let state = tempfile::tempdir().unwrap();
    let control = state.path().join("control");
    let _key = Key(Command::new(&vkey)
        .args(["hidg", "--udc", "dummy_udc.0", "--state"])
        .arg(state.path().join("flash"))
        .arg("--control")
        .arg(&control)
        .spawn()
        .unwrap());
    let roots = Roots::default();
    let begun = Instant::now();
    let node = loop {
        if let Some(node) = nodes(&roots).pop() {
            break node;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no key");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut ours = NodeLink::new(node.clone(), &roots);
    let info = with(&mut ours, |device| info::info(device).unwrap());
    with(&mut ours, |device| {
        let pin = Pin::new(PIN).unwrap();
        client_pin::set_pin(
            device,
            info.pin_protocol().unwrap(),
            &pin,
            &mut SystemEntropy,
        )
        .unwrap();
    });
    let info = with(&mut ours, |device| info::info(device).unwrap());
    let mut quiet = LibCfg::init();
    quiet.enable_keep_alive_msg = false;
    let params = [HidParam::Path(node.path.to_string_lossy().into_owned())];
    let protocol = if info.pin_uv_auth_protocols.contains(&2) {
        2
    } else {
        1
    };
    let open = || {
        FidoKeyHidFactory::create_by_params(&params, &quiet)
            .unwrap()
            .with_pin_protocol_version(protocol)
    };
    let id = with(&mut ours, |device| register(device, &info));

    let [info_there, make_there, sign_there] = libfido2(&node.path, &control);
    println!(
        "one key, median of {ROUNDS}, ms (firmware's time taken off)   ours    libfido2    ctap-hid-fido2:   kept open"
    );
    let took = median(&control, || {
        drop(with(&mut ours, |device| info::info(device).unwrap()));
    });
    let theirs = |key: &FidoKeyHid| drop(key.get_info().unwrap());
    tell("getInfo", &control, took, info_there, &open, &theirs);

    let took = median(&control, || {
        drop(with(&mut ours, |device| register(device, &info)));
    });
    tell(
        "makeCredential, PIN and touch",
        &control,
        took,
        make_there,
        &open,
        &register_theirs,
    );

    let took = median(&control, || {
        with(&mut ours, |device| authenticate(device, &info, &id));
    });
    let theirs = |key: &FidoKeyHid| {
        let args = GetAssertionArgsBuilder::new(RP, b"challenge")
            .pin(PIN)
            .credential_id(&id)
            .build();
        drop(key.get_assertion_with_args(&args).unwrap());
    };
    tell(
        "getAssertion, PIN and touch",
        &control,
        took,
        sign_there,
        &open,
        &theirs,
    );
}

/// Medians of getInfo, makeCredential and getAssertion by libfido2, ms.
fn libfido2(node: &Path, control: &Path) -> [f64; 3] {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/libfido2.py");
    let mut child = Command::new("python3")
        .arg(script)
        .args([node, control])
        .arg(ROUNDS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{PIN}").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let told = String::from_utf8(out.stdout).unwrap();
    let medians: Vec<f64> = told
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    medians.try_into().unwrap()
}

/// How long the firmware has worked.
fn worked(control: &Path) -> Duration {
    let mut stream = UnixStream::connect(control).unwrap();
    stream.write_all(b"status\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let status: serde_json::Value = serde_json::from_str(&line).unwrap();
    Duration::from_micros(status["ports"]["usb"]["worked_us"].as_u64().unwrap())
}

/// Milliseconds without the firmware's own; the first round, which fetches pages and channels, is not counted.
fn median(control: &Path, mut work: impl FnMut()) -> f64 {
    work();
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let (before, begun) = (worked(control), Instant::now());
            work();
            let whole = begun.elapsed();
            whole.saturating_sub(worked(control).saturating_sub(before))
        })
        .collect();
    took.sort_unstable();
    took[ROUNDS / 2].as_secs_f64() * 1000.0
}

fn tell(
    what: &str,
    control: &Path,
    ours: f64,
    libfido2: f64,
    open: &dyn Fn() -> FidoKeyHid,
    theirs: &dyn Fn(&FidoKeyHid),
) {
    let each = median(control, || theirs(&open()));
    let key = open();
    let kept = median(control, || theirs(&key));
    println!("{what:<56} {ours:>9.1} {libfido2:>11.1} {each:>17.1} {kept:>11.1}");
}

fn with<A>(link: &mut NodeLink, work: impl FnOnce(&mut dyn Device) -> A) -> A {
    let (mut work, mut answer) = (Some(work), None);
    link.with_device(&mut || {}, &mut |device| {
        answer = work.take().map(|work| work(device));
    })
    .unwrap();
    answer.unwrap()
}

fn register(device: &mut dyn Device, info: &AuthenticatorInfo) -> Vec<u8> {
    let request = Registration {
        client_data_hash: &[1; 32],
        rp: RelyingParty { id: RP, name: None },
        user: User {
            id: b"alice",
            name: Some("alice"),
            display_name: Some("Alice"),
        },
        algorithms: &[-7],
        exclude: &[],
        resident_key: ResidentKey::Discouraged,
        user_verification: UserVerification::Required,
        cred_protect: None,
    };
    let pin = Pin::new(PIN).unwrap();
    ceremony::register(
        device,
        info,
        &request,
        Some(&pin),
        &mut SystemEntropy,
        &mut unattended,
    )
    .unwrap()
    .credential_id
}

fn register_theirs(key: &FidoKeyHid) {
    let args = MakeCredentialArgsBuilder::new(RP, b"challenge")
        .pin(PIN)
        .build();
    drop(key.make_credential_with_args(&args).unwrap());
}

fn authenticate(device: &mut dyn Device, info: &AuthenticatorInfo, id: &[u8]) {
    let allow = [id.to_vec()];
    let request = Authentication {
        client_data_hash: &[1; 32],
        rp_id: RP,
        allow: &allow,
        user_verification: UserVerification::Required,
    };
    let pin = Pin::new(PIN).unwrap();
    let assertions = ceremony::authenticate(
        device,
        info,
        &request,
        Some(&pin),
        &mut SystemEntropy,
        &mut unattended,
    );
    assert_eq!(assertions.unwrap().len(), 1);
}
