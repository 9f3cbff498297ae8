//! A sample service: the "habilitation portal" of an association that serves young people.
//!
//! It stands for the application of the December 2025 incident: account managers list accounts, create
//! them, grant rights, and read files. It knows nothing of Sceau: it has its own log-in (password and a
//! cookie that it re-issues on every answer, as stateless sessions are), its own pages, and the three kinds
//! of client code seen in real back offices: HTMX fragments, plain `fetch` with multipart bodies, and classic forms.
//!
//! Everything lives in memory. `GET /_journal` tells every request that reached it and what it executed, so
//! that tests can count executions. It trusts whoever reaches its socket: that is the point of the gate.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The largest request body that the portal reads.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Rounds of PBKDF2: a sample's passwords, not a product's.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// A person who may log in to the portal.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Identifier, in paths.
    pub id: u64,
    /// The name shown.
    pub name: String,
    /// The address, which is also the log-in.
    pub email: String,
    /// `advisor` or `manager`.
    pub role: String,
    /// May it log in?
    pub enabled: bool,
    /// Rights granted, by name.
    pub rights: Vec<String>,
    #[serde(skip)]
    secret: [u8; 32],
}

/// One request that reached the portal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Method on the wire.
    pub method: String,
    /// Path and query on the wire.
    pub target: String,
    /// Who the portal took the caller for (its own session), if anybody.
    pub account: Option<u64>,
    /// Did it change the portal's state? Then this says how.
    pub executed: Option<String>,
    /// The status answered.
    pub status: u16,
    /// Headers as received (lower-case names), so that tests see what a proxy made of them.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Length of the body received.
    pub body_length: usize,
    /// SHA-256 of the body received, hexadecimal.
    pub body_sha256: String,
}

/// The portal's whole state.
#[derive(Debug)]
pub struct Portal {
    state: Mutex<Inner>,
    files: u64,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: BTreeMap<u64, Account>,
    sessions: HashMap<String, u64>,
    issued: u64,
    journal: Vec<Entry>,
}

/// What a handler did, carried to the journal in the response's extensions.
#[derive(Clone)]
struct Executed(String);

/// The caller, found by the middleware.
#[derive(Clone, Copy)]
struct Caller(u64);

impl Portal {
    /// A portal without accounts that holds `files` files of beneficiaries.
    #[must_use]
    pub fn new(files: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(Inner::default()),
            files,
        })
    }

    /// Adds an account; `role` is `manager` or `advisor`. Returns its identifier.
    pub fn add(&self, name: &str, email: &str, role: &str, password: &str) -> u64 {
        let mut state = self.lock();
        let id = state.accounts.last_key_value().map_or(1, |(id, _)| id + 1);
        let account = Account {
            id,
            name: name.to_owned(),
            email: email.to_owned(),
            role: role.to_owned(),
            enabled: true,
            rights: Vec::new(),
            secret: stretch(email, password),
        };
        state.accounts.insert(id, account);
        id
    }

    /// The portal's HTTP service.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/login", get(login_page).post(login))
            .route("/logout", post(logout))
            .route("/me", get(me))
            .route("/accounts", get(list_accounts).post(create_account))
            .route("/accounts/{id}", get(show_account).delete(delete_account))
            .route("/accounts/{id}/enable", patch(enable_account))
            .route("/accounts/{id}/disable", patch(disable_account))
            .route("/accounts/{id}/validate", patch(validate_account))
            .route("/accounts/{id}/rights", post(grant_right))
            .route("/accounts/{id}/rights/{right}", delete(revoke_right))
            .route("/files", get(list_files))
            .route("/files/{id}", get(show_file))
            .route("/upload", post(upload))
            .layer(middleware::from_fn_with_state(Arc::clone(self), record))
            .route("/_journal", get(journal))
            .with_state(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Shared = State<Arc<Portal>>;

/// Reads the whole request, finds the caller, runs the handler, and writes the journal.
async fn record(State(portal): Shared, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let token = session_cookie(&parts.headers);
    let account = token
        .as_ref()
        .and_then(|token| portal.lock().sessions.get(token).copied());
    if let Some(id) = account {
        parts.extensions.insert(Caller(id));
    }
    let mut entry = Entry {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        account,
        executed: None,
        status: 0,
        headers: BTreeMap::new(),
        body_length: bytes.len(),
        body_sha256: hex::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &bytes,
        )),
    };
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        entry
            .headers
            .entry(name.to_string())
            .or_default()
            .push(value);
    }
    let mut response = next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await;
    entry.status = response.status().as_u16();
    entry.executed = response
        .extensions_mut()
        .remove::<Executed>()
        .map(|executed| executed.0);
    let mut state = portal.lock();
    state.journal.push(entry);
    // Like a stateless session: the cookie is new on every answer.
    if let (Some(token), false) = (
        token.filter(|_| account.is_some()),
        response.headers().contains_key(SET_COOKIE),
    ) {
        state.issued += 1;
        let cookie = format!(
            "portal={token}.{}; Path=/; HttpOnly; SameSite=Lax",
            state.issued
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

#[derive(Deserialize)]
struct JournalFilter {
    /// Only requests that changed something.
    executed: Option<bool>,
}

async fn journal(State(portal): Shared, Query(filter): Query<JournalFilter>) -> Response {
    let state = portal.lock();
    let wanted = |entry: &&Entry| {
        filter
            .executed
            .is_none_or(|executed| entry.executed.is_some() == executed)
    };
    let requests: Vec<&Entry> = state.journal.iter().filter(wanted).collect();
    axum::Json(json!({ "requests": requests })).into_response()
}

async fn login_page() -> Html<String> {
    page(
        "Connexion",
        "<form method=post action=/login><label>Adresse <input name=email></label>\
         <label>Mot de passe <input name=password type=password></label><button>Entrer</button></form>",
    )
}

async fn login(State(portal): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(fields) = fields(&headers, &body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (email, password) = (text(&fields, "email"), text(&fields, "password"));
    let secret = stretch(&email, &password);
    let mut state = portal.lock();
    let Some(id) = state
        .accounts
        .values()
        .find(|a| a.enabled && a.email == email && a.secret == secret)
        .map(|a| a.id)
    else {
        return (
            StatusCode::FORBIDDEN,
            page("Refusé", "<p>Adresse ou mot de passe inconnus.</p>"),
        )
            .into_response();
    };
    let mut random = [0u8; 16];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let token = hex::encode(random);
    state.sessions.insert(token.clone(), id);
    let cookie = format!("portal={token}.0; Path=/; HttpOnly; SameSite=Lax");
    (
        StatusCode::SEE_OTHER,
        [(LOCATION, "/accounts".to_owned()), (SET_COOKIE, cookie)],
    )
        .into_response()
}

async fn logout(State(portal): Shared, headers: HeaderMap) -> Response {
    if let Some(token) = session_cookie(&headers) {
        portal.lock().sessions.remove(&token);
    }
    (
        StatusCode::SEE_OTHER,
        [
            (LOCATION, "/login"),
            (SET_COOKIE, "portal=; Path=/; Max-Age=0"),
        ],
    )
        .into_response()
}

async fn home(caller: Option<axum::Extension<Caller>>) -> Response {
    if caller.is_none() {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response();
    }
    page(
        "Portail d’habilitation",
        "<p><a href=/accounts>Comptes</a> · <a href=/files>Dossiers</a></p>",
    )
    .into_response()
}

async fn me(State(portal): Shared, caller: Option<axum::Extension<Caller>>) -> Response {
    let state = portal.lock();
    let account = caller.and_then(|caller| state.accounts.get(&caller.0.0).cloned());
    account.map_or_else(
        || StatusCode::UNAUTHORIZED.into_response(),
        |account| axum::Json(account).into_response(),
    )
}

/// The caller's account, when it has the role.
fn require(
    portal: &Portal,
    caller: Option<axum::Extension<Caller>>,
    role: Option<&str>,
) -> Result<Account, StatusCode> {
    let caller = caller.ok_or(StatusCode::UNAUTHORIZED)?.0;
    let account = portal
        .lock()
        .accounts
        .get(&caller.0)
        .cloned()
        .ok_or(StatusCode::UNAUTHORIZED)?;
    match role {
        Some(role) if account.role != role => Err(StatusCode::FORBIDDEN),
        _ if !account.enabled => Err(StatusCode::FORBIDDEN),
        _ => Ok(account),
    }
}

async fn list_accounts(
    State(portal): Shared,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
) -> Response {
    if let Err(status) = require(&portal, caller, None) {
        return status.into_response();
    }
    let state = portal.lock();
    if !wants_html(&headers) {
        let accounts: Vec<&Account> = state.accounts.values().collect();
        return axum::Json(json!({ "accounts": accounts })).into_response();
    }
    let rows: String = state.accounts.values().map(account_row).collect();
    page(
        "Comptes",
        &format!(
            "<table aria-label=\"Comptes\"><tbody>{rows}</tbody></table><form method=post action=/accounts>\
             <input name=name><input name=email><select name=role><option>advisor<option>manager</select><button>Créer</button></form>"
        ),
    )
    .into_response()
}

async fn show_account(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
) -> Response {
    if let Err(status) = require(&portal, caller, None) {
        return status.into_response();
    }
    let Some(account) = portal.lock().accounts.get(&id).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !wants_html(&headers) {
        return axum::Json(account).into_response();
    }
    page(
        &account.name.clone(),
        &format!("<table><tbody>{}</tbody></table>", account_row(&account)),
    )
    .into_response()
}

async fn create_account(
    State(portal): Shared,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(status) = require(&portal, caller, Some("manager")) {
        return status.into_response();
    }
    let Some(fields) = fields(&headers, &body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (name, email) = (text(&fields, "name"), text(&fields, "email"));
    if name.is_empty() || !email.contains('@') {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let role = if text(&fields, "role") == "manager" {
        "manager"
    } else {
        "advisor"
    };
    let id = portal.add(&name, &email, role, &text(&fields, "password"));
    let executed = Executed(format!("account.create {id} {email} {role}"));
    let mut response = if fields.contains_key("_html") || is_form(&headers) && !is_htmx(&headers) {
        (
            StatusCode::SEE_OTHER,
            [(LOCATION, format!("/accounts/{id}"))],
        )
            .into_response()
    } else if is_htmx(&headers) {
        (StatusCode::OK, [("hx-location", format!("/accounts/{id}"))]).into_response()
    } else {
        let account = portal.lock().accounts.get(&id).cloned();
        (
            StatusCode::CREATED,
            [(LOCATION, format!("/accounts/{id}"))],
            axum::Json(account),
        )
            .into_response()
    };
    response.extensions_mut().insert(executed);
    response
}

async fn enable_account(
    state: Shared,
    path: Path<u64>,
    caller: Option<axum::Extension<Caller>>,
) -> Response {
    set_enabled(state, path, caller, true)
}

async fn disable_account(
    state: Shared,
    path: Path<u64>,
    caller: Option<axum::Extension<Caller>>,
) -> Response {
    set_enabled(state, path, caller, false)
}

/// Kind A: HTMX; the answer is a fragment with a trigger.
fn set_enabled(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
    enabled: bool,
) -> Response {
    change(
        &portal,
        caller,
        id,
        if enabled {
            "account.enable"
        } else {
            "account.disable"
        },
        |account| account.enabled = enabled,
    )
}

/// Kind B: plain `fetch` with a multipart body; `add_domain=true` also trusts the whole e-mail domain.
async fn validate_account(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(fields) = fields(&headers, &body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let what = if text(&fields, "add_domain") == "true" {
        "account.validate+domain"
    } else {
        "account.validate"
    };
    change(&portal, caller, id, what, |account| {
        account.rights.push("validated".to_owned())
    })
}

async fn grant_right(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(fields) = fields(&headers, &body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let right = text(&fields, "right");
    if right.is_empty() {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    change(
        &portal,
        caller,
        id,
        &format!("right.grant {right}"),
        |account| account.rights.push(right.clone()),
    )
}

async fn revoke_right(
    State(portal): Shared,
    Path((id, right)): Path<(u64, String)>,
    caller: Option<axum::Extension<Caller>>,
) -> Response {
    change(
        &portal,
        caller,
        id,
        &format!("right.revoke {right}"),
        |account| account.rights.retain(|known| *known != right),
    )
}

async fn delete_account(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
) -> Response {
    if let Err(status) = require(&portal, caller, Some("manager")) {
        return status.into_response();
    }
    if portal.lock().accounts.remove(&id).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response
        .extensions_mut()
        .insert(Executed(format!("account.delete {id}")));
    response
}

/// Applies a manager's change to one account, and answers with its row as HTMX expects it.
fn change(
    portal: &Portal,
    caller: Option<axum::Extension<Caller>>,
    id: u64,
    what: &str,
    apply: impl FnOnce(&mut Account),
) -> Response {
    if let Err(status) = require(portal, caller, Some("manager")) {
        return status.into_response();
    }
    let mut state = portal.lock();
    let Some(account) = state.accounts.get_mut(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    apply(account);
    let mut response = (
        [("hx-trigger", "accounts-changed")],
        Html(account_row(account)),
    )
        .into_response();
    response
        .extensions_mut()
        .insert(Executed(format!("{what} {id}")));
    response
}

#[derive(Deserialize)]
struct Paging {
    #[serde(default)]
    page: u64,
    per: Option<u64>,
}

async fn list_files(
    State(portal): Shared,
    caller: Option<axum::Extension<Caller>>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Response {
    if let Err(status) = require(&portal, caller, None) {
        return status.into_response();
    }
    let per = paging.per.unwrap_or(50).clamp(1, 10_000);
    let first = paging.page.saturating_mul(per).min(portal.files);
    let last = first.saturating_add(per).min(portal.files);
    let (total, files) = (portal.files, (first..last).map(file));
    if !wants_html(&headers) {
        return axum::Json(json!({ "total": total, "files": files.collect::<Vec<_>>() }))
            .into_response();
    }
    let rows: String = files
        .map(|file| {
            let (id, name) = (
                file["id"].to_string(),
                escape(file["name"].as_str().unwrap_or_default()),
            );
            format!(
                "<tr aria-label=\"Dossier {id}\"><td><a href=\"/files/{id}\">{name}</a></td></tr>"
            )
        })
        .collect();
    page(
        "Dossiers",
        &format!("<table aria-label=\"Dossiers\"><tbody>{rows}</tbody></table>"),
    )
    .into_response()
}

async fn show_file(
    State(portal): Shared,
    Path(id): Path<u64>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
) -> Response {
    if let Err(status) = require(&portal, caller, None) {
        return status.into_response();
    }
    if id >= portal.files {
        return StatusCode::NOT_FOUND.into_response();
    }
    let file = file(id);
    if !wants_html(&headers) {
        return axum::Json(file).into_response();
    }
    page(
        file["name"].as_str().unwrap_or_default(),
        "<p>Dossier individuel.</p>",
    )
    .into_response()
}

/// A beneficiary's file, made from its number: nobody real.
fn file(id: u64) -> Value {
    const FIRST: [&str; 8] = [
        "Camille", "Inès", "Noah", "Lina", "Gabriel", "Jade", "Adam", "Louise",
    ];
    const LAST: [&str; 7] = [
        "Martin", "Bernard", "Petit", "Durand", "Moreau", "Laurent", "Simon",
    ];
    let pick =
        |names: &[&'static str], n: u64| names[usize::try_from(n).unwrap_or(0) % names.len()];
    json!({ "id": id, "name": format!("{} {} ({id})", pick(&FIRST, id), pick(&LAST, id / 8)), "born": 2001 + id % 8 })
}

/// Accepts any bytes and says what it received: for proxies that must stream.
async fn upload(body: Bytes) -> Response {
    let digest = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body));
    let mut response =
        axum::Json(json!({ "length": body.len(), "sha256": digest })).into_response();
    response
        .extensions_mut()
        .insert(Executed(format!("upload {}", body.len())));
    response
}

fn stretch(salt: &str, password: &str) -> [u8; 32] {
    let mut out = [0; 32];
    aws_lc_rs::pbkdf2::derive(
        aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
        ROUNDS,
        salt.as_bytes(),
        password.as_bytes(),
        &mut out,
    );
    out
}

fn session_cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let value = cookies
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("portal=").map(str::to_owned))?;
    Some(value.split('.').next().unwrap_or_default().to_owned())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("application/x-www-form-urlencoded")
}

fn is_htmx(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// The body's fields: JSON object, form or multipart; `None` when it does not parse. The last of repeated names wins, as in many frameworks.
fn fields(headers: &HeaderMap, body: &[u8]) -> Option<BTreeMap<String, String>> {
    let kind = content_type(headers);
    if kind.starts_with("application/json") {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
        return Some(
            object
                .into_iter()
                .map(|(name, value)| {
                    (
                        name,
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), str::to_owned),
                    )
                })
                .collect(),
        );
    }
    if is_form(headers) {
        let text = std::str::from_utf8(body).ok()?;
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        return Some(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (unquote(n), unquote(v)))
                .collect(),
        );
    }
    if let Some((_, boundary)) = kind.split_once("boundary=") {
        let text = std::str::from_utf8(body).ok()?;
        let marker = format!("--{}", boundary.trim_matches('"'));
        return Some(text.split(&marker).filter_map(part).collect());
    }
    Some(BTreeMap::new())
}

fn part(text: &str) -> Option<(String, String)> {
    let (head, value) = text.split_once("\r\n\r\n")?;
    let name = head.split_once("name=\"")?.1.split('"').next()?;
    Some((
        name.to_owned(),
        value.strip_suffix("\r\n").unwrap_or(value).to_owned(),
    ))
}

/// Percent- and plus-decoding, lenient as browsers' peers are.
fn unquote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn text(fields: &BTreeMap<String, String>, name: &str) -> String {
    fields.get(name).cloned().unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn account_row(account: &Account) -> String {
    let (id, name, email) = (account.id, escape(&account.name), escape(&account.email));
    let state = if account.enabled {
        "actif"
    } else {
        "désactivé"
    };
    let rights = escape(&account.rights.join(", "));
    format!(
        "<tr aria-label=\"{name}\"><td><a href=\"/accounts/{id}\">{name}</a><td>{email}<td>{state}<td>{rights}</tr>"
    )
}

fn page(title: &str, body: &str) -> Html<String> {
    let title = escape(title);
    Html(format!(
        "<!doctype html><html lang=fr><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}</html>"
    ))
}

/// Serves a portal on a listener until the future `stop` resolves.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    portal: Arc<Portal>,
    listener: tokio::net::TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, portal.router())
        .with_graceful_shutdown(stop)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn exchange(address: std::net::SocketAddr, request: String) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn form(method: &str, path: &str, cookie: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: portal\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn only_a_manager_creates_accounts_and_the_journal_counts_them() {
        let portal = Portal::new(10);
        portal.add("Alice Martin", "alice@ml.example", "manager", "secret");
        portal.add("Jean Dupont", "jean@ml.example", "advisor", "secret2");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(Arc::clone(&portal), listener, std::future::pending()));

        let wrong = exchange(
            address,
            form(
                "POST",
                "/login",
                "",
                "email=alice%40ml.example&password=nope",
            ),
        )
        .await;
        assert!(wrong.starts_with("HTTP/1.1 403"), "{wrong}");
        let mut created = 0;
        for (login, expected) in [
            ("email=alice%40ml.example&password=secret", 303),
            ("email=jean%40ml.example&password=secret2", 403),
        ] {
            let entered = exchange(address, form("POST", "/login", "", login)).await;
            assert!(entered.starts_with("HTTP/1.1 303"), "{entered}");
            let cookie = entered
                .split("portal=")
                .nth(1)
                .unwrap()
                .split(';')
                .next()
                .unwrap();
            let body = "name=L%C3%A9a&email=lea%40ml.example&role=manager";
            let answer = exchange(
                address,
                form("POST", "/accounts", &format!("portal={cookie}"), body),
            )
            .await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected}")),
                "{answer}"
            );
            created += usize::from(expected == 303);
        }
        let anonymous = exchange(address, form("POST", "/accounts", "", "name=a&email=b@c")).await;
        assert!(anonymous.starts_with("HTTP/1.1 401"), "{anonymous}");
        let journal = exchange(
            address,
            "GET /_journal?executed=true HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"
                .to_owned(),
        )
        .await;
        assert_eq!(journal.matches("account.create").count(), created);
        assert_eq!(portal.lock().accounts.len(), 3);
        server.abort();
    }

    #[test]
    fn fields_are_read_from_all_three_kinds_of_body() {
        let headers = |kind: &'static str| {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
        };
        let json = fields(&headers("application/json"), br#"{"a":"x","n":3}"#).unwrap();
        assert_eq!(
            (text(&json, "a"), text(&json, "n")),
            ("x".to_owned(), "3".to_owned())
        );
        let form = fields(
            &headers("application/x-www-form-urlencoded"),
            b"a=x%20y&b=c+d",
        )
        .unwrap();
        assert_eq!(
            (text(&form, "a"), text(&form, "b")),
            ("x y".to_owned(), "c d".to_owned())
        );
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\ny\r\n--B--\r\n";
        let multipart = fields(&headers("multipart/form-data; boundary=B"), body).unwrap();
        assert_eq!(text(&multipart, "a"), "x\r\ny");
        assert!(fields(&headers("application/json"), b"[1]").is_none());
    }
}
