use sceau_server::action::{Caller, Outcome};
use sceau_server::desk::{Counted, Desk, Found, Reader};
use sceau_server::reading::{Budget, Spent};
use sceau_server::session::SessionKind;
use time::Duration;

use crate::conformance::{count, log};
use crate::fixture::{Owner, Place};

fn files(range: std::ops::Range<u32>) -> Vec<Found> {
    let one = |number| Found {
        identity: format!("file {number}"),
        records: 1,
    };
    range.map(one).collect()
}

async fn reader(desk: &Desk, owner: &Owner, service: &str) -> Reader {
    let token = owner.sign_in(desk, SessionKind::Gate).await;
    let session = desk.session(&token).await.unwrap().unwrap();
    Reader {
        service: service.parse().unwrap(),
        person: owner.id.clone(),
        session: session.id,
        budget: Budget {
            records: 50,
            window: Duration::minutes(30),
            roles: [("manager".parse().unwrap(), 80)].into(),
            action: "note.write".to_owned(),
        },
    }
}

fn stands(counted: &Counted) -> (Result<(), Spent>, u64, u64) {
    (
        counted.verdict,
        counted.standing.used,
        counted.standing.limit,
    )
}

/// Attack 12: what is read is counted exactly, over a restart and at two instances at one time; per person, role and service.
pub(crate) async fn a_budget_is_exact_over_restarts_and_instances(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let manager = place.invite(&desk, &alice, "manon", "manager").await;
    let hers = reader(&desk, &alice, "portal").await;
    let read = async |desk: &Desk, reader: &Reader, range| {
        let counted = desk.count_reading(reader.clone(), files(range)).await;
        stands(&counted.unwrap())
    };
    assert_eq!(read(&desk, &hers, 0..20).await, (Ok(()), 20, 50));
    assert_eq!(read(&desk, &hers, 10..20).await, (Ok(()), 20, 50), "once");
    assert_eq!(
        read(&desk, &hers, 100..151).await,
        (Err(Spent::TooMany), 20, 50)
    );
    drop(desk);

    // After a restart, and at two instances, which are asked at one time for more than is left.
    let (a, b) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let asked = (0..20_u32).map(|number| {
        let desk = [&a, &b][usize::from(number % 2 == 0)].clone();
        let (reader, found) = (hers.clone(), files(200 + number * 3..203 + number * 3));
        async move { desk.count_reading(reader, found).await.unwrap() }
    });
    let counted = futures_util::future::join_all(asked).await;
    let granted = counted.iter().filter(|it| it.verdict.is_ok()).count();
    assert_eq!(granted, 10, "of thirty that were left, three each");
    for desk in [&a, &b] {
        assert_eq!(
            read(desk, &hers, 0..3).await,
            (Ok(()), 50, 50),
            "known ones"
        );
        assert_eq!(
            read(desk, &hers, 900..901).await,
            (Err(Spent::Records), 50, 50)
        );
        assert_eq!(desk.reading(&hers).await.unwrap().used, 50);
    }

    // Another person, another role, another service have budgets of their own.
    let others = [
        (reader(&a, &bob, "portal").await, 50),
        (reader(&a, &manager, "portal").await, 80),
        (reader(&a, &alice, "archive").await, 50),
    ];
    for (reader, limit) in &others {
        assert_eq!(read(&b, reader, 0..50).await, (Ok(()), 50, *limit));
    }
    assert_eq!(read(&a, &others[1].0, 50..80).await, (Ok(()), 80, 80));

    // A touch opens the next slice, at every instance; time ends it.
    let caller = Caller::Gate {
        service: "portal".parse().unwrap(),
        session: hers.session,
    };
    place.clock.shift(Duration::minutes(1));
    let asked = alice.ask_by(&a, "note.write", caller).await.unwrap();
    alice.approve(&a, &asked).await.unwrap();
    assert_eq!(
        read(&b, &hers, 900..901).await.0,
        Err(Spent::Records),
        "approved is not used yet"
    );
    a.consume(asked.id).await.unwrap();
    let done = Outcome::Answered {
        upstream_status: 200,
    };
    a.record_execution(asked.id, done).await.unwrap();
    assert_eq!(read(&b, &hers, 900..950).await, (Ok(()), 50, 50));
    assert_eq!(read(&a, &hers, 950..951).await.0, Err(Spent::Records));
    place.clock.shift(Duration::minutes(31));
    assert_eq!(read(&a, &hers, 950..951).await.0, Err(Spent::Time));

    let log = log(&a).await;
    // A slice each of three persons at the portal, of one at the archive, and the one that the touch opened.
    assert_eq!(count(&log, "reading.slice"), 5);
    // Once for each slice and reason: too many, records; records, time.
    assert_eq!(count(&log, "reading.refused"), 4);
    assert!(
        log.iter().all(|entry| !serde_json::json!(entry.data())
            .to_string()
            .contains("file ")),
        "nobody's reading is in the log"
    );
}
