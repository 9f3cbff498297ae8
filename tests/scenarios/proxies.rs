//! Attack 19 past three fronts: the gate itself, and Debian's nginx and Caddy with the configurations that are shipped (`docs/gate`). One table of spellings
//! of a privileged request; none reaches the sample service through any of them. What needs no body is sealed through nginx and Caddy, too.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{GATE, PORTAL, create_account},
    http::Client,
    place,
    process::Running,
    stage::Stage,
};
use serde_json::json;

const NGINX: &str = "127.0.0.1:8451";
const CADDY: &str = "127.0.0.1:8452";
const JSON: &str = r#"{"name":"Mallory","email":"m@ml.example","role":"advisor"}"#;

/// A spelling: what it is called, its request line's method and target, more headers, and the body.
type Spelling = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const KIND: &str = "Content-Type: application/json\r\n";

/// Each would create, delete or change an account if it were taken for what it resembles.
fn spellings() -> Vec<Spelling> {
    let mut list: Vec<Spelling> = Vec::new();
    for (what, target) in [
        ("plain", "/accounts"),
        ("trailing slash", "/accounts/"),
        ("query", "/accounts?x=1"),
        ("upper case", "/ACCOUNTS"),
        ("mixed case", "/Accounts"),
        ("dot segment", "/./accounts"),
        ("dot-dot segment", "/login/../accounts"),
        ("encoded dots", "/login/%2e%2e/accounts"),
        ("half-encoded dots", "/login/.%2e/accounts"),
        ("from the gate's own pages", "/.sceau/../accounts"),
        (
            "from the gate's own pages, encoded",
            "/.sceau/%2e%2e/accounts",
        ),
        (
            "from the gate's own pages, encoded slash",
            "/.sceau/..%2faccounts",
        ),
        ("double slash", "//accounts"),
        ("triple slash", "///accounts"),
        ("double slash at the end", "/accounts//"),
        ("backslash", "/login\\..\\accounts"),
        ("encoded backslash", "/login%5c..%5caccounts"),
        ("encoded slash", "/login%2f..%2faccounts"),
        ("encoded letter", "/%61ccounts"),
        ("double encoding", "/%2561ccounts"),
        ("overlong slash", "/login%c0%af..%c0%afaccounts"),
        ("null byte", "/accounts%00"),
        ("line break", "/accounts%0d%0a"),
        ("tab", "/accounts%09"),
        ("trailing dot", "/accounts."),
        ("trailing space", "/accounts%20"),
        ("path parameter", "/accounts;x=1"),
        ("path parameter on the way", "/login;/../accounts"),
        ("fragment", "/login#/../accounts"),
        ("absolute form", "http://portal.example/accounts"),
        (
            "absolute form of the free path",
            "http://portal.example/login/../accounts",
        ),
        (
            "_method in the query of a free path",
            "/login?_method=DELETE",
        ),
    ] {
        list.push((what, "POST", target, KIND, JSON));
    }
    for (what, headers) in [
        ("another path in a header", "X-Original-URL: /login\r\n"),
        (
            "another path in another header",
            "X-Rewrite-URL: /login\r\n",
        ),
        (
            "another request for the proxy's question",
            "X-Original-URI: /login\r\nX-Original-Method: GET\r\n",
        ),
        (
            "another request for the other proxy's question",
            "X-Forwarded-Uri: /login\r\nX-Forwarded-Method: GET\r\n",
        ),
        (
            "a forged permit",
            "Sceau-Permit: x.y.z\r\nSceau-Person: alice\r\n",
        ),
        (
            "a forged permit with underscores",
            "Sceau_Permit: x.y.z\r\nSceau_Person: alice\r\n",
        ),
        (
            "headers taken away by Connection",
            "Connection: close, X-Original-Method, X-Original-URI, X-Forwarded-Method, X-Forwarded-Uri\r\n",
        ),
        (
            "an action of nobody's",
            "Sceau-Action: 0193500a-7d00-7000-8000-00000000000a\r\n",
        ),
        ("two hosts", "Host: other.example\r\n"),
        ("a foreign origin", "Origin: https://evil.example\r\n"),
    ] {
        list.push((what, "POST", "/accounts", headers, JSON));
    }
    for (what, method, target, headers) in [
        ("DELETE with a leading zero", "DELETE", "/accounts/01", ""),
        ("DELETE with a sign", "DELETE", "/accounts/+1", ""),
        ("lower-case method", "delete", "/accounts/1", ""),
        (
            "method by header",
            "POST",
            "/accounts/1",
            "X-HTTP-Method-Override: DELETE\r\n",
        ),
        (
            "method by another header",
            "GET",
            "/accounts/1",
            "X-Method-Override: DELETE\r\n",
        ),
        (
            "method by a header with underscores",
            "POST",
            "/login",
            "X_HTTP_METHOD_OVERRIDE: DELETE\r\n",
        ),
        (
            "PATCH that no route names",
            "PATCH",
            "/accounts/1/disable",
            "",
        ),
        ("invented method", "PURGE", "/accounts/1", ""),
        ("CONNECT", "CONNECT", "127.0.0.1:8442", ""),
    ] {
        list.push((what, method, target, headers, ""));
    }
    list
}

/// Requests whose framing is the attack, whole.
fn smuggled(cookie: &str) -> Vec<(&'static str, String)> {
    let inner = format!(
        "POST /accounts HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n{KIND}Content-Length: {}\r\n\r\n{JSON}",
        JSON.len()
    );
    let outer = |headers: &str, body: &str| {
        format!(
            "POST /login HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}\r\n{body}"
        )
    };
    let chunk = format!("0\r\n\r\n{inner}");
    vec![
        (
            "length and chunks",
            outer(
                &format!(
                    "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                    chunk.len()
                ),
                &chunk,
            ),
        ),
        (
            "two lengths",
            outer(
                &format!("Content-Length: 0\r\nContent-Length: {}\r\n", inner.len()),
                &inner,
            ),
        ),
        (
            "odd coding",
            outer(
                &format!(
                    "Transfer-Encoding: xchunked\r\nContent-Length: {}\r\n",
                    chunk.len()
                ),
                &chunk,
            ),
        ),
        (
            "coding with a space",
            outer(
                &format!(
                    "Transfer-Encoding : chunked\r\nContent-Length: {}\r\n",
                    chunk.len()
                ),
                &chunk,
            ),
        ),
        ("bare line feeds", outer("Content-Length: 0\n\n", &inner)),
        (
            "GET with a hidden request",
            format!(
                "GET /login HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{inner}",
                inner.len()
            ),
        ),
    ]
}

/// Sends bytes and reads what comes within a moment; an answer that does not come is a request that is held.
fn exchange(front: &str, bytes: &str) -> Result<String> {
    let mut stream = TcpStream::connect(front)?;
    stream.set_read_timeout(Some(Duration::from_millis(250)))?;
    stream.write_all(bytes.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A shipped configuration, with this machine's application.
fn shipped(stage: &Stage, name: &str) -> Result<std::path::PathBuf> {
    let text = fs::read_to_string(place::root().join("docs/gate").join(name))?;
    ensure!(text.contains("127.0.0.1:3000"), "{name} has another shape");
    let file = stage.path(name);
    fs::write(&file, text.replace("127.0.0.1:3000", PORTAL))?;
    Ok(file)
}

fn fronts(stage: &Stage) -> Result<[Running; 2]> {
    let included = shipped(stage, "nginx.conf")?;
    let folder = stage.path("");
    let whole = folder.join("nginx-main.conf");
    fs::write(
        &whole,
        format!(
            "daemon off; master_process off; pid {0}nginx.pid; error_log stderr warn;\nevents {{}}\nhttp {{ access_log off; client_body_temp_path {0}t1; \
             proxy_temp_path {0}t2; fastcgi_temp_path {0}t3; uwsgi_temp_path {0}t4; scgi_temp_path {0}t5; include {1}; }}\n",
            folder.display(),
            included.display()
        ),
    )?;
    let mut nginx = Running::start(
        "nginx",
        &folder,
        Command::new("nginx").arg("-c").arg(&whole),
    )?;
    let mut caddy = Running::start(
        "caddy",
        &folder,
        Command::new("caddy")
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(shipped(stage, "Caddyfile")?)
            .env("HOME", &folder),
    )?;
    for (front, running) in [(NGINX, &mut nginx), (CADDY, &mut caddy)] {
        let there = Client::new(&format!("http://{front}"));
        running.wait_ready(Duration::from_secs(15), || {
            there.get("/login").is_ok_and(|answer| answer.status == 200)
        })?;
    }
    Ok([nginx, caddy])
}

fn stage() -> Result<Stage> {
    let mut stage = Stage::set()?;
    let routes = stage.house.file("portal.toml");
    let text = fs::read_to_string(&routes)?;
    let ours = text
        .replace(
            &format!("host = \"{GATE}\""),
            &format!("forward_auth = true\nhost = [\"{GATE}\", \"{NGINX}\", \"{CADDY}\"]"),
        )
        .replace(
            "path = \"/accounts/{id:int}\"\naction",
            "path = \"/accounts/{id:int}\"\nbodyless = true\naction",
        );
    ensure!(
        ours.contains("forward_auth") && ours.contains("bodyless"),
        "the sample's routes have another shape"
    );
    fs::write(&routes, ours)?;
    // The shipped policy has no word about deleting accounts of the portal.
    let policy = stage.house.file("policy/portal.cedar");
    let more = "\n@id(\"delete-account\")\npermit (principal in Role::\"manager\", action == Action::\"account.delete\", resource in Service::\"portal\");\n";
    fs::write(&policy, fs::read_to_string(&policy)? + more)?;
    stage.house.kill_server();
    stage.house.start_server()?;
    Ok(stage)
}

/// Whatever is held gives up with its client; then nothing waits, and the next is judged by itself.
fn settled(stage: &Stage, before: &[String], what: &str) -> Result<()> {
    let now = stage.house.executed()?;
    ensure!(now == before, "{what}: reached the service: {now:?}");
    Ok(())
}

#[test]
fn proxies_with_the_shipped_configurations_let_no_spelling_past_either() -> Result<()> {
    let stage = stage()?;
    let (house, alice) = (&stage.house, &stage.people.manager);
    let _fronts = fronts(&stage)?;
    let browser = house.browser(alice)?;
    let cookie = browser.cookie_header();

    // An account that can be deleted, made through the gate.
    let created = std::thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| create_account(&browser, "Jean Dupont"));
        let (code, shown) = alice.approve(&house.awaited(alice)?)?;
        ensure!(code == 0, "{shown}");
        held.join().map_err(|_| anyhow::anyhow!("a thread broke"))?
    })?;
    ensure!(created.status == 201, "{} {}", created.status, created.text);
    let id = created.json()["id"].to_string();
    let before = house.executed()?;
    ensure!(before.len() == 1, "{before:?}");

    let table = spellings();
    assert!(table.len() + smuggled(&cookie).len() >= 55);
    for front in [GATE, NGINX, CADDY] {
        for (what, method, target, headers, body) in &table {
            let length = match body.len() {
                0 => String::new(),
                length => format!("Content-Length: {length}\r\n"),
            };
            let close = if headers.contains("Connection:") {
                ""
            } else {
                "Connection: close\r\n"
            };
            let bytes = format!(
                "{method} {target} HTTP/1.1\r\nHost: {front}\r\nCookie: {cookie}\r\nAccept: */*\r\n{close}{headers}{length}\r\n{body}"
            );
            let answer = exchange(front, &bytes)?;
            let status = answer.split(' ').nth(1).unwrap_or("held").to_owned();
            ensure!(
                !status.starts_with('2') || answer.contains("<html"),
                "{front}: {what}: {answer}"
            );
            settled(&stage, &before, &format!("{front}: {what} ({status})"))?;
        }
        for (what, bytes) in smuggled(&cookie) {
            exchange(front, &bytes.replace("HOST", front))?;
            settled(&stage, &before, &format!("{front}: {what}"))?;
        }
    }

    // What has a body is refused with the reason; what has none is sealed, and happens once.
    for front in [NGINX, CADDY] {
        let program = Client::new(&format!("http://{front}")).with("cookie", &cookie);
        assert_eq!(
            program.get("/me")?.status,
            200,
            "{front}: reading is as without"
        );
        assert_eq!(
            program.post("/accounts", &json!({"name": "x"}))?.status,
            403,
            "{front}"
        );
    }
    let program = |front: &str| Client::new(&format!("http://{front}")).with("cookie", &cookie);
    let waiting = program(NGINX).send("DELETE", &format!("/accounts/{id}"), &[], None)?;
    assert_eq!(waiting.status, 401, "{}", waiting.text);
    let action = waiting
        .header("sceau-action")
        .context("its action")?
        .to_owned();
    let (code, shown) = alice.approve(&action)?;
    ensure!(code == 0, "{shown}");
    let named = [("sceau-action", action.as_str())];
    let other = program(CADDY).send("DELETE", "/accounts/999", &named, None)?;
    assert!(
        other.status >= 400,
        "for another request it is worth nothing: {}",
        other.status
    );
    let done = program(NGINX).send("DELETE", &format!("/accounts/{id}"), &named, None)?;
    assert!(done.status < 300, "{} {}", done.status, done.text);
    let again = program(CADDY).send("DELETE", &format!("/accounts/{id}"), &named, None)?;
    assert!(again.status >= 400, "it is used up: {}", again.status);
    assert_eq!(house.executed()?.len(), 2);
    Ok(())
}
