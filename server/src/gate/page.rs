//! The gate's own pages, small and plain: sign-in, an action that waits, a notice. No inline script or style, and a
//! content security policy of their own; the application's pages are never touched.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use crate::gate::client::{Language, Notice, with_type};
use crate::gate::forward::Body;

const SCRIPT: &str = include_str!("page.js");
/// The style of the server's own pages.
const STYLE: &str = include_str!("../page/page.css");

/// A page; its title is a text of the catalogue.
fn html(language: Language, title: &str, body: &str) -> Response<Body> {
    let lang = language.code();
    let title = say(language, title);
    let text = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/.sceau/page.css\">\n<script src=\"/.sceau/page.js\" defer></script>\n</head>\n\
         <body>\n<header>\n<p><strong>Sceau</strong></p>\n</header>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    protect(with_type("text/html; charset=utf-8", text))
}

fn protect(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The script of all pages.
#[must_use]
pub(super) fn script() -> Response<Body> {
    protect(with_type(
        "text/javascript; charset=utf-8",
        Bytes::from_static(SCRIPT.as_bytes()),
    ))
}

/// The style of all pages.
#[must_use]
pub(super) fn style() -> Response<Body> {
    protect(with_type(
        "text/css; charset=utf-8",
        Bytes::from_static(STYLE.as_bytes()),
    ))
}

/// A notice; `from`: the page of the application that its reader came from.
#[must_use]
pub(super) fn notice(notice: &Notice, language: Language, from: Option<&str>) -> Response<Body> {
    let mut body = format!(
        "<p role=\"alert\">{}</p>\n<p class=\"code\">{}</p>\n",
        escape(&notice.text(language)),
        escape(&notice.code),
    );
    if let Some(from) = from {
        let back = say(language, "gate-continue");
        body.push_str(&format!(
            "<p><a id=\"next\" href=\"{}\">{back}</a></p>\n",
            escape(from)
        ));
    }
    body.push_str(&format!(
        "<p><a href=\"/.sceau/sign-in\">{}</a></p>",
        say(language, "gate-sign-in-title")
    ));
    html(language, "gate-not-executed", &body)
}

/// What the sign-in page offers.
pub(super) struct SignIn<'a> {
    /// Where the person goes afterwards.
    pub(super) next: &'a str,
    /// The way to ProConnect.
    pub(super) by_login: bool,
    /// The form for the key.
    pub(super) by_key: bool,
    /// Who they are by the log-in that came before: the form sends itself.
    pub(super) person: Option<&'a str>,
    /// Where an action is sealed without an agent; its id follows.
    pub(super) seal: &'a str,
}

/// The sign-in page.
#[must_use]
pub(super) fn sign_in(language: Language, shown: &SignIn<'_>) -> Response<Body> {
    let text = |name| say(language, name);
    let mut body = String::new();
    if shown.by_login {
        let next = crate::gate::notice::query_escape(shown.next);
        body.push_str(&format!(
            "<p><a id=\"proconnect\" href=\"/.sceau/login?next={}\">{}</a></p>\n",
            escape(&next),
            text("gate-sign-in-proconnect"),
        ));
    }
    if shown.by_key {
        let (value, auto) = match shown.person {
            Some(person) => (
                format!(" value=\"{}\" readonly", escape(person)),
                " data-auto=\"1\"",
            ),
            None => (String::new(), ""),
        };
        let seal = escape(shown.seal);
        let [person, button] = [text("gate-sign-in-identifier"), text("gate-sign-in-button")];
        let [wait, refused, limited] = [
            text("gate-sign-in-wait"),
            text("gate-sign-in-refused"),
            text("gate-sign-in-limited"),
        ];
        let browser = text("gate-sign-in-browser");
        body.push_str(&format!(
            "<form id=\"sign-in\" data-next=\"{}\" data-seal=\"{seal}\"{auto}>\n<label for=\"person\">{person}</label>\n\
             <input id=\"person\" name=\"person\" autocomplete=\"username\" maxlength=\"64\" required autofocus{value}>\n\
             <button class=\"main\">{button}</button>\n</form>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-wait=\"{wait}\" \
             data-refused=\"{refused}\" data-error=\"{limited}\"></p>\n\
             <p><a id=\"seal\" href=\"{seal}\" target=\"_blank\" rel=\"noopener\" hidden>{browser}</a></p>",
            escape(shown.next)
        ));
    }
    html(language, "gate-sign-in-title", &body)
}

/// What the page of an action shows.
pub(super) struct Shown<'a> {
    /// The action.
    pub(super) id: &'a str,
    /// What it is, in the reader's language.
    pub(super) words: &'a str,
    /// Its state now.
    pub(super) state: &'a str,
    /// It was executed, and the application answered with an error.
    pub(super) failed: bool,
    /// Where it is sealed without an agent; its id follows.
    pub(super) seal: &'a str,
}

/// The page of an action: what it is, where it stands, and where the key is asked for.
#[must_use]
pub(super) fn action(language: Language, shown: &Shown<'_>) -> Response<Body> {
    let (title, now) = match shown.state {
        "pending" => ("gate-waiting", "pending"),
        "approved" => ("gate-waiting", "approved"),
        "executed" if shown.failed => ("gate-failed", "failed"),
        "executed" => ("gate-executed", "executed"),
        "consumed" => ("gate-unknown", "consumed"),
        _ => ("gate-not-executed", "refused"),
    };
    let told: String = language
        .family("gate-told")
        .map(|(state, text)| format!(" data-{state}=\"{}\"", escape(&text)))
        .collect();
    let (state, now) = if now == "failed" {
        (now, say(language, "gate-told-failed"))
    } else {
        (shown.state, say(language, &format!("gate-told-{now}")))
    };
    let [back, browser] = [
        say(language, "gate-continue"),
        say(language, "gate-seal-in-browser"),
    ];
    let id = escape(shown.id);
    let body = format!(
        "<blockquote>{}</blockquote>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-action=\"{id}\" data-state=\"{}\"{told}>{now}</p>\n\
         <p><a id=\"next\" href=\"/\" hidden>{back}</a></p>\n<p><a id=\"seal\" href=\"{}{id}\"{}>{browser}</a></p>",
        escape(shown.words),
        escape(state),
        escape(shown.seal),
        if shown.state == "pending" {
            ""
        } else {
            " hidden"
        },
    );
    html(language, title, &body)
}

/// A text of the catalogue, as HTML.
#[must_use]
pub(crate) fn say(language: Language, name: &str) -> String {
    escape(&language.text(name))
}

/// HTML text, also in quoted attributes.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn pages_escape_and_run_nothing_inline() {
        let shown = Shown {
            id: "0193",
            words: "<script>\"x\"</script>",
            state: "pending",
            failed: false,
            seal: "https://sceau.example/actions/",
        };
        let page = action(Language::En, &shown);
        assert!(
            page.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'; script-src 'self';")
        );
        let body = page.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("&lt;script&gt;&quot;x&quot;&lt;/script&gt;"));
        assert_eq!(text.matches("<script").count(), 1);
        assert!(!text.contains(" style=") && !text.contains("onclick"));
        assert!(text.contains("href=\"https://sceau.example/actions/0193\""));
    }
}
