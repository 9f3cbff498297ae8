//! `[dormancy]`: keys and persons that nobody has used for long are suspended by themselves. Whoever comes back is brought back by the usual way:
//! a person by a sealed `person.restore`, a key by enrolling one.
//!
//! Deciding and writing is `desk::dormancy`; here are the rule and its clockwork.

use serde::Deserialize;

use crate::config::Span;
use crate::desk::Desk;

/// The rule. What is not said does not fall asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dormancy {
    /// A live key without a use for so long.
    #[serde(default)]
    pub key: Option<Span>,
    /// An active person without a sign-in for so long.
    #[serde(default)]
    pub person: Option<Span>,
}

impl Dormancy {
    /// Shorter than a day is a mistake: it would suspend people over a night.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let day = time::Duration::DAY;
        [self.key, self.person]
            .into_iter()
            .flatten()
            .all(|span| span.0 >= day)
    }
}

/// How often it is looked.
const LOOK: std::time::Duration = std::time::Duration::from_secs(3600);

/// Looks at once, and each hour until `stop`.
pub async fn watch(desk: Desk, rule: Dormancy, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        match desk.suspend_dormant(rule).await {
            Ok((0, 0)) => {}
            Ok((persons, keys)) => tracing::warn!(persons, keys, "suspended what nobody used"),
            Err(error) => tracing::warn!(%error, "looking for what nobody uses"),
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
