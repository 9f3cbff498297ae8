//! The console over a real socket: each page for each role, lists that go on, files, what a form asks for, and forms, cookies and frames of others.

use std::collections::BTreeSet;

use sceau_proof::evidence::LogRecord;
use sceau_proof::log::{Entry, checkpoint, leaf_hash, verify_inclusion};
use sceau_server::action::State;
use sceau_server::desk::Found;
use sceau_server::lineage::Node;
use sceau_server::policy::{Policy, Source};
use sceau_server::reading::Budget;
use sceau_server::session::SessionKind;
use sceau_server::store::console::Wanted;
use serde_json::{Value, json};
use sqlx::Connection as _;
use time::Duration;

use crate::api::Served;
use crate::conformance::{count, log};
use crate::fixture::{Owner, POLICY, Place, SCHEMA};
use crate::page::{Browser, HERE, signed_in};
use crate::wire::problem;
use crate::wire::{Answer, Ask};

/// Every page, and whether operators see it.
const PAGES: [(&str, bool); 14] = [
    ("/console/persons", true),
    ("/console/persons/erin", true),
    ("/console/persons/erin/lineage", true),
    ("/console/keys", true),
    ("/console/enrolments", true),
    ("/console/actions", false),
    ("/console/actions?state=any", false),
    ("/console/campaigns", false),
    ("/console/budgets", false),
    ("/console/alerts", false),
    ("/console/log", false),
    ("/console/log/3", false),
    ("/console/policy", false),
    ("/console/metadata", false),
];

const ROLES: &str =
    "[role.administrator]\nrank = 30\n[role.operator]\nrank = 10\n[role.manager]\nrank = 10\n";

/// The fixture's policy, with ranks, and operators who enrol and suspend.
fn ranked() -> Policy {
    let more = r#"
@id("operators")
permit (
  principal in Role::"operator",
  action in [Action::"key.enroll", Action::"person.suspend", Action::"key.revoke", Action::"session.end"],
  resource
) unless { resource in Role::"administrator" };
"#;
    let sources = [
        Source::new("actions.cedarschema", SCHEMA),
        Source::new("test.cedar", &format!("{POLICY}{more}")),
        Source::new("roles.toml", ROLES),
    ];
    match Policy::parse(&sources) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}"),
    }
}

async fn served() -> (Served, Owner, Owner) {
    let served = Served::with(|place| place.policy = ranked()).await;
    let olga = served
        .place
        .invite(&served.desk, &served.alice, "olga", "operator")
        .await;
    let erin = served
        .place
        .invite(&served.desk, &olga, "erin", "manager")
        .await;
    (served, olga, erin)
}

/// The form's token, as the browser finds it in the page.
fn token(page: &str) -> &str {
    let mark = "name=\"token\" value=\"";
    let start = page.find(mark).expect("a form with a token") + mark.len();
    page[start..].split('"').next().unwrap()
}

impl Browser<'_> {
    /// Sends a form with these headers besides the cookie.
    async fn form(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut ask = Ask::new("POST", path)
            .header("Cookie", &self.cookie)
            .header("Accept-Language", "en");
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        self.served.send(ask.form(body)).await
    }

    /// Sends a form as the page at `from` would.
    pub(crate) async fn submit(&self, from: &str, path: &str, fields: &str) -> Answer {
        let page = self.page(from).await;
        let body = format!("token={}&{fields}", token(&page.text()));
        let own = [("Origin", HERE), ("Sec-Fetch-Site", "same-origin")];
        self.form(path, &body, &own).await
    }
}

#[tokio::test]
async fn each_sees_what_is_for_their_eyes() {
    let (served, olga, erin) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    let operator = signed_in(&served, &olga).await;
    let manager = signed_in(&served, &erin).await;
    let nobody = Browser {
        served: &served,
        cookie: "x=1".to_owned(),
    };
    let form = nobody.page("/console/persons").await.text();
    assert!(form.contains("id=\"sign-in\"") && !form.contains("erin"));
    for (path, for_operators) in PAGES {
        let page = alice.page(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let text = page.text();
        assert!(page.body.len() < 100 * 1024, "{path}: {}", page.body.len());
        assert!(
            !text.contains("console-"),
            "{path}: a text is missing: {text}"
        );
        assert_eq!(text.matches("<h1>").count(), 1, "{path}");
        let seen = operator.page(path).await;
        let expected = if for_operators { 200 } else { 404 };
        assert_eq!(seen.status, expected, "{path}: {seen:?}");
        assert!(
            for_operators || !seen.text().contains("/console/log"),
            "{path}"
        );
        let refused = manager.page(path).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.text().contains("This console is not for you"));
        assert_eq!(
            nobody.page(path).await.text(),
            form,
            "{path}: the same form"
        );
    }
    // Nobody above an operator is there, by any way.
    let persons = operator.page("/console/persons").await.text();
    assert!(persons.contains("erin") && persons.contains("olga"));
    assert!(!persons.contains("Alice Martin"));
    let keys = operator.page("/console/keys").await.text();
    assert!(keys.contains("erin") && !keys.contains("Alice Martin"));
    let key = format!("/console/keys/{}", served.alice.key);
    let no_key = "/console/keys/0193a5d0-0000-7000-8000-000000000000";
    for (path, nothing) in [
        ("/console/persons/alice", "/console/persons/nobody"),
        ("/console/persons/alice/lineage", "/console/persons/nobody"),
        (&key, no_key),
    ] {
        let hidden = operator.page(path).await;
        let absent = operator.page(nothing).await;
        assert_eq!(
            (hidden.status, hidden.text()),
            (404, absent.text()),
            "{path}"
        );
    }
    assert_eq!(alice.page(&key).await.status, 200);
    assert_eq!(
        operator
            .page(&format!("/console/keys/{}", erin.key))
            .await
            .status,
        200
    );
    let title = "Approvals of the last 90 days";
    let of_erin = format!("/console/keys/{}", erin.key);
    assert!(alice.page(&of_erin).await.text().contains(title));
    assert!(!operator.page(&of_erin).await.text().contains(title));
    // In French as well, and nothing is missing.
    let ask = Ask::new("GET", "/console/persons")
        .header("Cookie", &alice.cookie)
        .header("Accept-Language", "fr");
    let french = served.send(ask).await.text();
    assert!(french.contains("<html lang=\"fr\">") && french.contains("Personnes"));
}

#[tokio::test]
async fn pages_are_framed_by_nobody_and_run_nothing_inline() {
    let (served, ..) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    for (path, _) in PAGES {
        let page = alice.page(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        for rule in [
            "frame-ancestors 'none'",
            "form-action 'self'",
            "script-src 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        let text = page.text();
        for inline in [" style=", " onclick", "<style", "javascript:"] {
            assert!(!text.contains(inline), "{path}: {inline}");
        }
        assert_eq!(text.matches("<script").count(), 1, "{path}");
    }
}

/// Rows written as an import would, so that lists are long and names are odd.
async fn crowd(place: &Place, rows: &[(String, String)]) {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&place.url).await.unwrap();
    for (id, display) in rows {
        sqlx::query("INSERT INTO person (id, display, state, parent, created_ms) VALUES ($1, $2, 'inert', NULL, 0)")
            .bind(id.clone())
            .bind(display.clone())
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("INSERT INTO person_role (person, role) VALUES ($1, 'manager')")
            .bind(id.clone())
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

fn people(count: u32) -> Vec<(String, String)> {
    (0..count)
        .map(|number| (format!("p{number:03}"), format!("Person {number}")))
        .collect()
}

#[tokio::test]
async fn lists_are_searched_and_go_on_and_names_are_only_text() {
    let (served, ..) = served().await;
    let mut rows = people(120);
    rows.push((
        "mallory".to_owned(),
        "<script>alert(1)</script>\u{202e}\"><img src=x>".to_owned(),
    ));
    rows.push(("eloise".to_owned(), "Éloïse Lefèvre".to_owned()));
    rows.push(("percent".to_owned(), "100%_sure".to_owned()));
    crowd(&served.place, &rows).await;
    let alice = signed_in(&served, &served.alice).await;

    // Every page leads to the next; everyone is there once.
    let mut seen = BTreeSet::new();
    let mut path = "/console/persons?role=manager".to_owned();
    for round in 0.. {
        assert!(round < 5, "paging does not end");
        let text = alice.page(&path).await.text();
        for (id, _) in &rows {
            if text.contains(&format!("href=\"/console/persons/{id}\"")) {
                assert!(seen.insert(id.clone()), "{id} twice");
            }
        }
        let Some(next) = text
            .split("href=\"")
            .find(|piece| piece.contains(">Next page<"))
        else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&amp;", "&");
        assert!(path.contains("role=manager"), "{path}");
    }
    assert_eq!(seen.len(), rows.len());

    let found = |text: &str, id: &str| text.contains(&format!("href=\"/console/persons/{id}\""));
    for (query, id) in [
        ("%C3%A9lo%C3%AFse", "eloise"),
        ("LEF", "eloise"),
        ("ALICE", "alice"),
        ("100%25_", "percent"),
        ("p007", "p007"),
    ] {
        let text = alice
            .page(&format!("/console/persons?q={query}"))
            .await
            .text();
        assert!(found(&text, id), "{query}");
        assert!(!found(&text, "p001"), "{query}");
    }
    let none = alice.page("/console/persons?q=%25%25").await.text();
    assert!(none.contains("Nothing matches"));
    // Odd queries are no errors.
    for odd in [
        "?q=%00",
        "?after=%00&state=%00",
        "?state='%20OR%201=1--",
        "?role=%F0%9F%94%91",
    ] {
        let page = alice.page(&format!("/console/persons{odd}")).await;
        assert_eq!(page.status, 200, "{odd}: {page:?}");
    }
    for path in [
        "/console/persons/%00",
        "/console/persons/..%2f..",
        "/console/keys/x",
        "/console/log/99999999",
        "/console/log/-1",
    ] {
        assert_eq!(alice.page(path).await.status, 404, "{path}");
    }
    for path in [
        "/console/persons?q=mallory",
        "/console/persons/mallory",
        "/console/persons/mallory/lineage",
    ] {
        let text = alice.page(path).await.text();
        assert!(text.contains("&lt;script&gt;alert(1)"), "{path}");
        assert!(
            !text.contains("<script>alert") && !text.contains("<img") && !text.contains('\u{202e}'),
            "{path}"
        );
    }
    let quoted = alice.page("/console/persons?q=%22%3E%3Cb%3E").await.text();
    assert!(quoted.contains("value=\"&quot;&gt;&lt;b&gt;\"") && !quoted.contains("\"><b>"));
}

#[tokio::test]
async fn a_file_is_logged_and_runs_in_no_spreadsheet() {
    let (served, olga, _) = served().await;
    let rows = [(
        "mallory".to_owned(),
        "=HYPERLINK(\"http://evil\",\"x\")".to_owned(),
    )];
    crowd(&served.place, &rows).await;
    let alice = signed_in(&served, &served.alice).await;
    for (list, name) in [
        ("persons", "Alice Martin"),
        ("keys", "fido2"),
        ("enrolments", "olga"),
        ("actions", "key.enroll"),
    ] {
        let from = format!("/console/{list}");
        let answer = alice
            .submit(&from, &format!("{from}/export"), "state=")
            .await;
        assert_eq!(answer.status, 200, "{list}: {answer:?}");
        assert!(answer.header("content-type").starts_with("text/csv"));
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"{list}.csv\"")
        );
        assert!(answer.text().starts_with("\u{feff}\"id\","));
        assert!(answer.text().contains(name), "{list}: {}", answer.text());
    }
    let answer = alice
        .submit("/console/persons", "/console/persons/export", "q=mallory")
        .await;
    assert!(
        answer.text().contains("\"'=HYPERLINK(\"\"http"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("Alice"), "only what was searched");
    let operator = signed_in(&served, &olga).await;
    let answer = operator
        .submit("/console/persons", "/console/persons/export", "")
        .await;
    assert!(answer.text().contains("erin") && !answer.text().contains("Alice"));
    let answer = operator
        .submit("/console/persons", "/console/actions/export", "")
        .await;
    assert_eq!(answer.status, 404);

    let entries = log(&served.desk).await;
    assert_eq!(count(&entries, "console.exported"), 6);
    let last = entries
        .iter()
        .rev()
        .find(|entry| entry.kind() == "console.exported")
        .unwrap();
    assert_eq!(last.data()["list"], "persons");
    assert_eq!(last.data()["rows"], 3, "herself, erin, mallory");
    // Another site does not fill the log with them.
    let text = alice.page("/console/persons").await.text();
    let body = format!("token={}", token(&text));
    let forged = alice
        .form(
            "/console/persons/export",
            &body,
            &[("Origin", "https://evil.example")],
        )
        .await;
    problem(&forged, 403, "cross-site");
    assert_eq!(alice.page("/console/persons/export").await.status, 405);
    assert_eq!(count(&log(&served.desk).await, "console.exported"), 6);
}

#[tokio::test]
async fn a_cascade_is_shown_asked_for_and_sealed_by_one_touch() {
    let (served, olga, erin) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    let erins = erin.sign_in(&served.desk, SessionKind::Agent).await;
    let page = alice.page("/console/persons/olga/lineage").await.text();
    for shown in [
        "Olga",
        "olga",
        "erin",
        "Suspend the whole lineage",
        "Open sessions",
        "Live keys",
    ] {
        assert!(
            page.to_lowercase().contains(&shown.to_lowercase()),
            "{shown}"
        );
    }
    let sha256 = page
        .split("name=\"sha256\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let fields = format!("whole=yes&sha256={sha256}");
    // Nothing changes by the click itself.
    let asked = alice
        .submit(
            "/console/persons/olga/lineage",
            "/console/persons/olga/suspend",
            &fields,
        )
        .await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let leads = asked.header("location").to_owned();
    assert!(leads.starts_with("/actions/"), "{leads}");
    assert!(
        alice
            .page("/console/persons/erin")
            .await
            .text()
            .contains(">active<")
    );
    let approval = alice.page(&leads).await.text();
    assert!(
        approval.contains("id=\"approve\"") && approval.contains("href=\"/console/persons/olga\"")
    );
    assert!(approval.contains("Back to the console"));

    let record = served
        .desk
        .action(leads["/actions/".len()..].parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.kind.as_str(), record.state),
        ("person.suspend", State::Pending)
    );
    served.alice.approve(&served.desk, &record).await.unwrap();
    let fallen = alice.page("/console/persons/erin").await.text();
    assert!(
        fallen.contains(">suspended<") && fallen.contains("Ask to bring them back"),
        "{fallen}"
    );
    let session = served.desk.session(&erins).await.unwrap().unwrap();
    assert!(!session.is_active());
    // What was looked at before it changed is not asked for.
    let stale = alice
        .submit(
            "/console/persons/alice/lineage",
            "/console/persons/bob/suspend",
            &fields,
        )
        .await;
    assert_eq!(stale.status, 409, "{stale:?}");
    assert!(stale.text().contains("The lineage has changed"));

    // Back again: two people, from the person's page.
    let back = alice
        .submit(
            "/console/persons/olga",
            "/console/persons/olga/restore",
            "whole=yes",
        )
        .await;
    assert_eq!(back.status, 303, "{back:?}");
    let record = served
        .desk
        .action(
            back.header("location")["/actions/".len()..]
                .parse()
                .unwrap(),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.kind, "person.restore");
    assert!(record.document.contains("\"subtree\":true"));
    drop(olga);
}

#[tokio::test]
async fn each_click_is_an_action_and_the_policy_decides() {
    let (served, olga, erin) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    let operator = signed_in(&served, &olga).await;
    let key = format!("/console/keys/{}", erin.key);
    let clicks = [
        (
            &operator,
            key.as_str(),
            format!("{key}/revoke"),
            "",
            "key.revoke",
            "pending",
        ),
        (
            &operator,
            "/console/persons/erin",
            "/console/persons/erin/suspend".to_owned(),
            "",
            "person.suspend",
            "pending",
        ),
        (
            &alice,
            "/console/persons/erin",
            "/console/persons/erin/facts".to_owned(),
            "fact=training&until=2027-05-31",
            "facts.record",
            "pending",
        ),
        (
            &alice,
            "/console/persons/erin",
            "/console/persons/erin/facts".to_owned(),
            "fact=role:manager&withdraw=yes",
            "facts.record",
            "pending",
        ),
        (
            &operator,
            "/console/persons/erin",
            "/console/persons/erin/facts".to_owned(),
            "fact=training",
            "facts.record",
            "denied",
        ),
    ];
    for (browser, from, path, fields, kind, state) in clicks {
        let asked = browser.submit(from, &path, fields).await;
        assert_eq!(asked.status, 303, "{path}: {asked:?}");
        let id = asked.header("location")["/actions/".len()..]
            .parse()
            .unwrap();
        let record = served.desk.action(id).await.unwrap().unwrap();
        assert_eq!(
            (record.kind.as_str(), record.state.as_str()),
            (kind, state),
            "{path}"
        );
    }
    // Of persons above them operators find nothing to click on, and bad fields ask for nothing.
    let above = operator
        .submit("/console/persons", "/console/persons/alice/suspend", "")
        .await;
    assert_eq!(above.status, 404);
    let above = operator
        .submit(
            "/console/persons",
            &format!("/console/keys/{}/revoke", served.alice.key),
            "",
        )
        .await;
    assert_eq!(above.status, 404);
    for (path, fields) in [
        ("/console/persons/erin/facts", "fact=Not+a+name"),
        (
            "/console/persons/erin/facts",
            "fact=training&until=tomorrow",
        ),
    ] {
        let bad = alice.submit("/console/persons", path, fields).await;
        assert_eq!(bad.status, 400, "{path} {fields}: {bad:?}");
    }
    let waits = alice.page("/console/actions").await.text();
    assert!(waits.contains("key.revoke"), "{waits}");
    assert!(
        !waits.contains("class=\"badge bad\""),
        "what is denied does not wait"
    );
}

#[tokio::test]
async fn one_session_ends_by_a_seal_and_the_others_stay() {
    let (served, olga, erin) = served().await;
    let operator = signed_in(&served, &olga).await;
    let (one, other) = (
        erin.sign_in(&served.desk, SessionKind::Agent).await,
        erin.sign_in(&served.desk, SessionKind::Gate).await,
    );
    let session = served.desk.session(&one).await.unwrap().unwrap();
    let page = operator.page("/console/persons/erin").await.text();
    assert!(
        page.contains(&format!("name=\"id\" value=\"{}\"", session.id)),
        "{page}"
    );
    let path = "/console/persons/erin/sessions";
    let fields = format!("id={}", session.id);
    let asked = operator
        .submit("/console/persons/erin", path, &fields)
        .await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let id = asked.header("location")["/actions/".len()..]
        .parse()
        .unwrap();
    let record = served.desk.action(id).await.unwrap().unwrap();
    assert_eq!(
        (record.kind.as_str(), record.state),
        ("session.end", State::Pending)
    );
    assert!(
        served
            .desk
            .session(&one)
            .await
            .unwrap()
            .unwrap()
            .is_active()
    );
    let done = olga.approve(&served.desk, &record).await.unwrap();
    assert_eq!(done.state, State::Executed);
    assert!(
        !served
            .desk
            .session(&one)
            .await
            .unwrap()
            .unwrap()
            .is_active()
    );
    assert!(
        served
            .desk
            .session(&other)
            .await
            .unwrap()
            .unwrap()
            .is_active()
    );
    let entries = log(&served.desk).await;
    let ended = entries
        .iter()
        .rev()
        .find(|entry| entry.kind() == "session.ended")
        .unwrap();
    assert_eq!(ended.data()["reason"], "by-action");
    // Nobody's who stands above, nobody else's under this name, and none twice.
    let above = served
        .desk
        .session(&served.alice.token)
        .await
        .unwrap()
        .unwrap();
    for fields in [format!("id={}", above.id), fields.clone()] {
        let no = operator
            .submit("/console/persons/erin", path, &fields)
            .await;
        assert_eq!(no.status, 404, "{no:?}");
    }
    let asked = operator.submit("/console/persons/erin", path, "id=x").await;
    assert_eq!(asked.status, 400);
}

#[tokio::test]
async fn forms_cookies_and_sites_of_others_get_nothing() {
    let (served, olga, _) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    let page = alice.page("/console/persons/erin").await.text();
    let own = token(&page).to_owned();
    let path = "/console/persons/erin/suspend";
    let good = format!("token={own}");
    let asked = || async {
        served
            .desk
            .list_actions(
                &Wanted {
                    state: "pending".to_owned(),
                    ..Wanted::default()
                },
                50,
            )
            .await
            .unwrap()
            .len()
    };
    // Another site's form, with or without a token that it cannot have.
    for headers in [
        &[("Origin", "https://evil.example")][..],
        &[("Origin", "null")],
        &[("Origin", HERE), ("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[
            ("Origin", "https://sceau.example.evil.example"),
            ("Sec-Fetch-Site", "same-origin"),
        ],
    ] {
        problem(&alice.form(path, &good, headers).await, 403, "cross-site");
    }
    let same = [("Origin", HERE), ("Sec-Fetch-Site", "same-origin")];
    let operator = signed_in(&served, &olga).await;
    let others = operator.page("/console/persons").await.text();
    for (body, status) in [
        ("whole=no".to_owned(), 400),
        ("token=".to_owned(), 403),
        (format!("token={}", "A".repeat(43)), 403),
        (format!("token={}", token(&others)), 403),
    ] {
        let forged = alice.form(path, &body, &same).await;
        assert_eq!(forged.status, status, "{body}: {forged:?}");
    }
    let json = Ask::new("POST", path)
        .header("Cookie", &alice.cookie)
        .header("Origin", HERE);
    problem(
        &served.send(json.json("{}")).await,
        415,
        "unsupported-media-type",
    );
    assert_eq!(asked().await, 0);

    // A stolen cookie without the page, a cookie of another kind, none at all: no form of theirs counts.
    let agent = Browser {
        served: &served,
        cookie: format!("__Host-sceau-page={}", *served.alice.token),
    };
    for stranger in [
        &agent,
        &Browser {
            served: &served,
            cookie: "x=1".to_owned(),
        },
    ] {
        let answer = stranger.form(path, &good, &same).await;
        assert!(answer.text().contains("id=\"sign-in\""), "{answer:?}");
        assert!(
            stranger
                .page("/console/persons")
                .await
                .text()
                .contains("id=\"sign-in\"")
        );
    }
    // A role that is taken away, and a session that ends, are seen at the next request.
    let erin = served
        .desk
        .person(&"erin".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(erin.state.as_str() == "active");
    let session = served
        .desk
        .session(&operator.cookie["__Host-sceau-page=".len()..])
        .await
        .unwrap()
        .unwrap();
    served
        .desk
        .suspend_session(session.id, "not-me")
        .await
        .unwrap();
    let ended = operator.page("/console/persons").await;
    assert_eq!(ended.status, 403);
    assert!(!ended.text().contains("erin"));
    let left = alice.submit("/console/persons", "/console/leave", "").await;
    assert!(
        left.status == 303 && left.header("set-cookie").contains("Max-Age=0"),
        "{left:?}"
    );
    assert!(
        alice
            .page("/console/persons")
            .await
            .text()
            .contains("id=\"sign-in\"")
    );
    assert!(
        alice
            .form(path, &good, &same)
            .await
            .text()
            .contains("id=\"sign-in\"")
    );
    assert_eq!(asked().await, 0);
}

#[tokio::test]
async fn an_entry_comes_with_a_proof_that_convinces_an_auditor() {
    let (served, ..) = served().await;
    let alice = signed_in(&served, &served.alice).await;
    let page = alice.page("/console/log/5").await.text();
    assert!(
        page.contains("sceau-verify report entry-5.json --log-key")
            && page.contains(&Place::log_vkey().to_string())
    );
    let file = alice.page("/console/log/5/proof.json").await;
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"entry-5.json\""
    );
    let proof: Value = file.json();
    let record: LogRecord = serde_json::from_value(proof["log"].clone()).unwrap();
    let opened = checkpoint::open(record.checkpoint.as_bytes(), &Place::log_vkey(), &[]).unwrap();
    let logged = &record.entries[0];
    assert_eq!(logged.index, 5);
    let leaf = leaf_hash(&logged.leaf);
    verify_inclusion(&leaf, 5, opened.size(), &logged.inclusion, opened.root()).unwrap();
    let entry = Entry::parse(&logged.leaf).unwrap();
    assert_eq!(proof["timeline"][0]["type"], entry.kind());
    let note = alice.page("/console/log/5/checkpoint.txt").await;
    checkpoint::open(note.text().as_bytes(), &Place::log_vkey(), &[]).unwrap();

    // The log is read from its end to its beginning, and what somebody should look at is found.
    let size = served.desk.log_size().await.unwrap();
    let log = alice.page("/console/log").await.text();
    assert!(log.contains(&format!("href=\"/console/log/{}\"", size - 1)));
    let first = alice.page("/console/log?after=10").await.text();
    assert!(
        first.contains("href=\"/console/log/9\"")
            && first.contains("href=\"/console/log/0\"")
            && !first.contains("href=\"/console/log/10\"")
    );
    assert!(
        alice
            .page("/console/alerts")
            .await
            .text()
            .contains("No alert here")
    );
    served
        .desk
        .note(
            "alert.test",
            None,
            json!({"reason": "shown"}).as_object().unwrap().clone(),
        )
        .await
        .unwrap();
    let alerts = alice.page("/console/alerts").await.text();
    assert!(
        alerts.contains("alert.test") && alerts.contains("shown"),
        "{alerts}"
    );
    let policy = alice.page("/console/policy").await.text();
    assert!(
        policy.contains("suspend-and-restore")
            && policy.contains("In force since")
            && policy.contains("by the start of the server")
    );
}

/// What the lists promise on every store: order, search, hidden roles, and going on after the last row.
pub(crate) async fn lists_go_on_where_they_stopped(place: Place) {
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    // Names are in the order of time.
    let later = || place.clock.shift(Duration::seconds(1));
    later();
    let dave = place.invite(&desk, &alice, "dave", "manager").await;
    later();
    place.invitation(&desk, &alice, "eva", "auditor").await;
    let wanted = |words: &str| Wanted {
        words: words.to_owned(),
        ..Wanted::default()
    };
    let ids = |rows: Vec<sceau_server::store::console::PersonRow>| -> Vec<String> {
        rows.iter().map(|row| row.id.to_string()).collect()
    };
    let all = desk.list_persons(&wanted(""), 50).await.unwrap();
    assert_eq!(ids(all.clone()), ["alice", "bob", "dave", "eva"]);
    assert_eq!((all[0].keys, all[3].keys), (1, 0));
    assert_eq!(all[2].roles, [("manager".parse().unwrap(), None)]);
    assert_eq!(all[2].parent, Some(alice.id.clone()));
    let after = Wanted {
        after: "bob".to_owned(),
        ..Wanted::default()
    };
    assert_eq!(ids(desk.list_persons(&after, 1).await.unwrap()), ["dave"]);
    assert_eq!(
        ids(desk.list_persons(&wanted("MARTIN"), 9).await.unwrap()),
        ["alice"]
    );
    assert_eq!(
        ids(desk.list_persons(&wanted("mart_n"), 9).await.unwrap()),
        Vec::<String>::new()
    );
    assert_eq!(
        ids(desk.list_persons(&wanted("mart\u{ee}n"), 9).await.unwrap()),
        ["alice"]
    );
    let narrow = |state: &str, role: &str| Wanted {
        state: state.to_owned(),
        role: role.to_owned(),
        ..Wanted::default()
    };
    assert_eq!(
        ids(desk.list_persons(&narrow("inert", ""), 9).await.unwrap()),
        ["eva"]
    );
    assert_eq!(
        ids(desk.list_persons(&narrow("", "manager"), 9).await.unwrap()),
        ["dave"]
    );
    let hidden = Wanted {
        hidden: vec!["administrator".parse().unwrap()],
        ..Wanted::default()
    };
    assert_eq!(
        ids(desk.list_persons(&hidden, 9).await.unwrap()),
        ["dave", "eva"]
    );
    assert_eq!(desk.list_roles().await.unwrap().len(), 3);

    let keys = desk.list_keys(&Wanted::default(), 9).await.unwrap();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0].id, dave.key, "newest first");
    let older = Wanted {
        after: dave.key.to_string(),
        ..Wanted::default()
    };
    assert_eq!(desk.list_keys(&older, 9).await.unwrap().len(), 2);
    let of_dave = desk.list_keys(&hidden, 9).await.unwrap();
    assert_eq!(
        of_dave.iter().map(|row| row.id).collect::<Vec<_>>(),
        [dave.key]
    );
    assert_eq!(desk.list_keys(&narrow("revoked", ""), 9).await.unwrap(), []);
    let theirs = Wanted {
        person: "bob".to_owned(),
        ..Wanted::default()
    };
    assert_eq!(desk.list_keys(&theirs, 9).await.unwrap()[0].id, bob.key);

    let invitations = desk.list_invitations(&Wanted::default(), 9).await.unwrap();
    assert_eq!(invitations.len(), 4);
    assert_eq!(
        (invitations[0].person.as_str(), invitations[0].state),
        ("eva", "new")
    );
    assert_eq!(invitations[0].asked.as_ref().unwrap().1, alice.id);
    let open = desk.list_invitations(&narrow("open", ""), 9).await.unwrap();
    assert_eq!(open.len(), 1);

    later();
    let record = dave.ask(&desk, "account.create").await.unwrap();
    let pending = desk.list_actions(&narrow("pending", ""), 9).await.unwrap();
    assert_eq!(
        pending.iter().map(|it| it.id).collect::<Vec<_>>(),
        [record.id]
    );
    let every = desk.list_actions(&Wanted::default(), 50).await.unwrap();
    assert!(every.len() > 4 && every[0].id == record.id);
    assert!(every.iter().all(|it| it.kind != "session.open"));

    let falling = desk.falling(&alice.id, 50).await.unwrap();
    let totals = desk.lineage(&alice.id, 50).await.unwrap().unwrap().totals;
    let counted = (
        u64::try_from(falling.sessions.len()).unwrap(),
        u64::try_from(falling.actions.len()).unwrap(),
        u64::try_from(falling.keys.len()).unwrap(),
    );
    assert_eq!(counted, (totals.sessions, totals.actions, totals.keys));
    assert_eq!(desk.falling(&alice.id, 1).await.unwrap().sessions.len(), 1);
    assert!(
        Node::Person(alice.id.clone())
            .to_string()
            .starts_with("person/")
    );

    let session = dave.sign_in(&desk, SessionKind::Gate).await;
    let session = desk.session(&session).await.unwrap().unwrap();
    assert_eq!(desk.list_sessions(&dave.id, 9).await.unwrap().len(), 2);
    let reader = sceau_server::desk::Reader {
        service: "portal".parse().unwrap(),
        person: dave.id.clone(),
        session: session.id,
        budget: Budget {
            records: 10,
            window: Duration::minutes(10),
            roles: Default::default(),
            action: "records.read".to_owned(),
        },
    };
    let found = Found {
        identity: "file-1".to_owned(),
        records: 3,
    };
    desk.count_reading(reader, vec![found]).await.unwrap();
    let since = desk.now() - Duration::minutes(10);
    let portal = "portal".parse().unwrap();
    let readers = desk.list_readers(&portal, since, "", 9).await.unwrap();
    assert_eq!(
        (readers[0].records, readers[0].session),
        (3, Some(session.id))
    );
    assert_eq!(
        desk.list_readers(&portal, since, "dave", 9).await.unwrap(),
        []
    );

    // A restart leaves the policy in force since its first start.
    let first = desk.policy_since().await.unwrap().start.unwrap().index;
    let again = place.desk("b").await.unwrap();
    let since = again.policy_since().await.unwrap();
    assert_eq!((since.start.unwrap().index, since.longer), (first, false));
    let size = again.log_size().await.unwrap();
    let newest = again.log_before(size, 3).await.unwrap();
    assert_eq!(
        newest.iter().map(|it| it.index).collect::<Vec<_>>(),
        [size - 1, size - 2, size - 3]
    );
}
