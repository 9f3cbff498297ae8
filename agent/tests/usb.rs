//! The agent's USB side over reports on a socket: real firmware (`vkey sock`), every way in which a key misbehaves, cancellation. Skipped visibly
//! where `vkey` is not built. The kernel's side of it is in the guest (tests/scenarios/usb.rs).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use sceau_agent::hidraw::{Port, converse};
use sceau_agent::reader::{
    AuthenticatorError, Authenticators, Condition, Handle, Link, NewKey, Ready, Transport,
    Whereabouts, describe,
};
use sceau_ctap::hid::Channel;
use sceau_ctap::{Device, Keepalive, Pin};
use serde_json::Value;

const PIN: &str = "4711-tulipe";

/// A virtual key on a socket; ends with the test.
struct Key {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Key {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Key {
    fn start(options: &[&str]) -> Option<Self> {
        let vkey = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vkey/target/debug/vkey");
        if !vkey.is_file() {
            eprintln!("SKIPPED: vkey is not built (cargo xtask test builds it)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let made = Command::new(&vkey)
            .args(["make-model", "--name", "Model", "--aaguid"])
            .args(["5cea0000-0000-4000-8000-00000000000a", "--out"])
            .arg(file("model"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let process = Command::new(vkey)
            .arg("sock")
            .arg("--state")
            .arg(file("flash"))
            .arg("--attestation")
            .arg(file("model"))
            .arg("--control")
            .arg(file("control"))
            .arg("--reports")
            .arg(file("reports"))
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let key = Self { process, folder };
        let begun = Instant::now();
        while UnixStream::connect(key.file("control")).is_err() || !key.file("reports").exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "vkey does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(key)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn say(&self, words: &str) -> Value {
        let mut stream = UnixStream::connect(self.file("control")).unwrap();
        writeln!(stream, "{words}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn plug(&self) -> Handle {
        Handle::start(Wire {
            reports: self.file("reports"),
            channel: None,
        })
        .unwrap()
    }
}

/// The socket where a node would be.
struct Wire {
    reports: PathBuf,
    channel: Option<Channel>,
}

impl Link for Wire {
    fn with_device(
        &mut self,
        reached: &mut dyn FnMut(),
        work: &mut dyn FnMut(&mut dyn Device),
    ) -> Result<(), AuthenticatorError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let address = SocketAddrUnix::new(&self.reports).unwrap();
        connect(&socket, &address).map_err(|_| AuthenticatorError::Gone)?;
        converse(Port::new(socket, 64), &mut self.channel, reached, work)
    }
}

fn run<A>(work: impl Future<Output = A>) -> A {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn ready(handle: &Handle, condition: Condition) -> Ready {
    let mut authenticators = Authenticators::default();
    let whereabouts = Whereabouts {
        transport: Transport::Usb,
        name: "key".into(),
        serial: None,
    };
    let id = authenticators.arrive(&whereabouts, handle.clone());
    authenticators.describe(id, condition);
    authenticators.ready().pop().unwrap()
}

fn new_key() -> NewKey {
    NewKey {
        client_data_hash: [1; 32],
        rp: ("sceau.example".into(), "Sceau".into()),
        user: (vec![1], "alice".into(), "Alice".into()),
        algorithms: vec![-7],
        exclude: Vec::new(),
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_key_is_enrolled_and_found_and_its_channel_serves_again() {
    let Some(key) = Key::start(&["--touch", "delay:300"]) else {
        return;
    };
    run(async {
        let handle = key.plug();
        let mut authenticator = ready(&handle, describe(&handle).await);
        authenticator.info = authenticator.set_pin(Pin::new(PIN).unwrap()).await.unwrap();
        let pin = Pin::new(PIN).unwrap();
        let mut told = Vec::new();
        let made = authenticator
            .register(new_key(), Some(pin), &mut |keepalive| told.push(keepalive))
            .await
            .unwrap();
        assert!(told.contains(&Keepalive::UpNeeded), "{told:?}");
        let id = made.credential_id.clone();
        let found = authenticator
            .locate("sceau.example", vec![vec![7; 32], id.clone()])
            .await;
        assert_eq!(found, Ok(Some(id)));
        assert_eq!(
            authenticator
                .locate("other.example", vec![made.credential_id])
                .await,
            Ok(None)
        );
        // A power cut makes the key forget the channel: it is asked for another one.
        key.say("remove");
        key.say("insert");
        assert_eq!(
            authenticator
                .pin_retries()
                .await
                .map(|retries| retries.left),
            Ok(8)
        );
    });
}

#[test]
fn a_cancelled_touch_ends_at_the_key_within_200_milliseconds() {
    let Some(key) = Key::start(&["--touch", "never"]) else {
        return;
    };
    run(async {
        let handle = key.plug();
        let mut authenticator = ready(&handle, describe(&handle).await);
        authenticator.info = authenticator.set_pin(Pin::new(PIN).unwrap()).await.unwrap();
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let (blinks_tx, blinks) = tokio::sync::oneshot::channel();
            let mut blinks_tx = Some(blinks_tx);
            let pin = Some(Pin::new(PIN).unwrap());
            let mut told = |keepalive| {
                if keepalive == Keepalive::UpNeeded
                    && let Some(blinks) = blinks_tx.take()
                {
                    blinks.send(()).ok();
                }
            };
            tokio::select! {
                made = authenticator.register(new_key(), pin, &mut told) => panic!("untouched: {:?}", made.is_ok()),
                _ = blinks => {}
            }
            let begun = Instant::now();
            while key.say("status")["ports"]["usb"]["pending"] != false {
                assert!(begun.elapsed() < Duration::from_secs(5), "it blinks on");
                std::thread::sleep(Duration::from_millis(2));
            }
            fastest = fastest.min(begun.elapsed());
        }
        println!("cancelled after {fastest:?}, best of five");
        assert!(fastest < Duration::from_millis(200), "{fastest:?}");
    });
}

#[test]
fn a_key_pulled_during_a_touch_is_gone_at_once() {
    let Some(key) = Key::start(&["--touch", "never"]) else {
        return;
    };
    run(async {
        let handle = key.plug();
        let mut authenticator = ready(&handle, describe(&handle).await);
        authenticator.info = authenticator.set_pin(Pin::new(PIN).unwrap()).await.unwrap();
        let mut pulled = None;
        let mut told = |keepalive| {
            if keepalive == Keepalive::UpNeeded && pulled.is_none() {
                key.say("remove");
                pulled = Some(Instant::now());
            }
        };
        let pin = Some(Pin::new(PIN).unwrap());
        let made = authenticator.register(new_key(), pin, &mut told).await;
        assert_eq!(made.err(), Some(AuthenticatorError::Gone));
        assert!(pulled.unwrap().elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn an_old_key_is_known_for_what_it_is_and_signs_after_a_touch_alone() {
    let Some(key) = Key::start(&["--u2f-only"]) else {
        return;
    };
    run(async {
        let handle = key.plug();
        let authenticator = ready(&handle, describe(&handle).await);
        assert!(authenticator.is_u2f());
        let made = authenticator
            .register(new_key(), None, &mut |_| {})
            .await
            .unwrap();
        assert_eq!(made.format, "fido-u2f");
        assert_eq!(
            made.authenticator_data[32] & 0x05,
            0x01,
            "present, not verified"
        );
        let found = authenticator
            .locate("sceau.example", vec![made.credential_id.clone()])
            .await;
        assert_eq!(found, Ok(Some(made.credential_id.clone())));
        let mut told = Vec::new();
        let credential = made.credential_id;
        let signed = authenticator
            .assert(
                "sceau.example",
                [2; 32],
                credential,
                None,
                &mut |keepalive| {
                    told.push(keepalive);
                },
            )
            .await
            .unwrap();
        assert!(!signed.signature.is_empty() && signed.authenticator_data.len() == 37);
        assert_eq!(
            signed.authenticator_data[32] & 0x05,
            0x01,
            "present, not verified"
        );
        let other = authenticator
            .assert("sceau.example", [2; 32], vec![7; 64], None, &mut |_| {})
            .await;
        assert_eq!(other.err(), Some(AuthenticatorError::NoCredential));
    });
}

/// Whatever the key does, the question ends in time and in bounded memory, and the same key mended answers.
fn misbehaves(mode: &str, lawful: bool) {
    let Some(key) = Key::start(&[]) else { return };
    run(async {
        let before = resident();
        assert_eq!(key.say(&format!("misbehave {mode}"))["ok"], true, "{mode}");
        let handle = key.plug();
        let begun = Instant::now();
        let condition = describe(&handle).await;
        // A question takes at most 5 s. A key that says that it is busy with another program is left to it for 15 s.
        let limit = Duration::from_secs(if mode == "busy" { 17 } else { 7 });
        assert!(begun.elapsed() < limit, "{mode}: {:?}", begun.elapsed());
        println!(
            "{mode}: {:?} after {:?}",
            condition_name(&condition),
            begun.elapsed()
        );
        assert_eq!(matches!(condition, Condition::Ready(_)), lawful, "{mode}");
        assert!(
            resident() < before + 16 * 1024,
            "{mode}: {before} {}",
            resident()
        );
        key.say("misbehave none");
        key.say("insert");
        let mended = Instant::now();
        let again = describe(&handle).await;
        assert!(matches!(again, Condition::Ready(_)), "{mode}: {again:?}");
        assert!(
            mended.elapsed() < Duration::from_secs(5),
            "{mode}: the thread was not free"
        );
    });
}

fn condition_name(condition: &Condition) -> String {
    match condition {
        Condition::Ready(_) => "ready".to_owned(),
        other => format!("{other:?}"),
    }
}

macro_rules! hostile {
    ($($name:ident $mode:literal $lawful:literal)*) => {
        $(#[test] fn $name() { misbehaves($mode, $lawful); })*
    };
}

hostile! {
    hostile_wrong_nonce "wrong-nonce" false
    hostile_wrong_channel "wrong-channel" false
    lawful_foreign_traffic "foreign-traffic" true
    hostile_wrong_sequence "wrong-sequence" false
    hostile_endless_keep_alive "endless-keep-alive" false
    hostile_huge_length "huge-length" false
    hostile_unknown_error "unknown-error" false
    hostile_error_zero "error-zero" false
    hostile_busy "busy" false
    hostile_mute "mute" false
    hostile_silent "silent" false
    hostile_half "half" false
    lawful_reset_in_message "reset-in-message" true
    hostile_truncated_cbor "truncated-cbor" false
    hostile_huge_map "huge-map" false
    hostile_huge_bytes "huge-bytes" false
    hostile_deep_cbor "deep-cbor" false
    hostile_empty_success "empty-success" false
    hostile_noise "noise" false
    hostile_unplug "unplug" false
}
