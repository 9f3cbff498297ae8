//! `sceau-server facts …`: what is known of persons for a time, from a file; and who would fall by time. Works on the store beside a running server.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use sceau_locale::{Language, instant};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{CommandError, ConfigFile, load_config, open_desk};
use crate::fact::{self, Campaign, Fate};
use crate::id::Role;
use crate::port::Ports;

/// What is known of persons for a time.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sceau-server facts import --config sceau.toml trainings.csv\n  sceau-server facts report --config sceau.toml --days 60"
)]
pub struct Facts {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Record a file of `person,fact,until` lines, all or none; each change is logged. A fact is a word (`training`) or `role:NAME`, whose end it is.
    #[command(
        after_help = "Example:\n  sceau-server facts import --config sceau.toml trainings.csv"
    )]
    Import {
        #[command(flatten)]
        config: ConfigFile,
        /// The file.
        file: PathBuf,
    },
    /// List what ends soon, soonest first. Exit code 1: something has ended already.
    #[command(
        after_help = "Example:\n  sceau-server facts report --config sceau.toml --days 60 --json"
    )]
    Report {
        #[command(flatten)]
        config: ConfigFile,
        /// Within so many days.
        #[arg(long, default_value_t = 30)]
        days: u16,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Open a recertification: whoever holds the role holds it for so many days more, unless a sealed facts.record prolongs it.
    #[command(
        after_help = "Example:\n  sceau-server facts recertify --config sceau.toml --role manager --days 30"
    )]
    Recertify {
        #[command(flatten)]
        config: ConfigFile,
        /// The role.
        #[arg(long)]
        role: Role,
        /// How long managers have to decide.
        #[arg(long, default_value_t = 30)]
        days: u16,
    },
    /// List the recertifications of the last days, and what became of everyone. Exit code 1: somebody awaits a decision.
    #[command(
        after_help = "Example:\n  sceau-server facts campaigns --config sceau.toml --days 400 --json"
    )]
    Campaigns {
        #[command(flatten)]
        config: ConfigFile,
        /// Opened within so many days.
        #[arg(long, default_value_t = 400)]
        days: u16,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List active persons and live keys without a use for so many days. Exit code 1: there are some.
    #[command(after_help = "Example:\n  sceau-server facts dormant --config sceau.toml --days 90")]
    Dormant {
        #[command(flatten)]
        config: ConfigFile,
        /// For so many days.
        #[arg(long, default_value_t = 90)]
        days: u16,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Facts {
    /// Runs the command: what it prints, and whether the answer is yes.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(
        self,
        ports: Ports,
        language: Language,
    ) -> Result<(String, bool), CommandError> {
        let now = ports.now();
        let file = match &self.what {
            What::Import { config, .. }
            | What::Report { config, .. }
            | What::Recertify { config, .. }
            | What::Campaigns { config, .. }
            | What::Dormant { config, .. } => config,
        };
        let mut config = load_config(file)?;
        // A name of its own: what the running server has begun is not this command's to settle.
        config.server.instance.push_str("-facts");
        let desk = open_desk(&config, ports, false).await?;
        match self.what {
            What::Import { file, .. } => {
                let text =
                    std::fs::read_to_string(&file).map_err(|error| CommandError::Unreadable {
                        path: file.clone(),
                        error,
                    })?;
                let changes = fact::read_csv(&text).map_err(|(line, what)| {
                    CommandError::Malformed(format!("{}:{line}: {what}", file.display()))
                })?;
                let count = changes.len();
                desk.record_facts(changes, "import").await?;
                Ok((counted("report-facts-recorded", count, language), true))
            }
            What::Report { days, json, .. } => {
                let endings = desk.facts_ending(now + Duration::days(days.into())).await?;
                let over = endings.iter().any(|ending| ending.until <= now);
                let lines = endings.iter().map(|ending| {
                    (
                        ending.person.to_string(),
                        ending.what.clone(),
                        Some(ending.until),
                    )
                });
                Ok((table(lines, "until", json, language), !over))
            }
            What::Recertify { role, days, .. } => {
                let due = now + Duration::days(days.into());
                let holders = desk.recertify(role, due).await?;
                Ok((counted("report-facts-held", holders, language), true))
            }
            What::Campaigns { days, json, .. } => {
                let campaigns = desk.campaigns(now - Duration::days(days.into())).await?;
                let decided = campaigns
                    .iter()
                    .all(|campaign| campaign.count(Fate::Open) == 0);
                let text = match json {
                    true => format!("{}\n", json!(campaigns)),
                    false => campaigns
                        .iter()
                        .map(|one| in_lines(one, language))
                        .collect(),
                };
                Ok((text, decided))
            }
            What::Dormant { days, json, .. } => {
                let dormant = desk.dormant(now - Duration::days(days.into())).await?;
                let none = dormant.is_empty();
                let lines = dormant
                    .into_iter()
                    .map(|(person, what, last)| (person.to_string(), what, last));
                Ok((table(lines, "last", json, language), none))
            }
        }
    }
}

fn counted(name: &str, count: usize, language: Language) -> String {
    let mut told = language.text_with(name, &[("count", count.into())]);
    told.push('\n');
    told
}

/// A campaign with a line for each person.
fn in_lines(campaign: &Campaign, language: Language) -> String {
    let day = |at: OffsetDateTime| sceau_locale::day(language, at.date());
    let state = language.text_with(
        "report-campaign",
        &[
            ("opened", day(campaign.opened_at).into()),
            ("due", day(campaign.due).into()),
            ("kept", campaign.count(Fate::Kept).into()),
            ("withdrawn", campaign.count(Fate::Withdrawn).into()),
            ("lapsed", campaign.count(Fate::Lapsed).into()),
            ("open", campaign.count(Fate::Open).into()),
        ],
    );
    let mut out = format!("{}\t{}\t{state}\n", campaign.id, campaign.role.as_str());
    for holder in &campaign.holders {
        let by = holder.action.map_or("-".to_owned(), |id| id.to_string());
        let fate = language.text(&format!("report-fate-{}", holder.fate.as_str()));
        let _ = writeln!(out, "  {}\t{fate}\t{by}", holder.person);
    }
    out
}

fn table(
    lines: impl Iterator<Item = (String, String, Option<OffsetDateTime>)>,
    when: &str,
    as_json: bool,
    language: Language,
) -> String {
    if as_json {
        let lines: Vec<_> = lines
            .map(|(person, what, at)| {
                let at = at.and_then(|at| at.format(&Rfc3339).ok());
                json!({ "person": person, "what": what, when: at })
            })
            .collect();
        return format!("{}\n", json!(lines));
    }
    let mut out = String::new();
    for (person, what, at) in lines {
        let _ = writeln!(
            out,
            "{person}\t{what}\t{}",
            at.map_or_else(|| "-".to_owned(), |at| instant(language, at))
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn people_read_dates_and_programs_instants() {
        let line = || {
            [(
                "amartin".to_owned(),
                "training".to_owned(),
                Some(datetime!(2027-05-31 23:59:59 UTC)),
            )]
            .into_iter()
        };
        let french = table(line(), "until", false, Language::Fr);
        assert_eq!(french, "amartin\ttraining\t31 mai 2027 à 23:59 UTC\n");
        let never = [("amartin".to_owned(), "key".to_owned(), None)].into_iter();
        assert_eq!(
            table(never, "last", false, Language::Fr),
            "amartin\tkey\t-\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&table(line(), "until", true, Language::Fr)).unwrap();
        assert_eq!(
            json,
            json!([{ "person": "amartin", "what": "training", "until": "2027-05-31T23:59:59Z" }])
        );
    }
}
