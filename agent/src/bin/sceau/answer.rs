//! What the daemon answered, in words. With `--json` nothing here is used: the answer is printed as it came.

use sceau_agent::lineage;
use sceau_agent::locale::Language;
use sceau_agent::piv::command::card_lines;
use sceau_agent::text::instant;
use serde_json::Value;

use crate::argument::Command;

/// What is printed of a command that was done.
pub(crate) fn render(command: &Command, done: &Value, language: Language) -> String {
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

/// A member of the answer on one line, safe to show.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => sceau_agent::text::one_line(text, 200),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// What became of an action.
pub(crate) fn outcome(done: &Value, language: Language) -> String {
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
    use serde_json::json;

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
}
