use std::time::Duration;

use sceau_server::desk::RefusalReason;

use crate::house::{House, Plan, create};
use crate::wire::Ask;

type Headers = &'static [(&'static str, &'static str)];
/// Kind A: what htmx sends. Kind C: what a form sends. Kind B: what `fetch` sends. And a program.
const HTMX: Headers = &[
    ("HX-Request", "true"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Accept", "*/*"),
];
const FORM: Headers = &[
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Accept", "text/html,application/xhtml+xml"),
];
const FETCH: Headers = &[
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Accept", "*/*"),
];
const PROGRAM: Headers = &[("Accept", "*/*")];

fn ask(house: &House, kind: &[(&str, &str)], cookie: &str) -> Ask {
    let base = format!("http://{}", house.host());
    let mut ask = create(cookie);
    for (name, value) in kind {
        ask = ask.header(name, value);
    }
    if kind != PROGRAM {
        ask = ask
            .header("Origin", &base)
            .header("Referer", &format!("{base}/list?page=2"));
    }
    if kind == HTMX {
        ask = ask.header("HX-Current-URL", &format!("{base}/list?page=3"));
    }
    ask
}

async fn impatient_house() -> (House, String) {
    let house = House::plan(Plan {
        head: "hold = \"300ms\"".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    (house, cookie)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_long_enough_every_kind_gets_the_applications_own_answer() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    for kind in [HTMX, FORM, FETCH, PROGRAM] {
        let answer = house.send(&ask(&house, kind, &cookie)).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (201, "created"),
            "{kind:?}"
        );
    }
    let multipart =
        b"--B\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nadmin\r\n--B--\r\n";
    let b = Ask::new("PATCH", "/accounts/7")
        .header("Cookie", &cookie)
        .header("Sec-Fetch-Mode", "cors");
    let answer = house
        .send(&b.body("multipart/form-data; boundary=B", multipart))
        .await;
    assert_eq!(answer.status, 200);
    let executed = house.upstream.executed();
    assert_eq!((executed.len(), &executed[4].body[..]), (5, &multipart[..]));
    touching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn htmx_is_led_away_and_the_gate_executes_once_when_approved() {
    let (house, cookie) = impatient_house().await;
    let answer = house.send(&ask(&house, HTMX, &cookie)).await;
    let page = answer.header("hx-redirect").to_owned();
    assert_eq!(answer.status, 401);
    assert!(
        page.starts_with("/.sceau/actions/") && answer.header("hx-location").is_empty(),
        "{answer:?}"
    );
    deferred(&house, &cookie, &page, "/accounts/7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_led_away_and_the_gate_executes_once_when_approved() {
    let (house, cookie) = impatient_house().await;
    let answer = house.send(&ask(&house, FORM, &cookie)).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let page = answer.header("location").to_owned();
    deferred(&house, &cookie, &page, "/accounts/7").await;
}

/// The page shows the action, the key is touched, the gate executes without any client, and the page leads on.
async fn deferred(house: &House, cookie: &str, page: &str, next: &str) {
    let id = page.rsplit('/').next().unwrap().to_owned();
    let shown = house
        .send(
            &Ask::new("GET", page)
                .header("Cookie", cookie)
                .header("Accept", "text/html"),
        )
        .await;
    assert_eq!(shown.status, 200);
    assert!(
        shown.text().contains("Créer le compte « Jean Dupont »"),
        "{}",
        shown.text()
    );
    assert!(
        shown
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    let poll = |wait: u32| {
        Ask::new("GET", &format!("{page}?wait={wait}"))
            .header("Cookie", cookie)
            .header("Accept", "application/json")
    };
    assert_eq!(house.send(&poll(0)).await.json()["state"], "pending");
    assert!(house.upstream.executed().is_empty());
    let _record = house.sealed(&id).await;
    let mut last = serde_json::Value::Null;
    for _ in 0..50 {
        last = house.send(&poll(5)).await.json();
        if last["state"] == "executed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        (last["state"].as_str(), last["next"].as_str()),
        (Some("executed"), Some(next)),
        "{last}"
    );
    assert_eq!(house.upstream.executed().len(), 1);
    assert!(
        house.upstream.executed()[0]
            .headers
            .contains_key("sceau-permit")
    );
    // Nobody else's page.
    let other = house.sign_in(&house.bob).await;
    let peek = Ask::new("GET", page)
        .header("Cookie", &other)
        .header("Accept", "application/json");
    assert_eq!(house.send(&peek).await.status, 404);
}

/// Nobody listens for Alice: there is nobody to ask at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_whoever_can_be_led_is_led_at_once() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    for kind in [FORM, HTMX] {
        let started = std::time::Instant::now();
        let answer = house.send(&ask(&house, kind, &cookie)).await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(4), "{kind:?} {took:?}");
        assert_eq!(answer.status, if kind == FORM { 303 } else { 401 });
        let page = answer.header(if kind == FORM {
            "location"
        } else {
            "hx-redirect"
        });
        assert!(page.starts_with("/.sceau/actions/"), "{answer:?}");
        let id = page.rsplit('/').next().unwrap().parse().unwrap();
        let record = house.desk.action(id).await.unwrap().unwrap();
        let before = house.upstream.executed().len();
        house.alice.approve(&house.desk, &record).await;
        for _ in 0..50 {
            if house.upstream.executed().len() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        assert_eq!(house.upstream.executed().len(), before + 1, "{kind:?}");
    }
}

/// An agent listens, for a while: its person is asked, until it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_agent_a_navigation_is_held_until_it_goes() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let inbox = house.desk.subscribe(house.alice.id.clone()).await.unwrap();
    let form = ask(&house, FORM, &cookie);
    let asking = house.send(&form);
    tokio::pin!(asking);
    let early = tokio::time::timeout(Duration::from_secs(4), &mut asking).await;
    assert!(early.is_err(), "{early:?}");
    drop(inbox);
    let led = tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .unwrap();
    assert_eq!(led.status, 303);
    // Scripts wait: they cannot be led.
    let script = ask(&house, FETCH, &cookie);
    let script = tokio::time::timeout(Duration::from_secs(4), house.send(&script));
    assert!(script.await.is_err());
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_deferred_request_leads_back_and_executes_nothing() {
    let (house, cookie) = impatient_house().await;
    let page = house
        .send(&ask(&house, HTMX, &cookie))
        .await
        .header("hx-redirect")
        .to_owned();
    let id = page.rsplit('/').next().unwrap().parse().unwrap();
    let record = house.desk.action(id).await.unwrap().unwrap();
    house
        .refuse(&house.alice, &record, RefusalReason::Mistake)
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let poll = Ask::new("GET", &page)
        .header("Cookie", &cookie)
        .header("Accept", "application/json");
    let state = house.send(&poll).await.json();
    assert_eq!(
        (state["state"].as_str(), state["next"].as_str()),
        (Some("refused"), Some("/list?page=3")),
        "{state}"
    );
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_gets_409_and_its_repetition_gets_the_answer() {
    let (house, cookie) = impatient_house().await;
    let again = ask(&house, FETCH, &cookie);
    let answer = house.send(&again).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.header("location").is_empty());
    let problem = answer.json();
    let approve = format!(
        "http://{}/.sceau/actions/{}",
        house.host(),
        problem["action_id"].as_str().unwrap()
    );
    assert_eq!(problem["approve_url"], approve);
    let record = house.next_action(&house.alice).await;
    house.alice.approve(&house.desk, &record).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        house.upstream.executed().is_empty(),
        "nothing is executed behind a script's back"
    );
    let answer = house.send(&again).await;
    assert_eq!((answer.status, answer.text().as_str()), (201, "created"));
    assert_eq!(house.upstream.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_the_rfc_9470_challenge_and_repeats_with_the_actions_name() {
    let (house, cookie) = impatient_house().await;
    let answer = house.send(&ask(&house, PROGRAM, &cookie)).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_user_authentication\"")
            && challenge.contains("acr_values=\"eidas3\"")
    );
    let problem = answer.json();
    let id = problem["action_id"].as_str().unwrap();
    assert!(
        problem["status_url"].as_str().unwrap().ends_with(id)
            && problem["approve_url"].as_str().unwrap().ends_with(id)
    );
    let named = ask(&house, PROGRAM, &cookie).header("Sceau-Action", id);
    assert_eq!(house.send(&named).await.status, 401, "not approved yet");
    let record = house.next_action(&house.alice).await;
    house.alice.approve(&house.desk, &record).await;
    let answer = house.send(&named).await;
    assert_eq!((answer.status, answer.text().as_str()), (201, "created"));
    assert_eq!(house.upstream.executed().len(), 1);
    assert_eq!(
        house.upstream.executed()[0].headers.get("sceau-action"),
        None
    );
    // Somebody else's session cannot use the name.
    let bob = house.sign_in(&house.bob).await;
    assert_eq!(
        house
            .send(&ask(&house, PROGRAM, &bob).header("Sceau-Action", id))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_eyes_do_not_hold_the_connection() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let mut grant = Ask::new("POST", "/accounts/7/rights")
        .header("Cookie", &cookie)
        .form("right=admin");
    for (name, value) in HTMX {
        grant = grant.header(name, value);
    }
    let started = std::time::Instant::now();
    let answer = house.send(&grant).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(
        (answer.status, answer.header("hx-redirect").is_empty()),
        (401, false)
    );
    let record = house.next_action(&house.bob).await;
    assert_eq!(record.requester, house.alice.id);
    house.bob.approve(&house.desk, &record).await;
    for _ in 0..50 {
        if !house.upstream.executed().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let executed = house.upstream.executed();
    assert_eq!(
        (executed.len(), executed[0].target.as_str()),
        (1, "/accounts/7/rights")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_never_look_like_success() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    for kind in [HTMX, FORM, FETCH, PROGRAM] {
        let bytes = ask(&house, kind, &cookie).bytes(&house.host());
        let address = house.address;
        let asking = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
        let record = house.next_action(&house.alice).await;
        house
            .refuse(&house.alice, &record, RefusalReason::Mistake)
            .await;
        let answer = asking.await.unwrap();
        assert_eq!(answer.status, 403, "{kind:?}");
        let html = kind == FORM;
        assert_eq!(answer.header("content-type").starts_with("text/html"), html);
        assert!(answer.header("location").is_empty() && answer.header("hx-location").is_empty());
    }
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_each_kind_is_led_to_sign_in() {
    let house = House::start().await;
    let cases: [(Headers, u16, &str, &str); 4] = [
        (
            HTMX,
            401,
            "hx-redirect",
            "/.sceau/sign-in?next=/list%3Fpage%3D3",
        ),
        (
            FORM,
            303,
            "location",
            "/.sceau/sign-in?next=/list%3Fpage%3D2",
        ),
        (FETCH, 401, "content-type", "application/problem+json"),
        (PROGRAM, 401, "content-type", "application/problem+json"),
    ];
    for (kind, status, name, value) in cases {
        let answer = house.send(&ask(&house, kind, "app=1")).await;
        assert_eq!(
            (answer.status, answer.header(name)),
            (status, value),
            "{kind:?}"
        );
    }
    assert!(house.upstream.seen().is_empty());
}

/// What the application itself answers with an error is executed, and does not pass for a success on the page that waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_application_is_told_by_the_page_that_waits() {
    let (house, cookie) = impatient_house().await;
    let base = format!("http://{}", house.host());
    let mut asked = Ask::new("DELETE", "/accounts/13").header("Cookie", &cookie);
    for (name, value) in HTMX {
        asked = asked.header(name, value);
    }
    let asked = asked.header("HX-Current-URL", &format!("{base}/list"));
    let page = house.send(&asked).await.header("hx-redirect").to_owned();
    let record = house.next_action(&house.alice).await;
    house.alice.approve(&house.desk, &record).await;
    let get = |accept: &str| {
        Ask::new("GET", &page)
            .header("Cookie", &cookie)
            .header("Accept", accept)
    };
    let mut told = serde_json::Value::Null;
    for _ in 0..50 {
        told = house.send(&get("application/json")).await.json();
        if told["state"] == "executed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        (&told["state"], &told["upstream_status"]),
        (&"executed".into(), &403.into()),
        "{told}"
    );
    let shown = house.send(&get("text/html")).await.text();
    assert!(
        shown.contains("data-state=\"failed\"")
            && shown.contains("<h1>L’application a répondu par une erreur</h1>"),
        "{shown}"
    );
    assert!(!shown.contains("<h1>Demande exécutée</h1>"), "{shown}");
}

/// Signed out in another tab while a request is held: nothing is done, and what helps is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_meanwhile_is_asked_to_sign_in_again() {
    let house = House::start().await;
    for kind in [FETCH, HTMX] {
        let cookie = house.sign_in(&house.alice).await;
        let inbox = house.desk.subscribe(house.alice.id.clone()).await.unwrap();
        let (address, bytes) = (
            house.address,
            ask(&house, kind, &cookie).bytes(&house.host()),
        );
        let asking = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
        let record = house.next_action(&house.alice).await;
        let out = Ask::new("DELETE", "/.sceau/session").header("Cookie", &cookie);
        assert_eq!(house.send(&out).await.status, 204);
        let answer = tokio::time::timeout(Duration::from_secs(5), asking)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.status, 401, "{kind:?} {answer:?}");
        assert_eq!(answer.json()["code"], "sign-in-needed", "{answer:?}");
        let led = answer.header("hx-redirect");
        assert_eq!(
            led.starts_with("/.sceau/sign-in?next="),
            kind == HTMX,
            "{led}"
        );
        drop(inbox);
        let _ = house.alice.try_approve(&house.desk, &record).await;
        assert!(house.upstream.executed().is_empty());
    }
}

/// A form that is refused: the page says so, and leads back to where it was sent from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_form_leads_back() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let inbox = house.desk.subscribe(house.alice.id.clone()).await.unwrap();
    let (address, bytes) = (
        house.address,
        ask(&house, FORM, &cookie).bytes(&house.host()),
    );
    let asking = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
    let record = house.next_action(&house.alice).await;
    house
        .refuse(&house.alice, &record, RefusalReason::Mistake)
        .await;
    let answer = asking.await.unwrap();
    drop(inbox);
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .text()
            .contains("<a id=\"next\" href=\"/list?page=2\">"),
        "{}",
        answer.text()
    );
    assert!(house.upstream.executed().is_empty());
}

/// In pieces, with files, with headers that are there twice: what arrives is what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_files_and_repeated_headers_arrive_as_they_were_sent() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let (touching, _) = house.touch_everything(&house.alice);
    let mut body = b"--B\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nadmin\r\n--B\r\n\
        Content-Disposition: form-data; name=\"proof\"; filename=\"p.pdf\"\r\nContent-Type: application/pdf\r\n\r\n"
        .to_vec();
    body.extend((0..=255).cycle().take(70_000));
    body.extend(b"\r\n--B--\r\n");
    let mut chunked = Vec::new();
    for piece in body.chunks(9_973) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let asked = Ask::new("PATCH", "/accounts/7?page=1")
        .header("Cookie", &cookie)
        .header("Cookie", "b=2")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Sec-Fetch-Mode", "cors")
        .header("Transfer-Encoding", "chunked")
        .body("multipart/form-data; boundary=B", &chunked);
    let answer = house.send(&asked).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let executed = house.upstream.executed();
    let seen = &executed[0];
    assert!(seen.body[..] == body[..], "other bytes arrived");
    assert_eq!(seen.target, "/accounts/7?page=1");
    let twice: Vec<_> = seen.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["one", "two"]);
    assert_eq!(seen.headers["content-length"], body.len().to_string());
    assert_eq!(seen.headers["cookie"], "app=1; b=2");
    touching.abort();
}
