//! The provider's own pages: who signs in, waiting for the key, notices. No inline script or style; everything received is escaped.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::request::AuthorizationRequest;
use crate::gate::client::Client;
pub(super) use crate::gate::client::Language;
use crate::gate::page::escape;
use crate::page::{asset, protect};
use crate::store::login::Login;

const SCRIPT: &str = include_str!("page.js");

/// French or English, as the browser prefers.
pub(super) fn language(headers: &HeaderMap) -> Language {
    Client::read(headers, "").language
}

fn pick(language: Language, fr: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Fr => fr,
        Language::En => en,
    }
}

/// `back`: where a form's answer may lead outside.
fn html(status: StatusCode, language: Language, title: &str, body: &str, back: &str) -> Response {
    let lang = pick(language, "fr", "en");
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
    let title = pick(
        language,
        "Se connecter avec sa clé",
        "Sign in with your key",
    );
    let service = request
        .sp_name
        .as_deref()
        .map(|name| {
            let to = pick(language, "Service", "Service");
            format!("<p>{to}: <q>{}</q></p>\n", escape(&bounded(name)))
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
        pick(
            language,
            "Votre adresse professionnelle ou votre identifiant",
            "Your professional address or identifier"
        ),
        escape(hint),
        pick(language, "Continuer", "Continue"),
    );
    html(StatusCode::OK, language, title, &body, "")
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
    let title = pick(language, "Touchez votre clé", "Touch your key");
    let texts = [
        (
            "pending",
            pick(
                language,
                "Votre agent vous demande de sceller cette connexion. Comparez le nombre, puis touchez votre clé.",
                "Your agent asks you to seal this sign-in. Compare the number, then touch your key.",
            ),
        ),
        (
            "approved",
            pick(language, "Scellé. Vous continuez…", "Sealed. Going on…"),
        ),
        (
            "refused",
            pick(
                language,
                "Cette connexion a été refusée.",
                "This sign-in was refused.",
            ),
        ),
        (
            "denied",
            pick(
                language,
                "La politique ne permet pas cette connexion.",
                "Policy does not allow this sign-in.",
            ),
        ),
        (
            "expired",
            pick(
                language,
                "Le temps est écoulé. Revenez au service et recommencez.",
                "The time is over. Go back to the service and start again.",
            ),
        ),
        (
            "used",
            pick(
                language,
                "Cette connexion a déjà servi. Revenez au service.",
                "This sign-in was used already. Go back to the service.",
            ),
        ),
    ];
    let data: String = texts
        .iter()
        .map(|(name, text)| format!(" data-{name}=\"{}\"", escape(text)))
        .collect();
    let now = texts
        .iter()
        .find(|(name, _)| *name == state)
        .map_or("", |(_, text)| text);
    // A name that is nobody's shows a number too, always the same one for that sign-in.
    let decoy = format!("{:04}", login.id.0.as_u128() % 10_000);
    let shown = number.unwrap_or(&decoy);
    let path = format!("{}/login/{}", super::PATH, login.id);
    let here = pick(
        language,
        "Ma clé est branchée ici : l’utiliser dans ce navigateur",
        "My key is plugged in here: use it in this browser",
    );
    let failed = pick(
        language,
        "La clé n’a pas répondu. Réessayez, ou utilisez votre agent.",
        "The key did not answer. Try again, or use your agent.",
    );
    let go_on = pick(language, "Continuer", "Continue");
    let mut body = format!(
        "<p class=\"number\"><strong>{}</strong></p>\n<p id=\"status\" role=\"status\" aria-live=\"polite\" data-login=\"{path}\" \
         data-state=\"{state}\" data-failed=\"{}\"{data}>{}</p>\n<p><button id=\"here\" type=\"button\" hidden>{here}</button></p>\n\
         <p><a id=\"next\" href=\"{path}/continue\"{}>{go_on}</a></p>",
        escape(shown),
        escape(failed),
        escape(now),
        if state == "approved" { "" } else { " hidden" },
    );
    let mut back = String::new();
    if lower && matches!(state, "pending" | "refused" | "denied") {
        back = format!(" {}", origin(&login.request.redirect_uri));
        body.push_str(&format!(
            "\n<form method=\"post\" action=\"{path}/lower\">\n<p>{}</p>\n<button>{}</button>\n</form>",
            pick(
                language,
                "Sans clé, le service apprend un niveau plus faible et peut refuser.",
                "Without a key the service is told a lower level, and may refuse.",
            ),
            pick(language, "Continuer sans clé", "Continue without a key"),
        ));
    }
    html(StatusCode::OK, language, title, &body, &back)
}

fn notice(status: StatusCode, language: Language, text: &str, code: &str) -> Response {
    let title = pick(language, "Connexion", "Sign-in");
    let body = format!(
        "<p role=\"alert\">{}</p>\n<p class=\"code\">{}</p>",
        escape(text),
        escape(code)
    );
    html(status, language, title, &body, "")
}

/// The request came from nobody whom we know.
pub(super) fn unanswerable(language: Language, reason: &'static str) -> Response {
    let text = pick(
        language,
        "Cette demande ne vient pas d’un service connu. Revenez au service et recommencez.",
        "This request does not come from a known service. Go back to the service and start again.",
    );
    notice(StatusCode::BAD_REQUEST, language, text, reason)
}

/// The person has no role that this service asks for.
pub(super) fn not_allowed(language: Language) -> Response {
    let text = pick(
        language,
        "Votre rôle ne permet pas de vous connecter à ce service.",
        "Your role does not allow you to sign in to this service.",
    );
    notice(StatusCode::FORBIDDEN, language, text, "role")
}

/// Signed out.
pub(super) fn signed_out(language: Language) -> Response {
    let text = pick(language, "Vous êtes déconnecté.", "You are signed out.");
    notice(StatusCode::OK, language, text, "signed-out")
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
