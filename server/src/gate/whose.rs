//! Whose session the application takes a request for. The gate's own session says who asks; but where readers need none, an account that was
//! suspended at its lineage's fall would still be read with. While a service has suspended accounts, the gate therefore asks the application
//! itself, with the caller's own cookies (`account = { get, json }` in the route file), and refuses those accounts.
//!
//! Fail closed: an application that answers neither with an account nor with "nobody" is not asked further. Nothing is asked in normal times.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::gate::client::{Notice, full};
use crate::gate::forward::{Body, request_headers};
use crate::gate::notice::desk_notice;
use crate::gate::passage::Asked;

/// The most of the answer that is read, and how long it may take.
const LIMIT: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(4);

/// Whom the application takes the caller for.
enum Whose {
    Nobodys,
    Account(String),
    NotKnown,
}

/// The refusal of a request that the application would answer to a suspended account.
pub(super) async fn refused(asked: &Asked<'_>, headers: &HeaderMap) -> Option<Response<Body>> {
    let app = &asked.site.app;
    let account = app.account.as_ref()?;
    let desk = &asked.gate.desk;
    match desk.suspends_accounts(&app.service).await {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => return Some(desk_notice(&error).answer(&asked.client)),
    }
    // Without cookies or credentials the application takes nobody for anybody.
    if !headers.contains_key("cookie") && !headers.contains_key("authorization") {
        return None;
    }
    let asking = whose(asked, headers, &account.get, &account.json);
    let id = match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Whose::Nobodys) => return None,
        Ok(Whose::Account(id)) => id,
        Ok(Whose::NotKnown) | Err(_) => return Some(unknown().answer(&asked.client)),
    };
    match desk.is_account_suspended(&app.service, &id).await {
        Ok(false) => None,
        Ok(true) => Some(suspended().answer(&asked.client)),
        Err(error) => Some(desk_notice(&error).answer(&asked.client)),
    }
}

async fn whose(asked: &Asked<'_>, headers: &HeaderMap, page: &http::Uri, pointer: &str) -> Whose {
    let mut given = HeaderMap::new();
    for name in ["cookie", "authorization", "user-agent"] {
        for value in headers.get_all(name) {
            given.append(http::HeaderName::from_static(name), value.clone());
        }
    }
    let mut request = Request::new(full(bytes::Bytes::new()));
    *request.uri_mut() = page.clone();
    *request.headers_mut() = request_headers(&given, &asked.origin, asked.person());
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static("application/json"));
    let Ok(response) = asked.site.forwarder.stream(request).await else {
        return Whose::NotKnown;
    };
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Whose::Nobodys,
        status if status.is_redirection() => return Whose::Nobodys,
        _ => return Whose::NotKnown,
    }
    let Ok(collected) = Limited::new(response.into_body(), LIMIT).collect().await else {
        return Whose::NotKnown;
    };
    let value: serde_json::Value =
        serde_json::from_slice(&collected.to_bytes()).unwrap_or_default();
    match value.pointer(pointer) {
        Some(serde_json::Value::String(id)) => Whose::Account(id.clone()),
        Some(serde_json::Value::Number(id)) => Whose::Account(id.to_string()),
        _ => Whose::NotKnown,
    }
}

fn suspended() -> Notice {
    Notice::new(
        StatusCode::FORBIDDEN,
        "account-suspended",
        "gate-account-suspended",
    )
}

fn unknown() -> Notice {
    Notice::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "account-unknown",
        "gate-account-unknown",
    )
}
