//! `sceau-server policy test|diff|explain`: what the policy would say, what another would have said, and what it did say. Reads; changes
//! nothing.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use sceau_locale::{Language, Value, instant, span as span_of};
use sceau_proof::display;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{CommandError, ConfigFile, load_config, load_policy, open_store};
use crate::action::ActionRecord;
use crate::config::{Config, Span};
use crate::id::ActionId;
use crate::policy::{Decided, Decision, Policy, PolicyError, Reason, read, unbundle};
use crate::port::Ports;
use crate::store::{Store, action, policy};

/// Actions that are read at one time.
const PAGE: i64 = 500;

/// Test the policy, compare it with another, explain a decision.
#[derive(Debug, clap::Args)]
pub struct PolicyCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Test(Test),
    Diff(Diff),
    Explain(Explain),
}

/// Run a table of expected decisions.
///
/// Exit code 1: a case came out otherwise. docs/policy.md says how a table is written; server/policy/tests.toml is the one of the shipped set.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server policy test --policy /etc/sceau/policy /etc/sceau/policy/tests.toml"
)]
struct Test {
    #[command(flatten)]
    config: ConfigFile,
    /// Folder or file of policies, in the place of the configuration's.
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The table (TOML).
    table: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show which decisions on the stored actions of the last 30 days would have been others.
///
/// Each action is decided again from the facts that were recorded when it was asked for. OLD and NEW are folders or files of policies, `configured`
/// (those of the configuration) or, as OLD, `recorded` (what was decided then). Exit code 1: some decisions differ.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server policy diff recorded /etc/sceau/policy.new --config /etc/sceau/server.toml"
)]
struct Diff {
    #[command(flatten)]
    config: ConfigFile,
    /// Policies in force: a path, `configured` or `recorded`.
    old: PathBuf,
    /// Policies that would be: a path or `configured`.
    new: PathBuf,
    /// How far back.
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = span)]
    since: Span,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Say which policies decided about an action, from which facts.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server policy explain 019aa3c0-… --config /etc/sceau/server.toml"
)]
struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    /// The action.
    #[arg(value_parser = |text: &str| text.parse::<ActionId>().map_err(|error| error.to_string()))]
    action: ActionId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "a span of time is written 90s, 5m, 8h or 30d".to_owned())
}

impl PolicyCommand {
    /// Runs the command: what it prints, and whether the answer is yes.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(
        self,
        ports: Ports,
        language: Language,
    ) -> Result<(String, bool), CommandError> {
        match self.what {
            What::Test(test) => test.run(language),
            What::Diff(diff) => diff.run(ports.now(), language).await,
            What::Explain(explain) => explain.run(language).await,
        }
    }
}

fn load(paths: &[PathBuf]) -> Result<Policy, PolicyError> {
    let mut sources = Vec::new();
    for path in paths {
        sources.extend(read(path)?);
    }
    Policy::parse(&sources)
}

impl Test {
    fn run(self, language: Language) -> Result<(String, bool), CommandError> {
        let policy = if self.policy.is_empty() {
            load_policy(&load_config(&self.config)?)?
        } else {
            load(&self.policy)?
        };
        let table =
            std::fs::read_to_string(&self.table).map_err(|error| CommandError::Unreadable {
                path: self.table.clone(),
                error,
            })?;
        let tested = policy.test(&table).map_err(|error| CommandError::Table {
            path: self.table.clone(),
            error,
        })?;
        let passed = tested.failures.is_empty();
        if self.json {
            let shown = json!({ "cases": tested.cases, "failures": tested.failures, "untested": tested.untested });
            return Ok((format!("{shown}\n"), passed));
        }
        let mut text = String::new();
        let (expected, got) = (language.text("rule-expected"), language.text("rule-got"));
        let wide = expected.chars().count().max(got.chars().count());
        for failure in &tested.failures {
            text.push_str(&format!(
                "{}:{}: {}\n    {}: {expected:wide$} {}\n    {}  {got:wide$} {}{}\n",
                self.table.display(),
                failure.line,
                failure.case,
                failure.what,
                failure.expected,
                " ".repeat(failure.what.len().saturating_sub(1)),
                failure.got,
                by(&failure.policies, language),
            ));
        }
        let mut failed: Vec<usize> = tested.failures.iter().map(|failure| failure.line).collect();
        failed.dedup();
        let summary = [
            ("cases", tested.cases.into()),
            ("failed", failed.len().into()),
        ];
        text.push_str(&language.text_with("rule-tested", &summary));
        text.push('\n');
        if !tested.untested.is_empty() {
            let policies = tested.untested.join(", ");
            text.push_str(&language.text_with("rule-untested", &[("policies", policies.into())]));
            text.push('\n');
        }
        Ok((text, passed))
    }
}

/// Policies to compare.
enum Side {
    Recorded,
    Policy(Box<Policy>),
}

impl Side {
    fn load(path: &Path, config: &Config) -> Result<Self, CommandError> {
        match path.to_str() {
            Some("recorded") => Ok(Self::Recorded),
            Some("configured") => Ok(Self::Policy(Box::new(load_policy(config)?))),
            _ => Ok(Self::Policy(Box::new(load(&[path.to_owned()])?))),
        }
    }

    /// What it says of an action; `None` when the action has no recorded facts.
    fn decided(&self, record: &ActionRecord) -> Option<Decided> {
        let kept = record.decided.as_ref()?;
        Some(match self {
            Self::Policy(policy) => policy.decide(&kept.facts),
            Self::Recorded => Decided {
                decision: recorded(record)?,
                policies: kept.policies.clone(),
                words: None,
            },
        })
    }
}

fn recorded(record: &ActionRecord) -> Option<Decision> {
    let lifetime = record.expires_at - record.created_at;
    if let Some(denial) = &record.denial {
        return Some(Decision::Deny(Reason::of_word(&denial.reason)));
    }
    let requirement = record.requirement.clone()?;
    Some(if requirement.approvals == 0 {
        Decision::Allow(requirement, lifetime)
    } else {
        Decision::Require(requirement, lifetime)
    })
}

impl Diff {
    async fn run(
        self,
        now: OffsetDateTime,
        language: Language,
    ) -> Result<(String, bool), CommandError> {
        let config = load_config(&self.config)?;
        let (old, new) = (
            Side::load(&self.old, &config)?,
            Side::load(&self.new, &config)?,
        );
        let store = open_store(&config, false).await?;
        let (mut compared, mut unknown, mut lines, mut changes) =
            (0_u64, 0_u64, String::new(), Vec::new());
        let mut after = (now - self.since.0.max(Duration::ZERO), String::new());
        loop {
            let page = page(&store, &after).await?;
            let Some(last) = page.last() else { break };
            after = (last.created_at, last.id.to_string());
            for record in &page {
                let (Some(before), Some(then)) = (old.decided(record), new.decided(record)) else {
                    unknown += 1;
                    continue;
                };
                compared += 1;
                // The policies' names alone are no other decision.
                if before.to_string() == then.to_string() {
                    continue;
                }
                lines.push_str(&differing(record, &before, &then, language));
                changes.push(json!({
                    "action": record.id, "type": record.kind, "service": record.service, "requester": record.requester,
                    "old": before.to_string(), "old_policies": before.policies, "new": then.to_string(), "new_policies": then.policies,
                }));
            }
        }
        store.close().await;
        let same = changes.is_empty();
        if self.json {
            let shown =
                json!({ "compared": compared, "without_facts": unknown, "changes": changes });
            return Ok((format!("{shown}\n"), same));
        }
        let values = [
            ("count", compared.into()),
            ("time", span_of(language, self.since.0).into()),
            ("changed", changes.len().into()),
        ];
        lines.push_str(&language.text_with("rule-compared-all", &values));
        if unknown > 0 {
            let values = [("count", unknown.into())];
            lines.push(' ');
            lines.push_str(&language.text_with("rule-compared-unknown", &values));
        }
        lines.push('\n');
        Ok((lines, same))
    }
}

/// Which policies decided, where one did.
fn by(policies: &[String], language: Language) -> String {
    if policies.is_empty() {
        return String::new();
    }
    let policies = [("policies", policies.join(", ").into())];
    format!("   {}", language.text_with("rule-decided-by", &policies))
}

/// An action that would have been decided otherwise.
fn differing(
    record: &ActionRecord,
    before: &Decided,
    then: &Decided,
    language: Language,
) -> String {
    let compared = [
        ("action", record.id.to_string().into()),
        ("at", instant(language, record.created_at).into()),
        ("kind", record.kind.as_str().into()),
        ("service", record.service.as_str().into()),
        ("person", record.requester.as_str().into()),
    ];
    let mut text = language.text_with("rule-compared", &compared);
    text.push('\n');
    for (name, decided) in [("rule-old", before), ("rule-new", then)] {
        let decision = [("decision", decided.in_words(language).into())];
        let told = language.text_with(name, &decision);
        text.push_str(&format!("    {told}{}\n", by(&decided.policies, language)));
    }
    text
}

async fn page(
    store: &Store,
    after: &(OffsetDateTime, String),
) -> Result<Vec<ActionRecord>, CommandError> {
    let mut connection = store.reader().await?;
    Ok(action::page(&mut connection, after.0, &after.1, PAGE).await?)
}

impl Explain {
    async fn run(self, language: Language) -> Result<(String, bool), CommandError> {
        let config = load_config(&self.config)?;
        let store = open_store(&config, false).await?;
        let mut connection = store.reader().await?;
        let found = action::load(&mut connection, self.action).await?;
        let text = policy::of_action(&mut connection, self.action).await?;
        drop(connection);
        store.close().await;
        let Some((record, _)) = found else {
            let unknown = [("action", self.action.to_string().into())];
            let unknown = language.text_with("rule-explained-unknown", &unknown);
            return Ok((format!("{unknown}\n"), false));
        };
        // The policy that decided then, not the one in force now.
        let then = text.and_then(|text| Policy::parse(&unbundle(&text)).ok());
        let policies: Vec<(String, String)> = record
            .decided
            .iter()
            .flat_map(|it| it.policies.clone())
            .map(|id| {
                let says = then.as_ref().and_then(|policy| policy.says(&id, language));
                let unkept = || language.text("rule-explained-unkept").into_owned();
                (id, says.unwrap_or_else(unkept))
            })
            .collect();
        if self.json {
            let shown = json!({
                "action": record.id, "type": record.kind, "service": record.service, "state": record.state,
                "decision": record.decision(),
                "policies": policies.iter().map(|(id, says)| json!({ "policy": id, "says": says })).collect::<Vec<_>>(),
                "words": record.decided.as_ref().and_then(|it| it.words.clone()),
                "facts": record.decided.as_ref().map(|it| &it.facts),
            });
            return Ok((format!("{shown}\n"), true));
        }
        Ok((explained(&record, &policies, language), true))
    }
}

/// What was decided, by which policies (name, and what it says), from which facts.
fn explained(record: &ActionRecord, policies: &[(String, String)], language: Language) -> String {
    let head = [
        ("action", Value::from(record.kind.as_str())),
        ("service", record.service.as_str().into()),
        ("person", record.requester.as_str().into()),
        ("state", record.state.as_str().into()),
    ];
    let mut lines = vec![language.text_with("rule-explained", &head)];
    lines.extend(recorded(record).map(|decision| {
        let decided = Decided {
            decision,
            policies: Vec::new(),
            words: None,
        };
        decided.in_words(language)
    }));
    if policies.is_empty() {
        lines.push(language.text("rule-explained-none").into_owned());
    }
    for (id, says) in policies {
        let values = [
            ("policy", Value::from(id.as_str())),
            ("says", says.as_str().into()),
        ];
        lines.push(language.text_with("rule-explained-by", &values));
    }
    if let Some(decided) = &record.decided {
        let words = decided.words.as_ref();
        lines.extend(words.and_then(|it| it.in_language(language)).map(|words| {
            let words = display::show(words, display::LIMIT).text;
            language.text_with("rule-explained-words", &[("words", words.into())])
        }));
        lines.push(language.text("rule-explained-facts").into_owned());
        let facts = serde_json::to_value(&decided.facts).unwrap_or_default();
        for (name, value) in facts.as_object().into_iter().flatten() {
            lines.push(format!("    {name}: {value}"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
