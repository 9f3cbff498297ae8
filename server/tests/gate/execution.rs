use std::sync::atomic::Ordering;
use std::time::Duration;

use sceau_server::desk::{DeskError, RefusalReason};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACCOUNT, House, Plan, create};
use crate::wire::{Ask, problem, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_request_is_forwarded_once_unchanged_after_the_touch() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let ask = create(&cookie).header("X-Custom", "kept");
    let asking = tokio::spawn(raw_ask(house.address, ask.bytes(&house.host())));
    let record = house.next_action(&house.alice).await;
    assert_eq!(record.kind, "account.create");
    assert!(house.upstream.executed().is_empty());
    let document: serde_json::Value = serde_json::from_str(&record.document).unwrap();
    assert_eq!(document["words"]["fr"], "Créer le compte « Jean Dupont »");
    assert_eq!(
        document["params"],
        serde_json::json!({"email":"jean@ml.example","name":"Jean Dupont"})
    );
    assert_eq!(document["request"]["path"], "/accounts");
    house.alice.approve(&house.desk, &record).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (201, "created"));
    assert_eq!(answer.header("hx-location"), "/accounts/7");
    assert_eq!(answer.all("set-cookie"), ["app=renewed; Path=/"]);
    let executed = house.upstream.executed();
    assert_eq!(executed.len(), 1);
    let seen = &executed[0];
    assert_eq!(
        (seen.target.as_str(), &seen.body[..]),
        ("/accounts", ACCOUNT.as_bytes())
    );
    assert_eq!(seen.headers["x-custom"], "kept");
    assert_eq!(seen.headers["sceau-person"], "alice");
    assert_eq!(seen.headers["cookie"], "app=1");
    let permit = seen.headers["sceau-permit"].to_str().unwrap();
    let verified = sceau_proof::permit::verify(
        permit,
        &house.desk.jwks(),
        "https://sceau.example",
        "portal",
        time::OffsetDateTime::now_utc(),
    );
    assert_eq!(verified.unwrap().claims().jti, record.id.0);
    let after = house.desk.action(record.id).await.unwrap().unwrap();
    assert_eq!(after.state.as_str(), "executed");
    assert_eq!(after.execution.unwrap().upstream_status, Some(201));
}

async fn raw_ask(address: std::net::SocketAddr, bytes: Vec<u8>) -> crate::wire::Answer {
    raw(address, &bytes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_requests_in_flight_are_one_action_and_one_execution() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let bytes = create(&cookie).bytes(&house.host());
    let asking: Vec<_> = (0..3)
        .map(|_| tokio::spawn(raw_ask(house.address, bytes.clone())))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (touching, touched) = house.touch_everything(&house.alice);
    for ask in asking {
        let answer = ask.await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (201, "created"));
    }
    assert_eq!(touched.load(Ordering::SeqCst), 1);
    assert_eq!(house.upstream.executed().len(), 1);
    // Another body, or the same one afterwards, is another action.
    let other = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .json(r#"{"email":"b@ml.example","name":"B"}"#);
    assert_eq!(house.send(&other).await.status, 201);
    assert_eq!(house.send(&create(&cookie)).await.status, 201);
    assert_eq!(
        (
            touched.load(Ordering::SeqCst),
            house.upstream.executed().len()
        ),
        (3, 3)
    );
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_cancels() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    stream
        .write_all(&create(&cookie).bytes(&house.host()))
        .await
        .unwrap();
    let record = house.next_action(&house.alice).await;
    drop(stream);
    house.goes_with_its_client(&record).await;
    assert!(matches!(
        house.desk.consume(record.id).await,
        Err(DeskError::AlreadySettled(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_executes_nothing_and_not_me_ends_the_session() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    for (reason, next) in [(RefusalReason::Mistake, 200), (RefusalReason::NotMe, 403)] {
        let asking = tokio::spawn(raw_ask(house.address, create(&cookie).bytes(&house.host())));
        let record = house.next_action(&house.alice).await;
        house.refuse(&house.alice, &record, reason).await;
        let answer = asking.await.unwrap();
        // "Not me" ends the session too; whoever waits is told what became of the request, and the next request what became of the session.
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["code"], &told["reason"]),
            (403, &json!("refused"), &json!(reason.as_str())),
            "{answer:?}"
        );
        let read = house
            .send(&Ask::new("GET", "/accounts").header("Cookie", &cookie))
            .await;
        assert_eq!(read.status, next, "{read:?}");
    }
    let read = house
        .send(&Ask::new("GET", "/accounts").header("Cookie", &cookie))
        .await;
    assert_eq!(read.json()["code"], "session-suspended");
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policy_denies_asks_nobody() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let answer = house
        .send(
            &Ask::new("POST", "/forbidden")
                .header("Cookie", &cookie)
                .json("{}"),
        )
        .await;
    problem(&answer, 403, "denied");
    assert!(!house.is_asked(&house.alice).await);
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_recorded_and_never_sent_again() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    let die = Ask::new("POST", "/die")
        .header("Cookie", &cookie)
        .json("{}");
    let answer = house.send(&die).await;
    problem(&answer, 504, "outcome-unknown");
    let id = answer.json()["action_id"].as_str().unwrap().to_owned();
    let record = house.record(&id).await;
    assert_eq!(record.state.as_str(), "consumed");
    assert_eq!(
        record.execution.unwrap().failure.as_deref(),
        Some("upstream-lost")
    );
    let again = house.send(&die.clone().header("Sceau-Action", &id)).await;
    problem(&again, 409, "already-used");
    assert_eq!(house.upstream.executed().len(), 1);
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_does_not_answer_in_time_has_an_unknown_outcome() {
    let house = House::plan(Plan {
        head: "upstream_timeout = \"500ms\"".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    let answer = house
        .send(
            &Ask::new("POST", "/slow")
                .header("Cookie", &cookie)
                .json("{}"),
        )
        .await;
    assert_eq!(answer.json()["code"], "outcome-unknown");
    let id = answer.json()["action_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let record = house.desk.action(id).await.unwrap().unwrap();
    assert_eq!(
        record.execution.unwrap().failure.as_deref(),
        Some("upstream-late")
    );
    assert_eq!(house.upstream.executed().len(), 1);
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_application_uses_nothing_up() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let house = House::plan(Plan {
        upstream: Some(format!("http://{address}")),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    let answer = house.send(&create(&cookie)).await;
    problem(&answer, 502, "application-unavailable");
    let id = answer.json()["action_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(house.state(id).await, "approved");
    touching.abort();
}

/// Attack 21: whatever the moment of the crash, what was consumed is never sent by the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_consuming_and_sending_never_executes_afterwards() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let impatient = create(&cookie).header("Prefer", "respond-async");
    let waits = house.send(&impatient).await;
    assert_eq!(waits.status, 401);
    let id = waits.json()["action_id"].as_str().unwrap().to_owned();
    let record = house.sealed(&id).await;
    // The gate has consumed and died: nothing was sent, nothing was reported.
    let consumed = house.desk.consume(record.id).await.unwrap();
    assert_eq!(consumed.record().id, record.id);
    let again = house
        .send(&create(&cookie).header("Sceau-Action", &id))
        .await;
    problem(&again, 409, "already-used");
    assert!(house.upstream.executed().is_empty());
}

/// Attack 5: of many repetitions at once, one is executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_repetitions_one_is_executed() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let waits = house
        .send(&create(&cookie).header("Prefer", "respond-async"))
        .await;
    let id = waits.json()["action_id"].as_str().unwrap().to_owned();
    let _record = house.sealed(&id).await;
    let bytes = create(&cookie)
        .header("Sceau-Action", &id)
        .bytes(&house.host());
    let asking: Vec<_> = (0..12)
        .map(|_| tokio::spawn(raw_ask(house.address, bytes.clone())))
        .collect();
    let mut created = 0;
    for ask in asking {
        let answer = ask.await.unwrap();
        assert!([201, 409].contains(&answer.status), "{answer:?}");
        created += usize::from(answer.status == 201);
    }
    assert!(created >= 1);
    assert_eq!(house.upstream.executed().len(), 1);
    let other = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .header("Sceau-Action", &id);
    let swapped = house
        .send(&other.json(r#"{"email":"evil@x.example","name":"Evil"}"#))
        .await;
    problem(&swapped, 409, "different-request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_the_limit_are_refused_before_anybody_is_asked() {
    let house = House::plan(Plan {
        head: "body_limit = 1000".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let big = vec![b'x'; 2_000];
    let announced = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .body("text/plain", &big);
    assert_eq!(house.send(&announced).await.status, 413);
    let chunked = format!(
        "POST /accounts HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n",
        house.host()
    );
    let body = [b"7d0\r\n".to_vec(), big, b"\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(
        raw(house.address, &[chunked.into_bytes(), body].concat())
            .await
            .status,
        413
    );
    assert!(!house.is_asked(&house.alice).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_show_what_the_application_says_of_the_target() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let ask = Ask::new("PATCH", "/accounts/7")
        .header("Cookie", &cookie)
        .form("role=admin&page=1");
    let asking = tokio::spawn(raw_ask(house.address, ask.bytes(&house.host())));
    let record = house.next_action(&house.alice).await;
    let document: serde_json::Value = serde_json::from_str(&record.document).unwrap();
    assert_eq!(document["words"]["en"], "Change Jean <b> Dupont to admin");
    assert_eq!(
        document["params"],
        serde_json::json!({"id":"7","role":"admin"})
    );
    let looked = house
        .upstream
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/names/7")
        .unwrap();
    assert_eq!(looked.headers["cookie"], "app=1");
    house.alice.approve(&house.desk, &record).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_under_way_survive_the_clients_departure() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let slow = Ask::new("POST", "/slow")
        .header("Cookie", &cookie)
        .json("{}");
    stream.write_all(&slow.bytes(&house.host())).await.unwrap();
    let record = house.next_action(&house.alice).await;
    house.alice.approve(&house.desk, &record).await;
    for _ in 0..100 {
        if !house.upstream.executed().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stream);
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(house.state(record.id).await, "executed");
    assert_eq!(house.upstream.executed().len(), 1);
    let mut unused = Vec::new();
    let mut other = tokio::net::TcpStream::connect(house.address).await.unwrap();
    other
        .write_all(&Ask::new("GET", "/").bytes(&house.host()))
        .await
        .unwrap();
    other.read_to_end(&mut unused).await.unwrap();
    assert!(!house.gate.is_finished() && house.folder.path().exists());
}
