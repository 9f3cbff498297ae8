//! Which entries somebody should look at. The table is docs/alerts.md's.

use sceau_proof::log::Entry;

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary life of the house.
    Info,
    /// A change of who may do what, or of the rules.
    Notice,
    /// Something was refused, or ended, that should not have been tried.
    Warning,
    /// Now.
    Alert,
}

impl Severity {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Alert => "alert",
        }
    }

    /// RFC 5424 §6.2.1.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Notice => 5,
            Self::Warning => 4,
            Self::Alert => 1,
        }
    }

    /// Whether `only = "alerts"` lets it through.
    #[must_use]
    pub fn is_alert(self) -> bool {
        self >= Self::Warning
    }
}

/// Of an entry, by its type and reason.
pub(crate) fn severity(entry: &Entry) -> Severity {
    let kind = entry.kind();
    let reason = entry
        .data()
        .get("reason")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    match kind {
        _ if kind.starts_with("alert.") || kind.starts_with("break-glass") => Severity::Alert,
        "action.refused" if reason == "not-me" => Severity::Alert,
        "permit-key.changed" | "log-key.changed" | "person.erased" => Severity::Notice,
        "signal.subject-removed" => Severity::Warning,
        "approval.rejected"
        | "enrolment.refused"
        | "gate.refused"
        | "metadata.refused"
        | "session.suspended"
        | "session.refused"
        | "key.suspended"
        | "presence.rejected"
        | "reading.refused"
        | "provider.code-replayed"
        | "oauth.assertion-replayed"
        | "oauth.code-replayed"
        | "action.outcome-unknown" => Severity::Warning,
        "policy.changed"
        | "configuration.changed"
        | "metadata.changed"
        | "server.started"
        | "server.stopped" => Severity::Notice,
        _ if kind.starts_with("person.") || kind.starts_with("key.") => Severity::Notice,
        _ => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn who_should_look() {
        let of = |kind: &str, reason: &str| {
            severity(&Entry::new(datetime!(2026-11-22 0:00 UTC), kind).datum("reason", reason))
        };
        assert_eq!(of("alert.cloned-key", ""), Severity::Alert);
        assert_eq!(of("action.refused", "not-me"), Severity::Alert);
        assert_eq!(of("action.refused", "mistake"), Severity::Info);
        assert_eq!(of("key.suspended", "sign-count"), Severity::Warning);
        assert_eq!(of("key.enrolled", ""), Severity::Notice);
        assert_eq!(of("action.approved", ""), Severity::Info);
        assert!(Severity::Warning.is_alert() && !Severity::Notice.is_alert());
    }
}
