use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, Plan};
use crate::wire::{Ask, parse};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ungated_bodies_stream_both_ways_in_bounded_memory() {
    const SIZE: usize = 256 << 20;
    let house = House::start().await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /stream?bytes={SIZE} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n",
        house.host()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let before = resident();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        let chunk = vec![b'y'; 256 * 1024];
        for _ in 0..SIZE / chunk.len() {
            writer.write_all(&chunk).await.unwrap();
        }
        writer
    });
    let (mut received, mut most) = (Vec::new(), 0);
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let n = reader.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        if received.len() < 4096 {
            received.extend_from_slice(&buffer[..n.min(4096)]);
        }
        total += n;
        most = most.max(resident());
    }
    drop(writing.await.unwrap());
    assert!(total >= SIZE, "{total}");
    let end = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    assert_eq!(parse(&received[..end]).header("arrived"), SIZE.to_string());
    let grown = most.saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_is_as_without_the_gate_but_for_headers_that_are_ours_to_say() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let ask = Ask::new("GET", "/list?a=1&a=2&b=%41")
        .header("Cookie", &cookie)
        .header("X-Forwarded-For", "203.0.113.9")
        .header("Forwarded", "for=203.0.113.9")
        .header("Sceau-Person", "root")
        .header("Sceau_Permit", "x")
        .header("Connection", "X-Drop")
        .header("X-Drop", "1")
        .header("X-Kept", "1");
    let answer = house.send(&ask).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "GET /list"));
    assert_eq!(answer.all("set-cookie"), ["app=renewed; Path=/"]);
    assert!(answer.header("content-security-policy").is_empty());
    let seen = house.upstream.seen().pop().unwrap();
    assert_eq!(seen.target, "/list?a=1&a=2&b=%41");
    for (name, value) in [
        ("cookie", "app=1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("sceau-person", "alice"),
        ("x-kept", "1"),
        ("host", house.host().as_str()),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
    assert!(
        seen.headers["forwarded"]
            .to_str()
            .unwrap()
            .starts_with("for=127.0.0.1;")
    );
    for gone in ["sceau_permit", "x-drop", "sceau-permit"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    let anonymous = house.send(&Ask::new("GET", "/list")).await;
    assert_eq!(anonymous.status, 200);
    assert!(
        !house
            .upstream
            .seen()
            .pop()
            .unwrap()
            .headers
            .contains_key("sceau-person")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freed_routes_pass_without_a_session() {
    let house = House::start().await;
    let login = Ask::new("POST", "/login")
        .header("Origin", "https://idp.example")
        .form("user=a&password=b&user=c");
    assert_eq!(house.send(&login).await.status, 200);
    let seen = house.upstream.executed().pop().unwrap();
    assert_eq!(&seen.body[..], b"user=a&password=b&user=c");
    assert!(!seen.headers.contains_key("sceau-permit"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_can_be_asked_of_readers_too() {
    let house = House::plan(Plan {
        head: "session = \"always\"".to_owned(),
        ..Plan::default()
    })
    .await;
    let page = Ask::new("GET", "/list?page=2").header("Sec-Fetch-Mode", "navigate");
    let answer = house.send(&page).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/.sceau/sign-in?next=/list%3Fpage%3D2")
    );
    assert_eq!(
        house
            .send(&Ask::new("POST", "/login").form("a=b"))
            .await
            .status,
        200
    );
    let cookie = house.sign_in(&house.alice).await;
    assert_eq!(
        house.send(&page.header("Cookie", &cookie)).await.status,
        200
    );
}

/// An upstream that switches protocols and echoes, at the wire.
async fn echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let n = stream.read(&mut head).await.unwrap();
                let text = String::from_utf8_lossy(&head[..n]).to_ascii_lowercase();
                assert!(
                    text.contains("upgrade: websocket") && text.contains("sec-websocket-key: abc"),
                    "{text}"
                );
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: xyz\r\n\r\n").await.unwrap();
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..n]).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freed_websocket_passes() {
    let address = echo().await;
    let house = House::plan(Plan {
        upstream: Some(format!("http://{address}")),
        ..Plan::default()
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let ask = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\r\n",
        house.host()
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).await.unwrap();
    let head = String::from_utf8_lossy(&buffer[..n]).into_owned();
    assert!(
        head.starts_with("HTTP/1.1 101")
            && head
                .to_ascii_lowercase()
                .contains("sec-websocket-accept: xyz"),
        "{head}"
    );
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        let n = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&buffer[..n], word.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let router = axum::Router::new().fallback(|| async { "by socket" });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let house = House::plan(Plan {
        upstream: Some(format!("unix:{}", path.display())),
        ..Plan::default()
    })
    .await;
    assert_eq!(house.send(&Ask::new("GET", "/x")).await.text(), "by socket");
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    assert_eq!(
        house
            .send(&Ask::new("DELETE", "/accounts/7").header("Cookie", &cookie))
            .await
            .text(),
        "by socket"
    );
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_streamed_as_they_come() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\none..\n\r\n";
        stream.write_all(start.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
    let house = House::plan(Plan {
        upstream: Some(format!("http://{address}")),
        ..Plan::default()
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    stream
        .write_all(&Ask::new("GET", "/events").bytes(&house.host()))
        .await
        .unwrap();
    let mut got = String::new();
    let mut buffer = [0; 1024];
    while !got.contains("one..") {
        let n = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(n, 0, "{got}");
        got.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

/// An application that closes each connection when its second request has come, as one does whose patience has just ended; and what it was sent.
async fn impatient() -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                for is_first in [true, false] {
                    let mut head = vec![0; 4096];
                    let n = stream.read(&mut head).await.unwrap();
                    let text = String::from_utf8_lossy(&head[..n]).into_owned();
                    let Some((line, _)) = text.split_once(" HTTP/1.1") else {
                        return;
                    };
                    seen.lock().unwrap().push(line.to_owned());
                    if is_first {
                        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    (address, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_application_closes_is_no_fault_of_who_reads() {
    let (address, sent) = impatient().await;
    let house = House::plan(Plan {
        upstream: Some(format!("http://{address}")),
        ..Plan::default()
    })
    .await;
    let ask = async |method: &str, path: &str| house.send(&Ask::new(method, path)).await.status;
    assert_eq!(ask("GET", "/x/1").await, 200);
    // The pooled connection dies under it: read again, on another one.
    assert_eq!(ask("GET", "/x/2").await, 200);
    assert_eq!(
        std::mem::take(&mut *sent.lock().unwrap()),
        ["GET /x/1", "GET /x/2", "GET /x/2"]
    );
    // What may change something is never sent twice.
    assert_eq!(ask("GET", "/x/3").await, 200);
    sent.lock().unwrap().clear();
    assert_eq!(ask("POST", "/stream").await, 502);
    assert_eq!(*sent.lock().unwrap(), ["POST /stream"]);
}
