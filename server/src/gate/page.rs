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

fn html(language: Language, title: &str, body: &str) -> Response<Body> {
    let lang = if language == Language::Fr { "fr" } else { "en" };
    let title = escape(title);
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

/// A notice.
#[must_use]
pub(super) fn notice(notice: &Notice, language: Language) -> Response<Body> {
    let (title, back) = match language {
        Language::Fr => ("Demande non exécutée", "Se connecter avec sa clé"),
        Language::En => ("Request not executed", "Sign in with your key"),
    };
    let body = format!(
        "<p role=\"alert\">{}</p>\n<p class=\"code\">{}</p>\n<p><a href=\"/.sceau/sign-in\">{back}</a></p>",
        escape(notice.text(language)),
        escape(&notice.code)
    );
    html(language, title, &body)
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
    let [
        title,
        person,
        button,
        wait,
        refused,
        limited,
        browser,
        proconnect,
    ] = match language {
        Language::Fr => [
            "Connexion par clé",
            "Votre identifiant",
            "Se connecter",
            "Touchez votre clé : votre agent vous demande de sceller cette connexion.",
            "Connexion refusée ou expirée.",
            "Impossible pour le moment. Réessayez plus tard.",
            "Pas d’agent sur ce poste ? Sceller dans ce navigateur (nouvel onglet)",
            "Se connecter avec ProConnect",
        ],
        Language::En => [
            "Sign in with your key",
            "Your identifier",
            "Sign in",
            "Touch your key: your agent asks you to seal this sign-in.",
            "The sign-in was refused or has expired.",
            "Not possible now. Try again later.",
            "No agent on this workstation? Seal it in this browser (new tab)",
            "Log in with ProConnect",
        ],
    };
    let mut body = String::new();
    if shown.by_login {
        let next = crate::gate::notice::query_escape(shown.next);
        body.push_str(&format!(
            "<p><a id=\"proconnect\" href=\"/.sceau/login?next={}\">{proconnect}</a></p>\n",
            escape(&next)
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
        body.push_str(&format!(
            "<form id=\"sign-in\" data-next=\"{}\" data-seal=\"{seal}\"{auto}>\n<label for=\"person\">{person}</label>\n\
             <input id=\"person\" name=\"person\" autocomplete=\"username\" maxlength=\"64\" required autofocus{value}>\n\
             <button class=\"main\">{button}</button>\n</form>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-wait=\"{wait}\" \
             data-refused=\"{refused}\" data-error=\"{limited}\"></p>\n\
             <p><a id=\"seal\" href=\"{seal}\" target=\"_blank\" rel=\"noopener\" hidden>{browser}</a></p>",
            escape(shown.next)
        ));
    }
    html(language, title, &body)
}

/// What the page of an action shows.
pub(super) struct Shown<'a> {
    /// The action.
    pub(super) id: &'a str,
    /// What it is, in the reader's language.
    pub(super) words: &'a str,
    /// Its state now.
    pub(super) state: &'a str,
    /// Where it is sealed without an agent; its id follows.
    pub(super) seal: &'a str,
}

/// The page of an action: what it is, where it stands, and where the key is asked for.
#[must_use]
pub(super) fn action(language: Language, shown: &Shown<'_>) -> Response<Body> {
    let [waiting, executed, unknown, refused] = match language {
        Language::Fr => [
            "En attente de la clé",
            "Demande exécutée",
            "Issue inconnue",
            "Demande non exécutée",
        ],
        Language::En => [
            "Waiting for the key",
            "Request executed",
            "Outcome unknown",
            "Request not executed",
        ],
    };
    let [
        say_pending,
        say_approved,
        say_executed,
        say_consumed,
        say_refused,
        back,
        browser,
    ] = match language {
        Language::Fr => [
            "La demande attend une clé. Cette page continue d’elle-même.",
            "Demande approuvée.",
            "Demande exécutée.",
            "La demande est partie et l’application n’a pas répondu : vérifiez avant de recommencer.",
            "Demande refusée ou expirée : rien n’a été exécuté.",
            "Continuer",
            "Pas d’agent sur ce poste ? Lire et sceller dans ce navigateur",
        ],
        Language::En => [
            "The request waits for a key. This page goes on by itself.",
            "Request approved.",
            "Request executed.",
            "The request was sent and the application did not answer: check before you ask again.",
            "Request refused or expired: nothing was executed.",
            "Continue",
            "No agent on this workstation? Read and seal it in this browser",
        ],
    };
    let (title, now) = match shown.state {
        "pending" => (waiting, say_pending),
        "approved" => (waiting, say_approved),
        "executed" => (executed, say_executed),
        "consumed" => (unknown, say_consumed),
        _ => (refused, say_refused),
    };
    let id = escape(shown.id);
    let body = format!(
        "<blockquote>{}</blockquote>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-action=\"{id}\" data-state=\"{}\" \
         data-pending=\"{say_pending}\" data-approved=\"{say_approved}\" data-executed=\"{say_executed}\" \
         data-consumed=\"{say_consumed}\" data-refused=\"{say_refused}\">{now}</p>\n\
         <p><a id=\"next\" href=\"/\" hidden>{back}</a></p>\n<p><a id=\"seal\" href=\"{}{id}\"{}>{browser}</a></p>",
        escape(shown.words),
        escape(shown.state),
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
