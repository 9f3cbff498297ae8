//! The desk: the one place where decisions become state. Everything that HTTP handlers and the gate do to actions,
//! sessions and keys goes through here: parse → load → decide (pure) → save state *and* log entry in one
//! transaction → respond.
//!
//! What a method promises: when it returns `Ok`, what it says is durable and logged. When it returns
//! [`DeskError::Unavailable`], it may or may not have happened; ask again with the same identifier.
//!
//! Trusts: the store's rows (this server wrote them) and the ports. Does not trust: anything in a `NewAction`,
//! [`ApprovalClaim`] or token.

mod action;
mod background;
mod break_glass;
mod console;
mod dormancy;
mod eligible;
mod enrolment;
mod erase;
mod evidence;
mod execute;
pub(crate) mod fact;
mod identity;
mod inbox;
mod judgement;
mod known;
mod lineage;
mod login;
mod new_key;
mod oauth;
mod open;
mod own;
mod presence;
mod publication;
mod reading;
mod recent;
mod registration;
mod report;
mod revocation;
mod settle;
mod sign_in;
mod signal;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sceau_proof::evidence::Response;
use sceau_proof::log::entry::sha256;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

use crate::attestation::Judge;
use crate::hub::Hub;
use crate::id::{KeyId, PersonId};
use crate::key::{KeyRecord, KeyState, KeySummary};
use crate::piv::Cards;
use crate::policy::Policy;
use crate::port::{NoRandomness, Ports};
use crate::presence::Presence;
use crate::rate::Limits;
use crate::store::{self, Store, StoreError};
use crate::writer::{Command, Writer};

pub use console::{Alerts, EntryProof, MetadataStanding, Noted, Since};
pub use eligible::{AwaitedGroup, AwaitedPerson};
pub use enrolment::{
    HandedOut, OpenedEnrolment, Registered, RegistrationClaim, RegistrationRefused,
};
pub use execute::Consumed;
pub use identity::LoginClaim;
pub use inbox::{Inbox, InboxEvent};
pub use judgement::{Believed, Contradiction, REVIEW, Review};
pub use lineage::Fall;
pub use login::{NewLogin, Redeemed, SignedIn};
pub use oauth::{Asked as AskedByService, PACE, Polled, Pushed, Returned, SERVICE_TOKEN};
pub use presence::{Asked, BeatAnswer, ProofClaim, Standing};
pub use publication::{Witness, WitnessStanding, Witnessing};
pub use reading::{Counted, Found, Reader};
pub use signal::StreamChange;

use evidence::response;

/// An approval as it arrives. A claim: nothing is checked yet.
#[derive(Debug, Clone)]
pub struct ApprovalClaim {
    /// Who says that they approve; authenticated by their session.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// What the key answered.
    pub response: Response,
}

/// Why a person refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// They did not ask for it: the session that asked is suspended too.
    NotMe,
    /// They asked, and it is wrong.
    Mistake,
    /// Something else.
    Other,
}

/// Why an action ends without a person's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The client that held the connection went away.
    ClientGone,
    /// Holding serves no more and the request was not deferred.
    HoldTimeout,
}

/// What the desk may answer instead of doing it. The message is public; causes are in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// Does not parse; the words say which part.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No such action, session or key, or not for this caller's eyes.
    #[error("not found")]
    NotFound,
    /// The requester or approver is not a person of ours who may act.
    #[error("unknown person")]
    UnknownPerson,
    /// The caller may not do this.
    #[error("forbidden")]
    Forbidden,
    /// This person does not count for this action.
    #[error("not an approver: {0}")]
    NotAnApprover(&'static str),
    /// It is already settled, in this state.
    #[error("already settled: {}", .0.as_str())]
    AlreadySettled(crate::action::State),
    /// It waits for approvals still.
    #[error("still pending")]
    StillPending,
    /// Its one use was taken.
    #[error("already used")]
    AlreadyUsed,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Policy asks for less than the level that the service wants.
    #[error("the level cannot be reached")]
    LevelUnreachable,
    /// The assertion or signature failed a check; the reason is in the log entry.
    #[error("not verified")]
    NotVerified,
    /// Too many: try again after so long.
    #[error("limited")]
    Limited {
        /// When to try again.
        retry_after: Duration,
    },
    /// What is known of models is missing or too old to approve anything privileged by it; which of the two.
    #[error("nothing can be believed of keys: {0}")]
    Blind(&'static str),
    /// Fewer witnesses than are demanded have cosigned what this action rests on.
    #[error("{have} of {needed} cosignatures")]
    Unwitnessed {
        /// How many are demanded.
        needed: u32,
        /// How many there are.
        have: u32,
    },
    /// The server's clock is behind what the store has already seen; nothing is decided.
    #[error("clock went back")]
    ClockWentBack,
    /// Store or randomness gone; whether it happened is not known.
    #[error("unavailable")]
    Unavailable,
    /// Others were begotten since the lineage was looked at: look again before it is sealed.
    #[error("the lineage has changed")]
    LineageChanged,
    /// The glass was broken before, and nobody has reviewed that.
    #[error("the last opening must be reviewed first")]
    ReviewFirst,
    /// Our own mistake.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

/// What the desk decides with; fixed while it runs.
pub struct Settings {
    /// The policy.
    pub policy: Policy,
    /// Prompt-fatigue limits.
    pub limits: Limits,
    /// WebAuthn's relying party id.
    pub rp_id: String,
    /// Origins that may have made an assertion or registration.
    pub origins: Vec<String>,
    /// The https origin of this server: issuer of permits.
    pub public_url: String,
    /// Name of this instance.
    pub instance: String,
    /// How long a sealed session lives.
    pub session_lifetime: time::Duration,
    /// How long an invitation is good.
    pub invitation_lifetime: time::Duration,
    /// Signs permits.
    pub permit_key: sceau_proof::permit::SigningKey,
    /// The key before it, while what it signed may be under way.
    pub permit_previous: Option<RetiredKey>,
    /// Signs checkpoints.
    pub log_key: sceau_proof::log::note::SigningKey,
    /// The key before it, while both sign.
    pub log_previous: Option<sceau_proof::log::note::SigningKey>,
    /// SHA-256 of the configuration, where there is one.
    pub configuration: Option<[u8; 32]>,
    /// Who witnesses the log.
    pub witnessing: Witnessing,
    /// Judges registrations.
    pub judge: Judge,
    /// Judges those of cards; without it none is enrolled.
    pub cards: Option<Cards>,
    /// Which sessions need their key to stay; without it none does.
    pub presence: Option<Presence>,
}

/// A public key that signs no more and is published still.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredKey {
    /// The key.
    pub jwk: sceau_proof::permit::Jwk,
    /// Until when.
    #[serde(with = "time::serde::timestamp")]
    pub until: OffsetDateTime,
}

/// What commands share.
pub(crate) struct Shared {
    hub: Arc<Hub>,
    policy: Policy,
    policy_sha256: [u8; 32],
    limits: Limits,
    rp_id: String,
    origins: Vec<String>,
    public_url: String,
    instance: String,
    session_lifetime: crate::config::Span,
    invitation_lifetime: crate::config::Span,
    permit_key: sceau_proof::permit::SigningKey,
    permit_previous: Option<RetiredKey>,
    log_origin: String,
    press: publication::Press,
    judge: Judge,
    cards: Option<Cards>,
    presence: Option<Presence>,
    alerts: Arc<Mutex<HashMap<PersonId, OffsetDateTime>>>,
    blocked: Arc<Mutex<HashMap<crate::id::KeyId, OffsetDateTime>>>,
    /// When a permit that the log does not know was last said.
    unlogged: Arc<Mutex<Option<OffsetDateTime>>>,
}

struct Inner {
    ports: Ports,
    store: Store,
    hub: Arc<Hub>,
    writer: Writer,
    recent: recent::Recent,
    /// Something changed of which sessions need presence, and until when.
    presence_news: Arc<tokio::sync::Notify>,
    shared: Arc<Shared>,
    log_key: sceau_proof::log::note::SigningKey,
    log_previous: Option<sceau_proof::log::note::SigningKey>,
    _background: DropGuard,
}

/// The desk. Cheap to clone; its background tasks end with the last clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl From<NoRandomness> for DeskError {
    fn from(_: NoRandomness) -> Self {
        Self::Unavailable
    }
}

/// 32 random bytes, base64url: a token or an invitation.
fn secret(ports: &Ports) -> Result<Zeroizing<String>, NoRandomness> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(ports.bytes()?);
    Ok(Zeroizing::new(sceau_proof::base64url::encode(*bytes)))
}

/// What the owner's agent is told of live keys.
fn live(keys: &[KeyRecord]) -> Vec<KeySummary> {
    keys.iter()
        .filter(|key| key.state == KeyState::Live)
        .map(KeyRecord::summary)
        .collect()
}

/// What the owner's agent is told of keys that may seal a sign-in: those that wait for their first use, too.
fn for_sign_in(keys: &[KeyRecord]) -> Vec<KeySummary> {
    keys.iter()
        .filter(|key| matches!(key.state, KeyState::Live | KeyState::Waiting))
        .map(KeyRecord::summary)
        .collect()
}

/// Digest of a JSON value's canonical bytes (docs/evidence.md).
fn digest(value: &Value) -> Result<[u8; 32], DeskError> {
    sceau_proof::evidence::json_sha256(value)
        .map_err(|_| DeskError::Misuse("value without canonical form"))
}

impl Desk {
    /// Opens the desk on a store: what this instance had begun and not reported is settled, the policy in force is logged, and the
    /// background tasks start (writer, sweep, reader of other instances' entries).
    ///
    /// # Errors
    /// `Unavailable`, `ClockWentBack`.
    pub async fn start(store: Store, ports: Ports, settings: Settings) -> Result<Self, DeskError> {
        let hub = Arc::new(Hub::default());
        let writer = Writer::start(store.clone(), ports.clone(), Arc::clone(&hub));
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            policy_sha256: sha256(settings.policy.text().as_bytes()),
            policy: settings.policy,
            limits: settings.limits,
            rp_id: settings.rp_id,
            origins: settings.origins,
            public_url: settings.public_url,
            instance: settings.instance,
            session_lifetime: crate::config::Span(settings.session_lifetime),
            invitation_lifetime: crate::config::Span(settings.invitation_lifetime),
            permit_key: settings.permit_key,
            permit_previous: settings.permit_previous,
            log_origin: settings.log_key.verifying_key().name().to_owned(),
            press: publication::Press::new(
                settings.witnessing,
                settings.log_key.verifying_key().clone(),
            ),
            judge: settings.judge,
            presence: settings.presence,
            cards: settings.cards.map(|cards| cards.with_ports(ports.clone())),
            alerts: Arc::default(),
            blocked: Arc::default(),
            unlogged: Arc::default(),
        });
        let stop = CancellationToken::new();
        let desk = Self {
            inner: Arc::new(Inner {
                ports,
                store,
                hub,
                writer,
                recent: recent::Recent::default(),
                presence_news: Arc::default(),
                shared: Arc::clone(&shared),
                log_key: settings.log_key,
                log_previous: settings.log_previous,
                _background: stop.clone().drop_guard(),
            }),
        };
        let size = desk
            .stored(store::log::head(&mut *desk.reader().await?).await)?
            .frontier
            .size();
        desk.inner.hub.read_to(size);
        desk.run(background::Started {
            shared: Arc::clone(&shared),
            configuration: settings.configuration,
            log_key: desk.log_vkey().to_string(),
        })
        .await?;
        desk.run(settle::Sweep {
            shared: Arc::clone(&shared),
            restarted: true,
        })
        .await?;
        desk.run(presence::Rearm { shared }).await?;
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(presence::keep(Arc::downgrade(&desk.inner))),
        );
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(background::sweep(Arc::downgrade(&desk.inner))),
        );
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(publication::publish(Arc::downgrade(&desk.inner))),
        );
        tokio::spawn(stop.run_until_cancelled_owned(background::look(Arc::downgrade(&desk.inner))));
        Ok(desk)
    }

    async fn run<C: Command>(&self, command: C) -> Result<C::Output, DeskError> {
        self.inner.writer.run(command).await
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, DeskError> {
        self.stored(self.inner.store.reader().await)
    }

    /// The one place where a failing read is logged.
    fn stored<T>(&self, result: Result<T, StoreError>) -> Result<T, DeskError> {
        result.map_err(|error| {
            tracing::error!(%error, "reading the store failed");
            DeskError::Unavailable
        })
    }

    /// The time now, for readers.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.inner.ports.now()
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ready(&self) -> Result<(), DeskError> {
        self.stored(self.inner.store.ping().await)
    }

    /// How many connections wait for actions, and how many inboxes are open.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.inner.hub.waiting()
    }

    /// WebAuthn's relying party id.
    #[must_use]
    pub fn rp_id(&self) -> &str {
        &self.inner.shared.rp_id
    }

    /// Origins that may make assertions: the agent's, then the browser's.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.inner.shared.origins
    }

    /// The https origin of this server.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.inner.shared.public_url
    }
}
