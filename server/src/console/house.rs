//! The house's own state: the policy in force, the metadata list, the budgets for reading, and recertification campaigns.

use sceau_locale::{Language, Value};
use time::OffsetDateTime;

use super::markup::{Button, Field, Html, Mood, Section, Sheet, counted, word};
use super::paging::{self, List};
use super::person::{more, named, path};
use super::{Viewer, Visit};
use crate::desk::{DeskError, MetadataStanding, Reader, Since};
use crate::fact::{Campaign, Fate, Holder};
use crate::id::ServiceId;
use crate::reading::Budget;
use crate::store::console::ReaderRow;

/// How long campaigns are shown after they were opened.
const CAMPAIGNS: time::Duration = time::Duration::days(400);
/// The most holders of one campaign that a page shows.
const HOLDERS: usize = 40;

/// `GET /console/policy`
pub(super) async fn policy(visit: &Visit) -> Result<Sheet, DeskError> {
    let desk = visit.desk();
    let language = visit.viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let (text, sha256, says) = desk.policy_in_force(language);
    let since = desk.policy_since().await?;
    let about = [
        ("SHA-256".to_owned(), Html::code(hex::encode(sha256))),
        (
            say("console-policy-since"),
            in_force_since(language, &since),
        ),
        (
            say("console-policy-count"),
            Html::text(says.len().to_string()),
        ),
    ];
    let heads = [
        "console-policy-name",
        "console-policy-says",
        "console-policy-file",
    ]
    .map(say);
    let rows = says.iter().map(|policy| {
        vec![
            Html::code(&policy.policy),
            Html::shown(&policy.says),
            Html::code(format!("{}:{}", file_name(&policy.file), policy.line)),
        ]
    });
    let body = [
        Html::text(say("console-policy-about")).paragraph(),
        Html::list(about),
        Html::table(&Section::Policy.name(language), &heads, rows.collect()),
        Html::fold(say("console-policy-text"), Html::verbatim(text)),
    ];
    Ok(Sheet {
        title: Html::text(Section::Policy.name(language)),
        body: body.into_iter().collect(),
    })
}

/// A file's name, without where the server keeps it.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn in_force_since(language: Language, since: &Since) -> Html {
    let Some(start) = &since.start else {
        return Html::text(language.text("console-policy-long-ago"));
    };
    let instance = start.entry.data().get("instance");
    let instance = instance
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let by = Html::text(language.text("console-policy-by")).then(Html::shown(instance));
    let entry = Html::link(
        &format!("{}/{}", Section::Log.path(), start.index),
        Html::text(language.text_with(
            "console-entry-number",
            &[("number", Value::from(start.index.to_string()))],
        )),
    );
    let told = Html::instant(language, start.entry.at())
        .below(by)
        .below(entry);
    if since.longer {
        told.below(Html::text(language.text("console-policy-or-longer")))
    } else {
        told
    }
}

/// `GET /console/metadata`
pub(super) async fn metadata(visit: &Visit) -> Result<Sheet, DeskError> {
    let language = visit.viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let standing = visit.desk().metadata_standing().await?;
    let body = [
        match standing.blind {
            Some(code) => {
                Html::text(word(language, &format!("console-blind-{code}"), code)).warning()
            }
            None => Html::default(),
        },
        Html::text(say("console-metadata-about")).paragraph(),
        list(language, &standing),
    ];
    Ok(Sheet {
        title: Html::text(Section::Metadata.name(language)),
        body: body.into_iter().collect(),
    })
}

fn list(language: Language, standing: &MetadataStanding) -> Html {
    let say = |name: &str| language.text(name).into_owned();
    let Some(grace) = standing.grace else {
        return Html::text(say("console-metadata-none")).paragraph();
    };
    let mut rows = Vec::new();
    match &standing.seen {
        None => rows.push((
            say("console-metadata-number"),
            Html::text(say("console-metadata-never")),
        )),
        Some(seen) => {
            rows.push((
                say("console-metadata-number"),
                Html::text(seen.no.to_string()),
            ));
            rows.push((
                say("console-metadata-believed"),
                Html::instant(language, seen.at),
            ));
            rows.push((say("console-metadata-next"), Html::shown(&seen.next_update)));
            rows.push((
                "SHA-256".to_owned(),
                Html::code(hex::encode(seen.payload_sha256)),
            ));
        }
    }
    let days = u64::try_from(grace.whole_days()).unwrap_or(0);
    rows.push((
        say("console-metadata-grace"),
        Html::text(counted(language, "console-days", days)),
    ));
    rows.push((
        say("console-metadata-models"),
        Html::text(standing.models.to_string()),
    ));
    Html::list(rows)
}

/// `GET /console/budgets`: of one service, where the query names it; else of the first.
pub(super) async fn budgets(visit: &Visit, asked: &List) -> Result<Sheet, DeskError> {
    let language = visit.viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let title = Html::text(Section::Budgets.name(language));
    let about = Html::text(say("console-budgets-about")).paragraph();
    let all = visit.budgets();
    let wanted = asked.wanted(&visit.viewer);
    let chosen = all
        .iter()
        .find(|(service, _)| service.as_str() == wanted.state)
        .or(all.first());
    let Some((service, budget)) = chosen else {
        let none = Html::text(say("console-budgets-none")).paragraph();
        return Ok(Sheet {
            title,
            body: [about, none].into_iter().collect(),
        });
    };
    let services = all
        .iter()
        .map(|(service, _)| (service.to_string(), service.to_string()));
    let choice = Html::select(
        &Field::text("state", say("console-service"), service.as_str()),
        services,
    );
    let since = visit.desk().now() - budget.window;
    let rows = visit
        .desk()
        .list_readers(service, since, &wanted.after, paging::FETCHED)
        .await?;
    let (rows, next) = paging::page(rows, |row| row.person.to_string());
    let mut cells = Vec::with_capacity(rows.len());
    for row in &rows {
        cells.push(reader(visit, service, budget, row).await?);
    }
    let heads = [
        "console-person",
        "console-read",
        "console-left",
        "console-touched",
        "console-last-read",
    ]
    .map(say);
    let table = if cells.is_empty() {
        Html::text(say("console-nobody-read")).paragraph()
    } else {
        Html::table(&Section::Budgets.name(language), &heads, cells)
    };
    let body = [
        about,
        Html::search(Section::Budgets.path(), choice, say("console-show")),
        limits(language, budget),
        table,
        paging::onward(language, Section::Budgets, asked, next.as_deref()),
    ];
    Ok(Sheet {
        title,
        body: body.into_iter().collect(),
    })
}

fn limits(language: Language, budget: &Budget) -> Html {
    let say = |name: &str| language.text(name).into_owned();
    let minutes = u64::try_from(budget.window.whole_minutes()).unwrap_or(0);
    let mut rows = vec![
        (
            say("console-each-touch"),
            Html::text(counted(language, "console-records", budget.records)),
        ),
        (
            say("console-lasts"),
            Html::text(counted(language, "console-minutes", minutes)),
        ),
        (say("console-opened-by"), Html::code(&budget.action)),
    ];
    rows.extend(budget.roles.iter().map(|(role, records)| {
        let words = counted(language, "console-records", *records);
        (role.to_string(), Html::text(words))
    }));
    Html::list(rows)
}

async fn reader(
    visit: &Visit,
    service: &ServiceId,
    budget: &Budget,
    row: &ReaderRow,
) -> Result<Vec<Html>, DeskError> {
    let language = visit.viewer.language;
    let say = |name: &str| Html::text(language.text(name));
    let standing = match row.session {
        None => None,
        Some(session) => {
            let reader = Reader {
                service: service.clone(),
                person: row.person.clone(),
                session,
                budget: budget.clone(),
            };
            Some(visit.desk().reading(&reader).await?)
        }
    };
    let now = visit.desk().now();
    let touched = standing
        .and_then(|standing| standing.touched_at)
        .filter(|at| now < *at + budget.window);
    let left = match (standing, touched) {
        (Some(standing), Some(_)) => {
            let left = standing.limit.saturating_sub(standing.used);
            let mood = if left == 0 { Mood::Bad } else { Mood::Plain };
            Html::badge(mood, counted(language, "console-records", left))
        }
        _ => say("console-needs-touch"),
    };
    Ok(vec![
        named(&row.person, &row.display),
        Html::text(counted(language, "console-records", row.records)),
        left,
        touched.map_or_else(Html::default, |at: OffsetDateTime| {
            Html::instant(language, at)
        }),
        Html::instant(language, row.last_at),
    ])
}

/// `GET /console/campaigns`
pub(super) async fn campaigns(visit: &Visit) -> Result<Sheet, DeskError> {
    let desk = visit.desk();
    let language = visit.viewer.language;
    let campaigns = desk.campaigns(desk.now() - CAMPAIGNS).await?;
    let about = Html::text(language.text("console-campaigns-about")).paragraph();
    let none = if campaigns.is_empty() {
        Html::text(language.text("console-campaigns-none")).paragraph()
    } else {
        Html::default()
    };
    let drawn = campaigns
        .iter()
        .rev()
        .map(|campaign| campaign_of(&visit.viewer, campaign));
    Ok(Sheet {
        title: Html::text(Section::Campaigns.name(language)),
        body: [about, none].into_iter().chain(drawn).collect(),
    })
}

fn campaign_of(viewer: &Viewer, campaign: &Campaign) -> Html {
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let fates = [Fate::Open, Fate::Kept, Fate::Withdrawn, Fate::Lapsed].map(|fate| {
        let code = fate.as_str();
        let count = u64::try_from(campaign.count(fate)).unwrap_or(0);
        (
            word(language, &format!("console-fate-{code}"), code),
            Html::text(count.to_string()),
        )
    });
    let times = [
        (
            say("console-opened"),
            Html::instant(language, campaign.opened_at),
        ),
        (say("console-due"), Html::instant(language, campaign.due)),
    ];
    let heads = ["console-person", "console-state", "console-change"].map(say);
    // Those who wait for an answer come first.
    let (open, settled): (Vec<_>, Vec<_>) = campaign
        .holders
        .iter()
        .partition(|holder| holder.fate == Fate::Open);
    let rows = open.into_iter().chain(settled).take(HOLDERS);
    let rows = rows.map(|holder| holder_row(viewer, campaign, holder));
    let total = u64::try_from(campaign.holders.len()).unwrap_or(u64::MAX);
    let caption = language.text_with(
        "console-campaign",
        &[("role", Value::from(campaign.role.to_string()))],
    );
    [
        Html::heading(&caption),
        Html::list(times.into_iter().chain(fates)),
        Html::table(&caption, &heads, rows.collect()),
        more(language, total, HOLDERS),
    ]
    .into_iter()
    .collect()
}

fn holder_row(viewer: &Viewer, campaign: &Campaign, holder: &Holder) -> Vec<Html> {
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let code = holder.fate.as_str();
    let mood = match holder.fate {
        Fate::Open => Mood::Plain,
        Fate::Kept => Mood::Good,
        Fate::Withdrawn | Fate::Lapsed => Mood::Bad,
    };
    let change = if holder.fate == Fate::Open && campaign.closed_at.is_none() {
        let deed = format!("{}/facts", path(&holder.person));
        let role = format!("role:{}", campaign.role);
        let id = format!("until-{}-{}", campaign.id, holder.person);
        let day = Field {
            id: &id,
            kind: "date",
            required: true,
            ..Field::text("until", say("console-keep-until"), "")
        };
        let about = holder.person.as_str();
        let keep = [Html::hidden("fact", &role), Html::input(&day)];
        let withdraw = [Html::hidden("fact", &role), Html::hidden("withdraw", "yes")];
        Html::deed(
            viewer,
            &deed,
            keep.into_iter().collect(),
            &Button::plain(say("console-keep")).about(about),
        )
        .then(Html::deed(
            viewer,
            &deed,
            withdraw.into_iter().collect(),
            &Button::plain(say("console-withdraw")).about(about),
        ))
    } else {
        holder
            .at
            .map_or_else(Html::default, |at| Html::instant(language, at))
    };
    vec![
        Html::link(&path(&holder.person), Html::code(holder.person.as_str())),
        Html::badge(mood, word(language, &format!("console-fate-{code}"), code)),
        change,
    ]
}
