//! A session that needs its key, at the gate: what is open ends with the key's presence, not at the next request.

use std::time::{Duration, Instant};

use sceau_server::desk::DeskError;
use sceau_server::presence::Presence;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, Plan};
use crate::wire::Ask;

const INTERVAL: Duration = Duration::from_millis(1_500);

async fn house() -> House {
    let presence: Presence = toml::from_str("interval = \"1500ms\"").unwrap();
    House::plan(Plan {
        presence: Some(presence),
        ..Plan::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_proofs_nothing_passes_and_what_is_open_breaks_off() {
    let house = house().await;
    let begun = Instant::now();
    let cookie = house.sign_in(&house.alice).await;
    let list = Ask::new("GET", "/list").header("Cookie", &cookie);
    assert_eq!(house.send(&list).await.status, 200);

    let endless = Ask::new("GET", "/drip").header("Cookie", &cookie);
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream
        .write_all(&endless.bytes(&house.host()))
        .await
        .unwrap();
    let held = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .header("X-Requested-With", "fetch")
        .json(r#"{"email":"a@ml.example","name":"A"}"#);
    let reading = async {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        (String::from_utf8_lossy(&all).into_owned(), begun.elapsed())
    };
    let both = async { tokio::join!(reading, house.send(&held)) };
    let ((streamed, took), held) = tokio::time::timeout(INTERVAL * 3, both)
        .await
        .expect("both end by themselves");
    assert!(streamed.contains("word"), "{streamed}");
    assert!(
        !streamed.ends_with("0\r\n\r\n"),
        "it is not taken for the whole"
    );
    assert!(took < INTERVAL * 2, "{took:?}");
    assert_eq!(
        (held.status, &held.json()["code"]),
        (403, &"key-absent".into())
    );
    assert_eq!(house.upstream.executed().len(), 0, "nothing was executed");

    let refused = house.send(&list).await;
    assert_eq!(refused.json()["code"], "key-absent");
    let state = Ask::new("GET", "/.sceau/session").header("Cookie", &cookie);
    assert_eq!(house.send(&state).await.json()["state"], "absent");
    // What was held is cancelled, not left for somebody to approve.
    let mut inbox = house.desk.subscribe(house.alice.id.clone()).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), inbox.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    let unknown: Result<_, DeskError> = house.desk.presence_counts().await;
    assert_eq!(unknown, Ok((0, 1)));
}
