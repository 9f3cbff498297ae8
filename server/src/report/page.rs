//! The report as one page that prints: in the order of CNIL's notification (what happened, whom it concerns, what was done), nothing loaded from
//! elsewhere. Everything from the store is escaped; the only markup is ours.

use std::fmt::Write as _;

use serde_json::Value;

use super::Incident;

pub use sceau_locale::Language;

const STYLE: &str = "body{font:11pt/1.5 Marianne,'Liberation Sans',Arial,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#161616}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #929292}table{border-collapse:collapse;width:100%;font-size:.85em}\
th,td{border:1px solid #cecece;padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#f6f6f6}\
code,pre{font-family:'Liberation Mono',monospace;font-size:.9em;overflow-wrap:anywhere;white-space:pre-wrap}.fill{border:1px dashed #929292;padding:.5rem;min-height:3rem}\
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}";

/// HTML text, also in attributes. Directional and control characters are shown as what they are.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            hidden if hidden.is_control() || is_directional(hidden) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(hidden));
            }
            plain => out.push(plain),
        }
    }
    out
}

fn is_directional(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => escape(text),
        other => escape(&other.to_string()),
    }
}

struct Table<'p> {
    page: &'p mut String,
}

impl<'p> Table<'p> {
    fn new(page: &'p mut String, heads: &[String]) -> Self {
        page.push_str("<table><thead><tr>");
        for head in heads {
            let _ = write!(page, "<th scope=\"col\">{head}</th>");
        }
        page.push_str("</tr></thead><tbody>\n");
        Self { page }
    }

    fn row(&mut self, cells: &[String]) {
        self.page.push_str("<tr>");
        for cell in cells {
            let _ = write!(self.page, "<td>{cell}</td>");
        }
        self.page.push_str("</tr>\n");
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        self.page.push_str("</tbody></table>\n");
    }
}

/// The page.
#[must_use]
pub fn page(incident: &Incident, language: Language) -> String {
    let say = |name: &str| escape(&language.text(name));
    let name = incident
        .accounts
        .first()
        .map_or("", |account| &account.display);
    let title = say("report-title");
    let covers = language.text_with(
        "report-covers",
        &[
            ("house", incident.house.as_str().into()),
            ("since", incident.since.as_str().into()),
            ("until", incident.until.as_str().into()),
            ("made", incident.generated_at.as_str().into()),
        ],
    );
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}: {}</title><style>{STYLE}</style></head><body>\n<h1>{title}: {} ({})</h1>\n<p>{}</p>\n",
        language.code(),
        escape(name),
        escape(name),
        escape(&incident.person),
        escape(&covers),
    );
    summary(&mut page, incident, language);
    accounts(&mut page, incident, language);
    actions(&mut page, incident, language);
    approvals(&mut page, incident, language);
    timeline(&mut page, incident, language);
    proofs(&mut page, incident, language);
    page.push_str("</body></html>\n");
    page
}

fn heading(page: &mut String, text: &str) {
    let _ = writeln!(page, "<h2>{text}</h2>");
}

fn summary(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    heading(page, &say("report-heading-nature"));
    let done = incident
        .actions
        .iter()
        .filter(|action| action["is_done"] == true)
        .count();
    let records: u64 = incident.records_read.values().sum();
    let mut table = Table::new(page, &[say("report-finding"), say("report-number")]);
    for (what, count) in [
        (
            say("report-accounts-concerned"),
            incident.accounts.len() as u64,
        ),
        (
            say("report-actions-asked-for"),
            incident.actions.len() as u64,
        ),
        (say("report-of-which-done"), done as u64),
        (
            say("report-approvals-given-to-others"),
            incident.approvals.len() as u64,
        ),
        (say("report-records-read"), records),
        (
            say("report-suspensions-and-revocations"),
            incident.suspensions.len() as u64,
        ),
        (say("report-alerts"), incident.alerts.len() as u64),
    ] {
        table.row(&[what, count.to_string()]);
    }
    drop(table);
    for text in [say("report-fill-categories"), say("report-fill-measures")] {
        let _ = writeln!(
            page,
            "<p>{text}</p><div class=\"fill\" contenteditable=\"true\"></div>"
        );
    }
}

fn accounts(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    heading(page, &say("report-heading-accounts"));
    let heads = [
        say("report-account"),
        say("report-name"),
        say("report-state"),
        say("report-made-by"),
        say("report-account-made-on"),
        say("report-keys"),
    ];
    let mut table = Table::new(page, &heads);
    for account in &incident.accounts {
        let keys: Vec<String> = account
            .keys
            .iter()
            .map(|key| {
                format!(
                    "{} {} {} {}",
                    cell(&key["kind"]),
                    cell(&key["id"]),
                    cell(&key["state"]),
                    cell(&key["reason"])
                )
            })
            .collect();
        table.row(&[
            escape(&account.id),
            escape(&account.display),
            escape(&account.state),
            account
                .parent
                .as_deref()
                .map_or_else(|| "–".to_owned(), escape),
            escape(&account.created_at),
            keys.join("<br>"),
        ]);
    }
}

fn actions(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    heading(page, &say("report-heading-actions"));
    let heads = [
        say("report-when"),
        say("report-by"),
        say("report-action"),
        say("report-on"),
        say("report-state"),
        say("report-approved-by"),
    ];
    let mut table = Table::new(page, &heads);
    for action in &incident.actions {
        let approvers: Vec<String> = action["approvals"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|approval| format!("{} ({})", cell(&approval["person"]), cell(&approval["at"])))
            .collect();
        table.row(&[
            cell(&action["asked_at"]),
            cell(&action["requester"]),
            format!(
                "{}<br><code>{}</code>",
                cell(&action["type"]),
                cell(&action["id"])
            ),
            cell(&action["target"]["display"]),
            format!("{} {}", cell(&action["state"]), cell(&action["reason"])),
            approvers.join("<br>"),
        ]);
    }
}

fn approvals(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    if incident.approvals.is_empty() {
        return;
    }
    heading(page, &say("report-heading-approvals"));
    let heads = [
        say("report-when"),
        say("report-by"),
        say("report-action"),
        say("report-asked-for-by"),
        say("report-state"),
    ];
    let mut table = Table::new(page, &heads);
    for approval in &incident.approvals {
        table.row(&[
            cell(&approval["at"]),
            cell(&approval["person"]),
            format!(
                "{}<br><code>{}</code>",
                cell(&approval["type"]),
                cell(&approval["action"])
            ),
            cell(&approval["requester"]),
            cell(&approval["state"]),
        ]);
    }
}

fn timeline(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    heading(page, &say("report-heading-timeline"));
    let heads = [
        say("report-when"),
        "#".to_owned(),
        say("report-entry"),
        say("report-who"),
        say("report-data"),
    ];
    let mut table = Table::new(page, &heads);
    for moment in &incident.timeline {
        let who: Vec<String> = moment.persons.values().map(|value| escape(value)).collect();
        let data = Value::Object(moment.data.clone());
        table.row(&[
            escape(&moment.at),
            moment.index.to_string(),
            escape(&moment.kind),
            who.join(", "),
            if moment.data.is_empty() {
                String::new()
            } else {
                cell(&data)
            },
        ]);
    }
}

fn proofs(page: &mut String, incident: &Incident, language: Language) {
    let say = |name: &str| escape(&language.text(name));
    heading(page, &say("report-heading-proofs"));
    let _ = writeln!(
        page,
        "<p>{}</p>\n<pre>sceau-verify report incident.json --log-key log.vkey</pre>\n<pre>{}</pre>",
        say("report-proofs"),
        escape(&incident.log.checkpoint)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_store_is_markup() {
        assert_eq!(
            escape("<script>\"&'\u{202e}\n"),
            "&lt;script&gt;&quot;&amp;&#39;\\u{202e}\\u{a}"
        );
    }
}
