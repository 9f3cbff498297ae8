//! The release binaries, built so that nothing of this machine is in them: paths are mapped to fixed ones in Rust and C alike, symbols are
//! stripped, the time is the changelog's. Trusts the compiler of `rust-version` and the C compiler: other ones give other bytes.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{PACKAGES, Run};
use crate::step::run;

/// Builds; returns the folder of the binaries.
pub(super) fn build(here: &Run) -> Result<PathBuf> {
    fs::create_dir_all(&here.target)?;
    let home = env::var_os("CARGO_HOME").map_or_else(
        || env::home_dir().map(|home| home.join(".cargo")),
        |home| Some(PathBuf::from(home)),
    );
    let mapped = [
        (home.context("no home folder")?, "/cargo"),
        (here.root.clone(), "/sceau"),
        (here.target.clone(), "/build"),
    ];
    // The last one that matches wins; the target folder may lie within the checkout.
    let mut rust = Vec::new();
    let mut c = Vec::new();
    for (path, name) in &mapped {
        for path in both(path)? {
            rust.push(format!("--remap-path-prefix={path}={name}"));
            c.push(format!("-ffile-prefix-map={path}={name}"));
        }
    }
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(&here.root)
        .args(["build", "--release", "--locked", "--bins", "--target-dir"])
        .arg(&here.target)
        .env("CARGO_BUILD_BUILD_DIR", &here.target)
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f"))
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", here.epoch.to_string())
        .env("CFLAGS", c.join(" "))
        .env("CXXFLAGS", c.join(" "))
        .env_remove("RUSTFLAGS");
    let crates: BTreeSet<&str> = PACKAGES.iter().map(|(_, from)| *from).collect();
    for from in crates {
        command.args(["-p", from]);
    }
    run(&mut command)?;
    Ok(here.target.join("release"))
}

/// A path as it is named, and as it really is, where that differs.
fn both(path: &Path) -> Result<Vec<String>> {
    let real = path.canonicalize()?;
    let mut all = vec![path.display().to_string()];
    if real != path {
        all.push(real.display().to_string());
    }
    Ok(all)
}
