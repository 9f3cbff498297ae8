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
    let kind = parts
        .headers
        .get_all("accept")
        .iter()
        .any(|value| value == "text/html");
    upstream.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.clone(),
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
    let query = |name: &str| {
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let found = pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(n, _)| *n == name);
        found.map(|(_, value)| value.to_owned())
    };
    match path.as_str() {
        "/total" => (
            [("content-type", "application/json")],
            format!("{{\"n\":{}}}", query("n").unwrap_or_default()),
        )
            .into_response(),
        "/files" => files(&query, &kind),
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
        // It refuses, in HTMX's words for success.
        "/accounts/13" => (
            StatusCode::FORBIDDEN,
            [("hx-redirect", "/accounts"), ("hx-refresh", "true")],
            "not your own",
        )
            .into_response(),
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

/// `count` files from `from` on, as JSON or a page; or something that cannot be counted.
fn files(query: &dyn Fn(&str) -> Option<String>, html: &bool) -> Response {
    let number = |name: &str| query(name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let ids = number("from")..number("from") + number("count");
    match query("odd").as_deref() {
        Some("text") => return "not what the route says".into_response(),
        Some("gzip") => return ([("content-encoding", "gzip")], "xx").into_response(),
        Some("huge") => return "x".repeat(9 << 20).into_response(),
        _ => {}
    }
    if *html {
        let rows: String = ids
            .map(|id| format!("<tr data-file={id}><td>file {id}</td>"))
            .collect();
        return axum::response::Html(format!("<table>{rows}</table>")).into_response();
    }
    let list: Vec<_> = ids
        .map(|id| serde_json::json!({"id": id, "name": format!("file {id}")}))
        .collect();
    (
        [("etag", "\"1\"")],
        axum::Json(serde_json::json!({ "files": list })),
    )
        .into_response()
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
