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
    fn new(page: &'p mut String, heads: &[&str]) -> Self {
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
    let pick = |fr, en| language.pick(fr, en);
    let name = incident
        .accounts
        .first()
        .map_or("", |account| &account.display);
    let title = pick("Rapport d’incident", "Incident report");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}: {}</title><style>{STYLE}</style></head><body>\n<h1>{title}: {} ({})</h1>\n<p>{}, {} {} {} {}. {} {}.</p>\n",
        pick("fr", "en"),
        escape(name),
        escape(name),
        escape(&incident.person),
        escape(&incident.house),
        pick("du", "from"),
        escape(&incident.since),
        pick("au", "to"),
        escape(&incident.until),
        pick("Établi le", "Made on"),
        escape(&incident.generated_at),
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
    let pick = |fr, en| language.pick(fr, en);
    heading(
        page,
        pick(
            "1. Nature de la violation (notification sous 72 heures)",
            "1. Nature of the breach (notification within 72 hours)",
        ),
    );
    let done = incident
        .actions
        .iter()
        .filter(|action| action["is_done"] == true)
        .count();
    let records: u64 = incident.records_read.values().sum();
    let mut table = Table::new(
        page,
        &[pick("Constat", "Finding"), pick("Nombre", "Number")],
    );
    for (what, count) in [
        (
            pick(
                "Comptes concernés (la personne et ceux qu’elle a créés)",
                "Accounts concerned (the person and those they made)",
            ),
            incident.accounts.len() as u64,
        ),
        (
            pick("Actions demandées", "Actions asked for"),
            incident.actions.len() as u64,
        ),
        (pick("dont exécutées", "of which done"), done as u64),
        (
            pick(
                "Approbations données à d’autres",
                "Approvals given to others",
            ),
            incident.approvals.len() as u64,
        ),
        (
            pick(
                "Enregistrements lus, comptés par la passerelle",
                "Records read, as counted by the gate",
            ),
            records,
        ),
        (
            pick("Suspensions et révocations", "Suspensions and revocations"),
            incident.suspensions.len() as u64,
        ),
        (pick("Alertes", "Alerts"), incident.alerts.len() as u64),
    ] {
        table.row(&[what.to_owned(), count.to_string()]);
    }
    drop(table);
    for text in [
        pick(
            "Catégories de données et de personnes concernées, conséquences probables (à compléter par le délégué à la protection des données)",
            "Categories of data and of persons concerned, likely consequences (to be filled in by the data protection officer)",
        ),
        pick(
            "Mesures prises ou envisagées (à compléter ; les suspensions sont ci-dessous)",
            "Measures taken or planned (to be filled in; suspensions are below)",
        ),
    ] {
        let _ = writeln!(
            page,
            "<p>{text}</p><div class=\"fill\" contenteditable=\"true\"></div>"
        );
    }
}

fn accounts(page: &mut String, incident: &Incident, language: Language) {
    let pick = |fr, en| language.pick(fr, en);
    heading(page, pick("2. Comptes et clés", "2. Accounts and keys"));
    let heads = [
        pick("Compte", "Account"),
        pick("Nom", "Name"),
        pick("État", "State"),
        pick("Créé par", "Made by"),
        pick("Créé le", "Made on"),
        pick("Clés", "Keys"),
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
    let pick = |fr, en| language.pick(fr, en);
    heading(page, pick("3. Actions demandées", "3. Actions asked for"));
    let heads = [
        pick("Quand", "When"),
        pick("Par", "By"),
        pick("Action", "Action"),
        pick("Sur", "On"),
        pick("État", "State"),
        pick("Approuvée par", "Approved by"),
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
    let pick = |fr, en| language.pick(fr, en);
    if incident.approvals.is_empty() {
        return;
    }
    heading(
        page,
        pick(
            "4. Approbations données à d’autres",
            "4. Approvals given to others",
        ),
    );
    let heads = [
        pick("Quand", "When"),
        pick("Par", "By"),
        pick("Action", "Action"),
        pick("Demandée par", "Asked for by"),
        pick("État", "State"),
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
    let pick = |fr, en| language.pick(fr, en);
    heading(page, pick("5. Chronologie", "5. Time line"));
    let heads = [
        pick("Quand", "When"),
        "#",
        pick("Inscription", "Entry"),
        pick("Qui", "Who"),
        pick("Données", "Data"),
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
    let pick = |fr, en| language.pick(fr, en);
    heading(page, pick("6. Preuves", "6. Proofs"));
    let _ = writeln!(
        page,
        "<p>{}</p>\n<pre>sceau-verify report incident.json --log-key log.vkey</pre>\n<pre>{}</pre>",
        pick(
            "Chaque ligne de la chronologie est une inscription du journal, dont la présence sous ce point de contrôle signé se vérifie hors ligne, sans notre serveur :",
            "Each line of the time line is an entry of the log; that it is under this signed checkpoint can be checked offline, without our server:"
        ),
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
