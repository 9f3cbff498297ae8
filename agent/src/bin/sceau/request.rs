//! The one request to the daemon that each command is, and what is read or shown before it is made.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use sceau_agent::config::Places;
use sceau_agent::lineage;
use sceau_agent::locale::Language;
use sceau_agent::prompt::terminal::{Client, Ended};
use sceau_agent::text::unreadable;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::argument::{Command, Glass};
use crate::fault::Fault;
use crate::signal::signals;

/// What the daemon is asked, and how.
pub(crate) struct Asked {
    /// The request.
    pub(crate) request: Value,
    /// Whether the answer is printed as JSON.
    pub(crate) json: bool,
    /// Whether somebody must be at the terminal.
    pub(crate) person_needed: bool,
    /// Whether standard input was read as data, and is no terminal's.
    pub(crate) input_is_data: bool,
}

/// The request of a command; or the exit code, when what had to be looked at first ended it.
pub(crate) fn of(
    command: &Command,
    places: &Places,
    language: Language,
) -> Result<Result<Asked, ExitCode>, Fault> {
    let (request, json, person_needed, input_is_data) = match command {
        Command::Keys { json, .. } => (json!({ "op": "keys" }), *json, false, false),
        Command::Status { json } => (json!({ "op": "status" }), *json, false, false),
        Command::Approve { id, json } => (json!({ "op": "approve", "id": id }), *json, true, false),
        Command::Refuse {
            id,
            reason,
            text,
            json,
        } => (
            json!({ "op": "refuse", "id": id, "reason": reason, "text": text }),
            *json,
            false,
            false,
        ),
        Command::Enroll {
            invitation_file,
            label,
            card,
            json,
            ..
        } => {
            let none = PathBuf::new();
            let invitation_file = invitation_file.as_ref().unwrap_or(&none);
            let invitation = read_invitation(invitation_file, language)?;
            (
                json!({ "op": "enroll", "invitation": invitation.as_str(), "label": label, "card": card }),
                *json,
                true,
                invitation_file.as_os_str() == "-",
            )
        }
        Command::Card { reader, command } => {
            let mut request = command.task(language).map_err(Fault::Invitation)?;
            if let Value::Object(request) = &mut request {
                request.extend([
                    ("op".into(), json!("card")),
                    ("reader".into(), json!(reader)),
                ]);
            }
            (request, command.json(), command.asks(), false)
        }
        Command::SignIn { person, json } => (
            json!({ "op": "sign-in", "person": person }),
            *json,
            true,
            false,
        ),
        Command::Log { forget, json } => (
            json!({ "op": "log", "forget": forget }),
            *json,
            false,
            false,
        ),
        Command::Lineage { person, json, svg } => (
            json!({ "op": "lineage", "person": person, "svg": svg.is_some() }),
            *json,
            false,
            false,
        ),
        Command::Suspend {
            person,
            cascade,
            json,
        } => {
            let set = match cascade {
                true => match preview(places, person, language, *json)? {
                    Ok(set) => Some(set),
                    Err(ended) => return Ok(Err(ended)),
                },
                false => None,
            };
            (
                json!({ "op": "suspend", "person": person, "set": set }),
                *json,
                true,
                false,
            )
        }
        Command::Restore {
            person,
            subtree,
            json,
        } => (
            json!({ "op": "restore", "person": person, "subtree": subtree }),
            *json,
            true,
            false,
        ),
        Command::Record {
            person,
            fact,
            until,
            withdraw,
            json,
        } => (
            json!({ "op": "record", "person": person, "fact": fact, "until": until, "withdraw": withdraw }),
            *json,
            true,
            false,
        ),
        Command::BreakGlass {
            step:
                Glass::Open {
                    role,
                    minutes,
                    reason,
                    json,
                },
        } => (
            json!({ "op": "break-glass", "role": role, "minutes": minutes, "reason": reason }),
            *json,
            true,
            false,
        ),
        Command::BreakGlass {
            step: Glass::Review { id, json },
        } => (json!({ "op": "review", "id": id }), *json, true, false),
        Command::Doctor { .. } | Command::Manual { .. } | Command::Desk { .. } => {
            (Value::Null, false, false, false)
        }
        Command::SignOut => (json!({ "op": "sign-out" }), false, false, false),
        Command::Wait { json } => (json!({ "op": "wait" }), *json, true, false),
    };
    Ok(Ok(Asked {
        request,
        json,
        person_needed,
        input_is_data,
    }))
}

/// Shows what a cascade would stop, and gives what the action seals of it; or the exit code when that cannot be.
fn preview(
    places: &Places,
    person: &str,
    language: Language,
    json: bool,
) -> Result<Result<Value, ExitCode>, Fault> {
    let socket = places.served_socket(rustix::process::geteuid().as_raw());
    let mut client = Client::connect(&socket, signals().map_err(Fault::Signals)?, language)?;
    let request = json!({ "op": "lineage", "person": person });
    match client.request(request, |_| {})? {
        Ended::Done(lineage) => {
            if json {
                println!("{}", json!({ "event": { "preview": lineage } }));
            } else {
                print!(
                    "{}{}",
                    lineage::tree(&lineage, language),
                    lineage::totals(&lineage, language)
                );
            }
            let totals = &lineage["totals"];
            Ok(Ok(json!({
                "sha256": lineage["sha256"], "persons": totals["persons"], "accounts": totals["accounts"],
            })))
        }
        Ended::Failed { message, exit, .. } => {
            eprintln!("sceau: {message}");
            Ok(Err(ExitCode::from(exit)))
        }
        Ended::Signalled(_) => Ok(Err(ExitCode::from(1))),
    }
}

/// The invitation: one word, from a file or standard input, never an argument.
fn read_invitation(path: &std::path::Path, language: Language) -> Result<Zeroizing<String>, Fault> {
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let read = if path.as_os_str() == "-" {
        if std::io::stdin().is_terminal() {
            eprintln!("invitation:");
        }
        std::io::stdin().take(4096).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text))
    };
    read.map_err(|e| Fault::Invitation(unreadable(path, &e.to_string(), language)))?;
    let word = Zeroizing::new(text.trim().to_owned());
    if word.is_empty() || word.contains(char::is_whitespace) {
        let values = [("path", path.display().to_string().into())];
        let told = language.text_with("command-not-an-invitation", &values);
        return Err(Fault::Invitation(told));
    }
    Ok(word)
}
