//! Charter: cards that only a PKCS #11 module reads, with a real module (SoftHSM 2) and OpenSC's tool as the card office.

use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, DnType, KeyPair, KeyUsagePurpose};

use crate::card::{approvals, approve, cards, config, consent, end, enroll, pending, propose};
use crate::relay::Relay;
use crate::workstation::Workstation;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// What `enroll` and `approve` type.
const PIN: &str = crate::card::PIN;

/// A token with Alice's key and certificate for signatures, and another pair for encryption; `None` (and a word) without SoftHSM.
struct Token(tempfile::TempDir);

impl Token {
    fn make(key: &KeyPair) -> Option<Self> {
        if !Path::new(MODULE).exists() {
            eprintln!("SKIPPED: {MODULE} is not there (Debian's softhsm2)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let token = Self(folder);
        let conf = format!("directories.tokendir = {}\n", token.path("tokens"));
        std::fs::write(token.path("softhsm2.conf"), conf).unwrap();
        let init = [
            "--init-token",
            "--free",
            "--label",
            "Alice",
            "--so-pin",
            "12345678",
        ];
        token.run("softhsm2-util", &[&init[..], &["--pin", PIN]].concat());
        token.pair("a1", key, KeyUsagePurpose::DigitalSignature);
        let other = KeyPair::generate().unwrap();
        token.pair("b2", &other, KeyUsagePurpose::KeyAgreement);
        Some(token)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, words: &[&str]) {
        let out = Command::new(program)
            .args(words)
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{program} {words:?}: {out:?}");
    }

    fn pair(&self, id: &str, key: &KeyPair, usage: KeyUsagePurpose) {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Alice Martin");
        parameters.key_usages = vec![usage];
        let certificate = parameters.self_signed(key).unwrap();
        let (pem, der) = (self.path("key.pem"), self.path("certificate.der"));
        std::fs::write(&pem, key.serialize_pem()).unwrap();
        std::fs::write(&der, certificate.der()).unwrap();
        let import = [
            "--import", &pem, "--token", "Alice", "--label", id, "--id", id,
        ];
        self.run("softhsm2-util", &[&import[..], &["--pin", PIN]].concat());
        let write = [
            "--module",
            MODULE,
            "--login",
            "--pin",
            PIN,
            "--write-object",
            &der,
        ];
        let kind = ["--type", "cert", "--label", id, "--id", id];
        self.run("pkcs11-tool", &[&write[..], &kind].concat());
    }

    fn workstation(&self, relay: &Relay) -> Workstation {
        let module = format!(
            "{}\n[pkcs11]\nmodule = \"{MODULE}\"\nenvironment = {{ SOFTHSM2_CONF = \"{}\" }}",
            config(relay),
            self.path("softhsm2.conf")
        );
        let workstation = Workstation::new(&module).signed_in(&relay.url()).start();
        cards(&workstation, 1);
        workstation
    }
}

#[test]
fn a_card_that_a_module_reads_enrols_by_its_certificate_and_seals() {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    for key in [KeyPair::generate().unwrap(), rsa.unwrap()] {
        let Some(token) = Token::make(&key) else {
            return;
        };
        let relay = Relay::start();
        let workstation = token.workstation(&relay);
        enroll(&workstation, &["--card"]);
        let report = relay.await_request("/v1/enrolments/enrolment-1/registration");
        assert!(report["response"]["certificate"].is_string(), "{report}");
        assert_eq!(report["response"].get("attestation"), None);
        approve(&relay, &workstation);
        let keys = workstation.json(&["keys", "--json"]);
        let shown = &keys["keys"][0];
        assert_eq!(
            (shown["transport"].as_str(), shown["holder"].as_str()),
            (Some("pkcs11"), Some("Alice Martin")),
            "{keys}"
        );
        let shown = String::from_utf8(workstation.sceau(&["keys"]).stdout).unwrap();
        assert!(shown.contains("Alice Martin"), "{shown}");
    }
}

#[test]
fn a_wrong_pin_is_sent_once_and_a_token_that_is_gone_seals_nothing() {
    let Some(token) = Token::make(&KeyPair::generate().unwrap()) else {
        return;
    };
    let relay = Relay::start();
    let workstation = token.workstation(&relay);
    enroll(&workstation, &["--card"]);
    relay.await_request("/v1/enrolments/enrolment-1/registration");
    let action = propose(&relay, &workstation, 60);
    let mut terminal = consent(&workstation);
    terminal.exp_string("PIN of the card").unwrap();
    terminal.send_line("999999").unwrap();
    terminal.exp_string("Wrong.").unwrap();
    terminal.exp_string("PIN of the card").unwrap();
    // Pulled while the PIN is typed.
    std::fs::rename(token.path("tokens"), token.path("drawer")).unwrap();
    std::fs::create_dir(token.path("tokens")).unwrap();
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 3, "{rest}");
    assert_eq!(
        (pending(&workstation), relay.requests(&approvals(&action))),
        (1, 0)
    );
    cards(&workstation, 0);

    std::fs::remove_dir(token.path("tokens")).unwrap();
    std::fs::rename(token.path("drawer"), token.path("tokens")).unwrap();
    cards(&workstation, 1);
    let mut terminal = consent(&workstation);
    terminal.exp_string("PIN of the card").unwrap();
    terminal.send_line(PIN).unwrap();
    assert_eq!(end(terminal).0, 0);
    let report = relay.await_request(&approvals(&action));
    relay.verify_card(&action, &report).unwrap();
}

#[test]
fn a_module_that_is_none_leaves_the_daemon_alone() {
    let relay = Relay::start();
    let module = format!("{}\n[pkcs11]\nmodule = \"/etc/hostname\"", config(&relay));
    let workstation = Workstation::new(&module).signed_in(&relay.url()).start();
    workstation.await_log("the PKCS #11 module");
    cards(&workstation, 0);
}
