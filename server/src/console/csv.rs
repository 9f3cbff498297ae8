//! Lists as files (RFC 4180), each noted in the log before it is given: who took what, and how much of it.
//!
//! A cell that a spreadsheet would run as a formula begins with an apostrophe; every cell is quoted, and control characters are written out.

use std::collections::BTreeMap;

use axum::response::Response;
use sceau_proof::action::Action;
use sceau_proof::display;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Visit;
use super::log::file;
use super::markup::Section;
use super::paging::List;
use crate::desk::DeskError;
use crate::store::console::Wanted;

/// The most rows of one file.
const MOST: usize = 20_000;
/// Rows that are read at once.
const READ: i64 = 500;

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let text = display::show(text, 4_096).text;
    // Also behind spaces, and the wide forms that some spreadsheets fold.
    let first = text.trim_start().chars().next();
    let runs = first.is_some_and(|first| "=+-@|%＝＋－＠".contains(first));
    let guard = if runs { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn line(cells: &[String]) -> String {
    let mut line = cells
        .iter()
        .map(|text| cell(text))
        .collect::<Vec<_>>()
        .join(",");
    line.push_str("\r\n");
    line
}

fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// Rows of a list as cells, with what the list goes on after.
type Read = (Vec<Vec<String>>, Option<String>);

/// `POST /console/{section}/export`
pub(super) async fn export(
    visit: &Visit,
    section: Section,
    list: &List,
) -> Result<Response, DeskError> {
    let (name, heads): (&str, &[&str]) = match section {
        Section::Persons => (
            "persons",
            &[
                "id",
                "name",
                "state",
                "roles",
                "live_keys",
                "enrolled_by",
                "since",
            ],
        ),
        Section::Keys => (
            "keys",
            &[
                "id",
                "person",
                "name",
                "kind",
                "model",
                "certification",
                "label",
                "state",
                "reason",
                "enrolled",
                "last_use",
            ],
        ),
        Section::Enrolments => (
            "enrolments",
            &[
                "id",
                "person",
                "name",
                "state",
                "requested_by",
                "since",
                "until",
            ],
        ),
        Section::Actions => (
            "actions",
            &[
                "id",
                "type",
                "service",
                "requester",
                "target",
                "state",
                "reason",
                "since",
                "until",
            ],
        ),
        _ => return Err(DeskError::NotFound),
    };
    let mut wanted = list.wanted(&visit.viewer);
    wanted.after = String::new();
    if section == Section::Actions && wanted.state == "any" {
        wanted.state = String::new();
    }
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    // A mark that says UTF-8 to spreadsheets.
    let mut text = format!("\u{feff}{}", line(&heads));
    let mut rows = 0;
    let mut cut = false;
    loop {
        let (read, next) = read(visit, section, &wanted).await?;
        for cells in &read {
            if rows == MOST {
                cut = true;
                break;
            }
            text.push_str(&line(cells));
            rows += 1;
        }
        match next {
            Some(next) if !cut => wanted.after = next,
            _ => break,
        }
    }
    let data: BTreeMap<&str, Value> = [
        ("list", json!(name)),
        ("rows", json!(rows)),
        ("whole", json!(!cut)),
        ("searched", json!(!wanted.words.is_empty())),
    ]
    .into();
    let data: Map<String, Value> = data
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    // No file without its entry.
    let who = visit.viewer.person.id.clone();
    visit
        .desk()
        .note("console.exported", Some(who), data)
        .await?;
    Ok(file(
        text,
        "text/csv; charset=utf-8; header=present",
        &format!("{name}.csv"),
    ))
}

async fn read(visit: &Visit, section: Section, wanted: &Wanted) -> Result<Read, DeskError> {
    let desk = visit.desk();
    let full = usize::try_from(READ).unwrap_or(usize::MAX);
    let (cells, names): (Vec<Vec<String>>, Vec<String>) = match section {
        Section::Persons => desk
            .list_persons(wanted, READ)
            .await?
            .into_iter()
            .map(|row| {
                let roles: Vec<String> = row
                    .roles
                    .iter()
                    .map(|(role, until)| match until {
                        Some(until) => format!("{role} until {}", instant(*until)),
                        None => role.to_string(),
                    })
                    .collect();
                let cells = vec![
                    row.id.to_string(),
                    row.display,
                    row.state.as_str().to_owned(),
                    roles.join("; "),
                    row.keys.to_string(),
                    row.parent.map(|id| id.to_string()).unwrap_or_default(),
                    instant(row.created_at),
                ];
                (cells, row.id.to_string())
            })
            .unzip(),
        Section::Keys => desk
            .list_keys(wanted, READ)
            .await?
            .into_iter()
            .map(|row| {
                let model = desk.model(&row.aaguid);
                let (model, certification) = match model {
                    Some(model) => (model.name, model.standing.reason().to_owned()),
                    None => (row.aaguid.clone(), String::new()),
                };
                let kind = json!(row.kind).as_str().unwrap_or_default().to_owned();
                let cells = vec![
                    row.id.to_string(),
                    row.person.to_string(),
                    row.display,
                    kind,
                    model,
                    certification,
                    row.label,
                    row.state.as_str().to_owned(),
                    row.reason.unwrap_or_default(),
                    instant(row.created_at),
                    row.used_at.map(instant).unwrap_or_default(),
                ];
                (cells, row.id.to_string())
            })
            .unzip(),
        Section::Enrolments => desk
            .list_invitations(wanted, READ)
            .await?
            .into_iter()
            .map(|row| {
                let asked = row.asked.map(|(_, requester)| requester.to_string());
                let cells = vec![
                    row.id.to_string(),
                    row.person.to_string(),
                    row.display,
                    row.state.to_owned(),
                    asked.unwrap_or_default(),
                    instant(row.created_at),
                    instant(row.expires_at),
                ];
                (cells, row.id.to_string())
            })
            .unzip(),
        _ => desk
            .list_actions(wanted, READ)
            .await?
            .into_iter()
            .map(|record| {
                let target = Action::parse(record.document.as_bytes())
                    .map(|action| action.target().display.clone())
                    .unwrap_or_default();
                let ended = record.refusal.as_ref().or(record.denial.as_ref());
                let cells = vec![
                    record.id.to_string(),
                    record.kind.clone(),
                    record.service.to_string(),
                    record.requester.to_string(),
                    target,
                    record.state.as_str().to_owned(),
                    ended.map(|ended| ended.reason.clone()).unwrap_or_default(),
                    instant(record.created_at),
                    instant(record.expires_at),
                ];
                (cells, record.id.to_string())
            })
            .unzip(),
    };
    let next = if cells.len() == full {
        names.into_iter().next_back()
    } else {
        None
    };
    Ok((cells, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, written) in [
            ("Alice", "\"Alice\""),
            ("=1+1", "\"'=1+1\""),
            ("  =cmd|' /C calc'!A0", "\"'  =cmd|' /C calc'!A0\""),
            ("+33 1", "\"'+33 1\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("＝1", "\"'＝1\""),
            ("a \"quoted\", b", "\"a \"\"quoted\"\", b\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
        assert!(cell("\t=1").starts_with("\"\\t") || cell("\t=1").starts_with("\"'"));
    }
}
