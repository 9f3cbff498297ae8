//! Where things are: the checkout, the target folder, what is built into it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The target folder: `CARGO_TARGET_DIR` or `target` in the checkout.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where the virtual keys build to: a workspace, lockfile and folder of their own.
#[must_use]
pub fn vkey_target() -> PathBuf {
    root().join("tests/vkey/target")
}

/// Our binaries of the one build profile.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// Cargo, run in the checkout on the lockfile as committed.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}
