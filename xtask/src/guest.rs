//! Scenarios that want a machine of their own (`tests/guest`: QEMU, Debian's kernel and udev, virtual keys as gadgets): those of USB in one boot,
//! those with a browser in another, those of the packages in a third, with systemd as first process.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    package,
    place::{self, cargo},
    setup::{self, Need},
    step::{Steps, output, run},
    test,
};

/// Where the scenarios are, in `tests/scenarios`.
const USB: &str = "usb::";
const BROWSER: &str = "usb::browser::";
const SYSTEM: &str = "system::";

/// The version that the tests upgrade to.
const NEXT_VERSION: &str = "0.1.0+1";

/// Set-up, builds, and the USB scenarios whose names contain `filter`.
///
/// # Errors
/// The first step that fails.
pub fn guest(steps: &mut Steps, filter: Option<&str>) -> Result<()> {
    steps.step("set-up", || setup::setup(Need::Test))?;
    test::build(steps)?;
    steps.step("USB, in a guest", || scenarios(filter, true))
}

/// Set-up, builds, and the scenarios of the packages on a machine with systemd.
///
/// # Errors
/// The first step that fails.
pub fn system(steps: &mut Steps) -> Result<()> {
    steps.step("set-up", || setup::setup(Need::Test))?;
    test::build(steps)?;
    steps.step("packages, in a guest with systemd", || installed(None))
}

/// Makes the packages of the tests, boots, and runs the scenarios whose names contain `filter`; nothing when there is none.
///
/// # Errors
/// When a scenario does not hold.
pub fn installed(filter: Option<&str>) -> Result<()> {
    let (program, chosen) = chosen(SYSTEM, filter)?;
    if chosen.is_empty() {
        return Ok(());
    }
    if !is_possible()? {
        skipped();
        return Ok(());
    }
    let folder = place::target().join("packages-of-tests");
    package::for_tests(folder.join("first"), None)?;
    package::for_tests(folder.join("next"), Some(NEXT_VERSION))?;
    in_one_of(2, || {
        let mut command = script();
        command
            .args(["system", "env", "SCEAU_NS=1", "RUST_BACKTRACE=0"])
            .arg(&program)
            .args(["--test-threads=1", "--nocapture", "--exact"])
            .args(&chosen)
            .env("SCEAU_PACKAGES", &folder);
        run(&mut command)
    })
}

/// As the end-to-end tests: an emulated processor on a crowded machine meets deadlines that a person's never does. Another boot, and said.
fn in_one_of(boots: usize, once: impl Fn() -> Result<()>) -> Result<()> {
    for _ in 1..boots {
        match once() {
            Ok(()) => return Ok(()),
            Err(error) => println!("FLAKY? {error:#}\nOnce more, from the start:"),
        }
    }
    once()
}

/// Boots and runs the USB scenarios whose names contain `filter`; boots nothing when there is none and `insist` is false.
///
/// # Errors
/// When a scenario does not hold, or there is none to run.
pub fn scenarios(filter: Option<&str>, insist: bool) -> Result<()> {
    let (program, chosen) = chosen(USB, filter)?;
    if chosen.is_empty() {
        if insist {
            bail!("no USB scenario has such a name");
        }
        return Ok(());
    }
    // The browser is slow there, and many things (now and then it ends by itself): what it breaks is repeated without the others.
    let (browser, others) = chosen
        .into_iter()
        .partition::<Vec<_>, _>(|name| name.starts_with(BROWSER));
    for (group, memory, boots) in [(others, None, 2), (browser, Some(MEMORY), 3)] {
        if group.is_empty() {
            continue;
        }
        in_one_of(boots, || {
            let mut command = Command::new(&program);
            command
                .args(["--test-threads=1", "--nocapture", "--exact"])
                .args(&group);
            run_with(command, memory)
        })?;
    }
    Ok(())
}

/// The scenarios' program, and the names of those of a module that contain `filter`.
fn chosen(module: &str, filter: Option<&str>) -> Result<(PathBuf, Vec<String>)> {
    let program = program(&["test", "--locked", "--workspace", "--test", "e2e"], "e2e")?;
    let listed = output(Command::new(&program).arg("--list").env("SCEAU_NS", "1"))?;
    let chosen = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| {
            name.starts_with(module) && filter.is_none_or(|filter| name.contains(filter))
        })
        .map(str::to_owned)
        .collect();
    Ok((program, chosen))
}

fn skipped() {
    println!("SKIPPED: the guest needs root (its root is this machine's) and an x86-64 processor.");
}

/// Boots, runs a command, and powers off; says so where no guest can be had.
///
/// # Errors
/// When the command does not end with 0.
pub fn run_in(command: Command) -> Result<()> {
    run_with(command, None)
}

fn run_with(command: Command, memory: Option<&str>) -> Result<()> {
    if !is_possible()? {
        skipped();
        return Ok(());
    }
    let mut script = script();
    if let (Some(memory), None) = (memory, std::env::var_os("SCEAU_GUEST_MEMORY")) {
        script.env("SCEAU_GUEST_MEMORY", memory);
    }
    run(script
        .args(["run", "env", "SCEAU_NS=1", "RUST_BACKTRACE=0"])
        .arg(command.get_program())
        .args(command.get_args()))
}

/// Downloads the guest's kernel and tools, where a guest can be had at all and they are not there yet.
///
/// # Errors
/// When they cannot be downloaded.
pub fn prepare() -> Result<()> {
    if is_possible()? {
        run(script().arg("prepare"))?;
    }
    Ok(())
}

/// MiB of a guest with a browser, when the environment says nothing else.
const MEMORY: &str = "3072";

fn script() -> Command {
    let mut command = Command::new(place::root().join("tests/guest/guest"));
    command
        .current_dir(place::root())
        .env("SCEAU_GUEST_DIR", place::target().join("guest"));
    command
}

fn is_possible() -> Result<bool> {
    Ok(cfg!(target_arch = "x86_64") && fs::metadata("/proc/self")?.uid() == 0)
}

/// Builds the test or bench called `name` by these arguments of cargo; returns its program.
///
/// # Errors
/// When it does not build.
pub fn program(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = cargo(arguments);
    command.args(["--no-run", "--message-format=json"]);
    output(&mut command)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo names no program of {name}"))
}
