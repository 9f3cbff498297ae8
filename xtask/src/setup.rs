//! What a fresh Debian or Ubuntu machine with only Rust lacks: Debian packages (asked first when someone can answer), and the independent
//! peers of the tests from PyPI and npm, pinned by lockfile, into the target folder. Does nothing, and needs no network, when all is there.

use std::{
    env, fs,
    io::{IsTerminal, Write, stdin, stdout},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    guest, place,
    step::{answers, run},
};

/// What a task needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// To build, and to run the demo.
    Demo,
    /// To make packages.
    Package,
    /// To run every test.
    Test,
}

/// A Debian package, and what it is for.
struct Package {
    name: &'static str,
    purpose: &'static str,
    need: Need,
    /// A command that makes the package needless when it ends well.
    instead: Option<&'static [&'static str]>,
}

const PYTHON_HEADERS: &str = "import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))";

const PACKAGES: &[Package] = &[
    Package {
        name: "gcc",
        purpose: "C parts of AWS-LC and SQLite",
        need: Need::Demo,
        instead: Some(&["cc", "--version"]),
    },
    Package {
        name: "libc6-dev",
        purpose: "C parts of AWS-LC and SQLite",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "pkg-config",
        purpose: "finding libpcsclite",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "libpcsclite-dev",
        purpose: "talking to smart-card readers",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "libudev-dev",
        purpose: "administering USB keys (hidapi)",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "libclang-dev",
        purpose: "building the virtual keys' firmware",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "pcscd",
        purpose: "the PC/SC daemon that the agent talks to",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "vsmartcard-vpcd",
        purpose: "the reader that virtual keys sit in",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "iproute2",
        purpose: "a private loopback for the demo and each test",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "util-linux",
        purpose: "private namespaces",
        need: Need::Demo,
        instead: None,
    },
    Package {
        name: "binutils",
        purpose: "stripping what is packaged",
        need: Need::Package,
        instead: Some(&["strip", "--version"]),
    },
    Package {
        name: "dpkg-dev",
        purpose: "packages: which libraries they depend on",
        need: Need::Package,
        instead: Some(&["dpkg-shlibdeps", "--version"]),
    },
    Package {
        name: "lintian",
        purpose: "packages: what Debian's policy says of them",
        need: Need::Package,
        instead: None,
    },
    Package {
        name: "systemd",
        purpose: "first process of the guest; systemd-analyze",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "libpam-systemd",
        purpose: "sessions at a seat, in the guest",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "dbus-user-session",
        purpose: "system and session bus, in the guest",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "python3-pyatspi",
        purpose: "reading windows as a screen reader does",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "libatk-adaptor",
        purpose: "windows that can be read out",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "at-spi2-core",
        purpose: "the bus that screen readers listen to",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "python3-dbusmock",
        purpose: "a logind that says what a test needs",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "polkitd",
        purpose: "who may use smart-card readers, in the guest",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "postgresql",
        purpose: "the storage conformance suite",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "fido2-tools",
        purpose: "libfido2's tools, a client that we did not write",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "umockdev",
        purpose: "USB enumeration for libfido2's tools",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "opensc",
        purpose: "OpenSC's tools, a client that we did not write",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "softhsm2",
        purpose: "a PKCS #11 module that we did not write",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "qemu-system-x86",
        purpose: "a kernel with a USB bus for virtual keys",
        need: Need::Test,
        instead: Some(&["qemu-system-x86_64", "--version"]),
    },
    Package {
        name: "xvfb",
        purpose: "a screen for the desktop's windows",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "dbus",
        purpose: "a session bus for the desktop's windows",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "dunst",
        purpose: "a notification server",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "pinentry-gtk2",
        purpose: "a PIN dialog",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "xdotool",
        purpose: "the keyboard of the desktop's tests",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "imagemagick",
        purpose: "pictures of the desktop's windows",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "fonts-dejavu-core",
        purpose: "letters in those pictures",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "chromium",
        purpose: "a real browser",
        need: Need::Test,
        instead: Some(&["chromium", "--version"]),
    },
    Package {
        name: "strace",
        purpose: "counting wake-ups of the idle agent",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "openssl",
        purpose: "checking libfido2's attestations by hand",
        need: Need::Test,
        instead: None,
    },
    Package {
        name: "python3",
        purpose: "independent peers from PyPI",
        need: Need::Test,
        instead: Some(&["python3", "--version"]),
    },
    Package {
        name: "python3-venv",
        purpose: "independent peers from PyPI",
        need: Need::Test,
        instead: Some(&["python3", "-m", "ensurepip", "--version"]),
    },
    Package {
        name: "python3-dev",
        purpose: "building pyscard, python's PC/SC client",
        need: Need::Test,
        instead: Some(&["python3", "-c", PYTHON_HEADERS]),
    },
    Package {
        name: "nginx",
        purpose: "the shipped configuration for it, on the real one",
        need: Need::Test,
        instead: Some(&["nginx", "-v"]),
    },
    Package {
        name: "caddy",
        purpose: "the shipped configuration for it, on the real one",
        need: Need::Test,
        instead: Some(&["caddy", "version"]),
    },
    Package {
        name: "nodejs",
        purpose: "independent peers from npm",
        need: Need::Test,
        instead: Some(&["node", "--version"]),
    },
    Package {
        name: "php-cli",
        purpose: "the recipe of docs/services.md for it",
        need: Need::Test,
        instead: Some(&["php", "--version"]),
    },
    Package {
        name: "default-jdk-headless",
        purpose: "the recipe of docs/services.md for it",
        need: Need::Test,
        instead: Some(&["javac", "--version"]),
    },
    Package {
        name: "npm",
        purpose: "independent peers from npm",
        need: Need::Test,
        instead: Some(&["npm", "--version"]),
    },
];

/// Installs what is missing for `need`.
///
/// # Errors
/// When a person says no, or a package cannot be installed; the message names the command to run by hand.
pub fn setup(need: Need) -> Result<()> {
    debian(need)?;
    // Everything that the lockfiles name, so that later runs need no network.
    run(&mut place::cargo(&["fetch", "--quiet", "--locked"]))?;
    run(&mut place::cargo(&[
        "fetch",
        "--quiet",
        "--locked",
        "--manifest-path",
        "tests/vkey/Cargo.toml",
    ]))?;
    if need >= Need::Test {
        python()?;
        node()?;
        guest::prepare()?;
    }
    Ok(())
}

/// Builds the virtual keys (a workspace of their own: firmware that we did not write).
///
/// # Errors
/// When the build fails.
pub fn virtual_keys() -> Result<()> {
    of_virtual_keys("build")
}

/// The virtual keys' own tests: their transports, and the ways in which they misbehave.
///
/// # Errors
/// When one fails.
pub fn virtual_keys_tests() -> Result<()> {
    of_virtual_keys("test")
}

fn of_virtual_keys(task: &str) -> Result<()> {
    run(place::cargo(&[
        task,
        "--locked",
        "--manifest-path",
        "tests/vkey/Cargo.toml",
        "--target-dir",
    ])
    .arg(place::vkey_target()))
}

fn debian(need: Need) -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| package.need <= need)
        .filter(|package| !package.instead.is_some_and(answers))
        .filter(|package| !installed(package.name))
        .collect();
    if missing.is_empty() {
        println!("Debian packages: all there.");
        return Ok(());
    }
    println!("Debian packages that are missing here:");
    for package in &missing {
        println!("  {:<18} {}", package.name, package.purpose);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !answers(&["apt-get", "--version"]) {
        bail!(
            "this machine has no apt-get: install the equivalents of {} by hand",
            names.join(" ")
        );
    }
    if env::var_os("CI").is_none() && stdin().is_terminal() && !asked(&names)? {
        bail!(
            "nothing was installed; when you are ready: apt-get install --no-install-recommends {}",
            names.join(" ")
        );
    }
    run(apt().args(["update", "-q"]))?;
    run(apt()
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(&names))
}

fn asked(names: &[&str]) -> Result<bool> {
    print!("Install them with apt-get ({})? [Y/n] ", names.join(" "));
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes" | "o" | "oui"
    ))
}

/// `apt-get`, by sudo for people who are not root.
fn apt() -> Command {
    let root = fs::metadata("/proc/self")
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
        .unwrap_or(false);
    let mut command = if root {
        Command::new("apt-get")
    } else {
        Command::new("sudo")
    };
    if !root {
        command.arg("apt-get");
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|out| out.stdout == b"installed")
}

/// Whether `made` was made from exactly this lockfile; if not, makes it and notes the lockfile beside it.
fn from_lockfile(lockfile: &Path, made: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let want = fs::read(lockfile).with_context(|| format!("{} is missing", lockfile.display()))?;
    let stamp = made.with_extension("stamp");
    if made.exists() && fs::read(&stamp).is_ok_and(|have| have == want) {
        println!("{}: as {} says.", made.display(), lockfile.display());
        return Ok(());
    }
    make()?;
    Ok(fs::write(stamp, want)?)
}

fn python() -> Result<()> {
    let lockfile = place::root().join("tests/peers/requirements.txt");
    let peers = place::target().join("peers");
    let venv = peers.join("venv");
    fs::create_dir_all(&peers)?;
    from_lockfile(&lockfile, &venv, || {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv))?;
        run(Command::new(venv.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
            ])
            .arg(&lockfile))
    })
}

fn node() -> Result<()> {
    let source = place::root().join("tests/peers");
    let modules = place::target().join("peers/node_modules");
    from_lockfile(&source.join("package-lock.json"), &modules, || {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), place::target().join("peers").join(file))?;
        }
        run(Command::new("npm")
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .current_dir(place::target().join("peers")))
    })
}
