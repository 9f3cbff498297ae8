//! Sending requests to the application: which headers travel, and over which connection.
//!
//! Ungated requests go through a pool and stream both ways. Held requests are each sent on a connection of their own,
//! made before the action's one use is taken: a stale pooled connection can then never leave it unknown whether the
//! request arrived, and it is never sent twice. An ungated GET or HEAD that meets a connection which the application has
//! just closed is sent once more, as every reverse proxy does (RFC 9112 §9.3.1); any other method is not.
//! RFC 9110 §7.6.1 (hop-by-hop headers), RFC 7239 (`Forwarded`).
//!
//! Trusts the upstream with what the application may see; not with headers that speak for Sceau.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::gate::route::Upstream;
use crate::gate::session::OWN_COOKIES;

/// A body that streams, with any error.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// How long a connection waits for its next request: less than the five seconds after which Node and Apache close theirs.
const IDLE: Duration = Duration::from_secs(4);

/// How long a connection to the upstream may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The upstream did not do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// No connection: nothing was sent.
    #[error("the application cannot be reached")]
    Unreachable,
    /// The connection broke after something may have been sent.
    #[error("the application did not answer")]
    Lost,
    /// It did not begin to answer in time.
    #[error("the application did not answer in time")]
    Late,
}

/// Sends requests to one upstream.
#[derive(Debug, Clone)]
pub struct Forwarder {
    upstream: Upstream,
    timeout: Duration,
    pool: Client<Dialer, Body>,
}

impl Forwarder {
    /// For one upstream; `timeout` bounds the wait for an answer's head.
    #[must_use]
    pub fn new(upstream: Upstream, timeout: Duration) -> Self {
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .pool_max_idle_per_host(64)
            // Only what was never begun to be written.
            .retry_canceled_requests(true)
            .build(Dialer(upstream.clone()));
        Self {
            upstream,
            timeout,
            pool,
        }
    }

    /// Sends an ungated request; bodies stream.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn stream(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let again = repeated(&request);
        *request.uri_mut() = pooled_uri(request.uri()).ok_or(ForwardError::Unreachable)?;
        *request.version_mut() = http::Version::HTTP_11;
        match tokio::time::timeout(self.timeout, self.pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(ForwardError::Unreachable),
            Ok(Err(error)) => match again {
                Some(request) if is_broken(&error) => self.connect().await?.send(request).await,
                _ => Err(ForwardError::Lost),
            },
            Err(_) => Err(ForwardError::Late),
        }
    }

    /// A connection for one request; nothing is sent yet.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn connect(&self) -> Result<Sender, ForwardError> {
        let stream = dial(&self.upstream)
            .await
            .map_err(|_| ForwardError::Unreachable)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| ForwardError::Unreachable)?;
        tokio::spawn(connection.with_upgrades());
        Ok(Sender {
            sender,
            timeout: self.timeout,
        })
    }
}

/// A connection that sends one request.
pub struct Sender {
    sender: SendRequest<Body>,
    timeout: Duration,
}

impl Sender {
    /// Sends the request, once. Its target must be in origin form.
    ///
    /// # Errors
    /// `Lost` and `Late`: whether the application did it is not known.
    pub async fn send(
        mut self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ForwardError> {
        *request.version_mut() = http::Version::HTTP_11;
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(ForwardError::Lost),
            Err(_) => Err(ForwardError::Late),
        }
    }
}

/// The same request once more, where sending it twice is harmless: a safe method, without a body.
fn repeated(request: &Request<Body>) -> Option<Request<Body>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe || !request.body().is_end_stream() {
        return None;
    }
    let nothing = Empty::new().map_err(|never| match never {});
    let mut again = Request::new(nothing.boxed_unsync());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

/// Whether the connection broke before an answer, rather than the answer.
fn is_broken(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
            return [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected]
                .contains(&error.kind());
        }
        cause = error.source();
    }
    false
}

fn pooled_uri(uri: &Uri) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(http::uri::Authority::from_static("upstream"));
    parts.path_and_query = Some(uri.path_and_query()?.clone());
    Uri::from_parts(parts).ok()
}

#[derive(Debug, Clone)]
struct Dialer(Upstream);

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move { dial(&upstream).await.map(TokioIo::new) })
    }
}

async fn dial(upstream: &Upstream) -> io::Result<Stream> {
    let dialed = async {
        match upstream {
            Upstream::Tcp(authority) => {
                let stream = TcpStream::connect(authority.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Upstream::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, dialed).await?
}

/// A connection to an upstream.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Where a request came from, as the gate saw it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The peer's address.
    pub peer: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The public name, as in `Host`.
    pub host: String,
}

/// The headers that the upstream gets: hop-by-hop ones, Sceau's own, its cookies and everything that claims where the
/// request came from are removed; the gate's own statements are put in. `person` only for an active session.
#[must_use]
pub fn request_headers(given: &HeaderMap, origin: &Origin, person: Option<&str>) -> HeaderMap {
    let listed = connection_listed(given);
    let mut headers = HeaderMap::with_capacity(given.len() + 6);
    for (name, value) in given {
        if !is_hop_by_hop(name)
            && !listed.contains(name)
            && !is_ours_to_say(name)
            && *name != COOKIE
        {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(cookies) = foreign_cookies(given) {
        headers.insert(COOKIE, cookies);
    }
    let peer = origin.peer.to_string();
    let node = if origin.peer.is_ipv6() {
        format!("\"[{peer}]\"")
    } else {
        peer.clone()
    };
    let forwarded = format!(
        "for={node};host=\"{}\";proto={}",
        origin.host, origin.scheme
    );
    for (name, text) in [
        ("x-forwarded-for", peer.as_str()),
        ("x-forwarded-host", &origin.host),
        ("x-forwarded-proto", origin.scheme),
        ("forwarded", &forwarded),
        ("host", &origin.host),
        ("sceau-person", person.unwrap_or_default()),
    ] {
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(text)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Puts a permit into the headers of an approved request, whose body has `length` bytes.
pub fn seal(headers: &mut HeaderMap, permit: &str, length: usize) {
    if let Ok(mut value) = HeaderValue::from_str(permit) {
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("sceau-permit"), value);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// The headers that the client gets of the upstream's: hop-by-hop ones, Sceau's own and cookies by our names are
/// removed, nothing is added. A deferred answer's cookies never travel at all (`keep_cookies`).
#[must_use]
pub fn response_headers(given: &HeaderMap, keep_cookies: bool) -> HeaderMap {
    let listed = connection_listed(given);
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let ours = name.as_str().starts_with("sceau-");
        let cookie = *name == SET_COOKIE && (!keep_cookies || sets_our_cookie(value));
        if !is_hop_by_hop(name) && !listed.contains(name) && !ours && !cookie {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

fn sets_our_cookie(value: &HeaderValue) -> bool {
    let name = value
        .as_bytes()
        .split(|b| *b == b'=')
        .next()
        .unwrap_or_default();
    OWN_COOKIES
        .iter()
        .any(|own| own.as_bytes() == name.trim_ascii())
}

/// RFC 9110 §7.6.1: a `Connection` header may list more. It may not take away what identifies or frames the message.
fn connection_listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let kept = [
        HOST,
        COOKIE,
        CONTENT_LENGTH,
        http::header::AUTHORIZATION,
        http::header::CONTENT_TYPE,
    ];
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !kept.contains(name))
        .collect()
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Headers that only the gate may send, also when spelt with `_` (which CGI-like servers read as `-`).
fn is_ours_to_say(name: &HeaderName) -> bool {
    let name = name.as_str();
    let spelt = name.contains('_').then(|| name.replace('_', "-"));
    let name = spelt.as_deref().unwrap_or(name);
    name.starts_with("sceau-")
        || name.starts_with("x-forwarded")
        || name.starts_with("x-original-")
        || matches!(
            name,
            "forwarded"
                | "host"
                | "x-real-ip"
                | "x-rewrite-url"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "true-client-ip"
        )
}

/// The request's cookies without ours, in one header, in their order.
pub(super) fn foreign_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for value in headers.get_all(COOKIE) {
        for pair in value.as_bytes().split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            let name = pair
                .split(|b| *b == b'=')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            if !pair.is_empty() && !OWN_COOKIES.iter().any(|own| own.as_bytes() == name) {
                kept.push(pair);
            }
        }
    }
    if kept.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn origin() -> Origin {
        Origin {
            peer: [192, 0, 2, 7].into(),
            scheme: "https",
            host: "portal.example".to_owned(),
        }
    }

    #[test]
    fn the_upstream_hears_only_the_gate_about_persons_and_places() {
        let given = map(&[
            ("host", "portal.example"),
            ("sceau-person", "root"),
            ("sceau_person", "root"),
            ("sceau-permit", "x"),
            ("sceau-action", "x"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x_forwarded_for", "127.0.0.1"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-original-url", "/accounts"),
            ("x-rewrite-url", "/accounts"),
            ("accept", "*/*"),
        ]);
        let sent = request_headers(&given, &origin(), Some("alice"));
        let expected = map(&[
            ("accept", "*/*"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "portal.example"),
            ("x-forwarded-proto", "https"),
            (
                "forwarded",
                "for=192.0.2.7;host=\"portal.example\";proto=https",
            ),
            ("host", "portal.example"),
            ("sceau-person", "alice"),
        ]);
        assert_eq!(sent, expected);
        assert!(!request_headers(&given, &origin(), None).contains_key("sceau-person"));
    }

    #[test]
    fn hop_by_hop_headers_stay_behind_but_cannot_take_others_along() {
        let given = map(&[
            ("connection", "keep-alive, x-hop, cookie"),
            ("connection", "Authorization"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("cookie", "portal=1"),
            ("authorization", "Basic x"),
        ]);
        let sent = request_headers(&given, &origin(), None);
        for gone in [
            "connection",
            "x-hop",
            "te",
            "upgrade",
            "http2-settings",
            "transfer-encoding",
            "expect",
        ] {
            assert!(!sent.contains_key(gone), "{gone}");
        }
        assert!(sent.contains_key("cookie") && sent.contains_key("authorization"));
        let back = response_headers(
            &map(&[("connection", "x-a"), ("x-a", "1"), ("x-b", "2")]),
            true,
        );
        assert_eq!(back, map(&[("x-b", "2")]));
    }

    #[test]
    fn our_cookie_never_reaches_the_application_and_is_never_set_by_it() {
        let given = map(&[
            ("cookie", "a=1; __Host-sceau=secret; sceau=secret"),
            ("cookie", "b=2"),
        ]);
        let sent = request_headers(&given, &origin(), None);
        assert_eq!(sent.get("cookie").unwrap(), "a=1; b=2");
        assert!(
            !request_headers(&map(&[("cookie", "sceau=s")]), &origin(), None)
                .contains_key("cookie")
        );
        let back = map(&[
            ("set-cookie", "portal=1; Path=/"),
            ("set-cookie", "__Host-sceau=x"),
            ("sceau-permit", "x"),
        ]);
        assert_eq!(
            response_headers(&back, true),
            map(&[("set-cookie", "portal=1; Path=/")])
        );
        assert!(response_headers(&back, false).is_empty());
    }
}
