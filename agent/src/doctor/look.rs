//! How each thing is looked at, from the person's own process.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Finding, Part, of_configuration};
use crate::config::{Config, ConfigError, Places};
use crate::hidraw;
use crate::locale::Language;
use crate::server::ServerError;
use crate::server::connect::Connector;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than this, and expiries are judged wrongly.
const SKEW: Duration = Duration::from_secs(30);
/// Most that is read of an answer.
const MAX_ANSWER: u64 = 1024 * 1024;

/// Looks at everything; `variable` is the environment.
pub async fn at_everything(
    variable: impl Fn(&str) -> Option<String>,
    now: impl Fn() -> OffsetDateTime,
) -> Vec<Finding> {
    let language = Language::from_environment(&variable);
    let mut findings = Vec::new();
    let places = match Places::from_environment(&variable, None) {
        Ok(places) => Some(places.or_of_the_machine()),
        Err(_) => {
            let without = |name: &str| match name {
                "XDG_RUNTIME_DIR" => Some("/nowhere".to_owned()),
                name => variable(name),
            };
            findings.push(Finding::new(Part::Agent, "runtime-directory-missing", ""));
            Places::from_environment(without, None)
                .ok()
                .map(Places::or_of_the_machine)
        }
    };
    let config = places.as_ref().and_then(|places| {
        let (finding, config) = configuration(&places.config, language);
        findings.push(finding);
        config
    });
    if let Some(config) = &config {
        findings.extend(server(config, &now).await);
    }
    if let Some(places) = &places {
        findings.extend(session_file(&places.session));
        if variable("XDG_RUNTIME_DIR").is_some() {
            let socket = places.served_socket(rustix::process::geteuid().as_raw());
            findings.extend(agent(&socket, config.as_ref()).await);
        }
    }
    findings.push(smart_cards());
    findings.push(usb(&hidraw::Roots::default()));
    let has_windows = ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| variable(name).is_some_and(|value| !value.is_empty()));
    findings.push(pinentry(
        variable("PATH").unwrap_or_default().as_ref(),
        has_windows,
    ));
    findings.push(if has_windows {
        desktop().await
    } else {
        Finding::new(Part::Desktop, "desktop-none", "")
    });
    findings
}

fn configuration(path: &Path, language: Language) -> (Finding, Option<Config>) {
    let fault = |code, detail: String| (Finding::new(Part::Configuration, code, detail), None);
    if !path.exists() {
        return fault("configuration-missing", path.display().to_string());
    }
    match Config::load(path) {
        Ok(config) => (of_configuration(&config), Some(config)),
        Err(e) => {
            let code = match &e {
                ConfigError::Unreadable { .. } => "configuration-unreadable",
                ConfigError::Server(_) => "configuration-server",
                ConfigError::RpId => "configuration-rp-id",
                ConfigError::Pin(_) => "configuration-pin",
                _ => "configuration-malformed",
            };
            let detail = match &e {
                ConfigError::Unreadable { .. } => e.tell(language),
                _ => language.labelled(&path.display().to_string(), e.tell(language)),
            };
            fault(code, detail)
        }
    }
}

/// Who answers, whether it is well, and what time it is there.
async fn server(config: &Config, now: &impl Fn() -> OffsetDateTime) -> Vec<Finding> {
    let one = |code, detail: String| vec![Finding::new(Part::Server, code, detail)];
    let connector = match Connector::new(config) {
        Ok(connector) => connector,
        Err(e) => return one("ca-file-unusable", e.to_string()),
    };
    if config.server.host.parse::<std::net::IpAddr>().is_err()
        && tokio::net::lookup_host((config.server.host.as_str(), config.server.port))
            .await
            .is_err()
    {
        return one("server-unresolved", config.server.host.clone());
    }
    let mut stream = match tokio::time::timeout(PATIENCE, connector.connect()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(ServerError::Untrusted(why))) => {
            let is_pinned = !config.spki_sha256.is_empty();
            let code = if is_pinned && why.contains("ApplicationVerificationFailure") {
                "server-other-key"
            } else {
                "server-untrusted"
            };
            return one(code, why);
        }
        Ok(Err(e)) => return one("server-silent", e.to_string()),
        Err(_) => return one("server-silent", config.server.text()),
    };
    let request = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        connector.authority()
    );
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        let mut head = vec![0; 4096];
        let mut filled = 0;
        while !head
            .get(..filled)
            .unwrap_or_default()
            .windows(4)
            .any(|end| end == b"\r\n\r\n")
        {
            let free = head.get_mut(filled..).unwrap_or_default();
            match stream.read(free).await? {
                0 => break,
                count => filled += count,
            }
        }
        head.truncate(filled);
        Ok::<_, io::Error>(String::from_utf8_lossy(&head).into_owned())
    };
    let head = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(head)) => head,
        _ => return one("server-silent", config.server.text()),
    };
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let first = match status.as_str() {
        "200" | "204" => Finding::new(Part::Server, "server-reached", config.server.text()),
        _ => Finding::new(Part::Server, "server-unwell", format!("HTTP {status}")),
    };
    vec![first, clock(&head, now())]
}

fn clock(head: &str, now: OffsetDateTime) -> Finding {
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim())
    });
    let there = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    match there {
        None => Finding::new(Part::Clock, "clock-unknown", ""),
        Some(there) => {
            let skew = (now - there).unsigned_abs();
            let code = if skew > SKEW {
                "clock-wrong"
            } else {
                "clock-right"
            };
            Finding::new(Part::Clock, code, format!("{} s", skew.as_secs()))
        }
    }
}

fn session_file(path: &Path) -> Option<Finding> {
    let metadata = std::fs::metadata(path).ok()?;
    let is_open = metadata.mode() & 0o077 != 0;
    is_open.then(|| Finding::new(Part::Session, "session-file-open", path.display()))
}

/// One request to the daemon.
async fn request(socket: &Path, op: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket).await?;
    stream
        .write_all(format!("{}\n", json!({ "op": op })).as_bytes())
        .await?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(MAX_ANSWER);
    tokio::time::timeout(PATIENCE, bounded.read_to_end(&mut answer)).await??;
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["done"].clone())
}

async fn agent(socket: &Path, config: Option<&Config>) -> Vec<Finding> {
    let status = match request(socket, "status").await {
        Ok(status) => status,
        Err(e) => {
            let code = match e.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ConnectionReset => "agent-refuses",
                _ => "agent-absent",
            };
            return vec![Finding::new(
                Part::Agent,
                code,
                format!("{}: {e}", socket.display()),
            )];
        }
    };
    let mut findings = Vec::new();
    let version = status["version"].as_str().unwrap_or("?");
    let server = config.map(|config| config.server.text());
    findings.push(if version != env!("CARGO_PKG_VERSION") {
        Finding::new(Part::Agent, "agent-of-another-version", version)
    } else if server.is_some() && status["server"].as_str() != server.as_deref() {
        let detail = status["server"].as_str().unwrap_or_default();
        Finding::new(Part::Agent, "agent-of-another-server", detail)
    } else {
        Finding::new(Part::Agent, "agent-running", version)
    });
    findings.push(match status["inbox"].as_str() {
        Some("signed-out") => Finding::new(Part::Session, "signed-out", ""),
        Some("lost") => {
            let reason = status["reason"].as_str().unwrap_or_default();
            Finding::new(Part::Session, "inbox-lost", reason)
        }
        _ => {
            let person = status["person"].as_str().unwrap_or_default();
            Finding::new(Part::Session, "signed-in", person)
        }
    });
    if let Ok(keys) = request(socket, "keys").await {
        findings.extend(of_keys(&keys));
    }
    findings
}

/// What the daemon says of the keys that are there.
fn of_keys(keys: &Value) -> Vec<Finding> {
    let keys = keys["keys"].as_array().map(Vec::as_slice);
    let keys = keys.unwrap_or_default();
    let ready: Vec<&Value> = keys.iter().filter(|key| key["state"] == "ready").collect();
    if ready.is_empty() {
        return vec![Finding::new(Part::Keys, "key-absent", "")];
    }
    let one = |key: &&Value| {
        let code = if key["pin_locked"] == true || key["pin_retries"] == 0 {
            "key-locked"
        } else if key["pin_set"] == false {
            "key-without-pin"
        } else if key["enrolled"].is_null() {
            "key-unknown"
        } else {
            "key-enrolled"
        };
        Finding::new(Part::Keys, code, key["reader"].as_str().unwrap_or_default())
    };
    ready.iter().map(one).collect()
}

fn smart_cards() -> Finding {
    let finding = |code, detail: String| Finding::new(Part::SmartCards, code, detail);
    match pcsc::Context::establish(pcsc::Scope::User) {
        Ok(context) => match context.list_readers_owned() {
            Ok(readers) => finding("pcscd-answers", readers.len().to_string()),
            Err(pcsc::Error::NoReadersAvailable) => finding("pcscd-answers", "0".to_owned()),
            Err(e) => of_pcsc(e),
        },
        Err(e) => of_pcsc(e),
    }
}

fn of_pcsc(error: pcsc::Error) -> Finding {
    let code = match error {
        pcsc::Error::NoService | pcsc::Error::ServiceStopped => "pcscd-absent",
        pcsc::Error::SecurityViolation | pcsc::Error::NoAccess => "pcscd-refuses",
        _ => "pcscd-fails",
    };
    Finding::new(Part::SmartCards, code, error)
}

fn usb(roots: &hidraw::Roots) -> Finding {
    let nodes = hidraw::nodes(roots);
    let refused = nodes.iter().find(|node| !node.may_open);
    match (nodes.first(), refused) {
        (None, _) => Finding::new(Part::Usb, "usb-none", ""),
        (_, Some(node)) => Finding::new(
            Part::Usb,
            "usb-refused",
            format!("{}: {}", node.path.display(), node.name),
        ),
        (Some(node), None) => Finding::new(Part::Usb, "usb-key", &node.name),
    }
}

fn pinentry(path: &OsStr, has_windows: bool) -> Finding {
    let found = std::env::split_paths(path)
        .map(|folder| folder.join("pinentry"))
        .find(|program| is_executable(program));
    let Some(program) = found else {
        return Finding::new(Part::Pinentry, "pinentry-absent", "");
    };
    // Debian's alternatives: what the name really is.
    let real = std::fs::canonicalize(&program).unwrap_or(program);
    let name = real.to_string_lossy().into_owned();
    let is_textual = name.ends_with("-curses") || name.ends_with("-tty");
    let code = if has_windows && is_textual {
        "pinentry-without-windows"
    } else {
        "pinentry-there"
    };
    Finding::new(Part::Pinentry, code, name)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The session bus, and who is on it.
async fn desktop() -> Finding {
    let finding = |code, detail: String| Finding::new(Part::Desktop, code, detail);
    let bus = match tokio::time::timeout(PATIENCE, zbus::Connection::session()).await {
        Ok(Ok(bus)) => bus,
        Ok(Err(e)) => return finding("session-bus-absent", e.to_string()),
        Err(_) => return finding("session-bus-absent", String::new()),
    };
    let Ok(names) = zbus::fdo::DBusProxy::new(&bus).await else {
        return finding("session-bus-absent", String::new());
    };
    let owned = async |name: &'static str| match zbus::names::BusName::try_from(name) {
        Ok(name) => names.name_has_owner(name).await.unwrap_or(false),
        Err(_) => false,
    };
    let startable = names.list_activatable_names().await.unwrap_or_default();
    let can_start = |name: &str| startable.iter().any(|other| other.as_str() == name);
    let notifications = "org.freedesktop.Notifications";
    if !owned(notifications).await && !can_start(notifications) {
        return finding("notification-server-absent", String::new());
    }
    if !owned("fr.sceau.Agent1").await {
        return finding("desktop-absent", String::new());
    }
    finding("desktop-served", String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::NOW;

    #[test]
    fn clock_is_compared_with_the_servers_date() {
        let code = |head: &str| clock(head, NOW).code;
        assert_eq!(
            code("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 19:01:10 GMT\r\n\r\n"),
            "clock-right"
        );
        assert_eq!(
            code("HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 18:01:00 GMT\r\n\r\n"),
            "clock-wrong"
        );
        assert_eq!(
            code("HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n"),
            "clock-unknown"
        );
    }

    #[test]
    fn keys_are_judged_by_what_the_daemon_says() {
        let code = |key: Value| of_keys(&json!({ "keys": [key] }))[0].code;
        let key = |more: Value| {
            let mut key = json!({ "state": "ready", "reader": "r", "pin_set": true, "pin_retries": 8, "enrolled": { "key_id": "1" } });
            if let (Some(key), Value::Object(more)) = (key.as_object_mut(), more) {
                key.extend(more);
            }
            key
        };
        assert_eq!(code(key(json!({}))), "key-enrolled");
        assert_eq!(code(key(json!({ "enrolled": null }))), "key-unknown");
        assert_eq!(code(key(json!({ "pin_set": false }))), "key-without-pin");
        assert_eq!(code(key(json!({ "pin_locked": true }))), "key-locked");
        assert_eq!(code(key(json!({ "pin_retries": 0 }))), "key-locked");
        assert_eq!(code(json!({ "state": "reading" })), "key-absent");
    }

    #[test]
    fn pcscds_answers_are_told_apart() {
        assert_eq!(of_pcsc(pcsc::Error::NoService).code, "pcscd-absent");
        assert_eq!(
            of_pcsc(pcsc::Error::SecurityViolation).code,
            "pcscd-refuses"
        );
        assert_eq!(of_pcsc(pcsc::Error::CommError).code, "pcscd-fails");
    }
}
