//! Who is asking, technically: a page's HTMX, a navigation, a script's `fetch`, or a program; and how each is told
//! something that is not the application's answer.
//!
//! Refusals and delays must never look like success: HTMX swaps 2xx and follows `HX-Location` inside the page, scripts
//! take 2xx and redirects for success, programs want RFC 9470 and RFC 9457.
//!
//! Pure, but for nothing. All headers are claims; the kind decides only how the answer looks, never what is allowed.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERER, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};

use crate::gate::forward::Body;
use crate::gate::page;

/// The kinds of client that need different answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// `HX-Request: true`.
    Htmx,
    /// A navigation or a classic form.
    Navigation,
    /// A script in a page.
    Script,
    /// A program.
    Api,
}

pub use sceau_locale::Language;

/// Who asks and how they want to be told.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its kind.
    pub kind: ClientKind,
    /// Its language.
    pub language: Language,
    /// The page of this application that it came from: a path with query.
    pub from: Option<String>,
    /// `Prefer: respond-async`: it does not want to be held.
    pub impatient: bool,
}

impl Client {
    /// Reads a request's headers; `base` is the application's own origin, such as `https://portal.example`.
    #[must_use]
    pub fn read(headers: &HeaderMap, base: &str) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let html = text(ACCEPT.as_str()).contains("text/html");
        let kind = match (text("hx-request"), text("sec-fetch-mode")) {
            ("true", _) => ClientKind::Htmx,
            (_, "navigate") => ClientKind::Navigation,
            (_, "") if html => ClientKind::Navigation,
            (_, "") => ClientKind::Api,
            _ => ClientKind::Script,
        };
        let current = if kind == ClientKind::Htmx {
            text("hx-current-url")
        } else {
            ""
        };
        let page = if current.is_empty() {
            text(REFERER.as_str())
        } else {
            current
        };
        Self {
            kind,
            language: language(text(ACCEPT_LANGUAGE.as_str()), kind),
            from: own_path(page, base),
            impatient: text("prefer")
                .split([',', ';'])
                .any(|word| word.trim() == "respond-async"),
        }
    }
}

/// The first of French and English that is asked for; programs get English, people French, when nothing is said.
fn language(accept: &str, kind: ClientKind) -> Language {
    Language::from_header(accept).unwrap_or(match kind {
        ClientKind::Api => Language::En,
        _ => Language::Fr,
    })
}

/// A URL of this application as a path with query; `None` for anything else.
#[must_use]
pub fn own_path(url: &str, base: &str) -> Option<String> {
    let rest = url.strip_prefix(base).unwrap_or(url);
    let path = rest.split('#').next().unwrap_or_default();
    let safe = path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/\\")
        && path.bytes().all(|b| b.is_ascii_graphic())
        && path.parse::<Uri>().is_ok();
    safe.then(|| path.to_owned())
}

/// The code of a notice, beside the answer that it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(pub String);

/// Something that the gate says itself.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The status for scripts, programs and pages.
    pub status: StatusCode,
    /// Stable code, kebab-case.
    pub code: String,
    /// What people read: its name in the catalogue.
    pub detail: &'static str,
    /// The variables of that text.
    pub values: Vec<(&'static str, Value)>,
    /// More members of the problem document.
    pub more: Map<String, Value>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Notice {
    /// A notice without more members. `detail`: a text of the catalogue.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: &'static str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail,
            values: Vec::new(),
            more: Map::new(),
            retry_after: None,
        }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// With a variable of its text: a number, which decides the plural, or words.
    #[must_use]
    pub fn say(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// What people read in a language.
    #[must_use]
    pub fn text(&self, language: Language) -> String {
        let values: Vec<_> = self
            .values
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Number(number) => number.as_i64().unwrap_or_default().into(),
                    Value::String(text) => text.as_str().into(),
                    other => other.to_string().into(),
                };
                (*name, value)
            })
            .collect();
        language.text_with(self.detail, &values)
    }

    /// As an answer: a page for navigations, problem+json (RFC 9457) for everything else.
    #[must_use]
    pub fn answer(&self, client: &Client) -> Response<Body> {
        let mut response = if client.kind == ClientKind::Navigation {
            page::notice(self, client.language, client.from.as_deref())
        } else {
            let mut problem = json!({
                "type": "about:blank",
                "title": self.status.canonical_reason().unwrap_or("Error"),
                "status": self.status.as_u16(),
                "code": self.code,
                "detail": self.text(client.language),
            });
            if let Value::Object(members) = &mut problem {
                members.extend(self.more.clone());
            }
            with_type("application/problem+json", problem.to_string())
        };
        *response.status_mut() = self.status;
        response.extensions_mut().insert(Code(self.code.clone()));
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Leads a client to a page of the gate (`path`, of this application): the answer when something must happen first.
/// Htmx: 401 and `HX-Redirect`. Navigation: 303. Script: `script_status` and the problem. Program: 401 with RFC 9470's challenge.
#[must_use]
pub fn lead(
    client: &Client,
    notice: &Notice,
    path: &str,
    script_status: StatusCode,
) -> Response<Body> {
    match client.kind {
        ClientKind::Htmx => {
            let mut response = with_status(notice, client, StatusCode::UNAUTHORIZED);
            if let Ok(value) = HeaderValue::from_str(path) {
                response.headers_mut().insert("hx-redirect", value);
            }
            response
        }
        ClientKind::Navigation => {
            let mut response = see_other(path);
            response.extensions_mut().insert(Code(notice.code.clone()));
            response
        }
        ClientKind::Script => with_status(notice, client, script_status),
        ClientKind::Api => {
            let mut response = with_status(notice, client, StatusCode::UNAUTHORIZED);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge());
            response
        }
    }
}

fn with_status(notice: &Notice, client: &Client, status: StatusCode) -> Response<Body> {
    Notice {
        status,
        ..notice.clone()
    }
    .answer(client)
}

/// RFC 9470 §3.
#[must_use]
pub fn challenge() -> HeaderValue {
    HeaderValue::from_static(
        "Bearer error=\"insufficient_user_authentication\", error_description=\"A key must seal this action\", acr_values=\"eidas3\"",
    )
}

/// 303 to a path of this application.
#[must_use]
pub fn see_other(path: &str) -> Response<Body> {
    let mut response = empty(StatusCode::SEE_OTHER);
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// An answer without a body, not to be cached.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer, not to be cached.
#[must_use]
pub fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = with_type("application/json", value.to_string());
    *response.status_mut() = status;
    response
}

/// An answer with a body of a type, not to be cached.
#[must_use]
pub fn with_type(kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Bytes as a body.
#[must_use]
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(list: &[(&'static str, &'static str)]) -> Client {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Client::read(&headers, "https://portal.example")
    }

    const HTMX: &[(&str, &str)] = &[
        ("hx-request", "true"),
        ("sec-fetch-mode", "cors"),
        ("accept-language", "en-GB,fr"),
    ];
    const NAVIGATION: &[(&str, &str)] = &[("sec-fetch-mode", "navigate")];
    const SCRIPT: &[(&str, &str)] = &[("sec-fetch-mode", "cors"), ("accept", "*/*")];
    const API: &[(&str, &str)] = &[("accept", "*/*")];

    #[test]
    fn clients_are_told_apart() {
        assert_eq!(client(HTMX).kind, ClientKind::Htmx);
        assert_eq!(client(NAVIGATION).kind, ClientKind::Navigation);
        assert_eq!(
            client(&[("accept", "text/html,*/*")]).kind,
            ClientKind::Navigation
        );
        assert_eq!(client(SCRIPT).kind, ClientKind::Script);
        assert_eq!(client(API).kind, ClientKind::Api);
        assert_eq!(
            (
                client(HTMX).language,
                client(SCRIPT).language,
                client(API).language
            ),
            (Language::En, Language::Fr, Language::En)
        );
        assert!(client(&[("prefer", "wait=5, respond-async")]).impatient);
    }

    #[test]
    fn only_pages_of_the_application_are_gone_back_to() {
        let from = |url: &'static str| client(&[("referer", url)]).from;
        assert_eq!(
            from("https://portal.example/accounts?page=2#x").as_deref(),
            Some("/accounts?page=2")
        );
        for foreign in [
            "https://evil.example/",
            "https://portal.example.evil/",
            "//evil.example/",
            "/\\evil",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(from(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_delay_never_looks_like_success() {
        let notice = Notice::new(
            StatusCode::UNAUTHORIZED,
            "approval-needed",
            "gate-approval-needed",
        )
        .with("action_id", "x");
        let answer = |list| {
            lead(
                &client(list),
                &notice,
                "/.sceau/actions/x",
                StatusCode::CONFLICT,
            )
        };
        let htmx = answer(HTMX);
        assert_eq!(
            (
                htmx.status(),
                htmx.headers()["hx-redirect"].to_str().unwrap()
            ),
            (StatusCode::UNAUTHORIZED, "/.sceau/actions/x")
        );
        assert!(!htmx.headers().contains_key("hx-location"));
        let navigation = answer(NAVIGATION);
        assert_eq!(
            (
                navigation.status(),
                navigation.headers()["location"].to_str().unwrap()
            ),
            (StatusCode::SEE_OTHER, "/.sceau/actions/x")
        );
        let script = answer(SCRIPT);
        assert_eq!(script.status(), StatusCode::CONFLICT);
        assert_eq!(script.headers()["content-type"], "application/problem+json");
        assert!(!script.headers().contains_key("location"));
        let api = answer(API);
        assert_eq!(api.status(), StatusCode::UNAUTHORIZED);
        let challenge = api.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.starts_with("Bearer error=\"insufficient_user_authentication\"")
                && challenge.contains("acr_values=\"eidas3\"")
        );
    }
}
