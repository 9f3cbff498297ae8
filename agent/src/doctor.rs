//! `sceau doctor`: looks at everything that Sceau needs of a workstation, line by line: what is there, what is wrong, what to do. Changes nothing.
//!
//! It looks by itself and does not believe the daemon, except for what only the daemon knows (keys, who is signed in). Texts from outside are shown on
//! one bounded line. Deliberately elsewhere: how each thing is looked at (`look`) and what is said of it (`words`).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::locale::Language;

pub mod look;
mod words;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Nothing is wrong, but somebody may wonder.
    Note,
    /// Something will not work.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub part: Part,
    /// What was found: a stable word, explained by [`Finding::what`].
    pub code: &'static str,
    /// What the system or the thing itself says; may be empty.
    pub detail: String,
}

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The configuration file.
    Configuration,
    /// The server.
    Server,
    /// This machine's clock.
    Clock,
    /// The daemon.
    Agent,
    /// Who is signed in.
    Session,
    /// Smart-card readers.
    SmartCards,
    /// USB keys.
    Usb,
    /// Keys that are there.
    Keys,
    /// The PIN dialog.
    Pinentry,
    /// The desktop.
    Desktop,
}

impl Finding {
    fn new(part: Part, code: &'static str, detail: impl ToString) -> Self {
        Self {
            part,
            code,
            detail: crate::text::one_line(&detail.to_string(), 300),
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn state(&self) -> State {
        words::state(self.code)
    }

    /// What was found, in words.
    #[must_use]
    pub fn what(&self, language: Language) -> String {
        let what = language.text(&format!("doctor-found-{}", self.code));
        if self.detail.is_empty() {
            what.into_owned()
        } else {
            format!("{what} ({})", self.detail)
        }
    }

    /// What to do, where there is something to do.
    #[must_use]
    pub fn remedy(&self, language: Language) -> Option<Cow<'static, str>> {
        language.known(&format!("doctor-todo-{}", self.code))
    }

    /// For `--json`.
    #[must_use]
    pub fn json(&self, language: Language) -> Value {
        json!({
            "part": self.part,
            "state": self.state(),
            "code": self.code,
            "what": self.what(language),
            "remedy": self.remedy(language),
        })
    }
}

/// Everything, in lines for people.
#[must_use]
pub fn lines(findings: &[Finding], language: Language) -> String {
    let mut out = String::new();
    for finding in findings {
        let mark = match finding.state() {
            State::Ok => "✓",
            State::Note => "·",
            State::Fault => "✗",
        };
        let part = words::part(finding.part, language);
        out.push_str(&format!("{mark} {part:<14} {}\n", finding.what(language)));
        if let Some(remedy) = finding.remedy(language) {
            out.push_str(&format!("  {:<14} → {remedy}\n", ""));
        }
    }
    let faults = findings
        .iter()
        .filter(|finding| finding.state() == State::Fault)
        .count();
    let end = language.text_with("doctor-end", &[("count", faults.into())]);
    out.push_str(&format!("\n{end}\n"));
    out
}

/// Whether nothing is wrong.
#[must_use]
pub fn is_sound(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.state() < State::Fault)
}

/// What a configuration says that its reader cannot know to be wrong: a relying party that is not the server's.
fn of_configuration(config: &Config) -> Finding {
    let (rp_id, host) = (config.rp_id.as_str(), config.server.host.as_str());
    let is_within = host == rp_id
        || host
            .strip_suffix(rp_id)
            .is_some_and(|rest| rest.ends_with('.'));
    if is_within || !config.server.tls {
        Finding::new(Part::Configuration, "configured", config.server.text())
    } else {
        Finding::new(
            Part::Configuration,
            "relying-party-elsewhere",
            format!("{rp_id}, {host}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relying_party_is_the_servers_name_or_its_parent() {
        let code = |server: &str| {
            let text = format!("server = \"{server}\"\nrp_id = \"sceau.example\"\n");
            of_configuration(&Config::parse(&text).unwrap()).code
        };
        assert_eq!(code("https://sceau.example"), "configured");
        assert_eq!(code("https://eu.sceau.example:8443"), "configured");
        assert_eq!(code("http://127.0.0.1:80"), "configured");
        assert_eq!(code("https://evilsceau.example"), "relying-party-elsewhere");
    }

    #[test]
    fn each_fault_has_a_remedy_in_both_languages() {
        let codes: Vec<&str> = words::ALL.iter().map(|(code, _)| *code).collect();
        for language in [Language::Fr, Language::En] {
            for (code, state) in words::ALL {
                let finding = Finding::new(Part::Server, code, "");
                assert!(!finding.what(language).starts_with("doctor-"), "{code}");
                assert!(
                    *state != State::Fault || finding.remedy(language).is_some(),
                    "{code}"
                );
            }
            for family in ["doctor-found", "doctor-todo"] {
                for (code, _) in language.family(family) {
                    assert!(codes.contains(&code), "{code} is no finding");
                }
            }
        }
    }
}
