//! Counting what is read: load → decide ([`crate::reading`]) → save the marks and, where it matters, the entry, in one transaction. Several
//! instances and any number of requests at one time count together, since writers come one after the other.

use aws_lc_rs::hmac;
use time::OffsetDateTime;

use super::{Desk, DeskError};
use crate::id::{PersonId, ServiceId, SessionId};
use crate::reading::{Budget, Spent, Standing, may_read};
use crate::store::{person, reading};
use crate::writer::{Command, Fault, Tx};

/// Who reads where, by what.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The service that is read from.
    pub service: ServiceId,
    /// Whose session it is.
    pub person: PersonId,
    /// The session, sealed by a key: its sign-in opened the first slice.
    pub session: SessionId,
    /// What a touch opens there.
    pub budget: Budget,
}

/// Records found in an answer that were not delivered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What tells it from others; two with one identity are one record.
    pub identity: String,
    /// How many records it stands for.
    pub records: u64,
}

/// What became of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Where the person stands now.
    pub standing: Standing,
    /// How many of the records were new.
    pub wanted: u64,
    /// Whether they may be delivered; if not, nothing was counted.
    pub verdict: Result<(), Spent>,
}

impl Desk {
    /// Counts records before they are delivered; none are when the verdict is no.
    ///
    /// # Errors
    /// `UnknownPerson`, `ClockWentBack`, `Unavailable`: then nothing may be delivered.
    pub async fn count_reading(
        &self,
        reader: Reader,
        found: Vec<Found>,
    ) -> Result<Counted, DeskError> {
        self.run(Count { reader, found }).await
    }

    /// Where a person stands, without counting.
    ///
    /// # Errors
    /// `UnknownPerson`, `Unavailable`.
    pub async fn reading(&self, reader: &Reader) -> Result<Standing, DeskError> {
        let mut connection = self.reader().await?;
        let (service, who) = (&reader.service, &reader.person);
        let person = self
            .stored(person::load(&mut connection, who).await)?
            .ok_or(DeskError::UnknownPerson)?;
        let action = &reader.budget.action;
        let touched_at = self.stored(
            reading::touched_at(&mut connection, service, who, reader.session, action).await,
        )?;
        let used = match touched_at {
            Some(since) => {
                self.stored(reading::used(&mut connection, service, who, since).await)?
            }
            None => 0,
        };
        Ok(Standing {
            touched_at,
            used,
            limit: reader.budget.limit(&person),
        })
    }
}

struct Count {
    reader: Reader,
    found: Vec<Found>,
}

impl Command for Count {
    type Output = Counted;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Counted, Fault> {
        let Reader {
            service,
            person: who,
            session,
            budget,
        } = &self.reader;
        let person = person::load(tx.connection, who)
            .await?
            .ok_or(DeskError::UnknownPerson)?;
        let touched_at =
            reading::touched_at(tx.connection, service, who, *session, &budget.action).await?;
        let mut standing = Standing {
            touched_at,
            used: match touched_at {
                Some(since) => reading::used(tx.connection, service, who, since).await?,
                None => 0,
            },
            limit: budget.limit(&person),
        };
        let secret = reading::secret(tx.connection, service, who, tx.ports.bytes()?).await?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mark = |text: &str| hmac::sign(&key, text.as_bytes()).as_ref().to_vec();
        reading::forget(tx.connection, service, who, tx.now - budget.window).await?;
        let mut known =
            reading::marks(tx.connection, service, who, OffsetDateTime::UNIX_EPOCH).await?;
        let mut fresh = Vec::new();
        for found in &self.found {
            let mark = mark(&format!("record\0{}", found.identity));
            if known.insert(mark.clone()) {
                fresh.push((mark, found.records));
            }
        }
        let wanted = fresh
            .iter()
            .fold(0_u64, |sum, (_, records)| sum.saturating_add(*records));
        let verdict = may_read(standing, budget.window, wanted, tx.now);
        // A slice, and what is refused in it, are told of once each.
        let slice = touched_at.map_or(0, |at| at.unix_timestamp_nanos() / 1_000_000);
        let (kind, once) = match verdict {
            Ok(()) if wanted == 0 => ("", None),
            Ok(()) => ("reading.slice", Some(format!("slice\0{slice}"))),
            Err(spent) => (
                "reading.refused",
                Some(format!("{}\0{slice}", spent.as_str())),
            ),
        };
        if let Some(once) = once
            && reading::insert(tx.connection, service, who, &mark(&once), 0, tx.now).await?
        {
            let mut entry = tx
                .entry(kind)
                .datum("service", service.as_str())
                .datum("read", standing.used)
                .datum("limit", standing.limit)
                .datum("wanted", wanted)
                .datum("minutes", budget.window.whole_minutes());
            if let Err(spent) = verdict {
                entry = entry.datum("reason", spent.as_str());
            }
            tx.append(entry, None, &[("person", who.as_str())]).await?;
        }
        if verdict.is_ok() {
            for (mark, records) in &fresh {
                reading::insert(tx.connection, service, who, mark, *records, tx.now).await?;
            }
            standing.used = standing.used.saturating_add(wanted);
        }
        Ok(Counted {
            standing,
            wanted,
            verdict,
        })
    }
}
