//! `sceau`: for people. Every command is one request to the daemon's socket; prompts are answered at this terminal.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sceau_agent::administration::{Administer, AdministrationError, administer};
use sceau_agent::batch;
use sceau_agent::batch::wizard::{Daemon, Wizard, WizardError};
use sceau_agent::config::{ConfigError, Places};
use sceau_agent::doctor::{self, look};
use sceau_agent::guide;
use sceau_agent::lineage;
use sceau_agent::locale::Language;
use sceau_agent::piv::command::{CardCommand, card_lines};
use sceau_agent::prompt::Reason;
use sceau_agent::prompt::terminal::{Client, ClientError, Ended};
use sceau_agent::text::{instant, of_file, unreadable};
use sceau_locale::{foreign, manual};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Seals privileged actions with a physical key.
#[derive(Parser)]
#[command(
    name = "sceau",
    version,
    after_help = "Examples:\n  sceau enroll --invitation-file invitation.txt\n  sceau status\n  sceau approve\n\n\
        Exit codes: 0 done, 1 no or refused, 2 usage or malformed input, 3 unavailable."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the authenticators that are there, or administer one.
    #[command(
        after_help = "Examples:\n  sceau keys --json | jq '.keys[].aaguid'\n  sceau keys pin set",
        args_conflicts_with_subcommands = true
    )]
    Keys {
        #[command(subcommand)]
        administer: Option<Administer>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say who is signed in, whether the server is reached, and what awaits you.
    #[command(after_help = "Example:\n  sceau status --json")]
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one action and seal it: PIN and touch.
    #[command(
        after_help = "Examples:\n  sceau approve\n  sceau approve 0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f"
    )]
    Approve {
        /// The action; the oldest that awaits you when absent.
        id: Option<Uuid>,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Refuse one action. "not-me" also suspends the session that asks.
    #[command(
        after_help = "Example:\n  sceau refuse 0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f --reason not-me"
    )]
    Refuse {
        /// The action.
        id: Uuid,
        /// Why.
        #[arg(long, value_enum, default_value = "other")]
        reason: Reason,
        /// In your words.
        #[arg(long)]
        text: Option<String>,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enrol the key that is plugged in, by invitation; or, at a help desk, a box of keys for a list of persons.
    #[command(
        after_help = "Examples:\n  sceau enroll --invitation-file invitation.txt\n  sceau enroll --invitation-file - < invitation.txt\n  \
            sceau enroll --batch people.csv --receipts receipts\n\n\
            The list: person,display,roles,document,keys\n  amartin,Alice Martin,manager,passport,\n\
            document: identity-card, passport, residence-permit, driving-licence, staff-card (the kind alone, never its number).\n\
            keys: 1, or 2 (main and spare), which whoever has a role gets when it is not said. Interrupted, the same command goes on."
    )]
    Enroll {
        /// File that holds the invitation, or - for standard input.
        #[arg(long, value_name = "FILE", required_unless_present = "batch")]
        invitation_file: Option<PathBuf>,
        /// List of persons (CSV): each request is sealed by your own key, then each key is put in; its person chooses the PIN.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["invitation_file", "label", "card"])]
        batch: Option<PathBuf>,
        /// Where the receipts to sign go.
        #[arg(long, value_name = "FOLDER", default_value = "receipts")]
        receipts: PathBuf,
        /// With --batch: give each key that can insist on another PIN one for the way, on a slip for its person alone.
        #[arg(long, requires = "batch")]
        transport_pin: bool,
        /// A name for the key.
        #[arg(long)]
        label: Option<String>,
        /// Enrol the PIV card, though FIDO2 keys are there.
        #[arg(long)]
        card: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The help desk's paths: a key is lost, damaged, blocked or to be replaced, or somebody leaves. Your own key seals what is done.
    #[command(
        after_help = "Examples:\n  sceau desk lost amartin\n  sceau desk leaver amartin\n\nInterrupted, the same command goes on. Exit code 1: something is left to do, or was refused."
    )]
    Desk {
        /// What happened.
        #[command(subcommand)]
        path: guide::Path,
    },
    /// PIV cards: PIN, PUK, keys, certificates.
    #[command(after_help = "Examples:\n  sceau card pin unblock\n  sceau card certificates")]
    Card {
        /// Part of the name of the reader; needed when there are several cards.
        #[arg(long, global = true)]
        reader: Option<String>,
        #[command(subcommand)]
        command: CardCommand,
    },
    /// Sign in with a key.
    #[command(after_help = "Example:\n  sceau sign-in --person amartin")]
    SignIn {
        /// Who; as configured when absent.
        #[arg(long)]
        person: Option<String>,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Draw who descends from a person: whom they created, enrolled, gave rights to, and by which action.
    #[command(
        after_help = "Examples:\n  sceau lineage amartin\n  sceau lineage amartin --svg lineage.svg"
    )]
    Lineage {
        /// Whom.
        person: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Write a picture for a report.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Suspend a person; with --cascade everything that descends from them too. It is shown first, then one touch seals all of it.
    #[command(after_help = "Examples:\n  sceau suspend amartin\n  sceau suspend amartin --cascade")]
    Suspend {
        /// Whom.
        person: String,
        /// Everything that descends from them: persons, accounts, keys, sessions, open actions.
        #[arg(long)]
        cascade: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring back a suspended person; your policy says who else must seal it.
    #[command(after_help = "Examples:\n  sceau restore amartin\n  sceau restore amartin --subtree")]
    Restore {
        /// Whom.
        person: String,
        /// Everyone who fell by the same suspension and descends from them.
        #[arg(long)]
        subtree: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what this workstation has seen of the server's log: its key, how far it goes, and whether it is still what it was.
    ///
    /// Exit code 1: it is not, and nothing more is sealed from here until --forget.
    #[command(
        after_help = "Examples:\n  sceau log --json | jq .breach > proof.json\n  sceau log --forget"
    )]
    Log {
        /// Forget checkpoint, key and breach: what the server shows next is believed. Only when the administrator says so.
        #[arg(long)]
        forget: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Record what is known of a person for a time, or when a role of theirs ends; your policy says who else must seal it.
    #[command(
        after_help = "Examples:\n  sceau record amartin training --until 2027-05-31\n  sceau record amartin role:manager --until 2027-05-31\n  sceau record amartin role:manager --withdraw"
    )]
    Record {
        /// Whom.
        person: String,
        /// A word (training), or role:NAME for the end of a role that they hold.
        fact: String,
        /// Until when: a day, through its end, or an instant. Without it, it does not end by itself.
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
        /// It ends now.
        #[arg(long, conflicts_with = "until")]
        withdraw: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// When the usual way is barred: a quorum of keys lends you a role for minutes; everyone is alerted, and it is reviewed afterwards.
    #[command(
        after_help = "Examples:\n  sceau break-glass open --role administrator --minutes 15 --reason 'both administrators are ill'\n  sceau break-glass review"
    )]
    BreakGlass {
        /// Open, or review.
        #[command(subcommand)]
        step: Glass,
    },
    /// Sign out.
    #[command(after_help = "Example:\n  sceau sign-out")]
    SignOut,
    /// Check this workstation, and say what to do.
    #[command(
        after_help = "Examples:\n  sceau doctor\n  sceau doctor --json | jq '.findings[] | select(.state == \"fault\")'"
    )]
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write completions and man pages into a folder.
    #[command(hide = true)]
    Manual {
        /// The folder.
        folder: PathBuf,
    },
    /// Stay, and show each action as it arrives.
    #[command(after_help = "Example:\n  sceau wait")]
    Wait {
        /// Print each outcome as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Glass {
    /// Ask for it and seal it; the others of the quorum approve it with `sceau approve`.
    #[command(
        after_help = "Example:\n  sceau break-glass open --role administrator --minutes 15 --reason 'both administrators are ill'"
    )]
    Open {
        /// The role that you need.
        #[arg(long)]
        role: String,
        /// For how many minutes, at most 240.
        #[arg(long)]
        minutes: u32,
        /// Why, in a sentence.
        #[arg(long)]
        reason: String,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Seal the review of an opening; until then it is not opened again.
    #[command(after_help = "Example:\n  sceau break-glass review")]
    Review {
        /// The review; the oldest that awaits you when absent.
        id: Option<Uuid>,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
}

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

enum Fault {
    Places(ConfigError),
    Administration(AdministrationError),
    Invitation(String),
    Signals(std::io::Error),
    Client(ClientError),
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Fault {
    fn tell(&self, language: Language) -> (String, u8) {
        match self {
            Self::Places(e) => (e.tell(language), 3),
            Self::Administration(e) => e.tell(language),
            Self::Invitation(e) => (e.clone(), 2),
            Self::Signals(e) => (foreign(language, &e.to_string()), 3),
            Self::Client(ClientError::Io(e)) => {
                let reason = foreign(language, &e.to_string());
                (
                    format!("{} ({reason})", language.text("command-no-agent")),
                    3,
                )
            }
            Self::Client(ClientError::NoTerminal) => {
                (language.text("command-terminal").into_owned(), 2)
            }
            Self::Client(ClientError::Malformed) => {
                (language.text("command-agent-malformed").into_owned(), 3)
            }
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
    let (request, json, person_needed, input_is_data) = match &command {
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
                true => match preview(&places, person, language, *json)? {
                    Ok(set) => Some(set),
                    Err(ended) => return Ok(ended),
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
fn enrol_all(
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
fn desk(path: &guide::Path, language: Language) -> Result<ExitCode, Fault> {
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

#[allow(clippy::disallowed_methods, reason = "this main owns the clock")]
fn clock() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
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

/// A stream that delivers the number of each signal that should end the request: the terminal is put right before the process ends.
fn signals() -> std::io::Result<UnixStream> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let (started_tx, started) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
            else {
                return;
            };
            runtime.block_on(async move {
                let kinds = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                    signal(SignalKind::hangup()),
                );
                let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = kinds else {
                    return;
                };
                let _ = started_tx.send(());
                loop {
                    let number = tokio::select! {
                        _ = interrupt.recv() => 2_u8,
                        _ = terminate.recv() => 15,
                        _ = hangup.recv() => 1,
                    };
                    if theirs.write_all(&[number]).is_err() {
                        return;
                    }
                }
            });
        })?;
    started
        .recv()
        .map_err(|_| std::io::Error::other("signals"))?;
    Ok(ours)
}

fn render(command: &Command, done: &Value, language: Language) -> String {
    match command {
        Command::Keys { .. } => keys(done, language),
        Command::Status { .. } => status(done, language),
        Command::Lineage { .. } => format!(
            "{}{}",
            lineage::tree(done, language),
            lineage::totals(done, language)
        ),
        Command::Approve { .. }
        | Command::Refuse { .. }
        | Command::Wait { .. }
        | Command::Suspend { .. }
        | Command::Restore { .. }
        | Command::BreakGlass { .. }
        | Command::Record { .. } => {
            format!("{}\n", outcome(done, language))
        }
        Command::Enroll { .. } => {
            let model = done["model"]
                .as_str()
                .or(done["aaguid"].as_str())
                .unwrap_or_default();
            let key = format!(
                "{} ({model}), {}\n",
                text(&done["key_id"]),
                text(&done["person"])
            );
            language.labelled(&language.text("command-key-enrolled"), key)
        }
        Command::Card { command, .. } => command.render(done, language),
        Command::SignIn { .. } => {
            let person = format!("{}\n", text(&done["person"]));
            language.labelled(&language.text("command-signed-in"), person)
        }
        Command::Doctor { .. } | Command::Manual { .. } | Command::Desk { .. } => String::new(),
        Command::Log { .. } => log_lines(done, language),
        Command::SignOut => format!("{}\n", language.text("command-signed-out")),
    }
}

fn log_lines(log: &Value, language: Language) -> String {
    let mut lines = match (log["message"].as_str(), log["size"].as_u64()) {
        (Some(message), _) => format!("{}\n", sceau_agent::text::one_line(message, 400)),
        (None, Some(size)) => format!(
            "{}\n",
            language.text_with("command-log-consistent", &[("count", size.into())])
        ),
        (None, None) => format!("{}\n", language.text("command-log-unseen")),
    };
    if log["key"].is_string() {
        lines.push_str(&format!("  {}\n", text(&log["key"])));
    }
    lines
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => sceau_agent::text::one_line(text, 200),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn outcome(done: &Value, language: Language) -> String {
    let words = match done["outcome"].as_str().unwrap_or_default() {
        "sealed" => language.text("command-sealed"),
        "refused" => language.text("command-refused"),
        "later" => language.text("command-put-off"),
        _ => return language.labelled(&text(&done["id"]), text(&done["message"])),
    };
    let action = format!("{} ({})", text(&done["id"]), text(&done["state"]));
    language.labelled(&words, action)
}

fn status(done: &Value, language: Language) -> String {
    let line =
        |name: &str, value: String| format!("{}\n", language.labelled(&language.text(name), value));
    let server = format!("{} ({})", text(&done["server"]), text(&done["inbox"]));
    let mut out = line("command-person", text(&done["person"]));
    out.push_str(&line("command-server", server));
    out.push_str(&line("command-keys-present", text(&done["authenticators"])));
    if let Some(cards) = done["cards"].as_u64().filter(|cards| *cards > 0) {
        out.push_str(&line("command-piv-cards-present", cards.to_string()));
    }
    for refused in done["refused"].as_array().into_iter().flatten() {
        let message = refused["message"].as_str().unwrap_or_default();
        let message = sceau_agent::text::one_line(message, 400);
        let reader = text(&refused["reader"]);
        out.push_str(&format!("  {}\n", language.labelled(&reader, message)));
    }
    if let Some(message) = done["log"]["message"].as_str() {
        out.push_str(&format!(
            "  {}\n",
            sceau_agent::text::one_line(message, 400)
        ));
    }
    if let Some(reason) = done["reason"].as_str() {
        out.push_str(&format!("  {}\n", sceau_agent::text::one_line(reason, 200)));
    }
    if done["pcscd"] == false {
        out.push_str(&format!("  {}\n", language.text("command-no-pcscd")));
    }
    let pending = done["pending"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    out.push_str(&line("command-awaiting", pending.len().to_string()));
    for action in pending {
        out.push_str(&format!(
            "  {}  {}  {}  {}\n",
            text(&action["id"]),
            text(&action["type"]),
            text(&action["service"]),
            instant(action["expires_at"].as_str().unwrap_or("-"), language)
        ));
    }
    out
}

/// The person's keys that count, wherever they are; and whether their roles want more.
fn own_keys(own: &Value, language: Language) -> String {
    let labels: Vec<&str> = own["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if labels.is_empty() {
        return String::new();
    }
    let labels_shown = sceau_agent::text::one_line(&labels.join(", "), 200);
    let shown = language.labelled(&language.text("command-keys-own"), labels_shown);
    let mut out = format!("{shown}\n");
    let wanted = own["wanted"].as_u64().unwrap_or_default();
    if wanted > u64::try_from(labels.len()).unwrap_or(u64::MAX) {
        let said = language.text_with("command-keys-spare", &[("wanted", wanted.into())]);
        out.push_str(&format!("! {said}\n"));
    }
    out
}

fn keys(done: &Value, language: Language) -> String {
    let keys = done["keys"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut out = own_keys(&done["own"], language);
    if keys.is_empty() {
        out.push_str(&format!("{}\n", language.text("command-no-key")));
    }
    for key in keys {
        out.push_str(&format!(
            "{}  [{}]\n",
            text(&key["reader"]),
            text(&key["transport"])
        ));
        if let Some(serial) = key["serial"].as_str() {
            out.push_str(&format!(
                "  {} {}\n",
                language.text("command-serial"),
                sceau_agent::text::one_line(serial, 100)
            ));
        }
        if key["state"] == "same" {
            out.push_str(&format!(
                "  {} (id {})\n",
                language.text("command-seen-over-usb"),
                text(&key["same_as"])
            ));
            continue;
        }
        if key["kind"] == "piv" && key["state"] == "ready" {
            out.push_str(&card_lines(key, language));
            continue;
        }
        if key["state"] != "ready" {
            let why = [&key["message"], &key["reason"], &key["state"]];
            let why = why.iter().find_map(|why| why.as_str());
            out.push_str(&format!(
                "  {}\n",
                sceau_agent::text::one_line(why.unwrap_or_default(), 400)
            ));
            continue;
        }
        let yes_no = |value: &Value| {
            if *value == true {
                language.text("command-yes")
            } else {
                language.text("command-card-no")
            }
        };
        out.push_str(&format!("  AAGUID {}\n", text(&key["aaguid"])));
        let labelled = |name: &str, value: &str| language.labelled(&language.text(name), value);
        out.push_str(&format!(
            "  {}   {}\n",
            labelled("command-pin-set", &yes_no(&key["pin_set"])),
            labelled("command-card-tries-left", &text(&key["pin_retries"]))
        ));
        let enrolled = if key["enrolled"].is_null() {
            language.text("command-card-no").into_owned()
        } else {
            text(&key["enrolled"]["label"])
        };
        out.push_str(&format!(
            "  {}\n",
            labelled("command-card-enrolled", &enrolled)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_awaits_is_shown_with_an_end_that_people_read() {
        let done = json!({ "person": "alice", "pending": [
            { "id": "1", "type": "account.create", "service": "portal", "expires_at": "2026-11-22T14:07:30Z" },
        ] });
        let french = status(&done, Language::Fr);
        assert!(
            french.ends_with("  1  account.create  portal  22 novembre 2026 à 14:07 UTC\n"),
            "{french}"
        );
        assert!(status(&done, Language::En).ends_with("portal  22 November 2026, 14:07 UTC\n"));
    }

    #[test]
    fn help_has_its_french() {
        let lacking = sceau_locale::help::untranslated(&Arguments::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
        let left = sceau_locale::help::left_in_english(Arguments::command());
        assert!(left.is_empty(), "{left:#?}");
    }
}
