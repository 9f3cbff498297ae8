use std::time::{Duration, Instant};

use sceau_server::action::{Caller, NewAction, Target};
use sceau_server::session::SessionKind;
use serde_json::{Value, json};
use sha256::sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, Owner, Plan};
use crate::wire::{Ask, problem};

mod sha256 {
    pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
            .as_ref()
            .to_vec()
    }
}

/// Bob asks for the suspension of Alice with all that she begot.
async fn cascade(house: &House, person: &str) -> sceau_server::action::ActionRecord {
    let opened = house
        .desk
        .open_session(house.bob.id.clone(), SessionKind::Agent)
        .await
        .unwrap();
    house.bob.approve(&house.desk, &opened.action).await;
    let lineage = house
        .desk
        .lineage(&person.parse().unwrap(), 10)
        .await
        .unwrap()
        .unwrap();
    let asked = NewAction {
        kind: "person.suspend".to_owned(),
        service: "sceau".parse().unwrap(),
        requester: house.bob.id.clone(),
        target: Target {
            kind: "person".to_owned(),
            id: person.to_owned(),
            display: person.to_owned(),
        },
        params: json!({"person": person, "cascade": true, "set": {"sha256": lineage.sha256}})
            .as_object()
            .unwrap()
            .clone(),
        request: None,
        words: None,
    };
    let caller = Caller::Person {
        person: house.bob.id.clone(),
        session: opened.id,
    };
    house.desk.open_action(asked, caller).await.unwrap()
}

async fn executed(house: &House, owner: &Owner, ask: Ask) {
    let (address, bytes) = (house.address, ask.bytes(&house.host()));
    let asking = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
    let record = house.next_action(owner).await;
    owner.approve(&house.desk, &record).await;
    let answer = asking.await.unwrap();
    assert!(answer.status < 400, "{answer:?}");
}

async fn nodes(house: &House) -> Vec<Value> {
    let lineage = house.desk.lineage(&house.alice.id, 100).await.unwrap();
    json!(lineage.unwrap().nodes).as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_execution_made_is_in_its_askers_lineage() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let create = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .json(r#"{"email":"j@ml.example","name":"Jean"}"#);
    executed(&house, &house.alice, create).await;
    let after = nodes(&house).await;
    assert_eq!(after.len(), 2, "{after:?}");
    assert_eq!(
        (
            &after[1]["node"],
            &after[1]["display"],
            &after[1]["relation"]
        ),
        (
            &json!("account/portal/7"),
            &json!("Jean"),
            &json!("created")
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_account_of_the_application_reads_nothing_more() {
    let house = House::plan(Plan {
        head: "account = { get = \"/me\", json = \"/id\" }".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let create = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .json(r#"{"email":"j@ml.example","name":"Jean"}"#);
    executed(&house, &house.alice, create).await;
    // Whoever is logged in to the application as account 7, without a session of ours.
    let read = |account: &str| Ask::new("GET", "/list").header("Cookie", &format!("as={account}"));
    assert_eq!(house.send(&read("7")).await.status, 200);
    let before = house.upstream.seen().len();
    assert_eq!(before, 2, "nothing is looked up in normal times");
    let record = cascade(&house, "alice").await;
    house.bob.approve(&house.desk, &record).await;
    let refused = house.send(&read("7")).await;
    problem(&refused, 403, "account-suspended");
    assert_eq!(house.send(&read("9")).await.status, 200, "another account");
    assert_eq!(
        house.send(&Ask::new("GET", "/list")).await.status,
        200,
        "nobody's"
    );
    let odd = house.send(&read("odd")).await;
    assert_eq!(odd.status, 503, "not known whose: not let through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_open_ends_within_a_second_of_the_suspension() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let ask = Ask::new("GET", "/drip").header("Cookie", &cookie);
    stream.write_all(&ask.bytes(&house.host())).await.unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..5 {
        assert!(stream.read(&mut buffer).await.unwrap() > 0, "it flows");
    }
    let record = cascade(&house, "alice").await;
    house.bob.approve(&house.desk, &record).await;
    let suspended = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
    })
    .await;
    assert!(ended.is_ok(), "it still flows");
    eprintln!("the stream ended after {:?}", suspended.elapsed());
}

/// The figures of a large lineage, printed; asserted only within bounds that a loaded machine keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lineage_of_ten_thousand_falls_at_once() {
    const COUNT: usize = 10_000;
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let token = cookie.split("sceau=").nth(1).unwrap();
    let action = house.desk.session(token).await.unwrap().unwrap().action;
    let url = format!("sqlite:{}", house.folder.path().join("sceau.db").display());
    let mut store = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let tokens: Vec<String> = (0..COUNT).map(|n| format!("{n:0>43}")).collect();
    let mut tx = sqlx::Connection::begin(&mut store).await.unwrap();
    for (n, token) in tokens.iter().enumerate() {
        let id = format!("p{n}");
        let parent = match n {
            0..10 => "alice".to_owned(),
            n => format!("p{}", n / 10 - 1),
        };
        sqlx::query("INSERT INTO person (id, display, state, parent, created_ms) VALUES ($1, $1, 'active', $2, $3)")
            .bind(&id).bind(&parent).bind(n as i64).execute(&mut *tx).await.unwrap();
        sqlx::query("INSERT INTO lineage_edge (parent, child, relation, action, at_ms) VALUES ('person/' || $1, 'person/' || $2, 'created', NULL, $3)")
            .bind(&parent).bind(&id).bind(n as i64).execute(&mut *tx).await.unwrap();
        sqlx::query("INSERT INTO session (id, token_sha256, person, kind, state, action, created_ms, expires_ms) VALUES ($1, $2, $3, 'gate', 'active', $4, 0, 9000000000000)")
            .bind(uuid::Uuid::from_u128(n as u128).to_string()).bind(sha256(token.as_bytes())).bind(&id).bind(action.to_string())
            .execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    drop(store);

    let read = |token: &str| Ask::new("GET", "/list").header("Cookie", &format!("sceau={token}"));
    let ends = [&tokens[0], &tokens[COUNT - 1]];
    for token in ends {
        assert_eq!(house.send(&read(token)).await.status, 200);
    }
    let begun = Instant::now();
    let lineage = house
        .desk
        .lineage(&house.alice.id, 1_000)
        .await
        .unwrap()
        .unwrap();
    let preview = begun.elapsed();
    assert_eq!(lineage.totals.persons, COUNT as u64 + 1);
    // Alice has two: of her enrolment, and at the gate.
    assert_eq!(lineage.totals.sessions, COUNT as u64 + 2);
    assert_eq!(
        (lineage.nodes.len(), lineage.left_out),
        (1_000, COUNT - 999)
    );
    let record = cascade(&house, "alice").await;
    let begun = Instant::now();
    house.bob.approve(&house.desk, &record).await;
    let suspension = begun.elapsed();
    for token in ends {
        let answer = house.send(&read(token)).await;
        assert_eq!(answer.json()["code"], "session-suspended");
    }
    let refused = begun.elapsed() - suspension;
    println!(
        "lineage of {COUNT}: preview {preview:?}, suspension (signature to commit) {suspension:?}, first and last refused after {refused:?}"
    );
    assert!(preview < Duration::from_secs(5) && suspension < Duration::from_secs(10));
    assert!(refused < Duration::from_secs(1));
}
