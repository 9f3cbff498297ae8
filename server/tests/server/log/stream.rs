//! Streams: entries and alerts to webhooks, syslog and journald.

use std::sync::Arc;

use http::StatusCode;

use crate::fixture::Place;

/// A receiver of webhooks that answers as it is told, and keeps what it took: every body with its headers, in order.
async fn receiver(
    answers: fn(usize) -> u16,
) -> (
    String,
    Arc<std::sync::Mutex<Vec<(http::HeaderMap, Vec<u8>, u16)>>>,
) {
    let got = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let router = axum::Router::new().route(
        "/hook",
        axum::routing::post(move |headers: http::HeaderMap, body: axum::body::Bytes| {
            let kept = Arc::clone(&kept);
            let mut kept = kept.lock().unwrap();
            let status = answers(kept.len());
            kept.push((headers, body.to_vec(), status));
            std::future::ready(StatusCode::from_u16(status).unwrap())
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(sceau_server::listen::serve(
        listener,
        None,
        router,
        16,
        std::future::pending(),
    ));
    (url, got)
}

fn stream(text: &str) -> sceau_server::config::Stream {
    toml::from_str(text).unwrap()
}

fn indices(bodies: &[(http::HeaderMap, Vec<u8>, u16)], taken: bool) -> Vec<u64> {
    bodies
        .iter()
        .filter(|(_, _, status)| !taken || *status < 300)
        .flat_map(|(_, body, _)| {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            let entries = body["entries"].as_array().unwrap().clone();
            entries
                .into_iter()
                .map(|entry| entry["index"].as_u64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_every_entry_in_order_signed_and_misses_none() {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let secret = folder.path().join("secret");
    sceau_server::keyfile::write_secret(&secret, &[b'k'; 40]).unwrap();
    // The first two deliveries fail after they arrived: whether they were taken is not known, so they come again.
    let (url, got) = receiver(|count| if count < 2 { 500 } else { 204 }).await;
    let config = format!(
        "name = \"siem\"\nto = \"webhook\"\nurl = \"{url}\"\nsecret = \"{}\"\n",
        secret.display()
    );
    let running = tokio::spawn(
        sceau_server::stream::Feed::new(&stream(&config))
            .unwrap()
            .run(desk.clone()),
    );
    let caught_up = async |upto: u64| {
        for _ in 0..200 {
            if indices(&got.lock().unwrap(), true)
                .last()
                .is_some_and(|last| last + 1 >= upto)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("not delivered: {:?}", indices(&got.lock().unwrap(), true));
    };
    let size = || async {
        let checkpoint = desk.checkpoint().await.unwrap();
        checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    caught_up(size().await).await;
    let record = alice.ask(&desk, "account.create").await.unwrap();
    alice.approve(&desk, &record).await.unwrap();
    caught_up(size().await).await;
    // The deliverer dies and another takes over from the durable place.
    running.abort();
    for _ in 0..70 {
        alice.ask(&desk, "account.create").await.unwrap();
    }
    let again = tokio::spawn(
        sceau_server::stream::Feed::new(&stream(&config))
            .unwrap()
            .run(desk.clone()),
    );
    caught_up(size().await).await;
    again.abort();
    let taken = indices(&got.lock().unwrap(), true);
    let wanted: Vec<u64> = (0..size().await).collect();
    // Whoever takes over may send again what the last one had no time to write down; what is new comes in order.
    let mut known = std::collections::BTreeSet::new();
    let once: Vec<u64> = taken.into_iter().filter(|it| known.insert(*it)).collect();
    assert_eq!(once, wanted, "every one");

    // The signature, as RFC 9421 §2.5 has the receiver make its base.
    let (headers, body, _) = got.lock().unwrap().last().unwrap().clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    assert_eq!(
        header("content-digest"),
        format!("sha-256=:{}:", STANDARD.encode(digest))
    );
    let parameters = header("signature-input")
        .strip_prefix("sceau=")
        .unwrap()
        .to_owned();
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {url}\n\"content-type\": application/json\n\"content-digest\": {}\n\"@signature-params\": {parameters}",
        header("content-digest")
    );
    let signature = header("signature");
    let tag = STANDARD
        .decode(
            signature
                .strip_prefix("sceau=:")
                .unwrap()
                .strip_suffix(':')
                .unwrap(),
        )
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[b'k'; 40]);
    hmac::verify(&key, base.as_bytes(), &tag).unwrap();
    assert!(hmac::verify(&key, base.replace("POST", "GET").as_bytes(), &tag).is_err());

    // Nothing readable about persons leaves, unless it is asked for.
    assert!(!String::from_utf8(body).unwrap().contains("alice"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_and_journald_get_alerts_on_their_sockets() {
    use tokio::io::AsyncReadExt as _;

    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let journal = tokio::net::UnixDatagram::bind(folder.path().join("journal")).unwrap();
    let device = tokio::net::UnixDatagram::bind(folder.path().join("log")).unwrap();
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = folder.path().display();
    let feeds = [
        format!(
            "name = \"j\"\nto = \"journald\"\naddress = \"unix:{at}/journal\"\nonly = \"alerts\"\nreveal = true\n"
        ),
        format!("name = \"u\"\nto = \"syslog\"\naddress = \"unix:{at}/log\"\nonly = \"alerts\"\n"),
        format!(
            "name = \"d\"\nto = \"syslog\"\naddress = \"udp:{}\"\nonly = \"alerts\"\n",
            udp.local_addr().unwrap()
        ),
        format!(
            "name = \"t\"\nto = \"syslog\"\naddress = \"tcp:{}\"\nonly = \"alerts\"\n",
            tcp.local_addr().unwrap()
        ),
    ];
    let running: Vec<_> = feeds
        .iter()
        .map(|text| {
            tokio::spawn(
                sceau_server::stream::Feed::new(&stream(text))
                    .unwrap()
                    .run(desk.clone()),
            )
        })
        .collect();
    desk.report_blocked(alice.id.clone(), alice.key)
        .await
        .unwrap();
    let mut buffer = vec![0; 65536];
    let patience = std::time::Duration::from_secs(20);
    let read = tokio::time::timeout(patience, journal.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let field = |name: &str| {
        let start = format!("{name}=");
        text.lines()
            .find_map(|line| line.strip_prefix(start.as_str()).map(str::to_owned))
            .unwrap()
    };
    assert_eq!(
        (field("SCEAU_TYPE").as_str(), field("PRIORITY").as_str()),
        ("alert.pin-blocked", "1")
    );
    let entry: serde_json::Value = serde_json::from_str(&field("SCEAU_ENTRY")).unwrap();
    assert_eq!(entry["revealed"]["person"], "alice");
    let is_line = |line: &str| {
        assert!(line.starts_with("<81>1 "), "{line}");
        assert!(
            line.contains(" sceau-server ") && line.contains(" alert.pin-blocked [sceau@32473 "),
            "{line}"
        );
        assert!(!line.contains("alice"), "{line}");
    };
    let read = tokio::time::timeout(patience, device.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    is_line(std::str::from_utf8(&buffer[..read]).unwrap());
    let read = tokio::time::timeout(patience, udp.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    is_line(std::str::from_utf8(&buffer[..read]).unwrap());
    let (mut stream, _) = tokio::time::timeout(patience, tcp.accept())
        .await
        .unwrap()
        .unwrap();
    let read = tokio::time::timeout(patience, stream.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let framed = std::str::from_utf8(&buffer[..read]).unwrap();
    let (length, line) = framed.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), line.len());
    is_line(line);
    for running in running {
        running.abort();
    }
}

/// Whoever is woken by an alert finds in docs/alerts.md what it means.
#[test]
fn every_alert_of_the_source_is_in_the_document() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/alerts.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut found = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("\"alert.").skip(1) {
                let name = rest.split(|it: char| !it.is_ascii_lowercase() && it != '-');
                let name = name.take(1).collect::<String>();
                if !name.is_empty() {
                    found.insert(name);
                }
            }
        }
    }
    assert!(found.len() >= 12, "{found:?}");
    for name in found {
        assert!(page.contains(&format!("`{name}`")), "alert.{name}");
    }
}
