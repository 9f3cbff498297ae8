use std::sync::atomic::Ordering;

use sceau_server::desk::RefusalReason;
use serde_json::json;

use crate::house::{House, Plan};
use crate::wire::{Answer, Ask};

const ROUTES: &str = r#"budget = { records = 50, window = "10m", roles = { admin = 100 } }
[[route]]
method = "GET"
path = "/files"
meter = [
  { length = "/files", distinct = "/id", record = "file" },
  { css = "tr[data-file]", distinct = "data-file" },
]
[[route]]
method = "GET"
path = "/files/{id:int}"
meter = { cost = 1, id = "{id}", record = "file" }
[[route]]
method = "GET"
path = "/total"
meter = { json = "/n" }
"#;

async fn house() -> House {
    House::plan(Plan {
        head: ROUTES.to_owned(),
        ..Plan::default()
    })
    .await
}

/// A program's request: told at once when a touch is needed.
fn read(cookie: &str, target: &str) -> Ask {
    Ask::new("GET", target)
        .header("Cookie", cookie)
        .header("Accept", "application/json")
        .header("Prefer", "respond-async")
}

async fn files(house: &House, cookie: &str, from: u64, count: u64) -> Answer {
    house
        .send(&read(cookie, &format!("/files?from={from}&count={count}")))
        .await
}

fn spent(answer: &Answer) -> (u16, String, u64) {
    let body = answer.json();
    assert_eq!(body["code"], "budget-spent", "{answer:?}");
    (
        answer.status,
        body["budget"].as_str().unwrap().to_owned(),
        body["read"].as_u64().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_so_many_records_the_next_read_wants_a_touch() {
    let house = house().await;
    assert_eq!(
        files(&house, "", 0, 1).await.json()["code"],
        "sign-in-needed"
    );
    let cookie = house.sign_in(&house.alice).await;
    for from in [0, 20, 40] {
        let count = if from == 40 { 10 } else { 20 };
        assert_eq!(files(&house, &cookie, from, count).await.status, 200);
    }
    // A page that polls shows what it has shown, and costs nothing.
    for _ in 0..3 {
        assert_eq!(files(&house, &cookie, 0, 50).await.status, 200);
    }
    let html = read(&cookie, "/files?from=0&count=50").header("Accept", "text/html");
    assert_eq!(
        house.send(&html).await.status,
        200,
        "the same records in a page"
    );
    let one = house.send(&read(&cookie, "/files/7")).await;
    assert_eq!(one.status, 200, "and one of them alone");
    // One record more is one too many, and not a byte of it is shown.
    let refused = files(&house, &cookie, 50, 1).await;
    assert_eq!(spent(&refused), (401, "records".to_owned(), 50));
    assert!(
        refused
            .header("www-authenticate")
            .contains("insufficient_user_authentication")
    );
    assert!(!refused.text().contains("file 50"));
    let record = house.next_action(&house.alice).await;
    assert_eq!(record.kind, "records.read");
    let document: serde_json::Value = serde_json::from_str(&record.document).unwrap();
    assert_eq!(
        document["params"],
        json!({"records": 50, "minutes": 10, "read": 50})
    );
    house.alice.approve(&house.desk, &record).await;
    for _ in 0..50 {
        if house.state(record.id).await == "executed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(files(&house, &cookie, 50, 50).await.status, 200);
    assert_eq!(
        files(&house, &cookie, 0, 100).await.status,
        200,
        "what was read before the touch is not counted again"
    );
    assert_eq!(spent(&files(&house, &cookie, 100, 1).await).1, "records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_touch_serves_all_that_wait_and_a_page_is_held_meanwhile() {
    let house = house().await;
    let cookie = house.sign_in(&house.alice).await;
    assert_eq!(files(&house, &cookie, 0, 50).await.status, 200);
    let (touching, touches) = house.touch_everything(&house.alice);
    let mut asking = Vec::new();
    for n in 0..5 {
        let ask = Ask::new("GET", &format!("/files?from={}&count=10", 50 + n * 10))
            .header("Cookie", &cookie)
            .header("HX-Request", "true");
        let (address, bytes) = (house.address, ask.bytes(&house.host()));
        asking.push(tokio::spawn(async move {
            crate::wire::raw(address, &bytes).await
        }));
    }
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(touches.load(Ordering::SeqCst), 1);
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_larger_than_what_a_touch_opens() {
    let house = house().await;
    let cookie = house.sign_in(&house.alice).await;
    let all = files(&house, &cookie, 0, 10_000).await;
    assert_eq!(spent(&all), (403, "more-than-a-touch-opens".to_owned(), 0));
    assert_eq!(all.json()["wanted"], 10_000);
    let number = house.send(&read(&cookie, "/total?n=1600000")).await;
    assert_eq!(spent(&number).1, "more-than-a-touch-opens");
    assert!(
        !house.is_asked(&house.alice).await,
        "nobody is prompted for it"
    );
    // Roles may have more.
    let bob = house.sign_in(&house.bob).await;
    assert_eq!(files(&house, &bob, 0, 100).await.status, 200);
    assert_eq!(spent(&files(&house, &bob, 100, 1).await).2, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_form_of_a_request_evades_the_count() {
    let house = house().await;
    let cookie = house.sign_in(&house.alice).await;
    let odd = |n: u64| format!("/files?from={}&count=10", n * 10);
    for (n, name, value) in [
        (0, "Range", "bytes=0-99"),
        (1, "If-None-Match", "*"),
        (2, "If-Modified-Since", "Sun, 22 Nov 2026 00:00:00 GMT"),
        (3, "Accept-Encoding", "gzip, br"),
    ] {
        let answer = house
            .send(&read(&cookie, &odd(n)).header(name, value))
            .await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert!(answer.header("etag").is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let mut head = read(&cookie, &odd(4));
    head.method = "HEAD".to_owned();
    let head = house.send(&head).await;
    assert!(head.status == 200 && head.body.is_empty(), "{head:?}");
    let seen = house.upstream.seen();
    for request in seen.iter().filter(|seen| seen.target.starts_with("/files")) {
        for name in ["range", "if-none-match", "if-modified-since"] {
            assert!(!request.headers.contains_key(name), "{name}");
        }
        assert_eq!(request.headers["accept-encoding"], "identity");
    }
    assert_eq!(spent(&files(&house, &cookie, 50, 1).await).2, 50);
    // What cannot be counted is not shown.
    for target in ["/files?odd=text", "/files?odd=gzip", "/total?n=x"] {
        let answer = house.send(&read(&cookie, target)).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().unwrap()),
            (502, "answer-not-counted"),
            "{target}"
        );
    }
    let huge = house.send(&read(&cookie, "/files?odd=huge")).await;
    assert_eq!(huge.json()["code"], "answer-too-large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_at_one_time_read_no_more_than_one_after_the_other() {
    let house = house().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut asking = Vec::new();
    for n in 0..40 {
        let ask = read(&cookie, &format!("/files?from={}&count=5", n * 5));
        let (address, bytes) = (house.address, ask.bytes(&house.host()));
        asking.push(tokio::spawn(async move {
            crate::wire::raw(address, &bytes).await.status
        }));
    }
    let mut read = 0;
    for answer in asking {
        read += usize::from(answer.await.unwrap() == 200) * 5;
    }
    assert_eq!(read, 50);
}

/// A page that polls is not a person who asks: who refused is not asked again by its next look, but by their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_polls_does_not_ask_again_whoever_refused() {
    let house = house().await;
    let cookie = house.sign_in(&house.alice).await;
    assert_eq!(files(&house, &cookie, 0, 50).await.status, 200);
    let ask = |more: (&str, &str)| {
        Ask::new("GET", "/files?from=50&count=1")
            .header("Cookie", &cookie)
            .header("Sec-Fetch-Site", "same-origin")
            .header(more.0, more.1)
    };
    let poll = ask(("HX-Request", "true"));
    let (address, bytes) = (house.address, poll.bytes(&house.host()));
    let first = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
    let record = house.next_action(&house.alice).await;
    house
        .refuse(&house.alice, &record, RefusalReason::Mistake)
        .await;
    assert_eq!(first.await.unwrap().status, 403);
    for more in [("HX-Request", "true"), ("Sec-Fetch-Mode", "cors")] {
        let answer = house.send(&ask(more)).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (403, Some("refused")),
            "{answer:?}"
        );
    }
    assert!(!house.is_asked(&house.alice).await, "asked by a poll");
    let opened = ask(("Sec-Fetch-Mode", "navigate")).header("Prefer", "respond-async");
    assert_eq!(house.send(&opened).await.status, 303);
    let again = house.next_action(&house.alice).await;
    assert_ne!(again.id, record.id);
}
