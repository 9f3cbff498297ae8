//! What was read of sessions a moment ago, for whoever asks at each request: the gate.
//!
//! Used again while three things hold: nothing was committed by this instance since the read *began* (so whatever is ended here shows at the next
//! request, before whoever ended it is told that it is done); the read is at most [`FRESH`] old (so what another instance ends shows within it); and by
//! the clock the session is neither over nor without a proof of its key. Only active sessions are kept: nobody is refused by memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::sign_in::token_digest;
use super::{Desk, DeskError};
use crate::session::{Session, SessionState};

/// How long a read is good for; a fraction of the second within which suspended sessions are refused everywhere.
const FRESH: Duration = Duration::from_millis(250);
/// Sessions that are remembered; beyond it all are read anew.
const MOST: usize = 4_096;

/// Active sessions by the digest of their token.
#[derive(Default)]
pub(super) struct Recent(Mutex<HashMap<[u8; 32], Seen>>);

struct Seen {
    session: Session,
    /// Commits of this instance before it was read.
    commits: u64,
    at: Instant,
}

impl Seen {
    fn holds(&self, commits: u64, at: Instant, now: OffsetDateTime) -> bool {
        self.commits == commits
            && at.saturating_duration_since(self.at) < FRESH
            && now < self.session.expires_at
            && self.session.present_until.is_none_or(|until| now < until)
    }
}

impl Recent {
    fn find(
        &self,
        digest: &[u8; 32],
        commits: u64,
        at: Instant,
        now: OffsetDateTime,
    ) -> Option<Session> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sessions.get(digest)?;
        seen.holds(commits, at, now).then(|| seen.session.clone())
    }

    fn keep(&self, digest: [u8; 32], session: &Session, commits: u64, at: Instant) {
        if session.state != SessionState::Active {
            return;
        }
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST {
            sessions.clear();
        }
        let session = session.clone();
        sessions.insert(
            digest,
            Seen {
                session,
                commits,
                at,
            },
        );
    }
}

impl Desk {
    /// As [`Desk::session`], from memory where that cannot matter (see above).
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session_again(&self, token: &str) -> Result<Option<Session>, DeskError> {
        let digest = token_digest(token);
        // Before the read: what is committed while it runs makes it old.
        let (commits, at) = (self.inner.hub.commits(), Instant::now());
        if let Some(session) = self.inner.recent.find(&digest, commits, at, self.now()) {
            return Ok(Some(session));
        }
        let found = self.session(token).await?;
        if let Some(session) = &found {
            self.inner.recent.keep(digest, session, commits, at);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ActionId, SessionId};
    use crate::session::SessionKind;

    fn session(state: SessionState) -> Session {
        Session {
            id: SessionId(uuid::Uuid::from_u128(1)),
            person: "alice".parse().unwrap(),
            kind: SessionKind::Gate,
            state,
            action: ActionId(uuid::Uuid::from_u128(2)),
            expires_at: OffsetDateTime::UNIX_EPOCH + time::Duration::hours(1),
            present_until: Some(OffsetDateTime::UNIX_EPOCH + time::Duration::minutes(1)),
        }
    }

    #[test]
    fn a_read_is_good_until_anything_speaks_against_it() {
        let (recent, digest, start) = (Recent::default(), [1; 32], Instant::now());
        let epoch = OffsetDateTime::UNIX_EPOCH;
        recent.keep(digest, &session(SessionState::Active), 7, start);
        let find = |commits, at, now| recent.find(&digest, commits, at, now).is_some();
        assert!(find(7, start + FRESH / 2, epoch));
        assert!(!find(8, start, epoch), "something was committed");
        assert!(!find(7, start + FRESH, epoch), "too long ago");
        let minute = epoch + time::Duration::minutes(1);
        assert!(!find(7, start, minute), "its key has to show itself");
        assert_eq!(recent.find(&[2; 32], 7, start, epoch), None);
    }

    #[test]
    fn nobody_is_refused_by_memory() {
        let (recent, start) = (Recent::default(), Instant::now());
        for state in [SessionState::Pending, SessionState::Suspended] {
            recent.keep([1; 32], &session(state), 1, start);
            assert_eq!(
                recent.find(&[1; 32], 1, start, OffsetDateTime::UNIX_EPOCH),
                None
            );
        }
    }
}
