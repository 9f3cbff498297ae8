//! The demo: builds what it needs and runs `tests/`'s binary `demo` on a private loopback. With `--stay`, what runs there is reachable
//! from this machine's own loopback, by sockets in the target folder.

use std::{
    io::{ErrorKind, copy},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{
    place::{self, cargo},
    setup::{self, Need},
    step::{Steps, run},
};

/// API, gate and sample service, as in the harness.
const PORTS: [u16; 3] = [8440, 8441, 8442];

/// Builds and plays the demo with the given options.
///
/// # Errors
/// Unknown options, a failed build, or anything that the demo claims and that did not hold.
pub fn demo(steps: &mut Steps, options: &[&str]) -> Result<()> {
    let mut words = options.iter();
    while let Some(option) = words.next() {
        let complete = match *option {
            "--stay" | "--real-key" | "--fast" => true,
            "--lang" => matches!(words.next(), Some(&("fr" | "en"))),
            "--anchors" => words.next().is_some(),
            _ => false,
        };
        if !complete {
            bail!(
                "demo: {option} is not understood (known: --stay, --fast, --lang fr|en, --real-key [--anchors DIR])"
            );
        }
    }
    steps.step("set-up", || setup::setup(Need::Demo))?;
    steps.step("build: virtual keys", setup::virtual_keys)?;
    steps.step("build: everything else", || {
        run(&mut cargo(&[
            "build",
            "--quiet",
            "--locked",
            "-p",
            "sceau-proof",
            "-p",
            "sceau-agent",
            "-p",
            "sceau-server",
            "-p",
            "e2e",
            "--bins",
        ]))
    })?;
    if options.contains(&"--stay") {
        for port in PORTS {
            reach(port)?;
        }
    }
    let mut command = Command::new(place::root().join("tests/in-namespace"));
    command
        .arg(place::bin("demo"))
        .args(options)
        .current_dir(place::root());
    if options.contains(&"--real-key") {
        command.env("SCEAU_REAL_KEY", "1");
    }
    let status = command.status()?;
    if !status.success() {
        bail!("the demo did not hold what it claims ({status})");
    }
    Ok(())
}

/// Lets this machine's loopback reach a port of the demo's private one.
fn reach(port: u16) -> Result<()> {
    let socket = place::target().join(format!("demo/{port}.sock"));
    let listener = TcpListener::bind(("127.0.0.1", port))
        .with_context(|| format!("port {port} is taken on this machine; end what listens there"))?;
    thread::spawn(move || {
        for outside in listener.incoming().flatten() {
            match UnixStream::connect(&socket) {
                Ok(inside) => drop(thread::spawn(move || relay(outside, inside))),
                // The demo has not got that far yet: the connection ends.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::ConnectionRefused
                    ) => {}
                Err(error) => eprintln!("{}: {error}", socket.display()),
            }
        }
    });
    Ok(())
}

/// Both directions, until both have ended.
fn relay(outside: TcpStream, inside: UnixStream) {
    let (Ok(mut from_outside), Ok(mut to_inside)) = (outside.try_clone(), inside.try_clone())
    else {
        return;
    };
    let upward = thread::spawn(move || {
        drop(copy(&mut from_outside, &mut to_inside));
        drop(to_inside.shutdown(Shutdown::Write));
    });
    let (mut from_inside, mut to_outside) = (inside, outside);
    drop(copy(&mut from_inside, &mut to_outside));
    drop(to_outside.shutdown(Shutdown::Write));
    drop(upward.join());
}
