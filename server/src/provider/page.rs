//! The provider's own pages: who signs in, waiting for the key, notices. No inline script or style; everything received is escaped.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::request::AuthorizationRequest;
use crate::gate::client::Client;
pub(super) use crate::gate::client::Language;
use crate::gate::page::{escape, say};
use crate::page::{asset, protect};
use crate::store::login::Login;

const SCRIPT: &str = include_str!("page.js");

/// French or English, as the browser prefers.
pub(super) fn language(headers: &HeaderMap) -> Language {
    Client::read(headers, "").language
}

/// `back`: where a form's answer may lead outside.
fn html(status: StatusCode, language: Language, title: &str, body: &str, back: &str) -> Response {
    let lang = language.code();
    let title = escape(title);
    let root = super::PATH;
    let text = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{root}/page.css\">\n<script src=\"{root}/page.js\" type=\"module\"></script>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'{back}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    protect(
        (status, text).into_response(),
        "text/html; charset=utf-8",
        &policy,
    )
}

/// The script of all pages.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// Their style.
pub(super) async fn style() -> Response {
    crate::page::style().await
}

/// Origin of an address that was checked.
fn origin(address: &str) -> &str {
    let after = address.find("://").map_or(0, |at| at + 3);
    let rest = address.get(after..).unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    address.get(..after + end).unwrap_or_default()
}

/// Who signs in; `hint` is where the field begins.
pub(super) fn who(
    language: Language,
    query: &str,
    request: &AuthorizationRequest,
    hint: &str,
    problem: Option<&str>,
) -> Response {
    let title = language.text("page-provider-title");
    let service = request
        .sp_name
        .as_deref()
        .map(|name| {
            let to = say(language, "page-provider-service");
            format!("<p>{to} <q>{}</q></p>\n", escape(&bounded(name)))
        })
        .unwrap_or_default();
    let problem = problem
        .map(|text| format!("<p role=\"alert\">{}</p>\n", escape(text)))
        .unwrap_or_default();
    let body = format!(
        "{problem}{service}<form method=\"post\" action=\"{}/login\">\n<input type=\"hidden\" name=\"request\" value=\"{}\">\n\
         <label for=\"person\">{}</label>\n\
         <input id=\"person\" name=\"person\" value=\"{}\" autocomplete=\"username\" maxlength=\"254\" required autofocus>\n\
         <button>{}</button>\n</form>",
        super::PATH,
        escape(query),
        say(language, "page-provider-who"),
        escape(hint),
        say(language, "page-provider-continue"),
    );
    html(StatusCode::OK, language, &title, &body, "")
}

fn bounded(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Waiting for the key; then what became of it. `lower`: this browser may go on without a gesture.
pub(super) fn waiting(
    language: Language,
    login: &Login,
    state: &'static str,
    number: Option<&str>,
    lower: bool,
) -> Response {
    let title = language.text("page-provider-touch");
    let texts: Vec<_> = language.family("page-provider-told").collect();
    let data: String = texts
        .iter()
        .map(|(name, text)| format!(" data-{name}=\"{}\"", escape(text)))
        .collect();
    let now = texts
        .iter()
        .find(|(name, _)| *name == state)
        .map_or("", |(_, text)| text.as_ref());
    // A name that is nobody's shows a number too, always the same one for that sign-in.
    let decoy = format!("{:04}", login.id.0.as_u128() % 10_000);
    let shown = number.unwrap_or(&decoy);
    let path = format!("{}/login/{}", super::PATH, login.id);
    let here = say(language, "page-provider-here");
    let failed = language.text("page-provider-failed");
    let go_on = say(language, "page-provider-continue");
    let mut body = format!(
        "<p class=\"number\"><strong>{}</strong></p>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-login=\"{path}\" \
         data-state=\"{state}\" data-failed=\"{}\"{data}>{}</p>\n<p><button id=\"here\" type=\"button\" hidden>{here}</button></p>\n\
         <p><a id=\"next\" href=\"{path}/continue\"{}>{go_on}</a></p>",
        escape(shown),
        escape(&failed),
        escape(now),
        if state == "approved" { "" } else { " hidden" },
    );
    let mut back = String::new();
    if lower && matches!(state, "pending" | "refused" | "denied") {
        back = format!(" {}", origin(&login.request.redirect_uri));
        body.push_str(&format!(
            "\n<form method=\"post\" action=\"{path}/lower\">\n<p>{}</p>\n<button>{}</button>\n</form>",
            say(language, "page-provider-lower"),
            say(language, "page-provider-lower-continue"),
        ));
    }
    html(StatusCode::OK, language, &title, &body, &back)
}

fn notice(status: StatusCode, language: Language, text: &str, code: &str) -> Response {
    let title = language.text("page-provider-notice");
    let body = format!(
        "<p role=\"alert\">{}</p>\n<p class=\"code\">{}</p>",
        escape(text),
        escape(code)
    );
    html(status, language, &title, &body, "")
}

/// The request came from nobody whom we know.
pub(super) fn unanswerable(language: Language, reason: &'static str) -> Response {
    let text = language.text("page-provider-unanswerable");
    notice(StatusCode::BAD_REQUEST, language, &text, reason)
}

/// The person has no role that this service asks for.
pub(super) fn not_allowed(language: Language) -> Response {
    let text = language.text("page-provider-not-allowed");
    notice(StatusCode::FORBIDDEN, language, &text, "role")
}

/// Signed out.
pub(super) fn signed_out(language: Language) -> Response {
    let text = language.text("page-provider-signed-out");
    notice(StatusCode::OK, language, &text, "signed-out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_end_where_the_path_begins() {
        assert_eq!(
            origin("https://auth.example/api/v2/oidc-callback"),
            "https://auth.example"
        );
        assert_eq!(origin("http://localhost:8080?x"), "http://localhost:8080");
    }

    #[tokio::test]
    async fn what_arrives_is_shown_and_never_run() {
        let request = AuthorizationRequest {
            client_id: "c".to_owned(),
            redirect_uri: "https://a.example/".to_owned(),
            state: None,
            nonce: None,
            scope: vec![],
            wanted: vec![],
            again: false,
            silent: false,
            max_age: None,
            login_hint: None,
            sp_id: None,
            sp_name: Some("<script>x</script>".to_owned()),
            code_challenge: None,
            sha256: [0; 32],
        };
        let response = who(Language::En, "a=\"><img>", &request, "\"onfocus=\"x", None);
        let body = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("&lt;script&gt;x") && !text.contains("<img>"));
        assert!(text.contains("value=\"&quot;onfocus=&quot;x\""));
    }
}
