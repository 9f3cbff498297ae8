use std::sync::atomic::Ordering;

use crate::house::{House, Plan};
use crate::wire::{Ask, raw};

/// What must become of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Must {
    /// Answered by the gate with this status; nobody is asked.
    Refuse(u16),
    /// Held, as this action type.
    Hold(&'static str),
}
use Must::{Hold, Refuse};

const JSON: &str = r#"{"email":"a@ml.example","name":"A"}"#;

fn post(target: &str) -> Ask {
    Ask::new("POST", target).json(JSON)
}

/// Variants of one privileged request, each with what must become of it.
pub(crate) fn variants() -> Vec<(&'static str, Ask, Must)> {
    let delete = |target: &str| Ask::new("DELETE", target);
    let multipart = |body: &str| {
        Ask::new("POST", "/accounts").body(
            "multipart/form-data; boundary=B",
            body.replace('\n', "\r\n").as_bytes(),
        )
    };
    vec![
        ("the request itself", post("/accounts"), Hold("account.create")),
        ("trailing slash", post("/accounts/"), Hold("account.create")),
        ("query", post("/accounts?x=1"), Hold("account.create")),
        ("upper case", post("/ACCOUNTS"), Refuse(400)),
        ("mixed case", post("/Accounts"), Refuse(400)),
        ("dot segment", post("/./accounts"), Refuse(400)),
        ("dot-dot segment", post("/login/../accounts"), Refuse(400)),
        ("dot-dot after a free path", post("/login/.."), Refuse(400)),
        ("encoded dots", post("/login/%2e%2e/accounts"), Refuse(400)),
        ("half-encoded dots", post("/login/.%2e/accounts"), Refuse(400)),
        ("double slash", post("//accounts"), Refuse(400)),
        ("triple slash", post("///accounts"), Refuse(400)),
        ("double slash at the end", post("/accounts//"), Refuse(400)),
        ("backslash", post("/login\\..\\accounts"), Refuse(400)),
        ("encoded backslash", post("/login%5c..%5caccounts"), Refuse(400)),
        ("encoded slash", post("/login%2f..%2faccounts"), Refuse(400)),
        ("encoded letter", post("/%61ccounts"), Refuse(400)),
        ("double encoding", post("/%2561ccounts"), Refuse(400)),
        ("doubly encoded slash", post("/login%252f..%252faccounts"), Refuse(400)),
        ("overlong slash", post("/login%c0%af..%c0%afaccounts"), Refuse(400)),
        ("unicode escape", post("/%u0061ccounts"), Refuse(400)),
        ("null byte", post("/login%00/accounts"), Refuse(400)),
        ("line break", post("/login%0d%0aaccounts"), Refuse(400)),
        ("tab", post("/accounts%09"), Refuse(400)),
        ("trailing dot", post("/accounts."), Refuse(400)),
        ("trailing space", post("/accounts%20"), Refuse(400)),
        ("path parameter", post("/accounts;x=1"), Refuse(400)),
        ("path parameter on the way", post("/login;/../accounts"), Refuse(400)),
        ("encoded semicolon", post("/accounts%3bx"), Refuse(400)),
        ("long s for s", post("/account%C5%BF"), Refuse(400)),
        ("absolute form, own host", post("http://portal.test/accounts"), Refuse(400)),
        ("absolute form, other host", post("http://evil.test/accounts"), Refuse(400)),
        ("asterisk", Ask::new("OPTIONS", "*"), Refuse(400)),
        ("leading zero", delete("/accounts/007"), Refuse(400)),
        ("sign", delete("/accounts/+7"), Refuse(400)),
        ("full-width digit", delete("/accounts/%EF%BC%97"), Refuse(400)),
        ("hexadecimal", delete("/accounts/0x7"), Refuse(400)),
        ("method override header", post("/accounts/7").header("X-HTTP-Method-Override", "DELETE"), Refuse(400)),
        ("other override header", post("/accounts/7").header("X-HTTP-Method", "DELETE"), Refuse(400)),
        ("third override header", post("/accounts/7").header("X-Method-Override", "PATCH"), Refuse(400)),
        ("override header with underscores", post("/accounts/7").header("X_HTTP_METHOD_OVERRIDE", "DELETE"), Refuse(400)),
        ("GET with an override header", Ask::new("GET", "/accounts/7").header("X-HTTP-Method-Override", "DELETE"), Refuse(400)),
        ("_method in the query of a GET", Ask::new("GET", "/accounts/7?_method=DELETE"), Refuse(400)),
        ("_method in the query", post("/login?_method=DELETE"), Refuse(400)),
        ("_method, encoded name", post("/login?%5fmethod=DELETE"), Refuse(400)),
        ("_method after a semicolon", post("/login?a=1;_method=DELETE"), Refuse(400)),
        ("_method in a form", Ask::new("POST", "/accounts/7").form("_method=DELETE"), Refuse(400)),
        ("_METHOD in JSON", Ask::new("POST", "/accounts/7").json(r#"{"_METHOD":"DELETE"}"#), Refuse(400)),
        ("_method in multipart", multipart("--B\nContent-Disposition: form-data; name=\"_method\"\n\nDELETE\n--B--\n"), Refuse(400)),
        ("lower-case method", Ask::new("delete", "/accounts/7"), Refuse(400)),
        ("invented method", Ask::new("PURGE", "/accounts/7"), Refuse(400)),
        ("TRACE", Ask::new("TRACE", "/accounts/7"), Refuse(400)),
        ("WebDAV", Ask::new("MOVE", "/accounts/7"), Refuse(400)),
        ("GET with a body", Ask::new("GET", "/accounts").header("Content-Length", "2").body("application/json", b"{}"), Refuse(400)),
        ("duplicate JSON members", Ask::new("POST", "/accounts").json(r#"{"email":"a@x","name":"A","email":"evil@x"}"#), Refuse(400)),
        ("members that differ by case", Ask::new("POST", "/accounts").json(r#"{"email":"a@x","name":"A","EMAIL":"evil@x"}"#), Refuse(400)),
        ("escaped duplicate member", Ask::new("POST", "/accounts").json(r#"{"email":"a@x","name":"A","\u0065mail":"evil@x"}"#), Refuse(400)),
        ("duplicate form field", Ask::new("PATCH", "/accounts/7").form("role=reader&role=admin"), Refuse(400)),
        ("duplicate query field", post("/accounts?tenant=1&tenant=2"), Refuse(400)),
        ("duplicate multipart field", Ask::new("PATCH", "/accounts/7").body("multipart/form-data; boundary=B",
            b"--B\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\na\r\n--B\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nb\r\n--B--"), Refuse(400)),
        ("form for a JSON route", Ask::new("POST", "/accounts").form("email=a@x&name=A"), Refuse(400)),
        ("other charset", Ask::new("POST", "/accounts").body("application/json; charset=utf-7", JSON.as_bytes()), Refuse(400)),
        ("compressed body", Ask::new("POST", "/accounts").header("Content-Encoding", "gzip").json(JSON), Refuse(400)),
        ("two content types", post("/accounts").header("Content-Type", "text/plain"), Refuse(400)),
        ("two hosts", post("/accounts").header("Host", "other.test"), Refuse(400)),
        ("two lengths", Ask::new("POST", "/accounts").header("Content-Length", "2").header("Content-Length", "3").json(JSON), Refuse(400)),
        ("length and chunks", Ask::new("POST", "/accounts").header("Content-Length", "5").header("Transfer-Encoding", "chunked")
            .body("application/json", b"0\r\n\r\nPOST /accounts HTTP/1.1\r\nHost: portal.test\r\n\r\n"), Refuse(400)),
        ("odd transfer encoding", Ask::new("POST", "/accounts").header("Transfer-Encoding", "xchunked").body("application/json", b"0\r\n\r\n"), Refuse(400)),
        ("rewritten target", Ask::new("POST", "/anything").header("X-Original-URL", "/accounts").json(JSON), Hold("http.request")),
        ("foreign origin", post("/accounts").header("Origin", "https://evil.test"), Refuse(403)),
        ("null origin", post("/accounts").header("Origin", "null"), Refuse(403)),
        ("cross-site fetch", post("/accounts").header("Sec-Fetch-Site", "cross-site"), Refuse(403)),
        ("same-site fetch", post("/accounts").header("Sec-Fetch-Site", "same-site"), Refuse(403)),
        ("forged person", post("/accounts").header("Sceau-Person", "root").header("Sceau-Permit", "x.y.z"), Hold("account.create")),
        ("forged action", post("/accounts").header("Sceau-Action", "0193500a-7d00-7000-8000-00000000000a"), Refuse(404)),
        ("undescribed path", post("/accounts/new"), Hold("http.request")),
        ("undescribed method", Ask::new("PUT", "/accounts").json(JSON), Hold("http.request")),
        ("WebSocket elsewhere", Ask::new("GET", "/accounts").header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13"), Refuse(403)),
        ("held GET", Ask::new("GET", "/export"), Hold("account.export")),
        ("held GET as HEAD", Ask::new("HEAD", "/export"), Hold("account.export")),
        ("held GET, other case", Ask::new("GET", "/Export"), Refuse(400)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_privileged_request_gets_past() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut wrong = Vec::new();
    let all = variants();
    assert!(all.len() >= 60, "{}", all.len());
    for (name, ask, must) in all {
        let before = house.upstream.seen().len();
        let ask = ask
            .header("Cookie", &cookie)
            .header("Prefer", "respond-async");
        let answer = house.send(&ask).await;
        let arrived = house.upstream.seen().len() - before;
        let verdict = match must {
            Refuse(status) => answer.status == status && arrived == 0,
            Hold(kind) if ask.method == "HEAD" => {
                answer.status == 401 && arrived == 0 && !kind.is_empty()
            }
            Hold(kind) => {
                answer.status == 401 && arrived == 0 && {
                    let id = answer.json()["action_id"]
                        .as_str()
                        .unwrap_or_default()
                        .parse();
                    match id {
                        Ok(id) => house.desk.action(id).await.unwrap().unwrap().kind == kind,
                        Err(_) => false,
                    }
                }
            }
        };
        if !verdict {
            wrong.push(format!(
                "{name}: {must:?}, but {} with {arrived} upstream: {}",
                answer.status,
                answer.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(house.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_the_application_replaces_is_the_one_that_is_asked_for() {
    let house = House::plan(Plan {
        head: "method_override = [\"query\", \"body\", \"header\"]".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let delete = [
        Ask::new("POST", "/accounts/7?_method=DELETE"),
        Ask::new("POST", "/accounts/7").header("X-HTTP-Method-Override", "delete"),
        Ask::new("POST", "/accounts/7").form("_method=DELETE"),
    ];
    for ask in delete {
        let answer = house
            .send(
                &ask.header("Cookie", &cookie)
                    .header("Prefer", "respond-async"),
            )
            .await;
        let id = answer.json()["action_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let record = house.desk.action(id).await.unwrap().unwrap();
        assert_eq!(record.kind, "account.delete");
        assert!(record.document.contains(r#""method":"DELETE""#));
    }
    // A freed path is free for its own method only.
    let login = Ask::new("POST", "/login")
        .header("Cookie", &cookie)
        .header("Prefer", "respond-async");
    let hidden = house
        .send(&login.clone().form("user=a&_method=DELETE"))
        .await;
    assert_eq!(hidden.status, 401, "{hidden:?}");
    assert!(house.upstream.seen().is_empty());
    assert_eq!(house.send(&login.form("user=a")).await.status, 200);
    for safe in ["GET", "HEAD", "OPTIONS", "PURGE", ""] {
        let ask = Ask::new("POST", "/accounts/7")
            .header("Cookie", &cookie)
            .form(&format!("_method={safe}"));
        assert_eq!(house.send(&ask).await.status, 400, "{safe}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_nothing_unsafe_passes_and_nobody_is_asked() {
    let house = House::start().await;
    let (touching, touched) = house.touch_everything(&house.alice);
    for ask in [
        post("/accounts"),
        post("/anything"),
        Ask::new("DELETE", "/accounts/7"),
        Ask::new("GET", "/export"),
    ] {
        for cookie in [
            "",
            "app=1",
            "sceau=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sceau=a; sceau=b",
        ] {
            let answer = house.send(&ask.clone().header("Cookie", cookie)).await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str().unwrap()),
                (401, "sign-in-needed")
            );
            assert!(
                answer
                    .header("www-authenticate")
                    .contains("insufficient_user_authentication")
            );
        }
    }
    assert_eq!(
        (house.upstream.seen().len(), touched.load(Ordering::SeqCst)),
        (0, 0)
    );
    touching.abort();
}

/// HTTP/2 to the gate, HTTP/1.1 behind it: what HTTP/2 can carry and HTTP/1.1 cannot must not cross.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_cannot_smuggle_through_the_downgrade() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let base = format!("http://{}", house.host());
    let mut send = |request: http::request::Builder, body: &'static [u8]| {
        sender.send_request(
            request
                .body(Full::new(bytes::Bytes::from_static(body)))
                .unwrap(),
        )
    };
    let answer = send(http::Request::get(format!("{base}/list")), b"")
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    let held = http::Request::post(format!("{base}/accounts"))
        .header("cookie", &cookie)
        .header("prefer", "respond-async");
    let answer = send(
        held.header("content-type", "application/json"),
        JSON.as_bytes(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status(), 401);
    let host = http::Request::post(format!("{base}/accounts")).header("host", "other.test");
    assert_eq!(send(host, b"").await.unwrap().status(), 400);
    assert_eq!(
        send(
            http::Request::post(format!("{base}/login/%2e%2e/accounts")),
            b""
        )
        .await
        .unwrap()
        .status(),
        400
    );
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_request_on_the_connection_is_judged_too() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let host = house.host();
    let first = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let second = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .header("Prefer", "respond-async")
        .json(JSON)
        .bytes(&host);
    let answer = raw(house.address, &[first.into_bytes(), second].concat()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("HTTP/1.1 401"), "{answer:?}");
    assert_eq!(house.upstream.seen().len(), 1);
    let other = Ask::new("GET", "/").bytes("unknown.test");
    assert_eq!(raw(house.address, &other).await.status, 421);
}

/// How many entries the log has.
async fn entries(house: &House) -> u64 {
    let note = house.desk.checkpoint().await.unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_leaves_an_entry_and_a_flood_only_a_few() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut before = entries(&house).await;
    for ask in [
        post("/Accounts").header("Cookie", &cookie),
        post("/accounts")
            .header("Cookie", &cookie)
            .header("Origin", "https://evil.test"),
        Ask::new("GET", "/a/../b").header("Cookie", &cookie),
        post("/accounts"),
    ] {
        house.send(&ask).await;
        let after = entries(&house).await;
        assert_eq!(after, before + 1, "{ask:?}");
        before = after;
    }
    // Neither reading, nor a scanner without a session.
    house
        .send(&Ask::new("GET", "/list").header("Cookie", &cookie))
        .await;
    house.send(&Ask::new("GET", "/a/../b")).await;
    assert_eq!(entries(&house).await, before);
    for _ in 0..150 {
        house.send(&post("/accounts")).await;
    }
    let more = entries(&house).await - before;
    assert!((20..50).contains(&more), "{more}");
}
