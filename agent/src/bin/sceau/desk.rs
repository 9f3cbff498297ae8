//! `sceau enroll --batch` and `sceau desk`: many requests to the daemon, with a journal of what was done.

use std::path::PathBuf;
use std::process::ExitCode;

use sceau_agent::batch;
use sceau_agent::batch::wizard::{Daemon, Wizard, WizardError};
use sceau_agent::config::Places;
use sceau_agent::guide;
use sceau_agent::locale::Language;
use sceau_agent::prompt::terminal::{Client, ClientError, Ended};
use sceau_agent::text::of_file;
use serde_json::{Value, json};

use crate::answer::text;
use crate::clock;
use crate::fault::Fault;
use crate::signal::signals;

/// The daemon, for a run over a list: a connection for each request.
struct AtSocket {
    socket: PathBuf,
    language: Language,
}

impl Daemon for AtSocket {
    fn ask(&mut self, request: Value) -> Result<Ended, ClientError> {
        let mut client = Client::connect(&self.socket, signals()?, self.language)?;
        client.need_terminal(false)?;
        client.request(request, |_| {})
    }

    fn now(&self) -> String {
        let format = &time::format_description::well_known::Rfc3339;
        let now = clock().replace_nanosecond(0).unwrap_or_else(|_| clock());
        now.format(format).unwrap_or_default()
    }
}

/// `sceau enroll --batch`. Every key enrolled: 0; some are left: 1.
pub(crate) fn enrol_all(
    list: &std::path::Path,
    receipts: &std::path::Path,
    transport_pin: bool,
    json: bool,
    language: Language,
) -> Result<ExitCode, Fault> {
    let malformed = |error: batch::BatchError| Fault::Invitation(error.tell(language));
    let tasks = batch::tasks(&batch::load_list(list).map_err(malformed)?);
    let places =
        Places::from_environment(|name| std::env::var(name).ok(), None).map_err(Fault::Places)?;
    let named =
        std::fs::canonicalize(list).map_err(|e| Fault::Invitation(of_file(list, e, language)))?;
    let name = hex_name(&named);
    let folder = places.session.with_file_name("enrolments");
    let journal = batch::Journal::open(&folder.join(format!("{name}.json"))).map_err(malformed)?;
    let mut daemon = AtSocket {
        socket: places.served_socket(rustix::process::geteuid().as_raw()),
        language,
    };
    let operator = match daemon.ask(json!({ "op": "status" }))? {
        Ended::Done(status) => text(&status["person"]),
        _ => String::new(),
    };
    let mut wizard = Wizard::new(
        &mut daemon,
        journal,
        receipts.to_owned(),
        language,
        operator,
    )
    .map_err(Fault::Signals)?;
    wizard.transport_pin = transport_pin;
    let outcome = match wizard.run(&tasks) {
        Ok(outcome) => outcome,
        Err(error) => return cut(error, language),
    };
    if json {
        println!("{}", json!({ "done": outcome.done, "left": outcome.left }));
    } else {
        let values = [("done", outcome.done.into()), ("left", outcome.left.into())];
        println!("{}", language.text_with("command-keys-enrolled", &values));
    }
    Ok(ExitCode::from(u8::from(outcome.left > 0)))
}

/// A wizard that ended early.
fn cut(error: WizardError, language: Language) -> Result<ExitCode, Fault> {
    match error {
        WizardError::Daemon(error) => Err(error.into()),
        WizardError::Told(exit) => Ok(ExitCode::from(exit)),
        error => {
            eprintln!(
                "sceau: {} {}",
                error.tell(language),
                language.text("command-goes-on")
            );
            Ok(ExitCode::from(1))
        }
    }
}

/// `sceau desk`. Done: 0; something was refused, or is left to do: 1.
pub(crate) fn desk(path: &guide::Path, language: Language) -> Result<ExitCode, Fault> {
    let places =
        Places::from_environment(|name| std::env::var(name).ok(), None).map_err(Fault::Places)?;
    let journal = guide::journal(&places.session.with_file_name("enrolments"), path.person())
        .map_err(|error| Fault::Invitation(error.tell(language)))?;
    let mut daemon = AtSocket {
        socket: places.served_socket(rustix::process::geteuid().as_raw()),
        language,
    };
    let operator = match daemon.ask(json!({ "op": "status" }))? {
        Ended::Done(status) => text(&status["person"]),
        _ => String::new(),
    };
    let receipts = path.wish().map(|wish| wish.receipts.clone());
    let mut wizard = Wizard::new(
        &mut daemon,
        journal,
        receipts.unwrap_or_default(),
        language,
        operator,
    )
    .map_err(|_| Fault::Client(ClientError::NoTerminal))?;
    wizard.transport_pin = path.wish().is_some_and(|wish| wish.transport_pin);
    let came = match guide::Guide::new(&mut wizard).run(path) {
        Ok(came) => came,
        Err(error) => return cut(error, language),
    };
    if path.json() {
        println!("{}", json!(came));
    }
    Ok(ExitCode::from(u8::from(came.open)))
}

/// A file's name that stands for a path: its SHA-256.
fn hex_name(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_os_str().as_bytes());
    digest
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
