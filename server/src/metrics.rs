//! Counters for operators, in Prometheus' text format. Never about persons.

use std::sync::atomic::AtomicU64;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter<u64, AtomicU64>>,
    approvals: Family<ByOutcome, Counter<u64, AtomicU64>>,
    waiting: Gauge,
    inboxes: Gauge,
    proofs: Family<ByOutcome, Counter<u64, AtomicU64>>,
    presence: Family<ByState, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sceau");
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests answered, by class of status",
            requests.clone(),
        );
        let approvals = Family::default();
        registry.register(
            "approvals",
            "Approvals received, by outcome",
            approvals.clone(),
        );
        let waiting = Gauge::default();
        registry.register(
            "actions_watched",
            "Actions that a connection of this instance waits for",
            waiting.clone(),
        );
        let inboxes = Gauge::default();
        registry.register("inboxes", "Inbox connections", inboxes.clone());
        let proofs = Family::default();
        registry.register(
            "presence_proofs",
            "Proofs of presence received, by outcome, and goodbyes",
            proofs.clone(),
        );
        let presence = Family::default();
        registry.register(
            "presence_sessions",
            "Live sessions that need their key, by whether it is there",
            presence.clone(),
        );
        Self {
            registry,
            requests,
            approvals,
            waiting,
            inboxes,
            proofs,
            presence,
        }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&ByStatus { class }).inc();
    }

    /// An approval was counted, or not.
    pub fn approval(&self, counted: bool) {
        let outcome = if counted { "counted" } else { "refused" };
        self.approvals.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A proof of presence was taken, or not.
    pub fn proof(&self, outcome: &'static str) {
        self.proofs.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// The text that is scraped. `presence`: sessions that have their key, and that lost it.
    ///
    /// # Errors
    /// When encoding fails.
    pub fn text(
        &self,
        waiting: usize,
        inboxes: usize,
        presence: (u64, u64),
    ) -> Result<String, std::fmt::Error> {
        for (state, count) in [("present", presence.0), ("absent", presence.1)] {
            self.presence
                .get_or_create(&ByState { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.inboxes.set(i64::try_from(inboxes).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
