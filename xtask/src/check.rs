//! The checks that need no run of our code, fastest first: format, purity of the rooms, lints, documentation, dependencies.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    place::{self, cargo},
    step::{Steps, answers, output, run},
};

const DENY: &str = "0.20.2";

/// Runs all checks.
///
/// # Errors
/// The first that fails.
pub fn check(steps: &mut Steps) -> Result<()> {
    steps.step("check: format", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    steps.step("check: rooms", rooms)?;
    steps.step("check: clippy", || {
        run(&mut cargo(&[
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("check: documentation", || {
        run(
            cargo(&["doc", "--quiet", "--locked", "--no-deps", "--workspace"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    steps.step("check: dependencies", dependencies)
}

/// Which room may use which (DESIGN.md), read from what cargo resolved and from the sources of the pure rooms.
fn rooms() -> Result<()> {
    let metadata: Value = serde_json::from_str(&output(&mut cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--no-deps",
    ]))?)?;
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let ours: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        let may: &[&str] = match name {
            "sceau-ctap" | "sceau-locale" | "xtask" => &[],
            // The auditors' binary speaks French; the library names nothing of ours, see `IMPURE`.
            "sceau-proof" => &["sceau-locale"],
            "sceau-agent" => &["sceau-proof", "sceau-ctap", "sceau-locale"],
            "sceau-server" => &["sceau-proof", "sceau-locale"],
            "e2e" => &[
                "sceau-proof",
                "sceau-ctap",
                "sceau-locale",
                "sceau-agent",
                "sceau-server",
            ],
            _ => bail!(
                "{name} is a room that DESIGN.md does not know; add it there and to docs/decisions.md first"
            ),
        };
        wrong.extend(
            ours.iter()
                .filter(|used| !may.contains(*used))
                .map(|used| format!("{name} must not use {used}")),
        );
    }
    for (room, but) in [("proof/src", Some("bin")), ("ctap/src", None)] {
        impure(&place::root().join(room), but, &mut wrong)?;
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the rooms are not kept:\n  {}", wrong.join("\n  "))
}

/// What a pure room may not name: I/O, clocks, threads, environment, randomness.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::io::std",
    "SystemTime",
    "Instant::now",
    "now_utc",
    "SystemRandom",
    "println!",
    "tracing::",
    "sceau_locale",
];

fn impure(folder: &Path, but: Option<&str>, wrong: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if but.is_none_or(|name| !path.ends_with(name)) {
                impure(&path, but, wrong)?;
            }
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!(
                    "{}:{}: a pure room names `{word}`",
                    path.display(),
                    number + 1
                ));
            }
        }
    }
    Ok(())
}

/// cargo-deny on deny.toml: confinement, licences, sources. Advisories only where their database can be reached.
fn dependencies() -> Result<()> {
    let tools = place::target().join("tools");
    let own = tools.join("bin/cargo-deny");
    if !answers(&["cargo-deny", "--version"]) && !own.exists() {
        println!(
            "cargo-deny is not here: building it once into {}",
            tools.display()
        );
        run(cargo(&[
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--version",
            DENY,
            "cargo-deny",
            "--root",
        ])
        .arg(&tools)
        .env("CARGO_TARGET_DIR", tools.join("build")))?;
        fs::remove_dir_all(tools.join("build"))?;
    }
    let path = format!(
        "{}:{}",
        tools.join("bin").display(),
        env::var("PATH").unwrap_or_default()
    );
    run(cargo(&[
        "deny",
        "--offline",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ])
    .env("PATH", path))
}
