//! Figures, side by side in one run: ratios, never timed tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    guest,
    place::cargo,
    setup::{self, Need},
    step::{Steps, run},
};

/// Name of a bench, the package that owns it.
const BENCHES: &[(&str, &str)] = &[
    ("assertion", "sceau-proof"),
    ("registration", "sceau-proof"),
    ("log", "sceau-proof"),
    ("log", "sceau-server"),
    ("approval", "sceau-server"),
    ("policy", "sceau-server"),
    ("lineage", "sceau-server"),
    ("gate", "sceau-server"),
    ("usb", "sceau-agent"),
];

/// Runs the bench called `name`, or all of them.
///
/// # Errors
/// An unknown name, or a bench that fails.
pub fn bench(steps: &mut Steps, name: Option<&str>) -> Result<()> {
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(bench, _)| name.is_none_or(|name| name == *bench))
        .collect();
    if chosen.is_empty() {
        let known: Vec<&str> = BENCHES.iter().map(|(bench, _)| *bench).collect();
        bail!(
            "no bench is called {}; there are: {}",
            name.unwrap_or_default(),
            known.join(", ")
        );
    }
    steps.step("set-up", || setup::setup(Need::Test))?;
    for (bench, package) in chosen {
        steps.step(&format!("bench: {bench}"), || {
            let arguments = ["bench", "--locked", "-p", package, "--bench", bench];
            if *bench == "usb" {
                setup::virtual_keys()?;
                let program = guest::program(&arguments, bench)?;
                return guest::run_in(Command::new(program));
            }
            run(&mut cargo(&arguments))
        })?;
    }
    Ok(())
}
