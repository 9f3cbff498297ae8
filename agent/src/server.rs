//! The server, as the agent calls it: HTTP/1.1 requests of docs/api.md, problem+json errors, and the inbox in [`inbox`].
//!
//! One connection is kept for requests and one for the inbox; both are idle sockets between uses, without timers. What comes back is not
//! trusted: bodies are bounded, actions are kept verbatim and read only by [`sceau_proof::action::Action::parse`] in [`crate::ceremony`].
//! Deliberately elsewhere: TLS and TCP ([`connect`]), the event-stream format ([`event_stream`]).

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::ceremony::EnrolledKey;
use crate::config::Config;
use crate::session::Token;

pub mod connect;
pub mod event_stream;
pub mod inbox;

use connect::Connector;

/// The largest answer that is read.
const MAX_ANSWER: usize = 512 * 1024;
/// How long a request may take, beside what it asks the server to wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It said no.
    #[error("{status} {code}{}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's stable code, empty when there was none.
        code: String,
        /// The problem's `reason` or `detail`, when it gave one. Not trusted: shown escaped.
        detail: Option<String>,
    },
    /// It cannot be reached, or the connection broke: whether the request took effect is not known.
    #[error("the server cannot be reached: {0}")]
    Unavailable(String),
    /// What answered is not the configured server.
    #[error("this is not the configured server: {0}")]
    Untrusted(String),
    /// It answered what the API does not allow.
    #[error("the server's answer cannot be read: {0}")]
    Malformed(&'static str),
}

impl ServerError {
    /// Whether the session is over (401).
    #[must_use]
    pub fn is_signed_out(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}

/// `GET /v1/me` and the inbox's greeting name a person so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    /// The server's name for the person.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub display: String,
    /// Roles, for people.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// The answer to `POST /v1/sessions`.
#[derive(Deserialize)]
pub struct OpenedSession {
    /// The session's name.
    pub session_id: String,
    /// Dead until the action is approved.
    pub token: Token,
    /// The `session.open` action, verbatim.
    pub action: Box<RawValue>,
    /// The person's keys.
    pub keys: Vec<EnrolledKey>,
}

/// The answer to `POST /v1/enrolments/open`.
#[derive(Deserialize)]
pub struct OpenedEnrolment {
    /// The enrolment's name.
    pub enrolment_id: String,
    /// The `key.register` action, verbatim.
    pub action: Box<RawValue>,
    /// The relying party that the server claims to be.
    pub rp: RelyingParty,
    /// For whom.
    pub user: User,
    /// COSE algorithms, best first.
    pub algorithms: Vec<i64>,
    /// Credentials that the person has already, base64url.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// WebAuthn's word for whether the server wants the user verified; without it, it does.
    #[serde(default)]
    pub user_verification: Option<String>,
    /// How PIV cards may be enrolled; without it they may not.
    #[serde(default)]
    pub piv: Option<CardOffer>,
}

/// How PIV cards may be enrolled, as far as an agent reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CardOffer {
    /// Whether a card's attestation counts; otherwise its issuer's certificate does.
    #[serde(default)]
    pub attested: bool,
}

impl OpenedEnrolment {
    /// Whether the authenticator must verify its user.
    #[must_use]
    pub fn verifies_user(&self) -> bool {
        !matches!(
            self.user_verification.as_deref(),
            Some("preferred" | "discouraged")
        )
    }
}

/// A relying party, as claimed.
#[derive(Deserialize)]
pub struct RelyingParty {
    /// Compared with the configured one, never used.
    pub id: String,
    /// For the authenticator's display.
    #[serde(default)]
    pub name: String,
}

/// The user handle and names of a new credential.
#[derive(Deserialize)]
pub struct User {
    /// User handle, base64url.
    pub id: String,
    /// Account name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub display: String,
}

/// The answer to a registration.
#[derive(Deserialize)]
pub struct Registered {
    /// The enrolled key.
    pub key_id: String,
    /// Whose it is.
    pub person: String,
    /// The model's identifier, when it has one.
    pub aaguid: Option<String>,
    /// The model's name, when the server knows it.
    pub model: Option<String>,
    /// The session that came with it.
    pub session: Option<RegisteredSession>,
}

/// The session that an enrolment gives.
#[derive(Deserialize)]
pub struct RegisteredSession {
    /// The session's name.
    pub session_id: String,
    /// Its bearer.
    pub token: Token,
}

/// The state of an action after a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ActionState {
    /// One of the contract's states.
    pub state: String,
    /// What came of it, to its requester.
    #[serde(default)]
    pub result: Option<ActionResult>,
}

/// What an executed action of the server's own came to, as far as an agent reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ActionResult {
    /// An invitation, which the server shows once.
    #[serde(default)]
    pub invitation: Option<String>,
}

/// The answer to `GET /v1/actions/{id}`, as far as an agent reads it.
#[derive(Deserialize)]
pub struct FoundAction {
    /// The action document, verbatim.
    pub action: Box<RawValue>,
    /// One of the contract's states.
    pub state: String,
    /// What it needs; `null` once it is settled.
    #[serde(default)]
    pub requirement: Option<Requirement>,
}

/// What an action needs, as far as an agent reads it: to tell which keys are not worth a touch. The server decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Requirement {
    /// `pin` or `touch`.
    #[serde(default)]
    pub verification: String,
}

/// The answer to `GET /v1/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SessionState {
    /// `pending`, `active`, `refused`, `suspended` or `ended`.
    pub state: String,
}

/// The configured server. For one thread.
pub struct Server {
    connector: Connector,
    idle: RefCell<Option<SendRequest<Full<Bytes>>>>,
}

impl Server {
    /// Prepares TLS as configured; connects to nothing yet.
    ///
    /// # Errors
    /// [`ServerError::Untrusted`]: the certificate authorities cannot be read, so no server could be believed.
    pub fn new(config: &Config) -> Result<Self, ServerError> {
        Ok(Self {
            connector: Connector::new(config)?,
            idle: RefCell::new(None),
        })
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// [`ServerError`]; after [`ServerError::Unavailable`] it is not known whether the request took effect.
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
        body: &serde_json::Value,
    ) -> Result<A, ServerError> {
        // The body may hold an invitation: this copy is erased; hyper's own, already on its way, cannot be.
        let body = Zeroizing::new(
            serde_json::to_vec(body).map_err(|_| ServerError::Malformed("request"))?,
        );
        self.call(
            Method::POST,
            path,
            token,
            Bytes::copy_from_slice(&body),
            Duration::ZERO,
        )
        .await
    }

    /// `GET path`; `wait` is what the path asks the server to wait.
    ///
    /// # Errors
    /// As [`Server::post`].
    pub async fn get<A: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
        wait: Duration,
    ) -> Result<A, ServerError> {
        self.call(Method::GET, path, token, Bytes::new(), wait)
            .await
    }

    /// `GET path` of something public, as bytes; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Server::post`].
    pub async fn fetch(&self, path: &str) -> Result<Option<Bytes>, ServerError> {
        let answer = tokio::time::timeout(
            DEADLINE,
            self.exchange(Method::GET, path, None, Bytes::new()),
        )
        .await;
        let (status, body) =
            answer.map_err(|_| ServerError::Unavailable("no answer in time".into()))??;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(problem(status, &body)),
        }
    }

    /// `DELETE path`, whose answer has no body that matters.
    ///
    /// # Errors
    /// As [`Server::post`].
    pub async fn delete(&self, path: &str, token: Option<&Token>) -> Result<(), ServerError> {
        let answer = tokio::time::timeout(
            DEADLINE,
            self.exchange(Method::DELETE, path, token, Bytes::new()),
        )
        .await;
        let (status, body) =
            answer.map_err(|_| ServerError::Unavailable("no answer in time".into()))??;
        if status.is_success() {
            Ok(())
        } else {
            Err(problem(status, &body))
        }
    }

    async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Bytes,
        wait: Duration,
    ) -> Result<A, ServerError> {
        let answer = tokio::time::timeout(
            DEADLINE.saturating_add(wait),
            self.exchange(method, path, token, body),
        )
        .await;
        let (status, body) =
            answer.map_err(|_| ServerError::Unavailable("no answer in time".into()))??;
        if !status.is_success() {
            return Err(problem(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|_| ServerError::Malformed("not what the API describes"))
    }

    /// One request over the kept connection, or over a new one when the server closed that in the meantime.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ServerError> {
        let kept = self.idle.borrow_mut().take();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender
                .try_send_request(self.request(&method, path, token, &body)?)
                .await
            {
                Ok(answer) => return self.finish(sender, answer).await,
                Err(mut e) => {
                    // The message comes back only when nothing of it was sent.
                    if e.take_message().is_none() {
                        return Err(unavailable(e.error()));
                    }
                }
            }
        }
        let mut sender = self.open().await?;
        let answer = sender
            .send_request(self.request(&method, path, token, &body)?)
            .await
            .map_err(|e| unavailable(&e))?;
        self.finish(sender, answer).await
    }

    async fn finish(
        &self,
        sender: SendRequest<Full<Bytes>>,
        answer: http::Response<Incoming>,
    ) -> Result<(StatusCode, Bytes), ServerError> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|_| ServerError::Malformed("too long, or cut off"))?;
        if !sender.is_closed() {
            self.idle.replace(Some(sender));
        }
        Ok((status, body.to_bytes()))
    }

    /// Opens the event stream of the person's inbox.
    ///
    /// # Errors
    /// As [`Server::post`].
    pub async fn open_inbox(&self, token: &Token) -> Result<Incoming, ServerError> {
        let opening = async {
            let mut sender = self.open().await?;
            let mut request =
                self.request(&Method::GET, "/v1/inbox", Some(token), &Bytes::new())?;
            request.headers_mut().insert(
                header::ACCEPT,
                HeaderValue::from_static("text/event-stream"),
            );
            let answer = sender
                .send_request(request)
                .await
                .map_err(|e| unavailable(&e))?;
            let status = answer.status();
            if status != StatusCode::OK {
                let body = Limited::new(answer.into_body(), MAX_ANSWER)
                    .collect()
                    .await
                    .map(|b| b.to_bytes())
                    .unwrap_or_default();
                return Err(problem(status, &body));
            }
            let kind = answer
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            if !kind.starts_with("text/event-stream") {
                return Err(ServerError::Malformed("the inbox is not an event stream"));
            }
            Ok(answer.into_body())
        };
        tokio::time::timeout(DEADLINE, opening)
            .await
            .map_err(|_| ServerError::Unavailable("no answer in time".into()))?
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, ServerError> {
        let stream = self.connector.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unavailable(&e))?;
        // The connection ends with its sender, or with the server.
        tokio::task::spawn_local(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "connection to the server ended");
            }
        });
        Ok(sender)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        token: Option<&Token>,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, ServerError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.connector.authority())
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("sceau-agent/", env!("CARGO_PKG_VERSION")),
            );
        if *method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            let text = Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| ServerError::Malformed("session token"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request
            .body(Full::new(body.clone()))
            .map_err(|_| ServerError::Malformed("request"))
    }
}

fn unavailable(error: &hyper::Error) -> ServerError {
    let cause = std::error::Error::source(error)
        .map(|s| format!(": {s}"))
        .unwrap_or_default();
    ServerError::Unavailable(format!("{error}{cause}"))
}

/// Reads problem+json (RFC 9457); anything else is a refusal without a code.
fn problem(status: StatusCode, body: &[u8]) -> ServerError {
    #[derive(Deserialize, Default)]
    struct Problem {
        #[serde(default)]
        code: String,
        reason: Option<String>,
        detail: Option<String>,
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let bounded = |text: String| text.chars().take(500).collect::<String>();
    let detail = match (problem.reason, problem.detail) {
        (Some(reason), Some(detail)) => Some(format!("{reason}: {detail}")),
        (reason, detail) => reason.or(detail),
    };
    ServerError::Refused {
        status: status.as_u16(),
        code: bounded(problem.code),
        detail: detail.map(bounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_is_read_and_bounded() {
        let body = format!(
            r#"{{"code":"registration-refused","reason":"self-attestation","detail":"{}"}}"#,
            "x".repeat(2000)
        );
        let ServerError::Refused {
            status,
            code,
            detail,
        } = problem(StatusCode::UNPROCESSABLE_ENTITY, body.as_bytes())
        else {
            panic!("a refusal")
        };
        assert_eq!((status, code.as_str()), (422, "registration-refused"));
        assert!(detail.is_some_and(|d| d.starts_with("self-attestation: x") && d.len() == 500));
        assert_eq!(
            problem(StatusCode::BAD_GATEWAY, b"<html>"),
            ServerError::Refused {
                status: 502,
                code: String::new(),
                detail: None
            }
        );
    }
}
