use std::time::Duration;

use sceau_server::desk::DeskError;
use sceau_server::id::ActionId;

use crate::house::{House, Plan};
use crate::wire::Ask;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_counts_only_once_the_key_has_sealed_it() {
    let house = House::start().await;
    let opened = house
        .send(&Ask::new("POST", "/.sceau/session").json(r#"{"person":"alice"}"#))
        .await;
    let set = opened.header("set-cookie").to_owned();
    assert!(
        set.starts_with("sceau=")
            && set.contains("; HttpOnly")
            && set.contains("; SameSite=Lax")
            && set.contains("; Path=/")
    );
    let cookie = set.split(';').next().unwrap().to_owned();
    let state = Ask::new("GET", "/.sceau/session").header("Cookie", &cookie);
    assert_eq!(
        house.send(&state).await.json(),
        serde_json::json!({"state":"pending","person":null})
    );
    let held = Ask::new("POST", "/accounts")
        .header("Cookie", &cookie)
        .json("{}");
    assert_eq!(house.send(&held).await.json()["code"], "sign-in-needed");
    let id: ActionId = opened.json()["action_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let record = house.desk.action(id).await.unwrap().unwrap();
    let waiting = {
        let (address, bytes) = (
            house.address,
            Ask::new("GET", "/.sceau/session?wait=20")
                .header("Cookie", &cookie)
                .bytes(&house.host()),
        );
        tokio::spawn(async move { crate::wire::raw(address, &bytes).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    house.alice.approve(&house.desk, &record).await;
    let active = tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        active.json(),
        serde_json::json!({"state":"active","person":"alice"})
    );
    let ended = house
        .send(&Ask::new("DELETE", "/.sceau/session").header("Cookie", &cookie))
        .await;
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(house.send(&state).await.json()["state"], "ended");
    assert!(house.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_session_is_refused_at_its_next_request() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let read = Ask::new("GET", "/list").header("Cookie", &cookie);
    assert_eq!(house.send(&read).await.status, 200);
    let token = cookie.split("sceau=").nth(1).unwrap();
    let session = house.desk.session(token).await.unwrap().unwrap();
    house
        .desk
        .suspend_session(session.id, "test")
        .await
        .unwrap();
    for ask in [
        read,
        Ask::new("POST", "/accounts")
            .header("Cookie", &cookie)
            .json("{}"),
        Ask::new("POST", "/login").header("Cookie", &cookie),
    ] {
        let answer = house.send(&ask).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().unwrap()),
            (403, "session-suspended")
        );
    }
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_while_the_request_waits_stops_it() {
    let house = House::start().await;
    let cookie = house.sign_in(&house.alice).await;
    let bytes = Ask::new("DELETE", "/accounts/7")
        .header("Cookie", &cookie)
        .bytes(&house.host());
    let address = house.address;
    let asking = tokio::spawn(async move { crate::wire::raw(address, &bytes).await });
    let record = house.next_action(&house.alice).await;
    house
        .desk
        .suspend_session(record.session.unwrap(), "test")
        .await
        .unwrap();
    // The gate ends what the session asked for; a touch that comes before that changes nothing.
    let touched = house.alice.try_approve(&house.desk, &record).await;
    assert!(
        matches!(touched, Ok(_) | Err(DeskError::AlreadySettled(_))),
        "{touched:?}"
    );
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(house.upstream.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_and_odd_bodies_open_no_session() {
    let house = House::start().await;
    let person = r#"{"person":"alice"}"#;
    for (ask, status) in [
        (
            Ask::new("POST", "/.sceau/session")
                .json(person)
                .header("Origin", "https://evil.test"),
            403,
        ),
        (
            Ask::new("POST", "/.sceau/session")
                .json(person)
                .header("Sec-Fetch-Site", "cross-site"),
            403,
        ),
        (
            Ask::new("POST", "/.sceau/session").form("person=alice"),
            400,
        ),
        (
            Ask::new("POST", "/.sceau/session").body("text/plain", person.as_bytes()),
            400,
        ),
        (Ask::new("POST", "/.sceau/session").json("{}"), 400),
        (
            Ask::new("POST", "/.sceau/session")
                .json(&format!(r#"{{"person":"{}"}}"#, "x".repeat(5_000))),
            400,
        ),
        (
            Ask::new("POST", "/.sceau/session").json(r#"{"person":"nobody"}"#),
            403,
        ),
        (Ask::new("POST", "/.sceau/elsewhere"), 404),
        (
            Ask::new(
                "GET",
                "/.sceau/actions/0193500a-7d00-7000-8000-00000000000a",
            ),
            401,
        ),
    ] {
        let answer = house.send(&ask).await;
        assert_eq!(answer.status, status, "{ask:?}");
        assert!(answer.header("set-cookie").is_empty());
    }
    assert!(house.upstream.seen().is_empty());
    assert!(!house.is_asked(&house.alice).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_speak_two_languages_and_lead_back_only_home() {
    let house = House::start().await;
    let page = |next: &str, language: &str| {
        Ask::new("GET", &format!("/.sceau/sign-in?next={next}"))
            .header("Accept-Language", language)
            .header("Accept", "text/html")
    };
    let french = house
        .send(&page("/list%3Fpage%3D2", "fr-FR,fr;q=0.9"))
        .await
        .text();
    assert!(
        french.contains("<html lang=\"fr\">") && french.contains("data-next=\"/list?page=2\""),
        "{french}"
    );
    let english = house
        .send(&page("https%3A%2F%2Fevil.test", "en"))
        .await
        .text();
    assert!(
        english.contains("<html lang=\"en\">") && english.contains("data-next=\"/\""),
        "{english}"
    );
    for (path, kind) in [
        ("/.sceau/page.js", "text/javascript"),
        ("/.sceau/page.css", "text/css"),
    ] {
        let answer = house.send(&Ask::new("GET", path)).await;
        assert!(answer.status == 200 && answer.header("content-type").starts_with(kind));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_auth_decides_without_seeing_the_body() {
    let house = House::plan(Plan {
        head: "forward_auth = true".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let verify = |method: &str, uri: &str| {
        Ask::new("GET", "/gate/verify")
            .header("X-Original-Method", method)
            .header("X-Original-URI", uri)
    };
    let mine = |method: &str, uri: &str| verify(method, uri).header("Cookie", &cookie);
    let read = house.send(&mine("GET", "/list")).await;
    assert_eq!((read.status, read.header("sceau-person")), (204, "alice"));
    assert_eq!(house.send(&verify("POST", "/login")).await.status, 204);
    assert_eq!(
        house.send(&verify("DELETE", "/accounts/7")).await.status,
        401
    );
    for (method, uri) in [
        ("POST", "/accounts"),
        ("PUT", "/else"),
        ("PATCH", "/accounts/7"),
    ] {
        let answer = house.send(&mine(method, uri)).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().unwrap()),
            (403, "use-the-proxy"),
            "{method} {uri}"
        );
    }
    for (method, uri) in [
        ("DELETE", "/accounts/07"),
        ("DELETE", "/Accounts/7"),
        ("GET", "/a/../b"),
        ("PURGE", "/x"),
    ] {
        assert_eq!(
            house.send(&mine(method, uri)).await.status,
            403,
            "{method} {uri}"
        );
    }
    let asked = house.send(&mine("DELETE", "/accounts/7")).await;
    assert_eq!(asked.status, 401);
    let id = asked.header("sceau-action").to_owned();
    let named = mine("DELETE", "/accounts/7").header("Sceau-Action", &id);
    assert_eq!(house.send(&named).await.status, 401);
    let record = house.sealed(&id).await;
    assert_eq!(
        house
            .send(&mine("DELETE", "/accounts/8").header("Sceau-Action", &id))
            .await
            .status,
        409
    );
    let passed = house.send(&named).await;
    assert_eq!(passed.status, 204);
    assert!(passed.header("sceau-permit").split('.').count() == 3);
    assert_eq!(house.send(&named).await.status, 403);
    assert_eq!(house.state(record.id).await, "consumed");
    assert!(house.upstream.seen().is_empty());
}

/// The gate ends TLS itself: its cookie is then bound to the host, and HTTP/2 and 1.1 are both offered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    use rustls::pki_types::{CertificateDer, ServerName};
    use sceau_server::gate::{Gate, GateError, Settings, TlsFiles};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let house = House::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = house.folder.path();
    let certified = rcgen::generate_simple_self_signed(vec!["portal.test".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    std::fs::write(&files.certificate, certified.cert.pem()).unwrap();
    std::fs::write(&files.key, certified.signing_key.serialize_pem()).unwrap();
    let routes = vec![folder.join("routes.toml")];
    let settings = Settings {
        listen: address,
        routes,
        tls: Some(files),
        behind_tls: false,
        login: None,
    };
    let gate = Gate::new(house.desk.clone(), &settings).unwrap();
    tokio::spawn(gate.serve(listener, std::future::pending()));

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from(certified.cert.der().to_vec()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("portal.test").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let ask = Ask::new("POST", "/.sceau/session")
        .header("Origin", "https://portal.test")
        .json(r#"{"person":"alice"}"#);
    stream.write_all(&ask.bytes("portal.test")).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = crate::wire::parse(&answer);
    assert_eq!(answer.status, 201, "{answer:?}");
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-sceau=")
            && cookie.ends_with("; Secure")
            && !cookie.contains("Domain")
    );

    let open = Settings {
        listen: "0.0.0.0:0".parse().unwrap(),
        tls: None,
        ..settings.clone()
    };
    assert_eq!(open.check().unwrap_err(), GateError::PlainOutsideLoopback);
    let twice = Settings {
        routes: [&settings.routes[..], &settings.routes[..]].concat(),
        ..settings.clone()
    };
    assert!(matches!(twice.check(), Err(GateError::SameHost(_))));
    std::fs::write(folder.join("tls.key"), "nothing").unwrap();
    assert!(matches!(settings.check(), Err(GateError::Tls(_))));
}
