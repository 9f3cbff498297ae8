//! The page that waits while keys seal what a service has pushed, and the notice for what is not as a service left it. No inline script or style.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::PATH;
use crate::gate::client::{Client, Language};
use crate::gate::page::escape;
use crate::page::{asset, protect};
use crate::store::oauth::Authorization;

const SCRIPT: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

fn language(headers: &HeaderMap) -> Language {
    Client::read(headers, "").language
}

fn pick(language: Language, fr: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Fr => fr,
        Language::En => en,
    }
}

fn html(status: StatusCode, language: Language, title: &str, body: &str) -> Response {
    let lang = pick(language, "fr", "en");
    let title = escape(title);
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
    let title = pick(language, "En attente de la clé", "Waiting for the key");
    let status = match state {
        "pending" => pick(
            language,
            "Votre agent vous demande de sceller cette action. Lisez-la, puis touchez votre clé.",
            "Your agent asks you to seal this action. Read it, then touch your key.",
        ),
        "used" => pick(
            language,
            "Cette demande a déjà servi. Revenez au service.",
            "This request was used already. Go back to the service.",
        ),
        _ => pick(
            language,
            "C’est décidé. Vous revenez au service…",
            "It is decided. Going back to the service…",
        ),
    };
    let own = format!("{PATH}/authorize/{}", found.id);
    let mut body = format!(
        "<p>{} <q>{}</q></p>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-request=\"{own}\" data-state=\"{}\">{}</p>",
        pick(language, "Service :", "Service:"),
        escape(found.client.as_str()),
        escape(state),
        escape(status),
    );
    if state == "pending" {
        body.push_str(&format!(
            "\n<p><a href=\"/actions/{}\" target=\"_blank\" rel=\"noopener\">{}</a></p>",
            found.action,
            pick(
                language,
                "Sans agent : lire et sceller l’action dans ce navigateur",
                "Without an agent: read and seal the action in this browser"
            ),
        ));
    }
    if state != "used" {
        body.push_str(&format!(
            "\n<p><a id=\"next\" href=\"{own}/continue\">{}</a></p>",
            pick(language, "Revenir au service", "Back to the service"),
        ));
    }
    html(StatusCode::OK, language, title, &body)
}

/// The browser brought nothing that a service of ours had pushed for it, now.
pub(super) fn unanswerable(headers: &HeaderMap) -> Response {
    let language = language(headers);
    let body = format!(
        "<p role=\"alert\">{}</p>",
        pick(
            language,
            "Cette demande n’est pas connue, a déjà servi, ou son temps est écoulé. Revenez au service et recommencez.",
            "This request is not known, was used already, or its time is over. Go back to the service and start again.",
        )
    );
    let title = pick(language, "Rien à sceller ici", "Nothing to seal here");
    html(StatusCode::BAD_REQUEST, language, title, &body)
}
