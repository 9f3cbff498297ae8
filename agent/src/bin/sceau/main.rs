//! `sceau`: for people. Every command is one request to the daemon's socket; prompts are answered at this terminal.
//!
//! [`argument`] is the command line, [`request`] what is asked, [`answer`] what is shown of the answer, [`mod@desk`] the commands that ask many times,
//! [`fault`] why nothing came of it. What administers a USB key, or looks at the workstation, needs no daemon.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use sceau_agent::administration::administer;
use sceau_agent::config::Places;
use sceau_agent::doctor::{self, look};
use sceau_agent::locale::Language;
use sceau_agent::prompt::terminal::{Client, Ended};
use sceau_agent::text::of_file;
use sceau_locale::manual;
use serde_json::{Value, json};

use answer::{outcome, render};
use argument::{Arguments, Command};
use desk::{desk, enrol_all};
use fault::Fault;
use request::Asked;
use signal::signals;

mod answer;
mod argument;
mod desk;
mod fault;
mod request;
mod signal;

fn main() -> ExitCode {
    let language = Language::of_process();
    let arguments: Arguments = sceau_locale::help::parse(language);
    match run(arguments.command, language) {
        Ok(code) => code,
        Err(fault) => {
            let (message, code) = fault.tell(language);
            eprintln!("sceau: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(command: Command, language: Language) -> Result<ExitCode, Fault> {
    if let Command::Keys {
        administer: Some(what),
        ..
    } = &command
    {
        print!(
            "{}",
            administer(what, language).map_err(Fault::Administration)?
        );
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Manual { folder } = &command {
        return Ok(manual::written(Arguments::command(), folder));
    }
    if let Command::Doctor { json } = &command {
        return doctor(*json, language);
    }
    if let Command::Enroll {
        batch: Some(list),
        receipts,
        transport_pin,
        json,
        ..
    } = &command
    {
        return enrol_all(list, receipts, *transport_pin, *json, language);
    }
    if let Command::Desk { path } = &command {
        return desk(path, language);
    }
    let places =
        Places::from_environment(|name| std::env::var(name).ok(), None).map_err(Fault::Places)?;
    let Asked {
        request,
        json,
        person_needed,
        input_is_data,
    } = match request::of(&command, &places, language)? {
        Ok(asked) => asked,
        Err(ended) => return Ok(ended),
    };
    let socket = places.served_socket(rustix::process::geteuid().as_raw());
    let mut client = Client::connect(&socket, signals().map_err(Fault::Signals)?, language)?;
    if person_needed {
        client.need_terminal(input_is_data)?;
    }
    let ended = client.request(request, |event| {
        if json {
            println!("{event}");
        } else {
            println!("{}", outcome(event, language));
        }
    })?;
    let out = std::io::stdout();
    match ended {
        Ended::Done(done) => {
            if let Command::Card { command, .. } = &command {
                command.finish(&done, language).map_err(Fault::Invitation)?;
            }
            if let Command::Lineage {
                svg: Some(file), ..
            } = &command
            {
                let picture = done["svg"].as_str().unwrap_or_default();
                std::fs::write(file, picture)
                    .map_err(|e| Fault::Invitation(of_file(file, e, language)))?;
            }
            if json {
                println!("{done}");
            } else {
                // A reader that closed the pipe wants no more.
                drop(
                    out.lock()
                        .write_all(render(&command, &done, language).as_bytes()),
                );
            }
            let refused = match command {
                Command::Approve { .. }
                | Command::Suspend { .. }
                | Command::Restore { .. }
                | Command::BreakGlass { .. }
                | Command::Record { .. } => done["outcome"] != "sealed",
                Command::Log { .. } => done["state"] != "consistent",
                _ => false,
            };
            Ok(ExitCode::from(u8::from(refused)))
        }
        Ended::Failed {
            code,
            message,
            exit,
            ..
        } => {
            if json {
                println!(
                    "{}",
                    json!({ "error": { "code": code, "message": message } })
                );
            }
            eprintln!("sceau: {message}");
            Ok(ExitCode::from(exit))
        }
        Ended::Signalled(signal) => Ok(ExitCode::from(if signal > 1 {
            128_u8.saturating_add(signal)
        } else {
            1
        })),
    }
}

/// Looks at the workstation. Nothing wrong: 0; something to mend: 1.
fn doctor(json: bool, language: Language) -> Result<ExitCode, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Signals)?;
    let variable = |name: &str| std::env::var(name).ok();
    let findings = runtime.block_on(look::at_everything(variable, clock));
    let text = if json {
        let all: Vec<Value> = findings.iter().map(|one| one.json(language)).collect();
        format!(
            "{}\n",
            json!({ "sound": doctor::is_sound(&findings), "findings": all })
        )
    } else {
        doctor::lines(&findings, language)
    };
    // A reader that closed the pipe wants no more.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    Ok(ExitCode::from(u8::from(!doctor::is_sound(&findings))))
}

/// The time of day.
#[allow(clippy::disallowed_methods, reason = "this main owns the clock")]
pub(crate) fn clock() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}
