//! The page that waits while keys seal what a service has pushed, and the notice for what is not as a service left it. No inline script or style.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::PATH;
use crate::gate::client::{Client, Language};
use crate::gate::page::{escape, say};
use crate::page::{asset, protect};
use crate::store::oauth::Authorization;

const SCRIPT: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

fn language(headers: &HeaderMap) -> Language {
    Client::read(headers, "").language
}

fn html(status: StatusCode, language: Language, title: &str, body: &str) -> Response {
    let lang = language.code();
    let title = say(language, title);
    let text = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/pages/page.css\">\n<script src=\"{PATH}/page.js\" type=\"module\"></script>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    protect(
        (status, text).into_response(),
        "text/html; charset=utf-8",
        POLICY,
    )
}

/// The page's script.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// Waiting; then back, by the script or by hand.
pub(super) fn waiting(headers: &HeaderMap, found: &Authorization, state: &str) -> Response {
    let language = language(headers);
    let status = match state {
        "pending" => say(language, "oauth-pending"),
        "used" => say(language, "oauth-used"),
        _ => say(language, "oauth-decided"),
    };
    let own = format!("{PATH}/authorize/{}", found.id);
    let mut body = format!(
        "<p>{} <q>{}</q></p>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-request=\"{own}\" data-state=\"{}\">{status}</p>",
        say(language, "oauth-service"),
        escape(found.client.as_str()),
        escape(state),
    );
    if state == "pending" {
        body.push_str(&format!(
            "\n<p><a href=\"/actions/{}\" target=\"_blank\" rel=\"noopener\">{}</a></p>",
            found.action,
            say(language, "oauth-here"),
        ));
    }
    if state != "used" {
        body.push_str(&format!(
            "\n<p><a id=\"next\" href=\"{own}/continue\">{}</a></p>",
            say(
                language,
                if state == "pending" {
                    "oauth-go-on"
                } else {
                    "oauth-back"
                }
            ),
        ));
    }
    let title = match state {
        "used" => "oauth-used-title",
        _ => "oauth-title",
    };
    html(StatusCode::OK, language, title, &body)
}

/// The browser brought nothing that a service of ours had pushed for it, now.
pub(super) fn unanswerable(headers: &HeaderMap) -> Response {
    let language = language(headers);
    let body = format!("<p role=\"alert\">{}</p>", say(language, "oauth-nothing"));
    html(
        StatusCode::BAD_REQUEST,
        language,
        "oauth-nothing-title",
        &body,
    )
}
