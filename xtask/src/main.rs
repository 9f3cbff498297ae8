//! `cargo xtask …`: what a person or CI does with this checkout. Every task installs what it lacks, says what it does, and may be repeated.

mod bench;
mod check;
mod demo;
mod guest;
mod package;
mod place;
mod setup;
mod step;
mod test;

use std::{env, process::ExitCode};

use anyhow::Result;
use step::Steps;

const HELP: &str = "\
cargo xtask TASK

  setup            install what building, testing and the demo need (asks first)
  demo [--stay] [--real-key] [--lang fr|en]
                   the breach of December 2025, replayed against Sceau
  test [FILTER]    everything that CI runs; with FILTER only the tests whose names contain it
  guest [FILTER]   the USB scenarios alone: a kernel, udev and keys of their own
  guest --system   the packages on a machine with systemd: install, serve, seal, upgrade, purge
  check            format, rooms, lints, documentation, dependencies
  bench [NAME]     figures side by side in one run: assertion, registration, approval, log, agent
  package [--check-reproducible]
                   Debian packages, each with its SBOM, into <target>/packages
  fuzz [SECONDS]   the parsers of foreign bytes against mutated seeds (default 60 s each)

Example: cargo xtask test assertion
Exit: 0 all that was claimed held, 1 something did not, 2 usage.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut steps = Steps::default();
    let outcome: Result<()> = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            return if words.is_empty() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
        ["setup"] => steps.step("set-up", || setup::setup(setup::Need::Test)),
        ["check"] => steps
            .step("set-up", || setup::setup(setup::Need::Demo))
            .and_then(|()| check::check(&mut steps)),
        ["guest"] => guest::guest(&mut steps, None),
        ["guest", "--system"] => guest::system(&mut steps),
        ["guest", filter] => guest::guest(&mut steps, Some(filter)),
        ["test"] => test::all(&mut steps),
        ["test", filter] => test::some(&mut steps, filter),
        ["demo", options @ ..] => demo::demo(&mut steps, options),
        ["bench"] => bench::bench(&mut steps, None),
        ["bench", name] => bench::bench(&mut steps, Some(name)),
        ["package", options @ ..] => package::package(&mut steps, options),
        ["fuzz"] => test::fuzz(&mut steps, "60"),
        ["fuzz", seconds] => test::fuzz(&mut steps, seconds),
        _ => {
            eprintln!("cargo xtask: «{}» is not a task\n\n{HELP}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
