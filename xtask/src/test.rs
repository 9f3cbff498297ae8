//! Everything that CI runs. Unit and component tests run as they are; each end-to-end test runs in namespaces of its own
//! (`tests/in-namespace`), so that PC/SC daemons and servers meet on a private loopback and end with their test.

use std::{fs, os::unix::fs::MetadataExt, process::Command};

use anyhow::Result;

use crate::{
    check, guest,
    place::{self, cargo},
    setup::{self, Need},
    step::{Steps, answers, run},
};

/// Set-up, checks, builds, and all tests.
///
/// # Errors
/// The first step that fails.
pub fn all(steps: &mut Steps) -> Result<()> {
    let outcome = everything(steps);
    steps.summary();
    outcome
}

fn everything(steps: &mut Steps) -> Result<()> {
    steps.step("set-up", || setup::setup(Need::Test))?;
    build(steps)?;
    check::check(steps)?;
    steps.step("tests of the rooms", || rooms(None))?;
    steps.step("tests of the virtual keys", setup::virtual_keys_tests)?;
    steps.step("cards of a PKCS #11 module", modules)?;
    steps.step("end to end", || end_to_end(None))?;
    steps.step("USB, in a guest", || guest::scenarios(None, true))?;
    steps.step("packages, in a guest with systemd", || {
        guest::installed(None)
    })
}

/// The tests whose names contain `filter`, without the checks.
///
/// # Errors
/// The first step that fails.
pub fn some(steps: &mut Steps, filter: &str) -> Result<()> {
    steps.step("set-up", || setup::setup(Need::Test))?;
    build(steps)?;
    steps.step("tests of the rooms", || rooms(Some(filter)))?;
    steps.step("end to end", || end_to_end(Some(filter)))?;
    steps.step("USB, in a guest", || guest::scenarios(Some(filter), false))?;
    steps.step("packages, in a guest with systemd", || {
        guest::installed(Some(filter))
    })
}

/// The mutation runs over the parsers of foreign bytes, for `seconds` each.
///
/// # Errors
/// When a parser panics, grows or lingers.
pub fn fuzz(steps: &mut Steps, seconds: &str) -> Result<()> {
    steps.step("fuzz", || {
        run(cargo(&[
            "test",
            "--quiet",
            "--locked",
            "-p",
            "sceau-proof",
            "-p",
            "sceau-ctap",
            "--test",
            "fuzz",
            "--",
            "--nocapture",
        ])
        .env("SCEAU_FUZZ_SECONDS", seconds))
    })
}

/// Builds the virtual keys and every binary and test once, in the one profile.
pub fn build(steps: &mut Steps) -> Result<()> {
    steps.step("build: virtual keys", setup::virtual_keys)?;
    steps.step("build: everything else", || {
        run(&mut cargo(&[
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
        ]))
    })
}

fn rooms(filter: Option<&str>) -> Result<()> {
    tests(
        &["-E", "not package(e2e)"],
        &["--exclude", "e2e"],
        filter,
        false,
    )
}

/// The agent's optional feature, built and tried once. It costs the agent's own crate a second time (about a minute) and `cryptoki`; the other
/// builds stay without.
fn modules() -> Result<()> {
    run(&mut cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--workspace",
        "--features",
        "sceau-agent/pkcs11",
        "--test",
        "it",
        "module::",
    ]))
}

fn end_to_end(filter: Option<&str>) -> Result<()> {
    if fs::metadata("/proc/self")?.uid() != 0 && !answers(&["unshare", "-rmnpf"]) {
        println!(
            "SKIPPED: the end-to-end tests need root, or user namespaces that this machine forbids."
        );
        return Ok(());
    }
    tests(&["-E", "package(e2e)"], &["--test", "e2e"], filter, true)
}

/// nextest where it is installed (a process per test), else cargo's own runner (end to end: one test at a time). Always of the
/// whole workspace, so that every crate has the features that it was built with, and nothing is compiled twice.
fn tests(
    chosen: &[&str],
    chosen_by_cargo: &[&str],
    filter: Option<&str>,
    in_namespace: bool,
) -> Result<()> {
    let nextest = answers(&["cargo-nextest", "--version"]) || answers(&["cargo", "nextest"]);
    let mut command = if nextest {
        cargo(&[
            "nextest",
            "run",
            "--locked",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ])
    } else {
        cargo(&["test", "--locked", "--no-fail-fast"])
    };
    command
        .arg("--workspace")
        .args(if nextest { chosen } else { chosen_by_cargo });
    if let Some(filter) = filter {
        command.arg(filter);
    }
    if in_namespace {
        if !nextest {
            command.args(["--", "--test-threads=1"]);
        }
        in_private(&mut command);
    }
    run(&mut command)
}

/// Lets cargo start each test binary through `tests/in-namespace`.
fn in_private(command: &mut Command) {
    let runner = place::root().join("tests/in-namespace");
    for target in ["X86_64_UNKNOWN_LINUX_GNU", "AARCH64_UNKNOWN_LINUX_GNU"] {
        command.env(format!("CARGO_TARGET_{target}_RUNNER"), &runner);
    }
}
