//! The log: its entries newest first, each with its proof to show and to take along, and those that somebody should look at.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sceau_locale::Language;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::markup::{Html, Mood, Section, Sheet, word};
use super::paging::{self, List};
use super::person::path;
use super::reason::reason;
use super::{Visit, markup};
use crate::desk::{DeskError, EntryProof, Noted};
use crate::stream::Severity;

const ROWS: u64 = 50;

fn entry_path(index: u64) -> String {
    format!("{}/{index}", Section::Log.path())
}

fn severity(language: Language, severity: Severity) -> Html {
    let code = severity.as_str();
    let mood = if severity.is_alert() {
        Mood::Bad
    } else {
        Mood::Plain
    };
    Html::badge(
        mood,
        word(language, &format!("console-severity-{code}"), code),
    )
}

fn value(value: &Value) -> Html {
    match value {
        Value::String(text) => Html::shown(text),
        other => Html::code(other.to_string()),
    }
}

/// What happened, in words, with the type below in small: auditors look for it.
fn what(language: Language, kind: &str) -> Html {
    let code = Html::code(kind);
    match language.known(&format!("noted-{}", kind.replace('.', "-"))) {
        Some(words) => Html::text(words).below(Html::small(code)),
        None => code,
    }
}

/// The name of something that an entry says.
fn member(language: Language, name: &str) -> Html {
    let known = language.known(&format!("noted-member-{}", name.replace('_', "-")));
    let name = known.unwrap_or_else(|| name.into());
    Html::shown(&format!("{name}{}", language.colon()))
}

/// What an entry says beside its type: whom and what it is about, and its data.
fn said(visit: &Visit, noted: &Noted) -> Html {
    let language = visit.viewer.language;
    let persons = noted.openings.iter().map(|(field, opening)| {
        let name = member(language, field);
        match opening.value.parse() {
            Ok(id) if matches!(field.as_str(), "person" | "parent" | "requester" | "by") => {
                name.then(Html::link(&path(&id), Html::shown(&opening.value)))
            }
            _ => name.then(Html::shown(&opening.value)),
        }
    });
    let data = noted.entry.data().iter().map(|(name, it)| {
        let said = match (name.as_str(), it) {
            ("reason", Value::String(code)) => {
                reason(visit.desk(), language, noted.entry.kind(), code)
            }
            ("due" | "until", Value::String(text)) => match OffsetDateTime::parse(text, &Rfc3339) {
                Ok(at) => Html::instant(language, at),
                Err(_) => value(it),
            },
            _ => value(it),
        };
        member(language, name).then(said)
    });
    let mut lines = persons.chain(data);
    let first = lines.next().unwrap_or_default();
    lines.fold(first, Html::below)
}

fn table(visit: &Visit, caption: &str, entries: &[Noted]) -> Html {
    let language = visit.viewer.language;
    let heads = [
        "console-entry",
        "console-when",
        "console-what",
        "console-severity",
        "console-says",
    ]
    .map(|name| language.text(name).into_owned());
    let rows = entries.iter().map(|noted| {
        vec![
            Html::link(
                &entry_path(noted.index),
                Html::text(noted.index.to_string()),
            ),
            Html::instant(language, noted.entry.at()),
            what(language, noted.entry.kind()),
            severity(language, noted.severity),
            said(visit, noted),
        ]
    });
    Html::table(caption, &heads, rows.collect())
}

/// `GET /console/log`
pub(super) async fn list(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let desk = visit.desk();
    let language = visit.viewer.language;
    let size = desk.log_size().await?;
    let before = list.before().unwrap_or(size).min(size);
    let entries = desk.log_before(before, ROWS).await?;
    let next = entries
        .last()
        .map(|last| last.index)
        .filter(|last| *last > 0)
        .map(|last| last.to_string());
    let about = language.text("console-log-about");
    let key = desk.log_vkey().to_string();
    let body = [
        Html::text(about).paragraph(),
        Html::list([
            (
                language.text("console-log-size").into_owned(),
                Html::text(size.to_string()),
            ),
            (
                language.text("console-log-key").into_owned(),
                Html::code(key),
            ),
        ]),
        table(visit, &Section::Log.name(language), &entries),
        paging::onward(language, Section::Log, &list, next.as_deref()),
    ];
    Ok(Sheet {
        title: Html::text(Section::Log.name(language)),
        body: body.into_iter().collect(),
    })
}

/// `GET /console/alerts`
pub(super) async fn alerts(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let desk = visit.desk();
    let language = visit.viewer.language;
    let size = desk.log_size().await?;
    let before = list.before().unwrap_or(size).min(size);
    let found = desk.alerts(before, paging::SHOWN).await?;
    let entries = if found.entries.is_empty() {
        Html::text(language.text("console-no-alerts")).paragraph()
    } else {
        table(visit, &Section::Alerts.name(language), &found.entries)
    };
    let next = found.further.map(|further| further.to_string());
    let looked = before - found.further.unwrap_or(0);
    let body = [
        Html::text(language.text("console-alerts-about")).paragraph(),
        Html::text(markup::counted(language, "console-looked-through", looked)).paragraph(),
        entries,
        paging::onward(language, Section::Alerts, &list, next.as_deref()),
    ];
    Ok(Sheet {
        title: Html::text(Section::Alerts.name(language)),
        body: body.into_iter().collect(),
    })
}

async fn found(visit: &Visit, index: &str) -> Result<(Noted, EntryProof), DeskError> {
    let index = index.parse().map_err(|_| DeskError::NotFound)?;
    let found = visit.desk().entry_proof(index).await?;
    found.ok_or(DeskError::NotFound)
}

/// `GET /console/log/{index}`
pub(super) async fn entry(visit: &Visit, index: &str) -> Result<Sheet, DeskError> {
    let language = visit.viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let (noted, proof) = found(visit, index).await?;
    let here = entry_path(noted.index);
    let logged = proof.log.entries.first();
    let hashes: Vec<String> = logged
        .map(|logged| {
            logged
                .inclusion
                .iter()
                .map(|hash| hex::encode(hash.0))
                .collect()
        })
        .unwrap_or_default();
    let body = String::from_utf8_lossy(&noted.body).into_owned();
    let take = [
        Html::link(
            &format!("{here}/proof.json"),
            Html::text(say("console-take-proof")),
        ),
        Html::link(
            &format!("{here}/checkpoint.txt"),
            Html::text(say("console-take-checkpoint")),
        ),
    ];
    let [proof_file, checkpoint_file] = take;
    let command = format!(
        "sceau-verify report entry-{}.json --log-key '{}'",
        noted.index,
        visit.desk().log_vkey()
    );
    let action = noted.entry.subject_id("action").map(|id| {
        (
            say("console-action"),
            Html::link(&format!("/actions/{id}"), Html::code(id)),
        )
    });
    let about = [
        (
            say("console-when"),
            Html::instant(language, noted.entry.at()),
        ),
        (say("console-what"), what(language, noted.entry.kind())),
        (say("console-severity"), severity(language, noted.severity)),
    ];
    let says = said(visit, &noted);
    let says = (!says.is_empty()).then(|| (say("console-says"), says));
    let pieces = [
        Html::list(about.into_iter().chain(says).chain(action)),
        Html::heading(say("console-proof")),
        Html::text(say("console-proof-about")).paragraph(),
        proof_file.paragraph(),
        checkpoint_file.paragraph(),
        Html::verbatim(&command),
        Html::text(say("console-proof-key")).paragraph(),
        Html::heading(say("console-checkpoint")),
        Html::verbatim(&proof.log.checkpoint),
        Html::fold(say("console-inclusion"), Html::verbatim(&hashes.join("\n"))),
        Html::fold(say("console-exact-entry"), Html::verbatim(&body)),
    ];
    let number = noted.index.to_string();
    Ok(Sheet {
        title: Html::text(say("console-entry")).then(Html::text(number)),
        body: pieces.into_iter().collect(),
    })
}

/// `GET /console/log/{index}/proof.json`: what `sceau-verify report` reads.
pub(super) async fn proof(visit: &Visit, index: &str) -> Result<Response, DeskError> {
    let (noted, proof) = found(visit, index).await?;
    let text = serde_json::to_string_pretty(&proof)
        .map_err(|_| DeskError::Misuse("proof that does not serialise"))?;
    Ok(file(
        text,
        "application/json",
        &format!("entry-{}.json", noted.index),
    ))
}

/// `GET /console/log/{index}/checkpoint.txt`: the signed note.
pub(super) async fn checkpoint(visit: &Visit, index: &str) -> Result<Response, DeskError> {
    let (noted, proof) = found(visit, index).await?;
    Ok(file(
        proof.log.checkpoint,
        "text/plain; charset=utf-8",
        &format!("checkpoint-{}.txt", noted.index),
    ))
}

/// A file to be kept; `name` is ours.
pub(super) fn file(text: String, kind: &'static str, name: &str) -> Response {
    let mut response =
        crate::page::protect(text.into_response(), kind, "default-src 'none'; sandbox");
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
