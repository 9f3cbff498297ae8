//! The demo: builds what it needs and runs `tests/`'s binary `demo` on a private loopback.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    place::{self, cargo},
    setup::{self, Need},
    step::{Steps, run},
};

/// Builds and plays the demo with the given options.
///
/// # Errors
/// Unknown options, a failed build, or anything that the demo claims and that did not hold.
pub fn demo(steps: &mut Steps, options: &[&str]) -> Result<()> {
    for option in options {
        if !matches!(
            *option,
            "--stay" | "--real-key" | "--lang" | "fr" | "en" | "--fast"
        ) {
            bail!(
                "demo: unknown option {option} (known: --stay, --real-key, --lang fr|en, --fast)"
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
    let mut command = Command::new(place::root().join("tests/in-namespace"));
    command
        .arg(place::bin("demo"))
        .args(options)
        .current_dir(place::root());
    let status = command.status()?;
    if !status.success() {
        bail!("the demo did not hold what it claims ({status})");
    }
    Ok(())
}
