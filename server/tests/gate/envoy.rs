//! What Envoy asks (docs/gate/envoy.yaml). Envoy is not in Debian, so it is not what runs here: `Envoy::send` does to a request what Envoy's
//! sources say that its connection manager and its HTTP `ext_authz` do, under the shipped file, and everything travels over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use crate::bypass::{Must, variants};
use crate::house::{ACCOUNT, House, Plan, create};
use crate::upstream::Upstream;
use crate::wire::{Answer, Ask, problem, raw};

/// What the shipped file says.
struct Shipped {
    allowed: Vec<String>,
    prefixes: Vec<String>,
    upstream: Vec<String>,
    added: (String, String),
    path_prefix: String,
    max: usize,
}

impl Shipped {
    fn read() -> Self {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gate/envoy.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        for line in [
            "failure_mode_allow: false",
            "allow_partial_message: false",
            "pack_as_bytes: true",
            "normalize_path: false",
            "merge_slashes: false",
            "headers_with_underscores_action: REJECT_REQUEST",
            "path_with_escaped_slashes_action: REJECT_REQUEST",
        ] {
            assert!(text.contains(line), "{line}");
        }
        let between = |from: &str, to: &str| {
            let rest = text.split_once(from).unwrap().1;
            rest.split_once(to).unwrap().0.to_owned()
        };
        let listed = |text: &str, key: &str| -> Vec<String> {
            let mark = format!("- {key}: ");
            text.lines()
                .filter_map(|line| line.trim().strip_prefix(&mark))
                .map(str::to_owned)
                .collect()
        };
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            line.unwrap().trim().to_owned()
        };
        let allowed = between("              allowed_headers:", "http_service:");
        let added = between("- { key: ", " }");
        let (name, said) = added.split_once(", value: ").unwrap();
        Self {
            upstream: listed(
                &between("allowed_upstream_headers:", "envoy.filters.http.router"),
                "exact",
            ),
            prefixes: listed(&allowed, "prefix"),
            allowed: listed(&allowed, "exact"),
            added: (name.to_owned(), said.to_owned()),
            path_prefix: value("path_prefix:"),
            max: value("max_request_bytes:").parse().unwrap(),
        }
    }
}

/// An Envoy before the house's application.
struct Envoy {
    shipped: Shipped,
    house: House,
    application: SocketAddr,
    /// A mistake of whoever configured it.
    without_bodies: bool,
    /// Another one.
    partial: Option<usize>,
}

fn refusal(status: u16) -> Answer {
    Answer {
        status,
        head: format!("HTTP/1.1 {status} \r\nserver: envoy"),
        body: Vec::new(),
    }
}

impl Envoy {
    async fn start(head: &str) -> Self {
        let upstream = Upstream::default();
        let application = upstream.start().await;
        let plan = Plan {
            head: format!("forward_auth = true\n{head}"),
            upstream: Some(format!("http://{application}")),
            ..Plan::default()
        };
        let mut house = House::plan(plan).await;
        house.upstream = upstream;
        Self {
            shipped: Shipped::read(),
            house,
            application,
            without_bodies: false,
            partial: None,
        }
    }

    /// The client's request as the connection manager hands it to the filters: names in lower case, repeated ones joined by commas (cookies by
    /// semicolons), an absolute target taken apart. `Err`: refused before any filter.
    fn taken(&self, ask: &Ask) -> Result<(String, Vec<(String, String)>), Answer> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &ask.headers {
            let name = name.to_ascii_lowercase();
            if name.contains('_') {
                return Err(refusal(400));
            }
            match headers.iter_mut().find(|(other, _)| *other == name) {
                Some((_, all)) if name == "cookie" => *all = format!("{all}; {value}"),
                Some((_, all)) => *all = format!("{all},{value}"),
                None => headers.push((name, value.clone())),
            }
        }
        let one = |name: &str| headers.iter().find(|(other, _)| other == name);
        let coding = one("transfer-encoding").map(|(_, value)| value.as_str());
        let length = one("content-length").map(|(_, value)| value.as_str());
        let framed = match (coding, length) {
            (Some(coding), None) => coding == "chunked",
            (None, Some(length)) => length.bytes().all(|b| b.is_ascii_digit()),
            (None, None) => true,
            (Some(_), Some(_)) => false,
        };
        let lower = ask.target.to_ascii_lowercase();
        let slashes = lower.contains("%2f") || lower.contains("%5c") || ask.target.contains('#');
        if !framed || slashes || one("upgrade").is_some() {
            return Err(refusal(if one("upgrade").is_some() { 403 } else { 400 }));
        }
        let target = match ask.target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
            None => ask.target.clone(),
        };
        Ok((target, headers))
    }

    /// The question that `ext_authz` puts.
    fn question(&self, ask: &Ask, target: &str, headers: &[(String, String)]) -> Ask {
        let shown = match self.partial {
            _ if self.without_bodies => &[][..],
            Some(most) => &ask.body[..most.min(ask.body.len())],
            None => &ask.body[..],
        };
        let mut question = Ask::new(
            &ask.method,
            &format!("{}{target}", self.shipped.path_prefix),
        );
        for (name, value) in headers {
            let allowed = self.shipped.allowed.contains(name)
                || self
                    .shipped
                    .prefixes
                    .iter()
                    .any(|start| name.starts_with(start.as_str()))
                || ["authorization", "host"].contains(&name.as_str());
            // Never the client's, whatever is allowed.
            if allowed && name != "x-envoy-auth-partial-body" {
                question = question.header(name, value);
            }
        }
        question = question.header("content-length", &shown.len().to_string());
        if !shown.is_empty() {
            let partial = shown.len() < ask.body.len();
            question = question.header("x-envoy-auth-partial-body", &partial.to_string());
        }
        if !self.without_bodies {
            question = question.header(&self.shipped.added.0, &self.shipped.added.1);
        }
        question.body = shown.to_vec();
        question
            .header("x-envoy-internal", "true")
            .header("x-forwarded-for", "127.0.0.1")
            .header("x-envoy-expected-rq-timeout-ms", "120000")
    }

    /// A client's request, until its answer.
    async fn send(&self, ask: &Ask) -> Answer {
        let (target, mut headers) = match self.taken(ask) {
            Ok(taken) => taken,
            Err(refused) => return refused,
        };
        if ask.body.len() > self.shipped.max {
            return refusal(413);
        }
        let question = self.question(ask, &target, &headers);
        let told = raw(self.house.address, &question.bytes(&self.house.host())).await;
        match told.status {
            200 => {}
            500.. => return refusal(503),
            _ => return told,
        }
        for name in &self.shipped.upstream {
            if let Some(value) = told.all(name).first() {
                headers.retain(|(other, _)| other != name);
                headers.push((name.clone(), (*value).to_owned()));
            }
        }
        for names in told.all("x-envoy-auth-headers-to-remove") {
            for name in names.split(',').map(str::trim) {
                headers.retain(|(other, _)| other != name);
            }
        }
        headers.retain(|(name, _)| {
            !["transfer-encoding", "content-length", "host"].contains(&name.as_str())
        });
        let mut sent = Ask::new(&ask.method, &target);
        sent.headers = headers;
        sent.headers
            .push(("content-length".to_owned(), ask.body.len().to_string()));
        sent.body = ask.body.clone();
        raw(self.application, &sent.bytes(&self.house.host())).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_privileged_request_gets_past_envoy() {
    let envoy = Envoy::start("").await;
    let cookie = envoy.house.sign_in(&envoy.house.alice).await;
    let json = |target: &str| Ask::new("POST", target).json(ACCOUNT);
    let mut all = variants();
    let plain = all.len();
    all.extend([
        (
            "the question itself",
            json("/gate/verify/login"),
            Must::Hold("http.request"),
        ),
        (
            "the other form's question",
            json("/gate/verify")
                .header("X-Original-URI", "/login")
                .header("X-Forwarded-Method", "GET"),
            Must::Hold("http.request"),
        ),
        (
            "another path, as Envoy remembers it",
            json("/accounts").header("X-Envoy-Original-Path", "/login"),
            Must::Hold("account.create"),
        ),
        (
            "another path, as others remember it",
            json("/accounts")
                .header("X-Original-URI", "/login")
                .header("X-Forwarded-Uri", "/login"),
            Must::Hold("account.create"),
        ),
        (
            "another method, as others remember it",
            json("/accounts").header("X-Original-Method", "GET"),
            Must::Refuse(400),
        ),
        (
            "a body that is said to be whole",
            json("/accounts").header("X-Envoy-Auth-Partial-Body", "true"),
            Must::Hold("account.create"),
        ),
        (
            "a body that is said to be seen",
            json("/accounts").header("Sceau-Body", "whole"),
            Must::Hold("account.create"),
        ),
        (
            "headers that the gate asks to be removed",
            json("/accounts").header("X-Envoy-Auth-Headers-To-Remove", "sceau-permit"),
            Must::Hold("account.create"),
        ),
        (
            "an empty JSON body",
            Ask::new("POST", "/accounts").header("Content-Type", "application/json"),
            Must::Refuse(403),
        ),
        (
            "an empty form on a path that no route names",
            Ask::new("PATCH", "/users/7/reset").form(""),
            Must::Hold("http.request"),
        ),
        ("out of the prefix", json("/../accounts"), Must::Refuse(400)),
        (
            "out of the prefix, encoded",
            json("/%2e%2e/accounts"),
            Must::Refuse(400),
        ),
        (
            "out of the gate's own pages",
            json("/.sceau/../accounts"),
            Must::Refuse(400),
        ),
        (
            "a path without its slash",
            json("accounts"),
            Must::Refuse(400),
        ),
    ]);
    assert!(plain >= 60, "{plain}");
    let mut wrong = Vec::new();
    for (name, ask, must) in all {
        let ask = ask
            .header("Cookie", &cookie)
            .header("Prefer", "respond-async");
        let answer = envoy.send(&ask).await;
        let id = || {
            answer.json()["action_id"]
                .as_str()
                .unwrap_or_default()
                .parse()
                .ok()
        };
        let verdict = match must {
            // Envoy may be the one who refuses, and takes an absolute target apart.
            Must::Refuse(_) if name.starts_with("absolute form") => {
                (400..500).contains(&answer.status)
            }
            Must::Refuse(_) => {
                (400..500).contains(&answer.status) && answer.header("sceau-action").is_empty()
            }
            Must::Hold(_) if ask.method == "HEAD" => answer.status == 401,
            Must::Hold(kind) => {
                answer.status == 401
                    && match id() {
                        Some(id) => {
                            envoy.house.desk.action(id).await.unwrap().unwrap().kind == kind
                        }
                        None => false,
                    }
            }
        };
        if !verdict || !envoy.house.upstream.seen().is_empty() {
            wrong.push(format!(
                "{name}: {must:?}, but {}: {} {:?}",
                answer.status,
                answer.text(),
                envoy.house.upstream.seen()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_reads_passes_and_nobody_speaks_for_sceau() {
    let envoy = Envoy::start("").await;
    let forged = Ask::new("GET", "/list?page=2")
        .header("Sceau-Person", "root")
        .header("Sceau-Permit", "x.y.z")
        .header("X-Original-URL", "/accounts")
        .header("X-Forwarded-Host", "evil.test");
    assert_eq!(envoy.send(&forged).await.status, 200);
    assert_eq!(
        envoy
            .send(&Ask::new("POST", "/login").form("user=a"))
            .await
            .status,
        200
    );
    let seen = envoy.house.upstream.seen();
    assert_eq!((seen.len(), seen[0].target.as_str()), (2, "/list?page=2"));
    for name in [
        "sceau-person",
        "sceau-permit",
        "x-original-url",
        "x-forwarded-host",
    ] {
        assert!(!seen[0].headers.contains_key(name), "{name}");
    }
    assert_eq!(seen[1].body.as_ref(), b"user=a");
    // Nobody is signed in: nothing else passes.
    for ask in [
        create("app=1"),
        Ask::new("DELETE", "/accounts/7"),
        Ask::new("GET", "/export"),
    ] {
        assert_eq!(envoy.send(&ask).await.status, 401);
    }
    assert_eq!(envoy.house.upstream.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_its_key_and_reaches_the_application_once() {
    let envoy = Envoy::start("").await;
    let house = &envoy.house;
    let cookie = house.sign_in(&house.alice).await;
    let asks = create(&cookie)
        .header("Sceau-Person", "root")
        .header("X-Envoy-Original-Path", "/login");
    let held = envoy.send(&asks);
    let touched = async {
        let record = house.next_action(&house.alice).await;
        house.alice.approve(&house.desk, &record).await;
        record
    };
    let (answer, record) = tokio::join!(held, touched);
    assert_eq!((answer.status, answer.text().as_str()), (201, "created"));
    let seen = house.upstream.seen();
    assert_eq!(
        (seen.len(), seen[0].method.as_str(), seen[0].target.as_str()),
        (1, "POST", "/accounts")
    );
    assert_eq!(seen[0].body.as_ref(), ACCOUNT.as_bytes());
    let said = |name: &str| {
        seen[0]
            .headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(said("sceau-person"), ["alice"]);
    assert_eq!(said("sceau-permit")[0].split('.').count(), 3);
    // The session's token is the gate's.
    assert_eq!(said("cookie"), ["app=1"]);
    assert!(said("x-envoy-original-path").is_empty());
    assert_eq!(house.state(record.id).await, "consumed");
    assert!(
        record.document.contains(r#""name":"Jean Dupont""#),
        "{}",
        record.document
    );

    // The same bytes are another request now, also when they name what was used.
    let again = envoy
        .send(&asks.clone().header("Prefer", "respond-async"))
        .await;
    assert_eq!(again.status, 401);
    assert_ne!(again.json()["action_id"], record.id.to_string());
    let named = envoy
        .send(&asks.header("Sceau-Action", &record.id.to_string()))
        .await;
    problem(&named, 409, "already-used");
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_not_shown_whole_is_not_sealed() {
    let mut envoy = Envoy::start("").await;
    let cookie = envoy.house.sign_in(&envoy.house.alice).await;
    envoy.partial = Some(10);
    let cut = envoy.send(&create(&cookie)).await;
    problem(&cut, 403, "use-the-proxy");
    // The cut of a form may be a whole one with another meaning.
    let form = Ask::new("PATCH", "/accounts/7")
        .header("Cookie", &cookie)
        .form("role=user&role2=admin");
    assert_eq!(envoy.send(&form).await.status, 403);
    let read = Ask::new("GET", "/list")
        .header("Cookie", &cookie)
        .header("Content-Length", "20")
        .body("text/plain", &[b'x'; 20]);
    assert_eq!(envoy.send(&read).await.status, 400);
    // What is free is not judged by its body.
    assert_eq!(
        envoy
            .send(&Ask::new("POST", "/login").form("user=somebody"))
            .await
            .status,
        200
    );

    envoy.partial = None;
    envoy.without_bodies = true;
    for ask in [
        create(&cookie),
        form,
        Ask::new("POST", "/other")
            .header("Cookie", &cookie)
            .form("a=1"),
        Ask::new("GET", "/export").header("Cookie", &cookie),
    ] {
        let answer = envoy.send(&ask).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().unwrap()),
            (403, "use-the-proxy"),
            "{ask:?}"
        );
    }
    // A route that never has a body may be decided all the same.
    let delete = Ask::new("DELETE", "/accounts/7")
        .header("Cookie", &cookie)
        .header("Prefer", "respond-async");
    assert_eq!(envoy.send(&delete).await.status, 401);
    assert_eq!(envoy.house.upstream.executed().len(), 1);
    let large = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .body("application/json", &vec![b' '; envoy.shipped.max + 1]);
    assert_eq!(envoy.send(&large).await.status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_twice_at_once_is_one_touch_and_one_execution() {
    let envoy = Envoy::start("").await;
    let house = &envoy.house;
    let cookie = house.sign_in(&house.alice).await;
    let asks = create(&cookie);
    let touched = async {
        let record = house.next_action(&house.alice).await;
        // Both are there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        house.alice.approve(&house.desk, &record).await;
        assert!(!house.is_asked(&house.alice).await, "asked twice");
    };
    let (one, other, ()) = tokio::join!(envoy.send(&asks), envoy.send(&asks), touched);
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{one:?} {other:?}");
    assert_eq!(house.upstream.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let envoy = Envoy::start("").await;
    let house = &envoy.house;
    let cookie = house.sign_in(&house.alice).await;
    let asks = create(&cookie);
    // Envoy resets its question when its client is gone.
    let gone = tokio::time::timeout(Duration::from_millis(600), envoy.send(&asks));
    let (gone, record) = tokio::join!(gone, house.next_action(&house.alice));
    assert!(gone.is_err());
    house.goes_with_its_client(&record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_led_away_comes_again_with_the_same_bytes() {
    let envoy = Envoy::start("hold = \"1s\"").await;
    let house = &envoy.house;
    let cookie = house.sign_in(&house.alice).await;
    let script = |ask: Ask| {
        let origin = format!("http://{}", house.host());
        ask.header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Site", "same-origin")
            .header("Referer", &format!("{origin}/accounts/new"))
    };
    let late = envoy.send(&script(create(&cookie))).await;
    problem(&late, 409, "approval-needed");
    let id = late.header("sceau-action").to_owned();
    let htmx = envoy
        .send(
            &Ask::new("PATCH", "/accounts/7")
                .header("Cookie", &cookie)
                .header("HX-Request", "true")
                .form("role=a"),
        )
        .await;
    assert_eq!(htmx.status, 401);
    assert!(htmx.header("hx-redirect").starts_with("/.sceau/actions/"));

    let record = house.sealed(&id).await;
    let page = Ask::new("GET", &format!("/.sceau/actions/{id}"))
        .header("Cookie", &cookie)
        .header("Accept", "application/json");
    let state = house.send(&page).await.json();
    assert_eq!(
        (
            state["state"].as_str(),
            state["again"].as_bool(),
            state["next"].as_str()
        ),
        (Some("approved"), Some(true), Some("/accounts/new"))
    );
    // Other bytes are another request.
    let other = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .json(r#"{"email":"b@ml.example","name":"A"}"#);
    assert_eq!(envoy.send(&script(other)).await.status, 409);
    assert!(house.upstream.executed().is_empty());
    assert_eq!(envoy.send(&script(create(&cookie))).await.status, 201);
    assert_eq!(house.state(record.id).await, "consumed");
    let state = house.send(&page).await.json();
    assert_eq!(state["again"], false);
    assert_eq!(house.upstream.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_in_the_body_is_the_one_that_is_asked_for() {
    let envoy = Envoy::start("method_override = [\"body\"]").await;
    let cookie = envoy.house.sign_in(&envoy.house.alice).await;
    let ask = |target: &str, body: &str| {
        Ask::new("POST", target)
            .header("Cookie", &cookie)
            .header("Prefer", "respond-async")
            .form(body)
    };
    let hidden = envoy.send(&ask("/login", "user=a&_method=DELETE")).await;
    assert_eq!(hidden.status, 401);
    let delete = envoy.send(&ask("/accounts/7", "_method=DELETE")).await;
    let id = delete.header("sceau-action").parse().unwrap();
    assert_eq!(
        envoy.house.desk.action(id).await.unwrap().unwrap().kind,
        "account.delete"
    );
    assert!(envoy.house.upstream.seen().is_empty());
    assert_eq!(envoy.send(&ask("/login", "user=a")).await.status, 200);
}
