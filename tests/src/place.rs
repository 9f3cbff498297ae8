//! Where binaries and folders are, found from the running test.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A binary of the product, built beside the running test.
///
/// # Panics
/// When it was not built: `cargo xtask test` builds all of them first.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let exe = env::current_exe().expect("this process has a path");
    let found = exe
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        // Where cargo's build folder is apart from its target folder.
        .chain([root().join("target/debug").join(name)])
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built; run `cargo xtask test`, which builds it first")
    })
}

/// The target folder, for what outlives a run (`demo/evidence.json`, screenshots).
///
/// # Panics
/// When the running binary is not in a target folder.
#[must_use]
pub fn target() -> PathBuf {
    bin("sceau-verify")
        .ancestors()
        .nth(2)
        .expect("<target>/<profile>/<binary>")
        .to_path_buf()
}

/// The virtual key.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn vkey() -> PathBuf {
    let path = root().join("tests/vkey/target/debug/vkey");
    assert!(
        path.is_file(),
        "vkey is not built; run `cargo xtask test`, which builds it first"
    );
    path
}

/// Whether this process has a loopback of its own (`tests/in-namespace` says so).
#[must_use]
pub fn in_namespace() -> bool {
    env::var_os("SCEAU_NS").is_some_and(|value| value == "1")
}

/// Whether this is the guest of `tests/guest`, with a USB bus of its own; says that the test is skipped where it is not.
#[must_use]
pub fn in_guest() -> bool {
    let guest = env::var_os("SCEAU_GUEST").is_some();
    if !guest {
        eprintln!("SKIPPED: needs a USB bus; `cargo xtask guest` runs it");
    }
    guest
}

/// Whether this is the guest in its second mode, with systemd as first process; says that the test is skipped where it is not.
#[must_use]
pub fn in_system() -> bool {
    let system = env::var_os("SCEAU_SYSTEM").is_some();
    if !system {
        eprintln!("SKIPPED: needs systemd as first process; `cargo xtask guest --system` runs it");
    }
    system
}

/// Ends the test unless it runs on a private loopback.
///
/// # Panics
/// When it does not, saying how to run it.
pub fn require_namespace() {
    assert!(
        in_namespace(),
        "end-to-end tests start daemons on fixed ports: run them with `cargo xtask test [FILTER]`"
    );
}
