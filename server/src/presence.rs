//! Which sessions need their key to stay, how often that is shown, and what a key can show: `[presence]` of the configuration, and words. Pure.
//!
//! The protocol is docs/presence.md; what keeps the state is `desk::presence`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::config::{ConfigError, Span};
use crate::id::Role;
use crate::session::SessionKind;

/// `[presence]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// Kinds of sessions that need presence: `gate`, `browser`.
    #[serde(default = "gates")]
    pub kinds: Vec<SessionKind>,
    /// Only those of persons who have one of these roles; empty: everybody's.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// The longest time for which one proof holds.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// For how long a session whose key went missing, without a goodbye, may be taken up again by a proof.
    #[serde(default = "default_away")]
    pub away: Span,
    /// How much longer a proof holds, once, while the key waits for a touch and cannot prove anything.
    #[serde(default = "default_touch")]
    pub touch: Span,
    /// Keys that cannot prove presence.
    #[serde(default)]
    pub unable: Unable,
}

/// What becomes of a session whose key cannot prove presence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unable {
    /// It is not opened, or ends.
    #[default]
    Refuse,
    /// It lives without proofs; the log says so.
    Allow,
}

fn gates() -> Vec<SessionKind> {
    vec![SessionKind::Gate]
}
fn default_interval() -> Span {
    Span(Duration::seconds(15))
}
fn default_away() -> Span {
    Span(Duration::minutes(5))
}
fn default_touch() -> Span {
    Span(Duration::seconds(60))
}

impl Presence {
    /// Whether the values make sense.
    ///
    /// # Errors
    /// [`ConfigError::Rejected`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        if self.kinds.is_empty() || self.kinds.contains(&SessionKind::Agent) {
            return reject("presence.kinds", "fault-presence-kinds");
        }
        if !(Duration::milliseconds(600)..=Duration::minutes(5)).contains(&self.interval.0) {
            return Err(ConfigError::OutOfRange {
                key: "presence.interval",
                least: "600ms",
                most: "5m",
            });
        }
        if !(Duration::ZERO..=Duration::days(1)).contains(&self.away.0) {
            return Err(ConfigError::OutOfRange {
                key: "presence.away",
                least: "0s",
                most: "1d",
            });
        }
        if !(Duration::ZERO..=Duration::minutes(3)).contains(&self.touch.0) {
            return Err(ConfigError::OutOfRange {
                key: "presence.touch",
                least: "0s",
                most: "3m",
            });
        }
        Ok(())
    }

    /// Whether a session of this kind, of a person with these roles, needs its key to stay.
    #[must_use]
    pub fn needed(&self, kind: SessionKind, roles: &BTreeSet<Role>) -> bool {
        self.kinds.contains(&kind) && (self.roles.is_empty() || !self.roles.is_disjoint(roles))
    }

    /// For how long a nonce may be answered: the last third of an interval.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.interval.0 / 3
    }

    /// How long to wait before the next nonce: two thirds of an interval, less up to a twelfth of it by `random`. A nonce that is given out then has
    /// run out before the last proof has.
    #[must_use]
    pub fn pause(&self, random: u8) -> Duration {
        self.interval.0 * 2 / 3 - self.interval.0 / 12 * i32::from(random) / 255
    }
}

/// What is known of a key's silent proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ability", rename_all = "kebab-case")]
pub enum Ability {
    /// It proves presence, and its counter has been seen to be one.
    Counted,
    /// It proves presence; its silent proofs say counter 0.
    Uncounted,
    /// Its agent says that it cannot, and it was never seen to.
    Unable {
        /// Why, kebab-case.
        reason: Why,
    },
}

/// Why a key cannot prove presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It refuses `up=false`.
    Refused,
    /// It says that it was touched or verified although it was not asked to.
    NotSilent,
    /// It speaks U2F alone.
    U2f,
    /// A card without a key that signs silently and belongs to it.
    Card,
}

impl Why {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotSilent => "not-silent",
            Self::U2f => "u2f",
            Self::Card => "card",
        }
    }
}

impl Ability {
    /// The word in the store.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Counted => "counted".to_owned(),
            Self::Uncounted => "uncounted".to_owned(),
            Self::Unable { reason } => format!("unable-{}", reason.as_str()),
        }
    }

    /// Reads [`Ability::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "counted" => Some(Self::Counted),
            "uncounted" => Some(Self::Uncounted),
            other => [Why::Refused, Why::NotSilent, Why::U2f, Why::Card]
                .into_iter()
                .find(|why| other.strip_prefix("unable-") == Some(why.as_str()))
                .map(|reason| Self::Unable { reason }),
        }
    }
}

/// Why a key stops proving without being lost by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goodbye {
    /// It was pulled out: its sessions end.
    Removed,
    /// The screen was locked.
    Locked,
    /// Another person took the seat.
    Inactive,
    /// The workstation goes to sleep.
    Asleep,
    /// The agent ends.
    Ending,
}

impl Goodbye {
    /// Kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Locked => "locked",
            Self::Inactive => "inactive",
            Self::Asleep => "asleep",
            Self::Ending => "ending",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Presence {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_nonce_runs_out_before_the_proof_before_it() {
        for interval in ["600ms", "15s", "5m"] {
            let rule = read(&format!("interval = \"{interval}\""));
            assert_eq!(rule.check(), Ok(()));
            for random in [0, 1, 128, 255] {
                let pause = rule.pause(random);
                assert!(pause + rule.window() <= rule.interval.0);
                assert!(pause >= rule.interval.0 / 2);
            }
        }
    }

    #[test]
    fn kinds_and_roles_say_who_needs_presence() {
        let everybody = read("");
        let some = read("kinds = [\"gate\", \"browser\"]\nroles = [\"manager\"]");
        let manager: BTreeSet<Role> = ["manager".parse().unwrap()].into();
        let other: BTreeSet<Role> = ["reader".parse().unwrap()].into();
        assert!(everybody.needed(SessionKind::Gate, &other));
        assert!(!everybody.needed(SessionKind::Browser, &other));
        assert!(some.needed(SessionKind::Browser, &manager));
        assert!(!some.needed(SessionKind::Gate, &other));
        assert!(!some.needed(SessionKind::Agent, &manager));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "kinds = [\"agent\"]",
            "kinds = []",
            "interval = \"500ms\"",
            "interval = \"6m\"",
            "away = \"2d\"",
            "touch = \"4m\"",
        ] {
            assert!(read(text).check().is_err(), "{text}");
        }
        assert!(toml::from_str::<Presence>("intervall = \"15s\"").is_err());
    }

    #[test]
    fn abilities_read_back() {
        for ability in [
            Ability::Counted,
            Ability::Uncounted,
            Ability::Unable {
                reason: Why::NotSilent,
            },
        ] {
            assert_eq!(Ability::from_word(&ability.word()), Some(ability));
        }
        assert_eq!(Ability::from_word("unable-"), None);
    }
}
