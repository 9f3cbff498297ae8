//! Delivery of what is pushed: to each stream and each SCIM service its own task, in the order of the log, from a durable place. What a receiver does not
//! take is offered again after 1, 2, 4, … seconds, at most five minutes. Nobody waits for anybody else's receiver.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::event::{About, Signal, What};
use super::push::Push;
use super::scim::Target;
use super::set::{Address, claims};
use super::{Delivery, Filter, SignalStream, Signals, Status, SubjectForm};
use crate::desk::{Desk, DeskError};
use crate::id::ServiceId;
use crate::web::Answer;

/// How often the log is looked at, and the list of streams.
const LOOK: Duration = Duration::from_millis(500);
/// Pauses after a failed delivery grow from here …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The lease on a place is renewed this often while one entry's signals are delivered; it lasts three times as long.
const RENEW: time::Duration = time::Duration::seconds(10);
/// A place is written down at least every so many entries that tell a receiver nothing.
const STRIDE: u64 = 4096;
/// How often what a polling receiver has not fetched is looked at.
const WATCH: Duration = Duration::from_secs(5);

/// Why a signal was not taken. The words stand in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may be taken another time.
    Later(String),
    /// The same, and not before so long.
    Paused(String, Duration),
    /// The receiver does not want this one.
    Refused(String),
}

/// Not about this signal: another time, and not before the receiver says.
pub(super) fn later(answer: &Answer) -> Trouble {
    let word = format!("status-{}", answer.status);
    match answer.pause {
        Some(pause) => Trouble::Paused(word, pause),
        None => Trouble::Later(word),
    }
}

/// What became of a signal that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The receiver has it.
    Told,
    /// It concerns nobody there.
    NotThere,
}

impl From<DeskError> for Trouble {
    fn from(_: DeskError) -> Self {
        Self::Later("store-unavailable".to_owned())
    }
}

/// A receiver's word, if it can stand in the log: at most 64 letters, in kebab-case.
pub(super) fn word(said: Option<&str>, otherwise: &str) -> String {
    said.map(|word| word.replace('_', "-"))
        .filter(|word| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            (1..=64).contains(&word.len()) && word.bytes().all(plain)
        })
        .unwrap_or_else(|| otherwise.to_owned())
}

impl Signals {
    /// Delivers for ever; what runs ends with this future.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for (config, token) in self.settings.scim.iter().zip(&self.tokens) {
            let sink = Sink::Scim(Box::new(Target::new(config, token)));
            let runner = Runner::new(Arc::clone(&self), config.place(), &config.name, sink);
            tasks.spawn(runner.run());
        }
        let mut streams: HashMap<(Uuid, Delivery), AbortHandle> = HashMap::new();
        loop {
            if let Ok(found) = self.desk.signal_streams().await {
                let here = |it: &SignalStream| self.receiver(&it.service).is_some();
                let wanted: Vec<_> = found.into_iter().filter(here).collect();
                streams.retain(|key, task| {
                    let stays = wanted.iter().any(|it| (it.id, it.delivery) == *key);
                    if !stays {
                        task.abort();
                    }
                    stays && !task.is_finished()
                });
                for stream in wanted {
                    let key = (stream.id, stream.delivery);
                    if !streams.contains_key(&key)
                        && let Some(sink) = self.sink(&stream)
                    {
                        let name = stream.service.as_str();
                        let runner = Runner::new(Arc::clone(&self), stream.place(), name, sink);
                        streams.insert(key, tasks.spawn(runner.run()));
                    }
                }
            }
            while tasks.try_join_next().is_some() {}
            tokio::time::sleep(LOOK).await;
        }
    }

    fn sink(&self, stream: &SignalStream) -> Option<Sink> {
        let service = stream.service.clone();
        Some(match stream.delivery {
            Delivery::Poll => Sink::Fetched(service),
            Delivery::Push => {
                let url = self.receiver(&service)?.push.as_deref()?;
                let push = Push::new(url, self.authorization(&service));
                Sink::Push(service, Box::new(push))
            }
        })
    }

    /// What goes into this stream; `None` when it does not flow, or its receiver is not configured any more.
    pub(super) async fn filter<'a>(
        &'a self,
        stream: &'a SignalStream,
    ) -> Result<Option<Filter<'a>>, DeskError> {
        let Some(receiver) = self.receiver(&stream.service) else {
            return Ok(None);
        };
        if stream.status != Status::Enabled {
            return Ok(None);
        }
        Ok(Some(Filter {
            stream,
            receiver,
            excluded: self.desk.excluded_subjects(stream.id).await?,
        }))
    }

    /// The signed token of a signal in a stream.
    pub(super) async fn token(
        &self,
        stream: &SignalStream,
        signal: &Signal,
    ) -> Result<String, DeskError> {
        let receiver = self.receiver(&stream.service).ok_or(DeskError::NotFound)?;
        let person = match &signal.about {
            About::Person(id) | About::Session(id, _) => Some(id),
            _ => None,
        };
        let identities = match person {
            Some(person) if receiver.subject == SubjectForm::Identities => {
                self.desk.identities_of(person).await?
            }
            _ => Default::default(),
        };
        self.signed(&claims(
            signal,
            &Address {
                issuer: self.issuer(),
                audience: receiver.audience(),
                stream: stream.id,
                identities,
            },
        ))
    }
}

enum Sink {
    Push(ServiceId, Box<Push>),
    /// Nothing is sent: somebody else comes for it, or does not.
    Fetched(ServiceId),
    Scim(Box<Target>),
}

/// A receiver that does not take what it is sent.
#[derive(Default)]
struct Outage {
    since: Option<OffsetDateTime>,
    said: bool,
}

struct Runner {
    signals: Arc<Signals>,
    desk: Desk,
    place: String,
    /// How people call the receiver.
    name: String,
    sink: Sink,
    /// The entry to be looked at next, as this instance knows; and what of it is in the store.
    next: Option<(u64, u64)>,
    /// What was delivered of an entry that is not done yet.
    upto: Option<(u64, u32)>,
    renewed: OffsetDateTime,
    outage: Outage,
    /// Since when this very signal is refused.
    refused: Option<((u64, u32), OffsetDateTime)>,
}

impl Runner {
    fn new(signals: Arc<Signals>, place: String, name: &str, sink: Sink) -> Self {
        Self {
            desk: signals.desk.clone(),
            signals,
            place,
            name: name.to_owned(),
            sink,
            next: None,
            upto: None,
            renewed: OffsetDateTime::UNIX_EPOCH,
            outage: Outage::default(),
            refused: None,
        }
    }

    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let waited = match self.step().await {
                Ok(more) => {
                    pause = FIRST_PAUSE;
                    if more { Duration::ZERO } else { self.idle() }
                }
                Err(trouble) => {
                    let (reason, least) = match trouble {
                        Trouble::Later(reason) | Trouble::Refused(reason) => {
                            (reason, Duration::ZERO)
                        }
                        Trouble::Paused(reason, least) => (reason, least.min(LONGEST_PAUSE)),
                    };
                    tracing::warn!(
                        receiver = self.name,
                        reason,
                        ?pause,
                        "a signal was not taken; tried again"
                    );
                    self.failing(&reason).await;
                    let waited = pause.max(least);
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    waited
                }
            };
            tokio::time::sleep(waited).await;
        }
    }

    fn idle(&self) -> Duration {
        match self.sink {
            Sink::Fetched(_) => WATCH,
            _ => LOOK,
        }
    }

    /// One look at the log, and the delivery of what is there. Returns whether there may be more.
    async fn step(&mut self) -> Result<bool, Trouble> {
        let stream = match &self.sink {
            Sink::Scim(_) => None,
            Sink::Push(service, _) | Sink::Fetched(service) => {
                match self.desk.signal_stream(service).await? {
                    Some(stream) if stream.place() == self.place => Some(stream),
                    _ => return Ok(false),
                }
            }
        };
        let signals = Arc::clone(&self.signals);
        let filter = match &stream {
            Some(stream) => match signals.filter(stream).await? {
                Some(filter) => Some(filter),
                // It flows again from wherever the store says then.
                None => {
                    self.next = None;
                    return Ok(false);
                }
            },
            None => None,
        };
        if let (Sink::Fetched(_), Some(stream), Some(filter)) = (&self.sink, &stream, &filter) {
            return self.watch(stream, filter).await;
        }
        let (next, saved) = match self.next {
            Some(known) => known,
            None => {
                let next = self.desk.signal_place(&self.place).await?;
                (next, next)
            }
        };
        let read = self.desk.signals_from(next).await?;
        let wanted: Vec<Signal> = read
            .signals
            .into_iter()
            .filter(|signal| match (&filter, &self.sink) {
                (Some(filter), _) => filter.wants(signal),
                (None, Sink::Scim(target)) => target.wants(signal),
                (None, _) => false,
            })
            .collect();
        if wanted.is_empty() {
            let mut saved = saved;
            if read.next >= saved.saturating_add(STRIDE) {
                self.desk.take_stream(&self.place, Some(read.next)).await?;
                saved = read.next;
            }
            self.next = Some((read.next, saved));
            return Ok(read.next > next);
        }
        let Some(from) = self.desk.take_stream(&self.place, Some(next)).await? else {
            // Another instance delivers; when its lease is over this one reads its place anew.
            self.next = None;
            self.upto = None;
            return Ok(false);
        };
        if from > next {
            self.next = Some((from, from));
            return Ok(true);
        }
        self.renewed = self.desk.now();
        let mut told = BTreeMap::new();
        for signal in &wanted {
            let place = (signal.index, signal.n);
            if self.upto.is_some_and(|upto| place <= upto) {
                continue;
            }
            if self.desk.now() - self.renewed >= RENEW {
                self.desk
                    .take_stream(&self.place, Some(signal.index))
                    .await?;
                self.renewed = self.desk.now();
            }
            let answer = self.deliver(stream.as_ref(), signal).await;
            match self.settled(signal, answer).await {
                Ok(count) => *told.entry(signal.index).or_insert(0_u32) += count,
                Err(trouble) => {
                    // What came before is not sent again.
                    self.desk
                        .take_stream(&self.place, Some(signal.index))
                        .await?;
                    self.next = Some((signal.index, signal.index));
                    self.say(&wanted, &told).await;
                    return Err(trouble);
                }
            }
            self.upto = Some(place);
            self.flowing().await;
        }
        self.desk.take_stream(&self.place, Some(read.next)).await?;
        self.next = Some((read.next, read.next));
        self.say(&wanted, &told).await;
        Ok(true)
    }

    async fn deliver(
        &self,
        stream: Option<&SignalStream>,
        signal: &Signal,
    ) -> Result<Taken, Trouble> {
        match (&self.sink, stream) {
            (Sink::Push(_, push), Some(stream)) => {
                let token = self.signals.token(stream, signal).await?;
                push.deliver(token).await.map(|()| Taken::Told)
            }
            (Sink::Scim(target), _) => target.deliver(signal).await,
            _ => Ok(Taken::Told),
        }
    }

    /// How many were told by this answer; an error when the signal has to be offered again.
    async fn settled(
        &mut self,
        signal: &Signal,
        answer: Result<Taken, Trouble>,
    ) -> Result<u32, Trouble> {
        let reason = match answer {
            Ok(Taken::Told) => return Ok(1),
            Ok(Taken::NotThere) => {
                self.note("signal.not-there", Some(signal.index), None)
                    .await;
                return Ok(0);
            }
            Err(Trouble::Refused(reason)) => reason,
            Err(later) => return Err(later),
        };
        let now = self.desk.now();
        let place = (signal.index, signal.n);
        let since = match self.refused {
            Some((of, since)) if of == place => since,
            _ => now,
        };
        self.refused = Some((place, since));
        if now - since < self.signals.settings.give_up.0 {
            return Err(Trouble::Refused(reason));
        }
        let said = self
            .try_note("alert.signal-rejected", Some(signal.index), Some(&reason))
            .await;
        // Unsaid it is not given up.
        said.map_err(Trouble::from)?;
        Ok(0)
    }

    /// What the log keeps of a suspension that was told: by which entry, to whom, how many.
    async fn say(&self, wanted: &[Signal], told: &BTreeMap<u64, u32>) {
        for (index, count) in told {
            let counts = |it: &&Signal| it.index == *index;
            let standing = wanted
                .iter()
                .filter(counts)
                .any(|it| matches!(it.what, What::Disabled | What::Enabled));
            if standing && *count > 0 {
                let more = json!({ "signals": count });
                self.write("signal.delivered", Some(*index), None, more)
                    .await;
            }
        }
    }

    /// A polling receiver that does not come is said once.
    async fn watch(&mut self, stream: &SignalStream, filter: &Filter<'_>) -> Result<bool, Trouble> {
        let window = self.desk.signal_window(stream, filter, 1).await?;
        let now = self.desk.now();
        let late = window
            .pending
            .first()
            .filter(|first| now - first.at >= self.signals.settings.alert_after.0);
        match late {
            None => self.flowing().await,
            // One instance says it.
            Some(first) if !self.outage.said => {
                if self.desk.take_stream(&self.place, None).await?.is_some() {
                    let said = self
                        .try_note(
                            "alert.signal-undelivered",
                            Some(first.index),
                            Some("not-fetched"),
                        )
                        .await;
                    self.outage.said = said.is_ok();
                }
            }
            Some(_) => {}
        }
        Ok(false)
    }

    async fn failing(&mut self, reason: &str) {
        let now = self.desk.now();
        let since = *self.outage.since.get_or_insert(now);
        if !self.outage.said && now - since >= self.signals.settings.alert_after.0 {
            let index = self.next.map(|(next, _)| next);
            let said = self.try_note("alert.signal-undelivered", index, Some(reason));
            self.outage.said = said.await.is_ok();
        }
    }

    async fn flowing(&mut self) {
        if self.outage.said {
            self.note("signal.flowing", None, None).await;
        }
        self.outage = Outage::default();
    }

    async fn note(&self, kind: &'static str, index: Option<u64>, reason: Option<&str>) {
        self.write(kind, index, reason, Value::Null).await;
    }

    async fn try_note(
        &self,
        kind: &'static str,
        index: Option<u64>,
        reason: Option<&str>,
    ) -> Result<(), DeskError> {
        let data = self.data(index, reason, Value::Null);
        self.desk.note(kind, None, data).await
    }

    async fn write(
        &self,
        kind: &'static str,
        index: Option<u64>,
        reason: Option<&str>,
        more: Value,
    ) {
        let data = self.data(index, reason, more);
        if let Err(error) = self.desk.note(kind, None, data).await {
            tracing::warn!(%error, kind, "not written");
        }
    }

    fn data(&self, index: Option<u64>, reason: Option<&str>, more: Value) -> Map<String, Value> {
        let mut data = match more {
            Value::Object(more) => more,
            _ => Map::new(),
        };
        data.insert("receiver".to_owned(), json!(self.name));
        if let Some(index) = index {
            data.insert("entry".to_owned(), json!(index));
        }
        if let Some(reason) = reason {
            data.insert("reason".to_owned(), json!(reason));
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_receivers_word_is_taken_when_it_is_one() {
        assert_eq!(word(Some("invalid_key"), "x"), "invalid-key");
        for odd in ["", "Invalid", "a b", "a\n", &"a".repeat(65)] {
            assert_eq!(word(Some(odd), "x"), "x", "{odd:?}");
        }
        assert_eq!(word(None, "x"), "x");
    }
}
