//! What the gate says itself, when it is not the application that answers: each refusal and delay with its status, code
//! and words. Which of them may be told to whom is decided in `passage`; how each kind of client gets it, in `client`.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode};

use crate::desk::DeskError;
use crate::gate::canon::NotCanonical;
use crate::gate::client::{self, Client, ClientKind, Notice};
use crate::gate::forward::{Body, ForwardError};
use crate::gate::hold::{Failure, Ride};
use crate::gate::passage::Asked;
use crate::id::ActionId;

/// Leads to the sign-in page, and from there back to `here` or to the page that the client came from.
pub(super) fn sign_in_first(asked: &Asked<'_>, here: Option<String>) -> Response<Body> {
    let from = here
        .or_else(|| asked.client.from.clone())
        .unwrap_or_else(|| "/".to_owned());
    let page = format!("/.sceau/sign-in?next={}", query_escape(&from));
    let notice = Notice::new(
        StatusCode::UNAUTHORIZED,
        "sign-in-needed",
        "Connectez-vous d’abord avec votre clé.",
        "Sign in with your key first.",
    )
    .with("sign_in_url", format!("{}{page}", asked.base));
    client::lead(&asked.client, &notice, &page, StatusCode::UNAUTHORIZED)
}

/// A text as one query value.
pub(super) fn query_escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// How a ride ended, told to this kind of client.
pub(super) fn told(asked: &Asked<'_>, ride: Ride) -> Response<Body> {
    match ride {
        Ride::Answer(response) => response,
        Ride::Waits(action) => approval_needed(asked, action),
        Ride::AnsweredElsewhere(action) => {
            let fr = "La même demande a déjà reçu la réponse de l’application.";
            let en = "The same request has already got the application's answer.";
            Notice::new(StatusCode::CONFLICT, "answered-elsewhere", fr, en)
                .with("action_id", action.to_string())
                .answer(&asked.client)
        }
        Ride::Failed(action, failure) => {
            let mut notice = failure_notice(&failure);
            let Some(action) = action else {
                return notice.answer(&asked.client);
            };
            notice = notice.with("action_id", action.to_string());
            let mut response = notice.answer(&asked.client);
            // HTMX swaps nothing for a 403, and says nothing: the person would never know.
            if asked.client.kind == ClientKind::Htmx
                && let Ok(page) = HeaderValue::from_str(&format!("/.sceau/actions/{action}"))
            {
                response.headers_mut().insert("hx-redirect", page);
            }
            response
        }
    }
}

/// The answer when a request waits and its connection does not.
pub(super) fn approval_needed(asked: &Asked<'_>, action: ActionId) -> Response<Body> {
    let page = format!("/.sceau/actions/{action}");
    let url = format!("{}{page}", asked.base);
    let notice = Notice::new(
        StatusCode::UNAUTHORIZED,
        "approval-needed",
        "Cette demande attend une clé. Elle n’est pas encore exécutée.",
        "This request waits for a key. It has not been executed yet.",
    )
    .with("action_id", action.to_string())
    .with("approve_url", url.clone())
    .with("status_url", url);
    client::lead(&asked.client, &notice, &page, StatusCode::CONFLICT)
}

pub(super) fn failure_notice(failure: &Failure) -> Notice {
    let new = Notice::new;
    match failure {
        Failure::Desk(error) => desk_notice(error),
        Failure::Denied(reason) => new(
            StatusCode::FORBIDDEN,
            "denied",
            "La politique de sécurité interdit cette demande.",
            "The policy forbids this request.",
        )
        .with("reason", reason.clone()),
        Failure::Refused(reason) => new(
            StatusCode::FORBIDDEN,
            "refused",
            "Cette demande a été refusée. Rien n’a été exécuté.",
            "This request was refused. Nothing was executed.",
        )
        .with("reason", reason.clone()),
        Failure::Expired => new(
            StatusCode::FORBIDDEN,
            "expired",
            "Aucune clé n’a approuvé cette demande à temps. Rien n’a été exécuté.",
            "No key approved this request in time. Nothing was executed.",
        ),
        Failure::Used => new(
            StatusCode::CONFLICT,
            "already-used",
            "Cette action a déjà servi ; elle n’est jamais rejouée.",
            "This action has been used; it is never replayed.",
        ),
        Failure::SessionGone => suspended(),
        Failure::Unreachable => upstream_notice(ForwardError::Unreachable),
        Failure::Unknown => new(
            StatusCode::GATEWAY_TIMEOUT,
            "outcome-unknown",
            "La demande est partie et l’application n’a pas répondu : vérifiez avant de recommencer.",
            "The request was sent and the application did not answer: check before you ask again.",
        ),
    }
}

/// What the application did not do.
pub(super) fn upstream_notice(error: ForwardError) -> Notice {
    let status = match error {
        ForwardError::Late => StatusCode::GATEWAY_TIMEOUT,
        ForwardError::Unreachable | ForwardError::Lost => StatusCode::BAD_GATEWAY,
    };
    let fr = "L’application ne répond pas.";
    Notice::new(
        status,
        "application-unavailable",
        fr,
        "The application does not answer.",
    )
}

/// What the desk would not do.
pub(super) fn desk_notice(error: &DeskError) -> Notice {
    let new = Notice::new;
    match error {
        DeskError::Limited { retry_after } => too_many(Some(*retry_after)),
        DeskError::Malformed(part) => new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "Cette demande ne peut pas être décrite exactement.",
            "This request cannot be described exactly.",
        )
        .with("part", *part),
        DeskError::UnknownPerson | DeskError::Forbidden | DeskError::NotAnApprover(_) => new(
            StatusCode::FORBIDDEN,
            "not-allowed",
            "Cette personne ne peut pas demander cela.",
            "This person cannot ask for this.",
        ),
        DeskError::NotFound => new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Action inconnue.",
            "Unknown action.",
        ),
        DeskError::Expired => new(
            StatusCode::FORBIDDEN,
            "expired",
            "Délai dépassé.",
            "Too late.",
        ),
        DeskError::Unwitnessed { needed, have } => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "cosignatures-missing",
            "Les témoins du journal n’ont pas encore vu cette approbation. Rien n’a été exécuté.",
            "The log's witnesses have not seen this approval yet. Nothing was executed.",
        )
        .with("needed", needed.to_string())
        .with("have", have.to_string()),
        DeskError::AlreadySettled(_) | DeskError::AlreadyUsed | DeskError::StillPending => new(
            StatusCode::CONFLICT,
            "already-settled",
            "Action déjà close.",
            "The action is already settled.",
        ),
        _ => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Sceau est indisponible : rien n’est exécuté sans lui.",
            "Sceau is unavailable: nothing is executed without it.",
        ),
    }
}

/// Too much waits already.
pub(super) fn too_many(retry_after: Option<Duration>) -> Notice {
    let fr = "Trop de demandes en attente.";
    let mut notice = Notice::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many",
        fr,
        "Too many requests are waiting.",
    );
    notice.retry_after = Some(retry_after.map_or(10, |after| after.as_secs().max(1)));
    notice
}

/// A suspended session, at its next request.
pub(super) fn suspended() -> Notice {
    Notice::new(
        StatusCode::FORBIDDEN,
        "session-suspended",
        "Cette session a été suspendue. Adressez-vous à votre administrateur.",
        "This session was suspended. Ask your administrator.",
    )
}

/// A session whose key is not there, at its next request or in the middle of one.
pub(super) fn absent() -> Notice {
    Notice::new(
        StatusCode::FORBIDDEN,
        "key-absent",
        "La clé de cette session n’est plus là. Remettez-la, ou connectez-vous de nouveau.",
        "The key of this session is not there any more. Put it back, or sign in again.",
    )
}

/// A body, or a field, without one meaning.
pub(super) fn bad_body(detail: &str, code: &str) -> Notice {
    let fr = format!("La demande est ambiguë ou mal formée ({detail}).");
    Notice::new(
        StatusCode::BAD_REQUEST,
        code,
        &fr,
        &format!("The request is ambiguous or malformed: {detail}."),
    )
}

/// A request without one meaning.
pub(super) fn refused(error: NotCanonical, client: &Client) -> Response<Body> {
    let (fr, en) = (
        format!("Demande refusée : {error}."),
        format!("Request refused: {error}."),
    );
    Notice::new(StatusCode::BAD_REQUEST, error.code(), &fr, &en).answer(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_survives_in_a_query() {
        assert_eq!(query_escape("/a?b=c&d=é#x"), "/a%3Fb%3Dc%26d%3D%C3%A9%23x");
    }
}
