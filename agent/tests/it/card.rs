//! Charter: PIV cards from end to end: real firmware behind a real pcscd, other programs at the same card, a server that verifies.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rexpect::process::WaitStatus;
use rexpect::session::PtySession;
use sceau_proof::certificate::Certificate;
use serde_json::{Value, json};

use crate::relay::{Relay, action};
use crate::workstation::{Workstation, eventually, with_virtual_keys};

pub(crate) const PIN: &str = "123456";
const PUK: &str = "12345678";
const ATTESTED: [&str; 4] = ["--piv-attestation", "piv", "--serial", "26000001"];

pub(crate) fn config(relay: &Relay) -> String {
    format!("server = \"{}\"\nperson = \"alice\"", relay.url())
}

/// A workstation with pcscd, signed in, the daemon running.
fn workstation(relay: &Relay) -> Workstation {
    let mut workstation = Workstation::new(&config(relay)).signed_in(&relay.url());
    workstation.start_pcscd();
    workstation
}

pub(crate) fn end(mut terminal: PtySession) -> (i32, String) {
    let rest = terminal.exp_eof().unwrap();
    match terminal.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => (code, rest),
        other => panic!("{other:?}: {rest}"),
    }
}

fn insert(workstation: &Workstation, name: &str) {
    workstation.say(&format!("{name}.sock"), "insert");
    cards(workstation, 1);
}

pub(crate) fn cards(workstation: &Workstation, count: u64) {
    workstation.await_status("the card is read", |status| status["cards"] == count);
}

/// The certificate of slot 9C, from the card office's own copy.
fn certificate(workstation: &Workstation, name: &str) -> Certificate {
    let pem = std::fs::read(workstation.path(name).join("piv/certificate-9c.pem")).unwrap();
    Certificate::from_pem(&pem).unwrap().remove(0)
}

pub(crate) fn enroll(workstation: &Workstation, more: &[&str]) {
    let file = workstation.path("invitation");
    std::fs::write(&file, "c2VjcmV0LWludml0YXRpb24\n").unwrap();
    let words = ["enroll", "--invitation-file", file.to_str().unwrap()];
    let mut terminal = workstation.terminal(&[&words, more].concat());
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal
        .exp_string("PIN of the card (Alice Martin")
        .unwrap();
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(
        rest.contains("Key enrolled: card-1") && !rest.contains(PIN),
        "{rest}"
    );
}

pub(crate) fn propose(relay: &Relay, workstation: &Workstation, seconds: i64) -> Value {
    let action = action("account.create", "alice", seconds, json!({}));
    relay.propose(&action);
    workstation.await_status("the action waits", |status| {
        status["pending"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["id"] == action["id"]))
    });
    action
}

pub(crate) fn approvals(action: &Value) -> String {
    format!("/v1/actions/{}/approvals", action["id"].as_str().unwrap())
}

pub(crate) fn consent(workstation: &Workstation) -> PtySession {
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal
}

fn pin(terminal: &mut PtySession, typed: &str) {
    terminal.exp_string("PIN of the card").unwrap();
    terminal.send_line(typed).unwrap();
}

/// Approves one action with the card that is in; its seal must verify.
pub(crate) fn approve(relay: &Relay, workstation: &Workstation) {
    let action = propose(relay, workstation, 60);
    let mut terminal = consent(workstation);
    pin(&mut terminal, PIN);
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    let report = relay.await_request(&approvals(&action));
    assert_eq!(report["key_id"], "card-1");
    relay.verify_card(&action, &report).unwrap();
}

pub(crate) fn pending(workstation: &Workstation) -> usize {
    let status = workstation.json(&["status", "--json"]);
    status["pending"].as_array().map_or(0, Vec::len)
}

#[test]
fn attested_card_is_enrolled_and_seals_after_a_wrong_pin_and_a_touch() {
    if !with_virtual_keys("card::attested_card_is_enrolled_and_seals_after_a_wrong_pin_and_a_touch")
    {
        return;
    }
    let relay = Relay::start();
    let mut workstation = Workstation::new(&config(&relay));
    workstation.start_pcscd();
    let soon = ["--touch", "always", "--gzip", "--not-after", "2026-12-01"];
    workstation.card("card", &soon, &ATTESTED);
    let workstation = workstation.start();
    insert(&workstation, "card");
    // The only authenticator is a card: it need not be said.
    enroll(&workstation, &[]);
    let report = relay.await_request("/v1/enrolments/enrolment-1/registration");
    assert_eq!(
        (&report["kind"], &report["transports"]),
        (&json!("piv"), &json!(["smart-card"]))
    );
    assert_eq!(
        report["response"]["intermediates"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(report["response"].get("certificate"), None);
    relay.await_inbox();

    let shown = String::from_utf8(workstation.sceau(&["keys"]).stdout).unwrap();
    for words in [
        "Card PIV: Alice Martin",
        "Certificate valid until 1 December 2026  ! expires soon",
        "9C (p256, touch)",
        "tries left",
        "Card's serial 26000001",
        "Enrolled: Alice's card",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let french = workstation
        .command(env!("CARGO_BIN_EXE_sceau"))
        .env("LC_ALL", "fr_FR.UTF-8")
        .arg("keys")
        .output()
        .unwrap();
    let french = String::from_utf8(french.stdout).unwrap();
    assert!(
        french.contains("Certificat valable jusqu’au 1er décembre 2026  ! expire bientôt"),
        "{french}"
    );
    let before = workstation.json(&["keys", "--json"])["keys"][0]["pin_retries"].clone();

    let action = propose(&relay, &workstation, 60);
    workstation.say("card.sock", "touch delay 700");
    let mut terminal = consent(&workstation);
    pin(&mut terminal, "999999");
    terminal.exp_string("Wrong.").unwrap();
    let left = before.as_u64().unwrap() - 1;
    terminal.exp_string(&format!("tries left: {left}")).unwrap();
    terminal.send_line(PIN).unwrap();
    terminal.exp_string("Touch the key").unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    let report = relay.await_request(&approvals(&action));
    relay.verify_card(&action, &report).unwrap();
    assert_eq!(
        workstation.json(&["keys", "--json"])["keys"][0]["pin_retries"],
        before
    );

    let mut terminal = workstation.terminal(&["sign-in", "--person", "alice"]);
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    pin(&mut terminal, PIN);
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    let action = relay.sign_in_action();
    let report = relay.await_request(&approvals(&action));
    relay.verify_card(&action, &report).unwrap();
}

#[test]
fn issued_rsa_card_and_key_of_one_person_both_seal() {
    if !with_virtual_keys("card::issued_rsa_card_and_key_of_one_person_both_seal") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = Workstation::new(&config(&relay))
        .signed_in(&relay.url())
        .with_key();
    workstation.card("card", &["--algorithm", "rsa2048"], &["--t0"]);
    let workstation = workstation.start();
    insert(&workstation, "card");
    enroll(&workstation, &["--card"]);
    let report = relay.await_request("/v1/enrolments/enrolment-1/registration");
    assert!(report["response"]["certificate"].is_string());
    assert_eq!(report["response"].get("attestation"), None);
    approve(&relay, &workstation);
    let keys = workstation.json(&["keys", "--json"]);
    let states: Vec<&Value> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["state"])
        .collect();
    assert_eq!(states, ["ready", "ready"], "{keys}");
}

#[test]
fn card_pulled_between_pin_and_signature_leaves_the_action_pending() {
    if !with_virtual_keys("card::card_pulled_between_pin_and_signature_leaves_the_action_pending") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("card", &["--touch", "always"], &ATTESTED);
    relay.knows_card(&certificate(&workstation, "card"));
    let workstation = workstation.start();
    insert(&workstation, "card");
    let action = propose(&relay, &workstation, 60);

    // Pulled before the PIN is typed.
    let mut terminal = consent(&workstation);
    terminal.exp_string("PIN of the card").unwrap();
    workstation.say("card.sock", "remove");
    cards(&workstation, 0);
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 3, "{rest}");
    assert!(
        rest.contains("nothing was signed, the action stays pending"),
        "{rest}"
    );

    // Pulled while it waits for the touch.
    insert(&workstation, "card");
    workstation.say("card.sock", "touch never");
    let mut terminal = consent(&workstation);
    pin(&mut terminal, PIN);
    assert_eq!(
        workstation.say("card.sock", "wait pending 8000")["ok"],
        true
    );
    workstation.say("card.sock", "remove");
    let (code, rest) = end(terminal);
    assert_eq!(code, 3, "{rest}");
    assert!(
        rest.contains("nothing was signed, the action stays pending"),
        "{rest}"
    );
    assert_eq!(pending(&workstation), 1);

    cards(&workstation, 0);
    workstation.say("card.sock", "touch approve");
    insert(&workstation, "card");
    let mut terminal = consent(&workstation);
    pin(&mut terminal, PIN);
    assert_eq!(end(terminal).0, 0);
    let report = relay.await_request(&approvals(&action));
    relay.verify_card(&action, &report).unwrap();
    assert_eq!(relay.requests("/v1/actions/"), 1);
}

#[test]
fn blocked_pin_is_reported_and_unblocked_with_the_puk() {
    if !with_virtual_keys("card::blocked_pin_is_reported_and_unblocked_with_the_puk") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("card", &[], &ATTESTED);
    relay.knows_card(&certificate(&workstation, "card"));
    let workstation = workstation.start();
    insert(&workstation, "card");
    propose(&relay, &workstation, 120);
    let mut terminal = consent(&workstation);
    let tries = workstation.json(&["keys", "--json"])["keys"][0]["pin_retries"]
        .as_u64()
        .unwrap();
    for left in (1..=tries).rev() {
        terminal
            .exp_string(&format!("tries left: {left}: "))
            .unwrap();
        terminal.send_line("999999").unwrap();
    }
    let (code, rest) = end(terminal);
    assert_eq!(code, 1, "{rest}");
    assert!(rest.contains("sceau card pin unblock"), "{rest}");
    let told = relay.await_request("/v1/agent/reports");
    assert_eq!(told, json!({ "kind": "pin-blocked", "key_id": "card-1" }));
    let shown = String::from_utf8(workstation.sceau(&["keys"]).stdout).unwrap();
    assert!(shown.contains("PIN: blocked"), "{shown}");

    let mut terminal = workstation.terminal(&["card", "pin", "unblock"]);
    terminal.exp_string("PUK of the card").unwrap();
    terminal.send_line("00000000").unwrap();
    terminal.exp_string("New PIN").unwrap();
    terminal.send_line("654321").unwrap();
    terminal.exp_string("once more").unwrap();
    terminal.send_line("654321").unwrap();
    terminal.exp_string("Wrong.").unwrap();
    terminal.exp_string("tries left:").unwrap();
    terminal.send_line(PUK).unwrap();
    terminal.exp_string("New PIN").unwrap();
    // The factory's PIN is nobody's.
    terminal.send_line(PIN).unwrap();
    terminal.exp_string("once more").unwrap();
    terminal.send_line(PIN).unwrap();
    terminal.exp_string("This will not do").unwrap();
    terminal.send_line("654321").unwrap();
    terminal.exp_string("once more").unwrap();
    terminal.send_line("654321").unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(
        rest.contains("PIN unblocked") && !rest.contains("654321"),
        "{rest}"
    );

    let mut terminal = workstation.terminal(&["card", "pin", "change"]);
    pin(&mut terminal, "654321");
    for prompt in ["New PIN", "once more"] {
        terminal.exp_string(prompt).unwrap();
        terminal.send_line("271828").unwrap();
    }
    assert_eq!(end(terminal).0, 0);
    let mut terminal = consent(&workstation);
    pin(&mut terminal, "271828");
    assert_eq!(end(terminal).0, 0);
}

#[test]
fn of_two_cards_the_one_that_holds_the_key_is_asked() {
    if !with_virtual_keys("card::of_two_cards_the_one_that_holds_the_key_is_asked") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("other", &[], &ATTESTED);
    workstation.card("card", &[], &["--port", "35964"]);
    relay.knows_card(&certificate(&workstation, "card"));
    let workstation = workstation.start();
    workstation.say("other.sock", "insert");
    workstation.say("card.sock", "insert");
    cards(&workstation, 2);
    approve(&relay, &workstation);
    // Nothing was asked of the other one, its PIN least of all.
    let several = workstation.sceau(&["card", "certificates"]);
    assert_eq!(several.status.code(), Some(2));
    let one = workstation.json(&["card", "certificates", "--json", "--reader", "00 01"]);
    assert_eq!(one["certificates"][1]["slot"], "9c");
    assert_eq!(one["certificates"][1]["of_this_key"], true);
    // The one that holds the key away: the other is no substitute.
    workstation.say("card.sock", "remove");
    cards(&workstation, 1);
    propose(&relay, &workstation, 60);
    let mut terminal = consent(&workstation);
    terminal
        .exp_string("Plug in or present your key: Alice's card")
        .unwrap();
    workstation.say("card.sock", "insert");
    pin(&mut terminal, PIN);
    assert_eq!(end(terminal).0, 0);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test measures")]
fn a_hundred_approvals_while_other_programs_use_the_card() {
    if !with_virtual_keys("card::a_hundred_approvals_while_other_programs_use_the_card") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("card", &[], &ATTESTED);
    relay.knows_card(&certificate(&workstation, "card"));
    let workstation = workstation.start();
    insert(&workstation, "card");
    // A shared client like scdaemon: SELECT, CHUID; and OpenSC, which reads its objects and a certificate.
    let select = "00:A4:04:00:0B:A0:00:00:03:08:00:00:10:00:01:00:00";
    let chuid = "00:CB:3F:FF:05:5C:03:5F:C1:02:00";
    let others: [&[&str]; 3] = [
        &[
            "opensc-tool",
            "--card-driver",
            "default",
            "-s",
            select,
            "-s",
            chuid,
        ],
        &["pkcs15-tool", "--read-certificate", "01"],
        &["opensc-tool", "--serial"],
    ];
    let installed = std::process::Command::new("opensc-tool")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let installed = installed.is_ok();
    if !installed {
        eprintln!("SKIPPED: the other programs: opensc is not installed");
    }
    let (stop, runs) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let took = std::thread::scope(|scope| {
        for (words, runs) in others.iter().zip(&runs).filter(|_| installed) {
            let (workstation, stop) = (&workstation, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let out = workstation
                        .command(words[0])
                        .args(&words[1..])
                        .output()
                        .unwrap();
                    assert!(out.status.success(), "{words:?}: {out:?}");
                    runs.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let began = std::time::Instant::now();
        let approved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut terminal = workstation.terminal(&["wait"]);
            for number in 1..=100 {
                let action = action(
                    "account.create",
                    "alice",
                    60,
                    json!({ "params": { "number": number } }),
                );
                relay.propose(&action);
                terminal.exp_string("Seal this action?").unwrap();
                terminal.send_line("y").unwrap();
                pin(&mut terminal, PIN);
                terminal.exp_string("Sealed").unwrap();
                let report = relay.await_request(&approvals(&action));
                relay.verify_card(&action, &report).unwrap();
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = approved {
            std::panic::resume_unwind(panic);
        }
        began.elapsed()
    });
    let runs = runs.map(|runs| runs.load(Ordering::Relaxed));
    eprintln!("100 approvals in {took:?}; others ran {runs:?} times, without a failure");
    assert!(!installed || runs.iter().all(|runs| *runs > 5), "{runs:?}");
}

#[test]
fn misbehaving_cards_end_in_words_and_the_daemon_lives_on() {
    if !with_virtual_keys("card::misbehaving_cards_end_in_words_and_the_daemon_lives_on") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("card", &[], &ATTESTED);
    relay.knows_card(&certificate(&workstation, "card"));
    let workstation = workstation.start();
    insert(&workstation, "card");
    let action = propose(&relay, &workstation, 600);
    for mode in [
        "endless61",
        "endless6c",
        "wrong-tags",
        "huge-lengths",
        "random-status",
        "noise",
        "truncated",
        "short-status",
        "flood",
        "echo",
    ] {
        let mut terminal = consent(&workstation);
        terminal.exp_string("PIN of the card").unwrap();
        workstation.say("card.sock", &format!("misbehave {mode}"));
        terminal.send_line(PIN).unwrap();
        let (code, rest) = end(terminal);
        assert!(code == 1 || code == 3, "{mode}: {code}: {rest}");
        // Read anew, it is unusable or tells nothing; whoever asks is answered.
        workstation.say("card.sock", "remove");
        workstation.say("card.sock", "insert");
        eventually(mode, || {
            let keys = workstation.json(&["keys", "--json"]);
            let reading = keys["keys"].as_array().is_some_and(|keys| {
                keys.is_empty() || keys.iter().any(|key| key["state"] == "reading")
            });
            (!reading).then_some(())
        });
        workstation.say("card.sock", "misbehave none");
        workstation.say("card.sock", "remove");
        cards(&workstation, 0);
        insert(&workstation, "card");
    }
    // A card that never answers holds its own thread until it is pulled, and nothing else.
    let mut terminal = consent(&workstation);
    terminal.exp_string("PIN of the card").unwrap();
    workstation.say("card.sock", "misbehave silent");
    terminal.send_line(PIN).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(pending(&workstation), 1);
    drop(terminal);
    workstation.say("card.sock", "remove");
    cards(&workstation, 0);
    workstation.say("card.sock", "misbehave none");
    insert(&workstation, "card");
    assert_eq!(relay.requests(&approvals(&action)), 0);
    let mut terminal = consent(&workstation);
    pin(&mut terminal, PIN);
    assert_eq!(end(terminal).0, 0);
    let report = relay.await_request(&approvals(&action));
    relay.verify_card(&action, &report).unwrap();
}

#[test]
fn help_desk_makes_a_key_requests_its_certificate_and_changes_the_management_key() {
    if !with_virtual_keys(
        "card::help_desk_makes_a_key_requests_its_certificate_and_changes_the_management_key",
    ) {
        return;
    }
    let relay = Relay::start();
    let mut workstation = workstation(&relay);
    workstation.card("card", &[], &ATTESTED);
    let workstation = workstation.start();
    insert(&workstation, "card");
    let csr = workstation.path("alice.csr");
    let file = csr.to_str().unwrap();
    let generate = [
        "card",
        "generate",
        "--algorithm",
        "p384",
        "--touch",
        "never",
        "--csr",
        file,
        "--subject",
        "Alice Martin",
    ];
    let mut terminal = workstation.terminal(&generate);
    terminal.exp_string("Replace it?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("Management key").unwrap();
    terminal.send_line("not hexadecimal").unwrap();
    terminal.exp_string("This will not do").unwrap();
    terminal.exp_string("Management key").unwrap();
    terminal.send_line(&"0102030405060708".repeat(3)).unwrap();
    pin(&mut terminal, PIN);
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(
        rest.contains("factory's management key") && rest.contains("The card attests it"),
        "{rest}"
    );
    let openssl = |words: &[&str]| {
        std::process::Command::new("openssl")
            .args(words)
            .current_dir(workstation.place.path())
            .output()
    };
    match openssl(&["req", "-in", file, "-verify", "-noout", "-subject"]) {
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stdout);
            assert!(
                out.status.success() && said.contains("Alice Martin"),
                "{out:?}"
            );
            let sign = [
                "x509",
                "-req",
                "-in",
                file,
                "-CA",
                "office/root.pem",
                "-CAkey",
                "office/root.key",
                "-days",
                "30",
                "-out",
                "alice.pem",
            ];
            let out = openssl(&sign).unwrap();
            assert!(out.status.success(), "{out:?}");
            let pem = workstation.path("alice.pem");
            let import = [
                "card",
                "import",
                pem.to_str().unwrap(),
                "--factory-management-key",
            ];
            let terminal = workstation.terminal(&import);
            assert_eq!(end(terminal).0, 0);
            let certificates = workstation.json(&["card", "certificates", "--json"]);
            assert_eq!(certificates["certificates"][1]["of_this_key"], true);
        }
        Err(_) => eprintln!("SKIPPED: the request is not verified: no openssl"),
    }
    let attested = workstation.sceau(&["card", "attest"]);
    let attested: Value = serde_json::from_slice(&attested.stdout).unwrap();
    assert_eq!(attested["intermediates"].as_array().map(Vec::len), Some(1));

    let change = [
        "card",
        "management-key",
        "--random",
        "--factory-management-key",
        "--json",
    ];
    let (code, changed) = end(workstation.terminal(&change));
    assert_eq!(code, 0, "{changed}");
    let refused = workstation.terminal(&["card", "generate", "--factory-management-key"]);
    let mut refused = refused;
    refused.exp_string("Replace it?").unwrap();
    refused.send_line("y").unwrap();
    let (code, rest) = end(refused);
    assert_eq!(code, 1, "{rest}");
    assert!(rest.contains("Wrong management key"), "{rest}");

    // The key of the management that the help-desk keeps now makes keys, and nothing is to be warned of.
    let line = changed.lines().find(|line| line.starts_with('{')).unwrap();
    let changed: Value = serde_json::from_str(line).unwrap();
    let management = changed["management_key"].as_str().unwrap();
    let mut terminal = workstation.terminal(&["card", "generate", "--touch", "never"]);
    terminal.exp_string("Replace it?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("Management key").unwrap();
    terminal.send_line(management).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(
        !rest.contains("factory") && !rest.contains(management),
        "{rest}"
    );
}
