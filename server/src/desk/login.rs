//! Sign-ins for the federation: opened for a person, sealed by a key for this very request (or known of a browser that a key sealed
//! before, at a lower level), turned into a code, and redeemed once. What a level means is `provider::level`.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::open::OpenAction;
use super::settle::save;
use super::sign_in::token_digest;
use super::{Desk, DeskError, Shared, open::about};
use crate::action::{Caller, NewAction, Verification};
use crate::id::{LoginId, PersonId, ServiceId};
use crate::key::{Credential, KeyState};
use crate::person::PersonState;
use crate::provider::level::{Authentication, Grade, said};
use crate::provider::request::AuthorizationRequest;
use crate::store::login::{KnownBrowser, Login, LoginOutcome, LoginState, Sealed};
use crate::store::{self, action, key, login, person};
use crate::writer::{Command, Fault, Tx};

/// How long a person may take.
const PATIENCE: Duration = Duration::minutes(10);
/// How long a code is good, and then what it gave.
const CODE: Duration = Duration::seconds(60);
const ACCESS: Duration = Duration::minutes(5);
/// How long a sign-in that is over is kept: a code shown again is known as such.
const KEPT: Duration = Duration::days(1);

/// A sign-in to be opened. `person`: who the browser says it is, found among ours; a claim until a key has sealed it.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// The browser's own token.
    pub browser: Zeroizing<String>,
    /// What the client asked.
    pub request: AuthorizationRequest,
    /// Who the person says they are; `None` when the name was nobody's.
    pub person: Option<PersonId>,
    /// What their key is asked to seal; `None` when what the browser did before will do.
    pub action: Option<NewAction>,
}

/// A code for the browser to carry.
pub struct SignedIn {
    /// The sign-in.
    pub login: Login,
    /// Its code, shown once.
    pub code: Zeroizing<String>,
}

/// What a code gave.
pub struct Redeemed {
    /// The sign-in, with its outcome.
    pub login: Login,
    /// For the user information.
    pub access_token: Zeroizing<String>,
    /// When.
    pub at: OffsetDateTime,
}

impl Desk {
    /// Opens a sign-in, and asks the person's key to seal it.
    ///
    /// # Errors
    /// `Limited`, `UnknownPerson`, `Unavailable`.
    pub async fn open_login(
        &self,
        asked: NewLogin,
        service: ServiceId,
    ) -> Result<Login, DeskError> {
        let shared = Arc::clone(&self.inner.shared);
        self.run(OpenLogin {
            shared,
            asked,
            service,
        })
        .await?
    }

    /// The sign-in of that name, for the browser that began it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn login(&self, id: LoginId, browser: &str) -> Result<Option<Login>, DeskError> {
        let mut connection = self.reader().await?;
        let found = self.stored(store::login::load(&mut connection, id).await)?;
        Ok(found.filter(|login| same(&login.browser, &token_digest(browser))))
    }

    /// Who signed in with a key in this browser, if that still counts: the person is active and the key live.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn known_browser(&self, browser: &str) -> Result<Option<KnownBrowser>, DeskError> {
        let mut connection = self.reader().await?;
        let now = self.now();
        let found = store::login::browser(&mut connection, &token_digest(browser), now).await;
        let Some(known) = self.stored(found)? else {
            return Ok(None);
        };
        let person = self.stored(store::person::load(&mut connection, &known.person).await)?;
        let key = self.stored(store::key::load(&mut connection, known.key).await)?;
        let counts = person.is_some_and(|person| person.state == PersonState::Active)
            && key.is_some_and(|key| key.state == KeyState::Live);
        Ok(counts.then_some(known))
    }

    /// Turns a sign-in into a code: by the action that its person's key sealed for it, or, with `by_browser`, by what this browser did
    /// before. `others`: what is known of identity and organisation.
    ///
    /// # Errors
    /// `NotFound`, `StillPending`, `AlreadySettled`, `AlreadyUsed`, `Expired`, `Forbidden` (nothing known of the browser), `Unavailable`.
    pub async fn sign_in(
        &self,
        id: LoginId,
        browser: &str,
        by_browser: bool,
        others: Grade,
        lifetime: Duration,
    ) -> Result<SignedIn, DeskError> {
        let settle = Settle {
            shared: Arc::clone(&self.inner.shared),
            login: id,
            browser: token_digest(browser),
            by_browser,
            others,
            lifetime,
        };
        self.run(settle).await
    }

    /// Redeems a code, once, for the client that it was made for. A second showing revokes what the first gave.
    ///
    /// # Errors
    /// `NotFound` (unknown, another client's, another address, wrong verifier, used, too old), `Unavailable`.
    pub async fn redeem(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<Redeemed, DeskError> {
        let redeem = Redeem {
            code: token_digest(code),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            challenge: verifier.map(|verifier| base64url::encode(sha256(verifier.as_bytes()))),
        };
        self.run(redeem).await?
    }

    /// The redeemed sign-in of an access token; `None` when there is none, its time is over, or its person is no longer active.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn redeemed(&self, access_token: &str) -> Result<Option<Login>, DeskError> {
        let mut connection = self.reader().await?;
        let digest = token_digest(access_token);
        let found = self.stored(store::login::by_access(&mut connection, &digest).await)?;
        let Some(login) =
            found.filter(|login| login.state == LoginState::Redeemed && self.now() < login.until)
        else {
            return Ok(None);
        };
        let Some(person) = &login.person else {
            return Ok(None);
        };
        let person = self.stored(store::person::load(&mut connection, person).await)?;
        let active = person.is_some_and(|person| person.state == PersonState::Active);
        Ok(active.then_some(login))
    }

    /// Forgets that this browser signed in.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_browser(&self, browser: &str) -> Result<(), DeskError> {
        self.run(Forget {
            browser: token_digest(browser),
        })
        .await
    }
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

struct OpenLogin {
    shared: Arc<Shared>,
    asked: NewLogin,
    service: ServiceId,
}

impl Command for OpenLogin {
    type Output = Result<Login, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let id = LoginId(tx.ports.uuid(tx.now)?);
        let mut opened = Login {
            id,
            browser: token_digest(&self.asked.browser),
            person: self.asked.person.clone(),
            action: None,
            request: self.asked.request.clone(),
            state: LoginState::Open,
            outcome: None,
            until: tx.now + PATIENCE,
        };
        if let Some(asked) = &self.asked.action {
            let open = OpenAction {
                shared: Arc::clone(&self.shared),
                asked: asked.clone(),
                caller: Caller::Service(self.service.clone()),
            };
            match open.apply(tx).await? {
                Ok(record) => {
                    opened.until = record.expires_at;
                    opened.action = Some(record.id);
                }
                Err(limited) => return Ok(Err(limited)),
            }
        }
        login::insert(tx.connection, &opened, tx.now, tx.now - KEPT).await?;
        let entry = tx
            .entry("provider.asked")
            .datum("client", opened.request.client_id.as_str())
            .datum("known", opened.person.is_some())
            .digest("request", opened.request.sha256);
        let personal: Vec<(&str, &str)> = opened
            .person
            .iter()
            .map(|person| ("person", person.as_str()))
            .collect();
        tx.append(entry, opened.action, &personal).await?;
        Ok(Ok(opened))
    }
}

struct Settle {
    shared: Arc<Shared>,
    login: LoginId,
    browser: [u8; 32],
    by_browser: bool,
    others: Grade,
    lifetime: Duration,
}

impl Command for Settle {
    type Output = SignedIn;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<SignedIn, Fault> {
        let mut found = login::load(tx.connection, self.login)
            .await?
            .filter(|login| same(&login.browser, &self.browser))
            .ok_or(DeskError::NotFound)?;
        if found.state != LoginState::Open {
            return Err(DeskError::AlreadyUsed.into());
        }
        if tx.now >= found.until {
            return Err(DeskError::Expired.into());
        }
        let name = found.person.clone().ok_or(DeskError::StillPending)?;
        let active = person::load(tx.connection, &name)
            .await?
            .is_some_and(|person| person.state == PersonState::Active);
        if !active {
            return Err(DeskError::Forbidden.into());
        }
        let (known, authentication, sealed) = if self.by_browser {
            let known = self.known(tx, &found, &name).await?;
            let authentication = Authentication {
                fresh: false,
                pin: known.pin,
                attested: false,
            };
            (known, authentication, None)
        } else {
            self.sealed(tx, &found, &name).await?
        };
        let outcome = LoginOutcome {
            acr: said(authentication.level(self.others), &found.request.wanted),
            authentication,
            at: known.signed_at,
            sealed,
        };
        let code = super::secret(tx.ports)?;
        let mut entry = tx
            .entry("provider.signed-in")
            .datum("client", found.request.client_id.as_str())
            .datum("acr", outcome.acr.as_str())
            .datum("fresh", authentication.fresh)
            .digest("request", found.request.sha256);
        if let Some(sealed) = sealed {
            entry = entry
                .subject("action", sealed.action)
                .digest("action", sealed.sha256);
        }
        found.state = LoginState::Issued;
        found.until = tx.now + CODE;
        found.outcome = Some(outcome);
        login::update(tx.connection, &found, Some(&token_digest(&code)), None).await?;
        if !self.by_browser && self.lifetime > Duration::ZERO {
            login::remember(tx.connection, &self.browser, &known, tx.now).await?;
        }
        tx.append(entry, found.action, &[("person", name.as_str())])
            .await?;
        Ok(SignedIn { login: found, code })
    }
}

impl Settle {
    /// What this browser did before, still good for this person and this request.
    async fn known(
        &self,
        tx: &mut Tx<'_>,
        login: &Login,
        name: &PersonId,
    ) -> Result<KnownBrowser, Fault> {
        let known = login::browser(tx.connection, &self.browser, tx.now)
            .await?
            .filter(|known| known.person == *name)
            .ok_or(DeskError::Forbidden)?;
        let live = key::load(tx.connection, known.key)
            .await?
            .is_some_and(|key| key.state == KeyState::Live);
        let young = login
            .request
            .max_age
            .is_none_or(|age| tx.now - known.signed_at <= Duration::seconds(age));
        if live && young {
            Ok(known)
        } else {
            Err(DeskError::Forbidden.into())
        }
    }

    /// Takes the one use of the action that the person's key sealed for this request.
    async fn sealed(
        &self,
        tx: &mut Tx<'_>,
        login: &Login,
        name: &PersonId,
    ) -> Result<(KnownBrowser, Authentication, Option<Sealed>), Fault> {
        let id = login.action.ok_or(DeskError::StillPending)?;
        let (record, standing) = action::load(tx.connection, id)
            .await?
            .ok_or(DeskError::NotFound)?;
        let standing = standing.consume(tx.now)?;
        let approval = record
            .approvals
            .iter()
            .find(|approval| approval.person == *name && record.requester == *name)
            .ok_or(DeskError::Forbidden)?;
        let key = key::load(tx.connection, approval.key_id)
            .await?
            .filter(|key| key.state == KeyState::Live && key.person == *name)
            .ok_or(DeskError::Forbidden)?;
        let pin = record
            .requirement
            .as_ref()
            .is_some_and(|requirement| requirement.verification == Verification::Pin);
        let attested = match key.credential {
            Credential::Fido2 { .. } => !key.backup_eligible,
            Credential::Piv { attested, .. } => attested,
        };
        let known = KnownBrowser {
            person: name.clone(),
            key: key.id,
            pin,
            signed_at: approval.at,
            until: tx.now + self.lifetime,
        };
        let sealed = Sealed {
            action: record.id,
            sha256: record.sha256,
        };
        let entry = about(tx, "action.consumed", &record).datum("by", "provider");
        tx.append(entry, Some(record.id), &[]).await?;
        save(tx, &self.shared, record, standing).await?;
        let authentication = Authentication {
            fresh: true,
            pin,
            attested,
        };
        Ok((known, authentication, Some(sealed)))
    }
}

struct Redeem {
    code: [u8; 32],
    client_id: String,
    redirect_uri: String,
    challenge: Option<String>,
}

impl Command for Redeem {
    type Output = Result<Redeemed, DeskError>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Output, Fault> {
        let mut found = login::by_code(tx.connection, &self.code)
            .await?
            .filter(|login| login.request.client_id == self.client_id)
            .ok_or(DeskError::NotFound)?;
        if found.state != LoginState::Issued {
            // RFC 6749 §4.1.2: shown twice, it may have been stolen; what it gave counts no more.
            found.state = LoginState::Revoked;
            login::update(tx.connection, &found, None, None).await?;
            let entry = tx
                .entry("provider.code-replayed")
                .datum("client", self.client_id.as_str());
            tx.append(entry, found.action, &[]).await?;
            return Ok(Err(DeskError::NotFound));
        }
        if tx.now >= found.until
            || found.request.redirect_uri != self.redirect_uri
            || found.request.code_challenge != self.challenge
        {
            return Ok(Err(DeskError::NotFound));
        }
        let access_token = super::secret(tx.ports)?;
        found.state = LoginState::Redeemed;
        found.until = tx.now + ACCESS;
        login::update(
            tx.connection,
            &found,
            None,
            Some(&token_digest(&access_token)),
        )
        .await?;
        let entry = tx
            .entry("provider.redeemed")
            .datum("client", self.client_id.as_str());
        tx.append(entry, found.action, &[]).await?;
        Ok(Ok(Redeemed {
            login: found,
            access_token,
            at: tx.now,
        }))
    }
}

struct Forget {
    browser: [u8; 32],
}

impl Command for Forget {
    type Output = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        if login::forget(tx.connection, &self.browser).await? {
            let entry = tx.entry("provider.signed-out");
            tx.append(entry, None, &[]).await?;
        }
        Ok(())
    }
}
