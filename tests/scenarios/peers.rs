//! Clients that we did not write against the same virtual keys: what passes here means something of the keys, and so of our agent on them.

use std::process::Command;

use anyhow::Result;
use e2e::place;

/// Runs one of `tests/peers/prove-*`, which say on their output what did not hold.
fn prove(script: &str) -> Result<()> {
    place::require_namespace();
    let out = Command::new(place::root().join("tests/peers").join(script))
        .env("SCEAU_PEERS_VENV", place::target().join("peers/venv"))
        .output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    print!("{said}");
    assert!(out.status.success(), "{script}: {}\n{said}", out.status);
    assert!(!said.contains("SKIPPED"), "a peer was skipped: {said}");
    Ok(())
}

#[test]
fn python_fido2_lives_a_whole_life_with_the_virtual_key_over_pcsc() -> Result<()> {
    prove("prove-pcsc")
}

#[test]
fn libfido2_tools_work_on_the_virtual_key_over_hid() -> Result<()> {
    prove("prove-libfido2")
}

#[test]
fn pyscard_and_opensc_work_on_the_virtual_piv_card() -> Result<()> {
    prove("prove-piv")
}
