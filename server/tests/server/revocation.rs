use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sceau_server::key::KeyState;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::card::{Authority, Card, GOOD, Kind, Says};
use crate::conformance::{count, log};
use crate::fixture::AGENT;
use crate::piv::{House, NEVER, now, shown};
use crate::wire::problem;

const SERIAL: i64 = 0x1234;

fn free() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Reads one request; its body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.shutdown().await;
}

/// OpenSSL's responder for an administration, behind a web server of the test's.
struct Responder {
    folder: tempfile::TempDir,
    asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

/// What `openssl ocsp` is to say of the card.
const VALID: &str = "V\t991231235959Z\t\t1234\tunknown\t/CN=Camille Durand\n";
const REVOKED: &str = "R\t991231235959Z\t260101000000Z\t1234\tunknown\t/CN=Camille Durand\n";
const STRANGE: &str = "V\t991231235959Z\t\t99\tunknown\t/CN=Other\n";

impl Responder {
    /// Answers for `of`, signed by `signer`.
    fn start(listener: TcpListener, of: &Authority, signer: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("ca.pem", &of.pem);
        write("signer.pem", &signer.pem);
        write("signer.key", &signer.key_pem());
        write("index.txt", VALID);
        let (place, asked) = (folder.path().to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(body) = request(&mut stream).await else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream, &openssl(&place, &body)).await;
            }
        });
        Self {
            folder,
            asked,
            serving,
        }
    }

    fn says(&self, index: &str) {
        std::fs::write(self.folder.path().join("index.txt"), index).unwrap();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn openssl(place: &Path, request: &[u8]) -> Vec<u8> {
    std::fs::write(place.join("request.der"), request).unwrap();
    let made = Command::new("openssl")
        .args(["ocsp", "-index", "index.txt", "-CA", "ca.pem"])
        .args(["-rsigner", "signer.pem", "-rkey", "signer.key"])
        .args(["-reqin", "request.der", "-respout", "answer.der"])
        .args(["-nmin", "5"])
        .current_dir(place)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(place.join("answer.der")).unwrap()
}

/// A house whose issuer is judged by a responder at this port, at the machine's own time (OpenSSL knows no other).
async fn house(port: u16, more: &str) -> House {
    let issuer = format!("ocsp = [\"http://127.0.0.1:{port}/\"]\n{more}");
    House::placed(
        "",
        |_| issuer,
        |place| {
            place.clock.shift(OffsetDateTime::now_utc() - now());
        },
    )
    .await
}

fn card(house: &House) -> Card {
    Card::issued(&house.administration, SERIAL, NEVER)
}

async fn refusal(house: &House) -> String {
    let opened = house.opened("carl", "manager").await;
    let response = shown(&card(house), &opened.challenge, AGENT);
    house.refused(&opened, response).await
}

#[tokio::test]
async fn a_responder_decides_at_enrolment_and_at_each_approval() {
    let (listener, port) = free();
    let house = house(port, "ocsp_nonce = true").await;
    assert_eq!(refusal(&house).await, "ocsp-missing", "nobody answers yet");
    house.served.place.clock.shift(Duration::minutes(1));
    let responder = Responder::start(listener, &house.administration, &house.administration);
    responder.says(STRANGE);
    let opened = house.opened("carl", "manager").await;
    let card = card(&house);
    let response = shown(&card, &opened.challenge, AGENT);
    let reason = house.refused(&opened, response).await;
    assert_eq!(reason, "certificate-unknown");

    house.served.place.clock.shift(Duration::minutes(1));
    responder.says(VALID);
    let carl = house.enrol("dana", "manager", card).await;
    let first = house.wanted("note.write", "dana").await;
    let asked = responder.asked();
    assert_eq!(house.seal(&carl, &first).await.status, 200);
    assert_eq!(responder.asked(), asked, "the answer of this minute counts");

    responder.says(REVOKED);
    house.served.place.clock.shift(Duration::minutes(1));
    let action = house.wanted("note.write", "dana").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "certificate-revoked");
    // Judged again with all others, the key itself falls.
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 1);
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 0);
    let keys = house
        .served
        .desk
        .suspended_keys(&"dana".parse().unwrap())
        .await;
    let keys = keys.unwrap();
    assert_eq!(keys[0].state, KeyState::Suspended);
    assert_eq!(keys[0].state_reason.as_deref(), Some("certificate-revoked"));
    responder.serving.abort();
}

#[tokio::test]
async fn a_responder_that_falls_silent_is_believed_only_while_its_answer_is_of_this_time() {
    let (listener, port) = free();
    let house = house(port, "").await;
    let responder = Responder::start(listener, &house.administration, &house.administration);
    let carl = house.enrol("carl", "manager", card(&house)).await;
    responder.serving.abort();
    let _ = responder.serving.await;
    house.served.place.clock.shift(Duration::minutes(3));
    let action = house.wanted("note.write", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
    // OpenSSL promised another within five minutes.
    house.served.place.clock.shift(Duration::minutes(4));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "ocsp-not-fresh");
    // What cannot be known condemns nobody.
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 0);
}

#[tokio::test]
async fn rejects_the_answer_of_a_stranger() {
    let (listener, port) = free();
    let house = house(port, "").await;
    let stranger = Authority::root("AC Cartes 2");
    let responder = Responder::start(listener, &house.administration, &stranger);
    assert_eq!(refusal(&house).await, "ocsp-responder-not-authorized");
    responder.serving.abort();
}

#[tokio::test]
async fn rejects_the_answer_of_a_certificate_that_was_not_made_for_answering() {
    let (listener, port) = free();
    let house = house(port, "").await;
    let server = house.administration.below("Web server");
    let responder = Responder::start(listener, &house.administration, &server);
    assert_eq!(refusal(&house).await, "ocsp-responder-not-authorized");
    responder.serving.abort();
}

/// Serves whatever `body` holds over TLS, with a certificate of a root that nobody knows but by its file.
fn serve_https(
    listener: TcpListener,
    root: &Authority,
    body: Arc<Mutex<Vec<u8>>>,
) -> tokio::task::JoinHandle<()> {
    let (chain, key) = root.web_server("127.0.0.1");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![chain.into()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            if request(&mut stream).await.is_some() {
                let body = body.lock().unwrap().clone();
                answer(&mut stream, &body).await;
            }
        }
    })
}

fn kept(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn a_list_comes_over_https_and_is_kept_on_the_disk_until_it_is_too_old() {
    let (listener, port) = free();
    let (web, folder) = (Authority::root("Web"), tempfile::tempdir().unwrap());
    let roots = folder.path().join("web.pem");
    std::fs::write(&roots, &web.pem).unwrap();
    let cache = folder.path().join("kept");
    let body = Arc::new(Mutex::new(Vec::new()));
    let lines = format!("web_roots = {roots:?}\ncache = {cache:?}");
    let issuer = format!("crl = [\"https://127.0.0.1:{port}/cards.crl\"]\ncrl_max_age = \"40m\"");
    let mut house = House::with(&lines, |_| issuer).await;
    *body.lock().unwrap() = house.administration.crl(&[], now(), 2);
    let serving = serve_https(listener, &web, Arc::clone(&body));
    let carl = house.enrol("carl", "manager", card(&house)).await;
    assert_eq!(kept(&cache).len(), 1);

    // The address dies, and the server is started anew: the copy is there.
    serving.abort();
    let _ = serving.await;
    house.restart().await;
    house.served.place.clock.shift(Duration::minutes(20));
    let action = house.wanted("note.write", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
    house.served.place.clock.shift(Duration::minutes(21));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-not-fresh");
    // A copy that somebody changed is none.
    std::fs::write(&kept(&cache)[0], b"0junk").unwrap();
    house.restart().await;
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-missing");
}

#[tokio::test]
async fn a_web_server_of_an_unknown_root_gives_no_list() {
    let (listener, port) = free();
    let web = Authority::root("Web");
    let issuer = format!("crl = [\"https://127.0.0.1:{port}/cards.crl\"]");
    let house = House::with("", |_| issuer).await;
    let list = house.administration.crl(&[], now(), 2);
    let serving = serve_https(listener, &web, Arc::new(Mutex::new(list)));
    assert_eq!(refusal(&house).await, "crl-missing");
    serving.abort();
}

/// The standing of a person's only key.
async fn reason(house: &House, person: &str) -> Option<String> {
    let person = person.parse().unwrap();
    let keys = house.served.desk.suspended_keys(&person).await.unwrap();
    keys.first()?.state_reason.clone()
}

#[tokio::test]
async fn enrolled_cards_fall_when_what_is_asked_of_cards_tightens() {
    let lines = "touch = [\"always\", \"cached\"]";
    let mut house = House::with(lines, |crl| format!("crl = [{crl:?}]")).await;
    let cached = house.maker.card(Kind::P256, Says { touch: 3, ..GOOD });
    let carl = house.enrol("carl", "manager", cached).await;
    house
        .enrol("dana", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    house.enrol("emil", "manager", card(&house)).await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 0);
    let action = house.wanted("account.create", "carl").await;

    // One touch is no longer good for fifteen seconds.
    let piv = house.served.place.piv.as_mut().unwrap();
    piv.touch = vec!["always".to_owned()];
    house.restart().await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 1);
    assert_eq!(
        reason(&house, "carl").await.as_deref(),
        Some("touch-policy-cached")
    );
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    let log = log(&house.served.desk).await;
    assert_eq!(count(&log, "key.suspended"), 1);
    assert_eq!(count(&log, "alert.key-fallen"), 1);

    // The issuer's certificate is exchanged for another one's.
    let other = Authority::root("AC Autre");
    std::fs::write(house.folder.path().join("cards.pem"), &other.pem).unwrap();
    house.restart().await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 1);
    assert_eq!(
        reason(&house, "emil").await.as_deref(),
        Some("unknown-root")
    );

    // The maker is believed no more.
    let impostor = Authority::root("Test Cards Root");
    std::fs::write(house.folder.path().join("roots/maker.pem"), &impostor.pem).unwrap();
    house.restart().await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 1);
    assert_eq!(
        reason(&house, "dana").await.as_deref(),
        Some("chain-signature-invalid")
    );
}

#[tokio::test]
async fn a_certificate_that_ends_or_is_revoked_takes_its_key_along() {
    let house = House::start().await;
    let until = now() + Duration::minutes(10);
    let short = Card::issued(&house.administration, 7, until);
    house.enrol("carl", "manager", short).await;
    house.enrol("dana", "manager", card(&house)).await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 0);
    house.served.place.clock.shift(Duration::minutes(11));
    // All keys are judged by the day, too; without metadata that is the cards.
    assert_eq!(house.served.desk.judge_keys().await.unwrap(), 1);
    assert_eq!(
        reason(&house, "carl").await.as_deref(),
        Some("certificate-expired")
    );
    house.revoke(&[SERIAL], now());
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 1);
    assert_eq!(
        reason(&house, "dana").await.as_deref(),
        Some("certificate-revoked")
    );
}

#[tokio::test]
async fn a_list_that_is_gone_condemns_nobody() {
    let mut house = House::start().await;
    house.enrol("carl", "manager", card(&house)).await;
    std::fs::remove_file(house.folder.path().join("cards.crl")).unwrap();
    house.restart().await;
    assert_eq!(house.served.desk.judge_cards().await.unwrap(), 0);
    let log = log(&house.served.desk).await;
    assert_eq!(count(&log, "key.suspended"), 0);
}
