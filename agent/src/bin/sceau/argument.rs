//! The command line of `sceau`: commands, arguments, help. Its French is in the catalogue's room (`sceau_locale::help`).

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sceau_agent::administration::Administer;
use sceau_agent::guide;
use sceau_agent::piv::command::CardCommand;
use sceau_agent::prompt::Reason;
use uuid::Uuid;

/// Seals privileged actions with a physical key.
#[derive(Parser)]
#[command(
    name = "sceau",
    version,
    after_help = "Examples:\n  sceau enroll --invitation-file invitation.txt\n  sceau status\n  sceau approve\n\n\
        Exit codes: 0 done, 1 no or refused, 2 usage or malformed input, 3 unavailable."
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
pub(crate) enum Glass {
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_has_its_french() {
        let lacking = sceau_locale::help::untranslated(&Arguments::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
        let left = sceau_locale::help::left_in_english(Arguments::command());
        assert!(left.is_empty(), "{left:#?}");
    }
}
