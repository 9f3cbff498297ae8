//! Signals at the desk: what entries mean to others, the streams of receivers, and how far each has come.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Desk, DeskError};
use crate::id::{PersonId, ServiceId};
use crate::lineage::Node;
use crate::signal::event::{self, Beside, Needs, Signal};
use crate::signal::{Delivery, Filter, Origin, SignalStream, Status, VERIFICATION};
use crate::store::cursor::{self, Cursor};
use crate::store::{self, StoreError, signal};
use crate::writer::{Command, Fault, Tx};

/// Entries read at one time.
const BATCH: u64 = 64;
/// Entries read for one answer to a polling receiver.
const FAR: u64 = 16_384;
/// Beyond so many entries that tell a receiver nothing its place is written down.
const STRIDE: u64 = 4096;

/// What a stretch of the log tells.
pub(crate) struct Read {
    /// In order.
    pub(crate) signals: Vec<Signal>,
    /// The entry after the last one read.
    pub(crate) next: u64,
}

/// What a polling receiver has before it.
pub(crate) struct Window {
    /// What it has not taken, in order.
    pub(crate) pending: Vec<Signal>,
    /// Its place as stored.
    from: u64,
    /// Every entry before is done, were it not for `pending`.
    upto: u64,
    /// The log goes on.
    pub(crate) more: bool,
}

/// What a receiver changes of its stream; `None`: stays.
#[derive(Debug, Default, Clone)]
pub struct StreamChange {
    /// What it asks for.
    pub events: Option<Vec<String>>,
    /// Its words.
    pub description: Option<Option<String>>,
    /// Pushed or fetched.
    pub delivery: Option<Delivery>,
    /// Whether it flows, and why.
    pub status: Option<(Status, Option<String>)>,
}

impl Desk {
    /// What the next entries from `from` on tell.
    pub(crate) async fn signals_from(&self, from: u64) -> Result<Read, DeskError> {
        let entries = self.entries_from(from, BATCH).await?;
        let mut read = Read {
            signals: Vec::new(),
            next: from,
        };
        for (stored, entry) in entries {
            read.next = stored.index + 1;
            let needs = event::needs(&entry);
            if needs == Needs::Silence {
                continue;
            }
            let mut beside = Beside::default();
            let mut connection = self.reader().await?;
            match needs {
                Needs::Subjects => {
                    let nodes = signal::subjects(&mut connection, stored.index).await;
                    beside.nodes = self.stored(nodes)?.into_iter().collect();
                }
                Needs::Key => {
                    if let Some(id) = entry.subject_id("key").and_then(|id| id.parse().ok()) {
                        beside.key = self.stored(store::key::load(&mut connection, id).await)?;
                    }
                }
                Needs::Openings | Needs::Silence => {}
            }
            let openings: Map<String, Value> = self
                .stored(store::json(stored.openings, "openings"))?
                .unwrap_or_default();
            let opened = |name: &str| openings.get(name)?.get("value")?.as_str();
            beside.person = opened("person").and_then(|id| id.parse().ok());
            beside.state = opened("state").map(str::to_owned);
            read.signals.extend(event::of(stored.index, &entry, beside));
        }
        Ok(read)
    }

    /// The entry that is delivered next; the log's end for what has no place yet.
    pub(crate) async fn signal_place(&self, name: &str) -> Result<u64, DeskError> {
        let mut connection = self.reader().await?;
        match self.stored(cursor::load(&mut connection, name).await)? {
            Some(found) => Ok(found.next),
            None => {
                let head = self.stored(store::log::head(&mut connection).await)?;
                Ok(head.frontier.size())
            }
        }
    }

    /// What a polling receiver has not taken, at most `most` of it.
    pub(crate) async fn signal_window(
        &self,
        stream: &SignalStream,
        filter: &Filter<'_>,
        most: usize,
    ) -> Result<Window, DeskError> {
        let from = self.signal_place(&stream.place()).await?;
        let taken = {
            let mut connection = self.reader().await?;
            self.stored(signal::taken(&mut connection, stream.id, from).await)?
        };
        let mut window = Window {
            pending: Vec::new(),
            from,
            upto: from,
            more: true,
        };
        while window.pending.len() <= most && window.upto < from.saturating_add(FAR) {
            let read = self.signals_from(window.upto).await?;
            if read.next == window.upto {
                window.more = false;
                break;
            }
            window.upto = read.next;
            let open = |it: &Signal| filter.wants(it) && !taken.contains(&(it.index, it.n));
            window.pending.extend(read.signals.into_iter().filter(open));
        }
        window.more |= window.pending.len() > most;
        window.pending.truncate(most);
        Ok(window)
    }

    /// A polling receiver took these of its window.
    pub(crate) async fn signals_taken(
        &self,
        stream: &SignalStream,
        window: &Window,
        taken: Vec<(u64, u32)>,
    ) -> Result<(), DeskError> {
        let left = window
            .pending
            .iter()
            .find(|it| !taken.contains(&(it.index, it.n)));
        // A window that was cut off ends with something pending; what lies behind it was not all looked at.
        let last = window.pending.last().map(|it| it.index);
        let upto = match (left, last) {
            (Some(left), _) => left.index,
            (None, Some(last)) if window.more => last,
            _ => window.upto,
        };
        if taken.is_empty() && upto < window.from.saturating_add(STRIDE) {
            return Ok(());
        }
        self.run(Acknowledge {
            stream: stream.clone(),
            taken,
            upto,
        })
        .await
    }

    /// Every stream.
    pub(crate) async fn signal_streams(&self) -> Result<Vec<SignalStream>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(signal::all(&mut connection).await)
    }

    /// The stream of a receiver.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn signal_stream(
        &self,
        service: &ServiceId,
    ) -> Result<Option<SignalStream>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(signal::of_service(&mut connection, service).await)
    }

    /// Writes down which streams the configuration keeps, forgets those of services that receive no more (`receivers` do), and gives a place to whoever has none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keep_signal_streams(
        &self,
        kept: Vec<(ServiceId, Delivery, Vec<String>)>,
        receivers: Vec<ServiceId>,
        places: Vec<String>,
    ) -> Result<(), DeskError> {
        self.run(Keep {
            kept,
            receivers,
            places,
        })
        .await
    }

    /// A receiver opens its stream.
    ///
    /// # Errors
    /// `AlreadyUsed` when it has one, `Unavailable`.
    pub async fn open_signal_stream(
        &self,
        service: ServiceId,
        delivery: Delivery,
        events: Vec<String>,
        description: Option<String>,
    ) -> Result<SignalStream, DeskError> {
        self.run(Open {
            service,
            delivery,
            events,
            description,
        })
        .await
    }

    /// A receiver changes its stream.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` for what the configuration keeps, `Unavailable`.
    pub async fn change_signal_stream(
        &self,
        service: ServiceId,
        change: StreamChange,
    ) -> Result<SignalStream, DeskError> {
        self.run(Alter { service, change }).await
    }

    /// A receiver closes its stream.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` for what the configuration keeps, `Unavailable`.
    pub async fn close_signal_stream(&self, service: ServiceId) -> Result<(), DeskError> {
        self.run(Close { service }).await
    }

    /// A receiver wants to hear of somebody no more (`out`), or again.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn exclude_subject(
        &self,
        service: ServiceId,
        node: Node,
        out: bool,
    ) -> Result<(), DeskError> {
        self.run(Exclude { service, node, out }).await
    }

    /// Whom a receiver does not want to hear of.
    pub(crate) async fn excluded_subjects(
        &self,
        stream: Uuid,
    ) -> Result<BTreeSet<Node>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(signal::excluded(&mut connection, stream).await)
    }

    /// A receiver wants to see whether its stream flows; the answer comes by the stream.
    ///
    /// # Errors
    /// `NotFound`, `Limited`, `Unavailable`.
    pub async fn verify_signal_stream(
        &self,
        service: ServiceId,
        state: Option<String>,
    ) -> Result<(), DeskError> {
        self.run(Verify { service, state }).await
    }

    /// A person's identities at providers, as issuer and subject.
    pub(crate) async fn identities_of(
        &self,
        person: &PersonId,
    ) -> Result<BTreeSet<(String, String)>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(signal::identities(&mut connection, person).await)
    }

    /// Whose identity this is; `None` when it is not one person's.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn person_of_identity(
        &self,
        issuer: &str,
        sub: &str,
    ) -> Result<Option<PersonId>, DeskError> {
        let mut connection = self.reader().await?;
        self.stored(signal::person_of(&mut connection, issuer, sub).await)
    }
}

/// Puts a place at the end of the log, whether it was or not. Whoever delivers goes on from there.
async fn begin(tx: &mut Tx<'_>, name: &str) -> Result<(), StoreError> {
    let next = tx.size();
    let cursor = match cursor::load(tx.connection, name).await? {
        Some(found) => Cursor {
            next: found.next.max(next),
            ..found
        },
        None => Cursor {
            next,
            holder: String::new(),
            until: OffsetDateTime::UNIX_EPOCH,
        },
    };
    cursor::save(tx.connection, name, &cursor).await
}

/// An entry about a stream.
async fn tell(
    tx: &mut Tx<'_>,
    kind: &str,
    stream: &SignalStream,
    personal: &[(&str, &str)],
) -> Result<(), Fault> {
    let entry = tx
        .entry(kind)
        .subject("stream", stream.id)
        .datum("receiver", stream.service.as_str())
        .datum("delivery", stream.delivery.as_str())
        .datum("status", stream.status.as_str());
    tx.append(entry, None, personal).await?;
    Ok(())
}

async fn own(tx: &mut Tx<'_>, service: &ServiceId) -> Result<SignalStream, Fault> {
    let found = signal::of_service(tx.connection, service).await?;
    Ok(found.ok_or(DeskError::NotFound)?)
}

async fn new(
    tx: &mut Tx<'_>,
    service: &ServiceId,
    origin: Origin,
    delivery: Delivery,
    events: &[String],
) -> Result<SignalStream, Fault> {
    Ok(SignalStream {
        id: tx.ports.uuid(tx.now)?,
        service: service.clone(),
        origin,
        delivery,
        events: events.to_vec(),
        description: None,
        status: Status::Enabled,
        reason: None,
        asked_at: signal::NEVER,
    })
}

struct Keep {
    kept: Vec<(ServiceId, Delivery, Vec<String>)>,
    receivers: Vec<ServiceId>,
    places: Vec<String>,
}

impl Command for Keep {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        for stream in signal::all(tx.connection).await? {
            let kept = self
                .kept
                .iter()
                .any(|(service, ..)| *service == stream.service);
            let gone = !self.receivers.contains(&stream.service)
                || (stream.origin == Origin::File && !kept);
            if gone {
                tell(tx, "signal.stream-closed", &stream, &[]).await?;
                signal::delete(tx.connection, stream.id).await?;
            }
        }
        for (service, delivery, events) in &self.kept {
            let (stream, kind) = match signal::of_service(tx.connection, service).await? {
                None => {
                    let stream = new(tx, service, Origin::File, *delivery, events).await?;
                    begin(tx, &stream.place()).await?;
                    (stream, "signal.stream-opened")
                }
                Some(before) => {
                    let after = SignalStream {
                        origin: Origin::File,
                        delivery: *delivery,
                        events: events.clone(),
                        ..before.clone()
                    };
                    if after == before {
                        continue;
                    }
                    (after, "signal.stream-changed")
                }
            };
            signal::save(tx.connection, &stream).await?;
            tell(tx, kind, &stream, &[]).await?;
        }
        for place in &self.places {
            if cursor::load(tx.connection, place).await?.is_none() {
                begin(tx, place).await?;
            }
        }
        Ok(())
    }
}

struct Open {
    service: ServiceId,
    delivery: Delivery,
    events: Vec<String>,
    description: Option<String>,
}

impl Command for Open {
    type Output = SignalStream;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<SignalStream, Fault> {
        if signal::of_service(tx.connection, &self.service)
            .await?
            .is_some()
        {
            return Err(DeskError::AlreadyUsed.into());
        }
        let mut stream = new(
            tx,
            &self.service,
            Origin::Receiver,
            self.delivery,
            &self.events,
        )
        .await?;
        stream.description = self.description.clone();
        begin(tx, &stream.place()).await?;
        signal::save(tx.connection, &stream).await?;
        tell(tx, "signal.stream-opened", &stream, &[]).await?;
        Ok(stream)
    }
}

struct Alter {
    service: ServiceId,
    change: StreamChange,
}

impl Command for Alter {
    type Output = SignalStream;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<SignalStream, Fault> {
        let mut stream = own(tx, &self.service).await?;
        let change = self.change.clone();
        let shape = change.events.is_some() || change.delivery.is_some();
        if stream.origin == Origin::File && (shape || change.description.is_some()) {
            return Err(DeskError::Forbidden.into());
        }
        let before = stream.clone();
        if let Some(events) = change.events {
            stream.events = events;
        }
        if let Some(description) = change.description {
            stream.description = description;
        }
        if let Some(delivery) = change.delivery {
            stream.delivery = delivery;
        }
        if let Some((status, reason)) = change.status {
            // What happened while it was disabled is not told.
            if before.status == Status::Disabled && status != Status::Disabled {
                begin(tx, &stream.place()).await?;
                signal::forget(tx.connection, stream.id, tx.size()).await?;
            }
            stream.status = status;
            stream.reason = reason;
        }
        if stream != before {
            signal::save(tx.connection, &stream).await?;
            tell(tx, "signal.stream-changed", &stream, &[]).await?;
        }
        Ok(stream)
    }
}

struct Close {
    service: ServiceId,
}

impl Command for Close {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let stream = own(tx, &self.service).await?;
        if stream.origin == Origin::File {
            return Err(DeskError::Forbidden.into());
        }
        signal::delete(tx.connection, stream.id).await?;
        tell(tx, "signal.stream-closed", &stream, &[]).await
    }
}

struct Exclude {
    service: ServiceId,
    node: Node,
    out: bool,
}

impl Command for Exclude {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let stream = own(tx, &self.service).await?;
        // Of whom we do not know there is nothing to be heard either; the receiver does not learn which it is.
        if let Node::Person(person) = &self.node
            && store::person::load(tx.connection, person).await?.is_none()
        {
            return Ok(());
        }
        if signal::exclude(tx.connection, stream.id, &self.node, self.out).await? {
            let kind = if self.out {
                "signal.subject-removed"
            } else {
                "signal.subject-added"
            };
            let node = self.node.to_string();
            tell(tx, kind, &stream, &[("subject", &node)]).await?;
        }
        Ok(())
    }
}

struct Verify {
    service: ServiceId,
    state: Option<String>,
}

impl Command for Verify {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let mut stream = own(tx, &self.service).await?;
        let wait: Duration = stream.asked_at + VERIFICATION - tx.now;
        if wait.is_positive() {
            let retry_after = wait.unsigned_abs();
            return Err(DeskError::Limited { retry_after }.into());
        }
        stream.asked_at = tx.now;
        signal::save(tx.connection, &stream).await?;
        let personal = self.state.iter().map(|state| ("state", state.as_str()));
        let personal: Vec<_> = personal.collect();
        tell(tx, "signal.verification-asked", &stream, &personal).await
    }
}

struct Acknowledge {
    stream: SignalStream,
    taken: Vec<(u64, u32)>,
    upto: u64,
}

impl Command for Acknowledge {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let name = self.stream.place();
        let Some(mut place) = cursor::load(tx.connection, &name).await? else {
            return Ok(());
        };
        place.next = place.next.max(self.upto);
        cursor::save(tx.connection, &name, &place).await?;
        for taken in self.taken.iter().filter(|(index, _)| *index >= place.next) {
            signal::take(tx.connection, self.stream.id, *taken).await?;
        }
        Ok(signal::forget(tx.connection, self.stream.id, place.next).await?)
    }
}
