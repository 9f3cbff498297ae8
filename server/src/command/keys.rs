//! `sceau-server keys report`: every enrolled key, judged now, one line each. Reads the store and the kept metadata; changes nothing.

use clap::Subcommand;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{CommandError, ConfigFile, load_cards, load_config, load_judge, open_store};
use crate::attestation::{Judge, Standing};
use crate::desk::REVIEW;
use crate::key::KeyState;
use crate::metadata;
use crate::piv::{Cards, KeptCard};
use crate::port::Ports;
use crate::store::judgement::{self, Kept};

/// Keys read from the store at one time.
const PAGE: i64 = 500;

/// Enrolled keys, and the server's own.
#[derive(Debug, clap::Args)]
pub struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Report(Report),
    Rotate(super::rotate::Rotate),
}

/// List every enrolled key with its model, anchor, standing, age and last use, judged now: FIDO2 keys by the configured policy and the kept
/// metadata, cards by `[piv]`, for which lists of revoked certificates and OCSP responders are asked.
///
/// Exit code 1: a key that counts would not be accepted now; at the next metadata list it is suspended.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server keys report --config /etc/sceau/sceau.toml\n\nColumns: person, key, state, verdict, model, AAGUID, anchor, status in metadata (of a card: why its revocation cannot be known now), age, last use, approvals of the last 90 days."
)]
struct Report {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One line.
struct Line {
    key: Kept,
    standing: Standing,
    approvals: usize,
}

impl Keys {
    /// Runs the command: what it prints, and whether every key that counts stands.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, ports: Ports) -> Result<(String, bool), CommandError> {
        let report = match self.what {
            What::Report(report) => report,
            What::Rotate(rotate) => return rotate.run(&ports),
        };
        let config = load_config(&report.config)?;
        let judge = load_judge(&config)?;
        let cards = load_cards(&config)?.map(|cards| cards.with_ports(ports.clone()));
        let now = ports.now();
        if let Some(section) = &config.metadata
            && let Some(list) = metadata::kept(section, now)?
        {
            judge.believe(list.metadata());
        }
        let store = open_store(&config, false).await?;
        let mut connection = store.reader().await?;
        let mut lines = Vec::new();
        let mut after = String::new();
        loop {
            let page = judgement::page(&mut connection, &after, false, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for key in page {
                let approvals = judgement::given(&mut connection, key.id, now - REVIEW)
                    .await?
                    .len();
                let standing = match KeptCard::read(&key.record) {
                    Some(card) => judged_card(cards.as_ref(), &card, now).await,
                    None => judged(&judge, &key, now),
                };
                lines.push(Line {
                    key,
                    standing,
                    approvals,
                });
            }
        }
        drop(connection);
        store.close().await;
        lines.sort_by(|a, b| (&a.key.person, a.key.id).cmp(&(&b.key.person, b.key.id)));
        let stands = lines
            .iter()
            .all(|line| line.key.state != KeyState::Live || line.standing.fallen.is_none());
        let text = if report.json {
            let keys: Vec<Value> = lines.iter().map(|line| line.json(now)).collect();
            let list = judge.believed();
            format!(
                "{}\n",
                json!({ "metadata_no": list.as_ref().map(|list| list.no()), "blind": judge.blind(now), "keys": keys })
            )
        } else {
            lines.iter().map(|line| line.text(now)).collect()
        };
        Ok((text, stands))
    }
}

fn judged(judge: &Judge, key: &Kept, now: OffsetDateTime) -> Standing {
    let list = judge.believed();
    judge.judge_again(&key.record, &key.roles, list.as_deref(), now)
}

async fn judged_card(cards: Option<&Cards>, card: &KeptCard, now: OffsetDateTime) -> Standing {
    match cards {
        Some(cards) => cards.judge_again(card, now).await,
        None => Standing {
            fallen: Some("cards-not-enrolled"),
            model: None,
            anchor: None,
            status: None,
        },
    }
}

/// Vendors' and people's own words, on one line: no control characters, bounded.
fn plain(text: &str) -> String {
    let shown: String = text
        .chars()
        .filter(|letter| !letter.is_control())
        .take(60)
        .collect();
    if shown.trim().is_empty() {
        "-".to_owned()
    } else {
        shown
    }
}

fn span(span: Duration) -> String {
    match (span.whole_days(), span.whole_hours(), span.whole_minutes()) {
        (days, _, _) if days > 0 => format!("{days}d"),
        (_, hours, _) if hours > 0 => format!("{hours}h"),
        (_, _, minutes) => format!("{}m", minutes.max(0)),
    }
}

impl Line {
    fn model(&self) -> String {
        let standing = &self.standing;
        let known = standing.model.as_deref().or(standing.anchor.as_deref());
        known.map_or_else(|| "-".to_owned(), plain)
    }

    fn text(&self, now: OffsetDateTime) -> String {
        let key = &self.key;
        let state = match &key.state_reason {
            Some(reason) if key.state != KeyState::Live => {
                format!("{} ({})", key.state.as_str(), plain(reason))
            }
            _ => key.state.as_str().to_owned(),
        };
        let columns = [
            key.person.to_string(),
            key.id.to_string(),
            state,
            self.standing.fallen.unwrap_or("stands").to_owned(),
            self.model(),
            key.aaguid.clone(),
            plain(self.standing.anchor.as_deref().unwrap_or_default()),
            self.standing.status.unwrap_or("-").to_owned(),
            span(now - key.created_at),
            key.used_at
                .map_or_else(|| "never".to_owned(), |used| span(now - used)),
            self.approvals.to_string(),
        ];
        format!("{}\n", columns.join("\t"))
    }

    fn json(&self, now: OffsetDateTime) -> Value {
        let key = &self.key;
        let time = |at: OffsetDateTime| at.format(&Rfc3339).ok();
        json!({
            "person": key.person, "key_id": key.id, "label": key.label, "state": key.state, "state_reason": key.state_reason,
            "kind": if KeptCard::read(&key.record).is_some() { "piv" } else { "fido2" },
            "stands": self.standing.fallen.is_none(), "reason": self.standing.fallen,
            "model": self.standing.model, "aaguid": key.aaguid, "anchor": self.standing.anchor, "status": self.standing.status,
            "enrolled_at": time(key.created_at), "age_days": (now - key.created_at).whole_days(),
            "last_used_at": key.used_at.and_then(time), "approvals_90_days": self.approvals,
        })
    }
}
