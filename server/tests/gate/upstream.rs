//! An application that knows nothing of Sceau: it records every request that reaches it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The application.
#[derive(Clone, Default)]
pub(crate) struct Upstream {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Starts it; returns its address.
    pub(crate) async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/stream", axum::routing::any(stream))
            .route("/drip", axum::routing::get(drip))
            .route("/me", axum::routing::get(me))
            .fallback(application)
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Everything that arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What arrived with a method that changes something.
    pub(crate) fn executed(&self) -> Vec<Seen> {
        let unsafe_one = |seen: &Seen| !["GET", "HEAD", "OPTIONS"].contains(&seen.method.as_str());
        self.seen().into_iter().filter(unsafe_one).collect()
    }
}

async fn application(State(upstream): State<Upstream>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20)
        .await
        .unwrap_or_default();
    let path = parts.uri.path().to_owned();
    upstream.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body,
    });
    let cookie = [
        ("set-cookie", "app=renewed; Path=/"),
        ("set-cookie", "sceau=stolen; Path=/"),
    ];
    match path.as_str() {
        "/slow" => tokio::time::sleep(Duration::from_secs(3)).await,
        "/die" => panic!("the application dies in the middle, as told"),
        _ => {}
    }
    match path.as_str() {
        "/accounts" if parts.method == "POST" => {
            let headers = [("location", "/accounts/7"), ("hx-location", "/accounts/7")];
            (
                StatusCode::CREATED,
                axum::response::AppendHeaders(cookie),
                headers,
                "created",
            )
                .into_response()
        }
        "/names/7" => (
            [("content-type", "text/html")],
            "<html><title>Jean &lt;b&gt; Dupont</title></html>",
        )
            .into_response(),
        _ => (
            axum::response::AppendHeaders(cookie),
            format!("{} {path}", parts.method),
        )
            .into_response(),
    }
}

/// Says a word every 50 ms, for ever.
async fn drip() -> Body {
    let words = futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"word\n")), ()))
    });
    Body::from_stream(words)
}

/// Whom the application takes the caller for: who `as=` in the cookie says.
async fn me(headers: HeaderMap) -> Response {
    let cookie = headers
        .get("cookie")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match cookie.split("as=").nth(1) {
        Some("odd") => "who knows".into_response(),
        Some(id) => (
            [("content-type", "application/json")],
            format!("{{\"id\":{id}}}"),
        )
            .into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Counts what arrives without keeping it, and answers with as many bytes as `?bytes=` says.
async fn stream(request: Request) -> Response {
    let wanted: usize = request
        .uri()
        .query()
        .and_then(|q| q.strip_prefix("bytes="))
        .map_or(0, |n| n.parse().unwrap());
    let mut arrived = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(chunk)) = body.next().await {
        arrived += chunk.len();
    }
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let chunks = futures_util::stream::iter(
        (0..wanted / chunk.len()).map(move |_| Ok::<_, std::io::Error>(chunk.clone())),
    );
    (
        [("arrived", arrived.to_string())],
        Body::from_stream(chunks),
    )
        .into_response()
}
