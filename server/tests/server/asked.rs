use sceau_proof::base64url;
use sceau_proof::log::entry::sha256;
use sceau_server::action::State;
use sceau_server::desk::{
    AskedByService, Desk, DeskError, NewLogin, Polled, Pushed, Returned, SERVICE_TOKEN,
};
use sceau_server::id::ServiceId;
use sceau_server::port::Clock as _;
use sceau_server::provider::level::{Grade, Level};
use sceau_server::store::login::LoginState;
use sceau_server::store::oauth::Way;
use serde_json::json;
use time::Duration;
use zeroize::Zeroizing;

use crate::conformance::{count, log};
use crate::fixture::{Owner, Place, URL};

const BACK: &str = "https://portal.example/back";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

fn id(name: &str) -> ServiceId {
    name.parse().unwrap()
}

async fn push(
    desk: &Desk,
    asks: &Owner,
    kind: &str,
    way: Way,
    levels: Vec<Level>,
) -> Result<Pushed, DeskError> {
    let asked = AskedByService {
        action: asks.wants(kind),
        way,
        levels,
        patience: None,
    };
    desk.push(asked).await
}

/// OAuth's rows on each store, between two instances: a name serves once, for its service, in its time.
pub(crate) async fn what_a_service_asks_for_is_answered_once(place: Place) {
    let (one, two) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, _) = place.found(&one).await;
    let (portal, other) = (id("portal"), id("other"));
    let until = place.clock.now() + Duration::minutes(5);
    assert_eq!(one.take_assertion(&portal, "j", until).await, Ok(true));
    assert_eq!(two.take_assertion(&portal, "j", until).await, Ok(false));
    assert_eq!(two.take_assertion(&other, "j", until).await, Ok(true));

    let token = one.service_token(&portal).await.unwrap();
    assert_eq!(two.service_of(&token).await, Ok(Some(portal.clone())));
    assert_eq!(two.service_of("another").await, Ok(None));

    let redirect = || Way::Redirect {
        redirect_uri: BACK.to_owned(),
        state: Some("s".to_owned()),
        code_challenge: base64url::encode(sha256(VERIFIER.as_bytes())),
        bound: None,
    };
    let Pushed::Open { handle, record, .. } =
        push(&one, &alice, "account.create", redirect(), Vec::new())
            .await
            .unwrap()
    else {
        panic!("denied")
    };
    let begin = async |handle: &str, client: &ServiceId| {
        two.begin_authorization(handle, client, "browser").await
    };
    assert_eq!(begin(&handle, &other).await, Err(DeskError::NotFound));
    assert_eq!(begin("another", &portal).await, Err(DeskError::NotFound));
    let begun = begin(&handle, &portal).await.unwrap();
    assert_eq!(begin(&handle, &portal).await, Err(DeskError::NotFound));
    let (found, shown) = one
        .authorization(begun.id, "browser")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&found, shown.id), (&begun, record.id));
    assert!(
        one.authorization(begun.id, "thief")
            .await
            .unwrap()
            .is_none()
    );
    let back = async |browser: &str| two.return_browser(begun.id, browser).await;
    assert_eq!(back("browser").await.err(), Some(DeskError::StillPending));
    alice.approve(&one, &record).await.unwrap();
    assert_eq!(back("thief").await.err(), Some(DeskError::NotFound));
    let Returned::Code(_, code) = back("browser").await.unwrap() else {
        panic!("no code")
    };
    assert_eq!(back("browser").await.err(), Some(DeskError::AlreadyUsed));
    let redeem = async |desk: &Desk, client: &ServiceId, uri: &str, verifier: &str| {
        desk.redeem_code(&code, client, uri, verifier, None).await
    };
    for (client, uri, verifier) in [
        (&other, BACK, VERIFIER),
        (&portal, "https://portal.example/other", VERIFIER),
        (&portal, BACK, "another"),
    ] {
        assert_eq!(
            redeem(&two, client, uri, verifier).await,
            Err(DeskError::NotFound)
        );
    }
    let permit = redeem(&two, &portal, BACK, VERIFIER).await.unwrap();
    let now = place.clock.now();
    let verified = sceau_proof::permit::verify(&permit, &one.jwks(), URL, "portal", now).unwrap();
    assert_eq!(verified.claims().jti, record.id.0);
    // Shown twice: it was stolen, and ends what it stood for.
    assert_eq!(
        redeem(&one, &portal, BACK, VERIFIER).await,
        Err(DeskError::NotFound)
    );
    let ended = two.action(record.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.refusal.unwrap().reason.as_str()),
        (State::Refused, "code-replayed")
    );

    let Pushed::Open { handle, record, .. } =
        push(&one, &alice, "account.create", Way::Backchannel, Vec::new())
            .await
            .unwrap()
    else {
        panic!("denied")
    };
    assert_eq!(two.poll(&handle, &portal, None).await, Ok(Polled::Pending));
    assert_eq!(one.poll(&handle, &portal, None).await, Ok(Polled::SlowDown));
    assert_eq!(one.poll(&handle, &other, None).await, Ok(Polled::Unknown));
    alice.approve(&two, &record).await.unwrap();
    place.clock.shift(Duration::seconds(11));
    assert!(matches!(
        two.poll(&handle, &portal, None).await,
        Ok(Polled::Granted(_))
    ));
    assert_eq!(one.poll(&handle, &portal, None).await, Ok(Polled::Unknown));

    // What can never reach the level that is asked for leaves nothing behind.
    let size = log(&one).await.len();
    let unreachable = push(
        &one,
        &alice,
        "note.touch",
        Way::Backchannel,
        vec![Level::Eidas3],
    )
    .await;
    assert_eq!(unreachable.err(), Some(DeskError::LevelUnreachable));
    assert_eq!(log(&one).await.len(), size);

    // Their time over, names are free again and tokens are nobody's.
    place.clock.shift(SERVICE_TOKEN);
    assert_eq!(two.service_of(&token).await, Ok(None));
    let until = place.clock.now() + Duration::minutes(5);
    assert_eq!(one.take_assertion(&portal, "j", until).await, Ok(true));
    let entries = log(&two).await;
    for (kind, times) in [
        ("oauth.assertion-replayed", 1),
        ("oauth.requested", 2),
        ("oauth.begun", 1),
        ("oauth.code-issued", 1),
        ("oauth.redeemed", 2),
        ("oauth.code-replayed", 1),
        ("oauth.token-issued", 1),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
}

/// Sign-ins for the federation on each store, between two instances.
pub(crate) async fn a_sign_in_for_the_federation_is_redeemed_once(place: Place) {
    let (one, two) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, bob) = place.found(&one).await;
    let back = "https://federation.example/back";
    let request = json!({"client_id": "federation", "redirect_uri": back, "state": "s", "nonce": "n", "scope": ["openid"],
        "wanted": ["eidas3"], "again": false, "silent": false, "max_age": null, "login_hint": null, "sp_id": null, "sp_name": null,
        "code_challenge": base64url::encode(sha256(VERIFIER.as_bytes())), "sha256": base64url::encode([7; 32])});
    let asks = |person: Option<&Owner>, sealed: bool| NewLogin {
        browser: Zeroizing::new("browser".to_owned()),
        request: serde_json::from_value(request.clone()).unwrap(),
        person: person.map(|owner| owner.id.clone()),
        action: person
            .filter(|_| sealed)
            .map(|owner| owner.wants("account.create")),
    };
    // A name that is nobody's looks like one that is, and comes to nothing.
    let nobody = one
        .open_login(asks(None, false), id("portal"))
        .await
        .unwrap();
    let hour = Duration::hours(1);
    let seal = async |desk: &Desk, login, browser: &str, known| {
        desk.sign_in(login, browser, known, Grade::High, hour)
            .await
            .map(|signed| (signed.login, signed.code))
    };
    assert_eq!(
        seal(&two, nobody.id, "browser", false).await.err(),
        Some(DeskError::StillPending)
    );

    let login = one
        .open_login(asks(Some(&alice), true), id("portal"))
        .await
        .unwrap();
    assert_eq!(
        two.login(login.id, "browser").await.unwrap().as_ref(),
        Some(&login)
    );
    assert_eq!(two.login(login.id, "thief").await.unwrap(), None);
    assert_eq!(
        seal(&two, login.id, "browser", false).await.err(),
        Some(DeskError::StillPending)
    );
    assert_eq!(two.known_browser("browser").await.unwrap(), None);
    let record = two.action(login.action.unwrap()).await.unwrap().unwrap();
    alice.approve(&one, &record).await.unwrap();
    assert_eq!(
        seal(&two, login.id, "thief", false).await.err(),
        Some(DeskError::NotFound)
    );
    let (issued, code) = seal(&two, login.id, "browser", false).await.unwrap();
    let outcome = issued.outcome.clone().unwrap();
    assert_eq!(
        (issued.state, outcome.acr, outcome.authentication.fresh),
        (LoginState::Issued, Level::Eidas3, true)
    );
    assert_eq!(outcome.sealed.unwrap().action, record.id);
    assert_eq!(
        seal(&one, login.id, "browser", false).await.err(),
        Some(DeskError::AlreadyUsed)
    );
    assert_eq!(one.login(login.id, "browser").await.unwrap(), Some(issued));

    let redeem = async |desk: &Desk, client: &str, uri: &str, verifier: Option<&str>| {
        desk.redeem(&code, client, uri, verifier)
            .await
            .map(|redeemed| redeemed.access_token)
    };
    for (client, uri, verifier) in [
        ("another", back, Some(VERIFIER)),
        (
            "federation",
            "https://federation.example/other",
            Some(VERIFIER),
        ),
        ("federation", back, None),
        ("federation", back, Some("another")),
    ] {
        assert_eq!(
            redeem(&two, client, uri, verifier).await.err(),
            Some(DeskError::NotFound)
        );
    }
    let access = redeem(&one, "federation", back, Some(VERIFIER))
        .await
        .unwrap();
    let redeemed = two.redeemed(&access).await.unwrap().unwrap();
    assert_eq!((redeemed.id, redeemed.outcome), (login.id, Some(outcome)));
    assert_eq!(two.redeemed("another").await.unwrap(), None);
    // A second showing takes back what the first gave.
    assert_eq!(
        redeem(&two, "federation", back, Some(VERIFIER)).await.err(),
        Some(DeskError::NotFound)
    );
    assert_eq!(one.redeemed(&access).await.unwrap(), None);

    // The browser is known now, to its person, for a lower level; until it is forgotten, or its key falls.
    let known = two.known_browser("browser").await.unwrap().unwrap();
    assert_eq!(
        (known.person, known.key, known.pin),
        (alice.id.clone(), alice.key, true)
    );
    let theirs = two
        .open_login(asks(Some(&bob), false), id("portal"))
        .await
        .unwrap();
    assert_eq!(
        seal(&one, theirs.id, "browser", true).await.err(),
        Some(DeskError::Forbidden)
    );
    let hers = two
        .open_login(asks(Some(&alice), false), id("portal"))
        .await
        .unwrap();
    let (again, _) = seal(&one, hers.id, "browser", true).await.unwrap();
    let outcome = again.outcome.unwrap();
    assert_eq!(
        (outcome.acr, outcome.authentication.fresh, outcome.sealed),
        (Level::Eidas2, false, None)
    );
    two.forget_browser("browser").await.unwrap();
    assert_eq!(one.known_browser("browser").await.unwrap(), None);
    let late = one
        .open_login(asks(Some(&alice), false), id("portal"))
        .await
        .unwrap();
    place.clock.shift(Duration::minutes(11));
    assert_eq!(
        seal(&two, late.id, "browser", true).await.err(),
        Some(DeskError::Expired)
    );
    // Days later what is over is forgotten.
    place.clock.shift(Duration::days(2));
    one.open_login(asks(Some(&alice), false), id("portal"))
        .await
        .unwrap();
    assert_eq!(two.login(login.id, "browser").await.unwrap(), None);
    let entries = log(&two).await;
    for (kind, times) in [
        ("action.consumed", 1),
        ("provider.signed-in", 2),
        ("provider.redeemed", 1),
        ("provider.code-replayed", 1),
        ("provider.signed-out", 1),
    ] {
        assert_eq!(count(&entries, kind), times, "{kind}");
    }
}

/// Streams of signals on each store: opened, changed, asked for proof and closed, whichever instance is asked.
pub(crate) async fn a_receivers_stream_is_one_for_all_instances(place: Place) {
    use sceau_server::desk::StreamChange;
    use sceau_server::lineage::Node;
    use sceau_server::signal::Delivery;
    let (one, two) = (
        place.desk("a").await.unwrap(),
        place.desk("b").await.unwrap(),
    );
    let (alice, bob) = place.found(&one).await;
    let portal = id("portal");
    let node = |owner: &Owner| Node::Person(owner.id.clone());
    assert_eq!(one.signal_stream(&portal).await, Ok(None));
    assert_eq!(
        one.exclude_subject(portal.clone(), node(&alice), true)
            .await,
        Err(DeskError::NotFound)
    );
    let opened = one
        .open_signal_stream(
            portal.clone(),
            Delivery::Poll,
            Vec::new(),
            Some("ours".to_owned()),
        )
        .await
        .unwrap();
    assert_eq!(two.signal_stream(&portal).await, Ok(Some(opened.clone())));
    let again = two
        .open_signal_stream(portal.clone(), Delivery::Poll, Vec::new(), None)
        .await;
    assert_eq!(again.err(), Some(DeskError::AlreadyUsed));
    let change = StreamChange {
        description: Some(Some("theirs".to_owned())),
        ..StreamChange::default()
    };
    let changed = two
        .change_signal_stream(portal.clone(), change)
        .await
        .unwrap();
    assert_eq!(
        (changed.id, changed.description.as_deref()),
        (opened.id, Some("theirs"))
    );
    assert_eq!(one.signal_stream(&portal).await, Ok(Some(changed)));
    for (owner, out) in [(&alice, true), (&bob, true), (&bob, false), (&alice, true)] {
        two.exclude_subject(portal.clone(), node(owner), out)
            .await
            .unwrap();
    }
    one.verify_signal_stream(portal.clone(), Some("x".to_owned()))
        .await
        .unwrap();
    assert!(matches!(
        two.verify_signal_stream(portal.clone(), None).await,
        Err(DeskError::Limited { .. })
    ));
    two.close_signal_stream(portal.clone()).await.unwrap();
    assert_eq!(one.signal_stream(&portal).await, Ok(None));
    assert_eq!(
        one.close_signal_stream(portal).await.err(),
        Some(DeskError::NotFound)
    );
}

/// The statements of the store's own sources, as PostgreSQL would log them: in pieces, where a part is put in.
pub(crate) fn statements() -> Vec<(String, Vec<String>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let code: String = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        for text in literals(&code) {
            let is_sql = [
                "SELECT ",
                "INSERT INTO ",
                "UPDATE ",
                "DELETE FROM ",
                "WITH ",
            ]
            .iter()
            .any(|word| text.starts_with(word));
            if is_sql {
                let pieces = text
                    .split(['{', '}'])
                    .step_by(2)
                    .map(|piece| piece.trim().to_owned());
                found.push((
                    name.clone(),
                    pieces.filter(|piece| !piece.is_empty()).collect(),
                ));
            }
        }
    }
    found
}

/// The string literals of Rust source, white space collapsed.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = code.chars();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let raw = before == 'r';
        before = letter;
        if letter != '"' {
            continue;
        }
        let mut text = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' if !raw => match letters.next() {
                    Some('"') => text.push('"'),
                    _ => text.push(' '),
                },
                letter => text.push(letter),
            }
        }
        found.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    found
}

#[test]
fn statements_are_found_in_the_sources() {
    let all = statements();
    assert!(all.len() > 100, "{}", all.len());
    assert!(all.iter().any(|(file, pieces)| file == "oauth.rs"
        && pieces.concat() == "DELETE FROM oauth_token WHERE until_ms < $1"));
}
