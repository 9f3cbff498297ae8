//! What services ask for by OAuth: an action is written down when it is pushed, and its permit goes out once, by a code or by polling.
//!
//! Who the service is was proven before (`oauth::client`); here an assertion's one use is taken, in a transaction of its own, before
//! anything is done in its name: an assertion that fails afterwards is spent all the same. What is a decision has its entry; that somebody
//! polled, or showed a fresh assertion, decides nothing and has none.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::eligible::end;
use super::execute::{permit_for, usable};
use super::open::{OpenAction, about};
use super::sign_in::token_digest;
use super::{Desk, DeskError, Shared};
use crate::action::{ActionRecord, Caller, NewAction, Requirement, State, Verification};
use crate::id::{ActionId, AuthorizationId, ServiceId};
use crate::provider::level::Level;
use crate::store::oauth::{Authorization, AuthorizationState, Way};
use crate::store::{self, action, oauth};
use crate::writer::{Command, Fault, Tx};

/// How long a browser may take to bring a handle here.
const HANDLE: Duration = Duration::seconds(90);
/// How long a code is good.
const CODE: Duration = Duration::seconds(60);
/// How long a service's own token is good.
pub const SERVICE_TOKEN: Duration = Duration::minutes(10);
/// Least time between two polls, at first; by how much it grows for who polls faster; at most.
pub const PACE: Duration = Duration::seconds(5);
const SLOWEST: Duration = Duration::minutes(1);
/// A poll that a network has hurried is none too fast.
const HURRIED: Duration = Duration::milliseconds(500);
/// How long a request that is over is kept: a code shown again is known as such.
const KEPT: Duration = Duration::days(1);

/// What a service asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The action, as at `POST /v1/actions`.
    pub action: NewAction,
    /// How the answer goes back.
    pub way: Way,
    /// Levels of which one has to be reached; empty when any will do.
    pub levels: Vec<Level>,
    /// The longest time for which the answer serves; the action's own when not given.
    pub patience: Option<Duration>,
}

/// What became of it.
#[derive(Debug)]
pub enum Pushed {
    /// It waits for its approvals, or has what it needs.
    Open {
        /// The handle: part of the `request_uri`, or the `auth_req_id`. Shown once.
        handle: Zeroizing<String>,
        /// The action.
        record: ActionRecord,
        /// How long the handle serves.
        expires_in: Duration,
    },
    /// Policy says no.
    Denied(ActionRecord),
}

/// Where a browser is led back with.
#[derive(Debug)]
pub enum Returned {
    /// A code.
    Code(Authorization, Zeroizing<String>),
    /// Nothing: why the action is not approved.
    Refused(Authorization, String),
}

/// What a poll is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The permit, once.
    Granted(String),
    /// Not yet.
    Pending,
    /// Not so fast.
    SlowDown,
    /// No, and why.
    Denied(String),
    /// Too late.
    Expired,
    /// No such request of this service's, or its answer was given before.
    Unknown,
}

impl Desk {
    /// Takes the one use of the assertion by which a service says who it is; `false` when it was shown before, which leaves an alert.
    ///
    /// # Errors
    /// `ClockWentBack`, `Unavailable`.
    pub async fn take_assertion(
        &self,
        client: &ServiceId,
        jti: &str,
        until: OffsetDateTime,
    ) -> Result<bool, DeskError> {
        self.run(TakeAssertion {
            client: client.clone(),
            // Two services may name theirs alike; no name has a zero byte.
            digest: sha256(format!("{client}\0{jti}").as_bytes()),
            until,
        })
        .await
    }

    /// A token by which a service speaks at the API for [`SERVICE_TOKEN`].
    ///
    /// # Errors
    /// `ClockWentBack`, `Unavailable`.
    pub async fn service_token(&self, client: &ServiceId) -> Result<Zeroizing<String>, DeskError> {
        self.run(ServiceToken {
            client: client.clone(),
        })
        .await
    }

    /// Whose such a token is, while it is good.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn service_of(&self, token: &str) -> Result<Option<ServiceId>, DeskError> {
        let mut connection = self.reader().await?;
        let found = oauth::token(&mut connection, &token_digest(token), self.now()).await;
        self.stored(found)
    }

    /// Writes down what a service asks for, as [`Desk::open_action`], with the handle by which its answer is reached.
    ///
    /// # Errors
    /// As [`Desk::open_action`], and `LevelUnreachable`: then nothing is written.
    pub async fn push(&self, asked: Asked) -> Result<Pushed, DeskError> {
        self.run(Push {
            shared: Arc::clone(&self.inner.shared),
            asked,
        })
        .await?
    }

    /// A browser brings the handle of this service's request, once.
    ///
    /// # Errors
    /// `NotFound` (unknown, another service's, used, too late), `ClockWentBack`, `Unavailable`.
    pub async fn begin_authorization(
        &self,
        handle: &str,
        client: &ServiceId,
        browser: &str,
    ) -> Result<Authorization, DeskError> {
        self.run(BeginAuthorization {
            handle: token_digest(handle),
            client: client.clone(),
            browser: token_digest(browser),
        })
        .await
    }

    /// The request that this browser brought, and its action.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn authorization(
        &self,
        id: AuthorizationId,
        browser: &str,
    ) -> Result<Option<(Authorization, ActionRecord)>, DeskError> {
        let mut connection = self.reader().await?;
        let found = self.stored(oauth::load(&mut connection, id).await)?;
        drop(connection);
        let Some(found) = found.filter(|found| is_of(found, &token_digest(browser))) else {
            return Ok(None);
        };
        let record = self.action(found.action).await?;
        Ok(record.map(|record| (found, record)))
    }

    /// Leads the browser back: with a code when the action is approved, with the reason when it never will be.
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadyUsed`, `ClockWentBack`, `Unavailable`.
    pub async fn return_browser(
        &self,
        id: AuthorizationId,
        browser: &str,
    ) -> Result<Returned, DeskError> {
        self.run(Return {
            id,
            browser: token_digest(browser),
        })
        .await
    }

    /// Redeems a code for the permit, once, for the service that asked. A second showing ends the action. `bound`: the thumbprint of the key that the
    /// permit is for, when one was shown.
    ///
    /// # Errors
    /// `NotFound` (unknown, another service's, another address, wrong verifier, another key than was pushed for, used, too late), `Unwitnessed`, `ClockWentBack`,
    /// `Unavailable`.
    pub async fn redeem_code(
        &self,
        code: &str,
        client: &ServiceId,
        redirect_uri: &str,
        verifier: &str,
        bound: Option<&str>,
    ) -> Result<String, DeskError> {
        let code = token_digest(code);
        let mut connection = self.reader().await?;
        let found = self.stored(oauth::by_code(&mut connection, &code).await)?;
        drop(connection);
        self.witnesses_of(found, client).await?;
        self.run(RedeemCode {
            shared: Arc::clone(&self.inner.shared),
            code,
            client: client.clone(),
            redirect_uri: redirect_uri.to_owned(),
            challenge: base64url::encode(sha256(verifier.as_bytes())),
            bound: bound.map(str::to_owned),
        })
        .await?
    }

    /// A service asks for the answer to what it pushed. `bound`: as in [`Desk::redeem_code`].
    ///
    /// # Errors
    /// `Unwitnessed`, `ClockWentBack`, `Unavailable`.
    pub async fn poll(
        &self,
        handle: &str,
        client: &ServiceId,
        bound: Option<&str>,
    ) -> Result<Polled, DeskError> {
        let handle = token_digest(handle);
        let mut connection = self.reader().await?;
        let found = self.stored(oauth::by_handle(&mut connection, &handle).await)?;
        drop(connection);
        self.witnesses_of(found, client).await?;
        self.run(Poll {
            shared: Arc::clone(&self.inner.shared),
            handle,
            client: client.clone(),
            bound: bound.map(str::to_owned),
        })
        .await
    }

    /// Where witnesses are demanded, they see the approvals before a permit goes out.
    async fn witnesses_of(
        &self,
        found: Option<Authorization>,
        client: &ServiceId,
    ) -> Result<(), DeskError> {
        match found.filter(|found| found.client == *client) {
            Some(found) => self.await_witnesses(found.action).await,
            None => Ok(()),
        }
    }
}

fn is_of(found: &Authorization, browser: &[u8; 32]) -> bool {
    found
        .browser
        .is_some_and(|known| verify_slices_are_equal(&known, browser).is_ok())
}

/// What an action's permit will say at best.
fn level(requirement: &Requirement) -> Level {
    let nobody = requirement.approvals == 0 && !requirement.requester_also;
    match requirement.verification {
        _ if nobody => Level::Eidas1,
        Verification::Pin => Level::Eidas3,
        Verification::Touch => Level::Eidas2,
    }
}

struct TakeAssertion {
    client: ServiceId,
    digest: [u8; 32],
    until: OffsetDateTime,
}

impl Command for TakeAssertion {
    type Output = bool;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        if oauth::take_assertion(tx.connection, &self.digest, self.until, tx.now).await? {
            return Ok(true);
        }
        let entry = tx
            .entry("oauth.assertion-replayed")
            .datum("client", self.client.as_str())
            .digest("assertion", self.digest);
        tx.append(entry, None, &[]).await?;
        Ok(false)
    }
}

struct ServiceToken {
    client: ServiceId,
}

impl Command for ServiceToken {
    type Output = Zeroizing<String>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let token = super::secret(tx.ports)?;
        let (digest, until) = (token_digest(&token), tx.now + SERVICE_TOKEN);
        oauth::insert_token(tx.connection, &digest, &self.client, until, tx.now).await?;
        let entry = tx
            .entry("oauth.token-issued")
            .datum("client", self.client.as_str());
        tx.append(entry, None, &[]).await?;
        Ok(token)
    }
}

struct Push {
    shared: Arc<Shared>,
    asked: Asked,
}

impl Command for Push {
    type Output = Result<Pushed, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let client = self.asked.action.service.clone();
        let open = OpenAction {
            shared: Arc::clone(&self.shared),
            asked: self.asked.action.clone(),
            caller: Caller::Service(client.clone()),
        };
        let record = match open.apply(tx).await? {
            Ok(record) => record,
            Err(limited) => return Ok(Err(limited)),
        };
        let Some(requirement) = record.requirement.as_ref() else {
            return Ok(Ok(Pushed::Denied(record)));
        };
        let reached = level(requirement);
        if !self.asked.levels.is_empty()
            && !self.asked.levels.iter().any(|it| reached.satisfies(*it))
        {
            // The action is taken back with everything else, and nobody is asked.
            return Err(DeskError::LevelUnreachable.into());
        }
        let span = match self.asked.way {
            Way::Redirect { .. } => Some(HANDLE),
            Way::Backchannel => self.asked.patience,
        };
        let until = span.map_or(record.expires_at, |span| {
            (tx.now + span).min(record.expires_at)
        });
        let handle = super::secret(tx.ports)?;
        let asked = Authorization {
            id: AuthorizationId(tx.ports.uuid(tx.now)?),
            client,
            action: record.id,
            way: self.asked.way.clone(),
            state: AuthorizationState::Pushed,
            browser: None,
            pace: PACE,
            polled_at: None,
            until,
        };
        oauth::insert(tx.connection, &asked, &token_digest(&handle), tx.now - KEPT).await?;
        let way = match asked.way {
            Way::Redirect { .. } => "redirect",
            Way::Backchannel => "backchannel",
        };
        let entry = about(tx, "oauth.requested", &record)
            .datum("client", asked.client.as_str())
            .datum("way", way);
        tx.append(entry, Some(record.id), &[]).await?;
        Ok(Ok(Pushed::Open {
            handle,
            record,
            expires_in: until - tx.now,
        }))
    }
}

/// An entry about a request that moved on.
async fn said(
    tx: &mut Tx<'_>,
    kind: &'static str,
    found: &Authorization,
    reason: Option<&str>,
) -> Result<(), Fault> {
    let mut entry = tx
        .entry(kind)
        .subject("action", found.action)
        .datum("client", found.client.as_str());
    if let Some(reason) = reason {
        entry = entry.datum("reason", reason);
    }
    tx.append(entry, Some(found.action), &[]).await?;
    Ok(())
}

struct BeginAuthorization {
    handle: [u8; 32],
    client: ServiceId,
    browser: [u8; 32],
}

impl Command for BeginAuthorization {
    type Output = Authorization;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Authorization, Fault> {
        let mut found = oauth::by_handle(tx.connection, &self.handle)
            .await?
            .filter(|found| {
                found.client == self.client && matches!(found.way, Way::Redirect { .. })
            })
            .filter(|found| found.state == AuthorizationState::Pushed && tx.now < found.until)
            .ok_or(DeskError::NotFound)?;
        let (record, _) = action::load(tx.connection, found.action)
            .await?
            .ok_or(DeskError::NotFound)?;
        found.state = AuthorizationState::Begun;
        found.browser = Some(self.browser);
        found.until = record.expires_at;
        oauth::update(tx.connection, &found, None).await?;
        said(tx, "oauth.begun", &found, None).await?;
        Ok(found)
    }
}

/// What an action has come to, for whoever waits for its permit.
enum Outcome {
    Pending,
    Approved,
    Refused(String),
    Expired,
    Used,
}

async fn outcome(tx: &mut Tx<'_>, id: ActionId) -> Result<Outcome, Fault> {
    let (record, standing) = action::load(tx.connection, id)
        .await?
        .ok_or(DeskError::NotFound)?;
    let record = store::action::told(record, standing, tx.now);
    Ok(match record.state {
        State::Pending => Outcome::Pending,
        State::Approved if record.execution.is_none() => Outcome::Approved,
        State::Approved | State::Executed | State::Consumed => Outcome::Used,
        State::Expired => Outcome::Expired,
        State::Refused | State::Denied => {
            let settled = record.refusal.as_ref().or(record.denial.as_ref());
            Outcome::Refused(
                settled
                    .map_or("refused", |it| it.reason.as_str())
                    .to_owned(),
            )
        }
    })
}

struct Return {
    id: AuthorizationId,
    browser: [u8; 32],
}

impl Command for Return {
    type Output = Returned;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Returned, Fault> {
        let mut found = oauth::load(tx.connection, self.id)
            .await?
            .filter(|found| is_of(found, &self.browser))
            .ok_or(DeskError::NotFound)?;
        if found.state != AuthorizationState::Begun {
            return Err(DeskError::AlreadyUsed.into());
        }
        let reason = match outcome(tx, found.action).await? {
            Outcome::Pending => return Err(DeskError::StillPending.into()),
            Outcome::Approved => {
                let code = super::secret(tx.ports)?;
                found.state = AuthorizationState::Issued;
                found.until = (tx.now + CODE).min(found.until);
                oauth::update(tx.connection, &found, Some(&token_digest(&code))).await?;
                said(tx, "oauth.code-issued", &found, None).await?;
                return Ok(Returned::Code(found, code));
            }
            Outcome::Refused(reason) => reason,
            Outcome::Expired => "expired".to_owned(),
            Outcome::Used => "already-used".to_owned(),
        };
        found.state = AuthorizationState::Ended;
        oauth::update(tx.connection, &found, None).await?;
        said(tx, "oauth.refused", &found, Some(&reason)).await?;
        Ok(Returned::Refused(found, reason))
    }
}

/// The permit of an approved action, and the request's end. What may have lapsed since the approval is looked at again.
async fn grant(
    tx: &mut Tx<'_>,
    shared: &Shared,
    mut found: Authorization,
    bound: Option<&str>,
) -> Result<Result<String, DeskError>, Fault> {
    let record = match usable(tx, shared, found.action, Some(&found.client)).await? {
        Ok((record, _)) => record,
        Err(error) => return Ok(Err(error)),
    };
    shared.witnessed(tx.connection, &record).await??;
    let jws = permit_for(tx, shared, &record, bound).await?;
    found.state = AuthorizationState::Redeemed;
    oauth::update(tx.connection, &found, None).await?;
    said(tx, "oauth.redeemed", &found, None).await?;
    Ok(Ok(jws))
}

struct RedeemCode {
    shared: Arc<Shared>,
    code: [u8; 32],
    client: ServiceId,
    redirect_uri: String,
    challenge: String,
    bound: Option<String>,
}

impl Command for RedeemCode {
    type Output = Result<String, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let mut found = oauth::by_code(tx.connection, &self.code)
            .await?
            .filter(|found| found.client == self.client)
            .ok_or(DeskError::NotFound)?;
        if found.state != AuthorizationState::Issued {
            // RFC 6749 §4.1.2: shown twice, it may have been stolen; the action ends, and its permit with it.
            found.state = AuthorizationState::Ended;
            oauth::update(tx.connection, &found, None).await?;
            said(tx, "oauth.code-replayed", &found, None).await?;
            end(tx, &self.shared, found.action, "code-replayed").await?;
            return Ok(Err(DeskError::NotFound));
        }
        // RFC 9449 §10: a code that was pushed for for a key serves whoever shows that key.
        let meant = matches!(&found.way, Way::Redirect { redirect_uri, code_challenge, bound, .. }
            if *redirect_uri == self.redirect_uri && *code_challenge == self.challenge
                && (bound.is_none() || *bound == self.bound));
        if !meant || tx.now >= found.until {
            return Ok(Err(DeskError::NotFound));
        }
        match grant(tx, &self.shared, found, self.bound.as_deref()).await {
            // Settled otherwise since the code was made.
            Err(Fault::Refused(
                DeskError::AlreadySettled(_) | DeskError::AlreadyUsed | DeskError::Expired,
            )) => Ok(Err(DeskError::NotFound)),
            Ok(Err(DeskError::AlreadySettled(_))) => Ok(Err(DeskError::NotFound)),
            granted => granted,
        }
    }
}

struct Poll {
    shared: Arc<Shared>,
    handle: [u8; 32],
    client: ServiceId,
    bound: Option<String>,
}

impl Command for Poll {
    type Output = Polled;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Polled, Fault> {
        let found = oauth::by_handle(tx.connection, &self.handle)
            .await?
            .filter(|found| found.client == self.client && found.way == Way::Backchannel);
        let Some(mut found) = found else {
            return Ok(Polled::Unknown);
        };
        if found.state != AuthorizationState::Pushed {
            return Ok(Polled::Unknown);
        }
        let fast = found
            .polled_at
            .is_some_and(|last| tx.now - last < found.pace - HURRIED);
        if fast {
            found.pace = (found.pace + PACE).min(SLOWEST);
        }
        found.polled_at = Some(tx.now);
        oauth::update(tx.connection, &found, None).await?;
        if fast {
            return Ok(Polled::SlowDown);
        }
        let late = tx.now >= found.until;
        match outcome(tx, found.action).await? {
            Outcome::Pending | Outcome::Approved if late => {
                // Nobody will fetch it: whoever was asked is asked no more.
                end(tx, &self.shared, found.action, "request-expired").await?;
                Ok(Polled::Expired)
            }
            Outcome::Pending => Ok(Polled::Pending),
            Outcome::Approved => match grant(tx, &self.shared, found, self.bound.as_deref()).await?
            {
                Ok(jws) => Ok(Polled::Granted(jws)),
                Err(DeskError::AlreadySettled(_)) => Ok(Polled::Denied("lapsed".to_owned())),
                Err(error) => Err(error.into()),
            },
            Outcome::Refused(reason) if reason == "request-expired" => Ok(Polled::Expired),
            Outcome::Refused(reason) => Ok(Polled::Denied(reason)),
            Outcome::Expired => Ok(Polled::Expired),
            Outcome::Used => Ok(Polled::Unknown),
        }
    }
}
