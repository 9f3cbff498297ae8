//! Log-in by ProConnect before the sign-in by key (`[gate.login]`): `/.sceau/login`, its callback, and the way out.
//!
//! Life of a log-in: the browser is sent to the issuer with `state`, `nonce`, PKCE and the level that is essential · it comes back with a code · tokens are
//! redeemed and believed (`token`), or a notice and an entry `login.refused` say that they were not · the identity (issuer, `idp_id`, `sub`) belongs to a
//! person, or to nobody yet · that person's key seals the session, and with it, the first time, that the identity is theirs.
//!
//! So a provider that lies opens nothing: what it says is one of two things that must agree, and the other is a key. Flows live in memory, bounded and
//! short; a restart costs whoever was on the way one more try. Trusts: the issuer's TLS for its documents; nothing that comes by the browser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::SET_COOKIE;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::action::State;
use crate::desk::LoginClaim;
use crate::gate::client::{self, Notice, see_other};
use crate::gate::forward::Body;
use crate::gate::passage::{Asked, digest};
use crate::gate::refusal::Ration;
use crate::gate::session::CookieRule;
use crate::id::{ActionId, PersonId, SessionId};

pub mod config;
mod provider;
pub mod token;

pub use config::{LoginFault, Settings};
use provider::{Provider, ProviderError, Request};
use token::VerifiedLogin;

/// What browsers call the cookie of a log-in under way.
pub(crate) const COOKIES: [&str; 2] = ["__Host-sceau-login", "sceau-login"];
/// How long a log-in may be under way, and how old the touch behind its evidence may be.
const PATIENCE: Duration = Duration::minutes(10);
/// The most log-ins under way, and the most sessions whose way out is remembered.
const MOST: usize = 10_000;

/// Log-ins by ProConnect.
pub(super) struct Login {
    provider: Arc<Provider>,
    cookies: CookieRule,
    flows: Mutex<HashMap<[u8; 32], Flow>>,
    hints: Mutex<HashMap<SessionId, String>>,
    ration: Ration,
}

/// A log-in under way in one browser, at one application.
#[derive(Debug, Clone)]
struct Flow {
    host: String,
    next: String,
    at: OffsetDateTime,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Sent to the issuer.
    Begun(Box<Request>),
    /// Believed; whose it is of our persons, `None` when nobody's yet.
    Verified(Box<VerifiedLogin>, Option<PersonId>),
}

/// What a sign-in that follows a log-in must say.
pub(super) struct Verified {
    pub(super) person: Option<PersonId>,
    pub(super) next: String,
}

/// 32 random bytes, base64url.
fn secret() -> Result<String, ProviderError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ProviderError::Unavailable("no-randomness"))?;
    Ok(sceau_proof::base64url::encode(bytes))
}

impl Login {
    pub(super) fn new(
        settings: Settings,
        secure: bool,
        now: OffsetDateTime,
    ) -> Result<Self, LoginFault> {
        Ok(Self {
            provider: Arc::new(Provider::new(settings)?),
            cookies: CookieRule::named(secure, COOKIES),
            flows: Mutex::default(),
            hints: Mutex::default(),
            ration: Ration::new(now),
        })
    }

    /// The public key of `private_key_jwt`, as the issuer wants it.
    pub(super) fn jwks(&self) -> Option<Value> {
        self.provider.jwks()
    }

    /// Is a sign-in by key alone refused?
    pub(super) fn is_required(&self) -> bool {
        self.provider.settings.required
    }

    /// The log-in that this browser brings to its sign-in here.
    pub(super) fn verified(&self, asked: &Asked<'_>, headers: &HeaderMap) -> Option<Verified> {
        let flow = self.flow(asked, headers)?;
        match flow.stage {
            Stage::Verified(_, person) => Some(Verified {
                person,
                next: flow.next,
            }),
            Stage::Begun(_) => None,
        }
    }

    /// The same, for the sign-in of `person`: once.
    pub(super) fn take_claim(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        person: &PersonId,
    ) -> Option<(LoginClaim, String)> {
        let flow = self.flow(asked, headers)?;
        let Stage::Verified(login, owner) = flow.stage else {
            return None;
        };
        if owner.is_some_and(|owner| owner != *person) {
            return None;
        }
        let token = self.cookies.token(headers)?;
        self.flows().remove(&digest(token.as_bytes()));
        let identity = login.identity();
        let claim = LoginClaim {
            issuer: identity.issuer.clone(),
            idp_id: identity.idp_id.clone(),
            sub: identity.sub.clone(),
            acr: login.acr().to_owned(),
            email: login.email().map(str::to_owned),
        };
        Some((claim, login.id_token().to_owned()))
    }

    /// For the way out of this session.
    pub(super) fn remember(&self, session: SessionId, id_token: String) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() < MOST {
            hints.insert(session, id_token);
        }
    }

    fn flows(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Flow>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self, asked: &Asked<'_>, headers: &HeaderMap) -> Option<Flow> {
        let token = self.cookies.token(headers)?;
        let flow = self.flows().get(&digest(token.as_bytes())).cloned()?;
        let now = asked.gate.desk.now();
        (flow.host == asked.origin.host && now - flow.at < PATIENCE).then_some(flow)
    }

    /// Keeps a flow under a new name, and sends the browser on with it.
    fn keep(&self, flow: Flow, to: &str) -> Result<Response<Body>, ProviderError> {
        let token = secret()?;
        let now = flow.at;
        let mut flows = self.flows();
        flows.retain(|_, flow| now - flow.at < PATIENCE);
        if flows.len() >= MOST {
            return Err(ProviderError::Unavailable("too-many-log-ins"));
        }
        flows.insert(digest(token.as_bytes()), flow);
        drop(flows);
        let mut response = see_other(to);
        if let Some(cookie) = self.cookies.set(&token) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

/// `GET /.sceau/login?next=`: to the issuer.
pub(super) async fn begin(asked: &Asked<'_>, login: &Arc<Login>, next: String) -> Response<Body> {
    match start(asked, login, next).await {
        Ok(response) => response,
        Err(error) => refused(asked, login, &error, None).await,
    }
}

async fn start(
    asked: &Asked<'_>,
    login: &Arc<Login>,
    next: String,
) -> Result<Response<Body>, ProviderError> {
    let wanted = match &asked.site.app.acr {
        Some(acr) => acr.clone(),
        None => login.provider.settings.acr.clone(),
    };
    let request = Request {
        state: secret()?,
        nonce: secret()?,
        verifier: secret()?,
        redirect_uri: format!("{}/.sceau/login/callback", asked.base),
        acr: wanted,
    };
    let now = asked.gate.desk.now();
    let (provider, given) = (Arc::clone(&login.provider), request.clone());
    let url = blocking(move || provider.authorize(&given, now)).await?;
    let flow = Flow {
        host: asked.origin.host.clone(),
        next,
        at: now,
        stage: Stage::Begun(Box::new(request)),
    };
    login.keep(flow, &url)
}

/// `GET /.sceau/login/callback`: back from the issuer.
pub(super) async fn callback(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    login: &Arc<Login>,
) -> Response<Body> {
    match returned(asked, headers, login).await {
        Ok(response) => response,
        Err((error, about)) => refused(asked, login, &error, about).await,
    }
}

type Failed = (ProviderError, Option<Box<VerifiedLogin>>);

async fn returned(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    login: &Arc<Login>,
) -> Result<Response<Body>, Failed> {
    let no = |error: ProviderError| (error, None);
    let unknown = || no(ProviderError::Unavailable("log-in-unknown"));
    let flow = login.flow(asked, headers).ok_or_else(unknown)?;
    let Stage::Begun(request) = flow.stage else {
        return Err(unknown());
    };
    let pairs = asked.target.pairs().unwrap_or_default();
    let field = |name: &str| {
        let mut found = pairs
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str());
        match (found.next(), found.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    };
    let same = field("state").is_some_and(|state| {
        use subtle::ConstantTimeEq as _;
        bool::from(state.as_bytes().ct_eq(request.state.as_bytes()))
    });
    if !same {
        return Err(no(ProviderError::Unavailable("state-other")));
    }
    // From here on the flow is used up, whatever comes of it.
    if let Some(token) = login.cookies.token(headers) {
        login.flows().remove(&digest(token.as_bytes()));
    }
    // RFC 9207: whose answer it is, when it says so.
    if field("iss").is_some_and(|iss| iss != login.provider.settings.issuer) {
        return Err(no(token::NotBelieved::Issuer.into()));
    }
    let Some(code) = field("code")
        .filter(|_| field("error").is_none())
        .map(str::to_owned)
    else {
        return Err(no(ProviderError::Refused));
    };
    let now = asked.gate.desk.now();
    let provider = Arc::clone(&login.provider);
    let verified = blocking(move || provider.redeem(&request, &code, now))
        .await
        .map_err(no)?;
    let held = |error: ProviderError| (error, Some(Box::new(verified.clone())));
    let person = asked
        .gate
        .desk
        .person_of(verified.identity())
        .await
        .map_err(|_| held(ProviderError::Unavailable("unavailable")))?;
    if login.provider.settings.evidence {
        sealed_by(asked, &verified, person.as_ref())
            .await
            .map_err(held)?;
    }
    let (host, next) = (flow.host, flow.next);
    let to = format!(
        "/.sceau/sign-in?next={}",
        crate::gate::notice::query_escape(&next)
    );
    let stage = Stage::Verified(Box::new(verified.clone()), person);
    login
        .keep(
            Flow {
                host,
                next,
                at: now,
                stage,
            },
            &to,
        )
        .map_err(held)
}

/// The evidence that the log-in names: a sign-in that a key sealed here, just now, by that very person.
async fn sealed_by(
    asked: &Asked<'_>,
    login: &VerifiedLogin,
    person: Option<&PersonId>,
) -> Result<(), ProviderError> {
    let none = ProviderError::Unavailable("evidence-missing");
    let id: ActionId = login
        .claimed_evidence()
        .and_then(|id| id.parse().ok())
        .ok_or(none.clone())?;
    let found = asked.gate.desk.action(id).await;
    let Ok(Some(record)) = found else {
        return Err(none);
    };
    let fresh = asked.gate.desk.now() - record.created_at < PATIENCE;
    let done = matches!(
        record.state,
        State::Executed | State::Consumed | State::Approved
    );
    let theirs = person.is_none_or(|person| *person == record.requester);
    if record.kind == "login.seal" && fresh && done && theirs {
        Ok(())
    } else {
        Err(ProviderError::Unavailable("evidence-of-another"))
    }
}

/// A log-in that is not believed: told as such, and in the log with its reason.
async fn refused(
    asked: &Asked<'_>,
    login: &Login,
    error: &ProviderError,
    verified: Option<Box<VerifiedLogin>>,
) -> Response<Body> {
    let mut data = Map::new();
    data.insert("reason".to_owned(), Value::from(error.to_string()));
    if let Some(verified) = verified {
        let identity = verified.identity();
        data.insert("idp_id".to_owned(), Value::from(identity.idp_id.as_str()));
        let sub = hex::encode(digest(identity.sub.as_bytes()));
        data.insert("sub_sha256".to_owned(), Value::from(sub));
    }
    if let Some(skipped) = login.ration.take(asked.gate.desk.now()) {
        data.insert("skipped".to_owned(), Value::from(skipped));
        if let Err(error) = asked.gate.desk.note("login.refused", None, data).await {
            tracing::warn!(%error, "a refused log-in could not be logged");
        }
    }
    Notice::new(StatusCode::FORBIDDEN, "login-refused", "gate-login-refused").answer(&asked.client)
}

/// What a sign-in without a log-in is told, where one is needed.
pub(super) fn needed(asked: &Asked<'_>) -> Response<Body> {
    let notice = Notice::new(StatusCode::FORBIDDEN, "login-needed", "gate-login-needed");
    notice
        .with("login_url", format!("{}/.sceau/login", asked.base))
        .answer(&asked.client)
}

/// `POST /.sceau/logout`: out of the session here, and of the one there.
pub(super) async fn out(
    asked: &Asked<'_>,
    login: &Arc<Login>,
    session: Option<SessionId>,
) -> Response<Body> {
    let hint = session.and_then(|session| {
        let mut hints = login.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.remove(&session)
    });
    let now = asked.gate.desk.now();
    let back = format!("{}/", asked.base);
    let provider = Arc::clone(&login.provider);
    let url = blocking(move || Ok(provider.end_session(hint.as_deref(), &back, now))).await;
    client::see_other(url.ok().flatten().as_deref().unwrap_or("/"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(ProviderError::Unavailable("interrupted")))
}
