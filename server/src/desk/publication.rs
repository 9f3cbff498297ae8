//! The log's checkpoints on their way out: offered to the configured witnesses (C2SP tlog-witness), kept with what they answered, and demanded
//! back before a permit where the policy says so.
//!
//! Without witnesses the checkpoint of every committed entry is public at once. With them a checkpoint is offered each second while there are
//! entries, each minute otherwise (so that cosignatures say that nothing was hidden since), and published when all have answered or a second
//! later; what comes after is added. Sizes only rise: a checkpoint is made of the committed head.
//!
//! Trusts nothing of a witness's answer but a signature that verifies under its configured key, over our own checkpoint. A row of the store counts
//! no more than the signatures in it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sceau_proof::log::note::{Note, SignatureLine, VerifyingKey};
use sceau_proof::log::witness::AddCheckpoint;
use sceau_proof::log::{Checkpoint, Hash, checkpoint, consistency_proof, tree};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};

use super::{Desk, DeskError, Inner, Shared};
use crate::action::{ActionRecord, Requirement, State};
use crate::id::ActionId;
use crate::policy::{Decision, Reason};
use crate::store::checkpoint::Published;
use crate::store::log::Hashes;
use crate::store::{self, StoreError};
use crate::web::{Answer, Web};
use crate::writer::{Command, Fault, Tx};

/// How often a checkpoint is offered while there are entries.
const BEAT: Duration = Duration::from_secs(1);
/// How often it is offered again when nothing happens.
const IDLE: time::Duration = time::Duration::MINUTE;
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this long without its cosignature a witness is called silent.
const SILENCE: time::Duration = time::Duration::minutes(5);
/// Published checkpoints that are looked through for enough cosignatures.
const LOOKED_AT: u32 = 16;
/// A witness's whole answer.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// A witness of ours.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Its key, by configuration.
    pub key: VerifyingKey,
    /// Its submission prefix.
    pub url: String,
}

/// Who witnesses the log, and what waits for them.
#[derive(Debug, Clone, Default)]
pub struct Witnessing {
    /// The witnesses.
    pub witnesses: Vec<Witness>,
    /// Cosignatures that permits need, by action type (`prefix.*` and `*` too).
    pub demanded: Vec<(String, u32)>,
    /// How long a permit waits for what is missing.
    pub patience: Duration,
}

/// How a witness stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessStanding {
    /// Its name.
    pub name: String,
    /// Entries in the last checkpoint that it cosigned for this instance.
    pub size: u64,
    /// When; `None` since the start of this instance.
    pub at: Option<OffsetDateTime>,
    /// What is wrong, kebab-case.
    pub trouble: Option<&'static str>,
}

/// What the desk keeps of its witnesses.
pub(super) struct Press {
    witnessing: Witnessing,
    log: VerifyingKey,
    wanted: Notify,
    published: watch::Sender<u64>,
    standing: Mutex<Vec<WitnessStanding>>,
}

impl Press {
    pub(super) fn new(witnessing: Witnessing, log: VerifyingKey) -> Self {
        let standing = witnessing
            .witnesses
            .iter()
            .map(|witness| WitnessStanding {
                name: witness.key.name().to_owned(),
                size: 0,
                at: None,
                trouble: None,
            })
            .collect();
        Self {
            witnessing,
            log,
            wanted: Notify::new(),
            published: watch::channel(0).0,
            standing: Mutex::new(standing),
        }
    }

    /// Somebody waits for the newest checkpoint.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    fn keys(&self) -> Vec<VerifyingKey> {
        self.witnessing
            .witnesses
            .iter()
            .map(|witness| witness.key.clone())
            .collect()
    }

    /// How many witnesses' signatures over this checkpoint verify.
    fn count(&self, published: &Published) -> u32 {
        let mut text = Checkpoint::new(self.log.name(), published.size, published.root).text();
        text.push('\n');
        for line in &published.cosignatures {
            text.push_str(line);
            text.push('\n');
        }
        let Ok(note) = Note::parse(text.as_bytes()) else {
            return 0;
        };
        let count = checkpoint::cosignatures(&note, &self.keys()).len();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The policy's decision, with the cosignatures that the configuration demands.
    pub(super) fn demand(&self, decision: Decision, kind: &str, own: bool) -> Decision {
        let (mut requirement, lifetime, by_key) = match decision {
            Decision::Require(requirement, lifetime) => (requirement, lifetime, true),
            Decision::Allow(requirement, lifetime) => (requirement, lifetime, false),
            denied @ Decision::Deny(_) => return denied,
        };
        let configured = self
            .witnessing
            .demanded
            .iter()
            .filter(|(pattern, _)| match pattern.strip_suffix('*') {
                Some(prefix) => !own && kind.starts_with(prefix),
                None => kind == pattern,
            })
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0);
        requirement.cosignatures = requirement.cosignatures.max(configured);
        let needed = usize::try_from(requirement.cosignatures).unwrap_or(usize::MAX);
        if needed > 0 && own {
            // They are done in the transaction of their last approval, which nobody can have witnessed.
            return Decision::Deny(Reason::Rule("cosignatures-of-own-action".to_owned()));
        }
        if needed > self.witnessing.witnesses.len() {
            return Decision::Deny(Reason::Rule("too-few-witnesses".to_owned()));
        }
        if by_key {
            Decision::Require(requirement, lifetime)
        } else {
            Decision::Allow(requirement, lifetime)
        }
    }

    fn told(&self, index: usize, change: impl FnOnce(&mut WitnessStanding)) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(witness) = standing.get_mut(index) {
            change(witness);
        }
    }
}

impl Shared {
    /// Whether enough witnesses have cosigned a checkpoint that holds all approvals of this action, or its request when none is needed.
    pub(super) async fn witnessed(
        &self,
        connection: &mut sqlx::AnyConnection,
        record: &ActionRecord,
    ) -> Result<Result<(), DeskError>, StoreError> {
        let needed = record
            .requirement
            .as_ref()
            .map_or(0, |requirement| requirement.cosignatures);
        if needed == 0 {
            return Ok(Ok(()));
        }
        let last = store::action::last_sealed(connection, record.id).await?;
        let mut best = 0;
        for published in store::checkpoint::newest(connection, last, LOOKED_AT).await? {
            best = best.max(self.press.count(&published));
            if best >= needed {
                return Ok(Ok(()));
            }
        }
        Ok(Err(DeskError::Unwitnessed { needed, have: best }))
    }
}

impl Desk {
    /// How the witnesses stand.
    #[must_use]
    pub fn witnesses(&self) -> Vec<WitnessStanding> {
        self.inner
            .shared
            .press
            .standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits, as long as configured, until enough witnesses have seen the action's approvals. Returns also when they have not: the transaction
    /// that follows decides.
    pub(super) async fn await_witnesses(&self, id: ActionId) -> Result<(), DeskError> {
        let press = &self.inner.shared.press;
        let mut published = press.published.subscribe();
        let waiting = async {
            loop {
                let Some(record) = self.action(id).await? else {
                    return Ok(());
                };
                let needed = record.requirement.as_ref().map_or(0, |it| it.cosignatures);
                if needed == 0 || record.state != State::Approved {
                    return Ok(());
                }
                let mut connection = self.reader().await?;
                let witnessed =
                    self.stored(self.inner.shared.witnessed(&mut connection, &record).await)?;
                drop(connection);
                if witnessed.is_ok() {
                    return Ok(());
                }
                press.want();
                // Another instance may be the one that publishes.
                let _ = tokio::time::timeout(BEAT, published.changed()).await;
            }
        };
        tokio::time::timeout(press.witnessing.patience, waiting)
            .await
            .unwrap_or(Ok(()))
    }

    /// The checkpoint that is public: with witnesses the newest that was offered to them, without them that of the head.
    pub(super) async fn public_checkpoint(&self) -> Result<String, DeskError> {
        let mut connection = self.reader().await?;
        if !self.inner.shared.press.witnessing.witnesses.is_empty() {
            let newest = self.stored(store::checkpoint::newest(&mut connection, None, 1).await)?;
            if let Some(published) = newest.first() {
                return self.note_of(published);
            }
        }
        let head = self.stored(store::log::head(&mut connection).await)?;
        self.sign_checkpoint(head.frontier.size(), head.frontier.root())
    }

    /// With witnesses: waits a moment until a checkpoint that holds the entry at `index` is published.
    pub(super) async fn await_publication(&self, index: u64) -> Result<(), DeskError> {
        let press = &self.inner.shared.press;
        if press.witnessing.witnesses.is_empty() {
            return Ok(());
        }
        let mut published = press.published.subscribe();
        let waiting = async {
            loop {
                let mut connection = self.reader().await?;
                let newest = store::checkpoint::newest(&mut connection, Some(index), 1).await;
                if !self.stored(newest)?.is_empty() {
                    return Ok(());
                }
                drop(connection);
                press.want();
                let _ = tokio::time::timeout(BEAT, published.changed()).await;
            }
        };
        tokio::time::timeout(3 * BEAT, waiting)
            .await
            .unwrap_or(Ok(()))
    }

    /// The checkpoint for a bundle whose last entry is at `last`: the best cosigned one that holds it, or that of the head. With its size.
    pub(super) async fn covering_checkpoint(
        &self,
        connection: &mut sqlx::AnyConnection,
        last: u64,
    ) -> Result<(u64, String), DeskError> {
        let press = &self.inner.shared.press;
        let mut best: Option<(u32, Published)> = None;
        if !press.witnessing.witnesses.is_empty() {
            let candidates = store::checkpoint::newest(connection, Some(last), LOOKED_AT).await;
            for published in self.stored(candidates)? {
                let count = press.count(&published);
                if count > best.as_ref().map_or(0, |(most, _)| *most) {
                    best = Some((count, published));
                }
            }
        }
        match best {
            Some((_, published)) => Ok((published.size, self.note_of(&published)?)),
            None => {
                let head = self.stored(store::log::head(connection).await)?;
                let size = head.frontier.size();
                Ok((size, self.sign_checkpoint(size, head.frontier.root())?))
            }
        }
    }

    fn note_of(&self, published: &Published) -> Result<String, DeskError> {
        let mut note = self.sign_checkpoint(published.size, published.root)?;
        for line in &published.cosignatures {
            note.push_str(line);
            note.push('\n');
        }
        Ok(note)
    }

    /// What is approved and was left without a permit until witnesses had seen it.
    async fn release(&self) {
        let waiting = async {
            let mut connection = self.reader().await?;
            self.stored(store::action::approved_without_permit(&mut connection, self.now()).await)
        };
        for action in waiting.await.unwrap_or_default() {
            let released = self
                .run(super::execute::Release {
                    shared: Arc::clone(&self.inner.shared),
                    action,
                })
                .await;
            if let Err(error) | Ok(Err(error)) = released {
                tracing::debug!(%action, %error, "still without a permit");
            }
        }
    }
}

/// What is offered: a size and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    size: u64,
    root: Hash,
    /// Counts offers, so that the same size is offered again.
    round: u64,
}

/// What became of one offer at one witness.
struct Outcome {
    witness: usize,
    offer: Offer,
    answer: Result<SignatureLine, Trouble>,
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Not reached, or an answer that is none.
    Unreachable,
    /// It has cosigned a longer log than this store has.
    Ahead(u64),
    /// It says that our log is not the one that it has seen.
    Contradicted,
    /// It does not know our log, or its key.
    Unknown,
}

/// Offers and collects. Ends with the desk.
pub(super) async fn publish(inner: Weak<Inner>) {
    let Some(strong) = inner.upgrade() else {
        return;
    };
    let press_of = Arc::clone(&strong.shared);
    let witnesses = press_of.press.witnessing.witnesses.clone();
    drop(strong);
    if witnesses.is_empty() {
        return;
    }
    let (offers, offered) = watch::channel(None::<Offer>);
    let (results, mut outcomes) = mpsc::channel(witnesses.len() * 2);
    let web = Web::new(PATIENCE, "sceau-server");
    // They end when `offers` does, with this future.
    for (index, witness) in witnesses.iter().cloned().enumerate() {
        tokio::spawn(serve_witness(
            inner.clone(),
            index,
            witness,
            web.clone(),
            offered.clone(),
            results.clone(),
        ));
    }
    let mut round = Round {
        outstanding: vec![false; witnesses.len()],
        ..Round::default()
    };
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        if let Err(error) = round.beat(&desk, &offers).await {
            tracing::debug!(%error, "no checkpoint was offered");
        }
        let answered = round.listen(&desk, &mut outcomes).await;
        round.watch_silence(&desk).await;
        drop(desk);
        if answered {
            // A permit that waits shortens the pause.
            let wanted = press_of.press.wanted.notified();
            let _ = tokio::time::timeout(BEAT, wanted).await;
        }
    }
}

#[derive(Default)]
struct Round {
    offer: Option<Offer>,
    at: Option<OffsetDateTime>,
    /// Which witnesses have not answered this offer yet.
    outstanding: Vec<bool>,
    is_published: bool,
    alerted: Vec<(usize, Trouble)>,
}

impl Round {
    /// Offers the head, when it is new or a minute has passed.
    async fn beat(
        &mut self,
        desk: &Desk,
        offers: &watch::Sender<Option<Offer>>,
    ) -> Result<(), DeskError> {
        let mut connection = desk.reader().await?;
        let head = desk.stored(store::log::head(&mut connection).await)?;
        drop(connection);
        let (size, now) = (head.frontier.size(), desk.now());
        let is_new = self.offer.is_none_or(|offer| offer.size < size);
        let is_due = self.at.is_none_or(|at| now - at >= IDLE);
        if size == 0 || !(is_new || is_due) {
            return Ok(());
        }
        let offer = Offer {
            size,
            root: head.frontier.root(),
            round: self.offer.map_or(0, |offer| offer.round) + 1,
        };
        (self.offer, self.at) = (Some(offer), Some(now));
        self.outstanding.fill(true);
        self.is_published = false;
        offers.send_replace(Some(offer));
        Ok(())
    }

    /// Takes what comes until all have answered this offer, or a beat has passed; publishes it. Returns whether all have answered.
    async fn listen(&mut self, desk: &Desk, outcomes: &mut mpsc::Receiver<Outcome>) -> bool {
        let Some(offer) = self.offer else { return true };
        let mut lines: Vec<(Offer, String)> = Vec::new();
        let deadline = tokio::time::Instant::now() + BEAT;
        while self.outstanding.contains(&true) {
            let Ok(Some(outcome)) = tokio::time::timeout_at(deadline, outcomes.recv()).await else {
                break;
            };
            if outcome.offer.round == offer.round
                && let Some(outstanding) = self.outstanding.get_mut(outcome.witness)
            {
                *outstanding = false;
            }
            match outcome.answer {
                Ok(line) => {
                    self.alerted
                        .retain(|(witness, _)| *witness != outcome.witness);
                    let now = desk.now();
                    let told = |standing: &mut WitnessStanding| {
                        standing.size = outcome.offer.size;
                        standing.at = Some(now);
                        standing.trouble = None;
                    };
                    desk.inner.shared.press.told(outcome.witness, told);
                    lines.push((outcome.offer, line.to_string()));
                }
                Err(trouble) => self.trouble(desk, outcome.witness, trouble).await,
            }
        }
        if !lines.is_empty() || !self.is_published {
            self.is_published = self.save(desk, offer, &lines).await;
        }
        !self.outstanding.contains(&true)
    }

    /// Publishes what came, by offer: what a slow witness said of an earlier one is added to that.
    async fn save(&self, desk: &Desk, newest: Offer, lines: &[(Offer, String)]) -> bool {
        let mut offers: Vec<Offer> = lines.iter().map(|(offer, _)| *offer).collect();
        offers.push(newest);
        offers.sort_by_key(|offer| offer.round);
        offers.dedup();
        for offer in offers {
            let publish = Publish {
                size: offer.size,
                root: offer.root,
                lines: lines
                    .iter()
                    .filter(|(of, _)| of == &offer)
                    .map(|(_, line)| line.clone())
                    .collect(),
            };
            if let Err(error) = desk.run(publish).await {
                tracing::warn!(%error, "a checkpoint was not published");
                return false;
            }
        }
        desk.inner.shared.press.published.send_replace(newest.size);
        desk.release().await;
        true
    }

    /// Says what is wrong with a witness, or with us: once, until it has cosigned again.
    async fn trouble(&mut self, desk: &Desk, witness: usize, trouble: Trouble) {
        let word = match trouble {
            Trouble::Unreachable => "unreachable",
            Trouble::Ahead(size) => {
                // Another instance may have offered more than we knew: only a store that is shorter still has gone back.
                let shorter = async {
                    let mut connection = desk.reader().await?;
                    let head = desk.stored(store::log::head(&mut connection).await)?;
                    Ok::<_, DeskError>(head.frontier.size() < size)
                };
                if !matches!(shorter.await, Ok(true)) {
                    return;
                }
                "rolled-back"
            }
            Trouble::Contradicted => "forked",
            Trouble::Unknown => "unknown-log",
        };
        desk.inner
            .shared
            .press
            .told(witness, |standing| standing.trouble = Some(word));
        let known = self
            .alerted
            .iter()
            .any(|(index, before)| *index == witness && before == &trouble);
        if known || trouble == Trouble::Unreachable {
            return;
        }
        self.alerted.push((witness, trouble));
        let kind = match word {
            "rolled-back" => "alert.log-rolled-back",
            "forked" => "alert.log-forked",
            _ => "alert.witness-refused",
        };
        tracing::error!(witness, word, "a witness does not cosign");
        self.note(desk, kind, witness, word).await;
    }

    async fn note(&self, desk: &Desk, kind: &'static str, witness: usize, word: &'static str) {
        let name = desk
            .witnesses()
            .get(witness)
            .map(|standing| standing.name.clone())
            .unwrap_or_default();
        let data = [("witness", name.as_str()), ("reason", word)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)))
            .collect();
        if let Err(error) = desk.note(kind, None, data).await {
            tracing::error!(%error, kind, "an alert was not logged");
        }
    }

    /// A witness that has not cosigned for minutes: an entry, once.
    async fn watch_silence(&mut self, desk: &Desk) {
        let (now, started) = (desk.now(), self.at.unwrap_or(desk.now()));
        for (index, standing) in desk.witnesses().into_iter().enumerate() {
            let last = standing.at.unwrap_or(started);
            let silent = (index, Trouble::Unreachable);
            if now - last >= SILENCE && !self.alerted.contains(&silent) {
                self.alerted.push(silent);
                self.note(desk, "alert.witness-silent", index, "silent")
                    .await;
            }
        }
    }
}

/// One witness's own task: takes the newest offer, asks, tells.
async fn serve_witness(
    inner: Weak<Inner>,
    index: usize,
    witness: Witness,
    web: Web,
    mut offered: watch::Receiver<Option<Offer>>,
    results: mpsc::Sender<Outcome>,
) {
    let mut last = 0;
    while offered.changed().await.is_ok() {
        let Some(offer) = *offered.borrow_and_update() else {
            continue;
        };
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let desk = Desk { inner: strong };
        let answer = ask(&desk, &witness, &web, offer, &mut last).await;
        drop(desk);
        let outcome = Outcome {
            witness: index,
            offer,
            answer,
        };
        if results.send(outcome).await.is_err() {
            return;
        }
    }
}

/// Asks a witness; when it says that it cosigned another size last, once more from there.
async fn ask(
    desk: &Desk,
    witness: &Witness,
    web: &Web,
    offer: Offer,
    last: &mut u64,
) -> Result<SignatureLine, Trouble> {
    for _ in 0..3 {
        let answer = submit(desk, witness, web, offer, *last).await?;
        match answer.status {
            200 => {
                let line =
                    cosignature(desk, witness, offer, &answer.body).ok_or(Trouble::Unreachable)?;
                *last = offer.size;
                return Ok(line);
            }
            409 => {
                let size: u64 = std::str::from_utf8(&answer.body)
                    .ok()
                    .and_then(|text| text.trim_end().parse().ok())
                    .ok_or(Trouble::Unreachable)?;
                if size > offer.size {
                    return Err(Trouble::Ahead(size));
                }
                if size == *last {
                    return Err(Trouble::Contradicted);
                }
                *last = size;
            }
            422 => return Err(Trouble::Contradicted),
            403 | 404 => return Err(Trouble::Unknown),
            _ => return Err(Trouble::Unreachable),
        }
    }
    Err(Trouble::Unreachable)
}

async fn submit(
    desk: &Desk,
    witness: &Witness,
    web: &Web,
    offer: Offer,
    old: u64,
) -> Result<Answer, Trouble> {
    let old = old.min(offer.size);
    let request = async {
        let mut hashes = Hashes::default();
        let nodes = tree::consistency_nodes(old, offer.size)
            .map_err(|_| DeskError::Misuse("sizes of a consistency proof"))?;
        let mut connection = desk.reader().await?;
        desk.stored(hashes.fetch(&mut connection, &nodes).await)?;
        let proof = consistency_proof(&hashes, old, offer.size)
            .map_err(|_| DeskError::Misuse("log lacks a hash"))?;
        let note = desk.sign_checkpoint(offer.size, offer.root)?;
        let note = Note::parse(note.as_bytes()).map_err(|_| DeskError::Misuse("own checkpoint"))?;
        Ok::<_, DeskError>(AddCheckpoint { old, proof, note })
    };
    let body = request
        .await
        .map_err(|_| Trouble::Unreachable)?
        .to_body()
        .into_bytes();
    let url = format!("{}/add-checkpoint", witness.url.trim_end_matches('/'));
    let web = web.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let kind = [("content-type", "text/plain; charset=utf-8")];
        web.post(&url, &kind, &body, LONGEST_ANSWER)
    });
    match asked.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::debug!(witness = witness.key.name(), error, "not reached");
            Err(Trouble::Unreachable)
        }
        Err(_) => Err(Trouble::Unreachable),
    }
}

/// The witness's line among those that it answered, when it verifies.
fn cosignature(
    desk: &Desk,
    witness: &Witness,
    offer: Offer,
    answer: &[u8],
) -> Option<SignatureLine> {
    let note = desk.sign_checkpoint(offer.size, offer.root).ok()?;
    let answer = std::str::from_utf8(answer).ok()?;
    answer
        .lines()
        .filter_map(SignatureLine::parse)
        .filter(|line| line.name() == witness.key.name())
        .find(|line| {
            let mut note = match Note::parse(note.as_bytes()) {
                Ok(note) => note,
                Err(_) => return false,
            };
            note.attach(line.clone());
            checkpoint::cosignatures(&note, std::slice::from_ref(&witness.key)).len() == 1
        })
}

/// Keeps a checkpoint with what witnesses said of it, beside what is there of its size already.
struct Publish {
    size: u64,
    root: Hash,
    lines: Vec<String>,
}

impl Command for Publish {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let before = store::checkpoint::of_size(tx.connection, self.size).await?;
        let mut cosignatures = self.lines.clone();
        if let Some(before) = before {
            let name = |line: &str| SignatureLine::parse(line).map(|line| line.name().to_owned());
            let fresh: Vec<_> = cosignatures.iter().map(|line| name(line)).collect();
            cosignatures.extend(
                before
                    .cosignatures
                    .into_iter()
                    .filter(|line| !fresh.contains(&name(line))),
            );
        }
        let published = Published {
            size: self.size,
            root: self.root,
            cosignatures,
            at: tx.now,
        };
        store::checkpoint::save(tx.connection, &published).await?;
        Ok(())
    }
}

/// Whether this requirement leaves the permit until witnesses have seen the approvals.
pub(super) fn is_withheld(requirement: Option<&Requirement>) -> bool {
    requirement.is_some_and(|requirement| requirement.cosignatures > 0)
}
