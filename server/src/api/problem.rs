//! Errors as problem+json (RFC 9457): a stable `code`, and no more about a failed check than `not-verified`.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::desk::DeskError;
use crate::session::SessionState;

/// An error on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Option<Cow<'static, str>>,
    // Boxed: an error is returned by value everywhere.
    more: Box<Map<String, Value>>,
    retry_after: Option<u64>,
}

/// What every error looks like.
#[derive(ToSchema)]
pub(super) struct ProblemBody {
    /// `urn:sceau:problem:<code>`.
    #[allow(dead_code)]
    r#type: String,
    /// The status' own words.
    #[allow(dead_code)]
    title: String,
    /// HTTP status.
    #[allow(dead_code)]
    status: u16,
    /// Stable, kebab-case.
    #[allow(dead_code)]
    code: String,
    /// For people who debug; not stable.
    #[allow(dead_code)]
    detail: Option<String>,
}

impl Problem {
    /// A problem of this status and code.
    #[must_use]
    pub fn of(status: StatusCode, code: &'static str) -> Self {
        Self {
            status,
            code,
            detail: None,
            more: Box::default(),
            retry_after: None,
        }
    }

    /// With a detail.
    #[must_use]
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Nothing here, or nothing for this caller's eyes: the same answer.
    #[must_use]
    pub fn not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "not-found")
    }

    pub(super) fn unauthenticated() -> Self {
        Self::of(StatusCode::UNAUTHORIZED, "unauthenticated")
    }

    pub(super) fn session(state: SessionState) -> Self {
        let code = match state {
            SessionState::Pending => "session-pending",
            SessionState::Absent => "session-absent",
            SessionState::Suspended => "session-suspended",
            _ => "session-ended",
        };
        Self::of(StatusCode::UNAUTHORIZED, code)
    }

    pub(crate) fn limited(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        Self {
            retry_after: Some(seconds),
            ..Self::of(StatusCode::TOO_MANY_REQUESTS, "limited")
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Malformed(what) => {
                Self::of(StatusCode::BAD_REQUEST, "malformed").because(what)
            }
            DeskError::NotFound => Self::not_found(),
            DeskError::UnknownPerson => {
                Self::of(StatusCode::UNPROCESSABLE_ENTITY, "unknown-person")
            }
            DeskError::Forbidden => Self::of(StatusCode::FORBIDDEN, "forbidden"),
            DeskError::NotAnApprover(reason) => {
                Self::of(StatusCode::FORBIDDEN, "not-an-approver").with("reason", reason)
            }
            DeskError::AlreadySettled(state) => {
                Self::of(StatusCode::CONFLICT, "already-settled").with("state", state.as_str())
            }
            DeskError::StillPending => Self::of(StatusCode::CONFLICT, "still-pending"),
            DeskError::LineageChanged => Self::of(StatusCode::CONFLICT, "lineage-changed"),
            DeskError::ReviewFirst => Self::of(StatusCode::CONFLICT, "review-first"),
            DeskError::AlreadyUsed => Self::of(StatusCode::CONFLICT, "already-used"),
            DeskError::Expired => Self::of(StatusCode::GONE, "expired"),
            DeskError::LevelUnreachable => {
                Self::of(StatusCode::UNPROCESSABLE_ENTITY, "level-unreachable")
            }
            DeskError::NotVerified => Self::of(StatusCode::UNPROCESSABLE_ENTITY, "not-verified"),
            DeskError::Limited { retry_after } => Self::limited(retry_after),
            DeskError::ClockWentBack => {
                Self::of(StatusCode::SERVICE_UNAVAILABLE, "clock-went-back")
            }
            DeskError::Blind(reason) => Self::of(StatusCode::SERVICE_UNAVAILABLE, reason)
                .because(sceau_proof::attestation::words(reason, "en").unwrap_or("no metadata")),
            DeskError::Unwitnessed { needed, have } => Self {
                retry_after: Some(1),
                ..Self::of(StatusCode::SERVICE_UNAVAILABLE, "cosignatures-missing")
                    .because("too few witnesses have cosigned the log")
                    .with("needed", needed)
                    .with("have", have)
            },
            DeskError::Unavailable => Self::of(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            DeskError::Misuse(what) => {
                tracing::error!(what, "our own mistake");
                Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:sceau:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
        });
        if let Some(object) = body.as_object_mut() {
            object.extend(*self.more);
            if let Some(detail) = self.detail {
                object.insert("detail".to_owned(), Value::from(detail.into_owned()));
            }
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
