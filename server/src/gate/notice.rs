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
use crate::session::SessionState;

/// Leads to the sign-in page, and from there back to `here` or to the page that the client came from.
pub(super) fn sign_in_first(asked: &Asked<'_>, here: Option<String>) -> Response<Body> {
    let from = here
        .or_else(|| asked.client.from.clone())
        .unwrap_or_else(|| "/".to_owned());
    let page = format!("/.sceau/sign-in?next={}", query_escape(&from));
    let notice = Notice::new(
        StatusCode::UNAUTHORIZED,
        "sign-in-needed",
        "gate-sign-in-needed",
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
        Ride::AnsweredElsewhere(action) => Notice::new(
            StatusCode::CONFLICT,
            "answered-elsewhere",
            "gate-answered-elsewhere",
        )
        .with("action_id", action.to_string())
        .answer(&asked.client),
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
        "gate-approval-needed",
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
        Failure::Denied(reason) => {
            new(StatusCode::FORBIDDEN, "denied", "gate-denied").with("reason", reason.clone())
        }
        Failure::Refused(reason) => {
            new(StatusCode::FORBIDDEN, "refused", "gate-refused").with("reason", reason.clone())
        }
        Failure::Expired => new(StatusCode::FORBIDDEN, "expired", "gate-expired"),
        Failure::Used => new(StatusCode::CONFLICT, "already-used", "gate-already-used"),
        Failure::SessionGone(state) => session_gone(*state),
        Failure::Unreachable => upstream_notice(ForwardError::Unreachable),
        Failure::Unknown => new(
            StatusCode::GATEWAY_TIMEOUT,
            "outcome-unknown",
            "gate-outcome-unknown",
        ),
    }
}

/// What the application did not do.
pub(super) fn upstream_notice(error: ForwardError) -> Notice {
    let status = match error {
        ForwardError::Late => StatusCode::GATEWAY_TIMEOUT,
        ForwardError::Unreachable | ForwardError::Lost => StatusCode::BAD_GATEWAY,
    };
    Notice::new(
        status,
        "application-unavailable",
        "gate-application-unavailable",
    )
}

/// What the desk would not do.
pub(super) fn desk_notice(error: &DeskError) -> Notice {
    let new = Notice::new;
    match error {
        DeskError::Limited { retry_after } => too_many(Some(*retry_after)),
        DeskError::Malformed(part) => {
            new(StatusCode::BAD_REQUEST, "malformed", "gate-malformed").with("part", *part)
        }
        DeskError::UnknownPerson | DeskError::Forbidden | DeskError::NotAnApprover(_) => {
            new(StatusCode::FORBIDDEN, "not-allowed", "gate-not-allowed")
        }
        DeskError::NotFound => new(StatusCode::NOT_FOUND, "not-found", "gate-unknown-action"),
        DeskError::Expired => new(StatusCode::FORBIDDEN, "expired", "gate-too-late"),
        DeskError::Unwitnessed { needed, have } => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "cosignatures-missing",
            "gate-cosignatures-missing",
        )
        .with("needed", needed.to_string())
        .with("have", have.to_string()),
        DeskError::AlreadySettled(_) | DeskError::AlreadyUsed | DeskError::StillPending => new(
            StatusCode::CONFLICT,
            "already-settled",
            "gate-already-settled",
        ),
        _ => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "gate-unavailable",
        ),
    }
}

/// Too much waits already.
pub(super) fn too_many(retry_after: Option<Duration>) -> Notice {
    let mut notice = Notice::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "gate-too-many");
    notice.retry_after = Some(retry_after.map_or(10, |after| after.as_secs().max(1)));
    notice
}

/// A suspended session, at its next request.
pub(super) fn suspended() -> Notice {
    Notice::new(
        StatusCode::FORBIDDEN,
        "session-suspended",
        "gate-session-suspended",
    )
}

/// What a client hears whose session is not active any more, by where it stands.
pub(super) fn session_gone(state: SessionState) -> Notice {
    match state {
        SessionState::Suspended => suspended(),
        SessionState::Absent => absent(),
        _ => Notice::new(
            StatusCode::UNAUTHORIZED,
            "sign-in-needed",
            "gate-sign-in-needed",
        ),
    }
}

/// A session whose key is not there, at its next request or in the middle of one.
pub(super) fn absent() -> Notice {
    Notice::new(StatusCode::FORBIDDEN, "key-absent", "gate-key-absent")
}

/// A body, or a field, without one meaning. `detail`: for whoever wrote the application.
pub(super) fn bad_body(detail: &str, code: &str) -> Notice {
    Notice::new(StatusCode::BAD_REQUEST, code, "gate-ambiguous").say("detail", detail)
}

/// A request without one meaning.
pub(super) fn refused(error: NotCanonical, client: &Client) -> Response<Body> {
    Notice::new(StatusCode::BAD_REQUEST, error.code(), "gate-not-canonical")
        .say("detail", error.to_string())
        .answer(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_survives_in_a_query() {
        assert_eq!(query_escape("/a?b=c&d=é#x"), "/a%3Fb%3Dc%26d%3D%C3%A9%23x");
    }
}
