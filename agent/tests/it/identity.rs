//! Charter: only the configured server is believed (attack 24), whatever name, certificate or relying party another one shows.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sceau_proof::base64url;
use serde_json::Value;

use crate::relay::{Relay, Wire};
use crate::workstation::Workstation;

fn certificate() -> (CertificateDer<'static>, KeyPair) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (cert.der().clone(), signing_key)
}

fn pin(key: &KeyPair) -> String {
    use rcgen::PublicKeyData;
    base64url::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        &key.subject_public_key_info(),
    ))
}

fn relay(certificate: &CertificateDer<'static>, key: &KeyPair) -> Relay {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.clone()], key)
    .unwrap();
    let config = Arc::new(config);
    Relay::start_with(move |mut stream: TcpStream| {
        let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        tls.complete_io(&mut stream).ok()?;
        Some(Box::new(StreamOwned::new(tls, stream)) as Box<dyn Wire>)
    })
}

fn workstation(relay: &Relay, more: &str) -> Workstation {
    let url = format!("https://{}", relay.address);
    Workstation::new(&format!("server = \"{url}\"\n{more}"))
        .signed_in(&url)
        .start()
}

fn is_connected(status: &Value) -> bool {
    status["inbox"] == "connected"
}

fn is_not_ours(status: &Value) -> bool {
    status["inbox"] == "lost"
        && status["reason"]
            .as_str()
            .is_some_and(|reason| reason.starts_with("this is not the configured server"))
}

#[test]
fn server_is_believed_by_its_pinned_key_alone() {
    let (ours, key) = certificate();
    let relay = relay(&ours, &key);
    workstation(&relay, &format!("spki_sha256 = [\"{}\"]", pin(&key)))
        .await_status("connected", is_connected);

    let other = pin(&certificate().1);
    let refused = workstation(&relay, &format!("spki_sha256 = [\"{other}\"]"));
    refused.await_status("refused", is_not_ours);
}

#[test]
fn server_is_believed_by_the_configured_authority_alone() {
    let (ours, key) = certificate();
    let relay = relay(&ours, &key);
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, certificate: &CertificateDer<'_>| {
        let path = place.path().join(name);
        let base64 =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
        std::fs::write(
            &path,
            format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"),
        )
        .unwrap();
        format!("ca_file = \"{}\"", path.display())
    };
    workstation(&relay, &file("ours.pem", &ours)).await_status("connected", is_connected);
    workstation(&relay, &file("other.pem", &certificate().0))
        .await_status("another authority", is_not_ours);
    let both = format!(
        "{}\nspki_sha256 = [\"{}\"]",
        file("ours.pem", &ours),
        pin(&certificate().1)
    );
    workstation(&relay, &both).await_status("right authority, wrong key", is_not_ours);
}

#[test]
fn server_of_another_relying_party_gets_no_further_than_its_greeting() {
    let relay = Relay::start();
    relay.pose_as("evil.example");
    relay.propose(&crate::relay::action(
        "account.create",
        "alice",
        60,
        serde_json::json!({}),
    ));
    let workstation = Workstation::new(&format!("server = \"{}\"", relay.url()))
        .signed_in(&relay.url())
        .start();
    workstation.await_status("refused", is_not_ours);
    assert_eq!(
        workstation.json(&["status", "--json"])["pending"],
        serde_json::json!([])
    );
}

#[test]
fn session_of_one_server_is_never_sent_to_another() {
    let relay = Relay::start();
    let workstation = Workstation::new(&format!("server = \"{}\"", relay.url()))
        .signed_in("https://sceau.example")
        .start();
    workstation.await_status("signed out", |status| status["inbox"] == "signed-out");
    assert_eq!(relay.requests("/"), 0);
}
