//! The gate: a reverse proxy that owns an application's public name and holds what changes things until a key has
//! sealed it (CONTRACT.md, "Gate"; docs/gate.md).
//!
//! Life of a request: `canon` gives it one meaning or refuses it · `route` says whether it is free, held or merely read ·
//! what is not held streams through `forward` · what is held is read (`body`), put in words (`meaning`), asked and executed
//! once (`hold`) · `client` and `page` tell each kind of client what it can understand. `own` serves `/.sceau/*`, `verify` the
//! forward-auth form, `envoy` the one that sees bodies.
//!
//! Trusts: the route files, the desk, and the upstream with what it sends to its own users. Everything from a client is hostile.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::desk::Desk;
use crate::gate::envoy::Asking;
use crate::gate::forward::{Body, Forwarder};
use crate::gate::hold::Holds;
use crate::gate::meter::Touches;
use crate::gate::refusal::Ration;
use crate::gate::route::{Application, RouteFileError};
use crate::gate::session::CookieRule;
use crate::gate::watch::Exchanges;
use crate::id::ServiceId;
use crate::reading::Budget;

pub mod body;
pub mod canon;
pub mod client;
pub mod creation;
mod display;
mod envoy;
pub mod forward;
pub mod hold;
pub mod login;
pub mod meaning;
mod meter;
mod notice;
mod own;
pub(crate) mod page;
mod passage;
mod refusal;
pub mod route;
pub mod session;
mod verify;
mod watch;
mod whose;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 8_192;
/// The most KiB of held bodies that are being read at once.
const MAX_READING_KIB: usize = 256 * 1024;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the end may take.
const GRACE: Duration = Duration::from_secs(10);

/// The section `[gate]` of the server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Route files, one for each application.
    pub routes: Vec<PathBuf>,
    /// Certificate chain and key, PEM; without them the gate speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Is TLS ended by another proxy, whose only upstream is the gate?
    #[serde(default)]
    pub behind_tls: bool,
    /// Log-in by ProConnect, before the sign-in by key.
    #[serde(default)]
    pub login: Option<login::Settings>,
}

/// Where the gate's TLS identity lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Why the gate cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// A route file.
    #[error(transparent)]
    Routes(#[from] RouteFileError),
    /// Two applications claim one host.
    #[error("two applications claim the host {0}")]
    SameHost(String),
    /// No route files.
    #[error("gate.routes is empty: nothing to guard")]
    NoApplication,
    /// Plain HTTP that others could reach.
    #[error(
        "the gate speaks plain HTTP only on loopback: give gate.tls, or gate.behind_tls = true"
    )]
    PlainOutsideLoopback,
    /// The TLS identity.
    #[error("gate.tls: {0}")]
    Tls(String),
    /// The log-in.
    #[error(transparent)]
    Login(#[from] login::LoginFault),
}

/// The gate.
pub struct Gate {
    desk: Desk,
    sites: HashMap<String, Arc<Site>>,
    cookies: CookieRule,
    scheme: &'static str,
    holds: Arc<Holds>,
    /// KiB of bodies that may be read at one time.
    reading: Semaphore,
    ration: Ration,
    exchanges: Exchanges,
    asking: Asking,
    touches: Touches,
    login: Option<Arc<login::Login>>,
    tls: Option<TlsAcceptor>,
}

/// One application with the way to it.
struct Site {
    app: Application,
    forwarder: Forwarder,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("hosts", &self.sites.keys())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads and checks everything that the gate needs, as `serve` and `check-config` both do.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<Vec<Application>, GateError> {
        if self.tls.is_none() && !self.behind_tls && !self.listen.ip().is_loopback() {
            return Err(GateError::PlainOutsideLoopback);
        }
        if self.routes.is_empty() {
            return Err(GateError::NoApplication);
        }
        let applications: Vec<Application> = self
            .routes
            .iter()
            .map(|file| Application::load(file))
            .collect::<Result<_, _>>()?;
        let mut hosts = std::collections::HashSet::new();
        for host in applications.iter().flat_map(|app| &app.hosts) {
            if !hosts.insert(host) {
                return Err(GateError::SameHost(host.clone()));
            }
        }
        self.acceptor()?;
        if let Some(login) = &self.login {
            login::Login::new(login.clone(), true, time::OffsetDateTime::UNIX_EPOCH)?;
        }
        Ok(applications)
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, GateError> {
        let Some(files) = &self.tls else {
            return Ok(None);
        };
        let fault = |error: &dyn std::fmt::Display| GateError::Tls(error.to_string());
        let chain = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
            .map_err(|error| fault(&error))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| fault(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

impl Gate {
    /// A gate over a desk.
    ///
    /// # Errors
    /// See [`Settings::check`].
    pub fn new(desk: Desk, settings: &Settings) -> Result<Arc<Self>, GateError> {
        let mut sites = HashMap::new();
        for app in settings.check()? {
            let forwarder = Forwarder::new(app.upstream.clone(), app.upstream_timeout);
            let site = Arc::new(Site { app, forwarder });
            for host in &site.app.hosts {
                sites.insert(host.clone(), Arc::clone(&site));
            }
        }
        let secure = settings.tls.is_some() || settings.behind_tls;
        Ok(Arc::new(Self {
            holds: Arc::new(Holds::new(desk.clone())),
            reading: Semaphore::new(MAX_READING_KIB),
            ration: Ration::new(desk.now()),
            exchanges: Exchanges::start(desk.clone()),
            asking: Asking::default(),
            touches: Touches::default(),
            login: match &settings.login {
                Some(login) => Some(Arc::new(login::Login::new(
                    login.clone(),
                    secure,
                    desk.now(),
                )?)),
                None => None,
            },
            desk,
            sites,
            cookies: CookieRule::new(secure),
            scheme: if secure { "https" } else { "http" },
            tls: settings.acceptor()?,
        }))
    }

    /// Where people meet each guarded service: the origin of its first public name.
    #[must_use]
    pub fn origins(&self) -> HashMap<ServiceId, String> {
        let sites = self.sites.values();
        sites
            .filter_map(|site| {
                let host = site.app.hosts.first()?;
                Some((
                    site.app.service.clone(),
                    format!("{}://{host}", self.scheme),
                ))
            })
            .collect()
    }

    /// What a touch opens for reading at each service that is metered.
    #[must_use]
    pub fn budgets(&self) -> Vec<(ServiceId, Budget)> {
        let sites = self.sites.values();
        let mut budgets: Vec<_> = sites
            .filter_map(|site| Some((site.app.service.clone(), site.app.budget.clone()?)))
            .collect();
        budgets.sort_by(|(one, _), (other, _)| one.cmp(other));
        budgets.dedup_by(|(one, _), (other, _)| one == other);
        budgets
    }

    /// Serves until `stop` resolves; then lets executions under way finish.
    ///
    /// # Errors
    /// When the listener is broken.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) if is_passing(&error) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                () = &mut stop => break,
            };
            let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let (gate, watcher) = (Arc::clone(&self), graceful.watcher());
            tokio::spawn(async move {
                match gate.tls.clone() {
                    Some(tls) => {
                        if let Ok(Ok(stream)) =
                            tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await
                        {
                            gate.connection(stream, peer, watcher).await;
                        }
                    }
                    None => gate.connection(stream, peer, watcher).await,
                }
                drop(place);
            });
        }
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
        let _ = tokio::time::timeout(GRACE, self.holds.settle()).await;
        Ok(())
    }

    async fn connection(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let service = service_fn(move |request: Request<Incoming>| {
            let gate = Arc::clone(&self);
            async move { Ok::<Response<Body>, Infallible>(gate.answer(peer, request).await) }
        });
        let mut server = auto::Builder::new(TokioExecutor::new());
        server
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(64 * 1024)
            .max_headers(100);
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(64)
            .max_header_list_size(64 * 1024)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(
        self: &Arc<Self>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let method = request.method().clone();
        let response = passage::answer(self, peer, request).await;
        // Neither path nor query: they may name persons.
        tracing::debug!(%method, status = response.status().as_u16(), "answered");
        response
    }

    fn site(&self, host: &str) -> Option<&Arc<Site>> {
        self.sites.get(host)
    }
}

/// Errors of one connection, or of a moment without file descriptors: the listener lives on.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}

/// What a client that names no application of ours is told.
fn misdirected() -> StatusCode {
    StatusCode::MISDIRECTED_REQUEST
}
